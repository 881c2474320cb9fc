"""Folders of images: what can be run is run, what cannot is listed, nothing is written over."""

from __future__ import annotations

from pathlib import Path

import pytest

from dl4fiji.data.writer import write_image
from dl4fiji.errors import ConflictError, DataError, NotFoundError
from dl4fiji.model import ModelFolder
from dl4fiji.prediction.batch import predict_files
from dl4fiji.progress import SilentProgress
from tiny_models import smooth


def _predict(model: ModelFolder, source: Path, output: Path, progress: SilentProgress | None = None) -> dict:
    return predict_files(model, "best", source, output, "", 0, progress or SilentProgress())


def test_one_bad_file_does_not_stop_the_others(plane: ModelFolder, tmp_path: Path) -> None:
    images = tmp_path / "images with ü [1]"
    for name in ("a.tif", "c.tif"):
        write_image(images / name, smooth(20, 24), "YX")
    (images / "b.tif").write_text("this is no image")
    progress = SilentProgress()
    result = _predict(plane, images, tmp_path / "out", progress)
    assert [Path(file).name for file in result["files"]] == ["a.tif", "c.tif"]
    assert [Path(failure["file"]).name for failure in result["failed"]] == ["b.tif"]
    assert "b.tif" in progress.warnings[0]
    assert not (tmp_path / "out" / "b.tif").exists()


def test_a_batch_goes_on_where_it_was(plane: ModelFolder, tmp_path: Path) -> None:
    for name in ("a.tif", "b.tif"):
        write_image(tmp_path / "in" / name, smooth(20, 24), "YX")
    _predict(plane, tmp_path / "in" / "a.tif", tmp_path / "out")
    before = (tmp_path / "out" / "a.tif").stat().st_mtime_ns
    result = _predict(plane, tmp_path / "in", tmp_path / "out")
    assert [Path(file).name for file in result["files"]] == ["b.tif"]
    assert [Path(file).name for file in result["skipped"]] == ["a.tif"]
    assert (tmp_path / "out" / "a.tif").stat().st_mtime_ns == before
    with pytest.raises(ConflictError, match="All results exist"):
        _predict(plane, tmp_path / "in", tmp_path / "out")


def test_images_of_one_stem_have_results_of_their_own(plane: ModelFolder, tmp_path: Path) -> None:
    from PIL import Image

    write_image(tmp_path / "in" / "a.tif", smooth(20, 24), "YX")
    Image.fromarray((smooth(20, 24) // 16).astype("uint8")).save(tmp_path / "in" / "a.png")
    result = _predict(plane, tmp_path / "in", tmp_path / "out")
    assert sorted(Path(file).name for file in result["files"]) == ["a.png.tif", "a.tif.tif"]


def test_what_cannot_be(plane: ModelFolder, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    write_image(tmp_path / "in" / "a.tif", smooth(20, 24), "YX")
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "a.tif").write_bytes(b"")
    for source, output, error, sentence in (
        (tmp_path / "missing", tmp_path / "out", NotFoundError, "There is no"),
        (tmp_path / "empty", tmp_path / "out", DataError, "no TIFF, PNG or JPEG"),
        (tmp_path / "in", tmp_path / "in", ConflictError, "choose another folder"),
        (tmp_path / "bad", tmp_path / "out", DataError, "no content"),
    ):
        with pytest.raises(error, match=sentence):
            _predict(plane, source, output)
    assert not (tmp_path / "out").exists()
