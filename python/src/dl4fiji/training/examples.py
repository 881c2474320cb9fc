"""Example images for the report: validation images of which the network made the worst, the middling and the best."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dl4fiji.data.dataset import Dataset, Sample
from dl4fiji.data.masks import classify
from dl4fiji.data.normalization import Normalization, fit
from dl4fiji.model import ModelInfo
from dl4fiji.prediction.instances import labels_of
from dl4fiji.progress import Progress, stop_if_canceled
from dl4fiji.quality_control.maps import MARGIN, error_map, ssim_map
from dl4fiji.quality_control.metrics import fit as fit_to_truth
from dl4fiji.quality_control.metrics import normalize_truth
from dl4fiji.quality_control.record import ExampleRecord
from dl4fiji.quality_control.titles import metric_text
from dl4fiji.training.evaluation import LARGEST_REGION, Predict, center, read_sample

SIDE = 320
"""Pixels of an example along Y and X at most."""

_LARGEST_OF_OBJECTS = {"YX": (512, 512), "ZYX": (32, 128, 128)}
"""Pixels about the center in which objects are searched: the distances along all rays are held for each."""

_DECIDING = ("ssim", "iou", "f1")
"""By which metric examples are chosen; the first that there is."""

Panels = dict[str, np.ndarray]
"""Pictures of one plane by their names: YX, or YXC of color images."""


@dataclass(frozen=True)
class Example:
    """An example image and its panels."""

    record: ExampleRecord
    panels: Panels


def choose(quality: Mapping[str, Any], names: Sequence[str]) -> list[tuple[str, str]]:
    """Return up to three names of images and why they were chosen.

    Parameters
    ----------
    quality
        Figures as `dl4fiji.model.ModelInfo.quality`.
    names
        All validation images; the first ones are taken where there are no figures.
    """
    rows = [row for row in quality.get("images", []) if row["name"] in names]
    for metric in _DECIDING:
        known = sorted(
            (row for row in rows if metric in row["prediction"]), key=lambda row: float(row["prediction"][metric])
        )
        if not known:
            continue
        title = metric_text(metric).title
        chosen = {"the worst": known[0], "the best": known[-1]}
        if len(known) > 2:
            chosen = {"the worst": known[0], "the middle": known[len(known) // 2], "the best": known[-1]}
        if len(known) == 1:
            return [(known[0]["name"], "the only one with figures")]
        return [(row["name"], f"{what} of {len(known)} by {title}") for what, row in chosen.items()]
    return [(name, "") for name in names[:3]]


def make_examples(
    dataset: Dataset, normalization: Normalization, info: ModelInfo, predict: Predict, task: str, progress: Progress
) -> list[Example]:
    """Return the examples of a training.

    Parameters
    ----------
    dataset, normalization
        Those of the training.
    info
        The model as it will be kept, with its figures and thresholds.
    predict
        Runs the network on a normalized image (spatial, C).
    task
        That of the network.
    progress
        Asked between images whether to stop.
    """
    samples: dict[str, Sample] = {}
    for sample in dataset.validation:
        samples.setdefault(sample.name, sample)
    largest = _LARGEST_OF_OBJECTS if task == "instances" else LARGEST_REGION
    panels_of: Callable[..., Panels] = {"segmentation": _of_masks, "instances": _of_objects}.get(task, _of_images)
    examples = []
    for name, reason in choose(info.quality, list(samples)):
        stop_if_canceled(progress)
        sample = samples[name]
        source, truth = read_sample(sample, dataset.network_axes, center(sample, dataset.spatial_axes, largest))
        scale = fit(normalization, sample.source)
        output = predict(scale.apply(source))
        if task == "restoration":
            output = output[..., : dataset.channels_out]
            output = scale.undo(output) if len(scale.offset) == output.shape[-1] else output
        window = _window(source if truth is None or task != "restoration" else truth)
        panels = panels_of(info, source, output, truth, window)
        record = ExampleRecord(name=name, reason=reason, panels=tuple(panels))
        if source.ndim == 4:
            record = record.model_copy(update={"slice": window[0].start + 1, "slices": source.shape[0]})
        examples.append(Example(record, panels))
    return examples


def _window(image: np.ndarray) -> tuple[slice, ...]:
    """Return the part of an image (spatial, C) to show: the slice and the square that show most."""
    shape = image.shape[:-1]
    plane: tuple[slice, ...] = ()
    if len(shape) == 3:
        number = int(np.argmax(image.std(axis=(1, 2, 3), dtype=np.float64)))
        plane = (slice(number, number + 1),)
        image = image[number]
    best: tuple[float, tuple[slice, ...]] | None = None
    places = [sorted({0, (size - SIDE) // 2, size - SIDE}) if size > SIDE else [0] for size in shape[-2:]]
    for y in places[0]:
        for x in places[1]:
            part = slice(y, y + SIDE), slice(x, x + SIDE)
            shown = float(image[part].std(dtype=np.float64))
            if best is None or shown > best[0]:
                best = shown, part
    assert best is not None
    return plane + tuple(
        slice(part.start, min(part.stop, size)) for part, size in zip(best[1], shape[-2:], strict=True)
    )


def _of_images(
    info: ModelInfo, source: np.ndarray, output: np.ndarray, truth: np.ndarray | None, window: tuple[slice, ...]
) -> Panels:
    """Return input, prediction and truth, and the maps of the first channel that go with the figures."""
    del info
    panels = {"input": _picture(source, window), "prediction": _picture(output, window)}
    if truth is None:
        return panels
    panels["truth"] = _picture(truth, window)
    first = truth[..., 0]
    if first.min() == first.max():
        return panels
    reference = normalize_truth(first)
    around = tuple(
        slice(max(0, part.start - MARGIN), min(size, part.stop + MARGIN))
        for part, size in zip(window, first.shape, strict=True)
    )
    inner = tuple(
        slice(part.start - outer.start, part.stop - outer.start) for part, outer in zip(window, around, strict=True)
    )
    for name, image in (("input", source), ("prediction", output)):
        if image.shape[-1] != truth.shape[-1]:
            continue
        fitted = fit_to_truth(image[..., 0], reference)
        error, similarity = (make(reference[around], fitted[around])[inner] for make in (error_map, ssim_map))
        panels[f"error of {name}"] = error.reshape(error.shape[-2:])
        panels[f"ssim of {name}"] = similarity.reshape(similarity.shape[-2:])
    return panels


def _of_masks(
    info: ModelInfo, source: np.ndarray, output: np.ndarray, truth: np.ndarray | None, window: tuple[slice, ...]
) -> Panels:
    """Return the image, the probability of not being background, and numbers of classes found and true."""
    probability = output if output.shape[-1] == 1 else 1 - output[..., :1]
    found = classify(output, info.thresholds.get("probability", 0.5))
    panels = {"input": _picture(source, window), "probability": _picture(probability, window)}
    panels["mask"] = _picture(found[..., np.newaxis], window)
    if truth is not None:
        panels["true mask"] = _picture(truth, window)
    return panels


def _of_objects(
    info: ModelInfo, source: np.ndarray, output: np.ndarray, truth: np.ndarray | None, window: tuple[slice, ...]
) -> Panels:
    """Return the image, and the numbers of objects found and true."""
    panels = {"input": _picture(source, window), "objects": _picture(labels_of(info, output)[..., np.newaxis], window)}
    if truth is not None:
        panels["true objects"] = _picture(truth, window)
    return panels


def _picture(image: np.ndarray, window: tuple[slice, ...]) -> np.ndarray:
    """Return a part of an image (spatial, C) as a plane: YX, or YXC with three channels; the first of other numbers."""
    part = image[window]
    part = part.reshape(part.shape[-3:])
    part = part if part.shape[-1] == 3 else part[..., 0]
    return part.astype(np.int32) if part.dtype.kind in "iub" and part.dtype.itemsize > 2 else part
