"""The base of all corpus loaders: find files, read rows, and report which row is wrong and why."""

import csv
import gzip
import io
import json
import os
import re
import warnings
import zlib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from ..common.reading import load_json, read_regular
from ..processing.errors_signx import SignXFileNotFoundError, SignXWarning
from .cleanup import CLEANUPS, clean_glosses
from .errors import SignXDataError

ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
VIDEOS = (".mp4", ".mov", ".avi", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg")
SPLIT_ALIASES = {"val": "dev", "valid": "dev", "validation": "dev", "training": "train", "testing": "test"}
LEFT_OUT_COLUMNS = ("file", "row", "column", "actual", "expected")


class BadRow(Exception):
    """Raised by a loader for an unusable row; `Corpus.load` adds the file and raises an error or skips the row."""

    def __init__(self, column: str, actual: object, expected: str, row: int | None = None):
        super().__init__(column)
        self.column, self.actual, self.expected, self.row = column, actual, expected, row


@dataclass(frozen=True)
class LeftOut:
    """A row that was not loaded: where it is, what is there and what was expected."""

    file: str
    row: int
    column: str
    actual: str
    expected: str

    def __str__(self) -> str:
        return f"{self.file}, row {self.row}, column '{self.column}': expected {self.expected}, got {self.actual}"


@dataclass(frozen=True)
class Record:
    """One clip as the annotation file has it: the file, the line (from 1), and its columns."""

    path: Path
    row: int
    values: Mapping[str, Any]
    problem: BadRow | None = field(default=None, compare=False)


def show(value: object, limit: int = 80) -> str:
    """Format a value for a message: quoted, on one line, cut at `limit` characters."""
    text = repr(value)
    return text if len(text) <= limit else f"{text[:limit]}..."


def write_list(path: Path, columns: Sequence[str], items: Iterable[Any]) -> None:
    """Write attributes of items as a tab-separated file with a header, atomically; whitespace becomes spaces."""
    lines = ["\t".join(columns)]
    lines += ["\t".join(re.sub(r"\s", " ", str(getattr(item, name))) for name in columns) for item in items]
    partial = path.with_name(path.name + ".partial")
    partial.write_text("\n".join(lines) + "\n", encoding="utf-8")
    os.replace(partial, path)


class Corpus:
    """Base of the loaders. A subclass describes the corpus, lists its `records` and converts each to a `row`.

    Args:
        data_dir: The user's copy, or a folder above it that `roots` name.
        skip_bad: Leave out rows that cannot be used, and list them in a file: True for `<name>_left_out.tsv` in the
            current folder, or the path of the list. False: the first bad row is an error.
        cleanup: Name of the cleanup of glosses (`cleanup.py`).
    """

    name: ClassVar[str]
    title: ClassVar[str]
    licence: ClassVar[str]
    citation: ClassVar[str]
    homepage: ClassVar[str]
    sign_language: ClassVar[str | None] = None
    spoken_language: ClassVar[str | None] = None
    splits: ClassVar[tuple[str, ...]] = ("train", "dev", "test")
    roots: tuple[str, ...] = ("",)
    takes_file: ClassVar[bool] = False

    def __init__(
        self, data_dir: str | os.PathLike, *, skip_bad: bool | str | os.PathLike = False, cleanup: str = "none"
    ):
        if data_dir is None:
            raise SignXDataError(
                f"{self.name}: `data_dir` must be the folder of your copy, got None. Get one from {self.homepage}."
            )
        self.data_dir = Path(data_dir).expanduser()
        if not self.data_dir.exists():
            raise SignXFileNotFoundError(f"{self.data_dir}: no such folder. Check the data_dir of {self.name}.")
        if not self.data_dir.is_file() and not self.data_dir.is_dir():
            raise SignXDataError(
                f"{self.data_dir}: the data_dir of {self.name} must not be a pipe or device. Copy its content first."
            )
        if self.data_dir.is_file() and str(data_dir).lower().endswith(ARCHIVES):
            raise SignXDataError(
                f"{self.data_dir}: the data_dir of {self.name} must be a folder, got an archive. Unpack it first with "
                "signx_hf.data.unpack(archive, folder)."
            )
        if self.data_dir.is_file() and not self.takes_file:
            raise SignXDataError(f"{self.data_dir}: the data_dir of {self.name} must be a folder, got a file.")
        clean_glosses([], cleanup)  # report a wrong name before any file is read
        self.cleanup = cleanup
        self.skip_bad = skip_bad
        self.left_out: list[LeftOut] = []

    # what a subclass writes

    def records(self, split: str) -> Iterator[Record]:
        """Yield the clips of a split as the annotation files have them.

        Raises:
            SignXFileNotFoundError: If the annotation of the split is missing. The message lists the files that were
                looked for.
        """
        raise AttributeError(f"{type(self).__name__} does not implement `records`")

    def row(self, record: Record, split: str) -> dict[str, Any]:
        """Convert a record to fields of the schema. Raises `BadRow` if it cannot be used."""
        raise AttributeError(f"{type(self).__name__} does not implement `row`")

    # what a user calls

    def split_name(self, split: str) -> str:
        """Return the name of a split, resolving aliases such as `val` for `dev`.

        Raises:
            SignXDataError: If the corpus has no such split.
        """
        known = SPLIT_ALIASES.get(str(split), str(split))
        if known not in self.splits:
            raise SignXDataError(f"{self.name} has no split {split!r}. Choose one of {', '.join(self.splits)}.")
        return known

    def split_folders(self) -> dict[str, Path]:
        """Return the folders of data_dir that are named after a split (`train`, `val`, `Testing`, ...)."""
        folders = {}
        for entry in sorted(self.data_dir.iterdir()):
            split = SPLIT_ALIASES.get(entry.name.lower(), entry.name.lower())
            if entry.is_dir() and split in Corpus.splits:
                folders[split] = entry
        return {split: folders[split] for split in Corpus.splits if split in folders}

    def rows(self, split: str) -> Iterator[dict[str, Any]]:
        """Yield rows of the schema. A bad row is an error, or is added to `left_out` if `skip_bad` is set."""
        from .schema import make_row

        split = self.split_name(split)
        for record in self.records(split):
            try:
                if record.problem is not None:
                    raise record.problem
                fields = self.row(record, split)
                row = make_row(
                    **{
                        "split": split,
                        "licence": self.licence,
                        "sign_language": self.sign_language,
                        "spoken_language": self.spoken_language,
                        **fields,
                    }
                )
            except BadRow as bad:
                fault = LeftOut(str(record.path), bad.row or record.row, bad.column, show(bad.actual), bad.expected)
                if not self.skip_bad:
                    raise SignXDataError(f"{fault}. Correct it, or leave such rows out with skip_bad=True.") from None
                self.left_out.append(fault)
                continue
            row["glosses"] = CLEANUPS[self.cleanup](row["glosses"])
            yield row

    def load(self, split: str):
        """Load one split as a `datasets.Dataset` of the schema."""
        dataset = self._load(self.split_name(split))
        if dataset is None:
            raise SignXDataError(f"{self.data_dir}: split '{split}' of {self.name} is empty.")
        return dataset

    def _load(self, split: str):
        """Load one split, or return None if it has no rows."""
        from .schema import to_dataset

        already = len(self.left_out)
        dataset = to_dataset(self.rows(split), split)
        self._write_left_out(len(self.left_out) - already)
        return dataset if len(dataset) else None

    def load_all(self):
        """Load all available splits as a `datasets.DatasetDict`; a warning names those without a file or rows."""
        from datasets import DatasetDict

        loaded, errors, absent = {}, [], []
        for split in self.splits:
            try:
                dataset = self._load(split)
            except SignXFileNotFoundError as error:
                dataset = None
                errors.append(error)
            if dataset is None:
                absent.append(split)
            else:
                loaded[split] = dataset
        if not loaded:
            raise (errors[0] if errors else SignXDataError(f"{self.data_dir}: all splits of {self.name} are empty."))
        if absent:
            warnings.warn(
                f"{self.name}: {self.data_dir} has no split {', '.join(absent)}. Loaded {', '.join(loaded)}.",
                SignXWarning,
                stacklevel=2,
            )
        return DatasetDict(loaded)

    def _write_left_out(self, new: int) -> None:
        if not new:
            return
        path = Path(f"{self.name}_left_out.tsv" if self.skip_bad is True else self.skip_bad)
        write_list(path, LEFT_OUT_COLUMNS, self.left_out)
        warnings.warn(
            f"{self.name}: {new} rows were left out and are listed in {path}. The first: {self.left_out[-new]}",
            SignXWarning,
            stacklevel=3,
        )

    # what subclasses use

    def find(self, *candidates: str) -> Path | None:
        """Return the first of these relative paths that exists under data_dir or one of `roots`, or None."""
        for root in self.roots:
            for candidate in candidates:
                path = self.data_dir / root / candidate
                if path.exists():
                    return path
        return None

    def need(self, what: str, *candidates: str) -> Path:
        """Return the same as `find`; raise SignXFileNotFoundError with the list of what was looked for."""
        path = self.find(*candidates)
        if path is None:
            places = [str(Path(root) / candidate) for root in self.roots for candidate in candidates]
            raise SignXFileNotFoundError(
                f"{self.data_dir}: no {what} of {self.name}; looked for {', '.join(places)}. "
                "Pass the folder that holds one of these as data_dir."
            )
        return path

    def media(self, *candidates: str) -> Path | None:
        """Return the folder of videos or frames, or None with a warning that only annotations were found."""
        path = self.find(*candidates)
        if path is None:
            warnings.warn(
                f"{self.name}: no videos or frames in {self.data_dir}; looked for {', '.join(candidates)}. Only annotations are loaded.",
                SignXWarning,
                stacklevel=2,
            )
        return path


# Readers of files. A fault of a file raises SignXDataError, a fault of a row becomes the `problem` of its record.


def read_text(path: Path) -> str:
    """Read a UTF-8 file, with or without byte order mark, plain or gzipped (`.gz`)."""
    try:
        data = read_regular(path)
        if path.suffix == ".gz":
            data = gzip.decompress(data)
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise SignXDataError(
            f"{path}, row {line}: byte {error.object[error.start]:#04x} is not UTF-8. Convert the file to UTF-8."
        ) from error
    except (EOFError, zlib.error, OSError) as error:
        if isinstance(error, FileNotFoundError):
            raise SignXFileNotFoundError(f"{path}: no such annotation file. Check the path.") from error
        reason = " ".join(str(error).split()) or type(error).__name__
        raise SignXDataError(f"{path}: cannot be read ({reason}). Copy the file again.") from error


def read_lines(path: Path) -> list[str]:
    """Read lines without their ends (LF, CR LF, or CR alone); other Unicode line separators belong to the text."""
    text = read_text(path)
    if "\n" not in text:  # as old spreadsheets for the Mac save them; elsewhere a lone CR belongs to the text, too
        text = text.replace("\r", "\n")
    lines = text.replace("\r\n", "\n").split("\n")
    return lines[:-1] if lines[-1] == "" else lines


def read_json(path: Path) -> Any:
    """Read a JSON file; SignXDataError names the line of a syntax error."""
    try:
        return load_json(read_text(path))
    except ValueError as error:
        where = f", row {error.lineno}" if isinstance(error, json.JSONDecodeError) else ""
        raise SignXDataError(f"{path}{where}: not valid JSON ({' '.join(str(error).split())}).") from error


def unquote(value: str) -> str:
    """Remove the quotes of a spreadsheet field: `"a ""b"" c"` -> `a "b" c`."""
    return value[1:-1].replace('""', '"') if len(value) > 1 and value[0] == value[-1] == '"' else value


def _split_lines(path: Path, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    if delimiter == ",":
        # Not splitlines(), which splits at separators that a field may contain.
        reader = csv.reader(io.StringIO(read_text(path), newline=""), strict=True)
        try:
            for fields in reader:
                if fields:
                    yield reader.line_num, fields
        except csv.Error as error:
            raise SignXDataError(f"{path}, row {reader.line_num}: not valid CSV ({error}).") from error
    else:  # quotes are ordinary characters here: a sentence may begin with one and never close it
        for number, line in enumerate(read_lines(path), 1):
            if line.strip():
                yield number, [unquote(value) for value in line.split(delimiter)]


def read_table(
    path: Path,
    delimiter: str,
    required: Sequence[str],
    header: Sequence[str] | None = None,
    ignored: Collection[str] | None = None,
) -> Iterator[Record]:
    """Yield the rows of a table.

    Args:
        path: The file.
        delimiter: Between columns; with a comma, the file is read as quoted CSV.
        required: Names of columns that the table must have.
        header: Names of all columns, if the first line does not hold them.
        ignored: Columns that nobody reads; None for all but the required ones.

    Raises:
        SignXDataError: If the file is empty, a required column is missing, or two that are read have one name. A row of the wrong length becomes the
            `problem` of its record.
    """
    lines = _split_lines(path, delimiter)
    if header is None:
        first = next(lines, None)
        if first is None:
            raise SignXDataError(
                f"{path}: the file is empty. Expected a table with columns {', '.join(required)}; copy it again."
            )
        header = [name.strip() for name in first[1]]
    missing = [name for name in required if name not in header]
    if missing:
        raise SignXDataError(
            f"{path}, row 1: no column '{missing[0]}'. Expected {', '.join(required)}, got "
            f"{', '.join(show(name) for name in header[:20])}."
        )
    read = required if ignored is None else [name for name in header if name not in ignored]
    twice = [name for name in read if list(header).count(name) > 1]
    if twice:
        raise SignXDataError(f"{path}, row 1: column {show(twice[0])} appears twice. Rename one of the two.")
    for number, values in lines:
        problem = None
        if len(values) != len(header):
            problem = BadRow("all", f"{len(values)} columns", f"{len(header)} columns, as in the first row")
        yield Record(path, number, dict(zip(header, values)), problem)


def text_of(record: Record, column: str) -> str:
    """Return a column that must not be empty."""
    value = str(record.values.get(column) or "").strip()
    if not value:
        raise BadRow(column, record.values.get(column), "a value")
    return value


def number_of(
    value: object, column: str, minimum: float | None = None, whole: bool = False, row: int | None = None
) -> Any:
    """Return a finite number of at least `minimum`, parsed if it is text; an int if `whole` is set."""
    kind = "an integer" if whole else "a number"
    expected = kind if minimum is None else f"{kind} of at least {minimum:g}"
    try:
        number = float(value) if not isinstance(value, bool) else None
    except (TypeError, ValueError, OverflowError):
        number = None
    # nan fails the first comparison, infinities the second
    if number is None or not number == number or abs(number) == float("inf"):
        raise BadRow(column, value, expected, row)
    if (minimum is not None and number < minimum) or (whole and number != int(number)):
        raise BadRow(column, value, expected, row)
    return int(number) if whole else number


def relative_path(value: str, column: str) -> str:
    """Return a path from an annotation file, which must lie inside the corpus: neither absolute nor with `..`."""
    parts = re.split(r"[\\/]", value)
    if not value or value.startswith(("/", "\\")) or re.match("[A-Za-z]:", value) or ".." in parts:
        raise BadRow(column, value, "a path inside the corpus, without '..'")
    return value


def videos_by_name(folder: Path) -> dict[str, Path]:
    """Map file names without extension to all videos below a folder, in a fixed order."""
    videos: dict[str, Path] = {}
    for base, folders, files in os.walk(folder):
        folders.sort()
        for name in sorted(files):
            stem, ending = os.path.splitext(name)
            if ending.lower() in VIDEOS:
                videos.setdefault(stem, Path(base) / name)
    return videos


def segments_of(spans: Iterable[tuple[str, float, float]]) -> list[dict[str, Any]]:
    """Convert (gloss, start, end) in seconds to the `segments` field."""
    return [{"gloss": gloss, "start": start, "end": end} for gloss, start, end in spans]
