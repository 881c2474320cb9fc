"""Learning rates beside Keras' own callback."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dl4fiji.keras_setup import import_tensorflow
from dl4fiji.schedule import Constant, Plateau, epochs_without_progress

LOSSES = st.lists(st.sampled_from([0.1, 0.2, 0.3, 0.4, 0.5]), max_size=40)


@pytest.fixture(scope="module")
def keras() -> Any:
    return import_tensorflow().keras


@given(losses=LOSSES, patience=st.integers(1, 5), floor=st.sampled_from([0.0, 1e-4]))
@settings(max_examples=40, deadline=None)
def test_plateau_does_what_keras_does(keras: Any, losses: list[float], patience: int, floor: float) -> None:
    model = keras.Sequential([keras.layers.Dense(1, input_shape=(1,))])
    model.compile(keras.optimizers.SGD(learning_rate=4e-4), "mse")
    callback = keras.callbacks.ReduceLROnPlateau(factor=0.5, patience=patience, min_delta=0, min_lr=floor)
    callback.set_model(model)
    callback.on_train_begin()
    schedule = Plateau(4e-4, patience, 0.5, floor)
    for epoch, loss in enumerate(losses):
        rate = schedule.learning_rate(losses[:epoch])
        assert float(model.optimizer.learning_rate.numpy()) == pytest.approx(rate, rel=1e-5)
        callback.on_epoch_end(epoch, {"val_loss": loss})


def test_no_patience_never_reduces() -> None:
    assert Plateau(1e-3, 0).learning_rate([1.0] * 100) == 1e-3
    assert Constant(1e-3).learning_rate([1.0] * 100) == 1e-3


def test_floor_above_the_start_does_not_raise_the_rate() -> None:
    assert Plateau(1e-5, 1, 0.5, floor=1e-4).learning_rate([1.0] * 10) == 1e-5


def test_epochs_without_progress() -> None:
    assert epochs_without_progress([]) == 0
    assert epochs_without_progress([3, 2, 1]) == 0
    assert epochs_without_progress([1, 2, 3]) == 2
    assert epochs_without_progress([2, 1, 1]) == 1
