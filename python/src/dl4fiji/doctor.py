"""What ``dl4fiji doctor`` looks at, and what it advises."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

from dl4fiji.home import Home

Verdict = Literal["good", "advice", "bad"]
_GIB = 2**30
_TESTED = ("tensorflow", "csbdeep", "stardist", "n2v", "pyimagej", "bioimageio.core", "tf2onnx")


@dataclass(frozen=True)
class Finding:
    """One thing looked at.

    ``good``: works; ``advice``: works, but something could be better; ``bad``: something will fail.
    """

    subject: str
    verdict: Verdict
    text: str
    remedy: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Return the finding for JSON."""
        return asdict(self)


def examine(fiji: Path | None = None, home: Home | None = None) -> list[Finding]:
    """Look at everything that DL4Fiji depends on.

    Parameters
    ----------
    fiji
        The Fiji to look at; None looks at none.
    home
        The home; None takes the user's own.
    """
    home = home or Home.default()
    findings = [_python(), *_packages(), _gpu(), _java(), _memory(), *_disk(home), _engines(home), _fiji(fiji)]
    return [*findings, _service(home)]


def _python() -> Finding:
    version = platform.python_version()
    text = f"Python {version} at {sys.executable}, {platform.system()} {platform.machine()}"
    if sys.version_info[:2] != (3, 11):
        return Finding("Python", "bad", text, "Install DL4Fiji into Python 3.11; TensorFlow and n2v meet only there.")
    return Finding("Python", "good", text)


def _packages() -> Iterator[Finding]:
    versions, missing = [], []
    for name in _TESTED:
        try:
            versions.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            missing.append(name)
    if missing:
        yield Finding(
            "Packages",
            "bad",
            f"missing: {', '.join(missing)}",
            "Run `make setup` (or create the conda environment anew): it installs the versions that work together.",
        )
    else:
        yield Finding("Packages", "good", ", ".join(versions))


def _gpu() -> Finding:
    """Compare the GPUs that the driver shows with those that TensorFlow can use."""
    driver = _nvidia_gpus()
    usable = _tensorflow_gpus()
    if usable is None:
        return Finding("GPU", "bad", "TensorFlow cannot be imported.", "Run `make setup` again and read its output.")
    if usable:
        return Finding("GPU", "good", f"TensorFlow uses {', '.join(driver) or f'{usable} GPU(s)'}")
    if driver:
        return Finding(
            "GPU",
            "advice",
            f"The driver shows {', '.join(driver)}, but TensorFlow cannot use it; training runs on the CPU.",
            "On Linux run `make setup` again (it adds tensorflow[and-cuda]); on Windows use WSL2: TensorFlow has no "
            "GPU support on native Windows.",
        )
    cores = os.cpu_count() or 1
    return Finding(
        "GPU",
        "advice",
        f"No NVIDIA GPU; training runs on {cores} CPU cores.",
        "Small 2D models train well like this; for large ones use a machine with an NVIDIA GPU.",
    )


def _nvidia_gpus() -> list[str]:
    """Return the names of the GPUs that the NVIDIA driver shows."""
    if shutil.which("nvidia-smi") is None:
        return []
    try:
        done = subprocess.run(
            ["nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader"],
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return []
    return [line.strip() for line in done.stdout.splitlines() if line.strip()] if done.returncode == 0 else []


def _tensorflow_gpus() -> int | None:
    """Return how many GPUs TensorFlow can use, asked in a process of its own; None if it cannot be imported."""
    code = "import tensorflow as tf; print('GPUS', len(tf.config.list_physical_devices('GPU')))"
    environment = {**os.environ, "TF_USE_LEGACY_KERAS": "1", "TF_CPP_MIN_LOG_LEVEL": "3"}
    try:
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, timeout=180, check=False, env=environment
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = re.search(r"GPUS (\d+)", done.stdout)
    return int(found.group(1)) if found else None


def find_java() -> tuple[str, int] | None:
    """Return path and major version of the Java that will be used, or None."""
    java_home = os.environ.get("JAVA_HOME")
    candidates = [str(Path(java_home) / "bin" / "java")] if java_home else []
    candidates.append("java")
    for candidate in candidates:
        path = shutil.which(candidate)
        if path is None:
            continue
        try:
            done = subprocess.run([path, "-version"], capture_output=True, text=True, timeout=30, check=False)
        except (OSError, subprocess.TimeoutExpired):
            continue
        found = re.search(r'version "(?:1\.)?(\d+)', done.stderr + done.stdout)
        if found:
            return path, int(found.group(1))
    return None


def _java() -> Finding:
    java = find_java()
    remedy = "Install a JDK, version 11 to 21 (Debian: apt install openjdk-17-jdk-headless), or set JAVA_HOME to one."
    if java is None:
        return Finding("Java", "bad", "No Java found: neither Fiji nor the engine certificate can run.", remedy)
    path, version = java
    if version < 11:
        return Finding("Java", "advice", f"Java {version} at {path} is too old to try TensorFlow Java 2.10.", remedy)
    return Finding("Java", "good", f"Java {version} at {path}")


def _memory() -> Finding:
    import psutil

    total = psutil.virtual_memory().total / _GIB
    available = psutil.virtual_memory().available / _GIB
    text = f"{total:.0f} GiB, {available:.1f} GiB free"
    if available < 4:
        return Finding("Memory", "advice", text, "Close other programs, or train with a smaller batch or patch size.")
    return Finding("Memory", "good", text)


def _disk(home: Home) -> Iterator[Finding]:
    try:
        home.create()
    except OSError as error:
        yield Finding(
            "Disk",
            "bad",
            f"{home.root} cannot be written ({error.strerror}).",
            "Set DL4FIJI_HOME to a folder that you may write to.",
        )
        return
    free = shutil.disk_usage(home.root).free / _GIB
    text = f"{free:.0f} GiB free at {home.root}"
    if free < 5:
        yield Finding("Disk", "advice", text, "Delete old jobs or models, or set DL4FIJI_HOME to a larger disk.")
    else:
        yield Finding("Disk", "good", text)


def _engines(home: Home) -> Finding:
    """Say which TensorFlow Java engines are there to certify exports."""
    from dl4fiji.export.engines import ENGINES, installed

    missing = [engine.version for engine in ENGINES if not installed(engine, home)]
    present = [engine.version for engine in ENGINES if installed(engine, home)]
    if missing:
        return Finding(
            "Engines",
            "advice",
            f"TensorFlow Java {', '.join(missing)} not downloaded yet"
            + (f"; {', '.join(present)} ready" if present else "")
            + ".",
            "They are fetched from Maven Central by the first export, once; it needs the network then.",
        )
    return Finding("Engines", "good", f"TensorFlow Java {', '.join(present)} and ONNX Runtime")


def _fiji(fiji: Path | None) -> Finding:
    if fiji is None:
        return Finding(
            "Fiji",
            "advice",
            "No Fiji named; `dl4fiji fiji` starts an embedded ImageJ without DeepImageJ.",
            "Name yours by --app FOLDER, and put our menu into it by `dl4fiji install --app FOLDER`.",
        )
    if not (fiji / "jars").is_dir() and not (fiji / "plugins").is_dir():
        return Finding(
            "Fiji",
            "bad",
            f"{fiji} is no Fiji: it has neither jars nor plugins.",
            "Name the folder that holds Fiji's launcher, e.g. ~/Fiji.app.",
        )
    missing = []
    if not (fiji / "scripts" / "Plugins" / "DL4Fiji").is_dir():
        missing.append(f"our menu (`dl4fiji install --app {fiji}`)")
    if not any(fiji.glob("plugins/**/*[dD]eep*[iI]mage*[jJ]*.jar")):
        missing.append("DeepImageJ (Help ▸ Update… ▸ Manage update sites)")
    if missing:
        return Finding("Fiji", "advice", f"{fiji} lacks {' and '.join(missing)}.", "Add what you need.")
    return Finding("Fiji", "good", f"{fiji} with our menu and DeepImageJ")


def _service(home: Home) -> Finding:
    from dl4fiji.client import ServiceClient
    from dl4fiji.errors import DL4FijiError

    try:
        with ServiceClient.connect(home, start=False) as client:
            health = client.health()
    except DL4FijiError:
        return Finding("Service", "good", "Not running; it is started when needed.")
    return Finding("Service", "good", f"Runs at {client.url}, version {health['version']}")
