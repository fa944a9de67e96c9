"""SignSynth's corpora: what is in them, that the seed is all they depend on, and that they load and pass the check."""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("mannequin", reason="SignSynth draws with the extra synth")
pytest.importorskip("pyvista", reason="SignSynth draws with the extra synth")

import av  # noqa: E402

import signx_hf  # noqa: E402
from signx_hf.cli import main  # noqa: E402
from signx_hf.data import decode_poses  # noqa: E402
from signx_hf.data.check import CheckOptions, check_dataset  # noqa: E402
from signx_hf.data.signsynth import build as builder  # noqa: E402
from signx_hf.data.signsynth.build import Job, build, clip_generator, digest  # noqa: E402
from signx_hf.data.signsynth.configs import CONFIGS, SPLITS  # noqa: E402
from signx_hf.data.signsynth.plan import lexicon_of, plan_corpus, split_sentences, split_signers  # noqa: E402
from signx_hf.data.signsynth.tracks import LAYOUTS  # noqa: E402
from signx_hf.processing.errors_signx import SignXError  # noqa: E402
from signx_hf.processing.feature_extraction_signx import SignXPoseFeatureExtractor  # noqa: E402

SMALLEST = replace(CONFIGS["tiny"], name="smallest", size=48, fps=10.0)
CLIPS = 3  # the first of train, dev and test
INTERRUPTED = """
import sys
from dataclasses import replace
from signx_hf.data.signsynth.build import build
from signx_hf.data.signsynth.configs import CONFIGS
build(replace(CONFIGS["tiny"], name="smallest", size=48, fps=10.0), sys.argv[1], 3, limit=3)
"""


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    out = tmp_path_factory.mktemp("synth") / "corpus"
    return build(SMALLEST, out, seed=3, limit=CLIPS), out


@pytest.mark.parametrize("name", ["tiny", "small", "crowd", "crowd2"])
def test_splits_share_neither_signers_nor_sentences(name):
    config = CONFIGS[name]
    plans = plan_corpus(config, 7)
    assert len({plan.id for plan in plans}) == len(plans)
    assert [len(people) for people in split_signers(config, 7).values()] == list(config.signers)
    signers = {split: {plan.signer.id for plan in plans if plan.split == split} for split in SPLITS}
    assert (
        not signers["train"] & signers["test"]
        and not signers["train"] & signers["dev"]
        and not signers["dev"] & signers["test"]
    )
    sentences, texts, glosses = {}, {}, {}
    for split in SPLITS:
        own = [plan for plan in plans if (plan.task, plan.split) == ("continuous", split)]
        sentences[split] = {tuple(sign.gloss for sign in plan.signs) for plan in own}
        texts[split] = {plan.text for plan in own}
        glosses[split] = {gloss for sentence in sentences[split] for gloss in sentence}
        assert len(sentences[split]) == config.sentences[SPLITS.index(split)]
    for first, second in (("train", "dev"), ("train", "test"), ("dev", "test")):
        assert not sentences[first] & sentences[second] and not texts[first] & texts[second]
    assert glosses["dev"] | glosses["test"] <= glosses["train"]
    for split, takes in zip(SPLITS, config.isolated):
        counts = Counter(plan.signs[0].gloss for plan in plans if (plan.task, plan.split) == ("isolated", split))
        assert counts == (dict.fromkeys(lexicon_of(config), takes) if takes else {})
    tasks = ("continuous", "isolated") if any(config.isolated) else ("continuous",)
    groups = {(task, split) for task in tasks for split in SPLITS}
    assert {(plan.task, plan.split) for plan in plans[: len(groups)]} == groups
    assert [plan.id for plan in plan_corpus(config, 7)] == [plan.id for plan in plans]


@pytest.mark.parametrize(("name", "other"), [("crowd", "small"), ("crowd2", "small"), ("crowd2", "crowd")])
def test_a_corpus_beside_another_shares_neither_signers_nor_sentences_with_it(name, other):
    plans, theirs = (plan_corpus(CONFIGS[each], 0) for each in (name, other))
    assert not {plan.signer.id for plan in plans} & {plan.signer.id for plan in theirs}
    assert not {plan.signer.seed for plan in plans} & {plan.signer.seed for plan in theirs}
    ours, taken = ({tuple(s.gloss for s in plan.signs) for plan in group if plan.text} for group in (plans, theirs))
    assert len(ours) == sum(CONFIGS[name].sentences) and not ours & taken


def test_too_many_held_out_sentences():
    from signx_hf.data.signsynth.grammar import sentences

    found = sentences(lexicon_of(SMALLEST), 10, np.random.default_rng(0))
    with pytest.raises(SignXError, match=r"10 sentences leave \d for test, which needs 9"):
        split_sentences(found, replace(SMALLEST, sentences=(1, 0, 9)), np.random.default_rng(0))


def test_the_corpus_loads_and_passes_the_check(corpus):
    report, out = corpus
    assert (report.clips, report.made) == (CLIPS, CLIPS)
    dataset = signx_hf.load_dataset("signsynth", data_dir=out)
    assert {split: len(rows) for split, rows in dataset.items()} == {"train": 1, "dev": 1, "test": 1}
    findings = check_dataset(dataset, CheckOptions(same_signer=True)).findings
    # three sentences cannot cover their words, which is all there is to complain about
    assert {finding.fault for finding in findings} <= {"never-trained", "vocabulary-drift"}
    for rows in dataset.values():
        row = rows[0]
        with av.open(row["video"]["path"]) as container:
            frames = list(container.decode(video=0))
            assert len(frames) == row["num_frames"] and frames[0].height == SMALLEST.size
            assert container.streams.video[0].average_rate == 10
        assert [segment["gloss"] for segment in row["segments"]] == row["glosses"] and row["text"].endswith(
            (".", "?", "!")
        )
        times = [segment[key] for segment in row["segments"] for key in ("start", "end")]
        assert times == sorted(times) and times[0] > 0 and times[-1] <= row["num_frames"] / row["fps"]
        assert row["sign_language"] == "qss" and row["licence"].startswith("CC0")


def test_stored_tracks_are_noisy_and_the_truth_is_beside_them(corpus):
    _, out = corpus
    row = signx_hf.load_dataset("signsynth", data_dir=out, split="train")[0]
    stored = decode_poses(row["poses"])
    assert stored.track_dims == {name: layout.width for name, layout in LAYOUTS.items()} and stored.fps == 10
    assert stored.notes["sapiens.source"] == "SignSynth" and "pixels" in stored.notes["dwpose.units"]
    clip = stored.to_clip()
    with np.load(out / "truth" / f"{row['id']}.npz", allow_pickle=False) as truth:
        truth = dict(truth)
    mask = clip["masks"]["smplerx"]
    error = clip["smplerx"][mask] - truth["smplerx"][mask]
    assert 0.02 < error.std() < 0.2
    clean, noisy = (rows.reshape(-1, 128, 3) for rows in (truth["dwpose"].astype(np.float32), clip["dwpose"]))
    # float16 halves a pixel's 32nd here; the joints are those that the points were made from
    np.testing.assert_allclose(clean[:, 4, :2], truth["joints"][:, 21, :2], atol=0.05)
    both = (clean[..., 2] == 1) & (noisy[..., 2] > 0)
    assert 0.01 < np.median(np.abs(noisy - clean)[both][:, :2]) < 2
    assert [str(gloss) for gloss in truth["glosses"]] == row["glosses"]
    np.testing.assert_array_equal(truth["spans"], [[s["start"], s["end"]] for s in row["segments"]])
    batch = SignXPoseFeatureExtractor(fps=None)([clip], return_tensors="pt")
    assert batch["pose_values"].shape == (1, row["num_frames"], 1959) and batch["pose_mask"][..., 0].any()


def test_same_seed_same_bytes_however_it_was_built(corpus, tmp_path):
    """Killed after the first clip, gone on with by two processes."""
    _, out = corpus
    again = tmp_path / "again"
    with subprocess.Popen([sys.executable, "-c", INTERRUPTED, str(again)]) as process:
        end = time.monotonic() + 60
        while not list(again.glob("work/*.arrow")) and process.poll() is None and time.monotonic() < end:
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
    done = len(list(again.glob("work/*.arrow")))
    assert 1 <= done < CLIPS and not list(again.glob("*.arrow"))
    report = build(SMALLEST, again, seed=3, jobs=2, limit=CLIPS)
    assert report.made == CLIPS - done
    for leftover in again.rglob(".*.partial"):
        raise AssertionError(f"{leftover} was left")
    assert digest(again) == digest(out)
    assert build(SMALLEST, again, seed=3, limit=CLIPS).made == 0 and digest(again) == digest(out)
    other = clip_generator(4, "train-s00000-s000").random()
    assert clip_generator(3, "train-s00000-s000").random() == clip_generator(3, "train-s00000-s000").random() != other


def test_a_clip_is_performed_with_one_thread(monkeypatch, tmp_path):
    """Where two threads round otherwise than one, the test above fails; that one thread is used can be seen on any processor."""
    from threadpoolctl import threadpool_info, threadpool_limits

    class Seen(Exception):
        pass

    def look(*_):
        raise Seen({pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"})

    monkeypatch.setattr(builder, "perform_clip", look)
    with threadpool_limits(2), pytest.raises(Seen) as found:
        builder.make_clip(Job(SMALLEST, 3, str(tmp_path)), plan_corpus(SMALLEST, 3)[0])
    assert found.value.args[0] == {1}


def test_a_folder_with_something_else_is_refused(corpus, tmp_path):
    _, out = corpus
    before = digest(out)
    with pytest.raises(SignXError, match=r"config.json: seed must be 4.*got 3"):
        build(SMALLEST, out, seed=4, limit=CLIPS)
    with pytest.raises(SignXError, match=r"config.json: limit must be null.*got 3"):
        build(SMALLEST, out, seed=3)
    with pytest.raises(SignXError, match=r"config.json: config.size must be 64.*got 48"):
        build(replace(SMALLEST, size=64), out, seed=3, limit=CLIPS)
    assert digest(out) == before
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(SignXError, match="neither empty nor a SignSynth corpus. Choose an empty folder"):
        build(SMALLEST, tmp_path)
    assert os.listdir(tmp_path) == ["notes.txt"]
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(SignXError, match="config.json: not valid JSON"):
        build(SMALLEST, tmp_path)


BAD = [
    (
        {"config": "tyni", "out": "x"},
        r"no SignSynth configuration is called 'tyni'; did you mean 'tiny'\? Choose one of tiny, small, crowd, crowd2, base",
    ),
    ({"config": "tiny", "out": "x", "jobs": 0}, "`jobs` must be an integer of at least 1, got 0"),
    ({"config": "tiny", "out": "x", "limit": 0}, "`limit` must be an integer of at least 1, got 0"),
    ({"config": "tiny", "out": "x", "seed": -1}, "`seed` must be an integer of at least 0, got -1"),
]


@pytest.mark.parametrize("arguments, message", BAD)
def test_bad_arguments(arguments, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SignXError, match=message):
        build(**arguments)
    assert not os.listdir(tmp_path)


def test_bad_corpora(corpus, tmp_path):
    _, out = corpus

    def load(**options):
        return signx_hf.load_dataset("signsynth", data_dir=tmp_path, **options)

    with pytest.raises(SignXError, match="no config.json of signsynth; looked for config.json"):
        load()
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(SignXError, match="config.json: not the config.json of a SignSynth corpus"):
        load()
    (tmp_path / "config.json").write_text(json.dumps({"signsynth": "1", "format": 9}))
    with pytest.raises(SignXError, match="config.json: `format` must be 1, got 9"):
        load()
    (tmp_path / "config.json").write_bytes((out / "config.json").read_bytes())
    with pytest.raises(SignXError, match="no task 'words'; choose one of continuous, isolated"):
        load(task="words")
    with pytest.raises(
        SignXError, match="no continuous split 'train' of signsynth; looked for continuous_train.arrow"
    ):
        load(split="train")
    data = (out / "continuous_train.arrow").read_bytes()
    (tmp_path / "continuous_train.arrow").write_bytes(data[: len(data) // 2])
    with pytest.raises(SignXError, match=r"continuous_train.arrow: cannot be read"):
        load(split="train")
    (tmp_path / "continuous_train.arrow").write_bytes((out / "continuous_dev.arrow").read_bytes())
    with pytest.raises(SignXError, match="row 1, column 'split': expected train, as the file is named, got 'dev'"):
        load(split="train")


def test_command(tmp_path, capsys):
    from signx_hf.data.signsynth.command import NAMES

    assert tuple(CONFIGS) == NAMES
    assert main(["data", "synth", "tyni", "--out", str(tmp_path / "new")]) == 2
    assert "no SignSynth configuration is called 'tyni'; did you mean 'tiny'?" in capsys.readouterr().err
    assert main(["data", "synth"]) == 2
    assert "expected CONFIG and --out DIR, or --sheets DIR" in capsys.readouterr().err
    (tmp_path / "notes.txt").write_text("mine")
    assert main(["data", "synth", "tiny", "--out", str(tmp_path)]) == 2
    assert "neither empty" in capsys.readouterr().err


def test_sheets_tell_handshapes_and_signs_apart(tmp_path):
    pytest.importorskip("matplotlib", reason="contact sheets need the extra plots")
    from signx_hf.data.signsynth.handshapes import hand_pose
    from signx_hf.data.signsynth.motion import perform
    from signx_hf.data.signsynth.sheets import Studio, handshape_tiles, save_sheet, sign_tiles
    from signx_hf.data.signsynth.signers import signers

    signer = signers(1, 1)[0]
    with Studio(64) as studio:
        hands = [handshape_tiles(hand_pose(name), studio) for name in ("5", "S", "V", "U")]
        signs = []
        for sign in lexicon_of(SMALLEST).signs[:2]:
            motion = perform([sign], signer, np.random.default_rng(0))
            signs.append(sign_tiles(motion.rows, 25, motion.spans[0].start, motion.spans[0].end, signer, studio))
    for group in (hands, signs):
        for number, tiles in enumerate(group):
            for other in group[:number]:
                differ = np.abs(np.subtract(tiles, other, dtype=float)).max(axis=-1) > 40
                assert differ.mean() > 0.01
    save_sheet(tmp_path / "sheet.png", hands, ("5", "S", "V", "U"), 3)
    with av.open(str(tmp_path / "sheet.png")) as container:
        picture = next(container.decode(video=0)).to_ndarray(format="rgb24")
    assert picture.shape == (2 * (64 + 16), 3 * 2 * 64, 3) and (picture < 100).any()
