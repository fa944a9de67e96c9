"""Tracks made of key points, what is computed from them, handedness, and their augmentation: each against a direct answer."""

import numpy as np
import pytest
from data_minis import MINIS
from hypothesis import given, settings
from hypothesis import strategies as st
from mediapipe_rows import mediapipe, mirror_image

from signx_hf.data import SignXDataError, decode_poses, load_dataset
from signx_hf.processing.errors_signx import SignXPoseError
from signx_hf.processing.feature_extraction_signx import SignXPoseFeatureExtractor
from signx_hf.processing.keypoints_signx import mirror_rows
from signx_hf.training.arguments import AugmentationArguments, DataArguments
from signx_hf.training.augmentation import PoseAugmentation, rotation_matrix
from signx_hf.training.examples import hold_out

KINECT = {"coordinates": 3, "origin": [1], "scale": [1, 2], "facing": [1, 2], "distances": [0, 2, 3], "motion": True}
WIDTH = 2 * 12 + 3  # four points, three distances, motion


def kinect(seed=0, frames=9):
    return np.random.default_rng(seed).normal(size=(frames, 12))


def extract(extractor, clip):
    batch = extractor(clip, return_tensors="np")
    return batch["pose_values"][0], batch["pose_mask"][0]


def points_extractor(**changes):
    return SignXPoseFeatureExtractor(
        track_dims={"kinect": WIDTH}, point_tracks={"kinect": KINECT}, fps=None, **changes
    )


def test_distances_and_motion_against_loops():
    raw = kinect()
    values, mask = extract(points_extractor(), {"kinect": raw})
    assert values.shape == (9, WIDTH) and mask.all()
    points = values[:, :12].reshape(9, 4, 3)
    for t in range(9):
        want = [np.linalg.norm(points[t, a] - points[t, b]) for a, b in ((0, 2), (0, 3), (2, 3))]
        np.testing.assert_allclose(values[t, 12:15], want, rtol=1e-5)
        before, after = values[max(t - 1, 0), :12], values[min(t + 1, 8), :12]
        np.testing.assert_allclose(values[t, 15:], after - before, atol=1e-6)
    unit = np.median(np.linalg.norm(raw.reshape(9, 4, 3)[:, 1] - raw.reshape(9, 4, 3)[:, 2], axis=1))
    want = np.linalg.norm(raw.reshape(9, 4, 3)[:, 0] - raw.reshape(9, 4, 3)[:, 2], axis=1) / unit
    np.testing.assert_allclose(values[:, 12], want, rtol=1e-4)


def test_motion_skips_frames_that_were_not_seen():
    raw = kinect()
    raw[4] = np.nan
    values, mask = extract(points_extractor(), {"kinect": raw})
    assert mask[:, 0].tolist() == [t != 4 for t in range(9)]
    assert not values[[3, 4, 5], 15:].any() and values[[2, 6], 15:].all()


@settings(max_examples=20, deadline=None)
@given(st.floats(-3.1, 3.1), st.integers(0, 50))
def test_who_faces_the_camera_is_the_same_from_every_side(angle, seed):
    raw = kinect(seed).reshape(-1, 4, 3)
    raw[:, 2] = raw[:, 1] + [3, 0.2, 0.5]  # shoulders that have a direction
    turned = raw @ rotation_matrix(0, angle, 0).T + [1, 2, 3]
    first = extract(points_extractor(), {"kinect": raw.reshape(-1, 12)})[0]
    again = extract(points_extractor(), {"kinect": turned.reshape(-1, 12)})[0]
    np.testing.assert_allclose(again, first, atol=2e-5)
    shoulders = first[:, :12].reshape(-1, 4, 3)
    assert (shoulders[:, 2, 0] > 0.5).all() and np.abs(shoulders[:, 2, 2]).max() < 1e-5


HAND = {"source": "mediapipe.right_hand", "coordinates": 3, "origin": [0], "scale": [0, 9]}
BODY = {"source": "mediapipe.body", "points": [0, 11, 12, 15, 16]}


def parts_extractor(**changes):
    options = {"track_dims": {"hand": 63, "body": 10}, "point_tracks": {"hand": HAND, "body": BODY}, "fps": None}
    return SignXPoseFeatureExtractor(**{**options, **changes})


def test_tracks_made_of_key_points():
    raw = mediapipe()
    raw[3, 132 + 63 :] = 0  # the right hand is lost in one frame
    values, mask = extract(parts_extractor(), {"mediapipe": raw})
    assert mask[:, 0].tolist() == [t != 3 for t in range(8)] and mask[:, 1].all() and not values[3, :63].any()
    hand = raw[:, 132 + 63 :].reshape(8, 21, 3)
    seen = np.arange(8) != 3
    unit = np.median(np.linalg.norm(hand[seen, 9] - hand[seen, 0], axis=1))
    want = (hand[seen, 5] - hand[seen, 0]) / unit
    np.testing.assert_allclose(values[seen].reshape(7, -1)[:, 15:18], want, atol=1e-4)
    whole = extract(SignXPoseFeatureExtractor(track_dims={"mediapipe": 258}, fps=None), {"mediapipe": raw})[0]
    columns = [4 * point + axis for point in BODY["points"] for axis in (0, 1)]
    np.testing.assert_array_equal(values[:, 63:], whole[:, columns])


def test_two_clips_in_a_batch_and_saved_options(tmp_path):
    extractor = parts_extractor(right_handed=True)
    extractor.save_pretrained(tmp_path)
    again = SignXPoseFeatureExtractor.from_pretrained(tmp_path)
    clips = [{"mediapipe": mediapipe(1, 5)}, {"mediapipe": mediapipe(2, 8, right=False)}]
    both = again(clips, return_tensors="np")
    assert (
        again.right_handed and again.point_tracks == extractor.point_tracks and again.read_dims == {"mediapipe": 258}
    )
    for row, clip in enumerate(clips):
        values, mask = extract(extractor, clip)
        assert np.array_equal(both["pose_values"][row, : len(values)], values)
        assert np.array_equal(both["pose_mask"][row, : len(mask)], mask)


@pytest.mark.parametrize("dims", [{"mediapipe": 258}, {"hand": 63, "body": 10}])
def test_a_left_handed_signer_looks_like_a_right_handed_one(dims):
    points = {name: value for name, value in {"hand": HAND, "body": BODY}.items() if name in dims}
    extractor = parts_extractor(track_dims=dims, point_tracks=points, right_handed=True)
    right = mediapipe(left=False)
    first, again = (extract(extractor, {"mediapipe": rows})[0] for rows in (right, mirror_image(right)))
    np.testing.assert_allclose(again, first, atol=1e-4)
    plain = parts_extractor(track_dims=dims, point_tracks=points)
    np.testing.assert_array_equal(extract(plain, {"mediapipe": right})[0], first)


def test_the_hand_that_moves_more_signs_where_both_are_seen():
    raw = mediapipe()
    raw[:, 4 * 16 : 4 * 16 + 2] = raw[0, 4 * 16 : 4 * 16 + 2]  # the right wrist rests
    rows = extract(SignXPoseFeatureExtractor(track_dims={"mediapipe": 258}, fps=None), {"mediapipe": raw})[0]
    options = {"track_dims": {"mediapipe": 258}, "fps": None, "right_handed": True}
    found = extract(SignXPoseFeatureExtractor(**options), {"mediapipe": raw})[0]
    np.testing.assert_array_equal(found, mirror_rows("mediapipe", rows))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"point_tracks": {"hand": {**HAND, "distances": [0, 4]}, "body": BODY}}, "width 63.* points make 64"),
        ({"point_tracks": {"hand": {**HAND, "source": "mediapipe.foot"}, "body": BODY}}, "width 63.*right_hand"),
        ({"point_tracks": {"hand": {**HAND, "facing": [0]}, "body": BODY}}, "point_tracks"),
        ({"point_tracks": {"hand": {**HAND, "origin": [21]}, "body": BODY}}, "point_tracks"),
        ({"point_tracks": {"hand": HAND, "body": {**BODY, "points": [33, 1, 2, 3, 4]}}}, "point_tracks"),
        ({"right_handed": "yes"}, "`right_handed` .* got 'yes'"),
        (
            {"right_handed": True, "normalize": False},
            "`right_handed` .* got normalize=False",
        ),
        (
            {"right_handed": True, "track_dims": {"hands": 4}, "point_tracks": {}},
            "`right_handed` .* got track 'hands'",
        ),
    ],
)
def test_options_that_make_no_sense(changes, words):
    with pytest.raises(SignXPoseError, match=words):
        parts_extractor(**changes)


def test_a_clip_without_the_source_says_what_is_wanted():
    with pytest.raises(SignXPoseError, match="unknown track or key 'hand'.*mediapipe"):
        parts_extractor()({"hand": np.zeros((4, 63))})


# augmentation


def augmented(seed=1, track_dims=None, points=None, values=None, **options):
    track_dims = track_dims or {"kinect": WIDTH}
    points = {"kinect": KINECT} if points is None else points
    values = extract(points_extractor(), {"kinect": kinect()})[0] if values is None else values
    augment = PoseAugmentation(AugmentationArguments(**options), track_dims, points)
    mask = np.ones((len(values), len(track_dims)), dtype=bool)
    return values, augment(values, mask, np.random.default_rng(seed))[0]


def test_turning_keeps_distances_and_turns_motion_along():
    before, after = augmented(turn=40, tilt=20, rotation=30)
    assert np.abs(after[:, :12] - before[:, :12]).max() > 0.1
    np.testing.assert_allclose(after[:, 12:15], before[:, 12:15], rtol=1e-4)
    for start in (0, 15):  # the same turn of positions and of motion; a turn keeps lengths
        lengths = [np.linalg.norm(rows[:, start : start + 12].reshape(-1, 3), axis=1) for rows in (before, after)]
        np.testing.assert_allclose(*lengths, rtol=1e-3, atol=1e-5)


def test_a_turn_keeps_heights_and_a_stretch_keeps_axes_apart():
    before, after = augmented(turn=40)
    np.testing.assert_allclose(after[:, 1:12:3], before[:, 1:12:3], atol=1e-6)
    before, after = augmented(stretch=0.5)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = after[:, :12].reshape(-1, 3) / before[:, :12].reshape(-1, 3)
    ratio = ratio[np.isfinite(ratio).all(axis=1)]
    assert np.ptp(ratio, axis=0).max() < 1e-3 and len({round(float(r), 3) for r in ratio[0]}) == 3


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 1000), st.floats(0, 0.4), st.floats(0, 0.3))
def test_what_is_computed_fits_the_changed_coordinates(seed, speed, jitter):
    _, after = augmented(seed, speed=speed, jitter=jitter, scale=0.2, turn=30, stretch=0.2, shift=0.3)
    points = after[:, :12].reshape(-1, 4, 3)
    np.testing.assert_allclose(after[:, 12], np.linalg.norm(points[:, 0] - points[:, 2], axis=1), rtol=1e-4)
    np.testing.assert_allclose(after[1:-1, 15:], after[2:, :12] - after[:-2, :12], atol=1e-5)


def test_points_about_an_origin_of_their_own_are_not_shifted():
    values, _ = extract(parts_extractor(), {"mediapipe": mediapipe()})
    points = parts_extractor().point_tracks
    before, after = augmented(values=values, track_dims={"hand": 63, "body": 10}, points=points, shift=2.0)
    np.testing.assert_array_equal(after[:, :63], before[:, :63])
    moved = (after - before)[:, 63:].reshape(-1, 2)
    assert np.abs(moved).max() > 0.1 and np.ptp(moved, axis=0).max() < 1e-5


def test_depth_options_leave_pictures_alone():
    values = np.random.default_rng(0).normal(size=(6, 6)).astype(np.float32)
    before, after = augmented(values=values, track_dims={"hands": 6}, points={}, turn=60, tilt=60)
    np.testing.assert_array_equal(before, after)


# corpora


def roy(folder, **options):
    folder.mkdir(exist_ok=True)
    lengths = np.array([4, 6, 5, 7, 4, 5, 6, 4])
    np.savez(
        folder / "roy_kinect_isl30_ub15fps.npz",
        poses=np.arange(lengths.sum() * 33).reshape(-1, 11, 3).astype(np.float16) / 64,
        lengths=lengths,
        sign=np.array(["baby", "rain", "yes", "baby", "rain", "yes", "baby", "rain"]),
        signer=np.array(["S01"] * 3 + ["S02"] * 5),
        rep=np.array([1, 2, 3, 1, 1, 2, 9, 9]),
    )
    return load_dataset("roy_isl30", folder, **options)


def test_semi_synthetic_sentences_are_clips_in_a_row(tmp_path):
    options = {"sentences": 5, "words": [2, 3], "transition": 2}
    data = roy(tmp_path / "a", test_signers=["S02"], **options)
    clips = {row["id"]: decode_poses(row["poses"]).values for row in roy(tmp_path / "a")["train"]}
    assert {name: len(rows) for name, rows in data.items()} == {"train": 5, "test": 5}
    for row in [*data["train"], *data["test"]]:
        values = decode_poses(row["poses"]).values
        assert (
            row["num_frames"] == len(values)
            and row["id"].startswith("semi-synthetic_")
            and len(row["glosses"]) in (2, 3)
        )
        assert len(set(row["glosses"])) == len(row["glosses"]) and row["glosses"] == [
            s["gloss"] for s in row["segments"]
        ]
        reps = set()
        for segment in row["segments"]:
            part = values[round(segment["start"] * 15) : round(segment["end"] * 15)]
            same = [key for key, clip in clips.items() if clip.shape == part.shape and np.array_equal(clip, part)]
            assert len(same) == 1 and same[0].startswith(f"{segment['gloss']}_{row['signer']}_")
            reps.add((int(same[0].rsplit("_", 1)[1]) - 1) // 3)
        assert len(reps) == 1, "one camera angle"
        gap = round(row["segments"][0]["end"] * 15)
        between = (2 * values[gap - 1].astype(np.float32) + values[gap + 2]) / 3
        np.testing.assert_allclose(values[gap], between, atol=2e-2)
    again = roy(tmp_path / "b", **options)["train"]
    assert again["glosses"][:5] == data["train"]["glosses"], "which signers are tested changes nothing for the others"
    other = roy(tmp_path / "b", seed=1, **options)["train"]
    assert other["glosses"] != again["glosses"]


def test_sentences_that_cannot_be(tmp_path):
    with pytest.raises(SignXDataError, match=r"must not be negative.* words \[3, 2\], transition 4"):
        roy(tmp_path, sentences=2, words=[3, 2])


def test_fingerspelling_by_language(tmp_path):
    make, _ = MINIS["fingerspelling"]
    make(tmp_path)
    with open(tmp_path / "data.csv", "a") as file:
        file.write("gsg/fs-a.pose,de,gsg,0,3000,a,A,0\n")
    data = load_dataset("fingerspelling", tmp_path, test_languages=["ase"])
    assert data["test"]["sign_language"] == ["ase"] and data["train"]["glosses"] == [["Ä"], ["A"]]
    shared = load_dataset("fingerspelling", tmp_path, shared_by=2)["train"]
    assert shared["glosses"] == [["A"], ["A"]] and set(shared["sign_language"]) == {"ase", "gsg"}
    held = hold_out(shared, 0.5, "language")
    assert len(held) == 1 and DataArguments().dev_by == "sentence"
    with pytest.raises(SignXDataError, match=r"`test_languages` must be among ase, gsg, got \['xyz'\]"):
        load_dataset("fingerspelling", tmp_path, test_languages=["xyz"])
    with pytest.raises(SignXDataError, match=r"`test_languages` must be a list of codes, got 'ase'. Write \['ase'\]"):
        load_dataset("fingerspelling", tmp_path, test_languages="ase")
