"""StarDist beside stardist: network, losses, weights; and its way from labeled images to a model and its export."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import tifffile
from scipy import ndimage

from dl4fiji.data.dataset import Dataset
from dl4fiji.errors import InputError, OptionError
from dl4fiji.export import export_model
from dl4fiji.keras_setup import import_tensorflow
from dl4fiji.model import ModelFolder
from dl4fiji.networks import get
from dl4fiji.networks.stardist import at_grid, rays_of
from dl4fiji.networks.stardist_options import FROM_DATA, anisotropy_of, settle, shape_of, too_large
from dl4fiji.options import check_options
from dl4fiji.prediction.instances import open_predictor
from dl4fiji.progress import SilentProgress
from dl4fiji.quality_control.instances import Overlaps
from dl4fiji.training.run import train
from dl4fiji.training.transfer import find_start

BOTH = pytest.mark.parametrize("name", ["stardist-2d", "stardist-3d"])

SHAPES = pytest.mark.parametrize(
    ("name", "values"),
    [
        ("stardist-2d", {"grid": "2x2", "depth": 2, "first_filters": 8, "patch_size": "32x32"}),
        ("stardist-2d", {"grid": "4x1", "depth": 1, "feature_filters": 0, "kernel_size": 5, "patch_size": "32x32"}),
        ("stardist-3d", {"grid": "1x2x2", "depth": 1, "anisotropy": "2x1x1", "rays": 24, "patch_size": "8x16x16"}),
        ("stardist-3d", {"grid": "1x2x4", "backbone": "resnet", "first_filters": 4, "rays": 9, "patch_size": "8x8x16"}),
    ],
    ids=["planes", "planes, anisotropic", "volumes", "volumes, residual"],
)  # fmt: skip


def _peer(name: str, options: Any, channels: int, **settings: Any) -> Any:
    """Return stardist's own model of this shape, random weights in it."""
    import_tensorflow()
    from stardist import models

    dimensions = 2 if name == "stardist-2d" else 3
    kernel = (options.kernel_size,) * dimensions
    settings = {
        "n_channel_in": channels, "grid": options.grid, "train_patch_size": options.patch_size,
        "train_learning_rate": options.learning_rate, **settings,
    }  # fmt: skip
    if dimensions == 3 and options.backbone == "resnet":
        settings |= {
            "backbone": "resnet", "resnet_kernel_size": kernel, "resnet_n_filter_base": options.first_filters,
            "net_conv_after_resnet": options.feature_filters,
        }  # fmt: skip
    else:
        settings |= {
            "unet_n_depth": options.depth, "unet_kernel_size": kernel, "unet_n_filter_base": options.first_filters,
            "net_conv_after_unet": options.feature_filters,
        }  # fmt: skip
    if dimensions == 2:
        return models.StarDist2D(models.Config2D(n_rays=options.rays, **settings), None, basedir=None)
    rays = rays_of(options)
    return models.StarDist3D(
        models.Config3D(rays=rays, anisotropy=anisotropy_of(options), **settings), None, basedir=None
    )


@SHAPES
@pytest.mark.parametrize("channels", [1, 3])
def test_is_the_network_that_stardist_builds_and_exports(
    name: str, values: dict[str, Any], channels: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = get(name)
    options = network.Options.model_validate(values)
    model = network.build(options, channels, 1)
    peer = _peer(name, options, channels)
    assert [type(layer) for layer in at_grid(model).layers] == [type(layer) for layer in peer.keras_model.layers]
    model.set_weights(peer.keras_model.get_weights())
    image = np.random.default_rng(0).random((2, *options.patch_size, channels), np.float32)
    for ours, theirs in zip(
        at_grid(model).predict_on_batch(image), peer.keras_model.predict_on_batch(image), strict=True
    ):
        np.testing.assert_allclose(ours, theirs, atol=1e-6)
    kept: list[Any] = []
    monkeypatch.setattr("stardist.models.base.export_SavedModel", lambda exported, path: kept.append(exported))
    peer.export_TF(str(tmp_path / "theirs.zip"))
    np.testing.assert_allclose(model.predict_on_batch(image), kept[0].predict_on_batch(image), atol=1e-6)


@SHAPES
def test_looks_as_far_as_stardist_measures(name: str, values: dict[str, Any]) -> None:
    """Random weights let a little less through than the bound that tiles rely on; the sight is within a pooling."""
    options: Any = get(name).Options.model_validate(values)
    shape = shape_of(options)
    peer = _peer(name, options, 1)
    size = tuple(
        2 ** int(np.ceil(np.log2(2 * far + step))) for far, step in zip(shape.halo(), shape.divisor, strict=True)
    )
    measured = [max(sides) for sides in peer._compute_receptive_field(size)]
    assert all(far <= bound for far, bound in zip(measured, shape.reach(), strict=True))
    assert all(far >= sight - 2 * step for far, sight, step in zip(measured, shape.sight(), shape.divisor, strict=True))


@pytest.mark.parametrize("loss", ["mae", "mse", "iou"])
@BOTH
def test_losses_are_those_of_stardist(name: str, loss: str, small_patches: Any, small_options: Any) -> None:
    network = get(name)
    values = {"distance_loss": loss, "distance_weight": 0.7, "probability_weight": 2, "background_regularization": 0.01}
    options = settle(small_options(network, **values), (1, 2, 2)[-len(small_options(network).patch_size) :], (1, 1, 1))
    batch = network.batch(small_patches(network), options, 0, 0)
    trainee = network.compile(network.build(options, 1, 1), options)
    peer = _peer(
        name, options, 1, train_dist_loss=loss, train_loss_weights=(2, 0.7), train_background_reg=0.01,
    )  # fmt: skip
    peer.keras_model.set_weights(trainee.get_weights())
    peer.prepare_for_training()
    ours = trainee.test_on_batch(*batch, return_dict=True)
    theirs = peer.keras_model.test_on_batch(batch[0], list(batch[1]), return_dict=True)
    assert ours == pytest.approx(theirs, rel=1e-5)
    assert {"loss", "prob_loss", "dist_loss", "prob_kld", "dist_relevant_mae"} <= set(ours)
    assert float(trainee.optimizer.learning_rate) == pytest.approx(options.learning_rate)


@BOTH
def test_starts_from_a_model_of_stardist(name: str, tmp_path: Path) -> None:
    values = {"grid": "2x2" if name == "stardist-2d" else "1x2x2", "depth": 1, "first_filters": 4, "rays": 8}
    network = get(name)
    options: Any = network.Options.model_validate(values | {"learning_rate": 1e-4})
    peer = _peer(name, options, 1)
    folder = tmp_path / "theirs"
    folder.mkdir()
    peer.keras_model.save_weights(str(folder / "weights_best.h5"))
    config = {name: value for name, value in vars(peer.config).items() if isinstance(value, int | float | str | tuple)}
    (folder / "config.json").write_text(json.dumps(config))
    start = find_start(str(folder), tmp_path)
    model = network.build(options, 1, 1)
    start.apply(model)
    assert start.learning_rate == 1e-4
    for ours, theirs in zip(model.get_weights(), peer.keras_model.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    other = network.build(network.Options.model_validate(values | {"rays": 12}), 1, 1)
    with pytest.raises(InputError, match=r"layer 'dist' is .*×8 \+ 8 where this network has .*×12 \+ 12"):
        start.apply(other)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("stardist-2d", {"rays": 32, "patch_size": "256x256", "batch_size": 4, "epochs": 400, "depth": 3}),
        ("stardist-3d", {"rays": 96, "patch_size": "48x96x96", "batch_size": 2, "epochs": 200, "depth": 2}),
    ],
)
def test_defaults(name: str, expected: dict[str, Any]) -> None:
    common = {
        "grid": "0", "learning_rate": 3e-4, "percentile_low": 1, "percentile_high": 99.8, "augmentation": True,
        "foreground_percent": 90, "distance_loss": "mae", "distance_weight": 0.2, "background_regularization": 1e-4,
        "first_filters": 32, "kernel_size": 3, "feature_filters": 128, "reduce_lr_patience": 40,
    }  # fmt: skip
    options = get(name).Options().model_dump()
    assert {key: options[key] for key in common | expected} == common | expected


@pytest.mark.parametrize(
    ("name", "values", "told"),
    [
        ("stardist-2d", {"grid": "3"}, "powers of 2 up to 16, or 0"),
        ("stardist-2d", {"grid": "1x2x2"}, "2 numbers, for Y, X"),
        ("stardist-2d", {"grid": "2x0"}, "powers of 2"),
        ("stardist-2d", {"grid": "4", "patch_size": "120"}, "multiple of 32x32.*take 128x128"),
        ("stardist-2d", {"patch_size": "100"}, "multiple of 8x8.*take 96x96"),
        ("stardist-3d", {"anisotropy": "two"}, "numbers such as 2.2x1x1"),
        ("stardist-3d", {"anisotropy": "2"}, "3 numbers from 0.01 to 100"),
        ("stardist-3d", {"grid": "4x4x4", "backbone": "resnet", "blocks": 1}, "at least 2 blocks"),
        ("stardist-3d", {"percentile_low": 99.9}, "below percentile_high"),
    ],
)
def test_wrong_options_are_told_with_their_remedy(name: str, values: dict[str, Any], told: str) -> None:
    with pytest.raises(OptionError, match=told):
        check_options(get(name).Options, values, get(name).title)


@pytest.mark.parametrize("nothing", ["", "0", 0, "0x0x0", []])
def test_grid_and_anisotropy_may_be_left_to_the_data(nothing: Any) -> None:
    options: Any = get("stardist-3d").Options.model_validate({"grid": nothing, "anisotropy": nothing})
    assert options.grid == options.anisotropy == FROM_DATA
    settled = settle(options, (1, 2, 2), (2.25, 1, 1))
    written = settled.model_dump(mode="json")
    assert (written["grid"], written["anisotropy"]) == ("1x2x2", "2.25x1x1")
    assert get("stardist-3d").Options.model_validate(written) == settled


def test_what_was_chosen_stays() -> None:
    options: Any = get("stardist-3d").Options.model_validate({"grid": "2x2x2", "anisotropy": "1x1x1"})
    assert settle(options, (1, 4, 4), (3, 1, 1)) == options


def test_the_grid_suits_the_patches() -> None:
    options: Any = get("stardist-2d").Options.model_validate({"patch_size": "96x112"})
    assert settle(options, (4, 4), ()).grid == (4, 2)


def test_residual_blocks_can_reach_the_grid() -> None:
    options: Any = get("stardist-3d").Options.model_validate({"backbone": "resnet", "blocks": 1})
    assert settle(options, (1, 4, 4), (1, 1, 1)).grid == (1, 2, 2)


def test_objects_larger_than_what_the_network_sees_are_told() -> None:
    options: Any = get("stardist-2d").Options.model_validate({"grid": "2x2"})
    assert too_large(options, "YX", (80, 80)) == []
    (warning,) = too_large(options, "YX", (80, 150))
    assert "80×150 pixels" in warning
    assert "grid of 2x4" in warning
    wider: Any = get("stardist-2d").Options.model_validate({"grid": "2x4"})
    assert too_large(wider, "YX", (80, 150)) == []


def _write(folder: Path, shape: tuple[int, ...]) -> None:
    """Write four images of bright round objects with their labels, the objects flat along Z."""
    rng = np.random.default_rng(0)
    flat = np.array([2.0, 1.0, 1.0])[-len(shape) :]
    grid = np.indices(shape)
    for number in range(4):
        labels = np.zeros(shape, np.uint16)
        for label in range(1, 30):
            center = rng.uniform(0, shape)
            distance = (
                ((grid - center.reshape(-1, *[1] * len(shape))) * flat.reshape(-1, *[1] * len(shape))) ** 2
            ).sum(0)
            labels[(distance < rng.uniform(5, 7) ** 2) & (labels == 0)] = label
        image = ndimage.gaussian_filter((labels > 0) * 800.0, 1) + rng.normal(200, 30, shape)
        edges = sum(np.abs(np.gradient(labels.astype(float), axis=axis)) for axis in range(len(shape)))
        image[edges > 0] -= 250
        for role, array in (("images", image.clip(0).astype(np.uint16)), ("labels", labels)):
            (folder / role).mkdir(exist_ok=True)
            metadata = {"axes": "ZYX"[-len(shape) :]}
            tifffile.imwrite(folder / role / f"{number}.tif", array, imagej=True, metadata=metadata)


@pytest.mark.parametrize(
    ("name", "shape", "values"),
    [
        ("stardist-2d", (96, 104), {"patch_size": "64x64", "depth": 2, "first_filters": 16, "epochs": 4}),
        ("stardist-3d", (20, 48, 56), {"patch_size": "16x32x32", "depth": 1, "first_filters": 4, "epochs": 2}),
    ],
)
def test_from_labeled_images_to_objects(
    name: str, shape: tuple[int, ...], values: dict[str, Any], tmp_path: Path
) -> None:
    _write(tmp_path, shape)
    network = get(name)
    options = network.Options.model_validate(
        {"rays": 16, "feature_filters": 32, "steps_per_epoch": 20, "batch_size": 2, "learning_rate": 1e-3, **values}
    )
    fields = SimpleNamespace(
        source=str(tmp_path / "images"), target=str(tmp_path / "labels"), validation_source="", validation_target="",
        axes="",
    )  # fmt: skip
    folder = ModelFolder(tmp_path / "model")
    info = train(network, fields, options, tmp_path / "job", folder, SilentProgress())

    settled: Any = network.Options.model_validate(info.options)
    assert settled.grid == ((1, 1) if name == "stardist-2d" else (1, 1, 1))  # objects of 12 pixels
    if name == "stardist-3d":
        assert settled.anisotropy[0] == pytest.approx(1.6, abs=0.5)
    assert set(info.thresholds) == {"probability", "nms"}
    quality = info.quality
    assert list(quality["f1"]) == ["at 0.5 and 0.4", "prediction"]
    assert [row[0] for row in quality["f1_curve"]][:2] == [0.5, 0.55]
    true = dict(quality["objects"])["true"]
    (aside,) = info.training["split"]["validation"]
    truth = tifffile.imread(tmp_path / "labels" / aside)
    assert true == len(np.unique(truth)) - 1

    # What the model folder gives is what was judged.
    predictor = open_predictor(folder)
    found = predictor.predict_array(tifffile.imread(tmp_path / "images" / aside), "ZYX"[-len(shape) :])
    score = Overlaps.of(truth, found)[0].score(0.5)
    assert score.figures() == pytest.approx({key: quality[key]["prediction"] for key in score.figures()}, abs=0.03)
    if name == "stardist-2d":
        assert score.hits > 5
    assert export_model(folder, certify=False)["findings"] == []


@BOTH
def test_labels_decide_about_the_options(name: str, small_dataset: Callable[..., Dataset], small_options: Any) -> None:
    network = get(name)
    dataset = small_dataset(network).split(34, 0)
    assert dataset.objects is not None
    options, warnings = network.settle(small_options(network), dataset)
    assert FROM_DATA not in (options.grid, getattr(options, "anisotropy", ()))
    again, _ = network.settle(options, dataset)
    assert again == options
    assert all(text.endswith(".") for text in warnings)
