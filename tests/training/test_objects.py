"""Thresholds of networks that find objects, beside stardist's own way to objects."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import tifffile
from scipy import ndimage

from dl4fiji.data.normalization import FixedNormalization
from dl4fiji.data.pairs import open_pairs
from dl4fiji.data.star_distances import planes_targets
from dl4fiji.keras_setup import import_tensorflow
from dl4fiji.networks import get
from dl4fiji.prediction.detection import Candidates, read_candidates
from dl4fiji.prediction.shapes import Polygons
from dl4fiji.progress import SilentProgress
from dl4fiji.quality_control.instances import Overlaps, total
from dl4fiji.training import objects
from dl4fiji.training.evaluation import Evaluation
from dl4fiji.training.objects import evaluate_objects

RAYS, GRID = 16, (2, 2)
SCALE = FixedNormalization(mean=[0.0], std=[1000.0])


def _truth(seed: int, shape: tuple[int, int] = (96, 112)) -> np.ndarray:
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).random(shape), 4)
    return ndimage.label(noise > np.percentile(noise, 65))[0].astype(np.int32)


def _output(truth: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return what a network might say of an image: some objects are weak, others invented, distances uncertain."""
    rng = np.random.default_rng(seed)
    probability, distances = planes_targets(truth[np.newaxis], RAYS, GRID)
    weak = rng.uniform(0.3, 1, truth.max() + 1)[truth[:: GRID[0], :: GRID[1]]]
    probability = probability[0, ..., 0] * weak + rng.uniform(0, 0.05, weak.shape)
    invented = ndimage.gaussian_filter(rng.random(weak.shape), 2)
    invented = 0.6 * (invented - invented.min()) / np.ptp(invented) * (truth[:: GRID[0], :: GRID[1]] == 0)
    distances = distances[0, ..., :-1] * rng.uniform(0.8, 1.2, (*weak.shape, RAYS))
    return np.maximum(probability, invented).astype(np.float32), np.maximum(distances, 4).astype(np.float32)


@pytest.fixture(scope="module")
def peer() -> Any:
    """Return a model of stardist whose way from outputs to objects is asked."""
    import_tensorflow()
    from stardist.models import Config2D, StarDist2D

    return StarDist2D(Config2D(n_rays=RAYS, grid=GRID, unet_n_depth=1, unet_n_filter_base=2), None, basedir=None)


def _judged(truth: np.ndarray, output: tuple[np.ndarray, np.ndarray], floor: float) -> objects._Judged:
    joined = np.concatenate([output[0][..., np.newaxis], output[1]], axis=-1)
    window = tuple(slice(0, size) for size in joined.shape[:2])
    found = read_candidates(joined, window, joined.shape[:2], (1, 1), floor)
    found = Candidates(found.points * np.array(GRID, np.int32), found.dist, found.prob)
    return objects._Judged("image", truth, found[found.order()])


@pytest.mark.parametrize("overlap", [0.3, 0.5])
def test_objects_at_any_probability_are_those_of_stardist(peer: Any, overlap: float) -> None:
    """One suppression and one picture of all candidates tell what each probability would give."""
    truth = _truth(0)
    output = _output(truth, 1)
    found = objects._find(_judged(truth, output, 0.05), Polygons(RAYS), overlap, 0.1)
    counts = set()
    for probability in (0.1, 0.2, 0.35, 0.5, 0.7, 0.85):
        labels, details = peer._instances_from_prediction(
            truth.shape, *output, prob_thresh=probability, nms_thresh=overlap
        )
        ours, theirs = found.above(probability), Overlaps.of(truth, labels)[0]
        assert ours.counts == theirs.counts
        for iou in (0.3, 0.5, 0.7):
            ours_at, theirs_at = ours.score(iou), theirs.score(iou)
            assert (ours_at.hits, ours_at.false) == (theirs_at.hits, theirs_at.false)
            assert ours_at.overlap == pytest.approx(theirs_at.overlap)
        counts.add(len(details["prob"]))
    assert len(counts) >= 4


def test_the_thresholds_are_at_least_as_good_as_those_of_stardist(peer: Any) -> None:
    truths = [_truth(seed) for seed in range(3)]
    outputs = [_output(truth, seed) for seed, truth in enumerate(truths)]
    judged = [_judged(truth, output, 0.05) for truth, output in zip(truths, outputs, strict=True)]
    highest = max(float(output[0].max()) for output in outputs)
    found = {
        overlap: [objects._find(one, Polygons(RAYS), overlap, 0.2 * highest) for one in judged]
        for overlap in objects.OVERLAPS
    }
    best = objects.best_thresholds(found, 0.2 * highest, highest)
    assert best is not None
    probability, overlap = best

    from stardist.utils import optimize_threshold

    reached = []
    for nms in objects.OVERLAPS:
        reached.append(optimize_threshold(truths, outputs, peer, nms, verbose=0)[1])
    ours = np.mean(
        [total([one.above(probability).score(iou) for one in found[overlap]]).accuracy for iou in (0.3, 0.5, 0.7)]
    )
    assert ours >= max(reached) - 0.01
    assert 0.2 * highest <= probability <= highest


class _Oracle:
    """Takes the place of the trained model's layers: gives the targets of the labels that the images show."""

    def predict_on_batch(self, batch: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        labels = np.rint(batch[..., 0] * 1000).astype(np.int32)
        probability, distances = planes_targets(labels, RAYS, GRID)
        return probability, distances[..., :-1]


def _evaluate(folder: Path, truths: list[np.ndarray], aside: list[np.ndarray]) -> Evaluation:
    """Judge what the oracle makes of images that show their own labels."""
    for part, arrays in (("train", truths), ("aside", aside)):
        for number, truth in enumerate(arrays):
            for role, array in (("images", truth.astype(np.float32)), ("labels", truth.astype(np.uint16))):
                place = folder / part / role / f"{number}.tif"
                place.parent.mkdir(parents=True, exist_ok=True)
                tifffile.imwrite(place, array, imagej=True, metadata={"axes": "YX"})
    fields = SimpleNamespace(
        source=str(folder / "train" / "images"), target=str(folder / "train" / "labels"),
        validation_source=str(folder / "aside" / "images"), validation_target=str(folder / "aside" / "labels"), axes="",
    )  # fmt: skip
    network = get("stardist-2d")
    options = network.Options.model_validate({"rays": RAYS, "grid": GRID, "depth": 1, "patch_size": "32x32"})
    dataset = open_pairs(fields, "YXC", form="labels").split(10, 0)
    return evaluate_objects(dataset, SCALE, None, network, options, SilentProgress())


@pytest.fixture
def oracle(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the oracle take the place of the model."""
    monkeypatch.setattr(objects, "at_grid", lambda model: _Oracle())


@pytest.mark.usefixtures("oracle")
def test_tiles_leave_no_trace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A network that errs nowhere finds the star-convex objects, in whole images as in those cut into tiles."""
    truths = [_truth(seed, (150, 171)) for seed in range(2)]
    whole = _evaluate(tmp_path, truths, truths)
    assert whole.quality["f1"]["prediction"] > 0.7
    monkeypatch.setattr(objects, "_TILE_PIXELS", {"YX": 128 * 128})
    monkeypatch.setattr(objects, "_MOST_PIXELS", 128 * 128)
    tiled = _evaluate(tmp_path, truths, truths)
    assert tiled.thresholds.keys() == whole.thresholds.keys()
    # Objects longer than the halo have other distances in tiles.
    assert tiled.quality["f1"]["prediction"] == pytest.approx(whole.quality["f1"]["prediction"], abs=0.05)
    assert dict(whole.quality["objects"])["true"] == sum(int(truth.max()) for truth in truths)
    assert [image["name"] for image in whole.quality["images"]] == ["0.tif", "1.tif"]


@pytest.mark.usefixtures("oracle")
def test_validation_images_without_objects_leave_the_defaults(tmp_path: Path) -> None:
    evaluation = _evaluate(tmp_path, [_truth(0)], [np.zeros((96, 96), np.int32)])
    assert evaluation.quality == {}
    assert evaluation.thresholds == {"probability": 0.5, "nms": 0.4}
    assert "show no object" in evaluation.warnings[0]


class _Novice:
    """A network that was hardly trained: every place is an object a little, and all are far too small."""

    def predict_on_batch(self, batch: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        sides = tuple(side // step for side, step in zip(batch.shape[1:-1], GRID, strict=True))
        places = np.random.default_rng(0).uniform(0.1, 0.2, (len(batch), *sides, 1))
        return places.astype(np.float32), np.ones((len(batch), *sides, RAYS), np.float32)


def test_a_network_that_finds_nothing_keeps_the_defaults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Any threshold is as good then; a low one would make an object of every place in later predictions."""
    monkeypatch.setattr(objects, "at_grid", lambda model: _Novice())
    evaluation = _evaluate(tmp_path, [_truth(0)], [_truth(1)])
    assert evaluation.thresholds == {"probability": 0.5, "nms": 0.4}
    assert evaluation.quality["f1"]["prediction"] == 0
    assert "Not one object" in evaluation.warnings[0]
