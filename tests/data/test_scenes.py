"""Recordings of one field stay on one side of the split."""

from __future__ import annotations

import numpy as np
import pytest

from dl4fiji.data.pairs import open_pairs
from dl4fiji.data.scenes import same_scenes
from dl4fiji.data.writer import write_image
from dl4fiji.jobs.job import DataRequest


@pytest.fixture
def recordings(tmp_path):
    """Write six fields, two noisy recordings of each with the same target, and two fields recorded once."""
    rng = np.random.default_rng(5)
    for field in range(8):
        clean = rng.random((64, 64)).astype(np.float32)
        for take in range(2 if field < 6 else 1):
            noisy = clean + rng.normal(0, 0.1, clean.shape).astype(np.float32)
            write_image(tmp_path / "source" / f"field{field}_{take}.tif", noisy, "YX")
            write_image(tmp_path / "target" / f"field{field}_{take}.tif", clean, "YX")
    return open_pairs(DataRequest(source=str(tmp_path / "source"), target=str(tmp_path / "target")), "YXC")


def test_images_with_equal_targets_are_one_scene(recordings) -> None:
    assert same_scenes(recordings.pairs) == [[0, 1], [2, 3], [4, 5], [6, 7], [8, 9], [10, 11], [12], [13]]


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("percent", [10, 30, 90])
def test_no_field_is_on_both_sides(recordings, seed: int, percent: int) -> None:
    split = recordings.split(percent, seed)
    train, validation = ({sample.name.split("_")[0] for sample in part} for part in (split.train, split.validation))
    assert train
    assert validation
    assert not train & validation
    assert sum(split.units) == 14


def test_files_that_differ_in_one_byte_are_different_scenes(tmp_path) -> None:
    image = np.zeros((600, 600), np.float32)
    for number in range(2):
        image[300, number] = number
        write_image(tmp_path / "source" / f"{number}.tif", image + 1, "YX")
        write_image(tmp_path / "target" / f"{number}.tif", image, "YX")
    dataset = open_pairs(DataRequest(source=str(tmp_path / "source"), target=str(tmp_path / "target")), "YXC")
    assert same_scenes(dataset.pairs) == [[0], [1]]


def test_one_scene_only_is_said(tmp_path) -> None:
    rng = np.random.default_rng(5)
    for number in range(4):
        write_image(tmp_path / "source" / f"{number}.tif", rng.random((64, 64)).astype(np.float32), "YX")
        write_image(tmp_path / "target" / f"{number}.tif", np.ones((64, 64), np.float32), "YX")
    dataset = open_pairs(DataRequest(source=str(tmp_path / "source"), target=str(tmp_path / "target")), "YXC")
    split = dataset.split(25, 1)
    assert split.units == (3, 1)
    assert any("same target" in warning for warning in split.warnings)


def test_real_fields_with_two_recordings_are_split_by_field(shared_data) -> None:
    folder = shared_data / "fmd-denoising"
    data = DataRequest(source=str(folder / "source"), target=str(folder / "target"))
    split = open_pairs(data, "YXC").split(25, 42)
    train, validation = ({sample.name.rsplit("_", 1)[0] for sample in part} for part in (split.train, split.validation))
    assert split.units == (18, 6)
    assert not train & validation
