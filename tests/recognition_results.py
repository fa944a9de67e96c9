"""Compare results of recognition, in memory and on disk."""

import math
from pathlib import Path

from signx_hf.recognition.outputs import STATE


def close(left: dict, right: dict) -> bool:
    """Equal glosses and times, confidences and scores up to rounding."""
    if left["glosses"] != right["glosses"] or left["duration"] != right["duration"]:
        return False
    pairs = [(a["score"], b["score"]) for a, b in zip(left["n_best"], right["n_best"])]
    for a, b in zip(left["segments"], right["segments"]):
        if (a["start"], a["end"]) != (b["start"], b["end"]):
            return False
        if a["confidence"] is not None:
            pairs.append((a["confidence"], b["confidence"]))
    return all(math.isclose(a, b, rel_tol=1e-4, abs_tol=1e-4) for a, b in pairs)


def tree(out: Path) -> dict[str, bytes]:
    """Every file of the output by its name, without the state folder."""
    paths = (path for path in out.rglob("*") if path.is_file() and STATE not in path.parts)
    return {path.relative_to(out).as_posix(): path.read_bytes() for path in paths}
