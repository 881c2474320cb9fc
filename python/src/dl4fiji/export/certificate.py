"""The engine certificate: which of Fiji's engines run an export, and how far they differ from Python.

Every engine runs in a process of its own, since an engine can take its process down. What cannot be tried (no
Java, no network for the first fetch) is written down with its reason and stops nothing.
"""

from __future__ import annotations

import json
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from dl4fiji import __version__
from dl4fiji.errors import DL4FijiError, SetupError
from dl4fiji.export import engines
from dl4fiji.export.engines import Engine
from dl4fiji.export.onnx import run_onnx
from dl4fiji.home import Home
from dl4fiji.progress import Progress, stop_if_canceled

TOLERANCE = 1e-4
"""Largest difference that counts as agreement, on normalized intensities."""

TIMEOUT = 180.0
"""Seconds an engine may take for the test image, its start included."""

_TAIL = 20


@dataclass(frozen=True)
class Probe:
    """An input and what Python made of it.

    Parameters
    ----------
    x
        (N, spatial, C), float32, raw values.
    expected
        Per output the result of the Keras model.
    scale
        What differences are divided by to be on normalized intensities: the smallest scale of ``x``, or 1.
    """

    x: np.ndarray
    expected: dict[str, np.ndarray]
    scale: float

    def difference(self, found: dict[str, np.ndarray]) -> float:
        """Return the largest difference of all outputs on normalized intensities; infinite if shapes differ."""
        differences = [0.0]
        for name, expected in self.expected.items():
            if name not in found or found[name].shape != expected.shape:
                return float("inf")
            difference = float(np.max(np.abs(found[name].astype(np.float64) - expected))) / self.scale
            differences.append(difference if np.isfinite(difference) else float("inf"))
        return max(differences)


def certify(saved_model: Path, onnx: Path, probe: Probe, home: Home, progress: Progress) -> dict[str, Any]:
    """Run an export in ONNX Runtime and in every engine of Fiji.

    Parameters
    ----------
    saved_model
        Folder with ``saved_model.pb``.
    onnx
        The same network as ONNX.
    probe
        The input and Python's result for it.
    home
        Where the engines' jars are kept.
    progress
        Told what is tried; a cancel is noticed between engines.

    Returns
    -------
    dict
        What ``certificate.json`` holds; ``engines`` maps each engine's name to ``loaded``, ``agrees``,
        ``max_difference``, ``seconds`` and ``reason``.
    """
    results = {"ONNX Runtime": _attempt(lambda: _run_onnx(onnx, probe), probe)}
    for engine in engines.ENGINES:
        stop_if_canceled(progress)
        progress.phase(f"Running the exported network in {engine.name}")
        results[engine.name] = _attempt(
            lambda engine=engine: run_engine(engine, saved_model, probe, home, progress), probe
        )
    return {
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "dl4fiji": __version__,
        "platform": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": platform.python_version(),
        "input_shape": list(probe.x.shape),
        "difference": "largest absolute difference from Python (Keras), on normalized intensities",
        "tolerance": TOLERANCE,
        "engines": results,
    }


Found = tuple[str, dict[str, np.ndarray]]
"""Version of the engine that ran, and its outputs."""


def _attempt(run: Callable[[], Found], probe: Probe) -> dict[str, Any]:
    """Return the certificate's entry of one engine."""
    start = time.perf_counter()
    entry: dict[str, Any] = {"tried": True, "loaded": False, "agrees": False, "max_difference": None, "reason": ""}
    try:
        version, found = run()
    except SetupError as error:
        return entry | {"tried": False, "reason": f"not tried: {error.message}"}
    except DL4FijiError as error:
        return entry | {"reason": error.message, "seconds": round(time.perf_counter() - start, 2)}
    difference = probe.difference(found)
    return entry | {
        "version": version,
        "loaded": True,
        "agrees": difference <= TOLERANCE,
        "max_difference": difference if np.isfinite(difference) else None,
        "reason": "" if np.isfinite(difference) else "its result has another shape or is not a number",
        "seconds": round(time.perf_counter() - start, 2),
    }


def _run_onnx(onnx: Path, probe: Probe) -> Found:
    import onnxruntime

    try:
        return onnxruntime.__version__, run_onnx(onnx, probe.x)
    except Exception as error:  # ONNX Runtime's failures have no class in common
        raise DL4FijiError(f"ONNX Runtime fails: {str(error).splitlines()[0][:300]}") from error


def run_engine(engine: Engine, saved_model: Path, probe: Probe, home: Home, progress: Progress) -> Found:
    """Run a SavedModel in a TensorFlow Java engine, in a process of its own.

    Raises
    ------
    SetupError
        If it cannot be tried: no Java, no jars and no network.
    DL4FijiError
        If the engine fails, with its last words.
    """
    _find_java()
    jars = engines.install(engine, home, progress)
    with tempfile.TemporaryDirectory(prefix="dl4fiji-engine-") as name:
        folder = Path(name)
        np.save(folder / "input.npy", np.ascontiguousarray(probe.x, np.float32))
        job = {
            "jars": [str(jar) for jar in jars],
            "cache": str(engines.engines_folder(home) / "unpacked"),
            "interface": engine.interface,
            "model": str(saved_model),
            "input": str(folder / "input.npy"),
            "outputs": list(probe.expected),
            "result": str(folder),
        }
        (folder / "job.json").write_text(json.dumps(job), encoding="utf-8")
        answer = _child(engine, folder / "job.json")
        try:
            found = {output: np.load(folder / f"{output}.npy", allow_pickle=False) for output in probe.expected}
        except (OSError, ValueError) as error:
            raise DL4FijiError(f"{engine.name} ended without a result.") from error
    return str(answer["version"]), found


def _child(engine: Engine, job_file: Path) -> dict[str, Any]:
    """Run the child process and return what it answers."""
    command = [sys.executable, "-m", "dl4fiji.export.engine_child", str(job_file)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=TIMEOUT, check=False)
    except subprocess.TimeoutExpired as error:
        raise DL4FijiError(f"{engine.name} did not finish the test image within {TIMEOUT:.0f} s.") from error
    if done.returncode != 0:
        tail = " / ".join(_telling(done.stderr)[-_TAIL:])
        raise DL4FijiError(f"{engine.name} fails with exit code {done.returncode}: {tail}")
    try:
        return json.loads(done.stdout.strip().splitlines()[-1])
    except (ValueError, IndexError) as error:
        raise DL4FijiError(f"{engine.name} gave no answer that can be read.") from error


def _telling(stderr: str) -> list[str]:
    """Return the lines of a log that are no mere information."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip() and ": I " not in line]
    return [line[:300] for line in lines if not line.startswith(("File ", "at "))]


def _find_java() -> None:
    """Raise SetupError unless a JVM can be started."""
    import jpype

    try:
        jpype.getDefaultJVMPath()
    except jpype.JVMNotFoundException as error:
        raise SetupError(
            "There is no Java: install a JDK 8 or newer (11 for TensorFlow 2.10) or set JAVA_HOME, then export again."
        ) from error
