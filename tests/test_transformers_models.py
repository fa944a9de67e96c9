"""Every model class passes the common model tests of transformers (see transformers_suites.py).

What such a test cannot know of these classes is told by the testers below: one config serves all classes, the inputs are
frames, and pieces come in through the decoder only.
"""

import functools
import unittest
from unittest import mock

import pytest
import torch
from conftest import CTC_LABELS, LABELS, LENGTHS, mini_config, mini_inputs
from transformers_suites import suite

import signx_hf

common, configs = suite("test_modeling_common"), suite("test_configuration_common")

HIDDEN, LAYERS, HEADS = 16, 2, 4
PIECES = torch.tensor([[1, 4, 9, 12], [1, 4, 30, 2], [1, 5, 7, 2]])  # LABELS, one to the right
OWN_OUTPUTS = ("ctc_logits", "features", "feature_mask")


class SignXTester:
    """A small config, a batch of it, and the sizes of what comes out."""

    batch_size, is_training = len(LENGTHS), True
    num_hidden_layers, num_attention_heads, hidden_size = LAYERS, HEADS, HIDDEN
    seq_length = encoder_seq_length = key_length = max(LENGTHS)

    def __init__(self, kinds, generates):
        self.kinds, self.generates, self.names_of_pieces = kinds, generates, ["decoder_input_ids"]

    def get_config(self):
        # Without what the inputs do not reach: the tests look at the first layers and at all sub-configs.
        unused = {"frame_branch": None} if "video" in self.kinds else {"frame_branch": None, "vision_config": None}
        part = {"num_hidden_layers": LAYERS, "num_attention_heads": HEADS, "dropout": 0.0}
        config = mini_config(
            pose_config={**part, "latent_size": HIDDEN},
            temporal_config={**part, "hidden_size": HIDDEN},
            recognizer_config={"dropout": 0.0, "frame_drop_rate": 0.0},
            text_config={**part, "encoder_layers": LAYERS, "hidden_size": HIDDEN},
            **unused,
        )
        config.is_encoder_decoder = self.generates
        return config

    def prepare_config_and_inputs_for_common(self):
        config = self.get_config()
        inputs = mini_inputs(config, LENGTHS, *self.kinds)
        if self.generates:
            inputs |= {name: PIECES.clone() for name in self.names_of_pieces}
        return config, inputs


class Common(common.ModelTesterMixin):
    """The common tests for one class; `kinds` are the inputs of its batches, `labels` those of its losses."""

    name = ""
    kinds: tuple = ("poses",)
    labels: dict = {}
    additional_model_inputs = ["decoder_input_ids"]
    test_resize_embeddings = False
    _is_composite = True

    def setUp(self):
        self.model_tester = SignXTester(self.kinds, self.is_encoder_decoder)

    @property
    def all_model_classes(self):
        return (getattr(signx_hf, self.name),)

    def _prepare_for_class(self, inputs_dict, model_class, return_labels=False):
        inputs = super()._prepare_for_class(inputs_dict, model_class)
        inputs.pop("input_ids", None)
        return {**inputs, **{name: value.clone() for name, value in self.labels.items() if return_labels}}

    def changed_outputs(self, change):
        """Patch `forward` of the class so that each output passes through `change(name, value)`; None leaves it out."""
        (model_class,) = self.all_model_classes
        forward = model_class.forward

        def changed(model, return_dict=True, **inputs):
            output = forward(model, return_dict=True, **inputs)
            output = type(output)(**{name: change(name, value) for name, value in output.items()})
            return output if return_dict else output.to_tuple()

        return mock.patch.object(model_class, "forward", functools.wraps(forward)(changed))

    def test_model_outputs_equivalence(self):
        """With masks as integers: the common test subtracts outputs, which torch does not with booleans."""

        def as_integers(name, value):
            return value.long() if name.endswith("_mask") else value

        with self.changed_outputs(as_integers):
            super().test_model_outputs_equivalence()


class Generative(Common, common.GenerationTesterMixin):
    is_encoder_decoder = True
    test_resize_embeddings = True

    def setUp(self):
        super().setUp()
        self.model_tester.decoder_seq_length = self.model_tester.decoder_key_length = PIECES.shape[1]

    def prepare_config_and_inputs_for_generate(self, batch_size=2):
        """Start from one piece, which the common tests count on; the prompt of a task has two."""
        config, inputs = super().prepare_config_and_inputs_for_generate(batch_size)
        config.text_config.use_cache = True
        start = torch.full((batch_size, 1), config.text_config.decoder_start_token_id)
        return config, {**inputs, "decoder_input_ids": start, "decoder_attention_mask": torch.ones_like(start)}

    def test_resize_tokens_embeddings(self):
        """With pieces under the name that the common test changes, besides those that the model reads."""
        self.model_tester.names_of_pieces.append("input_ids")
        super().test_resize_tokens_embeddings()

    def test_resize_embeddings_untied(self):
        self.model_tester.names_of_pieces.append("input_ids")
        super().test_resize_embeddings_untied()

    def test_attention_outputs(self):
        """Without what these models give besides: the common test counts the outputs."""
        with self.changed_outputs(lambda name, value: None if name in OWN_OUTPUTS else value):
            super().test_attention_outputs()


# The generation tests are not in the distribution; they run where SIGNX_TRANSFORMERS_TESTS names a folder that has them.
NOT_FOR_RECOGNIZERS = {
    "test_generate_without_input_ids": "there is nothing to recognize without a clip",
    "test_inherits_generation_mixin": "the common test knows direct base classes only",
    "test_assisted_decoding_matches_greedy_search_0_random": "generate() refuses assistant_model",
    "test_assisted_decoding_matches_greedy_search_1_same": "generate() refuses assistant_model",
    "test_assisted_decoding_sample": "generate() refuses assistant_model",
}
for test, why in NOT_FOR_RECOGNIZERS.items():
    if hasattr(common.GenerationTesterMixin, test):
        setattr(Generative, test, pytest.mark.skip(reason=why)(lambda self: None))


class WithoutPieces(Common):
    @pytest.mark.skip(reason="the inputs are frames: there is no table of embeddings")
    def test_model_get_set_embeddings(self):
        pass


class TestModel(WithoutPieces, unittest.TestCase):
    name = "SignXModel"

    def setUp(self):
        super().setUp()
        self.model_tester.is_training = False  # it has no loss


class TestPose2Gloss(Generative, unittest.TestCase):
    name = "SignXForPose2Gloss"
    labels = {"labels": LABELS}


class TestVideo2Pose(WithoutPieces, unittest.TestCase):
    name = "SignXForVideo2Pose"
    kinds = ("video", "poses")
    test_all_params_have_gradient = False  # the pose path makes the targets


class TestLatentCTC(WithoutPieces, unittest.TestCase):
    name = "SignXForLatentCTC"
    labels = {"ctc_labels": CTC_LABELS}


class TestGlossRecognition(Generative, unittest.TestCase):
    name = "SignXForGlossRecognition"
    labels = {"labels": LABELS, "ctc_labels": CTC_LABELS}

    def setUp(self):
        super().setUp()
        self.model_tester.encoder_seq_length = self.model_tester.key_length = 2  # steps of eight frames


class TestSignClassification(WithoutPieces, unittest.TestCase):
    name = "SignXForSignClassification"
    labels = {"labels": torch.tensor([1, 0, 1])}


class TestConfigs(unittest.TestCase):
    def setUp(self):
        self.model_tester = SignXTester(("poses",), True)

    def run_common_tests(self, config_class, properties, **options):
        tester = configs.ConfigTester(
            self, config_class, has_text_modality=False, common_properties=properties, **options
        )
        tester.run_common_tests()

    def test_config(self):
        self.run_common_tests(signx_hf.SignXConfig, ["hidden_size", "vocab_size"], ctc_vocab_size=11, fps=25.0)

    def test_pose_config(self):
        self.run_common_tests(
            signx_hf.SignXPoseConfig, ["hidden_size", "num_hidden_layers", "num_attention_heads"], latent_size=32
        )

    def test_temporal_config(self):
        self.run_common_tests(signx_hf.SignXTemporalConfig, None, hidden_size=24, num_hidden_layers=1)

    def test_recognizer_config(self):
        self.run_common_tests(signx_hf.SignXRecognizerConfig, ["hidden_size"], pool_sizes=[2], dilations=[1, 2])

    def test_text_config(self):
        self.run_common_tests(signx_hf.SignXTextConfig, ["hidden_size", "vocab_size"], vocab_size=37, max_length=9)

    def test_classifier_config(self):
        self.run_common_tests(signx_hf.SignXClassifierConfig, ["hidden_size", "num_attention_heads"], hidden_size=16)
