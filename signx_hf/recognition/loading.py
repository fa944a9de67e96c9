"""Load the pipeline of a model by its name, with a one-line message for whatever is wrong."""

import contextlib
import gc
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..assets import REMEDY, check_place, is_hub_name, nearest_shipped
from ..common.messages import one_line
from ..common.reading import load_json, read_regular
from .tasks import ANSWER_FLAGS, task_of

if TYPE_CHECKING:
    from ..processing.base_pipeline_signx import SignXPipeline
    from .spelling_stream import SpellingRecognizer


# Option of the pipeline -> its flag, for messages about values.
FLAG_OF = {
    **{option: flag for flag, option in ANSWER_FLAGS.items()},
    "n_best": "n_best",
    "num_beams": "num_beams",
    "source_fps": "fps",
}


def check_model(model: str) -> None:
    """Reject what is plainly not a SignX model before torch is imported; a Hub name is left to the library.

    Raises:
        FileNotFoundError: If there is no such folder, or config.json or the processor is missing.
        ValueError: If it is a file, config.json is damaged, or it is of another model type.
    """
    check_place(model)
    folder = Path(model)
    if not folder.is_dir():  # a name on the Hub
        return
    path = folder / "config.json"
    try:
        config = load_json(read_regular(path))
    except ValueError:
        config = None
    if not isinstance(config, dict):
        raise ValueError(f"{path} must hold a JSON object. {REMEDY}, or copy it again.")
    if config.get("model_type") != "signx":
        raise ValueError(f"{path} must be of model type 'signx', got {config.get('model_type')!r}. {REMEDY}.")
    if not (folder / "processor_config.json").is_file():
        raise FileNotFoundError(
            f"{model} has no processor (processor_config.json). Save it there with processor.save_pretrained()."
        )
    from ..modeling.checkpoint_signx import check_settings

    check_settings(folder)


@contextlib.contextmanager
def importing() -> Iterator[None]:
    """Pause garbage collection while torch and transformers are imported, and freeze their objects afterwards.

    Nothing of them can be freed, and looking for garbage takes an eighth of the time. If torch has been imported, do
    nothing.
    """
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
    """Return the pipeline of a model, without progress bars and notices of transformers.

    It never asks on standard input whether to run the code of a repository.

    Args:
        model: folder or Hub name.
        device: as torch names it; None: the GPU if there is one.
        trust_remote_code: whether to run the code of the repository.
        task: of the pipeline; None: the one that the model was trained for.

    Raises:
        ValueError, OSError: as `check_model`, the device cannot be used, or whatever loading raises.
    """
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
                f"the device must be cpu or one that `signx-hf doctor` lists, got {device!r} ({reason})."
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
    """Return the message about a model that cannot be loaded."""
    message = one_line(error)
    if message.startswith(f"{model}:"):
        return f"cannot load the model {message}"
    is_searched = is_hub_name(model) and nearest_shipped(model) is None
    hub = " (there is no such folder, so the Hub was searched)" if is_searched else ""
    return f"cannot load the model {model!r}{hub}: {message}"


def open_recognizer(
    model: str,
    device: str | None,
    trust_remote_code: bool,
    options: Mapping[str, Any],
    task: str | None = None,
) -> Any:
    """Return the pipeline of a model after checking the options of its call, before the first clip.

    Args:
        model, device, trust_remote_code, task: as for `load_pipeline`.
        options: keyword arguments of the call.

    Raises:
        SignXError: If it cannot be loaded, or has no such option.
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
            message = one_line(error)
            name = re.match(rf"`?({'|'.join(FLAG_OF)})\b`?", message)
            if name is None:
                raise SignXError(f"--option: {message}") from error
            raise SignXError(f"--{FLAG_OF[name[1]].replace('_', '-')}{message[name.end() :]}") from error
    return recognizer


def open_reader(
    model: str, device: str | None, trust_remote_code: bool, options: Mapping[str, Any], task: str | None = None
) -> "SignXPipeline | SpellingRecognizer":
    """Return the pipeline of a model as `open_recognizer` does; one of letters joins spelled letters into words.

    Raises:
        SignXError: as `open_recognizer`, or an option does not apply to letters.
    """
    from ..processing.errors_signx import SignXError

    recognizer = open_recognizer(model, device, trust_remote_code, options, task)
    from .spelling_stream import with_spelling  # it imports torch, which `load_pipeline` imports faster

    try:
        return with_spelling(recognizer, options)
    except ValueError as error:
        raise SignXError(one_line(error)) from error
