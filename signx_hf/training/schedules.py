"""What changes with the step: learning rate, weights of losses."""

import math


def learning_rate_factor(step: int, total: int, warmup: int, min_ratio: float) -> float:
    """Share of the peak learning rate at optimiser step `step` (from 0): linear warm-up, then a cosine down to `min_ratio`
    (SignX-1, table of settings)."""
    if step < warmup:
        return (step + 1) / (warmup + 1)
    progress = min(1.0, (step - warmup) / max(1, total - warmup))
    return min_ratio + (1 - min_ratio) * 0.5 * (1 + math.cos(math.pi * progress))


def scheduled(first: float, last: float, step: int, total: int) -> float:
    """Linear from `first` at step 0 to `last` at the last step."""
    share = min(1.0, step / max(1, total - 1))
    return first + (last - first) * share
