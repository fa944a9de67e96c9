"""Every loader on a miniature in its owners' layout, and on the real annotations where they lie."""

import csv
import inspect
import warnings
from pathlib import Path

import numpy as np
import pytest
from conftest import data_folder
from data_minis import MINIS, asllrp, boston104, how2sign, ksl_guide, roy_texts, signstream, write
from make_model import make_frames, write_video

import signx_hf
from signx_hf import SignXWarning
from signx_hf.data.load import CORPORA, corpus_class, list_corpora
from signx_hf.data.schema import FEATURES, decode_poses


def load(name, folder, split=None, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SignXWarning)
        return signx_hf.load_dataset(name, folder, split, **options)


def make(name, folder):
    if name == "elan":
        pytest.importorskip("pympi", reason="ELAN files are read with the extra elan")
    MINIS[name][0](folder)
    return MINIS[name][1]


@pytest.mark.parametrize("name", CORPORA)
def test_miniature(name, tmp_path):
    counts = make(name, tmp_path)
    dataset = load(name, tmp_path)
    assert {split: len(rows) for split, rows in dataset.items()} == counts
    for split, rows in dataset.items():
        assert rows.features == FEATURES and str(rows.split) == split
        assert set(rows["split"]) == {split} and len(set(rows["id"])) == len(rows)
        for row in rows:
            assert row["glosses"] or row["text"]
            assert all(0 <= segment["start"] < segment["end"] for segment in row["segments"])
            if row["segments"] and name != "table":
                assert [segment["gloss"] for segment in row["segments"]] == row["glosses"]
            if row["poses"]:
                assert decode_poses(row["poses"]).mask.shape[0] == row["num_frames"]
    again = load(name, tmp_path)
    for split in counts:
        assert list(again[split]) == list(dataset[split])
        assert list(load(name, tmp_path, split)) == list(dataset[split])


@pytest.mark.parametrize("name", CORPORA)
def test_every_loader_says_what_it_reads(name):
    loader = corpus_class(name)
    assert loader.name == name
    assert "Layout" in loader.__doc__ and "::" in loader.__doc__
    assert all(
        isinstance(text, str) and text for text in (loader.title, loader.licence, loader.citation, loader.homepage)
    )
    options = set(inspect.signature(loader.__init__).parameters) - {"self", "data_dir", "options"}
    options -= {"skip_bad", "cleanup"}  # of the base class
    assert all(option in loader.__doc__ for option in options)


def test_table_of_corpora():
    names = (
        "phoenix14 phoenix14t csl_daily how2sign asllrp wlasl wlasl_hands copycat asl_webcam asl_letters dgs_corpus dgs30 "
        "ksl_guide gsl boston104 roy_isl30 fingerspelling phoenix_skeletons table folder elan signsynth"
    )
    assert [corpus.name for corpus in list_corpora()] == names.split()


REAL = [
    ("phoenix14t", "gloss_text", {"train": 7096, "dev": 519, "test": 642}),
    ("phoenix14", "gloss_text", {"dev": 540}),
    ("gsl", "gloss_text", {"train": 8821, "dev": 588, "test": 881}),
    ("boston104", "boston104", {"train": 161, "test": 40}),
    ("roy_isl30", "roy_isl30", {"train": 2700}),
    ("phoenix_skeletons", "phoenix_skeletons", {"train": 5, "dev": 5, "test": 5}),
    ("copycat", "copycat_asl", {"train": 2037}),
    ("asl_webcam", "asl_webcam", {"test": 6}),
    ("asl_letters", "asl_letters", {"train": 13886}),
    ("dgs_corpus", "dgs_corpus", {"train": 325}),
    ("dgs30", "dgs30_words", {"train": 1755}),
]


@pytest.mark.parametrize("name, folder, counts", REAL)
def test_real_annotations(name, folder, counts):
    dataset = load(name, data_folder(folder))
    assert {split: len(rows) for split, rows in dataset.items()} == counts
    assert all(len(set(rows["id"])) == len(rows) for rows in dataset.values())


def test_boston104_against_its_files():
    folder = data_folder("boston104")
    dataset = load("boston104", folder)
    with open(folder / "hands_condensed.csv", newline="") as file:
        frames = [row for row in csv.DictReader(file) if row["video"] == "98"]
    rows = {row["id"]: row for split in dataset.values() for row in split}
    stored = decode_poses(rows["98"]["poses"])
    names = ("left-x", "left-y", "right-x", "right-y", "nose-x", "nose-y")
    assert np.array_equal(stored.values, [[float(frame[name]) for name in names] for frame in frames])  # whole pixels
    tokens = [gloss for row in dataset["train"] for gloss in row["glosses"]]
    assert (len(tokens), len(set(tokens))) == (710, 112)
    assert sum(len(row["glosses"]) for row in dataset["test"]) == 178
    assert sum(row["num_frames"] for row in rows.values()) == 15746
    assert len({row["signer"] for row in rows.values()}) == 3
    assert rows["1"]["segments"][0] == {"gloss": "JOHN", "start": 8 / 30, "end": 18 / 30}


def test_roy_against_its_array():
    path = data_folder("roy_isl30", "roy_kinect_isl30_ub15fps.npz")
    dataset = load("roy_isl30", path.parent, test_signers=["S09", "S10"])
    assert (len(dataset["train"]), len(dataset["test"])) == (2160, 540)
    with np.load(path) as file:
        poses, lengths = file["poses"], file["lengths"]
    row = load("roy_isl30", path.parent, "train")[1234]
    start = lengths[:1234].sum()
    stored = decode_poses(row["poses"])
    assert np.array_equal(stored.values, poses[start : start + lengths[1234]].reshape(-1, 33)) and stored.mask.all()


def test_skeletons_have_the_frames_that_phoenix14t_counts():
    skeletons = load("phoenix_skeletons", data_folder("phoenix_skeletons"))
    annotations = load("phoenix14t", data_folder("gloss_text"))
    for split, rows in skeletons.items():
        known = {row["id"]: row for row in annotations[split]}
        for row in rows:
            assert row["num_frames"] == known[row["id"]]["num_frames"]
            assert row["text"] == known[row["id"]]["text"]


def test_fingerspelling_of_the_installed_package():
    pytest.importorskip("spoken_to_signed", reason="the finger-spelling clips come with the package spoken-to-signed")
    dataset = load("fingerspelling", None, "train")
    assert len(dataset) == 600 and len(set(dataset["sign_language"])) == 19


def test_fingerspelling_languages_and_trimmed_poses(tmp_path):
    make("fingerspelling", tmp_path)
    (row,) = load("fingerspelling", tmp_path, "train", sign_languages=["gsg"])
    assert (row["glosses"], row["sign_language"], row["spoken_language"]) == (["Ä"], "gsg", "de")
    assert row["tracks"] == [{"name": "mediapipe", "path": str(tmp_path / "gsg/fs-ae.pose")}]
    assert row["start"] is None and row["end"] is None, "the times of data.csv are those of another file"


def test_phoenix14_paths_glosses_and_clean_up(tmp_path):
    make("phoenix14", tmp_path)
    row = load("phoenix14", tmp_path, "train")[0]
    assert row["frames"].endswith("features/fullFrame-210x260px/train/clip-train0/1")
    assert row["glosses"] == ["__ON__", "REGEN", "REGEN", "loc-NORD", "S", "H"] and row["fps"] == 25
    assert load("phoenix14", tmp_path, "val", cleanup="phoenix14")[0]["glosses"] == ["__ON__", "REGEN", "NORD", "S+H"]
    inner = tmp_path / "phoenix2014-release" / "phoenix-2014-multisigner"
    assert list(load("phoenix14", inner, "dev")["id"]) == ["clip-dev0", "clip-dev1"]


def test_phoenix14t_reads_both_annotations_alike(tmp_path):
    make("phoenix14t", tmp_path)
    write(
        tmp_path,
        "c/phoenix-2014t_cleaned.dev.tsv",
        "name\tsigner\tnum_frames\tgloss\ttext\r\ndev/dev0\tSigner00\t42\tJETZT WETTER\tund .",
    )
    release, cleaned = load("phoenix14t", tmp_path, "dev")[0], load("phoenix14t", tmp_path / "c", "dev")[0]
    assert release["id"] == cleaned["id"] == "dev0" and release["glosses"] == cleaned["glosses"]
    assert cleaned["num_frames"] == 42 and cleaned["frames"] is None and release["frames"].endswith("/dev/dev0")


def test_csl_daily_columns(tmp_path):
    make("csl_daily", tmp_path)
    row = load("csl_daily", tmp_path, "train")[0]
    assert (row["signer"], row["num_frames"], row["text"], row["glosses"]) == ("P0004", 84, "他们好", ["他们", "１"])
    assert row["frames"].endswith("frames_512x512/S000000_P0004_T00")
    assert load("csl_daily", tmp_path, "train", cleanup="csl_daily")[0]["glosses"] == ["他们", "1"]


def test_how2sign_clips_and_whole_videos(tmp_path):
    how2sign(tmp_path)
    clip, whole = load("how2sign", tmp_path, "train")[0], load("how2sign", tmp_path, "dev")[0]
    assert clip["video"]["path"].endswith("-d5d_0-1-rgb_front.mp4") and clip["start"] is None
    assert whole["video"]["path"].endswith("-d5d-1-rgb_front.mp4") and (whole["start"], whole["end"]) == (10.97, 19.52)
    assert clip["text"] == 'I call it "painting".' and clip["signer"] == "1" and clip["glosses"] == []


def test_asllrp_signs_become_utterances(tmp_path):
    asllrp(tmp_path)
    row = load("asllrp", tmp_path, "train")[0]
    assert row["glosses"] == ["IX", "ARRIVE"], "in order of time, hidden signs left out"
    assert row["segments"][0]["start"] == pytest.approx(10 * 1.001 / 30)
    assert row["segments"][0]["end"] == pytest.approx(20 * 1.001 / 30)
    assert row["num_frames"] == 100 and row["signer"] == "Cory" and row["video"]["path"].endswith("videos/381.mp4")
    assert load("asllrp", tmp_path, "train", label="Occurrence label")[0]["glosses"] == ["IX+", "ARRIVE+"]


def test_asllrp_signstream(tmp_path):
    signstream(tmp_path)
    (row,) = load("asllrp", tmp_path, "train")
    assert row["glosses"] == ["JOHN", "NOT-YET"] and row["text"] == "John has not yet." and row["signer"] == "Benjamin"
    assert (row["start"], row["end"]) == (0.666, 3.333)
    assert row["segments"][1] == {"gloss": "NOT-YET", "start": 0.9, "end": 1.5}
    assert row["video"]["path"].endswith("media/road.mov") and row["id"] == "ncslgr-3-0"


def test_wlasl_subset_missing_and_phrases(tmp_path):
    make("wlasl", tmp_path)
    rows = load("wlasl", tmp_path, "train")
    assert [(row["id"], row["glosses"], row["num_frames"]) for row in rows] == [
        ("00001", ["book"], 40),
        ("00005", ["go-to-bed"], None),
    ]
    assert list(load("wlasl", tmp_path, "train", subset=1)["id"]) == ["00001"]


def test_ksl_guide_kind_and_camera(tmp_path):
    ksl_guide(tmp_path)
    assert list(load("ksl_guide", tmp_path, "train")["id"]) == ["NIA_SL_WORD0001_REAL01_F"]
    assert len(load("ksl_guide", tmp_path, "train", camera=None)) == 2
    row = load("ksl_guide", tmp_path, "dev", kind="SEN")[0]
    assert row["glosses"] == ["길", "왼쪽"] and row["signer"] == "REAL17" and row["num_frames"] == 93
    assert load("ksl_guide", tmp_path, "train")[0]["video"]["path"].endswith("video/NIA_SL_WORD0001_REAL01_F.mp4")


def test_boston104_masks_and_order(tmp_path):
    boston104(tmp_path)
    row = load("boston104", tmp_path, "train")[0]
    assert row["glosses"] == ["JOHN", "WRITE"]
    stored = decode_poses(row["poses"])
    assert stored.track_dims == {"hands": 6} and stored.values[3].tolist() == [3, 181, 170, 175, 161, 1]
    assert "312 x 242" in stored.notes["hands"]


def test_roy_text_files(tmp_path):
    roy_texts(tmp_path)
    rows = load("roy_isl30", tmp_path, "train")
    assert list(rows["signer"]) == ["apurve", "gautam"] and rows[0]["glosses"] == ["baby"]
    assert decode_poses(rows[0]["poses"]).values.tolist() == [[0.25, 1.5, -3], [0.5, 2.5, -2]]


def test_table_paths_lists_and_quotes(tmp_path):
    make("table", tmp_path)
    rows = load("table", tmp_path)
    train = rows["train"][0]
    assert train["video"]["path"] == str(tmp_path / "clips/a.mp4") and train["text"] == '"so'
    assert train["tracks"] == [{"name": "mediapipe", "path": str(tmp_path / "a.npz")}]
    assert rows["dev"][0]["id"] == "b" and rows["dev"][0]["text"] == "one, two"
    assert rows["test"][0]["segments"] == [{"gloss": "WORK", "start": 0.0, "end": 0.5}]


def test_table_of_one_file_with_own_columns(tmp_path):
    path = write(tmp_path, "mine.csv", "id,Gloss,remarks,split\na,A B,x,train\nb,C,y,validation\nc,D,z,\n")
    rows = load("table", path, columns={"Gloss": "glosses", "remarks": None})
    assert {split: list(part["id"]) for split, part in rows.items()} == {"train": ["a", "c"], "dev": ["b"]}


def test_folder_without_splits_and_with_glosses_in_names(tmp_path):
    for name in ("hola_001.mp4", "buenos dias-2.mp4"):
        write(tmp_path, name, b"mp4")
    rows = load("folder", tmp_path, gloss_from="file", sign_language="mfs", licence="MIT")["train"]
    assert list(rows["glosses"]) == [["buenos-dias"], ["hola"]] and rows[0]["sign_language"] == "mfs"


def test_a_sign_may_have_the_name_of_a_split(tmp_path):
    for gloss in ("TRAIN", "TEST", "COFFEE"):
        (tmp_path / gloss).mkdir()
        np.savez(tmp_path / gloss / "ann_1.npz", hands=np.zeros((3, 126)), fps=25.0)
    rows = signx_hf.load_dataset("folder", data_dir=tmp_path)["train"]
    assert sorted(glosses[0] for glosses in rows["glosses"]) == ["COFFEE", "TEST", "TRAIN"]


def test_folder_passes_over_what_is_no_clip(tmp_path):
    for junk in (".DS_Store", "hola/.DS_Store", "hola/Thumbs.db", "hola/._1.mp4", "hola/notes.txt", "hola/1.jpg"):
        write(tmp_path, junk, b"junk")
    for junk in ("__MACOSX/hola/._1.mp4", ".cache/hola/2.mp4", "hola/@eaDir/1.mp4"):
        write(tmp_path, junk, b"junk")
    write(tmp_path, "hola/1.mp4", b"mp4")
    (row,) = load("folder", tmp_path, "train")
    assert (row["id"], row["glosses"], row["signer"], row["tracks"]) == ("hola/1", ["hola"], None, [])


def test_folder_takes_poses_alone_or_beside_their_video(tmp_path):
    for name in ("hola/1.mp4", "hola/1.npz", "hola/2.pose", "adios/3.npy", "adios/4.mp4", "adios/4.MOV"):
        write(tmp_path, name, b"x")
    rows = {row["id"]: row for row in load("folder", tmp_path, "train")}
    assert list(rows) == ["adios/3", "adios/4.MOV", "adios/4.mp4", "hola/1", "hola/2"]
    videos = {name: row["video"] and row["video"]["path"] for name, row in rows.items()}
    assert videos["hola/1"] == str(tmp_path / "hola/1.mp4") and videos["hola/2"] is None
    tracks = {name: [track["path"] for track in row["tracks"]] for name, row in rows.items()}
    assert tracks["hola/1"] == [str(tmp_path / "hola/1.npz")] and tracks["adios/3"] == [str(tmp_path / "adios/3.npy")]
    assert tracks["adios/4.mp4"] == []


@pytest.mark.parametrize(
    "files, options",
    [
        (("hola/ana/1.mp4", "hola/ben/1.mp4"), {"signer_from": "folder"}),
        (("hola/ana_1.mp4", "hola/ben_1.mp4"), {"signer_from": "prefix"}),
        (("ana_hola_1.mp4", "ben_hola-2.mp4"), {"signer_from": "prefix", "gloss_from": "file"}),
        (("hola/1.mp4", "hola/2.mp4"), {"signer_from": "who.csv"}),
    ],
)
def test_folder_says_who_signs(files, options, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in files:
        write(tmp_path / "clips", name, b"mp4")
    write(tmp_path, "who.csv", "signer,file\nana,hola/1.mp4\nben,hola\\2.mp4\n")
    rows = load("folder", tmp_path / "clips", "train", **options)
    assert list(rows["signer"]) == ["ana", "ben"] and list(rows["glosses"]) == [["hola"], ["hola"]]


def test_folder_leaves_out_broken_files_among_good_ones(tmp_path):
    for name in ("hola/1.mkv", "adios/2.mkv"):
        (tmp_path / name).parent.mkdir()
        write_video(tmp_path / name, make_frames(3))
    whole = (tmp_path / "hola/1.mkv").read_bytes()
    write(tmp_path, "hola/3.mkv", b"")
    write(tmp_path, "hola/4.mp4", b"not a video")
    write(tmp_path, "hola/5.mkv", whole[:200])
    write(tmp_path, "hola/6.npz", b"not an archive")
    assert len(load("folder", tmp_path, "train")) == 6, "nothing is opened unasked"
    rows = load("folder", tmp_path, "train", skip_bad=tmp_path / "list.tsv")
    assert list(rows["id"]) == ["adios/2", "hola/1"]
    listed = (tmp_path / "list.tsv").read_text().splitlines()[1:]
    assert [Path(line.split("\t")[0]).name for line in listed] == ["3.mkv", "4.mp4", "5.mkv", "6.npz"]
    assert all("a file that can be read: " in line for line in listed)


def test_elan_sentences_and_whole_files(tmp_path):
    make("elan", tmp_path)
    whole = load("elan", tmp_path, "train")[0]
    assert whole["glosses"] == ["IX-1p", "WORK", "FINISH"] and whole["start"] is None
    assert whole["video"]["path"] == str(tmp_path / "media" / "clip.mp4")
    rows = load("elan", tmp_path, "train", text_tier="English", spoken_language="en")
    assert [(row["glosses"], row["text"], row["start"], row["end"]) for row in rows] == [
        (["IX-1p", "WORK"], "I work.", 0.0, 1.5),
        (["FINISH"], "Done.", 2.0, 3.0),
    ]
    assert rows[1]["segments"][0]["start"] == pytest.approx(0.1)


def test_annotations_without_videos_say_so(tmp_path):
    write(tmp_path, "gsl_split_SI_dev.csv", "a/a_signer1_rep1_s/s0|A\n")
    with pytest.warns(SignXWarning, match="gsl: no videos or frames in .*; looked for GSL_continuous"):
        assert signx_hf.load_dataset("gsl", tmp_path, "dev")[0]["frames"] is None
    (tmp_path / "GSL_continuous").mkdir()
    with pytest.warns(SignXWarning, match="gsl: .* has no split train, test. Loaded dev"):
        assert list(signx_hf.load_dataset("gsl", tmp_path)) == ["dev"]


def test_left_out_rows_are_listed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    lines = ["id\tglosses\tfps", "a\tA\t25", "b\tB\tfast", "c\tC", "d\tD\t-1"]
    path = write(tmp_path, "train.tsv", "\n".join(lines))
    with pytest.warns(SignXWarning, match="table: 3 rows were left out and are listed in table_left_out.tsv"):
        rows = signx_hf.load_dataset("table", path, "train", skip_bad=True)
    assert list(rows["id"]) == ["a"]
    assert (tmp_path / "table_left_out.tsv").read_text().splitlines() == [
        "file\trow\tcolumn\tactual\texpected",
        f"{path}\t3\tfps\t'fast'\ta number of at least 0",
        f"{path}\t4\tall\t'2 columns'\t3 columns, as in the first row",
        f"{path}\t5\tfps\t'-1'\ta number of at least 0",
    ]
    load("table", path, "train", skip_bad=tmp_path / "list.tsv")
    assert (tmp_path / "list.tsv").is_file()
    write(tmp_path, "good.tsv", "id\nx\n")
    load("table", tmp_path / "good.tsv", "train", skip_bad=tmp_path / "none.tsv")
    assert not (tmp_path / "none.tsv").exists(), "no list where nothing was left out"
