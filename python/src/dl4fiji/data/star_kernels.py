"""The inner loops of `dl4fiji.data.star_distances`, compiled by numba; they release Python's lock while they run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
import numpy as np


def _compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile ``function`` when it is first called, and keep the result on disk where there is a place for it."""
    try:
        return numba.njit(nogil=True, cache=True)(function)
    except RuntimeError:  # neither the package's folder nor the user's cache can be written to
        return numba.njit(nogil=True)(function)


@_compiled
def march(padded: Any, first: Any, step: Any, counts: Any, offsets: Any, lengths: Any, out: Any) -> None:
    """Follow all rays from each place of a grid until they leave the object that the place lies in.

    Parameters
    ----------
    padded
        Labels, int32, one row of zeros or more around them, flat.
    first, step, counts
        Flat index of the first place, distance of places in flat indices, and number of places along the three axes
        (planes are stacks of one slice).
    offsets
        Flat index of the pixel that each step along each ray leads to, relative to the place: rays × steps. The last
        steps lead beyond any image.
    lengths
        The distance if a step is the first outside of the object, rays × steps.
    out
        Distances, places along the three axes × rays and more; 0 outside of objects.
    """
    for z in range(counts[0]):
        for y in range(counts[1]):
            for x in range(counts[2]):
                place = first + z * step[0] + y * step[1] + x * step[2]
                value = padded[place]
                if value == 0:
                    for ray in range(len(offsets)):
                        out[z, y, x, ray] = 0
                    continue
                for ray in range(len(offsets)):
                    at = 0
                    while padded[place + offsets[ray, at]] == value:
                        at += 1
                    out[z, y, x, ray] = lengths[ray, at]


@_compiled
def squared_distances(labels: Any, sampling: Any, edge: bool, out: Any) -> None:
    """Put into ``out`` the squared distance of each pixel of an object to the nearest pixel that is not of it.

    Exact; axis by axis, after Felzenszwalb and Huttenlocher 2012 (Theory of Computing 8:415), within runs of one
    label. What lies beyond the image is unknown, and no border, unless ``edge``.

    Parameters
    ----------
    labels
        Int32, axes ZYX.
    sampling
        Distance of neighboring pixels along each axis.
    edge
        Whether there is background around the image.
    out
        Float32, as large as ``labels``; 0 outside of objects.
    """
    depth, height, width = labels.shape
    for z in range(depth):
        for y in range(height):
            _along(labels[z, y], sampling[2], edge, True, out[z, y])
        for x in range(width):
            _along(labels[z, :, x], sampling[1], edge, False, out[z, :, x])
    if depth > 1:
        for y in range(height):
            for x in range(width):
                _along(labels[:, y, x], sampling[0], edge, False, out[:, y, x])


@_compiled
def _along(labels: Any, sampling: float, edge: bool, initial: bool, line: Any) -> None:
    """Take one axis into account: along ``line`` are the squared distances within the axes before.

    ``initial``: there was none.
    """
    size, start = len(labels), 0
    before = np.empty(size, np.float32)
    while start < size:
        value, stop = labels[start], start + 1
        while stop < size and labels[stop] == value:
            stop += 1
        if value == 0:
            line[start:stop] = 0
            start = stop
            continue
        left, right = start > 0 or edge, stop < size or edge
        for at in range(start, stop):
            before[at] = np.inf if initial else line[at]
        for at in range(start, stop):
            best = before[at]
            if left:
                best = min(best, np.float32(((at - start + 1) * sampling) ** 2))
            if right:
                best = min(best, np.float32(((stop - at) * sampling) ** 2))
            if not initial:
                away = 1
                while True:
                    beside = np.float32((away * sampling) ** 2)
                    if beside >= best or (at - away < start and at + away >= stop):
                        break
                    if at - away >= start:
                        best = min(best, before[at - away] + beside)
                    if at + away < stop:
                        best = min(best, before[at + away] + beside)
                    away += 1
            line[at] = best
        start = stop


@_compiled
def normalize(labels: Any, largest: Any, squared: Any) -> None:
    """Turn squared distances into distances, in units of the largest in each object.

    Parameters
    ----------
    labels
        Int32, any shape, flat, from 0 to less than the length of ``largest``.
    largest
        Float32 zeros; receives the largest squared distance of each object.
    squared
        Squared distances, flat; receives the result.
    """
    for index in range(len(labels)):
        value = labels[index]
        if squared[index] > largest[value]:
            largest[value] = squared[index]
    for index in range(len(labels)):
        value = labels[index]
        if value != 0:
            squared[index] = np.sqrt(squared[index]) / (np.sqrt(largest[value]) + np.float32(1e-10))
