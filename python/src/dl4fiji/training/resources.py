"""How much memory and time a training will take, told before it begins; needs no TensorFlow.

The constants were fitted to the measured peak of CARE 2D and 3D trainings on the CPU (TensorFlow 2.21, eight
shapes from 160 MiB to 1.4 GiB of growth).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dl4fiji.errors import DL4FijiError
from dl4fiji.model import ModelFolder
from dl4fiji.network import Network

FLOAT = 4
"""Bytes of a float32 number."""
COPIES_OF_WEIGHTS = 5.5
"""Weights, gradients, Adam's two slots, and the reordered copies that the convolutions make."""
COPIES_OF_LARGEST = 1.6
"""What the backward pass holds beside the activations, in units of the largest layer."""
PROCESS_BYTES = 640 * 2**20
"""A worker with TensorFlow and csbdeep, idle."""
WORKSPACE_BYTES = 50 * 2**20
"""Scratch memory of the operations."""
BATCHES_AHEAD = 6
"""Batches that wait, are in use, or are being made, each with input and target."""

_SPEED_OPTIONS = (
    "patch_size",
    "batch_size",
    "depth",
    "kernel_size",
    "first_filters",
    "probabilistic",
    "batch_normalization",
    "channels",
    "grid",
    "rays",
    "backbone",
    "blocks",
    "feature_filters",
)


@dataclass(frozen=True)
class Forecast:
    """What a training will need.

    Memory in bytes; ``available`` is the device's memory, 0 if not known.
    """

    memory: int
    weights: int
    activations: int
    images: int
    available: int
    seconds: float | None
    """Estimated time of all epochs, where the speed of such a training is known from an earlier one."""
    advice: str
    """One sentence if the memory will not suffice, else empty."""

    def summary(self) -> str:
        """Return a phrase such as ``about 1.3 GiB of memory, 25 min``."""
        text = f"about {format_bytes(self.memory)} of memory"
        return text if self.seconds is None else f"{text}, {format_seconds(self.seconds)}"

    def as_dict(self) -> dict[str, Any]:
        """Return the fields as JSON can hold them."""
        return {**asdict(self), "summary": self.summary()}


def forecast(
    network: Network,
    options: Any,
    channels: tuple[int, int],
    images: int = 0,
    available: int = 0,
    steps: int = 0,
    steps_per_second: float | None = None,
) -> Forecast:
    """Return what a training will need.

    Parameters
    ----------
    network, options
        What is trained.
    channels
        Channels of input and output.
    images
        Bytes of the images that are kept in memory.
    available
        Bytes that the device has; 0: not known.
    steps
        Steps of the whole training.
    steps_per_second
        Speed of an earlier training of this kind, if known.
    """
    size = network.footprint(options, *channels)
    pixels = options.batch_size * int(np.prod(options.patch_size))
    weights = round(size.parameters * FLOAT * COPIES_OF_WEIGHTS)
    activations = round(pixels * FLOAT * (size.activations + COPIES_OF_LARGEST * size.largest))
    batches = pixels * FLOAT * sum(channels) * BATCHES_AHEAD
    memory = PROCESS_BYTES + WORKSPACE_BYTES + weights + activations + batches + images
    seconds = steps / steps_per_second if steps and steps_per_second else None
    return Forecast(memory, weights, activations, images, available, seconds, _advice(memory, available, options))


def _advice(memory: int, available: int, options: Any) -> str:
    if not available or memory <= available:
        return ""
    return (
        f"The training will need about {format_bytes(memory)} but {format_bytes(available)} of memory are there: "
        f"take a batch_size below {options.batch_size} or a smaller patch_size."
    )


def known_speed(models: Path, network: str, options: Mapping[str, Any], device: str) -> float | None:
    """Return the steps per second of the newest model of this kind trained on this device; None if there is none.

    Parameters
    ----------
    models
        The folder of all models.
    network, options, device
        Name of the network, all its options as JSON has them, title of the device.
    """
    found: list[tuple[Any, float]] = []
    for path in models.iterdir() if models.is_dir() else ():
        folder = ModelFolder(path)
        if not folder.exists():
            continue
        try:
            info = folder.read()
        except DL4FijiError:  # a damaged model says nothing about the speed
            continue
        alike = all(info.options.get(name) == options.get(name) for name in _SPEED_OPTIONS)
        speed = info.training.get("steps_per_second")
        if info.network == network and alike and speed and info.training.get("device") == device:
            found.append((info.created, float(speed)))
    return max(found)[1] if found else None


def format_bytes(count: float) -> str:
    """Return bytes for people: ``850 MiB``, ``1.3 GiB``."""
    return f"{count / 2**30:.1f} GiB" if count >= 2**30 else f"{count / 2**20:.0f} MiB"


def format_seconds(seconds: float) -> str:
    """Return a duration for people: ``40 s``, ``25 min``, ``3.5 h``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
