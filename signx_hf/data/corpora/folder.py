"""Isolated signs as a folder of videos or pose files for each gloss."""

import os
import re
import warnings
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from ...processing.errors_signx import SignXWarning
from ..corpus import VIDEOS, BadRow, Corpus, Record, read_table
from ..errors import SignXDataError

POSES = (".npz", ".npy", ".pose")
SIGNERS = ("folder", "prefix")
DELIMITERS = {".tsv": "\t", ".csv": ","}
# Files that systems and image browsers leave behind; names that begin with a dot are hidden files
JUNK_FOLDERS = ("__MACOSX", "@eaDir", "$RECYCLE.BIN")


class VideoFolder(Corpus):
    """Isolated signs in folders, or in files, that are named after their gloss. One clip of a sign is enough to load it.

    Layout::

        {gloss}/*.mp4              or, with splits,     {train,dev,test}/{gloss}/*.mp4 (a folder TRAIN with clips is a sign)
        {gloss}/{signer}/*.mp4     with signer_from="folder"
        {gloss}/{signer}_*.mp4     with signer_from="prefix"
        {gloss}_{number}.mp4       with gloss_from="file"; with signer_from="prefix" {signer}_{gloss}_{number}.mp4

    Videos may have any of the usual extensions; `.npz`, `.npy` and `.pose` files are poses of the video of the same
    name, or of a clip without video. Hidden files, thumbnails and anything else are ignored. With skip_bad, videos are
    opened: those that cannot be read are left out and listed.

    Args:
        gloss_from: "folder" (default) or "file".
        signer_from: None (default: unknown), "folder", "prefix" (what precedes the first "_"), or the path of a table
            (.tsv, .csv) with the columns `file` (as `{gloss}/a.mp4`) and `signer`.
        sign_language: ISO 639-3 code.
        spoken_language: BCP-47 tag.
        licence: License of the clips.
    """

    name = "folder"
    title = "A folder of videos or pose files for each gloss"
    licence = "your own"
    citation = "none"
    homepage = "your own videos"

    def __init__(
        self,
        data_dir,
        *,
        gloss_from: str = "folder",
        signer_from: str | os.PathLike | None = None,
        sign_language: str | None = None,
        spoken_language: str | None = None,
        licence: str | None = None,
        **options: Any,
    ):
        super().__init__(data_dir, **options)
        if gloss_from not in ("folder", "file"):
            raise SignXDataError(f"{self.name}: `gloss_from` must be 'folder' or 'file', got {gloss_from!r}.")
        if signer_from is not None and signer_from not in SIGNERS:
            path = Path(signer_from)
            if path.suffix.lower() not in DELIMITERS or not path.is_file():
                raise SignXDataError(
                    f"{self.name}: `signer_from` must be 'folder', 'prefix' or the path of a .tsv or .csv file, got {str(signer_from)!r}."
                )
        if gloss_from == "file" and signer_from == "folder":
            raise SignXDataError(f"{self.name}: `signer_from` must be 'prefix' or a table where gloss_from is 'file'.")
        self.gloss_from, self.signer_from = gloss_from, signer_from
        self.sign_language, self.spoken_language = sign_language, spoken_language
        self.licence = licence or ""
        self.folders = self.split_folders()
        # TRAIN and TEST are signs, too: a folder of clips among folders of signs is no split
        if gloss_from == "folder" and any(self._is_sign(folder) for folder in self.folders.values()):
            self.folders = {}
        self.splits = tuple(self.folders) or ("train",)

    @cached_property
    def signers(self) -> dict[str, str]:
        """Read file -> signer from the table of `signer_from`."""
        path = Path(self.signer_from)
        signers = {}
        for record in read_table(path, DELIMITERS[path.suffix.lower()], ("file", "signer")):
            file, signer = (str(record.values.get(name) or "").strip() for name in ("file", "signer"))
            if record.problem is not None or not file or not signer:
                raise SignXDataError(
                    f"{path}, row {record.row}: `file` and `signer` must be given, got {file!r}, {signer!r}."
                )
            signers[file.replace("\\", "/")] = signer
        return signers

    def records(self, split: str) -> Iterator[Record]:
        """Yield the records of a split as they are in the files."""
        base = self.folders.get(split, self.data_dir)
        clips: dict[Path, list[Path]] = {}
        for path in self._files(base):
            clips.setdefault(path.with_suffix(""), []).append(path)
        if not clips:
            pattern = "{gloss}/*.mp4" if self.gloss_from == "folder" else "{gloss}_{number}.mp4"
            self.need("video", f"{base.relative_to(self.data_dir) / pattern}")
        self._warn_of_empty(base, clips)
        for number, (stem, paths) in enumerate(clips.items(), 1):
            videos = [path for path in paths if path.suffix.lower() in VIDEOS]
            poses = [path for path in paths if path.suffix.lower() in POSES]
            parts = paths[0].relative_to(base).parts
            for video in videos or [None]:
                # two videos of one name are two clips
                name = video if len(videos) > 1 else stem
                values = {"parts": parts, "video": video, "poses": poses, "name": name.relative_to(self.data_dir)}
                yield Record(video or poses[0], number, values)

    def _warn_of_empty(self, base: Path, clips: Iterable[Path]) -> None:
        """Warn of folders of glosses without clips, as a forgotten or differently saved recording leaves them."""
        if self.gloss_from != "folder":
            return
        full = {clip.relative_to(base).parts[0] for clip in clips}
        empty = sorted(
            entry.name
            for entry in base.iterdir()
            if entry.is_dir() and entry.name not in (*full, *JUNK_FOLDERS) and not entry.name.startswith(".")
        )
        if empty:
            names = ", ".join(empty[:5]) + ("..." if len(empty) > 5 else "")
            warnings.warn(
                f"{base}: {len(empty)} folders hold no video or pose file ({names}). Record clips of these signs, or remove the folders.",
                SignXWarning,
                stacklevel=2,
            )

    @staticmethod
    def _is_sign(folder: Path) -> bool:
        """Return whether a folder holds clips but no folders."""
        entries = [entry for entry in folder.iterdir() if not entry.name.startswith(".")]
        holds_clips = any(entry.suffix.lower() in (*VIDEOS, *POSES) for entry in entries)
        return holds_clips and not any(entry.is_dir() for entry in entries)

    @staticmethod
    def _files(base: Path) -> list[Path]:
        """Return the videos and pose files below a folder, in a fixed order."""
        clips = []
        for place, folders, names in os.walk(base):
            folders[:] = [name for name in folders if not name.startswith(".") and name not in JUNK_FOLDERS]
            clips += [
                Path(place) / name
                for name in names
                if not name.startswith(".") and os.path.splitext(name)[1].lower() in (*VIDEOS, *POSES)
            ]
        return sorted(clips)

    def row(self, record: Record, split: str) -> dict[str, Any]:
        """Convert a record to fields of the schema."""
        values = record.values
        gloss, signer = self._names(values["parts"], record.path.stem)
        if not gloss.strip():
            raise BadRow("path", "/".join(values["parts"]), "a name that holds the gloss")
        if self.signer_from is not None and self.signer_from not in SIGNERS:
            file = record.path.relative_to(self.data_dir).as_posix()
            if file not in self.signers:
                raise BadRow("signer", file, f"a file that {self.signer_from} gives a signer")
            signer = self.signers[file]
        if self.skip_bad:
            self._open(values["video"], values["poses"])
        return {
            "id": values["name"].as_posix(),
            "video": values["video"] and str(values["video"]),
            "tracks": [{"name": "poses", "path": str(path)} for path in values["poses"]],
            "signer": signer,
            "glosses": ["-".join(gloss.split())],
        }

    def _names(self, parts: Sequence[str], stem: str) -> tuple[str, str | None]:
        """Return the gloss of a clip, and the signer if folders or files name one."""
        signer = None
        if self.signer_from == "prefix":
            signer, _, rest = stem.partition("_")
            if not signer.strip() or not rest.strip():
                raise BadRow("path", "/".join(parts), "a file name that begins with the signer and '_'")
            stem = rest
        if self.gloss_from == "file":
            return re.sub(r"[_\- ]*\d+$", "", stem), signer
        if self.signer_from == "folder":
            if len(parts) != 3:
                raise BadRow("path", "/".join(parts), "a clip in a folder of its signer in the folder of its gloss")
            return parts[0], parts[1]
        if len(parts) != 2:
            raise BadRow("path", "/".join(parts), "a video directly in the folder of its gloss")
        return parts[0], signer

    @staticmethod
    def _open(video: Path | None, poses: Sequence[Path]) -> None:
        """Raise BadRow for a video whose first frame cannot be decoded, or a pose file that cannot be read."""
        from ..check_files import check_track, check_video

        files = [] if video is None else [("video", video, check_video(str(video)))]
        for column, path, result in files + [("tracks", path, check_track(str(path))) for path in poses]:
            if isinstance(result, tuple):
                raise BadRow(column, path.name, f"a file that can be read: {' '.join(result[1].split())}")
