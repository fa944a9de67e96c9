"""Maps to 24 x 24 cells, against loops over single pixels and against constructed scenes."""

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from slow_grids import slow_majority, slow_mean

from signx_hf.data.grids import GRID, WIDTH, area_mean, depth_to_row, labels_to_row
from signx_hf.processing.errors_signx import SignXPoseError
from signx_hf.processing.tracks_signx import normalize_depth

SIZES = [(24, 24), (48, 72), (25, 23), (100, 37), (7, 5), (1, 1), (1, 200), (61, 24)]


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_the_mean_counts_border_pixels_by_their_share(size):
    values = np.random.default_rng(0).normal(size=size)
    np.testing.assert_allclose(area_mean(values), slow_mean(values), atol=1e-12)
    np.testing.assert_allclose(area_mean(values).mean(), values.mean(), atol=1e-12)  # cells are of one size
    np.testing.assert_allclose(area_mean(np.stack([values, 2 * values]))[1], 2 * area_mean(values))


@pytest.mark.parametrize("size", [s for s in SIZES if min(s) >= GRID] + [(96, 96)], ids=str)
def test_the_majority_against_counting(size):
    rng = np.random.default_rng(1)
    for labels in (rng.integers(0, 4, size), rng.integers(0, 28, size), np.zeros(size, int)):
        np.testing.assert_array_equal(labels_to_row(labels), slow_majority(labels))


def test_fewer_pixels_than_cells_repeat_the_pixel_under_the_centre_of_the_cell():
    labels = np.arange(35).reshape(5, 7)
    wanted = [labels[int((r + 0.5) * 5 / GRID), int((c + 0.5) * 7 / GRID)] for r in range(GRID) for c in range(GRID)]
    np.testing.assert_array_equal(labels_to_row(labels), wanted)


def test_a_tie_goes_to_the_part_and_then_to_the_lower_label():
    labels = np.zeros((48, 48), dtype=np.uint8)
    labels[0:2, 0] = 5  # half background: a tie
    labels[0, 2:4], labels[1, 2:4] = 7, 3  # two parts: a tie
    labels[0, 4] = 9  # a quarter only
    assert labels_to_row(labels)[:3].tolist() == [5, 3, 0]


def test_rows_are_row_major():
    labels = np.zeros((240, 480), int)
    labels[:10, 460:] = 3
    labels[230:, :20] = 4
    row = labels_to_row(labels)
    assert row.dtype == np.float32 and row.shape == (WIDTH,)
    assert {int(i): int(row[i]) for i in np.flatnonzero(row)} == {23: 3, 23 * 24: 4}
    depth = np.full((240, 480), 9.0)
    depth[:10, 460:] = 2.0
    assert np.flatnonzero(depth_to_row(depth)).tolist() == [23]


@settings(max_examples=12, deadline=None)
@given(st.floats(1e-3, 1e3), st.floats(1e-3, 1e3), st.floats(-50, 50), st.integers(0, 99))
def test_metric_and_inverse_depth_of_one_scene_have_one_row(unit, scale, offset, seed):
    metres = np.random.default_rng(seed).uniform(0.5, 6, (53, 71))
    row = depth_to_row(metres)
    assert row.min() == 0 and row.max() == 1
    np.testing.assert_allclose(depth_to_row(metres * unit), row, atol=1e-6)
    np.testing.assert_allclose(depth_to_row(scale / metres + offset, is_inverse=True), row, atol=1e-5)


def test_the_nearest_cell_is_one_and_the_sky_is_zero():
    metres = np.full((48, 48), np.inf)
    metres[:24], metres[10:12, 10:12] = 4.0, 1.0
    row = depth_to_row(metres).reshape(GRID, GRID)
    assert row[5, 5] == 1 and np.unique(row).tolist() == [0, 0.25, 1] and not row[12:].any()
    # and what normalises a clip afterwards keeps the order: nearer stays larger
    assert normalize_depth(row.reshape(1, -1).astype(float), np.ones(1, bool)).argmax() == 5 * GRID + 5


def test_pixels_without_a_measurement_are_left_out_of_the_mean():
    metres = np.full((48, 48), 4.0)
    metres[:2, :2] = 1.0
    holes = metres.copy()
    holes[0, 0], holes[1, 1], holes[20, 20] = np.nan, 0.0, -1.0
    np.testing.assert_allclose(depth_to_row(holes), depth_to_row(metres), atol=1e-7)
    holes[40:42, 40:42] = np.nan
    assert depth_to_row(holes)[20 * GRID + 20] == 0


@pytest.mark.parametrize("value", [0.1, 3.0, 1e-7, 1e7])
def test_a_constant_map_is_zero(value):
    for inverse in (False, True):
        assert not depth_to_row(np.full((50, 31), value), is_inverse=inverse).any()


BAD = {
    "three axes": (lambda: depth_to_row(np.ones((1, 30, 30))), "got float64 of shape [1, 30, 30]"),
    "no pixels": (lambda: depth_to_row(np.ones((0, 3))), "got float64 of shape [0, 3]"),
    "words": (lambda: depth_to_row(np.full((3, 3), "a")), "got <U1"),
    "nothing measured": (lambda: depth_to_row(np.zeros((3, 3))), "at least one measured pixel, got none"),
    "all nan": (lambda: depth_to_row(np.full((3, 3), np.nan), True), "at least one measured pixel, got none"),
    "infinitely near": (lambda: depth_to_row(np.diag([np.inf, 1, 2]), True), "got an infinite one"),
    "fraction": (lambda: labels_to_row(np.full((3, 3), 0.5)), "integers from 0 to 2047, got 0.5 to 0.5"),
    "negative": (lambda: labels_to_row(np.full((3, 3), -1)), "got -1 to -1"),
    "nan label": (lambda: labels_to_row(np.full((3, 3), np.nan)), "got nan to nan"),
    "too high": (lambda: labels_to_row(np.full((3, 3), 28), 28), "integers from 0 to 27, got 28 to 28"),
    "logits": (lambda: labels_to_row(np.zeros((28, 9, 9))), "got float64 of shape [28, 9, 9]"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_bad_maps_are_refused(case):
    call, text = BAD[case]
    with pytest.raises(SignXPoseError, match=re.escape(text)) as error:
        call()
    assert "\n" not in str(error.value)


def test_the_callers_maps_are_not_changed():
    depth, labels = np.linspace(0, 5, 900).reshape(30, 30), np.arange(900).reshape(30, 30) % 7
    before = depth.copy(), labels.copy()
    depth_to_row(depth)
    depth_to_row(depth, is_inverse=True)
    labels_to_row(labels)
    np.testing.assert_array_equal(depth, before[0])
    np.testing.assert_array_equal(labels, before[1])
