"""A trained network as a Keras model."""

from __future__ import annotations

from typing import Any

from dl4fiji import networks
from dl4fiji.errors import NotFoundError
from dl4fiji.model import ModelFolder
from dl4fiji.networks.weights import assign_weights, read_weights
from dl4fiji.options import check_options


def load_keras_model(folder: ModelFolder, which: str = "best") -> Any:
    """Return the Keras model with its ``best`` or ``last`` weights; input and output normalized.

    The network is built from its options and only numbers are read from the file, so no code of the file runs.

    Raises
    ------
    NotFoundError
        If there are no such weights.
    InputError
        If the weights are damaged, have links to other files or do not fit the network.
    """
    info = folder.read()
    weights = folder.weights(which)
    if not weights.is_file():
        raise NotFoundError(f"The model {info.name!r} has no {which} weights ({weights}): train it again.")
    network = networks.get(info.network)
    options = check_options(network.Options, info.options, network.title)
    model = network.build(options, info.channels_in, info.channels_out)
    assign_weights(model, read_weights(weights), str(weights))
    return model
