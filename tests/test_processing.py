"""SignXProcessor: video, poses and targets together, saved and loaded whole."""

import json
import re

import numpy as np
import pytest
import torch
from helpers import said
from make_model import FPS, GLOSSES, TRACKS, make_frames, make_poses, make_processor, make_tokenizer
from transformers import AutoFeatureExtractor, AutoProcessor, AutoTokenizer
from transformers.models.auto.video_processing_auto import AutoVideoProcessor

from signx_hf import SignXError, SignXProcessor, SignXVideoProcessor


@pytest.fixture(scope="module")
def processor() -> SignXProcessor:
    return make_processor()


def test_video_poses_and_glosses_in_one_call(processor):
    batch = processor(
        videos=[make_frames(9), make_frames(5)],
        poses=[make_poses(9), make_poses(5)],
        glosses=["IX-1p NOT-YET", "天气"],
        source_fps=FPS,
    )
    assert set(batch) == {"pixel_values_videos", "frame_mask", "pose_values", "pose_mask", "labels", "ctc_labels"}
    assert batch["pixel_values_videos"].shape == (2, 9, 3, 32, 32)
    assert batch["pose_values"].shape == (2, 9, sum(TRACKS.values()))
    assert batch["frame_mask"].sum(1).tolist() == [9, 5]
    tokenizer = processor.tokenizer
    assert batch["ctc_labels"].tolist() == [
        tokenizer.encode_ctc("IX-1p NOT-YET"),
        [*tokenizer.encode_ctc("天气"), -100],
    ]
    assert processor.batch_decode(batch["labels"], skip_special_tokens=True) == ["IX-1p NOT-YET", "天气"]
    assert batch["labels"][:, 0].tolist() == [4, 4]
    text = processor(text="morgen regen")
    assert text["labels"][0, 0] == 5 and "ctc_labels" not in text
    assert processor.decode(text["labels"][0], skip_special_tokens=True) == "morgen regen"


def test_parts_agree_with_the_whole(processor):
    frames, poses = make_frames(7), make_poses(7)
    batch = processor(videos=frames, poses=poses, source_fps=FPS, return_metadata=True)
    alone = processor.video_processor(frames, source_fps=FPS)
    assert torch.equal(batch["pixel_values_videos"], alone["pixel_values_videos"])
    assert torch.equal(batch["pose_values"], processor.feature_extractor(poses, source_fps=FPS)["pose_values"])
    assert batch["video_metadata"][0]["frames"] == batch["pose_metadata"][0]["frames"] == 7
    assert processor.model_input_names == ["frame_mask", "pixel_values_videos", "pose_values", "pose_mask"]


def test_saved_and_loaded_whole(processor, tmp_path):
    processor.save_pretrained(tmp_path)
    loaded = AutoProcessor.from_pretrained(tmp_path)
    assert type(loaded) is SignXProcessor
    assert list(loaded.feature_extractor.track_dims.items()) == list(TRACKS.items())
    inputs = {"videos": make_frames(6), "poses": make_poses(6), "glosses": "#IF WETTER", "source_fps": FPS}
    for name, value in processor(**inputs).items():
        assert torch.equal(loaded(**inputs)[name], value)
    assert type(AutoVideoProcessor.from_pretrained(tmp_path)) is type(processor.video_processor)
    assert AutoFeatureExtractor.from_pretrained(tmp_path).fps == FPS
    assert AutoTokenizer.from_pretrained(tmp_path).ctc_glosses == processor.tokenizer.ctc_glosses
    names = {path.name for path in tmp_path.iterdir()}
    assert {"processor_config.json", "tokenizer.json", "pipeline_signx.py", "processing_signx.py"} <= names
    assert json.loads((tmp_path / "processor_config.json").read_text())["processor_class"] == "SignXProcessor"


def test_missing_parts_have_defaults():
    processor = SignXProcessor(tokenizer=make_tokenizer())
    assert processor.video_processor.size == {"height": 224, "width": 224}
    assert sum(processor.feature_extractor.track_dims.values()) == 1959
    bare = SignXProcessor()
    assert bare.tokenizer.decode(bare.tokenizer.build_targets("IX-1p 天气"), skip_special_tokens=True) == "IX-1p 天气"
    assert bare.tokenizer.ctc_vocab_size == 1
    with pytest.raises(TypeError, match="feature_extractor"):
        SignXProcessor(SignXVideoProcessor(), make_tokenizer())


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({}, "pass at least one of `videos`, `poses`, `glosses` and `text`"),
        ({"glosses": "A", "text": "a"}, "Pass either `glosses` or `text`, not both"),
        ({"poses": make_poses(4), "return_tensors": "tf"}, "`return_tensors` ... got 'tf'"),
        (
            {"videos": [make_frames(4)] * 2, "poses": [make_poses(4)], "source_fps": FPS},
            "each video ... got 2 videos and 1 poses",
        ),
        (
            {"videos": make_frames(6), "poses": make_poses(4), "source_fps": FPS},
            "clip 0 ... got 4 and 6",
        ),
        ({"glosses": "IX-1p BANANA"}, "'BANANA'"),
        ({"poses": {"hand": np.zeros((3, 7))}}, "unknown track or key 'hand' ... 'hands'?"),
    ],
)
def test_refused(processor, inputs, message):
    with pytest.raises(SignXError) as error:
        processor(**inputs)
    assert re.search(said(message), str(error.value))
    assert "\n" not in str(error.value)


def test_built_from_a_config_it_fits_the_model():
    from make_model import make_model

    model = make_model("SignXForGlossRecognition")
    processor = SignXProcessor.from_config(model.config, make_tokenizer())
    batch = processor(videos=make_frames(5), poses=make_poses(5), source_fps=FPS)
    assert batch["pixel_values_videos"].shape[-2:] == (32, 32)
    assert model(**batch).ctc_logits.shape[1] == 2


def test_every_convention_survives_the_whole_way(processor):
    sentence = " ".join(GLOSSES)
    labels = processor(glosses=sentence)["labels"]
    assert processor.batch_decode(labels, skip_special_tokens=True) == [sentence]
