"""Download one commit of a repository into a folder that appears only when every file has been verified."""

import contextlib
import os
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from huggingface_hub import HfApi, constants
from huggingface_hub.utils import tqdm

from ..common.atomic_io import IS_FULL, remedy_for, write_error_reason
from ..processing.errors_signx import SignXError
from .client import Remote, SignXHubError, check_repo_id, content_id, fetch_state, hub_errors, open_api

try:
    import fcntl
except ImportError:  # Windows, where two processes are not kept apart
    fcntl = None

ATTEMPTS = 2  # a file that arrived damaged is downloaded once more
WORKERS = 8
NOTES = ".cache/huggingface"  # where the client keeps notes in a folder that it fills


@dataclass(frozen=True)
class PullReport:
    """Result of a pull: `folder` holds `commit` of `repo`.

    Args:
        repo, commit, folder: what is where.
        files: paths inside the folder.
        size: of all files, in bytes.
        fetched: False if the folder held that commit already.
    """

    repo: str
    commit: str
    folder: Path
    files: tuple[str, ...]
    size: int
    fetched: bool


def pull(
    repo: str, out: str | Path, revision: str | None = None, dataset: bool = False, token: str | None = None
) -> PullReport:
    """Download a repository at a branch, tag or commit into a folder.

    The folder appears when every file is there and has the SHA-256 or Git hash that the Hub lists. Files of an
    interrupted run are kept next to it, and the next run resumes from them.

    Args:
        repo: `OWNER/NAME`.
        out: a new or empty folder, or one that holds that commit already.
        revision: branch, tag or commit; None: main.
        dataset: whether it is a dataset instead of a model.
        token: replaces the saved one.

    Raises:
        SignXError: If the folder holds something else, or the disk is full.
        SignXHubError: If the name is not one, or the Hub refuses.
    """
    if "/" not in repo:
        raise SignXHubError(f"the repository must be named OWNER/NAME, got {repo!r}. Put its owner before it.")
    check_repo_id(repo)
    out, kind = Path(out), "dataset" if dataset else "model"
    target = _target(out)
    api = open_api(token)
    remote = _fetch_listing(api, repo, kind, revision)
    report = PullReport(repo, remote.commit, out, tuple(remote.files), sum(remote.sizes.values()), True)
    if _holds(out, target, repo, remote):
        return replace(report, fetched=False)
    part = target.parent / f".{target.name}.{remote.commit[:12]}.part"
    try:
        with _exclusive(part, out):
            if _holds(out, target, repo, remote):  # another process was faster
                with contextlib.suppress(OSError):
                    part.rmdir()
                return replace(report, fetched=False)
            _fetch(api, repo, kind, remote, part)
            _forget_notes(part)
            if target.is_dir():
                target.rmdir()
            os.replace(part, target)
    except OSError as error:
        if isinstance(error, SignXError):
            raise
        raise SignXError(
            f"{out} cannot be written ({write_error_reason(error)}). Files downloaded so far are kept next to it; "
            f"{remedy_for(error, 'run the same command to resume')}."
        ) from error
    return report


def _target(out: Path) -> Path:
    """Return the folder itself, which a link may lead to.

    Raises:
        SignXError: If it is a file, or an empty folder that cannot be replaced.
    """
    target = Path(os.path.realpath(out))
    if target.is_symlink() or (target.exists() and not target.is_dir()):
        raise SignXError(f"--out must be a folder, got the file {out}. Choose another one.")
    if target.is_dir() and not any(target.iterdir()):
        # Replacing the current directory would leave the shell in a folder that no longer exists.
        is_current = target == Path(os.path.realpath(os.curdir))
        if is_current or os.path.ismount(target):
            raise SignXError(
                f"--out must be a folder that can be replaced, got {out}, "
                f"{'the current directory' if is_current else 'a mount point'}. Choose a new folder, or an empty one "
                "elsewhere."
            )
    return target


def _fetch_listing(api: HfApi, repo: str, kind: str, revision: str | None) -> Remote:
    """Return what is to be downloaded.

    Raises:
        SignXHubError: If there is nothing, or a file where the client keeps its notes.
    """
    with hub_errors(repo, "cannot fetch"):
        remote = fetch_state(api, repo, kind, revision)
        if remote.commit is None:
            api.repo_info(repo, repo_type=kind)  # raises the reason
            raise SignXHubError(f"cannot fetch {repo}: it did not exist a moment ago. Nothing was changed. Try again.")
        if not remote.branch:
            raise SignXHubError(
                f"cannot fetch {repo}: it has no revision {revision!r}. Nothing was changed. Pass one of its "
                "branches, tags or commits."
            )
        if not remote.files:
            raise SignXHubError(f"cannot fetch {repo}: it has no file at {remote.commit[:12]}. Nothing was changed.")
        reserved = next((path for path in remote.files if f"{path}/".startswith(f"{NOTES}/")), None)
        if reserved:
            raise SignXHubError(
                f"cannot fetch {repo}: it has a file {reserved!r}, and {NOTES} is reserved for the client's notes. "
                "Nothing was changed. Use `hf download` without --local-dir."
            )
    return remote


def _holds(out: Path, target: Path, repo: str, remote: Remote) -> bool:
    """Return whether the folder holds that commit already.

    Raises:
        SignXError: If it holds something else.
    """
    if not target.is_dir() or not any(target.iterdir()):
        return False
    if _damaged(target, remote):
        raise SignXError(
            f"--out must be new or empty, got {out}, which holds something other than {repo}@{remote.commit[:12]}. "
            "Choose another folder."
        )
    return True


@contextlib.contextmanager
def _exclusive(part: Path, out: Path) -> Iterator[None]:
    """Create the folder of unfinished downloads if needed, and lock it for this process.

    Raises:
        SignXError: If another process is downloading into it.
    """
    part.mkdir(parents=True, exist_ok=True)
    handle = None
    try:
        with contextlib.suppress(FileNotFoundError):  # another process has just finished and moved it
            handle = None if fcntl is None else os.open(part, os.O_RDONLY)
        if handle is not None:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise SignXError(
                    f"{out}: another process is downloading it. Wait for that one, then run the same command again."
                ) from None
            except OSError:  # a file system without locks, where two processes only slow each other down
                pass
        part.mkdir(exist_ok=True)  # as above
        yield
    finally:
        if handle is not None:
            os.close(handle)


def _forget_notes(part: Path) -> None:
    """Remove the client's notes, but not files of the repository next to them."""
    shutil.rmtree(part / NOTES, ignore_errors=True)
    with contextlib.suppress(OSError):  # not empty
        (part / NOTES).parent.rmdir()


def _fetch(api: HfApi, repo: str, kind: str, remote: Remote, part: Path) -> None:
    """Fill `part`, and retry once what arrived damaged or failed for a moment."""
    bad: list[str] = []
    for attempt in range(1, ATTEMPTS + 1):
        for path in bad:  # together with the client's note that the file is good
            (part / path).unlink(missing_ok=True)
            (part / NOTES / "download" / f"{path}.metadata").unlink(missing_ok=True)
        try:
            _files(api, repo, kind, remote, part)
        except SignXHubError as error:
            if attempt < ATTEMPTS and error.status is not None and (error.status >= 500 or error.status == 429):
                continue  # the client retries lists, but not files
            raise
        bad = _damaged(part, remote)
        if not bad:
            return
    for path in bad:
        (part / path).unlink(missing_ok=True)
    raise SignXHubError(
        f"cannot fetch {repo}: {bad[0]} arrived damaged {ATTEMPTS} times (its hash does not match the listed one). Nothing "
        "was changed. Try again later."
    )


def _files(api: HfApi, repo: str, kind: str, remote: Remote, part: Path) -> None:
    """Download each listed file by name; a snapshot would list again and download whatever is listed then."""
    timeout = constants.HF_HUB_ETAG_TIMEOUT

    def fetch(path: str) -> None:
        api.hf_hub_download(
            repo, path, repo_type=kind, revision=remote.commit, local_dir=part, etag_timeout=timeout,
            tqdm_class=_limited(path, remote.sizes[path]),
        )  # fmt: skip

    with hub_errors(repo, "cannot fetch", "Files downloaded so far are kept; run the same command to resume"):
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
                    f"{part.parent}: the disk is full. Files downloaded so far are kept; make room and run it again."
                ) from error
            raise


def _limited(path: str, size: int) -> type[tqdm]:
    """Return a progress bar that stops a download that is too long: the client compares sizes only at the end."""

    class Limited(tqdm):
        def __init__(self, *args: Any, initial: int = 0, **options: Any):
            super().__init__(*args, initial=initial, **options)
            self.received = initial  # a bar that is not shown does not count

        def update(self, n: float | None = 1) -> bool | None:
            self.received += n or 0
            if self.received > size:
                raise ValueError(f"{path} is longer than the listed {size} bytes. Check HF_ENDPOINT")
            return super().update(n)

    return Limited


def _damaged(folder: Path, remote: Remote) -> list[str]:
    """Return the files that are missing or differ from what the Hub lists."""
    return [
        path for path, listed in remote.files.items()
        if not (folder / path).is_file() or content_id(folder / path, listed) != listed
    ]  # fmt: skip
