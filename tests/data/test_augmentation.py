from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from dl4fiji.data.augmentation import KNOTS, Augmentation, _spline

STILL = Augmentation(
    flip=False, rotate=False, intensity_scale=0, intensity_offset=0, noise=0, turn=0, zoom=0, elastic=0
)


def varied(augmentation: Augmentation, seed: int, patch: np.ndarray, labels: bool = False) -> np.ndarray:
    """Apply a plan to a patch that is cut from a mirrored surrounding, as `PatchSource` does."""
    rng = np.random.default_rng(seed)
    plan = augmentation.plan(rng, *patch.shape[-3:-1])
    rows, columns = plan.margin
    pads = [(0, 0)] * (patch.ndim - 3) + [(rows, rows), (columns, columns), (0, 0)]
    return plan.geometry(np.pad(patch, pads, mode="symmetric"), labels)


def test_nothing_switched_on_changes_nothing():
    patch = np.random.default_rng(0).random((8, 8, 1), np.float32)
    assert np.array_equal(varied(STILL, 0, patch), patch)


@pytest.mark.parametrize("shape", [(8, 8, 2), (3, 8, 8, 1)])
def test_flips_and_turns_give_all_eight_views_and_no_other(shape):
    patch = np.random.default_rng(0).random(shape, np.float32)
    only = Augmentation(intensity_scale=0, intensity_offset=0, noise=0, turn=0, zoom=0, elastic=0)
    axes = (patch.ndim - 3, patch.ndim - 2)
    expected = {np.rot90(view, k, axes).tobytes() for view in (patch, np.flip(patch, axes[0])) for k in range(4)}
    seen = {varied(only, seed, patch).tobytes() for seed in range(100)}
    assert seen == expected
    assert len(expected) == 8


def test_patches_that_are_not_square_keep_their_shape():
    patch = np.random.default_rng(0).random((8, 12, 1), np.float32)
    for seed in range(30):
        assert varied(Augmentation(), seed, patch).shape == patch.shape


@pytest.mark.parametrize("shape", [(64, 64, 1), (4, 32, 48, 2)])
def test_source_and_target_are_deformed_alike(shape):
    strong = Augmentation(
        intensity_scale=0, intensity_offset=0, noise=0, turn=20, zoom=0.2, elastic=4, deformed_share=1
    )
    patch = np.random.default_rng(0).random(shape, np.float32)
    changed = 0
    for seed in range(10):
        first, second = varied(strong, seed, patch), varied(strong, seed, 2 * patch + 1)
        assert np.allclose(second, 2 * first + 1, atol=1e-5)
        changed += not np.allclose(first, patch)
    assert changed == 10


def test_labels_are_not_mixed():
    labels = np.random.default_rng(0).choice([0, 7, 1000], (64, 64, 1)).astype(np.float32)
    for seed in range(10):
        assert set(np.unique(varied(Augmentation(deformed_share=1), seed, labels, labels=True))) <= {0, 7, 1000}


def test_deformation_moves_a_point_where_the_shifts_say():
    augmentation = Augmentation(flip=False, rotate=False, deformed_share=1)
    plan = augmentation.plan(np.random.default_rng(3), 65, 65)
    rows, columns = plan.margin
    y, x = np.meshgrid(np.arange(-rows, 65 + rows), np.arange(-columns, 65 + columns), indexing="ij")
    for coordinate, shift in zip((y, x), plan.shifts, strict=True):
        moved = plan.geometry(coordinate[..., None].astype(np.float32))[..., 0]
        own = np.meshgrid(np.arange(65), np.arange(65), indexing="ij")[0 if coordinate is y else 1]
        assert np.allclose(moved, own + shift, atol=1e-3)
        assert np.abs(shift).max() <= 65 / 2 * 1.42 * 0.35 + 12


def test_planes_of_a_stack_are_deformed_alike_and_not_mixed():
    stack = np.stack([np.full((32, 32, 1), z, np.float32) for z in range(5)])
    assert np.allclose(varied(Augmentation(deformed_share=1), 1, stack), stack)


def test_intensity_is_bounded_and_noise_is_for_the_source_only():
    augmentation = Augmentation(intensity_scale=0.1, intensity_offset=0.05, noise=0.02, deformed_share=0)
    for seed in range(20):
        rng = np.random.default_rng(seed)
        plan = augmentation.plan(rng, 8, 8)
        source, target = np.ones((64, 64, 1), np.float32), np.ones((64, 64, 1), np.float32)
        plan.intensity(target)
        plan.intensity(source, rng)
        assert 0.85 - 1e-5 <= target[0, 0, 0] <= 1.15 + 1e-5
        assert np.ptp(target) == 0
        assert 0 < source.std() < 0.025


def test_the_same_seed_gives_the_same_patch():
    patch = np.random.default_rng(0).random((32, 32, 1), np.float32)
    assert np.array_equal(varied(Augmentation(), 5, patch), varied(Augmentation(), 5, patch))
    assert not np.array_equal(varied(Augmentation(), 5, patch), varied(Augmentation(), 6, patch))


def test_restoration_leaves_the_noise_alone():
    augmentation = Augmentation.for_restoration()
    plans = [augmentation.plan(np.random.default_rng(seed), 16, 16) for seed in range(50)]
    assert all(plan.shifts is None and plan.noise == 0 and plan.margin == (0, 0) for plan in plans)


@pytest.mark.parametrize("size", [(128, 128), (61, 30), (4, 5)])
def test_elastic_deformation_is_the_cubic_spline_through_its_knots(size):
    knots = np.random.default_rng(1).normal(0, 2, (2, KNOTS, KNOTS))
    factors = (1, size[0] / KNOTS, size[1] / KNOTS)
    expected = ndimage.zoom(knots, factors, order=3, mode="nearest", grid_mode=True)
    found = _spline(size[0]) @ knots @ _spline(size[1]).T
    np.testing.assert_allclose(found, expected, atol=1e-12)
