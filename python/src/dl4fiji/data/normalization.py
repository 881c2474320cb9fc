"""Normalisation: one definition for training, validation, prediction, export and Fiji."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
from pydantic import BaseModel, ConfigDict

from dl4fiji.errors import DataError

EPSILON = 1e-6
"""Added to the range, as DeepImageJ's ``scale_range`` does."""


class Scale(BaseModel):
    """A linear map per channel: ``(x - offset) / scale``. Channels are the last axis."""

    model_config = ConfigDict(frozen=True)

    offset: tuple[float, ...]
    scale: tuple[float, ...]

    def apply(self, image: np.ndarray) -> np.ndarray:
        """Normalise ``image`` (…C) to float32."""
        offset, scale = (np.asarray(values, np.float32) for values in (self.offset, self.scale))
        return (image.astype(np.float32) - offset) / scale

    def undo(self, image: np.ndarray) -> np.ndarray:
        """Return normalised values (…C) to the image's units."""
        offset, scale = (np.asarray(values, np.float32) for values in (self.offset, self.scale))
        return image * scale + offset


class PercentileNormalization(BaseModel):
    """Percentiles of each image and channel to 0 and 1.

    The percentile is ``sorted[int(n · p)]`` without interpolation, the definition of DeepImageJ's
    ``scale_range``, so that Fiji and Python agree to float precision.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["percentile"] = "percentile"
    low: float = 2.0
    high: float = 99.8


class FixedNormalization(BaseModel):
    """Mean and standard deviation per channel of the training data, for all images alike."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["fixed"] = "fixed"
    mean: tuple[float, ...]
    std: tuple[float, ...]


class ZScoreNormalization(BaseModel):
    """Each image and channel to mean 0 and standard deviation 1."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["zscore"] = "zscore"


Normalization = PercentileNormalization | FixedNormalization | ZScoreNormalization

REPLACE_NAN = "replace them in Fiji (Process ▸ Noise ▸ Remove NaNs, or Process ▸ Math ▸ Macro)"
"""The remedy for pixels that are not finite."""

_BLOCK = 4 << 20
"""Pixels taken at a time: counting turns them into 8 bytes each, 32 MiB."""


class Pixels(Protocol):
    """What `fit` reads: an `ImageSource`."""

    @property
    def path(self) -> Path:
        """The file, for messages."""
        ...

    @property
    def axes(self) -> str:
        """Letters of the axes."""
        ...

    @property
    def shape(self) -> tuple[int, ...]:
        """Numbers of pixels along the axes."""
        ...

    def region(self, **parts: slice | int) -> np.ndarray:
        """Return a part of the pixels."""
        ...


def fit(normalization: Normalization, image: Pixels | np.ndarray, axes: str = "", channel_axis: str = "C") -> Scale:
    """Return the scale that normalizes ``image``, exact and in bounded memory.

    Parameters
    ----------
    normalization
        What to fit.
    image
        An image file, read in blocks of some 32 MiB, or an array.
    axes
        Axes of the array; for a file they are known.
    channel_axis
        Channels are normalized each on its own; without that axis there is one channel.

    Raises
    ------
    DataError
        If pixels are NaN or infinite; the sentence names the file.
    """
    if isinstance(normalization, FixedNormalization):
        return Scale(offset=normalization.mean, scale=normalization.std)
    pixels = _ArrayPixels(image, axes) if isinstance(image, np.ndarray) else image
    channels = pixels.shape[pixels.axes.index(channel_axis)] if channel_axis in pixels.axes else 0
    selections: list[dict[str, int]] = [{channel_axis: channel} for channel in range(channels)] or [{}]
    offsets, scales = [], []
    for selection in selections:
        if isinstance(normalization, ZScoreNormalization):
            low, width = _moments(pixels, selection)
        else:
            ranks = _ranks(pixels, selection, (normalization.low, normalization.high))
            low, high = order_statistics(pixels, selection, ranks)
            width = high - low
        offsets.append(low)
        scales.append(width + EPSILON)
    return Scale(offset=tuple(offsets), scale=tuple(scales))


def percentiles(
    image: Pixels | np.ndarray, percents: Sequence[float], axes: str = "", *, channel: int | None = None
) -> list[float]:
    """Return ``sorted[int(n · p / 100)]`` for each of ``percents``, of one channel or of all."""
    selection = {} if channel is None else {"C": channel}
    pixels = _ArrayPixels(image, axes) if isinstance(image, np.ndarray) else image
    return order_statistics(pixels, selection, _ranks(pixels, selection, percents))


def _ranks(pixels: Pixels, selection: dict[str, int], percents: Sequence[float]) -> list[int]:
    count = math.prod(size for axis, size in zip(pixels.axes, pixels.shape, strict=True) if axis not in selection)
    return [min(int(count * percent / 100), count - 1) for percent in percents]


def order_statistics(pixels: Pixels, selection: dict[str, int], ranks: Sequence[int]) -> list[float]:
    """Return the values at ``ranks`` (0 = smallest) of the sorted pixels.

    Exact: a histogram over all values of integers up to 16 bits; for other types, taken as float32, one over the
    upper and one over the lower half of the bits of a key that sorts like the numbers.
    """
    parts = blocks(pixels, selection)
    first = next(parts)
    if first.dtype.kind in "iu" and first.dtype.itemsize <= 2:
        lowest = int(np.iinfo(first.dtype).min)
        counts = np.zeros(1 << (8 * first.dtype.itemsize), np.int64)
        for block in itertools.chain([first], parts):
            counts += np.bincount(block.ravel().astype(np.int32) - lowest, minlength=len(counts))
        return [float(bin_ + lowest) for bin_, _ in (_find(counts, rank) for rank in ranks)]
    counts = np.zeros(1 << 16, np.int64)
    for block in itertools.chain([first], parts):
        counts += np.bincount(_keys(block, pixels) >> 16, minlength=len(counts))
    found = [_find(counts, rank) for rank in ranks]
    finer = {upper: np.zeros(1 << 16, np.int64) for upper, _ in found}
    for block in blocks(pixels, selection):
        keys = _keys(block, pixels)
        for upper in finer:
            finer[upper] += np.bincount(keys[keys >> 16 == upper] & 0xFFFF, minlength=1 << 16)
    return [_value((upper << 16) | _find(finer[upper], rest)[0]) for upper, rest in found]


def _find(counts: np.ndarray, rank: int) -> tuple[int, int]:
    """Return the bin that holds the pixel of ``rank``, and its rank within that bin."""
    ends = np.cumsum(counts)
    index = int(np.searchsorted(ends, rank, side="right"))
    return index, rank - int(ends[index] - counts[index])


def _keys(block: np.ndarray, pixels: Pixels) -> np.ndarray:
    """Return uint32 keys that sort like the float32 values of ``block``; -0.0 counts as 0.0."""
    values = block.ravel().astype(np.float32) + np.float32(0)
    require_finite(values, pixels.path)
    bits = values.view(np.uint32)
    return np.where(bits >> 31, ~bits, bits | np.uint32(1 << 31))


def _value(key: int) -> float:
    """Return the number of a key of `_keys`."""
    bits = key ^ (1 << 31) if key >> 31 else ~key & 0xFFFFFFFF
    return float(np.uint32(bits).view(np.float32))


def require_finite(values: np.ndarray, path: Path) -> None:
    """Raise DataError naming the file if pixels are NaN or infinite."""
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        what = "NaN (not a number)" if np.isnan(values).any() else "infinite"
        name = f"{path.name} in {path.parent}" if path.name else "The image"
        raise DataError(f"{name} has pixels that are {what}: {REPLACE_NAN}.")


def _moments(pixels: Pixels, selection: dict[str, int]) -> tuple[float, float]:
    """Return mean and standard deviation; blocks are combined as in Chan, Golub and LeVeque (1979)."""
    count, mean, squares = 0, 0.0, 0.0
    for block in blocks(pixels, selection):
        values = block.astype(np.float64)
        require_finite(values, pixels.path)
        own = float(values.mean())
        delta = own - mean
        total = count + values.size
        squares += float(np.square(values - own).sum()) + delta * delta * count * values.size / total
        mean += delta * values.size / total
        count = total
    return mean, math.sqrt(squares / count)


def blocks(pixels: Pixels, selection: dict[str, int]) -> Iterator[np.ndarray]:
    """Yield all pixels at ``selection`` in blocks of at most `_BLOCK` pixels, at least one row each."""
    free = [(axis, size) for axis, size in zip(pixels.axes, pixels.shape, strict=True) if axis not in selection]
    split = 0
    while split < len(free) - 1 and math.prod(size for _, size in free[split + 1 :]) > _BLOCK:
        split += 1
    if not free:
        yield pixels.region(**selection)
        return
    inner = math.prod(size for _, size in free[split + 1 :])
    step = max(1, _BLOCK // inner)
    axis, length = free[split]
    for position in np.ndindex(*[size for _, size in free[:split]]):
        fixed = {name: int(index) for (name, _), index in zip(free[:split], position, strict=True)}
        for start in range(0, length, step):
            yield pixels.region(**selection, **fixed, **{axis: slice(start, min(start + step, length))})


class _ArrayPixels:
    """An array that can be read like a file."""

    path = Path()

    def __init__(self, array: np.ndarray, axes: str) -> None:
        self.axes = axes or "ZYXC"[-array.ndim :]
        if len(self.axes) != array.ndim:
            raise ValueError(f"axes {axes!r} for an array of {array.ndim} dimensions")
        self.shape = array.shape
        self._array = array

    def region(self, **parts: slice | int) -> np.ndarray:
        return self._array[tuple(parts.get(axis, slice(None)) for axis in self.axes)]
