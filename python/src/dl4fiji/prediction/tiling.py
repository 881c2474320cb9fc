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


def choose_core(
    shape: Sequence[int], divisor: Sequence[int], halo: Sequence[int], budget: int, fixed: Sequence[int] = ()
) -> tuple[int, ...]:
    """Return the size of a tile's core so that a tile with its halo has at most ``budget`` pixels.

    The longest core is cut first, into equal parts. Cores never get smaller than the divisor.

    Parameters
    ----------
    shape
        Size of the image along the spatial axes.
    divisor, halo
        Of the network, per spatial axis.
    budget
        Pixels that the network may see at a time.
    fixed
        Sizes that were asked for, 0 where free.
    """
    fixed = tuple(fixed) or (0,) * len(shape)
    parts = [1] * len(shape)

    def core(axis: int) -> int:
        wanted = min(fixed[axis] or shape[axis], shape[axis])
        return _up(math.ceil(wanted / parts[axis]), divisor[axis])

    def pixels() -> int:
        return math.prod(min(core(axis) + 2 * halo[axis], _up(size, divisor[axis])) for axis, size in enumerate(shape))

    while pixels() > budget:
        free = [axis for axis in range(len(shape)) if core(axis) > divisor[axis]]
        if not free:
            break
        longest = max(free, key=lambda axis: (not fixed[axis], core(axis)))
        before = core(longest)
        while core(longest) == before:
            parts[longest] += 1
    return tuple(core(axis) for axis in range(len(shape)))


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
        end = _up(size, step)
        per_axis.append(
            [
                (slice(max(0, at - margin), min(end, at + length + margin)), slice(at, min(size, at + length)))
                for at in range(0, size, length)
            ]
        )
    return [
        Tile(tuple(read for read, _ in axes), tuple(write for _, write in axes))
        for axes in itertools.product(*per_axis)
    ]


def _up(size: int, step: int) -> int:
    """Return the next multiple of ``step``."""
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
    core = [_up(min(length, size), step) for length, size, step in zip(tile, shape, divisor, strict=True)]
    result: list[np.ndarray] = []

    def write(window: Window, pixels: np.ndarray) -> None:
        if not result:
            result.append(np.empty((*shape, pixels.shape[-1]), np.float32))
        result[0][window] = pixels

    predict_tiles(run, lambda window: x[window], write, shape, plan(shape, core, divisor, halo), progress)
    return result[0]
