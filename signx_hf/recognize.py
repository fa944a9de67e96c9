"""`signx-hf recognize`: clips to glosses on standard output or in files, one bad file never stops the rest."""

import contextlib
import gc
import json
import os
import re
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .demo import model_place, nearest_shipped, shipped_models
from .recognition.tasks import ANSWER_FLAGS, SENTENCE_FLAGS, SIGNS, check_flags, task_of
from .writers import WRITERS, check_installed
from .writers.text import CONTROLS, ESCAPES, readable
from .writers.txt_file import with_candidates

# Flags of the command line that are options of the pipeline.
FLAGS = {**SENTENCE_FLAGS, "hand": "hand", "person": "person", **ANSWER_FLAGS}
ONE_CLIP = ("srt", "vtt")  # of one clip they can be a stream; eaf names its media by their place relative to its own


@dataclass(frozen=True)
class RecognizeOptions:
    """What `signx-hf recognize` was asked for; out None: standard output. given: `name=value` options of the pipeline; flags: those
    that have a flag of their own, by name."""

    files: Sequence[str]
    model: str | None
    formats: tuple[str, ...] = ("txt",)
    device: str | None = None
    trust_remote_code: bool = False
    given: tuple[str, ...] = ()
    flags: Mapping[str, Any] = field(default_factory=dict)
    batch_size: int = 1
    out: str | None = None
    recursive: bool = False
    resume: bool = False
    jobs: int = 1
    engine: str = "local"


def one_line(error: BaseException | Warning | str) -> str:
    """The message on one line; of a page of tracebacks, as transformers passes on, the last error in it."""
    text = str(error)
    if "Traceback (most recent call last)" in text:
        causes = re.findall(r"^[\w.]*(?:Error|Exception): (.+)$", text, flags=re.MULTILINE)
        text = causes[-1] if causes else text
    return " ".join(text.split()) or type(error).__name__


def _say(message: str) -> None:
    print(f"signx-hf: {readable(message).translate(CONTROLS)}", file=sys.stderr, flush=True)


def _is_hub_name(model: str) -> bool:
    """Whether a name that is no path here can be one of the Hub: `name` or `owner/name`."""
    return bool(re.fullmatch(r"[\w-][\w.-]*(/[\w.-]+)?", model)) and not os.path.exists(model)


def check_model(model: str) -> None:
    """Refuses what is plainly no SignX model before torch is loaded; a Hub name is left to the library.

    Raises:
        FileNotFoundError: a path without a folder, or a folder without config.json.
        ValueError: a file, a damaged config.json, or one of another model type.
    """
    folder, remedy = Path(model), "wanted a folder that a SignX model and its processor were saved to"
    if not model.strip():
        raise FileNotFoundError(f"an empty name: {remedy}, or a Hub name")
    if not os.path.exists(folder):
        near = nearest_shipped(model)
        if near is not None:
            raise FileNotFoundError(
                f"{model}: no such model. Did you mean {near}? With the package come {', '.join(shipped_models())}."
            )
        if not _is_hub_name(model):
            raise FileNotFoundError(f"{model}: no such folder: {remedy}, or a Hub name")
        return
    if not folder.is_dir():
        raise ValueError(f"{model}: a file: {remedy}")
    path = folder / "config.json"
    if not path.is_file():
        raise FileNotFoundError(f"{model}: a folder without config.json: {remedy}")
    try:
        config = json.loads(path.read_bytes().decode())
    except (ValueError, RecursionError):
        config = None
    if not isinstance(config, dict):
        raise ValueError(f"{path}: not a JSON object: {remedy}; copy or download it again")
    if config.get("model_type") != "signx":
        raise ValueError(f"{path}: of model type {config.get('model_type')!r}: wanted 'signx'; {remedy}")
    if not (folder / "processor_config.json").is_file():
        raise FileNotFoundError(
            f"{model}: a model without its processor (processor_config.json): save it there with processor.save_pretrained()"
        )
    from .modeling.checkpoint_signx import check_settings

    check_settings(folder)


@contextlib.contextmanager
def importing() -> Iterator[None]:
    """No garbage collection while torch and transformers come in: all of it stays, and looking for what does not takes an eighth
    of the time. Frozen at the end, it is never looked at again. Where torch is there already nothing is changed."""
    if "torch" in sys.modules or not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
        gc.freeze()
    finally:
        gc.enable()


def load_pipeline(
    model: str, device: str | None = None, trust_remote_code: bool = False, task: str | None = None
) -> Any:
    """The pipeline of a folder or Hub name, without transformers' progress bars and notices. It never asks on standard input
    whether to run a repository's code. task: of the pipeline; None: what the model was trained for."""
    check_model(model)
    task = task_of(model) if task is None else task
    with importing():
        import torch
        import transformers

        try:
            torch.zeros(1, device=device).item()
        except Exception as error:  # AssertionError, RuntimeError, ... by the kind of device
            reason = one_line(str(error).splitlines()[0] if str(error) else error)
            raise ValueError(
                f"device {device!r} cannot be used ({reason}): wanted cpu or one that signx-hf doctor lists"
            ) from error
        transformers.logging.set_verbosity_error()
        transformers.logging.disable_progress_bar()
        from . import _registration

        _registration.register()
        return transformers.pipeline(
            task,
            model=model,
            device=device,
            trust_remote_code=trust_remote_code,  # not None, which would ask on standard input
        )


def cannot_load(model: str, error: BaseException) -> str:
    """The message about a model that cannot be loaded."""
    hub = (
        " (there is no such folder, so the Hub was asked)"
        if _is_hub_name(model) and nearest_shipped(model) is None
        else ""
    )
    return f"cannot load the model {model!r}{hub}: {one_line(error)}"


def open_recognizer(
    model: str,
    device: str | None,
    trust_remote_code: bool,
    options: Mapping[str, Any],
    task: str | None = None,
) -> Any:
    """`load_pipeline`, with the options of its call checked before the first clip.

    Raises:
        SignXError: it cannot be loaded, or has no such option.
    """
    from .processing.errors_signx import SignXError

    try:
        recognizer = load_pipeline(model, device, trust_remote_code, task)
    except Exception as error:
        raise SignXError(cannot_load(model, error)) from error
    if options:
        try:
            recognizer.check_options(**options)
        except (ValueError, TypeError, OSError) as error:
            said = one_line(error)
            flag = next((flag for flag, name in ANSWER_FLAGS.items() if said.startswith(f"{name}:")), None)
            # the flag that was given, if the option has one of its own
            raise SignXError(f"--{said}" if flag is not None else f"--option: {said}") from error
    return recognizer


def open_reader(model: str, device: str | None, trust_remote_code: bool, options: Mapping[str, Any]) -> Any:
    """`open_recognizer`, of a model of letters one that joins what a clip spells to words.

    Raises:
        SignXError: as `open_recognizer`, or options that letters have no use for.
    """
    from .processing.errors_signx import SignXError

    recognizer = open_recognizer(model, device, trust_remote_code, options)
    from .recognition.spelling_stream import (
        with_spelling,
    )  # after torch, which `load_pipeline` imports at its own speed

    try:
        return with_spelling(recognizer, options)
    except ValueError as error:
        raise SignXError(one_line(error)) from error


def pipeline_options(given: Sequence[str], flag: str = "--option", example: str = "num_beams=8") -> dict[str, Any]:
    """`["num_beams=8", "decoder=ctc"]` -> `{"num_beams": 8, "decoder": "ctc"}`. flag, example: for messages.

    Raises:
        ValueError: one that is no `name=value`.
    """
    found = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not (equals and name.isidentifier()):
            raise ValueError(f"{flag} {text!r}: wanted NAME=VALUE, for example {example}")
        found[name] = option_value(value)
    return found


def option_value(text: str) -> Any:
    """The value of `NAME=VALUE`: JSON, a list of texts as in `[S01, S02]`, or the text itself."""
    try:
        return json.loads(text)
    except ValueError:
        if not (text.startswith("[") and text.endswith("]")):
            return text
    return [part.strip().strip("'\"") for part in text[1:-1].split(",")]  # not YAML, for which the gloss NO is false


def all_options(given: Sequence[str], flags: Mapping[str, Any]) -> dict[str, Any]:
    """Options of the pipeline from `--option` and from flags of their own.

    Raises:
        ValueError: as `pipeline_options`; the same option by both; a language model that is no file.
    """
    found = pipeline_options(given)
    for flag, name in FLAGS.items():
        if name in flags and name in found:
            raise ValueError(f"--{flag.replace('_', '-')} and --option {name}={found[name]}: wanted one of them")
    if "vocabulary" in flags and isinstance(flags["vocabulary"], str):
        from .processing.vocabulary_signx import vocabulary_glosses

        flags = {
            **flags,
            "vocabulary": vocabulary_glosses(flags["vocabulary"]),
        }  # read once, before anything is loaded
    if "lm" in flags and not os.path.isfile(flags["lm"]):
        raise FileNotFoundError(f"--lm {flags['lm']}: no such file; wanted an ARPA file, as signx-hf lm train writes")
    return {**found, **flags}


def named_reason(path: str, error: BaseException) -> str:
    """Why a clip failed, with its name in front, once."""
    message = one_line(error)
    named = message.startswith((" ".join(path.split()) + ":", " ".join(str(Path(path)).split()) + ":"))
    return message if path.strip() and named else f"{path.translate(ESCAPES)}: {message}"


def _results(recognizer: Callable, clips: Sequence, options: Mapping[str, Any], size: int) -> Iterator[tuple]:
    """(clip, its result or the error) in the order of the clips; of `size` above 1 from batches within a window."""
    from .recognition.buckets import WINDOW, buckets, recognise_together

    together = 1 if options.get("chunk_length_s") else size  # long recordings are read one after the other
    for start in range(0, len(clips), WINDOW * together):
        window = clips[start : start + WINDOW * together]
        known: dict[int, dict] = {}
        good = [index for index, clip in enumerate(window) if not clip.problem]
        for group in buckets(good, [window[index].path for index in good], together) if together > 1 else ():
            results = (
                recognise_together(recognizer, [window[i].path for i in group], dict(options)) if group[1:] else None
            )
            known.update(zip(group, results or ()))
        for index, clip in enumerate(window):
            try:
                if clip.problem:
                    raise ValueError(clip.problem)
                yield clip, known[index] if index in known else recognizer(clip.path, **options)
            except (KeyboardInterrupt, BrokenPipeError):
                raise
            except Exception as error:
                yield clip, error


def _print_all(recognizer: Callable, clips: Sequence, name: str, options: Mapping[str, Any], size: int) -> int:
    """Prints the result of each clip at once and returns how many failed."""
    failed, writer, head = 0, WRITERS[name], WRITERS[name].head
    for clip, result in _results(recognizer, clips, options, size):
        try:
            if isinstance(result, Exception):
                raise result
            if name == "txt" and "top_k" in options and "candidates" in result:  # they were asked for
                result = with_candidates(result)
            if writer.rows is None:
                text = writer.render(result, readable(clip.path), None).removesuffix("\n")
            else:
                if head is not None:
                    print(head(result))
                    head = None
                text = writer.rows(readable(clip.path), result, len(clips) > 1)
        except (KeyboardInterrupt, BrokenPipeError):
            raise
        except Exception as error:
            failed += 1
            _say(named_reason(clip.path, error))
            continue
        if text or name == "txt":  # without a gloss there is no row in a table, but an empty line in a text
            print(text, flush=True)
    if head is not None:
        print(head({}))
    return failed


def _check(options: RecognizeOptions) -> None:
    """Refuses what cannot go together, before anything is loaded."""
    if options.model is None:
        raise ValueError(
            "no model given: wanted --model with a folder or a Hub name (`--model demo` is the small one of the package, for "
            "SignSynth's invented signs)"
        )
    if options.jobs < 1:
        raise ValueError(f"--jobs {options.jobs}: wanted a whole number of at least 1")
    if options.batch_size < 1:
        raise ValueError(f"--batch-size {options.batch_size}: wanted a whole number of at least 1")
    if options.out is not None and not options.out.strip():
        raise ValueError("--out is empty: wanted a folder")
    if options.out is None:
        for name, given in (
            ("--resume", options.resume),
            ("--jobs", options.jobs > 1),
            ("--engine ray", options.engine == "ray"),
            (f"--format {','.join(options.formats)}", len(options.formats) > 1 or "eaf" in options.formats),
        ):
            if given:
                raise ValueError(f"{name} without --out: wanted --out with the folder for the results")
    check_installed(options.formats)


def run(options: RecognizeOptions) -> int:
    """Recognises each clip and prints its result at once, or writes its files.

    Returns:
        0 if every clip was recognised, 1 if some failed (each is named on standard error), 2 if nothing could be done.
    """
    try:
        _check(options)
        given = all_options(options.given, options.flags)
    except (ValueError, OSError, ImportError) as error:
        _say(one_line(error))
        return 2
    model = model_place(options.model)
    from .processing.errors_signx import SignXError, SignXWarning
    from .recognition.inputs import find_clips

    task = task_of(model)
    try:
        check_flags(options.model, task, options.flags)
    except SignXError as error:
        _say(str(error))
        return 2
    if task == SIGNS:
        given["details"] = True

    clips = find_clips(options.files, options.recursive, options.out)
    with warnings.catch_warnings():
        warnings.showwarning = lambda message, *_, **__: _say(f"warning: {one_line(message)}")
        if options.out is not None:
            return _run_batch(options, model, clips, given)
        if options.formats[0] in ONE_CLIP and len(clips) > 1:
            _say(
                f"--format {options.formats[0]} of {len(clips)} clips without --out: wanted --out, for one such file holds one clip"
            )
            return 2
        try:
            recognizer = open_reader(model, options.device, options.trust_remote_code, given)
        except SignXError as error:
            _say(str(error))
            return 2
        warnings.simplefilter("always", SignXWarning)  # a file given twice is warned of twice
        failed = _print_all(recognizer, clips, options.formats[0], given, options.batch_size)
    if failed:
        _say(f"{failed} of {len(clips)} files failed")
    return 1 if failed else 0


def _run_batch(options: RecognizeOptions, model: str, clips: Sequence, given: Mapping[str, Any]) -> int:
    from .processing.errors_signx import SignXError
    from .recognition.batch import BatchOptions, run_batch

    settings = BatchOptions(
        model=model,
        out=options.out,
        formats=options.formats,
        device=options.device,
        trust_remote_code=options.trust_remote_code,
        options=given,
        jobs=options.jobs,
        resume=options.resume,
        engine=options.engine,
        batch_size=options.batch_size,
    )
    stopped = None
    try:
        report = run_batch(clips, settings)
    except (SignXError, ImportError) as error:
        stopped, report = one_line(error), getattr(error, "report", None)
    if report is not None:
        for note in dict.fromkeys(report.notes):
            _say(f"warning: {note}")
        for _, reason in report.failed:
            _say(reason)
    if stopped is not None:
        _say(stopped)
        return 2 if report is None or not report.done + report.kept else 1
    if report.failed:
        _say(f"{len(report.failed)} of {report.clips} files failed")
    print(
        f"{report.clips} clips: {report.done} recognised ({report.frames} frames), {report.kept} finished before, "
        f"{len(report.failed)} failed; in {readable(options.out)}"
    )
    return 1 if report.failed else 0
