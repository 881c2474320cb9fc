"""Tiles cover an image once, keep the network's grid and give what the whole image gives."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dl4fiji.errors import Canceled
from dl4fiji.model import ModelFolder
from dl4fiji.prediction.predictor import Predictor
from dl4fiji.prediction.tiling import mirrored, plan, predict_array
from dl4fiji.progress import SilentProgress
from tiny_models import smooth


@given(
    size=st.integers(1, 300),
    step=st.sampled_from([1, 2, 4, 8]),
    cores=st.integers(1, 20),
    margins=st.integers(0, 6),
)
@settings(max_examples=300, deadline=None)
def test_tiles_cover_every_pixel_once_on_the_grid(size: int, step: int, cores: int, margins: int) -> None:
    covered = np.zeros(size, int)
    for tile in plan([size], [cores * step], [step], [margins * step]):
        (read,), (write,), (crop,) = tile.read, tile.write, tile.crop
        covered[write] += 1
        assert read.start % step == 0
        assert (read.stop - read.start) % step == 0
        assert read.start <= write.start
        assert write.stop <= read.stop
        assert crop.stop - crop.start == write.stop - write.start
        assert write.start - read.start in (margins * step, write.start)
    assert (covered == 1).all()


def test_tiles_off_the_grid_are_refused() -> None:
    with pytest.raises(ValueError, match="off the grid"):
        plan([100], [10], [4], [8])


@given(size=st.integers(1, 40), start=st.integers(0, 60), length=st.integers(1, 60))
def test_mirroring_is_numpys_symmetric(size: int, start: int, length: int) -> None:
    line = np.arange(size)
    part, places = mirrored(slice(start, start + length), size)
    expected = np.pad(line, (0, start + length), mode="symmetric")[start : start + length]
    np.testing.assert_array_equal(line[part][places], expected)


@pytest.mark.parametrize("backend", ["onnx", "tensorflow"])
@pytest.mark.parametrize(("variant", "shape"), [("plane", (101, 157)), ("volume", (13, 45, 51))])
def test_tiled_equals_whole(request: pytest.FixtureRequest, variant: str, shape: tuple[int, ...], backend: str) -> None:
    predictor = Predictor(request.getfixturevalue(variant), backend=backend)  # type: ignore[arg-type]
    x = (smooth(*shape) / 2000).astype(np.float32)[..., np.newaxis]
    recipe = predictor.recipe
    whole = predictor.predict_normalized(x)
    tiled = predict_array(predictor.runner, x, recipe.divisor, recipe.halo, (16,) * len(shape), SilentProgress())
    assert tiled.shape == (*shape, 1)
    assert np.abs(tiled - whole).max() <= 1e-5
    assert whole.std() > 0.01


def test_without_a_halo_there_would_be_seams(plane: ModelFolder) -> None:
    predictor = Predictor(plane)
    x = (smooth(96, 96) / 2000).astype(np.float32)[..., np.newaxis]
    tiled = predict_array(predictor.runner, x, predictor.recipe.divisor, (0, 0), (32, 32), SilentProgress())
    assert np.abs(tiled - predictor.predict_normalized(x)).max() > 1e-3


def test_cancel_stops_after_a_tile(plane: ModelFolder) -> None:
    predictor = Predictor(plane)

    class Impatient(SilentProgress):
        done = 0

        def update(self, done: int, total: int, **values: object) -> None:
            self.done = done

        def canceled(self) -> bool:
            return self.done >= 2

    progress = Impatient()
    x = np.zeros((64, 64, 1), np.float32)
    with pytest.raises(Canceled):
        predict_array(predictor.runner, x, (4, 4), (24, 24), (16, 16), progress)
    assert progress.done == 2
