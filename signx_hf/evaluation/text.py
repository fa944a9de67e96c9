"""Results in words, for the terminal and the report."""

from typing import Any

from . import single_signs, translations
from .options import ISOLATED, TRANSLATION


def lines(results: dict[str, Any]) -> list[str]:
    """Return the results in a few lines."""
    data, isolated, translated = results["data"], results["task"] == ISOLATED, results["task"] == TRANSLATION
    number, unit = (
        (data["signs"], "sign") if isolated else (data["words"], data.get("unit", "gloss").removesuffix("s"))
    )
    count = f"{number} {unit}{'' if number == 1 else 'es' if unit == 'gloss' else 's'}"
    hidden = results["config"].get("hidden_tracks")
    summary = [
        f"{results['model']['name']} on {data['dataset']} {data['split']}: {data['clips']} clip{'' if data['clips'] == 1 else 's'}, {count}, "
        f"{data['signers']} signer{'' if data['signers'] == 1 else 's'}, from {results['config']['source']}"
        + (f" without {', '.join(hidden)}" if hidden else "")
    ]
    if translated:
        return [*summary, *translations.without_text(data), *translations.lines(results)]
    if data["clips_without_glosses"]:
        summary.append(f"{data['clips_without_glosses']} clips without glosses were left out")
    for name, score in results["scores"].items():
        if "rate" in score:
            low, high = (percent(value) for value in score["interval"])
            counts = f"{score['substitutions']} S, {score['insertions']} I, {score['deletions']} D of {score['words']}"
            summary.append(f"WER {name}: {percent(score['rate'])} % (95 % interval {low} to {high}; {counts})")
        elif "per_instance" in score:
            low, high = (percent(value) for value in score["interval"])
            summary.append(
                f"{name}: {percent(score['per_instance'])} % per instance (95 % interval {low} to {high}), "
                f"{percent(score['per_class'])} % averaged over signs"
            )
        else:
            summary.append(f"{name}: {score['score']:.2f} ({score['signature']})")
    times = results.get("times")
    if times and times["matched"]:
        summary.append(
            f"boundaries: off by {times['mean_seconds']:.3f} s (median {times['median_seconds']:.3f}) over "
            f"{times['matched']} of {times['segments']} segments; IoU {times['iou']:.3f}"
        )
    if results.get("calibration"):
        summary.append(f"expected calibration error: {results['calibration']['expected_calibration_error']:.3f}")
    if isolated:
        summary += single_signs.lines(results)
    return summary


def percent(value: float | str) -> str:
    """Format a fraction as a percentage with two digits; text stays as it is."""
    return value if isinstance(value, str) else f"{100 * value:.2f}"
