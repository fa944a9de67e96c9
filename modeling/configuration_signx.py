"""Configuration of the SignX-4 family (arXiv 2504.16315 v4). Defaults are the paper's; `(choice)` marks what it leaves open."""

import math

from transformers import AutoConfig, PreTrainedConfig

from .checkpoint_signx import plain_error
from .strict_config_signx import StrictConfig

# The five pose tracks of the paper, in its order (SignX-4, section 3.1; 165 + 384 + 258 + 576 + 576 = 1959).
PAPER_TRACK_DIMS = {"smplerx": 165, "dwpose": 384, "mediapipe": 258, "primedepth": 576, "sapiens": 576}

# What tells a sign that a model knows from others; those that are no shares can be any number.
REJECTION_SCORES = ("probability", "margin", "logit", "energy", "share", "likelihood")
UNBOUNDED_SCORES = ("logit", "energy")

# More layers than any model has: a typing error of some zeros would be built for hours. Lists are summed; with the bound on kernels
# this bounds how far dilated convolutions read, too.
MAX_LAYERS = 1000
MAX_KERNEL = 99
POOLINGS = ("mean", "attention", "convolution", "hybrid", "frame")
_LAYERS = (
    "num_hidden_layers", "encoder_layers", "num_lstm_layers", "depths", "pool_sizes", "dilations", "stem_layers", "num_blocks",
    "convolutions",
)  # fmt: skip


class SignXPoseConfig(StrictConfig):
    """The pose path: track encoders, fusion, PadMatch and the ViT layers that make the latent (SignX-4, section 3.1).

    Args:
        track_dims: ordered `{track name: width}`; any names and widths. The five tracks of the paper by default.
        track_hidden_size: `d_h` of the type encoders (choice).
        fusion_heads: heads of the attention over tracks within one frame (choice).
        track_dropout: probability with which an observed track is hidden from a training clip; one track always stays.
        latent_size: width of the pose-rich latent `z` (2048 in the paper).
        num_hidden_layers, num_attention_heads, intermediate_size: the ViT layers over time (choice: 4, 16, 4096).
        dropout: dropout of every residual branch.
        track_names, track_sizes: how `track_dims` is stored (JSON written by transformers sorts the keys of a dict, and
            the order of tracks is the order of the numbers in `pose_values`). Give `track_dims` or these two.
    """

    model_type = "signx_pose"
    base_config_key = "pose_config"
    attribute_map = {"hidden_size": "latent_size"}

    def __init__(
        self,
        track_dims: dict[str, int] | None = None,
        track_hidden_size: int = 512,
        fusion_heads: int = 8,
        track_dropout: float = 0.0,
        latent_size: int = 2048,
        num_hidden_layers: int = 4,
        num_attention_heads: int = 16,
        intermediate_size: int = 4096,
        dropout: float = 0.1,
        track_names: list[str] | None = None,
        track_sizes: list[int] | None = None,
        **kwargs,
    ):
        if track_dims is None:
            if (track_names is None) != (track_sizes is None):
                raise ValueError("SignXPoseConfig: track_names and track_sizes go together; found only one of them")
            if track_names is not None and len(track_names) != len(track_sizes):
                raise ValueError(f"SignXPoseConfig: {len(track_names)} track_names but {len(track_sizes)} track_sizes")
            track_dims = PAPER_TRACK_DIMS if track_names is None else dict(zip(track_names, track_sizes))
        self.track_names = list(track_dims)
        self.track_sizes = list(track_dims.values())
        self.track_hidden_size = track_hidden_size
        self.fusion_heads = fusion_heads
        self.track_dropout = track_dropout
        self.latent_size = latent_size
        self.num_hidden_layers = num_hidden_layers
        self.num_attention_heads = num_attention_heads
        self.intermediate_size = intermediate_size
        self.dropout = dropout
        super().__init__(**kwargs)
        if not self.track_names:
            raise ValueError("SignXPoseConfig.track_dims is empty: wanted at least one track, e.g. {'mediapipe': 258}")
        for name, size in zip(self.track_names, self.track_sizes):
            if (
                not isinstance(name, str)
                or not name
                or isinstance(size, bool)
                or not isinstance(size, int)
                or size < 1
            ):
                raise ValueError(
                    f"SignXPoseConfig.track_dims holds {name!r}: {size!r}: wanted a name and a width >= 1"
                )
        self._check_integers(1, "track_hidden_size", "fusion_heads", "latent_size", "num_attention_heads")
        self._check_integers(1, "intermediate_size")
        self._check_integers(0, "num_hidden_layers")
        self._check_numbers(0.0, 0.99, "track_dropout", "dropout")
        self._check_divisible("track_hidden_size", "fusion_heads")
        self._check_divisible("latent_size", "num_attention_heads")

    @property
    def track_dims(self) -> dict[str, int]:
        """`{track name: width}` in the order of the numbers in `pose_values`."""
        return dict(zip(self.track_names, self.track_sizes))

    @property
    def pose_size(self) -> int:
        """D, the width of `pose_values` (1959 for the five tracks of the paper)."""
        return sum(self.track_sizes)


class SignXTemporalConfig(StrictConfig):
    """The temporal transformer between the vision backbone and the pose path (SignX-4, section 3.1, stage 2).

    Args:
        hidden_size: width of its layers (768: the frame features of ViT-B). Another backbone width is projected to it.
        num_hidden_layers, num_attention_heads, intermediate_size: (choice: 2, 12, 3072).
        dropout: dropout of every residual branch.
        frames_per_chunk: frames that go through the vision backbone at once; bounds memory and changes no result, but that
            in training a backbone with BatchNorm takes its statistics from one chunk.
    """

    model_type = "signx_temporal"
    base_config_key = "temporal_config"

    def __init__(
        self,
        hidden_size: int = 768,
        num_hidden_layers: int = 2,
        num_attention_heads: int = 12,
        intermediate_size: int = 3072,
        dropout: float = 0.1,
        frames_per_chunk: int = 64,
        **kwargs,
    ):
        self.hidden_size = hidden_size
        self.num_hidden_layers = num_hidden_layers
        self.num_attention_heads = num_attention_heads
        self.intermediate_size = intermediate_size
        self.dropout = dropout
        self.frames_per_chunk = frames_per_chunk
        super().__init__(**kwargs)
        self._check_integers(1, "hidden_size", "num_attention_heads", "intermediate_size", "frames_per_chunk")
        self._check_integers(0, "num_hidden_layers")
        self._check_numbers(0.0, 0.99, "dropout")
        self._check_divisible("hidden_size", "num_attention_heads")


class SignXRecognizerConfig(StrictConfig):
    """The latent recogniser of stage 3 (SignX-4, section 3.2): compilation of latents, mixer, TemporalConv, BiLSTM, CTC.

    Args:
        hidden_size: width of the mixer (512, the ResNet-34 features).
        feature_size: width of TemporalConv and BiLSTM outputs (1024).
        kernel_size: kernel of each temporal convolution (5, choice; odd, at most 99).
        pool_sizes: one convolution and one max pooling per entry; `[2, 2]` gives `T' = ceil(ceil(T / 2) / 2)`.
        dilations: one residual convolution after the poolings per entry, its taps that many steps apart (choice: none); with kernels
            of 5 [1, 2, 4] adds 14 steps on either side, so that a step sees a whole sign (see `reach`). Times are then less local,
            and live recognition has to wait longer. Fixed once trained.
        body: what reads the latents over time: "convolution", the paper's TemporalConv after whitening, or "hybrid", the body of
            `classifier_config` (choice), which a model of isolated signs may have trained; then `feature_size` is its `hidden_size` and
            `pool_sizes` are [2].
        num_lstm_layers: 2.
        dropout: dropout of the convolutions and between LSTM layers (choice).
        whitening_gamma: gamma of `z_t <- z_t - gamma c_t`; 0 turns whitening off (choice: 0.1).
        frame_drop_rate: rho, the share of frames hidden in training (choice: 0.1).
        variance_threshold: tau, latent dimensions whose variance falls under it are pruned on request (choice: 1e-4).
        ctc_weight, aux_ctc_weight, kd_weight: weights of the sequence CTC, the auxiliary CTC on TemporalConv, and
            `KL(student || teacher)`; 0 turns a part off.
        kd_temperature: softens both distributions of the distillation (choice: 1).
        alignment_weight: weight of the gloss alignment `a_t`, cross-entropy of the auxiliary logits against glosses with known
            times, for corpora that have them (choice: 0).
        zero_infinity: let infeasible clips count as zero loss instead of an error that names them.
    """

    model_type = "signx_recognizer"
    base_config_key = "recognizer_config"

    def __init__(
        self,
        hidden_size: int = 512,
        feature_size: int = 1024,
        kernel_size: int = 5,
        pool_sizes: list[int] | tuple[int, ...] = (2, 2),
        num_lstm_layers: int = 2,
        dropout: float = 0.1,
        whitening_gamma: float = 0.1,
        frame_drop_rate: float = 0.1,
        variance_threshold: float = 1e-4,
        ctc_weight: float = 1.0,
        aux_ctc_weight: float = 1.0,
        kd_weight: float = 1.0,
        kd_temperature: float = 1.0,
        alignment_weight: float = 0.0,
        zero_infinity: bool = False,
        dilations: list[int] | tuple[int, ...] = (),
        body: str = "convolution",
        **kwargs,
    ):
        self.hidden_size = hidden_size
        self.feature_size = feature_size
        self.kernel_size = kernel_size
        self.pool_sizes = pool_sizes
        self.dilations = dilations
        self.body = body
        self.num_lstm_layers = num_lstm_layers
        self.dropout = dropout
        self.whitening_gamma = whitening_gamma
        self.frame_drop_rate = frame_drop_rate
        self.variance_threshold = variance_threshold
        self.ctc_weight = ctc_weight
        self.aux_ctc_weight = aux_ctc_weight
        self.kd_weight = kd_weight
        self.kd_temperature = kd_temperature
        self.alignment_weight = alignment_weight
        self.zero_infinity = zero_infinity
        super().__init__(**kwargs)
        if body not in ("convolution", "hybrid"):
            raise ValueError(f"`SignXRecognizerConfig.body` must be 'convolution' or 'hybrid', got {body!r}")
        self._check_integers(1, "hidden_size", "feature_size", "kernel_size", "num_lstm_layers")
        self._check_numbers(0.0, 0.99, "dropout", "frame_drop_rate")
        self._check_numbers(0.0, 1e6, "whitening_gamma", "variance_threshold", "ctc_weight", "aux_ctc_weight")
        self._check_numbers(0.0, 1e6, "kd_weight", "alignment_weight")
        self._check_numbers(1e-3, 1e3, "kd_temperature")
        if not self.kernel_size % 2 or self.kernel_size > MAX_KERNEL:
            raise ValueError(
                f"SignXRecognizerConfig.kernel_size is {kernel_size}: wanted an odd number up to {MAX_KERNEL}, to keep time centred"
            )
        self._check_integer_list("[2, 2]", "pool_sizes")
        self._check_integer_list("[1, 2, 4], or [] for none", "dilations")
        if not self.pool_sizes:
            raise ValueError("SignXRecognizerConfig.pool_sizes is []: wanted integers >= 1, e.g. [2, 2]")
        if self.feature_size % 2:
            raise ValueError(
                f"SignXRecognizerConfig.feature_size is {feature_size}: wanted an even number, half for each direction"
            )

    @property
    def stride(self) -> int:
        """Frames per feature step (4 for `pool_sizes=[2, 2]`)."""
        stride = 1
        for pool in self.pool_sizes:
            stride *= pool
        return stride

    @property
    def reach(self) -> int:
        """Frames before and after its own that a step of TemporalConv sees: 6 by default, 62 with `dilations=[1, 2, 4]`."""
        half, frames, stride = self.kernel_size // 2, 0, 1
        for pool in self.pool_sizes:
            frames += half * stride
            stride *= pool
        return frames + half * stride * sum(self.dilations)


class SignXTextConfig(StrictConfig):
    """Encoder and decoder of stage 4, and the codebook decoder of stage 1 (SignX-4, sections 3.1 and 3.2).

    Args:
        vocab_size: BPE pieces of the decoder, special tokens included.
        hidden_size, encoder_layers, num_hidden_layers: 256, 6 and 6 (the paper's refinement model).
        num_attention_heads, intermediate_size: (choice: 4, 1024).
        dropout: dropout of every residual branch.
        max_length: longest target (64 in the paper).
        pad_token_id, bos_token_id, eos_token_id, decoder_start_token_id: special pieces.
        gloss_token_id, text_token_id: prompts that choose the task; labels start with one of them.
        gloss_pieces: for each id of the CTC vocabulary the piece ids that spell it (blank: empty); joint scoring needs it.
    """

    model_type = "signx_text"
    base_config_key = "text_config"

    def __init__(
        self,
        vocab_size: int = 4096,
        hidden_size: int = 256,
        encoder_layers: int = 6,
        num_hidden_layers: int = 6,
        num_attention_heads: int = 4,
        intermediate_size: int = 1024,
        dropout: float = 0.1,
        max_length: int = 64,
        pad_token_id: int = 0,
        bos_token_id: int = 1,
        eos_token_id: int = 2,
        decoder_start_token_id: int = 1,
        gloss_token_id: int = 4,
        text_token_id: int = 5,
        gloss_pieces: list[list[int]] | None = None,
        **kwargs,
    ):
        self.vocab_size = vocab_size
        self.hidden_size = hidden_size
        self.encoder_layers = encoder_layers
        self.num_hidden_layers = num_hidden_layers
        self.num_attention_heads = num_attention_heads
        self.intermediate_size = intermediate_size
        self.dropout = dropout
        self.max_length = max_length
        self.gloss_pieces = gloss_pieces
        kwargs.setdefault("tie_word_embeddings", True)
        kwargs["is_encoder_decoder"] = True
        super().__init__(**kwargs)
        # After super().__init__, which drops what it takes for generation parameters.
        self.pad_token_id = pad_token_id
        self.bos_token_id = bos_token_id
        self.eos_token_id = eos_token_id
        self.decoder_start_token_id = decoder_start_token_id
        self.gloss_token_id = gloss_token_id
        self.text_token_id = text_token_id
        self._check_integers(1, "vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads")
        self._check_integers(1, "intermediate_size", "max_length")
        self._check_integers(0, "encoder_layers")
        self._check_numbers(0.0, 0.99, "dropout")
        self._check_divisible("hidden_size", "num_attention_heads")
        for name in ("pad", "bos", "eos", "decoder_start", "gloss", "text"):
            value = getattr(self, f"{name}_token_id")
            if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < self.vocab_size:
                raise ValueError(
                    f"SignXTextConfig.{name}_token_id is {value!r} with vocab_size={vocab_size}: wanted 0 to {vocab_size - 1}"
                )


class SignXClassifierConfig(StrictConfig):
    """The body of `SignXForSignClassification` with `pooling="hybrid"` or `"frame"` (choice; no paper of SignX has it).

    Args:
        hidden_size: width of its layers (256).
        kernel_size: of its convolutions over time (3; odd, at most 99).
        stem_layers: convolutions before the pooling by two (2); with "frame", which has none of the options below but the last two, its
            layers.
        num_blocks: blocks of convolutions and one attention layer after it (2).
        convolutions: convolutions of a block (2).
        num_attention_heads, intermediate_size: of the attention layers (4, 512).
        drop_path_rate: probability with which a residual branch is left out for a training clip (0.1).
        dropout: of the vector before the classifier (0.3).
    """

    model_type = "signx_classifier"
    base_config_key = "classifier_config"

    def __init__(
        self,
        hidden_size: int = 256,
        kernel_size: int = 3,
        stem_layers: int = 2,
        num_blocks: int = 2,
        convolutions: int = 2,
        num_attention_heads: int = 4,
        intermediate_size: int = 512,
        drop_path_rate: float = 0.1,
        dropout: float = 0.3,
        **kwargs,
    ):
        self.hidden_size = hidden_size
        self.kernel_size = kernel_size
        self.stem_layers = stem_layers
        self.num_blocks = num_blocks
        self.convolutions = convolutions
        self.num_attention_heads = num_attention_heads
        self.intermediate_size = intermediate_size
        self.drop_path_rate = drop_path_rate
        self.dropout = dropout
        super().__init__(**kwargs)
        self._check_integers(1, "hidden_size", "kernel_size", "num_attention_heads", "intermediate_size")
        self._check_integers(0, "stem_layers", "num_blocks", "convolutions")
        self._check_numbers(0.0, 0.99, "drop_path_rate", "dropout")
        self._check_divisible("hidden_size", "num_attention_heads")
        if not self.kernel_size % 2 or self.kernel_size > MAX_KERNEL:
            raise ValueError(
                f"`SignXClassifierConfig.kernel_size` must be an odd number up to {MAX_KERNEL}, got {kernel_size}"
            )


def _resnet(hidden_sizes: list[int], depths: list[int], image_size: int) -> dict:
    """A basic-block ResNet of transformers, which keeps no `image_size` of its own; SignXConfig.image_size does."""
    return {
        "model_type": "resnet",
        "layer_type": "basic",
        "embedding_size": hidden_sizes[0],
        "hidden_sizes": hidden_sizes,
        "depths": depths,
    }


PARTS = ("pose_config", "temporal_config", "recognizer_config", "text_config", "classifier_config")


def _override(options: dict, overrides: dict) -> dict:
    """A preset with what the caller wants otherwise; a dict for a part changes only the options it names."""
    merged = {**options, **overrides}
    for part, value in overrides.items():
        if part in PARTS and isinstance(value, dict):
            merged[part] = {**options.get(part, {}), **value}
    return merged


# What runs a saved model: Auto class, and tasks with their pipeline classes; written into config.json for trust_remote_code.
_TASKS = {
    "SignXForGlossRecognition": (
        "AutoModelForSeq2SeqLM", {"sign-recognition": "pipeline_signx.SignRecognitionPipeline"}
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

_VIT_BASE = {"model_type": "vit"}  # transformers' default ViT is ViT-B/16 at 224
_RESNET34 = _resnet([64, 128, 256, 512], [3, 4, 6, 3], 224)


class SignXConfig(StrictConfig):
    """Configuration of every model of the SignX-4 family; `SignXConfig()` is the paper's model.

    Args:
        pose_config, temporal_config, recognizer_config, text_config, classifier_config: dict or config of the parts.
        vision_config: dict (with `model_type`) or config of any transformers vision backbone; `"vit-base"` is ViT-B/16,
            `None` builds a model without the video entry.
        frame_branch: dict or config of the RGB branch of the recogniser; `"resnet-34"` as in the paper, `None` for
            latent-only inference (SignX-4, algorithm 2).
        image_size: height and width of a frame in pixels.
        fps: frames per second of the input (30), used to turn feature steps into seconds.
        ctc_vocab_size, ctc_blank_id: whole-gloss vocabulary of the CTC heads, blank included.
        text_weight, word_weight, ngram_weight, contrast_weight: stage-1 losses (1, 1, 0.6, 1); 0 turns a part off.
        label_smoothing: of the token cross-entropy (0.1).
        ngram_order: longest n-gram of the consistency loss (4, choice).
        contrast_temperature: tau of InfoNCE (0.07, choice).
        pose_weight: stage 2, weight of `sum_i ||P_hat_i - P_i||^2` beside the latent MSE (SignX-1; 0: off as in SignX-4).
        decoder_ctc_weight: stage 4, CTC regularisation of the encoder (0.3, choice).
        pooling: how `SignXForSignClassification` makes one vector of the latents of a clip: their "mean"; "attention", a mean
            weighted by a learned score of each latent; "convolution", mean and maximum after the recogniser's TemporalConv
            (`recognizer_config`), which sees the order of movements (choice); "hybrid", convolutions and attention over time
            (`classifier_config`); "frame": each frame is classified by itself, and a clip has the mean of their probabilities
            (`classifier_config`), for signs that are held still.
        spells: whether the signs are letters of a manual alphabet, which `signx-hf recognize` and `live` join to words (False). Only with
            pooling "frame".
        classifier_smoothing: label smoothing of its cross-entropy (0).
        average_mirror: whether `SignXForSignClassification` on the track `hands` is asked about the mirror image, too, and the mean of both
            counts (False): left-handed signers are then read like others.
        spotting: options of `sign-spotting` that suit a model of isolated signs, by name (None: the defaults of `SpottingOptions`). Only
            where they are set is the task written into a saved config.json for `trust_remote_code`.
        classifier_scale: None for a linear classifier; a number for one that compares angles (`SignXCosineClassifier`), by which
            cosines are multiplied.
        confidence_temperature: divides the logits that confidences of glosses come from (1); `signx-hf calibrate` fits it.
        segment_margins: seconds that glosses begin before and end after the steps that CTC gives them, 0 to 1 each ((0, 0)): CTC is
            sure in the middle of a sign. `signx-hf calibrate` fits them to clips with known times; `SignXStreamer` leaves them out.
        trained_entries: which of `poses` and `video` the model was trained on, as training writes it (None: unknown). Pipelines
            refuse clips of the other: its entry would be random.
        trained_tracks: names of the pose tracks that the model was trained on, as training writes it (None: unknown). Pipelines leave
            others out, and refuse clips that have none of these.
        rejection_score: number by which `SignXForSignClassification` tells a sign that it knows from others, of the signs that an answer may
            be: "probability" of the best one; "margin" of the best two; "logit" of the best; "energy", the log-sum-exp of their logits;
            "share" of them in the probability of all signs of the model; "likelihood" of the best one among all signs of the model.
        rejection_threshold: below it the answer is "not sure"; None, the default: never. `signx-hf calibrate` fits both. Of sentences it is
            the mean confidence of the glosses that is compared with it.
        initializer_range: standard deviation of the learned track tokens; other weights are scaled by their fan-in.
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
    # What Trainer need not collect over a whole evaluation: only `logits` are predictions.
    keys_to_ignore_at_inference = [
        "losses", "cache", "past_key_values", "encoder_last_hidden_state", "ctc_logits", "aux_logits", "features", "feature_mask",
        "latents", "embedding", "frame_logits",
    ]  # fmt: skip
    # What generic transformers code asks of a model: the latent is its hidden state.
    attribute_map = {"hidden_size": "latent_size", "vocab_size": "text_vocab_size"}

    def __init__(
        self,
        pose_config: dict | SignXPoseConfig | None = None,
        vision_config: dict | PreTrainedConfig | str | None = "vit-base",
        temporal_config: dict | SignXTemporalConfig | None = None,
        frame_branch: dict | PreTrainedConfig | str | None = "resnet-34",
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
        trained_tracks: list[str] | None = None,
        classifier_config: dict | SignXClassifierConfig | None = None,
        classifier_scale: float | None = None,
        average_mirror: bool = False,
        spotting: dict | None = None,
        rejection_score: str = "probability",
        rejection_threshold: float | None = None,
        **kwargs,
    ):
        self.trained_entries = trained_entries
        self.trained_tracks = list(trained_tracks) if isinstance(trained_tracks, tuple) else trained_tracks
        self.rejection_score, self.rejection_threshold = rejection_score, rejection_threshold
        self.pose_config = self._part("pose_config", pose_config, SignXPoseConfig)
        self.temporal_config = self._part("temporal_config", temporal_config, SignXTemporalConfig)
        self.recognizer_config = self._part("recognizer_config", recognizer_config, SignXRecognizerConfig)
        self.text_config = self._part("text_config", text_config, SignXTextConfig)
        self.classifier_config = self._part("classifier_config", classifier_config, SignXClassifierConfig)
        self.vision_config = self._backbone("vision_config", vision_config, {"vit-base": _VIT_BASE})
        self.frame_branch = self._backbone("frame_branch", frame_branch, {"resnet-34": _RESNET34})
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
            # Where this package is installed its own pipelines serve; transformers would ask for trust_remote_code.
            kwargs.pop("custom_pipelines", None)
        super().__init__(**kwargs)
        self.tie_word_embeddings = self.text_config.tie_word_embeddings
        self._check()

    @staticmethod
    def _part(name: str, value, config_class: type):
        if value is None:
            return config_class()
        if isinstance(value, dict):
            given = value.get("model_type", config_class.model_type)
            if given != config_class.model_type:
                raise ValueError(f"SignXConfig.{name} is of model type {given!r}: wanted {config_class.model_type!r}")
            return config_class(**value)
        if getattr(value, "model_type", None) != config_class.model_type:
            raise ValueError(
                f"SignXConfig.{name} is a {type(value).__name__}: wanted a dict or {config_class.__name__}"
            )
        return value

    @staticmethod
    def _backbone(name: str, value, named: dict[str, dict]):
        if value is None:
            return None
        if isinstance(value, str):
            if value not in named:
                raise ValueError(
                    f"SignXConfig.{name} is {value!r}: wanted {', '.join(map(repr, named))}, None, a dict with 'model_type' "
                    "or a transformers config"
                )
            value = named[value]
        if isinstance(value, dict):
            if "model_type" not in value:
                raise ValueError(f"SignXConfig.{name} has no 'model_type': wanted e.g. {{'model_type': 'vit', ...}}")
            return AutoConfig.for_model(**value)
        if not isinstance(value, PreTrainedConfig):
            raise ValueError(f"SignXConfig.{name} is a {type(value).__name__}: wanted a transformers config or a dict")
        return value

    def _check(self) -> None:
        self._check_integers(1, "image_size", "ngram_order")
        self._check_integers(2, "ctc_vocab_size")
        self._check_integers(0, "ctc_blank_id")
        self._check_numbers(1e-3, 1e3, "fps")
        self._check_numbers(0.0, 1e6, "text_weight", "word_weight", "ngram_weight", "contrast_weight", "pose_weight")
        self._check_numbers(0.0, 1e6, "decoder_ctc_weight", "initializer_range")
        self._check_numbers(0.0, 0.99, "label_smoothing", "classifier_smoothing")
        self._check_numbers(0.01, 100.0, "confidence_temperature")
        if self.classifier_scale is not None:
            self._check_numbers(0.01, 1000.0, "classifier_scale")
        if (
            not isinstance(self.average_mirror, bool)
            or self.average_mirror
            and "hands" not in self.pose_config.track_dims
        ):
            raise ValueError(
                f"`SignXConfig.average_mirror` must be True or False, and False without the track hands, got {self.average_mirror!r}"
            )
        self._check_margins()
        self._check_rejection()
        self._check_body()
        if self.spotting is not None and not isinstance(self.spotting, dict):
            raise ValueError(f"`SignXConfig.spotting` must be options by name or None, got {self.spotting!r:.80}")
        entries = self.trained_entries
        if entries is not None and (not isinstance(entries, list) or not set(entries) <= {"poses", "video"}):
            raise ValueError(
                f"SignXConfig.trained_entries is {entries!r}: wanted a list of 'poses' and 'video', or None"
            )
        tracks, known = self.trained_tracks, self.pose_config.track_dims
        if tracks is not None and (not isinstance(tracks, list) or not all(name in known for name in tracks)):
            raise ValueError(
                f"SignXConfig.trained_tracks must be a list of names of pose_config.track_dims ({', '.join(known)}), or None, got {tracks!r}"
            )
        if self.pooling not in POOLINGS:
            raise ValueError(
                f"`SignXConfig.pooling` must be one of {', '.join(map(repr, POOLINGS))}, got {self.pooling!r}"
            )
        if not isinstance(self.spells, bool) or self.spells and self.pooling != "frame":
            raise ValueError(
                f"`SignXConfig.spells` must be True or False, and False unless pooling is 'frame', got {self.spells!r} with pooling "
                f"{self.pooling!r}. Set pooling to 'frame'."
            )
        self._check_numbers(1e-4, 1e3, "contrast_temperature")
        self._check_layers()
        if self.ctc_blank_id >= self.ctc_vocab_size:
            raise ValueError(
                f"SignXConfig.ctc_blank_id={self.ctc_blank_id} is outside the CTC vocabulary of ctc_vocab_size={self.ctc_vocab_size}"
            )
        pieces = self.text_config.gloss_pieces
        if pieces is not None and len(pieces) != self.ctc_vocab_size:
            raise ValueError(
                f"text_config.gloss_pieces spells {len(pieces)} glosses but ctc_vocab_size={self.ctc_vocab_size}: wanted one "
                "list of piece ids for each id of the CTC vocabulary, as tokenizer.gloss_piece_ids() gives"
            )
        if pieces is not None and any(not 0 <= i < self.text_config.vocab_size for word in pieces for i in word):
            raise ValueError(
                f"text_config.gloss_pieces holds a piece id outside vocab_size={self.text_config.vocab_size}: tokenizer and "
                "config do not belong together"
            )
        for name in ("vision_config", "frame_branch"):
            backbone = getattr(self, name)
            expected = getattr(backbone, "image_size", None)
            if isinstance(expected, (list, tuple)):
                expected = expected[0]
            patched = hasattr(backbone, "patch_size") and backbone.model_type in ("vit", "deit", "vit_mae")
            if patched and expected != self.image_size:
                raise ValueError(f"SignXConfig.image_size={self.image_size} but {name}.image_size={expected}")

    def _check_rejection(self) -> None:
        score, threshold = self.rejection_score, self.rejection_threshold
        if not isinstance(score, str) or score not in REJECTION_SCORES:
            raise ValueError(
                f"SignXConfig.rejection_score must be one of {', '.join(REJECTION_SCORES)}, got {score!r}"
            )
        if threshold is None:
            return
        bounded = score not in UNBOUNDED_SCORES
        is_number = type(threshold) in (int, float) and math.isfinite(threshold)
        if not is_number or (bounded and not 0 <= threshold <= 1):
            domain = "a number from 0 to 1" if bounded else "a finite number"
            raise ValueError(
                f"SignXConfig.rejection_threshold must be None or {domain} for rejection_score {score!r}, got {threshold!r}"
            )

    def _check_margins(self) -> None:
        margins = self.segment_margins
        numbers = isinstance(margins, list) and all(
            type(value) in (int, float) and 0 <= value <= 1 for value in margins
        )
        if not numbers or len(margins) != 2:
            raise ValueError(f"SignXConfig.segment_margins is {margins!r}: wanted two numbers of seconds from 0 to 1")

    def _check_body(self) -> None:
        recognizer, size = self.recognizer_config, self.classifier_config.hidden_size
        if recognizer.body != "hybrid":
            return
        if recognizer.feature_size != size or recognizer.pool_sizes != [2] or recognizer.dilations:
            raise ValueError(
                f"`SignXConfig.recognizer_config` with body='hybrid' must have feature_size={size} (classifier_config.hidden_size), pool_sizes=[2] "
                f"and no dilations, got {recognizer.feature_size}, {recognizer.pool_sizes} and {recognizer.dilations}"
            )
        if self.frame_branch is not None:
            raise ValueError("`SignXConfig.frame_branch` must be None with recognizer_config.body='hybrid'")

    def _check_layers(self) -> None:
        """Refuses depths that would be built for hours; those of backbones are the library's, which has no limit."""
        for name in self.sub_configs:
            for option in _LAYERS:
                value = getattr(getattr(self, name), option, None)
                layers = sum(value) if isinstance(value, (list, tuple)) else value
                if layers is not None and layers > MAX_LAYERS:
                    total = f" in all, found {layers}" if isinstance(value, (list, tuple)) else ""
                    raise ValueError(
                        f"SignXConfig.{name}.{option} is {value!r:.80}: wanted at most {MAX_LAYERS}{total}"
                    )

    @classmethod
    def from_dict(cls, config_dict, **kwargs):
        """As in the library, whose own checks of types raise what is no ValueError, and on several lines.

        Raises:
            ValueError: an option that does not exist, or is out of its domain.
        """
        try:
            return super().from_dict(config_dict, **kwargs)
        except Exception as error:
            raise plain_error(kwargs.get("name_or_path") or config_dict.get("_name_or_path") or cls.__name__, error)  # noqa: B904

    @classmethod
    def get_config_dict(cls, pretrained_model_name_or_path, **kwargs) -> tuple[dict, dict]:
        """As in the library, which lets the config of another model pass with a warning.

        Raises:
            ValueError: a config of another model type.
        """
        options, unused = super().get_config_dict(pretrained_model_name_or_path, **kwargs)
        found = options.get("model_type")
        if options and found != cls.model_type:
            raise ValueError(
                f"{pretrained_model_name_or_path}: config.json is of model type {found!r}: wanted {cls.model_type!r}; give a "
                "folder or Hub name that a SignX model was saved to"
            )
        return options, unused

    def save_pretrained(self, save_directory, **kwargs) -> None:
        """Also writes which pipeline and which base model serve a saved model that is loaded with `trust_remote_code`.

        transformers writes only the class that was saved into `auto_map`, and pipelines only through `Pipeline.save_pretrained`.
        """
        architecture = (self.architectures or [None])[0]
        auto_map = getattr(self, "auto_map", None)
        if self._auto_class is None or architecture not in _TASKS or not auto_map:
            return super().save_pretrained(save_directory, **kwargs)
        auto_class, pipelines = _TASKS[architecture]
        before = getattr(self, "custom_pipelines", None)
        self.custom_pipelines = dict(before or {})
        for task, impl in pipelines.items():
            # Of several tasks transformers infers none, and a clip of one sign is what a classifier is for: it says that it finds
            # signs in longer recordings, too, where it has been fitted to that.
            if task == "sign-spotting" and self.spotting is None:
                continue
            # An entry of ours is written anew: one of the Hub reads "user/name--pipeline_signx...", but the code is saved here too.
            if self.custom_pipelines.get(task, {}).get("impl", impl).split("--")[-1] == impl:
                self.custom_pipelines[task] = {"impl": impl, "pt": [auto_class], "type": "multimodal", "default": None}
        self.auto_map = {**auto_map, "AutoModel": "encoders_signx.SignXModel"}
        try:
            return super().save_pretrained(save_directory, **kwargs)
        finally:
            self.auto_map = auto_map
            if before is None:
                del self.custom_pipelines
            else:
                self.custom_pipelines = before

    def _of_text(name: str) -> property:  # noqa: N805  a helper of the class body
        """A special piece of the decoder under the name that generic transformers code (Trainer) reads and sets."""
        return property(
            lambda self: getattr(self.text_config, name), lambda self, value: setattr(self.text_config, name, value)
        )

    pad_token_id = _of_text("pad_token_id")
    bos_token_id = _of_text("bos_token_id")
    eos_token_id = _of_text("eos_token_id")
    decoder_start_token_id = _of_text("decoder_start_token_id")

    @property
    def latent_size(self) -> int:
        return self.pose_config.latent_size

    @property
    def text_vocab_size(self) -> int:
        return self.text_config.vocab_size

    @text_vocab_size.setter
    def text_vocab_size(self, value: int) -> None:
        self.text_config.vocab_size = value

    @classmethod
    def base(cls, **overrides) -> "SignXConfig":
        """The paper: ViT-B/16 and ResNet-34 (about 42 GFLOP a frame), 2048-d latents, 6 + 6 layers of 256."""
        return cls(**overrides)

    @classmethod
    def small(cls, **overrides) -> "SignXConfig":
        """A student: a thin ResNet-18 at 160 px (about 1 GFLOP a frame), 512-d latents, no RGB branch.

        A dict for `pose_config`, `temporal_config`, `recognizer_config` or `text_config` changes only what it names.
        """
        options = {
            "image_size": 160,
            "vision_config": _resnet([48, 96, 192, 384], [2, 2, 2, 2], 160),
            "frame_branch": None,
            "pose_config": {
                "track_hidden_size": 128, "fusion_heads": 4, "latent_size": 512,
                "num_hidden_layers": 3, "num_attention_heads": 8, "intermediate_size": 1024,
            },
            "temporal_config": {"hidden_size": 256, "num_attention_heads": 4, "intermediate_size": 512},
            "recognizer_config": {"hidden_size": 256, "feature_size": 512},
            "text_config": {"encoder_layers": 3, "num_hidden_layers": 3, "intermediate_size": 512},
        }  # fmt: skip
        return cls(**_override(options, overrides))

    @classmethod
    def tiny(cls, **overrides) -> "SignXConfig":
        """A student for laptops: a thin ResNet-18 at 112 px (about 0.2 GFLOP a frame), 192-d latents, no RGB branch.

        A dict for `pose_config`, `temporal_config`, `recognizer_config` or `text_config` changes only what it names.
        """
        options = {
            "image_size": 112,
            "vision_config": _resnet([32, 64, 128, 160], [2, 2, 2, 1], 112),
            "frame_branch": None,
            "pose_config": {
                "track_hidden_size": 64, "fusion_heads": 4, "latent_size": 192,
                "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 384,
            },
            "temporal_config": {
                "hidden_size": 192, "num_hidden_layers": 1, "num_attention_heads": 4, "intermediate_size": 384,
            },
            "recognizer_config": {"hidden_size": 128, "feature_size": 192},
            "text_config": {
                "vocab_size": 1024, "hidden_size": 128, "encoder_layers": 2, "num_hidden_layers": 2,
                "num_attention_heads": 4, "intermediate_size": 256,
            },
            "ctc_vocab_size": 501,
        }  # fmt: skip
        return cls(**_override(options, overrides))
