"""Draw found objects as a label image, block by block, and measure them on the way."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from dl4fiji.data.metadata import Metadata
from dl4fiji.files import atomic_path
from dl4fiji.prediction.cores import choose_core
from dl4fiji.prediction.detection import Candidates
from dl4fiji.prediction.shapes import Shapes
from dl4fiji.prediction.tiling import Window, plan

BLOCK = 2**22
"""Pixels of a block of the label image."""

WHOLE_PLANES = 2**26
"""Planes of a volume up to so many pixels are drawn whole, so that outlines in them are whole."""

_POSITIONS = {"T": "frame", "Z": "slice", "C": "channel"}
_NAMES = {2: ("y", "x"), 3: ("z", "y", "x")}


def blocks(shape: Sequence[int]) -> list[Window]:
    """Return the blocks in which a label image is drawn; of volumes whole planes as long as these are not huge."""
    plane = math.prod(shape[1:])
    if len(shape) == 3 and plane <= WHOLE_PLANES:
        core: Sequence[int] = (max(1, BLOCK // plane), *shape[1:])
    else:
        core = choose_core(shape, (1,) * len(shape), (0,) * len(shape), BLOCK)
    return [tile.write for tile in plan(shape, core, (1,) * len(shape), (0,) * len(shape))]


def draw(shapes: Shapes, objects: Candidates, shape: Sequence[int]) -> Iterator[tuple[Window, np.ndarray]]:
    """Yield the label image of ``objects`` block by block: window and labels, int32.

    The first object is 1; where objects overlap the first of them, the most probable one, is seen, as in stardist.
    """
    low, high = shapes.bounds(objects.points, objects.dist)
    for window in blocks(shape):
        start, stop = ([part.start for part in window], [part.stop for part in window])
        inside = np.flatnonzero((low < stop).all(axis=1) & (high >= start).all(axis=1))
        there = objects[inside]
        size = [part.stop - part.start for part in window]
        local = shapes.render(there.points, there.dist, start, size)
        yield window, np.concatenate([[0], inside + 1]).astype(np.int32)[local]


class Measurements:
    """What is seen of each object: pixels, centroid, mean intensity.

    Parameters
    ----------
    count, axes, channels
        Numbers of objects, of spatial axes, and of the image's channels.
    """

    def __init__(self, count: int, axes: int, channels: int) -> None:
        self.pixels = np.zeros(count, np.int64)
        self._places = np.zeros((count, axes))
        self._intensities = np.zeros((count, channels))

    def add(self, window: Window, labels: np.ndarray, pixels: np.ndarray) -> None:
        """Take in a block.

        Parameters
        ----------
        window
            Where the block lies.
        labels
            1 to the number of objects, 0 is no object.
        pixels
            The image there (spatial, C).
        """
        places = np.nonzero(labels)
        if not len(places[0]):
            return
        found, which = np.unique(labels[places] - 1, return_inverse=True)
        self.pixels[found] += np.bincount(which)
        for axis, (part, place) in enumerate(zip(window, places, strict=True)):
            self._places[found, axis] += np.bincount(which, place) + part.start * np.bincount(which)
        for channel in range(pixels.shape[-1]):
            self._intensities[found, channel] += np.bincount(which, pixels[..., channel][places])

    @property
    def centroids(self) -> np.ndarray:
        """Mean positions in pixels (n, axes); the center of the first pixel is 0."""
        return self._places / np.maximum(self.pixels, 1)[:, np.newaxis]

    @property
    def intensities(self) -> np.ndarray:
        """Mean intensities (n, channels), in the units of the image."""
        return self._intensities / np.maximum(self.pixels, 1)[:, np.newaxis]


class ObjectTable:
    """Writes ``<name>_objects.csv``, a row per object; use it as a context manager.

    Parameters
    ----------
    path
        The file; it appears when all went well.
    looped
        Axes of the image along which planes or volumes were predicted one by one.
    axes, channels
        Numbers of spatial axes, and of channels whose intensities are told.
    metadata
        Whose calibration the calibrated columns have.
    """

    def __init__(self, path: Path, looped: str, axes: int, channels: int, metadata: Metadata) -> None:
        self._names = _NAMES[axes]
        sizes = [metadata.pixel_size.get(name.upper(), 0.0) for name in self._names]
        self._sizes = np.asarray(sizes) if all(sizes) and metadata.unit else None
        self._looped = [axis for axis in "TZC" if axis in looped]
        self._header = self._columns(_ascii(metadata.unit), channels)
        self._atomic = atomic_path(path)

    def _columns(self, unit: str, channels: int) -> list[str]:
        size = "area" if len(self._names) == 2 else "volume"
        columns = ["label", *(_POSITIONS[axis] for axis in self._looped), *self._names, f"{size}_pixels"]
        if self._sizes is not None:
            columns += [f"{name}_{unit}" for name in self._names] + [f"{size}_{unit}{len(self._names)}"]
        means = ["mean_intensity"] if channels == 1 else [f"mean_intensity_{c + 1}" for c in range(channels)]
        return [*columns, "score", *means]

    def __enter__(self) -> ObjectTable:
        partial = self._atomic.__enter__()
        # UTF-8 without a mark at its start, which ImageJ's table would take for a part of the first column's name.
        self._stream = partial.open("w", encoding="utf-8", newline="")
        self._writer = csv.writer(self._stream, lineterminator="\n")
        self._writer.writerow(self._header)
        return self

    def __exit__(self, *error: object) -> None:
        self._stream.close()
        self._atomic.__exit__(*error)  # pyright: ignore[reportArgumentType]

    def add(self, position: Mapping[str, int], prob: np.ndarray, measured: Measurements) -> int:
        """Write the objects of a plane or volume that are seen in its label image; return their number.

        Frames, slices and channels count from 1 as in Fiji, pixels from 0 at the center of the first one.
        """
        place = [position[axis] + 1 for axis in self._looped]
        seen = np.flatnonzero(measured.pixels)
        centroids, intensities = measured.centroids, measured.intensities
        for index in seen:
            centroid, pixels = centroids[index], int(measured.pixels[index])
            row = [int(index) + 1, *place, *(f"{value:.3f}" for value in centroid), pixels]
            if self._sizes is not None:
                row += [f"{value:.6g}" for value in (*(centroid * self._sizes), pixels * self._sizes.prod())]
            means = (f"{value:.6g}" for value in intensities[index])
            self._writer.writerow([*row, f"{prob[index]:.4f}", *means])
        return len(seen)


def _ascii(unit: str) -> str:
    """Return a unit in letters that every program reads in a column's name."""
    plain = unit.replace("µ", "u").replace("μ", "u").replace("²", "2")
    return "".join(letter if letter.isascii() and letter.isalnum() else "_" for letter in plain) or "unit"
