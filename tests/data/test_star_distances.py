"""StarDist's targets beside those of stardist itself, on the same labels."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from scipy import ndimage

from dl4fiji.data.star_distances import planes_targets, volumes_targets
from dl4fiji.keras_setup import prepare


@pytest.fixture(scope="module")
def peer() -> Any:
    """Return stardist, which imports csbdeep."""
    prepare()
    import stardist

    return stardist


def _objects(shape: tuple[int, ...], seed: int, sigma: float = 2.5) -> np.ndarray:
    """Return labels of blobs, many of which touch others and the border."""
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).random(shape), sigma)
    labels, _ = ndimage.label(noise > np.percentile(noise, 60))
    cut = np.indices(shape).sum(axis=0) // 12 % 2  # divides blobs, so that objects touch each other
    return np.where(labels > 0, 2 * labels - cut, 0).astype(np.int32)


@pytest.mark.parametrize("grid", [(1, 1), (2, 2), (4, 2)])
@pytest.mark.parametrize("rays", [32, 7])
def test_planes_have_the_targets_of_stardist(peer: Any, grid: tuple[int, int], rays: int) -> None:
    labels = np.stack([_objects((48, 56), seed) for seed in range(3)])
    probability, distances = planes_targets(labels, rays, grid)
    assert probability.shape == (3, 48 // grid[0], 56 // grid[1], 1)
    assert probability.dtype == distances.dtype == np.float32
    for number, one in enumerate(labels):
        expected = peer.star_dist(one.astype(np.uint16), rays, grid=grid)
        np.testing.assert_allclose(distances[number, ..., :-1], expected, atol=1e-4)
        expected = peer.edt_prob(one[:: grid[0], :: grid[1]])
        np.testing.assert_allclose(probability[number, ..., 0], expected, atol=1e-5)
    np.testing.assert_array_equal(distances[..., -1:], probability)
    assert 0.2 < (probability > 0).mean() < 0.6
    assert distances.max() > 5


@pytest.mark.parametrize("grid", [(1, 1, 1), (1, 2, 2), (2, 2, 4)])
@pytest.mark.parametrize("anisotropy", [(1.0, 1.0, 1.0), (2.2, 1.0, 1.0)])
def test_volumes_have_the_targets_of_stardist(
    peer: Any, grid: tuple[int, int, int], anisotropy: tuple[float, ...]
) -> None:
    labels = np.stack([_objects((12, 20, 24), seed, 1.5) for seed in range(2)])
    rays = peer.Rays_GoldenSpiral(24, anisotropy=anisotropy)
    probability, distances = volumes_targets(labels, rays.vertices, grid, anisotropy)
    every = tuple(slice(None, None, side) for side in grid)
    for number, one in enumerate(labels):
        expected = peer.star_dist3D(one.astype(np.uint16), rays, grid=grid)
        np.testing.assert_allclose(distances[number, ..., :-1], expected, atol=1e-4)
        expected = peer.edt_prob(one, anisotropy=anisotropy)[every]
        np.testing.assert_allclose(probability[number, ..., 0], expected, atol=1e-5)
    np.testing.assert_array_equal(distances[..., -1:], probability)


def test_batches_have_the_targets_of_stardists_generators(peer: Any) -> None:
    """Images of the size of a patch leave the generators nothing to choose but the order."""
    from stardist.models.model2d import StarDistData2D
    from stardist.models.model3d import StarDistData3D

    planes = [_objects((32, 32), seed) for seed in range(4)]
    images = [np.full(one.shape, number, np.float32) for number, one in enumerate(planes)]
    (drawn,), (probability, distances) = StarDistData2D(
        images, [one.astype(np.uint16) for one in planes], 4, 16, 1, patch_size=(32, 32), grid=(2, 2)
    )[0]
    order = drawn[:, 0, 0, 0].astype(int)
    ours = planes_targets(np.stack([planes[number] for number in order]), 16, (2, 2))
    np.testing.assert_allclose(ours[0], probability, atol=1e-5)
    np.testing.assert_allclose(ours[1], distances, atol=1e-4)

    volumes = [_objects((8, 16, 16), seed, 1.5) for seed in range(2)]
    images = [np.full(one.shape, number, np.float32) for number, one in enumerate(volumes)]
    rays = peer.Rays_GoldenSpiral(12, anisotropy=(2, 1, 1))
    (drawn,), (probability, distances) = StarDistData3D(
        images, [one.astype(np.uint16) for one in volumes], 2, rays, 1, patch_size=(8, 16, 16), grid=(1, 2, 2),
        anisotropy=(2, 1, 1),
    )[0]  # fmt: skip
    order = drawn[:, 0, 0, 0, 0].astype(int)
    ours = volumes_targets(np.stack([volumes[number] for number in order]), rays.vertices, (1, 2, 2), (2, 1, 1))
    np.testing.assert_allclose(ours[0], probability, atol=1e-5)
    np.testing.assert_allclose(ours[1], distances, atol=1e-4)


def test_numbers_of_objects_do_not_matter() -> None:
    """stardist takes labels modulo 65 536, which merges objects or loses them."""
    labels = np.stack([_objects((48, 48), seed) for seed in range(2)])
    far = np.where(labels > 0, labels * 65_536, 0)
    far[labels == labels.max()] = 2**31 - 1
    for ours, theirs in zip(planes_targets(labels, 16, (2, 2)), planes_targets(far, 16, (2, 2)), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.filterwarnings("ignore:.*EDT of constant label image")
def test_patches_without_background_or_without_objects(peer: Any) -> None:
    labels = np.stack([np.zeros((16, 16), np.int32), np.full((16, 16), 9, np.int32)])
    probability, distances = planes_targets(labels, 8, (1, 1))
    assert not probability[0].any()
    assert not distances[0].any()
    np.testing.assert_allclose(probability[1, ..., 0], peer.edt_prob(labels[1]), atol=1e-5)
    np.testing.assert_allclose(distances[1, ..., :-1], peer.star_dist(labels[1].astype(np.uint16), 8), atol=1e-4)


def test_threads_do_not_disturb_each_other() -> None:
    batches = [np.stack([_objects((48, 48), 10 * number + seed) for seed in range(4)]) for number in range(6)]
    alone = [planes_targets(batch, 16, (2, 2)) for batch in batches]
    with ThreadPoolExecutor(3) as pool:
        together = list(pool.map(lambda batch: planes_targets(batch, 16, (2, 2)), batches))
    for one, other in zip(alone, together, strict=True):
        np.testing.assert_array_equal(one[1], other[1])
