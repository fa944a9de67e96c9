"""Configuration of the UniGloR models (arXiv 2407.02854 v2)."""

from typing import Any

from .point_sets_uniglor import POINT_SETS, edges_of, parts_of, weight_groups_of
from .strict_config_signx import StrictConfig

CHOICES = {
    "decoder": ("non_autoregressive", "autoregressive"),
    "query": ("learned", "positional"),
    "mask_mode": ("drop", "token"),
    "norm": ("layer", "batch"),
    "pose_weights": ("adaptive", "adaptive_printed", "fixed", "none"),
}
# Weights of the loss by group with pose_weights="fixed" (the paper's); other groups weigh 1.
FIXED_WEIGHTS = {"body": 1.0, "face": 1.17, "hands": 1.18}


class UniGloRConfig(StrictConfig):
    """Configuration of UniGloR; `UniGloRConfig()` has the sizes of the paper on 73 key points.

    The set of points is data: `nodes` names them, and `parts`, `edges` and `weight_groups` follow from the names unless
    they are given.

    Args:
        keypoints: name of the set of points, `keypoints73`, `hands` or `phoenix_skeletons`; any other name needs
            `nodes`.
        nodes: names of the V points, in the order of the input; None for those of `keypoints`.
        coordinates: C, 2 or 3.
        parts: part -> its points; each point is in one part. Features are averaged within a part.
        edges: pairs [child, parent]; the parent is nearer to the neck.
        weight_groups: group -> list of {"points": [...], "about": None, "mean" or a point}; their variance sets the
            weights of the loss. Points in no group weigh 1.
        segment_length: frames of a segment (15).
        stride: frames between two windows of a clip (7).
        graph_sizes: width of each unit of graph and temporal convolution, multiples of 4 (choice).
        refinement_size: channels in which the first unit compares points (8); an eighth of the input in the others.
        norm: "layer" or "batch", the normalization of the graph units.
        hidden_size: width of a representation (512).
        encoder_layers: number of layers of the encoder (3).
        decoder_layers: number of layers of the decoder (3).
        num_attention_heads: number of heads of each layer (8).
        intermediate_size: width of the MLP of each layer (2048).
        dropout: dropout of every residual branch, and of the attention weights.
        mask_ratio: share of the frames of a segment that the encoder does not see in training (0.25).
        mask_mode: "drop" takes masked frames out, "token" replaces them by a learned vector.
        decoder: "non_autoregressive", or "autoregressive" for comparison.
        query: "learned", or "positional" (sinusoids), the queries of the non-autoregressive decoder.
        pose_weights: weights of the loss: "adaptive", "adaptive_printed" (the formula as printed), "fixed" or "none".
        weight_floor: least adaptive weight (choice).
        classifier_layers: number of layers of the recognition head (3).
        classifier_dropout: dropout before its classes.
        train_encoder: whether the recognition head trains the encoder, too, instead of keeping it as it is.
    """

    model_type = "uniglor"

    def __init__(
        self,
        keypoints: str = "keypoints73",
        nodes: list[str] | None = None,
        coordinates: int = 2,
        parts: dict[str, list[int]] | None = None,
        edges: list[list[int]] | None = None,
        weight_groups: dict[str, list[dict[str, Any]]] | None = None,
        segment_length: int = 15,
        stride: int = 7,
        graph_sizes: list[int] | tuple[int, ...] = (64, 128, 256),
        refinement_size: int = 8,
        norm: str = "layer",
        hidden_size: int = 512,
        encoder_layers: int = 3,
        decoder_layers: int = 3,
        num_attention_heads: int = 8,
        intermediate_size: int = 2048,
        dropout: float = 0.1,
        mask_ratio: float = 0.25,
        mask_mode: str = "drop",
        decoder: str = "non_autoregressive",
        query: str = "learned",
        pose_weights: str = "adaptive",
        weight_floor: float = 0.2,
        classifier_layers: int = 3,
        classifier_dropout: float = 0.1,
        train_encoder: bool = False,
        **kwargs,
    ):
        self.keypoints = keypoints
        self.nodes = self._checked_nodes(nodes)
        self.coordinates = coordinates
        self.parts = parts_of(self.nodes) if parts is None else parts
        self.edges = edges_of(self.nodes) if edges is None else edges
        self.weight_groups = weight_groups_of(self.nodes) if weight_groups is None else weight_groups
        self.segment_length = segment_length
        self.stride = stride
        self.graph_sizes = graph_sizes
        self.refinement_size = refinement_size
        self.norm = norm
        self.hidden_size = hidden_size
        self.encoder_layers = encoder_layers
        self.decoder_layers = decoder_layers
        self.num_attention_heads = num_attention_heads
        self.intermediate_size = intermediate_size
        self.dropout = dropout
        self.mask_ratio = mask_ratio
        self.mask_mode = mask_mode
        self.decoder = decoder
        self.query = query
        self.pose_weights = pose_weights
        self.weight_floor = weight_floor
        self.classifier_layers = classifier_layers
        self.classifier_dropout = classifier_dropout
        self.train_encoder = train_encoder
        super().__init__(**kwargs)
        self._check_sizes()
        self._check_points()

    @classmethod
    def base(cls, **overrides) -> "UniGloRConfig":
        """Return the configuration with the sizes of the paper."""
        return cls(**overrides)

    @classmethod
    def tiny(cls, **overrides) -> "UniGloRConfig":
        """Return a student for laptops: two narrow graph units, representations of 128."""
        sizes = {
            "graph_sizes": [8, 16], "refinement_size": 2, "hidden_size": 128, "encoder_layers": 2, "decoder_layers": 2,
            "num_attention_heads": 4, "intermediate_size": 256, "classifier_layers": 2,
        }  # fmt: skip
        return cls(**{**sizes, **overrides})

    @property
    def num_keypoints(self) -> int:
        """Return V, the number of points."""
        return len(self.nodes)

    @property
    def masked_frames(self) -> int:
        """Return how many frames of a segment are masked in training: `mask_ratio` of it, rounded, at least one stays."""
        return min(round(self.mask_ratio * self.segment_length), self.segment_length - 1)

    def _checked_nodes(self, nodes: list[str] | None) -> list[str]:
        if nodes is None:
            if self.keypoints not in POINT_SETS:
                raise ValueError(
                    f"`UniGloRConfig.keypoints` must be one of {', '.join(POINT_SETS)}, got {self.keypoints!r}. Pass "
                    "`nodes` with the names of other points."
                )
            return list(POINT_SETS[self.keypoints])
        good = isinstance(nodes, (list, tuple)) and nodes and all(isinstance(name, str) for name in nodes)
        if not good or len(set(nodes)) < len(nodes):
            raise ValueError(f"`UniGloRConfig.nodes` must be different names, got {nodes!r:.200}.")
        return list(nodes)

    def _check_sizes(self) -> None:
        self._check_integers(1, "stride", "hidden_size", "encoder_layers", "decoder_layers", "num_attention_heads")
        self._check_integers(1, "intermediate_size", "classifier_layers", "refinement_size")
        self._check_integers(2, "segment_length", "coordinates")
        self._check_numbers(2, 3, "coordinates")
        self._check_integer_list("[64, 128, 256]", "graph_sizes")
        if not self.graph_sizes or any(size % 4 for size in self.graph_sizes):
            raise ValueError(
                "`UniGloRConfig.graph_sizes` must be multiples of 4, one for each of four temporal branches, got "
                f"{self.graph_sizes!r}."
            )
        self._check_numbers(0.0, 0.99, "dropout", "classifier_dropout", "mask_ratio")
        self._check_numbers(0.0, 1.0, "weight_floor")
        self._check_divisible("hidden_size", "num_attention_heads")
        for name, legal in CHOICES.items():
            if getattr(self, name) not in legal:
                raise ValueError(
                    f"`UniGloRConfig.{name}` must be {', '.join(legal[:-1])} or {legal[-1]}, got "
                    f"{getattr(self, name)!r}."
                )

    def _check_points(self) -> None:
        """Check that parts, edges and weight groups name points of the set.

        Raises:
            ValueError: If they do not, or the parts or groups overlap, or a point is in no part.
        """
        points = range(self.num_keypoints)
        try:
            in_parts = [point for part in self.parts.values() for point in part]
            edges = [[child, parent] for child, parent in self.edges]
            grouped, about = [], []
            for clusters in self.weight_groups.values():
                for cluster in clusters:
                    grouped += cluster["points"]
                    about.append(cluster["about"])
        except (TypeError, ValueError, KeyError, AttributeError) as error:
            raise ValueError(
                "`UniGloRConfig`: `parts` must map names to lists of points, `edges` must be pairs [child, parent], "
                '`weight_groups` must map names to lists of {"points": [...], "about": ...}; cannot read them '
                f"({type(error).__name__}: {error})."
            ) from error
        centers = [point for point in about if point not in (None, "mean")]
        named = {"parts": in_parts, "edges": sum(edges, []), "weight_groups": [*grouped, *centers]}
        for name, found in named.items():
            wrong = [point for point in found if type(point) is not int or point not in points]
            if wrong:
                raise ValueError(
                    f"`UniGloRConfig.{name}` must name points from 0 to {len(points) - 1}, got {wrong[0]!r}."
                )
        if sorted(in_parts) != list(points):
            raise ValueError(
                f"`UniGloRConfig.parts` must hold each of {len(points)} points once, got {len(in_parts)} entries for "
                f"{len(set(in_parts))} points."
            )
        if len(set(grouped)) < len(grouped):
            raise ValueError("`UniGloRConfig.weight_groups` must hold a point at most once, got one twice.")
        if any(child == parent for child, parent in edges):
            raise ValueError("`UniGloRConfig.edges` must join different points, got an edge from a point to itself.")
