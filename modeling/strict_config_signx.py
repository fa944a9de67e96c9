"""Base of all configurations of this package: strict about nearly right names, and about the values of options."""

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


# Likeness, from 0 to 1, from which on a name is taken for a misspelled option; that of generation options is the same.
_NEAR = 0.75


def _options(config_class: type) -> list[str]:
    return [name for name in inspect.signature(config_class.__init__).parameters if name not in ("self", "kwargs")]


def _legal_keys(config_class: type) -> set[str]:
    return {*_LIBRARY_KEYS, *(field.name for field in fields(PreTrainedConfig)), *_options(config_class)}


def _nearest_option(name: str, config_class: type) -> str | None:
    """Return the legal option that a name nearly is, of this config or of its parts (`pose_config.latent_size`)."""
    legal = {option: option for option in _options(config_class)}
    for part, part_class in config_class.sub_configs.items():
        if issubclass(part_class, StrictConfig):
            legal.update({option: f"{part}.{option}" for option in _options(part_class) if option not in legal})
    legal.update({key: key for key in _legal_keys(config_class) if not key.startswith("_") and key not in legal})
    close = difflib.get_close_matches(name, legal, n=1, cutoff=_NEAR)
    return legal[close[0]] if close else None


def _split_unknown(
    options: dict[str, Any], config_class: type
) -> tuple[dict[str, Any], list[tuple[str | None, str, Any]]]:
    """Split saved options into known ones and unknown ones: part of the config (None: itself), name, value."""
    legal = _legal_keys(config_class)
    known = {name: value for name, value in options.items() if name in legal}
    unknown: list[tuple[str | None, str, Any]] = [
        (None, name, value) for name, value in options.items() if name not in legal
    ]
    for part, part_class in config_class.sub_configs.items():
        if issubclass(part_class, StrictConfig) and isinstance(known.get(part), dict):
            known[part], others = _split_unknown(known[part], part_class)
            unknown += [(part, name, value) for _, name, value in others]
    return known, unknown


def unknown_options(options: dict[str, Any], config_class: type) -> list[str]:
    """Return names, as `name` or `part.name`, that a config would store as attributes of the user's own: those like no option."""
    unknown = []
    for part, name, _ in _split_unknown(options, config_class)[1]:
        owner = config_class if part is None else config_class.sub_configs[part]
        if _nearest_option(name, owner) is None:
            unknown.append(name if part is None else f"{part}.{name}")
    return unknown


class StrictConfig(PreTrainedConfig):
    """A config that rejects misspelled options on construction, and warns of unknown ones when it is loaded.

    transformers alone would store a misspelled option and never read it. Names like no option are attributes of the
    user's own, stored and saved as in any config of transformers. A saved config may have options of a newer version;
    these are kept, too.

    Raises:
        ValueError: If a name is nearly that of an option, which the message names, or that of a method.
    """

    def __init__(self, **kwargs):
        legal = _legal_keys(type(self))
        for name in kwargs:
            if name in legal:
                continue
            near = _nearest_option(name, type(self))
            if near is not None or hasattr(type(self), name):
                raise ValueError(
                    f"{type(self).__name__} has no option {name!r}. "
                    + (f"Did you mean {near!r}?" if near else f"Its options are {', '.join(_options(type(self)))}.")
                )
        super().__init__(**kwargs)

    @classmethod
    def from_dict(cls, config_dict: dict[str, Any], **kwargs) -> "StrictConfig":
        """Build the config from saved options as transformers does; warn of unknown ones, which have no effect."""
        known, unknown = _split_unknown(config_dict, cls)
        result = super().from_dict(known, **kwargs)
        if unknown:
            source = kwargs.get("name_or_path") or config_dict.get("_name_or_path") or cls.__name__
            names = ", ".join(name if part is None else f"{part}.{name}" for part, name, _ in unknown)
            warnings.warn(
                f"{source}: the unknown config options {names} have no effect. Update signx_hf if a newer "
                "version saved them.",
                stacklevel=2,
            )
            config = result[0] if isinstance(result, tuple) else result
            for part, name, value in unknown:
                owner = config if part is None else getattr(config, part)
                if not hasattr(type(owner), name):  # it would hide a method
                    setattr(owner, name, value)
        return result

    def _get_generation_parameters(self) -> dict[str, Any]:
        """Return parameters of generation that are no options of this config: transformers saves no config with one."""
        found = super()._get_generation_parameters()
        return {name: value for name, value in found.items() if name not in _options(type(self))}

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
