"""Whether clean images have the intensities of their noisy partners."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dl4fiji.data.axes import move_axes
from dl4fiji.data.dataset import Sample
from dl4fiji.data.image import ImageSource

_BLOCK = 16
"""Side along Y and X of the blocks whose means are compared: noise and blur all but vanish in them."""

_MOST_SAMPLES = 8
_LARGEST = {"Z": 16, "Y": 1024, "X": 1024}
"""Pixels of an image that are looked at at most, about its center."""

_MOST_DEVIATION = 0.1
"""Of the range of the target; other exposures or cameras differ by far more."""

_LEAST_CONTRAST = 0.25
"""Of the range of the source; in stronger noise the structures would be small numbers for the network."""


def same_units(samples: Sequence[Sample], network_axes: str, low: float, high: float) -> bool:
    """Tell whether targets show the intensities of their sources, noise and blur aside.

    So it is where the target is the mean of many frames, or a slow scan at the same gain. The means of blocks of source
    and target are compared: in half of the images they differ, at the median, by no more than a tenth of the target's
    range, and that range is at least a quarter of the source's. Ranges are those between two percentiles.

    Parameters
    ----------
    samples
        Pairs; up to eight of them, evenly spread, are looked at.
    network_axes
        ``YXC`` or ``ZYXC``.
    low, high
        The percentiles, in %.

    Raises
    ------
    DataError
        If an image cannot be read.
    """
    pairs = [sample for sample in samples if sample.target is not None]
    if not pairs:
        return False
    chosen = np.unique(np.linspace(0, len(pairs) - 1, _MOST_SAMPLES).astype(int))
    agree = [_agree(pairs[number], network_axes, low, high) for number in chosen]
    return 2 * sum(agree) >= len(agree)


def _agree(sample: Sample, network_axes: str, low: float, high: float) -> bool:
    assert sample.target is not None
    extents = {axis: _middle(sample.extent(axis), _LARGEST[axis]) for axis in network_axes.removesuffix("C")}
    source, target = (_read(image, network_axes, extents) for image in (sample.source, sample.target))
    if source.shape != target.shape:
        return False
    ranges = [float(np.subtract(*np.percentile(image, (high, low)))) for image in (source, target)]
    if ranges[1] <= 0 or ranges[1] < _LEAST_CONTRAST * ranges[0]:
        return False
    deviation = float(np.median(np.abs(_block_means(source) - _block_means(target))))
    return deviation <= _MOST_DEVIATION * ranges[1]


def _middle(extent: slice, most: int) -> slice:
    size = min(extent.stop - extent.start, most)
    start = extent.start + (extent.stop - extent.start - size) // 2
    return slice(start, start + size)


def _read(image: ImageSource, network_axes: str, extents: dict[str, slice]) -> np.ndarray:
    return move_axes(image.region(**extents), image.axes, network_axes).astype(np.float32)


def _block_means(image: np.ndarray) -> np.ndarray:
    """Return the means over blocks along Y and X of an image (…, Y, X, C); what is left over at the end is left out."""
    *first, height, width, channels = image.shape
    sides = min(_BLOCK, height), min(_BLOCK, width)
    rows, columns = height // sides[0], width // sides[1]
    image = image[..., : rows * sides[0], : columns * sides[1], :]
    return image.reshape(*first, rows, sides[0], columns, sides[1], channels).mean(axis=(-4, -2))
