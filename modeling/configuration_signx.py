"""Configuration of the SignX-4 family (arXiv 2504.16315 v4).

Defaults are the paper's; `(choice)` marks what it leaves open.
"""

import math

from transformers import AutoConfig, PreTrainedConfig

from .checkpoint_signx import plain_error
from .pose_config_signx import SignXPoseConfig, SignXTemporalConfig
from .presets_signx import RESNET34, VIT_BASE, override, small_options, tiny_options
from .recognizer_config_signx import SignXClassifierConfig, SignXRecognizerConfig
from .strict_config_signx import StrictConfig
from .text_config_signx import SignXTextConfig

# Scores that separate known from unknown signs; the unbounded ones can be any number.
REJECTION_SCORES = ("probability", "margin", "logit", "energy", "share", "likelihood")
UNBOUNDED_SCORES = ("logit", "energy")

# More layers than any model has: building a model with extra zeros in its config would take hours. Lists are summed,
# so that, with the bound on kernels, the receptive field of dilated convolutions is bounded, too.
MAX_LAYERS = 1000
POOLINGS = ("mean", "attention", "convolution", "hybrid", "frame")
_LAYERS = (
    "num_hidden_layers", "encoder_layers", "num_lstm_layers", "depths", "pool_sizes", "dilations", "stem_layers",
    "num_blocks", "convolutions",
)  # fmt: skip

# The Auto class of each model class, and its tasks with their pipelines: written into config.json for
# trust_remote_code.
_TASKS = {
    "SignXForGlossRecognition": (
        "AutoModelForSeq2SeqLM",
        {
            "sign-recognition": "pipeline_signx.SignRecognitionPipeline",
            "sign-translation": "translation_pipeline_signx.SignTranslationPipeline",
        },
    ),
    "SignXForPose2Gloss": (
        "AutoModelForSeq2SeqLM",
        {
            "sign-recognition": "pipeline_signx.SignRecognitionPipeline",
            "sign-translation": "translation_pipeline_signx.SignTranslationPipeline",
        },
    ),
    "SignXForLatentCTC": ("AutoModelForCTC", {"sign-recognition": "pipeline_signx.SignRecognitionPipeline"}),
    "SignXForSignClassification": (
        "AutoModelForVideoClassification",
        {
            "isolated-sign-recognition": "isolated_pipeline_signx.IsolatedSignRecognitionPipeline",
            "sign-spotting": "spotting_pipeline_signx.SignSpottingPipeline",
        },
    ),
}  # fmt: skip


class SignXConfig(StrictConfig):
    """Configuration of every model of the SignX-4 family; `SignXConfig()` is the paper's model.

    Args:
        pose_config: dict or config of the pose path.
        vision_config: dict (with `model_type`) or config of any transformers vision backbone; `"vit-base"` is
            ViT-B/16, and None builds a model without video input.
        temporal_config: dict or config of the temporal transformer of the video path.
        frame_branch: dict or config of the RGB branch of the recognizer; `"resnet-34"` as in the paper, None for
            latents only (SignX-4, algorithm 2).
        recognizer_config: dict or config of the latent recognizer.
        text_config: dict or config of the text encoder and decoder.
        frame_branch_norm: `{"mean": [r, g, b], "std": [r, g, b]}`, by which the RGB branch normalizes the frames that
            the video processor has normalized for `vision_config`, once more: its published weights expect others
            (None: it reads them as they are).
        image_size: height and width of a frame in pixels.
        fps: frames per second of the input, which turn feature steps into seconds.
        ctc_vocab_size: number of glosses of the CTC heads, blank included.
        ctc_blank_id: id of the blank.
        text_weight: weight of the token cross-entropy (stages 1 and 4); a loss of weight 0 is not computed.
        word_weight: weight of the word matching loss (stage 1).
        ngram_weight: weight of the n-gram consistency loss (stage 1).
        contrast_weight: weight of the contrastive loss (stage 1).
        label_smoothing: label smoothing of the token cross-entropy.
        ngram_order: longest n-gram of the consistency loss (choice).
        contrast_temperature: tau of InfoNCE (choice).
        pose_weight: weight of `sum_i ||P_hat_i - P_i||^2` beside the latent MSE of stage 2 (SignX-1; 0 as in SignX-4).
        decoder_ctc_weight: weight of the CTC regularization of the encoder in stage 4 (choice).
        initializer_range: standard deviation of the learned track tokens; other weights are scaled by their fan-in.
        pooling: how `SignXForSignClassification` pools the latents of a clip into one vector. "mean"; "attention", a
            mean weighted by a learned score; "convolution", mean and maximum after TemporalConv (`recognizer_config`),
            which sees the order of movements (choice); "hybrid", convolutions and attention over time
            (`classifier_config`); "frame", the mean probability of separately classified frames (`classifier_config`),
            for static signs.
        spells: whether the signs are letters of a manual alphabet, which `signx-hf recognize` and `live` join to
            words; only with pooling "frame".
        classifier_smoothing: label smoothing of the cross-entropy of `SignXForSignClassification`.
        confidence_temperature: divides the logits from which gloss confidences are computed; fitted by `signx-hf
            calibrate`.
        segment_margins: seconds, 0 to 1 each, by which a gloss starts before and ends after its CTC steps, because CTC
            is confident in the middle of a sign. Fitted by `signx-hf calibrate` to clips with known times;
            `SignXStreamer` does not apply them.
        trained_tasks: what the decoder has learned, `gloss` and `text`, written by training (None: glosses alone).
        trained_entries: which of the inputs `poses` and `video` the model was trained on, written by training (None:
            unknown). Pipelines reject clips of the other kind, whose encoder would be random.
        trained_tracks: names of the pose tracks that the model was trained on, written by training (None: unknown).
            Pipelines hide other tracks and reject clips that have none of these.
        trained_from: published backbones that training started from, written by training: `vision_config` or
            `frame_branch` -> `name`, `revision` (commit on the Hub) and `sha256` of the weights.
        classifier_config: dict or config of the body of `SignXForSignClassification`.
        classifier_scale: factor of the cosines of a `SignXCosineClassifier`; None for a linear classifier.
        average_mirror: whether `SignXForSignClassification` on the track `hands` averages over a clip and its mirror
            image, so that left-handed signers are recognized equally well.
        spotting: options of `sign-spotting` by name that suit a model of isolated signs (None: defaults of
            `SpottingOptions`). Only if it is set, a saved config.json lists the task for `trust_remote_code`.
        rejection_score: score by which `SignXForSignClassification` separates known from unknown signs, computed over
            the signs of the vocabulary in use: "probability" of the best one; "margin" between the best two; "logit"
            of the best one; "energy", the log-sum-exp of their logits; "share" of their probability in that of all
            signs of the model; "likelihood" of the best one among all signs of the model.
        rejection_threshold: score below which the result is "not sure" (None: never); fitted by `signx-hf calibrate`,
            as is `rejection_score`. For sentences it applies to the mean confidence of the glosses.

        tie_word_embeddings: whether the decoder scores pieces with their embeddings; an option of `text_config`, where
            it is saved, that can be given here, too.

    Raises:
        ValueError: If an option is misspelled or a value is invalid.
    """

    model_type = "signx"
    sub_configs = {
        "pose_config": SignXPoseConfig,
        "vision_config": AutoConfig,
        "temporal_config": SignXTemporalConfig,
        "frame_branch": AutoConfig,
        "recognizer_config": SignXRecognizerConfig,
        "text_config": SignXTextConfig,
        "classifier_config": SignXClassifierConfig,
    }
    # Trainer does not gather these over an evaluation: only `logits` are predictions.
    keys_to_ignore_at_inference = [
        "losses", "cache", "past_key_values", "encoder_last_hidden_state", "ctc_logits", "aux_logits", "features",
        "feature_mask", "latents", "embedding", "frame_logits", "hidden_states", "attentions", "encoder_hidden_states",
        "encoder_attentions", "decoder_hidden_states", "decoder_attentions", "cross_attentions",
    ]  # fmt: skip
    # Names that generic transformers code reads: the latent is the hidden state.
    attribute_map = {"hidden_size": "latent_size", "vocab_size": "text_vocab_size"}

    def __init__(
        self,
        pose_config: dict | SignXPoseConfig | None = None,
        vision_config: dict | PreTrainedConfig | str | None = "vit-base",
        temporal_config: dict | SignXTemporalConfig | None = None,
        frame_branch: dict | PreTrainedConfig | str | None = "resnet-34",
        frame_branch_norm: dict[str, list[float]] | None = None,
        recognizer_config: dict | SignXRecognizerConfig | None = None,
        text_config: dict | SignXTextConfig | None = None,
        image_size: int = 224,
        fps: float = 30.0,
        ctc_vocab_size: int = 2001,
        ctc_blank_id: int = 0,
        text_weight: float = 1.0,
        word_weight: float = 1.0,
        ngram_weight: float = 0.6,
        contrast_weight: float = 1.0,
        label_smoothing: float = 0.1,
        ngram_order: int = 4,
        contrast_temperature: float = 0.07,
        pose_weight: float = 0.0,
        decoder_ctc_weight: float = 0.3,
        initializer_range: float = 0.02,
        pooling: str = "mean",
        spells: bool = False,
        classifier_smoothing: float = 0.0,
        confidence_temperature: float = 1.0,
        segment_margins: list[float] | tuple[float, float] = (0.0, 0.0),
        trained_entries: list[str] | None = None,
        trained_tasks: list[str] | None = None,
        trained_tracks: list[str] | None = None,
        trained_from: dict[str, dict] | None = None,
        classifier_config: dict | SignXClassifierConfig | None = None,
        classifier_scale: float | None = None,
        average_mirror: bool = False,
        spotting: dict | None = None,
        rejection_score: str = "probability",
        rejection_threshold: float | None = None,
        **kwargs,
    ):
        self.trained_entries = trained_entries
        self.trained_tasks = trained_tasks
        self.trained_from = trained_from
        self.trained_tracks = list(trained_tracks) if isinstance(trained_tracks, tuple) else trained_tracks
        self.rejection_score, self.rejection_threshold = rejection_score, rejection_threshold
        self.pose_config = self._part("pose_config", pose_config, SignXPoseConfig)
        self.temporal_config = self._part("temporal_config", temporal_config, SignXTemporalConfig)
        self.recognizer_config = self._part("recognizer_config", recognizer_config, SignXRecognizerConfig)
        self.text_config = self._part("text_config", text_config, SignXTextConfig)
        self.classifier_config = self._part("classifier_config", classifier_config, SignXClassifierConfig)
        self.vision_config = self._backbone("vision_config", vision_config, {"vit-base": VIT_BASE})
        self.frame_branch = self._backbone("frame_branch", frame_branch, {"resnet-34": RESNET34})
        self.frame_branch_norm = frame_branch_norm
        self.image_size = image_size
        self.fps = fps
        self.ctc_vocab_size = ctc_vocab_size
        self.ctc_blank_id = ctc_blank_id
        self.text_weight = text_weight
        self.word_weight = word_weight
        self.ngram_weight = ngram_weight
        self.contrast_weight = contrast_weight
        self.label_smoothing = label_smoothing
        self.ngram_order = ngram_order
        self.contrast_temperature = contrast_temperature
        self.pose_weight = pose_weight
        self.decoder_ctc_weight = decoder_ctc_weight
        self.initializer_range = initializer_range
        self.pooling = pooling
        self.spells = spells
        self.classifier_smoothing = classifier_smoothing
        self.classifier_scale = classifier_scale
        self.average_mirror = average_mirror
        self.spotting = spotting
        self.confidence_temperature = confidence_temperature
        self.segment_margins = list(segment_margins) if isinstance(segment_margins, tuple) else segment_margins
        kwargs["is_encoder_decoder"] = True
        if not type(self).__module__.startswith("transformers_modules."):
            # The installed package has its own pipelines; for these transformers would ask for trust_remote_code.
            kwargs.pop("custom_pipelines", None)
        self._check_ties(text_config, kwargs.get("tie_word_embeddings"))
        super().__init__(**kwargs)
        self._check()

    @staticmethod
    def _part(name: str, value, config_class: type):
        if value is None:
            return config_class()
        if isinstance(value, dict):
            given = value.get("model_type", config_class.model_type)
            if given != config_class.model_type:
                raise ValueError(
                    f"`SignXConfig.{name}` must have model type {config_class.model_type!r}, got {given!r}."
                )
            return config_class(**value)
        if getattr(value, "model_type", None) != config_class.model_type:
            raise ValueError(
                f"`SignXConfig.{name}` must be a dict or a {config_class.__name__}, got a {type(value).__name__}."
            )
        return value

    @staticmethod
    def _backbone(name: str, value, named: dict[str, dict]):
        if value is None:
            return None
        if isinstance(value, str):
            if value not in named:
                raise ValueError(
                    f"`SignXConfig.{name}` must be {', '.join(map(repr, named))}, None, a dict with 'model_type' or a "
                    f"transformers config, got {value!r}."
                )
            value = named[value]
        if isinstance(value, dict):
            if "model_type" not in value:
                raise ValueError(f"`SignXConfig.{name}` must have a 'model_type', as in {{'model_type': 'vit', ...}}.")
            return AutoConfig.for_model(**value)
        if not isinstance(value, PreTrainedConfig):
            raise ValueError(
                f"`SignXConfig.{name}` must be a transformers config or a dict, got a {type(value).__name__}."
            )
        return value

    @staticmethod
    def _check_ties(text_config: dict | SignXTextConfig | None, tied: bool | None) -> None:
        """Refuse two answers to the same question, in the config and in its text part."""
        of_text = text_config.get("tie_word_embeddings") if isinstance(text_config, dict) else None
        if tied is not None and of_text is not None and tied != of_text:
            raise ValueError(
                "`SignXConfig.tie_word_embeddings` must be that of `text_config`, got "
                f"{tied!r} and {of_text!r}. Set only one of them."
            )

    def _check(self) -> None:
        self._check_integers(1, "image_size", "ngram_order", "ctc_vocab_size")  # 1: the blank alone, without glosses
        self._check_integers(0, "ctc_blank_id")
        self._check_numbers(1e-3, 1e3, "fps")
        self._check_numbers(0.0, 1e6, "text_weight", "word_weight", "ngram_weight", "contrast_weight", "pose_weight")
        self._check_numbers(0.0, 1e6, "decoder_ctc_weight", "initializer_range")
        self._check_numbers(0.0, 0.99, "label_smoothing", "classifier_smoothing")
        self._check_numbers(0.01, 100.0, "confidence_temperature")
        self._check_numbers(1e-4, 1e3, "contrast_temperature")
        if self.ctc_blank_id >= self.ctc_vocab_size:
            raise ValueError(
                f"`SignXConfig.ctc_blank_id` must be below ctc_vocab_size={self.ctc_vocab_size}, got "
                f"ctc_blank_id={self.ctc_blank_id}."
            )
        self._check_margins()
        self._check_classification()
        self._check_rejection()
        self._check_training_notes()
        self._check_body()
        self._check_layers()
        self._check_frame_branch_norm()
        self._check_gloss_pieces()
        self._check_image_sizes()

    def _check_classification(self) -> None:
        """Check the options of `SignXForSignClassification`."""
        self.check_problem_type()
        if self.classifier_scale is not None:
            self._check_numbers(0.01, 1000.0, "classifier_scale")
        mirror, has_hands = self.average_mirror, "hands" in self.pose_config.track_dims
        if not isinstance(mirror, bool) or (mirror and not has_hands):
            raise ValueError(
                "`SignXConfig.average_mirror` must be True or False, and False without the track hands, got "
                f"{mirror!r}."
            )
        if self.spotting is not None and not isinstance(self.spotting, dict):
            raise ValueError(f"`SignXConfig.spotting` must be a dict of options or None, got {self.spotting!r:.80}.")
        if self.pooling not in POOLINGS:
            raise ValueError(
                f"`SignXConfig.pooling` must be one of {', '.join(map(repr, POOLINGS))}, got {self.pooling!r}."
            )
        if not isinstance(self.spells, bool) or (self.spells and self.pooling != "frame"):
            raise ValueError(
                "`SignXConfig.spells` must be True or False, and False unless pooling is 'frame', got "
                f"{self.spells!r} with pooling {self.pooling!r}. Set pooling to 'frame'."
            )

    def check_problem_type(self) -> None:
        """Refuse what the classifier does not compute.

        Raises:
            ValueError: If `problem_type` is another than one sign per clip.
        """
        if self.problem_type not in (None, "single_label_classification"):
            raise ValueError(
                "`SignXConfig.problem_type` must be None or 'single_label_classification', one sign per clip, got "
                f"{self.problem_type!r}. For several signs in a clip use SignXForLatentCTC or sign-spotting."
            )

    def _check_training_notes(self) -> None:
        """Check what training writes about the inputs of the model."""
        tasks = self.trained_tasks
        if tasks is not None and (not isinstance(tasks, list) or not tasks or {*tasks} - {"gloss", "text"}):
            raise ValueError(
                f"`SignXConfig.trained_tasks` must be a list of 'gloss' and 'text', or None, got {tasks!r}."
            )
        origins = self.trained_from
        if origins is not None and (not isinstance(origins, dict) or {*origins} - {"vision_config", "frame_branch"}):
            raise ValueError(
                "`SignXConfig.trained_from` must be a dict of 'vision_config' and 'frame_branch', or None, got "
                f"{origins!r:.80}."
            )
        entries = self.trained_entries
        if entries is not None and (not isinstance(entries, list) or not set(entries) <= {"poses", "video"}):
            raise ValueError(
                f"`SignXConfig.trained_entries` must be a list of 'poses' and 'video', or None, got {entries!r}."
            )
        tracks, known = self.trained_tracks, self.pose_config.track_dims
        if tracks is not None and (not isinstance(tracks, list) or not all(name in known for name in tracks)):
            raise ValueError(
                "`SignXConfig.trained_tracks` must be a list of names of pose_config.track_dims "
                f"({', '.join(known)}), or None, got {tracks!r}."
            )

    def _check_frame_branch_norm(self) -> None:
        norm = self.frame_branch_norm
        if norm is None:
            return
        rows = [norm.get("mean"), norm.get("std")] if isinstance(norm, dict) and len(norm) == 2 else [None]
        numbers = all(
            isinstance(row, (list, tuple))
            and len(row) == 3
            and all(type(value) in (int, float) and math.isfinite(value) for value in row)
            for row in rows
        )
        if not numbers or min(rows[1]) <= 0:
            raise ValueError(
                "`SignXConfig.frame_branch_norm` must be None or {'mean': three numbers, 'std': three numbers above "
                f"0}}, got {norm!r:.80}."
            )

    def _check_gloss_pieces(self) -> None:
        pieces, vocab_size = self.text_config.gloss_pieces, self.text_config.vocab_size
        if pieces is None:
            return
        if len(pieces) != self.ctc_vocab_size:
            raise ValueError(
                "`text_config.gloss_pieces` must have one list of piece ids for each of "
                f"ctc_vocab_size={self.ctc_vocab_size} ids, got {len(pieces)}. Use tokenizer.gloss_piece_ids()."
            )
        if any(not 0 <= piece < vocab_size for word in pieces for piece in word):
            raise ValueError(
                f"`text_config.gloss_pieces` must have piece ids below vocab_size={vocab_size}. Tokenizer and "
                "config do not match."
            )

    def _check_image_sizes(self) -> None:
        """Compare `image_size` with the backbones that cut a frame into a fixed grid of patches."""
        for name in ("vision_config", "frame_branch"):
            backbone = getattr(self, name)
            size = getattr(backbone, "image_size", None)
            if isinstance(size, (list, tuple)):
                size = size[0]
            patched = hasattr(backbone, "patch_size") and backbone.model_type in ("vit", "deit", "vit_mae")
            if patched and size != self.image_size:
                raise ValueError(
                    f"`SignXConfig.image_size` must be that of the backbone, got image_size={self.image_size} but "
                    f"{name}.image_size={size}."
                )

    def _check_rejection(self) -> None:
        score, threshold = self.rejection_score, self.rejection_threshold
        if not isinstance(score, str) or score not in REJECTION_SCORES:
            raise ValueError(
                f"`SignXConfig.rejection_score` must be one of {', '.join(REJECTION_SCORES)}, got {score!r}."
            )
        if threshold is None:
            return
        bounded = score not in UNBOUNDED_SCORES
        is_number = type(threshold) in (int, float) and math.isfinite(threshold)
        if not is_number or (bounded and not 0 <= threshold <= 1):
            domain = "a number from 0 to 1" if bounded else "a finite number"
            raise ValueError(
                f"`SignXConfig.rejection_threshold` must be None or {domain} for rejection_score {score!r}, got "
                f"{threshold!r}."
            )

    def _check_margins(self) -> None:
        margins = self.segment_margins
        numbers = isinstance(margins, list) and all(
            type(value) in (int, float) and 0 <= value <= 1 for value in margins
        )
        if not numbers or len(margins) != 2:
            raise ValueError(
                f"`SignXConfig.segment_margins` must be two numbers of seconds from 0 to 1, got {margins!r}."
            )

    def _check_body(self) -> None:
        recognizer, size = self.recognizer_config, self.classifier_config.hidden_size
        if recognizer.body != "hybrid":
            return
        if recognizer.feature_size != size or recognizer.pool_sizes != [2] or recognizer.dilations:
            raise ValueError(
                f"`SignXConfig.recognizer_config` with body='hybrid' must have feature_size={size} "
                f"(classifier_config.hidden_size), pool_sizes=[2] and no dilations, got {recognizer.feature_size}, "
                f"{recognizer.pool_sizes} and {recognizer.dilations}."
            )
        if self.frame_branch is not None:
            raise ValueError("`SignXConfig.frame_branch` must be None with recognizer_config.body='hybrid'.")

    def _check_layers(self) -> None:
        """Reject depths that would take hours to build. Backbones are left to transformers, which has no limit."""
        for name in self.sub_configs:
            for option in _LAYERS:
                value = getattr(getattr(self, name), option, None)
                layers = sum(value) if isinstance(value, (list, tuple)) else value
                if layers is not None and layers > MAX_LAYERS:
                    verb = "sum to" if isinstance(value, (list, tuple)) else "be"
                    raise ValueError(
                        f"`SignXConfig.{name}.{option}` must {verb} at most {MAX_LAYERS}, got {value!r:.80}."
                    )

    @classmethod
    def from_dict(cls, config_dict, **kwargs):
        """Build the config from saved options, with any error as a ValueError of one line.

        Raises:
            ValueError: If a value is invalid. Unknown options have no effect; a warning names them.
        """
        try:
            return super().from_dict(config_dict, **kwargs)
        except Exception as error:  # transformers raises all kinds from its own checks
            name = kwargs.get("name_or_path") or config_dict.get("_name_or_path") or cls.__name__
            plain = plain_error(name, error)
            if plain is error:
                raise
            raise plain from error

    @classmethod
    def get_config_dict(cls, pretrained_model_name_or_path, **kwargs) -> tuple[dict, dict]:
        """Read config.json as transformers does, but reject the config of another model, for which it only warns.

        Raises:
            ValueError: If the config has another model type.
        """
        options, unused = super().get_config_dict(pretrained_model_name_or_path, **kwargs)
        model_type = options.get("model_type")
        if options and model_type != cls.model_type:
            raise ValueError(
                f"{pretrained_model_name_or_path}: `model_type` in config.json must be {cls.model_type!r}, got "
                f"{model_type!r}. Pass the folder or Hub name of a SignX model."
            )
        return options, unused

    def save_pretrained(self, save_directory, **kwargs) -> None:
        """Save the config with the pipelines and the base model that `trust_remote_code` needs.

        transformers writes only the saved class into `auto_map`, and pipelines only in `Pipeline.save_pretrained`.
        """
        architecture = (self.architectures or [None])[0]
        auto_map = getattr(self, "auto_map", None)
        if self._auto_class is None or architecture not in _TASKS or not auto_map:
            return super().save_pretrained(save_directory, **kwargs)
        auto_class, pipelines = _TASKS[architecture]
        before = getattr(self, "custom_pipelines", None)
        self.custom_pipelines = dict(before or {})
        for task, impl in pipelines.items():
            # transformers infers no task from several ones, and classifiers are for clips of one sign. So spotting is
            # listed only if the model has been fitted to it.
            if task == "sign-spotting" and self.spotting is None:
                continue
            learned = self.trained_tasks or ["gloss"]
            if (task == "sign-translation" and "text" not in learned) or (
                task == "sign-recognition" and learned == ["text"]
            ):
                continue
            # An entry from the Hub reads "user/name--pipeline_signx...", but the code is saved here, too.
            if self.custom_pipelines.get(task, {}).get("impl", impl).split("--")[-1] == impl:
                self.custom_pipelines[task] = {"impl": impl, "pt": [auto_class], "type": "multimodal", "default": None}
        # without the class of an earlier stage, which this config was loaded from
        others = {name for name, _ in _TASKS.values()} - {auto_class}
        own = {name: code for name, code in auto_map.items() if name not in others}
        self.auto_map = {**own, "AutoModel": "encoders_signx.SignXModel"}
        try:
            return super().save_pretrained(save_directory, **kwargs)
        finally:
            self.auto_map = auto_map
            if before is None:
                del self.custom_pipelines
            else:
                self.custom_pipelines = before

    def _of_text(name: str) -> property:  # noqa: N805  a helper of the class body
        """Expose an option of the decoder where generic transformers code (Trainer) reads and sets it."""
        return property(
            lambda self: getattr(self.text_config, name), lambda self, value: setattr(self.text_config, name, value)
        )

    pad_token_id = _of_text("pad_token_id")
    bos_token_id = _of_text("bos_token_id")
    eos_token_id = _of_text("eos_token_id")
    decoder_start_token_id = _of_text("decoder_start_token_id")
    tie_word_embeddings = _of_text("tie_word_embeddings")

    @property
    def latent_size(self) -> int:
        """Return the width of the latents."""
        return self.pose_config.latent_size

    @property
    def text_vocab_size(self) -> int:
        """Return the number of BPE pieces of the decoder."""
        return self.text_config.vocab_size

    @text_vocab_size.setter
    def text_vocab_size(self, value: int) -> None:
        self.text_config.vocab_size = value

    @classmethod
    def base(cls, **overrides) -> "SignXConfig":
        """Build the paper's model: ViT-B/16, ResNet-34 (42 GFLOP per frame), 2048-d latents, 6 + 6 text layers."""
        return cls(**overrides)

    @classmethod
    def small(cls, **overrides) -> "SignXConfig":
        """Build a student: thin ResNet-18 at 160 px (1 GFLOP per frame), 512-d latents, no RGB branch.

        A dict for `pose_config`, `temporal_config`, `recognizer_config` or `text_config` replaces only the options
        that it names.
        """
        return cls(**override(small_options(), overrides))

    @classmethod
    def tiny(cls, **overrides) -> "SignXConfig":
        """Build a student for laptops: thin ResNet-18 at 112 px (0.2 GFLOP per frame), 192-d latents, no RGB branch.

        A dict for `pose_config`, `temporal_config`, `recognizer_config` or `text_config` replaces only the options
        that it names.
        """
        return cls(**override(tiny_options(), overrides))
