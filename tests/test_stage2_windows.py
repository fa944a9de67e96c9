"""Windows of stage 2: what they show, what they are compared with, which frames count, and where they stand."""

import csv
import json

import numpy as np
import pytest
import torch
from training_runs import make_corpus, options, run, started, weights_of

from signx_hf.processing.errors_signx import SignXError
from signx_hf.training.frames import core, window

THIN = {"model_type": "resnet", "embedding_size": 4, "hidden_sizes": [4, 8], "depths": [1, 1], "layer_type": "basic"}
# two layers over time, and dropout, which must not touch the targets
MODEL = {
    "pose_config": {
        "track_dims": {"hands": 6}, "track_hidden_size": 16, "fusion_heads": 2, "latent_size": 24, "num_hidden_layers": 2,
        "num_attention_heads": 2, "intermediate_size": 32, "dropout": 0.3, "track_dropout": 0.3,
    },
    "text_config": {"hidden_size": 16, "encoder_layers": 1, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 24},
    "temporal_config": {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 24},
    "image_size": 36, "vision_config": THIN,
}  # fmt: skip


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A corpus whose videos show the numbers of the poses as gray bars, and a model of stage 1, in one folder."""
    place = tmp_path_factory.mktemp("stage2")
    (place / "videos").mkdir()
    make_corpus(place / "data", clips=8, videos=place / "videos")
    given = options(
        place / "data", place / "1", model_config=MODEL, fps=30.0, max_steps=1, eval_epochs=0, save_epochs=0
    )
    run("pose2gloss", given)
    return place


def given_to(place, out, **changes):
    base = {"upstream": str(place / "1"), "cache_dir": str(place / "cache"), "model_config": {}, "window": 8, "max_steps": 3,
            "eval_epochs": 0, "save_epochs": 0}  # fmt: skip
    return options(place / "data", out, **{**base, **changes})


def batch_of(place, tmp_path, seed=3, **changes):
    """A stage, its training clips, a training batch of all of them, and the window of each, found in the pixels."""
    stage = started("video2pose", given_to(place, tmp_path / "run", **changes))
    clips = stage.train_examples
    batch = stage.collate(clips, [np.random.default_rng(seed + index) for index in range(len(clips))])
    windows = []
    for clip, pixels in zip(clips, batch["pixel_values_videos"]):
        frames = np.asarray(clip.arrays["frames"])
        everything = torch.empty(len(frames), 3, *frames.shape[1:3])
        stage.processor.video_processor.normalize_frames(frames, out=everything.numpy())
        size = len(pixels)
        starts = [s for s in range(len(everything) - size + 1) if torch.equal(everything[s : s + size], pixels)]
        assert len(starts) == 1
        windows.append(slice(starts[0], starts[0] + size))
    return stage, clips, batch, windows


def column(out, name):
    with open(out / "log.csv", newline="") as file:
        return [float(row["value"]) for row in csv.DictReader(file) if row["name"] == name]


# ----- the loss on poses -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "weights",
    [{"loss_weights": {"pose": 1.0}}, {"loss_weights": {"pose": 2.0}, "loss_schedules": {"pose": [2.0, 0.5]}}],
)
def test_the_pose_loss_is_trained_where_it_has_a_weight(place, tmp_path, weights):
    run("video2pose", given_to(place, tmp_path / "run", **weights))
    found = column(tmp_path / "run", "train/pose")
    assert len(found) == 3 and min(found) > 0
    before, after = weights_of(place / "1"), weights_of(tmp_path / "run")
    moved = {name for name, value in after.items() if name in before and not torch.equal(value, before[name])}
    assert moved and all(name.startswith("model.video_encoder.") for name in moved)
    assert json.loads((tmp_path / "run" / "model" / "config.json").read_text())["pose_weight"] > 0


def test_without_a_weight_no_poses_are_read(place, tmp_path):
    run("video2pose", given_to(place, tmp_path / "run"))
    assert column(tmp_path / "run", "train/latent") and not column(tmp_path / "run", "train/pose")
    _, _, batch, _ = batch_of(place, tmp_path, window_targets="clip", window_positions="zero")
    assert set(batch) == {"pixel_values_videos", "frame_mask", "target_latents"}


def test_poses_are_those_of_the_frames_that_the_window_shows(place, tmp_path):
    _, _, batch, _ = batch_of(place, tmp_path, model_config={"pose_weight": 1.0})
    bars = batch["pixel_values_videos"][..., 0, 18, 3::6]  # [B, T, 6]: the middle of each bar
    assert batch["pose_mask"].all()
    for shown, poses in zip(bars, batch["pose_values"]):
        inside = (shown > -0.95) & (shown < 0.95)  # not clipped
        assert np.corrcoef(shown[inside], poses[inside])[0, 1] > 0.99


def test_a_clip_without_poses_is_named(place, tmp_path):
    from datasets import load_from_disk

    rows = load_from_disk(str(place / "data"))
    without = rows.map(lambda row: {"poses": None} if row["id"] == "clip3" else {}, load_from_cache_file=False)
    without.save_to_disk(str(tmp_path / "data"))
    given = {**given_to(place, tmp_path / "run"), "dataset": str(tmp_path / "data"), "loss_weights": {"pose": 1.0}}
    with pytest.raises(SignXError, match="clip3 has no poses"):
        started("video2pose", given)


# ----- targets ---------------------------------------------------------------------------------------------------------


def test_targets_of_the_clip_and_of_the_window(place, tmp_path):
    for targets in ("clip", "window"):
        stage, clips, batch, windows = batch_of(place, tmp_path, window_targets=targets)
        stage.model.train()
        with torch.no_grad():
            found = stage.model(**batch).target_latents
            for clip, where, latents in zip(clips, windows, found):
                poses, mask = torch.from_numpy(clip.pose_values)[None], torch.from_numpy(clip.pose_mask)[None]
                if targets == "window":
                    shown, first = (
                        {"pose_values": poses[:, where], "pose_mask": mask[:, where]},
                        torch.tensor([where.start]),
                    )
                    wanted = stage.model.model.get_pose_latents(**shown, first_position=first).latents[0]
                else:
                    wanted = stage.model.model.get_pose_latents(poses, mask).latents[0, where]
                torch.testing.assert_close(latents, wanted, atol=1e-5, rtol=1e-4)


def test_dev_sees_whole_clips_whatever_the_windows_are(place, tmp_path):
    found = []
    before = {"window_targets": "clip", "window_positions": "zero"}
    for changes in (before, {"window_targets": "window", "window_margin": 2, "window_positions": "random"}):
        stage = started("video2pose", given_to(place, tmp_path / "run", **changes))
        found.append(stage.collate(stage.dev_examples, None))
        assert found[-1]["frame_mask"].sum() == sum(example.length for example in stage.dev_examples)
    assert set(found[0]) == {"pixel_values_videos", "frame_mask", "target_latents"} == set(found[1])
    assert all(torch.equal(value, found[1][name]) for name, value in found[0].items())


# ----- margins ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("length", "size", "margin"), [(40, 12, 4), (40, 12, 0), (13, 12, 4), (7, 12, 4)])
def test_windows_lie_in_the_clip_and_every_frame_counts_in_some(length, size, margin):
    random, counted = np.random.default_rng(0), np.zeros(length, int)
    for _ in range(3000):
        where = window(length, size, random, margin)
        assert where.start >= 0 and where.stop - where.start == min(size, length) and where.stop <= length
        inside = core(where, length, margin)
        for frame, counts in zip(range(where.start, where.stop), inside):
            left, right = frame - where.start, where.stop - 1 - frame
            assert counts == ((left >= margin or where.start == 0) and (right >= margin or where.stop == length))
        counted[where] += inside
    assert counted.min() > 0
    if margin == 4 and length == 40:  # the first frames are seen as often as the windows at the start are drawn
        assert counted[8:32].max() < 1.3 * counted[8:32].min() and counted[0] > 3000 * margin / 40


def test_windows_without_margin_are_drawn_as_before():
    for seed in range(20):
        ours, plain = np.random.default_rng(seed), np.random.default_rng(seed)
        start = int(plain.integers(0, 40 - 12 + 1))
        assert window(40, 12, ours) == slice(start, start + 12) and ours.random() == plain.random()


def test_frames_of_the_margin_do_not_count(place, tmp_path):
    stage, clips, batch, windows = batch_of(
        place, tmp_path, window_targets="clip", window_margin=3, model_config={"pose_weight": 1.0}
    )
    for clip, where, counts in zip(clips, windows, batch["loss_mask"]):
        assert counts.tolist() == core(where, clip.length, 3).tolist() and 2 <= counts.sum() < len(counts)
    stage.model.eval()
    with torch.no_grad():
        before = stage.model(**batch).losses
        outside = ~batch["loss_mask"]
        batch["target_latents"][outside] += 5
        batch["pose_values"][outside] += 5
        after = stage.model(**batch)
        assert {name: value.item() for name, value in after.losses.items()} == pytest.approx(
            {name: value.item() for name, value in before.items()}
        )
        error = (after.latents - batch["target_latents"]).square().mean(-1)[batch["loss_mask"]].mean()
    assert after.losses["latent"].item() == pytest.approx(error.item(), rel=1e-5)


# ----- positions -------------------------------------------------------------------------------------------------------


def test_a_first_position_equals_hidden_frames_before_the_window(place, tmp_path):
    """Attention passes hidden frames over, so that only the positions of the others tell that these are there."""
    stage, _, batch, _ = batch_of(place, tmp_path, model_config={"pose_weight": 1.0})
    model, size = stage.model.model.eval(), batch["frame_mask"].shape[1]
    batch = {name: value[:2] for name, value in batch.items()}
    longer = {}
    for name in ("pixel_values_videos", "pose_values", "pose_mask", "frame_mask"):
        longer[name] = torch.cat([torch.zeros_like(batch[name][:, :5]), batch[name]], 1)
    with torch.no_grad():
        first = torch.tensor([5, 5])
        for names in (["pixel_values_videos"], ["pose_values", "pose_mask"]):
            inputs = {name: batch[name] for name in [*names, "frame_mask"]}
            wanted = model(**{name: longer[name] for name in inputs}).latents[:, 5:]
            torch.testing.assert_close(model(**inputs, first_position=first).latents, wanted, atol=1e-5, rtol=1e-4)
            assert not torch.allclose(model(**inputs).latents, wanted, atol=1e-4) and wanted.shape[1] == size


def test_positions_are_those_in_the_clip_or_anywhere(place, tmp_path):
    _, _, batch, windows = batch_of(place, tmp_path, window_positions="clip")
    assert batch["first_position"].tolist() == [where.start for where in windows] and batch["first_position"].max() > 0
    stage, clips, _, _ = batch_of(place, tmp_path, window_positions="random")
    randoms = [np.random.default_rng(seed) for seed in range(150)]
    drawn = [stage.collate([clips[0]], [random])["first_position"].item() for random in randoms]
    longest = max(example.length for example in clips)
    assert min(drawn) < 3 and longest - 8 - 3 < max(drawn) <= longest - 8


# ----- options ---------------------------------------------------------------------------------------------------------


def test_options_that_make_no_sense(place, tmp_path):
    with pytest.raises(SignXError, match="`window_margin` must be less than half of `window` .8., got 4"):
        started("video2pose", given_to(place, tmp_path / "run", window_margin=4))
    with pytest.raises(SignXError, match="`window_margin` is not used by Stage 1"):
        started("pose2gloss", options(place / "data", tmp_path / "run", model_config=MODEL, window_margin=2))


def test_everything_together_trains_and_resumes_to_the_same_weights(place, tmp_path):
    changes = {"window_targets": "window", "window_margin": 2, "window_positions": "random", "loss_weights": {"pose": 0.1},
               "save_epochs": 1, "max_steps": 4}  # fmt: skip
    run("video2pose", given_to(place, tmp_path / "whole", **changes))
    run("video2pose", given_to(place, tmp_path / "parts", **changes))
    newest = max((tmp_path / "parts").glob("checkpoint-*"), key=lambda path: int(path.name.split("-")[1]))
    for path in (newest, tmp_path / "parts" / "model"):
        path.rename(tmp_path / path.name)
    run("video2pose", given_to(place, tmp_path / "parts", resume=True, **changes))
    whole, parts = weights_of(tmp_path / "whole"), weights_of(tmp_path / "parts")
    assert all(torch.equal(value, parts[name]) for name, value in whole.items())


def test_a_run_from_before_these_options_goes_on_as_it_began(place, tmp_path):
    before = {"window_targets": "clip", "window_margin": 0, "window_positions": "zero"}
    run("video2pose", given_to(place, tmp_path / "whole", save_epochs=1, max_steps=4, **before))
    run("video2pose", given_to(place, tmp_path / "old", save_epochs=1, max_steps=4, **before))
    folders = sorted((tmp_path / "old").glob("checkpoint-*"), key=lambda path: int(path.name.split("-")[1]))
    for path in (folders[-1], tmp_path / "old" / "model"):
        path.rename(tmp_path / path.name)
    for folder in folders[:-1]:
        state = json.loads((folder / "state.json").read_text())
        for name in before:
            del state["settings"]["options"][name]
        (folder / "state.json").write_text(json.dumps(state))
    run("video2pose", given_to(place, tmp_path / "old", save_epochs=1, max_steps=4, resume=True))
    whole, old = weights_of(tmp_path / "whole"), weights_of(tmp_path / "old")
    assert all(torch.equal(value, old[name]) for name, value in whole.items())
    assert json.loads((tmp_path / "old" / "run.json").read_text())["options"]["window_positions"] == "zero"
