"""The devices that train: found without loading TensorFlow."""

from __future__ import annotations

import os
from dataclasses import dataclass

from dl4fiji.training.device import nvidia_gpus


@dataclass(frozen=True)
class Device:
    """Something that runs one training at a time.

    Parameters
    ----------
    name
        ``cpu`` or ``gpu:<index>``, the index as ``nvidia-smi`` counts.
    title
        For people, e.g. ``NVIDIA L40S``.
    """

    name: str
    title: str

    @property
    def is_gpu(self) -> bool:
        """Tell whether it is a GPU."""
        return self.name.startswith("gpu:")

    def environment(self) -> dict[str, str]:
        """Return what a worker's environment must say so that it sees this device only."""
        if not self.is_gpu:
            return {"CUDA_VISIBLE_DEVICES": "-1", "DL4FIJI_DEVICE": "cpu"}
        index = self.name.removeprefix("gpu:")
        # The worker sees one GPU, so that for TensorFlow it is the first, which ``auto`` takes.
        return {"CUDA_VISIBLE_DEVICES": index, "CUDA_DEVICE_ORDER": "PCI_BUS_ID", "DL4FIJI_DEVICE": "auto"}


CPU = Device("cpu", "processor")


def find_devices() -> list[Device]:
    """Return the NVIDIA GPUs of this computer, or the processor if there are none.

    ``CUDA_VISIBLE_DEVICES`` in the service's own environment narrows the choice, as everywhere.
    """
    allowed = os.environ.get("CUDA_VISIBLE_DEVICES")
    chosen = None if allowed is None else {index.strip() for index in allowed.split(",")}
    gpus = [gpu for gpu in nvidia_gpus() if chosen is None or str(gpu.index) in chosen]
    return [Device(f"gpu:{gpu.index}", gpu.name) for gpu in gpus] or [CPU]
