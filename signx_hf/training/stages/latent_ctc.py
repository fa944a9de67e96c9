"""Stage 3, the latent recogniser: CTC, auxiliary CTC, distillation from the RGB branch (SignX-4, section 3.2)."""

from collections.abc import Sequence
from typing import Any

import torch

from ...modeling.modeling_signx import SignXForLatentCTC
from ..examples import Example
from .recognition import RecognitionStage


class LatentCTC(RecognitionStage):
    """Trains on cached latents of the stage before, or, with `start: inputs`, everything from poses or video."""

    name = "latent_ctc"
    title = "Stage 3, latent recogniser"
    upstream_stage = "pose2gloss"
    defaults = {
        "learning_rate": 1e-3, "min_lr_ratio": 0.01, "warmup_ratio": 0.1, "weight_decay": 0.01, "max_grad_norm": 1.0,
        "num_train_epochs": 100, "eval_epochs": 2, "save_epochs": 2,
    }  # fmt: skip

    def make_model(self) -> Any:
        if self.arguments.model.upstream:
            return self.from_upstream(SignXForLatentCTC)
        return SignXForLatentCTC(self.config)

    def targets(self, examples: Sequence[Example], inputs: dict[str, Any]) -> dict[str, Any]:
        targets: dict[str, Any] = {"ctc_labels": self.gloss_targets(examples)["ctc_labels"]}
        if self.wants_alignment():
            targets |= self.alignment_targets(examples, inputs["frame_mask"])
        return targets

    def answer(self, model: Any, batch: dict[str, torch.Tensor]) -> list[list[str]]:
        output = model.get_features(**batch)
        found = model.decode_ctc(output.logits, output.feature_mask, num_beams=5)
        return [self.processor.tokenizer.decode_ctc(hypotheses[0].ids) for hypotheses in found]

    def measure(self, answers: list[list[str]]) -> dict[str, float]:
        return {"wer": self.error_rate(answers)}
