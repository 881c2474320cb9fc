"""Figures of objects beside those of stardist's own matching."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from dl4fiji.keras_setup import prepare
from dl4fiji.quality_control.instances import FIGURES, IOUS, Overlaps, Score, total


def _objects(seed: int, size: int = 96) -> np.ndarray:
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).random((size, size)), 2)
    return ndimage.label(noise > np.percentile(noise, 70))[0].astype(np.int32)


def _worse(labels: np.ndarray, seed: int) -> np.ndarray:
    """Return labels that are shifted, some of them lost, divided or merged, with numbers far apart."""
    rng = np.random.default_rng(seed)
    found = np.roll(labels, rng.integers(-2, 3, 2), axis=(0, 1))
    numbers = rng.permutation(labels.max() + 1) * 7 + 3
    numbers[rng.random(len(numbers)) < 0.2] = 0
    numbers[rng.random(len(numbers)) < 0.1] = 5
    numbers[0] = 0
    found = numbers[found]
    return np.where((found > 0) & (np.arange(found.shape[1]) % 16 < 8) & (found % 3 == 0), found + 1000, found)


@pytest.mark.parametrize("seed", range(4))
def test_figures_are_those_of_stardist(seed: int) -> None:
    prepare()
    from stardist.matching import matching, matching_dataset

    truths = [_objects(10 * seed + number) for number in range(3)]
    found = [_worse(truth, seed + number) for number, truth in enumerate(truths)]
    overlaps = [Overlaps.of(truth, labels)[0] for truth, labels in zip(truths, found, strict=True)]
    for iou in (0.1, 0.3, *IOUS):
        for truth, labels, overlap in zip(truths, found, overlaps, strict=True):
            expected, score = matching(truth, labels, thresh=iou), overlap.score(iou)
            assert (score.hits, score.false, score.missed) == (expected.tp, expected.fp, expected.fn)
            for name in (*FIGURES, "accuracy"):
                assert getattr(score, name) == pytest.approx(getattr(expected, name), abs=1e-6), name
        together = matching_dataset(truths, found, thresh=iou, show_progress=False)
        score = total([overlap.score(iou) for overlap in overlaps])
        for name in (*FIGURES, "accuracy"):
            assert getattr(score, name) == pytest.approx(getattr(together, name), abs=1e-6), name
    assert 0 < score.f1 < 1 or iou == IOUS[-1]


def test_each_object_counts_once() -> None:
    """Both halves have an IoU of 0.5 with the one true object."""
    truth = np.zeros((4, 8), int)
    truth[:, :] = 0
    truth[1:3] = 1
    halves = truth.copy()
    halves[1:3, 4:] = 2
    score = Overlaps.of(truth, halves)[0].score(0.5)
    assert (score.hits, score.false, score.missed) == (1, 1, 0)


@pytest.mark.parametrize(
    ("truth", "found", "expected"), [(0, 0, (0, 0, 0)), (1, 0, (0, 0, 1)), (0, 1, (0, 1, 0)), (1, 1, (1, 0, 0))]
)
def test_images_of_one_value(truth: int, found: int, expected: tuple[int, int, int]) -> None:
    overlaps, numbers = Overlaps.of(np.full((4, 4), truth), np.full((4, 4), found))
    score = overlaps.score(0.5)
    assert (score.hits, score.false, score.missed) == expected
    assert list(numbers) == [found] * (found > 0)
    assert score.empty == (expected == (0, 0, 0))
    assert score.f1 == (1.0 if score.hits else 0.0)


def test_the_first_objects_alone() -> None:
    truth = _objects(0)
    labels = np.where(truth > 3, 0, truth)
    kept = Overlaps.of(truth, truth)[0].first(3)
    assert kept.score(0.5) == Overlaps.of(truth, labels)[0].score(0.5)
    assert kept.score(0.5) == Score(3, 0, int(truth.max()) - 3, 3.0)


def test_other_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="shape"):
        Overlaps.of(np.zeros((4, 4), int), np.zeros((4, 5), int))
