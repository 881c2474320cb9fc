"""Pairs of training images: found by their names, checked, and reported with all findings."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

from dl4fiji.data import findings
from dl4fiji.data.axes import check_axes
from dl4fiji.data.dataset import Dataset, ImagePair, Sample
from dl4fiji.data.image import ImageSource, open_image
from dl4fiji.data.label_findings import narrow_patch
from dl4fiji.data.labels import read_as_labels
from dl4fiji.data.masks import QUICK, TargetForm, read_as_classes
from dl4fiji.data.matching import pair_files
from dl4fiji.data.object_size import ObjectSize
from dl4fiji.data.rois import is_roi_set, open_rois
from dl4fiji.errors import DataError
from dl4fiji.options import TrainingOptions

__all__ = ["DataReport", "Dataset", "ImagePair", "Sample", "check_data", "open_pairs"]

_THREADS = 8
_TIME_LIMIT = 20.0
"""Seconds after which a check of headers stops and says so."""


class DataFields(Protocol):
    """Where training images lie: a `dl4fiji.jobs.job.DataRequest`."""

    @property
    def source(self) -> str: ...
    @property
    def target(self) -> str: ...
    @property
    def validation_source(self) -> str: ...
    @property
    def validation_target(self) -> str: ...
    @property
    def axes(self) -> str: ...


@dataclass(frozen=True)
class DataReport:
    """What a check of training images found.

    Parameters
    ----------
    problems
        What makes training impossible.
    warnings
        What the user should know.
    summary
        E.g. ``24 pairs 512×512, 22 for training, 2 for validation``; empty if there are problems.
    images
        Number of pairs, those for validation in folders of their own not counted.
    train, validation
        Images as the network sees them (planes for 2D networks).
    patches_per_epoch
        Patches drawn for training in an epoch.
    nbytes
        Bytes of all images in memory.
    largest
        Pixels along the spatial axes of the largest image.
    objects
        Where targets are labels: how large their objects are, by all images or by the first few.
    """

    problems: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    summary: str = ""
    images: int = 0
    train: int = 0
    validation: int = 0
    patches_per_epoch: int = 0
    channels_in: int = 0
    channels_out: int = 0
    nbytes: int = 0
    largest: tuple[int, ...] = ()
    objects: ObjectSize | None = None


@dataclass
class _Findings:
    problems: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def open_pairs(
    data: DataFields,
    network_axes: str,
    *,
    patch_size: Sequence[int] = (),
    paired: bool = True,
    form: TargetForm | None = None,
    full: bool = False,
    quick_beyond: int | None = None,
) -> Dataset:
    """Open training images and check their headers.

    Parameters
    ----------
    data
        Folders or single files.
    network_axes
        ``YXC`` or ``ZYXC``.
    patch_size
        Spatial size of a patch, to find images that are smaller.
    paired
        Whether the network needs a target; if not, ``data.target`` is ignored.
    form
        What the pixels of the targets mean if these are masks or labels, all of which are read then; None: they are
        images.
    full
        Read the pixels, too, and look for NaN, constant and identical images.
    quick_beyond
        Of masks or labels of more bytes than this together only the first few are read; None: all are.

    Raises
    ------
    DataError
        With all findings in ``problems``.
    """
    found = _Findings()
    dataset = _open(data, network_axes, tuple(patch_size), paired, form is not None, full, found, None)
    if dataset is not None and form and not found.problems:
        targets = (pair.target for pair in (*dataset.pairs, *dataset.validation_pairs))
        total = sum(target.nbytes for target in targets if target is not None)
        dataset = _with_meaning(dataset, form, found, quick=quick_beyond is not None and total > quick_beyond)
    if found.problems or dataset is None:
        raise DataError(found.problems[0], found.problems)
    return dataset


def check_data(
    data: DataFields,
    network_axes: str,
    options: TrainingOptions,
    *,
    paired: bool = True,
    form: TargetForm | None = None,
    full: bool = False,
    time_limit: float = _TIME_LIMIT,
) -> DataReport:
    """Check training images without raising: headers only, or with ``full`` all pixels.

    Of masks and labels the pixels of the first few are looked at in any case. After ``time_limit`` seconds of reading
    headers the rest is left unchecked, and a warning says so.
    """
    found = _Findings()
    try:
        deadline = None if full else time.monotonic() + time_limit
        dataset = _open(data, network_axes, options.patch_size, paired, form is not None, full, found, deadline)
        if dataset is not None and form and not found.problems:
            dataset = _with_meaning(dataset, form, found, quick=not full)
        if dataset is None or found.problems:
            return DataReport(tuple(found.problems), tuple(found.warnings))
        dataset = dataset.split(options.validation_percent, options.seed, options.patch_size)
    except DataError as error:
        return DataReport(tuple(error.problems or [error.message]), tuple(found.warnings))
    images = [image for pair in dataset.pairs for image in (pair.source, pair.target) if image is not None]
    largest = max(dataset.pairs, key=lambda pair: pair.source.nbytes).source
    warnings = list(dataset.warnings)
    if dataset.objects is not None:
        warnings += narrow_patch(dataset.objects, options.patch_size)
    return DataReport(
        warnings=tuple(warnings),
        summary="; ".join([summarize(dataset), *_objects(dataset, quick=not full)]),
        images=len(dataset.pairs),
        train=len(dataset.train),
        validation=len(dataset.validation),
        patches_per_epoch=len(dataset.train) * options.patches_per_image,
        channels_in=dataset.channels_in,
        channels_out=dataset.channels_out,
        nbytes=sum(image.nbytes for image in images),
        largest=tuple(largest.sizes[axis] for axis in dataset.spatial_axes),
        objects=dataset.objects,
    )


def _objects(dataset: Dataset, quick: bool) -> list[str]:
    """Return what is known of the objects, and by which images."""
    if dataset.objects is None:
        return []
    partly = quick and len(dataset.pairs) + len(dataset.validation_pairs) > QUICK
    return [f"in the first {QUICK} images " * partly + dataset.objects.summary()]


def summarize(dataset: Dataset) -> str:
    """Return e.g. ``24 pairs 512×512, 22 for training, 2 for validation``."""
    axes = dataset.spatial_axes
    noun = "pair" if dataset.pairs[0].target else "image"
    number = f"{len(dataset.pairs)} {noun}{'s' * (len(dataset.pairs) != 1)}"
    shapes = sorted({tuple(pair.source.sizes[axis] for axis in axes) for pair in dataset.pairs}, key=math.prod)
    size = "×".join(map(str, shapes[0]))
    if len(shapes) > 1:
        size += f" to {'×'.join(map(str, shapes[-1]))}"
    inner = [
        f"{low}" + (f" to {high}" if high != low else "") + f" {name}"
        for axis, name in (("T", "frames"), ("Z", "slices"))
        if axis not in axes
        for counts in [[pair.source.sizes[axis] for pair in dataset.pairs]]
        for low, high in [(min(counts), max(counts))]
        if high > 1
    ]
    size += f" with {' and '.join(inner)}" if inner else ""
    region = dataset.validation[0].region
    if region:
        axis, aside = next(iter(region.items()))
        name = {"Z": "slices", "Y": "rows", "X": "columns"}[axis]
        count = aside.stop - aside.start
        rest = dataset.pairs[0].source.sizes[axis] - count
        return f"{number} {size}, {rest} {name} for training, {count} for validation"
    own = " of their own" if dataset.validation_pairs else ""
    return f"{number} {size}, {dataset.units[0]} for training, {dataset.units[1]}{own} for validation"


def _open(
    data: DataFields,
    network_axes: str,
    patch_size: tuple[int, ...],
    paired: bool,
    masks: bool,
    full: bool,
    found: _Findings,
    deadline: float | None,
) -> Dataset | None:
    """Open all pairs; what is wrong goes to ``found``. None if nothing can be opened."""
    if not data.source.strip():
        found.problems.append("No source images are given: choose a folder or an image.")
    if paired and not data.target.strip():
        found.problems.append("No target images are given: choose a folder or an image.")
    if paired and bool(data.validation_source.strip()) != bool(data.validation_target.strip()):
        found.problems.append("Of the validation images only one of source and target is given: give both or none.")
    if data.axes.strip():
        try:
            check_axes(data.axes)
        except DataError as error:
            found.problems.append(error.message)
    if found.problems:
        return None
    target = data.target if paired else ""
    pairs = _open_role(data.source, target, data.axes, network_axes, patch_size, masks, full, found, deadline)
    extra: list[ImagePair] = []
    if data.validation_source.strip():
        validation_target = data.validation_target if paired else ""
        extra = _open_role(
            data.validation_source, validation_target, data.axes, network_axes, patch_size, masks, full, found, deadline
        )
    found.problems += findings.odd_channels([*pairs, *extra])
    found.warnings += findings.suspicions([*pairs, *extra])
    if extra and {pair.source.path for pair in pairs} & {pair.source.path for pair in extra}:
        found.problems.append("Images for validation are among those for training: choose others.")
    if not pairs:
        return None
    return Dataset(tuple(pairs), tuple(extra), network_axes, tuple(dict.fromkeys(found.warnings)))


def _with_meaning(dataset: Dataset, form: TargetForm, found: _Findings, *, quick: bool = False) -> Dataset:
    """Return the data set with targets as numbers of classes or objects; what is wrong goes to ``found``."""
    pairs: Sequence[ImagePair] = (*dataset.pairs, *dataset.validation_pairs)
    classes: tuple[int, ...] = ()
    objects: ObjectSize | None = None
    if form == "labels":
        pairs, objects, problems, warnings = read_as_labels(pairs, dataset.spatial_axes, quick=quick)
    else:
        pairs, classes, problems, warnings = read_as_classes(pairs, form, quick=quick)
    found.problems += problems
    count = len(dataset.pairs)
    return replace(
        dataset, pairs=tuple(pairs[:count]), validation_pairs=tuple(pairs[count:]), classes=classes, target_form=form,
        objects=objects, warnings=tuple(dict.fromkeys((*dataset.warnings, *warnings))),
    )  # fmt: skip


def _open_role(
    source: str,
    target: str,
    axes: str,
    network_axes: str,
    patch_size: tuple[int, ...],
    masks: bool,
    full: bool,
    found: _Findings,
    deadline: float | None,
) -> list[ImagePair]:
    """Pair, open and check the images of one pair of folders or files."""
    named = pair_files(source.strip(), target.strip(), found.problems, outlines=masks)
    drawn = {left for _, left, right in named if right is not None and (right == left or is_roi_set(right))}
    images = [right for _, left, right in named if right is not None and left not in drawn]
    opened = _open_all([*(left for _, left, _ in named), *images], axes, found, deadline)
    _resolve_grey(opened, [file for _, file, _ in named], full, found)
    _resolve_grey(opened, images, full, found)
    outlines = _open_outlines(
        [(opened[a], b) for _, a, b in named if a in drawn & opened.keys() and b], network_axes, found
    )
    pairs = [
        ImagePair(opened[left], outlines[left] if left in drawn else opened[right] if right else None, name)
        for name, left, right in named
        if left in opened and (left in outlines if left in drawn else right is None or right in opened)
    ]
    spatial = network_axes.removesuffix("C")
    found.problems += findings.gather((pair.name, text) for pair in pairs if (text := findings.mismatch(pair, masks)))
    wrong = [(pair.name, findings.wrong_dimensions(pair.source, spatial)) for pair in pairs]
    small = [(pair.name, findings.too_small(pair.source, spatial, patch_size)) for pair in pairs]
    found.problems += findings.gather(finding for finding in wrong if finding[1])
    found.problems += findings.gather(b for a, b in zip(wrong, small, strict=True) if b[1] and not a[1])
    if full and not found.problems:
        # Masks may be empty; what else may be wrong with them is found where they become classes.
        read = [replace(pair, target=None) for pair in pairs] if masks else pairs
        with ThreadPoolExecutor(2) as pool:
            for problems, warnings in pool.map(findings.contents, read):
                found.problems += problems
                found.warnings += warnings
    return pairs


def _open_outlines(
    drawn: Sequence[tuple[ImageSource, Path]], network_axes: str, found: _Findings
) -> dict[Path, ImageSource]:
    """Return the outlines that belong to images as label images, by the path of the image."""
    opened: dict[Path, ImageSource] = {}
    problems: list[tuple[str, str]] = []
    for image, file in drawn:
        try:
            opened[image.path] = open_rois(file, image, network_axes)
        except DataError as error:
            problems.append((file.name, error.message))
    found.problems += findings.gather(problems)
    return opened


def _open_all(files: Sequence[Path], axes: str, found: _Findings, deadline: float | None) -> dict[Path, ImageSource]:
    """Read the headers of ``files`` in a few threads, until the deadline."""
    problems: list[tuple[str, str]] = []
    opened: dict[Path, ImageSource] = {}
    late = 0

    def work(file: Path) -> ImageSource | DataError | None:
        if deadline is not None and time.monotonic() > deadline:
            return None
        try:
            return open_image(file, axes)
        except DataError as error:
            return error

    with ThreadPoolExecutor(_THREADS) as pool:
        for file, result in zip(files, pool.map(work, files), strict=True):
            if isinstance(result, DataError):
                problems.append((file.name, result.message))
            elif result is None:
                late += 1
            else:
                opened[file] = result
    found.problems += findings.gather(problems)
    if late:
        found.warnings.append(
            f"Only {len(files) - late} of {len(files)} files were checked so far, since reading them takes long; "
            "the training checks the others when it starts."
        )
    return opened


def _resolve_grey(opened: dict[Path, ImageSource], files: Sequence[Path], full: bool, found: _Findings) -> None:
    """Replace color images that are grey in fact by grey ones; headers alone: judged by the first three."""
    color = [file for file in files if file in opened and opened[file].rgb]
    try:
        if full:
            grey = [file for file in color if opened[file].is_grey()]
        else:
            grey = color if color and all(opened[file].is_grey() for file in color[:3]) else []
    except DataError as error:
        found.problems.append(error.message)
        return
    for file in grey:
        opened[file] = opened[file].at(C=0)
    if grey:
        found.warnings.append(
            f"{len(grey)} color image(s) such as {grey[0].name} are grey in fact (red, green and blue are equal) "
            "and are read as grey."
        )
