"""Outputs of the SignX models. Legend: B batch, T frames, T' feature steps, D pose width, L target length, V vocabulary."""

from dataclasses import dataclass

import torch
from transformers.cache_utils import EncoderDecoderCache
from transformers.utils import ModelOutput

# `generate` hands the cache on under the one name that its version of transformers knows: `cache` since 5.24.
CACHE_NAME = "cache" if hasattr(ModelOutput, "past_key_values") else "past_key_values"


@dataclass
class SignXModelOutput(ModelOutput):
    """Output of `SignXModel`.

    Args:
        last_hidden_state: `[B, T, 2048]`, the pose-rich latents.
        frame_mask: `[B, T]` bool.
        fused_pose: `[B, T, D]`, what entered PadMatch; None when latents were given.
    """

    last_hidden_state: torch.FloatTensor | None = None
    frame_mask: torch.BoolTensor | None = None
    fused_pose: torch.FloatTensor | None = None

    @property
    def latents(self) -> torch.FloatTensor | None:
        return self.last_hidden_state


@dataclass
class SignXVideo2PoseOutput(ModelOutput):
    """Output of stage 2: `latents` of the video and `target_latents` `[B, T, 2048]`, `predicted_pose` `[B, T, D]`."""

    loss: torch.FloatTensor | None = None
    losses: dict[str, torch.FloatTensor] | None = None
    latents: torch.FloatTensor | None = None
    target_latents: torch.FloatTensor | None = None
    predicted_pose: torch.FloatTensor | None = None


@dataclass
class SignXCTCOutput(ModelOutput):
    """Output of stage 3.

    Args:
        loss: weighted sum of `losses`.
        losses: parts of the loss by name (`ctc`, `aux_ctc`, `kd`, `student_ctc`), unweighted.
        logits: `[B, T', V]` of the sequence CTC; `aux_logits` those of the auxiliary CTC.
        features: `[B, T', 1024]` with `feature_mask` `[B, T']`.
        latents: `[B, T, 2048]`, None when features were given.
    """

    loss: torch.FloatTensor | None = None
    losses: dict[str, torch.FloatTensor] | None = None
    logits: torch.FloatTensor | None = None
    aux_logits: torch.FloatTensor | None = None
    features: torch.FloatTensor | None = None
    feature_mask: torch.BoolTensor | None = None
    latents: torch.FloatTensor | None = None


@dataclass
class SignXEncoderOutput(ModelOutput):
    """What the decoder attends to: `last_hidden_state` `[B, S, C]` with `feature_mask` `[B, S]`, CTC logits where there are any.

    `aux_logits` come from TemporalConv, which sees `recognizer_config.reach` frames each way: they say when a gloss was signed. The
    BiLSTM behind `ctc_logits` sees the whole clip and may say a gloss anywhere in its turn.
    """

    last_hidden_state: torch.FloatTensor | None = None
    feature_mask: torch.BoolTensor | None = None
    ctc_logits: torch.FloatTensor | None = None
    features: torch.FloatTensor | None = None
    latents: torch.FloatTensor | None = None
    hidden_states: tuple[torch.FloatTensor, ...] | None = None
    attentions: tuple[torch.FloatTensor, ...] | None = None
    aux_logits: torch.FloatTensor | None = None


@dataclass
class SignXSeq2SeqOutput(ModelOutput):
    """Output of the models with a text decoder; `losses` holds the unweighted parts of `loss` by name.

    The cache is `past_key_values`; transformers 5.24 calls it `cache` and knows both names.
    """

    loss: torch.FloatTensor | None = None
    losses: dict[str, torch.FloatTensor] | None = None
    logits: torch.FloatTensor | None = None
    if CACHE_NAME == "cache":
        cache: EncoderDecoderCache | None = None
    else:
        past_key_values: EncoderDecoderCache | None = None
    decoder_hidden_states: tuple[torch.FloatTensor, ...] | None = None
    decoder_attentions: tuple[torch.FloatTensor, ...] | None = None
    cross_attentions: tuple[torch.FloatTensor, ...] | None = None
    encoder_last_hidden_state: torch.FloatTensor | None = None
    encoder_hidden_states: tuple[torch.FloatTensor, ...] | None = None
    encoder_attentions: tuple[torch.FloatTensor, ...] | None = None
    ctc_logits: torch.FloatTensor | None = None
    features: torch.FloatTensor | None = None
    feature_mask: torch.BoolTensor | None = None


@dataclass
class SignXClassificationOutput(ModelOutput):
    """Output of `SignXForSignClassification`: `logits` `[B, num_labels]`, `embedding` `[B, F]`, what they are made of, and `latents`
    `[B, T, 2048]`; with `pooling="frame"` also `frame_logits` `[B, T, num_labels]`."""

    loss: torch.FloatTensor | None = None
    logits: torch.FloatTensor | None = None
    embedding: torch.FloatTensor | None = None
    latents: torch.FloatTensor | None = None
    frame_logits: torch.FloatTensor | None = None


@dataclass
class SignXDecoderOutput(ModelOutput):
    """Output of `SignXTextDecoder`: `last_hidden_state` `[B, L, C]` and the cache."""

    last_hidden_state: torch.FloatTensor | None = None
    cache: EncoderDecoderCache | None = None
    hidden_states: tuple[torch.FloatTensor, ...] | None = None
    attentions: tuple[torch.FloatTensor, ...] | None = None
    cross_attentions: tuple[torch.FloatTensor, ...] | None = None
