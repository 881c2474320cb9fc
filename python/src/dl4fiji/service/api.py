"""The routes under ``/api/v1``."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query
from fastapi.responses import PlainTextResponse, Response, StreamingResponse
from starlette.concurrency import run_in_threadpool

from dl4fiji import __version__
from dl4fiji.jobs.files import JobFiles
from dl4fiji.jobs.job import Job, JobState, Request, TrainRequest
from dl4fiji.service import catalog, reports, submission
from dl4fiji.service.context import Context, Service
from dl4fiji.service.credentials import CODE_SECONDS
from dl4fiji.service.events import read_events, stream_events
from dl4fiji.service.messages import (
    CheckReport,
    EventEntry,
    Folder,
    Health,
    InstallRequest,
    LoginCode,
    NetworkEntry,
    PatchPreview,
    Problem,
    ReportFiles,
    Stopping,
)
from dl4fiji.settings import Settings

_ERRORS: dict[int | str, dict[str, Any]] = {
    "4XX": {"model": Problem, "description": "One sentence says what to mend."},
    "5XX": {"model": Problem, "description": "One sentence says what went wrong."},
}
_LOG_BYTES = 1024 * 1024

router = APIRouter(prefix="/api/v1", responses=_ERRORS)


@router.get("/health", summary="Tell that the service runs; needs no token", tags=["service"])
async def health() -> Health:
    """Answer at once."""
    return Health(version=__version__, pid=os.getpid())


@router.get("/networks", summary="List the networks with the schemas of their options", tags=["networks"])
def networks() -> list[NetworkEntry]:
    """Return them in the order of menus."""
    return [NetworkEntry(**entry) for entry in catalog.list_networks()]


@router.post("/check", summary="Say what a training would do and what speaks against it", tags=["jobs"])
def check(request: TrainRequest, service: Service) -> CheckReport:
    """Look at name, options and the headers of the images; nothing is changed. The name may be empty."""
    return CheckReport(**submission.check(request, service.home, service.store))


@router.post("/preview", summary="Show the first patches of a training before it starts", tags=["jobs"])
def preview(request: TrainRequest, service: Service) -> PatchPreview:
    """Draw nine patches with their targets as the training would; the name may be empty, nothing is changed."""
    submission.check_places(request)
    return PatchPreview(**service.previews.make(request))


@router.get(
    "/previews/{name}", summary="Return the picture of a preview", tags=["jobs"],
    responses={200: {"content": {"image/png": {}}, "description": "Nine patches and their targets."}},
    response_class=Response,
)  # fmt: skip
def preview_picture(name: str, service: Service) -> Response:
    """Return it as PNG; the last few previews are kept."""
    return Response(service.previews.picture(name), media_type="image/png")


@router.post("/jobs", summary="Queue a training, prediction or export", status_code=201, tags=["jobs"])
async def submit(request: Request, service: Service) -> Job:
    """Check the request and keep it as a job, which starts when a device is free."""
    job = await service.intake.submit(request)
    service.scheduler.wake()
    return job


@router.get("/jobs", summary="List jobs, newest first", tags=["jobs"])
def jobs(
    service: Service,
    state: Annotated[list[JobState] | None, Query(description="Only jobs in these states.")] = None,
    limit: Annotated[int, Query(ge=1, le=10_000)] = 200,
    skip: Annotated[int, Query(ge=0, le=1_000_000_000, description="So many newer jobs are left out.")] = 0,
) -> list[Job]:
    """Return the newest jobs."""
    return service.store.jobs(state or (), limit, skip)


@router.get("/jobs/{job_id}", summary="Show a job", tags=["jobs"])
def job(job_id: str, service: Service) -> Job:
    """Return the job as it stands."""
    return _known(service, job_id)


@router.get(
    "/jobs/{job_id}/events",
    summary="Follow a job's events",
    tags=["jobs"],
    response_model=list[EventEntry],
    responses={200: {"content": {"text/event-stream": {}}, "description": "Server-sent events, or a list."}},
)
async def events(
    job_id: str,
    service: Service,
    after: Annotated[int, Query(ge=0, description="Number of the last event that is known.")] = 0,
    wait: Annotated[
        float | None,
        Query(ge=0, le=60, description="Return a JSON list instead, after at most so many seconds of waiting."),
    ] = None,
    last_event_id: Annotated[int | None, Header(ge=0)] = None,
) -> Any:
    """Send events as they happen, until the job has ended; a reconnect goes on after ``Last-Event-ID``."""
    await run_in_threadpool(_known, service, job_id)
    after = max(after, last_event_id or 0)
    if wait is not None:
        return await read_events(service.store, service.hub, job_id, after, wait)
    stream: AsyncIterator[str] = stream_events(service.store, service.hub, job_id, after)
    return StreamingResponse(stream, media_type="text/event-stream")


@router.get("/jobs/{job_id}/history", summary="Return the columns of a training's history", tags=["jobs"])
def history(
    job_id: str,
    service: Service,
    points: Annotated[int, Query(ge=0, description="At most so many epochs, evenly chosen; 0: all.")] = 0,
) -> dict[str, list[Any]]:
    """Return epoch, loss, val_loss and whatever else the network tells, one value per epoch."""
    _known(service, job_id)
    columns = service.store.history(job_id)
    count = len(next(iter(columns.values())))
    if not points or count <= points:
        return columns
    chosen = sorted({round(index * (count - 1) / max(1, points - 1)) for index in range(points)})
    return {name: [values[index] for index in chosen] for name, values in columns.items()}


@router.get("/jobs/{job_id}/log", summary="Return a job's log", tags=["jobs"], response_class=PlainTextResponse)
def log(
    job_id: str,
    service: Service,
    after: Annotated[int, Query(ge=0, description="Begin at this byte; X-Next says where to go on.")] = 0,
) -> PlainTextResponse:
    """Return up to 1 MiB of the log: from byte ``after`` on, or its end if ``after`` is 0 and it is longer."""
    _known(service, job_id)
    path = JobFiles(service.home.job(job_id)).log
    content = b""
    if path.is_file():
        with path.open("rb") as stream:
            size = stream.seek(0, os.SEEK_END)
            stream.seek(after or max(0, size - _LOG_BYTES))
            content = stream.read(_LOG_BYTES)
            after = stream.tell()
    return PlainTextResponse(content.decode("utf-8", "replace"), headers={"X-Next": str(after)})


@router.post("/jobs/{job_id}/cancel", summary="Stop a job; its best weights are kept", tags=["jobs"])
def cancel(job_id: str, service: Service) -> Job:
    """Cancel it if it waits; a running one ends with its batch, or is killed after 10 s."""
    _known(service, job_id)
    return service.scheduler.cancel(job_id)


@router.post("/jobs/{job_id}/resume", summary="Go on with a canceled, failed or crashed job", tags=["jobs"])
def resume(job_id: str, service: Service) -> Job:
    """Queue it again; a training goes on from its newest checkpoint."""
    _known(service, job_id)
    resumed = service.store.resume(job_id)
    service.scheduler.wake()
    return resumed


@router.get("/models", summary="List the trained models, newest first", tags=["models"])
def models(service: Service) -> list[dict[str, Any]]:
    """Return their descriptions; a damaged one with its ``error``."""
    return catalog.list_models(service.home)


@router.get("/models/{name}", summary="Show a model", tags=["models"])
def model(name: str, service: Service) -> dict[str, Any]:
    """Return its description, quality, package and engine certificate."""
    return catalog.show_model(service.home, name)


@router.post("/models/{name}/install", summary="Put a model where DeepImageJ finds it", tags=["models"])
def install(name: str, request: InstallRequest, service: Service) -> Folder:
    """Copy the model's package into the models of a Fiji."""
    return Folder(folder=str(catalog.install_model(service.home, name, request.fiji)))


@router.post("/models/{name}/report", summary="Make a model's report again", tags=["models"])
def report(name: str, service: Service) -> ReportFiles:
    """Write it as HTML page and as PDF into the model's folder; `GET /models/{name}/report` shows it."""
    html, pdf = reports.make(service.home, name)
    return ReportFiles(html=str(html), pdf=str(pdf))


@router.post("/inbox", summary="Make a folder for images that are handed over", status_code=201, tags=["jobs"])
def inbox(service: Service) -> Folder:
    """Return a fresh, private folder: write images there, then name them in a request."""
    folder = service.home.inbox / f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(4)}"
    folder.mkdir(mode=0o700)
    return Folder(folder=str(folder))


@router.get("/settings", summary="Show the settings", tags=["service"])
def settings(service: Service) -> Settings:
    """Return the settings that are kept."""
    return Settings.read(service.home)


@router.put("/settings", summary="Change the settings", tags=["service"])
def change_settings(given: Settings, service: Service) -> Settings:
    """Keep the settings; they are used from the next start on."""
    given.write(service.home)
    return given


@router.post("/login-codes", summary="Make an address that signs a browser in, once", status_code=201, tags=["service"])
def login_code(service: Service) -> LoginCode:
    """Return an address with a code that is good for a minute and one use."""
    return LoginCode(url=f"{service.url}/login?code={service.credentials.issue_code()}", seconds=CODE_SECONDS)


@router.post("/service/stop", summary="Stop the service; running jobs go on", tags=["service"])
def stop(service: Service) -> Stopping:
    """End after this answer."""
    service.stop()
    return Stopping(running=[running.id for running in service.store.running()])


def _known(service: Context, job_id: str) -> Job:
    """Return a job; the id is checked before it is used for anything."""
    service.home.job(job_id)
    return service.store.get(job_id)
