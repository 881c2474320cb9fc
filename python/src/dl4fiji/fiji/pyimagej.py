"""A Fiji in this Python through pyimagej."""

from __future__ import annotations

import atexit
import logging
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from dl4fiji.errors import SetupError
from dl4fiji.fiji.embedded import explain, require_display
from dl4fiji.fiji.scripts import is_installed, scripts_folder

_SCRIPTS_PROPERTY = "scijava.scripts.path"


def start_fiji(app: str | Path, headless: bool, properties: dict[str, str], notes: list[str]) -> Any:
    """Start a Fiji with our scripts in its menu and return pyimagej's gateway; None if it cannot be reached.

    Parameters
    ----------
    app
        A Fiji's folder, or an endpoint such as ``sc.fiji:fiji``.
    headless
        Without windows.
    properties
        System properties that tell our scripts where things are.
    notes
        Gets a sentence if Fiji cannot be fetched, and where something does not work without a network.

    Raises
    ------
    SetupError
        If the folder is no Fiji, or windows cannot be shown.
    """
    import scyjava

    folder = _folder(app)
    require_display(headless)
    logging.getLogger("imagej").setLevel(logging.CRITICAL)  # its errors are raised as well
    import imagej  # adds imglyb's endpoint

    scyjava.config.set_java_constraints(fetch="auto")
    _set_properties(folder, properties)
    has_imglyb = folder is not None and any((folder / "jars").rglob("imglib2-imglyb-*.jar"))
    if has_imglyb:
        _drop_imglyb()
    target = str(folder or app)
    try:
        return _init(imagej, target, headless)
    except Exception as error:
        if scyjava.jvm_started():
            reason = _last_line(error)
            raise SetupError(f"The Fiji at {target} does not start ({reason}): start it by itself once.") from error
        if folder is None:
            notes.append(
                f"{app} could not be fetched ({_last_line(error)}), so this is the embedded ImageJ: give the folder of "
                "a Fiji by --app, or connect to the internet."
            )
            scyjava.config.endpoints.clear()
            _forget_imglyb()
            return None
    _drop_imglyb()
    _forget_imglyb()
    notes.append("imglib2-imglyb could not be fetched: images cannot be passed to NumPy in this session.")
    try:
        return _init(imagej, target, headless)
    except Exception as error:
        raise SetupError(explain(error)) from error


def _folder(app: str | Path) -> Path | None:
    """Return the folder with a Fiji's jars; None if ``app`` is an endpoint; SetupError if it is neither."""
    path = Path(app).expanduser()
    if path.exists():
        for folder in (path, path / "Fiji.app", path / "Contents" / "Fiji.app"):
            if (folder / "jars").is_dir() and any((folder / "jars").rglob("imagej-legacy*.jar")):
                return folder.absolute()
        raise SetupError(
            f"{app} is not the folder of a Fiji: it has no folder jars with ImageJ2 in it; give the folder that Fiji "
            "was unpacked to, e.g. ~/Fiji.app."
        )
    if ":" in str(app) and not path.is_absolute() and "/" not in str(app):
        return None
    raise SetupError(f"There is no folder {app}: give the folder of your Fiji, or an endpoint such as sc.fiji:fiji.")


def _set_properties(folder: Path | None, properties: dict[str, str]) -> None:
    """Tell our scripts where things are, and Fiji where our scripts are, unless they are installed in it."""
    import scyjava

    if folder is not None and is_installed(folder):
        own = {key: properties[key] for key in ("dl4fiji.python", "dl4fiji.home")}
    else:
        # only what belongs into the menu: SciJava makes a command of every script below the folder it is given
        menu = Path(tempfile.mkdtemp(prefix="dl4fiji-menu-"))
        atexit.register(shutil.rmtree, menu, ignore_errors=True)
        shutil.copytree(scripts_folder() / "Plugins", menu / "Plugins")
        own = {**properties, _SCRIPTS_PROPERTY: str(menu)}
    for key, value in own.items():
        scyjava.config.add_option(f"-D{key}={value}")


def _drop_imglyb() -> None:
    import scyjava

    kept = [endpoint for endpoint in scyjava.config.endpoints if "imglib2-imglyb" not in endpoint]
    scyjava.config.endpoints[:] = kept


def _forget_imglyb() -> None:
    """Keep imglyb from looking for its classes when the JVM starts, where these are not to be had.

    scyjava has no call to take a callback back.
    """
    import scyjava._jvm

    callbacks = scyjava._jvm._startup_callbacks
    callbacks[:] = [callback for callback in callbacks if not callback.__module__.startswith("imglyb")]


def _init(imagej: Any, target: str, headless: bool) -> Any:
    if headless:
        return imagej.init(target, mode="headless")
    if sys.platform == "darwin":
        # Windows need the main thread there: pyimagej shows Fiji and blocks until it is closed.
        imagej.init(target, mode="gui")
        raise SystemExit(0)
    gateway = imagej.init(target, mode="interactive")
    gateway.ui().showUI()
    return gateway


def _last_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[-1]
