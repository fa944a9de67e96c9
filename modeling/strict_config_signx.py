"""What every config of this package has in common: it refuses what it does not know, and says what it knows."""

import difflib
import inspect
from dataclasses import fields

from transformers import PreTrainedConfig

# What transformers itself writes into or reads from a config, beside the fields its base class declares.
_LIBRARY_KEYS = {
    "_attn_implementation", "_attn_implementation_internal", "_commit_hash", "_experts_implementation_internal",
    "_name_or_path", "attn_implementation", "auto_map", "custom_pipelines", "experts_implementation", "model_type",
    "name_or_path", "num_labels", "output_attentions", "per_layer_config", "quantization_config",
    "tie_last_hidden_states", "tie_word_embeddings", "torch_dtype", "transformers_weights", "use_cache",
}  # fmt: skip


def _nearest(name: str, config_class: type) -> str:
    """The remedy for a misspelt option: the nearest legal one, of this config or of its parts (`pose_config.latent_size`)."""
    legal = {option: option for option in _options(config_class)}
    for part, part_class in config_class.sub_configs.items():
        if issubclass(part_class, StrictConfig):
            legal.update({option: f"{part}.{option}" for option in _options(part_class) if option not in legal})
    close = difflib.get_close_matches(name, legal, n=1, cutoff=0.6)
    return f"did you mean {legal[close[0]]!r}?" if close else f"legal names are {', '.join(_options(config_class))}"


def _options(config_class: type) -> list[str]:
    return [name for name in inspect.signature(config_class.__init__).parameters if name not in ("self", "kwargs")]


class StrictConfig(PreTrainedConfig):
    """A config that refuses what it does not know. transformers alone would store a misspelt name and ignore it."""

    def __init__(self, **kwargs):
        library = _LIBRARY_KEYS | {field.name for field in fields(PreTrainedConfig)}
        for name in kwargs:
            if name not in library:
                raise ValueError(f"{type(self).__name__} has no option {name!r}: {_nearest(name, type(self))}")
        super().__init__(**kwargs)

    def _check_integers(self, minimum: int, *names: str) -> None:
        for name in names:
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < minimum:
                raise ValueError(f"{type(self).__name__}.{name} is {value!r}: wanted an integer >= {minimum}")

    def _check_integer_list(self, example: str, name: str) -> None:
        """Stores a list of integers >= 1 as a list."""
        value = getattr(self, name)
        if not isinstance(value, (list, tuple)) or any(type(entry) is not int or entry < 1 for entry in value):
            raise ValueError(
                f"{type(self).__name__}.{name} is {value!r}: wanted a list of integers >= 1, e.g. {example}"
            )
        setattr(self, name, list(value))

    def _check_numbers(self, low: float, high: float, *names: str) -> None:
        for name in names:
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
                raise ValueError(f"{type(self).__name__}.{name} is {value!r}: wanted a number from {low} to {high}")

    def _check_divisible(self, size: str, heads: str) -> None:
        if getattr(self, size) % getattr(self, heads):
            raise ValueError(
                f"{type(self).__name__}: {size}={getattr(self, size)} is not a multiple of {heads}={getattr(self, heads)}"
            )
