"""`signx_hf.common.atomic_io`: files are complete or absent, and never replace what is not a file."""

import errno
import os

import pytest

from signx_hf import SignXError
from signx_hf.common.atomic_io import atomic_write


def test_a_file_keeps_its_rights_and_a_link_its_target(tmp_path):
    target = tmp_path / "kept.json"
    target.write_text("old")
    target.chmod(0o640)
    link = tmp_path / "link.json"
    link.symlink_to(target)
    with atomic_write(link) as temporary:
        temporary.write_text("new")
    assert link.is_symlink() and target.read_text() == "new" and target.stat().st_mode & 0o777 == 0o640
    assert sorted(path.name for path in tmp_path.iterdir()) == ["kept.json", "link.json"]


@pytest.mark.parametrize(("kind", "text"), [("folder", "a folder"), ("pipe", "a device, pipe"), ("loop", "link loop")])
def test_what_is_no_file_stays(kind, text, tmp_path):
    place = tmp_path / "place"
    {"folder": place.mkdir, "pipe": lambda: os.mkfifo(place), "loop": lambda: place.symlink_to(place)}[kind]()
    before = place.lstat()
    with pytest.raises(SignXError, match=text):
        atomic_write(place).__enter__()
    assert place.lstat().st_ino == before.st_ino and len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize(
    ("code", "text"),
    [
        (errno.ENOSPC, r"the disk is full\).*run it again"),
        (errno.EACCES, r"Permission denied\).*writable.*run it again"),
    ],
)  # fmt: skip
def test_a_failure_leaves_the_old_file(code, text, tmp_path):
    place = tmp_path / "a.txt"
    place.write_text("old")
    with pytest.raises(SignXError, match=text) as error, atomic_write(place) as temporary:
        temporary.write_text("half")
        raise OSError(code, os.strerror(code), str(temporary))
    assert place.read_text() == "old" and [path.name for path in tmp_path.iterdir()] == ["a.txt"]
    assert temporary.name not in str(error.value)
