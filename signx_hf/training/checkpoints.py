"""Checkpoints that are complete or absent, and the best weights by a metric on dev."""

import json
import os
import re
import shutil
import uuid
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from ..common import atomic_io
from ..processing.errors_signx import SignXError
from .arguments import RunArguments

PREFIX = "checkpoint-"
NUMBER = r"(?:0|[1-9]\d*)"
STATE = "state.json"
WRITE_ERRORS = (OSError, RuntimeError, SafetensorError)  # torch and safetensors raise their own kinds for a full disk
RESUME = "continue with --resume"
RENAMED = {"without_better": "evals_without_improvement"}  # keys of `progress` in checkpoints of earlier versions


@dataclass
class Progress:
    """Progress of a run, stored in the `state.json` of a checkpoint next to the settings that must not change.

    Attributes:
        step: optimizer steps done.
        epoch: epoch of the last step.
        batch: optimizer steps done within that epoch.
        best: entries of `BestWeights`.
        evals_without_improvement: evaluations on dev since the best one.
    """

    step: int = 0
    epoch: int = 0
    batch: int = 0
    best: list[dict[str, Any]] = field(default_factory=list)
    evals_without_improvement: int = 0


class SignXDamagedError(SignXError):
    """A checkpoint that cannot be resumed from. `damage` says what is wrong with it, without a remedy.

    Args:
        path: of the damaged file.
        reason: what is wrong with it.
        folder: of the checkpoint.
    """

    def __init__(self, path: Path, reason: str | Exception, folder: Path):
        self.damage = f"{path} is damaged ({' '.join(str(reason).split())[:150]})"
        super().__init__(f"{self.damage}. Remove {folder.name} to resume from the checkpoint before it.")


def write_folder(folder: Path, write: Callable[[Path], None]) -> None:
    """Write a folder that is complete whenever it exists: fill a temporary one, flush it to disk, and rename it.

    Args:
        folder: that is written or replaced.
        write: fills the temporary folder that it is given.

    Raises:
        SignXError: If the disk is full or not writable. Everything saved before is intact.
    """
    tmp_path = folder.with_name(f".{folder.name}.{os.getpid()}.{uuid.uuid4().hex[:8]}.part")
    try:
        tmp_path.mkdir(parents=True)
        write(tmp_path)
        for path in tmp_path.rglob("*"):
            if path.is_file():
                with path.open("rb") as file:
                    os.fsync(file.fileno())
        if folder.exists():  # a rename cannot replace a folder that is not empty
            old = folder.with_name(f".{folder.name}.{uuid.uuid4().hex[:8]}.old")
            folder.rename(old)
            tmp_path.rename(folder)
            shutil.rmtree(old, ignore_errors=True)
        else:
            tmp_path.rename(folder)
    except WRITE_ERRORS as error:
        raise SignXError(
            f"Cannot write {folder} ({atomic_io.write_error_reason(error)}). Everything saved before is intact: "
            f"{atomic_io.remedy_for(error, RESUME)}."
        ) from error
    finally:
        shutil.rmtree(tmp_path, ignore_errors=True)  # already renamed if all went well


def replacing(path: Path) -> AbstractContextManager[Path]:
    """Replace a file like `signx_hf.common.atomic_io.atomic_write`, with the remedy of a training run."""
    return atomic_io.atomic_write(path, RESUME, WRITE_ERRORS)


def cleanup_stale(output_dir: Path) -> None:
    """Remove what an interrupted `write_folder` left; a folder moved aside comes back if its successor never arrived.

    Only names that `write_folder` makes of the folders of a run count: the folder may hold partial results of other commands.
    """
    for parent, names in ((output_dir, rf"{PREFIX}{NUMBER}|model"), (output_dir / "best", rf"step-{NUMBER}")):
        hidden = [path for path in parent.glob(".*") if path.is_dir() and not path.is_symlink()]
        for path in hidden:
            moved = re.fullmatch(rf"\.({names})\.[0-9a-f]{{1,8}}\.old", path.name)
            if moved and not (parent / moved[1]).exists():
                path.rename(parent / moved[1])
            elif moved or re.fullmatch(rf"\.({names})\.\d+\.[0-9a-f]{{1,8}}\.part", path.name):
                shutil.rmtree(path, ignore_errors=True)


def tensors_of(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return a state dict as safetensors takes it: on the CPU, contiguous, tied weights once each."""
    seen: dict[tuple, str] = {}
    out = {}
    for name, tensor in state.items():
        key = (tensor.data_ptr(), tensor.shape, tensor.stride())
        if tensor.numel() and key in seen:
            continue  # loading into the model fills the tied weight through the other name
        seen[key] = name
        out[name] = tensor.detach().to("cpu").contiguous()
    return out


def save_checkpoint(
    output_dir: Path,
    step: int,
    tensors: dict[str, dict[str, torch.Tensor]],
    optimizer: dict[str, Any],
    state: dict[str, Any],
    keep: int = 2,
) -> Path:
    """Write `checkpoint-<step>` and remove all but the newest `keep` checkpoints.

    Args:
        output_dir: folder of the run.
        step: optimizer steps done.
        tensors: state dicts, each of which becomes a safetensors file of its name.
        optimizer: state dict of the optimizer.
        state: content of `state.json`.
        keep: checkpoints that stay.
    """
    folder = output_dir / f"{PREFIX}{step}"

    def write(tmp_path: Path) -> None:
        for name, content in tensors.items():
            save_file(tensors_of(content), tmp_path / f"{name}.safetensors")
        torch.save(optimizer, tmp_path / "optimizer.pt")
        (tmp_path / STATE).write_text(json.dumps(state, indent=1))

    write_folder(folder, write)
    for old in list_checkpoints(output_dir)[:-keep]:
        shutil.rmtree(old, ignore_errors=True)
    return folder


def list_checkpoints(output_dir: Path) -> list[Path]:
    """Return complete checkpoints, oldest first. A copy under another name, such as checkpoint-4.bak, is not one."""
    folders = [path for path in output_dir.glob(f"{PREFIX}*") if re.fullmatch(f"{PREFIX}{NUMBER}", path.name)]
    folders = [path for path in folders if (path / STATE).is_file()]
    return sorted(folders, key=lambda path: int(path.name[len(PREFIX) :]))


def resumes(run: RunArguments) -> bool:
    """Return True if a run with these options goes on from a checkpoint."""
    return run.resume and bool(list_checkpoints(Path(run.output_dir)))


def load_checkpoint(folder: Path) -> tuple[dict[str, dict[str, torch.Tensor]], dict, dict[str, Any]]:
    """Load tensors by file, the optimizer's state and `state.json`.

    Raises:
        SignXDamagedError: If a file is damaged. The message names it.
    """
    path = folder
    try:
        tensors = {}
        for path in sorted(folder.glob("*.safetensors")):
            tensors[path.stem] = load_file(path)
        path = folder / "optimizer.pt"
        optimizer = torch.load(path, map_location="cpu", weights_only=True)
        path = folder / STATE
        return tensors, optimizer, read_state(folder)
    except Exception as error:  # a damaged file makes errors of zip, pickle, JSON or safetensors
        raise SignXDamagedError(path, error, folder) from error


def read_state(folder: Path) -> dict[str, Any]:
    """Read `state.json` of a checkpoint.

    Raises:
        OSError: If there is no such file.
        ValueError: If it is not what a run writes.
    """
    state = json.loads((folder / STATE).read_text(encoding="utf-8"))
    for name in ("progress", "settings"):
        if not isinstance(state, dict) or not isinstance(state.get(name), dict):
            raise ValueError(f"it has no {name}")
    progress = state["progress"] = {RENAMED.get(name, name): value for name, value in state["progress"].items()}
    kinds = {item.name: type(getattr(Progress(), item.name)) for item in fields(Progress)}
    wrong = [name for name in progress if name not in kinds]
    wrong += [name for name, kind in kinds.items() if type(progress.get(name)) is not kind]
    if wrong:
        raise ValueError(f"progress.{wrong[0]} is {progress.get(wrong[0], 'missing')!r:.40}")
    for entry in progress["best"]:
        content = entry if isinstance(entry, dict) else {}
        if not isinstance(content.get("score"), (int, float)) or content.get("name") != f"step-{content.get('step')}":
            raise ValueError(f"progress.best has {entry!r:.40}")
    return state


def check_tensors(
    folder: Path, tensors: dict[str, dict[str, torch.Tensor]], model: torch.nn.Module, with_average: bool
) -> None:
    """Check that a checkpoint has all weights of the model, in the same shapes.

    Args:
        folder: of the checkpoint.
        tensors: by file.
        model: that they are for.
        with_average: whether there must be a moving average, too.

    Raises:
        SignXDamagedError: If a file does not match. The message names it.
    """
    for name in ("model", "ema") if with_average else ("model",):
        path = folder / f"{name}.safetensors"
        problem = mismatch(model, tensors[name]) if name in tensors else "no such file"
        if problem:
            raise SignXDamagedError(path, problem, folder)


def mismatch(model: torch.nn.Module, tensors: dict[str, torch.Tensor]) -> str | None:
    """Return why the tensors are not the weights of the model, or None if they are; of tied weights they may hold one."""
    expected, tied = model.state_dict(), getattr(model, "_tied_weights_keys", None) or {}
    other = sorted((expected.keys() ^ tensors.keys()) - ({*tied, *tied.values()} - tensors.keys()))
    if other:
        return f"its weights are not the model's: {other[0]}"
    for name, value in tensors.items():
        if value.shape != expected[name].shape:
            return f"{name} must have shape {list(expected[name].shape)}, got {list(value.shape)}"
    return None


def check_optimizer(folder: Path, state: dict[str, Any], optimizer: torch.optim.Optimizer) -> None:
    """Check that a state is one of this optimizer, which torch notices only in part, or steps later.

    Raises:
        SignXDamagedError: If the state does not match the optimizer.
    """
    try:
        expected, groups = optimizer.state_dict()["param_groups"], state["param_groups"]
        if [group["params"] for group in expected] != [group["params"] for group in groups]:
            raise ValueError("its groups of weights are not the model's")
        for current, group in zip(expected, groups):
            _ = [group[name] for name in ("betas", "momentum", "eps", "weight_decay") if name in current]
        parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        momentum = {index for group in expected if "momentum" in group for index in group["params"]}  # Muon's
        for index, entry in state["state"].items():
            for name in ("momentum_buffer",) if index in momentum else ("exp_avg", "exp_avg_sq"):
                if entry[name].shape != parameters[index].shape:
                    raise ValueError(f"{name} {index} is {list(entry[name].shape)}")
            if index not in momentum:
                float(entry["step"])
    except (LookupError, TypeError, AttributeError, ValueError) as error:
        reason = f"{error} is missing" if isinstance(error, KeyError) else error
        raise SignXDamagedError(folder / "optimizer.pt", reason, folder) from error


class BestWeights:
    """The best sets of weights by a metric that should be small, as files, and their mean.

    Args:
        output_dir: folder of the run.
        count: sets that are kept.
        entries: those kept so far, each with `score` (the metric), `step` and `name`.
    """

    def __init__(self, output_dir: Path, count: int, entries: Sequence[dict[str, Any]] = ()):
        self.folder, self.count = output_dir / "best", count
        self.entries = [dict(entry) for entry in entries]

    def offer(self, metric: float, step: int, state: dict[str, torch.Tensor]) -> bool:
        """Keep the weights if they are among the best. Return True if they are better than all others.

        Of weights that are equally good on dev the later are kept: they have seen more.
        """
        best = all(metric < entry["score"] for entry in self.entries)
        if len(self.entries) >= self.count and metric > max(entry["score"] for entry in self.entries):
            return False
        name = f"step-{step}"
        write_folder(self.folder / name, lambda tmp_path: save_file(tensors_of(state), tmp_path / "model.safetensors"))
        entries = [entry for entry in self.entries if entry["step"] != step] + [
            {"score": float(metric), "step": step, "name": name}
        ]
        self.entries = sorted(entries, key=lambda entry: (entry["score"], -entry["step"]))[: self.count]
        return best

    def drop_damaged(self, model: torch.nn.Module) -> dict[Path, str]:
        """Leave out weights that are missing, damaged or not of this model. Return their files and what is wrong with each."""
        wrong: dict[Path, str] = {}
        for entry in self.entries:
            path = self.folder / entry["name"] / "model.safetensors"
            try:
                problem = mismatch(model, load_file(path))
            except (OSError, SafetensorError) as error:
                problem = " ".join(str(error).split())[:150]
            if problem:
                wrong[path] = problem
        self.entries = [
            entry for entry in self.entries if self.folder / entry["name"] / "model.safetensors" not in wrong
        ]
        return wrong

    def mean(self) -> dict[str, torch.Tensor]:
        """Return the mean of the weights; integers (counters of batch norm) come from the best."""
        loaded = [load_file(self.folder / entry["name"] / "model.safetensors") for entry in self.entries]
        return {
            name: torch.stack([state[name] for state in loaded]).mean(0) if value.is_floating_point() else value
            for name, value in loaded[0].items()
        }


def remove_unused_best(output_dir: Path, entries: Sequence[dict[str, Any]]) -> None:
    """Remove best weights that neither `entries` nor a checkpoint names, since a run may resume from each checkpoint."""
    needed = {entry["name"] for entry in entries}
    for folder in list_checkpoints(output_dir):
        try:
            needed |= {entry["name"] for entry in read_state(folder)["progress"]["best"]}
        except (OSError, ValueError):
            return  # a damaged checkpoint may name any of them, and may be repaired
    for path in (output_dir / "best").glob("step-*"):
        if path.name not in needed and re.fullmatch(f"step-{NUMBER}", path.name):
            shutil.rmtree(path, ignore_errors=True)
