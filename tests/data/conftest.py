"""Small images for the tests of `dl4fiji.data`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from dl4fiji.data.writer import write_image
from dl4fiji.jobs.job import DataRequest

Folders = SimpleNamespace


@pytest.fixture
def folders(tmp_path: Path) -> Folders:
    """A source and a target folder with a function that fills them."""
    source, target = tmp_path / "noisy", tmp_path / "clean"
    source.mkdir()
    target.mkdir()

    def request(**fields: str) -> DataRequest:
        return DataRequest(**{"source": str(source), "target": str(target), **fields})

    def fill(count: int = 4, shape: tuple[int, ...] = (64, 64), axes: str = "YX", dtype: str = "uint16") -> None:
        for number in range(count):
            image = picture(shape, number, dtype)
            write_image(source / f"cell{number}.tif", image, axes)
            write_image(target / f"cell{number}.tif", image // 2, axes)

    return SimpleNamespace(source=source, target=target, request=request, fill=fill)


def picture(shape: tuple[int, ...], seed: int = 0, dtype: str = "uint16") -> np.ndarray:
    """Noise that is different for each seed."""
    high = 250 if np.dtype(dtype) == np.uint8 else 4000
    return np.random.default_rng(seed).integers(1, high, shape).astype(dtype)


@pytest.fixture
def make_picture() -> Callable[..., np.ndarray]:
    """`picture`, for tests that need other images than `folders` makes."""
    return picture
