"""Check a checkpoint folder before transformers reads it, because errors of transformers do not name the file."""

import json
import os
from pathlib import Path

WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
PICKLED = (".bin", ".pt", ".pth", ".ckpt")
SETTINGS = ("config.json", "generation_config.json", "processor_config.json", "tokenizer_config.json")
MAX_MESSAGE = 300


def check_weights(folder: str | os.PathLike) -> None:
    """Reject a local folder without complete safetensors weights; anything else is left to transformers.

    Raises:
        FileNotFoundError: If there are no weights, or only pickles.
        ValueError: If a weight file is truncated or damaged.
    """
    folder = Path(folder)
    if not folder.is_dir() or (folder / "adapter_config.json").is_file():
        return
    if (folder / WEIGHTS).is_file():
        return check_safetensors(folder / WEIGHTS)
    if not (folder / INDEX).is_file():
        pickles = sorted(path.name for path in folder.iterdir() if path.suffix in PICKLED)
        if pickles:
            raise FileNotFoundError(
                f"{folder}: weights must be in {WEIGHTS}, got {pickles[0]}, a pickle that can run any code. If you "
                "trust it, load it with use_safetensors=False and save the model again."
            )
        raise FileNotFoundError(f"{folder}: no {WEIGHTS} in this folder. Save the model with model.save_pretrained().")
    for name in sorted(set(_read_json(folder / INDEX).get("weight_map", {}).values())):
        if not (folder / name).is_file():
            raise FileNotFoundError(f"{folder / name}: no such file, but {INDEX} lists it. Copy or download it again.")
        check_safetensors(folder / name)


def check_settings(folder: str | os.PathLike) -> None:
    """Reject a local folder with JSON files on which transformers fails before it calls any code of a model.

    Raises:
        ValueError: If a file is not a JSON object in UTF-8, or an `auto_map` does not name classes.
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
                    f"{path}: `auto_map` must name classes as save_pretrained() writes them, got {classes!r:.80}. "
                    "Save the model again."
                )


def _names_classes(value: object) -> bool:
    """Return whether a value is `"module.Class"` or, for tokenizers, a list of these and None."""
    names = value if isinstance(value, (list, tuple)) else [value]
    return bool(names) and all(name is None or isinstance(name, str) for name in names) and names != [None]


def plain_error(name: str | os.PathLike, error: Exception) -> Exception:
    """Return an error in loading `name` as a ValueError of one line, unless it already is one, or such an OSError."""
    message = str(error)
    is_plain = isinstance(error, (ValueError, OSError)) and not isinstance(error, UnicodeError)
    if is_plain and len(message.splitlines()) == 1:
        return error
    message = " ".join(message.split())
    message = message if len(message) <= MAX_MESSAGE else message[: MAX_MESSAGE - 3] + "..."
    plain = ValueError(
        f"{name}: cannot be loaded ({type(error).__name__}: {message}). Save it again with save_pretrained(), or copy "
        "it again."
    )
    plain.__cause__ = error
    return plain


def check_safetensors(path: Path) -> None:
    """Compare the size of a safetensors file with its header, without reading the tensors.

    Raises:
        ValueError: If the file has no readable header, no tensors, or another size.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        # The length is checked before use: in a text file it would be a number of 18 digits.
        header = file.read(length) if 8 < length <= size - 8 else b""
    try:
        tensors = {name: entry for name, entry in json.loads(header).items() if name != "__metadata__"}
        expected = 8 + length + max((entry["data_offsets"][1] for entry in tensors.values()), default=0)
    except (ValueError, AttributeError, LookupError, TypeError) as error:
        raise ValueError(
            f"{path}: no readable safetensors header in its {size} bytes. Copy or download it again."
        ) from error
    if not tensors:
        raise ValueError(f"{path}: no tensors in this file. Save the model again.")
    if size != expected:
        raise ValueError(
            f"{path}: must have {expected} bytes according to its header, got {size}. Copy or download it again."
        )


def _read_json(path: Path) -> dict:
    cause: Exception | None = None
    try:
        content = json.loads(path.read_bytes().decode())
    except (ValueError, RecursionError) as error:
        content, cause = None, error
    if not isinstance(content, dict):
        raise ValueError(f"{path}: not a JSON object. Copy or download it again.") from cause
    return content
