"""Wakes those who wait for a job's events."""

from __future__ import annotations

import asyncio
from collections import defaultdict


class Hub:
    """Carries "this job changed" from the store's threads to coroutines that wait."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._waiting: defaultdict[str, set[asyncio.Event]] = defaultdict(set)
        self.closed = False

    def open(self) -> None:
        """Begin, in the event loop that the waiting coroutines run in."""
        self._loop = asyncio.get_running_loop()

    def close(self) -> None:
        """Let all who wait go; nobody waits any more."""
        self.closed = True
        for events in list(self._waiting.values()):
            for event in events:
                event.set()

    def notify(self, job_id: str) -> None:
        """Tell from any thread that a job changed."""
        # Who begins to listen just now asks the store afterwards, and finds the change there.
        if job_id in self._waiting and self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._wake, job_id)

    def _wake(self, job_id: str) -> None:
        for event in self._waiting.get(job_id, ()):
            event.set()

    def listen(self, job_id: str) -> Listener:
        """Return a context in which changes of a job are noticed."""
        return Listener(self, job_id)


class Listener:
    """Notices changes of one job between entering and leaving."""

    def __init__(self, hub: Hub, job_id: str) -> None:
        self._hub, self._job_id, self._event = hub, job_id, asyncio.Event()

    def __enter__(self) -> Listener:
        self._hub._waiting[self._job_id].add(self._event)
        return self

    def __exit__(self, *error: object) -> None:
        waiting = self._hub._waiting[self._job_id]
        waiting.discard(self._event)
        if not waiting:
            del self._hub._waiting[self._job_id]

    async def wait(self, seconds: float) -> None:
        """Wait for the next change since the last call, at most so long."""
        if self._hub.closed:
            return
        try:
            await asyncio.wait_for(self._event.wait(), seconds)
        except TimeoutError:
            return
        self._event.clear()
