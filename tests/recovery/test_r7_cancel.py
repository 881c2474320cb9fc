"""R7: cancel is acknowledged at once, obeyed at the end of a batch, and enforced in the end."""

from __future__ import annotations

import time

import psutil

from dl4fiji.client import ServiceClient
from dl4fiji.files import read_json
from dl4fiji.jobs.job import JobState, SelfTestRequest
from serving import ServiceProcess, figure, wait_until

ACKNOWLEDGED_SECONDS = 0.2
STOPPED_SECONDS = 2.0
KILLED_SECONDS = 10.0


def _cancel(client: ServiceClient, job_id: str) -> tuple[float, float]:
    """Return the seconds to the acknowledgement and to the end."""
    began = time.monotonic()
    client.cancel(job_id)
    acknowledged = time.monotonic() - began
    wait_until(lambda: client.job(job_id).state.ended, 30, "the end of the canceled job")
    return acknowledged, time.monotonic() - began


def test_r7_running_job_stops_with_its_batch(service: ServiceProcess, client: ServiceClient, record_property) -> None:
    acknowledged, stopped = [], []
    for _ in range(5):
        job = client.submit(SelfTestRequest(seconds=60, steps=300, epochs=10, as_training=True))
        wait_until(lambda job=job: client.job(job.id).done > 0, 30, "progress")
        pid = read_json(service.home.job(job.id) / "worker.json")["pid"]
        first, last = _cancel(client, job.id)
        acknowledged.append(first)
        stopped.append(last)
        ended = client.job(job.id)
        assert ended.state is JobState.CANCELED
        assert ended.error == ""
        assert ended.resumable
        assert not psutil.pid_exists(pid), "the worker holds its device although the job has ended"
    assert max(acknowledged) <= ACKNOWLEDGED_SECONDS
    assert max(stopped) <= STOPPED_SECONDS
    figure(
        record_property, "R7",
        f"acknowledged in ≤ {max(acknowledged) * 1000:.0f} ms, stopped in ≤ {max(stopped):.2f} s",
    )  # fmt: skip


def test_r7_deaf_job_is_killed(service: ServiceProcess, client: ServiceClient, record_property) -> None:
    job = client.submit(SelfTestRequest(seconds=120, steps=600, deaf=True, as_training=True))
    wait_until(lambda: client.job(job.id).done > 0, 30, "progress")
    pid = read_json(service.home.job(job.id) / "worker.json")["pid"]
    acknowledged, ended = _cancel(client, job.id)
    assert acknowledged <= ACKNOWLEDGED_SECONDS
    assert KILLED_SECONDS <= ended <= KILLED_SECONDS + 1.5
    assert client.job(job.id).state is JobState.CANCELED
    assert not psutil.pid_exists(pid)
    figure(record_property, "R7 deaf", f"killed after {ended:.2f} s")


def test_r7_cancel_before_the_first_batch(client: ServiceClient, record_property) -> None:
    """While libraries load and data are read nobody asks for cancels: the worker ends all the same."""
    job = client.submit(SelfTestRequest(seconds=120, steps=2))  # its first batch takes a minute
    wait_until(lambda: client.job(job.id).phase == "Testing the service", 30, "the start of the work")
    acknowledged, stopped = _cancel(client, job.id)
    assert client.job(job.id).state is JobState.CANCELED
    assert acknowledged <= ACKNOWLEDGED_SECONDS
    assert stopped <= STOPPED_SECONDS
    figure(record_property, "R7 early", f"stopped in {stopped:.2f} s")


def test_r7_queued_job_never_runs(service: ServiceProcess, client: ServiceClient) -> None:
    first = client.submit(SelfTestRequest(seconds=2, steps=20))
    second = client.submit(SelfTestRequest(seconds=0.1, steps=1))
    assert client.cancel(second.id).state is JobState.CANCELED
    wait_until(lambda: client.job(first.id).state.ended, 30, "the first job")
    assert client.job(second.id).attempts == 0
    assert not service.home.job(second.id).exists()


def test_r7_cancel_survives_a_restart(service: ServiceProcess) -> None:
    with service.client() as client:
        job = client.submit(SelfTestRequest(seconds=60, steps=600, deaf=True))
        wait_until(lambda: client.job(job.id).done > 0, 30, "progress")
        client.cancel(job.id)
    service.kill()
    (service.home.job(job.id) / "cancel").unlink()
    again = ServiceProcess(service.home).start()
    try:
        with again.client() as client:
            wait_until((service.home.job(job.id) / "cancel").exists, 5, "the cancel is told again")
            wait_until(lambda: client.job(job.id).state.ended, 20, "the kill")
            assert client.job(job.id).state is JobState.CANCELED
    finally:
        again.stop()
