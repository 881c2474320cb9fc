"""Batches made ahead of the training by one thread."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Generic, TypeVar

Item = TypeVar("Item")
_POLL_SECONDS = 0.1


class Prefetcher(Generic[Item]):
    """Calls ``make(step)`` for steps 0, 1, … in a thread, a few ahead of their use, and yields them in order.

    One thread alone makes the items, so that their order and the state of ``make`` are the same in each run.
    An error in ``make`` is raised where the item would have been yielded.

    Parameters
    ----------
    make
        Returns the item of a step.
    steps
        How many items there are.
    ahead
        How many items wait at most; bounds the memory.
    """

    def __init__(self, make: Callable[[int], Item], steps: int, ahead: int = 4) -> None:
        self._make = make
        self._steps = steps
        self._queue: queue.Queue[tuple[Item | None, BaseException | None]] = queue.Queue(ahead)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="dl4fiji-batches", daemon=True)

    def __enter__(self) -> Prefetcher[Item]:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    def __iter__(self) -> Iterator[Item]:
        for _ in range(self._steps):
            item, error = self._queue.get()
            if error is not None:
                raise error
            yield item  # type: ignore[misc]

    def _run(self) -> None:
        """Make all items, until told to stop or one fails."""
        for step in range(self._steps):
            try:
                entry = (self._make(step), None)
            except BaseException as error:  # noqa: BLE001 handed to the thread that trains, which raises it
                entry = (None, error)
            if not self._offer(entry) or entry[1] is not None:
                return

    def _offer(self, entry: tuple[Item | None, BaseException | None]) -> bool:
        """Put ``entry`` into the queue when there is room; False if told to stop meanwhile."""
        while not self._stop.is_set():
            try:
                self._queue.put(entry, timeout=_POLL_SECONDS)
                return True
            except queue.Full:
                continue
        return False
