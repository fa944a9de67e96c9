"""Sentences from hands: joined clips of signers never seen, CopyCat, and a webcam.

    python benchmarks/accuracy/sentences.py --part joined --glosses 100 --body runs/accuracy/wlasl/signer-0-0/model
    python benchmarks/accuracy/sentences.py --part copycat --body asl
    python benchmarks/accuracy/sentences.py --part webcam --body asl

Two ways: CTC, a recognizer of sentences trained on the body of a model of isolated signs, and spotting, that model itself asked about every
window (`sign-spotting`), trained on no sentence at all.

- joined: semi-synthetic sentences of clips of the signers of fold 0, whom neither body nor recognizer has seen.
- copycat: six folds, a signer left out of each, and twelve of the 58 phrases left out of all; phrases seen and unseen apart. Spotting's
  options were chosen on all sentences of CopyCat but those of signers 4 and 5, without any webcam sentence.
- webcam: six sentences of learners, read once, with the recognizer trained on joined clips alone.
"""

import argparse
import json
import sys
from pathlib import Path
from statistics import mean
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))
import runs
from wlasl import glosses_in_order

SIGNERS = ("0", "1", "2", "3", "4", "5")
MEASURED = 200  # joined sentences
SPOTTED = 50  # of them by spotting, which asks a model about each of some thousand windows of a sentence


def train(name: str, config: str, body: str, changes: dict[str, Any], folder: Path) -> runs.Trained:
    """A recognizer of sentences on the body of a model of isolated signs."""
    options = {**runs.read_config(config), "body": body, "seed": 0, "output_dir": str(folder / name)}
    options["loader_options"] = {**options["loader_options"], **changes.pop("loader_options", {})}
    options["data_dir"] = str(runs.DATA / options["data_dir"])
    return runs.train("latent_ctc", {**options, **changes})


def rows_of(corpus: str, folder: str, **options: Any) -> Any:
    from signx_hf import load_dataset

    return load_dataset(corpus, data_dir=str(runs.DATA / folder), **options)


def by_ctc(model: Path, rows: Any) -> dict[str, Any]:
    """WER of CTC prefix beam search, without a language model, and what was said."""
    said = runs.recognize(model, runs.poses_of(rows), batch_size=1, decoder="ctc", num_beams=10)
    return scored([answer["glosses"] for answer in said], rows)


def by_spotting(model: str, rows: Any, vocabulary: list[str], **options: Any) -> dict[str, Any]:
    """WER of spotting with a vocabulary."""
    from signx_hf.assets import model_place

    said = runs.recognize(
        Path(model_place(model)), runs.poses_of(rows), "sign-spotting", batch_size=1, vocabulary=vocabulary, **options
    )
    return scored([answer["glosses"] for answer in said], rows)


def scored(said: list[list[str]], rows: Any) -> dict[str, Any]:
    truth = [list(glosses) for glosses in rows["glosses"]]
    found = runs.score(said, truth)
    return found | {"sentences": [{"signed": t, "said": s} for t, s in zip(truth, said)][:12]}


def joined(glosses: int, fold: int, body: str, folder: Path) -> dict[str, Any]:
    by_signer = {"subset": glosses, "split_by": "signer", "fold": fold}
    trained = train(
        f"joined{glosses}-{fold}",
        "wlasl/sentences_100",
        body,
        {"loader_options": by_signer, "train_split": "train"},
        folder,
    )
    rows = rows_of(
        "wlasl_hands", "wlasl_hands", split="test", sentences=MEASURED, length=[2, 6], mix_signers=True, **by_signer
    )
    return {
        "semi-synthetic": True, "glosses": glosses, "fold": fold, "seconds": trained.seconds, "clips_trained": trained.clips,
        "ctc": by_ctc(trained.folder, rows), "spotting": by_spotting(body, rows.select(range(SPOTTED)), glosses_in_order()[:glosses]),
    }  # fmt: skip


def dev_errors(folder: Path) -> list[float]:
    """WER of held-out training clips each time that it was measured, in per cent: whether training was long enough."""
    lines = [line.split(",") for line in (folder.parent / "log.csv").read_text(encoding="utf-8").splitlines()]
    return [round(100 * float(line[3]), 2) for line in lines if line[2] == "dev/wer"]


def copycat(body: str, folder: Path, signers: list[str]) -> dict[str, Any]:
    found: dict[str, Any] = {"signers": {}}
    for signer in signers:
        options = {"test_signers": [signer], "phrase_fold": 0}
        trained = train(f"copycat-{signer}", "copycat/sentences", body, {"loader_options": options}, folder)
        about = {"seconds": trained.seconds, "clips_trained": trained.clips, "dev_wer": dev_errors(trained.folder)}
        found["signers"][signer] = about | {
            kind: by_ctc(trained.folder, rows_of("copycat", "copycat_asl", split="test", test_on=kind, **options)) for kind in ("seen", "unseen")
        }  # fmt: skip
        print(signer, {kind: found["signers"][signer][kind]["wer"] for kind in ("seen", "unseen")}, flush=True)
    for kind in ("seen", "unseen"):
        parts = [signer[kind] for signer in found["signers"].values()]
        errors = sum(sum(part["errors_by_clip"]) for part in parts)
        found[kind] = {
            "wer": round(100 * errors / sum(part["words"] for part in parts), 2),
            "mean_of_signers": round(mean(p["wer"] for p in parts), 2),
        }
    return found


def webcam(body: str, folder: Path) -> dict[str, Any]:
    trained = train("webcam100", "wlasl/sentences_100", body, {}, folder)
    rows = rows_of("asl_webcam", "asl_webcam")
    rows = rows[next(iter(rows))] if hasattr(rows, "keys") else rows
    return {
        "seconds": trained.seconds, "clips_trained": trained.clips, "ctc": by_ctc(trained.folder, rows),
        "spotting": by_spotting(body, rows, glosses_in_order()[:100]),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--part", choices=("joined", "copycat", "webcam"), required=True)
    parser.add_argument(
        "--body", required=True, help="model of isolated signs; for joined one that has not seen the fold's signers"
    )
    parser.add_argument("--glosses", type=int, choices=(100, 300), default=100)
    parser.add_argument(
        "--signers", nargs="+", choices=SIGNERS, default=list(SIGNERS), help="of copycat, each tested once"
    )
    parser.add_argument("--fold", type=int, default=0)
    parser.add_argument("--runs", type=Path, default=runs.ROOT / "runs" / "accuracy" / "sentences")
    options = parser.parse_args()
    record = runs.header(1)
    name = options.part
    if options.part == "joined":
        name, found = f"joined{options.glosses}", joined(options.glosses, options.fold, options.body, options.runs)
    elif options.part == "copycat":
        found = copycat(options.body, options.runs, options.signers)
    else:
        found = webcam(options.body, options.runs)
    print(json.dumps({way: found[way].get("wer") for way in ("ctc", "spotting", "seen", "unseen") if way in found}))
    runs.save(f"sentences_{name}", record | found)


if __name__ == "__main__":
    main()
