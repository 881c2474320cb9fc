"""Masks of Noise2Void: the same statistics as n2v's, several times as fast."""

from __future__ import annotations

from typing import Any, get_args

import numpy as np
import pytest

from dl4fiji.data.blind_spots import Manipulator, box_sides, mask_patches

SHAPES = pytest.mark.parametrize("shape", [(64, 64), (16, 32, 32)], ids=["plane", "volume"])


def _positions(count: int, shape: tuple[int, ...], channels: int = 1) -> np.ndarray:
    """Return patches whose values are the flat positions of their pixels, so that values tell where they are from."""
    flat = np.arange(np.prod(shape), dtype=np.float32).reshape(*shape, 1)
    return np.broadcast_to(flat, (count, *shape, channels)).copy()


def _masked(count: int, shape: tuple[int, ...], manipulator: Manipulator = "uniform_withCP", seed: int = 0) -> Any:
    """Return places (M, axes) of hidden pixels and of those whose values they got."""
    patches, target = mask_patches(
        _positions(count, shape), box_sides(0.198, shape), 5, manipulator, np.random.default_rng(seed)
    )
    mask = target[..., 1] == 1
    places = np.argwhere(mask)[:, 1:]
    np.testing.assert_array_equal(target[..., 0][mask], _positions(count, shape)[..., 0][mask])
    return places, np.stack(np.unravel_index(patches[..., 0][mask].astype(int), shape), axis=1)


@pytest.mark.parametrize(
    ("percent", "shape", "expected"),
    [
        (0.198, (64, 64), (22, 22)),  # as n2v: round(sqrt(100 / 0.198))
        (1.5, (64, 64), (8, 8)),
        (0.198, (16, 64, 64), (8, 8, 8)),
        (0.198, (4, 64, 64), (4, 11, 11)),
        (0.198, (16, 256), (16, 32)),
        (100, (16, 16), (1, 1)),
    ],
)
def test_boxes_hold_the_share_that_was_asked_for(
    percent: float, shape: tuple[int, ...], expected: tuple[int, ...]
) -> None:
    assert box_sides(percent, shape) == expected
    assert 100 / np.prod(expected) == pytest.approx(percent, rel=0.05)


@SHAPES
def test_each_box_hides_one_pixel_anywhere_in_it(shape: tuple[int, ...]) -> None:
    sides = np.array(box_sides(0.198, shape))
    count = 400
    _, target = mask_patches(_positions(count, shape), sides, 5, "uniform_withCP", np.random.default_rng(1))
    sample, *place = np.nonzero(target[..., 1])
    places = np.stack(place, axis=1)
    boxes = np.concatenate([sample[:, np.newaxis], places // sides], axis=1)
    assert len(np.unique(boxes, axis=0)) == len(boxes)  # never two in one box
    whole = (np.array(shape) // sides).prod() * count
    inner = ((places // sides + 1) * sides <= shape).all(axis=1)
    assert inner.sum() == whole  # one in each box that lies within the patch
    for axis, side in enumerate(sides):
        seen = np.bincount(places[inner, axis] % side, minlength=side)
        expected = whole / side
        # Pearson's chi-square, about side - 1 for a uniform distribution, with a standard deviation of sqrt(2 side).
        assert ((seen - expected) ** 2 / expected).sum() < side + 5 * np.sqrt(2 * side)


@SHAPES
def test_values_come_uniformly_from_the_neighborhood_the_pixel_itself_among_it(shape: tuple[int, ...]) -> None:
    places, origins = _masked(1500, shape)
    inner = ((places >= 5) & (places < np.array(shape) - 5)).all(axis=1)
    offsets = (origins - places)[inner]
    assert np.abs(origins - places).max() == 5
    for axis in range(len(shape)):
        seen = np.bincount(offsets[:, axis] + 5, minlength=11)
        expected = len(offsets) / 11
        assert ((seen - expected) ** 2 / expected).sum() < 10 + 5 * np.sqrt(20)
    share = (offsets == 0).all(axis=1).mean()
    chance = 11.0 ** -len(shape)
    assert abs(share - chance) < 5 * np.sqrt(chance / len(offsets))


@SHAPES
def test_statistics_are_those_of_n2v(shape: tuple[int, ...]) -> None:
    """Hidden pixels per patch and the distances of the values, beside n2v's own data wrapper."""
    from dl4fiji.keras_setup import prepare

    prepare()
    from n2v.internals.N2V_DataWrapper import N2V_DataWrapper
    from n2v.utils.n2v_utils import pm_uniform_withCP

    count, side = 40, box_sides(0.198, shape)[0]
    images = _positions(count, shape)
    # n2v takes the square root for volumes, too: this percentage gives it boxes of the same size.
    wrapper = N2V_DataWrapper(
        images, images, count, 1, perc_pix=100 / side**2, shape=shape, value_manipulation=pm_uniform_withCP(5)
    )
    np.random.seed(3)
    theirs, target = wrapper[0]
    mask = target[..., 1] == 1
    their_places = np.argwhere(mask)[:, 1:]
    their_origins = np.stack(np.unravel_index(theirs[..., 0][mask].astype(int), shape), axis=1)
    places, origins = _masked(count, shape)
    spread = np.sqrt(len(places))
    assert abs(len(places) - len(their_places)) <= 5 * spread
    for ours, others in ((places, their_places), (origins - places, their_origins - their_places)):
        for axis in range(len(shape)):
            difference = ours[:, axis].mean() - others[:, axis].mean()
            assert abs(difference) < 5 * np.sqrt(ours[:, axis].var() / len(ours) + others[:, axis].var() / len(others))
            assert ours[:, axis].std() == pytest.approx(others[:, axis].std(), rel=0.15)


@SHAPES
@pytest.mark.parametrize("manipulator", ["uniform_withoutCP", "normal_withoutCP"])
def test_without_center_pixel_no_pixel_keeps_its_value(shape: tuple[int, ...], manipulator: Manipulator) -> None:
    places, origins = _masked(300, shape, manipulator)
    assert (places != origins).any(axis=1).all()
    if manipulator == "uniform_withoutCP":
        assert np.abs(places - origins).max() == 5
        inner = ((places >= 5) & (places < np.array(shape) - 5)).all(axis=1)
        assert np.abs((origins - places)[inner].mean(axis=0)).max() < 5 * np.sqrt(10 / inner.sum())
    else:
        inner = ((places >= 12) & (places < np.array(shape) - 12)).all(axis=1)
        if inner.any():
            assert (origins - places)[inner].std() == pytest.approx(4, rel=0.15)


@pytest.mark.parametrize("manipulator", ["mean", "median", "normal_fitted"])
@SHAPES
def test_statistics_of_the_neighborhood(shape: tuple[int, ...], manipulator: Manipulator) -> None:
    images = np.random.default_rng(5).normal(100, 20, (3, *shape, 2)).astype(np.float32)
    masked, target = mask_patches(images.copy(), box_sides(0.5, shape), 2, manipulator, np.random.default_rng(0))
    scores = []
    for sample, *place, channel in np.argwhere(target[..., 2:] == 1):
        window = tuple(slice(max(0, at - 2), at + 3) for at in place)
        around = images[(sample, *window, channel)].ravel().astype(np.float64)
        value, own = masked[(sample, *place, channel)], images[(sample, *place, channel)]
        neighbors = np.delete(around, np.argmin(np.abs(around - own)))
        if manipulator == "normal_fitted":
            scores.append((value - around.mean()) / around.std())
        else:
            assert value == pytest.approx(getattr(np, manipulator)(neighbors), abs=1e-3)
    if scores:
        assert abs(np.mean(scores)) < 5 / np.sqrt(len(scores))
        assert np.std(scores) == pytest.approx(1, abs=5 / np.sqrt(2 * len(scores)))


@pytest.mark.parametrize("manipulator", get_args(Manipulator))
def test_nothing_but_hidden_pixels_changes(manipulator: Manipulator) -> None:
    images = np.random.default_rng(1).normal(size=(4, 24, 40, 3)).astype(np.float32)
    masked, target = mask_patches(images.copy(), (8, 8), 3, manipulator, np.random.default_rng(2))
    hidden = target[..., 3:] == 1
    np.testing.assert_array_equal(masked[~hidden], images[~hidden])
    np.testing.assert_array_equal(target[..., :3][hidden], images[hidden])
    assert not target[..., :3][~hidden].any()
    assert set(np.unique(target[..., 3:])) == {0, 1}
    assert masked.dtype == target.dtype == np.float32
    per_channel = hidden.sum(axis=(0, 1, 2))
    assert per_channel.tolist() == [4 * 15] * 3
    assert not np.array_equal(hidden[..., 0], hidden[..., 1])  # each channel has spots of its own


def test_the_same_generator_hides_the_same_pixels() -> None:
    images = np.random.default_rng(1).normal(size=(4, 32, 32, 1)).astype(np.float32)
    one, two, other = (
        mask_patches(images.copy(), (8, 8), 5, "uniform_withCP", np.random.default_rng(seed)) for seed in (7, 7, 8)
    )
    for ours, again in zip(one, two, strict=True):
        np.testing.assert_array_equal(ours, again)
    assert not np.array_equal(one[1], other[1])


def test_every_patch_hides_a_pixel_even_where_boxes_exceed_it() -> None:
    images = np.zeros((50, 4, 16, 16, 1), np.float32)
    _, target = mask_patches(
        images, box_sides(0.198, images.shape[1:-1]), 5, "uniform_withCP", np.random.default_rng(0)
    )
    assert target[..., 1].sum(axis=(1, 2, 3)).min() >= 1
