"""Shapes are suppressed and drawn as stardist does it, whole and in blocks."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from dl4fiji.prediction import objects
from dl4fiji.prediction.detection import Candidates
from dl4fiji.prediction.objects import draw
from object_scenes import Scene, nuclei_2d, nuclei_3d

BOTH = pytest.mark.parametrize("make", [nuclei_2d, nuclei_3d])


def _whole(scene: Scene) -> tuple[Candidates, np.ndarray]:
    """Return the objects and the label image as stardist draws it."""
    from stardist import polygons_to_label, polyhedron_to_label

    points, prob, dist = scene.whole(0.4)
    found = Candidates(points.astype(np.int32), dist, prob)
    if len(scene.shape) == 2:
        return found, polygons_to_label(dist, points, scene.shape, prob)
    return found, polyhedron_to_label(dist, points, scene.shapes.directions, scene.shape, prob, verbose=False)


@BOTH
@pytest.mark.parametrize("block", [5000, 10**6])
def test_blocks_are_stardists_label_image(
    make: Callable[[], Scene], block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(objects, "BLOCK", block)
    scene = make()
    found, expected = _whole(scene)
    drawn = np.full(scene.shape, -1, np.int32)
    for window, labels in draw(scene.shapes, found, scene.shape):
        drawn[window] = labels
    np.testing.assert_array_equal(drawn, expected)
    assert drawn.max() == len(found)


def test_volumes_beyond_a_limit_are_cut_within_their_planes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(objects, "BLOCK", 30000)
    monkeypatch.setattr(objects, "WHOLE_PLANES", 1000)
    scene = nuclei_3d()
    found, expected = _whole(scene)
    for window, labels in draw(scene.shapes, found, scene.shape):
        np.testing.assert_array_equal(labels, expected[window])


@BOTH
def test_shapes_lie_within_their_bounds_and_have_their_sizes(make: Callable[[], Scene]) -> None:
    scene = make()
    found, expected = _whole(scene)
    low, high = scene.shapes.bounds(found.points, found.dist)
    sizes = scene.shapes.sizes(found.dist)
    compared = 0
    for index in range(len(found)):
        alone = scene.shapes.render(
            found.points[index : index + 1], found.dist[index : index + 1], (0,) * expected.ndim, scene.shape
        )
        pixels = np.argwhere(alone)
        assert (pixels >= low[index]).all()
        assert (pixels <= high[index]).all()
        if (low[index] >= 0).all() and (high[index] < scene.shape).all() and sizes[index] > 80:
            assert len(pixels) == pytest.approx(sizes[index], rel=0.3)
            compared += 1
    assert compared >= 3


@BOTH
def test_nothing_is_drawn_of_nothing(make: Callable[[], Scene]) -> None:
    scene = make()
    nothing = Candidates.empty(len(scene.shape), scene.shapes.rays)
    assert not len(scene.shapes.survivors(nothing.points, nothing.dist, 0.4))
    assert all(not labels.any() for _, labels in draw(scene.shapes, nothing, scene.shape))
