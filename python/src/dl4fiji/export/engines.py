"""The TensorFlow Java engines that Fiji's plugins run models with, fetched from Maven Central once.

Every engine has a folder of jars of its own below ``engines/``, which appears only when it is whole. jgo knows
where Maven Central is and checks what it sends.
"""

from __future__ import annotations

import os
import platform
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from dl4fiji.errors import SetupError
from dl4fiji.files import atomic_folder, require_space
from dl4fiji.home import Home
from dl4fiji.progress import Progress

_MIB = 2**20


@dataclass(frozen=True)
class Engine:
    """An engine of Fiji.

    Parameters
    ----------
    version
        Version of TensorFlow.
    interface
        Its Java interface: 1 as in TensorFlow 1.15, 2 as in TensorFlow Java 0.4 and 0.5.
    coordinates
        Jars as ``group:artifact:version``; a trailing ``:native`` takes the jar for this machine.
    platforms
        Machines it exists for.
    size
        Bytes to fetch, about.
    """

    version: str
    interface: Literal[1, 2]
    coordinates: tuple[str, ...]
    platforms: tuple[str, ...]
    size: int

    @property
    def name(self) -> str:
        """Its name in certificates."""
        return f"TensorFlow Java {self.version}"


_DESKTOPS = ("linux-x86_64", "macosx-x86_64", "windows-x86_64")


def _tensorflow_java(version: str, release: str, javacpp: str, ndarray: str, size: int) -> Engine:
    return Engine(
        version,
        2,
        (
            f"org.tensorflow:tensorflow-core-api:{release}",
            f"org.tensorflow:tensorflow-core-api:{release}:native",
            f"org.bytedeco:javacpp:{javacpp}",
            f"org.bytedeco:javacpp:{javacpp}:native",
            f"org.tensorflow:ndarray:{ndarray}",
            "com.google.protobuf:protobuf-java:3.19.4",
        ),
        _DESKTOPS,
        size,
    )


ENGINES: tuple[Engine, ...] = (
    Engine(
        "1.15.0",
        1,
        ("org.tensorflow:libtensorflow:1.15.0", "org.tensorflow:libtensorflow_jni:1.15.0"),
        _DESKTOPS,
        160 * _MIB,
    ),
    _tensorflow_java("2.7.4", "0.4.2", "1.5.6", "0.3.3", 170 * _MIB),
    _tensorflow_java("2.10.1", "0.5.0", "1.5.8", "0.4.0", 190 * _MIB),
)
"""What Fiji's plugins use: CSBDeep, StarDist and N2V the first, DeepImageJ any of them."""


def machine() -> str:
    """Return this machine as Java's native jars name it, e.g. ``linux-x86_64``."""
    system = {"linux": "linux", "darwin": "macosx", "win32": "windows"}.get(sys.platform, sys.platform)
    architecture = platform.machine().lower()
    return f"{system}-{'x86_64' if architecture in ('x86_64', 'amd64') else architecture}"


def engines_folder(home: Home) -> Path:
    """Return where engines are kept: ``DL4FIJI_ENGINES``, or below the home."""
    chosen = os.environ.get("DL4FIJI_ENGINES")
    return Path(chosen).expanduser() if chosen else home.engines


def engine_folder(engine: Engine, home: Home) -> Path:
    """Return the folder of an engine's jars."""
    return engines_folder(home) / f"tensorflow-{engine.version}"


def installed(engine: Engine, home: Home) -> bool:
    """Tell whether an engine's jars are here."""
    return engine_folder(engine, home).is_dir()


def jars(engine: Engine, home: Home) -> list[Path]:
    """Return an engine's jars; none if it is not installed."""
    return sorted(engine_folder(engine, home).glob("*.jar"))


def install(engine: Engine, home: Home, progress: Progress) -> list[Path]:
    """Fetch an engine's jars unless they are here, and return them.

    Raises
    ------
    SetupError
        If there is no such engine for this machine, or if it cannot be fetched.
    ResourceError
        If the disk is too full.
    """
    from filelock import FileLock

    if installed(engine, home):
        return jars(engine, home)
    if machine() not in engine.platforms:
        raise SetupError(f"There is no {engine.name} for this machine ({machine()}).")
    folder = engine_folder(engine, home)
    require_space(folder, 3 * engine.size, f"fetching {engine.name}")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_name(f".{folder.name}.lock")):
        if not installed(engine, home):
            progress.phase(f"Fetching {engine.name} ({engine.size // _MIB} MiB, once)")
            with atomic_folder(folder) as partial:
                _fetch(engine, partial)
    return jars(engine, home)


def _fetch(engine: Engine, folder: Path) -> None:
    """Fetch all jars of an engine into ``folder``; jars in Maven's local repository are taken from there."""
    import requests
    from jgo.constants import default_maven_repo
    from jgo.maven import MavenContext

    downloads = folder / "downloads"
    context = MavenContext(repo_cache=downloads, local_repos=[Path(default_maven_repo())], timeout=60)
    try:
        for coordinate in engine.coordinates:
            artifact = _artifact(context, coordinate)
            with _no_log():
                shutil.copy2(artifact.resolve(), folder)
    except (requests.RequestException, RuntimeError, OSError) as error:
        raise SetupError(
            f"{engine.name} cannot be fetched from Maven Central ({_first_line(error)}): connect to the network and "
            "export again, the model works without it."
        ) from error
    shutil.rmtree(downloads, ignore_errors=True)


def _artifact(context: Any, coordinate: str) -> Any:
    """Return jgo's artifact of ``group:artifact:version[:native]``."""
    group, name, version, *native = coordinate.split(":")
    classifier = machine() if native else ""
    return context.project(group, name).at_version(version).artifact(classifier=classifier, packaging="jar")


@contextmanager
def _no_log() -> Iterator[None]:
    """Keep jgo's and urllib3's messages out of the job's log."""
    import logging

    names = ("jgo", "urllib3")
    levels = {name: logging.getLogger(name).level for name in names}
    for name in names:
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        yield
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)


def _first_line(error: Exception) -> str:
    """Return a short reason without addresses."""
    return type(error).__name__ if "://" in str(error) else str(error).splitlines()[0][:120]
