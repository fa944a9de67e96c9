"""Encode latents by convolutions and attention over time, for single signs and for sentences.

Legend: B batch, T frames, T' steps, C width of the latents, F width of the features.
"""

import torch
from torch import nn
from transformers.masking_utils import create_bidirectional_mask

from .configuration_signx import SignXConfig
from .layers_signx import SignXEncoderLayer, length_mask
from .recognizer_config_signx import SignXClassifierConfig


def drop_path(update: torch.Tensor, rate: float, training: bool) -> torch.Tensor:
    """Drop the update `[B, T, C]` of a residual branch for whole clips (stochastic depth, Huang et al. 2016)."""
    if not training or not rate:
        return update
    mask = torch.rand(len(update), 1, 1, device=update.device) >= rate
    return update * mask.to(update.dtype) / (1 - rate)


class SignXResidualConv(nn.Module):
    """Residual block of normalization, convolution over time and ReLU: `[B, T, C]` to `[B, T, C]`.

    The convolution is a linear layer on the concatenated steps around each one: its weight is a matrix, as Muon
    expects.
    """

    def __init__(self, size: int, kernel_size: int, drop_path_rate: float):
        super().__init__()
        self.norm = nn.LayerNorm(size)
        self.projection = nn.Linear(kernel_size * size, size)
        self.kernel_size = kernel_size
        self.drop_path_rate = drop_path_rate

    def forward(self, hidden_states: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
        """Add the convolution to `[B, T, C]`; steps where `valid` `[B, T, 1]` is false do not influence others."""
        half, steps = self.kernel_size // 2, hidden_states.shape[1]
        padded = nn.functional.pad(self.norm(hidden_states) * valid, (0, 0, half, half))
        around = torch.cat([padded[:, shift : shift + steps] for shift in range(self.kernel_size)], dim=-1)
        update = nn.functional.relu(self.projection(around))
        return hidden_states + drop_path(update, self.drop_path_rate, self.training)


class SignXHybridBlock(nn.Module):
    """Residual convolutions for local movement, then attention over the whole sign."""

    def __init__(self, config: SignXConfig, options: SignXClassifierConfig):
        super().__init__()
        size, self.drop_path_rate = options.hidden_size, options.drop_path_rate
        self.convolutions = nn.ModuleList(
            SignXResidualConv(size, options.kernel_size, options.drop_path_rate) for _ in range(options.convolutions)
        )
        self.layer = SignXEncoderLayer(config, size, options.num_attention_heads, options.intermediate_size, 0.0)

    def forward(self, hidden_states: torch.Tensor, valid: torch.Tensor, attention_mask) -> torch.Tensor:
        """Apply the block to `[B, T, F]`; steps where `valid` `[B, T, 1]` is false have no influence."""
        for convolution in self.convolutions:
            hidden_states = convolution(hidden_states, valid)
        update = self.layer(hidden_states, attention_mask) - hidden_states
        return hidden_states + drop_path(update, self.drop_path_rate, self.training)


class SignXHybridEncoder(nn.Module):
    """Latents `[B, T, C]` to features at half their rate, `[B, T', F]`, `T' = ceil(T / 2)` (choice; not in a paper).

    Convolutions at the rate of the latents, a pooling by two, and blocks of convolutions and attention.
    `SignXHybridPooling` uses it for single signs; for sentences it replaces TemporalConv (`recognizer_config.body`).
    """

    pool_sizes = (2,)

    def __init__(self, config: SignXConfig):
        super().__init__()
        options = config.classifier_config
        self.config = config
        self.projection = nn.Linear(config.latent_size, options.hidden_size)
        self.stem = nn.ModuleList(
            SignXResidualConv(options.hidden_size, options.kernel_size, options.drop_path_rate)
            for _ in range(options.stem_layers)
        )
        self.blocks = nn.ModuleList(SignXHybridBlock(config, options) for _ in range(options.num_blocks))

    def forward(self, latents: torch.Tensor, lengths: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return features, 0 past the end of a clip, and lengths `[B]` in steps; padding has no influence."""
        hidden_states = self.projection(latents)
        valid = length_mask(lengths, hidden_states.shape[1]).unsqueeze(-1)
        for convolution in self.stem:
            hidden_states = convolution(hidden_states, valid)
        floor = torch.finfo(hidden_states.dtype).min
        pooled = nn.functional.max_pool1d(
            hidden_states.masked_fill(~valid, floor).transpose(1, 2), 2, ceil_mode=True
        ).transpose(1, 2)
        lengths = torch.div(lengths + 1, 2, rounding_mode="floor")
        mask = length_mask(lengths, pooled.shape[1])
        valid = mask.unsqueeze(-1)
        hidden_states = pooled.masked_fill(~valid, 0.0)
        attention_mask = create_bidirectional_mask(
            config=self.config, inputs_embeds=hidden_states, attention_mask=mask
        )
        for block in self.blocks:
            hidden_states = block(hidden_states, valid, attention_mask)
        return hidden_states.masked_fill(~valid, 0.0), lengths
