"""Row I3: images go from Fiji to Python and back without a change."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dl4fiji.data.image import open_image
from dl4fiji.data.writer import write_image
from fiji_process import FijiProcess

pytestmark = pytest.mark.jvm

IMAGES = 100
_CODE = Path(__file__).with_name("handover.groovy").read_text(encoding="utf-8")


def test_i3_a_hundred_images_pass_to_python_and_back_unchanged(
    fiji: FijiProcess, tmp_path: Path, record_property: Callable[[str, Any], None]
) -> None:
    """Random axes, types (8, 16, 32-bit, RGB, 8-bit color, signed), calibrations, virtual stacks, colors, labels.

    Pixels must equal those in Fiji; all else what ImageJ itself keeps of the image in a TIFF.
    """
    folders = [tmp_path / str(seed) for seed in range(IMAGES)]
    for folder in folders:
        folder.mkdir()
    saved = json.loads(fiji.groovy(_CODE, action="save", folders=list(map(str, folders))))
    results = []
    for seed, told in enumerate(saved):
        source = open_image(told["file"])
        array = source.read()
        check_in_python(source, array, told, seed)
        results.append(folders[seed] / "result.tif")
        write_image(results[-1], array, source.axes, source.metadata, rgb=source.rgb)
    files = [told["file"] for told in saved]
    differences = json.loads(fiji.groovy(_CODE, action="compare", files=files, results=list(map(str, results))))
    wrong = [(seed, saved[seed]["bits"], saved[seed]["size"], found) for seed, found in enumerate(differences) if found]
    kinds = {(told["bits"], told["virtual"], sum(n > 1 for n in told["size"][:3])) for told in saved}
    record_property("I3", f"{IMAGES} images of {len(kinds)} kinds, {len(wrong)} changed")
    assert not wrong
    assert len(kinds) > 15


def check_in_python(source: Any, array: np.ndarray, told: dict[str, Any], seed: int) -> None:
    """Compare axes, pixels and pixel size with what Fiji tells of the image."""
    frames, slices, channels, height, width = told["size"]
    sizes = dict(zip("TZCYX", (frames, slices, 3 if told["bits"] == 24 else channels, height, width), strict=True))
    assert {axis: n for axis, n in source.sizes.items() if n > 1} == {a: n for a, n in sizes.items() if n > 1}, seed
    full = array.reshape([sizes[axis] for axis in sorted(source.axes, key=source.axes.index)])
    order = "TZYXC" if told["bits"] == 24 else "TZCYX"
    for axis in order:
        if axis not in source.axes:
            full = full[np.newaxis]
    present = "".join(axis for axis in reversed(order) if axis not in source.axes) + source.axes
    planes = full.transpose([present.index(axis) for axis in order])
    if told["bits"] == 24:
        packed = planes.astype(np.int64)
        flat = (packed[..., 0] << 16 | packed[..., 1] << 8 | packed[..., 2]).ravel()
        np.testing.assert_array_equal(flat, np.asarray(told["values"], np.int64) & 0xFFFFFF, err_msg=str(seed))
    else:
        np.testing.assert_array_equal(planes.ravel(), np.asarray(told["values"], np.float32), err_msg=str(seed))
    for axis, size in zip("XY", told["pixel"], strict=False):
        if axis in source.metadata.pixel_size:
            # ImageJ writes pixels per unit in millionths
            assert source.metadata.pixel_size[axis] == pytest.approx(size, rel=2e-4), seed
