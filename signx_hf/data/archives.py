"""Unpack the archives that corpora come in, without trusting the names inside them."""

import os
import re
import shutil
import stat
import tarfile
import zipfile
from pathlib import Path

from ..processing.errors_signx import SignXFileNotFoundError
from .errors import SignXDataError


def _refuse(archive: Path, member: str, why: str) -> None:
    raise SignXDataError(f"{archive}: member {member!r} {why}. Nothing was unpacked; get a clean copy of the archive.")


def _check_name(archive: Path, name: str) -> None:
    if name.startswith(("/", "\\")) or re.match("[A-Za-z]:", name):
        _refuse(archive, name, "has an absolute path")
    if ".." in re.split(r"[\\/]", name):
        _refuse(archive, name, "climbs out with '..'")
    if "\0" in name:
        _refuse(archive, name, "has a zero byte in its name")


def _check_zip(archive: Path, file: zipfile.ZipFile) -> int:
    total = 0
    for member in file.infolist():
        _check_name(archive, member.filename)
        kind = stat.S_IFMT(member.external_attr >> 16)
        if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
            _refuse(archive, member.filename, "is a link or device")
        total += member.file_size
    return total


def _check_tar(archive: Path, file: tarfile.TarFile) -> int:
    total = 0
    for member in file:
        _check_name(archive, member.name)
        if not (member.isfile() or member.isdir()):
            _refuse(archive, member.name, "is a link or device")
        total += member.size
    return total


def unpack(archive: str | os.PathLike, folder: str | os.PathLike) -> Path:
    """Unpack a `.zip` or `.tar[.gz|.bz2|.xz]` into a folder, after checking all of its members.

    Returns:
        The folder.

    Raises:
        SignXDataError: If a member has an absolute path or `..`, or is a link or device, the archive is incomplete, or
            its content does not fit on the disk. Nothing is written then, except the members before the end of an
            incomplete archive.
        SignXFileNotFoundError: If the archive does not exist.
    """
    archive, folder = Path(archive), Path(folder)
    if not archive.is_file():
        raise SignXFileNotFoundError(f"{archive}: no such file. Check the path of the .zip or .tar archive.")
    is_zip = zipfile.is_zipfile(archive)
    if not is_zip and not tarfile.is_tarfile(archive):
        raise SignXDataError(f"{archive}: must be a complete .zip or .tar archive. Copy it again.")
    try:
        with zipfile.ZipFile(archive) if is_zip else tarfile.open(archive) as file:
            total = _check_zip(archive, file) if is_zip else _check_tar(archive, file)
            there = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
            free = shutil.disk_usage(there).free
            if total > free:
                raise SignXDataError(f"{archive}: unpacks to {total} bytes, but only {free} are free at {there}.")
            folder.mkdir(parents=True, exist_ok=True)
            for member in file.infolist() if is_zip else file.getmembers():
                # copy only data, not the owners, permissions and times of another machine
                if member.is_dir() if is_zip else member.isdir():
                    (folder / (member.filename if is_zip else member.name)).mkdir(parents=True, exist_ok=True)
                    continue
                target = folder / (member.filename if is_zip else member.name)
                target.parent.mkdir(parents=True, exist_ok=True)
                with file.open(member) if is_zip else file.extractfile(member) as source, target.open("wb") as copy:
                    shutil.copyfileobj(source, copy)
    except (zipfile.BadZipFile, tarfile.TarError, EOFError, RuntimeError, NotImplementedError, OSError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise SignXDataError(f"{archive}: cannot be unpacked ({reason}). Copy the archive again.") from error
    return folder
