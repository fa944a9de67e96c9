"""Streaming: what is final stays, how it is pushed does not matter, memory is constant; and `signx-hf live`."""

import json
import threading
import time
import warnings

import numpy as np
import pytest
import torch
from make_model import (
    FPS,
    TRACKS,
    make_frames,
    make_model,
    make_poses,
    make_processor,
    save_folder,
    write_video,
)
from transformers import pipeline

from signx_hf import SignXPoseFeatureExtractor
from signx_hf.cli import main
from signx_hf.processing.errors_signx import SignXError, SignXVideoError, SignXWarning
from signx_hf.recognition import live
from signx_hf.recognition.streaming import SignXStreamer, StreamOptions, _after

FAST = StreamOptions(hop_s=0.3, stable_s=0.6, right_s=0.5, window_s=4.0)


@pytest.fixture(scope="module")
def parts():
    return make_model("SignXForGlossRecognition"), make_processor()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save_folder(tmp_path_factory.mktemp("model"))


def rows(poses: dict, start: int, stop: int) -> dict:
    return {name: value[start:stop] for name, value in poses.items()}


def collect(streamer: SignXStreamer, data, size: int) -> list:
    """The final glosses of a recording that is pushed `size` frames at a time."""
    frames, final = len(data["hands"]) if isinstance(data, dict) else len(data), []
    for start in range(0, frames, size):
        part = rows(data, start, start + size) if isinstance(data, dict) else data[start : start + size]
        final += streamer.push(part).final
    return final + streamer.flush().final


def test_how_frames_are_pushed_does_not_matter(parts):
    poses, video = make_poses(150), make_frames(90, seed=1)
    for source, data in (("poses", poses), ("video", video)):
        found = [collect(SignXStreamer(*parts, source, options=FAST), data, size) for size in (1, 7, 200)]
        assert found[0]
        for other in found[1:]:
            assert [g.gloss for g in other] == [g.gloss for g in found[0]]
            assert [(g.start, g.end) for g in other] == [(g.start, g.end) for g in found[0]]


def test_a_model_that_reads_further_than_is_waited_for(recwarn):
    model, processor = make_model("SignXForLatentCTC", recognizer_config={"dilations": [1, 2, 4]}), make_processor()
    with pytest.warns(SignXWarning) as caught:
        SignXStreamer(model, processor, "poses")
    message = str(caught[0].message)
    assert all(part in message for part in ("`right_s`", "4.2", "1.3", "4.1 s", "62 frames at 15 fps"))
    recwarn.clear()
    SignXStreamer(model, processor, "poses", options=StreamOptions(right_s=4.2, window_s=12.0))
    recognizer = pipeline("sign-recognition", model=model, processor=processor, device="cpu")
    recognizer(make_poses(60), chunk_length_s=21)
    assert not [entry for entry in recwarn if "reads" in str(entry.message)]
    with pytest.warns(SignXWarning, match=r"`stride_length_s` .* got 1\."):
        recognizer(make_poses(60), chunk_length_s=5)


def test_glosses_that_wait_for_the_end_are_those_of_the_whole(parts, folder):
    """Where nothing is final before the end, the last look is at the utterance as the pipeline sees it."""
    recognizer = pipeline("sign-recognition", model=str(folder), device="cpu")
    for seed in range(3):
        poses = make_poses(60, seed)
        options = StreamOptions(stable_s=30.0, window_s=70.0)
        found = collect(SignXStreamer(recognizer.model, recognizer.processor, "poses", options=options), poses, 11)
        whole = recognizer(poses, decoder="ctc", chunk_length_s=60)
        assert [g.gloss for g in found] == whole["glosses"]
        assert [g.start for g in found] == pytest.approx([s["start"] for s in whole["segments"]], abs=1e-3)


def test_finals_are_in_order_and_partials_follow_them(parts):
    streamer, last, count = SignXStreamer(*parts, "poses", options=FAST), 0.0, 0
    poses = make_poses(400, seed=5)
    for frame in range(400):
        update = streamer.push(rows(poses, frame, frame + 1), frame / FPS)
        for gloss in update.final:
            assert last - 1e-9 <= gloss.start <= gloss.end <= update.time + 4 / FPS and 0 <= gloss.confidence <= 1
            last, count = gloss.end, count + 1
        assert all(gloss.end <= update.time + 4 / FPS for gloss in update.partial)
    assert count


def test_memory_does_not_grow(parts):
    streamer, most = SignXStreamer(*parts, "video", options=FAST), 0
    video = make_frames(60, seed=2)
    for turn in range(8):
        streamer.push(video)
        held = (len(streamer._store._encoded), len(streamer._committed), len(streamer._history))
        assert held[0] <= 2 * FAST.window_s * FPS and held[2] <= 4
        most = max(most, held[1]) if turn else held[1]
    assert most <= 60
    assert streamer.frames_encoded == 8 * 60  # each of them once


def test_time_stamps_of_the_camera_are_kept(parts):
    poses = make_poses(80, seed=3)
    plain = SignXStreamer(*parts, "poses", options=FAST)
    late = SignXStreamer(*parts, "poses", options=FAST)
    double = {name: np.repeat(value, 2, 0) for name, value in poses.items()}
    early = collect(plain, poses, 80)
    found = late.push(double, 100 + np.arange(160) / (2 * FPS)).final + late.flush().final
    assert [g.gloss for g in found] == [g.gloss for g in early]
    assert [g.start - 100 for g in found] == pytest.approx([g.start for g in early])


def test_any_of_the_tracks_of_a_model_will_do():
    """A model that knows key points does not wait for them where others come, and a recording keeps its tracks."""
    dims = {**TRACKS, "mediapipe": 258}
    model = make_model("SignXForLatentCTC", pose_config={"track_dims": dims})
    processor = make_processor()
    processor.feature_extractor = SignXPoseFeatureExtractor(track_dims=dims, fps=FPS)
    recognizer = pipeline("sign-recognition", model=model, processor=processor, device="cpu")
    streamer = SignXStreamer(model, processor, "poses", options=StreamOptions(stable_s=30.0, window_s=70.0))
    poses = make_poses(60, seed=4)
    for names in (["hands"], list(TRACKS)):
        part = {name: poses[name] for name in names}
        found = [g.gloss for g in collect(streamer, part, 7)]
        assert found and found == recognizer(part, decoder="ctc", chunk_length_s=60)["glosses"]
    streamer.push({"hands": poses["hands"][:5]})
    with pytest.raises(
        SignXError, match=r"pushed rows must have the tracks that the recording began with, hands, got"
    ):
        streamer.push(rows(poses, 5, 10))


def test_no_gloss_ends_after_the_recording(parts):
    for frames in range(21, 29):
        final = collect(SignXStreamer(*parts, "poses", options=FAST), make_poses(frames, seed=2), 9)
        assert final and all(gloss.end <= frames / FPS + 1e-9 for gloss in final)


def test_a_gap_begins_another_recording(parts):
    poses = make_poses(60, seed=4)
    streamer = SignXStreamer(*parts, "poses", options=FAST)
    first = streamer.push(poses, np.arange(60) / FPS)
    second = streamer.push(poses, 60 + np.arange(60) / FPS)
    assert second.ended
    last = streamer.flush()
    before = [g for g in first.final + second.final if g.start < 60]
    after = [g for g in second.final + last.final if g.start >= 60]
    assert [g.gloss for g in before] == [g.gloss for g in after]
    assert [g.start + 60 for g in before] == pytest.approx([g.start for g in after])


def test_flush_of_nothing_is_nothing(parts):
    update = SignXStreamer(*parts, "poses").flush()
    assert update.final == update.partial == [] and not update.ended


@pytest.mark.parametrize(
    "final, said, count",
    [
        ([], ["A"], 0), (["A"], ["A", "B"], 1), (["A", "B"], ["A", "C", "D"], 2), (["A", "B"], ["B", "C"], 1),
        (["A"], [], 0), (["A"], ["B"], 1), (["A", "B", "C"], ["A", "C", "D"], 2), (["A"], ["X", "A", "B"], 2),
    ],
)  # fmt: skip
def test_final_glosses_are_found_again(final, said, count):
    assert _after(final, said) == count


@pytest.mark.parametrize(
    "push, message",
    [
        (np.zeros((4, 4), np.uint8), "frames must be uint8"),
        (np.zeros((4, 4, 3), np.float32), "of float32"),
        ("frame", "frames must be uint8"),
    ],
)
def test_frames_that_are_none_are_refused(parts, push, message):
    with pytest.raises(SignXVideoError, match=message):
        SignXStreamer(*parts, "video").push(push)


def test_wrong_use_is_refused(parts):
    model, processor = parts
    streamer = SignXStreamer(model, processor, "poses")
    with pytest.raises(SignXError, match=r"one value per frame \(3\), got 1"):
        streamer.push(make_poses(3), 0.0)
    streamer.push(make_poses(1), 5.0)
    with pytest.raises(SignXError, match="non-decreasing"):
        streamer.push(make_poses(1), 4.0)
    with pytest.raises(SignXError, match="'video' or 'poses', got 'sound'"):
        SignXStreamer(model, processor, "sound")
    with pytest.raises(SignXError, match="`hop_s` .* got 0"):
        StreamOptions(hop_s=0)
    with pytest.raises(SignXError, match=r"`rest_s` .* got 1e\+308"):
        StreamOptions(rest_s=1e308)
    with pytest.raises(SignXError, match="from 1 to 1024, got 1000000000"):
        StreamOptions(num_beams=10**9)
    with pytest.raises(SignXError, match="must be at least twice"):
        StreamOptions(window_s=1.0)
    with pytest.raises(SignXError, match="the model reads poses of"):
        SignXStreamer(make_model("SignXForLatentCTC", vision_config=None, frame_branch=None), processor, "video")


def test_rows_may_be_single_and_arrays(parts):
    poses = make_poses(50, seed=6)
    table = np.concatenate([poses[name] for name in TRACKS], axis=1)
    ways = []
    seen = {name: np.ones(50, bool) for name in TRACKS}
    for pick in (
        lambda t: rows(poses, t, t + 1),
        lambda t: {n: v[t] for n, v in poses.items()},
        lambda t: {n: v[t] for n, v in poses.items()} | {"masks": {n: mask[t] for n, mask in seen.items()}},
        lambda t: table[t],
    ):
        streamer = SignXStreamer(*parts, "poses", options=FAST)
        final = [g for t in range(50) for g in streamer.push(pick(t)).final]
        ways.append([g.gloss for g in final + streamer.flush().final])
    assert ways[0] == ways[1] == ways[2] == ways[3]


# ------------------------------------------------------------------------------------------------------------ command


def test_live_from_a_file(folder, tmp_path, capsys):
    path = write_video(tmp_path / "clip.mkv", make_frames(60, seed=7))
    assert main(["live", "--from-file", str(path), "--model", str(folder), "--device", "cpu", "--format", "json"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    finals = [gloss["gloss"] for line in lines for gloss in line["final"]]
    assert main(["live", "--from-file", str(path), "--model", str(folder), "--device", "cpu"]) == 0
    assert capsys.readouterr().out.split() == finals


def test_real_time_waits_for_each_frame(tmp_path):
    path = write_video(tmp_path / "clip.mkv", make_frames(8))
    start = time.monotonic()
    for seconds, _ in live.file_frames(str(path), real_time=True, wait_s=0.01):
        assert time.monotonic() - start >= seconds - 0.05


def test_a_file_that_grows_is_read_on(tmp_path):
    whole = write_video(tmp_path / "whole.mkv", make_frames(80, height=64, width=64)).read_bytes()
    path = tmp_path / "grows.mkv"
    path.write_bytes(whole[: len(whole) // 2])

    def grow():
        time.sleep(0.3)
        with path.open("ab") as file:
            file.write(whole[len(whole) // 2 :])

    thread = threading.Thread(target=grow)
    thread.start()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SignXWarning)
        times = [seconds for seconds, _ in live.file_frames(str(path), wait_s=3.0)]
    thread.join()
    assert times == pytest.approx([n / FPS for n in range(80)], abs=2e-3)


def test_a_camera_that_disappears_keeps_what_was_seen():
    import av

    class Camera:
        """Two frames, then the error of a device that is gone."""

        def __enter__(self):
            return self

        def __exit__(self, *error):
            return None

        def decode(self, video):
            for frame in make_frames(2):
                yield av.VideoFrame.from_ndarray(frame, format="rgb24")
            raise OSError(19, "No such device")

    with pytest.warns(SignXWarning, match="camera 0 disappeared .No such device."):
        assert len(list(live.camera_frames(Camera(), "camera 0"))) == 2


def test_what_cannot_be_opened_is_said(folder, tmp_path, capsys):
    assert main(["live", "--camera", "97", "--model", str(folder)]) == 2
    assert "camera 97" in capsys.readouterr().err
    assert main(["live", "--from-file", str(tmp_path / "none.mp4"), "--model", str(folder)]) == 2
    assert "none.mp4: no such file" in capsys.readouterr().err
    assert main(["live", "--camera", "0"]) == 2
    assert "--model is required" in capsys.readouterr().err


@pytest.mark.parametrize("seconds", ["nan", "inf", "0", "-1"])
def test_seconds_that_are_none_are_refused(seconds, folder, capsys):
    assert main(["live", "--camera", "97", "--model", str(folder), f"--seconds={seconds}"]) == 2
    assert f"--seconds must be a number above 0, got {seconds}." in capsys.readouterr().err


def test_a_source_that_fails_on_the_way_keeps_what_was_recognized(parts, capsys):
    def frames():
        for number, frame in enumerate(make_frames(60, seed=8)):
            yield number / FPS, frame
        raise OSError("the disk is gone")

    whole = collect(SignXStreamer(*parts, "video"), make_frames(60, seed=8), 1)
    assert live._stream(SignXStreamer(*parts, "video"), frames(), "txt", None) == 1
    printed = capsys.readouterr()
    assert printed.out.split() == [g.gloss for g in whole]
    assert "the disk is gone; what was recognized so far is kept" in printed.err


def test_model_is_left_as_it_was(parts):
    model, processor = parts
    before = {name: value.clone() for name, value in model.state_dict().items()}
    collect(SignXStreamer(model, processor, "poses", options=FAST), make_poses(40), 5)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
