"""Which candidates' fates hang on candidates that are not known yet.

Suppression goes through the candidates from the most to the least probable. One candidate can suppress another only if
the overlap of their bounding boxes exceeds the threshold times the size of the smaller one. So a candidate's fate is
open if its box comes near the part of the image that has not been read, or if that of a more probable one is open
that could suppress it. Compiled by numba, since it goes from candidate to candidate.
"""

from __future__ import annotations

import numpy as np
from numba import njit  # pyright: ignore[reportMissingTypeStubs]

_FINEST = 16
_LEVELS = 12

SLACK = 0.9
"""The bound is lowered by this factor: stardist computes sizes from corners cut to whole pixels."""


def spread(
    low: np.ndarray, high: np.ndarray, sizes: np.ndarray, seeds: np.ndarray, grow: bool, threshold: float
) -> np.ndarray:
    """Return which boxes are touched by an open box before them.

    Parameters
    ----------
    low, high
        Bounds of the boxes, int32 (n, 2 or 3), in the order of suppression.
    sizes
        Areas or volumes of the shapes in them, float32 (n,).
    seeds
        Boxes that are open from the start, bool (n,).
    grow
        Whether boxes that are touched become open themselves.
    threshold
        Two boxes touch if their overlap exceeds this share of the smaller shape.

    Returns
    -------
    ndarray
        bool (n,): the seeds and all that were touched.
    """
    if not len(low) or not seeds.any():
        return seeds.copy()
    if low.shape[1] == 2:  # a plane is a volume one pixel thick
        low, high = (np.pad(values, ((0, 0), (1, 0))) for values in (low, high))
    origin = low.min(axis=0)
    reach = (high - low).max(axis=1)
    level = np.clip(np.ceil(np.log2(np.maximum(reach, 1) / _FINEST)), 0, _LEVELS - 1).astype(np.int64)
    extent = (low.max(axis=0) - origin).astype(np.int64) + 1
    starts, shapes, widths = np.zeros(_LEVELS, np.int64), np.zeros((_LEVELS, 3), np.int64), np.zeros(_LEVELS, np.int64)
    cells = 0
    for index in range(_LEVELS):
        widths[index] = _FINEST << index
        shapes[index] = extent // widths[index] + 1
        starts[index] = cells
        cells += int(shapes[index].prod()) if (level == index).any() else 0
    longest = np.zeros(_LEVELS, np.int64)
    np.maximum.at(longest, level, reach)
    heads = np.full(cells, -1, np.int32)
    return _spread(
        np.ascontiguousarray(low - origin).astype(np.int64), np.ascontiguousarray(high - origin).astype(np.int64),
        np.maximum(sizes, 1e-10).astype(np.float64), seeds, level, longest, starts, shapes, widths, heads, grow,
        SLACK * threshold,
    )  # fmt: skip


@njit(cache=True, nogil=True)
def _spread(low, high, sizes, seeds, level, longest, starts, shapes, widths, heads, grow, threshold):
    """Go through the boxes in their order; open ones are in linked lists, one per cell of their lowest corner."""
    count = len(low)
    touched = seeds.copy()
    following = np.full(count, -1, np.int32)
    filled = np.zeros(len(longest), np.int64)
    for i in range(count):
        if not touched[i]:
            found = False
            for at_level in range(len(longest)):
                if filled[at_level] == 0:
                    continue
                width = widths[at_level]
                first = np.maximum(0, (low[i] - longest[at_level]) // width)
                last = np.minimum(shapes[at_level] - 1, high[i] // width)
                for z in range(first[0], last[0] + 1):
                    for y in range(first[1], last[1] + 1):
                        row = starts[at_level] + (z * shapes[at_level, 1] + y) * shapes[at_level, 2]
                        for x in range(first[2], last[2] + 1):
                            j = heads[row + x]
                            while j >= 0:
                                shared = 1.0
                                for axis in range(3):
                                    shared *= max(
                                        0, min(high[i, axis], high[j, axis]) - max(low[i, axis], low[j, axis]) + 1
                                    )
                                if shared > threshold * min(sizes[i], sizes[j]):
                                    found = True
                                    break
                                j = following[j]
                            if found:
                                break
                        if found:
                            break
                    if found:
                        break
                if found:
                    break
            touched[i] = found
        if seeds[i] or (grow and touched[i]):
            at_level = level[i]
            cell = (
                starts[at_level]
                + ((low[i, 0] // widths[at_level]) * shapes[at_level, 1] + low[i, 1] // widths[at_level])
                * shapes[at_level, 2]
                + low[i, 2] // widths[at_level]
            )
            following[i] = heads[cell]
            heads[cell] = i
            filled[at_level] += 1
    return touched
