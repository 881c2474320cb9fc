"""Whether a model fits the training that shall start from it, said before the training starts."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from dl4fiji.network import Network
from dl4fiji.networks.peers import Description
from dl4fiji.options import architecture_options

_LEFT = "0"
"""How options look that are left to the data; no other one of the architecture is a text of one number."""


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
            f"{title} was built with {_listed(description.obstacles)}, which {network.title} here does not offer: "
            "choose another model to start from."
        )
    known = _architecture(description, options)
    others = {name: value for name, value in known.items() if _own(options, name) not in (value, _LEFT)}
    if others:
        theirs = _listed(f"{name} {_text(value)}" for name, value in others.items())
        ours = _listed(_text(_own(options, name)) for name in others)
        remedy = _listed(f"{name} to {_text(value)}" for name, value in others.items())
        problems.append(f"{title} was trained with {theirs}, but this training has {ours}: set {remedy}.")
    problems += _other_channels(title, description, channels) if channels else []
    return problems


def taken_over(description: Description, options: Any) -> dict[str, Any]:
    """Return the options that a training takes from the model that it starts from, as JSON.

    These are those that it leaves to the data, such as StarDist's grid, and the learning rate. Dialogs send all
    options, so a learning rate that is the default does not count as chosen.
    """
    found = {name: value for name, value in _architecture(description, options).items() if _own(options, name) == _LEFT}
    default = type(options).model_fields["learning_rate"].default
    if description.learning_rate is not None and options.learning_rate == default:
        found["learning_rate"] = description.learning_rate
    return found


def _other_channels(title: str, description: Description, channels: tuple[int, int]) -> list[str]:
    """Return what is to be said if the images have other channels than the model."""
    theirs = description.channels
    if all(known in (None, asked) for known, asked in zip(theirs, channels, strict=True)):
        return []
    gives = "" if theirs[1] is None else f" and gives {theirs[1]}"
    asks = "" if theirs[1] is None else f" and ask for {channels[1]}"
    return [
        f"{title} takes {_count(theirs[0])}{gives}, but these images have {channels[0]}{asks}: choose another model to "
        "start from, or other images."
    ]


def _architecture(description: Description, options: Any) -> dict[str, Any]:
    """Return what is known of the options that say which layers the network has."""
    names = [name for name in architecture_options(type(options)) if name in description.options]
    known = {name: _comparable(description.options[name]) for name in names}
    return {name: value for name, value in known.items() if value != _LEFT}


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


def _listed(texts: Iterable[str]) -> str:
    """Return ``a, b and c``."""
    *first, last = texts
    return f"{', '.join(first)} and {last}" if first else last


def _count(channels: int | None) -> str:
    return f"{channels} channel{'s' if channels != 1 else ''}"


def _network_title(name: str) -> str:
    from dl4fiji import networks

    return next((network.title for network in networks.NETWORKS if network.name == name), repr(name))
