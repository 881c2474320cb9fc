"""What a reviewer would ask about a training: each rule returns one sentence, or nothing where all is well."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from dl4fiji.history import Row, best_row
from dl4fiji.quality_control.record import ImageRecord, Likeness, Record

FEW_IMAGES = 5
"""Training images below which a warning is given."""

FEW_JUDGED = 3
"""Validation images below which means and spreads tell little."""

FEW_OBJECTS = 100
"""True objects below which figures of objects tell little."""

SATURATED = 0.001
"""Share of clipped pixels of an image from which on it counts as saturated."""

_RISE = 1.1
"""The last validation losses exceed the best by this factor when a network overfits."""

_APART = 0.2
"""Share of a metric's range by which it may be off its best value where the loss is lowest."""


@dataclass(frozen=True)
class Evidence:
    """What the rules look at; what is not known is left empty."""

    rows: Sequence[Row] = ()
    """The history, one row per epoch."""
    quality: Mapping[str, Any] = field(default_factory=dict)
    """As `dl4fiji.model.ModelInfo.quality`."""
    images: tuple[int, int] | None = None
    """Images for training and for validation."""
    record: Record | None = None
    ended: bool = True
    """The training went through all its epochs, neither canceled nor stopped early."""
    judged: bool = True
    """Figures were taken, as far as there is a truth; they are not of a canceled training."""


def review(evidence: Evidence) -> list[str]:
    """Return the sentences of all rules that apply."""
    rows, quality, record = evidence.rows, evidence.quality, evidence.record or Record()
    sentences = [overfitting(rows), unfinished(rows) if evidence.ended else "", loss_against_metrics(rows)]
    if evidence.images:
        sentences.append(few_images(*evidence.images))
        sentences.append(few_judged(evidence.images[1], record.fields))
    sentences += [
        single_image(record.images), leakage(record.likenesses), saturation(record.images),
        no_gain(quality), worse_images(quality), contradiction(quality), few_objects(quality),
        no_truth(quality) if evidence.judged else "",
    ]  # fmt: skip
    return [sentence for sentence in sentences if sentence]


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


def loss_against_metrics(rows: Sequence[Row]) -> str:
    """Return a warning if a metric of the validation patches is clearly worse where the loss is lowest, else empty."""
    best = best_row(rows)
    if best is None or len(rows) < 10:
        return ""
    for name, higher in _PATCH_METRICS.items():
        values = [row[name] for row in rows if name in row]
        if len(values) != len(rows):
            continue
        top = max(values) if higher else min(values)
        if abs(best[name] - top) > _APART * (max(values) - min(values)) and max(values) > min(values):
            epoch = rows[values.index(top)]["epoch"]
            metric = name.removeprefix("val_").replace("iou", "IoU").replace("dice", "Dice").replace("_", " ")
            return (
                f"The validation loss is lowest at epoch {best['epoch']:.0f}, but {metric} is best at epoch "
                f"{epoch:.0f} ({top:.3g} instead of {best[name]:.3g}): loss and metric disagree, so compare both "
                "weights on images with truth."
            )
    return ""


_PATCH_METRICS = {"val_iou": True, "val_dice": True}
"""Metrics in histories that are no losses themselves, and whether more is better."""


def few_images(train: int, validation: int) -> str:
    """Return a warning if there are few training images, else empty."""
    if train >= FEW_IMAGES:
        return ""
    images = "image" if train == 1 else "images"
    return (
        f"The network was trained on {train} {images} only and judged on {validation}: it may fail on others, "
        "so add images that show the variety of your specimens."
    )


def few_judged(validation: int, fields: int = 0) -> str:
    """Return a warning if there are few validation images, or few ``fields`` of view among them (0: not known)."""
    if (fields or validation) >= FEW_JUDGED:
        return ""
    images = "image" if validation == 1 else "images"
    views = f" of {fields} field{'s' * (fields != 1)} of view" if 0 < fields < validation else ""
    return (
        f"The figures are of {validation} validation {images}{views}, too few to tell how they vary: judge the network "
        "on further images with truth before you publish them."
    )


def single_image(images: Sequence[ImageRecord]) -> str:
    """Return a warning if training and validation are parts of one image, else empty."""
    if len(images) != 1 or images[0].role != "both":
        return ""
    return (
        f"Training and validation are parts of one image, {images[0].name}: the figures tell nothing about other "
        "images, so add some."
    )


def leakage(likenesses: Sequence[Likeness]) -> str:
    """Return a warning if validation images are like training images, else empty."""
    if not likenesses:
        return ""
    first = likenesses[0]
    how = {
        "identical": "have the same pixels", "same truth": "have the same truth",
        "alike": f"show the same structures (correlation {first.correlation:.2f})",
    }[first.kind]  # fmt: skip
    more = f", and {len(likenesses) - 1} more like these" if len(likenesses) > 1 else ""
    return (
        f"The validation is not independent: {first.validation} in validation and {first.training} in training {how}"
        f"{more}, so the figures look better than they are; keep whole fields of view apart by a validation folder."
    )


def saturation(images: Sequence[ImageRecord]) -> str:
    """Return a warning if images are clipped at their brightest value, else empty."""
    clipped = [image for image in images if (image.saturated or 0) >= SATURATED]
    if not clipped:
        return ""
    worst = max(clipped, key=lambda image: image.saturated or 0)
    return (
        f"{len(clipped)} of {len(images)} image{'s' * (len(images) != 1)} are saturated, most of all {worst.name} with "
        f"{100 * (worst.saturated or 0):.2g} % of its pixels at the brightest value: intensities there are lost, so "
        "record with less exposure or gain."
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


def worse_images(quality: Mapping[str, Any]) -> str:
    """Return a warning if some predictions are farther from the truth than their inputs, though not all."""
    rows = [row for row in quality.get("images", []) if "psnr" in row.get("input", {}) and "psnr" in row["prediction"]]
    worse = [row["name"] for row in rows if row["prediction"]["psnr"] < row["input"]["psnr"]]
    if not worse or no_gain(quality):
        return ""
    return (
        f"{len(worse)} of {len(rows)} predictions have a lower PSNR than their input, such as {worse[0]}: look at "
        "these images, the network may not fit them."
    )


def contradiction(quality: Mapping[str, Any]) -> str:
    """Return a warning if one metric says that the prediction is better than the input and another that it is worse."""
    better, worse = [], []
    for name, (title, higher) in _AGREEING.items():
        values = quality.get(name, {})
        if "input" not in values or values["prediction"] == values["input"]:
            continue
        (better if (values["prediction"] > values["input"]) == higher else worse).append(title)
    if not better or not worse:
        return ""
    return (
        f"The metrics disagree: the prediction is better than the input by {' and '.join(better)}, but worse by "
        f"{' and '.join(worse)}. Look at the images for smoothing, invented structures or changed intensities."
    )


_AGREEING = {
    "psnr": ("PSNR", True), "ssim": ("SSIM", True), "nrmse": ("NRMSE", False), "pearson": ("Pearson r", True)
}  # fmt: skip
"""Metrics that should agree: title, and whether more is better."""


def few_objects(quality: Mapping[str, Any]) -> str:
    """Return a warning if the figures are of few objects, else empty."""
    objects = dict(quality.get("objects", []))
    if "true" not in objects or objects["true"] >= FEW_OBJECTS:
        return ""
    return (
        f"The validation images show {objects['true']:.0f} objects only, so F1 and its like may be off by chance: "
        "judge the network on more objects."
    )


def no_truth(quality: Mapping[str, Any]) -> str:
    """Return a warning if nothing was compared with a truth, else empty."""
    if quality.get("images") or {"psnr", "iou", "f1"} & set(quality):
        return ""
    return (
        "No prediction was compared with a truth: how near the results are to what is really there is not known, so "
        "record some images of high quality and judge the network on them."
    )
