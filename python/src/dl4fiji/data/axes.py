"""Axes of images: ``T`` time, ``Z`` slices, ``C`` channels, ``Y`` rows, ``X`` columns."""

from __future__ import annotations

import numpy as np

from dl4fiji.errors import DataError

LETTERS = "TZCYX"
"""All axes there are, in ImageJ's order of storage. RGB samples are channels: ``C``."""

NAMES = {"T": "frames", "Z": "slices", "C": "channels", "Y": "rows", "X": "columns"}


def check_axes(axes: str, ndim: int | None = None) -> str:
    """Return ``axes`` in capitals if it describes an image of ``ndim`` dimensions (None: of any number).

    ``S``, the samples of color images, becomes ``C``.

    Raises
    ------
    DataError
        If a letter is unknown or occurs twice, if Y or X is missing, or if the number of letters is wrong.
    """
    letters = axes.strip().upper()
    letters = letters if "C" in letters else letters.replace("S", "C")
    known = "write them with the letters T Z C Y X in the order of the file, such as ZYX or TCYX"
    if not set(letters) <= set(LETTERS):
        raise DataError(f"The axes {axes!r} are not understood: {known}.")
    if len(set(letters)) != len(letters):
        raise DataError(f"The axes {axes!r} name an axis twice: {known}.")
    if not {"Y", "X"} <= set(letters):
        raise DataError(f"The axes {axes!r} lack Y or X: {known}.")
    if ndim is not None and len(letters) != ndim:
        raise DataError(f"The axes {axes!r} name {len(letters)} dimensions, but the image has {ndim}: {known}.")
    return letters


def move_axes(array: np.ndarray, from_axes: str, to_axes: str) -> np.ndarray:
    """Return a view of ``array`` (axes ``from_axes``) with the axes ``to_axes``.

    Axes that ``array`` lacks are put in with length 1; axes of length 1 that ``to_axes`` lacks are dropped.

    Raises
    ------
    DataError
        If an axis longer than 1 would be lost.
    """
    check_axes(from_axes, array.ndim)
    check_axes(to_axes)
    lost = [axis for axis in from_axes if axis not in to_axes and array.shape[from_axes.index(axis)] > 1]
    if lost:
        counts = " and ".join(f"{array.shape[from_axes.index(axis)]} {NAMES[axis]} ({axis})" for axis in lost)
        raise DataError(f"An image with the axes {from_axes} has {counts}, where {to_axes} is expected: choose one.")
    array = array[tuple(slice(None) if axis in to_axes else 0 for axis in from_axes)]
    kept = [axis for axis in from_axes if axis in to_axes]
    array = array.transpose([kept.index(axis) for axis in to_axes if axis in kept])
    return array[tuple(slice(None) if axis in kept else np.newaxis for axis in to_axes)]
