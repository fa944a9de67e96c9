"""The track `sapiens`: which part of the body is where, from Sapiens2 or any other segmentation model of
transformers."""

from typing import TYPE_CHECKING

import numpy as np

from ..data.grids import MAX_LABELS, labels_to_row
from ..data.tracks import TrackLayout
from .picture_models import PictureModelExtractor, SignXPoseError

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedConfig
    from transformers.utils import ModelOutput


class SapiensExtractor(PictureModelExtractor):
    """Extracts part labels in 24 x 24 cells: the most frequent label of a cell, see `grids.labels_to_row`.

    Meant for Sapiens2 (`Sapiens2ForSemanticSegmentation`, such as facebook/sapiens2-seg-0.4b with 29 labels, the
    background among them); every model of `AutoModelForSemanticSegmentation` works. The number of labels is part of
    the layout, and `SignXPoseFeatureExtractor(sapiens_classes=...)` must be that number.

    Args:
        model: Folder of a saved model, or its name on the Hub, which is downloaded when first needed.
        device: Torch device, such as "cpu" or "cuda".
        batch_size: Frames per forward pass.
    """

    name = "sapiens"
    task = "semantic segmentation"
    auto_class = "AutoModelForSemanticSegmentation"
    mapping = "MODEL_FOR_SEMANTIC_SEGMENTATION_MAPPING"

    @property
    def layout(self) -> TrackLayout:
        labels = self.config().num_labels
        return TrackLayout(
            self.name,
            self.width,
            layout=f"24x24 part labels, {labels} classes",
            units=f"label ids 0 to {labels - 1}, 0 the background; majority of the pixels in a cell",
            order="row major from the top left, the whole frame stretched to the grid",
            source=self.source,
            version=self.version,
        )

    def config(self) -> "PreTrainedConfig":
        config = super().config()
        if not 2 <= config.num_labels <= MAX_LABELS:
            raise SignXPoseError(
                f"{self.folder() / 'config.json'}: the number of labels must be from 2 to {MAX_LABELS}, which "
                f"float16 can count, got {config.num_labels}."
            )
        return config

    def maps(self, outputs: "ModelOutput") -> "torch.Tensor":
        # at the resolution of the logits, because larger maps would only be interpolated and 24 cells need no more
        return outputs.logits.argmax(dim=1)

    def row(self, maps: np.ndarray) -> np.ndarray:
        return labels_to_row(maps)
