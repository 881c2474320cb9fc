"""From a request to a model folder: the whole course of a training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil

from dl4fiji.data.dataset import Dataset
from dl4fiji.data.pairs import DataFields, open_pairs
from dl4fiji.data.patches import PatchSource
from dl4fiji.errors import Canceled
from dl4fiji.files import read_json, require_space, write_json
from dl4fiji.keras_setup import import_tensorflow, seed_everything
from dl4fiji.model import ModelFolder, ModelInfo
from dl4fiji.network import Network, target_form
from dl4fiji.options import check_options
from dl4fiji.progress import Progress
from dl4fiji.training.checkpoint import Checkpoints
from dl4fiji.training.device import Device, choose_device
from dl4fiji.training.fitting import taken_over
from dl4fiji.training.history import History
from dl4fiji.training.loop import Loop, Plan
from dl4fiji.training.memory import MAX_HALVINGS, is_out_of_memory, out_of_memory_error
from dl4fiji.training.recording import RecordingProgress
from dl4fiji.training.resources import FLOAT, Forecast, forecast, known_speed
from dl4fiji.training.saving import Request, Trained, finish, refuse_existing
from dl4fiji.training.transfer import Start, Web, find_start

CHECKPOINTS = "checkpoints"
"""Name of the folder of checkpoints in a job's folder."""
TAKEN_OVER = "taken_over.json"
"""Name of the file in a job's folder with the options that come from the model to start from."""

_DISK_COPIES = 14
"""Copies of the weights that a training keeps at most: 2 checkpoints with Adam's slots, one more while it is
written, best weights of each, and the model folder."""


def train(
    network: Network,
    data: DataFields,
    options: Any,
    job_folder: Path,
    model_folder: ModelFolder,
    progress: Progress,
    *,
    start_from: str = "",
    name: str = "",
    authors: Sequence[str] = (),
    license: str = "CC-BY-4.0",
    request: Mapping[str, Any] | None = None,
    device: str = "",
    web: Web | None = None,
) -> ModelInfo:
    """Train a network and make a model folder of it; go on from the job's checkpoints if there are any.

    Parameters
    ----------
    network, data, options
        What is trained on what and how.
    job_folder
        Keeps ``checkpoints/`` and ``history.csv`` while the training runs.
    model_folder
        Where the model appears, under its final name only when it is whole.
    progress
        Told what happens, asked whether to stop.
    start_from
        A model to start from, see `dl4fiji.training.transfer.find_start`.
    name
        Name of the model; that of the folder by default.
    authors, license
        For the exported package.
    request
        The request as JSON, kept with the model.
    device
        See `dl4fiji.training.device.choose_device`.
    web
        How a model to start from is fetched; without it, none is.

    Returns
    -------
    ModelInfo
        What is in ``model.json``. If the user canceled after at least one epoch, the model is made of the best
        weights so far, without quality control, and ``training["canceled"]`` is true; the checkpoints stay, and
        training again with the same arguments goes on and replaces that model.

    Raises
    ------
    DataError
        If the images cannot be used; ``problems`` holds all findings.
    ConflictError
        If there is a model of that name.
    ResourceError
        If disk or memory do not suffice.
    Canceled
        If the user canceled before the end of the first epoch.
    DL4FijiError
        If the loss is no longer a number.
    """
    progress = RecordingProgress(progress)
    raw = request or _as_request(network, data, options, name or model_folder.name, start_from, authors)
    asked = Request(network, options, job_folder, model_folder, start_from, tuple(authors), license, raw)
    refuse_existing(asked)
    progress.phase("Checking the images")
    dataset = open_pairs(
        data, network.axes, patch_size=options.patch_size, paired=network.data_form == "paired",
        form=target_form(network, options), full=True,
    )  # fmt: skip
    dataset = dataset.split(options.validation_percent, options.seed, options.patch_size)
    start, asked = _start(asked, web)
    options, remarks = network.settle(asked.options, dataset)
    asked = replace(asked, options=options)
    if start is not None:
        start.check(network, options, (dataset.channels_in, dataset.channels_out))
    chosen = choose_device(device)
    for warning in filter(None, [*dataset.warnings, *remarks, chosen.warning]):
        progress.warning(warning)
    parameters = network.footprint(options, dataset.channels_in, dataset.channels_out).parameters
    require_space(job_folder, parameters * FLOAT * _DISK_COPIES + 2**24, "the training's checkpoints")
    return _Course(asked, dataset, chosen, start, progress).run()


def _as_request(
    network: Network, data: DataFields, options: Any, name: str, start_from: str, authors: Sequence[str]
) -> dict[str, Any]:
    """Return the arguments in the form of a request, where there was none."""
    fields = ("source", "target", "validation_source", "validation_target", "axes")
    return {
        "kind": "train", "network": network.name, "name": name,
        "data": {field: str(getattr(data, field)) for field in fields},
        "options": options.model_dump(mode="json"), "start_from": start_from, "authors": list(authors),
    }  # fmt: skip


def _start(asked: Request, web: Web | None) -> tuple[Start | None, Request]:
    """Read the weights to start from and take over what the request leaves to them.

    A training that is resumed has its weights in the checkpoint, and what was taken over in the job's folder.
    """
    if not asked.start_from:
        return None, asked
    kept, start = asked.job_folder / TAKEN_OVER, None
    if Checkpoints(asked.job_folder / CHECKPOINTS).newest() is None:
        start = find_start(asked.start_from, asked.model_folder.path.parent, web)
        write_json(kept, taken_over(start.description, asked.options))
    values = asked.options.model_dump(mode="json") | (read_json(kept) if kept.exists() else {})
    return start, replace(asked, options=check_options(type(asked.options), values, asked.network.title))


class _Course:
    """One training: batch sizes are tried until the memory suffices, then the model is made."""

    def __init__(
        self, asked: Request, dataset: Dataset, device: Device, start: Start | None, progress: RecordingProgress
    ) -> None:
        self._asked, self._dataset, self._device, self._start = asked, dataset, device, start
        self._progress = progress
        self._checkpoints = Checkpoints(asked.job_folder / CHECKPOINTS)
        self._history = History(asked.job_folder / "history.csv")
        self._channels = dataset.channels_in, dataset.channels_out

    def run(self) -> ModelInfo:
        """Train with ever smaller batches until the memory suffices, and make the model."""
        options = self._asked.options
        newest = self._checkpoints.newest()
        if newest is not None:
            options = options.model_copy(update={"batch_size": newest.batch_size})
        for halvings in range(MAX_HALVINGS + 1):
            try:
                return self._attempt(options)
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
                if halvings == MAX_HALVINGS or options.batch_size == 1:
                    raise out_of_memory_error(options, self._device) from error
            options = options.model_copy(update={"batch_size": options.batch_size // 2})
            self._progress.warning(
                f"The memory did not suffice for a batch size of {options.batch_size * 2}: "
                f"the training goes on with {options.batch_size}."
            )
        raise AssertionError("unreachable")

    def _attempt(self, options: Any) -> ModelInfo:
        """Train with one batch size and make the model."""
        asked, network = self._asked, self._asked.network
        tf = import_tensorflow()
        tf.keras.backend.clear_session()
        seed_everything(options.seed, deterministic=self._device.kind == "cpu")
        normalization = network.normalization(options, self._dataset)
        patches = PatchSource(self._dataset, normalization, options, network.axes, progress=self._progress)
        for warning in patches.warnings:
            self._progress.warning(warning)
        steps = patches.steps_per_epoch
        model = network.build(options, *self._channels)
        if self._start is not None:
            self._start.apply(model)
        trainee = network.compile(model, options)
        plan = Plan(options.epochs, steps, options.batch_size, options.patience, network.schedule(options))
        validation = network.validation_batches(patches, options)

        def make_batch(epoch: int, step: int) -> Any:
            return network.batch(patches, options, epoch, step)

        loop = Loop(trainee, model, make_batch, validation, plan, self._history, self._checkpoints, self._progress)
        prediction = self._forecast(options, steps)
        self._progress.phase(f"Training on {self._device.title}: {prediction.summary()}")
        canceled = self._run_loop(loop)
        loop.restore()
        trained = Trained(
            asked, self._dataset, normalization, model, self._device, self._history, self._checkpoints, prediction,
            canceled=canceled, stopped_early=loop.stopped_early and not canceled,
            steps_per_second=loop.steps_per_second, steps_per_epoch=steps, batch_size=options.batch_size,
            optimizer=type(getattr(trainee, "optimizer", None)).__name__,
        )  # fmt: skip
        return finish(trained, self._progress)

    def _run_loop(self, loop: Loop) -> bool:
        """Train; return whether the user canceled after at least one epoch."""
        try:
            loop.run()
        except Canceled:
            if not self._history.rows:
                raise
            return True
        return False

    def _forecast(self, options: Any, steps: int) -> Forecast:
        """Forecast memory and time, and warn if the memory will not suffice."""
        values = options.model_dump(mode="json")
        models = self._asked.model_folder.path.parent
        speed = known_speed(models, self._asked.network.name, values, self._device.title)
        result = forecast(
            self._asked.network, options, self._channels, self._image_bytes(), self._device.memory,
            steps * options.epochs, speed,
        )  # fmt: skip
        if result.advice:
            self._progress.warning(result.advice)
        return result

    def _image_bytes(self) -> int:
        """Return the bytes of all images, which are kept in memory as far as they fit."""
        pairs = (*self._dataset.pairs, *self._dataset.validation_pairs)
        total = sum(image.nbytes for pair in pairs for image in (pair.source, pair.target) if image is not None)
        return min(total, psutil.virtual_memory().available // 4)
