"""Which images show the same: identical pixels, or the same structures under other noise.

If a validation image is like a training image, the validation looks better than it is.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from dl4fiji.quality_control.record import Likeness

ALIKE = 0.6
"""From this correlation on two images are taken to show the same field.

In the fluorescence microscopy denoising data (Zhang et al. 2019), noisy recordings of one field correlate by 0.79 and
more, fields of different cells by 0.23 at most: brightness that falls off to the sides, which images of one microscope
share, is removed first.
"""

SIDE = 64
"""Images are thinned to about so many pixels along Y and X, which averages noise away."""

_BLUR = 4.0
"""Standard deviation of what is removed, in thinned pixels."""

_PILE = 2.0
"""Clipped pixels pile up: the brightest value is at least so much more frequent than the next one."""


@dataclass(frozen=True)
class Fingerprint:
    """What is kept of an image to compare it with others.

    Parameters
    ----------
    name
        What it is called in the report.
    source, target
        Digests of the pixels; ``target`` is empty where there is none or where it is constant (empty masks are equal
        but tell nothing).
    thumbnail
        The thinned image, with mean 0 and length 1; empty if it is constant.
    """

    name: str
    source: str
    target: str
    thumbnail: np.ndarray


def fingerprint(name: str, source: np.ndarray, target: np.ndarray | None) -> Fingerprint:
    """Return what tells an image (spatial, C) from others."""
    known = "" if target is None or (target == target.flat[0]).all() else _digest(target)
    return Fingerprint(name, _digest(source), known, thumbnail(source))


def thumbnail(image: np.ndarray) -> np.ndarray:
    """Return an image (spatial, C) thinned to a plane of about 64×64 pixels, high-pass filtered and normalized.

    Channels and slices are averaged. Empty if nothing is left.
    """
    plane = image.mean(axis=(*range(image.ndim - 3), image.ndim - 1), dtype=np.float64)
    steps = [max(1, size // SIDE) for size in plane.shape]
    sizes = [size // step for size, step in zip(plane.shape, steps, strict=True)]
    plane = plane[: sizes[0] * steps[0], : sizes[1] * steps[1]]
    small = plane.reshape(sizes[0], steps[0], sizes[1], steps[1]).mean(axis=(1, 3))
    small = small - ndimage.gaussian_filter(small, _BLUR)
    small -= small.mean()
    length = float(np.sqrt(np.sum(small**2)))
    if length <= 1e-9 * max(1.0, float(np.abs(plane).max())) * np.sqrt(small.size):
        return np.empty((0, 0), np.float32)
    return (small / length).astype(np.float32)


def saturated_share(image: np.ndarray) -> float:
    """Return the share of pixels that are clipped: equal to the brightest one, if these pile up; else 0.

    They pile up where the brightest value is more than twice as frequent as the next lower one, as it is in cameras
    of 12 bits in files of 16 bits, too.
    """
    highest = image.max()
    count = int((image == highest).sum())
    lower = image[image < highest]
    if not lower.size:
        return 0.0
    below = int((lower == lower.max()).sum())
    return count / image.size if count > _PILE * below else 0.0


def likenesses(training: Sequence[Fingerprint], validation: Sequence[Fingerprint]) -> tuple[Likeness, ...]:
    """Return for each validation image the training image that it is most like, where it is like any."""
    sources = {one.source: one.name for one in training}
    targets = {one.target: one.name for one in training if one.target}
    alike = _alike(training, validation)
    found = []
    for number, one in enumerate(validation):
        if one.source in sources:
            found.append(Likeness(training=sources[one.source], validation=one.name, kind="identical"))
        elif one.target and one.target in targets:
            found.append(Likeness(training=targets[one.target], validation=one.name, kind="same truth"))
        elif number in alike:
            name, value = alike[number]
            found.append(Likeness(training=name, validation=one.name, kind="alike", correlation=round(value, 3)))
    return tuple(found)


def fields(prints: Sequence[Fingerprint]) -> int:
    """Return how many different truths there are; 0 where an image has none."""
    return len({one.target for one in prints}) if all(one.target for one in prints) else 0


def _alike(training: Sequence[Fingerprint], validation: Sequence[Fingerprint]) -> dict[int, tuple[str, float]]:
    """Return by the number of a validation image the training image with the highest correlation, from `ALIKE` on."""
    by_shape: dict[tuple[int, ...], list[Fingerprint]] = defaultdict(list)
    for one in training:
        if one.thumbnail.size:
            by_shape[one.thumbnail.shape].append(one)
    stacked = {shape: np.stack([one.thumbnail.ravel() for one in ones]) for shape, ones in by_shape.items()}
    found = {}
    for number, one in enumerate(validation):
        shape = one.thumbnail.shape
        if shape not in stacked:
            continue
        correlations = stacked[shape] @ one.thumbnail.ravel()
        best = int(np.argmax(correlations))
        if correlations[best] >= ALIKE:
            found[number] = (by_shape[shape][best].name, float(correlations[best]))
    return found


def _digest(pixels: np.ndarray) -> str:
    digest = hashlib.blake2b(f"{pixels.shape} {pixels.dtype}".encode(), digest_size=16)
    digest.update(np.ascontiguousarray(pixels).data)
    return digest.hexdigest()
