"""Outputs as a perfect network would put them out, from stardist's own images of nuclei and their labels."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache

import numpy as np

from dl4fiji.keras_setup import prepare
from dl4fiji.prediction.shapes import Polygons, Polyhedra, Shapes

RAYS = 24
ANISOTROPY = (2.0, 1.0, 1.0)


@dataclass(frozen=True)
class Scene:
    """An output and what it was made of.

    Parameters
    ----------
    output
        (spatial, 1 + rays), values repeated over the grid.
    prob, dist
        The same at the places of the grid. No two probabilities are equal: stardist's order of equal ones is chance.
    threshold
        Probability of a candidate.
    """

    output: np.ndarray
    prob: np.ndarray
    dist: np.ndarray
    grid: tuple[int, ...]
    shapes: Shapes
    threshold: float
    known: dict[float, tuple[np.ndarray, np.ndarray, np.ndarray]] = field(default_factory=dict)

    @property
    def shape(self) -> tuple[int, ...]:
        return self.output.shape[:-1]

    def whole(self, overlap: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return points, probabilities, distances that stardist's suppression of everything leaves."""
        if overlap in self.known:
            return self.known[overlap]
        self.known[overlap] = self._whole(overlap)
        return self.known[overlap]

    def _whole(self, overlap: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        from stardist.nms import non_maximum_suppression, non_maximum_suppression_3d

        given = {"grid": self.grid, "prob_thresh": self.threshold, "nms_thresh": overlap}
        if isinstance(self.shapes, Polygons):
            return non_maximum_suppression(self.dist, self.prob, **given)
        assert isinstance(self.shapes, Polyhedra)
        return non_maximum_suppression_3d(self.dist, self.prob, self.shapes.directions, **given)


def _scene(
    prob: np.ndarray, dist: np.ndarray, grid: tuple[int, ...], shapes: Shapes, shape: tuple[int, ...], least: float
) -> Scene:
    rng = np.random.default_rng(0)
    noisy = prob + rng.uniform(0, 1e-3, prob.shape)
    ranked = np.empty(prob.size, np.float32)
    ranked[noisy.ravel().argsort()] = np.arange(1, prob.size + 1) / prob.size
    ranked = ranked.reshape(prob.shape)
    dist = np.maximum(dist * rng.uniform(0.9, 1.1, dist.shape), 1e-3).astype(np.float32)
    output = np.concatenate([ranked[..., np.newaxis], dist], axis=-1)
    for axis, step in enumerate(grid):
        output = output.repeat(step, axis)
    return Scene(output[tuple(slice(size) for size in shape)], ranked, dist, grid, shapes, float(np.mean(prob < least)))


@cache
def nuclei_2d() -> Scene:
    """A part of 250 × 203 pixels, grid 2."""
    prepare()
    from stardist import edt_prob, star_dist
    from stardist.data import test_image_nuclei_2d

    labels = test_image_nuclei_2d(return_mask=True)[1][100:350, 60:263]
    grid = (2, 2)
    return _scene(
        edt_prob(labels)[::2, ::2], star_dist(labels, RAYS, grid=grid), grid, Polygons(RAYS), labels.shape, 0.2
    )


@cache
def nuclei_3d() -> Scene:
    """A part of 29 × 56 × 53 pixels, grid 1, 2, 2."""
    prepare()
    from stardist import Rays_GoldenSpiral, edt_prob, star_dist3D
    from stardist.data import test_image_nuclei_3d

    labels = test_image_nuclei_3d(return_mask=True)[1][2:31, 4:60, 4:57]
    grid, rays = (1, 2, 2), Rays_GoldenSpiral(RAYS, anisotropy=ANISOTROPY)
    prob = edt_prob(labels, anisotropy=ANISOTROPY)[:, ::2, ::2]
    return _scene(prob, star_dist3D(labels, rays, grid=grid), grid, Polyhedra(rays), labels.shape, 0.6)
