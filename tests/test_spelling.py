"""Letters that a hand holds, joined to words: from probabilities frame by frame, live and of whole clips."""

import json

import numpy as np
import pytest
from conftest import data_folder

from signx_hf import SignXError, SignXSpellingStreamer, SpellingOptions
from signx_hf.cli import main
from signx_hf.recognition.spelling import LetterSpeller

LETTERS = "ABCDEF"
PAUSE = "-"


def hand_of(letter: str) -> np.ndarray:
    """Landmarks [21, 2] of a made-up handshape, its palm 0.1 long."""
    shape = np.random.default_rng(ord(letter)).normal(0, 0.06, size=(21, 2))
    shape[0] = 0
    for knuckle, x in zip((5, 9, 13, 17), (-0.03, -0.01, 0.01, 0.03)):
        shape[knuckle] = (x, -0.1)
    return shape + 0.5


def recording(text: str, fps: float, hold: float = 0.45, way: float = 0.2, slide: float = 0.15, noise: float = 0.0005):
    """(seconds, probabilities, landmarks) of a hand that spells; `-` is a second without a hand. And [(letter, start, end)]."""
    draw = np.random.default_rng(len(text))
    keys = [(0.0, None)]  # (seconds, landmarks), between which the hand moves evenly
    spans, now, side = [], 0.0, 0.0
    for place, letter in enumerate(text):
        if letter == PAUSE:
            keys += [(now + 1e-6, None), (now + 1.0, None)]
            now += 1.0
            continue
        side += slide if place and text[place - 1] == letter else 0.0
        shape = hand_of(letter) + (side, 0)
        keys += [(now, shape), (now + hold, shape)]
        spans.append((letter, now, now + hold))
        now += hold + (way if place + 1 < len(text) and text[place + 1] != PAUSE else 0.0)
    frames = []
    for seconds in np.arange(0, now, 1 / fps):
        after = next((i for i, (at, _) in enumerate(keys) if at > seconds), len(keys) - 1)
        (t0, first), (t1, then) = keys[after - 1], keys[after]
        if first is None or then is None:
            frames.append((seconds, None, None))
            continue
        share = min((seconds - t0) / (t1 - t0), 1.0)
        points = first + share * (then - first) + draw.normal(0, noise, size=(21, 2))
        sides = np.arange(6)[:, None] * (slide, 0.0)
        ways = [min(np.abs(points - hand_of(x) - side).mean() for side in sides) for x in LETTERS]
        scores = np.exp(-np.array(ways) / 0.01)
        frames.append((seconds, scores / scores.sum(), points))
    return frames, spans


def spell(frames, options=None) -> list:
    speller = LetterSpeller(LETTERS, options)
    words = [word for frame in frames if (word := speller.push(*frame)) is not None]
    last = speller.flush()
    return words + ([] if last is None else [last])


@pytest.mark.parametrize("fps", [12.0, 30.0, 60.0])
@pytest.mark.parametrize("text", ["ABC", "FADE", "BEEF-CAB", "AA-A", "DEEDED-FEED-ADD"])
def test_words_are_spelled_at_any_frame_rate(text, fps):
    frames, spans = recording(text, fps)
    words = spell(frames)
    assert [word.gloss for word in words] == text.split(PAUSE)
    letters = [letter for word in words for letter in word.letters]
    for found, (letter, start, end) in zip(letters, spans, strict=True):
        assert found["letter"] == letter and 0.8 < found["confidence"] <= 1
        assert start - 0.05 <= found["start"] <= start + 0.25 and found["end"] == pytest.approx(end, abs=0.15)
    for word in words:
        assert (word.start, word.end) == (word.letters[0]["start"], word.letters[-1]["end"])
        assert word.confidence == pytest.approx(np.mean([x["confidence"] for x in word.letters]), abs=1e-3)


def test_what_is_not_held_is_no_letter():
    assert spell(recording("ABC", 30.0, hold=0.1)[0]) == []
    assert [word.gloss for word in spell(recording("ABC", 30.0, hold=0.3)[0])] == ["ABC"]
    longer = SpellingOptions(hold_s=0.6)
    assert spell(recording("ABC", 30.0, hold=0.4)[0], longer) == []
    assert [word.gloss for word in spell(recording("ABC", 30.0, hold=0.9)[0], longer)] == ["ABC"]


def test_the_same_letter_counts_again_only_after_the_hand_moved():
    """However long it is held, and however it trembles; a slide to the side is a second one."""
    assert [word.gloss for word in spell(recording("A", 30.0, hold=20.0)[0])] == ["A"]
    assert [word.gloss for word in spell(recording("A", 30.0, hold=5.0, noise=0.002)[0])] == ["A"]
    assert [word.gloss for word in spell(recording("AA", 30.0, slide=0.15)[0])] == ["AA"]
    assert [word.gloss for word in spell(recording("AA", 30.0, slide=0.0)[0])] == ["A"]
    frames, _ = recording("A", 30.0, hold=2.0)
    lost = [(t, None, None) if 0.8 < t < 1.1 else (t, p, x) for t, p, x in frames]
    assert [word.gloss for word in spell(lost)] == ["A"], "a hand that was lost for a moment"


def test_a_letter_that_is_not_sure_is_left_out():
    frames, _ = recording("AB", 30.0)
    flat = [(t, None if p is None else 0.3 * p + 0.7 / len(p), x) for t, p, x in frames]
    assert spell(flat, SpellingOptions(sure=0.6)) == []
    assert [word.gloss for word in spell(flat, SpellingOptions(sure=0.3))] == ["AB"]


def test_partial_words_and_the_end_of_one():
    frames, _ = recording("CAB-", 30.0)
    speller, seen, over = LetterSpeller(LETTERS), [], None
    for frame in frames:
        word = speller.push(*frame)
        over = (frame[0], word) if word is not None else over
        partial = speller.partial()
        seen.append("" if partial is None else partial.gloss)
    assert list(dict.fromkeys(seen)) == ["", "C", "CA", "CAB"]
    assert over[1].gloss == "CAB" and over[0] - over[1].end <= SpellingOptions().rest_s + 0.4
    assert speller.flush() is None


@pytest.mark.parametrize(
    "options",
    [{"hold_s": 0}, {"rest_s": -1}, {"sure": 1.5}, {"still": float("nan")}, {"moved": "fast"}, {"smooth_s": True}],
)
def test_bad_options(options):
    with pytest.raises(SignXError, match=next(iter(options))):
        SpellingOptions(**options)


# ------------------------------------------------------------------------------------------- with the model that ships


@pytest.fixture(scope="module")
def recognizer():
    from signx_hf.assets import model_place
    from signx_hf.recognition.loading import open_recognizer

    return open_recognizer(model_place("asl-letters"), "cpu", False, {})


@pytest.fixture(scope="module")
def word():
    """Rows of the track `hands` at 30 frames a second in which a hand spells CAFE, CAB: real frames, held and joined."""
    with np.load(data_folder("asl_letters") / "asl_letters.npz") as arrays:
        xy, letter, source = (arrays[name] for name in ("xy", "letter", "source"))
    frames = []
    for text in ("CAFE", "CAB"):
        shapes = [xy[np.flatnonzero((letter == x) & (source == "fawziya"))[20]].astype(np.float32) for x in text]
        for place, shape in enumerate(shapes):
            frames += [shape] * 12
            if place + 1 < len(shapes):
                frames += [shape + (shapes[place + 1] - shape) * k / 7 for k in range(1, 7)]
        frames += [None] * 24
    rows = np.zeros((len(frames), 2, 21, 3), np.float32)
    for row, shape in zip(rows, frames):
        if shape is not None:
            row[0, :, 0], row[0, :, 1] = 0.5 + 0.2 * shape[:, 0] * 9 / 16, 0.6 + 0.2 * shape[:, 1]
            row[0, :, 2] = np.random.default_rng(0).normal(0, 0.05, 21)  # depth is not read
    return rows.reshape(len(rows), 126)


def mirrored(rows):
    hands = rows.reshape(-1, 2, 21, 3).copy()
    there = hands.any((2, 3))
    hands[..., 0] = np.where(there[..., None], 1 - hands[..., 0], 0)
    return hands.reshape(len(rows), 126)


def test_live_and_clip_say_the_same(recognizer, word, tmp_path, capsys):
    path = tmp_path / "word.npz"
    np.savez(path, hands=word, fps=30.0)
    assert main(["recognize", str(path), "--model", "asl-letters", "--format", "json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["glosses"] == ["CAFE", "CAB"] and result["text"] == "CAFE CAB"
    assert "".join(letter["letter"] for letter in result["letters"]) == "CAFECAB"
    assert result["duration"] == pytest.approx(len(word) / 30) and "candidates" not in result
    streamer = SignXSpellingStreamer(recognizer, "poses", fps=30.0)
    found, partial = [], []
    for row in word:
        update = streamer.push({"hands": row})
        found += update.final
        partial += [x.gloss for x in update.partial]
    found += streamer.flush().final
    assert [(x.gloss, x.start, x.end, x.confidence) for x in found] == [
        (x["gloss"], x["start"], x["end"], x["confidence"]) for x in result["segments"]
    ]
    assert list(dict.fromkeys(partial)) == ["C", "CA", "CAF", "CAFE", "CAB"]
    assert main(["live", "--from-file", str(path), "--model", "asl-letters"]) == 0
    assert capsys.readouterr().out.split() == ["CAFE", "CAB"]
    assert main(["live", "--from-file", str(path), "--model", "asl-letters", "--format", "json"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    final = [sign for line in lines for sign in line["final"]]
    assert [sign["gloss"] for sign in final] == ["CAFE", "CAB"] and final[0]["letters"][0]["letter"] == "C"


@pytest.mark.parametrize("name", ["tsv", "csv", "srt", "vtt", "ctm", "txt", "eaf"])
def test_every_format_holds_the_words(word, tmp_path, name):
    if name in ("vtt", "eaf"):
        pytest.importorskip({"vtt": "webvtt", "eaf": "pympi"}[name])
    np.savez(tmp_path / "word.npz", hands=word, fps=30.0)
    command = ["recognize", str(tmp_path / "word.npz"), "--model", "asl-letters", "--format", name]
    assert main([*command, "--out", str(tmp_path / "out")]) == 0
    text = (tmp_path / "out" / f"word.{name}").read_text()
    assert "CAFE" in text and "CAB" in text
    if name == "tsv":
        rows = [line.split("\t") for line in text.splitlines()]
        assert rows[0] == ["file", "gloss", "start", "end", "confidence"] and [row[1] for row in rows[1:]] == [
            "CAFE",
            "CAB",
        ]


def test_left_hands_and_the_other_hand(recognizer, word):
    from signx_hf.recognition.spelling_stream import SpellingRecognizer

    spell_clip = SpellingRecognizer(recognizer)
    for rows, options in ((mirrored(word), {}), (mirrored(word), {"hand": "left"})):
        result = spell_clip({"hands": rows, "fps": 30.0}, **options)
        assert result["text"] == "CAFE CAB" and result["signer"]["mirrored"] is bool(options)
    both = word.reshape(-1, 2, 21, 3).copy()
    both[:, 1] = both[:, 0]
    both[:, 0] = np.random.default_rng(1).normal(0, 0.02, (21, 3)) + (
        0.2,
        0.95,
        0,
    )  # a hand that rests, in the other slot
    assert spell_clip({"hands": both.reshape(len(word), 126), "fps": 30.0})["text"] == "CAFE CAB"
    assert spell_clip([{"hands": word, "fps": 30.0}] * 2)[1]["text"] == "CAFE CAB"


def test_vocabulary_and_threshold(recognizer, word):
    from signx_hf.recognition.spelling_stream import SpellingRecognizer

    spell_clip, clip = SpellingRecognizer(recognizer), {"hands": word, "fps": 30.0}
    assert set(spell_clip(clip, vocabulary=["A", "B", "C"])["text"]) <= set("ABC ")
    nothing = spell_clip(clip, threshold=1.0)
    assert nothing["glosses"] == [] and nothing["reason"] == "no letter is held"
    for options, said in (({"top_k": 3}, "top_k"), ({"hand": "detect"}, "detect"), ({"threshold": 2}, "threshold")):
        with pytest.raises(SignXError, match=said):
            spell_clip(clip, **options)


def test_other_models_are_refused():
    from make_model import GLOSSES
    from sign_pipelines import make_classifier

    assert len(GLOSSES) > 1
    with pytest.raises(SignXError, match="spells"):
        SignXSpellingStreamer(make_classifier({"hands": 126}), "poses")
