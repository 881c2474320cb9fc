"""Run a SavedModel in one TensorFlow Java engine: ``python -m dl4fiji.export.engine_child JOB.json``.

A JVM starts once per process and an engine may crash it, so each engine gets a process of its own. The job names
``jars``, ``cache`` (folder for what the jars unpack), ``interface``, ``model`` (folder), ``input`` (npy),
``outputs`` (names) and ``result`` (folder for ``<output>.npy``). The last line on stdout is JSON: ``version``,
``load_seconds`` and ``run_seconds``.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

Runner = Callable[[np.ndarray, str], np.ndarray]
"""Feeds an array (float32) to ``input`` and returns the output of that name."""


def _float_buffer(array: np.ndarray) -> Any:
    """Return a direct Java buffer on the memory of ``array``, which must be contiguous float32."""
    import jpype

    order = jpype.JClass("java.nio.ByteOrder").nativeOrder()
    memory: Any = memoryview(array)  # pyright: ignore[reportArgumentType]
    return jpype.nio.convertToDirectBuffer(memory.cast("B")).order(order).asFloatBuffer()


def _longs(values: tuple[int, ...]) -> Any:
    """Return a Java array of long numbers."""
    import jpype

    kind: Any = jpype.JArray(jpype.JLong)
    return kind(list(values))


def _interface_1(model: str) -> tuple[str, Runner]:
    """Open ``model`` by the interface of TensorFlow 1.15 (``org.tensorflow.Tensor``)."""
    import jpype

    bundle = jpype.JClass("org.tensorflow.SavedModelBundle").load(model, "serve")
    tensors = jpype.JClass("org.tensorflow.Tensor")

    def run(array: np.ndarray, output: str) -> np.ndarray:
        with tensors.create(_longs(array.shape), _float_buffer(array)) as tensor:
            found = bundle.session().runner().feed("input", tensor).fetch(output).run().get(0)
            result = np.empty([int(size) for size in found.shape()], np.float32)
            found.writeTo(_float_buffer(result))
            found.close()
        return result

    return str(jpype.JClass("org.tensorflow.TensorFlow").version()), run


def _interface_2(model: str) -> tuple[str, Runner]:
    """Open ``model`` by the interface of TensorFlow Java 0.4 and 0.5 (``org.tensorflow.types``)."""
    import jpype

    bundle = jpype.JClass("org.tensorflow.SavedModelBundle").load(model, "serve")
    floats = jpype.JClass("org.tensorflow.types.TFloat32")
    shapes = jpype.JClass("org.tensorflow.ndarray.Shape")
    buffers = jpype.JClass("org.tensorflow.ndarray.buffer.DataBuffers")

    def run(array: np.ndarray, output: str) -> np.ndarray:
        with floats.tensorOf(shapes.of(_longs(array.shape)), buffers.of(_float_buffer(array))) as tensor:
            found = bundle.session().runner().feed("input", tensor).fetch(output).run().get(0)
            result = np.empty([int(size) for size in found.shape().asArray()], np.float32)
            jpype.JObject(found, floats).read(buffers.of(_float_buffer(result)))
            found.close()
        return result

    return str(jpype.JClass("org.tensorflow.TensorFlow").version()), run


def main(job_file: str) -> int:
    """Do the job described in ``job_file``."""
    import jpype

    job = json.loads(Path(job_file).read_text(encoding="utf-8"))
    options = ["-Xmx512m", "-Djava.awt.headless=true", f"-Dorg.bytedeco.javacpp.cachedir={job['cache']}"]
    jpype.startJVM(*options, classpath=job["jars"], convertStrings=True)
    start = time.perf_counter()
    version, run = (_interface_1 if job["interface"] == 1 else _interface_2)(job["model"])
    loaded = time.perf_counter()
    array = np.ascontiguousarray(np.load(job["input"]), np.float32)
    for output in job["outputs"]:
        np.save(Path(job["result"]) / f"{output}.npy", run(array, output))
    seconds = {"load_seconds": round(loaded - start, 3), "run_seconds": round(time.perf_counter() - loaded, 3)}
    print(json.dumps({"version": version, **seconds}), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
