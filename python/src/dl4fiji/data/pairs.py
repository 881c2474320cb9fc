"""Pairs of training images: found by their names, checked, and reported with all findings."""

from __future__ import annotations

import math
import time
import unicodedata
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from dl4fiji.data import findings
from dl4fiji.data.axes import check_axes
from dl4fiji.data.dataset import Dataset, ImagePair, Sample
from dl4fiji.data.image import ImageSource, list_images, open_image
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


@dataclass
class _Findings:
    problems: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def open_pairs(
    data: DataFields, network_axes: str, *, patch_size: Sequence[int] = (), paired: bool = True, full: bool = False
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
    full
        Read the pixels, too, and look for NaN, constant and identical images.

    Raises
    ------
    DataError
        With all findings in ``problems``.
    """
    found = _Findings()
    dataset = _open(data, network_axes, tuple(patch_size), paired, full, found, None)
    if found.problems or dataset is None:
        raise DataError(found.problems[0], found.problems)
    return dataset


def check_data(
    data: DataFields,
    network_axes: str,
    options: TrainingOptions,
    *,
    paired: bool = True,
    full: bool = False,
    time_limit: float = _TIME_LIMIT,
) -> DataReport:
    """Check training images without raising: headers only, or with ``full`` all pixels.

    After ``time_limit`` seconds of reading headers the rest is left unchecked, and a warning says so.
    """
    found = _Findings()
    try:
        deadline = None if full else time.monotonic() + time_limit
        dataset = _open(data, network_axes, options.patch_size, paired, full, found, deadline)
        if dataset is None or found.problems:
            return DataReport(tuple(found.problems), tuple(found.warnings))
        dataset = dataset.split(options.validation_percent, options.seed, options.patch_size)
    except DataError as error:
        return DataReport(tuple(error.problems or [error.message]), tuple(found.warnings))
    images = [image for pair in dataset.pairs for image in (pair.source, pair.target) if image is not None]
    largest = max(dataset.pairs, key=lambda pair: pair.source.nbytes).source
    return DataReport(
        warnings=dataset.warnings,
        summary=summarize(dataset),
        images=len(dataset.pairs),
        train=len(dataset.train),
        validation=len(dataset.validation),
        patches_per_epoch=len(dataset.train) * options.patches_per_image,
        channels_in=dataset.channels_in,
        channels_out=dataset.channels_out,
        nbytes=sum(image.nbytes for image in images),
        largest=tuple(largest.sizes[axis] for axis in dataset.spatial_axes),
    )


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
    pairs = _open_role(data.source, target, data.axes, network_axes, patch_size, full, found, deadline)
    extra: list[ImagePair] = []
    if data.validation_source.strip():
        validation_target = data.validation_target if paired else ""
        extra = _open_role(
            data.validation_source, validation_target, data.axes, network_axes, patch_size, full, found, deadline
        )
    found.problems += findings.odd_channels([*pairs, *extra])
    found.warnings += findings.suspicions([*pairs, *extra])
    if extra and {pair.source.path for pair in pairs} & {pair.source.path for pair in extra}:
        found.problems.append("Images for validation are among those for training: choose others.")
    if not pairs:
        return None
    return Dataset(tuple(pairs), tuple(extra), network_axes, tuple(dict.fromkeys(found.warnings)))


def _open_role(
    source: str,
    target: str,
    axes: str,
    network_axes: str,
    patch_size: tuple[int, ...],
    full: bool,
    found: _Findings,
    deadline: float | None,
) -> list[ImagePair]:
    """Pair, open and check the images of one pair of folders or files."""
    named = _pair_files(source.strip(), target.strip(), found)
    files = [file for _, *both in named for file in both if file is not None]
    opened = _open_all(files, axes, found, deadline)
    _resolve_grey(opened, [file for _, file, _ in named], full, found)
    _resolve_grey(opened, [file for _, _, file in named if file], full, found)
    pairs = [
        ImagePair(opened[left], opened[right] if right else None, name)
        for name, left, right in named
        if left in opened and (right is None or right in opened)
    ]
    spatial = network_axes.removesuffix("C")
    found.problems += findings.gather((pair.name, text) for pair in pairs if (text := findings.mismatch(pair)))
    wrong = [(pair.name, findings.wrong_dimensions(pair.source, spatial)) for pair in pairs]
    small = [(pair.name, findings.too_small(pair.source, spatial, patch_size)) for pair in pairs]
    found.problems += findings.gather(finding for finding in wrong if finding[1])
    found.problems += findings.gather(b for a, b in zip(wrong, small, strict=True) if b[1] and not a[1])
    if full and not found.problems:
        with ThreadPoolExecutor(2) as pool:
            for problems, warnings in pool.map(findings.contents, pairs):
                found.problems += problems
                found.warnings += warnings
    return pairs


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


def _pair_files(source: str, target: str, found: _Findings) -> list[tuple[str, Path, Path | None]]:
    """Return name, source file and target file of each pair."""
    left, right = Path(source).expanduser(), Path(target).expanduser() if target else None
    if right is not None and left.exists() and right.exists() and left.samefile(right):
        found.problems.append(f"Source and target are the same, {left}: choose the target images.")
        return []
    if right is not None and left.exists() and right.exists() and left.is_file() != right.is_file():
        file, folder = (left, right) if left.is_file() else (right, left)
        found.problems.append(f"{file} is a file but {folder} a folder: give two files or two folders.")
        return []
    if left.is_file() and (right is None or right.is_file()):
        return [(left.name, left, right)]
    listed: list[list[Path]] = []
    for folder in (left, right):
        if folder is None:
            continue
        try:
            listed.append(list_images(folder))
        except DataError as error:
            found.problems.append(error.message)
    if right is None:
        return [(file.name, file, None) for file in (listed or [[]])[0]]
    if len(listed) < 2:
        return []
    return _match(listed[0], listed[1], left, right, found)


def _match(
    sources: list[Path], targets: list[Path], left: Path, right: Path, found: _Findings
) -> list[tuple[str, Path, Path | None]]:
    """Pair files by equal names; case and ending may differ where that leaves no doubt."""
    by_name = {unicodedata.normalize("NFC", file.name): file for file in targets}
    by_stem: dict[str, list[Path]] = defaultdict(list)
    for file in targets:
        by_stem[_stem(file)].append(file)
    stems_of_sources: dict[str, int] = defaultdict(int)
    for file in sources:
        stems_of_sources[_stem(file)] += 1
    pairs: list[tuple[str, Path, Path | None]] = []
    alone: list[Path] = []
    doubtful: list[Path] = []
    for file in sources:
        exact = by_name.get(unicodedata.normalize("NFC", file.name))
        candidates = by_stem[_stem(file)]
        if exact is not None:
            pairs.append((file.name, file, exact))
        elif len(candidates) == 1 and stems_of_sources[_stem(file)] == 1:
            pairs.append((file.name, file, candidates[0]))
        else:
            (doubtful if candidates else alone).append(file)
    used = {target for _, _, target in pairs}
    left_over = [file for file in targets if file not in used] if not doubtful else []
    if not pairs and not doubtful:
        found.problems.append(
            f"No image in {left} has a partner of the same name in {right} ({some_names(sources)} against "
            f"{some_names(targets)}): give the two images of a pair the same name."
        )
        return []
    for files, here, there in ((alone, left, right), (left_over, right, left)):
        if files:
            found.problems.append(
                f"{some_names(files)} in {here} has no partner in {there}: add an image of the same name there, "
                "or remove it."
            )
    if doubtful:
        found.problems.append(
            f"{some_names(doubtful)} in {left} has several possible partners in {right}: "
            "give the two images of a pair exactly the same name."
        )
    return pairs


def some_names(files: Sequence[Path]) -> str:
    """Return up to three file names and how many more there are."""
    return findings.some(file.name for file in files)


def _stem(file: Path) -> str:
    return unicodedata.normalize("NFC", file.stem).casefold().removesuffix(".ome")
