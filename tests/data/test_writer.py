from __future__ import annotations

import os
import random

import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from dl4fiji.data.axes import move_axes
from dl4fiji.data.image import Metadata, open_image
from dl4fiji.data.writer import ImageWriter, stored_dtype, write_image
from dl4fiji.errors import DataError, ResourceError

TEXT = st.text(st.characters(blacklist_categories=("Cs", "Cc")), max_size=20)
SIZE = st.floats(1e-4, 1e4)
RATIONAL = st.builds(lambda number, scale: 1.0 / (number / scale), st.integers(1, 2**31), st.integers(1, 10**6))


@st.composite
def images(draw) -> tuple[str, np.ndarray, Metadata]:
    """An image of random axes, type and calibration."""
    extra = draw(st.lists(st.sampled_from("TZC"), unique=True))
    axes = "".join(draw(st.permutations([*"YX", *extra])))
    shape = tuple(draw(st.integers(1, 5)) for _ in axes)
    dtype = draw(st.sampled_from([np.uint8, np.uint16, np.float32]))
    pixels = np.random.default_rng(draw(st.integers(0, 99))).uniform(0, 255, shape).astype(dtype)
    sizes = dict(zip(axes, shape, strict=True))
    channels = sizes.get("C", 1)
    planes = channels * sizes.get("Z", 1) * sizes.get("T", 1)
    luts = draw(st.sampled_from([0, channels if channels > 1 else 0]))
    metadata = Metadata(
        pixel_size=dict(zip("XYZ", (draw(RATIONAL), draw(RATIONAL), draw(SIZE)), strict=True)),
        unit=draw(st.sampled_from(["µm", "micron", "nm", "Å", "inch", "a=b", "\\u"])),
        frame_interval=draw(st.sampled_from([0.0, 0.1, 12.5, 1 / 3])),
        time_unit=draw(st.sampled_from(["", "min", "ms"])),
        display_ranges=tuple((0.5 * number, 100.25 + number) for number in range(channels)),
        luts=tuple(bytes(random.Random(number).randbytes(768)) for number in range(luts)),
        slice_labels=tuple(f"label {number} ü" for number in range(planes if draw(st.booleans()) else 0)),
        info=draw(TEXT),
        properties={"Objective": "63× / 1.4"} if draw(st.booleans()) else {},
        extra={"xorigin": "1.5", "zunit": "nm"} if draw(st.booleans()) else {},
    )
    return axes, pixels, metadata


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(images())
def test_i3_images_come_back_exactly(tmp_path, image):
    axes, pixels, metadata = image
    path = tmp_path / "Bild «1» [a].tif"
    write_image(path, pixels, axes, metadata)
    back = open_image(path)
    assert back.dtype == pixels.dtype
    assert np.array_equal(move_axes(back.read(), back.axes, axes), pixels)
    told = back.metadata
    for field in (
        "pixel_size",
        "unit",
        "frame_interval",
        "time_unit",
        "display_ranges",
        "luts",
        "slice_labels",
        "info",
        "properties",
    ):
        assert getattr(told, field) == getattr(metadata, field), field
    assert metadata.extra.items() <= told.extra.items()
    write_image(path, back.read(), back.axes, told)
    again = open_image(path)
    assert again.metadata == told
    assert np.array_equal(again.read(), back.read())


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(numerator=st.integers(1, 2**31 - 1), denominator=st.integers(1000, 10**7))
@example(numerator=1953591, denominator=1000000)
def test_calibrations_written_by_imagej_are_kept(tmp_path, numerator, denominator):
    size = 1.0 / (numerator / denominator)
    path = tmp_path / "a.tif"
    write_image(path, np.zeros((2, 2), np.uint8), "YX", Metadata(pixel_size={"X": size, "Y": size}, unit="um"))
    assert open_image(path).metadata.pixel_size["X"] == size


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(size=st.floats(1e-6, 1e6))
def test_other_calibrations_are_kept_to_nine_digits(tmp_path, size):
    path = tmp_path / "a.tif"
    write_image(path, np.zeros((2, 2), np.uint8), "YX", Metadata(pixel_size={"X": size, "Y": 1.0}, unit="um"))
    assert open_image(path).metadata.pixel_size["X"] == pytest.approx(size, rel=1e-9, abs=0)


def test_color_images_stay_color(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 255, (3, 8, 9, 3)).astype(np.uint8)
    write_image(tmp_path / "a.tif", pixels, "ZYXC", rgb=True)
    back = open_image(tmp_path / "a.tif")
    assert back.rgb
    assert np.array_equal(move_axes(back.read(), back.axes, "ZYXC"), pixels)


def test_eight_bit_color_keeps_values_and_table(tmp_path):
    table = bytes(range(256)) + bytes(reversed(range(256))) + bytes(256)
    pixels = np.arange(64, dtype=np.uint8).reshape(8, 8)
    write_image(tmp_path / "a.tif", pixels, "YX", Metadata(luts=(table,)))
    back = open_image(tmp_path / "a.tif")
    assert np.array_equal(back.read(), pixels)
    assert back.metadata.luts == (table,)
    with tifffile.TiffFile(tmp_path / "a.tif") as tiff:
        assert tiff.pages.first.photometric == tifffile.PHOTOMETRIC.PALETTE


@pytest.mark.parametrize(
    ("dtype", "stored"),
    [("bool", "u1"), ("i1", "f4"), ("i2", "f4"), ("u4", "f4"), ("i8", "f4"), ("f2", "f4"), ("f8", "f4"), ("u2", "u2")],
)
def test_other_types_are_stored_as_what_imagej_knows(dtype, stored, tmp_path):
    pixels = np.array([[0, 1], [1, 0]]).astype(dtype)
    write_image(tmp_path / "a.tif", pixels, "YX")
    back = open_image(tmp_path / "a.tif").read()
    assert back.dtype == np.dtype(stored) == stored_dtype(np.dtype(dtype))
    assert np.array_equal(back, pixels.astype(stored) * (255 if dtype == "bool" else 1))


def test_pixels_without_a_type_for_fiji_are_refused():
    with pytest.raises(DataError, match="complex128"):
        stored_dtype(np.dtype(complex))


def test_regions_in_any_order_make_the_same_file(tmp_path):
    pixels = np.random.default_rng(1).normal(size=(3, 2, 20, 30)).astype(np.float32)
    write_image(tmp_path / "whole.tif", pixels, "CZYX")
    tiles = [
        (channel, z, y, x) for channel in range(3) for z in range(2) for y in range(0, 20, 8) for x in range(0, 30, 7)
    ]
    random.Random(0).shuffle(tiles)
    with ImageWriter(tmp_path / "tiles.tif", "CZYX", pixels.shape, np.float32) as writer:
        for channel, z, y, x in tiles:
            part = {"Y": slice(y, min(y + 8, 20)), "X": slice(x, min(x + 7, 30))}
            writer.write(pixels[channel, z, part["Y"], part["X"]], C=channel, Z=z, **part)
    assert (tmp_path / "tiles.tif").read_bytes() == (tmp_path / "whole.tif").read_bytes()


def test_what_does_not_fit_is_left_out(tmp_path):
    metadata = Metadata(luts=(bytes(768),) * 3, display_ranges=((0, 1),) * 3, slice_labels=("a",) * 5, unit="µm")
    write_image(tmp_path / "a.tif", np.zeros((4, 5, 6), np.float32), "ZYX", metadata)
    told = open_image(tmp_path / "a.tif").metadata
    assert (told.luts, told.display_ranges, told.slice_labels, told.unit) == ((), (), (), "µm")


def test_channel_names_of_ome_become_labels(tmp_path):
    source = tmp_path / "a.ome.tif"
    description = {
        "axes": "ZCYX",
        "Channel": {"Name": ["DAPI", "GFP"]},
        "PhysicalSizeX": 0.25,
        "PhysicalSizeXUnit": "µm",
        "PhysicalSizeY": 0.25,
        "PhysicalSizeZ": 500.0,
        "PhysicalSizeZUnit": "nm",
        "TimeIncrement": 2.0,
    }
    tifffile.imwrite(source, np.zeros((3, 2, 8, 9), np.uint16), ome=True, metadata=description)
    image = open_image(source)
    assert image.metadata.channel_names == ("DAPI", "GFP")
    assert image.metadata.pixel_size == pytest.approx({"X": 0.25, "Y": 0.25, "Z": 0.5})
    write_image(tmp_path / "b.tif", image.read(), image.axes, image.metadata)
    back = open_image(tmp_path / "b.tif").metadata
    assert back.channel_names == ("DAPI", "GFP")
    assert back.slice_labels == ("DAPI", "GFP") * 3
    assert (back.unit, back.frame_interval) == ("µm", 2.0)
    assert back.pixel_size == image.metadata.pixel_size


def test_the_real_hyperstack_comes_back(shared_data, tmp_path):
    image = open_image(shared_data / "nucleus-widefield-confocal-3d" / "xyzc_16bit__dna_conf_wf.tif")
    write_image(tmp_path / "a.tif", image.read(), image.axes, image.metadata)
    back = open_image(tmp_path / "a.tif")
    assert (back.axes, back.metadata) == (image.axes, image.metadata)
    assert np.array_equal(back.read(), image.read())


def test_other_readers_see_all_planes(tmp_path):
    pixels = np.arange(6 * 4 * 5, dtype=np.uint16).reshape(6, 4, 5)
    write_image(tmp_path / "a.tif", pixels, "TYX")
    with tifffile.TiffFile(tmp_path / "a.tif") as tiff:
        assert len(tiff.pages) == 6
        assert np.array_equal(tiff.pages[5].asarray(), pixels[5])


def test_more_than_four_gibibytes(tmp_path, monkeypatch):
    # Sparse in place of reserved: the test needs no 5 GiB of disk.
    monkeypatch.delattr(os, "posix_fallocate", raising=False)
    shape = (11, 16384, 16384)
    plane = np.full((1, 7), 42, np.uint16)
    with ImageWriter(tmp_path / "a.tif", "ZYX", shape, np.uint16) as writer:
        writer.write(plane[0], Z=10, Y=16383, X=slice(16377, 16384))
    back = open_image(tmp_path / "a.tif")
    assert back.shape == shape
    assert back.region(Z=10, Y=slice(16382, 16384), X=slice(16376, 16384)).tolist() == [[0] * 8, [0] + [42] * 7]


def test_failure_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.tif"
    write_image(path, np.ones((4, 4), np.uint8), "YX")
    with pytest.raises(RuntimeError, match="on purpose"), ImageWriter(path, "YX", (9, 9), np.uint8) as writer:
        writer.write(np.zeros((9, 9), np.uint8))
        raise RuntimeError("on purpose")
    assert open_image(path).shape == (4, 4)
    assert [file.name for file in tmp_path.iterdir()] == ["a.tif"]


def test_a_full_disk_is_told_before_anything_is_written(tmp_path):
    size = 2**31 - 1
    with (
        pytest.raises(ResourceError, match=r"saving a\.tif needs"),
        ImageWriter(tmp_path / "a.tif", "ZYX", (2**20, size, size), np.float32),
    ):
        pass
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission_is_named(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(DataError, match="cannot be written"):
        write_image(tmp_path / "a.tif", np.ones((4, 4), np.uint8), "YX")


def test_a_file_in_place_of_the_folder_is_named(tmp_path):
    (tmp_path / "folder").touch()
    with pytest.raises(DataError, match=r"a\.tif cannot be written .*: choose another folder"):
        write_image(tmp_path / "folder" / "a.tif", np.ones((4, 4), np.uint8), "YX")


def test_regions_outside_and_of_another_shape_are_refused(tmp_path):
    with ImageWriter(tmp_path / "a.tif", "ZYX", (2, 4, 5), np.uint8) as writer:
        with pytest.raises(IndexError):
            writer.write(np.zeros((4, 5)), Z=2)
        with pytest.raises(IndexError):
            writer.write(np.zeros((2, 4, 5)), C=slice(0, 1))
        with pytest.raises(ValueError, match="shape"):
            writer.write(np.zeros((4, 6)), Z=1)
        with pytest.raises(IndexError):
            writer.write(np.zeros((4, 4)), Z=1, X=slice(2, 6))
