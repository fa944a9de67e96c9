"""The dataset that `extract` makes: written to a temporary folder and renamed, so that it is complete or absent."""

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow
from datasets import Dataset, DatasetDict, DatasetInfo, Features, load_from_disk

from ..common.atomic_io import sync_folder
from ..data.errors import SignXDataError
from ..data.schema import FEATURES, LISTS
from ..processing.errors_signx import SignXError

MARKER = "signx_extract.json"  # marks a dataset of `extract`, and says what made it
BATCH_BYTES = 64 << 20
HASH_ROWS = 64


def dataset_hash(dataset: Dataset | DatasetDict) -> str:
    """Return the SHA-256 of the names of columns and splits and of the rows in order, however they are stored.

    Embedded and stored bytes count; files that a row only names do not.
    """
    digest = hashlib.sha256()
    for name, part in dataset.items() if isinstance(dataset, DatasetDict) else [(None, dataset)]:
        digest.update(json.dumps([name, sorted(part.column_names), len(part)]).encode())
        for table in part.with_format("arrow").iter(HASH_ROWS):
            for row in table.to_pylist():
                digest.update(json.dumps(row, sort_keys=True, default=_plain).encode())
    return digest.hexdigest()


def _plain(value: object) -> str:
    return hashlib.sha256(value).hexdigest() if isinstance(value, bytes) else str(value)


def output_features(source: Dataset) -> Features:
    """Return the schema, then the columns of the source that it does not have."""
    extra = {name: kind for name, kind in source.features.items() if name not in FEATURES}
    return Features({**FEATURES, **extra})


def as_schema(table: pyarrow.Table, features: Features) -> pyarrow.Table:
    """Return the rows of a table with the columns of the schema; missing columns are empty.

    Raises:
        SignXDataError: If a column has a type that cannot be cast to that of the schema.
    """
    columns = []
    for field in features.arrow_schema:
        if field.name not in table.column_names:
            columns.append(_empty(field, len(table)))
            continue
        column = table[field.name]
        try:
            if field.name == "video" and (
                pyarrow.types.is_string(column.type) or pyarrow.types.is_large_string(column.type)
            ):
                paths = [None if path is None else {"path": path} for path in column.to_pylist()]
                columns.append(pyarrow.array(paths, field.type))
            else:
                columns.append(column.cast(field.type))
        except (pyarrow.ArrowInvalid, pyarrow.ArrowNotImplementedError, pyarrow.ArrowTypeError) as error:
            raise SignXDataError(
                f"column '{field.name}' must be {field.type}, got {column.type}. Cast or rename it."
            ) from error
    return pyarrow.Table.from_arrays(columns, schema=features.arrow_schema)


def _empty(field: pyarrow.Field, rows: int) -> pyarrow.Array:
    return pyarrow.array([[]] * rows if field.name in LISTS else [None] * rows, field.type)


def undecoded(source: Dataset) -> Dataset:
    """Return the dataset in the format of Arrow tables, which decode nothing."""
    return source.with_format("arrow")


def _tables(
    source: Dataset, features: Features, filled: Callable[[int], Mapping[str, Any] | None]
) -> Iterator[pyarrow.Table]:
    """Yield a table for each row that is kept, with its new values."""
    source = undecoded(source)
    for index in range(len(source)):
        values = filled(index)
        if values is None:
            continue
        table = as_schema(source[index : index + 1], features)
        for name, value in values.items():
            position = table.column_names.index(name)
            field = table.schema.field(position)
            table = table.set_column(position, field, pyarrow.array([value], field.type))
        yield table


def write_split(
    folder: Path, name: str | None, source: Dataset, filled: Callable[[int], Mapping[str, Any] | None]
) -> int:
    """Write one split in the files of `Dataset.save_to_disk`, with no more than a batch in memory; return the number
    of rows.

    `save_to_disk` itself would copy every video that a row names into the dataset.

    Args:
        folder: New folder to write.
        name: Name of the split, or None.
        source: Rows of the source.
        filled: Maps a row number to new values of columns, or to None to leave the row out.
    """
    features = output_features(source)
    waiting: list[pyarrow.Table] = []
    rows = 0
    folder.mkdir()
    data = folder / "data-00000-of-00001.arrow"
    with open(data, "wb") as file, pyarrow.ipc.new_stream(file, features.arrow_schema) as stream:
        for table in _tables(source, features, filled):
            rows += 1
            waiting.append(table)
            if sum(part.nbytes for part in waiting) > BATCH_BYTES:
                _flush(stream, waiting)
        _flush(stream, waiting)
    DatasetInfo(features=features).write_to_directory(str(folder))
    state = {"_data_files": [{"filename": data.name}], "_split": name, "_fingerprint": _file_hash(data)[:16]}
    state |= dict.fromkeys(("_format_columns", "_format_type")) | {"_format_kwargs": {}, "_output_all_columns": False}
    (folder / "state.json").write_text(json.dumps(state, indent=1, sort_keys=True), encoding="utf-8")
    return rows


def _file_hash(path: Path) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _flush(stream: pyarrow.ipc.RecordBatchStreamWriter, waiting: list[pyarrow.Table]) -> None:
    if waiting:
        stream.write_table(pyarrow.concat_tables(waiting).combine_chunks())
        waiting.clear()


def write_dataset(
    folder: Path,
    source: Dataset | DatasetDict,
    filled: Callable[[str | None, int], Mapping[str, Any] | None],
    marker: Mapping[str, Any],
) -> str:
    """Write the dataset and its marker to a new folder and flush it to the disk.

    Args:
        folder: New folder to write.
        source: Rows of the source; splits that keep no row are left out.
        filled: Maps (split or None, row number) to new values, or to None to leave the row out.
        marker: What made the dataset; its hash is added.

    Returns:
        The hash of the dataset; empty if no row is left.
    """
    if isinstance(source, DatasetDict):
        folder.mkdir()
        counts = {
            name: write_split(folder / name, name, part, lambda index, name=name: filled(name, index))
            for name, part in source.items()
        }
        for name in [name for name, rows in counts.items() if not rows]:
            shutil.rmtree(folder / name)
            del counts[name]
        (folder / "dataset_dict.json").write_text(json.dumps({"splits": list(counts)}), encoding="utf-8")
    else:
        name = None if source.split is None else str(source.split)
        counts = {name: write_split(folder, name, source, lambda index: filled(None, index))}
    if not any(counts.values()):
        return ""
    digest = dataset_hash(load_from_disk(str(folder)))
    content = json.dumps({**marker, "dataset_hash": digest}, ensure_ascii=False, indent=1)
    (folder / MARKER).write_text(content, encoding="utf-8")
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            with open(path, "rb") as file:
                os.fsync(file.fileno())
        else:
            sync_folder(path)
    return digest


class DatasetFolder:
    """The folder of the dataset, and the temporary folders next to it. Call every method under `output_lock`."""

    def __init__(self, out: Path):
        self.out = out
        self.tmp_path, self.previous = out.with_name(f".{out.name}.partial"), out.with_name(f".{out.name}.before")

    def recover(self) -> None:
        """Clean up after a killed process: remove a partial dataset, and restore the previous one if it was being
        replaced."""
        shutil.rmtree(self.tmp_path, ignore_errors=True)
        if self.previous.exists():
            if self.out.exists():
                shutil.rmtree(self.previous)
            else:
                self.previous.rename(self.out)

    def check(self, source: str) -> None:
        """Check that the folder is free, or holds a dataset that `extract` made from the same source.

        Raises:
            SignXError: If it holds something else.
        """
        if not self.out.exists() and not self.out.is_symlink():
            return
        try:
            made_from = json.loads((self.out / MARKER).read_text(encoding="utf-8"))["source"]
        except (OSError, ValueError, KeyError, TypeError):
            raise SignXError(
                f"{self.out}: already exists and was not made by signx-hf extract. Choose another --out."
            ) from None
        if made_from != source:
            raise SignXError(
                f"{self.out}: already exists and was extracted from {made_from}, not from {source}. Choose another "
                "--out, or delete it."
            )

    def replace(self) -> None:
        """Move the finished dataset to its folder."""
        if self.out.exists():
            self.out.rename(self.previous)
        self.tmp_path.rename(self.out)
        sync_folder(self.out.parent)
        shutil.rmtree(self.previous, ignore_errors=True)
