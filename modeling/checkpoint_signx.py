"""What a folder of weights must hold, checked before the library reads it: its own errors do not name the file."""

import json
import os
from pathlib import Path

WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
PICKLED = (".bin", ".pt", ".pth", ".ckpt")
SETTINGS = ("config.json", "generation_config.json", "processor_config.json", "tokenizer_config.json")
MAX_MESSAGE = 300


def check_weights(folder: str | os.PathLike) -> None:
    """Refuses a local folder without complete safetensors weights; anything but a folder is left to the library.

    Raises:
        FileNotFoundError: no weights, or weights only as pickles.
        ValueError: a weight file that is cut or damaged.
    """
    folder = Path(folder)
    if not folder.is_dir() or (folder / "adapter_config.json").is_file():
        return
    if (folder / WEIGHTS).is_file():
        return check_safetensors(folder / WEIGHTS)
    if not (folder / INDEX).is_file():
        found = sorted(path.name for path in folder.iterdir() if path.suffix in PICKLED)
        if found:
            raise FileNotFoundError(
                f"{folder}: weights only as {found[0]}, a pickle that can run any code: wanted {WEIGHTS}; load it where it is "
                "trusted with use_safetensors=False and save the model again"
            )
        raise FileNotFoundError(
            f"{folder}: a model folder without weights: wanted {WEIGHTS}; save the model there with model.save_pretrained()"
        )
    for name in sorted(set(_read_json(folder / INDEX).get("weight_map", {}).values())):
        if not (folder / name).is_file():
            raise FileNotFoundError(f"{folder / name}: no such file, but {INDEX} names it: copy or download it again")
        check_safetensors(folder / name)


def check_settings(folder: str | os.PathLike) -> None:
    """Refuses a local folder whose JSON files the library would stumble over before any code of a model is asked.

    Raises:
        ValueError: a file that is no JSON object in UTF-8, or whose `auto_map` names no classes.
    """
    for path in (Path(folder) / name for name in SETTINGS):
        if not path.is_file():
            continue
        content = _read_json(path)
        for part in (content, *content.values()):
            classes = part.get("auto_map") if isinstance(part, dict) else None
            if classes is not None and not (
                isinstance(classes, dict) and all(_names_classes(value) for value in classes.values())
            ):
                raise ValueError(
                    f"{path}: auto_map is {classes!r:.80}: wanted names of classes as save_pretrained() writes them; save it again"
                )


def _names_classes(value: object) -> bool:
    """Whether it is `"module.Class"` or, for tokenizers, a list of these and None."""
    names = value if isinstance(value, (list, tuple)) else [value]
    return bool(names) and all(name is None or isinstance(name, str) for name in names) and names != [None]


def plain_error(name: str | os.PathLike, error: Exception) -> Exception:
    """An error in loading `name` as itself where it is a ValueError or OSError of one line, else as such a ValueError."""
    message = str(error)
    is_plain = isinstance(error, (ValueError, OSError)) and not isinstance(error, UnicodeError)
    if is_plain and len(message.splitlines()) == 1:
        return error
    message = " ".join(message.split())
    message = message if len(message) <= MAX_MESSAGE else message[: MAX_MESSAGE - 3] + "..."
    found = ValueError(
        f"{name}: cannot be loaded ({type(error).__name__}: {message}): wanted a folder as save_pretrained() writes it; save or copy "
        "it again"
    )
    found.__cause__ = error
    return found


def check_safetensors(path: Path) -> None:
    """Compares the size of a safetensors file with what its header announces; reads the header alone."""
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        # The length is checked before it is believed: of a text file it would be a number of 18 digits.
        header = file.read(length) if 8 < length <= size - 8 else b""
    try:
        tensors = {name: entry for name, entry in json.loads(header).items() if name != "__metadata__"}
        wanted = 8 + length + max((entry["data_offsets"][1] for entry in tensors.values()), default=0)
    except (ValueError, AttributeError, LookupError, TypeError):
        raise ValueError(
            f"{path}: {size} bytes without a readable safetensors header: wanted whole weights; copy or download it again"
        ) from None
    if not tensors:
        raise ValueError(f"{path}: holds no tensor: wanted the weights of a model; save the model again")
    if size != wanted:
        raise ValueError(
            f"{path}: holds {size} bytes where its header announces {wanted}: wanted whole weights; copy or download it again"
        )


def _read_json(path: Path) -> dict:
    try:
        content = json.loads(path.read_bytes().decode())
    except (ValueError, RecursionError):
        content = None
    if not isinstance(content, dict):
        raise ValueError(
            f"{path}: not a JSON object: wanted one as save_pretrained() writes; copy or download it again"
        )
    return content
