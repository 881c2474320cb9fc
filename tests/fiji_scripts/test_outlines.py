"""Outlines drawn in Fiji are targets of a training: overlays of open images, and those of the image itself."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from dl4fiji.client import ServiceClient
from dl4fiji.data.image import open_image
from dl4fiji.data.pairs import open_pairs
from dl4fiji.jobs.job import DataRequest
from fiji_process import FijiError, FijiProcess
from serving import wait_until

pytestmark = pytest.mark.jvm

DRAW = """
    newImage("cells", "16-bit noise", 128, 128, 2); Stack.setDimensions(1, 1, 2);
    makeOval(10, 12, 21, 17); Roi.setName("a"); Roi.setPosition(1); run("Add Selection...");
    makePolygon(60, 60, 90, 66, 71, 99); Roi.setPosition(2); run("Add Selection...");
    newImage("filled", "16-bit black", 128, 128, 2); Stack.setDimensions(1, 1, 2);
    setSlice(1); makeOval(10, 12, 21, 17); setColor(1); fill();
    setSlice(2); makePolygon(60, 60, 90, 66, 71, 99); setColor(2); fill();
    saveAs("Tiff", getArgument()); close();
"""
TINY = "patch_size=32x32 depth=1 first_filters=4 epochs=5000 wait=false"
"""A training that does not end by itself."""


@pytest.fixture
def client(fiji: FijiProcess) -> Iterator[ServiceClient]:
    """A client of the service that the scripts use."""
    with ServiceClient.connect(fiji.home) as client:
        yield client
    fiji.run_macro('run("Close All");')


@pytest.mark.parametrize("target", ["[overlay of cells]", "cells"])
def test_the_overlay_of_an_open_image_becomes_labels(
    target: str, fiji: FijiProcess, client: ServiceClient, tmp_path: Path
) -> None:
    fiji.run_macro(DRAW, f"{tmp_path}/filled.tif")
    fiji.run_macro('run("U-Net 2D", getArgument());', f"source=cells target={target} name=[{tmp_path.name}] {TINY}")
    job = client.jobs()[0]
    client.cancel(job.id)
    data = DataRequest(**job.request["data"])
    assert data.target.endswith("overlay of cells_rois.zip" if "overlay" in target else "cells.tif")
    labels = open_pairs(data, "YXC", form="labels").pairs[0].target
    assert labels is not None
    assert labels.axes == "TYX"
    np.testing.assert_array_equal(labels.read(), open_image(f"{tmp_path}/filled.tif").read())
    wait_until(lambda: client.job(job.id).state.ended, 30, "the cancel")


def test_outlines_that_are_not_there_are_said(fiji: FijiProcess, client: ServiceClient) -> None:
    fiji.run_macro('newImage("plain", "8-bit ramp", 64, 64, 1);')
    for target, said in {"overlay of plain": "'plain' has no overlay", "ROI Manager": "ROI Manager holds no"}.items():
        with pytest.raises(FijiError, match=said):
            fiji.run_macro('run("U-Net 2D", getArgument());', f"source=plain target=[{target}]")


def test_a_macro_writes_a_preview_of_the_patches(fiji: FijiProcess, client: ServiceClient, tmp_path: Path) -> None:
    fiji.run_macro(DRAW, f"{tmp_path}/filled.tif")
    before = len(client.jobs())
    macro = 'run("DL4Fiji StarDist 2D", getArgument()); return getInfo("dl4fiji.files");'
    options = f"source=cells target=[overlay of cells] patch_size=64x64 preview=[{tmp_path}/patches.png]"
    assert fiji.run_macro(macro, options) == f"{tmp_path}/patches.png"
    assert (tmp_path / "patches.png").read_bytes().startswith(b"\x89PNG")
    assert any("9 training patches of 64×64 pixels with their labels" in line for line in fiji.printed)
    assert len(client.jobs()) == before
