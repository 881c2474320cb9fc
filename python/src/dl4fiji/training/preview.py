"""A preview of the first training patches, drawn as the training will draw them; TensorFlow is not needed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from dl4fiji.data.masks import TargetForm
from dl4fiji.data.pairs import DataFields, open_pairs
from dl4fiji.data.patches import PatchSource, Place
from dl4fiji.network import Network, target_form
from dl4fiji.training.montage import montage

PATCHES = 9

_MEMORY = 256 << 20
"""Bytes of images that are kept in memory; of more masks or labels only the first few are looked at."""


@dataclass(frozen=True)
class Preview:
    """Some training patches.

    Parameters
    ----------
    picture
        All of them, Y, X, RGB, uint8.
    patches
        Per patch the ``image``, the ``window`` (axis to first and last pixel, exclusive), and what its target shows:
        ``objects`` (labels) or ``foreground`` (masks: share of the pixels).
    text
        What is seen, for those who cannot see the picture.
    warnings
        What the user should know.
    """

    picture: np.ndarray
    patches: tuple[dict[str, Any], ...]
    text: str
    warnings: tuple[str, ...]


class _FirstPatches(PatchSource):
    """Patches that are drawn from given images: ``order`` has the number of the image of each."""

    order: Sequence[int] = ()

    def _draw_round(self, turn: int) -> np.ndarray:
        count = len(self._train)
        numbers = [number % count for number in self.order[turn * count : (turn + 1) * count]]
        return np.asarray(numbers + [0] * (count - len(numbers)))


def draw_preview(network: Network, data: DataFields, options: Any) -> Preview:
    """Return the first nine patches that a training with these arguments will see, at its first steps.

    Images are read only as far as these patches need them. They are those of the training unless images without
    content are left out there.

    Raises
    ------
    DataError, OptionError
        As the training would.
    """
    form = target_form(network, options)
    dataset = open_pairs(
        data, network.axes, patch_size=options.patch_size, paired=network.data_form == "paired", form=form,
        quick_beyond=_MEMORY,
    )  # fmt: skip
    dataset = dataset.split(options.validation_percent, options.seed, options.patch_size)
    options, remarks = network.settle(options, dataset)
    batch = min(PATCHES, options.batch_size)  # the first patches of a batch do not depend on how many follow
    steps = -(-PATCHES // batch)
    order = _order(len(dataset.train), options.seed, batch * steps)
    used = list(dict.fromkeys(order))
    dataset = replace(dataset, train=tuple(dataset.train[number] for number in used), validation=())
    options = options.model_copy(update={"batch_size": batch, "steps_per_epoch": steps})
    source = _FirstPatches(dataset, network.normalization(options, dataset), options, network.axes, memory=_MEMORY)
    source.order = [used.index(number) for number in order]
    drawn = [source.draw_with_places(0, step) for step in range(steps)]
    images = np.concatenate([images for images, _, _ in drawn])[:PATCHES]
    targets = np.concatenate([targets for _, targets, _ in drawn])[:PATCHES] if network.data_form == "paired" else None
    places = [place for _, _, places in drawn for place in places][:PATCHES]
    told = tuple(
        _describe(place, None if targets is None else targets[index], form, dataset.spatial_axes)
        for index, place in enumerate(places)
    )
    picture = montage(list(images), None if targets is None else list(targets), form)
    warnings = (*dataset.warnings, *remarks, *source.warnings)
    return Preview(
        picture, told, _text(told, images.shape[1:-1], form, targets is not None), tuple(dict.fromkeys(warnings))
    )


def _order(images: int, seed: int, count: int) -> list[int]:
    """Return the numbers of the images that the first ``count`` patches come from, as `PatchSource.draw` has them.

    That is all images in a random order, then all again in another.
    """
    order: list[int] = []
    turn = 0
    while len(order) < count:
        order += np.random.default_rng([seed, 1, turn]).permutation(images).tolist()
        turn += 1
    return order[:count]


def _describe(place: Place, target: np.ndarray | None, form: TargetForm | None, axes: str) -> dict[str, Any]:
    name, window = place
    told: dict[str, Any] = {
        "image": name,
        "window": {axis: [part.start, part.stop] for axis, part in zip(axes, window, strict=True)},
    }
    if target is not None and form == "labels":
        told["objects"] = int(np.count_nonzero(np.unique(target)))
    elif target is not None and form is not None:
        told["foreground"] = round(float(np.mean(target > 0)), 4)
    return told


def _text(patches: Sequence[dict[str, Any]], shape: Sequence[int], form: TargetForm | None, paired: bool) -> str:
    """Return e.g. ``9 training patches of 256×256 pixels with their labels, from 5 images: 3 to 12 objects each.``."""
    names = len({patch["image"] for patch in patches})
    beside = {None: "targets", "labels": "labels"}.get(form, "masks")
    text = f"{len(patches)} training patches of {'×'.join(map(str, shape))} pixels"
    text += f" with their {beside}" if paired else ""
    text += f", from {names} image{'s' * (names != 1)}"
    if form == "labels":
        counts = [patch["objects"] for patch in patches]
        text += f": {min(counts)} to {max(counts)} objects each"
    elif form is not None:
        shares = [100 * patch["foreground"] for patch in patches]
        text += f": {min(shares):.0f} to {max(shares):.0f} % foreground each"
    return f"{text}."
