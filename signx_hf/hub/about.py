"""What a card says that weights and results cannot: licence, training data, consent. Read from a YAML or JSON file."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from ..processing.errors_signx import SignXError, SignXFileNotFoundError

# ISO 639-3 -> name, of the corpora that this package loads and of large neighbours
SIGN_LANGUAGES = {
    "ase": "American Sign Language", "gsg": "German Sign Language", "csl": "Chinese Sign Language", "gss": "Greek Sign Language",
    "kvk": "Korean Sign Language", "ins": "Indian Sign Language", "bfi": "British Sign Language", "sgg": "Swiss German Sign Language",
    "dse": "Sign Language of the Netherlands", "fsl": "French Sign Language", "qss": "SignSynth, an invented sign language",
}  # fmt: skip


@dataclass(frozen=True)
class About:
    """Facts for a card; what is None is said to be unstated.

    licence: of the weights or the data, as the Hub names it (apache-2.0, cc-by-4.0, ...). sign_languages: ISO 639-3.
    spoken_languages: BCP 47, of the words that glosses are made of. training_data: corpora by the names of `signx-hf data list`, or
    sentences about other data. glossing: the convention. consent: what the people who are shown agreed to. limits: sentences.
    """

    title: str | None = None
    licence: str | None = None
    sign_languages: tuple[str, ...] = ()
    spoken_languages: tuple[str, ...] = ()
    training_data: tuple[str, ...] = ()
    glossing: str | None = None
    consent: str | None = None
    limits: tuple[str, ...] = ()
    authors: tuple[str, ...] = ()
    base_model: str | None = None


LISTS = ("sign_languages", "spoken_languages", "training_data", "limits", "authors")


def read_about(path: str | Path) -> About:
    """Facts from a YAML or JSON file.

    Raises:
        SignXError: no such file, no mapping, a name that `About` does not have, or a value that is no text or list of texts.
    """
    import yaml

    path = Path(path)
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise SignXFileNotFoundError(f"{path}: no such file; wanted facts for the card in YAML or JSON") from error
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise SignXError(
            f"{path}: cannot be read ({' '.join(str(error).split())}); wanted YAML or JSON; correct it"
        ) from error
    return parse_about(found, str(path))


def parse_about(found: Any, name: str) -> About:
    """A mapping -> About; `name` is what messages call it. Raises SignXError as `read_about`."""
    legal = [item.name for item in fields(About)]
    if not isinstance(found, Mapping):
        raise SignXError(f"{name}: {type(found).__name__}; wanted a mapping of {', '.join(legal)}")
    given: dict[str, Any] = {}
    for key, value in found.items():
        if key not in legal:
            raise SignXError(f"{name}: unknown fact {key!r}; wanted one of {', '.join(legal)}")
        texts = value if isinstance(value, list) else [value]
        if value is None:
            continue
        if not all(isinstance(text, str) and text.strip() for text in texts):
            raise SignXError(f"{name}: {key} is {value!r}; wanted text" + (" or a list of texts" * (key in LISTS)))
        if key in LISTS:
            given[key] = tuple(" ".join(text.split()) for text in texts)
        elif isinstance(value, list):
            raise SignXError(f"{name}: {key} is a list; wanted one text")
        else:
            given[key] = " ".join(value.split())
    return About(**given)


def languages(about: About, datasets: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Sign languages and spoken languages: as stated, else of the corpora of those names."""
    if about.sign_languages and about.spoken_languages:
        return about.sign_languages, about.spoken_languages
    signed, spoken = [], []
    for corpus in corpora(datasets):
        signed += [getattr(corpus, "sign_language", None)]
        spoken += [getattr(corpus, "spoken_language", None)]
    return (
        about.sign_languages or tuple(dict.fromkeys(code for code in signed if code)),
        about.spoken_languages or tuple(dict.fromkeys(code for code in spoken if code)),
    )


def corpora(names: tuple[str, ...]) -> list[Any]:
    """The loaders of those names that are names of corpora."""
    from ..data.load import CORPORA, corpus_class

    return [corpus_class(name) for name in dict.fromkeys(names) if name in CORPORA]
