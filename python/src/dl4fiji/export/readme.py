"""The package's README: what the model is, how it was trained, how to run it, in which units it answers."""

from __future__ import annotations

from typing import Any

from dl4fiji import __version__
from dl4fiji.data.normalization import FixedNormalization, Normalization, PercentileNormalization
from dl4fiji.export.bioimageio import ONNX, SAVED_MODEL, identifier
from dl4fiji.export.fiji_plugins import runs_in_n2v, runs_in_stardist
from dl4fiji.model import ModelInfo
from dl4fiji.network import Network
from dl4fiji.prediction.instances import stored_thresholds
from dl4fiji.prediction.recipe import Recipe


def render(info: ModelInfo, network: Network, recipe: Recipe, certificate: dict[str, Any] | None) -> str:
    """Return the README in Markdown."""
    parts = [
        f"# {info.name}",
        f"{network.title}, trained with DL4Fiji {__version__}. {network.description}",
        _output_text(info, network, recipe),
        _running(info, network, recipe),
        _training(info),
        _validation(info, network),
        _engines(certificate),
        _references(network, info),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def normalization_text(normalization: Normalization) -> str:
    """Return in words what is done to an image before it enters the network."""
    if isinstance(normalization, PercentileNormalization):
        return (
            f"the {normalization.low:g} % percentile of the image becomes 0 and the {normalization.high:g} % "
            "percentile becomes 1, each channel and each image by itself; the percentile of n pixels is the one "
            "at the position int(n · p / 100) of the sorted pixels"
        )
    if isinstance(normalization, FixedNormalization):
        mean, spread = (", ".join(f"{x:.6g}" for x in values) for values in (normalization.mean, normalization.std))
        return f"{mean} is subtracted and the rest divided by {spread}, mean and deviation of the training data"
    return "each channel of each image is brought to mean 0 and standard deviation 1"


def _output_text(info: ModelInfo, network: Network, recipe: Recipe) -> str:
    units = (
        "The results are in the units of the input image, in floating point: normalization and the way back are "
        "part of the exported graph."
        if recipe.image_units
        else "The results are as the network puts them out; normalization is part of the exported graph."
    )
    if recipe.classes:
        units = (
            "The results are probabilities, from 0 to 1, not in the units of the input; normalization and "
            f"{'the sigmoid' if recipe.channels_out == 1 else 'the softmax'} are part of the exported graph."
        )
    if network.task == "instances":
        units = (
            "The results are object probabilities and distances in pixels, not in the units of the input, and not yet "
            "objects; normalization is part of the exported graph."
        )
    lines = []
    for output in recipe.outputs:
        first, last = output.channels
        channels = f"channel {first + 1}" if last - first == 1 else f"channels {first + 1} to {last}"
        lines.append(f"- {channels}: {output.description}")
    return (
        f"## Input and output\n\nInput: an image with the axes {', '.join(recipe.spatial)} and "
        f"{recipe.channels_in} channel{'s' if recipe.channels_in > 1 else ''}, raw values of any type, any size. "
        f"Within the graph, {normalization_text(recipe.normalization)}. {units} Output:\n\n"
        + "\n".join(lines)
        + _mask_text(recipe)
        + (_objects_text(info) if network.task == "instances" else "")
    )


def _objects_text(info: ModelInfo) -> str:
    """Return how probabilities and distances become objects."""
    thresholds = stored_thresholds(info)
    return (
        "\n\nObjects: every pixel whose probability exceeds "
        f"**{thresholds.probability:g}** is the candidate of an object whose border lies at these distances around "
        "it; of two candidates that share more than "
        f"**{thresholds.overlap:g}** of the smaller one, the less probable one is dropped (non-maximum suppression). "
        "DeepImageJ does not do that: use *DL4Fiji Predict*, which gives label image, ROIs and a table of objects for "
        "images of any size, or one of the ways below."
    )


def _mask_text(recipe: Recipe) -> str:
    """Return how probabilities become a mask."""
    if not recipe.classes:
        return ""
    if recipe.channels_out == 1:
        return (
            f"\n\nMask: a pixel is foreground from the probability **{recipe.threshold:g}** on, the threshold with the "
            f"highest mean IoU on the validation images. In Fiji: `setThreshold({recipe.threshold:g}, 1); "
            'run("Convert to Mask");`.'
        )
    values = ", ".join(f"{value} (channel {channel})" for channel, value in enumerate(recipe.classes, start=1))
    return (
        f"\n\nMask: a pixel is background where 1 less the first channel is below **{recipe.threshold:g}**, the "
        "threshold with the highest mean IoU on the validation images, else the likeliest of the other classes. "
        f"Values of the classes in masks: {values}."
    )


def _running(info: ModelInfo, network: Network, recipe: Recipe) -> str:
    fixed = isinstance(recipe.normalization, FixedNormalization)
    tiles = "Tiles are fine, if they overlap by" if fixed else "Give it whole images: on tiles each tile would be"
    tiles += f" {max(recipe.halo)} pixels." if fixed else " normalized by itself."
    pixels = " and ".join(f"{step} ({axis})" for axis, step in zip(recipe.spatial, recipe.divisor, strict=True))
    return f"""## How to run it

**DeepImageJ** (Fiji): put this folder into `Fiji.app/models/` (the menu command *Models ▸ Install in Fiji* does it),
then `run("DeepImageJ Run", "model_path=[{info.name}] input_path=/a.tif output_folder=/out display_output=null");`.
Each plane{" or volume" if "Z" in recipe.spatial else ""} is run as a whole, so that the result is that of Python. DeepImageJ 3.1 cannot run images of
more than 50 million pixels; use one of the other ways for those.

{_stardist(info, recipe) if runs_in_stardist(network) else _csbdeep(info, recipe)}

**Python**: `dl4fiji predict {info.name} IMAGE_OR_FOLDER` where the model was trained. Any other program can run
`{ONNX}` with ONNX Runtime or `{SAVED_MODEL}` with TensorFlow 1.15 or newer: feed `input`
(float32, axes N, {", ".join(recipe.spatial)}, C). {tiles}

Sizes need not be multiples of anything; the network works on multiples of {pixels} and the graph mirrors the rest.
The id of this model is `{identifier(info)}`."""  # noqa: E501


def _stardist(info: ModelInfo, recipe: Recipe) -> str:
    """Return how the StarDist plugin runs the model."""
    normalization, thresholds = recipe.normalization, stored_thresholds(info)
    percentiles = isinstance(normalization, PercentileNormalization)
    low, high = (normalization.low, normalization.high) if percentiles else (1, 99.8)
    tiles = "" if max(recipe.halo) <= 64 else " Leave `nTiles` at 1: the plugin lets tiles overlap by 64 pixels only."
    return f"""**StarDist** (Fiji): take `{info.name}.stardist.zip`, which holds the bare network; the plugin normalizes and finds
the objects, with the thresholds that it is given:
`run("Command From Macro", "command=[de.csbdresden.stardist.StarDist2D], args=['input':'a.tif', 'modelChoice':'Model (.zip) from File', 'modelFile':'/m.stardist.zip', 'normalizeInput':'true', 'percentileBottom':'{low:g}', 'percentileTop':'{high:g}', 'probThresh':'{thresholds.probability:g}', 'nmsThresh':'{thresholds.overlap:g}', 'outputType':'Both', 'nTiles':'1', 'excludeBoundary':'2'], process=[false]");`{tiles}"""  # noqa: E501


def _csbdeep(info: ModelInfo, recipe: Recipe) -> str:
    """Return how the CSBDeep and N2V plugins run the model."""
    normalization = recipe.normalization
    if isinstance(normalization, FixedNormalization):
        told = "which normalizes by itself and can be run in tiles: switch the plugin's normalization off"
        arguments = "normalizeinput=false percentilebottom=3 percentiletop=99.8"
    else:
        told = "which holds the bare network and can be run in tiles. The plugin\n"
        told += "normalizes; its result is "
        told += "the probability" if recipe.classes else "in normalized units (0 to 1)"
        percentiles = isinstance(normalization, PercentileNormalization)
        low, high = (normalization.low, normalization.high) if percentiles else (2, 99.8)
        arguments = f"normalizeinput=true percentilebottom={low:g} percentiletop={high:g}"
    text = f"""**CSBDeep** (Fiji): take `{info.name}.csbdeep.zip`, {told}:
`run("Run your network", "input=i.tif {arguments} clip=false ntiles=1 blockmultiple={max(recipe.divisor)} overlap={max(recipe.halo)} batchsize=1 modelfile=/m.zip showprogressdialog=true");`"""  # noqa: E501
    if not runs_in_n2v(recipe):
        return text
    told = "the same zip is made for *Plugins ▸ CSBDeep ▸ N2V ▸ N2V predict*, too;"
    return f"{text}\n\n**N2V** (Fiji): {told}\nthe certificate below does not cover that plugin."


def _training(info: ModelInfo) -> str:
    rows = {**_flat(info.training), **{f"option {name}": value for name, value in info.options.items()}}
    if info.pixel_size:
        sizes = ", ".join(f"{axis} {size:g}" for axis, size in info.pixel_size.items())
        rows["pixel size of the training images"] = f"{sizes} {info.pixel_unit}".strip()
    table = "\n".join(f"| {_cell(name.replace('_', ' '))} | {_cell(value)} |" for name, value in rows.items())
    warnings = "\n".join(f"- {text}" for text in info.warnings)
    notes = f"\n\nTo think about:\n\n{warnings}" if warnings else ""
    return f"## Training\n\nMade {info.created:%Y-%m-%d %H:%M}.\n\n| | |\n|---|---|\n{table}{notes}"


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested values under one name each, long lists left out."""
    found: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, dict):
            found |= _flat(value, f"{prefix}{name} ")
        elif not isinstance(value, list | tuple) or len(value) <= 8:
            found[f"{prefix}{name}"] = value
    return found


def _cell(value: Any) -> str:
    text = f"{value:.6g}" if isinstance(value, float) else str(value)
    return text.replace("|", "\\|").replace("\n", " ")[:300]


def _validation(info: ModelInfo, network: Network) -> str:
    head = "## Validation\n\nOn the images kept aside from training, input against truth and prediction against truth"
    if network.data_form == "single":
        head = (
            "## Validation\n\nThe network was trained without a truth, so there are no figures that compare with one. "
            "On the images kept aside from training, in normalized units, prediction against the noisy pixels that "
            "were hidden from the network (the noise itself is part of the difference, so it never becomes 0)"
        )
    if network.task == "segmentation":
        threshold = next(iter(info.thresholds.values()), 0.5)
        head = (
            "## Validation\n\nOn the images kept aside from training, masks against truth: at the stored threshold "
            f"({threshold:g}, as prediction), which was chosen on these very images, and at 0.5; means over images "
            "and, where no class is named, over the classes without background"
        )
    if network.task == "instances":
        thresholds = " and ".join(f"{value:g}" for value in info.thresholds.values())
        head = (
            "## Validation\n\nOn the images kept aside from training, objects against truth, right if they overlap by "
            f"half (IoU 0.5): at the stored thresholds of probability and overlap ({thresholds}, as prediction), which "
            "were chosen on these very images, and at those of stardist; all objects together"
        )
    figures = {name: value for name, value in info.quality.items() if isinstance(value, dict)}
    if not figures:
        return (
            "## Validation\n\nNo figures were taken. "
            "Compare predictions with a truth of your own before you rely on them."
        )
    columns = sorted({column for value in figures.values() for column in value})
    lines = [f"| | {' | '.join(columns)} |", f"|---|{'---|' * len(columns)}"]
    for name, value in figures.items():
        lines.append(f"| {_cell(name)} | {' | '.join(_cell(value.get(column, '')) for column in columns)} |")
    return f"{head}:\n\n" + "\n".join(lines)


def _engines(certificate: dict[str, Any] | None) -> str:
    if not certificate:
        return ""
    lines = ["| engine | loaded | largest difference from Python |", "|---|---|---|"]
    for name, entry in certificate["engines"].items():
        difference = entry.get("max_difference")
        told = f"{difference:.1e}" if difference is not None else _cell(entry.get("reason", ""))
        lines.append(f"| {name} | {'yes' if entry.get('loaded') else 'no'} | {told} |")
    return (
        "## Engine certificate\n\nThe exported graph was run on the test image in the engines that Fiji's plugins use; "
        f"differences are on normalized intensities. Machine: {certificate['platform']}.\n\n" + "\n".join(lines)
    )


def _references(network: Network, info: ModelInfo) -> str:
    cites = "\n".join(
        f"- {citation.text}{f' doi:{citation.doi}' if citation.doi else ''}" for citation in network.citations
    )
    authors = ", ".join(info.authors) or "not named"
    return f"## References\n\n{cites}\n\nAuthors: {authors}. Licence: {info.license}."
