"""R1: SIGKILL of the service at random points while 20 jobs are queued and running."""

from __future__ import annotations

import itertools
import random
import time

import pytest

from dl4fiji.home import Home
from dl4fiji.jobs.job import JobState, SelfTestRequest
from dl4fiji.jobs.store import JobStore
from serving import ServiceProcess, end_workers, figure, wait_until

JOBS = 20
BACK_SECONDS = 10.0


def _round(home: Home, chance: random.Random) -> float:
    """Queue jobs, kill the service three times at random points, let all end; return the slowest return."""
    service = ServiceProcess(home).start()
    ids, back = [], []
    with service.client() as client:
        for index in range(JOBS):
            request = SelfTestRequest(seconds=chance.uniform(0, 0.3), steps=5, epochs=2, as_training=index % 2 == 0)
            ids.append(client.submit(request).id)
    for _ in range(3):
        time.sleep(chance.uniform(0, 2.0))
        service.kill()
        began = time.monotonic()
        service.start()
        with service.client() as client:
            known = {job.id for job in client.jobs(limit=1000)}
            assert set(ids) <= known, "a job was lost"
            wait_until(lambda client=client: _moves(client), BACK_SECONDS, "the queue goes on")
        back.append(time.monotonic() - began)
    with service.client() as client:
        wait_until(lambda: all(client.job(job_id).state.ended for job_id in ids), 120, "the end of all jobs")
        jobs = [client.job(job_id) for job_id in ids]
    service.stop()
    for job in jobs:
        assert job.state is JobState.COMPLETE, (job.id, job.state, job.error)
        assert job.attempts == 1
        runs = (home.job(job.id) / "runs.txt").read_text(encoding="utf-8").splitlines()
        assert len(runs) == 2, f"job {job.id} was run {len(runs) / 2} times"
    _check_trainings(home, [job.id for job in jobs if job.request["as_training"]])
    store = JobStore(home.database)
    assert store.integrity() == []
    store.close()
    return max(back)


def _moves(client) -> bool:
    """Tell whether a job runs, or none waits."""
    states = {job.state for job in client.jobs(limit=1000)}
    return JobState.RUNNING in states or JobState.QUEUED not in states


def _check_trainings(home: Home, ids: list[str]) -> None:
    """Trainings went one after another, in the order of the queue."""
    spans = []
    for job_id in ids:
        first, last = (home.job(job_id) / "runs.txt").read_text(encoding="utf-8").splitlines()
        spans.append((float(first.split()[1]), float(last.split()[1])))
    for before, after in itertools.pairwise(spans):
        assert before[1] <= after[0], "two trainings ran at the same time, or out of order"


def _rounds(home: Home, count: int, record) -> None:
    chance = random.Random(1)
    slowest = 0.0
    try:
        for _ in range(count):
            slowest = max(slowest, _round(home, chance))
    finally:
        end_workers(home)
    assert slowest <= BACK_SECONDS
    figure(
        record, "R1", f"{count} rounds × {JOBS} jobs × 3 kills: none lost, none run twice; back in ≤ {slowest:.2f} s"
    )


@pytest.mark.timeout(400)
def test_r1_no_job_is_lost_or_run_twice(home: Home, record_property) -> None:
    _rounds(home, 5, record_property)


@pytest.mark.nightly
@pytest.mark.timeout(3600)
def test_r1_fifty_rounds(home: Home, record_property) -> None:
    _rounds(home, 50, record_property)
