"""What is done when the memory does not suffice."""

from __future__ import annotations

from typing import Any

from dl4fiji.errors import ResourceError
from dl4fiji.training.device import Device
from dl4fiji.training.resources import format_bytes

MAX_HALVINGS = 3
"""How often the batch size is halved before giving up."""


def is_out_of_memory(error: BaseException) -> bool:
    """Tell whether ``error`` means that the device's or the main memory did not suffice."""
    from dl4fiji.keras_setup import import_tensorflow

    tf = import_tensorflow()
    if isinstance(error, MemoryError | tf.errors.ResourceExhaustedError):
        return True
    # CUDA's libraries report it by other errors, too; oneDNN, which computes on the CPU, by its status 1.
    signs = ("out of memory", "out_of_memory", "received an exception:status: 1,")
    return isinstance(error, tf.errors.OpError) and any(sign in str(error).lower() for sign in signs)


def out_of_memory_error(options: Any, device: Device) -> ResourceError:
    """Return the error for a training that does not fit even with the smallest batch tried."""
    size = "×".join(map(str, options.patch_size))
    there = f" ({format_bytes(device.memory)})" if device.memory else ""
    return ResourceError(
        f"Out of memory on {device.title}{there}, even with {options.batch_size} patch"
        f"{'es' if options.batch_size > 1 else ''} of {size} at a time: take a smaller patch_size, "
        "fewer first_filters, or close other programs that use this device."
    )
