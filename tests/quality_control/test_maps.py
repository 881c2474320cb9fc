"""Maps of SSIM and error agree with the figures."""

from __future__ import annotations

import numpy as np
import pytest

from dl4fiji.quality_control.maps import MARGIN, error_map, ssim_map
from dl4fiji.quality_control.metrics import ssim


@pytest.mark.parametrize("shape", [(40, 51), (14, 20, 23)])
def test_the_mean_of_the_map_without_its_margin_is_the_figure(shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(1)
    truth = rng.random(shape)
    image = truth + rng.normal(0, 0.2, shape)
    found = ssim_map(truth, image)
    assert found.shape == shape
    inner = tuple(slice(MARGIN, size - MARGIN) for size in shape)
    assert found[inner].mean() == pytest.approx(ssim(truth, image), abs=1e-6)
    assert ssim_map(truth, truth) == pytest.approx(np.ones(shape), abs=1e-6)


def test_a_part_with_its_margin_has_the_map_of_the_whole() -> None:
    rng = np.random.default_rng(2)
    truth, image = rng.random((60, 70)), rng.random((60, 70))
    part = ssim_map(truth[15:45, 10:50], image[15:45, 10:50])[MARGIN:-MARGIN, MARGIN:-MARGIN]
    np.testing.assert_allclose(part, ssim_map(truth, image)[20:40, 15:45], atol=1e-6)


def test_sides_shorter_than_the_window() -> None:
    rng = np.random.default_rng(3)
    truth, image = rng.random((3, 30, 30)), rng.random((3, 30, 30))
    assert ssim_map(truth, image).shape == (3, 30, 30)


def test_errors_do_not_wrap_around() -> None:
    assert error_map(np.array([[3]], np.uint8), np.array([[5]], np.uint8)).tolist() == [[2.0]]
