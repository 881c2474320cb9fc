"""Put a package where DeepImageJ finds it: ``<Fiji>/models/<name>/``."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from dl4fiji.errors import ConflictError, InputError, NotFoundError, ResourceError
from dl4fiji.export.bioimageio import RDF, TENSORFLOW_VERSION, read_rdf, write_rdf
from dl4fiji.export.engines import machine
from dl4fiji.export.replace import replace_folder, restore_folder
from dl4fiji.files import require_space
from dl4fiji.model import ModelFolder

APPLE_SILICON = "macosx-arm64"
APPLE_SILICON_TENSORFLOW = "2.7.0"
"""The only TensorFlow that DeepImageJ offers there."""


def install_in_fiji(folder: ModelFolder, fiji: Path) -> Path:
    """Copy a model's package into a Fiji and return its folder there.

    A package of the same model that is there already is replaced as a whole: DeepImageJ unpacks the network only
    once, so what it had unpacked of the former export must go.

    Raises
    ------
    NotFoundError
        If the model was not exported yet, or if ``fiji`` is not there.
    InputError
        If ``fiji`` is no folder of a Fiji.
    ConflictError
        If another model has the same folder there.
    ResourceError
        If the folder cannot be written.
    """
    package = folder.package
    if not (package / RDF).is_file():
        raise NotFoundError(f"The model {folder.name!r} has no package yet: run `dl4fiji export {folder.name}` first.")
    if not fiji.is_dir():
        raise NotFoundError(f"There is no folder {fiji}: give the folder of your Fiji, such as Fiji.app.")
    if not any((fiji / part).is_dir() for part in ("plugins", "jars")):
        raise InputError(f"{fiji} is no folder of a Fiji, it has neither plugins nor jars: give the folder Fiji.app.")
    target = fiji / "models" / folder.name
    content = read_rdf(package)
    restore_folder(target)
    if target.exists() and not _same_model(target, content):
        raise ConflictError(
            f"{target} holds another model: rename or delete that folder in Fiji's models, then install again."
        )
    require_space(fiji, 2 * sum(file.stat().st_size for file in package.rglob("*") if file.is_file()), "the model")
    try:
        target.parent.mkdir(exist_ok=True)
        staged = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=target.parent))
        try:
            shutil.copytree(package, staged, dirs_exist_ok=True)
            if machine() == APPLE_SILICON:
                ask_for_tensorflow(staged, APPLE_SILICON_TENSORFLOW)
            replace_folder(staged, target)
        finally:
            shutil.rmtree(staged, ignore_errors=True)
    except PermissionError as error:
        raise ResourceError(f"{target.parent} cannot be written: allow it or choose a Fiji of your own.") from error
    return target


def _same_model(target: Path, content: dict[str, object]) -> bool:
    """Tell whether ``target`` is an (older) copy of the package with this ``rdf.yaml``."""
    if not (target / RDF).is_file():
        return not any(target.iterdir())
    return read_rdf(target).get("id") == content["id"]


def ask_for_tensorflow(package: Path, version: str) -> None:
    """Let the package ask DeepImageJ for another TensorFlow than 1.15.0; its graph runs in all of them."""
    content = read_rdf(package)
    weights = content["weights"]["tensorflow_saved_model_bundle"]
    if weights["tensorflow_version"] == TENSORFLOW_VERSION:
        weights["tensorflow_version"] = version
        write_rdf(content, package)
