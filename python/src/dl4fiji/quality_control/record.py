"""What a training keeps for its report, beside the model's description: ``record.json``."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Role = Literal["training", "validation", "both"]


class _Kept(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class FileRecord(_Kept):
    """A file that was trained on."""

    name: str
    bytes: int = 0
    sha256: str = ""
    """Empty where the data are so large that no checksums were taken."""


class ImageRecord(_Kept):
    """A training or validation image."""

    name: str
    role: Role
    """``both``: frames or regions of it are in training and in validation."""
    axes: str
    shape: tuple[int, ...]
    type: str
    """Type of its pixels, e.g. ``uint16``."""
    source: FileRecord
    target: FileRecord | None = None
    saturated: float | None = None
    """Share of its pixels that are clipped at the brightest value, see `saturated_share`; None: not looked at."""


class Likeness(_Kept):
    """A validation image that is like a training image."""

    training: str
    validation: str
    kind: Literal["identical", "same truth", "alike"]
    """``same truth``: the targets have the same pixels; ``alike``: the images show the same structures."""
    correlation: float = 1.0
    """Of both images, thinned, without what is as large as the image."""


class ExampleRecord(_Kept):
    """An example image; its panels are in ``examples.npz`` under ``<number>.<panel>``."""

    name: str
    reason: str = ""
    """Why it was chosen, e.g. ``the worst of 12 by SSIM``."""
    slice: int | None = None
    """Number from 1 of the slice that is shown of a volume."""
    slices: int = 1
    panels: tuple[str, ...] = ()


class Record(_Kept):
    """All of ``record.json``."""

    images: tuple[ImageRecord, ...] = ()
    likenesses: tuple[Likeness, ...] = ()
    compared: tuple[int, int] = (0, 0)
    """How many training and validation samples were compared with one another."""
    fields: int = 0
    """How many different fields of view the validation images show, by their truth; 0: not known."""
    examples: tuple[ExampleRecord, ...] = Field(default_factory=tuple)
