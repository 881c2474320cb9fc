"""Which candidates wait, against going through all pairs."""

from __future__ import annotations

import numpy as np
import pytest

from dl4fiji.prediction.reach import SLACK, spread


def _brute(low: np.ndarray, high: np.ndarray, sizes: np.ndarray, seeds: np.ndarray, grow: bool, threshold: float):
    touched, is_open = seeds.copy(), seeds.copy()
    for i in range(len(low)):
        for j in np.flatnonzero(is_open[:i]):
            shared = np.prod(np.maximum(0, np.minimum(high[i], high[j]) - np.maximum(low[i], low[j]) + 1.0))
            touched[i] |= shared > SLACK * threshold * min(sizes[i], sizes[j])
        is_open[i] |= grow and touched[i]
    return touched


@pytest.mark.parametrize("axes", [2, 3])
@pytest.mark.parametrize("grow", [True, False])
@pytest.mark.parametrize("threshold", [0.0, 0.4])
def test_it_is_what_all_pairs_give(axes: int, grow: bool, threshold: float) -> None:
    """Small boxes, large ones, one as large as everything, in any place."""
    rng = np.random.default_rng(axes)
    count = 600
    half = rng.integers(2, 12, (count, axes))
    half[::29] *= 9
    half[400] = 500
    center = rng.integers(-50, (900, 120)[axes - 2], (count, axes))
    low, high = (center - half).astype(np.int32), (center + half).astype(np.int32)
    sizes = (0.6 * np.prod(high - low + 1, axis=1)).astype(np.float32)
    seeds = rng.random(count) < 0.02
    seeds[401:] = False
    found = spread(low, high, sizes, seeds, grow, threshold)
    expected = _brute(low, high, sizes, seeds, grow, threshold)
    np.testing.assert_array_equal(found, expected)
    assert seeds.sum() < found.sum() < count


def test_without_seeds_nothing_is_touched() -> None:
    boxes = np.zeros((3, 2), np.int32)
    assert not spread(boxes, boxes + 5, np.ones(3, np.float32), np.zeros(3, np.bool_), True, 0.4).any()
    empty = np.zeros((0, 3), np.int32)
    assert len(spread(empty, empty, np.zeros(0, np.float32), np.zeros(0, np.bool_), True, 0.4)) == 0
