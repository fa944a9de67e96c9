"""JSON: everything that the pipeline returns.

One object per clip; a stream of clips has one object per line (JSON Lines).

| key | |
|---|---|
| `version` | 1; raised when a key changes its meaning or is removed |
| `file` | the clip, as it was named |
| `glosses` | list of strings |
| `text` | the glosses, joined with spaces |
| `segments` | list of `gloss`, `start` and `end` in seconds of the clip, `confidence` 0 to 1, each null if there is none |
| `n_best` | list of `glosses` and `score`, best first |
| `duration` | seconds at which the clip ends; like all times, from the start of the file |
| `signer` | whose signing was read, and how: `person`, the index or rule that chose one of several people; `people`, how many the pose file holds; both null for videos and for poses of one person. `hand`, the signer's dominant hand: `right`, `left`, or null if it was neither declared nor detected; `mirrored`, whether the clip was mirrored for the model |
| `known` | how similar the clip is to what the model knows, 0 to 1: the mean confidence of its glosses, over all utterances |
| `sure` | if there is a threshold: whether `known` reaches it; if false, `glosses` is empty and `n_best` holds what was read |
| `utterances` | with `chunk_length_s`: list of `start` and `end` of what was decoded together |
| `reason` | why there is no gloss: with `chunk_length_s`, or if the model is not sure |
| `translation` | with `translate`: list of `text`, `start`, `end` and `confidence`, one for the clip or for each utterance; empty if the model is not sure |

A translation alone (`sign-translation`) has no `glosses`, `segments`, `known` and `utterances`, but these keys:

| key | |
|---|---|
| `text` | the sentences, joined with spaces |
| `confidence` | 0 to 1, the geometric mean of the probabilities of the pieces of the text |
| `words` | list of `word` and `confidence` |
| `n_best` | list of `text` and `score`, best first |
| `sentences` | list of `text`, `start`, `end` and `confidence`, one for the clip or for each utterance |
| `reason` | why there is no text |

An isolated sign has no `n_best`, but these keys:

| key | |
|---|---|
| `candidates` | list of `label` and `score`, best first; the scores of all signs of the vocabulary add up to 1 |
| `sure` | whether the best candidate is the answer; if false, there is none and `glosses` is empty; null if the model has no threshold |
| `rejection` | the basis of that decision: `score`, its `value` for this clip, `threshold` |
| `start`, `end` | seconds between which the hands sign |

In fingerspelling, `glosses` and `segments` are words, there is no `n_best`, and

| key | |
|---|---|
| `letters` | list of `letter`, `start`, `end` and `confidence`, of all words in order |

Options of the pipeline add further keys, as it returns them. A non-finite number is null.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..common.messages import to_json

VERSION = 1


def document(result: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return the object of one clip, with values that JSON can hold."""
    return {"version": VERSION, "file": name, **_plain(result)}


def render(result: Mapping[str, Any], name: str, place: Path | None = None) -> str:
    """Return the file of one clip."""
    return to_json(document(result, name), indent=1, allow_nan=False) + "\n"


def rows(name: str, result: Mapping[str, Any], many: bool) -> str:
    """Return one line."""
    return to_json(document(result, name), allow_nan=False)


def _plain(value: object) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if hasattr(value, "item"):  # a scalar of numpy or torch
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value
