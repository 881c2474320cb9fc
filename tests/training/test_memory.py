"""What counts as a lack of memory, in the words of TensorFlow and its libraries."""

from __future__ import annotations

import pytest

from dl4fiji.keras_setup import import_tensorflow
from dl4fiji.networks import get
from dl4fiji.training.device import Device
from dl4fiji.training.memory import is_out_of_memory, out_of_memory_error


@pytest.mark.parametrize(
    ("kind", "text", "expected"),
    [
        ("ResourceExhaustedError", "OOM when allocating tensor with shape[16,32,128,128]", True),
        # Seen from TensorFlow 2.21 with oneDNN under a limit of the address space.
        (
            "AbortedError",
            "Operation received an exception:Status: 1, message: could not create a primitive, in file "
            "tensorflow/core/kernels/mkl/mkl_conv_ops.cc:1112",
            True,
        ),
        ("InternalError", "CUDA_ERROR_OUT_OF_MEMORY: out of memory", True),
        ("AbortedError", "Operation received an exception:Status: 2, message: invalid arguments", False),
        ("InvalidArgumentError", "Incompatible shapes: [1,2] vs. [1,3]", False),
    ],
)
def test_errors_of_tensorflow(kind: str, text: str, expected: bool) -> None:
    error = getattr(import_tensorflow().errors, kind)(None, None, text)
    assert is_out_of_memory(error) is expected


def test_other_errors() -> None:
    assert is_out_of_memory(MemoryError())
    assert not is_out_of_memory(OSError("out of memory is what the file is called"))


def test_advice_names_device_and_patch() -> None:
    options = get("care-3d").Options.model_validate({"batch_size": 1})
    error = out_of_memory_error(options, Device("gpu", "/GPU:0", "NVIDIA RTX A4000", 16 * 2**30))
    assert error.message == (
        "Out of memory on NVIDIA RTX A4000 (16.0 GiB), even with 1 patch of 16×64×64 at a time: take a smaller "
        "patch_size, fewer first_filters, or close other programs that use this device."
    )
