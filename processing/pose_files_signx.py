"""Read one clip of pose tracks, from a dictionary, an array or a file, into a `PoseClip`.

Files are not trusted: nothing is unpickled, and any error of a parser becomes one line that names the file.
"""

import difflib
import json
import os
import re
import tokenize
import zipfile
import zlib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from .errors_signx import SignXFileNotFoundError, SignXPoseError
from .keypoints_signx import (
    DWPOSE_POINTS,
    DWPOSE_SHOULDERS,
    DWPOSE_WIDTH,
    FACE_MESH_POINTS,
    HAND_POINTS,
    HANDS_SLOTS,
    HANDS_WIDTH,
    MEDIAPIPE_BODY_WIDTH,
    MEDIAPIPE_WIDTH,
)
from .memory_signx import check_unpacked
from .pose_readers_signx import (
    choose_person,
    is_mediapipe_content,
    is_openpose_folder,
    mediapipe_clip,
    one_line,
    openpose_person,
    single_track,
    warn_of_fractions,
)
from .whole_body_signx import WHOLE_BODIES, dwpose_of, named_arrays


def _words(text: str) -> list[str]:
    return text.split()


MASK_SUFFIX = "_mask"
CLIP_KEYS = ("fps", "start", "timestamps", "frame_size", "masks", "notes")
MAX_SIDE = 1e6  # pixels
SUFFIXES = (".npz", ".npy", ".pose", ".json")
POSE_FILES = "a .npz, .npy, .pose or .json file"
PICKLES = (".pkl", ".pickle", ".pt", ".pth", ".joblib")
MEDIAPIPE_BODY_NAMES = _words(
    "NOSE LEFT_EYE_INNER LEFT_EYE LEFT_EYE_OUTER RIGHT_EYE_INNER RIGHT_EYE RIGHT_EYE_OUTER LEFT_EAR RIGHT_EAR MOUTH_LEFT "
    "MOUTH_RIGHT LEFT_SHOULDER RIGHT_SHOULDER LEFT_ELBOW RIGHT_ELBOW LEFT_WRIST RIGHT_WRIST LEFT_PINKY RIGHT_PINKY "
    "LEFT_INDEX RIGHT_INDEX LEFT_THUMB RIGHT_THUMB LEFT_HIP RIGHT_HIP LEFT_KNEE RIGHT_KNEE LEFT_ANKLE RIGHT_ANKLE "
    "LEFT_HEEL RIGHT_HEEL LEFT_FOOT_INDEX RIGHT_FOOT_INDEX"
)
MEDIAPIPE_HANDS = ("LEFT_HAND_LANDMARKS", "RIGHT_HAND_LANDMARKS")
MEDIAPIPE_HAND_NAMES = ["WRIST", *_words("THUMB_CMC THUMB_MCP THUMB_IP THUMB_TIP")] + [
    f"{finger}_{joint}"
    for finger in ("INDEX_FINGER", "MIDDLE_FINGER", "RING_FINGER", "PINKY")
    for joint in ("MCP", "PIP", "DIP", "TIP")
]
OPENPOSE_BODY_NAMES = _words(
    "Nose Neck RShoulder RElbow RWrist LShoulder LElbow LWrist RHip RKnee RAnkle LHip LKnee LAnkle REye LEye REar LEar"
)
ABSENT = "-"
COCO_BODY_NAMES = _words(  # in the order of OpenPose; COCO has no neck
    "nose - right_shoulder right_elbow right_wrist left_shoulder left_elbow left_wrist right_hip right_knee right_ankle "
    "left_hip left_knee left_ankle right_eye left_eye right_ear left_ear"
)
OPENPOSE_HAND_NAMES = ["BASE", *_words("T_STT T_BCMC T_MCP T_IP")] + [
    f"{finger}_{joint}" for finger in "IMRP" for joint in ("CMC", "MCP", "PIP", "DIP")
]


@dataclass(frozen=True)
class PoseClip:
    """Pose tracks of one clip, as measured (not normalized).

    Attributes:
        tracks: Name -> [T, d] float64, 0 where unobserved.
        masks: Name -> [T] bool, true where observed.
        source: Name of the clip, for messages.
        fps: Frames per second of the rows; None if unknown.
        timestamps: [T] seconds of the rows for a variable frame rate, or None.
        face: [T, 478, 3] MediaPipe face mesh (x, y, z), from files that have one; it is not in a track, but
            `keypoints73` takes it.
        face_mask: [T, 478] bool.
        notes: Notes of the writer as text: `"<track>.layout"`, `.units`, `.order`, `.source`, `.version`.
        people: Number of people in the file, of whom the tracks show one; None where it cannot hold several.
        size: (width, height) of the picture in pixels; None if unknown.
        start: Seconds at which the first row begins, where the rate is constant: those of a video whose picture starts
            later than its sound, for example.
    """

    tracks: dict[str, np.ndarray]
    masks: dict[str, np.ndarray]
    source: str
    fps: float | None = None
    timestamps: np.ndarray | None = None
    face: np.ndarray | None = None
    face_mask: np.ndarray | None = None
    notes: dict[str, str] = field(default_factory=dict)
    people: int | None = None
    size: tuple[float, float] | None = None
    start: float = 0.0

    @property
    def num_frames(self) -> int:
        """Return T."""
        return len(next(iter(self.masks.values())))

    @property
    def begins(self) -> float:
        """Return the seconds at which the first row begins, on the clock that all times of the clip count on."""
        return self.start if self.timestamps is None else max(0.0, float(self.timestamps[0]))


def nearest(name: object, legal: Iterable[str]) -> str:
    """Return text that suggests the nearest valid name and lists all of them."""
    legal = list(legal)
    close = difflib.get_close_matches(str(name), legal, n=1, cutoff=0.5)
    return (f"Did you mean '{close[0]}'? " if close else "") + f"Valid names are {', '.join(legal)}."


def to_numpy(value: object, what: str) -> np.ndarray:
    """Convert an array or torch tensor to a new numpy array of numbers (float64; bool stays bool).

    Args:
        value: Array or tensor.
        what: What it is, for the message.

    Raises:
        SignXPoseError: If the value is anything else, or does not hold numbers.
    """
    if torch.is_tensor(value):
        value = value.detach().cpu()
        value = (value.double() if value.is_floating_point() else value).numpy()
    if not isinstance(value, np.ndarray):
        raise SignXPoseError(
            f"{what} must be a numpy array or a torch tensor, got {type(value).__name__}. Convert it with "
            "numpy.asarray."
        )
    if value.dtype.kind not in "fiub":
        raise SignXPoseError(f"{what} must hold numbers, got dtype {value.dtype}. Save plain float32 arrays.")
    return value.copy() if value.dtype.kind == "b" else value.astype(np.float64)


def _observed_rows(
    values: np.ndarray, mask: np.ndarray | None, track: str, source: str
) -> tuple[np.ndarray, np.ndarray]:
    """Return values [T, d], 0 where unobserved, and observed [T]: neither masked by the caller nor all NaN."""
    observed = ~np.isnan(values).all(axis=1)
    if mask is not None:
        observed &= mask
    # The model gets float32: a number beyond its range would become inf after this check.
    bad = ~(np.abs(values) <= np.finfo(np.float32).max) & observed[:, None]
    if bad.any():
        frame, column = (int(i) for i in np.argwhere(bad)[0])
        raise SignXPoseError(
            f"{source}: track '{track}' must be finite, got {values[frame, column]} in frame {frame} column "
            f"{column}. Make the row all NaN or mask it if the frame was not observed, and write a missing hand "
            "or face as zeros."
        )
    values[~observed] = 0.0
    return values, observed


def _mask_array(mask: object, track: str, source: str) -> np.ndarray:
    mask = to_numpy(mask, f"{source}: the mask of track '{track}'")
    if mask.ndim != 1 or not np.isin(mask, (0, 1)).all():
        raise SignXPoseError(
            f"{source}: the mask of track '{track}' must have shape [frames] with true and false, got shape "
            f"{list(mask.shape)}."
        )
    return mask.astype(bool)


def _split_keys(clip: Mapping, track_dims: Mapping[str, int], source: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the tracks and the masks of a clip by track name; any other key is an error."""
    masks = clip.get("masks")
    if masks is not None and not isinstance(masks, Mapping):
        raise SignXPoseError(
            f"{source}: `masks` must be a dict of track names to masks [frames], got {type(masks).__name__}."
        )
    masks = dict(masks or {})
    tracks = {}
    for key, value in clip.items():
        if key in track_dims:
            tracks[key] = value
        elif isinstance(key, str) and key.endswith(MASK_SUFFIX) and key[: -len(MASK_SUFFIX)] in track_dims:
            name = key[: -len(MASK_SUFFIX)]
            if name in masks:
                raise SignXPoseError(
                    f"{source}: track '{name}' must have one mask, got both '{key}' and an entry in 'masks'. Remove one."
                )
            masks[name] = value
        elif key not in CLIP_KEYS:
            raise SignXPoseError(f"{source}: unknown track or key '{key}'. {nearest(key, (*track_dims, *CLIP_KEYS))}")
    for name in masks:
        if name not in tracks:
            raise SignXPoseError(
                f"{source}: there is a mask for track '{name}', which the clip does not have. Its tracks are "
                f"{', '.join(tracks)}."
            )
    return tracks, masks


def clip_from_mapping(clip: Mapping, track_dims: Mapping[str, int], source: str) -> PoseClip:
    """Build a clip from a dictionary of tracks.

    Args:
        clip: Keys are track names with [T, d] arrays; "<track>_mask" or masks={track: ...} with [T] bool; fps; start
            of the first row in seconds, or timestamps [T] in seconds of all; frame_size (width, height) in pixels if the keypoints are fractions of the
            frame, as MediaPipe and DWPose give them (x and z are then multiplied by the width and y by the height);
            notes {"<track>.layout": ...} or the same as JSON text.
        track_dims: Name -> width of the tracks that are read.
        source: Name of the clip, for messages.

    Raises:
        SignXPoseError: If a key, shape or value is invalid.
    """
    tracks, masks = _split_keys(clip, track_dims, source)
    if not tracks:
        raise SignXPoseError(
            f"{source}: the clip must have at least one of the tracks {', '.join(track_dims)}, got none."
        )
    values, observed, first = {}, {}, None
    for name in (n for n in track_dims if n in tracks):
        rows = to_numpy(tracks[name], f"{source}: track '{name}'").astype(np.float64, copy=False)
        if (name, track_dims[name]) == ("hands", HANDS_WIDTH):
            rows = _rows_of_hands(rows)
        if rows.ndim != 2 or rows.shape[1] != track_dims[name]:
            raise SignXPoseError(
                f"{source}: track '{name}' must have shape [frames, {track_dims[name]}], got {list(rows.shape)}. "
                "Reshape it or change track_dims."
            )
        first = first or (name, len(rows))
        if len(rows) != first[1]:
            raise SignXPoseError(
                f"{source}: all tracks must have the same number of frames, got {len(rows)} for '{name}' and "
                f"{first[1]} for '{first[0]}'. Resample one of them or fill the missing frames with NaN rows."
            )
        mask = _mask_array(masks[name], name, source) if name in masks else None
        if mask is not None and len(mask) != len(rows):
            raise SignXPoseError(
                f"{source}: the mask of track '{name}' must have {len(rows)} frames like the track, got {len(mask)}."
            )
        values[name], observed[name] = _observed_rows(rows, mask, name, source)
    if first[1] == 0:
        raise SignXPoseError(f"{source}: the clip must have at least one frame, got 0. Leave it out of the batch.")
    size = None
    if clip.get("frame_size") is not None:
        size = _to_pixels(values, clip["frame_size"], source)
    times, notes = _timestamps(clip.get("timestamps"), first[1], source), parse_notes(clip.get("notes"), source)
    start = _start(clip.get("start"), source)
    return PoseClip(values, observed, source, clip.get("fps"), times, notes=notes, size=size, start=start)


def _rows_of_hands(rows: np.ndarray) -> np.ndarray:
    """Return rows of the track `hands` [T, 126] or [T, 2, 21, 3] as [T, 126], with zeros for a single hand that is
    NaN.
    """
    if rows.shape[1:] in ((HANDS_SLOTS, HAND_POINTS, 3), (HANDS_WIDTH,)):
        hands = rows.reshape(len(rows), HANDS_SLOTS, HAND_POINTS * 3)
        absent = np.isnan(hands).all(axis=-1)
        hands[absent & ~absent.all(axis=1, keepdims=True)] = 0.0
        return hands.reshape(len(rows), HANDS_WIDTH)
    return rows


def parse_notes(notes: object, source: str) -> dict[str, str]:
    """Return the notes of a clip as a dictionary.

    Args:
        notes: Dictionary, JSON text, or that text as an array without axes, as a `.npz` holds it.
        source: Name of the clip, for the message.

    Raises:
        SignXPoseError: If the notes are anything else.
    """
    if notes is None:
        return {}
    if isinstance(notes, np.ndarray) and notes.ndim == 0 and notes.dtype.kind == "U":
        notes = str(notes)
    if isinstance(notes, str):
        try:
            notes = json.loads(notes)
        except (ValueError, RecursionError):
            notes = None
    if not isinstance(notes, Mapping) or not all(isinstance(x, str) for pair in notes.items() for x in pair):
        raise SignXPoseError(
            f"{source}: `notes` must be a dictionary of strings, or in a .npz its JSON: notes=json.dumps({{...}})."
        )
    return dict(notes)


def _frame_scale(frame_size: object, source: str) -> np.ndarray:
    """Return the factors [3] of fractions x, y, z for a frame of (width, height)."""
    size = np.asarray(frame_size)
    if size.shape != (2,) or size.dtype.kind not in "fiu" or not ((size > 0) & (size <= MAX_SIDE)).all():
        raise SignXPoseError(
            f"{source}: `frame_size` must be (width, height) in pixels, both above 0 and at most {MAX_SIDE:g}, "
            f"got {frame_size!r}."
        )
    return size.astype(np.float64)[[0, 1, 0]]


def _to_pixels(values: dict[str, np.ndarray], frame_size: object, source: str) -> tuple[float, float]:
    """Multiply the keypoints by the frame size, in place; `hands` stay fractions. Return (width, height)."""
    scale = _frame_scale(frame_size, source)
    if "dwpose" in values:
        values["dwpose"].reshape(-1, DWPOSE_POINTS, 3)[..., :2] *= scale[:2]
    if "mediapipe" in values:
        rows = values["mediapipe"]
        rows[:, :MEDIAPIPE_BODY_WIDTH].reshape(len(rows), -1, 4)[..., :3] *= scale
        rows[:, MEDIAPIPE_BODY_WIDTH:] *= np.tile(scale, 2 * HAND_POINTS)
    return float(scale[0]), float(scale[1])


def _start(start: object, source: str) -> float:
    try:
        seconds = 0.0 if start is None else float(start)
    except (TypeError, ValueError):
        seconds = np.nan
    if not 0 <= seconds < np.inf:
        raise SignXPoseError(f"{source}: `start` must be seconds of at least 0, got {start!r:.80}.")
    return seconds


def _timestamps(timestamps: object, frames: int, source: str) -> np.ndarray | None:
    if timestamps is None:
        return None
    times = to_numpy(timestamps, f"{source}: timestamps").astype(np.float64)
    if times.shape != (frames,) or not np.isfinite(times).all() or not (np.diff(times) > 0).all():
        raise SignXPoseError(
            f"{source}: `timestamps` must be [{frames}] ascending seconds, one per frame, got shape "
            f"{list(times.shape)}."
        )
    return times


def clip_from_array(array: np.ndarray | torch.Tensor, track_dims: Mapping[str, int], source: str) -> PoseClip:
    """Build a clip from an array of all tracks concatenated.

    Args:
        array: [T, D]; an all-NaN row of a track is not observed.
        track_dims: Name -> width of the tracks, in order.
        source: Name of the clip, for messages.

    Raises:
        SignXPoseError: If the array has another shape.
    """
    values = to_numpy(array, source)
    total = sum(track_dims.values())
    if values.ndim != 2 or values.shape[1] != total:
        advice = "Pass a batch as a list of clips." if values.ndim == 3 else "Pass single tracks as a dictionary."
        raise SignXPoseError(
            f"{source}: the array must have shape [frames, {total}] (all tracks of track_dims), got "
            f"{list(values.shape)}. {advice}"
        )
    ends = np.cumsum(list(track_dims.values()))[:-1]
    return clip_from_mapping(dict(zip(track_dims, np.split(values, ends, axis=1))), track_dims, source)


def clip_from_file(
    path: str | os.PathLike,
    track_dims: Mapping[str, int],
    person: int | str = "largest",
    array_dims: Mapping[str, int] | None = None,
) -> PoseClip:
    """Read a clip from a pose file.

    `.npz`: the keys of a dictionary clip, or MediaPipe's landmarks (`mediapipe_clip`). `.npy`: all tracks
    concatenated, or a single one that its width identifies. Either may also hold one array of a whole body of 133, 135,
    136 or 543 points (`named_arrays`). `.pose`: see `read_pose_file`. `.json`, or a folder of `*_keypoints.json`:
    OpenPose, AlphaPose, MMPose, or the cameras of the Public DGS Corpus (`openpose_rows`), in pixels, without fps.

    Args:
        path: Path of the file or folder.
        track_dims: Name -> width of the tracks that are read.
        person: Which person, if there are several: an index or "largest".
        array_dims: The part of `track_dims` that an array of all tracks holds; None for all of them.

    Raises:
        SignXFileNotFoundError: If the path does not exist.
        SignXPoseError: If the file cannot be read.
    """
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", os.fsdecode(path)):
        raise SignXPoseError(
            f"{path}: expected a local file, got a web address. Download it first; nothing is downloaded "
            "automatically."
        )
    path = Path(os.fsdecode(path))
    if not os.path.exists(path):  # Path.exists raises for names that are too long
        raise SignXFileNotFoundError(f"{path}: no such file. Check the path; expected {POSE_FILES}.")
    suffix = path.suffix.lower()
    if suffix in PICKLES:
        raise SignXPoseError(
            f"{path}: expected {POSE_FILES}, got a pickle, which can run any code when it is read. Save the "
            "arrays with numpy.savez(path, track=array)."
        )
    if is_openpose_folder(path):
        return _openpose_clip(path, track_dims, person)
    if path.is_dir() or suffix not in SUFFIXES:
        kind = "a folder" if path.is_dir() else f"a file of type '{suffix}'"
        raise SignXPoseError(f"{path}: expected {POSE_FILES}, or a folder of OpenPose's *_keypoints.json, got {kind}.")
    if not path.is_file():
        raise SignXPoseError(
            f"{path}: not a regular file (a pipe or device). Copy its content to a {suffix} file first."
        )
    if not os.access(path, os.R_OK):
        raise SignXPoseError(f"{path}: no permission to read the file. Change its mode or its owner.")
    if path.stat().st_size == 0:
        raise SignXPoseError(f"{path}: an empty file (0 bytes). Extract or copy it again.")
    if suffix == ".pose":
        return _clip_from_pose_file(path, track_dims, person)
    if suffix == ".json":
        return _openpose_clip(path, track_dims, person)
    return _numpy_clip(load_numpy(path, suffix), track_dims, array_dims or track_dims, str(path))


def _numpy_clip(
    content: np.ndarray | dict[str, np.ndarray],
    track_dims: Mapping[str, int],
    array_dims: Mapping[str, int],
    source: str,
) -> PoseClip:
    """Build a clip from the content of a `.npz` or `.npy`."""
    widths = {*track_dims.values(), sum(track_dims.values()), sum(array_dims.values())}
    content = named_arrays(content, track_dims, widths, CLIP_KEYS, source)
    if isinstance(content, np.ndarray):
        has_all = content.ndim == 2 and content.shape[1] == sum(array_dims.values())
        track = None if has_all else single_track(content, track_dims, source)
        if track is None:
            return clip_from_array(content, array_dims, source)
        return clip_from_mapping({track: content}, track_dims, source)
    if not is_mediapipe_content(content, track_dims):
        return clip_from_mapping(content, track_dims, source)
    _check_track("mediapipe", track_dims, source)
    content = mediapipe_clip(content, CLIP_KEYS, source)
    if "frame_size" not in content and "mediapipe" in array_dims:
        warn_of_fractions(content["mediapipe"], source)
    face, face_mask = content.pop("face", None), content.pop("face_mask", None)
    if face is not None and "frame_size" in content:
        face = face * _frame_scale(content["frame_size"], source)
    return replace(clip_from_mapping(content, track_dims, source), face=face, face_mask=face_mask)


def _openpose_clip(path: Path, track_dims: Mapping[str, int], person: int | str) -> PoseClip:
    _check_track("dwpose", track_dims, str(path))
    rows, people = openpose_person(path, person)
    return replace(clip_from_mapping({"dwpose": rows}, track_dims, str(path)), people=people)


def _check_track(track: str, track_dims: Mapping[str, int], source: str) -> None:
    if track not in track_dims:
        raise SignXPoseError(
            f"{source}: the file holds track '{track}', which is not in track_dims ({', '.join(track_dims)}). Add "
            "it or read another file."
        )


def load_numpy(path: Path, suffix: str, keys: Collection[str] | None = None) -> np.ndarray | dict[str, np.ndarray]:
    """Load the arrays of a `.npz` as a dictionary, or the array of a `.npy`.

    Args:
        path: Path of the file.
        suffix: `.npz` or `.npy`.
        keys: Arrays of a `.npz` to load; None for all.

    Raises:
        SignXPoseError: If the file is of another type, damaged, or holds objects, which only pickle could read.
        SignXFileNotFoundError: If the path does not exist.
    """
    # np.load takes a file with unknown first bytes for a pickle, and its message would mislead.
    if path.exists() and not path.is_file() and not path.is_dir():  # reading a pipe would block
        raise SignXPoseError(
            f"{path}: not a regular file (a pipe or device). Copy its content to a {suffix} file first."
        )
    try:
        with path.open("rb") as file:
            start = file.read(6)
    except FileNotFoundError as error:
        raise SignXFileNotFoundError(f"{path}: no such file. Check the path; expected {POSE_FILES}.") from error
    except OSError as error:
        raise SignXPoseError(f"{path}: the file cannot be read ({one_line(error)}).") from error
    if not start.startswith((b"PK\3\4", b"PK\5\6") if suffix == ".npz" else b"\x93NUMPY"):
        raise SignXPoseError(
            f"{path}: not a {suffix} file; it starts with {start!r}. Write it with numpy.save or numpy.savez."
        )
    try:
        content = np.load(path, allow_pickle=False)
        if suffix == ".npy":
            return content
        with content:
            _check_size(content, path, keys)
            return {key: content[key] for key in content.files if keys is None or key in keys}
    except SignXPoseError:
        raise
    except ValueError as error:
        if "Object arrays" in str(error):  # numpy's message about a long header also names allow_pickle
            raise SignXPoseError(
                f"{path}: the file must hold plain number arrays, got an object array, which only pickle can read. "
                "Save float32 arrays [frames, width]."
            ) from error
        raise SignXPoseError(f"{path}: the {suffix} file is corrupt ({one_line(error)}). Write it again.") from error
    except (
        OSError,
        EOFError,
        KeyError,
        MemoryError,
        RuntimeError,
        zipfile.BadZipFile,
        zlib.error,
        SyntaxError,
        tokenize.TokenError,
    ) as error:
        raise SignXPoseError(f"{path}: the {suffix} file is corrupt ({one_line(error)}). Write it again.") from error


def _check_size(content: np.lib.npyio.NpzFile, path: Path, keys: Collection[str] | None) -> None:
    """Check the unpacked size."""
    size = sum(
        member.file_size
        for member in content.zip.infolist()
        if keys is None or member.filename.removesuffix(".npy") in keys
    )
    check_unpacked(size, str(path))


def read_pose_file(path: str | os.PathLike, person: int | str = "largest") -> PoseClip:
    """Read a `.pose` file (pose-format) into a clip with one track, `mediapipe` or `dwpose`, and the face mesh if it
    has one.

    Holistic files, and those of hands alone, give a `mediapipe` row; x and y are the file's own, and z, which
    pose-format stores as a fraction of the frame width, is multiplied by that width, so that all three have the same
    unit. OpenPose, COCO-WholeBody (133) and Halpe (136) files give a `dwpose` row; COCO has no neck, so it is set halfway between
    the shoulders with the lower of their confidences. Points are found by name, so files with fewer points can be
    read, too: missing ones have confidence 0.

    Args:
        path: Path of the file.
        person: Index in the file, or "largest", see `choose_person`.

    Raises:
        SignXPoseError: If the file cannot be read.
        SignXFileNotFoundError: If the path does not exist.
    """
    return clip_from_file(path, {"mediapipe": MEDIAPIPE_WIDTH, "dwpose": DWPOSE_WIDTH}, person)


def _clip_from_pose_file(path: Path, track_dims: Mapping[str, int], person: int | str) -> PoseClip:
    try:
        from pose_format import Pose
    except ImportError as error:
        raise SignXPoseError(
            f"{path}: reading .pose files needs the package pose-format, which is not installed. Run pip install "
            '"signx_hf[poses]".'
        ) from error
    try:
        pose = Pose.read(path.read_bytes())
        data = np.asarray(np.ma.getdata(pose.body.data), dtype=np.float64)
        confidence = np.array(pose.body.confidence, dtype=np.float64)
        components = {c.name: list(c.points) for c in pose.header.components}
        fps, width, height = (
            float(pose.body.fps),
            *(float(getattr(pose.header.dimensions, n)) for n in ("width", "height")),
        )
    except Exception as error:  # a third-party parser on any bytes: struct, unicode, memory, index and value errors
        raise SignXPoseError(f"{path}: the .pose file cannot be read ({one_line(error)}). Write it again.") from error
    if data.ndim != 4 or 0 in data.shape:
        raise SignXPoseError(
            f"{path}: the file must have at least one frame and one person, got {data.shape[0]} frames and "
            f"{data.shape[1]} people. Extract it again."
        )
    confidence[~np.isfinite(data).all(axis=-1)] = 0.0
    confidence = np.where(confidence > 0, confidence, 0.0)
    index = choose_person(data, confidence, person, str(path))
    points = _NamedPoints(components, data[:, index], confidence[:, index])
    track, values, face, face_mask = _pose_row(points, width, str(path))
    _check_track(track, track_dims, str(path))
    clip = clip_from_mapping({track: values, "fps": fps}, track_dims, str(path))
    size = (width, height) if width > 0 and height > 0 else None
    return replace(clip, face=face, face_mask=face_mask, people=data.shape[1], size=size)


class _NamedPoints:
    """Points of one person, found by component and point name."""

    def __init__(self, components: dict[str, list[str]], data: np.ndarray, confidence: np.ndarray):
        self.components, self.data, self.confidence = components, data, confidence
        self.offsets, start = {}, 0
        for name, points in components.items():
            self.offsets[name], start = start, start + len(points)

    def take(self, component: str, names: list[str], dims: int) -> tuple[np.ndarray, np.ndarray]:
        """Return coordinates [T, n, dims] and confidence [T, n]; 0 for points that the file lacks or did not observe."""
        frames = len(self.data)
        out, confidence = np.zeros((frames, len(names), dims)), np.zeros((frames, len(names)))
        where = {name: i for i, name in enumerate(self.components.get(component, []))}
        pairs = [(i, self.offsets[component] + where[name]) for i, name in enumerate(names) if name in where]
        if pairs:
            to, source = (list(x) for x in zip(*pairs))
            dims = min(dims, self.data.shape[-1])
            confidence[:, to] = self.confidence[:, source]
            out[:, to, :dims] = np.where(confidence[:, to, None] > 0, self.data[:, source, :dims], 0.0)
        return out, confidence


def _pose_row(
    points: _NamedPoints, width: float, source: str
) -> tuple[str, np.ndarray, np.ndarray | None, np.ndarray | None]:
    """Return the track name, its rows [T, d], and for MediaPipe the face mesh with its mask."""
    names = points.components
    if "POSE_LANDMARKS" in names or names.keys() & MEDIAPIPE_HANDS:
        return _mediapipe_row(points, width)
    if "pose_keypoints_2d" in names:
        hands = ("hand_left_keypoints_2d", "hand_right_keypoints_2d")
        numbered = {
            name.rpartition("_")[2]: name for name in names.get("face_keypoints_2d", [])
        }  # FB_0 .. FLI_67, 2 pupils
        face = ("face_keypoints_2d", [numbered.get(str(i), ABSENT) for i in range(68)])
        return _dwpose_row(points, ("pose_keypoints_2d", OPENPOSE_BODY_NAMES), hands, OPENPOSE_HAND_NAMES, face)
    if len(names.get("BODY_135", ())) == WHOLE_BODIES["body-135"].points:  # OpenPose's, in one component
        xy, confidence = points.take("BODY_135", names["BODY_135"], 2)
        rows = dwpose_of(np.concatenate([xy, confidence[..., None]], axis=-1))
        return "dwpose", rows.reshape(len(rows), -1), None, None
    for suffix in ("", "_133", "_136"):  # names of MMPose and AlphaPose; 136 is Halpe's layout
        if "BODY" + suffix in names and "left_shoulder" in names["BODY" + suffix]:
            hands = ("LEFT_HAND" + suffix, "RIGHT_HAND" + suffix)
            face = ("FACE" + suffix, [f"face{'_' if suffix == '_136' else '-'}{i}" for i in range(68)])
            return _dwpose_row(
                points, ("BODY" + suffix, COCO_BODY_NAMES), hands, [f"hand_{i}" for i in range(HAND_POINTS)], face
            )
    raise SignXPoseError(
        f"{source}: the components must be those of MediaPipe (POSE_LANDMARKS, LEFT_HAND_LANDMARKS), OpenPose "
        "(pose_keypoints_2d, BODY_135) or COCO-WholeBody (BODY, FACE, LEFT_HAND, RIGHT_HAND), got "
        f"{', '.join(names) or 'none'}. Convert the file."
    )


def _mediapipe_row(points: _NamedPoints, width: float) -> tuple[str, np.ndarray, np.ndarray, np.ndarray]:
    scale = np.array(
        [1.0, 1.0, width or 1.0]
    )  # only z is a fraction of the width, see pose_format.utils.holistic.body_points
    frames = len(points.data)
    body, visibility = points.take("POSE_LANDMARKS", MEDIAPIPE_BODY_NAMES, 3)
    rows = [np.concatenate([body * scale, visibility[..., None]], axis=-1).reshape(frames, -1)]
    for component in MEDIAPIPE_HANDS:
        hand, _ = points.take(component, MEDIAPIPE_HAND_NAMES, 3)
        rows.append((hand * scale).reshape(frames, -1))
    # reduced files name points by their index in the full mesh
    face, face_confidence = points.take("FACE_LANDMARKS", [str(i) for i in range(FACE_MESH_POINTS)], 3)
    return "mediapipe", np.concatenate(rows, axis=1), face * scale, face_confidence > 0


def _dwpose_row(
    points: _NamedPoints,
    body: tuple[str, list[str]],
    hands: tuple[str, str],
    hand_names: list[str],
    face: tuple[str, list[str]],
) -> tuple[str, np.ndarray, None, None]:
    xy, confidence = points.take(*body, 2)
    neck = OPENPOSE_BODY_NAMES.index("Neck")
    if body[1][neck] not in points.components[body[0]]:
        left, right = DWPOSE_SHOULDERS
        confidence[:, neck] = np.minimum(confidence[:, left], confidence[:, right])
        xy[:, neck] = np.where(confidence[:, [neck]] > 0, (xy[:, left] + xy[:, right]) / 2, 0.0)
    parts = [(xy, confidence), *(points.take(hand, hand_names, 2) for hand in hands), points.take(*face, 2)]
    rows = np.concatenate([np.concatenate([c, p[..., None]], axis=-1) for c, p in parts], axis=1)
    return "dwpose", rows.reshape(len(rows), -1), None, None
