"""Isolated signs: the latents of a clip, in one vector, to one sign."""

import warnings
from collections.abc import Sequence
from typing import Any

import torch

from ...modeling.classification_signx import SignXForSignClassification
from ...processing.errors_signx import SignXError, SignXWarning
from ..examples import Example
from .base import Stage


class Isolated(Stage):
    """Cross-entropy over signs. Measured by the share of wrong clips (top-1 and top-5 accuracy beside it)."""

    name = "isolated"
    title = "Isolated signs"
    score = "error"
    defaults = {
        "num_train_epochs": 60,
        "eval_epochs": 2,
        "save_epochs": 2,
        "learning_rate": 5e-4,
        "max_grad_norm": 1.0,
    }

    def check_rows(self, train: Any, dev: Any) -> None:
        for name, rows in (("train", train), ("dev", dev)):
            for clip, glosses in zip(rows["id"], rows["glosses"]):
                if len(glosses) != 1:
                    raise SignXError(
                        f"clip {clip} ({name}) has {len(glosses)} glosses; wanted one for isolated signs; leave it out"
                    )
        self.signs = sorted({glosses[0] for glosses in train["glosses"]})
        if len(self.signs) < 2:
            raise SignXError(
                f"`train` must have clips of at least two signs, got '{self.signs[0]}' alone. Add at least one other sign."
            )
        untrained = sorted({glosses[0] for glosses in dev["glosses"]} - set(self.signs))
        if untrained:
            names = ", ".join(untrained[:5]) + ("..." if len(untrained) > 5 else "")
            lost = f"{len(untrained)} signs have all their clips in the split that is measured on ({names}) and cannot be learned"
            if all(glosses[0] in untrained for glosses in dev["glosses"]):
                raise SignXError(f"{lost}, and nothing else is measured. Record at least two clips of each sign.")
            warnings.warn(f"{lost}. Record at least two clips of each sign.", SignXWarning, stacklevel=2)

    def setup(self) -> None:
        super().setup()
        empty = sorted(set(self.signs) - {example.glosses[0] for example in self.train_examples})
        if empty:
            raise SignXError(
                f"`train` must have a clip of every sign that can be read, got none of {', '.join(empty[:5])}. Record them again, or remove them."
            )
        if sorted(self.model.config.label2id) != self.signs:
            self._start_from_means()

    def _start_from_means(self) -> None:
        """Gives a trained body a classifier of the new signs: the mean vector of each sign's training clips, to be trained on."""
        vectors = torch.zeros(len(self.signs), self.model.norm.weight.shape[0])
        counts = torch.zeros(len(self.signs), 1)
        self.model.eval()
        size = self.arguments.run.per_device_eval_batch_size
        with torch.inference_mode():
            for start in range(0, len(self.train_examples), size):
                examples = self.train_examples[start : start + size]
                rows = torch.tensor([self.signs.index(example.glosses[0]) for example in examples])
                vectors.index_add_(0, rows, self.model(**self.collate(examples, None)).embedding.float())
                counts.index_add_(0, rows, torch.ones(len(examples), 1))
        self.model.set_signs(self.signs, vectors / counts)

    def make_model(self) -> Any:
        names = dict(enumerate(self.signs))
        if self.arguments.model.upstream:
            model = self.from_upstream(SignXForSignClassification)
        else:
            self.config.id2label, self.config.label2id = names, {name: index for index, name in names.items()}
            model = SignXForSignClassification(self.config)
        asked = (self.arguments.model.model_config or {}).get("recognizer_config") or {}
        if asked.get("dilations") and model.config.pooling != "convolution":
            raise SignXError(
                f"option model_config: recognizer_config.dilations is {asked['dilations']}, but pooling is {model.config.pooling!r}, "
                "which has no convolutions; leave it out, or set pooling: convolution"
            )
        return model

    def used_options(self) -> set[str]:
        return {"track_dropout"}

    def targets(self, examples: Sequence[Example], inputs: dict[str, Any]) -> dict[str, torch.Tensor]:
        return {"labels": torch.tensor([self.model.config.label2id[example.glosses[0]] for example in examples])}

    def answer(self, model: Any, batch: dict[str, torch.Tensor]) -> list[list[str]]:
        names = model.config.id2label
        best = model(**batch).logits.topk(min(5, len(names))).indices.tolist()
        return [[names[index] for index in row] for row in best]

    def measure(self, answers: list[list[str]]) -> dict[str, float]:
        truth = [example.glosses[0] for example in self.dev_examples]
        top1 = sum(answer[0] == sign for answer, sign in zip(answers, truth)) / len(truth)
        top5 = sum(sign in answer for answer, sign in zip(answers, truth)) / len(truth)
        return {"error": 1 - top1, "top1": top1, "top5": top5}
