"""The scheduler with real workers."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from dl4fiji.home import Home
from dl4fiji.jobs.devices import CPU, Device, find_devices
from dl4fiji.jobs.files import JobFiles
from dl4fiji.jobs.job import JobState, SelfTestRequest
from dl4fiji.jobs.scheduler import Scheduler
from dl4fiji.jobs.store import JobStore
from serving import end_workers, wait_until

_GPUS = [Device("gpu:0", "first"), Device("gpu:1", "second")]


class _Running:
    """A store and its scheduler."""

    def __init__(self, home: Home, devices: list[Device]) -> None:
        self.home = home
        self.store = JobStore(home.database)
        self.scheduler = Scheduler(home, self.store, lambda: devices)

    def submit(self, request: SelfTestRequest) -> str:
        job = self.store.submit(request, "test")
        self.scheduler.wake()
        return job.id

    def state(self, job_id: str) -> JobState:
        return self.store.get(job_id).state

    def wait(self, *ids: str) -> None:
        wait_until(lambda: all(self.state(job_id).ended for job_id in ids), 60, "the end of the jobs")

    def stop(self) -> None:
        self.scheduler.stop()
        self.store.close()
        end_workers(self.home)


@pytest.fixture
def running(home: Home) -> Iterator[_Running]:
    """A scheduler with the processor alone."""
    started = _Running(home, [CPU])
    started.scheduler.start()
    yield started
    started.stop()


def test_a_job_runs_and_its_folder_tells_of_it(running: _Running) -> None:
    job_id = running.submit(SelfTestRequest(seconds=0.2, epochs=2))
    running.wait(job_id)
    job = running.store.get(job_id)
    assert (job.state, job.exit_code, job.done, job.total, job.result["steps"]) == (JobState.COMPLETE, 0, 10, 10, 10)
    names = {path.name for path in running.home.job(job_id).iterdir()}
    assert {"request.json", "log.txt", "events.jsonl", "result.json"} <= names


def test_a_training_and_another_job_run_side_by_side(running: _Running) -> None:
    first = running.submit(SelfTestRequest(seconds=30, steps=300, as_training=True))
    other = running.submit(SelfTestRequest(seconds=30, steps=300))
    second = running.submit(SelfTestRequest(seconds=0.1, as_training=True))
    wait_until(lambda: running.store.get(first).done > 0 and running.store.get(other).done > 0, 30, "both at work")
    assert running.state(second) is JobState.QUEUED
    for job_id in (first, other):
        running.scheduler.cancel(job_id)
    running.wait(first, other, second)
    assert running.state(second) is JobState.COMPLETE


def test_each_gpu_trains_one(home: Home) -> None:
    running = _Running(home, _GPUS)
    running.scheduler.start()
    try:
        ids = [running.submit(SelfTestRequest(seconds=1.5, steps=15, as_training=True)) for _ in range(4)]
        wait_until(lambda: len(running.store.running()) == 2, 20, "two trainings")
        assert {job.device for job in running.store.running()} == {"gpu:0", "gpu:1"}
        running.wait(*ids)
        assert {running.store.get(job_id).device for job_id in ids} == {"gpu:0", "gpu:1"}
    finally:
        running.stop()


def test_other_jobs_take_a_gpu_that_does_not_train(home: Home) -> None:
    running = _Running(home, _GPUS)
    running.scheduler.start()
    try:
        training = running.submit(SelfTestRequest(seconds=30, steps=300, as_training=True))
        wait_until(lambda: running.state(training) is JobState.RUNNING, 20, "the training")
        other = running.submit(SelfTestRequest(seconds=0.1))
        running.wait(other)
        assert running.store.get(other).device == "gpu:1"
    finally:
        running.stop()


def test_a_worker_sees_its_device_alone(running: _Running) -> None:
    job_id = running.submit(SelfTestRequest(seconds=20, steps=200))
    wait_until(lambda: running.store.get(job_id).done > 0, 30, "progress")
    pid = JobFiles(running.home.job(job_id)).worker_pid(1)
    environment = Path(f"/proc/{pid}/environ")
    if not environment.exists():
        pytest.skip("needs /proc to read a process's environment")
    values = dict(entry.split("=", 1) for entry in environment.read_text(encoding="utf-8").split("\0") if "=" in entry)
    assert values["CUDA_VISIBLE_DEVICES"] == "-1"
    assert values["DL4FIJI_DEVICE"] == "cpu"
    assert values["DL4FIJI_HOME"] == str(running.home.root)
    assert os.getsid(pid) == pid, "it must outlive the service and its terminal"
    assert Device("gpu:2", "x").environment()["CUDA_VISIBLE_DEVICES"] == "2"


def test_failed_jobs_keep_the_end_of_their_log(running: _Running) -> None:
    job_id = running.submit(SelfTestRequest(seconds=0.1, fail="unexpected"))
    running.wait(job_id)
    job = running.store.get(job_id)
    assert job.state is JobState.FAILED
    assert any("Traceback" in line for line in job.log_tail)
    assert job.resumable


def test_a_job_whose_folder_cannot_be_made_fails_with_a_sentence(running: _Running) -> None:
    job = running.store.submit(SelfTestRequest(), "test")
    running.home.job(job.id).write_text("a file is in the way", encoding="utf-8")
    running.scheduler.wake()
    running.wait(job.id)
    assert running.state(job.id) is JobState.FAILED
    assert "FileExistsError" in running.store.get(job.id).error
    later = running.submit(SelfTestRequest(seconds=0.1))
    running.wait(later)
    assert running.state(later) is JobState.COMPLETE


def test_a_job_that_never_began_is_run(home: Home) -> None:
    """The service died between noting that a job runs and starting its worker."""
    store = JobStore(home.database)
    job_id = store.submit(SelfTestRequest(seconds=0.1), "test").id
    assert store.take_next("other", "cpu") is not None
    store.close()
    running = _Running(home, [CPU])
    running.scheduler.start()
    try:
        running.wait(job_id)
        job = running.store.get(job_id)
        assert (job.state, job.attempts) == (JobState.COMPLETE, 1)
    finally:
        running.stop()


def test_a_job_that_ended_meanwhile_is_concluded(home: Home) -> None:
    """The worker ended while no service was there."""
    running = _Running(home, [CPU])
    running.scheduler.start()
    job_id = running.submit(SelfTestRequest(seconds=1, epochs=4))
    wait_until(lambda: running.store.get(job_id).done > 0, 30, "progress")
    running.scheduler.stop()
    running.store.close()
    files = JobFiles(home.job(job_id))
    wait_until(files.result.exists, 30, "the worker's end")
    time.sleep(0.3)
    again = _Running(home, [CPU])
    again.scheduler.start()
    try:
        again.wait(job_id)
        assert again.state(job_id) is JobState.COMPLETE
        assert again.store.history(job_id)["epoch"] == [1, 2, 3, 4]
        warnings = [event for event in again.store.events(job_id) if event.type == "warning"]
        assert len(warnings) == 1, "no event is taken over twice"
    finally:
        again.stop()


def test_a_failing_round_does_not_end_the_scheduler(running: _Running) -> None:
    database = running.store._db
    database.execute("ALTER TABLE jobs RENAME TO hidden")
    running.scheduler.wake()
    time.sleep(0.5)
    database.execute("ALTER TABLE hidden RENAME TO jobs")
    job_id = running.submit(SelfTestRequest(seconds=0.1))
    running.wait(job_id)
    assert running.state(job_id) is JobState.COMPLETE


@pytest.mark.skipif(os.name == "nt", reason="the stand-in for nvidia-smi is a shell script")
def test_gpus_are_found_by_nvidia_smi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = tmp_path / "nvidia-smi"
    script.write_text("#!/bin/sh\necho '0, NVIDIA A100, 40960'\necho '1, NVIDIA T4, 15360'\n", encoding="ascii")
    script.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert [(device.name, device.title) for device in find_devices()] == [
        ("gpu:0", "NVIDIA A100"),
        ("gpu:1", "NVIDIA T4"),
    ]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    assert [device.name for device in find_devices()] == ["gpu:1"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert find_devices() == [CPU]
    script.write_text("#!/bin/sh\nexit 9\n", encoding="ascii")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    assert find_devices() == [CPU]
