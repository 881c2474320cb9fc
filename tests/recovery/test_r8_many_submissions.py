"""R8: 16 threads × 200 submissions."""

from __future__ import annotations

import os
import statistics
import threading
import time

import pytest

from dl4fiji.jobs.job import JobState, SelfTestRequest
from serving import ServiceProcess, figure, wait_until

THREADS = 16
SUBMISSIONS = 200
P95_SECONDS = 0.05


class _Submitter(threading.Thread):
    """Submits jobs one after another and notes how long each took."""

    def __init__(self, service: ServiceProcess, barrier: threading.Barrier) -> None:
        super().__init__()
        self._service, self._barrier = service, barrier
        self.ids: list[str] = []
        self.seconds: list[float] = []
        self.error: Exception | None = None

    def run(self) -> None:
        try:
            with self._service.client() as client:
                client.health()
                self._barrier.wait()
                for _ in range(SUBMISSIONS):
                    began = time.perf_counter()
                    job = client.submit(SelfTestRequest(seconds=1, steps=10, as_training=True))
                    self.seconds.append(time.perf_counter() - began)
                    self.ids.append(job.id)
        except Exception as error:  # noqa: BLE001 – told by the test's own thread
            self.error = error


@pytest.mark.timeout(300)
def test_r8_submissions_are_quick_ordered_and_run_one_by_one(service: ServiceProcess, record_property) -> None:
    load = max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))  # what others leave of this computer
    barrier = threading.Barrier(THREADS)
    threads = [_Submitter(service, barrier) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    overlapping = 0
    with service.client() as client:
        while any(thread.is_alive() for thread in threads):
            running = client.jobs(state="RUNNING")
            overlapping = max(overlapping, len(running))
            time.sleep(0.25)
        assert [thread.error for thread in threads] == [None] * THREADS
        # A few more jobs get their turn.
        wait_until(lambda: len(client.jobs(state="COMPLETE")) >= 3, 30, "three jobs to end")
        jobs = client.jobs(limit=10_000)
    assert len(jobs) == THREADS * SUBMISSIONS
    place = {job.id: index for index, job in enumerate(reversed(jobs))}
    for thread in threads:
        assert [place[job_id] for job_id in thread.ids] == sorted(place[job_id] for job_id in thread.ids)
    assert overlapping <= 1, "two trainings on one device"
    begun = [job for job in reversed(jobs) if job.state is not JobState.QUEUED]
    assert [place[job.id] for job in begun] == list(range(len(begun))), "started in another order than queued"
    assert len(begun) >= 3
    _check_spans(service, [job.id for job in begun])
    seconds = sorted(value for thread in threads for value in thread.seconds)
    p95 = seconds[int(0.95 * len(seconds))]
    figure(
        record_property, "R8",
        f"{len(seconds)} submissions by {THREADS} threads: median {statistics.median(seconds) * 1000:.1f} ms, "
        f"p95 {p95 * 1000:.1f} ms, largest {seconds[-1] * 1000:.0f} ms; {len(begun)} trainings begun, in order, "
        f"never two at once; others kept the computer {load:.1f} times busy",
    )  # fmt: skip
    assert p95 <= P95_SECONDS * load


def _check_spans(service: ServiceProcess, ids: list[str]) -> None:
    """The workers themselves noted when they began and ended: no two at the same time."""
    ends = 0.0
    for job_id in ids:
        path = service.home.job(job_id) / "runs.txt"
        if not path.is_file():
            continue
        lines = path.read_text(encoding="utf-8").splitlines()
        assert float(lines[0].split()[1]) >= ends
        if len(lines) == 2:
            ends = float(lines[1].split()[1])
