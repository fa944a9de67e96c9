"""Clips for training, read once from the rows of a dataset, and a held-out split where a corpus has no dev split."""

import hashlib
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from ..common.messages import collect_warnings
from ..data.load import open_source
from ..data.media import of_clip, pose_clip
from ..processing.errors_signx import SignXError, SignXWarning
from ..processing.hands_signx import HandClip
from .arguments import DataArguments

if TYPE_CHECKING:
    from datasets import Dataset, DatasetDict

    from ..processing.processing_signx import SignXProcessor


@dataclass
class Example:
    """One clip.

    Attributes:
        id: of the clip.
        length: in frames, or in steps of what a stage trains on.
        glosses, text, signer: as in the row.
        segments: glosses with times in seconds, as in the row.
        fps: frames per second of the poses or the video.
        start: of the first frame, in seconds on the clock of the segments.
        pose_values: `[T, D]` of the feature extractor, or None.
        pose_mask: `[T, N]` of the feature extractor, or None.
        hands: for a model of the track `hands`, in place of the poses.
        video: path or bytes, as in the row.
        span: start and end of the clip in the video, in seconds.
        arrays: added by a stage (latents, features, frames), by name.
        task: what is decoded of the clip: gloss or text.
    """

    id: str
    length: int
    glosses: list[str]
    text: str | None = None
    signer: str | None = None
    segments: list[dict] = field(default_factory=list)
    fps: float = 0.0
    pose_values: np.ndarray | None = None
    pose_mask: np.ndarray | None = None
    hands: HandClip | None = None
    video: dict | None = None
    span: tuple[float | None, float | None] = (None, None)
    arrays: dict[str, np.ndarray] = field(default_factory=dict)
    task: str = "gloss"

    def sentence(self, task: str) -> str:
        """Return the glosses or the text as one string, empty where the clip has none."""
        return " ".join(self.glosses) if task == "gloss" else self.text or ""

    start: float = 0.0


def open_splits(arguments: DataArguments) -> tuple["Dataset", "Dataset", str]:
    """Return the rows to train on, the rows to evaluate on, and a fingerprint of both.

    Raises:
        SignXError: If the corpus or a split does not exist, or a split is empty.
    """
    data = open_source(arguments.dataset, arguments.data_dir, **arguments.loader_options)
    train = split_of(data, arguments.train_split, arguments.dataset)
    if arguments.dev_split:
        dev = split_of(data, arguments.dev_split, arguments.dataset)
    elif arguments.dev_by == "gloss":
        held = hold_out_of_each(train, arguments.dev_share)
        dev = train.select(held or range(len(train)))
        train = train.select(sorted(set(range(len(train))) - set(held)))
        if not held and len(train):
            warnings.warn(
                f"{arguments.dataset}: no gloss has enough clips to hold one out. Evaluating on the training clips, which says nothing about "
                "other clips. Record at least three clips of each gloss.",
                SignXWarning, stacklevel=2,
            )  # fmt: skip
    else:
        held = hold_out(train, arguments.dev_share, arguments.dev_by)
        dev = train.select(held)
        train = train.select(sorted(set(range(len(train))) - set(held)))
    if arguments.max_clips:
        train, dev = (rows.select(range(min(arguments.max_clips, len(rows)))) for rows in (train, dev))
    for name, rows in (("training", train), ("dev", dev)):
        if not len(rows):
            raise SignXError(f"{arguments.dataset}: the {name} split is empty. Check the splits and dev_share.")
    return train, dev, fingerprint(train, dev)


def split_of(
    data: "Dataset | DatasetDict", name: str, dataset: str, remedy: str = "set train_split and dev_split"
) -> "Dataset":
    """Return the rows of a split, or of several as in `train+dev`; all rows of data without splits.

    Args:
        data: a dataset, or a dict of datasets.
        name: of the split.
        dataset: name of the data, for messages.
        remedy: how the user names another split, for messages.

    Raises:
        SignXError: If the split does not exist.
    """
    if "+" in name:
        from datasets import concatenate_datasets

        return concatenate_datasets([split_of(data, part.strip(), dataset, remedy) for part in name.split("+")])
    if not hasattr(data, "keys"):
        return (
            data.filter(lambda split: split == name, input_columns=["split"]) if "split" in data.column_names else data
        )
    if name not in data:
        raise SignXError(f"{dataset} has no split {name!r}, only {', '.join(data)}; {remedy}")
    return data[name]


def hold_out(rows: "Dataset", share: float, by: str) -> list[int]:
    """Return indices of about `share` of the rows to evaluate on, a group at a time.

    Groups are chosen by a hash of their names, so that the choice does not change when clips are added.

    Args:
        rows: of the training split.
        share: from 0 to 1.
        by: clip, sentence, signer or language.
    """
    keys = {
        "clip": lambda row: row["id"],
        "sentence": lambda row: " ".join(row["glosses"]) or " ".join((row["text"] or "").split()),
        "signer": lambda row: str(row["signer"]),
        "language": lambda row: str(row["sign_language"]),
    }
    columns = rows.select_columns(["id", "glosses", "text", "signer", "sign_language"])
    names = [keys[by](row) for row in columns]
    ranked = sorted(set(names), key=lambda name: hashlib.sha256(name.encode()).hexdigest())
    target, chosen, count = share * len(names), set(), 0
    for name in ranked:
        if count >= target:
            break
        chosen.add(name)
        count += names.count(name)
    return [index for index, name in enumerate(names) if name in chosen]


def hold_out_of_each(rows: "Dataset", share: float) -> list[int]:
    """Return indices of about `share` of the rows of every gloss, rounded, so that each keeps rows to train on. Rows are chosen by
    a hash of their ids."""
    hashed: dict[str, list[tuple[str, int]]] = {}
    columns = rows.select_columns(["id", "glosses"])
    for index, row in enumerate(columns):
        name = hashlib.sha256(row["id"].encode()).hexdigest()
        hashed.setdefault(" ".join(row["glosses"]), []).append((name, index))
    return sorted(index for group in hashed.values() for _, index in sorted(group)[: round(share * len(group))])


def fingerprint(*splits: "Dataset") -> str:
    """Return a hash of ids, glosses, text, poses and file names, in order."""
    digest = hashlib.sha256()
    for rows in splits:
        for row in rows.with_format(None):
            video = (row["video"] or {}).get("path") or ""
            for value in (
                row["id"],
                " ".join(row["glosses"]),
                row["text"] or "",
                video,
                str(row["start"]),
                str(row["end"]),
            ):
                digest.update(value.encode() + b"\0")
            digest.update(row["poses"] or b"")
        digest.update(b"\1")
    return digest.hexdigest()


def read_examples(
    rows: Iterable[dict],
    processor: "SignXProcessor",
    with_poses: bool = True,
    tracks: Sequence[str] = (),
    skip_bad: bool = False,
) -> list[Example]:
    """Read rows into examples; the processor's feature extractor reads, normalizes and resamples the poses.

    Args:
        rows: of a dataset.
        processor: of the model.
        with_poses: whether poses are read.
        tracks: that were extracted from videos, for rows without poses.
        skip_bad: skip clips whose poses cannot be used, with a warning that names them.

    Raises:
        SignXError: If the poses of a clip cannot be used, or with `skip_bad` those of all clips. The message names the
            clip.
    """
    examples, failures = [], []
    said: dict[str, list[str]] = {}  # warning -> ids of the clips that it is about
    for row in rows:
        try:
            with collect_warnings() as notes:
                examples.append(_example(row, processor.feature_extractor, with_poses, tracks))
        except SignXError as error:
            if not skip_bad:
                raise
            failures.append(" ".join(str(error).split()))
        for note in notes:
            said.setdefault(note.removeprefix(f"clip {row['id']}: "), []).append(row["id"])
    for note, ids in said.items():
        about = f"clip {ids[0]}" if len(ids) == 1 else f"{len(ids)} clips, the first {ids[0]}"
        warnings.warn(f"{about}: {note}", SignXWarning, stacklevel=2)
    if failures and not examples:
        raise SignXError(f"None of {len(failures)} clips can be used; the first: {failures[0]}")
    if failures:
        warnings.warn(
            f"Skipping {len(failures)} of {len(failures) + len(examples)} clips that cannot be used: {'; '.join(failures)}",
            SignXWarning,
            stacklevel=2,
        )
    return examples


def _example(row: dict, extractor: Any, with_poses: bool, tracks: Sequence[str]) -> Example:
    example = Example(
        row["id"], row["num_frames"] or 0, list(row["glosses"]), " ".join((row["text"] or "").split()) or None, row["signer"],
        [dict(segment) for segment in row["segments"]], row["fps"] or extractor.fps or 0.0,
        video=row["video"], span=(row["start"], row["end"]),
    )  # fmt: skip
    if not with_poses:
        return example
    try:
        clip = pose_clip(row, extractor, tracks)
        if clip is None:
            return example
        # read it first: the extractor would name it by its index in the batch, which is always 0
        clip = extractor.read(clip, f"clip {row['id']}")
        example.start = clip.begins
        if extractor.reads_hands:  # features are computed in every epoch, from augmented hands
            example.hands = extractor.hand_clip(clip)
            example.length = extractor.hand_steps or round(example.hands.seconds * extractor.fps) + 1
            example.fps = extractor.fps
            return example
        batch = extractor(clip, return_tensors="np", return_metadata=True)
    except (SignXError, OSError) as error:  # SignXFileNotFoundError is both
        raise of_clip(row, error) from error
    example.pose_values, example.pose_mask = batch["pose_values"][0], batch["pose_mask"][0]
    example.length = len(example.pose_values)
    example.fps = batch["pose_metadata"][0]["fps"] or example.fps
    return example


def pad(arrays: Sequence[np.ndarray], value: float = 0) -> np.ndarray:
    """Stack arrays `[T_i, ...]` to `[B, max T, ...]`, padded with `value` on the right."""
    longest = max(len(array) for array in arrays)
    out = np.full((len(arrays), longest, *arrays[0].shape[1:]), value, dtype=arrays[0].dtype)
    for row, array in zip(out, arrays):
        row[: len(array)] = array
    return out
