"""Times of known glosses, and confidences that mean what they say."""

import json
import math

import numpy as np
import pytest
import torch
from make_model import FPS, GLOSSES, make_frames, make_poses, save_folder, write_video
from transformers import pipeline

import signx_hf  # noqa: F401  registers the tasks
from signx_hf.data.media import clip_of
from signx_hf.data.schema import encode_poses, make_row
from signx_hf.metrics import expected_calibration_error, judge
from signx_hf.processing.errors_signx import SignXError, SignXWarning
from signx_hf.recognition.calibration import CANDIDATES, fit, save


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save_folder(tmp_path_factory.mktemp("model"))


@pytest.fixture
def recognizer(folder):
    return pipeline("sign-recognition", model=str(folder), device="cpu")


# forced alignment


def test_glosses_that_are_known_get_the_best_times(recognizer, tmp_path):
    clip = str(write_video(tmp_path / "clip.mkv", make_frames(30)))
    glosses = recognizer.tokenizer.ctc_glosses[:2]
    found = recognizer.align(clip, " ".join(glosses))
    assert found == recognizer.align(clip, list(glosses)) and found["glosses"] == list(glosses)
    logits, _ = recognizer.timing(clip)
    scores = logits.log_softmax(-1).numpy()
    ids = recognizer.tokenizer.encode_ctc(glosses)
    step, best = recognizer.model.config.recognizer_config.stride / FPS, (-math.inf, None)
    places = range(len(scores) + 1)
    for a, b, c, d in ((a, b, c, d) for a in places for b in places for c in places for d in places if a < b <= c < d):
        labels = [0] * a + [ids[0]] * (b - a) + [0] * (c - b) + [ids[1]] * (d - c) + [0] * (len(scores) - d)
        best = max(best, (float(scores[np.arange(len(labels)), labels].sum()), (a, b, c, d)))
    times = [time for segment in found["segments"] for time in (segment["start"], segment["end"])]
    (a, b, c, d), shares = best[1], np.exp(scores)
    # free steps belong to a gloss as far as it is probable in them
    soft = (
        a - shares[:a, ids[0]].sum(),
        b + shares[b:c, ids[0]].sum(),
        c - shares[b:c, ids[1]].sum(),
        d + shares[d:, ids[1]].sum(),
    )
    assert times == pytest.approx([min(place * step, found["duration"]) for place in soft], abs=1e-3)
    assert found["n_best"][0]["score"] == pytest.approx(best[0], abs=1e-3)


@pytest.mark.parametrize(
    "glosses, words",
    [
        ("", "no glosses to align: wanted at least one"),
        ("WETTER WETTR", "gloss 2, 'WETTR', is not in the model's vocabulary: the nearest are WETTER"),
        (
            ["WETTER"] * 40,
            "40 glosses need 79 feature steps, but the clip has 8: wanted fewer glosses or a longer clip",
        ),
    ],
)
def test_glosses_that_cannot_be_aligned(recognizer, tmp_path, glosses, words):
    clip = str(write_video(tmp_path / "clip.mkv", make_frames(30)))
    with pytest.raises(SignXError, match=words):
        recognizer.align(clip, glosses)


# the temperature


@pytest.mark.parametrize("temperature", [0.2, 1.0, 5.0])
def test_temperature_changes_confidences_and_nothing_else(recognizer, tmp_path, temperature):
    clip = str(write_video(tmp_path / "clip.mkv", make_frames(30)))
    plain = recognizer(clip, decoder="ctc")
    recognizer.model.config.confidence_temperature = temperature
    found = recognizer(clip, decoder="ctc")
    assert found["n_best"] == plain["n_best"]
    assert [(s["start"], s["end"]) for s in found["segments"]] == [(s["start"], s["end"]) for s in plain["segments"]]
    logits, metadata = recognizer.timing(clip)
    probabilities = (logits / temperature).softmax(-1)
    step = recognizer.model.config.recognizer_config.stride / FPS
    for segment in found["segments"]:
        index = recognizer.tokenizer.encode_ctc([segment["gloss"]])[0]
        steps = slice(
            round(segment["start"] / step),
            max(round(segment["start"] / step) + 1, math.ceil(segment["end"] / step - 0.01)),
        )
        assert segment["confidence"] == pytest.approx(float(probabilities[steps, index].max()), abs=1e-5)


def rows_of(recognizer, count):
    """Clips of poses whose glosses are half right: what the model says of one clip, and something else of the next."""
    rows = []
    for index in range(count):
        tracks = {
            name: values.astype(np.float16).astype(np.float32) for name, values in make_poses(30, seed=index).items()
        }
        said = recognizer(dict(tracks), decoder="ctc")["glosses"]
        other = [gloss for gloss in recognizer.tokenizer.ctc_glosses if gloss not in said][:1]
        glosses = said if said and index % 2 else other
        rows.append(
            make_row(
                id=f"clip{index}",
                fps=FPS,
                num_frames=30,
                split="dev",
                glosses=glosses,
                poses=encode_poses(tracks, fps=FPS),
            )
        )
    return rows


def test_the_temperature_is_the_likeliest_of_all(recognizer, folder, tmp_path):
    rows = rows_of(recognizer, 6)
    found = fit(recognizer, rows, "poses", decoder="ctc")
    assert found.glosses > found.right > 0 and recognizer.model.config.confidence_temperature is not None

    def likelihood(temperature):
        recognizer.model.config.confidence_temperature = temperature
        total = 0.0
        for row in rows:
            result = recognizer(clip_of(row, "poses", recognizer.processor)[0], decoder="ctc")
            for segment, right in zip(result["segments"], judge(result["glosses"], row["glosses"])):
                value = segment["confidence"] if right else 1 - segment["confidence"]
                total += math.log(min(max(value, 1e-6), 1.0))
        return total

    grid = {candidate: likelihood(candidate) for candidate in CANDIDATES[::8]}
    assert likelihood(found.temperature) >= max(grid.values()) - 1e-2
    copy = tmp_path / "model"
    import shutil

    shutil.copytree(folder, copy)
    save(copy, found)
    assert json.loads((copy / "config.json").read_text())["confidence_temperature"] == found.temperature
    again = pipeline("sign-recognition", model=str(copy), device="cpu")
    assert again.model.config.confidence_temperature == found.temperature


def test_rows_that_say_nothing_of_right_and_wrong(recognizer):
    rows = rows_of(recognizer, 1)
    with pytest.raises(SignXError, match="0 of .* glosses are right; wanted some right and some wrong"):
        fit(recognizer, rows, "poses", decoder="ctc")
    with pytest.raises(SignXError, match="clip0 has no video; wanted some; use --source poses"):
        fit(recognizer, rows, "video", decoder="ctc")
    with pytest.raises(SignXError, match="clip0 has no glosses"):
        fit(recognizer, [{**rows[0], "glosses": []}], "poses")


def test_which_glosses_are_right():
    assert judge(["A", "B", "C"], ["A", "C"]) == [True, False, True]
    assert judge(["A B", "B"], ["A B"]) == [True, False]  # a gloss with a space is one gloss
    assert judge([], ["A"]) == [] and judge(["A"], []) == [False]


# the error of calibration


def test_error_of_calibration_answer_by_answer():
    """Each answer of a bin adds its share of the bin's distance."""
    random = np.random.default_rng(0)
    confidences = random.random(500).tolist()
    right = [bool(random.random() < value**2) for value in confidences]
    total = 0.0
    for value in confidences:
        low = next(edge / 10 for edge in range(9, -1, -1) if edge / 10 <= value)
        bin_ = [(other, hit) for other, hit in zip(confidences, right) if low <= other < low + 0.1]
        total += abs(sum(other for other, _ in bin_) - sum(hit for _, hit in bin_)) / len(bin_) / 500
    assert expected_calibration_error(confidences, right) == pytest.approx(total, rel=1e-6)


def test_error_of_calibration_at_the_edges():
    assert expected_calibration_error([], []) == 0
    assert expected_calibration_error([1.0, 1.0, 0.0], [True, True, False]) == 0
    assert expected_calibration_error([1.0], [False]) == 1
    for values, right, words in (
        ([0.5], [True, False], "1 confidences but 2 answers"), ([1.5], [True], "confidence 0 is 1.5"),
        ([float("nan")], [True], "confidence 0 is nan"),
    ):  # fmt: skip
        with pytest.raises(SignXError, match=words):
            expected_calibration_error(values, right)
    with pytest.raises(SignXError, match="bins is 0"):
        expected_calibration_error([], [], bins=0)


def test_confidences_of_logits_by_hand(recognizer):
    logits = torch.full((3, recognizer.model.config.ctc_vocab_size), -20.0)
    logits[:, 1] = torch.tensor([0.0, 20.0, 0.0])
    logits[:, 0] = torch.tensor([20.0, 0.0, 20.0])
    recognizer.model.config.confidence_temperature = 20.0
    found = recognizer.model.align_ctc(logits, [1])
    rest = (recognizer.model.config.ctc_vocab_size - 2) * math.exp(-2)
    assert found.confidences == (pytest.approx(math.e**0 / (1 + math.exp(-1) + rest), abs=1e-5),)


def test_align_command_mirrors_for_a_left_handed_signer(folder, tmp_path, capsys):
    from signx_hf.cli import main

    frames = make_frames(30)
    clip, mirrored = (
        write_video(tmp_path / name, f) for name, f in (("a.mkv", frames), ("b.mkv", frames[:, :, ::-1]))
    )
    found = []
    for path, more in ((clip, ["--hand", "left"]), (mirrored, []), (clip, [])):
        glosses = " ".join(GLOSSES[:2])
        assert main(["align", str(path), glosses, "--model", str(folder), "--format", "json", *more]) == 0
        found.append(json.loads(capsys.readouterr().out))
    assert found[0]["segments"] == found[1]["segments"] and found[0]["n_best"] != found[2]["n_best"]
    assert found[0]["signer"]["mirrored"] and found[0]["signer"]["hand"] == "left"


@pytest.mark.parametrize("margins", [(0.0, 0.0), (0.1, 0.05), (1.0, 0.0), (0.4, 0.8)])
def test_margins_widen_segments_without_overlap(margins):
    from signx_hf.processing.pipeline_signx import widen

    generator = np.random.default_rng(1)
    for _ in range(50):
        edges = np.sort(generator.uniform(0, 6, 8)).reshape(4, 2).tolist()
        narrow = [{"gloss": "A", "start": start, "end": end} for start, end in edges]
        narrow.insert(2, {"gloss": "B", "start": None, "end": None})
        before = json.dumps(narrow)
        wide = widen(narrow, *margins, 6.0)
        assert json.dumps(narrow) == before and wide[2]["start"] is None
        wide, narrow = ([s for s in side if s["start"] is not None] for side in (wide, narrow))
        for index, (new, old) in enumerate(zip(wide, narrow)):
            rooms = (old["start"] - (narrow[index - 1]["end"] if index else 0.0),
                     (narrow[index + 1]["start"] if index < 3 else 6.0) - old["end"])  # fmt: skip
            moved = (old["start"] - new["start"], new["end"] - old["end"])
            for move, margin, room in zip(moved, margins, rooms):
                assert -1e-9 <= move <= min(margin, room) + 1e-9
                if room >= sum(margins):
                    assert move == pytest.approx(margin)
        for left, right in zip(wide, wide[1:]):
            assert left["end"] <= right["start"] + 1e-9


def test_margins_are_fitted_to_times_that_are_known(recognizer):
    """Rows whose truth is the recognizer's own answer, each gloss a little longer than CTC says."""
    rows = rows_of(recognizer, 6)
    recognizer.model.config.segment_margins = [0.0, 0.0]
    for row in rows:
        result = recognizer(clip_of(row, "poses", recognizer.processor)[0], decoder="ctc")
        row["segments"] = [
            {"gloss": s["gloss"], "start": s["start"] - 0.04, "end": s["end"] + 0.02} for s in result["segments"]
        ]
    found = fit(recognizer, rows, "poses", decoder="ctc")
    assert found.margins == (0.04, 0.02) and found.boundary_before == pytest.approx(0.03, abs=1e-3)
    assert found.boundary_after < found.boundary_before and recognizer.model.config.segment_margins == list(
        found.margins
    )


@pytest.mark.parametrize("value", [[0.1], [0.1, 2.0], "no", [True, 0.1], [0.1, None]])
def test_margins_that_no_config_can_have(value):
    with pytest.raises(ValueError, match="segment_margins.* two numbers of seconds from 0 to 1"):
        signx_hf.SignXConfig(segment_margins=value)


def test_soft_boundaries_never_cross():
    from signx_hf.processing.pipeline_signx import soften

    generator = np.random.default_rng(2)
    for _ in range(100):
        ids, cuts = generator.integers(1, 3, 3).tolist(), np.sort(generator.choice(13, 6, replace=False)).tolist()
        starts, ends = cuts[::2], cuts[1::2]
        logits = torch.from_numpy(generator.normal(size=(12, 3)) * 3)
        soft = [edge for pair in zip(*soften(logits, ids, starts, ends)) for edge in pair]
        assert all(left <= right + 1e-6 for left, right in zip(soft, soft[1:])) and soft[0] >= 0 and soft[-1] <= 12
        assert all(new <= old for new, old in zip(soft[::2], starts)) and all(
            new >= old for new, old in zip(soft[1::2], ends)
        )
    certain = torch.full((12, 3), -50.0)
    certain[:, 0] = 50  # all free steps are surely blank
    assert soften(certain, [1, 2], [2, 6], [4, 9]) == ([2.0, 6.0], [4.0, 9.0])


def test_a_fit_that_fails_changes_nothing(recognizer, monkeypatch):
    config = recognizer.model.config
    rows = rows_of(recognizer, 3)
    config.confidence_temperature, config.segment_margins = 2.0, [0.1, 0.1]
    with pytest.raises(SignXError, match="clip .*: .*; wanted"):
        fit(recognizer, [*rows, {**rows[0], "poses": rows[0]["poses"][:40]}], "poses", decoder="ctc")
    assert (config.confidence_temperature, config.segment_margins) == (2.0, [0.1, 0.1])
    for row in rows:
        row["segments"] = []
    found = fit(recognizer, iter(rows), "poses", decoder="ctc")  # rows that can be read once
    assert found.margins is None
    assert (config.confidence_temperature, config.segment_margins) == (found.temperature, [0.1, 0.1])
    config.confidence_temperature, config.segment_margins = 1.0, [0.0, 0.0]


def test_a_temperature_that_rests_on_little_is_said(recognizer):
    with pytest.warns(
        SignXWarning, match="glosses, .* of them wrong.*; wanted at least 10 wrong ones; use more clips"
    ):
        fit(recognizer, rows_of(recognizer, 2), "poses", decoder="ctc")
