"""What a freshly trained network that finds objects makes of the validation images.

Its two thresholds, of the probability and of the overlap by which objects suppress each other, are those with the
highest accuracy, a mean over the IoU thresholds 0.3, 0.5 and 0.7, as in stardist's ``optimize_thresholds``. stardist
searches anew for each probability; here all probabilities are tried at the cost of one. Suppression goes from the most
to the least probable candidate, so leaving out those below a probability changes nothing for the others, and where
objects overlap the more probable one is drawn: from the labels of all candidates follow those at each probability.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dl4fiji.data.dataset import Dataset, Sample
from dl4fiji.data.normalization import Normalization, fit
from dl4fiji.network import Network
from dl4fiji.networks.stardist import at_grid, rays_of
from dl4fiji.networks.stardist_options import grid_of
from dl4fiji.prediction.cores import choose_core
from dl4fiji.prediction.detection import Candidates, read_candidates
from dl4fiji.prediction.shapes import Polygons, Polyhedra, Shapes
from dl4fiji.prediction.tiling import Window, plan, read_mirrored
from dl4fiji.progress import Progress, stop_if_canceled
from dl4fiji.quality_control.instances import FIGURES, IOUS, Overlaps, Score, total
from dl4fiji.training.evaluation import Evaluation, center, read_sample

OUTPUT, OVERLAP = "probability", "nms"
"""What the thresholds are called: that of the probability as the output, that of non-maximum suppression."""

DEFAULTS = (0.5, 0.4)
"""Probability and overlap of models without thresholds, those of stardist."""

PLAIN = f"at {DEFAULTS[0]:g} and {DEFAULTS[1]:g}"
"""What figures at the defaults are called, beside ``prediction``, those at the thresholds that were found."""

OVERLAPS = (0.3, 0.4, 0.5)
"""Overlaps that are tried."""

_IOUS = (0.3, 0.5, 0.7)
"""IoU thresholds over which the accuracy is averaged to choose the thresholds."""

_LARGEST_REGION = {"YX": (2048, 2048), "ZYX": (64, 256, 256)}
"""Pixels of an image that are judged at most, about its center."""

_LEAST = {"YX": 0.2, "ZYX": 0.35}
"""Candidates below this share of the highest probability are no objects; of polyhedra fewer can be compared."""

_FLOOR = 0.05
"""Candidates below this probability are never looked at."""

_TILE_PIXELS = {"YX": 2**19, "ZYX": 2**20}
"""Pixels that the network sees at a time: hardly more memory than the training took."""

_MOST_PIXELS = 2**22
"""Pixels that it may see where it looks so far that smaller tiles would be mostly halo."""

_STEP = 0.01
_MATCHED = 0.5
"""IoU at which figures are given."""


@dataclass(frozen=True)
class _Judged:
    """One image: its candidates and its truth."""

    name: str
    truth: np.ndarray
    candidates: Candidates


@dataclass(frozen=True)
class _Found:
    """The objects of one image at one overlap, the most probable first, and how they overlap with the true ones."""

    overlaps: Overlaps
    probabilities: np.ndarray

    def above(self, probability: float) -> Overlaps:
        """Return the overlaps of the objects that are more probable."""
        return self.overlaps.first(int((self.probabilities > probability).sum()))


def evaluate_objects(
    dataset: Dataset, normalization: Normalization, model: Any, network: Network, options: Any, progress: Progress
) -> Evaluation:
    """Find the thresholds with the highest accuracy, and judge the objects at them and at stardist's defaults.

    Parameters
    ----------
    dataset
        Its validation samples are judged, each whole or, if very large, its center.
    normalization
        That of the training.
    model, network, options
        The trained Keras model, what built it and how.
    progress
        Asked after each image whether to stop.

    Returns
    -------
    Evaluation
        Figures at an IoU of 0.5 of all objects together, and per image; ``f1_curve`` has F1 at further IoU
        thresholds. The thresholds are chosen on the images that they are judged on, so the figures at the defaults
        are the ones that owe nothing to the choice.
    """
    shapes: Shapes = Polygons(options.rays) if network.axes == "YXC" else Polyhedra(rays_of(options))
    finder = _Finder(dataset, normalization, at_grid(model), network, options)
    judged: list[_Judged] = []
    for sample in dataset.validation:
        stop_if_canceled(progress)
        judged.append(finder.judge(sample, progress))
    if not any(one.truth.any() for one in judged):
        return Evaluation({}, [_NO_OBJECTS], dict(zip((OUTPUT, OVERLAP), DEFAULTS, strict=True)))
    highest = max((float(one.candidates.prob.max(initial=0)) for one in judged), default=0.0)
    least = max(_FLOOR, _LEAST[dataset.spatial_axes] * highest)
    found: dict[float, list[_Found]] = {}
    for overlap in OVERLAPS:
        found[overlap] = []
        for one in judged:
            stop_if_canceled(progress)
            found[overlap].append(_find(one, shapes, overlap, least))
    best = best_thresholds(found, least, highest)
    probability, overlap = best or DEFAULTS
    rows = [
        {
            "name": one.name,
            "prediction": _figures(found[overlap][number].above(probability)),
            PLAIN: _figures(found[DEFAULTS[1]][number].above(DEFAULTS[0])),
        }
        for number, one in enumerate(judged)
    ]
    chosen = [one.above(probability) for one in found[overlap]]
    plain = [one.above(DEFAULTS[0]) for one in found[DEFAULTS[1]]]
    warnings = [] if best else [_NOTHING_RIGHT]
    return Evaluation(_summary(chosen, plain, rows), warnings, {OUTPUT: probability, OVERLAP: overlap})


_NOTHING_RIGHT = (
    "Not one object of the validation images was found, so the thresholds stay at those of stardist: train for more "
    "epochs, or look at the preview whether labels and images belong together."
)

_NO_OBJECTS = (
    "The validation images show no object, so the thresholds stay at those of stardist: a validation folder with "
    "images of objects would tell how good the network is."
)


def best_thresholds(found: dict[float, list[_Found]], least: float, highest: float) -> tuple[float, float] | None:
    """Return probability and overlap with the highest accuracy, a mean over the IoU thresholds 0.3, 0.5 and 0.7.

    Of several best probabilities in a row the middle one is taken. None if not one object is right at any of them:
    the lowest would do as well as the others then, and make an object of nearly every place.

    Parameters
    ----------
    found
        By overlap: the objects of each image.
    least, highest
        Between which probabilities there are objects.
    """
    probabilities = (
        np.arange(np.ceil(least / _STEP), max(np.floor(highest / _STEP), np.ceil(least / _STEP)) + 1) * _STEP
    )
    best = (0.0, *DEFAULTS)
    for overlap, images in found.items():
        curve = [_accuracy(images, float(probability)) for probability in probabilities]
        top = np.flatnonzero(np.array(curve) >= max(curve) - 1e-12)
        top = top[: np.argmax(np.diff(top, append=top[-1] + 2) > 1) + 1]
        if max(curve) > best[0] + 1e-12:
            best = (max(curve), round(float(probabilities[top[len(top) // 2]]), 2), overlap)
    return best[1:] if best[0] > 0 else None


def _accuracy(images: Sequence[_Found], probability: float) -> float:
    overlaps = [one.above(probability) for one in images]
    return float(np.mean([total([one.score(iou) for one in overlaps]).accuracy for iou in _IOUS]))


class _Finder:
    """Runs the network on validation images; its outputs at the size of the grid, which take less memory."""

    def __init__(
        self, dataset: Dataset, normalization: Normalization, model: Any, network: Network, options: Any
    ) -> None:
        self._dataset, self._normalization, self._model = dataset, normalization, model
        self._divisor = tuple(network.divisor(options).values())
        self._halo = tuple(network.halo(options).values())
        self._grid = grid_of(options)

    def judge(self, sample: Sample, progress: Progress) -> _Judged:
        """Return truth and candidates of a sample, found tile by tile."""
        axes = self._dataset.spatial_axes
        source, truth = read_sample(sample, self._dataset.network_axes, center(sample, axes, _LARGEST_REGION))
        assert truth is not None  # such networks learn from pairs
        image = fit(self._normalization, sample.source).apply(source)
        shape = image.shape[:-1]
        places = tuple(-(-size // side) for size, side in zip(shape, self._grid, strict=True))
        core = choose_core(shape, self._divisor, self._halo, _TILE_PIXELS[axes], most=_MOST_PIXELS)
        parts = []
        for tile in plan(shape, core, self._divisor, self._halo):
            stop_if_canceled(progress)
            pixels = read_mirrored(lambda window: image[window], tile.read, shape)
            probability, distances = self._model.predict_on_batch(pixels[np.newaxis])
            output = np.concatenate([probability, distances], axis=-1)[0][self._coarse(tile.crop)]
            parts.append(read_candidates(output, self._coarse(tile.write), places, (1,) * len(places), _FLOOR))
        found = Candidates.joined(parts)
        found = Candidates(found.points * np.asarray(self._grid, np.int32), found.dist, found.prob)
        return _Judged(sample.name, truth[..., 0], found[found.order()])

    def _coarse(self, window: Window) -> Window:
        """Return a window of pixels, which begins at a place of the grid, as one of places."""
        return tuple(
            slice(part.start // side, -(-part.stop // side)) for part, side in zip(window, self._grid, strict=True)
        )


def _find(one: _Judged, shapes: Shapes, overlap: float, least: float) -> _Found:
    """Return the objects that suppression leaves, and how they overlap with the true ones."""
    candidates = one.candidates[one.candidates.prob > least]
    objects = candidates[shapes.survivors(candidates.points, candidates.dist, overlap)]
    labels = shapes.render(objects.points, objects.dist, (0,) * one.truth.ndim, one.truth.shape)
    overlaps, numbers = Overlaps.of(one.truth, labels)
    return _Found(overlaps, objects.prob[numbers - 1])


def _figures(overlaps: Overlaps) -> dict[str, float]:
    """Return the figures of an image; none where there are neither true nor found objects."""
    score = overlaps.score(_MATCHED)
    return {} if score.empty else score.figures()


def _summary(chosen: Sequence[Overlaps], plain: Sequence[Overlaps], images: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the figures of all objects together, the curve over IoU thresholds, and the figures per image."""

    def all_together(overlaps: Sequence[Overlaps], iou: float) -> Score:
        return total([one.score(iou) for one in overlaps])

    kinds = {PLAIN: all_together(plain, _MATCHED), "prediction": all_together(chosen, _MATCHED)}
    summary: dict[str, Any] = {name: {kind: getattr(score, name) for kind, score in kinds.items()} for name in FIGURES}
    score = kinds["prediction"]
    summary["objects"] = [
        ["true", score.hits + score.missed],
        ["found", score.hits + score.false],
        ["right", score.hits],
    ]
    scores = [(iou, all_together(chosen, iou)) for iou in IOUS]
    for name in ("f1", "precision", "recall", "panoptic_quality"):
        summary[f"{name}_curve"] = [[iou, getattr(score, name)] for iou, score in scores]
    summary["images"] = images
    return summary
