"""Objects are measured as scikit-image measures them, and their sizes lead to sensible proposals."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import ndimage
from skimage.measure import label, regionprops

from dl4fiji.data.image import open_image
from dl4fiji.data.object_size import ObjectSize, summarize
from dl4fiji.data.objects import measure, measure_image
from dl4fiji.data.writer import Metadata, write_image


def random_labels(seed: int, shape: tuple[int, ...], numbers: np.ndarray) -> np.ndarray:
    """Return labels of ragged areas, several of them with the same number."""
    rng = np.random.default_rng(seed)
    areas = ndimage.label(ndimage.gaussian_filter(rng.random(shape), 1.5) > 0.5)[0]
    return np.append(0, rng.choice(numbers, areas.max()))[areas]


@pytest.mark.parametrize("shape", [(60, 70), (16, 30, 40)])
@pytest.mark.parametrize(("factor", "table"), [(1, 1 << 24), (7001, 1 << 24), (1000, 5000)])
def test_objects_are_measured_as_scikit_image_does(
    shape: tuple[int, ...], factor: int, table: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dl4fiji.data.objects._TABLE", table)
    image = random_labels(0, shape, np.arange(1, 9) * factor).astype(np.int32)
    objects, dimensions = measure(image, "a"), len(shape)
    expected = regionprops(image)
    assert len(objects) == len(expected) > 3
    for row, region in enumerate(expected):
        assert objects.labels[row] == region.label
        assert objects.pixels[row] == region.area
        box = np.asarray(region.bbox)
        np.testing.assert_array_equal(objects.first[row], box[:dimensions])
        np.testing.assert_array_equal(objects.extents[row], box[dimensions:] - box[:dimensions])
        assert objects.pieces[row] == label(image == region.label).max()
        touches = (box[dimensions - 2 : dimensions] == 0) | (box[-2:] == np.asarray(shape[-2:]))
        assert objects.at_border[row] == touches.any()
    assert measure(np.zeros(shape, np.uint8)).covered == (0.0,) * dimensions


def test_planes_of_stacks_are_measured_one_by_one_for_2d_networks(tmp_path: Path) -> None:
    image = random_labels(1, (3, 40, 40), np.arange(1, 5)).astype(np.uint16)
    write_image(tmp_path / "a.tif", image, "ZYX")
    source = open_image(tmp_path / "a.tif")
    planes = list(measure_image(source, "YX"))
    assert [objects.name for objects in planes] == [f"a.tif, slice {number}" for number in (1, 2, 3)]
    assert planes[1].pixels.sum() == np.count_nonzero(image[1])
    (whole,) = measure_image(source, "ZYX")
    assert (whole.name, whole.pixels.sum()) == ("a.tif", np.count_nonzero(image))


def test_of_huge_images_the_middle_is_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dl4fiji.data.objects._MOST_PIXELS", 400)
    image = np.zeros((40, 40), np.uint8)
    image[18:22, 17:21], image[:5, :5] = 1, 2
    write_image(tmp_path / "a.tif", image, "YX")
    (objects,) = measure_image(open_image(tmp_path / "a.tif"), "YX")
    assert objects.labels.tolist() == [1]
    assert objects.shape == (20, 20)


def blocks(shape: tuple[int, ...], sides: tuple[int, ...], gap: int = 3) -> np.ndarray:
    """Return labels of boxes that do not reach the border."""
    image = np.zeros(shape, np.uint16)
    starts = np.stack(
        np.meshgrid(*[np.arange(1, n - s, s + gap) for n, s in zip(shape, sides, strict=True)], indexing="ij"), -1
    )
    for number, start in enumerate(starts.reshape(-1, len(shape)), 1):
        image[tuple(slice(at, at + side) for at, side in zip(start, sides, strict=True))] = number
    return image


def size_of(tmp_path: Path, image: np.ndarray, **metadata: Any) -> ObjectSize:
    axes = "ZYX"[-image.ndim :]
    write_image(tmp_path / "a.tif", image, axes, Metadata(**metadata))
    source = open_image(tmp_path / "a.tif")
    found = summarize(list(measure_image(source, axes)), [source, source], axes)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("side", "grid", "rays"), [(4, 1, 32), (9, 1, 32), (21, 2, 32), (45, 4, 32), (90, 4, 64)], ids=str
)
def test_grid_and_rays_follow_the_diameter(side: int, grid: int, rays: int, tmp_path: Path) -> None:
    found = size_of(tmp_path, blocks((400, 400), (side, side)))
    assert (found.extents, found.grid, found.rays) == ((side, side), (grid, grid), rays)
    assert all(n % (16 * grid) == 0 and n >= min(2 * side, 384) for n in found.patch_size)
    assert f"the median diameter is {side} px, so grid {grid}" in found.summary()


def test_small_objects_among_large_ones_keep_the_grid_fine(tmp_path: Path) -> None:
    image = blocks((400, 400), (45, 45))
    small = blocks((400, 400), (5, 5))
    image[250:] = 0
    image[260:300] = np.where(small[260:300] > 0, small[260:300] + 1000, 0)
    assert size_of(tmp_path, image).grid == (1, 1)


def test_anisotropy_is_that_of_stardist(tmp_path: Path) -> None:
    from stardist import calculate_extents

    image = blocks((40, 120, 120), (6, 19, 20))
    found = size_of(tmp_path, image)
    extents = calculate_extents(image)
    np.testing.assert_array_equal(found.extents, extents)
    np.testing.assert_allclose(found.anisotropy, extents.max() / extents, rtol=0.06)
    assert found.anisotropy[1:] == (1, 1)
    assert found.grid == (1, 2, 2)
    assert "median size is 6×19×20 px, so grid 1×2×2 and anisotropy 3.25 1 1" in found.summary()


def test_pixel_sizes_tell_the_anisotropy_of_few_objects(tmp_path: Path) -> None:
    image = np.zeros((20, 40, 40), np.uint8)
    image[4:14, 10:20, 10:20] = 1
    size = {"Z": 0.5, "Y": 0.2, "X": 0.2}
    assert size_of(tmp_path, image, pixel_size=size, unit="µm").anisotropy == (2.5, 1, 1)
    assert size_of(tmp_path, image).anisotropy == (1, 1, 1)


def test_objects_at_the_border_count_but_are_not_measured(tmp_path: Path) -> None:
    image = blocks((100, 100), (20, 20))
    image[:3, 30:33], image[97:, 30:60] = 500, 501
    found = size_of(tmp_path, image)
    assert (found.at_border, found.extents) == (2, (20, 20))
    assert found.summary().startswith(f"2 of {found.count} objects touch the border; ")


def test_a_patch_of_a_single_image_leaves_room_for_validation(tmp_path: Path) -> None:
    write_image(tmp_path / "a.tif", blocks((128, 128), (40, 40)), "YX")
    source = open_image(tmp_path / "a.tif")
    found = summarize(list(measure_image(source, "YX")), [source], "YX")
    assert found is not None
    assert found.patch_size == (64, 64)
    assert summarize([], [source], "YX") is None
