"""Read files and text that are not trusted: no pipe that waits forever, no short text that unfolds to a huge value."""

import errno
import json
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

MAX_DIGITS = 300  # of an integer in JSON: a longer one is no float, and Python refuses to print 4,300
MAX_DEPTH = 100  # of lists and mappings in YAML, whose scanner looks at all of them at each step
MAX_NODES = 100_000  # of a YAML file once its aliases are written out


def read_regular(path: str | os.PathLike) -> bytes:
    """Return the content of a file.

    Raises:
        OSError: If it cannot be read, or is a pipe or device, which may have no end.
    """
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    with open(handle, "rb") as file:
        mode = os.fstat(handle).st_mode
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), os.fspath(path))
        if not stat.S_ISREG(mode):
            raise OSError(errno.EINVAL, "a pipe or device, not a regular file", os.fspath(path))
        return file.read()


def load_json(text: str | bytes, object_pairs_hook: Callable[[list[tuple[str, Any]]], Any] | None = None) -> Any:
    """Parse JSON.

    Args:
        text: to parse.
        object_pairs_hook: as for `json.loads`.

    Raises:
        ValueError: If it is not JSON, is nested too deeply, or has an integer of more than `MAX_DIGITS` digits.
    """
    try:
        return json.loads(text, parse_int=_parse_int, object_pairs_hook=object_pairs_hook)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def _parse_int(digits: str) -> int:
    if len(digits) > MAX_DIGITS:
        raise ValueError(f"an integer has {len(digits):,} digits; at most {MAX_DIGITS} are read")
    return int(digits)


def load_yaml(text: str) -> Any:
    """Parse YAML.

    Raises:
        ValueError: If it is not YAML of plain values, is nested deeper than `MAX_DEPTH`, or has more than `MAX_NODES`
            values once its aliases are written out.
    """
    import yaml

    try:
        _check_aliases(yaml, text)
        return yaml.safe_load(text)
    except Exception as error:  # PyYAML raises nearly every kind for odd tags, dates and numbers
        raise ValueError(" ".join(str(error).split())[:200] or type(error).__name__) from error


def _check_aliases(yaml: Any, text: str) -> None:
    """Count the values of YAML, those of an alias each time that it stands for them."""
    sizes: dict[str, int] = {}
    open_nodes: list[
        tuple[str | None, int]
    ] = []  # anchors of the lists and mappings around, and the count before each
    count = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        if isinstance(event, yaml.AliasEvent):
            count += sizes.get(event.anchor, 1)  # of itself: the loader refuses it
        elif isinstance(event, yaml.CollectionEndEvent):
            anchor, before = open_nodes.pop()
            if anchor is not None:
                sizes[anchor] = count - before
        elif isinstance(event, yaml.NodeEvent):
            before, count = count, count + 1
            if isinstance(event, yaml.CollectionStartEvent):
                open_nodes.append((event.anchor, before))
                if len(open_nodes) > MAX_DEPTH:
                    raise ValueError(f"it is nested deeper than {MAX_DEPTH}")
            elif event.anchor is not None:
                sizes[event.anchor] = 1
        if count > MAX_NODES:
            raise ValueError(f"it has more than {MAX_NODES:,} values once its aliases are written out")


def read_yaml_file(path: Path) -> Any:
    """Parse a YAML file.

    Raises:
        OSError: If it cannot be read.
        ValueError: If it is not text in UTF-8, or as `load_yaml`.
    """
    return load_yaml(read_regular(path).decode("utf-8"))
