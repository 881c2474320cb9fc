"""What the page of a job is told, when the job changes while the page is made."""

from __future__ import annotations

import re
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, cast

import pytest

from dl4fiji.home import Home
from dl4fiji.jobs.job import Job, SelfTestRequest
from dl4fiji.jobs.store import JobStore
from dl4fiji.service.pages import job as job_page


class BusyStore(JobStore):
    """A store whose only job begins right after the first thing that a page asks about it."""

    watched = False

    def get(self, job_id: str) -> Job:
        answer = super().get(job_id)
        self._begin()
        return answer

    def last_event(self, job_id: str) -> int:
        answer = super().last_event(job_id)
        self._begin()
        return answer

    def _begin(self) -> None:
        if self.watched:
            self.watched = False
            assert self.take_next("other", "cpu") is not None


@pytest.fixture
def store(home: Home) -> Iterator[BusyStore]:
    opened = BusyStore(home.database)
    yield opened
    opened.close()


def test_a_start_while_the_page_is_made_is_not_missed(home: Home, store: BusyStore) -> None:
    queued = store.submit(SelfTestRequest(), "test")
    store.watched = True
    page = job_page(queued.id, cast("Any", SimpleNamespace(home=home, store=store)))
    shown = re.search(r'data-after="(\d+)" data-state="(\w+)"', page)
    assert shown is not None
    after, state = int(shown[1]), shown[2]
    told = [event.data["state"] for event in store.events(queued.id, after) if event.type == "state"]
    assert [state, *told][-1] == "RUNNING", "what the page shows and what it is told afterwards end alike"
