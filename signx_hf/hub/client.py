"""The connection to the Hub: a client with a timeout, the state of a repository, and one line per failure."""

import contextlib
import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

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

TIMEOUT_SECONDS = 120.0  # the client has none by default, so a Hub that stalls would look like a long upload
MAX_FILES = 100_000  # and folders of a repository; the Hub advises fewer
MAX_NAME = 4096  # characters of a path, as file systems have it
MAIN = "main"
# What the client raises for JSON of another form than it expects.
UNEXPECTED = (TypeError, AttributeError, LookupError, json.JSONDecodeError)
COMMIT = re.compile(r"[0-9a-f]{40}")
SHA256 = re.compile(r"[0-9a-f]{64}")


class SignXHubError(SignXError):
    """The Hub could not be reached, or refused a request; the message says what the repository holds now.

    Attributes:
        status: HTTP status, None if there was no response.
    """

    status: int | None = None


def open_api(token: str | None = None) -> HfApi:
    """Return a client of the Hub at HF_ENDPOINT whose requests time out."""
    get_session().timeout = TIMEOUT_SECONDS
    return HfApi(token=token, library_name="signx_hf", library_version=__version__)


def check_repo_id(repo: str) -> None:
    """Reject what no repository can be called.

    Raises:
        SignXHubError: If it is not a valid name.
    """
    try:
        validate_repo_id(repo)
    except HFValidationError as error:
        raise SignXHubError(
            f"the repository must be named OWNER/NAME, with letters, digits, -, _ and ., got {repo!r} "
            f"({_line(error)})."
        ) from error


def _line(error: BaseException) -> str:
    text = str(getattr(error, "server_message", None) or error) or type(error).__name__
    return " ".join(re.split(r"\n\n|\n\(Request ID", text.strip())[0].split()).rstrip(".")


def reason(error: BaseException, repo: str) -> str:
    """Return what failed and what to do about it, without the final period."""
    if isinstance(error, LocalTokenNotFoundError):
        return "no token was found. Log in with `hf auth login`, or set HF_TOKEN"
    if isinstance(error, OfflineModeIsEnabled):
        return "HF_HUB_OFFLINE is set. Unset it to use the Hub"
    if isinstance(error, HfHubHTTPError):
        return _refusal(error, repo)
    if isinstance(error, (HTTPError, ConnectionError, TimeoutError)):
        return f"no response from {constants.ENDPOINT} ({_line(error)}). Check the network, then run the same command to resume"
    if isinstance(error, UNEXPECTED):
        return (
            f"{constants.ENDPOINT} sent an unexpected response ({type(error).__name__}: {_line(error)[:200]}). Check "
            "HF_ENDPOINT, or update huggingface_hub"
        )
    return _line(error)


def _refusal(error: HfHubHTTPError, repo: str) -> str:
    code = getattr(error.response, "status_code", None)
    if isinstance(error, RevisionNotFoundError):
        return f"{repo} has no such revision. Pass one of its branches, tags or commits"
    if isinstance(error, RepositoryNotFoundError):
        return f"{repo} does not exist, or is private and the token cannot see it. Check the name, or log in with `hf auth login`"
    if code == 401:
        return f"{constants.ENDPOINT} rejected the token. Log in with `hf auth login`, or set HF_TOKEN"
    if code == 403:
        return f"the token may not write to {repo} (403: {_line(error)}). Use one with write access to {repo.split('/')[0]}"
    if code == 409:
        return f"{repo} was just created, or exists and the token cannot see it (409). Choose another name"
    if code == 412:
        return f"{repo} has changed in the meantime (412). Check what it holds now, and push again"
    if code == 429:
        return f"{constants.ENDPOINT} received too many requests (429). Try again later"
    if code is not None and code >= 500:
        return f"{constants.ENDPOINT} failed ({code}). Try again later"
    return f"{constants.ENDPOINT} refused the request ({code}: {_line(error)})"


@contextlib.contextmanager
def hub_errors(repo: str, action: str, consequence: str = "Nothing was changed") -> Iterator[None]:
    """Turn whatever the client raises into one SignXHubError.

    Args:
        repo: name of the repository.
        action: what failed, as in "cannot publish".
        consequence: what the repository or folder holds now, without the final period.
    """
    try:
        yield
    except SignXError:
        raise
    # The client raises errors of its own and of its HTTP library, RuntimeError for a failed upload, and more for an odd response.
    except (HTTPError, OSError, RuntimeError, ValueError, AssertionError, *UNEXPECTED) as error:
        cause: BaseException = error
        while not isinstance(cause, HTTPError) and isinstance(cause.__cause__, Exception):
            cause = cause.__cause__
        raised = SignXHubError(f"{action} {repo}: {reason(cause, repo)}. {consequence}.")
        raised.status = getattr(getattr(cause, "response", None), "status_code", None)
        raise raised from error


@dataclass(frozen=True)
class Remote:
    """Content of a repository at a revision.

    Args:
        commit: hash; None where there is no repository.
        private: whether the repository is private.
        branch: whether the revision exists.
        files: path -> fingerprint as `content_id` returns it.
        sizes: path -> bytes.
    """

    commit: str | None
    private: bool
    branch: bool
    files: Mapping[str, str]
    sizes: Mapping[str, int]

    @property
    def is_empty(self) -> bool:
        """Whether nobody has published anything there; the Hub itself adds .gitattributes."""
        return not [path for path in self.files if path != ".gitattributes"]


def fetch_state(api: HfApi, repo: str, kind: str, revision: str | None) -> Remote:
    """Return what a repository holds at a revision, or at main if there is no such branch yet.

    Args:
        api: the client.
        repo: `owner/name`.
        kind: `model`, `dataset` or `space`.
        revision: a branch, tag or commit; None: main.
    """
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
    commit = check_commit(repo, info.sha)
    files, sizes = list_files(api, repo, kind, commit)
    return Remote(commit, bool(info.private), branch, files, sizes)


def check_commit(repo: str, name: object) -> str:
    """Return the name of a commit; folders are named after it, so it must be a hash.

    Raises:
        SignXHubError: If it is not a hash.
    """
    if not isinstance(name, str) or not COMMIT.fullmatch(name):
        raise SignXHubError(
            f"the commit of {repo} must be 40 hex digits, got {str(name)[:60]!r} from {constants.ENDPOINT}. Nothing "
            "was changed. Check HF_ENDPOINT."
        )
    return name


def list_files(api: HfApi, repo: str, kind: str, commit: str) -> tuple[dict[str, str], dict[str, int]]:
    """Return the paths of a commit with their fingerprints, and with their sizes in bytes."""
    ids: dict[str, str] = {}
    sizes: dict[str, int] = {}
    for count, item in enumerate(api.list_repo_tree(repo, recursive=True, revision=commit, repo_type=kind), 1):
        if count > MAX_FILES:
            raise SignXHubError(f"{repo} must list at most {MAX_FILES} files, got more. Check HF_ENDPOINT.")
        if not isinstance(item, RepoFile):
            continue
        _check_listed(item, repo)
        ids[item.path] = f"sha256:{item.lfs.sha256}" if item.lfs else f"git:{item.blob_id}"
        sizes[item.path] = item.size
    return ids, sizes


def _check_listed(item: RepoFile, repo: str) -> None:
    """Reject a file whose path leaves the repository, or whose hash or size is not one; the client checks neither."""
    path = item.path
    leaves = not isinstance(path, str) or not {"", ".", ".."}.isdisjoint(path.split("/")) or "\0" in path
    if leaves or len(path) > MAX_NAME:
        raise SignXHubError(
            f"{repo} lists the file {str(path)[:60]!r}, which is not a path inside it. Check HF_ENDPOINT."
        )
    name = item.lfs.sha256 if item.lfs else item.blob_id
    if not isinstance(name, str) or not (SHA256 if item.lfs else COMMIT).fullmatch(name):
        digits = 64 if item.lfs else 40
        raise SignXHubError(
            f"{repo} must list {path!r} with a hash of {digits} hex digits, got {str(name)[:60]!r}. Check HF_ENDPOINT."
        )
    if type(item.size) is not int or item.size < 0:
        raise SignXHubError(f"{repo} must list {path!r} with its size in bytes, got {item.size!r}. Check HF_ENDPOINT.")


def content_id(content: Path | bytes, like: str) -> str:
    """Return a fingerprint of the same kind as `like`: SHA-256 for large files, Git's for the others."""
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
    """Turn off progress bars and notices of retries: the command prints the result in one line."""
    import huggingface_hub.utils as utils

    utils.disable_progress_bars()
    utils.logging.set_verbosity_error()


def resolve_owner(api: HfApi, repo: str) -> str:
    """Return `OWNER/NAME` of a repository; a bare name belongs to the user of the token, which is checked."""
    user = api.whoami()["name"]
    return repo if "/" in repo else f"{user}/{repo}"
