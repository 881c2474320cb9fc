"""Transfer learning: start from weights that were trained before."""

from __future__ import annotations

import io
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from dl4fiji.archive import NamedFiles
from dl4fiji.errors import InputError
from dl4fiji.network import Network
from dl4fiji.networks.peers import Description
from dl4fiji.networks.weights import LayerWeights, assign_weights, read_weights
from dl4fiji.progress import Progress, SilentProgress
from dl4fiji.training.download import GIB, Address, fetch, is_address
from dl4fiji.training.fitting import mismatches
from dl4fiji.training.packages import DESCRIPTIONS
from dl4fiji.training.saved_model import read_saved_weights
from dl4fiji.training.sources import NotAModelError, Source, find_path, look, open_source, package_of

_SMALL_FILES = ("model.json", "config.json")
"""Attachments that tell how a model was trained."""


@dataclass(frozen=True)
class Start:
    """Where a training starts."""

    title: str
    """What messages call it."""
    layers: list[LayerWeights]
    learning_rate: float | None = None
    """The learning rate with which its best weights were found, if known."""
    description: Description = field(default_factory=Description)
    by_name: bool = False
    """The order of the layers is not certain."""

    def check(self, network: Network, options: Any, channels: tuple[int, int]) -> None:
        """Raise InputError if a training cannot start from it, see `dl4fiji.training.fitting.mismatches`."""
        problems = mismatches(self.title, self.description, network, options, channels)
        if problems:
            raise InputError(problems[0], problems)

    def apply(self, model: Any) -> None:
        """Give ``model`` the weights; InputError naming the first layer that differs."""
        assign_weights(model, self.layers, self.title, by_name=self.by_name)


@dataclass(frozen=True)
class Web:
    """How models are fetched."""

    folder: Path
    """Where they are kept."""
    limit: int = 4 * GIB
    """The most bytes that one may have."""
    progress: Progress = field(default_factory=SilentProgress)

    def fetch(self, address: Address) -> Path:
        """Return the file of an address, see `dl4fiji.training.download.fetch`."""
        return fetch(address, self.folder, self.progress, self.limit)


def find_start(start_from: str, models: Path, web: Web | None = None) -> Start:
    """Read the weights to start from.

    Parameters
    ----------
    start_from
        The name of a model in ``models``; or the path or the address (``https://…``, perhaps with ``#sha256=…``) of

        - a model folder made here, by csbdeep, n2v or stardist (``config.json`` and ``weights_best.h5``), also by
          ZeroCostDL4Mic; of one on the web, its zip,
        - a bioimage.io package with Keras or TensorFlow SavedModel weights: folder, zip or ``rdf.yaml``,
        - a SavedModel or a file of Keras weights.
    models
        The folder of all models.
    web
        How models are fetched; without it, none is.

    Raises
    ------
    NotFoundError
        If there is nothing under that name.
    InputError
        If it holds no weights that can be used.
    DownloadError
        If it cannot be fetched.
    """
    if is_address(start_from):
        source = _from_web(Address.parse(start_from), web)
    else:
        path = find_path(start_from, models)
        own = path.parent == models and path.is_dir()
        source = open_source(path, f"The model {path.name!r}" if own else str(path))
        source = _with_fetched(source, web)
    return read_start(source)


def _from_web(address: Address, web: Web | None) -> Source:
    """Fetch a model; of one that is described by an ``rdf.yaml`` only what is needed."""
    path = _need(web).fetch(address)
    title = address.public
    if path.suffix.lower() not in (".yaml", ".yml"):
        try:
            return _with_fetched(open_source(path, title), web)
        except NotAModelError:
            pass
    described = NamedFiles({DESCRIPTIONS[0]: path})
    package = package_of(described, title)
    assert package is not None
    chosen = package.keras or package.saved_model
    wanted = {file.name: file for file in package.attached if file.name in _SMALL_FILES}
    if chosen is not None:
        wanted[chosen.source] = chosen
    files = {name: _need(web).fetch(address.beside(file.source, file.sha256)) for name, file in wanted.items()}
    return look(NamedFiles({DESCRIPTIONS[0]: path, **files}), title)


def _with_fetched(source: Source, web: Web | None) -> Source:
    """Fetch the weights of a package that names them by their address."""
    chosen = source.keras or source.saved_model
    if chosen is None or not is_address(chosen.source):
        return source
    path = _need(web).fetch(Address.parse(chosen.source, chosen.sha256))
    return replace(source, files=NamedFiles({source.root + chosen.source: path}))


def _need(web: Web | None) -> Web:
    if web is None:
        raise InputError("Models on the web are not fetched here: fetch the model yourself and give its path.")
    return web


def read_start(source: Source) -> Start:
    """Read the weights of a model; InputError if they cannot be used."""
    rate, description = source.description.learning_rate, source.description
    if source.keras is not None:
        layers = read_weights(io.BytesIO(source.content(source.keras)), source.title)
        return Start(source.title, layers, rate, description)
    assert source.saved_model is not None
    files, folder = source.graph(source.saved_model)
    return Start(source.title, read_saved_weights(files, folder, source.title), rate, description, by_name=True)
