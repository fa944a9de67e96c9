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
            lost = f"{len(untrained)} signs have all their clips in the split that is measured on ({names}): the model cannot learn them"
            if all(glosses[0] in untrained for glosses in dev["glosses"]):
                raise SignXError(f"{lost}, and nothing else is measured. Record at least two clips of each sign.")
            warnings.warn(f"{lost}. Record at least two clips of each sign.", SignXWarning, stacklevel=2)

    def make_model(self) -> Any:
        names = dict(enumerate(self.signs))
        labels = {"id2label": names, "label2id": {name: index for index, name in names.items()}}
        if self.arguments.model.upstream:
            model = self.from_upstream(SignXForSignClassification, **labels)
        else:
            self.config.id2label, self.config.label2id = labels["id2label"], labels["label2id"]
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
