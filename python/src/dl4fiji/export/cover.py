"""The package's cover picture: the sample before and after, side by side."""

from __future__ import annotations

from pathlib import Path

import numpy as np

_SIDE = 320
_LOW, _HIGH = 0.5, 99.8


def _plane(image: np.ndarray) -> np.ndarray:
    """Return a plane (Y, X) of a sample (spatial, C): the first channel, of volumes the maximum along Z."""
    channel = image[..., 0]
    return channel.max(axis=0) if channel.ndim == 3 else channel


def _picture(plane: np.ndarray, low: float, high: float) -> np.ndarray:
    """Return the middle of ``plane`` as a square 8-bit picture between two display limits."""
    side = min(plane.shape)
    top, left = ((size - side) // 2 for size in plane.shape)
    square = plane[top : top + side, left : left + side]
    places = np.arange(_SIDE) * side // _SIDE
    scaled = (square[np.ix_(places, places)] - low) / max(high - low, 1e-12)
    return (np.clip(scaled, 0, 1) * 255).astype(np.uint8)


def write_cover(path: Path, before: np.ndarray, after: np.ndarray) -> None:
    """Write a PNG, twice as wide as high, of a sample (spatial, C) and the network's result for it."""
    from PIL import Image

    planes = [_plane(image) for image in (before, after)]
    halves = [_picture(plane, *np.percentile(plane, [_LOW, _HIGH])) for plane in planes]
    Image.fromarray(np.hstack(halves)).save(path, optimize=True)
