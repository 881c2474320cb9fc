"""How well found objects fit the true ones, by the definitions of `stardist.matching`.

A found object is right if its intersection over union (IoU) with a true one reaches a threshold; each object counts
once. Precision, recall, F1 and accuracy are TP / (TP + FP), TP / (TP + FN), 2 TP / (2 TP + FP + FN) and
TP / (TP + FP + FN); the panoptic quality is that of Kirillov et al. 2019 (CVPR, arXiv:1801.00868).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

IOUS = tuple(round(0.5 + 0.05 * number, 2) for number in range(10))
"""IoU thresholds of tables and curves: 0.5 to 0.95."""


@dataclass(frozen=True)
class Overlaps:
    """Which true and found objects of an image overlap.

    Parameters
    ----------
    true, found
        Numbers from 0 of the objects of each overlapping pair.
    iou
        Their intersection over union.
    counts
        How many objects there are, true and found.
    """

    true: np.ndarray
    found: np.ndarray
    iou: np.ndarray
    counts: tuple[int, int]

    @classmethod
    def of(cls, truth: np.ndarray, labels: np.ndarray) -> tuple[Overlaps, np.ndarray]:
        """Compare label images of the same shape, whole numbers, 0 being the background.

        Returns
        -------
        overlaps, numbers
            ``numbers`` are the labels of the found objects that have pixels, ascending; `found` counts these.
        """
        if truth.shape != labels.shape:
            raise ValueError(f"truth of shape {truth.shape} for labels of shape {labels.shape}")
        true_numbers, true_at = np.unique(truth, return_inverse=True)
        numbers, found_at = np.unique(labels, return_inverse=True)
        # Number 0 is the background in what follows, whether there is any or not.
        true_at = true_at.ravel() + (true_numbers[0] != 0)
        found_at = found_at.ravel() + (numbers[0] != 0)
        count = int(true_at.max()) + 1, int(found_at.max()) + 1
        table = np.bincount(true_at * count[1] + found_at, minlength=count[0] * count[1]).reshape(count)
        true, found = np.nonzero(table[1:, 1:])
        common = table[1:, 1:][true, found]
        union = table.sum(axis=1)[1:][true] + table.sum(axis=0)[1:][found] - common
        return cls(true, found, common / union, (count[0] - 1, count[1] - 1)), numbers[numbers != 0]

    def first(self, count: int) -> Overlaps:
        """Return what is left when only the first ``count`` found objects are kept."""
        kept = self.found < count
        return Overlaps(self.true[kept], self.found[kept], self.iou[kept], (self.counts[0], min(count, self.counts[1])))

    def score(self, threshold: float) -> Score:
        """Return how many objects are right at an IoU threshold; of several ways to pair them the best one counts."""
        near = self.iou >= threshold
        true, found, iou = self.true[near], self.found[near], self.iou[near]
        alone = (np.bincount(true, minlength=1)[true] == 1) & (np.bincount(found, minlength=1)[found] == 1)
        hits, total = int(alone.sum()), float(iou[alone].sum())
        if not alone.all():
            rows, row_at = np.unique(true[~alone], return_inverse=True)
            columns, column_at = np.unique(found[~alone], return_inverse=True)
            value = np.zeros((len(rows), len(columns)))
            value[row_at, column_at] = 1 + iou[~alone] / (2 * min(value.shape))
            pairs = linear_sum_assignment(value, maximize=True)
            paired = value[pairs]
            hits += int((paired > 0).sum())
            total += float((paired[paired > 0] - 1).sum()) * 2 * min(value.shape)
        return Score(hits, self.counts[1] - hits, self.counts[0] - hits, total)


@dataclass(frozen=True)
class Score:
    """Objects that are right (``hits``), wrong (``false``) and not found (``missed``), at some IoU threshold.

    ``overlap`` is the sum of the IoU of all hits. Scores of several images are added.
    """

    hits: int = 0
    false: int = 0
    missed: int = 0
    overlap: float = 0.0

    def __add__(self, other: Score) -> Score:
        return Score(
            self.hits + other.hits, self.false + other.false, self.missed + other.missed, self.overlap + other.overlap
        )

    @property
    def empty(self) -> bool:
        """Tell that there are neither true nor found objects."""
        return not (self.hits or self.false or self.missed)

    @property
    def f1(self) -> float:
        """2 TP / (2 TP + FP + FN); 0 without hits."""
        return _ratio(2 * self.hits, 2 * self.hits + self.false + self.missed)

    @property
    def precision(self) -> float:
        """Share of the found objects that are right; 0 without hits."""
        return _ratio(self.hits, self.hits + self.false)

    @property
    def recall(self) -> float:
        """Share of the true objects that were found; 0 without hits."""
        return _ratio(self.hits, self.hits + self.missed)

    @property
    def accuracy(self) -> float:
        """TP / (TP + FP + FN); 0 without hits."""
        return _ratio(self.hits, self.hits + self.false + self.missed)

    @property
    def panoptic_quality(self) -> float:
        """Sum of the hits' IoU / (TP + FP / 2 + FN / 2); 0 without hits."""
        return _ratio(self.overlap, self.hits + self.false / 2 + self.missed / 2)

    @property
    def mean_matched_score(self) -> float:
        """Mean IoU of the hits; 0 without hits."""
        return _ratio(self.overlap, self.hits)

    def figures(self) -> dict[str, float]:
        """Return the figures of tables, by their names."""
        return {name: getattr(self, name) for name in FIGURES}


FIGURES = ("f1", "precision", "recall", "panoptic_quality", "mean_matched_score")
"""Names of the figures, in the order of tables."""


def total(scores: Sequence[Score]) -> Score:
    """Return the score of all objects of several images together."""
    return sum(scores, Score())


def _ratio(part: float, whole: float) -> float:
    return part / whole if part and whole else 0.0
