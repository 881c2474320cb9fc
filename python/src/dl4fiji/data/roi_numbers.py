"""Which outlines are one object, and of which class they are: by their groups and names in ImageJ."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from dl4fiji.data.roi_shapes import Area

if TYPE_CHECKING:
    from dl4fiji.data.rois import Outline

_DEFAULT_NAME = re.compile(r"(overlay )?\d+(-\d+)*")
"""Names that ImageJ gives: slice, row and column, such as 0012-0345-0067."""

_SLICE_NAME = re.compile(r"(.+)-z\d+", re.IGNORECASE)
"""Names of our own results in volumes: one outline per slice."""

_NUMBERED = re.compile(r"(.+)-\d+")
"""The ROI Manager makes equal names different by -1, -2, …"""

_JOINED_SHARE = 0.5
"""Outlines of neighboring slices that share half of the smaller one are taken for one object."""


def number_objects(outlines: Sequence[Outline]) -> tuple[list[int], bool]:
    """Return the number of the object that each outline belongs to, and whether overlap alone told that of some.

    Outlines of one object have the same name (but for ``-z7`` or what the ROI Manager appends), or the same group,
    unless a group has several outlines in one slice, and so is a class. Where neither joins any outlines, those of
    neighboring slices that share half of their area are joined.
    """
    keys = _names(outlines)
    groups = {outline.group for outline in outlines if outline.group} - _classes(outlines)
    for index, outline in enumerate(outlines):
        if outline.group in groups:
            keys[index] = f"group {outline.group}"
    several = {place[1] for place in (outline.place for outline in outlines)} - {None}
    joined = False
    if len(set(keys)) == len(keys) and len(several) > 1:
        roots = _join(outlines)
        joined = len(set(roots)) < len(roots)
        keys = [f"object {root}" for root in roots]
    order = {key: number for number, key in enumerate(dict.fromkeys(keys), 1)}
    return [order[key] for key in keys], joined


def class_of(outline: Outline) -> str:
    """Return the class of an outline: its group, or else its name without numbers; empty if it has neither."""
    if outline.group:
        return f"group {outline.group}"
    if _DEFAULT_NAME.fullmatch(outline.name):
        return ""
    name = re.sub(r"^t\d+-", "", outline.name)
    return re.split(r"[\s_.-]*\d", name)[0].strip()


def class_numbers(outlines: Iterable[Outline]) -> dict[str, int]:
    """Return a number from 1 on for each class: groups have their own, names one in alphabetical order."""
    names = {class_of(outline) for outline in outlines}
    numbers = {name: int(name.removeprefix("group ")) for name in names if name.startswith("group ")}
    free = max(numbers.values(), default=0)
    return numbers | {name: free + rank for rank, name in enumerate(sorted(names - set(numbers)), 1)}


def _names(outlines: Sequence[Outline]) -> list[str]:
    """Return a key per outline; equal keys are equal names."""
    known = {outline.name for outline in outlines}
    keys = []
    for index, outline in enumerate(outlines):
        name = outline.name
        sliced, numbered = _SLICE_NAME.fullmatch(name), _NUMBERED.fullmatch(name)
        if _DEFAULT_NAME.fullmatch(name):
            name = f"outline {index}"
        elif sliced:
            name = sliced[1]
        elif numbered and numbered[1] in known:
            name = numbered[1]
        keys.append(f"name {name}")
    return keys


def _classes(outlines: Sequence[Outline]) -> set[int]:
    """Return groups that have several outlines in one slice."""
    counts = Counter((outline.group, outline.place) for outline in outlines)
    return {group for (group, _), count in counts.items() if count > 1}


def _join(outlines: Sequence[Outline]) -> list[int]:
    """Return for each outline the first one of its object, found by overlap from slice to slice."""
    roots = list(range(len(outlines)))
    by_slice: dict[tuple[int | None, int | None], list[int]] = {}
    for index, outline in enumerate(outlines):
        by_slice.setdefault(outline.place, []).append(index)
    for (frame, number), here in sorted(
        by_slice.items(), key=lambda item: tuple(-1 if p is None else p for p in item[0])
    ):
        below = by_slice.get((frame, number + 1), []) if number is not None else []
        for index in below:
            shares = [overlap_share(outlines[index].area, outlines[other].area) for other in here]
            best = int(np.argmax(shares))
            if shares[best] >= _JOINED_SHARE:
                roots[index] = roots[here[best]]
    return roots


def overlap(first: Area, second: Area) -> int:
    """Return how many pixels two areas share."""
    y, x = max(first.y, second.y), max(first.x, second.x)
    bottom = min(first.y + first.mask.shape[0], second.y + second.mask.shape[0])
    right = min(first.x + first.mask.shape[1], second.x + second.mask.shape[1])
    if y >= bottom or x >= right:
        return 0
    one, other = (area.mask[y - area.y : bottom - area.y, x - area.x : right - area.x] for area in (first, second))
    return int(np.count_nonzero(one & other))


def overlap_share(first: Area, second: Area) -> float:
    """Return how much of the smaller area lies within the other."""
    smaller = min(np.count_nonzero(first.mask), np.count_nonzero(second.mask))
    return overlap(first, second) / smaller
