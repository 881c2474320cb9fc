"""Trainings and predictions as jobs: the real network in real workers, canceled, resumed, used."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile

from dl4fiji.client import ServiceClient
from dl4fiji.errors import ConflictError, DataError, InputError, OptionError
from dl4fiji.jobs.job import DataRequest, JobState, PredictRequest, TrainRequest
from serving import ServiceProcess, wait_for_end, wait_until

_OPTIONS = {
    "epochs": 8, "steps_per_epoch": 10, "batch_size": 4, "patch_size": "32x32", "first_filters": 4, "depth": 1,
    "validation_percent": 25,
}  # fmt: skip


@pytest.fixture
def pairs(tmp_path: Path) -> DataRequest:
    """Four pairs of small images: blobs, and the same with noise."""
    chance = np.random.default_rng(3)
    y, x = np.mgrid[:96, :96]
    for number in range(4):
        clean = np.zeros((96, 96), np.float32)
        for row, column in chance.uniform(0, 96, (25, 2)):
            clean += 200 * np.exp(-((y - row) ** 2 + (x - column) ** 2) / 20)
        for folder, image in (("clean", clean), ("noisy", clean + chance.normal(0, 30, clean.shape))):
            path = tmp_path / folder / f"field {number}.tif"
            path.parent.mkdir(exist_ok=True)
            tifffile.imwrite(path, image.astype(np.float32))
    return DataRequest(source=str(tmp_path / "noisy"), target=str(tmp_path / "clean"))


@pytest.mark.timeout(300)
def test_a_training_is_canceled_resumed_and_its_model_used(
    service: ServiceProcess, client: ServiceClient, pairs: DataRequest, tmp_path: Path
) -> None:
    request = TrainRequest(network="care-2d", name="blobs", data=pairs, options=_OPTIONS, export=False)
    report = client.check(request)
    assert report["problems"] == []
    assert report["summary"].startswith("4 pairs 96×96, 3 for training, 1 for validation; about ")
    assert report["forecast"]["memory"] > 2**28

    job = client.submit(request)
    with pytest.raises(ConflictError, match="already making a model"):
        client.submit(request)
    wait_until(lambda: len(client.history(job.id)["epoch"]) >= 2, 120, "two epochs")
    client.cancel(job.id)
    canceled = wait_for_end(client, job.id)
    assert canceled.state is JobState.CANCELED
    assert canceled.result["model"] == "blobs", "the best weights so far are kept, as a model"
    assert client.model("blobs")["training"]["canceled"] is True
    epochs = len(client.history(job.id)["epoch"])
    assert 2 <= epochs < 8

    client.resume(job.id)
    done = wait_for_end(client, job.id, 150)
    assert done.state is JobState.COMPLETE, done.error
    assert done.attempts == 2
    assert client.history(job.id)["epoch"] == list(range(1, 9))
    assert set(done.result["quality"]["psnr"]) == {"input", "prediction"}
    with pytest.raises(ConflictError, match="already"):
        client.submit(request)

    prediction = client.submit(PredictRequest(model="blobs", source=pairs.source, output=str(tmp_path / "out")))
    predicted = wait_for_end(client, prediction.id, 120)
    assert predicted.state is JobState.COMPLETE, predicted.error
    assert len(predicted.result["files"]) == 4
    assert tifffile.imread(tmp_path / "out" / "field 0.tif").shape == (96, 96)
    service.authorized("GET", f"/jobs/{prediction.id}")
    with pytest.raises(InputError, match="makes images, neither masks nor objects"):
        client.submit(PredictRequest(model="blobs", source=pairs.source, probability_threshold=0.5))


def test_what_cannot_be_trained_is_told_at_once(client: ServiceClient, pairs: DataRequest, tmp_path: Path) -> None:
    def train(**changes) -> TrainRequest:
        values = {"network": "care-2d", "name": "m", "data": pairs, "options": _OPTIONS, "export": False, **changes}
        return TrainRequest(**values)

    with pytest.raises(OptionError, match="'epochs' of CARE 2D is 0") as caught:
        client.submit(train(options={"epochs": 0, "epoch": 5}))
    assert len(caught.value.problems) == 2
    missing = DataRequest(source=str(tmp_path / "none"), target="relative")
    with pytest.raises(DataError, match="does not exist") as caught_data:
        client.submit(train(data=missing))
    assert "absolute" in caught_data.value.problems[1]
    with pytest.raises(DataError, match="give the target"):
        client.submit(train(data=DataRequest(source=pairs.source)))
    (tmp_path / "noisy" / "extra.tif").write_bytes(b"")
    report = client.check(train(name="", options={**_OPTIONS, "depth": 99}))
    assert any("'depth'" in problem for problem in report["problems"])
    report = client.check(train(name=""))
    assert any("extra.tif" in problem for problem in report["problems"])
    assert client.jobs() == []


def test_a_failing_training_names_file_and_remedy(client: ServiceClient, pairs: DataRequest) -> None:
    image = Path(pairs.source) / "field 1.tif"
    pixels = tifffile.imread(image)
    pixels[5, 5] = np.nan
    tifffile.imwrite(image, pixels)
    job = client.submit(TrainRequest(network="care-2d", name="m", data=pairs, options=_OPTIONS, export=False))
    failed = wait_for_end(client, job.id, 120)
    assert failed.state is JobState.FAILED
    assert "field 1.tif" in failed.error
    assert "Traceback" not in failed.error
    assert failed.resumable
    tifffile.imwrite(image, np.nan_to_num(pixels))
    client.resume(job.id)
    wait_until(lambda: len(client.history(job.id)["epoch"]) >= 1, 120, "an epoch after mending")
    client.cancel(job.id)
    assert wait_for_end(client, job.id).state is JobState.CANCELED
