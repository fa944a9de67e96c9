"""The training loop, in numbered steps, over Accelerate. A stage (`stages/`) defines what is trained, this file how.

Exact resumption rests on one rule: everything random is a pure function of seed and position. The order of clips comes from
(seed, epoch), augmentation from (seed, epoch, clip), dropout from (seed, step, batch, process). A checkpoint therefore holds
weights, optimizer, moving average and counters, and no state of any generator.
"""

import contextlib
import math
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list

from ..common import atomic_io
from ..common.messages import say
from ..common.progress import progress as show_progress
from ..processing.errors_signx import SignXError
from . import checkpoints
from .arguments import Arguments, RunArguments, default_options
from .batching import Batch, load_batches, remaining_steps
from .checkpoints import Progress
from .distributed import (
    any_process,
    batch_shares,
    gather_full,
    is_sharded,
    make_accelerator,
    mean_over_processes,
    prepare,
    sync_gradients,
)
from .evaluator import Evaluator
from .folder import acquire_folder, discard_if_unused
from .logs import RunLog
from .loss_weighting import LearnedWeighting, make_weighting
from .objective import apply_loss_weights, counts, losses_of, total, unit_of, weight_of
from .optimizers import make_optimizer
from .saving import FREE_OPTIONS, Restored, RunSaver
from .schedules import StepPlan, learning_rate_factor, scheduled
from .weights import TrainedWeights, copy_if_sharded

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from .stages.base import Stage


class TrainingRun:
    """One run of one stage, from an empty or resumed folder to the final model.

    Args:
        stage: that is trained, not yet set up.
        arguments: all options.

    Attributes:
        progress: where the run is.
        best_metrics: metrics on dev of the best weights that this process has evaluated.

    Raises:
        SignXError: If this kind of launch cannot train.
    """

    def __init__(self, stage: "Stage", arguments: Arguments):
        self.stage, self.arguments, self.options = stage, arguments, arguments.run
        self.output_dir = Path(arguments.run.output_dir)
        self.accelerator = make_accelerator(self.options)
        self.progress = Progress()
        self.best_metrics: dict[str, float] = {}

    def train(self) -> Path:
        """Run the stage to its end and return the folder of the model.

        Raises:
            SignXError: If training stops. Everything saved before is kept, and the message says how to resume.
        """
        is_new = not self.output_dir.exists()
        try:
            return self._train_locked()
        except (SignXError, ImportError):
            if is_new and self.accelerator.is_main_process:
                discard_if_unused(self.output_dir)
            raise

    def _train_locked(self) -> Path:
        with contextlib.ExitStack() as locks:
            try:
                return self._train(locks)
            except SignXError:
                raise
            except OSError as error:  # of the log, curves and caches; checkpoints report their own
                path = error.filename or self.output_dir
                raise SignXError(
                    f"step {self.progress.step}: {path}: {atomic_io.write_error_reason(error)}. Everything saved before is intact: "
                    f"{atomic_io.remedy_for(error, checkpoints.RESUME)}."
                ) from error

    def _train(self, locks: contextlib.ExitStack) -> Path:
        # 1. Acquire the output folder.
        torch.manual_seed(self.options.seed)
        saved = self._acquire_folder(locks)
        self._go_on_as_it_began(saved)
        # 2. Read the data, and build processor and model.
        self.stage.setup()
        self.stage.note_tracks()
        model = self.stage.model
        apply_loss_weights(model.config, self.options.loss_weights)
        # 3. Build the optimizer and count the steps.
        parts, sharded = tuple(self.stage.computed_parts()), is_sharded(self.accelerator)
        weighting = make_weighting(self.options.loss_weighting, parts, self.accelerator, sharded)
        optimizer = make_optimizer(model, self.options, list(weighting.parameters()) if weighting else [])
        plan = StepPlan.of(len(self.stage.train_examples), self.accelerator.num_processes, self.options)
        # 4. Restore the newest checkpoint.
        saver = RunSaver(self.stage, self.arguments, self.accelerator, plan.total_steps, weighting)
        restored = saver.restore(saved, model, optimizer)
        if restored:
            self.progress = restored.progress
        # 5. Hand model and optimizer to Accelerate.
        weights, optimizer = self._prepare(model, optimizer, restored)
        # 6. Train, evaluate and save.
        log = None
        if self.accelerator.is_main_process:
            log = RunLog(self.output_dir, self.options.tensorboard, self.progress.step if restored else None)
            saver.write_run_info()
            for line in self.stage.extension.lines() if self.stage.extension else ():
                say(line, "train")
        evaluator = Evaluator(self.stage, self.arguments, self.accelerator, weights, self.progress, log)
        TrainingLoop(
            self.stage, self.options, self.accelerator, weights, optimizer, plan, self.progress, evaluator, saver, log,
            weighting,
        ).run()  # fmt: skip
        self.best_metrics = evaluator.best_metrics
        # 7. Write the final model.
        with weights.evaluated() as last:
            if log is not None:
                saver.write_model(last, self.progress)
                log.close()
        self.accelerator.wait_for_everyone()
        self.accelerator.end_training()
        return self.output_dir / "model"

    def _acquire_folder(self, locks: contextlib.ExitStack) -> list[Path]:
        """Lock the folder, and return the checkpoints to resume from, oldest first; none for a new run."""
        problem: list[str | None] = [None]
        if self.accelerator.is_main_process:
            try:
                acquire_folder(self.output_dir, self.options.resume, locks)
            except SignXError as error:
                problem = [str(error)]
        (message,) = broadcast_object_list(problem)
        if message:
            raise SignXError(message)
        return checkpoints.list_checkpoints(self.output_dir)

    def _go_on_as_it_began(self, saved: list[Path]) -> None:
        """Give options that are newer than the run their general defaults, which do what was done before there was a choice.

        The defaults of a stage may be better ones, for new runs.

        Args:
            saved: checkpoints of the run, oldest first.
        """
        options: Any = None
        for folder in saved:
            with contextlib.suppress(OSError, ValueError):  # to restore the checkpoint reports it
                options = checkpoints.read_state(folder)["settings"].get("options")
        if not isinstance(options, dict):
            return
        general = default_options()
        for name in self.stage.defaults.keys() - options.keys() - set(FREE_OPTIONS):
            for group in vars(self.arguments).values():
                if hasattr(group, name):
                    setattr(group, name, general[name])

    def _prepare(
        self, model: "PreTrainedModel", optimizer: torch.optim.Optimizer, restored: Restored | None
    ) -> tuple[TrainedWeights, torch.optim.Optimizer]:
        if is_sharded(self.accelerator) and self.options.optim == "muon":  # it orthogonalizes full matrices
            raise SignXError(
                "`optim` must be adamw where weights are sharded, got muon. Leave it out, or train unsharded."
            )
        full_copy = copy_if_sharded(self.accelerator, model)
        prepared, optimizer = prepare(self.accelerator, model, optimizer, restored.optimizer if restored else None)
        average = restored.average if restored else None
        weights = TrainedWeights(
            self.accelerator, prepared, full_copy, self.options.ema_decay, self.stage.exact_buffers, average
        )
        return weights, optimizer


@dataclass
class TrainingLoop:
    """The optimizer steps of a run, from where it is to the last; all parts are ready."""

    stage: "Stage"
    options: RunArguments
    accelerator: Accelerator
    weights: TrainedWeights
    optimizer: torch.optim.Optimizer
    plan: StepPlan
    progress: Progress
    evaluator: Evaluator
    saver: RunSaver
    log: RunLog | None
    weighting: LearnedWeighting | None = None

    def run(self) -> None:
        """Take all remaining steps, or fewer where `patience` is exhausted."""
        progress, plan = self.progress, self.plan
        remaining = plan.total_steps - progress.step
        if self.evaluator.patience_is_exhausted():  # killed after it had stopped early
            remaining = 0
        lengths = [example.length for example in self.stage.train_examples]
        position = (lengths, plan.batch_size, self.options, (progress.epoch, progress.batch), remaining)
        batches = load_batches(self.stage, self.options, self.accelerator, remaining_steps(*position))
        shown = self.options.progress and self.accelerator.is_main_process
        self.weights.model.train()
        with show_progress(
            total=plan.total_steps, initial=progress.step, desc=self.stage.name, unit="step", show=shown
        ) as bar:
            for epoch, index, group in remaining_steps(*position):
                metrics = self._step([next(batches) for _ in group])
                progress.epoch, progress.batch = epoch, index + 1
                bar.update()
                if self._after_step(metrics, bar):
                    break

    def _step(self, batches: list[Batch]) -> dict[str, float]:
        """Take one optimizer step over the batches of its accumulation and return the metrics for the log."""
        step, options = self.progress.step, self.options
        # 1. Learning rate and what the stage schedules.
        factor = learning_rate_factor(step, self.plan.total_steps, self.plan.warmup_steps, options.min_lr_ratio)
        for group in self.optimizer.param_groups:
            group["lr"] = options.learning_rate * factor
        if not self.weights.unwrapped.training:  # after an evaluation; to set the mode walks all modules
            self.weights.model.train()
        self.stage.before_step(step, self.plan.total_steps)
        # 2. Gradients.
        metrics: dict[str, float] = {}
        for index, (ids, batch) in enumerate(batches):
            for name, value in self._backward(index, len(batches), ids, batch).items():
                metrics[f"train/{name}"] = metrics.get(f"train/{name}", 0.0) + value
        if self.weighting is not None:
            self.weighting.sync(self.accelerator)
        norm = self.accelerator.clip_grad_norm_(self.weights.parameters, options.max_grad_norm or math.inf)
        norm = float(gather_full(norm))
        if not math.isfinite(norm) and options.mixed_precision != "fp16":  # the scaler of fp16 skips such steps itself
            raise self._not_finite("gradient", [clip for ids, _ in batches for clip in ids])
        # 3. Update of weights, of what the stage changes itself, and of the average.
        self.optimizer.step()
        self.optimizer.zero_grad()
        metrics |= self.stage.after_update(self.weights.unwrapped, step + 1, self.plan.steps_per_epoch)
        self.weights.update_average(step)
        metrics |= self.weighting.metrics() if self.weighting is not None else {}
        self.progress.step += 1
        metrics |= {"train/grad_norm": norm, "train/learning_rate": options.learning_rate * factor}
        return mean_over_processes(self.accelerator, metrics)

    def _backward(
        self, index: int, accumulated: int, ids: list[str], batch: dict[str, torch.Tensor]
    ) -> dict[str, float]:
        """Add the gradients of one batch of an accumulation and return its share of the losses."""
        step, total_steps, model = self.progress.step, self.plan.total_steps, self.weights.model
        on_cpu = batch
        batch = {name: value.to(self.accelerator.device, non_blocking=True) for name, value in batch.items()}
        with self.accelerator.autocast():
            batch = self.stage.before_batch(self.weights.unwrapped, batch, ids, step, total_steps)
        torch.manual_seed(self._dropout_seed(index))
        with sync_gradients(self.accelerator, model, last=index + 1 == accumulated):
            try:
                self.stage.model.check_labels(on_cpu)  # on a GPU, forward does not: it would have to wait for it
                with self.accelerator.autocast():
                    output = model(**batch)
            except ValueError as error:  # the model calls clips by their place in the batch
                raise SignXError(
                    f"step {step}: {' '.join(str(error).split())}. The clips of the batch are {', '.join(ids)}. Check them with "
                    "`signx-hf data check`, and remove or cut what is too short or too long."
                ) from error
            parts = losses_of(output)
            shares = batch_shares(self.accelerator, counts(batch, output))
            loss = (total if self.weighting is None else self.weighting)(parts, self._loss_weights(parts), shares)
            self._check_finite(loss, parts, ids)
            # Accelerate divides by its own gradient_accumulation_steps, which the last group of an epoch may not fill.
            self.accelerator.backward(loss * self.options.gradient_accumulation_steps / accumulated)
        return {name: value.item() * shares.get(unit_of(name), 1.0) / accumulated for name, value in parts.items()}

    def _dropout_seed(self, index: int) -> int:
        text = f"{self.options.seed} {self.progress.step} {index} {self.accelerator.process_index}"
        return zlib.crc32(text.encode()) + (self.options.seed << 32)

    def _loss_weights(self, parts: dict[str, torch.Tensor]) -> dict[str, float]:
        """Return the weights of the parts of the loss at this step."""
        config = self.weights.unwrapped.config
        current = {name: weight_of(config, name) for name in parts}
        for name, (first, last) in self.options.loss_schedules.items():
            if name in current:
                current[name] = scheduled(first, last, self.progress.step, self.plan.total_steps)
        return current

    def _check_finite(self, loss: torch.Tensor, parts: dict[str, torch.Tensor], ids: list[str]) -> None:
        """Stop all processes together if the loss of one is not finite: those left would wait forever."""
        finite = bool(torch.isfinite(loss))
        if any_process(self.accelerator, not finite):
            names = [name for name, value in parts.items() if not bool(torch.isfinite(value))]
            raise self._not_finite("another process" if finite else ", ".join(names), ids)

    def _not_finite(self, what: str, ids: list[str]) -> SignXError:
        saved = checkpoints.list_checkpoints(self.saver.output_dir)
        kept = f"{saved[-1].name} is intact" if saved else "nothing was saved yet"
        return SignXError(
            f"step {self.progress.step}: not a finite number ({what}) in the batch of clips {', '.join(ids)}; {kept}. Check these clips with "
            "`signx-hf data check`, or lower learning_rate."
        )

    def _after_step(self, metrics: dict[str, float], bar: Any) -> bool:
        """Log, evaluate and save. Return True if training is over."""
        step, plan = self.progress.step, self.plan
        epoch = step / plan.steps_per_epoch
        if self.log is not None:
            self.log.write(step, epoch, metrics)
            names = [name for name in metrics if name not in ("train/grad_norm", "train/learning_rate")][:3]
            bar.set_postfix({name[6:]: f"{metrics[name]:.3g}" for name in names}, refresh=False)
        stop = plan.due(plan.eval_steps, step) and self.evaluator.run(epoch)
        if plan.due(plan.save_steps, step, stop):
            self.saver.save(self.progress, self.weights, self.optimizer)
        return stop or step >= plan.total_steps
