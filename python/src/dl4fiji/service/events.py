"""A job's events for those who follow it: server-sent events, or a list for those who poll."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator

from starlette.concurrency import run_in_threadpool

from dl4fiji.jobs.job import JobState
from dl4fiji.jobs.store import Event, JobStore
from dl4fiji.service.hub import Hub
from dl4fiji.service.messages import EventEntry

_KEEP_ALIVE_SECONDS = 15.0
_BATCH = 1000


async def stream_events(store: JobStore, hub: Hub, job_id: str, after: int) -> AsyncIterator[str]:
    """Yield the events after number ``after``, each when it happens, until the job has ended or the service stops."""
    yield "retry: 1000\n\n"
    with hub.listen(job_id) as changes:
        while not hub.closed:
            # The state is asked for before the events: all events of an end are there once the state says so.
            ended = await run_in_threadpool(lambda: store.get(job_id).state.ended)
            found = await run_in_threadpool(store.events, job_id, after, _BATCH)
            if found:
                after = found[-1].number
                yield "".join(_as_text(event) for event in found)
            elif ended:
                return
            else:
                before = time.monotonic()
                await changes.wait(_KEEP_ALIVE_SECONDS)
                if time.monotonic() - before >= _KEEP_ALIVE_SECONDS:
                    yield ": still here\n\n"


async def read_events(store: JobStore, hub: Hub, job_id: str, after: int, wait: float) -> list[EventEntry]:
    """Return the events after number ``after``; if there are none, wait for the first, at most ``wait`` seconds."""
    deadline = time.monotonic() + wait
    with hub.listen(job_id) as changes:
        while True:
            found = await run_in_threadpool(store.events, job_id, after, _BATCH)
            left = deadline - time.monotonic()
            ended = not found and left > 0 and await run_in_threadpool(_has_ended, store, job_id)
            if found or ended or left <= 0 or hub.closed:
                return [EventEntry(**event.as_dict()) for event in found]
            await changes.wait(left)


def _has_ended(store: JobStore, job_id: str) -> bool:
    state: JobState = store.get(job_id).state
    return state.ended


def _as_text(event: Event) -> str:
    return f"id: {event.number}\ndata: {json.dumps(event.as_dict(), ensure_ascii=False)}\n\n"
