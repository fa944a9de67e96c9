"""Stage 3, the latent recognizer: CTC, auxiliary CTC, distillation from the RGB branch (SignX-4, section 3.2)."""

from collections.abc import Sequence
from typing import Any

import torch

from ...modeling.classification_signx import SignXForSignClassification
from ...modeling.modeling_signx import SignXForLatentCTC
from ...processing.errors_signx import SignXError
from ..decoding import DEFAULTS
from ..examples import Example
from ..upstream import model_folder
from .recognition import RecognitionStage


class LatentCTC(RecognitionStage[SignXForLatentCTC]):
    """Train the recognizer on cached latents of the previous stage or, with `start: inputs`, everything from poses or video."""

    name = "latent_ctc"
    title = "Stage 3, latent recognizer"
    upstream_stage = "pose2gloss"
    loss_parts = (*RecognitionStage.of_recognizer, *RecognitionStage.of_rgb_branch)
    exact_buffers = ("recognizer.compiler.keep",)
    defaults = {
        "learning_rate": 1e-3, "min_lr_ratio": 0.01, "warmup_ratio": 0.1, "weight_decay": 0.01, "max_grad_norm": 1.0,
        "num_train_epochs": 100, "eval_epochs": 2, "save_epochs": 2,
    }  # fmt: skip

    def check_options(self) -> None:
        if self.start == "features":
            raise SignXError(
                "`start` must be latents or inputs in stage 3, got features, which leave nothing to train. Remove it."
            )
        super().check_options()

    def make_model(self) -> SignXForLatentCTC:
        if self.arguments.model.upstream:
            return self.from_upstream(SignXForLatentCTC)
        model = SignXForLatentCTC(self.config)
        if self.arguments.model.body:
            self._take_body(model)
        return model

    def _take_body(self, model: SignXForLatentCTC) -> None:
        """Copy the pose path and the hybrid body of a model of isolated signs into the model.

        Raises:
            SignXError: If there is no such model, or its sizes differ.
        """
        source = self.arguments.model.body
        folder = model_folder("body", source, "Pass a model of `signx-hf train isolated`")
        theirs = SignXForSignClassification.from_pretrained(folder)
        if theirs.config.pooling != "hybrid" or self.config.recognizer_config.body != "hybrid":
            side = (
                f"{source} has pooling {theirs.config.pooling!r}"
                if theirs.config.pooling != "hybrid"
                else "the model has none"
            )
            raise SignXError(
                f"`body` must name a model of isolated signs with pooling 'hybrid', for a model with recognizer_config.body 'hybrid', got {source}: "
                f"{side}. Set recognizer_config: {{body: hybrid}} in model_config, or remove `body`."
            )
        taken = {f"model.{name}": value for name, value in theirs.model.state_dict().items()}
        prefix = "hybrid_pooling."
        taken |= {
            name.replace(prefix, "recognizer.temporal_conv."): value
            for name, value in theirs.state_dict().items()
            if name.startswith(prefix) and not name.startswith(f"{prefix}score")
        }
        current = model.state_dict()
        mismatch = next((n for n, v in taken.items() if n not in current or current[n].shape != v.shape), None)
        if mismatch:
            raise SignXError(
                f"`body` must have the sizes of the model, got {source} with another {mismatch}. Copy its pose_config and classifier_config."
            )
        model.load_state_dict(taken, strict=False)

    def targets(self, examples: Sequence[Example], inputs: dict[str, Any]) -> dict[str, Any]:
        targets: dict[str, Any] = {"ctc_labels": self.decoder_targets(examples)["ctc_labels"]}
        if self.uses_alignment():
            targets |= self.alignment_targets(examples, inputs["frame_mask"])
        return targets

    def used_options(self) -> set[str]:
        prunes = {"prune_epochs"} if self.start != "features" else set()
        prunes |= {"prune_below"} if self.arguments.run.prune_epochs else set()
        return super().used_options() | prunes | (set() if self.arguments.model.upstream else {"body"})

    def before_step(self, step: int, total: int) -> None:
        super().before_step(step, total)
        sharded = hasattr(next(self.model.parameters()), "full_tensor")
        if sharded and self.start == "inputs" and self.arguments.run.prune_epochs:
            raise SignXError(
                "`prune_epochs` needs the latents of all clips, which FSDP shards while they are trained. Set start: latents, or launch without "
                "FSDP."
            )

    def after_update(self, model: SignXForLatentCTC, step: int, steps_per_epoch: int) -> dict[str, float]:
        """Prune latent dimensions by their variance over all training clips, unaugmented, every `prune_epochs`."""
        epochs = self.arguments.run.prune_epochs
        if not epochs or step % max(1, round(epochs * steps_per_epoch)):
            return {}
        latents = torch.cat(self._training_latents(model))[None]
        mask = torch.ones(latents.shape[:2], dtype=torch.bool)
        share, threshold = self.arguments.run.prune_below, None
        if share is not None:  # latents leave a LayerNorm, so no variance is near 0: what is small is relative
            threshold = share * float(latents[0].var(0, unbiased=False).quantile(0.5))
        try:
            left = model.prune_latent_dimensions(latents, mask, threshold)
        except ValueError as error:
            raise SignXError(f"step {step}: {error} (model_config: recognizer_config)") from error
        return {"prune/dimensions_left": float(left)}

    def _training_latents(self, model: SignXForLatentCTC) -> list[torch.Tensor]:
        """Return the latents `[T, latent_size]` of each training clip, on the CPU: cached, or by the current latent path."""
        if self.start == "latents":
            return [torch.from_numpy(example.arrays["latents"]) for example in self.train_examples]
        latents, size = [], self.arguments.run.per_device_eval_batch_size
        model.eval()
        with torch.no_grad():
            for start in range(0, len(self.train_examples), size):
                batch = self.collate(self.train_examples[start : start + size], None)
                output = model.model(**{name: value.to(model.device) for name, value in batch.items()})
                lengths = output.frame_mask.sum(1).tolist()
                latents += [row[:n].float().cpu() for row, n in zip(output.last_hidden_state, lengths)]
        model.train()
        return latents

    def finish(self, model: SignXForLatentCTC) -> None:
        """Keep a dimension pruned that one of the averaged models had pruned."""
        keep = model.recognizer.compiler.keep
        keep.copy_(keep >= 1)

    def predict(self, model: Any, batch: dict[str, torch.Tensor]) -> list[tuple[list[str], ...]]:
        """Return glosses from all inputs and, where there is an RGB branch, from the latents alone."""
        outputs = [model.get_features(**batch)]
        if self.feeds_rgb:
            outputs.append(model.get_features(latents=outputs[0].latents, frame_mask=batch["frame_mask"]))
        glosses = []
        for output in outputs:
            decoded = model.decode_ctc(output.logits, output.feature_mask, num_beams=DEFAULTS["num_beams"])
            glosses.append([self.processor.tokenizer.decode_ctc(hypotheses[0].ids) for hypotheses in decoded])
        return list(zip(*glosses))

    def metric_names(self) -> list[str]:
        return ["wer", "wer_latent"]  # the second with an RGB branch

    def compute_metrics(self, predictions: list[tuple[list[str], ...]]) -> dict[str, float]:
        names = ("wer", "wer_latent")[: len(predictions[0])]
        return {
            name: self.error_rate([prediction[index] for prediction in predictions])
            for index, name in enumerate(names)
        }
