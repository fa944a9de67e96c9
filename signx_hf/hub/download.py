"""Fetching: one commit, every file compared with what the Hub says it is, and a folder that is there whole or not at all."""

import contextlib
import os
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from huggingface_hub import HfApi, constants

from ..common.atomic_io import IS_FULL, remedy_for, write_error_reason
from ..processing.errors_signx import SignXError
from .client import Remote, SignXHubError, bounded, check_name, content_id, hub_errors, look, open_api

try:
    import fcntl
except ImportError:  # Windows: there nothing tells two processes apart
    fcntl = None

ATTEMPTS = 2  # a file that came damaged is fetched once more
WORKERS = 8
SPARE_BYTES = 1 << 20  # above a file's size, for an answer that is a message instead
NOTES = ".cache/huggingface"  # the client's, in a folder that it fills


@dataclass(frozen=True)
class PullReport:
    """folder holds commit of repo. size: bytes. fetched: False where it was there already."""

    repo: str
    commit: str
    folder: Path
    files: tuple[str, ...]
    size: int
    fetched: bool


def pull(
    repo: str, out: str | Path, revision: str | None = None, dataset: bool = False, token: str | None = None
) -> PullReport:
    """Fetches a repository at a branch, tag or commit into a folder.

    The folder appears when every file is there and is what the Hub lists, by SHA-256 or Git's hash. What an interrupted run has
    fetched is kept beside it, and the next one goes on from there.

    Raises:
        SignXError: the folder holds something else, or the disk is full. SignXHubError: what the Hub said.
    """
    check_name(repo)
    out, kind = Path(out), "dataset" if dataset else "model"
    place = _place(out)
    api = open_api(token)
    remote = _look(api, repo, kind, revision)
    report = PullReport(repo, remote.commit, out, tuple(remote.files), sum(remote.sizes.values()), True)
    if _holds(out, place, repo, remote):
        return replace(report, fetched=False)
    part = place.parent / f".{place.name}.{remote.commit[:12]}.part"
    try:
        with _alone(part, out):
            if _holds(out, place, repo, remote):  # another process was faster
                with contextlib.suppress(OSError):
                    part.rmdir()
                return replace(report, fetched=False)
            _fetch(api, repo, kind, remote, part)
            _forget_notes(part)
            if place.is_dir():
                place.rmdir()
            os.replace(part, place)
    except OSError as error:
        if isinstance(error, SignXError):
            raise
        raise SignXError(
            f"{out}: cannot be written ({write_error_reason(error)}); what was fetched stays beside it; "
            f"{remedy_for(error, 'give the same command, which goes on')}"
        ) from error
    return report


def _place(out: Path) -> Path:
    """The folder itself: what a link leads to.

    Raises:
        SignXError: a file, or an empty folder that cannot be put another in the place of.
    """
    place = Path(os.path.realpath(out))
    if place.is_symlink() or (place.exists() and not place.is_dir()):
        raise SignXError(f"{out}: a file; wanted a folder; choose another --out")
    if place.is_dir() and not any(place.iterdir()):
        # who stands in it would then stand in a folder that is gone
        here = place == Path(os.path.realpath(os.curdir))
        if here or os.path.ismount(place):
            raise SignXError(
                f"{out}: {'the folder that the command was given in' if here else 'a mounted disk'}, which cannot be replaced by a whole "
                "one; wanted a new folder, or an empty one elsewhere; choose another --out"
            )
    return place


def _look(api: HfApi, repo: str, kind: str, revision: str | None) -> Remote:
    """What is to be fetched; SignXHubError where there is nothing."""
    with hub_errors(repo, "cannot fetch"):
        remote = look(api, repo, kind, revision)
        if remote.commit is None:
            api.repo_info(repo, repo_type=kind)  # raises what is the matter
            raise SignXHubError(f"cannot fetch {repo}: it was not there a moment ago; nothing was changed; try again")
        if not remote.branch:
            raise SignXHubError(
                f"cannot fetch {repo}: it has no revision {revision!r}; wanted a branch, a tag or a commit of it; nothing was changed"
            )
        if not remote.files:
            raise SignXHubError(
                f"cannot fetch {repo}: it lists no file at {remote.commit[:12]}; wanted one; nothing was changed; look at what is there"
            )
        taken = next((path for path in remote.files if f"{path}/".startswith(f"{NOTES}/")), None)
        if taken:
            raise SignXHubError(
                f"cannot fetch {repo}: it lists {taken!r}, where the client keeps its notes; wanted no file in {NOTES}; nothing was "
                "changed; use `hf download` without --local-dir"
            )
    return remote


def _holds(out: Path, place: Path, repo: str, remote: Remote) -> bool:
    """Whether the folder holds that commit already; SignXError if it holds something else."""
    if not place.is_dir() or not any(place.iterdir()):
        return False
    if _damaged(place, remote):
        raise SignXError(
            f"{out}: holds something else than {repo}@{remote.commit[:12]}; wanted an empty folder; choose another --out"
        )
    return True


@contextlib.contextmanager
def _alone(part: Path, out: Path) -> Iterator[None]:
    """The folder for what is not finished, made if need be, for one process at a time.

    Raises:
        SignXError: another process fetches into it.
    """
    part.mkdir(parents=True, exist_ok=True)
    handle = None
    try:
        with contextlib.suppress(FileNotFoundError):  # another has just finished, and moved it
            handle = None if fcntl is None else os.open(part, os.O_RDONLY)
        if handle is not None:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise SignXError(
                    f"{out}: another process fetches it; wanted one at a time; wait for it, and give the same command again"
                ) from None
            except OSError:  # a file system without locks: two at once then only disturb each other
                pass
        part.mkdir(exist_ok=True)  # as above
        yield
    finally:
        if handle is not None:
            os.close(handle)


def _forget_notes(part: Path) -> None:
    """Removes the client's notes; what the repository itself has beside them stays."""
    shutil.rmtree(part / NOTES, ignore_errors=True)
    with contextlib.suppress(OSError):  # not empty
        (part / NOTES).parent.rmdir()


def _fetch(api: HfApi, repo: str, kind: str, remote: Remote, part: Path) -> None:
    """Fills `part`; what came damaged, or was not to be had for a moment, is fetched once more."""
    bad: list[str] = []
    for attempt in range(1, ATTEMPTS + 1):
        for path in bad:  # with the client's note of it, which says that it is good
            (part / path).unlink(missing_ok=True)
            (part / NOTES / "download" / f"{path}.metadata").unlink(missing_ok=True)
        try:
            _files(api, repo, kind, remote, part)
        except SignXHubError as error:
            if attempt < ATTEMPTS and error.status is not None and (error.status >= 500 or error.status == 429):
                continue  # the client asks again for lists, but not for files
            raise
        bad = _damaged(part, remote)
        if not bad:
            return
    for path in bad:
        (part / path).unlink(missing_ok=True)
    raise SignXHubError(
        f"cannot fetch {repo}: {bad[0]} came damaged {ATTEMPTS} times (its hash is not the one that is listed); nothing was changed; "
        "try again later"
    )


def _files(api: HfApi, repo: str, kind: str, remote: Remote, part: Path) -> None:
    """Each listed file by its name: a snapshot would list anew, and fetch whatever is listed then."""
    wait = constants.HF_HUB_ETAG_TIMEOUT

    def fetch(path: str) -> None:
        size = remote.sizes[path]
        with bounded(size + SPARE_BYTES, packed=1):
            api.hf_hub_download(
                repo, path, repo_type=kind, revision=remote.commit, local_dir=part, etag_timeout=wait, tqdm_class=_meter(path, size)
            )  # fmt: skip

    with hub_errors(repo, "cannot fetch", "what was fetched stays beside the folder; the same command goes on"):
        try:
            with ThreadPoolExecutor(WORKERS) as pool:
                try:
                    for done in as_completed([pool.submit(fetch, path) for path in remote.files]):
                        done.result()
                except BaseException:
                    pool.shutdown(wait=False, cancel_futures=True)
                    raise
        except OSError as error:
            if write_error_reason(error) == IS_FULL:
                raise SignXError(
                    f"{part.parent}: the disk is full; what was fetched stays; make room and run it again"
                ) from error
            raise


def _meter(path: str, size: int) -> type:
    """What the client takes for a progress bar: told of each block before it is written, it ends a file that is too long."""

    class Meter:
        def __init__(self, *_: Any, initial: int = 0, **__: Any):
            self.found = initial

        def __enter__(self) -> "Meter":
            return self

        def __exit__(self, *_: Any) -> None:
            pass

        def update(self, count: float | None = 1) -> None:
            self.found += count or 0
            if self.found > size:
                raise ValueError(f"{path} is longer than listed; wanted {size} bytes; check HF_ENDPOINT")

        def close(self) -> None:
            pass

        def set_postfix_str(self, *_: Any) -> None:
            pass

    return Meter


def _damaged(folder: Path, remote: Remote) -> list[str]:
    """Files that are not there or are not what the Hub lists."""
    return [
        path for path, listed in remote.files.items()
        if not (folder / path).is_file() or content_id(folder / path, listed) != listed
    ]  # fmt: skip
