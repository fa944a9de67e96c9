"""Configurations of what reads the latents over time: recognizer of sentences, classifier of single signs."""

from .strict_config_signx import StrictConfig

MAX_KERNEL = 99


class SignXRecognizerConfig(StrictConfig):
    """Configuration of the latent recognizer of stage 3 (SignX-4, section 3.2).

    Args:
        hidden_size: width of the mixer (512, as the ResNet-34 features).
        feature_size: width of the TemporalConv and BiLSTM outputs (1024).
        kernel_size: kernel of each temporal convolution, odd and at most 99 (choice).
        pool_sizes: one convolution and one max pooling per entry; `[2, 2]` gives `T' = ceil(ceil(T / 2) / 2)`.
        num_lstm_layers: number of BiLSTM layers.
        dropout: dropout of the convolutions and between LSTM layers (choice).
        whitening_gamma: gamma of `z_t <- z_t - gamma c_t`; 0 turns whitening off (choice).
        frame_drop_rate: rho, the share of frames that are hidden in training (choice).
        variance_threshold: tau; latent dimensions with less variance are pruned on request (choice).
        ctc_weight: weight of the sequence CTC; a part of weight 0 is not computed.
        aux_ctc_weight: weight of the auxiliary CTC on TemporalConv.
        kd_weight: weight of the distillation `KL(student || teacher)`.
        student_ctc_weight: weight of the CTC on latents alone in a model with an RGB branch; None: `ctc_weight`.
        teacher_ctc_weight: weight of the CTC on the RGB branch alone (choice); None: `ctc_weight`, and 0 if
            `kd_weight` is 0, because the branch then teaches nothing.
        kd_temperature: temperature of both distributions of the distillation (choice).
        alignment_weight: weight of the gloss alignment `a_t`, the cross-entropy of the auxiliary logits against
            glosses with known times, for corpora that have them (choice).
        zero_infinity: whether infeasible clips count as zero loss instead of raising an error that names them.
        dilations: one residual convolution per entry after the poolings, its taps that many steps apart (choice:
            none). With kernels of 5, `[1, 2, 4]` adds 14 steps on either side, so that the receptive field covers a
            sign (see `reach`). Times are then less local, and live recognition waits longer. Cannot change after
            training.
        body: module that reads the latents over time: "convolution", the paper's TemporalConv after whitening, or
            "hybrid", the body of `classifier_config` (choice), possibly trained on isolated signs; `feature_size` must
            then be its `hidden_size`, and `pool_sizes` must be `[2]`.
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
        student_ctc_weight: float | None = None,
        teacher_ctc_weight: float | None = None,
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
        self.student_ctc_weight = student_ctc_weight
        self.teacher_ctc_weight = teacher_ctc_weight
        self.alignment_weight = alignment_weight
        self.zero_infinity = zero_infinity
        super().__init__(**kwargs)
        if body not in ("convolution", "hybrid"):
            raise ValueError(f"`SignXRecognizerConfig.body` must be 'convolution' or 'hybrid', got {body!r}.")
        self._check_integers(1, "hidden_size", "feature_size", "kernel_size", "num_lstm_layers")
        self._check_numbers(0.0, 0.99, "dropout", "frame_drop_rate")
        self._check_numbers(0.0, 1e6, "whitening_gamma", "variance_threshold", "ctc_weight", "aux_ctc_weight")
        self._check_numbers(0.0, 1e6, "kd_weight", "alignment_weight")
        branches = ("student_ctc_weight", "teacher_ctc_weight")
        self._check_numbers(0.0, 1e6, *(name for name in branches if getattr(self, name) is not None))
        self._check_numbers(1e-3, 1e3, "kd_temperature")
        if not self.kernel_size % 2 or self.kernel_size > MAX_KERNEL:
            raise ValueError(
                f"`SignXRecognizerConfig.kernel_size` must be an odd number up to {MAX_KERNEL}, got {kernel_size}."
            )
        self._check_integer_list("[2, 2]", "pool_sizes")
        self._check_integer_list("[1, 2, 4], or [] for none", "dilations")
        if not self.pool_sizes:
            raise ValueError(
                "`SignXRecognizerConfig.pool_sizes` must have at least one entry, such as [2, 2], got []."
            )
        if self.feature_size % 2:
            raise ValueError(
                f"`SignXRecognizerConfig.feature_size` must be even, half for each direction, got {feature_size}."
            )

    def loss_weight(self, part: str) -> float:
        """Return the weight of a part of the loss of stage 3, such as `teacher_ctc`."""
        weight = getattr(self, f"{part}_weight")
        if weight is None:
            return self.ctc_weight if part == "student_ctc" or self.kd_weight else 0.0
        return weight

    @property
    def stride(self) -> int:
        """Return the number of frames per feature step (4 for `pool_sizes=[2, 2]`)."""
        stride = 1
        for pool in self.pool_sizes:
            stride *= pool
        return stride

    @property
    def reach(self) -> int:
        """Return the receptive field of a TemporalConv step to either side, in frames.

        It is 6 by default and 62 with `dilations=[1, 2, 4]`.
        """
        half, frames, stride = self.kernel_size // 2, 0, 1
        for pool in self.pool_sizes:
            frames += half * stride
            stride *= pool
        return frames + half * stride * sum(self.dilations)


class SignXClassifierConfig(StrictConfig):
    """Configuration of the body of `SignXForSignClassification` with `pooling="hybrid"` or `"frame"` (choice).

    Args:
        hidden_size: width of the layers.
        kernel_size: kernel of the convolutions over time, odd and at most 99.
        stem_layers: number of convolutions before the pooling by two. With "frame" it is the number of layers, and of
            the options below only `drop_path_rate` and `dropout` are used.
        num_blocks: number of blocks after the pooling; a block has convolutions and one attention layer.
        convolutions: number of convolutions of a block.
        num_attention_heads: number of heads of each attention layer.
        intermediate_size: width of the MLP of each attention layer.
        drop_path_rate: probability of dropping a residual branch for a training clip.
        dropout: dropout of the vector before the classifier.
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
                f"`SignXClassifierConfig.kernel_size` must be an odd number up to {MAX_KERNEL}, got {kernel_size}."
            )
