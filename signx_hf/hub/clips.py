"""Datasets for the Hub: rows of the schema with videos and poses inside them, and a card."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..processing.errors_signx import SignXError
from .about import SIGN_LANGUAGES, About

if TYPE_CHECKING:
    from datasets import Dataset

SHARD_SIZE = "500MB"
BATCH = 16  # clips in memory at a time
# Licenses that let anybody redistribute the clips; one that begins with `research only` does not.
OPEN = re.compile(r"\s*(CC0|CC[ -]BY|MIT\b|Apache|BSD|public domain)", re.I)


@dataclass(frozen=True)
class Summary:
    """Summary of the saved clips.

    Args:
        name: of the dataset.
        splits: name -> number of clips.
        signers, glosses: how many different ones.
        seconds: duration of all clips.
        videos, poses: how many clips have them.
        licences, sign_languages, spoken_languages: of the rows.
    """

    name: str
    splits: dict[str, int]
    signers: int
    glosses: int
    seconds: float
    videos: int
    poses: int
    licences: tuple[str, ...]
    sign_languages: tuple[str, ...]
    spoken_languages: tuple[str, ...]


def save_rows(rows: "Dataset | Mapping[str, Dataset]", folder: Path, name: str) -> Summary:
    """Write the splits as `datasets` saves them, with the media inside and without paths of this machine.

    Args:
        rows: Dataset or DatasetDict.
        folder: where to write; it must not exist.
        name: of the dataset, in messages.

    Raises:
        SignXError: If a row lacks columns of the schema, or its media cannot be stored in it.
    """
    import pyarrow
    from datasets import Dataset, DatasetDict

    from ..data.schema import FEATURES

    splits = dict(rows) if hasattr(rows, "keys") else _by_split(rows)
    splits = {split: part for split, part in splits.items() if len(part)}
    if not splits:
        raise SignXError(f"{name} must hold at least one clip.")
    counts: dict[str, Counter] = {key: Counter() for key in ("signer", "gloss", "licence", "sign", "spoken", "media")}
    saved, seconds = {}, 0.0
    schema = FEATURES.arrow_schema
    folder.mkdir(parents=True)
    for split, part in splits.items():
        missing = [column for column in FEATURES if column not in part.column_names]
        if missing:
            raise SignXError(
                f"{name} {split} has no column {missing[0]!r}. Pass clips as signx_hf.load_dataset returns them."
            )
        path = folder.parent / f"{split}.arrow"
        with pyarrow.OSFile(str(path), "wb") as file, pyarrow.ipc.new_stream(file, schema) as writer:
            for batch in _batches(part.with_format(None)):
                for row in batch:
                    _embed_media(row, name)
                    seconds += _seconds(row)
                    _count(row, counts)
                writer.write_table(pyarrow.Table.from_pylist(batch, schema=schema))
        saved[split] = Dataset.from_file(str(path))
    from datasets import disable_progress_bars, enable_progress_bars
    from datasets.utils import are_progress_bars_disabled

    shown = not are_progress_bars_disabled()
    disable_progress_bars()
    try:
        DatasetDict(saved).save_to_disk(str(folder), max_shard_size=SHARD_SIZE)
    finally:
        if shown:
            enable_progress_bars()
    return Summary(
        name, {split: len(part) for split, part in saved.items()}, len(counts["signer"]), len(counts["gloss"]), seconds,
        counts["media"]["video"], counts["media"]["poses"], tuple(sorted(counts["licence"])), tuple(sorted(counts["sign"])),
        tuple(sorted(counts["spoken"])),
    )  # fmt: skip


def _by_split(rows: "Dataset") -> "dict[str, Dataset]":
    labels = list(rows.with_format(None).select_columns(["split"])["split"]) if "split" in rows.column_names else []
    names = list(dict.fromkeys(label or "train" for label in labels)) or ["train"]
    if len(names) == 1:
        return {names[0]: rows}
    return {
        name: rows.select([index for index, label in enumerate(labels) if (label or "train") == name])
        for name in names
    }


def _batches(rows: "Dataset") -> Iterator[list[dict[str, Any]]]:
    from ..data.schema import FEATURES

    for start in range(0, len(rows), BATCH):
        batch = [dict(rows[index]) for index in range(start, min(start + BATCH, len(rows)))]
        yield [{name: row[name] for name in FEATURES} for row in batch]


def _embed_media(row: dict[str, Any], name: str) -> None:
    """Put the media into the row, and remove the paths of this machine."""
    video = row["video"]
    if row["frames"]:
        raise SignXError(
            f"{name}: clip {row['id']} is a folder of images, which cannot be stored in a row. Encode it as a video "
            "file."
        )
    if video and video.get("path") and not video.get("bytes"):
        try:
            row["video"] = {"bytes": Path(video["path"]).read_bytes(), "path": Path(video["path"]).name}
        except OSError as error:
            raise SignXError(
                f"{name}: the video of clip {row['id']} cannot be read ({video['path']}: {error.strerror or error})."
            ) from error
    elif video and video.get("path"):
        row["video"] = {**video, "path": Path(video["path"]).name}
    if row["tracks"] and not row["poses"]:
        raise SignXError(
            f"{name}: clip {row['id']} has its poses in separate files. Store them in the rows with "
            "poses=signx_hf.data.schema.encode_poses(...)."
        )
    row["tracks"] = []
    if not (row["video"] or row["poses"]):
        raise SignXError(f"{name}: clip {row['id']} has neither video nor poses. Leave it out.")


def _seconds(row: dict[str, Any]) -> float:
    if row["start"] is not None and row["end"] is not None:
        return row["end"] - row["start"]
    return row["num_frames"] / row["fps"] if row["num_frames"] and row["fps"] else 0.0


def _count(row: dict[str, Any], counts: dict[str, Counter]) -> None:
    counts["signer"].update([row["signer"] or "unknown"])
    counts["gloss"].update(row["glosses"])
    counts["licence"].update([row["licence"] or ""])
    counts["sign"].update([row["sign_language"]] * bool(row["sign_language"]))
    counts["spoken"].update([row["spoken_language"]] * bool(row["spoken_language"]))
    counts["media"].update(kind for kind in ("video", "poses") if row[kind])


def check_licence(summary: Summary, about: About) -> None:
    """Reject clips that their owners did not release: they show people who can be recognized.

    Raises:
        SignXError: If a license is missing, or is not open.
    """
    for licence in summary.licences:
        if not OPEN.match(licence) and not (licence in ("", "your own") and about.licence):
            raise SignXError(
                f"{summary.name}: the license of clips must let anybody redistribute them, got "
                f"{licence or 'none'!r}. Use --private if your agreement allows that, or state the license of your "
                "own clips with --about."
            )


def dataset_card(repo: str, summary: Summary, about: About) -> str:
    """Return the dataset's card, YAML first; `configs` tells `datasets` which files belong to which split."""
    from huggingface_hub import DatasetCardData

    licences = [licence for licence in summary.licences if licence and licence != "your own"]
    size = sum(summary.splits.values())
    bounds = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))
    signed = about.sign_languages or summary.sign_languages
    spoken = about.spoken_languages or summary.spoken_languages
    open_known = "cc0-1.0" if licences and all(licence.startswith("CC0") for licence in licences) else None
    data = DatasetCardData(
        language=[*signed, *spoken] or None, license=about.licence or open_known, pretty_name=about.title,
        size_categories=next((name for limit, name in bounds if size < limit), "n>1M"),
        task_categories=["video-classification"], tags=["sign-language", "signx"],
        configs=[
            {
                "config_name": "default",
                "data_files": [{"split": split, "path": f"{split}/*.arrow"} for split in summary.splits],
            }
        ],
    )  # fmt: skip
    named = ", ".join(f"{SIGN_LANGUAGES.get(code, 'sign language')} ({code})" for code in signed) or "not stated"
    folder = repo.split("/")[-1]
    lines = [
        f"# {about.title or folder}", "",
        f"{size} clips of signing, {summary.signers} signers, {summary.glosses} glosses"
        + (f", {summary.seconds / 60:.1f} minutes" if summary.seconds else "") + f". Sign language: {named}.",
        "", "| split | clips |", "| --- | --- |", *(f"| {split} | {count} |" for split, count in summary.splits.items()),
        "", f"{summary.videos} clips have video, {summary.poses} have pose tracks; both are inside the rows.",
        "", "## Use", "", "```python", "from datasets import load_dataset", "",
        f'rows = load_dataset("{repo}", split="{next(iter(summary.splits))}")', 'print(rows[0]["id"], rows[0]["glosses"])', "```",
        "", "or, as a folder that every command of signx_hf accepts:", "",
        "```text", f"signx-hf pull --dataset {repo} --out {folder}", f"signx-hf data check {folder}", "```",
        "", "## License and consent", "",
        "License of the clips, as their owners state it: " + ("; ".join(licences) or about.licence or "not stated") + ".", "",
        f"Consent of the people shown: {about.consent or 'not stated by the publisher'}.".replace("..", "."), "",
        f"Glossing convention: {about.glossing or 'not stated by the publisher'}.".replace("..", "."),
        *(["", "## Limits", "", *(f"- {limit}" for limit in about.limits)] if about.limits else []),
    ]  # fmt: skip
    return f"---\n{data.to_yaml()}\n---\n\n" + "\n".join(lines) + "\n"
