"""Weights out of SavedModels: frozen graphs of ours, those of csbdeep, those of Keras; nothing of them is run."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dl4fiji.archive import open_files
from dl4fiji.errors import InputError
from dl4fiji.export.frozen_graph import freeze, write_saved_model
from dl4fiji.export.serving import image_function
from dl4fiji.keras_setup import import_tensorflow
from dl4fiji.network import Network
from dl4fiji.networks import NETWORKS, get
from dl4fiji.networks.weights import assign_weights
from dl4fiji.prediction.keras_model import load_keras_model
from dl4fiji.prediction.recipe import Recipe
from dl4fiji.training.saved_model import read_saved_model, read_saved_weights
from tiny_models import make_model


def _small(network: Network) -> Any:
    """Return options of a network of few weights."""
    few = {"depth": 1, "kernel_size": 3, "first_filters": 4, "rays": 8, "feature_filters": 8}
    few |= {"patch_size": "8x16x16" if "Z" in network.axes else "16x16", "masked_pixels_percent": 1}
    few["grid"] = "1x2x2" if "Z" in network.axes else "2x2"
    return network.Options.model_validate({k: v for k, v in few.items() if k in network.Options.model_fields})


def _scrambled(model: Any) -> Any:
    """Give all weights random values, so that none is as it is initialized."""
    rng = np.random.default_rng(1)
    model.set_weights([rng.uniform(0.1, 1, weight.shape) for weight in model.get_weights()])
    return model


def _starts_alike(model: Any, other: Any, folder: Path) -> None:
    layers = read_saved_weights(open_files(folder), "", "The model")
    assign_weights(other, layers, "The model", by_name=True)
    for one, two in zip(model.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize("network", NETWORKS, ids=lambda network: network.name)
def test_frozen_graph_as_it_is_exported(tmp_path: Path, network: Network) -> None:
    options = _small(network).model_dump(exclude={"patch_size", "channels"})
    folder = make_model(tmp_path, network.name, **options)
    model = _scrambled(load_keras_model(folder, "best"))
    recipe = Recipe.of(folder.read())
    shape = [None] * len(recipe.axes) + [1]
    function = image_function(import_tensorflow(), model, recipe)
    write_saved_model(freeze(function, shape, ["output"], model), tmp_path / "frozen")
    _starts_alike(model, load_keras_model(folder, "best"), tmp_path / "frozen")


def test_frozen_graph_with_two_heads(tmp_path: Path) -> None:
    care, tf = get("care-2d"), import_tensorflow()
    options = care.Options(depth=1, kernel_size=3, first_filters=4, probabilistic=True, patch_size="16x16")
    model = _scrambled(care.build(options, 2, 3))
    write_saved_model(
        freeze(lambda x: {"output": model(x)}, [None, None, None, 2], ["output"], model), tmp_path / "frozen"
    )
    tf.keras.backend.clear_session()
    _starts_alike(model, care.build(options, 2, 3), tmp_path / "frozen")


@pytest.mark.parametrize("name", ["noise2void-3d", "unet-2d"])
def test_saved_by_keras(tmp_path: Path, name: str) -> None:
    network = get(name)
    model = _scrambled(network.build(_small(network), 1, 1))
    model.compile("adam", "mse")
    shape = (1, 8, 8, 8, 1)[-len(network.axes) - 1 :]
    model.fit(np.ones((1, *shape[1:])), np.ones((1, *shape[1:])), verbose=0)  # the optimizer keeps variables, too
    model.save(tmp_path / "saved", save_format="tf")
    _starts_alike(model, network.build(_small(network), 1, 1), tmp_path / "saved")


def test_mismatch_names_the_first_layer(tmp_path: Path) -> None:
    care = get("care-2d")
    options = care.Options(depth=1, kernel_size=3, first_filters=4, patch_size="16x16")
    model = care.build(options, 1, 1)
    write_saved_model(freeze(lambda x: {"o": model(x)}, [None, None, None, 1], ["o"], model), tmp_path / "frozen")
    layers = read_saved_weights(open_files(tmp_path / "frozen"), "", "The model")
    other = care.build(care.Options(depth=1, kernel_size=5, first_filters=4, patch_size="16x16"), 1, 1)
    with pytest.raises(InputError, match=r"layer 'down_level_0_no_0' is 3×3×1×4 \+ 4 where this network has 5×5×1×4"):
        assign_weights(other, layers, "The model", by_name=True)


@pytest.fixture
def frozen(tmp_path: Path) -> Path:
    """A SavedModel of constants."""
    care = get("care-2d")
    model = care.build(care.Options(depth=1, kernel_size=3, first_filters=4, patch_size="16x16"), 1, 1)
    write_saved_model(freeze(lambda x: {"o": model(x)}, [None, None, None, 1], ["o"], model), tmp_path / "frozen")
    return tmp_path / "frozen"


def test_a_tensor_that_claims_to_be_huge_is_refused(frozen: Path) -> None:
    saved = read_saved_model(frozen / "saved_model.pb")
    nodes = saved.meta_graphs[0].graph_def.node
    kernel = max((node for node in nodes if node.op == "Const"), key=lambda node: node.ByteSize())
    tensor = kernel.attr["value"].tensor
    tensor.ClearField("tensor_content")
    tensor.float_val.append(0.0)  # one number stands for all
    for dim, size in zip(tensor.tensor_shape.dim, (3, 3, 2**20, 2**20), strict=True):
        dim.size = size
    (frozen / "saved_model.pb").write_bytes(saved.SerializeToString())
    with pytest.raises(InputError, match="claims more than 4 GiB of weights"):
        read_saved_weights(open_files(frozen), "", "The model")


def test_damaged_variables_are_told(tmp_path: Path) -> None:
    network = get("unet-2d")
    network.build(_small(network), 1, 1).save(tmp_path / "saved", save_format="tf")
    for damage in ("cut", "gone"):
        broken = tmp_path / damage
        shutil.copytree(tmp_path / "saved", broken)
        data = next((broken / "variables").glob("variables.data*"))
        data.write_bytes(data.read_bytes()[:100]) if damage == "cut" else data.unlink()
        with pytest.raises(InputError, match="variables of The model are damaged or missing"):
            read_saved_weights(open_files(broken), "", "The model")


@pytest.mark.parametrize("content", [b"", b"\xff\xff\xffno graph"])
def test_what_is_no_saved_model_is_told(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "saved_model.pb").write_bytes(content)
    with pytest.raises(InputError, match=r"The model (is no TensorFlow model|has no weights)"):
        read_saved_weights(open_files(tmp_path), "", "The model")
