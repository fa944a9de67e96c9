"""Evaluation on the dev split: predictions over all processes, the best weights, and early stopping."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list, gather_object

from . import checkpoints
from .arguments import Arguments
from .checkpoints import Progress
from .logs import RunLog, plot_curves
from .weights import TrainedWeights

if TYPE_CHECKING:
    from .stages.base import Stage


class Evaluator:
    """Evaluate the weights of a run, keep the best of them, and count evaluations without improvement.

    Args:
        stage: that is trained, set up.
        arguments: of the run.
        accelerator: of the run.
        weights: that are evaluated.
        progress: of the run; the best weights and the count are noted there.
        log: of the run, in the main process.

    Attributes:
        best_metrics: metrics of the best weights that this process has evaluated; empty before.
    """

    def __init__(
        self,
        stage: "Stage",
        arguments: Arguments,
        accelerator: Accelerator,
        weights: TrainedWeights,
        progress: Progress,
        log: RunLog | None,
    ):
        self.stage, self.arguments, self.options = stage, arguments, arguments.run
        self.accelerator, self.weights, self.progress, self.log = accelerator, weights, progress, log
        self.output_dir = Path(arguments.run.output_dir)
        self.best_metrics: dict[str, float] = {}

    def run(self, epoch: float) -> bool:
        """Evaluate, log, and keep the weights if they are among the best. Return True if training is to stop early."""
        with self.weights.evaluated() as model:
            metrics = self.evaluate(model)
            if self.log is not None:
                self.log.write(self.progress.step, epoch, {f"dev/{name}": value for name, value in metrics.items()})
                self._keep_if_best(model, metrics)
                if self.options.plot:
                    title = f"{self.stage.title}: {self.arguments.data.dataset}"
                    plot_curves(self.log, self.output_dir / "curves.png", title)
        return broadcast_object_list([self.patience_is_exhausted()])[0]

    def evaluate(self, model: torch.nn.Module) -> dict[str, float]:
        """Return the stage's metrics on the dev clips, the same for any number of processes and any batch size."""
        predictions = dict(self._gathered(self._predict(model)))
        return self.stage.compute_metrics([predictions[index] for index in range(len(self.stage.dev_examples))])

    def patience_is_exhausted(self) -> bool:
        """Return True if as many evaluations in a row brought no improvement as `patience` allows."""
        return bool(self.options.patience and self.progress.evals_without_improvement >= self.options.patience)

    def _predict(self, model: torch.nn.Module) -> list[tuple[int, Any]]:
        """Return index and prediction of the dev clips that fall to this process, longest first."""
        model.eval()
        examples = self.stage.dev_examples
        order = sorted(range(len(examples)), key=lambda index: (-examples[index].length, index))
        shard = order[self.accelerator.process_index :: self.accelerator.num_processes]
        size = self.options.per_device_eval_batch_size
        predictions: list[tuple[int, Any]] = []
        with torch.inference_mode():
            for start in range(0, len(shard), size):
                indices = shard[start : start + size]
                batch = self.stage.collate([examples[index] for index in indices], None)
                batch = {name: value.to(self.accelerator.device) for name, value in batch.items()}
                predictions += zip(indices, self.stage.predict(model, batch))
        return predictions

    def _gathered(self, predictions: list[tuple[int, Any]]) -> list[tuple[int, Any]]:
        return gather_object(predictions) if self.accelerator.num_processes > 1 else predictions

    def _keep_if_best(self, model: torch.nn.Module, metrics: dict[str, float]) -> None:
        progress = self.progress
        best = checkpoints.BestWeights(self.output_dir, self.options.average_best, progress.best)
        improved = best.offer(self.stage.best_score(metrics), progress.step, model.state_dict())
        progress.best = best.entries
        progress.evals_without_improvement = 0 if improved else progress.evals_without_improvement + 1
        if improved or not self.best_metrics:
            self.best_metrics = metrics
