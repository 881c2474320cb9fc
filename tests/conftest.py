"""Fixtures that all tests share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from dl4fiji.home import Home

REPOSITORY = Path(__file__).resolve().parents[1]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """A fresh home, also for child processes."""
    monkeypatch.setenv("DL4FIJI_HOME", str(tmp_path / "home"))
    return Home.default().create()


@pytest.fixture(scope="session")
def repository() -> Path:
    """The repository's root."""
    return REPOSITORY


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real microscopy images that lie beside the repository, where they do."""
    folder = Path(os.environ.get("DL4FIJI_SHARED", REPOSITORY.parent / "shared")) / "data"
    if not folder.is_dir():
        pytest.skip(f"no real images at {folder}: set DL4FIJI_SHARED to the folder that holds data/")
    return folder
