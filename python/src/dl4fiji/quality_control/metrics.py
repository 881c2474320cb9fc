"""How near an image comes to the truth: PSNR, SSIM, NRMSE and Pearson correlation.

The truth is normalized by its percentiles 0.1 and 99.9; the image is fitted to it by least squares, since
intensities of a restored or noisy image have another scale and offset (Weigert et al. 2018, Nature Methods
15:1090, supplementary note 2). All figures are of one image; means are taken over images, never over pixels of
several.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
from skimage.metrics import structural_similarity

from dl4fiji.errors import DataError

METRICS = ("psnr", "ssim", "nrmse", "pearson")
"""Names of the metrics, in the order of tables."""

PERCENTILES = (0.1, 99.9)
"""What of the truth becomes 0 and 1."""

SSIM_SIGMA = 1.5
"""Standard deviation of the Gaussian window, in pixels."""
SSIM_WINDOW = 11
"""Width of the window in pixels: scikit-image ends it after 3.5 standard deviations, int(3.5 · 1.5 + 0.5) = 5."""

HIGHEST_PSNR = 100.0
"""In dB; what equal images get in place of infinity, so that every table and JSON file can hold it."""


def normalize_truth(truth: np.ndarray) -> np.ndarray:
    """Return ``truth`` as float64 with its percentiles 0.1 and 99.9 at 0 and 1 (linear interpolation).

    Raises
    ------
    DataError
        If the percentiles are equal, as in a constant image.
    """
    low, high = np.percentile(truth, PERCENTILES)
    if not high > low:
        raise DataError("The truth is constant, so nothing can be compared with it: choose another image.")
    return (truth.astype(np.float64) - low) / (high - low)


def fit(image: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Return ``a · image + b`` that has the least mean squared difference from ``truth``, float64.

    A constant image becomes the truth's mean.
    """
    image = image.astype(np.float64)
    centered = image - image.mean()
    variance = np.mean(centered**2)
    slope = np.mean(centered * (truth - truth.mean())) / variance if variance > 0 else 0.0
    return slope * centered + truth.mean()


def psnr(truth: np.ndarray, image: np.ndarray, data_range: float = 1.0) -> float:
    """Return the peak signal-to-noise ratio, 10 · log10(range² / mean squared error), in dB, at most 100."""
    error = np.mean((truth.astype(np.float64) - image.astype(np.float64)) ** 2)
    return min(HIGHEST_PSNR, float(10 * np.log10(data_range**2 / error))) if error > 0 else HIGHEST_PSNR


def nrmse(truth: np.ndarray, image: np.ndarray, data_range: float = 1.0) -> float:
    """Return the root of the mean squared error, divided by the truth's range."""
    return float(np.sqrt(np.mean((truth.astype(np.float64) - image.astype(np.float64)) ** 2)) / data_range)


def pearson(truth: np.ndarray, image: np.ndarray) -> float:
    """Return the Pearson correlation; 0 if one of the two is constant."""
    first = truth.astype(np.float64) - np.mean(truth, dtype=np.float64)
    second = image.astype(np.float64) - np.mean(image, dtype=np.float64)
    norm = np.sqrt(np.sum(first**2) * np.sum(second**2))
    return float(np.sum(first * second) / norm) if norm > 0 else 0.0


def ssim(truth: np.ndarray, image: np.ndarray, data_range: float = 1.0) -> float:
    """Return the structural similarity of planes or, with a 3D window, of volumes.

    Wang et al. 2004, IEEE Trans. Image Processing 13:600: Gaussian window with sigma 1.5, 11 pixels wide,
    K1 = 0.01, K2 = 0.03, population covariance; the mean over all pixels whose window lies inside the image.
    Sides shorter than the window are mirrored up to it.
    """
    padding = [(max(0, SSIM_WINDOW - size) // 2, -(-max(0, SSIM_WINDOW - size) // 2)) for size in truth.shape]
    if any(any(sides) for sides in padding):
        truth, image = (np.pad(array, padding, mode="symmetric") for array in (truth, image))
    value = structural_similarity(
        truth.astype(np.float64),
        image.astype(np.float64),
        data_range=data_range,
        gaussian_weights=True,
        sigma=SSIM_SIGMA,
        use_sample_covariance=False,
    )
    return float(value)  # pyright: ignore[reportArgumentType] it is a tuple only when maps are asked for


def compare(truth: np.ndarray, image: np.ndarray) -> dict[str, float]:
    """Compare an image with the truth.

    Parameters
    ----------
    truth, image
        Same shape: YX, or ZYX for volumes. Of any type and intensity scale.

    Returns
    -------
    dict
        ``psnr`` (dB), ``ssim``, ``nrmse``, ``pearson``. For volumes they are of the whole volume, with one
        normalization and one fit, and SSIM with a 3D window; besides, ``psnr_slices``, ``ssim_slices``,
        ``nrmse_slices`` and ``pearson_slices`` are means over the slices, each judged by that same normalization
        and fit.

    Raises
    ------
    DataError
        If the shapes differ or the truth is constant.
    """
    if truth.shape != image.shape or truth.ndim not in (2, 3):
        raise DataError(
            f"An image of shape {image.shape} cannot be compared with a truth of shape {truth.shape}: both must be "
            "planes or both volumes, of one size."
        )
    reference = normalize_truth(truth)
    fitted = fit(image, reference)
    result = _figures(reference, fitted)
    if truth.ndim == 3:
        slices = [_figures(*planes) for planes in zip(reference, fitted, strict=True)]
        result |= {f"{name}_slices": value for name, value in mean(slices).items()}
    return result


def compare_channels(truth: np.ndarray, image: np.ndarray) -> dict[str, float]:
    """Compare images with channels (YXC or ZYXC) and return the mean over the channels of `compare`."""
    channels = range(truth.shape[-1])
    return mean([compare(truth[..., channel], image[..., channel]) for channel in channels])


def mean(rows: Iterable[Mapping[str, float]]) -> dict[str, float]:
    """Return the mean of each figure over the images that have it."""
    rows = list(rows)
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: float(np.mean([row[name] for row in rows if name in row])) for name in names}


def _figures(truth: np.ndarray, image: np.ndarray) -> dict[str, float]:
    """Return the metrics of an image that is already fitted to a normalized truth."""
    return {
        "psnr": psnr(truth, image),
        "ssim": ssim(truth, image),
        "nrmse": nrmse(truth, image),
        "pearson": pearson(truth, image),
    }
