"""Isolated signs live: one answer for each stretch of signing, the same as of the clip, soon after the hands rest."""

import dataclasses
import json

import numpy as np
import pytest
from make_model import FPS, make_frames, write_video
from mediapipe_rows import body
from sign_pipelines import make_classifier

from signx_hf import SignStreamOptions, SignXError, SignXSignStreamer, SignXStreamer
from signx_hf.cli import main
from signx_hf.processing.activity_signx import PoseActivity
from signx_hf.recognition import live


@pytest.fixture(scope="module")
def classifier():
    return make_classifier({"mediapipe": 258})


# signing in seconds, between rests
SIGNS = ((1.0, 2.0), (3.2, 4.0), (5.0, 7.0), (8.0, 8.6))
FRAMES = round(10 * FPS)


def is_signing() -> np.ndarray:
    seconds = np.arange(FRAMES) / FPS
    return np.any([(seconds >= start) & (seconds < end) for start, end in SIGNS], axis=0)


def recording(seed: int = 0) -> np.ndarray:
    """MediaPipe rows of a signer whose hands are up in `SIGNS`, shaped otherwise in each."""
    draw, up = np.random.default_rng(seed), is_signing()
    rows = body(up)
    rows[:, 132:] = draw.normal(250, 30, size=(FRAMES, 126)).cumsum(0) * up[:, None] / 10
    return rows


def hands(seed: int = 0, visible_rest: bool = False) -> np.ndarray:
    """Rows of the track `hands` in fractions of the picture: moving while signing, else absent (NaN), or folded in the lap."""
    draw, up = np.random.default_rng(seed), is_signing()
    shape = draw.normal(0, 0.03, size=(1, 2, 21, 3))
    shape[:, :, 0] = 0
    shape[:, :, 9, :2] = (0.0, -0.08)
    place = np.zeros((FRAMES, 2, 1, 3))
    place[..., 0] = (
        np.array([0.35, 0.65])[None, :, None] + 0.08 * np.sin(np.arange(FRAMES))[:, None, None] * up[:, None, None]
    )
    place[..., 1] = np.where(up, 0.5, 0.85)[:, None, None]
    rows = (shape + place).reshape(FRAMES, 126)
    if not visible_rest:
        rows[~up] = np.nan
    return rows


def push_all(streamer, data, size: int, times=None) -> list:
    """(sign, seconds of the newest frame when it came) of a recording that is pushed `size` frames at a time."""
    found = []
    for start in range(0, FRAMES, size):
        part = (
            {name: rows[start : start + size] for name, rows in data.items()}
            if isinstance(data, dict)
            else data[start : start + size]
        )
        update = streamer.push(part, None if times is None else times[start : start + size])
        found += [(sign, update.time) for sign in update.final]
    update = streamer.flush()
    return found + [(sign, update.time) for sign in update.final]


@pytest.mark.parametrize("size", [1, 7, 200])
def test_one_answer_for_each_sign_and_soon(classifier, size):
    found = push_all(SignXSignStreamer(classifier, "poses"), {"mediapipe": recording()}, size)
    assert len(found) == len(SIGNS)
    for (sign, time), (start, end) in zip(found, SIGNS):
        assert sign.start == pytest.approx(start, abs=0.1) and sign.end == pytest.approx(end, abs=0.1)
        assert size > 1 or time - end <= 0.6
        assert sign.gloss == sign.candidates[0]["label"] and sign.confidence == sign.candidates[0]["score"]
    if size == 200:  # pushed at once, the same
        one = push_all(SignXSignStreamer(classifier, "poses"), {"mediapipe": recording()}, 1)
        assert [sign for sign, _ in one] == [sign for sign, _ in found]


def test_answers_are_those_of_the_clip(classifier):
    """The rows of each sign with its margins, as a clip of its own."""
    rows, options = recording(3), SignStreamOptions(margin_s=0.2)
    found = push_all(SignXSignStreamer(classifier, "poses", options=options), {"mediapipe": rows}, 3)
    assert len({round(sign.confidence, 4) for sign, _ in found}) == len(SIGNS)  # else any answer would do
    for sign, _ in found:
        first, last = round((sign.start - 0.2) * FPS), round((sign.end + 0.2) * FPS)
        expected = classifier({"mediapipe": rows[first:last], "fps": FPS})
        assert list(sign.candidates) == [
            {"label": item["label"], "score": pytest.approx(item["score"], abs=1e-5)} for item in expected
        ]


@pytest.mark.parametrize("visible_rest", [False, True])
def test_hands_alone_rest_in_the_lap_or_out_of_the_picture(visible_rest):
    classifier = make_classifier({"hands": 126})
    rows = hands(visible_rest=visible_rest)
    found = push_all(SignXSignStreamer(classifier, "poses"), {"hands": rows}, 1)
    assert len(found) == len(SIGNS)
    for (sign, time), (start, end) in zip(found, SIGNS):
        assert sign.start == pytest.approx(start, abs=0.2) and sign.end == pytest.approx(end, abs=0.3)
        assert time - end <= (
            0.9 if visible_rest else 0.6
        )  # where they are seen it has to be seen that they are still


def test_a_hold_of_the_hands_is_no_rest_but_not_for_ever():
    """Hands that stay up in front of the chest: a second is a hold, two are a rest; the same in pixels."""
    for scale in (1.0, 700.0):
        rows = hands(visible_rest=True).reshape(FRAMES, 2, 21, 3)[15:29]
        held = np.concatenate([rows, rows[-1:].repeat(45, 0)]).reshape(-1, 126) * scale
        rests, _ = PoseActivity(FPS).push({"hands": held}, {"hands": np.ones(len(held), bool)})
        assert not rests[: 14 + 15].any() and rests[-5:].all()


def test_video_is_encoded_while_it_comes_and_answered_as_a_clip(classifier):
    still = make_frames(1, seed=1)[0]
    video = np.stack([still] * FRAMES)
    up = is_signing()
    video[up] = make_frames(int(up.sum()), seed=1)
    streamer = SignXSignStreamer(classifier, "video", fps=FPS, options=SignStreamOptions(margin_s=0.2))
    found = push_all(streamer, video, 5)
    assert streamer.frames_encoded == FRAMES and len(found) == len(SIGNS)
    for sign, _ in found:
        first, last = round((sign.start - 0.2) * FPS), round((sign.end + 0.2) * FPS)
        expected = classifier(video[first:last], source_fps=FPS)
        assert [item["label"] for item in sign.candidates] == [item["label"] for item in expected]
        assert sign.confidence == pytest.approx(expected[0]["score"], abs=1e-4)


def test_options_of_the_call_hold(classifier):
    rows = {"mediapipe": recording()}
    chosen = ["WETTER", "#IF"]
    found = push_all(SignXSignStreamer(classifier, "poses", vocabulary=chosen, top_k=1, threshold=1.0), rows, 10)
    assert all(sign.gloss is None and sign.sure is False for sign, _ in found) and len(found) == len(SIGNS)
    assert {len(sign.candidates) for sign, _ in found} == {1}
    assert {sign.candidates[0]["label"] for sign, _ in found} <= set(chosen)


def test_memory_does_not_grow_and_signing_without_rest_is_cut(classifier):
    streamer = SignXSignStreamer(classifier, "poses", options=SignStreamOptions(longest_s=2.0))
    rows, most, found = body(np.ones(600, bool)), 0, []
    for turn in range(6):
        for start in range(0, 600, 20):
            found += streamer.push({"mediapipe": rows[start : start + 20]}).final
            most = max(most, len(streamer._store._rows))
        assert most <= round((2.0 + 0.4) * FPS) + 20, turn
    assert len(found) == 6 * 600 // 30  # one in two seconds
    streamer.push({"mediapipe": body(np.zeros(600, bool))})
    assert len(streamer._store._rows) <= round(0.4 * FPS) + 1


def test_a_recording_after_a_gap_or_flush_begins_anew(classifier):
    rows = recording()
    streamer = SignXSignStreamer(classifier, "poses")
    times = np.arange(FRAMES) / FPS
    first = push_all(streamer, {"mediapipe": rows}, 10, times)
    later = push_all(streamer, {"mediapipe": rows}, 10, times + 1000)
    assert [dataclasses.replace(sign, start=0, end=0) for sign, _ in first] == [
        dataclasses.replace(sign, start=0, end=0) for sign, _ in later
    ]
    assert [sign.start + 1000 for sign, _ in first] == pytest.approx([sign.start for sign, _ in later], abs=1e-3)
    cut = round(1.5 * FPS)  # the camera stands still for a minute in the middle of the first sign
    gap = np.where(np.arange(FRAMES) < cut, times, times + 60)
    streamer = SignXSignStreamer(classifier, "poses")
    found = push_all(streamer, {"mediapipe": rows}, 1, gap)
    assert len(found) == len(SIGNS) + 1 and found[0][0].end == pytest.approx(1.5, abs=0.1)


def test_a_twitch_is_no_sign(classifier):
    up = np.zeros(60, bool)
    up[20:22] = True  # 0.13 s
    streamer = SignXSignStreamer(classifier, "poses")
    assert streamer.push({"mediapipe": body(up)}).final == [] and streamer.flush().final == []


@pytest.mark.parametrize(
    ("arguments", "options", "words"),
    [
        ((), {"source": "pictures"}, "got 'pictures'"),
        ((), {"options": live}, "`options` must be SignStreamOptions"),
        ((), {"vocabulary": ["BOOK"]}, "'BOOK' is not a sign of the model"),
        ((), {"threshold": 3}, "threshold"),
        ((), {"beams": 3}, "has no option 'beams'"),
        ((), {"source": "video", "hand": "detect"}, "`hand` must be 'as_trained' or 'right' for a video stream"),
    ],
)
def test_streamer_refuses(classifier, arguments, options, words):
    with pytest.raises(ValueError, match=words):
        SignXSignStreamer(classifier, *arguments, **options)


@pytest.mark.parametrize("name", ["rest_s", "shortest_s", "longest_s", "margin_s"])
def test_stream_options_are_checked(name):
    for value in (-1, float("nan"), True, "1"):
        with pytest.raises(SignXError, match=name):
            SignStreamOptions(**{name: value})
    with pytest.raises(SignXError, match="`longest_s` must be above `shortest_s`"):
        SignStreamOptions(shortest_s=2.0, longest_s=1.0)


def test_streamers_name_each_other(classifier):
    with pytest.raises(SignXError, match="Use SignXSignStreamer"):
        SignXStreamer(classifier.model, classifier.processor, "poses")
    with pytest.raises(SignXError, match="For sentences use SignXStreamer"):
        SignXSignStreamer(classifier.model, "poses")


# ----- signx-hf live ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def place(tmp_path_factory, classifier):
    base = tmp_path_factory.mktemp("live")
    classifier.save_pretrained(base / "model")
    np.savez(base / "clip.npz", mediapipe=recording(), fps=FPS)
    (base / "damaged.npz").write_bytes(b"PK")
    np.savez(base / "other.npz", dwpose=np.ones((20, 384)), fps=FPS)
    write_video(base / "clip.mkv", make_frames(20))
    return base


def run(capsys, *words) -> tuple[int, str, list[str]]:
    code = main(["live", *map(str, words)])
    printed = capsys.readouterr()
    return code, printed.out, printed.err.splitlines()


def test_live_from_a_pose_file(place, classifier, capsys):
    expected = [sign for sign, _ in push_all(SignXSignStreamer(classifier, "poses"), {"mediapipe": recording()}, 10)]
    words = ["--from-file", place / "clip.npz", "--model", place / "model"]
    code, out, errors = run(capsys, *words)
    assert (code, errors) == (0, []) and out.split("\n") == [*(sign.gloss for sign in expected), ""]
    code, out, _ = run(capsys, *words, "--format", "json", "--top-k", 2)
    found = [sign for line in out.splitlines() for sign in json.loads(line)["final"]]
    assert [(sign["gloss"], sign["start"], sign["end"]) for sign in found] == [
        (s.gloss, s.start, s.end) for s in expected
    ]
    assert all(len(sign["candidates"]) == 2 and sign["sure"] is None for sign in found)
    code, out, _ = run(capsys, *words, "--threshold", 1)
    assert (code, out) == (0, "?\n" * len(SIGNS))
    assert run(capsys, *words, "--seconds", 3)[1].split() == [expected[0].gloss]


def test_live_from_a_video_file(place, capsys):
    code, out, errors = run(capsys, "--from-file", place / "clip.mkv", "--model", place / "model", "--format", "json")
    assert (code, errors) == (0, [])
    assert all(sign["candidates"] for line in out.splitlines() for sign in json.loads(line)["final"])


@pytest.mark.parametrize(
    ("file", "more", "words"),
    [
        ("nowhere.npz", [], "no such file"),
        ("damaged.npz", [], "damaged.npz"),
        ("other.npz", [], "mediapipe"),
        ("clip.npz", ["--vocabulary", "nowhere.txt"], "no such file"),
        ("clip.npz", ["--threshold", "2"], "threshold"),
    ],
)
def test_live_refuses(place, capsys, file, more, words):
    code, out, errors = run(capsys, "--from-file", place / file, "--model", place / "model", *more)
    assert (code, out, len(errors)) == (2, "", 1) and words in errors[0]
