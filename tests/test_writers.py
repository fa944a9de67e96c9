"""Every format is read again by somebody else's reader: json, csv, srt, webvtt, pympi, a scorer's idea of CTM."""

import csv
import html
import json
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from signx_hf.data.errors import SignXDataError
from signx_hf.writers import ALL, WRITERS, check_formats, read_eaf

pympi = pytest.importorskip("pympi")
webvtt = pytest.importorskip("webvtt")
srt = pytest.importorskip("srt")

HARD = [
    "-->",
    "<b>",
    "A&B",
    "天气",
    "a\nb",
    "x\ty",
    "</ANNOTATION_VALUE>",
    "]]>",
    "\\n",
    '"',
    "IX-1p",
    "\x1b[2J",
    "😀",
    "1",
]


def result_of(segments, **more) -> dict:
    """As the pipeline returns it; segments: (gloss, start, end, confidence)."""
    keys = ("gloss", "start", "end", "confidence")
    glosses = [segment[0] for segment in segments]
    return {
        "glosses": glosses,
        "text": " ".join(glosses),
        "segments": [dict(zip(keys, segment)) for segment in segments],
        "n_best": [{"glosses": glosses, "score": -1.5}],
        "duration": 60.0,
        **more,
    }


def in_a_row(glosses) -> dict:
    return result_of([(gloss, 0.5 * n, 0.5 * n + 0.25, 0.5) for n, gloss in enumerate(glosses)])


def escaped(gloss: str) -> str:
    """What formats of lines do to control characters, written a second time."""
    return re.sub(r"[\x00-\x1f\x7f-\x9f]", lambda found: f"\\x{ord(found.group()):02x}", gloss)


def render(name: str, result: dict, clip: str = "clip.mp4", place=None) -> str:
    return WRITERS[name].render(result, clip, place)


def test_json_is_what_the_pipeline_says():
    result = in_a_row(HARD) | {"signer": {"rule": "largest"}}
    assert json.loads(render("json", result, "天.mp4")) == {"version": 1, "file": "天.mp4", **result}
    line = WRITERS["json"].rows("天.mp4", result, True)
    assert "\n" not in line and json.loads(line) == {"version": 1, "file": "天.mp4", **result}
    bad = result | {"n_best": [{"glosses": [], "score": float("-inf")}], "duration": float("nan")}
    found = json.loads(render("json", bad), parse_constant=pytest.fail)
    assert found["n_best"][0]["score"] is None and found["duration"] is None


def test_tsv_is_one_row_for_a_gloss():
    text = render("tsv", in_a_row(HARD), "a\tb.mp4")
    head, *rows = csv.reader(text.splitlines(), delimiter="\t", quoting=csv.QUOTE_NONE)
    assert head == ["file", "gloss", "start", "end", "confidence"]
    names = {"\\\\": "\\", "\\t": "\t", "\\n": "\n"}
    back = [re.sub(r"\\\\|\\[tn]", lambda found: names[found.group()], row[1]) for row in rows]
    assert [gloss.replace("\\x1b", "\x1b") for gloss in back] == HARD
    assert {row[0] for row in rows} == {"a\\tb.mp4"}
    assert [float(row[2]) for row in rows] == [0.5 * n for n in range(len(HARD))]


def test_txt_is_one_line():
    assert render("txt", in_a_row(["A", "天"])) == "A 天\n"
    assert render("txt", in_a_row(["a\nb\u2028c"])) == "a\\x0ab\\u2028c\n"


def test_srt_is_read_by_srt():
    found = list(srt.parse(render("srt", in_a_row(HARD))))
    assert [cue.content for cue in found] == [escaped(gloss) for gloss in HARD]
    assert [cue.index for cue in found] == list(range(1, len(HARD) + 1))
    assert [cue.start.total_seconds() for cue in found] == [0.5 * n for n in range(len(HARD))]
    late = result_of([("A", 3599.9996, 360000.0124, None)])
    assert render("srt", late) == "1\n01:00:00,000 --> 100:00:00,012\nA\n"


def test_vtt_is_read_by_webvtt(tmp_path):
    (tmp_path / "clip.vtt").write_text(render("vtt", in_a_row(HARD)), encoding="utf-8")
    found = webvtt.read(str(tmp_path / "clip.vtt")).captions
    assert [html.unescape(cue.raw_text) for cue in found] == [escaped(gloss) for gloss in HARD]
    assert [cue.start for cue in found][:3] == ["00:00:00.000", "00:00:00.500", "00:00:01.000"]
    assert not any("<" in cue.raw_text or "-->" in cue.raw_text for cue in found)


def read_ctm(text: str) -> list[tuple]:
    """As sclite reads it: fields between white space, `;;` a comment, sorted by file, channel and start."""
    rows = [line.split() for line in text.splitlines() if line.strip() and not line.startswith(";;")]
    assert all(len(row) in (5, 6) for row in rows)
    found = [
        (row[0], row[1], float(row[2]), float(row[3]), row[4], float(row[5]) if row[5:] else None) for row in rows
    ]
    assert found == sorted(found, key=lambda row: row[:3]) and all(row[3] > 0 for row in found)
    return found


def test_ctm_is_scored_with_the_conventions_of_sclite():
    result = result_of([("A", 0.1, 0.35, 0.9), ("B C", 0.5, 0.75, None), ("<ALT>", 1.0, 1.5, 0.25)])
    assert read_ctm(render("ctm", result, "videos/;;my clip.v1.mp4")) == [
        ("%3B;my%20clip.v1", "1", 0.1, 0.25, "A", 0.9),
        ("%3B;my%20clip.v1", "1", 0.5, 0.25, "B%20C", None),
        ("%3B;my%20clip.v1", "1", 1.0, 0.5, "%3CALT>", 0.25),
    ]
    words = [row[4] for row in read_ctm(render("ctm", in_a_row(HARD)))]
    from urllib.parse import unquote

    assert [unquote(word) for word in words] == HARD
    assert words[:4] == HARD[:4]


def test_eaf_is_read_by_pympi_and_linked_to_its_media(tmp_path):
    media, place = tmp_path / "my videos" / "天 clip.mp4", tmp_path / "out" / "天 clip.eaf"
    for path in (media, place):
        path.parent.mkdir()
    media.write_bytes(b"")
    result = result_of([("A", 0.1, 0.35, 0.9), ("-->", 0.5, 0.75, None)], translation="Hello <you> & me")
    place.write_text(render("eaf", result, str(media), place), encoding="utf-8")
    eaf = pympi.Elan.Eaf(str(place))
    assert list(eaf.get_tier_names()) == ["gloss", "confidence", "translation"]
    assert eaf.get_annotation_data_for_tier("gloss") == [(100, 350, "A"), (500, 750, "-->")]
    assert eaf.get_ref_annotation_data_for_tier("confidence") == [(100, 350, "0.9000", "A")]
    assert eaf.get_annotation_data_for_tier("translation") == [(0, 60000, "Hello <you> & me")]
    (linked,) = eaf.get_linked_files()
    assert linked["MEDIA_URL"] == f"file://{media}" and linked["MIME_TYPE"] == "video/mp4"
    assert (place.parent / linked["RELATIVE_MEDIA_URL"]).resolve() == media
    slots = list(eaf.timeslots.values())
    assert slots == sorted(slots), "ELAN keeps time slots in the order of time"
    assert read_eaf(place)["media"] == str(media)


def test_our_own_loader_takes_the_eaf(tmp_path):
    from signx_hf import load_dataset

    (tmp_path / "clip.mp4").write_bytes(b"")
    result = result_of([("A", 0.1, 0.35, 0.9), ("B", 0.5, 0.75, None)])
    place = tmp_path / "clip.eaf"
    place.write_text(render("eaf", result, str(tmp_path / "clip.mp4"), place), encoding="utf-8")
    row = load_dataset("elan", data_dir=str(tmp_path), split="train", take_uncorrected=True)[0]
    assert row["glosses"] == ["A", "B"] and Path(row["video"]["path"]) == tmp_path / "clip.mp4"
    assert [(s["start"], s["end"]) for s in row["segments"]] == [(0.1, 0.35), (0.5, 0.75)]


def test_poses_are_linked_but_are_no_media(tmp_path):
    place = tmp_path / "clip.eaf"
    place.write_text(render("eaf", in_a_row(["A"]), "clip.npz", place), encoding="utf-8")
    eaf = pympi.Elan.Eaf(str(place))
    assert not eaf.get_linked_files() and eaf.get_secondary_linked_files()[0]["LINK_URL"].endswith("/clip.npz")


GLOSSES = st.text(st.characters(blacklist_categories=["Cs"]), min_size=1, max_size=8).filter(str.strip)
LENGTHS = st.integers(0, 3_000_000)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(GLOSSES, LENGTHS, LENGTHS, st.none() | st.floats(0, 1)), max_size=8))
def test_an_eaf_read_again_gives_the_same_segments(tmp_path_factory, parts):
    """Of any gloss and any times that follow each other, to the millisecond."""
    segments, now = [], 0
    for gloss, gap, length, confidence in parts:
        start, now = now + gap, now + gap + length + 1
        segments.append((gloss, start / 1000 + 0.0003, now / 1000 - 0.0003, confidence))
    place = tmp_path_factory.getbasetemp() / "again.eaf"
    place.write_text(render("eaf", result_of(segments), "clip.mp4", place), encoding="utf-8")
    found = read_eaf(place)["segments"]
    assert len(found) == len(segments)
    for segment, (gloss, start, end, confidence) in zip(found, segments):
        assert (segment["start"], segment["end"]) == (round(start, 3), round(end, 3))
        if all(character.isprintable() for character in gloss):
            assert segment["gloss"] == gloss
        assert segment["confidence"] == (None if confidence is None else pytest.approx(confidence, abs=5.1e-5))


@pytest.mark.parametrize("name", WRITERS)
def test_nothing_recognised_gives_a_valid_file(name, tmp_path):
    text = render(name, result_of([]), place=tmp_path / "clip")
    path = tmp_path / f"clip.{name}"
    path.write_text(text, encoding="utf-8")
    found = {
        "json": lambda: json.loads(text)["segments"],
        "tsv": lambda: list(csv.reader(text.splitlines(), delimiter="\t"))[1:],
        "csv": lambda: list(csv.reader(text.splitlines()))[1:],
        "txt": text.split,
        "srt": lambda: list(srt.parse(text)),
        "vtt": lambda: list(webvtt.read(str(path))),
        "ctm": lambda: read_ctm(text),
        "eaf": lambda: pympi.Elan.Eaf(str(path)).get_annotation_data_for_tier("gloss"),
    }[name]()
    assert found == []


def sign_of(candidates, sure=None) -> dict:
    """As the pipeline of isolated signs returns it; candidates: (label, score)."""
    best = [] if sure is False else [(candidates[0][0], 0.5, 1.25, candidates[0][1])]
    return result_of(best) | {
        "candidates": [{"label": label, "score": score} for label, score in candidates],
        "start": 0.5,
        "end": 1.25,
        "sure": sure,
        "rejection": {"score": "probability", "value": candidates[0][1], "threshold": None if sure is None else 0.5},
    }


@pytest.mark.parametrize("sure", [None, True, False])
def test_tables_of_single_signs(sure):
    """Candidates with their ranks; CSV is read by Python's own reader, commas, quotes and all."""
    labels = ["A,B", '"', "x\ty", "天气"]
    result = sign_of([(label, 0.4 - 0.1 * rank) for rank, label in enumerate(labels)], sure)
    said = {None: "", True: "yes", False: "no"}[sure]
    head, *rows = csv.reader(render("tsv", result).splitlines(), delimiter="\t", quoting=csv.QUOTE_NONE)
    assert head == ["file", "gloss", "start", "end", "confidence", "rank", "sure"]
    assert [row[1] for row in rows] == ["A,B", '"', "x\\ty", "天气"]
    assert [row[2:] for row in rows] == [
        ["0.500", "1.250", f"{0.4 - 0.1 * n:.4f}", str(n + 1), said] for n in range(4)
    ]
    (row,) = csv.DictReader(render("csv", result, "a,b.mp4").splitlines())
    assert (row["file"], row["sure"], row["start"], row["end"]) == ("a,b.mp4", said, "0.500", "1.250")
    assert [row[f"gloss_{n}"] for n in range(1, 5)] == ["A,B", '"', "x\\x09y", "天气"]
    assert [float(row[f"score_{n}"]) for n in range(1, 5)] == pytest.approx([0.4, 0.3, 0.2, 0.1])
    assert (row["gloss"], row["confidence"]) == (("", "") if sure is False else ("A,B", "0.4000"))


@pytest.mark.parametrize("name", ["txt", "srt", "vtt", "ctm", "eaf", "json"])
def test_no_format_names_a_sign_that_the_model_is_not_sure_of(name, tmp_path):
    unsure, sure = (sign_of([("BOOK", 0.4), ("PAPER", 0.3)], sure) for sure in (False, True))
    text = render(name, unsure, place=tmp_path / f"clip.{name}")
    if name == "json":
        found = json.loads(text)
        assert (found["glosses"], found["sure"], found["text"]) == ([], False, "")
        assert [item["label"] for item in found["candidates"]] == ["BOOK", "PAPER"]
    else:
        assert "BOOK" not in text and "PAPER" not in text
        assert text == "?\n" or name != "txt"
    assert "BOOK" in render(name, sure, place=tmp_path / f"clip.{name}")
    if name == "eaf":
        path = tmp_path / "sure.eaf"
        path.write_text(render(name, sure, place=path), encoding="utf-8")
        assert read_eaf(path)["segments"] == [{"gloss": "BOOK", "start": 0.5, "end": 1.25, "confidence": 0.4}]


@given(st.lists(st.text(min_size=1).filter(str.strip), min_size=1, max_size=5))
@settings(deadline=None, max_examples=60)
def test_csv_of_sentences_is_read_back(glosses):
    text = render("csv", in_a_row(glosses))
    rows = list(csv.reader(text.removesuffix("\n").split("\n")))
    assert rows[0] == ["file", "gloss", "start", "end", "confidence"]
    controls = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")
    wanted = [
        controls.sub(lambda found: f"\\x{ord(found[0]):02x}" if ord(found[0]) < 256 else f"\\u{ord(found[0]):04x}", g)
        for g in glosses
    ]
    assert [row[1] for row in rows[1:]] == wanted


def test_segments_without_length_or_that_overlap_stay_in_order():
    """ELAN has no annotation of no length and none over another in a tier; subtitles have no such cues."""
    result = result_of([("A", 1.0, 1.0, None), ("B", 1.0, 1.0, None), ("C", 1.0, 2.0, None), ("D", 1.5, 1.8, None)])
    cues = list(srt.parse(render("srt", result)))
    times = [(round(1000 * cue.start.total_seconds()), round(1000 * cue.end.total_seconds())) for cue in cues]
    assert times == [(1000, 1001), (1001, 1002), (1002, 1500), (1500, 1800)]


def test_the_names_of_formats():
    assert check_formats(ALL) == tuple(WRITERS) == check_formats("txt, all,eaf")
    assert check_formats("eaf,json") == ("json", "eaf")
    for text in ("xml", "json,", ""):
        with pytest.raises(ValueError, match="must be one or more of json, tsv, csv, txt, srt, vtt, ctm, eaf"):
            check_formats(text)


def test_bad_eaf_files(tmp_path):
    path = tmp_path / "clip.eaf"
    with pytest.raises(FileNotFoundError, match="clip.eaf: no such ELAN file"):
        read_eaf(path)
    good = render("eaf", in_a_row(["A", "B"]), place=path)
    for old, new, said in (
        ('TIER_ID="gloss"', 'TIER_ID="glos"', "no tier 'gloss'; did you mean 'glos'"),
        ('TIME_SLOT_REF1="ts1"', 'TIME_SLOT_REF1="ts99"', "the time or parent of an annotation is missing"),
        ('TIME_VALUE="0"', "", "the time or parent of an annotation is missing"),
        (">0.5000<", ">high<", "a confidence must be a number, got 'high'"),
        ("</HEADER>", "", "not a readable ELAN file"),
    ):
        assert old in good
        path.write_text(good.replace(old, new), encoding="utf-8")
        with pytest.raises(SignXDataError, match=said):
            read_eaf(path)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_damaged_eaf_files_are_refused_in_words(tmp_path_factory, data):
    """Bytes replaced, cut and doubled: a result or one of our errors, nothing else."""
    content = bytearray(render("eaf", in_a_row(["A", "B"])).encode())
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(content) - 1))
        kind = data.draw(st.sampled_from(["byte", "cut", "twice"]))
        if kind == "byte":
            content[place] = data.draw(st.integers(0, 255))
        elif kind == "cut":
            del content[place : place + data.draw(st.integers(1, 60))]
        else:
            content[place:place] = content[place : place + data.draw(st.integers(1, 60))]
    path = tmp_path_factory.getbasetemp() / "damaged.eaf"
    path.write_bytes(bytes(content))
    try:
        found = read_eaf(path)
    except SignXDataError as error:
        assert "\n" not in str(error) and "damaged.eaf" in str(error)
    else:
        assert all(isinstance(s["start"], float) for s in found["segments"])
