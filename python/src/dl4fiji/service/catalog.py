"""The networks and the trained models, as the HTTP interface shows them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dl4fiji.errors import DL4FijiError, InputError
from dl4fiji.files import read_json
from dl4fiji.home import Home


def list_networks() -> list[dict[str, Any]]:
    """Return all networks with the JSON schema of their options."""
    from dl4fiji.networks import NETWORKS

    return [
        {
            "name": network.name,
            "title": network.title,
            "description": network.description,
            "task": network.task,
            "data_form": network.data_form,
            "axes": network.axes,
            "citations": [{"text": citation.text, "doi": citation.doi} for citation in network.citations],
            "options": network.Options.model_json_schema(mode="serialization"),
        }
        for network in NETWORKS
    ]


def list_models(home: Home) -> list[dict[str, Any]]:
    """Return all models, newest first; a damaged one with its ``error``."""
    models = []
    for folder in sorted(home.models.iterdir()):
        if folder.name.startswith(".") or not folder.is_dir():
            continue
        try:
            models.append(show_model(home, folder.name))
        except DL4FijiError as error:
            models.append({"name": folder.name, "folder": str(folder), "error": error.message})
    return sorted(models, key=lambda model: str(model.get("created", "")), reverse=True)


def show_model(home: Home, name: str) -> dict[str, Any]:
    """Return all about a model: its description, its files, its engine certificate.

    Raises
    ------
    NotFoundError
        If there is no such model.
    InputError
        If the name is none, or the model is damaged.
    """
    from dl4fiji.model import ModelFolder

    folder = ModelFolder(home.model(name))
    info = folder.read()
    files = {
        "package": folder.package / "rdf.yaml",
        "package_zip": folder.package_zip,
        "csbdeep_zip": folder.csbdeep_zip,
        "stardist_zip": folder.stardist_zip,
        "report": folder.report_html,
    }
    shown: dict[str, Any] = {**info.model_dump(mode="json"), "folder": str(folder.path)}
    for key, path in files.items():
        there = path.parent if key == "package" else path
        shown[key] = str(there) if path.is_file() else ""
    shown["certificate"] = _certificate(folder)
    return shown


def install_model(home: Home, name: str, fiji: str) -> Path:
    """Copy a model's package to where DeepImageJ in the Fiji at the folder ``fiji`` finds it; return the copy.

    Raises
    ------
    NotFoundError
        If there is no such model, package or folder.
    InputError
        If ``fiji`` is not the absolute path of a Fiji.
    ConflictError
        If another model has that place.
    """
    from dl4fiji.export import install_in_fiji
    from dl4fiji.model import ModelFolder

    if not Path(fiji).is_absolute() or "\0" in fiji:
        raise InputError(f"{fiji!r} must be the absolute path of Fiji's folder, such as /opt/Fiji.app.")
    folder = ModelFolder(home.model(name))
    folder.read()
    return install_in_fiji(folder, Path(fiji))


def _certificate(folder: Any) -> dict[str, Any]:
    path = folder.certificate_file
    if not path.is_file():
        return {}
    try:
        return read_json(path)
    except ValueError as error:
        raise InputError(f"{path} is damaged ({error}): export the model again.") from error
