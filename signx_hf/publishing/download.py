"""Fetching: one commit, every file compared with what the Hub says it is, and a folder that is there whole or not at all."""

import errno
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import HfApi, constants

from ..processing.errors_signx import SignXError
from .hub import Remote, SignXHubError, check_name, content_id, hub_errors, look, open_api

ATTEMPTS = 2  # a file that came damaged is fetched once more
STATE = ".cache"  # the client's notes in a folder that it fills
FULL = (errno.ENOSPC, errno.EDQUOT)


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
    if out.exists() and not out.is_dir():
        raise SignXError(f"{out}: a file; wanted a folder; choose another --out")
    api = open_api(token)
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
    commit = remote.commit
    report = PullReport(repo, commit, out, tuple(remote.files), sum(remote.sizes.values()), True)
    if out.is_dir() and any(out.iterdir()):
        if _damaged(out, remote):
            raise SignXError(
                f"{out}: holds something else than {repo}@{commit[:12]}; wanted an empty folder; choose another --out"
            )
        return PullReport(repo, commit, out, report.files, report.size, False)
    part = out.absolute().parent / f".{out.name}.{commit[:12]}.part"
    try:
        part.mkdir(parents=True, exist_ok=True)
        _fetch(api, repo, kind, remote, part)
        shutil.rmtree(part / STATE, ignore_errors=True)
        if out.is_dir():
            out.rmdir()
        os.replace(part, out)
    except OSError as error:
        if isinstance(error, SignXError):
            raise
        why = "the disk is full" if error.errno in FULL else error.strerror or str(error)
        raise SignXError(
            f"{out}: cannot be written ({why}); what was fetched stays beside it; the same command goes on"
        ) from error
    return report


def _fetch(api: HfApi, repo: str, kind: str, remote: Remote, part: Path) -> None:
    """Fills `part`; what came damaged, or was not to be had for a moment, is fetched once more."""
    bad: list[str] = []
    for attempt in range(1, ATTEMPTS + 1):
        for path in bad:  # with the client's note of it, which says that it is good
            (part / path).unlink(missing_ok=True)
            (part / STATE / "huggingface" / "download" / f"{path}.metadata").unlink(missing_ok=True)
        try:
            _snapshot(api, repo, kind, remote, part)
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


def _snapshot(api: HfApi, repo: str, kind: str, remote: Remote, part: Path) -> None:
    wait = constants.HF_HUB_ETAG_TIMEOUT
    with hub_errors(repo, "cannot fetch", "what was fetched stays beside the folder; the same command goes on"):
        try:
            api.snapshot_download(repo, repo_type=kind, revision=remote.commit, local_dir=part, etag_timeout=wait)
        except OSError as error:
            if error.errno in FULL:
                raise SignXError(
                    f"{part.parent}: the disk is full; what was fetched stays; make room and run it again"
                ) from error
            raise


def _damaged(folder: Path, remote: Remote) -> list[str]:
    """Files that are not there or are not what the Hub lists."""
    return [
        path for path, listed in remote.files.items()
        if not (folder / path).is_file() or content_id(folder / path, listed) != listed
    ]  # fmt: skip
