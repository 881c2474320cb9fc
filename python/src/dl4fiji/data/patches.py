"""Training patches, drawn on the fly from full-precision images; the same arguments give the same patches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
import psutil

from dl4fiji.data.augmentation import Augmentation
from dl4fiji.data.axes import move_axes
from dl4fiji.data.background import Background, Grid, allowed_starts
from dl4fiji.data.dataset import Dataset, Sample
from dl4fiji.data.image import ImageSource
from dl4fiji.data.masks import class_weights
from dl4fiji.data.normalization import EPSILON, Normalization, Pixels, Scale, fit
from dl4fiji.data.patch_size import check_patch_size
from dl4fiji.errors import DataError
from dl4fiji.options import TrainingOptions
from dl4fiji.progress import Progress, SilentProgress, stop_if_canceled

__all__ = ["Augmentation", "Background", "PatchSource", "check_patch_size"]

_CACHE_SHARE = 0.25
"""Share of the free memory that images may take."""

_VALIDATION_BYTES = 256 << 20
_MANY_ROUNDS = 8
_COUNTED = 4 << 20
"""Pixels of masks that are counted at a time."""


Place = tuple[str, tuple[slice, ...]]
"""Name of a sample and the window of a patch along the spatial axes."""


class _Pixels:
    """The pixels of one image in the network's axes, from memory or from the file, and their scale."""

    def __init__(
        self, image: ImageSource, axes: str, normalization: Normalization | Scale | None, cached: bool
    ) -> None:
        self._image, self._axes = image, axes
        self._memory = np.ascontiguousarray(move_axes(image.read(), image.axes, axes)) if cached else None
        self.pixels: Pixels = image if self._memory is None else _Named(image, axes, self._memory)
        if normalization is None or isinstance(normalization, Scale):
            self.scale = normalization
        else:
            self.scale = fit(normalization, self.pixels)
        self.offset = np.asarray(self.scale.offset if self.scale else (), np.float32)
        self.width = np.asarray(self.scale.scale if self.scale else (), np.float32)

    def raw(self, window: Sequence[slice]) -> np.ndarray:
        """Return pixels of a spatial window, all channels, in the network's axes; not to be written to."""
        if self._memory is not None:
            return self._memory[tuple(window)]
        parts = dict(zip(self._axes.removesuffix("C"), window, strict=True))
        region = self._image.region(**{axis: part for axis, part in parts.items() if axis in self._image.axes})
        return move_axes(region, self._image.axes, self._axes)

    def normalized(self, window: Sequence[slice], margin: Sequence[int], extents: Sequence[slice]) -> np.ndarray:
        """Return a window enlarged by ``margin`` on both sides; beyond ``extents`` it is mirrored.

        Float32 where pixels are normalized, else in their own type.
        """
        wanted = [(part.start - m, part.stop + m) for part, m in zip(window, margin, strict=True)]
        inside = [slice(max(e.start, a), min(e.stop, b)) for (a, b), e in zip(wanted, extents, strict=True)]
        pixels = self.raw(inside)
        pixels = pixels if self.scale is None else self.scale.apply(pixels)
        pads = [(part.start - a, b - part.stop) for (a, b), part in zip(wanted, inside, strict=True)]
        return np.pad(pixels, [*pads, (0, 0)], mode="symmetric") if any(map(any, pads)) else pixels

    def count(self, extents: Sequence[slice], classes: int) -> np.ndarray:
        """Return how many pixels of each class there are within ``extents``."""
        first, *others = extents
        rows = max(1, _COUNTED // max(1, int(np.prod([part.stop - part.start for part in others]))))
        counts = np.zeros(classes, np.int64)
        for start in range(first.start, first.stop, rows):
            pixels = self.raw([slice(start, min(start + rows, first.stop)), *others])
            counts += np.bincount(pixels.ravel(), minlength=classes)
        return counts

    @property
    def flat(self) -> bool:
        """Tell whether the scale of some channel vanishes, so that normalizing makes no sense."""
        return self.scale is not None and min(self.scale.scale) <= EPSILON


class _Named:
    """Pixels in memory that keep the name of their file."""

    def __init__(self, image: ImageSource, axes: str, pixels: np.ndarray) -> None:
        self.path, self.axes, self.shape, self._pixels = image.path, axes, pixels.shape, pixels

    def region(self, **parts: slice | int) -> np.ndarray:
        return self._pixels[tuple(parts.get(axis, slice(None)) for axis in self.axes)]


class _Loaded:
    """A sample ready to be cut into patches."""

    def __init__(self, sample: Sample, source: _Pixels, target: _Pixels | None) -> None:
        self.sample, self.source, self.target = sample, source, target
        self.grid: Grid | None = None

    def window(self, rng: np.random.Generator, axes: str, patch: Sequence[int]) -> list[slice]:
        """Draw a position; one that shows more than background where that is asked for."""
        if self.grid is not None:
            starts = self.grid.draw(rng)
        else:
            starts = [
                int(rng.integers(extent.start, extent.stop - size + 1))
                for extent, size in ((self.sample.extent(axis), size) for axis, size in zip(axes, patch, strict=True))
            ]
        return [slice(start, start + size) for start, size in zip(starts, patch, strict=True)]


class PatchSource:
    """Training and validation patches of a data set.

    Images are kept in memory in their own type as far as a quarter of the free memory reaches; of the others only
    the patches are read.

    Parameters
    ----------
    dataset
        Images; split here by the options if that has not been done.
    normalization
        Fitted to each image as the network sees it: each plane for 2D, each stack for 3D networks.
    options
        Patch and batch size, patches per image, seed, validation percent, augmentation.
    network_axes
        ``YXC`` or ``ZYXC``.
    divisor
        What patch sizes must be a multiple of, per spatial axis.
    background
        Which patches are too empty. None: by ``background_rejection`` and ``background_threshold`` where the
        options have them, else all patches are taken.
    augmentation
        How patches are varied. None: as `Augmentation` has it if ``options.augmentation``, else not at all.
    labels
        Targets are masks or labels: neither normalized nor interpolated. They have one channel, the numbers of the
        classes or objects. None: if the data set says so.
    memory
        Bytes that images in memory may take; None: a quarter of what is free.
    progress
        Told while images are read; may cancel.

    Raises
    ------
    DataError
        If images are too small or have no content.
    OptionError
        If the patch size does not fit the network.
    """

    def __init__(
        self,
        dataset: Dataset,
        normalization: Normalization,
        options: TrainingOptions,
        network_axes: str = "",
        *,
        divisor: Mapping[str, int] | None = None,
        background: Background | None = None,
        augmentation: Augmentation | None = None,
        labels: bool | None = None,
        memory: int | None = None,
        progress: Progress | None = None,
    ) -> None:
        self._axes = network_axes or dataset.network_axes
        self._spatial = self._axes.removesuffix("C")
        self._options = options
        self.patch_size = check_patch_size(options.patch_size, self._spatial, divisor or {})
        if not dataset.train:
            dataset = dataset.split(options.validation_percent, options.seed, self.patch_size)
        self.dataset = dataset
        self._normalization = normalization
        self._labels = dataset.target_form is not None if labels is None else labels
        self._target_type = np.int32 if dataset.target_form == "labels" else np.float32
        self.channels_in = dataset.channels_in
        self.channels_out = 1 if self._labels else dataset.channels_out
        self._augmentation = augmentation or (_augmentation(dataset) if options.augmentation else None)
        self._background = background or _background(options, self._labels)
        self._free = int(psutil.virtual_memory().available * _CACHE_SHARE) if memory is None else memory
        self.warnings: list[str] = []
        """What was found while reading, besides the warnings of the data set."""
        progress = progress or SilentProgress()
        progress.phase(f"Reading {len(dataset.train) + len(dataset.validation)} images")
        self._train = self._load(dataset.train, progress, "training")
        self._aside = self._load(dataset.validation, progress, "validation")
        self._round = lru_cache(_MANY_ROUNDS)(self._draw_round)
        self._validation: tuple[np.ndarray, np.ndarray] | None = None

    @property
    def patches_per_epoch(self) -> int:
        """Patches that an epoch draws unless the options say how many steps it has."""
        return len(self._train) * self._options.patches_per_image

    @property
    def steps_per_epoch(self) -> int:
        """Batches of an epoch."""
        return self._options.steps_per_epoch or -(-self.patches_per_epoch // self._options.batch_size)

    @cached_property
    def class_weights(self) -> tuple[float, ...]:
        """Weight of each class by which all count alike, from the masks of the training images."""
        counts = np.zeros(max(2, len(self.dataset.classes)), np.int64)
        for loaded in self._train:
            if loaded.target is not None:
                counts += loaded.target.count([loaded.sample.extent(axis) for axis in self._spatial], len(counts))
        return class_weights(counts.tolist())

    def draw(self, epoch: int, step: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the batch of a step, both counted from 0.

        Each image is used equally often, in an order drawn anew each time all have been used; positions are drawn
        at random.

        Returns
        -------
        source, target
            Float32, normalized, axes N and then the network's. Where there are no target images, the target is
            the source itself, not a copy. Labels of objects are int32.
        """
        source, target, _ = self.draw_with_places(epoch, step)
        return source, target

    def draw_with_places(self, epoch: int, step: int) -> tuple[np.ndarray, np.ndarray, list[Place]]:
        """Return the batch of a step as `draw` does, and where each of its patches lies."""
        size = self._options.batch_size
        rng = np.random.default_rng([self._options.seed, 0, epoch, step])
        first = (epoch * self.steps_per_epoch + step) * size
        turns = (divmod(first + index, len(self._train)) for index in range(size))
        chosen = [self._train[self._round(turn)[place]] for turn, place in turns]
        if self._augmentation is None:
            cuts = [(one, one.window(rng, self._spatial, self.patch_size)) for one in chosen]
            return *self._cut(cuts), [(one.sample.name, tuple(window)) for one, window in cuts]
        source, target = self._empty(size)
        places: list[Place] = []
        for index, loaded in enumerate(chosen):
            window = loaded.window(rng, self._spatial, self.patch_size)
            self._vary(loaded, window, source[index], target[index], self._augmentation, rng)
            places.append((loaded.sample.name, tuple(window)))
        return source, target, places

    def validation(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the validation patches: a fixed grid over the validation images, without background.

        At most ``patches_per_image`` per image, a quarter of the training patches (but a batch), and 256 MiB in all.
        """
        if self._validation is None:
            places = [(loaded, window) for loaded in self._aside for window in self._grid_windows(loaded)]
            self._validation = self._cut(self._choose(places))
        return self._validation

    def _empty(self, count: int) -> tuple[np.ndarray, np.ndarray]:
        shape = (count, *self.patch_size)
        return np.empty((*shape, self.channels_in), np.float32), np.empty(
            (*shape, self.channels_out), self._target_type
        )

    def _draw_round(self, turn: int) -> np.ndarray:
        return np.random.default_rng([self._options.seed, 1, turn]).permutation(len(self._train))

    def _cut(self, places: Sequence[tuple[_Loaded, list[slice]]]) -> tuple[np.ndarray, np.ndarray]:
        """Return the patches at ``places`` as they are; normalized all at once, since calls per patch take longer."""
        source, target = self._empty(len(places))
        self._read([(loaded.source, window) for loaded, window in places], source)
        if all(loaded.target is None for loaded, _ in places):
            return source, source
        self._read([(loaded.target or loaded.source, window) for loaded, window in places], target)
        return source, target

    def _read(self, places: Sequence[tuple[_Pixels, list[slice]]], out: np.ndarray) -> None:
        """Put normalized pixels into ``out``."""
        for patch, (pixels, window) in zip(out, places, strict=True):
            patch[...] = pixels.raw(window)
        if places and places[0][0].scale is not None:
            shape = (len(places), *[1] * (out.ndim - 2), out.shape[-1])
            out -= np.stack([pixels.offset for pixels, _ in places]).reshape(shape)
            out /= np.stack([pixels.width for pixels, _ in places]).reshape(shape)

    def _vary(
        self, loaded: _Loaded, window: list[slice], source: np.ndarray, target: np.ndarray,
        augmentation: Augmentation, rng: np.random.Generator,
    ) -> None:  # fmt: skip
        """Put a patch into ``source`` and ``target``, varied in the same way."""
        plan = augmentation.plan(rng, *self.patch_size[-2:])
        margin = [*[0] * (len(window) - 2), *plan.margin]
        # A margin must not reach beyond the part that is for training.
        extents = [loaded.sample.extent(axis) for axis in self._spatial]
        other = loaded.target or loaded.source
        source[...] = plan.geometry(loaded.source.normalized(window, margin, extents))
        target[...] = plan.geometry(other.normalized(window, margin, extents), self._labels)
        plan.intensity(source, rng)
        if not self._labels:
            plan.intensity(target)

    def _load(self, samples: Sequence[Sample], progress: Progress, purpose: str) -> list[_Loaded]:
        """Fit the normalization to all samples, and read those into memory that fit there."""
        loaded: list[_Loaded] = []
        flat: list[str] = []
        for number, sample in enumerate(samples):
            stop_if_canceled(progress)
            progress.phase(f"Reading image {number + 1} of {len(samples)} for {purpose}")
            self._check_size(sample)
            images = [image for image in (sample.source, sample.target) if image is not None]
            nbytes = sum(image.nbytes for image in images)
            cached = nbytes <= self._free
            self._free -= nbytes if cached else 0
            source = _Pixels(sample.source, self._axes, self._normalization, cached)
            target = None
            if sample.target is not None:
                target = _Pixels(sample.target, self._axes, self._target_scale(source), cached)
            if source.flat or (target is not None and target.flat):
                flat.append(sample.name)
                continue
            item = _Loaded(sample, source, target)
            if self._background is not None and target is not None:
                item.grid = self._allowed(sample, target)
            loaded.append(item)
        if flat:
            names = ", ".join(flat[:3]) + (f" and {len(flat) - 3} more" if len(flat) > 3 else "")
            text = f"{names} has nearly the same value everywhere"
            if not loaded:
                raise DataError(f"{text}, so no image is left for {purpose}: give images with content.")
            self.warnings.append(f"{text} and is left out.")
        return loaded

    def _target_scale(self, source: _Pixels) -> Normalization | Scale | None:
        """Return by what a target is normalized; some networks take the scale of its source."""
        if self._labels:
            return None
        by_source = getattr(self._options, "target_normalization", "own") == "source"
        return source.scale if by_source else self._normalization

    def _check_size(self, sample: Sample) -> None:
        for axis, size in zip(self._spatial, self.patch_size, strict=True):
            extent = sample.extent(axis)
            if extent.stop - extent.start < size:
                patch = "×".join(map(str, self.patch_size))
                raise DataError(
                    f"{sample.name} has {extent.stop - extent.start} pixels along {axis} for patches of {patch}: "
                    "take larger images or a smaller patch_size."
                )

    def _allowed(self, sample: Sample, target: _Pixels) -> Grid | None:
        assert self._background is not None
        extents = [sample.extent(axis) for axis in self._spatial]
        grid = allowed_starts(target.pixels, self._axes, extents, self.patch_size, self._background)
        if grid is None and not self._labels:
            self.warnings.append(f"{sample.name} seems to show background only; patches are taken from all of it.")
        return grid

    def _grid_windows(self, loaded: _Loaded) -> list[list[slice]]:
        """Return windows that cover all of a sample evenly, those of background left out.

        They overlap where the size is no multiple of the patch: of a volume of 100 pixels and patches of 64, the
        best weights would else be chosen by one corner.
        """
        axes_starts = []
        for axis, size in zip(self._spatial, self.patch_size, strict=True):
            extent = loaded.sample.extent(axis)
            length = extent.stop - extent.start
            places = np.linspace(0, length - size, -(-length // size)).astype(int)
            axes_starts.append(places + extent.start)
        starts = np.stack(np.meshgrid(*axes_starts, indexing="ij"), -1).reshape(-1, len(self._spatial))
        if loaded.grid is not None and not self._labels:
            kept = starts[[loaded.grid.allows(start) for start in starts]]
            starts = kept if len(kept) else starts
        if len(starts) > self._options.patches_per_image:
            rng = np.random.default_rng([self._options.seed, 2])
            starts = starts[np.sort(rng.permutation(len(starts))[: self._options.patches_per_image])]
        return [[slice(int(at), int(at) + n) for at, n in zip(start, self.patch_size, strict=True)] for start in starts]

    def _choose(self, places: list[Any]) -> list[Any]:
        """Keep as many validation patches as is sensible, spread over all images."""
        patch_bytes = int(np.prod(self.patch_size)) * 4 * (self.channels_in + self.channels_out)
        limit = max(self.patches_per_epoch // 4, self._options.batch_size)
        limit = max(1, min(limit, _VALIDATION_BYTES // patch_bytes))
        if len(places) <= limit:
            return places
        numbers = np.random.default_rng([self._options.seed, 3]).permutation(len(places))[:limit]
        return [places[number] for number in np.sort(numbers)]


def _augmentation(dataset: Dataset) -> Augmentation:
    """Return how patches are varied; without targets so that the noise, from which such networks learn, stays."""
    if dataset.target_form == "labels":
        return Augmentation.for_objects()
    return Augmentation.for_restoration() if dataset.pairs[0].target is None else Augmentation()


def _background(options: TrainingOptions, labels: bool) -> Background | None:
    """Take the rejection of background from options that have it; of masks the share that must show objects."""
    if labels:
        wanted = getattr(options, "foreground_percent", 0)
        return Background(threshold=0, percentile=100, share=1 - wanted / 100) if wanted else None
    if not getattr(options, "background_rejection", False):
        return None
    return Background(threshold=getattr(options, "background_threshold", Background.threshold))
