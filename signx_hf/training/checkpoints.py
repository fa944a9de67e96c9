"""Checkpoints that are whole or not there, and the best ones by a number on dev."""

import json
import os
import re
import shutil
import uuid
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from ..common import atomic_io as files
from ..processing.errors_signx import SignXError

PREFIX = "checkpoint-"
NUMBER = r"(?:0|[1-9]\d*)"
STATE = "state.json"
WRITE_ERRORS = (OSError, RuntimeError, SafetensorError)  # torch and safetensors raise their own kinds for a full disk
RESUME = "go on with --resume"
PROGRESS = {"step": int, "epoch": int, "batch": int, "best": list, "without_better": int}


class SignXDamagedError(SignXError):
    """A checkpoint that cannot be gone on from; `found` says what is wrong with it, without a remedy."""

    def __init__(self, path: Path, reason: Any, folder: Path):
        self.found = f"{path}: damaged ({' '.join(str(reason).split())[:150]})"
        super().__init__(
            f"{self.found}; wanted a checkpoint of this run; remove {folder.name} to go on from the one before"
        )


def write_whole(folder: Path, write: Callable[[Path], None]) -> None:
    """Fills a folder beside with `write` and renames it, so that `folder` is complete whenever it exists.

    Raises:
        SignXError: the disk is full or cannot be written; says that everything saved before is still there.
    """
    beside = folder.with_name(f".{folder.name}.{os.getpid()}.{uuid.uuid4().hex[:8]}.part")
    try:
        beside.mkdir(parents=True)
        write(beside)
        for path in beside.rglob("*"):
            if path.is_file():
                with path.open("rb") as file:
                    os.fsync(file.fileno())
        if folder.exists():  # a rename cannot replace a folder that holds something
            old = folder.with_name(f".{folder.name}.{uuid.uuid4().hex[:8]}.old")
            folder.rename(old)
            beside.rename(folder)
            shutil.rmtree(old, ignore_errors=True)
        else:
            beside.rename(folder)
    except WRITE_ERRORS as error:
        raise SignXError(
            f"{folder}: could not be written ({files.write_error_reason(error)}); what was saved before is untouched; {files.remedy_for(error, RESUME)}"
        ) from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)  # is not there any more where all went well


def replacing(path: Path) -> AbstractContextManager[Path]:
    """`signx_hf.common.atomic_io.atomic_write` with the remedy of a training run."""
    return files.atomic_write(path, RESUME, WRITE_ERRORS)


def sweep(output_dir: Path) -> None:
    """Removes what an interrupted write of this module left; a folder moved aside comes back where its successor never arrived.

    Only names that `write_whole` makes of the folders of a run count: a folder of runs may hold what other commands work at.
    """
    for place, names in ((output_dir, rf"{PREFIX}{NUMBER}|model"), (output_dir / "best", rf"step-{NUMBER}")):
        left = [path for path in place.glob(".*") if path.is_dir() and not path.is_symlink()]
        for path in left:
            moved = re.fullmatch(rf"\.({names})\.[0-9a-f]{{1,8}}\.old", path.name)
            if moved and not (place / moved[1]).exists():
                path.rename(place / moved[1])
            elif moved or re.fullmatch(rf"\.({names})\.\d+\.[0-9a-f]{{1,8}}\.part", path.name):
                shutil.rmtree(path, ignore_errors=True)


def tensors_of(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """A state dict as safetensors takes it: on the CPU, contiguous, tied weights once each."""
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
    optimizer: dict,
    state: dict[str, Any],
    keep: int = 2,
) -> Path:
    """Writes `checkpoint-<step>`: one safetensors file for each entry of `tensors`, the optimiser, and `state.json`.

    The newest `keep` checkpoints stay.
    """
    folder = output_dir / f"{PREFIX}{step}"

    def write(part: Path) -> None:
        for name, content in tensors.items():
            save_file(tensors_of(content), part / f"{name}.safetensors")
        torch.save(optimizer, part / "optimizer.pt")
        (part / STATE).write_text(json.dumps(state, indent=1))

    write_whole(folder, write)
    for old in list_checkpoints(output_dir)[:-keep]:
        shutil.rmtree(old, ignore_errors=True)
    return folder


def list_checkpoints(output_dir: Path) -> list[Path]:
    """Complete checkpoints, oldest first; a copy that the user gave another name, such as checkpoint-4.bak, is none."""
    found = [path for path in output_dir.glob(f"{PREFIX}*") if re.fullmatch(f"{PREFIX}{NUMBER}", path.name)]
    found = [path for path in found if (path / STATE).is_file()]
    return sorted(found, key=lambda path: int(path.name[len(PREFIX) :]))


def load_checkpoint(folder: Path) -> tuple[dict[str, dict[str, torch.Tensor]], dict, dict[str, Any]]:
    """Tensors by file, the optimiser's state and `state.json`.

    Raises:
        SignXDamagedError: the checkpoint is damaged; says which file.
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
    except Exception as error:  # zip, pickle, JSON and safetensors errors of a damaged file
        raise SignXDamagedError(path, error, folder) from error


def read_state(folder: Path) -> dict[str, Any]:
    """`state.json` of a checkpoint. Raises OSError or ValueError where it is not there, or not what a run writes."""
    state = json.loads((folder / STATE).read_text(encoding="utf-8"))
    for name in ("progress", "settings"):
        if not isinstance(state, dict) or not isinstance(state.get(name), dict):
            raise ValueError(f"no {name} in it")
    progress = state["progress"]
    wrong = [name for name in progress if name not in PROGRESS]
    wrong += [name for name, kind in PROGRESS.items() if type(progress.get(name)) is not kind]
    if wrong:
        raise ValueError(f"progress.{wrong[0]} is {progress.get(wrong[0], 'missing')!r:.40}")
    for entry in progress["best"]:
        told = entry if isinstance(entry, dict) else {}
        if not isinstance(told.get("score"), (int, float)) or told.get("name") != f"step-{told.get('step')}":
            raise ValueError(f"progress.best has {entry!r:.40}")
    return state


def check_tensors(folder: Path, tensors: dict[str, dict[str, torch.Tensor]], model: Any, with_average: bool) -> None:
    """Raises SignXDamagedError where a checkpoint lacks weights of the model, or has them in other shapes."""
    for name in ("model", "ema") if with_average else ("model",):
        path = folder / f"{name}.safetensors"
        problem = misfit(model, tensors[name]) if name in tensors else "there is no such file"
        if problem:
            raise SignXDamagedError(path, problem, folder)


def misfit(model: Any, tensors: dict[str, torch.Tensor]) -> str | None:
    """What keeps the tensors from being the weights of the model; of tied weights they may hold one."""
    own, pairs = model.state_dict(), getattr(model, "_tied_weights_keys", None) or {}
    other = sorted((own.keys() ^ tensors.keys()) - ({*pairs, *pairs.values()} - tensors.keys()))
    if other:
        return f"other weights than the model's: {other[0]}"
    for name, value in tensors.items():
        if value.shape != own[name].shape:
            return f"{name} is {list(value.shape)}; wanted {list(own[name].shape)}"
    return None


def check_optimizer(folder: Path, state: Any, optimizer: torch.optim.Optimizer) -> None:
    """Raises SignXDamagedError where the state is not one of this optimiser, which torch notices only in part, or steps later."""
    try:
        mine, theirs = optimizer.state_dict()["param_groups"], state["param_groups"]
        if [group["params"] for group in mine] != [group["params"] for group in theirs]:
            raise ValueError("other groups of weights")
        for own, group in zip(mine, theirs):
            _ = [group[name] for name in ("betas", "momentum", "eps", "weight_decay") if name in own]
        parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        momentum = {index for group in mine if "momentum" in group for index in group["params"]}  # Muon's
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
    """The `count` best sets of weights by a number that should be small, as files, and their mean."""

    def __init__(self, output_dir: Path, count: int, entries: Sequence[dict[str, Any]] = ()):
        self.folder, self.count = output_dir / "best", count
        self.entries = [dict(entry) for entry in entries]

    def offer(self, score: float, step: int, state: dict[str, torch.Tensor]) -> bool:
        """Keeps the weights if they are among the best; true if they are better than all of them.

        Of weights that are equally good on dev the later are kept: while dev does not tell them apart, they have seen more.
        """
        best = all(score < entry["score"] for entry in self.entries)
        if len(self.entries) >= self.count and score > max(entry["score"] for entry in self.entries):
            return False
        name = f"step-{step}"
        write_whole(self.folder / name, lambda part: save_file(tensors_of(state), part / "model.safetensors"))
        entries = [entry for entry in self.entries if entry["step"] != step] + [
            {"score": float(score), "step": step, "name": name}
        ]
        self.entries = sorted(entries, key=lambda entry: (entry["score"], -entry["step"]))[: self.count]
        return best

    def drop_damaged(self, model: Any) -> dict[Path, str]:
        """Leaves out the weights that are gone, damaged or not of this model; returns their files, and what is wrong with each."""
        wrong: dict[Path, str] = {}
        for entry in self.entries:
            path = self.folder / entry["name"] / "model.safetensors"
            try:
                problem = misfit(model, load_file(path))
            except (OSError, SafetensorError) as error:
                problem = " ".join(str(error).split())[:150]
            if problem:
                wrong[path] = problem
        self.entries = [
            entry for entry in self.entries if self.folder / entry["name"] / "model.safetensors" not in wrong
        ]
        return wrong

    def mean(self) -> dict[str, torch.Tensor]:
        """The mean of the weights kept; whole numbers (counters of batch norm) from the best."""
        loaded = [load_file(self.folder / entry["name"] / "model.safetensors") for entry in self.entries]
        return {
            name: torch.stack([state[name] for state in loaded]).mean(0) if value.is_floating_point() else value
            for name, value in loaded[0].items()
        }


def tidy_best(output_dir: Path, entries: Sequence[dict[str, Any]]) -> None:
    """Removes best weights that neither `entries` nor any checkpoint that is kept names: a run may go on from each."""
    needed = {entry["name"] for entry in entries}
    for folder in list_checkpoints(output_dir):
        try:
            needed |= {entry["name"] for entry in read_state(folder)["progress"]["best"]}
        except (OSError, ValueError):
            return  # a damaged one may name any of them, and may be mended
    for path in (output_dir / "best").glob("step-*"):
        if path.name not in needed and re.fullmatch(f"step-{NUMBER}", path.name):
            shutil.rmtree(path, ignore_errors=True)
