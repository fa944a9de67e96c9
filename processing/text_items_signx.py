"""Spoken-language text from a decoder: the options of its search, and the words that it wrote with their confidence."""

import math
from typing import TYPE_CHECKING, Any

import torch

from .results_signx import Sentence, Word

if TYPE_CHECKING:
    from transformers import GenerationConfig, PreTrainedModel

    from .tokenization_signx import SignXTokenizer

# Options that score glosses, which a text has none of.
GLOSS_OPTIONS = ("ctc_weight", "lm", "lm_weight", "length_bonus", "hot_words")


def for_text(config: "GenerationConfig") -> "GenerationConfig":
    """Give a generation config the prompt for text, and take out what scores glosses; it is changed in place."""
    unset = dict.fromkeys((*GLOSS_OPTIONS, "ctc_glosses"))
    for name, value in {**unset, "ctc_weight": 0.0, "task": "text"}.items():
        setattr(config, name, value)
    return config


def text_items(
    model: "PreTrainedModel", tokenizer: "SignXTokenizer", encoded: Any, sequences: torch.Tensor, scores: torch.Tensor
) -> list[dict[str, Any]]:
    """Return `text`, `score`, `confidence` and `words` of sequences that were generated.

    One pass of the decoder, with the same encoding, gives the probabilities of the pieces: those of a search hold its
    penalties.

    Args:
        model: Model that generated them.
        tokenizer: Tokenizer of the model.
        encoded: Output of its encoder, of B clips.
        sequences: Piece ids `[N * B, L]`, the task prompt first, those of a clip together.
        scores: `[N * B]`.
    """
    copies = len(sequences) // len(encoded.feature_mask)
    repeated = {
        name: value.repeat_interleave(copies, 0) if isinstance(value, torch.Tensor) else value
        for name, value in encoded.items()
    }
    logits = model(encoder_outputs=type(encoded)(**repeated), decoder_input_ids=sequences[:, :-1]).logits
    log_probs = logits.float().log_softmax(-1).gather(2, sequences[:, 1:, None])[..., 0]
    return [
        {**_words(tokenizer, ids, values), "score": float(score)}
        for ids, values, score in zip(sequences[:, 1:].tolist(), log_probs.tolist(), scores)
    ]


def sentences_of(item: dict[str, Any], start: float, end: float) -> tuple[Sentence, ...]:
    """Return the sentence of an item with its time in seconds; nothing if it has no text."""
    return (Sentence(item["text"], round(start, 4), round(end, 4), item["confidence"]),) if item["text"] else ()


def _words(tokenizer: "SignXTokenizer", ids: list[int], log_probs: list[float]) -> dict[str, Any]:
    """Return text, confidence and words of one sequence of pieces."""
    special, words, pieces, piece_scores, all_scores = set(tokenizer.all_special_ids), [], [], [], []
    for index, value in zip(ids, log_probs):
        if index in special:
            continue
        pieces.append(index)
        piece_scores.append(value)
        all_scores.append(value)
        if tokenizer.is_gloss_end(index):
            words.append(Word(str(tokenizer.decode(pieces)), _mean_probability(piece_scores)))
            pieces, piece_scores = [], []
    if pieces:  # cut at the maximum length
        words.append(Word(str(tokenizer.decode(pieces)), _mean_probability(piece_scores)))
    return {"text": " ".join(word.word for word in words), "confidence": _mean_probability(all_scores), "words": words}


def _mean_probability(log_probs: list[float]) -> float:
    """Return the geometric mean of probabilities; 1 for none."""
    return math.exp(sum(log_probs) / len(log_probs)) if log_probs else 1.0
