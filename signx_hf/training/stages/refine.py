"""Stage 4, refinement: encoder and decoder over BPE pieces with CTC regularisation (SignX-4, section 3.2)."""

from collections.abc import Sequence
from typing import Any

import torch
from transformers import GenerationConfig

from ...modeling.configuration_signx import SignXConfig
from ...modeling.modeling_signx import SignXForGlossRecognition
from ...processing.errors_signx import SignXError
from ..examples import Example
from .base import WITH_RECOGNIZER
from .recognition import RecognitionStage


class Refine(RecognitionStage[SignXForGlossRecognition]):
    """Train on the cached features of stage 3, as in the paper, or on latents or inputs; evaluate by joint decoding, CTC alone
    and the decoder alone."""

    name = "refine"
    title = "Stage 4, refinement"
    upstream_stage = "latent_ctc"
    default_start = "features"
    defaults = {
        "learning_rate": 5e-4, "min_lr_ratio": 0.01, "warmup_ratio": 0.1, "weight_decay": 0.01, "max_grad_norm": 1.0,
        "num_train_epochs": 100, "eval_epochs": 5, "save_epochs": 5,
    }  # fmt: skip

    def make_model(self) -> SignXForGlossRecognition:
        if self.arguments.model.upstream:
            self._check_recognizer()
            return self.from_upstream(SignXForGlossRecognition)
        return SignXForGlossRecognition(self.config)

    def _check_recognizer(self) -> None:
        """Check that the recognizer is trained before its features are cached."""
        folder = self.upstream_folder()
        kind = (SignXConfig.from_pretrained(folder).architectures or ["SignXForLatentCTC"])[0]
        if self.start == "features" and kind not in WITH_RECOGNIZER:
            raise SignXError(
                f"{folder} is a {kind}, whose recognizer is untrained, but start is features. Pass a checkpoint of `signx-hf train latent_ctc`, "
                "or set start: latents to train the recognizer, too."
            )

    def used_options(self) -> set[str]:
        return {"teacher_forcing", *super().used_options()}

    def before_batch(
        self,
        model: SignXForGlossRecognition,
        batch: dict[str, torch.Tensor],
        ids: Sequence[str],
        step: int,
        total: int,
    ) -> dict[str, torch.Tensor]:
        return self.with_predicted_pieces(model, batch, ids, step, total)

    def targets(self, examples: Sequence[Example], inputs: dict[str, Any]) -> dict[str, Any]:
        targets: dict[str, Any] = self.gloss_targets(examples)
        if self.uses_alignment():
            targets |= self.alignment_targets(examples, inputs["frame_mask"])
        return targets

    def predict(self, model: Any, batch: dict[str, torch.Tensor]) -> list[tuple[list[str], ...]]:
        encoded = model.encode(**batch)
        options = self.arguments.model
        decoded = model.decode_ctc(encoded.ctc_logits, encoded.feature_mask, num_beams=options.num_beams)
        by_ctc = [self.processor.tokenizer.decode_ctc(hypotheses[0].ids) for hypotheses in decoded]
        length = model.config.text_config.max_length
        by_decoder = []
        for weight in (options.decode_ctc_weight, 0.0):
            ids = model.generate(
                encoder_outputs=encoded, num_beams=options.num_beams, ctc_weight=weight, max_length=length
            )
            by_decoder.append([text.split() for text in self.processor.batch_decode(ids, skip_special_tokens=True)])
        return list(zip(*by_decoder, by_ctc))

    def finish(self, model: SignXForGlossRecognition) -> None:
        """Save beams and CTC weight of the evaluation on dev in the generation config, which pipelines decode with."""
        super().finish(model)
        options = self.arguments.model
        values = model.generation_config.to_diff_dict()
        values.pop("_from_model_config", None)  # else transformers rebuilds it from the model's config on saving
        decoding = {"num_beams": options.num_beams, "ctc_weight": options.decode_ctc_weight}
        model.generation_config = GenerationConfig(**{**values, **decoding})

    def compute_metrics(self, predictions: list[tuple[list[str], ...]]) -> dict[str, float]:
        names = ("wer", "wer_decoder", "wer_ctc")
        return {
            name: self.error_rate([prediction[index] for prediction in predictions])
            for index, name in enumerate(names)
        }
