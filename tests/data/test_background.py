from __future__ import annotations

import numpy as np
import pytest
from csbdeep.data.generate import no_background_patches

from dl4fiji.data.background import Background, Grid, allowed_starts
from dl4fiji.data.image import open_image
from dl4fiji.data.writer import write_image


def sparse(shape: tuple[int, ...], seed: int = 0, spots: int = 12) -> np.ndarray:
    """Dim noise with a few bright spots."""
    rng = np.random.default_rng(seed)
    image = rng.integers(90, 110, shape)
    for _ in range(spots):
        center = [int(rng.integers(0, size)) for size in shape]
        radii = [max(3, size // 32) for size in shape]
        spot = tuple(slice(max(0, at - radius), at + radius + 1) for at, radius in zip(center, radii, strict=True))
        image[spot] += 900
    return image.astype(np.uint16)


def grid_of(tmp_path, image: np.ndarray, axes: str, patch: tuple[int, ...], **background) -> Grid | None:
    write_image(tmp_path / "a.tif", image, axes)
    source = open_image(tmp_path / "a.tif")
    extents = [slice(0, source.sizes[axis]) for axis in axes]
    return allowed_starts(source, axes + "C", extents, patch, Background(**background))


@pytest.mark.parametrize(("shape", "axes", "patch"), [
    ((256, 300), "YX", (64, 64)), ((129, 200), "YX", (32, 48)), ((20, 90, 100), "ZYX", (8, 32, 32)),
])  # fmt: skip
@pytest.mark.parametrize("seed", range(3))
def test_positions_are_those_of_csbdeep(tmp_path, shape, axes, patch, seed):
    image = sparse(shape, seed, spots=4)
    grid = grid_of(tmp_path, image, axes, patch)
    assert grid is not None
    mask = no_background_patches()([image, image], patch)
    agree = 0
    for place in np.ndindex(*grid.allowed.shape):
        starts = [int(index) * step for index, step in zip(place, grid.step, strict=True)]
        center = tuple(start + size // 2 for start, size in zip(starts, patch, strict=True))
        agree += bool(mask[center]) == bool(grid.allowed[place])
    # The percentile of csbdeep is interpolated, and its filter begins a pixel beside ours where sizes are even.
    assert agree >= 0.98 * grid.allowed.size
    assert 0 < grid.allowed.sum() < grid.allowed.size


def test_drawn_patches_show_something_and_cover_all_allowed_places(tmp_path):
    image = sparse((256, 256), spots=3)
    grid = grid_of(tmp_path, image, "YX", (64, 64))
    rng = np.random.default_rng(0)
    starts = np.array([grid.draw(rng) for _ in range(3000)])
    assert starts.min() >= 0
    assert starts.max() <= 256 - 64
    bright = [image[y : y + 64, x : x + 64].max() > 500 for y, x in starts]
    assert all(bright)
    drawn = {tuple(start // 8) for start in starts}
    assert len(drawn) >= 0.95 * grid.allowed.sum()
    assert len({tuple(start) for start in starts}) > 2 * grid.allowed.sum()


def test_a_share_of_background_can_be_kept(tmp_path):
    image = sparse((512, 512), spots=1)
    rng = np.random.default_rng(0)
    shares = []
    for share in (0.0, 0.5):
        grid = grid_of(tmp_path, image, "YX", (64, 64), share=share)
        shares.append(
            np.mean([image[y : y + 64, x : x + 64].max() < 500 for y, x in (grid.draw(rng) for _ in range(500))])
        )
    assert shares[0] == 0
    assert 0.35 < shares[1] < 0.55


def test_only_the_given_part_is_used(tmp_path):
    image = sparse((256, 64), spots=30)
    write_image(tmp_path / "a.tif", image, "YX")
    extents = [slice(100, 200), slice(0, 64)]
    grid = allowed_starts(open_image(tmp_path / "a.tif"), "YXC", extents, (32, 32), Background())
    rng = np.random.default_rng(0)
    rows = [grid.draw(rng)[0] for _ in range(500)]
    assert min(rows) >= 100
    assert max(rows) <= 200 - 32


def test_background_only_is_told(tmp_path):
    image = np.zeros((64, 64), np.uint16)
    assert grid_of(tmp_path, image, "YX", (32, 32)) is None


def test_channels_are_judged_each_by_its_own(tmp_path):
    dim, bright = np.zeros((128, 128), np.float32), np.zeros((128, 128), np.float32)
    dim[30:34, 30:34] = 10
    bright[90:94, 90:94] = 1000
    write_image(tmp_path / "a.tif", np.stack([dim, bright]), "CYX")
    extents = [slice(0, 128)] * 2
    grid = allowed_starts(open_image(tmp_path / "a.tif"), "YXC", extents, (32, 32), Background())
    assert grid.allows((14, 14))
    assert grid.allows((76, 76))
    assert not grid.allows((76, 14))


def test_strips_do_not_change_the_result(tmp_path, monkeypatch):
    image = sparse((300, 200))
    whole = grid_of(tmp_path, image, "YX", (32, 32))
    monkeypatch.setattr("dl4fiji.data.background._STRIP", 1000)
    assert np.array_equal(grid_of(tmp_path, image, "YX", (32, 32)).allowed, whole.allowed)


def test_the_grid_stays_small(tmp_path, monkeypatch):
    monkeypatch.setattr("dl4fiji.data.background._MOST_CELLS", 500)
    grid = grid_of(tmp_path, sparse((256, 256)), "YX", (64, 64))
    assert grid.allowed.size < 500
    assert grid.step == (16, 16)
