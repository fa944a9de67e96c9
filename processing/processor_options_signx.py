"""Say which part of `SignXProcessor` an option of a call, or of loading, belongs to."""

import difflib
from collections.abc import Mapping
from typing import Any, TypedDict

from transformers.processing_utils import ProcessingKwargs
from transformers.tokenization_utils_base import PreTrainedTokenizerBase
from transformers.utils import PaddingStrategy

from .errors_signx import SignXError
from .feature_extraction_signx import OPTIONS as POSE_OPTIONS
from .pose_options_signx import PosePaddingKwargs
from .video_processing_signx import SignXVideoProcessorInitKwargs, SignXVideoProcessorKwargs


class SignXTextKwargs(TypedDict, total=False):
    """Options of a call for `labels`."""

    padding: bool | str | None
    max_length: int | None
    truncation: bool | str | None
    pad_to_multiple_of: int | None


class SignXProcessorKwargs(ProcessingKwargs, total=False):
    """Options of a call of `SignXProcessor`, as transformers looks them up."""

    videos_kwargs: SignXVideoProcessorKwargs  # type: ignore[misc]
    text_kwargs: SignXTextKwargs  # type: ignore[misc]
    poses_kwargs: dict[str, Any]


COMMON = {"return_tensors": "pt", "return_metadata": False}
# Dictionary of a call -> its options
NAMES = {
    "videos_kwargs": tuple(name for name in SignXVideoProcessorKwargs.__annotations__ if name not in COMMON),
    "poses_kwargs": (*POSE_OPTIONS, "hand", *PosePaddingKwargs.__annotations__),
    "text_kwargs": tuple(SignXTextKwargs.__annotations__),
}
# Options that both poses and text have mean text where they are given without a dictionary, as in transformers.
OF_TEXT = NAMES["text_kwargs"]
# Options of a tokenizer at loading, apart from those that a call has, too
TOKENIZER_OPTIONS = (
    *PreTrainedTokenizerBase.SPECIAL_TOKENS_ATTRIBUTES, *OF_TEXT, "ctc_glosses", "extra_special_tokens",
    "model_max_length", "padding_side", "truncation_side", "clean_up_tokenization_spaces", "split_special_tokens",
)  # fmt: skip
ALIKE = 0.75  # how similar a name must be to that of an option to be taken for a misspelling


def options_of_call(options: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Sort the options of a call by the part that they belong to.

    Args:
        options: As given: dictionaries such as `videos_kwargs`, `common_kwargs`, and single options.
        defaults: Options that the tokenizer was loaded with, for `text_kwargs`.

    Returns:
        `videos_kwargs`, `poses_kwargs`, `text_kwargs`, and `common` with `return_tensors` and `return_metadata`.

    Raises:
        SignXError: If an option is unknown or given twice.
    """
    sorted_options: dict[str, dict[str, Any]] = {group: {} for group in (*NAMES, "common")}

    def add(group: str, name: str, value: Any) -> None:
        if name in COMMON:  # may be given twice; the one outside of a dictionary counts
            sorted_options["common"][name] = value
        elif name in sorted_options[group]:
            raise SignXError(f"`{name}` must be given once, got it in `{group}` and outside of it.")
        else:
            sorted_options[group][name] = value

    dictionaries = [name for name in (*NAMES, "common_kwargs") if name in options]
    for group in dictionaries:
        if not isinstance(options[group], Mapping):
            raise SignXError(f"`{group}` must be a dictionary of options, got {type(options[group]).__name__}.")
        legal = (*COMMON, *NAMES.get(group, ()))
        for name, value in options[group].items():
            if name not in legal:
                raise SignXError(_unknown(name, legal, f"`{group}`"))
            add(group, name, value)
    every = dict.fromkeys([*COMMON, *(name for names in NAMES.values() for name in names), *NAMES])
    for name in (name for name in options if name not in dictionaries):
        if name not in every:
            raise SignXError(_unknown(name, tuple(every), "SignXProcessor"))
        owners = [group for group, names in NAMES.items() if name in names]
        for group in ["text_kwargs"] if name in OF_TEXT else owners or ["common"]:
            add(group, name, options[name])
    known = {name: defaults[name] for name in OF_TEXT if defaults.get(name) is not None}
    sorted_options["text_kwargs"] = {**known, **sorted_options["text_kwargs"]}
    common = {name: value for name, value in sorted_options["common"].items() if value is not None}
    sorted_options["common"] = {**COMMON, **common}
    if sorted_options["common"]["return_tensors"] not in ("pt", "np"):
        tensors = sorted_options["common"]["return_tensors"]
        raise SignXError(f"`return_tensors` must be 'pt' or 'np', got {tensors!r}.")
    return sorted_options


def _unknown(name: str, legal: tuple[str, ...], owner: str) -> str:
    near = difflib.get_close_matches(str(name), legal, n=1)
    remedy = f"Did you mean {near[0]!r}?" if near else f"Its options are {', '.join(legal)}."
    return f"{owner} has no option {name!r}. {remedy}"


def options_of_parts(options: Mapping[str, Any]) -> tuple[dict[str, dict[str, Any]], dict[str, Any]]:
    """Sort the options of `from_pretrained`.

    Args:
        options: As given.

    Returns:
        The options of `video_processor`, `feature_extractor` and `tokenizer`, and the rest.

    Raises:
        SignXError: If a name is that of an option, but for a letter or two.
    """
    names = {
        "video_processor": tuple(SignXVideoProcessorInitKwargs.__annotations__),
        "feature_extractor": POSE_OPTIONS,
        "tokenizer": TOKENIZER_OPTIONS,
    }
    legal = {name for part in names.values() for name in part}
    parts = {part: {name: options[name] for name in own if name in options} for part, own in names.items()}
    rest = {name: value for name, value in options.items() if name not in legal}
    for name in rest:
        near = difflib.get_close_matches(name, sorted(legal), n=1, cutoff=ALIKE)
        if near and name not in LOADING:
            raise SignXError(f"SignXProcessor has no option {name!r}. Did you mean {near[0]!r}?")
    return parts, rest


# Keywords of every `from_pretrained` and of the processor itself, which are no misspelled options.
LOADING = (
    "chat_template", "use_fast", "token", "revision", "code_revision", "tokenizer", "video_processor",
    "feature_extractor",
)  # fmt: skip


def target_length(lengths: list[int], options: Mapping[str, Any]) -> int:
    """Return the number of columns of `labels`.

    Args:
        lengths: Number of pieces of each sentence, at least one.
        options: `text_kwargs`.

    Raises:
        SignXError: If the sentences are not to be padded, but differ in length, or there is no maximum.
        ValueError: If `padding` is none of the strategies of transformers.
    """
    padding, longest = options.get("padding"), max(lengths)
    strategy = PaddingStrategy("longest" if padding in (None, True) else padding or "do_not_pad")
    if strategy == PaddingStrategy.DO_NOT_PAD:
        if len(set(lengths)) > 1:
            raise SignXError(
                f"`padding` must be True for sentences of different lengths ({min(lengths)} to {longest} pieces), got "
                f"{padding!r}."
            )
        return longest
    if strategy == PaddingStrategy.MAX_LENGTH:
        if options.get("max_length") is None:
            raise SignXError("`max_length` must be given with padding='max_length'.")
        longest = max(longest, options["max_length"])
    multiple = options.get("pad_to_multiple_of") or 1
    return -(-longest // multiple) * multiple


def piece_limit(options: Mapping[str, Any], most: int) -> int | None:
    """Return how many pieces of a sentence are kept; None for all.

    Args:
        options: `text_kwargs`.
        most: `model_max_length` of the tokenizer.

    Raises:
        SignXError: If a length is not a positive integer, or `truncation` has no maximum.
    """
    for name in ("max_length", "pad_to_multiple_of"):
        value = options.get(name)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
            raise SignXError(f"`{name}` must be a positive integer, got {value!r:.80}.")
    if options.get("truncation") in (None, False, "do_not_truncate"):
        return None
    limit = options.get("max_length") or most
    if limit > 1e9:  # what transformers writes for "no maximum"
        raise SignXError("`max_length` must be given with truncation=True.")
    return max(limit, 2)  # the prompt and the end
