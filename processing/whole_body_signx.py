"""Layouts of whole bodies that other programs write, by name, and how they become `dwpose` rows or MediaPipe's parts.

JSON: OpenPose's BODY_135, AlphaPose (Halpe 136, COCO-WholeBody 133), MMPose (133), and the Public DGS Corpus, whose
files hold OpenPose's frames of several cameras. Arrays: those of 133, 135 and 136 points, and MediaPipe Holistic's 543.
A layout is told by its number of points; MediaPipe's two orders by where the parts lie.
"""

import re
import warnings
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .errors_signx import SignXPoseError, SignXWarning
from .keypoints_signx import DWPOSE_SHOULDERS, DWPOSE_WIDTH

FACE_68 = 68
NECK = 1
# OpenPose's 18 points of the body among COCO's 17, which all three layouts begin with; they have no neck between the
# shoulders, so it is computed.
COCO_TO_18 = (0, 0, 6, 8, 10, 5, 7, 9, 12, 14, 16, 11, 13, 15, 2, 1, 4, 3)
# Numbers of one clip's frames may have gaps; with more frames than this per detection, they number something else.
MAX_GAPS = 100


@dataclass(frozen=True)
class WholeBody:
    """One layout of a whole body.

    Attributes:
        points: Number of points.
        left_hand, right_hand: Index of each of the 21 points of a hand, the wrist first.
        face: Index of the first of the 68 points of the face.
    """

    points: int
    left_hand: tuple[int, ...]
    right_hand: tuple[int, ...]
    face: int

    @property
    def index(self) -> list[int]:
        """Return the index of each point of a `dwpose` row; that of the neck is a placeholder."""
        return [*COCO_TO_18, *self.left_hand, *self.right_hand, *range(self.face, self.face + FACE_68)]


WHOLE_BODIES = {
    "coco-wholebody-133": WholeBody(133, tuple(range(91, 112)), tuple(range(112, 133)), 23),
    "halpe-136": WholeBody(136, tuple(range(94, 115)), tuple(range(115, 136)), 26),
    # One network for all: its hands have 20 points and share the wrist with the body.
    "body-135": WholeBody(135, (9, *range(25, 45)), (10, *range(45, 65)), 65),
}
BY_POINTS = {layout.points: layout for layout in WHOLE_BODIES.values()}
# Parts of MediaPipe Holistic's 543 points, in the order of pose-format and most scripts, and in the alphabetical one
# of tables of landmarks.
HOLISTIC_POINTS = 543
HOLISTIC_ORDERS = {
    "holistic-543-pose-first": (("pose", 33), ("face", 468), ("left_hand", 21), ("right_hand", 21)),
    "holistic-543-face-first": (("face", 468), ("left_hand", 21), ("pose", 33), ("right_hand", 21)),
}
# The same points in one row, the body with visibility
HOLISTIC_ROW = (("pose", 33, 4), ("face", 468, 3), ("left_hand", 21, 3), ("right_hand", 21, 3))
HOLISTIC_WIDTH = sum(points * size for _, points, size in HOLISTIC_ROW)
# The face of the wrong order holds points of the body, so it is larger by more than this.
LARGER_FACE = 1.2


def dwpose_of(points: np.ndarray) -> np.ndarray:
    """Convert a whole body [..., 133, 135 or 136, 3] (x, y, confidence) to points of a `dwpose` row [..., 128, 3].

    Points that were not seen become (0, 0, 0). The neck is halfway between the shoulders, with the lower of their
    confidences.
    """
    seen = np.isfinite(points).all(axis=-1, keepdims=True) & (points[..., 2:] > 0)
    out = np.where(seen, points, 0.0)[..., BY_POINTS[points.shape[-2]].index, :]
    shoulders = out[..., DWPOSE_SHOULDERS, :]
    confidence = shoulders[..., 2].min(axis=-1)
    middle = np.concatenate([shoulders[..., :2].mean(axis=-2), confidence[..., None]], axis=-1)
    out[..., NECK, :] = np.where(confidence[..., None] > 0, middle, 0.0)
    return out


# --------------------------------------------------------------------------------------------------------------- JSON


def openpose_content(content: Any, path: Path) -> Any:
    """Return the JSON of another program as OpenPose's frames; what is none of theirs is returned as it is.

    Args:
        content: Content of the file.
        path: Its path, for messages.

    Raises:
        SignXPoseError: If a detection or a number of a frame cannot be used.
    """
    if isinstance(content, Mapping):
        if isinstance(content.get("instance_info"), list):  # MMPose's demos
            content = content["instance_info"]
        elif isinstance(content.get("frames"), list) and "people" not in content:  # AlphaPose with a head
            content = content["frames"]
    if not isinstance(content, list) or not content or not all(isinstance(item, Mapping) for item in content):
        return content
    first = content[0]
    if isinstance(first.get("frames"), Mapping):
        return _cameras(content, path)
    if "image_id" in first and "keypoints" in first:
        return _alphapose(content, path)
    if "instances" in first:
        return _mmpose(content, path)
    if "keypoint_scores" in first:  # MMPose, one picture
        return _mmpose([{"frame_id": 0, "instances": content}], path)
    return content


def _filled(frames: Mapping[int, list], first: int, path: Path) -> list[dict[str, list]]:
    """Return OpenPose's frames from the first number to the last; one that is missing shows nobody."""
    span = max(frames) - first + 1
    if span > MAX_GAPS * len(frames):
        raise SignXPoseError(
            f"{path}: the frames must be those of one clip, numbered consecutively, got {len(frames)} numbers over "
            f"{span} frames."
        )
    return [{"people": frames.get(number, [])} for number in range(first, max(frames) + 1)]


def _person(numbers: object, scores: object, what: str) -> dict[str, Any]:
    """Return one of OpenPose's people with all points in one list."""
    try:
        points = np.asarray(numbers, dtype=np.float64)
        if scores is not None:
            points = np.concatenate([points[:, :2], np.asarray(scores, dtype=np.float64).reshape(-1, 1)], axis=1)
        actual = f"{points.size} numbers"
    except (TypeError, ValueError, OverflowError, IndexError) as error:
        points, actual = np.zeros(0), f"something else ({' '.join(str(error).split())[:80]})"
    legal = [3 * layout.points for layout in BY_POINTS.values()]
    if points.size not in legal:
        raise SignXPoseError(
            f"{what}: keypoints must be x, y and confidence of a whole body of {' or '.join(map(str, BY_POINTS))} points "
            f"({' or '.join(map(str, legal))} numbers), got {actual}. Use a whole-body model, which sees the hands."
        )
    return {"pose_keypoints_2d": points.ravel().tolist(), "person_id": [-1]}


def _alphapose(content: Sequence[Mapping], path: Path) -> list[dict[str, list]]:
    """Return AlphaPose's list of detections as frames.

    The number of a frame is the last in `image_id`. Those of a video are plain numbers from 0 on, so that a video
    begins at 0 even if its first frames show nobody.
    """
    frames: dict[int, list] = {}
    is_video, are_tracked = True, True
    for place, item in enumerate(content):
        what = f"{path}: detection {place}"
        name = str(item.get("image_id", ""))
        stem = name.rpartition(".")[0] or name
        numbers = re.findall(r"\d+", stem)
        if not numbers or len(numbers[-1]) > 12:
            raise SignXPoseError(f"{what}: image_id must hold the number of the frame, got {name!r:.60}.")
        is_video = is_video and stem == str(int(numbers[-1]))
        person = _person(item.get("keypoints"), None, what)
        track = item.get("idx")
        are_tracked = are_tracked and type(track) is int and track >= 0
        people = frames.setdefault(int(numbers[-1]), [])
        # Without a tracker, everybody in a frame has the same number.
        are_tracked = are_tracked and [track] not in [other["person_id"] for other in people]
        people.append({**person, "person_id": [track]})
    if not are_tracked:
        for people in frames.values():
            for person in people:
                person["person_id"] = [-1]
    return _filled(frames, 0 if is_video else min(frames), path)


def _mmpose(content: Sequence[Mapping], path: Path) -> list[dict[str, list]]:
    """Return MMPose's frames of instances as OpenPose's."""
    frames: dict[int, list] = {}
    for place, item in enumerate(content):
        number, instances = item.get("frame_id", place), item.get("instances")
        if type(number) is not int or number < 0 or number in frames or not isinstance(instances, list):
            raise SignXPoseError(
                f"{path}: item {place} must be a frame of MMPose with a number of its own, {{'frame_id': 0, "
                "'instances': [...]}."
            )
        frames[number] = []
        for which, instance in enumerate(instances):
            what = f"{path}: frame {number}, person {which}"
            if not isinstance(instance, Mapping):
                raise SignXPoseError(f"{what}: must be an instance with keypoints and keypoint_scores.")
            frames[number].append(_person(instance.get("keypoints"), instance.get("keypoint_scores"), what))
    return _filled(frames, min(frames), path)


def _cameras(content: Sequence[Mapping], path: Path) -> list[dict[str, list]]:
    """Return the list of cameras of the Public DGS Corpus as frames with one person for each camera, in their order.

    It is the largest at first, then the one who stays at that place.
    """
    merged: dict[int, list] = {}
    for place, camera in enumerate(content):
        frames = camera.get("frames")
        if not isinstance(frames, Mapping) or not all(
            str(number).isdecimal() and len(number) < 10 for number in frames
        ):
            raise SignXPoseError(f"{path}: camera {place} must have frames by number, {{'frames': {{'0': ...}}}}.")
        last: np.ndarray | None = None
        for number in sorted(frames, key=int):
            frame = frames[number]
            people = frame.get("people") if isinstance(frame, Mapping) else None
            if not isinstance(people, list) or not all(isinstance(person, Mapping) for person in people):
                raise SignXPoseError(f"{path}: camera {place}, frame {number} must hold a list of people.")
            shown = merged.setdefault(int(number), [])
            boxes = [box for box in map(_box, people) if box is not None]
            if boxes:
                scores = [_size(box) if last is None else _common(last, box) for box in boxes]
                if not max(scores) > 0:
                    scores = [_size(box) for box in boxes]
                last = boxes[int(np.argmax(scores))]
                seen = [person for person in people if _box(person) is not None]
                shown.append({**seen[int(np.argmax(scores))], "person_id": [place]})
    if not merged:
        raise SignXPoseError(f"{path}: the cameras have no frames. Leave the clip out.")
    if len(content) > 1:
        names = ", ".join(
            f"{place} is camera {str(camera.get('camera', place))!r:.20}" for place, camera in enumerate(content)
        )
        warnings.warn(
            f"{path}: several cameras; of its people, {names}. Choose with `person`.", SignXWarning, stacklevel=2
        )
    return _filled(merged, 0, path)


def _box(person: Mapping) -> np.ndarray | None:
    """Return the box (left, top, right, bottom) of the body, None if it cannot be seen or read."""
    try:
        points = np.asarray(person.get("pose_keypoints_2d"), dtype=np.float64).reshape(-1, 3)
    except (TypeError, ValueError, OverflowError):
        return np.zeros(4)  # the reader of people says what is wrong
    points = points[points[:, 2] > 0, :2]
    return np.concatenate([points.min(axis=0), points.max(axis=0)]) if len(points) else None


def _size(box: np.ndarray) -> float:
    return float((box[2:] - box[:2]).prod())


def _common(a: np.ndarray, b: np.ndarray) -> float:
    """Return how much two boxes overlap, as a share of both together."""
    common = float(np.clip(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]), 0, None).prod())
    return common / (_size(a) + _size(b) - common) if common > 0 else 0.0


# -------------------------------------------------------------------------------------------------------------- arrays


def named_arrays(
    content: np.ndarray | dict[str, np.ndarray],
    tracks: Collection[str],
    widths: Collection[int],
    clip_keys: Collection[str],
    source: str,
) -> np.ndarray | dict[str, np.ndarray]:
    """Return an array of a whole body, or a `.npz` with a single one of any name, by the names of its parts.

    Args:
        content: Content of the file.
        tracks: Names of tracks.
        widths: Widths of rows of tracks; an array that has one is returned as it is.
        clip_keys: Keys of a `.npz` besides its tracks.
        source: Name of the clip, for messages.

    Returns:
        `dwpose`, or the parts of MediaPipe Holistic, and the other keys; anything else as it is.

    Raises:
        SignXPoseError: If the order of MediaPipe's parts cannot be told.
    """
    if isinstance(content, np.ndarray):
        is_track = content.ndim == 2 and content.shape[1] in widths
        parts = None if is_track else _parts_of(content, source)
        return content if parts is None else parts
    names = [name for name in content if name not in clip_keys]
    if len(names) != 1 or names[0] in tracks:
        return content
    parts = _parts_of(content[names[0]], source)
    return content if parts is None else {**{key: content[key] for key in clip_keys if key in content}, **parts}


def _parts_of(values: np.ndarray, source: str) -> dict[str, np.ndarray] | None:
    """Return an array of a known whole body by the names of its parts, None for any other."""
    if values.dtype.kind not in "fiu" or values.ndim not in (2, 3) or not len(values):
        return None
    if values.ndim == 2 and values.shape[1] == HOLISTIC_WIDTH:
        ends = np.cumsum([points * size for _, points, size in HOLISTIC_ROW])[:-1]
        return dict(zip((name for name, _, _ in HOLISTIC_ROW), np.split(values, ends, axis=1)))
    if values.ndim == 2:
        values = values.reshape(len(values), -1, 3) if values.shape[1] % 3 == 0 else values[..., None]
    if values.shape[2] != 3:
        return None
    if values.shape[1] in BY_POINTS:
        return _wholebody(values.astype(np.float64), source)
    return _holistic(values, source) if values.shape[1] == HOLISTIC_POINTS else None


def _wholebody(values: np.ndarray, source: str) -> dict[str, np.ndarray]:
    points = dwpose_of(values)
    seen = points[..., 2] > 0
    if (points[..., 2] > 10).any():  # AlphaPose's confidences reach 6
        raise SignXPoseError(
            f"{source}: the {values.shape[1]} points of a frame must be x, y and confidence, got a confidence of "
            f"{points[..., 2].max():g}. Save [frames, {values.shape[1]}, 3] in this order."
        )
    rows = points.reshape(len(points), DWPOSE_WIDTH)
    return {"dwpose": np.where(seen.any(axis=1, keepdims=True), rows, np.nan)}


def _holistic(values: np.ndarray, source: str) -> dict[str, np.ndarray]:
    """Split MediaPipe's 543 points by the order that fits them.

    MediaPipe sees a part with all of its points or not at all, and a face is smaller than the body.
    """
    seen = np.isfinite(values).all(axis=-1) & (values != 0).any(axis=-1)
    fits = {}
    for order, parts in HOLISTIC_ORDERS.items():
        found = _split(values, parts)
        shown = _split(seen, parts)
        torn = sum(int((part.any(axis=1) != part.all(axis=1)).sum()) for part in shown.values())
        faces = found["face"][shown["face"].all(axis=1)][..., :2]
        extent = float(np.median(np.ptp(faces, axis=1).max(axis=1))) if len(faces) else 0.0
        fits[order] = (torn, extent, found)
    (torn, extent, found), (other_torn, other_extent, _) = sorted(fits.values(), key=lambda fit: fit[:2])
    if torn == other_torn and not other_extent > LARGER_FACE * extent:
        raise SignXPoseError(
            f"{source}: the order of MediaPipe's {HOLISTIC_POINTS} points cannot be told. Save the parts by name: "
            "numpy.savez(path, pose=..., left_hand=..., right_hand=..., face=...)."
        )
    return found


def _split(values: np.ndarray, parts: Sequence[tuple[str, int]]) -> dict[str, np.ndarray]:
    ends = np.cumsum([points for _, points in parts])[:-1]
    return dict(zip((name for name, _ in parts), np.split(values, ends, axis=1)))
