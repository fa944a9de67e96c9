"""How far gloss times are from the truth, and how much confidences mean, on SignSynth small (made-up signing), unseen signers.

    python benchmarks/accuracy/times.py --data synth_small --model demo --source video
    python benchmarks/accuracy/times.py --data synth_small --model runs/accuracy/signsynth/pose_stage4-0/model --source poses

The temperature of the confidences and the margins of times are fitted on the dev split, everything else is measured on the test split. Times are compared for
glosses that the cheapest alignment with the truth puts opposite an equal one.
"""

import argparse
import sys
from pathlib import Path
from statistics import mean

sys.path.insert(0, str(Path(__file__).resolve().parent))
import runs


def main() -> None:
    from transformers import pipeline

    import signx_hf
    from signx_hf.assets import MODEL
    from signx_hf.data.media import clip_of
    from signx_hf.metrics import boundary_error, expected_calibration_error, judge
    from signx_hf.recognition.calibration import fit

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help="folder of SignSynth small")
    parser.add_argument("--model", required=True, help="folder of a model, or demo")
    parser.add_argument("--source", choices=("video", "poses"), required=True)
    options = parser.parse_args()
    data = signx_hf.load_dataset("signsynth", data_dir=options.data)
    recognizer = pipeline("sign-recognition", model=str(MODEL) if options.model == "demo" else options.model)
    decoding = {"decoder": "attention", "num_beams": 5, "ctc_weight": 0.5}
    fitted = fit(recognizer, data["dev"], options.source, **decoding)
    rows = list(data["test"])
    results = [recognizer(clip_of(row, options.source, recognizer.processor)[0], **decoding) for row in rows]
    confidences, right = [], []
    for result, row in zip(results, rows):
        for segment, verdict in zip(result["segments"], judge(result["glosses"], row["glosses"])):
            confidences.append(segment["confidence"] or 0.0)
            right.append(verdict)
    off = boundary_error([result["segments"] for result in results], [row["segments"] for row in rows])
    step = recognizer.model.config.recognizer_config.stride / recognizer.model.config.fps
    record = runs.header(1) | {
        "data": "SignSynth small (made-up signing), test split; temperature and margins from the dev split", "source": options.source,
        "decoding": decoding, "feature_step_seconds": step, "glosses": len(right), "right": sum(right),
        "boundaries": {
            "compared": 2 * off.matched, "mean_seconds": round(off.mean, 4), "median_seconds": round(off.median, 4),
            "mean_start_seconds": round(off.bias_start, 4), "mean_end_seconds": round(off.bias_end, 4),
        },
        "margins_seconds": fitted.margins, "dev_mean_seconds_without_margins": round(fitted.boundary_before, 4), "temperature": fitted.temperature, "dev_error_before": round(fitted.error_before, 4), "dev_error_after": round(fitted.error_after, 4),
        "expected_calibration_error": round(expected_calibration_error(confidences, right), 4),
        "confidence_of_right": round(mean(c for c, hit in zip(confidences, right) if hit), 4),
        "confidence_of_wrong": round(mean([c for c, hit in zip(confidences, right) if not hit] or [0.0]), 4),
    }  # fmt: skip
    print(
        {
            name: record[name]
            for name in (
                "boundaries",
                "temperature",
                "expected_calibration_error",
                "confidence_of_right",
                "confidence_of_wrong",
            )
        }
    )
    runs.save(f"times_{options.source}", record)


if __name__ == "__main__":
    main()
