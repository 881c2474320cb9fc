"""Noise2Void beside n2v, and its whole way from noisy images to Fiji's zips."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import tifffile
import yaml
from scipy import ndimage

from dl4fiji.data.normalization import FixedNormalization
from dl4fiji.errors import OptionError
from dl4fiji.export import export_model
from dl4fiji.export.frozen_graph import read_saved_model
from dl4fiji.keras_setup import import_tensorflow
from dl4fiji.model import ModelFolder
from dl4fiji.networks import get
from dl4fiji.options import check_options
from dl4fiji.prediction.keras_model import load_keras_model
from dl4fiji.progress import SilentProgress
from dl4fiji.training.history import best_row, read_history
from dl4fiji.training.run import train
from dl4fiji.training.transfer import find_start

BOTH = pytest.mark.parametrize("name", ["noise2void-2d", "noise2void-3d"])


@BOTH
@pytest.mark.parametrize("channels", [1, 2])
def test_is_the_network_that_n2v_builds(name: str, channels: int, tmp_path: Path) -> None:
    network = get(name)
    options = network.Options()
    model = network.build(options, channels, channels)
    from n2v.models import N2V, N2VConfig

    dimensions = len(network.axes) - 1
    config = N2VConfig(
        np.random.default_rng(0).random((2, *[16] * dimensions, channels), np.float32), unet_kern_size=3,
        train_loss="mse", n2v_patch_shape=(16,) * dimensions, single_net_per_channel=False,
    )  # fmt: skip
    theirs = N2V(config, "peer", basedir=str(tmp_path)).keras_model
    assert [type(layer).__name__ for layer in model.layers] == [type(layer).__name__ for layer in theirs.layers]
    theirs.set_weights([np.random.default_rng(1).normal(0.1, 0.1, w.shape) ** 2 for w in theirs.get_weights()])
    model.set_weights(theirs.get_weights())
    image = np.random.default_rng(2).random((1, *[16] * dimensions, channels), np.float32)
    np.testing.assert_allclose(model.predict_on_batch(image), theirs.predict_on_batch(image), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("channels", ["jointly", "separately"])
def test_prediction_normalizes_as_training_does_after_few_steps(
    small_options: Callable[..., Any], channels: str
) -> None:
    network = get("noise2void-2d")
    options = small_options(network, channels=channels, batch_normalization=True)
    model = network.build(options, 2, 2)
    patches = np.random.default_rng(3).normal(1, 1, (8, 32, 32, 2)).astype(np.float32)
    for _ in range(60):
        trained = model(patches, training=True).numpy()
    assert np.sqrt(np.mean((model(patches).numpy() - trained) ** 2)) < 0.05 * trained.std()


@pytest.mark.parametrize(("count", "times"), [(1, 21), (3, 7), (40, 1)])
def test_few_validation_patches_are_shown_with_many_masks(count: int, times: int) -> None:
    """Three patches of 16 × 32 × 32 hide some 100 pixels, whose noise would decide which weights are the best."""
    network = get("noise2void-3d")
    options = network.Options.model_validate({"patch_size": "16x32x32", "batch_size": 8})
    patches = np.random.default_rng(0).random((count, 16, 32, 32, 1), np.float32)
    source = SimpleNamespace(validation=lambda: (patches, patches), patches_per_epoch=84)
    batches = network.validation_batches(cast("Any", source), options)
    targets = np.concatenate([target for _, target in batches])
    assert len(targets) == times * count
    assert all(len(given) <= 8 for given, _ in batches)
    masks, original = targets[..., 1] > 0, np.concatenate([patches] * times)[..., 0]
    np.testing.assert_array_equal(targets[..., 0][masks], original[masks])
    assert times == 1 or not np.array_equal(masks[:count], masks[count : 2 * count])


def test_loss_counts_hidden_pixels_only(small_options: Callable[..., Any]) -> None:
    tf = import_tensorflow()
    network = get("noise2void-2d")
    options = small_options(network)
    model = network.compile(network.build(options, 2, 2), options)
    rng = np.random.default_rng(0)
    image = rng.random((3, 16, 16, 2), np.float32)
    mask = (rng.random(image.shape) < 0.1).astype(np.float32)
    hidden = rng.random(image.shape, np.float32) * mask
    output = model.predict_on_batch(image)
    figures = model.test_step((tf.constant(image), tf.constant(np.concatenate([hidden, mask], -1))))
    squared = ((output - hidden) ** 2)[mask == 1]
    assert float(figures["loss"]) == pytest.approx(squared.mean(), rel=1e-4)
    assert float(figures["masked_mse"]) == pytest.approx(squared.mean(), rel=1e-4)
    assert float(figures["masked_mae"]) == pytest.approx(np.sqrt(squared).mean(), rel=1e-4)


@BOTH
def test_channels_trained_separately_do_not_see_each_other(name: str, small_options: Callable[..., Any]) -> None:
    network = get(name)
    options = small_options(network, channels="separately")
    model = network.build(options, 3, 3)
    image = np.random.default_rng(0).random((1, *[8] * (len(network.axes) - 1), 3), np.float32)
    before = model.predict_on_batch(image)
    image[..., 1] += 1
    changed = np.abs(model.predict_on_batch(image) - before).reshape(-1, 3).max(axis=0)
    assert changed[1] > 1e-3
    assert changed[0] == changed[2] == 0


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("noise2void-2d", {"patch_size": "64x64", "batch_size": 128}),
        ("noise2void-3d", {"patch_size": "16x64x64", "batch_size": 16}),
    ],
)
def test_defaults(name: str, expected: dict[str, Any]) -> None:
    common = {
        "epochs": 100, "masked_pixels_percent": 0.198, "neighborhood_radius": 5, "manipulator": "uniform_withCP",
        "depth": 2, "kernel_size": 3, "first_filters": 32, "batch_normalization": True, "loss": "mse",
        "learning_rate": 4e-4,
    }  # fmt: skip
    options = get(name).Options().model_dump()
    assert {key: options[key] for key in common | expected} == common | expected


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"patch_size": "30x32"}, "multiples of 4, so take 32x32"),
        ({"patch_size": "16x16"}, r"not even one pixel of a patch of 16x16, so take at least 0\.391"),
        ({"manipulator": "identity"}, "manipulator"),
        ({"kernel_size": 4}, "odd side"),
    ],
)
def test_wrong_options_are_told_with_their_remedy(values: dict[str, Any], told: str) -> None:
    with pytest.raises(OptionError, match=told):
        check_options(get("noise2void-2d").Options, values, "Noise2Void 2D")


def _noisy_images(folder: Path, shape: tuple[int, ...]) -> dict[str, np.ndarray]:
    """Write three noisy images and return them by name."""
    folder.mkdir()
    images = {}
    for number in range(3):
        rng = np.random.default_rng(number)
        clean = ndimage.gaussian_filter(rng.random(shape), 2)
        clean = (clean - clean.min()) / np.ptp(clean) * 2000 + 100
        images[f"{number}.tif"] = np.clip(clean + rng.normal(0, 300, shape), 0, None).astype(np.uint16)
        metadata = {"axes": "ZYX"[-len(shape) :]}
        tifffile.imwrite(folder / f"{number}.tif", images[f"{number}.tif"], imagej=True, metadata=metadata)
    return images


@BOTH
def test_from_noisy_images_to_fiji(name: str, tmp_path: Path, small_options: Callable[..., Any]) -> None:
    """Train without any target, export, and look into what came out."""
    tf = import_tensorflow()
    network = get(name)
    shape = (12, 40, 44) if "3d" in name else (48, 52)
    images = _noisy_images(tmp_path / "source", shape)
    fields = SimpleNamespace(
        source=str(tmp_path / "source"), target="", validation_source="", validation_target="", axes=""
    )
    folder = ModelFolder(tmp_path / "models" / "denoiser")
    folder.path.parent.mkdir()
    info = train(network, fields, small_options(network), tmp_path / "job", folder, SilentProgress())

    aside = info.training["split"]["validation"]
    training = np.stack([image for file, image in images.items() if file not in aside]).astype(np.float64)
    assert isinstance(info.normalization, FixedNormalization)
    assert info.normalization.mean == pytest.approx([training.mean()])
    assert info.normalization.std == pytest.approx([training.std()])
    assert info.training["images"].startswith("3 images ")
    best = best_row(read_history(folder.history_file))
    assert best is not None
    assert info.quality["masked_mse"] == {"prediction": pytest.approx(best["val_loss"])}
    assert "psnr" not in info.quality
    with np.load(folder.samples_file) as sample:
        assert sample.files == ["input"]
        raw = sample["input"].astype(np.float32)[np.newaxis]

    result = export_model(folder, certify=False)
    assert result["findings"] == []
    readme = (folder.package / "README.md").read_text(encoding="utf-8")
    assert "trained without a truth" in readme
    assert "normalizeinput=false" in readme
    with zipfile.ZipFile(folder.csbdeep_zip) as archive:
        archive.extractall(tmp_path / "zip")
    meta = json.loads((tmp_path / "zip" / "meta.json").read_text())
    assert meta["axes_div_by"] == [2] * len(shape) + [1]
    specification = yaml.safe_load((tmp_path / "zip" / "model.yaml").read_text())
    assert specification["format_version"] == "0.2.1-csbdeep"
    assert specification["inputs"][0]["axes"] == f"b{network.axes.lower()}"
    assert len(specification["inputs"][0]["halo"]) == len(specification["inputs"][0]["axes"])

    graph = read_saved_model(tmp_path / "zip" / "saved_model.pb").meta_graphs[0].graph_def
    fused = [node for node in graph.node if node.op.startswith("FusedBatchNorm")]
    assert bool(fused) == ("2d" in name)  # TensorFlow 1.15 cannot run fused ones of volumes
    served = tf.saved_model.load(str(tmp_path / "zip")).signatures["serving_default"]
    (mean,), (std,) = info.normalization.mean, info.normalization.std
    ours = load_keras_model(folder)((raw - mean) / std, training=False).numpy() * std + mean
    np.testing.assert_allclose(served(input=tf.constant(raw))["output"].numpy(), ours, atol=1e-4 * std)


def test_starts_from_a_model_of_n2v(tmp_path: Path, small_options: Callable[..., Any]) -> None:
    import_tensorflow()
    from n2v.models import N2V, N2VConfig

    config = N2VConfig(
        np.random.default_rng(0).random((2, 16, 16, 1), np.float32),
        unet_kern_size=3,
        unet_n_depth=1,
        unet_n_first=4,
        n2v_patch_shape=(16, 16),
        train_learning_rate=1e-4,
    )  # one network per channel, as n2v does by default
    theirs = N2V(config, "peer", basedir=str(tmp_path)).keras_model
    theirs.set_weights([np.random.default_rng(1).random(w.shape) for w in theirs.get_weights()])
    theirs.save_weights(str(tmp_path / "peer" / "weights_best.h5"))
    network = get("noise2void-2d")
    model = network.build(small_options(network), 1, 1)
    start = find_start(str(tmp_path / "peer"), tmp_path)
    start.apply(model)
    assert start.learning_rate == 1e-4
    image = np.random.default_rng(2).random((1, 16, 16, 1), np.float32)
    np.testing.assert_allclose(model.predict_on_batch(image), theirs.predict_on_batch(image), rtol=1e-5)
