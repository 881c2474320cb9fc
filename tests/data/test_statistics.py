"""Mean and standard deviation of the training pixels."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import tifffile

from dl4fiji.data.dataset import Dataset
from dl4fiji.data.pairs import open_pairs
from dl4fiji.data.statistics import fixed_normalization


def _dataset(folder: Path, images: list[np.ndarray], axes: str, network_axes: str) -> Dataset:
    for number, image in enumerate(images):
        tifffile.imwrite(folder / f"{number}.tif", image, imagej=True, metadata={"axes": axes})
    fields = SimpleNamespace(source=str(folder), target="", validation_source="", validation_target="", axes="")
    return open_pairs(fields, network_axes, paired=False)


@pytest.mark.parametrize(
    ("shape", "axes", "network_axes"),
    [((40, 30), "YX", "YXC"), ((5, 40, 30), "ZYX", "ZYXC"), ((5, 40, 30), "ZYX", "YXC"), ((2, 40, 30), "CYX", "YXC")],
)
def test_is_that_of_all_training_pixels(tmp_path: Path, shape: tuple[int, ...], axes: str, network_axes: str) -> None:
    rng = np.random.default_rng(0)
    images = [rng.poisson(50 * (number + 1), shape).astype(np.uint16) for number in range(4)]
    dataset = _dataset(tmp_path, images, axes, network_axes).split(25, seed=3)
    kept = {sample.name.partition(",")[0] for sample in dataset.train}
    assert len(kept) == 3
    training = np.stack([image for number, image in enumerate(images) if f"{number}.tif" in kept]).astype(float)
    channels = np.moveaxis(training, 1, 0) if "C" in axes else training[np.newaxis]
    found = fixed_normalization(dataset)
    assert found.mean == pytest.approx([channel.mean() for channel in channels], rel=1e-12)
    assert found.std == pytest.approx([channel.std() for channel in channels], rel=1e-12)


def test_leaves_out_the_part_of_an_image_that_is_kept_aside(tmp_path: Path) -> None:
    image = np.random.default_rng(0).normal(5, 2, (100, 20)).astype(np.float32)
    dataset = _dataset(tmp_path, [image], "YX", "YXC").split(20, seed=0, patch_size=(8, 8))
    rows = dataset.train[0].region["Y"]
    assert rows.stop - rows.start == 80
    assert fixed_normalization(dataset).mean == pytest.approx([image[rows].astype(float).mean()], rel=1e-12)


def test_blocks_make_no_difference(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image = np.random.default_rng(0).integers(0, 4000, (60, 50), np.uint16)
    dataset = _dataset(tmp_path, [image, image + 7], "YX", "YXC").split(50, seed=0)
    whole = fixed_normalization(dataset)
    monkeypatch.setattr("dl4fiji.data.normalization._BLOCK", 64)
    assert fixed_normalization(dataset).mean == pytest.approx(whole.mean, rel=1e-12)
    assert fixed_normalization(dataset).std == pytest.approx(whole.std, rel=1e-12)
