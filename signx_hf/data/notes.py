"""Notes of the pose tracks of a dataset, for the processor of a model that is trained on them."""

import os
import warnings
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ..processing.errors_signx import SignXWarning
from ..processing.keypoints_signx import note_meaning
from ..processing.pose_files_signx import load_numpy, parse_notes
from .schema import decode_poses

FIELDS = ("layout", "units", "order", "source", "version")


def collect_track_notes(rows: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """Collect the notes of the tracks of a dataset, for `SignXPoseFeatureExtractor(track_notes=...)`.

    If clips disagree, the most frequent note is taken (on ties, the first in the dataset), and a SignXWarning names an
    example of each.

    Args:
        rows: Rows of the schema; notes come from `poses` and from the `.npz` files in `tracks`. Rows may have no
            notes.

    Raises:
        SignXPoseError, SignXFileNotFoundError: If a pose file cannot be read.
    """
    values: dict[str, Counter] = {}
    example: dict[tuple[str, str], str] = {}
    written: dict[tuple[str, str], str] = {}  # as the first of the clips says it
    for number, row in enumerate(rows):
        for key, value in _row_notes(row).items():
            if key.rpartition(".")[2] in FIELDS:
                meaning = note_meaning(value)
                values.setdefault(key, Counter())[meaning] += 1
                written.setdefault((key, meaning), value)
                example.setdefault((key, meaning), str(row.get("id") or f"row {number}"))
    notes = {}
    for key, counts in sorted(values.items()):
        ranked = counts.most_common()  # ties stay in the order of the dataset
        notes[key] = written[key, ranked[0][0]]
        if len(ranked) > 1:
            variants = ", ".join(f"'{value}' in {count} clips ({example[key, value]})" for value, count in ranked[:3])
            track, _, field = key.rpartition(".")
            warnings.warn(
                f"track '{track}': clips disagree on {field}: {variants}. Extract all clips with the same settings, or train on "
                "one kind of clips.",
                SignXWarning,
                stacklevel=2,
            )
    return notes


def _row_notes(row: Mapping[str, Any]) -> dict[str, str]:
    notes: dict[str, str] = {}
    for track in row.get("tracks") or ():
        path = Path(os.fspath(track["path"]))
        if path.suffix.lower() == ".npz":
            notes.update(parse_notes(load_numpy(path, ".npz", ("notes",)).get("notes"), str(path)))
    if row.get("poses") is not None:
        notes.update(decode_poses(row["poses"]).notes)
    return notes
