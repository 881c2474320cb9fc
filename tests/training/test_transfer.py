"""Starting from models made here, by csbdeep and ZeroCostDL4Mic, and from packages."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dl4fiji.errors import InputError, NotFoundError
from dl4fiji.files import write_json
from dl4fiji.keras_setup import import_tensorflow
from dl4fiji.model import ModelFolder
from dl4fiji.networks import get
from dl4fiji.training.history import History
from dl4fiji.training.transfer import find_start

CARE = get("care-2d")


def _model(options: Any) -> Any:
    return CARE.build(options, 1, 1)


def _same(one: Any, two: Any) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(one.get_weights(), two.get_weights(), strict=True))


def _our_folder(models: Path, name: str, model: Any, rates: list[tuple[float, float]]) -> Path:
    folder = ModelFolder(models / name)
    folder.weights().parent.mkdir(parents=True)
    model.save_weights(folder.weights("best"))
    history = History(folder.history_file)
    for epoch, (val_loss, rate) in enumerate(rates, start=1):
        history.append({"epoch": epoch, "loss": 1.0, "val_loss": val_loss, "learning_rate": rate, "seconds": 1.0})
    write_json(folder.info_file, {})
    return folder.path


@pytest.fixture
def csbdeep_folder(tmp_path: Path, tiny: Callable[..., Any]) -> tuple[Path, Any]:
    """A model folder that csbdeep itself writes in a short training."""
    import_tensorflow()
    from csbdeep.models import CARE as PeerCARE
    from csbdeep.models import Config

    options = tiny()
    config = Config(
        "YX", unet_n_depth=options.depth, unet_kern_size=options.kernel_size, unet_n_first=options.first_filters,
        train_epochs=1, train_steps_per_epoch=2, train_batch_size=2, train_tensorboard=False,
        train_learning_rate=2.5e-4,
    )  # fmt: skip
    peer = PeerCARE(config, "peer", basedir=str(tmp_path / "their models"))
    patches = np.random.default_rng(0).random((8, 16, 16, 1), np.float32)
    peer.train(patches, patches, validation_data=(patches, patches))
    return tmp_path / "their models" / "peer", peer.keras_model


def test_model_made_here_is_found_by_name_and_by_path(tmp_path: Path, tiny: Callable[..., Any]) -> None:
    model, other = _model(tiny()), _model(tiny())
    path = _our_folder(tmp_path, "my cells", model, [(0.5, 4e-4), (0.3, 2e-4), (0.4, 1e-4)])
    for name in ("my cells", str(path)):
        start = find_start(name, tmp_path)
        assert start.learning_rate == 2e-4
        assert not _same(model, other) or name != "my cells"
        start.apply(other)
        assert _same(model, other)


def test_csbdeep_folder(tmp_path: Path, csbdeep_folder: tuple[Path, Any], tiny: Callable[..., Any]) -> None:
    path, peer = csbdeep_folder
    assert (path / "config.json").is_file()
    start = find_start(str(path), tmp_path)
    assert start.learning_rate == pytest.approx(2.5e-4)
    model = _model(tiny())
    start.apply(model)
    assert _same(model, peer)


def test_learning_rate_of_a_zerocostdl4mic_model_is_that_of_its_best_row(
    tmp_path: Path, csbdeep_folder: tuple[Path, Any]
) -> None:
    path, _ = csbdeep_folder
    (path / "Quality Control").mkdir()
    (path / "Quality Control" / "training_evaluation.csv").write_text(
        "loss,val_loss,learning rate\n0.5,0.4,0.0004\n0.3,0.2,0.0001\n0.2,0.3,0.00005\nx,,\n"
    )
    assert find_start(str(path), tmp_path).learning_rate == 1e-4


def test_other_architecture_names_the_layer(
    tmp_path: Path, csbdeep_folder: tuple[Path, Any], tiny: Callable[..., Any]
) -> None:
    start = find_start(str(csbdeep_folder[0]), tmp_path)
    with pytest.raises(InputError, match=r"layer 'down_level_0_no_0' is 3×3×1×4 \+ 4 .* has 5×5×1×8 \+ 8"):
        start.apply(_model(tiny(kernel_size=5, first_filters=8)))


def test_package_zipped_or_not(tmp_path: Path, tiny: Callable[..., Any]) -> None:
    model = _model(tiny())
    package = tmp_path / "package"
    package.mkdir()
    (package / "rdf.yaml").write_text("format_version: 0.5.0\n")
    model.save_weights(package / "keras_weights.h5")
    with zipfile.ZipFile(tmp_path / "package.zip", "w") as archive:
        for file in package.iterdir():
            archive.write(file, file.name)
    for path in (package, tmp_path / "package.zip", package / "keras_weights.h5"):
        other = _model(tiny())
        find_start(str(path), tmp_path).apply(other)
        assert _same(model, other)


@pytest.mark.parametrize("content", [{"readme.txt": "hello"}, {}])
def test_folder_and_zip_without_weights_are_told(tmp_path: Path, content: dict[str, str]) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    with zipfile.ZipFile(tmp_path / "empty.zip", "w") as archive:
        for name, text in content.items():
            archive.writestr(name, text)
            (folder / name).write_text(text)
    for path in (folder, tmp_path / "empty.zip"):
        with pytest.raises(InputError, match=r"holds no .*weights"):
            find_start(str(path), tmp_path)


@pytest.mark.parametrize("name", ["nothing", "/nowhere/at all"])
def test_missing_model_is_told(tmp_path: Path, name: str) -> None:
    with pytest.raises(NotFoundError, match="to start from"):
        find_start(name, tmp_path)


@pytest.mark.parametrize("name", ["../outside", "a/b", ".."])
def test_names_lead_nowhere_else(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError):
        find_start(name, tmp_path / "models")


def test_damaged_history_does_not_hinder(tmp_path: Path, tiny: Callable[..., Any]) -> None:
    path = _our_folder(tmp_path, "m", _model(tiny()), [(0.5, 4e-4)])
    (path / "history.csv").write_text("nonsense")
    assert find_start("m", tmp_path).learning_rate is None


def test_damaged_config_is_told(tmp_path: Path, csbdeep_folder: tuple[Path, Any]) -> None:
    path, _ = csbdeep_folder
    (path / "config.json").write_text(json.dumps({"train_learning_rate": 7}))
    assert find_start(str(path), tmp_path).learning_rate is None
    (path / "config.json").write_text("{")
    with pytest.raises(InputError, match=r"config\.json of .*peer is damaged"):
        find_start(str(path), tmp_path)
