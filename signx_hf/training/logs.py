"""Logs of a run: `log.csv` (long form), TensorBoard events, loss curves."""

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path

from ..common.extras import require
from ..plots.figure import new_figure, save_figure
from ..processing.errors_signx import SignXError
from .checkpoints import RESUME, replacing

COLUMNS = ("step", "epoch", "name", "value")


def read_log(path: Path) -> list[tuple[int, float, str, float]]:
    """Read the rows of a `log.csv`; none if there is no such file. A last line that a killed run did not finish is ignored.

    Raises:
        SignXError: If the file is not the log of a run, and would be lost if it were overwritten.
    """
    if not path.exists():
        return []
    try:
        with path.open(newline="", encoding="utf-8") as file:
            lines = [line for line in csv.reader(file) if line]
        if lines and tuple(lines[0]) != COLUMNS:
            raise ValueError(f"the first line is not {','.join(COLUMNS)}")
        # A truncated last line has too few fields, or nothing after the last comma.
        complete = lines[1:-1] + [line for line in lines[1:][-1:] if len(line) == len(COLUMNS) and line[-1]]
        return [(int(step), float(epoch), name, float(value)) for step, epoch, name, value in complete]
    except (ValueError, csv.Error) as error:  # a UnicodeDecodeError is a ValueError, too
        raise SignXError(
            f"{path} is not the log of a run ({' '.join(str(error).split())[:100]}); its lines must be {','.join(COLUMNS)}. Repair it or move it "
            "away, then start again."
        ) from error


class RunLog:
    """Metrics by step and name. `log.csv` has one line per value, so that names may come and go.

    Args:
        output_dir: folder of the run.
        tensorboard: whether TensorBoard events are written, too.
        resume_step: step that the run resumes from; lines after it are removed, so that a resumed run leaves the same file as an
            uninterrupted one. None for a new run.
    """

    def __init__(self, output_dir: Path, tensorboard: bool, resume_step: int | None):
        self.path = output_dir / "log.csv"
        self.rows: list[tuple[int, float, str, float]] = []
        if resume_step is not None:
            self.rows = [row for row in read_log(self.path) if row[0] <= resume_step]
        with replacing(self.path) as tmp_path:
            tmp_path.write_text(self._lines([COLUMNS, *map(self._cells, self.rows)]), encoding="utf-8")
        self.writer = None
        if tensorboard:
            require("tensorboard")
            from torch.utils.tensorboard import SummaryWriter

            self.writer = SummaryWriter(str(output_dir / "tensorboard"), purge_step=(resume_step or 0) + 1)

    @staticmethod
    def _cells(row: tuple[int, float, str, float]) -> tuple[str, ...]:
        return (str(row[0]), f"{row[1]:.4f}", row[2], repr(row[3]))

    @staticmethod
    def _lines(rows: Iterable[Sequence[str]]) -> str:
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows(rows)
        return text.getvalue()

    def write(self, step: int, epoch: float, metrics: dict[str, float]) -> None:
        """Append metrics; they are on disk when this returns."""
        rows = [(step, epoch, name, float(value)) for name, value in metrics.items()]
        self.rows += rows
        with self.path.open("a", encoding="utf-8") as file:
            file.write(self._lines(map(self._cells, rows)))
        if self.writer is not None:
            for _, _, name, value in rows:
                self.writer.add_scalar(name, value, step)
            self.writer.flush()

    def series(self, name: str) -> tuple[list[float], list[float]]:
        """Return epochs and values of one name."""
        points = [(epoch, value) for _, epoch, n, value in self.rows if n == name]
        return [epoch for epoch, _ in points], [value for _, value in points]

    def close(self) -> None:
        """Close the TensorBoard writer, if any."""
        if self.writer is not None:
            self.writer.close()


def plot_curves(log: RunLog, path: Path, title: str) -> None:
    """Plot losses (left) and metrics on dev (right) over epochs to a PNG, which is replaced atomically."""
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
