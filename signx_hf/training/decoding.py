"""How dev is decoded: exactly as the pipelines will decode the saved model, from one generation config."""

import copy
from typing import TYPE_CHECKING, Any

from transformers import GenerationConfig

from ..processing.pipeline_signx import SignRecognitionPipeline
from ..processing.translation_pipeline_signx import GLOSS_OPTIONS

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from ..processing.tokenization_signx import SignXTokenizer

DEFAULTS = SignRecognitionPipeline.DEFAULTS


def saved_decoding(model: "PreTrainedModel", num_beams: int, ctc_weight: float = 0.0) -> GenerationConfig:
    """Return the generation config to save with a model: its own, with what dev is decoded with.

    Args:
        model: that generates. A length penalty in its config, as of an upstream model, is kept.
        num_beams: option of this name; 1 for greedy search.
        ctc_weight: of joint decoding.
    """
    values = {"length_penalty": DEFAULTS["length_penalty"], **model.generation_config.to_diff_dict()}
    values.pop("_from_model_config", None)  # else transformers rebuilds it from the model's config on saving
    if num_beams == 1:
        del values["length_penalty"]  # of beam search; transformers would not save it
    return GenerationConfig(**{**values, "num_beams": num_beams, "ctc_weight": ctc_weight})


def dev_decoding(saved: GenerationConfig, tokenizer: "SignXTokenizer", task: str = "gloss") -> GenerationConfig:
    """Return what a pipeline makes of a saved generation config for a task.

    Args:
        saved: of `saved_decoding`.
        tokenizer: of the model.
        task: gloss or text.
    """
    config: Any = copy.deepcopy(saved)
    if task == "gloss":
        config.ctc_glosses = list(tokenizer.ctc_glosses)
        return config
    for name in GLOSS_OPTIONS:
        setattr(config, name, None)
    config.task, config.ctc_weight = task, 0.0
    return config
