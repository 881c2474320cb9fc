"""Our own zips: the same each time, safe by our own check, whole or not there."""

from __future__ import annotations

from pathlib import Path

import pytest

from dl4fiji.archive import check_archive, unpack
from dl4fiji.export.archive import write_zip, zip_folder


def test_our_zips_pass_and_are_the_same_each_time(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    (folder / "variables").mkdir(parents=True)
    (folder / "deep").mkdir()
    (folder / "saved_model.pb").write_bytes(b"graph" * 1000)
    (folder / "deep" / "ü.txt").write_text("text")
    for name in ("a.zip", "b.zip"):
        zip_folder(folder, tmp_path / name)
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()
    assert set(check_archive(tmp_path / "a.zip")) == {"variables/", "saved_model.pb", "deep/ü.txt"}
    (tmp_path / "out").mkdir()
    unpack(tmp_path / "a.zip", tmp_path / "out")
    assert (tmp_path / "out" / "saved_model.pb").read_bytes() == b"graph" * 1000
    assert (tmp_path / "out" / "variables").is_dir()


def test_a_zip_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(b"former")
    with pytest.raises(FileNotFoundError):
        write_zip(tmp_path / "a.zip", [("missing", tmp_path / "missing")])
    assert (tmp_path / "a.zip").read_bytes() == b"former"
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.zip"]
