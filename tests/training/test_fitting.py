"""Which options must agree with those of a model to start from."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, get_args

import pytest

from dl4fiji.errors import OptionError
from dl4fiji.network import Network
from dl4fiji.networks import NETWORKS
from dl4fiji.networks.peers import Description, describe_peer
from dl4fiji.options import architecture_options, check_options
from dl4fiji.training.fitting import mismatches, taken_over

NAMED = {network.name: network for network in NETWORKS}


def _others(network: Network, name: str) -> Iterator[Any]:
    """Yield values of an option beside its default; not all of them need be allowed."""
    field = network.Options.model_fields[name]
    default = field.default
    if isinstance(default, bool):
        yield not default
    elif isinstance(default, int | float):
        yield from (2 * default, default + 2, default - 1, default / 2)
    elif isinstance(default, tuple):
        yield from ("4x4", "8x8x8", "2x1x1", "64x64", "32x32x32")
    yield from get_args(field.annotation) if isinstance(default, str) else ()


@pytest.mark.parametrize("network", NETWORKS, ids=lambda network: network.name)
def test_no_other_option_changes_the_number_of_weights(network: Network) -> None:
    parameters = network.footprint(network.Options(), 2, 2).parameters
    free = [name for name in network.Options.model_fields if name not in architecture_options(network.Options)]
    assert len(free) > 5
    tried = set()
    for name in free:
        for value in _others(network, name):
            try:
                options = check_options(network.Options, {name: value}, network.title)
            except OptionError:
                continue
            tried.add(name)
            assert network.footprint(options, 2, 2).parameters == parameters, (name, value)
    assert len(tried) > len(free) / 2


@pytest.mark.parametrize("network", NETWORKS, ids=lambda network: network.name)
def test_a_model_of_ours_fits_its_own_options_and_no_others(network: Network) -> None:
    options = network.Options()
    description = Description(network.name, options.model_dump(mode="json"), (1, 1))
    assert mismatches("It", description, network, options, (1, 1)) == []
    for name in architecture_options(network.Options):
        for value in _others(network, name):
            try:
                other = check_options(network.Options, {name: value}, network.title)
            except OptionError:
                continue
            if options.model_dump(mode="json")[name] not in ("0", other.model_dump(mode="json")[name]):
                (problem,) = mismatches("It", description, network, other)
                assert f"set {name} to {str(options.model_dump(mode='json')[name]).lower()}." in problem


@pytest.mark.parametrize(
    "config", [None, [], "text", {}, {"unet_n_depth": 2}, {"unet_n_depth": 2, "n_dim": 7}, {"n_rays": 3, "n_dim": "x"}]
)
def test_configurations_that_say_nothing_are_no_hindrance(config: Any) -> None:
    description = describe_peer(config)
    assert description == Description()
    assert mismatches("It", description, NAMED["care-2d"], NAMED["care-2d"].Options(), (1, 1)) == []


def test_networks_of_later_versions_are_named() -> None:
    care = NAMED["care-2d"]
    (problem,) = mismatches("It", Description("hologram-4d"), care, care.Options())
    assert problem.startswith("It is a model of 'hologram-4d', not of CARE 2D")


def test_a_learning_rate_is_taken_over_unless_chosen() -> None:
    options = NAMED["care-2d"].Options()
    assert taken_over(Description(learning_rate=1e-5), options) == {"learning_rate": 1e-5}
    assert taken_over(Description(learning_rate=1e-5), options.model_copy(update={"learning_rate": 1e-3})) == {}
    assert taken_over(Description(), options) == {}
