"""The options of StarDist 2D and 3D, and what is left to the data in them."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, PlainSerializer, field_validator, model_validator

from dl4fiji.networks.csbdeep_unet import check_dimensions, check_odd
from dl4fiji.networks.stardist_size import Shape
from dl4fiji.options import Size, TrainingOptions, option, parse_size

FROM_DATA = (0,)
"""Value of ``grid`` and ``anisotropy`` that leaves them to the data."""

LARGEST_GRID = 16

DistanceLoss = Literal["mae", "mse", "iou"]
Backbone = Literal["unet", "resnet"]


def _parse_grid(value: Any) -> Any:
    """Turn ``""`` and ``"0"`` into `FROM_DATA`, and all else into a size."""
    size = parse_size(value.strip() or "0" if isinstance(value, str) else value)
    return FROM_DATA if isinstance(size, tuple | list) and not any(size) else size


def _parse_factors(value: Any) -> Any:
    """Turn ``"2.2x1x1"``, ``"2.2, 1, 1"`` or a list into numbers; nothing and 0 into `FROM_DATA`."""
    if isinstance(value, str):
        parts = [part for part in re.split(r"[x×,;\s]+", value.strip()) if part]
        try:
            value = tuple(float(part) for part in parts)
        except ValueError:
            raise ValueError("write it as numbers such as 2.2x1x1") from None
    if isinstance(value, int | float) and not isinstance(value, bool):
        value = (value,)
    return FROM_DATA if isinstance(value, tuple | list) and not any(value) else value


Grid = Annotated[
    tuple[int, ...],
    BeforeValidator(_parse_grid, json_schema_input_type=str),
    PlainSerializer(lambda grid: "x".join(map(str, grid)), return_type=str),
]
"""Pixels per place along the spatial axes, powers of 2; written as ``1x2x2``, or ``0`` for `FROM_DATA`."""

Factors = Annotated[
    tuple[float, ...],
    BeforeValidator(_parse_factors, json_schema_input_type=str),
    PlainSerializer(lambda factors: "x".join(f"{factor:g}" for factor in factors), return_type=str),
]
"""A number per spatial axis; written as ``2.2x1x1``, or ``0`` for `FROM_DATA`."""


class StarDistOptions(TrainingOptions):
    """Options that StarDist 2D and 3D share; limits keep the network buildable."""

    learning_rate: float = option(3e-4, "Step width of the optimiser at the start.", gt=0, le=1)
    augmentation: bool = option(True, "Vary the patches by flips, quarter turns and intensity.")
    patches_per_image: int = option(16, "Patches drawn from each image per epoch.", ge=1, le=1_000_000)
    rays: int = option(32, "Directions in which the distance to an object's edge is predicted.", ge=4, le=256)
    grid: Grid = option(
        FROM_DATA,
        "The network predicts at every so many pixels along Y and X, 2x2 say; 0 takes it from the objects' size.",
        unit="pixels",
    )
    reduce_lr_patience: int = option(
        40, "Halve the learning rate after so many epochs without a better validation loss; 0 never does.",
        ge=0, le=100_000, unit="epochs", advanced=True,
    )  # fmt: skip
    foreground_percent: int = option(
        90, "At least this share of the patches shows objects near its center.",
        ge=0, le=100, unit="%", advanced=True,
    )  # fmt: skip
    distance_loss: DistanceLoss = option(
        "mae", "How distances are judged: mean absolute or squared error, or overlap (IoU).", advanced=True
    )
    probability_weight: float = option(
        1.0, "Weight of the error of the object probabilities.", gt=0, le=1000, advanced=True
    )
    distance_weight: float = option(0.2, "Weight of the error of the distances.", gt=0, le=1000, advanced=True)
    background_regularization: float = option(
        1e-4, "How strongly distances outside of objects are drawn to 0.", ge=0, le=1, advanced=True
    )
    percentile_low: float = option(
        1.0, "This percentile of an image becomes 0 for the network.", ge=0, le=100, unit="%", advanced=True
    )
    percentile_high: float = option(
        99.8, "This percentile of an image becomes 1 for the network.", ge=0, le=100, unit="%", advanced=True
    )
    depth: int = option(3, "Poolings of the U-Net; more see larger objects.", ge=1, le=6, advanced=True)
    kernel_size: int = option(
        3, "Side of the convolution kernels, an odd number.", ge=3, le=11, unit="pixels", advanced=True
    )
    first_filters: int = option(
        32, "Convolution filters of the first level, doubled at each further level.", ge=1, le=512, advanced=True
    )
    feature_filters: int = option(
        128, "Filters of the convolution before the outputs; 0 leaves it out.", ge=0, le=1024, advanced=True
    )

    @field_validator("kernel_size")
    @classmethod
    def _odd(cls, value: int) -> int:
        return check_odd(value)

    @field_validator("grid")
    @classmethod
    def _powers(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if value != FROM_DATA and any(side not in (1, 2, 4, 8, LARGEST_GRID) for side in value):
            raise ValueError(f"its numbers must be powers of 2 up to {LARGEST_GRID}, or 0 to let the data decide")
        return value

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.percentile_low >= self.percentile_high:
            raise ValueError(
                f"percentile_low ({self.percentile_low:g}) must lie below percentile_high ({self.percentile_high:g})"
            )
        shape = shape_of(self)
        if self.grid == FROM_DATA:  # a grid that suits the patches is chosen then
            shape = replace(shape, grid=(1,) * len(self.patch_size))
        steps = shape.divisor
        if any(length % step or length == 0 for length, step in zip(self.patch_size, steps, strict=True)):
            fitting = [max(s, round(length / s) * s) for length, s in zip(self.patch_size, steps, strict=True)]
            raise ValueError(
                f"patch_size {_text(self.patch_size)} must be a multiple of {_text(steps)}, what grid and depth ask "
                f"for, so take {_text(fitting)}"
            )
        return self


class StarDist2DOptions(StarDistOptions):
    """Options of StarDist 2D."""

    epochs: int = option(400, "How often the training goes through its patches.", ge=1, le=100_000)
    patch_size: Size = option((256, 256), "Size of a training patch along Y and X.", unit="pixels")
    batch_size: int = option(4, "Patches that the network sees at a time; less needs less memory.", ge=1, le=4096)

    @field_validator("patch_size")
    @classmethod
    def _two_numbers(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        return check_dimensions(value, "YX", "256x256")

    @field_validator("grid")
    @classmethod
    def _two_sides(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        return value if value == FROM_DATA else check_dimensions(value, "YX", "2x2")


class StarDist3DOptions(StarDistOptions):
    """Options of StarDist 3D."""

    epochs: int = option(200, "How often the training goes through its patches.", ge=1, le=100_000)
    patch_size: Size = option((48, 96, 96), "Size of a training patch along Z, Y and X.", unit="pixels")
    batch_size: int = option(2, "Patches that the network sees at a time; less needs less memory.", ge=1, le=4096)
    rays: int = option(96, "Directions in which the distance to an object's edge is predicted.", ge=8, le=512)
    grid: Grid = option(
        FROM_DATA,
        "The network predicts at every so many pixels along Z, Y and X, 1x2x2 say; 0 takes it from the objects' size.",
        unit="pixels",
    )
    anisotropy: Factors = option(
        FROM_DATA,
        "How many times shorter than along the longest axis objects look in pixels along Z, Y and X, 2x1x1 say; "
        "0 measures the objects.",
    )
    backbone: Backbone = option(
        "unet", "What the network consists of: a U-Net, or residual blocks, which see less far.", advanced=True
    )
    depth: int = option(2, "Poolings of the U-Net; more see larger objects.", ge=1, le=5, advanced=True)
    blocks: int = option(4, "Residual blocks, if the backbone is resnet.", ge=1, le=16, advanced=True)

    @field_validator("patch_size")
    @classmethod
    def _three_numbers(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        return check_dimensions(value, "ZYX", "48x96x96")

    @field_validator("grid")
    @classmethod
    def _three_sides(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        return value if value == FROM_DATA else check_dimensions(value, "ZYX", "1x2x2")

    @field_validator("anisotropy")
    @classmethod
    def _three_factors(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        if value == FROM_DATA:
            return value
        if len(value) != 3 or not all(math.isfinite(factor) and 0.01 <= factor <= 100 for factor in value):
            raise ValueError("it needs 3 numbers from 0.01 to 100, for Z, Y, X, such as 2x1x1, or 0")
        return value

    @model_validator(mode="after")
    def _enough_blocks(self) -> Self:
        needed = max(grid_of(self)).bit_length() - 1
        if self.backbone == "resnet" and self.blocks < needed:
            raise ValueError(f"grid {_text(self.grid)} needs at least {needed} blocks, so raise blocks")
        return self


def grid_of(options: Any) -> tuple[int, ...]:
    """Return the grid; 2 along Y and X, and 1 along Z, as long as it is left to the data."""
    if options.grid != FROM_DATA:
        return tuple(options.grid)
    return (1,) * (len(options.patch_size) - 2) + (2, 2)


def anisotropy_of(options: StarDist3DOptions) -> tuple[float, ...]:
    """Return the anisotropy; 1 as long as it is left to the data."""
    return (1.0, 1.0, 1.0) if options.anisotropy == FROM_DATA else options.anisotropy


def shape_of(options: Any) -> Shape:
    """Return the shape of the network that the options describe."""
    residual = getattr(options, "backbone", "unet") == "resnet"
    return Shape(
        grid_of(options), options.rays, options.blocks if residual else options.depth, options.kernel_size,
        options.first_filters, options.feature_filters, residual,
    )  # fmt: skip


def settle(options: Any, grid: Sequence[int], anisotropy: Sequence[float]) -> Any:
    """Return the options with grid and anisotropy filled in where they are left to the data.

    Parameters
    ----------
    options
        Of StarDist 2D or 3D.
    grid, anisotropy
        What the objects' size suggests, per spatial axis. The grid is halved until the patches are multiples of what
        the network then asks for.
    """
    found: dict[str, Any] = {}
    if options.grid == FROM_DATA:
        shape = replace(shape_of(options), grid=tuple(grid))
        while any(length % step for length, step in zip(options.patch_size, shape.divisor, strict=True)):
            off = [length % step > 0 for length, step in zip(options.patch_size, shape.divisor, strict=True)]
            halved = (side // 2 if wrong else side for side, wrong in zip(shape.grid, off, strict=True))
            shape = replace(shape, grid=tuple(halved))
        found["grid"] = shape.grid
    if getattr(options, "anisotropy", None) == FROM_DATA:
        found["anisotropy"] = tuple(float(factor) for factor in anisotropy)
    return options.model_copy(update=found)


def too_large(options: Any, axes: str, extents: Sequence[float]) -> list[str]:
    """Return a warning if objects of ``extents`` (pixels along ``axes``) exceed what the network sees at a time."""
    sight = shape_of(options).sight()
    if all(side <= far for side, far in zip(extents, sight, strict=True)):
        return []
    grid = [
        side * 2 if extent > far else side for side, extent, far in zip(grid_of(options), extents, sight, strict=True)
    ]
    return [
        f"The objects measure {'×'.join(f'{side:.0f}' for side in extents)} pixels along {', '.join(axes)} (median), "
        f"more than the {'×'.join(map(str, sight))} that the network sees to each side of a pixel: "
        f"take a grid of {_text(grid)}, a depth above {options.depth}, or smaller images."
    ]


def _text(numbers: Any) -> str:
    return "x".join(map(str, numbers))
