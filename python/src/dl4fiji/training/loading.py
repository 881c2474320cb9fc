"""Trained models as Keras models."""

from __future__ import annotations

from typing import Any

from dl4fiji.errors import NotFoundError
from dl4fiji.model import ModelFolder
from dl4fiji.networks import get
from dl4fiji.options import check_options
from dl4fiji.training.weights import assign_weights, read_weights


def load_keras_model(folder: ModelFolder, which: str = "best") -> Any:
    """Build the network of a trained model and give it its weights.

    Parameters
    ----------
    folder
        The model.
    which
        ``best`` or ``last``.

    Raises
    ------
    NotFoundError
        If there is no such model or its weights are missing.
    InputError
        If its files are damaged or ``which`` names no weights.
    """
    info = folder.read()
    network = get(info.network)
    options = check_options(network.Options, info.options, network.title)
    weights = folder.weights(which)
    if not weights.is_file():
        raise NotFoundError(f"The model {folder.name!r} lacks its weights {weights}: restore them or train again.")
    layers = read_weights(weights)
    model = network.build(options, info.channels_in, info.channels_out)
    assign_weights(model, layers, str(weights))
    return model
