"""The pages for browsers: the same data as the scripts see."""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import parse_qsl, quote

from fastapi import APIRouter, Query, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response

from dl4fiji.errors import DL4FijiError, NotFoundError, UnauthorizedError
from dl4fiji.jobs.job import DataRequest, TrainRequest
from dl4fiji.quality_control.titles import compared_kind, metric_text
from dl4fiji.service import catalog, reports
from dl4fiji.service.context import Service
from dl4fiji.service.credentials import SESSION_SECONDS
from dl4fiji.service.forms import Form, changed, option_fields
from dl4fiji.service.guard import cookie_name
from dl4fiji.service.rendering import STATIC, elapsed, render, static_file
from dl4fiji.service.submission import check_places

router = APIRouter(default_response_class=HTMLResponse)

_SHOWN_JOBS = 100


@router.get("/login")
def login(service: Service, code: Annotated[str, Query(max_length=200)] = "") -> Response:
    """Sign a browser in by its one-time code, and go to the jobs."""
    session = service.credentials.sign_in(code)
    if session is None:
        raise UnauthorizedError(
            "This address has been used or is too old: open the page again by `dl4fiji service open` or from Fiji."
        )
    response = RedirectResponse("/", 303)
    response.set_cookie(
        cookie_name(service.port), session, max_age=SESSION_SECONDS, httponly=True, samesite="strict", path="/"
    )
    return response


@router.get("/static/{name}")
def static(name: str) -> Response:
    """Return a style sheet, script or picture of the pages."""
    if name not in STATIC:
        raise NotFoundError("There is no such file.")
    return Response(static_file(name), media_type=STATIC[name])


@router.get("/")
def jobs(service: Service, skip: Annotated[int, Query(ge=0, le=1_000_000_000)] = 0) -> str:
    """Show the jobs, newest first, a hundred at a time."""
    shown = service.store.jobs(limit=_SHOWN_JOBS, skip=skip)
    return render(
        "jobs.html", page="jobs", jobs=shown, elapsed=elapsed, count=service.store.count(), skip=skip,
        limit=_SHOWN_JOBS,
    )  # fmt: skip


@router.get("/jobs/{job_id}")
def job(job_id: str, service: Service) -> str:
    """Show a job: progress, curves, result, log."""
    folder = service.home.job(job_id)
    after = service.store.last_event(job_id)  # asked first: an event between the two is told again, not missed
    shown = service.store.get(job_id)
    return render(
        "job.html", page="jobs", job=shown, elapsed=elapsed, folder=folder, after=after,
        quality=_quality(shown.result.get("quality")),
        engines=_engines(shown.result.get("certificate")),
    )  # fmt: skip


@router.post("/jobs/{job_id}/cancel")
def cancel(job_id: str, service: Service) -> Response:
    """Stop a job and show it."""
    service.home.job(job_id)
    service.scheduler.cancel(job_id)
    return RedirectResponse(f"/jobs/{job_id}", 303)


@router.post("/jobs/{job_id}/resume")
def resume(job_id: str, service: Service) -> Response:
    """Queue a job again and show it."""
    service.home.job(job_id)
    service.store.resume(job_id)
    service.scheduler.wake()
    return RedirectResponse(f"/jobs/{job_id}", 303)


@router.get("/models")
def models(service: Service) -> str:
    """Show the trained models."""
    shown = [{**model, "rows": _quality(model.get("quality"))} for model in catalog.list_models(service.home)]
    return render("models.html", page="models", models=shown)


@router.get("/models/{name}")
def model(name: str, service: Service) -> str:
    """Show a model: quality, engines, files, options."""
    shown = catalog.show_model(service.home, name)
    return render(
        "model.html", page="models", model=shown, quality=_quality(shown.get("quality")),
        engines=_engines(shown.get("certificate")), training=_training(shown.get("training", {})),
    )  # fmt: skip


@router.get("/models/{name}/report")
def report(name: str, service: Service) -> Response:
    """Show a model's report."""
    return reports.page(service.home, name)


@router.get("/models/{name}/report.pdf", response_class=Response)
def report_pdf(name: str, service: Service) -> Response:
    """Show a model's report as PDF."""
    return reports.document(service.home, name)


@router.post("/models/{name}/report")
def make_report(name: str, service: Service) -> Response:
    """Make a model's report again and show it."""
    reports.make(service.home, name)
    return RedirectResponse(f"/models/{quote(name)}/report", 303)


@router.get("/train")
def train(network: Annotated[str, Query(max_length=100)] = "") -> str:
    """Show the form of a training; its fields come from the network's options."""
    return _train_page(network, {})


@router.post("/train")
async def start_training(request: Request, service: Service) -> Response:
    """Queue the training that the form asks for, or show the form again with what is wrong."""
    body = (await request.body()).decode("utf-8", "replace")
    given = dict(parse_qsl(body, keep_blank_values=True))
    network = given.get("network", "")
    try:
        form = Form.read(given)
        queued = await service.intake.submit(_train_request(network, form))
    except DL4FijiError as error:
        return HTMLResponse(_train_page(network, given, error.problems or [error.message]), error.status)
    service.scheduler.wake()
    return RedirectResponse(f"/jobs/{queued.id}", 303)


@router.post("/train/preview", response_class=JSONResponse)
async def preview(request: Request, service: Service) -> JSONResponse:
    """Draw the first patches of the training that the form asks for."""
    form = Form.read(dict(parse_qsl((await request.body()).decode("utf-8", "replace"), keep_blank_values=True)))
    asked = _train_request(form.fields.get("network", ""), form)
    check_places(asked)
    return JSONResponse(await run_in_threadpool(service.previews.make, asked))


def _train_request(network: str, form: Form) -> TrainRequest:
    from dl4fiji import networks

    return TrainRequest(
        network=network,
        name=form.fields.get("name", ""),
        data=DataRequest(
            source=form.fields.get("source", ""), target=form.fields.get("target", ""), axes=form.fields.get("axes", "")
        ),
        options=changed(networks.get(network), form.options),
        start_from=form.fields.get("start_from", ""),
    )


def _train_page(name: str, given: dict[str, str], problems: list[str] | None = None) -> str:
    from dl4fiji import networks

    network = networks.get(name) if name else networks.NETWORKS[0]
    usual, advanced = option_fields(network, given)
    return render(
        "train.html", page="train", networks=networks.NETWORKS, network=network, usual=usual, advanced=advanced,
        given=given, problems=problems or [],
    )  # fmt: skip


def _quality(quality: Any) -> list[dict[str, str]]:
    """Return the rows of the table of quality: metric, what the prediction is compared with, prediction.

    ``before`` names what it is compared with: the input, or the prediction at the threshold 0.5.
    """
    if not isinstance(quality, dict):
        return []
    rows = []
    for name, values in quality.items():
        if isinstance(values, dict) and isinstance(values.get("prediction"), int | float):
            metric, before = metric_text(name), compared_kind(values)
            given = values.get(before)
            rows.append(
                {
                    "title": metric.title,
                    "hint": metric.hint,
                    "before": before.capitalize(),
                    "input": metric.write(given) if isinstance(given, int | float) else "",
                    "prediction": metric.write(values["prediction"]),
                }
            )
    return rows


_NOT_SHOWN = {"memory_forecast", "device_kind"}


def _training(training: dict[str, Any]) -> dict[str, Any]:
    """Return what of a training's summary is worth a place on the page."""
    return {
        name.replace("_", " ").capitalize(): value
        for name, value in training.items()
        if name not in _NOT_SHOWN and not isinstance(value, dict | list) and value not in (None, "", False)
    }


def _engines(certificate: Any) -> list[dict[str, Any]]:
    """Return the rows of the table of engines that an export was tried in."""
    engines = certificate.get("engines", certificate) if isinstance(certificate, dict) else {}
    return [{"name": name, **entry} for name, entry in engines.items() if isinstance(entry, dict)]
