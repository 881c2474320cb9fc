"""A real Fiji: the same scripts and macros, and the models in DeepImageJ and in the plugins.

Needs ``DL4FIJI_FIJI``, the folder of a Fiji with DeepImageJ 3.1 (engine TensorFlow 1.15.0), CSBDeep 0.6, StarDist 0.3
and N2V 0.8.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest
import tifffile

from dl4fiji.home import Home
from fiji_process import FijiError, FijiProcess

_APP = os.environ.get("DL4FIJI_FIJI", "")
pytestmark = [
    pytest.mark.jvm,
    pytest.mark.skipif(not _APP, reason="DL4FIJI_FIJI names no Fiji to test in"),
    pytest.mark.timeout(600),
]

_OPTIONS = "epochs=3 batch_size=4 patch_size=64x64 patches_per_image=16 depth=2 first_filters=8"


@pytest.fixture(scope="module")
def fiji(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FijiProcess]:
    """The Fiji, headless, through pyimagej; our menu comes with the session."""
    home = Home(tmp_path_factory.mktemp("fiji") / "home").create()
    process = FijiProcess(home, _APP)
    yield process
    process.close()


def train(fiji: FijiProcess, title: str, options: str) -> str:
    """Train by the macro command and return the model's name."""
    name = f"fiji {title}"
    answer = fiji.run_macro(
        f'run("{title}", "name=[{name}] {options}");return getInfo("dl4fiji.model") + "|" + getInfo("dl4fiji.state");'
    )
    assert answer == f"{name}|COMPLETE"
    return name


@pytest.fixture(scope="module", params=["CARE 2D", "Noise2Void 2D", "U-Net 2D"])
def model(request: pytest.FixtureRequest, fiji: FijiProcess, shared_data: Path) -> str:
    """A small model of each network that CSBDeep runs, trained on real images."""
    data = shared_data / ("axon-sem" if request.param == "U-Net 2D" else "fmd-denoising")
    images, target = ("images", "axon") if request.param == "U-Net 2D" else ("source", "target")
    options = f"source=[{data}/{images}] {_OPTIONS}"
    return train(fiji, request.param, options + ("" if "Void" in request.param else f" target=[{data}/{target}]"))


@pytest.fixture(scope="module")
def nuclei(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Nuclei and their labels, TIFF: 30 pairs in ``train``, 5 images of uneven sizes in ``test``."""
    folder, data = tmp_path_factory.mktemp("nuclei"), shared_data / "dsb2018-nuclei"
    for part in ("train/source", "train/target", "test"):
        (folder / part).mkdir(parents=True)
    grey = [
        file for file in sorted((data / "images").iterdir()) if np.ptp(iio.imread(file)[..., :3], axis=-1).max() == 0
    ]
    for number, file in enumerate(grey[:35]):
        image = iio.imread(file)[..., 0]
        if number % 7 == 0:
            tifffile.imwrite(folder / "test" / f"{file.stem}.tif", image[: 200 + number, : 251 - number], imagej=True)
            continue
        tifffile.imwrite(folder / "train" / "source" / f"{file.stem}.tif", image, imagej=True)
        shutil.copy(data / "labels" / f"{file.stem}.tif", folder / "train" / "target")
    return folder


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images whose sizes are no multiples of the network's step, one with a space in its name."""
    folder = tmp_path_factory.mktemp("to predict")
    generator = np.random.default_rng(3)
    for name, size in (("one a.tif", (200, 301)), ("two.tif", (131, 97))):
        tifffile.imwrite(folder / name, generator.poisson(40, size).astype(np.uint16), imagej=True)
    return folder


@pytest.fixture(scope="module")
def expected(
    fiji: FijiProcess, model: str, images: Path, repository: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """What the service predicts."""
    output = tmp_path_factory.mktemp("service")
    macro = repository / "fiji-scripts" / "macros" / "predict_a_folder.ijm"
    files = "4" if "U-Net" in model else "2"  # masks besides
    assert fiji.run_macro(str(macro), f"model=[{model}] source=[{images}] output=[{output}]") == files
    return output


def largest_difference(folder: Path, expected: Path, ending: str = "", border: int = 0) -> float:
    """Return the largest difference of results, relative to the range of values; ``border`` pixels do not count."""
    inner = (..., slice(border, -border or None), slice(border, -border or None))
    differences = []
    for file in (file for file in expected.glob("*.tif") if not file.stem.endswith("_mask")):
        truth = tifffile.imread(file)
        result = tifffile.imread(folder / f"{file.stem}{ending}.tif").reshape(truth.shape)
        differences.append(float(np.abs(result - truth)[inner].max() / np.ptp(truth)))
    assert len(differences) == 2
    return max(differences)


def test_errors_end_macros(fiji: FijiProcess) -> None:
    with pytest.raises(FijiError, match="no option 'epoch': did you mean 'epochs'"):
        fiji.run_macro('run("CARE 2D", "epoch=3"); print("after");')
    assert "after" not in fiji.printed


def test_deepimagej_gives_what_python_gives(
    fiji: FijiProcess, model: str, images: Path, expected: Path, repository: Path, tmp_path: Path
) -> None:
    package = tmp_path / model
    shutil.copytree(fiji.home.model(model) / "package", package)
    output = tmp_path / "out"
    macro = repository / "fiji-scripts" / "macros" / "predict_a_folder_with_deepimagej.ijm"
    assert fiji.run_macro(str(macro), f"model=[{package}] source=[{images}] output=[{output}]") == "2"
    difference = largest_difference(output, expected, "_output")
    print(f"DeepImageJ, {model}: {difference:.1e}")
    assert difference < 1e-5


def test_csbdeep_gives_what_python_gives(
    fiji: FijiProcess, model: str, images: Path, expected: Path, repository: Path, tmp_path: Path
) -> None:
    macro = repository / "fiji-scripts" / "macros" / "predict_a_folder_with_csbdeep.ijm"
    output = tmp_path / "a new" / "folder"
    arguments = f"model=[{fiji.home.model(model)}] source=[{images}] output=[{output}]"
    assert fiji.run_macro(str(macro), arguments) == "2"
    difference = largest_difference(output, expected)
    print(f"CSBDeep, {model}: {difference:.1e}")
    assert difference < 1e-5


@pytest.mark.parametrize("model", ["Noise2Void 2D"], indirect=True)
def test_n2v_gives_what_python_gives(
    fiji: FijiProcess, model: str, images: Path, expected: Path, tmp_path: Path
) -> None:
    plugin_zip = str(fiji.home.model(model) / f"{model}.csbdeep.zip")
    for file in images.iterdir():
        assert fiji.groovy(
            """
            def commands = ij.IJ.runPlugIn('org.scijava.Context', '').getService('org.scijava.command.CommandService')
            def functions = commands.class.classLoader.loadClass('net.imglib2.img.display.imagej.ImageJFunctions')
            def inputs = [input: functions.convertFloat(ij.IJ.openImage(given.image)), axes: 'XY',
                          showProgressDialog: false, modelFile: new File(given.model)]
            def command = 'de.csbdresden.n2v.command.N2VPredictCommand'
            def output = commands.run(command, false, inputs as Map<String, Object>).get().getOutput('output')
            return new ij.io.FileSaver(functions.wrap(output, 'result').duplicate()).saveAsTiff(given.result)
            """,
            image=str(file), result=str(tmp_path / file.name), model=plugin_zip,
        ) == "True"  # fmt: skip
    # Around the image the plugin mirrors it, and the network sees that; in Python it sees nothing there.
    difference = largest_difference(tmp_path, expected, border=24)
    print(f"N2V, {model}: {difference:.1e}")
    assert difference < 1e-5


def test_a_missing_model_is_told_by_the_batch_macro(
    fiji: FijiProcess, images: Path, repository: Path, tmp_path: Path
) -> None:
    macro = repository / "fiji-scripts" / "macros" / "predict_a_folder_with_csbdeep.ijm"
    with pytest.raises(FijiError, match="is no folder of a model for CSBDeep"):
        fiji.run_macro(str(macro), f"model=[{tmp_path}] source=[{images}] output=[{tmp_path}/out]")


def test_stardist_finds_what_python_finds(fiji: FijiProcess, nuclei: Path, repository: Path, tmp_path: Path) -> None:
    from stardist.matching import matching

    name = train(
        fiji, "DL4Fiji StarDist 2D",
        f"source=[{nuclei}/train/source] target=[{nuclei}/train/target] epochs=15 steps_per_epoch=20 batch_size=4 "
        "patch_size=128x128 patches_per_image=16",
    )  # fmt: skip
    macros, source = repository / "fiji-scripts" / "macros", f"source=[{nuclei}/test]"
    expected, output = tmp_path / "service", tmp_path / "plugin"
    assert fiji.run_macro(str(macros / "predict_a_folder.ijm"), f"model=[{name}] {source} output=[{expected}]") == "15"
    arguments = f"model=[{fiji.home.model(name)}] {source} output=[{output}]"
    assert fiji.run_macro(str(macros / "predict_a_folder_with_stardist.ijm"), arguments) == "5"
    objects, scores = 0, []
    for file in sorted((nuclei / "test").iterdir()):
        truth, found = tifffile.imread(expected / file.name), tifffile.imread(output / file.name)
        objects += len(np.unique(truth)) - 1
        if truth.any() or found.any():
            scores.append(matching(truth, found.astype(truth.dtype)).f1)
    print(f"StarDist: {objects} objects, F1 {scores}")
    assert objects > 30
    # The plugin compares outlines in whole pixels, so that of two that overlap just so much the other one may be left.
    assert np.mean(scores) > 0.97
