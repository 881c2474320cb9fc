"""Transfer learning: start from weights that were trained before."""

from __future__ import annotations

import csv
import io
import math
import zipfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from dl4fiji.errors import DL4FijiError, InputError, NotFoundError
from dl4fiji.files import read_json
from dl4fiji.home import check_name
from dl4fiji.model import ModelFolder
from dl4fiji.networks.weights import LayerWeights, assign_weights, read_weights
from dl4fiji.training.history import best_row, read_history

LARGEST_WEIGHTS = 4 * 2**30
"""Bytes; a zip that claims more is not opened."""


@dataclass(frozen=True)
class Start:
    """Where a training starts."""

    title: str
    """What messages call it."""
    layers: list[LayerWeights]
    learning_rate: float | None
    """The learning rate with which its best weights were found, if known."""

    def apply(self, model: Any) -> None:
        """Give ``model`` the weights; InputError naming the first layer that differs."""
        assign_weights(model, self.layers, self.title)


def find_start(start_from: str, models: Path) -> Start:
    """Read the weights to start from.

    Parameters
    ----------
    start_from
        The name of a model in ``models``; or the path of a model folder made here or by csbdeep (``config.json``
        and ``weights_best.h5``), of a bioimage.io package with Keras weights (folder or zip), or of a weights
        file.
    models
        The folder of all models.

    Raises
    ------
    NotFoundError
        If there is nothing under that name.
    InputError
        If it holds no weights that can be used.
    """
    path = Path(start_from).expanduser()
    if not path.is_absolute():
        named = models / check_name(start_from, "model to start from")
        if not named.exists():
            raise NotFoundError(
                f"There is no model {start_from!r} to start from: give the name of a model made here, or the full path "
                "of a model folder or package."
            )
        path = named
    if not path.exists():
        raise NotFoundError(f"There is no model to start from at {path}: check the path.")
    if path.is_file():
        return _from_zip(path) if zipfile.is_zipfile(path) else Start(str(path), read_weights(path), None)
    return _from_folder(path)


def _from_folder(path: Path) -> Start:
    """Read a model folder made here, by csbdeep, or an unpacked package."""
    folder = ModelFolder(path)
    if folder.exists():
        return Start(f"The model {folder.name!r}", read_weights(folder.weights("best")), _rate(folder.history_file))
    weights = _preferred([file.name for file in path.iterdir() if file.suffix in (".h5", ".hdf5")])
    if weights is None:
        raise InputError(
            f"{path} holds no weights to start from: choose a model made here, a csbdeep model folder with "
            "weights_best.h5, or a bioimage.io package with Keras weights."
        )
    rate = _rate(path / "history.csv") or _notebook_rate(path) or _csbdeep_rate(path / "config.json")
    return Start(str(path), read_weights(path / weights), rate)


def _from_zip(path: Path) -> Start:
    """Read a zipped package; nothing is unpacked to the disk."""
    with zipfile.ZipFile(path) as package:
        members = {name: package.getinfo(name) for name in package.namelist()}
        weights = _preferred([name for name in members if PurePosixPath(name).suffix in (".h5", ".hdf5")])
        if weights is None:
            raise InputError(
                f"{path} holds no Keras weights to start from: export the model here again, or choose its model folder."
            )
        if members[weights].file_size > LARGEST_WEIGHTS:
            raise InputError(f"The weights in {path} claim to be larger than 4 GiB: this is no package of ours.")
        content = io.BytesIO(package.read(weights))
    return Start(str(path), read_weights(content, f"{path} ({weights})"), None)


def _preferred(names: list[str]) -> str | None:
    """Return the best weights among files: one with ``best`` in its name, else the first; None if there is none."""
    best = [name for name in names if "best" in PurePosixPath(name).name]
    return min(best or names, default=None)


def _rate(history: Path) -> float | None:
    """Return the learning rate of the best row of our history; None if there is none."""
    if not history.is_file():
        return None
    try:
        row = best_row(read_history(history))
    except DL4FijiError:  # a damaged history does not hinder the use of the weights
        return None
    return row["learning_rate"] if row else None


def _notebook_rate(path: Path) -> float | None:
    """Return the learning rate of the best row of a ZeroCostDL4Mic model; None if there is none."""
    table = path / "Quality Control" / "training_evaluation.csv"
    if not table.is_file():
        return None
    best = (math.inf, None)
    with table.open(encoding="utf-8", newline="") as stream:
        for row in csv.DictReader(stream):
            try:
                loss, rate = float(row["val_loss"]), float(row["learning rate"])
            except (KeyError, ValueError, TypeError):
                continue
            if loss < best[0] and 0 < rate <= 1:
                best = (loss, rate)
    return best[1]


def _csbdeep_rate(config: Path) -> float | None:
    """Return the learning rate that csbdeep's configuration names; None if it names none."""
    if not config.is_file():
        return None
    try:
        rate = read_json(config).get("train_learning_rate")
    except (ValueError, AttributeError) as error:
        raise InputError(f"{config} is damaged ({error}): restore it, or choose another model.") from error
    return float(rate) if isinstance(rate, int | float) and 0 < rate <= 1 else None
