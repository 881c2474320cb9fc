"""Zip files: written the same way each time, and checked before anything of a foreign one is unpacked.

The unpackers in Fiji (JDLL, appose) write ``../`` outside their folder, so what we hand out is clean, and what
we take in is looked at first.
"""

from __future__ import annotations

import stat
import zipfile
from collections.abc import Iterable
from pathlib import Path, PurePosixPath, PureWindowsPath

from dl4fiji.errors import InputError
from dl4fiji.files import atomic_path

MAX_ENTRIES = 10_000
MAX_BYTES = 8 * 2**30
"""Unpacked; no model of ours comes near."""

MAX_RATIO = 200
"""Unpacked to packed size; deflate reaches it only on files made for it."""

_EPOCH = (1980, 1, 1, 0, 0, 0)


def write_zip(path: Path, files: Iterable[tuple[str, Path]], folders: Iterable[str] = ()) -> None:
    """Write a zip of ``(name inside, file)`` and empty ``folders``; the same content gives the same bytes."""
    with atomic_path(path) as partial, zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as archive:
        for folder in folders:
            archive.writestr(zipfile.ZipInfo(f"{folder.rstrip('/')}/", _EPOCH), b"")
        for name, file in sorted(files):
            info = zipfile.ZipInfo(name, _EPOCH)
            info.compress_type = zipfile.ZIP_DEFLATED
            info.external_attr = 0o644 << 16
            with file.open("rb") as source, archive.open(info, "w", force_zip64=file.stat().st_size >= 2**31) as target:
                while block := source.read(1 << 20):
                    target.write(block)


def zip_folder(folder: Path, path: Path) -> None:
    """Write all files below ``folder`` to the zip ``path``, with names relative to it; empty folders too."""
    files = [(file.relative_to(folder).as_posix(), file) for file in folder.rglob("*") if file.is_file()]
    empty = [entry for entry in folder.rglob("*") if entry.is_dir() and not any(entry.iterdir())]
    write_zip(path, files, sorted(entry.relative_to(folder).as_posix() for entry in empty))


def check_archive(path: Path) -> list[str]:
    """Return the names in a zip that may be unpacked safely.

    Raises
    ------
    InputError
        Naming the archive and what is wrong: no zip, names that lead out of the folder, absolute names, links,
        names that occur twice, too many entries, or more unpacked than it can honestly hold.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise InputError(f"{path.name} is no zip file that can be read: get it again.") from error
    if len(entries) > MAX_ENTRIES:
        raise InputError(f"{path.name} has {len(entries)} entries, more than the {MAX_ENTRIES} allowed: do not use it.")
    seen: set[str] = set()
    packed = unpacked = 0
    for entry in entries:
        reason = _danger(entry, seen)
        if reason:
            raise InputError(f"{path.name} holds {entry.filename[:80]!r}, {reason}: do not use it.")
        seen.add(entry.filename.rstrip("/").casefold())
        packed += entry.compress_size
        unpacked += entry.file_size
    if unpacked > MAX_BYTES or unpacked > MAX_RATIO * max(packed, 2**20):
        raise InputError(
            f"{path.name} would unpack to {unpacked / 2**20:.0f} MiB from {packed / 2**20:.2f} MiB: do not use it."
        )
    return [entry.filename for entry in entries]


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


def unpack(path: Path, folder: Path) -> None:
    """Unpack a checked zip into ``folder``; no entry may turn out longer than it says.

    Raises
    ------
    InputError
        As `check_archive`, or if the archive is damaged.
    """
    check_archive(path)
    try:
        with zipfile.ZipFile(path) as archive:
            for entry in archive.infolist():
                target = folder / entry.filename
                if entry.is_dir():
                    target.mkdir(parents=True, exist_ok=True)
                    continue
                target.parent.mkdir(parents=True, exist_ok=True)
                with archive.open(entry) as source, target.open("xb") as stream:
                    while block := source.read(1 << 20):
                        stream.write(block)
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError) as error:
        raise InputError(f"{path.name} is damaged: get it again.") from error
