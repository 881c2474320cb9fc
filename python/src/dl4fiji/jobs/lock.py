"""File locks that the operating system drops when their process dies, however it dies."""

from __future__ import annotations

import os
import sys
from pathlib import Path

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

INHERITABLE = sys.platform != "win32"
"""Whether a child process can be given a lock that its parent took (flock belongs to the open file)."""


def take(path: Path) -> int | None:
    """Lock ``path`` (made when missing) and return its file descriptor; None if another process holds it."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        if sys.platform == "win32":
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        else:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return None
    return descriptor


def held(path: Path) -> bool:
    """Tell whether a process holds the lock ``path``."""
    if not path.exists():
        return False
    descriptor = take(path)
    if descriptor is None:
        return True
    os.close(descriptor)
    return False
