"""Trainings that start from a model on the web, as jobs: fetched by the worker, canceled in the middle, told."""

from __future__ import annotations

import hashlib
import threading
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import tifffile

from dl4fiji.client import ServiceClient
from dl4fiji.errors import InputError, NotFoundError
from dl4fiji.files import read_json
from dl4fiji.jobs.job import DataRequest, JobState, TrainRequest
from serving import ServiceProcess, wait_for_end, wait_until
from tiny_models import make_model
from web import Site, in_pieces, serve

_OPTIONS = {
    "epochs": 1, "steps_per_epoch": 2, "batch_size": 2, "patch_size": "16x16", "first_filters": 4, "depth": 2,
    "kernel_size": 3, "background_rejection": False,
}  # fmt: skip


@pytest.fixture
def site() -> Iterator[Site]:
    with serve() as served:
        yield served


@pytest.fixture
def pairs(tmp_path: Path) -> DataRequest:
    """Two pairs of small images."""
    chance = np.random.default_rng(3)
    for folder in ("clean", "noisy"):
        (tmp_path / folder).mkdir()
        for number in range(2):
            tifffile.imwrite(tmp_path / folder / f"{number}.tif", chance.random((40, 40), np.float32))
    return DataRequest(source=str(tmp_path / "noisy"), target=str(tmp_path / "clean"))


@pytest.fixture
def zipped(tmp_path: Path) -> bytes:
    """A model made here, as a zip of its folder."""
    made = make_model(tmp_path / "elsewhere", name="first")
    with zipfile.ZipFile(tmp_path / "first.zip", "w") as archive:
        for file in made.path.rglob("*"):
            archive.write(file, f"first/{file.relative_to(made.path)}")
    return (tmp_path / "first.zip").read_bytes()


def _request(pairs: DataRequest, start_from: str, **options: object) -> TrainRequest:
    return TrainRequest(
        network="care-2d", name="second", data=pairs, options={**_OPTIONS, **options}, start_from=start_from,
        export=False,
    )  # fmt: skip


@pytest.mark.timeout(300)
def test_trained_from_an_address_that_no_one_else_gets_to_know(
    service: ServiceProcess, client: ServiceClient, site: Site, pairs: DataRequest, zipped: bytes
) -> None:
    site.files["/first.zip"] = zipped
    address = f"{site.url.replace('//', '//anna:geheim@')}/first.zip?token=abc987"
    request = _request(pairs, f"{address}#sha256={hashlib.sha256(zipped).hexdigest()}")
    assert client.check(request)["problems"] == []
    assert site.asked == [], "the service fetches nothing"
    job = wait_for_end(client, client.submit(request).id, 200)
    assert job.state is JobState.COMPLETE, job.error
    events = [event for event in client.events(job.id) if event["type"] == "phase"]
    assert any(event["data"]["text"].startswith("Downloading 0.") for event in events)
    assert client.model("second")["training"]["start_from"] == f"{site.url}/first.zip?…"
    files = [service.home.job(job.id) / "log.txt", service.home.model("second") / "model.json"]
    files += [file for file in service.home.downloads.iterdir() if file.suffix == ".json"]
    files += [service.home.service_log]
    for file in files:
        assert "geheim" not in file.read_text()
        assert "abc987" not in file.read_text()


@pytest.mark.timeout(120)
def test_cancel_in_the_middle_of_a_download(
    service: ServiceProcess, client: ServiceClient, site: Site, pairs: DataRequest
) -> None:
    gone = threading.Event()

    def pieces() -> Iterator[bytes]:
        for _ in range(600):
            if gone.is_set():
                return
            yield bytes(2**16)
            time.sleep(0.05)

    site.answers["/slow.zip"] = in_pieces(pieces(), length=600 * 2**16)
    job = client.submit(_request(pairs, f"{site.url}/slow.zip"))
    wait_until(lambda: client.job(job.id).done > 2**17, 60, "bytes told as progress")
    running = client.job(job.id)
    assert running.phase == f"Downloading 37.5 MiB from {site.url.removeprefix('http://')}"
    assert running.total == 600 * 2**16
    began = time.monotonic()
    client.cancel(job.id)
    canceled = wait_for_end(client, job.id, 10)
    assert time.monotonic() - began < 2
    gone.set()
    assert canceled.state is JobState.CANCELED
    visible = [entry.name for entry in service.home.downloads.iterdir() if not entry.name.startswith(".")]
    assert visible == [], "half a file is not seen"


@pytest.mark.timeout(120)
def test_what_goes_wrong_is_one_sentence(client: ServiceClient, site: Site, pairs: DataRequest) -> None:
    site.files["/page.zip"] = b"<html>Sign in</html>"
    cases = {
        f"{site.url}/none.zip": "none.zip cannot be fetched: there is nothing at this address",
        f"{site.url}/page.zip": "is no bioimage.io description",
    }
    for address, words in cases.items():
        job = wait_for_end(client, client.submit(_request(pairs, address)).id, 60)
        assert job.state is JobState.FAILED
        assert words in job.error
        assert "\n" not in job.error


def test_the_check_says_what_does_not_fit_before_the_training_starts(
    service: ServiceProcess, client: ServiceClient, pairs: DataRequest
) -> None:
    first = make_model(service.home.models, name="first")
    assert client.check(_request(pairs, "first"))["problems"] == []
    problem = (
        "The model 'first' was trained with depth 2 and first_filters 4, but this training has 1 and 8: set depth to 2 "
        "and first_filters to 4."
    )
    for start_from in ("first", str(first.path)):
        request = _request(pairs, start_from, depth=1, first_filters=8)
        assert client.check(request)["problems"] == [problem]
        with pytest.raises(InputError) as caught:
            client.submit(request)
        assert caught.value.message == problem
    info = read_json(first.info_file)
    first.info_file.write_text(first.info_file.read_text().replace('"channels_in": 1', '"channels_in": 3'))
    assert "takes 3 channels" in client.check(_request(pairs, "first"))["problems"][0]
    assert info["channels_in"] == 1


def test_what_cannot_be_a_start_is_told_at_once(client: ServiceClient, pairs: DataRequest) -> None:
    cases: dict[str, tuple[type[Exception], str]] = {
        "ftp://host/m.zip": (InputError, "by http and https only"),
        "https://host/m.zip#sha256=12": (InputError, "64 digits"),
        "missing": (NotFoundError, "no model 'missing'"),
        "/missing.zip": (NotFoundError, "check the path"),
        "../x": (InputError, "cannot be the name"),
    }
    for start_from, (kind, words) in cases.items():
        assert words in client.check(_request(pairs, start_from))["problems"][0]
        with pytest.raises(kind, match=words):
            client.submit(_request(pairs, start_from))
