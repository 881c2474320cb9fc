"""Choose the size of tiles: small enough for the memory, large enough that the network does not see halo only."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dl4fiji.prediction.tiling import reads, up

WASTE = 4
"""Pixels that the network may see per pixel of the image before larger tiles are worth more memory."""

_EXACT, _RATIO = 64, 1.05
"""Numbers of parts that an axis is tried to be cut into: each one up to the first, then each so much larger."""


def choose_core(
    shape: Sequence[int],
    divisor: Sequence[int],
    halo: Sequence[int],
    budget: int,
    fixed: Sequence[int] = (),
    most: int = 0,
) -> tuple[int, ...]:
    """Return the size of a tile's core so that a tile with its halo has at most ``budget`` pixels.

    The longest core is cut first, into equal parts. A network that looks far sees mostly halo in such tiles: in volumes
    a thousand times the image's pixels is easily reached. Where they would show more than `WASTE` times the image, that
    size is taken by which least is seen twice, and where that is not enough, larger tiles.

    Parameters
    ----------
    shape
        Size of the image along the spatial axes.
    divisor, halo
        Of the network, per spatial axis; cores are multiples of the divisor.
    budget
        Pixels that the network may see at a time. Where not even the smallest tile fits, that one is taken.
    fixed
        Sizes that were asked for, 0 where free.
    most
        Pixels that it may see at a time where ``budget`` wastes too much; 0: no more than that.
    """
    fixed = tuple(fixed) or (0,) * len(shape)
    core = _cut_longest(shape, divisor, halo, budget, fixed)
    tile, seen = 1, 1
    for size, length, step, margin in zip(shape, core, divisor, halo, strict=True):
        starts, stops = reads(size, length, step, margin)
        tile, seen = tile * int((stops - starts).max()), seen * int((stops - starts).sum())
    if tile <= budget and seen <= WASTE * math.prod(map(up, shape, divisor)):
        return core
    return _least_seen(shape, divisor, halo, budget, fixed, most)


def _cut_longest(
    shape: Sequence[int], divisor: Sequence[int], halo: Sequence[int], budget: int, fixed: Sequence[int]
) -> tuple[int, ...]:
    """Cut the longest core, those that were asked for last, until a tile fits or is as small as can be."""
    parts = [1] * len(shape)

    def core(axis: int) -> int:
        wanted = min(fixed[axis] or shape[axis], shape[axis])
        return up(math.ceil(wanted / parts[axis]), divisor[axis])

    def pixels() -> int:
        return math.prod(min(core(axis) + 2 * halo[axis], up(size, divisor[axis])) for axis, size in enumerate(shape))

    while pixels() > budget:
        free = [axis for axis in range(len(shape)) if core(axis) > divisor[axis]]
        if not free:
            break
        longest = max(free, key=lambda axis: (not fixed[axis], core(axis)))
        before = core(longest)
        while core(longest) == before:
            parts[longest] += 1
    return tuple(core(axis) for axis in range(len(shape)))


def _least_seen(
    shape: Sequence[int], divisor: Sequence[int], halo: Sequence[int], budget: int, fixed: Sequence[int], most: int
) -> tuple[int, ...]:
    """Return the core, of equal parts along each axis, by which the network sees least; see `choose_core`."""
    axes = [_Cuts.of(*axis) for axis in zip(shape, divisor, halo, fixed, strict=True)]
    tile, seen = (_outer([getattr(axis, name) for axis in axes]) for name in ("tile", "seen"))
    enough = WASTE * math.prod(map(up, shape, divisor))
    fits = tile <= max(budget, tile.min())
    if seen[fits].min() > enough and most > budget:
        # No larger than it takes to see no more than that, or the least that there is.
        fits = tile <= max(most, tile.min())
        fits &= tile <= tile[fits & (seen <= max(enough, seen[fits].min()))].min()
    order = np.lexsort([tile[fits], seen[fits]])
    place = np.argwhere(fits)[order[0]]
    return tuple(int(axis.core[at]) for axis, at in zip(axes, place, strict=True))


@dataclass(frozen=True)
class _Cuts:
    """Ways to cut an axis into equal parts, (n,) each: the core, the longest tile, the sum of all tiles."""

    core: np.ndarray
    tile: np.ndarray
    seen: np.ndarray

    @classmethod
    def of(cls, size: int, step: int, margin: int, asked: int) -> _Cuts:
        wanted = min(asked or size, size)
        cores = up(-(-wanted // _parts(-(-wanted // step))), step)
        lengths = []
        for core in np.unique(cores):
            starts, stops = reads(size, int(core), step, margin)
            lengths.append((core, (stops - starts).max(), (stops - starts).sum()))
        return cls(*np.array(lengths, np.int64).T)


def _parts(most: int) -> np.ndarray:
    """Return the numbers of parts that are tried, 1 and ``most`` among them."""
    steps = 1 + math.ceil(math.log(most) / math.log(_RATIO))
    many = np.geomspace(1, most, steps).round().astype(np.int64)
    return np.unique(np.concatenate([np.arange(1, min(_EXACT, most) + 1), many, [most]]))


def _outer(factors: Sequence[np.ndarray]) -> np.ndarray:
    """Return the products of one of each, (n of the first, n of the second, …)."""
    result = np.ones((1,) * len(factors), np.int64)
    for axis, factor in enumerate(factors):
        result = result * factor.reshape([-1 if other == axis else 1 for other in range(len(factors))])
    return result
