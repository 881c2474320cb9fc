"""The demo's images: a real micrograph of nuclei, made noisy, part of it held out."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from dl4fiji.data.image import open_image
from dl4fiji.data.writer import write_image
from dl4fiji.demo.camera import Camera
from dl4fiji.errors import SetupError

TILE = 128
HELD_OUT = np.s_[256:, 256:]
"""The lower right quarter, which the training never sees."""


@dataclass(frozen=True)
class DemoImages:
    """Where the demo's images lie."""

    source: Path
    """Folder of the noisy training images."""
    target: Path
    """Folder of their noise-free expectations."""
    noisy: Path
    """Held-out noisy image."""
    truth: Path
    """Held-out noise-free expectation."""


def micrograph() -> np.ndarray:
    """Return the micrograph that stardist ships (fluorescent nuclei, uint16, YX 512×512).

    Raises
    ------
    SetupError
        If stardist is not installed.
    """
    # Found without importing stardist, which would load TensorFlow.
    spec = find_spec("stardist")
    if spec is None or not spec.submodule_search_locations:
        raise SetupError("The demo's image comes with the package stardist, which is missing: run `make setup`.")
    return open_image(Path(spec.submodule_search_locations[0]) / "data" / "images" / "img2d.tif").read()


def make_images(folder: Path, seed: int = 2018) -> DemoImages:
    """Write noisy/clean training tiles and the held-out pair below ``folder``."""
    noisy, clean = Camera().expose(micrograph(), np.random.default_rng(seed))
    images = DemoImages(
        folder / "noisy", folder / "clean", folder / "held_out_noisy.tif", folder / "held_out_truth.tif"
    )
    for row in range(0, noisy.shape[0], TILE):
        for column in range(0, noisy.shape[1], TILE):
            if row >= HELD_OUT[0].start and column >= HELD_OUT[1].start:
                continue
            region = np.s_[row : row + TILE, column : column + TILE]
            name = f"tile_y{row:03d}_x{column:03d}.tif"
            write_image(images.source / name, noisy[region], "YX")
            write_image(images.target / name, clean[region], "YX")
    write_image(images.noisy, noisy[HELD_OUT], "YX")
    write_image(images.truth, clean[HELD_OUT], "YX")
    return images
