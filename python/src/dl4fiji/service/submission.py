"""Requests are looked at before they become jobs, so that what can be said at once is said at once."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from typing import Any

import psutil
from starlette.concurrency import run_in_threadpool

from dl4fiji.errors import ConflictError, DataError, DL4FijiError, InputError
from dl4fiji.home import Home
from dl4fiji.jobs.job import DataRequest, ExportRequest, Job, PredictRequest, SelfTestRequest, TrainRequest
from dl4fiji.jobs.store import JobStore, Submission

_NAMED = {
    "source": "The source",
    "target": "The target",
    "validation_source": "The source for validation",
    "validation_target": "The target for validation",
}


class Intake:
    """Queues requests; those that come at the same time share one durable transaction.

    Parameters
    ----------
    home, store
        Where models and jobs are.
    """

    def __init__(self, home: Home, store: JobStore) -> None:
        self._home = home
        self._store = store
        self._waiting: list[tuple[Submission, asyncio.Future[Job | ConflictError]]] = []
        self._writer: asyncio.Task[None] | None = None

    async def submit(self, request: Any) -> Job:
        """Check a request and queue it, in the order of the calls.

        Raises
        ------
        DL4FijiError
            With one sentence per problem.
        """
        if isinstance(request, SelfTestRequest):
            submission = Submission(request, f"Self-test of {request.seconds:g} s")
        else:
            submission = await run_in_threadpool(prepare, request, self._home, self._store)
        future: asyncio.Future[Job | ConflictError] = asyncio.get_running_loop().create_future()
        self._waiting.append((submission, future))
        if self._writer is None or self._writer.done():
            self._writer = asyncio.create_task(self._write())
        submitted = await future
        if isinstance(submitted, ConflictError):
            raise submitted
        return submitted

    async def _write(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting, []
            try:
                jobs = await run_in_threadpool(self._store.submit_all, [submission for submission, _ in batch])
            except Exception as error:  # noqa: BLE001 – goes to those who wait
                for _, future in batch:
                    if not future.done():
                        future.set_exception(error)
                continue
            for (_, future), job in zip(batch, jobs, strict=True):
                if not future.done():
                    future.set_result(job)


def prepare(request: Any, home: Home, store: JobStore) -> Submission:
    """Check a request and say what will be queued.

    Raises
    ------
    DL4FijiError
        With one sentence per problem.
    """
    if isinstance(request, TrainRequest):
        network_title, problems = _train_problems(request, home, store)
        if problems:
            raise _summary(problems)
        name = request.name.strip()
        request = request.model_copy(update={"name": name})
        return Submission(request, f"Train {network_title} “{name}”", name)
    _require_model(request.model, home)
    if isinstance(request, ExportRequest):
        return Submission(request, f"Export “{request.model}”")
    assert isinstance(request, PredictRequest)
    _thresholds(request, home)
    _existing(request.source, "The source")
    if request.output:
        _absolute(request.output, "The output folder")
    return Submission(request, f"Predict with “{request.model}”: {Path(request.source).name}")


def check(request: TrainRequest, home: Home, store: JobStore) -> dict[str, Any]:
    """Say what a training would do, and all that speaks against it.

    The name may be empty. Data are looked at by their headers only.
    """
    from dl4fiji import networks
    from dl4fiji.options import check_options

    _, errors = _train_problems(request, home, store, name_needed=False)
    report: dict[str, Any] = {"problems": [], "warnings": [], "summary": "", "forecast": {}}
    network = options = None
    with contextlib.suppress(DL4FijiError):  # what is wrong with them is among the errors already
        network = networks.get(request.network)
        options = check_options(network.Options, request.options, network.title)
    if network is not None and options is not None and not any(isinstance(error, DataError) for error in errors):
        try:
            report |= _look_at_data(request, network, options, home)
        except DL4FijiError as error:
            errors.append(error)
    sentences = [sentence for error in errors for sentence in (error.problems or [error.message])]
    report["problems"] = [*sentences, *(text for text in report["problems"] if text not in sentences)]
    return report


def _look_at_data(request: TrainRequest, network: Any, options: Any, home: Home) -> dict[str, Any]:
    """Return what the images' headers tell, and the memory and time that the training will take."""
    from dl4fiji.data.pairs import check_data
    from dl4fiji.network import target_form
    from dl4fiji.training.device import cpu_title, nvidia_gpus
    from dl4fiji.training.resources import forecast, known_speed

    form = target_form(network, options)
    found = check_data(request.data, network.axes, options, paired=network.data_form == "paired", form=form)
    report: dict[str, Any] = {
        "problems": list(found.problems), "warnings": list(found.warnings), "summary": found.summary
    }  # fmt: skip
    if found.problems:
        return report
    if request.start_from:
        try:
            _start(request.start_from, home, network, options, (found.channels_in, found.channels_out))
        except DL4FijiError as error:
            report["problems"] = error.problems or [error.message]
    if found.objects is not None:
        report["objects"] = found.objects.as_dict()
    gpu = next(iter(nvidia_gpus()), None)
    device = gpu.name if gpu else cpu_title()
    free = psutil.virtual_memory().available
    steps = options.steps_per_epoch or max(1, found.patches_per_epoch // options.batch_size)
    speed = known_speed(home.models, network.name, options.model_dump(mode="json"), device)
    expected = forecast(
        network, options, (found.channels_in, found.channels_out), min(found.nbytes, free // 4),
        gpu.memory if gpu else free, steps * options.epochs, speed,
    )  # fmt: skip
    if expected.advice:
        report["warnings"].append(expected.advice)
    report["forecast"] = {**expected.as_dict(), "device": device}
    report["summary"] = f"{found.summary}; {expected.summary()} on {device}"
    return report


def _train_problems(
    request: TrainRequest, home: Home, store: JobStore, *, name_needed: bool = True
) -> tuple[str, list[DL4FijiError]]:
    """Return the network's title and all that is wrong with name, network, options and places."""
    from dl4fiji import networks
    from dl4fiji.options import check_options

    title, errors = request.network, []

    def collect(look: Any, *arguments: Any) -> Any:
        try:
            return look(*arguments)
        except DL4FijiError as error:
            errors.append(error)

    network = collect(networks.get, request.network)
    options = None
    if network is not None:
        title = network.title
        options = collect(check_options, network.Options, request.options, title)
        if network.data_form != "single" and not request.data.target:
            errors.append(DataError(_no_target(title, network.task)))
    if request.name or name_needed:
        collect(_free_name, request.name, home, store)
    collect(_places, request.data)
    if request.start_from:
        collect(_start, request.start_from, home, network, options)
    return title, errors


def _no_target(title: str, task: str) -> str:
    """Return what to give as the target of a network that needs one."""
    if task in ("segmentation", "instances"):
        what = "labels of objects" if task == "instances" else "masks"
        return (
            f"{title} learns from images with {what}: give these as the target, too, or the source once more if there "
            "are outlines in the overlays of the images."
        )
    return f"{title} learns from pairs of images: give the target, too."


def _summary(errors: list[DL4FijiError]) -> DL4FijiError:
    """Return one error of the kind of the first, with all problems."""
    problems = [sentence for error in errors for sentence in (error.problems or [error.message])]
    return type(errors[0])(problems[0], problems)


def _free_name(name: str, home: Home, store: JobStore) -> None:
    folder = home.model(name)
    active = store.active_model(folder.name)
    if active is not None:
        raise ConflictError(
            f"Job {active.id} is already making a model named {folder.name!r}: choose another name or cancel that job."
        )
    if folder.exists() or folder.name.casefold() in {entry.name.casefold() for entry in home.models.iterdir()}:
        raise ConflictError(
            f"There is a model named {folder.name!r} already: choose another name; nothing is ever overwritten."
        )


def check_places(request: TrainRequest) -> None:
    """Check that the images of a training are absolute paths of what is there.

    Raises
    ------
    DataError
        With one sentence per problem.
    """
    _places(request.data)


def _places(data: DataRequest) -> None:
    problems = []
    for field, what in _NAMED.items():
        value = getattr(data, field)
        if value or field == "source":
            try:
                _existing(value, what)
            except DataError as error:
                problems.append(error.message)
    if problems:
        raise DataError(problems[0], problems)


def _absolute(text: str, what: str) -> Path:
    path = Path(text)
    if not text or "\0" in text or not path.is_absolute():
        raise DataError(f"{what} is {text!r} but must be an absolute path on this computer.")
    return path


def _existing(text: str, what: str) -> Path:
    path = _absolute(text, what)
    try:
        found = path.exists()
    except OSError as error:
        raise DataError(f"{what} {text} cannot be read ({error.strerror}): choose another.") from error
    if not found:
        raise DataError(f"{what} {text} does not exist: choose a folder or a file that is there.")
    return path


def _thresholds(request: PredictRequest, home: Home) -> None:
    from dl4fiji.model import ModelFolder
    from dl4fiji.prediction.predictor import Thresholds, check_thresholds

    given = Thresholds(request.probability_threshold, request.nms_threshold)
    check_thresholds(ModelFolder(home.model(request.model)).read(), given)


def _require_model(name: str, home: Home) -> None:
    from dl4fiji.model import ModelFolder

    ModelFolder(home.model(name)).read()


def _start(start_from: str, home: Home, network: Any, options: Any, channels: tuple[int, int] | None = None) -> None:
    """Raise an error if what can be said at once of a model to start from speaks against it.

    One on the web is looked at by the worker that fetches it.
    """
    from dl4fiji.training.download import Address, is_address
    from dl4fiji.training.fitting import mismatches
    from dl4fiji.training.sources import find_path, open_source

    if is_address(start_from):
        Address.parse(start_from)
        return
    path = find_path(start_from, home.models)
    own = path.parent == home.models
    source = open_source(path, f"The model {path.name!r}" if own else str(path))
    if network is None or options is None:
        return
    problems = mismatches(source.title, source.description, network, options, channels)
    if problems:
        raise InputError(problems[0], problems)
