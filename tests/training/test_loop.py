"""The loop on a tiny real problem."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import ndimage

from dl4fiji.errors import Canceled, DL4FijiError
from dl4fiji.keras_setup import import_tensorflow, seed_everything
from dl4fiji.networks import get
from dl4fiji.schedule import Constant, Plateau
from dl4fiji.training.checkpoint import Checkpoints
from dl4fiji.training.history import History, read_history
from dl4fiji.training.loop import Loop, Plan

CARE = get("care-2d")


def _patches(count: int = 24) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    clean = ndimage.gaussian_filter(rng.normal(size=(count, 16, 16, 1)), (0, 2, 2, 0)) * 5
    return (clean + rng.normal(0, 0.3, clean.shape)).astype(np.float32), clean.astype(np.float32)


class Problem:
    """A loop with all that belongs to it."""

    def __init__(self, folder: Path, options: Any, progress: Any, **plan: Any) -> None:
        seed_everything(1, deterministic=True)
        self.noisy, self.clean = _patches()
        self.model = plan.pop("model", None) or CARE.build(options, 1, 1)
        trainee = self.model if self.model.optimizer else CARE.compile(self.model, options)
        self.trainee = plan.pop("trainee", trainee)
        self.history = History(folder / "history.csv")
        self.checkpoints = Checkpoints(folder / "checkpoints")
        self.drawn: list[tuple[int, int]] = []
        usual = {"epochs": 4, "steps_per_epoch": 5, "batch_size": 4, "patience": 0, "schedule": CARE.schedule(options)}
        validation = [(self.noisy[16:20], self.clean[16:20]), (self.noisy[20:], self.clean[20:])]
        self.loop = Loop(
            self.trainee, self.model, self.batch, validation, Plan(**(usual | plan)), self.history, self.checkpoints,
            progress,
        )  # fmt: skip

    def batch(self, epoch: int, step: int) -> tuple[np.ndarray, np.ndarray]:
        self.drawn.append((epoch, step))
        chosen = np.random.default_rng((epoch, step)).integers(0, 16, 4)
        return self.noisy[chosen], self.clean[chosen]


def test_learns_and_tells(tmp_path: Path, tiny: Callable[..., Any], watcher: Any) -> None:
    progress = watcher()
    problem = Problem(tmp_path, tiny(learning_rate=0.01), progress, epochs=6)
    problem.loop.run()
    losses = problem.history.val_losses
    assert losses[-1] < 0.8 * losses[0]
    assert problem.drawn == [(epoch, step) for epoch in range(6) for step in range(5)]
    rows = read_history(tmp_path / "history.csv")
    assert rows == progress.rows == problem.history.rows
    assert [row["epoch"] for row in rows] == [1, 2, 3, 4, 5, 6]
    assert {"loss", "val_loss", "learning_rate", "seconds", "mae", "val_mae", "mse", "val_mse"} <= set(rows[0])
    last = progress.updates[-1]
    assert (last["done"], last["total"], last["epoch"], last["epochs"]) == (30, 30, 6, 6)
    assert last["steps_per_second"] > 0
    assert last["seconds_left"] >= 0
    assert problem.loop.steps_per_second > 0


def test_validation_loss_is_the_mean_over_all_validation_patches(
    tmp_path: Path, tiny: Callable[..., Any], watcher: Any
) -> None:
    problem = Problem(tmp_path, tiny(), watcher(), epochs=1)
    problem.loop.run()
    prediction = problem.model.predict_on_batch(problem.noisy[16:])
    expected = np.abs(prediction - problem.clean[16:]).mean()
    assert problem.history.rows[0]["val_loss"] == pytest.approx(expected, rel=1e-5)


def test_best_weights_are_those_of_the_lowest_validation_loss(
    tmp_path: Path, tiny: Callable[..., Any], watcher: Any
) -> None:
    problem = Problem(tmp_path, tiny(), watcher(), epochs=8, schedule=Constant(0.05))
    problem.loop.run()
    best = min(problem.history.rows, key=lambda row: row["val_loss"])
    assert best["epoch"] < 8, "the rate is so high that the last epoch is not the best"
    problem.model.load_weights(problem.checkpoints.best_weights(int(best["epoch"])))
    loss = np.abs(problem.model.predict_on_batch(problem.noisy[16:]) - problem.clean[16:]).mean()
    assert loss == pytest.approx(best["val_loss"], rel=1e-5)


def test_learning_rate_is_halved_on_a_plateau(tmp_path: Path, tiny: Callable[..., Any], watcher: Any) -> None:
    problem = Problem(tmp_path, tiny(), watcher(), epochs=12, schedule=Plateau(0.05, 1, 0.5))
    problem.loop.run()
    rows = problem.history.rows
    rates = [row["learning_rate"] for row in rows]
    assert rates[-1] < rates[0]
    for number, rate in enumerate(rates):
        assert rate == Plateau(0.05, 1, 0.5).learning_rate(problem.history.val_losses[:number])
    assert float(problem.trainee.optimizer.learning_rate.numpy()) == pytest.approx(rates[-1])


def test_stops_early(tmp_path: Path, tiny: Callable[..., Any], watcher: Any) -> None:
    problem = Problem(tmp_path, tiny(), watcher(), epochs=100, patience=2, schedule=Constant(0.1))
    problem.loop.run()
    losses = problem.history.val_losses
    assert len(losses) < 100
    assert problem.loop.stopped_early
    assert min(losses) == losses[-3]
    problem.loop.run()  # has nothing more to do
    assert len(problem.history.rows) == len(losses)


@pytest.mark.parametrize("batches", [1, 7, 13])
def test_cancel_takes_effect_after_the_batch(
    tmp_path: Path, tiny: Callable[..., Any], watcher: Any, batches: int
) -> None:
    whole = Problem(tmp_path / "whole", tiny(), watcher())
    whole.loop.run()
    progress = watcher(cancel_after=batches)
    problem = Problem(tmp_path / "cut", tiny(), progress)
    with pytest.raises(Canceled):
        problem.loop.run()
    assert progress.asked == batches
    # An epoch asks 5 times in training and twice in validation.
    assert len(problem.history.rows) == (batches - 1) // 7
    again = Problem(tmp_path / "cut", tiny(), watcher())
    again.loop.run()
    for one, two in zip(whole.model.get_weights(), again.model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, two)
    assert again.history.val_losses == whole.history.val_losses
    assert (0, 0) not in again.drawn or not problem.history.rows


def test_resumed_dropout_draws_the_same_numbers(tmp_path: Path, tiny: Callable[..., Any], watcher: Any) -> None:
    """Random layers keep their state in the checkpoint."""
    keras = import_tensorflow().keras

    def model() -> Any:
        layers = keras.layers.Conv2D(4, 3, padding="same"), keras.layers.Dropout(0.5, seed=3), keras.layers.Conv2D(1, 1)
        made = keras.Sequential([keras.Input((None, None, 1)), *layers])
        made.compile(keras.optimizers.Adam(1e-3), "mae")
        return made

    seed_everything(1, deterministic=True)
    whole = Problem(tmp_path / "whole", tiny(), watcher(), model=model())
    whole.loop.run()
    seed_everything(1, deterministic=True)
    with pytest.raises(Canceled):
        Problem(tmp_path / "cut", tiny(), watcher(cancel_after=17), model=model()).loop.run()
    seed_everything(1, deterministic=True)
    again = Problem(tmp_path / "cut", tiny(), watcher(), model=model())
    again.loop.run()
    for one, two in zip(whole.model.get_weights(), again.model.get_weights(), strict=True):
        np.testing.assert_allclose(one, two, atol=1e-6)


def test_loss_that_is_no_number_is_told(tmp_path: Path, tiny: Callable[..., Any], watcher: Any) -> None:
    problem = Problem(tmp_path, tiny(), watcher(), schedule=Constant(0.002))
    problem.clean[3] = np.nan
    with pytest.raises(DL4FijiError, match=r"broke down in epoch 1.*below 0\.002") as caught:
        problem.loop.run()
    assert "\n" not in caught.value.message
    assert problem.checkpoints.epochs() == []


def test_error_while_drawing_a_batch_ends_the_training(tmp_path: Path, tiny: Callable[..., Any], watcher: Any) -> None:
    problem = Problem(tmp_path, tiny(), watcher())

    def fails(epoch: int, step: int) -> Any:
        if (epoch, step) == (1, 2):
            raise OSError("the drive is gone")
        return problem.batch(epoch, step)

    problem.loop._make_batch = fails
    with pytest.raises(OSError, match="the drive is gone"):
        problem.loop.run()
    assert len(problem.history.rows) == 1


def test_network_with_a_training_step_of_its_own(tmp_path: Path, tiny: Callable[..., Any], watcher: Any) -> None:
    """As GANs have: two models, two optimizers, weights of one of them kept, all of it in the checkpoint."""
    tf = import_tensorflow()

    class Rivals(tf.keras.Model):
        def __init__(self, generator: Any) -> None:
            super().__init__()
            self.generator = generator
            self.critic = tf.keras.Sequential([tf.keras.Input((None, None, 1)), tf.keras.layers.Conv2D(2, 3)])
            self.optimizers = [tf.keras.optimizers.Adam(1e-3), tf.keras.optimizers.SGD(1e-3, momentum=0.9)]
            self.optimizers[0].build(self.generator.trainable_variables)
            self.optimizers[1].build(self.critic.trainable_variables)

        def train_step(self, data: Any) -> dict[str, Any]:
            source, target = data
            for optimizer, part in zip(self.optimizers, (self.generator, self.critic), strict=True):
                with tf.GradientTape() as tape:
                    made = self.generator(source, training=True)
                    gap = tf.reduce_mean(tf.abs(self.critic(made) - self.critic(target)))
                    loss = tf.reduce_mean(tf.abs(made - target)) + (gap if part is self.generator else -gap)
                optimizer.apply_gradients(
                    zip(tape.gradient(loss, part.trainable_variables), part.trainable_variables, strict=True)
                )
            return {"loss": tf.reduce_mean(tf.abs(made - target)), "gap": gap}

        def test_step(self, data: Any) -> dict[str, Any]:
            return {"loss": tf.reduce_mean(tf.abs(self.generator(data[0]) - data[1]))}

    def problem(folder: str, **progress: Any) -> Problem:
        seed_everything(1, deterministic=True)
        generator = CARE.build(tiny(), 1, 1)
        return Problem(
            tmp_path / folder, tiny(), watcher(**progress), model=generator, trainee=Rivals(generator),
            schedule=Constant(2e-3),
        )  # fmt: skip

    whole = problem("whole")
    whole.loop.run()
    with pytest.raises(Canceled):
        problem("cut", cancel_after=16).loop.run()
    again = problem("cut")
    again.loop.run()
    for one, two in zip(whole.trainee.get_weights(), again.trainee.get_weights(), strict=True):
        np.testing.assert_allclose(one, two, atol=1e-6)
    assert whole.history.val_losses[-1] < whole.history.val_losses[0]
    assert "gap" in whole.history.rows[0]
