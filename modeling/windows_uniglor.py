"""Windows of a clip and masked frames of a segment: which frames UniGloR reads together."""

import torch


def num_windows(frames: int, length: int, stride: int, cover_tail: bool = False) -> int:
    """Return how many windows a clip has: `floor((T - length) / stride) + 1`, one if it is shorter than a window.

    Args:
        frames: T of the clip.
        length: frames of a window.
        stride: frames between two windows.
        cover_tail: whether a last window from the end is added where frames are left over.
    """
    rest = max(frames - length, 0)
    return rest // stride + 1 + int(cover_tail and rest % stride > 0)


def window_starts(frames: int, length: int, stride: int, cover_tail: bool = False) -> list[int]:
    """Return the first frame of each window; the arguments are those of `num_windows`."""
    starts = list(range(0, max(frames - length, 0) + 1, stride))
    tail = max(frames - length, 0)
    return starts + [tail] * (cover_tail and starts[-1] < tail)


def window_frames(frames: int, length: int, stride: int, cover_tail: bool = False) -> torch.Tensor:
    """Return the frames of each window `[N, length]`; a clip shorter than a window repeats its last frame."""
    starts = torch.tensor(window_starts(frames, length, stride, cover_tail))
    return (starts[:, None] + torch.arange(length)).clamp_max(frames - 1)


def draw_masked_frames(
    segments: int,
    length: int,
    count: int,
    generator: torch.Generator | None = None,
    device: torch.device | None = None,
) -> torch.Tensor:
    """Return a mask `[B, length]` of `count` frames of each segment, true where the encoder does not see a frame.

    Args:
        segments: B.
        length: frames of a segment.
        count: masked frames of each.
        generator: source of the draw; None for that of torch.
        device: of the mask.
    """
    chosen = torch.rand(segments, length, generator=generator, device=device).argsort(1)[:, :count]
    return torch.zeros(segments, length, dtype=torch.bool, device=device).scatter_(1, chosen, True)
