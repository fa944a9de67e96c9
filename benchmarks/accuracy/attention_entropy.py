"""The attention entropy in the beam score, and the papers' own decoding, with the demo's model on SignSynth small (made-up signing).

    signx-hf data synth small --out synth_small --jobs 2
    python benchmarks/accuracy/attention_entropy.py --data synth_small

SignX-4 subtracts alpha times the attention entropy from the score of a beam and gives no alpha. Alphas are compared on the dev split
alone, on which such a choice belongs; the videos are encoded once. `as published` is `model.published_generation_config()`, which
samples: three draws.
"""

import argparse
import sys
from pathlib import Path
from statistics import mean
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))
import runs

ALPHAS = (0.0, 0.1, 0.5, 1.0, 2.0, 5.0, 20.0)
BATCH = 10  # clips that are decoded at once
CTC_WEIGHTS = {"decoder": 0.0, "decoder and CTC": 0.5}


def main() -> None:
    import torch
    from transformers import pipeline

    import signx_hf
    from signx_hf.assets import MODEL

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help="folder of SignSynth small")
    parser.add_argument("--draws", type=int, nargs="+", default=[0, 1, 2], help="seeds of the sampling")
    options = parser.parse_args()
    torch.set_num_threads(1)
    rows = signx_hf.load_dataset("signsynth", data_dir=options.data, split="dev")
    recognizer = pipeline("sign-recognition", model=str(MODEL))
    model, features, encoded = recognizer.model, [], []
    with torch.inference_mode():
        for video in rows["video"]:
            inputs = recognizer.processor(videos=video["path"])
            video = {name: inputs[name] for name in ("pixel_values_videos", "frame_mask")}
            features.append(model.get_features(**video).features[0])
        for start in range(0, len(features), BATCH):
            batch = features[start : start + BATCH]
            lengths = torch.tensor([len(values) for values in batch])
            mask = torch.arange(int(lengths.max())) < lengths[:, None]
            encoded.append(model.encode(features=torch.nn.utils.rnn.pad_sequence(batch, True), feature_mask=mask))

    def measure(**decoding: Any) -> dict[str, Any]:
        """WER with a generation config of the pipeline."""
        config = recognizer._generation_config(decoding)
        with torch.inference_mode():
            ids = [model.generate(encoder_outputs=batch, generation_config=config) for batch in encoded]
        texts = [text for rows in ids for text in recognizer.tokenizer.batch_decode(rows, skip_special_tokens=True)]
        return runs.score([recognizer.tokenizer.split_glosses(text) for text in texts], rows["glosses"])

    record = runs.header(1) | {
        "data": "SignSynth small (made-up signing), dev split",
        "model": "demo",
        "clips": len(rows),
    }
    record["clips_with_a_gloss_twice"] = sum(len(set(glosses)) < len(glosses) for glosses in rows["glosses"])
    record["alpha"] = {}
    for way, weight in CTC_WEIGHTS.items():
        found = {alpha: measure(ctc_weight=weight, attention_entropy_weight=alpha) for alpha in ALPHAS}
        record["alpha"][way] = {str(alpha): entry["wer"] for alpha, entry in found.items()}
        record["words"] = found[0.0]["words"]
        print(way, record["alpha"][way], flush=True)
    draws = []
    for seed in options.draws:
        torch.manual_seed(seed)
        draws.append(measure(generation_config=model.published_generation_config())["wer"])
    greedy = model.published_generation_config()
    greedy.do_sample, greedy.temperature, greedy.top_k, greedy.top_p = False, None, None, None
    record["published"] = {
        "as published": round(mean(draws), 2), "draws": draws, "without sampling": measure(generation_config=greedy)["wer"],
    }  # fmt: skip
    greedy.repetition_penalty = None
    record["published"]["without sampling and repetition penalty"] = measure(generation_config=greedy)["wer"]
    print(record["published"], flush=True)
    runs.save("attention_entropy", record)


if __name__ == "__main__":
    main()
