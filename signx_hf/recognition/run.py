"""`signx-hf recognize` and `translate`: clips to glosses or text on standard output or in files.

One bad file never stops the rest.
"""

import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from ..assets import model_place
from ..common.messages import named_reason, one_line, readable, say, show, warnings_to_stderr
from ..writers import WRITERS
from ..writers.ctm_file import rows as ctm_rows
from ..writers.text import stem_of
from ..writers.txt_file import with_candidates
from .loading import open_reader
from .options import RecognizeOptions
from .tasks import SENTENCES, SIGNS, TRANSLATION, check_flags, check_learned, task_of

ONE_CLIP = (
    "srt",
    "vtt",
)  # formats whose file holds one clip; eaf needs --out, as it names its media relative to itself


def _results(recognizer: Callable, clips: Sequence, options: Mapping[str, Any], size: int) -> Iterator[tuple]:
    """Yield (clip, result or error) in the order of the clips, recognized in batches of up to `size` clips."""
    from .buckets import WINDOW, buckets, recognize_together

    together = 1 if options.get("chunk_length_s") else size  # long recordings are read one after the other
    read_ahead = getattr(recognizer, "read_ahead", None) if not options.get("chunk_length_s") and size == 1 else None
    following: Any = None
    for start in range(0, len(clips), WINDOW * together):
        window = clips[start : start + WINDOW * together]
        known: dict[int, dict] = {}
        good = [index for index, clip in enumerate(window) if not clip.problem]
        for group in buckets(good, [window[index].path for index in good], together) if together > 1 else ():
            results = (
                recognize_together(recognizer, [window[i].path for i in group], dict(options)) if group[1:] else None
            )
            known.update(zip(group, results or ()))
        for index, clip in enumerate(window):
            given, following = following or clip.path, None
            try:
                if read_ahead is not None and start + index + 1 < len(clips):
                    following = read_ahead(clips[start + index + 1].path)
                if clip.problem:
                    raise ValueError(clip.problem)
                yield clip, known[index] if index in known else recognizer(given, **options)
            except (KeyboardInterrupt, BrokenPipeError):
                raise
            except Exception as error:
                yield clip, error


def _shared_names(clips: Sequence) -> set[str]:
    """Return the names without folder and extension that several clips have, which CTM would take for one clip."""
    counts = Counter(stem_of(path) for path in {clip.path for clip in clips})
    shared = {stem for stem, count in counts.items() if count > 1}
    if shared:
        named = f"{len(shared)} names" if len(shared) > 1 else f"the name {min(shared)}"
        say(f"warning: several clips share {named}, so CTM names them by their paths.")
    return shared


def _print_all(recognizer: Callable, clips: Sequence, name: str, options: Mapping[str, Any], size: int) -> int:
    """Print the result of each clip at once, and return how many failed."""
    failed, writer, head = 0, WRITERS[name], WRITERS[name].head
    shared = _shared_names(clips) if name == "ctm" else set()
    for clip, result in _results(recognizer, clips, options, size):
        try:
            if isinstance(result, Exception):
                raise result
            if name == "txt" and "top_k" in options and "candidates" in result:
                result = with_candidates(result)
            if writer.rows is None:
                text = writer.render(result, readable(clip.path), None).removesuffix("\n")
            else:
                if head is not None:
                    print(head(result))
                    head = None
                rows = partial(ctm_rows, by_path=True) if stem_of(clip.path) in shared else writer.rows
                text = rows(readable(clip.path), result, len(clips) > 1)
        except (KeyboardInterrupt, BrokenPipeError):
            raise
        except Exception as error:
            failed += 1
            say(named_reason(clip.path, error))
            continue
        if text or name == "txt":  # a clip without glosses has no row in a table, but an empty line in a text
            print(text, flush=True)
    if head is not None:
        print(head({}))
    return failed


def run(options: RecognizeOptions) -> int:
    """Recognize each clip and print its result at once, or write its files.

    Returns:
        0 if every clip was recognized, 1 if some failed (each is named on standard error), 2 if nothing could be done.
    """
    from ..processing.errors_signx import SignXError, SignXWarning
    from .inputs import find_clips

    model = model_place(options.model)
    task = options.task or task_of(model)
    try:
        check_flags(options.model, task, options.flags)
        if task == TRANSLATION or options.options.get("translate"):
            check_learned(options.model, model, "text")
        if task == SENTENCES:
            check_learned(options.model, model, "gloss")
    except SignXError as error:
        say(str(error))
        return 2
    details = {"details": True} if task == SIGNS else {}
    options = replace(options, model=model, options={**options.options, **details})
    clips = find_clips(options.files, options.recursive, options.out)
    with warnings_to_stderr():
        if options.out is not None:
            return _run_batch(options, clips)
        if options.formats[0] in ONE_CLIP and len(clips) > 1:
            say(
                f"--format {options.formats[0]} needs --out for {len(clips)} clips, because one such file holds one "
                "clip."
            )
            return 2
        try:
            recognizer = open_reader(model, options.device, options.trust_remote_code, options.options, options.task)
        except SignXError as error:
            say(str(error))
            return 2
        warnings.simplefilter("always", SignXWarning)  # a file given twice is warned of twice
        failed = _print_all(recognizer, clips, options.formats[0], options.options, options.batch_size)
    if failed:
        say(f"{failed} of {len(clips)} files failed")
    return 1 if failed else 0


def _run_batch(options: RecognizeOptions, clips: Sequence) -> int:
    """Write the files of each clip, print a summary, and return the exit code of `run`."""
    from ..processing.errors_signx import SignXError
    from .batch import run_batch

    stopped = None
    try:
        report = run_batch(clips, options)
    except (SignXError, ImportError) as error:
        stopped, report = one_line(error), getattr(error, "report", None)
    if report is not None:
        for note in dict.fromkeys(report.notes):
            say(f"warning: {note}")
        for _, reason in report.failed:
            say(reason)
    if stopped is not None:
        say(stopped)
        return 2 if report is None or not report.done + report.skipped else 1
    if report.failed:
        say(f"{len(report.failed)} of {report.clips} files failed")
    done = "translated" if options.task == TRANSLATION else "recognized"
    show(
        f"{report.clips} clip{'' if report.clips == 1 else 's'}: {report.done} {done} ({report.frames} frames), "
        f"{report.skipped} already finished, {len(report.failed)} failed; results in {options.out}"
    )
    return 1 if report.failed else 0
