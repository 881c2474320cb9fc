"""The zip that Fiji's CSBDeep plugin runs.

The bare network, normalized values in and out, since the plugin normalizes and cuts into tiles by itself. It takes
the first input and the first output of the signature whatever their number, so a probabilistic network has one
output with the scale's channels after those of the image, as csbdeep exports it.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from dl4fiji import __version__
from dl4fiji.export.archive import write_zip
from dl4fiji.export.frozen_graph import FrozenGraph, write_saved_model
from dl4fiji.files import write_json
from dl4fiji.model import ModelInfo
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
    }


def write_csbdeep_zip(frozen: FrozenGraph, info: ModelInfo, recipe: Recipe, path: Path) -> None:
    """Write the SavedModel of the bare network, at the root of a zip, with ``meta.json``."""
    with tempfile.TemporaryDirectory(prefix="dl4fiji-") as name:
        folder = Path(name) / "model"
        write_saved_model(frozen, folder)
        write_json(folder / "meta.json", csbdeep_meta(info, recipe))
        files = [(file.relative_to(folder).as_posix(), file) for file in folder.rglob("*") if file.is_file()]
        write_zip(path, files, folders=["variables"])
