"""What a freshly trained network does to the validation images, as figures and as a sample."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from dl4fiji.data.axes import move_axes
from dl4fiji.data.dataset import Dataset, Sample
from dl4fiji.data.normalization import Normalization, fit
from dl4fiji.errors import DataError
from dl4fiji.prediction.cores import choose_core
from dl4fiji.prediction.tiling import Window, plan, predict_tiles
from dl4fiji.progress import Progress, SilentProgress, stop_if_canceled
from dl4fiji.quality_control.metrics import METRICS, compare_channels, mean
from dl4fiji.training.history import Row

LARGEST_REGION = {"YX": (4096, 4096), "ZYX": (64, 512, 512)}
"""Pixels of an image that are judged at most, about its center."""

SAMPLE_SIZE = {"YX": (256, 256), "ZYX": (16, 128, 128)}
"""Pixels of the sample at most."""

_CANDIDATES = 16
_TILE_PIXELS = 2**19
"""Pixels that the network sees at a time: no more memory than the training took."""

_MOST_PIXELS = 2**22
"""Pixels that it may see where it looks so far that smaller tiles would be mostly halo."""

Predict = Callable[[np.ndarray], np.ndarray]
"""Takes a normalized image (network axes, no batch axis) of any size, gives the network's output for it."""


@dataclass(frozen=True)
class Evaluation:
    """Figures of one network on the validation images."""

    quality: dict[str, Any]
    """Per metric the means, ``{"psnr": {"input": 29.3, "prediction": 34.2}}``, and ``images``: the same per image."""
    warnings: list[str]
    thresholds: dict[str, float] = field(default_factory=dict)
    """Thresholds that were found, by the name of the output that they belong to."""


def evaluate(
    dataset: Dataset, normalization: Normalization, channels_out: int, predict: Predict, progress: Progress
) -> Evaluation:
    """Compare input and prediction with the truth, image by image.

    Parameters
    ----------
    dataset
        Its validation samples are judged, each whole or, if very large, its center.
    normalization
        That of the training.
    channels_out
        Channels of the restored image; further ones (the scale of probabilistic networks) are not judged.
    predict
        Runs the network.
    progress
        Asked after each image whether to stop.

    Returns
    -------
    Evaluation
        Images without truth are left out; those whose truth is constant too, with a warning. ``input`` is missing
        where input and truth have different channels.
    """
    images: list[dict[str, Any]] = []
    warnings: list[str] = []
    for sample in dataset.validation:
        stop_if_canceled(progress)
        extents = center(sample, dataset.spatial_axes)
        source, truth = read_sample(sample, dataset.network_axes, extents)
        if truth is None:
            continue
        scale = fit(normalization, sample.source)
        prediction = predict(scale.apply(source))[..., :channels_out]
        try:
            row: dict[str, Any] = {"name": sample.name, "prediction": compare_channels(truth, prediction)}
            if source.shape == truth.shape:
                row["input"] = compare_channels(truth, source)
        except DataError:  # a truth without structure cannot be judged
            warnings.append(f"The truth of {sample.name} is constant, so it was left out of the quality control.")
            continue
        images.append(row)
    return Evaluation(_summary(images), warnings)


def without_truth(best: Row) -> dict[str, Any]:
    """Return what the training itself measured on the validation patches, where no image has a truth.

    Parameters
    ----------
    best
        The row of the history whose weights are judged; its metrics are those that the network was compiled with.
    """
    metrics = {name.removeprefix("val_"): value for name, value in best.items() if name.startswith("val_")}
    return {name: {"prediction": value} for name, value in metrics.items() if name != "loss"}


def read_sample(sample: Sample, network_axes: str, extents: dict[str, slice]) -> tuple[np.ndarray, np.ndarray | None]:
    """Return source and target of a part of a sample in the network's axes, raw values of the file's type."""
    source = move_axes(sample.source.region(**extents), sample.source.axes, network_axes)
    if sample.target is None:
        return source, None
    return source, move_axes(sample.target.region(**extents), sample.target.axes, network_axes)


def choose_sample(dataset: Dataset, divisor: dict[str, int], seed: int) -> dict[str, np.ndarray]:
    """Return ``input`` and ``truth``, where there is one, of a part of a validation image that shows much.

    Raw values, network axes. Its sides are multiples of the network's divisor and at most 256×256 or 16×128×128 pixels.
    """
    axes, rng = dataset.spatial_axes, np.random.default_rng([seed, 2])
    sample = dataset.validation[0]
    limits = dict(zip(axes, SAMPLE_SIZE[axes], strict=True))
    extents = {axis: sample.extent(axis) for axis in axes}
    sizes = {}
    for axis in axes:
        available = extents[axis].stop - extents[axis].start
        sizes[axis] = min(limits[axis], available) // divisor[axis] * divisor[axis]
    best: tuple[float, dict[str, np.ndarray]] | None = None
    for _ in range(_CANDIDATES):
        starts = {axis: int(rng.integers(extents[axis].start, extents[axis].stop - sizes[axis] + 1)) for axis in axes}
        part = {axis: slice(starts[axis], starts[axis] + sizes[axis]) for axis in axes}
        source, truth = read_sample(sample, dataset.network_axes, part)
        contrast = float(np.std(source if truth is None else truth))
        if best is None or contrast > best[0]:
            best = (contrast, {"input": source} if truth is None else {"input": source, "truth": truth})
    assert best is not None
    return best[1]


def tiled(
    run: Callable[[np.ndarray], np.ndarray], image: np.ndarray, divisor: tuple[int, ...], halo: tuple[int, ...]
) -> np.ndarray:
    """Run a network on an image of any size, tile by tile.

    Parameters
    ----------
    run
        Takes and gives one normalized image, sizes multiples of the divisor.
    image
        Normalized, spatial axes and channels last.
    divisor, halo
        Per spatial axis what sizes must be multiples of, and how far the network looks; halos are multiples of
        the divisor, so that all tiles keep the same pooling grid.

    Returns
    -------
    ndarray
        As large as ``image``.
    """
    shape = image.shape[:-1]
    result: list[np.ndarray] = []

    def write(window: Window, pixels: np.ndarray) -> None:
        if not result:
            result.append(np.empty((*shape, pixels.shape[-1]), np.float32))
        result[0][window] = pixels

    core = choose_core(shape, divisor, halo, _TILE_PIXELS, most=_MOST_PIXELS)
    predict_tiles(run, lambda window: image[window], write, shape, plan(shape, core, divisor, halo), SilentProgress())
    return result[0]


def center(sample: Sample, axes: str, largest: Mapping[str, Sequence[int]] = LARGEST_REGION) -> dict[str, slice]:
    """Return the part of a sample that is judged."""
    extents = {}
    for axis, most in zip(axes, largest[axes], strict=True):
        whole = sample.extent(axis)
        size = min(whole.stop - whole.start, most)
        start = whole.start + (whole.stop - whole.start - size) // 2
        extents[axis] = slice(start, start + size)
    return extents


def _summary(images: list[dict[str, Any]]) -> dict[str, Any]:
    """Return means per metric and kind, and the figures per image; empty if no image could be judged."""
    if not images:
        return {}
    kinds = [kind for kind in ("input", "prediction") if kind in images[0]]
    means = {kind: mean([image[kind] for image in images]) for kind in kinds}
    names = [name for name in means["prediction"] if name.removesuffix("_slices") in METRICS]
    summary: dict[str, Any] = {name: {kind: means[kind][name] for kind in kinds} for name in names}
    summary["images"] = images
    return summary
