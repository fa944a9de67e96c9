"""Isolated signs from representations of SignMAE (UniGloR, section 3.4)."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ...modeling.modeling_uniglor import UniGloRForSignClassification
from ...processing.errors_signx import SignXError
from ..examples import Example, pad
from .isolated import Isolated
from .uniglor import UniGloRStage

if TYPE_CHECKING:
    from datasets import Dataset


class UniGloRIsolated(UniGloRStage[UniGloRForSignClassification], Isolated):  # type: ignore[misc]
    """Train the recognition head on cached representations of a frozen SignMAE, or with `train_encoder` both."""

    name = "uniglor_isolated"
    title = "Isolated signs from representations"
    upstream_stage = "signmae"
    model_class = UniGloRForSignClassification
    defaults = {
        **Isolated.defaults, "learning_rate": 1e-4, "min_lr_ratio": 0.5, "warmup_ratio": 0.1, "weight_decay": 1e-3,
        "adam_beta2": 0.98, "per_device_train_batch_size": 64,
    }  # fmt: skip

    @classmethod
    def defaults_for(cls, given: dict[str, Any]) -> dict[str, Any]:
        return cls.defaults

    def used_options(self) -> set[str]:
        return {"noise_threshold"} if not self.arguments.model.upstream else set()

    def check_options(self) -> None:
        """Reject options that would change nothing, and a frozen encoder that nothing has trained."""
        super().check_options()
        options = self.arguments.model
        trains = options.model_config.get("train_encoder", False)
        self.start = options.start or ("inputs" if trains else "latents")
        if self.start == "features" or (self.start == "latents" and trains):
            remedy = "inputs where the encoder is trained" if trains else "inputs or latents (cached representations)"
            raise SignXError(f"`start` must be {remedy} in {self.title}, got {self.start!r}. Leave it out.")
        if not options.upstream and not trains:
            self.upstream_folder(", or set model_config.train_encoder: true to train it from scratch")

    def check_corpora(self, trains: "list[Dataset]", devs: "list[Dataset]") -> None:
        self.check_rows(trains[0], devs[0])

    def make_model(self) -> Any:
        names = dict(enumerate(self.signs))
        return self.build(id2label=names, label2id={sign: index for index, sign in names.items()})

    def setup(self) -> None:
        """Read the data, build processor and model, and compute representations that are not cached."""
        super().setup()
        if self.start == "latents":
            examples = [*self.train_examples, *self.dev_examples]
            self.cache_representations(examples)
            for example in examples:
                example.length = len(example.arrays["representations"])

    def inputs(self, examples: Sequence[Example], randoms: Sequence[np.random.Generator] | None) -> dict[str, Any]:
        """Return padded `representations` and their mask, or key points where the encoder takes part in training."""
        if self.start == "inputs":
            return self.clip_inputs(examples)
        found = [example.arrays["representations"] for example in examples]
        return {
            "representations": pad(found),
            "representation_mask": pad([np.ones(len(z), bool) for z in found], False),
        }
