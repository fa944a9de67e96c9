"""The latent recognizer of stage 3 (SignX-4, section 3.2) and the frame encoder.

Legend: B batch, T frames, T' steps.
"""

from typing import Any

import torch
from torch import nn
from transformers import AutoModel

from .configuration_signx import SignXConfig
from .hybrid_signx import SignXHybridEncoder
from .layers_signx import length_mask
from .losses_signx import drop_frames, whiten_latents
from .recognizer_config_signx import SignXRecognizerConfig


def has_attention(model) -> bool:
    """Return whether a transformers model or class has a choice of attention kernels."""
    kinds = ("_supports_sdpa", "_supports_flash_attn", "_supports_flex_attn", "_supports_attention_backend")
    return any(getattr(model, kind, False) for kind in kinds)


def build_backbone(config) -> nn.Module:
    """Build any transformers vision backbone, without the pooling layer of its classifier where that is optional."""
    model_class = AutoModel._model_mapping.get(type(config), None)
    if model_class is not None and not has_attention(model_class):
        # attn_implementation="sdpa" of the model is passed to convolutional backbones, too, which reject it.
        config._attn_implementation = "eager"
    try:
        return AutoModel.from_config(config, add_pooling_layer=False)
    except TypeError:  # convolutional backbones have no such option
        return AutoModel.from_config(config)


class SignXFrameEncoder(nn.Module):
    """A transformers vision backbone as frame encoder: `[n, 3, H, W]` frames to `[n, C]` features.

    The feature is the class token of a vision transformer, or the mean of its patches without one, and the pooled map
    of a convolutional network.

    Args:
        config: of the backbone.
        image_size: height and width of a frame.
        norm: mean and standard deviation of each channel that frames are normalized by, once more; None: not at all.
    """

    def __init__(self, config, image_size: int, norm: dict[str, list[float]] | None = None):
        super().__init__()
        self.norm = norm
        self.backbone = build_backbone(config)
        self.has_class_token = any(name.endswith("cls_token") for name, _ in self.backbone.named_parameters())
        self.feature_size = self._find_feature_size(config, image_size)
        # In this memory format the gradient of a strided 1 x 1 convolution writes out of bounds if it has fewer
        # channels than a vector register holds: 8 with AVX2, 16 with AVX-512 (oneDNN of torch 2.13).
        shortcuts = (
            part for part in self.backbone.modules() if isinstance(part, nn.Conv2d) and part.kernel_size == (1, 1)
        )
        self.channels_last = all(part.in_channels >= 16 for part in shortcuts if part.stride != (1, 1))

    def _find_feature_size(self, config, image_size: int) -> int:
        if getattr(config, "hidden_sizes", None):
            return config.hidden_sizes[-1]
        if isinstance(getattr(config, "hidden_size", None), int):
            return config.hidden_size
        with torch.device("meta"):  # no common attribute: find the size without computing
            probe = build_backbone(config).eval()
            frames = torch.empty(1, 3, image_size, image_size)
        return self._pool(probe(frames)).shape[-1]

    def _pool(self, outputs) -> torch.Tensor:
        hidden = outputs.last_hidden_state
        if hidden.ndim == 4:
            pooled = getattr(outputs, "pooler_output", None)
            return hidden.mean((2, 3)) if pooled is None else pooled.flatten(1)
        return hidden[:, 0] if self.has_class_token else hidden.mean(1)

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        """Encode frames `[n, 3, H, W]` to features `[n, C]`."""
        if self.norm is not None:
            mean, std = (frames.new_tensor(self.norm[name]).view(3, 1, 1) for name in ("mean", "std"))
            frames = (frames - mean) / std
        if frames.device.type == "cpu" and self.channels_last:
            # The same values in a memory format in which convolution and pooling of a ResNet take 0.7 of the time.
            frames = frames.contiguous(memory_format=torch.channels_last)
        return self._pool(self.backbone(pixel_values=frames))

    def encode_clips(self, pixel_values_videos: torch.Tensor, mask: torch.Tensor, chunk: int) -> torch.Tensor:
        """Encode the true frames of `[B, T, 3, H, W]` to `[B, T, C]`, `chunk` at a time; other frames are zero."""
        # Chunk by chunk, because pixel_values_videos[mask] would copy the full batch.
        indices = mask.nonzero().split(chunk)
        features = torch.cat([self(pixel_values_videos[part[:, 0], part[:, 1]]) for part in indices])
        clips = features.new_zeros(*mask.shape, features.shape[-1])
        clips[mask] = features
        return clips


class SignXLatentCompiler(nn.Module):
    """Compilation of latents: LayerNorm, whitening, frame drop, pruning of dimensions (SignX-4, section 3.2)."""

    def __init__(self, latent_size: int, config: SignXRecognizerConfig):
        super().__init__()
        self.norm = nn.LayerNorm(latent_size)
        self.gamma = config.whitening_gamma
        self.frame_drop_rate = config.frame_drop_rate
        # A buffer, so that the checkpoint stores which dimensions are pruned.
        self.keep = nn.Buffer(torch.ones(latent_size))

    def forward(self, latents: torch.Tensor, mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Compile latents `[B, T, C]`; return them, zero outside the mask `[B, T]`, and the mask after frame drop."""
        latents = whiten_latents(self.norm(latents), mask, self.gamma)
        if self.training:
            mask = drop_frames(mask, self.frame_drop_rate)
        return latents * self.keep.to(latents.dtype) * mask.unsqueeze(-1), mask


class SignXDilatedConv(nn.Module):
    """A residual convolution over time with taps `dilation` steps apart: `[B, T, F]` to `[B, T, F]`, nonnegative.

    The residual block of temporal convolutional networks (Bai et al. 2018, arXiv 1803.01271, figure 1), except that
    (choice) it is not causal, a layer on each step replaces the second convolution, and LayerNorm replaces weight
    normalization.
    """

    def __init__(self, size: int, kernel_size: int, dilation: int, dropout: float):
        super().__init__()
        self.convolution = nn.Conv1d(size, size, kernel_size, padding=dilation * (kernel_size // 2), dilation=dilation)
        self.norm = nn.LayerNorm(size)
        self.projection = nn.Linear(size, size)
        self.dropout = dropout

    def forward(self, hidden_states: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
        """Apply the block to `[B, T, F]`; steps where `valid` `[B, T, 1]` is false have no influence."""
        change = self.convolution((hidden_states * valid).transpose(1, 2)).transpose(1, 2)
        change = self.projection(nn.functional.gelu(self.norm(change)))
        change = nn.functional.dropout(change, p=self.dropout, training=self.training)
        return nn.functional.relu(hidden_states + change)


class SignXTemporalConv(nn.Module):
    """Convolutions over time, each followed by max pooling: `[B, T, C]` to `[B, T', F]`, `T' = ceil(ceil(T / 2) / 2)`.

    `config.dilations` adds residual convolutions after them; the paper has none. LayerNorm replaces the BatchNorm of
    the literature (choice), so that a step does not depend on the other clips of the batch.
    """

    def __init__(self, config: SignXRecognizerConfig):
        super().__init__()
        sizes = [config.hidden_size] + [config.feature_size] * len(config.pool_sizes)
        self.pool_sizes = config.pool_sizes
        self.dropout = config.dropout
        self.convolutions = nn.ModuleList(
            nn.Conv1d(before, after, config.kernel_size, padding=config.kernel_size // 2)
            for before, after in zip(sizes, sizes[1:])
        )
        self.norms = nn.ModuleList(nn.LayerNorm(size) for size in sizes[1:])
        self.blocks = nn.ModuleList(
            SignXDilatedConv(config.feature_size, config.kernel_size, dilation, config.dropout)
            for dilation in config.dilations
        )

    def forward(self, hidden_states: torch.Tensor, lengths: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return features `[B, T', F]` and lengths `[B]` in steps; padding has no influence."""
        for convolution, norm, pool in zip(self.convolutions, self.norms, self.pool_sizes):
            valid = length_mask(lengths, hidden_states.shape[1]).unsqueeze(-1)
            hidden_states = convolution((hidden_states * valid).transpose(1, 2)).transpose(1, 2)
            hidden_states = nn.functional.relu(norm(hidden_states))
            hidden_states = nn.functional.dropout(hidden_states, p=self.dropout, training=self.training)
            # After ReLU no value is below zero, so zero is neutral under the maximum.
            hidden_states = (hidden_states * valid).transpose(1, 2)
            hidden_states = nn.functional.max_pool1d(hidden_states, pool, ceil_mode=True).transpose(1, 2)
            lengths = torch.div(lengths + pool - 1, pool, rounding_mode="floor")
        valid = length_mask(lengths, hidden_states.shape[1]).unsqueeze(-1)
        for block in self.blocks:
            hidden_states = block(hidden_states, valid)
        return hidden_states * valid, lengths


class SignXLSTM(nn.LSTM):
    """LSTM whose weights may be replaced between calls, as accelerate does with weights that are offloaded."""

    def forward(self, *args, **kwargs):
        """Run the LSTM as torch does, on the present weights: torch keeps a list of the first ones."""
        present = [getattr(self, name) for name in self._flat_weights_names]
        if any(first is not now for first, now in zip(self._flat_weights, present)):
            self._flat_weights = present
        return super().forward(*args, **kwargs)


class SignXRecognizer(nn.Module):
    """Mixer, TemporalConv with auxiliary CTC, BiLSTM with sequence CTC (SignX-4, figure 3 and section 3.2).

    ```
    latents [B,T,2048] -> compile -> MLP [B,T,512] --+-- mixer: s * frames + (1 - s) * latents, s = sigmoid(scalar)
    frames  [B,T,3,H,W] -> ResNet-34 [B,T,512] ------+-> TemporalConv [B,T',1024] -> aux CTC
                                                              -> BiLSTM x 2 [B,T',1024] (features) -> CTC
    ```
    """

    def __init__(self, config: SignXConfig):
        super().__init__()
        options = config.recognizer_config
        self.compiler = SignXLatentCompiler(config.latent_size, options)
        self.latent_projection = None
        if options.body == "convolution":
            self.latent_projection = nn.Sequential(
                nn.Linear(config.latent_size, options.hidden_size),
                nn.GELU(),
                nn.Linear(options.hidden_size, options.hidden_size),
            )
        self.frame_encoder = None
        if config.frame_branch is not None:
            self.frame_encoder = SignXFrameEncoder(config.frame_branch, config.image_size, config.frame_branch_norm)
            self.frame_projection = nn.Linear(self.frame_encoder.feature_size, options.hidden_size)
            self.mixer = nn.Parameter(torch.zeros(()))
        self.frames_per_chunk = config.temporal_config.frames_per_chunk
        self.body = options.body
        self.temporal_conv = SignXHybridEncoder(config) if self.body == "hybrid" else SignXTemporalConv(options)
        self.lstm = SignXLSTM(
            options.feature_size,
            options.feature_size // 2,
            num_layers=options.num_lstm_layers,
            dropout=options.dropout if options.num_lstm_layers > 1 else 0.0,
            bidirectional=True,
            batch_first=True,
        )
        self.aux_classifier = nn.Linear(options.feature_size, config.ctc_vocab_size)
        self.classifier = nn.Linear(options.feature_size, config.ctc_vocab_size)

    def compile(self, latents: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Compile latents `[B, T, 2048]` to the latent branch of the mixer, `[B, T, 512]`.

        A hybrid body reads the latents unchanged, because it may have been trained on single signs.
        """
        if self.body == "hybrid":
            mask = drop_frames(mask, self.compiler.frame_drop_rate) if self.training else mask
            return latents * mask.unsqueeze(-1)
        compiled, mask = self.compiler(latents, mask)
        return self.latent_projection(compiled) * mask.unsqueeze(-1)

    def encode_frames(self, pixel_values_videos: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Run the RGB branch, `[B, T, 3, H, W]` to `[B, T, 512]`; zero where the mask is false."""
        features = self.frame_encoder.encode_clips(pixel_values_videos, mask, self.frames_per_chunk)
        return self.frame_projection(features) * mask.unsqueeze(-1)

    def mix(self, latents: torch.Tensor | None, frames: torch.Tensor | None) -> torch.Tensor:
        """Mix the two branches, or return the only one."""
        return self(latents, frames)

    def forward(self, latents: torch.Tensor | None, frames: torch.Tensor | None) -> torch.Tensor:
        """Mix the two branches; the forward method, because only before it accelerate loads an offloaded scalar."""
        if latents is None or frames is None:
            return frames if latents is None else latents
        share = torch.sigmoid(self.mixer).to(latents.dtype)
        return share * frames + (1 - share) * latents

    def encode_sequence(self, hidden_states: torch.Tensor, lengths: torch.Tensor):
        """Map `[B, T, 512]` to features `[B, T', 1024]`, their mask, CTC logits and auxiliary logits `[B, T', V]`."""
        convolved, lengths = self.temporal_conv(hidden_states, lengths)
        # Packing keeps the backward direction from starting in the padding.
        packed = nn.utils.rnn.pack_padded_sequence(
            convolved, lengths.clamp_min(1).cpu(), batch_first=True, enforce_sorted=False
        )
        features, _ = nn.utils.rnn.pad_packed_sequence(
            self.lstm(packed)[0], batch_first=True, total_length=convolved.shape[1]
        )
        mask = length_mask(lengths, features.shape[1])
        return features, mask, self.classifier(features), self.aux_classifier(convolved)

    @torch.no_grad()
    def teach(self, frames: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        """Return the CTC logits `[B, T', V]` of the RGB branch `[B, T, 512]` alone, as in evaluation: no dropout."""
        modules = [module for part in (self.temporal_conv, self.lstm) for module in part.modules()]
        modes = [module.training for module in modules]
        try:
            for module in modules:
                module.training = False
            return self.encode_sequence(frames, lengths)[2]
        finally:
            for module, mode in zip(modules, modes):
                module.training = mode

    def feature_lengths(self, frames: Any) -> Any:
        """Return T', the number of feature steps of a clip of `frames` frames; both numbers, or both tensors."""
        for pool in self.temporal_conv.pool_sizes:
            frames = -(-frames // pool)  # rounded up
        return frames
