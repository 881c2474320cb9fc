"""Networks that find objects: label images, ROIs and tables, of planes, stacks and volumes."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import roifile
from skimage.draw import polygon2mask
from skimage.measure import regionprops

from dl4fiji.data.image import open_image
from dl4fiji.data.metadata import Metadata
from dl4fiji.data.writer import write_image
from dl4fiji.errors import ConflictError, InputError
from dl4fiji.export.onnx import run_onnx
from dl4fiji.model import ModelFolder
from dl4fiji.prediction.batch import predict_files
from dl4fiji.prediction.instances import InstancePredictor, labels_of, open_predictor
from dl4fiji.prediction.predictor import Thresholds
from dl4fiji.progress import SilentProgress
from tiny_models import exported_network, smooth

CALIBRATION = Metadata(pixel_size={"X": 0.5, "Y": 0.25, "Z": 2.0}, unit="µm", frame_interval=2.5)


@pytest.fixture(scope="module")
def planes() -> ModelFolder:
    """StarDist 2D, one channel, grid 2."""
    return exported_network("stardist-2d")


@pytest.fixture(scope="module")
def volumes() -> ModelFolder:
    """StarDist 3D, one channel, grid 1, 2, 2."""
    return exported_network("stardist-3d")


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def _predict(model: ModelFolder, image: np.ndarray, axes: str, folder: Path) -> list[Path]:
    write_image(folder / "in.tif", image, axes, CALIBRATION)
    return open_predictor(model).predict_file(folder / "in.tif", folder / "out" / "in.tif")


def test_tiles_have_the_objects_of_the_whole(planes: ModelFolder) -> None:
    predictor = InstancePredictor(planes)
    image = smooth(143, 118)
    whole, tiled = (predictor.predict_array(image, "YX", tile_size) for tile_size in (0, 32))
    assert whole.shape == image.shape
    assert whole.max() > 50
    np.testing.assert_array_equal(tiled, whole)


@pytest.mark.parametrize("network", ["stardist-2d", "stardist-3d"])
def test_stardists_suppression_of_the_exported_graph_gives_the_same_objects(network: str) -> None:
    """On the very output of the package's graph: probabilities of 0 off the grid are no candidates."""
    from stardist import polygons_to_label, polyhedron_to_label
    from stardist.matching import matching
    from stardist.nms import non_maximum_suppression, non_maximum_suppression_3d

    model = exported_network(network)
    predictor = InstancePredictor(model)
    image = smooth(*(9, 62, 71)[-len(predictor.recipe.spatial) :], seed=3)
    output = run_onnx(model.package / "model.onnx", image.astype(np.float32)[np.newaxis, ..., np.newaxis])["output"][0]
    grid = predictor.grid
    thresholds = {"prob_thresh": predictor.thresholds.probability, "nms_thresh": predictor.thresholds.overlap}
    border = [(2 * step, 2 * step + (-size) % step) for step, size in zip(grid, image.shape, strict=True)]
    prob, dist = output[..., 0], np.maximum(output[..., 1:], 1e-3)
    if network == "stardist-2d":
        points, prob, dist = non_maximum_suppression(dist, prob, b=border, **thresholds)
        expected = polygons_to_label(dist, points, image.shape, prob)
    else:
        rays = predictor.shapes.directions
        points, prob, dist = non_maximum_suppression_3d(dist, prob, rays, b=border, **thresholds)
        expected = polyhedron_to_label(dist, points, rays, image.shape, prob, verbose=False)
    found = predictor.predict_array(image, predictor.recipe.spatial, tile_size=32)
    assert expected.max() > 20
    assert found.max() == expected.max()
    same = matching(expected, found.astype(np.int32), thresh=0.99)
    assert (same.f1, same.fp, same.fn) == (1.0, 0, 0)
    np.testing.assert_array_equal(labels_of(predictor.info, output), expected)


def test_label_image_rois_and_table_tell_the_same(planes: ModelFolder, tmp_path: Path) -> None:
    image = smooth(90, 101)
    files = _predict(planes, image, "YX", tmp_path)
    assert [file.name for file in files] == ["in.tif", "in_rois.zip", "in_objects.csv"]
    labels = open_image(files[0])
    assert (labels.axes, labels.dtype) == ("YX", np.uint16)
    assert (labels.metadata.unit, labels.metadata.pixel_size["X"]) == ("µm", 0.5)
    pixels = labels.read()
    np.testing.assert_array_equal(pixels, open_predictor(planes).predict_array(image, "YX"))
    rows = _rows(files[2])
    regions = {region.label: region for region in regionprops(pixels.astype(np.int32), image)}
    assert [int(row["label"]) for row in rows] == sorted(regions)
    scores = [float(row["score"]) for row in rows]
    assert scores == sorted(scores, reverse=True)
    for row in rows:
        region = regions[int(row["label"])]
        assert int(row["area_pixels"]) == region.area
        assert float(row["area_um2"]) == pytest.approx(region.area * 0.125, rel=1e-4)
        assert float(row["mean_intensity"]) == pytest.approx(region.intensity_mean, rel=1e-4)
        assert (float(row["y"]), float(row["x"])) == pytest.approx(region.centroid, abs=1e-3)
        assert float(row["x_um"]) == pytest.approx(region.centroid[1] * 0.5, rel=1e-3)
    rois = roifile.roiread(files[1])
    assert isinstance(rois, list)
    for roi, row in zip(rois, rows, strict=True):
        kind, label, score = roi.name.split("-")
        assert (kind, int(label)) == ("object", int(row["label"]))
        assert float(score) == pytest.approx(float(row["score"]), abs=6e-4)
    assert rois[0].roitype == roifile.ROI_TYPE.POLYGON
    first = polygon2mask(image.shape, rois[0].coordinates()[:, ::-1] - 0.5)
    assert (first & (pixels == 1)).sum() > 0.9 * max(first.sum(), (pixels == 1).sum())


def test_planes_of_a_time_lapse_are_counted_each_by_itself(planes: ModelFolder, tmp_path: Path) -> None:
    image = np.stack([smooth(60, 61, seed=seed) for seed in range(3)])
    files = _predict(planes, image, "TYX", tmp_path)
    labels = open_image(files[0])
    assert (labels.axes, labels.metadata.frame_interval) == ("TYX", 2.5)
    rows, rois = _rows(files[2]), roifile.roiread(files[1])
    assert isinstance(rois, list)
    for frame, plane in enumerate(labels.read(), start=1):
        alone = open_predictor(planes).predict_array(image[frame - 1], "YX")
        np.testing.assert_array_equal(plane, alone)
        seen = set(np.unique(plane)) - {0}
        assert {int(row["label"]) for row in rows if row["frame"] == str(frame)} == seen
        mine = [roi for roi in rois if roi.position == frame]
        assert len(mine) == len(seen)
        assert all(roi.name.startswith(f"t{frame:03d}-object-") for roi in mine)


def test_hyperstacks_have_rois_at_frame_and_slice(planes: ModelFolder, tmp_path: Path) -> None:
    image = np.stack([smooth(40, 41, seed=seed) for seed in range(4)]).reshape(2, 2, 40, 41)
    files = _predict(planes, image, "TZYX", tmp_path)
    rois = roifile.roiread(files[1])
    assert isinstance(rois, list)
    assert {(roi.t_position, roi.z_position, roi.c_position) for roi in rois} == {
        (t, z, 0) for t in (1, 2) for z in (1, 2)
    }
    assert {(row["frame"], row["slice"]) for row in _rows(files[2])} == {(t, z) for t in "12" for z in "12"}


def test_volumes_have_an_outline_per_slice(volumes: ModelFolder, tmp_path: Path) -> None:
    image = smooth(9, 50, 52)
    files = _predict(volumes, image, "ZYX", tmp_path)
    labels = open_image(files[0]).read()
    rows, rois = _rows(files[2]), roifile.roiread(files[1])
    assert isinstance(rois, list)
    regions = {region.label: region for region in regionprops(labels.astype(np.int32))}
    assert [int(row["label"]) for row in rows] == sorted(regions)
    for row in rows:
        region = regions[int(row["label"])]
        assert int(row["volume_pixels"]) == region.area
        assert float(row["volume_um3"]) == pytest.approx(region.area * 0.25, rel=1e-4)
        assert float(row["z_um"]) == pytest.approx(2 * region.centroid[0], abs=1e-2)
    slices = {(label, z + 1) for z, plane in enumerate(labels) for label in np.unique(plane) if label}
    assert {(int(roi.name.split("-")[1]), roi.position) for roi in rois} == slices
    assert len(rois) == len(slices)
    roi = max(rois, key=lambda roi: roi.n_coordinates)
    inside = polygon2mask(labels.shape[1:], roi.coordinates()[:, ::-1] - 0.5)
    found = labels[roi.position - 1] == int(roi.name.split("-")[1])
    assert inside[found].mean() > 0.95


def test_thresholds_that_are_given_take_the_place_of_the_stored_ones(planes: ModelFolder) -> None:
    image = smooth(90, 101)
    usual = open_predictor(planes)
    assert isinstance(usual, InstancePredictor)
    probability = usual.thresholds.probability
    strict = open_predictor(planes, thresholds=Thresholds(probability=probability + 0.1)).predict_array(image, "YX")
    loose = open_predictor(planes, thresholds=Thresholds(overlap=0.9)).predict_array(image, "YX")
    count = usual.predict_array(image, "YX").max()
    assert 0 < strict.max() < count < loose.max()


def test_thresholds_without_a_use_are_refused() -> None:
    with pytest.raises(InputError, match="makes images, neither masks nor objects: leave nms_threshold out"):
        open_predictor(exported_network("care-2d"), thresholds=Thresholds(overlap=0.3))
    with pytest.raises(InputError, match="makes masks, not objects: leave nms_threshold out"):
        open_predictor(exported_network("unet-2d"), thresholds=Thresholds(overlap=0.3))


def test_masks_follow_a_given_threshold() -> None:
    image = smooth(40, 41)
    model = exported_network("unet-2d")
    probability = open_predictor(model).predict_arrays(image, "YX")["probability"]
    given = float(np.quantile(probability, 0.7))
    mask = open_predictor(model, thresholds=Thresholds(probability=given)).predict_arrays(image, "YX")["mask"]
    np.testing.assert_array_equal(mask > 0, probability >= np.float32(given))


def test_nothing_is_written_over(planes: ModelFolder, tmp_path: Path) -> None:
    _predict(planes, smooth(40, 41), "YX", tmp_path)
    (tmp_path / "out" / "in.tif").unlink()
    with pytest.raises(ConflictError, match=r"in_rois\.zip exists already"):
        open_predictor(planes).predict_file(tmp_path / "in.tif", tmp_path / "out" / "in.tif")


def test_a_batch_tells_how_many_objects_there_are(planes: ModelFolder, tmp_path: Path) -> None:
    for name in ("a.tif", "b.tif"):
        write_image(tmp_path / "in" / name, smooth(50, 60, seed=ord(name[0])), "YX")
    write_image(tmp_path / "in" / "c.tif", np.zeros((50, 60), np.uint16), "YX")
    result = predict_files(
        planes, "best", tmp_path / "in", tmp_path / "out", "", 0, SilentProgress(), Thresholds(probability=0.55)
    )
    assert len(result["files"]) == 9
    for name in ("a", "b", "c"):
        rows = _rows(tmp_path / "out" / f"{name}_objects.csv")
        assert result["objects"][str(tmp_path / "out" / f"{name}.tif")] == len(rows)
    assert result["objects"][str(tmp_path / "out" / "a.tif")] > 0


def test_more_objects_than_16_bits_hold_are_32_bit(tmp_path: Path) -> None:
    """ImageJ opens 32-bit integers as floating point, so that is what is written."""
    from dl4fiji.prediction.detection import Candidates
    from dl4fiji.prediction.instances import _label_type

    few, many = (
        Candidates(np.zeros((count, 2), np.int32), np.ones((count, 4), np.float32), np.ones(count, np.float32))
        for count in (65535, 65536)
    )
    assert _label_type([({}, few)]) == np.uint16
    labels = np.array([[0, 65536], [70001, 5]], _label_type([({}, many)]))
    write_image(tmp_path / "labels.tif", labels, "YX")
    stored = open_image(tmp_path / "labels.tif")
    assert stored.dtype == np.float32
    np.testing.assert_array_equal(stored.read(), labels)
