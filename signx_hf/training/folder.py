"""The folder of a run: one run at a time trains there, and nothing stands in the way of the files it will write."""

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


def acquire_folder(output_dir: Path, resume: bool, locks: contextlib.ExitStack) -> None:
    """Make the folder if necessary, lock it, and remove what a killed run left half written.

    Args:
        output_dir: folder of the run.
        resume: whether checkpoints may be there.
        locks: takes the lock of the folder.

    Raises:
        SignXError: If another run trains or has trained there, or something of another kind is in the way. Nothing is
            changed then.
    """
    try:
        output_dir.mkdir(parents=True, exist_ok=True)
        locks.enter_context(
            lock(
                output_dir / LOCK,
                lambda holder: (
                    f"{output_dir} is locked: {holder} is training there. Wait for it, or choose another output_dir."
                ),
            )
        )
        _check_names(output_dir)
        read_log(output_dir / "log.csv")
        checkpoints.cleanup_stale(output_dir)
        _cleanup_stale_files(output_dir)
    except OSError as error:
        path = error.filename or output_dir
        raise SignXError(
            f"Cannot write to output_dir {output_dir} ({path}: {error.strerror or error}). Choose another folder, or make this one writable."
        ) from error
    saved = checkpoints.list_checkpoints(output_dir)
    if saved and not resume:
        raise SignXError(
            f"{output_dir} holds {saved[-1].name} of an earlier run. Pass --resume to continue it, or choose another output_dir."
        )
    if not saved and (output_dir / "model").exists():  # of a run that saved no checkpoint, or from elsewhere
        raise SignXError(
            f"{output_dir} holds a model, which would be replaced, and no checkpoint to resume from. Choose another output_dir, or move the "
            "model away."
        )


def discard_if_unused(output_dir: Path) -> None:
    """Remove the folder of a run that failed before it wrote anything."""
    with contextlib.suppress(OSError):
        if {path.name for path in output_dir.iterdir()} <= {LOCK}:
            (output_dir / LOCK).unlink(missing_ok=True)
            output_dir.rmdir()


def _check_names(output_dir: Path) -> None:
    """Check at the start what would cost the trained weights at the end."""
    for names, is_right, expected in ((FILES, Path.is_file, "a file"), (FOLDERS, Path.is_dir, "a folder")):
        for path in (output_dir / name for name in names):
            if (path.exists() or path.is_symlink()) and not is_right(path):
                raise SignXError(
                    f"{path} must be {expected} or absent, because this run writes there. Move it away, or choose another output_dir."
                )


def _cleanup_stale_files(output_dir: Path) -> None:
    """Remove the temporary files of `FILES` that a killed `atomic_io.atomic_write` left."""
    names = "|".join(rf"\.{Path(name).stem}\.\d+\.[0-9a-f]{{6}}{re.escape(Path(name).suffix)}" for name in FILES)
    for path in output_dir.glob(".*"):
        if re.fullmatch(names, path.name) and path.is_file() and not path.is_symlink():
            path.unlink(missing_ok=True)
