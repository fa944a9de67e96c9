"""`extract`: rows against the arrays that the videos were made from, sources, the cache, several people, and what goes wrong."""

import json
import os
import re
import subprocess
import sys
import weakref
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT, data_folder
from datasets import Dataset, DatasetDict, Video, load_from_disk
from make_model import FPS, make_frames, write_video

from signx_hf.data import decode_poses
from signx_hf.data.schema import make_row, to_dataset
from signx_hf.poses import ExtractFailed, ExtractOptions, clips, dataset_hash, extract
from signx_hf.poses.cache import RowCache, output_lock
from signx_hf.poses.extraction import run_extract
from signx_hf.processing.errors_signx import SignXError, SignXWarning
from signx_hf.processing.sampling_signx import sample_indices

CHANGES, SQUARES, CENTRES, ONE = (f"extract_probe:{name}" for name in ("Changes", "Squares", "Centres", "OneCentre"))


def make_people(frames: int = 8, height: int = 40, width: int = 60) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """A large red square on the left and a small blue one, busy, on the right; and their boxes [T, 4]."""
    video = np.full((frames, height, width, 3), 30, np.uint8)
    boxes = {"red": np.zeros((frames, 4)), "blue": np.zeros((frames, 4))}
    for t in range(frames):
        for name, color, side, left, top in (
            ("red", (250, 0, 0), 16, 3 + t // 4, 8),
            ("blue", (0, 0, 250), 8, 44, 2 + 3 * (3 - abs(t % 6 - 3))),
        ):
            video[t, top : top + side, left : left + side] = color
            boxes[name][t] = left, top, left + side, top + side
    return video, boxes


def true_changes(video: np.ndarray) -> np.ndarray:
    """[T, 16] by loops; NaN in the first frame."""
    rows = np.full((len(video), 16), np.nan)
    height, width = video.shape[1] // 4, video.shape[2] // 4
    for t in range(1, len(video)):
        for i in range(4):
            for j in range(4):
                place = np.s_[i * height : (i + 1) * height, j * width : (j + 1) * width]
                rows[t, 4 * i + j] = video[t][place].astype(float).mean() - video[t - 1][place].astype(float).mean()
    return rows


def folder_files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def diary_of(path: Path) -> list[str]:
    lines = path.read_text().splitlines() if path.exists() else []
    path.unlink(missing_ok=True)
    return lines


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    """Four short lossless videos, one of them two folders down, and what must be passed over."""
    folder = tmp_path_factory.mktemp("videos")
    (folder / "b" / "deep").mkdir(parents=True)
    arrays = {}
    for seed, name in enumerate(("a", "b/deep/c", "b/x", "z")):
        arrays[name] = make_frames(6 + seed, seed=seed)
        write_video(folder / f"{name}.mkv", arrays[name])
    (folder / ".hidden.mkv").write_bytes(b"no video")
    (folder / ".Trash").mkdir()
    (folder / ".Trash" / "old.mkv").write_bytes(b"no video")
    (folder / "notes.txt").write_text("no video")
    return folder, arrays


@pytest.fixture(scope="module")
def done(videos, tmp_path_factory):
    """A finished run with one process."""
    out = tmp_path_factory.mktemp("done") / "out"
    return out, extract(videos[0], [CHANGES], out)


def test_rows_are_those_of_the_frames(videos, done):
    _, dataset = done
    assert dataset["id"][:] == ["a", "b/deep/c", "b/x", "z"]
    assert dataset["video"][0] == {"bytes": None, "path": str(videos[0] / "a.mkv")}
    for row in dataset:
        stored, truth = decode_poses(row["poses"]), true_changes(videos[1][row["id"]])
        assert stored.mask[:, 0].tolist() == [False] + [True] * (len(truth) - 1)
        assert not stored.values[0].any()
        np.testing.assert_allclose(stored.values[1:], truth[1:], rtol=1e-3, atol=1e-3)
        assert (row["fps"], stored.fps, row["num_frames"]) == (FPS, FPS, len(truth))
        assert stored.notes["changes.layout"] == "probe" and stored.notes["person"] == "largest"


def test_the_same_bytes_whatever_the_number_of_jobs(videos, done, tmp_path):
    extract(videos[0], [CHANGES], tmp_path / "out", ExtractOptions(jobs=2, cache=tmp_path / "rows"))
    assert folder_files(tmp_path / "out") == folder_files(done[0])
    assert not list(tmp_path.glob(".out*")) and not (tmp_path / "out.cache").exists()


def test_hash_says_content_and_not_storage(done, tmp_path):
    _, dataset = done
    known = dataset_hash(dataset)
    assert known == json.loads((done[0] / "signx_extract.json").read_text())["dataset_hash"]
    turned = dataset.select([3, 2, 1, 0])
    assert dataset_hash(turned) != known == dataset_hash(turned.select([3, 2, 1, 0]))
    assert dataset_hash(Dataset.from_list(dataset.to_list(), features=dataset.features)) == known
    poses = dataset[0]["poses"]
    changed = dataset.to_list()
    changed[0]["poses"] = poses[:-1] + bytes([poses[-1] ^ 1])
    assert dataset_hash(to_dataset(changed)) != known


def test_a_second_run_does_nothing_again_and_new_tracks_only_what_is_new(videos, tmp_path):
    diary = tmp_path / "diary"
    options = ExtractOptions(options={name: {"diary": str(diary)} for name in ("changes",)}, cache=tmp_path / "rows")
    first = run_extract(videos[0], [CHANGES], tmp_path / "out", options)
    assert diary_of(diary)[0] == "changes load" and (first.cached, first.clips, first.frames) == (0, 4, 30)
    again = run_extract(videos[0], [CHANGES], tmp_path / "out", options)
    assert not diary_of(diary)  # not even loaded
    assert (again.dataset_hash, again.cached, again.decoded) == (first.dataset_hash, 4, 0)
    both = {"changes": {"diary": str(diary)}, "squares": {"diary": str(diary)}}
    options = ExtractOptions(options=both, cache=tmp_path / "rows")
    run_extract(videos[0], [CHANGES, SQUARES], tmp_path / "two", options)
    assert {line.split()[0] for line in diary_of(diary)} == {"squares"}
    both["changes"]["version"] = "2"
    run_extract(videos[0], [CHANGES, SQUARES], tmp_path / "two", options)
    assert {line.split()[0] for line in diary_of(diary)} == {"changes"}


def test_damaged_rows_are_made_again(videos, tmp_path):
    diary = tmp_path / "diary"
    options = ExtractOptions(options={"changes": {"diary": str(diary)}})
    known = run_extract(videos[0], [CHANGES], tmp_path / "out", options).dataset_hash
    files = sorted(
        path for path in (tmp_path / "out.cache").rglob("*") if path.is_file() and path.stat().st_size > 200
    )
    assert len(files) == 4
    content = files[0].read_bytes()
    for damage in (
        content[:100],
        b"",
        content[:-9] + bytes([content[-9] ^ 4]) + content[-8:],
        files[1].read_bytes()[:-1],
    ):
        files[0].write_bytes(damage)
        diary_of(diary)
        assert run_extract(videos[0], [CHANGES], tmp_path / "out", options).dataset_hash == known
        assert len([line for line in diary_of(diary) if line.endswith("start")]) == 1
        assert files[0].read_bytes() == content


def test_rows_that_do_not_fit_are_made_again(videos, tmp_path):
    """Whole by their checksum, but not what this version writes under that name."""
    known = run_extract(videos[0], [CHANGES], tmp_path / "out", ExtractOptions()).dataset_hash
    cache = RowCache(tmp_path / "out.cache")
    path = next(p for p in sorted((tmp_path / "out.cache").rglob("*")) if p.is_file() and p.stat().st_size > 200)
    good = cache.seen(path.name)
    assert good.rows.shape[1] == 16
    for changes in (
        {"rows": good.rows[:, :9]},
        {"rows": good.rows[:-1]},
        {"frame": good.frame + good.frames},
        {"frame": good.frame[::-1]},
        {"boxes": good.boxes[:, :3]},
        {"extras": {"wrists": (np.array([99]), np.zeros((1, 2, 3)))}},
    ):
        cache.write(path.name, replace(good, **changes).to_bytes())
        report = run_extract(videos[0], [CHANGES], tmp_path / "out", ExtractOptions())
        assert (report.dataset_hash, report.cached) == (known, 3)


def test_a_changed_video_is_noticed(tmp_path):
    folder = tmp_path / "videos"
    folder.mkdir()
    path = write_video(folder / "a.mkv", make_frames(6, seed=1))
    write_video(folder / "b.mkv", make_frames(6, seed=2))
    diary = tmp_path / "diary"
    options = ExtractOptions(options={"changes": {"diary": str(diary)}})
    first = extract(folder, [CHANGES], tmp_path / "out", options)
    state = path.stat()
    content = bytearray(path.read_bytes())
    other = write_video(tmp_path / "other.mkv", make_frames(6, seed=3)).read_bytes()
    content[:] = other[: len(content)].ljust(len(content), b"\0")
    path.write_bytes(content)
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))  # same place, size, time and inode
    diary_of(diary)
    second = extract(folder, [CHANGES], tmp_path / "out", options)
    assert [line for line in diary_of(diary) if "start" in line] == ["changes a start"]
    assert second[0]["poses"] != first[0]["poses"] and second[1]["poses"] == first[1]["poses"]


def test_a_video_that_changes_while_it_is_read(tmp_path):
    folder = tmp_path / "videos"
    folder.mkdir()
    path = write_video(folder / "a.mkv", make_frames(6))
    with pytest.raises(ExtractFailed, match="a.mkv: the file changed while it was being read"):
        extract(folder, ["extract_probe:Meddler"], tmp_path / "out", ExtractOptions({"meddler": {"video": str(path)}}))
    assert not [path for path in (tmp_path / "out.cache").rglob("*") if path.is_file() and path.stat().st_size > 200]


# sources


def test_parts_of_a_video_and_all_columns_stay(videos, tmp_path, monkeypatch):
    passes = []
    iter_video = clips.iter_video
    monkeypatch.setattr(
        clips, "iter_video", lambda source, *rest: passes.append(source.name) or iter_video(source, *rest)
    )
    path, truth = str(videos[0] / "z.mkv"), true_changes(videos[1]["z"])
    rows = [
        make_row(id="late", video=path, start=4 / FPS, end=7 / FPS, split="test", glosses=["A", "B"], licence="mine"),
        make_row(id="early", video=path, start=0.0, end=2 / FPS, split="test", text="so"),
        make_row(id="middle", video=path, start=2 / FPS, end=4 / FPS, split="test", signer="S"),
        make_row(
            id="rest", video=path, start=3 / FPS, split="test", segments=[{"gloss": "A", "start": 0.0, "end": 0.1}]
        ),
        make_row(id="all", video=path, split="test"),
    ]
    source = to_dataset(rows, "test").add_column("take", [7, 8, 9, 10, 11])
    dataset = extract(DatasetDict({"test": source}), [CHANGES, SQUARES], tmp_path / "out")["test"]
    assert len(passes) == 3  # early, middle and late in one go; rest; all
    assert dataset["take"][:] == [7, 8, 9, 10, 11] and dataset["id"][:] == [row["id"] for row in rows]
    changed = {"poses", "fps", "num_frames", "take"}
    assert [{k: v for k, v in row.items() if k not in changed} for row in dataset] == [
        {k: v for k, v in row.items() if k not in changed} for row in rows
    ]
    for row, (begin, end) in zip(dataset, ((4, 7), (0, 2), (2, 4), (3, 9), (0, 9))):
        stored = decode_poses(row["poses"])
        assert len(stored.values) == row["num_frames"] == end - begin
        np.testing.assert_allclose(stored.values[1:, :16], truth[begin + 1 : end], rtol=1e-3, atol=1e-3)


def test_every_kind_of_source_gives_the_same_poses(videos, done, tmp_path):
    folder, _ = videos
    expected = [row["poses"] for row in done[1]]
    names = [row["id"] for row in done[1]]
    paths = [str(folder / f"{name}.mkv") for name in names]
    table = tmp_path / "clips.tsv"
    table.write_text("id\tvideo\n" + "".join(f"{name}\t{path}\n" for name, path in zip(names, paths)))
    bare = Dataset.from_dict({"id": names, "video": paths})
    # newer versions of datasets embed the files by themselves
    contents = [{"bytes": Path(path).read_bytes(), "path": f"{name}.mkv"} for name, path in zip(names, paths)]
    to_dataset([make_row(id=name, video=content) for name, content in zip(names, contents)]).save_to_disk(
        tmp_path / "embedded"
    )
    assert load_from_disk(tmp_path / "embedded")[0]["video"]["bytes"]
    decoding = bare.cast_column("video", Video())
    for number, source in enumerate((table, tmp_path / "embedded", bare, decoding)):
        dataset = extract(source, [CHANGES], tmp_path / f"out{number}", ExtractOptions(cache=tmp_path / "rows"))
        dataset = dataset["train"] if isinstance(dataset, DatasetDict) else dataset
        assert [row["poses"] for row in dataset] == expected
        assert dataset["id"][:] == names and "licence" in dataset.column_names
    # the table, the bare columns and the decoding ones name the same bytes under the same ids
    assert len([path for path in (tmp_path / "rows").rglob("*") if path.is_file() and path.stat().st_size > 200]) == 4


def test_folders_of_images(videos, done, tmp_path):
    import av

    frames = videos[1]["a"]
    (tmp_path / "images").mkdir()
    for number, frame in enumerate(frames):
        with av.open(str(tmp_path / "images" / f"{number}.png"), "w", format="image2") as file:
            stream = file.add_stream("png", rate=1)
            stream.height, stream.width, stream.pix_fmt = *frame.shape[:2], "rgb24"
            file.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
            file.mux(stream.encode())
    source = to_dataset([make_row(id="a", frames=str(tmp_path / "images"), fps=12.5)])
    row = extract(source, [CHANGES], tmp_path / "out")[0]
    assert (row["fps"], row["num_frames"]) == (12.5, len(frames))
    assert np.array_equal(decode_poses(row["poses"]).values, decode_poses(done[1][0]["poses"]).values)


def test_fps(videos, tmp_path):
    row = extract(videos[0], [SQUARES], tmp_path / "out", ExtractOptions(fps=5))[3]
    frames = len(sample_indices(np.arange(len(videos[1]["z"])) / FPS, 5))
    assert (row["fps"], row["num_frames"], decode_poses(row["poses"]).fps) == (5.0, frames, 5.0) and frames < 5


# people


def test_one_person_in_all_tracks(tmp_path):
    folder = tmp_path / "videos"
    folder.mkdir()
    video, boxes = make_people()
    write_video(folder / "two.mkv", video)
    diary = tmp_path / "diary"
    written = {name: {"diary": str(diary)} for name in ("squares", "centres", "one")}
    for person, who in (("largest", "red"), ("active", "blue"), (0, "red"), ("1", "blue"), ("central", "red")):
        for tracks in ([SQUARES, CENTRES, ONE], [ONE, CENTRES, SQUARES]):
            options = ExtractOptions(written, person=person, cache=tmp_path / "rows")
            dataset = extract(folder, tracks, tmp_path / "out", options)
            clip = decode_poses(dataset[0]["poses"]).to_clip()
            assert np.array_equal(clip["squares"], boxes[who])
            assert np.array_equal(clip["centres"], (boxes[who][:, :2] + boxes[who][:, 2:]) / 2)
            # the one who sees nobody else is no authority, and what it sees of another is not the signer
            assert clip["masks"]["one"].all() == (who == "red") and clip["masks"]["one"].any() == (who == "red")
    assert (
        len([line for line in diary_of(diary) if line.endswith("start")]) == 3
    )  # the rule is no reason to look again


def test_person_beyond_those_who_are_there(tmp_path):
    folder = tmp_path / "videos"
    folder.mkdir()
    write_video(folder / "two.mkv", make_people()[0])
    with pytest.raises(ExtractFailed, match="1 of 1 clips failed.* person must be an index below 2 .*got 2"):
        extract(folder, [SQUARES], tmp_path / "out", ExtractOptions(person=2))
    assert not (tmp_path / "out").exists() and not list(tmp_path.glob(".out*"))


# frames


def test_few_frames_are_held_even_when_a_track_fails(tmp_path, monkeypatch):
    folder = tmp_path / "videos"
    folder.mkdir()
    write_video(folder / "a.mkv", make_people(frames=60)[0])
    alive, most = weakref.WeakSet(), []
    iter_video = clips.iter_video

    class Frame(np.ndarray):  # plain arrays cannot be looked at from outside without being kept
        pass

    def watched(*arguments):
        for instant, frame in iter_video(*arguments):
            frame = frame.view(Frame)
            alive.add(Held(frame))
            most.append(sum(1 for held in alive if held.frame() is not None))
            yield instant, frame

    class Held:
        kept: list = []

        def __init__(self, frame):
            self.frame = weakref.ref(frame)
            self.kept.append(self)

    monkeypatch.setattr(clips, "iter_video", watched)
    with pytest.raises(ExtractFailed, match="track 'changes': ValueError: this clip is not to my liking"):
        extract(folder, [CHANGES, SQUARES, CENTRES], tmp_path / "out", ExtractOptions({"changes": {"fail": "a"}}))
    assert len(most) == 60 and max(most) <= 5
    diary = tmp_path / "diary"
    fresh = {name: {"diary": str(diary)} for name in ("changes", "squares", "centres")}
    extract(folder, [CHANGES, SQUARES, CENTRES], tmp_path / "out", ExtractOptions(fresh))
    assert {line.split()[0] for line in diary_of(diary)} == {"changes"}  # the others were kept


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("early", "2 .* 6 frames"),
        ("endless", "7 .* 6 frames"),
        ("wide", r"\[4\], got \[3\]"),
        ("infinite", "finite .* got inf"),
        ("write", "read-only"),
        ("box", r"frame 0: .*finite.* \(nan, 0.0, 1.0, 1.0\) and 1.0"),
        ("score", "and nan"),
        (
            "points",
            r"track 'sloppy': frame 1: 'wrists' must be .*\[1, 3\], got float64 of shape \[2, 3\]",
        ),
    ],
)
def test_extractors_that_break_their_word(tmp_path, fault, message):
    folder = tmp_path / "videos"
    folder.mkdir()
    write_video(folder / "a.mkv", make_frames(6))
    with pytest.raises(ExtractFailed, match=message):
        extract(folder, ["extract_probe:Sloppy"], tmp_path / "out", ExtractOptions({"sloppy": {"fault": fault}}))


# bad clips


@pytest.fixture(scope="module")
def mixed(tmp_path_factory):
    """Two good videos, one cut short, and four that are none."""
    import av

    folder = tmp_path_factory.mktemp("mixed")
    for seed, name in enumerate(("good", "other", "cut")):
        write_video(folder / f"{name}.mkv", make_frames(20, seed=seed))
    content = (folder / "cut.mkv").read_bytes()
    (folder / "cut.mkv").write_bytes(content[: len(content) // 2])
    (folder / "empty.mp4").write_bytes(b"")
    (folder / "text.mp4").write_text("once upon a time")
    (folder / "head.mp4").write_bytes(b"\0\0\0\x18ftypisom\0\0\2\0isomiso2")
    with av.open(str(folder / "sound.mp4"), "w") as file:
        stream = file.add_stream("aac", rate=16000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 4096), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 16000
        file.mux(stream.encode(frame))
        file.mux(stream.encode())
    return folder


BAD = {
    "empty": "empty.mp4: an empty file (0 bytes)",
    "head": "head.mp4: cannot be opened as a video",
    "sound": "sound.mp4: the file has no video stream (it has audio)",
    "text": "text.mp4: cannot be opened as a video",
}


def test_bad_videos_do_not_stop_the_rest(mixed, tmp_path):
    diary = tmp_path / "diary"
    written = {"changes": {"diary": str(diary)}}
    with pytest.raises(ExtractFailed, match="4 of 7 clips failed, so no dataset was written") as stop:
        extract(mixed, [CHANGES], tmp_path / "out", ExtractOptions(written))
    assert [bad.id for bad in stop.value.failures] == list(BAD)
    assert all(text in bad.reason for bad, text in zip(stop.value.failures, BAD.values()))
    assert not (tmp_path / "out").exists() and not list(tmp_path.glob(".out*"))
    assert len([line for line in diary_of(diary) if line.endswith("start")]) == 3
    with pytest.warns(SignXWarning, match="cut.mkv: the file declares .* more than it contains"):
        dataset = extract(mixed, [CHANGES], tmp_path / "out", ExtractOptions(written, skip_bad=tmp_path / "bad.tsv"))
    assert not [line for line in diary_of(diary) if "load" not in line]  # what could be opened was done before
    assert dataset["id"][:] == ["cut", "good", "other"]
    lines = [line.split("\t") for line in (tmp_path / "bad.tsv").read_text().splitlines()]
    assert lines[0] == ["row", "id", "video", "reason"]
    order = sorted([*BAD, "cut", "good", "other"])
    assert [tuple(line[:3]) for line in lines[1:]] == [
        (str(order.index(name) + 1), name, str(mixed / f"{name}.mp4")) for name in BAD
    ]


def test_processes_that_die(mixed, tmp_path):
    """One dies once, and its clip is done by the next; one dies of a clip whenever it is tried, and costs that clip alone."""
    (tmp_path / "once").write_text("once cut")
    (tmp_path / "always").write_text("always other")
    options = {"changes": {"die": str(tmp_path / "once")}, "squares": {"die": str(tmp_path / "always")}}
    with pytest.warns(SignXWarning, match="cut.mkv"):
        dataset = extract(
            mixed, [CHANGES, SQUARES], tmp_path / "out", ExtractOptions(options, jobs=2, skip_bad=tmp_path / "bad.tsv")
        )
    assert not (tmp_path / "once").exists()
    assert dataset["id"][:] == ["cut", "good"]
    listed = (tmp_path / "bad.tsv").read_text()
    assert "other.mkv: the process that worked on it died 2 times (signal SIGKILL)" in listed
    assert all(text in listed for text in BAD.values())
    with pytest.warns(SignXWarning, match="cut.mkv"):
        alone = extract(mixed, [CHANGES, SQUARES], tmp_path / "alone", ExtractOptions(skip_bad=tmp_path / "bad.tsv"))
    assert alone.filter(lambda row: row["id"] != "other")["poses"][:] == dataset["poses"][:]


# the place


def test_the_output_is_replaced_only_by_its_like(videos, tmp_path):
    out = tmp_path / "out"
    extract(videos[0], [CHANGES], out)
    other = tmp_path / "videos"
    other.mkdir()
    write_video(other / "a.mkv", make_frames(5))
    with pytest.raises(
        SignXError, match=f"{out}: already exists and was extracted from {videos[0]}, not from {other}"
    ):
        extract(other, [CHANGES], out)
    assert extract(videos[0], [CHANGES, SQUARES], out)[0]["poses"] != b""
    assert json.loads((out / "signx_extract.json").read_text())["tracks"] == {
        "changes": "changes 1",
        "squares": "squares 1",
    }
    # a run that was killed between the two renames
    out.rename(tmp_path / ".out.before")
    (tmp_path / ".out.partial").mkdir()
    with pytest.raises(SignXError, match="already exists and was extracted from"):
        extract(other, [CHANGES], out)
    assert out.is_dir() and not list(tmp_path.glob(".out*"))


def test_one_run_at_a_time(videos, tmp_path):
    code = (
        "import sys, pathlib\nfrom signx_hf.poses.cache import output_lock\n"
        "with output_lock(pathlib.Path(sys.argv[1])):\n    print('held', flush=True)\n    sys.stdin.read()\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", code, str(tmp_path / "out")]
    holder = subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert holder.stdout.readline() == b"held\n"
    with pytest.raises(SignXError, match=rf"out: process {holder.pid} on .* is making this dataset"):
        extract(videos[0], [CHANGES], tmp_path / "out")
    holder.kill()
    holder.communicate()
    assert (tmp_path / ".out.lock").exists()  # stale: its process is dead
    extract(videos[0], [CHANGES], tmp_path / "out")
    assert not (tmp_path / ".out.lock").exists()
    with output_lock(tmp_path / "x"), output_lock(tmp_path / "y"):
        pass


def test_an_output_behind_a_link(videos, tmp_path):
    """The dataset is replaced where the link leads; the link stays."""
    (tmp_path / "out").symlink_to(tmp_path / "far")
    for tracks in ([CHANGES], [SQUARES], [CHANGES]):
        extract(videos[0], tracks, tmp_path / "out")
        assert (tmp_path / "out").is_symlink() and (tmp_path / "far" / "signx_extract.json").is_file()
    assert not list(tmp_path.glob(".*"))


# the command line


def run(capsys, *arguments) -> tuple[int, str, list[str]]:
    from signx_hf.cli import main

    code = main(["extract", *[str(argument) for argument in arguments]])
    printed = capsys.readouterr()
    return code, printed.out, printed.err.splitlines()


def test_command(mixed, tmp_path, capsys):
    out, bad = tmp_path / "out", tmp_path / "bad.tsv"
    code, text, errors = run(capsys, mixed, "--tracks", CHANGES, "--out", out)
    assert (code, text, len(errors)) == (1, "", 5)
    assert errors[0].startswith(f"signx-hf: row 2 ('empty'): {mixed}/empty.mp4: an empty file")
    assert errors[-1].startswith("signx-hf: 4 of 7 clips failed") and f"{out}.cache" in errors[-1]
    code, text, errors = run(capsys, mixed, "--tracks", CHANGES, "--out", out, "--skip-bad", bad, "--json")
    report = json.loads(text)
    assert code == 0 and len(errors) == 5 and "warning: " in errors[0]
    assert (report["clips"], report["cached"], len(report["left_out"])) == (3, 3, 4)
    assert report["dataset_hash"] == dataset_hash(load_from_disk(out))
    code, text, errors = run(capsys, mixed, "--tracks", CHANGES, "--out", out, "--skip-bad", bad)
    assert code == 0 and text.splitlines()[0] == f"3 clips, {report['frames']} frames, 3 from the cache, 4 left out"
    assert text.splitlines()[2] == f"hash    {report['dataset_hash']}"


def table(text: str):
    """A source that is a table with these lines."""

    def make(place: Path, videos: Path) -> Path:
        (place / "clips.tsv").write_text(text.replace("VIDEO", str(videos / "z.mkv")))
        return place / "clips.tsv"

    return make


def saved(**columns):
    def make(place: Path, videos: Path) -> Path:
        Dataset.from_dict(columns).save_to_disk(place / "saved")
        return place / "saved"

    return make


def made(name: str, content: bytes | None = None, source=lambda path: path):
    def make(place: Path, videos: Path) -> Path:
        path = place / "made" / name
        path.parent.mkdir()
        path.mkdir() if content is None else path.write_bytes(content)
        return source(path)

    return make


GOOD = "id\tvideo\na\tVIDEO\n"
# what: (source or None for the videos, arguments, exit code, words of the message)
WRONG = {
    "no such source": (lambda place, videos: place / "nowhere", [], 2, "no such file, folder or corpus"),
    "a misspelt corpus": (lambda place, videos: "phoenix14x", [], 2, "did you mean 'phoenix14'?"),
    "an empty folder": (made("folder"), [], 2, "folder: no video in it or below (.mp4, "),
    "one video": (lambda place, videos: videos / "a.mkv", [], 2, "a.mkv: must not be a single video"),
    "a file of another type": (made("a.xml", b"<a/>"), [], 2, "a.xml: the file type must be one of .tsv"),
    "a dataset without videos": (saved(id=["a"], text=["b"]), [], 2, "column 'video' is missing, got id, text"),
    "a dataset without ids": (saved(video=["a"]), [], 2, "column 'id' is missing, got video"),
    "a dataset with videos of another type": (saved(id=["a"], video=[3]), [], 2, "column 'video' must be "),
    "a dataset without rows": (saved(id=[], video=[]), [], 2, "saved: "),
    "one id twice": (table("id\tvideo\na\tVIDEO\na\tVIDEO\n"), [], 2, "row 2, column 'id': must be unique, got 'a' as in row 1"),
    "an unknown track": (None, ["--tracks", "mediapip"], 2, "did you mean 'mediapipe'?"),
    "no track": (None, ["--tracks", ","], 2, "tracks must be a list of at least one name"),
    "a track twice": (None, ["--tracks", f"{CHANGES},{CHANGES}"], 2, "got 'changes' twice"),
    "a module that is not there": (None, ["--tracks", "no_such:Class"], 2, "'no_such' cannot be imported"),
    "a class that is not there": (None, ["--tracks", "extract_probe:Change"], 2, "must be a subclass of "),
    "a class of another kind": (None, ["--tracks", "extract_probe:NotAnExtractor"], 2, "must be a subclass of "),
    "an unknown option": (None, ["--option", "changes.paws=1"], 2, "unknown option 'paws'; did you mean 'pause'?"),
    "an option of another track": (None, ["--option", "change.pause=1"], 2, "did you mean 'changes'?"),
    "an option without a value": (None, ["--option", "changes.pause"], 2, "TRACK.NAME=VALUE"),
    "an option without a track": (None, ["--option", "pause=1"], 2, "got 'pause=1'"),
    "no job": (None, ["--jobs", "0"], 2, "jobs must be a positive integer, got 0"),
    "less than no job": (None, ["--jobs", "-1"], 2, "jobs must be a positive integer, got -1"),
    "an unknown rule": (None, ["--person", "larges"], 2, "did you mean 'largest'?"),
    "a negative person": (None, ["--person", "-1"], 2, "'-1'"),
    "an unknown engine": (None, ["--engine", "rya"], 2, "engine 'rya'; did you mean 'ray'?"),
    "no frames a second": (None, ["--fps", "0"], 2, "a positive number"),
    "frames without end": (None, ["--fps", "1e9"], 2, "at most 1000 frames per second, got 1000000000.0"),
    "no number of frames a second": (None, ["--fps", "nan"], 2, "a positive number"),
    "a source without a name": (lambda place, videos: "", [], 2, "source must be a path or the name of a corpus, got ''"),
    "a source with a name of 5000 letters": (lambda place, videos: "a" * 5000, [], 2, "source must be a path or the name of a corpus"),
    "a video whose name is no text": (made(os.fsdecode(b"bad\xff.mkv"), b"x", lambda path: path.parent), [], 2, "bad\\xff.mkv: the name must be UTF-8"),
    "an output without a name": (None, ["--out", " "], 2, "--out must be a path, got ' '"),
    "an output at the root": (None, ["--out", "/"], 2, "--out must be a folder that can be created, got /"),
    "a list that is a folder": (None, ["--skip-bad", "EXISTING"], 2, "existing: cannot be written (Is a directory)"),
    "something else at the output": (None, ["--out", "EXISTING"], 2, "already exists and was not made by signx-hf extract"),
    "a file at the output": (None, ["--out", "FILE"], 2, "already exists and was not made by signx-hf extract"),
    "an output in the source": (None, ["--out", "VIDEOS/out"], 2, "must not be inside the source "),
    "a cache in the source": (None, ["--cache", "VIDEOS/rows"], 2, "Choose another --cache"),
    "a cache in the output": (None, ["--cache", "OUT/rows"], 2, "the cache must not be inside the output"),
    "an output that cannot be written": (None, ["--out", "/proc/out"], 2, "/proc/out: cannot be written ("),
    "an output below a file": (None, ["--out", "FILE/out"], 2, "file/out: cannot be written ("),
    "a cache that is a file": (None, ["--cache", "FILE"], 2, "file: the cache cannot be written ("),
    "a list that cannot be written": (None, ["--skip-bad", "/proc/no/list"], 2, "cannot be written (No such file or directory)"),
    "no such video": (table("id\tvideo\na\tnowhere.mp4\n"), [], 1, "nowhere.mp4: no such file or folder"),
    "a row without video": (table("id\tvideo\na\t\nb\tVIDEO\n"), [], 1, "row 1 ('a'): must have a video or frames"),
    "an end at the start": (saved(id=["a"], video=["VIDEO"], start=[2.0], end=[2.0]), [], 1, "got 2.0 and 2.0 seconds"),
    "a negative start": (saved(id=["a"], video=["VIDEO"], start=[-2.0], end=[2.0]), [], 1, "got -2.0 and 2.0 seconds"),
    "a start beyond the video": (table("id\tvideo\tstart\na\tVIDEO\t90\n"), [], 1, "clip 'a' starts at 90 s and the last frame is at 0.533 s"),
    "a rate that is none": (saved(id=["a"], video=["VIDEO"], fps=[-5.0]), [], 1, "a positive number of frames per second"),
    "a start and an end between two frames": (table("id\tvideo\tstart\tend\na\tVIDEO\t0.01\t0.02\n"), [], 1, "clip 'a' is from 0.01 to 0.02 s, where there is no frame (the next is at 0.067 s)"),
    "all bad and all left out": (table("id\tvideo\na\tno.mp4\n"), ["--skip-bad", "LIST"], 1, "1 of 1 clips failed"),
    "a clip that an extractor refuses": (table(GOOD), ["--option", "changes.fail=a"], 1, "track 'changes': ValueError: this clip is not to my liking"),
}  # fmt: skip


@pytest.mark.parametrize("what", WRONG)
def test_wrong_input(what, videos, tmp_path, capsys):
    make, arguments, expected, words = WRONG[what]
    (tmp_path / "existing").mkdir()
    (tmp_path / "existing" / "precious").write_text("keep me")
    (tmp_path / "file").write_text("keep me")
    places = {
        "EXISTING": tmp_path / "existing", "FILE": tmp_path / "file", "VIDEOS": videos[0], "OUT": tmp_path / "out",
        "LIST": tmp_path / "list.tsv",
    }  # fmt: skip
    arguments = [
        next((str(path) + text.removeprefix(name) for name, path in places.items() if text.startswith(name)), text)
        for text in arguments
    ]
    source = videos[0] if make is None else make(tmp_path, videos[0])
    before = folder_files(videos[0])
    capsys.readouterr()
    defaults = ["--tracks", CHANGES, "--out", tmp_path / "out", "--cache", tmp_path / "rows"]
    code, text, errors = run(capsys, source, *defaults, *arguments)
    assert (code, text) == (expected, "")
    assert any(words in line for line in errors), errors
    assert all(line.startswith("signx-hf: ") for line in errors)
    assert not (tmp_path / "out").exists() and not list(tmp_path.glob(".out*"))
    assert (tmp_path / "existing" / "precious").read_text() == (tmp_path / "file").read_text() == "keep me"
    assert folder_files(videos[0]) == before


def test_wrong_python_arguments(videos, tmp_path):
    for arguments, words in (
        ((7, [CHANGES]), "source must be .* got int"),
        ((videos[0], CHANGES), "tracks must be a list"),
        ((to_dataset([]), [CHANGES]), "a dataset in memory: must have at least one row"),
    ):
        with pytest.raises(SignXError, match=words):
            extract(*arguments, tmp_path / "out")
    for arguments, words in (
        ({"jobs": True}, "jobs must be a positive integer, got True"),
        ({"options": {"changes": 3}}, r"options must be .* got {'changes': 3}"),
        ({"options": None}, "options must be .* got None"),
        ({"fps": 10**400}, "at most 1000 frames per second"),
    ):
        with pytest.raises(SignXError, match=words):
            ExtractOptions(**arguments)
    assert ExtractOptions(fps=np.float32(5)).fps == 5.0 and type(ExtractOptions(fps=np.float32(5)).fps) is float
    for tracks in (None, 3, [None]):
        with pytest.raises(SignXError, match="tracks must be a list of at least one name"):
            extract(videos[0], tracks, tmp_path / "out")


OWN = {
    "name = None": "got None and 4",
    "name = 'a.b'": "got 'a.b' and 4",
    "width = 0": "got 'squares' and 0",
    "to_row = abc.abstractmethod(lambda self, observation: 1)": "Own does not define to_row",
    "__init__ = lambda self: 1 / 0": "(ZeroDivisionError: division by zero)",
    "layout = None": "TrackLayout of track 'squares' and width 4, got None",
    "layout = extract_probe.Centres().layout": "must be a TrackLayout of track 'squares' and width 4",
    "fingerprint = ''": "fingerprint must be a non-empty string, got ''",
    "fingerprint = property(lambda self: 1 / 0)": "layout or fingerprint failed (ZeroDivisionError: division by zero)",
    "load = lambda self: int('a\\nb')": "track 'squares': the extractor cannot be loaded: ValueError: invalid literal",
    "name = = 3": "cannot be imported (SyntaxError: ",
    "name = 1 / 0": "cannot be imported (ZeroDivisionError: division by zero)",
    "raise SystemExit(3)": "cannot be imported (SystemExit: 3)",
}


@pytest.mark.parametrize("fault", OWN)
def test_an_extractor_of_ones_own_is_checked_before_the_work(fault, videos, tmp_path, monkeypatch):
    module = f"own_{list(OWN).index(fault)}"
    code = f"import abc, extract_probe\nclass Own(extract_probe.Squares):\n    {fault}\n"
    (tmp_path / f"{module}.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(SignXError, match=re.escape(OWN[fault])) as error:
        extract(videos[0], [f"{module}:Own"], tmp_path / "out")
    assert "\n" not in str(error.value) and not isinstance(error.value, ExtractFailed)


def test_an_extractor_that_cannot_travel(videos, tmp_path, monkeypatch):
    (tmp_path / "own_lambda.py").write_text(
        "import extract_probe\nclass Own(extract_probe.Squares):\n"
        "    def __init__(self):\n        super().__init__()\n        self.f = lambda: 0\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(SignXError, match="cannot be sent to another process .* one job"):
        extract(videos[0], ["own_lambda:Own"], tmp_path / "out", ExtractOptions(jobs=2))
    assert len(extract(videos[0], ["own_lambda:Own"], tmp_path / "out")) == 4


def test_not_a_number_of_jobs(capsys):
    with pytest.raises(SystemExit) as stop:
        run(capsys, "x", "--tracks", "y", "--out", "z", "--jobs", "abc")
    assert stop.value.code == 2 and "invalid int value: 'abc'" in capsys.readouterr().err


def test_a_full_disk(videos, tmp_path):
    """Files may not grow beyond a size: the rows of a clip fit, the dataset does not; then not even the rows."""
    code = (
        "import resource, sys\nfrom signx_hf.cli import main\nlimit = int(sys.argv.pop(1))\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))\nsys.exit(main(sys.argv[1:]))"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")])}
    arguments = ["extract", str(videos[0]), "--tracks", CHANGES, "--out", str(tmp_path / "out")]
    for limit, words in (
        (
            4000,
            f"{tmp_path}/out: cannot be written (File too large). All rows are in {tmp_path}/out.cache",
        ),
        (
            300,
            f"{tmp_path}/new: the cache cannot be written (File too large)",
        ),
    ):
        cache = [] if limit == 4000 else ["--cache", str(tmp_path / "new")]
        command = [sys.executable, "-c", code, str(limit), *arguments, *cache]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
        assert done.returncode == 2, done.stderr
        assert len(done.stderr.splitlines()) == 1 and words in done.stderr
        assert not (tmp_path / "out").exists() and not list(tmp_path.rglob("*.partial"))
    report = run_extract(videos[0], [CHANGES], tmp_path / "out", ExtractOptions())
    assert (report.cached, report.clips) == (4, 4)


def test_cache_cannot_be_read(videos, tmp_path):
    cache = RowCache(tmp_path / "rows")
    cache.prepare()
    key = "0" * 64
    cache.write(key, b"x")
    place = cache._path(key)
    place.unlink()
    place.mkdir()  # as good as unreadable, and so for the superuser too
    with pytest.raises(SignXError, match="rows: the cache cannot be read"):
        cache.read(key)
    with pytest.raises(SignXError, match="rows: the cache cannot be written"):
        cache.write(key, b"x")
    assert not list((tmp_path / "rows").rglob("*.partial"))


def test_mediapipe_on_a_real_clip(tmp_path):
    """The registered track, on ten frames from the middle of a video; the same rows from the start of another run."""
    pytest.importorskip("mediapipe")
    path = data_folder("msl150", "dolor_001.mp4")
    rows = [
        make_row(id=name, video=path, start=start, end=start + 0.17)
        for name, start in (("later", 0.8), ("middle", 0.5))
    ]
    dataset = extract(to_dataset(rows), ["mediapipe"], tmp_path / "both")
    alone = extract(to_dataset(rows[1:]), ["mediapipe"], tmp_path / "alone")
    assert alone[0]["poses"] == dataset[1]["poses"] != dataset[0]["poses"]
    for row in dataset:
        stored = decode_poses(row["poses"])
        assert stored.track_dims == {"mediapipe": 258} and 3 <= len(stored.values) <= 11
        assert stored.mask.all() and stored.notes["mediapipe.units"]
