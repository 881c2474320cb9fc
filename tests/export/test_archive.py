"""Row S6, and our own zips: bad archives are refused within a second and write nothing."""

from __future__ import annotations

import stat
import time
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from dl4fiji.archive import check_archive, unpack
from dl4fiji.errors import InputError
from dl4fiji.export.archive import write_zip, zip_folder


def _entries(*names: str) -> Callable[[zipfile.ZipFile], None]:
    def write(archive: zipfile.ZipFile) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # zipfile warns of names that occur twice
            for name in names:
                archive.writestr(name, b"content")

    return write


def _link(archive: zipfile.ZipFile) -> None:
    info = zipfile.ZipInfo("link")
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    archive.writestr(info, "/etc/passwd")


def _bomb(archive: zipfile.ZipFile) -> None:
    archive.writestr("zeros", bytes(300 << 20), zipfile.ZIP_DEFLATED)


BAD = {
    "parent": _entries("../evil"),
    "parent inside": _entries("a/../../evil"),
    "parent of Windows": _entries("..\\evil"),
    "absolute": _entries("/etc/evil"),
    "drive": _entries("C:/evil"),
    "share": _entries("\\\\server\\evil"),
    "link": _link,
    "twice": _entries("a", "a"),
    "twice but for case": _entries("a", "A"),
    "too many": _entries(*(str(number) for number in range(10_001))),
    "bomb": _bomb,
}


@pytest.mark.parametrize("case", BAD)
def test_s6_bad_archive(tmp_path: Path, case: str) -> None:
    with zipfile.ZipFile(tmp_path / "bad.zip", "w") as archive:
        BAD[case](archive)
    target = tmp_path / "inner" / "target"
    target.mkdir(parents=True)
    start = time.perf_counter()
    with pytest.raises(InputError, match=r"bad\.zip"):
        unpack(tmp_path / "bad.zip", target)
    assert time.perf_counter() - start <= 1
    assert not list(target.iterdir())
    assert sorted(entry.name for entry in tmp_path.rglob("*")) == ["bad.zip", "inner", "target"]


def test_no_archive(tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(b"no zip at all")
    with pytest.raises(InputError, match="no zip file"):
        check_archive(tmp_path / "a.zip")
    with pytest.raises(InputError, match="no zip file"):
        check_archive(tmp_path / "missing.zip")


def test_a_damaged_archive_is_one_sentence(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("a", b"content" * 100)
    content = bytearray((tmp_path / "a.zip").read_bytes())
    content[60] ^= 0xFF
    (tmp_path / "a.zip").write_bytes(content)
    (tmp_path / "target").mkdir()
    with pytest.raises(InputError, match="damaged"):
        unpack(tmp_path / "a.zip", tmp_path / "target")


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
