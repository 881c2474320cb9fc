"""What may be wrong with the objects of label images: one sentence each, naming the file and the remedy."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from dl4fiji.data.object_size import ObjectSize
from dl4fiji.data.objects import Objects

FEW = 50
"""So few objects make results that depend on chance."""

_LARGE = 8
"""So many times the median area (volume) of an image look like objects that were merged."""

_SPECK = 0.02
"""Objects below this share of the median are rather left-over pixels."""

_SMALL_DIAMETER = 8
"""Below so many pixels across, shapes can hardly be told."""

_ENOUGH = 10
"""From so many objects on their median means something."""

_CORNER = 0.5
"""Objects that cover less than this share of the image along both Y and X lie in a corner."""


def suspicions(measured: Sequence[Objects], size: ObjectSize, *, complete: bool) -> Iterator[str]:
    """Yield what the user should know about the objects.

    Parameters
    ----------
    measured
        The objects of all images that were looked at.
    size
        Their sizes.
    complete
        Whether these are all images of the training.
    """
    yield from _pieces(measured)
    yield from _odd_sizes(measured, "pixels" if len(size.axes) == 2 else "voxels")
    yield from _corner(measured)
    if size.diameter < _SMALL_DIAMETER:
        yield (
            f"The objects are small, with a median diameter of {size.diameter:.1f} pixels: networks tell them apart "
            "better when images and labels are scaled up in Fiji (Image ▸ Scale…, for labels without interpolation)."
        )
    if size.count >= _ENOUGH and len(size.axes) == 2 and 2 * size.at_border > size.count:
        yield (
            f"{size.at_border} of {size.count} objects touch the border, so the network sees few whole ones: "
            "take larger images if there are any."
        )
    if complete and size.count < FEW:
        yield (
            f"There {'is' if size.count == 1 else 'are'} only {size.count} object{'s' * (size.count != 1)}, and what "
            "is learned from so few depends on chance: label some hundred if you can, or start from a trained model."
        )
    if complete and len({objects.name for objects in measured}) == 1:
        yield (
            "There is only one image with labels, so training and validation see parts of the same: "
            "label a second one, and the figures will tell more."
        )


def narrow_patch(size: ObjectSize, patch_size: Sequence[int]) -> list[str]:
    """Return that patches are too small to show objects whole, if they are."""
    if len(patch_size) != len(size.axes) or patch_size == size.patch_size:
        return []
    if all(2 * side <= patch for side, patch in zip(size.extents, patch_size, strict=True)):
        return []
    sides = "×".join(f"{side:.0f}" for side in size.extents)
    return [
        f"Patches of {'×'.join(map(str, patch_size))} pixels show few objects whole, since these measure {sides} "
        f"(median): set patch_size to {'x'.join(map(str, size.patch_size))}."
    ]


def _pieces(measured: Sequence[Objects]) -> Iterator[str]:
    """Tell of labels in several separate areas: distinct objects of one number, or stray pixels."""
    found = [(objects, row) for objects in measured for row in np.flatnonzero(objects.pieces > 1)]
    if not found:
        return
    objects, row = max(found, key=lambda one: one[0].pieces[one[1]])
    others = len(found) - 1
    more = f", and so {'is one more label' if others == 1 else f'are {others} more labels'}" if others else ""
    yield (
        f"Label {objects.labels[row]} of {objects.name} is in {objects.pieces[row]} separate pieces{more}: "
        "give objects a number each (in Fiji by Plugins ▸ MorphoLibJ ▸ Binary Images ▸ Connected Components Labeling), "
        "and erase stray pixels."
    )


def _odd_sizes(measured: Sequence[Objects], unit: str) -> Iterator[str]:
    """Tell of objects that are far larger or smaller than the others of their image."""
    many = [(objects, float(np.median(objects.pixels))) for objects in measured if len(objects) >= _ENOUGH]
    total = sum(len(objects) for objects, _ in many)
    large = [
        (objects, row, objects.pixels[row] / median)
        for objects, median in many
        for row in np.flatnonzero(objects.pixels > _LARGE * median)
    ]
    if large:
        objects, row, factor = max(large, key=lambda one: one[2])
        some = "objects is" if len(large) == 1 else "objects are"
        yield (
            f"{len(large)} of {total} {some} more than {_LARGE} times larger than usual in their image, such as label "
            f"{objects.labels[row]} of {objects.name}, {factor:.0f} times: check whether objects that touch were "
            "merged there."
        )
    specks = [
        (objects, row, objects.pixels[row])
        for objects, median in many
        for row in np.flatnonzero(objects.pixels < _SPECK * median)
    ]
    if specks:
        objects, row, count = min(specks, key=lambda one: one[2])
        some = "objects is" if len(specks) == 1 else "objects are"
        yield (
            f"{len(specks)} of {total} {some} smaller than {_SPECK:.0%} of what is usual in their image, such as label "
            f"{objects.labels[row]} of {objects.name} with {count} {unit if count > 1 else unit[:-1]}: "
            "erase what is no object."
        )


def _corner(measured: Sequence[Objects]) -> Iterator[str]:
    """Tell of images that are labeled in one part only: the rest would be learned as background."""
    partly = [o for o in measured if len(o) >= _ENOUGH // 2 and max(o.covered[-2:]) < _CORNER]
    if not partly:
        return
    rows, columns = (round(100 * share) for share in partly[0].covered[-2:])
    more = f" The same holds for {len(partly) - 1} more." if len(partly) > 1 else ""
    yield (
        f"The labels of {partly[0].name} lie in one part of it only ({columns} % of its width, {rows} % of its "
        "height), and what is unlabeled is learned as background: label the rest, too, or crop the image to that "
        f"part.{more}"
    )
