"""Check the parts of a pipeline against each other, its options, and what a clip is read from."""

import math
import warnings
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

from .errors_signx import SignXError, SignXWarning

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedModel

    from .processing_signx import SignXProcessor
    from .tokenization_signx import SignXTokenizer
    from .video_processing_signx import SignXVideoProcessor

# Name -> whether it is an integer, minimum (None: above 0), maximum.
RANGES: dict[str, tuple[bool, float | None, float]] = {
    "max_new_tokens": (True, 1, 1e6), "max_length": (True, 1, 1e6), "min_new_tokens": (True, 0, 1e6), "top_k": (True, 0, 1e9),
    "no_repeat_ngram_size": (True, 0, 1e6), "temperature": (False, None, 1e6), "repetition_penalty": (False, None, 1e6),
    "top_p": (False, None, 1.0),
}  # fmt: skip
# Every beam is a row of the decoder's batch: a typo that adds three zeros would fill the memory.
MAX_BEAMS = 1024
# Backbones with a fixed grid of patches; others take frames of any size.
PATCHED = ("vit", "deit", "vit_mae")


def check_beams(name: str, value: object) -> None:
    """Check a number of beams or hypotheses.

    Raises:
        ValueError: If the value is not an integer from 1 to MAX_BEAMS.
    """
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MAX_BEAMS:
        raise ValueError(f"`{name}` must be an integer from 1 to {MAX_BEAMS}, got {value!r}.")


def check_task(model: "PreTrainedModel", task: str) -> None:
    """Reject a model whose decoder has not learned a task.

    Args:
        model: of a pipeline.
        task: "gloss" or "text".

    Raises:
        SignXError: If it has learned another task alone.
    """
    learned = what_it_learned(task, getattr(model.config, "trained_tasks", None), model.can_generate())
    if learned is not None and task == "text":
        raise SignXError(
            f"the model has learned {learned}. Use pipeline('sign-recognition') with it, or train it with target: text "
            "or both."
        )
    if learned is not None:
        raise SignXError(
            f"the model has learned {learned}. Use pipeline('sign-translation') with it, or train it with target: both."
        )


def what_it_learned(task: str, trained: Collection[str] | None, can_generate: bool) -> str | None:
    """Return what a model has learned instead of a task; None if it has learned the task.

    Args:
        task: "gloss" or "text".
        trained: Tasks of its decoder (`config.trained_tasks`); None: glosses.
        can_generate: Whether it has a decoder; a stage-3 model has none.
    """
    if not can_generate:
        return "glosses by CTC alone (stage 3), without a decoder that could write text" if task == "text" else None
    if task in (trained or ("gloss",)):
        return None
    return "glosses, not text" if task == "text" else "text, not glosses"


def has_ctc(model: "PreTrainedModel") -> bool:
    """Return whether a model has CTC, which times, confidences and the windows of a recording come from."""
    return hasattr(model, "get_features")


def check_ctc(model: "PreTrainedModel", what: str) -> None:
    """Reject a model without CTC, whose decoder says what is signed but not when.

    Args:
        model: of a pipeline.
        what: what needs CTC, at the start of the message.

    Raises:
        SignXError: If the model has none.
    """
    if not has_ctc(model):
        raise SignXError(
            f"{what} needs a model with CTC, got {type(model).__name__}, whose decoder gives no times. Train stage 3 or 4 "
            "from it: `signx-hf train latent_ctc` or `refine`."
        )


def check_ctc_options(model: "PreTrainedModel", options: Mapping[str, Any]) -> None:
    """Reject options of a pipeline that a model without CTC does not have.

    Args:
        model: of the pipeline.
        options: of a call, as they were given.

    Raises:
        SignXError: If one needs CTC.
    """
    asked = {
        "chunk_length_s": options.get("chunk_length_s") is not None,
        "decoder='ctc'": options.get("decoder") == "ctc",
        "ctc_weight": bool(options.get("ctc_weight")),
        "threshold": options.get("threshold") not in (None, "none"),
    }
    for name, is_asked in asked.items():
        if is_asked:
            check_ctc(model, f"`{name}`")


def check_entry(config: "PreTrainedConfig", source: str, name: str) -> None:
    """Check that the model was trained on this input, because the result would be meaningless otherwise.

    Args:
        config: `SignXConfig` of the model.
        source: `"video"` or `"poses"`.
        name: Name of the clip, for the message.

    Raises:
        SignXError: If the model was not trained on this input.
    """
    entries = getattr(config, "trained_entries", None)
    if entries is not None and source not in entries:
        remedy = "Train it on video" if source == "video" else "Pass video"
        raise SignXError(
            f"{name}: the model was trained on {' and '.join(entries) or 'nothing'}, got {source}. {remedy}, or "
            "use another model."
        )


def check_nearest(person: int | str | None, name: str) -> None:
    """Check that no person is selected where landmarks are extracted on the fly.

    MediaPipe always follows the nearest person.

    Args:
        person: The option of the call.
        name: Name of the clip, for the message.

    Raises:
        SignXError: If `person` is neither None nor `"largest"`.
    """
    if person not in (None, "largest"):
        raise SignXError(
            f"{name}: `person` must be 'largest' for a video whose landmarks are extracted on the fly, got "
            f"{person!r}. MediaPipe follows whoever is nearest; crop the video to the signer."
        )


def check_range(name: str, value: float) -> None:
    """Check a generation option against `RANGES`.

    Raises:
        ValueError: If the value has another type or is out of range.
    """
    is_integer, least, most = RANGES[name]
    kind = int if is_integer else (int, float)
    good = isinstance(value, kind) and not isinstance(value, bool) and math.isfinite(value)
    if not good or not (value > 0 if least is None else value >= least) or value > most:
        low = "above 0 and at most" if least is None else f"from {least:g} to"
        raise ValueError(
            f"`{name}` must be {'an integer' if is_integer else 'a number'} {low} {most:g}, got {value!r}."
        )


def check_parts(model: "PreTrainedModel", processor: "SignXProcessor | None") -> None:
    """Check that the processor belongs to the model; otherwise the glosses would not be those of the clip.

    Raises:
        SignXError: If the model or processor is of another type, or their tracks or frame sizes differ.
    """
    config = model.config
    if config.model_type != "signx":
        raise SignXError(
            f"the model must be of type 'signx', got {config.model_type!r}. Pass a folder or Hub name that a "
            "SignX model was saved to."
        )
    if processor is None:
        raise SignXError(
            "the model has no processor. Save one next to it with processor.save_pretrained(folder), or pass "
            "processor=."
        )
    parts = ("video_processor", "feature_extractor", "tokenizer")
    if not all(hasattr(processor, name) for name in parts) or not hasattr(processor.feature_extractor, "track_dims"):
        raise SignXError(
            f"the processor must be a SignXProcessor, got {type(processor).__name__}. Load the one that was saved "
            "with the model."
        )
    _check_tracks(processor.feature_extractor.track_dims, config.pose_config.track_dims)
    if config.vision_config is not None:
        _check_frames(processor.video_processor, config)
    for name, part in (
        ("video processor", processor.video_processor),
        ("pose extractor", processor.feature_extractor),
    ):
        if part.fps is not None and part.fps != config.fps:
            warnings.warn(
                f"the {name} gives {part.fps:g} fps but the model was configured for {config.fps:g} fps, so signs "
                f"look faster or slower than in training. Set the processor's fps to {config.fps:g}.",
                SignXWarning,
                stacklevel=4,
            )


def _check_tracks(actual: dict[str, int], expected: dict[str, int]) -> None:
    if list(actual.items()) != list(expected.items()):  # their order is the order in pose_values
        named = [", ".join(f"{name} {size}" for name, size in tracks.items()) for tracks in (actual, expected)]
        raise SignXError(
            f"the pose extractor must have the tracks of the model in the same order ({named[1]}), got "
            f"{named[0]}. Load the processor that was saved with the model."
        )


def _check_frames(video_processor: "SignXVideoProcessor", config: "PreTrainedConfig") -> None:
    height, width = video_processor.size["height"], video_processor.size["width"]
    if (height, width) == (config.image_size, config.image_size):
        return
    expected = f"{config.image_size}x{config.image_size}"
    message = f"the video processor gives frames of {height}x{width} but the model was configured for {expected}"
    if config.vision_config.model_type in PATCHED:
        raise SignXError(f"{message}. Load the processor that was saved with the model, or set its size.")
    warnings.warn(
        f"{message}, so signers look smaller or larger than in training. Load the processor that was saved "
        "with the model.",
        SignXWarning,
        stacklevel=5,
    )


def check_vocabulary(model: "PreTrainedModel", tokenizer: "SignXTokenizer", decodes_text: bool) -> None:
    """Check that the ids of the tokenizer mean the same to the model.

    Args:
        model: SignX model.
        tokenizer: `SignXTokenizer`.
        decodes_text: Whether the text decoder is used, so that pieces matter, too.

    Raises:
        SignXError: If the number of CTC glosses or pieces differs, or glosses have other pieces.
    """
    config, remedy = model.config, "Load the tokenizer that was saved with the model."
    sizes = [("glosses (blank included)", "ctc_vocab_size", tokenizer.ctc_vocab_size, config.ctc_vocab_size)]
    if decodes_text:
        sizes.append(("pieces", "text_config.vocab_size", len(tokenizer), config.text_config.vocab_size))
    for what, option, actual, expected in sizes:
        if actual != expected:
            raise SignXError(
                f"vocabulary mismatch: the tokenizer has {actual} {what} but the model has {option}={expected}. "
                f"{remedy}"
            )
    spelled = config.text_config.gloss_pieces
    if spelled is None:
        return
    for index, (pieces, saved) in enumerate(zip(tokenizer.gloss_piece_ids(), spelled)):
        if pieces != list(saved):
            raise SignXError(
                f"vocabulary mismatch: CTC id {index} ({tokenizer.ctc_glosses[index - 1]!r}) has pieces {pieces} in "
                f"the tokenizer but {list(saved)} in the model (text_config.gloss_pieces). {remedy}"
            )
