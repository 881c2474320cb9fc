"""Models for the tests of prediction."""

from __future__ import annotations

import pytest

from dl4fiji.model import ModelFolder
from tiny_models import exported


@pytest.fixture(scope="session")
def plane() -> ModelFolder:
    """CARE 2D, one channel."""
    return exported("plane")


@pytest.fixture(scope="session")
def volume() -> ModelFolder:
    """CARE 3D, one channel."""
    return exported("volume")


@pytest.fixture(scope="session")
def probabilistic() -> ModelFolder:
    """CARE 2D, two channels, probabilistic."""
    return exported("probabilistic")
