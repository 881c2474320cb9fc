"""Put a finished folder in the place of another one, so that at no moment there is none or half of one."""

from __future__ import annotations

import ctypes
import os
import shutil
import sys
from pathlib import Path

_AT_FDCWD = -100
_EXCHANGE = 2


def _exchange(first: Path, second: Path) -> bool:
    """Swap two folders in one step; False where the system cannot."""
    a, b = os.fsencode(first), os.fsencode(second)
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        if sys.platform == "linux":
            return libc.renameat2(_AT_FDCWD, a, _AT_FDCWD, b, _EXCHANGE) == 0
        if sys.platform == "darwin":
            return libc.renamex_np(a, b, _EXCHANGE) == 0
    except (AttributeError, OSError, TypeError):  # an older C library, or Windows
        return False
    return False


def replace_folder(new: Path, folder: Path) -> None:
    """Make ``new`` (beside ``folder``) the content of ``folder``; what was there is deleted afterwards.

    Its files become readable by all, since packages are made to be passed on.
    """
    for file in new.rglob("*"):
        if file.is_file():
            with file.open("rb") as stream:
                os.fsync(stream.fileno())
        file.chmod(0o755 if file.is_dir() else 0o644)
    new.chmod(0o755)
    if not folder.exists():
        new.rename(folder)
        return
    if _exchange(new, folder):
        shutil.rmtree(new, ignore_errors=True)
        return
    aside = folder.with_name(f".{folder.name}.previous")
    shutil.rmtree(aside, ignore_errors=True)
    folder.rename(aside)
    new.rename(folder)
    shutil.rmtree(aside, ignore_errors=True)


def restore_folder(folder: Path) -> None:
    """Put back what `replace_folder` had set aside when it was killed between its two steps."""
    aside = folder.with_name(f".{folder.name}.previous")
    if aside.is_dir() and not folder.exists():
        aside.rename(folder)
