"""Check a package line by line against what DeepImageJ 3.1 and JDLL read, and by bioimageio's own tools.

Every line tells what it looked at and how it found it, so that a check that passes shows what was checked.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import yaml

from dl4fiji.archive import check_archive, unpack
from dl4fiji.errors import DL4FijiError, InputError
from dl4fiji.export.bioimageio import INPUT, RDF, read_rdf
from dl4fiji.export.bioimageio_child import run_check
from dl4fiji.export.frozen_graph import PRODUCER, SIGNATURE, TAG, check_operations, read_saved_model

Status = Literal["good", "warning", "error"]

PROCESSING = frozenset(
    {
        "binarize",
        "clip",
        "ensure_dtype",
        "fixed_zero_mean_unit_variance",
        "scale_linear",
        "scale_range",
        "sigmoid",
        "zero_mean_unit_variance",
    }
)
"""Steps before and after the network that DeepImageJ 3.1 carries out; others throw."""

ENGINES = ("1.15.0", "2.7.0")
"""What a package may ask for: the unmodified 1.15 engine, or on Apple Silicon the only one there is."""


@dataclass(frozen=True)
class Finding:
    """What a check found: its ``line``, how it stands, and one sentence."""

    line: str
    status: Status
    text: str


class _Package:
    """A package whose description could be read."""

    def __init__(self, folder: Path, rdf: dict[str, Any]) -> None:
        self.folder = folder
        self.rdf = rdf
        self.inputs: list[dict[str, Any]] = rdf.get("inputs") or []
        self.outputs: list[dict[str, Any]] = rdf.get("outputs") or []
        weights = rdf.get("weights") or {}
        self.weights: dict[str, Any] = weights.get("tensorflow_saved_model_bundle") or {}

    @property
    def tensors(self) -> list[dict[str, Any]]:
        return [*self.inputs, *self.outputs]

    def saved_model(self) -> Any:
        """Return the protocol buffer of the zipped SavedModel, unpacked to nowhere that lasts."""
        with tempfile.TemporaryDirectory(prefix="dl4fiji-check-") as scratch:
            unpack(self.folder / str(self.weights.get("source")), Path(scratch))
            return read_saved_model(Path(scratch) / "saved_model.pb")


Line = Callable[[_Package], Iterator[str]]
"""Yields what is wrong, one sentence each."""


def check_package(folder: Path, thorough: bool = True) -> list[Finding]:
    """Check an unpacked package.

    Parameters
    ----------
    folder
        The folder that holds ``rdf.yaml``.
    thorough
        Run bioimageio.core's model test too, in all formats of weights that this machine can run; takes a minute.

    Returns
    -------
    list
        One finding per line that is good, else one per problem; an ``error`` keeps the package from working.
    """
    try:
        package = _open(folder)
    except InputError as error:
        return [Finding("rdf.yaml can be read", "error", error.message)]
    findings = [Finding("rdf.yaml can be read", "good", str(package.rdf.get("name")))]
    for title, line in LINES:
        try:
            problems = list(line(package))
        except DL4FijiError as error:
            problems = [error.message]
        except (AttributeError, KeyError, TypeError, ValueError, OSError) as error:
            problems = [f"it cannot be checked, the package is not of the form expected ({error!r})"]
        findings += [Finding(title, "error", problem) for problem in problems] or [Finding(title, "good", "")]
    if any(finding.status == "error" for finding in findings):
        return findings  # what bioimageio says of a package that is not safe to open helps nobody
    return findings + [Finding(*found) for found in run_check(folder, thorough)]


def _open(folder: Path) -> _Package:
    if not (folder / RDF).is_file():
        raise InputError(f"{folder} has no {RDF}, the only name that DeepImageJ looks for: export the model again.")
    try:
        rdf = read_rdf(folder)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{folder / RDF} is no YAML: export the model again.") from error
    if not rdf:
        raise InputError(f"{folder / RDF} describes nothing: export the model again.")
    return _Package(folder, rdf)


def _format_version(package: _Package) -> Iterator[str]:
    version = package.rdf.get("format_version")
    if not isinstance(version, str) or not version.startswith(("0.4.", "0.5.")):
        yield f"format_version is {version!r} but must be a text that begins with 0.4 or 0.5"


def _id(package: _Package) -> Iterator[str]:
    if not isinstance(package.rdf.get("id"), str) or not package.rdf["id"]:
        yield "id is missing; DeepImageJ ends in a NullPointerException"


def _channel_names(package: _Package) -> Iterator[str]:
    for tensor in package.tensors:
        for axis in tensor["axes"]:
            if axis.get("type") == "channel" and not axis.get("channel_names"):
                yield f"the channel axis of {tensor['id']} has no channel_names"


def _documentation(package: _Package) -> Iterator[str]:
    documentation = package.rdf.get("documentation")
    if not isinstance(documentation, str):
        yield f"documentation is {documentation!r} but must be a plain text; DeepImageJ ends in a ClassCastException"
    elif not (package.folder / documentation).is_file():
        yield f"the documentation {documentation} is not in the package"


def _test_tensors(package: _Package) -> Iterator[str]:
    for tensor in package.tensors:
        source = (tensor.get("test_tensor") or {}).get("source")
        if not source or not (package.folder / str(source)).is_file():
            yield f"{tensor['id']} has no test tensor, which DeepImageJ's Test button needs"
        else:
            np.load(package.folder / source, allow_pickle=False)


def _engine(package: _Package) -> Iterator[str]:
    version = package.weights.get("tensorflow_version")
    if not isinstance(version, str):
        yield "tensorflow_version is missing; DeepImageJ ends in a NullPointerException"
    elif version not in ENGINES:
        yield f"tensorflow_version is {version}; of DeepImageJ's engines only {' and '.join(ENGINES)} are known to work"


def _zip(package: _Package) -> Iterator[str]:
    source = package.weights.get("source")
    if not isinstance(source, str) or not source.endswith(".zip") or not (package.folder / source).is_file():
        yield "the weights tensorflow_saved_model_bundle name no zip in the package"
        return
    entries = check_archive(package.folder / source)
    if "saved_model.pb" not in entries:
        yield f"{source} has no saved_model.pb at its root"
    if not any(entry.startswith("variables/") for entry in entries):
        yield f"{source} has no variables/ at its root"


def _signature(package: _Package) -> Iterator[str]:
    saved = package.saved_model()
    metas = [meta for meta in saved.meta_graphs if TAG in meta.meta_info_def.tags]
    if len(metas) != 1 or SIGNATURE not in metas[0].signature_def:
        yield f"the SavedModel has no graph with the tag {TAG} and the signature {SIGNATURE}"
        return
    signature = metas[0].signature_def[SIGNATURE]
    for kind, tensors, keys in (
        ("input", package.inputs, set(signature.inputs)),
        ("output", package.outputs, set(signature.outputs)),
    ):
        ids = {tensor["id"] for tensor in tensors}
        if ids != keys:
            yield f"the {kind} tensors {sorted(ids)} are not the {kind} keys of the signature {sorted(keys)}"


def _frozen(package: _Package) -> Iterator[str]:
    for meta in package.saved_model().meta_graphs:
        graph = meta.graph_def
        if graph.library.function:
            yield "the graph has a function library; TensorFlow 1.15 cannot read today's functions"
        if graph.versions.producer != PRODUCER:
            yield f"the graph's producer is {graph.versions.producer} but must be {PRODUCER}"
        if not meta.meta_info_def.stripped_default_attrs:
            yield "default attributes were not stripped"
        if any(node.op in ("VarHandleOp", "ReadVariableOp", "VariableV2", "RestoreV2") for node in graph.node):
            yield "the graph has variables; TensorFlow 1.15 and 2.7 cannot read today's variables"


def _operations(package: _Package) -> Iterator[str]:
    for meta in package.saved_model().meta_graphs:
        check_operations(meta.graph_def, str(package.weights.get("source")))
    yield from ()


def _not_unpacked(package: _Package) -> Iterator[str]:
    for name in ("saved_model.pb", "variables"):
        if (package.folder / name).exists():
            yield f"{name} lies unpacked in the package and hides the zip: delete it"


def _data_types(package: _Package) -> Iterator[str]:
    known = {1: "float32", 2: "float64", 3: "int32", 4: "uint8", 9: "int64", 17: "uint16"}
    signature = package.saved_model().meta_graphs[0].signature_def[SIGNATURE]
    for tensors, infos in ((package.inputs, signature.inputs), (package.outputs, signature.outputs)):
        for tensor in tensors:
            told = (tensor.get("data") or {}).get("type", "float32")
            real = known.get(infos[tensor["id"]].dtype, "unknown")
            if told != real:
                yield f"{tensor['id']} is said to be {told} and is {real} in the graph"
    for tensor in package.inputs:
        if (tensor.get("data") or {}).get("type", "float32") != "float32":
            yield f"the input {tensor['id']} is not float32, as which DeepImageJ hands images over"


def _one_input(package: _Package) -> Iterator[str]:
    if [tensor.get("id") for tensor in package.inputs] != [INPUT]:
        yield f"DeepImageJ's macros take one input image, here {INPUT!r}"


def _sizes(package: _Package) -> Iterator[str]:
    for axis in (axis for tensor in package.inputs for axis in tensor["axes"] if axis.get("type") == "space"):
        size = axis.get("size")
        if isinstance(size, dict) and size.get("min", 0) % size.get("step", 1):
            yield f"min {size['min']} of the axis {axis['id']} is no multiple of its step {size['step']}"
    for tensor in package.tensors:
        for axis in tensor["axes"]:
            if axis.get("scale", 1) != 1:
                yield f"the axis {axis['id']} of {tensor['id']} has a scale; DeepImageJ takes it for a change of size"


def _whole(package: _Package) -> Iterator[str]:
    for tensor in package.inputs:
        for axis in tensor["axes"]:
            if axis.get("type") == "space" and (axis.get("size") or {}).get("step") != 1:
                yield f"the axis {axis['id']} has a step: DeepImageJ would cut tiles off the network's grid"
    for tensor in package.outputs:
        for axis in tensor["axes"]:
            if axis.get("halo"):
                yield f"the axis {axis['id']} of {tensor['id']} has a halo: DeepImageJ would cut the image into tiles"


def _processing(package: _Package) -> Iterator[str]:
    before = [(tensor, "preprocessing") for tensor in package.inputs]
    after = [(tensor, "postprocessing") for tensor in package.outputs]
    for tensor, key in before + after:
        for step in tensor.get(key) or []:
            name, options = step.get("id") or step.get("name"), step.get("kwargs") or {}
            if name not in PROCESSING:
                yield f"{key} of {tensor['id']} has the step {name}, which DeepImageJ cannot carry out"
            if options.get("reference_tensor"):
                yield f"the step {name} of {tensor['id']} has a reference_tensor, which DeepImageJ ignores"
            if name == "fixed_zero_mean_unit_variance" and isinstance(options.get("mean"), list):
                yield f"the step {name} of {tensor['id']} has lists, where DeepImageJ takes numbers alone"


def _tiling_config(package: _Package) -> Iterator[str]:
    config = (package.rdf.get("config") or {}).get("deepimagej")
    if config is not None and (config.get("allow_tiling") is not True or config.get("pyramidal_model", False)):
        yield "config.deepimagej must say allow_tiling: true and pyramidal_model: false"


def _units(package: _Package) -> Iterator[str]:
    if "units" not in (package.folder / str(package.rdf["documentation"])).read_text(encoding="utf-8"):
        yield "the documentation does not say in which units the result is"


def _files_inside(package: _Package) -> Iterator[str]:
    root = package.folder.resolve()
    for entry in package.folder.rglob("*"):
        if entry.is_symlink() or not entry.resolve().is_relative_to(root):
            yield f"{entry.name} is a link or lies outside of the package"
    for name in _sources(package.rdf):
        if "://" in name or not (package.folder / name).resolve().is_relative_to(root):
            yield f"{name} lies outside of the package"
        elif not (package.folder / name).is_file():
            yield f"{name} is named in {RDF} and not in the package"


def _sources(value: Any) -> Iterator[str]:
    """Yield all files that the description names."""
    if isinstance(value, dict):
        if isinstance(value.get("source"), str):
            yield value["source"]
        for part in value.values():
            yield from _sources(part)
    elif isinstance(value, list):
        for part in value:
            yield from _sources(part)


LINES: tuple[tuple[str, Line], ...] = (
    ("format_version is a text, 0.4 or 0.5", _format_version),
    ("id is there", _id),
    ("channel axes have channel_names", _channel_names),
    ("documentation is a plain text", _documentation),
    ("test tensors are there", _test_tensors),
    ("files lie in the package", _files_inside),
    ("tensorflow_version names an engine that works", _engine),
    ("the zip has saved_model.pb and variables/ at its root and is safe", _zip),
    ("tag serve, signature serving_default, keys as the tensors' ids", _signature),
    ("the graph is frozen", _frozen),
    ("the graph only computes, with what TensorFlow 1.15 knows", _operations),
    ("nothing unpacked is left over", _not_unpacked),
    ("data types are those of the graph", _data_types),
    ("there is one input image", _one_input),
    ("sizes: min a multiple of step, no scale", _sizes),
    ("images are run whole: no halo, step 1", _whole),
    ("steps before and after are known to DeepImageJ", _processing),
    ("config.deepimagej allows what the network allows", _tiling_config),
    ("the documentation tells the units", _units),
)
"""All lines, in the order of reading."""
