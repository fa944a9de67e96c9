"""What a run writes to its folder and resumes from: checkpoints, `run.json`, and the final model."""

import copy
import json
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list

from ..common.logging_utils import quiet_transformers
from ..processing.errors_signx import SignXError, SignXWarning
from . import checkpoints
from .arguments import Arguments, default_options
from .checkpoints import BestWeights, Progress, SignXDamagedError
from .loss_weighting import FILE as WEIGHTING
from .loss_weighting import LearnedWeighting
from .weights import TrainedWeights

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from .stages.base import Stage

# Options that may differ when a run is resumed.
FREE_OPTIONS = (
    "output_dir",
    "resume",
    "progress",
    "plot",
    "tensorboard",
    "num_workers",
    "extract_jobs",
    "cpu",
    "per_device_eval_batch_size",
    "data_dir",
    "average_best",
    "upstream",
    "video_entry",
    "body",
)


@dataclass(frozen=True)
class Restored:
    """State of a checkpoint besides the weights of the model."""

    progress: Progress
    optimizer: dict[str, Any]
    average: dict[str, torch.Tensor] | None


class RunSaver:
    """Write the folder of a run, and restore a run from it.

    Args:
        stage: that is trained, set up.
        arguments: of the run.
        accelerator: of the run.
        total_steps: optimizer steps of the whole run.
        weighting: of the losses, where it is learned.
    """

    def __init__(
        self,
        stage: "Stage",
        arguments: Arguments,
        accelerator: Accelerator,
        total_steps: int,
        weighting: LearnedWeighting | None = None,
    ):
        self.stage, self.arguments, self.options = stage, arguments, arguments.run
        self.accelerator, self.total_steps, self.weighting = accelerator, total_steps, weighting
        self.output_dir = Path(arguments.run.output_dir)

    def settings(self) -> dict[str, Any]:
        """Return what must be the same for a checkpoint to be resumed."""
        options = {name: value for name, value in self.arguments.to_dict().items() if name not in FREE_OPTIONS}
        return {
            "stage": self.stage.name,
            "options": options,
            "processes": self.accelerator.num_processes,
            "total_steps": self.total_steps,
            "data": self.stage.data_fingerprint,
        }

    # restoring

    def restore(
        self, folders: list[Path], model: torch.nn.Module, optimizer: torch.optim.Optimizer
    ) -> Restored | None:
        """Load the newest readable checkpoint into the model.

        Args:
            folders: of the checkpoints, oldest first.
            model: before Accelerate has prepared it.
            optimizer: of its weights; only read, to check that the checkpoint fits.

        Raises:
            SignXError: If no checkpoint can be read, or it is of a run with other settings.
        """
        if not folders:
            return None
        content, choice = None, [None, None]
        if self.accelerator.is_main_process:  # one process chooses: two that read differently would resume apart
            try:
                content = self._read_newest(folders, model, optimizer)
                choice = [content[0].name, None]
            except SignXError as error:
                choice = [None, str(error)]
        name, problem = broadcast_object_list(choice)
        if problem:
            raise SignXError(problem)
        _, tensors, optimizer_state, state = content or self._read(self.output_dir / name, model, optimizer)
        load_weights(model, tensors["model"])
        if self.weighting is not None:
            self.weighting.restore(tensors, self.output_dir / name)
        if self.accelerator.scaler is not None and "scaler" in state:
            self.accelerator.scaler.load_state_dict(state["scaler"])
        progress = Progress(**state["progress"])
        if self.accelerator.is_main_process:
            progress.best = self.readable_best(model, progress).entries
        return Restored(progress, optimizer_state, tensors.get("ema"))

    def _read_newest(
        self, folders: list[Path], model: torch.nn.Module, optimizer: torch.optim.Optimizer
    ) -> tuple[Path, dict, dict, dict]:
        """Return the content of the newest undamaged checkpoint; warn about damaged ones, whose steps are repeated."""
        damaged: list[SignXDamagedError] = []
        for folder in reversed(folders):
            try:
                content = self._read(folder, model, optimizer)
            except SignXDamagedError as error:
                damaged.append(error)
                continue
            for error in damaged:
                warnings.warn(
                    f"{error.damage}. Resuming from {folder.name} and repeating the steps since then.",
                    SignXWarning,
                    stacklevel=2,
                )
            return content
        names = ", ".join(folder.name for folder in folders)
        raise SignXError(
            f"{damaged[0].damage}, and there is no undamaged checkpoint. Repair it, or move {names} away to start over."
        ) from damaged[0]

    def _read(
        self, folder: Path, model: torch.nn.Module, optimizer: torch.optim.Optimizer
    ) -> tuple[Path, dict, dict, dict]:
        """Return folder, tensors by file, the optimizer's state and `state.json`, checked to fit this run.

        Raises:
            SignXDamagedError: If the checkpoint is damaged.
            SignXError: If it is from a run with other settings.
        """
        tensors, optimizer_state, state = checkpoints.load_checkpoint(folder)
        self._check_settings(folder, state["settings"])
        checkpoints.check_tensors(folder, tensors, model, bool(self.options.ema_decay))
        checkpoints.check_optimizer(folder, optimizer_state, optimizer)
        if self.weighting is not None:
            copy.deepcopy(self.weighting).restore(tensors, folder)
        return folder, tensors, optimizer_state, state

    def _check_settings(self, folder: Path, saved: dict[str, Any]) -> None:
        current = json.loads(json.dumps(self.settings()))
        if isinstance(saved.get("options"), dict):  # a run that began before an option existed has its default
            new = {name: value for name, value in default_options().items() if name in current["options"]}
            saved = {**saved, "options": {**json.loads(json.dumps(new)), **saved["options"]}}
        different = next((name for name in current if current[name] != saved.get(name)), None)
        if different is None:
            return
        before, now = saved.get(different), current[different]
        if different == "options" and isinstance(before, dict):
            option = next(name for name in (*now, *before) if now.get(name) != before.get(name))
            before, now = f"{option}={before.get(option)!r}", f"{option}={now.get(option)!r}"
        raise SignXError(
            f"{folder} is from a run with other {different} ({before}, now {now}). Resume with the same, or start over in another output_dir."
        )

    def readable_best(self, model: torch.nn.Module, progress: Progress) -> BestWeights:
        """Return the best weights that can be read; warn about the others."""
        best = BestWeights(self.output_dir, self.options.average_best, progress.best)
        for path, reason in best.drop_damaged(model).items():
            left = ", ".join(entry["name"] for entry in best.entries) or "weights of later steps"
            warnings.warn(
                f"{path} is damaged ({reason}). It was among the best on dev; the final model is made from {left} instead.",
                SignXWarning,
                stacklevel=2,
            )
        return best

    # writing

    def write_run_info(self) -> None:
        """Write `run.json`: what it takes to repeat this run."""
        from ..doctor import versions_of  # the same list that `signx-hf doctor` shows

        content = {
            "command": [Path(sys.argv[0]).name, *sys.argv[1:]],
            "stage": self.stage.name,
            "options": self.arguments.to_dict(),
            "settings": self.settings(),
            "versions": versions_of(),
            "parameters": self.stage.parameter_counts(),
            "backbones": self.stage.backbones.notes(),
        }
        if self.stage.extension is not None:
            content["vocabulary"] = self.stage.extension.describe()
        self._write_json("run.json", content, ensure_ascii=False)

    def save(self, progress: Progress, weights: TrainedWeights, optimizer: torch.optim.Optimizer) -> None:
        """Write a checkpoint, and remove best weights that no checkpoint needs any more."""
        tensors, optimizer_state = weights.state(optimizer)
        if self.weighting is not None:
            tensors = {**tensors, WEIGHTING: self.weighting.state_dict()}
        if self.accelerator.is_main_process:
            state: dict[str, Any] = {"progress": vars(progress), "settings": self.settings()}
            if self.accelerator.scaler is not None:
                state["scaler"] = self.accelerator.scaler.state_dict()
            checkpoints.save_checkpoint(self.output_dir, progress.step, tensors, optimizer_state, state)
            checkpoints.remove_unused_best(self.output_dir, progress.best)
        self.accelerator.wait_for_everyone()

    def write_model(self, model: "PreTrainedModel", progress: Progress) -> None:
        """Write `model/` and `result.json`: the mean of the best weights, or the last weights where none were evaluated.

        Args:
            model: with the last weights.
            progress: of the finished run.
        """
        best = self.readable_best(model, progress)
        if best.entries:
            load_weights(model, best.mean())
        model.eval()
        self.stage.finish(model)

        def write(folder: Path) -> None:
            with quiet_transformers():
                model.save_pretrained(folder)
            self.stage.processor.save_pretrained(folder)

        checkpoints.write_folder(self.output_dir / "model", write)
        entries = [{**entry, "score": self.stage.metric_sign * entry["score"]} for entry in best.entries]
        result = {"measure": self.stage.best_metric, "best": entries, "steps": progress.step}
        self._write_json("result.json", result)

    def _write_json(self, name: str, content: dict[str, Any], ensure_ascii: bool = True) -> None:
        with checkpoints.replacing(self.output_dir / name) as tmp_path:
            tmp_path.write_text(json.dumps(content, indent=1, ensure_ascii=ensure_ascii), encoding="utf-8")


def load_weights(model: torch.nn.Module, tensors: dict[str, torch.Tensor]) -> None:
    """Load weights of a checkpoint, which holds tied weights once.

    Raises:
        SignXError: If they are not the model's.
    """
    missing, unexpected = model.load_state_dict(tensors, strict=False)
    tied = getattr(model, "_tied_weights_keys", None) or {}
    if unexpected or set(missing) - {*tied, *tied.values()}:
        names = sorted([*missing, *unexpected])[:3]
        raise SignXError(f"The weights of the checkpoint do not match the model: {names}. Start over.")
