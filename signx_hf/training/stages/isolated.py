"""Isolated signs: pool the latents of a clip to one vector, and classify it."""

import json
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from huggingface_hub import hf_hub_download

from ...assets import check_place, model_place
from ...modeling.classification_signx import SignXForSignClassification
from ...modeling.configuration_signx import SignXConfig
from ...processing.errors_signx import SignXError, SignXWarning
from ..arguments import read_yaml
from ..examples import Example
from ..vocabulary import extend_signs, new_glosses, signs_of
from .base import Stage

if TYPE_CHECKING:
    from datasets import Dataset

# Defaults for new signs on a trained body of hands, with a few clips each: short training, with the augmentation it was trained with.
NEW_SIGNS: dict[str, Any] = {
    "dev_by": "gloss", "dev_share": 0.2, "optim": "muon", "learning_rate": 5e-4, "weight_decay": 0.05, "adam_beta2": 0.98,
    "num_train_epochs": 40, "per_device_train_batch_size": 16, "eval_epochs": 10, "save_epochs": 10, "ema_decay": 0.98, "bucket": 0,
    "num_workers": 0, "max_grad_norm": 2.0, "speed": 0.2, "time_warp": 0.45, "trim": 0.1, "rotation": 12, "turn": 16, "tilt": 16,
    "stretch": 0.15, "shear": 0.08, "proportions": 0.06, "shift": 0.06, "hand_shift": 0.025, "jitter": 0.003, "mirror": 0.5,
    "hand_mask": 0.2,
}  # fmt: skip


def _reads_signs_of_hands(upstream: str) -> bool:
    """Return True if the files of a checkpoint are of isolated signs on the track `hands`; False if they cannot be read."""
    place = model_place(upstream)
    try:
        check_place(place)
        name = "processor_config.json"
        path = Path(place) / name if Path(place).is_dir() else hf_hub_download(place, name)
        return json.loads(Path(path).read_bytes())["feature_extractor"].get("hand_steps") is not None
    except Exception:  # no such folder or name, no network, a damaged file: loading it reports what is wrong
        return False


class Isolated(Stage[SignXForSignClassification]):
    """Minimize the cross-entropy over signs; evaluate by the share of wrong clips, with top-1 and top-5 accuracy."""

    name = "isolated"
    title = "Isolated signs"
    metric_for_best_model = "error"
    defaults = {
        "dev_by": "gloss",  # holding out by sentence would hold out all clips of a sign
        "num_train_epochs": 60,
        "eval_epochs": 2,
        "save_epochs": 2,
        "learning_rate": 5e-4,
        "max_grad_norm": 1.0,
    }

    def check_rows(self, train: "Dataset", dev: "Dataset") -> None:
        for name, rows in (("train", train), ("dev", dev)):
            for clip, glosses in zip(rows["id"], rows["glosses"]):
                if len(glosses) != 1:
                    raise SignXError(
                        f"clip {clip} ({name}) must have one gloss for isolated signs, got {len(glosses)}. Remove it."
                    )
        self.signs = sorted({glosses[0] for glosses in train["glosses"]})
        self.known_signs: list[str] = []
        if self.arguments.model.extend_vocabulary:
            self.known_signs = signs_of(SignXConfig.from_pretrained(self.upstream_folder()))
            new_glosses(train, self.known_signs)  # names those that cannot be added
            self.signs = [*self.known_signs, *(sign for sign in self.signs if sign not in set(self.known_signs))]
        untrained = sorted({glosses[0] for glosses in dev["glosses"]} - set(self.signs))
        if len(self.signs) < 2 and untrained:
            raise SignXError(
                f"`train` must have clips of at least two signs, got '{self.signs[0]}' alone: all clips of {', '.join(untrained[:5])} are held "
                "out for evaluation. Set dev_by: gloss to hold out some clips of each sign, or add other signs."
            )
        if len(self.signs) < 2:
            raise SignXError(
                f"`train` must have clips of at least two signs, got '{self.signs[0]}' alone. Add at least one other sign."
            )
        if untrained:
            names = ", ".join(untrained[:5]) + ("..." if len(untrained) > 5 else "")
            lost = f"{len(untrained)} signs have all their clips in the dev split ({names}) and cannot be learned"
            if all(glosses[0] in untrained for glosses in dev["glosses"]):
                raise SignXError(
                    f"{lost}, and the dev split has no other signs. Record at least two clips of each sign."
                )
            warnings.warn(f"{lost}. Record at least two clips of each sign.", SignXWarning, stacklevel=2)

    @classmethod
    def defaults_for(cls, given: dict[str, Any]) -> dict[str, Any]:
        """Return the defaults for a new head on a trained body where `upstream` reads hands, else those of the stage."""
        upstream = given.get("upstream")
        if upstream is None and given.get("config"):
            upstream = read_yaml(given["config"]).get("upstream")
        return {**cls.defaults, **NEW_SIGNS} if upstream and _reads_signs_of_hands(str(upstream)) else cls.defaults

    def report(self, metrics: dict[str, float]) -> str:
        signers = {example.signer for example in (*self.train_examples, *self.dev_examples)}
        lines = [f"{len(self.signs)} signs from {len(self.train_examples)} clips"]
        if metrics:
            held_out = {example.id for example in self.dev_examples} - {example.id for example in self.train_examples}
            kind = "held-out clips" if held_out else "training clips, because none were held out"
            lines[0] += (
                f"; of {len(self.dev_examples)} {kind} {100 * metrics['top1']:.1f} % have the right sign first, {100 * metrics['top5']:.1f} % "
                "among the first five"
            )
        if signers == {None}:
            lines.append(
                "The signers are unknown, so accuracy for other people is unknown, too. Set loader option signer_from."
            )
        elif len(signers) == 1:
            lines.append(
                f"All clips are of one signer, {signers.pop()}: other people may be recognized less well. Record more signers."
            )
        return "\n".join(lines)

    def setup(self) -> None:
        super().setup()
        shown = {example.glosses[0] for example in self.train_examples}
        empty = sorted(set(self.signs) - shown - set(self.known_signs))
        if empty:
            raise SignXError(
                f"`train` must have a clip of every sign that can be read, got none of {', '.join(empty[:5])}. Record them again, or remove them."
            )
        if self.arguments.model.extend_vocabulary:
            new = self.signs[len(self.known_signs) :]
            self.extension = extend_signs(self.model, new, self._means(new) if new else torch.empty(0))
            self.extension.unseen = [sign for sign in self.known_signs if sign not in shown]
        elif sorted(self.model.config.label2id) != self.signs:
            self.model.set_signs(self.signs, self._means(self.signs))

    def _means(self, signs: list[str]) -> torch.Tensor:
        """Return the mean vectors `[signs, F]` of each sign's training clips."""
        number = {sign: index for index, sign in enumerate(signs)}
        clips = [example for example in self.train_examples if example.glosses[0] in number]
        vectors = torch.zeros(len(signs), self.model.norm.weight.shape[0])
        counts = torch.zeros(len(signs), 1)
        self.model.eval()
        size = self.arguments.run.per_device_eval_batch_size
        with torch.inference_mode():
            for start in range(0, len(clips), size):
                examples = clips[start : start + size]
                rows = torch.tensor([number[example.glosses[0]] for example in examples])
                vectors.index_add_(0, rows, self.model(**self.collate(examples, None)).embedding.float())
                counts.index_add_(0, rows, torch.ones(len(examples), 1))
        return vectors / counts

    def make_model(self) -> SignXForSignClassification:
        names = dict(enumerate(self.signs))
        if self.arguments.model.upstream:
            model = self.from_upstream(SignXForSignClassification)
        else:
            self.config.id2label, self.config.label2id = names, {name: index for index, name in names.items()}
            model = SignXForSignClassification(self.config)
        given = (self.arguments.model.model_config or {}).get("recognizer_config") or {}
        if given.get("dilations") and model.config.pooling != "convolution":
            raise SignXError(
                f"`model_config.recognizer_config.dilations` needs pooling: convolution, got {given['dilations']} with pooling "
                f"{model.config.pooling!r}. Remove it, or set pooling: convolution."
            )
        return model

    def used_options(self) -> set[str]:
        return {"track_dropout", "extend_vocabulary"}

    def targets(self, examples: Sequence[Example], inputs: dict[str, Any]) -> dict[str, torch.Tensor]:
        return {"labels": torch.tensor([self.model.config.label2id[example.glosses[0]] for example in examples])}

    def predict(self, model: Any, batch: dict[str, torch.Tensor]) -> list[list[str]]:
        names = model.config.id2label
        best = model(**batch).logits.topk(min(5, len(names))).indices.tolist()
        return [[names[index] for index in row] for row in best]

    def metric_names(self) -> list[str]:
        return ["error", "top1", "top5"]

    def compute_metrics(self, predictions: list[list[str]]) -> dict[str, float]:
        truth = [example.glosses[0] for example in self.dev_examples]
        top1 = sum(prediction[0] == sign for prediction, sign in zip(predictions, truth)) / len(truth)
        top5 = sum(sign in prediction for prediction, sign in zip(predictions, truth)) / len(truth)
        return {"error": 1 - top1, "top1": top1, "top5": top5}
