"""Your own annotations as a table: TSV, CSV or JSON lines."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ...common.reading import load_json
from ..corpus import SPLIT_ALIASES, BadRow, Corpus, Record, number_of, read_lines, read_table, segments_of, show
from ..errors import SignXDataError, nearest

DELIMITERS = {".tsv": "\t", ".csv": ",", ".jsonl": None}
TRACK = "track."
TEXTS = ("id", "video", "frames", "signer", "split", "text", "sign_language", "spoken_language", "licence")
NUMBERS = ("fps", "num_frames", "start", "end")
COLUMNS = (*TEXTS, *NUMBERS, "glosses", "segments")
ALONE = ("id", "video", "frames")


class Table(Corpus):
    """Your own clips, one per line, in columns with the names of the schema.

    Layout; data_dir is a folder or one of these files::

        {train,dev,test}.tsv     or .csv (quoted as spreadsheets do) or .jsonl (one object per line)
        any.tsv                  with a column split; without one, everything is train

    Columns: id, video, frames, fps, num_frames, start, end, signer, split, glosses (separated by spaces, or a list in
    JSON), text, sign_language, spoken_language, licence, track.NAME for the pose file of a track; in JSON also
    segments (list of gloss, start, end). Each row needs id, video or frames; paths are relative to the folder of the
    table. An empty value is unknown. Any other column is an error, since a misspelled one would silently be lost.

    Args:
        columns: Names of your columns -> names of the schema, such as {"Gloss": "glosses", "remarks": None}; None
            ignores a column.
    """

    name = "table"
    title = "A table of your own: TSV, CSV or JSON lines"
    licence = "your own"
    citation = "none"
    homepage = "your own annotations"
    takes_file = True

    def __init__(self, data_dir, *, columns: Mapping[str, str | None] | None = None, **options: Any):
        super().__init__(data_dir, **options)
        self.columns = dict(columns or {})
        if self.data_dir.is_file():
            self._ending(self.data_dir)
            names = {record.values.get("split") for record in self._read(self.data_dir)} - {None, ""}
            named = {SPLIT_ALIASES.get(str(split), str(split)) for split in names}
            self.splits = tuple(split for split in Corpus.splits if split in named) or ("train",)

    def _ending(self, path: Path) -> str | None:
        if path.suffix.lower() not in DELIMITERS:
            raise SignXDataError(f"{path}: the file type must be one of {', '.join(DELIMITERS)}, got '{path.suffix}'.")
        return DELIMITERS[path.suffix.lower()]

    def records(self, split: str) -> Iterator[Record]:
        """Yield the records of a split as they are in the files."""
        one_file = self.data_dir.is_file()
        names = [split, *(alias for alias, known in SPLIT_ALIASES.items() if known == split)]
        path = self.data_dir
        if not one_file:
            tables = [f"{name}{ending}" for name in names for ending in DELIMITERS]
            path = self.need(f"table of split '{split}'", *tables)
        for record in self._read(path):
            named = record.values.get("split")
            if named in (None, ""):
                named = "train" if one_file else split
            known = SPLIT_ALIASES.get(str(named), str(named))
            if known not in Corpus.splits:
                yield Record(path, record.row, record.values, BadRow("split", named, "train, dev or test"))
            elif known == split:
                yield record
            elif not one_file:
                problem = BadRow("split", named, f"'{split}', as the name of the file says")
                yield Record(path, record.row, record.values, problem)

    def _read(self, path: Path) -> Iterator[Record]:
        """Yield records with the names of the schema."""
        delimiter = self._ending(path)
        ignored = [column for column, name in self.columns.items() if name is None]
        records = _read_objects(path) if delimiter is None else read_table(path, delimiter, (), ignored=ignored)
        for record in records:
            values, unknown = {}, None
            for column, value in record.values.items():
                name = self.columns.get(column, column)
                if name is None:
                    continue
                if name in values:
                    raise SignXDataError(
                        f"{path}, row {1 if delimiter else record.row}: two columns are '{name}', one of them "
                        f"'{column}'. Ignore one with columns={{...: None}}."
                    )
                if name not in COLUMNS and not name.startswith(TRACK):
                    unknown = unknown or name
                values[name] = value
            if unknown is not None:
                raise SignXDataError(
                    f"{path}, row {1 if delimiter else record.row}, column '{unknown}': not a column of the schema; "
                    f"{nearest(unknown, (*COLUMNS, TRACK + 'NAME'))}; rename it, or ignore it with columns={{{unknown!r}: None}}"
                )
            yield Record(path, record.row, values, record.problem)

    def row(self, record: Record, split: str) -> dict[str, Any]:
        """Convert a record to fields of the schema."""
        values = {name: value for name, value in record.values.items() if value not in (None, "")}
        if not any(name in values for name in ALONE):
            raise BadRow("id", None, "id, video or frames")
        row: dict[str, Any] = {}
        for name in TEXTS:
            if name in values:
                if not isinstance(values[name], (str, int)) or isinstance(values[name], bool):
                    raise BadRow(name, values[name], "text")
                row[name] = str(values[name]).strip()
        for name in NUMBERS:
            if name in values:
                row[name] = number_of(values[name], name, 1 if name == "num_frames" else 0, whole=name == "num_frames")
        if row.get("fps") == 0:
            raise BadRow("fps", values["fps"], "a number above 0")
        if "end" in row and row["end"] <= row.get("start", 0):
            raise BadRow("end", values["end"], f"more than the start, {row.get('start', 0):g} seconds")
        row["glosses"] = _glosses(values.get("glosses", []))
        row["segments"] = _segments(values.get("segments", []))
        folder = record.path.parent
        for name in ("video", "frames"):
            if name in row:
                row[name] = str(folder / row[name])
        tracks = {name.removeprefix(TRACK): path for name, path in values.items() if name.startswith(TRACK)}
        if not all(isinstance(path, str) and name for name, path in tracks.items()):
            raise BadRow(f"{TRACK}NAME", tracks, "the path of a pose file")
        row["tracks"] = [{"name": name, "path": str(folder / path.strip())} for name, path in tracks.items()]
        row.setdefault("id", Path(row.get("video") or row.get("frames", "")).stem)
        row["split"] = split
        row.setdefault("licence", "")
        return row


def _read_objects(path: Path) -> Iterator[Record]:
    for number, line in enumerate(read_lines(path), 1):
        if not line.strip():
            continue
        try:
            values = load_json(line, _once)
        except ValueError as error:
            yield Record(path, number, {}, BadRow("all", " ".join(str(error).split()), "a JSON object"))
            continue
        except BadRow as bad:
            yield Record(path, number, {}, bad)
            continue
        problem = None if isinstance(values, dict) else BadRow("all", values, "a JSON object")
        yield Record(path, number, values if problem is None else {}, problem)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Build a JSON object, of whose equal names json would silently keep the last."""
    values = dict(pairs)
    if len(values) < len(pairs):
        name = next(name for index, (name, _) in enumerate(pairs) if name in dict(pairs[:index]))
        raise BadRow(name, "two values", "each name once")
    return values


def _glosses(value: object) -> list[str]:
    if isinstance(value, str):
        return value.split()
    if not isinstance(value, list) or not all(isinstance(gloss, str) and gloss.split() == [gloss] for gloss in value):
        raise BadRow("glosses", value, "glosses separated by spaces, or a list of glosses without spaces")
    return value


def _segments(value: object) -> list[dict[str, Any]]:
    if isinstance(value, str) or not isinstance(value, list):
        raise BadRow("segments", value, "a list of objects with gloss, start and end (JSON lines only)")
    spans = []
    for item in value:
        if not isinstance(item, dict) or set(item) != {"gloss", "start", "end"} or not isinstance(item["gloss"], str):
            raise BadRow("segments", item, "an object with gloss, start and end")
        start, end = number_of(item["start"], "segments", 0), number_of(item["end"], "segments", 0)
        if end < start:
            raise BadRow("segments", show(item), "an end that is not before the start")
        spans.append((item["gloss"], start, end))
    return segments_of(spans)
