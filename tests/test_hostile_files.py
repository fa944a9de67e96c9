"""Files that are not what their name says, options that unfold, and places that vanish: one line, and nothing waits."""

import json
import multiprocessing
import os
import shutil
import warnings

import av
import hostile_worker
import numpy as np
import pytest
import torch
from helpers import said
from make_model import FPS, make_frames, make_model, make_poses, make_processor, save_folder, write_video

from signx_hf import SignXStreamer, SignXVideoProcessor
from signx_hf.cli import main
from signx_hf.common.options import option_value, pipeline_options
from signx_hf.common.reading import load_json, load_yaml, read_regular
from signx_hf.data.corpus import read_text
from signx_hf.data.errors import SignXDataError
from signx_hf.hub.about import read_about
from signx_hf.hub.checks import split_card
from signx_hf.jobs.local_engine import _serve
from signx_hf.poses.cache import RowCache
from signx_hf.processing.errors_signx import SignXError, SignXVideoError, SignXWarning
from signx_hf.recognition.buckets import length_of
from signx_hf.recognition.outputs import STATE, SUM, OutputFolder, SignXOutputError
from signx_hf.training.arguments import read_yaml

RESULT = {"glosses": ["A"], "text": "A", "n_best": [{"glosses": ["A"], "score": -1.0}], "duration": 1.0, "known": 0.5,
          "segments": [{"gloss": "A", "start": 0.25, "end": 0.5, "confidence": 0.5}], "signer": {}}  # fmt: skip


# ----------------------------------------------------------------------------------------------------- names that lie

NAMING = {
    "a playlist": "#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:1.0,\n{path}\n#EXT-X-ENDLIST\n",
    "a list to join": "ffconcat version 1.0\nfile '{path}'\n",
    "a session": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\n"
    "a=rtpmap:96 H264/90000\n",
    "a manifest": "<?xml version='1.0'?><MPD xmlns='urn:mpeg:dash:schema:mpd:2011' type='static' "
    "mediaPresentationDuration='PT1S'><Period><AdaptationSet mimeType='video/mp4'><Representation id='1' bandwidth='1'>"
    "<BaseURL>{path}</BaseURL></Representation></AdaptationSet></Period></MPD>",
}


@pytest.mark.parametrize("name", ["clip.mp4", "clip.ts", "clip.m3u8"])
@pytest.mark.parametrize("kind", NAMING)
def test_a_file_that_names_other_files_is_no_video(kind, name, tmp_path):
    other = tmp_path / "other.ts"
    with av.open(str(other), "w") as container:
        stream = container.add_stream("mpeg2video", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        for frame in make_frames(30, height=64, width=64):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    path = tmp_path / name
    path.write_text(NAMING[kind].format(path="other.ts"))
    with pytest.raises(SignXVideoError, match="cannot be opened as a video"):
        SignXVideoProcessor().decode(path)
    with pytest.raises(SignXVideoError, match="cannot be opened as a video"):
        SignXVideoProcessor().decode(path.read_bytes())
    assert length_of(str(path)) is None


MEDIA = {
    "mp4": "mpeg4", "mov": "mpeg4", "m4v": "mpeg4", "3gp": "mpeg4", "mkv": "mpeg4", "webm": "libvpx", "avi": "mpeg4",
    "ts": "mpeg2video", "mpg": "mpeg1video", "flv": "flv", "wmv": "wmv2", "asf": "wmv2", "mxf": "mpeg2video", "ivf": "libvpx",
    "nut": "mpeg4", "mjpeg": "mjpeg", "y4m": "rawvideo", "gif": "gif", "apng": "apng", "h264": "libx264", "ogv": "libvpx",
}  # fmt: skip


@pytest.mark.parametrize("ending", MEDIA)
def test_formats_of_media_are_read(ending, tmp_path):
    path = tmp_path / f"clip.{ending}"
    formats = {"gif": "rgb8", "apng": "rgb24", "mjpeg": "yuvj420p"}
    with av.open(str(path), "w") as container:
        try:
            stream = container.add_stream(MEDIA[ending], rate=25)
        except Exception as error:
            pytest.skip(f"this FFmpeg does not write {ending} ({error})")
        stream.width, stream.height, stream.pix_fmt = 64, 64, formats.get(ending, "yuv420p")
        for frame in make_frames(12, height=64, width=64):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SignXWarning)  # raw streams have no time stamps
        for video in (path, path.read_bytes()):
            assert len(SignXVideoProcessor(fps=None).decode(video).frames) == 12


def test_a_picture_is_read_by_its_name_and_not_as_a_pattern(tmp_path):
    from PIL import Image

    folder = tmp_path / "frames"
    folder.mkdir()
    for name, level in (("a%02d.jpg", 200), ("a01.jpg", 10)):
        Image.fromarray(np.full((32, 32, 3), level, np.uint8)).save(folder / name)
    frames = SignXVideoProcessor(size={"height": 32, "width": 32}, fps=None).decode(folder).frames
    assert sorted(round(float(frame.mean()), -1) for frame in frames) == [10, 200]


# -------------------------------------------------------------------------------------------------------------- pipes


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no pipes with names")
def test_a_pipe_in_the_place_of_a_file_is_refused_and_not_waited_for(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(OSError, match="not a regular file"):
        read_regular(pipe)
    with pytest.raises(SignXDataError, match="not a regular file"):
        read_text(pipe)
    with pytest.raises(SignXError, match="not a regular file"):
        read_about(pipe)
    output = OutputFolder(tmp_path / "out", ("txt",))
    output.prepare()
    output.write("clip", "clip.mp4", "key", RESULT)
    record = output._record("clip")
    record.unlink()
    os.mkfifo(record)
    assert output.record("clip") is None
    output.check_free("clip")
    output.write("clip", "clip.mp4", "key", RESULT)
    assert output.record("clip")["key"] == "key"
    output.target("clip", "txt").unlink()
    os.mkfifo(output.target("clip", "txt"))
    with pytest.raises(SignXError, match="was not written by this command"):
        output.check_free("clip")
    cache = RowCache(tmp_path / "cache")
    cache.write("ab", b"rows")
    cache._path("ab").unlink()
    os.mkfifo(cache._path("ab"))
    with pytest.raises(SignXError, match="not a regular file"):
        cache.read("ab")


# ------------------------------------------------------------------------------------------------------------ options

LONG, DEEP = "9" * 5000, "[" * 100_000


@pytest.mark.parametrize("text", [LONG, f"[{LONG}]", DEEP, DEEP + "]" * 100_000, '{"a":' * 50_000])
def test_an_option_that_python_cannot_hold_is_refused_in_one_line(text):
    with pytest.raises(SignXError, match="must be a plain value") as error:
        pipeline_options([f"num_beams={text}"])
    assert "\n" not in str(error.value) and len(str(error.value)) < 300
    with pytest.raises(ValueError, match="digits|nested"):
        load_json(text)


def test_options_keep_their_values():
    assert option_value("12") == 12 and option_value("[S01, S02]") == ["S01", "S02"] and option_value("ctc") == "ctc"
    assert option_value("9" * 300) == int("9" * 300) and option_value("[[1], [2]]") == [[1], [2]]


@pytest.mark.parametrize("command", [
    ["recognize", "clip.mp4", "--model", "demo", "--option"], ["data", "check", "demo.csv", "--option"],
    ["extract", "videos", "--tracks", "mediapipe", "--out", "out", "--option"],
])  # fmt: skip
@pytest.mark.parametrize("text", [LONG, DEEP])
def test_commands_answer_it_without_a_traceback(command, text, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    name = "mediapipe.model_complexity" if command[0] == "extract" else "n_best"
    try:
        code = main([*command, f"{name}={text}"])
    except SystemExit as stop:
        code = stop.code
    errors = capsys.readouterr().err
    assert code not in (0, None) and "Traceback" not in errors and "must be a plain value" in errors


@pytest.mark.parametrize("number", [LONG, DEEP])
def test_a_row_of_a_table_and_a_config_of_a_model_with_such_a_number_are_faults_of_the_file(number, tmp_path, capsys):
    table = tmp_path / "clips.jsonl"
    table.write_text('{"video": "a.mp4", "fps": ' + number + "}\n")
    assert main(["data", "check", str(table)]) != 0
    assert "clips.jsonl" in "".join(capsys.readouterr())
    (tmp_path / "config.json").write_text('{"model_type": "signx", "fps": ' + number + "}")
    assert main(["recognize", str(tmp_path / "a.mp4"), "--model", str(tmp_path)]) == 2
    assert "config.json must hold a JSON object" in capsys.readouterr().err


# --------------------------------------------------------------------------------------------------------------- YAML


def test_aliases_that_stand_for_little_are_read(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text("one: &x [1, 2]\ntwo: *x\nbase: &b {a: 1}\nthree: {<<: *b, c: *x}\n")
    assert read_yaml(path) == {"one": [1, 2], "two": [1, 2], "base": {"a": 1}, "three": {"a": 1, "c": [1, 2]}}


@pytest.mark.parametrize("text", ["a: &a [*a]", "a: *nowhere", "{" * 5000, "a: 2021-13-45", "a: !!python/name:os.x", "a: 0x", "- &a {<<: *a}"])  # fmt: skip
def test_yaml_that_cannot_be_held_names_its_file(text, tmp_path):
    path = tmp_path / "facts.yaml"
    path.write_text(text)
    with pytest.raises(SignXError) as error:
        read_yaml(path)
        read_about(path)
    assert str(path) in str(error.value) and "\n" not in str(error.value)
    with pytest.raises(SignXError) as error:
        read_about(path)
    assert str(path) in str(error.value) and "\n" not in str(error.value)


def test_work_on_deep_yaml_ends_at_its_depth():
    with pytest.raises(ValueError, match="nested deeper than 100"):
        load_yaml("{" * 100_000)
    assert load_yaml("[" * 90 + "]" * 90)


def test_a_card_is_not_unfolded():
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 9)]
    with pytest.raises(SignXError, match=said("README.md ... more than 100,000 values")):
        split_card("---\n" + "\n".join(lines) + "\n---\ntext\n")
    assert split_card("---\nlicense: mit\n---\ntext\n") == ({"license": "mit"}, "text\n")


# ------------------------------------------------------------------------------------------------------------- folders


@pytest.fixture
def output(tmp_path):
    folder = OutputFolder(tmp_path / "out", ("txt", "json"))
    folder.prepare()
    return folder


def test_a_folder_that_vanishes_ends_the_run(output):
    output.write("one", "one.mp4", "key", RESULT)
    shutil.rmtree(output.folder)
    with pytest.raises(SignXOutputError, match=said("cannot be written ... --resume")):
        output.write("two", "two.mp4", "key", RESULT)
    assert not output.folder.exists()  # a new one would hold the rest of the clips alone


def test_a_folder_that_can_no_longer_be_written_ends_the_run(output):
    parts = output.folder / STATE / "parts"
    parts.rmdir()
    parts.write_text("")  # root may write to a folder whatever its mode
    with pytest.raises(SignXOutputError, match="make the folder writable"):
        output.write("two", "two.mp4", "key", RESULT)


def test_one_file_that_cannot_be_written_does_not_end_the_run(output):
    output.target("one", "txt").mkdir()
    with pytest.raises(SignXError, match="one.txt: cannot be written") as error:
        output.write("one", "one.mp4", "key", RESULT)
    assert not isinstance(error.value, SignXOutputError)


@pytest.mark.parametrize("length, fits", [(250, True), (251, False)])
def test_a_name_that_is_too_long_is_told_as_such(output, length, fits):
    stem = "x" * length
    if fits:
        output.check_free(stem)
        output.write(stem, f"{stem}.mp4", "key", RESULT)
        assert output.record(stem)
    else:
        with pytest.raises(SignXError, match=said("at most 255 bytes, got 256 for ....json. Rename the clip")):
            output.check_free(stem)


DAMAGES = {
    "empty": lambda text: "",
    "cut": lambda text: text[: len(text) // 2],
    "other key": lambda text: text.replace('"key": "key"', '"key": "yek"'),
    "other time": lambda text: text.replace("0.25", "0.35"),
    "hashes": lambda text: json.dumps({**json.loads(text), "written": {"txt": 5, "json": None}}),
    "segments": lambda text: json.dumps({**json.loads(text), "result": {"segments": [7]}}),
    "list": lambda text: "[]",
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_record_is_made_again(damage, output):
    output.write("one", "one.mp4", "key", RESULT)
    path = output._record("one")
    intact = path.read_text()
    path.write_text(DAMAGES[damage](intact))
    assert output.record("one") is None
    output.check_free("one")
    output.write("one", "one.mp4", "key", RESULT)
    assert output.record("one") == json.loads(intact)
    path.write_text(DAMAGES[damage](intact))
    output.target("one", "txt").write_text("corrected by hand")
    with pytest.raises(SignXError, match=said("one.txt: already exists ... was changed since")):
        output.write("one", "one.mp4", "key", RESULT)
    assert output.target("one", "txt").read_text() == "corrected by hand"


def test_a_record_of_before_has_no_checksum_and_is_used(output):
    output.write("one", "one.mp4", "key", RESULT)
    record = json.loads(output._record("one").read_text())
    del record[SUM]
    output._record("one").write_text(json.dumps(record))
    assert output.record("one") == record
    output.target("one", "txt").unlink()
    assert output.finish("one", "one.mp4", record) and output.target("one", "txt").exists()


def test_resume_recognizes_a_clip_whose_record_is_damaged(tmp_path, capsys):
    save_folder(tmp_path / "model", "SignXForLatentCTC")
    clip = write_video(tmp_path / "clip.mkv", make_frames(12))
    arguments = [
        "recognize",
        str(clip),
        "--model",
        str(tmp_path / "model"),
        "--out",
        str(tmp_path / "out"),
        "--resume",
        "--format",
        "srt",
    ]
    assert main(arguments) == 0
    capsys.readouterr()
    record = OutputFolder(tmp_path / "out", ("srt",))._record("clip")
    content = json.loads(record.read_text())
    content["result"]["segments"] = [{"gloss": 1}]
    del content[SUM]  # as of an older version, which could not tell
    record.write_text(json.dumps(content))
    next((tmp_path / "out").glob("clip.*")).unlink()
    assert main(arguments) == 0
    assert "1 recognized" in capsys.readouterr().out


# ------------------------------------------------------------------------------------------------------------- workers


def test_a_worker_whose_parent_is_gone_ends_without_a_word(tmp_path):
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    log = tmp_path / "stderr"
    process = context.Process(target=silent, args=(theirs, str(log)))
    process.start()
    theirs.close()
    assert ours.recv() is None
    ours.send([1, 2])
    ours.send([3])
    assert ours.recv().index == 1
    ours.close()  # with results unread, which resets the connection
    process.join()
    assert (process.exitcode, log.read_text()) == (0, "")


def silent(pipe, log: str) -> None:
    with open(log, "w") as file:
        os.dup2(file.fileno(), 2)
    _serve(hostile_worker.Echo(), pipe)


# ------------------------------------------------------------------------------------------------------------ streamer


@pytest.fixture(scope="module")
def parts():
    return make_model("SignXForLatentCTC"), make_processor()


ODD_TIMES = {
    "text": "now", "a list of text": ["0.1"], "nothing in a list": [None], "lists of two lengths": [[0.0], [0.0, 1.0]],
    "a mapping": {"t": 0.0}, "a date": np.datetime64("2020-01-01"), "a complex number": 1j, "a huge integer": [10**400],
    "an object": object(), "a set": {0.0}, "truth": [True], "not a number": float("nan"), "two for one": [0.0, 1.0],
}  # fmt: skip


@pytest.mark.parametrize("case", ODD_TIMES)
def test_odd_time_stamps_are_refused_and_change_nothing(case, parts):
    streamer = SignXStreamer(*parts, "poses")
    poses = {name: values[:1] for name, values in make_poses(4).items()}
    with pytest.raises(SignXError, match="`timestamps`") as error:
        streamer.push(poses, ODD_TIMES[case])
    assert "\n" not in str(error.value)
    assert streamer.push(poses, torch.tensor([0.5], dtype=torch.bfloat16)).time == 0.5


@pytest.mark.parametrize("frames", ["text", [[1, 2], [3]], None, torch.zeros(8, 8, 3, dtype=torch.bfloat16), {"a": 1}])
def test_odd_frames_are_refused(frames, parts):
    with pytest.raises(SignXError, match="frames must be"):
        SignXStreamer(*parts, "video").push(frames)


def test_rows_in_bfloat16_are_those_in_float32(parts):
    poses = {name: torch.from_numpy(values).bfloat16() for name, values in make_poses(60).items()}
    found = []
    for kind in (torch.bfloat16, torch.float32):
        streamer = SignXStreamer(*parts, "poses")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SignXWarning)
            streamer.push({name: values.to(kind) for name, values in poses.items()}, torch.arange(60) / FPS)
        found.append(streamer.flush().final)
    assert found[0] == found[1]
    masks = {name: torch.ones(60, dtype=torch.bfloat16) for name in poses}
    SignXStreamer(*parts, "poses").push({**poses, "masks": masks})
