"""The zip that Fiji's CSBDeep plugin runs, and its N2V plugin, too, where the network knows its normalization.

The bare network, normalized values in and out, since the plugin normalizes and cuts into tiles by itself. It takes
the first input and the first output of the signature whatever their number, so a probabilistic network has one
output with the scale's channels after those of the image, as csbdeep exports it.

Networks that normalize by constants (Noise2Void) have these in the graph: raw values in and out. *N2V predict* opens
the same zip by ``model.yaml``, in the form 0.2.1-csbdeep of N2V's own exports, whose SavedModel lies in the archive
itself (`io.bioimage.specification.io.SpecificationReaderWriterV2`).

Networks that find objects in planes have a zip of the same form for *StarDist 2D*, which hands it to the CSBDeep plugin
and goes through the output by itself: the first channel is the probability, 0 but at the places of the grid, the others
are the distances (`de.csbdresden.stardist.StarDist2D`, stardist's ``export_TF``). It asks for both thresholds; for its
users they lie in ``thresholds.json``, as in stardist's own models.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import yaml

from dl4fiji import __version__
from dl4fiji.data.normalization import FixedNormalization
from dl4fiji.export.archive import write_zip
from dl4fiji.export.frozen_graph import INPUT, FrozenGraph, write_saved_model
from dl4fiji.files import write_json, write_text
from dl4fiji.model import ModelFolder, ModelInfo
from dl4fiji.network import Network
from dl4fiji.prediction.recipe import Recipe


def csbdeep_meta(info: ModelInfo, recipe: Recipe) -> dict[str, Any]:
    """Return the content of ``meta.json``; lists follow ``axes``, channels are neither divided nor tiled."""
    return {
        "type": info.network,
        "version": f"dl4fiji {__version__}",
        "probabilistic": any(output.spread for output in recipe.outputs),
        "axes": recipe.axes,
        "axes_out": recipe.axes,
        "axes_div_by": [*recipe.divisor, 1],
        "tile_overlap": [*recipe.halo, 0],
        "tiling": [*[True] * len(recipe.spatial), False],
        # Read by our *Run with CSBDeep* alone, which brings images back to their units, but not probabilities.
        "image_units": recipe.image_units,
    }


def runs_in_stardist(network: Network) -> bool:
    """Tell whether *StarDist 2D* can run the network: it finds objects in planes."""
    return network.task == "instances" and network.axes == "YXC"


def plugin_zip(folder: ModelFolder, network: Network) -> Path:
    """Return the zip that is made for a model: one that fits a plugin, so that nobody takes the wrong one."""
    return folder.stardist_zip if runs_in_stardist(network) else folder.csbdeep_zip


def runs_in_n2v(recipe: Recipe) -> bool:
    """Tell whether *N2V predict* can run the network: one channel, raw values in and out."""
    return recipe.channels_in == 1 and recipe.image_units and isinstance(recipe.normalization, FixedNormalization)


def n2v_specification(info: ModelInfo, network: Network, recipe: Recipe) -> dict[str, Any]:
    """Return the content of ``model.yaml`` for *N2V predict*, without any processing before or after the graph."""
    node = {"axes": f"b{recipe.axes.lower()}", "data_type": "float32"}
    dimensions = len(recipe.axes) + 1
    return {
        "format_version": "0.2.1-csbdeep",
        "name": info.name,
        "description": network.description,
        "authors": info.authors,
        "cite": [{"text": citation.text, "doi": citation.doi} for citation in network.citations],
        "tags": ["denoising"],
        "license": info.license,
        "language": "python",
        "framework": "tensorflow",
        "source": "n2v",
        "inputs": [
            {
                "name": INPUT,
                **node,
                "halo": [0, *recipe.halo, 0],
                "shape": {"min": [1, *recipe.divisor, 1], "step": [1, *recipe.divisor, 0]},
            }
        ],
        "outputs": [
            {
                # The name by which N2VPrediction.java asks for the result; with one output any name fits any graph.
                "name": "activation_11/Identity",
                **node,
                "shape": {"reference_input": INPUT, "scale": [1.0] * dimensions, "offset": [0] * dimensions},
            }
        ],
    }


def write_plugin_zip(frozen: FrozenGraph, info: ModelInfo, network: Network, recipe: Recipe, path: Path) -> None:
    """Write the SavedModel of `serving.tile_function`, at the root of a zip, with what each plugin reads beside it."""
    with tempfile.TemporaryDirectory(prefix="dl4fiji-") as name:
        folder = Path(name) / "model"
        write_saved_model(frozen, folder)
        write_json(folder / "meta.json", csbdeep_meta(info, recipe))
        if runs_in_n2v(recipe):
            text = yaml.safe_dump(n2v_specification(info, network, recipe), sort_keys=False, allow_unicode=True)
            write_text(folder / "model.yaml", text)
        if network.task == "instances":
            thresholds = {"prob": info.thresholds.get("probability"), "nms": info.thresholds.get("nms")}
            write_json(folder / "thresholds.json", thresholds)
        files = [(file.relative_to(folder).as_posix(), file) for file in folder.rglob("*") if file.is_file()]
        write_zip(path, files, folders=["variables"])
