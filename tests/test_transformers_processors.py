"""Processor, video processor, pose extractor and tokenizer pass the common tests of transformers (see
transformers_suites.py).

Where a test is written anew, SignX answers the same question differently, and the docstring says how. Those that skip
ask for what SignX does not have: images, sound, chat templates, placeholders of clips in a text, a video processor that
runs in torch and could be compiled, and a BPE given in parts.
"""

import shutil
import tempfile
import unittest
from unittest import mock

import numpy as np
import pytest
from make_model import FPS, GLOSSES, TRACKS, make_frames, make_poses, make_tokenizer
from transformers.feature_extraction_utils import BatchFeature
from transformers.models.auto.video_processing_auto import AutoVideoProcessor
from transformers_suites import suite

from signx_hf import SignXPoseFeatureExtractor, SignXProcessor, SignXTokenError, SignXTokenizer, SignXVideoProcessor
from signx_hf.processing.tokenization_signx import BYTE_SYMBOLS, GLOSS_END

processors = suite("test_processing_common")
videos = suite("test_video_processing_common")
sequences = suite("test_sequence_feature_extraction_common")
tokenizers = suite("test_tokenization_common")
backends = suite("test_tokenizers_backend_mixin")

SIZE = {"height": 32, "width": 32}


class TestSignXProcessor(processors.ProcessorTesterMixin, unittest.TestCase):
    processor_class = SignXProcessor
    text_input_name = "labels"  # text is what is to be recognized; no model of SignX reads any

    @classmethod
    def _setup_video_processor(cls):
        return SignXVideoProcessor(size=SIZE, fps=FPS)

    @classmethod
    def _setup_feature_extractor(cls):
        return SignXPoseFeatureExtractor(track_dims=TRACKS, fps=FPS)

    @classmethod
    def _setup_tokenizer(cls):
        return make_tokenizer()

    def setUp(self):
        # The option by which the tests see that pixels change: theirs is rescale_factor=-1, which is refused here.
        specs = {**processors.MODALITY_TEST_SPECS["videos"], "init_time_kwargs": {"image_mean": 1.0}}
        patch = mock.patch.dict(processors.MODALITY_TEST_SPECS, {"videos": specs})
        patch.start()
        self.addCleanup(patch.stop)

    def get_subprocessor_name(self, modality, attributes):
        """The feature extractor reads poses, not sound; tests/test_processor_options.py tests it."""
        return "audio_processor" if modality == "audio" else super().get_subprocessor_name(modality, attributes)

    def test_model_input_names(self):
        """The inputs of the model are those of clips; labels are asked for apart."""
        processor = self.get_processor()
        batch = processor(videos=make_frames(6), poses=make_poses(6), do_sample_frames=False)
        self.assertSetEqual(set(batch), set(processor.model_input_names))
        self.assertSetEqual(set(processor(glosses=GLOSSES[0])), {"labels", "ctc_labels"})


class VideoTester:
    batch_size, num_frames, num_channels = 3, 5, 3

    def expected_output_video_shape(self, _):
        return [self.num_frames, 3, SIZE["height"], SIZE["width"]]

    def prepare_video_inputs(self, equal_resolution=False, return_tensors="pil"):
        sizes = {"min_resolution": 20, "max_resolution": 40}
        return videos.prepare_video_inputs(
            self.batch_size,
            self.num_frames,
            self.num_channels,
            **sizes,
            equal_resolution=equal_resolution,
            return_tensors=return_tensors,
        )


class TestSignXVideoProcessor(videos.VideoProcessingTestMixin, unittest.TestCase):
    fast_video_processing_class = SignXVideoProcessor
    test_cast_dtype = True
    video_processor_dict = {"size": SIZE, "fps": FPS, "image_mean": [0.4, 0.5, 0.6]}

    def setUp(self):
        super().setUp()
        self.video_processor_tester = VideoTester()
        # Without torchvision the public name is a dummy, although SignX does not need torchvision.
        patch = mock.patch.object(videos, "AutoVideoProcessor", AutoVideoProcessor)
        patch.start()
        self.addCleanup(patch.stop)

    def test_video_processor_from_dict_with_kwargs(self):
        """`size` is height and width, never the shortest edge, and there is no `crop_size` beside it."""
        processor = SignXVideoProcessor.from_dict(self.video_processor_dict)
        self.assertEqual(processor.size, SIZE)
        processor = SignXVideoProcessor.from_dict(self.video_processor_dict, size=42, resize_mode="crop")
        self.assertEqual((processor.size, processor.resize_mode), ({"height": 42, "width": 42}, "crop"))
        self.assertEqual(processor.image_mean, [0.4, 0.5, 0.6])

    def test_video_processor_explicit_none_preserved(self):
        """None is a value of `fps` and `max_frames`; switches are True or False."""
        processor = SignXVideoProcessor(**{**self.video_processor_dict, "fps": None})
        with tempfile.TemporaryDirectory() as folder:
            processor.save_pretrained(folder)
            loaded = SignXVideoProcessor.from_pretrained(folder)
        self.assertIn("fps", loaded.to_dict())
        self.assertIsNone(loaded.fps)

    def test_call_sample_frames(self):
        """`max_frames` is `num_frames`, and the rate of a video comes as `source_fps` instead of `video_metadata`."""
        processor, tester = SignXVideoProcessor(**self.video_processor_dict), self.video_processor_tester
        tester.num_frames = 8
        batch = tester.prepare_video_inputs(return_tensors="torch")
        for clips in (batch[0], batch):
            encoded = processor(clips, do_sample_frames=False, max_frames=3)
            self.assertEqual(encoded["pixel_values_videos"].shape[1], 8)
            with pytest.warns(UserWarning, match="thinned to max_frames=3"):
                encoded = processor(clips, do_sample_frames=True, max_frames=3)
            self.assertEqual(encoded["pixel_values_videos"].shape[1], 3)
            self.assertEqual(processor(clips, source_fps=4, fps=3)["pixel_values_videos"].shape[1], 6)
            for name, value, instead in (("num_frames", 3, "max_frames"), ("video_metadata", [], "source_fps")):
                with self.assertRaisesRegex(ValueError, instead):
                    processor(clips, **{name: value})

    def test_call_numpy_4_channels(self):
        """Transparent frames are put on the background; the axis of the channels is found, not told."""
        processor, tester = SignXVideoProcessor(**self.video_processor_dict), self.video_processor_tester
        tester.num_channels = 4
        batch = tester.prepare_video_inputs(return_tensors="pil")
        for clips, count in ((batch[0], 1), (batch, tester.batch_size)):
            encoded = processor(clips, image_mean=0.0, image_std=1.0)["pixel_values_videos"]
            self.assert_expected_videos_shape(encoded, tester.expected_output_video_shape(clips), count)
        with self.assertRaisesRegex(ValueError, "input_data_format"):
            processor(batch, input_data_format="channels_last")

    def test_valid_kwargs_set(self):
        super().test_valid_kwargs_set()
        self.assertEqual(list(SignXVideoProcessor().valid_kwargs.__annotations__), list(_options_of_video()))


def _options_of_video():
    return [name for name in SignXVideoProcessor().to_dict() if name not in ("auto_map", "video_processor_type")]


class PoseTester:
    batch_size, min_seq_length, max_seq_length, seq_length_diff = 4, 5, 20, 5
    feature_size = sum(TRACKS.values())

    def prepare_feat_extract_dict(self):
        return {"track_dims": [[name, width] for name, width in TRACKS.items()], "fps": FPS}

    def prepare_inputs_for_common(self, equal_length=False, numpify=False):
        lengths = range(self.min_seq_length, self.max_seq_length + 1, self.seq_length_diff)
        rows = np.random.default_rng(0)
        clips = [
            rows.random((self.max_seq_length if equal_length else length, self.feature_size), np.float32)
            for length in lengths
        ]
        return clips if numpify else [clip.tolist() for clip in clips]


class TestSignXPoseFeatureExtractor(sequences.SequenceFeatureExtractionTestMixin, unittest.TestCase):
    feature_extraction_class = SignXPoseFeatureExtractor
    feat_extract_tester = PoseTester()

    def pad(self, **options):
        extractor = SignXPoseFeatureExtractor(**self.feat_extract_dict)
        clips = self.feat_extract_tester.prepare_inputs_for_common()
        masks = [np.ones((len(clip), len(TRACKS)), bool) for clip in clips]
        return extractor.pad(BatchFeature({"pose_values": clips, "pose_mask": masks}), return_tensors="np", **options)

    def test_attention_mask(self):
        """The mask of frames is `frame_mask`, always there; that of tracks is padded with it."""
        padded = self.pad(padding="longest")
        lengths = [5, 10, 15, 20]
        self.assertListEqual(padded["frame_mask"].sum(-1).tolist(), lengths)
        self.assertListEqual(padded["pose_mask"].sum(1).tolist(), [[length] * len(TRACKS) for length in lengths])
        asked = self.pad(padding="longest", return_attention_mask=True)
        np.testing.assert_array_equal(asked["attention_mask"], asked["frame_mask"])

    def test_attention_mask_with_truncation(self):
        padded = self.pad(padding="max_length", max_length=7, truncation=True)
        self.assertListEqual(padded["frame_mask"].sum(-1).tolist(), [5, 7, 7, 7])
        self.assertEqual(padded["pose_mask"].shape, (4, 7, len(TRACKS)))
        self.assertFalse(padded["pose_mask"][0, 5:].any())


class TestSignXTokenizer(tokenizers.TokenizerTesterMixin, backends.TokenizersBackendTesterMixin, unittest.TestCase):
    tokenizer_class = rust_tokenizer_class = SignXTokenizer
    test_tokenizer_from_extractor = False

    @classmethod
    def setUpClass(cls):
        # Not that of the mixin, which reads a file of the library's repository.
        cls.tmpdirname = tempfile.mkdtemp()
        cls.from_pretrained_id = [cls.tmpdirname]
        cls.tokenizers_list = [(SignXTokenizer, cls.tmpdirname, {})]
        make_tokenizer().save_pretrained(cls.tmpdirname)

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.tmpdirname, ignore_errors=True)

    def refuses(self, name, value):
        with self.assertRaisesRegex(SignXTokenError, "must have the ids 0 to 5"):
            self.get_tokenizer(**{name: value})

    def test_added_tokens_serialization(self):
        """The six special tokens keep their names, because a model was trained on their ids; others may be added."""
        self.refuses("eos_token", "[NEW_EOS]")
        tokenizer = self.get_tokenizer(cls_token="[CLS]")
        with tempfile.TemporaryDirectory() as folder:
            tokenizer.save_pretrained(folder)
            loaded = SignXTokenizer.from_pretrained(folder)
        self.assertEqual((loaded.cls_token, loaded.cls_token_id), ("[CLS]", len(make_tokenizer())))
        self.assertEqual(loaded.eos_token_id, 2)

    def test_bos_token_with_add_bos_token_true(self):
        self.refuses("bos_token", "<BOS>")

    def test_bos_token_with_add_bos_token_false(self):
        """The prompt of the task stands where other tokenizers put `<s>`."""
        tokenizer = self.get_tokenizer(add_bos_token=False)
        self.assertEqual(tokenizer("IX-1p")["input_ids"], make_tokenizer()("IX-1p")["input_ids"])

    def test_add_bos_token_without_bos_token(self):
        self.refuses("bos_token", None)

    def test_pad_token_initialization(self):
        self.refuses("pad_token", "[PAD]")

    def test_get_vocab(self):
        """A token that is no special one would be cut out of every gloss that contains it."""
        tokenizer = self.get_tokenizer()
        for _ in range(2):
            vocabulary = tokenizer.get_vocab()
            pieces = [tokenizer.convert_ids_to_tokens(i) for i in range(len(tokenizer))]
            self.assertEqual(pieces, sorted(vocabulary, key=vocabulary.get))
            with self.assertRaisesRegex(SignXTokenError, "cannot add 'asdf'"):
                tokenizer.add_tokens(["asdf"])
            tokenizer.add_tokens(["<asdf>"], special_tokens=True)

    def test_save_and_load_tokenizer(self):
        """As the test of the mixin, with special tokens only."""
        text = " He is very happy, UNwant\u00e9d,running"
        tokenizer = self.get_tokenizer(model_max_length=42)
        tokenizer.add_tokens(["<bim>", "<bambam>"], special_tokens=True)
        with tempfile.TemporaryDirectory() as folder:
            tokenizer.save_pretrained(folder)
            loaded = SignXTokenizer.from_pretrained(folder)
            longer = SignXTokenizer.from_pretrained(folder, model_max_length=43)
        self.assertEqual(loaded.encode(text), tokenizer.encode(text))
        self.assertDictEqual(loaded.get_vocab(), tokenizer.get_vocab())
        self.assertIn("<bim>", loaded.get_vocab())
        self.assertEqual(loaded.ctc_glosses, tokenizer.ctc_glosses)
        self.assertEqual((loaded.model_max_length, longer.model_max_length), (42, 43))

    def test_tokenize_special_tokens(self):
        """Special tokens exist as ids alone: a gloss that is spelled like one stays a gloss."""
        tokenizer = self.get_tokenizer()
        for text in ("[SPECIAL]", "</s>", "<gloss>"):
            tokenizer.add_tokens([text], special_tokens=True)
            self.assertGreater(len(tokenizer.tokenize(text)), 1)
            self.assertEqual(tokenizer.decode(tokenizer.encode(text), skip_special_tokens=True), text)

    def test_tokenizer_store_full_signature(self):
        """`tokenizer_object` is the backend itself, stored as tokenizer.json; the only other option is `ctc_glosses`."""
        self.assertEqual(set(self.get_tokenizer().init_kwargs["ctc_glosses"]), set(GLOSSES))

    def test_training_new_tokenizer(self):
        """Another trainer would lose the bytes and the CTC vocabulary; the message names the right one."""
        with self.assertRaisesRegex(SignXTokenError, "Use SignXTokenizer.train_from_iterator"):
            self.get_tokenizer().train_new_from_iterator([["a", "b"]], 600)

    test_training_new_tokenizer_with_special_tokens_change = test_training_new_tokenizer

    def test_integration(self):
        """Pieces of single bytes: each word spelled out, its last byte with the mark of an end."""
        words = self.integration_test_input_string.split()
        spelled = [[BYTE_SYMBOLS[byte] for byte in word.encode()] for word in words]
        tokenizer = SignXTokenizer.byte_level()
        self.integration_expected_tokens = [
            symbol for word in spelled for symbol in (*word[:-1], word[-1] + GLOSS_END)
        ]
        self.integration_expected_token_ids = [
            tokenizer.get_vocab()[token] for token in self.integration_expected_tokens
        ]
        self.integration_expected_decoded_text = " ".join(words)
        self._run_integration_checks(tokenizer, "byte level")

    def test_conversion_reversible(self):
        """Marked slow for large vocabularies; that of SignX is small."""
        super().test_conversion_reversible.__wrapped__(self)


def test_the_common_tests_are_those_that_transformers_has():
    """Each mixin brings tests, so a suite that became empty is noticed."""
    for case in (TestSignXProcessor, TestSignXVideoProcessor, TestSignXPoseFeatureExtractor, TestSignXTokenizer):
        assert sum(name.startswith("test_") for name in dir(case)) >= 10
