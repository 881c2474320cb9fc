"""Masks: what the values of their pixels mean, what may be wrong with them, and how results become masks.

Targets of segmentation are read as numbers of classes, 0 being the background, whatever values the files hold.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from dl4fiji.data import findings
from dl4fiji.data.axes import NAMES
from dl4fiji.data.dataset import ImagePair
from dl4fiji.data.image import ImageSource
from dl4fiji.data.normalization import blocks
from dl4fiji.data.readers import Reader, Window
from dl4fiji.data.rois import outline_findings, with_classes
from dl4fiji.errors import DataError

MaskValues = Literal["foreground", "classes"]
"""``foreground``: all but 0 is one class (masks of 0 and 255, 0 and 1, 1 bit; labels of objects). ``classes``: every
value is a class, 0 the background."""

TargetForm = Literal["foreground", "classes", "labels"]
"""What the pixels of training targets mean where these are no images: `MaskValues`, or ``labels``, where every value
but 0 is an object of its own (`dl4fiji.data.labels`)."""

FOREGROUND = (0, 255)
"""Values of a mask of one class, as Fiji has them."""

MOST_CLASSES = 32
"""More values than this are labels of objects, not classes."""

QUICK = 3
"""Masks whose pixels are looked at where only headers are to be read."""

_SOFT = 127
"""Where masks with soft edges (0 to 255, few values in between) are cut."""

_THREADS = 2


@dataclass(frozen=True)
class Seen:
    """What the pixels of one mask look like."""

    name: str
    values: tuple[int, ...] = ()
    """Different values, in order."""
    counts: tuple[int, ...] = ()
    """Pixels of each value."""
    steady: float = 1.0
    """Share of pixels that equal their neighbor along X; labels lie in areas, pictures do not."""
    problem: str = ""

    @property
    def empty(self) -> bool:
        """Tell whether all pixels are background."""
        return self.values == (0,)

    @property
    def soft(self) -> bool:
        """Tell whether this is a mask of 0 and 255 whose edges were smoothed, as by JPEG or scaling."""
        if len(self.values) < 3 or (self.values[0], self.values[-1]) != FOREGROUND:
            return False
        return self.counts[0] + self.counts[-1] >= 0.9 * sum(self.counts)


@dataclass(frozen=True)
class ClassReader:
    """Reads a mask as numbers of classes, uint8.

    Parameters
    ----------
    inner
        Reads the file.
    values
        The value of each class, in order; empty: pixels above ``threshold`` are class 1.
    threshold
        For masks of one class.
    """

    inner: Reader
    values: tuple[int, ...] = ()
    threshold: int = 0

    def read(self, window: Window) -> np.ndarray:
        """Return the classes of the pixels of ``window``, in the file's own dimensions."""
        pixels = self.inner.read(window)
        if not self.values:
            return (pixels > self.threshold).astype(np.uint8)
        return np.searchsorted(self.values, pixels).astype(np.uint8)


def read_as_classes(
    pairs: Sequence[ImagePair], form: MaskValues, *, quick: bool = False
) -> tuple[list[ImagePair], tuple[int, ...], list[str], list[str]]:
    """Look at the masks among the targets of ``pairs`` and return pairs whose targets are numbers of classes.

    Parameters
    ----------
    pairs
        Images with their masks, all of a training.
    form
        What the values mean.
    quick
        Look at the pixels of a few masks only; the classes may be incomplete then.

    Returns
    -------
    pairs, classes, problems, warnings
        ``classes`` are the values of the classes, background first; for one class (0, 255). With problems the pairs
        are those that were given.
    """
    pairs, told = with_classes(pairs, one=form == "foreground")
    targets = [pair.target for pair in pairs if pair.target is not None]
    problems = findings.gather((image.path.name, text) for image in targets if (text := wrong_kind(image)))
    if problems or not targets:
        return list(pairs), (), problems, []
    chosen = targets[:QUICK] if quick else targets
    with ThreadPoolExecutor(_THREADS) as pool:
        seen = list(pool.map(look, chosen))
    problems = findings.gather((one.name, one.problem) for one in seen if one.problem)
    if problems:
        return list(pairs), (), problems, []
    problems, warnings = _judge(seen, form, quick)
    if problems:
        return list(pairs), (), problems, warnings
    warnings = [*told, *outline_findings(chosen), *warnings]
    values = sorted({value for one in seen for value in one.values})
    classes = tuple(values) if form == "classes" else FOREGROUND
    soft = {image.path for image, one in zip(chosen, seen, strict=True) if one.soft}

    def convert(pair: ImagePair) -> ImagePair:
        target = pair.target
        if target is None:
            return pair
        threshold = _SOFT if target.path in soft else 0
        reader = ClassReader(target.reader, () if form == "foreground" else classes, threshold)
        return replace(pair, target=replace(target, reader=reader, dtype=np.dtype(np.uint8)))

    return [convert(pair) for pair in pairs], classes, [], warnings


def look(image: ImageSource, form: TargetForm = "foreground") -> Seen:
    """Read all pixels of a mask or of labels, block by block, and say what they look like."""
    name = image.path.name
    counts: dict[int, int] = {}
    equal = compared = 0
    try:
        for block in blocks(image, {}):
            problem = _wrong_pixels(name, block, form)
            if problem:
                return Seen(name, problem=problem)
            for value, number in _count(block):
                counts[value] = counts.get(value, 0) + number
            if block.shape[-1] > 1:
                equal += int(np.count_nonzero(block[..., 1:] == block[..., :-1]))
                compared += block[..., 1:].size
    except DataError as error:
        return Seen(name, problem=error.message)
    values = tuple(sorted(counts))
    return Seen(name, values, tuple(counts[value] for value in values), equal / compared if compared else 1.0)


def _count(block: np.ndarray) -> list[tuple[int, int]]:
    """Return the different values of a block and how many pixels have them."""
    if block.dtype.kind == "u" and block.dtype.itemsize <= 2:
        counts = np.bincount(block.ravel())
        found = np.flatnonzero(counts)
        return list(zip(found.tolist(), counts[found].tolist(), strict=True))
    values, numbers = np.unique(block, return_counts=True)
    return [(int(value), int(number)) for value, number in zip(values, numbers, strict=True)]


def class_weights(counts: Sequence[int]) -> tuple[float, ...]:
    """Return a weight per class so that all classes count alike: pixels / (classes · pixels of the class).

    Classes without pixels get the weight 0; the mean weight of all pixels is 1.
    """
    present = sum(count > 0 for count in counts)
    total = sum(counts)
    return tuple(total / (present * count) if count else 0.0 for count in counts)


def foreground(probabilities: np.ndarray) -> np.ndarray:
    """Return how probable anything but background is, float32, for one channel (sigmoid) or one per class (softmax).

    Channels are the last axis, which the result lacks.
    """
    if probabilities.shape[-1] == 1:
        return probabilities[..., 0]
    return np.float32(1) - probabilities[..., 0]


def likeliest(probabilities: np.ndarray) -> np.ndarray:
    """Return for each pixel which class it is if it is not background, uint8; the result lacks the last axis."""
    if probabilities.shape[-1] == 1:
        return np.ones(probabilities.shape[:-1], np.uint8)
    return (np.argmax(probabilities[..., 1:], axis=-1) + 1).astype(np.uint8)


def classify(probabilities: np.ndarray, threshold: float) -> np.ndarray:
    """Return numbers of classes, uint8: background where `foreground` is below ``threshold``, else `likeliest`."""
    return np.where(foreground(probabilities) >= np.float32(threshold), likeliest(probabilities), 0).astype(np.uint8)


def wrong_kind(image: ImageSource, form: TargetForm = "foreground") -> str:
    """Return why the image cannot be a mask or labels, by its header; an empty string if it can."""
    name = image.path.name
    if form == "labels" and (image.rgb or image.sizes["C"] > 1):
        what = "is a color image, perhaps an overlay" if image.rgb else f"has {image.sizes['C']} {NAMES['C']}"
        return (
            f"{name} {what}, but labels hold one number per pixel, a different one for each object: give the label "
            "images themselves, saved as 8-bit, 16-bit or 32-bit images of one channel."
        )
    if image.rgb:
        return (
            f"{name} is a color image, perhaps an overlay, but a mask holds one number per pixel: give the masks "
            "themselves, saved as 8-bit or 16-bit images."
        )
    if image.sizes["C"] > 1:
        return (
            f"{name} has {image.sizes['C']} {NAMES['C']}, but a mask has one: save each class as a number of its own "
            "in one channel."
        )
    return ""


def _wrong_pixels(name: str, block: np.ndarray, form: TargetForm) -> str:
    """Return why these pixels cannot be of a mask or of labels."""
    if block.dtype.kind == "f":
        finite = np.isfinite(block)
        odd = block[~finite] if not finite.all() else block[block != np.round(block)]
        if odd.size and form == "labels":
            return (
                f"{name} has pixels such as {float(odd.flat[0]):.4g}, but labels are whole numbers, one for each "
                "object: save the label image as 16-bit, neither scaled nor normalized nor interpolated."
            )
        if odd.size:
            return (
                f"{name} has pixels such as {float(odd.flat[0]):.4g}, but a mask holds whole numbers: threshold it in "
                "Fiji (Image ▸ Adjust ▸ Threshold) and save it as 8-bit."
            )
    if block.dtype.kind in "if" and block.size and float(block.min()) < 0:
        return (
            f"{name} has pixels below 0 ({float(block.min()):g}), but classes and labels begin at 0 (background): "
            "give unlabeled pixels the value 0."
        )
    return ""


def pictures(seen: Iterable[Seen]) -> list[str]:
    """Return the names of those that look like pictures."""
    return [one.name for one in seen if one.steady < 0.5 and len(one.values) > MOST_CLASSES]


def _judge(seen: Sequence[Seen], form: MaskValues, quick: bool) -> tuple[list[str], list[str]]:
    """Return problems and warnings about all masks of a training."""
    wrong = pictures(seen)
    if wrong:
        return [
            f"{findings.some(wrong)} looks like a picture, not like a mask, since neighboring pixels differ nearly "
            "everywhere: check that the target folder holds the masks."
        ], []
    values = sorted({value for one in seen for value in one.values})
    if len(values) == 1 and not quick:
        what = "background" if values == [0] else "foreground" if form == "foreground" else f"of class {values[0]}"
        return [
            f"All masks have the value {values[0]} everywhere, so all is {what} and there is nothing to learn: "
            "give masks that show both objects and background."
        ], []
    if form == "foreground" and values[0] > 0 and not quick:
        return [
            f"The masks have no pixel of the value 0, so all is foreground (values {_listed(values)}): "
            "give masks whose background is 0."
        ], []
    if form == "classes" and len(values) > MOST_CLASSES:
        return [
            f"The masks have {len(values)} different values, which look like labels of objects rather than classes "
            f"({_listed(values)}): set mask_values to foreground, or save at most {MOST_CLASSES} classes."
        ], []
    return [], list(_suspicions(seen, form, values))


def _suspicions(seen: Sequence[Seen], form: MaskValues, values: Sequence[int]) -> Iterable[str]:
    empty = [one.name for one in seen if one.empty]
    if empty:
        yield f"{findings.some(empty)} is background everywhere: that is fine if these images show no object."
    full = [one.name for one in seen if len(one.values) == 1 and not one.empty]
    if full:
        yield f"{findings.some(full)} is of one class everywhere: check that nothing went wrong with these masks."
    soft = [one.name for one in seen if one.soft]
    if form == "foreground" and soft:
        yield (
            f"{findings.some(soft)} has values between 0 and 255 at the edges of objects: "
            f"pixels above {_SOFT} are taken for foreground."
        )
    hard = sorted({value for one in seen if not one.soft for value in one.values})
    if form == "foreground" and 2 < len(hard) <= 8 and len(seen) > 1:
        yield (
            f"The masks have the values {_listed(hard)}, of which all but 0 count as foreground: "
            "if they are classes set mask_values to classes."
        )
    if form == "classes" and values[0] > 0:
        yield f"No pixel of the masks is 0, so the lowest value, {values[0]}, is taken for the background."
    if form == "classes" and soft:
        yield (
            f"{findings.some(soft)} has values between those of its classes at the edges of objects, which count as "
            "classes of their own: save masks without smoothing, as TIFF or PNG."
        )


def _listed(values: Sequence[int]) -> str:
    shown = ", ".join(map(str, values[:6]))
    return f"{shown}, … {values[-1]}" if len(values) > 6 else shown
