"""The videos that `extract` is given: a folder, a table, a corpus or a dataset, as rows with an id each."""

import os
from pathlib import Path

from datasets import Dataset, DatasetDict

from ..data.corpus import VIDEOS
from ..data.errors import SignXDataError
from ..data.load import kind_of, open_source
from ..data.schema import make_row, to_dataset
from ..processing.errors_signx import SignXError, SignXFileNotFoundError

MAX_PATH = 4096  # bytes


def open_videos(
    source: str | os.PathLike | Dataset | DatasetDict,
    data_dir: str | os.PathLike | None = None,
    skip_bad: str | os.PathLike | None = None,
) -> tuple[str, Dataset | DatasetDict]:
    """Open a source of videos.

    Args:
        source: Folder, table, ELAN folder, saved dataset, name of a corpus, or a dataset.
        data_dir: Folder of the corpus that `source` names.
        skip_bad: List of the clips that are left out; bad rows of a corpus are listed next to it.

    Returns:
        A label for the source, and its rows.

    Raises:
        SignXError: If it does not exist, holds no video, lacks a column, or has one id twice.
    """
    if isinstance(source, (Dataset, DatasetDict)):
        label, dataset = "a dataset in memory", source
    elif isinstance(source, (str, os.PathLike)):
        text = os.fsdecode(source)
        if not text.strip() or "\0" in text or len(os.fsencode(text)) > MAX_PATH:
            raise SignXError(f"source must be a path or the name of a corpus, got {text[:80]!r}.")
        label, dataset = _open_named(text, data_dir, skip_bad)
    else:
        kind = type(source).__name__
        raise SignXError(f"source must be a path, the name of a corpus, or a datasets.Dataset, got {kind}.")
    for part in dataset.values() if isinstance(dataset, DatasetDict) else [dataset]:
        if "video" not in part.column_names and "frames" not in part.column_names:
            raise SignXDataError(
                f"{label}: column 'video' is missing, got {', '.join(part.column_names)}. Rename the column that "
                "holds the paths or Video(decode=False)."
            )
    _check_ids(label, dataset)
    return label, dataset


def _open_named(
    source: str, data_dir: str | os.PathLike | None, skip_bad: str | os.PathLike | None
) -> tuple[str, Dataset | DatasetDict]:
    path = Path(source).expanduser()
    if data_dir is None and path.is_dir() and kind_of(path) == "folder":
        return str(path.absolute()), video_folder(path)
    if path.is_file() and path.suffix.lower() in VIDEOS:
        raise SignXDataError(f"{source}: must not be a single video. Pass its folder, a table, or a saved dataset.")
    options = {} if skip_bad is None else {"skip_bad": f"{os.fspath(skip_bad)}.rows"}
    dataset = open_source(str(path) if path.exists() else source, data_dir, **options)
    label = str(path.absolute()) if data_dir is None else f"{source} in {Path(data_dir).absolute()}"
    return label, dataset


def video_folder(folder: Path) -> Dataset:
    """Return one row for each video in a folder and below it, sorted by name, without hidden ones.

    The id is the path relative to the folder, without its suffix.

    Raises:
        SignXFileNotFoundError: If there is no video.
        SignXDataError: If a name is not UTF-8.
    """
    paths = []
    for base, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        paths += [
            Path(base) / name
            for name in files
            if not name.startswith(".") and os.path.splitext(name)[1].lower() in VIDEOS
        ]
    if not paths:
        raise SignXFileNotFoundError(f"{folder}: no video in it or below ({', '.join(VIDEOS)}). Check the folder.")
    for path in paths:
        if not _is_text(str(path)):  # a dataset holds text, and another spelling would not name the file
            name = os.fsencode(path).decode(errors="backslashreplace")
            raise SignXDataError(f"{name}: the name must be UTF-8. Rename the file.")
    names = {path: path.relative_to(folder).with_suffix("").as_posix() for path in sorted(paths)}
    return to_dataset([make_row(id=name, video=path) for path, name in names.items()])


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _check_ids(label: str, dataset: Dataset | DatasetDict) -> None:
    first: dict[str, int] = {}
    rows = 0
    for part in dataset.values() if isinstance(dataset, DatasetDict) else [dataset]:
        if "id" not in part.column_names:
            raise SignXDataError(
                f"{label}: column 'id' is missing, got {', '.join(part.column_names)}. Add a unique name for each "
                "clip."
            )
        for name in part["id"] if len(part) else ():
            rows += 1
            where = f"{label}, row {rows}, column 'id'"
            if name is None or not str(name).strip():
                raise SignXDataError(f"{where}: must be a name, got {name!r}.")
            if name in first:
                raise SignXDataError(
                    f"{where}: must be unique, got '{name}' as in row {first[name]}. Rename one of them."
                )
            first[name] = rows
    if not rows:
        raise SignXDataError(f"{label}: must have at least one row, got none.")
