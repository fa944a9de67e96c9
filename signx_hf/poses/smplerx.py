"""The track `smplerx`: SMPL-X poses that SMPLer-X, or another program, has estimated and written to files.

SMPLer-X (arXiv 2309.17448) needs a model and an environment of its own, so only its results are read here.
"""

import hashlib
import json
import os
import re
import warnings
from collections.abc import Iterable, Iterator, Mapping
from importlib.resources import files
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from ..common.extras import require
from ..common.messages import one_line
from ..common.reading import load_json, read_regular
from ..data.tracks import TrackLayout
from ..processing.errors_signx import SignXFileNotFoundError, SignXPoseError, SignXWarning
from ..processing.pose_files_signx import PICKLES, load_numpy
from .base import Clip, Observation, TrackExtractor

# key in the files -> number of joints, in the order of a row, which is that of SMPL-X
PARTS = {
    "global_orient": 1,
    "body_pose": 21,
    "jaw_pose": 1,
    "leye_pose": 1,
    "reye_pose": 1,
    "left_hand_pose": 15,
    "right_hand_pose": 15,
}
JOINTS = sum(PARTS.values())
WHOLE = ("poses", "fullpose", "full_pose")
# SMPLer-X does not estimate the eyes and writes zeros; others leave the keys out. All other parts are required.
OPTIONAL = ("leye_pose", "reye_pose")
# of the detector, before the larger crop that the network sees; left, top, width, height
BOXES = ("bbox_mmdet", "bbox")
HANDS = ("left_hand_pose", "right_hand_pose")
MEANS = ("hands_meanl", "hands_meanr")
MANNEQUIN = "mannequin"
MAX_ANGLE = 1000.0  # larger numbers are not angles in any unit
FILE_NAME = re.compile(r"(?:[A-Za-z]+[_-]?)?(\d+)(?:_(\d+))?")


class SMPLerXExtractor(TrackExtractor):
    """Reads SMPL-X result files, 55 joints x 3 axis-angle per frame.

    Args:
        results: Folder with, for each clip, `<clip id>.npz` (arrays of all frames) or a folder `<clip id>` with one
            file for a frame (`00012.npz`) or for a person in it (`00012_0.npz`). In a folder of SMPLer-X they are in
            `smplx/`, and `meta/00012_0.json` has the boxes. Keys: global_orient, body_pose, jaw_pose, leye_pose,
            reye_pose, left_hand_pose, right_hand_pose, or poses / fullpose with all 165; axis-angle or rotation
            matrices; bbox is left, top, width, height.
        flat_hand_mean: Meaning of zeros in the hands of the files: True for a flat hand, False for SMPL-X's relaxed
            mean hand, which is what SMPLer-X writes.
        hand_means: With flat_hand_mean=False, the mean hand to add, so that zeros mean a flat hand as in all rows of
            this package: an SMPL-X model file (`.npz`), or "mannequin" for that of the extra `synth`. Without it hands
            stay as they are; the layout says so, and `load` warns.
        first_frame: Number of the video's first frame in file names; SMPLer-X counts from 1.

    A frame without a file shows nobody.
    """

    name = "smplerx"
    width = 3 * JOINTS

    def __init__(
        self, results: str, flat_hand_mean: bool = False, hand_means: str | None = None, first_frame: int = 1
    ):
        self.results, self.flat_hand_mean, self.first_frame = str(results), flat_hand_mean, first_frame
        self.hand_means = None if hand_means is None else str(hand_means)
        if not isinstance(flat_hand_mean, bool):
            raise SignXPoseError(f"flat_hand_mean must be True or False, got {flat_hand_mean!r}.")
        if isinstance(first_frame, bool) or not isinstance(first_frame, int) or first_frame < 0:
            raise SignXPoseError(f"first_frame must be a non-negative integer, got {first_frame!r}.")
        if flat_hand_mean and hand_means is not None:
            raise SignXPoseError(
                "hand_means must not be given if flat_hand_mean is True, because flat hands have no mean to add."
            )
        self._loaded_means: np.ndarray | None = None

    @property
    def layout(self) -> TrackLayout:
        flat = self.flat_hand_mean or self.hand_means is not None
        return TrackLayout(
            self.name,
            self.width,
            layout=f"SMPL-X 55 joints, hands from the {'flat' if flat else 'mean'} hand",
            units="axis-angle in radians",
            order="global 1, body 21, jaw, left eye, right eye, left hand 15, right hand 15",
            source="SMPL-X result files",
            version="not stated in the files",
        )

    @property
    def fingerprint(self) -> str:
        """Hash the options and the names, sizes and times of all result files, whose bytes may be gigabytes."""
        digest = hashlib.sha256(json.dumps([self.flat_hand_mean, self.hand_means, self.first_frame]).encode())
        for folder, folders, names in os.walk(self._folder()):
            folders.sort()
            for name in sorted(names):
                path = os.path.join(folder, name)
                status = os.stat(path)
                where = os.path.relpath(path, self.results)
                digest.update(f"{where}\0{status.st_size}\0{status.st_mtime_ns}\0".encode("utf-8", "surrogateescape"))
        if self.hand_means is not None:
            digest.update(self._means().tobytes())
        return digest.hexdigest()

    def load(self) -> "SMPLerXExtractor":
        if self._loaded_means is not None:
            return self
        self._folder()
        if not self.flat_hand_mean and self.hand_means is None:
            warnings.warn(
                f"{self.results}: zeros in these hands mean SMPL-X's mean hand, in other rows of this package a flat "
                "hand. Do not mix them, or pass hand_means='mannequin' or an SMPL-X model file (.npz).",
                SignXWarning,
                stacklevel=2,
            )
        self._loaded_means = self._means()
        return self

    def extract(self, frames: Iterable[np.ndarray], clip: Clip) -> Iterator[list[Observation]]:
        """Yield the people of each frame; raise SignXPoseError if file and video differ in their number of frames."""
        self.load()
        path, folder = self._find(clip.id)
        whole = (0.0, 0.0, float(clip.size[0]), float(clip.size[1]))
        return (self._from_folder if folder else self._from_file)(path, frames, whole)

    def to_row(self, observation: Observation) -> np.ndarray:
        return observation.data["row"]

    def _folder(self) -> Path:
        folder = Path(self.results)
        if not folder.is_dir():
            problem = "not a folder" if folder.exists() else "no such folder"
            raise SignXFileNotFoundError(f"{folder}: {problem}. Check the path of the SMPL-X results.")
        return folder

    def _find(self, clip: str) -> tuple[Path, bool]:
        """Return the path of the results of a clip, and whether it is a folder."""
        inside = PurePosixPath(clip.replace("\\", "/"))
        if inside.is_absolute() or ".." in inside.parts or not inside.parts:
            raise SignXPoseError(f"clip id must be a name inside {self.results}, got {clip!r}. Rename the clip.")
        base = self._folder() / inside
        file, parts = base.with_name(base.name + ".npz"), base / "smplx"
        if file.is_file():
            return file, False
        if base.is_dir():
            return (parts if parts.is_dir() else base), True
        for suffix in PICKLES:
            if base.with_name(base.name + suffix).exists():
                raise SignXPoseError(_pickle_message(base.with_name(base.name + suffix)))
        raise SignXFileNotFoundError(
            f"{file}: no such file, nor a folder {base}. Run SMPLer-X on clip {clip!r}, or leave it out."
        )

    def _from_file(self, path: Path, frames: Iterable[np.ndarray], whole: tuple) -> Iterator[list[Observation]]:
        """Read one file with [T, ...] arrays of one person."""
        content = load_numpy(path, ".npz", (*PARTS, *WHOLE, *BOXES))
        rows = read_rows(content, path, single=False)
        boxes = _boxes(content, len(rows), path)
        count = 0
        for count, _ in enumerate(frames, 1):
            if count <= len(rows):
                yield self._people([(rows[count - 1], None if boxes is None else boxes[count - 1])], whole, path)
        if count != len(rows):
            raise SignXPoseError(
                f"{path}: must have as many frames as the video, {count}, got {len(rows)}. Estimate the poses of "
                "this video again."
            )

    def _from_folder(self, folder: Path, frames: Iterable[np.ndarray], whole: tuple) -> Iterator[list[Observation]]:
        """Read one file for each frame or for each person in it."""
        numbered = self._numbered(folder)
        count = 0
        for count, _ in enumerate(frames, 1):
            people = []
            for path in numbered.pop(count - 1, []):
                content = load_numpy(path, ".npz", (*PARTS, *WHOLE, *BOXES)) | _meta(path)
                rows, boxes = read_rows(content, path, single=True), _boxes(content, 1, path)
                people.append((rows[0], None if boxes is None else boxes[0]))
            yield self._people(people, whole, folder)
        if numbered:
            last = numbered[max(numbered)][-1]
            raise SignXPoseError(
                f"{last}: is for frame {max(numbered) + self.first_frame}, but the video has {count} frames, "
                f"numbered from {self.first_frame}. Set first_frame, or estimate the poses of this video again."
            )

    def _numbered(self, folder: Path) -> dict[int, list[Path]]:
        """Map the index of a frame, from 0, to its files, sorted by person."""
        names = sorted(os.listdir(folder))
        pickles = [name for name in names if name.lower().endswith(PICKLES)]
        if pickles:
            raise SignXPoseError(_pickle_message(folder / pickles[0]))
        numbered: dict[int, list[tuple[int, Path]]] = {}
        for name in (n for n in names if n.lower().endswith(".npz")):
            match = FILE_NAME.fullmatch(name[: -len(".npz")])
            frame = int(match[1]) - self.first_frame if match else -1
            if frame < 0:
                raise SignXPoseError(
                    f"{folder / name}: the name must be the number of a frame from {self.first_frame} (00012.npz), "
                    "followed by the person where there are several (00012_0.npz). Rename the file or set first_frame."
                )
            numbered.setdefault(frame, []).append((int(match[2] or 0), folder / name))
        if not numbered:
            raise SignXFileNotFoundError(
                f"{folder}: no .npz file. There must be one for each frame (00012.npz); check the folder."
            )
        return {frame: [path for _, path in sorted(people)] for frame, people in numbered.items()}

    def _people(self, people: list[tuple[np.ndarray, Any]], whole: tuple, path: Path) -> list[Observation]:
        seen = [(row, box) for row, box in people if not np.isnan(row).any()]
        if len(seen) > 1 and any(box is None for _, box in seen):
            raise SignXPoseError(
                f"{path}: {len(seen)} people in a frame need boxes to tell them apart. Add bbox to each file, copy "
                "the folder meta next to smplx, or keep the files of one person."
            )
        means = 0.0 if self._loaded_means is None else self._loaded_means
        hands = slice(JOINTS - 30, JOINTS)
        out = []
        for row, box in seen:
            row = row.copy()
            row[hands] += means
            data = {"row": row.astype(np.float32).ravel()}
            out.append(Observation(whole if box is None else tuple(box), 1.0, data))
        return out

    def _means(self) -> np.ndarray:
        """Return the mean hands [30, 3] to add, left before right."""
        if self.hand_means is None:
            return np.zeros((30, 3))
        if self.hand_means == MANNEQUIN:
            package = files(require(MANNEQUIN).__name__)
            with (package / "assets" / "smplx_calibration.npz").open("rb") as file, np.load(file) as content:
                return content["hand_mean"].astype(np.float64)
        path = Path(self.hand_means)
        if path.suffix.lower() in PICKLES:
            raise SignXPoseError(_pickle_message(path))
        if not path.is_file():
            raise SignXFileNotFoundError(
                f"{path}: no such file. hand_means must be an SMPL-X model (.npz) or 'mannequin'."
            )
        content = load_numpy(path, ".npz", MEANS)
        means = [content.get(key) for key in MEANS]
        if any(m is None or m.shape != (45,) or m.dtype.kind != "f" or not np.isfinite(m).all() for m in means):
            raise SignXPoseError(
                f"{path}: must have {' and '.join(MEANS)} of 45 numbers each. Use the original SMPL-X model file."
            )
        return np.concatenate(means).reshape(30, 3).astype(np.float64)


def _pickle_message(path: Path) -> str:
    return (
        f"{path}: must be .npz, because a pickle can run any code when it is read. If you trust it, save its arrays "
        "with numpy.savez(path, **arrays)."
    )


def _meta(path: Path) -> dict[str, np.ndarray]:
    """Return the box that SMPLer-X writes to `meta/` for a result, or nothing."""
    meta = path.parent.parent / "meta" / f"{path.stem}.json"
    if path.parent.name != "smplx" or not meta.is_file():
        return {}
    try:
        content = load_json(read_regular(meta))
        if not isinstance(content, dict):
            raise TypeError(f"a {type(content).__name__}")
        return {key: np.asarray(content[key], dtype=np.float64) for key in BOXES if key in content}
    except (OSError, ValueError, TypeError, OverflowError, RecursionError) as error:
        raise SignXPoseError(
            f"{meta}: not valid JSON of SMPLer-X ({one_line(error, 80)}). Run SMPLer-X again."
        ) from error


def _boxes(content: Mapping[str, np.ndarray], frames: int, path: Path) -> np.ndarray | None:
    """Return boxes [frames, 4]: left, top, right, bottom; None where the file has none."""
    key = next((key for key in BOXES if key in content), None)
    if key is None:
        return None
    boxes = np.array(content[key], dtype=np.float64) if content[key].dtype.kind in "fiu" else np.zeros(0)
    if boxes.size != 4 * frames or boxes.shape[-1] != 4 or not np.isfinite(boxes).all():
        raise SignXPoseError(
            f"{path}: {key} must be left, top, width and height for {frames} frames, got {content[key].dtype} of "
            f"shape {list(content[key].shape)}."
        )
    boxes = boxes.reshape(frames, 4)
    boxes[:, 2:] += boxes[:, :2]
    return boxes


def read_rows(content: Mapping[str, np.ndarray], path: Path, single: bool) -> np.ndarray:
    """Convert the arrays of a result file to [T, 55, 3] axis-angle in radians. A frame that is all NaN was not seen
    and stays NaN.

    Args:
        content: Arrays by key.
        path: Path of the file, for messages.
        single: The file is for one frame, so [3, 3] is a rotation matrix and not three frames.

    Raises:
        SignXPoseError: If a key is missing, a shape is wrong, hands are principal components, or a number is not
            finite.
    """
    whole = next((key for key in WHOLE if key in content), None)
    missing = [key for key in PARTS if key not in content and key not in OPTIONAL]
    if whole is not None and missing:
        rows = _joints(content[whole], JOINTS, whole, path, single)
    elif missing:
        raise SignXPoseError(
            f"{path}: {', '.join(missing)} missing, got {', '.join(content) or 'none of the keys'}. There must be "
            f"{', '.join(PARTS)}, or poses with all 165 numbers."
        )
    else:
        parts = {key: _joints(content[key], PARTS[key], key, path, single) for key in PARTS if key in content}
        lengths = {key: len(values) for key, values in parts.items()}
        frames = lengths["global_orient"]
        if len(set(lengths.values())) > 1:
            raise SignXPoseError(f"{path}: all arrays must have the same number of frames, got {lengths}.")
        rows = np.concatenate([parts.get(key, np.zeros((frames, n, 3))) for key, n in PARTS.items()], axis=1)
        # zeros of eyes that are left out must not make a frame that was not seen partly seen
        rows[np.isnan(parts["global_orient"]).all(axis=(1, 2)) & np.isnan(parts["body_pose"]).all(axis=(1, 2))] = (
            np.nan
        )
    if single and len(rows) != 1:
        raise SignXPoseError(
            f"{path}: must hold one frame because of its name, got {len(rows)}. Use <clip id>.npz for all frames."
        )
    bad = ~(np.abs(rows) <= MAX_ANGLE) & ~np.isnan(rows).all(axis=(1, 2), keepdims=True)
    if bad.any():
        frame, joint, axis = (int(i) for i in np.argwhere(bad)[0])
        raise SignXPoseError(
            f"{path}: frame {frame} joint {joint} must be finite radians, got {rows[frame, joint, axis]}. Leave the "
            "frame out, or set all of it to NaN."
        )
    return rows


def _joints(array: np.ndarray, joints: int, key: str, path: Path, single: bool) -> np.ndarray:
    """Convert one part of any valid shape to [T, joints, 3] float64."""
    if array.dtype.kind not in "fiu":
        raise SignXPoseError(f"{path}: {key} must be numbers, got {array.dtype}. Write float32 arrays.")
    tails = [(joints, 3, 3), (joints, 3), (3 * joints,)]
    if joints == 1:
        tails.insert(1 if single else 3, (3, 3))
        if array.ndim == 3 and array.shape[1:] == (3, 3):  # [T, 3, 3]: matrices, not [T, 1, 3]
            tails = [(3, 3)]
    for tail in tails:
        lead = array.ndim - len(tail)
        if lead in (0, 1) and array.shape[lead:] == tail:
            values = np.array(array, dtype=np.float64).reshape(-1, joints, *((3, 3) if tail[-2:] == (3, 3) else (3,)))
            return _axis_angle(values, key, path) if values.ndim == 4 else values
    size = array.shape[-1] if array.ndim else 0
    advice = f"It must be [frames, {3 * joints}] axis-angle or [frames, {joints}, 3, 3] rotation matrices."
    if key in HANDS and array.ndim in (1, 2) and 0 < size < 3 * joints and size != 3:
        advice = (
            f"{size} numbers look like principal components of a hand; all 45 are needed. Run the model with "
            "use_pca=False, or multiply by its hand components first."
        )
    elif key in WHOLE and size in (66, 72, 156):
        advice = "That is SMPL or SMPL+H, without jaw and eyes or without hands; it must be the 165 numbers of SMPL-X."
    raise SignXPoseError(f"{path}: {key} has shape {list(array.shape)}. {advice}")


def _axis_angle(matrices: np.ndarray, key: str, path: Path) -> np.ndarray:
    """Convert rotation matrices [..., 3, 3] to axis-angle [..., 3] of length 0 to pi. A matrix that is all NaN stays
    NaN."""
    unknown = np.isnan(matrices).all(axis=(-1, -2))
    matrices = np.where(unknown[..., None, None], np.eye(3), matrices)
    turned = matrices @ np.swapaxes(matrices, -1, -2)
    if not (np.abs(turned - np.eye(3)) < 1e-2).all() or not (np.linalg.det(matrices) > 0).all():
        raise SignXPoseError(
            f"{path}: {key} must be rotation matrices [frames, joints, 3, 3], got matrices that are not rotations."
        )
    diagonal = np.diagonal(matrices, axis1=-2, axis2=-1)
    # squares of the quaternion (w, x, y, z): the largest is safe to divide by at any angle
    squares = np.concatenate(
        [1 + diagonal.sum(-1, keepdims=True), 1 + 2 * diagonal - diagonal.sum(-1, keepdims=True)], -1
    )
    products = np.empty((*matrices.shape[:-2], 4, 4))
    for i in range(4):
        products[..., i, i] = squares[..., i]
    for (i, j), (row, column, sign) in {
        (0, 1): (2, 1, -1), (0, 2): (0, 2, -1), (0, 3): (1, 0, -1), (1, 2): (1, 0, 1), (1, 3): (0, 2, 1), (2, 3): (2, 1, 1),
    }.items():  # fmt: skip
        products[..., i, j] = products[..., j, i] = matrices[..., row, column] + sign * matrices[..., column, row]
    best = squares.argmax(axis=-1)[..., None, None]
    quaternion = np.take_along_axis(products, best, axis=-2)[..., 0, :]
    quaternion = quaternion / np.linalg.norm(quaternion, axis=-1, keepdims=True)
    quaternion = np.where(quaternion[..., :1] < 0, -quaternion, quaternion)
    length = np.linalg.norm(quaternion[..., 1:], axis=-1, keepdims=True)
    angle = 2 * np.arctan2(length, quaternion[..., :1])
    vector = quaternion[..., 1:] * np.where(length > 1e-12, angle / np.where(length > 1e-12, length, 1), 2.0)
    return np.where(unknown[..., None], np.nan, vector)
