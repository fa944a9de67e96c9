"""`signx_hf.common.atomic_io`: whole or not at all, and never in the place of what is no file."""

import errno
import os

import pytest

from signx_hf import SignXError
from signx_hf.common.atomic_io import replacing


def test_a_file_keeps_its_rights_and_a_link_its_target(tmp_path):
    target = tmp_path / "kept.json"
    target.write_text("old")
    target.chmod(0o640)
    link = tmp_path / "link.json"
    link.symlink_to(target)
    with replacing(link) as beside:
        beside.write_text("new")
    assert link.is_symlink() and target.read_text() == "new" and target.stat().st_mode & 0o777 == 0o640
    assert sorted(path.name for path in tmp_path.iterdir()) == ["kept.json", "link.json"]


@pytest.mark.parametrize(
    ("kind", "text"), [("folder", "a folder"), ("pipe", "no regular file"), ("loop", "no regular file")]
)
def test_what_is_no_file_stays(kind, text, tmp_path):
    place = tmp_path / "place"
    {"folder": place.mkdir, "pipe": lambda: os.mkfifo(place), "loop": lambda: place.symlink_to(place)}[kind]()
    before = place.lstat()
    with pytest.raises(SignXError, match=f"{text}; wanted a file or a free name; choose another"):
        replacing(place).__enter__()
    assert place.lstat().st_ino == before.st_ino and len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize(
    ("code", "text"),
    [
        (errno.ENOSPC, r"the disk is full\); what was saved before is untouched; make room, then run it again"),
        (errno.EACCES, r"Permission denied\); what was saved before is untouched; make the place writable, then run it again"),
    ],
)  # fmt: skip
def test_a_failure_leaves_the_old_file(code, text, tmp_path):
    place = tmp_path / "a.txt"
    place.write_text("old")
    with pytest.raises(SignXError, match=text) as error, replacing(place) as beside:
        beside.write_text("half")
        raise OSError(code, os.strerror(code), str(beside))
    assert place.read_text() == "old" and [path.name for path in tmp_path.iterdir()] == ["a.txt"]
    assert beside.name not in str(error.value)
