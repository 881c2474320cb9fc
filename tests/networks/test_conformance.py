"""What every network must fulfil; a new one is tested by its line in NETWORKS."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from conformance import RULES, Case, imported_when_asked
from dl4fiji.errors import NotFoundError
from dl4fiji.network import Network
from dl4fiji.networks import NETWORKS, get

EVERY = pytest.mark.parametrize("network", NETWORKS, ids=lambda network: network.name)


@EVERY
@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_keeps_the_rule(network: Network, rule: Callable[[Case], None], case: Callable[[Network], Case]) -> None:
    rule(case(network))


def test_networks_need_no_tensorflow_until_they_are_built() -> None:
    assert imported_when_asked("from dl4fiji.networks import NETWORKS as networks") == []


def test_names_and_titles_tell_networks_apart() -> None:
    assert len({network.name for network in NETWORKS}) == len(NETWORKS)
    assert len({network.title.lower() for network in NETWORKS}) == len(NETWORKS)


def test_unknown_network_is_told_with_those_there_are() -> None:
    with pytest.raises(NotFoundError, match=r"'care-4d'.*care-2d, care-3d"):
        get("care-4d")


@EVERY
def test_is_found_by_name_and_title(network: Network) -> None:
    assert get(network.name) is network
    assert get(f" {network.title.upper()} ") is network
