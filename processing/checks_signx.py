"""Check what a pipeline is given: model and processor against each other, options, and what a clip is read from."""

import math
import warnings
from typing import Any

from .errors_signx import SignXError, SignXWarning

# name -> whole, least (None: above 0), most
RANGES: dict[str, tuple[bool, float | None, float]] = {
    "max_new_tokens": (True, 1, 1e6), "max_length": (True, 1, 1e6), "min_new_tokens": (True, 0, 1e6), "top_k": (True, 0, 1e9),
    "no_repeat_ngram_size": (True, 0, 1e6), "temperature": (False, None, 1e6), "repetition_penalty": (False, None, 1e6),
    "top_p": (False, None, 1.0),
}  # fmt: skip
# Every beam is a row of the decoder's batch: a typing error of three zeros would fill the memory.
MAX_BEAMS = 1024
# Backbones that cut a frame into a fixed grid of patches; the others take frames of any size.
PATCHED = ("vit", "deit", "vit_mae")


def check_beams(name: str, value: Any) -> None:
    """Refuses a number of beams or hypotheses that no search can have."""
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MAX_BEAMS:
        raise ValueError(f"{name} is {value!r}: wanted an integer >= 1 and at most {MAX_BEAMS}")


def check_entry(config: Any, source: str, name: str) -> None:
    """Refuses clips of a source, `video` or `poses`, that the model was not trained on: it would make something up.

    Raises:
        SignXError: says what the model was trained on.
    """
    entries = getattr(config, "trained_entries", None)
    if entries is not None and source not in entries:
        remedy = "train its video entry" if source == "video" else "give video"
        raise SignXError(
            f"{name}: {source}, but the model was trained on {' and '.join(entries) or 'nothing'}: wanted clips of that kind; {remedy}"
        )


def check_nearest(person: int | str | None, name: str) -> None:
    """Refuses to choose a person in a video whose landmarks are extracted on the way: MediaPipe follows the nearest.

    Raises:
        SignXError: another person is asked for than the largest.
    """
    if person not in (None, "largest"):
        raise SignXError(
            f"{name}: person must be 'largest' for a video whose landmarks are extracted on the way, got {person!r}: MediaPipe follows who is "
            "nearest; crop the video to the signer"
        )


def check_range(name: str, value: Any) -> None:
    """Refuses a generation option outside the `RANGES` in which the library can use it."""
    whole, least, most = RANGES[name]
    kind = int if whole else (int, float)
    good = isinstance(value, kind) and not isinstance(value, bool) and math.isfinite(value)
    if not good or not (value > 0 if least is None else value >= least) or value > most:
        low = "above 0" if least is None else f">= {least:g}"
        raise ValueError(
            f"{name} is {value!r}: wanted {'an integer' if whole else 'a number'} {low} and at most {most:g}"
        )


def check_parts(model: Any, processor: Any) -> None:
    """Refuses a processor that does not belong to the model: together they would give glosses, but not those of the clip.

    Raises:
        SignXError: another model type or processor class, other tracks, another frame size.
    """
    config = model.config
    if config.model_type != "signx":
        raise SignXError(
            f"found a model of type {config.model_type!r}: wanted 'signx'; give a folder or Hub name that a SignX model was "
            "saved to"
        )
    if processor is None:
        raise SignXError(
            "found no processor: wanted one saved beside the model (processor.save_pretrained(folder)) or passed as processor="
        )
    parts = ("video_processor", "feature_extractor", "tokenizer")
    if not all(hasattr(processor, name) for name in parts) or not hasattr(processor.feature_extractor, "track_dims"):
        raise SignXError(
            f"found the processor {type(processor).__name__}: wanted a SignXProcessor, as saved with the model"
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
                f"the {name} gives {part.fps:g} fps but the model was configured for {config.fps:g} fps: signs seem faster or "
                f"slower than in training; set the processor's fps to {config.fps:g}",
                SignXWarning,
                stacklevel=4,
            )


def _check_tracks(found: dict[str, int], wanted: dict[str, int]) -> None:
    if list(found.items()) != list(wanted.items()):  # their order is the order in pose_values
        named = [", ".join(f"{name} {size}" for name, size in tracks.items()) for tracks in (found, wanted)]
        raise SignXError(
            f"the pose extractor has the tracks {named[0]} but the model {named[1]}: wanted the same in the same order; load "
            "the processor that was saved with the model"
        )


def _check_frames(video_processor: Any, config: Any) -> None:
    height, width = video_processor.size["height"], video_processor.size["width"]
    if (height, width) == (config.image_size, config.image_size):
        return
    message = (
        f"the video processor gives frames of {height}x{width} but the model was configured for {config.image_size}x"
    )
    message += f"{config.image_size}"
    if config.vision_config.model_type in PATCHED:
        raise SignXError(
            f"{message}: wanted the same; load the processor that was saved with the model, or set its size"
        )
    warnings.warn(f"{message}: signers seem smaller or larger than in training", SignXWarning, stacklevel=5)


def check_vocabulary(model: Any, tokenizer: Any, decodes_text: bool) -> None:
    """Refuses a tokenizer whose ids mean something else than the model's.

    Raises:
        SignXError: another number of CTC glosses or pieces, or other pieces for the same glosses.
    """
    config, remedy = model.config, "load the tokenizer that was saved with the model"
    found = [("glosses (blank included)", "ctc_vocab_size", tokenizer.ctc_vocab_size, config.ctc_vocab_size)]
    if decodes_text:
        found.append(("pieces", "text_config.vocab_size", len(tokenizer), config.text_config.vocab_size))
    for what, option, have, want in found:
        if have != want:
            raise SignXError(
                f"vocabulary mismatch: the tokenizer has {have} {what} but the model has {option}={want}: wanted the same; "
                f"{remedy}"
            )
    spelled = config.text_config.gloss_pieces
    if spelled is None:
        return
    for index, (have, want) in enumerate(zip(tokenizer.gloss_piece_ids(), spelled)):
        if have != list(want):
            raise SignXError(
                f"vocabulary mismatch: CTC id {index} is {tokenizer.ctc_glosses[index - 1]!r} to the tokenizer, pieces {have}, "
                f"but pieces {list(want)} to the model (text_config.gloss_pieces): wanted the same; {remedy}"
            )
