"""`signx-hf recognize`: clips to glosses on standard output, one bad file never stops the rest."""

import json
import os
import re
import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

from .demo import MODEL

TSV_COLUMNS = ("file", "gloss", "start", "end", "confidence")
# File names and glosses may hold what moves a terminal's cursor or separates columns and rows.
CONTROLS = str.maketrans({chr(code): f"\\x{code:02x}" for code in (*range(32), *range(127, 160))})
ESCAPES = {**CONTROLS, **str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})}


def format_json(path: str, result: dict, many: bool) -> str:
    """One JSON object per line, what the pipeline returned with the file's name in front."""
    return json.dumps({"file": path, **result}, ensure_ascii=False)


def format_tsv(path: str, result: dict, many: bool) -> str:
    """One line per gloss: file, gloss, start and end in seconds, confidence (empty where there is none).

    Backslash, tab and line breaks in a file name are written as `\\\\`, `\\t`, `\\n`, `\\r`, other control characters as `\\x1b`.
    """
    rows = []
    for segment in result["segments"]:
        confidence = "" if segment["confidence"] is None else f"{segment['confidence']:.4f}"
        times = f"{segment['start']:.3f}\t{segment['end']:.3f}"
        rows.append(f"{path.translate(ESCAPES)}\t{segment['gloss'].translate(CONTROLS)}\t{times}\t{confidence}")
    return "\n".join(rows)


def format_txt(path: str, result: dict, many: bool) -> str:
    """The glosses of one clip on one line, after the file's name where there are several."""
    text = result["text"].translate(CONTROLS)
    return f"{path.translate(ESCAPES)}\t{text}" if many else text


FORMATS: dict[str, Callable[[str, dict, bool], str]] = {"json": format_json, "tsv": format_tsv, "txt": format_txt}


def _one_line(error: BaseException | Warning | str) -> str:
    """The message on one line; of a page of tracebacks, as transformers passes on, the last error in it."""
    text = str(error)
    if "Traceback (most recent call last)" in text:
        causes = re.findall(r"^[\w.]*(?:Error|Exception): (.+)$", text, flags=re.MULTILINE)
        text = causes[-1] if causes else text
    return " ".join(text.split()) or type(error).__name__


def _readable(path: str) -> str:
    """A file name as UTF-8 in whatever locale it was read, with escapes for bytes that are no UTF-8."""
    try:
        return path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    except UnicodeEncodeError:  # surrogates that stand for no byte
        return path.encode("utf-8", "backslashreplace").decode("utf-8")


def _say(message: str) -> None:
    print(f"signx-hf: {_readable(message).translate(CONTROLS)}", file=sys.stderr, flush=True)


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
        if not _is_hub_name(model):
            raise FileNotFoundError(f"{model}: no such folder: {remedy}, or a Hub name")
        return
    if not folder.is_dir():
        raise ValueError(f"{model}: a file: {remedy}")
    path = folder / "config.json"
    if not path.is_file():
        raise FileNotFoundError(f"{model}: a folder without config.json: {remedy}")
    try:
        config = json.loads(path.read_bytes())
    except ValueError:
        config = None
    if not isinstance(config, dict):
        raise ValueError(f"{path}: not a JSON object: {remedy}; copy or download it again")
    if config.get("model_type") != "signx":
        raise ValueError(f"{path}: of model type {config.get('model_type')!r}: wanted 'signx'; {remedy}")
    if not (folder / "processor_config.json").is_file():
        raise FileNotFoundError(
            f"{model}: a model without its processor (processor_config.json): save it there with processor.save_pretrained()"
        )


def load_pipeline(model: str, device: str | None = None, trust_remote_code: bool = False):
    """The `sign-recognition` pipeline of a folder or Hub name, without transformers' progress bars and notices."""
    check_model(model)
    import torch
    import transformers

    try:
        torch.zeros(1, device=device).item()
    except Exception as error:  # AssertionError, RuntimeError, ... by the kind of device
        reason = _one_line(str(error).splitlines()[0] if str(error) else error)
        raise ValueError(
            f"device {device!r} cannot be used ({reason}): wanted cpu or one that signx-hf doctor lists"
        ) from error
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    from . import _registration

    _registration.register()
    return transformers.pipeline(
        "sign-recognition", model=model, device=device, trust_remote_code=trust_remote_code or None
    )


def _recognize_all(recognizer: Callable, files: Sequence[str], output_format: str) -> int:
    """Prints the result of each file at once and returns how many failed."""
    failed = 0
    if output_format == "tsv":
        print("\t".join(TSV_COLUMNS))
    for path in files:
        try:
            text = FORMATS[output_format](_readable(path), recognizer(path), len(files) > 1)
        except (KeyboardInterrupt, BrokenPipeError):
            raise
        except Exception as error:
            failed += 1
            message = _one_line(error)
            named = message.startswith((" ".join(path.split()) + ":", " ".join(str(Path(path)).split()) + ":"))
            _say(message if path.strip() and named else f"{path.translate(ESCAPES)}: {message}")
            continue
        if text or output_format == "txt":  # without a gloss there is no row in a table, but an empty line in a text
            print(text, flush=True)
    return failed


def run(
    files: Sequence[str],
    model: str | None,
    output_format: str = "txt",
    device: str | None = None,
    trust_remote_code: bool = False,
) -> int:
    """Recognises each file and prints its result at once.

    Returns:
        0 if every file was recognised, 1 if some failed (each is named on standard error), 2 if no model could be loaded.
    """
    if model is None:
        _say(
            "no model given: wanted --model with a folder or a Hub name (`--model demo` is the small one of the package, for "
            "SignSynth's invented signs)"
        )
        return 2
    if model == "demo" and not Path(model).exists():
        model = str(MODEL)
    with warnings.catch_warnings():
        warnings.showwarning = lambda message, *_, **__: _say(f"warning: {_one_line(message)}")
        try:
            recognizer = load_pipeline(model, device, trust_remote_code)
        except Exception as error:
            hub = " (there is no such folder, so the Hub was asked)" if _is_hub_name(model) else ""
            _say(f"cannot load the model {model!r}{hub}: {_one_line(error)}")
            return 2
        from .processing.errors_signx import SignXWarning

        warnings.simplefilter("always", SignXWarning)  # a file given twice is warned of twice
        failed = _recognize_all(recognizer, files, output_format)
    if failed:
        _say(f"{failed} of {len(files)} files failed")
    return 1 if failed else 0
