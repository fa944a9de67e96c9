"""From the name of a model to its pipeline, with one line for whatever is wrong."""

import contextlib
import gc
import json
import os
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ..assets import nearest_shipped, shipped_models
from ..common.messages import one_line
from .tasks import ANSWER_FLAGS, task_of


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
    from ..modeling.checkpoint_signx import check_settings

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
        from .. import _registration

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
    from ..processing.errors_signx import SignXError

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
    from ..processing.errors_signx import SignXError

    recognizer = open_recognizer(model, device, trust_remote_code, options)
    from .spelling_stream import (
        with_spelling,
    )  # after torch, which `load_pipeline` imports at its own speed

    try:
        return with_spelling(recognizer, options)
    except ValueError as error:
        raise SignXError(one_line(error)) from error
