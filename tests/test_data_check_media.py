"""`data check` counts what is shown: frames behind edit lists, in every container, at every rate, of every kind of file."""

import struct

import av
import numpy as np
import pytest
from video_files import write

from signx_hf.cli import main
from signx_hf.data.check import CheckOptions, check_dataset
from signx_hf.data.check_files import check_frames, check_track, check_video
from signx_hf.data.schema import encode_poses, make_row, to_dataset

FRAMES, RATE = 40, 25
CODECS = {
    "mp4": "libx264", "mov": "libx264", "mkv": "libx264", "webm": "libvpx-vp9", "ts": "libx264", "avi": "mpeg4", "mpg": "mpeg2video",
    "gif": "gif",
}  # fmt: skip


def encode(path, codec, frames=FRAMES, rate=RATE, **options):
    """A video of noise, so that nothing is too small to be stored."""
    dice = np.random.default_rng(0)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate, options=options)
        stream.width = stream.height = 64
        stream.pix_fmt = "rgb8" if codec == "gif" else "yuv420p"
        for index in range(frames):
            picture = av.VideoFrame.from_ndarray(dice.integers(0, 255, (64, 64, 3), dtype=np.uint8), format="rgb24")
            picture = picture.reformat(format=stream.pix_fmt)
            picture.pts = index
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    return path


def decoded(path) -> int:
    with av.open(f"file:{path}") as container:
        return sum(1 for _ in container.decode(video=0))


def cut(path, seconds, first):
    """Changes the edit list of an MP4 file: `seconds` long, from `first` seconds on, as trimming in a phone does."""
    data = bytearray(path.read_bytes())
    place, timed = data.index(b"elst"), data.index(b"mdhd")
    (scale,) = struct.unpack_from(">I", data, timed + 16)
    assert struct.unpack_from(">I", data, place + 8) == (1,), "one edit"
    struct.pack_into(">Ii", data, place + 12, round(1000 * seconds), round(scale * first))
    path.write_bytes(data)
    return path


def faults(*rows, **options):
    report = check_dataset(to_dataset(rows, "train"), CheckOptions(**options))
    return [(finding.fault, finding.message) for finding in report.findings]


@pytest.mark.parametrize("ending", CODECS)
def test_every_container_is_counted_as_a_decoder_does(tmp_path, ending):
    path = encode(tmp_path / f"clip.{ending}", CODECS[ending])
    media = check_video(str(path))
    assert media.frames == decoded(path) == FRAMES
    assert media.fps == pytest.approx(RATE, rel=0.02) and media.seconds == pytest.approx(FRAMES / RATE, abs=0.05)
    assert check_video(path.read_bytes()).frames == FRAMES
    glosses = ["A"] * 6  # six equal glosses need eleven steps; 40 frames give ten
    message = "40 frames give 10 steps, but CTC needs 11 for 6 glosses and 5 repeats"
    assert faults(make_row(id="a", video=path, glosses=glosses)) == [("ctc-infeasible", message)]
    stored = {"bytes": path.read_bytes(), "path": None}
    assert faults(make_row(id="a", video=stored, glosses=glosses)) == [("ctc-infeasible", message)]
    assert faults(make_row(id="a", video=path, glosses=glosses[1:])) == []


def test_frames_that_an_edit_list_hides_do_not_count(tmp_path):
    path = cut(encode(tmp_path / "trimmed.mp4", "libx264", frames=200, bf="2"), seconds=3.0, first=2.0)
    shown = decoded(path)
    with av.open(str(path)) as container:
        assert container.streams.video[0].frames == 200 and 74 <= shown <= 76
    assert abs(check_video(str(path)).frames - shown) <= 1
    row = {"id": "a", "video": path, "glosses": ["A"], "fps": 25.0}
    assert faults(make_row(num_frames=shown, **row)) == []
    assert faults(make_row(num_frames=200, **row)) == [
        ("frame-count", f"{shown} frames in {path}, but 200 are annotated")
    ]
    glosses = [f"G{n}" for n in range(30)]  # 200 frames would have room
    assert [fault for fault, _ in faults(make_row(id="a", video=path, glosses=glosses))] == ["ctc-infeasible"]


def test_packets_without_a_frame_of_their_own_are_decoded_where_it_matters(tmp_path):
    """A frame of VP8 that is never shown is a packet: the number of packets decides nothing alone."""
    path = encode(
        tmp_path / "a.webm", "libvpx", 60, **{"auto-alt-ref": "1", "lag-in-frames": "25", "arnr-maxframes": "15"}
    )
    shown = decoded(path)
    assert faults(make_row(id="a", video=path, glosses=["A"], num_frames=shown, fps=25.0)) == []
    media = check_video(str(path))
    media.frames += 3  # as if so many were hidden
    assert media.decode() == shown and media.decode() == shown


def test_rows_at_another_rate_agree_with_the_video_that_they_were_extracted_from(tmp_path):
    path = encode(tmp_path / "a.mp4", "libx264")
    for fps in (12.5, 10, 15, 50, 29.97):
        frames = round(FRAMES / RATE * fps)
        poses = encode_poses({"hands": np.ones((frames, 4))}, fps=fps)
        row = make_row(id="a", video=path, fps=fps, num_frames=frames, glosses=["A"], poses=poses)
        assert faults(row) == [], fps
        row["num_frames"] = None
        assert faults(row) == [], "told by the poses"
    row = make_row(id="a", video=path, fps=12.5, num_frames=30, glosses=["A"])
    assert faults(row) == [("frame-count", f"40 frames in {path}, but 30 are annotated")]
    np.savez(tmp_path / "half.npz", hands=np.ones((20, 4)), fps=12.5)
    tracks = [{"name": "hands", "path": str(tmp_path / "half.npz")}]
    assert faults(make_row(id="a", video=path, glosses=["A"], tracks=tracks)) == []


def test_a_variable_rate_counts_its_own_seconds(tmp_path):
    """90 frames at 30 frames/s, then 53 at 10: 8.3 s, which at 25 frames/s are 207 frames."""
    times = [round(1000 * n / 30) for n in range(90)] + [3000 + 100 * n for n in range(53)]
    path = write(tmp_path / "a.mkv", [np.full((36, 36, 3), n, np.uint8) for n in range(143)], 1000, times=times)
    media = check_video(str(path))
    assert media.frames == 143 and media.seconds == pytest.approx(8.3, abs=0.11)
    assert media.fps == pytest.approx(143 / 8.3, rel=0.02)
    assert faults(make_row(id="a", video=path, fps=25.0, num_frames=207, glosses=["A"])) == []


def test_parts_of_a_video_have_the_rate_of_the_video(tmp_path):
    path = encode(tmp_path / "a.mkv", "libx264")
    rows = [make_row(id="a", video=path, start=0.4, end=0.8, glosses=["A"] * 3)]
    assert [fault for fault, _ in faults(*rows)] == ["ctc-infeasible"], "ten frames give three steps for five"
    assert faults(make_row(id="a", video=path, start=0.8, glosses=["A", "B"], num_frames=20)) == []
    message = "20 frames give 5 steps, but CTC needs 7 for 4 glosses and 3 repeats"
    assert faults(make_row(id="a", video=path, start=0.8, glosses=["A"] * 4)) == [("ctc-infeasible", message)]


def test_what_could_not_be_checked_is_said(tmp_path, capsys):
    path = encode(tmp_path / "a.mkv", "libx264")
    dataset = to_dataset([make_row(id="a", video=path, glosses=["A"] * 40)], "train")
    report = check_dataset(dataset, CheckOptions(media="none"))
    assert report.findings == [] and "train: the number of frames of 1 clip is unknown" in report.to_text()
    assert len(report.notes()) == 1 and report.notes()[0] in report.to_json()
    assert check_dataset(dataset).notes() == []
    (tmp_path / "t.tsv").write_text("video\tglosses\na.mkv\tA\n")
    assert main(["data", "check", str(tmp_path / "t.tsv"), "--media", "stat"]) == 0
    assert "note: train: the number of frames of 1 clip" in capsys.readouterr().out


def test_names_that_look_like_protocols_are_files(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name in ("12:30 talk.mp4", "concat:a.mp4", "http:x.mp4", "pipe:0.mp4"):
        encode(tmp_path / "clip.mp4", "libx264").rename(tmp_path / name)
        assert check_video(name).frames == FRAMES
    (tmp_path / "t.tsv").write_text("id\tvideo\tglosses\na\t12:30 talk.mp4\tA\n")
    assert main(["data", "check", "t.tsv"]) == 0
    assert "0 errors, 0 warnings" in capsys.readouterr().out


def test_pose_files_and_image_folders_are_counted_too(tmp_path):
    pytest.importorskip("PIL")
    from PIL import Image

    folder = tmp_path / "frames"
    folder.mkdir()
    for number in range(6):
        Image.new("RGB", (8, 8), (number, 0, 0)).save(folder / f"{number}.bmp")
    (folder / ".hidden.png").write_bytes(b"x")
    assert check_frames(str(folder)).frames == 6, "as the decoder reads it"
    np.savez(tmp_path / "landmarks.npz", left_hand=np.ones((7, 21, 3), np.float32), fps=30.0)
    np.save(tmp_path / "array.npy", np.ones((5, 384)))
    assert check_track(str(tmp_path / "landmarks.npz")).frames == 7
    assert check_track(str(tmp_path / "array.npy")).frames == 5
    (tmp_path / "empty.pose").write_bytes(b"")
    assert check_track(str(tmp_path / "empty.pose"))[0] == "unreadable-file"
    tracks = [{"name": "poses", "path": str(tmp_path / "array.npy")}]
    assert [fault for fault, _ in faults(make_row(id="a", glosses=["A"] * 3, tracks=tracks))] == ["ctc-infeasible"]


def test_pose_format_files_are_counted(tmp_path):
    pytest.importorskip("pose_format")
    from pose_format_files import make_pose, standard_components

    with open(tmp_path / "a.pose", "wb") as file:
        make_pose(standard_components("holistic"), frames=9).write(file)
    media = check_track(str(tmp_path / "a.pose"))
    assert (media.frames, media.fps) == (9, 25)


def test_signers_in_two_splits_are_found_unasked():
    def splits(train, test):
        named = {"train": train, "test": test}
        return {
            split: to_dataset([make_row(id=f"{split}{n}", glosses=["A"], signer=signer, num_frames=9) for n, signer in enumerate(who)], split)
            for split, who in named.items()
        }  # fmt: skip

    def found(who, **options):
        return [(f.fault, f.severity, f.message) for f in check_dataset(who, CheckOptions(**options)).findings]

    who = splits(["ann", "bob", None], ["bob", "cleo", None])
    message = "1 signer is also in train (bob), so results on one say little about signers never seen"
    assert found(who) == [("shared-signer", "warning", message)]
    assert found(who, same_signer=True) == [("leaked-signer", "error", "signer bob has 1 clips, and 1 in train")]
    assert found(splits(["ann"], ["cleo"])) == [] == found(splits([None], [None]))
