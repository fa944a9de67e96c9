"""Which number tells sentences that a model can know from others: the demo checkpoint on what it knows, and on what it does not.

    python benchmarks/known_clips.py [--work DIR] [--out benchmarks/results/known_clips.json]

Known: sentences of SignSynth by signers that were not trained on (dev and test of the corpus `small`, as many as `--limit` gives, and
the ten demo clips, which count as test). Unknown, of the same rendered figures: sentences of the lexicon of 1,000 signs that hold a
sign which is none of the checkpoint's 100. Unknown and real: the videos of Mexican, Hong Kong and American signing in the folder of
real data (`SIGNX_DATA`, default `../shared/data` beside the checkout). Rendered against real is the easy case, other signs the hard one.

Written down is the AUROC of each number (known test clips against each kind of unknown ones), and what a threshold on `known` does that
95 % of the dev clips reach.
"""

import argparse
import os
import tempfile
import warnings
from pathlib import Path
from typing import Any

from common import RESULTS, ROOT, commit, hardware, load_average, versions, write_json

REAL = ("msl150", "hksl_clips", "asl_clips", "wlasl_videos")
LIMIT, OTHERS, OTHER_SEED = 90, 14, 5


def made_clips(work: Path, limit: int, vocabulary: set[str]) -> dict[str, list[str]]:
    """Paths of known dev and test sentences and of sentences with other signs; made where they are not there yet."""
    import signx_hf
    from signx_hf.data.signsynth.build import build
    from signx_hf.data.signsynth.configs import SynthConfig

    build("small", work / "small", limit=limit)
    other = SynthConfig("other", 1000, (3, 1, 1), (OTHERS, 0, 0), (1, 0, 0), (0, 0, 0), 128)
    build(other, work / "other", OTHER_SEED, limit=OTHERS)
    found = {}
    for name, folder, split in (("dev", "small", "dev"), ("test", "small", "test"), ("other_signs", "other", "train")):
        rows = signx_hf.load_dataset("signsynth", data_dir=str(work / folder), split=split)
        is_known = name != "other_signs"
        found[name] = [row["video"]["path"] for row in rows if (set(row["glosses"]) <= vocabulary) is is_known]
    return found


def real_clips() -> list[str]:
    data = Path(os.environ.get("SIGNX_DATA", ROOT.parent / "shared" / "data"))
    paths = [str(path) for name in REAL for path in sorted((data / name).rglob("*.mp4"))]
    if not paths:
        raise SystemExit(f"no videos in {', '.join(REAL)} of {data}: set SIGNX_DATA to the real data")
    return paths


def agreement(first: list[str], second: list[str]) -> float:
    """1 - edits over the longer of two lists of glosses; 1 for two empty ones."""
    costs = list(range(len(second) + 1))
    for row, gloss in enumerate(first, 1):
        above, costs = costs, [row]
        for column, other in enumerate(second, 1):
            costs.append(min(above[column - 1] + (gloss != other), above[column] + 1, costs[column - 1] + 1))
    return 1 - costs[-1] / max(len(first), len(second), 1)


def numbers_of(recognizer: Any, path: str) -> dict[str, float]:
    """Every number of a clip that is high for known ones."""
    import torch

    prepared = recognizer.preprocess(path)
    inputs, metadata = recognizer._split(prepared)
    with torch.inference_mode():
        encoded = recognizer.model.encode(**inputs)
    held = {"features": encoded.features, "aux_logits": encoded.aux_logits, "feature_mask": encoded.feature_mask}
    answers = {}
    for decoder in ("attention", "ctc"):
        outputs = recognizer.forward({**held, "metadata": metadata[0]}, decoder=decoder)
        answers[decoder] = recognizer.postprocess(outputs, threshold="none")
    answer, ctc = answers["attention"], answers["ctc"]
    confidences = [part["confidence"] for part in answer["segments"] if part["confidence"] is not None]
    steps = int(encoded.feature_mask[0].sum())
    logits = encoded.ctc_logits[0, :steps].float()
    logs = logits.log_softmax(-1)
    entropy, signed = -(logs.exp() * logs).sum(-1), 1 - logs.exp()[:, recognizer.model.config.ctc_blank_id]
    return {
        "known": answer["known"],
        "lowest_confidence": min(confidences, default=0.0),
        "decoder_score": answer["n_best"][0]["score"],
        "ctc_score_per_gloss": ctc["n_best"][0]["score"] / (len(ctc["glosses"]) + 1),
        "ctc_entropy_of_signing": -float((entropy * signed).sum() / signed.sum().clamp(min=1e-6)),
        "ctc_energy": float(logits.logsumexp(-1).mean()),
        "aux_energy": float(encoded.aux_logits[0, :steps].float().logsumexp(-1).mean()),
        "agreement_of_ctc_and_decoder": agreement(answer["glosses"], ctc["glosses"]),
    }


def measure(work: Path, limit: int) -> dict[str, Any]:
    import numpy as np
    import torch

    from signx_hf.assets import MODEL, demo_clips
    from signx_hf.metrics import auroc
    from signx_hf.recognition.loading import load_pipeline
    from signx_hf.recognition.rejection import Rule, choose_threshold

    torch.set_num_threads(1)
    recognizer = load_pipeline(str(MODEL), "cpu")
    clips = made_clips(work, limit, set(recognizer.tokenizer.ctc_glosses))
    clips["test"] += [str(clip.video) for clip in demo_clips()]
    clips["real"] = real_clips()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = {kind: [numbers_of(recognizer, path) for path in paths] for kind, paths in clips.items()}
    values = {kind: np.array([clip["known"] for clip in part]) for kind, part in found.items()}
    threshold = choose_threshold(values["dev"], np.array([]), np.array([]), Rule(0.95))
    return {
        "model": "demo",
        "clips": {kind: len(part) for kind, part in found.items()},
        "auroc": {
            name: {kind: round(auroc(*([clip[name] for clip in found[k]] for k in ("test", kind))), 4) for kind in ("other_signs", "real")}
            for name in found["test"][0]
        },
        "threshold_of_known": threshold,
        "rule": "95 % of the dev clips reach it",
        "not_sure": {kind: round(float((part < threshold).mean()), 4) for kind, part in values.items()},
        "known": {kind: [round(float(value), 4) for value in sorted(part)] for kind, part in values.items()},
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, help="folder for the clips that are made; default: a temporary one")
    parser.add_argument("--limit", type=int, default=LIMIT, help=f"clips of small that are made; default: {LIMIT}")
    parser.add_argument("--out", type=Path, default=RESULTS / "known_clips.json")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        found = measure(options.work or Path(temporary), options.limit)
    write_json(
        options.out,
        {
            **found, "limit": options.limit, "hardware": hardware(1), "load": load_average(), "commit": commit(),
            "versions": versions("torch", "transformers", "numpy", "av"),
        },
    )  # fmt: skip
    for name, part in found["auroc"].items():
        print(f"{name:32} {part['other_signs']:.3f} {part['real']:.3f}")
    print(found["threshold_of_known"], found["not_sure"])


if __name__ == "__main__":
    main()
