"""The worker: one process, one job. ``python -m dl4fiji.jobs.worker JOBFOLDER --attempt N [--lock FD]``.

It outlives the service, holds the lock of its job's folder as long as it lives, and leaves ``result.json``.
"""

from __future__ import annotations

import argparse
import faulthandler
import os
import sys
import traceback
from pathlib import Path
from typing import Any

import psutil
from pydantic import TypeAdapter

from dl4fiji.errors import Canceled, DL4FijiError
from dl4fiji.files import read_json, write_json
from dl4fiji.home import Home
from dl4fiji.jobs import lock
from dl4fiji.jobs.failures import EXIT_LOCKED, EXIT_UNWRITABLE, sentence
from dl4fiji.jobs.files import JobFiles
from dl4fiji.jobs.job import JobState, Request
from dl4fiji.jobs.reporting import StampedStream, WorkerProgress, stamp_output
from dl4fiji.jobs.schema import finite


def main(arguments: list[str] | None = None) -> int:
    """Run the job of a folder to its end; return the exit code."""
    parser = argparse.ArgumentParser(description="Run one job of DL4Fiji.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--attempt", type=int, required=True)
    parser.add_argument("--lock", type=int, help="descriptor of the folder's lock, taken by the parent")
    given = parser.parse_args(arguments)
    files = JobFiles(given.folder.absolute())
    descriptor = given.lock if given.lock is not None else lock.take(files.lock)
    if descriptor is None:
        return EXIT_LOCKED
    os.set_inheritable(descriptor, False)  # what this worker starts must not keep its lock
    out, err = stamp_output()
    faulthandler.enable(2)
    try:
        return _work(files, given.attempt)
    except OSError:
        traceback.print_exc()
        return EXIT_UNWRITABLE
    finally:
        for stream in (out, err):
            if isinstance(stream, StampedStream):
                stream.close_line()


def _work(files: JobFiles, attempt: int) -> int:
    """Do the job and write down how it ended."""
    write_json(files.worker, {"attempt": attempt, "pid": os.getpid(), "created": psutil.Process().create_time()})
    print(f"Attempt {attempt} begins, process {os.getpid()}.")

    def stop_early() -> None:
        print("Canceled before the first batch.")
        _conclude(files, attempt, JobState.CANCELED)
        os._exit(0)  # from a thread, while the main one may be loading a library for seconds

    progress = WorkerProgress(files, stop_early)
    state, error, result = _run(files, progress)
    print(f"Attempt {attempt} ends: {state}. {error}".rstrip())
    _conclude(files, attempt, state, error, result)
    return 0


def _run(files: JobFiles, progress: WorkerProgress) -> tuple[JobState, str, dict[str, Any]]:
    """Return state, the user's sentence and the result of the job in ``files``."""
    from dl4fiji.jobs import tasks

    try:
        request = TypeAdapter(Request).validate_python(read_json(files.request))
        result = tasks.run(request, Home(files.folder.parent.parent), files.folder, progress)
    except Canceled:
        return JobState.CANCELED, "", {}
    except DL4FijiError as error:
        traceback.print_exc()
        for problem in error.problems:
            print(f"- {problem}")
        return JobState.FAILED, sentence(error, files.log), {}
    except Exception as error:  # noqa: BLE001 – whatever a network's code raises becomes a sentence
        traceback.print_exc()
        return JobState.FAILED, sentence(error, files.log), {}
    return JobState.COMPLETE, "", result


def _conclude(
    files: JobFiles, attempt: int, state: JobState, error: str = "", result: dict[str, Any] | None = None
) -> None:
    write_json(files.result, {"attempt": attempt, "state": state, "error": error, "result": finite(result or {})})


if __name__ == "__main__":
    sys.exit(main())
