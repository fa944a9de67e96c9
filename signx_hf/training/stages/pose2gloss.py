"""Stage 1, Pose2Gloss: from poses to latents to pieces, by the codebook decoder (SignX-4, section 3.1)."""

from collections.abc import Sequence
from typing import Any

import torch

from ...modeling.modeling_signx import SignXForPose2Gloss
from ..decoding import dev_decoding, saved_decoding
from ..examples import Example
from ..targets import TASKS, dev_metrics, names_of_metrics
from .base import Stage


class Pose2Gloss(Stage[SignXForPose2Gloss]):
    """Train with the text, word-match, n-gram and contrastive losses of SignX-1, without noise; evaluate by greedy decoding."""

    name = "pose2gloss"
    title = "Stage 1, Pose2Gloss"
    decodes = True
    loss_parts = ("text", "word", "ngram", "contrast")
    defaults = {
        "learning_rate": 1e-3, "min_lr_ratio": 0.05, "warmup_ratio": 0.05, "weight_decay": 0.01, "max_grad_norm": 7.0,
        "gradient_accumulation_steps": 4, "num_train_epochs": 500, "eval_epochs": 10, "save_epochs": 10,
    }  # fmt: skip

    def make_model(self) -> SignXForPose2Gloss:
        if self.arguments.model.upstream:
            return self.from_upstream(SignXForPose2Gloss)
        return SignXForPose2Gloss(self.config)

    def used_options(self) -> set[str]:
        return {"teacher_forcing", "loss_weighting", "track_dropout", "vision_weights", *super().used_options()}

    def before_batch(
        self, model: SignXForPose2Gloss, batch: dict[str, torch.Tensor], ids: Sequence[str], step: int, total: int
    ) -> dict[str, torch.Tensor]:
        return self.with_predicted_pieces(model, batch, ids, step, total)

    def targets(self, examples: Sequence[Example], inputs: dict[str, Any]) -> dict[str, torch.Tensor]:
        return self.decoder_targets(examples, ctc=False)

    def predict(self, model: SignXForPose2Gloss, batch: dict[str, Any]) -> list[dict[str, Any]]:
        """Return the decoded sentence of each task, by task."""
        decoded, saved = {}, saved_decoding(model, num_beams=1)
        for task in TASKS[self.target]:
            config = dev_decoding(saved, self.processor.tokenizer, task)
            texts = self.processor.batch_decode(
                model.generate(**batch, generation_config=config), skip_special_tokens=True
            )
            decoded[task] = [text.split() if task == "gloss" else text for text in texts]
        return [dict(zip(decoded, row)) for row in zip(*decoded.values())]

    def finish(self, model: SignXForPose2Gloss) -> None:
        """Save the decoding of the evaluation on dev in the generation config."""
        super().finish(model)
        model.generation_config = saved_decoding(model, num_beams=1)

    def metric_names(self) -> list[str]:
        return names_of_metrics(self.target)

    def compute_metrics(self, predictions: list[dict[str, Any]]) -> dict[str, float]:
        by_task = {task: [prediction[task] for prediction in predictions] for task in TASKS[self.target]}
        return dev_metrics(by_task, self.dev_examples, self.processor)
