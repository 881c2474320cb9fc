"""What a freshly trained network makes of the validation images where the truth is masks."""

from __future__ import annotations

from typing import Any

import numpy as np

from dl4fiji.data.dataset import Dataset
from dl4fiji.data.normalization import Normalization, fit
from dl4fiji.progress import Progress, stop_if_canceled
from dl4fiji.quality_control.metrics import mean
from dl4fiji.quality_control.segmentation import DEFAULT, FIGURES, THRESHOLDS, Tally, best_threshold, figures
from dl4fiji.training.evaluation import Evaluation, Predict, center, read_sample

OUTPUT = "probability"
"""Name of the output that the threshold belongs to."""

PLAIN = f"at {DEFAULT:g}"
"""What figures at the threshold 0.5 are called, beside ``prediction``, those at the threshold that was found."""


def evaluate_masks(dataset: Dataset, normalization: Normalization, predict: Predict, progress: Progress) -> Evaluation:
    """Find the threshold with the highest mean IoU, and judge the masks at it and at 0.5, image by image.

    Parameters
    ----------
    dataset
        Its validation samples are judged, each whole or, if very large, its center.
    normalization
        That of the training.
    predict
        Runs the network, gives probabilities.
    progress
        Asked after each image whether to stop.

    Returns
    -------
    Evaluation
        With ``iou_curve``, the mean IoU at all thresholds, in its figures. Images whose truth and prediction are
        background have no figures. The threshold is found on the images that it is judged on, so the figures at 0.5
        are the ones that owe nothing to the choice.
    """
    names: list[str] = []
    tallies: list[Tally] = []
    for sample in dataset.validation:
        stop_if_canceled(progress)
        source, truth = read_sample(sample, dataset.network_axes, center(sample, dataset.spatial_axes))
        assert truth is not None  # segmentation learns from pairs
        tallies.append(Tally.of(truth[..., 0], predict(fit(normalization, sample.source).apply(source))))
        names.append(sample.name)
    threshold, curve = best_threshold(tallies)
    images: list[dict[str, Any]] = [
        {"name": name, "prediction": figures(tally, threshold), PLAIN: figures(tally, DEFAULT)}
        for name, tally in zip(names, tallies, strict=True)
    ]
    return Evaluation(_summary(images, curve), _warnings(tallies), {OUTPUT: threshold})


def _summary(images: list[dict[str, Any]], curve: list[float]) -> dict[str, Any]:
    """Return the means per metric, those of all classes first, the curve, and the figures per image."""
    means = {kind: mean(image[kind] for image in images) for kind in (PLAIN, "prediction")}
    names = sorted(means["prediction"], key=lambda name: ("_class_" in name, _class_of(name), _order(name)))
    summary: dict[str, Any] = {
        name: {kind: means[kind][name] for kind in means if name in means[kind]} for name in names
    }
    if not summary:
        return {}
    summary["iou_curve"] = [[threshold, value] for threshold, value in zip(THRESHOLDS, curve, strict=True)]
    summary["images"] = images
    return summary


def _class_of(name: str) -> int:
    return int(name.rpartition("_class_")[2]) if "_class_" in name else 0


def _order(name: str) -> int:
    return list(FIGURES).index(name.partition("_class_")[0])


def _warnings(tallies: list[Tally]) -> list[str]:
    """Return a warning for classes that no validation image shows."""
    pixels = np.sum([tally.counts.sum(axis=(1, 2)) for tally in tallies], axis=0)
    missing = [number for number in range(1, len(pixels)) if not pixels[number]]
    if not missing:
        return []
    if len(pixels) == 2:
        return [
            "The validation images show no foreground, so the threshold stays at 0.5: a validation folder with images "
            "of objects would tell how good the network is."
        ]
    which = ", ".join(map(str, missing))
    return [f"No validation image shows the class {which}, so it could not be judged: add validation images."]
