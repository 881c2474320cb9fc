"""Predictions in image units, of images with any axes, on disk and in memory."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dl4fiji.data.image import open_image
from dl4fiji.data.metadata import Metadata
from dl4fiji.data.normalization import fit
from dl4fiji.data.writer import write_image
from dl4fiji.errors import ConflictError, DataError, ResourceError
from dl4fiji.export.onnx import run_onnx
from dl4fiji.model import ModelFolder
from dl4fiji.prediction.predictor import Predictor
from dl4fiji.prediction.runners import KerasRunner, OnnxRunner
from dl4fiji.progress import SilentProgress
from tiny_models import make_model, smooth

CALIBRATION = Metadata(
    pixel_size={"X": 0.13, "Y": 0.13, "Z": 0.5}, unit="µm", frame_interval=2.5, channel_names=("DAPI", "GFP")
)


def test_prediction_is_in_image_units(plane: ModelFolder) -> None:
    predictor = Predictor(plane)
    image = smooth(61, 83)
    result = predictor.predict_array(image, "YX")
    scale = fit(predictor.info.normalization, image[..., np.newaxis], "YXC")
    expected = scale.undo(predictor.predict_normalized(scale.apply(image[..., np.newaxis])))[..., 0]
    assert result.shape == image.shape
    assert result.dtype == np.float32
    np.testing.assert_allclose(result, expected, rtol=1e-6)


def test_prediction_is_that_of_the_exported_graph(plane: ModelFolder) -> None:
    image = smooth(61, 83)
    found = run_onnx(plane.package / "model.onnx", image.astype(np.float32)[np.newaxis, ..., np.newaxis])["output"]
    result = Predictor(plane).predict_array(image, "YX", tile_size=24)
    scale = fit(plane.read().normalization, image, "YX").scale[0]
    assert np.abs(result - found[0, ..., 0]).max() / scale <= 1e-5


def test_both_backends_agree(probabilistic: ModelFolder) -> None:
    image = np.stack([smooth(40, 44, seed=channel) for channel in range(2)])
    first, second = (
        Predictor(probabilistic, backend=backend).predict_arrays(image, "CYX") for backend in ("onnx", "tensorflow")
    )
    assert set(first) == {"output", "scale"}
    for name, result in first.items():
        np.testing.assert_allclose(result, second[name], rtol=1e-5, atol=1e-2)
        assert result.shape == image.shape
    assert (first["scale"] > 0).all()


@pytest.mark.parametrize("axes", ["TZCYX", "YXZ", "XY", "CYX", "TYX"])
def test_axes_and_calibration_are_carried_over(plane: ModelFolder, tmp_path: Path, axes: str) -> None:
    sizes = {"T": 2, "Z": 3, "C": 2, "Y": 37, "X": 29}
    planes = {index: smooth(37, 29, seed=sum(index)) for index in np.ndindex(2, 3, 2)}
    full = np.stack([planes[index] for index in np.ndindex(2, 3, 2)]).reshape(2, 3, 2, 37, 29)
    image = full[tuple(slice(None) if axis in axes else 0 for axis in "TZCYX")]
    left = "".join(axis for axis in "TZCYX" if axis in axes)
    image = image.transpose([left.index(axis) for axis in axes])
    source = tmp_path / "in.tif"
    write_image(source, image, axes, CALIBRATION)
    (written,) = Predictor(plane).predict_file(source, tmp_path / "out" / "in.tif")
    before, after = open_image(source), open_image(written)
    assert (after.axes, after.shape) == (before.axes, before.shape)
    assert after.dtype == np.float32
    assert dict(after.metadata.pixel_size) == dict(before.metadata.pixel_size)
    assert after.metadata.unit == before.metadata.unit == "µm"
    assert after.metadata.frame_interval == before.metadata.frame_interval
    assert after.metadata.channel_names == before.metadata.channel_names
    position = {axis: sizes[axis] - 1 for axis in after.axes if axis not in "YX"}
    expected = Predictor(plane).predict_array(before.at(**position).read(), before.at(**position).axes)
    np.testing.assert_allclose(after.at(**position).read(), expected, rtol=1e-5)


def test_volumes_of_a_time_lapse(volume: ModelFolder, tmp_path: Path) -> None:
    image = np.stack([smooth(7, 21, 30, seed=frame) for frame in range(2)])
    source = tmp_path / "in.tif"
    write_image(source, image, "TZYX", CALIBRATION)
    (written,) = Predictor(volume).predict_file(source, tmp_path / "out.tif", tile_size=16)
    result = open_image(written)
    assert (result.axes, result.shape) == ("TZYX", image.shape)
    expected = Predictor(volume).predict_array(image[1], "ZYX")
    np.testing.assert_allclose(result.read()[1], expected, rtol=1e-4)


def test_the_scale_is_a_second_file(probabilistic: ModelFolder, tmp_path: Path) -> None:
    image = np.stack([smooth(33, 41, seed=channel) for channel in range(2)])
    source = tmp_path / "cells.tif"
    write_image(source, image, "CYX", CALIBRATION)
    written = Predictor(probabilistic).predict_file(source, tmp_path / "out" / "cells.tif")
    assert [path.name for path in written] == ["cells.tif", "cells_scale.tif"]
    arrays = Predictor(probabilistic).predict_arrays(image, "CYX")
    for path, name in zip(written, ("output", "scale"), strict=True):
        np.testing.assert_allclose(open_image(path).read(), arrays[name], rtol=1e-5)


def test_color_images_that_are_grey_count_as_one_channel(plane: ModelFolder, tmp_path: Path) -> None:
    grey = (smooth(30, 34) // 16).astype(np.uint8)
    write_image(tmp_path / "grey.tif", grey, "YX")
    write_image(tmp_path / "color.tif", np.stack([grey] * 3, axis=-1), "YXC", rgb=True)
    results = [
        open_image(Predictor(plane).predict_file(tmp_path / name, tmp_path / "out" / name)[0]).read()
        for name in ("grey.tif", "color.tif")
    ]
    np.testing.assert_array_equal(*results)


@pytest.mark.parametrize(
    ("variant", "axes", "sentence"),
    [
        ("volume", "YX", "takes volumes"),
        ("volume", "TYX", "name its axes, such as ZYX"),
        ("probabilistic", "YX", "has 1 channel but this model takes 2"),
    ],
)
def test_images_that_do_not_fit(
    request: pytest.FixtureRequest, tmp_path: Path, variant: str, axes: str, sentence: str
) -> None:
    source = tmp_path / "in.tif"
    write_image(source, smooth(*(3, 20, 24)[-len(axes) :]), axes)
    with pytest.raises(DataError, match=sentence):
        Predictor(request.getfixturevalue(variant)).predict_file(source, tmp_path / "out.tif")
    assert not (tmp_path / "out.tif").exists()


def test_tiny_and_constant_images(plane: ModelFolder) -> None:
    predictor = Predictor(plane)
    for image in (np.full((1, 1), 7, np.uint8), np.full((3, 50), 100.0, np.float32)):
        result = predictor.predict_array(image, "YX")
        assert result.shape == image.shape
        assert np.isfinite(result).all()


def test_results_are_never_written_over(plane: ModelFolder, tmp_path: Path) -> None:
    write_image(tmp_path / "in.tif", smooth(20, 24), "YX")
    (tmp_path / "out.tif").write_bytes(b"precious")
    with pytest.raises(ConflictError, match="exists already"):
        Predictor(plane).predict_file(tmp_path / "in.tif", tmp_path / "out.tif")
    assert (tmp_path / "out.tif").read_bytes() == b"precious"


def test_smaller_tiles_when_memory_does_not_suffice(plane: ModelFolder) -> None:
    predictor = Predictor(plane)
    image = smooth(160, 160)
    expected = predictor.predict_array(image, "YX")
    run = predictor.runner
    sizes: list[int] = []

    class Small:
        """The real network, on a machine that can hold 100 × 100 pixels."""

        title = run.title

        def __call__(self, x: np.ndarray) -> np.ndarray:
            sizes.append(x.size)
            if x.size > 10_000:
                raise MemoryError
            return run(x)

    predictor.runner = Small()  # type: ignore[assignment]
    np.testing.assert_allclose(predictor.predict_array(image, "YX"), expected, rtol=1e-5)
    assert max(sizes) > 10_000 >= sizes[-1]


def test_memory_that_never_suffices_is_one_sentence(plane: ModelFolder) -> None:
    predictor = Predictor(plane)

    def run(x: np.ndarray) -> np.ndarray:
        raise MemoryError

    predictor.runner = run  # type: ignore[assignment]
    with pytest.raises(ResourceError, match="not enough memory"):
        predictor.predict_array(smooth(160, 160), "YX")


def test_onnx_is_taken_when_it_is_there_and_new(plane: ModelFolder, tmp_path: Path) -> None:
    assert isinstance(Predictor(plane).runner, OnnxRunner)
    assert isinstance(Predictor(plane, "last").runner, KerasRunner)
    model = make_model(tmp_path)
    assert isinstance(Predictor(model).runner, KerasRunner)


def test_lack_of_memory_in_onnx_runtime_is_a_memory_error(plane: ModelFolder) -> None:
    runner = OnnxRunner(plane.onnx())
    endless = np.broadcast_to(np.zeros(1, np.float32), (1 << 14, 1 << 14, 1))

    class Session:
        """ONNX Runtime, with the failure that it reports when an allocation fails."""

        def run(self, *_: object) -> None:
            raise RuntimeError("Failed to allocate memory for requested buffer of size 34359738368")

    runner._session = Session()
    with pytest.raises(MemoryError):
        runner(endless[:4, :4])


def test_progress_counts_all_tiles(plane: ModelFolder, tmp_path: Path) -> None:
    class Told(SilentProgress):
        def __init__(self) -> None:
            super().__init__()
            self.seen: list[tuple[int, int]] = []

        def update(self, done: int, total: int, **values: object) -> None:
            self.seen.append((done, total))

    write_image(tmp_path / "in.tif", np.stack([smooth(40, 40)] * 3), "TYX")
    progress = Told()
    Predictor(plane).predict_file(tmp_path / "in.tif", tmp_path / "out.tif", tile_size=20, progress=progress)
    assert progress.seen == [(number, 12) for number in range(1, 13)]
