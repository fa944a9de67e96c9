"""The schema of all corpora: one row per clip.

| field | type | meaning |
| --- | --- | --- |
| `id` | string | unique in the corpus; the corpus' own name of the clip if it has one |
| `video` | Video(decode=False) | `{"path", "bytes"}` of a video file, or None; decoded by `SignXVideoProcessor` (PyAV), never by `datasets` |
| `frames` | string | folder of numbered images, for corpora that ship those instead of video, or None |
| `fps` | float64 | frames per second of video, frames and poses; None if the corpus does not say |
| `num_frames` | int64 | frames of the clip; None if the annotation does not say |
| `start`, `end` | float64 | seconds: the clip is `[start, end)` of a longer file; None and None for a file that is the clip |
| `signer` | string | the signer, by the corpus' own name, or None |
| `split` | string | `train`, `dev` or `test` |
| `glosses` | list of strings | in order of signing, after the chosen cleanup; empty if there are none |
| `segments` | list of `gloss`, `start`, `end` | the corpus' own labels in seconds from the start of the clip; empty if unknown |
| `text` | string | spoken-language sentence, or None |
| `sign_language` | string | ISO 639-3 code (`ase`, `gsg`, `csl`), or None |
| `spoken_language` | string | BCP-47 tag of `text` and of the words that glosses consist of (`en`, `de`, `zh`), or None |
| `tracks` | list of `name`, `path` | pose files of the clip, one per track (`.npz`, `.npy`, `.pose`); empty if none |
| `poses` | large_binary | all tracks of the clip as `encode_poses` writes them, or None |
| `licence` | string | what the owners of the corpus allow, in a few words |

Poses are float16 with a mask of what was observed, in one binary value per clip: the fastest type that `datasets` can
read and that keeps float16 (`benchmarks/data_loading.py`). float16 has 11 significant bits: integers are exact up to
2048, and the step at 1 is about 0.001.
"""

import itertools
import json
import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow
from datasets import Dataset, DatasetInfo, Features, List, NamedSplit, Value, Video
from datasets.fingerprint import Hasher

from ..processing.errors_signx import SignXPoseError

FEATURES = Features(
    {
        "id": Value("string"),
        "video": Video(decode=False),
        "frames": Value("string"),
        "fps": Value("float64"),
        "num_frames": Value("int64"),
        "start": Value("float64"),
        "end": Value("float64"),
        "signer": Value("string"),
        "split": Value("string"),
        "glosses": List(Value("string")),
        "segments": List({"gloss": Value("string"), "start": Value("float64"), "end": Value("float64")}),
        "text": Value("string"),
        "sign_language": Value("string"),
        "spoken_language": Value("string"),
        "tracks": List({"name": Value("string"), "path": Value("string")}),
        "poses": Value("large_binary"),
        "licence": Value("string"),
    }
)
LISTS = ("glosses", "segments", "tracks")
MAGIC = b"SXP1"
ALIGNMENT = 16
ROWS_PER_BATCH = 512


def make_row(**fields: Any) -> dict[str, Any]:
    """Build a row of the schema; missing fields are None or an empty list. `video` may be a path.

    Raises:
        TypeError: If the schema does not have a field.
    """
    unknown = fields.keys() - FEATURES.keys()
    if unknown:
        raise TypeError(f"unknown fields {sorted(unknown)}. Choose from {', '.join(FEATURES)}.")
    row = {name: fields.get(name) for name in FEATURES}
    for name in LISTS:
        row[name] = list(row[name] or [])
    if row["video"] is not None and not isinstance(row["video"], Mapping):
        row["video"] = {"bytes": None, "path": str(row["video"])}
    return row


def to_dataset(rows: Iterable[Mapping[str, Any]], split: str | None = None) -> Dataset:
    """Convert rows of `make_row` to a Dataset. The same rows give the same fingerprint in every process."""
    # Tables, because Dataset.from_list would convert each value in Python; in batches, because Arrow's growing buffers
    # and the fingerprint would each copy the poses of the full split.
    hasher, batches, rows = Hasher(), [], iter(rows)
    while batch := list(itertools.islice(rows, ROWS_PER_BATCH)):
        batches.append(pyarrow.Table.from_pylist(batch, schema=FEATURES.arrow_schema))
        hasher.update(batches[-1])
    hasher.update(split)
    table = pyarrow.concat_tables(batches) if batches else FEATURES.arrow_schema.empty_table()
    info, named = DatasetInfo(features=FEATURES), NamedSplit(split) if split else None
    return Dataset(table, info=info, split=named, fingerprint=hasher.hexdigest())


@dataclass(frozen=True)
class StoredPoses:
    """Poses of one clip as stored.

    Attributes:
        values: [T, D] float16, tracks side by side, 0 where unobserved; a read-only view of the stored bytes.
        mask: [T, N] bool, true where track n was observed.
        track_dims: Name -> width, in order.
        fps: Frame rate of the rows, or None; the mean one of a variable rate.
        notes: Layout, units, source and version of the tracks, as the writer gave them.
        start: Seconds of the first row, from the start of the clip.
        timestamps: [T] seconds of all rows from the start of the clip, for a variable rate, or None.
    """

    values: np.ndarray
    mask: np.ndarray
    track_dims: dict[str, int]
    fps: float | None = None
    notes: dict[str, str] = field(default_factory=dict)
    start: float = 0.0
    timestamps: np.ndarray | None = None

    def to_clip(self) -> dict[str, Any]:
        """Return a clip for `SignXPoseFeatureExtractor`: {track: [T, d] float32, "masks", "fps", "notes"}, with "start"
        unless it is 0, and "timestamps" of a variable rate.
        """
        ends = np.cumsum(list(self.track_dims.values()))[:-1]
        parts = np.split(self.values.astype(np.float32), ends, axis=1)
        clip: dict[str, Any] = dict(zip(self.track_dims, parts))
        clip["masks"] = {name: self.mask[:, index].copy() for index, name in enumerate(self.track_dims)}
        clip["fps"] = self.fps
        clip["notes"] = dict(self.notes)
        if self.timestamps is not None:
            clip["timestamps"] = self.timestamps
        elif self.start:
            clip["start"] = self.start
        return clip


def _observed(name: str, rows: np.ndarray, mask: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Return [T, d] float16 with 0 where unobserved, and observed [T]; all-NaN rows are unobserved."""
    rows = np.asarray(rows)
    if rows.ndim != 2 or rows.shape[1] == 0 or rows.dtype.kind not in "fiu":
        raise SignXPoseError(
            f"track '{name}' must be numbers [frames, width], got {rows.dtype} of shape {list(rows.shape)}. Reshape it."
        )
    observed = ~np.isnan(rows).all(axis=1) if rows.dtype.kind == "f" else np.ones(len(rows), dtype=bool)
    if mask is not None:
        mask = np.asarray(mask)
        if mask.shape != observed.shape or mask.dtype != bool:
            raise SignXPoseError(
                f"the mask of track '{name}' must be bool [{len(rows)}], got {mask.dtype} of shape {list(mask.shape)}."
            )
        observed = observed & mask
    bad = ~(np.abs(rows.astype(np.float64)) <= np.finfo(np.float16).max) & observed[:, None]
    if bad.any():
        frame, column = (int(index) for index in np.argwhere(bad)[0])
        raise SignXPoseError(
            f"track '{name}' frame {frame} column {column} must be finite and within the range of float16 (65504), "
            f"got {rows[frame, column]}. Rescale the track, or mask the frame."
        )
    return np.where(observed[:, None], rows, 0).astype(np.float16), observed


def encode_poses(
    tracks: Mapping[str, Any],
    masks: Mapping[str, Any] | None = None,
    fps: float | None = None,
    notes: Mapping[str, str] | None = None,
    start: float = 0.0,
    timestamps: Sequence[float] | np.ndarray | None = None,
) -> bytes:
    """Encode the pose tracks of one clip as the bytes of the `poses` field.

    Layout: magic `SXP1`, length of the header (uint32, little-endian), JSON header, padding to 16 bytes, mask [T, N]
    as bytes 0 and 1, padding to 16 bytes, values [T, D] float16, little-endian.

    Args:
        tracks: Name -> [T, d] numbers. A row that is all NaN was not observed.
        masks: Name -> [T] bool, true where observed; tracks without a mask are observed wherever they are not NaN.
        fps: Frame rate of the rows; the mean one of a variable rate.
        notes: Layout, units, source and version of the tracks, as text.
        start: Seconds of the first row, from the start of the clip.
        timestamps: [T] ascending seconds of all rows from the start of the clip, for a variable rate; they take the
            place of `start`.

    Raises:
        SignXPoseError: If there is no track, lengths differ, times do not ascend, or float16 cannot hold a number.
    """
    if not tracks:
        raise SignXPoseError("`tracks` must hold at least one pose track, got none.")
    unknown = set(masks or {}) - set(tracks)
    if unknown:
        raise SignXPoseError(
            f"`masks` must name given tracks ({', '.join(tracks)}), got {', '.join(sorted(unknown))}."
        )
    parts = {name: _observed(name, rows, (masks or {}).get(name)) for name, rows in tracks.items()}
    lengths = {name: len(values) for name, (values, _) in parts.items()}
    if len(set(lengths.values())) > 1:
        raise SignXPoseError(f"tracks must have the same number of frames, got {lengths}. Fill up with NaN rows.")
    frames = next(iter(lengths.values()))
    header = {
        "frames": frames,
        "tracks": {name: values.shape[1] for name, (values, _) in parts.items()},
        "fps": None if fps is None else float(fps),
        "notes": dict(notes or {}),
    }
    if timestamps is not None:
        header["timestamps"] = [round(float(time), 6) for time in timestamps]
    elif start:
        header["start"] = round(float(start), 6)
    _check_times(header)
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    start = MAGIC + struct.pack("<I", len(text)) + text
    mask = np.stack([observed for _, observed in parts.values()], axis=1).astype(np.uint8).tobytes()
    values = np.concatenate([values for values, _ in parts.values()], axis=1).astype("<f2").tobytes()
    return b"".join((start, _padding(len(start)), mask, _padding(len(mask)), values))


def _padding(length: int) -> bytes:
    return bytes(-length % ALIGNMENT)


def decode_poses(data: bytes) -> StoredPoses:
    """Decode the bytes of the `poses` field; the values are a view without copies.

    Raises:
        SignXPoseError: If the bytes were not written by `encode_poses`, or are truncated.
    """
    header, offset = _header(data)
    widths = list(header["tracks"].values())
    frames, tracks, width = header["frames"], len(widths), sum(widths)
    mask_end = offset + frames * tracks
    values_start = mask_end + len(_padding(frames * tracks))
    size = values_start + 2 * frames * width
    if len(data) != size:
        raise SignXPoseError(
            f"stored poses of {frames} frames of width {width} must be {size} bytes, got {len(data)}. Extract them again."
        )
    mask = np.frombuffer(data, np.uint8, frames * tracks, offset).reshape(frames, tracks)
    if mask.size and mask.max() > 1:
        raise SignXPoseError(f"the mask of stored poses must be 0 or 1, got {mask.max()}. Extract them again.")
    values = np.frombuffer(data, "<f2", frames * width, values_start).reshape(frames, width)
    times = None if header["timestamps"] is None else np.array(header["timestamps"], np.float64)
    start = header["start"] if times is None or not frames else float(times[0])
    return StoredPoses(values, mask.view(bool), header["tracks"], header["fps"], header["notes"], start, times)


def stored_frames(data: bytes) -> int:
    """Return the number of frames of a `poses` value, from its header alone."""
    return _header(data)[0]["frames"]


def _header(data: bytes) -> tuple[dict[str, Any], int]:
    """Return the checked header and the offset of the mask."""
    if len(data) < 8 or data[:4] != MAGIC:
        raise SignXPoseError(
            f"stored poses must start with {MAGIC!r}, got {bytes(data[:4])!r}. Write them with encode_poses."
        )
    (length,) = struct.unpack_from("<I", data, 4)
    try:
        header = json.loads(bytes(data[8 : 8 + length]))
        sizes = [header["frames"], *header["tracks"].values()]
        known = {"fps": header["fps"], "notes": header["notes"]}
        known |= {"start": header.get("start", 0.0), "timestamps": header.get("timestamps")}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise SignXPoseError(
            f"the header of stored poses cannot be read ({type(error).__name__}). Extract them again."
        ) from error
    if len(sizes) < 2 or any(type(number) is not int or number < 0 for number in sizes):
        raise SignXPoseError(
            f"stored poses must have at least one track and sizes of at least 0, got {sizes}. Extract them again."
        )
    _check_times({"frames": header["frames"], **known})
    start = 8 + length
    return {"frames": header["frames"], "tracks": header["tracks"], **known}, start + len(_padding(start))


def _check_times(header: Mapping[str, Any]) -> None:
    """Raise SignXPoseError unless the times of rows are ascending seconds of at least 0."""
    given = header.get("timestamps")
    times = [header.get("start", 0.0)] if given is None else given
    try:
        is_number = isinstance(times, list) and all(type(time) in (int, float) for time in times)
        seconds = np.array(times if is_number else [np.nan], np.float64)
    except OverflowError:
        seconds = np.array([np.nan])
    fits = given is None or len(seconds) == header["frames"]
    if not (fits and np.isfinite(seconds).all() and (seconds >= 0).all() and (np.diff(seconds) > 0).all()):
        raise SignXPoseError(
            f"the times of {header['frames']} rows must be ascending seconds of at least 0, one for each row, got "
            f"{times!r:.80}. Extract the poses again."
        )


def words(text: str | Sequence[str]) -> list[str]:
    """Split a string of glosses at whitespace, or clean a list; empty glosses are dropped."""
    parts = text.split() if isinstance(text, str) else text
    return [part.strip() for part in parts if part.strip()]
