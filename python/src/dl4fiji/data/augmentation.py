"""Variation of training patches: the same geometry for source and target, drawn from a given generator."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy import ndimage

KNOTS = 4
"""Knots of the grid of elastic deformation along each side of a patch."""


@dataclass(frozen=True)
class Augmentation:
    """What is varied, and how strongly. 0 or False switches a variation off.

    Parameters
    ----------
    flip
        Mirror along Y and along X.
    rotate
        Turn by quarters in the XY plane (by halves where patches are not square).
    intensity_scale
        Multiply by a factor between ``1 - value`` and ``1 + value``.
    intensity_offset
        Add up to ± this, in normalized units.
    noise
        Add Gaussian noise to the source, of a standard deviation up to this, in normalized units.
    turn
        Rotate freely by up to ± so many degrees (with `zoom` the affine part).
    zoom
        Scale by a factor between ``1 - value`` and ``1 + value``.
    elastic
        Shift the knots of a coarse grid by so many pixels (standard deviation).
    deformed_share
        Share of the patches that are turned, zoomed and deformed. Interpolation smooths noise, so where the
        noise itself matters deformation is better left off: see `for_restoration`.
    """

    flip: bool = True
    rotate: bool = True
    intensity_scale: float = 0.1
    intensity_offset: float = 0.05
    noise: float = 0.02
    turn: float = 10.0
    zoom: float = 0.1
    elastic: float = 2.0
    deformed_share: float = 0.5

    @classmethod
    def for_restoration(cls) -> Augmentation:
        """Return what leaves the noise of the source as it is: flips, quarter turns and intensity."""
        return cls(noise=0.0, turn=0.0, zoom=0.0, elastic=0.0)

    @classmethod
    def for_objects(cls) -> Augmentation:
        """Return what leaves the shapes of objects as they are: flips, quarter turns, intensity and noise.

        As in stardist's examples, where intensities are multiplied by 0.6 to 2 and shifted by up to 0.2.
        """
        return cls(intensity_scale=0.4, intensity_offset=0.2, turn=0.0, zoom=0.0, elastic=0.0)

    def plan(self, rng: np.random.Generator, height: int, width: int) -> Plan:
        """Draw the variation of one patch of ``height`` × ``width`` pixels."""
        flips = tuple(bool(value) and self.flip for value in rng.integers(2, size=2))
        quarters = int(rng.integers(4)) if self.rotate else 0
        if height != width:
            quarters -= quarters % 2
        factor = 1.0 + rng.uniform(-self.intensity_scale, self.intensity_scale)
        offset = rng.uniform(-self.intensity_offset, self.intensity_offset)
        noise = rng.uniform(0, self.noise)
        deforms = bool(self.turn or self.zoom or self.elastic) and rng.random() < self.deformed_share
        shifts = self._shifts(rng, height, width) if deforms else None
        return Plan(flips, quarters, factor, offset, noise, shifts)

    def _shifts(self, rng: np.random.Generator, height: int, width: int) -> np.ndarray:
        """Return for each pixel of the patch the Y and X that it is taken from, less its own (2YX)."""
        angle = math.radians(rng.uniform(-self.turn, self.turn))
        zoom = 1.0 + rng.uniform(-self.zoom, self.zoom)
        grid = np.meshgrid(np.arange(height) - (height - 1) / 2, np.arange(width) - (width - 1) / 2, indexing="ij")
        cos, sin = math.cos(angle) / zoom, math.sin(angle) / zoom
        shifts = np.stack([(cos - 1) * grid[0] - sin * grid[1], sin * grid[0] + (cos - 1) * grid[1]])
        if self.elastic:
            knots = rng.normal(0, self.elastic, (2, KNOTS, KNOTS))
            shifts += _spline(height) @ knots @ _spline(width).T
        return shifts.astype(np.float32)


@lru_cache(maxsize=64)
def _spline(size: int) -> np.ndarray:
    """Return what each knot gives each of ``size`` pixels (size, knots), by cubic splines.

    `scipy.ndimage.zoom` works axis by axis and is linear, so a grid of knots is spread by two such products, some 40
    times as fast as by itself.
    """
    return np.asarray(ndimage.zoom(np.eye(KNOTS), (size / KNOTS, 1), order=3, mode="nearest", grid_mode=True))


@dataclass(frozen=True)
class Plan:
    """The variation of one patch, for its source and its target."""

    flips: tuple[bool, ...]
    quarters: int
    factor: float
    offset: float
    noise: float
    shifts: np.ndarray | None

    @property
    def margin(self) -> tuple[int, int]:
        """Pixels around the patch along Y and X that the deformation needs."""
        if self.shifts is None:
            return 0, 0
        return math.ceil(float(np.abs(self.shifts[0]).max())) + 1, math.ceil(float(np.abs(self.shifts[1]).max())) + 1

    def geometry(self, patch: np.ndarray, labels: bool = False) -> np.ndarray:
        """Return ``patch`` (…YXC, with `margin`) deformed and turned, without margin; labels are not mixed."""
        if self.shifts is not None:
            patch = self._deform(patch, labels)
        axes = (patch.ndim - 3, patch.ndim - 2)
        for axis, flipped in zip(axes, self.flips, strict=True):
            if flipped:
                patch = np.flip(patch, axis)
        return np.rot90(patch, self.quarters, axes) if self.quarters else patch

    def intensity(self, patch: np.ndarray, rng: np.random.Generator | None = None) -> None:
        """Vary the intensities of a normalized patch in place; with a generator noise is added, too."""
        patch *= np.float32(self.factor)
        patch += np.float32(self.offset)
        if rng is not None and self.noise:
            patch += rng.standard_normal(patch.shape, np.float32) * np.float32(self.noise)

    def _deform(self, patch: np.ndarray, labels: bool) -> np.ndarray:
        assert self.shifts is not None
        height, width = self.shifts.shape[1:]
        rows, columns = self.margin
        y = self.shifts[0] + np.arange(rows, rows + height, dtype=np.float32)[:, None]
        x = self.shifts[1] + np.arange(columns, columns + width, dtype=np.float32)[None, :]
        planes = patch.reshape(-1, *patch.shape[-3:])
        out = np.empty((len(planes), height, width, patch.shape[-1]), patch.dtype)
        for plane, result in zip(planes, out, strict=True):
            for channel in range(patch.shape[-1]):
                result[..., channel] = ndimage.map_coordinates(
                    plane[..., channel], [y, x], order=0 if labels else 1, mode="mirror"
                )
        return out.reshape(*patch.shape[:-3], height, width, patch.shape[-1])
