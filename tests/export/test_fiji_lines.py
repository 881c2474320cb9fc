"""Each line of what DeepImageJ and JDLL read of a model's folder: fulfilled by our packages, noticed when broken."""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from dl4fiji.archive import unpack
from dl4fiji.export.archive import zip_folder
from dl4fiji.export.bioimageio import read_rdf
from dl4fiji.export.bioimageio_child import run_check
from dl4fiji.export.frozen_graph import read_saved_model
from dl4fiji.export.package_check import LINES, _Package, check_package
from tiny_models import VARIANTS, exported

CHANGE = Callable[[Path, dict[str, Any]], None]


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("line", [title for title, _ in LINES])
def test_line(variant: str, line: str) -> None:
    package = exported(variant).package
    problems = list(dict(LINES)[line](_Package(package, read_rdf(package))))
    assert problems == []


@pytest.mark.parametrize("variant", VARIANTS)
def test_bioimageio_spec_and_core(variant: str) -> None:
    """Row I2: valid, no error, and the model test passes for every format of weights."""
    findings = run_check(exported(variant).package, thorough=True)
    assert {status for _, status, _ in findings} == {"good"}, findings
    assert len(findings) == 3, findings


def _graph(change: Callable[[Any], None]) -> CHANGE:
    """Return a change of the zipped graph."""

    def apply(package: Path, rdf: dict[str, Any]) -> None:
        folder = package.with_name("unpacked")
        unpack(package / "saved_model.zip", folder)
        saved = read_saved_model(folder / "saved_model.pb")
        change(saved.meta_graphs[0])
        (folder / "saved_model.pb").write_bytes(saved.SerializeToString())
        zip_folder(folder, package / "saved_model.zip")

    return apply


def _without_variables(package: Path, rdf: dict[str, Any]) -> None:
    with zipfile.ZipFile(package / "saved_model.zip") as archive:
        graph = archive.read("saved_model.pb")
    with zipfile.ZipFile(package / "saved_model.zip", "w") as archive:
        archive.writestr("model/saved_model.pb", graph)


def _traversal(package: Path, rdf: dict[str, Any]) -> None:
    with zipfile.ZipFile(package / "saved_model.zip", "a") as archive:
        archive.writestr("../../plugins/evil.jar", b"evil")


def _rename_output(meta: Any) -> None:
    signature = meta.signature_def["serving_default"]
    signature.outputs["result"].CopyFrom(signature.outputs.pop("output"))


def _read_file(meta: Any) -> None:
    node = meta.graph_def.node.add()
    node.name, node.op = "evil", "ReadFile"


def _variable(meta: Any) -> None:
    node = meta.graph_def.node.add()
    node.name, node.op = "weights", "VarHandleOp"


def _producer(meta: Any) -> None:
    meta.graph_def.versions.producer = 2474


def _function(meta: Any) -> None:
    meta.graph_def.library.function.add().signature.name = "f"


def _defaults(meta: Any) -> None:
    meta.meta_info_def.stripped_default_attrs = False


def _double(meta: Any) -> None:
    meta.signature_def["serving_default"].outputs["output"].dtype = 2


def _rdf(change: Callable[[dict[str, Any]], Any]) -> CHANGE:
    def apply(package: Path, rdf: dict[str, Any]) -> None:
        change(rdf)

    return apply


def _axis(rdf: dict[str, Any], tensor: str, name: str) -> dict[str, Any]:
    return next(axis for axis in rdf[tensor][0]["axes"] if axis.get("id") == name)


def _weights(rdf: dict[str, Any]) -> dict[str, Any]:
    return rdf["weights"]["tensorflow_saved_model_bundle"]


BROKEN: dict[str, tuple[CHANGE, str]] = {
    "version as a number": (_rdf(lambda rdf: rdf.update(format_version=0.5)), "must be a text"),
    "version 0.6": (_rdf(lambda rdf: rdf.update(format_version="0.6.0")), "must be a text"),
    "no id": (_rdf(lambda rdf: rdf.pop("id")), "NullPointerException"),
    "no channel names": (_rdf(lambda rdf: _axis(rdf, "inputs", "channel").pop("channel_names")), "channel_names"),
    "documentation as a mapping": (
        _rdf(lambda rdf: rdf.update(documentation={"source": "README.md"})),
        "ClassCastException",
    ),
    "no documentation": (lambda package, rdf: (package / "README.md").unlink(), "is not in the package"),
    "no test tensor": (_rdf(lambda rdf: rdf["outputs"][0].pop("test_tensor")), "Test button"),
    "no tensorflow_version": (_rdf(lambda rdf: _weights(rdf).pop("tensorflow_version")), "NullPointerException"),
    "an engine that returns zeros": (
        _rdf(lambda rdf: _weights(rdf).update(tensorflow_version="2.10.1")),
        "known to work",
    ),
    "another name than rdf.yaml": (lambda package, rdf: rdf.clear(), "describes nothing"),
    "graph not at the root": (_without_variables, "no saved_model.pb at its root"),
    "a zip that writes outside": (_traversal, "leads out of its folder"),
    "another key": (_graph(_rename_output), "are not the output keys"),
    "operation that reads files": (_graph(_read_file), "ReadFile"),
    "variables": (_graph(_variable), "has variables"),
    "another producer": (_graph(_producer), "producer"),
    "functions": (_graph(_function), "function library"),
    "default attributes": (_graph(_defaults), "not stripped"),
    "float64 from the graph": (_graph(_double), "is said to be float32"),
    "a leftover": (lambda package, rdf: (package / "variables").mkdir(), "hides the zip"),
    "input as uint16": (_rdf(lambda rdf: rdf["inputs"][0].update(data={"type": "uint16"})), "not float32"),
    "two inputs": (_rdf(lambda rdf: rdf["inputs"].append(rdf["inputs"][0])), "one input image"),
    "min off the step": (
        _rdf(lambda rdf: _axis(rdf, "inputs", "y").update(size={"min": 5, "step": 4})),
        "no multiple of its step",
    ),
    "size of a pixel as scale": (_rdf(lambda rdf: _axis(rdf, "outputs", "x").update(scale=0.1)), "change of size"),
    "tiles off the grid": (
        _rdf(lambda rdf: _axis(rdf, "inputs", "x").update(size={"min": 8, "step": 8})),
        "off the network's grid",
    ),
    "halo": (_rdf(lambda rdf: _axis(rdf, "outputs", "x").update(halo=8)), "cut the image into tiles"),
    "a step that throws": (
        _rdf(lambda rdf: rdf["outputs"][0].update(postprocessing=[{"id": "scale_mean_variance", "kwargs": {}}])),
        "cannot carry out",
    ),
    "a reference that is ignored": (
        _rdf(
            lambda rdf: rdf["inputs"][0].update(
                preprocessing=[{"id": "scale_range", "kwargs": {"reference_tensor": "input"}}]
            )
        ),
        "ignores",
    ),
    "tiling forbidden": (
        _rdf(lambda rdf: rdf["config"].update(deepimagej={"allow_tiling": False})),
        "allow_tiling: true",
    ),
    "units untold": (lambda package, rdf: (package / "README.md").write_text("# A model\n"), "which units"),
    "a link": (lambda package, rdf: (package / "link").symlink_to("/etc/passwd"), "is a link"),
    "a file elsewhere": (_rdf(lambda rdf: rdf["attachments"].append({"source": "../model.json"})), "outside"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_broken_line(package: Path, case: str) -> None:
    change, sentence = BROKEN[case]
    rdf = read_rdf(package)
    change(package, rdf)
    (package / "rdf.yaml").write_text(yaml.safe_dump(rdf), encoding="utf-8")
    errors = [finding.text for finding in check_package(package, thorough=False) if finding.status == "error"]
    assert any(sentence in error for error in errors), errors


def test_no_description_at_all(package: Path, tmp_path: Path) -> None:
    shutil.move(package / "rdf.yaml", package / "bioimageio.yaml")
    (finding,) = check_package(package)
    assert finding.status == "error"
    assert "the only name that DeepImageJ looks for" in finding.text
    (package / "rdf.yaml").write_text("a: [b")
    (finding,) = check_package(package)
    assert "no YAML" in finding.text


def test_what_bioimageio_finds_is_told(package: Path) -> None:
    rdf = read_rdf(package) | {"license": "my own"}
    (package / "rdf.yaml").write_text(yaml.safe_dump(rdf), encoding="utf-8")
    findings = check_package(package, thorough=False)
    assert any(finding.status == "error" and "license" in finding.text for finding in findings)
