"""When a model of isolated signs is not sure: what is fitted, against slow or independent answers."""

import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from make_model import FPS, GLOSSES, make_poses, save_folder

from signx_hf import SignXError
from signx_hf.cli import main
from signx_hf.data.schema import encode_poses, make_row, to_dataset
from signx_hf.metrics import auroc
from signx_hf.processing.answers_signx import rejection_scores
from signx_hf.recognition.rejection import TEMPERATURES, Rule, choose_threshold, fit_logits

numbers = st.lists(st.floats(-3, 3).map(lambda value: round(value, 1)), min_size=1, max_size=30)


@given(numbers, numbers)
@settings(deadline=None, max_examples=200)
def test_auroc_counts_pairs(positive, negative):
    pairs = [(p > n) + 0.5 * (p == n) for p in positive for n in negative]
    assert auroc(positive, negative) == pytest.approx(sum(pairs) / len(pairs))


def test_auroc_is_that_of_scikit_learn():
    sklearn = pytest.importorskip("sklearn.metrics")
    draw = np.random.default_rng(0)
    first, second = draw.normal(1, 1, 300).round(1), draw.normal(0, 2, 500).round(1)
    truth = np.r_[np.ones(300), np.zeros(500)]
    assert auroc(first, second) == pytest.approx(sklearn.roc_auc_score(truth, np.r_[first, second]))


@pytest.mark.parametrize("wrong", [[], [float("nan")], [[1.0]]])
def test_auroc_refuses(wrong):
    with pytest.raises(SignXError, match="negative must be a list of at least one number"):
        auroc([1.0], wrong)


@given(numbers, st.floats(0.01, 1.0))
@settings(deadline=None, max_examples=200)
def test_the_share_of_right_answers_stays_and_no_higher_threshold_keeps_it(right, share):
    right = np.array(right)
    threshold = choose_threshold(right, np.array([]), np.array([]), Rule(share))
    assert (right >= threshold).mean() >= share - 1e-9
    above = right[right > threshold + 1e-5]
    if len(above):
        assert (right >= above.min()).mean() < share


@given(numbers, numbers, numbers, st.floats(0.05, 0.9))
@settings(deadline=None, max_examples=200)
def test_the_share_of_wrong_answers_holds_and_no_lower_threshold_holds_it(right, wrong, unknown, most):
    right, wrong, unknown = map(np.array, (right, wrong, unknown))
    bad = np.concatenate([wrong, unknown])

    def share(threshold: float) -> float:
        given = (right >= threshold).sum() + (bad >= threshold).sum()
        return (bad >= threshold).sum() / given

    holds = [value for value in right if share(value) <= most]
    if not holds:
        with pytest.raises(SignXError, match="--max-wrong"):
            choose_threshold(right, wrong, unknown, Rule(None, most))
        return
    threshold = choose_threshold(right, wrong, unknown, Rule(None, most))
    assert share(threshold) <= most
    assert (right >= threshold).sum() == max((right >= value).sum() for value in holds)


@pytest.mark.parametrize("options", [(None, None), (0.9, 0.1), (0.0,), (1.5,), (True,), (None, -0.1), (None, "much")])
def test_rules_that_are_none(options):
    with pytest.raises(SignXError):
        Rule(*options)


def drawn_logits(clips: int, signs: int, seed: int, known: bool = True) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits that are the log-probabilities by which the signs were drawn, so that the temperature 1 is right."""
    draw = torch.Generator().manual_seed(seed)
    logits = (2.0 if known else 0.7) * torch.randn(clips, signs, generator=draw)
    return logits, torch.multinomial(logits.softmax(1), 1, generator=draw)[:, 0]


@pytest.mark.parametrize("scale", [0.4, 1.0, 3.0])
def test_the_temperature_undoes_a_scale(scale):
    logits, truth = drawn_logits(4000, 12, 0)
    found = fit_logits(scale * logits, truth, logits[:0], None, Rule())
    assert found.temperature == pytest.approx(scale, rel=0.11) and found.rejection is None
    assert found.error_after < 0.03 and found.right == int((logits.argmax(1) == truth).sum())
    losses = {t: float(torch.nn.functional.cross_entropy(scale * logits / t, truth)) for t in TEMPERATURES}
    assert found.temperature == pytest.approx(min(losses, key=losses.get), abs=1e-4)


def test_the_threshold_does_what_the_report_says():
    """Shares, counted once more; a vocabulary changes them, and clips that are sure stay so when they are scored one by one."""
    logits, truth = drawn_logits(600, 9, 1)
    others, _ = drawn_logits(500, 9, 2, known=False)
    ids = [1, 4, 5, 8]
    inside = torch.isin(truth, torch.tensor(ids))
    for chosen, clips, signs in ((None, logits, truth), (ids, logits[inside], truth[inside])):
        found = fit_logits(clips, signs, others, chosen, Rule(0.9))
        part = found.rejection
        value = torch.stack([rejection_scores(row, part.score, chosen, found.temperature) for row in clips])
        other = torch.stack([rejection_scores(row, part.score, chosen, found.temperature) for row in others])
        places = torch.arange(9) if chosen is None else torch.tensor(chosen)
        right = places[clips[:, places].argmax(1)] == signs
        sure = value >= part.threshold
        assert part.right == pytest.approx(float((sure & right).float().mean()))
        assert part.wrong == pytest.approx(float((sure & ~right).float().mean()))
        assert part.refused == pytest.approx(1 - part.right - part.wrong)
        assert part.unknown_refused == pytest.approx(float((other < part.threshold).float().mean()))
        assert (sure & right).sum() / right.sum() >= 0.9
        assert part.aurocs[part.score] == max(part.aurocs.values()) == pytest.approx(auroc(value, other), abs=1e-6)
        assert part.aurocs[part.score] > 0.7


def test_without_wrong_clips_the_temperature_stays():
    logits = 5 * torch.eye(4)
    with pytest.warns(UserWarning, match="the temperature stays 1"):
        assert fit_logits(logits, torch.arange(4), logits[:0], None, Rule()).temperature == 1.0
    with pytest.raises(SignXError, match="none of 4 clips is recognized correctly"):
        fit_logits(logits, torch.arange(4).flip(0), logits[:0], None, Rule())


# ----- the command -----------------------------------------------------------------------------------------------------


def rows_of(place, count: int = 24) -> list[dict]:
    """Clips whose gloss is what the model says, but for every fourth, which is another one or one that the model does not know."""
    from signx_hf.recognition.loading import load_pipeline

    classifier, rows = load_pipeline(str(place)), []
    for number in range(count):
        clip = {**make_poses(12, seed=number), "fps": FPS}
        gloss = classifier(clip)[0]["label"]
        if number % 4 == 3:
            gloss = "UNKNOWN" if number % 8 == 3 else GLOSSES[(GLOSSES.index(gloss) + 1) % len(GLOSSES)]
        rows.append(
            make_row(
                id=f"clip/{number}",
                glosses=[gloss],
                poses=encode_poses(make_poses(12, seed=number), fps=FPS),
                split="dev",
                signer="a",
            )
        )
    return rows


@pytest.fixture
def place(tmp_path):
    save_folder(tmp_path / "model", "SignXForSignClassification", id2label=dict(enumerate(GLOSSES)))
    to_dataset(rows_of(tmp_path / "model")).save_to_disk(tmp_path / "clips")
    return tmp_path


def run(capsys, place, *more) -> tuple[int, str, list[str]]:
    words = ["calibrate", "--model", place / "model", "--dataset", place / "clips", "--source", "poses", *more]
    code = main([str(word) for word in words])
    printed = capsys.readouterr()
    return code, printed.out, printed.err.splitlines()


def test_calibrate_saves_what_it_fits(place, capsys):
    from signx_hf.recognition.loading import load_pipeline

    code, out, errors = run(capsys, place)
    assert code == 0 and "from 21 clips, 18 of them correct" in out and "3 of unknown ones" in out
    assert any("rests on 3 clips of unknown signs" in line for line in errors)
    config = json.loads((place / "model" / "config.json").read_text())
    assert 0.1 < config["confidence_temperature"] < 8 and isinstance(config["rejection_threshold"], float)
    assert f"not sure below {config['rejection_threshold']:g}" in out and config["rejection_score"] in out
    classifier = load_pipeline(str(place / "model"))
    sure = [classifier({**make_poses(12, seed=n), "fps": FPS})[0]["sure"] for n in range(24) if n % 4 != 3]
    assert sum(sure) / len(sure) >= 0.95


def test_calibrate_with_a_vocabulary_and_other_data(place, capsys):
    from collections import Counter

    from signx_hf.recognition.loading import load_pipeline

    rows = rows_of(place / "model")
    counts = Counter(row["glosses"][0] for row in rows)
    chosen = [gloss for gloss in GLOSSES if gloss in counts][:3]
    (place / "words.txt").write_text("\n".join(chosen))
    inside = sum(counts[gloss] for gloss in chosen)
    others = [make_row(id="x", glosses=["NO SUCH"], poses=rows[0]["poses"]), make_row(id="y", poses=rows[1]["poses"])]
    others.append(make_row(id="z", glosses=[chosen[0]], poses=rows[2]["poses"]))
    to_dataset(others).save_to_disk(place / "others")
    words = ["--vocabulary", place / "words.txt", "--unknown", place / "others", "--max-wrong", 0.5]
    code, out, errors = run(capsys, place, *words)
    assert code == 0, errors
    assert (
        f"{inside} clips of known signs within the vocabulary of 3 signs from {24 - inside + 2} of unknown ones" in out
    )
    assert any("1 clips were left out because the vocabulary has their glosses" in line for line in errors)
    threshold = json.loads((place / "model" / "config.json").read_text())["rejection_threshold"]
    classifier = load_pipeline(str(place / "model"))
    given, wrong = 0, 0
    for row in [*rows, *others[:2]]:
        answer = classifier(row_clip(row), vocabulary=chosen)[0]
        given += answer["sure"]
        wrong += answer["sure"] and answer["label"] not in row["glosses"]
    assert given and wrong / given <= 0.5 and threshold is not None


def row_clip(row):
    from signx_hf.data import decode_poses

    return decode_poses(row["poses"])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--vocabulary", "nowhere.txt"], "no such file"),
        (["--accept-right", "0"], "`accept_right` must be a fraction above 0"),
        (["--max-wrong", "2"], "`max_wrong` must be a fraction"),
        (["--unknown-split", "test"], "--unknown-split needs --unknown"),
        (["--split", "train"], "split 'train'"),
        (["--loader", "task"], "--loader must be NAME=VALUE"),
    ],
)
def test_calibrate_refuses_and_changes_nothing(place, capsys, words, said):
    before = (place / "model" / "config.json").read_bytes()
    code, out, errors = run(capsys, place, *words)
    assert (code, out) == (2, "") and said in errors[-1], errors
    assert (place / "model" / "config.json").read_bytes() == before


def test_calibrate_refuses_sentences_for_signs(place, capsys):
    to_dataset([make_row(id="two", glosses=["#IF", "WETTER"], split="dev")]).save_to_disk(place / "clips2")
    code = main(["calibrate", "--model", str(place / "model"), "--dataset", str(place / "clips2")])
    assert code == 2 and "clip two must have one gloss for a model of isolated signs, got 2" in capsys.readouterr().err


def test_calibrate_of_sentences_has_no_vocabulary(place, capsys):
    save_folder(place / "sentences")
    code = main(
        ["calibrate", "--model", str(place / "sentences"), "--dataset", str(place / "clips"), "--vocabulary", "x"]
    )
    assert code == 2 and "--vocabulary is for models of isolated signs" in capsys.readouterr().err
