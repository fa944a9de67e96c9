"""Configurations of what makes the latents: the pose path and the temporal transformer of the video path."""

from .strict_config_signx import StrictConfig

# The five pose tracks of the paper, in its order (SignX-4, section 3.1; 165 + 384 + 258 + 576 + 576 = 1959).
PAPER_TRACK_DIMS = {"smplerx": 165, "dwpose": 384, "mediapipe": 258, "primedepth": 576, "sapiens": 576}


class SignXPoseConfig(StrictConfig):
    """Configuration of the pose path: track encoders, fusion, PadMatch and ViT layers (SignX-4, section 3.1).

    Args:
        track_dims: ordered `{track name: width}` with any names and widths; by default the five tracks of the paper.
        track_hidden_size: `d_h`, width of the type encoders (choice).
        fusion_heads: number of heads of the attention over the tracks of one frame (choice).
        track_dropout: probability of hiding an observed track from a training clip; at least one track remains.
        latent_size: width of the pose-rich latent `z` (2048 in the paper).
        num_hidden_layers: number of ViT layers over time (choice).
        num_attention_heads: number of heads of each ViT layer (choice).
        intermediate_size: width of the MLP of each ViT layer (choice).
        dropout: dropout of every residual branch.
        track_names: names of `track_dims`. A saved config has `track_names` and `track_sizes` instead of `track_dims`,
            because JSON written by transformers sorts the keys of a dict, and the order of tracks is the order of the
            numbers in `pose_values`.
        track_sizes: widths of `track_dims`; goes with `track_names`.
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
                raise ValueError("`SignXPoseConfig.track_names` and `track_sizes` go together, got only one of them.")
            if track_names is not None and len(track_names) != len(track_sizes):
                raise ValueError(
                    "`SignXPoseConfig.track_names` and `track_sizes` must have the same length, got "
                    f"{len(track_names)} and {len(track_sizes)}."
                )
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
            raise ValueError("`SignXPoseConfig.track_dims` must have at least one track, such as {'mediapipe': 258}.")
        for name, size in zip(self.track_names, self.track_sizes):
            if (
                not isinstance(name, str)
                or not name
                or isinstance(size, bool)
                or not isinstance(size, int)
                or size < 1
            ):
                raise ValueError(
                    f"`SignXPoseConfig.track_dims` must map names to positive widths, got {name!r}: {size!r}."
                )
        self._check_integers(1, "track_hidden_size", "fusion_heads", "latent_size", "num_attention_heads")
        self._check_integers(1, "intermediate_size")
        self._check_integers(0, "num_hidden_layers")
        self._check_numbers(0.0, 0.99, "track_dropout", "dropout")
        self._check_divisible("track_hidden_size", "fusion_heads")
        self._check_divisible("latent_size", "num_attention_heads")

    @property
    def track_dims(self) -> dict[str, int]:
        """Return `{track name: width}` in the order of the numbers in `pose_values`."""
        return dict(zip(self.track_names, self.track_sizes))

    @property
    def pose_size(self) -> int:
        """Return D, the width of `pose_values` (1959 for the five tracks of the paper)."""
        return sum(self.track_sizes)


class SignXTemporalConfig(StrictConfig):
    """Configuration of the temporal transformer between vision backbone and pose path (SignX-4, section 3.1, stage 2).

    Args:
        hidden_size: width of the layers (768, as the frame features of ViT-B); other backbone widths are projected to
            it.
        num_hidden_layers: number of layers (choice).
        num_attention_heads: number of heads of each layer (choice).
        intermediate_size: width of the MLP of each layer (choice).
        dropout: dropout of every residual branch.
        frames_per_chunk: number of frames that go through the vision backbone at once. It bounds memory and changes no
            result, except that a backbone with BatchNorm takes its training statistics from one chunk.
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
