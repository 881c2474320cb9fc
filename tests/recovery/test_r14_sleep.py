"""R14: the computer sleeps, clients go and come back: the job runs on and shows its state."""

from __future__ import annotations

import os
import signal
import time

import pytest

from dl4fiji.client import ServiceClient
from dl4fiji.files import read_json
from dl4fiji.jobs.job import JobState, SelfTestRequest
from serving import ServiceProcess, figure, wait_until


def _sleep_and_wake(service: ServiceProcess, seconds: float) -> int:
    """Stop service and worker for a while, with no client there; return how many events a returning one sees."""
    with service.client() as client:
        job = client.submit(SelfTestRequest(seconds=4, steps=40, epochs=8, as_training=True))
        wait_until(lambda: client.job(job.id).done > 0, 30, "progress")
        seen = client.events(job.id)
    worker = read_json(service.home.job(job.id) / "worker.json")["pid"]
    for pid in (worker, service.pid):
        os.kill(pid, signal.SIGSTOP)
    time.sleep(seconds)
    for pid in (service.pid, worker):
        os.kill(pid, signal.SIGCONT)
    with ServiceClient.connect(service.home, start=False) as client:
        later = list(client.follow(job.id, after=seen[-1]["id"]))
        assert client.job(job.id).state is JobState.COMPLETE
        assert client.job(job.id).attempts == 1
    numbers = [event["id"] for event in seen + later]
    assert numbers == sorted(set(numbers)), "an event came twice or out of order"
    epochs = [event["data"]["epoch"] for event in seen + later if event["type"] == "epoch"]
    assert epochs == list(range(1, 9))
    return len(later)


def test_r14_short_sleep(service: ServiceProcess, record_property) -> None:
    count = _sleep_and_wake(service, 5)
    figure(record_property, "R14", f"asleep for 5 s: the job went on, {count} events told afterwards, none twice")


@pytest.mark.nightly
@pytest.mark.timeout(300)
def test_r14_sleep_of_a_minute(service: ServiceProcess, record_property) -> None:
    count = _sleep_and_wake(service, 60)
    figure(record_property, "R14", f"asleep for 60 s: the job went on, {count} events told afterwards, none twice")
