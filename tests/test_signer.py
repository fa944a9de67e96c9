"""Which hand leads, and which of several people is read: what the options change, and what the result says about it."""

import json
import re

import numpy as np
import pytest
import torch
from helpers import said
from make_model import FPS, GLOSSES, make_frames, make_model, make_poses, make_processor, save_folder, write_video
from mediapipe_rows import body, mediapipe, mirror_image
from openpose_people import two_people
from recognition_results import close
from transformers import pipeline

import signx_hf
from signx_hf.processing.errors_signx import SignXError, SignXPoseError

VIDEO = {"person": None, "people": None}


def make_pipeline(class_name="SignXForLatentCTC", tracks=None, task="sign-recognition", right_handed=False, **options):
    """Of a model with random weights that reads the given tracks."""
    tracks = {"mediapipe": 258} if tracks is None else tracks
    processor = make_processor()
    processor.feature_extractor = signx_hf.SignXPoseFeatureExtractor(
        track_dims=tracks, fps=FPS, right_handed=right_handed
    )
    model = make_model(class_name, pose_config={"track_dims": tracks}, **options)
    return pipeline(task, model=model, processor=processor, device="cpu")


@pytest.fixture(scope="module")
def recognizer():
    return make_pipeline()


@pytest.fixture(scope="module")
def clips():
    """Three signers who lead with the right hand, and their mirror images."""
    right = [mediapipe(seed, frames, left=False) for seed, frames in ((0, 40), (1, 25), (2, 33))]
    return right, [mirror_image(rows) for rows in right]


def differ(left: dict, right: dict) -> bool:
    return not close(left, right)


def test_a_mirrored_pose_clip_is_read_as_the_original(recognizer, clips):
    for right, left in zip(*clips):
        plain = recognizer({"mediapipe": right})
        assert plain["signer"] == {**VIDEO, "hand": None, "mirrored": False}
        declared = recognizer({"mediapipe": left}, hand="left")
        assert close(declared, plain) and declared["signer"] == {**VIDEO, "hand": "left", "mirrored": True}
        assert differ(recognizer({"mediapipe": left}), plain), "else the test could not fail"
        same = recognizer({"mediapipe": right}, hand="right")
        assert close(same, plain) and same["signer"] == {**VIDEO, "hand": "right", "mirrored": False}
    both = [{"mediapipe": rows} for part in clips for rows in part]
    found = recognizer(both, hand="detect", batch_size=6)
    for left, right in zip(found[:3], found[3:]):
        assert close(left, right)
        assert (left["signer"]["hand"], right["signer"]["hand"]) == ("right", "left")
        assert (left["signer"]["mirrored"], right["signer"]["mirrored"]) == (False, True)


def test_as_trained_is_what_the_processor_was_saved_with(recognizer, clips):
    right, left = ({"mediapipe": part[0]} for part in clips)
    trained = make_pipeline(right_handed=True)
    expected = recognizer(right)
    for clip, hand in ((right, "right"), (left, "left")):
        for options in ({}, {"hand": "as_trained"}, {"hand": "detect"}):
            found = trained(clip, **options)
            assert close(found, expected)
            assert found["signer"] == {**VIDEO, "hand": hand, "mirrored": hand == "left"}
    assert close(trained(left, hand="right"), recognizer(left)), "declared is declared"
    given = make_pipeline()
    given = pipeline(
        "sign-recognition", model=given.model, processor=given.processor, device="cpu", hand="left"
    )  # at construction
    assert close(given(left), expected) and differ(given(left, hand="as_trained"), expected)
    assert (
        given.align(left, expected["glosses"])["segments"] == recognizer.align(right, expected["glosses"])["segments"]
    )
    aligned = given.align(right, expected["glosses"], hand="right")
    assert aligned["segments"] == recognizer.align(right, expected["glosses"])["segments"]
    assert aligned["signer"]["hand"] == "right"


def video(seed: int, frames: int) -> np.ndarray:
    return make_frames(
        frames, seed=seed, height=32, width=32
    )  # the model's size: scaling rounds otherwise left than right


def sureness(recognizer, frames: np.ndarray) -> float:
    """Mean log-probability of the best gloss, from the model itself."""
    with torch.no_grad():
        logits = recognizer.model(**recognizer.processor(videos=frames, source_fps=FPS)).logits[0]
    return float(logits.log_softmax(-1).max(-1).values.mean())


def test_flipped_video_is_read_as_the_original(recognizer, tmp_path):
    originals = [video(3, 30), video(4, 17), video(5, 22)]
    plain = [recognizer(frames, source_fps=FPS) for frames in originals]
    flipped = [np.ascontiguousarray(frames[:, :, ::-1]) for frames in originals]
    for mirror, expected in zip(flipped, plain):
        found = recognizer(mirror, source_fps=FPS, hand="left")
        assert close(found, expected) and found["signer"] == {**VIDEO, "hand": "left", "mirrored": True}
        assert differ(recognizer(mirror, source_fps=FPS), expected)
    path = write_video(tmp_path / "flipped.mkv", flipped[0])
    assert close(recognizer(str(path), hand="left"), plain[0])
    # of a clip and its mirror image the surer is read, whichever of them comes in, alone or in a batch
    batch = recognizer(originals + flipped, source_fps=FPS, hand="detect", batch_size=6)
    for place, (frames, mirror) in enumerate(zip(originals, flipped)):
        is_left = sureness(recognizer, mirror) > sureness(recognizer, frames)
        target = recognizer(mirror if is_left else frames, source_fps=FPS)
        for found, mirrored in ((batch[place], is_left), (batch[place + 3], not is_left)):
            assert close(found, target)
            assert found["signer"] == {**VIDEO, "hand": "left" if mirrored else "right", "mirrored": mirrored}
        alone = recognizer(mirror, source_fps=FPS, hand="detect")
        assert close(alone, batch[place + 3]) and alone["signer"] == batch[place + 3]["signer"]


def test_long_recordings(recognizer, tmp_path):
    rows = body(np.arange(120) % 60 < 45)
    rows[:, 132 + 63 :] = np.random.default_rng(0).normal(300, 40, size=(120, 63))
    plain = recognizer({"mediapipe": rows, "fps": FPS}, chunk_length_s=4)
    assert plain["glosses"] and plain["signer"] == {**VIDEO, "hand": None, "mirrored": False}
    mirrored = {"mediapipe": mirror_image(rows), "fps": FPS}
    for hand in ("left", "detect"):
        found = recognizer(mirrored, chunk_length_s=4, hand=hand)
        assert close(found, plain) and found["signer"] == {**VIDEO, "hand": "left", "mirrored": True}
    found = make_pipeline(right_handed=True)(mirrored, chunk_length_s=4)
    assert close(found, plain) and found["signer"]["mirrored"]
    frames = np.concatenate([video(6, 1).repeat(20, 0), video(6, 60)])
    expected = recognizer(frames, source_fps=FPS, chunk_length_s=3)
    found = recognizer(np.ascontiguousarray(frames[:, :, ::-1]), source_fps=FPS, chunk_length_s=3, hand="left")
    assert expected["glosses"] and close(found, expected)
    assert found["signer"] == {**VIDEO, "hand": "left", "mirrored": True}
    with pytest.raises(SignXError, match="video: `hand`.*got 'detect'"):
        recognizer(frames, source_fps=FPS, chunk_length_s=3, hand="detect")
    with pytest.raises(SignXError, match="`person`.*got 0"):
        recognizer(frames, source_fps=FPS, chunk_length_s=3, person=0)


def test_tracks_without_a_mirror_image_are_refused(tmp_path):
    recognizer = pipeline("sign-recognition", model=str(save_folder(tmp_path, "SignXForLatentCTC")), device="cpu")
    for options in ({}, {"chunk_length_s": 4}):
        for hand in ("left", "detect"):
            with pytest.raises(SignXPoseError) as error:
                recognizer(make_poses(40), hand=hand, **options)
            assert re.match(said(f"clip ... `hand` ... got '{hand}' with track 'hands'"), str(error.value))
        assert recognizer(make_poses(40), hand="right", **options)["signer"]["hand"] == "right"
    mixed = make_pipeline(tracks={"mediapipe": 258, "depth": 4})
    rows, depth = mediapipe(0, 20, left=False), make_poses(20)["depth"]
    with pytest.raises(SignXPoseError, match="`hand` .* got 'left' with track 'depth'"):
        mixed({"mediapipe": rows, "depth": depth}, hand="left")
    assert close(mixed({"mediapipe": mirror_image(rows)}, hand="left"), mixed({"mediapipe": rows}))


def test_one_of_several_people(tmp_path):
    frames, truth = two_people(24)
    path = tmp_path / "two.json"
    path.write_text(json.dumps(frames))
    recognizer = make_pipeline(tracks={"dwpose": 384})
    alone = [recognizer({"dwpose": truth[who].reshape(24, -1)}) for who in (0, 1)]
    assert differ(*alone)
    for person, who in ((None, 1), ("largest", 1), (0, 0), (1, 1)):
        options = {} if person is None else {"person": person}
        for more in ({}, {"chunk_length_s": 4}):
            found = recognizer(str(path), **options, **more)
            said = {
                "person": person or ("largest" if person is None else 0),
                "people": 2,
                "hand": None,
                "mirrored": False,
            }
            assert found["signer"] == said
            target = alone[who] if not more else recognizer({"dwpose": truth[who].reshape(24, -1)}, **more)
            assert close(found, target)
    with pytest.raises(SignXPoseError, match="`person`.*got 2"):
        recognizer(str(path), person=2)


def test_people_of_a_pose_file(tmp_path):
    pytest.importorskip("pose_format")
    from pose_format_files import make_pose, standard_components

    pose = make_pose(standard_components("holistic"), people=3, frames=12)
    with open(tmp_path / "three.pose", "wb") as file:
        pose.write(file)
    extractor = signx_hf.SignXPoseFeatureExtractor(track_dims={"mediapipe": 258}, fps=None)
    for person in (0, 2):
        found = extractor(str(tmp_path / "three.pose"), person=person, return_metadata=True)
        saved = signx_hf.SignXPoseFeatureExtractor(track_dims={"mediapipe": 258}, fps=None, person=person)
        assert torch.equal(found["pose_values"], saved(str(tmp_path / "three.pose"))["pose_values"])
        assert found["pose_metadata"][0]["signer"] == {"person": person, "people": 3, "hand": None, "mirrored": False}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"hand": "both"}, "`hand` ... got 'both'"),
        ({"person": "tallest"}, "`person` ... got 'tallest'"),
        ({"person": -1}, "`person` ... got -1"),
        ({"person": True}, "`person` ... got True"),
        (
            {"person": "central"},
            "`person` ... got 'central' ... `signx-hf extract --person central`",
        ),
        ({"person": 1}, "clip 0: `person` ... got 1"),
    ],
)
def test_refused(recognizer, options, message):
    with pytest.raises(SignXError) as error:
        recognizer({"mediapipe": mediapipe(0, 20)}, **options)
    assert re.search(said(message), str(error.value))


def test_a_person_of_a_video_is_refused_with_the_remedy(recognizer, tmp_path):
    path = str(write_video(tmp_path / "clip.mkv", video(0, 8)))
    with pytest.raises(SignXError) as error:
        recognizer(path, person="largest")
    message = f"{path}: `person` ... got 'largest' ... `signx-hf extract --person largest`"
    assert re.match(said(message), str(error.value))


def test_isolated_signs(clips):
    labels = dict(enumerate(GLOSSES))
    classifier = make_pipeline("SignXForSignClassification", task="isolated-sign-recognition", id2label=labels)
    right, left = ({"mediapipe": part[0]} for part in clips)
    plain, declared = classifier(right), classifier(left, hand="left")
    assert all("signer" not in entry for entry in plain)
    assert [entry["label"] for entry in declared] == [entry["label"] for entry in plain]
    assert declared[0]["score"] == pytest.approx(plain[0]["score"], abs=1e-4)
    assert declared[0]["signer"] == {**VIDEO, "hand": "left", "mirrored": True}
    found = classifier([right, left], hand="detect", batch_size=2)
    assert [entry[0]["signer"]["mirrored"] for entry in found] == [False, True]
    frames = video(3, 12)
    mirror = np.ascontiguousarray(frames[:, :, ::-1])
    best = max(classifier(frames)[0]["score"], classifier(mirror)[0]["score"])
    both = classifier([frames, mirror], hand="detect", batch_size=2)
    assert both[0][0]["score"] == pytest.approx(best, abs=1e-5) == both[1][0]["score"]
    assert both[0][0]["signer"]["mirrored"] != both[1][0]["signer"]["mirrored"]
    with pytest.raises(ValueError, match="`person`.*got 1"):
        classifier(frames, person=1)
