"""What running a trained network needs beside its weights."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dl4fiji.data.masks import FOREGROUND, classify
from dl4fiji.data.normalization import Normalization
from dl4fiji.model import ModelInfo
from dl4fiji.network import Output
from dl4fiji.networks import get
from dl4fiji.options import check_options


@dataclass(frozen=True)
class Recipe:
    """How images go into a network and what comes out.

    Parameters
    ----------
    axes
        Axes of one sample, channels last: ``YXC`` or ``ZYXC``.
    channels_in, channels_out
        Channels of the input and of each output.
    normalization
        What is done to an image before it enters the network.
    divisor
        Per spatial axis, what the input's size must be a multiple of.
    halo
        Per spatial axis, how many pixels at a tile's border are not to be trusted; multiples of the divisor.
    outputs
        Which channels of the Keras model are which output, the main output first.
    image_units
        Whether outputs return to the units of the input: images in, images of the same channels out.
    threshold
        Segmentation: a pixel is background where the probability of all else is below this.
    classes
        Segmentation: the value of each class in masks, background first; empty for other tasks.
    """

    axes: str
    channels_in: int
    channels_out: int
    normalization: Normalization
    divisor: tuple[int, ...]
    halo: tuple[int, ...]
    outputs: tuple[Output, ...]
    image_units: bool
    threshold: float = 0.5
    classes: tuple[int, ...] = ()

    @classmethod
    def of(cls, info: ModelInfo) -> Recipe:
        """Return the recipe of a trained model."""
        network = get(info.network)
        options = check_options(network.Options, info.options, network.title)
        segments = network.task == "segmentation"
        outputs = tuple(network.outputs(options, info.channels_out))
        spatial = info.axes.removesuffix("C")
        divisor, halo = network.divisor(options), network.halo(options)
        return cls(
            axes=info.axes,
            channels_in=info.channels_in,
            channels_out=info.channels_out,
            normalization=info.normalization,
            divisor=tuple(divisor[axis] for axis in spatial),
            halo=tuple(-(-halo[axis] // divisor[axis]) * divisor[axis] for axis in spatial),
            outputs=outputs,
            image_units=network.task == "restoration" and info.channels_in == info.channels_out,
            threshold=info.thresholds.get(outputs[0].name, 0.5),
            classes=(tuple(info.classes) or _default_classes(info.channels_out)) if segments else (),
        )

    @property
    def spatial(self) -> str:
        """The spatial axes, e.g. ``ZYX``."""
        return self.axes.removesuffix("C")

    @property
    def mask_type(self) -> np.dtype:
        """Type of the pixels of masks."""
        return np.min_scalar_type(max(self.classes, default=0))

    def mask(self, probabilities: np.ndarray) -> np.ndarray:
        """Return the mask (spatial, 1) for the probabilities (spatial, C), in the values that masks had in training."""
        values = np.asarray(self.classes, self.mask_type)
        return values[classify(probabilities, self.threshold)][..., np.newaxis]

    @property
    def channel_names(self) -> tuple[str, ...]:
        """Names of the channels of all outputs, one after the other: ``output0``, ``output1``, ``scale0``, …"""
        return tuple(
            f"{output.name}{channel}"
            for output in self.outputs
            for channel in range(output.channels[1] - output.channels[0])
        )


def _default_classes(channels_out: int) -> tuple[int, ...]:
    return FOREGROUND if channels_out == 1 else tuple(range(channels_out))
