"""Every model class passes the common model tests of transformers (see transformers_suites.py)."""

import unittest

import torch
from conftest import mini_config, mini_inputs
from transformers_suites import suite

import signx_hf

common = suite("test_modeling_common")

LENGTHS = [8, 5, 6]
HIDDEN, LAYERS, HEADS = 16, 2, 4


class SignXTester:
    """What the common tests ask for: a small config, a batch of it, and the sizes of what comes out."""

    batch_size, is_training = 3, True
    num_hidden_layers, num_attention_heads, hidden_size = LAYERS, HEADS, HIDDEN
    seq_length = encoder_seq_length = key_length = max(LENGTHS)

    def __init__(self, kinds, **inputs):
        self.kinds, self.inputs = kinds, inputs

    def get_config(self):
        part = {"num_hidden_layers": LAYERS, "num_attention_heads": HEADS}
        return mini_config(
            pose_config={**part, "latent_size": HIDDEN, "dropout": 0.0},
            temporal_config={**part, "hidden_size": HIDDEN, "dropout": 0.0},
            text_config={**part, "encoder_layers": LAYERS, "hidden_size": HIDDEN, "dropout": 0.0},
        )

    def prepare_config_and_inputs_for_common(self):
        config = self.get_config()
        inputs = mini_inputs(config, LENGTHS, *self.kinds)
        return config, {**inputs, **{name: value.clone() for name, value in self.inputs.items()}}


class Common(common.ModelTesterMixin):
    kinds = ("poses",)
    inputs: dict = {}
    model_class = None

    def setUp(self):
        self.model_tester = SignXTester(self.kinds, **self.inputs)

    @property
    def all_model_classes(self):
        return (getattr(signx_hf, self.model_class),)


class TestModel(Common, unittest.TestCase):
    model_class = "SignXModel"


class TestPose2Gloss(Common, unittest.TestCase):
    model_class = "SignXForPose2Gloss"
    is_encoder_decoder = True
    inputs = {"decoder_input_ids": torch.tensor([[1, 4, 9], [1, 4, 30], [1, 5, 7]])}


class TestVideo2Pose(Common, unittest.TestCase):
    model_class = "SignXForVideo2Pose"
    kinds = ("video", "poses")


class TestLatentCTC(Common, unittest.TestCase):
    model_class = "SignXForLatentCTC"


class TestGlossRecognition(Common, unittest.TestCase):
    model_class = "SignXForGlossRecognition"
    is_encoder_decoder = True
    inputs = {"decoder_input_ids": torch.tensor([[1, 4, 9], [1, 4, 30], [1, 5, 7]])}


class TestSignClassification(Common, unittest.TestCase):
    model_class = "SignXForSignClassification"
