"""What may be wrong with the objects of labels is said before a training, in sentences with file and remedy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from dl4fiji.data.pairs import check_data
from dl4fiji.data.writer import write_image
from dl4fiji.options import TrainingOptions

SMALL = TrainingOptions(patch_size=(32, 32), batch_size=4, patches_per_image=4)


def grid_of_squares(side: int = 10, size: int = 120, step: int = 15) -> np.ndarray:
    """Return 64 squares that are labeled from 1 on and do not reach the border."""
    labels = np.zeros((size, size), np.uint16)
    for number, (y, x) in enumerate(np.ndindex(size // step, size // step), 1):
        labels[2 + step * y :, 2 + step * x :][:side, :side] = number
    return labels


@pytest.fixture
def look(folders: Any) -> Callable[..., Any]:
    """Check label images with pictures of their size."""

    def check(*labels: np.ndarray, full: bool = True) -> Any:
        for number, image in enumerate(labels):
            picture = np.random.default_rng(number).integers(0, 4000, image.shape).astype(np.uint16)
            write_image(folders.source / f"cells{number}.tif", picture, "YX")
            # Numbers differ from image to image: equal targets would be taken for one scene.
            write_image(
                folders.target / f"cells{number}.tif", np.where(image > 0, image + np.uint16(1000 * number), 0), "YX"
            )
        report = check_data(folders.request(), "YXC", SMALL, form="labels", full=full)
        assert report.problems == ()
        return report

    return check


def test_good_labels_give_a_summary_and_no_warning(look: Callable[..., Any]) -> None:
    report = look(grid_of_squares(), grid_of_squares())
    assert report.warnings == ()
    assert report.summary == (
        "2 pairs 120×120, 1 for training, 1 for validation; 128 objects, none at the border; "
        "the median diameter is 10 px, so grid 1"
    )
    assert report.objects.count == 128


def _in_pieces(labels: np.ndarray) -> np.ndarray:
    return np.where(labels == 9, 1, np.where(labels == 20, 1, np.where(labels == 22, 3, labels)))


def _merged(labels: np.ndarray) -> np.ndarray:
    labels = labels.copy()
    labels[:46, :46] = 500
    return labels


def _specks(labels: np.ndarray) -> np.ndarray:
    labels = labels.copy()
    labels[0, 60] = 99
    return labels


def _corner(labels: np.ndarray) -> np.ndarray:
    labels = labels.copy()
    labels[50:], labels[:, 40:] = 0, 0
    return labels


def _shifted(labels: np.ndarray) -> np.ndarray:
    wide = np.zeros_like(labels)
    for number, at in enumerate(range(0, 108, 12), 1):
        wide[:10, at : at + 10] = number
        wide[110:, at : at + 10] = 100 + number
    wide[50:60, 50:60] = 200
    return wide


@pytest.mark.parametrize(
    ("turn", "told"),
    [
        (_in_pieces, "Label 1 of cells0.tif is in 3 separate pieces, and so is one more label: give objects a number"),
        (
            _merged,
            "1 of 120 objects is more than 8 times larger than usual in their image, such as label 500 of cells0",
        ),
        (
            _specks,
            "1 of 129 objects is smaller than 2% of what is usual in their image, such as label 99 of cells0.tif",
        ),
        (_corner, "The labels of cells0.tif lie in one part of it only (32 % of its width, 40 % of its height)"),
        (lambda labels: labels * 0, "cells0.tif shows no object: that is fine if there is none in the image"),
    ],
    ids=["pieces", "merged", "specks", "corner", "empty"],
)
def test_an_odd_image_among_good_ones_is_pointed_out(turn: Any, told: str, look: Callable[..., Any]) -> None:
    (warning,) = look(turn(grid_of_squares()), grid_of_squares()).warnings
    assert told in warning
    assert warning.endswith(".")


def test_small_cut_and_few_objects_and_single_images_are_told(look: Callable[..., Any]) -> None:
    small = look(grid_of_squares(5, step=8)).warnings
    assert any("median diameter of 5.0 pixels" in text for text in small)
    assert any(text.startswith("There is only one image with labels") for text in small)
    cut = look(_shifted(grid_of_squares())).warnings
    assert any("18 of 19 objects touch the border" in text for text in cut)
    assert any("only 19 objects" in text for text in cut)


def test_objects_far_larger_in_another_magnification_are_fine(look: Callable[..., Any]) -> None:
    large = np.kron(grid_of_squares(), np.ones((5, 5), np.uint16))
    assert look(grid_of_squares(), large, grid_of_squares(8)).warnings == ()


def test_a_quick_check_says_by_which_images_it_judges(look: Callable[..., Any]) -> None:
    report = look(*[grid_of_squares() for _ in range(5)], full=False)
    assert "; in the first 3 images 192 objects, none at the border" in report.summary
    assert report.warnings == ()


def test_patches_that_are_too_small_for_the_objects_are_told_with_a_better_size(look: Callable[..., Any]) -> None:
    (warning,) = look(*[np.kron(grid_of_squares(), np.ones((2, 2), np.uint16))] * 2).warnings
    assert warning == (
        "Patches of 32×32 pixels show few objects whole, since these measure 20×20 (median): set patch_size to 64x64."
    )
