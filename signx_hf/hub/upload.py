"""Publishing: everything is checked here first, then sent in one commit on top of the one that was looked at."""

import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi

from ..common.atomic_io import write_error_reason
from ..processing.errors_signx import SignXError
from .about import About
from .card import CARD, complete_card, read_model, read_own, render_card
from .client import (
    MAIN,
    Remote,
    SignXHubError,
    check_name,
    commit_name,
    content_id,
    hub_errors,
    listing,
    look,
    open_api,
    owner_name,
)
from .gate import check_card, check_index_not_worse, check_not_worse, index_metrics, split_card
from .results import FOLDER, Results, check_belongs, parse_results

# They run code when they are loaded, so nobody should have to load them.
PICKLES = (".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".joblib")


@dataclass(frozen=True)
class PushOptions:
    """repo: `OWNER/NAME`, or a name of the user's. private: for a repository that is made now. force: publish although a gate
    refuses. revision: branch; made from main where there is none. token: instead of the saved one."""

    repo: str
    private: bool = False
    force: bool = False
    revision: str | None = None
    about: About = field(default_factory=About)
    token: str | None = None
    message: str | None = None


@dataclass(frozen=True)
class PushReport:
    """repo, commit: what stands on the Hub now. files: paths. notes: lines about gates and what was left out. changed: whether
    there was anything to commit."""

    repo: str
    commit: str
    url: str
    files: tuple[str, ...]
    notes: tuple[str, ...]
    changed: bool


def push_model(folder: str | Path, results: Sequence[Results], options: PushOptions) -> PushReport:
    """Publishes a model's folder with its processor, its card and its results, in one commit.

    results: of `signx-hf evaluate` with this folder; at least one. A README.md in the folder is published if its numbers are
    those of the results; without one the card is written. The top of the folder is published, without hidden files.

    Raises:
        SignXError: what is wrong with the folder or refused by a gate; nothing was sent. SignXHubError: what the Hub said, and
            what stands there now.
    """
    folder = Path(folder)
    check_name(options.repo)
    files, notes = model_files(folder)  # before anything is read, for a pipe would be waited for
    model = read_model(folder)
    if not results:
        raise SignXError(
            f"{folder}: no results were given; wanted those of the model, for its card; run `signx-hf evaluate {folder} DATASET` and "
            "give --results"
        )
    for one in results:
        check_belongs(one, folder)
    own = read_own(folder)
    if own is not None:
        notes += _gate(options.force, lambda: check_card(own, results) or [])
    if not model.code:
        notes.append("config.json names no code (auto_map), so readers need this package; save_pretrained() adds it")
    api = open_api(options.token)
    with hub_errors(options.repo, "cannot publish"):
        repo, _ = owner_name(api, options.repo)
        remote = look(api, repo, "model", options.revision)
    _check_place(remote, repo, options, "config.json", "a model")
    if remote.commit and not remote.is_empty:
        notes += _gate(options.force, lambda: _compare(api, repo, remote, results))
    write = render_card if own is None else (lambda *given: complete_card(own, *given))
    content: dict[str, Path | bytes] = dict(files)
    content[CARD] = write(repo, model, options.about, results).encode()
    for one in results:
        if one.place in content:
            raise SignXError(
                f"{one.name}: a second file of results for {one.dataset} {one.data['split']}; wanted one for each test set"
            )
        content[one.place] = one.published(repo)
    stale = [path for path in remote.files if path not in content and _is_ours(path)]
    return _commit(api, repo, "model", remote, content, stale, options, notes)


def push_dataset(rows: Any, options: PushOptions, name: str = "dataset") -> PushReport:
    """Publishes clips of the schema, videos and poses inside the rows, with a card, in one commit.

    rows: Dataset or DatasetDict, as `load_dataset` gives them. name: what messages and the card call it.

    Raises:
        SignXError: rows that cannot travel, or a licence that does not allow it; nothing was sent. SignXHubError: what the Hub
            said, and what stands there now.
    """
    from .clips import check_licence, dataset_card, save_rows

    check_name(options.repo)
    notes: list[str] = []
    with tempfile.TemporaryDirectory(prefix="signx_push_") as place:
        summary = save_rows(rows, Path(place) / "data", name)
        if not options.private:
            notes += _gate(options.force, lambda: check_licence(summary, options.about) or [])
        api = open_api(options.token)
        with hub_errors(options.repo, "cannot publish"):
            repo, _ = owner_name(api, options.repo)
            remote = look(api, repo, "dataset", options.revision)
        _check_place(remote, repo, options, "dataset_dict.json", "a dataset of this command")
        root = Path(place) / "data"
        content: dict[str, Path | bytes] = {
            path.relative_to(root).as_posix(): path for path in sorted(root.rglob("*")) if path.is_file()
        }
        content[CARD] = dataset_card(repo, summary, options.about).encode()
        stale = [path for path in remote.files if path not in content and path.endswith((".arrow", ".json"))]
        return _commit(api, repo, "dataset", remote, content, stale, options, notes)


def push_metric(name: str, options: PushOptions) -> PushReport:
    """Publishes one of the package's modules for `evaluate` as a Space, with a card, in one commit.

    Raises:
        SignXError: no such metric; nothing was sent. SignXHubError: what the Hub said, and what stands there now.
    """
    from .metric_modules import check_same_metric, module_files

    check_name(options.repo)
    module_files(name, options.repo)  # an unknown name is refused before the Hub is asked
    api = open_api(options.token)
    with hub_errors(options.repo, "cannot publish"):
        repo, _ = owner_name(api, options.repo)
        remote = look(api, repo, "space", options.revision)
    content: dict[str, Path | bytes] = dict(module_files(name, repo))
    _check_place(remote, repo, options, f"{repo.split('/')[-1]}.py", "a metric of this command")
    read = _reader(api, repo, remote, "space")
    with hub_errors(repo, "cannot read the card of"):
        card = read(CARD)
    notes = [] if remote.is_empty else _gate(options.force, lambda: check_same_metric(card, name, repo))
    return _commit(api, repo, "space", remote, content, [], options, notes)


def model_files(folder: Path) -> tuple[dict[str, Path], list[str]]:
    """The files of the top of a folder without hidden ones and the card, and lines about what stays.

    Raises:
        SignXError: no folder, a pickle among them, a link that leads out of the folder, or what is no file.
    """
    if not folder.is_dir():
        raise SignXError(
            f"{folder}: no such folder; wanted a model and its processor as save_pretrained() writes them"
        )
    files, notes = {}, []
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or path.name == "__pycache__":
            continue
        if path.is_dir():
            if path.name != FOLDER:
                notes.append(f"{path.name}/ was left out: the top of the folder is published")
            continue
        target = _target(path)
        if {path.suffix.lower(), target.suffix.lower()} & set(PICKLES):
            raise SignXError(
                f"{path}: a pickle, which runs code where it is loaded; wanted safetensors; remove it, or save the model again"
            )
        if path.name != CARD:
            files[path.name] = path
    return files, notes


def _target(path: Path) -> Path:
    """The file that is published under a name: what a link leads to, inside the folder or the cache of the Hub that it is in.

    Raises:
        SignXError: a link to elsewhere, which would publish what nobody put here, or no file at all.
    """
    target, root = Path(os.path.realpath(path)), Path(os.path.realpath(path.parent))
    if path.is_symlink():
        # in the client's cache the files of snapshots/COMMIT are links to those of blobs
        blobs = root.parent.parent / "blobs" if root.parent.name == "snapshots" else None
        inside = target.is_relative_to(root) and not any(
            part.startswith(".") for part in target.relative_to(root).parts
        )
        if not inside and target.parent != blobs:
            raise SignXError(
                f"{path}: a link to {target}, which is not published; wanted a file of the folder; copy it there, or remove the link"
            )
    if not target.is_file():
        raise SignXError(
            f"{path}: {'no regular file' if target.exists() else 'a link to nothing'}; wanted a file; remove it"
        )
    return target


def _gate(force: bool, check: Any) -> list[str]:
    """Lines of a check; what it refuses is a line too where it is forced."""
    try:
        return list(check())
    except SignXHubError:
        raise
    except SignXError as error:
        if not force:
            raise
        return [f"forced: {error}"]


def _check_place(remote: Remote, repo: str, options: PushOptions, mark: str, what: str) -> None:
    """Refuses a repository that holds something else, or is public where private was asked for."""
    if remote.commit is None:
        return
    if not remote.is_empty and mark not in remote.files and not options.force:
        raise SignXHubError(
            f"{repo} exists and holds something else (no {mark}); wanted a new name or {what}; choose another name, or --force"
        )
    if options.private and not remote.private:
        raise SignXHubError(
            f"{repo} exists and is public; wanted --private; make it private on its settings page first, or leave --private out"
        )


def _is_ours(path: str) -> bool:
    """Whether an old file would be half of another model beside the new ones."""
    top = "/" not in path and path.endswith((".py", ".json", ".safetensors", ".txt", *PICKLES))
    return top or (path.startswith(f"{FOLDER}/") and path.endswith(".json"))


def _reader(api: HfApi, repo: str, remote: Remote, kind: str = "model") -> Callable[[str], bytes]:
    """Reads a file of what is published, and compares it with its hash; no bytes for one that is not there."""

    def read(path: str) -> bytes:
        if path not in remote.files:
            return b""
        with tempfile.TemporaryDirectory(prefix="signx_gate_") as cache:
            place = api.hf_hub_download(repo, path, repo_type=kind, revision=remote.commit, cache_dir=cache)
            found = Path(place).read_bytes()
        if content_id(found, remote.files[path]) != remote.files[path]:
            raise SignXHubError(f"cannot publish {repo}: {path} of it came damaged; nothing was changed; try again")
        return found

    return read


def _compare(api: HfApi, repo: str, remote: Remote, results: Sequence[Results]) -> list[str]:
    """The regression gate against what is published."""
    import json

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
                f"the results that {repo} holds cannot be read ({' '.join(str(error).split())}); wanted them, to compare with; --force"
            ) from error
        return check_not_worse(results, before)
    entries = index_metrics(split_card(card.decode("utf-8", "replace"))[0])
    if not entries:
        return [f"{repo} had no results, so nothing was compared"]
    return check_index_not_worse(results, entries)


def _commit(
    api: HfApi, repo: str, kind: str, remote: Remote, content: Mapping[str, Path | bytes], stale: Sequence[str],
    options: PushOptions, notes: list[str],
) -> PushReport:  # fmt: skip
    """One commit with everything, or none; what the Hub then holds is compared with what was sent."""
    made = ""
    branch = options.revision or MAIN
    operations = _operations(content, stale)  # before anything is made
    if remote.commit is None:
        with hub_errors(repo, "cannot make", "nothing was sent; it may have been made, empty"):
            api.create_repo(
                repo, repo_type=kind, private=options.private or None, space_sdk="static" if kind == "space" else None
            )
        made = f"{repo} was made and is empty; the same command goes on from there"
        with hub_errors(repo, "cannot publish", made):
            remote = look(api, repo, kind, options.revision)
    stands = made or f"{repo} is as before ({str(remote.commit)[:12]})"
    if not remote.branch:
        with hub_errors(repo, f"cannot make the branch {branch} of", stands):
            api.create_branch(repo, branch=branch, repo_type=kind, revision=remote.commit, exist_ok=True)
    message = options.message or f"Publish with signx-hf push: {len(content)} files"
    trouble: SignXHubError | None = None
    try:
        with hub_errors(repo, "cannot publish", stands):
            api.create_commit(
                repo, operations, commit_message=message, repo_type=kind, revision=branch, parent_commit=remote.commit
            )
    except SignXHubError as error:
        trouble = error  # the answer may be lost and the commit made
    try:
        with hub_errors(repo, "cannot look at"):
            commit = commit_name(repo, api.repo_info(repo, repo_type=kind, revision=branch).sha)
            ids, _ = listing(api, repo, kind, commit)
    except SignXHubError as error:
        if trouble is None:
            raise SignXHubError(f"{repo} was sent whole but could not be looked at again ({error})") from error
        raise trouble from error
    whole = all(path in ids and content_id(item, ids[path]) == ids[path] for path, item in content.items())
    if not whole or any(path in ids for path in stale):
        raise trouble or SignXHubError(
            f"{repo}@{commit} does not hold what was sent; wanted the same files; look at it, and push again"
        )
    url = f"{api.endpoint}/{'' if kind == 'model' else f'{kind}s/'}{repo}/tree/{commit}"
    return PushReport(repo, commit, url, tuple(content), tuple(notes), commit != remote.commit)


def _operations(content: Mapping[str, Path | bytes], stale: Sequence[str]) -> list[Any]:
    """The parts of a commit; each file is opened for it.

    Raises:
        SignXError: one that cannot be read.
    """
    found: list[Any] = []
    for path, item in content.items():
        try:
            # absolute, for the client takes a ~ at the front for somebody's home
            found.append(CommitOperationAdd(path, item if isinstance(item, bytes) else str(item.absolute())))
        except (OSError, ValueError) as error:
            raise SignXError(
                f"{item if isinstance(item, Path) else path}: cannot be published ({write_error_reason(error)}); wanted a file that can be read, "
                "under a name that the Hub takes; nothing was sent; make it so, or remove it"
            ) from error
    return found + [CommitOperationDelete(path) for path in stale]
