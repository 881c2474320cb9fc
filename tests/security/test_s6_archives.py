"""Row S6: bad archives are refused within a second, and nothing of them is written."""

from __future__ import annotations

import io
import stat
import struct
import time
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from dl4fiji.archive import ZipFiles, check_archive, open_files, unpack
from dl4fiji.errors import InputError
from dl4fiji.training.sources import open_source
from dl4fiji.training.transfer import find_start


def _entries(*names: str) -> Callable[[zipfile.ZipFile], None]:
    def write(archive: zipfile.ZipFile) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # zipfile warns of names that occur twice
            for name in names:
                archive.writestr(name, b"content")

    return write


def _special(kind: int) -> Callable[[zipfile.ZipFile], None]:
    def write(archive: zipfile.ZipFile) -> None:
        info = zipfile.ZipInfo("weights_best.h5")
        info.external_attr = (kind | 0o777) << 16
        archive.writestr(info, "/etc/passwd")

    return write


def _bomb(archive: zipfile.ZipFile) -> None:
    archive.writestr("zeros", bytes(300 << 20), zipfile.ZIP_DEFLATED)


def _claims(archive: zipfile.ZipFile) -> None:
    """An entry that says to be as large as no model is, and is not."""
    archive.writestr("weights_best.h5", b"content")
    archive.filelist[0].file_size = 2**40


def _nested(archive: zipfile.ZipFile) -> None:
    archive.writestr("weights_best.h5", b"")
    archive.writestr("a/b/../../../evil", b"content")


BAD: dict[str, Callable[[zipfile.ZipFile], None]] = {
    "parent": _entries("../evil"),
    "parent inside": _entries("a/../../evil"),
    "parent of Windows": _entries("..\\evil"),
    "parent after good ones": _nested,
    "absolute": _entries("/etc/evil"),
    "drive": _entries("C:/evil"),
    "share": _entries("\\\\server\\evil"),
    "link": _special(stat.S_IFLNK),
    "device": _special(stat.S_IFCHR),
    "pipe": _special(stat.S_IFIFO),
    "twice": _entries("a", "a"),
    "twice but for case": _entries("weights.h5", "WEIGHTS.h5"),
    "file and folder": _entries("a", "a/"),
    "too many": _entries(*(str(number) for number in range(10_001))),
    "bomb": _bomb,
    "claims too much": _claims,
}


def _made(case: str, path: Path) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        BAD[case](archive)
    return path


@pytest.mark.parametrize("case", BAD)
def test_s6_unpacking(tmp_path: Path, case: str) -> None:
    bad = _made(case, tmp_path / "bad.zip")
    target = tmp_path / "inner" / "target"
    target.mkdir(parents=True)
    start = time.process_time()
    with pytest.raises(InputError, match=r"bad\.zip"):
        unpack(bad, target)
    assert time.process_time() - start <= 1
    assert not list(target.iterdir())
    assert sorted(entry.name for entry in tmp_path.rglob("*")) == ["bad.zip", "inner", "target"]


@pytest.mark.parametrize("case", BAD)
def test_s6_model_to_start_from(tmp_path: Path, case: str) -> None:
    bad = _made(case, tmp_path / "bad.zip")
    for look in (lambda: open_source(bad), lambda: find_start(str(bad), tmp_path / "models")):
        start = time.process_time()
        with pytest.raises(InputError, match=r"bad\.zip"):
            look()
        assert time.process_time() - start <= 1
    assert [entry.name for entry in tmp_path.rglob("*")] == ["bad.zip"]


@pytest.mark.parametrize("case", ["parent", "link", "twice", "too many", "bomb"])
def test_s6_saved_model_within_a_package(tmp_path: Path, case: str) -> None:
    inner = _made(case, tmp_path / "inner.zip").read_bytes()
    (tmp_path / "inner.zip").unlink()
    text = {"weights": {"tensorflow_saved_model_bundle": {"source": "graph.zip"}}}
    with zipfile.ZipFile(tmp_path / "package.zip", "w") as archive:
        archive.writestr("rdf.yaml", yaml.safe_dump(text))
        archive.writestr("graph.zip", inner)
    start = time.process_time()
    with pytest.raises(InputError, match=r"graph\.zip of .*package\.zip"):
        find_start(str(tmp_path / "package.zip"), tmp_path / "models")
    assert time.process_time() - start <= 1
    assert [entry.name for entry in tmp_path.rglob("*")] == ["package.zip"]


def _entry(name: bytes, offset: int, size: int) -> bytes:
    """Return an entry of a zip's directory, stored, at ``offset``."""
    numbers = (0x02014B50, 20, 20, 0, 0, 0, 0, 0, size, size, len(name), 0, 0, 0, 0, 0, offset)
    return struct.pack("<IHHHHHHIIIHHHHHII", *numbers) + name


def _end(count: int, length: int, offset: int) -> bytes:
    return struct.pack("<IHHHHIIH", 0x06054B50, 0, 0, count, count, length, offset, 0)


def test_s6_a_million_entries_are_not_even_read(tmp_path: Path) -> None:
    directory = b"".join(_entry(b"%06d" % number, 0, 0) for number in range(1_000_000))
    for count in (0xFFFF, 5):  # the count may lie
        (tmp_path / "many.zip").write_bytes(directory + _end(count, len(directory), 0))
        start = time.process_time()
        with pytest.raises(InputError, match=r"many\.zip has .* entries, more than the 10000 allowed"):
            check_archive(tmp_path / "many.zip")
        assert time.process_time() - start <= 1


def test_s6_entries_one_over_the_other(tmp_path: Path) -> None:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("a", bytes(1000))
    data = content.getvalue()[: 30 + 1 + 1000]
    directory = b"".join(_entry(b"%d" % number, 0, 1000) for number in range(100))
    (tmp_path / "over.zip").write_bytes(data + directory + _end(100, len(directory), len(data)))
    with pytest.raises(InputError, match=r"over\.zip holds entries that lie one over the other"):
        check_archive(tmp_path / "over.zip")


def test_s6_an_entry_gives_no_more_than_it_says(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a", bytes(100_000))
    raw = bytearray((tmp_path / "a.zip").read_bytes())
    place = raw.rindex(b"PK\1\2") + 24
    raw[place : place + 4] = struct.pack("<I", 10)  # says to unpack to 10 bytes
    (tmp_path / "a.zip").write_bytes(raw)
    with pytest.raises(InputError, match="damaged"):
        ZipFiles(tmp_path / "a.zip", "a.zip").read("a", 1000)
    (tmp_path / "target").mkdir()
    with pytest.raises(InputError, match="damaged"):
        unpack(tmp_path / "a.zip", tmp_path / "target")
    assert sum(file.stat().st_size for file in (tmp_path / "target").iterdir()) <= 10


def test_no_archive(tmp_path: Path) -> None:
    for content in (b"no zip at all", b"", b"PK\5\6", b"PK\3\4" + bytes(100)):
        (tmp_path / "a.zip").write_bytes(content)
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


def test_a_folder_is_looked_into_as_far_as_a_model_goes(tmp_path: Path) -> None:
    (tmp_path / "a" / "b" / "c" / "d").mkdir(parents=True)
    for folder in ("", "a/", "a/b/", "a/b/c/", "a/b/c/d/"):
        (tmp_path / f"{folder}x").write_bytes(b"1")
    (tmp_path / "a" / "around").symlink_to(tmp_path)
    assert open_files(tmp_path).names == ["a/b/c/x", "a/b/x", "a/x", "x"]
    start = time.process_time()
    assert len(open_files(Path("/usr")).names) <= 10_000, "not the whole disk"
    assert time.process_time() - start <= 5
