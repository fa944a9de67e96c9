"""Corpora of hand landmarks: rows of the track `hands`, splits by signer and phrase, and what damaged files get."""

import warnings
from collections import Counter

import numpy as np
import pytest
from conftest import data_folder
from data_minis import MINIS

import signx_hf
from signx_hf import SignXError, SignXWarning
from signx_hf.data.check import CheckOptions, check_dataset
from signx_hf.data.corpora._hands import HANDS_WIDTH, LAYOUT
from signx_hf.data.schema import decode_poses


def load(name, folder, split=None, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SignXWarning)
        return signx_hf.load_dataset(name, folder, split, **options)


def make(name, folder):
    MINIS[name][0](folder)
    return folder


def hands_of(row):
    """Hands [T, 2, 21, 3] float32 and which were seen [T, 2], from a row of a dataset."""
    stored = decode_poses(row["poses"])
    assert stored.track_dims["hands"] == HANDS_WIDTH == 126 and stored.notes["hands.layout"] == LAYOUT == "hands-126"
    assert list(stored.track_dims)[0] == "hands"
    hands = stored.values[:, :126].astype(np.float32).reshape(-1, 2, 21, 3)
    seen = (hands != 0).any(axis=(2, 3))
    assert np.array_equal(seen.any(axis=1), stored.mask[:, 0]), "frames without a hand are masked, all others are not"
    return hands, seen


def spoil(path, **changes):
    """Rewrites arrays of a .npz file; None removes one."""
    with np.load(path) as file:
        arrays = {**file, **changes}
    np.savez(path, **{name: value for name, value in arrays.items() if value is not None})


def of(path, name):
    with np.load(path) as file:
        return file[name]


# WLASL


def test_wlasl_hands_rows_are_what_the_file_holds(tmp_path):
    path = make("wlasl_hands", tmp_path) / "wlasl2000.npz"
    full = np.full((*of(path, "present").shape, 21, 3), np.nan, dtype=np.float32)
    full[of(path, "present")] = of(path, "hands")
    (row,) = load("wlasl_hands", tmp_path, "dev")
    assert (row["id"], row["glosses"], row["signer"], row["fps"]) == ("00002", ["book"], "8", 30)
    hands, seen = hands_of(row)
    expected = full[6:11]
    assert np.array_equal(seen, ~np.isnan(expected).all(axis=(2, 3))) and not seen[2:4].any()
    assert np.array_equal(hands, np.nan_to_num(expected)), "slots stay as they were detected, what is absent is 0"
    assert decode_poses(row["poses"]).notes["wlasl.site"] == "b"
    assert load("wlasl_hands", tmp_path, "test")[0]["glosses"] == ["go-to-bed"]


@pytest.mark.parametrize(
    "options, ids",
    [
        ({}, ["00001", "00004", "00005", "00006"]),
        ({"subset": 2}, ["00001", "00004", "00006"]),
        ({"exclude_ids": ["00006", 1]}, ["00004", "00005"]),
        ({"glosses": ["drink", "go-to-bed"]}, ["00004", "00005"]),
        ({"exclude_glosses": ["go-to-bed"], "subset": 2}, ["00001", "00006"]),
    ],
)
def test_wlasl_hands_selection(options, ids, tmp_path):
    make("wlasl_hands", tmp_path)
    assert list(load("wlasl_hands", tmp_path, "train", **options)["id"]) == ids


def test_wlasl_hands_folds_test_every_signer_once(tmp_path):
    make("wlasl_hands", tmp_path)
    tested = []
    for fold in range(3):
        parts = load("wlasl_hands", tmp_path, split_by="signer", folds=3, fold=fold)
        assert not set(parts["train"]["signer"]) & set(parts["test"]["signer"])
        assert len(parts["train"]) + len(parts["test"]) == 6
        tested += set(parts["test"]["signer"])
    assert sorted(tested) == ["10", "7", "8", "9"]
    # 3 clips of signer 7, then one of each other: 8 and 9 come to the empty folds, 10 to the first of the two
    assert set(load("wlasl_hands", tmp_path, "test", split_by="signer", folds=3, fold=1)["signer"]) == {"8", "10"}


REAL_WLASL = [
    (2000, (8000, 2154, 1367), 74),
    (300, (1789, 424, 313), 67),
    (100, (704, 155, 100), 60),
]


@pytest.mark.parametrize("subset, counts, signers", REAL_WLASL)
def test_wlasl_hands_against_the_published_counts(subset, counts, signers):
    parts = load("wlasl_hands", data_folder("wlasl_hands"), subset=subset)
    assert tuple(len(parts[split]) for split in ("train", "dev", "test")) == counts
    assert len({signer for part in parts.values() for signer in part["signer"]}) == signers
    glosses = {gloss for part in parts.values() for (gloss,) in part["glosses"]}
    assert len(glosses) == subset and all(gloss.split() == [gloss] for gloss in glosses)


def test_wlasl_hands_ranges_and_videos_left_out():
    folder = data_folder("wlasl_hands")
    videos = ["69532", "69544", "69545", "69547"]
    known = load("wlasl_hands", folder, glosses=["when", "write", "yellow", "you"])
    by_id = {row["id"]: row["glosses"] for part in known.values() for row in part}
    assert [by_id[video] for video in videos] == [["when"], ["write"], ["yellow"], ["you"]]
    parts = load("wlasl_hands", folder, subset=100, exclude_ids=videos)
    assert not {clip for part in parts.values() for clip in part["id"]} & set(videos)
    hands = [hands_of(row) for row in parts["test"]]
    found = np.concatenate([clip[seen] for clip, seen in hands])
    assert found[..., :2].min() > -0.2 and found[..., :2].max() < 1.2, "fractions of the picture, a little beyond it"
    assert np.abs(found[:, 0, 2]).max() < 1e-5 and 0.01 < np.abs(found[..., 2]).mean() < 0.1, "z from the wrist"
    assert all(seen.any() for _, seen in hands)


def test_wlasl_hands_folds_of_the_real_signers():
    folder = data_folder("wlasl_hands")
    tested = Counter()
    for fold in range(5):
        parts = load("wlasl_hands", folder, split_by="signer", fold=fold, subset=100)
        assert not set(parts["train"]["signer"]) & set(parts["test"]["signer"])
        assert len(parts["train"]) + len(parts["test"]) == 959
        tested.update(parts["test"]["id"])
    assert len(tested) == 959 and set(tested.values()) == {1}


def test_check_of_wlasl_hands_finds_only_what_is_wrong_with_wlasl():
    """The same videos stand under two glosses in different splits; dictionary clips differ in length."""
    parts = load("wlasl_hands", data_folder("wlasl_hands"), subset=300)
    findings = check_dataset(parts, CheckOptions()).findings
    assert {finding.fault for finding in findings} <= {"leaked-clip", "length"}
    assert any(finding.fault == "leaked-clip" for finding in findings)


WLASL = "wlasl2000.npz"
BAD_WLASL = [
    ({"hands": None}, f"{WLASL}: `hands` must be in the file, got length, present, video_id"),
    ({"hands": np.zeros((3, 21, 2), np.float16)}, "`hands` must be float [detections, 21, 3], got float16 [3, 21, 2]"),
    ({"present": np.zeros((33, 2), np.int64)}, "`present` must be bool [frames, 2], got int64 [33, 2]"),
    ({"length": np.array([6, 5, 7, 4, 6, 6])}, "add up to 33 frames, got 6 clips and a sum of 34"),
    ({"length": np.array([6, 5, 7, 4, 11, 0])}, "`length` must be at least 1 for each clip"),
    ({"signer": np.array([1, 2])}, "`signer` must be integer [clips] (clips = 6 as in `length`), got int64 [2]"),
    ({"signer": np.array(list("abcdef"))}, "`signer` must be integer [clips] (clips = 6 as in `length`), got <U1 [6]"),
    ({"sign": np.array([0, 0, 1, 1, 2, 3])}, "`sign` must be from 0 to 2, got 0 to 3"),
    ({"split": np.array(["train"] * 5 + ["all"])}, "`split` must be train, val or test, got 'all'"),
    ({"gloss": np.array(["a", None, 1], dtype=object)}, "cannot be read (Object arrays cannot be loaded"),
]


@pytest.mark.parametrize("changes, message", BAD_WLASL)
def test_damaged_wlasl_hands(changes, message, tmp_path):
    path = make("wlasl_hands", tmp_path) / WLASL
    spoil(path, **changes)
    with pytest.raises(SignXError) as error:
        load("wlasl_hands", tmp_path, "train")
    assert str(path) in str(error.value) and message in str(error.value) and "\n" not in str(error.value)


def test_wlasl_hands_of_other_counts_or_cut_short(tmp_path):
    path = make("wlasl_hands", tmp_path) / WLASL
    hands = of(path, "hands")
    spoil(path, hands=hands[:-1])
    with pytest.raises(SignXError, match=r"`hands` must hold the \d+ hands that `present` counts, got \d+"):
        load("wlasl_hands", tmp_path)
    hands[0, 3] = np.nan
    spoil(path, hands=hands)
    with pytest.raises(SignXError, match="row 1, column 'hands': found 'a number that is not finite in frame 0'"):
        load("wlasl_hands", tmp_path)
    assert len(load("wlasl_hands", tmp_path, "train", skip_bad=tmp_path / "list.tsv")) == 3
    path.write_bytes(path.read_bytes()[:-60])
    with pytest.raises(SignXError, match="it cannot be read"):
        load("wlasl_hands", tmp_path)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"subset": 0}, "`subset` must be a whole number from 1 on, got 0"),
        ({"split_by": "fold"}, "`split_by` must be 'official' or 'signer', got 'fold'"),
        ({"split_by": "signer", "fold": 5}, "`fold` must be a whole number from 0 to 4, got 5"),
        ({"folds": 1}, "`folds` must be a whole number from 2 on, got 1"),
        ({"exclude_ids": "00001"}, "`exclude_ids` must be a list, got '00001'. Write [00001]."),
        ({"exclude_ids": [77]}, "`exclude_ids` must name what the corpus has, got '00077'; did you mean"),
        ({"glosses": ["bok"]}, "`glosses` must name what the corpus has, got 'bok'; did you mean 'book'?"),
        ({"exclude_glosses": ["drink"], "subset": 2}, "`exclude_glosses` must name what the corpus has, got 'drink'"),
    ],
)
def test_wrong_options_of_wlasl_hands(options, message, tmp_path):
    make("wlasl_hands", tmp_path)
    with pytest.raises(SignXError) as error:
        load("wlasl_hands", tmp_path, **options)
    assert message in str(error.value) and "wlasl_hands: " in str(error.value)
