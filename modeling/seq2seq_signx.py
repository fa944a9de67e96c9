"""Base of the models with a text decoder: the decoder with its codebook of pieces, prompts, outputs.

Legend: B batch, L target length, C channels, V vocabulary.
"""

import torch
from torch import nn

from .configuration_signx import SignXConfig
from .encoders_signx import SignXPreTrainedModel, SignXTextDecoder
from .generation_signx import SignXGenerationMixin
from .labels_signx import IGNORE, check_piece_labels
from .losses_signx import weigh
from .outputs_signx import CACHE_NAME, SignXSeq2SeqOutput


def shift_right(labels: torch.Tensor, start_id: int, pad_id: int) -> torch.Tensor:
    """Return the decoder inputs `[B, L]` for labels `[B, L]`: the start token, then all labels except the last."""
    shifted = labels.roll(1, dims=1)
    shifted[:, 0] = start_id
    return shifted.masked_fill(shifted == IGNORE, pad_id)


class SignXSeq2SeqModel(SignXPreTrainedModel, SignXGenerationMixin):
    """Base of the two models with a text decoder: the decoder with its codebook of pieces, prompts, losses, outputs.

    The codebook (choice: the paper names it without a definition) is the table of piece embeddings. The decoder
    predicts an embedding and scores it against every entry, so that `L_word` compares embeddings with embeddings.
    """

    _tied_weights_keys = {"lm_head.weight": "decoder.embed_tokens.weight"}
    _input_names = ("pixel_values_videos", "frame_mask", "pose_values", "pose_mask", "latents")

    def _add_decoder(self, config: SignXConfig) -> None:
        text = config.text_config
        self.decoder = SignXTextDecoder(text)
        self.codebook_projection = nn.Linear(text.hidden_size, text.hidden_size)
        self.lm_head = nn.Linear(text.hidden_size, text.vocab_size, bias=False)
        self.generation_config = self._default_generation_config()

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

    def _decode(self, encoder_outputs, labels, decoder_input_ids, cache, use_cache, kwargs):
        """Run the decoder; return its output, predicted embeddings `[B, L, C]` and logits `[B, L, V]`."""
        text, rows = self.config.text_config, encoder_outputs.last_hidden_state.shape[0]
        if labels is not None:
            check_piece_labels(labels, rows, text.vocab_size, (text.gloss_token_id, text.text_token_id))
        if decoder_input_ids is None:
            if labels is not None:
                decoder_input_ids = self.prepare_decoder_input_ids_from_labels(labels)
            else:  # the prompt alone, for the logits of the first piece
                prompt = torch.tensor([[text.decoder_start_token_id, text.gloss_token_id]], device=self.device)
                decoder_input_ids = prompt.expand(rows, -1)
        flags = {name: kwargs[name] for name in ("output_attentions", "output_hidden_states") if kwargs.get(name)}
        decoded = self.decoder(
            decoder_input_ids,
            encoder_outputs.last_hidden_state,
            encoder_outputs.feature_mask,
            cache=cache,
            use_cache=use_cache,
            **flags,
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
