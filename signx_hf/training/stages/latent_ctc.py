"""Stage 3, the latent recogniser: CTC, auxiliary CTC, distillation from the RGB branch (SignX-4, section 3.2)."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from ...assets import model_place
from ...modeling.classification_signx import SignXForSignClassification
from ...modeling.modeling_signx import SignXForLatentCTC
from ...processing.errors_signx import SignXError
from ..examples import Example
from .recognition import RecognitionStage


class LatentCTC(RecognitionStage):
    """Trains on cached latents of the stage before, or, with `start: inputs`, everything from poses or video."""

    name = "latent_ctc"
    title = "Stage 3, latent recogniser"
    upstream_stage = "pose2gloss"
    exact_buffers = ("recognizer.compiler.keep",)
    defaults = {
        "learning_rate": 1e-3, "min_lr_ratio": 0.01, "warmup_ratio": 0.1, "weight_decay": 0.01, "max_grad_norm": 1.0,
        "num_train_epochs": 100, "eval_epochs": 2, "save_epochs": 2,
    }  # fmt: skip

    def check_options(self) -> None:
        if self.start == "features":
            raise SignXError(
                "option start is features, but of them nothing is left to learn in stage 3; wanted latents or inputs; leave it out"
            )
        super().check_options()

    def make_model(self) -> Any:
        if self.arguments.model.upstream:
            return self.from_upstream(SignXForLatentCTC)
        model = SignXForLatentCTC(self.config)
        if self.arguments.model.body:
            self._take_body(model)
        return model

    def _take_body(self, model: SignXForLatentCTC) -> None:
        """Puts the pose path and the hybrid body of a model of isolated signs into the model.

        Raises:
            SignXError: no such model, or one of another shape.
        """
        source = self.arguments.model.body
        place = Path(model_place(source)).expanduser()
        place = place / "model" if (place / "model" / "config.json").is_file() else place
        theirs = SignXForSignClassification.from_pretrained(place if place.is_dir() else source)
        if theirs.config.pooling != "hybrid" or self.config.recognizer_config.body != "hybrid":
            side = (
                f"{source} has pooling {theirs.config.pooling!r}"
                if theirs.config.pooling != "hybrid"
                else "the model has none"
            )
            raise SignXError(
                f"`body` must name a model of isolated signs with pooling 'hybrid', for a model with recognizer_config.body 'hybrid', got {source}: "
                f"{side}. Set recognizer_config: {{body: hybrid}} in model_config, or leave it out."
            )
        taken = {f"model.{name}": value for name, value in theirs.model.state_dict().items()}
        prefix = "hybrid_pooling."
        taken |= {
            name.replace(prefix, "recognizer.temporal_conv."): value
            for name, value in theirs.state_dict().items()
            if name.startswith(prefix) and not name.startswith(f"{prefix}score")
        }
        own = model.state_dict()
        misfit = next((n for n, v in taken.items() if n not in own or own[n].shape != v.shape), None)
        if misfit:
            raise SignXError(
                f"`body` must have the sizes of the model, got {source} with another {misfit}. Take over its pose_config and classifier_config."
            )
        model.load_state_dict(taken, strict=False)

    def targets(self, examples: Sequence[Example], inputs: dict[str, Any]) -> dict[str, Any]:
        targets: dict[str, Any] = {"ctc_labels": self.gloss_targets(examples)["ctc_labels"]}
        if self.wants_alignment():
            targets |= self.alignment_targets(examples, inputs["frame_mask"])
        return targets

    def used_options(self) -> set[str]:
        own = set() if self.start == "features" else {"prune_epochs"}
        return super().used_options() | own | (set() if self.arguments.model.upstream else {"body"})

    def before_step(self, step: int, total: int) -> None:
        super().before_step(step, total)
        sharded = hasattr(next(self.model.parameters()), "full_tensor")
        if sharded and self.start == "inputs" and self.arguments.run.prune_epochs:
            raise SignXError(
                "option prune_epochs needs the latents of all clips, which FSDP spreads while they learn; wanted start: latents, or a "
                "launch without FSDP"
            )

    def after_update(self, model: Any, step: int, steps_per_epoch: int) -> dict[str, float]:
        """Every `prune_epochs`: variance pruning over all training clips, as they are without augmentation."""
        epochs = self.arguments.run.prune_epochs
        if not epochs or step % max(1, round(epochs * steps_per_epoch)):
            return {}
        latents = torch.cat(self._training_latents(model))[None]
        mask = torch.ones(latents.shape[:2], dtype=torch.bool)
        try:
            left = model.prune_latent_dimensions(latents, mask)
        except ValueError as error:
            raise SignXError(f"step {step}: {error} (model_config: recognizer_config)") from error
        return {"prune/dimensions_left": float(left)}

    def _training_latents(self, model: Any) -> list[torch.Tensor]:
        """`[T, 2048]` of each training clip, on the CPU: from the cache, or by the latent path as it is now."""
        if self.start == "latents":
            return [torch.from_numpy(example.arrays["latents"]) for example in self.train_examples]
        found, size = [], self.arguments.run.per_device_eval_batch_size
        model.eval()
        with torch.no_grad():
            for start in range(0, len(self.train_examples), size):
                batch = self.collate(self.train_examples[start : start + size], None)
                output = model.model(**{name: value.to(model.device) for name, value in batch.items()})
                lengths = output.frame_mask.sum(1).tolist()
                found += [row[:n].float().cpu() for row, n in zip(output.last_hidden_state, lengths)]
        model.train()
        return found

    def finish(self, model: Any) -> None:
        """A dimension that one of the averaged models had pruned stays pruned."""
        keep = model.recognizer.compiler.keep
        keep.copy_(keep >= 1)

    def predict(self, model: Any, batch: dict[str, torch.Tensor]) -> list[tuple[list[str], ...]]:
        """Glosses from all inputs, and beside them from the latents alone where there is an RGB branch."""
        outputs = [model.get_features(**batch)]
        if self.feeds_rgb:
            outputs.append(model.get_features(latents=outputs[0].latents, frame_mask=batch["frame_mask"]))
        sides = []
        for output in outputs:
            found = model.decode_ctc(output.logits, output.feature_mask, num_beams=5)
            sides.append([self.processor.tokenizer.decode_ctc(hypotheses[0].ids) for hypotheses in found])
        return list(zip(*sides))

    def compute_metrics(self, predictions: list[tuple[list[str], ...]]) -> dict[str, float]:
        names = ("wer", "wer_latent")[: len(predictions[0])]
        return {
            name: self.error_rate([prediction[index] for prediction in predictions])
            for index, name in enumerate(names)
        }
