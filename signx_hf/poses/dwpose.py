"""The `dwpose` track: 128 of the 133 COCO-WholeBody key points, by an ONNX model of DWPose or RTMW that the user
provides.

rtmlib crops the person and decodes the SimCC outputs. It downloads nothing: models are given as a file, or as
"owner/name:file.onnx" of the Hub, which is then fetched once (HF_HUB_OFFLINE is respected).

Colors: the pose models were trained on RGB (IDEA-Research/DWPose, issue 25; Tau-J/rtmlib, issue 48), YOLOX detectors
on BGR. rtmlib converts nothing, so each gets here what it was trained on.
"""

import contextlib
import importlib.metadata
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from ..common.extras import require
from ..common.fingerprints import fingerprint
from ..common.messages import one_line
from ..data.tracks import TrackLayout
from ..processing.errors_signx import SignXFileNotFoundError, SignXPoseError
from ..processing.keypoints_signx import (
    DWPOSE_BODY,
    DWPOSE_LAYOUT,
    DWPOSE_ORDER,
    DWPOSE_POINTS,
    DWPOSE_SHOULDERS,
    DWPOSE_UNITS,
    DWPOSE_WIDTH,
)
from .base import Clip, Observation, TrackExtractor
from .frames import check_frame

if TYPE_CHECKING:
    from onnxruntime import InferenceSession
    from rtmlib import YOLOX, RTMPose

RtmlibT = TypeVar("RtmlibT")

WHOLEBODY_POINTS = 133
NECK = 1
# Index of each point of a row in COCO-WholeBody (17 body, 6 feet, 68 face, 21 left hand, 21 right hand), which has no
# neck: the nose stands in until the neck is computed. The feet are left out.
COCO_BODY = (0, 0, 6, 8, 10, 5, 7, 9, 12, 14, 16, 11, 13, 15, 2, 1, 4, 3)
WHOLEBODY_INDEX = (*COCO_BODY, *range(91, 112), *range(112, 133), *range(23, 91))
COCO_WRISTS, COCO_HANDS, COCO_SHOULDERS = [9, 10], slice(91, 133), [5, 6]
UPPER_BODY = slice(0, 11)  # nose to wrists

# ImageNet mean and standard deviation in RGB order, as DWPose and RTMW were trained
MEAN, STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
SIMCC_RATIO = 2  # bins of a SimCC output per input pixel
GRID_STRIDES = (8, 16, 32)
PERSON_CLASS = 0  # in COCO, and the only one of detectors for people
UNSAFE = (".pth", ".pt", ".pkl", ".pickle", ".ckpt", ".bin", ".joblib")
HUB_NAME = re.compile(r"(?P<repo>[\w.-]+/[\w.-]+):(?P<file>[^:\\]+)")
WEB_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
ERROR_CHARACTERS = 160
DEVICE = re.compile(r"cpu|cuda(?::(?P<id>\d+))?")


class DWPoseExtractor(TrackExtractor):
    """Extracts whole-body key points with an ONNX model with SimCC outputs: rows [384] in pixels.

    Args:
        pose_model: A DWPose or RTMW model of 133 key points: path of an .onnx file, or "owner/name:file.onnx" of the
            Hub.
        detector: A YOLOX detector of people, given likewise; None takes the whole frame as the box of one person.
        device: "cpu", "cuda" or "cuda:N" (CUDA needs onnxruntime-gpu).
        min_score: 0 to 1; people with a lower mean confidence from nose to wrists are left out.
        detector_score: 0 to 1; boxes with a lower score are left out.
        max_people: Maximum number of people per frame, those with the largest boxes.

    `Observation.data`: `keypoints` [133, 3] in the order of COCO-WholeBody, and the points of `people.py`.
    """

    name = "dwpose"
    width = DWPOSE_WIDTH

    def __init__(
        self,
        pose_model: str | os.PathLike,
        detector: str | os.PathLike | None = None,
        device: str = "cpu",
        min_score: float = 0.3,
        detector_score: float = 0.5,
        max_people: int = 8,
    ):
        if not isinstance(device, str) or not DEVICE.fullmatch(device):
            raise SignXPoseError(f"dwpose: device must be cpu, cuda or cuda:N, got {device!r}.")
        if isinstance(max_people, bool) or not isinstance(max_people, int) or max_people < 1:
            raise SignXPoseError(f"dwpose: max_people must be a positive integer, got {max_people!r}.")
        self.options: dict[str, Any] = {
            "pose_model": _checked_name(pose_model, "pose_model"),
            "detector": None if detector is None else _checked_name(detector, "detector"),
            "device": device,
            "min_score": _share(min_score, "min_score"),
            "detector_score": _share(detector_score, "detector_score"),
            "max_people": max_people,
        }
        self._loaded_pose: Any = None
        self._loaded_detector: Any = None

    @property
    def layout(self) -> TrackLayout:
        pose, detector = self.options["pose_model"], self.options["detector"]
        files = f"{_file_name(pose)}, detector {_file_name(detector) if detector else 'none'}"
        return TrackLayout(self.name, self.width, DWPOSE_LAYOUT, DWPOSE_UNITS, DWPOSE_ORDER, files, _versions())

    @property
    def fingerprint(self) -> str:
        # the bytes of the models count, not their paths, and the kind of device, not its number
        options = {key: value for key, value in self.options.items() if key not in ("pose_model", "detector")}
        options["device"] = options["device"].partition(":")[0]
        return fingerprint(self.name, _versions(), options, self._model_files())

    def _model_files(self) -> list[Path]:
        names = (self.options["pose_model"], self.options["detector"])
        return [model_file(name) for name in names if name is not None]

    def load(self) -> "DWPoseExtractor":
        if self._loaded_pose is None:
            require("rtmlib")
            files = self._model_files()
            pose = _pose_model(files[0], self.options["device"])
            if len(files) > 1:
                self._loaded_detector = _detector(files[1], self.options["device"], self.options["detector_score"])
            self._loaded_pose = pose
        return self

    def extract(self, frames: Iterable[np.ndarray], clip: Clip) -> Iterator[list[Observation]]:
        self.load()
        for index, frame in enumerate(frames):
            frame = check_frame(frame, index, clip)
            try:
                boxes = self._boxes(frame)
                people = [(box, self._keypoints(frame, box)) for box in boxes]
            except Exception as error:  # ONNX Runtime and OpenCV have errors of their own
                if isinstance(error, SignXPoseError):
                    raise
                raise SignXPoseError(
                    f"{clip.id}: the model failed at frame {index} ({one_line(error, ERROR_CHARACTERS)}). Use a "
                    "whole-body model with SimCC outputs."
                ) from error
            observations = (_observation(box, keypoints) for box, keypoints in people)
            yield [o for o in observations if o.score >= self.options["min_score"]]

    def to_row(self, observation: Observation) -> np.ndarray:
        return wholebody_row(observation.data["keypoints"])

    def _boxes(self, frame: np.ndarray) -> np.ndarray:
        """Return boxes [n, 4] within the frame, the largest first."""
        height, width = frame.shape[:2]
        if self._loaded_detector is None:
            return np.array([[0, 0, width, height]], dtype=np.float64)
        boxes = _detect(self._loaded_detector, np.ascontiguousarray(frame[..., ::-1]))
        boxes = np.clip(boxes, 0, (width, height, width, height))
        sides = boxes[:, 2:] - boxes[:, :2]
        boxes, areas = boxes[(sides >= 1).all(axis=1)], sides[(sides >= 1).all(axis=1)].prod(axis=1)
        order = np.lexsort((*boxes.T[::-1], -areas))
        return boxes[order[: self.options["max_people"]]]

    def _keypoints(self, frame: np.ndarray, box: np.ndarray) -> np.ndarray:
        """Return key points [133, 3] float32: x, y in pixels and confidence; 0 where not seen."""
        model = self._loaded_pose
        image, center, scale = model.preprocess(frame, box)
        outputs = model.inference(image)
        size = model.model_input_size
        expected = [(1, WHOLEBODY_POINTS, SIMCC_RATIO * side) for side in size]
        if [o.shape for o in outputs] != expected:
            raise SignXPoseError(
                f"{Path(model.onnx_model).name}: the SimCC outputs of {WHOLEBODY_POINTS} keypoints must be "
                f"{list(expected[0])} and {list(expected[1])}, got {', '.join(str(list(o.shape)) for o in outputs)}."
            )
        points, scores = model.postprocess(outputs, center, scale)
        confidence = np.clip(scores[0], 0.0, 1.0)  # peaks of SimCC may exceed 1
        confidence[~np.isfinite(points[0]).all(axis=1) | np.isnan(confidence)] = 0.0
        xy = np.where(confidence[:, None] > 0, points[0], 0.0)
        return np.concatenate([xy, confidence[:, None]], axis=1).astype(np.float32)


def wholebody_row(keypoints: np.ndarray) -> np.ndarray:
    """Convert COCO-WholeBody key points [133, 3] (x, y, confidence) to a row [384] of the `dwpose` track, float32.

    The neck, which COCO lacks, is the midpoint of the shoulders with the lower of their confidences.
    """
    row = np.asarray(keypoints, dtype=np.float32)[list(WHOLEBODY_INDEX)]
    left, right = (row[DWPOSE_BODY][i] for i in DWPOSE_SHOULDERS)
    confidence = min(left[2], right[2])
    row[NECK] = (*((left[:2] + right[:2]) / 2), confidence) if confidence > 0 else 0.0
    row[row[:, 2] <= 0] = 0.0
    return row.reshape(3 * DWPOSE_POINTS)


def _observation(box: np.ndarray, keypoints: np.ndarray) -> Observation:
    shoulders = keypoints[COCO_SHOULDERS]
    data = {
        "keypoints": keypoints,
        "wrists": keypoints[COCO_WRISTS],
        "hands": keypoints[COCO_HANDS],
        "anchor": np.append(shoulders[:, :2].mean(axis=0), shoulders[:, 2].min())[None].astype(np.float32),
    }
    return Observation(tuple(float(v) for v in box), float(keypoints[UPPER_BODY, 2].mean()), data)


def _checked_name(name: str | os.PathLike, option: str) -> str:
    """Return the name of a model as text if it can be one, without looking at the disk or the Hub."""
    try:
        text = os.fspath(name)
    except TypeError:
        text = name
    if not isinstance(text, str) or not text:
        raise SignXPoseError(
            f"dwpose: {option} must be the path of an .onnx file or 'owner/name:file.onnx', got {name!r}."
        )
    if WEB_ADDRESS.match(text):
        raise SignXPoseError(
            f"dwpose: {option} must not be a web address, got {text}. Download the file and pass its path, or name "
            "one of the Hub as 'owner/name:file.onnx'."
        )
    suffix = Path(text).suffix.lower()
    if suffix in UNSAFE:
        raise SignXPoseError(
            f"dwpose: {option} must be an .onnx file, got {text}, a format that can run any code when it is read."
        )
    if suffix == ".zip":
        raise SignXPoseError(
            f"dwpose: {option} must be an .onnx file, got {text}. Unpack it and pass the end2end.onnx inside."
        )
    return text


def _file_name(name: str) -> str:
    hub = HUB_NAME.fullmatch(name)
    return name if hub and not os.path.exists(name) else Path(name).name


def model_file(name: str) -> Path:
    """Return the path of a model: the file itself, or the file of that name on the Hub, fetched if it is not in the
    cache.

    Raises:
        SignXFileNotFoundError: If there is no such file.
        SignXPoseError: If it is not a file, or it cannot be fetched from the Hub.
    """
    path = Path(name)
    try:
        if path.is_file():
            return path
        is_folder = path.is_dir()
    except (OSError, ValueError):  # the name is too long, or holds a zero byte
        is_folder = False
    hub = HUB_NAME.fullmatch(name)
    if hub and not is_folder and not path.drive:
        return _hub_file(hub["repo"], hub["file"])
    if is_folder:
        raise SignXPoseError(f"{name}: must be an .onnx file, got a folder. Pass the end2end.onnx inside.")
    raise SignXFileNotFoundError(
        f"{name}: no such file. Check the path of the .onnx model, or name one of the Hub as 'owner/name:file.onnx'."
    )


def _hub_file(repo: str, file: str) -> Path:
    from huggingface_hub import hf_hub_download

    try:
        return Path(hf_hub_download(repo, file))
    except Exception as error:  # the Hub's client and the network below it raise dozens of classes
        raise SignXPoseError(
            f"{repo}:{file}: cannot be fetched from the Hub ({one_line(error, ERROR_CHARACTERS)}). Check the name "
            "and HF_HUB_OFFLINE, or pass a local .onnx file."
        ) from error


def _versions() -> str:
    versions = []
    for module, distributions in (("rtmlib", ("rtmlib",)), ("onnxruntime", ("onnxruntime", "onnxruntime-gpu"))):
        for name in distributions:
            with contextlib.suppress(importlib.metadata.PackageNotFoundError):
                versions.append(f"{name} {importlib.metadata.version(name)}")
                break
        else:
            versions.append(f"{module} {getattr(require(module), '__version__', 'of unknown version')}")
    return ", ".join(versions)


def _share(value: object, name: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 1:
        raise SignXPoseError(f"dwpose: {name} must be a number from 0 to 1, got {value!r}.")
    return float(value)


def _session(path: Path, device: str) -> "InferenceSession":
    """Open a model in ONNX Runtime; raise SignXPoseError if the file is not one."""
    runtime = require("onnxruntime")
    options = runtime.SessionOptions()
    options.log_severity_level = 3
    # ONNX Runtime ignores this variable and would take all cores in each of several workers
    threads = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
    options.intra_op_num_threads = int(threads) if threads.isdecimal() else 0  # 0: no limit
    provider: Any = "CPUExecutionProvider"
    if device != "cpu":
        if "CUDAExecutionProvider" not in runtime.get_available_providers():
            raise SignXPoseError(
                f"dwpose: device is {device!r}, but onnxruntime {runtime.__version__} has no CUDA. Use cpu, or "
                "install onnxruntime-gpu."
            )
        provider = ("CUDAExecutionProvider", {"device_id": int(DEVICE.fullmatch(device)["id"] or 0)})
    try:
        session = runtime.InferenceSession(str(path), sess_options=options, providers=[provider])
    except Exception as error:  # its own classes are not public
        raise SignXPoseError(
            f"{path}: cannot be run as an ONNX model ({one_line(error, ERROR_CHARACTERS)}). Export or copy it again."
        ) from error
    if device != "cpu" and "CUDAExecutionProvider" not in session.get_providers():  # it falls back silently
        raise SignXPoseError(
            f"dwpose: device is {device!r}, but ONNX Runtime cannot start CUDA on it. Use cpu, or install the CUDA "
            f"version that onnxruntime-gpu {runtime.__version__} requires."
        )
    return session


def _input_size(session: "InferenceSession", path: Path) -> tuple[int, int]:
    """Return the (width, height) of the model's input."""
    inputs = session.get_inputs()
    shape = inputs[0].shape if len(inputs) == 1 else [len(inputs), "inputs"]
    if len(shape) != 4 or shape[1] != 3 or not all(isinstance(side, int) and side > 0 for side in shape[2:]):
        raise SignXPoseError(
            f"{path}: the input must be one image [batch, 3, height, width] of a fixed size, got {shape}. Export the "
            "model with its size."
        )
    if inputs[0].type != "tensor(float)":
        raise SignXPoseError(
            f"{path}: the input must be tensor(float), got {inputs[0].type}. Export the model in float32."
        )
    return shape[3], shape[2]


def _rtmlib_model(
    kind: type[RtmlibT], path: Path, session: "InferenceSession", size: tuple[int, int], **attributes: Any
) -> RtmlibT:
    """Wrap a session of our own in rtmlib's pre- and postprocessing.

    Its constructor is bypassed because it downloads missing files, prints, and does not limit threads.
    """
    model = kind.__new__(kind)
    model.__dict__.update(
        session=session, onnx_model=str(path), model_input_size=size, backend="onnxruntime", device="cpu", **attributes
    )
    return model


def _pose_model(path: Path, device: str) -> "RTMPose":
    session = _session(path, device)
    size = _input_size(session, path)
    shapes = [output.shape for output in session.get_outputs()]
    if len(shapes) != 2 or any(len(shape) != 3 for shape in shapes):
        raise SignXPoseError(
            f"{path}: must have two SimCC outputs [batch, {WHOLEBODY_POINTS}, bins], got {len(shapes)}: {shapes}. "
            "Use a DWPose or RTMW model."
        )
    for shape, side in zip(shapes, size):
        if isinstance(shape[1], int) and shape[1] != WHOLEBODY_POINTS:
            raise SignXPoseError(
                f"{path}: must have the {WHOLEBODY_POINTS} keypoints of COCO-WholeBody, got {shape[1]}. Use a "
                "DWPose or RTMW whole-body model."
            )
        if isinstance(shape[2], int) and shape[2] != SIMCC_RATIO * side:
            raise SignXPoseError(
                f"{path}: a SimCC output of {side} pixels must have {SIMCC_RATIO * side} bins, got {shape[2]}. Use a "
                "DWPose or RTMW model."
            )
    kind = require("rtmlib").RTMPose
    return _rtmlib_model(kind, path, session, size, mean=np.array(MEAN), std=np.array(STD), to_openpose=False)


def _detector(path: Path, device: str, score: float) -> "YOLOX":
    session = _session(path, device)
    width, height = _input_size(session, path)
    shape = session.get_outputs()[0].shape
    if len(shape) != 3 or (isinstance(shape[2], int) and shape[2] < 5):
        raise SignXPoseError(
            f"{path}: the output of a YOLOX detector must be [batch, boxes, 5 or more], got {shape}. Use one of "
            "rtmlib's YOLOX models."
        )
    kind = require("rtmlib").YOLOX
    attributes = {"mean": None, "std": None, "det_mode": "multiclass", "nms_thr": 0.45, "score_thr": score}
    return _rtmlib_model(kind, path, session, (height, width), **attributes)  # YOLOX takes the height first


def _detect(detector: "YOLOX", image: np.ndarray) -> np.ndarray:
    """Detect people in a BGR image; return boxes [n, 4]: left, top, right, bottom in pixels."""
    pixels, ratio = detector.preprocess(image)
    outputs = detector.inference(pixels)
    detections = outputs[0]
    if detections.shape[-1] != 5:
        return _decode_grid(detector, detections[0], ratio)
    # Boxes after suppression inside the graph, with their labels. rtmlib would apply 0.3 whatever the threshold, and
    # take any label.
    mask = detections[0, :, 4] >= detector.score_thr
    if len(outputs) > 1 and outputs[1].shape == detections.shape[:2]:
        mask &= outputs[1][0] == PERSON_CLASS
    return detections[0, mask, :4].astype(np.float64) / ratio


def _decode_grid(detector: "YOLOX", predictions: np.ndarray, ratio: float) -> np.ndarray:
    """Decode the raw predictions of YOLOX (Ge et al. 2021); return boxes of people [n, 4] without duplicates.

    rtmlib does this only from 0.0.15 on, and those releases require two builds of OpenCV.

    Args:
        detector: of `_detector`.
        predictions: [cells, 5 + classes] float32: place of the center in its cell and logarithm of width and height, in
            cells; score of an object; score of each class. The cells of each stride follow each other row by row.
        ratio: pixels of the detector's input per pixel of the image.
    """
    from rtmlib.tools.object_detection.post_processings import nms

    height, width = detector.model_input_size
    cells, strides = [], []
    for stride in GRID_STRIDES:
        x, y = np.meshgrid(np.arange(width // stride), np.arange(height // stride))
        cells.append(np.stack((x, y), axis=2).reshape(-1, 2))
        strides.append(np.full((x.size, 1), stride))
    centers = ((predictions[:, :2] + np.concatenate(cells)) * np.concatenate(strides)).astype(np.float32)
    half = (np.exp(predictions[:, 2:4]) * np.concatenate(strides)).astype(np.float32) / 2
    scores = predictions[:, 4] * predictions[:, 5 + PERSON_CLASS]
    likely = scores > detector.score_thr
    boxes = np.concatenate([centers - half, centers + half], axis=1)[likely] / np.float32(ratio)
    return boxes[nms(boxes, scores[likely], detector.nms_thr)].astype(np.float64)
