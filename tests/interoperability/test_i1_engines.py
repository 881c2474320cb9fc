"""Row I1: every network's export loads in Fiji's TensorFlow Java engines and agrees with Python to 1e-4."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest

from dl4fiji.archive import unpack
from dl4fiji.data.normalization import fit
from dl4fiji.errors import DL4FijiError, SetupError
from dl4fiji.export import certificate, engines
from dl4fiji.export.certificate import TOLERANCE, Probe, certify, run_engine
from dl4fiji.export.engines import ENGINES, Engine
from dl4fiji.home import Home
from dl4fiji.model import ModelFolder
from dl4fiji.networks import NETWORKS
from dl4fiji.prediction.recipe import Recipe
from dl4fiji.progress import SilentProgress
from tiny_models import exported, exported_network, smooth

pytestmark = [pytest.mark.jvm, pytest.mark.timeout(600)]

VERSIONS = [engine.version for engine in ENGINES]


def _probe(model: ModelFolder) -> Probe:
    x, expected = (np.load(model.package / f"test_{name}.npy") for name in ("input", "output"))
    info = model.read()
    scale = min(fit(info.normalization, x[0], info.axes).scale) if Recipe.of(info).image_units else 1.0
    return Probe(x, {"output": expected}, scale)


def _engine(version: str, home: Home) -> Engine:
    """Return an engine of this machine, fetched if need be; skip where there is none."""
    engine = next(engine for engine in ENGINES if engine.version == version)
    try:
        certificate._find_java()
        engines.install(engine, home, SilentProgress())
    except SetupError as error:
        pytest.skip(error.message)
    return engine


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", [network.name for network in NETWORKS] + ["probabilistic"])
def test_i1_engine_agrees_with_python(name: str, version: str, engines_home: Home, tmp_path: Path) -> None:
    engine = _engine(version, engines_home)
    model = exported(name) if name == "probabilistic" else exported_network(name)
    unpack(model.package / "saved_model.zip", tmp_path)
    probe = _probe(model)
    found_version, found = run_engine(engine, tmp_path, probe, engines_home, SilentProgress())
    assert found_version == version
    print(f"I1: {name} in {version}: {probe.difference(found):.1e}")
    assert probe.difference(found) <= TOLERANCE
    assert float(np.std(probe.expected["output"])) / probe.scale > 0.01, "a test on a constant shows nothing"


@pytest.mark.parametrize("version", VERSIONS)
def test_i1_the_zip_for_csbdeep_runs_too(version: str, engines_home: Home, tmp_path: Path) -> None:
    engine = _engine(version, engines_home)
    model = exported("probabilistic")
    unpack(model.csbdeep_zip, tmp_path)
    x = np.random.default_rng(0).random((1, 32, 40, 2), np.float32)
    from dl4fiji.prediction.predictor import Predictor

    probe = Probe(x, {"output": Predictor(model).predict_normalized(x[0])[np.newaxis]}, 1.0)
    _, found = run_engine(engine, tmp_path, probe, engines_home, SilentProgress())
    assert found["output"].shape[-1] == 4
    assert probe.difference(found) <= TOLERANCE


@pytest.mark.parametrize("version", VERSIONS)
def test_i1_the_zip_for_stardist_gives_the_same_objects(version: str, engines_home: Home, tmp_path: Path) -> None:
    """What the StarDist plugin does with it: every pixel of the output is a candidate, those off the grid are 0."""
    from stardist import polygons_to_label
    from stardist.matching import matching
    from stardist.nms import non_maximum_suppression

    from dl4fiji.prediction.instances import InstancePredictor

    engine = _engine(version, engines_home)
    model = exported_network("stardist-2d")
    assert not model.csbdeep_zip.exists(), "one zip, so that nobody takes the wrong one"
    unpack(model.stardist_zip, tmp_path)
    assert json.loads((tmp_path / "thresholds.json").read_text())["prob"] == model.read().thresholds["probability"]
    predictor, image = InstancePredictor(model), smooth(64, 96, seed=5)
    x = fit(model.read().normalization, image, "YX").apply(image[..., np.newaxis])
    probe = Probe(x[np.newaxis], {"output": predictor.predict_normalized(x)[np.newaxis]}, 1.0)
    _, found = run_engine(engine, tmp_path, probe, engines_home, SilentProgress())
    assert probe.difference(found) <= TOLERANCE
    output, thresholds = found["output"][0], predictor.thresholds
    points, prob, dist = non_maximum_suppression(
        np.maximum(output[..., 1:], 1e-3),
        output[..., 0],
        b=4,
        prob_thresh=thresholds.probability,
        nms_thresh=thresholds.overlap,
    )
    theirs = polygons_to_label(dist, points, image.shape, prob)
    ours = predictor.predict_array(image, "YX", tile_size=32).astype(np.int32)
    assert len(points) > 20
    assert matching(ours, theirs, thresh=0.99).f1 == 1.0


def test_the_certificate_tells_what_every_engine_did(engines_home: Home, tmp_path: Path) -> None:
    for version in VERSIONS:
        _engine(version, engines_home)
    model = exported("plane")
    unpack(model.package / "saved_model.zip", tmp_path)
    made = certify(tmp_path, model.package / "model.onnx", _probe(model), engines_home, SilentProgress())
    assert list(made["engines"]) == ["ONNX Runtime", *(engine.name for engine in ENGINES)]
    for entry in made["engines"].values():
        assert entry["tried"]
        assert entry["loaded"]
        assert entry["agrees"]
        assert entry["max_difference"] <= TOLERANCE
        assert entry["seconds"] > 0
    json.dumps(made)


def test_a_graph_that_an_engine_lacks_is_written_down(engines_home: Home, tmp_path: Path) -> None:
    _engine("1.15.0", engines_home)
    (tmp_path / "saved_model.pb").write_bytes(b"nothing of the kind")
    probe = Probe(np.zeros((1, 8, 8, 1), np.float32), {"output": np.zeros((1, 8, 8, 1), np.float32)}, 1.0)
    with pytest.raises(DL4FijiError, match=r"TensorFlow Java 1\.15\.0 fails with exit code 1"):
        run_engine(ENGINES[0], tmp_path, probe, engines_home, SilentProgress())
    entry = certificate._attempt(lambda: run_engine(ENGINES[0], tmp_path, probe, engines_home, SilentProgress()), probe)
    assert (entry["tried"], entry["loaded"], entry["agrees"]) == (True, False, False)
    assert "exit code" in entry["reason"]


def test_an_engine_that_hangs_is_ended(engines_home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = _engine("1.15.0", engines_home)
    monkeypatch.setattr(certificate, "TIMEOUT", 0.2)
    probe = Probe(np.zeros((1, 8, 8, 1), np.float32), {"output": np.zeros((1, 8, 8, 1), np.float32)}, 1.0)
    with pytest.raises(DL4FijiError, match=r"did not finish"):
        run_engine(engine, tmp_path, probe, engines_home, SilentProgress())


def test_what_cannot_be_tried_stops_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Offline and without jars the certificate says so, and the export goes on."""
    import requests

    def refuse(*_: object, **__: object) -> None:
        raise requests.ConnectionError("no network")

    monkeypatch.setattr(requests, "request", refuse)
    monkeypatch.setenv("DL4FIJI_ENGINES", str(tmp_path / "engines"))
    monkeypatch.setenv("M2_REPO", str(tmp_path / "m2"))
    monkeypatch.setattr("jgo.constants.default_maven_repo", lambda: tmp_path / "m2")
    model = exported("plane")
    unpack(model.package / "saved_model.zip", tmp_path / "model")
    made = certify(tmp_path / "model", model.package / "model.onnx", _probe(model), Home(tmp_path), SilentProgress())
    assert made["engines"]["ONNX Runtime"]["agrees"]
    for engine in ENGINES:
        entry = made["engines"][engine.name]
        assert not entry["tried"]
        assert "not tried" in entry["reason"]
        assert "connect to the network" in entry["reason"]
    assert not any((tmp_path / "engines").glob("tensorflow-*"))


def test_a_machine_that_an_engine_does_not_exist_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DL4FIJI_ENGINES", str(tmp_path / "engines"))
    monkeypatch.setattr(engines, "machine", lambda: "macosx-arm64")
    with pytest.raises(SetupError, match="for this machine"):
        engines.install(ENGINES[0], Home(tmp_path), SilentProgress())


def test_the_unfrozen_form_is_what_fails_in_fiji(engines_home: Home, tmp_path: Path) -> None:
    """Why exports are frozen: TensorFlow 1.15 cannot load what Keras saves today."""
    engine = _engine("1.15.0", engines_home)
    from dl4fiji.keras_setup import import_tensorflow
    from dl4fiji.prediction.keras_model import load_keras_model

    tf = import_tensorflow()
    tf.saved_model.save(load_keras_model(exported("plane")), str(tmp_path / "plain"))
    probe = Probe(np.zeros((1, 8, 8, 1), np.float32), {"output": np.zeros((1, 8, 8, 1), np.float32)}, 1.0)
    with pytest.raises(DL4FijiError, match="exit code"):
        run_engine(engine, tmp_path / "plain", probe, engines_home, SilentProgress())


def test_the_package_zip_is_a_clean_archive() -> None:
    model = exported("plane")
    with zipfile.ZipFile(model.package_zip) as archive:
        assert archive.testzip() is None
        assert not [name for name in archive.namelist() if ".." in name or name.startswith("/")]
