"""Run an evaluation, from its options to its files."""

import hashlib
import json
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..assets import model_place
from ..common.threads import worker_threads
from ..data.corpus import SPLIT_ALIASES
from ..data.load import check_source
from ..data.media import check_rows, check_truth, has_film
from ..metrics import real_time_factor
from ..processing.errors_signx import SignXError
from . import environment, single_signs, summary, translations
from .clips import ClipTask, EvaluationWorker, clip_key, media_digest, read_record
from .files import CLIPS, CONFUSION, REPORT, RESULTS, acquire, record_path, write_text
from .options import CONTINUOUS, ISOLATED, TASKS, TRANSLATION, EvaluationOptions, scorers_of

if TYPE_CHECKING:
    from datasets import Dataset, DatasetDict
    from transformers import PreTrainedConfig

RESULTS_VERSION = 1
CONFUSIONS = 30  # pairs in results.json; confusion.tsv has all


class ClipsFailed(SignXError):
    """Some clips could not be recognized, so there is no number for the split.

    Attributes:
        failed: a line for each.
    """

    def __init__(self, message: str, failed: Sequence[str]):
        super().__init__(message)
        self.failed = list(failed)


@dataclass(frozen=True)
class Model:
    """Properties of a model that are known without its weights.

    Args:
        name: as given.
        path: folder or Hub name.
        task, architecture: what it is.
        fingerprint: of its files, or its commit on the Hub.
        has_video: whether it was trained on pictures.
        takes_landmarks: whether it reads the landmarks of videos.
        labels: of isolated signs.
        hidden: pose tracks to mask, in the order of the model's.
    """

    name: str
    path: str
    task: str
    architecture: str
    fingerprint: str
    has_video: bool
    takes_landmarks: bool
    labels: frozenset[str] = frozenset()
    hidden: tuple[str, ...] = ()


def open_model(options: EvaluationOptions) -> Model:
    """Return what is known of the model without its weights.

    Raises:
        SignXError: If it cannot be read, does not recognize signs, has not learned the task, or a track cannot be
            hidden.
    """
    from .._registration import recognizers, register, task_of_architecture
    from ..recognition.batch import model_fingerprint
    from ..recognition.loading import cannot_load, check_model

    path = model_place(options.model)
    try:
        check_model(path)
        register()
        from transformers import AutoConfig

        from ..processing.trained_signx import takes_landmarks

        config = AutoConfig.from_pretrained(path, trust_remote_code=options.trust_remote_code)
        fingerprint = model_fingerprint(path)
    except (OSError, ValueError) as error:
        raise SignXError(cannot_load(options.model, error)) from error
    architecture, task = (config.architectures or ["none"])[0], task_of_architecture(config.architectures)
    if task is None:
        raise SignXError(
            f"`model` must be a checkpoint of one of {', '.join(recognizers())}, got {architecture} ({options.model})."
        )
    if getattr(config, "spotting", None) is not None:
        task = CONTINUOUS  # a spotter names signs one after the other
    return Model(
        options.model,
        path,
        _task(options, task, architecture, config),
        architecture,
        fingerprint,
        config.vision_config is not None and "video" in (getattr(config, "trained_entries", None) or ["video"]),
        takes_landmarks(config),
        frozenset(config.id2label.values()),
        _hidden(options, config),
    )


def _task(options: EvaluationOptions, task: str, architecture: str, config: "PreTrainedConfig") -> str:
    """Return what is evaluated: the task of the model, or translation if that is asked for or all it has learned."""
    from .._registration import TASKS as PIPELINES

    can_translate = architecture in PIPELINES[TRANSLATION].architectures
    learned = (config.trained_tasks if can_translate else None) or ["gloss"]
    asked = options.task or ("gloss" if "gloss" in learned else "text")
    if asked not in learned:
        missing, has = TASKS[asked], TASKS[learned[0]] if task != ISOLATED else "single signs"
        train = f", or train it with target: {'text or both' if asked == 'text' else 'both'}" * can_translate
        raise SignXError(
            f"--task {asked}: {options.model} has learned {has}, not {missing}. Use --task {learned[0]}{train}."
        )
    return TRANSLATION if asked == "text" else task


def _hidden(options: EvaluationOptions, config: "PreTrainedConfig") -> tuple[str, ...]:
    """Return the tracks to hide, in the order of the model's tracks.

    Raises:
        SignXError: If the model has no such track or was not trained on it, or none would be left.
    """
    known = tuple(config.pose_config.track_dims)
    trained = known if config.trained_tracks is None else tuple(config.trained_tracks)
    for name in options.hide_tracks:
        if name not in trained:
            why = f"{options.model} was not trained on it, so it is always hidden" if name in known else ""
            raise SignXError(
                f"--hide-track must be one of {', '.join(trained) or 'no tracks'}, got {name!r}"
                + (f": {why}. Leave it out." if why else f" for {options.model}.")
            )
    hidden = tuple(name for name in trained if name in options.hide_tracks)
    if hidden and len(hidden) == len(trained):
        raise SignXError(f"--hide-track must leave a track, got all of {options.model}: {', '.join(trained)}.")
    return hidden


def open_rows(options: EvaluationOptions, task: str) -> "tuple[Dataset, list[int], list[str]]":
    """Open the dataset.

    Returns:
        The split, the indices of its rows with glosses (for a translation: with text) in the order of their ids, and
        the sorted ids of the rows without.

    Raises:
        SignXError: If there is no such split, it has nothing to compare with, ids are missing or repeated, or an isolated clip has
            several glosses.
    """
    from ..data.load import open_source

    data = open_source(options.dataset, options.data_dir, **options.loader)
    rows = _split(data, options.split, options.dataset)
    if hasattr(rows, "with_format"):
        rows = rows.with_format(None)
    check_rows(rows, options.dataset)
    column = TASKS["text" if task == TRANSLATION else "gloss"]
    if column not in rows.column_names:  # a dataset that was saved by hand
        raise SignXError(f"{options.dataset}: no clip has {column}, which an evaluation compares with.")
    columns = rows.select_columns(["id", column])
    ids, truths = list(columns["id"]), list(columns[column])
    if task == TRANSLATION:
        truths = [(text or "").split() for text in truths]
    if not ids:
        raise SignXError(f"{options.dataset}: split {options.split!r} is empty.")
    if None in ids:
        raise SignXError(f"{options.dataset}: every clip must have an id, and clip {ids.index(None)} has none.")
    repeated = next((name for name, count in Counter(ids).items() if count > 1), None)
    if repeated is not None:
        raise SignXError(f"{options.dataset}: every clip must have its own id, and several have {repeated!r}.")
    chosen = sorted((index for index in range(len(ids)) if truths[index]), key=lambda index: ids[index])
    if not chosen:
        raise SignXError(
            f"{options.dataset}: no clip of split {options.split!r} has {column}, which an evaluation compares with."
        )
    if task == ISOLATED:
        for index in chosen:
            if len(truths[index]) != 1:
                raise SignXError(
                    f"clip {ids[index]} must have one gloss for a model of isolated signs, got {len(truths[index])}."
                )
    return rows, chosen, sorted(name for name, true in zip(ids, truths) if not true)


def _split(data: "Dataset | DatasetDict", name: str, dataset: str) -> "Dataset":
    known = SPLIT_ALIASES.get(name, name)
    if hasattr(data, "keys"):
        for candidate in (name, known):
            if candidate in data:
                return data[candidate]
        splits = list(data)
    else:
        if "split" not in data.column_names:
            return data
        labels = list(data.select_columns(["split"])["split"])
        if known in labels or name in labels:
            return data.select([index for index, label in enumerate(labels) if label in (known, name)])
        splits = sorted({str(label) for label in labels})
    raise SignXError(f"--split must be one of {', '.join(splits)} for {dataset}, got {name!r}.")


def _source(options: EvaluationOptions, rows: "Dataset", first: int, model: Model) -> str:
    if options.source != "auto":
        if options.source == "video" and not (model.has_video or model.takes_landmarks):
            raise SignXError(f"{options.model} reads poses only. Use --source poses, or another model.")
        source = options.source
    else:
        row = rows[first]
        reads_film = model.has_video or (model.takes_landmarks and not (row["poses"] or row["tracks"]))
        source = "video" if has_film(row) and reads_film else "poses"
    if model.hidden and source == "video" and not model.takes_landmarks:
        raise SignXError(
            f"--hide-track is for poses, and {options.model} reads the pictures of videos. Use --source poses."
        )
    return source


def evaluate(options: EvaluationOptions, progress: bool | None = None) -> dict[str, Any]:
    """Recognize every unfinished clip of the split, and write the files of the evaluation into `options.out`.

    `results.json` is written last. Its numbers are the same to the last digit whatever `batch_size`, `jobs` and the
    order of the dataset are; what depends on the run is under `run`.

    Args:
        options: what to evaluate.
        progress: whether to show progress; None: yes.

    Returns:
        The content of `results.json`.

    Raises:
        SignXError: If nothing could be done; `ClipsFailed` if clips could not be recognized. The message is one line.
        ImportError: If an extra is missing. The message names it.
    """
    began = time.perf_counter()
    check_source(options.dataset, options.data_dir)
    model = open_model(options)
    scorers = scorers_of(options.scorers, model.task)
    options, answers = _answers(options, model)
    rows, chosen, left_out = open_rows(options, model.task)
    chosen, outside = _inside(options, rows, chosen, answers, model)
    source = _source(options, rows, chosen[0], model)
    versions = environment.versions()
    decides = {name: versions[name] for name in ("signx_hf", "torch", "transformers", "av")}
    given = [model.fingerprint, dict(options.options), source, options.seed, options.device, decides]
    out, translated = Path(options.out), model.task == TRANSLATION
    # only where it is not the default, so that older records stay valid
    given += [["text"]] * translated + [["hidden", *model.hidden]] * bool(model.hidden)
    made_by = json.dumps(given, sort_keys=True, default=str)
    tokenizer = translations.open_tokenizer(model.path, options.trust_remote_code) if translated else None
    tasks, digests, truths = [], [], []
    for index in chosen:
        row = rows[index]
        digests.append(media_digest(row, source))
        truths.append(_truth(row) if tokenizer is None else translations.truth(row, tokenizer.normalize_text))
        path = str(record_path(out, row["id"]).absolute())
        tasks.append(ClipTask(index, row["id"], path, clip_key(made_by, digests[-1])))
    data = hashlib.sha256(
        json.dumps([[*truth, digest] for truth, digest in zip(truths, digests)]).encode()
    ).hexdigest()
    identity = {
        "model": model.fingerprint, "dataset": options.dataset, "split": options.split, "data": data, "source": source,
        "options": json.loads(json.dumps(dict(options.options), default=str)), "seed": options.seed,
        **({"unknown": True} if options.unknown else {}),
        "task": "text" if translated else "gloss", "hidden_tracks": list(model.hidden),
    }  # fmt: skip
    from ..recognition.loading import open_recognizer

    if options.options:  # a run that cannot start must not claim the folder
        pipeline = TRANSLATION if translated else None
        open_recognizer(model.path, options.device, options.trust_remote_code, options.options, pipeline)
    acquire(out, identity)
    worker = EvaluationWorker(
        rows, model.task, model.path, source, dict(options.options), options.seed, options.device,
        options.trust_remote_code, model.hidden,
    )  # fmt: skip
    others = _unknown_tasks(rows, outside if options.unknown else [], source, out, made_by)
    finished, notes = _recognize([*tasks, *others], worker, options, progress)
    records = [read_record(task.path, task.key) for task in tasks]
    make_clip = translations.clip if translated else _clip
    clips = [make_clip(truth, record["result"]) for truth, record in zip(truths, records)]
    unknown = [_clip((task.name, "", [], []), read_record(task.path, task.key)["result"]) for task in others]
    results = _results(options, model, clips, scorers, {
        "left_out": left_out, "tokenizer": tokenizer, "fingerprint": data, "source": source, "versions": versions,
        "outside": len(outside), "unknown": unknown, "rejection": records[0]["result"].get("rejection"),
    })  # fmt: skip
    results["run"] = _run(options, records, finished, time.perf_counter() - began, notes)
    write_files(out, results, clips, scorers)
    return results


def _answers(options: EvaluationOptions, model: Model) -> tuple[EvaluationOptions, frozenset[str] | None]:
    """Return the options with the vocabulary as a list of glosses, and the possible signs; None for sentences.

    Raises:
        SignXError: If a model of sentences gets options of isolated signs, or the model does not know the vocabulary.
    """
    vocabulary = options.options.get("vocabulary")
    if model.task != ISOLATED:
        if vocabulary is not None or options.unknown:
            name = "unknown" if vocabulary is None else "vocabulary"
            does = "translates" if model.task == TRANSLATION else "recognizes sentences"
            raise SignXError(f"--{name} is for models of isolated signs, and {options.model} {does}. Leave it out.")
        return options, None
    if vocabulary is None:
        return options, model.labels
    from ..processing.vocabulary_signx import vocabulary_glosses, vocabulary_ids

    glosses = vocabulary_glosses(vocabulary)
    vocabulary_ids(glosses, dict(enumerate(sorted(model.labels))))
    return replace(options, options={**options.options, "vocabulary": glosses}), frozenset(glosses)


def _inside(
    options: EvaluationOptions, rows: "Dataset", chosen: list[int], answers: frozenset[str] | None, model: Model
) -> tuple[list[int], list[int]]:
    """Return the rows that are scored, and those of signs outside the vocabulary.

    Without a vocabulary and without --unknown, the latter are scored as well: the model gets them wrong.
    """
    if answers is None or ("vocabulary" not in options.options and not options.unknown):
        return chosen, []
    glosses = list(rows.select_columns(["glosses"])["glosses"])
    inside, outside = ([n for n in chosen if (glosses[n][0] in answers) is kind] for kind in (True, False))
    if not inside:
        raise SignXError(
            f"{options.dataset}: split {options.split!r} must have at least one clip of a sign in the vocabulary."
        )
    if options.unknown and not outside:
        raise SignXError(
            f"{options.dataset}: --unknown needs clips of signs outside the vocabulary, and split {options.split!r} "
            "has none. Use --vocabulary, or leave --unknown out."
        )
    return inside, outside


def _unknown_tasks(rows: "Dataset", outside: Sequence[int], source: str, out: Path, made_by: str) -> list[ClipTask]:
    tasks = []
    for index in outside:
        row = rows[index]
        key = clip_key(made_by, media_digest(row, source))
        tasks.append(ClipTask(index, row["id"], str(record_path(out, row["id"]).absolute()), key))
    return tasks


def _truth(row: Mapping[str, Any]) -> tuple[str, str, list[str], list[list]]:
    """Return id, signer, glosses and segments of a row; SignXError if nothing can be compared with them."""
    check_truth(row)
    segments = [[segment["gloss"], segment["start"], segment["end"]] for segment in row["segments"]]
    return row["id"], row["signer"] or "unknown", list(row["glosses"]), segments


def _clip(truth: tuple, result: Mapping[str, Any]) -> summary.Clip:
    name, signer, glosses, segments = truth
    return summary.Clip(
        name, signer, tuple(glosses), tuple({"gloss": g, "start": a, "end": b} for g, a, b in segments),
        tuple(result.get("glosses", ())), tuple(result.get("segments", ())), tuple(result.get("labels", ())),
        tuple(result.get("scores", ())), result.get("sure"), (result.get("rejection") or {}).get("value"),
    )  # fmt: skip


def _recognize(
    tasks: Sequence[ClipTask], worker: EvaluationWorker, options: EvaluationOptions, progress: bool | None
) -> tuple[int, list[str]]:
    """Recognize the clips without a record, and return how many had one, and the warnings."""
    from ..common.progress import progress as show_progress
    from ..jobs.run import run_jobs

    todo = [task for task in tasks if read_record(task.path, task.key) is None]
    groups = [todo[at : at + options.batch_size] for at in range(0, len(todo), options.batch_size)]
    failed: dict[int, str] = {}
    notes: list[str] = []
    outcomes = run_jobs(worker, groups, options.jobs, threads=worker_threads())
    try:
        if todo:
            for outcome in show_progress(outcomes, total=len(todo), show=progress is not False):
                notes += outcome.notes
                if outcome.error is not None:
                    failed[outcome.index] = outcome.error
    finally:
        outcomes.close()  # ends its processes
    if failed:
        lines = [failed[task.index] for task in tasks if task.index in failed]
        raise ClipsFailed(
            f"{len(lines)} of {len(tasks)} clips failed, so no results were written, because the split would be "
            "incomplete. Finished clips are kept; run the same command to resume.",
            lines,
        )
    return len(tasks) - len(todo), sorted(set(notes))


def _results(
    options: EvaluationOptions,
    model: Model,
    clips: list[Any],
    scorers: Sequence[str],
    facts: Mapping[str, Any],
) -> dict[str, Any]:
    """Return everything that the clips, the model and the options decide."""
    content: dict[str, Any] = {
        "version": RESULTS_VERSION, "task": model.task,
        "model": {"name": model.name, "architecture": model.architecture, "fingerprint": model.fingerprint},
        "data": {
            "dataset": options.dataset, "split": options.split, "fingerprint": facts["fingerprint"], "clips": len(clips),
            "signers": len({clip.signer for clip in clips}),
        },
        "config": {
            "source": facts["source"], "options": json.loads(json.dumps(dict(options.options), default=str)),
            "seed": options.seed, "rounds": options.rounds, "level": summary.LEVEL, "scorers": list(scorers),
            **({"hidden_tracks": list(model.hidden)} if model.hidden else {}),
        },
        "versions": facts["versions"], "commit": environment.commit(),
    }  # fmt: skip
    if model.task == TRANSLATION:
        for part, said in translations.facts(clips, facts["tokenizer"], facts["left_out"]).items():
            content[part] |= said
        return {**content, **translations.content(clips, scorers, options.rounds, options.seed)}
    content["data"] |= {
        "words": sum(len(clip.reference) for clip in clips), "clips_without_glosses": len(facts["left_out"]),
    }  # fmt: skip
    content["scores"] = summary.scores(clips, scorers, options.rounds, options.seed)
    if model.task == CONTINUOUS:
        errors = summary.clip_errors(clips, scorers)
        content["sentences_right"] = summary.sentences_right(clips)
        content["times"] = summary.times(clips)
        content["calibration"] = summary.calibration(clips)
        content["by_signer"] = summary.grouped(clips, errors, "signer")
        content["by_length"] = summary.grouped(clips, errors, "length")
    else:
        content["data"] |= {
            "signs": len({clip.reference for clip in clips}), "clips_outside_vocabulary": facts["outside"],
        }  # fmt: skip
        content["calibration"] = single_signs.calibration(clips)
        content["rejection"] = single_signs.rejection(clips, facts["unknown"], facts["rejection"])
        content["by_signer"], content["by_sign"] = single_signs.by_signer(clips), single_signs.by_sign(clips)
    content["confusion"] = [
        {"signed": a, "recognised": b, "count": count} for a, b, count in summary.confusion(clips)[:CONFUSIONS]
    ]
    return content


def _run(
    options: EvaluationOptions, records: Sequence[Mapping], finished: int, seconds: float, notes: list[str]
) -> dict[str, Any]:
    """Return what may differ in another run of the same evaluation."""
    durations = [record["result"].get("duration") for record in records]
    known = bool(durations) and all(durations)
    worked = [record["seconds"] for record in records]
    return {
        "command": options.command, "hardware": environment.hardware(options.device), "threads_per_process": worker_threads(),
        "batch_size": options.batch_size, "jobs": options.jobs, "finished_before": finished, "seconds": round(seconds, 2),
        "real_time_factor": real_time_factor(worked, durations) if known else None,
        "seconds_per_clip": sum(worked) / len(worked), "warnings": notes,
    }  # fmt: skip


def write_files(out: Path, results: dict[str, Any], clips: list[Any], scorers: Sequence[str]) -> None:
    """Write the tables, the report, and last the results. Texts have no table of confusions."""
    if results["task"] == ISOLATED:
        columns, rows = single_signs.clip_rows(clips)
    elif results["task"] == TRANSLATION:
        columns, rows = translations.clip_rows(clips)
    else:
        columns, rows = summary.clip_rows(clips, summary.clip_errors(clips, scorers))
    write_text(out / CLIPS, _table(columns, rows))
    if results["task"] != TRANSLATION:
        pairs = [[a, b, str(count)] for a, b, count in summary.confusion(clips)]
        write_text(out / CONFUSION, _table(["signed", "recognised", "count"], pairs))
    from .report import render

    write_text(out / REPORT, render(results, columns, rows))
    write_text(out / RESULTS, json.dumps(results, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = ["\t".join(columns), *("\t".join(" ".join(cell.split()) for cell in row) for row in rows)]
    return "\n".join(lines) + "\n"
