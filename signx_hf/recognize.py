"""`signx-hf recognize`: clips to glosses on standard output, one bad file never stops the rest."""

import json
import sys
import warnings
from collections.abc import Callable, Sequence

TSV_COLUMNS = ("file", "gloss", "start", "end", "confidence")


def format_json(path: str, result: dict, many: bool) -> str:
    """One JSON object per line, what the pipeline returned with the file's name in front."""
    return json.dumps({"file": path, **result}, ensure_ascii=False)


def format_tsv(path: str, result: dict, many: bool) -> str:
    """One line per gloss: file, gloss, start and end in seconds, confidence (empty where there is none)."""
    rows = []
    for segment in result["segments"]:
        confidence = "" if segment["confidence"] is None else f"{segment['confidence']:.4f}"
        rows.append(f"{path}\t{segment['gloss']}\t{segment['start']:.3f}\t{segment['end']:.3f}\t{confidence}")
    return "\n".join(rows)


def format_txt(path: str, result: dict, many: bool) -> str:
    """The glosses of one clip on one line, after the file's name where there are several."""
    return f"{path}\t{result['text']}" if many else result["text"]


FORMATS: dict[str, Callable[[str, dict, bool], str]] = {"json": format_json, "tsv": format_tsv, "txt": format_txt}


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _say(message: str) -> None:
    print(f"signx-hf: {message}", file=sys.stderr, flush=True)


def load_pipeline(model: str, device: str | None = None, trust_remote_code: bool = False):
    """The `sign-recognition` pipeline of a folder or Hub name, without transformers' progress bars and notices."""
    import transformers

    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    from . import _registration

    _registration.register()
    return transformers.pipeline(
        "sign-recognition", model=model, device=device, trust_remote_code=trust_remote_code or None
    )


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
            "no model given: wanted --model with a folder or a Hub name (`make demo` builds a small one in demo_out/model)"
        )
        return 2
    warnings.showwarning = lambda message, *_, **__: _say(f"warning: {_one_line(message)}")
    try:
        recognizer = load_pipeline(model, device, trust_remote_code)
    except Exception as error:
        _say(f"cannot load the model {model!r}: {_one_line(error)}")
        return 2
    failed = 0
    if output_format == "tsv":
        print("\t".join(TSV_COLUMNS))
    for path in files:
        try:
            text = FORMATS[output_format](path, recognizer(path), len(files) > 1)
        except (KeyboardInterrupt, BrokenPipeError):
            raise
        except Exception as error:
            failed += 1
            message = _one_line(error)
            _say(message if path in message else f"{path}: {message}")
            continue
        if text:
            print(text, flush=True)
    if failed:
        _say(f"{failed} of {len(files)} files failed")
    return 1 if failed else 0
