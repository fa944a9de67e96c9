"""WLASL as hand landmarks: rows, splits and folds, joined sentences, and what damaged files get."""

from collections import Counter
from dataclasses import fields

import numpy as np
import pytest
from conftest import data_folder
from hand_data import hands_of, load, make, of, spoil

from signx_hf import SignXError
from signx_hf.data.check import CheckOptions, check_dataset
from signx_hf.data.corpora._joined import JoinOptions, Sign, at_speed, travel, without_rests
from signx_hf.data.corpora.wlasl_hands import WLASLHands
from signx_hf.data.schema import decode_poses
from signx_hf.processing.hands_signx import link_hands


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
    assert decode_poses(row["poses"]).notes["hands.source"] == "MediaPipe Hands", (
        "as the extractor says: nothing warns"
    )
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


def test_copies_of_test_clips_are_left_out_of_training(tmp_path):
    path = make("wlasl_hands", tmp_path) / WLASL
    with np.load(path) as file:
        arrays = dict(file)
    starts = np.concatenate([[0], np.cumsum(arrays["length"])])
    found = np.concatenate([[0], np.cumsum(arrays["present"].sum(axis=1))])
    clip = 2  # of the test part, once more as another gloss of the training part
    more = {
        "length": arrays["length"][clip],
        "video_id": "00007",
        "sign": 0,
        "signer": 9,
        "split": "train",
        "source": "a",
    }
    arrays |= {name: np.append(arrays[name], value).astype(arrays[name].dtype) for name, value in more.items()}
    frames = slice(starts[clip], starts[clip + 1])
    arrays["hands"] = np.concatenate([arrays["hands"], arrays["hands"][found[frames.start] : found[frames.stop]]])
    arrays["present"] = np.concatenate([arrays["present"], arrays["present"][frames]])
    np.savez(path, **arrays)
    kept = ["00001", "00004", "00005", "00006"]
    assert list(load("wlasl_hands", tmp_path, "train")["id"]) == [*kept, "00007"]
    assert list(load("wlasl_hands", tmp_path, "train", drop_copies=True)["id"]) == kept
    # whether a gloss is asked for or not: its clips are tested all the same
    assert list(load("wlasl_hands", tmp_path, "train", drop_copies=True, glosses=["book"])["id"]) == ["00001", "00006"]
    assert list(load("wlasl_hands", tmp_path, "test", drop_copies=True)["id"]) == ["00003"]


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


@pytest.fixture(scope="module")
def wlasl300(tmp_path_factory):
    """The real clips of the first 300 glosses, in a file that is read in no time."""
    with np.load(data_folder("wlasl_hands") / "wlasl2000.npz") as file:
        arrays = dict(file)
    kept = arrays["sign"] < 300
    frames = np.repeat(kept, arrays["length"])
    arrays["hands"] = arrays["hands"][np.repeat(frames, arrays["present"].sum(axis=1))]
    arrays["present"] = arrays["present"][frames]
    for name in ("length", "video_id", "sign", "signer", "split", "source"):
        arrays[name] = arrays[name][kept]
    folder = tmp_path_factory.mktemp("wlasl300")
    np.savez(folder / "wlasl2000.npz", **arrays)
    return folder


def published(parts, counts, signers, glosses):
    assert tuple(len(parts[split]) for split in ("train", "dev", "test")) == counts
    assert len({signer for part in parts.values() for signer in part["signer"]}) == signers
    names = {gloss for part in parts.values() for (gloss,) in part["glosses"]}
    assert len(names) == glosses and all(gloss.split() == [gloss] for gloss in names)


def test_wlasl_hands_against_the_published_counts():
    parts = load("wlasl_hands", data_folder("wlasl_hands"))
    published(parts, (8000, 2154, 1367), 74, 2000)
    glosses = {clip: gloss for part in parts.values() for clip, (gloss,) in zip(part["id"], part["glosses"])}
    videos = {"69532": "when", "69544": "write", "69545": "yellow", "69547": "you"}  # as `wlasl_videos` shows them
    assert {clip: glosses[clip] for clip in videos} == videos


@pytest.mark.parametrize("subset, counts, signers", [(300, (1789, 424, 313), 67), (100, (704, 155, 100), 60)])
def test_wlasl_hands_subsets_against_the_published_counts(subset, counts, signers, wlasl300):
    published(load("wlasl_hands", wlasl300, subset=subset), counts, signers, subset)


def test_wlasl_hands_ranges_and_videos_left_out(wlasl300):
    left_out = load("wlasl_hands", wlasl300, "test", subset=100)["id"][10:14]
    parts = load("wlasl_hands", wlasl300, subset=100, exclude_ids=left_out)
    assert not {clip for part in parts.values() for clip in part["id"]} & set(left_out)
    assert len(parts["test"]) == 96
    hands = [hands_of(row) for row in parts["test"]]
    found = np.concatenate([clip[seen] for clip, seen in hands])
    assert found[..., :2].min() > -0.2 and found[..., :2].max() < 1.2, "fractions of the picture, a little beyond it"
    assert np.abs(found[:, 0, 2]).max() < 1e-5 and 0.01 < np.abs(found[..., 2]).mean() < 0.1, "z from the wrist"
    assert all(seen.any() for _, seen in hands)


def test_wlasl_hands_folds_of_the_real_signers(wlasl300):
    tested = Counter()
    for fold in range(5):
        parts = load("wlasl_hands", wlasl300, split_by="signer", fold=fold, subset=100)
        assert not set(parts["train"]["signer"]) & set(parts["test"]["signer"])
        assert len(parts["train"]) + len(parts["test"]) == 959
        tested.update(parts["test"]["id"])
    assert len(tested) == 959 and set(tested.values()) == {1}
    corpus = WLASLHands(wlasl300, split_by="signer")
    folds, signers = corpus.signer_folds(), corpus.arrays["signer"].tolist()
    sizes = Counter(folds[signer] for signer in signers)
    assert len(sizes) == 5 and max(sizes.values()) - min(sizes.values()) < 0.02 * len(signers)


def test_check_of_wlasl_hands_finds_only_what_is_wrong_with_wlasl(wlasl300):
    """The same video may stand under two glosses or in two splits; dictionary clips differ in length."""
    findings = check_dataset(load("wlasl_hands", wlasl300), CheckOptions()).findings
    assert {finding.fault for finding in findings} <= {"leaked-clip", "length", "shared-signer"}
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
    with pytest.raises(
        SignXError, match="row 1, column 'hands': expected finite numbers, got 'a non-finite number in frame 0'"
    ):
        load("wlasl_hands", tmp_path)
    assert len(load("wlasl_hands", tmp_path, "train", skip_bad=tmp_path / "list.tsv")) == 3
    path.write_bytes(path.read_bytes()[:-60])
    with pytest.raises(SignXError, match="it cannot be read"):
        load("wlasl_hands", tmp_path)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"subset": 0}, "`subset` must be an integer of at least 1, got 0"),
        ({"split_by": "fold"}, "`split_by` must be 'official' or 'signer', got 'fold'"),
        ({"split_by": "signer", "fold": 5}, "`fold` must be an integer from 0 to 4, got 5"),
        ({"drop_copies": 1}, "`drop_copies` must be true or false, got 1"),
        ({"folds": 1}, "`folds` must be an integer of at least 2, got 1"),
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


# joined sentences


def swinging_hands(frames=40):
    """Two hands [T, 2, 21, 3] that swing side by side, the first on the left of the picture."""
    draw = np.random.default_rng(3)
    shape = draw.uniform(-0.05, 0.05, size=(1, 2, 21, 3))
    place = np.zeros((frames, 2, 1, 3))
    place[:, 0, 0, 0], place[:, 1, 0, 0] = 0.35, 0.65
    place[..., 0, 1] = 0.6 + 0.2 * np.sin(np.arange(frames) / 6)[:, None] * [1, -1]
    return (shape + place).astype(np.float32)


def test_hands_travel_between_signs():
    hands = swinging_hands(12)
    both, left = np.ones((12, 2), dtype=bool), np.tile([True, False], (12, 1))
    before, after = Sign(hands, both), Sign(hands + np.float32([0.2, -0.3, 0.0]), left)
    between = travel(before, after, (4, 12), np.random.default_rng(5))
    assert 4 <= len(between.hands) <= 12 and between.seen[:, 0].all()
    way = np.concatenate([before.hands[-1:], between.hands, after.hands[:1]])[:, 0, 0, :2]
    steps = np.linalg.norm(np.diff(way, axis=0), axis=1)
    total = np.linalg.norm(way[-1] - way[0])
    assert (np.diff(np.linalg.norm(way - way[-1], axis=1)) < 0.01).all(), "always nearer to where it goes"
    assert steps.sum() < 1.2 * total and steps.max() < 0.5 * total, "no jump and no detour"
    sinking = between.seen[:, 1]
    assert sinking[0] and not sinking[-1] and (np.diff(sinking.astype(int)) <= 0).all(), "the other hand goes to rest"
    assert (np.diff(between.hands[sinking, 1, 0, 1]) > -0.01).all()


def test_rests_are_cut_and_speeds_change_length():
    hands = np.repeat(swinging_hands(1), 40, axis=0)
    hands[..., 1] += np.interp(np.arange(40), [0, 10, 30, 39], [0.4, 0, 0, 0.4])[:, None, None]
    sign = Sign(hands, np.ones((40, 2), dtype=bool))
    assert len(without_rests(sign, None, None).hands) == 40
    for share in (0.1, 0.5):
        cut = without_rests(sign, share, share)
        assert len(cut.hands) == pytest.approx(20 + 2 * 10 * share, abs=2)
        assert cut.hands[[0, -1], :, 0, 1].max() <= hands[15, :, 0, 1].max() + 0.4 * share + 1e-6
    assert len(without_rests(sign, 0.1, None).hands) == pytest.approx(31, abs=1)
    for speed in (0.7, 1.4):
        other = at_speed(sign, speed)
        assert len(other.hands) == round(40 / speed)
        assert np.allclose(other.hands[[0, -1]], hands[[0, -1]])


def wlasl_sentences(folder, split="train", count=4, **options):
    return load("wlasl_hands", folder, split, sentences=count, **{"split_by": "signer", "folds": 2, **options})


def clips_of(row):
    return decode_poses(row["poses"]).notes["wlasl.clips"].split()


def test_sentences_of_one_signer_of_their_split(tmp_path):
    make("wlasl_hands", tmp_path)
    singles = load("wlasl_hands", tmp_path, split_by="signer", folds=2)
    gloss = {row["id"]: row["glosses"][0] for part in singles.values() for row in part}
    signer = {row["id"]: row["signer"] for part in singles.values() for row in part}
    rows = wlasl_sentences(tmp_path, "test", 12, length=[2, 3], repeat=0.3)
    repeats = 0
    for number, row in enumerate(rows):
        clips = clips_of(row)
        assert row["id"] == f"semi-synthetic_test_7_{number:05d}" and row["signer"] == "7"
        assert {signer[clip] for clip in clips} == {"7"} and row["glosses"] == [gloss[clip] for clip in clips]
        assert 2 <= len(clips) <= 3
        hands, _ = hands_of(row)
        ends = [(segment["start"] * 30, segment["end"] * 30) for segment in row["segments"]]
        assert all(first[1] < second[0] for first, second in zip(ends, ends[1:])) and ends[-1][1] <= len(hands)
        repeats += sum(first == second for first, second in zip(row["glosses"], row["glosses"][1:]))
    assert 0 < repeats < 12
    with pytest.raises(SignXError, match="signer with two different glosses in split 'train'"):
        wlasl_sentences(tmp_path)
    mixed = wlasl_sentences(tmp_path, mix_signers=True)
    assert {signer[clip] for row in mixed for clip in clips_of(row)} == {"8", "9", "10"}
    assert set(mixed["signer"]) == {None}


def test_sentences_do_not_depend_on_how_many_there_are(tmp_path):
    make("wlasl_hands", tmp_path)
    few, many = wlasl_sentences(tmp_path, "test", 3), wlasl_sentences(tmp_path, "test", 7)
    assert list(few) == list(many)[:3]
    assert list(few) != list(wlasl_sentences(tmp_path, "test", 3, seed=1))


def test_options_of_sentences_are_documented_and_checked(tmp_path):
    make("wlasl_hands", tmp_path)
    assert all(option.name in WLASLHands.__doc__ for option in fields(JoinOptions))
    for options, message in (
        ({"sentences": -1}, "`sentences` must be an integer of at least 0, got -1"),
        ({"length": 3}, "`length` must be [min, max] of at least 1, got 3"),
        ({"length": [3, 2]}, "`length` must be [min, max]"),
        ({"speed": [0, 1]}, "`speed` must be [min, max] of at least 0.1"),
        ({"hold": 2}, "`hold` must be from 0 to 1, got 2"),
        ({"mix_signers": "no"}, "`mix_signers` must be true or false, got 'no'"),
    ):
        with pytest.raises(SignXError) as error:
            load("wlasl_hands", tmp_path, **options)
        assert str(error.value).startswith("wlasl_hands: ") and message in str(error.value)


def test_real_sentences_travel_without_jumps(wlasl300):
    """Hands move no faster between signs than they do in the clips themselves."""
    options = {"split_by": "signer", "subset": 100}
    rows = load("wlasl_hands", wlasl300, "test", sentences=60, missing=0.0, **options)
    findings = check_dataset({"test": rows}, CheckOptions()).findings
    assert not findings
    inside, between = [], []
    for row in rows:
        hands, seen = hands_of(row)
        linked, seen = link_hands(hands, seen)
        linked[~seen] = np.nan
        steps = np.linalg.norm(np.diff(linked[:, :, 0, :2], axis=0), axis=-1)
        signing = np.zeros(len(hands), dtype=bool)
        for segment in row["segments"]:
            signing[round(segment["start"] * 30) : round(segment["end"] * 30)] = True
        for steps_of, where in ((inside, signing[1:] & signing[:-1]), (between, ~(signing[1:] & signing[:-1]))):
            steps_of.extend(steps[where][np.isfinite(steps[where])].tolist())
    assert np.median(inside) < np.median(between), "between signs the hands travel"
    assert np.percentile(between, 99) < 2 * np.percentile(inside, 99)
    assert len(set(rows["signer"])) > 3


# another corpus in the same unit


def test_real_webcam_hands_are_as_deep_as_those_of_wlasl(wlasl300):
    """Depth against extent of the hand: a wrong unit would be off by hundreds."""

    def depth(rows):
        found = np.concatenate([clip[seen] for clip, seen in map(hands_of, rows)])
        extent = np.linalg.norm(found[:, 9, :2] - found[:, 0, :2], axis=1)
        return np.median(np.abs(found[..., 2]).max(axis=1) / np.maximum(extent, 0.01))

    webcam, wlasl = (
        load("asl_webcam", data_folder("asl_webcam"), "test"),
        load("wlasl_hands", wlasl300, "test", subset=100),
    )
    assert depth(webcam) == pytest.approx(depth(wlasl), rel=0.5)
    words = {word for glosses in webcam["glosses"] for word in glosses}
    known = {gloss for (gloss,) in load("wlasl_hands", wlasl300, "train", subset=100)["glosses"]}
    assert len(words - known) <= 2 and all(row["text"] for row in webcam)
