"""Find the objects of an image of any size from the network's output, tile by tile, in memory bounded by the tile.

stardist's suppression wants all candidates at a time; of an image of 20 000 × 20 000 pixels these would take several
GiB. Here, after each few tiles, the candidates whose fate cannot depend on unread pixels any more (`reach.spread`) go
through the very same suppression, and only the surviving objects are kept; the others wait. So each object is seen as
a whole, none is found twice, and the objects are those of the whole image.

Two bounds are assumptions that are checked:

- No candidate of an unread tile reaches further than twice the furthest one so far. If one does and would suppress an
  object that was settled already, `ReachError` is raised and the image is run again with that reach.
- Candidates whose fates hang together do so over a limited part of the image. Where more than `WAITING_LIMIT` bytes of
  candidates wait, those out of direct reach of unread tiles are settled all the same, with a warning.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dl4fiji.prediction.reach import spread
from dl4fiji.prediction.shapes import LEAST_DISTANCE, Shapes
from dl4fiji.prediction.tiling import Window
from dl4fiji.progress import Progress, SilentProgress

BORDER = 2
"""Grid points at the border of the image that are no candidates, as in stardist."""

BATCH_BYTES = 48 * 2**20
"""New candidates that are gathered before any are settled."""

WAITING_LIMIT = 256 * 2**20
"""Bytes of candidates that may wait."""

LEAST_REACH = 32
"""Pixels that an unread candidate is thought to reach at least."""


class ReachError(Exception):
    """A candidate reaches further than was thought and would suppress what was settled.

    Parameters
    ----------
    reach
        How far it reaches per axis, in pixels.
    """

    def __init__(self, reach: np.ndarray) -> None:
        super().__init__(f"a candidate reaches {reach.tolist()} pixels")
        self.reach = reach


@dataclass(frozen=True)
class Candidates:
    """Objects or candidates of one image, ``n`` of them.

    Parameters
    ----------
    points
        Where the network stood, in pixels, int32 (n, axes).
    dist
        Distances to the border along the rays, in pixels, float32 (n, rays).
    prob
        Object probability, float32 (n,).
    """

    points: np.ndarray
    dist: np.ndarray
    prob: np.ndarray

    def __len__(self) -> int:
        return len(self.prob)

    def __getitem__(self, which: np.ndarray) -> Candidates:
        return Candidates(self.points[which], self.dist[which], self.prob[which])

    @classmethod
    def empty(cls, axes: int, rays: int) -> Candidates:
        """Return no candidates."""
        return cls(np.zeros((0, axes), np.int32), np.zeros((0, rays), np.float32), np.zeros(0, np.float32))

    @classmethod
    def joined(cls, parts: Sequence[Candidates]) -> Candidates:
        """Return the candidates of all ``parts``, of which there is at least one."""
        return cls(
            np.concatenate([part.points for part in parts]),
            np.concatenate([part.dist for part in parts]),
            np.concatenate([part.prob for part in parts]),
        )

    def order(self) -> np.ndarray:
        """Return the order of suppression: the most probable first, of equal ones the first along the axes."""
        return np.lexsort((*self.points.T[::-1], -self.prob))


def read_candidates(
    output: np.ndarray, window: Window, shape: Sequence[int], grid: Sequence[int], threshold: float
) -> Candidates:
    """Return the candidates of a tile.

    Parameters
    ----------
    output
        (spatial, 1 + rays): object probability and distances, each value repeated over its grid cell.
    window
        Where ``output`` lies in the image.
    shape
        Size of the image.
    grid
        Pixels per grid cell along each axis.
    threshold
        Candidates are more probable than this.
    """
    first = [-part.start % step for part, step in zip(window, grid, strict=True)]
    on_grid = output[tuple(slice(at, None, step) for at, step in zip(first, grid, strict=True))]
    prob = on_grid[..., 0]
    found = prob > threshold
    start = [(part.start + at) // step for part, at, step in zip(window, first, grid, strict=True)]
    for axis, (offset, size, step) in enumerate(zip(start, shape, grid, strict=True)):
        place = np.arange(found.shape[axis]) + offset
        inside = (place >= BORDER) & (place < math.ceil(size / step) - BORDER)
        found = found & inside.reshape([-1 if other == axis else 1 for other in range(found.ndim)])
    points = np.argwhere(found).astype(np.int32)
    points = (points + np.asarray(start, np.int32)) * np.asarray(grid, np.int32)
    dist = np.maximum(on_grid[..., 1:][found], LEAST_DISTANCE).astype(np.float32, copy=False)
    return Candidates(points.astype(np.int32), dist, prob[found].astype(np.float32, copy=False))


class Detector:
    """Gathers the candidates of an image's tiles, in the order of `tiling.plan`, and settles which are objects.

    Parameters
    ----------
    shapes
        What the candidates look like.
    shape
        Size of the image.
    grid
        Pixels per grid cell along each axis.
    probability, overlap
        Thresholds: candidates are more probable than the first; one suppresses a less probable one if they share more
        than the second of the smaller one.
    reach
        Pixels per axis that candidates are known to reach, after a `ReachError`.
    progress
        Told if the result may differ from that of the whole image.
    """

    def __init__(
        self,
        shapes: Shapes,
        shape: Sequence[int],
        grid: Sequence[int],
        probability: float,
        overlap: float,
        reach: np.ndarray | None = None,
        progress: Progress | None = None,
    ) -> None:
        self._shapes = shapes
        self._shape = tuple(shape)
        self._grid = tuple(grid)
        self._probability = probability
        self._overlap = overlap
        self._progress = progress or SilentProgress()
        self._reach = np.full(len(shape), LEAST_REACH) if reach is None else np.maximum(reach, LEAST_REACH)
        self._waiting = Candidates.empty(len(shape), shapes.rays)
        self._fresh: list[Candidates] = []
        self._objects: list[tuple[Candidates, np.ndarray, np.ndarray]] = []
        self._bytes = 4 * (shapes.rays + 1 + len(shape))
        self._forced = False

    def add(self, window: Window, output: np.ndarray) -> None:
        """Take in a tile, see `read_candidates`.

        Raises
        ------
        ReachError
            If the image must be run again.
        """
        self._fresh.append(read_candidates(output, window, self._shape, self._grid, self._probability))
        gathered = self._bytes * sum(len(part) for part in self._fresh)
        if gathered > max(BATCH_BYTES, self._bytes * len(self._waiting) // 2):
            self._settle(window)

    def objects(self) -> Candidates:
        """Return the objects, the most probable first, when all tiles were taken in; `ReachError` as by `add`."""
        self._settle(None)
        found = Candidates.joined([part for part, _, _ in self._objects])
        return found[found.order()]

    def _settle(self, window: Window | None) -> None:
        """Let go through the suppression what cannot depend on tiles after ``window``; None: everything."""
        candidates = Candidates.joined([self._waiting, *self._fresh])
        self._fresh = []
        candidates = candidates[candidates.order()]
        low, high = self._shapes.bounds(candidates.points, candidates.dist)
        if len(candidates):
            furthest = np.maximum(candidates.points - low, high - candidates.points).max(axis=0)
            self._reach = np.maximum(self._reach, np.minimum(2 * furthest, self._shape))
        sizes = self._shapes.sizes(candidates.dist)
        exposed = self._exposed(low, high, window)
        waits = spread(low, high, sizes, exposed, True, self._overlap)
        if self._bytes * int(waits.sum()) > WAITING_LIMIT:
            waits = exposed
            if not self._forced:
                self._progress.warning(
                    "So many candidates of objects overlap that they could not be compared all at a time: at the "
                    "borders of tiles some objects may differ from those of the image as a whole. A higher "
                    "probability threshold avoids that."
                )
            self._forced = True
        ready = ~waits
        self._resolve(candidates[ready], low[ready], high[ready])
        self._waiting = candidates[waits]

    def _resolve(self, candidates: Candidates, low: np.ndarray, high: np.ndarray) -> None:
        """Suppress among ``candidates`` and the settled objects near them; keep those that survive."""
        near = [(part, *bounds) for part, *bounds in self._near(low, high)]
        known = sum(len(part) for part, _, _ in near)
        joined = Candidates.joined([*(part for part, _, _ in near), candidates])
        order = joined.order()
        kept = np.zeros(len(joined), np.bool_)
        sorted_ = joined[order]
        kept[order] = self._shapes.survivors(sorted_.points, sorted_.dist, self._overlap)
        if not kept[:known].all() and not self._forced:
            raise ReachError(np.maximum(candidates.points - low, high - candidates.points).max(axis=0))
        fresh = kept[known:]
        self._objects.append((candidates[fresh], low[fresh], high[fresh]))

    def _near(self, low: np.ndarray, high: np.ndarray) -> list[tuple[Candidates, np.ndarray, np.ndarray]]:
        """Return the settled objects whose bounds touch any of those given."""
        if not len(low):
            return []
        found = []
        for objects, its_low, its_high in self._objects:
            around = (its_low <= high.max(axis=0)).all(axis=1) & (its_high >= low.min(axis=0)).all(axis=1)
            if not around.any():
                continue
            lows, highs = np.concatenate([low, its_low[around]]), np.concatenate([high, its_high[around]])
            seeds = np.arange(len(lows)) < len(low)
            touched = spread(lows, highs, np.ones(len(seeds), np.float32), seeds, False, 0.0)[len(low) :]
            near = np.flatnonzero(around)[touched]
            found.append((objects[near], its_low[near], its_high[near]))
        return found

    def _exposed(self, low: np.ndarray, high: np.ndarray, window: Window | None) -> np.ndarray:
        """Return whose bounds may be touched by candidates of tiles after ``window``, bool (n,)."""
        exposed = np.zeros(len(low), np.bool_)
        if window is None:
            return exposed
        for axis, size in enumerate(self._shape):
            # Tiles after `window` that begin with the same places along the axes before this one.
            begin = [part.start for part in window[:axis]] + [window[axis].stop] + [0] * (len(window) - axis - 1)
            end = [part.stop for part in window[:axis]] + list(self._shape[axis:])
            if begin[axis] < size:
                from_ = np.asarray(begin) - self._reach
                to = np.asarray(end) + self._reach
                exposed |= (low <= to).all(axis=1) & (high >= from_).all(axis=1)
        return exposed
