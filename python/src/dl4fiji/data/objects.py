"""The objects of label images, measured: sizes, separate pieces, which of them reach the border."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from dl4fiji.data.axes import move_axes
from dl4fiji.data.image import ImageSource

_MOST_PIXELS = 64 << 20
"""Of larger planes and stacks only the middle is measured."""

_TABLE = 1 << 24
"""Labels up to this are counted in a table, larger ones by sorting the pixels."""


@dataclass(frozen=True)
class Objects:
    """The objects of one plane or stack, one row each, in the order of their labels.

    Parameters
    ----------
    name
        File, with frame and slice where it has several.
    shape
        Pixels along the spatial axes of what was measured.
    labels
        Number of each object in the file.
    pixels
        How many pixels it has.
    first, extents
        Where its bounding box begins, and the box's sides, in pixels along the spatial axes.
    pieces
        Connected areas it consists of, those touching at a corner being one.
    """

    name: str
    shape: tuple[int, ...]
    labels: np.ndarray
    pixels: np.ndarray
    first: np.ndarray
    extents: np.ndarray
    pieces: np.ndarray

    def __len__(self) -> int:
        """Return the number of objects."""
        return len(self.labels)

    @property
    def at_border(self) -> np.ndarray:
        """Tell for each object whether it reaches the border of the image (in stacks: along Y or X)."""
        last = self.first + self.extents
        return ((self.first == 0) | (last == np.asarray(self.shape)))[:, -2:].any(axis=1)

    @property
    def covered(self) -> tuple[float, ...]:
        """Which share of the image's length along each axis lies between the first and the last object."""
        if not len(self):
            return (0.0,) * len(self.shape)
        span = (self.first + self.extents).max(axis=0) - self.first.min(axis=0)
        return tuple((span / np.asarray(self.shape)).tolist())


def measure_image(image: ImageSource, spatial_axes: str) -> Iterator[Objects]:
    """Measure the objects of each plane (``YX``) or stack (``ZYX``) of a label image.

    Planes and stacks beyond 64 million pixels are measured in their middle only.
    """
    sizes = image.sizes
    others = {axis: sizes[axis] for axis in "TZ" if axis not in spatial_axes}
    shrink = max(1.0, (math.prod(sizes[axis] for axis in spatial_axes) / _MOST_PIXELS) ** (1 / len(spatial_axes)))
    window = {}
    for axis in spatial_axes:
        kept = math.ceil(sizes[axis] / shrink)
        first = (sizes[axis] - kept) // 2
        if axis in image.axes:
            window[axis] = slice(first, first + kept)
    for index in np.ndindex(*others.values()):
        at = dict(zip(others, index, strict=True))
        name = image.path.name
        name += f", frame {at['T'] + 1}" if sizes["T"] > 1 else ""
        name += f", slice {at['Z'] + 1}" if "Z" in at and sizes["Z"] > 1 else ""
        part = image.at(**at)
        yield measure(move_axes(part.region(**window), part.axes, spatial_axes), name)


def measure(labels: np.ndarray, name: str = "") -> Objects:
    """Measure the objects of a label image of any number of dimensions."""
    numbers, pixels, dense = _count(labels)
    boxes = ndimage.find_objects(dense, len(numbers))
    connected = np.ones((3,) * labels.ndim)
    first = np.zeros((len(numbers), labels.ndim), np.int64)
    extents, pieces = np.zeros_like(first), np.ones(len(numbers), np.int64)
    for row, box in enumerate(boxes):
        first[row] = [part.start for part in box]
        extents[row] = [part.stop - part.start for part in box]
        if pixels[row] < extents[row].prod():  # a box that is filled is in one piece
            pieces[row] = ndimage.label(dense[box] == row + 1, connected, output=np.empty(extents[row], np.int32))
    return Objects(name, labels.shape, numbers, pixels, first, extents, pieces)


def _count(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the labels there are, their pixels, and the image with these numbered from 1 without gaps, int32."""
    largest = int(labels.max(initial=0))
    if largest < _TABLE:
        counts = np.bincount(labels.ravel(), minlength=1)
        counts[0] = 0
        numbers = np.flatnonzero(counts)
        table = np.zeros(len(counts), np.int32)
        table[numbers] = np.arange(1, len(numbers) + 1)
        return numbers, counts[numbers], table[labels]
    values, inverse, counts = np.unique(labels, return_inverse=True, return_counts=True)
    dense = inverse.reshape(labels.shape).astype(np.int32)
    if values[0] == 0:
        return values[1:], counts[1:], dense
    return values, counts, dense + 1
