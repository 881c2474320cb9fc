"""``dl4fiji predict``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def add_to(app: typer.Typer) -> None:
    """Add ``predict``."""
    app.command("predict")(_predict)


def _predict(
    model: Annotated[str, typer.Argument(help="Name of a model made here.")],
    source: Annotated[Path, typer.Argument(help="An image or a folder of images.")],
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Folder to write to.")] = None,
    axes: Annotated[str, typer.Option(help="Axes of the files, such as ZYX; read from the files if empty.")] = "",
    weights: Annotated[str, typer.Option(help="Weights to use: best or last.")] = "best",
    tile_size: Annotated[int, typer.Option(help="Side of a tile in pixels; 0 chooses by the memory at hand.")] = 0,
    probability_threshold: Annotated[
        float, typer.Option(help="Masks and objects: what counts as such; 0 takes the threshold of the model.")
    ] = 0.0,
    nms_threshold: Annotated[
        float, typer.Option(help="Objects: the overlap from which on one is dropped; 0 takes that of the model.")
    ] = 0.0,
    wait: Annotated[bool, typer.Option(help="Stay until it ends.")] = True,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Run a model on images; results have the input's axes, calibration and channel names.

    Models that find objects write a label image, ROIs for ImageJ and a table of objects for each image.
    """
    from dl4fiji.cli.output import absolute, follow, print_json, print_line, print_plain
    from dl4fiji.client import ServiceClient
    from dl4fiji.errors import InputError
    from dl4fiji.home import Home
    from dl4fiji.jobs.job import PredictRequest

    if weights not in ("best", "last"):
        raise InputError(f"--weights is {weights!r} but must be best or last.")
    if not 0 <= tile_size <= 65536:
        raise InputError(f"--tile-size is {tile_size} but must be from 0 to 65536.")
    for name, value in (("probability", probability_threshold), ("nms", nms_threshold)):
        if not 0 <= value < 1:
            raise InputError(f"--{name}-threshold is {value:g} but must be from 0 to below 1.")
    request = PredictRequest(
        model=model,
        source=absolute(source),
        output=absolute(output),
        axes=axes,
        weights="best" if weights == "best" else "last",
        tile_size=tile_size,
        probability_threshold=probability_threshold,
        nms_threshold=nms_threshold,
    )
    with ServiceClient.connect(Home.default()) as client:
        job = client.submit(request)
        if wait:
            job = follow(client, job)
    if json:
        print_json(job.model_dump(mode="json"))
    elif wait:
        for file in job.result.get("files", []):
            print_plain(str(file))
        for file, count in job.result.get("objects", {}).items():
            print_plain(f"{count} objects in {Path(file).name}")
    else:
        print_line(f"Job {job.id} is queued: `dl4fiji jobs follow {job.id}` shows how it goes.")
