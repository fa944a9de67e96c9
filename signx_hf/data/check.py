"""Find what breaks training before it starts: `check_dataset` reads a dataset of the schema and reports faults.

An error makes clips unusable or results wrong; a warning is worth a look. Annotations are checked in one pass over
plain columns; files and poses are opened only on request.
"""

import itertools
import math
import os
import statistics
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from ..common.messages import printable, to_json
from ..processing.errors_signx import SignXError
from .check_files import (
    BODILESS,
    SAME_RATE,
    Fault,
    Media,
    check_frames,
    check_track,
    check_video,
    with_body,
    wrong_layout,
)
from .check_targets import TARGETS, DecoderLimit, check_lengths, check_presence, sentence_of
from .errors import SignXDataError
from .schema import FEATURES, StoredPoses, decode_poses, stored_frames

if TYPE_CHECKING:
    import pyarrow
    from datasets import Dataset

FAULTS = {  # fault -> severity
    "missing-file": "error",
    "unreadable-file": "error",
    "duplicate-id": "error",
    "leaked-clip": "error",
    "leaked-signer": "error",
    "ctc-infeasible": "error",
    "no-glosses": "error",
    "no-text": "error",
    "bad-gloss": "error",
    "bad-times": "error",
    "bad-poses": "error",
    "masked-poses": "error",
    "frame-count": "error",
    "shared-signer": "warning",
    "never-trained": "warning",
    "vocabulary-drift": "warning",
    "spelling-drift": "warning",
    "partial-glosses": "warning",
    "partial-text": "warning",
    "long-target": "warning",
    "missing-track": "warning",
    "few-clips": "warning",
    "frame-rate": "warning",
    "length": "warning",
}
DRIFT = 0.1  # share of tokens of a split that are not in train
OUTLIER = 6.0  # robust standard deviations of the logarithm of the duration
FEW_CLIPS = 20  # too few clips to know what is usual
SHOWN = 5  # examples of a fault in the text report


@dataclass(frozen=True)
class CheckOptions:
    """Options of `check_dataset`.

    Attributes:
        same_signer: A signer in two splits is an error, as in splits that must be signer-independent; else a warning.
        media: "open" opens every video and pose file, "stat" only checks that it exists, "none" does neither.
        poses: Read the stored poses.
        stride: Frames per output step of the recognizer; CTC needs one step per gloss, and one more between equal
            glosses.
        target: What is to be decoded, `glosses`, `text` or `both`, as in training: a clip without it is an error. None: a
            clip may have glosses, text or both.
        limit: Of the decoder, for targets that are too long to be written.
    """

    same_signer: bool = False
    media: str = "open"
    poses: bool = True
    stride: int = 4
    target: str | None = None
    limit: DecoderLimit = DecoderLimit()

    def __post_init__(self) -> None:
        if self.media not in ("open", "stat", "none"):
            raise SignXDataError(f"`media` must be 'open', 'stat' or 'none', got {self.media!r}.")
        if isinstance(self.stride, bool) or not isinstance(self.stride, int) or self.stride < 1:
            raise SignXDataError(f"`stride` must be a positive integer, got {self.stride!r}.")
        if self.target not in (None, *TARGETS):
            raise SignXDataError(f"`target` must be one of {', '.join(TARGETS)}, got {self.target!r}.")


@dataclass(frozen=True)
class Finding:
    """One fault.

    Attributes:
        fault: A key of `FAULTS`.
        severity: `error` or `warning`.
        split: The split, empty if the fault concerns more than one.
        id: Id of the clip, empty if the fault concerns more than one.
        message: What is wrong.
    """

    fault: str
    severity: str
    split: str
    id: str
    message: str


@dataclass
class Report:
    """Findings, and a summary of each split: clips, signs, vocabulary, texts, signers and hours."""

    splits: dict[str, dict[str, Any]] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    unknown: Counter = field(default_factory=Counter)  # split -> clips with glosses whose number of frames is unknown

    @property
    def errors(self) -> int:
        """Number of findings of severity error."""
        return sum(finding.severity == "error" for finding in self.findings)

    @property
    def warnings(self) -> int:
        """Number of findings of severity warning."""
        return len(self.findings) - self.errors

    def add(self, fault: str, split: str, id: str, message: str) -> None:
        """Add a finding with the severity of its fault."""
        self.findings.append(Finding(fault, FAULTS[fault], split, id, message))

    def to_json(self) -> str:
        """Return one JSON object: splits, errors, warnings, notes, findings."""
        content = {
            "splits": self.splits,
            "errors": self.errors,
            "warnings": self.warnings,
            "notes": self.notes(),
            "findings": [asdict(finding) for finding in self.findings],
        }
        return to_json(content, indent=1)

    def notes(self) -> list[str]:
        """Return what could not be checked, one sentence each."""
        return [
            f"{split}: the number of frames of {count} clip{'' if count == 1 else 's'} is unknown, so that CTC has room "
            "for their glosses was not checked. Add num_frames, or fps to start and end, or use --media open."
            for split, count in self.unknown.items()
        ]

    def to_text(self) -> str:
        """Return a readable report: a line for each split, then each kind of fault with its first examples."""
        lines = [f"{'split':8}{'clips':>8}{'signs':>9}{'glosses':>9}{'texts':>8}{'signers':>9}{'hours':>8}"]
        for name, split in self.splits.items():
            hours = "?" if split["hours"] is None else f"{split['hours']:.2f}"
            lines.append(
                f"{name:8}{split['clips']:8}{split['signs']:9}{split['glosses']:9}{split['texts']:8}{split['signers']:9}{hours:>8}"
            )
        by_fault = defaultdict(list)
        for finding in self.findings:
            by_fault[finding.fault].append(finding)
        for fault, severity in FAULTS.items():
            findings = by_fault.get(fault, [])
            if findings:
                lines += ["", f"{severity}: {fault} ({len(findings)})"]
                lines += [f"  {' '.join(filter(None, (f.split, f.id)))}: {f.message}" for f in findings[:SHOWN]]
                if len(findings) > SHOWN:
                    lines.append(f"  and {len(findings) - SHOWN} more (--json shows all)")
        lines += [line for note in self.notes() for line in ("", f"note: {note}")]
        lines += ["", f"{self.errors} errors, {self.warnings} warnings"]
        return "\n".join(map(printable, lines))  # cells of a table may hold what moves a cursor


def check_dataset(dataset: "Dataset | Mapping[str, Dataset]", options: CheckOptions | None = None) -> Report:
    """Look for what breaks training.

    Args:
        dataset: A Dataset or DatasetDict of the schema (`load_dataset`), or a mapping of split names to such.
        options: What to check; default: everything, and signers may be in two splits.

    Raises:
        SignXDataError: If the dataset does not follow the schema.
    """
    options = options or CheckOptions()
    splits = dict(dataset) if isinstance(dataset, Mapping) else {str(dataset.split or "train"): dataset}
    for name, part in splits.items():
        lacking = [column for column in FEATURES if column not in part.column_names]
        if lacking:
            raise SignXDataError(
                f"split '{name}' has no column '{lacking[0]}'. Load the dataset with signx_hf.load_dataset."
            )
    report = Report()
    columns = [column for column in FEATURES if column != "poses"]
    rows = {name: part.select_columns(columns).with_format("arrow")[:].to_pylist() for name, part in splits.items()}
    for name, part in splits.items():
        _fill_frames(rows[name], part, name, options, report)
        _check_files(rows[name], name, options, report)
        _check_clips(rows[name], name, options, report)
        report.splits[name] = _summary(rows[name])
    _check_ids(rows, report)
    _check_leaks(rows, splits, options, report)
    _check_vocabulary(rows, report)
    _check_isolated(rows, report)
    _check_widths(rows, report)
    _check_usual(rows, report)
    return report


def _seconds(row: Mapping[str, Any]) -> float | None:
    if row["end"] is not None:
        return row["end"] - (row["start"] or 0)
    return row["num_frames"] / row["fps"] if row["num_frames"] and row["fps"] else None


def _frames(row: Mapping[str, Any]) -> int | None:
    if row["num_frames"] is not None:
        return row["num_frames"]
    return round((row["end"] - (row["start"] or 0)) * row["fps"]) if row["end"] is not None and row["fps"] else None


def _summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    seconds = [value for value in map(_seconds, rows) if value is not None and value > 0]
    return {
        "clips": len(rows),
        "signs": sum(len(row["glosses"]) for row in rows),
        "glosses": len({gloss for row in rows for gloss in row["glosses"]}),
        "texts": sum(bool(sentence_of(row, "text")) for row in rows),
        "signers": len({row["signer"] for row in rows} - {None}),
        "hours": round(sum(seconds) / 3600, 4) if seconds else None,
    }


# poses


def _stored(part: "Dataset") -> Iterator["pyarrow.Scalar"]:
    """Yield the poses of a split as Arrow scalars, without copies and without holding all of them in memory."""
    for batch in part.select_columns(["poses"]).with_format("arrow").iter(64):
        yield from batch.column("poses")


def _fill_frames(
    rows: list[dict[str, Any]], part: "Dataset", split: str, options: CheckOptions, report: Report
) -> None:
    """Check stored poses, and take the number of frames from them if the annotation has none."""
    for row, scalar in zip(rows, _stored(part)):
        if not scalar.is_valid:
            continue
        data = memoryview(scalar.as_buffer())
        try:
            frames, fps = stored_frames(data), None
            if options.poses:
                stored = decode_poses(data)
                fps = stored.fps
                _check_poses(row, split, stored, report)
        except SignXError as error:
            report.add("bad-poses", split, row["id"], str(error))
            continue
        if row["num_frames"] is None:
            row["num_frames"], row["fps"] = frames, fps or row["fps"]
        elif not Media(frames, frames / fps if fps else None, fps).agrees(row["num_frames"], row["fps"]):
            report.add(
                "frame-count", split, row["id"], f"{frames} frames of poses, but {row['num_frames']} are annotated"
            )


def _check_poses(row: dict[str, Any], split: str, stored: StoredPoses, report: Report) -> None:
    import numpy as np

    seen, start = False, 0
    for index, (name, width) in enumerate(stored.track_dims.items()):
        values, observed = stored.values[:, start : start + width], stored.mask[:, index]
        start += width
        problem = wrong_layout(name, width)
        if problem:
            report.add("bad-poses", split, row["id"], problem)
            return
        bad = ~np.isfinite(values).all(axis=1) & observed
        if bad.any():
            frame = int(np.argmax(bad))
            report.add("bad-poses", split, row["id"], f"track '{name}' frame {frame} is observed but not finite")
            return
        seen |= bool(with_body(name, values, observed).any())
    row.setdefault("widths", []).extend(stored.track_dims.items())
    if not seen:
        report.add(
            "masked-poses", split, row["id"], f"no track is observed in any of {len(stored.mask)} frames{BODILESS}"
        )


# files


def _check_files(rows: list[dict[str, Any]], split: str, options: CheckOptions, report: Report) -> None:
    """Check the files of each row, and take the number of frames and the rate from them if the annotation has none."""
    if options.media == "none":
        return
    seen: dict[str, Fault | Media] = {}
    for row in rows:
        for source, check, is_whole in _files_of(row):
            if isinstance(source, bytes):
                result = check(source, f"the video of {row['id']}") if options.media == "open" else Media()
            else:
                if source not in seen:
                    seen[source] = _opened(source, check, options)
                result = seen[source]
            if isinstance(result, tuple):
                report.add(result[0], split, row["id"], result[1])
                continue
            row.setdefault("widths", []).extend(result.widths.items())
            _compare(row, result, source, is_whole, split, report)


def _files_of(row: Mapping[str, Any]) -> Iterator[tuple[str | bytes, Callable[..., Fault | Media], bool]]:
    """Yield each file of a row, the function that checks it, and whether start and end cut the clip out of it."""
    video = row["video"] or {}
    if video.get("bytes") or video.get("path"):
        yield video.get("bytes") or video["path"], check_video, True
    if row["frames"] is not None:
        yield row["frames"], check_frames, True
    for track in row["tracks"]:
        yield track["path"], check_track, False


def _opened(path: str, check: Callable[..., Fault | Media], options: CheckOptions) -> Fault | Media:
    if not os.path.exists(path):
        return "missing-file", f"{path} does not exist"
    if not os.path.isfile(path) and not os.path.isdir(path):
        return "unreadable-file", f"{path} must be a file, but is a pipe or device"
    return check(path) if options.media == "open" else Media()


def _compare(
    row: dict[str, Any], media: Media, source: str | bytes, is_whole: bool, split: str, report: Report
) -> None:
    """Compare the frames of a file with the annotation, or take them for it."""
    if row["end"] is not None:  # a part of the file, whose length the annotation says
        row["fps"] = row["fps"] or media.fps
        return
    start = row["start"] or 0.0
    if media.frames is None or (start and is_whole and not media.fps):
        return
    if start and is_whole:
        frames = media.frames - round(start * (media.fps or 0))
        media = Media(frames, frames / (media.fps or 1), media.fps)
    if row["num_frames"] is None:
        row["num_frames"], row["counted"] = media.frames, media
        row["fps"] = (media.fps if row["fps"] is None or row["fps"] > 0 else None) or row["fps"]
        return
    if not media.agrees(row["num_frames"], row["fps"]):
        media.decode()
    if not media.agrees(row["num_frames"], row["fps"]):
        where = "the stored video" if isinstance(source, bytes) else source
        message = f"{media.frames} frames in {where}, but {row['num_frames']} are annotated"
        report.add("frame-count", split, row["id"], message)


# clips


def _check_clips(rows: list[dict[str, Any]], split: str, options: CheckOptions, report: Report) -> None:
    def add(fault: str, id: str, message: str) -> None:
        report.add(fault, split, id, message)

    check_presence(rows, options.target, add)
    check_lengths(rows, options.target, options.limit, add)
    names = Counter(track["name"] for row in rows for track in row["tracks"])
    usual = {name for name, count in names.items() if count >= max(2, 0.5 * len(rows))}
    for row in rows:
        glosses = row["glosses"]
        for gloss in glosses:
            if gloss.split() != [gloss]:
                report.add("bad-gloss", split, row["id"], f"gloss {gloss!r} must be non-empty and without spaces")
        _check_times(row, split, report)
        if glosses:
            _check_room(row, split, options, report)
        for name in sorted(usual - {track["name"] for track in row["tracks"]}):
            report.add("missing-track", split, row["id"], f"no track '{name}', which most clips have")


def _check_room(row: dict[str, Any], split: str, options: CheckOptions, report: Report) -> None:
    """Check that CTC has a step for each gloss, and one between two equal ones."""
    glosses, frames = row["glosses"], _frames(row)
    if frames is None:
        report.unknown[split] += 1
        return
    repeats = sum(first == second for first, second in zip(glosses, glosses[1:]))
    needed = len(glosses) + repeats
    if (
        "counted" in row and math.ceil(frames / 2 / options.stride) < needed
    ):  # packets may be fields: decode to be sure
        frames = row["num_frames"] = row["counted"].decode()
    steps = math.ceil(frames / options.stride)
    if steps < needed:
        message = f"{frames} frames give {steps} steps, but CTC needs {needed} for {len(glosses)} glosses"
        report.add("ctc-infeasible", split, row["id"], message + (f" and {repeats} repeats" if repeats else ""))


def _check_times(row: Mapping[str, Any], split: str, report: Report) -> None:
    start, end = row["start"] or 0.0, row["end"]
    if start < 0 or (end is not None and not end > start):
        report.add("bad-times", split, row["id"], f"the clip must end after it starts, got {start:g} to {end} s")
        return
    if row["fps"] is not None and not 0 < row["fps"] < math.inf:
        report.add("bad-times", split, row["id"], f"the frame rate must be positive, got {row['fps']:g} frames/s")
        return
    duration, before = _seconds(row), -math.inf
    slack = 1.5 / row["fps"] if row["fps"] else 0.1  # annotations round to whole frames
    for segment in row["segments"]:
        first, last = segment["start"], segment["end"]
        outside = duration is not None and (first < -slack or last > duration + slack)
        if not last > first or first < before or outside:
            span = f"{segment['gloss']} is from {first:g} to {last:g} s"
            within = f" within {duration:g} s" if outside else ""
            report.add("bad-times", split, row["id"], f"segments must be in order{within}, but {span}")
            return
        before = first


# the splits together


def _check_ids(rows: Mapping[str, list[dict[str, Any]]], report: Report) -> None:
    seen: dict[str, str] = {}
    for split, entries in rows.items():
        for row in entries:
            if not row["id"]:
                report.add("duplicate-id", split, "", "the clip has no id")
            elif row["id"] in seen:
                report.add("duplicate-id", split, row["id"], f"the id is also in {seen[row['id']]}")
            else:
                seen[row["id"]] = split


def _sources(rows: list[dict[str, Any]], part: "Dataset") -> Iterator[tuple[Any, dict[str, Any]]]:
    """Yield what identifies the content of a clip: file and times if there is a file, else the stored poses."""
    for row, poses in zip(rows, _stored(part)):
        path = (row["video"] or {}).get("path") or row["frames"]
        if path is None and row["tracks"]:
            path = "\n".join(sorted(track["path"] for track in row["tracks"]))
        if path is not None:
            yield (path, row["start"], row["end"]), row
        elif poses.is_valid:
            yield hash(bytes(poses.as_buffer())), row


def _check_leaks(rows: Mapping[str, list], splits: Mapping[str, Any], options: CheckOptions, report: Report) -> None:
    seen: dict[Any, tuple[str, Mapping[str, Any]]] = {}
    for split, entries in rows.items():
        for source, row in _sources(entries, splits[split]):
            first_split, first = seen.setdefault(source, (split, row))
            if first_split != split:
                glosses = " ".join(first["glosses"]), " ".join(row["glosses"])
                other = "" if glosses[0] == glosses[1] else f" with other glosses ({glosses[0]}, here {glosses[1]})"
                message = f"the same clip is in {first_split} as {first['id']}{other}"
                report.add("leaked-clip", split, row["id"], message)
    _check_signers(rows, options, report)


def _check_signers(rows: Mapping[str, list], options: CheckOptions, report: Report) -> None:
    """Report signers that are in two splits: one by one as errors if none may be, else in one line per two splits."""
    counts = {split: Counter(row["signer"] for row in entries if row["signer"]) for split, entries in rows.items()}
    for split, other in ((second, first) for first, second in itertools.combinations(rows, 2)):
        shared = sorted(counts[split].keys() & counts[other].keys())
        if options.same_signer:
            for signer in shared:
                message = f"signer {signer} has {counts[split][signer]} clips, and {counts[other][signer]} in {other}"
                report.add("leaked-signer", split, "", message)
        elif shared:
            names = ", ".join(shared[:SHOWN]) + ("..." if len(shared) > SHOWN else "")
            signers = "1 signer is" if len(shared) == 1 else f"{len(shared)} signers are"
            message = f"{signers} also in {other} ({names}), so results on one say little about signers never seen"
            report.add("shared-signer", split, "", message)


def _plain(gloss: str) -> str:
    return unicodedata.normalize("NFKC", gloss).casefold()


def _check_vocabulary(rows: Mapping[str, list[dict[str, Any]]], report: Report) -> None:
    counts = {split: Counter(gloss for row in entries for gloss in row["glosses"]) for split, entries in rows.items()}
    trained = counts.get("train")
    if not trained:
        return
    spellings = {_plain(gloss): gloss for gloss in trained}
    for split, entries in counts.items():
        unknown = {gloss: count for gloss, count in entries.items() if gloss not in trained}
        for gloss, count in unknown.items():
            other = spellings.get(_plain(gloss))
            fault, why = ("never-trained", "") if other is None else ("spelling-drift", f"; train writes it {other!r}")
            report.add(fault, split, "", f"gloss {gloss!r} ({count} times) is not in train{why}")
        share = sum(unknown.values()) / max(1, sum(entries.values()))
        if share > DRIFT:
            report.add(
                "vocabulary-drift",
                split,
                "",
                f"{share:.0%} of its signs are not in train (at most {DRIFT:.0%} is usual)",
            )


def _check_isolated(rows: Mapping[str, list[dict[str, Any]]], report: Report) -> None:
    """Check that isolated signs without splits have enough clips to train on some and evaluate on others."""
    counts = Counter(row["glosses"][0] for row in rows.get("train", ()) if len(row["glosses"]) == 1)
    if set(rows) != {"train"} or sum(counts.values()) != max(2, len(rows["train"])):
        return  # has splits or sentences, or is a single clip
    if len(counts) == 1:
        report.add(
            "few-clips", "train", "", f"all clips show {next(iter(counts))!r}; training needs at least two glosses"
        )
    single = [gloss for gloss, count in counts.items() if count == 1]
    if single:
        names = ", ".join(single[:SHOWN]) + ("..." if len(single) > SHOWN else "")
        report.add(
            "few-clips",
            "train",
            "",
            f"{len(single)} of {len(counts)} glosses have one clip ({names}); training and evaluation need two",
        )


def _check_widths(rows: Mapping[str, list[dict[str, Any]]], report: Report) -> None:
    """Report tracks whose width differs from most clips: a model reads one width per track."""
    places = [(split, row) for split, entries in rows.items() for row in entries]
    counts: dict[str, Counter] = defaultdict(Counter)
    for _, row in places:
        for name, width in set(row.get("widths", ())):
            counts[name][width] += 1
    usual = {name: entries.most_common(1)[0] for name, entries in counts.items() if len(entries) > 1}
    for split, row in places:
        for name, width in sorted(set(row.get("widths", ()))):
            expected, count = usual.get(name, (width, 0))
            if width != expected:
                message = f"track '{name}' has width {width}, but {expected} in {count} clips"
                report.add("bad-poses", split, row["id"], message)


def _check_usual(rows: Mapping[str, list[dict[str, Any]]], report: Report) -> None:
    """Report frame rates and durations that differ from those of nearly all clips."""
    rates = Counter(row["fps"] for entries in rows.values() for row in entries if row["fps"])
    usual, count = rates.most_common(1)[0] if rates else (0.0, 0)
    if 2 * count > sum(rates.values()):
        for split, entries in rows.items():
            for row in entries:
                if row["fps"] and abs(row["fps"] / usual - 1) > SAME_RATE:
                    report.add(
                        "frame-rate", split, row["id"], f"{row['fps']:g} frames/s; nearly all clips have {usual:g}"
                    )
    timed = [(split, row, s) for split, entries in rows.items() for row in entries if (s := _seconds(row)) and s > 0]
    if len(timed) < FEW_CLIPS:
        return
    logs = [math.log(seconds) for _, _, seconds in timed]
    middle = statistics.median(logs)
    # at least a tenth, as clips cut to one length have no deviation
    deviation = max(0.1, 1.4826 * statistics.median(abs(value - middle) for value in logs))
    for (split, row, seconds), value in zip(timed, logs):
        if abs(value - middle) > OUTLIER * deviation:
            report.add(
                "length",
                split,
                row["id"],
                f"{seconds:.2f} s; half of all clips are longer than {math.exp(middle):.2f} s",
            )
