"""Files are whole or absent."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from dl4fiji.errors import ResourceError
from dl4fiji.files import atomic_folder, atomic_path, read_json, require_space, write_json


class Power(Exception):
    """Stands for whatever ends a program in the middle."""


def test_an_interrupted_write_leaves_the_old_file_and_no_rest(tmp_path: Path) -> None:
    target = tmp_path / "state.json"
    write_json(target, {"epoch": 1})
    with pytest.raises(Power), atomic_path(target) as partial:
        partial.write_text("half")
        raise Power
    assert read_json(target) == {"epoch": 1}
    assert list(tmp_path.iterdir()) == [target]


def test_the_temporary_name_keeps_the_suffix(tmp_path: Path) -> None:
    with atomic_path(tmp_path / "image.tif") as partial:
        assert partial.suffix == ".tif"
        partial.write_bytes(b"II")
    assert (tmp_path / "image.tif").read_bytes() == b"II"


def test_a_folder_appears_whole_or_not(tmp_path: Path) -> None:
    target = tmp_path / "model"
    with pytest.raises(Power), atomic_folder(target) as partial:
        (partial / "weights.h5").write_bytes(b"1")
        raise Power
    assert not target.exists()
    assert list(tmp_path.iterdir()) == []
    with atomic_folder(target) as partial:
        (partial / "weights.h5").write_bytes(b"1")
    assert (target / "weights.h5").read_bytes() == b"1"


def test_an_existing_folder_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "mine").touch()
    with pytest.raises(FileExistsError), atomic_folder(tmp_path / "model"):
        pytest.fail("the block must not run")
    assert (tmp_path / "model" / "mine").exists()


def test_too_little_space_names_what_is_needed_and_free(tmp_path: Path) -> None:
    free = shutil.disk_usage(tmp_path).free
    require_space(tmp_path / "not" / "yet" / "there", 1, "a byte")
    with pytest.raises(ResourceError, match=r"MiB free, but the prediction needs \d+ MiB: free some space"):
        require_space(tmp_path, free * 2, "the prediction")
