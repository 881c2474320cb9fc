"""Where patches show more than background, by the definition of csbdeep.

csbdeep's ``no_background_patches`` (csbdeep/data/generate.py) admits a patch if the largest pixel of the target in
the central half of the patch exceeds ``threshold`` times the 99.9th percentile of the target. Here the same is
computed on a grid of an eighth of the patch, so that drawing takes no time and large images little memory; a patch
is drawn up to one step of the grid beside a position so admitted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from dl4fiji.data.axes import move_axes
from dl4fiji.data.normalization import Pixels, percentiles

_MOST_CELLS = 4 << 20
_STRIP = 4 << 20
"""Pixels that are looked at at a time."""


@dataclass(frozen=True)
class Background:
    """Which patches are too empty.

    Parameters
    ----------
    threshold
        Share of the bright pixels' value that some pixel of a patch must exceed.
    percentile
        Percentile of the target that stands for its bright pixels.
    share
        Share of the patches that are taken wherever they lie.
    """

    threshold: float = 0.4
    percentile: float = 99.9
    share: float = 0.0


@dataclass(frozen=True)
class Grid:
    """Positions where patches may begin, on a grid.

    Parameters
    ----------
    origin, last
        First and last possible start along each spatial axis.
    step
        Distance of the grid's positions.
    allowed
        Boolean per position of the grid.
    share
        Share of the patches that are taken wherever they lie.
    """

    origin: tuple[int, ...]
    last: tuple[int, ...]
    step: tuple[int, ...]
    allowed: np.ndarray
    numbers: np.ndarray
    """Flat indices of the allowed positions."""
    share: float

    def draw(self, rng: np.random.Generator) -> list[int]:
        """Draw where a patch begins."""
        if self.share and rng.random() < self.share:
            return [int(rng.integers(first, last + 1)) for first, last in zip(self.origin, self.last, strict=True)]
        number = int(self.numbers[rng.integers(len(self.numbers))])
        place = np.unravel_index(number, self.allowed.shape)
        jitter = rng.random(len(self.step))
        return [
            min(last, first + int(index) * step + int(beside * step))
            for first, last, index, step, beside in zip(self.origin, self.last, place, self.step, jitter, strict=True)
        ]

    def allows(self, start: Sequence[int]) -> bool:
        """Tell whether a patch may begin at ``start``, judged by the nearest position of the grid."""
        place = tuple(
            min(round((int(at) - first) / step), count - 1)
            for at, first, step, count in zip(start, self.origin, self.step, self.allowed.shape, strict=True)
        )
        return bool(self.allowed[place])


def allowed_starts(
    target: Pixels,
    network_axes: str,
    extents: Sequence[slice],
    patch: Sequence[int],
    background: Background,
) -> Grid | None:
    """Return where patches may begin, or None if no place shows more than background.

    Parameters
    ----------
    target
        The target image.
    network_axes
        Axes of the network, channels last.
    extents
        Part, along the network's spatial axes, of the image that patches may be taken from.
    patch
        Size of a patch.
    background
        The definition of background.
    """
    step = [max(1, size // 8) for size in patch]
    while np.prod([(part.stop - part.start) / s for part, s in zip(extents, step, strict=True)]) > _MOST_CELLS:
        step = [2 * s if s < size // 2 else s for s, size in zip(step, patch, strict=True)]
        if all(s >= size // 2 for s, size in zip(step, patch, strict=True)):
            break
    coarse = _maxima(target, network_axes, extents, step)
    allowed = None
    for channel in range(coarse.shape[-1]):
        number = channel if "C" in target.axes else None
        (bright,) = percentiles(target, [background.percentile], channel=number)
        seen = _central_maxima(coarse[..., channel], extents, patch, step) > background.threshold * bright
        allowed = seen if allowed is None else allowed | seen
    assert allowed is not None
    numbers = np.flatnonzero(allowed)
    if not len(numbers):
        return None
    origin = tuple(part.start for part in extents)
    last = tuple(part.stop - size for part, size in zip(extents, patch, strict=True))
    return Grid(origin, last, tuple(step), allowed, numbers, background.share)


def _maxima(target: Pixels, network_axes: str, extents: Sequence[slice], step: Sequence[int]) -> np.ndarray:
    """Return the largest pixel of each cell of ``step`` pixels, per channel."""
    rest = int(np.prod([part.stop - part.start for part in extents[1:]]))
    rows = max(1, _STRIP // (rest * step[0])) * step[0]
    strips = []
    for start in range(extents[0].start, extents[0].stop, rows):
        window = (slice(start, min(start + rows, extents[0].stop)), *extents[1:])
        parts = dict(zip(network_axes, window, strict=False))
        block = target.region(**{axis: part for axis, part in parts.items() if axis in target.axes})
        block = move_axes(block, target.axes, network_axes)
        for axis, size in enumerate(step):
            if size > 1:
                block = np.maximum.reduceat(block, np.arange(0, block.shape[axis], size), axis)
        strips.append(block)
    return np.concatenate(strips)


def _central_maxima(
    coarse: np.ndarray, extents: Sequence[slice], patch: Sequence[int], step: Sequence[int]
) -> np.ndarray:
    """Return the largest pixel of the central half of the patch that begins at each position of the grid."""
    for axis, (part, size, s) in enumerate(zip(extents, patch, step, strict=True)):
        first = (size // 4) // s
        width = max(1, -(-(size // 4 + size // 2) // s) - first)
        places = (part.stop - part.start - size) // s + 1
        # The origin makes the window of maximum_filter1d begin at a cell in place of being centered on it.
        filtered = ndimage.maximum_filter1d(coarse, width, axis, mode="nearest", origin=-(width // 2))
        coarse = np.take(filtered, np.arange(first, first + places).clip(max=filtered.shape[axis] - 1), axis)
    return coarse
