"""Compute grids cell by cell, as a slow second implementation."""

from fractions import Fraction

import numpy as np

from signx_hf.data.grids import GRID


def overlap(cell, pixel, length):
    """Exact length that a cell shares with a pixel along one axis."""
    low, high = Fraction(cell * length, GRID), Fraction((cell + 1) * length, GRID)
    return max(Fraction(0), min(high, pixel + 1) - max(low, pixel))


def slow_mean(values):
    height, width = values.shape
    rows = [[(i, overlap(r, i, height)) for i in range(height) if overlap(r, i, height)] for r in range(GRID)]
    columns = [[(j, overlap(c, j, width)) for j in range(width) if overlap(c, j, width)] for c in range(GRID)]
    out = np.zeros((GRID, GRID))
    for r in range(GRID):
        for c in range(GRID):
            weights = [(float(a * b), values[i, j]) for i, a in rows[r] for j, b in columns[c]]
            out[r, c] = sum(w * v for w, v in weights) / sum(w for w, _ in weights)
    return out


def slow_majority(labels):
    def members(cell, length):  # pixels whose centre lies in the cell
        return [i for i in range(length) if cell <= Fraction(2 * i + 1, 2) * GRID / length < cell + 1]

    rows, columns = ([members(cell, length) for cell in range(GRID)] for length in labels.shape)
    out = []
    for r in range(GRID):
        for c in range(GRID):
            inside = [int(labels[i, j]) for i in rows[r] for j in columns[c]]
            out.append(min(set(inside), key=lambda label: (-inside.count(label), label == 0, label)))
    return np.array(out)
