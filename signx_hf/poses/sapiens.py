"""The track `sapiens`: which part of the body is where, from Sapiens2 or any other segmentation model of transformers."""

from typing import Any

import numpy as np

from ..data.grids import MAX_LABELS, labels_to_row
from ..data.tracks import TrackLayout
from .picture_models import PictureModelExtractor, SignXPoseError


class SapiensExtractor(PictureModelExtractor):
    """Part labels in 24 x 24 cells: the label of most pixels of a cell, see `grids.labels_to_row`.

    Made for Sapiens2 (`Sapiens2ForSemanticSegmentation`, such as facebook/sapiens2-seg-0.4b with 29 labels, the
    background among them); every model of `AutoModelForSemanticSegmentation` works. The number of labels is part of the layout, and
    `SignXPoseFeatureExtractor(sapiens_classes=...)` must be that number.

    Args:
        model: folder of a saved model, or its name on the Hub, which is downloaded when first needed.
        device: where torch computes, such as "cpu" or "cuda".
        batch_size: frames at a time.
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

    def config(self) -> Any:
        config = super().config()
        if not 2 <= config.num_labels <= MAX_LABELS:
            raise SignXPoseError(
                f"{self.folder() / 'config.json'}: {config.num_labels} labels; wanted 2 to {MAX_LABELS}, what float16 can count"
            )
        return config

    def maps(self, outputs: Any) -> Any:
        # at the resolution of the logits: 24 cells need no more, and larger maps would only be interpolated
        return outputs.logits.argmax(dim=1)

    def row(self, maps: np.ndarray) -> np.ndarray:
        return labels_to_row(maps)
