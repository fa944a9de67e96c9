"""The folder of a run: one run at a time works there, and all that it will write there has its place free."""

import contextlib
import re
from pathlib import Path

from ..common.locks import lock
from ..processing.errors_signx import SignXError
from . import checkpoints
from .logs import read_log

LOCK = ".signx_train.lock"
FILES = ("log.csv", "run.json", "result.json", "curves.png")
FOLDERS = ("model", "best", "tensorboard")


def claim(output_dir: Path, resume: bool, held: contextlib.ExitStack) -> None:
    """Makes the folder if need be, takes its lock into `held`, and removes what a killed run left half written.

    Raises:
        SignXError: another run works there or did, or something of another kind lies in the way; nothing is changed then.
    """
    try:
        output_dir.mkdir(parents=True, exist_ok=True)
        held.enter_context(
            lock(
                output_dir / LOCK,
                lambda holder: (
                    f"{output_dir}: {holder} trains there; wanted one run at a time; wait for it, or give another output_dir"
                ),
            )
        )
        _check_places(output_dir)
        read_log(output_dir / "log.csv")
        checkpoints.sweep(output_dir)
        _sweep_files(output_dir)
    except OSError as error:
        place = error.filename or output_dir
        raise SignXError(
            f"output_dir {output_dir}: cannot be written ({place}: {error.strerror or error}); wanted a folder, or a new name for one; "
            "give another, or make the place writable"
        ) from error
    found = checkpoints.list_checkpoints(output_dir)
    if found and not resume:
        raise SignXError(
            f"{output_dir}: holds {found[-1].name} of an earlier run; wanted an empty folder; give --resume to go on with it, or another "
            "output_dir"
        )
    if not found and (output_dir / "model").exists():  # of a run that saved no checkpoint, or somebody else's
        raise SignXError(
            f"{output_dir}: holds a model and no checkpoint to go on from; wanted an empty folder, for the model would be replaced; give "
            "another output_dir, or move it away"
        )


def _check_places(output_dir: Path) -> None:
    """At the start: at the end it would cost what was trained."""
    for names, is_right, wanted in ((FILES, Path.is_file, "a file"), (FOLDERS, Path.is_dir, "a folder")):
        for path in (output_dir / name for name in names):
            if (path.exists() or path.is_symlink()) and not is_right(path):
                raise SignXError(
                    f"{path}: not {wanted}; wanted {wanted} or a free name, for this run writes there; move it away, or give another "
                    "output_dir"
                )


def _sweep_files(output_dir: Path) -> None:
    """Removes the files beside `FILES` under which `files.atomic_write` was killed."""
    names = "|".join(rf"\.{Path(name).stem}\.\d+\.[0-9a-f]{{6}}{re.escape(Path(name).suffix)}" for name in FILES)
    for path in output_dir.glob(".*"):
        if re.fullmatch(names, path.name) and path.is_file() and not path.is_symlink():
            path.unlink(missing_ok=True)
