"""The memory of a prediction is bounded by the tile, not by the image."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from dl4fiji.data.image import open_image
from dl4fiji.data.writer import ImageWriter
from dl4fiji.export import export_model
from dl4fiji.model import ModelFolder
from tiny_models import make_model

_GIB = 2**30


def _write(path: Path, side: int) -> None:
    """Write a uint16 image of noise over a slope, strip by strip."""
    rng = np.random.default_rng(0)
    with ImageWriter(path, "YX", (side, side), np.uint16) as writer:
        for top in range(0, side, 512):
            strip = rng.integers(100, 1000, (512, side), np.uint16) + np.arange(side, dtype=np.uint16) // 16
            writer.write(strip, Y=slice(top, top + 512))


def _measure(model: ModelFolder, image: Path, result: Path) -> dict[str, float]:
    command = [sys.executable, str(Path(__file__).with_name("memory_child.py"))]
    done = subprocess.run([*command, str(model.path), str(image), str(result)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.strip().splitlines()[-1])


def test_four_times_the_image_takes_no_more_memory(plane: ModelFolder, tmp_path: Path) -> None:
    taken = []
    for side in (2048, 4096):
        _write(tmp_path / f"{side}.tif", side)
        measured = _measure(plane, tmp_path / f"{side}.tif", tmp_path / f"{side}-result.tif")
        taken.append(measured["peak"] - measured["idle"])
        assert open_image(tmp_path / f"{side}-result.tif").shape == (side, side)
    assert taken[1] <= 1.25 * taken[0] + (64 << 20)
    assert taken[1] <= 2 * _GIB


@pytest.mark.nightly
@pytest.mark.timeout(7200)
def test_a_very_large_image_takes_at_most_2_gib(tmp_path: Path) -> None:
    """16 384 × 16 384 pixels; the network is a small one, since the size of a tile follows from its filters."""
    model = make_model(tmp_path, depth=2, kernel_size=3, first_filters=16)
    export_model(model, certify=False)
    _write(tmp_path / "large.tif", 16384)
    measured = _measure(model, tmp_path / "large.tif", tmp_path / "result.tif")
    print(measured)
    assert measured["peak"] - measured["idle"] <= 2 * _GIB
    assert open_image(tmp_path / "result.tif").shape == (16384, 16384)
