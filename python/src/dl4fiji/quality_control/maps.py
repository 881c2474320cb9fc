"""Maps of where an image differs from the truth: structural similarity and absolute error."""

from __future__ import annotations

from typing import Any

import numpy as np
from skimage.metrics import structural_similarity

from dl4fiji.quality_control.metrics import SSIM_SIGMA, SSIM_WINDOW

MARGIN = SSIM_WINDOW // 2
"""Pixels beyond a part that its map depends on."""


def ssim_map(truth: np.ndarray, image: np.ndarray, data_range: float = 1.0) -> np.ndarray:
    """Return the structural similarity around each pixel, float32; its mean without the margin is `metrics.ssim`.

    Parameters
    ----------
    truth, image
        Same shape: YX, or ZYX with a 3D window. Sides shorter than the window are mirrored up to it.
    """
    short = [max(0, SSIM_WINDOW - size) for size in truth.shape]
    padding = [(size // 2, -(-size // 2)) for size in short]
    padded = [np.pad(one.astype(np.float64), padding, mode="symmetric") for one in (truth, image)]
    result: Any = structural_similarity(
        *padded, data_range=data_range, gaussian_weights=True, sigma=SSIM_SIGMA, use_sample_covariance=False, full=True
    )  # fmt: skip
    inner = tuple(slice(before, before + size) for (before, _), size in zip(padding, truth.shape, strict=True))
    return np.asarray(result[1])[inner].astype(np.float32)


def error_map(truth: np.ndarray, image: np.ndarray) -> np.ndarray:
    """Return the absolute difference of each pixel, float32."""
    return np.abs(truth.astype(np.float64) - image.astype(np.float64)).astype(np.float32)
