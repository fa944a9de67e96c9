"""Base of all configurations of this package: strict about the names and values of options."""

import difflib
import inspect
import warnings
from dataclasses import fields
from typing import Any

from transformers import PreTrainedConfig

# What transformers writes into or reads from a config beside the fields that its base class declares.
_LIBRARY_KEYS = {
    "_attn_implementation", "_attn_implementation_internal", "_commit_hash", "_experts_implementation_internal",
    "_name_or_path", "attn_implementation", "auto_map", "custom_pipelines", "experts_implementation", "model_type",
    "name_or_path", "num_labels", "output_attentions", "per_layer_config", "quantization_config",
    "tie_last_hidden_states", "tie_word_embeddings", "torch_dtype", "transformers_weights", "use_cache",
}  # fmt: skip


def _options(config_class: type) -> list[str]:
    return [name for name in inspect.signature(config_class.__init__).parameters if name not in ("self", "kwargs")]


def _legal_keys(config_class: type) -> set[str]:
    return {*_LIBRARY_KEYS, *(field.name for field in fields(PreTrainedConfig)), *_options(config_class)}


def _suggestion(name: str, config_class: type) -> str:
    """Suggest the nearest legal option, of this config or of its parts (`pose_config.latent_size`)."""
    legal = {option: option for option in _options(config_class)}
    for part, part_class in config_class.sub_configs.items():
        if issubclass(part_class, StrictConfig):
            legal.update({option: f"{part}.{option}" for option in _options(part_class) if option not in legal})
    close = difflib.get_close_matches(name, legal, n=1, cutoff=0.6)
    return f"Did you mean {legal[close[0]]!r}?" if close else f"Its options are {', '.join(_options(config_class))}."


def _split_unknown(options: dict[str, Any], config_class: type) -> tuple[dict[str, Any], list[str]]:
    """Split saved options, including those of parts, into known ones and the names of unknown ones."""
    legal = _legal_keys(config_class)
    known = {name: value for name, value in options.items() if name in legal}
    unknown = [name for name in options if name not in legal]
    for part, part_class in config_class.sub_configs.items():
        if issubclass(part_class, StrictConfig) and isinstance(known.get(part), dict):
            known[part], names = _split_unknown(known[part], part_class)
            unknown += [f"{part}.{name}" for name in names]
    return known, unknown


class StrictConfig(PreTrainedConfig):
    """A config that rejects unknown options on construction and ignores them with a warning when it is loaded.

    transformers alone would store a misspelled option and never read it. A saved config may have options of a newer
    version.

    Raises:
        ValueError: If an option is unknown. The message names the nearest one.
    """

    def __init__(self, **kwargs):
        legal = _legal_keys(type(self))
        for name in kwargs:
            if name not in legal:
                raise ValueError(f"{type(self).__name__} has no option {name!r}. {_suggestion(name, type(self))}")
        super().__init__(**kwargs)

    @classmethod
    def from_dict(cls, config_dict: dict[str, Any], **kwargs) -> "StrictConfig":
        """Build the config from saved options as transformers does; warn of unknown ones and ignore them."""
        known, unknown = _split_unknown(config_dict, cls)
        if unknown:
            source = kwargs.get("name_or_path") or config_dict.get("_name_or_path") or cls.__name__
            warnings.warn(
                f"{source}: ignoring the unknown config options {', '.join(unknown)}. Update signx_hf if a newer "
                "version saved "
                "them.",
                stacklevel=2,
            )
        return super().from_dict(known, **kwargs)

    def _check_integers(self, minimum: int, *names: str) -> None:
        for name in names:
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < minimum:
                raise ValueError(
                    f"`{type(self).__name__}.{name}` must be an integer of at least {minimum}, got {value!r}."
                )

    def _check_integer_list(self, example: str, name: str) -> None:
        """Check a list of positive integers and store it as a list."""
        value = getattr(self, name)
        if not isinstance(value, (list, tuple)) or any(type(entry) is not int or entry < 1 for entry in value):
            raise ValueError(
                f"`{type(self).__name__}.{name}` must be a list of positive integers such as {example}, got {value!r}."
            )
        setattr(self, name, list(value))

    def _check_numbers(self, low: float, high: float, *names: str) -> None:
        for name in names:
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
                raise ValueError(
                    f"`{type(self).__name__}.{name}` must be a number from {low:g} to {high:g}, got {value!r}."
                )

    def _check_divisible(self, size: str, heads: str) -> None:
        if getattr(self, size) % getattr(self, heads):
            raise ValueError(
                f"`{type(self).__name__}.{size}` must be a multiple of {heads}, got {size}={getattr(self, size)} and "
                f"{heads}={getattr(self, heads)}."
            )
