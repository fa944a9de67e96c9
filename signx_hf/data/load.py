"""Load corpora by name."""

import importlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .corpus import SPLIT_ALIASES, Corpus
from .errors import SignXDataError, nearest

# name -> class, in the file of the same name; a new corpus is one file and one line here
CORPORA = {
    "phoenix14": "Phoenix14",
    "phoenix14t": "Phoenix14T",
    "csl_daily": "CSLDaily",
    "how2sign": "How2Sign",
    "asllrp": "ASLLRP",
    "wlasl": "WLASL",
    "wlasl_hands": "WLASLHands",
    "copycat": "CopyCat",
    "asl_webcam": "ASLWebcam",
    "asl_letters": "ASLLetters",
    "dgs_corpus": "DGSCorpus",
    "dgs30": "DGS30",
    "ksl_guide": "KSLGuide",
    "gsl": "GSL",
    "boston104": "Boston104",
    "roy_isl30": "RoyISL30",
    "fingerspelling": "Fingerspelling",
    "phoenix_skeletons": "PhoenixSkeletons",
    "table": "Table",
    "folder": "VideoFolder",
    "elan": "Elan",
    "signsynth": "SignSynth",
}


@dataclass(frozen=True)
class CorpusInfo:
    """Entry of `signx-hf data list` for a corpus."""

    name: str
    title: str
    licence: str
    splits: tuple[str, ...]
    homepage: str
    citation: str


def corpus_class(name: str) -> type[Corpus]:
    """Return the loader of that name; SignXDataError lists the names."""
    if name not in CORPORA:
        raise SignXDataError(f"no corpus is called {name!r}; {nearest(name, CORPORA)}")
    return getattr(importlib.import_module(f".corpora.{name}", __package__), CORPORA[name])


def list_corpora() -> list[CorpusInfo]:
    """Return all corpora that `load_dataset` knows, in the order of the table."""
    classes = (corpus_class(name) for name in CORPORA)
    return [CorpusInfo(c.name, c.title, c.licence, c.splits, c.homepage, c.citation) for c in classes]


def load_dataset(name: str, data_dir: str | os.PathLike | None = None, split: str | None = None, **options: Any):
    """Load a corpus from the user's copy into the schema of `schema.py`. Nothing is downloaded.

    Args:
        name: One of `CORPORA` (`signx-hf data list`).
        data_dir: The folder of the corpus as its owners distribute it.
        split: `train`, `dev` (or `validation`, `val`), `test`; None for all available splits.
        options: `skip_bad`, `cleanup`, and options of the loader of that corpus (see its class docstring).

    Returns:
        `datasets.Dataset` of the split, or `datasets.DatasetDict` of all.

    Raises:
        SignXDataError: If a name, split or option is unknown, or an annotation cannot be used. The message names the
            file, row and column.
        SignXFileNotFoundError: If the files of the corpus are not in data_dir. The message lists which were looked
            for.
    """
    loader = corpus_class(name)
    try:
        corpus = loader(data_dir, **options)
    except TypeError as error:
        if "unexpected keyword argument" not in str(error):
            raise
        raise SignXDataError(
            f"{name}: {str(error).split('()', 1)[-1].strip()}; see the docstring of {loader.__name__}"
        ) from error
    return corpus.load_all() if split is None else corpus.load(split)


def kind_of(path: Path) -> str:
    """Return what a path holds: `dataset` (saved with save_to_disk), or its loader: `table`, `elan` or `folder`."""
    from .corpora.table import DELIMITERS

    if (path / "dataset_dict.json").is_file() or (path / "state.json").is_file():
        return "dataset"
    splits = {"train", "dev", "test", *SPLIT_ALIASES}
    if path.is_file() or any((path / f"{split}{ending}").is_file() for split in splits for ending in DELIMITERS):
        return "table"
    return "elan" if next(path.rglob("*.eaf"), None) else "folder"


def check_source(source: str, data_dir: str | os.PathLike | None = None) -> None:
    """Reject a source that cannot be loaded whatever its content, in no time.

    Raises:
        SignXDataError: If it is neither a corpus nor a path, or a pipe or device.
    """
    path = Path(source)
    if path.exists() and not path.is_file() and not path.is_dir():
        raise SignXDataError(
            f"{path}: must be a saved dataset, table or folder, got a pipe or device. Copy its content to a file first."
        )
    if source not in CORPORA and (data_dir or not path.exists()):
        remedy = "Check the path." if os.sep in source or path.suffix else f"As a corpus, {nearest(source, CORPORA)}."
        kind = "corpus" if data_dir else "file, folder or corpus"
        raise SignXDataError(f"{source}: no such {kind}. {remedy}")


def open_source(source: str, data_dir: str | os.PathLike | None = None, **options: Any):
    """Load a source as given on the command line.

    Args:
        source: Name of a corpus, with data_dir, or the path of a saved dataset, table, ELAN or video folder.
        data_dir: The folder of the corpus.
        options: Options of the loader.

    Raises:
        SignXDataError, SignXFileNotFoundError: As in `load_dataset`.
    """
    check_source(source, data_dir)
    path = Path(source)
    if source in CORPORA:
        return load_dataset(source, data_dir, **options)
    kind = kind_of(path)
    if kind != "dataset":
        return load_dataset(kind, path, **options)
    from datasets import load_from_disk

    try:
        return load_from_disk(str(path))
    except (OSError, ValueError, LookupError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise SignXDataError(
            f"{path}: cannot be loaded as a saved dataset ({reason}). Save it again with save_to_disk and at least one row."
        ) from error
