"""Normalisation: one definition for training, validation, prediction, export and Fiji."""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict

EPSILON = 1e-6
"""Added to the range, as DeepImageJ's ``scale_range`` does."""


class Scale(BaseModel):
    """A linear map per channel: ``(x - offset) / scale``. Channels are the last axis."""

    model_config = ConfigDict(frozen=True)

    offset: tuple[float, ...]
    scale: tuple[float, ...]

    def apply(self, image: np.ndarray) -> np.ndarray:
        """Normalise ``image`` (…C) to float32."""
        offset, scale = (np.asarray(values, np.float32) for values in (self.offset, self.scale))
        return (image.astype(np.float32) - offset) / scale

    def undo(self, image: np.ndarray) -> np.ndarray:
        """Return normalised values (…C) to the image's units."""
        offset, scale = (np.asarray(values, np.float32) for values in (self.offset, self.scale))
        return image * scale + offset


class PercentileNormalization(BaseModel):
    """Percentiles of each image and channel to 0 and 1.

    The percentile is ``sorted[int(n · p)]`` without interpolation, the definition of DeepImageJ's
    ``scale_range``, so that Fiji and Python agree to float precision.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["percentile"] = "percentile"
    low: float = 2.0
    high: float = 99.8


class FixedNormalization(BaseModel):
    """Mean and standard deviation per channel of the training data, for all images alike."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["fixed"] = "fixed"
    mean: tuple[float, ...]
    std: tuple[float, ...]


class ZScoreNormalization(BaseModel):
    """Each image and channel to mean 0 and standard deviation 1."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["zscore"] = "zscore"


Normalization = PercentileNormalization | FixedNormalization | ZScoreNormalization
