"""Training patches as a picture: nine fields, each a patch and beside it what the network shall make of it."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np

from dl4fiji.data.masks import TargetForm

_SIDE = 168
"""Sides of a patch in the picture, in pixels, about."""

_GAP, _MARGIN = 2, 10
_GROUND = (38, 42, 46)
_LOW, _HIGH = 0.5, 99.8
_TINT = 0.55
_CLASS_COLORS = (
    (0, 0, 0), (255, 176, 0), (0, 170, 255), (230, 60, 140), (90, 210, 90), (170, 110, 255), (250, 240, 80),
    (0, 200, 180),
)  # fmt: skip


def montage(sources: Sequence[np.ndarray], targets: Sequence[np.ndarray] | None, form: TargetForm | None) -> np.ndarray:
    """Return a picture of patches, three in a row (Y, X, RGB), uint8.

    Parameters
    ----------
    sources
        Patches, YXC or ZYXC; of volumes the slice is shown that shows most.
    targets
        What the network shall make of them; None: there is nothing but the patches.
    form
        What the pixels of the targets mean: labels are shown in colors, masks laid over the patch.
    """
    fields = []
    for index, source in enumerate(sources):
        target = None if targets is None else targets[index]
        at = best_slice(source, target, form)
        before = _grey(_plane(source, at))
        panels = [before]
        if target is not None:
            panels.append(_target(_plane(target, at), before, form))
        gap = np.full((before.shape[0], _GAP, 3), _GROUND, np.uint8)
        fields.append(np.hstack([panels[0], *(part for panel in panels[1:] for part in (gap, panel))]))
    height, width = fields[0].shape[:2]
    columns = min(3, len(fields))
    rows = -(-len(fields) // columns)
    shape = (rows * (height + _MARGIN) + _MARGIN, columns * (width + _MARGIN) + _MARGIN, 3)
    picture = np.broadcast_to(np.asarray(_GROUND, np.uint8), shape).copy()
    for index, field in enumerate(fields):
        y, x = (
            _MARGIN + place * (size + _MARGIN)
            for place, size in zip(divmod(index, columns), (height, width), strict=True)
        )
        picture[y : y + height, x : x + width] = field
    return picture


def best_slice(source: np.ndarray, target: np.ndarray | None, form: TargetForm | None) -> int:
    """Return which slice of a volume to show: that with most foreground, without masks or labels the middle one."""
    if source.ndim == 3:
        return 0
    if target is None or form is None:
        return source.shape[0] // 2
    return int(np.argmax((target > 0).sum(axis=(1, 2, 3))))


def png(picture: np.ndarray) -> bytes:
    """Return a picture (Y, X, RGB), uint8, as the content of a PNG file."""
    from PIL import Image

    content = io.BytesIO()
    Image.fromarray(picture).save(content, "PNG", optimize=True)
    return content.getvalue()


def _plane(patch: np.ndarray, at: int) -> np.ndarray:
    """Return a slice (YXC) of a patch, its longer side enlarged or thinned to `_SIDE` pixels."""
    plane = patch[at] if patch.ndim == 4 else patch
    longest = max(plane.shape[:2])
    rows, columns = (np.arange(max(1, size * _SIDE // longest)) * longest // _SIDE for size in plane.shape[:2])
    return plane[np.ix_(rows, columns)]


def _grey(plane: np.ndarray) -> np.ndarray:
    """Return a plane (YXC) as a picture: grey, or in color where there are three channels."""
    shown = plane if plane.shape[-1] == 3 else plane[..., :1]
    low, high = np.percentile(shown, [_LOW, _HIGH])
    scaled = np.clip((shown - low) / max(float(high - low), 1e-12), 0, 1) * 255
    return np.broadcast_to(scaled, (*shown.shape[:2], 3)).astype(np.uint8)


def _target(plane: np.ndarray, before: np.ndarray, form: TargetForm | None) -> np.ndarray:
    """Return the picture of a target beside the picture of its patch."""
    if form is None:
        return _grey(plane)
    values = plane[..., 0].astype(np.int64)
    if form == "labels":
        return np.where(_inner(values)[..., np.newaxis], _label_colors(values), 0).astype(np.uint8)
    colors = np.asarray(_CLASS_COLORS)[np.where(values > 0, 1 + (values - 1) % (len(_CLASS_COLORS) - 1), 0)]
    mixed = (1 - _TINT) * before + _TINT * colors
    return np.where(values[..., np.newaxis] > 0, mixed, before).astype(np.uint8)


def _inner(labels: np.ndarray) -> np.ndarray:
    """Return where labels are but at their edges to other labels, so that touching objects are seen apart."""
    inner = labels > 0
    for axis in (0, 1):
        after = np.roll(labels, -1, axis)
        inner &= (after == labels) | (after == 0)
    return inner


def _label_colors(labels: np.ndarray) -> np.ndarray:
    """Return a color per label (…, RGB); neighboring numbers have hues a golden angle apart."""
    hue = (labels * 0.618034) % 1.0
    return np.stack([127.5 * (1.25 + 0.75 * np.cos(2 * np.pi * (hue - shift))) for shift in (0, 1 / 3, 2 / 3)], axis=-1)
