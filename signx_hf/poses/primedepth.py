"""The track `primedepth`: how near everything is, from any depth model of transformers.

PrimeDepth itself (arXiv 2409.09144) is a refiner on top of Stable Diffusion and has no class in transformers: its weights do not
run here. Another model stands in, and the notes of every row say which. Who has PrimeDepth running brings its maps to the same
rows with `grids.depth_to_row`, in an extractor of their own ("module:Class").
"""

from typing import Any

import numpy as np

from ..data.grids import depth_to_row
from ..data.tracks import TrackLayout
from .picture_models import PictureModelExtractor, SignXPoseError

# What `predicted_depth` is. Depth Pro's is inverse until its image processor turns it over; GLPN, ZoeDepth and TIPSv2 give metres.
OUTPUTS = {
    "dpt": "inverse",
    "depth_pro": "inverse",
    "glpn": "metric",
    "zoedepth": "metric",
    "tipsv2_dpt": "metric",
}
ESTIMATION_TYPES = {"relative": "inverse", "metric": "metric"}


class PrimeDepthExtractor(PictureModelExtractor):
    """Relative nearness in 24 x 24 cells, 1 the nearest and 0 the farthest of the frame, see `grids.depth_to_row`.

    Every model of `AutoModelForDepthEstimation` works (Depth Anything, DPT, ZoeDepth, GLPN, Depth Pro). Metric and inverse depth
    of one scene give the same row.

    Args:
        model: folder of a saved model, or its name on the Hub, which is downloaded when first needed.
        device: where torch computes, such as "cpu" or "cuda".
        batch_size: frames at a time.
        output: "metric" (larger is farther) or "inverse" (larger is nearer): what the model gives, where its type does not say,
            or says it wrongly, as of a DPT that was trained on metres. None: by the type.
    """

    name = "primedepth"
    task = "depth estimation"
    auto_class = "AutoModelForDepthEstimation"
    mapping = "MODEL_FOR_DEPTH_ESTIMATION_MAPPING"

    def __init__(self, model: str, device: str = "cpu", batch_size: int = 4, output: str | None = None):
        super().__init__(model, device, batch_size)
        if output not in (None, "metric", "inverse"):
            raise SignXPoseError(f"output is {output!r}; wanted 'metric', 'inverse' or None")
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

    def maps(self, outputs: Any) -> Any:
        return outputs.predicted_depth

    def row(self, maps: np.ndarray) -> np.ndarray:
        return depth_to_row(maps, is_inverse=self._inverse())

    def _inverse(self) -> bool:
        """Whether larger numbers of the model are nearer."""
        if getattr(self, "_loaded_inverse", None) is None:
            config = self.config()
            by_type = ESTIMATION_TYPES.get(
                getattr(config, "depth_estimation_type", None), OUTPUTS.get(config.model_type)
            )
            kind = self.kind or by_type
            if kind is None:
                raise SignXPoseError(
                    f"{self.model}: a model of type {config.model_type!r}, which may give depth or inverse depth; wanted to know "
                    "which; give output='metric' (larger is farther) or output='inverse' (larger is nearer)"
                )
            self._loaded_inverse = kind == "inverse"
        return self._loaded_inverse

    def _frames_at_once(self) -> int:
        # ZoeDepth with several heads lets all frames of a batch vote on one of them: a frame would depend on its neighbours
        return 1 if self._loaded_model.config.model_type == "zoedepth" else self.batch_size
