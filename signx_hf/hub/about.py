"""What a card says beyond weights and results: license, training data, consent. Read from a YAML or JSON file."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from ..common.reading import read_yaml_file
from ..processing.errors_signx import SignXError, SignXFileNotFoundError

# ISO 639-3 -> name, of the corpora that this package loads and of other large sign languages
SIGN_LANGUAGES = {
    "ase": "American Sign Language", "gsg": "German Sign Language", "csl": "Chinese Sign Language", "gss": "Greek Sign Language",
    "kvk": "Korean Sign Language", "ins": "Indian Sign Language", "bfi": "British Sign Language", "sgg": "Swiss German Sign Language",
    "dse": "Sign Language of the Netherlands", "fsl": "French Sign Language", "qss": "SignSynth, an invented sign language",
}  # fmt: skip


@dataclass(frozen=True)
class About:
    """Facts for a card; the card says that what is None is not stated.

    Args:
        title: of the card.
        licence: of the weights or the data, as the Hub names it (apache-2.0, cc-by-4.0, ...).
        sign_languages: ISO 639-3 codes.
        spoken_languages: BCP 47 codes, of the words that glosses are made of.
        training_data: corpora by their names in `signx-hf data list`, or sentences about other data.
        glossing: the glossing convention.
        consent: what the people who are shown agreed to.
        limits: sentences about limitations.
        authors: names.
        base_model: Hub name of the model that it was trained from.
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
    """Read facts from a YAML or JSON file.

    Raises:
        SignXError: If there is no such file, or as `parse_about`.
    """
    path = Path(path)
    try:
        content = read_yaml_file(path)
    except FileNotFoundError as error:
        raise SignXFileNotFoundError(
            f"{path}: no such file. Pass a YAML or JSON file of facts for the card."
        ) from error
    except (OSError, ValueError) as error:
        raise SignXError(f"{path} must be YAML or JSON ({' '.join(str(error).split())}).") from error
    return parse_about(content, str(path))


def parse_about(content: object, name: str) -> About:
    """Build an `About` from a mapping.

    Args:
        content: the mapping.
        name: of its file, in messages.

    Raises:
        SignXError: If it is not a mapping, has a name that `About` does not have, or a value that is not text.
    """
    legal = [item.name for item in fields(About)]
    if not isinstance(content, Mapping):
        raise SignXError(f"{name} must be a mapping of {', '.join(legal)}, got {type(content).__name__}.")
    given: dict[str, Any] = {}
    for key, value in content.items():
        if key not in legal:
            raise SignXError(f"{name}: each fact must be one of {', '.join(legal)}, got {key!r}.")
        texts = value if isinstance(value, list) else [value]
        if value is None:
            continue
        if not all(isinstance(text, str) and text.strip() for text in texts):
            kind = "text or a list of texts" if key in LISTS else "text"
            raise SignXError(f"{name}: {key} must be {kind}, got {value!r}.")
        if key in LISTS:
            given[key] = tuple(" ".join(text.split()) for text in texts)
        elif isinstance(value, list):
            raise SignXError(f"{name}: {key} must be one text, got a list.")
        else:
            given[key] = " ".join(value.split())
    return About(**given)


def languages(about: About, datasets: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the sign languages and the spoken languages: as stated, else those of the named corpora."""
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
    """Return the loaders of the names that are corpora."""
    from ..data.load import CORPORA, corpus_class

    return [corpus_class(name) for name in dict.fromkeys(names) if name in CORPORA]
