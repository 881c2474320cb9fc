"""What an export leaves in the model's folder."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
import tifffile
import yaml
from filelock import FileLock

from dl4fiji.data.image import open_image
from dl4fiji.errors import Canceled, ConflictError, DL4FijiError, InputError, NotFoundError
from dl4fiji.export import bioimageio, export_model
from dl4fiji.export.onnx import check_onnx, run_onnx
from dl4fiji.model import ModelFolder
from dl4fiji.prediction.predictor import Predictor
from dl4fiji.prediction.recipe import Recipe
from dl4fiji.progress import SilentProgress
from tiny_models import exported, make_model


def test_the_package_is_complete(model: ModelFolder) -> None:
    names = {file.name for file in model.package.iterdir()}
    expected = {"rdf.yaml", "README.md", "cover.png", "saved_model.zip", "model.onnx", "weights.h5", "model.json"}
    expected |= {"test_input.npy", "test_output.npy", "sample_input.tif", "sample_output.tif"}
    assert names == expected
    with zipfile.ZipFile(model.package_zip) as archive:
        assert set(archive.namelist()) == expected
    assert (model.package / "cover.png").stat().st_size < 500_000


def test_the_package_describes_itself(model: ModelFolder) -> None:
    info = model.read()
    rdf = yaml.safe_load((model.package / "rdf.yaml").read_text(encoding="utf-8"))
    assert [author["name"] for author in rdf["authors"]] == info.authors == ["Ada L.", "Grace H."]
    assert rdf["license"] == "CC-BY-4.0"
    assert rdf["cite"][0]["doi"] == "10.1038/s41592-018-0216-7"
    assert rdf["timestamp"].startswith("2026-01-02T03:04:05")
    assert rdf["weights"]["tensorflow_saved_model_bundle"]["tensorflow_version"] == "1.15.0"
    assert rdf["config"]["dl4fiji"]["normalization_in_graph"] == {"kind": "percentile", "low": 2.0, "high": 99.8}
    readme = (model.package / "README.md").read_text(encoding="utf-8")
    for part in ("units of the input image", "## Training", "## Validation", "20.25", "25.5", "DeepImageJ", "Ada L."):
        assert part in readme
    assert ModelFolder(model.path).read() == info


def test_the_test_tensors_are_what_the_network_gives(model: ModelFolder) -> None:
    x = np.load(model.package / "test_input.npy")
    found = run_onnx(model.package / "model.onnx", x)
    expected = np.load(model.package / "test_output.npy")
    np.testing.assert_allclose(found["output"], expected, rtol=1e-5, atol=1e-2)
    sample = open_image(model.package / "sample_output.tif")
    assert sample.metadata.pixel_size["X"] == 0.25
    assert sample.metadata.unit == "µm"


def test_the_scale_follows_the_image_in_one_output() -> None:
    """Several outputs would come in an order that changes from run to run in bioimageio.core."""
    model = exported("probabilistic")
    (output,) = bioimageio.read_rdf(model.package)["outputs"]
    assert output["axes"][-1]["channel_names"] == ["output0", "output1", "scale0", "scale1"]
    x = np.load(model.package / "test_input.npy")
    found = run_onnx(model.package / "model.onnx", x)["output"]
    arrays = Predictor(model).predict_arrays(x[0], "YXC")
    np.testing.assert_allclose(found[0, ..., :2], arrays["output"], rtol=1e-4)
    np.testing.assert_allclose(found[0, ..., 2:], arrays["scale"], rtol=1e-4)


def test_the_zip_for_csbdeep(model: ModelFolder) -> None:
    info, recipe = model.read(), Recipe.of(model.read())
    with zipfile.ZipFile(model.csbdeep_zip) as archive:
        assert set(archive.namelist()) == {"saved_model.pb", "variables/", "meta.json"}
        meta = json.loads(archive.read("meta.json"))
        graph = archive.read("saved_model.pb")
    assert meta["axes"] == meta["axes_out"] == info.axes
    assert meta["axes_div_by"] == [*recipe.divisor, 1]
    assert meta["tile_overlap"] == [*recipe.halo, 0]
    assert meta["tiling"] == [*[True] * len(recipe.divisor), False]
    from tensorflow.core.protobuf import saved_model_pb2

    signature = saved_model_pb2.SavedModel.FromString(graph).meta_graphs[0].signature_def["serving_default"]
    assert list(signature.inputs) == ["input"]
    assert list(signature.outputs) == ["output"], "the plugin takes the first output whatever it is"
    channels = 2 * info.channels_out if meta["probabilistic"] else info.channels_out
    assert signature.outputs["output"].tensor_shape.dim[-1].size == channels


@pytest.mark.parametrize(
    ("name", "shown", "identifier"),
    [
        ("nuclei", "nuclei", "dl4fiji-nuclei-"),
        ("Zellkerne µm ü (2)", "Zellkerne m u (2)", "dl4fiji-zellkerne-m-u-2-"),
        ("a", "a (CARE 2D)", "dl4fiji-a-"),
        ("细胞核", "(CARE 2D)", "dl4fiji-model-"),
    ],
)
def test_names_that_bioimageio_does_not_allow(name: str, shown: str, identifier: str) -> None:
    from dl4fiji.networks import get

    info = exported("plane").read().model_copy(update={"name": name})
    assert bioimageio.display_name(info, get("care-2d")) == shown
    assert bioimageio.identifier(info).startswith(identifier)
    assert bioimageio.identifier(info) == bioimageio.identifier(info)


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> ModelFolder:
    """A model of this file's own, exported once by the weights ``last``."""
    model = make_model(tmp_path_factory.mktemp("models"), name="ümlaut & 'quote' [1]")
    export_model(model, "last", certify=False)
    return model


def test_exporting_again_replaces_everything(own: ModelFolder) -> None:
    (own.package / "saved_model.pb").write_bytes(b"unpacked by DeepImageJ")
    (own.package / "variables").mkdir()
    before = (own.package / "model.onnx").read_bytes()
    result = export_model(own, "best", certify=False)
    assert result["findings"] == []
    assert not (own.package / "saved_model.pb").exists()
    assert not (own.package / "variables").exists()
    assert (own.package / "model.onnx").read_bytes() != before, "best and last differ"
    assert [entry.name for entry in own.path.rglob(".*")] == [".export.lock"]
    assert own.onnx("best").is_file()
    assert own.onnx("last").is_file()


def test_a_canceled_export_leaves_the_former_one(own: ModelFolder) -> None:
    before = {file: file.read_bytes() for file in own.package.iterdir()}

    class Impatient(SilentProgress):
        phases = 0

        def phase(self, text: str) -> None:
            self.phases += 1

        def canceled(self) -> bool:
            return self.phases >= 3

    with pytest.raises(Canceled):
        export_model(own, "best", Impatient(), certify=False)
    assert {file: file.read_bytes() for file in own.package.iterdir()} == before
    assert [entry.name for entry in own.path.rglob(".*")] == [".export.lock"]


def test_one_export_at_a_time(own: ModelFolder) -> None:
    with FileLock(own.path / ".export.lock"), pytest.raises(ConflictError, match="being exported already"):
        export_model(own, certify=False)


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="no model"):
        export_model(ModelFolder(tmp_path / "none"), certify=False)
    model = make_model(tmp_path)
    model.weights("best").unlink()
    with pytest.raises(NotFoundError, match=r"best\.h5"):
        export_model(model, certify=False)
    with pytest.raises(InputError, match="choose best or last"):
        export_model(model, "worst", certify=False)


def test_a_conversion_that_went_wrong_is_noticed() -> None:
    model = exported("plane").package
    x = np.load(model / "test_input.npy")
    wrong = {"output": np.load(model / "test_output.npy") + 1}
    with pytest.raises(DL4FijiError, match="differs from the network"):
        check_onnx((model / "model.onnx").read_bytes(), x, wrong, 0.5)


def test_sample_images_open_in_imagej(model: ModelFolder) -> None:
    for file in model.package.glob("sample_*.tif"):
        with tifffile.TiffFile(file) as tiff:
            assert tiff.is_imagej
