"""Exported models for the tests of the export."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from dl4fiji.model import ModelFolder
from tiny_models import VARIANTS, exported


@pytest.fixture(params=VARIANTS)
def model(request: pytest.FixtureRequest) -> ModelFolder:
    """Each exported model in turn; not to be changed."""
    return exported(request.param)


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A copy of an exported package, to be changed."""
    return shutil.copytree(exported("plane").package, tmp_path / "package")
