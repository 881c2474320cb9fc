"""The rules that every network must keep, each a function that raises AssertionError if it is broken.

`networks/test_conformance.py` asks them of all of NETWORKS, `networks/test_broken_networks.py` shows that each finds
a network that breaks it.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from dl4fiji.data.dataset import Dataset
from dl4fiji.data.normalization import FixedNormalization, PercentileNormalization, ZScoreNormalization
from dl4fiji.data.patches import PatchSource
from dl4fiji.errors import DL4FijiError
from dl4fiji.network import Network
from dl4fiji.options import check_options

CHANNELS = ((1, 1), (2, 2), (3, 1), (1, 2))
"""Channels of input and output, as far as a network takes them."""


@dataclass(frozen=True)
class Case:
    """A network with what is needed to try it out.

    Parameters
    ----------
    network
        The network.
    options
        Returns options with which it trains in no time; keywords override.
    dataset
        Returns its small data.
    patches
        Returns the patches of these data.
    """

    network: Network
    options: Callable[..., Any]
    dataset: Callable[[], Dataset]
    patches: Callable[[], PatchSource]


def describes_itself(case: Case) -> None:
    """Name, description, axes and citations are such as menus, folders and packages need."""
    network = case.network
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", network.name), f"name {network.name!r}"
    assert re.fullmatch(r"[A-Z].*\.", network.description), f"no sentence: {network.description!r}"
    assert network.axes in ("YXC", "ZYXC"), f"axes {network.axes}"
    assert network.citations, "nothing to cite"
    for citation in network.citations:
        assert citation.text, "a citation without text"
        assert citation.doi.startswith("10."), f"no DOI: {citation.doi!r}"


def options_are_documented_and_limited(case: Case) -> None:
    """Dialogs, forms and reference show help and unit; limits keep out what cannot work."""
    for name, schema in case.network.Options.model_json_schema()["properties"].items():
        assert re.fullmatch(r"[A-Z].*\.", schema.get("description", "")), f"{name} has no sentence of help"
        assert "unit" in schema, f"{name} has no unit"
        assert "advanced" in schema, f"{name} does not say whether it is advanced"
        if schema.get("type") in ("integer", "number"):
            assert {"minimum", "exclusiveMinimum"} & set(schema), f"{name} has no lower limit"
            assert {"maximum", "exclusiveMaximum"} & set(schema), f"{name} has no upper limit"


def defaults_survive_json(case: Case) -> None:
    """A request can be kept and run again."""
    network = case.network
    options = network.Options()
    again = check_options(network.Options, options.model_dump(mode="json"), network.title)
    assert again == options, f"{again} is not {options}"


def is_free_in_batch_and_space(case: Case) -> None:
    """Images of any size that the divisor allows go in; what comes out has their size and the channels told."""
    network, options = case.network, case.options()
    for channels in dict.fromkeys(_possible(network, channels) for channels in CHANNELS):
        model = network.build(options, *channels)
        assert all(size is None for size in model.input_shape[:-1]), f"the input is fixed: {model.input_shape}"
        last = max(output.channels[1] for output in network.outputs(options, channels[1]))
        for batch, times in ((1, 2), (3, 5)):
            size = tuple(times * step for step in network.divisor(options).values())
            shape = model.predict_on_batch(np.zeros((batch, *size, channels[0]), np.float32)).shape
            assert shape == (batch, *size, last), f"{shape} for {(batch, *size, channels[0])}"


def footprint_counts_the_parameters(case: Case) -> None:
    """The memory forecast knows the network without building it."""
    network = case.network
    for values in ({}, {"depth": 2, "kernel_size": 5, "first_filters": 6}):
        options = case.options(**values)
        for channels in ((1, 1), _possible(network, (2, 3))):
            counted = network.footprint(options, *channels).parameters
            parameters = network.build(options, *channels).count_params()
            assert counted == parameters, f"{counted} counted, {parameters} there"


def sees_no_farther_than_its_halo(case: Case) -> None:
    """A changed pixel changes nothing beyond the halo, wherever it lies on the pooling grid."""
    network, options = case.network, case.options()
    model = _before_probabilities(network.build(options, 1, 1))
    # Positive weights let every path through, whatever the initial ones do.
    model.set_weights([np.full_like(weight, 0.1) for weight in model.get_weights()])
    divisor, halo = network.divisor(options), network.halo(options)
    assert all(halo[axis] % divisor[axis] == 0 for axis in divisor), f"halo {halo} off the grid of {divisor}"
    size = tuple(2 * halo[axis] + 2 * divisor[axis] for axis in divisor)
    for shift in range(next(iter(divisor.values()))):
        image = np.zeros((1, *size, 1), np.float32)
        center = tuple(halo[axis] + shift for axis in divisor)
        before = model.predict_on_batch(image)
        image[(0, *center, 0)] = 100
        changed = np.argwhere(np.abs(model.predict_on_batch(image) - before)[0].max(axis=-1) > 1e-6)
        reach = np.abs(changed - np.array(center)).max(axis=0)
        assert all(reach <= [halo[axis] for axis in divisor]), f"sees {reach}, says {halo}"
        assert all(reach >= 1), "sees nothing around a pixel"


def outputs_tell_all_channels(case: Case) -> None:
    """Outputs have names of their own and follow one after the other, from the first channel to the last."""
    network, options = case.network, case.options()
    for channels in CHANNELS:
        outputs = network.outputs(options, _possible(network, channels)[1])
        assert outputs, "no output"
        assert len({output.name for output in outputs}) == len(outputs), "two outputs of one name"
        assert outputs[0].channels[0] == 0, "the first output does not begin at channel 0"
        assert all(first.channels[1] == second.channels[0] for first, second in pairwise(outputs)), "gap or overlap"
        assert all(output.channels[0] < output.channels[1] for output in outputs), "an output without channels"


def can_be_frozen_for_fiji(case: Case) -> None:
    """Its graph has no operation that Fiji's TensorFlow 1.15 lacks or that could do more than compute."""
    from dl4fiji.export.frozen_graph import OUTPUT, freeze
    from dl4fiji.export.serving import network_function
    from dl4fiji.keras_setup import import_tensorflow

    network = case.network
    model = network.build(case.options(), 1, 1)
    shape = [None] * len(network.axes) + [1]
    try:
        freeze(network_function(import_tensorflow(), model), shape, [OUTPUT], model)
    except DL4FijiError as error:
        raise AssertionError(error.message) from error


def batches_follow_from_seed_and_step(case: Case) -> None:
    """The same step gives the same batch, so that a resumed training goes on as it would have; another another."""
    network, patches, options = case.network, case.patches(), case.options()
    first = network.batch(patches, options, 1, 2)
    again = network.batch(patches, options, 1, 2)
    other = network.batch(patches, options, 1, 3)
    for one, two in zip(arrays(first), arrays(again), strict=True):
        np.testing.assert_array_equal(one, two)
        assert one.dtype == np.float32, f"{one.dtype} in place of float32"
        assert one.shape[0] == options.batch_size, f"{one.shape[0]} patches in a batch of {options.batch_size}"
    assert not np.array_equal(arrays(first)[0], arrays(other)[0]), "two steps have the same batch"


def validation_batches_hold_all_validation_patches(case: Case) -> None:
    """Each validation patch is there, in the same order, with the same hidden pixels, each time.

    Once where there is a target; where the network hides pixels, it may show all patches several times.
    """
    network, patches, options = case.network, case.patches(), case.options()
    batches, again = (network.validation_batches(patches, options) for _ in range(2))
    expected = patches.validation()
    for role in (0, 1):
        for number in range(len(arrays(batches[0][role]))):
            whole, repeated = (
                np.concatenate([arrays(batch[role])[number] for batch in which]) for which in (batches, again)
            )
            np.testing.assert_array_equal(whole, repeated)
            times = 1 if network.data_form == "paired" else max(1, len(whole) // len(expected[role]))
            assert len(whole) == times * len(expected[role]), f"{len(whole)} patches of {len(expected[role])}"
        if network.data_form == "paired" and (role == 0 or network.task != "instances"):
            whole = np.concatenate([arrays(batch[role])[0] for batch in batches])
            # Further channels of the target are weights of pixels.
            np.testing.assert_array_equal(whole[..., : expected[role].shape[-1]], expected[role])
    assert all(len(source) <= options.batch_size for source, _ in batches), "a batch that is too large"


def reports_the_loss_of_the_best(case: Case) -> None:
    """What is trained tells a finite ``loss``, by which the best weights are chosen and the training stops early."""
    network, patches, options = case.network, case.patches(), case.options()
    trainee = network.compile(network.build(options, 1, 1), options)
    for batch in network.validation_batches(patches, options):
        found = trainee.test_on_batch(*batch, return_dict=True)
        assert "loss" in found, f"no loss among {sorted(found)}"
        assert np.isfinite(found["loss"]), f"loss {found['loss']}"


def learns(case: Case) -> None:
    """Twenty steps on one batch make its loss smaller."""
    network, patches, options = case.network, case.patches(), case.options(learning_rate=3e-3)
    trainee = network.compile(network.build(options, 1, 1), options)
    batch = network.batch(patches, options, 0, 0)
    before = trainee.test_on_batch(*batch, return_dict=True).get("loss", np.nan)
    for _ in range(20):
        trainee.train_on_batch(*batch)
    after = trainee.test_on_batch(*batch, return_dict=True).get("loss", np.nan)
    assert after < before, f"loss {before} before, {after} after"


def normalizes_the_same_each_time(case: Case) -> None:
    """The normalization follows from options and data alone, and is one that export and Fiji can carry out."""
    options, dataset = case.network.Options(), case.dataset().split(30, seed=1)
    first, second = (case.network.normalization(options, dataset) for _ in range(2))
    assert isinstance(first, PercentileNormalization | FixedNormalization | ZScoreNormalization), f"{first}"
    assert first == second, f"{first}, then {second}"


def settles_on_the_same_options(case: Case) -> None:
    """What options leave to the data follows from these alone; settled options stay as they are."""
    options, dataset = case.options(), case.dataset().split(30, seed=1)
    settled, told = case.network.settle(options, dataset)
    assert isinstance(settled, type(options)), f"settles on {settled!r}"
    assert all(re.fullmatch(r"[A-Z].*\.", sentence) for sentence in told), f"no sentences: {told}"
    assert case.network.settle(options, dataset) == (settled, told), "settles on other options the second time"
    assert case.network.settle(settled, dataset)[0] == settled, "settles on others when they are settled"


def begins_with_the_learning_rate_given(case: Case) -> None:
    """The option ``learning_rate`` has its effect."""
    for options in (case.options(), case.options(learning_rate=0.0123)):
        rate = case.network.schedule(options).learning_rate([])
        assert rate == options.learning_rate, f"begins with {rate} in place of {options.learning_rate}"


def tells_what_it_minimizes(case: Case) -> None:
    """The methods section names the loss, and another one where the options choose another one."""
    network = case.network
    text = network.loss_text(network.Options())
    assert re.fullmatch(r"the [^{}]*[^.{}]", text), f"loss in words: {text!r}"
    for name, schema in network.Options.model_json_schema()["properties"].items():
        if not name.endswith("loss"):
            continue
        texts = {network.loss_text(network.Options(**{name: value})) for value in schema["enum"]}
        assert len(texts) == len(schema["enum"]), f"the same words for several values of {name}: {texts}"


RULES: tuple[Callable[[Case], None], ...] = (
    describes_itself,
    options_are_documented_and_limited,
    defaults_survive_json,
    is_free_in_batch_and_space,
    footprint_counts_the_parameters,
    sees_no_farther_than_its_halo,
    outputs_tell_all_channels,
    can_be_frozen_for_fiji,
    batches_follow_from_seed_and_step,
    validation_batches_hold_all_validation_patches,
    reports_the_loss_of_the_best,
    learns,
    normalizes_the_same_each_time,
    settles_on_the_same_options,
    begins_with_the_learning_rate_given,
    tells_what_it_minimizes,
)
"""All rules but that of `imported_when_asked`, which needs a process of its own."""


def imported_when_asked(networks: str) -> list[str]:
    """Return which heavy packages come with what the service asks of networks; none may.

    Parameters
    ----------
    networks
        Python that defines ``networks``, those to be asked.
    """
    code = (
        f"import sys\n{networks}\n"
        "for n in networks:\n"
        "    o = n.Options(); n.halo(o); n.divisor(o); n.outputs(o, 1); n.footprint(o, 1, 1); n.schedule(o)\n"
        "    n.loss_text(o); n.Options.model_json_schema()\n"
        "heavy = ('tensorflow', 'tf_keras', 'keras', 'csbdeep', 'n2v', 'stardist', 'jpype')\n"
        "print(*[m for m in heavy if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.split()


def arrays(batch: Any) -> list[np.ndarray]:
    """Return all arrays of a batch, or of its input or target, which may be tuples."""
    return [batch] if isinstance(batch, np.ndarray) else [array for part in batch for array in arrays(part)]


def _possible(network: Network, channels: tuple[int, int]) -> tuple[int, int]:
    """Return channels of input and output; they are the same where there is no target."""
    return channels if network.data_form == "paired" else (channels[0], channels[0])


def _before_probabilities(model: Any) -> Any:
    """Return the model without its last layer where that is a sigmoid or softmax, which flattens large values."""
    from dl4fiji.keras_setup import import_tensorflow

    keras = import_tensorflow().keras
    if not isinstance(model.layers[-1], keras.layers.Activation):
        return model
    return keras.Model(model.input, model.layers[-2].output)
