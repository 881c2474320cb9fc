"""What went wrong in a worker, as one sentence for the user; tracebacks stay in the log."""

from __future__ import annotations

import errno
import shutil
import signal
import sqlite3
from pathlib import Path

from dl4fiji.errors import DL4FijiError

EXIT_LOCKED = 75
"""Exit code of a worker that found another one at work on its job."""
EXIT_UNWRITABLE = 74
"""Exit code of a worker that could not write down how it ended: the disk is full or gone."""

_MEMORY_MARKS = ("RESOURCE_EXHAUSTED", "out of memory", "OOM when allocating", "Unable to allocate")
_MEMORY = (
    "The memory did not suffice: choose a smaller batch size or patch size (for predictions a smaller tile), "
    "or close other programs, then resume the job."
)


def sentence(error: BaseException, log: Path) -> str:
    """Return the sentence that tells ``error`` to the user.

    Parameters
    ----------
    error
        What ended the work.
    log
        The job's log, which holds the traceback.
    """
    if isinstance(error, DL4FijiError):
        return error.message
    if _is_memory(error):
        return _MEMORY
    if _is_disk_full(error):
        return disk_full(log.parent)
    if isinstance(error, PermissionError) and error.filename:
        return f"{error.filename} may not be read or written by this user: change its permissions or choose another."
    summary = " ".join(str(error).split())
    if len(summary) > 200:
        summary = f"{summary[:200]}…"
    told = f"{type(error).__name__}: {summary}" if summary else type(error).__name__
    return f"The job failed unexpectedly ({told}): see its log, {log}."


def disk_full(folder: Path) -> str:
    """Say that the disk of ``folder`` is full, and how much of it is free."""
    free = shutil.disk_usage(folder).free / 2**20
    return f"The disk of {folder} is full ({free:.0f} MiB free): free some space, then resume the job."


def crash(exit_code: int | None) -> str:
    """Say that a worker vanished."""
    advice = "the log shows its last lines, and the job can be resumed"
    if exit_code is None:
        return f"The worker of this job is gone (the computer or the worker was stopped): {advice}."
    if exit_code >= 0:
        return f"The worker of this job ended with exit code {exit_code} and without a result: {advice}."
    try:
        name = signal.Signals(-exit_code).name
    except ValueError:
        name = f"signal {-exit_code}"
    if name == "SIGKILL":
        advice = f"often the system does so when memory runs out; {advice}"
    return f"The worker of this job was killed by {name} (exit code {exit_code}): {advice}."


def _is_memory(error: BaseException) -> bool:
    if isinstance(error, MemoryError) or type(error).__name__ == "ResourceExhaustedError":
        return True
    text = str(error)
    return isinstance(error, RuntimeError) and any(mark in text for mark in _MEMORY_MARKS)


def _is_disk_full(error: BaseException) -> bool:
    full = (errno.ENOSPC, errno.EDQUOT)
    if isinstance(error, OSError) and error.errno in full:
        return True
    if isinstance(error, sqlite3.OperationalError) and "full" in str(error):
        return True
    # Libraries wrap the system's error in one of their own.
    return "No space left on device" in str(error)
