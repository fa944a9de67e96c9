"""Options of a call and of loading: each reaches the part that it belongs to, or is refused by name."""

import numpy as np
import pytest
import torch
from make_model import FPS, GLOSSES, TRACKS, make_frames, make_poses, make_processor
from transformers import AutoFeatureExtractor, AutoProcessor
from transformers.models.auto.video_processing_auto import AutoVideoProcessor

from signx_hf import SignXError, SignXPoseFeatureExtractor, SignXProcessor, SignXVideoProcessor

SENTENCES = ["IX-1p NOT-YET WETTER", "#IF"]


@pytest.fixture(scope="module")
def processor() -> SignXProcessor:
    return make_processor()


@pytest.fixture(scope="module")
def folder(processor, tmp_path_factory):
    path = tmp_path_factory.mktemp("processor")
    processor.save_pretrained(path)
    return path


@pytest.mark.parametrize("option, part, value", [
    ("do_normalize", "video_processor", False), ("image_mean", "video_processor", [0.1, 0.2, 0.3]),
    ("resize_mode", "video_processor", "crop"), ("normalize", "feature_extractor", False),
    ("confidence_threshold", "feature_extractor", 0.5), ("ctc_glosses", "tokenizer", ("B", "A")),
    ("model_max_length", "tokenizer", 77), ("cls_token", "tokenizer", "<cls>"),
])  # fmt: skip
def test_an_option_at_loading_reaches_its_part_alone(folder, processor, option, part, value):
    loaded = AutoProcessor.from_pretrained(folder, **{option: value})
    assert getattr(getattr(loaded, part), option) == value
    for other in ("video_processor", "feature_extractor"):
        if other != part:
            assert getattr(loaded, other).to_dict() == getattr(AutoProcessor.from_pretrained(folder), other).to_dict()
    if part != "tokenizer":
        assert option not in loaded.tokenizer.init_kwargs
        assert loaded.tokenizer.ctc_glosses == processor.tokenizer.ctc_glosses


def test_an_option_of_two_parts_reaches_both(folder):
    loaded = AutoProcessor.from_pretrained(folder, fps=10, max_frames=7)
    for part in (loaded.video_processor, loaded.feature_extractor):
        assert (part.fps, part.max_frames) == (10, 7)
    assert "fps" not in loaded.tokenizer.init_kwargs


@pytest.mark.parametrize("auto", [AutoProcessor, AutoVideoProcessor, AutoFeatureExtractor])
def test_a_misspelt_option_at_loading_names_the_right_one(folder, auto):
    given, meant = ("normalise", "normalize") if auto is AutoFeatureExtractor else ("do_normalise", "do_normalize")
    with pytest.raises(SignXError, match=f"{given}.*{meant}"):
        auto.from_pretrained(folder, **{given: False})
    with pytest.raises(SignXError, match="ctc_glosses"):
        AutoProcessor.from_pretrained(folder, ctc_gloses=["A"])


def test_a_processor_is_the_same_after_it_was_saved(processor, tmp_path):
    before = SignXProcessor.from_pretrained(_saved(processor, tmp_path / "first"))
    said = before.to_dict()
    before.save_pretrained(tmp_path / "second")
    assert before.to_dict() == said


def _saved(processor, folder):
    processor.save_pretrained(folder)
    return folder


@pytest.mark.parametrize("inside", [True, False])
def test_labels_have_the_length_that_is_asked_for(processor, inside):
    def labels(**options):
        batch = processor(glosses=SENTENCES, **({"text_kwargs": options} if inside else options))
        return batch["labels"]

    free = labels()
    rows = [row[row != -100].tolist() for row in free]
    assert torch.equal(labels(padding=True), free) and torch.equal(labels(padding="longest"), free)
    for length in (free.shape[1], 40):
        padded = labels(padding="max_length", max_length=length)
        assert padded.shape == (2, length)
        assert [row[row != -100].tolist() for row in padded] == rows
    assert labels(pad_to_multiple_of=16).shape[1] % 16 == 0
    cut = labels(truncation=True, max_length=5)
    assert cut.shape == (2, 5)
    assert cut[0].tolist() == [*rows[0][:4], rows[0][-1]]  # the prompt and the end stay
    with pytest.raises(SignXError, match="`padding` must be True for sentences of different lengths"):
        labels(padding=False)
    for bad in ({"padding": "max_length"}, {"truncation": True}):
        with pytest.raises(SignXError, match="`max_length` must be given"):
            labels(**bad)
    for bad in (0, -1, 2.5, True, "9"):
        with pytest.raises(SignXError, match="`max_length` must be a positive integer"):
            labels(truncation=True, max_length=bad)
    with pytest.raises(ValueError, match="PaddingStrategy"):
        labels(padding="longer")


def test_a_tokenizer_keeps_its_options_of_loading(folder):
    loaded = AutoProcessor.from_pretrained(folder, padding="max_length", max_length=33)
    assert loaded(text=SENTENCES)["labels"].shape == (2, 33)
    assert loaded(text=SENTENCES, max_length=44)["labels"].shape == (2, 44)


def test_options_of_videos_hold_for_one_call(processor):
    frames = make_frames(9)
    alone = processor.video_processor
    other = SignXVideoProcessor(**{**alone.to_dict(), "size": 16, "fps": 5, "image_mean": 0.0})
    expected = other(frames, source_fps=FPS)["pixel_values_videos"]
    options = {"size": 16, "fps": 5, "image_mean": 0.0}
    before = alone.to_dict()
    for batch in (
        alone(frames, source_fps=FPS, **options),
        processor(frames, source_fps=FPS, **options),
        processor(frames, source_fps=FPS, videos_kwargs=options),
        processor(frames, source_fps=FPS, videos_kwargs={"size": 16}, fps=5, image_mean=0.0),
    ):
        assert torch.equal(batch["pixel_values_videos"], expected)
    assert alone.to_dict() == before
    kept = processor(frames, source_fps=2 * FPS, do_sample_frames=False)["pixel_values_videos"]
    assert torch.equal(kept, processor(frames, source_fps=FPS)["pixel_values_videos"])
    plain = alone(frames, do_rescale=False, do_normalize=False)["pixel_values_videos"]
    assert plain.max() == frames.max()


def test_options_of_poses_hold_for_one_call(processor):
    poses, extractor = [make_poses(9), make_poses(5)], processor.feature_extractor
    expected = SignXPoseFeatureExtractor(track_dims=TRACKS, fps=5)(poses, source_fps=FPS)
    for batch in (
        extractor(poses, source_fps=FPS, fps=5),
        processor(poses=poses, source_fps=FPS, fps=5),
        processor(poses=poses, source_fps=FPS, poses_kwargs={"fps": 5}),
    ):
        for name, values in expected.items():
            assert torch.equal(batch[name], values)
    assert extractor.fps == FPS
    free = extractor(poses)
    padded = processor(poses=poses, poses_kwargs={"padding": "max_length", "max_length": 12})
    for name, values in free.items():
        assert padded[name].shape[1] == 12
        assert torch.equal(padded[name][:, :9], values) and not padded[name][:, 9:].any()
    cut = extractor(poses, padding="max_length", max_length=6, truncation=True)
    assert cut["frame_mask"].sum(1).tolist() == [6, 5] and torch.equal(cut["pose_values"], free["pose_values"][:, :6])
    with pytest.raises(SignXError, match="poses_kwargs"):
        processor(make_frames(9), make_poses(9), poses_kwargs={"padding": "max_length", "max_length": 12})


def test_arrays_on_request(processor):
    inputs = {"videos": make_frames(6), "poses": make_poses(6), "glosses": GLOSSES[0], "source_fps": FPS}
    tensors = processor(**inputs)
    for options in ({"return_tensors": "np"}, {"common_kwargs": {"return_tensors": "np"}}):
        arrays = processor(**inputs, **options)
        assert set(arrays) == set(tensors)
        for name, values in arrays.items():
            assert type(values) is np.ndarray
            np.testing.assert_array_equal(values, tensors[name].numpy())
    with pytest.raises(SignXError, match="`return_tensors` must be 'pt' or 'np', got 'tf'"):
        processor(**inputs, return_tensors="tf")


@pytest.mark.parametrize("options, said", [
    ({"padings": True}, "no option 'padings'. Did you mean 'padding'"),
    ({"audio": [1.0]}, "no option 'audio'"),
    ({"images": [1.0]}, "no option 'images'"),
    ({"text_kwargs": {"max_len": 3}}, "`text_kwargs` has no option 'max_len'. Did you mean 'max_length'"),
    ({"videos_kwargs": {"num_frame": 3}}, "`videos_kwargs` has no option 'num_frame'"),
    ({"text_kwargs": 3}, "`text_kwargs` must be a dictionary"),
    ({"text_kwargs": {"padding": True}, "padding": "longest"}, "`padding` must be given once"),
    ({"videos_kwargs": {"fps": 3}, "fps": 3}, "`fps` must be given once"),
])  # fmt: skip
def test_what_a_call_refuses(processor, options, said):
    with pytest.raises(SignXError) as caught:
        processor(videos=make_frames(3), glosses=GLOSSES[0], **options)
    assert said in str(caught.value) and len(str(caught.value).splitlines()) == 1


def test_what_a_call_of_a_part_refuses(processor):
    for part, clip, name, meant in (
        (processor.feature_extractor, make_poses(3), "normalise", "normalize"),
        (processor.feature_extractor, make_poses(3), "pading", "padding"),
        (processor.video_processor, make_frames(3), "do_normalise", "do_normalize"),
    ):
        with pytest.raises(SignXError, match=f"has no option '{name}'. Did you mean '{meant}'"):
            part(clip, **{name: False})


@pytest.mark.parametrize("fps", [1e9, 1001, 9e-4, 1e-300])
def test_a_rate_of_the_output_has_the_range_of_the_config(processor, tmp_path, fps):
    for make in (SignXVideoProcessor, SignXPoseFeatureExtractor):
        with pytest.raises(SignXError, match="`fps` must be from 0.001 to 1000"):
            make(fps=fps)
    text = (_saved(processor, tmp_path) / "processor_config.json").read_text()
    (tmp_path / "processor_config.json").write_text(text.replace(f'"fps": {FPS}', f'"fps": {fps}'))
    with pytest.raises(SignXError, match="`fps` must be from 0.001 to 1000"):
        AutoProcessor.from_pretrained(tmp_path)
