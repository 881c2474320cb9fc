"""Foreign archives and folders: looked at before anything is taken out of them.

The one place where zips that others made are opened. `check_archive` refuses those that would write outside their
folder or fill the disk; `unpack` and `open_files` go through it.
"""

from __future__ import annotations

import io
import os
import stat
import struct
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import IO, Protocol

from dl4fiji.errors import InputError

MAX_ENTRIES = 10_000
MAX_BYTES = 8 * 2**30
"""Unpacked; no model of ours comes near."""

MAX_RATIO = 200
"""Unpacked to packed size; deflate reaches it only on files made for it."""

LARGEST_WEIGHTS = 4 * 2**30
"""Bytes; a file of weights that claims more is not read."""

_MAX_DIRECTORY = 4 * 2**20
"""Bytes of the list of entries: 10 000 of them need far less."""
_MAX_DEPTH = 4
"""Folders below a model's folder that are looked into."""

Archive = Path | IO[bytes]


def check_archive(archive: Archive, title: str = "") -> list[str]:
    """Return the names in a zip that may be unpacked safely.

    Parameters
    ----------
    archive
        The zip, by path or open.
    title
        What errors call it; the file's name by default.

    Raises
    ------
    InputError
        Naming the archive and what is wrong: no zip, names that lead out of the folder, absolute names, links,
        names that occur twice, too many entries, or more unpacked than it can honestly hold.
    """
    title = title or (archive.name if isinstance(archive, Path) else "The archive")
    try:
        size = _check_directory(archive, title)
        with zipfile.ZipFile(archive) as opened:
            entries = opened.infolist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, struct.error) as error:
        raise InputError(f"{title} is no zip file that can be read: get it again.") from error
    if len(entries) > MAX_ENTRIES:
        raise InputError(f"{title} has {len(entries)} entries, more than the {MAX_ENTRIES} allowed: do not use it.")
    seen: set[str] = set()
    packed = unpacked = 0
    for entry in entries:
        reason = _danger(entry, seen)
        if reason:
            raise InputError(f"{title} holds {entry.filename[:80]!r}, {reason}: do not use it.")
        seen.add(entry.filename.rstrip("/").casefold())
        packed += entry.compress_size
        unpacked += entry.file_size
    if unpacked > MAX_BYTES or unpacked > MAX_RATIO * max(packed, 2**20):
        raise InputError(
            f"{title} would unpack to {unpacked / 2**20:.0f} MiB from {packed / 2**20:.2f} MiB: do not use it."
        )
    if packed > size:
        raise InputError(f"{title} holds entries that lie one over the other: do not use it.")
    return [entry.filename for entry in entries]


def _check_directory(archive: Archive, title: str) -> int:
    """Return the archive's size; refuse a list of entries so long that reading it alone would take its time."""
    with archive.open("rb") if isinstance(archive, Path) else _kept_open(archive) as stream:
        size = stream.seek(0, os.SEEK_END)
        stream.seek(max(0, size - 22 - 0xFFFF))
        tail = stream.read()
    end = tail.rfind(b"PK\5\6")
    if end < 0 or len(tail) - end < 22:
        raise zipfile.BadZipFile
    count, length = struct.unpack_from("<HL", tail, end + 10)
    if count > MAX_ENTRIES or length > _MAX_DIRECTORY:
        counted = str(count) if count < 0xFFFF else "65535 or more"
        raise InputError(f"{title} has {counted} entries, more than the {MAX_ENTRIES} allowed: do not use it.")
    return size


@contextmanager
def _kept_open(stream: IO[bytes]) -> Iterator[IO[bytes]]:
    yield stream


def _danger(entry: zipfile.ZipInfo, seen: set[str]) -> str:
    """Return why an entry must not be unpacked, or an empty text."""
    name = entry.filename
    windows = PureWindowsPath(name)
    if not name or "\0" in name or name.startswith(("/", "\\")) or windows.drive or PurePosixPath(name).is_absolute():
        return "an absolute name"
    if ".." in PurePosixPath(name).parts or ".." in windows.parts:
        return "a name that leads out of its folder"
    kind = stat.S_IFMT(entry.external_attr >> 16)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        return "a link or special file"
    if name.rstrip("/").casefold() in seen:
        return "a name that occurs twice"
    return ""


def unpack(archive: Archive, folder: Path, title: str = "") -> None:
    """Unpack a checked zip into ``folder``; no entry may turn out longer than it says.

    Raises
    ------
    InputError
        As `check_archive`, or if the archive is damaged.
    """
    title = title or (archive.name if isinstance(archive, Path) else "The archive")
    check_archive(archive, title)
    try:
        with zipfile.ZipFile(archive) as opened:
            for entry in opened.infolist():
                target = folder / entry.filename
                if entry.is_dir():
                    target.mkdir(parents=True, exist_ok=True)
                    continue
                target.parent.mkdir(parents=True, exist_ok=True)
                with opened.open(entry) as source, target.open("xb") as stream:
                    while block := source.read(1 << 20):
                        stream.write(block)
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError) as error:
        raise InputError(f"{title} is damaged: get it again.") from error


class Files(Protocol):
    """The files of something foreign, by their names relative to it, with ``/``."""

    @property
    def names(self) -> list[str]:
        """All names, sorted; of folders only what is near the top."""
        ...

    def size(self, name: str) -> int:
        """Return the bytes of a file."""
        ...

    def read(self, name: str, limit: int) -> bytes:
        """Return a file's content; InputError if that is more than ``limit`` bytes or damaged."""
        ...


class NamedFiles:
    """Files that lie anywhere on the disk, under the names given.

    Parameters
    ----------
    paths
        Where each file is.
    """

    def __init__(self, paths: dict[str, Path]) -> None:
        self._paths = paths

    @property
    def names(self) -> list[str]:
        """All names."""
        return sorted(self._paths)

    def size(self, name: str) -> int:
        """Return the bytes of a file."""
        return self._paths[name].stat().st_size

    def read(self, name: str, limit: int) -> bytes:
        """Return a file's content."""
        path = self._paths[name]
        _check_size(str(path), path.stat().st_size, limit)
        return path.read_bytes()


class ZipFiles:
    """Files in a zip; nothing is unpacked to the disk.

    Parameters
    ----------
    archive
        The zip, by path or open; it is checked first.
    title
        What errors call it.
    """

    def __init__(self, archive: Archive, title: str) -> None:
        self._archive, self._title = archive, title
        self.names = sorted(name for name in check_archive(archive, title) if not name.endswith("/"))
        """All names."""

    def size(self, name: str) -> int:
        """Return the bytes of a file, unpacked."""
        with zipfile.ZipFile(self._archive) as opened:
            return opened.getinfo(name).file_size

    def read(self, name: str, limit: int) -> bytes:
        """Return a file's content."""
        _check_size(f"{name} in {self._title}", self.size(name), limit)
        try:
            with zipfile.ZipFile(self._archive) as opened:
                return opened.read(name)
        except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, OSError) as error:
            raise InputError(f"{self._title} is damaged: get it again.") from error


def open_files(path: Path, title: str = "") -> Files:
    """Return the files of a folder or a zip.

    Raises
    ------
    InputError
        If it is a zip that `check_archive` refuses.
    """
    if path.is_dir():
        return NamedFiles(dict(_near_the_top(path)))
    return ZipFiles(path, title or str(path))


def _near_the_top(root: Path) -> Iterator[tuple[str, Path]]:
    """Yield the files below ``root``, the upper ones first; hidden ones, linked folders and what is too much left out.

    A user may name any folder, a whole disk among them.
    """
    waiting, left = [(root, "", 1)], MAX_ENTRIES
    while waiting and left > 0:
        folder, prefix, depth = waiting.pop(0)
        try:
            with os.scandir(folder) as found:
                entries = sorted(islice(found, left), key=lambda entry: entry.name)
        except PermissionError:
            continue
        left -= len(entries)
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if entry.is_file():
                yield prefix + entry.name, Path(entry.path)
            elif depth < _MAX_DEPTH and entry.is_dir(follow_symlinks=False):
                waiting.append((Path(entry.path), f"{prefix}{entry.name}/", depth + 1))


def _check_size(title: str, size: int, limit: int) -> None:
    if size > limit:
        raise InputError(
            f"{title} has {size / 2**20:.0f} MiB where at most {limit / 2**20:.0f} MiB can be right: do not use it."
        )


def as_stream(content: bytes) -> IO[bytes]:
    """Return ``content`` as an open file, e.g. a zip within a zip."""
    return io.BytesIO(content)
