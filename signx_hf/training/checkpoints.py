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

from .. import files
from ..processing.errors_signx import SignXError

PREFIX = "checkpoint-"
NUMBER = r"(?:0|[1-9]\d*)"
STATE = "state.json"
WRITE_ERRORS = (OSError, RuntimeError, SafetensorError)  # torch and safetensors raise their own kinds for a full disk
RESUME = "go on with --resume"


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
        shutil.rmtree(beside, ignore_errors=True)
        raise SignXError(
            f"{folder}: could not be written ({files.reason_of(error)}); what was saved before is untouched; {files.remedy_for(error, RESUME)}"
        ) from error


def replacing(path: Path) -> AbstractContextManager[Path]:
    """`signx_hf.files.replacing` with the remedy of a training run."""
    return files.replacing(path, RESUME, WRITE_ERRORS)


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
        SignXError: the checkpoint is damaged; says which file.
    """
    path = folder
    try:
        tensors = {}
        for path in sorted(folder.glob("*.safetensors")):
            tensors[path.stem] = load_file(path)
        path = folder / "optimizer.pt"
        optimizer = torch.load(path, map_location="cpu", weights_only=True)
        path = folder / STATE
        return tensors, optimizer, json.loads(path.read_text())
    except Exception as error:  # zip, pickle, JSON and safetensors errors of a damaged file
        raise SignXError(
            f"{path}: damaged ({' '.join(str(error).split())[:150]}); wanted a checkpoint of this run; remove {folder.name} to go on "
            "from the one before"
        ) from error


class BestWeights:
    """The `count` best sets of weights by a number that should be small, as files, and their mean."""

    def __init__(self, output_dir: Path, count: int, entries: Sequence[dict[str, Any]] = ()):
        self.folder, self.count = output_dir / "best", count
        self.entries = [dict(entry) for entry in entries]

    def offer(self, score: float, step: int, state: dict[str, torch.Tensor]) -> bool:
        """Keeps the weights if they are among the best; true if they are the best of all. The earlier wins a tie."""
        best = all(score < entry["score"] for entry in self.entries)
        if len(self.entries) >= self.count and score >= max(entry["score"] for entry in self.entries):
            return False
        name = f"step-{step}"
        write_whole(self.folder / name, lambda part: save_file(tensors_of(state), part / "model.safetensors"))
        entries = [entry for entry in self.entries if entry["step"] != step] + [
            {"score": float(score), "step": step, "name": name}
        ]
        self.entries = sorted(entries, key=lambda entry: (entry["score"], entry["step"]))[: self.count]
        return best

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
        needed |= {entry["name"] for entry in json.loads((folder / STATE).read_text())["progress"]["best"]}
    for path in (output_dir / "best").glob("step-*"):
        if path.name not in needed:
            shutil.rmtree(path, ignore_errors=True)
