"""Targets of StarDist: for each place of a grid a probability and the distances along rays, from label images.

They are those of stardist's data generators (`stardist.models.model2d.StarDistData2D`,
`stardist.models.model3d.StarDistData3D`): the probability is the distance to the object's edge in units of the largest
in that object (`stardist.utils.edt_prob`), in planes measured on the grid, in volumes on all pixels; the distances are
those of `stardist.geometry.star_dist` and `star_dist3D`. What the rays step on is looked up in a table, objects are not
looked at one by one, and patches are worked on in threads.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Any

import numpy as np

_MOST_THREADS = 8
_SLABS = 4
"""Parts that a volume is cut into for the threads."""


def planes_targets(labels: np.ndarray, rays: int, grid: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """Return the targets of planes.

    Parameters
    ----------
    labels
        Axes NYX, whole numbers, 0 being the background; objects are cut at the border.
    rays
        Number of rays, evenly spread, the first along X, the next ones towards larger Y.
    grid
        Pixels per place along Y and X.

    Returns
    -------
    probability
        Float32, axes N, places along Y and X, 1.
    distances
        Float32, axes N, places along Y and X, rays + 1: the distances in pixels, and the probability again, by which
        stardist's loss weights them.
    """
    labels = np.ascontiguousarray(labels, np.int32)[:, np.newaxis]
    step = (1, *grid)
    angles = np.arange(rays, dtype=np.float32) * np.float32(2 * np.pi / rays)
    directions = np.stack([np.zeros_like(angles), np.sin(angles), np.cos(angles)], axis=1).astype(np.float32)
    places = np.ascontiguousarray(labels[:, :, :: grid[0], :: grid[1]])
    probability, distances = _targets(labels, directions.tobytes(), step, places, (1.0, 1.0, 1.0), (1, 1, 1), flat=True)
    return probability[:, 0], distances[:, 0]


def volumes_targets(
    labels: np.ndarray, directions: np.ndarray, grid: Sequence[int], anisotropy: Sequence[float]
) -> tuple[np.ndarray, np.ndarray]:
    """Return the targets of volumes.

    Parameters
    ----------
    labels
        Axes NZYX, whole numbers, 0 being the background; objects are cut at the border.
    directions
        Steps along the rays, rays × ZYX, such as the vertices of `stardist.rays3d.Rays_GoldenSpiral`.
    grid
        Pixels per place along Z, Y and X.
    anisotropy
        Length of a pixel along Z, Y and X, for the probability.

    Returns
    -------
    probability, distances
        As `planes_targets` has them, with places along Z, Y and X.
    """
    labels = np.ascontiguousarray(labels, np.int32)
    rays = np.asarray(directions, np.float32).tobytes()
    return _targets(labels, rays, tuple(grid), labels, tuple(anisotropy), tuple(grid), flat=False)


def _targets(
    labels: np.ndarray, rays: bytes, grid: tuple[int, ...], measured: np.ndarray, sampling: tuple[float, ...],
    every: tuple[int, ...], *, flat: bool,
) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """Return the targets of NZYX; the probability is measured on ``measured``, of which ``every`` pixel is taken."""
    from dl4fiji.data import star_kernels as kernels

    margin, offsets, lengths = _table(rays, labels.shape[1:], flat)
    padded = np.zeros((len(labels), *(n + 2 * m for n, m in zip(labels.shape[1:], margin, strict=True))), np.int32)
    padded[(slice(None), *(slice(m, m + n) for n, m in zip(labels.shape[1:], margin, strict=True)))] = labels
    strides = _strides(padded.shape[1:])
    first = sum(m * s for m, s in zip(margin, strides, strict=True))
    steps = np.array([g * s for g, s in zip(grid, strides, strict=True)], np.int64)
    counts = tuple(-(-n // g) for n, g in zip(labels.shape[1:], grid, strict=True))
    distances = np.empty((len(labels), *counts, len(offsets) + 1), np.float32)

    def march(number: int, slab: slice) -> None:
        part = distances[number, slab]
        start = first + slab.start * steps[0]
        kernels.march(padded[number].ravel(), start, steps, np.array(part.shape[:3]), offsets, lengths, part)

    def measure(number: int) -> None:
        whole = _probability(kernels, measured[number], np.array(sampling, np.float32))
        distances[number, ..., -1] = whole[tuple(slice(None, None, side) for side in every)]

    tasks: list[Callable[[], None]] = [_bind(measure, number) for number in range(len(labels))]
    for number in range(len(labels)):
        tasks += [_bind(march, number, slab) for slab in _slabs(counts)]
    for done in _threads().map(lambda task: task(), tasks):
        assert done is None
    return np.ascontiguousarray(distances[..., -1:]), distances


def _probability(kernels: Any, labels: np.ndarray, sampling: np.ndarray) -> np.ndarray:
    """Return stardist's object probability of ZYX labels."""
    constant = bool(labels.flat[0] > 0 and (labels == labels.flat[0]).all())
    squared = np.empty(labels.shape, np.float32)
    kernels.squared_distances(labels, sampling, constant, squared)
    largest = int(labels.max())
    if largest > 4 * labels.size:  # numbers far apart would need a long table
        labels = np.unique(labels, return_inverse=True)[1].reshape(labels.shape).astype(np.int32) + (labels.min() > 0)
        largest = int(labels.max())
    kernels.normalize(labels.ravel(), np.zeros(largest + 1, np.float32), squared.reshape(-1))
    return squared


@lru_cache(maxsize=16)
def _table(rays: bytes, shape: tuple[int, ...], flat: bool) -> tuple[tuple[int, ...], np.ndarray, np.ndarray]:
    """Return the margin of zeros that padded labels of ``shape`` need, and offset and length of each step.

    Parameters
    ----------
    rays
        Steps along the rays, float32, rays × ZYX, as bytes.
    shape
        Sizes along ZYX.
    flat
        Distances are those of stardist's planes, where the last step is taken back so far that the distance ends at
        the pixel's border; else those of its volumes, the distance to the first pixel's center outside.
    """
    directions = np.frombuffer(rays, np.float32).reshape(-1, 3)
    margin = tuple(int(far) for far in np.ceil(np.abs(directions).max(axis=0) - 1e-6).clip(0 if flat else 1))
    slowest = float(np.abs(directions).max(axis=1).min())
    count = int(np.ceil((max(shape) + 2) / slowest)) + 1
    points = np.cumsum(np.repeat(directions[:, np.newaxis], count, axis=1), axis=1, dtype=np.float32)
    pixels = np.rint(points)
    if flat:
        back = 1 - np.float32(0.5) / np.abs(directions).max(axis=1)
        lengths = np.linalg.norm(points - (back[:, np.newaxis] * directions)[:, np.newaxis], axis=-1)
    else:
        lengths = np.linalg.norm(pixels, axis=-1)
    strides = np.array(_strides([n + 2 * m for n, m in zip(shape, margin, strict=True)]))
    return margin, (pixels.astype(np.int64) * strides).sum(axis=-1), lengths.astype(np.float32)


def _strides(shape: Sequence[int]) -> tuple[int, ...]:
    """Return the steps of flat indices along ZYX."""
    return shape[1] * shape[2], shape[2], 1


def _slabs(counts: tuple[int, ...]) -> list[slice]:
    """Return parts along Z; planes are one part."""
    size = -(-counts[0] // _SLABS)
    return [slice(start, min(start + size, counts[0])) for start in range(0, counts[0], size)]


def _bind(function: Callable[..., None], *arguments: Any) -> Callable[[], None]:
    return lambda: function(*arguments)


@lru_cache(maxsize=1)
def _threads() -> ThreadPoolExecutor:
    """Return the threads, as many as there are cores for this process."""
    available = getattr(os, "sched_getaffinity", None)
    cores = len(available(0)) if available else os.cpu_count() or 1
    return ThreadPoolExecutor(min(cores, _MOST_THREADS), "dl4fiji-distances")
