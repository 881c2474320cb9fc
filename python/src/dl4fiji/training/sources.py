"""Where a training can start from: what a model says of itself, before its weights are read.

Neither TensorFlow nor HDF5 is loaded here, so that the service can tell at once which options do not fit.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import math
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

from dl4fiji.archive import LARGEST_WEIGHTS, Files, NamedFiles, ZipFiles, as_stream, open_files
from dl4fiji.errors import DL4FijiError, InputError, NotFoundError
from dl4fiji.home import check_name
from dl4fiji.networks.peers import Description, describe_peer
from dl4fiji.training.download import is_address
from dl4fiji.training.history import best_row, read_rows
from dl4fiji.training.packages import DESCRIPTIONS, LARGEST_DESCRIPTION, Package, PackagedFile, read_package

_LARGEST_TEXT = 64 * 2**20
_HDF5 = (".h5", ".hdf5")
_GRAPH = "saved_model.pb"
_NOTEBOOK = "Quality Control/training_evaluation.csv"


@dataclass(frozen=True)
class Source:
    """A model to start from, found but not yet read."""

    title: str
    """What messages call it."""
    files: Files
    root: str
    """The model's folder in ``files``, empty or ended by ``/``."""
    description: Description
    keras: PackagedFile | None
    """Keras weights, named from ``root``."""
    saved_model: PackagedFile | None
    """The folder (ended by ``/`` or empty) or zip of a SavedModel, where there are no Keras weights."""

    def content(self, file: PackagedFile) -> bytes:
        """Return a file; InputError if it is not the one that the package's checksum stands for."""
        content = self.files.read(self.root + file.source, LARGEST_WEIGHTS)
        if file.sha256 and hashlib.sha256(content).hexdigest() != file.sha256:
            raise InputError(
                f"{file.source} of {self.title} is not the file that the package's checksum stands for: get it again."
            )
        return content

    def graph(self, file: PackagedFile) -> tuple[Files, str]:
        """Return the files of the SavedModel, and its folder among them."""
        if file.source and not file.source.endswith("/"):
            inner = ZipFiles(as_stream(self.content(file)), f"{file.source} of {self.title}")
            roots = [name.removesuffix(_GRAPH) for name in inner.names if PurePosixPath(name).name == _GRAPH]
            if len(roots) != 1:
                raise InputError(f"{file.source} of {self.title} holds no TensorFlow model: choose another.")
            return inner, roots[0]
        return self.files, self.root + file.source


def find_path(start_from: str, models: Path) -> Path:
    """Return where a model is that is given by name or by absolute path.

    Raises
    ------
    NotFoundError
        If there is nothing.
    InputError
        If it is no name.
    """
    path = Path(start_from).expanduser()
    if "\0" in start_from or not path.is_absolute():
        path = models / check_name(start_from, "model to start from")
        if not path.exists():
            raise NotFoundError(
                f"There is no model {start_from!r} to start from: give the name of a model made here, or the full path "
                "of a model folder or package."
            )
    try:
        found = path.exists()
    except OSError as error:
        raise NotFoundError(f"The model to start from at {path} cannot be read ({error.strerror}).") from error
    if not found:
        raise NotFoundError(f"There is no model to start from at {path}: check the path.")
    return path


def open_source(path: Path, title: str = "") -> Source:
    """Look at a model folder, a package, a zip of either, or a weights file.

    Parameters
    ----------
    path
        The folder or file.
    title
        What messages call it; its path by default.

    Raises
    ------
    InputError
        If it holds nothing to start from, or is an archive that is not safe; what would run code is named.
    """
    title = title or str(path)
    if path.is_dir():
        return look(open_files(path), title)
    with path.open("rb") as stream:
        head = stream.read(8)
    if head == b"\x89HDF\r\n\x1a\n":
        return Source(title, NamedFiles({path.name: path}), "", Description(), PackagedFile(path.name), None)
    if zipfile.is_zipfile(path):
        return look(ZipFiles(path, title), title)
    if path.suffix in (".yaml", ".yml"):
        beside = open_files(path.parent)
        return look(_Described(beside, path), title)
    if head[:1] == b"\x80" or path.suffix in (".pt", ".pth", ".pkl", ".pickle"):
        raise InputError(
            f"{title} is a pickle, which runs code when it is read and is not read for safety: choose a model with "
            "Keras weights."
        )
    raise NotAModelError(
        f"{title} is neither a model folder, nor a zip, nor a file of Keras weights in HDF5: choose another model to "
        "start from."
    )


class NotAModelError(InputError):
    """A file is nothing that weights are kept in."""


class _Described:
    """A folder whose description is the file that the user chose."""

    def __init__(self, files: Files, path: Path) -> None:
        self._files, self._chosen = files, NamedFiles({DESCRIPTIONS[0]: path})
        self.names = [DESCRIPTIONS[0], *(name for name in files.names if name not in DESCRIPTIONS)]

    def _of(self, name: str) -> Files:
        return self._chosen if name == DESCRIPTIONS[0] else self._files

    def size(self, name: str) -> int:
        return self._of(name).size(name)

    def read(self, name: str, limit: int) -> bytes:
        return self._of(name).read(name, limit)


def look(files: Files, title: str) -> Source:
    """Look at the files of a model, wherever they are; InputError as `open_source`."""
    names = [name for name in files.names if not name.startswith("__MACOSX/")]
    _refuse_code(names, title)
    root = _root(names, title)
    here = {name.removeprefix(root) for name in names if name.startswith(root)}
    package = package_of(files, title)
    peer = dict(package.peer) if package else {}
    if "config.json" in here and "model.json" not in here:
        peer = _json(files, f"{root}config.json", title)
    description = describe_peer(peer)
    if "model.json" in here:
        description = _describe_own(_json(files, f"{root}model.json", title))
    rate = _history_rate(files, root, here) or _notebook_rate(files, root, here) or description.learning_rate
    keras, saved_model = _weights(here, package)
    if keras is None and saved_model is None:
        raise InputError(_nothing(title, package))
    return Source(title, files, root, replace(description, learning_rate=rate), keras, saved_model)


def package_of(files: Files, title: str) -> Package | None:
    """Return the bioimage.io description among files; None if there is none."""
    names = [name for name in files.names if not name.startswith("__MACOSX/")]
    found = [name for name in names if PurePosixPath(name).name in DESCRIPTIONS]
    if not found:
        return None
    first = min(found, key=lambda name: (name.count("/"), DESCRIPTIONS.index(PurePosixPath(name).name)))
    return read_package(files.read(first, LARGEST_DESCRIPTION), title)


def _refuse_code(names: list[str], title: str) -> None:
    """Raise InputError for archives that are read by running code."""
    if any(name.endswith(".pkl") for name in names) and any(name.endswith(("/version", "byteorder")) for name in names):
        raise InputError(
            f"{title} is a PyTorch file, a pickle, which runs code when it is read and is not read for safety: choose "
            "a model with Keras weights."
        )
    if {"model.weights.h5", "metadata.json"} <= set(names):
        raise InputError(
            f"{title} is a .keras file, which may hold code and is not read for safety: save its weights as HDF5 "
            "(save_weights) and start from these."
        )


def _root(names: list[str], title: str) -> str:
    """Return the folder that the model is in: the uppermost one with anything that tells a model."""

    def tells(name: str) -> bool:
        path = PurePosixPath(name)
        return path.name in (*DESCRIPTIONS, "model.json", "config.json", _GRAPH) or path.suffix in (*_HDF5, ".zip")

    folders = {name.rpartition("/")[0] for name in names if tells(name)}
    if not folders:
        return ""
    depth = min(folder.count("/") + 1 if folder else 0 for folder in folders)
    upper = sorted(folder for folder in folders if (folder.count("/") + 1 if folder else 0) == depth)
    if len(upper) > 1:
        shown = ", ".join([*upper[:3], *(["…"] if len(upper) > 3 else [])])
        raise InputError(f"{title} holds several models ({shown}): choose one of them.")
    return f"{upper[0]}/" if upper[0] else ""


def _weights(here: set[str], package: Package | None) -> tuple[PackagedFile | None, PackagedFile | None]:
    """Choose among what there is: Keras weights, the best ones first, else a SavedModel."""
    if "weights/best.h5" in here and "model.json" in here:
        return PackagedFile("weights/best.h5"), None
    named = [package.keras, package.saved_model] if package else [None, None]
    keras, graph = (file if file and (file.source in here or is_address(file.source)) else None for file in named)
    if keras:
        return keras, None
    hdf5 = [name for name in here if name.endswith(_HDF5) and "/" not in name]
    if hdf5:
        return PackagedFile(min(hdf5, key=lambda name: ("best" not in name, name))), None
    if graph:
        return None, graph
    if _GRAPH in here:
        return None, PackagedFile("")
    zips = sorted(name for name in here if name.endswith(".zip") and "/" not in name)
    if package is None and len(zips) != 1:
        zips = [name for name in zips if "savedmodel" in name.lower().replace("_", "")]
    return None, PackagedFile(zips[0]) if zips and package is None else None


def _nothing(title: str, package: Package | None) -> str:
    kinds = f" (only {', '.join(package.kinds)})" if package and package.kinds else ""
    return (
        f"{title} holds no weights to start from{kinds}: choose a model made here, a model folder of csbdeep, n2v or "
        "stardist with weights_best.h5, or a bioimage.io package with Keras or TensorFlow weights."
    )


def _json(files: Files, name: str, title: str) -> Any:
    try:
        return json.loads(files.read(name, _LARGEST_TEXT))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{name} of {title} is damaged ({error}): restore it, or choose another model.") from error


def _describe_own(info: Any) -> Description:
    """Return what a ``model.json`` of ours says; one of a later version may say more."""
    if not isinstance(info, Mapping):
        return Description()
    options, training = info.get("options"), info.get("training")
    channels = [info.get(key) for key in ("channels_in", "channels_out")]
    counts = [count if isinstance(count, int) else None for count in channels]
    rate = training.get("learning_rate") if isinstance(training, Mapping) else None
    return Description(
        str(info.get("network", "")),
        options if isinstance(options, Mapping) else {},
        (counts[0], counts[1]),
        float(rate) if isinstance(rate, int | float) and 0 < rate <= 1 else None,
    )


def _history_rate(files: Files, root: str, here: set[str]) -> float | None:
    """Return the learning rate of the best row of our history; None if there is none."""
    if not {"model.json", "history.csv"} <= here:
        return None
    try:
        text = files.read(f"{root}history.csv", _LARGEST_TEXT).decode("utf-8", "replace")
        row = best_row(read_rows(text, "history.csv"))
    except DL4FijiError:  # a damaged history does not hinder the use of the weights
        return None
    return row["learning_rate"] if row else None


def _notebook_rate(files: Files, root: str, here: set[str]) -> float | None:
    """Return the learning rate of the best row of a ZeroCostDL4Mic model; None if there is none."""
    if _NOTEBOOK not in here:
        return None
    text = files.read(root + _NOTEBOOK, _LARGEST_TEXT).decode("utf-8", "replace")
    best: tuple[float, float | None] = (math.inf, None)
    for row in csv.DictReader(io.StringIO(text)):
        try:
            loss, rate = float(row["val_loss"]), float(row["learning rate"])
        except (KeyError, ValueError, TypeError):
            continue
        if loss < best[0] and 0 < rate <= 1:
            best = (loss, rate)
    return best[1]
