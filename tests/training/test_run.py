"""Trainings from images on disk to a model folder."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from dl4fiji.errors import Canceled, ConflictError, DataError, ResourceError
from dl4fiji.keras_setup import import_tensorflow
from dl4fiji.model import ModelFolder
from dl4fiji.networks import get
from dl4fiji.networks.care import Care2D
from dl4fiji.prediction.keras_model import load_keras_model
from dl4fiji.training.history import read_history
from dl4fiji.training.run import train

CARE = get("care-2d")


@pytest.fixture
def job(tmp_path: Path) -> Path:
    """The job's folder."""
    return tmp_path / "job"


@pytest.fixture
def model(tmp_path: Path) -> ModelFolder:
    """The model that is made."""
    return ModelFolder(tmp_path / "models" / "my cells")


def _names(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_makes_a_whole_model_that_restores(
    job: Path, model: ModelFolder, pairs: Callable[..., Any], tiny: Callable[..., Any], watcher: Any
) -> None:
    progress = watcher()
    request = {"kind": "train", "name": "my cells"}
    options = tiny(epochs=8, steps_per_epoch=12, learning_rate=5e-3)
    info = train(CARE, pairs(8), options, job, model, progress, authors=["Ada L."], request=request)
    assert _names(model.path) == {
        "model.json", "history.csv", "request.json", "samples.npz", "record.json", "examples.npz", "report.html",
        "report.pdf", str(Path("weights/best.h5")),
        str(Path("weights/last.h5")),
    }  # fmt: skip
    assert model.read() == info
    assert info.quality["psnr"]["prediction"] > info.quality["psnr"]["input"] + 1
    assert info.quality["ssim"]["prediction"] > info.quality["ssim"]["input"]
    assert (info.name, info.network, info.authors) == ("my cells", "care-2d", ["Ada L."])
    assert (info.channels_in, info.channels_out, info.axes) == (1, 1, "YXC")
    assert info.pixel_size == pytest.approx({"Y": 0.25, "X": 0.25})
    assert info.pixel_unit
    training = info.training
    assert (training["epochs"], training["steps_per_epoch"], training["batch_size"]) == (8, 12, 4)
    assert (training["training_images"], training["validation_images"]) == (7, 1)
    assert training["split"]["validation"] == [info.quality["images"][0]["name"]]
    assert not training["canceled"]
    assert training["steps_per_second"] > 0
    assert {"tensorflow", "csbdeep", "dl4fiji"} <= set(training["versions"])
    assert json.loads(model.request_file.read_text()) == request
    assert read_history(model.history_file) == progress.rows
    assert not (job / "checkpoints").exists()
    with np.load(model.samples_file) as samples:
        assert samples["input"].shape == samples["truth"].shape == (64, 64, 1)
        assert samples["input"].dtype == np.uint16
    assert progress.phases[0] == "Checking the images"
    assert any(phase.startswith("Training on ") for phase in progress.phases)


@pytest.mark.parametrize("part", ["write_report", "make_examples", "record_data"])
def test_a_report_that_fails_loses_no_training(
    part: str, job: Path, model: ModelFolder, pairs: Callable[..., Any], tiny: Callable[..., Any], watcher: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    def fail(*_: Any) -> None:
        raise MemoryError("Resource exhausted: OOM when allocating")  # what a training retries with smaller batches

    monkeypatch.setattr(f"dl4fiji.training.saving.{part}", fail)
    progress = watcher()
    info = train(CARE, pairs(4), tiny(epochs=1), job, model, progress)
    assert model.read() == info
    assert info.quality["psnr"]
    assert model.weights("best").is_file()
    assert sum("OOM when allocating" in text for text in progress.warnings) == 1
    assert model.report_html.is_file() == (part != "write_report")


def test_best_and_last_weights_are_what_they_are_called(
    job: Path, model: ModelFolder, pairs: Callable[..., Any], tiny: Callable[..., Any], watcher: Any
) -> None:
    options = tiny(epochs=8, learning_rate=0.2, reduce_lr_patience=0, target_normalization="own")
    info = train(CARE, pairs(4), options, job, model, watcher())
    rows = read_history(model.history_file)
    best = min(rows, key=lambda row: row["val_loss"])
    assert info.training["best_epoch"] == best["epoch"] < 8, "the rate is so high that the last epoch is not the best"
    weights = [load_keras_model(model, which).get_weights() for which in ("best", "last")]
    assert any(not np.array_equal(one, two) for one, two in zip(*weights, strict=True))


def test_volumes_with_two_outputs(
    job: Path, model: ModelFolder, pairs: Callable[..., Any], tiny: Callable[..., Any], watcher: Any
) -> None:
    options = tiny("care-3d", probabilistic=True, epochs=1)
    info = train(get("care-3d"), pairs(3, (10, 24, 30)), options, job, model, watcher())
    assert info.axes == "ZYXC"
    assert "psnr_slices" in info.quality
    assert load_keras_model(model).output_shape[-1] == 2
    with np.load(model.samples_file) as samples:
        assert samples["input"].shape == (10, 24, 30, 1)


def test_channels_need_not_agree(
    tmp_path: Path, job: Path, model: ModelFolder, pairs: Callable[..., Any], tiny: Callable[..., Any], watcher: Any
) -> None:
    fields = pairs(4)
    for file in (tmp_path / "data" / "source").iterdir():
        two = np.stack([tifffile.imread(file)] * 2)
        two[1] = two[1][::-1]
        tifffile.imwrite(file, two, imagej=True, metadata={"axes": "CYX"})
    info = train(CARE, fields, tiny(epochs=1), job, model, watcher())
    assert (info.channels_in, info.channels_out) == (2, 1)
    assert "input" not in info.quality["psnr"]
    assert load_keras_model(model).input_shape[-1] == 2


def test_existing_name_is_refused_before_anything_is_done(
    job: Path, model: ModelFolder, pairs: Callable[..., Any], tiny: Callable[..., Any], watcher: Any
) -> None:
    model.path.mkdir(parents=True)
    (model.path / "precious.txt").write_text("mine")
    progress = watcher()
    with pytest.raises(ConflictError, match="'my cells' already"):
        train(CARE, pairs(3), tiny(), job, model, progress)
    assert _names(model.path) == {"precious.txt"}
    assert progress.phases == []


def test_name_taken_during_the_training_is_not_overwritten(
    job: Path, model: ModelFolder, pairs: Callable[..., Any], tiny: Callable[..., Any], watcher: Any
) -> None:
    class Rival(watcher):
        def epoch(self, row: dict[str, float]) -> None:
            model.path.mkdir(parents=True, exist_ok=True)
            (model.path / "precious.txt").write_text("mine")

    with pytest.raises(ConflictError, match="already"):
        train(CARE, pairs(3), tiny(epochs=1), job, model, Rival())
    assert _names(model.path) == {"precious.txt"}
    assert [path.name for path in model.path.parent.iterdir()] == ["my cells"]
    assert (job / "checkpoints").exists(), "the work is not lost"


def test_unusable_images_are_told_with_all_findings(
    tmp_path: Path, job: Path, model: ModelFolder, pairs: Callable[..., Any], tiny: Callable[..., Any], watcher: Any
) -> None:
    fields = pairs(3)
    (tmp_path / "data" / "target" / "cell 1.tif").unlink()
    tifffile.imwrite(tmp_path / "data" / "target" / "cell 2.tif", np.zeros((30, 30), np.uint16))
    with pytest.raises(DataError) as caught:
        train(CARE, fields, tiny(), job, model, watcher())
    assert len(caught.value.problems) >= 2
    assert not model.path.exists()


def test_few_images_are_warned_of(
    job: Path, model: ModelFolder, pairs: Callable[..., Any], tiny: Callable[..., Any], watcher: Any
) -> None:
    progress = watcher()
    info = train(CARE, pairs(2), tiny(epochs=1), job, model, progress)
    assert any("1 image only" in warning for warning in info.warnings)
    assert info.warnings == progress.warnings
    assert len(set(info.warnings)) == len(info.warnings)


def test_cancel_in_the_first_epoch_leaves_no_model(
    job: Path, model: ModelFolder, pairs: Callable[..., Any], tiny: Callable[..., Any], watcher: Any
) -> None:
    with pytest.raises(Canceled):
        train(CARE, pairs(3), tiny(), job, model, watcher(cancel_after=2))
    assert not model.path.exists()


def test_canceled_training_has_its_best_weights_and_can_go_on(
    tmp_path: Path, job: Path, model: ModelFolder, pairs: Callable[..., Any], tiny: Callable[..., Any], watcher: Any
) -> None:
    fields, options = pairs(3), tiny(epochs=4)
    whole = ModelFolder(tmp_path / "models" / "whole")
    train(CARE, fields, options, tmp_path / "other job", whole, watcher())
    progress = watcher(cancel_after=18)
    info = train(CARE, fields, options, job, model, progress)
    assert info.training["canceled"]
    assert info.training["epochs"] == 2
    assert info.quality == {}
    assert load_keras_model(model) is not None
    info = train(CARE, fields, options, job, model, watcher())
    assert not info.training["canceled"]
    assert info.training["epochs"] == 4
    assert info.quality["psnr"]["prediction"] > 0
    for which in ("best", "last"):
        expected, got = load_keras_model(whole, which), load_keras_model(model, which)
        for one, two in zip(expected.get_weights(), got.get_weights(), strict=True):
            np.testing.assert_array_equal(one, two)
    assert sorted(path.name for path in model.path.parent.iterdir()) == ["my cells", "whole"]


def test_cancel_during_the_quality_control_makes_the_model_without_it(
    job: Path, model: ModelFolder, pairs: Callable[..., Any], tiny: Callable[..., Any], watcher: Any
) -> None:
    class Impatient(watcher):
        def canceled(self) -> bool:
            return self.phases[-1].startswith("Judging")

    fields, options = pairs(3), tiny(epochs=2)
    info = train(CARE, fields, options, job, model, Impatient())
    assert info.training["canceled"]
    assert info.training["epochs"] == 2
    assert info.quality == {}
    again = watcher()
    info = train(CARE, fields, options, job, model, again)
    assert again.rows == [], "nothing was trained again"
    assert not info.training["canceled"]
    assert info.quality


def test_model_that_another_request_was_canceled_to_is_not_replaced(
    job: Path, model: ModelFolder, pairs: Callable[..., Any], tiny: Callable[..., Any], watcher: Any
) -> None:
    fields = pairs(3)
    train(CARE, fields, tiny(epochs=4), job, model, watcher(cancel_after=18))
    before = model.info_file.read_bytes()
    with pytest.raises(ConflictError):
        train(CARE, fields, tiny(epochs=5), job, model, watcher())
    assert model.info_file.read_bytes() == before


@pytest.mark.parametrize("given", [False, True])
def test_starts_from_a_model_with_its_learning_rate_unless_one_is_given(
    tmp_path: Path, pairs: Callable[..., Any], tiny: Callable[..., Any], watcher: Any, given: bool
) -> None:
    fields = pairs(4)
    values = tiny(epochs=6, learning_rate=5e-3).model_dump()
    first = ModelFolder(tmp_path / "models" / "first")
    train(CARE, fields, CARE.Options(**values), tmp_path / "job 1", first, watcher())
    rows = read_history(first.history_file)
    values |= {"epochs": 1, "learning_rate": 1e-5}
    if not given:
        del values["learning_rate"]
    second = ModelFolder(tmp_path / "models" / "second")
    info = train(CARE, fields, CARE.Options(**values), tmp_path / "job 2", second, watcher(), start_from="first")
    row = read_history(second.history_file)[0]
    best = min(rows, key=lambda row: row["val_loss"])
    assert row["learning_rate"] == (1e-5 if given else best["learning_rate"])
    assert row["val_loss"] < rows[0]["val_loss"]
    assert info.training["start_from"] == "first"


def test_resuming_needs_the_model_to_start_from_no_more(
    tmp_path: Path, job: Path, model: ModelFolder, pairs: Callable[..., Any], tiny: Callable[..., Any], watcher: Any
) -> None:
    fields = pairs(3)
    first = ModelFolder(tmp_path / "models" / "first")
    train(CARE, fields, tiny(epochs=1, learning_rate=3e-3), tmp_path / "job 1", first, watcher())
    options = CARE.Options(**(tiny(epochs=3).model_dump() | {"learning_rate": 4e-4}))
    train(CARE, fields, options, job, model, watcher(cancel_after=12), start_from="first")
    shutil.rmtree(first.path)
    train(CARE, fields, options, job, model, watcher(), start_from="first")
    assert [row["learning_rate"] for row in read_history(model.history_file)] == [3e-3] * 3


class Greedy(Care2D):
    """CARE whose steps take more memory than there is, above some batch size."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.sizes: list[int] = []

    def compile(self, model: Any, options: Any) -> Any:
        trainee = super().compile(model, options)
        tf = import_tensorflow()
        self.sizes.append(options.batch_size)
        if options.batch_size > self.most:

            def step(data: Any) -> Any:
                raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor", {})

            trainee.train_step = step
        return trainee


def test_batch_size_halves_when_memory_does_not_suffice(
    job: Path, model: ModelFolder, pairs: Callable[..., Any], tiny: Callable[..., Any], watcher: Any
) -> None:
    progress, network = watcher(), Greedy(most=2)
    info = train(network, pairs(3), tiny(epochs=1, batch_size=8), job, model, progress)
    assert network.sizes == [8, 4, 2]
    assert info.training["batch_size"] == 2
    assert info.options["batch_size"] == 8
    assert [warning for warning in progress.warnings if "batch size of 8" in warning or "batch size of 4" in warning]


def test_memory_that_never_suffices_is_told_with_advice(
    job: Path, model: ModelFolder, pairs: Callable[..., Any], tiny: Callable[..., Any], watcher: Any
) -> None:
    network = Greedy(most=0)
    with pytest.raises(ResourceError, match=r"Out of memory on .* 2 patches of 32×32 at a time: take a smaller"):
        train(network, pairs(3), tiny(epochs=1, batch_size=16), job, model, watcher())
    assert network.sizes == [16, 8, 4, 2]
    assert not model.path.exists()


def test_keras_setup_comes_first() -> None:
    code = "import tensorflow\nfrom dl4fiji.keras_setup import prepare\nprepare()"
    fresh = {name: value for name, value in os.environ.items() if name != "TF_USE_LEGACY_KERAS"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, env=fresh)
    assert done.returncode == 1
    assert "imported before dl4fiji.keras_setup.prepare()" in done.stderr
    assert import_tensorflow().keras.Model.__module__.startswith("tf_keras")
