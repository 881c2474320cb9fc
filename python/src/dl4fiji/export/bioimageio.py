"""The package's ``rdf.yaml``: a bioimage.io model description, format 0.5, as DeepImageJ can read it.

It is written by hand and then checked by bioimageio.spec, since what bioimageio.spec itself writes ends in a
ClassCastException in DeepImageJ (``documentation`` as a mapping).
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from dl4fiji import __version__
from dl4fiji.export.frozen_graph import INPUT, OUTPUT
from dl4fiji.export.onnx import OPSET
from dl4fiji.files import write_text
from dl4fiji.model import ModelInfo
from dl4fiji.network import Network
from dl4fiji.prediction.recipe import Recipe

FORMAT_VERSION = "0.5.10"
"""The last one in which ``documentation`` and ``covers`` are plain texts, as DeepImageJ 3.1 needs them."""

TENSORFLOW_VERSION = "1.15.0"
"""What the package asks for: DeepImageJ then takes its unmodified 1.15 engine."""

RDF = "rdf.yaml"
README = "README.md"
COVER = "cover.png"
SAVED_MODEL = "saved_model.zip"
ONNX = "model.onnx"
KERAS_WEIGHTS = "weights.h5"
MODEL_INFO = "model.json"
CERTIFICATE = "certificate.json"
TEST_INPUT = "test_input.npy"
TEST_OUTPUT = "test_output.npy"
SAMPLE_INPUT = "sample_input.tif"
SAMPLE_OUTPUT = "sample_output.tif"


def display_name(info: ModelInfo, network: Network) -> str:
    """Return the model's name in the letters that bioimage.io allows, at least 5 and at most 128."""
    ascii_name = unicodedata.normalize("NFKD", info.name).encode("ascii", "ignore").decode()
    name = re.sub(r"[^A-Za-z0-9_+\- ()]+", "-", ascii_name).strip("- ")
    return (name if len(name) >= 5 else f"{name} ({network.title})".strip())[:128]


def identifier(info: ModelInfo) -> str:
    """Return the model's id: small letters, digits and ``-``; the same for the same model each time."""
    ascii_name = unicodedata.normalize("NFKD", info.name).encode("ascii", "ignore").decode().lower()
    slug = re.sub(r"[^a-z0-9]+", "-", ascii_name).strip("-") or "model"
    made = hashlib.sha256(f"{info.name} {info.created.isoformat()}".encode()).hexdigest()[:8]
    return f"dl4fiji-{slug}-{made}"


def describe(info: ModelInfo, network: Network, recipe: Recipe, folder: Path, tolerance: float) -> dict[str, Any]:
    """Return the content of ``rdf.yaml`` for the files that lie in ``folder``.

    Parameters
    ----------
    info, network, recipe
        The model.
    folder
        The package's folder with all its other files.
    tolerance
        Difference in image units up to which a test output counts as reproduced.
    """
    dimensions = f"{len(recipe.spatial)}D"
    attachments = [KERAS_WEIGHTS, MODEL_INFO, CERTIFICATE]
    return {
        "format_version": FORMAT_VERSION,
        "type": "model",
        "id": identifier(info),
        "name": display_name(info, network),
        "description": f"{network.title} trained with DL4Fiji. {network.description}",
        "version": "1.0.0",
        "timestamp": info.created.isoformat(timespec="seconds"),
        "authors": [{"name": name.replace("/", "-")} for name in info.authors or ["not named"]],
        "cite": [
            {"text": citation.text, **({"doi": citation.doi} if citation.doi else {})} for citation in network.citations
        ],
        "license": info.license,
        "documentation": README,
        "covers": [COVER],
        "tags": ["dl4fiji", "fiji", "deepimagej", network.name, network.task, dimensions],
        "links": ["deepimagej/deepimagej"],
        "inputs": [_input(recipe, folder)],
        "outputs": [_output(recipe, folder)],
        "weights": {
            "tensorflow_saved_model_bundle": {
                **_file(folder, SAVED_MODEL),
                "tensorflow_version": TENSORFLOW_VERSION,
                "comment": "Frozen graph; runs in TensorFlow 1.15 to 2.x, see certificate.json.",
            },
            "onnx": {
                **_file(folder, ONNX),
                "opset_version": OPSET,
                "parent": "tensorflow_saved_model_bundle",
            },
        },
        "attachments": [_file(folder, name) for name in attachments if (folder / name).is_file()],
        "config": {
            "bioimageio": {
                "reproducibility_tolerance": [{"absolute_tolerance": tolerance, "relative_tolerance": 1e-4}]
            },
            "deepimagej": {"allow_tiling": True, "pyramidal_model": False},
            "dl4fiji": _own_config(info, recipe),
        },
    }


def _own_config(info: ModelInfo, recipe: Recipe) -> dict[str, Any]:
    """What other programs may want to know and the format has no place for."""
    training = {key: value for key, value in info.training.items() if isinstance(value, str | int | float | bool)}
    return {
        "version": __version__,
        "network": info.network,
        "normalization_in_graph": info.normalization.model_dump(mode="json"),
        "units_of_outputs": "units of the input" if recipe.image_units else "as the network puts them out",
        "divisor": dict(zip(recipe.spatial, recipe.divisor, strict=True)),
        "receptive_field_radius": dict(zip(recipe.spatial, recipe.halo, strict=True)),
        "training_pixel_size": info.pixel_size,
        "training_pixel_unit": info.pixel_unit,
        "training_data": training,
        **({"threshold": recipe.threshold, "classes": list(recipe.classes)} if recipe.classes else {}),
    }


def _file(folder: Path, name: str) -> dict[str, str]:
    return {"source": name, "sha256": hashlib.sha256((folder / name).read_bytes()).hexdigest()}


def _channels(names: Sequence[str]) -> dict[str, Any]:
    return {"type": "channel", "id": "channel", "channel_names": list(names)}


def _input(recipe: Recipe, folder: Path) -> dict[str, Any]:
    """The input: raw values, any size; the graph mirrors the image up to a multiple by itself."""
    names = [f"channel{index}" for index in range(recipe.channels_in)]
    # `scale` is left at 1: DeepImageJ takes it for a change of size, not for the size of a pixel.
    space = [
        {"type": "space", "id": axis.lower(), "size": {"min": step, "step": 1}}
        for axis, step in zip(recipe.spatial, recipe.divisor, strict=True)
    ]
    return {
        "id": INPUT,
        "description": "image, raw values; it is normalized within the graph",
        "axes": [{"type": "batch"}, *space, _channels(names)],
        "data": {"type": "float32"},
        "test_tensor": _file(folder, TEST_INPUT),
        "sample_tensor": _file(folder, SAMPLE_INPUT),
    }


def _output(recipe: Recipe, folder: Path) -> dict[str, Any]:
    """The output: of the input's size, no halo, since the graph is given the whole image at once."""
    space = [
        {"type": "space", "id": axis.lower(), "size": {"tensor_id": INPUT, "axis_id": axis.lower()}}
        for axis in recipe.spatial
    ]
    told = "; ".join(output.description for output in recipe.outputs)
    units = ", in the units of the input" if recipe.image_units else ""
    if recipe.classes:
        units = f"; a pixel is background where the probability of all else is below {recipe.threshold:g}"
    return {
        "id": OUTPUT,
        "description": f"{told}{units}"[:1024],
        "axes": [{"type": "batch"}, *space, _channels(recipe.channel_names)],
        "data": {"type": "float32"},
        "test_tensor": _file(folder, TEST_OUTPUT),
        "sample_tensor": _file(folder, SAMPLE_OUTPUT),
    }


def write_rdf(content: dict[str, Any], folder: Path) -> None:
    """Write ``rdf.yaml``: versions as text, texts in one line."""
    text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=10_000)
    write_text(folder / RDF, text)


def read_rdf(folder: Path) -> dict[str, Any]:
    """Return the content of a package's ``rdf.yaml`` as plain values."""
    content = yaml.safe_load((folder / RDF).read_text(encoding="utf-8"))
    return content if isinstance(content, dict) else {}
