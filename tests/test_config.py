"""Configurations: misspelled and impossible options are refused, saving loses nothing, presets are the published sizes."""

import copy
import json
import warnings

import pytest
import torch
from conftest import mini_config, mini_inputs, mini_model

from signx_hf import (
    SignXConfig,
    SignXForLatentCTC,
    SignXForSignClassification,
    SignXModel,
    SignXPoseConfig,
    SignXRecognizerConfig,
    SignXTemporalConfig,
    SignXTextConfig,
)
from signx_hf.modeling.checkpoint_signx import check_settings
from signx_hf.modeling.encoders_signx import SignXVideoEncoder
from signx_hf.modeling.modeling_signx import SignXForGlossRecognition
from signx_hf.modeling.recognizer_signx import SignXFrameEncoder

PRESETS = {"base": SignXConfig.base, "small": SignXConfig.small, "tiny": SignXConfig.tiny, "mini": mini_config}


def count(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


# ----- what is refused -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("config_class", "wrong", "right"),
    [
        (SignXConfig, "ctc_vocab_sise", "'ctc_vocab_size'"),
        (SignXConfig, "image_sizes", "'image_size'"),
        (SignXConfig, "latent_sizes", "'pose_config.latent_size'"),
        (SignXConfig, "whitening_gama", "'recognizer_config.whitening_gamma'"),
        (SignXConfig, "encoder_layer", "'text_config.encoder_layers'"),
        (SignXConfig, "frames_per_chunks", "'temporal_config.frames_per_chunk'"),
        (SignXPoseConfig, "track_dim", "'track_dims'"),
        (SignXTemporalConfig, "hiden_size", "'hidden_size'"),
        (SignXRecognizerConfig, "pool_size", "'pool_sizes'"),
        (SignXTextConfig, "gloss_piece", "'gloss_pieces'"),
    ],
)
def test_a_misspelled_option_names_the_nearest_legal_one(config_class, wrong, right):
    with pytest.raises(ValueError, match=f"{config_class.__name__}.*'{wrong}'.*{right}"):
        config_class(**{wrong: 1})


def test_the_name_of_a_method_is_no_option():
    with pytest.raises(ValueError, match="SignXTemporalConfig.*'to_json_file'.*hidden_size, num_"):
        SignXTemporalConfig(to_json_file=1)
    with pytest.warns(UserWarning, match="to_json_file"):
        assert callable(SignXTemporalConfig.from_dict({"to_json_file": 1}).to_json_file)


def test_attributes_of_the_user_s_own_survive_saving_and_copying(tmp_path):
    config = mini_config(my_notes={"corpus": "mine"})
    config.pose_config.camera = "left"
    config.save_pretrained(tmp_path)
    with pytest.warns(UserWarning, match="my_notes, pose_config.camera have no effect"):
        again = SignXConfig.from_pretrained(tmp_path)
    copied = SignXConfig(**config.to_dict())
    for other in (again, copied):
        assert (other.my_notes, other.pose_config.camera) == ({"corpus": "mine"}, "left")


@pytest.mark.parametrize("part", ["pose", "temporal", "recognizer", "text", "classifier"])
def test_a_part_of_the_config_is_saved_on_its_own_and_read_from_the_whole(part, tmp_path):
    config = mini_config()
    one = getattr(config, f"{part}_config")
    one.save_pretrained(tmp_path / "part")
    config.save_pretrained(tmp_path / "whole")
    for folder in ("part", "whole"):
        again = type(one).from_pretrained(tmp_path / folder).to_dict()
        assert {**again, "transformers_version": None} == {**one.to_dict(), "transformers_version": None}


def test_pieces_are_untied_at_the_top_level_too(tmp_path):
    config = mini_config(tie_word_embeddings=False)
    assert config.tie_word_embeddings is config.text_config.tie_word_embeddings is False
    model = SignXForGlossRecognition(config)
    assert model.lm_head.weight is not model.decoder.embed_tokens.weight
    config.save_pretrained(tmp_path)
    assert SignXConfig.from_pretrained(tmp_path).tie_word_embeddings is False
    again = SignXConfig.from_pretrained(tmp_path, tie_word_embeddings=True)
    assert again.tie_word_embeddings is again.text_config.tie_word_embeddings is True
    with pytest.raises(ValueError, match="tie_word_embeddings.*got True and False"):
        mini_config(tie_word_embeddings=True, text_config={"tie_word_embeddings": False})


def test_several_signs_per_clip_are_refused_before_training():
    with pytest.raises(ValueError, match="problem_type.*'multi_label_classification'"):
        mini_config(problem_type="multi_label_classification")
    config = mini_config()
    config.problem_type = "regression"
    with pytest.raises(ValueError, match="problem_type.*'regression'"):
        SignXForSignClassification(config)


def test_a_misspelled_option_inside_a_part_is_refused_too():
    with pytest.raises(ValueError, match="SignXPoseConfig.*'latent_sise'.*'latent_size'"):
        SignXConfig(pose_config={"latent_sise": 64})


IMPOSSIBLE = [
    # class, options, what the message must contain: names, values, ranges
    (SignXPoseConfig, {"track_dims": {}}, ["track_dims`", "at least one track"]),
    (SignXPoseConfig, {"track_dims": {"a": 0}}, ["'a': 0", "positive widths"]),
    (SignXPoseConfig, {"track_dims": {"a": True}}, ["'a': True", "positive widths"]),
    (SignXPoseConfig, {"track_dims": {"": 3}}, ["'': 3", "must map names"]),
    (SignXPoseConfig, {"track_names": ["a"]}, ["go together"]),
    (
        SignXPoseConfig,
        {"track_names": ["a", "b"], "track_sizes": [1]},
        ["track_names` and `track_sizes`", "got 2 and 1"],
    ),
    (SignXPoseConfig, {"track_hidden_size": 10, "fusion_heads": 4}, ["track_hidden_size=10", "fusion_heads=4"]),
    (SignXPoseConfig, {"latent_size": 10, "num_attention_heads": 4}, ["latent_size=10", "num_attention_heads=4"]),
    (SignXPoseConfig, {"track_dropout": 1.0}, ["track_dropout`", "got 1.0", "from 0 to 0.99"]),
    (SignXPoseConfig, {"dropout": "0.1"}, ["dropout`", "got '0.1'", "from 0 to 0.99"]),
    (SignXPoseConfig, {"num_hidden_layers": -1}, ["num_hidden_layers`", "got -1", "integer of at least 0"]),
    (SignXPoseConfig, {"latent_size": 32.0}, ["latent_size`", "got 32.0", "integer of at least 1"]),
    (SignXTemporalConfig, {"hidden_size": 20, "num_attention_heads": 3}, ["hidden_size=20", "num_attention_heads=3"]),
    (SignXTemporalConfig, {"frames_per_chunk": 0}, ["frames_per_chunk`", "got 0", "integer of at least 1"]),
    (SignXRecognizerConfig, {"kernel_size": 4}, ["kernel_size`", "got 4", "odd"]),
    (SignXRecognizerConfig, {"pool_sizes": []}, ["pool_sizes`", "at least one entry"]),
    (SignXRecognizerConfig, {"pool_sizes": [2, 0]}, ["pool_sizes`", "got [2, 0]", "positive integers"]),
    (SignXRecognizerConfig, {"dilations": [1, 0]}, ["dilations`", "got [1, 0]", "positive integers"]),
    (SignXRecognizerConfig, {"dilations": [1.5]}, ["dilations`", "got [1.5]", "positive integers"]),
    (
        SignXRecognizerConfig,
        {"dilations": 2},
        ["dilations`", "got 2", "[] for none"],
    ),
    (SignXRecognizerConfig, {"kernel_size": 101}, ["kernel_size`", "got 101", "an odd number up to 99"]),
    (SignXRecognizerConfig, {"pool_sizes": None}, ["pool_sizes`", "got None", "positive integers"]),
    (SignXRecognizerConfig, {"feature_size": 7}, ["feature_size`", "got 7", "even"]),
    (SignXRecognizerConfig, {"frame_drop_rate": -0.1}, ["frame_drop_rate`", "got -0.1", "from 0 to 0.99"]),
    (SignXRecognizerConfig, {"kd_temperature": 0}, ["kd_temperature`", "got 0", "from 0.001"]),
    (SignXRecognizerConfig, {"kd_weight": float("nan")}, ["kd_weight`", "got nan", "from 0 "]),
    (SignXRecognizerConfig, {"ctc_weight": True}, ["ctc_weight`", "got True", "a number"]),
    (SignXTextConfig, {"hidden_size": 30, "num_attention_heads": 4}, ["hidden_size=30", "num_attention_heads=4"]),
    (SignXTextConfig, {"vocab_size": 5}, ["text_token_id`", "got 5", "vocab_size=5"]),
    (SignXTextConfig, {"eos_token_id": None}, ["eos_token_id`", "got None", "vocab_size=4096"]),
    (SignXTextConfig, {"pad_token_id": -1}, ["pad_token_id`", "got -1", "from 0 to 4095"]),
    (SignXTextConfig, {"max_length": 0}, ["max_length`", "got 0", "integer of at least 1"]),
    (SignXConfig, {"ctc_blank_id": 7, "ctc_vocab_size": 7}, ["ctc_blank_id=7", "ctc_vocab_size=7"]),
    (SignXConfig, {"ctc_vocab_size": 0}, ["ctc_vocab_size`", "got 0", "integer of at least 1"]),
    (SignXConfig, {"fps": 0}, ["fps`", "got 0", "from 0.001"]),
    (SignXConfig, {"label_smoothing": 1.0}, ["label_smoothing`", "got 1.0", "to 0.99"]),
    (SignXConfig, {"contrast_temperature": 0.0}, ["contrast_temperature`", "got 0.0", "from 0.0001"]),
    (SignXConfig, {"ngram_order": 0}, ["ngram_order`", "got 0", "integer of at least 1"]),
    (SignXConfig, {"image_size": 160}, ["image_size=160", "vision_config.image_size=224"]),
    (SignXConfig, {"vision_config": "vit-large"}, ["vision_config`", "got 'vit-large'", "'vit-base'"]),
    (SignXConfig, {"frame_branch": "resnet-50"}, ["frame_branch`", "got 'resnet-50'", "'resnet-34'"]),
    (SignXConfig, {"vision_config": {"hidden_size": 8}}, ["vision_config`", "'model_type'"]),
    (SignXConfig, {"vision_config": 3}, ["vision_config`", "got a int", "a transformers config"]),
    (SignXConfig, {"pose_config": 3}, ["pose_config`", "got a int", "SignXPoseConfig"]),
    (SignXConfig, {"pose_config": SignXTextConfig()}, ["pose_config`", "got a SignXTextConfig", "SignXPoseConfig"]),
    (SignXConfig, {"text_config": {"model_type": "t5"}}, ["text_config`", "got 't5'", "'signx_text'"]),
    (
        SignXConfig,
        {"ctc_vocab_size": 3, "text_config": {"gloss_pieces": [[], [7]]}},
        ["got 2", "ctc_vocab_size=3"],
    ),
    (
        SignXConfig,
        {"ctc_vocab_size": 2, "text_config": {"gloss_pieces": [[], [9]], "vocab_size": 9}},
        ["gloss_pieces`", "vocab_size=9"],
    ),
]


@pytest.mark.parametrize(
    ("config_class", "options", "texts"), IMPOSSIBLE, ids=[f"{c.__name__}-{list(o)[0]}-{i}" for i, (c, o, _) in enumerate(IMPOSSIBLE)]
)  # fmt: skip
def test_an_impossible_combination_shows_both_values(config_class, options, texts):
    with pytest.raises(ValueError) as caught:
        config_class(**options)
    message = str(caught.value)
    assert "\n" not in message
    for text in texts:
        assert text in message


def test_a_frame_branch_of_another_image_size_is_refused():
    branch = {"model_type": "vit", "hidden_size": 24, "num_attention_heads": 2, "image_size": 48, "patch_size": 16}
    with pytest.raises(ValueError, match="image_size=32.*frame_branch.image_size=48"):
        mini_config(frame_branch=branch)


# ----- saving ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("preset", PRESETS)
def test_save_and_load_is_the_identity(preset, tmp_path):
    config = PRESETS[preset]()
    config.save_pretrained(tmp_path)
    again = SignXConfig.from_pretrained(tmp_path)
    before, after = config.to_dict(), again.to_dict()
    for volatile in ("_name_or_path", "transformers_version"):
        before.pop(volatile, None), after.pop(volatile, None)
    assert after == before
    assert type(again.vision_config) is type(config.vision_config)
    assert type(again.pose_config) is SignXPoseConfig


def test_every_own_option_survives_with_a_value_that_is_not_its_default(tmp_path):
    options = {
        "pose_config": {
            "track_dims": {"b": 3, "a": 2}, "track_hidden_size": 8, "fusion_heads": 2, "track_dropout": 0.3,
            "latent_size": 12, "num_hidden_layers": 0, "num_attention_heads": 3, "intermediate_size": 5, "dropout": 0.2,
        },
        "temporal_config": {
            "hidden_size": 6, "num_hidden_layers": 0, "num_attention_heads": 3, "intermediate_size": 4, "dropout": 0.4,
            "frames_per_chunk": 9,
        },
        "recognizer_config": {
            "hidden_size": 7, "feature_size": 8, "kernel_size": 3, "pool_sizes": [3], "num_lstm_layers": 1, "dropout": 0.5,
            "whitening_gamma": 0.7, "frame_drop_rate": 0.2, "variance_threshold": 0.5, "ctc_weight": 2.0,
            "aux_ctc_weight": 3.0, "kd_weight": 4.0, "kd_temperature": 5.0, "zero_infinity": True, "dilations": [1, 3],
        },
        "text_config": {
            "vocab_size": 20, "hidden_size": 6, "encoder_layers": 1, "num_hidden_layers": 2, "num_attention_heads": 2,
            "intermediate_size": 3, "dropout": 0.6, "max_length": 17, "pad_token_id": 9, "bos_token_id": 8,
            "eos_token_id": 7, "decoder_start_token_id": 6, "gloss_token_id": 11, "text_token_id": 12,
            "gloss_pieces": [[13], [14, 15], []], "tie_word_embeddings": False,
        },
        "image_size": 48, "fps": 25.0, "ctc_vocab_size": 3, "ctc_blank_id": 2, "text_weight": 0.5, "word_weight": 0.25,
        "ngram_weight": 0.125, "contrast_weight": 0.75, "label_smoothing": 0.2, "ngram_order": 2,
        "contrast_temperature": 0.5, "pose_weight": 0.9, "decoder_ctc_weight": 0.8, "initializer_range": 0.04,
        "vision_config": None, "frame_branch": None, "frame_branch_norm": {"mean": [0.1, 0.2, 0.3], "std": [1.0, 2.0, 3.0]},
        "trained_from": {"vision_config": {"name": "me/vit", "revision": "0a", "sha256": "1b"}},
    }  # fmt: skip
    config = SignXConfig(**copy.deepcopy(options))
    config.save_pretrained(tmp_path)
    again = SignXConfig.from_pretrained(tmp_path)
    for name, value in options.items():
        if name in SignXConfig.sub_configs and value is not None:
            for inner, expected in value.items():
                assert getattr(getattr(again, name), inner) == expected, f"{name}.{inner}"
        else:
            assert getattr(again, name) == value, name


def test_options_of_a_newer_version_are_kept_with_a_warning_when_loading(tmp_path):
    model = mini_model("SignXForLatentCTC")
    model.save_pretrained(tmp_path)
    path = tmp_path / "config.json"
    saved = json.loads(path.read_text())
    saved["new_option"] = 1
    saved["recognizer_config"]["new_part"] = {"size": 3}
    path.write_text(json.dumps(saved))
    inputs = mini_inputs(model.config, [8], "latents")
    with pytest.warns(UserWarning, match="new_option, recognizer_config.new_part"):
        loaded = type(model).from_pretrained(tmp_path)
    assert torch.equal(loaded(**inputs).logits, model(**inputs).logits)
    assert loaded.config.new_option == 1 and loaded.config.recognizer_config.new_part == {"size": 3}
    before = copy.deepcopy(saved)
    with pytest.warns(UserWarning, match="new_option"):
        SignXConfig.from_dict(saved)
    assert saved == before
    with pytest.warns(UserWarning, match="new_part"):
        SignXRecognizerConfig.from_dict(saved["recognizer_config"])


def test_a_saved_config_is_loaded_without_a_warning(tmp_path):
    mini_model("SignXForLatentCTC").save_pretrained(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        SignXConfig.from_pretrained(tmp_path)


def test_errors_of_loading_keep_their_cause(tmp_path):
    with pytest.raises(ValueError, match="cannot be loaded") as caught:
        SignXConfig.from_dict({"pose_config": {"track_dims": 5}})
    assert isinstance(caught.value.__cause__, TypeError)
    with pytest.raises(ValueError, match="ctc_vocab_size") as caught:
        SignXConfig.from_dict({"ctc_vocab_size": 0})
    assert caught.value.__cause__ is None  # itself, not a copy
    mini_model("SignXForLatentCTC").save_pretrained(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"{" * 40)
    with pytest.raises(ValueError, match="header") as caught:
        SignXForLatentCTC.from_pretrained(tmp_path)
    assert isinstance(caught.value.__cause__, ValueError)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(ValueError, match="not a JSON object") as caught:
        check_settings(tmp_path)
    assert isinstance(caught.value.__cause__, json.JSONDecodeError)


def test_the_order_of_tracks_survives_json_that_sorts_keys(tmp_path):
    dims = {"zebra": 1, "mouse": 5, "ant": 3, "bee": 2}  # neither sorted by name nor by width
    mini_config(pose_config={"track_dims": dims, "track_names": None}).save_pretrained(tmp_path)
    again = SignXConfig.from_pretrained(tmp_path)
    assert list(again.pose_config.track_dims.items()) == list(dims.items())


def test_the_caller_keeps_the_dicts_it_gave():
    options = {"pose_config": {"track_dims": {"a": 4}}, "recognizer_config": {"pool_sizes": [2]}, "vision_config": {"model_type": "vit"}}  # fmt: skip
    before = copy.deepcopy(options)
    SignXConfig(**options)
    assert options == before
    assert SignXConfig().pose_config is not SignXConfig().pose_config


def test_two_presets_do_not_share_their_tracks():
    first = SignXConfig.tiny()
    first.pose_config.track_names.append("more")
    assert "more" not in SignXConfig.tiny().pose_config.track_names


# ----- presets ---------------------------------------------------------------------------------------------------------


def test_base_has_the_dimensions_of_the_paper():
    config = SignXConfig.base()
    assert config.to_dict() == SignXConfig().to_dict()
    assert config.pose_config.track_dims == {"smplerx": 165, "dwpose": 384, "mediapipe": 258, "primedepth": 576, "sapiens": 576}  # fmt: skip
    assert config.pose_config.pose_size == 1959
    assert config.latent_size == config.hidden_size == 2048
    assert config.temporal_config.hidden_size == config.vision_config.hidden_size == 768
    assert (config.recognizer_config.hidden_size, config.recognizer_config.feature_size) == (512, 1024)
    assert (config.recognizer_config.pool_sizes, config.recognizer_config.num_lstm_layers) == ([2, 2], 2)
    assert config.recognizer_config.stride == 4
    text = config.text_config
    assert (text.encoder_layers, text.num_hidden_layers, text.hidden_size, text.max_length) == (6, 6, 256, 64)
    assert (config.text_weight, config.word_weight, config.ngram_weight, config.contrast_weight) == (1, 1, 0.6, 1)
    assert config.label_smoothing == 0.1


def test_the_backbones_of_base_have_the_published_parameter_counts():
    config = SignXConfig.base()
    with torch.device("meta"):
        vit = SignXFrameEncoder(config.vision_config, config.image_size)
        resnet = SignXFrameEncoder(config.frame_branch, config.image_size)
    # ViT-B/16 without head 85.8 M (Dosovitskiy et al. 2021), ResNet-34 without its 1000-way layer 21.28 M (He et al. 2016)
    assert count(vit) == 85_798_656
    assert count(resnet) == 21_284_672
    assert (vit.feature_size, resnet.feature_size) == (768, 512)


def test_base_maps_its_inputs_through_the_widths_of_the_paper():
    with torch.device("meta"):
        model = SignXModel(SignXConfig.base())
        projection = SignXVideoEncoder(SignXConfig.base()).pose_projection
    assert model.latent_encoder.pad_match.weight.shape == (2048, 2048)
    assert (projection.in_features, projection.out_features) == (768, 1959)
    assert isinstance(model.video_encoder.feature_projection, torch.nn.Identity)


def test_tiny_fits_in_twenty_mebibytes_and_presets_grow():
    with torch.device("meta"):
        sizes = [count(SignXForGlossRecognition(PRESETS[name]())) for name in ("tiny", "small", "base")]
    assert 4 * sizes[0] <= 20 * 2**20, f"{4 * sizes[0] / 2**20:.1f} MiB"
    assert sizes[0] < sizes[1] < sizes[2]


@pytest.mark.parametrize("preset", ["small", "tiny"])
def test_presets_take_overrides_part_by_part(preset):
    build = PRESETS[preset]
    config = build(ctc_vocab_size=33, pose_config={"track_dims": {"mediapipe": 258}}, text_config={"vocab_size": 50})
    assert config.ctc_vocab_size == 33
    assert config.pose_config.track_dims == {"mediapipe": 258}
    assert config.pose_config.latent_size == build().pose_config.latent_size
    assert config.text_config.hidden_size == build().text_config.hidden_size
    assert config.text_config.vocab_size == 50


def test_the_names_generic_code_asks_for():
    config = mini_config()
    assert config.get_text_config() is config.text_config
    assert config.vocab_size == config.text_config.vocab_size == 37
    config.vocab_size = 40
    assert config.text_config.vocab_size == 40
    assert config.is_encoder_decoder and config.text_config.is_encoder_decoder
