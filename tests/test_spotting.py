"""Single signs found in longer recordings."""

import itertools

import numpy as np
import pytest
from made_hands import made_sign

from signx_hf.processing.hands_signx import (
    HandClip,
    activity,
    fill_gaps,
    hand_clip,
    leading_hand_first,
    model_rows,
    resample_hands,
)
from signx_hf.processing.spotting_signx import (
    SpottingOptions,
    _activity_until,
    best_signs,
    window_rows,
    windows_of,
)

EVERY = SpottingOptions(hop_s=0.08, lengths_s=(0.4, 0.8))


def recording(*signs: int, rest: int = 10) -> HandClip:
    gap = np.full((rest, 126), np.nan)
    rows = np.concatenate([part for sign in signs for part in (gap, made_sign(sign, 0))] + [gap])
    return hand_clip(rows, ~np.isnan(rows).any(axis=1), np.arange(len(rows)) / 25)


def test_windows_lie_where_hands_are_seen():
    clip = recording(2, 4)
    moments, windows = windows_of(clip, EVERY)
    lengths = {round(float(moments[b] - moments[a]), 6) for a, b in windows}
    assert lengths == {0.4, 0.8} and len({tuple(w) for w in windows.tolist()}) == len(windows)
    for first, last in windows:
        inside = (clip.times >= moments[first] - 0.021) & (clip.times <= moments[last] + 0.021)
        assert clip.seen[inside].any(axis=1).mean() > 0.55
    without = HandClip(clip.hands, np.zeros_like(clip.seen), clip.times)
    assert len(windows_of(without, EVERY)[1]) == 0


def test_a_window_is_described_as_the_clip_it_cuts_out():
    clip = recording(2)
    moments, windows = windows_of(clip, EVERY)
    rows = np.concatenate(list(window_rows(clip, moments, windows, 16)))
    assert len(rows) == len(windows) > 5
    for (first, last), found in zip(windows, rows):
        inside = (clip.times >= moments[first] - 1e-6) & (clip.times <= moments[last] + 1e-6)
        part = HandClip(clip.hands[inside], clip.seen[inside], clip.times[inside])
        hands, seen = leading_hand_first(part.hands, part.seen)
        if abs(np.subtract(*activity(part.hands, part.seen))) < 0.02:
            continue  # whose order is a matter of rounding
        np.testing.assert_allclose(
            found[:, :60],
            model_rows(resample_hands(fill_gaps(HandClip(hands, seen, part.times)), 16))[:, :60],
            atol=2e-2,
        )


def test_what_hands_have_done_adds_up_to_their_activity():
    clip = recording(2)
    seen = clip.seen.any(axis=1)
    inside = HandClip(clip.hands[seen], clip.seen[seen], clip.times[seen])
    np.testing.assert_allclose(_activity_until(inside)[-1], activity(inside.hands, inside.seen), rtol=1e-5)


def exhaustive(moments, windows, worth):
    """The best set of windows that do not overlap, by trying all."""
    best, chosen = 0.0, ()
    for size in range(1, len(windows) + 1):
        for subset in itertools.combinations(range(len(windows)), size):
            spans = sorted(windows[i] for i in subset)
            if all(a[1] <= b[0] for a, b in itertools.pairwise(spans)):
                value = sum(worth[i] for i in subset)
                if value > best + 1e-12:
                    best, chosen = value, subset
    return best, chosen


@pytest.mark.parametrize("seed", range(6))
def test_the_way_through_the_windows_is_the_best_there_is(seed):
    random = np.random.default_rng(seed)
    moments = np.arange(8) * 0.25
    pairs = [(a, b) for a in range(8) for b in range(a + 1, min(a + 4, 8))]
    windows = np.array(sorted(random.choice(len(pairs), 9, replace=False).tolist()))
    windows = np.array([pairs[i] for i in windows])
    logits = random.normal(0, 2, size=(9, 4))
    log_probs = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    options = SpottingOptions(hop_s=0.25, confidence=0.3, cost=0.05)
    spots = best_signs(moments, windows, log_probs, None, options)
    sure = np.exp(log_probs).max(axis=1)
    worth = (moments[windows[:, 1]] - moments[windows[:, 0]]) * (sure - 0.3) - 0.05
    best, chosen = exhaustive(moments, windows.tolist(), worth)
    assert sum((s.end - s.start) * (s.confidence - 0.3) - 0.05 for s in spots) == pytest.approx(best)
    assert [s.sign for s in spots] == [int(log_probs[i].argmax()) for i in sorted(chosen, key=lambda i: windows[i][0])]


def test_only_signs_of_the_vocabulary_are_found():
    moments, windows = np.arange(3) * 0.5, np.array([[0, 1], [1, 2]])
    log_probs = np.log(np.array([[0.7, 0.2, 0.1], [0.1, 0.1, 0.8]]))
    spots = best_signs(moments, windows, log_probs, [1, 2], SpottingOptions(hop_s=0.5, cost=0.0))
    assert [spot.sign for spot in spots] == [1, 2]
    assert (
        spots[0].confidence == pytest.approx(2 / 3)
        and best_signs(moments, windows[:0], log_probs[:0], None, EVERY) == []
    )


@pytest.mark.parametrize(
    ("options", "part"),
    [({"hop_s": 0}, "hop_s"), ({"confidence": 1.5}, "confidence"), ({"lengths_s": [1, 0.5]}, "ascending"), ({"lengths_s": []}, "ascending"),
     ({"cost": True}, "cost"), ({"hops": 1}, "hops")],
)  # fmt: skip
def test_options_out_of_range_are_refused(options, part):
    with pytest.raises(ValueError, match=part):
        SpottingOptions.take(options)


@pytest.fixture(scope="module")
def spotter(tmp_path_factory):
    """A pipeline of a model that knows twelve made-up signs."""
    from sign_training import BODY, dataset, trained
    from transformers import pipeline

    place = tmp_path_factory.mktemp("spotting")
    model = trained(dataset(range(12), 6, place / "known"), place / "body", 90, model_config=BODY, hand_steps=16)
    return pipeline("sign-spotting", model=str(model))


def clip_of(*signs: int, seed: int = 1) -> dict:
    gap = np.full((15, 126), np.nan)
    rows = [part for sign in signs for part in (gap, made_sign(sign, seed))] + [gap]
    return {"hands": np.concatenate(rows), "fps": 25.0, "notes": {"hands.aspect": "1.7778"}}


def test_signs_are_found_where_they_are(spotter):
    signs = (3, 8, 6)
    found = spotter(clip_of(*signs), vocabulary=[f"SIGN-{n}" for n in (1, 3, 6, 8)])
    assert found["glosses"] == [f"SIGN-{n}" for n in signs]
    for index, segment in enumerate(found["segments"]):
        start = (15 + index * 45 + 2) / 25
        assert abs(segment["start"] - start) < 0.4 and abs(segment["end"] - start - 26 / 25) < 0.4
    assert found["duration"] == pytest.approx((3 * 45 + 15) / 25)


def test_clips_alone_and_together_give_the_same(spotter):
    clips = [clip_of(3, 8), clip_of(2)]
    assert spotter(clips) == [spotter(clip) for clip in clips]


def test_a_higher_cost_finds_fewer_signs(spotter):
    clip = clip_of(3, 8, 1)
    counts = [len(spotter(clip, cost=cost)["glosses"]) for cost in (0.0, 0.3, 50.0)]
    assert counts == sorted(counts, reverse=True) and counts[-1] == 0
    assert "no stretch" in spotter(clip, cost=50.0)["reason"]


def test_a_recording_shorter_than_every_window_has_no_sign(spotter):
    short = {"hands": made_sign(3, 1)[10:14], "fps": 25.0, "notes": {"hands.aspect": "1.7778"}}
    found = spotter(short)
    assert found["glosses"] == [] and "no stretch" in found["reason"]


@pytest.mark.parametrize(
    ("options", "error", "part"),
    [({"hop": 1}, ValueError, "hop_s"), ({"confidence": 2}, ValueError, "confidence"), ({"vocabulary": ["SIGN-99"]}, Exception, "SIGN-9")],
)  # fmt: skip
def test_calls_that_cannot_be_understood_are_refused(spotter, options, error, part):
    with pytest.raises(error, match=part):
        spotter(clip_of(3), **options)
