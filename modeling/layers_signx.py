"""Transformer layers shared by the SignX models. Legend: B batch, T time, C channels, H heads."""

import math
from collections.abc import Callable

import torch
from torch import nn
from transformers.cache_utils import Cache, EncoderDecoderCache
from transformers.modeling_layers import GradientCheckpointingLayer
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS


def mask_lengths(mask: torch.Tensor) -> torch.Tensor:
    """Return the length `[B]` of each row of a mask `[B, T]`, one past its last true step: gaps keep their time."""
    steps = torch.arange(1, mask.shape[1] + 1, device=mask.device)
    return (mask * steps).amax(dim=1) if mask.shape[1] else mask.sum(1)


def length_mask(lengths: torch.Tensor, size: int) -> torch.Tensor:
    """Return a mask `[B, size]` that is true before each length."""
    return torch.arange(size, device=lengths.device)[None] < lengths[:, None]


def sinusoidal_positions(positions: torch.Tensor, size: int, dtype: torch.dtype) -> torch.Tensor:
    """Compute sine and cosine position embeddings of any length (Vaswani et al. 2017, section 3.5).

    Args:
        positions: `[...]` integer positions.
        size: width C of the embedding.
        dtype: type of the result. The angles are computed in float32: bfloat16 has no exact integers above 256.

    Returns:
        `[..., size]`.
    """
    half = torch.arange((size + 1) // 2, device=positions.device, dtype=torch.float32)
    angles = positions.to(torch.float32)[..., None] * torch.exp(half * (-math.log(10000.0) * 2 / size))
    return torch.cat([angles.sin(), angles.cos()], dim=-1)[..., :size].to(dtype)


def eager_attention(
    module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float,
    dropout: float = 0.0,
    **kwargs,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Compute attention without a fused kernel (`"eager"`): `[B, H, T, C/H]` to `[B, T, H, C/H]` and weights."""
    weights = query @ key.transpose(2, 3) * scaling
    if attention_mask is not None:
        weights = weights + attention_mask
    weights = weights.softmax(dim=-1, dtype=torch.float32).to(query.dtype)
    dropped = nn.functional.dropout(weights, p=dropout, training=module.training)
    return (dropped @ value).transpose(1, 2).contiguous(), weights


class SignXAttention(nn.Module):
    """Multi-head attention through the attention interface of transformers: eager, sdpa or any registered kernel.

    Args:
        config: the config whose `_attn_implementation` chooses the kernel.
        size: width C.
        num_heads: number of heads H.
        dropout: dropout of the attention weights.
        layer_idx: index in the key/value cache; None if nothing is cached.
        is_causal: whether a step sees only itself and earlier steps.
    """

    def __init__(
        self, config, size: int, num_heads: int, dropout: float, layer_idx: int | None = None, is_causal=False
    ):
        super().__init__()
        self.config = config
        self.layer_idx = layer_idx
        self.is_causal = is_causal
        self.num_heads = num_heads
        self.head_dim = size // num_heads
        self.num_key_value_groups = 1
        self.scaling = self.head_dim**-0.5
        self.dropout = dropout
        self.q_proj = nn.Linear(size, size)
        self.k_proj = nn.Linear(size, size)
        self.v_proj = nn.Linear(size, size)
        self.o_proj = nn.Linear(size, size)
        # Set by generate() when beams are scored with the attention entropy; holds [B] nats of the newest step.
        self.record_entropy = False
        self.last_entropy: torch.Tensor | None = None

    def _heads(self, hidden: torch.Tensor) -> torch.Tensor:
        return hidden.view(*hidden.shape[:-1], self.num_heads, self.head_dim).transpose(1, 2)

    def forward(
        self,
        hidden_states: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        key_value_states: torch.Tensor | None = None,
        cache: Cache | None = None,
        **kwargs,
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Attend from `[B, T, C]` to itself or `key_value_states` `[B, S, C]`; return `[B, T, C]` and weights."""
        query = self._heads(self.q_proj(hidden_states))
        key, value = self._keys_and_values(hidden_states, key_value_states, cache)
        attention: Callable = ALL_ATTENTION_FUNCTIONS.get_interface(self.config._attn_implementation, eager_attention)
        output, weights = attention(
            self,
            query,
            key,
            value,
            attention_mask,
            dropout=self.dropout if self.training else 0.0,
            scaling=self.scaling,
            is_causal=self.is_causal and attention_mask is None and query.shape[2] > 1,
            **kwargs,
        )
        if self.record_entropy:
            self.last_entropy = self._newest_entropy(query, key, attention_mask)
        return self.o_proj(output.reshape(*hidden_states.shape[:-1], -1)), weights

    def _keys_and_values(self, hidden_states, key_value_states, cache):
        cross = key_value_states is not None
        cached_cross = False
        if isinstance(cache, EncoderDecoderCache):
            cached_cross = cross and cache.is_updated.get(self.layer_idx, False)
            if cross:
                cache.is_updated[self.layer_idx] = True
            cache = cache.cross_attention_cache if cross else cache.self_attention_cache
        if cached_cross:  # keys and values of the encoder do not change from step to step
            layer = cache.layers[self.layer_idx]
            return layer.keys, layer.values
        source = key_value_states if cross else hidden_states
        key, value = self._heads(self.k_proj(source)), self._heads(self.v_proj(source))
        if cache is not None:
            key, value = cache.update(key, value, self.layer_idx)
        return key, value

    def _newest_entropy(self, query, key, attention_mask):
        """Return the attention entropy `[B]` of the newest step in nats, mean over heads."""
        scores = (query[:, :, -1:].float() @ key.float().transpose(2, 3)) * self.scaling  # [B, H, 1, S]
        if attention_mask is not None:
            mask = attention_mask[:, :, -1:]
            scores = scores.masked_fill(~mask, float("-inf")) if mask.dtype == torch.bool else scores + mask.float()
        log_weights = scores.log_softmax(dim=-1)
        entropy = -(log_weights.exp() * log_weights.clamp_min(-1e4)).sum(-1)
        return entropy.mean(dim=1)[:, 0]


class SignXMLP(nn.Module):
    """Linear, GELU, linear."""

    def __init__(self, size: int, intermediate_size: int, dropout: float):
        super().__init__()
        self.fc1 = nn.Linear(size, intermediate_size)
        self.fc2 = nn.Linear(intermediate_size, size)
        self.dropout = dropout

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        """Apply the MLP to `[B, T, C]`."""
        hidden_states = nn.functional.gelu(self.fc1(hidden_states))
        return self.fc2(nn.functional.dropout(hidden_states, p=self.dropout, training=self.training))


class SignXEncoderLayer(GradientCheckpointingLayer):
    """Pre-norm self-attention layer: `[B, T, C]` to `[B, T, C]`."""

    def __init__(self, config, size: int, num_heads: int, intermediate_size: int, dropout: float):
        super().__init__()
        self.dropout = dropout
        self.self_attn = SignXAttention(config, size, num_heads, dropout)
        self.self_attn_norm = nn.LayerNorm(size)
        self.mlp = SignXMLP(size, intermediate_size, dropout)
        self.mlp_norm = nn.LayerNorm(size)

    def _residual(self, hidden_states: torch.Tensor, update: torch.Tensor) -> torch.Tensor:
        return hidden_states + nn.functional.dropout(update, p=self.dropout, training=self.training)

    def forward(
        self, hidden_states: torch.Tensor, attention_mask: torch.Tensor | None = None, **kwargs
    ) -> torch.Tensor:
        """Apply the layer to `[B, T, C]`."""
        update, _ = self.self_attn(self.self_attn_norm(hidden_states), attention_mask, **kwargs)
        hidden_states = self._residual(hidden_states, update)
        return self._residual(hidden_states, self.mlp(self.mlp_norm(hidden_states)))


class SignXDecoderLayer(SignXEncoderLayer):
    """Self-attention, causal by default, cross-attention to the encoder, MLP: `[B, L, C]` to `[B, L, C]`."""

    def __init__(
        self, config, size: int, num_heads: int, intermediate_size: int, dropout: float, layer_idx: int, is_causal=True
    ):
        super().__init__(config, size, num_heads, intermediate_size, dropout)
        self.self_attn = SignXAttention(config, size, num_heads, dropout, layer_idx, is_causal=is_causal)
        self.cross_attn = SignXAttention(config, size, num_heads, dropout, layer_idx)
        self.cross_attn_norm = nn.LayerNorm(size)

    def forward(
        self,
        hidden_states: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        encoder_hidden_states: torch.Tensor | None = None,
        encoder_attention_mask: torch.Tensor | None = None,
        cache: Cache | None = None,
        **kwargs,
    ) -> torch.Tensor:
        """Apply the layer to `[B, L, C]` over encoder states `[B, S, C]`."""
        normed = self.self_attn_norm(hidden_states)
        update, _ = self.self_attn(normed, attention_mask, cache=cache, **kwargs)
        hidden_states = self._residual(hidden_states, update)
        update, _ = self.cross_attn(
            self.cross_attn_norm(hidden_states),
            encoder_attention_mask,
            key_value_states=encoder_hidden_states,
            cache=cache,
            **kwargs,
        )
        hidden_states = self._residual(hidden_states, update)
        return self._residual(hidden_states, self.mlp(self.mlp_norm(hidden_states)))
