"""Starting from what csbdeep and n2v themselves write, in all forms in which people have it."""

from __future__ import annotations

import hashlib
import json
import shutil
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from dl4fiji.errors import InputError
from dl4fiji.keras_setup import import_tensorflow
from dl4fiji.network import Network
from dl4fiji.networks import get
from dl4fiji.networks.stardist import at_grid
from dl4fiji.training.fitting import taken_over
from dl4fiji.training.sources import open_source
from dl4fiji.training.transfer import Web, find_start
from web import Site, serve


@dataclass(frozen=True)
class Peer:
    """A model of a peer library in its folder, with random weights, and the options here that mean the same."""

    path: Path
    model: Any
    network: Network
    options: dict[str, Any]
    channels: int = 1

    def starts(self, start_from: str, web: Web | None = None) -> float | None:
        """Check that a training would start with the very predictions of the peer; return its learning rate."""
        patch = "8x8x8" if "Z" in self.network.axes else "16x16"
        options = self.network.Options.model_validate(
            {**self.options, "patch_size": patch} | ({"masked_pixels_percent": 2} if "channels" in self.options else {})
        )
        start = find_start(start_from, self.path.parent / "none", web)
        channels_out = 1 if self.network.task == "instances" else self.channels
        start.check(self.network, options, (self.channels, channels_out))
        model = self.network.build(options, self.channels, channels_out)
        start.apply(model)
        x = np.random.default_rng(0).random((1, *[16] * (len(self.network.axes) - 1), self.channels), np.float32)
        ours, theirs = (_values(self.network, each, x) for each in (model, self.model))
        for one, two in zip(ours, theirs, strict=True):
            np.testing.assert_array_equal(one, two)
        return start.learning_rate


def _values(network: Network, model: Any, x: np.ndarray) -> list[np.ndarray]:
    """Return what a network puts out; of ours for StarDist what its own one does, at the places of the grid."""
    if network.task == "instances" and len(model.outputs) == 1:
        model = at_grid(model)
    found = model(x)
    return [value.numpy() for value in (found if isinstance(found, list) else [found])]


def _scramble(model: Any) -> None:
    rng = np.random.default_rng(3)
    model.set_weights([rng.uniform(0.05, 0.4, weight.shape) for weight in model.get_weights()])


def _care(folder: Path, axes: str, channels: int, probabilistic: bool) -> Peer:
    import_tensorflow()
    from csbdeep.models import CARE, Config

    config = Config(
        axes, channels, channels, unet_n_depth=1, unet_kern_size=3, unet_n_first=4, probabilistic=probabilistic,
        train_learning_rate=3e-4,
    )  # fmt: skip
    peer = CARE(config, "peer", basedir=str(folder))
    _scramble(peer.keras_model)
    peer.keras_model.save_weights(str(folder / "peer" / "weights_best.h5"))
    peer.keras_model.save_weights(str(folder / "peer" / "weights_last.h5"))
    options = {"depth": 1, "kernel_size": 3, "first_filters": 4, "probabilistic": probabilistic}
    return Peer(folder / "peer", peer, get("care-2d" if axes == "YX" else "care-3d"), options, channels)


def _noise2void(folder: Path, dimensions: int, channels: int = 1, separately: bool = False) -> Peer:
    import_tensorflow()
    from n2v.models import N2V, N2VConfig

    images = np.random.default_rng(0).random((2, *[16] * dimensions, channels)).astype(np.float32)
    config = N2VConfig(
        images, unet_kern_size=3, unet_n_depth=1, unet_n_first=4, batch_norm=True, train_learning_rate=2e-4,
        n2v_patch_shape=(8,) * dimensions, single_net_per_channel=separately,
    )  # fmt: skip
    peer = N2V(config, "peer", basedir=str(folder))
    _scramble(peer.keras_model)
    peer.keras_model.save_weights(str(folder / "peer" / "weights_best.h5"))
    options = {"depth": 1, "kernel_size": 3, "first_filters": 4, "channels": "separately" if separately else "jointly"}
    return Peer(folder / "peer", peer, get(f"noise2void-{dimensions}d"), options, channels)


def _stardist(folder: Path, dimensions: int, channels: int = 1, backbone: str = "unet") -> Peer:
    import_tensorflow()
    from stardist import models
    from stardist.rays3d import Rays_GoldenSpiral

    sides, grid = (3,) * dimensions, (2, 2) if dimensions == 2 else (1, 2, 2)
    shape: dict[str, Any] = {"net_conv_after_unet": 8, "unet_n_filter_base": 4, "unet_kernel_size": sides}
    shape |= {"unet_n_depth": 1}
    if backbone == "resnet":
        shape = {"net_conv_after_resnet": 8, "resnet_n_filter_base": 4, "resnet_kernel_size": sides}
        shape |= {"resnet_n_blocks": 2}
    options: dict[str, Any] = {"rays": 8, "first_filters": 4, "feature_filters": 8}
    options |= {"blocks": 2, "backbone": "resnet"} if backbone == "resnet" else {"depth": 1}
    if dimensions == 2:
        config = models.Config2D(axes="YXC", n_rays=8, n_channel_in=channels, grid=grid, **shape)
        peer = models.StarDist2D(config, "peer", basedir=str(folder))
    else:
        rays = Rays_GoldenSpiral(8, anisotropy=(2, 1, 1))
        config = models.Config3D(
            axes="ZYXC", rays=rays, anisotropy=(2, 1, 1), n_channel_in=channels, grid=grid, backbone=backbone, **shape
        )
        peer = models.StarDist3D(config, "peer", basedir=str(folder))
        options |= {"anisotropy": "2x1x1"}
    _scramble(peer.keras_model)
    peer.keras_model.save_weights(str(folder / "peer" / "weights_best.h5"))
    return Peer(folder / "peer", peer, get(f"stardist-{dimensions}d"), {**options, "grid": grid}, channels)


PEERS: dict[str, Callable[[Path], Peer]] = {
    "CARE 2D": lambda folder: _care(folder, "YX", 1, False),
    "CARE 2D, probabilistic, 2 channels": lambda folder: _care(folder, "YX", 2, True),
    "CARE 3D": lambda folder: _care(folder, "ZYX", 1, False),
    "N2V 2D": lambda folder: _noise2void(folder, 2),
    "N2V 2D, 2 channels jointly": lambda folder: _noise2void(folder, 2, 2),
    "N2V 3D": lambda folder: _noise2void(folder, 3),
    "StarDist 2D": lambda folder: _stardist(folder, 2),
    "StarDist 2D, 3 channels": lambda folder: _stardist(folder, 2, 3),
    "StarDist 3D": lambda folder: _stardist(folder, 3),
    "StarDist 3D, ResNet": lambda folder: _stardist(folder, 3, backbone="resnet"),
}


@pytest.fixture(params=PEERS)
def peer(request: pytest.FixtureRequest, tmp_path: Path) -> Peer:
    """Each kind of model of the peer libraries."""
    made = PEERS[request.param](tmp_path)
    return Peer(made.path, made.model.keras_model, made.network, made.options, made.channels)


@pytest.fixture
def care(tmp_path: Path) -> Peer:
    """A model of csbdeep's that can be exported."""
    return _care(tmp_path, "YX", 1, False)


@pytest.fixture
def site() -> Iterator[Site]:
    with serve() as served:
        yield served


def _zip(folder: Path, path: Path, below: str = "") -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(folder.rglob("*")):
            if file.is_file():
                archive.write(file, f"{below}{file.relative_to(folder).as_posix()}")
    return path


def test_folder_and_its_zip(tmp_path: Path, peer: Peer) -> None:
    rate = json.loads((peer.path / "config.json").read_text())["train_learning_rate"]
    assert peer.starts(str(peer.path)) == rate
    assert peer.starts(str(_zip(peer.path, tmp_path / "nested.zip", "my models/peer/"))) == rate


def test_weights_of_a_network_per_channel(tmp_path: Path) -> None:
    peer = _noise2void(tmp_path, 2, 2, separately=True)
    start = find_start(str(peer.path), tmp_path)
    options = peer.network.Options.model_validate(peer.options)
    start.check(peer.network, options, (2, 2))
    model = peer.network.build(options, 2, 2)
    start.apply(model)
    # n2v's own network cannot be asked: called again, all of its slices take the last channel.
    for one, two in zip(model.get_weights(), peer.model.keras_model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, two)
    other = peer.network.Options.model_validate({**peer.options, "channels": "jointly"})
    with pytest.raises(InputError, match=r"was trained with channels separately, but .* has jointly: set channels to"):
        start.check(peer.network, other, (2, 2))


def test_zerocostdl4mic_folder_and_its_zip(tmp_path: Path, care: Peer) -> None:
    (care.path / "Quality Control").mkdir()
    (care.path / "Quality Control" / "training_evaluation.csv").write_text(
        "loss,val_loss,learning rate\n0.5,0.4,0.0004\n0.3,0.2,0.0001\n0.2,0.3,0.00005\n"
    )
    (care.path / "TF_SavedModel.zip").write_bytes(b"not looked at, since there are Keras weights")
    peer = Peer(care.path, care.model.keras_model, care.network, care.options)
    assert peer.starts(str(care.path)) == 1e-4
    assert peer.starts(str(_zip(care.path, tmp_path / "z.zip", "peer/"))) == 1e-4


def _package(care: Peer, tmp_path: Path, **changes: Any) -> tuple[Path, dict[str, Any]]:
    """Make a bioimage.io package: csbdeep's own SavedModel, its weights, and a description (format 0.4)."""
    package = tmp_path / "package"
    package.mkdir()
    keras = care.model.keras_model  # the export leaves the model unusable
    x = np.random.default_rng(0).random((1, 16, 16, 1), np.float32)
    expected = keras(x).numpy()
    care.model.export_TF(str(package / "TF_SavedModel.zip"))
    shutil.copyfile(care.path / "weights_best.h5", package / "keras weights.h5")
    shutil.copyfile(care.path / "config.json", package / "config.json")

    def entry(name: str) -> dict[str, str]:
        return {"source": f"./{name}", "sha256": hashlib.sha256((package / name).read_bytes()).hexdigest()}

    text = {
        "format_version": "0.4.9", "type": "model", "name": "peer", "attachments": {"files": ["config.json"]},
        "weights": {
            "keras_hdf5": entry("keras weights.h5"),
            "tensorflow_saved_model_bundle": entry("TF_SavedModel.zip"),
        },
    }  # fmt: skip
    (package / "rdf.yaml").write_text(yaml.safe_dump(text | changes))
    return package, {"x": x, "expected": expected, "text": text}


def _starts(care: Peer, start_from: str, facts: dict[str, Any], web: Web | None = None) -> float | None:
    start = find_start(start_from, care.path.parent / "none", web)
    options = care.network.Options.model_validate(care.options)
    start.check(care.network, options, (1, 1))
    model = care.network.build(options, 1, 1)
    start.apply(model)
    np.testing.assert_array_equal(model(facts["x"]).numpy(), facts["expected"])
    return start.learning_rate


def test_package_as_folder_zip_description_and_its_saved_model_alone(tmp_path: Path, care: Peer) -> None:
    package, facts = _package(care, tmp_path)
    _zip(package, tmp_path / "package.zip")
    for path in (package, tmp_path / "package.zip", package / "rdf.yaml"):
        assert _starts(care, str(path), facts) == 3e-4
    (package / "keras weights.h5").unlink()
    _zip(package, tmp_path / "graph.zip")
    for path in (package, tmp_path / "graph.zip"):
        assert _starts(care, str(path), facts) == 3e-4
    assert _starts(care, str(package / "TF_SavedModel.zip"), facts) is None
    with zipfile.ZipFile(package / "TF_SavedModel.zip") as archive:
        archive.extractall(tmp_path / "unpacked")
    assert _starts(care, str(tmp_path / "unpacked"), facts) is None


def test_package_from_the_web(tmp_path: Path, care: Peer, site: Site) -> None:
    package, facts = _package(care, tmp_path)
    web = Web(tmp_path / "downloads")
    site.files |= {f"/p/{file.name}": file.read_bytes() for file in package.iterdir()}
    site.files["/p/keras%20weights.h5"] = site.files.pop("/p/keras weights.h5")
    site.files["/package.zip"] = _zip(package, tmp_path / "package.zip").read_bytes()
    assert _starts(care, f"{site.url}/package.zip", facts, web) == 3e-4
    assert _starts(care, f"{site.url}/p/rdf.yaml", facts, web) == 3e-4
    assert site.paths() == ["/package.zip", "/p/rdf.yaml", "/p/config.json", "/p/keras%20weights.h5"]
    text = facts["text"]
    text["weights"]["keras_hdf5"]["source"] = f"{site.url}/p/keras%20weights.h5"
    site.files["/elsewhere/files/content"] = yaml.safe_dump({**text, "attachments": {}}).encode()
    assert _starts(care, f"{site.url}/elsewhere/files/content", facts, web) is None
    (package / "rdf.yaml").write_text(yaml.safe_dump(text))
    (package / "keras weights.h5").unlink()
    assert _starts(care, str(package), facts, web) == 3e-4
    with pytest.raises(InputError, match="not fetched here"):
        find_start(str(package), tmp_path)


def test_weights_that_are_not_those_of_the_description_are_refused(tmp_path: Path, care: Peer, site: Site) -> None:
    package, _ = _package(care, tmp_path)
    file = package / "keras weights.h5"
    file.write_bytes(file.read_bytes() + b"\0")
    with pytest.raises(InputError, match="is not the file that the package's checksum stands for"):
        find_start(str(package), tmp_path)


def test_descriptions_lead_to_no_other_place(tmp_path: Path, care: Peer, site: Site) -> None:
    (tmp_path / "outside.h5").write_bytes((care.path / "weights_best.h5").read_bytes())
    for source in ("../outside.h5", str(tmp_path / "outside.h5"), f"file://{tmp_path}/outside.h5"):
        folder = tmp_path / "package"
        folder.mkdir(exist_ok=True)
        text = yaml.safe_dump({"weights": {"keras_hdf5": {"source": source}}})
        (folder / "rdf.yaml").write_text(text)
        site.files["/rdf.yaml"] = text.encode()
        with pytest.raises(InputError, match=r"holds no weights|fetched by http and https only"):
            find_start(str(folder), tmp_path, Web(tmp_path / "downloads"))


def test_stardist_package_names_its_weights_and_its_configuration(tmp_path: Path) -> None:
    text = {
        "weights": {"tensorflow_saved_model_bundle": {"source": "TF_SavedModel.zip"}},
        "attachments": [{"source": "other.h5"}, {"source": "stardist_weights.h5"}],
        "config": {"stardist": {"weights": "stardist_weights.h5", "config": {
            "n_rays": 8, "n_dim": 2, "grid": [2, 2], "unet_n_depth": 1, "unet_kernel_size": [3, 3],
            "unet_n_filter_base": 8, "net_conv_after_unet": 16, "train_learning_rate": 5e-4, "n_channel_in": 1}}},
    }  # fmt: skip
    (tmp_path / "rdf.yaml").write_text(yaml.safe_dump(text))
    for name in ("TF_SavedModel.zip", "other.h5", "stardist_weights.h5"):
        (tmp_path / name).write_bytes(b"")
    source = open_source(tmp_path)
    assert source.keras is not None
    assert source.keras.source == "stardist_weights.h5"
    assert source.description.network == "stardist-2d"
    assert source.description.learning_rate == 5e-4
    assert source.description.options["grid"] == (2, 2)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"depth": 2, "first_filters": 8},
         "depth 1 and first_filters 4, but this training has 2 and 8: set depth to 1 and first_filters to 4."),
        ({"probabilistic": True}, "set probabilistic to false."),
    ],
)  # fmt: skip
def test_options_that_do_not_fit_are_named_with_their_values(care: Peer, change: dict[str, Any], sentence: str) -> None:
    start = find_start(str(care.path), care.path.parent)
    options = care.network.Options.model_validate({**care.options, **change})
    with pytest.raises(InputError) as caught:
        start.check(care.network, options, (1, 1))
    assert caught.value.message.endswith(sentence)
    start.check(care.network, care.network.Options.model_validate(care.options), (1, 1))


def test_network_channels_and_what_no_option_stands_for(care: Peer) -> None:
    start = find_start(str(care.path), care.path.parent)
    options = care.network.Options.model_validate(care.options)
    with pytest.raises(InputError, match="takes 1 channel and gives 1, but these images have 3 and ask for 2"):
        start.check(care.network, options, (3, 2))
    other = get("care-3d")
    with pytest.raises(InputError, match="is a model of CARE 2D, not of CARE 3D: train that network"):
        start.check(other, other.Options(), (1, 1))
    config = json.loads((care.path / "config.json").read_text())
    (care.path / "config.json").write_text(json.dumps(config | {"unet_residual": False}))
    with pytest.raises(InputError, match="was built with no residual connection, which CARE 2D here does not offer"):
        find_start(str(care.path), care.path.parent).check(care.network, options, (1, 1))


def test_what_is_left_to_the_data_comes_from_the_model(tmp_path: Path) -> None:
    peer = _stardist(tmp_path, 3)
    start = find_start(str(peer.path), tmp_path)
    left = peer.network.Options.model_validate({**peer.options, "grid": "0", "anisotropy": "0", "patch_size": "8x8x8"})
    start.check(peer.network, left, (1, 1))
    assert taken_over(start.description, left) == {"grid": "1x2x2", "anisotropy": "2x1x1", "learning_rate": 3e-4}
    others = left.model_copy(update={"grid": (1, 1, 1), "anisotropy": (1.0, 1.0, 1.0), "learning_rate": 1e-3})
    with pytest.raises(InputError, match="set grid to 1x2x2 and anisotropy to 2x1x1"):
        start.check(peer.network, others, (1, 1))
    assert taken_over(start.description, others) == {}
    with pytest.raises(InputError, match="takes 1 channel, but these images have 3: choose"):
        start.check(peer.network, left, (3, 1))


def test_classes_of_objects_are_no_option(tmp_path: Path) -> None:
    peer = _stardist(tmp_path, 2)
    config = json.loads((peer.path / "config.json").read_text())
    (peer.path / "config.json").write_text(json.dumps(config | {"n_classes": 3}))
    options = peer.network.Options.model_validate(peer.options)
    with pytest.raises(InputError, match="was built with 3 classes of objects, which StarDist 2D here does not offer"):
        find_start(str(peer.path), tmp_path).check(peer.network, options, (1, 1))
