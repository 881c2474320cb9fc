"""Learning-rate schedules: pure functions of the validation losses so far.

The learning rate of an epoch follows from the history alone, so that a resumed training needs no counters
to continue exactly as an uninterrupted one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


class Schedule(Protocol):
    """Says the learning rate of the next epoch."""

    def learning_rate(self, val_losses: Sequence[float]) -> float:
        """Return the learning rate after epochs with these validation losses (none before the first epoch)."""
        ...


@dataclass(frozen=True)
class Constant:
    """The same learning rate throughout."""

    start: float

    def learning_rate(self, val_losses: Sequence[float]) -> float:
        """Return the learning rate of every epoch."""
        del val_losses
        return self.start


@dataclass(frozen=True)
class Plateau:
    """Multiply the learning rate by ``factor`` after ``patience`` epochs without a lower validation loss.

    The rule of Keras' ``ReduceLROnPlateau`` with ``min_delta=0`` and no cooldown, as csbdeep uses it.

    Parameters
    ----------
    start
        Learning rate of the first epoch.
    patience
        Epochs without progress before the rate is reduced; 0 never reduces it.
    factor
        What the rate is multiplied by.
    floor
        The rate never falls below this; a floor above ``start`` has no effect.
    """

    start: float
    patience: int
    factor: float = 0.5
    floor: float = 0.0

    def learning_rate(self, val_losses: Sequence[float]) -> float:
        """Return the learning rate after epochs with these validation losses."""
        rate, best, waited = self.start, math.inf, 0
        if self.patience == 0:
            return rate
        for loss in val_losses:
            if loss < best:
                best, waited = loss, 0
                continue
            waited += 1
            if waited >= self.patience:
                rate = min(rate, max(rate * self.factor, self.floor))
                waited = 0
        return rate


def epochs_without_progress(val_losses: Sequence[float]) -> int:
    """Return how many epochs have passed since the lowest validation loss; 0 if the last one is the lowest."""
    if not val_losses:
        return 0
    best = min(range(len(val_losses)), key=val_losses.__getitem__)
    return len(val_losses) - 1 - best
