"""The pipeline `sign-translation`: a clip to a spoken-language sentence. It travels with the weights."""

import math
from typing import Any

import torch

from .base_pipeline_signx import warn_of_length
from .checks_signx import check_beams, has_ctc
from .errors_signx import SignXError
from .join_signx import join_translations
from .pipeline_signx import GENERATION_OBJECTS, SignRecognitionPipeline
from .results_signx import Sentence, Signer, TextHypothesis, Translation, Word
from .segments_signx import ends_at

# Options that score glosses, which a text has none of.
GLOSS_OPTIONS = ("ctc_weight", "lm", "lm_weight", "length_bonus", "hot_words")


class SignTranslationPipeline(SignRecognitionPipeline):
    """Translate signing: a clip to a spoken-language sentence, by a model that was trained with `target: text` or `both`.

        pipeline("sign-translation", model="folder-or-hub-name")("clip.mp4")

    Input: As for `sign-recognition`.

    Options (at construction or call): `n_best`, `num_beams` (5), `length_penalty` (0.7, as in the paper) and the other
    options of `generate()`; `source_fps`, `chunk_length_s`, `stride_length_s`, `hand`, `person` and `landmarks_cache` as
    for `sign-recognition`. What scores glosses (`decoder`, `ctc_weight`, `lm`, `hot_words`, ...) is refused.

    Output: `Translation` as a dictionary: `text`; `confidence`, the geometric mean of the probabilities of its pieces;
    `words` (list of `word`, `confidence`); `n_best` (list of `text`, `score`); `sentences` (list of `text`, `start`,
    `end` in seconds, `confidence`): one for the clip, or one for each utterance with `chunk_length_s`; `duration` in
    seconds, `signer`; and `reason` if there is no text.
    """

    TASK = "text"
    NAME = "sign-translation"
    _join = staticmethod(join_translations)

    def _sorted_options(self, **kwargs):
        refused = [name for name in ("decoder", "threshold", *GLOSS_OPTIONS) if kwargs.get(name) is not None]
        if refused:
            raise ValueError(f"sign-translation has no option {refused[0]!r}, which is for glosses. Leave it out.")
        return super()._sorted_options(**kwargs)

    def _resolve(self, decoder: str) -> str:
        return "attention"

    def _generation_config(self, options: dict):
        """Return the generation config, with the prompt for text and without what scores glosses."""
        config = super()._generation_config(options)
        for name in (*GLOSS_OPTIONS, "ctc_glosses"):
            setattr(config, name, None)
        config.task, config.ctc_weight = self.TASK, 0.0
        return config

    def _forward(self, model_inputs, n_best: int = 1, generation: dict | None = None, hand: str = "as_trained"):
        inputs, metadata = self._split(model_inputs)
        check_beams("n_best", n_best)
        options = dict(generation or {})
        objects = {name: options.pop(name) for name in GENERATION_OBJECTS if name in options}
        config = self._generation_config(options)
        encoded, metadata = self._with_hands(self.model.encode, inputs, metadata, hand)
        results = []
        for row, items in enumerate(self._generate(encoded, n_best, config, objects)):
            if "pixel_values_videos" in inputs or "pose_values" in inputs:  # not a piece of a long recording
                warn_of_length(metadata[row], self.model.config.fps, in_pieces=has_ctc(self.model))
            results.append({"n_best": items, "metadata": metadata[row]})
        return {"results": results}

    def _items(self, encoded: Any, output: Any, scores: torch.Tensor) -> list[dict[str, Any]]:
        """Return text, score and words of each sequence. One pass of the decoder, with the same encoding, gives the
        probabilities of the pieces: those of a search hold its penalties.
        """
        sequences = output.sequences
        copies = len(sequences) // len(encoded.feature_mask)
        repeated = {
            name: value.repeat_interleave(copies, 0) if isinstance(value, torch.Tensor) else value
            for name, value in encoded.items()
        }
        logits = self.model(encoder_outputs=type(encoded)(**repeated), decoder_input_ids=sequences[:, :-1]).logits
        log_probs = logits.float().log_softmax(-1).gather(2, sequences[:, 1:, None])[..., 0]
        return [
            {**self._words(ids, values), "score": float(score)}
            for ids, values, score in zip(sequences[:, 1:].tolist(), log_probs.tolist(), scores)
        ]

    def _words(self, ids: list[int], log_probs: list[float]) -> dict[str, Any]:
        """Return text, confidence and words of one sequence of pieces."""
        special, words, pieces, piece_scores, all_scores = set(self.tokenizer.all_special_ids), [], [], [], []
        for index, value in zip(ids, log_probs):
            if index in special:
                continue
            pieces.append(index)
            piece_scores.append(value)
            all_scores.append(value)
            if self.tokenizer.is_gloss_end(index):
                words.append(Word(self.tokenizer.decode(pieces), _mean_probability(piece_scores)))
                pieces, piece_scores = [], []
        if pieces:  # cut at the maximum length
            words.append(Word(self.tokenizer.decode(pieces), _mean_probability(piece_scores)))
        return {
            "text": " ".join(word.word for word in words),
            "confidence": _mean_probability(all_scores),
            "words": words,
        }

    def build_result(self, model_outputs: dict, threshold: float | str | None = None) -> Translation:
        """Build the result of one clip from the outputs of `forward`.

        Args:
            model_outputs: What `forward` returned.
            threshold: Not used.
        """
        output = model_outputs["results"]
        output = output[0] if isinstance(output, list) else output
        metadata, best = output["metadata"], output["n_best"][0]
        start, duration = metadata.get("start", 0.0), round(ends_at(metadata, self.model.config.fps), 4)
        sentence = Sentence(best["text"], round(start, 4), duration, best["confidence"])
        return Translation(
            words=tuple(best["words"]),
            n_best=tuple(TextHypothesis(item["text"], item["score"]) for item in output["n_best"]),
            sentences=(sentence,) if best["text"] else (),
            duration=duration,
            signer=Signer.from_dict(metadata["signer"]) if metadata.get("signer") else None,
            reason=None if best["text"] else "the decoder wrote no word",
        )

    def align(self, *args: Any, **kwargs: Any) -> dict:
        """Raise an error: a text has no signs that could be aligned."""
        raise SignXError("sign-translation cannot align glosses. Use pipeline('sign-recognition') with the model.")


def _mean_probability(log_probs: list[float]) -> float:
    """Return the geometric mean of probabilities; 1 for none."""
    return math.exp(sum(log_probs) / len(log_probs)) if log_probs else 1.0
