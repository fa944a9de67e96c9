"""Find the clips of the command line, and name their outputs."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..data.corpus import VIDEOS
from ..processing.errors_signx import SignXError
from ..writers.text import stem_of

# Without .json and .pkl, which are seldom poses in a folder; as explicit paths they are accepted.
CLIPS = (*VIDEOS, ".pose", ".npz", ".npy")


@dataclass(frozen=True)
class ClipFile:
    """A clip to recognize.

    Args:
        path: The path as given by the caller.
        stem: Path of its output files without suffix, relative to the output folder.
        problem: Why it cannot be recognized, where that is known without opening it.
    """

    path: str
    stem: str
    problem: str | None = None


def find_clips(files: Sequence[str], recursive: bool = False, leave_out: str | None = None) -> list[ClipFile]:
    """Return the clips that files and folders stand for, those of a folder sorted by name.

    A folder of frame images (or of OpenPose files) is one clip. Of any other folder the videos and pose files are
    clips, without hidden ones. A missing file is a clip too; it fails when it is opened.

    Args:
        files: Files and folders.
        recursive: Also search the folders below a folder.
        leave_out: A folder not to search, that of the output.
    """
    clips: list[ClipFile] = []
    for path in files:
        if not os.path.isdir(path):
            clips.append(ClipFile(path, stem_of(path)))
            continue
        inside = list(_inside(path, recursive, leave_out))
        if _is_clip(path, recursive) or not inside and not recursive and not _has_folders(path):
            clips.append(ClipFile(path, stem_of(path)))
        elif not inside:
            remedy = "" if recursive else " Use --recursive to search the folders below it."
            clips.append(ClipFile(path, stem_of(path), f"{path}: no video or pose file in this folder.{remedy}"))
        clips += inside
    return clips


def _inside(folder: str, recursive: bool, leave_out: str | None) -> Iterator[ClipFile]:
    if not recursive and _is_clip(folder, recursive):
        return
    avoid = os.path.realpath(leave_out) if leave_out is not None else None
    for base, folders, names in os.walk(folder):
        folders[:] = sorted(
            name
            for name in folders
            if not name.startswith(".") and os.path.realpath(os.path.join(base, name)) != avoid
        )
        for name in sorted(names):
            path = os.path.join(base, name)
            if name.lower().endswith(CLIPS) and not name.startswith("."):
                yield ClipFile(path, _stem(os.path.splitext(path)[0], folder))
        if not recursive:
            return
        for name in folders:
            path = os.path.join(base, name)
            if _is_clip(path, recursive):
                yield ClipFile(path, _stem(path, folder))


def _is_clip(folder: str, recursive: bool) -> bool:
    """Return whether a folder is itself a clip of frame images; in a recursive search not if it holds clips (then they
    are previews)."""
    from ..processing.pose_readers_signx import is_openpose_folder
    from ..processing.video_sources_signx import IMAGE_SUFFIXES

    try:
        names = [name.lower() for name in os.listdir(folder) if not name.startswith(".")]
    except OSError:
        return False
    images = any(name.endswith(IMAGE_SUFFIXES) for name in names)
    return (images and not (recursive and any(name.endswith(CLIPS) for name in names))) or is_openpose_folder(folder)


def _has_folders(folder: str) -> bool:
    with os.scandir(folder) as entries:
        return any(entry.is_dir() and not entry.name.startswith(".") for entry in entries)


def _stem(path: str, folder: str) -> str:
    return Path(os.path.relpath(path, folder)).as_posix()


def check_stems(clips: Sequence[ClipFile]) -> None:
    """Check that no two clips would write the same output files.

    Raises:
        SignXError: If two clips share an output. The message names the first two.
    """
    first: dict[str, ClipFile] = {}
    for clip in clips:
        if not clip.stem:
            raise SignXError(f"{clip.path}: must be a file or folder with a name.")
        other = first.setdefault(clip.stem, clip)
        if other is not clip:
            raise SignXError(
                f"{other.path} and {clip.path} would both be written to {clip.stem}.*. Rename one of them, or run "
                "them with different --out."
            )


def state_of(path: str) -> list:
    """Return a state that changes whenever a clip does.

    It holds size and modification time of a file, or names, sizes and times of the files in a folder.

    Args:
        path: Path of the clip.

    Raises:
        OSError: If it cannot be read.
    """
    state = os.stat(path)
    if not os.path.isdir(path):
        return [state.st_size, state.st_mtime_ns]
    with os.scandir(path) as entries:
        return sorted([e.name, e.stat().st_size, e.stat().st_mtime_ns] for e in entries if e.is_file())
