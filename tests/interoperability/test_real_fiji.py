"""A real Fiji: the same scripts and macros, and the models in DeepImageJ and in the CSBDeep plugin.

Needs ``DL4FIJI_FIJI``, the folder of a Fiji with DeepImageJ 3.1 (engine TensorFlow 1.15.0) and CSBDeep 0.6.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

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

_OPTIONS = "epochs=3 batch_size=4 patch_size=64x64 patches_per_image=16 depth=2 kernel_size=3 first_filters=8"


@pytest.fixture(scope="module")
def fiji(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FijiProcess]:
    """The Fiji, headless, through pyimagej; our menu comes with the session."""
    home = Home(tmp_path_factory.mktemp("fiji") / "home").create()
    process = FijiProcess(home, _APP)
    yield process
    process.close()


@pytest.fixture(scope="module")
def model(fiji: FijiProcess, shared_data: Path) -> str:
    """A small CARE 2D, trained by the macro command on real pairs."""
    data = shared_data / "fmd-denoising"
    name = "fiji tiny"
    answer = fiji.run_macro(
        f'run("CARE 2D", "source=[{data}/source] target=[{data}/target] name=[{name}] {_OPTIONS}");'
        'return getInfo("dl4fiji.model") + "|" + getInfo("dl4fiji.state");'
    )
    assert answer == f"{name}|COMPLETE"
    return name


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
    assert fiji.run_macro(str(macro), f"model=[{model}] source=[{images}] output=[{output}]") == "2"
    return output


def largest_difference(folder: Path, expected: Path, ending: str = "") -> float:
    """Return the largest difference of results, relative to the range of values."""
    differences = []
    for file in expected.glob("*.tif"):
        truth = tifffile.imread(file)
        result = tifffile.imread(folder / f"{file.stem}{ending}.tif").reshape(truth.shape)
        differences.append(float(np.abs(result - truth).max() / np.ptp(truth)))
    assert len(differences) == 2
    return max(differences)


def test_errors_end_macros(fiji: FijiProcess) -> None:
    with pytest.raises(FijiError, match="no option 'epoch': did you mean 'epochs'"):
        fiji.run_macro('run("CARE 2D", "epoch=3"); print("after");')
    assert "after" not in fiji.printed


def test_deepimagej_gives_what_python_gives(
    fiji: FijiProcess, model: str, images: Path, expected: Path, repository: Path, tmp_path: Path,
    record_property: Callable[[str, Any], None],
) -> None:  # fmt: skip
    package = tmp_path / model
    shutil.copytree(fiji.home.model(model) / "package", package)
    output = tmp_path / "out"
    macro = repository / "fiji-scripts" / "macros" / "predict_a_folder_with_deepimagej.ijm"
    assert fiji.run_macro(str(macro), f"model=[{package}] source=[{images}] output=[{output}]") == "2"
    difference = largest_difference(output, expected, "_output")
    record_property("DeepImageJ", difference)
    assert difference < 1e-5


def test_csbdeep_gives_what_python_gives(
    fiji: FijiProcess, model: str, images: Path, expected: Path, repository: Path, tmp_path: Path,
    record_property: Callable[[str, Any], None],
) -> None:  # fmt: skip
    macro = repository / "fiji-scripts" / "macros" / "predict_a_folder_with_csbdeep.ijm"
    output = tmp_path / "a new" / "folder"
    arguments = f"model=[{fiji.home.model(model)}] source=[{images}] output=[{output}]"
    assert fiji.run_macro(str(macro), arguments) == "2"
    difference = largest_difference(output, expected)
    record_property("CSBDeep", difference)
    assert difference < 1e-5


def test_a_missing_model_is_told_by_the_batch_macro(
    fiji: FijiProcess, images: Path, repository: Path, tmp_path: Path
) -> None:
    macro = repository / "fiji-scripts" / "macros" / "predict_a_folder_with_csbdeep.ijm"
    with pytest.raises(FijiError, match="is no folder of a model for CSBDeep"):
        fiji.run_macro(str(macro), f"model=[{tmp_path}] source=[{images}] output=[{tmp_path}/out]")
