"""How large the objects of label images are, and what follows for networks that find objects.

The extents are those of stardist's ``calculate_extents`` (stardist/utils.py): medians of the sides of the bounding
boxes. Here they are taken over the objects of all images together, without those cut by the border.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dl4fiji.data.dataset import Dataset
from dl4fiji.data.image import ImageSource
from dl4fiji.data.objects import Objects, measure_image

FLAT = 1.5
"""An axis along which objects are so many times shorter than along the longest one keeps grid 1, as stardist's
examples for volumes have it."""

_PLACES, _PLACES_OF_SMALL = 10, 4
"""Places of the grid that the median object and a small one shall span."""

_LARGEST_GRID = {2: 4, 3: 2}
"""By the number of axes."""

_FEW = 5
"""From fewer objects no anisotropy is taken where the images tell their pixel sizes."""

_STEP = 16
"""Patch sizes that are proposed are multiples of this times the grid: what most networks' poolings ask for."""

_SMALLEST_PATCH, _LARGEST_PATCH = {2: 64, 3: 32}, {2: 1024, 3: 192}
_MANY_RAYS = {2: 80, 3: 0}
"""Objects beyond this diameter get twice the usual rays."""


@dataclass(frozen=True)
class ObjectSize:
    """Sizes of the objects of a training, and what is proposed because of them.

    Parameters
    ----------
    axes
        ``YX`` or ``ZYX``; all that follows has one number for each.
    count, at_border
        Objects that were measured, and how many of them reach the border.
    extents
        Median sides of the objects' bounding boxes, in pixels.
    large, small
        The sides that 9 of 10 objects do not exceed, and that 9 of 10 exceed, in pixels.
    room
        Pixels of the smallest image; of a single image, which is cut for validation, half of its longest side.
    pixel_size
        Sizes of a pixel, in one unit, where the images tell them; else empty.
    """

    axes: str
    count: int
    at_border: int
    extents: tuple[float, ...]
    large: tuple[float, ...]
    small: tuple[float, ...]
    room: tuple[int, ...]
    pixel_size: tuple[float, ...] = ()

    @property
    def diameter(self) -> float:
        """Median diameter in the plane, in pixels."""
        return float(np.mean(self.extents[-2:]))

    @property
    def anisotropy(self) -> tuple[float, ...]:
        """How many times shorter than along the longest axis objects look, rounded to hundredths.

        Measured on the objects; of few objects the pixel sizes tell it if they are known. 1 along Y and X where
        these differ by less than a tenth.
        """
        sides = np.asarray(self.extents)
        if self.count < _FEW and self.pixel_size:
            sides = 1 / np.asarray(self.pixel_size)
        if abs(sides[-1] / sides[-2] - 1) < 0.1:
            sides[-2:] = sides[-2:].mean()
        return tuple(round(float(value), 2) for value in sides.max() / sides)

    @property
    def grid(self) -> tuple[int, ...]:
        """Pixels per place along each axis at which a network needs to predict: powers of 2.

        The median object spans 10 places or more, a small one 4, so that none is missed. Axes along which objects
        are 1.5 times shorter or more have 1.
        """
        dimensions = len(self.axes)
        largest = min(max(self.extents) / _PLACES, max(self.small) / _PLACES_OF_SMALL)
        grid = 1
        while grid < _LARGEST_GRID[dimensions] and 2 * grid <= largest:
            grid *= 2
        return tuple(1 if factor > FLAT else grid for factor in self.anisotropy)

    @property
    def patch_size(self) -> tuple[int, ...]:
        """Patch that shows large objects whole with what is around them: three times their sides, or all there is."""
        dimensions = len(self.axes)
        steps = [_STEP * side for side in self.grid]
        wanted = [min(max(3 * side, _SMALLEST_PATCH[dimensions]), _LARGEST_PATCH[dimensions]) for side in self.large]
        wanted[-2:] = [max(wanted[-2:])] * 2
        rounded = [math.ceil(side / step) * step for side, step in zip(wanted, steps, strict=True)]
        most = [max(step, whole // step * step) for step, whole in zip(steps, self.room, strict=True)]
        most[-2:] = [min(most[-2:])] * 2
        return tuple(map(min, rounded, most))

    @property
    def rays(self) -> int:
        """Directions in which the distance to an object's edge is predicted: 32 or 64 in planes, 96 in volumes."""
        if len(self.axes) == 3:
            return 96
        return 64 if self.diameter > _MANY_RAYS[2] else 32

    def summary(self) -> str:
        """Return e.g. ``3 of 40 objects touch the border; the median diameter is 21 px, so grid 2``."""
        noun = "object" if self.count == 1 else "objects"
        touch = "touches" if self.at_border == 1 else "touch"
        border = f"{self.at_border} of {self.count} {noun} {touch} the border"
        if not self.at_border:
            border = f"{self.count} {noun}, none at the border"
        if len(self.axes) == 2:
            grid = self.grid[0] if len(set(self.grid)) == 1 else "×".join(map(str, self.grid))
            return f"{border}; the median diameter is {self.diameter:.0f} px, so grid {grid}"
        sides = "×".join(f"{side:.0f}" for side in self.extents)
        grid = "×".join(map(str, self.grid))
        factors = " ".join(f"{factor:g}" for factor in self.anisotropy)
        return f"{border}; the median size is {sides} px, so grid {grid} and anisotropy {factors}"

    def as_dict(self) -> dict[str, Any]:
        """Return sizes and proposals as JSON can hold them; sizes as options write them, ``64x64``."""
        return {
            "count": self.count, "at_border": self.at_border, "extents": list(self.extents),
            "diameter": self.diameter, "grid": "x".join(map(str, self.grid)),
            "patch_size": "x".join(map(str, self.patch_size)), "rays": self.rays,
            "anisotropy": "x".join(f"{factor:g}" for factor in self.anisotropy),
        }  # fmt: skip


def estimate(dataset: Dataset) -> ObjectSize | None:
    """Measure the objects of all images of a training, those for validation among them.

    ``dataset`` has labels as targets. None if there is no object.
    """
    targets = [pair.target for pair in (*dataset.pairs, *dataset.validation_pairs) if pair.target is not None]
    measured = [found for image in targets for found in measure_image(image, dataset.spatial_axes)]
    return summarize(measured, targets, dataset.spatial_axes)


def summarize(measured: Sequence[Objects], images: Sequence[ImageSource], spatial_axes: str) -> ObjectSize | None:
    """Return the sizes of measured objects; None if there are none.

    Parameters
    ----------
    measured
        What `measure_image` found.
    images
        All label images, for their sizes and pixel sizes.
    spatial_axes
        ``YX`` or ``ZYX``.
    """
    measured = [found for found in measured if len(found)]
    if not measured:
        return None
    sides = np.concatenate([found.extents for found in measured])
    border = np.concatenate([found.at_border for found in measured])
    whole = sides if border.all() else sides[~border]
    known = [size for image in images if (size := _pixel_size(image, spatial_axes))]
    median, large, small = (tuple(np.percentile(whole, percent, axis=0).tolist()) for percent in (50, 90, 10))
    return ObjectSize(
        spatial_axes, len(sides), int(border.sum()), median, large, small, _room(images, spatial_axes),
        pixel_size=tuple(np.median(known, axis=0).tolist()) if known else (),
    )  # fmt: skip


def _room(images: Sequence[ImageSource], spatial_axes: str) -> tuple[int, ...]:
    """Return how large patches can be."""
    sizes = [min(image.sizes[axis] for image in images) for axis in spatial_axes]
    if len(images) == 1:
        longest = sizes.index(max(sizes))
        sizes[longest] //= 2
    return tuple(sizes)


def _pixel_size(image: ImageSource, spatial_axes: str) -> tuple[float, ...]:
    """Return the sizes of a pixel along the axes; empty if the file does not tell all of them."""
    told = image.metadata.pixel_size
    return tuple(told[axis] for axis in spatial_axes) if set(spatial_axes) <= set(told) else ()
