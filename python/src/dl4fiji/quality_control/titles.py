"""What metrics are called, how they are written and what they mean: one place for page, report and tables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class MetricText:
    """A metric in words."""

    title: str
    hint: str
    """Which values are good, in a few words."""
    decimals: int
    definition: str = ""
    """One sentence."""
    unit: str = ""

    @property
    def inline(self) -> str:
        """The title within a sentence: ``precision``, but ``PSNR``."""
        named = self.title.startswith(("Pearson", "Dice")) or not self.title.split()[0][1:].islower()
        return self.title if named else self.title[:1].lower() + self.title[1:]

    def write(self, value: float) -> str:
        """Return a value without its unit."""
        return f"{value:.{self.decimals}f}"


METRICS: dict[str, MetricText] = {
    "psnr": MetricText(
        "PSNR", "dB, more is better", 2,
        "Peak signal-to-noise ratio: 10 · log10(1 / mean squared error) of the normalized images.", "dB",
    ),
    "ssim": MetricText(
        "SSIM", "up to 1", 3,
        "Structural similarity: agreement of local mean, contrast and structure in a Gaussian window of 11 pixels.",
    ),
    "nrmse": MetricText(
        "NRMSE", "less is better", 4, "Root of the mean squared error, divided by the range of the truth."
    ),
    "pearson": MetricText("Pearson r", "up to 1", 3, "Linear correlation of the pixels of prediction and truth."),
    "iou": MetricText(
        "IoU", "overlap of masks, up to 1", 3,
        "Intersection over union (Jaccard index): TP / (TP + FP + FN) of the pixels.",
    ),
    "dice": MetricText("Dice", "up to 1", 3, "2 TP / (2 TP + FP + FN) of the pixels."),
    "f1": MetricText(
        "F1", "objects found rightly, at an overlap of half, up to 1", 3,
        "2 TP / (2 TP + FP + FN) of the objects; an object is found rightly if its IoU with a true one reaches 0.5.",
    ),
    "panoptic_quality": MetricText(
        "Panoptic quality", "F1 times the overlap of what was found, up to 1", 3,
        "Sum of the IoU of all objects found rightly, divided by (TP + FP / 2 + FN / 2).",
    ),
    "mean_matched_score": MetricText(
        "IoU of hits", "overlap of objects found rightly, up to 1", 3, "Mean IoU of the objects found rightly."
    ),
    "precision": MetricText(
        "Precision", "up to 1", 3, "TP / (TP + FP): which share of what was found is right."
    ),
    "recall": MetricText("Recall", "up to 1", 3, "TP / (TP + FN): which share of what is there was found."),
    "masked_mse": MetricText(
        "Masked MSE", "at hidden noisy pixels, normalized; there is no truth", 4,
        "Mean squared difference from the noisy pixels that were hidden from the network, in normalized units; the "
        "noise itself is part of it, so that it never becomes 0.",
    ),
    "masked_mae": MetricText(
        "Masked MAE", "at hidden noisy pixels, normalized; there is no truth", 4,
        "Mean absolute difference from the noisy pixels that were hidden from the network, in normalized units.",
    ),
}  # fmt: skip
"""By the name of the metric, without what tells the class or that it is a mean of slices."""

_SLICES, _CLASS = "_slices", "_class_"


def metric_text(name: str) -> MetricText:
    """Return a metric in words; ``psnr_slices`` and ``iou_class_2`` are understood."""
    base, _, number = name.partition(_CLASS)
    plain = METRICS.get(base.removesuffix(_SLICES), MetricText(base.replace("_", " ").capitalize(), "", 4))
    title, hint = plain.title, plain.hint
    if base.endswith(_SLICES):
        title = f"{title}, mean of slices"
    if number:
        title, hint = f"{title}, class {number}", ""
    return MetricText(title, hint, plain.decimals, plain.definition, plain.unit)


def kind_title(kind: str) -> str:
    """Return in words what the prediction is compared with: ``input``, ``threshold 0.5``, ``default thresholds``."""
    if not kind.startswith("at "):
        return kind
    return "default thresholds" if " and " in kind else f"threshold {kind.removeprefix('at ')}"


def compared_kind(values: Mapping[str, Any]) -> str:
    """Return what the prediction is compared with: ``input``, ``at 0.5``, …; empty if with nothing."""
    return next((kind for kind in values if kind != "prediction"), "")
