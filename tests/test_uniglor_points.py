"""Key points as data for UniGloR: sets, their graphs, and the frame of reference of the signer."""

import json

import numpy as np
import pytest
import torch

from signx_hf import SignXPoseError, UniGloRConfig, UniGloRFeatureExtractor
from signx_hf.modeling.point_sets_uniglor import POINT_SETS, edges_of, is_face, parts_of, weight_groups_of
from signx_hf.processing.keypoint_sets_uniglor import SETS, missing_parts, noisy_frames
from signx_hf.processing.keypoints_signx import KEYPOINT73_NAMES, drop_noisy_frames, keypoints73
from signx_hf.processing.pose_files_signx import PoseClip

LEFT, RIGHT = KEYPOINT73_NAMES.index("left_shoulder"), KEYPOINT73_NAMES.index("right_shoulder")


def dwpose(frames=20, seed=0, confidence=1.0):
    """Rows of `dwpose` in pixels whose points wander a little about fixed places."""
    random = np.random.default_rng(seed)
    places = random.uniform(100, 400, size=(1, 128, 2))
    places[0, 2], places[0, 5] = (180, 200), (320, 200)
    points = places + random.normal(0, 2, size=(frames, 128, 2))
    return np.concatenate([points, np.full((frames, 128, 1), confidence)], axis=2).reshape(frames, -1)


def test_names_are_unique_and_both_folders_mean_the_same_points():
    assert len(set(KEYPOINT73_NAMES)) == 73
    for name, nodes in POINT_SETS.items():
        assert len(set(nodes)) == len(nodes)
        rest = [node for node in nodes if not is_face(node)]
        assert rest == [node for node in SETS[name].nodes if not is_face(node)]
        assert len(nodes) == len(SETS[name].nodes)
        assert [is_face(node) for node in nodes] == [is_face(node) for node in SETS[name].nodes]
    assert not any("chin" in node or "jaw" in node for node in POINT_SETS["keypoints73"])
    if "chin" not in KEYPOINT73_NAMES:
        assert POINT_SETS["keypoints73"] == KEYPOINT73_NAMES


@pytest.mark.parametrize("nodes", [*POINT_SETS.values(), KEYPOINT73_NAMES], ids=[*POINT_SETS, "of the extractor"])
def test_graph_is_one_tree_of_limbs_per_root_with_parents_nearer_to_it(nodes):
    edges = edges_of(nodes)
    assert len({frozenset(edge) for edge in edges}) == len(edges) and all(len(edge) == 2 for edge in edges)
    reached = {nodes.index("neck")} if "neck" in nodes else {nodes.index("left_hand_0"), nodes.index("right_hand_0")}
    distance, steps = dict.fromkeys(reached, 0), 0
    while True:  # breadth first by hand
        steps += 1
        new = {a if b in distance else b for a, b in edges if (a in distance) != (b in distance)}
        if not new:
            break
        distance.update(dict.fromkeys(new, steps))
    assert len(distance) == len(nodes)
    assert all(distance[child] >= distance[parent] for child, parent in edges)
    named = {(nodes[child], nodes[parent]) for child, parent in edges}
    assert {
        ("left_hand_4", "left_hand_3"),
        ("left_hand_5", "left_hand_0"),
        ("right_hand_20", "right_hand_19"),
    } <= named
    if "neck" in nodes:
        limbs = {("left_wrist", "left_elbow"), ("left_hand_0", "left_wrist"), ("right_elbow", "right_shoulder")}
        assert limbs | {("nose", "neck"), ("left_shoulder", "neck")} <= named
    if "right_eye_outer" in nodes:  # around an eye and a mouth, not across
        joined = {frozenset(edge) for edge in named}
        eye = ("right_eye_outer", "right_upper_lid", "right_eye_inner", "right_lower_lid", "right_eye_outer")
        mouth = ("right_mouth_corner", "upper_lip_outer", "left_mouth_corner", "lower_lip_outer")
        assert {frozenset(pair) for ring in (eye, mouth) for pair in zip(ring, ring[1:])} <= joined
        assert frozenset(("right_upper_lid", "right_lower_lid")) not in joined


def test_parts_and_groups_of_the_73_points():
    nodes = POINT_SETS["keypoints73"]
    assert {part: len(points) for part, points in parts_of(nodes).items()} == {
        "body": 8, "face": 19, "left_hand": 23, "right_hand": 23,
    }  # fmt: skip
    groups = weight_groups_of(nodes)
    assert [len(c["points"]) for c in groups["body"]] == [12] and [len(c["points"]) for c in groups["face"]] == [19]
    assert [(len(c["points"]), nodes[c["about"]]) for c in groups["hands"]] == [
        (21, "left_hand_0"), (21, "right_hand_0"),
    ]  # fmt: skip
    assert set(weight_groups_of(POINT_SETS["hands"])) == {"hands"}
    assert set(weight_groups_of(POINT_SETS["phoenix_skeletons"])) == {"body", "hands"}
    assert len(weight_groups_of(POINT_SETS["phoenix_skeletons"])["body"][0]["points"]) == 8


def test_config_survives_json_and_refuses_what_does_not_fit():
    config = UniGloRConfig.tiny(keypoints="phoenix_skeletons", coordinates=3)
    again = UniGloRConfig.from_dict(json.loads(config.to_json_string(use_diff=False)))
    assert again.to_dict() == config.to_dict() and again.num_keypoints == 50
    own = {"nodes": ["a", "b", "c"], "parts": {"all": [0, 1, 2]}, "edges": [[1, 0], [2, 1]], "weight_groups": {}}
    assert UniGloRConfig.tiny(keypoints="mine", **own).num_keypoints == 3
    wrong = {
        "keypoints": "body17", "nodes": ["a", "a"], "coordinates": 4, "parts": {"all": [0]}, "edges": [[0, 99]],
        "weight_groups": {"body": [{"points": [0, 0], "about": None}]}, "segment_length": 1, "graph_sizes": [6],
        "mask_mode": "noise", "decoder": "lstm", "query": "none", "norm": "group", "pose_weights": "best",
        "mask_ratio": 1.5, "hidden_size": 30, "num_attention_heads": 0, "segment_lenght": 15,
    }  # fmt: skip
    for name, value in wrong.items():
        with pytest.raises(ValueError, match="UniGloRConfig|Did you mean"):
            UniGloRConfig.tiny(**{name: value})
    assert UniGloRConfig().masked_frames == 4 and UniGloRConfig(mask_ratio=0.99).masked_frames == 14


def test_shift_and_scale_of_the_picture_change_nothing():
    extractor, rows = UniGloRFeatureExtractor(), dwpose()
    moved = rows.reshape(20, 128, 3) * [2.5, 2.5, 1] + [300, -70, 0]
    one, two = (extractor({"dwpose": r.reshape(20, -1)})["keypoints"] for r in (rows, moved))
    torch.testing.assert_close(one, two, atol=1e-4, rtol=0)
    points = one[0].numpy()
    np.testing.assert_allclose((points[:, LEFT] + points[:, RIGHT]) / 2, 0, atol=1e-5)
    assert np.median(np.linalg.norm(points[:, LEFT] - points[:, RIGHT], axis=-1)) == pytest.approx(1, abs=1e-4)


def test_what_was_not_seen_is_masked_and_zero():
    rows = dwpose().reshape(20, 128, 3)
    rows[3:6, 18:39] = 0
    batch = UniGloRFeatureExtractor()([{"dwpose": rows.reshape(20, -1)}, {"dwpose": dwpose(12)}], return_tensors="np")
    assert batch["keypoints"].shape == (2, 20, 73, 2) and batch["frame_mask"].sum(1).tolist() == [20, 12]
    hand = [KEYPOINT73_NAMES.index(f"left_hand_{i}") for i in range(21)]
    assert not batch["keypoint_mask"][0, 3:6, hand].any() and batch["keypoint_mask"][0, 6:].all()
    assert not batch["keypoints"][~batch["keypoint_mask"]].any() and not batch["keypoint_mask"][1, 12:].any()


def test_noisy_frames_by_a_loop_and_in_shoulder_widths():
    random = np.random.default_rng(3)
    points = random.normal(0, 1, size=(30, 73, 2)) * random.choice([0.2, 3.0], size=(30, 1, 1))
    mask = random.random((30, 73)) < 0.6
    mask[7] = False
    expected = [False]
    for t in range(1, 30):
        shared = [np.hypot(*(points[t, v] - points[t - 1, v])) for v in range(73) if mask[t, v] and mask[t - 1, v]]
        expected.append(bool(shared) and sum(shared) / len(shared) > 2.0)
    assert noisy_frames(points, mask, 2.0).tolist() == expected and 0 < sum(expected) < 29
    kept = drop_noisy_frames(points, mask, 2.0)[2]  # the older function for 73 points says the same
    assert np.flatnonzero(~noisy_frames(points, mask, 2.0)).tolist() == kept.tolist()

    rows = dwpose().reshape(20, 128, 3)
    rows[9, 18:, :2] += 300  # hands and face jump by two shoulder widths of 140 and more; shoulders stay
    clip = {"dwpose": rows.reshape(20, -1), "fps": 25}
    found = UniGloRFeatureExtractor(noise_threshold=1.5)(clip, return_metadata=True)
    assert found["keypoint_metadata"][0]["kept"] == [t for t in range(20) if t not in (9, 10)]
    assert found["keypoints"].shape[1] == 18
    assert UniGloRFeatureExtractor(noise_threshold="paper")(clip)["keypoints"].shape[1] == 20  # 400 pixels


def test_the_face_mesh_of_a_clip_is_kept():
    random = np.random.default_rng(0)
    body = random.uniform(100, 400, size=(6, 33, 4))
    body[:, 11, :2], body[:, 12, :2], body[..., 3] = (300, 200), (160, 200), 1
    rows = np.concatenate([body.reshape(6, -1), random.uniform(100, 400, size=(6, 126))], axis=1)
    mesh = random.uniform(200, 260, size=(6, 478, 3))
    extractor = UniGloRFeatureExtractor()
    without = extractor({"mediapipe": rows}, return_tensors="np")
    withit = extractor({"mediapipe": rows, "face": mesh}, return_tensors="np")
    read = extractor.reader.read({"mediapipe": rows}, "clip")
    assert isinstance(read, PoseClip) and read.face is None
    face = [is_face(node) for node in extractor.nodes]
    assert sum(face) == 19 and not without["keypoint_mask"][0][:, face].any() and withit["keypoint_mask"].all()
    assert missing_parts(without["keypoint_mask"][0], extractor.nodes) == ["face"]
    expected = keypoints73(rows, "mediapipe", mesh)[0]
    width = np.median(np.linalg.norm(expected[:, LEFT] - expected[:, RIGHT], axis=-1))
    expected = (expected - (expected[:, [LEFT]] + expected[:, [RIGHT]]) / 2) / width
    np.testing.assert_allclose(withit["keypoints"][0], expected, atol=1e-5)


def test_hands_alone_are_measured_in_palms_and_the_leading_hand_comes_first():
    random = np.random.default_rng(1)
    hand = random.uniform(-0.05, 0.05, size=(21, 3))
    rows = np.zeros((10, 2, 21, 3))
    for t in range(10):  # the right slot moves, the left one rests and is lost for two frames
        rows[t, 1] = hand + [0.3 + 0.02 * t, 0.5, 0]
        rows[t, 0] = 0 if t in (4, 5) else hand + [0.7, 0.5, 0]
    clip = {"hands": rows.reshape(10, -1), "fps": 30}
    found = UniGloRFeatureExtractor("hands", coordinates=3)(clip, return_tensors="np")
    values, mask = found["keypoints"][0], found["keypoint_mask"][0]
    assert (
        values.shape == (10, 42, 3)
        and mask[:, :21].all()
        and mask[:, 21].tolist() == [t not in (4, 5) for t in range(10)]
    )
    palms = np.linalg.norm(values[:, [9, 30]] - values[:, [0, 21]], axis=-1)[mask[:, [0, 21]]]
    assert np.median(palms) == pytest.approx(0.25, abs=1e-5)
    assert np.ptp(values[:, 0, 0]) > 0.1 and np.ptp(values[mask[:, 21], 21, 0]) < 1e-5
    bigger = {"hands": ((rows != 0) * (rows * 0.5 + [0.2, 0.1, 0])).reshape(10, -1), "fps": 30}
    again = UniGloRFeatureExtractor("hands", coordinates=3)(bigger, return_tensors="np")
    np.testing.assert_allclose(again["keypoints"], found["keypoints"], atol=1e-4)


def test_skeletons_of_fifty_joints_have_no_face():
    random = np.random.default_rng(2)
    skeleton = random.normal(0, 0.2, size=(9, 50, 3))
    skeleton[:, 2], skeleton[:, 5] = (-1 / 6, 0, 0), (1 / 6, 0, 0)
    extractor = UniGloRFeatureExtractor("phoenix_skeletons", coordinates=3)
    found = extractor({"skeleton": skeleton.reshape(9, -1), "fps": 25}, return_tensors="np")
    np.testing.assert_allclose(found["keypoints"][0], skeleton * 3, atol=1e-5)
    assert found["keypoint_mask"].all() and missing_parts(found["keypoint_mask"][0], extractor.nodes) == []


def test_options_and_clips_that_cannot_be_used_say_so(tmp_path):
    wrong = {
        "keypoints": "body17", "coordinates": 3, "fps": 0, "noise_threshold": -1, "confidence_threshold": -1,
        "person": "tall", "noise_treshold": 2,
    }  # fmt: skip
    for name, value in wrong.items():
        with pytest.raises(SignXPoseError):
            UniGloRFeatureExtractor(**{name: value})
    extractor = UniGloRFeatureExtractor()
    for clip, says in [
        ({"dwpose": dwpose(confidence=0.0)}, "shoulders"),
        ({"dwpose": np.full((5, 384), np.nan)}, "shoulders"),
        ({"skeleton": np.zeros((5, 150))}, "skeleton"),
        ({"dwpose": np.zeros((5, 12))}, "384"),
    ]:
        with pytest.raises(SignXPoseError, match=says):
            extractor(clip)
    extractor = UniGloRFeatureExtractor("hands", coordinates=3, fps=25, noise_threshold="paper")
    extractor.save_pretrained(tmp_path)
    again = UniGloRFeatureExtractor.from_pretrained(tmp_path)
    assert again.to_dict() == extractor.to_dict()
    with pytest.raises(SignXPoseError, match="noise_threshold"):
        UniGloRFeatureExtractor.from_pretrained(tmp_path, noise_treshold=3)
