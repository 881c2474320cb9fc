"""Masks of all kinds become classes, and what is wrong with them is said."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image
from scipy import ndimage

from dl4fiji.data.masks import class_weights
from dl4fiji.data.normalization import PercentileNormalization
from dl4fiji.data.pairs import check_data, open_pairs
from dl4fiji.data.patches import Augmentation, PatchSource
from dl4fiji.errors import DataError
from dl4fiji.options import TrainingOptions

SMALL = TrainingOptions(patch_size=(16, 16), batch_size=4, patches_per_image=4)
SCALE = PercentileNormalization(low=1)


def _areas(seed: int = 0, count: int = 1, shape: tuple[int, ...] = (48, 48)) -> np.ndarray:
    """Return areas numbered from 0 (background) to ``count``."""
    smooth = ndimage.gaussian_filter(np.random.default_rng(seed).random(shape), 4)
    cuts = np.quantile(smooth, np.linspace(0, 1, count + 2)[1:-1])
    return np.digitize(smooth, cuts).astype(np.uint8)


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Any]:
    """Write images with the given masks and return their data fields."""

    def make(masks: list[np.ndarray], save: Callable[[Path, np.ndarray], None] | None = None) -> Any:
        for role in ("source", "target"):
            (tmp_path / role).mkdir(exist_ok=True)
        for number, mask in enumerate(masks):
            image = np.random.default_rng(number).integers(100, 4000, mask.shape[:2]).astype(np.uint16)
            tifffile.imwrite(tmp_path / "source" / f"{number}.tif", image)
            file = tmp_path / "target" / f"{number}.tif"
            save(file, mask) if save else tifffile.imwrite(file, mask)
        return SimpleNamespace(
            source=str(tmp_path / "source"), target=str(tmp_path / "target"), validation_source="",
            validation_target="", axes="",
        )  # fmt: skip

    return make


def _one_bit(file: Path, mask: np.ndarray) -> None:
    Image.fromarray(mask > 0).save(file)


@pytest.mark.parametrize(
    ("turn", "save"),
    [
        (lambda mask: mask * np.uint8(255), None),
        (lambda mask: mask, None),
        (lambda mask: mask, _one_bit),
        (lambda mask: mask.astype(np.float32) * 255, None),
        (lambda mask: ndimage.label(mask)[0].astype(np.uint16) * 7, None),
    ],
    ids=["0 and 255", "0 and 1", "1 bit", "32-bit float", "labels of objects"],
)
def test_all_forms_of_foreground_become_one_class(
    turn: Callable[[np.ndarray], np.ndarray], save: Any, write: Callable[..., Any]
) -> None:
    masks = [_areas(seed) for seed in range(3)]
    dataset = open_pairs(write([turn(mask) for mask in masks], save), "YXC", form="foreground")
    assert dataset.classes == (0, 255)
    assert dataset.channels_out == 1
    for pair, mask in zip(dataset.pairs, masks, strict=True):
        assert pair.target is not None
        assert pair.target.dtype == np.uint8
        np.testing.assert_array_equal(pair.target.read(), mask)
        np.testing.assert_array_equal(pair.target.region(Y=slice(3, 9), X=5), mask[3:9, 5])


def test_masks_that_differ_in_form_are_read_each_by_its_own(write: Callable[..., Any]) -> None:
    masks = [_areas(seed) for seed in range(3)]
    dataset = open_pairs(write([masks[0], masks[1] * np.uint8(255), masks[2]]), "YXC", form="foreground")
    for pair, mask in zip(dataset.pairs, masks, strict=True):
        np.testing.assert_array_equal(pair.target.read(), mask)  # type: ignore[union-attr]


@pytest.mark.parametrize("values", [(0, 1, 2), (0, 128, 255), (0, 3, 700)])
def test_classes_keep_their_order_whatever_their_values(values: tuple[int, ...], write: Callable[..., Any]) -> None:
    masks = [_areas(seed, 2) for seed in range(3)]
    given = [np.asarray(values, np.uint16)[mask] for mask in masks]
    dataset = open_pairs(write(given), "YXC", form="classes")
    assert dataset.classes == values
    assert dataset.channels_out == 3
    np.testing.assert_array_equal(dataset.pairs[1].target.read(), masks[1])  # type: ignore[union-attr]


def test_two_classes_are_one_beside_the_background(write: Callable[..., Any]) -> None:
    dataset = open_pairs(write([_areas(seed) * np.uint8(9) for seed in range(2)]), "YXC", form="classes")
    assert (dataset.classes, dataset.channels_out) == ((0, 9), 1)


def test_soft_edges_are_cut_in_the_middle_with_a_warning(write: Callable[..., Any]) -> None:
    mask = np.zeros((48, 48), np.uint8)
    mask[8:40, 8:40] = 255
    soft = mask.copy()
    soft[8, 8:40], soft[39, 8:40] = 90, 200
    dataset = open_pairs(write([soft, mask]), "YXC", form="foreground")
    assert any("pixels above 127" in text for text in dataset.warnings)
    expected = mask > 0
    expected[8] = False
    np.testing.assert_array_equal(dataset.pairs[0].target.read(), expected)  # type: ignore[union-attr]


def _halves(mask: np.ndarray) -> np.ndarray:
    return mask.astype(np.float32) * 0.37


def _noise(mask: np.ndarray) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 4000, mask.shape).astype(np.uint16)


@pytest.mark.parametrize(
    ("turn", "form", "told"),
    [
        (_halves, "foreground", r"0\.tif has pixels such as 0\.37, but a mask holds whole numbers"),
        (lambda mask: np.stack([mask * 255, mask, mask], -1), "foreground", "is a color image, perhaps an overlay"),
        (lambda mask: mask * 0, "foreground", "All masks have the value 0 everywhere, so all is background"),
        (lambda mask: mask * 0 + 255, "foreground", "All masks have the value 255 everywhere, so all is foreground"),
        (lambda mask: mask + 1, "foreground", r"no pixel of the value 0.*values 1, 2"),
        (lambda mask: mask * 0 + 2, "classes", "so all is of class 2 and there is nothing to learn"),
        (lambda mask: mask.astype(np.int16) - 1, "classes", "has pixels below 0"),
        (_noise, "foreground", "looks like a picture, not like a mask"),
        (lambda mask: np.arange(48 * 48).reshape(48, 48).astype(np.uint16) // 48, "classes", "labels of objects"),
    ],
)
def test_what_is_wrong_with_masks_is_said(
    turn: Callable[[np.ndarray], np.ndarray], form: Any, told: str, write: Callable[..., Any]
) -> None:
    data = write([turn(_areas(seed)) for seed in range(3)])
    with pytest.raises(DataError, match=told):
        open_pairs(data, "YXC", form=form, full=True)
    problems = check_data(data, "YXC", SMALL, form=form, full=True).problems
    assert len(problems) <= 3
    assert all(text.endswith(".") for text in problems)


def test_wrong_masks_are_told_from_the_first_few_already(write: Callable[..., Any]) -> None:
    data = write([_halves(_areas(seed)) for seed in range(6)])
    report = check_data(data, "YXC", SMALL, form="foreground")
    assert len(report.problems) == 3
    assert "whole numbers" in report.problems[0]


def test_several_values_as_foreground_are_pointed_out(write: Callable[..., Any]) -> None:
    data = write([_areas(seed, 2) for seed in range(3)])
    (warning,) = check_data(data, "YXC", SMALL, form="foreground").warnings
    assert "values 0, 1, 2, of which all but 0 count as foreground" in warning


def test_single_empty_masks_are_allowed_and_told(write: Callable[..., Any]) -> None:
    masks = [_areas(seed) for seed in range(3)]
    masks[1] *= 0
    report = check_data(write(masks), "YXC", SMALL, form="foreground", full=True)
    assert report.problems == ()
    assert any("1.tif is background everywhere" in text for text in report.warnings)


def test_color_images_may_have_grey_masks(tmp_path: Path, write: Callable[..., Any]) -> None:
    data = write([_areas(seed) for seed in range(3)])
    for file in (tmp_path / "source").iterdir():
        tifffile.imwrite(file, np.random.default_rng(0).integers(0, 255, (48, 48, 3), np.uint8), photometric="rgb")
    report = check_data(data, "YXC", SMALL, form="foreground", full=True)
    assert (report.problems, report.channels_in, report.channels_out) == ((), 3, 1)


@pytest.mark.parametrize("memory", [None, 0])
def test_augmented_masks_stay_whole_numbers(memory: int | None, write: Callable[..., Any]) -> None:
    masks = [_areas(seed, 3) for seed in range(3)]
    dataset = open_pairs(write(masks), "YXC", form="classes").split(34, 0)
    strong = Augmentation(turn=30, zoom=0.3, elastic=4, deformed_share=1)
    patches = PatchSource(dataset, SCALE, SMALL, "YXC", augmentation=strong, memory=memory)
    for step in range(5):
        source, target = patches.draw(0, step)
        assert set(np.unique(target)) <= {0, 1, 2, 3}
        assert target.shape == (4, 16, 16, 1)
        assert source.std() > 0.1
    np.testing.assert_array_equal(patches.draw(1, 2)[1], patches.draw(1, 2)[1])


def test_geometry_of_image_and_mask_agree(tmp_path: Path, write: Callable[..., Any]) -> None:
    """An image that equals its mask still does so after all variations of geometry, up to interpolation."""
    masks = [_areas(seed) for seed in range(3)]
    data = write(masks)
    for number, mask in enumerate(masks):
        tifffile.imwrite(tmp_path / "source" / f"{number}.tif", mask.astype(np.uint16) * 1000)
    dataset = open_pairs(data, "YXC", form="foreground").split(34, 0)
    geometry = Augmentation(intensity_scale=0, intensity_offset=0, noise=0, deformed_share=1)
    source, target = PatchSource(dataset, SCALE, SMALL, "YXC", augmentation=geometry).draw(0, 0)
    assert np.mean((source > 0.5) == (target > 0.5)) > 0.99


@pytest.mark.parametrize("memory", [None, 0])
def test_class_weights_are_of_the_training_masks(memory: int | None, write: Callable[..., Any]) -> None:
    dataset = open_pairs(write([_areas(seed, 2) for seed in range(4)]), "YXC", form="classes").split(25, 0)
    patches = PatchSource(dataset, SCALE, SMALL, "YXC", memory=memory)
    pixels = np.concatenate([sample.target.read().ravel() for sample in dataset.train])  # type: ignore[union-attr]
    counts = np.bincount(pixels)
    assert patches.class_weights == pytest.approx(tuple(counts.sum() / (3 * counts)))
    assert np.mean(np.asarray(patches.class_weights)[pixels]) == pytest.approx(1)


def test_a_single_image_is_weighted_by_its_part_for_training(write: Callable[..., Any]) -> None:
    mask = np.zeros((48, 48), np.uint8)
    mask[:24] = 1
    mask[30, :4] = 1
    dataset = open_pairs(write([mask]), "YXC", form="foreground").split(34, 0, (16, 16))
    (sample,) = dataset.train
    part = mask[sample.extent("Y"), sample.extent("X")]
    expected = class_weights(np.bincount(part.ravel(), minlength=2).tolist())
    assert PatchSource(dataset, SCALE, SMALL, "YXC").class_weights == pytest.approx(expected)


def test_absent_classes_weigh_nothing() -> None:
    assert class_weights([30, 10, 0]) == pytest.approx((40 / 60, 40 / 20, 0))


def test_patches_show_foreground_where_it_is_sparse(write: Callable[..., Any]) -> None:
    masks = []
    for _ in range(3):
        mask = np.zeros((160, 160), np.uint8)
        mask[100:104, 40:44] = 255
        masks.append(mask)

    class Options(TrainingOptions):
        foreground_percent: int = 50

    dataset = open_pairs(write(masks), "YXC", form="foreground").split(34, 0)
    shown = {}
    for percent in (0, 50, 100):
        options = Options(patch_size=(16, 16), batch_size=64, foreground_percent=percent)
        _, target = PatchSource(dataset, SCALE, options, "YXC").draw(0, 0)
        shown[percent] = np.mean(target.any(axis=(1, 2, 3)))
    assert shown[0] < 0.15
    assert 0.3 < shown[50] < 0.75
    assert shown[100] > 0.9
