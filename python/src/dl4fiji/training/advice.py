"""What the history and the figures of a training tell its user to think about, one sentence each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dl4fiji.training.history import Row, best_row

FEW_IMAGES = 5
"""Training images below which a warning is given."""

_RISE = 1.1
"""The last validation losses exceed the best by this factor when a network overfits."""


def overfitting(rows: Sequence[Row]) -> str:
    """Return a warning if the validation loss rose again while the training loss went on falling, else empty."""
    best = best_row(rows)
    if best is None or len(rows) < 10 or best["epoch"] > 0.7 * len(rows):
        return ""
    tail = rows[-max(3, len(rows) // 10) :]
    validation = sum(row["val_loss"] for row in tail) / len(tail)
    training = sum(row["loss"] for row in tail) / len(tail)
    margin = (_RISE - 1) * abs(best["val_loss"])
    if validation <= best["val_loss"] + margin or training >= best["loss"]:
        return ""
    return (
        f"The network overfits: since epoch {best['epoch']:.0f} the validation loss has risen while the training loss "
        "fell, so use the best weights, and add images, augmentation or patience."
    )


def unfinished(rows: Sequence[Row]) -> str:
    """Return a hint if the validation loss was still falling clearly at the end, else empty."""
    if len(rows) < 10:
        return ""
    third = len(rows) // 3
    earlier = min(row["val_loss"] for row in rows[:-third])
    later = min(row["val_loss"] for row in rows[-third:])
    if earlier - later < 0.02 * abs(earlier):
        return ""
    return "The validation loss was still falling when the training ended: more epochs may improve the network."


def few_images(train: int, validation: int) -> str:
    """Return a warning if there are few training images, else empty."""
    if train >= FEW_IMAGES:
        return ""
    images = "image" if train == 1 else "images"
    return (
        f"The network was trained on {train} {images} only and judged on {validation}: it may fail on others, "
        "so add images that show the variety of your specimens."
    )


def no_gain(quality: Mapping[str, Any]) -> str:
    """Return a warning if the prediction is no nearer to the truth than the input, else empty."""
    psnr = quality.get("psnr", {})
    if "input" not in psnr or psnr["prediction"] > psnr["input"]:
        return ""
    return (
        f"The prediction is no better than the input (PSNR {psnr['prediction']:.1f} dB after {psnr['input']:.1f} dB): "
        "check that source and target belong together, and train longer."
    )
