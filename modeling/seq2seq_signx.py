"""Base of the models with a text decoder: the decoder with its codebook of pieces, prompts, outputs.

Legend: B batch, L target length, C channels, V vocabulary.
"""

import warnings
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import torch
from torch import nn
from transformers.cache_utils import EncoderDecoderCache

from .configuration_signx import SignXConfig
from .encoders_signx import SignXPreTrainedModel, SignXTextDecoder
from .generation_signx import SignXGenerationMixin
from .labels_signx import IGNORE, check_piece_labels
from .losses_signx import weigh
from .outputs_signx import CACHE_NAME, SignXEncoderOutput, SignXSeq2SeqOutput


def shift_right(labels: torch.Tensor, start_id: int, pad_id: int) -> torch.Tensor:
    """Return the decoder inputs `[B, L]` for labels `[B, L]`: the start token, then all labels except the last."""
    shifted = labels.roll(1, dims=1)
    shifted[:, 0] = start_id
    return shifted.masked_fill(shifted == IGNORE, pad_id)


class SignXEncoder(nn.Module):
    """`encode()` of a model as a module, which generic code expects of `get_encoder()`.

    Args:
        model: whose inputs are encoded.
        names: of those of its modules that do it, whose parameters are those of this module.
    """

    def __init__(self, model: "SignXSeq2SeqModel", names: tuple[str, ...]):
        super().__init__()
        for name in names:
            self.add_module(name, getattr(model, name))
        # Around the registration of modules, because the model is not a part of its encoder.
        object.__setattr__(self, "_owner", model)

    @property
    def main_input_name(self) -> str:
        """Return the main input of the model."""
        return self._owner.main_input_name

    def forward(self, *args, **inputs) -> SignXEncoderOutput:
        """Encode any input of the model; positional ones come in the order of the arguments of its `forward`."""
        return self._owner.encode(**dict(zip(self._owner._input_names, args)), **inputs)


class SignXSeq2SeqModel(SignXPreTrainedModel, SignXGenerationMixin):
    """Base of the two models with a text decoder: the decoder with its codebook of pieces, prompts, losses, outputs.

    The codebook (choice: the paper names it without a definition) is the table of piece embeddings. The decoder
    predicts an embedding and scores it against every entry, so that `L_word` compares embeddings with embeddings.
    """

    _tied_weights_keys = {"lm_head.weight": "decoder.embed_tokens.weight"}
    _input_names: tuple[str, ...] = ("pixel_values_videos", "frame_mask", "pose_values", "pose_mask", "latents")
    # The modules behind `encode()`, and what it returns first, None left out: the order of an output as a tuple.
    _encoder_parts: tuple[str, ...] = ()
    _encoded_names: tuple[str, ...] = ()
    # Keywords of `forward` that generic code passes to any model with a decoder.
    _decoder_keywords = ("decoder_attention_mask",)

    def _add_decoder(self, config: SignXConfig) -> None:
        text = config.text_config
        self.decoder = SignXTextDecoder(text)
        self.codebook_projection = nn.Linear(text.hidden_size, text.hidden_size)
        self.lm_head = nn.Linear(text.hidden_size, text.vocab_size, bias=False)
        self.generation_config = self._default_generation_config()

    def get_encoder(self, modality: str | None = None) -> nn.Module:
        """Return `encode()` as a module; its parameters are those of all that comes before the decoder."""
        return SignXEncoder(self, self._encoder_parts)

    def _encoder_output(self, given: Any, mask: torch.Tensor | None = None) -> SignXEncoderOutput:
        """Return the output of `encode()` from itself, from it as a tuple, or from a `BaseModelOutput`.

        Args:
            given: what the caller passed as `encoder_outputs`.
            mask: `[B, S]`, true for real steps, where `given` has no mask; all by default.

        Raises:
            TypeError: If there are no encoder states.
            ValueError: If the mask has another shape.
        """
        if isinstance(given, SignXEncoderOutput):
            return given
        if isinstance(given, (tuple, list)) and given and isinstance(given[0], torch.Tensor):
            has_mask = len(given) > 1 and isinstance(given[1], torch.Tensor) and given[1].ndim == 2
            output = SignXEncoderOutput(**dict(zip(self._encoded_names if has_mask else ["last_hidden_state"], given)))
        elif isinstance(getattr(given, "last_hidden_state", None), torch.Tensor):
            names = [field.name for field in fields(SignXEncoderOutput)]
            output = SignXEncoderOutput(**{name: getattr(given, name, None) for name in names})
        else:
            raise TypeError(
                f"`encoder_outputs` must be the output of encode(), a tuple of it or a BaseModelOutput, got a "
                f"{type(given).__name__} without encoder states."
            )
        if output.feature_mask is None:
            output.feature_mask = self._frame_mask(output.last_hidden_state, mask, "feature_mask")
        return output

    def resize_token_embeddings(self, new_num_tokens: int | None = None, *args, **kwargs) -> nn.Module:
        """Resize the codebook of pieces as transformers does.

        Fewer pieces reset `text_config.gloss_pieces` if a removed piece spells a gloss.

        Raises:
            ValueError: If a special piece would be removed: the saved model could not be loaded.
        """
        text = self.config.text_config
        if new_num_tokens is not None and new_num_tokens < text.vocab_size:
            names = ("pad", "bos", "eos", "decoder_start", "gloss", "text")
            last = max(getattr(text, f"{name}_token_id") for name in names)
            if new_num_tokens <= last:
                raise ValueError(
                    f"`new_num_tokens` must be above the special piece {last}, got {new_num_tokens}. The vocabulary "
                    f"has {text.vocab_size} pieces."
                )
            if any(piece >= new_num_tokens for word in text.gloss_pieces or () for piece in word):
                text.gloss_pieces = None
        return super().resize_token_embeddings(new_num_tokens, *args, **kwargs)

    def check_labels(self, batch: Mapping[str, torch.Tensor]) -> None:
        """Check piece labels; see `SignXPreTrainedModel.check_labels`."""
        super().check_labels(batch)
        labels, text = batch.get("labels"), self.config.text_config
        if labels is not None:
            check_piece_labels(labels, len(labels), text.vocab_size, (text.gloss_token_id, text.text_token_id))

    def _check_training_labels(self, labels: torch.Tensor | None, others: bool) -> None:
        """Refuse a training step whose labels Trainer took away to compute a loss without the other parts.

        Args:
            labels: that were given.
            others: whether there are labels of other losses, or nothing that the decoder could be compared with.

        Raises:
            ValueError: If labels are missing in training.
        """
        if labels is None and others and self.training and torch.is_grad_enabled() and self.config.text_weight:
            raise ValueError(
                "`labels` must be given in training, because the loss has more parts than that of the pieces. Trainer "
                "keeps them from the model with `label_smoothing_factor` or `compute_loss_func`: set "
                "config.label_smoothing and the weights of the config instead, or text_weight=0 to train without them."
            )

    def get_input_embeddings(self) -> nn.Module:
        """Return the codebook of pieces."""
        return self.decoder.embed_tokens

    def set_input_embeddings(self, value: nn.Module) -> None:
        """Replace the codebook of pieces."""
        self.decoder.embed_tokens = value

    def get_output_embeddings(self) -> nn.Module:
        """Return the layer that scores pieces; its weight is that of the codebook."""
        return self.lm_head

    def set_output_embeddings(self, value: nn.Module) -> None:
        """Replace the layer that scores pieces."""
        self.lm_head = value

    def prepare_decoder_input_ids_from_labels(self, labels: torch.Tensor) -> torch.Tensor:
        """Return the decoder inputs `[B, L]` for labels `[B, L]`."""
        text = self.config.text_config
        return shift_right(labels, text.decoder_start_token_id, text.pad_token_id)

    def _targets(self, labels: torch.Tensor) -> torch.Tensor:
        """Return labels without the task prompt, which the decoder reads but does not predict."""
        targets = labels.clone()
        targets[:, 0] = IGNORE
        return targets

    @staticmethod
    def _cache(cache: EncoderDecoderCache | None, by_old_name: EncoderDecoderCache | None):
        """Return the cache, under whichever name it came."""
        if by_old_name is not None and CACHE_NAME == "cache":
            warnings.warn("`past_key_values` is deprecated. Use `cache` instead.", FutureWarning, stacklevel=3)
        return by_old_name if cache is None else cache

    def _decode(self, encoder_outputs, labels, decoder_input_ids, cache, use_cache, kwargs):
        """Run the decoder; return its output, predicted embeddings `[B, L, C]` and logits `[B, L, V]`."""
        text, rows = self.config.text_config, encoder_outputs.last_hidden_state.shape[0]
        if labels is not None:
            check_piece_labels(labels, rows, text.vocab_size, (text.gloss_token_id, text.text_token_id))
        if decoder_input_ids is None:
            if labels is not None:
                decoder_input_ids = self.prepare_decoder_input_ids_from_labels(labels)
            else:  # the prompt alone, for the logits of the first piece
                # On the device of the states: `self.device` is "meta" while weights are offloaded.
                device = encoder_outputs.last_hidden_state.device
                prompt = torch.tensor([[text.decoder_start_token_id, text.gloss_token_id]], device=device)
                decoder_input_ids = prompt.expand(rows, -1)
        mask = kwargs.get("decoder_attention_mask")
        decoded = self.decoder(
            decoder_input_ids,
            encoder_outputs.last_hidden_state,
            encoder_outputs.feature_mask,
            cache=cache,
            use_cache=use_cache,
            attention_mask=mask,
            **self._recording_flags(kwargs),
        )
        predicted = self.codebook_projection(decoded.last_hidden_state)
        return decoded, predicted, self.lm_head(predicted)

    @staticmethod
    def _output(encoder_outputs, decoded, logits, losses: dict, weights: dict) -> SignXSeq2SeqOutput:
        return SignXSeq2SeqOutput(
            loss=weigh(losses, weights),
            losses=losses or None,
            logits=logits,
            decoder_hidden_states=decoded.hidden_states,
            decoder_attentions=decoded.attentions,
            cross_attentions=decoded.cross_attentions,
            encoder_last_hidden_state=encoder_outputs.last_hidden_state,
            encoder_hidden_states=encoder_outputs.hidden_states,
            encoder_attentions=encoder_outputs.attentions,
            ctc_logits=encoder_outputs.ctc_logits,
            features=encoder_outputs.features,
            feature_mask=encoder_outputs.feature_mask,
            **{CACHE_NAME: decoded.cache},
        )
