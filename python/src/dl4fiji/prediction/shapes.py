"""Star-convex shapes: what stardist's C++ does with polygons (2D) and polyhedra (3D), behind one interface.

A shape is a grid point, in pixels, and the distances from it to its border along fixed rays. Points and distances are
arrays (n, 2 or 3) and (n, rays). Suppression and rendering are those of stardist (Schmidt et al., MICCAI 2018;
Weigert et al., WACV 2020).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from dl4fiji.keras_setup import prepare

LEAST_DISTANCE = 1e-3
"""Distances below are raised to this, as stardist does: a shape of no size has no area to compare."""

_ROUNDING = 2
"""Pixels by which bounds are wider than the shape, so that no way of rounding its corners leaves them."""


class Shapes(Protocol):
    """Shapes of one kind."""

    @property
    def rays(self) -> int:
        """Number of rays."""
        ...

    def bounds(self, points: np.ndarray, dist: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the lowest and highest pixel of each shape per axis, int32 (n, axes), rather too wide."""
        ...

    def sizes(self, dist: np.ndarray) -> np.ndarray:
        """Return areas or volumes in pixels, float32 (n,)."""
        ...

    def survivors(self, points: np.ndarray, dist: np.ndarray, threshold: float) -> np.ndarray:
        """Return which shapes, given from the most to the least probable, stardist's suppression leaves: bool (n,)."""
        ...

    def render(self, points: np.ndarray, dist: np.ndarray, start: Sequence[int], shape: Sequence[int]) -> np.ndarray:
        """Return a block of the label image, int32: 1 is the first shape; where shapes overlap the first one wins."""
        ...


class Polygons:
    """Shapes in a plane.

    Parameters
    ----------
    rays
        Number of rays, at equal angles.
    """

    def __init__(self, rays: int) -> None:
        self.rays = rays
        angles = np.linspace(0, 2 * np.pi, rays, endpoint=False)
        self._directions = np.array([np.sin(angles), np.cos(angles)])

    def corners(self, points: np.ndarray, dist: np.ndarray) -> np.ndarray:
        """Return the corners as stardist computes them, float32 (n, 2, rays): y and x."""
        corners = (dist[:, np.newaxis] * self._directions).astype(np.float32)
        corners += points[..., np.newaxis]
        return corners

    def bounds(self, points: np.ndarray, dist: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """See `Shapes.bounds`."""
        return _bounds(points, dist, self._directions.T.astype(np.float32))

    def sizes(self, dist: np.ndarray) -> np.ndarray:
        """See `Shapes.sizes`."""
        following = np.roll(dist, -1, axis=1)
        return (0.5 * np.sin(2 * np.pi / self.rays) * (dist * following).sum(axis=1)).astype(np.float32)

    def survivors(self, points: np.ndarray, dist: np.ndarray, threshold: float) -> np.ndarray:
        """See `Shapes.survivors`."""
        if not len(points):
            return np.zeros(0, np.bool_)
        _prepare()
        from stardist.nms import non_maximum_suppression_inds

        return non_maximum_suppression_inds(dist, points, scores=None, thresh=threshold, verbose=0)

    def render(self, points: np.ndarray, dist: np.ndarray, start: Sequence[int], shape: Sequence[int]) -> np.ndarray:
        """See `Shapes.render`."""
        from skimage.draw import polygon

        labels = np.zeros(shape, np.int32)
        corners = self.corners(points, dist) - np.asarray(start, np.float32)[:, np.newaxis]
        for index in range(len(points) - 1, -1, -1):
            rows, columns = corners[index]
            labels[polygon(rows, columns, tuple(shape))] = index + 1
        return labels


class Polyhedra:
    """Shapes in space.

    Parameters
    ----------
    rays
        stardist's rays: directions ``vertices`` (rays, 3) and the ``faces`` between them.
    """

    def __init__(self, rays: Any) -> None:
        self.directions = rays
        self.rays = len(rays)
        self._vertices = np.asarray(rays.vertices, np.float32)
        faces = np.asarray(rays.faces)
        self._faces = faces
        # Volume of the tetrahedron between the origin and each face, at distances 1.
        self._units = np.abs(np.linalg.det(self._vertices[faces].astype(np.float64))) / 6

    def bounds(self, points: np.ndarray, dist: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """See `Shapes.bounds`."""
        return _bounds(points, dist, self._vertices)

    def sizes(self, dist: np.ndarray) -> np.ndarray:
        """See `Shapes.sizes`."""
        sizes = np.zeros(len(dist), np.float32)
        for (a, b, c), unit in zip(self._faces, self._units, strict=True):
            sizes += np.float32(unit) * dist[:, a] * dist[:, b] * dist[:, c]
        return sizes

    def survivors(self, points: np.ndarray, dist: np.ndarray, threshold: float) -> np.ndarray:
        """See `Shapes.survivors`."""
        if not len(points):
            return np.zeros(0, np.bool_)
        _prepare()
        from stardist.nms import non_maximum_suppression_3d_inds

        # It sorts by the scores, and not stably: these leave the order as it is.
        scores = np.arange(len(points), 0, -1)
        return non_maximum_suppression_3d_inds(dist, points, self.directions, scores, thresh=threshold, verbose=0)

    def render(self, points: np.ndarray, dist: np.ndarray, start: Sequence[int], shape: Sequence[int]) -> np.ndarray:
        """See `Shapes.render`.

        The C++ never ends with a shape that lies wholly below 0, so the block begins where the lowest shape does.
        """
        if not len(points):
            return np.zeros(shape, np.int32)
        _prepare()
        from stardist.lib.stardist3d import c_polyhedron_to_label

        high = self.bounds(points, dist)[1] - np.asarray(start)
        margin = [max(0, 2 * _ROUNDING - int(least)) for least in high.min(axis=0)]
        origin = np.asarray(start, np.float32) - np.asarray(margin, np.float32)
        labels = c_polyhedron_to_label(
            np.ascontiguousarray(dist, np.float32),
            np.ascontiguousarray(points - origin, np.float32),
            self._vertices,
            np.ascontiguousarray(self._faces, np.int32),
            np.arange(1, len(points) + 1, dtype=np.int32),
            np.int32(0), np.int32(0), np.int32(0), np.int32(0),
            tuple(size + more for size, more in zip(shape, margin, strict=True)),
        )  # fmt: skip
        return labels[tuple(slice(more, None) for more in margin)]


def _bounds(points: np.ndarray, dist: np.ndarray, directions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the bounds for rays along ``directions`` (rays, axes), float32.

    Axis by axis, for the corners of all shapes at a time would fill the memory. Distances beyond any image, or that are
    no numbers, are taken for very long ones.
    """
    low, high = np.empty(points.shape, np.float32), np.empty(points.shape, np.float32)
    for axis in range(points.shape[1]):
        along = dist * directions[:, axis]
        low[:, axis] = along.min(axis=1) + points[:, axis]
        high[:, axis] = along.max(axis=1) + points[:, axis]
    limit = 2**30
    low = np.nan_to_num(low, nan=-limit, posinf=limit, neginf=-limit).clip(-limit, limit)
    high = np.nan_to_num(high, nan=limit, posinf=limit, neginf=-limit).clip(-limit, limit)
    return np.floor(low).astype(np.int32) - _ROUNDING, np.ceil(high).astype(np.int32) + _ROUNDING


def _prepare() -> None:
    """Let stardist be imported: it imports csbdeep, which looks at Keras."""
    import warnings

    prepare()
    formatter = warnings.formatwarning
    import stardist  # noqa: F401

    warnings.formatwarning = formatter  # stardist replaces it for the whole program
