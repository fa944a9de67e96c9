"""SignSynth: the corpus that this package makes."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..corpus import BadRow, Corpus, LeftOut, Record, read_json, relative_path, show
from ..errors import SignXDataError, nearest

if TYPE_CHECKING:
    import pyarrow

TASKS = ("continuous", "isolated")


class SignSynth(Corpus):
    """SignSynth, synthetic signing with known ground truth, as `signx-hf data synth` builds it.

    Layout::

        config.json                  configuration, seed and version
        {task}_{split}.arrow         rows of the schema, noisy pose tracks in them
        videos/{id}.mp4
        truth/{id}.npz               clean tracks, all joints in pixels, camera, exact spans

    The sign language is "qss", one of the codes that ISO 639-3 leaves to private use: no people uses these signs.

    Args:
        task: "continuous" (default, sentences) or "isolated" (one sign per clip).
    """

    name = "signsynth"
    title = "SignSynth, made-up signing with known truth"
    licence = "CC0-1.0 (made by SignSynth; nobody is shown)"
    citation = "Name this package and its version"
    homepage = "signx-hf data synth tiny --out DIR"
    sign_language = "qss"
    spoken_language = "en"

    def __init__(self, data_dir, *, task: str = "continuous", **options: Any):
        super().__init__(data_dir, **options)
        if task not in TASKS:
            raise SignXDataError(f"{self.name}: no task {task!r}; {nearest(task, TASKS)}")
        self.task = task
        path = self.need("config.json", "config.json")
        config = read_json(path)
        if not isinstance(config, dict) or "signsynth" not in config:
            raise SignXDataError(
                f"{path}: not the config.json of a SignSynth corpus (no key 'signsynth'). Build the corpus again."
            )
        if config.get("format") != 1:
            raise SignXDataError(
                f"{path}: `format` must be 1, got {json.dumps(config.get('format'))}. Build the corpus again."
            )

    def _table(self, split: str) -> tuple[Path, "pyarrow.Table"]:
        """Return the rows of a split, memory-mapped."""
        import pyarrow

        from ..schema import FEATURES

        path = self.need(f"{self.task} split '{split}'", f"{self.task}_{split}.arrow")
        try:
            table = pyarrow.ipc.open_file(pyarrow.memory_map(str(path))).read_all()
        except (pyarrow.ArrowInvalid, OSError) as error:
            reason = " ".join(str(error).split())
            raise SignXDataError(f"{path}: cannot be read ({reason}). Build the corpus again.") from error
        missing = [name for name in FEATURES if name not in table.column_names]
        if missing:
            raise SignXDataError(f"{path}: no column '{missing[0]}' of the schema. Build the corpus again.")
        return path, table.select(list(FEATURES))

    def records(self, split: str) -> Iterator[Record]:
        """Yield the records of a split as they are in the files."""
        path, table = self._table(split)
        for number, values in enumerate((row for batch in table.to_batches() for row in batch.to_pylist()), 1):
            yield Record(path, number, values)

    def row(self, record: Record, split: str) -> dict[str, Any]:
        """Convert a record to fields of the schema."""
        values = dict(record.values)
        if values["split"] != split:
            raise BadRow("split", values["split"], f"{split}, as the file is named")
        values["video"] = str(self.data_dir / relative_path((values["video"] or {}).get("path") or "", "video"))
        return values

    def _load(self, split: str):
        """Load a split with its poses memory-mapped: a corpus of ten thousand clips has gigabytes of them."""
        if self.skip_bad or self.cleanup != "none":
            return super()._load(split)
        import pyarrow
        from datasets import Dataset, DatasetInfo, NamedSplit

        from ..schema import FEATURES

        path, table = self._table(split)
        if not len(table):
            return None
        videos = []
        for number, values in enumerate(table.select(["split", "video"]).to_pylist(), 1):
            try:
                videos.append({"bytes": None, "path": self.row(Record(path, number, values), split)["video"]})
            except BadRow as bad:
                fault = LeftOut(str(path), number, bad.column, show(bad.actual), bad.expected)
                raise SignXDataError(f"{fault}. Build the corpus again.") from None
        column = pyarrow.array(videos, FEATURES.arrow_schema.field("video").type)
        table = table.set_column(table.column_names.index("video"), "video", column).cast(FEATURES.arrow_schema)
        return Dataset(table, info=DatasetInfo(features=FEATURES), split=NamedSplit(split))
