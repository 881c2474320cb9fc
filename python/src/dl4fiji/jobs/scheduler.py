"""The scheduler: starts workers, takes over what they tell, stops them, and finds them again after a restart."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from dl4fiji.home import Home
from dl4fiji.jobs.devices import CPU, Device, find_devices
from dl4fiji.jobs.failures import EXIT_LOCKED, EXIT_UNWRITABLE, crash, disk_full, sentence
from dl4fiji.jobs.files import JobFiles
from dl4fiji.jobs.job import Job, JobState
from dl4fiji.jobs.processes import WorkerProcess, start_worker
from dl4fiji.jobs.store import JobStore, Running

_log = logging.getLogger(__name__)

POLL_SECONDS = 0.1
"""How often running workers are looked at."""
IDLE_SECONDS = 5.0
"""How often the queue is looked at when nobody has told of a change."""
KILL_SECONDS = 10.0
"""How long after a cancel a worker that has not stopped is killed."""
_RETRY_SECONDS = 1.0
_BREATH_SECONDS = 0.01
"""After a wake-up: what else comes at this moment is looked at together."""


class Scheduler:
    """Runs queued jobs: one training per device, and predictions and exports one after another beside them.

    Parameters
    ----------
    home
        Where the jobs' folders are.
    store
        The jobs.
    find
        Returns the devices; asked once, in the scheduler's thread.
    """

    def __init__(self, home: Home, store: JobStore, find: Callable[[], Sequence[Device]] = find_devices) -> None:
        self._home = home
        self._store = store
        self._find = find
        self.devices: Sequence[Device] = ()
        """Known once the scheduler has started."""
        self._workers: dict[str, WorkerProcess] = {}
        self._wake = threading.Event()
        self._stopping = False
        self._thread = threading.Thread(target=self._loop, name="scheduler", daemon=True)

    def start(self) -> None:
        """Take up again what runs, then keep the queue going, in a thread of its own."""
        self._thread.start()

    def stop(self) -> None:
        """Stop scheduling; workers go on and are taken up again by the next service."""
        self._stopping = True
        self._wake.set()
        self._thread.join(timeout=10)

    def wake(self) -> None:
        """Look at the queue now."""
        self._wake.set()

    def cancel(self, job_id: str) -> Job:
        """Cancel a job: a queued one at once, a running one at the end of its batch, by force after 10 s."""
        job = self._store.request_cancel(job_id)
        if job.state is JobState.RUNNING:
            with contextlib.suppress(FileNotFoundError):  # its folder is being made; the loop sees to it
                self._files(job_id).cancel.touch()
        self.wake()
        return job

    # ---------------------------------------------------------------- the loop

    def _loop(self) -> None:
        """Keep going, whatever fails: a full disk today must not need a restart tomorrow."""
        ready = False
        while not self._stopping:
            pause = IDLE_SECONDS
            try:
                if not ready:
                    self._recover()
                    self.devices = tuple(self._find())
                    _log.info("training on %s", ", ".join(f"{device.name} ({device.title})" for device in self.devices))
                    ready = True
                self._wake.clear()
                for running in self._store.running():
                    if running.id in self._workers:
                        self._look_at(running, self._workers[running.id])
                self._start_queued()
                pause = POLL_SECONDS if self._workers else IDLE_SECONDS
            except Exception:  # noqa: BLE001 – logged; the next round may do better
                _log.exception("the scheduler failed, and will try again")
                time.sleep(_RETRY_SECONDS)
            if self._wake.wait(pause):
                time.sleep(_BREATH_SECONDS)

    def _recover(self) -> None:
        """Find the workers of jobs that were running when the last service ended."""
        for running in self._store.running():
            if running.id not in self._workers:
                self._workers[running.id] = WorkerProcess(self._files(running.id), running.attempts)
                _log.info("job %s was running: looking after it again", running.id)

    def _start_queued(self) -> None:
        """Give each free device a training, and the other lane its next job."""
        running = self._store.running()
        busy = {job.device for job in running if job.lane == "training"}
        for device in self.devices:
            if device.name not in busy and self._start_next("training", device):
                busy.add(device.name)
        if not any(job.lane == "other" for job in running):
            free = (device for device in self.devices if device.is_gpu and device.name not in busy)
            self._start_next("other", next(free, CPU))

    def _start_next(self, lane: str, device: Device) -> bool:
        """Start the worker of the oldest queued job of a lane; False if none waits."""
        job = self._store.take_next(lane, device.name)
        if job is None:
            return False
        files = self._files(job.id)
        try:
            files.prepare(job.request)
            worker = start_worker(files, job.attempts, {**device.environment(), "DL4FIJI_HOME": str(self._home.root)})
        except OSError as error:
            _log.exception("job %s could not be started", job.id)
            self._store.conclude(job.id, JobState.FAILED, error=sentence(error, files.log))
            return True
        if worker is None:
            _log.warning("job %s has a worker already: looking after that one", job.id)
            self._workers[job.id] = WorkerProcess(files, job.attempts)
            return True
        self._workers[job.id] = worker
        if worker.pid is not None:
            self._store.worker_started(job.id, worker.pid)
        _log.info("job %s: worker %s started on %s", job.id, worker.pid, device.name)
        return True

    # ---------------------------------------------------------------- one worker

    def _look_at(self, running: Running, worker: WorkerProcess) -> None:
        """Take over the worker's events; conclude its job if it is gone, kill it if it does not stop."""
        ended = worker.ended()  # asked first: what it wrote before its end is then all there
        self._take_over_events(running, worker)
        if not ended:
            self._see_to_cancel(running, worker)
        elif worker.exit_code == EXIT_LOCKED:
            self._workers[running.id] = WorkerProcess(worker.files, worker.attempt)
        else:
            worker.sweep()
            self._conclude(running.id, worker)
            del self._workers[running.id]

    def _take_over_events(self, running: Running, worker: WorkerProcess) -> None:
        offset = running.offset
        while True:
            events, reached = worker.files.new_events(offset)
            if reached == offset:
                return
            self._store.record(running.id, events, reached)
            offset = reached

    def _see_to_cancel(self, running: Running, worker: WorkerProcess) -> None:
        if running.cancel_requested is None:
            return
        worker.files.cancel.touch()  # again: the service may have died between noting the cancel and telling it
        if time.time() - running.cancel_requested > KILL_SECONDS:
            _log.warning("job %s has not stopped within %.0f s: killing its worker", running.id, KILL_SECONDS)
            worker.kill()

    def _conclude(self, job_id: str, worker: WorkerProcess) -> None:
        """Write down how a job ended whose worker is gone."""
        files, exit_code = worker.files, worker.exit_code
        outcome = files.outcome(worker.attempt)
        if outcome is not None:
            state = JobState(outcome["state"])
            tail = files.log_tail() if state is JobState.FAILED else []
            self._store.conclude(
                job_id,
                state,
                error=outcome["error"],
                exit_code=exit_code or 0,
                log_tail=tail,
                result=outcome["result"],
            )
            return
        if files.cancel.exists():
            self._store.conclude(job_id, JobState.CANCELED, exit_code=exit_code)
        elif worker.process is None and not files.began(worker.attempt):
            self._store.requeue(job_id)
            _log.info("job %s had not begun: it is queued again", job_id)
        elif exit_code == EXIT_UNWRITABLE:
            self._end_badly(job_id, JobState.FAILED, disk_full(files.folder), worker)
        else:
            self._end_badly(job_id, JobState.CRASHED, crash(exit_code), worker)

    def _end_badly(self, job_id: str, state: JobState, error: str, worker: WorkerProcess) -> None:
        details: dict[str, Any] = {"exit_code": worker.exit_code, "log_tail": worker.files.log_tail()}
        self._store.conclude(job_id, state, error=error, **details)

    def _files(self, job_id: str) -> JobFiles:
        return JobFiles(self._home.job(job_id))
