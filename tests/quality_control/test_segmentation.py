"""IoU and its like beside plain formulas, and the choice of the threshold."""

from __future__ import annotations

import numpy as np
import pytest

from dl4fiji.data.masks import classify
from dl4fiji.quality_control.segmentation import (
    THRESHOLDS,
    Tally,
    best_threshold,
    dice,
    figures,
    iou,
    precision,
    recall,
)


def _case(classes: int, seed: int = 0, shape: tuple[int, ...] = (31, 40)) -> tuple[np.ndarray, np.ndarray]:
    """Return a truth and probabilities that have something to do with it."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(classes, size=shape).astype(np.uint8)
    if classes == 2:
        return truth, np.clip(0.4 * truth + 0.6 * rng.random(shape), 0, 1)[..., np.newaxis].astype(np.float32)
    scores = np.exp(np.eye(classes)[truth] + rng.normal(0, 1, (*shape, classes)))
    return truth, (scores / scores.sum(axis=-1, keepdims=True)).astype(np.float32)


@pytest.mark.parametrize("classes", [2, 3, 4])
@pytest.mark.parametrize("threshold", [0.01, 0.3, 0.5, 0.77, 0.99])
def test_figures_are_those_of_the_masks(classes: int, threshold: float) -> None:
    truth, probabilities = _case(classes)
    mask = classify(probabilities, threshold)
    confusion = Tally.of(truth, probabilities).confusion(threshold)
    for number in range(classes):
        own, found = truth == number, mask == number
        both, either = (own & found).sum(), (own | found).sum()
        assert confusion[number].sum() == own.sum()
        assert iou(confusion)[number] == pytest.approx(both / either)
        assert dice(confusion)[number] == pytest.approx(2 * both / (own.sum() + found.sum()))
        assert recall(confusion)[number] == pytest.approx(both / own.sum())
        expected = both / found.sum() if found.any() else None
        assert precision(confusion)[number] == pytest.approx(expected)


def test_the_rule_of_masks_at_a_threshold() -> None:
    one = np.array([[0.2], [0.5], [0.51]], np.float32)
    assert classify(one, 0.5).tolist() == [0, 1, 1]
    # Classes: background if 1 - p(background) stays below the threshold, else the likeliest of the others.
    several = np.array([[0.6, 0.3, 0.1], [0.45, 0.15, 0.4], [0.1, 0.5, 0.4]], np.float32)
    assert classify(several, 0.5).tolist() == [0, 2, 1]
    assert classify(several, 0.3).tolist() == [1, 2, 1]
    assert classify(several, 0.9).tolist() == [0, 0, 1]


@pytest.mark.parametrize("classes", [2, 3])
def test_the_curve_is_that_of_all_thresholds(classes: int) -> None:
    truth, probabilities = _case(classes, 3)
    curve = Tally.of(truth, probabilities).curve()
    for threshold, value in zip(THRESHOLDS, curve, strict=True):
        mask = classify(probabilities, threshold)
        parts = [((truth == n) & (mask == n)).sum() / ((truth == n) | (mask == n)).sum() for n in range(1, classes)]
        assert value == pytest.approx(np.mean(parts))


def test_the_best_threshold_maximizes_the_mean_over_images() -> None:
    tallies = [Tally.of(*_case(2, seed, (20 + 30 * seed, 20))) for seed in range(3)]
    threshold, curve = best_threshold(tallies)
    means = np.mean([tally.curve() for tally in tallies], axis=0)
    np.testing.assert_allclose(curve, means)
    assert means[THRESHOLDS.index(threshold)] == means.max()
    assert threshold != 0.5, "here foreground has probabilities from 0.4 on, background up to 0.6"


def test_the_middle_of_equally_good_thresholds_is_taken() -> None:
    truth = np.array([[0, 0, 1, 1]])
    probabilities = np.array([[0.2, 0.2, 0.8, 0.8]], np.float32)[..., np.newaxis]
    assert best_threshold([Tally.of(truth, probabilities)])[0] == pytest.approx(0.5, abs=0.02)


def test_images_without_a_class_have_no_figure_for_it() -> None:
    empty = np.zeros((8, 8), np.uint8)
    sure = Tally.of(empty, np.zeros((8, 8, 1), np.float32))
    assert figures(sure, 0.5) == {}
    wrong = Tally.of(empty, np.full((8, 8, 1), 0.7, np.float32))
    assert figures(wrong, 0.5) == {"iou": 0, "dice": 0, "precision": 0}
    assert best_threshold([sure]) == (0.5, [0.0] * len(THRESHOLDS))
    assert best_threshold([sure, wrong])[0] < 0.7


def test_classes_have_figures_of_their_own_beside_the_mean() -> None:
    truth, probabilities = _case(3)
    found = figures(Tally.of(truth, probabilities), 0.5)
    assert found["iou"] == pytest.approx((found["iou_class_1"] + found["iou_class_2"]) / 2)
    assert "iou_class_0" not in found


def test_volumes_count_as_a_whole_and_shapes_must_agree() -> None:
    truth, probabilities = _case(2, shape=(5, 9, 7))
    planes = sum(Tally.of(t, p).counts for t, p in zip(truth, probabilities, strict=True))
    np.testing.assert_array_equal(Tally.of(truth, probabilities).counts, planes)
    with pytest.raises(ValueError, match="shape"):
        Tally.of(truth[1:], probabilities)
