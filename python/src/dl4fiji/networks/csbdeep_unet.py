"""What is known of csbdeep's U-Net (`csbdeep.internals.blocks.unet_block`) without building it.

CARE and Noise2Void (`n2v.nets.unet_blocks.unet_block`) share it: two convolutions per level on the way down and up,
two at the bottom, pooling and upsampling by 2 along every spatial axis. Checks of options, which other U-Nets have
too, are here as well.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator

from dl4fiji.network import Footprint
from dl4fiji.options import Size
from dl4fiji.schedule import Plateau, Schedule


def check_dimensions(size: tuple[int, ...], axes: str, example: str) -> tuple[int, ...]:
    """Return ``size`` (pixels along ``axes``), one number meaning all axes of a plane; ValueError otherwise."""
    if len(size) == 1 and axes == "YX":
        return size * 2
    if len(size) != len(axes):
        raise ValueError(f"it needs {len(axes)} numbers, for {', '.join(axes)}, such as {example}")
    return size


def check_odd(value: int) -> int:
    """Return the side of a kernel; ValueError if it is even."""
    if value % 2 == 0:
        raise ValueError(f"kernels have an odd side, such as {value - 1} or {value + 1}")
    return value


def check_percentiles(low: float, high: float) -> None:
    """Raise ValueError unless the options ``percentile_low`` and ``percentile_high`` are in this order."""
    if low >= high:
        raise ValueError(f"percentile_low ({low:g}) must lie below percentile_high ({high:g})")


OddSide = Annotated[int, AfterValidator(check_odd)]
"""Side of a kernel."""

PlaneSize = Annotated[Size, AfterValidator(lambda size: check_dimensions(size, "YX", "128x128"))]
"""Pixels along Y and X; one number means both."""

VolumeSize = Annotated[Size, AfterValidator(lambda size: check_dimensions(size, "ZYX", "16x64x64"))]
"""Pixels along Z, Y and X."""


def check_multiples(size: tuple[int, ...], depth: int) -> None:
    """Raise ValueError, naming a size that fits, unless patches of ``size`` can be halved ``depth`` times."""
    step = 2**depth
    if any(length % step or length == 0 for length in size):
        fitting = "x".join(str(max(step, round(length / step) * step)) for length in size)
        given = "x".join(map(str, size))
        raise ValueError(
            f"with depth {depth} the sides of patch_size must be multiples of {step}, so take {fitting} in place "
            f"of {given}"
        )


def halo(depth: int, kernel_size: int) -> int:
    """Return the receptive field's radius, rounded up to the divisor so that tiles keep the pooling grid.

    On level n, of scale 2^n, there are two convolutions on the way down and two on the way up, and two
    at the bottom; a pooling and the upsampling that undoes it shift by up to 2^(n+1) - 1 pixels in all.
    """
    radius, step = kernel_size // 2, 2**depth
    reach = 2 * radius * step + sum(4 * radius * 2**level for level in range(depth)) + step - 1
    return -(-reach // step) * step


class CsbdeepUNet:
    """What networks built on csbdeep's U-Net have in common; see `dl4fiji.network.Network` for the contracts.

    Their options have ``depth``, ``kernel_size``, ``learning_rate`` and ``reduce_lr_patience``.
    """

    axes: str

    def schedule(self, options: Any) -> Schedule:
        """Halve the learning rate when the validation loss stays."""
        return Plateau(options.learning_rate, options.reduce_lr_patience, factor=0.5)

    def divisor(self, options: Any) -> dict[str, int]:
        """Return 2 to the number of poolings, for each spatial axis."""
        step: int = 2**options.depth
        return dict.fromkeys(self.axes.removesuffix("C"), step)

    def halo(self, options: Any) -> dict[str, int]:
        """Return the radius of the U-Net's receptive field."""
        return dict.fromkeys(self.axes.removesuffix("C"), halo(options.depth, options.kernel_size))


def footprint(
    dimensions: int,
    depth: int,
    kernel_size: int,
    first_filters: int,
    channels_in: int,
    channels_out: int,
    *,
    heads: int = 1,
    batch_normalization: bool = False,
    narrow_way_up: bool = False,
) -> Footprint:
    """Return parameters and activations, summed layer by layer.

    Parameters
    ----------
    dimensions
        Number of spatial axes.
    heads
        Final convolutions of kernel 1, each with ``channels_out`` filters.
    batch_normalization
        Each convolution of the U-Net is followed by a normalization, which has 4 numbers per filter, and an
        activation of its own. The training keeps what goes into the one and what comes out of the other.
    narrow_way_up
        The first convolution of each level on the way up has ``first_filters`` filters, as in n2v's variant.
    """
    kernel = kernel_size**dimensions
    parameters, activations, largest = 0, 0.0, 0.0

    def convolution(before: int, after: int, level: int, size: int = kernel) -> int:
        nonlocal parameters, activations, largest
        normalized = batch_normalization and size == kernel
        pixels = 1 / 2 ** (dimensions * level)
        parameters += (size * before + 1) * after + (4 * after if normalized else 0)
        activations += after * pixels * (2 if normalized else 1)
        largest = max(largest, (before + after) * pixels)
        return after

    filters = channels_in
    for level in range(depth):
        for _ in range(2):
            filters = convolution(filters, first_filters * 2**level, level)
        activations += filters / 2 ** (dimensions * (level + 1))  # pooling
    filters = convolution(filters, first_filters * 2**depth, depth)
    filters = convolution(filters, first_filters * 2 ** max(0, depth - 1), depth)
    for level in reversed(range(depth)):
        joined = filters + first_filters * 2**level
        activations += (filters + joined) / 2 ** (dimensions * level)  # upsampling, concatenation
        filters = convolution(joined, first_filters * (1 if narrow_way_up else 2**level), level)
        filters = convolution(filters, first_filters * 2 ** max(0, level - 1), level)
    for _ in range(heads):
        convolution(filters, channels_out, 0, size=1)
    return Footprint(parameters, activations, largest)
