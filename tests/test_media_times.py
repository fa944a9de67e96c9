"""The same sign is at the same second, whatever file holds it and whatever command reads it."""

import csv
import json
import re

import numpy as np
import pytest
from coded_hands import WORD, coded_pictures
from make_model import GLOSSES, TRACKS, make_model, make_tokenizer
from timed_media import LEAD, MEDIA, RATE, starts_of, write_medium
from transformers import pipeline

from signx_hf import SignXPoseFeatureExtractor, SignXProcessor, SignXVideoProcessor
from signx_hf.assets import demo_clips, model_place, spelled_clip
from signx_hf.cli import main
from signx_hf.data import decode_poses, encode_poses
from signx_hf.data.load import open_source
from signx_hf.data.media import clip_of
from signx_hf.data.schema import make_row, to_dataset
from signx_hf.poses import ExtractOptions, extract
from signx_hf.processing.errors_signx import SignXPoseError
from signx_hf.processing.video_decoding_signx import iter_video, open_video
from signx_hf.recognition.loading import load_pipeline
from signx_hf.recognition.spelling_stream import SpellingRecognizer

FRAME = 1 / RATE
LATE = [name for name in MEDIA if MEDIA[name].picture]
UNEVEN = [name for name in MEDIA if MEDIA[name].slow]
FOLDER = "frame folder"
CLIP = min(demo_clips(), key=lambda clip: clip.segments[-1]["end"])
STARTS = [LEAD + segment["start"] for segment in CLIP.segments]  # of the signs, as the renderer knows them
END = LEAD + 71 / RATE  # the clip has 71 frames
NEAR = 0.15  # seconds; boundaries of the recognizer are about this exact


def read_all(path) -> list:
    return list(iter_video(open_video(str(path), RATE), None, None))


@pytest.fixture(scope="module")
def signed(tmp_path_factory):
    """A demo clip in every medium; it moves from `LEAD` seconds on."""
    pictures = [frame for _, frame in iter_video(open_video(str(CLIP.video)), None, None)]
    folder = tmp_path_factory.mktemp("signed")
    return {name: write_medium(folder, name, pictures) for name in MEDIA}


@pytest.fixture(scope="module")
def recognizer():
    return load_pipeline(model_place("demo"), "cpu")


def starts(result) -> list[float]:
    assert [segment["gloss"] for segment in result["segments"]] == CLIP.glosses
    return [segment["start"] for segment in result["segments"]]


def test_media_start_as_they_are_meant_to(signed):
    for name, path in signed.items():
        if path.is_file():
            container, picture = starts_of(path)
            assert picture - container == pytest.approx(MEDIA[name].picture, abs=0.03), name
            assert len(read_all(path)) == round((END - MEDIA[name].picture) * RATE) - 24 * MEDIA[name].slow, name


@pytest.mark.parametrize("name", MEDIA)
def test_recognize_and_align(recognizer, signed, name):
    fps = {"source_fps": RATE} if name == FOLDER else {}
    result = recognizer(str(signed[name]), **fps)
    assert starts(result) == pytest.approx(STARTS, abs=NEAR)
    assert result["segments"][-1]["end"] <= result["duration"] == pytest.approx(END, abs=0.07)
    assert starts(recognizer.align(str(signed[name]), CLIP.glosses, **fps)) == pytest.approx(STARTS, abs=NEAR)
    pieces = recognizer(str(signed[name]), chunk_length_s=20.0, **fps)
    assert starts(pieces) == pytest.approx(STARTS, abs=NEAR)
    assert pieces["utterances"][0]["start"] >= MEDIA[name].picture - 1e-6


@pytest.mark.parametrize("name", [name for name in MEDIA if name != FOLDER])
def test_live(signed, name, capsys):
    assert main(["live", "--from-file", str(signed[name]), "--model", "demo", "--format", "json"]) == 0
    found = [gloss for line in capsys.readouterr().out.splitlines() for gloss in json.loads(line)["final"]]
    assert [gloss["gloss"] for gloss in found] == CLIP.glosses
    assert [gloss["start"] for gloss in found] == pytest.approx(STARTS, abs=0.2)


def test_live_stops_after_seconds_of_what_is_seen(signed, capsys):
    path = str(signed["MKV, picture later"])
    command = ["live", "--from-file", path, "--model", "demo", "--format", "json", "--seconds", "0.5"]
    assert main(command) == 0
    assert all(json.loads(line)["time"] <= LEAD + 0.5 for line in capsys.readouterr().out.splitlines())


@pytest.mark.parametrize("name", MEDIA)
def test_rows_with_start_and_end(recognizer, signed, name, tmp_path):
    """`start` and `end` of a table are seconds of the file."""
    column = "frames" if name == FOLDER else "video"
    spans = [("cut", 0.8, END), ("early", 0.0, END)]
    with open(tmp_path / "rows.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["id", column, "fps", "start", "end", "glosses"])
        writer.writerows([id, signed[name], RATE, start, end, " ".join(CLIP.glosses)] for id, start, end in spans)
    rows = open_source(str(tmp_path / "rows.csv"))["train"]
    for row, (_, start, _) in zip(rows, spans, strict=True):
        clip, fps = clip_of(row, "video", recognizer.processor, recognizer.model.config)
        found = starts(recognizer(clip, **({} if fps is None else {"source_fps": fps})))
        assert [start + second for second in found] == pytest.approx(STARTS, abs=NEAR)


def test_every_writer(signed, tmp_path, capsys):
    """The first sign of a picture that starts later, in all formats of `recognize` and `align`."""
    path, formats = str(signed["MP4, picture later"]), "json,tsv,csv,srt,vtt,ctm,eaf"
    assert main(["recognize", path, "--model", "demo", "--format", formats, "--out", str(tmp_path)]) == 0
    text = {name: next(tmp_path.glob(f"*.{name}")).read_text(encoding="utf-8") for name in formats.split(",")}
    times = {
        "json": json.loads(text["json"])["segments"][0]["start"],
        "ctm": float(text["ctm"].splitlines()[0].split()[2]),
        "eaf": int(re.search(r'TIME_VALUE="(\d+)"', text["eaf"]).group(1)) / 1000,
    }
    for name, delimiter in (("tsv", "\t"), ("csv", ",")):
        times[name] = float(next(csv.DictReader(text[name].splitlines(), delimiter=delimiter))["start"])
    for name in ("srt", "vtt"):
        hours, minutes, seconds = re.search(r"(?:(\d+):)?(\d\d):(\d\d[.,]\d+) -->", text[name]).groups("0")
        times[name] = 3600 * int(hours) + 60 * int(minutes) + float(seconds.replace(",", "."))
    assert times == pytest.approx(dict.fromkeys(times, STARTS[0]), abs=NEAR)
    capsys.readouterr()
    assert main(["align", path, " ".join(CLIP.glosses), "--model", "demo"]) == 0
    row = next(csv.DictReader(capsys.readouterr().out.splitlines(), delimiter="\t"))
    assert float(row["start"]) == pytest.approx(STARTS[0], abs=NEAR)


def test_decoded_frames_say_when_they_are_shown(recognizer, signed):
    for name, path in signed.items():
        video = recognizer.processor.video_processor.decode(str(path), RATE)
        first = MEDIA[name].picture
        assert video.timestamps[0] == video.metadata["start"] == pytest.approx(first, abs=0.03), name
        assert np.diff(video.timestamps) == pytest.approx(1 / recognizer.processor.video_processor.fps)


# ------------------------------------------------------------------------------------------------------ stored poses


@pytest.fixture(scope="module")
def speller():
    return SpellingRecognizer(load_pipeline(model_place("asl-letters"), "cpu"))


@pytest.fixture(scope="module")
def letters(speller):
    """(letter, seconds) of the word in every medium below: its rows follow one picture of nobody."""
    result = speller({**spelled_clip(WORD), "fps": float(RATE)})
    assert result["glosses"] == [WORD]
    return [(letter["letter"], LEAD + FRAME + letter["start"]) for letter in result["letters"]]


@pytest.fixture(scope="module")
def coded(tmp_path_factory):
    """A spelled word in every medium, as rows to extract from."""
    folder = tmp_path_factory.mktemp("coded")
    rows = []
    for name in MEDIA:
        path = write_medium(folder, name, coded_pictures())
        where = {"frames": str(path), "fps": float(RATE)} if path.is_dir() else {"video": path}
        rows.append(make_row(id=name, **where))
    return to_dataset(rows)


@pytest.fixture(scope="module")
def stored(coded, tmp_path_factory):
    """Stored poses of every medium: of all frames, at another rate, and of a part from 0.5 s on."""
    folder = tmp_path_factory.mktemp("stored")
    parts = to_dataset([{**row, "start": 0.5, "end": 3.2} for row in coded])
    made = {
        "all": extract(coded, ["coded_hands:CodedHands"], folder / "all"),
        "thinned": extract(coded, ["coded_hands:CodedHands"], folder / "thinned", ExtractOptions(fps=12.5)),
        "part": extract(parts, ["coded_hands:CodedHands"], folder / "part"),
    }
    return {kind: {row["id"]: row for row in dataset} for kind, dataset in made.items()}


def seconds_of_rows(poses) -> np.ndarray:
    if poses.timestamps is not None:
        return poses.timestamps
    return poses.start + np.arange(len(poses.values)) / poses.fps


def check_letters(found, letters, late: float = 0.0) -> None:
    assert [letter["letter"] for letter in found] == [letter for letter, _ in letters]
    expected = [second for _, second in letters]
    assert [late + letter["start"] for letter in found] == pytest.approx(expected, abs=0.1)


@pytest.mark.parametrize("name", MEDIA)
@pytest.mark.parametrize("kind", ["all", "thinned", "part"])
def test_stored_rows_say_when_their_picture_is_shown(stored, kind, name):
    poses = decode_poses(stored[kind][name]["poses"])
    truth = spelled_clip(WORD)["hands"].astype(np.float16)
    late, seen = 0.5 if kind == "part" else 0.0, 0
    for second, row, observed in zip(seconds_of_rows(poses) + late, poses.values, poses.mask[:, 0], strict=True):
        if observed:
            number = np.flatnonzero((truth == row).all(axis=1))
            shown = LEAD + FRAME + number * FRAME
            assert np.abs(second - shown).min() <= (0.6 if kind == "thinned" else 0.1) * FRAME + 0.022
            seen += 1
    assert seen >= (20 if kind == "thinned" else 46)


@pytest.mark.parametrize("name", MEDIA)
@pytest.mark.parametrize("kind", ["all", "thinned", "part"])
def test_stored_poses_are_recognized_at_their_second(speller, stored, letters, kind, name):
    clip, fps = clip_of(stored[kind][name], "poses", speller.processor)
    assert fps is None
    check_letters(speller(clip)["letters"], letters, late=0.5 if kind == "part" else 0.0)


@pytest.mark.parametrize("kind", ["all", "thinned", "part"])
def test_an_extracted_row_still_times_its_images(coded, stored, kind):
    """The rate of a folder of images is that of the row, whatever the rate of the poses."""
    row = stored[kind][FOLDER]
    assert row["fps"] == RATE and decode_poses(row["poses"]).fps == (12.5 if kind == "thinned" else RATE)


def test_constant_rates_are_stored_as_before(stored):
    """Byte for byte: no time stamps where the rate says it all."""
    for name in set(MEDIA) - set(LATE) - set(UNEVEN):
        row = stored["all"][name]
        poses = decode_poses(row["poses"])
        notes = {key: poses.notes[key] for key in poses.notes}
        plain = encode_poses({"hands": poses.values}, {"hands": poses.mask[:, 0]}, float(RATE), notes)
        assert plain == row["poses"] and (poses.start, poses.timestamps, row["fps"]) == (0.0, None, RATE)
    assert all(decode_poses(stored["all"][name]["poses"]).timestamps is not None for name in UNEVEN)
    for name in LATE:
        poses = decode_poses(stored["all"][name]["poses"])
        assert poses.timestamps is None and poses.start == pytest.approx(LEAD, abs=0.03)


def test_frames_that_share_a_second_stay_in_order(tmp_path):
    stamps = [0.0, 0.04, 0.04, 0.04, 0.3, 0.34]
    poses = encode_poses({"hands": np.ones((6, 126))}, fps=25.0, timestamps=np.array(stamps) + 1e-5 * np.arange(6))
    clip = load_pipeline(model_place("asl-letters"), "cpu").feature_extractor.read(decode_poses(poses))
    assert clip.timestamps == pytest.approx(stamps, abs=1e-4) and clip.begins == 0.0


@pytest.mark.parametrize(
    "times",
    [{"timestamps": [0.0, 0.1]}, {"timestamps": [0.0, 0.2, 0.1]}, {"timestamps": [0.0, np.nan, 1.0]}, {"start": -1.0}],
)
def test_stored_times_must_be_those_of_the_rows(times):
    with pytest.raises(SignXPoseError, match="ascending seconds"):
        encode_poses({"hands": np.ones((3, 126))}, fps=25.0, **times)


@pytest.mark.parametrize("given", [{"start": "late"}, {"timestamps": [0.0]}, {"timestamps": {"a": 1}}])
def test_damaged_times_of_stored_poses(given):
    """A header that says what `encode_poses` never writes."""
    poses = encode_poses({"hands": np.ones((3, 126))}, fps=25.0)
    length = int.from_bytes(poses[4:8], "little")
    header = json.dumps({**json.loads(poses[8 : 8 + length]), **given}).encode()
    with pytest.raises(SignXPoseError, match="ascending seconds"):
        decode_poses(poses[:4] + len(header).to_bytes(4, "little") + header + bytes(16) + poses[-756:])


def rows_with_lead() -> tuple[np.ndarray, np.ndarray]:
    """Rows [T, 126] at `RATE` from 0 s on, and whether somebody was seen."""
    rows = spelled_clip(WORD)["hands"]
    lead = round(LEAD * RATE) + 1
    return np.concatenate([np.zeros((lead, 126)), rows]), np.array([False] * lead + [True] * len(rows))


@pytest.mark.parametrize("kind", ["constant", "start", "timestamps"])
def test_pose_arrays_and_npz(speller, letters, kind, tmp_path, capsys):
    rows, seen = rows_with_lead()
    first = round(LEAD * RATE)
    times = {"constant": {"fps": RATE}, "start": {"fps": RATE, "start": LEAD}, "timestamps": {}}[kind]
    if kind == "start":
        rows, seen = rows[first:], seen[first:]
    elif kind == "timestamps":  # the lead has fewer rows
        kept = [*range(0, first, 5), *range(first, len(rows))]
        rows, seen, times = rows[kept], seen[kept], {"timestamps": np.array(kept) / RATE}
    notes = spelled_clip(WORD)["notes"]
    clip = {"hands": rows, "masks": {"hands": seen}, "notes": notes, **times}
    check_letters(speller(clip)["letters"], letters)
    path = tmp_path / "clip.npz"
    np.savez(path, hands=rows, hands_mask=seen, notes=notes, **times)
    check_letters(speller(str(path))["letters"], letters)
    assert main(["live", "--from-file", str(path), "--model", "asl-letters", "--format", "json"]) == 0
    words = [word for line in capsys.readouterr().out.splitlines() for word in json.loads(line)["final"]]
    check_letters(words[0]["letters"], letters)


def test_pose_file(speller, letters, tmp_path):
    from pose_format import Pose
    from pose_format.numpy import NumPyPoseBody
    from pose_format.pose_header import PoseHeader, PoseHeaderDimensions
    from pose_format_files import standard_components

    rows, seen = rows_with_lead()
    components = [c for c in standard_components("holistic") if c.name.endswith("HAND_LANDMARKS")]
    size = 500
    hands = rows.reshape(len(rows), 1, 42, 3) * np.array([size, size, 1.0])
    confidence = hands.any(axis=-1).astype(np.float32)
    header = PoseHeader(0.2, PoseHeaderDimensions(size, size, size), components)
    path = tmp_path / "clip.pose"
    with open(path, "wb") as file:
        Pose(header, NumPyPoseBody(float(RATE), hands.astype(np.float32), confidence)).write(file)
    check_letters(speller(str(path))["letters"], letters)


@pytest.mark.parametrize("name", UNEVEN)
def test_every_frame_of_a_variable_rate(signed, name):
    """A model that keeps all frames tells the same frames as of an array, at the seconds when they are shown."""
    processor = SignXProcessor(
        SignXVideoProcessor(size=32, fps=None),
        SignXPoseFeatureExtractor(track_dims=TRACKS, fps=None),
        make_tokenizer(),
    )
    pipe = pipeline(
        "sign-recognition", model=make_model("SignXForGlossRecognition"), processor=processor, device="cpu"
    )
    frames = read_all(signed[name])
    even = pipe.align(np.stack([frame for _, frame in frames]), [GLOSSES[0], GLOSSES[5]], source_fps=RATE)["segments"]
    found = pipe.align(str(signed[name]), [GLOSSES[0], GLOSSES[5]])["segments"]
    shown = [*(second for second, _ in frames), END]
    expected = [np.interp(s[edge] * RATE, range(len(shown)), shown) for s in even for edge in ("start", "end")]
    assert [s[edge] for s in found for edge in ("start", "end")] == pytest.approx(expected, abs=0.01)


def test_hands_of_a_single_sign_and_of_a_recording():
    """Isolated signs and spotting: the same rows later on the clock give the same answer, later."""
    clip = {**spelled_clip(WORD), "fps": float(RATE)}
    for name, task in (("dgs30", None), ("asl-sentences", "sign-spotting")):
        pipe = load_pipeline(model_place(name), "cpu", task=task)
        options = {} if task else {"details": True}
        plain, later = pipe(clip, **options), pipe({**clip, "start": 2.0}, **options)
        spans = [
            [(s["start"], s["end"]) for s in r["segments"]] if task else (r["start"], r["end"]) for r in (plain, later)
        ]
        assert np.array(spans[1]) == pytest.approx(np.array(spans[0]) + 2.0, abs=2e-4)
        assert later["duration"] == pytest.approx(plain["duration"] + 2.0, abs=2e-4)
        assert later["glosses"] == plain["glosses"]
