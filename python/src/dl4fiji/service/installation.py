"""Putting a model's package where DeepImageJ in a Fiji finds it."""

from __future__ import annotations

import shutil
from pathlib import Path

from dl4fiji.errors import ConflictError, InputError
from dl4fiji.files import atomic_folder
from dl4fiji.home import Home


def install(home: Home, name: str, fiji: str) -> Path:
    """Copy the package of the model ``name`` to ``<fiji>/models/<name>`` and return that folder.

    A folder that an earlier installation of the same model left is replaced, whole.

    Raises
    ------
    NotFoundError
        If there is no such model.
    InputError
        If the model has not been exported, or ``fiji`` is not the folder of a Fiji.
    ConflictError
        If another model of that name is there.
    """
    from dl4fiji.model import ModelFolder

    model = ModelFolder(home.model(name))
    model.read()
    if not (model.package / "rdf.yaml").is_file():
        raise InputError(f"The model {name!r} has not been exported: run `dl4fiji export {name}` first.")
    target = fiji_folder(fiji) / "models" / model.name
    marker = target / ".dl4fiji"
    if target.exists() and not marker.is_file():
        raise ConflictError(f"{target} is there already and not from DL4Fiji: rename or remove it first.")
    previous = target.with_name(f".{target.name}.previous")
    if target.exists():
        shutil.rmtree(previous, ignore_errors=True)
        target.rename(previous)
    try:
        with atomic_folder(target) as partial:
            shutil.copytree(model.package, partial, dirs_exist_ok=True)
            (partial / marker.name).write_text(f"{model.path}\n", encoding="utf-8")
            partial.chmod(0o755)
    except BaseException:
        if previous.exists() and not target.exists():
            previous.rename(target)
        raise
    shutil.rmtree(previous, ignore_errors=True)
    return target


def fiji_folder(text: str) -> Path:
    """Return the folder of a Fiji; InputError if it is none."""
    path = Path(text).expanduser()
    if not path.is_absolute() or not path.is_dir():
        raise InputError(f"{text!r} is not a folder on this computer: give Fiji's folder, such as /opt/Fiji.app.")
    if not (path / "jars").is_dir() and not (path / "plugins").is_dir():
        raise InputError(f"{path} is not the folder of a Fiji, for it has neither jars nor plugins in it.")
    return path
