"""The last part of a training: judge the best weights and make the model folder."""

from __future__ import annotations

import errno
import platform
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from dl4fiji import __version__
from dl4fiji.data.dataset import Dataset
from dl4fiji.data.normalization import Normalization
from dl4fiji.data.pairs import summarize
from dl4fiji.errors import Canceled, ConflictError
from dl4fiji.files import atomic_folder, atomic_path, read_json, write_json
from dl4fiji.model import ModelFolder, ModelInfo
from dl4fiji.network import Network
from dl4fiji.networks.weights import assign_weights, read_weights
from dl4fiji.progress import try_or_warn
from dl4fiji.quality_control.advice import Evidence, review
from dl4fiji.quality_control.record import Record
from dl4fiji.quality_control.report import write_report
from dl4fiji.training.checkpoint import Checkpoints
from dl4fiji.training.data_record import record_data
from dl4fiji.training.device import Device, cpu_title
from dl4fiji.training.download import public
from dl4fiji.training.evaluation import Evaluation, Predict, choose_sample, evaluate, tiled, without_truth
from dl4fiji.training.examples import Example, make_examples
from dl4fiji.training.history import History, Row, best_row
from dl4fiji.training.objects import evaluate_objects
from dl4fiji.training.recording import RecordingProgress
from dl4fiji.training.resources import Forecast
from dl4fiji.training.segmentation import evaluate_masks

_PACKAGES = {
    "tensorflow": "tensorflow", "tf-keras": "tf_keras", "csbdeep": "csbdeep", "n2v": "n2v", "stardist": "stardist",
    "numpy": "numpy", "scipy": "scipy", "scikit-image": "skimage",
}  # fmt: skip
"""Packages whose versions are kept, if they took part, and what they are imported as."""


@dataclass(frozen=True)
class Request:
    """All that a training was asked for."""

    network: Network
    options: Any
    job_folder: Path
    model_folder: ModelFolder
    start_from: str
    authors: tuple[str, ...]
    license: str
    raw: Mapping[str, Any]
    """The request as JSON, kept with the model."""


@dataclass(frozen=True)
class Trained:
    """A training that has ended, its model holding the last weights."""

    asked: Request
    dataset: Dataset
    normalization: Normalization
    model: Any
    device: Device
    history: History
    checkpoints: Checkpoints
    forecast: Forecast
    canceled: bool
    stopped_early: bool
    steps_per_second: float
    steps_per_epoch: int
    batch_size: int
    optimizer: str
    """Name of its class in Keras, e.g. ``Adam``."""


def refuse_existing(asked: Request) -> None:
    """Raise ConflictError if the model exists, unless it is what a cancel left of this very request."""
    if asked.model_folder.path.exists() and not _replaceable(asked):
        raise _taken(asked.model_folder)


def finish(trained: Trained, progress: RecordingProgress) -> ModelInfo:
    """Judge the best weights on the validation images and make the model folder.

    Parameters
    ----------
    trained
        What was trained; the quality control is left out after a cancel, which must take effect at once.
    progress
        Told what happens.

    Raises
    ------
    ConflictError
        If a model of that name has appeared meanwhile.
    """
    asked, history = trained.asked, trained.history
    best = best_row(history.rows)
    assert best is not None
    best_file = trained.checkpoints.best_weights(int(best["epoch"]))
    with _placed(asked) as staged:
        folder = ModelFolder(staged)
        folder.weights("best").parent.mkdir()
        trained.model.save_weights(str(folder.weights("last")), save_format="h5")
        shutil.copyfile(best_file, folder.weights("best"))
        assign_weights(trained.model, read_weights(best_file), str(best_file))
        evaluation, record = Evaluation({}, []), Record()
        if not trained.canceled:
            try:
                evaluation = _judge(trained, best, progress)
                record = _for_report(trained, best, evaluation, folder, progress)
            except Canceled:
                evaluation, record, trained = Evaluation({}, []), Record(), replace(trained, canceled=True)
        _give_advice(trained, evaluation.quality, record, progress)
        progress.phase("Saving the model")
        shutil.copyfile(history.path, folder.history_file)
        write_json(folder.request_file, dict(asked.raw))
        divisor = asked.network.divisor(asked.options)
        sample = choose_sample(trained.dataset, divisor, asked.options.seed)
        with atomic_path(folder.samples_file) as partial:
            np.savez_compressed(partial, **sample)
        info = _info(trained, best, evaluation, progress.warnings)
        folder.write(info)
        if not trained.canceled:
            progress.phase("Writing the report")
            try_or_warn(lambda: write_report(folder), "The report could not be written", progress)
    if not trained.canceled:
        trained.checkpoints.remove()
    return info


@contextmanager
def _placed(asked: Request) -> Iterator[Path]:
    """Yield a folder that becomes the model's when all is written; ConflictError if that name is taken by then."""
    target = asked.model_folder.path
    if _replaceable(asked):
        staged, old = target.with_name(f".{target.name}.new"), target.with_name(f".{target.name}.old")
        for leftover in (staged, old):
            shutil.rmtree(leftover, ignore_errors=True)
        with atomic_folder(staged) as folder:
            yield folder
        target.rename(old)
        staged.rename(target)
        shutil.rmtree(old, ignore_errors=True)
        return
    refuse_existing(asked)
    try:
        with atomic_folder(target) as folder:
            yield folder
    except OSError as error:
        if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
            raise
        raise _taken(asked.model_folder) from error


def _replaceable(asked: Request) -> bool:
    """Tell whether the model there is what the same request left when it was canceled."""
    folder = asked.model_folder
    if not (folder.exists() and folder.request_file.is_file()):
        return False
    return bool(folder.read().training.get("canceled")) and read_json(folder.request_file) == dict(asked.raw)


def _taken(folder: ModelFolder) -> ConflictError:
    return ConflictError(
        f"There is a model named {folder.name!r} already: choose another name, or delete that model first."
    )


def _judge(trained: Trained, best: Row, progress: RecordingProgress) -> Evaluation:
    """Return the figures of the best weights on the validation images."""
    if all(sample.target is None for sample in trained.dataset.validation):
        return Evaluation(without_truth(best), [])
    progress.phase("Judging the network on the validation images")
    asked, dataset, normalization = trained.asked, trained.dataset, trained.normalization
    predict = _predict(trained)
    if dataset.classes:
        evaluation = evaluate_masks(dataset, normalization, predict, progress)
    elif asked.network.task == "instances":
        evaluation = evaluate_objects(dataset, normalization, trained.model, asked.network, asked.options, progress)
    else:
        evaluation = evaluate(dataset, normalization, dataset.channels_out, predict, progress)
    for warning in evaluation.warnings:
        progress.warning(warning)
    return evaluation


def _predict(trained: Trained) -> Predict:
    """Return what runs the network on a normalized image of any size."""
    asked = trained.asked
    divisor, halo = asked.network.divisor(asked.options), asked.network.halo(asked.options)

    def run(image: np.ndarray) -> np.ndarray:
        return trained.model.predict_on_batch(image[np.newaxis])[0]

    return lambda image: tiled(run, image, tuple(divisor.values()), tuple(halo.values()))


def _for_report(
    trained: Trained, best: Row, evaluation: Evaluation, folder: ModelFolder, progress: RecordingProgress
) -> Record:
    """Write ``record.json`` and ``examples.npz``, and return the former; what fails is left out."""
    progress.phase("Comparing the images and making examples for the report")
    dataset, normalization = trained.dataset, trained.normalization
    record = (
        try_or_warn(lambda: record_data(dataset, progress), "The images could not be compared", progress) or Record()
    )
    info, task = _info(trained, best, evaluation, []), trained.asked.network.task
    examples = try_or_warn(
        lambda: make_examples(dataset, normalization, info, _predict(trained), task, progress),
        "The report has no examples", progress,
    )  # fmt: skip
    if examples:
        record = record.model_copy(update={"examples": tuple(example.record for example in examples)})
        with atomic_path(folder.examples_file) as partial:
            np.savez_compressed(partial, **_panels(examples))
    write_json(folder.record_file, record.model_dump(mode="json"))
    return record


def _panels(examples: Sequence[Example]) -> dict[str, Any]:
    return {f"{n}.{name}": panel for n, example in enumerate(examples) for name, panel in example.panels.items()}


def _give_advice(trained: Trained, quality: Mapping[str, Any], record: Record, progress: RecordingProgress) -> None:
    """Warn of what the history, the images and the figures show."""
    evidence = Evidence(
        rows=trained.history.rows, quality=quality, images=trained.dataset.units, record=record,
        ended=not (trained.canceled or trained.stopped_early), judged=not trained.canceled,
    )  # fmt: skip
    for sentence in review(evidence):
        progress.warning(sentence)


def _info(trained: Trained, best: Row, evaluation: Evaluation, warnings: list[str]) -> ModelInfo:
    """Return what ``model.json`` holds."""
    asked, dataset = trained.asked, trained.dataset
    metadata = dataset.pairs[0].source.metadata
    return ModelInfo(
        name=asked.model_folder.name,
        network=asked.network.name,
        options=asked.options.model_dump(mode="json"),
        axes=asked.network.axes,
        channels_in=dataset.channels_in,
        channels_out=dataset.channels_out,
        normalization=trained.normalization,
        pixel_size={axis: size for axis, size in metadata.pixel_size.items() if axis in dataset.spatial_axes},
        pixel_unit=metadata.unit,
        created=datetime.now(UTC),
        training=_summary(trained, best),
        quality=evaluation.quality,
        classes=list(dataset.classes),
        thresholds=evaluation.thresholds,
        warnings=warnings,
        authors=list(asked.authors),
        license=asked.license,
    )


def _summary(trained: Trained, best: Row) -> dict[str, Any]:
    """Return the summary of the training for README and report."""
    dataset, rows = trained.dataset, trained.history.rows
    return {
        "images": summarize(dataset),
        "training_images": dataset.units[0],
        "validation_images": dataset.units[1],
        "split": {
            "seed": trained.asked.options.seed,
            "validation": list(dict.fromkeys(sample.name for sample in dataset.validation)),
        },
        "epochs": len(rows),
        "steps_per_epoch": trained.steps_per_epoch,
        "batch_size": trained.batch_size,
        "best_epoch": int(best["epoch"]),
        "val_loss": best["val_loss"],
        "seconds": round(sum(row["seconds"] for row in rows), 1),
        "steps_per_second": round(trained.steps_per_second, 3),
        "canceled": trained.canceled,
        "stopped_early": trained.stopped_early,
        "learning_rate": best["learning_rate"],
        "optimizer": trained.optimizer,
        "start_from": public(trained.asked.start_from),
        "parameters": int(trained.model.count_params()),
        "memory_forecast": trained.forecast.memory,
        "device": trained.device.title,
        "device_kind": trained.device.kind,
        "cpu": cpu_title(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "versions": {
            "dl4fiji": __version__, "python": platform.python_version(),
            **{package: version(package) for package, module in _PACKAGES.items() if module in sys.modules},
        },
    }  # fmt: skip
