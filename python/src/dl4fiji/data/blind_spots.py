"""Blind spots: some pixels of each patch get another value, and a network learns to tell the hidden one.

The masking of Noise2Void (Krull et al. 2019, CVPR; `n2v.internals.N2V_DataWrapper`, `n2v.utils.n2v_utils`), for all
patches of a batch at once. Each patch and channel is divided into boxes; each box hides one pixel, drawn uniformly;
a pixel that falls beyond the patch, where boxes overlap its border, is dropped.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

Manipulator = Literal["uniform_withCP", "uniform_withoutCP", "normal_withoutCP", "normal_fitted", "mean", "median"]
"""How a hidden pixel is replaced: by a neighbor drawn uniformly, the pixel itself (CP, center pixel) among them or
not; by a neighbor drawn with a Gaussian distance; by a value drawn from a Gaussian fitted to the neighborhood; or by
the mean or median of the neighbors."""

_SIGMA = 4.0
"""Standard deviation in pixels of the distance of ``normal_withoutCP``, as in n2v."""

_CHUNK = 1 << 20
"""Neighbors looked at together, 4 MiB."""


def box_sides(percent: float, shape: Sequence[int]) -> tuple[int, ...]:
    """Return the sides of the boxes of which each hides one pixel, so that ``percent`` of all pixels are hidden.

    The boxes are as cubic as the patch allows: along axes shorter than the box they are as long as the patch, and
    longer along the others. (n2v takes the square root of 100 / percent for the sides of volumes, too, and hides
    0.009 % where 0.198 % were asked for.)

    Parameters
    ----------
    percent
        Share of hidden pixels in percent.
    shape
        Spatial shape of a patch.
    """
    sides = [0] * len(shape)
    volume = 100 / percent
    rest = sorted(range(len(shape)), key=lambda axis: shape[axis])
    while rest:
        side = max(1, round(volume ** (1 / len(rest))))
        shortest = rest.pop(0)
        sides[shortest] = min(side, shape[shortest])
        volume = max(1.0, volume / sides[shortest])
        if sides[shortest] == side:
            for axis in rest:
                sides[axis] = side
            break
    return tuple(sides)


def mask_patches(
    patches: np.ndarray, boxes: Sequence[int], radius: int, manipulator: Manipulator, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Hide pixels of ``patches`` and return input and target of a training step.

    Parameters
    ----------
    patches
        Float32, axes N, spatial, C. Changed in place: hidden pixels get other values.
    boxes
        Sides of the boxes, see `box_sides`.
    radius
        Neighbors are at most so many pixels away along each axis; the neighborhood is cut at the patch's border.
    manipulator
        How hidden pixels are replaced.
    rng
        Draws all random numbers.

    Returns
    -------
    patches, target
        ``target`` (N, spatial, 2C) has, as n2v's losses want it, first the original values at hidden pixels (0
        elsewhere) and then the mask (1 at hidden pixels), each with as many channels as the patches.
    """
    patches = np.ascontiguousarray(patches, np.float32)
    channels = patches.shape[-1]
    sample, spots, channel = _draw_spots(patches.shape, boxes, rng)
    index = (sample, *spots.T, channel)
    hidden = patches[index]
    values = _replacements(patches, sample, spots, channel, radius, manipulator, rng)
    target = np.zeros((*patches.shape[:-1], 2 * channels), np.float32)
    target[index] = hidden
    target[(sample, *spots.T, channel + channels)] = 1
    patches[index] = values
    return patches, target


def _draw_spots(
    shape: tuple[int, ...], boxes: Sequence[int], rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return patch (M), place (M, spatial axes) and channel (M) of the pixels to hide."""
    size, sides = np.asarray(shape[1:-1]), np.asarray(boxes)
    counts = -(-size // sides)
    corners = np.stack(np.meshgrid(*map(np.arange, counts), indexing="ij"), -1).reshape(-1, len(sides)) * sides
    places = corners + rng.integers(0, sides, (shape[0], shape[-1], len(corners), len(sides)))
    sample, channel, box = np.nonzero((places < size).all(axis=-1))
    return sample, places[sample, channel, box], channel


def _replacements(
    patches: np.ndarray, sample: np.ndarray, spots: np.ndarray, channel: np.ndarray, radius: int,
    manipulator: Manipulator, rng: np.random.Generator,
) -> np.ndarray:  # fmt: skip
    """Return what the pixels at ``spots`` become (M)."""
    size = np.asarray(patches.shape[1:-1])
    low, high = np.maximum(spots - radius, 0), np.minimum(spots + radius + 1, size)
    if manipulator in ("uniform_withCP", "uniform_withoutCP"):
        neighbors = _uniform(spots, low, high, manipulator == "uniform_withCP", rng)
        return patches[(sample, *neighbors.T, channel)]
    if manipulator == "normal_withoutCP":
        return patches[(sample, *_normal(spots, size, rng).T, channel)]
    return _summarize(patches, sample, spots, channel, radius, manipulator, rng)


def _uniform(
    spots: np.ndarray, low: np.ndarray, high: np.ndarray, center: bool, rng: np.random.Generator
) -> np.ndarray:
    """Return for each spot a place (M, spatial axes) from ``low`` to ``high``, the spot itself only if ``center``."""
    if center:
        return rng.integers(low, high)
    lengths = high - low
    number = rng.integers(0, lengths.prod(axis=1) - 1)
    own = np.zeros(len(spots), np.intp)
    for axis in range(spots.shape[1]):
        own = own * lengths[:, axis] + (spots - low)[:, axis]
    number += number >= own
    places = np.empty_like(spots)
    for axis in reversed(range(spots.shape[1])):
        number, places[:, axis] = np.divmod(number, lengths[:, axis])
    return places + low


def _normal(spots: np.ndarray, size: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return for each spot a place at a Gaussian distance, within the patch, never the spot itself."""
    places = spots.copy()
    left = np.arange(len(spots))
    while len(left):
        drawn = np.rint(rng.normal(spots[left], _SIGMA)).astype(spots.dtype)
        places[left] = np.clip(drawn, 0, size - 1)
        left = left[(places[left] == spots[left]).all(axis=1)]
    return places


def _summarize(
    patches: np.ndarray, sample: np.ndarray, spots: np.ndarray, channel: np.ndarray, radius: int,
    manipulator: Manipulator, rng: np.random.Generator,
) -> np.ndarray:  # fmt: skip
    """Return for each spot mean or median of its neighbors, or a value drawn from a Gaussian fitted to all."""
    side, dimensions = 2 * radius + 1, spots.shape[1]
    margins = [(0, 0), *[(radius, radius)] * dimensions, (0, 0)]
    padded = np.pad(patches, margins, constant_values=np.nan)  # NaN marks what lies beyond the patch
    axes = tuple(range(1, dimensions + 1))
    windows = sliding_window_view(padded, (side,) * dimensions, axes)  # type: ignore[call-overload] # numpy knows it
    values = np.empty(len(spots), np.float32)
    step = max(1, _CHUNK // side**dimensions)
    for start in range(0, len(spots), step):
        part = slice(start, start + step)
        found = windows[(sample[part], *spots[part].T, channel[part])].reshape(-1, side**dimensions)
        if manipulator != "normal_fitted":
            found[:, found.shape[1] // 2] = np.nan
        values[part] = _statistic(found, manipulator, rng)
    return values


def _statistic(found: np.ndarray, manipulator: Manipulator, rng: np.random.Generator) -> np.ndarray:
    """Return one value per row of ``found``, NaN left out."""
    beyond = np.isnan(found)
    count = found.shape[1] - beyond.sum(axis=1)
    if manipulator == "median":
        found.sort(axis=1)  # NaN last
        rows = np.arange(len(found))
        return (found[rows, (count - 1) // 2] + found[rows, count // 2]) / 2
    found[beyond] = 0
    mean = found.sum(axis=1) / count
    if manipulator == "mean":
        return mean
    found -= mean[:, np.newaxis]
    found[beyond] = 0
    return rng.normal(mean, np.sqrt(np.square(found).sum(axis=1) / count))
