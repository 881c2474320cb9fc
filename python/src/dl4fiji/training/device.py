"""Which device trains: a GPU if TensorFlow can use one, else the CPU."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import psutil

from dl4fiji.errors import InputError, ResourceError

DEVICE_VARIABLE = "DL4FIJI_DEVICE"
"""Environment variable that chooses the device: ``auto``, ``cpu`` or the number of a GPU."""

_QUERY_SECONDS = 10


@dataclass(frozen=True)
class Device:
    """A device to train on."""

    kind: str
    """``cpu`` or ``gpu``."""
    tensorflow_name: str
    """What ``tf.device`` takes."""
    title: str
    """For people, e.g. ``NVIDIA RTX A4000``."""
    memory: int
    """Bytes: a GPU's own memory, the free main memory for the CPU; 0 if not known."""
    warning: str = ""
    """One sentence if a better device is there but cannot be used."""


@dataclass(frozen=True)
class NvidiaGpu:
    """A GPU that the NVIDIA driver knows."""

    index: int
    name: str
    memory: int
    """Bytes."""


def parse_nvidia_smi(text: str) -> list[NvidiaGpu]:
    """Read what ``nvidia-smi --query-gpu=index,name,memory.total --format=csv,noheader,nounits`` prints.

    Lines of another form (messages of a broken driver) are left out.
    """
    gpus = []
    for line in text.splitlines():
        parts = [part.strip() for part in line.split(",")]
        if len(parts) == 3 and parts[0].isdecimal():
            mebibytes = int(parts[2]) if parts[2].isdecimal() else 0
            gpus.append(NvidiaGpu(int(parts[0]), parts[1], mebibytes * 2**20))
    return gpus


def nvidia_gpus() -> list[NvidiaGpu]:
    """Return the GPUs that the NVIDIA driver knows, whether or not TensorFlow can use them."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return []
    command = [program, "--query-gpu=index,name,memory.total", "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_QUERY_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return []
    return parse_nvidia_smi(done.stdout)


def driver_index(index: int) -> int:
    """Return the driver's number of the GPU that TensorFlow calls ``index``: -1 if it cannot be told."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        return index
    names = [name.strip() for name in visible.split(",")]
    return int(names[index]) if index < len(names) and names[index].isdecimal() else -1


def cpu_title() -> str:
    """Return the name of the CPU and its number of cores, as far as the system tells."""
    model = ""
    info = Path("/proc/cpuinfo")
    if info.is_file():
        lines = info.read_text(encoding="utf-8", errors="replace").splitlines()
        model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return f"{model or 'CPU'}, {cores} core{'s' if cores > 1 else ''}"


def choose_device(wanted: str = "") -> Device:
    """Choose the device, make it the only one that TensorFlow sees, and let its memory grow as needed.

    Parameters
    ----------
    wanted
        ``auto`` (the first GPU, else the CPU), ``cpu``, or the number of a GPU counted from 0; empty: what the
        environment variable ``DL4FIJI_DEVICE`` says, else ``auto``.

    Raises
    ------
    InputError
        If there is no such GPU, or the word means nothing.
    """
    from dl4fiji.keras_setup import import_tensorflow

    choice = (wanted or os.environ.get(DEVICE_VARIABLE, "") or "auto").strip().lower().removeprefix("gpu:")
    if choice not in ("auto", "cpu") and not choice.isdecimal():
        raise InputError(f"{choice!r} is no device: choose auto, cpu, or the number of a GPU, such as 0.")
    tf = import_tensorflow()
    gpus = tf.config.list_physical_devices("GPU") if choice != "cpu" else []
    if choice.isdecimal() and int(choice) >= len(gpus):
        usable = f"{len(gpus)} GPU{'s' if len(gpus) != 1 else ''}"
        raise InputError(
            f"There is no GPU number {choice}, TensorFlow can use {usable}: choose auto or cpu"
            + (f", or a number below {len(gpus)}." if gpus else ", and see `dl4fiji doctor`.")
        )
    if not gpus:
        _hide_gpus(tf)
        warning = "" if choice == "cpu" else unusable_gpu_warning(nvidia_gpus(), bool(tf.test.is_built_with_cuda()))
        return Device("cpu", "/CPU:0", cpu_title(), psutil.virtual_memory().available, warning)
    return _use_gpu(tf, gpus, 0 if choice == "auto" else int(choice))


def unusable_gpu_warning(gpus: list[NvidiaGpu], built_with_cuda: bool) -> str:
    """Return one sentence for the user whose NVIDIA GPUs TensorFlow cannot use; empty if there are none."""
    if not gpus:
        return ""
    remedy = (
        "install CUDA's libraries by `pip install 'dl4fiji[gpu]'` and see `dl4fiji doctor`"
        if built_with_cuda
        else "this TensorFlow has no GPU support (on Windows use WSL2; on Linux `pip install 'dl4fiji[gpu]'`)"
    )
    return f"TensorFlow cannot use the {gpus[0].name}, so the training runs on the much slower CPU: {remedy}."


def _hide_gpus(tf: object) -> None:
    """Let TensorFlow see the CPU alone, unless it is already at work."""
    try:
        tf.config.set_visible_devices([], "GPU")  # type: ignore[attr-defined]
    except RuntimeError as error:
        if tf.config.get_visible_devices("GPU"):  # type: ignore[attr-defined]
            raise ResourceError("The GPU is in use by this process already: restart it to train on the CPU.") from error


def _use_gpu(tf: object, gpus: list, index: int) -> Device:
    """Let TensorFlow see one GPU and take its memory bit by bit."""
    gpu = gpus[index]
    try:
        tf.config.set_visible_devices([gpu], "GPU")  # type: ignore[attr-defined]
        tf.config.experimental.set_memory_growth(gpu, True)  # type: ignore[attr-defined]
    except RuntimeError as error:
        if [gpu] != tf.config.get_visible_devices("GPU"):  # type: ignore[attr-defined]
            raise ResourceError(f"This process uses another GPU already: restart it to use GPU {index}.") from error
    details = tf.config.experimental.get_device_details(gpu)  # type: ignore[attr-defined]
    memory = {known.index: known.memory for known in nvidia_gpus()}.get(driver_index(index), 0)
    return Device("gpu", "/GPU:0", details.get("device_name", f"GPU {index}"), memory)
