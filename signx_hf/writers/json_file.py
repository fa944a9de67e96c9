"""JSON: everything that the pipeline says.

One object per clip; a stream of clips has one on each line (JSON Lines).

| key | |
|---|---|
| `version` | 1; raised when a key changes its meaning or goes away |
| `file` | the clip, as it was named |
| `glosses` | list of strings |
| `text` | the glosses, joined with spaces |
| `segments` | list of `gloss`, `start` and `end` in seconds of the clip, `confidence` 0 to 1, or null where there is none |
| `n_best` | list of `glosses` and `score`, the best first |
| `duration` | seconds of the clip that were recognised |
| `signer` | who was read, and how: `person`, the index or rule that chose one of several people; `people`, how many the pose file holds; \
both null for videos and for poses of one person. `hand`, which the signer leads with, `right`, `left`, or null where nobody declared or \
detected it; `mirrored`, whether the clip was mirrored for the model |
| `known` | how much the clip is like what the model knows, 0 to 1: the mean confidence of its glosses, of all utterances |
| `sure` | where a threshold holds: whether `known` reaches it; false: `glosses` is empty, and `n_best` holds what was read |
| `utterances` | with `chunk_length_s`: list of `start` and `end` of what was decoded together |
| `reason` | why there is no gloss: with `chunk_length_s`, or where the model is not sure |

Of a single sign there are no `n_best`, and these:

| key | |
|---|---|
| `candidates` | list of `label` and `score`, the best first; the scores of all signs of the vocabulary add up to 1 |
| `sure` | whether the best candidate is the answer; false: none is, and `glosses` is empty. null: the model has no threshold |
| `rejection` | what that was decided by: `score`, its `value` for this clip, `threshold` |
| `start`, `end` | seconds between which the hands sign |

Of finger-spelling `glosses` and `segments` are words, there are no `n_best`, and

| key | |
|---|---|
| `letters` | list of `letter`, `start`, `end` and `confidence`, of all words in order |

Further keys are what the options of the pipeline add, as it returns them. A number that is not finite is null.
"""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

VERSION = 1


def document(result: Mapping[str, Any], name: str) -> dict[str, Any]:
    """The object of one clip, as JSON can hold it."""
    return {"version": VERSION, "file": name, **_plain(result)}


def render(result: Mapping[str, Any], name: str, place: Path | None = None) -> str:
    """The file of one clip."""
    return json.dumps(document(result, name), ensure_ascii=False, indent=1, allow_nan=False) + "\n"


def rows(name: str, result: Mapping[str, Any], many: bool) -> str:
    """One line."""
    return json.dumps(document(result, name), ensure_ascii=False, allow_nan=False)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if hasattr(value, "item"):  # a number of numpy's or torch's
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value
