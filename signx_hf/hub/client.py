"""The wire to the Hub: one client with a time limit, what a repository holds now, and one line for each way it can fail."""

import contextlib
import hashlib
import json
import re
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_hub import HfApi, constants
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    HTTPError,
    LocalTokenNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.hf_api import RepoFile
from huggingface_hub.utils import get_session, validate_repo_id

from ..processing.errors_signx import SignXError
from ..version import __version__

# The client waits for ever unless it is told otherwise: a Hub that stalls would look like a long upload.
TIMEOUT_SECONDS = 120.0
MAX_FILES = 100_000  # of a repository; the Hub advises fewer
MAX_NAME = 4096  # characters of a file's name, as file systems have it
MAX_ANSWERS = 1000  # to one question: pages of a list, attempts
MAX_ANSWER_BYTES = 64 << 20  # of one answer that is no file
PACKED = 50  # how often a compressed byte counts: as lists of files shrink, and more
MAIN = "main"
# what the client raises where JSON has another form than it takes for granted
ODD = (TypeError, AttributeError, LookupError, json.JSONDecodeError)
COMMIT = re.compile(r"[0-9a-f]{40}")
SHA256 = re.compile(r"[0-9a-f]{64}")


class SignXHubError(SignXError):
    """The Hub could not be reached, or refused; the message says what stands there now. status: of HTTP, where there is one."""

    status: int | None = None


def open_api(token: str | None = None) -> HfApi:
    """A client of the Hub at HF_ENDPOINT, which gives up on an answer that does not come."""
    get_session().timeout = TIMEOUT_SECONDS
    return HfApi(token=token, library_name="signx_hf", library_version=__version__)


class _Budget(threading.local):
    """What a thread may still be answered; no bounds for who uses the same client otherwise."""

    answers: int | None = None
    size = packed = 0


_budget = _Budget()


@contextlib.contextmanager
def bounded(size: int = MAX_ANSWER_BYTES, packed: int = PACKED) -> Iterator[None]:
    """Bounds the answers that this thread gets from the Hub, for the client reads lists without end, and each whole into memory.

    size: bytes of one answer, each counted `packed` times where it comes compressed.
    """
    hooks = get_session().event_hooks["response"]
    if _bound not in hooks:
        hooks.append(_bound)
    before = dict(vars(_budget))
    _budget.answers, _budget.size, _budget.packed = MAX_ANSWERS, size, packed
    try:
        yield
    finally:
        vars(_budget).clear()
        vars(_budget).update(before)


def _bound(response: Any) -> None:
    """Called by the client when an answer begins. ValueErrors, as the client raises them, become a line in `hub_errors`."""
    if _budget.answers is None:
        return
    _budget.answers -= 1
    if _budget.answers < 0:
        raise ValueError(f"more than {MAX_ANSWERS} answers came; wanted an end of them; check HF_ENDPOINT")
    weight = _budget.packed if response.headers.get("Content-Encoding", "identity") != "identity" else 1
    response.stream = _counted(response.stream, _budget.size, weight)


def _counted(stream: Any, size: int, weight: int) -> Any:
    """The stream of an answer, which ends with an error after so many bytes."""
    # of the HTTP library that the client uses, whichever that is
    base = next(kind for kind in type(stream).__mro__ if kind.__name__ == "SyncByteStream")

    class Counted(base):
        def __iter__(self) -> Iterator[bytes]:
            found = 0
            for block in stream:
                found += weight * len(block)
                if found > size:
                    raise ValueError(
                        f"an answer is longer than {size // weight} bytes; wanted an end; check HF_ENDPOINT"
                    )
                yield block

        def close(self) -> None:
            stream.close()

    return Counted()


def check_name(repo: str) -> None:
    """Refuses what no repository can be called."""
    try:
        validate_repo_id(repo)
    except HFValidationError as error:
        raise SignXHubError(
            f"{repo!r} is no name of a repository ({_line(error)}); wanted OWNER/NAME of letters, digits, - _ and ."
        ) from error


def _line(error: BaseException) -> str:
    text = str(getattr(error, "server_message", None) or error) or type(error).__name__
    return " ".join(re.split(r"\n\n|\n\(Request ID", text.strip())[0].split()).rstrip(".")


def reason(error: BaseException, repo: str) -> str:
    """What failed, what is wanted, in one line."""
    if isinstance(error, LocalTokenNotFoundError):
        return "no token was found; wanted one; log in with `hf auth login`, or set HF_TOKEN"
    if isinstance(error, OfflineModeIsEnabled):
        return "HF_HUB_OFFLINE is set, so nothing is sent; wanted a network; unset it"
    if isinstance(error, HfHubHTTPError):
        return _refusal(error, repo)
    if isinstance(error, (HTTPError, ConnectionError, TimeoutError)):
        return f"no answer from {constants.ENDPOINT} ({_line(error)}); wanted a network; the same command goes on from there"
    if isinstance(error, ODD):
        return (
            f"{constants.ENDPOINT} answers in no form of the Hub ({type(error).__name__}: {_line(error)[:200]}); wanted that of its "
            "interface; check HF_ENDPOINT, or update huggingface_hub"
        )
    return _line(error)


def _refusal(error: HfHubHTTPError, repo: str) -> str:
    code = getattr(error.response, "status_code", None)
    if isinstance(error, RevisionNotFoundError):
        return f"{repo} has no such revision; wanted a branch, a tag or a commit of it"
    if isinstance(error, RepositoryNotFoundError):
        return f"{repo} is not there, or is private and the token may not see it; check the name, or log in with `hf auth login`"
    if code == 401:
        return f"{constants.ENDPOINT} does not accept the token; wanted a valid one; log in with `hf auth login`, or set HF_TOKEN"
    if code == 403:
        return f"the token may not write to {repo} (403: {_line(error)}); wanted one with write access to {repo.split('/')[0]}"
    if code == 409:
        return f"{repo} exists and the token may not see it, or was made meanwhile (409); wanted a name that is free; choose another"
    if code == 412:
        return f"{repo} was changed by somebody else meanwhile (412); look at what is there and push again"
    if code == 429:
        return f"{constants.ENDPOINT} was asked too often (429); wanted a pause; try again later"
    if code is not None and code >= 500:
        return f"{constants.ENDPOINT} fails ({code}); wanted an answer; try again later"
    return f"{constants.ENDPOINT} refuses ({code}: {_line(error)})"


@contextlib.contextmanager
def hub_errors(repo: str, doing: str, consequence: str = "nothing was changed") -> Iterator[None]:
    """Turns whatever the client raises into one SignXHubError: what was being done, why it failed, what stands there now."""
    try:
        with bounded():
            yield
    except SignXError:
        raise
    # the client raises its own, those of its HTTP library, RuntimeError for a failed upload, more for an odd answer
    except (HTTPError, OSError, RuntimeError, ValueError, AssertionError, *ODD) as error:
        cause: BaseException = error
        while not isinstance(cause, HTTPError) and isinstance(cause.__cause__, Exception):
            cause = cause.__cause__
        raised = SignXHubError(f"{doing} {repo}: {reason(cause, repo)}; {consequence}")
        raised.status = getattr(getattr(cause, "response", None), "status_code", None)
        raise raised from error


@dataclass(frozen=True)
class Remote:
    """What a repository holds at a revision. commit: None where there is no repository; branch: the revision is there as one.
    files: path -> fingerprint as `content_id` gives it; sizes: path -> bytes."""

    commit: str | None
    private: bool
    branch: bool
    files: Mapping[str, str]
    sizes: Mapping[str, int]

    @property
    def is_empty(self) -> bool:
        """Whether nobody has put anything there; the Hub itself puts .gitattributes."""
        return not [path for path in self.files if path != ".gitattributes"]


def look(api: HfApi, repo: str, kind: str, revision: str | None) -> Remote:
    """The repository at a revision, or at main where there is no such branch yet; commit None where it does not exist."""
    branch = True
    try:
        info = api.repo_info(repo, repo_type=kind, revision=revision or MAIN)
    except RevisionNotFoundError:
        if revision in (None, MAIN):
            raise
        branch, info = False, api.repo_info(repo, repo_type=kind, revision=MAIN)
    except GatedRepoError:
        raise
    except RepositoryNotFoundError:
        return Remote(None, False, False, {}, {})
    commit = commit_name(repo, info.sha)
    files, sizes = listing(api, repo, kind, commit)
    return Remote(commit, bool(info.private), branch, files, sizes)


def commit_name(repo: str, found: Any) -> str:
    """The name of a commit as the Hub gives it. Folders are named after it, so nothing else may pass.

    Raises:
        SignXHubError: it is no hash.
    """
    if not isinstance(found, str) or not COMMIT.fullmatch(found):
        raise SignXHubError(
            f"{constants.ENDPOINT} names {str(found)[:60]!r} as the commit of {repo}; wanted 40 hex digits; nothing was changed; check "
            "HF_ENDPOINT"
        )
    return found


def listing(api: HfApi, repo: str, kind: str, commit: str) -> tuple[dict[str, str], dict[str, int]]:
    """Paths of a commit with their fingerprints and sizes."""
    ids: dict[str, str] = {}
    sizes: dict[str, int] = {}
    for item in api.list_repo_tree(repo, recursive=True, revision=commit, repo_type=kind):
        if not isinstance(item, RepoFile):
            continue
        if len(ids) >= MAX_FILES:
            raise SignXHubError(f"{repo} lists more than {MAX_FILES} files; wanted fewer; check HF_ENDPOINT")
        _check_listed(item, repo)
        ids[item.path] = f"sha256:{item.lfs.sha256}" if item.lfs else f"git:{item.blob_id}"
        sizes[item.path] = item.size
    return ids, sizes


def _check_listed(item: RepoFile, repo: str) -> None:
    """Refuses a file whose name leads elsewhere, or whose facts are of another kind; the client checks neither."""
    path = item.path
    odd = not isinstance(path, str) or not {"", ".", ".."}.isdisjoint(path.split("/")) or "\0" in path
    if odd or len(path) > MAX_NAME:
        raise SignXHubError(
            f"{repo} lists a file {str(path)[:60]!r}; wanted names inside the repository; check HF_ENDPOINT"
        )
    name = item.lfs.sha256 if item.lfs else item.blob_id
    if not isinstance(name, str) or not (SHA256 if item.lfs else COMMIT).fullmatch(name):
        raise SignXHubError(
            f"{repo} lists {path!r} with the hash {str(name)[:60]!r}; wanted one of {64 if item.lfs else 40} hex digits; check HF_ENDPOINT"
        )
    if type(item.size) is not int or item.size < 0:
        raise SignXHubError(
            f"{repo} lists {path!r} with the size {item.size!r}; wanted a number of bytes; check HF_ENDPOINT"
        )


def content_id(content: Path | bytes, like: str) -> str:
    """The fingerprint of a file's content of the same kind as `like`: SHA-256 for large files, Git's for the others."""
    if isinstance(content, bytes):
        size, blocks = len(content), iter([content])
    else:
        size, blocks = content.stat().st_size, _blocks(content)
    large = like.startswith("sha256:")
    digest = hashlib.sha256() if large else hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False)
    for block in blocks:
        digest.update(block)
    return ("sha256:" if large else "git:") + digest.hexdigest()


def _blocks(path: Path) -> Iterator[bytes]:
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            yield block


def quiet() -> None:
    """No bars and no notices of retries: the command says what came of it in one line."""
    import huggingface_hub.utils as utils

    utils.disable_progress_bars()
    utils.logging.set_verbosity_error()


def owner_name(api: HfApi, repo: str) -> tuple[str, str]:
    """`OWNER/NAME` of a repository, and who the token belongs to; a bare name is the user's."""
    found: Mapping[str, Any] = api.whoami()
    user = str(found["name"])
    return (repo if "/" in repo else f"{user}/{repo}"), user
