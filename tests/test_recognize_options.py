"""`signx-hf recognize`: flags that are options of the pipeline, and batches, which change no result."""

import json
import math
import shutil
from pathlib import Path

import numpy as np
import pytest
from helpers import run_python
from make_model import FPS, GLOSSES, make_frames, make_poses, save_folder, write_video
from recognition_results import close, tree

from signx_hf import NGramModel
from signx_hf.cli import main
from signx_hf.common.options import pipeline_options
from signx_hf.recognition import loading
from signx_hf.recognition.buckets import MAX_LENGTH_RATIO, WINDOW, buckets, length_of

LENGTHS = (30, 9, 31, 8, 60, 10, 29, 33)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A model, a language model, and clips of different kinds and lengths."""
    base = tmp_path_factory.mktemp("options")
    save_folder(base / "model", "SignXForLatentCTC")
    NGramModel.train([list(GLOSSES), list(GLOSSES[::-1])], 2).write(base / "lm.arpa")
    (base / "clips").mkdir()
    for n, frames in enumerate(LENGTHS):
        write_video(base / "clips" / f"v{n}.mkv", make_frames(frames, seed=n))
        np.savez(base / "clips" / f"p{n}.npz", **make_poses(frames, seed=n), fps=FPS)
    return base


class Spy:
    """The real recogniser, and the clips of each of its calls."""

    def __init__(self, recognizer, calls: list):
        self.recognizer, self.calls = recognizer, calls

    def __getattr__(self, name):
        return getattr(self.recognizer, name)

    def __call__(self, clips, **options):
        path = getattr(clips, "read_ahead_of", clips)
        self.calls.append([Path(clip).stem for clip in clips] if isinstance(clips, list) else Path(path).stem)
        return self.recognizer(clips, **options)


@pytest.fixture
def calls(monkeypatch):
    found, load = [], loading.load_pipeline
    monkeypatch.setattr(loading, "load_pipeline", lambda *given: Spy(load(*given), found))
    return found


def run(capsys, *arguments) -> tuple[int, str, list[str]]:
    code = main(["recognize", *map(str, arguments)])
    printed = capsys.readouterr()
    return code, printed.out, printed.err.splitlines()


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("[S01, S02]", ["S01", "S02"]), ('["S01"]', ["S01"]), ("8", 8), ("0.5", 0.5), ("true", True), ("ctc", "ctc"), ("S01,S02", "S01,S02"),
        ("a: b", "a: b"), ("no", "no"), ("[S01", "[S01"), ("[NO, YES]", ["NO", "YES"]), ("['S01','S02']", ["S01", "S02"]),
    ],
)  # fmt: skip
def test_values_of_options(text, value):
    assert pipeline_options([f"name={text}"]) == {"name": value}


def test_flags_are_options(place, capsys):
    poses = place / "clips" / "p0.npz"
    arguments = (poses, "--model", place / "model", "--format", "json")
    recognizer = loading.load_pipeline(str(place / "model"))
    lm = str(place / "lm.arpa")
    for flags, options in (
        (["--lm", lm], {"lm": lm}),
        (["--chunk-length", "2.5"], {"chunk_length_s": 2.5}),
        (["--hand", "right"], {"hand": "right"}),
        (["--person", "largest", "--option", "n_best=2"], {"person": "largest", "n_best": 2}),
        (["--person", "0"], {"person": 0}),
    ):
        code, said, errors = run(capsys, *arguments, *flags)
        assert (code, errors) == (0, [])
        assert json.loads(said) == {
            "version": 1,
            "file": str(poses),
            **json.loads(json.dumps(recognizer(str(poses), **options))),
        }
    plain = recognizer(str(poses))
    assert recognizer(str(poses), lm=lm, lm_weight=5.0)["n_best"] != plain["n_best"], "the model of languages is heard"
    code, _, errors = run(capsys, *arguments, "--person", "1")
    assert code == 1 and "`person`" in errors[0] and "got 1" in errors[0]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--hand", "left", "--option", "hand=right"], "--hand and --option hand=right"),
        (
            ["--chunk-length", "9", "--option", "chunk_length_s=8"],
            "--chunk-length and --option chunk_length_s=8",
        ),
        (["--lm", "no.arpa"], "--lm no.arpa: no such file"),
        (["--batch-size", "0"], "--batch-size must be a positive integer, got 0"),
        (
            ["--person", "central"],
            "got 'central'. Use `signx-hf extract",
        ),
        (["--chunk-length", "-1"], "--option: `chunk_length_s`"),
    ],
)
def test_what_cannot_be_is_said_before_any_clip(place, arguments, said, capsys, calls, tmp_path):
    for out in ((), ("--out", tmp_path / "out")):
        code, printed, errors = run(capsys, "one.mp4", "--model", place / "model", *arguments, *out)
        assert (code, printed, len(errors), calls) == (2, "", 1, []) and said in errors[0]


def same(left: dict[str, bytes], right: dict[str, bytes]) -> bool:
    """Whether two outputs of JSON files say the same: to the last gloss and time, scores up to 1e-4."""
    return left.keys() == right.keys() and all(close(json.loads(left[name]), json.loads(right[name])) for name in left)


def test_batches_change_no_result(place, tmp_path, capsys, calls):
    base = (place / "clips", "--model", place / "model", "--format", "json")
    assert run(capsys, *base, "--out", tmp_path / "1")[0] == 0
    alone = tree(tmp_path / "1")
    assert len(alone) == 16 and all(isinstance(call, str) for call in calls)
    texts = {json.loads(content)["text"] for content in alone.values()}
    assert len(texts) > 4, "clips that differ must not all say the same"
    calls.clear()
    for size in (2, 3, 16):
        code, said, errors = run(capsys, *base, "--out", tmp_path / str(size), "--batch-size", size)
        assert (code, errors) == (0, []) and said.startswith("16 clips: 16 recognized (420 frames)")
        assert same(tree(tmp_path / str(size)), alone)
        batches, rest = (
            [call for call in calls if isinstance(call, list)],
            [call for call in calls if isinstance(call, str)],
        )
        assert sorted(sum(batches, rest)) == sorted(f"{kind}{n}" for kind in "pv" for n in range(8)), "each clip once"
        for batch in batches:
            lengths = [LENGTHS[int(name[1:])] for name in batch]
            assert 2 <= len(batch) <= size and len({name[0] for name in batch}) == 1, "poses and videos apart"
            assert max(lengths) <= MAX_LENGTH_RATIO * min(lengths) + 1
        assert len(batches) + len(rest) <= {2: 10, 3: 8, 16: 6}[size]
        calls.clear()
    code, said, _ = run(capsys, *base, "--batch-size", 4)  # on standard output: in order
    rows = [json.loads(line) for line in said.splitlines()]
    assert code == 0 and any(isinstance(call, list) for call in calls)
    assert [Path(row["file"]).stem for row in rows] == sorted(f"{kind}{n}" for kind in "pv" for n in range(8))
    assert all(close(row, json.loads(alone[f"{Path(row['file']).stem}.json"])) for row in rows)


def test_a_bad_clip_does_not_spoil_its_batch(place, tmp_path, capsys, calls):
    clips = Path(shutil.copytree(place / "clips", tmp_path / "clips"))
    broken = np.load(clips / "p2.npz")
    np.savez(clips / "p2.npz", **{**broken, "body": np.full_like(broken["body"], np.inf)})  # its header is good
    content = (clips / "v6.mkv").read_bytes()
    (clips / "v6.mkv").write_bytes(content[: len(content) * 2 // 3])  # truncated: a warning, and what is there
    base = (clips, "--model", place / "model", "--format", "json")
    code, _, errors = run(capsys, *base, "--out", tmp_path / "1")
    assert code == 1
    for more in (("--out", tmp_path / "8"), ()):
        calls.clear()
        again, said, found = run(capsys, *base, "--batch-size", 8, *more)
        assert again == 1 and sorted(found) == sorted(errors) and len(found) == 3
        spoilt = next(call for call in calls if isinstance(call, list) and "p2" in call)
        assert set(spoilt) <= {call for call in calls if isinstance(call, str)}, "each of them alone"
    assert same(tree(tmp_path / "8"), tree(tmp_path / "1")) and "p2.json" not in tree(tmp_path / "8")
    rows = [json.loads(line) for line in said.splitlines()]
    assert len(rows) == 15 and all(
        close(row, json.loads(tree(tmp_path / "1")[Path(row["file"]).stem + ".json"])) for row in rows
    )
    (clips / "p2.npz").unlink()
    code, said, _ = run(capsys, *base, "--batch-size", 4, "--out", tmp_path / "1", "--resume")
    assert code == 0 and said.startswith("15 clips: 0 recognized (0 frames), 15 already finished"), "of whatever size"


def test_long_recordings_are_no_batch(place, tmp_path, capsys, calls):
    files = [place / "clips" / f"p{n}.npz" for n in (0, 2)]
    for more in (("--out", tmp_path / "out"), ()):
        code, _, _ = run(capsys, *files, "--model", place / "model", "--batch-size", 2, "--chunk-length", 1.5, *more)
        assert code == 0
    assert calls == ["p0", "p2"] * 2


def test_another_language_model_of_the_same_name(place, tmp_path, capsys, calls):
    lm = tmp_path / "lm.arpa"
    shutil.copy(place / "lm.arpa", lm)
    arguments = (
        place / "clips" / "p0.npz",
        "--model",
        place / "model",
        "--lm",
        lm,
        "--out",
        tmp_path / "out",
        "--resume",
    )
    for expected in (1, 0):
        assert run(capsys, *arguments)[0] == 0 and len(calls) == expected
        calls.clear()
    NGramModel.train([list(GLOSSES)], 1).write(lm)
    assert run(capsys, *arguments)[0] == 0 and calls == ["p0"]


def test_lengths_come_from_headers(place, tmp_path):
    for n, frames in enumerate(LENGTHS):
        kind, seconds = length_of(str(place / "clips" / f"v{n}.mkv"))
        assert kind == "video" and seconds == pytest.approx(frames / FPS, abs=0.1)
        assert length_of(str(place / "clips" / f"p{n}.npz")) == ("poses", frames)
    np.save(tmp_path / "a.npy", np.zeros((7, 16)))
    assert length_of(str(tmp_path / "a.npy")) == ("poses", 7)
    (tmp_path / "frames").mkdir()
    for n in range(3):
        (tmp_path / "frames" / f"{n}.png").write_bytes(b"")
    assert length_of(str(tmp_path / "frames")) == ("frames", 3)
    (tmp_path / "bad.mp4").write_bytes(b"no")
    (tmp_path / "bad.npz").write_bytes(b"PK")
    (tmp_path / "bad.pose").write_bytes(b"\0\0")
    for name in ("bad.mp4", "bad.npz", "bad.pose", "absent.mp4"):
        assert length_of(str(tmp_path / name)) is None


def test_length_of_pose_files(tmp_path):
    pytest.importorskip("pose_format")
    from pose_format_files import make_pose, standard_components

    for frames in (5, 300):
        with open(tmp_path / f"{frames}.pose", "wb") as file:
            make_pose(standard_components("holistic"), frames=frames).write(file)
        assert length_of(str(tmp_path / f"{frames}.pose")) == ("poses", frames)


def test_buckets_hold_everything_once(tmp_path):
    paths, draw = [], np.random.default_rng(0)
    for n in range(60):
        path = tmp_path / f"{n}.npy"
        if n % 7:
            np.save(path, np.zeros((int(draw.integers(5, 90)), 2)))
        paths.append(str(path))
    for size in (1, 2, 5):
        groups = list(buckets(range(60), paths, size))
        assert sorted(sum(groups, [])) == list(range(60)) and max(map(len, groups)) <= size
        if size == 1:
            assert groups == [[n] for n in range(60)]
            continue
        for group in groups:
            assert {n // (WINDOW * size) for n in group} == {group[0] // (WINDOW * size)}, "within a window"
            lengths = [length_of(paths[n]) for n in group]
            assert None not in lengths or len(group) == 1
            if None not in lengths:
                assert max(lengths)[1] <= MAX_LENGTH_RATIO * min(lengths)[1]
        assert len(groups) < 60 / size * 2 + math.ceil(60 / 7)


def test_collection_goes_on_after_loading(tmp_path):
    """Modules of torch are frozen once, in a process that had none; garbage is collected afterwards, whether loading worked or not."""
    code = """
    import gc
    from signx_hf.recognition.loading import importing
    for fails in (True, False):
        try:
            with importing():
                assert not gc.isenabled()
                if fails:
                    raise ValueError("no such device")
        except ValueError:
            assert gc.isenabled() and gc.get_freeze_count() == 0
    frozen = gc.get_freeze_count()
    import torch
    with importing():
        assert gc.isenabled()
    print(frozen > 0, gc.isenabled(), gc.get_freeze_count() <= frozen)  # some are freed by count
    """
    assert run_python(code, tmp_path).split() == ["True"] * 3
