"""The parts of training, each against an independent answer."""

import itertools
import json
import math
import os
import random

import jiwer
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from signx_hf.metrics import wer
from signx_hf.processing.errors_signx import SignXError
from signx_hf.training import checkpoints, objective
from signx_hf.training.arguments import AugmentationArguments, collect, parse
from signx_hf.training.augmentation import PoseAugmentation, augment_frames, geometry_of, random_colors, resample
from signx_hf.training.batching import epoch_batches, shard
from signx_hf.training.logs import RunLog
from signx_hf.training.schedules import learning_rate_factor, scheduled

NEEDED = {"dataset": "boston104", "output_dir": "run"}


# options


def test_layers_of_options(tmp_path):
    (tmp_path / "a.yaml").write_text(
        "learning_rate: 1e-4\nnum_train_epochs: 7\nmodel_config: {fps: 15}\ndata_dir: none\n"
    )
    arguments = collect(
        {**NEEDED, "config": str(tmp_path / "a.yaml"), "num_train_epochs": "9"}, {"max_grad_norm": 7.0}
    )
    assert arguments.run.learning_rate == 1e-4 and arguments.run.num_train_epochs == 9.0
    assert (
        arguments.run.max_grad_norm == 7.0
        and arguments.model.model_config == {"fps": 15}
        and arguments.data.data_dir is None
    )


def test_every_option_has_help_and_its_own_place(capsys):
    with pytest.raises(SystemExit):
        parse(["--help"])
    shown = capsys.readouterr().out
    for name in collect(NEEDED).to_dict():
        assert f"--{name}" in shown
    assert "--learning_rate X" in shown and "(default: 0.001)" in shown and "--resume [BOOL]" in shown
    with pytest.raises(SystemExit):
        parse(["--output_dir", "--seed", "1"])  # a value is missing
    assert "--output_dir: expected one argument" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"dataset": ""}, "`dataset` is missing"),
        ({"output_dir": ""}, "`output_dir` is missing"),
        ({"learning_rat": "1"}, "command line: Unknown option learning_rat. Did you mean learning_rate?"),
        ({"seed": "many"}, "command line: `seed` must be an integer from 0 to 4294967295, got 'many'"),
        ({"seed": "1.5"}, "`seed` must be an integer from 0 to 4294967295, got 1.5"),
        ({"seed": "-1"}, "`seed` must be an integer from 0 to 4294967295, got -1"),
        (
            {"per_device_train_batch_size": "0"},
            "`per_device_train_batch_size` must be an integer from 1 to 2147483647, got 0",
        ),
        ({"cpu": "3"}, "`cpu` must be true or false, got 3"),
        ({"model_config": "[1]"}, "`model_config` must be a mapping, got [1]"),
        ({"dev_by": "day"}, "`dev_by` must be clip, sentence, signer, language or gloss, got 'day'"),
        ({"mixed_precision": "fp8"}, "`mixed_precision` must be no, bf16 or fp16, got 'fp8'"),
        ({"preset": "huge"}, "`preset` must be tiny, small or base, got 'huge'"),
        ({"start": "middle"}, "`start` must be inputs, latents or features, got 'middle'"),
        ({"source": "audio"}, "`source` must be poses or video, got 'audio'"),
        ({"speed": "2"}, "`speed` must be a finite number from 0 to 0.9, got 2"),
        ({"loss_schedules": "{kd: 1}"}, "`loss_schedules.kd` must be [first, last], two numbers of at least 0, got 1"),
        ({"config": "no.yaml"}, "no.yaml: no such file"),
    ],
)
def test_options_that_make_no_sense(given, words):
    with pytest.raises(SignXError) as error:
        collect({**NEEDED, **given})
    assert words in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("text", ["- a\n- b\n", "just words", "a: [1\n"])
def test_files_that_are_no_options(tmp_path, text):
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    with pytest.raises(SignXError, match="must be a YAML file of lines `name: value`"):
        collect({**NEEDED, "config": str(path)})


# order of clips


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 300), min_size=1, max_size=90), st.integers(1, 9), st.integers(0, 5), st.integers(0, 3))
def test_every_clip_comes_once_an_epoch(lengths, batch_size, epoch, bucket):
    batches = epoch_batches(lengths, batch_size, 3, epoch, bucket)
    assert sorted(itertools.chain(*batches)) == list(range(len(lengths)))
    assert all(len(batch) <= batch_size for batch in batches)
    assert batches == epoch_batches(lengths, batch_size, 3, epoch, bucket)


def test_buckets_save_padding_and_epochs_differ():
    draw = random.Random(0)
    lengths = [draw.randint(20, 200) for _ in range(256)]

    def padding(bucket):
        return sum(
            max(lengths[i] for i in b) * len(b) - sum(lengths[i] for i in b)
            for b in epoch_batches(lengths, 16, 0, 0, bucket)
        )

    assert padding(16) < 0.2 * padding(0)
    assert epoch_batches(lengths, 16, 0, 0) != epoch_batches(lengths, 16, 0, 1)


def test_shards_partition_a_batch():
    assert [shard([5, 6, 7, 8, 9], rank, 2) for rank in (0, 1)] == [[5, 7, 9], [6, 8]]
    assert [shard([5], rank, 2) for rank in (0, 1)] == [[5], [5]]


# schedules


def test_learning_rate_rises_then_falls_to_its_floor():
    factors = [learning_rate_factor(step, 100, 10, 0.05) for step in range(101)]
    assert all(a < b for a, b in zip(factors[:10], factors[1:11])) and factors[10] == 1.0
    assert all(a > b for a, b in zip(factors[10:], factors[11:]))
    assert factors[100] == pytest.approx(0.05) and factors[55] == pytest.approx(0.525)
    assert [scheduled(0.5, 0.0, step, 11) for step in (0, 5, 10, 20)] == [0.5, 0.25, 0.0, 0.0]


# augmentation


@pytest.mark.parametrize("track", ["dwpose", "mediapipe", "hands"])
def test_mirror_twice_is_the_clip_itself(track):
    width = {"dwpose": 384, "mediapipe": 258, "hands": 6}[track]
    change = PoseAugmentation(AugmentationArguments(mirror=1.0), {track: width})
    values = np.random.default_rng(0).normal(size=(5, width)).astype(np.float32)
    mask = np.ones((5, 1), dtype=bool)
    once, _ = change(values, mask, np.random.default_rng(1))
    twice, _ = change(once, mask, np.random.default_rng(1))
    assert not np.allclose(once, values) and np.allclose(twice, values, atol=1e-6)


def test_mirror_swaps_the_hands_of_mediapipe_by_the_librarys_names():
    enums = pytest.importorskip("mediapipe").solutions.holistic
    names = [point.name for point in enums.PoseLandmark]
    source = geometry_of("mediapipe", 258).mirror
    swap = {"LEFT": "RIGHT", "RIGHT": "LEFT"}
    for index, name in enumerate(names):
        other = "_".join(swap.get(word, word) for word in name.split("_"))
        assert source[4 * index] == 4 * names.index(other), name
    assert (source[132:195] == np.arange(195, 258)).all() and (source[195:] == np.arange(132, 195)).all()


def test_turning_and_scaling_keep_angles_and_ratios():
    change = PoseAugmentation(AugmentationArguments(scale=0.3, rotation=20, shift=0.5), {"hands": 6, "other": 2})
    values = np.random.default_rng(0).normal(size=(9, 8)).astype(np.float32)
    out, _ = change(values, np.ones((9, 2), bool), np.random.default_rng(4))
    before, after = (v[:, :6].reshape(9, 3, 2) for v in (values, out))
    ratio = np.linalg.norm(after[:, 0] - after[:, 1], axis=1) / np.linalg.norm(before[:, 0] - before[:, 1], axis=1)
    assert np.allclose(ratio, ratio[0], atol=1e-4) and 0.7 <= ratio[0] <= 1.3 and not np.isclose(ratio[0], 1)
    assert (out[:, 6:] == values[:, 6:]).all()  # a track without image coordinates stays


def test_a_point_that_was_not_seen_stays_unseen_and_the_clip_is_not_written_to():
    values = np.ones((4, 6), np.float32)
    values[:, :2] = 0
    kept = values.copy()
    mask = np.array([[True], [True], [False], [True]])
    out, seen = PoseAugmentation(AugmentationArguments(shift=1, jitter=1), {"hands": 6})(
        values, mask, np.random.default_rng(0)
    )
    assert (out[:, :2] == 0).all() and (out[2] == 0).all() and (values == kept).all() and (seen == mask).all()


@given(st.integers(2, 60), st.floats(0.5, 2.0))
@settings(max_examples=40, deadline=None)
def test_speed_keeps_a_straight_line_straight(frames, rate):
    values = np.stack([np.linspace(-1, 3, frames), np.linspace(5, 0, frames)], axis=1)
    out, mask = resample(values, np.ones((frames, 1), bool), rate)
    assert len(out) == max(2, round(frames / rate)) and mask.all()
    assert np.allclose(out, np.stack([np.linspace(-1, 3, len(out)), np.linspace(5, 0, len(out))], axis=1))


def test_speed_never_mixes_seen_with_unseen():
    values = np.array([[1.0], [1.0], [0.0], [1.0], [1.0]])
    mask = values > 0
    out, seen = resample(values, mask, 0.5)
    assert (out[seen[:, 0]] == 1).all()


def test_hidden_frames_are_bounded():
    mask = np.ones((40, 1), bool)
    options = AugmentationArguments(frame_mask=0.4)
    _, seen = PoseAugmentation(options, {"hands": 6})(np.ones((40, 6), np.float32), mask, np.random.default_rng(0))
    assert 20 <= seen.sum() < 40


def test_mirror_of_an_unknown_track_is_refused():
    with pytest.raises(SignXError, match="`mirror` must be 0 with track 'smplerx'"):
        PoseAugmentation(AugmentationArguments(mirror=0.5), {"smplerx": 165})


def test_frames_change_alike_in_a_clip():
    frames = np.broadcast_to(np.random.default_rng(0).normal(size=(1, 3, 8, 8)), (4, 3, 8, 8)).astype(np.float32)
    out = augment_frames(frames, AugmentationArguments(brightness=0.3, crop=0.3), np.random.default_rng(1))
    assert out.shape == frames.shape and np.allclose(out, out[:1]) and not np.allclose(out, frames)


def test_other_colors_keep_greys_grey_and_shapes_as_they_are():
    """Hue and saturation leave greys alone; a channel's gain and offset aside, every map is one that can be undone."""
    pixels = np.random.default_rng(0).normal(size=(2, 3, 6, 6)).astype(np.float32)
    for seed in range(20):
        matrix, shift = random_colors(0.5, np.random.default_rng(seed))
        gains = matrix.sum(1)  # what becomes of white
        assert np.all(np.abs(gains - 1) <= 0.15 + 1e-6) and np.all(np.abs(shift) <= 0.25)
        turned = matrix / gains[:, None]
        assert np.allclose(turned @ np.ones(3), 1, atol=1e-5) and abs(np.linalg.det(matrix)) > 0.1
        changed = augment_frames(pixels, AugmentationArguments(color=0.5), np.random.default_rng(seed))
        assert changed.dtype == np.float32
        matrix, shift = recovered(pixels, changed)
        assert np.allclose(np.einsum("cd,tdhw->tchw", matrix, pixels) + shift[:, None, None], changed, atol=1e-4)
    hue = random_colors(1.0, np.random.default_rng(3))[0]
    assert not np.allclose(hue, np.diag(np.diag(hue)), atol=0.1)


def recovered(pixels, changed):
    """The linear map of colors by least squares."""
    flat = np.concatenate([pixels.transpose(0, 2, 3, 1).reshape(-1, 3), np.ones((pixels[:, 0].size, 1))], axis=1)
    found = np.linalg.lstsq(flat, changed.transpose(0, 2, 3, 1).reshape(-1, 3), rcond=None)[0]
    return found[:3].T, found[3]


# loss over processes


def test_shares_make_the_mean_over_all():
    """Mean of per-process losses, weighted by `total`, is the mean over all tokens and clips at once."""
    draw = torch.Generator().manual_seed(0)
    tokens, clips = torch.rand(11, generator=draw), torch.rand(5, generator=draw)
    split = [(tokens[:3], clips[:4]), (tokens[3:], clips[4:])]
    mean = {"tokens": 11 / 2, "glossed": 5 / 2}
    losses = [
        objective.total(
            {"text": t.mean(), "ctc": c.mean()},
            {"text": 1.0, "ctc": 0.3},
            {"tokens": len(t) / mean["tokens"], "glossed": len(c) / mean["glossed"]},
        )
        for t, c in split
    ]
    assert torch.stack(losses).mean().item() == pytest.approx((tokens.mean() + 0.3 * clips.mean()).item(), abs=1e-6)


# checkpoints


def test_a_checkpoint_is_whole_or_not_there(tmp_path):
    def write(part):
        (part / "a").write_text("1")
        raise OSError(28, "No space left on device")

    with pytest.raises(SignXError, match=r"the disk is full.*free some disk space"):
        checkpoints.write_folder(tmp_path / "model", write)
    assert list(tmp_path.iterdir()) == []
    checkpoints.write_folder(tmp_path / "model", lambda part: (part / "a").write_text("old"))
    with pytest.raises(SignXError):
        checkpoints.write_folder(tmp_path / "model", write)
    assert (tmp_path / "model" / "a").read_text() == "old"


def test_what_a_kill_leaves_is_swept(tmp_path):
    (tmp_path / ".checkpoint-5.123.abc.part").mkdir()
    moved = tmp_path / ".model.abc12345.old"
    moved.mkdir()
    (moved / "a").write_text("kept")
    checkpoints.cleanup_stale(tmp_path)
    assert (
        sorted(path.name for path in tmp_path.iterdir()) == ["model"]
        and (tmp_path / "model" / "a").read_text() == "kept"
    )


def test_damaged_checkpoint_is_named(tmp_path):
    progress = {"step": 3, "epoch": 0, "batch": 3, "best": [], "evals_without_improvement": 0}
    folder = checkpoints.save_checkpoint(
        tmp_path, 3, {"model": {"w": torch.ones(2)}}, {"state": {}}, {"progress": progress, "settings": {}}
    )
    tensors, optimizer, state = checkpoints.load_checkpoint(folder)
    assert tensors["model"]["w"].tolist() == [1, 1] and optimizer == {"state": {}}
    (folder / "optimizer.pt").write_bytes(b"junk")
    with pytest.raises(SignXError, match=r"optimizer.pt is damaged .*Remove checkpoint-3"):
        checkpoints.load_checkpoint(folder)


def test_a_checkpoint_of_an_earlier_version_is_read(tmp_path):
    progress = {"step": 3, "epoch": 0, "batch": 3, "best": [], "without_better": 2}
    (tmp_path / "state.json").write_text(json.dumps({"progress": progress, "settings": {}}))
    state = checkpoints.read_state(tmp_path)
    assert checkpoints.Progress(**state["progress"]) == checkpoints.Progress(3, 0, 3, [], 2)


def test_a_checkpoint_that_would_run_code_is_refused(tmp_path):
    class Evil:
        def __reduce__(self):
            return (os.mkdir, (str(tmp_path / "owned"),))

    folder = checkpoints.save_checkpoint(
        tmp_path, 3, {"model": {"w": torch.ones(2)}}, {"state": Evil()}, {"progress": {"best": []}}
    )
    with pytest.raises(SignXError, match="optimizer.pt is damaged"):
        checkpoints.load_checkpoint(folder)
    assert not (tmp_path / "owned").exists()


def test_best_weights_and_their_mean(tmp_path):
    best = checkpoints.BestWeights(tmp_path, 2)
    for step, score in ((1, 0.5), (2, 0.3), (3, 0.4), (4, 0.3), (5, 0.9)):
        best.offer(score, step, {"w": torch.full((2,), float(step)), "n": torch.tensor(step)})
    assert [(entry["step"], entry["score"]) for entry in best.entries] == [(4, 0.3), (2, 0.3)]
    assert best.mean()["w"].tolist() == [3.0, 3.0] and best.mean()["n"].item() == 4


def test_of_weights_that_are_equally_good_on_dev_the_latest_stay(tmp_path):
    best = checkpoints.BestWeights(tmp_path, 1)
    better = [best.offer(1.0, step, {"w": torch.full((2,), float(step))}) for step in (1, 2, 3)]
    assert [entry["step"] for entry in best.entries] == [3] and best.mean()["w"].tolist() == [3.0, 3.0]
    assert better == [True, False, False], "patience counts what is no better"


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["train", "latent_ctc", "--learning", "1"], "train: Unknown option --learning. Did you mean --learning_rate?"),
        (["train", "latent_ctc", "--learnin_rate", "1"], "train: Unknown option --learnin_rate. Did you mean --learning_rate?"),
        (["align", "a.mp4", "IX-1p", "FINISH", "--model", "m"], "align: unexpected argument 'FINISH'"),
        (["recognize", "a.mp4", "--modle", "m"], "recognize: unknown option --modle. Did you mean --model?"),
        (["recognize", "a.mp4", "--formt=tsv"], "recognize: unknown option --formt=tsv. Did you mean --format?"),
        (["data", "check", "x", "--strikt"], "data: unknown option --strikt. Did you mean --strict?"),
        (["recognize", "a.mp4", "--zzz"], "recognize: unknown option --zzz. See"),
    ],
)  # fmt: skip
def test_words_that_no_option_takes(words, line, capsys):
    from signx_hf.cli import main

    with pytest.raises(SystemExit) as stopped:
        main(words)
    assert stopped.value.code == 2 and line in capsys.readouterr().err


def test_log_is_cut_where_a_run_goes_on(tmp_path):
    log = RunLog(tmp_path, False, None)
    for step in range(1, 6):
        log.write(step, step / 2, {"train/ctc": 1 / step})
    kept = (tmp_path / "log.csv").read_text().splitlines()
    again = RunLog(tmp_path, False, 3)
    assert (tmp_path / "log.csv").read_text().splitlines() == kept[:4]
    assert again.series("train/ctc") == ([0.5, 1.0, 1.5], [1.0, 0.5, 1 / 3])


# word error rate


def edit_distance(a, b):
    """Textbook dynamic programme."""
    rows = [list(range(len(b) + 1))]
    for i, x in enumerate(a, 1):
        row = [i]
        for j, y in enumerate(b, 1):
            row.append(min(rows[-1][j] + 1, row[-1] + 1, rows[-1][j - 1] + (x != y)))
        rows.append(row)
    return rows[-1][-1]


@given(
    st.lists(
        st.tuples(
            st.lists(st.sampled_from(["A", "B", "IX-1p", "fs-JOHN"])),
            st.lists(st.sampled_from(["A", "B", "IX-1p", "C"])),
        )
    )
)
@settings(max_examples=80, deadline=None)
def test_wer_is_edit_distance_over_reference_words(pairs):
    result = wer([h for h, _ in pairs], [r for _, r in pairs])
    assert result.errors == sum(edit_distance(r, h) for h, r in pairs)
    assert result.references == sum(len(r) for _, r in pairs)
    expected = result.errors / result.references if result.references else (math.inf if result.errors else 0.0)
    assert result.rate == expected


def test_wer_as_jiwer_says_and_for_corpora():
    references, hypotheses = ["A B C", "IX WORK"], ["A C C", "IX IX WORK NOW"]
    assert wer(hypotheses, references).rate == pytest.approx(jiwer.wer(references, hypotheses))
    assert (
        wer(["__ON__ WETTER loc-NORD __OFF__"], ["WETTER NORD"], "phoenix14t").rate
        <= wer(["__ON__ WETTER loc-NORD __OFF__"], ["WETTER NORD"]).rate
    )


def test_wer_refuses():
    with pytest.raises(SignXError, match="`hypotheses` and `references` must have the same length, got 1 and 2"):
        wer(["A"], ["A", "B"])
    with pytest.raises(SignXError, match="`variant` must be one of plain, sclite, phoenix14"):
        wer(["A"], ["A"], "x")
