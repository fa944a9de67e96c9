"""Read pose files of other programs into rows of a track: JSON of OpenPose, AlphaPose and MMPose, and arrays as users of
MediaPipe save them.

Values are as measured; what the file does not show is missing (confidence 0, a hand of zeros, a row of NaN), never
guessed.
"""

import json
import os
import re
import warnings
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from .errors_signx import SignXPoseError, SignXWarning
from .keypoints_signx import DWPOSE_WIDTH, FACE_MESH_POINTS, HAND_POINTS, MEDIAPIPE_BODY_POINTS, mediapipe_points
from .memory_signx import check_empty
from .people_signx import FollowedPeople, box_of, check_index
from .whole_body_signx import BY_POINTS, dwpose_of, openpose_content

# Points of OpenPose's BODY_25 in the order of its 18: without the middle of the hips (8) and the feet (19 to 24).
BODY_25_TO_18 = (*range(8), *range(9, 19))
OPENPOSE_FRAME = re.compile(r"(.*?)(\d+)_keypoints\.json", re.IGNORECASE)
# With more frames than this per file, the numbers are not frame numbers of one clip.
MAX_GAPS = 100

# Names under which landmarks of MediaPipe Holistic are saved.
MEDIAPIPE_KEYS = {
    "pose": ("pose", "pose_landmarks"),
    "left_hand": ("left_hand", "left_hand_landmarks"),
    "right_hand": ("right_hand", "right_hand_landmarks"),
    "face": ("face", "face_landmarks"),
}
MEDIAPIPE_IGNORED = ("pose_world", "pose_world_landmarks", "world_landmarks")


def one_line(error: BaseException) -> str:
    """Return the message of a third-party error in one line."""
    return " ".join(str(error).split())[:120] or type(error).__name__


def choose_person(data: np.ndarray, confidence: np.ndarray, person: int | str, source: str) -> int:
    """Return the index of the chosen person, see `FollowedPeople.choose`.

    Args:
        data: [T, P, K, C] points.
        confidence: [T, P, K].
        person: An index or "largest".
        source: Name of the file, for the message.

    Raises:
        SignXPoseError: If there is no such person.
    """
    people = data.shape[1]
    index = check_index(person, people, source)
    if index is not None:
        return index
    if people == 1:
        return 0
    area = box_of(data, confidence)[1]
    shown = (confidence > 0).any(axis=2)
    sizes = [
        float(np.median(area[shown[:, p], p])) * shown[:, p].mean() if shown[:, p].any() else -1.0
        for p in range(people)
    ]
    return int(np.argmax(sizes))


# ----------------------------------------------------------------------------------------------------- OpenPose JSON


def is_openpose_folder(path: str | Path) -> bool:
    """Return whether a folder holds `*_keypoints.json` files, one per frame."""
    try:
        return any(OPENPOSE_FRAME.fullmatch(name) for name in os.listdir(path))
    except (OSError, ValueError):  # not a folder, not readable, or an impossible name
        return False


def openpose_rows(path: Path, person: int | str = "largest") -> np.ndarray:
    """Return OpenPose JSON as `dwpose` rows [T, 384] of one person, see `openpose_person`."""
    return openpose_person(path, person)[0]


def openpose_person(path: Path, person: int | str = "largest") -> tuple[np.ndarray, int]:
    """Read one person of OpenPose JSON, and return their `dwpose` rows [T, 384] and how many people there are.

    A row of NaN is a frame that does not show the person. Bodies have 25 or 18 points, hands 21, faces 70 (68 and two
    pupils, which are dropped). OpenPose lists people in any order: they are followed by `person_id` if it is given,
    otherwise by the overlap of their boxes.

    Args:
        path: A file of one frame, a file with a list of frames, or a folder of `<clip>_<number>_keypoints.json`,
            sorted by number; a missing number is a frame without people.
        person: Index in the order of appearance, or "largest", see `FollowedPeople.choose`.

    Raises:
        SignXPoseError: If the file is not OpenPose JSON, has other numbers of points, coordinates that are not pixels,
            nobody, or no such person.
    """
    frames = _openpose_frames(path)
    check_empty(len(frames), sum(bool(people) for _, people in frames), 8 * DWPOSE_WIDTH, str(path))
    followed, is_listed, are_fractions = FollowedPeople(str(path)), False, True
    for t, people in frames:
        points = [_openpose_person(p, f"{path}: frame {t}, person {i}") for i, p in enumerate(people)]
        is_listed = is_listed or bool(people)
        are_fractions = are_fractions and all((np.abs(p[p[:, 2] > 0, :2]) <= 1.0).all() for p in points)
        followed.add(points, [_person_id(p) for p in people])
    if not is_listed:
        raise SignXPoseError(
            f"{path}: at least one of {len(frames)} frames must show a person, got none. Leave the clip out."
        )
    if not any(followed.areas):
        raise SignXPoseError(
            f"{path}: at least one point must have a confidence above 0 in pose_keypoints_2d ([x, y, confidence, "
            f"...]), got none in {len(frames)} frames. Leave the clip out."
        )
    if are_fractions:
        raise SignXPoseError(
            f"{path}: coordinates must be pixels, got values between -1 and 1; as fractions of a frame, x and y "
            "have different units. Run OpenPose with --keypoint_scale 0."
        )
    rows = np.full((len(frames), DWPOSE_WIDTH), np.nan)
    for t, position in followed.places[followed.choose(person)].items():
        points = _openpose_person(frames[t][1][position], str(path))
        if points[:, 2].any():
            rows[t] = points.reshape(DWPOSE_WIDTH)
    return rows, len(followed.places)


def _openpose_frames(path: Path) -> list[tuple[int, list]]:
    """Return (frame, people) of every frame, in order."""
    if path.is_dir():
        files = _numbered_files(path)
        first = min(files)
        check_empty(max(files) - first + 1, len(files), 8 * DWPOSE_WIDTH, str(path))
        contents = {number: _load_json(file) for number, file in files.items()}
        frames = [contents.get(number, {"people": []}) for number in range(first, max(files) + 1)]
    else:
        content = openpose_content(_load_json(path), path)
        frames = content if isinstance(content, list) else [content]
    if not frames:
        raise SignXPoseError(f"{path}: the list of frames is empty. Leave the clip out.")
    for t, frame in enumerate(frames):
        people = frame.get("people") if isinstance(frame, dict) else None
        if not isinstance(people, list) or not all(isinstance(p, dict) for p in people):
            raise SignXPoseError(
                f"{path}: frame {t} must be OpenPose JSON with a list of people, "
                f"{{'people': [{{'pose_keypoints_2d': [...]}}]}}."
            )
    return [(t, frame["people"]) for t, frame in enumerate(frames)]


def _numbered_files(folder: Path) -> dict[int, Path]:
    """Return frame number -> file."""
    matches = [(OPENPOSE_FRAME.fullmatch(child.name), child) for child in sorted(folder.iterdir())]
    matches = [(match, child) for match, child in matches if match]
    clips = sorted({match[1] for match, _ in matches})
    files = {int(match[2]): child for match, child in matches}
    if len(clips) > 1 or len(files) != len(matches):
        raise SignXPoseError(
            f"{folder}: the files must belong to one clip, got {len(clips)} ({', '.join(map(repr, clips[:3]))}), "
            f"{len(matches)} files with {len(files)} different numbers. Put each clip into its own folder."
        )
    span = max(files) - min(files) + 1
    if span > MAX_GAPS * len(files):
        raise SignXPoseError(
            f"{folder}: the files must be the frames of one clip, numbered consecutively, got {len(files)} files "
            f"with numbers over {span} frames."
        )
    return files


def _load_json(path: Path) -> Any:
    if path.exists() and not path.is_file():  # reading a pipe would block
        raise SignXPoseError(f"{path}: not a regular file. Copy its content to a file first.")
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise SignXPoseError(
            f"{path}: the file cannot be read as JSON ({one_line(error)}). Write it again."
        ) from error


def _openpose_person(person: Mapping, what: str) -> np.ndarray:
    """Return one of OpenPose's people as [128, 3]: body 18, left hand 21, right hand 21, face 68; (0, 0, 0) where not
    seen.
    """
    body = _triples(person, ("pose_keypoints_2d", "pose_keypoints"), (25, *BY_POINTS, 18), what)
    if len(body) in BY_POINTS:
        return dwpose_of(body)
    if len(body) == 25:
        body = body[list(BODY_25_TO_18)]
    hands = [
        _triples(person, (f"hand_{side}_keypoints_2d", f"hand_{side}_keypoints"), (HAND_POINTS,), what)
        for side in ("left", "right")
    ]
    face = _triples(person, ("face_keypoints_2d", "face_keypoints"), (70, 68), what)[:68]
    points = np.concatenate([body, *hands, face])
    seen = np.isfinite(points).all(axis=1, keepdims=True) & (points[:, 2:] > 0)
    return np.where(seen, points, 0.0)


def _triples(person: Mapping, keys: tuple[str, ...], counts: tuple[int, ...], what: str) -> np.ndarray:
    """Return x, y, confidence of one part; zeros if OpenPose did not detect it (an empty list, or no key)."""
    key = next((key for key in keys if person.get(key)), None)
    if key is None:
        return np.zeros((counts[-1], 3))
    try:
        values = np.asarray(person[key], dtype=np.float64)
        actual = f"{values.size} numbers" if values.ndim == 1 else "no list of numbers"
    except (TypeError, ValueError, OverflowError) as error:
        values, actual = np.zeros(0), f"a value that is not a number of usual size ({one_line(error)})"
    if values.ndim != 1 or values.size not in [3 * n for n in counts]:
        raise SignXPoseError(
            f"{what}: {key} must have {' or '.join(str(3 * n) for n in counts)} numbers (x, y and confidence of "
            f"{' or '.join(map(str, counts))} points), got {actual}."
        )
    return values.reshape(-1, 3)


def _person_id(person: Mapping) -> int:
    """Return OpenPose's id of a person, -1 if it did not track."""
    value = person.get("person_id", -1)
    value = value[0] if isinstance(value, list) and value else value
    return value if isinstance(value, int) and not isinstance(value, bool) else -1


# -------------------------------------------------------------------------------------------------- MediaPipe arrays


def is_mediapipe_content(keys: Collection[str], track_dims: Mapping[str, int]) -> bool:
    """Return whether the keys of a `.npz` are MediaPipe's landmarks and none is the name of a track."""
    names = [name for part in ("pose", "left_hand", "right_hand") for name in MEDIAPIPE_KEYS[part]]
    return not any(key in track_dims for key in keys) and any(key in keys for key in names)


def mediapipe_clip(content: Mapping[str, np.ndarray], clip_keys: Collection[str], source: str) -> dict[str, Any]:
    """Convert landmarks as users of MediaPipe save them to a dictionary clip with the track `mediapipe`, and `face`,
    `face_mask`.

    Args:
        content: pose or pose_landmarks [T, 33, 4 or 3] (x, y, z, visibility; without it a seen point has 1), left_hand
            and right_hand (or with _landmarks) [T, 21, 3], at least one of these three; face [T, 468 or 478, 3]. Each
            may be flat, such as [T, 132]. NaN or all zeros: not seen.
        clip_keys: Other keys of a dictionary clip: fps, timestamps, frame_size, notes.
        source: Name of the clip, for messages.

    Raises:
        SignXPoseError: If a key or shape is invalid.
    """
    parts, used = {}, set()
    for part, names in MEDIAPIPE_KEYS.items():
        present = [name for name in names if name in content]
        if len(present) > 1:
            raise SignXPoseError(f"{source}: expected one of '{present[0]}' and '{present[1]}', got both. Remove one.")
        if present:
            parts[part] = _landmarks(content[present[0]], part, f"{source}: '{present[0]}'")
            used.add(present[0])
    extra = [key for key in content if key not in used and key not in clip_keys and key not in MEDIAPIPE_IGNORED]
    if extra:
        legal = [name for names in MEDIAPIPE_KEYS.values() for name in names]
        raise SignXPoseError(f"{source}: unknown key '{extra[0]}'. Valid names are {', '.join([*legal, *clip_keys])}.")
    lengths = {part: len(values) for part, values in parts.items()}
    if len(set(lengths.values())) > 1:
        raise SignXPoseError(f"{source}: all parts must have the same number of frames, got {lengths}.")
    frames = next(iter(lengths.values()))
    if frames == 0:
        raise SignXPoseError(f"{source}: the clip must have at least one frame, got 0. Leave it out of the batch.")
    pose = parts.get("pose", np.zeros((frames, MEDIAPIPE_BODY_POINTS, 4)))
    hands = [parts.get(part, np.zeros((frames, HAND_POINTS, 3))) for part in ("left_hand", "right_hand")]
    rows = np.concatenate([values.reshape(frames, -1) for values in (pose, *hands)], axis=1)
    rows[~rows.any(axis=1)] = np.nan
    clip: dict[str, Any] = {key: content[key] for key in clip_keys if key in content}
    clip["mediapipe"] = rows
    if "face" in parts:
        face = parts["face"]
        clip["face"] = np.concatenate([face, np.zeros((frames, FACE_MESH_POINTS - face.shape[1], 3))], axis=1)
        clip["face_mask"] = (clip["face"] != 0).any(axis=-1)
    return clip


def _landmarks(values: np.ndarray, part: str, what: str) -> np.ndarray:
    """Return one part as [T, points, 4 (pose) or 3] float64, 0 where a point is NaN or not seen."""
    counts = {"pose": (MEDIAPIPE_BODY_POINTS,), "face": (468, FACE_MESH_POINTS)}.get(part, (HAND_POINTS,))
    widths = (4, 3) if part == "pose" else (3,)
    if values.dtype.kind not in "fiu":
        raise SignXPoseError(f"{what} must hold numbers, got dtype {values.dtype}. Save plain float32 arrays.")
    values = values.astype(np.float64)
    if values.ndim == 2:
        fits = [(n, w) for n in counts for w in widths if values.shape[1] == n * w]
        values = values.reshape(len(values), *fits[0]) if fits else values
    if values.ndim != 3 or values.shape[1] not in counts or values.shape[2] not in widths:
        raise SignXPoseError(
            f"{what} must have shape [frames, {' or '.join(map(str, counts))}, {' or '.join(map(str, widths))}], "
            f"or the last two axes flattened, got {list(values.shape)}."
        )
    if np.isinf(values).any():
        raise SignXPoseError(
            f"{what} must be finite, got an infinite number. Use NaN or zeros for points that were not seen."
        )
    seen = ~np.isnan(values).any(axis=-1, keepdims=True) & (values[..., :3] != 0).any(axis=-1, keepdims=True)
    if part == "pose" and values.shape[2] == 3:
        values = np.concatenate([values, np.ones_like(values[..., :1])], axis=-1)
    return np.where(seen, values, 0.0)


def warn_of_fractions(rows: np.ndarray, source: str) -> None:
    """Warn of `mediapipe` rows [T, 258] that are fractions of the frame, in which a wide picture is squeezed."""
    body, seen, _, _ = mediapipe_points(np.nan_to_num(rows))
    xy = body[..., :2][seen]
    if len(xy) and np.abs(np.median(xy, axis=0)).max() <= 1.5:
        warnings.warn(
            f"{source}: coordinates look like fractions of the frame, and frame_size is missing, so a square "
            "picture was assumed. Save frame_size=(width, height) with them.",
            SignXWarning,
            stacklevel=2,
        )


def single_track(values: np.ndarray, track_dims: Mapping[str, int], source: str) -> str | None:
    """Return the one track with the width of an array; None if it has the width of all tracks together, or of none.

    Args:
        values: [T, d].
        track_dims: Name -> width of the tracks.
        source: Name of the clip, for the message.

    Raises:
        SignXPoseError: If several tracks have that width.
    """
    if values.ndim != 2 or values.shape[1] == sum(track_dims.values()):
        return None
    fits = [name for name, width in track_dims.items() if width == values.shape[1]]
    if len(fits) > 1:
        raise SignXPoseError(
            f"{source}: {' and '.join(fits)} both have {values.shape[1]} numbers per frame. Save the array as "
            f".npz under its name: numpy.savez(path, {fits[0]}=array)."
        )
    return fits[0] if fits else None
