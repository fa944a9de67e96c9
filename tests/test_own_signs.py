"""Signs of one's own: a trained body with other signs, by training and by teaching, on made-up signs."""

import json

import numpy as np
import pytest
import torch
from made_hands import NOTES, made_sign
from sign_training import BODY, dataset, trained

from signx_hf import SignXForSignClassification
from signx_hf.cli import main
from signx_hf.data.schema import make_row, to_dataset
from signx_hf.processing.errors_signx import SignXError
from signx_hf.processing.hands_signx import (
    HAND_FEATURES,
    HandClip,
    hand_clip,
    hand_features,
    model_rows,
    resample_hands,
)
from signx_hf.recognition.teach import teach
from signx_hf.training.arguments import AugmentationArguments, collect
from signx_hf.training.hand_augmentation import HandAugmentation


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("own")


@pytest.fixture(scope="module")
def body(place):
    """A model of twelve made-up signs."""
    data = dataset(range(12), 6, place / "known")
    return trained(data, place / "body", 90, model_config=BODY, hand_steps=16)


def recognizer(folder):
    from transformers import pipeline

    return pipeline("isolated-sign-recognition", model=str(folder))


def share_right(folder, signs, seeds) -> float:
    recognize = recognizer(folder)
    clips = [
        (f"SIGN-{sign}", {"hands": made_sign(sign, seed), "fps": 25, "notes": NOTES})
        for sign in signs
        for seed in seeds
    ]
    return float(np.mean([recognize(clip)[0]["label"] == gloss for gloss, clip in clips]))


def test_a_model_of_hands_learns_signs(body):
    assert share_right(body, range(12), [77, 78]) > 0.8


def test_a_sign_and_its_mirror_image_are_one(body):
    """Of a model that averages both, clips of a left-handed signer get the same scores."""
    recognize = recognizer(body)
    rows = made_sign(3, 50)
    mirrored = rows.copy()
    mirrored[:, ::3] = np.where(np.nan_to_num(rows[:, ::3]) != 0, 1 - rows[:, ::3], rows[:, ::3])
    scores = [recognize({"hands": clip, "fps": 25, "notes": NOTES}, top_k=12) for clip in (rows, mirrored)]
    assert [entry["label"] for entry in scores[0]] == [entry["label"] for entry in scores[1]]
    np.testing.assert_allclose([e["score"] for e in scores[0]], [e["score"] for e in scores[1]], atol=1e-4)


def test_other_signs_start_from_the_means_of_the_trained_body(body, place):
    """Before a step is done the new classifier is that of the nearest mean, and it is better than chance by far."""
    data = dataset(range(20, 25), 4, place / "mine")
    model = trained(data, place / "new", 1, upstream=str(body), learning_rate=1e-12)
    config = json.loads((model / "config.json").read_text())
    assert sorted(config["label2id"]) == [f"SIGN-{n}" for n in range(20, 25)]
    assert share_right(model, range(20, 25), [60, 61, 62]) > 0.6


def test_training_on_other_signs_keeps_the_body_that_was_learned(body, place):
    data = dataset(range(20, 25), 4, place / "mine2")
    model = SignXForSignClassification.from_pretrained(
        trained(data, place / "new2", 1, upstream=str(body), learning_rate=1e-12)
    )
    before = SignXForSignClassification.from_pretrained(body)
    for name, value in before.state_dict().items():
        if not name.startswith("classifier"):
            torch.testing.assert_close(model.state_dict()[name], value, atol=1e-6, rtol=0, msg=name)


def test_signs_are_taught_without_training(body, place):
    clips = {
        f"SIGN-{sign}": [{"hands": made_sign(sign, seed), "fps": 25, "notes": NOTES} for seed in range(2)]
        for sign in range(30, 36)
    }
    counts = teach(body, clips, place / "taught")
    assert counts == {f"SIGN-{sign}": 2 for sign in range(30, 36)}
    assert share_right(place / "taught", range(30, 36), [60, 61]) > 0.6
    again = recognizer(place / "taught")({"hands": made_sign(31, 0), "fps": 25, "notes": NOTES})
    assert again[0]["label"] == "SIGN-31" and sum(e["score"] for e in again) <= 1 + 1e-4


@pytest.mark.filterwarnings("ignore::signx_hf.processing.errors_signx.SignXWarning")
@pytest.mark.parametrize(
    ("clips", "part"),
    [({"A": [None]}, "at least two signs"), ({}, "at least two signs"), ({"A": [], "B": []}, "got none of 0"),
     ({"A": ["missing.npz"], "B": ["missing.npz"]}, "got none of 1")],
)  # fmt: skip
def test_nothing_is_written_where_nothing_can_be_taught(body, tmp_path, clips, part):
    with pytest.raises(SignXError, match=part):
        teach(body, clips, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_folder_with_something_in_it_is_not_taught_over(body, tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(SignXError, match="new or empty folder"):
        teach(body, {"A": ["a.npz"], "B": ["b.npz"]}, tmp_path)
    assert (tmp_path / "mine.txt").read_text() == "mine"


def test_teach_takes_a_folder_of_signs(body, tmp_path, capsys):
    for sign in (30, 31, 33):
        (tmp_path / "signs" / f"SIGN-{sign}").mkdir(parents=True)
        for seed in range(2):
            np.savez(
                tmp_path / "signs" / f"SIGN-{sign}" / f"{seed}.npz",
                hands=made_sign(sign, seed),
                fps=25.0,
                notes=json.dumps(NOTES),
            )
    code = main(["teach", str(tmp_path / "signs"), "--model", str(body), "--out", str(tmp_path / "taught")])
    assert code == 0 and "3 signs taught (3 with 2 clips each)" in capsys.readouterr().out
    assert share_right(tmp_path / "taught", (30, 31, 33), [60]) > 0.6


# what training does to hands


def clips_of(count: int = 3) -> list[HandClip]:
    rows = [made_sign(sign, 0, frames=20 + 4 * sign) for sign in range(count)]
    return [hand_clip(r, ~np.isnan(r).any(axis=1), np.arange(len(r)) / 25) for r in rows]


def randoms(count: int, seed: int = 0) -> list[np.random.Generator]:
    return [np.random.default_rng([seed, row]) for row in range(count)]


EVERYTHING = AugmentationArguments(
    speed=0.2, time_warp=0.5, trim=0.1, rotation=15, turn=20, tilt=20, stretch=0.2, scale=0.1, shear=0.1, proportions=0.1, shift=0.1,
    hand_shift=0.05, jitter=0.01, mirror=0.5, hand_drop=0.3, hand_mask=0.5, hand_swap=0.3, flatten=0.3,
)  # fmt: skip


def test_without_generators_nothing_is_changed():
    clips = clips_of()
    values, mask, frames = HandAugmentation(EVERYTHING, 16, 25)(clips, None)
    for row, clip in enumerate(clips):
        np.testing.assert_allclose(values[row], model_rows(resample_hands(clip, 16)), atol=1e-5)
    assert mask.all() and frames.all()


def test_with_nothing_switched_on_clips_stay_as_they_are():
    clips = clips_of()
    plain = HandAugmentation(AugmentationArguments(), 16, 25)
    np.testing.assert_allclose(plain(clips, randoms(3))[0], plain(clips, None)[0], atol=1e-4)


def test_a_clip_is_changed_alike_in_any_batch():
    clips = clips_of()
    change = HandAugmentation(EVERYTHING, 16, 25)
    together = change(clips, randoms(3))[0]
    alone = [change([clip], [random])[0][0] for clip, random in zip(clips, randoms(3))]
    np.testing.assert_allclose(together, np.stack(alone), atol=1e-5)
    assert np.abs(together - change(clips, randoms(3, seed=1))[0]).max() > 0.1


def test_a_change_of_hands_is_a_linear_map_and_keeps_what_is_in_line():
    """Turning and stretching take middles of two points to middles; jitter and proportions are off."""
    options = AugmentationArguments(rotation=30, turn=30, tilt=30, stretch=0.3, shear=0.2)
    clip = clips_of(1)[0]
    hands = clip.hands.copy()
    hands[:, :, 5] = (hands[:, :, 3] + hands[:, :, 4]) / 2
    change = HandAugmentation(options, 16, 25)
    draws = np.random.default_rng(0).random((1, 79))
    changed, _ = change._change(hands[None], clip.seen[None], draws, randoms(1))
    np.testing.assert_allclose(changed[0][:, :, 5], (changed[0][:, :, 3] + changed[0][:, :, 4]) / 2, atol=1e-5)
    assert np.abs(changed[0] - hands).max() > 0.01


def test_clips_of_any_length_are_padded_and_their_rows_masked():
    clips = clips_of()
    values, mask, frames = HandAugmentation(AugmentationArguments(speed=0.2), None, 25)(clips, None)
    lengths = frames.sum(axis=1).tolist()
    assert lengths == [round(clip.seconds * 25) + 1 for clip in clips]
    assert not values[~mask[..., 0]].any()
    first = values[0][: lengths[0]]
    np.testing.assert_allclose(
        first[mask[0, : lengths[0], 0]],
        hand_features(clips[0].hands, clips[0].seen, None)[clips[0].seen.any(axis=1)],
        atol=1e-4,
    )


@pytest.mark.parametrize("track", ["hands", "mediapipe"])
def test_changes_that_the_track_does_not_know_are_refused(tmp_path, track):
    width = {"hands": HAND_FEATURES, "mediapipe": 258}[track]
    option = {"hands": {"frame_mask": 0.1}, "mediapipe": {"hand_drop": 0.1}}[track]
    data = dataset(range(2), 2, tmp_path / "data")
    config = {**BODY, "average_mirror": False, "pose_config": {**BODY["pose_config"], "track_dims": {track: width}}}
    with pytest.raises(SignXError, match=f"`{next(iter(option))}` must be 0"):
        trained(
            data,
            tmp_path / "run",
            1,
            model_config=config,
            mirror=0.0,
            time_warp=0.0,
            rotation=0,
            **({"hand_drop": 0.0} | option),
        )


# one command on a folder of one's own


def folder_of_signs(place, signs, clips, signer="ann"):
    for sign in signs:
        (place / f"SIGN-{sign}").mkdir(parents=True)
        for seed in range(clips):
            np.savez(
                place / f"SIGN-{sign}" / f"{signer}_{seed}.npz",
                hands=made_sign(sign, seed),
                fps=25.0,
                notes=json.dumps(NOTES),
            )
    return place


def train_command(folder, body, output, *more):
    return main(["train", "isolated", "--dataset", "folder", "--data_dir", str(folder), "--upstream", str(body), "--output_dir", str(output),
                 "--progress", "false", "--plot", "false", *more])  # fmt: skip


def test_one_command_makes_a_model_of_a_folder_of_signs(body, tmp_path, capsys):
    folder = folder_of_signs(tmp_path / "signs", (20, 21, 22, 24), 5)
    (folder / "SIGN-20" / ".DS_Store").write_bytes(b"junk")
    code = train_command(
        folder, body, tmp_path / "mine", "--loader_options", "{signer_from: prefix}", "--num_train_epochs", "8"
    )
    out = capsys.readouterr().out
    assert (
        code == 0 and "4 signs from 16 clips; of 4 held-out clips" in out and "All clips are of one signer, ann" in out
    )
    assert share_right(tmp_path / "mine" / "model", (20, 21, 22, 24), [60, 61]) > 0.7
    run = json.loads((tmp_path / "mine" / "run.json").read_text())["options"]
    assert run["optim"] == "muon" and run["dev_by"] == "gloss" and run["mirror"] == 0.5


def test_what_is_given_outranks_the_defaults_of_new_signs(body, tmp_path):
    from signx_hf.training.stages.isolated import Isolated

    config = tmp_path / "mine.yaml"
    config.write_text(f"upstream: {body}\nlearning_rate: 0.001\n")
    given = {"config": str(config), "dataset": "folder", "output_dir": "x"}
    options = collect(given, Isolated.defaults_for(given))
    assert options.run.learning_rate == 0.001 and options.run.optim == "muon"
    assert collect({"dataset": "folder", "output_dir": "x"}, Isolated.defaults_for({})).run.optim == "adamw"


def test_one_clip_a_sign_is_measured_on_itself_and_says_so(body, tmp_path, capsys):
    folder = folder_of_signs(tmp_path / "signs", (20, 21, 22), 1)
    code = train_command(folder, body, tmp_path / "mine", "--max_steps", "2")
    captured = capsys.readouterr()
    assert code == 0 and "training clips, because none were held out" in captured.out
    assert "no gloss has enough clips" in captured.err and "The signers are unknown" in captured.out


def test_a_folder_with_one_sign_is_refused(body, tmp_path, capsys):
    code = train_command(folder_of_signs(tmp_path / "signs", (20,), 3), body, tmp_path / "mine")
    assert code == 2 and "at least two signs" in capsys.readouterr().err and not (tmp_path / "mine" / "model").exists()


def test_each_gloss_gives_the_same_share_of_its_clips():
    from signx_hf.training.examples import hold_out_of_each

    rows = to_dataset(
        [
            make_row(id=f"{gloss}{n}", glosses=[gloss])
            for gloss, count in (("A", 10), ("B", 5), ("C", 1))
            for n in range(count)
        ]
    )
    held = hold_out_of_each(rows, 0.2)
    assert [rows[index]["glosses"][0] for index in held].count("A") == 2
    assert [rows[index]["glosses"][0] for index in held].count("B") == 1 and len(held) == 3
    shuffled = rows.select([*range(8, 16), *range(8)])
    assert {shuffled[i]["id"] for i in hold_out_of_each(shuffled, 0.2)} == {rows[i]["id"] for i in held}
