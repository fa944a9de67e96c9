"""Corpora of hand landmarks but WLASL: rows of the track `hands`, splits by signer and phrase, and what damaged files get."""

import json
import re
import warnings
from collections import Counter

import numpy as np
import pytest
from conftest import data_folder
from data_minis import write
from hand_data import hands_of, load, make, of, spoil
from helpers import said

import signx_hf
from signx_hf import SignXError, SignXPoseFeatureExtractor
from signx_hf.data.check import check_dataset
from signx_hf.data.corpora.asl_letters import ASLLetters
from signx_hf.data.corpora.copycat import CopyCat
from signx_hf.data.corpora.dgs30 import DGS30
from signx_hf.data.corpora.dgs_corpus import DWPOSE_NOTES, lexical_gloss
from signx_hf.data.media import pose_clip
from signx_hf.data.schema import decode_poses
from signx_hf.processing.hand_sources_signx import picture_aspect
from signx_hf.processing.hands_signx import HAND_FEATURES
from signx_hf.processing.keypoints_signx import HANDS_LAYOUT, HANDS_ORDER, HANDS_UNITS

# CopyCat


def test_copycat_rows(tmp_path):
    path = make("copycat", tmp_path) / "copycat.npz"
    rows = load("copycat", tmp_path, "train")
    hands, seen = hands_of(rows[0])
    assert np.array_equal(hands[..., :2], of(path, "hands")[:9].astype(np.float32)) and not hands[..., 2].any()
    assert seen.all() and np.array_equal(hands[3:6, 0], hands[3:6, 1]), "what is held twice is kept as it is"
    assert rows[0]["glosses"] == ["lion", "bed"] and rows[1]["glosses"] == ["snake"]
    assert rows[0]["segments"][1] == {"gloss": "bed", "start": 4 / 30, "end": 7 / 30}
    assert rows["id"][0] == "signer0_phrase00_session0_00" and rows["id"][4] == "signer0_phrase00_session0_01"


@pytest.mark.parametrize(
    "options, train, test",
    [
        ({"test_signers": [1]}, ["00", "01", "00"], ["00", "01", "01"]),
        ({"test_signers": ["1"], "test_phrases": ["snake"]}, ["00", "00"], ["00", "01", "01"]),
        ({"test_signers": ["1"], "test_phrases": [1], "test_on": "seen"}, ["00", "00"], ["00"]),
        ({"test_signers": ["1"], "test_phrases": [1], "test_on": "unseen"}, ["00", "00"], ["01", "01"]),
        ({"test_phrases": ["lion_bed"]}, ["01", "01", "01"], ["00", "00", "00"]),
    ],
)
def test_copycat_leaves_out_signers_and_phrases(options, train, test, tmp_path):
    make("copycat", tmp_path)
    parts = load("copycat", tmp_path, **options)
    assert [name.split("phrase")[1][:2] for name in parts["train"]["id"]] == train
    assert [name.split("phrase")[1][:2] for name in parts["test"]["id"]] == test
    if "test_signers" in options:
        assert set(parts["train"]["signer"]) == {"0"} and set(parts["test"]["signer"]) == {"1"}


def test_copycat_phrases_of_the_real_corpus():
    corpus = CopyCat(data_folder("copycat_asl"), test_signers=[3], phrase_fold=0)
    held, arrays = [], corpus.arrays
    for corpus.phrase_fold, corpus.seed in ((0, 1), (4, 0), (3, 0), (2, 0), (1, 0), (0, 0)):
        held.insert(0, corpus.unseen_phrases())
    other = held.pop()
    assert sorted(phrase for fold in held for phrase in fold) == list(range(58)) and len(held[0]) == 12
    assert other != held[0], "another seed draws other phrases"
    clips = {split: [record.values["clip"] for record in corpus.records(split)] for split in ("train", "test")}
    phrases = {split: set(arrays["phrase"][chosen].tolist()) for split, chosen in clips.items()}
    assert not phrases["train"] & held[0] and len(phrases["train"]) == 46 and len(phrases["test"]) == 58
    assert set(np.unique(arrays["gloss"][clips["train"]]).tolist()) == {-1, *range(18)}, "every gloss is trained on"
    assert set(arrays["signer"][clips["test"]].tolist()) == {3} and 3 not in arrays["signer"][clips["train"]]
    for record in list(corpus.records("test"))[::40]:
        row = corpus.row(record, "test")
        hands, seen = hands_of(row)
        assert seen.all() and hands.min() > -0.1 and hands.max() < 1.4
        ends = [(segment["start"], segment["end"]) for segment in row["segments"]]
        assert all(first[1] <= second[0] for first, second in zip(ends, ends[1:]))
        assert ends[-1][1] <= row["num_frames"] / 30


# the webcam


def test_webcam_depths_are_in_picture_widths(tmp_path):
    path = make("asl_webcam", tmp_path) / "sentences.npz"
    (row,) = load("asl_webcam", tmp_path, "test", tracks=["hands", "mediapipe"])
    assert (row["glosses"], row["text"], row["fps"]) == (["what", "time"], "What time?", 19.833)
    hands, seen = hands_of(row)
    assert seen.tolist() == [[True, True], [True, True], [True, False], [True, True], [False, False], [False, False]]
    points = of(path, "what-time").astype(np.float32)
    assert np.allclose(hands[0], (points[0, 33:] * [1, 1, 640]).reshape(2, 21, 3), atol=1e-3)
    stored = decode_poses(row["poses"])
    assert stored.track_dims == {"hands": 126, "mediapipe": 258}
    assert stored.mask.tolist() == [[True, True]] * 4 + [[False, True], [False, False]]
    body = stored.values[0, 126 : 126 + 132].astype(np.float32).reshape(33, 4)
    assert np.allclose(body[:, :2], points[0, :33, :2] * [640, 480], atol=0.5) and (body[:, 3] == 1).all()


# letters


def test_letters_are_shapes_in_the_middle(tmp_path):
    path = make("asl_letters", tmp_path) / "asl_letters.npz"
    rows = load("asl_letters", tmp_path, "train")
    assert list(rows["id"])[2] == "13lack_A_00002" and set(rows["num_frames"]) == {1}
    for row, shape in zip(rows, of(path, "xy").astype(np.float32)):
        hands, seen = hands_of(row)
        assert seen.tolist() == [[True, False]] and not hands[..., 2].any()
        hand = hands[0, 0, :, :2]
        assert np.allclose((hand.min(axis=0) + hand.max(axis=0)) / 2, 0.5, atol=1e-3)
        assert np.allclose(hand - hand[0], 0.25 * shape, atol=2e-3)
    parts = load("asl_letters", tmp_path, test_sources=["13lack"], exclude_letters=["Z"])
    assert (list(parts["train"]["signer"]), list(parts["test"]["glosses"])) == (["boris", "boris"], [["A"]])


def test_real_letters_leave_one_person_out():
    corpus = ASLLetters(data_folder("asl_letters"), test_sources=["13lack"], exclude_letters=["J", "Z"])
    train, test = ([record.values for record in corpus.records(split)] for split in ("train", "test"))
    assert {values["source"] for values in test} == {"13lack"} and len(test) == 502
    assert {values["source"] for values in train} == {"boris", "insitee", "fawziya"}
    assert len({values["letter"] for values in test}) == len({values["letter"] for values in train}) == 24


# DGS


@pytest.mark.parametrize(
    "gloss, sign, variant",
    [
        ("HAUS1A*", "HAUS", "HAUS1"),
        ("HAUS1", "HAUS", "HAUS1"),
        ("TAUB-GEHÖRLOS1A^*", "TAUB-GEHÖRLOS", "TAUB-GEHÖRLOS1"),
        ("NICHT-MEHR12", "NICHT-MEHR", "NICHT-MEHR12"),
        ("TUNESIEN-$KANDIDAT-BER19^*", "TUNESIEN", "TUNESIEN"),
        ("$GEST-OFF^", None, None),
        ("$NUM-EINER1A:2d*", None, None),
        ("$$EXTRA-LING-MAN^", None, None),
    ],
)
def test_lexical_glosses(gloss, sign, variant):
    assert lexical_gloss(gloss) == sign and lexical_gloss(gloss, variants=True) == variant


def test_dgs_corpus_rows(tmp_path):
    path = make("dgs_corpus", tmp_path) / "sentences.npz"
    row = load("dgs_corpus", tmp_path, "train", tracks=["hands", "dwpose"])[0]
    points = of(path, "seg_1").astype(np.float32)
    hands, seen = hands_of(row)
    assert seen.tolist() == [[True, True], [False, True], [True, True], [False, False], [True, True]]
    assert np.array_equal(hands[0, ..., :2], points[0, 25:].reshape(2, 21, 2)) and not hands[..., 2].any()
    stored = decode_poses(row["poses"])
    whole = stored.values[:, 126:].astype(np.float32).reshape(5, 128, 3)
    openpose18 = [0, 1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18]
    there = whole[0, :18, 2] == 1
    assert there.tolist() == [index not in (10, 11) for index in openpose18], "NaN, and moved to the lower edge"
    assert np.allclose(whole[0, :18, :2][there], (points[0, openpose18] * [640, 360])[there], atol=0.3)
    assert np.allclose(whole[0, 39:60, 1], points[0, 46:67, 1] * 360, atol=0.2) and not whole[:, 60:].any()
    assert row["segments"][0] == {"gloss": "HAUS1A*", "start": 0.02, "end": 0.04} and row["text"] == "Mein Haus."
    lexical = load("dgs_corpus", tmp_path, "train", lexical=True, language="en")
    assert list(lexical["glosses"]) == [["HAUS", "ICH"]], "a sentence without a lexical sign is left out"
    assert (lexical[0]["text"], lexical[0]["spoken_language"]) == ("My house.", "en")
    parts = load("dgs_corpus", tmp_path, test_signers=["ber-36"])
    assert (list(parts["train"]["id"]), list(parts["test"]["id"])) == (["seg_1"], ["seg_2"])


def test_real_dgs_corpus_against_its_counts():
    rows = load("dgs_corpus", data_folder("dgs_corpus"), "train", tracks=["hands", "dwpose"])
    assert (
        sum(rows["num_frames"]) == 48556 and sum(map(len, rows["glosses"])) == 1928 and len(set(rows["signer"])) == 3
    )
    assert check_dataset({"train": rows}).errors == 0
    parts = load("dgs_corpus", data_folder("dgs_corpus"), test_signers=["ber-54"], lexical=True)
    tokens = Counter(gloss for part in parts.values() for glosses in part["glosses"] for gloss in glosses)
    assert tokens["ICH"] > 100 and not any(set("$*^") & set(gloss) or gloss[-1].isdigit() for gloss in tokens)
    assert set(parts["test"]["signer"]) == {"ber-54"}
    # the wrist of the hand is that of the arm
    stored = decode_poses(rows[0]["poses"]).values[:, 126:].astype(np.float32).reshape(-1, 128, 3)
    for arm, hand in ((7, 18), (4, 39)):
        there = (stored[:, arm, 2] > 0) & (stored[:, hand, 2] > 0)
        assert np.median(np.linalg.norm(stored[there, arm, :2] - stored[there, hand, :2], axis=1)) < 15, (
            "pixels of 640"
        )


def test_real_sample_of_dgs_poses():
    pytest.importorskip("pose_format", reason="the sample are .pose files, which are read with the extra poses")
    rows = load("dgs_corpus", data_folder("dgs_corpus"), "train", part="pose_sample")
    assert len(rows) == 29 and rows[1]["text"] == "Ich nahm zwei." and set(rows["fps"]) == {25.0}
    assert not any(rows["segments"])
    hands, seen = hands_of(rows[0])
    found = hands[seen]
    assert 0.2 < found[..., :2].mean() < 0.8 and 0.01 < np.abs(found[..., 2]).mean() < 0.1 and not found[:, 0, 2].any()


def test_dgs30_rows_and_folds(tmp_path):
    path = make("dgs30", tmp_path) / "dgs30.npz"
    rows = load("dgs30", tmp_path, "train", face=True, fps=25)
    hands, seen = hands_of(rows[0])
    assert seen.tolist() == [[index != 1, False] for index in range(5)], "zeros and NaN are absent"
    raw = of(path, "hands").astype(np.float32)
    assert np.allclose(hands[0, 0], raw[0, 0] * [1, 1, 0.4], atol=1e-3)
    stored = decode_poses(rows[3]["poses"])
    assert stored.track_dims == {"hands": 126, "face": 2} and np.array_equal(
        stored.values[:, 126:], of(path, "face")[16:]
    )
    assert rows[1]["fps"] == 25 and rows[1]["glosses"] == ["fußball"] and set(rows["signer"]) == {None}
    tested = []
    for fold in range(3):
        corpus = DGS30(tmp_path, folds=3, fold=fold)
        test, train = ({row["id"] for row in corpus.rows(split)} for split in ("test", "train"))
        assert test | train == set("abcd") and not test & train
        assert ("a" in test) == ("c" in test), "a clip that is there twice is in one fold"
        tested += sorted(test)
    assert sorted(tested) == list("abcd")


def test_real_dgs30_palms_keep_their_shape():
    """With the depth as it is given, the bones of a palm vary less than without depth or with that of the file."""
    rows = load("dgs30", data_folder("dgs30_words"), "test", fold=0)
    found = np.concatenate([clip[seen] for clip, seen in map(hands_of, rows)])[::5]

    def spread(scale):  # the depth that MediaPipe gives is about 2.3 times too flat for its x
        points = found * [1, 3 / 4, scale]
        pairs = ((0, 5), (0, 9), (0, 13), (0, 17), (5, 17))
        bones = np.log(
            np.stack([np.linalg.norm(points[:, a] - points[:, b], axis=1) for a, b in pairs], axis=1) + 1e-6
        )
        return (bones - bones.mean(axis=1, keepdims=True)).std(axis=0).mean()

    assert spread(2.3) < spread(2.3 / 0.4) and spread(2.3) < spread(0)
    signs = load("dgs30", data_folder("dgs30_words"), "train")["glosses"]
    counts = Counter(gloss for (gloss,) in signs)
    assert len(counts) == 30 and (min(counts.values()), max(counts.values())) == (43, 114)


@pytest.mark.parametrize(
    "name, split, aspect",
    [
        ("copycat", "train", 16 / 9),
        ("dgs_corpus", "train", 640 / 360),
        ("asl_webcam", "test", 640 / 480),
        ("dgs30", "train", 4 / 3),
        ("asl_letters", "train", 16 / 9),
    ],
)
def test_shape_of_the_picture_is_noted(name, split, aspect, tmp_path):
    make(name, tmp_path)
    extractor = SignXPoseFeatureExtractor(track_dims={"hands": HAND_FEATURES})
    clip = extractor.read(pose_clip(load(name, tmp_path, split)[0], extractor), name)
    assert picture_aspect(clip) == pytest.approx(aspect, abs=1e-3)


def test_notes_of_dwpose_are_those_of_the_extractor():
    from signx_hf.processing.keypoints_signx import DWPOSE_LAYOUT, DWPOSE_ORDER, DWPOSE_UNITS

    texts = {"layout": DWPOSE_LAYOUT, "units": DWPOSE_UNITS, "order": DWPOSE_ORDER}
    assert {field: DWPOSE_NOTES[f"dwpose.{field}"] for field in texts} == texts


# damaged files and wrong options of the others

DAMAGED = [
    (
        "copycat",
        {"hands": np.zeros((51, 2, 21, 3), np.float16)},
        "`hands` must be float [frames, 2, 21, 2], got float16 [51,",
    ),
    ("copycat", {"length": np.array([9, 8, 7, 10, 8, 8])}, "add up to 51 frames, got 6 clips and a sum of 50"),
    ("copycat", {"gloss": np.full((6, 2), 3)}, "`gloss` must be from -1 to 2, got 3 to 3"),
    ("copycat", {"gloss": np.full((6, 2), -1)}, "row 1, column 'gloss': expected at least one gloss ... got [-1, -1]"),
    (
        "copycat",
        {"word_frames": np.full((6, 2, 2), 4)},
        "row 1, column 'word_frames': expected first frame ... got [[4, 4], [4, 4]]",
    ),
    (
        "copycat",
        {"phrase": np.zeros(5, int)},
        "`phrase` must be integer [clips] (clips = 6 as in `length`), got int64 [5]",
    ),
    ("copycat", {"vocab": None}, "`vocab` must be in the file"),
    (
        "dgs30",
        {"hands": np.zeros((20, 21, 3))},
        "`hands` must be float [frames, 2, 21, 3] (frames = 20 as in `face`), got",
    ),
    ("dgs30", {"clip_id": np.arange(4)}, "`clip_id` must be text [clips] (clips = 4 as in `length`), got int64 [4]"),
    ("dgs30", {"sign": np.array([0, 1, 2, 0])}, "`sign` must be from 0 to 1, got 0 to 2"),
    ("asl_letters", {"xy": np.zeros((4, 42))}, "`xy` must be float [frames, 21, 2], got float64 [4, 42]"),
    (
        "asl_letters",
        {"letter": np.array(["A"])},
        "`letter` must be text [frames] (frames = 4 as in `xy`), got <U1 [1]",
    ),
    ("asl_webcam", {"what-time": np.zeros((6, 75, 2))}, "`what-time` must be float [frames of what-time, 75, 3], got"),
    ("asl_webcam", {"what-time": None, "x": np.zeros(1)}, "`what-time` must be in the file, got x"),
    ("dgs_corpus", {"seg_2": None}, "`seg_2` must be in the file, got seg_1"),
    ("dgs_corpus", {"seg_2": np.zeros((3, 67, 2), int)}, "`seg_2` must be float [frames of seg_2, 67, 2], got int64"),
]


@pytest.mark.parametrize("name, changes, message", DAMAGED)
def test_damaged_arrays(name, changes, message, tmp_path):
    make(name, tmp_path)
    (path,) = tmp_path.glob("*.npz")
    spoil(path, **changes)
    with pytest.raises(SignXError) as error:
        load(name, tmp_path)
    assert (
        str(path) in str(error.value) and re.search(said(message), str(error.value)) and "\n" not in str(error.value)
    )


@pytest.mark.parametrize("name", ["wlasl_hands", "copycat", "asl_letters", "asl_webcam", "dgs_corpus", "dgs30"])
def test_cut_and_absent_files(name, tmp_path):
    make(name, tmp_path)
    (path,) = tmp_path.glob("*.npz")
    whole = path.read_bytes()
    for content in (whole[: len(whole) // 2], b"", b"no archive"):
        path.write_bytes(content)
        with pytest.raises(SignXError, match=f"{path.name}: must be a .npz file with .*; it cannot be read"):
            load(name, tmp_path)
    path.unlink()
    with pytest.raises(SignXError, match=f"looked for {path.name}"):
        load(name, tmp_path)


ANNOTATIONS = [
    (
        "asl_webcam",
        lambda e: e[0].pop("folder_glosses"),
        "row 1, column 'folder_glosses': expected glosses ... got None",
    ),
    ("asl_webcam", lambda e: e[0].update(fps="fast"), "row 1, column 'fps': expected a number ... got 'fast'"),
    (
        "dgs_corpus",
        lambda e: e[0].update(glosses=[[1, 2, "A"]]),
        "expected [start_ms, end_ms, gloss, hand] ... got [1, 2, 'A']",
    ),
    (
        "dgs_corpus",
        lambda e: e[0]["glosses"][0].__setitem__(1, 20),
        "expected an end after ... got [20, 20, 'HAUS1A*', 'r']",
    ),
    (
        "dgs_corpus",
        lambda e: e[1]["glosses"][0].__setitem__(2, "A B"),
        "row 2, column 'glosses': expected glosses ... got 'A B'",
    ),
    ("dgs_corpus", lambda e: e.append(3), "sentences.json: must be a list of sentences"),
]


@pytest.mark.parametrize("name, change, message", ANNOTATIONS)
def test_damaged_annotations(name, change, message, tmp_path):
    path = make(name, tmp_path) / "sentences.json"
    entries = json.loads(path.read_text())
    change(entries)
    write(tmp_path, path.name, json.dumps(entries))
    with pytest.raises(SignXError) as error:
        load(name, tmp_path)
    assert str(path) in str(error.value) and re.search(said(message), str(error.value))


@pytest.mark.parametrize(
    "name, options, message",
    [
        (
            "copycat",
            {"test_signers": [6]},
            "`test_signers` must name what the corpus has, got '6'; choose one of 0, 1",
        ),
        ("copycat", {"test_signers": "1"}, "`test_signers` must be a list, got '1'. Write [1]."),
        ("copycat", {"test_phrases": ["lion_bet"]}, "got 'lion_bet'; did you mean 'lion_bed'?"),
        ("copycat", {"phrase_fold": 5}, "`phrase_fold` must be an integer from 0 to 4, got 5"),
        (
            "copycat",
            {"phrase_fold": 1, "test_phrases": [1]},
            "`test_phrases` must be left out where `phrase_fold` is given",
        ),
        ("copycat", {"test_on": "new"}, "`test_on` must be 'all', 'seen' or 'unseen', got 'new'"),
        ("dgs30", {"fold": -1}, "`fold` must be an integer from 0 to 4, got -1"),
        ("dgs30", {"fps": 0}, "`fps` must be frames per second, got 0"),
        ("dgs30", {"face": 1}, "`face` must be true or false, got 1"),
        ("asl_letters", {"test_sources": ["borris"]}, "got 'borris'; did you mean 'boris'?"),
        ("asl_webcam", {"tracks": ["holistic"]}, "`tracks` must name what the corpus has, got 'holistic'"),
        ("asl_webcam", {"tracks": []}, "`tracks` must be one or both of 'hands' and 'mediapipe', got []"),
        ("dgs_corpus", {"tracks": ["dwpose", "hands"], "part": "pose_sample"}, "of the sample ['hands'], got"),
        ("dgs_corpus", {"variants": True}, "`variants` must be left out where `lexical` is not set"),
        ("dgs_corpus", {"language": "nl"}, "`language` must be 'de' or 'en', got 'nl'"),
        ("dgs_corpus", {"part": "poses"}, "`part` must be one of sentences, pose_sample, got 'poses'"),
        ("dgs_corpus", {"test_signers": ["ber-13"]}, "got 'ber-13'; did you mean 'ber-"),
        ("dgs_corpus", {"lexical": "yes"}, "`lexical` must be true or false, got 'yes'"),
    ],
)
def test_wrong_options(name, options, message, tmp_path):
    make(name, tmp_path)
    with pytest.raises(SignXError) as error:
        load(name, tmp_path, **options)
    assert message in str(error.value) and f"{name}: " in str(error.value)


@pytest.mark.parametrize("name", ["wlasl_hands", "copycat", "asl_letters", "asl_webcam", "dgs_corpus", "dgs30"])
def test_models_of_hands_read_every_corpus(name, tmp_path):
    """Rows reach a model as finite numbers, and no note differs from what the extractor of videos writes in meaning."""
    make(name, tmp_path)
    notes = {"hands.layout": HANDS_LAYOUT, "hands.units": HANDS_UNITS, "hands.order": HANDS_ORDER}
    extractor = SignXPoseFeatureExtractor(track_dims={"hands": HAND_FEATURES}, hand_steps=16, track_notes=notes)
    for rows in load(name, tmp_path).values():
        for row in rows:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                batch = extractor(pose_clip(row, extractor), return_tensors="np")
            values = batch["pose_values"][0]
            assert values.shape == (16, HAND_FEATURES) and np.isfinite(values).all() and values.any()


@pytest.mark.parametrize(
    ("name", "split", "track"), [("asl_webcam", "test", "mediapipe"), ("dgs_corpus", "train", "dwpose")]
)
def test_hands_taken_out_of_other_tracks_are_the_same(name, split, track, tmp_path):
    """A model of hands reads rows of body and hands in pixels as it reads the track `hands`."""
    make(name, tmp_path)
    extractor = SignXPoseFeatureExtractor(track_dims={"hands": HAND_FEATURES}, hand_steps=12)
    found = []
    for tracks in (["hands"], [track]):
        row = load(name, tmp_path, split, tracks=tracks)[0]
        assert list(decode_poses(row["poses"]).track_dims) == tracks
        clip = extractor.read(pose_clip(row, extractor), name)
        found.append(extractor.hand_clip(clip))
    assert np.array_equal(found[0].seen, found[1].seen)
    assert np.allclose(found[0].hands, found[1].hands, atol=5e-3), "in picture heights; pixels are stored to a half"


def test_made_sentences_of_copycat_are_words_of_one_signer_and_no_phrase_that_is_held_out():
    data = data_folder("copycat_asl")
    options = {"test_signers": ["0"], "phrase_fold": 0, "fragments": 60}
    train = signx_hf.load_dataset("copycat", data_dir=data, split="train", **options)
    unseen = signx_hf.load_dataset("copycat", data_dir=data, split="test", test_on="unseen", **options)
    made = [row for row in train if row["id"].startswith("semi-synthetic_")]
    assert 50 < len(made) <= 60 and not {row["signer"] for row in made} & {"0"}
    assert not {tuple(row["glosses"]) for row in made} & {tuple(row["glosses"]) for row in unseen}
    for row in made:
        assert len(row["segments"]) == len(row["glosses"]) >= 2
        ends = [0.0] + [segment["end"] for segment in row["segments"]]
        assert (
            all(end <= segment["start"] for end, segment in zip(ends, row["segments"]))
            and ends[-1] <= row["num_frames"] / 30 + 1e-6
        )
    again = signx_hf.load_dataset("copycat", data_dir=data, split="train", **options)
    assert again["poses"] == train["poses"]
