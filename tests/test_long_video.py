"""Long recordings: pieces give what the whole gives, nothing is doubled or lost, and memory does not grow."""

import tracemalloc

import numpy as np
import pytest
import torch
from make_model import (
    FPS,
    GLOSSES,
    TRACKS,
    make_frames,
    make_model,
    make_poses,
    make_processor,
    save_folder,
    write_video,
)
from mediapipe_rows import body
from transformers import pipeline

import signx_hf  # noqa: F401  registers the tasks
from signx_hf.processing.activity_signx import PictureActivity, PoseActivity
from signx_hf.processing.errors_signx import SignXError, SignXPoseError
from signx_hf.processing.join_signx import join_results
from signx_hf.processing.pose_stream_signx import stream_poses
from signx_hf.processing.results_signx import GlossSegment, Hypothesis, Recognition
from signx_hf.processing.utterances_signx import Settled, UtteranceReader, stretches
from signx_hf.processing.windowing_signx import BLOCK_FRAMES, PoseFrames, Steps, WindowOptions

STRIDE = 4  # of the tiny model, frames


@pytest.fixture(scope="module")
def recognizer(tmp_path_factory):
    return pipeline("sign-recognition", model=str(save_folder(tmp_path_factory.mktemp("model"))), device="cpu")


class CountedFrames:
    """Stands for an encoder whose features are the number of the frame, with blanks where `blank` says so."""

    def __init__(self, rests, blanks=lambda step: False, cuts=()):
        self._rests, self._blanks, self.first, self.held, self.most = rests, blanks, 0, 0, 0
        self._cuts = cuts
        self.activity = self
        self.has_moved, self.shortest_rest = True, 0.0

    def append(self, frames):
        self.held += len(frames)
        self.most = max(self.most, self.held)
        return np.array([self._rests[frame] for frame in frames]), np.array([frame in self._cuts for frame in frames])

    def drop(self, count):
        self.first, self.held = self.first + count, self.held - count
        assert self.held >= 0

    def window(self, start, stop):
        assert 0 <= start < stop <= self.held
        frames = torch.arange(self.first + start, self.first + stop, STRIDE)
        logits = torch.zeros(len(frames), 3)
        for row, frame in enumerate(frames.tolist()):
            logits[row, 0 if self._blanks(frame // STRIDE) else 1] = 9.0
        return Steps(frames[:, None].float(), logits, logits)


class FakeModel:
    """The parts of a model that reading asks for."""

    device = torch.device("cpu")
    config = signx_hf.SignXConfig(ctc_vocab_size=3)


def read(store, frames: int, options: WindowOptions, block: int = 50) -> list[Settled]:
    reader = UtteranceReader(FakeModel, store, FPS, options)
    found = []
    for start in range(0, frames, block):
        found += reader.push(list(range(start, min(start + block, frames))))
    return found + list(reader.finish())


@pytest.mark.parametrize("frames", [3, 59, 60, 61, 240, 1001])
@pytest.mark.parametrize("window, right", [(4.0, 1.0), (8.0, 0.8), (20.0, 4.0)])
def test_every_step_is_handed_out_once(frames, window, right):
    parts = read(CountedFrames([False] * frames), frames, WindowOptions(window, right))
    steps = torch.cat([part.steps.features for part in parts])[:, 0].tolist()
    assert steps == list(range(0, frames, STRIDE))
    assert sum(part.frames for part in parts) == frames
    assert [part.is_last for part in parts] == [False] * (len(parts) - 1) + [True]
    for part in parts:
        assert part.steps.features[0, 0] == part.frame


def test_what_is_held_does_not_grow():
    options = WindowOptions(4.0, 1.0)
    stores = [CountedFrames([False] * frames) for frames in (500, 5000)]
    for store, frames in zip(stores, (500, 5000)):
        read(store, frames, options)
    assert (
        stores[0].most == stores[1].most <= 2 * 4.0 * FPS + 2 * BLOCK_FRAMES + STRIDE
    )  # one block is read, one encoded


def test_seams_lie_on_blanks():
    def is_blank(step):
        return step % 7 == 3

    parts = read(CountedFrames([False] * 900, is_blank), 900, WindowOptions(8.0, 2.0))
    seams = [int(part.steps.features[0, 0]) // STRIDE for part in parts[1:]]
    assert len(seams) >= 8
    assert all(is_blank(seam) for seam in seams)


def test_rests_end_utterances():
    up = [30 <= t < 90 or 105 <= t < 180 or 400 <= t < 401 for t in range(500)]
    parts = read(CountedFrames([not value for value in up]), 500, WindowOptions(rest=0.4))
    assert [(part.frame, part.frame + part.frames) for part in parts] == [
        (24, 96),
        (99, 186),
    ]  # and the twitch is none


@pytest.mark.parametrize(
    ("track", "utterances"), [("hands", [(0, 112), (129, 200)]), ("mediapipe", [(4, 46), (54, 96), (144, 186)])]
)
def test_a_hold_ends_an_utterance_only_where_key_points_say_that_it_is_a_rest(track, utterances):
    """Signing from frame 10 to 40, 60 to 90 and 150 to 180; between them 1.3 and 4 seconds without motion."""
    moves = np.array([10 <= t < 40 or 60 <= t < 90 or 150 <= t < 180 for t in range(200)])
    activity = PoseActivity(FPS)
    places = np.cumsum(np.where(moves, 0.3, 0.0))
    values = body(moves) if track == "mediapipe" else np.stack([np.sin(places), np.cos(places)], axis=1)
    rests, _ = activity.push({track: values}, {track: np.ones(200, bool)})
    store = CountedFrames(rests.tolist())
    store.shortest_rest = activity.shortest_rest
    parts = read(store, 200, WindowOptions(rest=0.4))
    assert [(part.frame, part.frame + part.frames) for part in parts] == utterances


def test_no_utterance_reaches_across_a_cut():
    """Neither one that goes on through it nor one that begins soon after a cut in a rest."""
    up = [10 <= t < 60 or 82 <= t < 120 for t in range(150)]
    parts = read(CountedFrames([not value for value in up], cuts=(40, 80)), 150, WindowOptions(rest=0.4))
    assert [(part.frame, part.frame + part.frames) for part in parts] == [(4, 40), (40, 66), (80, 126)]


def test_long_utterances_are_split_at_the_surest_blank():
    logits = torch.zeros(10, 3)
    logits[6, 0] = logits[1, 0] = 5.0
    steps = Steps(torch.arange(10.0)[:, None], logits, logits)
    whole = [Settled(steps, 100, 38, True)]
    assert [s.steps.features[:, 0].tolist() for s in stretches(iter(whole), 10, STRIDE, 0)] == [list(range(10))]
    parts = [Settled(steps, 100, 40, False), Settled(steps.cut(0, 2), 140, 7, True)]
    found = list(stretches(iter(parts), 8, STRIDE, 0))
    assert [(s.frame, s.frames, len(s.steps)) for s in found] == [(100, 28, 7), (128, 19, 5)]


def test_wrists_tell_rest_from_hold():
    up = np.array([False] * 20 + [True] * 20 + [False] * 20)
    rests, _ = PoseActivity(10.0).push({"mediapipe": body(up)}, {"mediapipe": np.ones(60, bool)})
    assert (rests == ~up).all()
    held, _ = PoseActivity(10.0).push({"mediapipe": body(up, speed=0.0)}, {"mediapipe": np.ones(60, bool)})
    assert not held[20:40].any()  # still, but up
    nobody, _ = PoseActivity(10.0).push({"mediapipe": body(up)}, {"mediapipe": np.zeros(60, bool)})
    assert nobody.all()


def test_activity_is_the_same_in_blocks():
    rows = body(np.arange(90) % 30 > 12)
    whole, _ = PoseActivity(10.0).push({"mediapipe": rows}, {"mediapipe": np.ones(90, bool)})
    pieces = PoseActivity(10.0)
    parts = [
        pieces.push({"mediapipe": rows[i : i + 7]}, {"mediapipe": np.ones(len(rows[i : i + 7]), bool)})[0]
        for i in range(0, 90, 7)
    ]
    assert (np.concatenate(parts) == whole).all()


def test_pictures_rest_where_they_look_as_before_the_signing():
    still, scene = make_frames(1, height=64, width=64), make_frames(30, seed=3, height=64, width=64)
    video = np.concatenate([np.repeat(still, 15, 0), scene, np.repeat(still, 15, 0)])
    activity = PictureActivity(15.0)
    rests, cuts = activity.push(video)
    assert rests[:15].all() and rests[-13:].all() and rests[15:45].mean() < 0.2
    assert not cuts.any() and activity.has_moved
    _, cuts = activity.push(255 - video)
    assert cuts[0] and not cuts[1:].any()


def scene(level: int, hand: int, frames: int = 24, still: int = 12) -> np.ndarray:
    """[still + frames, 64, 64, 3]: a gray picture, a block of `hand` gray levels beside it that moves after the still frames."""
    video = np.full((still + frames, 64, 64, 3), level, np.uint8)
    video[:, :8, :8] = 255 - level  # something of other brightness that does not move
    for number, picture in enumerate(video):
        left = 8 if number < still else 14 + 6 * (number - still) % 30
        picture[30:42, left : left + 12] = level + hand
    return video


def test_another_picture_after_a_still_one_is_a_cut():
    """A quarter of the picture is another: a cut after stillness, but amid motion it may be an arm."""
    first, second = scene(100, 60), scene(100, 60)
    second[:, :16] = 180  # a quarter of the cells
    frozen = np.repeat(first[-1:], 12, 0)
    _, cuts = PictureActivity(12.5).push(np.concatenate([first, frozen, second]))
    assert np.flatnonzero(cuts).tolist() == [len(first) + len(frozen)]
    _, cuts = PictureActivity(12.5).push(np.concatenate([first, second[12:]]))
    assert not cuts.any()


def test_what_is_usual_is_that_of_the_scene():
    """Hands that differ much from their background say nothing of those of the next signer, who differ little."""
    strong, weak = scene(100, 155), scene(30, 25)
    alone, _ = PictureActivity(12.5).push(weak)
    rests, cuts = PictureActivity(12.5).push(np.concatenate([strong, np.repeat(strong[-1:], 5, 0), weak]))
    assert cuts.sum() == 1 and (rests[-len(weak) :] == alone).all()
    assert alone[:12].all() and not alone[14:].any()


def test_a_clip_without_rest_is_recognised_as_at_once(recognizer, tmp_path):
    poses = make_poses(50)
    path = write_video(tmp_path / "clip.mkv", make_frames(40, seed=2))
    for clip in (poses, str(path)):
        whole = recognizer(clip, decoder="ctc")
        pieces = recognizer(clip, decoder="ctc", chunk_length_s=20)
        if isinstance(clip, str):  # the still frames before the first motion are cut away
            assert pieces["duration"] == whole["duration"]
            continue
        assert pieces["glosses"] == whole["glosses"]
        assert pieces["duration"] == pytest.approx(whole["duration"])
        assert [s["start"] for s in pieces["segments"]] == pytest.approx([s["start"] for s in whole["segments"]])
        assert pieces["utterances"] == [{"start": 0.0, "end": whole["duration"]}]


@pytest.mark.parametrize("decoder", ["ctc", "attention"])
def test_results_of_a_long_clip_are_in_order_and_in_time(recognizer, decoder):
    result = recognizer(make_poses(300), decoder=decoder, chunk_length_s=4, stride_length_s=1, n_best=3)
    assert [segment["gloss"] for segment in result["segments"]] == result["glosses"] == result["n_best"][0]["glosses"]
    times = [time for segment in result["segments"] for time in (segment["start"], segment["end"])]
    assert times == sorted(times) and times[-1] <= result["duration"] == 20.0
    assert all(a["end"] <= b["start"] + 1e-6 for a, b in zip(result["utterances"], result["utterances"][1:]))
    scores = [item["score"] for item in result["n_best"]]
    assert scores == sorted(scores, reverse=True)


def test_a_list_and_options_at_construction(recognizer):
    clips = [make_poses(40), make_poses(30, seed=1)]
    assert recognizer(clips, chunk_length_s=5, decoder="ctc") == [
        recognizer(c, chunk_length_s=5, decoder="ctc") for c in clips
    ]


@pytest.mark.parametrize(
    ("times", "words"),
    [
        (np.arange(600) / 15 - 17 * (np.arange(600) >= 256), r"clip: timestamps.*got 0\.0666667 s after 17 s"),
        (
            np.arange(600) / 15 + 1e9 * (np.arange(600) >= 300),
            r"clip: frames.*got 1e\+09 s",
        ),
    ],
)
def test_time_stamps_are_checked_from_block_to_block(times, words, recognizer):
    with pytest.raises(SignXError, match=words):
        recognizer({**make_poses(600), "timestamps": times}, decoder="ctc", chunk_length_s=20)


def test_a_rate_at_which_frames_lie_far_apart(recognizer):
    with pytest.raises(SignXError, match=r"frames.*got 1e\+06 s"):
        recognizer(make_poses(60), decoder="ctc", source_fps=1e-6, chunk_length_s=20)


def test_frames_are_encoded_once(recognizer, tmp_path):
    path = write_video(tmp_path / "clip.mkv", make_frames(150, seed=4))
    encoder, seen = recognizer.model.model.video_encoder.frame_encoder, []
    handle = encoder.register_forward_hook(lambda module, inputs, output: seen.append(len(inputs[0])))
    try:
        recognizer(str(path), chunk_length_s=3, stride_length_s=0.8, decoder="ctc")
    finally:
        handle.remove()
    assert sum(seen) == 150


def test_windows_of_encoded_frames_equal_the_video_at_once(recognizer):
    model = recognizer.model
    pixels = torch.rand(1, 13, 3, 32, 32)
    with torch.inference_mode():
        whole = model.get_features(pixel_values_videos=pixels)
        pieces = model.get_window_features(*model.encode_frames(pixels))
    torch.testing.assert_close(pieces.logits, whole.logits)
    torch.testing.assert_close(pieces.features, whole.features)


def test_nobody_signs(recognizer, tmp_path):
    still = {name: np.repeat(value[:1], 60, 0) for name, value in make_poses(2).items()}
    path = write_video(tmp_path / "still.mkv", np.repeat(make_frames(1), 60, 0))
    for clip in (still, str(path)):
        result = recognizer(clip, chunk_length_s=20)
        assert result["glosses"] == result["segments"] == result["utterances"] == []
        assert result["reason"] == "nobody moves" and result["duration"] == pytest.approx(4.0)


def test_npz_is_read_block_by_block(recognizer, tmp_path):
    poses, path = make_poses(700), tmp_path / "clip.npz"
    np.savez_compressed(path, fps=FPS, **poses)
    extractor = recognizer.processor.feature_extractor
    rows = list(stream_poses(extractor, str(path), None).rows)
    assert [seconds for seconds, _ in rows] == pytest.approx([n / FPS for n in range(700)])
    for name in TRACKS:
        assert np.allclose(np.stack([row[name] for _, (row, _) in rows]), poses[name])
    options = {"chunk_length_s": 4, "decoder": "ctc"}
    assert recognizer(str(path), **options)["segments"] == recognizer({**poses, "fps": FPS}, **options)["segments"]


def test_npz_that_ends_early_is_refused(recognizer, tmp_path):
    path = tmp_path / "clip.npz"
    np.savez(path, **make_poses(700))
    content = bytearray(path.read_bytes())
    content[5000:5100] = b"x" * 100
    path.write_bytes(content)
    with pytest.raises(SignXPoseError, match=r"clip.npz: the .npz file is corrupt"):
        recognizer(str(path), chunk_length_s=4)


def test_npz_memory_does_not_grow(recognizer, tmp_path):
    peaks = []
    for frames in (600, 6000):
        path = tmp_path / f"{frames}.npz"
        np.savez(
            path, **{name: np.tile(value, (frames // 600, 1)) for name, value in make_poses(600).items()}, fps=FPS
        )
        stream = stream_poses(recognizer.processor.feature_extractor, str(path), None)
        tracemalloc.start()
        assert sum(1 for _ in stream.rows) == frames
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.2 * peaks[0] + 50_000


@pytest.mark.parametrize(
    "options, message",
    [
        ({"chunk_length_s": 0}, "`chunk_length_s`.*got 0"),
        ({"chunk_length_s": float("nan")}, "`chunk_length_s`.*got nan"),
        ({"chunk_length_s": "20"}, "`chunk_length_s`.*got '20'"),
        ({"stride_length_s": 4}, "`stride_length_s` needs `chunk_length_s`, got 4 without it"),
        ({"chunk_length_s": 10, "stride_length_s": 4}, "`stride_length_s`.*got 4"),
    ],
)
def test_options_out_of_domain_are_refused(recognizer, options, message):
    with pytest.raises(ValueError, match=message):
        recognizer(make_poses(20), **options)


def test_window_options_are_checked():
    with pytest.raises(SignXError, match=r"the window \(`chunk_length_s`\).*got 3 s"):
        WindowOptions(3.0, 2.0)


def test_a_clip_that_cannot_be_read_is_named(recognizer, tmp_path):
    with pytest.raises(SignXError, match="none.mp4: no such file"):
        recognizer(str(tmp_path / "none.mp4"), chunk_length_s=20)
    with pytest.raises(SignXError, match="none.npz: no such file"):
        recognizer(str(tmp_path / "none.npz"), chunk_length_s=20)


def test_joined_results_change_one_stretch_at_a_time():
    def part(*items: Hypothesis) -> Recognition:
        glosses = items[0].glosses
        segments = tuple(GlossSegment(gloss, n * 0.5, n * 0.5 + 0.5, 1.0) for n, gloss in enumerate(glosses))
        return Recognition(glosses, segments, items, duration=2.0, known=1.0)

    parts = [
        (0.0, part(Hypothesis(("A",), -1.0), Hypothesis(("B",), -4.0))),
        (3.0, part(Hypothesis(("C", "D"), -2.0), Hypothesis(("C",), -3.0))),
    ]
    result = join_results(parts, 5.0, 3, None)
    assert [(item.glosses, item.score) for item in result.n_best] == [
        (("A", "C", "D"), -3.0), (("A", "C"), -4.0), (("B", "C", "D"), -6.0),
    ]  # fmt: skip
    assert [segment.start for segment in result.segments] == [0.0, 3.0, 3.5] and result.reason is None


def test_poses_are_normalised_window_by_window():
    model, processor = make_model("SignXForLatentCTC"), make_processor()
    store = PoseFrames(model, processor.feature_extractor, FPS)
    poses = make_poses(24)
    rows = [({n: v[t].astype(float) for n, v in poses.items()}, dict.fromkeys(poses, True)) for t in range(24)]
    store.append(rows)
    with torch.inference_mode():
        steps = store.window(4, 20)
        whole = model.get_features(**processor(poses={n: v[4:20] for n, v in poses.items()}))
    torch.testing.assert_close(steps.logits, whole.logits[0])
    assert steps.logits.shape[1] == len(GLOSSES) + 1


def test_frames_as_they_come_keep_the_rate_of_the_file(folder_of_frames_as_they_come, tmp_path):
    recognizer, path = folder_of_frames_as_they_come
    whole, pieces = recognizer(path, decoder="ctc"), recognizer(path, decoder="ctc", chunk_length_s=20)
    assert whole["duration"] == pytest.approx(2.0, abs=0.05) == pieces["duration"]


@pytest.fixture
def folder_of_frames_as_they_come(recognizer, tmp_path):
    """A processor that takes every frame, whatever the rate of the file."""
    processor = recognizer.processor.video_processor
    before, processor.fps = processor.fps, None
    yield recognizer, write_video(tmp_path / "clip.mkv", make_frames(60), 30)
    processor.fps = before


def test_a_long_clip_at_once_is_said(recognizer):
    with pytest.warns(signx_hf.SignXWarning, match="25 s were read at once.*chunk_length_s=20"):
        recognizer(make_poses(int(25 * FPS)), decoder="ctc")
