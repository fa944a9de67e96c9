"""The options of decoding beside those of transformers: one dataclass, from which defaults and ranges derive.

They are attributes of a `GenerationConfig` and keywords of `generate`; see `SignXGenerationMixin` for how they enter
the score.
"""

import difflib
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

from .ngram_signx import NGramModel

if TYPE_CHECKING:
    from transformers import GenerationConfig

# Used if a language model is given without a weight; chosen on held-out training sentences of RWTH-BOSTON-104.
DEFAULT_LM_WEIGHT = 0.5
# Tokens of all beams together, which transformers allocates before the first step, at some 24 bytes each: glosses of
# an hour in 1,024 beams.
MAX_BEAM_TOKENS = 2**24
SIZES = ("num_beams", "num_return_sequences", "max_new_tokens", "max_length")
# Natural logarithms: 100 outweighs any evidence.
_LIMIT = 100.0


def _option(
    default: object, *, bounds: tuple[float, float] | None = None, choices: tuple = (), scores_glosses: bool = False
) -> Any:
    """Declare an option.

    Args:
        default: its value if it is not set.
        bounds: lowest and highest number, for numbers.
        choices: legal values, for names.
        scores_glosses: whether it adds to the score of glosses, so that CTC decoding reads it and `task="text"`
            rejects it.
    """
    return field(default=default, metadata={"bounds": bounds, "choices": choices, "scores_glosses": scores_glosses})


@dataclass(frozen=True)
class DecodingOptions:
    """Checked options of decoding; `lm_weight` is 0 without a language model.

    Attributes:
        ctc_weight: share of CTC in joint scoring, from 0 (attention only) to 1 (CTC only).
        attention_entropy_weight: alpha, weight of the attention entropy.
        task: "gloss" or "text", the prompt of the decoder.
        lm: path of an ARPA file or a language model.
        lm_weight: weight of the language model.
        length_bonus: natural logarithm added per gloss.
        hot_words: natural logarithm added per occurrence of a gloss.
        ctc_glosses: the gloss of each CTC id except the blank.

    Raises:
        ValueError: If an option is invalid.
    """

    ctc_weight: float = _option(0.0, bounds=(0.0, 1.0))
    attention_entropy_weight: float = _option(0.0, bounds=(0.0, math.inf))
    task: str = _option("gloss", choices=("gloss", "text"))
    lm: str | os.PathLike | NGramModel | None = _option(None)
    lm_weight: float | None = _option(None, bounds=(0.0, _LIMIT), scores_glosses=True)
    length_bonus: float = _option(0.0, bounds=(-_LIMIT, _LIMIT), scores_glosses=True)
    hot_words: Mapping[str, float] | None = _option(None, scores_glosses=True)
    ctc_glosses: Sequence[str] | None = _option(None)

    def __post_init__(self) -> None:
        if not (self.lm is None or isinstance(self.lm, (str, os.PathLike)) or hasattr(self.lm, "log_probs")):
            raise ValueError(f"`lm` must be the path of an ARPA file or an NGramModel, got {self.lm!r:.80}.")
        if self.lm_weight is None:
            object.__setattr__(self, "lm_weight", 0.0 if self.lm is None else DEFAULT_LM_WEIGHT)
        for option in fields(self):
            self._check_domain(option.name, option.metadata)
        if self.lm_weight and self.lm is None:
            raise ValueError(
                f"`lm_weight` must be 0 without a language model, got {self.lm_weight}. Set `lm` to the path of an "
                "ARPA file."
            )
        self._check_hot_words()
        if self.task == "text":
            self._check_text_task()

    def _check_domain(self, name: str, metadata: Mapping[str, Any]) -> None:
        value, bounds, choices = getattr(self, name), metadata["bounds"], metadata["choices"]
        if bounds is not None and not (_is_number(value) and bounds[0] <= value <= bounds[1]):
            low, high = bounds
            domain = f"of at least {low:g}" if math.isinf(high) else f"from {low:g} to {high:g}"
            raise ValueError(f"`{name}` must be a number {domain}, got {value!r}.")
        if choices and value not in choices:
            raise ValueError(f"`{name}` must be {' or '.join(map(repr, choices))}, got {value!r}.")

    def _check_hot_words(self) -> None:
        if self.hot_words is not None and not isinstance(self.hot_words, Mapping):
            raise ValueError(f"`hot_words` must be a dict of glosses and their boosts, got {self.hot_words!r:.80}.")
        for word, boost in (self.hot_words or {}).items():
            if not isinstance(word, str) or not _is_number(boost) or abs(boost) > _LIMIT:
                raise ValueError(
                    f"`hot_words` must map glosses to numbers from {-_LIMIT:g} to {_LIMIT:g}, got {word!r}: {boost!r}."
                )

    def _check_text_task(self) -> None:
        """Reject what scores glosses: the pieces of a text are none."""
        for name, value in {"ctc_weight": self.ctc_weight, **self.gloss_scores}.items():
            if value:
                neutral = 0 if _is_number(value) else None
                raise ValueError(
                    f"`{name}` must be {neutral} with task='text' because it scores glosses, got {value}."
                )

    @property
    def gloss_scores(self) -> dict[str, Any]:
        """The options that add to the score of glosses and are set."""
        values = {
            option.name: getattr(self, option.name) for option in fields(self) if option.metadata["scores_glosses"]
        }
        return {name: value for name, value in values.items() if value}


OPTION_DEFAULTS: dict[str, Any] = {option.name: option.default for option in fields(DecodingOptions)}


def check_search_size(
    config: "GenerationConfig", overrides: Mapping[str, Any] | None = None, clips: int = 1, prompt_length: int = 0
) -> None:
    """Check what a search of the decoder allocates before its first step.

    Args:
        config: numbers of beams and tokens.
        overrides: replace those of the config.
        clips: number of clips in the batch.
        prompt_length: number of tokens before the first that is generated.

    Raises:
        ValueError: If the tokens of all hypotheses are more than `MAX_BEAM_TOKENS`.
    """
    known = {name: (overrides or {}).get(name, getattr(config, name, None)) for name in SIZES}
    sizes = {name: value for name, value in known.items() if isinstance(value, int)}
    beams = max(sizes.get("num_beams", 1), sizes.get("num_return_sequences", 1))
    length = sizes["max_new_tokens"] + prompt_length if "max_new_tokens" in sizes else sizes.get("max_length", 0)
    tokens = clips * beams * length
    if tokens > MAX_BEAM_TOKENS:
        raise ValueError(
            f"clips x `num_beams` x maximum length must be at most {MAX_BEAM_TOKENS:,} tokens, got {clips:,} x "
            f"{beams:,} x {length:,} = {tokens:,} ({24 * tokens / 2**30:.1f} GiB). Decrease `num_beams` or "
            "`max_new_tokens`, by call or in the generation_config.json of the model."
        )


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def read_options(config: "GenerationConfig | None", overrides: Mapping[str, Any] | None = None) -> DecodingOptions:
    """Read the options from a generation config and let `overrides` replace them.

    Args:
        config: a `GenerationConfig` or None. A relative `lm` is looked up in the folder of the model first.
        overrides: options by name. A relative `lm` is looked up in the working directory first.

    Raises:
        ValueError: If an option is invalid, or an attribute of the config is a misspelled option.
    """
    check_names(vars(config) if config is not None else {})
    values = {name: getattr(config, name, None) for name in OPTION_DEFAULTS}
    overrides = overrides or {}
    if "lm" in overrides and overrides["lm"] is None:
        values["lm_weight"] = None  # the weight belongs to the model of the config
    values.update(overrides)
    lm = overrides.get("lm")
    if isinstance(lm, (str, os.PathLike)) and os.path.isfile(lm):
        values["lm"] = os.path.abspath(lm)
    return DecodingOptions(
        **{name: OPTION_DEFAULTS[name] if value is None else value for name, value in values.items()}
    )


def check_names(names: Sequence[str] | Mapping[str, Any]) -> None:
    """Reject names that are nearly the name of an option; other names are left to transformers.

    Raises:
        ValueError: If an option is misspelled. The message names the nearest one.
    """
    for name in names:
        # No option of transformers is this close to one of ours.
        close = [] if name in OPTION_DEFAULTS else difflib.get_close_matches(name, OPTION_DEFAULTS, n=1, cutoff=0.75)
        if close:
            raise ValueError(f"Unknown generation option {name!r}. Did you mean {close[0]!r}?")
