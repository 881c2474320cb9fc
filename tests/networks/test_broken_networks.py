"""Each rule of conformance finds a network that breaks it, and nothing but that network."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Annotated, Any

import numpy as np
import pytest
from pydantic import PlainSerializer

import conformance
from conformance import RULES, Case, imported_when_asked
from dl4fiji.data.dataset import Dataset
from dl4fiji.data.normalization import FixedNormalization
from dl4fiji.data.patches import PatchSource
from dl4fiji.keras_setup import import_tensorflow
from dl4fiji.network import Batch, Citation, Footprint, Network, Output
from dl4fiji.networks.care import Care2D, Care2DOptions
from dl4fiji.networks.noise2void import Noise2Void2D
from dl4fiji.networks.unet import UNet2D
from dl4fiji.options import option
from dl4fiji.schedule import Plateau, Schedule


class Nameless(Care2D):
    """Its name cannot be a folder's."""

    name = "CARE 2D!"


class Uncited(Care2D):
    """It names no publication by its DOI."""

    citations = (Citation("Somebody, somewhere."),)


class WithoutHelp(Care2D):
    """One of its options has no line of help."""

    class Options(Care2DOptions):
        """An option declared without `option`."""

        strength: float = 1.0


class WithoutLimit(Care2D):
    """One of its options may be anything."""

    class Options(Care2DOptions):
        """No upper limit."""

        strength: float = option(1.0, "How strong it is.", ge=0)


class Forgetful(Care2D):
    """One of its options changes when a request is kept."""

    class Options(Care2DOptions):
        """A number that is rounded."""

        strength: Annotated[float, PlainSerializer(lambda value: round(value, 1))] = option(
            0.125, "How strong it is.", ge=0, le=1
        )


class OfFixedSize(Care2D):
    """It takes images of one size."""

    def build(self, options: Any, channels_in: int, channels_out: int) -> Any:
        keras = import_tensorflow().keras
        image = keras.Input((32, 32, channels_in))
        return keras.Model(image, super().build(options, channels_in, channels_out)(image))


class Shrinking(Care2D):
    """Its result is smaller than the image."""

    def build(self, options: Any, channels_in: int, channels_out: int) -> Any:
        keras = import_tensorflow().keras
        model = super().build(options, channels_in, channels_out)
        return keras.Model(model.input, keras.layers.Cropping2D(1)(model.output))


class Miscounted(Care2D):
    """Its footprint lacks the last bias."""

    def footprint(self, options: Any, channels_in: int, channels_out: int) -> Footprint:
        counted = super().footprint(options, channels_in, channels_out)
        return replace(counted, parameters=counted.parameters - channels_out)


class ShortSighted(UNet2D):
    """Its halo is smaller than what it sees, so that tiles leave seams."""

    def halo(self, options: Any) -> dict[str, int]:
        return self.divisor(options)


class OffTheGrid(Care2D):
    """Its halo is no multiple of its divisor."""

    def halo(self, options: Any) -> dict[str, int]:
        return {axis: size + 1 for axis, size in super().halo(options).items()}


class Overlapping(Care2D):
    """Its outputs share a channel."""

    def outputs(self, options: Any, channels_out: int) -> tuple[Output, ...]:
        return Output("a", "first", (0, channels_out)), Output("b", "second", (channels_out - 1, channels_out))


class OfNewOperations(Care2D):
    """It computes what TensorFlow 1.15 has no operation for."""

    def build(self, options: Any, channels_in: int, channels_out: int) -> Any:
        tf = import_tensorflow()
        model = super().build(options, channels_in, channels_out)
        return tf.keras.Model(model.input, tf.keras.layers.Lambda(tf.math.erfinv)(model.output))


class Moody(Noise2Void2D):
    """It hides other pixels each time."""

    def _mask(self, source: np.ndarray, options: Any, rng: np.random.Generator) -> Batch:
        return super()._mask(source, options, np.random.default_rng())


class Monotonous(Care2D):
    """It trains on the same batch for ever."""

    def batch(self, patches: PatchSource, options: Any, epoch: int, step: int) -> Batch:
        return super().batch(patches, options, 0, 0)


class OfDoublePrecision(Care2D):
    """Its batches take twice the memory."""

    def batch(self, patches: PatchSource, options: Any, epoch: int, step: int) -> Batch:
        source, target = patches.draw(epoch, step)
        return source.astype(np.float64), target


class Careless(Care2D):
    """It leaves the last validation patch out."""

    def validation_batches(self, patches: PatchSource, options: Any) -> list[Batch]:
        source, target = patches.validation()
        return [(source[:-1], target[:-1])]


class Silent(Care2D):
    """Its validation tells metrics but no loss, so that no weights would be the best."""

    def compile(self, model: Any, options: Any) -> Any:
        keras = import_tensorflow().keras

        class Trainee(keras.Model):  # type: ignore[misc, name-defined]
            """Tells all but the loss."""

            def test_step(self, data: Any) -> dict[str, Any]:
                return {name: value for name, value in super().test_step(data).items() if name != "loss"}

        return super().compile(Trainee(model.input, model.output), options)


class Endless(Care2D):
    """Its loss is infinite."""

    def compile(self, model: Any, options: Any) -> Any:
        tf = import_tensorflow()
        model.compile(loss=lambda target, output: tf.reduce_mean(output - target) / 0.0)
        return model


class Unteachable(Care2D):
    """Its weights never change."""

    def compile(self, model: Any, options: Any) -> Any:
        model.trainable = False
        return super().compile(model, options)


class Wavering(Noise2Void2D):
    """Its normalization is that of a random choice of the data."""

    def normalization(self, options: Any, dataset: Dataset) -> FixedNormalization:
        whole = super().normalization(options, dataset)
        return FixedNormalization(
            mean=tuple(mean + np.random.default_rng().normal() for mean in whole.mean), std=whole.std
        )


class Undecided(Care2D):
    """It takes a deeper network each time."""

    def settle(self, options: Any, dataset: Dataset) -> tuple[Any, list[str]]:
        return options.model_copy(update={"depth": options.depth + 1}), []


class Hasty(Care2D):
    """It begins with a learning rate of its own."""

    def schedule(self, options: Any) -> Schedule:
        return Plateau(1e-3, options.reduce_lr_patience, factor=0.5)


class Curt(Care2D):
    """It has one word for all losses."""

    def loss_text(self, options: Any) -> str:
        return "the error"


class Speechless(Care2D):
    """It says nothing of its loss."""

    def loss_text(self, options: Any) -> str:
        return ""


BROKEN: tuple[tuple[Network, Callable[[Case], None], str], ...] = (
    (Nameless(), conformance.describes_itself, "name 'CARE 2D!'"),
    (Uncited(), conformance.describes_itself, "no DOI"),
    (WithoutHelp(), conformance.options_are_documented_and_limited, "strength has no sentence of help"),
    (WithoutLimit(), conformance.options_are_documented_and_limited, "strength has no upper limit"),
    (Forgetful(), conformance.defaults_survive_json, "strength=0.1 is not .* strength=0.125"),
    (OfFixedSize(), conformance.is_free_in_batch_and_space, "the input is fixed"),
    (Shrinking(), conformance.is_free_in_batch_and_space, r"\(1, 2, 2, 1\) for \(1, 4, 4, 1\)"),
    (Miscounted(), conformance.footprint_counts_the_parameters, "counted"),
    (ShortSighted(), conformance.sees_no_farther_than_its_halo, "sees .* says"),
    (OffTheGrid(), conformance.sees_no_farther_than_its_halo, "off the grid"),
    (Overlapping(), conformance.outputs_tell_all_channels, "gap or overlap"),
    (OfNewOperations(), conformance.can_be_frozen_for_fiji, "Erfinv"),
    (Moody(), conformance.batches_follow_from_seed_and_step, "not equal"),
    (Moody(), conformance.validation_batches_hold_all_validation_patches, "not equal"),
    (Monotonous(), conformance.batches_follow_from_seed_and_step, "two steps have the same batch"),
    (OfDoublePrecision(), conformance.batches_follow_from_seed_and_step, "float64"),
    (Careless(), conformance.validation_batches_hold_all_validation_patches, "patches of"),
    (Silent(), conformance.reports_the_loss_of_the_best, "no loss among"),
    (Endless(), conformance.reports_the_loss_of_the_best, "loss -?inf"),
    (Unteachable(), conformance.learns, "before"),
    (Wavering(), conformance.normalizes_the_same_each_time, "then"),
    (Undecided(), conformance.settles_on_the_same_options, "when they are settled"),
    (Hasty(), conformance.begins_with_the_learning_rate_given, "begins with 0.001"),
    (Curt(), conformance.tells_what_it_minimizes, "the same words for several values of loss"),
    (Speechless(), conformance.tells_what_it_minimizes, "loss in words: ''"),
)
"""Networks, the rule that each breaks, and what the rule says."""


@pytest.mark.parametrize(
    ("network", "rule", "says"),
    BROKEN,
    ids=[f"{type(broken).__name__}-{rule.__name__}" for broken, rule, _ in BROKEN],
)
def test_a_network_that_breaks_the_rule_is_found(
    network: Network, rule: Callable[[Case], None], says: str, case: Callable[[Network], Case]
) -> None:
    with pytest.raises(AssertionError, match=says):
        rule(case(network))


def test_each_rule_is_shown_to_fail() -> None:
    assert {rule for _, rule, _ in BROKEN} == set(RULES)


def test_a_network_that_needs_tensorflow_to_tell_its_halo_is_found() -> None:
    networks = (
        "from dl4fiji.keras_setup import import_tensorflow\n"
        "from dl4fiji.networks.care import Care2D\n"
        "class Heavy(Care2D):\n"
        "    def halo(self, options):\n"
        "        import_tensorflow()\n"
        "        return super().halo(options)\n"
        "networks = [Heavy()]"
    )
    assert "tensorflow" in imported_when_asked(networks)
