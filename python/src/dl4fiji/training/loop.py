"""The one training loop of all networks."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from dl4fiji.errors import DL4FijiError
from dl4fiji.network import Batch
from dl4fiji.progress import Progress, stop_if_canceled
from dl4fiji.schedule import Schedule, epochs_without_progress
from dl4fiji.training.checkpoint import Checkpoint, Checkpoints
from dl4fiji.training.history import COLUMNS, History, Row, best_row
from dl4fiji.training.prefetch import Prefetcher

_REPORT_SECONDS = 0.1
"""At most this often the progress is told; each telling also looks whether the loss is still a number."""


@dataclass(frozen=True)
class Plan:
    """What a training is to do."""

    epochs: int
    steps_per_epoch: int
    batch_size: int
    patience: int
    """Epochs without a lower validation loss before it stops; 0: never."""
    schedule: Schedule


class Loop:
    """Trains one network, epoch by epoch, from its newest checkpoint on.

    Parameters
    ----------
    trainee
        The compiled Keras model that is trained (`Network.compile`).
    model
        The Keras model whose weights are kept: ``trainee`` itself or a part of it.
    make_batch
        Returns the batch of (epoch, step), both counted from 0; the same numbers give the same batch.
    validation
        The validation batches.
    plan
        What to do.
    history, checkpoints
        Where the rows and the states go.
    progress
        Told each step and epoch; asked after each batch whether to stop.
    """

    def __init__(
        self,
        trainee: Any,
        model: Any,
        make_batch: Callable[[int, int], Batch],
        validation: Sequence[Batch],
        plan: Plan,
        history: History,
        checkpoints: Checkpoints,
        progress: Progress,
    ) -> None:
        self._trainee, self._model, self._plan = trainee, model, plan
        self._make_batch, self._validation = make_batch, validation
        self._history, self._checkpoints, self._progress = history, checkpoints, progress
        self._train_step, self._test_step = _compile_steps(trainee)
        self._clock = _Clock()

    def restore(self) -> int:
        """Go to the newest checkpoint, if there is one, and return how many epochs are done."""
        checkpoint = self._checkpoints.restore(self._trainee)
        self._history.restart(checkpoint.rows if checkpoint else [])
        return len(self._history.rows)

    def run(self) -> None:
        """Train until all epochs are done or the validation loss has stayed for ``patience`` epochs.

        Raises
        ------
        Canceled
            If the user asked to stop; the state of the last whole epoch is in the checkpoints.
        DL4FijiError
            If the loss is no longer a number.
        """
        plan, start = self._plan, self.restore()
        if self._finished(start):
            return

        def make(index: int) -> Batch:
            epoch, step = divmod(index, plan.steps_per_epoch)
            return _to_tensors(self._make_batch(start + epoch, step))

        with Prefetcher(make, (plan.epochs - start) * plan.steps_per_epoch) as batches:
            iterator = iter(batches)
            for epoch in range(start, plan.epochs):
                self._epoch(epoch, iterator)
                if self._finished(epoch + 1):
                    return

    @property
    def stopped_early(self) -> bool:
        """Tell whether the validation loss has stayed for ``patience`` epochs."""
        return 0 < self._plan.patience <= epochs_without_progress(self._history.val_losses)

    @property
    def steps_per_second(self) -> float:
        """Training steps per second of late, validation left out; 0 if there were none."""
        return self._clock.steps_per_second

    def _finished(self, epochs_done: int) -> bool:
        return epochs_done >= self._plan.epochs or self.stopped_early

    def _epoch(self, epoch: int, batches: Iterable[Batch]) -> None:
        """Train one epoch, validate, and keep the state; ``epoch`` counts from 0."""
        began = time.monotonic()
        rate = self._plan.schedule.learning_rate(self._history.val_losses)
        for optimizer in optimizers_of(self._trainee):
            optimizer.learning_rate.assign(rate)
        logs = self._train(epoch, batches)
        validation = self._validate(epoch)
        row = _row(epoch, logs, validation, rate, time.monotonic() - began)
        self._keep(row)
        self._progress.epoch(row)

    def _train(self, epoch: int, batches: Iterable[Batch]) -> dict[str, float]:
        """Go through the batches of one epoch and return the means of loss and metrics."""
        steps, reported, logs = self._plan.steps_per_epoch, 0.0, {}
        self._trainee.reset_metrics()
        for step, batch in zip(range(steps), batches, strict=False):
            logs = self._train_step(*batch)
            self._clock.tick()
            now = time.monotonic()
            if now - reported >= _REPORT_SECONDS or step == steps - 1:
                reported = now
                self._report(epoch, step + 1, self._numbers(epoch, logs)["loss"])
            stop_if_canceled(self._progress)
        return self._numbers(epoch, logs)

    def _validate(self, epoch: int) -> dict[str, float]:
        """Return the means of loss and metrics over the validation batches."""
        began, logs = time.monotonic(), {}
        self._trainee.reset_metrics()
        for batch in self._validation:
            logs = self._test_step(*_to_tensors(batch))
            stop_if_canceled(self._progress)
        self._clock.validated(time.monotonic() - began)
        return self._numbers(epoch, logs)

    def _keep(self, row: Row) -> None:
        """Write best weights, checkpoint and history, in an order that a kill at any point does no harm to."""
        rows = [*self._history.rows, row]
        best = best_row(rows)
        assert best is not None
        if best is row:
            self._checkpoints.save_best(self._model, int(row["epoch"]))
        self._checkpoints.save(self._trainee, Checkpoint(len(rows), int(best["epoch"]), self._plan.batch_size, rows))
        self._history.append(row)

    def _report(self, epoch: int, step: int, loss: float) -> None:
        plan = self._plan
        done, total = epoch * plan.steps_per_epoch + step, plan.epochs * plan.steps_per_epoch
        left = self._clock.seconds_left(total - done, plan.epochs - epoch)
        self._progress.update(
            done,
            total,
            epoch=epoch + 1,
            epochs=plan.epochs,
            loss=loss,
            seconds_left=left,
            steps_per_second=self._clock.steps_per_second,
        )

    def _numbers(self, epoch: int, logs: dict[str, Any]) -> dict[str, float]:
        """Return ``logs`` as plain numbers; DL4FijiError if the loss is not finite."""
        numbers = {name: float(value) for name, value in logs.items()}
        if not math.isfinite(numbers["loss"]):
            rate = self._plan.schedule.learning_rate(self._history.val_losses)
            raise DL4FijiError(
                f"The training broke down in epoch {epoch + 1}, its loss is no longer a number: take a learning rate "
                f"below {rate:g}, and look for extreme values in the images."
            )
        return numbers


class _Clock:
    """Estimates how long the rest will take."""

    def __init__(self) -> None:
        self._last = 0.0
        self._step_seconds = 0.0
        self._validation_seconds = 0.0
        self._first = True

    def tick(self) -> None:
        """Note that a step has ended; the first, which builds the graph, does not count."""
        now = time.monotonic()
        if self._last:
            seconds = now - self._last
            weight = 0.05 if self._step_seconds else 1.0
            self._step_seconds += weight * (seconds - self._step_seconds)
        self._last = now

    def validated(self, seconds: float) -> None:
        """Note how long a validation took."""
        self._validation_seconds = seconds
        self._last = 0.0

    @property
    def steps_per_second(self) -> float:
        """Training steps per second at present; 0 if not known yet."""
        return 1 / self._step_seconds if self._step_seconds else 0.0

    def seconds_left(self, steps: int, validations: int) -> float | None:
        """Return the estimated seconds for so many steps and validations; None if not known yet."""
        if not self._step_seconds:
            return None
        return steps * self._step_seconds + validations * self._validation_seconds


def optimizers_of(trainee: Any) -> list[Any]:
    """Return the optimisers of a compiled model: its ``optimizers`` if it has several, else its one."""
    several = getattr(trainee, "optimizers", None)
    return list(several) if several else [trainee.optimizer]


def build_optimizers(trainee: Any) -> None:
    """Create the variables of the optimiser, so that a checkpoint finds them; several build themselves."""
    if not getattr(trainee, "optimizers", None):
        trainee.optimizer.build(trainee.trainable_variables)


def _compile_steps(trainee: Any) -> tuple[Callable[..., dict[str, Any]], Callable[..., dict[str, Any]]]:
    """Return the training and the validation step as TensorFlow graphs."""
    from dl4fiji.keras_setup import import_tensorflow

    tf = import_tensorflow()
    build_optimizers(trainee)

    def train(source: Any, target: Any) -> dict[str, Any]:
        return trainee.train_step((source, target))

    def test(source: Any, target: Any) -> dict[str, Any]:
        return trainee.test_step((source, target))

    # Without autograph: csbdeep's losses are lambdas, whose source it cannot find.
    graph = tf.function(autograph=False, reduce_retracing=True)
    return graph(train), graph(test)


def _to_tensors(batch: Batch) -> Any:
    from dl4fiji.keras_setup import import_tensorflow

    tf = import_tensorflow()
    return tf.nest.map_structure(tf.convert_to_tensor, batch)


def _row(epoch: int, logs: dict[str, float], validation: dict[str, float], rate: float, seconds: float) -> Row:
    """Return a row of the history; the epoch is counted from 1 there."""
    row = {
        "epoch": float(epoch + 1),
        "loss": logs["loss"],
        "val_loss": validation["loss"],
        "learning_rate": rate,
        "seconds": round(seconds, 3),
    }
    metrics = [name for name in logs if name not in COLUMNS]
    row |= {name: logs[name] for name in metrics}
    row |= {f"val_{name}": validation[name] for name in validation if name not in COLUMNS}
    return row
