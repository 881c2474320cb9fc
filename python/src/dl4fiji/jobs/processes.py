"""Worker processes: started so that they outlive the service, watched, killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from typing import Any

from dl4fiji.jobs import lock
from dl4fiji.jobs.files import JobFiles


@dataclass
class WorkerProcess:
    """A worker that runs, started by this service or found alive after a restart of the service.

    Parameters
    ----------
    files
        The job's folder.
    attempt
        Which attempt at the job it makes.
    process
        The child process; None for a worker that an earlier service started.
    """

    files: JobFiles
    attempt: int
    process: subprocess.Popen[Any] | None = None
    exit_code: int | None = field(default=None, init=False)

    @property
    def pid(self) -> int | None:
        """Its process id, once known."""
        return self.process.pid if self.process else self.files.worker_pid(self.attempt)

    def ended(self) -> bool:
        """Tell whether the worker is gone; its exit code is then known if it was started by this service."""
        if self.process is None:
            return not lock.held(self.files.lock)
        self.exit_code = self.process.poll()
        return self.exit_code is not None

    def kill(self) -> None:
        """Kill the worker and all that it started."""
        pid = self.pid
        if pid is None or self.ended():
            return
        if sys.platform == "win32":
            os.kill(pid, signal.SIGTERM)
            return
        try:
            os.killpg(pid, signal.SIGKILL)
        except ProcessLookupError:
            return

    def sweep(self) -> None:
        """Kill what a worker that is gone may have left behind (Java engines, for example)."""
        if self.process is None or sys.platform == "win32":
            return
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            return


def start_worker(files: JobFiles, attempt: int, environment: dict[str, str]) -> WorkerProcess | None:
    """Start the worker of a prepared job folder, or return None if a worker of this job is alive.

    On POSIX systems the lock of the folder is taken here and handed to the child, so that at no moment a second
    worker could start, not even if the service is killed in between.
    """
    descriptor = lock.take(files.lock)
    if descriptor is None:
        return None
    command = [sys.executable, "-m", "dl4fiji.jobs.worker", str(files.folder), "--attempt", str(attempt)]
    options: dict[str, Any] = {}
    if lock.INHERITABLE:
        command += ["--lock", str(descriptor)]
        options = {"pass_fds": (descriptor,), "start_new_session": True}
    else:
        options = {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW}  # type: ignore[attr-defined]
        os.close(descriptor)
    try:
        with files.log.open("ab") as log:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=files.folder,
                env={**os.environ, **environment},
                **options,
            )
    finally:
        if lock.INHERITABLE:
            os.close(descriptor)
    return WorkerProcess(files, attempt, process)
