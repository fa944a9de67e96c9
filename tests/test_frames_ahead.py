"""Frames that a thread decodes ahead: those of reading in line, errors in their order, memory bounded, nothing left behind."""

import gc
import os
import threading
import time
import warnings
import weakref
from pathlib import Path

import numpy as np
import pytest
from make_model import make_frames, save_folder, write_video
from transformers import pipeline
from video_files import write

from signx_hf import SignXVideoProcessor
from signx_hf.processing.base_pipeline_signx import ClipsAhead
from signx_hf.processing.errors_signx import SignXError, SignXVideoError
from signx_hf.processing.frames_ahead_signx import AHEAD_BYTES, FramesAhead, VideoAhead
from signx_hf.writers.eaf_file import EafLayout


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name == "frames-ahead"]


@pytest.fixture
def processor():
    return SignXVideoProcessor(size={"height": 20, "width": 24}, fps=12.0)


@pytest.fixture
def videos(tmp_path) -> list[Path]:
    """Constant rate, variable rate, one frame, and one that is cut off."""
    random = np.random.default_rng(0)
    frames = [random.integers(0, 255, (40, 48, 3), dtype=np.uint8) for _ in range(40)]
    made = [
        write(tmp_path / "even.mkv", frames),
        write(tmp_path / "uneven.mkv", frames[:20], times=[n * 33 + (n // 7) * 400 for n in range(20)]),
        write(tmp_path / "one.mkv", frames[:1]),
    ]
    cut = tmp_path / "cut.mkv"  # not a damaged one: FFmpeg's threads conceal errors in a different way each time
    data = made[0].read_bytes()
    cut.write_bytes(data[: len(data) // 3])
    return [*made, cut]


def collected(function):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = function()
    return result, [(str(one.message), one.category, one.filename) for one in caught]


@pytest.mark.parametrize("fps", [12.0, None, 50.0])
@pytest.mark.parametrize("max_frames", [None, 5])
def test_frames_ahead_are_those_of_reading_in_line(videos, fps, max_frames):
    processor = SignXVideoProcessor(size={"height": 20, "width": 24}, fps=fps, max_frames=max_frames)
    for video in videos:
        plain, plain_notes = collected(lambda video=video: processor.decode(video))
        handle = processor.read_ahead(str(video))
        if handle is None:  # its header tells no duration
            assert video.name == "one.mkv"
            continue
        for _ in range(2):  # what was read is taken once; then the file is read again
            ahead, notes = collected(lambda handle=handle: processor.decode(handle))
            assert np.array_equal(ahead.frames, plain.frames) and np.array_equal(ahead.timestamps, plain.timestamps)
            assert ahead.metadata == plain.metadata and notes == plain_notes
        frames, frame_notes = collected(lambda video=video: list(processor.iter_frames(video)))
        again, again_notes = collected(lambda video=video: list(processor.iter_frames(video, ahead=True)))
        assert [seconds for seconds, _ in frames] == [seconds for seconds, _ in again]
        assert all(np.array_equal(left, right) for (_, left), (_, right) in zip(frames, again))
        assert frame_notes == again_notes
        assert bool(frame_notes) == (video.name == "cut.mkv")
        assert all(frame.flags.writeable and frame.base is not again[0][1] for _, frame in again[1:])


def test_errors_come_after_the_frames_before_them():
    def failing():
        yield from range(3)
        raise SignXVideoError("the fourth cannot be read")

    ahead = FramesAhead(failing())
    assert [next(ahead) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(SignXVideoError, match="the fourth"):
        next(ahead)
    assert list(ahead) == []


@pytest.mark.parametrize(("limit", "most"), [(0, 1), (250, 2), (1000, 10)])
def test_memory_is_bounded(limit, most):
    """Arrays of 100 bytes: as many wait as fit, one at least, and one more is in the hands of the thread."""
    made = []

    def endless():
        while True:
            made.append(None)
            yield (float(len(made)), np.zeros(100, np.uint8))

    ahead = FramesAhead(endless(), limit)
    for taken in range(1, 40):
        assert next(ahead)[0] == taken
        time.sleep(0.002)
        assert len(made) <= taken + most + 1
    ahead.close()
    assert not threads()


def test_a_reader_that_nobody_wants_ends(videos, processor):
    frames = processor.iter_frames(videos[0], ahead=True)
    next(frames)
    frames.close()
    assert not threads()
    ahead = FramesAhead(iter(lambda: np.zeros(10), None), 100)
    gone, thread = weakref.ref(ahead), ahead._thread
    del ahead
    gc.collect()
    thread.join()
    assert gone() is None
    handle = processor.read_ahead(videos[0])
    handle.close()
    assert not threads()


def test_what_is_not_read_ahead(tmp_path, videos, processor):
    assert processor.read_ahead(tmp_path / "missing.mp4") is None
    (tmp_path / "text.mp4").write_text("once upon a time")
    assert processor.read_ahead(tmp_path / "text.mp4") is None
    assert processor.read_ahead(tmp_path) is None  # a folder
    assert isinstance(processor.read_ahead(videos[0]), VideoAhead)
    edge = int((AHEAD_BYTES / 10) ** 0.5)  # 16 frames of that size are too many
    assert SignXVideoProcessor(size=edge, fps=12.0).read_ahead(videos[0]) is None


def test_a_video_longer_than_it_says_is_read_in_its_turn(videos, processor):
    from signx_hf.processing.frames_ahead_signx import HeldSource, TooLong
    from signx_hf.processing.video_decoding_signx import open_video
    from signx_hf.processing.video_timing_signx import ReadingReport

    with pytest.raises(TooLong):
        list(HeldSource(open_video(videos[0]), 39).read(ReadingReport()))
    plain = processor.decode(videos[0])
    handle = processor.read_ahead(videos[0])
    handle._frames.close()
    handle._frames = FramesAhead(iter([]))

    def too_long():
        raise TooLong
        yield

    handle._frames = FramesAhead(too_long())
    assert np.array_equal(processor.decode(handle).frames, plain.frames)


def test_clips_are_read_one_ahead():
    asked = []
    clips = ClipsAhead(["a", "b", "c"], lambda clip: asked.append(clip) or clip.upper())
    assert len(clips) == 3 and asked == []
    assert (clips[0], asked) == ("a", ["b"])
    assert (clips[1], asked) == ("B", ["b", "c"])
    assert (clips[2], asked) == ("C", ["b", "c"])


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    base = tmp_path_factory.mktemp("ahead")
    save_folder(base / "model")
    (base / "clips").mkdir()
    for number in range(3):
        write_video(base / "clips" / f"{number}.mkv", make_frames(12 + 5 * number, seed=number))
    (base / "clips" / "1b.mkv").write_text("once upon a time")
    return base


def test_a_pipeline_gives_the_results_of_single_clips(place):
    recognizer = pipeline("sign-recognition", model=str(place / "model"))
    good = [str(path) for path in sorted((place / "clips").glob("?.mkv"))]
    single = [recognizer(path) for path in good]
    assert recognizer(good) == single == recognizer(good, batch_size=1)
    assert recognizer([recognizer.read_ahead(path) for path in good]) == single
    with pytest.raises(SignXError) as alone:
        recognizer(str(place / "clips" / "1b.mkv"))
    with pytest.raises(SignXError) as among:
        recognizer([good[0], str(place / "clips" / "1b.mkv"), good[1]])
    assert str(among.value) == str(alone.value)
    with pytest.raises(SignXError) as refused:
        recognizer(good, person="largest")
    assert good[0] in str(refused.value)


def test_the_command_says_what_it_says_without(place, tmp_path, capsys):
    from signx_hf.cli import main

    model, clips = str(place / "model"), sorted(map(str, (place / "clips").glob("*.mkv")))
    printed, errors = [], []
    for clip in clips:
        main(["recognize", clip, "--model", model, "--format", "ctm"])
        out, err = capsys.readouterr()
        printed.append(out)
        errors += [line for line in err.splitlines() if "1b.mkv" in line]
    assert main(["recognize", *clips, "--model", model, "--format", "ctm"]) == 1
    out, err = capsys.readouterr()
    assert out == "".join(printed) and len(errors) == 1 and errors[0] in err
    assert main(["recognize", *clips, "--model", model, "--out", str(tmp_path / "out"), "--format", "ctm"]) == 1
    out, err = capsys.readouterr()
    assert "3 recognized" in out and "1b.mkv" in err
    for clip, text in zip(clips, printed):
        written = tmp_path / "out" / f"{Path(clip).stem}.ctm"
        assert (written.read_text() if written.exists() else "") == text


def test_a_clip_that_changes_after_its_reading_began_is_refused(place, tmp_path):
    """The state is that of the file when the thread opened it, not when its turn came."""
    from signx_hf.recognition.worker import ClipTask, RecognizeWorker

    class Recognizer:
        def read_ahead(self, path):
            return path

        def __call__(self, clip, **options):
            return {"duration": 1.0}

    class Settings:
        options: dict = {}

    class Output:
        eaf = EafLayout()

        def check_free(self, stem): ...
        def write(self, *given): ...

    path = tmp_path / "clip.mkv"
    path.write_bytes(b"before")
    task = ClipTask(0, str(path), "clip")
    worker = RecognizeWorker(Settings(), Output(), "model", Recognizer())
    worker.read_ahead([task])
    path.write_bytes(b"afterwards")
    os.utime(path, (1, 1))
    (outcome,) = worker.run([task])
    assert "changed while it was being read" in outcome.error
    (outcome,) = worker.run([task])
    assert outcome.error is None
