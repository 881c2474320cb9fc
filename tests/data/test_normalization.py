from __future__ import annotations

import numpy as np
import psutil
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from dl4fiji.data import normalization as module
from dl4fiji.data.image import open_image
from dl4fiji.data.normalization import (
    EPSILON,
    FixedNormalization,
    PercentileNormalization,
    ZScoreNormalization,
    fit,
    percentiles,
)
from dl4fiji.data.writer import write_image
from dl4fiji.errors import DataError

FLOATS = st.floats(allow_nan=False, allow_infinity=False, width=32) | st.sampled_from([0.0, -0.0, 2**-149, -(2**-149)])


def by_sorting(values: np.ndarray, percent: float) -> float:
    """The definition, word by word."""
    ordered = np.sort(values, axis=None)
    return float(ordered[min(int(ordered.size * percent / 100), ordered.size - 1)])


@pytest.mark.parametrize("dtype", ["u1", "u2", "i1", "i2", "i4", "u4", "f2", "f4", "f8"])
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_percentiles_equal_sorting(data, dtype, monkeypatch):
    shape = data.draw(arrays.array_shapes(min_dims=3, max_dims=3, max_side=9))
    kind = np.dtype(dtype)
    if kind == np.float16:
        values = data.draw(arrays.arrays(kind, shape, elements=st.floats(-1000, 1000, width=16)))
    elif kind.kind == "f":
        values = data.draw(arrays.arrays(kind, shape, elements=FLOATS))
    else:
        # Integers beyond 24 bits are taken as float32, as the network sees them.
        info = np.iinfo(kind)
        elements = st.integers(max(info.min, -(2**24)), min(info.max, 2**24))
        values = data.draw(arrays.arrays(kind, shape, elements=elements))
    percents = data.draw(st.lists(st.floats(0, 100) | st.sampled_from([0, 2, 50, 99.8, 100]), min_size=1, max_size=3))
    monkeypatch.setattr(module, "_BLOCK", data.draw(st.integers(1, 80)))
    assert percentiles(values, percents, "ZYX") == [by_sorting(values, percent) for percent in percents]


def test_each_channel_has_its_own_scale():
    image = np.random.default_rng(0).normal(size=(20, 30, 3)).astype(np.float32) * [1, 10, 100]
    scale = fit(PercentileNormalization(low=2, high=99.8), image.astype(np.float32), "YXC")
    for channel in range(3):
        low, high = (by_sorting(image[..., channel].astype(np.float32), percent) for percent in (2, 99.8))
        assert scale.offset[channel] == low
        assert scale.scale[channel] == high - low + EPSILON
    normalized = scale.apply(image.astype(np.float32))
    assert normalized.dtype == np.float32
    assert np.allclose(scale.undo(normalized), image, atol=1e-4)


def test_channels_may_be_any_axis():
    image = np.random.default_rng(0).integers(0, 99, (2, 20, 30)).astype(np.uint8)
    first = fit(PercentileNormalization(), image, "CYX")
    assert first == fit(PercentileNormalization(), np.moveaxis(image, 0, -1), "YXC")
    assert len(first.scale) == 2


def test_files_are_fitted_like_arrays(tmp_path, monkeypatch):
    image = np.random.default_rng(0).integers(0, 60_000, (3, 2, 40, 50)).astype(np.uint16)
    write_image(tmp_path / "a.tif", image, "ZCYX")
    whole = fit(PercentileNormalization(), image, "ZCYX")
    monkeypatch.setattr(module, "_BLOCK", 777)
    assert fit(PercentileNormalization(), open_image(tmp_path / "a.tif")) == whole
    part = fit(PercentileNormalization(), open_image(tmp_path / "a.tif").at(Z=1, C=0))
    assert part == fit(PercentileNormalization(), image[1, 0], "YX")


@settings(max_examples=60, deadline=None)
@given(
    arrays.arrays(np.float32, st.tuples(st.integers(1, 9), st.integers(1, 9)), elements=st.floats(-1e3, 1e3, width=32))
)
def test_zscore_equals_numpy(values):
    scale = fit(ZScoreNormalization(), values, "YX")
    assert scale.offset[0] == pytest.approx(values.mean(dtype=np.float64), abs=1e-9)
    assert scale.scale[0] == pytest.approx(values.std(dtype=np.float64) + EPSILON, abs=1e-9)


def test_zscore_is_exact_across_blocks(monkeypatch):
    values = (np.random.default_rng(0).normal(1e6, 1, (37, 53))).astype(np.float64)
    monkeypatch.setattr(module, "_BLOCK", 100)
    scale = fit(ZScoreNormalization(), values, "YX")
    assert scale.scale[0] == pytest.approx(values.std() + EPSILON, rel=1e-9)


def test_fixed_is_taken_as_it_is():
    scale = fit(FixedNormalization(mean=(3.0,), std=(2.0,)), np.zeros((2, 2)), "YX")
    assert (scale.offset, scale.scale) == ((3.0,), (2.0,))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("normalization", [PercentileNormalization(), ZScoreNormalization()])
def test_nan_and_infinite_pixels_name_the_file(bad, normalization, tmp_path):
    image = np.zeros((20, 20), np.float32)
    image[13, 4] = bad
    write_image(tmp_path / "loch.tif", image, "YX")
    with pytest.raises(DataError, match=r"loch\.tif .* (NaN|infinite).*: replace them in Fiji"):
        fit(normalization, open_image(tmp_path / "loch.tif"))


@pytest.mark.parametrize("dtype", [np.uint16, np.float32])
def test_memory_is_bounded_for_large_images(dtype, tmp_path):
    path = tmp_path / "large.tif"
    image = tifffile.memmap(path, shape=(6000, 8192), dtype=dtype)
    for start in range(0, 6000, 500):
        image[start : start + 500] = np.random.default_rng(start).integers(0, 999, (500, 8192))
    image.flush()
    del image
    source = open_image(path)
    process = psutil.Process()
    peak = before = process.memory_info().rss
    read = type(source).region

    def watched(self, **parts):
        nonlocal peak
        peak = max(peak, process.memory_info().rss)
        return read(self, **parts)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(source), "region", watched)
        scale = fit(PercentileNormalization(), source)
    assert scale.offset[0] == pytest.approx(19, abs=2)
    assert peak - before < 150 << 20
