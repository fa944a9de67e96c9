"""Join the results of the utterances of a recording."""

from typing import Any


def join_results(
    parts: list[tuple[float, dict]], duration: float, n_best: int, reason: str | None, signer: dict | None = None
) -> dict[str, Any]:
    """What the pipeline answers to a recording, from its answers to the stretches that begin at given seconds.

    The n-th hypothesis of the whole changes one stretch: the one where another of its hypotheses costs least. Stretches that the model is
    not sure of give no glosses.
    """
    segments, utterances, last = [], [], 0.0
    for start, found in parts:
        begin = round(max(start, utterances[-1]["end"] if utterances else 0.0), 4)
        utterances.append({"start": begin, "end": round(max(begin, min(start + found["duration"], duration)), 4)})
        for segment in found["segments"]:
            # max: of two rounded times that are one, the second may be a tenth of a millisecond less
            begin = round(max(last, min(segment["start"] + start, duration)), 4)
            last = round(max(begin, min(segment["end"] + start, duration)), 4)
            segments.append({**segment, "start": begin, "end": last})
    score = sum(found["n_best"][0]["score"] for _, found in parts)
    changes = [
        (item["score"] - found["n_best"][0]["score"], index, item["glosses"])
        for index, (_, found) in enumerate(parts)
        for item in found["n_best"][1:]
    ]
    hypotheses = [{"glosses": [s["gloss"] for s in segments], "score": score}]
    for loss, index, glosses in sorted(changes, key=lambda change: (-change[0], change[1]))[: n_best - 1]:
        words = [glosses if at == index else found["glosses"] for at, (_, found) in enumerate(parts)]
        hypotheses.append({"glosses": [word for part in words for word in part], "score": score + loss})
    result = {
        "glosses": hypotheses[0]["glosses"],
        "text": " ".join(hypotheses[0]["glosses"]),
        "segments": segments,
        "n_best": hypotheses,
        "duration": round(duration, 4),
        "signer": signer,
        "known": _known(parts),
        "utterances": utterances,
    }
    sure = [found["sure"] for _, found in parts if "sure" in found]
    if sure:
        result["sure"] = any(sure)
    if not segments:
        unsure = [found["reason"] for _, found in parts if found.get("sure") is False]
        result["reason"] = reason or next(iter(unsure), "no sign was recognised in what moves")
    return result


def _known(parts: list[tuple[float, dict]]) -> float:
    """`known` of a recording: the mean of its stretches, each as often as it has glosses."""
    counts = [len(found["n_best"][0]["glosses"]) for _, found in parts]
    return sum(n * found["known"] for n, (_, found) in zip(counts, parts)) / max(1, sum(counts))
