"""A tiny real problem: noisy and clean images that a network of a few hundred weights learns to restore."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import tifffile
from scipy import ndimage

from dl4fiji.networks import get
from dl4fiji.progress import SilentProgress


class Watcher(SilentProgress):
    """Keeps what it is told; asks to stop at the given number of batches."""

    def __init__(self, cancel_after: int | None = None) -> None:
        super().__init__()
        self.cancel_after = cancel_after
        self.asked = 0
        self.phases: list[str] = []
        self.updates: list[dict[str, Any]] = []

    def phase(self, text: str) -> None:
        self.phases.append(text)

    def update(self, done: int, total: int, **values: Any) -> None:
        self.updates.append({"done": done, "total": total, **values})

    def canceled(self) -> bool:
        # Only what is asked while it trains counts, so that the number is one of batches.
        if any(phase.startswith("Training") for phase in self.phases) or not self.phases:
            self.asked += 1
        return self.cancel_after is not None and self.asked >= self.cancel_after


@pytest.fixture
def watcher() -> type[Watcher]:
    """The class of a progress that can cancel."""
    return Watcher


def make_image(seed: int, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Return a clean image and a noisy one of it."""
    rng = np.random.default_rng(seed)
    clean = ndimage.gaussian_filter(rng.random(shape), 2)
    clean = (clean - clean.min()) / np.ptp(clean) * 2000 + 100
    return clean, np.clip(clean + rng.normal(0, 300, shape), 0, None)


@pytest.fixture
def pairs(tmp_path: Path) -> Callable[..., Any]:
    """Write pairs of images and return their data fields."""

    def make(count: int = 6, shape: tuple[int, ...] = (64, 64), folder: str = "data") -> Any:
        axes = "ZYX"[-len(shape) :]
        for number in range(count):
            for role, image in zip(("target", "source"), make_image(number, shape), strict=True):
                file = tmp_path / folder / role / f"cell {number}.tif"
                file.parent.mkdir(parents=True, exist_ok=True)
                tifffile.imwrite(
                    file, image.astype(np.uint16), imagej=True, resolution=(4, 4),
                    metadata={"axes": axes, "unit": "micron"},
                )  # fmt: skip
        return SimpleNamespace(
            source=str(tmp_path / folder / "source"), target=str(tmp_path / folder / "target"),
            validation_source="", validation_target="", axes="",
        )  # fmt: skip

    return make


@pytest.fixture
def tiny() -> Callable[..., Any]:
    """Return CARE 2D options that train in seconds."""

    def make(name: str = "care-2d", **values: Any) -> Any:
        usual = {
            "epochs": 3, "steps_per_epoch": 6, "batch_size": 4, "patches_per_image": 8, "depth": 1, "kernel_size": 3,
            "first_filters": 4, "patch_size": "32x32" if name == "care-2d" else "8x16x16", "learning_rate": 2e-3,
            "background_rejection": False,
        }  # fmt: skip
        return get(name).Options.model_validate(usual | values)

    return make
