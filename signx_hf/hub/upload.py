"""Publishing: check everything locally, then send it in one commit on top of the one that was inspected."""

import json
import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi

from ..common.atomic_io import write_error_reason
from ..processing.errors_signx import SignXError
from .about import About
from .card import CARD, complete_card, read_model, read_own, render_card
from .checks import check_card, check_index_not_worse, check_not_worse, model_index, split_card
from .client import (
    MAIN,
    Remote,
    SignXHubError,
    check_commit,
    check_repo_id,
    content_id,
    fetch_state,
    hub_errors,
    list_files,
    open_api,
    resolve_owner,
)
from .results import FOLDER, Results, check_belongs, parse_results

if TYPE_CHECKING:
    from datasets import Dataset

# Pickles run code when they are loaded, so nobody should have to load one.
PICKLES = (".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".joblib")


@dataclass(frozen=True)
class PushOptions:
    """Options of publishing.

    Args:
        repo: `OWNER/NAME`, or a name of the user's own.
        private: whether a repository that is created now is private.
        force: whether to publish what a check refuses.
        revision: branch, created from main if it does not exist; None: main.
        about: facts for the card.
        token: replaces the saved one.
        message: of the commit; None: a default.
    """

    repo: str
    private: bool = False
    force: bool = False
    revision: str | None = None
    about: About = field(default_factory=About)
    token: str | None = None
    message: str | None = None


@dataclass(frozen=True)
class PushReport:
    """Result of publishing.

    Args:
        repo, commit, url: where it is.
        files: paths that were published.
        notes: lines about checks and about what was left out.
        changed: whether there was anything to commit.
    """

    repo: str
    commit: str
    url: str
    files: tuple[str, ...]
    notes: tuple[str, ...]
    changed: bool


def push_model(folder: str | Path, results: Sequence[Results], options: PushOptions) -> PushReport:
    """Publish a model with its processor, its card and its results, in one commit.

    A README.md in the folder is published if its numbers are those of the results; without one the card is generated.
    The files at the top of the folder are published, except hidden ones.

    Args:
        folder: of the model and its processor.
        results: of `signx-hf evaluate` with this folder; at least one.
        options: how to publish.

    Raises:
        SignXError: If the folder is not complete, or a check refuses it. Nothing was sent.
        SignXHubError: If the Hub refuses. The message says what the repository holds now.
    """
    folder = Path(folder)
    check_repo_id(options.repo)
    files, notes = model_files(folder)  # before anything is read: reading a pipe would block
    model = read_model(folder)
    if not results:
        raise SignXError(
            f"`results` must hold at least one evaluation of {folder}, got none. Run `signx-hf evaluate {folder} "
            "DATASET` and pass its results.json with --results."
        )
    for one in results:
        check_belongs(one, folder)
    own = read_own(folder)
    if own is not None:
        notes += _enforce(options.force, lambda: check_card(own, results) or [])
    if not model.code:
        notes.append("config.json has no auto_map, so users of the model need this package; save_pretrained() adds it")
    api = open_api(options.token)
    with hub_errors(options.repo, "cannot publish"):
        repo = resolve_owner(api, options.repo)
        remote = fetch_state(api, repo, "model", options.revision)
    _check_target(remote, repo, options, "config.json", "a model")
    if remote.commit and not remote.is_empty:
        notes += _enforce(options.force, lambda: _compare(api, repo, remote, results))
    write = render_card if own is None else (lambda *given: complete_card(own, *given))
    content: dict[str, Path | bytes] = dict(files)
    content[CARD] = write(repo, model, options.about, results).encode()
    for one in results:
        if one.path in content:
            raise SignXError(
                f"{one.name} is the second file of results for {one.dataset} {one.data['split']}. Pass one file for "
                "each test set."
            )
        content[one.path] = one.published(repo)
    stale = [path for path in remote.files if path not in content and _is_ours(path)]
    return _commit(api, repo, "model", remote, content, stale, options, notes)


def push_dataset(rows: "Dataset | Mapping[str, Dataset]", options: PushOptions, name: str = "dataset") -> PushReport:
    """Publish clips with their videos and poses inside the rows, and a card, in one commit.

    Args:
        rows: Dataset or DatasetDict, as `load_dataset` returns them.
        options: how to publish.
        name: of the dataset, in messages and in the card.

    Raises:
        SignXError: If media cannot be stored in rows, or the license does not allow publication. Nothing was sent.
        SignXHubError: If the Hub refuses. The message says what the repository holds now.
    """
    from .clips import check_licence, dataset_card, save_rows

    check_repo_id(options.repo)
    notes: list[str] = []
    with tempfile.TemporaryDirectory(prefix="signx_push_") as folder:
        root = Path(folder) / "data"
        summary = save_rows(rows, root, name)
        if not options.private:
            notes += _enforce(options.force, lambda: check_licence(summary, options.about) or [])
        api = open_api(options.token)
        with hub_errors(options.repo, "cannot publish"):
            repo = resolve_owner(api, options.repo)
            remote = fetch_state(api, repo, "dataset", options.revision)
        _check_target(remote, repo, options, "dataset_dict.json", "a dataset of this command")
        content: dict[str, Path | bytes] = {
            path.relative_to(root).as_posix(): path for path in sorted(root.rglob("*")) if path.is_file()
        }
        content[CARD] = dataset_card(repo, summary, options.about).encode()
        stale = [path for path in remote.files if path not in content and path.endswith((".arrow", ".json"))]
        return _commit(api, repo, "dataset", remote, content, stale, options, notes)


def push_metric(name: str, options: PushOptions) -> PushReport:
    """Publish one of the package's modules for `evaluate` as a Space, with a card, in one commit.

    Args:
        name: of the metric.
        options: how to publish.

    Raises:
        SignXError: If there is no such metric. Nothing was sent.
        SignXHubError: If the Hub refuses. The message says what the repository holds now.
    """
    from .metric_modules import check_same_metric, module_files

    check_repo_id(options.repo)
    module_files(name, options.repo)  # reject an unknown name before a request is sent
    api = open_api(options.token)
    with hub_errors(options.repo, "cannot publish"):
        repo = resolve_owner(api, options.repo)
        remote = fetch_state(api, repo, "space", options.revision)
    content: dict[str, Path | bytes] = dict(module_files(name, repo))
    _check_target(remote, repo, options, f"{repo.split('/')[-1]}.py", "a metric of this command")
    read = _reader(api, repo, remote, "space")
    with hub_errors(repo, "cannot read the card of"):
        card = read(CARD)
    notes = [] if remote.is_empty else _enforce(options.force, lambda: check_same_metric(card, name, repo))
    return _commit(api, repo, "space", remote, content, [], options, notes)


def model_files(folder: Path) -> tuple[dict[str, Path], list[str]]:
    """Return the files at the top of a folder, except hidden ones and the card, and notes about what is left out.

    Raises:
        SignXError: If there is no folder, or it holds a pickle, a link that leads out of it, or something that is not
            a file.
    """
    if not folder.is_dir():
        raise SignXError(
            f"{folder}: no such folder. Pass the folder that save_pretrained() wrote a model and its processor to."
        )
    files, notes = {}, []
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or path.name == "__pycache__":
            continue
        if path.is_dir():
            if path.name != FOLDER:
                notes.append(f"{path.name}/ was left out: only files at the top of the folder are published")
            continue
        target = _target(path)
        if {path.suffix.lower(), target.suffix.lower()} & set(PICKLES):
            raise SignXError(
                f"{path} is a pickle, which runs code when it is loaded. Remove it, or save the model as safetensors."
            )
        if path.name != CARD:
            files[path.name] = path
    return files, notes


def _target(path: Path) -> Path:
    """Return the file behind a name; a link must stay inside the folder, or inside the Hub cache around it.

    Raises:
        SignXError: If it is a link to elsewhere, which would publish an unrelated file, or not a file.
    """
    target, root = Path(os.path.realpath(path)), Path(os.path.realpath(path.parent))
    if path.is_symlink():
        # In the client's cache, the files of snapshots/COMMIT are links to files of blobs.
        blobs = root.parent.parent / "blobs" if root.parent.name == "snapshots" else None
        inside = target.is_relative_to(root) and not any(
            part.startswith(".") for part in target.relative_to(root).parts
        )
        if not inside and target.parent != blobs:
            raise SignXError(
                f"{path} must be a file of the folder, got a link to {target}, which is not published. Copy the "
                "file, or remove the link."
            )
    if not target.is_file():
        raise SignXError(
            f"{path} must be a file, got {'a pipe or device' if target.exists() else 'a broken link'}. Remove it."
        )
    return target


def _enforce(force: bool, check: Callable[[], Sequence[str]]) -> list[str]:
    """Run a check and return its notes; if forced, a refusal becomes a note."""
    try:
        return list(check())
    except SignXHubError:
        raise
    except SignXError as error:
        if not force:
            raise
        return [f"forced: {error}"]


def _check_target(remote: Remote, repo: str, options: PushOptions, mark: str, kind: str) -> None:
    """Reject a repository that holds something else (no file `mark`), or is public although --private is set."""
    if remote.commit is None:
        return
    if not remote.is_empty and mark not in remote.files and not options.force:
        raise SignXHubError(
            f"{repo} exists and does not hold {kind} (no {mark}). Choose another name, or use --force."
        )
    if options.private and not remote.private:
        raise SignXHubError(
            f"{repo} exists and is public. Make it private on its settings page first, or remove --private."
        )


def _is_ours(path: str) -> bool:
    """Whether a published file is part of a model, so that leaving it would mix two models."""
    top = "/" not in path and path.endswith((".py", ".json", ".safetensors", ".txt", *PICKLES))
    return top or (path.startswith(f"{FOLDER}/") and path.endswith(".json"))


def _reader(api: HfApi, repo: str, remote: Remote, kind: str = "model") -> Callable[[str], bytes]:
    """Return a function that reads a published file and verifies its hash; it returns no bytes for a missing file."""

    def read(path: str) -> bytes:
        if path not in remote.files:
            return b""
        with tempfile.TemporaryDirectory(prefix="signx_gate_") as cache:
            local = api.hf_hub_download(repo, path, repo_type=kind, revision=remote.commit, cache_dir=cache)
            content = Path(local).read_bytes()
        if content_id(content, remote.files[path]) != remote.files[path]:
            raise SignXHubError(f"cannot publish {repo}: its {path} arrived damaged. Nothing was changed. Try again.")
        return content

    return read


def _compare(api: HfApi, repo: str, remote: Remote, results: Sequence[Results]) -> list[str]:
    """Check for a regression against the published model and return notes with both numbers."""
    read = _reader(api, repo, remote)
    with hub_errors(repo, "cannot read the results of"):
        paths = [path for path in sorted(remote.files) if path.startswith(f"{FOLDER}/") and path.endswith(".json")]
        texts = {path: read(path) for path in paths}
        card = read(CARD) if not paths and CARD in remote.files else b""
    if texts:
        try:
            before = [parse_results(json.loads(text), f"{repo}/{path}") for path, text in texts.items()]
        except (ValueError, RecursionError) as error:
            raise SignXError(
                f"the published results of {repo} cannot be read, so nothing can be compared "
                f"({' '.join(str(error).split())}). Use --force to publish anyway."
            ) from error
        return check_not_worse(results, before)
    entries = model_index(split_card(card.decode("utf-8", "replace"))[0])
    if not entries:
        return [f"{repo} had no results, so nothing was compared"]
    return check_index_not_worse(results, entries)


def _commit(
    api: HfApi, repo: str, kind: str, remote: Remote, content: Mapping[str, Path | bytes], stale: Sequence[str],
    options: PushOptions, notes: list[str],
) -> PushReport:  # fmt: skip
    """Send everything in one commit, or nothing, and compare what the Hub then holds with what was sent."""
    branch = options.revision or MAIN
    operations = _operations(content, stale)  # before a repository is created
    unchanged = f"{repo} is unchanged ({str(remote.commit)[:12]})"
    if remote.commit is None:
        with hub_errors(repo, "cannot create", "Nothing was sent; an empty repository may exist"):
            api.create_repo(
                repo, repo_type=kind, private=options.private or None, space_sdk="static" if kind == "space" else None
            )
        unchanged = f"{repo} was created and is empty; run the same command to resume"
        with hub_errors(repo, "cannot publish", unchanged):
            remote = fetch_state(api, repo, kind, options.revision)
    if not remote.branch:
        with hub_errors(repo, f"cannot create the branch {branch} of", unchanged):
            api.create_branch(repo, branch=branch, repo_type=kind, revision=remote.commit, exist_ok=True)
    message = options.message or f"Publish with signx-hf push: {len(content)} files"
    failure: SignXHubError | None = None
    try:
        with hub_errors(repo, "cannot publish", unchanged):
            api.create_commit(
                repo, operations, commit_message=message, repo_type=kind, revision=branch, parent_commit=remote.commit
            )
    except SignXHubError as error:
        failure = error  # the response may be lost although the commit was made
    try:
        with hub_errors(repo, "cannot inspect"):
            commit = check_commit(repo, api.repo_info(repo, repo_type=kind, revision=branch).sha)
            ids, _ = list_files(api, repo, kind, commit)
    except SignXHubError as error:
        if failure is None:
            raise SignXHubError(
                f"all files were sent to {repo}, but it could not be inspected afterwards ({error})"
            ) from error
        raise failure from error
    complete = all(path in ids and content_id(item, ids[path]) == ids[path] for path, item in content.items())
    if not complete or any(path in ids for path in stale):
        raise failure or SignXHubError(
            f"{repo}@{commit} does not hold the files that were sent. Check what it holds, and push again."
        )
    url = f"{api.endpoint}/{'' if kind == 'model' else f'{kind}s/'}{repo}/tree/{commit}"
    return PushReport(repo, commit, url, tuple(content), tuple(notes), commit != remote.commit)


def _operations(content: Mapping[str, Path | bytes], stale: Sequence[str]) -> list[Any]:
    """Return the operations of a commit; creating one opens its file.

    Raises:
        SignXError: If a file cannot be read.
    """
    operations: list[Any] = []
    for path, item in content.items():
        try:
            # Absolute, because the client expands a leading ~.
            operations.append(CommitOperationAdd(path, item if isinstance(item, bytes) else str(item.absolute())))
        except (OSError, ValueError) as error:
            raise SignXError(
                f"{item if isinstance(item, Path) else path} cannot be published ({write_error_reason(error)}). Nothing was "
                "sent. Make it readable, under a name that the Hub accepts, or remove it."
            ) from error
    return operations + [CommitOperationDelete(path) for path in stale]
