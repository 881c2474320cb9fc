"""What is judged and shown of a trained network."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from dl4fiji.data.dataset import Dataset
from dl4fiji.data.normalization import PercentileNormalization
from dl4fiji.data.pairs import open_pairs
from dl4fiji.networks import get
from dl4fiji.progress import SilentProgress
from dl4fiji.quality_control.metrics import compare
from dl4fiji.training import evaluation
from dl4fiji.training.evaluation import choose_sample, evaluate, tiled

SCALE = PercentileNormalization()


def _dataset(fields: Any, axes: str = "YXC", percent: int = 34) -> Dataset:
    return open_pairs(fields, axes).split(percent, 0)


def test_figures_are_of_whole_validation_images(pairs: Callable[..., Any]) -> None:
    dataset = _dataset(pairs(6, (50, 61)))
    result = evaluate(dataset, SCALE, 1, lambda image: image * 2 + 1, SilentProgress())
    names = [image["name"] for image in result.quality["images"]]
    assert names == [sample.name for sample in dataset.validation]
    for image, sample in zip(result.quality["images"], dataset.validation, strict=True):
        assert sample.target is not None
        expected = compare(sample.target.read(), sample.source.read())
        assert image["input"] == pytest.approx(expected)
        # The prediction is a linear map of the input, which the fit undoes.
        assert image["prediction"] == pytest.approx(expected, abs=1e-3)
    for metric in ("psnr", "ssim", "nrmse", "pearson"):
        expected_mean = np.mean([image["input"][metric] for image in result.quality["images"]])
        assert result.quality[metric]["input"] == pytest.approx(expected_mean)
    assert result.warnings == []


def test_volumes_are_judged_by_volume_and_slice(pairs: Callable[..., Any]) -> None:
    dataset = _dataset(pairs(3, (10, 24, 24)), "ZYXC")
    quality = evaluate(dataset, SCALE, 1, lambda image: image, SilentProgress()).quality
    assert {"psnr", "psnr_slices", "ssim_slices"} <= set(quality)


def test_constant_truth_is_left_out_with_a_warning(tmp_path: Path, pairs: Callable[..., Any]) -> None:
    fields = pairs(6)
    for file in (tmp_path / "data" / "target").iterdir():
        tifffile.imwrite(file, np.full((64, 64), 7, np.uint16))
    result = evaluate(_dataset(fields), SCALE, 1, lambda image: image, SilentProgress())
    assert result.quality == {}
    assert all("is constant" in warning for warning in result.warnings)
    assert len(result.warnings) == 2


def test_very_large_images_are_judged_at_their_center(
    pairs: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(evaluation.LARGEST_REGION, "YX", (32, 40))
    seen = []
    evaluate(_dataset(pairs(3)), SCALE, 1, lambda image: seen.append(image.shape) or image, SilentProgress())
    assert seen == [(32, 40, 1)]


@pytest.mark.parametrize(("name", "shape"), [("care-2d", (67, 45)), ("care-2d", (8, 5)), ("care-3d", (9, 13, 90))])
def test_tiles_give_what_the_whole_image_gives(
    name: str, shape: tuple[int, ...], tiny: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    network, options = get(name), tiny(name, depth=2)
    model = network.build(options, 1, 1)
    divisor, halo = (tuple(value.values()) for value in (network.divisor(options), network.halo(options)))
    image = np.random.default_rng(0).random((*shape, 1), np.float32)
    padded = np.pad(
        image, [*((0, -size % step) for size, step in zip(shape, divisor, strict=True)), (0, 0)], mode="symmetric"
    )
    expected = model.predict_on_batch(padded[np.newaxis])[0][tuple(slice(0, size) for size in shape)]
    calls = []

    def run(tile: np.ndarray) -> np.ndarray:
        calls.append(tile.shape)
        return model.predict_on_batch(tile[np.newaxis])[0]

    for limit in ("_TILE_PIXELS", "_MOST_PIXELS"):
        monkeypatch.setattr(evaluation, limit, 1200 if len(shape) == 2 else 6000)
    np.testing.assert_allclose(tiled(run, image, divisor, halo), expected, atol=1e-5)
    assert len(calls) > 1 or min(shape) < 9


@pytest.mark.parametrize(
    ("name", "shape", "expected"),
    [
        ("care-2d", (300, 301), (256, 256)),
        ("care-2d", (61, 300), (60, 256)),
        ("care-3d", (30, 140, 60), (16, 128, 60)),
    ],
)
def test_sample_fits_the_network_and_is_raw(
    name: str, shape: tuple[int, ...], expected: tuple[int, ...], pairs: Callable[..., Any]
) -> None:
    dataset = _dataset(pairs(3, shape), get(name).axes)
    divisor = dict.fromkeys(dataset.spatial_axes, 4)
    sample = choose_sample(dataset, divisor, 0)
    assert sample["input"].shape == sample["truth"].shape == (*expected, 1)
    assert sample["input"].dtype == np.uint16
    np.testing.assert_array_equal(choose_sample(dataset, divisor, 0)["input"], sample["input"])
