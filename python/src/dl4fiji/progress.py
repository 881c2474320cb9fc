"""How long-running work tells what it does and learns that it shall stop."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from typing import Any, Protocol, TypeVar

from dl4fiji.errors import Canceled, DL4FijiError

T = TypeVar("T")


class Progress(Protocol):
    """What training, prediction and export report to."""

    def phase(self, text: str) -> None:
        """Say what begins now, e.g. ``"Reading 24 pairs"``."""
        ...

    def update(self, done: int, total: int, **values: Any) -> None:
        """Say that ``done`` of ``total`` steps of the whole job are done.

        ``values`` may hold ``epoch``, ``epochs``, ``loss``, ``seconds_left`` (estimate), ``steps_per_second``;
        ``unit`` is ``bytes`` while a file is fetched, before the first batch.
        """
        ...

    def epoch(self, row: dict[str, float]) -> None:
        """Report a finished epoch: a row of ``history.csv``."""
        ...

    def warning(self, text: str) -> None:
        """Tell the user something to think about, in one sentence."""
        ...

    def canceled(self) -> bool:
        """Tell whether the user asked to stop; cheap enough to be asked after every batch."""
        ...


class SilentProgress:
    """A Progress that keeps only the warnings; for library use and tests."""

    def __init__(self) -> None:
        self.warnings: list[str] = []
        self.rows: list[dict[str, float]] = []

    def phase(self, text: str) -> None:
        """Say nothing."""

    def update(self, done: int, total: int, **values: Any) -> None:
        """Say nothing."""

    def epoch(self, row: dict[str, float]) -> None:
        """Keep the row."""
        self.rows.append(row)

    def warning(self, text: str) -> None:
        """Keep the warning."""
        self.warnings.append(text)

    def canceled(self) -> bool:
        """Never stop."""
        return False


def try_or_warn(work: Callable[[], T], failure: str, progress: Progress) -> T | None:
    """Do what is not needed for the result itself; if it fails, warn of it, print the traceback and return None.

    Parameters
    ----------
    work
        What to do.
    failure
        How the warning begins, e.g. ``The report could not be written``.
    progress
        Told of the failure. A cancel is passed on.
    """
    try:
        return work()
    except Canceled:
        raise
    except Exception as error:  # noqa: BLE001 – from full disks to files that have gone meanwhile
        traceback.print_exc()
        reason = error.message if isinstance(error, DL4FijiError) else f"{type(error).__name__}: {error}"
        progress.warning(f"{failure} ({reason.rstrip('.')}); the model itself is whole.")
        return None


def stop_if_canceled(progress: Progress) -> None:
    """Raise Canceled if the user asked to stop."""
    if progress.canceled():
        raise Canceled
