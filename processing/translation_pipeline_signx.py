"""The pipeline `sign-translation`: a clip to a spoken-language sentence. It travels with the weights."""

from typing import Any

from transformers import GenerationConfig

from .join_signx import join_translations
from .results_signx import Signer, TextHypothesis, Translation
from .segments_signx import ends_at
from .sentence_pipeline_signx import READING, SignXSentencePipeline
from .text_items_signx import GLOSS_OPTIONS, for_text, sentences_of


class SignTranslationPipeline(SignXSentencePipeline):
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

    NAME = "sign-translation"
    TASK = "text"
    OPTIONS = READING
    REFUSED = ("decoder", "threshold", *GLOSS_OPTIONS)
    _join = staticmethod(join_translations)

    def _sorted_options(self, **kwargs):
        refused = [name for name in self.REFUSED if kwargs.get(name) is not None]
        if refused:
            raise ValueError(f"sign-translation has no option {refused[0]!r}, which is for glosses. Leave it out.")
        return super()._sorted_options(**kwargs)

    def _generation_config(self, options: dict[str, Any]) -> GenerationConfig:
        """Return the generation config, with the prompt for text and without what scores glosses."""
        return for_text(super()._generation_config(options))

    def _decode(self, encoded: Any, metadata: list[dict], n_best: int, generation: dict[str, Any], **options: Any):
        """Return the hypotheses of each clip."""
        return [{"n_best": items} for items in self._texts(encoded, n_best, generation)]

    def build_result(self, model_outputs: dict, **options: Any) -> Translation:
        """Build the result of one clip from the outputs of `forward`.

        Args:
            model_outputs: What `forward` returned.
            options: None.
        """
        output = self._only(model_outputs)
        metadata, best = output["metadata"], output["n_best"][0]
        duration = ends_at(metadata, self.model.config.fps)
        return Translation(
            words=tuple(best["words"]),
            n_best=tuple(TextHypothesis(item["text"], item["score"]) for item in output["n_best"]),
            sentences=sentences_of(best, metadata.get("start", 0.0), duration),
            duration=round(duration, 4),
            signer=Signer.from_dict(metadata["signer"]) if metadata.get("signer") else None,
            reason=None if best["text"] else "the decoder wrote no word",
        )
