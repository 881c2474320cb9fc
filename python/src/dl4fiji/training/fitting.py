"""Whether a model fits the training that shall start from it, said before the training starts."""

from __future__ import annotations

from typing import Any

from dl4fiji.network import Network
from dl4fiji.networks.peers import Description
from dl4fiji.options import architecture_options


def mismatches(
    title: str, description: Description, network: Network, options: Any, channels: tuple[int, int] | None = None
) -> list[str]:
    """Return what keeps a training from starting from a model, one sentence each with its remedy.

    Parameters
    ----------
    title
        What messages call the model.
    description
        What is known of it; what is not known is not compared.
    network, options
        The training.
    channels
        Channels of the images and of what the network gives; None if they are not known yet.
    """
    if description.network and description.network != network.name:
        return [
            f"{title} is a model of {_network_title(description.network)}, not of {network.title}: train that network, "
            "or choose another model to start from."
        ]
    problems = []
    if description.obstacles:
        problems.append(
            f"{title} was built with {' and '.join(description.obstacles)}, which {network.title} here does not offer: "
            "choose another model to start from."
        )
    others = {
        name: value for name, value in _architecture(description, network).items() if value != _own(options, name)
    }
    if others:
        theirs = " and ".join(f"{name} {_text(value)}" for name, value in others.items())
        ours = " and ".join(_text(_own(options, name)) for name in others)
        remedy = " and ".join(f"{name} to {_text(value)}" for name, value in others.items())
        problems.append(f"{title} was trained with {theirs}, but this training has {ours}: set {remedy}.")
    if channels and description.channels and channels != description.channels:
        problems.append(
            f"{title} takes {_count(description.channels[0])} and gives {description.channels[1]}, but these images "
            f"have {channels[0]} and ask for {channels[1]}: choose another model to start from, or other images."
        )
    return problems


def _architecture(description: Description, network: Network) -> dict[str, Any]:
    """Return what is known of the options that say which layers the network has."""
    names = architecture_options(network.Options)
    return {name: _comparable(description.options[name]) for name in names if name in description.options}


def _own(options: Any, name: str) -> Any:
    return _comparable(options.model_dump(mode="json")[name])


def _comparable(value: Any) -> Any:
    """Return a value as it is written: a size of numbers and its text are the same."""
    if isinstance(value, list | tuple):
        return "x".join(f"{number:g}" for number in value)
    return value


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)


def _count(channels: int) -> str:
    return f"{channels} channel{'s' if channels != 1 else ''}"


def _network_title(name: str) -> str:
    from dl4fiji import networks

    return next((network.title for network in networks.NETWORKS if network.name == name), repr(name))
