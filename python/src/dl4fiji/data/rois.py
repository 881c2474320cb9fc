"""Outlines drawn in ImageJ as training targets: ROI sets (``.zip``, ``.roi``) and the overlays of TIFF images.

They are read as label images: each outline is an object, filled by ImageJ's rules (`dl4fiji.data.roi_shapes`). Where
outlines overlap the later one has the pixels, as when they are filled one after the other in ImageJ.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np

from dl4fiji.data.axes import NAMES
from dl4fiji.data.dataset import ImagePair
from dl4fiji.data.findings import gather
from dl4fiji.data.image import DAMAGED, ImageSource
from dl4fiji.data.metadata import Metadata
from dl4fiji.data.readers import Window, open_tiff
from dl4fiji.data.roi_numbers import class_numbers, class_of, number_objects, overlap
from dl4fiji.data.roi_shapes import Area, rasterize
from dl4fiji.errors import DataError

if TYPE_CHECKING:
    from roifile import ImagejRoi

ROI_SUFFIXES = (".zip", ".roi")
"""Endings of files with outlines, in small letters."""

_MOST_OUTLINES, _MOST_BYTES = 200_000, 64 << 20
"""A set with more entries, or an entry that is larger, is no set of outlines."""

_PLANE_AXES = "TZ"
_SPLINE = 1
_DRAW = "draw them in Fiji and add them by Image ▸ Overlay ▸ Add Selection, or to the ROI Manager"


@dataclass(frozen=True)
class Outline:
    """One outline that encloses an area.

    Parameters
    ----------
    name, group
        As in the ROI Manager; group 0: none.
    place
        Frame and slice from 0 on; None: on all of them.
    area
        Its pixels.
    """

    name: str
    group: int
    place: tuple[int | None, int | None]
    area: Area


@dataclass
class _Set:
    """The outlines of a file, and how many of its entries cannot be used."""

    outlines: list[Outline] = field(default_factory=list)
    no_area: int = 0
    outside: int = 0
    curved: int = 0


@dataclass(frozen=True, eq=False)
class RoiReader:
    """Reads outlines as labels.

    Parameters
    ----------
    path
        An ROI set, or a TIFF image with an overlay.
    axes, shape
        Of the image that the outlines belong to, without its channels.
    channels
        Of that image.
    volumes
        Outlines in several slices may be one object (`dl4fiji.data.roi_numbers`); else each is its own.
    classes
        Numbers of classes by group or name: pixels are numbers of classes then, not of objects.
    """

    path: Path
    axes: str
    shape: tuple[int, ...]
    channels: int
    volumes: bool
    classes: Mapping[str, int] | None = None

    def read(self, window: Window) -> np.ndarray:
        """Return the labels of the pixels of ``window``, uint16 or int32, axes `axes`."""
        parts = dict(zip(self.axes, window, strict=True))
        frames, slices = (parts.get(axis, slice(0, 1)) for axis in _PLANE_AXES)
        rows, columns = parts["Y"], parts["X"]
        sizes = [part.stop - part.start for part in (frames, slices, rows, columns)]
        result = np.zeros(sizes, self.dtype)
        for outline, number in zip(self.outlines, self.numbers, strict=True):
            area = outline.area
            bottom, right = area.y + area.mask.shape[0], area.x + area.mask.shape[1]
            y, x = slice(max(area.y, rows.start), min(bottom, rows.stop)), slice(
                max(area.x, columns.start), min(right, columns.stop)
            )  # fmt: skip
            if y.start >= y.stop or x.start >= x.stop:
                continue
            mask = area.mask[y.start - area.y : y.stop - area.y, x.start - area.x : x.stop - area.x]
            for t in self._inside(outline.place[0], frames):
                for z in self._inside(outline.place[1], slices):
                    plane = result[t, z, y.start - rows.start : y.stop - rows.start]
                    plane[:, x.start - columns.start : x.stop - columns.start][mask] = number
        return result.reshape([part.stop - part.start for part in window])

    @staticmethod
    def _inside(place: int | None, part: slice) -> range:
        """Return which indices of a part of the frames or slices an outline is on."""
        if place is None:
            return range(part.stop - part.start)
        return range(place - part.start, place - part.start + 1) if part.start <= place < part.stop else range(0)

    @cached_property
    def _set(self) -> _Set:
        sizes = dict(zip(self.axes, self.shape, strict=True))
        return _read_set(self.path, sizes, self.channels)

    @property
    def outlines(self) -> list[Outline]:
        """The outlines that enclose an area within the image."""
        return self._set.outlines

    @cached_property
    def numbers(self) -> list[int]:
        """The number of each outline's object or class."""
        if self.classes is not None:
            return [self.classes[class_of(outline)] for outline in self.outlines]
        return number_objects(self.outlines)[0] if self.volumes else list(range(1, len(self.outlines) + 1))

    @property
    def dtype(self) -> np.dtype:
        """uint16 where that suffices."""
        return np.dtype(np.uint16 if len(self.outlines) < 2**16 else np.int32)

    def findings(self) -> Iterator[tuple[str, str]]:
        """Yield what is odd about the outlines: a key for the kind, and a sentence."""
        name, found, total = self.path.name, self._set, len(self.outlines)
        of_all = total + found.no_area + found.outside
        if found.no_area:
            yield (
                "no area", f"{found.no_area} of {of_all} outlines of {name} are lines, points or texts, which enclose "
                "no object, and are left out.",
            )  # fmt: skip
        if found.outside:
            yield (
                "outside", f"{found.outside} of {of_all} outlines of {name} lie outside of the image or on slices "
                "that it lacks, and are left out: check that they belong to this image.",
            )  # fmt: skip
        if found.curved:
            yield (
                "curved", f"{found.curved} outlines of {name} have a fitted spline, in place of which their corners "
                "are taken: choose Edit ▸ Selection ▸ Interpolate… in Fiji to keep the curve.",
            )  # fmt: skip
        covered = self._covered()
        if covered:
            yield (
                "overlap", f"{covered} of {total} outlines of {name} are partly covered by later ones, which get the "
                "shared pixels.",
            )  # fmt: skip
        several = [axis for axis in _PLANE_AXES if dict(zip(self.axes, self.shape, strict=True)).get(axis, 1) > 1]
        everywhere = sum(
            any(outline.place[_PLANE_AXES.index(axis)] is None for axis in several) for outline in self.outlines
        )
        if everywhere:
            what = " and ".join(NAMES[axis] for axis in several)
            yield (
                "everywhere", f"{everywhere} of {total} outlines of {name} tell no slice and are taken for all {what}: "
                "set their position in Fiji (Edit ▸ Properties…) if they are of one.",
            )  # fmt: skip
        if self.volumes and self.classes is None and number_objects(self.outlines)[1]:
            yield (
                "joined", f"The outlines of {name} have neither names nor groups that tell which slices belong to one "
                "object, so those that overlap in neighboring slices are joined: give those of one object the same "
                "group in the ROI Manager.",
            )  # fmt: skip

    def _covered(self) -> int:
        """Return how many outlines lose pixels to later ones of another number."""
        boxes = [
            (o.area.y, o.area.x, o.area.y + o.area.mask.shape[0], o.area.x + o.area.mask.shape[1])
            for o in self.outlines
        ]
        count = 0
        corners = np.asarray(boxes, np.int64).reshape(-1, 4)
        for number, (outline, box) in enumerate(zip(self.outlines, boxes, strict=True)):
            later = corners[number + 1 :]
            near = (later[:, :2] < box[2:]).all(axis=1) & (later[:, 2:] > box[:2]).all(axis=1)
            others = (number + 1 + int(index) for index in np.flatnonzero(near))
            count += any(
                self.numbers[other] != self.numbers[number] and shared_pixels(outline, self.outlines[other])
                for other in others
            )
        return count


def shared_pixels(first: Outline, second: Outline) -> int:
    """Return how many pixels two outlines share where both are on the same slice and frame."""
    for one, other in zip(first.place, second.place, strict=True):
        if one is not None and other is not None and one != other:
            return 0
    return overlap(first.area, second.area)


def open_rois(path: Path, image: ImageSource, network_axes: str) -> ImageSource:
    """Return the outlines of a file as a label image of the size of ``image``.

    Parameters
    ----------
    path
        An ROI set, or a TIFF image with an overlay, which may be that of ``image`` itself.
    image
        The image that they were drawn on.
    network_axes
        ``YXC`` or ``ZYXC``: in volumes outlines of several slices may be one object.

    Raises
    ------
    DataError
        If the file is damaged or holds no outline of an area.
    """
    axes = "".join(axis for axis in "TZYX" if axis in image.axes)
    shape = tuple(image.sizes[axis] for axis in axes)
    reader = RoiReader(path, axes, shape, image.sizes["C"], "Z" in network_axes and image.sizes["Z"] > 1)
    if not reader.outlines:
        raise DataError(
            f"{path.name} in {path.parent} holds no outline that encloses an area within {image.path.name}: {_DRAW}, "
            "and save again."
        )
    size = image.metadata.pixel_size
    metadata = Metadata(pixel_size=size, unit=image.metadata.unit)
    return ImageSource(path, axes, shape, reader.dtype, metadata, reader, layout=axes)


def outline_findings(images: Iterable[ImageSource]) -> list[str]:
    """Return what is odd about those of the images that are outlines."""
    kinds: dict[str, list[tuple[str, str]]] = {}
    for image in images:
        if isinstance(image.reader, RoiReader):
            for kind, sentence in image.reader.findings():
                kinds.setdefault(kind, []).append((image.path.name, sentence))
    return [sentence for found in kinds.values() for sentence in gather(found)]


def with_classes(pairs: Sequence[ImagePair], *, one: bool) -> tuple[list[ImagePair], list[str]]:
    """Return pairs whose outlines are numbers of classes, alike in all files, and sentences that tell the classes.

    The class of an outline is its group in the ROI Manager, or else its name without numbers; with ``one`` all are of
    class 1.
    """
    drawn = [pair.target for pair in pairs if pair.target is not None and isinstance(pair.target.reader, RoiReader)]
    outlines = [outline for image in drawn for outline in cast(RoiReader, image.reader).outlines]
    if not outlines:
        return list(pairs), []
    classes = dict.fromkeys(map(class_of, outlines), 1) if one else class_numbers(outlines)

    def convert(pair: ImagePair) -> ImagePair:
        if pair.target is None or not isinstance(pair.target.reader, RoiReader):
            return pair
        reader = replace(pair.target.reader, classes=classes)
        return replace(pair, target=replace(pair.target, reader=reader, dtype=reader.dtype))

    ranked = sorted(classes.items(), key=lambda item: item[1])
    told = ", ".join(f"{number} {name or 'without name'}" for name, number in ranked)
    sentence = f"The classes of the outlines, by their groups or names, are: {told}."
    return [convert(pair) for pair in pairs], [] if one else [sentence]


def is_roi_set(path: Path) -> bool:
    """Tell by its name whether a file holds outlines."""
    return path.suffix.lower() in ROI_SUFFIXES


def _read_set(path: Path, sizes: Mapping[str, int], channels: int) -> _Set:
    """Read all outlines of a file that lie within an image of these sizes."""
    found = _Set()
    for name, content in _contents(path):
        roi = _decode(path, name, content)
        try:
            area = rasterize(roi)
        except DAMAGED as error:
            raise _damaged(path, name) from error
        if area is None or not area.mask.any():
            found.no_area += 1
            continue
        place = _place(roi, sizes, channels)
        off = area.y >= sizes["Y"] or area.x >= sizes["X"]
        off = off or area.y + area.mask.shape[0] <= 0 or area.x + area.mask.shape[1] <= 0
        if place is None or off:
            found.outside += 1
            continue
        found.curved += bool(int(roi.options) & _SPLINE)
        found.outlines.append(Outline(roi.name or name, roi.group, place, area))
    return found


def _contents(path: Path) -> Iterator[tuple[str, bytes]]:
    """Yield name and content of each outline of a set or an overlay."""
    if path.suffix.lower() == ".roi":
        yield path.stem, path.read_bytes()[:_MOST_BYTES]
        return
    if path.suffix.lower() == ".zip":
        try:
            with zipfile.ZipFile(path) as archive:
                entries = [entry for entry in archive.infolist() if entry.filename.lower().endswith(".roi")]
                if len(entries) > _MOST_OUTLINES or any(entry.file_size > _MOST_BYTES for entry in entries):
                    raise DataError(f"{path.name} in {path.parent} is too large for a set of outlines: {_DRAW}.")
                for entry in entries:
                    yield Path(entry.filename).stem, archive.read(entry)
        except (zipfile.BadZipFile, *DAMAGED) as error:
            raise DataError(
                f"{path.name} in {path.parent} is damaged or no ZIP file: save the ROI set again in Fiji "
                "(ROI Manager, More ▸ Save…)."
            ) from error
        return
    for number, content in enumerate(_overlay(path), 1):
        yield f"overlay {number}", content


def _overlay(path: Path) -> Sequence[bytes]:
    """Return the outlines in the overlay of a TIFF file of ImageJ."""
    try:
        with open_tiff(path) as tiff:
            overlays = (tiff.imagej_metadata or {}).get("Overlays", ())
    except DAMAGED:
        overlays = ()
    if not overlays:
        raise DataError(
            f"{path.name} in {path.parent} has no overlay with outlines of objects: {_DRAW}, and save the image as "
            "TIFF, or give label images or ROI sets as targets."
        )
    return [overlays] if isinstance(overlays, bytes) else list(overlays)


def _decode(path: Path, name: str, content: bytes) -> ImagejRoi:
    from roifile import ImagejRoi

    try:
        return ImagejRoi.frombytes(content)
    except DAMAGED as error:
        raise _damaged(path, name) from error


def _damaged(path: Path, name: str) -> DataError:
    return DataError(
        f"The outline {name} of {path.name} in {path.parent} is damaged: remove it in Fiji's ROI Manager and save "
        "the set again."
    )


def _place(roi: ImagejRoi, sizes: Mapping[str, int], channels: int) -> tuple[int | None, int | None] | None:
    """Return frame and slice of an outline from 0 on, None for all of them; None alone if the image lacks them.

    ImageJ counts from 1, and the planes of a hyperstack with channels first, then slices, then frames.
    """
    frames, slices = sizes.get("T", 1), sizes.get("Z", 1)
    if roi.c_position > 0 or roi.z_position > 0 or roi.t_position > 0:
        frame, number = roi.t_position - 1, roi.z_position - 1
    elif roi.position > 0:
        frame, number = divmod((roi.position - 1) // max(1, channels), slices)
    else:
        frame = number = -1
    if frame >= frames or number >= slices:
        return None
    return (frame if frame >= 0 else None, number if number >= 0 else None)
