"""What the routes work on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated

from fastapi import Depends, Request

from dl4fiji.home import Home
from dl4fiji.jobs.scheduler import Scheduler
from dl4fiji.jobs.store import JobStore
from dl4fiji.service.credentials import Credentials
from dl4fiji.service.hub import Hub
from dl4fiji.service.previews import Previews
from dl4fiji.service.submission import Intake


@dataclass(frozen=True)
class Context:
    """The parts of a running service.

    Parameters
    ----------
    port
        Where it listens.
    stop
        Ends the service after the present answer.
    """

    home: Home
    store: JobStore
    scheduler: Scheduler
    hub: Hub
    intake: Intake
    credentials: Credentials
    port: int
    stop: Callable[[], None]
    previews: Previews = field(default_factory=Previews)

    @property
    def url(self) -> str:
        """The service's own address."""
        return f"http://127.0.0.1:{self.port}"


async def _context(request: Request) -> Context:  # a plain function would go through a thread each time
    return request.app.state.context


Service = Annotated[Context, Depends(_context)]
"""Annotation of a route's parameter that is given the service's parts."""
