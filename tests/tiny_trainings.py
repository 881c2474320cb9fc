"""Data for trainings of a moment, one for each kind of network, with file names that must be escaped."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import tifffile
from scipy import ndimage

from dl4fiji.networks import get

NASTY = "<img src=x onerror=alert(1)> & cell"
"""How image files begin: a name that would run in a page that does not escape it."""

KINDS = ("care-2d", "care-3d", "noise2void-2d", "unet-2d", "stardist-2d")

TINY: dict[str, dict[str, Any]] = {
    "care-2d": {"depth": 1, "kernel_size": 3, "first_filters": 4, "patch_size": "32x32", "learning_rate": 2e-3},
    "care-3d": {"depth": 1, "kernel_size": 3, "first_filters": 4, "patch_size": "8x16x16", "learning_rate": 2e-3},
    "noise2void-2d": {"depth": 1, "first_filters": 4, "patch_size": "32x32"},
    "unet-2d": {"depth": 1, "first_filters": 8, "patch_size": "32x32", "learning_rate": 3e-3},
    "stardist-2d": {"depth": 1, "first_filters": 8, "patch_size": "32x32", "rays": 8, "feature_filters": 16,
                    "learning_rate": 3e-3, "augmentation": False},
}  # fmt: skip


def write_images(folder: Path, network: str, count: int = 8) -> SimpleNamespace:
    """Write images with their truth: noisy and clean, or objects and their labels."""
    task, axes = get(network).task, "ZYX" if network.endswith("3d") else "YX"
    shape = (10, 40, 44) if len(axes) == 3 else (64, 72)
    for number in range(count):
        rng = np.random.default_rng(number)
        smooth = ndimage.gaussian_filter(rng.random(shape), 2)
        clean = (smooth - smooth.min()) / np.ptp(smooth) * 2000 + 100
        truth = clean.astype(np.uint16)
        if task != "restoration":
            truth = np.zeros(shape, np.uint16)
            for index, (y, x) in enumerate(np.ndindex(3, 4), start=1):
                truth[3 + 20 * y :, 3 + 17 * x :][:12, :11] = index
            clean = 400 + 1200 * (truth > 0)
        noisy = np.clip(clean + rng.normal(0, 200, shape), 0, None).astype(np.uint16)
        for role, image in (("source", noisy), ("target", truth)):
            file = folder / role / f"{NASTY} {number}.tif"
            file.parent.mkdir(parents=True, exist_ok=True)
            tifffile.imwrite(
                file, image, imagej=True, resolution=(4, 4), metadata={"axes": axes, "unit": "micron"}
            )  # fmt: skip
    return SimpleNamespace(
        source=str(folder / "source"), target=str(folder / "target"), validation_source="", validation_target="",
        axes="",
    )  # fmt: skip
