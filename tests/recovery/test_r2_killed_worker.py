"""R2: SIGKILL of a worker."""

from __future__ import annotations

import os
import signal
import time

from dl4fiji.client import ServiceClient
from dl4fiji.files import read_json
from dl4fiji.home import Home
from dl4fiji.jobs.files import TAIL_LINES
from dl4fiji.jobs.job import JobState, SelfTestRequest
from serving import ServiceProcess, end_workers, figure, wait_until

LIMIT_SECONDS = 2.0


def _kill_worker(client: ServiceClient, home: Home, job_id: str) -> float:
    """Kill the worker of a running job; return how long it took until the job was CRASHED."""
    wait_until(lambda: client.job(job_id).done > 0, 30, "progress")
    pid = read_json(home.job(job_id) / "worker.json")["pid"]
    with (home.job(job_id) / "log.txt").open("a", encoding="utf-8") as log:
        log.writelines(f"line {number}\n" for number in range(200))
    began = time.monotonic()
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: client.job(job_id).state.ended, 20, "the end of the job")
    return time.monotonic() - began


def test_r2_killed_worker_is_a_crashed_job(service: ServiceProcess, client: ServiceClient, record_property) -> None:
    times = []
    for as_training in (True, False, True):
        submitted = client.submit(SelfTestRequest(seconds=60, steps=600, as_training=as_training))
        times.append(_kill_worker(client, service.home, submitted.id))
        job = client.job(submitted.id)
        assert job.state is JobState.CRASHED
        assert job.exit_code == -9
        assert "SIGKILL" in job.error
        assert "resumed" in job.error
        assert job.log_tail == [f"line {number}" for number in range(200 - TAIL_LINES, 200)]
        assert job.resumable
    assert max(times) <= LIMIT_SECONDS
    figure(record_property, "R2", f"CRASHED within {max(times) * 1000:.0f} ms, exit code −9, {TAIL_LINES} lines of log")


def test_r2_worker_of_an_earlier_service(service: ServiceProcess, record_property) -> None:
    home = service.home
    with service.client() as client:
        submitted = client.submit(SelfTestRequest(seconds=60, steps=600))
        wait_until(lambda: client.job(submitted.id).done > 0, 30, "progress")
    service.kill()
    again = ServiceProcess(home).start()
    try:
        with again.client() as client:
            seconds = _kill_worker(client, home, submitted.id)
            job = client.job(submitted.id)
        assert job.state is JobState.CRASHED
        assert job.exit_code is None
        assert "gone" in job.error
        assert len(job.log_tail) == TAIL_LINES
        assert seconds <= LIMIT_SECONDS
        figure(record_property, "R2 adopted", f"CRASHED within {seconds * 1000:.0f} ms")
    finally:
        again.stop()
        end_workers(home)


def test_r2_a_crashed_job_is_resumed(service: ServiceProcess, client: ServiceClient) -> None:
    submitted = client.submit(SelfTestRequest(seconds=0.5, steps=10, fail="kill"))
    wait_until(lambda: client.job(submitted.id).state.ended, 30, "the crash")
    assert client.job(submitted.id).state is JobState.CRASHED
    resumed = client.resume(submitted.id)
    assert resumed.state is JobState.QUEUED
    assert resumed.error == ""
    wait_until(lambda: client.job(submitted.id).state.ended, 30, "the second crash")
    job = client.job(submitted.id)
    assert job.attempts == 2
    assert len((service.home.job(job.id) / "runs.txt").read_text(encoding="utf-8").splitlines()) == 2
