"""Training images as the network sees them, split into training and validation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from dl4fiji.data.axes import NAMES
from dl4fiji.data.image import ImageSource
from dl4fiji.data.scenes import same_scenes
from dl4fiji.errors import DataError

if TYPE_CHECKING:
    from dl4fiji.data.masks import TargetForm
    from dl4fiji.data.object_size import ObjectSize


@dataclass(frozen=True)
class ImagePair:
    """A source image and the target it shall become; without target for networks that need none."""

    source: ImageSource
    target: ImageSource | None
    name: str


@dataclass(frozen=True)
class Sample:
    """One image as the network sees it: a plane for 2D, a stack for 3D networks.

    Parameters
    ----------
    source, target
        Images whose axes are among those of the network.
    name
        File name, with frame and slice where there are several.
    region
        The part that patches may be taken from; axes not named are free.
    """

    source: ImageSource
    target: ImageSource | None
    name: str
    region: Mapping[str, slice] = field(default_factory=dict)

    def extent(self, axis: str) -> slice:
        """Return first and last (exclusive) pixel along ``axis`` that patches may hold."""
        return self.region.get(axis, slice(0, self.source.sizes[axis]))


@dataclass(frozen=True)
class Dataset:
    """Pairs of images and, after `split`, the samples for training and validation.

    Parameters
    ----------
    pairs
        All images, in natural order of their names.
    validation_pairs
        Images that the user chose for validation; empty: some of ``pairs`` are kept aside.
    network_axes
        Axes of the network, channels last: ``YXC`` or ``ZYXC``.
    warnings
        What the user should know, one sentence each.
    classes
        Where targets are masks: the value of each class in the files, background first. The targets themselves are
        read as numbers of classes, see `dl4fiji.data.masks`.
    target_form
        What the pixels of the targets mean; None: they are images.
    objects
        Where targets are labels: how large their objects are.
    """

    pairs: tuple[ImagePair, ...]
    validation_pairs: tuple[ImagePair, ...]
    network_axes: str
    warnings: tuple[str, ...] = ()
    train: tuple[Sample, ...] = ()
    validation: tuple[Sample, ...] = ()
    units: tuple[int, int] = (0, 0)
    """How many images (frames count as images) are for training and validation; (1, 1) may share one image."""
    classes: tuple[int, ...] = ()
    target_form: TargetForm | None = None
    objects: ObjectSize | None = None

    @property
    def spatial_axes(self) -> str:
        """``YX`` or ``ZYX``."""
        return self.network_axes.removesuffix("C")

    @property
    def channels_in(self) -> int:
        """Channels of the source images."""
        return self.pairs[0].source.sizes["C"]

    @property
    def channels_out(self) -> int:
        """Channels of the target images; of the source images where there are no targets.

        For masks: one for one class beside the background, else one per class.
        """
        if self.classes:
            return len(self.classes) if len(self.classes) > 2 else 1
        target = self.pairs[0].target
        return (target or self.pairs[0].source).sizes["C"]

    def split(self, validation_percent: float, seed: int, patch_size: Sequence[int] = ()) -> Dataset:
        """Return the data set with `train` and `validation` filled.

        Whole images are kept aside, chosen by ``seed``; images with the same target (several noisy recordings of
        one field) stay together, so do the slices that a 2D network takes from a stack; frames are images of their
        own. A single image is cut into two disjoint regions, both
        at least as large as a patch.

        Raises
        ------
        DataError
            If a single image is too small to be cut.
        """
        groups = [group for pair in self.pairs for group in _groups(pair, self.spatial_axes)]
        if self.validation_pairs:
            chosen = [group for pair in self.validation_pairs for group in _groups(pair, self.spatial_axes)]
            return self._with(groups, chosen)
        if len(groups) == 1:
            inside, aside = _cut(groups[0], self.spatial_axes, validation_percent, seed, patch_size)
            return self._with([inside], [aside])
        split = self._by_scene(validation_percent, seed)
        if any(pair.source.sizes["T"] > 1 for pair in self.pairs):
            text = (
                "Frames of one recording are both in training and validation, so the validation may look better "
                "than it is: a validation folder with other recordings avoids that."
            )
            split = replace(split, warnings=(*split.warnings, text))
        return split

    def _by_scene(self, validation_percent: float, seed: int) -> Dataset:
        """Keep whole images aside; those with the same target stay together."""
        scenes: list[list[list[Sample]]] = []
        for numbers in same_scenes(self.pairs):
            groups = [group for number in numbers for group in _groups(self.pairs[number], self.spatial_axes)]
            recording = any(self.pairs[number].source.sizes["T"] > 1 for number in numbers)
            scenes += [[group] for group in groups] if recording else [groups]
        warnings = self.warnings
        if len(scenes) == 1:
            warnings += (
                "All images have the same target, so the validation shows the scene of the training and looks better "
                "than it is: a validation folder with another scene avoids that.",
            )
            scenes = [[group] for group in scenes[0]]
        total = sum(len(scene) for scene in scenes)
        wanted = max(1, round(total * validation_percent / 100))
        aside: set[int] = set()
        for number in np.random.default_rng([seed, len(scenes)]).permutation(len(scenes))[:-1].tolist():
            if sum(len(scenes[chosen]) for chosen in aside) >= wanted:
                break
            aside.add(number)
        split = self._with(
            [group for number, scene in enumerate(scenes) if number not in aside for group in scene],
            [group for number, scene in enumerate(scenes) if number in aside for group in scene],
        )
        return replace(split, warnings=warnings)

    def _with(self, train: list[list[Sample]], validation: list[list[Sample]]) -> Dataset:
        return replace(
            self,
            train=tuple(sample for group in train for sample in group),
            validation=tuple(sample for group in validation for sample in group),
            units=(len(train), len(validation)),
        )


def _groups(pair: ImagePair, spatial_axes: str) -> list[list[Sample]]:
    """Return the samples of a pair, one group per frame; groups are never divided between training and validation."""
    sizes = pair.source.sizes
    slices = range(sizes["Z"]) if "Z" not in spatial_axes else range(1)
    groups: list[list[Sample]] = []
    for frame in range(sizes["T"]):
        group: list[Sample] = []
        for number in slices:
            index = {"T": frame} | ({} if "Z" in spatial_axes else {"Z": number})
            name = pair.name
            name += f", frame {frame + 1}" if sizes["T"] > 1 else ""
            name += f", slice {number + 1}" if len(slices) > 1 else ""
            target = pair.target.at(**index) if pair.target else None
            group.append(Sample(pair.source.at(**index), target, name))
        groups.append(group)
    return groups


def _cut(
    group: list[Sample], spatial_axes: str, percent: float, seed: int, patch_size: Sequence[int]
) -> tuple[list[Sample], list[Sample]]:
    """Cut all samples of one image into a part for training and one for validation that share no pixel."""
    sizes = group[0].source.sizes
    patch = dict(zip(spatial_axes, patch_size or [1] * len(spatial_axes), strict=True))
    axis = max(spatial_axes, key=lambda letter: (sizes[letter] / patch[letter], sizes[letter]))
    size, least = sizes[axis], patch[axis]
    if size < 2 * least:
        needed = " or ".join(f"{2 * patch[letter]} {NAMES[letter]}" for letter in spatial_axes)
        shape = "×".join(str(sizes[letter]) for letter in spatial_axes)
        raise DataError(
            f"{group[0].name} is the only image and with {shape} pixels too small to keep a part aside for "
            f"validation (at least {needed}): add images, or take smaller patches."
        )
    count = min(max(round(size * percent / 100), least), size - least)
    if np.random.default_rng([seed, 1]).integers(2):
        aside, inside = slice(0, count), slice(count, size)
    else:
        aside, inside = slice(size - count, size), slice(0, size - count)
    return (
        [replace(sample, region={axis: inside}) for sample in group],
        [replace(sample, region={axis: aside}) for sample in group],
    )
