"""The track `primedepth`: how near everything is, from any depth model of transformers.

PrimeDepth itself (arXiv 2409.09144) is a refiner on top of Stable Diffusion without a class in transformers, so its
weights do not run here. Another model stands in, named in the notes of every clip. To use PrimeDepth itself, convert
its maps to the same rows with `grids.depth_to_row` in an extractor of your own ("module:Class").
"""

from typing import TYPE_CHECKING

import numpy as np

from ..data.grids import depth_to_row
from ..data.tracks import TrackLayout
from .picture_models import PictureModelExtractor, SignXPoseError

if TYPE_CHECKING:
    import torch
    from transformers.utils import ModelOutput

# Meaning of `predicted_depth`. Depth Pro's is inverse until its image processor inverts it; GLPN, ZoeDepth and TIPSv2
# give meters.
OUTPUTS = {
    "dpt": "inverse",
    "depth_pro": "inverse",
    "glpn": "metric",
    "zoedepth": "metric",
    "tipsv2_dpt": "metric",
}
ESTIMATION_TYPES = {"relative": "inverse", "metric": "metric"}


class PrimeDepthExtractor(PictureModelExtractor):
    """Extracts relative nearness in 24 x 24 cells, 1 the nearest and 0 the farthest of the frame, see
    `grids.depth_to_row`.

    Every model of `AutoModelForDepthEstimation` works (Depth Anything, DPT, ZoeDepth, GLPN, Depth Pro). Metric and
    inverse depth of one scene give the same row.

    Args:
        model: Folder of a saved model, or its name on the Hub, which is downloaded when first needed.
        device: Torch device, such as "cpu" or "cuda".
        batch_size: Frames per forward pass.
        output: Meaning of the model's output, "metric" (larger is farther) or "inverse" (larger is nearer), where its
            type does not tell or is misleading, as of a DPT that was trained on meters. None tells it by the type.
    """

    name = "primedepth"
    task = "depth estimation"
    auto_class = "AutoModelForDepthEstimation"
    mapping = "MODEL_FOR_DEPTH_ESTIMATION_MAPPING"

    def __init__(self, model: str, device: str = "cpu", batch_size: int = 4, output: str | None = None):
        super().__init__(model, device, batch_size)
        if output not in (None, "metric", "inverse"):
            raise SignXPoseError(f"output must be 'metric', 'inverse' or None, got {output!r}.")
        self.kind = output

    @property
    def layout(self) -> TrackLayout:
        self._inverse()
        return TrackLayout(
            self.name,
            self.width,
            layout="24x24 relative nearness",
            units="0 the farthest to 1 the nearest cell of the frame; area mean of inverse depth",
            order="row major from the top left, the whole frame stretched to the grid",
            source=self.source,
            version=self.version,
        )

    def load(self) -> "PrimeDepthExtractor":
        self._inverse()
        return super().load()

    def maps(self, outputs: "ModelOutput") -> "torch.Tensor":
        return outputs.predicted_depth

    def row(self, maps: np.ndarray) -> np.ndarray:
        return depth_to_row(maps, is_inverse=self._inverse())

    def _inverse(self) -> bool:
        """Return whether larger outputs of the model are nearer."""
        if getattr(self, "_loaded_inverse", None) is None:
            config = self.config()
            by_type = ESTIMATION_TYPES.get(
                getattr(config, "depth_estimation_type", None), OUTPUTS.get(config.model_type)
            )
            kind = self.kind or by_type
            if kind is None:
                raise SignXPoseError(
                    f"{self.model}: a model of type {config.model_type!r} may return depth or inverse depth. Pass "
                    "output='metric' (larger is farther) or output='inverse' (larger is nearer)."
                )
            self._loaded_inverse = kind == "inverse"
        return self._loaded_inverse

    def _frames_at_once(self) -> int:
        # ZoeDepth with several heads lets all frames of a batch vote on one of them, so a frame would depend on its
        # neighbors
        return 1 if self._loaded_model.config.model_type == "zoedepth" else self.batch_size
