"""The forecast: sums, advice, speed of earlier models; its agreement with a measured peak."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from dl4fiji.data.normalization import PercentileNormalization
from dl4fiji.model import ModelFolder, ModelInfo
from dl4fiji.networks import get
from dl4fiji.training.resources import forecast, format_bytes, format_seconds, known_speed

CARE = get("care-2d")

CHILD = """
import json, re, sys
from pathlib import Path
import numpy as np
from dl4fiji.keras_setup import import_tensorflow
from dl4fiji.networks import get
from dl4fiji.training.loop import _compile_steps
from dl4fiji.training.resources import forecast
tf = import_tensorflow()
network = get(sys.argv[1])
options = network.Options.model_validate(json.loads(sys.argv[2]))
trainee = network.compile(network.build(options, 1, 1), options)
train, _ = _compile_steps(trainee)
patches = np.random.default_rng(0).random((options.batch_size, *options.patch_size, 1), np.float32)
for _ in range(2):
    train(tf.constant(patches), tf.constant(patches))
# Not ru_maxrss: a process started from a larger one inherits that one's peak there, across exec.
peak = int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text()).group(1)) * 1024
print(json.dumps([forecast(network, options, (1, 1)).memory, peak]))
"""


def test_more_of_anything_needs_more() -> None:
    usual = forecast(CARE, CARE.Options(), (1, 1)).memory
    assert forecast(CARE, CARE.Options(), (3, 3)).memory > usual
    for values in ({"batch_size": 32}, {"patch_size": "256x256"}, {"first_filters": 64}, {"depth": 4}):
        assert forecast(CARE, CARE.Options.model_validate(values), (1, 1)).memory > usual
    assert forecast(CARE, CARE.Options(), (1, 1), images=2**30).memory == usual + 2**30


def test_advice_only_where_memory_lacks() -> None:
    assert forecast(CARE, CARE.Options(), (1, 1)).advice == ""
    assert forecast(CARE, CARE.Options(), (1, 1), available=2**40).advice == ""
    advice = forecast(CARE, CARE.Options(), (1, 1), available=2**29).advice
    assert "512 MiB" in advice
    assert "batch_size below 16" in advice


def test_time_follows_from_the_speed() -> None:
    known = forecast(CARE, CARE.Options(), (1, 1), steps=3600, steps_per_second=4.0)
    assert known.seconds == 900
    assert known.summary().endswith(", 15 min")
    assert forecast(CARE, CARE.Options(), (1, 1), steps=3600).seconds is None
    assert json.loads(json.dumps(known.as_dict()))["seconds"] == 900


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the peak is read from /proc")
@pytest.mark.parametrize(
    ("network", "options"),
    [
        ("care-2d", {"depth": 2, "kernel_size": 3, "batch_size": 12}),
        pytest.param("care-2d", {"batch_size": 16}, marks=pytest.mark.nightly),
        pytest.param("care-2d", {"depth": 4, "patch_size": "64x64"}, marks=pytest.mark.nightly),
        pytest.param("care-3d", {"batch_size": 4}, marks=pytest.mark.nightly),
    ],
)
def test_agrees_with_the_measured_peak_within_a_quarter(network: str, options: dict[str, Any]) -> None:
    """Row R12, on the CPU, without images."""
    command = [sys.executable, "-c", CHILD, network, json.dumps(options)]
    done = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    told, peak = json.loads(done.splitlines()[-1])
    assert 0.75 * peak <= told <= 1.25 * peak


def _model(models: Path, name: str, speed: float, device: str, created: int, options: Any) -> None:
    folder = ModelFolder(models / name)
    folder.path.mkdir(parents=True)
    folder.write(
        ModelInfo(
            name=name,
            network="care-2d",
            options=options.model_dump(mode="json"),
            axes="YXC",
            channels_in=1,
            channels_out=1,
            normalization=PercentileNormalization(),
            created=datetime(2026, 1, created, tzinfo=UTC),
            training={"steps_per_second": speed, "device": device},
        )
    )


def test_speed_is_that_of_the_newest_model_of_the_kind(tmp_path: Path, tiny: Callable[..., Any]) -> None:
    options = tiny()
    values = options.model_dump(mode="json")
    assert known_speed(tmp_path / "nowhere", "care-2d", values, "CPU") is None
    _model(tmp_path, "old", 3.0, "CPU", 1, options)
    _model(tmp_path, "new", 4.0, "CPU", 3, options)
    _model(tmp_path, "other device", 50.0, "GPU", 4, options)
    _model(tmp_path, "other options", 60.0, "CPU", 5, tiny(batch_size=2))
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "model.json").write_text("{")
    assert known_speed(tmp_path, "care-2d", values, "CPU") == 4.0
    assert known_speed(tmp_path, "care-3d", values, "CPU") is None


def test_figures_for_people() -> None:
    assert format_bytes(850 * 2**20) == "850 MiB"
    assert format_bytes(1.3 * 2**30) == "1.3 GiB"
    assert [format_seconds(seconds) for seconds in (40, 1500, 12600)] == ["40 s", "25 min", "3.5 h"]
