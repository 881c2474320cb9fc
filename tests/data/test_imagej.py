"""Row I3: images that Python wrote pass through ImageJ unchanged, with all that ImageJ keeps of them."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from dl4fiji.data.axes import move_axes
from dl4fiji.data.image import Metadata, open_image
from dl4fiji.data.writer import write_image

PROGRAM = Path(__file__).with_name("ResaveInImageJ.java")


@pytest.fixture(scope="module")
def imagej() -> Path:
    """ImageJ's jar, from the local Maven repository."""
    if shutil.which("javac") is None:
        pytest.skip("no JDK: install one, for instance `apt-get install default-jdk-headless`")
    jars = sorted((Path.home() / ".m2" / "repository" / "net" / "imagej" / "ij").glob("*/ij-1.5*.jar"))
    if not jars:
        pytest.skip("ImageJ has not been fetched from Maven Central yet: `dl4fiji fiji --headless` does so")
    return jars[-1]


def random_image(rng: np.random.Generator) -> tuple[str, np.ndarray, Metadata, bool]:
    """An image of random axes, type, calibration, colors and labels."""
    axes = "".join(rng.permutation([*"YX", *rng.permutation([*"TZC"])[: rng.integers(4)]]))
    shape = tuple(int(rng.integers(2, 6)) if axis in "TZC" else int(rng.integers(1, 30)) for axis in axes)
    color = bool(rng.random() < 0.15)
    if color:
        axes = axes.replace("C", "") + "C"
        shape = (*(int(rng.integers(2, 9)) for _ in axes[:-1]), 3)
    dtype = np.uint8 if color else rng.choice(["u1", "u2", "f4"])
    pixels = (rng.random(shape) * 250).astype(dtype)
    sizes = dict(zip(axes, shape, strict=True))
    channels = 1 if color else sizes.get("C", 1)
    planes = channels * sizes.get("Z", 1) * sizes.get("T", 1)
    colored = channels > 1 or (dtype == "u1" and planes == 1 and rng.random() < 0.5)
    size = {axis: 1.0 / (int(rng.integers(10**3, 10**9)) / 10**6) for axis in "XY"}
    metadata = Metadata(
        pixel_size=size | ({"Z": float(rng.random() * 5)} if planes > 1 else {}),
        unit=str(rng.choice(["µm", "nm", "Å"])),
        frame_interval=float(rng.choice([0, 0.125, 3])),
        time_unit=str(rng.choice(["", "min"])),
        display_ranges=() if color or dtype == "u1" else tuple((1.0 + c, 200.0 + c) for c in range(channels)),
        luts=tuple(rng.bytes(768) for _ in range(channels)) if colored and not color else (),
        slice_labels=tuple(f"plane {number} é" for number in range(planes))
        if planes > 1 and rng.random() < 0.5
        else (),
        info="Hällo\nWelt" if rng.random() < 0.5 else "",
        properties={"Objective": "63×"} if rng.random() < 0.3 else {},
    )
    return axes, pixels, metadata, color


@pytest.mark.jvm
def test_i3_images_pass_through_imagej_unchanged(imagej, tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "out").mkdir()
    images = {}
    for number in range(100):
        name = f"{number:03}.tif"
        images[name] = random_image(np.random.default_rng(number))
        axes, pixels, metadata, color = images[name]
        write_image(tmp_path / "in" / name, pixels, axes, metadata, rgb=color)
    command = ["java", "-Djava.awt.headless=true", "-cp", str(imagej), str(PROGRAM)]
    done = subprocess.run(
        [*command, str(tmp_path / "in"), str(tmp_path / "out")], capture_output=True, timeout=200, check=False
    )
    assert done.returncode == 0, done.stderr.decode()[-2000:]
    lines = [line.split("\t") for line in done.stdout.decode().splitlines()]
    assert [line[0] for line in lines] == sorted(images)
    for name, sizes_told, calibration, unit, time_unit in lines:
        axes, pixels, metadata, color = images[name]
        sizes = dict(zip(axes, pixels.shape, strict=True))
        channels, depth = (1, 24) if color else (sizes.get("C", 1), 8 * pixels.dtype.itemsize)
        expected = [sizes["X"], sizes["Y"], channels, sizes.get("Z", 1), sizes.get("T", 1), depth]
        assert sizes_told == " ".join(map(str, expected)), name
        x, y, z, interval = map(float, calibration.split())
        size = metadata.pixel_size
        assert (x, y, z, interval) == (size["X"], size["Y"], size.get("Z", 1.0), metadata.frame_interval), name
        assert unit == metadata.unit
        assert time_unit == (metadata.time_unit or "sec")

        sent, back = open_image(tmp_path / "in" / name), open_image(tmp_path / "out" / name)
        assert np.array_equal(move_axes(back.read(), back.axes, axes), pixels), name
        assert back.dtype == pixels.dtype
        assert back.rgb == color
        for field in ("unit", "frame_interval", "time_unit", "slice_labels", "info", "luts", "properties"):
            assert getattr(back.metadata, field) == getattr(sent.metadata, field), (name, field)
        if metadata.display_ranges:
            assert back.metadata.display_ranges == sent.metadata.display_ranges, name
        assert back.metadata.pixel_size == pytest.approx(sent.metadata.pixel_size, rel=1e-5), name  # as ImageJ rounds
