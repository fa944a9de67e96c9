"""ELAN files as people have them, against times computed by hand, and merged ones as pympi and plain XML read them."""

import json
import shutil
import warnings
from pathlib import Path
from xml.etree import ElementTree

import pytest

import signx_hf
from signx_hf.data.errors import SignXDataError
from signx_hf.processing.errors_signx import SignXWarning
from signx_hf.recognition.options import RecognizeOptions
from signx_hf.recognition.outputs import OutputFolder
from signx_hf.writers import WRITERS, EafLayout, read_eaf

pympi = pytest.importorskip("pympi", reason="ELAN files are read with the extra elan")

HEAD = (
    '<?xml version="1.0" encoding="UTF-8"?>\n<ANNOTATION_DOCUMENT AUTHOR="ann" DATE="2020-01-01T00:00:00+00:00" '
    'FORMAT="3.0" VERSION="3.0" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"{schema}>\n'
)
SCHEMA = ' xsi:noNamespaceSchemaLocation="http://www.mpi.nl/tools/elan/EAFv3.0.xsd"'


def slots(*times) -> str:
    """TIME_ORDER with slots ts1, ts2, ...; None for one without a value."""
    parts = [
        f'<TIME_SLOT TIME_SLOT_ID="ts{n}"' + ("" if time is None else f' TIME_VALUE="{time}"') + "/>"
        for n, time in enumerate(times, 1)
    ]
    return f"<TIME_ORDER>{''.join(parts)}</TIME_ORDER>"


def tier(name: str, *annotations: str, kind: str = "free", **attributes: str) -> str:
    more = "".join(f' {key}="{value}"' for key, value in attributes.items())
    inside = "".join(f"<ANNOTATION>{text}</ANNOTATION>" for text in annotations)
    return f'<TIER TIER_ID="{name}" LINGUISTIC_TYPE_REF="{kind}"{more}>{inside}</TIER>'


def timed(key: str, first: int, last: int, value: str) -> str:
    return (
        f'<ALIGNABLE_ANNOTATION ANNOTATION_ID="{key}" TIME_SLOT_REF1="ts{first}" TIME_SLOT_REF2="ts{last}">'
        f"<ANNOTATION_VALUE>{value}</ANNOTATION_VALUE></ALIGNABLE_ANNOTATION>"
    )


def attached(key: str, parent: str, value: str, previous: str | None = None) -> str:
    before = f' PREVIOUS_ANNOTATION="{previous}"' if previous else ""
    return (
        f'<REF_ANNOTATION ANNOTATION_ID="{key}" ANNOTATION_REF="{parent}"{before}>'
        f"<ANNOTATION_VALUE>{value}</ANNOTATION_VALUE></REF_ANNOTATION>"
    )


def medium(name: str, origin: int | None = None, kind: str = "video/mp4") -> str:
    start = "" if origin is None else f' TIME_ORIGIN="{origin}"'
    return f'<MEDIA_DESCRIPTOR MEDIA_URL="file:///elsewhere/{name}" MIME_TYPE="{kind}" RELATIVE_MEDIA_URL="./{name}"{start}/>'


def write_eaf(path: Path, order: str, *tiers: str, media: str = "", schema: str = SCHEMA) -> Path:
    types = "".join(
        f'<LINGUISTIC_TYPE LINGUISTIC_TYPE_ID="{name}" TIME_ALIGNABLE="{"true" if rule in (None, "Time_Subdivision") else "false"}"'
        + (f' CONSTRAINTS="{rule}"' if rule else "")
        + "/>"
        for name, rule in (("free", None), ("parts", "Time_Subdivision"), ("words", "Symbolic_Subdivision"),
                           ("notes", "Symbolic_Association"))
    )  # fmt: skip
    header = f'<HEADER MEDIA_FILE="" TIME_UNITS="milliseconds">{media}</HEADER>'
    body = "\n".join((header, order, *tiers, types))
    path.write_text(HEAD.format(schema=schema) + body + "\n</ANNOTATION_DOCUMENT>\n", encoding="utf-8")
    return path


def load(folder: Path, **options):
    return signx_hf.load_dataset("elan", data_dir=str(folder), split="train", **options)


def of_file(path: Path, **options) -> list[tuple]:
    return [(s["gloss"], s["start"], s["end"]) for s in read_eaf(path, **options)["segments"]]


def of_loader(path: Path, **options) -> list[tuple]:
    (row,) = load(path.parent, **options)
    return [(s["gloss"], s["start"], s["end"]) for s in row["segments"]]


READERS = pytest.mark.parametrize("read", [of_file, of_loader])


# ---------------------------------------------------------------------------------------------------------- media times


@READERS
def test_times_are_those_of_the_medium(read, tmp_path):
    order = slots(1266, 1500)
    path = write_eaf(tmp_path / "a.eaf", order, tier("gloss", timed("a1", 1, 2, "A")), media=medium("a.mp4", 2000))
    (tmp_path / "a.mp4").write_bytes(b"")
    assert read(path) == [("A", 3.266, 3.5)]


@READERS
def test_each_medium_has_its_own_origin(read, tmp_path):
    media = (
        medium("a.wav", 7000, "audio/x-wav")
        + medium("front.mp4", 500)
        + medium("side view.mp4")
        + medium("face.mp4", 40)
    )
    path = write_eaf(tmp_path / "a.eaf", slots(1000, 2000), tier("gloss", timed("a1", 1, 2, "A")), media=media)
    for name in ("front.mp4", "side view.mp4", "face.mp4"):
        (tmp_path / name).write_bytes(b"")
    assert read(path) == read(path, medium="front") == [("A", 1.5, 2.5)]
    assert read(path, medium="side view") == [("A", 1.0, 2.0)]
    assert read(path, medium="face.mp4") == [("A", 1.04, 2.04)]
    with pytest.raises(SignXDataError, match="`medium` must be part of the name .* 'back' of 'a.wav', 'front.mp4'"):
        read(path, medium="back")


def test_the_video_that_exists_counts_and_sentences_move_with_it(tmp_path):
    order = slots(1000, 1400, 2000, 3000)
    tiers = (tier("gloss", timed("a1", 1, 2, "A")), tier("text", timed("a2", 1, 3, "Ah."), timed("a3", 3, 4, "Oh.")))
    path = write_eaf(tmp_path / "a.eaf", order, *tiers, media=medium("lost.mp4", 9000) + medium("there.mp4", 250))
    (tmp_path / "there.mp4").write_bytes(b"")
    rows = load(tmp_path, text_tier="text")
    assert [(row["start"], row["end"], row["text"]) for row in rows] == [(1.25, 2.25, "Ah."), (2.25, 3.25, "Oh.")]
    assert rows[0]["segments"] == [{"gloss": "A", "start": 0.0, "end": 0.4}]  # of the sentence
    assert Path(rows[0]["video"]["path"]).name == "there.mp4"
    path.write_text(path.read_text().replace('TIME_ORIGIN="250"', 'TIME_ORIGIN="soon"'))
    with pytest.raises(SignXDataError, match="TIME_ORIGIN of a medium must be whole milliseconds, got 'soon'"):
        load(tmp_path)


# ------------------------------------------------------------------------------------------------- times that are not said


@READERS
def test_slots_without_a_value_are_spread_evenly(read, tmp_path):
    """1.0, ?, ?, 2.5, while another tier has slots in between."""
    order = slots(1000, None, 1100, None, 1200, 2500)
    parts = tier(
        "gloss", timed("a2", 1, 2, "A"), timed("a3", 2, 4, "B"), timed("a4", 4, 6, "C"), kind="parts", PARENT_REF="all"
    )
    path = write_eaf(
        tmp_path / "a.eaf", order, tier("all", timed("a1", 1, 6, "ABC")), parts, tier("other", timed("a5", 3, 5, "x"))
    )
    assert read(path) == [("A", 1.0, 1.5), ("B", 1.5, 2.0), ("C", 2.0, 2.5)]


@READERS
def test_parts_of_parts_without_a_value(read, tmp_path):
    order = slots(0, None, None, 4000)  # the first half is divided once more
    halves = tier("halves", timed("a2", 1, 3, "AB"), timed("a3", 3, 4, "CD"), kind="parts", PARENT_REF="all")
    quarters = tier("gloss", timed("a4", 1, 2, "A"), timed("a5", 2, 3, "B"), kind="parts", PARENT_REF="halves")
    path = write_eaf(tmp_path / "a.eaf", order, quarters, halves, tier("all", timed("a1", 1, 4, "ABCD")))
    assert read(path) == [("A", 0.0, 1.0), ("B", 1.0, 2.0)]


@READERS
def test_gaps_between_slots_without_a_value(read, tmp_path):
    path = write_eaf(
        tmp_path / "a.eaf", slots(0, None, None, 3000), tier("gloss", timed("a1", 1, 2, "A"), timed("a2", 3, 4, "B"))
    )
    assert read(path) == [("A", 0.0, 1.0), ("B", 2.0, 3.0)]


@READERS
def test_nothing_known_before_is_said(read, tmp_path):
    path = write_eaf(tmp_path / "a.eaf", slots(None, 1000), tier("gloss", timed("a1", 1, 2, "A")))
    with pytest.raises(SignXDataError, match="time"):
        read(path)


@READERS
def test_reference_tiers_follow_their_predecessors(read, tmp_path):
    """In the file C A B, by PREVIOUS_ANNOTATION A B C: thirds of the sentence."""
    words = tier("gloss", attached("a4", "a1", "C", "a3"), attached("a5", "a2", "D"), attached("a2x", "a1", "A"),
                 attached("a3", "a1", "B", "a2x"), kind="words", PARENT_REF="text")  # fmt: skip
    path = write_eaf(
        tmp_path / "a.eaf",
        slots(1000, 4000, 4500),
        tier("text", timed("a1", 1, 2, "abc"), timed("a2", 2, 3, "d")),
        words,
    )
    assert read(path) == [("A", 1.0, 2.0), ("B", 2.0, 3.0), ("C", 3.0, 4.0), ("D", 4.0, 4.5)]


@READERS
def test_associations_have_the_time_of_what_they_belong_to(read, tmp_path):
    words = tier("words", attached("a2", "a1", "x"), attached("a3", "a1", "y", "a2"), kind="words", PARENT_REF="text")
    notes = tier("gloss", attached("a5", "a3", "B"), attached("a4", "a2", "A"), kind="notes", PARENT_REF="words")
    path = write_eaf(tmp_path / "a.eaf", slots(1000, 2000), notes, words, tier("text", timed("a1", 1, 2, "xy")))
    assert read(path) == [("A", 1.0, 1.5), ("B", 1.5, 2.0)]


@READERS
def test_predecessors_in_a_circle_and_lost_parents_are_refused(read, tmp_path):
    text = tier("text", timed("a1", 1, 2, "ab"))
    ring = tier(
        "gloss", attached("a2", "a1", "A", "a3"), attached("a3", "a1", "B", "a2"), kind="words", PARENT_REF="text"
    )
    with pytest.raises(SignXDataError, match="predecessors of 'a2' form a circle"):
        read(write_eaf(tmp_path / "a.eaf", slots(0, 1000), text, ring))
    lost = tier("gloss", attached("a2", "a9", "A"), kind="notes", PARENT_REF="text")
    with pytest.raises(SignXDataError, match="time or parent of an annotation is missing"):
        read(write_eaf(tmp_path / "a.eaf", slots(0, 1000), text, lost))
    with pytest.raises(SignXDataError, match="time or parent of an annotation is missing"):
        read(write_eaf(tmp_path / "a.eaf", slots(0), tier("gloss", timed("a1", 1, 2, "A"))))


# -------------------------------------------------------------------------------------------------------- signers and hands


@READERS
def test_a_file_without_schema_location_is_read(read, tmp_path):
    path = write_eaf(tmp_path / "a.eaf", slots(0, 1000), tier("gloss", timed("a1", 1, 2, "A")), schema="")
    assert read(path) == [("A", 0.0, 1.0)]


@READERS
def test_glosses_of_both_hands_are_one_sequence(read, tmp_path):
    order = slots(0, 1000, 1100, 1050, 2000, 1500, 1900, 3000, 4000)
    right = tier("RH", timed("a1", 1, 2, "BOOK"), timed("a2", 3, 5, "HOLD"), PARTICIPANT="Ann")
    left = tier(
        "LH", timed("a3", 1, 4, "BOOK"), timed("a4", 6, 7, "POINT"), timed("a5", 8, 9, "BOOK"), PARTICIPANT="Ann"
    )
    path = write_eaf(tmp_path / "a.eaf", order, right, left)
    assert read(path, right_tier="RH", left_tier="LH") == [
        ("BOOK", 0.0, 1.0), ("HOLD", 1.1, 2.0), ("POINT", 1.5, 1.9), ("BOOK", 3.0, 4.0),
    ]  # fmt: skip
    assert read(path, left_tier="LH") == [("BOOK", 0.0, 1.05), ("POINT", 1.5, 1.9), ("BOOK", 3.0, 4.0)]
    assert read(path, right_tier="RH") == read(path, gloss_tier="RH") == [("BOOK", 0.0, 1.0), ("HOLD", 1.1, 2.0)]
    with pytest.raises(SignXDataError, match="no tier 'LHH'; did you mean 'LH'.*left_tier"):
        read(path, right_tier="RH", left_tier="LHH")


def test_the_participant_is_the_signer(tmp_path):
    tiers = [
        tier(name, timed(f"a{n}", 1, 2, "A"), PARTICIPANT=who)
        for n, (name, who) in enumerate((("A", " Ann "), ("B", "Ben"), ("C", "")))
    ]
    path = write_eaf(tmp_path / "a.eaf", slots(0, 1000), *tiers)
    for name, who in (("A", "Ann"), ("B", "Ben"), ("C", None)):
        assert load(tmp_path, gloss_tier=name)[0]["signer"] == who == read_eaf(path, name)["signer"]
    with pytest.raises(SignXDataError, match="'A', 'B' must belong to one participant, got 'Ann', 'Ben'"):
        load(tmp_path, right_tier="A", left_tier="B")


# ------------------------------------------------------------------------------------------------------- what we wrote there


def result_of(*parts, **more) -> dict:
    keys = ("gloss", "start", "end", "confidence")
    glosses = [part[0] for part in parts]
    segments = [dict(zip(keys, part)) for part in parts]
    return {"glosses": glosses, "text": " ".join(glosses), "segments": segments, "duration": 9.0, **more}


RESULT = result_of(("IX", 2.5, 3.0, 0.75), ("BOOK & PEN", 3.2, 3.9, None))


def test_what_nobody_corrected_is_no_truth(tmp_path):
    path = tmp_path / "clip.eaf"
    path.write_text(WRITERS["eaf"].render(RESULT, "clip.mp4", path), encoding="utf-8")
    assert read_eaf(path)["corrected"] is False
    with pytest.raises(
        SignXDataError, match="expected a tier that was corrected in ELAN, or the option take_uncorrected"
    ):
        load(tmp_path)
    assert load(tmp_path, take_uncorrected=True)[0]["glosses"] == ["IX", "BOOK-&-PEN"]
    # ELAN saves it with other names of slots, a new date and a URN: still nothing is corrected.
    saved = path.read_text().replace('"ts', '"ts4').replace("<HEADER", "<HEADER ", 1)
    saved = saved.replace("</HEADER>", '<PROPERTY NAME="URN">urn:nl-mpi-tools-elan-eaf:1</PROPERTY></HEADER>')
    path.write_text(saved, encoding="utf-8")
    assert read_eaf(path)["corrected"] is False
    for old, new in ((">IX<", ">IX-1p<"), ('TIME_VALUE="2500"', 'TIME_VALUE="2510"')):
        path.write_text(saved.replace(old, new), encoding="utf-8")
        assert read_eaf(path)["corrected"] is True and len(load(tmp_path)[0]["glosses"]) == 2
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SignXWarning)
        (tmp_path / "other.eaf").write_text(saved, encoding="utf-8")
        assert load(tmp_path, skip_bad=tmp_path / "left_out.tsv")["id"] == ["clip"]


def test_files_of_earlier_versions_are_told_too(tmp_path):
    path = tmp_path / "clip.eaf"
    root = ElementTree.fromstring(WRITERS["eaf"].render(RESULT, "clip.mp4", path).encode())
    header = root.find("HEADER")
    for item in header.findall("PROPERTY"):
        if item.get("NAME").startswith("signx_hf"):
            header.remove(item)
    path.write_bytes(ElementTree.tostring(root))
    assert read_eaf(path)["corrected"] is False
    ElementTree.SubElement(header, "PROPERTY", {"NAME": "URN"}).text = "urn:nl-mpi-tools-elan-eaf:1"
    path.write_bytes(ElementTree.tostring(root))
    assert read_eaf(path)["corrected"] is True


def test_the_tier_can_have_another_name(tmp_path):
    path = tmp_path / "clip.eaf"
    path.write_text(
        WRITERS["eaf"].render({**RESULT, "translation": "A book."}, "clip.mp4", path, EafLayout("RH & co")), "utf-8"
    )
    eaf = pympi.Elan.Eaf(str(path))
    assert list(eaf.get_tier_names()) == ["RH & co", "RH & co-confidence", "RH & co-translation"]
    assert eaf.get_annotation_data_for_tier("RH & co") == [(2500, 3000, "IX"), (3200, 3900, "BOOK & PEN")]
    found = read_eaf(path, "RH & co")
    assert [s["confidence"] for s in found["segments"]] == [0.75, None] and found["translation"][0][
        "text"
    ] == "A book."


@pytest.fixture
def annotated(tmp_path):
    """An ELAN file in a folder of its own, with things that pympi does not keep, and its video 2 s longer at the start."""
    folder = tmp_path / "annotated"
    folder.mkdir()
    for name in ("clip.mp4", "side.mp4"):
        (folder / name).write_bytes(b"")
    words = timed("a1", 1, 3, "whole").replace("TIME_SLOT_REF1", 'CVE_REF="cveid7" TIME_SLOT_REF1')
    parts = tier("parts", timed("a2", 1, 2, "x"), timed("a30", 2, 3, "y"), kind="parts", PARENT_REF="text")
    media = medium("side.mp4") + medium("clip.mp4", 2000)
    return write_eaf(
        folder / "clip.eaf", "<!-- mine -->" + slots(600, None, 1700), tier("text", words), parts, media=media
    )


def test_recognition_is_added_to_a_file(annotated, tmp_path):
    before = annotated.read_bytes()
    place = tmp_path / "out" / "clip.eaf"
    place.parent.mkdir()
    layout = EafLayout("machine", str(annotated.parent))
    place.write_text(WRITERS["eaf"].render(RESULT, "videos/clip.mp4", place, layout), encoding="utf-8")
    assert annotated.read_bytes() == before
    eaf = pympi.Elan.Eaf(str(place))
    assert list(eaf.get_tier_names()) == ["text", "parts", "machine", "machine-confidence"]
    assert eaf.get_annotation_data_for_tier("machine") == [
        (500, 1000, "IX"),
        (1200, 1900, "BOOK & PEN"),
    ]  # 2 s earlier
    assert eaf.get_ref_annotation_data_for_tier("machine-confidence") == [(500, 1000, "0.7500", "IX")]
    assert "Symbolic_Association" in eaf.constraints
    root = ElementTree.parse(place).getroot()
    old = ElementTree.fromstring(before)
    for ours, theirs in zip(root.findall("TIER"), old.findall("TIER")):
        assert ours.attrib == theirs.attrib
        assert [(a.attrib, a[0].text) for a in ours.iter("ALIGNABLE_ANNOTATION")] == [
            (a.attrib, a[0].text) for a in theirs.iter("ALIGNABLE_ANNOTATION")
        ]
    assert root.attrib == old.attrib and "<!-- mine -->" in place.read_text(encoding="utf-8")
    keys = [item.get(key) for key in ("ANNOTATION_ID", "TIME_SLOT_ID") for item in root.iter() if key in item.attrib]
    assert len(keys) == len(set(keys)) == 3 + 3 + 3 + 4
    values = [int(item.get("TIME_VALUE")) for item in root.iter("TIME_SLOT") if "TIME_VALUE" in item.attrib]
    assert values == sorted(values)
    tags = [item.tag for item in root if isinstance(item.tag, str)]
    assert tags == sorted(tags, key=("HEADER", "TIME_ORDER", "TIER", "LINGUISTIC_TYPE", "CONSTRAINT").index)
    linked = {d["MEDIA_URL"]: d["RELATIVE_MEDIA_URL"] for d in eaf.get_linked_files()}
    assert {(place.parent / near).resolve() for near in linked.values()} == {
        annotated.parent / name for name in ("clip.mp4", "side.mp4")
    }
    # both tiers on the clock of the video, each still what it was
    assert of_file(place, gloss_tier="machine", medium="clip") == [("IX", 2.5, 3.0), ("BOOK & PEN", 3.2, 3.9)]
    assert of_file(place, gloss_tier="parts", medium="clip") == [("x", 2.6, 3.15), ("y", 3.15, 3.7)]
    shutil.copy(place, annotated)
    assert [read_eaf(annotated, name)["corrected"] for name in ("machine", "parts")] == [False, True]
    assert load(annotated.parent, gloss_tier="parts")[0]["glosses"] == ["x", "y"]
    with pytest.raises(SignXDataError, match="column 'machine': expected a tier that was corrected"):
        load(annotated.parent, gloss_tier="machine")


def test_what_cannot_be_added_is_said(annotated, tmp_path):
    place = tmp_path / "clip.eaf"

    def merged(result, name, tier="gloss", path=annotated):
        return WRITERS["eaf"].render(result, name, place, EafLayout(tier, str(path)))

    with pytest.raises(SignXDataError, match="clip.eaf: already has a tier 'text'"):
        merged(RESULT, "clip.mp4", "text")
    with pytest.warns(SignXWarning, match=r"1 of 2 annotations lie before the beginning of the ELAN file \(2 s"):
        text = merged(result_of(("A", 0.5, 1.5, 0.1), ("B", 1.8, 2.5, 0.9)), "clip.npz")  # poses of the video
    place.write_text(text, encoding="utf-8")
    assert pympi.Elan.Eaf(str(place)).get_ref_annotation_data_for_tier("confidence") == [(0, 500, "0.9000", "B")]
    with pytest.warns(SignXWarning, match="no ELAN file new.eaf in it"):
        text = merged(RESULT, "new.mp4", path=annotated.parent)
    assert [t.get("TIER_ID") for t in ElementTree.fromstring(text.encode()).findall("TIER")] == ["gloss", "confidence"]
    place.write_text(merged(RESULT, "unknown.mp4"), encoding="utf-8")
    assert [Path(m["MEDIA_URL"]).name for m in pympi.Elan.Eaf(str(place)).get_linked_files()] == [
        "side.mp4",
        "clip.mp4",
        "unknown.mp4",
    ]
    annotated.write_text("<a>")
    with pytest.raises(SignXDataError, match="not a readable ELAN file"):
        merged(RESULT, "clip.mp4")


def test_options_of_recognize(annotated, tmp_path):
    def options(**values):
        return RecognizeOptions(["a.mp4"], "demo", out="out", **values).check()

    options(formats=("eaf",), tier="mine", merge=str(annotated))
    for values, text in (
        ({"formats": ("txt",), "tier": "mine"}, "--tier needs --format eaf"),
        ({"formats": ("txt",), "merge": str(annotated)}, "--merge needs --format eaf"),
        ({"formats": ("eaf",), "tier": "a\nb"}, "--tier must be the name of an ELAN tier"),
        ({"formats": ("eaf",), "merge": str(tmp_path / "none.eaf")}, "none.eaf: no such ELAN file"),
    ):
        with pytest.raises((ValueError, OSError), match=text):
            options(**values)


def test_the_output_folder_writes_the_layout(annotated, tmp_path):
    layout = EafLayout("machine", str(annotated))
    output = OutputFolder(tmp_path / "out", ("eaf", "json"), layout)
    output.prepare()
    output.write("clip", "clip.mp4", "key", RESULT)
    assert list(pympi.Elan.Eaf(str(tmp_path / "out/clip.eaf")).get_tier_names())[2:] == [
        "machine",
        "machine-confidence",
    ]
    assert json.loads((tmp_path / "out/clip.json").read_text())["glosses"] == RESULT["glosses"]
    states = [EafLayout().state_of("clip.mp4"), layout.state_of("clip.mp4"), EafLayout("other").state_of("clip.mp4")]
    annotated.write_text(annotated.read_text() + "\n")
    assert states[0] == [] and layout.state_of("clip.mp4") not in states and len({str(s) for s in states}) == 3
