"""Which clips the command line means, and what their output is called."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..data.corpus import VIDEOS
from ..processing.errors_signx import SignXError
from ..writers.text import stem_of

# Not .json and .pkl: in a folder they are seldom poses. Named one by one they are taken.
CLIPS = (*VIDEOS, ".pose", ".npz", ".npy")


@dataclass(frozen=True)
class ClipFile:
    """A clip. path: as it was named. place: of its output, relative to the output folder, without ending. problem: why it cannot
    be recognised, where that is known without opening it."""

    path: str
    place: str
    problem: str | None = None


def find_clips(files: Sequence[str], recursive: bool = False, leave_out: str | None = None) -> list[ClipFile]:
    """The clips that files and folders stand for, those of a folder in the order of their names.

    A folder with frame images (or OpenPose's files) is a clip; of another one the videos and pose files in it are, with
    `recursive` also those below it, hidden ones left out. A file that is not there is a clip: it fails when its turn comes.

    leave_out: a folder not to go into, that of the output.
    """
    found: list[ClipFile] = []
    for path in files:
        if not os.path.isdir(path):
            found.append(ClipFile(path, stem_of(path)))
            continue
        inside = list(_inside(path, recursive, leave_out))
        if _is_clip(path, recursive) or not inside and not recursive and not _has_folders(path):
            found.append(ClipFile(path, stem_of(path)))
        elif not inside:
            remedy = "" if recursive else "; --recursive takes those of the folders below it"
            found.append(ClipFile(path, stem_of(path), f"{path}: a folder without a video or pose file{remedy}"))
        found += inside
    return found


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
                yield ClipFile(path, _place(os.path.splitext(path)[0], folder))
        if not recursive:
            return
        for name in folders:
            path = os.path.join(base, name)
            if _is_clip(path, recursive):
                yield ClipFile(path, _place(path, folder))


def _is_clip(folder: str, recursive: bool) -> bool:
    """Whether a folder is itself a clip: frame images; when searching, only where no clips lie beside them (as with previews)."""
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


def _place(path: str, folder: str) -> str:
    return Path(os.path.relpath(path, folder)).as_posix()


def check_places(clips: Sequence[ClipFile]) -> None:
    """Refuses clips that would write the same output, before any work.

    Raises:
        SignXError: names the first two.
    """
    first: dict[str, ClipFile] = {}
    for clip in clips:
        if not clip.place:
            raise SignXError(f"{clip.path}: a clip without a name; wanted a file or folder that has one")
        other = first.setdefault(clip.place, clip)
        if other is not clip:
            raise SignXError(
                f"{other.path} and {clip.path} would both be written to {clip.place}.*; wanted another name for each; rename one, "
                "or run them with two --out"
            )


def state_of(path: str) -> list:
    """What changes when a clip does: size and time of a file; names, sizes and times of what is in a folder.

    Raises:
        OSError: it cannot be read.
    """
    state = os.stat(path)
    if not os.path.isdir(path):
        return [state.st_size, state.st_mtime_ns]
    with os.scandir(path) as entries:
        return sorted([e.name, e.stat().st_size, e.stat().st_mtime_ns] for e in entries if e.is_file())
