"""DWPose as a track, with ONNX models built here whose answers can be worked out by hand.

The pose model finds the brightest pixel of one colour: key point k of 133 the one of channel k % 3 (red, green, blue), so a
picture with one dot of each colour has a known answer, through the crop and back.
"""

import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT

from signx_hf import SignXPoseError, SignXPoseFeatureExtractor
from signx_hf.poses import load_extractor
from signx_hf.poses.base import Clip
from signx_hf.poses.dwpose import MEAN, STD, DWPoseExtractor, wholebody_row
from signx_hf.poses.people import choose_signer
from signx_hf.processing.errors_signx import SignXFileNotFoundError

onnx = pytest.importorskip("onnx", reason="the tests build ONNX models")
pytest.importorskip("rtmlib", reason="the extra dwpose is not installed")
pytest.importorskip("onnxruntime", reason="the extra dwpose is not installed")

WIDTH, HEIGHT = 40, 56  # of the pose model's input
DETECTOR_WIDTH, DETECTOR_HEIGHT = 96, 64
COLOURS = np.eye(3, dtype=np.uint8) * 255
PAIRS = ("eye", "ear", "shoulder", "elbow", "wrist", "hip", "knee", "ankle")
BODY = ["nose", *(f"{side}_{name}" for name in PAIRS for side in ("left", "right"))]


def save(path, nodes, inputs, outputs, constants=()):
    from onnx import TensorProto, helper, numpy_helper

    def info(name, shape, kind=TensorProto.FLOAT):
        return helper.make_tensor_value_info(name, kind, shape)

    graph = helper.make_graph(
        [helper.make_node(*node[:3], **node[3]) for node in nodes],
        "graph",
        [info(*i) for i in inputs],
        [info(*o) for o in outputs],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in dict(constants).items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    onnx.save(model, str(path))
    return path


def pose_model(path, points=133, weights=None, width=WIDTH, height=HEIGHT, ratio=2):
    """Confidence of key point k: weights[k] where there is a dot of its colour at full brightness."""
    channel = np.eye(3, dtype=np.float32)[np.arange(points) % 3]
    # a dot of 255 is (255 - mean) / std after normalisation
    peak = (255 - np.array(MEAN, np.float32)) / np.array(STD, np.float32)
    choice = channel / peak * (np.ones(points, np.float32) if weights is None else np.float32(weights))[:, None]
    constants = {"choice": np.float32(choice)}
    nodes = []
    for axis, side, reduced in (("x", width, 2), ("y", height, 3)):
        constants[f"spread_{axis}"] = np.kron(np.eye(side), np.eye(1, ratio)).astype(np.float32)
        nodes += [
            ("ReduceMax", ["input"], [f"profile_{axis}"], {"axes": [reduced], "keepdims": 0}),
            ("MatMul", ["choice", f"profile_{axis}"], [f"chosen_{axis}"], {}),
            ("MatMul", [f"chosen_{axis}", f"spread_{axis}"], [f"simcc_{axis}"], {}),
        ]
    outputs = [("simcc_x", [1, points, ratio * width]), ("simcc_y", [1, points, ratio * height])]
    return save(path, nodes, [("input", [1, 3, height, width])], outputs, constants)


def detector_model(path, boxes, labels=None, channel=2):
    """Boxes (in its own input's pixels, with a score each) times the brightest value of one channel of the input / 255."""
    boxes = np.float32(boxes)[None]
    constants = {
        "pick": np.int64([channel]), "factor": np.float32(boxes / np.float32([1, 1, 1, 1, 255])),
        "only_score": np.float32([0, 0, 0, 0, 1]), "rest": np.float32([1, 1, 1, 1, 0]),
    }  # fmt: skip
    nodes = [
        ("Gather", ["input", "pick"], ["plane"], {"axis": 1}),
        ("ReduceMax", ["plane"], ["bright"], {"keepdims": 0}),
        ("Mul", ["bright", "only_score"], ["bright_score"], {}),
        ("Add", ["bright_score", "rest"], ["scale"], {}),
        ("Mul", ["factor", "scale"], ["dets"], {}),
    ]
    outputs = [("dets", [1, boxes.shape[1], 5])]
    if labels is not None:
        from onnx import TensorProto

        constants["all_labels"] = np.int64(labels)[None]
        nodes.append(("Identity", ["all_labels"], ["labels"], {}))
        outputs.append(("labels", [1, boxes.shape[1]], TensorProto.INT64))
    return save(path, nodes, [("input", [1, 3, DETECTOR_HEIGHT, DETECTOR_WIDTH])], outputs, constants)


def dots(size, red, green, blue, radius=0) -> np.ndarray:
    """A black picture [H, W, 3] with one square dot of each colour around the given (x, y)."""
    frame = np.zeros((size[1], size[0], 3), np.uint8)
    for colour, (x, y) in zip(COLOURS, (red, green, blue)):
        frame[y - radius : y + radius + 1, x - radius : x + radius + 1] = colour
    return frame


def clip_of(frame):
    return Clip("clip", 25.0, (frame.shape[1], frame.shape[0]))


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    weights = np.linspace(0.4, 1.6, 133, dtype=np.float32)
    weights[[20, 92, 40]] = -1.0  # not seen
    return {
        "folder": folder,
        "weights": weights,
        "pose": str(pose_model(folder / "pose.onnx", weights=weights)),
        "detector": str(detector_model(folder / "detector.onnx", [[8, 8, 40, 48, 0.9], [50, 10, 90, 50, 0.8]])),
    }


def test_key_points_come_back_exactly_through_the_crop(models):
    """Padded by 1.25, a box of 32 x 44.8 is cut out at the model's own 40 x 56: pixels are neither mixed nor moved."""
    size = (32, 44)
    found = dots(size, (3, 40), (17, 8), (30, 21))
    box = np.array([0, -0.4, 32, 44.4])  # 32 x 44.8, centre (16, 22)
    extractor = DWPoseExtractor(models["pose"]).load()
    keypoints = extractor._keypoints(found, box)
    weights = models["weights"]
    for k in range(133):
        expected = [(3, 40), (17, 8), (30, 21)][k % 3]
        if weights[k] < 0:
            # the brightest place of what is multiplied by -1 is anywhere: x and y are given up with the confidence
            continue
        np.testing.assert_allclose(keypoints[k], [*expected, min(weights[k], 1)], rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("size", [(200, 150), (90, 333), (64, 48)])
def test_key_points_of_a_whole_frame(models, size):
    """Without a detector the frame is the box: scaled by max(1.25 w / 40, 1.25 h / 56), within half a pixel of the input."""
    width, height = size
    places = [(width // 5, height // 4), (width // 2, height // 2), (4 * width // 5, 3 * height // 4)]
    scale = max(1.25 * width / WIDTH, 1.25 * height / HEIGHT)
    frame = dots(size, *places, radius=int(np.ceil(scale)))
    ((observation,),) = DWPoseExtractor(models["pose"]).extract([frame], clip_of(frame))
    assert observation.box == (0.0, 0.0, width, height) and not observation.whole_frame
    keypoints = observation.data["keypoints"]
    for k in np.flatnonzero(models["weights"] > 0):
        # the flat top of a dot is found at its first pixel, half its width before the middle
        distance = np.abs(keypoints[k, :2] - places[k % 3]).max()
        assert distance <= np.ceil(scale) + 0.5 + scale
        assert keypoints[k, 2] == pytest.approx(min(models["weights"][k], 1), abs=1e-5)


def test_colours_are_those_of_the_pictures(models):
    """One red dot: only key points of the first channel may see it (DWPose was trained on RGB)."""
    frame = dots((32, 44), (10, 10), (10, 10), (10, 10))
    frame[10, 10] = (255, 0, 0)
    keypoints = DWPoseExtractor(models["pose"]).load()._keypoints(frame, np.array([0, -0.4, 32, 44.4]))
    seen = keypoints[:, 2] > 0.2
    assert seen[[k for k in range(133) if k % 3 == 0 and models["weights"][k] > 0]].all()
    assert not seen[[k for k in range(133) if k % 3 and models["weights"][k] > 0]].any()


def test_row_is_what_the_reader_of_pose_files_makes_of_the_same_points():
    """133 points of distinct numbers, through names on one side and through a .pose file and its reader on the other."""
    draw = np.random.default_rng(0)
    keypoints = np.concatenate([draw.uniform(10, 600, (133, 2)), draw.uniform(0.05, 1, (133, 1))], axis=1).astype(
        np.float32
    )
    keypoints[[3, 60, 100]] = 0
    row = wholebody_row(keypoints).reshape(128, 3)
    assert row.dtype == np.float32
    from rtmlib.visualization.skeleton import coco133, openpose18

    numbers = {point["name"]: i for i, point in coco133["keypoint_info"].items()}
    assert [numbers[name] for name in BODY] == list(range(17))
    for i, point in openpose18["keypoint_info"].items():
        if point["name"] != "neck":
            np.testing.assert_array_equal(row[i], keypoints[numbers[point["name"]]])
    left, right = keypoints[numbers["left_shoulder"]], keypoints[numbers["right_shoulder"]]
    np.testing.assert_allclose(row[1], [*(left + right)[:2] / 2, min(left[2], right[2])], rtol=1e-6)
    np.testing.assert_array_equal(row[18:39], keypoints[91:112])
    assert [numbers["left_hand_root"], numbers["right_hand_root"], numbers["face-0"]] == [91, 112, 23]
    np.testing.assert_array_equal(row[39:60], keypoints[112:133])
    np.testing.assert_array_equal(row[60:], keypoints[23:91])

    keypoints[numbers["left_shoulder"], 2] = 0
    assert not wholebody_row(keypoints).reshape(128, 3)[1].any()


def test_row_agrees_with_the_reader_of_pose_files(tmp_path):
    pose_format = pytest.importorskip("pose_format", reason="the extra poses is not installed")
    from pose_format.numpy import NumPyPoseBody
    from pose_format.pose_header import PoseHeader, PoseHeaderComponent, PoseHeaderDimensions

    from signx_hf.processing.pose_files_signx import read_pose_file

    draw = np.random.default_rng(1)
    keypoints = draw.uniform(1, 300, (5, 133, 3))
    keypoints[..., 2] = draw.uniform(0.1, 1, (5, 133))
    feet = [f"{side}_{name}" for side in ("left", "right") for name in ("big_toe", "small_toe", "heel")]
    parts = {
        "BODY": BODY + feet,
        "FACE": [f"face-{i}" for i in range(68)],
        "LEFT_HAND": [f"hand_{i}" for i in range(21)],
        "RIGHT_HAND": [f"hand_{i}" for i in range(21)],
    }
    components = [PoseHeaderComponent(name, points, [], [], "XYC") for name, points in parts.items()]
    body = NumPyPoseBody(25, keypoints[:, None, :, :2], keypoints[:, None, :, 2])
    pose = pose_format.Pose(PoseHeader(0.1, PoseHeaderDimensions(320, 320, 0), components), body)
    with (tmp_path / "clip.pose").open("wb") as file:
        pose.write(file)
    read = read_pose_file(tmp_path / "clip.pose").tracks["dwpose"]
    np.testing.assert_allclose([wholebody_row(frame) for frame in keypoints], read, rtol=1e-5)


def test_points_that_were_not_seen_are_zero(models):
    frame = dots((64, 48), (10, 10), (30, 20), (50, 40), radius=2)
    ((observation,),) = DWPoseExtractor(models["pose"]).extract([frame], clip_of(frame))
    row = DWPoseExtractor(models["pose"]).to_row(observation).reshape(128, 3)
    assert row.dtype == np.float32 and row.shape == (128, 3)
    assert ((row[:, 2] >= 0) & (row[:, 2] <= 1)).all() and (row[:, 2] == 1).any()
    unseen = DWPoseExtractor(models["pose"], min_score=0).load()
    blank = np.zeros_like(frame)
    ((nobody,),) = unseen.extract([blank], clip_of(blank))
    keypoints = nobody.data["keypoints"]
    assert (keypoints[keypoints[:, 2] == 0] == 0).all()
    assert list(DWPoseExtractor(models["pose"]).extract([blank], clip_of(blank))) == [[]]


def test_detected_people_each_in_their_box(models):
    """288 x 192 into 96 x 64 is a third: the boxes come back three times as large, and each person's dots from inside."""
    size = (288, 192)
    first, second = [(40, 40), (70, 80), (90, 130)], [(185, 45), (200, 90), (250, 130)]
    frame = np.maximum(dots(size, *first, radius=4), dots(size, *second, radius=4))
    extractor = DWPoseExtractor(models["pose"], models["detector"])
    ((two, one),) = extractor.extract([frame], clip_of(frame))  # the larger first
    assert [one.box, two.box] == [(24.0, 24.0, 120.0, 144.0), (150.0, 30.0, 270.0, 150.0)]
    for observation, places in ((one, first), (two, second)):
        left, top, right, bottom = observation.box
        scale = max(1.25 * (right - left) / WIDTH, 1.25 * (bottom - top) / HEIGHT)
        for k in np.flatnonzero(models["weights"] > 0):
            assert np.abs(observation.data["keypoints"][k, :2] - places[k % 3]).max() <= 4 + scale + 0.5
    assert choose_signer([[two, one]], size, 0) == [one]


def test_detector_sees_blue_green_red(models):
    frame = np.zeros((192, 288, 3), np.uint8)
    frame[60:80, 60:90] = (255, 0, 0)
    blue = np.ascontiguousarray(frame[..., ::-1])
    extractor = DWPoseExtractor(models["pose"], models["detector"]).load()
    assert len(extractor._boxes(frame)) == 2 and len(extractor._boxes(blue)) == 0


def test_detector_scores_labels_and_numbers(models, tmp_path):
    boxes = [
        [0, 0, 30, 30, 0.95],
        [10, 10, 90, 60, 0.6],
        [40, 5, 62, 50, 0.45],
        [5, 5, 5, 40, 0.9],
        [50, 0, 99, 70, 0.9],
    ]
    path = detector_model(tmp_path / "labels.onnx", boxes, labels=[0, 0, 0, 0, 16])
    frame = np.full((64, 96, 3), 255, np.uint8)

    def found(**options):
        return DWPoseExtractor(models["pose"], path, **options).load()._boxes(frame).tolist()

    assert found() == [[10, 10, 90, 60], [0, 0, 30, 30]]  # the largest first; no dog, no line
    assert found(detector_score=0.4) == [[10, 10, 90, 60], [40, 5, 62, 50], [0, 0, 30, 30]]
    assert found(detector_score=0.4, max_people=2) == [[10, 10, 90, 60], [40, 5, 62, 50]]
    beyond = detector_model(tmp_path / "beyond.onnx", [[-20, -5, 120, 80, 0.9]])
    assert DWPoseExtractor(models["pose"], beyond).load()._boxes(frame).tolist() == [[0, 0, 96, 64]]


def test_detector_without_suppression_in_its_graph(models, tmp_path):
    """Raw YOLOX: one cell of stride 8 at column 3, row 2 says a person of 40 x 32 with its middle at (28, 20)."""
    cells = [(DETECTOR_HEIGHT // s) * (DETECTOR_WIDTH // s) for s in (8, 16, 32)]
    raw = np.full((1, sum(cells), 7), -9.0, np.float32)
    raw[..., 4:] = 0
    column, line, stride = 3, 2, 8
    cell = line * (DETECTOR_WIDTH // stride) + column
    raw[0, cell] = [28 / 8 - column, 20 / 8 - line, np.log(40 / 8), np.log(32 / 8), 0.9, 0.9, 0.05]
    raw[0, cell + 5] = [0, 0, np.log(5), np.log(5), 0.9, 0.05, 0.9]  # something of another class
    nodes = [
        ("ReduceMax", ["input"], ["bright"], {"keepdims": 0}),
        ("Mul", ["bright", "zero"], ["nothing"], {}),
        ("Add", ["raw", "nothing"], ["output"], {}),
    ]
    path = save(
        tmp_path / "raw.onnx", nodes, [("input", [1, 3, DETECTOR_HEIGHT, DETECTOR_WIDTH])],
        [("output", list(raw.shape))], {"raw": raw, "zero": np.float32(0)},
    )  # fmt: skip
    frame = np.full((128, 192, 3), 255, np.uint8)
    boxes = DWPoseExtractor(models["pose"], path).load()._boxes(frame)
    np.testing.assert_allclose(boxes, [[16, 8, 96, 72]], atol=1e-3)
    nobody = DWPoseExtractor(models["pose"], path, detector_score=0.95).load()
    assert nobody._boxes(frame).shape == (0, 4)
    assert list(nobody.extract([frame], clip_of(frame))) == [[]]


def test_a_clip_gives_the_same_rows_alone_or_after_another(models):
    draw = np.random.default_rng(4)
    clips = [draw.integers(0, 256, (4, 60, 80, 3), np.uint8), draw.integers(0, 256, (3, 90, 50, 3), np.uint8)]
    for array in clips:
        array.flags.writeable = False
    extractor = DWPoseExtractor(models["pose"], min_score=0)

    def rows(extractor, frames):
        return np.stack([extractor.to_row(o) for (o,) in extractor.extract(frames, clip_of(frames[0]))])

    alone = [rows(DWPoseExtractor(models["pose"], min_score=0), frames) for frames in clips]
    for n in (0, 1, 0):
        np.testing.assert_array_equal(rows(extractor, clips[n]), alone[n])
    unpickled = pickle.loads(pickle.dumps(extractor))
    assert unpickled._loaded_pose is None
    np.testing.assert_array_equal(rows(unpickled, clips[1]), alone[1])


def test_rows_go_into_the_feature_extractor(models):
    draw = np.random.default_rng(5)
    frames = [dots((200, 150), *draw.integers(20, 130, (3, 2)), radius=5) for _ in range(4)]
    extractor = DWPoseExtractor(models["pose"])
    rows = np.stack([extractor.to_row(o) for (o,) in extractor.extract(frames, clip_of(frames[0]))])
    features = SignXPoseFeatureExtractor(track_dims={"dwpose": 384}, fps=None)
    out = features({"dwpose": rows}, return_tensors="np")
    assert out["pose_mask"].all() and np.isfinite(out["pose_values"]).all()


def test_layout_and_fingerprint(models, tmp_path):
    extractor = DWPoseExtractor(models["pose"], models["detector"])
    assert json.loads(json.dumps(extractor.options)) == extractor.options
    layout = extractor.layout
    assert layout.layout == "dwpose-128" and "rtmlib 0." in layout.version and "onnxruntime" in layout.version
    assert layout.source == "pose.onnx, detector detector.onnx"
    base = extractor.fingerprint
    assert extractor._loaded_pose is None
    options = [{"min_score": 0.2}, {"detector_score": 0.6}, {"max_people": 3}, {"device": "cuda"}]
    others = {DWPoseExtractor(models["pose"], models["detector"], **o).fingerprint for o in options}
    others |= {
        DWPoseExtractor(models["pose"]).fingerprint,
        DWPoseExtractor(models["detector"], models["pose"]).fingerprint,
    }
    assert len(others - {base}) == 6
    moved = tmp_path / "end2end.onnx"
    moved.write_bytes(Path(models["pose"]).read_bytes())
    assert DWPoseExtractor(moved, models["detector"]).fingerprint == base
    pose_model(moved)
    assert DWPoseExtractor(moved, models["detector"]).fingerprint not in others | {base}


def bad_file(kind, folder):
    """A path that is no whole-body model, and what is said of it."""
    path = folder / f"{kind}.onnx"
    if kind == "missing":
        return path, "missing.onnx: no such file"
    if kind == "empty":
        path.write_bytes(b"")
        return path, "empty.onnx: cannot be run as an ONNX model"
    if kind == "garbage":
        path.write_bytes(bytes(range(256)) * 20)
        return path, "garbage.onnx: cannot be run as an ONNX model"
    if kind == "pickle inside":
        path.write_bytes(pickle.dumps({"weights": [1, 2, 3]}))
        return path, "pickle inside.onnx: cannot be run as an ONNX model"
    if kind == "truncated":
        path.write_bytes(pose_model(folder / "whole.onnx").read_bytes()[:4000])
        return path, "truncated.onnx: cannot be run as an ONNX model"
    if kind == "folder":
        path.mkdir()
        return path, "folder.onnx: must be an .onnx file, got a folder"
    if kind == "17 points":
        return pose_model(path, points=17), "17 points.onnx: must have the 133 keypoints of COCO-WholeBody, got 17"
    if kind == "other bins":
        return pose_model(path, ratio=3), f"{WIDTH} pixels must have {2 * WIDTH} bins, got {3 * WIDTH}"
    identity = [("Identity", ["input"], ["output"], {})]
    if kind == "heat maps":
        shape = [1, 3, HEIGHT, WIDTH]
        return save(path, identity, [("input", shape)], [("output", shape)]), "must have two SimCC outputs .*got 1"
    if kind == "no size":
        shape = [1, 3, "height", "width"]
        return save(path, identity, [("input", shape)], [("output", shape)]), "must be one image .* of a fixed size"
    if kind == "no picture":
        return save(path, identity, [("input", [1, 5])], [("output", [1, 5])]), "must be one image .*got \\[1, 5\\]"
    if kind == "half precision":
        shape, half = [1, 3, HEIGHT, WIDTH], onnx.TensorProto.FLOAT16
        model = save(path, identity, [("input", shape, half)], [("output", shape, half)])
        return model, "must be tensor\\(float\\), got tensor\\(float16\\)"
    raise AssertionError(kind)


@pytest.mark.parametrize(
    "kind",
    ["missing", "empty", "garbage", "pickle inside", "truncated", "folder", "17 points", "other bins", "heat maps", "no size",
     "no picture", "half precision"],
)  # fmt: skip
def test_files_that_are_no_pose_model(kind, tmp_path):
    path, message = bad_file(kind, tmp_path)
    extractor = DWPoseExtractor(path)
    with pytest.raises(SignXPoseError if kind != "missing" else SignXFileNotFoundError, match=message) as caught:
        extractor.load()
    assert "\n" not in str(caught.value) and extractor._loaded_pose is None


def test_a_detector_that_is_none(models, tmp_path):
    pose_as_detector = DWPoseExtractor(models["pose"], pose_model(tmp_path / "few.onnx", width=2, ratio=2))
    with pytest.raises(SignXPoseError, match="few.onnx: .*YOLOX.* got \\[1, 133, 4\\]"):
        pose_as_detector.load()
    assert pose_as_detector._loaded_pose is None
    with pytest.raises(SignXFileNotFoundError, match="absent.onnx: no such file"):
        DWPoseExtractor(models["pose"], tmp_path / "absent.onnx").load()


@pytest.mark.parametrize(
    "options, message",
    [
        ({"pose_model": "https://x.org/m.onnx"}, "pose_model must not be a web address, got https://x.org/m.onnx"),
        ({"pose_model": "m.onnx", "detector": "http://x.org/d.zip"}, "detector must not be a web address"),
        ({"pose_model": "dw-ll_ucoco.pth"}, "must be an .onnx file, got dw-ll_ucoco.pth, .* any code"),
        ({"pose_model": "m.pkl"}, "any code"),
        ({"pose_model": "m.zip"}, "m.zip. Unpack it"),
        ({"pose_model": ""}, "pose_model must be the path of an .onnx file .*got ''"),
        ({"pose_model": 3}, "pose_model .*got 3"),
        ({"pose_model": b"m.onnx"}, "pose_model .*got b'm.onnx'"),
        ({}, "dwpose: option 'pose_model' is required"),
        ({"pose_model": "m.onnx", "device": "gpu"}, "device must be cpu, cuda or cuda:N, got 'gpu'"),
        ({"pose_model": "m.onnx", "min_score": 2}, "min_score must be a number from 0 to 1, got 2"),
        ({"pose_model": "m.onnx", "detector_score": None}, "detector_score .*got None"),
        ({"pose_model": "m.onnx", "max_people": 0}, "max_people must be a positive integer, got 0"),
        ({"pose_model": "m.onnx", "max_people": True}, "max_people .*got True"),
        ({"pose": "m.onnx"}, "dwpose: unknown option 'pose'; did you mean 'pose_model'\\?"),
    ],
)  # fmt: skip
def test_bad_options(options, message):
    with pytest.raises(SignXPoseError, match=message) as caught:
        load_extractor("dwpose", **options)
    assert "\n" not in str(caught.value)


def test_a_device_that_is_not_there(models):
    import onnxruntime

    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("this onnxruntime has CUDA")
    with pytest.raises(SignXPoseError, match="device is 'cuda:1', but onnxruntime .* has no CUDA"):
        DWPoseExtractor(models["pose"], device="cuda:1").load()


@pytest.mark.parametrize("frame", [np.zeros((8, 8), np.uint8), np.zeros((8, 8, 3), np.float64), None])
def test_bad_frames(models, frame):
    with pytest.raises(SignXPoseError, match="c1: frame 1 must be RGB, uint8 "):
        list(DWPoseExtractor(models["pose"]).extract([np.zeros((8, 8, 3), np.uint8), frame], Clip("c1", 25.0, (8, 8))))


def test_hub_names_come_from_the_cache_and_nowhere_else(models, tmp_path):
    """A Hub cache as the client lays it out, offline; nothing is printed, nothing else is fetched."""
    folder = tmp_path / "hub" / "models--owner--dwpose"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text("a" * 40)
    (folder / "snapshots" / ("a" * 40) / "onnx").mkdir(parents=True)
    (folder / "snapshots" / ("a" * 40) / "onnx" / "pose.onnx").write_bytes(Path(models["pose"]).read_bytes())
    code = f"""
import sys; sys.path.insert(0, {str(ROOT)!r})
import numpy as np
from signx_hf.poses import load_extractor
from signx_hf.poses.base import Clip
extractor = load_extractor("dwpose", pose_model="owner/dwpose:onnx/pose.onnx", min_score=0)
print(len(list(extractor.extract([np.zeros((9, 9, 3), np.uint8)], Clip("c", 25, (9, 9))))), extractor.layout.source)
for name in ("owner/dwpose:other.onnx", "owner/nothing:pose.onnx"):
    try:
        load_extractor("dwpose", pose_model=name).load()
    except ValueError as error:
        print(type(error).__name__, error)
"""
    environment = {**os.environ, "HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "1"}
    environment.pop("HF_HUB_CACHE", None)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, cwd=tmp_path)
    lines = done.stdout.splitlines()
    assert len(lines) == 3, done.stderr
    assert lines[0] == "1 owner/dwpose:onnx/pose.onnx, detector none"
    assert lines[1].startswith("SignXPoseError owner/dwpose:other.onnx: cannot be fetched from the Hub (")
    assert (
        lines[2].startswith("SignXPoseError owner/nothing:pose.onnx: cannot be fetched")
        and "HF_HUB_OFFLINE" in lines[2]
    )
