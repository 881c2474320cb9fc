"""Mean and standard deviation of a whole data set, exact and in bounded memory."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from dl4fiji.data.dataset import Dataset, Sample
from dl4fiji.data.normalization import FixedNormalization, blocks, require_finite


def fixed_normalization(dataset: Dataset) -> FixedNormalization:
    """Return mean and standard deviation of each source channel over all training pixels.

    Pixels kept aside for validation are left out; each image is read once per channel, block by block. The same
    data set gives the same numbers to the last bit.

    Parameters
    ----------
    dataset
        Split into training and validation.

    Raises
    ------
    DataError
        If pixels are NaN or infinite; the sentence names the file.
    """
    moments = [_moments(dataset.train, dataset.spatial_axes, channel) for channel in range(dataset.channels_in)]
    return FixedNormalization(mean=tuple(mean for mean, _ in moments), std=tuple(std for _, std in moments))


def _moments(samples: Iterable[Sample], spatial_axes: str, channel: int) -> tuple[float, float]:
    """Return mean and standard deviation; parts are combined as in Chan, Golub and LeVeque (1979)."""
    count, mean, squares = 0, 0.0, 0.0
    for sample in samples:
        part = _Part(sample, spatial_axes)
        for block in blocks(part, {"C": channel} if "C" in part.axes else {}):
            values = block.astype(np.float64)
            require_finite(values, part.path)
            own = float(values.mean())
            delta, total = own - mean, count + values.size
            squares += float(np.square(values - own).sum()) + delta * delta * count * values.size / total
            mean += delta * values.size / total
            count = total
    return mean, math.sqrt(squares / count)


class _Part:
    """The part of a sample that patches may be taken from, readable like an image."""

    def __init__(self, sample: Sample, spatial_axes: str) -> None:
        self._image = sample.source
        self._starts: Mapping[str, int] = {axis: sample.extent(axis).start for axis in spatial_axes}
        sizes = {axis: sample.extent(axis).stop - sample.extent(axis).start for axis in spatial_axes}
        self.axes = self._image.axes
        self.shape = tuple(sizes.get(axis, self._image.sizes[axis]) for axis in self.axes)
        self.path: Path = self._image.path

    def region(self, **parts: slice | int) -> np.ndarray:
        """Return pixels at places counted from the part's first pixel; all along axes that are not named."""
        places: dict[str, slice | int] = {}
        for axis, size in zip(self.axes, self.shape, strict=True):
            start, part = self._starts.get(axis, 0), parts.get(axis, slice(0, size))
            places[axis] = part + start if isinstance(part, int) else slice(part.start + start, part.stop + start)
        return self._image.region(**places)
