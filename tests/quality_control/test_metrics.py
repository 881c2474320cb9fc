"""Metrics against scikit-image, SciPy and formulas written out anew."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage, stats
from skimage import metrics as peer

from dl4fiji.errors import DataError
from dl4fiji.quality_control import metrics


def _pair(seed: int, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """A smooth image with structure, and a noisy one of another scale and offset."""
    rng = np.random.default_rng(seed)
    truth = ndimage.gaussian_filter(rng.random(shape), 2) * 1000 + 50
    return truth, truth * rng.uniform(0.2, 3) + rng.normal(0, 10, shape) + rng.uniform(-100, 100)


def _prepared(truth: np.ndarray, image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Normalization and least squares fit, written out by numpy's own means."""
    low, high = np.percentile(truth, 0.1), np.percentile(truth, 99.9)
    reference = (truth - low) / (high - low)
    slope, offset = np.polyfit(image.ravel(), reference.ravel(), 1)
    return reference, slope * image + offset


@pytest.mark.parametrize("shape", [(40, 57), (64, 64), (13, 24, 31)])
@pytest.mark.parametrize("seed", range(5))
def test_agrees_with_scikit_image(shape: tuple[int, ...], seed: int) -> None:
    truth, image = _pair(seed, shape)
    reference, fitted = _prepared(truth, image)
    result = metrics.compare(truth, image)
    assert result["psnr"] == pytest.approx(peer.peak_signal_noise_ratio(reference, fitted, data_range=1), abs=1e-6)
    expected = peer.structural_similarity(
        reference, fitted, data_range=1, gaussian_weights=True, sigma=1.5, use_sample_covariance=False
    )
    assert result["ssim"] == pytest.approx(expected, abs=1e-6)
    assert result["nrmse"] == pytest.approx(np.sqrt(peer.mean_squared_error(reference, fitted)), abs=1e-8)
    assert result["pearson"] == pytest.approx(stats.pearsonr(truth.ravel(), image.ravel()).statistic, abs=1e-8)


def test_ssim_window_is_eleven_pixels_with_sigma_one_and_a_half() -> None:
    """The definition of Wang et al. 2004 written out with an explicit window."""
    truth, image = _pair(3, (48, 48))
    reference, fitted = _prepared(truth, image)
    line = np.exp(-0.5 * (np.arange(-5, 6) / 1.5) ** 2)
    window = np.outer(line, line) / np.sum(line) ** 2

    def smooth(array: np.ndarray) -> np.ndarray:
        return ndimage.correlate(array, window)[5:-5, 5:-5]

    mean1, mean2 = smooth(reference), smooth(fitted)
    var1, var2 = smooth(reference**2) - mean1**2, smooth(fitted**2) - mean2**2
    both = smooth(reference * fitted) - mean1 * mean2
    c1, c2 = 0.01**2, 0.03**2
    ssim = (2 * mean1 * mean2 + c1) * (2 * both + c2) / ((mean1**2 + mean2**2 + c1) * (var1 + var2 + c2))
    assert metrics.ssim(reference, fitted) == pytest.approx(ssim.mean(), abs=1e-9)


def test_nrmse_is_no_root_of_an_absolute_error() -> None:
    """ZeroCostDL4Mic's figure of that name was the root of the mean absolute error."""
    truth, image = np.zeros((20, 20)), np.full((20, 20), 0.25)
    assert metrics.nrmse(truth, image) == pytest.approx(0.25)
    assert metrics.nrmse(truth, image, data_range=2) == pytest.approx(0.125)


@given(
    scale=st.floats(0.01, 1000), offset=st.floats(-1e4, 1e4), seed=st.integers(0, 1000),
)  # fmt: skip
@settings(max_examples=25, deadline=None)
def test_scale_and_offset_of_the_image_change_nothing(scale: float, offset: float, seed: int) -> None:
    truth, image = _pair(seed, (24, 24))
    first, second = metrics.compare(truth, image), metrics.compare(truth, image * scale + offset)
    assert second == pytest.approx(first, abs=1e-4)


def test_volume_has_figures_of_the_volume_and_of_its_slices() -> None:
    truth, image = _pair(1, (12, 30, 30))
    reference, fitted = _prepared(truth, image)
    result = metrics.compare(truth, image)
    slices = [peer.peak_signal_noise_ratio(a, b, data_range=1) for a, b in zip(reference, fitted, strict=True)]
    assert result["psnr_slices"] == pytest.approx(np.mean(slices), abs=1e-6)
    assert result["psnr_slices"] != pytest.approx(result["psnr"], abs=1e-6)
    assert set(result) == set(metrics.METRICS) | {f"{name}_slices" for name in metrics.METRICS}


def test_equal_images_get_finite_figures() -> None:
    truth, _ = _pair(0, (32, 32))
    result = metrics.compare(truth, truth)
    assert result["psnr"] == metrics.HIGHEST_PSNR
    assert result["ssim"] == pytest.approx(1)
    assert result["nrmse"] == pytest.approx(0, abs=1e-9)
    assert result["pearson"] == pytest.approx(1)


def test_images_smaller_than_the_window_are_judged() -> None:
    truth, image = _pair(0, (4, 7, 9))
    assert 0 < metrics.compare(truth, image)["ssim"] < 1


def test_constant_image_is_no_match() -> None:
    truth, _ = _pair(0, (32, 32))
    result = metrics.compare(truth, np.full_like(truth, 7))
    assert result["pearson"] == pytest.approx(0, abs=1e-9)
    assert np.isfinite(list(result.values())).all()


def test_integer_images_do_not_overflow() -> None:
    truth, image = (np.clip(array, 0, 65535).astype(np.uint16) for array in _pair(5, (32, 32)))
    expected = metrics.compare(truth.astype(np.float64), image.astype(np.float64))
    assert metrics.compare(truth, image) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(("truth", "image"), [((8, 8), (8, 9)), ((8, 8), (8, 8)), ((8,), (8,))])
def test_what_cannot_be_compared_is_told_in_a_sentence(truth: tuple[int, ...], image: tuple[int, ...]) -> None:
    with pytest.raises(DataError, match=r"^[A-Z].*: .*\.$"):
        metrics.compare(np.ones(truth), np.ones(image))


def test_mean_is_of_images() -> None:
    assert metrics.mean([{"psnr": 10.0}, {"psnr": 20.0, "ssim": 0.5}]) == {"psnr": 15.0, "ssim": 0.5}


def test_channels_count_alike() -> None:
    first, second = _pair(1, (24, 24)), _pair(2, (24, 24))
    truth, image = (np.stack([a, b], axis=-1) for a, b in zip(first, second, strict=True))
    expected = metrics.mean([metrics.compare(*first), metrics.compare(*second)])
    assert metrics.compare_channels(truth, image) == pytest.approx(expected)
