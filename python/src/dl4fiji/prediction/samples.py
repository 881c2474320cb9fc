"""How an image of any axes becomes samples of a network: planes or volumes, with the channels it takes."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol, Self

import numpy as np

from dl4fiji.data.axes import check_axes
from dl4fiji.errors import DataError
from dl4fiji.prediction.recipe import Recipe


class Image(Protocol):
    """What is read: an `ImageSource`, or an array as `ArrayImage`."""

    @property
    def axes(self) -> str:
        """Letters of ``TZCYX`` in the order of the pixels."""
        ...

    @property
    def shape(self) -> tuple[int, ...]:
        """Numbers of pixels along ``axes``."""
        ...

    def region(self, **parts: slice | int) -> np.ndarray:
        """Return the pixels of a part."""
        ...

    def at(self, **index: int) -> Self:
        """Return the part at fixed positions along some axes."""
        ...


@dataclass(frozen=True)
class ArrayImage:
    """An array that is read like a file."""

    array: np.ndarray
    axes: str

    def __post_init__(self) -> None:
        check_axes(self.axes, self.array.ndim)

    @property
    def shape(self) -> tuple[int, ...]:
        """Numbers of pixels along ``axes``."""
        return self.array.shape

    @property
    def path(self) -> Any:
        """No file."""
        from pathlib import Path

        return Path()

    def region(self, **parts: slice | int) -> np.ndarray:
        """Return a part, as `ImageSource.region`."""
        return self.array[tuple(parts.get(axis, slice(None)) for axis in self.axes)]

    def at(self, **index: int) -> Self:
        """Return the part at fixed positions, as `ImageSource.at`."""
        axes = "".join(axis for axis in self.axes if axis not in index)
        return type(self)(self.array[tuple(index.get(axis, slice(None)) for axis in self.axes)], axes)


@dataclass(frozen=True)
class Layout:
    """How the axes of an image are used.

    Parameters
    ----------
    looped
        Axes along which every position is a sample of its own.
    sizes
        Pixels per axis of the image.
    spatial
        The network's spatial axes.
    channels
        Whether the image's C axis is the network's channel axis.
    """

    looped: str
    sizes: dict[str, int]
    spatial: str
    channels: bool

    @classmethod
    def of(cls, image: Image, recipe: Recipe, name: str) -> Layout:
        """Return how an image goes into a network.

        Raises
        ------
        DataError
            If it lacks an axis, or if it has other channels than the network takes.
        """
        sizes = dict(zip(image.axes, image.shape, strict=True))
        missing = [axis for axis in recipe.spatial if axis not in sizes]
        if missing:
            hint = " or name its axes, such as ZYX, if its frames are slices" if "T" in sizes else ""
            raise DataError(
                f"{name} has the axes {image.axes} but this model takes volumes ({recipe.spatial}): "
                f"choose an image with slices{hint}."
            )
        channels = recipe.channels_in > 1
        found = sizes.get("C", 1)
        if channels and found != recipe.channels_in:
            raise DataError(
                f"{name} has {found} channel{'s' if found > 1 else ''} but this model takes {recipe.channels_in}: "
                "choose images with the channels that it was trained on."
            )
        looped = "".join(axis for axis in image.axes if axis not in recipe.spatial and not (channels and axis == "C"))
        return cls(looped, sizes, recipe.spatial, channels)

    @property
    def shape(self) -> tuple[int, ...]:
        """Size of a sample along the spatial axes."""
        return tuple(self.sizes[axis] for axis in self.spatial)

    def positions(self) -> Iterator[dict[str, int]]:
        """Yield the position of every sample along the looped axes."""
        for index in itertools.product(*(range(self.sizes[axis]) for axis in self.looped)):
            yield dict(zip(self.looped, index, strict=True))

    @property
    def count(self) -> int:
        """Number of samples."""
        return int(np.prod([self.sizes[axis] for axis in self.looped], dtype=np.int64))

    def result_axes(self, axes: str, channels: int) -> tuple[str, tuple[int, ...]]:
        """Return axes and shape of a result with so many channels for an image with ``axes``."""
        sizes = dict(self.sizes)
        if self.channels or channels > 1:
            if "C" in self.looped and channels > 1:
                raise DataError("A model with several outputs per channel takes images of one channel: choose one.")
            sizes["C"] = channels
            axes = axes if "C" in axes else axes.replace("YX", "CYX") if "YX" in axes else axes + "C"
            if channels == 1:
                axes = axes.replace("C", "")
        return axes, tuple(sizes[axis] for axis in axes)


def to_network(pixels: np.ndarray, axes: str, spatial: str) -> np.ndarray:
    """Return pixels with the axes ``axes`` as (spatial, C)."""
    if "C" not in axes:
        pixels, axes = pixels[..., np.newaxis], axes + "C"
    return pixels.transpose([axes.index(axis) for axis in spatial + "C"])


def from_network(pixels: np.ndarray, spatial: str, axes: str) -> np.ndarray:
    """Return (spatial, C) with the axes ``axes``; a single channel is dropped where ``axes`` has none."""
    own = spatial + "C"
    if "C" not in axes:
        pixels, own = pixels[..., 0], spatial
    return pixels.transpose([own.index(axis) for axis in axes])
