"""What runs a bare network: ONNX Runtime, ready at once, or TensorFlow, where there is a GPU."""

from __future__ import annotations

import contextlib
import gc
from pathlib import Path
from typing import Any, Literal

import numpy as np

from dl4fiji.errors import InputError
from dl4fiji.model import ModelFolder

Backend = Literal["auto", "onnx", "tensorflow"]


class OnnxRunner:
    """A network in ONNX Runtime on the CPU.

    Its memory arena is off: it keeps what the largest tile took, and tiles take the same each time.

    Raises
    ------
    InputError
        If the file says that the network puts out more or fewer axes than it takes in: a conversion that went wrong.
    """

    title = "ONNX Runtime on the CPU"

    def __init__(self, path: Path) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        options.enable_cpu_mem_arena = False
        options.enable_mem_pattern = False
        self._path = path
        self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        output = self._session.get_outputs()[0]
        self._output = output.name
        self._check_axes(len(output.shape), len(self._session.get_inputs()[0].shape))

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """Return the network's output (spatial, C) for ``x`` (spatial, C); MemoryError if memory does not suffice."""
        batch = np.ascontiguousarray(x[np.newaxis], np.float32)
        try:
            result: Any = self._session.run([self._output], {"input": batch})[0]
        except Exception as error:  # ONNX Runtime has one class for all failures while running
            if _says_memory(error):
                raise MemoryError(str(error)) from error
            raise
        self._check_axes(result.ndim, batch.ndim)
        return result[0]

    def _check_axes(self, found: int, expected: int) -> None:
        """Raise InputError unless there are as many axes as expected: NumPy would broadcast over one too many."""
        if found != expected:
            raise InputError(
                f"The network in {self._path} puts out {found} axes but takes in {expected}: export the model again."
            )


class KerasRunner:
    """A network in TensorFlow, on the GPU if there is one, in full float32 precision."""

    def __init__(self, folder: ModelFolder, which: str) -> None:
        from dl4fiji.keras_setup import import_tensorflow
        from dl4fiji.prediction.keras_model import load_keras_model

        self._tf: Any = import_tensorflow()
        # With TensorFloat-32 a GPU keeps 10 bits of convolutions; Fiji's engines would then differ by 1e-3.
        self._tf.config.experimental.enable_tensor_float_32_execution(False)
        self._model = load_keras_model(folder, which)
        self._call = self._tf.function(lambda x: self._model(x, training=False), reduce_retracing=True)
        self.title = (
            "TensorFlow on the GPU" if self._tf.config.list_physical_devices("GPU") else "TensorFlow on the CPU"
        )

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """Return the network's output (spatial, C) for ``x`` (spatial, C); MemoryError if memory does not suffice."""
        try:
            return self._call(self._tf.constant(x[np.newaxis], self._tf.float32)).numpy()[0]
        except self._tf.errors.ResourceExhaustedError as error:
            gc.collect()
            raise MemoryError(str(error)) from error


def _says_memory(error: Exception) -> bool:
    text = str(error).lower()
    return any(word in text for word in ("bad_alloc", "allocate", "out of memory"))


def has_gpu() -> bool:
    """Tell whether there is an NVIDIA GPU that TensorFlow may use, without importing TensorFlow."""
    import os

    if os.environ.get("CUDA_VISIBLE_DEVICES", "0").strip() in ("", "-1"):
        return False
    try:
        import pynvml  # pyright: ignore[reportMissingImports]
    except ImportError:
        return False  # it comes with the extra `gpu`, without which TensorFlow has no CUDA either
    with contextlib.suppress(pynvml.NVMLError):
        pynvml.nvmlInit()
        return pynvml.nvmlDeviceGetCount() > 0
    return False


def open_runner(folder: ModelFolder, which: str = "best", backend: Backend = "auto") -> OnnxRunner | KerasRunner:
    """Return what runs the model's bare network.

    ``auto`` takes TensorFlow where there is a GPU or where the network was not exported as ONNX yet.
    """
    path = folder.onnx(which)
    weights = folder.weights(which)
    fresh = path.is_file() and (not weights.is_file() or path.stat().st_mtime >= weights.stat().st_mtime)
    if backend == "onnx" or (backend == "auto" and fresh and not has_gpu()):
        return OnnxRunner(path)
    return KerasRunner(folder, which)
