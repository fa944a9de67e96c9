"""Two hands followed through a clip, and what a model reads of them."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from signx_hf import SignXConfig, SignXForLatentCTC, SignXForSignClassification, SignXPoseFeatureExtractor
from signx_hf.processing.errors_signx import SignXPoseError
from signx_hf.processing.hands_signx import (
    HAND_FEATURES,
    HANDS_WIDTH,
    MIRROR_SIGNS,
    HandClip,
    activity,
    fill_gaps,
    hand_clip,
    hand_features,
    leading_hand_first,
    link_hands,
    mirror_hands,
    model_rows,
    resample_hands,
    rows_to_hands,
    trim_to_hands,
)


def two_hands(frames: int = 40, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Hands `[T, 2, 21, 3]` that stay on their sides of the picture, the second one busier, and seen `[T, 2]`, all true."""
    random = np.random.default_rng(seed)
    shape = random.normal(0, 0.03, size=(1, 2, 21, 3))
    shape[..., 0, :] = 0
    ways = np.cumsum(random.normal(0, [[0.004], [0.012]], size=(frames, 2, 2)), axis=0)
    places = np.clip(np.array([[0.3, 0.5], [0.7, 0.5]]) + ways, [[0.1, 0.2], [0.6, 0.2]], [[0.4, 0.8], [0.9, 0.8]])
    hands = np.broadcast_to(shape, (frames, 2, 21, 3)).copy()
    hands[..., :2] += places[:, :, None]
    return hands.astype(np.float32), np.ones((frames, 2), dtype=bool)


def rows_of(hands: np.ndarray, seen: np.ndarray) -> np.ndarray:
    rows = np.where(seen[..., None, None], hands, 0).reshape(len(hands), HANDS_WIDTH)
    return np.where(seen.any(axis=1)[:, None], rows, np.nan)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 999), lost=st.floats(0, 0.4))
def test_hands_are_followed_whatever_order_the_detector_gives(seed, lost):
    hands, seen = two_hands(seed=seed)
    random = np.random.default_rng(seed)
    seen &= random.random(seen.shape) >= lost
    seen[0] = True
    shuffled, found = hands.copy(), seen.copy()
    for frame in np.flatnonzero(random.random(len(hands)) < 0.5):
        shuffled[frame], found[frame] = hands[frame, ::-1], seen[frame, ::-1]
    linked, there = link_hands(np.where(found[..., None, None], shuffled, 0), found)
    np.testing.assert_array_equal(there, seen)
    np.testing.assert_array_equal(linked, np.where(seen[..., None, None], hands, 0))


def test_each_frame_takes_the_shorter_way_in_all():
    """Against all two assignments of every frame, written out."""
    random = np.random.default_rng(3)
    angles, first = random.uniform(0, 2 * np.pi, size=30), random.uniform(0.3, 0.7, size=(30, 2))
    places = np.stack([first, first + 0.25 * np.stack([np.cos(angles), np.sin(angles)], axis=1)], axis=1)
    hands = random.normal(0, 0.01, size=(30, 2, 21, 3))
    hands[..., :2] += places[:, :, None]
    linked, _ = link_hands(hands, np.ones((30, 2), dtype=bool))
    centers = linked[..., :2].mean(axis=2)
    for before, after in itertools.pairwise(centers):
        kept = np.linalg.norm(after - before, axis=1).sum()
        assert kept <= np.linalg.norm(after[::-1] - before, axis=1).sum() + 1e-6


def test_a_hand_that_is_found_twice_is_one():
    hands, seen = two_hands()
    hands[10, 1] = hands[10, 0] + 0.001
    linked, found = link_hands(hands, seen)
    assert found.sum(axis=1).tolist() == [2] * 10 + [1] + [2] * 29
    np.testing.assert_array_equal(linked[10, found[10]][0], hands[10, 0])


def test_the_busier_hand_comes_first():
    hands, seen = two_hands()
    assert activity(hands, seen).argmax() == 1
    first, _ = leading_hand_first(hands, seen)
    np.testing.assert_array_equal(first, hands[:, ::-1])
    again, _ = leading_hand_first(first, seen)
    np.testing.assert_array_equal(again, first)


def test_gaps_are_filled_in_a_straight_line_in_time_and_held_at_the_ends():
    hands, seen = two_hands(5)
    seen[:, 0] = [False, True, False, False, True]
    times = np.array([0.0, 0.1, 0.2, 0.4, 0.5])  # of a camera that lost frames
    filled = fill_gaps(HandClip(hands, seen, times)).hands[:, 0]
    np.testing.assert_array_equal(filled[0], hands[1, 0])
    np.testing.assert_allclose(filled[2], hands[1, 0] + (hands[4, 0] - hands[1, 0]) * 0.25, atol=1e-6)
    np.testing.assert_allclose(filled[3], hands[1, 0] + (hands[4, 0] - hands[1, 0]) * 0.75, atol=1e-6)


def test_steps_lie_evenly_in_time_whatever_the_frame_rate():
    """A clip at 60 frames a second and every third frame of it give the same steps where hands move in straight lines."""
    hands, seen = two_hands(61)
    hands[:] = hands[0] + np.linspace(0, 0.2, 61)[:, None, None, None].astype(np.float32)
    times = np.arange(61) / 60
    fine = resample_hands(HandClip(hands, seen, times), 17)
    coarse = resample_hands(HandClip(hands[::3], seen[::3], times[::3]), 17)
    np.testing.assert_allclose(fine.hands, coarse.hands, atol=1e-6)
    np.testing.assert_allclose(np.diff(fine.times), 1 / 16)
    np.testing.assert_allclose(model_rows(fine), model_rows(coarse), atol=1e-4)


def test_what_lies_before_the_first_and_after_the_last_hand_is_left_out():
    hands, seen = two_hands(10)
    seen[:3] = seen[8:] = False
    clip = trim_to_hands(HandClip(hands, seen, np.arange(10) / 30))
    assert len(clip) == 5 and clip.seconds == pytest.approx(4 / 30)
    np.testing.assert_array_equal(clip.hands, hands[3:8])


def test_shapes_do_not_change_with_distance_and_places_not_with_the_position_of_the_signer():
    hands, seen = two_hands()
    base = hand_features(hands, seen, 1.0)
    shape = slice(0, 60)
    nearer = hands * 1.3
    np.testing.assert_allclose(hand_features(nearer, seen, 1.0)[:, shape], base[:, shape], atol=1e-4)
    moved = hands + np.array([0.07, -0.05, 0], dtype=np.float32)
    changed = np.flatnonzero(np.abs(hand_features(moved, seen, 1.0) - base).max(axis=0) > 1e-4)
    per_hand = 92
    assert set(changed) == {72, 73, 72 + per_hand, 73 + per_hand}  # only the place in the picture


def test_hands_that_are_not_seen_leave_nothing_behind():
    hands, seen = two_hands()
    seen[:, 1] = False
    other = hands.copy()
    other[:, 1] = 0.123
    np.testing.assert_array_equal(hand_features(hands, seen, 1.0), hand_features(other, seen, 1.0))
    assert not hand_features(hands, seen, 1.0)[:, 92:184].any()


def test_features_of_a_batch_are_those_of_each_clip():
    clips = [two_hands(seed=seed) for seed in range(3)]
    hands, seen = (np.stack(part) for part in zip(*clips))
    together = hand_features(hands, seen, np.array([1.0, 2.0, 3.0]))
    for row, (one, there) in enumerate(clips):
        np.testing.assert_allclose(together[row], hand_features(one, there, float(row + 1)), atol=1e-6)
    assert together.shape == (3, 40, HAND_FEATURES)


def test_a_mirror_image_of_a_mirror_image_is_the_clip():
    hands, seen = two_hands()
    mirrored, _ = mirror_hands(hands, seen)
    np.testing.assert_allclose(mirror_hands(mirrored, seen)[0], hands, atol=1e-6)


def test_rows_of_a_mirror_image_are_known_from_the_rows():
    hands, seen = two_hands()
    mirrored, _ = mirror_hands(hands, seen)
    seen[7, 1] = False
    np.testing.assert_allclose(
        hand_features(mirrored, seen, 1.0), hand_features(hands, seen, 1.0) * MIRROR_SIGNS, atol=1e-4
    )


def test_a_hand_that_turns_keeps_its_shape_in_pictures_of_any_aspect():
    """The same hand upright and turned by 90 degrees, filmed by a phone held upright and by a camera."""
    shape = np.random.default_rng(0).normal(0, 0.05, size=(21, 3))
    turned = shape[:, [1, 0, 2]] * [-1, 1, 1]
    for aspect in (16 / 9, 9 / 16):
        rows = np.zeros((2, 2, 21, 3))
        rows[0, 0], rows[1, 0] = (
            shape / [aspect, 1, aspect] + [0.5, 0.5, 0],
            turned / [aspect, 1, aspect] + [0.5, 0.5, 0],
        )
        clip = hand_clip(rows.reshape(2, -1), np.ones(2, dtype=bool), np.arange(2) / 30, aspect)
        np.testing.assert_allclose(clip.hands[0, 0], shape, atol=1e-6)
        np.testing.assert_allclose(clip.hands[1, 0], turned, atol=1e-6)


def test_rows_say_by_zeros_which_hand_was_not_found():
    hands, seen = two_hands(6)
    seen[2, 1] = seen[3] = False
    rows = rows_of(hands, seen)
    found, there = rows_to_hands(rows, ~np.isnan(rows).any(axis=1))
    np.testing.assert_array_equal(there, seen)
    np.testing.assert_array_equal(found, np.where(seen[..., None, None], hands, 0))


def extractor(**options) -> SignXPoseFeatureExtractor:
    return SignXPoseFeatureExtractor(track_dims={"hands": HAND_FEATURES}, **options)


def test_the_extractor_reads_a_sign_at_a_fixed_number_of_moments():
    hands, seen = two_hands(50)
    seen[:5] = seen[45:] = False
    batch = extractor(hand_steps=24)({"hands": rows_of(hands, seen), "fps": 25}, return_metadata=True)
    assert batch["pose_values"].shape == (1, 24, HAND_FEATURES) and batch["frame_mask"].all()
    metadata = batch["pose_metadata"][0]
    assert metadata["span"] == pytest.approx((5 / 25, 44 / 25))
    by_hand = resample_hands(trim_to_hands(hand_clip(rows_of(hands, seen), seen.any(axis=1), np.arange(50) / 25)), 24)
    np.testing.assert_array_equal(batch["pose_values"][0].numpy(), model_rows(by_hand))


def test_without_steps_frames_come_at_the_rate_of_the_model_and_unseen_ones_are_masked():
    hands, seen = two_hands(60)
    seen[20:30] = seen[:2] = False
    batch = extractor(fps=15)({"hands": rows_of(hands, seen), "fps": 30})
    assert batch["pose_values"].shape == (1, 30, HAND_FEATURES)
    expected = seen[::2].any(axis=1)
    assert batch["pose_mask"][0, :, 0].tolist() == expected.tolist()
    assert not batch["pose_values"][0][~torch.from_numpy(expected)].any()


def test_the_extractor_is_saved_with_its_steps(tmp_path):
    extractor(hand_steps=24).save_pretrained(tmp_path)
    again = SignXPoseFeatureExtractor.from_pretrained(tmp_path)
    assert again.hand_steps == 24 and again.reads_hands and again.read_dims == {"hands": HANDS_WIDTH}


@pytest.mark.parametrize(
    ("options", "part"),
    [
        ({"track_dims": {"mediapipe": 258}, "hand_steps": 24}, "`hand_steps` must be None"),
        ({"track_dims": {"hands": HAND_FEATURES}, "hand_steps": 1}, "hand_steps"),
    ],
)
def test_steps_that_no_clip_could_be_read_at_are_refused(options, part):
    with pytest.raises(SignXPoseError, match=part):
        SignXPoseFeatureExtractor(**options)


def test_a_clip_without_hands_is_refused_by_name():
    with pytest.raises(SignXPoseError, match="clip 0"):
        extractor(hand_steps=24)({"hands": np.full((9, HANDS_WIDTH), np.nan), "fps": 30})


def test_one_frame_is_a_clip():
    hands, seen = two_hands(1)
    values = extractor(hand_steps=24)({"hands": rows_of(hands, seen), "fps": 30})["pose_values"][0]
    assert torch.isfinite(values).all() and (values == values[0]).all()


def hybrid_model(signs: int = 7) -> SignXForSignClassification:
    torch.manual_seed(0)
    config = SignXConfig(
        vision_config=None, frame_branch=None, pooling="hybrid", num_labels=signs,
        pose_config={"track_dims": {"hands": HAND_FEATURES}, "track_hidden_size": 16, "fusion_heads": 2, "latent_size": 24,
                     "num_hidden_layers": 0, "num_attention_heads": 2, "intermediate_size": 32},
        classifier_config={"hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 32},
    )  # fmt: skip
    return SignXForSignClassification(config).eval()


@pytest.mark.parametrize("length", [1, 2, 7, 12])
def test_padding_does_not_change_the_answer(length):
    model = hybrid_model()
    values = torch.randn(2, 12, HAND_FEATURES, generator=torch.Generator().manual_seed(1))
    frames = torch.arange(12) < torch.tensor([[length], [12]])
    together = model(pose_values=values, frame_mask=frames)
    alone = model(pose_values=values[:1, :length])
    torch.testing.assert_close(together.logits[:1], alone.logits, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(together.embedding[:1], alone.embedding, atol=1e-5, rtol=1e-5)


def test_every_weight_of_the_hybrid_body_learns():
    model = hybrid_model().train()
    values = torch.randn(4, 12, HAND_FEATURES, generator=torch.Generator().manual_seed(1))
    torch.manual_seed(0)
    model(pose_values=values, labels=torch.tensor([0, 1, 2, 3])).loss.backward()
    without = [
        name
        for name, parameter in model.named_parameters()
        if parameter.grad is None or not parameter.grad.abs().sum()
    ]
    assert all(
        "missing_embedding" in name or "k_proj.bias" in name or "pose_encoder.attention" in name for name in without
    ), without


def test_the_order_of_movements_matters_to_the_hybrid_body():
    model = hybrid_model()
    values = torch.randn(1, 12, HAND_FEATURES, generator=torch.Generator().manual_seed(1))
    assert not torch.allclose(model(pose_values=values).logits, model(pose_values=values.flip(1)).logits, atol=1e-3)


def test_a_hybrid_model_is_saved_whole(tmp_path):
    model = hybrid_model()
    model.save_pretrained(tmp_path)
    again = SignXForSignClassification.from_pretrained(tmp_path).eval()
    values = torch.randn(1, 12, HAND_FEATURES, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(again(pose_values=values).logits, model(pose_values=values).logits)


@pytest.mark.parametrize(
    ("options", "part"),
    [({"kernel_size": 4}, "odd"), ({"hidden_size": 30, "num_attention_heads": 4}, "multiple"), ({"hiden_size": 8}, "hidden_size"),
     ({"drop_path_rate": 1.0}, "drop_path_rate"), ({"num_blocks": 10**6}, "num_blocks")],
)  # fmt: skip
def test_impossible_bodies_are_refused(options, part):
    with pytest.raises(ValueError, match=part):
        SignXConfig(vision_config=None, frame_branch=None, classifier_config=options)


def sentence_model(seed: int = 0, **recognizer) -> SignXForLatentCTC:
    torch.manual_seed(seed)
    config = SignXConfig(
        vision_config=None, frame_branch=None, ctc_vocab_size=6, text_config={"vocab_size": 8},
        pose_config={"track_dims": {"hands": HAND_FEATURES}, "track_hidden_size": 16, "fusion_heads": 2, "latent_size": 24,
                     "num_hidden_layers": 0, "num_attention_heads": 2, "intermediate_size": 32},
        classifier_config={"hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 32},
        recognizer_config={"body": "hybrid", "hidden_size": 16, "feature_size": 16, "pool_sizes": [2], **recognizer},
    )  # fmt: skip
    return SignXForLatentCTC(config).eval()


@pytest.mark.parametrize("length", [2, 5, 12])
def test_sentences_are_read_alike_in_any_batch_by_the_hybrid_body(length):
    model = sentence_model()
    values = torch.randn(2, 12, HAND_FEATURES, generator=torch.Generator().manual_seed(1))
    frames = torch.arange(12) < torch.tensor([[length], [12]])
    together = model(pose_values=values, frame_mask=frames)
    alone = model(pose_values=values[:1, :length])
    steps = -(-length // 2)
    assert together.feature_mask[0].sum() == steps == model.recognizer.feature_lengths(length)
    for name in ("logits", "aux_logits"):
        torch.testing.assert_close(together[name][:1, :steps], alone[name], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    "wrong", [{"feature_size": 32}, {"pool_sizes": [2, 2]}, {"dilations": [1]}, {"body": "transformer"}]
)
def test_a_hybrid_recognizer_of_other_sizes_than_its_body_is_refused(wrong):
    with pytest.raises(ValueError, match="body"):
        sentence_model(**wrong)
