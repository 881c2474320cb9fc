"""What is known of StarDist's networks without building them: how far they look, and how large they are.

stardist puts convolutions and poolings before its backbone until the grid is reached (`StarDist2D._build`,
`StarDist3D._build_unet`), then csbdeep's U-Net with two convolutions per level, or residual blocks of three
convolutions of which the first ones have strides (`StarDist3D._build_resnet`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from dl4fiji.network import Footprint

_FIRST_KERNELS = (7, 3)
"""Sides of the kernels before the residual blocks."""


@dataclass(frozen=True)
class Shape:
    """The shape of one of StarDist's networks.

    Parameters
    ----------
    grid
        Pixels per place at which the network predicts, along each spatial axis; powers of 2.
    rays
        Distances per place.
    depth
        Poolings of the U-Net, or residual blocks.
    kernel_size, first_filters
        Side of the kernels, filters of the first level.
    features
        Filters of the convolution before the outputs; 0: there is none.
    residual
        The backbone consists of residual blocks.
    """

    grid: tuple[int, ...]
    rays: int
    depth: int
    kernel_size: int
    first_filters: int
    features: int
    residual: bool = False

    @property
    def divisor(self) -> tuple[int, ...]:
        """What sizes must be multiples of."""
        return self.grid if self.residual else tuple(side * 2**self.depth for side in self.grid)

    def scales(self) -> Iterator[tuple[tuple[int, ...], tuple[int, ...]]]:
        """Yield the scale before and after each step towards the grid, as stardist pools."""
        scale = (1,) * len(self.grid)
        while scale != self.grid:
            before = scale
            scale = tuple(side * 2 if side < wanted else side for side, wanted in zip(scale, self.grid, strict=True))
            yield before, scale

    def reach(self) -> tuple[int, ...]:
        """Return per axis how many pixels away a pixel may be that changes a result."""
        return self._residual_reach() if self.residual else self._unet_reach()

    def sight(self) -> tuple[int, ...]:
        """Return per axis how many pixels away the network sees wherever a pixel lies on the grid of its poolings."""
        return tuple(far - step + 1 for far, step in zip(self.reach(), self.divisor, strict=True))

    def halo(self) -> tuple[int, ...]:
        """Return `reach`, rounded up to the divisor so that tiles keep the grid."""
        return tuple(-(-far // step) * step for far, step in zip(self.reach(), self.divisor, strict=True))

    def _unet_reach(self) -> tuple[int, ...]:
        """Sum the radii of the kernels on their scales; poolings and upsamplings shift by divisor - 1 pixels in all."""
        radius, levels = self.kernel_size // 2, range(self.depth)
        of_grid = radius * (2 * 2**self.depth + sum(4 * 2**level for level in levels) + (1 if self.features else 0))
        before = [sum(2 * radius * scale[axis] for scale, _ in self.scales()) for axis in range(len(self.grid))]
        return tuple(
            first + of_grid * side + step - 1 for first, side, step in zip(before, self.grid, self.divisor, strict=True)
        )

    def _residual_reach(self) -> tuple[int, ...]:
        """Sum the kernels' radii; one with strides looks ahead by up to its side less one."""
        radius, steps = self.kernel_size // 2, list(self.scales())[: self.depth]
        steps += [(self.grid, self.grid)] * (self.depth - len(steps))
        reach = []
        for axis, side in enumerate(self.grid):
            far = sum(kernel // 2 for kernel in _FIRST_KERNELS)
            for before, after in steps:
                far += (self.kernel_size - 1) * before[axis] if before != after else radius * before[axis]
                far += 2 * radius * after[axis]
            reach.append(far + (radius * side if self.features else 0) + side - 1)
        return tuple(reach)

    def footprint(self, channels_in: int) -> Footprint:
        """Return parameters and activations of the training, which ends at the grid, summed layer by layer."""
        count = _Count(len(self.grid), self.kernel_size)
        filters = self._count_residual(count, channels_in) if self.residual else self._count_unet(count, channels_in)
        if self.features:
            filters = count.convolution(filters, self.features, self.grid)
        count.convolution(filters, 1, self.grid, 1)
        count.convolution(filters, self.rays, self.grid, 1)
        return count.footprint()

    def _count_unet(self, count: _Count, channels_in: int) -> int:
        filters, first, grid = channels_in, self.first_filters, self.grid
        for before, after in self.scales():
            for _ in range(2):
                filters = count.convolution(filters, first, before)
            count.keep(filters, after)
        sides = [tuple(side * 2**level for side in grid) for level in range(self.depth + 1)]
        for level in range(self.depth):
            for _ in range(2):
                filters = count.convolution(filters, first * 2**level, sides[level])
            count.keep(filters, sides[level + 1])
        filters = count.convolution(filters, first * 2**self.depth, sides[-1])
        filters = count.convolution(filters, first * 2 ** max(0, self.depth - 1), sides[-1])
        for level in reversed(range(self.depth)):
            joined = filters + first * 2**level
            count.keep(filters + joined, sides[level])
            filters = count.convolution(joined, first * 2**level, sides[level])
            filters = count.convolution(filters, first * 2 ** max(0, level - 1), sides[level])
        return filters

    def _count_residual(self, count: _Count, channels_in: int) -> int:
        ones = (1,) * len(self.grid)
        filters, width = channels_in, self.first_filters
        for kernel in _FIRST_KERNELS:
            filters = count.convolution(filters, width, ones, kernel)
        steps = list(self.scales())[: self.depth]
        for number in range(self.depth):
            before, after = steps[number] if number < len(steps) else (self.grid, self.grid)
            width *= 2 if before != after else 1
            inner = count.convolution(filters, width, after)
            for _ in range(2):
                inner = count.convolution(inner, width, after)
            if before != after or width != filters:
                count.convolution(filters, width, after, 1)
            count.keep(4 * width, after)  # the sum and three activations
            filters = inner
        return filters


def places(size: Sequence[int], grid: Sequence[int]) -> tuple[int, ...]:
    """Return at how many places along each axis a network with this grid predicts for a patch of ``size``."""
    return tuple(-(-length // side) for length, side in zip(size, grid, strict=True))


class _Count:
    """Adds up parameters and activations."""

    def __init__(self, dimensions: int, kernel_size: int) -> None:
        self._dimensions, self._kernel_size = dimensions, kernel_size
        self._parameters, self._activations, self._largest = 0, 0.0, 0.0

    def convolution(self, before: int, after: int, scale: Sequence[int], side: int = 0) -> int:
        """Count a convolution from ``before`` to ``after`` channels whose result has ``scale``; return ``after``."""
        self._parameters += ((side or self._kernel_size) ** self._dimensions * before + 1) * after
        self._largest = max(self._largest, (before + after) / math.prod(scale))
        self.keep(after, scale)
        return after

    def keep(self, channels: int, scale: Sequence[int]) -> None:
        """Count what a layer without weights puts out."""
        self._activations += channels / math.prod(scale)

    def footprint(self) -> Footprint:
        """Return the sums."""
        return Footprint(self._parameters, self._activations, self._largest)
