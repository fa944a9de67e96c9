"""Stage 4, refinement: encoder and decoder over BPE pieces with CTC regularisation (SignX-4, section 3.2)."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch

from ...modeling.configuration_signx import SignXConfig
from ...modeling.modeling_signx import SignXForGlossRecognition
from ...processing.errors_signx import SignXError
from ..decoding import dev_decoding, saved_decoding
from ..examples import Example
from ..targets import TASKS, dev_metrics, names_of_metrics
from .base import WITH_RECOGNIZER
from .recognition import RecognitionStage

if TYPE_CHECKING:
    from transformers import GenerationConfig


class Refine(RecognitionStage[SignXForGlossRecognition]):
    """Train on the cached features of stage 3, as in the paper, or on latents or inputs; evaluate by joint decoding, CTC alone
    and the decoder alone."""

    name = "refine"
    title = "Stage 4, refinement"
    decodes = True
    loss_parts = ("text", "encoder_ctc", *RecognitionStage.of_recognizer)
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
        targets: dict[str, Any] = self.decoder_targets(examples)
        if self.uses_alignment():
            targets |= self.alignment_targets(examples, inputs["frame_mask"])
        return targets

    def predict(self, model: Any, batch: dict[str, torch.Tensor]) -> list[dict[str, Any]]:
        """Return what is decoded from one pass of the encoder: `gloss` jointly, by the `decoder` alone and by `ctc`; and `text`."""
        encoded = model.encode(**batch)
        decoded: dict[str, Sequence[Any]] = {}
        if self.target != "text":
            decoded |= zip(("gloss", "decoder", "ctc"), self._glosses(model, encoded))
        if self.target != "glosses":
            config = dev_decoding(self._saved_decoding(model), self.processor.tokenizer, "text")
            ids = model.generate(encoder_outputs=encoded, generation_config=config)
            decoded["text"] = self.processor.batch_decode(ids, skip_special_tokens=True)
        return [dict(zip(decoded, row)) for row in zip(*decoded.values())]

    def _glosses(self, model: Any, encoded: Any) -> tuple[list[list[str]], ...]:
        """Return the glosses of each clip by joint decoding, by the decoder alone and by CTC alone."""
        tokenizer = self.processor.tokenizer
        config: Any = dev_decoding(self._saved_decoding(model), tokenizer)
        decoded = model.decode_ctc(
            encoded.ctc_logits, encoded.feature_mask, num_beams=config.num_beams, generation_config=config
        )
        by_ctc = [tokenizer.decode_ctc(hypotheses[0].ids) for hypotheses in decoded]
        by_decoder = []
        for weight in (config.ctc_weight, 0.0):
            config.ctc_weight = weight
            ids = model.generate(encoder_outputs=encoded, generation_config=config)
            sentences = self.processor.batch_decode(ids, skip_special_tokens=True)
            by_decoder.append([tokenizer.split_glosses(sentence) for sentence in sentences])
        return (*by_decoder, by_ctc)

    def _saved_decoding(self, model: SignXForGlossRecognition) -> "GenerationConfig":
        options = self.arguments.model
        return saved_decoding(model, options.num_beams, 0.0 if self.target == "text" else options.decode_ctc_weight)

    def finish(self, model: SignXForGlossRecognition) -> None:
        """Save the decoding of the evaluation on dev in the generation config, which pipelines decode with."""
        super().finish(model)
        model.generation_config = self._saved_decoding(model)

    def metric_names(self) -> list[str]:
        return [*names_of_metrics(self.target), *(() if self.target == "text" else ("wer_decoder", "wer_ctc"))]

    def compute_metrics(self, predictions: list[dict[str, Any]]) -> dict[str, float]:
        by_task = {task: [prediction[task] for prediction in predictions] for task in TASKS[self.target]}
        metrics = dev_metrics(by_task, self.dev_examples, self.processor)
        for way in ("decoder", "ctc") if self.target != "text" else ():
            hypotheses = {"gloss": [prediction[way] for prediction in predictions]}
            metrics[f"wer_{way}"] = dev_metrics(hypotheses, self.dev_examples, self.processor)["wer"]
        return metrics
