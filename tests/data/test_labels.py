"""Label images are read as they are, masks in their place are split, and what is wrong with them is said."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from dl4fiji.data.normalization import PercentileNormalization
from dl4fiji.data.pairs import check_data, open_pairs
from dl4fiji.data.patches import Augmentation, PatchSource
from dl4fiji.data.writer import write_image
from dl4fiji.errors import DataError
from dl4fiji.jobs.job import DataRequest
from dl4fiji.options import TrainingOptions

SMALL = TrainingOptions(patch_size=(16, 16), batch_size=4, patches_per_image=4)
SCALE = PercentileNormalization(low=1)


def squares(seed: int = 0, shape: tuple[int, ...] = (48, 48), side: int = 6) -> np.ndarray:
    """Return labels of squares (cubes) that do not touch each other, numbered in no order."""
    labels = np.zeros(shape, np.uint16)
    starts = np.stack(np.meshgrid(*[np.arange(2, n - side, side + 4) for n in shape], indexing="ij"), -1)
    numbers = np.random.default_rng(seed).permutation(np.arange(1, 1000))
    for number, start in zip(numbers, starts.reshape(-1, len(shape)), strict=False):
        labels[tuple(slice(at, at + side) for at in start)] = number
    return labels


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Any]:
    """Write images with the given labels and return their data fields."""

    def make(targets: list[np.ndarray], save: Callable[[Path, np.ndarray], None] | None = None) -> DataRequest:
        for role in ("images", "labels"):
            (tmp_path / role).mkdir(exist_ok=True)
        for number, target in enumerate(targets):
            shape = target.shape[:-1] if target.shape[-1] == 3 else target.shape
            image = np.random.default_rng(number).integers(100, 4000, shape).astype(np.uint16)
            write_image(tmp_path / "images" / f"{number}.tif", image, "ZYX"[-image.ndim :])
            file = tmp_path / "labels" / f"{number}.tif"
            save(file, target) if save else write_image(file, target, "ZYX"[-image.ndim :])
        return DataRequest(source=str(tmp_path / "images"), target=str(tmp_path / "labels"))

    return make


def _as_png(file: Path, labels: np.ndarray) -> None:
    Image.fromarray(labels).save(file.with_suffix(".png"))


def _as_plain_tiff(file: Path, labels: np.ndarray) -> None:
    tifffile.imwrite(file, labels)


@pytest.mark.parametrize(
    ("turn", "save", "dtype"),
    [
        (lambda labels: (labels % 251).astype(np.uint8), None, np.uint8),
        (lambda labels: labels, None, np.uint16),
        (lambda labels: labels, _as_png, np.uint16),
        (lambda labels: labels.astype(np.float32), None, np.uint16),
        (lambda labels: labels.astype(np.float32) * 1000, None, np.int32),
        (lambda labels: labels.astype(np.uint32) * 1000, _as_plain_tiff, np.int32),
    ],
    ids=["8 bit", "16 bit", "PNG", "32-bit float", "large floats", "32-bit integers"],
)
def test_labels_are_read_as_they_are(turn: Any, save: Any, dtype: Any, write: Callable[..., Any]) -> None:
    given = [turn(squares(seed)) for seed in range(3)]
    dataset = open_pairs(write(given, save), "YXC", form="labels")
    assert (dataset.target_form, dataset.classes, dataset.channels_out) == ("labels", (), 1)
    for pair, labels in zip(dataset.pairs, given, strict=True):
        assert pair.target is not None
        assert pair.target.dtype == dtype
        assert pair.target.read().dtype == dtype
        np.testing.assert_array_equal(pair.target.read(), labels)
        np.testing.assert_array_equal(pair.target.region(Y=slice(3, 9), X=5), labels[3:9, 5])


@pytest.mark.parametrize("value", [1, 255])
def test_masks_are_split_into_areas_with_a_warning(value: int, write: Callable[..., Any]) -> None:
    masks = [((squares(seed) > 0) * value).astype(np.uint8) for seed in range(3)]
    dataset = open_pairs(write(masks), "YXC", form="labels")
    (warning,) = [text for text in dataset.warnings if "touch each other count as one" in text]
    assert f"no value but 0 and {value}" in warning
    target = dataset.pairs[0].target
    assert target is not None
    labels = target.read()
    np.testing.assert_array_equal(labels > 0, masks[0] > 0)
    assert labels.max() == len(np.unique(squares())) - 1
    np.testing.assert_array_equal(target.region(Y=slice(13, 30), X=slice(4, 9)), labels[13:30, 4:9])


def test_areas_of_masks_are_those_of_what_the_network_sees(write: Callable[..., Any]) -> None:
    """A 2D network sees the planes of a stack one by one, a 3D network sees whole objects."""
    mask = (squares(0, (12, 24, 24), 4) > 0).astype(np.uint8)
    data = write([mask, mask])
    planes, volumes = (open_pairs(data, axes, form="labels").pairs[0].target for axes in ("YXC", "ZYXC"))
    assert planes is not None
    assert volumes is not None
    assert volumes.read().max() == len(np.unique(squares(0, (12, 24, 24), 4))) - 1
    per_plane = [planes.at(Z=z).read().max() for z in range(12)]
    assert max(per_plane) == len(np.unique(squares(0, (24, 24), 4))) - 1
    np.testing.assert_array_equal(planes.region(Z=slice(2, 5)), planes.read()[2:5])


def test_one_object_in_one_of_several_images_is_no_mask(write: Callable[..., Any]) -> None:
    one = np.zeros((48, 48), np.uint16)
    one[4:9, 4:9] = one[20:30, 20:30] = 7
    dataset = open_pairs(write([one, squares(1)]), "YXC", form="labels")
    np.testing.assert_array_equal(dataset.pairs[0].target.read(), one)  # type: ignore[union-attr]


def _picture(labels: np.ndarray) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 4000, labels.shape).astype(np.uint16)


@pytest.mark.parametrize(
    ("turn", "told"),
    [
        (lambda labels: labels.astype(np.float32) / 1000, r"0\.tif has pixels such as 0\.\d+, but labels are whole"),
        (lambda labels: np.stack([labels % 255] * 2 + [labels * 0], -1).astype(np.uint8), "one number per pixel"),
        (lambda labels: labels * 0, "have the value 0 everywhere, so there is no object"),
        (lambda labels: labels + 1, "no pixel of the value 0, which is the background"),
        (lambda labels: labels.astype(np.int16) - 1, "has pixels below 0"),
        (_picture, "looks like a picture, not like labels"),
        (lambda labels: labels.astype(np.float32) * 2**27, "has labels beyond 2147483647"),
    ],
    ids=["fractions", "colors", "empty", "no background", "negative", "picture", "too large"],
)
def test_what_is_wrong_with_labels_is_said(turn: Any, told: str, write: Callable[..., Any]) -> None:
    data = write([turn(squares(seed)) for seed in range(3)], _as_plain_tiff)
    with pytest.raises(DataError, match=told):
        open_pairs(data, "YXC", form="labels", full=True)
    problems = check_data(data, "YXC", SMALL, form="labels", full=True).problems
    assert 1 <= len(problems) <= 3
    assert all(text.endswith(".") for text in problems)


@pytest.mark.parametrize("memory", [None, 0])
def test_patches_hold_exact_labels(memory: int | None, write: Callable[..., Any]) -> None:
    """Labels beyond what float32 can count stay apart, in patches that are turned and deformed, too."""
    given = [squares(seed).astype(np.uint32) + 2**25 * (squares(seed) > 0) for seed in range(3)]
    data = write(given, _as_plain_tiff)
    dataset = open_pairs(data, "YXC", form="labels").split(34, 0)
    strong = Augmentation(turn=30, zoom=0.3, elastic=4, deformed_share=1)
    known = set(np.unique(np.stack(given)).tolist())
    for augmentation in (None, strong):
        patches = PatchSource(dataset, SCALE, SMALL, "YXC", augmentation=augmentation, memory=memory)
        seen: set[int] = set()
        for step in range(5):
            source, target = patches.draw(0, step)
            assert (source.dtype, target.dtype, target.shape) == (np.float32, np.int32, (4, 16, 16, 1))
            seen |= set(np.unique(target).tolist())
        assert seen <= known
        assert len(seen) > 5
        assert patches.validation()[1].dtype == np.int32
