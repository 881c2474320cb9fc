"""How well a segmentation fits the truth: IoU and Dice per class, precision, recall, and IoU over thresholds.

All figures are of one image; means are taken over images. A class that neither truth nor prediction shows has no
figure for that image; one that only the prediction shows has IoU 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dl4fiji.data.masks import foreground, likeliest

THRESHOLDS = tuple(round(0.01 * number, 2) for number in range(1, 100))
"""Thresholds that are tried: 0.01 to 0.99."""

DEFAULT = 0.5
"""The threshold that others are compared with."""

_BLOCK = 4 << 20


@dataclass(frozen=True)
class Tally:
    """How often each class was found where, at all of `THRESHOLDS`.

    Parameters
    ----------
    counts
        Axes: class of the truth; class that is likeliest if not background, less 1; number of thresholds that the
        pixel's foreground probability reaches. Pixels.
    """

    counts: np.ndarray

    @classmethod
    def of(cls, truth: np.ndarray, probabilities: np.ndarray) -> Tally:
        """Compare probabilities with the truth.

        Parameters
        ----------
        truth
            Numbers of classes, 0 the background; spatial axes.
        probabilities
            Spatial axes and channels: one (sigmoid), or one per class, background first (softmax).
        """
        channels = probabilities.shape[-1]
        classes = 2 if channels == 1 else channels
        if truth.shape != probabilities.shape[:-1]:
            raise ValueError(f"truth of shape {truth.shape} for probabilities of shape {probabilities.shape}")
        shape = (classes, classes - 1, len(THRESHOLDS) + 1)
        counts = np.zeros(shape, np.int64)
        flat_truth, flat = truth.reshape(-1), probabilities.reshape(-1, channels)
        limits = np.asarray(THRESHOLDS, np.float32)
        for start in range(0, len(flat), _BLOCK):
            part = slice(start, start + _BLOCK)
            reached = np.searchsorted(limits, foreground(flat[part]), side="right")
            index = np.ravel_multi_index((flat_truth[part], likeliest(flat[part]) - 1, reached), shape)
            counts += np.bincount(index, minlength=counts.size).reshape(shape)
        return cls(counts)

    @property
    def classes(self) -> int:
        """Number of classes, the background among them."""
        return len(self.counts)

    def confusion(self, threshold: float) -> np.ndarray:
        """Return pixels by class of the truth (rows) and of the prediction (columns) at one of `THRESHOLDS`."""
        number = THRESHOLDS.index(round(threshold, 2)) + 1
        found = self.counts[..., number:].sum(axis=-1)
        missed = self.counts[..., :number].sum(axis=(1, 2))
        return np.concatenate([missed[:, np.newaxis], found], axis=1)

    def curve(self) -> np.ndarray:
        """Return the mean IoU of the classes without background at each of `THRESHOLDS`; NaN where none has one."""
        return np.array([mean_iou(self.confusion(threshold)) for threshold in THRESHOLDS])


def iou(confusion: np.ndarray) -> list[float | None]:
    """Return the intersection over union of each class, the background's first: TP / (TP + FP + FN)."""
    hits, rows, columns = _sums(confusion)
    return [_ratio(hit, row + column - hit) for hit, row, column in zip(hits, rows, columns, strict=True)]


def dice(confusion: np.ndarray) -> list[float | None]:
    """Return the Dice coefficient of each class, the background's first: 2 TP / (2 TP + FP + FN)."""
    hits, rows, columns = _sums(confusion)
    return [_ratio(2 * hit, row + column) for hit, row, column in zip(hits, rows, columns, strict=True)]


def precision(confusion: np.ndarray) -> list[float | None]:
    """Return for each class which share of its pixels in the prediction is right; None where it was not found."""
    hits, _, columns = _sums(confusion)
    return [_ratio(hit, column) for hit, column in zip(hits, columns, strict=True)]


def recall(confusion: np.ndarray) -> list[float | None]:
    """Return for each class which share of its pixels in the truth was found; None where there is none."""
    hits, rows, _ = _sums(confusion)
    return [_ratio(hit, row) for hit, row in zip(hits, rows, strict=True)]


FIGURES = {"iou": iou, "dice": dice, "precision": precision, "recall": recall}
"""Names and functions of the figures, in the order of tables."""


def mean_iou(confusion: np.ndarray) -> float:
    """Return the mean IoU of the classes without background; NaN if none has one."""
    values = [value for value in iou(confusion)[1:] if value is not None]
    return float(np.mean(values)) if values else float("nan")


def best_threshold(tallies: Sequence[Tally]) -> tuple[float, list[float]]:
    """Return the threshold with the highest mean of the images' mean IoU, and that mean at all `THRESHOLDS`.

    Of several best ones the middle one is taken; 0.5 if no image has any foreground.
    """
    curves = np.array([tally.curve() for tally in tallies]).reshape(-1, len(THRESHOLDS))
    known = ~np.isnan(curves)
    if not known.any():
        return DEFAULT, [0.0] * len(THRESHOLDS)
    means = np.where(known, curves, 0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
    best = np.flatnonzero(means >= means.max() - 1e-12)
    return THRESHOLDS[int(best[len(best) // 2])], means.tolist()


def figures(tally: Tally, threshold: float) -> dict[str, float]:
    """Return all figures of an image at a threshold that there are.

    ``iou``, ``dice``, ``precision`` and ``recall`` are means over the classes without background; with several
    classes there are ``iou_class_1`` and so on, too.
    """
    confusion, result = tally.confusion(threshold), {}
    for name, function in FIGURES.items():
        values = function(confusion)[1:]
        known = [value for value in values if value is not None]
        if known:
            result[name] = float(np.mean(known))
        if len(values) > 1:
            result |= {f"{name}_class_{number}": v for number, v in enumerate(values, start=1) if v is not None}
    return result


def _sums(confusion: np.ndarray) -> tuple[list[int], list[int], list[int]]:
    """Return per class the pixels found rightly, in the truth, in the prediction."""
    return confusion.diagonal().tolist(), confusion.sum(axis=1).tolist(), confusion.sum(axis=0).tolist()


def _ratio(part: int, whole: int) -> float | None:
    return part / whole if whole else None
