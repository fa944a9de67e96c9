"""Pose files of other programs -> rows of a track: the JSON of OpenPose, and arrays as users of MediaPipe save them.

Values as measured; what the file does not show is absent (confidence 0, a hand of zeros, a row of NaN), never guessed.
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

# points of OpenPose's BODY_25 in the order of its 18: without the middle of the hips (8) and the feet (19 to 24)
BODY_25_TO_18 = (*range(8), *range(9, 19))
OPENPOSE_FRAME = re.compile(r"(.*?)(\d+)_keypoints\.json", re.IGNORECASE)
# a person in the next frame is the one whose box overlaps most; below this it is somebody else
SAME_PERSON_OVERLAP = 0.2
# more frames than this for each file found: the numbers are no frame numbers of one clip
MAX_GAPS = 100

# names under which people save the landmarks of MediaPipe Holistic, and the shapes of one frame
MEDIAPIPE_KEYS = {
    "pose": ("pose", "pose_landmarks"),
    "left_hand": ("left_hand", "left_hand_landmarks"),
    "right_hand": ("right_hand", "right_hand_landmarks"),
    "face": ("face", "face_landmarks"),
}
MEDIAPIPE_IGNORED = ("pose_world", "pose_world_landmarks", "world_landmarks")


def one_line(error: BaseException) -> str:
    """The message of a foreign error, fit for ours."""
    return " ".join(str(error).split())[:120] or type(error).__name__


def choose_person(data: np.ndarray, confidence: np.ndarray, person: int | str, source: str) -> int:
    """data [T, P, K, C], confidence [T, P, K] -> index of the person; ties go to the lower index.

    "largest": the median area of the box over the frames that show the person, times the share of frames that do, so that
    something large that flickers up once is not the signer.
    """
    people = data.shape[1]
    if person != "largest":
        if isinstance(person, bool) or not isinstance(person, int):
            raise SignXPoseError(f"{source}: person is {person!r}; wanted an index or 'largest'")
        if not 0 <= person < people:
            raise SignXPoseError(
                f"{source}: holds {people} people; wanted person {person}; give an index below {people} or 'largest'"
            )
        return person
    if people == 1:
        return 0
    area = _boxes(data, confidence)[1]
    shown = (confidence > 0).any(axis=2)
    sizes = [
        float(np.median(area[shown[:, p], p])) * shown[:, p].mean() if shown[:, p].any() else -1.0
        for p in range(people)
    ]
    return int(np.argmax(sizes))


def _boxes(data: np.ndarray, confidence: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Points [..., K, C], confidence [..., K] -> boxes [..., 4] (left, top, right, bottom) and areas [...], 0 where nothing is."""
    seen = (confidence > 0)[..., None]
    high = np.where(seen, data[..., :2], -np.inf).max(axis=-2)
    low = np.where(seen, data[..., :2], np.inf).min(axis=-2)
    shown = seen.any(axis=-2)
    box = np.where(np.concatenate([shown] * 4, axis=-1), np.concatenate([low, high], axis=-1), 0.0)
    return box, (box[..., 2:] - box[..., :2]).prod(axis=-1)


# ----------------------------------------------------------------------------------------------------- OpenPose JSON


def is_openpose_folder(path: str | Path) -> bool:
    """Whether a folder holds `*_keypoints.json` files, one for a frame."""
    try:
        return any(OPENPOSE_FRAME.fullmatch(name) for name in os.listdir(path))
    except (OSError, ValueError):  # no folder, not readable, or a name that none can have
        return False


def openpose_rows(path: Path, person: int | str = "largest") -> np.ndarray:
    """OpenPose's JSON -> `dwpose` rows [T, 384] of one person: `openpose_people`, then `openpose_person`."""
    return openpose_person(openpose_people(path), person, path)


def openpose_person(points: np.ndarray, person: int | str, path: Path) -> np.ndarray:
    """People [T, P, 128, 3] -> rows [T, 384] of one of them; a row of NaN where the person is not seen.

    person: index in the order of appearance, or "largest", see `choose_person`, which raises where there is no such person.
    """
    index = choose_person(points, points[..., 2], person, str(path))
    rows = points[:, index].reshape(len(points), DWPOSE_WIDTH)
    rows[~(points[:, index, :, 2] > 0).any(axis=1)] = np.nan
    return rows


def openpose_people(path: Path) -> np.ndarray:
    """OpenPose's JSON -> everybody in it as points of a `dwpose` row [T, P, 128, 3], in the order of appearance.

    path: a file of one frame, a file with a list of frames, or a folder of `<clip>_<number>_keypoints.json`, sorted by number;
    a number that is missing is a frame in which nobody was seen. Body of 25 or 18 points, hands of 21, face of 70 (its 68
    and two pupils, which are left out). OpenPose lists people in any order: they are followed by `person_id` where it tracked
    them, else by the overlap of their boxes.

    Raises:
        SignXPoseError: not OpenPose's JSON, other numbers of points, coordinates that are not pixels, nobody.
    """
    frames = _openpose_frames(path)
    found = [
        [_openpose_person(p, f"{path}: frame {t}, person {i}") for i, p in enumerate(people)] for t, people in frames
    ]
    ids = [[_person_id(p) for p in people] for _, people in frames]
    columns = _follow(found, ids)
    count = 1 + max((c for frame in columns for c in frame), default=-1)
    if count == 0:
        raise SignXPoseError(
            f"{path}: {len(frames)} frames and no person in any of them; wanted at least one; leave the clip out"
        )
    points = np.zeros((len(frames), count, DWPOSE_WIDTH // 3, 3))
    for t, (people, places) in enumerate(zip(found, columns)):
        for values, column in zip(people, places):
            points[t, column] = values
    seen = points[..., 2] > 0
    if not seen.any():
        raise SignXPoseError(
            f"{path}: {len(frames)} frames and no point of anybody with a position and a confidence above 0; wanted "
            "pose_keypoints_2d, [x, y, confidence, ...]; leave the clip out"
        )
    if (np.abs(points[..., :2][seen]) <= 1.0).all():
        raise SignXPoseError(
            f"{path}: all coordinates lie between -1 and 1; wanted pixels, for fractions of a frame are other lengths along x than "
            "along y; run OpenPose with --keypoint_scale 0"
        )
    return points


def _openpose_frames(path: Path) -> list[tuple[int, list]]:
    """(frame, people) of every frame, in order."""
    if path.is_dir():
        files = _numbered_files(path)
        contents = {number: _load_json(file) for number, file in files.items()}
        first = min(files)
        frames = [contents.get(number, {"people": []}) for number in range(first, max(files) + 1)]
    else:
        content = _load_json(path)
        frames = content if isinstance(content, list) else [content]
    if not frames:
        raise SignXPoseError(f"{path}: an empty list of frames; wanted at least one; leave the clip out")
    for t, frame in enumerate(frames):
        people = frame.get("people") if isinstance(frame, dict) else None
        if not isinstance(people, list) or not all(isinstance(p, dict) for p in people):
            raise SignXPoseError(
                f"{path}: frame {t} has no list of people; wanted OpenPose's JSON, {{'people': [{{'pose_keypoints_2d': [...]}}]}}"
            )
    return [(t, frame["people"]) for t, frame in enumerate(frames)]


def _numbered_files(folder: Path) -> dict[int, Path]:
    """Frame number -> file."""
    matches = [(OPENPOSE_FRAME.fullmatch(child.name), child) for child in sorted(folder.iterdir())]
    matches = [(match, child) for match, child in matches if match]
    clips = sorted({match[1] for match, _ in matches})
    files = {int(match[2]): child for match, child in matches}
    if len(clips) > 1 or len(files) != len(matches):
        raise SignXPoseError(
            f"{folder}: files of {len(clips)} clips ({', '.join(map(repr, clips[:3]))}), {len(matches)} in all with "
            f"{len(files)} different numbers; wanted one clip; put each into a folder of its own"
        )
    span = max(files) - min(files) + 1
    if span > MAX_GAPS * len(files):
        raise SignXPoseError(
            f"{folder}: {len(files)} files with numbers over {span} frames; wanted the frames of one clip, numbered one by one"
        )
    return files


def _load_json(path: Path) -> Any:
    if path.exists() and not path.is_file():  # a pipe would be waited for
        raise SignXPoseError(
            f"{path}: not a regular file; wanted a complete file of OpenPose; copy its content to a file"
        )
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise SignXPoseError(
            f"{path}: not readable as JSON ({one_line(error)}); wanted a complete file of OpenPose; write it again"
        ) from error


def _openpose_person(person: Mapping, what: str) -> np.ndarray:
    """One of OpenPose's people -> [128, 3]: body 18, left hand 21, right hand 21, face 68; (0, 0, 0) where not seen."""
    body = _triples(person, ("pose_keypoints_2d", "pose_keypoints"), (25, 18), what)
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
    """x, y, confidence of one part; zeros where OpenPose did not look for it (an empty list, or no key)."""
    key = next((key for key in keys if person.get(key)), None)
    if key is None:
        return np.zeros((counts[-1], 3))
    try:
        values = np.asarray(person[key], dtype=np.float64)
        found = f"{values.size} numbers" if values.ndim == 1 else "no list of numbers"
    except (TypeError, ValueError, OverflowError) as error:
        values, found = np.zeros(0), f"something that is no number of a usual size ({one_line(error)})"
    if values.ndim != 1 or values.size not in [3 * n for n in counts]:
        raise SignXPoseError(
            f"{what}: {key} has {found}; wanted {' or '.join(str(3 * n) for n in counts)} numbers, x, y and confidence of "
            f"{' or '.join(map(str, counts))} points"
        )
    return values.reshape(-1, 3)


def _person_id(person: Mapping) -> int:
    """OpenPose's identity of a person, -1 where it did not track."""
    value = person.get("person_id", -1)
    value = value[0] if isinstance(value, list) and value else value
    return value if isinstance(value, int) and not isinstance(value, bool) else -1


def _follow(frames: list[list[np.ndarray]], ids: list[list[int]]) -> list[list[int]]:
    """Which column each person of each frame belongs to, in the order of first appearance."""
    known: dict[int, int] = {}
    last: dict[int, np.ndarray] = {}
    out = []
    for people, names in zip(frames, ids):
        boxes = [_boxes(p, p[:, 2])[0] for p in people]
        columns = [known.get(name, -1) if name >= 0 else -1 for name in names]
        loose = [i for i, name in enumerate(names) if name < 0]
        pairs = [(-_overlap(last[column], boxes[i]), column, i) for column in last for i in loose]
        for overlap, column, i in sorted(pairs):
            if -overlap > SAME_PERSON_OVERLAP and column not in columns and columns[i] < 0:
                columns[i] = column
        for i, name in enumerate(names):
            if columns[i] < 0 or columns.index(columns[i]) != i:
                columns[i] = max([-1, *last, *columns]) + 1
            if name >= 0:
                known[name] = columns[i]
            last[columns[i]] = boxes[i]
        out.append(columns)
    return out


def _overlap(a: np.ndarray, b: np.ndarray) -> float:
    """Intersection over union of two boxes."""
    common = np.clip(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]), 0, None).prod()
    union = (a[2:] - a[:2]).prod() + (b[2:] - b[:2]).prod() - common
    return float(common / union) if union > 0 else 0.0


# -------------------------------------------------------------------------------------------------- MediaPipe arrays


def is_mediapipe_content(keys: Collection[str], track_dims: Mapping[str, int]) -> bool:
    """Whether the keys of a `.npz` are MediaPipe's landmarks and none is the name of a track."""
    names = [name for part in ("pose", "left_hand", "right_hand") for name in MEDIAPIPE_KEYS[part]]
    return not any(key in track_dims for key in keys) and any(key in keys for key in names)


def mediapipe_clip(content: Mapping[str, np.ndarray], clip_keys: Collection[str], source: str) -> dict[str, Any]:
    """Landmarks as users of MediaPipe save them -> a dictionary clip with the track `mediapipe`, and `face`, `face_mask`.

    Keys: pose or pose_landmarks [T, 33, 4 or 3] (x, y, z, visibility; without it a point that is seen has 1), left_hand and
    right_hand (or with _landmarks) [T, 21, 3], one of these three at least, face [T, 468 or 478, 3]; each may be flat, [T, 132]. NaN
    or all zeros: not seen. Others are those of a dictionary clip: fps, timestamps, frame_size, notes.

    Raises:
        SignXPoseError: a key or shape that is none of these.
    """
    found, used = {}, set()
    for part, names in MEDIAPIPE_KEYS.items():
        present = [name for name in names if name in content]
        if len(present) > 1:
            raise SignXPoseError(
                f"{source}: both '{present[0]}' and '{present[1]}'; wanted one of them; remove the other"
            )
        if present:
            found[part] = _landmarks(content[present[0]], part, f"{source}: '{present[0]}'")
            used.add(present[0])
    extra = [key for key in content if key not in used and key not in clip_keys and key not in MEDIAPIPE_IGNORED]
    if extra:
        legal = [name for names in MEDIAPIPE_KEYS.values() for name in names]
        raise SignXPoseError(f"{source}: unknown key '{extra[0]}'; legal: {', '.join([*legal, *clip_keys])}")
    lengths = {part: len(values) for part, values in found.items()}
    if len(set(lengths.values())) > 1:
        raise SignXPoseError(f"{source}: parts of unequal length {lengths}; wanted the same number of frames")
    frames = next(iter(lengths.values()))
    if frames == 0:
        raise SignXPoseError(f"{source}: zero frames; wanted at least one; leave the clip out of the batch")
    pose = found.get("pose", np.zeros((frames, MEDIAPIPE_BODY_POINTS, 4)))
    hands = [found.get(part, np.zeros((frames, HAND_POINTS, 3))) for part in ("left_hand", "right_hand")]
    rows = np.concatenate([values.reshape(frames, -1) for values in (pose, *hands)], axis=1)
    rows[~rows.any(axis=1)] = np.nan
    clip: dict[str, Any] = {key: content[key] for key in clip_keys if key in content}
    clip["mediapipe"] = rows
    if "face" in found:
        face = found["face"]
        clip["face"] = np.concatenate([face, np.zeros((frames, FACE_MESH_POINTS - face.shape[1], 3))], axis=1)
        clip["face_mask"] = (clip["face"] != 0).any(axis=-1)
    return clip


def _landmarks(values: np.ndarray, part: str, what: str) -> np.ndarray:
    """One part -> [T, points, 4 (pose) or 3] float64, 0 where a point is NaN or not seen."""
    counts = {"pose": (MEDIAPIPE_BODY_POINTS,), "face": (468, FACE_MESH_POINTS)}.get(part, (HAND_POINTS,))
    widths = (4, 3) if part == "pose" else (3,)
    if values.dtype.kind not in "fiu":
        raise SignXPoseError(f"{what} is {values.dtype}; wanted numbers; save plain float32 arrays")
    values = values.astype(np.float64)
    if values.ndim == 2:
        fits = [(n, w) for n in counts for w in widths if values.shape[1] == n * w]
        values = values.reshape(len(values), *fits[0]) if fits else values
    if values.ndim != 3 or values.shape[1] not in counts or values.shape[2] not in widths:
        raise SignXPoseError(
            f"{what} has shape {list(values.shape)}; wanted [frames, {' or '.join(map(str, counts))}, {' or '.join(map(str, widths))}], "
            "one landmark behind the other"
        )
    if np.isinf(values).any():
        raise SignXPoseError(
            f"{what} holds an infinite number; wanted finite numbers; NaN or zeros say that nothing was seen"
        )
    seen = ~np.isnan(values).any(axis=-1, keepdims=True) & (values[..., :3] != 0).any(axis=-1, keepdims=True)
    if part == "pose" and values.shape[2] == 3:
        values = np.concatenate([values, np.ones_like(values[..., :1])], axis=-1)
    return np.where(seen, values, 0.0)


def warn_of_fractions(rows: np.ndarray, source: str) -> None:
    """Warn of `mediapipe` rows [T, 258] in MediaPipe's own coordinates: fractions of the frame, by which a wide picture is squeezed."""
    body, seen, _, _ = mediapipe_points(np.nan_to_num(rows))
    xy = body[..., :2][seen]
    if len(xy) and np.abs(np.median(xy, axis=0)).max() <= 1.5:
        warnings.warn(
            f"{source}: coordinates look like fractions of the frame and there is no frame_size; taken as those of a square picture; "
            "save frame_size=(width, height) with them",
            SignXWarning,
            stacklevel=2,
        )


def single_track(values: np.ndarray, track_dims: Mapping[str, int], source: str) -> str | None:
    """The one track whose width an array [T, d] has; None where it has that of all tracks together, or of none.

    Raises:
        SignXPoseError: several tracks have that width.
    """
    if values.ndim != 2 or values.shape[1] == sum(track_dims.values()):
        return None
    fits = [name for name, width in track_dims.items() if width == values.shape[1]]
    if len(fits) > 1:
        raise SignXPoseError(
            f"{source}: {values.shape[1]} numbers a frame, as {' and '.join(fits)} have; wanted to know which; save it as .npz with "
            f"the name: numpy.savez(path, {fits[0]}=array)"
        )
    return fits[0] if fits else None
