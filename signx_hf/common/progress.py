"""Progress of long work: a bar on a terminal, elsewhere a line now and then."""

import sys
import time
from collections.abc import Iterable, Iterator
from typing import Any, Generic, TypeVar

from tqdm import tqdm

from .messages import say

EVERY = 30.0  # seconds between two lines
ItemT = TypeVar("ItemT")


class ProgressLines(Generic[ItemT]):
    """Progress as lines on standard error, with the methods of `tqdm` that are used here.

    Work that takes less than `EVERY` prints nothing.

    Args:
        items: what is iterated over, if anything.
        total: of the items, the finished ones included.
        initial: items that were finished before.
        desc: what is done.
        unit: name of an item.
        disable: whether nothing is printed.
    """

    def __init__(
        self,
        items: Iterable[ItemT] = (),
        *,
        total: int | None = None,
        initial: int = 0,
        desc: str = "",
        unit: str = "it",
        disable: bool = False,
    ):
        self.items, self.total, self.initial, self.desc, self.unit = items, total, initial, desc, unit
        self.disable, self.n, self.postfix = disable, initial, ""
        self.began = self.printed_at = time.monotonic()
        self.printed: int | None = None  # items at the last line

    def __iter__(self) -> Iterator[ItemT]:
        with self:
            for item in self.items:
                yield item
                self.update()

    def __enter__(self) -> "ProgressLines[ItemT]":
        return self

    def __exit__(self, *error: object) -> None:
        if self.printed not in (None, self.n):
            self._print()

    def update(self, count: int = 1) -> None:
        """Count finished items, and print a line if the last one is long ago."""
        self.n += count
        if time.monotonic() - self.printed_at >= EVERY:
            self._print()

    def set_postfix(self, values: dict[str, str], refresh: bool = True) -> None:
        """Show names and values in the next line."""
        self.postfix = ", ".join(f"{name} {value}" for name, value in values.items())

    def set_postfix_str(self, text: str, refresh: bool = True) -> None:
        """Show a text in the next line."""
        self.postfix = text

    def _print(self) -> None:
        self.printed, self.printed_at = self.n, time.monotonic()
        if self.disable:
            return
        elapsed, done = self.printed_at - self.began, self.n - self.initial
        parts = [f"{self.n} of {self.total}" if self.total else f"{self.n}"]
        parts[0] += f" {self.unit}s"
        if self.total and 0 < done < self.total - self.initial:
            parts.append(f"{tqdm.format_interval(elapsed / done * (self.total - self.n))} left")
        say(f"{self.desc}: " * bool(self.desc) + ", ".join([*parts, *([self.postfix] if self.postfix else [])]))


def progress(
    items: Iterable[ItemT] = (),
    *,
    total: int | None = None,
    initial: int = 0,
    desc: str = "",
    unit: str = "clip",
    show: bool = True,
) -> Any:
    """Return a `tqdm` bar where standard error is a terminal, else `ProgressLines`.

    Args:
        items: to iterate over; without any, the caller updates what is returned.
        total: number of items, the finished ones included; by default the length of `items`.
        initial: items that were finished before.
        desc: what is done.
        unit: name of an item, in the singular.
        show: whether anything is shown.
    """
    if total is None and hasattr(items, "__len__"):
        total = len(items) + initial
    if sys.stderr.isatty():
        return tqdm(items, total=total, initial=initial, desc=desc or None, unit=unit, disable=not show)
    return ProgressLines(items, total=total, initial=initial, desc=desc, unit=unit, disable=not show)
