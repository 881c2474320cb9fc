"""The choice of the device, as far as a machine without a GPU can show it."""

from __future__ import annotations

from pathlib import Path

import pytest

from dl4fiji.errors import InputError
from dl4fiji.keras_setup import import_tensorflow
from dl4fiji.training import device
from dl4fiji.training.device import NvidiaGpu, choose_device, nvidia_gpus, parse_nvidia_smi, unusable_gpu_warning

LISTING = "0, NVIDIA RTX A4000, 16376\n1, NVIDIA H100 80GB HBM3, 81559\n"


@pytest.fixture
def no_gpu() -> None:
    if import_tensorflow().config.list_physical_devices("GPU"):
        pytest.skip("this machine has a GPU that TensorFlow can use")


@pytest.fixture
def driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A driver that knows two GPUs: its program prints what the real one does."""
    program = tmp_path / "nvidia-smi"
    program.write_text(f"#!/bin/sh\nprintf '{LISTING}'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")


def test_list_of_the_driver_is_read() -> None:
    assert parse_nvidia_smi(LISTING) == [
        NvidiaGpu(0, "NVIDIA RTX A4000", 16376 * 2**20),
        NvidiaGpu(1, "NVIDIA H100 80GB HBM3", 81559 * 2**20),
    ]


@pytest.mark.parametrize("text", ["", "NVIDIA-SMI has failed: no communication, no driver.", "No devices were found"])
def test_messages_of_a_broken_driver_are_no_gpus(text: str) -> None:
    assert parse_nvidia_smi(text) == []


def test_unknown_memory_is_zero() -> None:
    assert parse_nvidia_smi("0, NVIDIA Jetson, [N/A]") == [NvidiaGpu(0, "NVIDIA Jetson", 0)]


@pytest.mark.usefixtures("driver")
def test_driver_is_asked() -> None:
    assert [gpu.name for gpu in nvidia_gpus()] == ["NVIDIA RTX A4000", "NVIDIA H100 80GB HBM3"]


def test_no_driver_no_gpus(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert nvidia_gpus() == []


@pytest.mark.usefixtures("no_gpu")
def test_cpu_is_taken_where_there_is_no_gpu(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    for wanted in ("", "auto", "cpu", " CPU "):
        chosen = choose_device(wanted)
        assert (chosen.kind, chosen.tensorflow_name, chosen.warning) == ("cpu", "/CPU:0", "")
        assert chosen.memory > 0
        assert "core" in chosen.title


@pytest.mark.usefixtures("no_gpu", "driver")
def test_gpu_that_tensorflow_cannot_use_is_told() -> None:
    warning = choose_device("auto").warning
    assert "NVIDIA RTX A4000" in warning
    assert "dl4fiji[gpu]" in warning
    assert choose_device("cpu").warning == ""


@pytest.mark.parametrize(
    ("visible", "index", "expected"),
    [(None, 1, 1), ("3", 0, 3), ("2, 0", 1, 0), ("GPU-8932f937", 0, -1), ("", 0, -1), ("1", 1, -1)],
)
def test_number_of_the_driver(monkeypatch: pytest.MonkeyPatch, visible: str | None, index: int, expected: int) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert device.driver_index(index) == expected


def test_warning_names_the_remedy() -> None:
    gpus = [NvidiaGpu(0, "NVIDIA RTX A4000", 0)]
    assert "doctor" in unusable_gpu_warning(gpus, built_with_cuda=True)
    assert "WSL2" in unusable_gpu_warning(gpus, built_with_cuda=False)
    assert unusable_gpu_warning([], built_with_cuda=True) == ""


@pytest.mark.usefixtures("no_gpu")
def test_variable_chooses_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(device.DEVICE_VARIABLE, "cpu")
    assert choose_device().kind == "cpu"
    monkeypatch.setenv(device.DEVICE_VARIABLE, "7")
    with pytest.raises(InputError, match="no GPU number 7"):
        choose_device()


@pytest.mark.usefixtures("no_gpu")
@pytest.mark.parametrize("wanted", ["0", "gpu:1", "tpu", "-1"])
def test_devices_that_are_not_there_are_told(wanted: str) -> None:
    with pytest.raises(InputError, match=r": choose auto"):
        choose_device(wanted)
