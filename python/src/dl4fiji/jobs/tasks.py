"""What a worker does for each kind of request. Networks and TensorFlow are imported only when needed."""

from __future__ import annotations

import errno
import math
import os
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dl4fiji.errors import Canceled, InputError
from dl4fiji.files import read_json
from dl4fiji.home import Home
from dl4fiji.jobs.job import ExportRequest, PredictRequest, SelfTestRequest, TrainRequest
from dl4fiji.jobs.reporting import WorkerProgress
from dl4fiji.progress import stop_if_canceled

if TYPE_CHECKING:
    from dl4fiji.model import ModelFolder


def run(request: Any, home: Home, folder: Path, progress: WorkerProgress) -> dict[str, Any]:
    """Do what ``request`` asks and return the job's result.

    Parameters
    ----------
    request
        One of the request models of `dl4fiji.jobs.job`.
    home
        Where the models are.
    folder
        The job's folder.
    progress
        Told what happens.

    Raises
    ------
    Canceled
        When the user asked to stop.
    DL4FijiError
        With one sentence for the user.
    """
    if isinstance(request, TrainRequest):
        return run_train(request, home, folder, progress)
    if isinstance(request, PredictRequest):
        return run_predict(request, home, folder, progress)
    if isinstance(request, ExportRequest):
        return run_export(request, home, progress)
    return run_self_test(request, folder, progress)


def made_by(model: ModelFolder, request: TrainRequest) -> bool:
    """Tell whether ``model`` is what ``request`` made before, e.g. in an attempt that ended during the export.

    What a canceled training left is not: training goes on from its checkpoints and replaces it.
    """
    if not model.exists() or not model.request_file.is_file():
        return False
    same = read_json(model.request_file) == request.model_dump(mode="json")
    return same and not model.read().training.get("canceled")


def run_train(request: TrainRequest, home: Home, folder: Path, progress: WorkerProgress) -> dict[str, Any]:
    """Train (or go on from the job's checkpoints), then export.

    The trained model is told before the export begins: a job killed or canceled in its export has its model.
    """
    from dl4fiji.model import ModelFolder

    model = ModelFolder(home.model(request.name))
    if not made_by(model, request):
        _train(request, home, folder, model, progress)
    info = model.read()
    result: dict[str, Any] = {"model": info.name, "folder": str(model.path), "quality": info.quality}
    if model.report_html.is_file():
        result["report"] = str(model.report_html)
    progress.result(**result)
    if info.training.get("canceled"):
        raise Canceled
    if request.export:
        stop_if_canceled(progress)
        result |= _export(model, "best", progress)
    return result


def _train(request: TrainRequest, home: Home, folder: Path, model: ModelFolder, progress: WorkerProgress) -> None:
    from dl4fiji import networks
    from dl4fiji.options import check_options
    from dl4fiji.settings import Settings
    from dl4fiji.training.run import train
    from dl4fiji.training.transfer import Web

    network = networks.get(request.network)
    options = check_options(network.Options, request.options, network.title)
    train(
        network,
        request.data,
        options,
        folder,
        model,
        progress,
        start_from=request.start_from,
        web=Web(home.downloads, int(Settings.read(home).download_limit_gib * 2**30), progress),
        name=request.name,
        authors=request.authors,
        request=request.model_dump(mode="json"),
    )


def _export(model: ModelFolder, weights: str, progress: WorkerProgress) -> dict[str, Any]:
    from dl4fiji.export import export_model

    return export_model(model, weights, progress)


def run_export(request: ExportRequest, home: Home, progress: WorkerProgress) -> dict[str, Any]:
    """Export a trained model again."""
    from dl4fiji.model import ModelFolder

    model = ModelFolder(home.model(request.model))
    info = model.read()
    result = {
        "model": info.name, "folder": str(model.path), "quality": info.quality,
        **_export(model, request.weights, progress),
    }  # fmt: skip
    return result | ({"report": str(model.report_html)} if model.report_html.is_file() else {})


def run_predict(request: PredictRequest, home: Home, folder: Path, progress: WorkerProgress) -> dict[str, Any]:
    """Run a model on an image or a folder of images; files that cannot be read are listed, the others are done."""
    from dl4fiji.model import ModelFolder
    from dl4fiji.prediction.batch import predict_files
    from dl4fiji.prediction.predictor import Thresholds

    model = ModelFolder(home.model(request.model))
    model.read()
    output = Path(request.output) if request.output else folder / "output"
    thresholds = Thresholds(request.probability_threshold, request.nms_threshold)
    return predict_files(
        model, request.weights, Path(request.source), output, request.axes, request.tile_size, progress, thresholds
    )


def run_self_test(request: SelfTestRequest, folder: Path, progress: WorkerProgress) -> dict[str, Any]:
    """Pretend to train for a while, through the very machinery that trainings use."""
    with (folder / "runs.txt").open("a", encoding="utf-8") as runs:
        runs.write(f"{os.getpid()} {time.time():.6f}\n")
    progress.phase("Testing the service")
    progress.warning("This is a test without a network.")
    per_epoch = max(1, request.steps // max(1, request.epochs))
    for step in range(1, request.steps + 1):
        time.sleep(request.seconds / request.steps)
        if request.fail and step > request.steps // 2:
            _fail(request.fail)
        loss = 0.02 + 0.2 * math.exp(-3 * step / request.steps)
        epoch = min(request.epochs, (step - 1) // per_epoch + 1)
        progress.update(step, request.steps, epoch=epoch, epochs=request.epochs, loss=loss)
        if request.epochs and step % per_epoch == 0 and step // per_epoch <= request.epochs:
            progress.epoch(
                {"epoch": step // per_epoch, "loss": loss, "val_loss": 1.1 * loss, "learning_rate": 4e-4,
                 "seconds": request.seconds / request.epochs}
            )  # fmt: skip
        if not request.deaf:
            stop_if_canceled(progress)
    with (folder / "runs.txt").open("a", encoding="utf-8") as runs:
        runs.write(f"end {time.time():.6f}\n")
    return {"steps": request.steps, "process": os.getpid()}


def _fail(how: str) -> None:
    """End as a job that fails in the way named ``how``."""
    if how == "input":
        raise InputError("The self-test was asked to fail: leave out `fail`.")
    if how == "memory":
        raise MemoryError
    if how == "disk":
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    if how == "kill":
        os.kill(os.getpid(), signal.SIGTERM if os.name == "nt" else signal.SIGKILL)
    raise ValueError("the self-test was asked to fail")
