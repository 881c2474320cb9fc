"""Labels of objects: integer images in which each object has a number of its own, 0 being the background.

They are read as they are. A mask of one value, given in place of labels, is split into its connected areas.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from scipy import ndimage

from dl4fiji.data import findings
from dl4fiji.data.dataset import ImagePair
from dl4fiji.data.image import ImageSource
from dl4fiji.data.label_findings import suspicions
from dl4fiji.data.masks import QUICK, Seen, look, pictures, wrong_kind
from dl4fiji.data.object_size import ObjectSize, summarize
from dl4fiji.data.objects import measure_image
from dl4fiji.data.readers import Reader, Window
from dl4fiji.data.rois import RoiReader, outline_findings

LARGEST = 2**31 - 1
"""Numbers of objects are signed 32-bit integers in training patches."""

_THREADS = 2


@dataclass(frozen=True)
class LabelReader:
    """Reads labels as unsigned integers; whole numbers that ImageJ saved as 32-bit floats among them.

    Parameters
    ----------
    inner
        Reads the file.
    dtype
        What the labels are returned as.
    """

    inner: Reader
    dtype: np.dtype

    def read(self, window: Window) -> np.ndarray:
        """Return the labels of the pixels of ``window``, in the file's own dimensions."""
        return self.inner.read(window).astype(self.dtype, copy=False)


@dataclass(frozen=True)
class AreaReader:
    """Reads a mask as labels: each connected area is an object, areas that touch at a corner are one.

    Parameters
    ----------
    inner
        Reads the file.
    axes, shape
        Of the file, as `inner` reads it.
    spatial_axes
        Along which areas are connected: planes or stacks, as the network sees them.
    threshold
        Above it is foreground.
    """

    inner: Reader
    axes: str
    shape: tuple[int, ...]
    spatial_axes: str
    threshold: int = 0

    def read(self, window: Window) -> np.ndarray:
        """Return the labels of the pixels of ``window``, int32, in the file's own dimensions."""
        result = np.empty([part.stop - part.start for part in window], np.int32)
        outer = [part if axis not in self.spatial_axes else slice(0, 1) for axis, part in self._named(window)]
        inner = tuple(part if axis in self.spatial_axes else slice(0, 1) for axis, part in self._named(window))
        for index in np.ndindex(*[part.stop - part.start for part in outer]):
            place = tuple(
                (0, size) if axis in self.spatial_axes else (part.start + at, part.start + at + 1)
                for axis, size, part, at in zip(self.axes, self.shape, outer, index, strict=True)
            )
            into = tuple(
                slice(None) if axis in self.spatial_axes else slice(at, at + 1)
                for axis, at in zip(self.axes, index, strict=True)
            )
            result[into] = _areas(self.inner, place, self.threshold)[inner]
        return result

    def _named(self, window: Window) -> zip[tuple[str, slice]]:
        return zip(self.axes, window, strict=True)


@lru_cache(maxsize=2)
def _areas(reader: Reader, place: tuple[tuple[int, int], ...], threshold: int) -> np.ndarray:
    """Return the connected areas of a whole plane or stack, numbered from 1; the last two are kept."""
    mask = reader.read(tuple(slice(*part) for part in place)) > threshold
    labels = np.empty(mask.shape, np.int32)
    ndimage.label(mask, np.ones((3,) * mask.ndim), output=labels)
    return labels


def read_as_labels(
    pairs: Sequence[ImagePair], spatial_axes: str, *, quick: bool = False
) -> tuple[list[ImagePair], ObjectSize | None, list[str], list[str]]:
    """Look at the labels among the targets of ``pairs`` and return pairs whose targets are integers.

    Parameters
    ----------
    pairs
        Images with the labels of their objects, all of a training.
    spatial_axes
        ``YX`` or ``ZYX``: what the network sees at a time.
    quick
        Look at the pixels of a few label images only.

    Returns
    -------
    pairs, objects, problems, warnings
        ``objects`` tells how large the objects are. With problems the pairs are those that were given.
    """
    targets = [pair.target for pair in pairs if pair.target is not None]
    problems = findings.gather((image.path.name, text) for image in targets if (text := wrong_kind(image, "labels")))
    if problems or not targets:
        return list(pairs), None, problems, []
    chosen = targets[:QUICK] if quick else targets
    with ThreadPoolExecutor(_THREADS) as pool:
        seen = list(pool.map(lambda image: look(image, "labels"), chosen))
    problems = findings.gather((one.name, one.problem) for one in seen if one.problem) or _judge(seen, quick)
    if problems:
        return list(pairs), None, problems, []
    values = {value for one in seen for value in one.values} - {0}
    warnings = outline_findings(chosen)
    complete, drawn = len(chosen) == len(targets), any(isinstance(image.reader, RoiReader) for image in targets)
    merged = len(values) == 1 and complete and not drawn
    empty = [one.name for one in seen if one.empty]
    if empty:
        warnings.append(
            f"{findings.some(empty)} shows no object: that is fine if there is none in the image, else add its labels."
        )
    largest = max(values, default=0)

    def convert(pair: ImagePair) -> ImagePair:
        return (
            pair if pair.target is None else replace(pair, target=_convert(pair.target, spatial_axes, merged, largest))
        )

    converted = [convert(pair) for pair in pairs]
    labels = [pair.target for pair in converted if pair.target is not None]
    with ThreadPoolExecutor(_THREADS) as pool:
        per_image = pool.map(lambda image: list(measure_image(image, spatial_axes)), labels[: len(chosen)])
        measured = [objects for several in per_image for objects in several]
    size = summarize(measured, labels, spatial_axes)
    if size is not None and merged and size.count > len(measured):
        warnings.append(
            f"The label images hold no value but 0 and {next(iter(values))}, like masks: each connected area is taken "
            "for an object, so objects that touch each other count as one; give labels with a number per object to "
            "keep them apart."
        )
    if size is not None:
        warnings += suspicions(measured, size, complete=complete)
    return converted, size, [], warnings


def _convert(target: ImageSource, spatial_axes: str, merged: bool, largest: int) -> ImageSource:
    """Return the target with integer labels."""
    if merged:
        sizes = target.sizes | {axis: at + 1 for axis, at in target.fixed}
        shape = tuple(sizes[axis] for axis in target.layout)
        reader: Reader = AreaReader(target.reader, target.layout, shape, spatial_axes)
        return replace(target, reader=reader, dtype=np.dtype(np.int32))
    if target.dtype.kind == "u" and target.dtype.itemsize <= 2:
        return target
    dtype = np.dtype(np.uint16 if largest < 2**16 else np.int32)
    return replace(target, reader=LabelReader(target.reader, dtype), dtype=dtype)


def _judge(seen: Sequence[Seen], quick: bool) -> list[str]:
    """Return what makes training with these labels impossible."""
    wrong = pictures(seen)
    if wrong:
        return [
            f"{findings.some(wrong)} looks like a picture, not like labels, since neighboring pixels differ nearly "
            "everywhere: check that the target folder holds the label images."
        ]
    if all(one.empty for one in seen) and not quick:
        return ["The label images have the value 0 everywhere, so there is no object to learn: give labels of objects."]
    full = [one.name for one in seen if one.values and one.values[0] > 0]
    if len(full) == len(seen) and not quick:
        return [
            f"{findings.some(full)} has no pixel of the value 0, which is the background of labels: "
            "give background pixels the value 0."
        ]
    beyond = [one.name for one in seen if one.values and one.values[-1] > LARGEST]
    if beyond:
        return [
            f"{findings.some(beyond)} has labels beyond {LARGEST}: number the objects from 1 on, for instance in Fiji "
            "by Plugins ▸ MorphoLibJ ▸ Label Images ▸ Remap Labels."
        ]
    return []
