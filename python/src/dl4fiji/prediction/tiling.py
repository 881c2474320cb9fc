"""Cut images into tiles that the network can see at a time, so that the result has no seams.

A tile's core begins at a multiple of the network's divisor and is surrounded by a halo of at least the network's
receptive field; at the image's border there is none, as if the image were run whole. The image is thought of as
mirrored at its end up to the next multiple of the divisor (numpy's ``symmetric``). So tiles give exactly what the
whole image gives, up to the rounding of floating point numbers.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dl4fiji.progress import Progress, stop_if_canceled

Window = tuple[slice, ...]
"""One slice per spatial axis, in pixels of the image."""

Run = Callable[[np.ndarray], np.ndarray]
"""The bare network: (spatial, C) normalized, sizes multiples of the divisor, to (spatial, C_out)."""


@dataclass(frozen=True)
class Tile:
    """A part of an image.

    Parameters
    ----------
    read
        What the network sees; it may reach beyond the end of the image, where it is mirrored.
    write
        What of the result is kept, within the image.
    """

    read: Window
    write: Window

    @property
    def crop(self) -> Window:
        """Where ``write`` lies in the network's result for ``read``."""
        return tuple(
            slice(write.start - read.start, write.stop - read.start)
            for read, write in zip(self.read, self.write, strict=True)
        )


def overread(shape: Sequence[int], tiles: Sequence[Tile]) -> float:
    """Return how many times the pixels of an image the network sees in its tiles."""
    seen = sum(math.prod(part.stop - part.start for part in tile.read) for tile in tiles)
    return seen / math.prod(shape)


def reads(size: int, core: int, step: int, margin: int) -> tuple[np.ndarray, np.ndarray]:
    """Return where the tiles of an axis begin and end, halo included, in pixels, (n,) each."""
    at = np.arange(0, size, core)
    return np.maximum(0, at - margin), np.minimum(up(size, step), at + core + margin)


def plan(shape: Sequence[int], core: Sequence[int], divisor: Sequence[int], halo: Sequence[int]) -> list[Tile]:
    """Return the tiles of an image in the order of its rows.

    Parameters
    ----------
    shape
        Size of the image along the spatial axes.
    core
        Size of a tile without its halo, multiples of ``divisor``.
    divisor, halo
        Of the network, per spatial axis; the halo is a multiple of the divisor.
    """
    per_axis: list[list[tuple[slice, slice]]] = []
    for size, length, step, margin in zip(shape, core, divisor, halo, strict=True):
        if length % step or margin % step:
            raise ValueError(f"tiles of {length} with a halo of {margin} are off the grid of {step}")
        starts, stops = reads(size, length, step, margin)
        per_axis.append(
            [
                (slice(int(start), int(stop)), slice(at, min(size, at + length)))
                for start, stop, at in zip(starts, stops, range(0, size, length), strict=True)
            ]
        )
    return [
        Tile(tuple(read for read, _ in axes), tuple(write for _, write in axes))
        for axes in itertools.product(*per_axis)
    ]


def up(size: Any, step: int) -> Any:
    """Return the next multiple of ``step``; of a number or an array of them."""
    return -(-size // step) * step


def mirrored(window: slice, size: int) -> tuple[slice, np.ndarray]:
    """Return what must be read of an axis of ``size`` pixels for ``window``, and where its pixels are in there.

    Beyond the end the axis is mirrored, the last pixel repeated.
    """
    places = np.arange(window.start, window.stop) % (2 * size)
    places = np.minimum(places, 2 * size - 1 - places)
    low = int(places.min())
    return slice(low, int(places.max()) + 1), places - low


def read_mirrored(read: Callable[[Window], np.ndarray], window: Window, shape: Sequence[int]) -> np.ndarray:
    """Return the pixels (spatial, C) of a window that may reach beyond the end of the image."""
    found = [mirrored(part, size) for part, size in zip(window, shape, strict=True)]
    pixels = read(tuple(part for part, _ in found))
    for axis, (part, places) in enumerate(found):
        if len(places) != part.stop - part.start:
            pixels = pixels.take(places, axis=axis)
    return pixels


def predict_tiles(
    run: Run,
    read: Callable[[Window], np.ndarray],
    write: Callable[[Window, np.ndarray], None],
    shape: Sequence[int],
    tiles: Sequence[Tile],
    progress: Progress,
    told: tuple[int, int] = (0, 0),
) -> None:
    """Run the network on all tiles.

    Parameters
    ----------
    run
        The network.
    read
        Returns the normalized pixels (spatial, C) of a window within the image.
    write
        Takes a window within the image and its result (spatial, C_out).
    shape
        Size of the image along the spatial axes.
    tiles
        From `plan`.
    progress
        Told after each tile; a cancel is noticed there too.
    told
        Tiles done before these and tiles of the whole job; (0, 0): these are all.
    """
    before, total = told if told[1] else (0, len(tiles))
    for number, tile in enumerate(tiles, start=1):
        stop_if_canceled(progress)
        result = run(read_mirrored(read, tile.read, shape))
        write(tile.write, result[tile.crop])
        progress.update(before + number, total)


def predict_array(
    run: Run,
    x: np.ndarray,
    divisor: Sequence[int],
    halo: Sequence[int],
    tile: Sequence[int],
    progress: Progress,
) -> np.ndarray:
    """Run the network on a normalized array in tiles.

    Parameters
    ----------
    run
        The network.
    x
        (spatial, C), normalized, of any size.
    divisor, halo
        Of the network, per spatial axis.
    tile
        Size of a tile's core per spatial axis; rounded up to the divisor.
    progress
        Told after each tile.

    Returns
    -------
    ndarray
        (spatial, C_out), of the size of ``x``.
    """
    shape = x.shape[:-1]
    core = [up(min(length, size), step) for length, size, step in zip(tile, shape, divisor, strict=True)]
    result: list[np.ndarray] = []

    def write(window: Window, pixels: np.ndarray) -> None:
        if not result:
            result.append(np.empty((*shape, pixels.shape[-1]), np.float32))
        result[0][window] = pixels

    predict_tiles(run, lambda window: x[window], write, shape, plan(shape, core, divisor, halo), progress)
    return result[0]
