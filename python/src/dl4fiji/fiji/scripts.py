"""The menu scripts: where they are, and how they get into a Fiji that users start by themselves."""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import dl4fiji
from dl4fiji.errors import SetupError
from dl4fiji.files import atomic_path, read_json, write_json
from dl4fiji.home import Home

_LIBRARY = "dl4fiji"
_RECORD = Path(_LIBRARY) / "install.json"


def scripts_folder() -> Path:
    """Return the folder ``fiji-scripts``: inside the installed package, or in the repository.

    Raises
    ------
    SetupError
        If it is in neither place.
    """
    packaged = Path(__file__).parent / "fiji-scripts"
    in_repository = Path(__file__).resolve().parents[4] / "fiji-scripts"
    for folder in (packaged, in_repository):
        if (folder / "library" / "load.groovy").is_file():
            return folder
    raise SetupError("DL4Fiji's menu scripts are missing from its installation: install DL4Fiji again.")


def install(app: Path) -> list[Path]:
    """Put menu scripts, their library and the macros into the Fiji in ``app``; record this Python and home there.

    What an earlier installation of ours left and is no longer needed is removed, unless it was changed since.
    Installing again changes nothing. Files of others are never touched.

    Returns
    -------
    list[Path]
        The installed files, relative to ``app``.

    Raises
    ------
    SetupError
        If ``app`` is no Fiji or ImageJ, cannot be written, or holds a file of someone else under one of our names.
    """
    app = _check_app(app)
    source = scripts_folder()
    wanted = _wanted(source)
    earlier = _earlier(app)
    for target in wanted:
        file = app / target
        ours = target.as_posix() in earlier or not file.exists()
        if not ours and file.read_bytes() != (source / wanted[target]).read_bytes():
            raise SetupError(f"{file} is not from DL4Fiji: move it away and install again.")
    try:
        for target, origin in wanted.items():
            _copy(source / origin, app / target)
        _remove_stale(app, earlier, set(wanted))
        files = {target.as_posix(): _digest(app / target) for target in wanted}
        write_json(
            app / _RECORD,
            {
                "version": dl4fiji.__version__,
                "python": sys.executable,
                "home": str(Home.default().root.absolute()),
                "files": files,
            },
        )
    except OSError as error:
        raise SetupError(f"{app} cannot be written ({error.strerror}): use a Fiji in a folder of your own.") from error
    return [*wanted, _RECORD]


def is_installed(app: Path) -> bool:
    """Tell whether our scripts are in the Fiji in ``app``."""
    return (app / _RECORD).is_file()


def _wanted(source: Path) -> dict[Path, Path]:
    """Return for each file to install, relative to the Fiji, where it is below ``source``."""
    places = {"Plugins": Path("scripts/Plugins"), "library": Path(_LIBRARY), "macros": Path("macros/DL4Fiji")}
    return {
        place / file.relative_to(source / part): file.relative_to(source)
        for part, place in places.items()
        for file in sorted((source / part).rglob("*"))
        if file.is_file()
    }


def _check_app(app: Path) -> Path:
    """Return the folder that holds a Fiji's ``jars`` or an ImageJ's ``ij.jar``."""
    if not app.exists():
        raise SetupError(f"There is no folder {app}: give the folder of your Fiji, e.g. ~/Fiji.app.")
    for folder in (app, app / "Fiji.app", app / "Contents" / "Fiji.app", app.parent):
        if (folder / "jars").is_dir() and ((folder / "plugins").is_dir() or any((folder / "jars").glob("ij*.jar"))):
            break
    else:
        raise SetupError(
            f"{app} is not the folder of a Fiji: it has no folders jars and plugins; give the folder that Fiji was "
            "unpacked to, e.g. ~/Fiji.app."
        )
    if not os.access(folder, os.W_OK):
        raise SetupError(f"{folder} cannot be written by you: use a Fiji in a folder of your own.")
    return folder


def _earlier(app: Path) -> dict[str, str]:
    """Return files and digests of the installation that is there; none if there is none."""
    if not (app / _RECORD).is_file():
        return {}
    try:
        record: Any = read_json(app / _RECORD)
        return dict(record["files"])
    except (ValueError, KeyError, TypeError) as error:
        remedy = f"remove the folder {app / _LIBRARY} and install again"
        raise SetupError(f"{app / _RECORD} is damaged: {remedy}.") from error


def _copy(origin: Path, target: Path) -> None:
    if target.is_file() and target.read_bytes() == origin.read_bytes():
        return
    with atomic_path(target) as partial:
        shutil.copyfile(origin, partial)
        partial.chmod(0o644)


def _remove_stale(app: Path, earlier: dict[str, str], wanted: set[Path]) -> None:
    """Remove files of an earlier installation that are not wanted any more and are as we left them."""
    for name, digest in earlier.items():
        file = app / name
        outside = Path(name).is_absolute() or ".." in Path(name).parts
        if Path(name) in wanted or outside or not file.is_file() or _digest(file) != digest:
            continue
        file.unlink()
        folder = file.parent
        while folder != app and not any(folder.iterdir()):
            folder.rmdir()
            folder = folder.parent


def _digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()
