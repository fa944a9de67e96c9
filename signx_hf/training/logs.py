"""What a run leaves to read: `log.csv` (long form), TensorBoard events, loss curves."""

import csv
import io
from pathlib import Path
from typing import Any

from ..common.extras import require
from ..plots.figure import new_figure, save_figure
from ..processing.errors_signx import SignXError
from .checkpoints import RESUME, replacing

COLUMNS = ("step", "epoch", "name", "value")


def read_log(path: Path) -> list[tuple[int, float, str, float]]:
    """The rows of a `log.csv`, none where there is no such file. A last line that a killed run did not finish is left out.

    Raises:
        SignXError: not what a run writes, which would be lost if it were written over.
    """
    if not path.exists():
        return []
    try:
        with path.open(newline="", encoding="utf-8") as file:
            lines = [line for line in csv.reader(file) if line]
        if lines and tuple(lines[0]) != COLUMNS:
            raise ValueError(f"the first line is not {','.join(COLUMNS)}")
        # A torn last line has too few fields, or none after the last comma.
        whole = lines[1:-1] + [line for line in lines[1:][-1:] if len(line) == len(COLUMNS) and line[-1]]
        return [(int(step), float(epoch), name, float(value)) for step, epoch, name, value in whole]
    except (ValueError, csv.Error) as error:  # a UnicodeDecodeError is a ValueError, too
        raise SignXError(
            f"{path}: not the log of a run ({' '.join(str(error).split())[:100]}); wanted lines {','.join(COLUMNS)}; mend it or move it "
            "away, then start again"
        ) from error


class RunLog:
    """Numbers by step and name. `log.csv` has one line a number, so that names may come and go.

    resume_step: lines after it, written by a run that was killed, are cut away, so that a resumed run leaves the same file
    as an uninterrupted one.
    """

    def __init__(self, output_dir: Path, tensorboard: bool, resume_step: int | None):
        self.path = output_dir / "log.csv"
        self.rows: list[tuple[int, float, str, float]] = []
        if resume_step is not None:
            self.rows = [row for row in read_log(self.path) if row[0] <= resume_step]
        with replacing(self.path) as beside:
            beside.write_text(self._lines([COLUMNS, *map(self._cells, self.rows)]), encoding="utf-8")
        self.writer = None
        if tensorboard:
            require("tensorboard")
            from torch.utils.tensorboard import SummaryWriter

            self.writer = SummaryWriter(str(output_dir / "tensorboard"), purge_step=(resume_step or 0) + 1)

    @staticmethod
    def _cells(row: tuple[int, float, str, float]) -> tuple[str, ...]:
        return (str(row[0]), f"{row[1]:.4f}", row[2], repr(row[3]))

    @staticmethod
    def _lines(rows: Any) -> str:
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows(rows)
        return text.getvalue()

    def write(self, step: int, epoch: float, numbers: dict[str, float]) -> None:
        """Adds numbers, and has them on disk before it returns."""
        rows = [(step, epoch, name, float(value)) for name, value in numbers.items()]
        self.rows += rows
        with self.path.open("a", encoding="utf-8") as file:
            file.write(self._lines(map(self._cells, rows)))
        if self.writer is not None:
            for _, _, name, value in rows:
                self.writer.add_scalar(name, value, step)
            self.writer.flush()

    def series(self, name: str) -> tuple[list[float], list[float]]:
        """Epochs and values of one name."""
        found = [(epoch, value) for _, epoch, n, value in self.rows if n == name]
        return [epoch for epoch, _ in found], [value for _, value in found]

    def close(self) -> None:
        if self.writer is not None:
            self.writer.close()


def plot_curves(log: RunLog, path: Path, title: str) -> None:
    """Losses (left) and measurements on dev (right) over epochs, as a PNG that is replaced whole."""
    names = list(dict.fromkeys(name for _, _, name, _ in log.rows))
    groups = (
        ("loss", [n for n in names if n.startswith("train/") and n not in ("train/learning_rate", "train/grad_norm")]),
        ("dev", [n for n in names if n.startswith("dev/")]),
    )
    figure = new_figure(10, 4)
    styles = ("-", "--", ":", "-.")
    for axes, (label, members) in zip(figure.subplots(1, 2), groups):
        for index, name in enumerate(members):
            epochs, values = log.series(name)
            mark = "o" if len(values) == 1 else None  # a single point has no line
            axes.plot(epochs, values, styles[index // 10 % 4], label=name.split("/", 1)[1], linewidth=1.5, marker=mark)
        axes.set(xlabel="epoch", title=label)
        axes.grid(alpha=0.3)
        if members:
            axes.legend(fontsize=8)
    figure.suptitle(title)
    save_figure(figure, path, dpi=100, again=RESUME)
