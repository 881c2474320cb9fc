"""What every network must fulfil; a new one is tested by its line in NETWORKS."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from dl4fiji.data.dataset import Dataset
from dl4fiji.data.normalization import FixedNormalization, PercentileNormalization, ZScoreNormalization
from dl4fiji.errors import NotFoundError
from dl4fiji.network import Network
from dl4fiji.networks import NETWORKS, get
from dl4fiji.options import check_options

EVERY = pytest.mark.parametrize("network", NETWORKS, ids=lambda network: network.name)


def _size(network: Network, options: Any, times: int = 2) -> tuple[int, ...]:
    return tuple(times * step for step in network.divisor(options).values())


def _before_probabilities(model: Any) -> Any:
    """Return the model without its last layer where that is a sigmoid or softmax, which flattens large values."""
    from dl4fiji.keras_setup import import_tensorflow

    keras = import_tensorflow().keras
    if not isinstance(model.layers[-1], keras.layers.Activation):
        return model
    return keras.Model(model.input, model.layers[-2].output)


def _arrays(batch: Any) -> list[np.ndarray]:
    """Return all arrays of a batch, or of its input or target, which may be tuples."""
    return [batch] if isinstance(batch, np.ndarray) else [array for part in batch for array in _arrays(part)]


def _possible(network: Network, channels: tuple[int, int]) -> tuple[int, int]:
    """Return channels of input and output; they are the same where there is no target."""
    return channels if network.data_form == "paired" else (channels[0], channels[0])


def test_networks_need_no_tensorflow_until_they_are_built() -> None:
    code = (
        "import sys; from dl4fiji.networks import NETWORKS\n"
        "for n in NETWORKS:\n"
        "    o = n.Options(); n.halo(o); n.divisor(o); n.outputs(o, 1); n.footprint(o, 1, 1); n.schedule(o)\n"
        "    n.Options.model_json_schema()\n"
        "print([m for m in ('tensorflow', 'tf_keras', 'keras', 'csbdeep', 'jpype') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


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


@EVERY
def test_describes_itself(network: Network) -> None:
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", network.name)
    assert re.fullmatch(r"[A-Z].*\.", network.description)
    assert network.axes in ("YXC", "ZYXC")
    assert all(citation.text and citation.doi.startswith("10.") for citation in network.citations)


@EVERY
def test_options_are_documented_and_limited(network: Network) -> None:
    properties = network.Options.model_json_schema()["properties"]
    for name, schema in properties.items():
        assert re.fullmatch(r"[A-Z].*\.", schema["description"]), name
        assert "unit" in schema, name
        assert "advanced" in schema, name
        if schema.get("type") in ("integer", "number"):
            assert {"minimum", "exclusiveMinimum"} & set(schema), name
            assert {"maximum", "exclusiveMaximum"} & set(schema), name


@EVERY
def test_defaults_survive_json(network: Network) -> None:
    options = network.Options()
    assert check_options(network.Options, options.model_dump(mode="json"), network.title) == options


@EVERY
@pytest.mark.parametrize("channels", [(1, 1), (2, 2), (3, 1), (1, 2)])
def test_is_free_in_batch_and_space(
    network: Network, channels: tuple[int, int], small_options: Callable[..., Any]
) -> None:
    options, channels = small_options(network), _possible(network, channels)
    model = network.build(options, *channels)
    assert all(size is None for size in model.input_shape[:-1])
    last = max(output.channels[1] for output in network.outputs(options, channels[1]))
    for batch, times in ((1, 2), (3, 5)):
        size = _size(network, options, times)
        output = model.predict_on_batch(np.zeros((batch, *size, channels[0]), np.float32))
        assert output.shape == (batch, *size, last)


@EVERY
def test_footprint_counts_the_parameters(network: Network, small_options: Callable[..., Any]) -> None:
    for values in ({}, {"depth": 2, "kernel_size": 5, "first_filters": 6}):
        options = small_options(network, **values)
        for channels in ((1, 1), _possible(network, (2, 3))):
            model = network.build(options, *channels)
            assert network.footprint(options, *channels).parameters == model.count_params()


@EVERY
def test_sees_no_farther_than_its_halo(network: Network, small_options: Callable[..., Any]) -> None:
    """A changed pixel changes nothing beyond the halo, wherever it lies on the pooling grid."""
    options = small_options(network)
    model = _before_probabilities(network.build(options, 1, 1))
    # Positive weights let every path through, whatever the initial ones do.
    model.set_weights([np.full_like(weight, 0.1) for weight in model.get_weights()])
    divisor, halo = network.divisor(options), network.halo(options)
    assert all(halo[axis] % divisor[axis] == 0 for axis in divisor)
    size = tuple(2 * halo[axis] + 2 * divisor[axis] for axis in divisor)
    for shift in range(next(iter(divisor.values()))):
        image = np.zeros((1, *size, 1), np.float32)
        center = tuple(halo[axis] + shift for axis in divisor)
        before = model.predict_on_batch(image)
        image[(0, *center, 0)] = 100
        changed = np.argwhere(np.abs(model.predict_on_batch(image) - before)[0].max(axis=-1) > 1e-6)
        reach = np.abs(changed - np.array(center)).max(axis=0)
        assert all(reach <= [halo[axis] for axis in divisor])
        assert all(reach >= 1)


@EVERY
def test_batches_are_the_same_for_the_same_step(network: Network, small_patches: Any, small_options: Any) -> None:
    patches, options = small_patches(network), small_options(network)
    first = network.batch(patches, options, 1, 2)
    again = network.batch(patches, options, 1, 2)
    other = network.batch(patches, options, 1, 3)
    for one, two in zip(_arrays(first), _arrays(again), strict=True):
        np.testing.assert_array_equal(one, two)
        assert one.dtype == np.float32
        assert one.shape[:1] == (options.batch_size,)
    assert not np.array_equal(first[0], other[0])


@EVERY
def test_validation_batches_hold_all_validation_patches(
    network: Network, small_patches: Any, small_options: Any
) -> None:
    patches, options = small_patches(network), small_options(network)
    batches = network.validation_batches(patches, options)
    again = network.validation_batches(patches, options)
    expected = patches.validation()
    for role in (0, 1):
        for number in range(len(_arrays(batches[0][role]))):
            whole = np.concatenate([_arrays(batch[role])[number] for batch in batches])
            np.testing.assert_array_equal(whole, np.concatenate([_arrays(batch[role])[number] for batch in again]))
            assert len(whole) == len(expected[role])
        if network.data_form == "paired" and (role == 0 or network.task != "instances"):
            # Further channels of the target are weights of pixels.
            np.testing.assert_array_equal(whole[..., : expected[role].shape[-1]], expected[role])
    assert all(len(source) <= options.batch_size for source, _ in batches)


@EVERY
def test_learns(network: Network, small_patches: Any, small_options: Any) -> None:
    patches, options = small_patches(network), small_options(network, learning_rate=3e-3)
    model = network.build(options, 1, 1)
    trainee = network.compile(model, options)
    batch = network.batch(patches, options, 0, 0)
    before = trainee.test_on_batch(*batch, return_dict=True)["loss"]
    for _ in range(20):
        trainee.train_on_batch(*batch)
    assert trainee.test_on_batch(*batch, return_dict=True)["loss"] < before


@EVERY
def test_normalization_and_schedule_follow_from_options_and_data(
    network: Network, small_dataset: Callable[[Network], Dataset]
) -> None:
    options, dataset = network.Options(), small_dataset(network).split(30, seed=1)
    kinds = PercentileNormalization | FixedNormalization | ZScoreNormalization
    assert isinstance(network.normalization(options, dataset), kinds)
    assert network.normalization(options, dataset) == network.normalization(options, dataset)
    assert network.schedule(options).learning_rate([]) == options.learning_rate
