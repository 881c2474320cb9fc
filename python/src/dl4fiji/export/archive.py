"""Zip files of ours: written the same way each time. Those of others are read by `dl4fiji.archive`.

The unpackers in Fiji (JDLL, appose) write ``../`` outside their folder, so what we hand out is clean.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterable
from pathlib import Path

from dl4fiji.files import atomic_path

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
