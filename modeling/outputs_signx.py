"""Outputs of the SignX models.

Legend: B batch, T frames, T' feature steps, D pose width, L target length, V vocabulary.
"""

from dataclasses import dataclass

import torch
from transformers.cache_utils import EncoderDecoderCache
from transformers.utils import ModelOutput

# `generate` passes the cache under the name that its version of transformers knows: `cache` since 5.24.
CACHE_NAME = "cache" if hasattr(ModelOutput, "past_key_values") else "past_key_values"


@dataclass
class SignXModelOutput(ModelOutput):
    """Output of `SignXModel`.

    Args:
        last_hidden_state: `[B, T, 2048]`, the pose-rich latents.
        frame_mask: `[B, T]` bool.
        fused_pose: `[B, T, D]`, the input of PadMatch; None if latents were given.
        hidden_states: of the layers over time before the latents, on request; none if latents were given.
        attentions: of these layers, on request.
    """

    last_hidden_state: torch.FloatTensor | None = None
    frame_mask: torch.BoolTensor | None = None
    fused_pose: torch.FloatTensor | None = None
    hidden_states: tuple[torch.FloatTensor, ...] | None = None
    attentions: tuple[torch.FloatTensor, ...] | None = None

    @property
    def latents(self) -> torch.FloatTensor | None:
        """Return `last_hidden_state` under the name of the other outputs."""
        return self.last_hidden_state


@dataclass
class SignXVideo2PoseOutput(ModelOutput):
    """Output of stage 2.

    Args:
        loss: weighted sum of `losses`.
        losses: parts of the loss by name (`latent`, `pose`), unweighted.
        latents: `[B, T, 2048]` of the video.
        target_latents: `[B, T, 2048]` of the poses.
        predicted_pose: `[B, T, D]`.
        hidden_states: of the layers over time before the latents of the video, on request.
        attentions: of these layers, on request.
    """

    loss: torch.FloatTensor | None = None
    losses: dict[str, torch.FloatTensor] | None = None
    latents: torch.FloatTensor | None = None
    target_latents: torch.FloatTensor | None = None
    predicted_pose: torch.FloatTensor | None = None
    hidden_states: tuple[torch.FloatTensor, ...] | None = None
    attentions: tuple[torch.FloatTensor, ...] | None = None


@dataclass
class SignXCTCOutput(ModelOutput):
    """Output of stage 3.

    Args:
        loss: weighted sum of `losses`.
        losses: parts of the loss by name (`ctc`, `aux_ctc`, `kd`, `student_ctc`, `teacher_ctc`, `alignment`), unweighted.
        logits: `[B, T', V]` of the sequence CTC.
        aux_logits: `[B, T', V]` of the auxiliary CTC.
        features: `[B, T', 1024]`.
        feature_mask: `[B, T']` bool.
        latents: `[B, T, 2048]`; None if features were given.
        hidden_states: of the layers over time before the latents, on request; None if features were given.
        attentions: of these layers, on request.
    """

    loss: torch.FloatTensor | None = None
    losses: dict[str, torch.FloatTensor] | None = None
    logits: torch.FloatTensor | None = None
    aux_logits: torch.FloatTensor | None = None
    features: torch.FloatTensor | None = None
    feature_mask: torch.BoolTensor | None = None
    latents: torch.FloatTensor | None = None
    hidden_states: tuple[torch.FloatTensor, ...] | None = None
    attentions: tuple[torch.FloatTensor, ...] | None = None


@dataclass
class SignXEncoderOutput(ModelOutput):
    """Output of `encode()`, to which the decoder attends.

    Args:
        last_hidden_state: `[B, S, C]`.
        feature_mask: `[B, S]` bool.
        ctc_logits: `[B, T', V]` of the sequence CTC, if the model has one. The BiLSTM sees the full clip and may emit
            a gloss anywhere near its time.
        features: `[B, T', 1024]`.
        latents: `[B, T, 2048]`.
        hidden_states: of each encoder layer, on request.
        attentions: of each encoder layer, on request.
        aux_logits: `[B, T', V]` of the auxiliary CTC on TemporalConv. Its receptive field is limited
            (`recognizer_config.reach` frames on either side), so these logits tell when a gloss was signed.
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
    """Output of the models with a text decoder.

    Args:
        loss: weighted sum of `losses`.
        losses: parts of the loss by name, unweighted.
        logits: `[B, L, V]` of pieces.
        cache: keys and values for the next step; named `past_key_values` before transformers 5.24, which knows both
            names.
        decoder_hidden_states: of each decoder layer, on request.
        decoder_attentions: of each decoder layer, on request.
        cross_attentions: of each decoder layer, on request.
        encoder_last_hidden_state: `[B, S, C]`.
        encoder_hidden_states: of each encoder layer, on request.
        encoder_attentions: of each encoder layer, on request.
        ctc_logits: `[B, T', V]` of the sequence CTC.
        features: `[B, T', 1024]`.
        feature_mask: `[B, T']` bool.
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
    """Output of `SignXForSignClassification`.

    Args:
        loss: cross-entropy.
        logits: `[B, num_labels]`.
        embedding: `[B, F]`, the input of the classifier.
        latents: `[B, T, 2048]`.
        frame_logits: `[B, T, num_labels]` with `pooling="frame"`, else None.
        hidden_states: of the layers over time before the latents, on request. With `pooling="frame"` each frame is a
            clip of its own.
        attentions: of these layers, on request.
    """

    loss: torch.FloatTensor | None = None
    logits: torch.FloatTensor | None = None
    embedding: torch.FloatTensor | None = None
    latents: torch.FloatTensor | None = None
    frame_logits: torch.FloatTensor | None = None
    hidden_states: tuple[torch.FloatTensor, ...] | None = None
    attentions: tuple[torch.FloatTensor, ...] | None = None


@dataclass
class SignXDecoderOutput(ModelOutput):
    """Output of `SignXTextDecoder`.

    Args:
        last_hidden_state: `[B, L, C]`.
        cache: keys and values for the next step.
        hidden_states: of each layer, on request.
        attentions: of each layer, on request.
        cross_attentions: of each layer, on request.
    """

    last_hidden_state: torch.FloatTensor | None = None
    cache: EncoderDecoderCache | None = None
    hidden_states: tuple[torch.FloatTensor, ...] | None = None
    attentions: tuple[torch.FloatTensor, ...] | None = None
    cross_attentions: tuple[torch.FloatTensor, ...] | None = None
