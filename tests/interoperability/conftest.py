"""Java engines for the tests, fetched once and kept between runs."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs
import pytest

from dl4fiji.home import Home


@pytest.fixture(scope="session")
def engines_home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A fresh home whose engines are those that ``DL4FIJI_ENGINES`` names, or a cache of this user's tests."""
    cache = Path(platformdirs.user_cache_dir("dl4fiji-tests", False)) / "engines"
    os.environ.setdefault("DL4FIJI_ENGINES", str(cache))
    return Home(tmp_path_factory.mktemp("home")).create()
