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


def _colored(labels: np.ndarray) -> np.ndarray:
    """Return the middle of a plane of labels as a square picture (Y, X, 3): each object in a color of its own."""
    side = min(labels.shape)
    top, left = ((size - side) // 2 for size in labels.shape)
    places = np.arange(_SIDE) * side // _SIDE
    square = labels[top : top + side, left : left + side][np.ix_(places, places)].astype(np.int64)
    # Steps of the golden angle around the circle of hues, so that labels near one another differ.
    hue = (square * 0.618034) % 1.0
    colors = [127.5 * (1.25 + 0.75 * np.cos(2 * np.pi * (hue - shift))) for shift in (0, 1 / 3, 2 / 3)]
    return np.where(square[..., np.newaxis] > 0, np.stack(colors, axis=-1), 0).astype(np.uint8)


def write_cover(path: Path, before: np.ndarray, after: np.ndarray, labels: bool = False) -> None:
    """Write a PNG, twice as wide as high, of a sample (spatial, C) and the network's result for it.

    ``labels``: the result is a label image.
    """
    from PIL import Image

    first, second = (_plane(image) for image in (before, after))
    halves = [_picture(first, *np.percentile(first, [_LOW, _HIGH]))]
    if labels:
        halves = [np.repeat(halves[0][..., np.newaxis], 3, axis=-1), _colored(second)]
    else:
        halves.append(_picture(second, *np.percentile(second, [_LOW, _HIGH])))
    Image.fromarray(np.hstack(halves)).save(path, optimize=True)
