"""What may be wrong with training images: all findings, one sentence each, naming the file and the remedy."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np

from dl4fiji.data.axes import NAMES
from dl4fiji.data.dataset import ImagePair
from dl4fiji.data.image import ImageSource
from dl4fiji.data.normalization import REPLACE_NAN, blocks
from dl4fiji.errors import DataError

_MANY_CHANNELS = 7
"""From so many channels on one suspects slices or frames that were saved as channels."""


_MOST_BYTES = 512 << 20

UNITS = {"um": "µm", "μm": "µm", "micron": "µm", "microns": "µm"}
"""Ways of writing micrometers."""


def some(names: Iterable[str], limit: int = 3) -> str:
    """Return up to ``limit`` names and how many more there are."""
    names = list(names)
    rest = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + rest


def gather(findings: Iterable[tuple[str, str]]) -> list[str]:
    """Join findings of one kind: the first sentence, and which further files it holds for.

    Parameters
    ----------
    findings
        Pairs of a file name and its sentence; sentences are of one kind.
    """
    findings = list(findings)
    if len(findings) <= 3:
        return [sentence for _, sentence in findings]
    names = some((name for name, _ in findings[1:]))
    return [f"{findings[0][1]} The same holds for {names}."]


def labels(pair: ImagePair) -> tuple[str, str]:
    """Return names for source and target that can be told apart."""
    if pair.target is None:
        return pair.source.path.name, ""
    source, target = pair.source.path, pair.target.path
    if source.name != target.name:
        return source.name, target.name
    return f"{source.name} in {source.parent.name}", f"{target.name} in {target.parent.name}"


def size_text(image: ImageSource, axes: str) -> str:
    """Return e.g. ``24×512×512`` for the sizes along ``axes``."""
    return "×".join(str(image.sizes[axis]) for axis in axes)


def mismatch(pair: ImagePair, masks: bool = False) -> str:
    """Return why source and target do not fit each other, or an empty string; masks need not have their colors."""
    source, target = pair.source, pair.target
    if target is None:
        return ""
    left, right = labels(pair)
    if source.rgb != target.rgb and not masks:
        color, grey = (left, right) if source.rgb else (right, left)
        return (
            f"{color} is an RGB image but {grey} is not: convert both to the same type in Fiji (Image ▸ Type) "
            "and save them again."
        )
    different = [axis for axis in "TZYX" if source.sizes[axis] != target.sizes[axis]]
    if not different:
        return ""
    moved = sorted(source.sizes[axis] for axis in "TZC") == sorted(target.sizes[axis] for axis in "TZC")
    if moved and source.sizes["Y"] == target.sizes["Y"] and source.sizes["X"] == target.sizes["X"]:
        texts = [
            " and ".join(f"{image.sizes[axis]} {NAMES[axis]}" for axis in "TZC" if image.sizes[axis] > 1)
            for image in (source, target)
        ]
        return (
            f"{left} has {texts[0]}, {right} has {texts[1]}: their dimensions are mixed up; correct them in Fiji "
            "(Image ▸ Properties, or Image ▸ Hyperstacks ▸ Re-order Hyperstack) and save again."
        )
    if set(different) & {"Y", "X"}:
        return (
            f"{left} has {size_text(source, 'YX')} pixels, {right} has {size_text(target, 'YX')}: "
            "the two images of a pair must have the same size; crop or scale one of them in Fiji."
        )
    axis = different[0]
    return (
        f"{left} has {source.sizes[axis]} {NAMES[axis]}, {right} has {target.sizes[axis]}: "
        f"a pair needs the same number of {NAMES[axis]}; make a substack in Fiji (Image ▸ Stacks ▸ Tools)."
    )


def wrong_dimensions(image: ImageSource, spatial_axes: str) -> str:
    """Return why a network with ``spatial_axes`` cannot take the image, or an empty string."""
    if "Z" not in spatial_axes or image.sizes["Z"] > 1:
        return ""
    name = image.path.name
    for axis in "TC":
        count = image.sizes[axis]
        if count > (1 if axis == "T" else _MANY_CHANNELS - 1) and not image.rgb:
            return (
                f"{name} has {count} {NAMES[axis]} but a single slice, and a 3D network needs slices: if these are "
                "slices set that in Fiji by Image ▸ Properties and save again, or give the axes as ZYX."
            )
    return f"{name} is a single slice, and a 3D network needs stacks: give stacks, or train the 2D network."


def too_small(image: ImageSource, spatial_axes: str, patch_size: Sequence[int]) -> str:
    """Return that the image is smaller than a patch, or an empty string."""
    if not patch_size or len(patch_size) != len(spatial_axes):
        return ""
    if all(image.sizes[axis] >= size for axis, size in zip(spatial_axes, patch_size, strict=True)):
        return ""
    patch = "×".join(map(str, patch_size))
    smallest = "×".join(str(min(image.sizes[a], size)) for a, size in zip(spatial_axes, patch_size, strict=True))
    return (
        f"{image.path.name} has {size_text(image, spatial_axes)} pixels, less than a patch of {patch}: "
        f"take larger images or set patch_size to at most {smallest}."
    )


def odd_channels(pairs: Sequence[ImagePair]) -> list[str]:
    """Return which images have another number of channels than most."""
    found = []
    for role in ("source", "target"):
        images = [image for image in (getattr(pair, role) for pair in pairs) if image is not None]
        counts = Counter(image.sizes["C"] for image in images)
        if len(counts) < 2:
            continue
        usual = counts.most_common(1)[0][0]
        odd = [image for image in images if image.sizes["C"] != usual]
        fitting = next(image for image in images if image.sizes["C"] == usual)
        found.append(
            f"{some(image.path.name for image in odd)} has {odd[0].sizes['C']} channel(s), {fitting.path.name} has "
            f"{usual}: all {role} images need the same channels; convert or remove the odd ones."
        )
    return found


def suspicions(pairs: Sequence[ImagePair]) -> list[str]:
    """Return warnings that headers give rise to."""
    images = [image for pair in pairs for image in (pair.source, pair.target) if image is not None]
    found = gather((image.path.name, hint) for image in images for hint in image.hints[:1])
    many = [image for image in images if image.sizes["C"] >= _MANY_CHANNELS]
    if many:
        found.append(
            f"{some(image.path.name for image in many)} has {many[0].sizes['C']} channels: if these are slices or "
            "frames, correct that in Fiji by Image ▸ Properties, or give the axes."
        )
    sizes = {_calibration(image) for image in images if image.metadata.pixel_size}
    if len(sizes) > 1:
        found.append(
            "The images have different pixel sizes, and a network learns structures in pixels: "
            "make sure that they show the same magnification."
        )
    return found


def _calibration(image: ImageSource) -> tuple[str, ...]:
    """Return unit and pixel sizes, rounded, in a form that can be compared."""
    unit = UNITS.get(image.metadata.unit, image.metadata.unit)
    return (unit, *(f"{axis} {size:.3g}" for axis, size in sorted(image.metadata.pixel_size.items())))


def contents(pair: ImagePair) -> tuple[list[str], list[str]]:
    """Read all pixels of a pair, both images at a time and in blocks, and return problems and warnings.

    Images beyond 512 MiB are left to the fit of the normalization, which reads them anyway.
    """
    if pair.source.nbytes > _MOST_BYTES:
        return [], []
    left, right = labels(pair)
    if pair.target is None:
        return _alone(pair.source, left), []
    if (pair.source.axes, pair.source.shape) != (pair.target.axes, pair.target.shape):
        return _alone(pair.source, left) + _alone(pair.target, right), []
    source, target, identical = _Seen(left), _Seen(right), True
    try:
        for first, second in zip(blocks(pair.source, {}), blocks(pair.target, {}), strict=True):
            source.look(first)
            target.look(second)
            identical = identical and np.array_equal(first, second)
    except DataError as error:
        return [error.message], []
    problems = source.problems() + target.problems()
    if problems or not identical:
        return problems, []
    text = (
        f"Source and target of {pair.name} are identical, so there is nothing to learn from them: "
        "check that the folders are the right ones."
    )
    return [], [text]


class _Seen:
    """What the pixels of an image looked like so far."""

    def __init__(self, label: str) -> None:
        self._label = label
        self._low, self._high = math.inf, -math.inf
        self._broken = ""

    def look(self, block: np.ndarray) -> None:
        """Take in a block of pixels."""
        if block.dtype.kind == "f" and not np.isfinite(block).all():
            what = "NaN (not a number)" if np.isnan(block).any() else "infinite"
            self._broken = f"{self._label} has pixels that are {what}: {REPLACE_NAN}."
        self._low, self._high = min(self._low, float(block.min())), max(self._high, float(block.max()))

    def problems(self) -> list[str]:
        """Return what makes the image useless."""
        if self._broken:
            return [self._broken]
        if self._low == self._high:
            remedy = "remove it or replace it by an image with content"
            return [f"{self._label} has the value {self._low:g} everywhere: {remedy}."]
        return []


def _alone(image: ImageSource, label: str) -> list[str]:
    """Return what is wrong with the pixels of a single image."""
    seen = _Seen(label)
    try:
        for block in blocks(image, {}):
            seen.look(block)
    except DataError as error:
        return [error.message]
    return seen.problems()
