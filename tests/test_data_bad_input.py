"""Errors of bad annotations name the file, row and column, what was expected and what was there, in one line.

Each case spoils one miniature and says the words of the message.
"""

import gzip
import io
import json
import re
import shutil
import tarfile
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest
from data_minis import ASLLRP_COLUMNS, MINIS, SIGNSTREAM, roy_texts, write
from helpers import said

import signx_hf
from signx_hf import SignXError, SignXWarning
from signx_hf.data import unpack
from signx_hf.data.errors import SignXDataError

P14 = "phoenix2014-release/phoenix-2014-multisigner/annotations/manual/train.corpus.csv"
P14T = "PHOENIX-2014-T-release-v3/PHOENIX-2014-T/annotations/manual/PHOENIX-2014-T.train.corpus.csv"
KSL = "1.Training/label/01/NIA_SL_WORD0001_REAL01_F_morpheme.json"
CSV = "asllrp_sentence_signs_2025_06_28.csv"
NPZ = "roy_kinect_isl30_ub15fps.npz"


def edit(name, old, new):
    """Replaces text in a file of the miniature; fails if it is not there."""

    def spoil(folder):
        path = folder / name
        text = path.read_text(encoding="utf-8")
        assert old in text
        path.write_text(text.replace(old, new, 1), encoding="utf-8")

    return spoil


def put(name, content):
    return lambda folder: write(folder, name, content)


def remove(name):
    return lambda folder: (folder / name).unlink()


def entries(change):
    def spoil(folder):
        path = folder / "start_kit/WLASL_v0.3.json"
        content = json.loads(path.read_text())
        change(content)
        path.write_text(json.dumps(content))

    return spoil


def arrays(**changes):
    def spoil(folder):
        with np.load(folder / NPZ) as file:
            content = {**file, **changes}
        np.savez(folder / NPZ, **{name: value for name, value in content.items() if value is not None})

    return spoil


def skeletons(change):
    def spoil(folder):
        path = folder / "train.skels.gz"
        text = gzip.decompress(path.read_bytes()).decode()
        path.write_bytes(gzip.compress(change(text).encode()))

    return spoil


def utterance(**values):
    row = {"gloss": "IX", "first": 110, "last": 119, "start": 100, "end": 199, "video": "1.mp4", **values}
    line = f"1,{row['gloss']},x,x,{row['first']},{row['last']},{row['start']},{row['end']},s.mp4,{row['video']},Cory_1,4,L,c,F"
    return put(CSV, f"{ASLLRP_COLUMNS}\n{line}\n")


def eaf(**tiers):
    def spoil(folder):
        import pympi

        file = pympi.Elan.Eaf(author="test")
        file.remove_tier("default")
        for tier, annotations in tiers.items():
            file.add_tier(tier)
            for start, end, value in annotations:
                file.add_annotation(tier, start, end, value)
        file.to_file(str(folder / "talk.eaf"))

    return spoil


def rows(*lines):
    return lambda folder: write(folder, "train.jsonl", "\n".join(lines)) and (folder / "train.tsv").unlink()


# (loader, what is spoiled, words of the message[, options])
CASES = [
    (
        "phoenix14",
        remove(P14),
        "looked for annotations/manual/train.corpus.csv, train.corpus.csv, phoenix-2014-multisigner/",
    ),
    (
        "phoenix14",
        edit(P14, "annotation", "orth"),
        "train.corpus.csv, row 1: no column 'annotation'. Expected id, folder ... got 'id', 'folder'",
    ),
    (
        "phoenix14",
        edit(P14, "|Signer01|", "|Signer01|x|"),
        "row 3, column 'all': expected 4 columns ... got '5 columns'",
    ),
    ("phoenix14", edit(P14, "|Signer01|", "||"), "row 3, column 'signer': expected a value ... got ''"),
    (
        "phoenix14",
        edit(P14, "clip-train1/1/*", "../../x/*"),
        "column 'folder': expected a path inside ... got '../../x/*.png'",
    ),
    ("phoenix14", edit(P14, "clip-train1/1/*", "/x/*"), "column 'folder': expected a path inside ... got '/x/*.png'"),
    ("phoenix14", put(P14, b""), "train.corpus.csv: the file is empty. Expected a table with columns id, folder"),
    (
        "phoenix14",
        put(P14, b"id|folder|signer|annotation\n"),
        "split 'train' of phoenix14 is empty",
    ),
    ("phoenix14", put(P14, b"id|folder\n\xff"), "row 2: byte 0xff is not UTF-8. Convert the file"),
    ("phoenix14", None, "`variant` must be one of multisigner, si5 ... got 'si'", {"variant": "si"}),
    ("phoenix14t", edit(P14T, "|JETZT WETTER|", "||"), "row 2, column 'orth': expected a value ... got ''"),
    (
        "phoenix14t",
        edit(P14T, "|und nun das wetter .", "|"),
        "row 2, column 'translation': expected a value ... got ''",
    ),
    ("phoenix14t", edit(P14T, "speaker|orth", "orth|orth"), "row 1: no column 'speaker'"),
    ("phoenix14t", edit(P14T, "start|end", "orth|end"), "row 1: column 'orth' appears twice"),
    (
        "csl_daily",
        remove("sentence_label/video_map.txt"),
        "csl2020ct_v1.pkl: a pickle can run arbitrary code when it is read",
    ),
    (
        "csl_daily",
        edit("sentence_label/video_map.txt", "|84|", "|0|"),
        "column 'length': expected an integer of ... got '0'",
    ),
    (
        "csl_daily",
        edit("sentence_label/split_1.txt", "00|train", "00|tain"),
        "column 'split': expected one of ... got 'tain'",
    ),
    (
        "csl_daily",
        edit("sentence_label/split_1.txt", "S000000", "S9"),
        "expected a name that split_1 ... got 'S000000_P0004_T00'",
    ),
    (
        "how2sign",
        edit("how2sign_realigned_train.csv", "10.97", "abc"),
        "column 'START_REALIGNED': expected a number ... got 'abc'",
    ),
    (
        "how2sign",
        edit("how2sign_realigned_train.csv", "19.52", "9.5"),
        "column 'END_REALIGNED': expected more than ... got 9.5",
    ),
    (
        "how2sign",
        edit("how2sign_realigned_train.csv", "19.52", "inf"),
        "column 'END_REALIGNED': expected a number ... got 'inf'",
    ),
    (
        "how2sign",
        remove("how2sign_realigned_train.csv"),
        "looked for how2sign_realigned_train.csv, sentence_level/train/text/",
    ),
    (
        "asllrp",
        utterance(last=105),
        "column 'End frame of the sign video': expected frames in order, from 100 ... got '110 to 105'",
    ),
    (
        "asllrp",
        utterance(first="x"),
        "column 'Start frame of the sign video': expected an integer of at least 0 ... got 'x'",
    ),
    ("asllrp", utterance(gloss="GO HOME"), "column 'Main entry gloss label': expected one gloss ... got 'GO HOME'"),
    ("asllrp", utterance(video=""), "column 'Utterance video filename': expected a file name ... got ''"),
    ("asllrp", remove(CSV), "no annotation of asllrp; looked for asllrp_sentence_signs_*.csv, *.xml"),
    ("asllrp", None, "`label` must be one of Main entry gloss label ... got 'gloss'", {"label": "gloss"}),
    ("asllrp", put(CSV, f'{ASLLRP_COLUMNS}\n"1,2\n'), "not valid CSV (unexpected end of data)"),
    ("signstream", edit("ncslgr.xml", "</UTTERANCES>", ""), "ncslgr.xml, row 19: not valid XML (mismatched tag"),
    (
        "signstream",
        edit("ncslgr.xml", "main gloss", "POS"),
        "no FIELD is named main gloss or dom gloss or gloss, got english",
    ),
    (
        "signstream",
        edit("ncslgr.xml", 'E="3333"', 'E="33"'),
        "row 1, column 'E': expected more than the start, 666 ... got '33'",
    ),
    (
        "signstream",
        edit("ncslgr.xml", 'E="600">J', 'E="60">J'),
        "column 'A': expected one gloss ... got \"'JOHN' from 100 to 60\"",
    ),
    ("signstream", put("ncslgr.xml", '<!DOCTYPE x [<!ENTITY a "b">]>' + SIGNSTREAM[38:]), "declares XML entities"),
    ("wlasl", entries(lambda e: e[0].pop("gloss")), "WLASL_v0.3.json, row 1, column 'gloss'"),
    (
        "wlasl",
        entries(lambda e: e[1]["instances"][0].update(split="all")),
        "row 2, column 'split': expected train, ... got 'all'",
    ),
    (
        "wlasl",
        entries(lambda e: e[0]["instances"][0].update(frame_end=-7)),
        "column 'frame_end': expected an integer ... got -7",
    ),
    (
        "wlasl",
        entries(lambda e: e[0]["instances"][0].update(frame_start=50)),
        "expected -1, or at least frame_start, 50 ... got 40",
    ),
    (
        "wlasl",
        entries(lambda e: e[0]["instances"][0].update(video_id="../x")),
        "column 'video_id': expected a path ... got '../x'",
    ),
    ("wlasl", put("start_kit/WLASL_v0.3.json", "[\n{,"), "WLASL_v0.3.json, row 2: not valid JSON"),
    ("wlasl", put("start_kit/WLASL_v0.3.json", "{}"), "WLASL_v0.3.json: must be a list of glosses ... got dict"),
    ("wlasl", None, "`subset` must be a positive number of glosses ... got 'all'", {"subset": "all"}),
    ("ksl_guide", put(KSL, '{"data": []}'), "column 'data': expected a list with at least one sign ... got []"),
    (
        "ksl_guide",
        put(KSL, '{"data": [{"start": 1}]}'),
        "column 'data': expected start, end and attributes ... got {'start': 1}",
    ),
    ("ksl_guide", put(KSL, "[]"), "column 'all': expected an object with metaData and data ... got []"),
    (
        "ksl_guide",
        put("1.Training/x_morpheme.json", "{}"),
        "column 'file name': expected a name like ... got 'x_morpheme.json'",
    ),
    ("ksl_guide", None, "`camera` must be F, U, D, R, L or None for all, got 'front'", {"camera": "front"}),
    (
        "gsl",
        edit("GSL_split/gsl_split_SI_train.csv", "|", ","),
        "column 'all': expected 2 columns ... got '1 columns'",
    ),
    ("gsl", edit("GSL_split/gsl_split_SI_train.csv", "signer1", "who"), "expected a path that names the signer, like"),
    ("gsl", None, "looked for gsl_split_SD_train.csv, SD/gsl_split_SD_train.csv", {"protocol": "SD"}),
    (
        "boston104",
        edit("hands_condensed.csv", "1,30,30", "1,31,30"),
        "column 'frame of hands_condensed.csv row 32': expected ... got '31'",
    ),
    (
        "boston104",
        edit("hands_condensed.csv", "1,30,30", "1,30,nan"),
        "'left-x of hands_condensed.csv row 32': expected a number, got 'nan'",
    ),
    (
        "boston104",
        edit("train_words.csv", "22,50", "22,60"),
        "row 2, column 'endframe': expected a frame from 22 to 59 ... got 60",
    ),
    ("boston104", edit("train_words.csv", "JOHN,6,17", ",6,17"), "row 3, column 'word': expected a gloss ... got ''"),
    (
        "boston104",
        edit("train_words.csv", "JOHN,6,17", "JOHN,6,x"),
        "train_words.csv, row 3, column 'endframe': expected an integer of at least 0, got 'x'",
    ),
    (
        "boston104",
        remove("hands_condensed.csv"),
        "no hand tracks of boston104; looked for hands_condensed.csv, data/hand",
    ),
    ("roy_isl30", arrays(lengths=np.array([9, 12, 11])), "`lengths` must add up to the 31 frames, got 32"),
    ("roy_isl30", arrays(sign=np.array(["a"])), "sign, signer, rep and lengths must have one entry per clip"),
    (
        "roy_isl30",
        arrays(sign=np.array(["a", 1, None], dtype=object)),
        "cannot be read (Object arrays cannot be loaded when",
    ),
    ("roy_isl30", arrays(rep=None), "cannot be read"),
    ("roy_isl30", put(NPZ, b"not a zip"), f"{NPZ}: cannot be read"),
    ("roy_isl30", None, "`test_signers` must be among S01, S02 ... got ['S77']", {"test_signers": ["S77"]}),
    (
        "roy_isl30",
        None,
        "`test_signers` must be a list of names, got 'S01, S02'. Write ['S01', 'S02']",
        {"test_signers": "S01, S02"},
    ),
    (
        "roy_texts",
        put("baby_a_1.txt", "1 2\n3\n"),
        "baby_a_1.txt, row 2, column 'all': expected 2 numbers ... got '1 numbers'",
    ),
    (
        "roy_texts",
        put("baby_a_1.txt", "1 two\n"),
        "baby_a_1.txt, row 1, column 'all': expected numbers ... got '1 two'",
    ),
    (
        "fingerspelling",
        edit("data.csv", "fs-a.pose", "fs-a.mp4"),
        "row 2, column 'path': expected a .pose ... got 'ase/fs-a.mp4'",
    ),
    (
        "fingerspelling",
        edit("data.csv", "ase/", "../ase/"),
        "column 'path': expected a path inside ... got '../ase/fs-a.pose'",
    ),
    ("fingerspelling", edit("data.csv", "A,A,0", "A,,0"), "column 'glosses': expected a value ... got ''"),
    (
        "phoenix_skeletons",
        put("train.gloss", "A\n"),
        "must have the same number of lines ... 'gloss': 1, 'text': 2, 'files': 2}",
    ),
    ("phoenix_skeletons", skeletons(lambda text: text.replace(" ", " x", 1)), "row 1, column 'skels': expected"),
    ("phoenix_skeletons", skeletons(lambda text: "1 " + text), "expected a multiple of 151 ... got '756 numbers'"),
    (
        "phoenix_skeletons",
        skeletons(lambda text: "nan" + text[text.index(" ") :]),
        "expected finite numbers, got 'a non-finite number'",
    ),
    (
        "phoenix_skeletons",
        put("train.skels.gz", gzip.compress(b"1 2 3" * 999)[:-20]),
        "train.skels.gz: cannot be read (",
    ),
    ("phoenix_skeletons", put("train.skels.gz", b"plain"), "train.skels.gz: cannot be read (Not a gzipped file"),
    (
        "table",
        edit("train.tsv", "glosses", "gloses"),
        "row 1, column 'gloses': not a column of the schema; did you mean 'glosses'?",
    ),
    (
        "table",
        edit("train.tsv", "\t25\t", "\tfast\t"),
        "train.tsv, row 2, column 'fps': expected a number ... got 'fast'",
    ),
    ("table", edit("train.tsv", "\t25\t", "\t0\t"), "row 2, column 'fps': expected a number above 0 ... got '0'"),
    ("table", rows('{"glosses": ["A"]}'), "row 1, column 'id': expected id, video or frames ... got None"),
    (
        "table",
        rows('{"id": "a", "start": 2, "end": 1}'),
        "column 'end': expected more than the start, 2 seconds ... got 1",
    ),
    (
        "table",
        rows('{"id": "a"}', "{"),
        "train.jsonl, row 2, column 'all': expected a JSON object, got 'Expecting property name",
    ),
    ("table", rows("[1]"), "row 1, column 'all': expected a JSON object ... got [1]"),
    (
        "table",
        rows('{"id": "a", "glosses": ["GO HOME"]}'),
        "column 'glosses': expected glosses separated ... got ['GO HOME']",
    ),
    (
        "table",
        rows('{"id": "a", "segments": [{"gloss": "A"}]}'),
        "expected an object with gloss, start ... got {'gloss': 'A'}",
    ),
    (
        "table",
        rows('{"id": "a", "num_frames": 1.5}'),
        "column 'num_frames': expected an integer of at least 1 ... got 1.5",
    ),
    (
        "table",
        rows('{"id": "a", "split": "test"}'),
        "column 'split': expected 'train', as the name of the file ... got 'test'",
    ),
    ("table", rows('{"id": "a", "split": "all"}'), "column 'split': expected train, dev or test ... got 'all'"),
    ("table", rows('{"id": ["a"]}'), "column 'id': expected text ... got ['a']"),
    (
        "folder",
        put("train/lost.mp4", b""),
        "column 'path': expected a video directly in the folder of its gloss ... got 'lost.mp4'",
    ),
    (
        "folder",
        put("train/a/b/c.mp4", b""),
        "column 'path': expected a video directly in the folder ... got 'a/b/c.mp4'",
    ),
    ("folder", None, "`gloss_from` must be 'folder' or 'file', got 'name'", {"gloss_from": "name"}),
    (
        "folder",
        None,
        "must be 'folder', 'prefix' or the path of a .tsv or .csv file, got 'name'",
        {"signer_from": "name"},
    ),
    ("folder", None, "must be 'prefix' or a table", {"signer_from": "folder", "gloss_from": "file"}),
    (
        "folder",
        None,
        "column 'path': expected a clip in a folder of its signer in the folder of its gloss ... got 'go home/1.mp4'",
        {"signer_from": "folder"},
    ),
    (
        "folder",
        None,
        "column 'path': expected a file name that begins with the signer and '_' ... got 'go home/1.mp4'",
        {"signer_from": "prefix"},
    ),
    (
        "folder",
        put("who.tsv", "file\tsigner\ntrain/hola/2.MOV\tana\n"),
        "column 'signer': expected a file that who.tsv gives a signer ... got 'train/go home/1.mp4'",
        {"signer_from": "who.tsv"},
    ),
    (
        "folder",
        put("who.tsv", "file\tsigner\ntrain/hola/2.MOV\t\n"),
        "who.tsv, row 2: `file` and `signer` must be given, got 'train/hola/2.MOV', ''",
        {"signer_from": "who.tsv"},
    ),
    (
        "elan",
        None,
        "talk.eaf: no tier 'Gloss'; did you mean 'gloss'? Choose one of gloss, English",
        {"gloss_tier": "Gloss"},
    ),
    ("elan", put("talk.eaf", b"<a>"), "talk.eaf: not a readable ELAN file ("),
    ("elan", put("talk.eaf", b'<!DOCTYPE a [<!ENTITY b "c">]><a/>'), "talk.eaf: declares XML entities"),
    (
        "elan",
        eaf(gloss=[(100, 300, " ")]),
        "talk.eaf, row 1, column 'gloss': expected ... got 'an empty annotation at 100 ms'",
    ),
]
EXTRA = {
    "signstream": ("asllrp", lambda folder: (write(folder, "ncslgr.xml", SIGNSTREAM), write(folder, "road.mov"))),
    "roy_texts": ("roy_isl30", roy_texts),
}


def test_there_are_more_than_forty_cases():
    assert len(CASES) > 40


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case[0]}-{CASES.index(case)}")
def test_bad_annotation(case, tmp_path, monkeypatch):
    name, spoil, message, options = (*case, {})[:4]
    if name == "elan":
        pytest.importorskip("pympi", reason="ELAN files are read with the extra elan")
    loader, make = EXTRA.get(name, (name, MINIS.get(name, [None])[0]))
    make(tmp_path)
    if spoil is not None:
        spoil(tmp_path)
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    with warnings.catch_warnings(), pytest.raises(SignXError) as error:
        warnings.simplefilter("ignore", SignXWarning)
        signx_hf.load_dataset(loader, tmp_path, "train", **options)
    assert re.search(said(message), str(error.value))
    assert "\n" not in str(error.value)
    assert sorted(tmp_path.rglob("*")) == before, "nothing was written"


@pytest.mark.parametrize(
    "arguments, message",
    [
        (
            ("phoenix", "."),
            "no corpus is called 'phoenix'; did you mean 'phoenix14'? Choose one of phoenix14, phoenix14t,",
        ),
        (("gsl", None), "gsl: `data_dir` must be the folder of your copy, got None. Get one from https://vcl.iti.gr"),
        (("gsl", "nowhere"), "nowhere: no such folder. Check the data_dir of gsl"),
        (("gsl", "a.txt"), "a.txt: the data_dir of gsl must be a folder, got a file"),
        (
            ("gsl", "a.tar.gz"),
            "a.tar.gz: the data_dir of gsl must be a folder, got an archive ... signx_hf.data.unpack",
        ),
        (("gsl", ".", "valid-ish"), "gsl has no split 'valid-ish' ... train, dev, test"),
        (("boston104", ".", "dev"), "boston104 has no split 'dev' ... train, test"),
        (("table", "a.txt"), "a.txt: the file type must be one of .tsv, .csv, .jsonl, got '.txt'"),
        (("folder", "empty"), "no video of folder; looked for {gloss}/*.mp4"),
        (("elan", "empty"), "no annotation of elan; looked for **/*.eaf"),
    ],
)
def test_bad_call(arguments, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("a.txt", "a.tar.gz"):
        Path(name).write_text("x")
    Path("empty").mkdir()
    with pytest.raises(SignXError) as error:
        signx_hf.load_dataset(*arguments)
    assert re.search(said(message), str(error.value))


def test_unknown_option_and_clean_up(tmp_path):
    with pytest.raises(SignXDataError, match="gsl: .*unexpected keyword argument 'subset'; see the docstring of GSL"):
        signx_hf.load_dataset("gsl", tmp_path, subset=3)
    with pytest.raises(SignXDataError, match="`cleanup` must be one of phoenix14.*got 'phoenix'"):
        signx_hf.load_dataset("gsl", tmp_path, cleanup="phoenix")


def test_missing_pympi_names_the_extra(tmp_path, monkeypatch):
    import sys

    write(tmp_path, "a.eaf", b"<a/>")
    monkeypatch.setitem(sys.modules, "pympi", None)
    with pytest.raises(ImportError, match="belongs to the extra 'elan'"):
        signx_hf.load_dataset("elan", tmp_path)


def make_zip(path, name, **attributes):
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("good.txt", "1")
        member = zipfile.ZipInfo(name)
        for key, value in attributes.items():
            setattr(member, key, value)
        file.writestr(member, "2")


def make_tar(path, name, **attributes):
    with tarfile.open(path, "w:gz") as file:
        for member_name in ("good.txt", name):
            member = tarfile.TarInfo(member_name)
            member.size = 1
            if member_name == name:
                for key, value in attributes.items():
                    setattr(member, key, value)
            file.addfile(member, io.BytesIO(b"1"))


@pytest.mark.parametrize("make, ending", [(make_zip, ".zip"), (make_tar, ".tar.gz")])
@pytest.mark.parametrize(
    "name, message",
    [
        ("../evil.txt", "member '../evil.txt' climbs out with '..'"),
        ("a/../../evil.txt", "climbs out with '..'"),
        ("/tmp/evil.txt", "member '/tmp/evil.txt' has an absolute path"),
        ("C:/evil.txt", "has an absolute path"),
        ("a\\..\\evil.txt", "climbs out with '..'"),
    ],
)
def test_archive_members_outside_are_refused(make, ending, name, message, tmp_path):
    make(tmp_path / f"a{ending}", name)
    with pytest.raises(SignXDataError) as error:
        unpack(tmp_path / f"a{ending}", tmp_path / "out")
    assert message in str(error.value) and "Nothing was unpacked" in str(error.value)
    assert not (tmp_path / "out").exists() and len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize(
    "make",
    [
        lambda path: make_zip(path, "link", external_attr=0o120777 << 16),
        lambda path: make_tar(path, "link", type=tarfile.SYMTYPE, linkname="/etc/passwd", size=0),
        lambda path: make_tar(path, "link", type=tarfile.LNKTYPE, linkname="../x", size=0),
        lambda path: make_tar(path, "link", type=tarfile.FIFOTYPE, size=0),
    ],
)
def test_links_and_devices_are_refused(make, tmp_path):
    make(tmp_path / "a")
    with pytest.raises(SignXDataError, match="member 'link' is a link or device"):
        unpack(tmp_path / "a", tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("make, ending", [(make_zip, ".zip"), (make_tar, ".tar.gz")])
def test_good_archives_are_unpacked(make, ending, tmp_path):
    make(tmp_path / f"a{ending}", "sub/b.txt")
    assert unpack(tmp_path / f"a{ending}", tmp_path / "out") == tmp_path / "out"
    found = sorted(path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.txt"))
    assert found == ["good.txt", "sub/b.txt"]


def test_broken_and_missing_archives(tmp_path):
    write(tmp_path, "a.zip", b"no")
    with pytest.raises(SignXDataError, match="a.zip: must be a complete .zip or .tar archive"):
        unpack(tmp_path / "a.zip", tmp_path / "out")
    with pytest.raises(SignXError, match="b.zip: no such file"):
        unpack(tmp_path / "b.zip", tmp_path / "out")


def test_archive_that_would_fill_the_disk(tmp_path):
    """Members that claim 4 GB each, as many as the disk has no room for."""
    members = shutil.disk_usage(tmp_path).free // 2**32 + 1
    with zipfile.ZipFile(tmp_path / "huge.zip", "w") as file:
        for n in range(members):
            file.writestr(str(n), "")
    data = bytearray((tmp_path / "huge.zip").read_bytes())
    at = -1
    while (at := data.find(b"PK\x01\x02", at + 1)) >= 0:
        data[at + 24 : at + 28] = b"\xfe\xff\xff\xff"  # the size of the member in the table of contents
    (tmp_path / "huge.zip").write_bytes(data)
    with pytest.raises(SignXDataError, match="unpacks to .* bytes, but only .* are free"):
        unpack(tmp_path / "huge.zip", tmp_path / "out")
    assert not (tmp_path / "out").exists()
