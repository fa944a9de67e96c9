"""Graph convolution over key points (CTR-GC) with multi-scale temporal convolution, from the equations.

Chen et al. 2021: Channel-wise topology refinement graph convolution for skeleton-based action recognition.

Legend: B batch, T frames, V points, F channels, K = 3 adjacencies. Features are [B, T, V, F], channels last, so that every
map of channels is one matrix product.
"""

import torch
from torch import nn

SUBSETS = 3  # itself, inward, outward
BRANCHES = 4
KERNEL = 5
DILATIONS = (1, 2)
COORDINATES_AND_MASK = 4  # most channels of the input of the first unit


def adjacency(edges: list[list[int]], points: int) -> torch.Tensor:
    """Return the adjacencies [3, V, V]: the point itself, its children (inward), its parents (outward).

    Row u holds the weights of what point u sums up; they add up to 1, or to 0 for a point without such neighbors.

    Args:
        edges: pairs [child, parent].
        points: V.
    """
    matrices = torch.zeros(SUBSETS, points, points)
    matrices[0] = torch.eye(points)
    for child, parent in edges:
        matrices[1, parent, child] = 1.0
        matrices[2, child, parent] = 1.0
    return matrices / matrices.sum(-1, keepdim=True).clamp_min(1.0)


class UniGloRNorm(nn.Module):
    """Normalize channels of [B, T, V, F]: each vector by itself ("layer"), or by statistics of training ("batch").

    Either way the result for a segment does not depend on what else is in a batch of inference.
    """

    def __init__(self, size: int, kind: str):
        super().__init__()
        self.norm = nn.LayerNorm(size) if kind == "layer" else nn.BatchNorm1d(size)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Normalize `[B, T, V, F]`."""
        if isinstance(self.norm, nn.LayerNorm):
            return self.norm(features)
        return self.norm(features.reshape(-1, features.shape[-1])).view(features.shape)


class UniGloRGraphConv(nn.Module):
    """CTR-GC: a graph convolution whose adjacency is refined for each channel and segment.

    For each adjacency A_k: `q = tanh(mean_T(W1 x)_u - mean_T(W2 x)_v)`, `R = W4 q`, `y_k = (alpha R + A_k) W3 x`; the
    sum over k is normalized, and the input added (through a linear map where the widths differ). A_k is learned, and
    alpha starts at 0.

    Args:
        edges: pairs [child, parent].
        points: V.
        inputs: channels of the input.
        size: channels of the output.
        norm: "layer" or "batch".
        least: channels of q where the input is a point with its mask; elsewhere they are an eighth of the input's.
    """

    def __init__(self, edges: list[list[int]], points: int, inputs: int, size: int, norm: str, least: int = 8):
        super().__init__()
        self.edges, self.points, self.size = edges, points, size
        self.reduced = least if inputs <= COORDINATES_AND_MASK else max(inputs // 8, 1)
        self.adjacency = nn.Parameter(adjacency(edges, points))
        self.alpha = nn.Parameter(torch.zeros(1))
        self.query = nn.Linear(inputs, SUBSETS * self.reduced)  # W1
        self.key = nn.Linear(inputs, SUBSETS * self.reduced)  # W2
        self.value = nn.Linear(inputs, SUBSETS * size)  # W3
        self.refine = nn.Linear(self.reduced, SUBSETS * size)  # W4
        self.norm = UniGloRNorm(size, norm)
        self.residual = nn.Linear(inputs, size) if inputs != size else nn.Identity()

    def differences(self, features: torch.Tensor) -> torch.Tensor:
        """Return q for `[B, T, V, F]`: `[B, K, F / 8, V, V]`, how each point u differs from each point v."""
        batch, points = features.shape[0], self.points
        mean = features.mean(1)  # W1 and W2 are linear, so the mean over time may come first
        query = self.query(mean).view(batch, points, SUBSETS, self.reduced).permute(0, 2, 3, 1)
        key = self.key(mean).view(batch, points, SUBSETS, self.reduced).permute(0, 2, 3, 1)
        return (query.unsqueeze(-1) - key.unsqueeze(-2)).tanh()

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Convolve `[B, T, V, F]` to `[B, T, V, F']`."""
        frames, inputs = features.shape[1], features.shape[3]
        # Multiplications per pair of points. Few large products are about twice as fast as many small ones.
        by_channel = 2 * (frames + self.reduced) * self.size
        mix = self._mix_inputs if frames * (inputs + 1) * (self.reduced + 1) < by_channel else self._mix_channels
        return self.norm(mix(features)) + self.residual(features)

    def _refine(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return alpha W4 `[K, F', F / 8]` and its bias `[K, F']`."""
        weight, bias = self.refine.weight, self.refine.bias
        return self.alpha * weight.view(SUBSETS, self.size, self.reduced), self.alpha * bias.view(SUBSETS, self.size)

    def _mix_channels(self, features: torch.Tensor) -> torch.Tensor:
        """Return the sum over k of `(alpha R + A_k) W3 x` by the matrix of each channel."""
        batch, frames, points, _ = features.shape
        value = self.value(features).view(batch, frames, points, SUBSETS, self.size)
        value = value.permute(3, 0, 4, 2, 1)  # [K, B, F', V, T]
        weight, bias = self._refine()
        fixed = self.adjacency.flatten(1)[:, None] + bias.unsqueeze(-1)  # [K, F', V * V]
        pairs = self.differences(features).flatten(3)
        mixed = value.new_zeros(())
        for k in range(SUBSETS):
            matrix = fixed[k] + weight[k] @ pairs[:, k]  # [B, F', V * V]
            mixed = mixed + matrix.view(batch, self.size, points, points) @ value[k]
        return mixed.permute(0, 3, 2, 1)

    def _mix_inputs(self, features: torch.Tensor) -> torch.Tensor:
        """Return the same, by q and A_k on the input before W3 and W4, which are linear in it."""
        batch, frames, points, _ = features.shape
        inputs = nn.functional.pad(features, (0, 1), value=1.0)  # takes the bias of W3 along
        width, terms = inputs.shape[-1], self.reduced + 1
        matrices = torch.cat([self.differences(features), self.adjacency[:, None].expand(batch, -1, -1, -1, -1)], 2)
        columns = inputs.transpose(1, 2).reshape(batch, points, frames * width)
        mixed = matrices.view(batch, -1, points) @ columns
        mixed = mixed.view(batch, SUBSETS, terms, points, frames, width).permute(0, 4, 3, 1, 2, 5)
        weight, bias = self._refine()
        value = torch.cat([self.value.weight, self.value.bias[:, None]], 1).view(SUBSETS, self.size, width)
        terms_of = nn.functional.pad(weight, (0, 1), value=1.0)  # [K, F', F / 8 + 1], the last for A_k
        combined = torch.einsum("kfr,kfc->krcf", terms_of, value).flatten(0, 2)
        everywhere = torch.einsum("kf,kfc->cf", bias, value)  # the bias of W4 takes of all points alike
        return mixed.flatten(3) @ combined + (inputs.sum(2) @ everywhere).unsqueeze(2)


class UniGloRTemporalConv(nn.Module):
    """Multi-scale temporal convolution: four branches of F / 4 channels side by side.

    Each follows a linear map, normalization and ReLU: kernel 5, kernel 5 with dilation 2, maximum over 3 frames, none.
    """

    def __init__(self, size: int, norm: str):
        super().__init__()
        self.branch_size = size // BRANCHES
        self.reduce = nn.Linear(size, size)  # of all four branches
        self.reduce_norm = UniGloRNorm(size, norm)
        # A convolution over time as one matrix product over shifted frames.
        self.convolutions = nn.ModuleList(nn.Linear(KERNEL * self.branch_size, self.branch_size) for _ in DILATIONS)
        self.norm = UniGloRNorm(size, norm)

    def _shifted(self, features: torch.Tensor, dilation: int) -> torch.Tensor:
        """Return `[B, T, V, 5 * F]`, each frame with two before and two after it; 0 outside of the segment."""
        frames, reach = features.shape[1], KERNEL // 2 * dilation
        padded = nn.functional.pad(features, (0, 0, 0, 0, reach, reach))
        return torch.cat([padded[:, tap * dilation :][:, :frames] for tap in range(KERNEL)], -1)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Convolve `[B, T, V, F]` over time to the same shape."""
        branches = self.reduce_norm(self.reduce(features)).relu().split(self.branch_size, -1)
        parts = [layer(self._shifted(part, d)) for layer, part, d in zip(self.convolutions, branches, DILATIONS)]
        pooled = nn.functional.pad(branches[2], (0, 0, 0, 0, 1, 1))  # 0 is neutral after ReLU
        frames = features.shape[1]
        parts += [pooled[:, :frames].maximum(pooled[:, 1 : frames + 1]).maximum(pooled[:, 2:]), branches[3]]
        return self.norm(torch.cat(parts, -1))


class UniGloRGraphUnit(nn.Module):
    """Graph convolution, then temporal convolution, each with a residual and ReLU: `[B, T, V, F]` to `[B, T, V, F']`."""

    def __init__(self, edges: list[list[int]], points: int, inputs: int, size: int, norm: str, least: int = 8):
        super().__init__()
        self.graph = UniGloRGraphConv(edges, points, inputs, size, norm, least)
        self.temporal = UniGloRTemporalConv(size, norm)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Convolve `[B, T, V, F]` over points and time."""
        features = self.graph(features).relu()
        return (self.temporal(features) + features).relu()
