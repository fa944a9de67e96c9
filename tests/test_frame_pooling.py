"""Signs that are held: each frame classified by itself, from what the hand looks like alone."""

import numpy as np
import pytest
import torch
from made_hands import made_sign

from signx_hf import SignXConfig, SignXError, SignXForSignClassification, SignXPoseFeatureExtractor
from signx_hf.processing.hands_signx import HAND_FEATURES, SHAPE_COLUMNS

LABELS = {0: "A", 1: "B", 2: "C"}


def make_config(**options):
    return SignXConfig.tiny(
        vision_config=None, pooling="frame", id2label=LABELS,
        pose_config={"track_dims": {"hands": HAND_FEATURES}, "track_hidden_size": 16, "latent_size": 32, "num_hidden_layers": 0},
        classifier_config={"hidden_size": 32, "stem_layers": 2}, **options,
    )  # fmt: skip


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return SignXForSignClassification(make_config()).eval()


def inputs(frames=9, clips=2, seed=0):
    draw = torch.Generator().manual_seed(seed)
    values = torch.randn(clips, frames, HAND_FEATURES, generator=draw)
    mask = torch.rand(clips, frames, 1, generator=draw) < 0.8
    mask[:, 0] = True
    real = torch.ones(clips, frames, dtype=torch.bool)
    real[1:, frames - 3 :] = False
    return {"pose_values": values, "pose_mask": mask & real[..., None], "frame_mask": real}


@torch.inference_mode()
def test_no_frame_has_a_say_in_another(model):
    batch = inputs()
    found = model(**batch)
    assert found.frame_logits.shape == (2, 9, 3)
    for clip in range(2):
        for frame in range(9):
            alone = model(pose_values=batch["pose_values"][clip : clip + 1, frame : frame + 1])
            if batch["pose_mask"][clip, frame]:
                assert torch.allclose(found.frame_logits[clip, frame].log_softmax(-1), alone.logits[0], atol=1e-4)


@torch.inference_mode()
def test_a_clip_has_the_mean_probability_of_what_is_shown(model):
    batch = inputs()
    found = model(**batch)
    for clip in range(2):
        shown = batch["pose_mask"][clip, :, 0]
        expected = found.frame_logits[clip][shown].softmax(-1).mean(0)
        assert torch.allclose(found.logits[clip].exp(), expected, atol=1e-5)
    order = torch.randperm(9, generator=torch.Generator().manual_seed(1))
    mixed = {name: value[:, order] for name, value in batch.items()}
    assert torch.allclose(model(**mixed).logits, found.logits, atol=1e-4), "the order of frames says nothing"
    batch["pose_values"][~batch["pose_mask"].expand(-1, -1, HAND_FEATURES)] = 7.0
    assert torch.allclose(model(**batch).logits, found.logits, atol=1e-5), "neither does what is hidden"


def test_latents_go_through_as_poses_do(model):
    batch = inputs(clips=1)
    with torch.inference_mode():
        found = model(**batch)
        again = model(latents=found.latents, frame_mask=batch["pose_mask"][..., 0])
    assert torch.allclose(again.logits, found.logits, atol=1e-5)
    with pytest.raises(ValueError, match="No input"):
        model()
    with pytest.raises(ValueError, match="pose_values"):
        model(pose_values=torch.zeros(1, 4, 5))


def test_it_learns_and_is_saved(tmp_path):
    model = SignXForSignClassification(make_config(spells=True))
    output = model(**inputs(), labels=torch.tensor([0, 2]))
    output.loss.backward()
    assert all(
        p.grad is not None
        for n, p in model.named_parameters()
        if "missing" not in n and "fusion" not in n and "attention" not in n
    )
    model.save_pretrained(tmp_path)
    loaded = SignXForSignClassification.from_pretrained(tmp_path).eval()
    assert loaded.config.spells is True and loaded.config.pooling == "frame"
    model.eval()
    assert torch.equal(loaded(**inputs()).logits, model(**inputs()).logits)


@pytest.mark.parametrize("options", [{"spells": "yes"}, {"spells": 1}, {"spells": True, "pooling": "mean"}])
def test_spells_is_checked(options):
    with pytest.raises(ValueError, match="spells"):
        SignXConfig.tiny(**{"pooling": "frame", **options})


# ---------------------------------------------------------------------------------------------------- what is read


def extract(rows, **options):
    extractor = SignXPoseFeatureExtractor(track_dims={"hands": HAND_FEATURES}, fps=30, **options)
    clip = {"hands": rows, "fps": 30.0, "notes": {"hands.aspect": "1.7778"}}
    batch = extractor(clip, return_tensors="np")
    return batch["pose_values"][0], batch["pose_mask"][0, :, 0]


def shape_of(rows):
    return extract(rows, use_depth=False, shape_only=True)


def changed(rows, scale=1.0, shift=(0.0, 0.0), depth=1.0):
    """The same hands nearer to the camera and elsewhere, or with other depth."""
    hands = rows.reshape(-1, 2, 21, 3).copy()
    seen = hands.any((2, 3))
    wrists = hands[:, :, :1].copy()
    hands = np.where(seen[..., None, None], wrists + scale * (hands - wrists), 0)
    hands[..., :2] += np.where(seen[..., None, None], shift, 0)
    hands[..., 2] *= depth
    return hands.reshape(len(rows), 126)


@pytest.mark.parametrize("sign", [1, 3, 5])  # of one hand
def test_only_the_shape_is_read(sign):
    rows = np.nan_to_num(made_sign(sign, 0))
    values, mask = shape_of(rows)
    assert values[mask].any() and not values[:, SHAPE_COLUMNS == 0].any()
    for other in (changed(rows, 1.6), changed(rows, shift=(0.1, -0.05)), changed(rows, depth=3.0)):
        found, seen = shape_of(other)
        assert np.array_equal(seen, mask) and np.allclose(found, values, atol=2e-3)
    assert not np.allclose(extract(changed(rows, depth=3.0))[0], extract(rows)[0], atol=1e-2), (
        "else the test would say nothing"
    )
    assert not np.allclose(extract(changed(rows, 1.6))[0], extract(rows)[0], atol=1e-2)


def test_the_other_hand_is_not_read():
    rows = np.nan_to_num(made_sign(2, 0)).reshape(-1, 2, 21, 3)
    alone = rows.copy()
    values, _ = shape_of(rows.reshape(-1, 126))
    path = [np.abs(np.diff(rows[2:-2, hand, 0, :2], axis=0)).sum() for hand in range(2)]
    alone[:, int(np.argmin(path))] = 0
    found, _ = shape_of(alone.reshape(-1, 126))
    assert np.allclose(found, values, atol=1e-4)


@pytest.mark.parametrize("options", [{"use_depth": 1}, {"shape_only": "yes"}])
def test_bad_options(options):
    with pytest.raises(SignXError, match=next(iter(options))):
        SignXPoseFeatureExtractor(track_dims={"hands": HAND_FEATURES}, **options)
    with pytest.raises(SignXError, match="shape_only"):
        SignXPoseFeatureExtractor(track_dims={"mediapipe": 258}, shape_only=True)


def test_options_are_saved(tmp_path):
    SignXPoseFeatureExtractor(track_dims={"hands": HAND_FEATURES}, use_depth=False, shape_only=True).save_pretrained(
        tmp_path
    )
    loaded = SignXPoseFeatureExtractor.from_pretrained(tmp_path)
    assert loaded.use_depth is False and loaded.shape_only is True


def test_training_reads_the_same(tmp_path):
    """Without changes the rows of training are those of recognition; with turned hands there is still no depth."""
    from signx_hf.processing.hands_signx import HandClip
    from signx_hf.training.arguments import AugmentationArguments
    from signx_hf.training.hand_augmentation import HandAugmentation

    extractor = SignXPoseFeatureExtractor(
        track_dims={"hands": HAND_FEATURES}, fps=30, use_depth=False, shape_only=True
    )
    rows = np.nan_to_num(made_sign(1, 0))
    clip = {"hands": rows, "fps": 30.0}
    hands = extractor.hand_clip(extractor.read(clip))
    assert isinstance(hands, HandClip) and not hands.hands[..., 2].any()
    plain = HandAugmentation(AugmentationArguments(), None, 30.0, use_depth=False, shape_only=True)
    values, mask, _ = plain([hands], None)
    expected = extractor(clip, return_tensors="np")
    assert np.allclose(values[0], expected["pose_values"][0], atol=1e-5)
    assert np.array_equal(mask[0], expected["pose_mask"][0])
    options = AugmentationArguments(turn=40.0, tilt=40.0, rotation=20.0)
    turned = HandAugmentation(options, None, 30.0, use_depth=False, shape_only=True)
    values, mask, _ = turned([hands], [np.random.default_rng(0)])
    depth = values[0][:, :60].reshape(-1, 20, 3)[..., 2]
    assert values[0].any() and not depth.any() and not values[0][:, SHAPE_COLUMNS == 0].any()
