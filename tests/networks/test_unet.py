"""U-Net: its architecture, its losses, and the way from images with masks to masks in files and Fiji's zips."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import tifffile

from dl4fiji.data.masks import classify
from dl4fiji.data.normalization import PercentileNormalization, fit
from dl4fiji.errors import OptionError
from dl4fiji.export import export_model
from dl4fiji.export.bioimageio import read_rdf
from dl4fiji.export.onnx import run_onnx
from dl4fiji.keras_setup import import_tensorflow
from dl4fiji.model import ModelFolder, ModelInfo
from dl4fiji.networks import get
from dl4fiji.networks.unet import UNet2DOptions
from dl4fiji.options import check_options
from dl4fiji.prediction.batch import predict_files
from dl4fiji.prediction.predictor import Predictor
from dl4fiji.progress import SilentProgress
from dl4fiji.quality_control.segmentation import Tally, best_threshold, figures
from dl4fiji.training.history import read_history
from dl4fiji.training.run import train

BOTH = pytest.mark.parametrize("name", ["unet-2d", "unet-3d"])


def test_the_planes_network_is_ronnebergers() -> None:
    """31 030 593 weights: two 3×3 per level from 64 to 1024 filters, 2×2 on the way up, one 1×1."""
    network = get("unet-2d")
    model = network.build(network.Options(), 1, 1)
    layers = import_tensorflow().keras.layers
    convolutions = [layer for layer in model.layers if isinstance(layer, layers.Conv2D)]
    assert model.count_params() == 31_030_593
    filters = [64, 64, 128, 128, 256, 256, 512, 512, 1024, 1024]
    filters += [512, 512, 512, 256, 256, 256, 128, 128, 128, 64, 64, 64, 1]
    assert [layer.filters for layer in convolutions] == filters
    assert [layer.kernel_size[0] for layer in convolutions] == [3] * 10 + [2, 3, 3] * 4 + [1]
    assert all(type(layer.kernel_initializer).__name__ == "HeNormal" for layer in convolutions)
    dropouts = [layer for layer in model.layers if isinstance(layer, layers.Dropout)]
    assert [(layer.rate, layer.output_shape[-1]) for layer in dropouts] == [(0.5, 512), (0.5, 1024)]
    assert [layer.interpolation for layer in model.layers if isinstance(layer, layers.UpSampling2D)] == ["nearest"] * 4


def test_the_volumes_network_is_ciceks() -> None:
    network = get("unet-3d")
    model = network.build(network.Options(), 1, 3)
    layers = import_tensorflow().keras.layers
    upward = [layer for layer in model.layers if isinstance(layer, layers.Conv3DTranspose)]
    plain = [layer for layer in model.layers if isinstance(layer, layers.Conv3D) and layer not in upward]
    assert [layer.filters for layer in plain[:8]] == [32, 64, 64, 128, 128, 256, 256, 512]
    assert [layer.filters for layer in plain[8:]] == [256, 256, 128, 128, 64, 64, 3]
    assert [(layer.filters, layer.kernel_size, layer.strides) for layer in upward] == [
        (filters, (2, 2, 2), (2, 2, 2)) for filters in (512, 256, 128)
    ]
    assert sum(isinstance(layer, layers.MaxPooling3D) for layer in model.layers) == 3


@BOTH
@pytest.mark.parametrize("channels_out", [1, 4])
def test_puts_out_probabilities(name: str, channels_out: int, small_options: Callable[..., Any]) -> None:
    network = get(name)
    model = network.build(small_options(network), 2, channels_out)
    image = np.random.default_rng(0).normal(0, 5, (2, *[8] * (len(network.axes) - 1), 2)).astype(np.float32)
    result = model.predict_on_batch(image)
    assert result.min() >= 0
    assert result.max() <= 1
    assert result.std() > 0
    if channels_out > 1:
        np.testing.assert_allclose(result.sum(axis=-1), 1, atol=1e-5)


def _target(classes: int, weights: tuple[float, ...], seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return classes with their weights, and probabilities."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(classes, size=(2, 6, 5, 1))
    target = np.concatenate([truth, np.asarray(weights)[truth]], axis=-1).astype(np.float32)
    if classes == 2:
        return target, rng.uniform(0.02, 0.98, truth.shape).astype(np.float32)
    scores = rng.uniform(0.1, 1, (*truth.shape[:-1], classes))
    return target, (scores / scores.sum(axis=-1, keepdims=True)).astype(np.float32)


@pytest.mark.parametrize(("classes", "weights"), [(2, (0.6, 3.0)), (3, (0.5, 2.0, 7.0))])
def test_losses_are_their_formulas(classes: int, weights: tuple[float, ...]) -> None:
    tf = import_tensorflow()
    from dl4fiji.networks.unet_losses import LOSSES

    target, p = _target(classes, weights)
    truth, weight = target[..., 0].astype(int), target[..., 1]
    every = p if classes > 2 else np.concatenate([1 - p, p], axis=-1)
    right = np.take_along_axis(every, truth[..., None], axis=-1)[..., 0]
    one_hot = np.eye(classes)[truth][..., 1:]
    dice = (2 * (one_hot * every[..., 1:]).sum((0, 1, 2)) + 1) / ((one_hot + every[..., 1:]).sum((0, 1, 2)) + 1)
    expected = {
        "cross_entropy": np.mean(-weight * np.log(right)),
        "focal": np.mean(-weight * (1 - right) ** 2 * np.log(right)),
        "dice": 1 - dice.mean(),
    }
    expected["sum"] = sum(expected.values())
    for name, value in expected.items():
        assert float(LOSSES[name](tf.constant(target), tf.constant(p))) == pytest.approx(value, rel=1e-4), name


@pytest.mark.parametrize("loss", ["cross_entropy", "dice", "focal", "sum"])
@pytest.mark.parametrize("classes", [2, 3])
def test_learns_by_every_loss(loss: str, classes: int, small_options: Callable[..., Any]) -> None:
    network = get("unet-2d")
    options = small_options(network, loss=loss, learning_rate=3e-3, dropout=0)
    import_tensorflow().keras.utils.set_random_seed(1)
    model = network.compile(network.build(options, 1, 1 if classes == 2 else 3), options)
    truth = np.random.default_rng(0).integers(classes, size=(2, 4, 4, 1)).repeat(4, 1).repeat(4, 2)
    target = np.concatenate([truth, np.ones_like(truth)], -1).astype(np.float32)
    for _ in range(150):
        found = model.train_on_batch(truth.astype(np.float32), target, return_dict=True)
    assert found["iou"] > 0.8
    assert found["dice"] >= found["iou"]


def test_a_saturated_network_still_learns() -> None:
    """Probabilities of exactly 0 or 1 would have no gradient; the loss goes back to the logits."""
    network = get("unet-2d")
    options = network.Options(depth=1, first_filters=2, patch_size="16x16")
    model = network.compile(network.build(options, 1, 1), options)
    kernel, _ = model.get_layer("logits").get_weights()
    model.get_layer("logits").set_weights([kernel * 0, np.array([80.0], np.float32)])
    tf = import_tensorflow()
    image = tf.zeros((1, 16, 16, 1))
    target = tf.concat([image, tf.ones_like(image)], -1)
    assert model.train_step((image, target))["loss"].numpy() == pytest.approx(80)
    assert model.get_layer("logits").get_weights()[1] < 80


@BOTH
def test_targets_carry_the_weights_of_the_classes(name: str, small_patches: Any, small_options: Any) -> None:
    network = get(name)
    patches = small_patches(network)
    _, target = network.batch(patches, small_options(network), 0, 0)
    weights = np.asarray(patches.class_weights, np.float32)
    np.testing.assert_array_equal(target[..., 1], weights[target[..., 0].astype(int)])
    _, plain = network.batch(patches, small_options(network, class_weighting=False), 0, 0)
    np.testing.assert_array_equal(plain[..., 0], target[..., 0])
    assert (plain[..., 1] == 1).all()


def test_options_follow_from_one_definition() -> None:
    flat, deep = get("unet-2d").Options(), get("unet-3d").Options()
    assert (flat.patch_size, flat.batch_size, flat.first_filters, flat.depth) == ((256, 256), 4, 64, 4)
    assert (deep.patch_size, deep.batch_size, deep.first_filters, deep.depth) == ((16, 128, 128), 2, 32, 3)
    for options in (flat, deep):
        assert (options.learning_rate, options.augmentation, options.loss) == (3e-4, True, "cross_entropy")
        assert (options.percentile_low, options.percentile_high) == (1.0, 99.8)
    with pytest.raises(OptionError, match="multiples of 16, so take 256x256"):
        check_options(UNet2DOptions, {"patch_size": "250"}, "U-Net 2D")
    with pytest.raises(OptionError, match="percentile_low"):
        check_options(UNet2DOptions, {"percentile_low": 99.9}, "U-Net 2D")


@dataclass(frozen=True)
class Made:
    """A U-Net trained and exported, and what it was made of."""

    folder: ModelFolder
    info: ModelInfo
    data: SimpleNamespace
    warnings: list[str]


def _write(tmp: Path, shape: tuple[int, ...], values: tuple[int, ...]) -> SimpleNamespace:
    """Write six images of bright balls with masks of ``values``."""
    for role in ("source", "target"):
        (tmp / role).mkdir()
    for number in range(6):
        rng = np.random.default_rng(number)
        image, classes, grid = rng.normal(100, 15, shape), np.zeros(shape, int), np.indices(shape)
        for ball in range(5):
            center = [rng.integers(3, size - 3) for size in shape]
            inside = sum((line - at) ** 2 for line, at in zip(grid, center, strict=True)) < rng.integers(4, 8) ** 2
            classes[inside] = 1 + ball % (len(values) - 1)
            image[inside] = 100 + classes[inside] * 120 + rng.normal(0, 15, inside.sum())
        axes = {"axes": "ZYX"[-len(shape) :], "unit": "micron"}
        for role, pixels in (("source", image.clip(0)), ("target", np.asarray(values)[classes])):
            tifffile.imwrite(
                tmp / role / f"{number}.tif", pixels.astype(np.uint16), imagej=True, resolution=(4, 4), metadata=axes
            )
    return SimpleNamespace(
        source=str(tmp / "source"), target=str(tmp / "target"), validation_source="", validation_target="", axes=""
    )


@pytest.fixture(scope="module", params=["unet-2d", "unet-3d"])
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Made:
    """Planes with masks of 0 and 255; volumes with three classes of odd values."""
    network, tmp = get(request.param), tmp_path_factory.mktemp(request.param)
    volumes = "Z" in network.axes
    data = _write(tmp, (16, 40, 40) if volumes else (61, 70), (0, 100, 200) if volumes else (0, 255))
    options = network.Options(
        mask_values="classes" if volumes else "foreground", epochs=5, steps_per_epoch=12, batch_size=2, depth=2,
        first_filters=6, patch_size="8x32x32" if volumes else "32x32", validation_percent=34, learning_rate=2e-3,
    )  # fmt: skip
    progress = SilentProgress()
    warnings: list[str] = []
    progress.warning = warnings.append  # type: ignore[method-assign]
    (tmp / "models").mkdir()
    (tmp / "job").mkdir()
    folder = ModelFolder(tmp / "models" / "balls")
    info = train(network, data, options, tmp / "job", folder, progress)
    export_model(folder, "best", progress, certify=False)
    return Made(folder, info, data, warnings)


def _pairs(made: Made, names: list[str]) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return images and classes of the files of these names."""
    pairs = []
    for name in names:
        image, mask = (tifffile.imread(Path(folder) / name) for folder in (made.data.source, made.data.target))
        pairs.append((image, np.searchsorted(made.info.classes, mask)))
    return pairs


def _channels_last(probability: np.ndarray, info: ModelInfo) -> np.ndarray:
    return probability[..., np.newaxis] if info.channels_out == 1 else np.moveaxis(probability, 1, -1)


def test_training_finds_the_threshold_on_the_validation_images(made: Made) -> None:
    info, predictor = made.info, Predictor(made.folder)
    names = info.training["split"]["validation"]
    tallies = []
    for image, classes in _pairs(made, names):
        axes = info.axes.removesuffix("C")
        probabilities = predictor.predict_arrays(image, axes)["probability"]
        tallies.append(Tally.of(classes, _channels_last(probabilities, info)))
    threshold = info.thresholds["probability"]
    assert threshold == best_threshold(tallies)[0]
    for kind, limit in (("prediction", threshold), ("at 0.5", 0.5)):
        expected = np.mean([figures(tally, limit)["iou"] for tally in tallies])
        assert info.quality["iou"][kind] == pytest.approx(expected, abs=1e-4)
    assert info.quality["iou"]["prediction"] >= info.quality["iou"]["at 0.5"]
    assert info.quality["iou"]["prediction"] > 0.5
    assert {"dice", "precision", "recall", "iou_curve", "images"} <= set(info.quality)
    assert info.normalization == PercentileNormalization(low=1.0, high=99.8)
    assert {"iou", "val_iou", "val_dice"} <= set(read_history(made.folder.history_file)[0])


def test_prediction_writes_probability_and_mask(made: Made, tmp_path: Path) -> None:
    info, source = made.info, Path(made.data.source)
    done = predict_files(made.folder, "best", source / "0.tif", tmp_path, "", 0, SilentProgress())
    assert [Path(file).name for file in done["files"]] == ["0.tif", "0_mask.tif"]
    with tifffile.TiffFile(tmp_path / "0_mask.tif") as file:
        mask, tags = file.asarray(), file.imagej_metadata
    probability = tifffile.imread(tmp_path / "0.tif")
    assert (probability.dtype, mask.dtype) == (np.float32, np.uint8)
    assert mask.shape == tifffile.imread(source / "0.tif").shape
    assert tags is not None
    assert tags["unit"] in ("micron", "µm", "um", "\\u00B5m")
    assert set(np.unique(mask)) <= set(info.classes)
    expected = np.asarray(info.classes)[classify(_channels_last(probability, info), info.thresholds["probability"])]
    np.testing.assert_array_equal(mask, expected)
    truth = tifffile.imread(Path(made.data.target) / "0.tif")
    assert np.mean(mask == truth) > 0.85


def test_tiles_give_the_mask_of_the_whole(made: Made) -> None:
    predictor, axes = Predictor(made.folder), made.info.axes.removesuffix("C")
    image = np.tile(tifffile.imread(Path(made.data.source) / "1.tif"), (1, 2, 3)[-len(axes) :])
    whole, tiles = predictor.predict_arrays(image, axes), predictor.predict_arrays(image, axes, 32)
    np.testing.assert_allclose(tiles["probability"], whole["probability"], atol=1e-5)
    assert np.mean(tiles["mask"] == whole["mask"]) > 0.9999


def test_the_exported_graph_normalizes_and_gives_probabilities(made: Made) -> None:
    """Percentiles 1 and 99.8 of the image, the network, nothing else: the same in Python, ONNX and Keras."""
    image = tifffile.imread(Path(made.data.source) / "2.tif").astype(np.float32)[..., np.newaxis]
    found = run_onnx(made.folder.package / "model.onnx", image[np.newaxis])["output"][0]
    scale = fit(made.info.normalization, image, made.info.axes)
    np.testing.assert_allclose(Predictor(made.folder).predict_normalized(scale.apply(image)), found, atol=1e-4)
    assert found.min() >= 0
    assert found.max() <= 1
    brighter = run_onnx(made.folder.package / "model.onnx", 3 * image[np.newaxis] + 500)["output"][0]
    np.testing.assert_allclose(brighter, found, atol=1e-3)


def test_the_package_names_threshold_and_classes(made: Made) -> None:
    info, threshold = made.info, made.info.thresholds["probability"]
    rdf = read_rdf(made.folder.package)
    assert rdf["config"]["dl4fiji"]["threshold"] == threshold
    assert rdf["config"]["dl4fiji"]["classes"] == info.classes
    assert f"below {threshold:g}" in rdf["outputs"][0]["description"]
    names = rdf["outputs"][0]["axes"][-1]["channel_names"]
    assert names == [f"probability{channel}" for channel in range(info.channels_out)]
    readme = (made.folder.package / "README.md").read_text(encoding="utf-8")
    assert f"**{threshold:g}**" in readme
    assert "| | at 0.5 | prediction |" in readme
    stored = json.loads((made.folder.package / "model.json").read_text(encoding="utf-8"))
    assert stored["thresholds"] == info.thresholds
    with zipfile.ZipFile(made.folder.csbdeep_zip) as archive:
        assert json.loads(archive.read("meta.json"))["axes_div_by"] == [*[4] * (len(info.axes) - 1), 1]


def test_a_model_starts_from_another(made: Made, tmp_path: Path) -> None:
    """A training that starts from the model, and hardly changes it, has its validation loss."""
    network = get(made.info.network)
    short = {"epochs": 1, "steps_per_epoch": 1, "learning_rate": 1e-7}
    options = network.Options.model_validate(made.info.options | short)
    (tmp_path / "job").mkdir()
    folder = ModelFolder(tmp_path / "next")
    info = train(
        network, made.data, options, tmp_path / "job", folder, SilentProgress(), start_from=str(made.folder.path)
    )
    assert info.training["val_loss"] == pytest.approx(made.info.training["val_loss"], rel=0.01)
    assert info.thresholds["probability"] == pytest.approx(made.info.thresholds["probability"], abs=0.02)
