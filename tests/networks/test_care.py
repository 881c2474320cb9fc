"""CARE beside csbdeep's own, and its options."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dl4fiji.data.normalization import PercentileNormalization
from dl4fiji.data.pairs import open_pairs
from dl4fiji.data.writer import write_image
from dl4fiji.errors import OptionError
from dl4fiji.jobs.job import DataRequest
from dl4fiji.keras_setup import import_tensorflow
from dl4fiji.networks import get
from dl4fiji.options import check_options

PATCHES = {2: {"patches_per_image": 50}, 3: {"patches_per_image": 200}}


@pytest.mark.parametrize("name", ["care-2d", "care-3d"])
@pytest.mark.parametrize("probabilistic", [False, True])
def test_is_the_network_that_csbdeep_builds(name: str, probabilistic: bool) -> None:
    import_tensorflow()
    from csbdeep.models import CARE, Config

    network = get(name)
    options = network.Options(probabilistic=probabilistic, first_filters=4)  # type: ignore[call-arg]
    ours = network.build(options, 2, 2)
    config = Config(
        network.axes, 2, 2, probabilistic=probabilistic, unet_n_depth=options.depth,
        unet_kern_size=options.kernel_size, unet_n_first=4,
    )  # fmt: skip
    theirs = CARE(config, basedir=None).keras_model
    theirs.set_weights(ours.get_weights())
    image = np.random.default_rng(0).random((1, *[16] * len(network.axes.removesuffix("C")), 2), np.float32)
    np.testing.assert_allclose(ours.predict_on_batch(image), theirs.predict_on_batch(image), atol=1e-6)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("care-2d", {"patch_size": (128, 128), "batch_size": 16, "depth": 3, "kernel_size": 5} | PATCHES[2]),
        ("care-3d", {"patch_size": (16, 64, 64), "batch_size": 4, "depth": 2, "kernel_size": 3} | PATCHES[3]),
    ],
)
def test_defaults(name: str, expected: dict[str, Any]) -> None:
    options: Any = get(name).Options()
    both = {
        "epochs": 100, "learning_rate": 4e-4, "first_filters": 32, "loss": "mae", "probabilistic": False,
        "reduce_lr_patience": 10, "steps_per_epoch": 0, "patience": 0, "validation_percent": 10,
    }  # fmt: skip
    for option, value in (expected | both).items():
        assert getattr(options, option) == value
    any_images: Any = None  # percentiles are taken from each image, not from the training data
    assert get(name).normalization(options, any_images) == PercentileNormalization(low=2, high=99.8)


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"patch_size": "100x100"}, "take 96x96 in place of 100x100"),
        ({"patch_size": "16x64x64"}, "needs 2 numbers, for Y, X"),
        ({"kernel_size": 4}, "such as 3 or 5"),
        ({"percentile_low": 99.9}, "percentile_low .* must lie below percentile_high"),
        ({"loss": "huber"}, "'loss' of CARE 2D is 'huber'"),
        ({"learning_rate": 0}, "greater than 0"),
        ({"deepness": 3}, "no option 'deepness'"),
    ],
)
def test_wrong_options_are_told_in_one_sentence(values: dict[str, Any], sentence: str) -> None:
    network = get("care-2d")
    with pytest.raises(OptionError, match=sentence) as caught:
        check_options(network.Options, values, network.title)
    assert caught.value.message.endswith(".")
    assert "\n" not in caught.value.message


def test_one_number_is_both_sides_of_a_plane() -> None:
    assert get("care-2d").Options(patch_size="64").patch_size == (64, 64)  # type: ignore[arg-type]


def test_residual_only_where_channels_allow_it() -> None:
    network = get("care-2d")
    options = network.Options(depth=1, kernel_size=3, first_filters=4)  # type: ignore[call-arg]
    image = np.random.default_rng(0).random((1, 8, 8, 2), np.float32)
    for channels_out, expected in ((2, image), (1, np.zeros((1, 8, 8, 1)))):
        model = network.build(options, 2, channels_out)
        model.set_weights([np.zeros_like(weight) for weight in model.get_weights()])
        np.testing.assert_allclose(model.predict_on_batch(image), expected)


def test_probabilistic_network_has_a_positive_scale_as_second_output() -> None:
    network = get("care-2d")
    options = network.Options(depth=1, kernel_size=3, first_filters=4, probabilistic=True)  # type: ignore[call-arg]
    restored, scale = network.outputs(options, 2)
    assert (restored.channels, scale.channels) == ((0, 2), (2, 4))
    image = np.random.default_rng(0).normal(0, 5, (1, 16, 16, 2)).astype(np.float32)
    assert np.all(network.build(options, 2, 2).predict_on_batch(image)[..., 2:] > 0)


@pytest.mark.parametrize(
    ("values", "formula"),
    [
        ({}, lambda y, p: np.abs(p - y).mean()),
        ({"loss": "mse"}, lambda y, p: ((p - y) ** 2).mean()),
        (
            {"probabilistic": True},
            lambda y, p: (np.abs(p[..., :1] - y) / p[..., 1:] + np.log(p[..., 1:]) + np.log(2)).mean(),
        ),
    ],
)
def test_loss_is_the_one_asked_for(values: dict[str, Any], formula: Any) -> None:
    network = get("care-2d")
    options = network.Options(depth=1, kernel_size=3, first_filters=4, **values)
    model = network.build(options, 1, 1)
    rng = np.random.default_rng(0)
    source, target = (rng.random((2, 16, 16, 1), np.float32) for _ in range(2))
    loss = network.compile(model, options).test_on_batch(source, target, return_dict=True)["loss"]
    assert loss == pytest.approx(formula(target, model.predict_on_batch(source)), rel=1e-4)


def test_how_clean_images_are_normalized_follows_from_the_pairs(tmp_path: Path) -> None:
    network, rng = get("care-2d"), np.random.default_rng(0)
    options: Any = network.Options(patch_size=(16, 16))  # type: ignore[call-arg]
    for name, gain, expected in (("same", 1, "source"), ("bright", 8, "own")):
        for number in range(3):
            clean = 500 + 400 * np.sin(np.add.outer(np.arange(64), np.arange(64)) / 9 + number)
            for role, image in (("source", rng.poisson(clean)), ("target", gain * clean)):
                (tmp_path / name / role).mkdir(parents=True, exist_ok=True)
                write_image(tmp_path / name / role / f"{number}.tif", image.astype(np.uint16), "YX")
        fields = DataRequest(source=str(tmp_path / name / "source"), target=str(tmp_path / name / "target"))
        dataset = open_pairs(fields, network.axes).split(30, 1)
        settled, remarks = network.settle(options, dataset)
        assert settled.target_normalization == expected
        assert network.settle(settled, dataset)[0] == settled
        assert remarks == []


def test_clean_images_of_other_channels_cannot_be_normalized_as_their_sources(tmp_path: Path) -> None:
    network = get("care-2d")
    for role, shape in (("source", (32, 32)), ("target", (2, 32, 32))):
        (tmp_path / role).mkdir()
        for number in range(2):
            image = np.random.default_rng(number).integers(0, 255, shape).astype(np.uint8)
            write_image(tmp_path / role / f"{number}.tif", image, "CYX"[-len(shape) :])
    fields = DataRequest(source=str(tmp_path / "source"), target=str(tmp_path / "target"))
    dataset = open_pairs(fields, network.axes).split(30, 1)
    with pytest.raises(OptionError, match=r"1 channel\(s\) and the clean ones 2: set it to own"):
        network.settle(network.Options(target_normalization="source"), dataset)  # type: ignore[call-arg]
    auto = network.Options(patch_size=(16, 16))  # type: ignore[call-arg]
    assert network.settle(auto, dataset)[0].target_normalization == "own"
