"""The size of training patches, as a network asks for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from dl4fiji.errors import OptionError


def check_patch_size(size: Sequence[int], spatial_axes: str, divisor: Mapping[str, int]) -> tuple[int, ...]:
    """Return the patch size along ``spatial_axes``; a single number holds for all axes of a plane.

    Raises
    ------
    OptionError
        If the number of values is wrong or one is no multiple of the network's divisor; it names the nearest size.
    """
    if len(size) == 1 and spatial_axes == "YX":
        size = (*size, *size)
    given = "x".join(map(str, size))
    if len(size) != len(spatial_axes):
        example = "16x64x64" if "Z" in spatial_axes else "128x128"
        raise OptionError(
            f"The option 'patch_size' is {given!r} but must be {len(spatial_axes)} numbers, for "
            f"{', '.join(spatial_axes)}, such as {example}."
        )
    steps = [divisor.get(axis, 1) for axis in spatial_axes]
    fitting = [max(step, round(n / step) * step) for n, step in zip(size, steps, strict=True)]
    if list(size) != fitting:
        raise OptionError(
            f"The option 'patch_size' is {given!r} but must be a multiple of {'x'.join(map(str, steps))}: "
            f"take {'x'.join(map(str, fitting))}."
        )
    return tuple(size)
