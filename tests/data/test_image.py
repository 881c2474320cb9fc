from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from dl4fiji.data.image import ImageSource, list_images, open_image
from dl4fiji.errors import DataError

RNG = np.random.default_rng(0)
STACK = RNG.integers(0, 60_000, (3, 4, 2, 45, 61)).astype(np.uint16)
PLANE = STACK[0, 0, 0]
COLOR = RNG.integers(0, 255, (45, 61, 3)).astype(np.uint8)
FLOAT = RNG.normal(size=(5, 45, 61)).astype(np.float32)


def _ome_pyramid(path: Path) -> None:
    with tifffile.TiffWriter(path, ome=True) as tiff:
        tiff.write(FLOAT, metadata={"axes": "ZYX"}, subifds=1, tile=(16, 16), compression="zlib")
        tiff.write(FLOAT[:, ::2, ::2], subfiletype=1, tile=(16, 16), compression="zlib")


def _palette(path: Path) -> None:
    picture = Image.fromarray(COLOR[..., 0]).convert("P")
    picture.putpalette(np.random.default_rng(1).integers(0, 255, 768, dtype=np.uint8).tobytes())
    picture.save(path)


# Each kind of file: how it is made, the axes and pixels that it must give.
KINDS: dict[str, tuple[str, Callable[[Path], object], str, np.ndarray | None]] = {
    "imagej": ("tif", lambda p: tifffile.imwrite(p, STACK, imagej=True, metadata={"axes": "TZCYX"}), "TZCYX", STACK),
    "imagej-little": (
        "tif", lambda p: tifffile.imwrite(p, STACK, imagej=True, byteorder="<", metadata={"axes": "TZCYX"}),
        "TZCYX", STACK,
    ),
    "imagej-deflated": (
        "tif", lambda p: tifffile.imwrite(p, STACK, imagej=True, metadata={"axes": "TZCYX"}, compression="zlib"),
        "TZCYX", STACK,
    ),
    "imagej-rgb": ("tif", lambda p: tifffile.imwrite(p, COLOR, imagej=True), "YXC", COLOR),
    "plain": ("tif", lambda p: tifffile.imwrite(p, PLANE, metadata=None), "YX", PLANE),
    "plain-big-endian": ("tif", lambda p: tifffile.imwrite(p, FLOAT, byteorder=">", metadata=None), "ZYX", FLOAT),
    "float64": ("tif", lambda p: tifffile.imwrite(p, FLOAT.astype("f8"), metadata=None), "ZYX", FLOAT.astype("f8")),
    "int32": ("tif", lambda p: tifffile.imwrite(p, STACK[0, :, 0].astype("i4") - 9, metadata=None,
                                                  photometric="minisblack"), "ZYX",
              STACK[0, :, 0].astype("i4") - 9),
    "bigtiff": ("tif", lambda p: tifffile.imwrite(p, FLOAT, bigtiff=True, metadata=None), "ZYX", FLOAT),
    "strips-lzw": (
        "tif", lambda p: tifffile.imwrite(p, STACK[0, :, 0], rowsperstrip=7, compression="lzw", predictor=True,
                                          photometric="minisblack", metadata=None), "ZYX", STACK[0, :, 0],
    ),
    "strips-float-predictor": (
        "tif", lambda p: tifffile.imwrite(p, FLOAT, rowsperstrip=8, compression="zstd", predictor=True, metadata=None),
        "ZYX", FLOAT,
    ),
    "tiles": ("tif", lambda p: tifffile.imwrite(p, FLOAT, tile=(16, 32), metadata=None), "ZYX", FLOAT),
    "tiles-deflated": (
        "tif", lambda p: tifffile.imwrite(p, COLOR, tile=(32, 16), compression="zlib", metadata=None,
                                          photometric="rgb"),
        "YXC", COLOR,
    ),
    "rgb-separate": (
        "tif", lambda p: tifffile.imwrite(p, COLOR.transpose(2, 0, 1), planarconfig="separate", photometric="rgb",
                                          compression="zlib", rowsperstrip=10, metadata=None), "CYX",
        COLOR.transpose(2, 0, 1),
    ),
    "rgba": (
        "tif", lambda p: tifffile.imwrite(p, np.dstack([COLOR, COLOR[..., :1]]), photometric="rgb", metadata=None,
                                          compression="zlib", rowsperstrip=9), "YXC", COLOR,
    ),
    "jpeg-in-tiff": (
        "tif", lambda p: tifffile.imwrite(p, COLOR, tile=(16, 16), compression="jpeg", photometric="rgb",
                                          metadata=None),
        "YXC", None,
    ),
    "one-bit": (
        "tif", lambda p: tifffile.imwrite(p, PLANE > 30_000, photometric="minisblack", metadata=None), "YX",
        (PLANE > 30_000).astype("u1") * np.uint8(255),
    ),
    "one-bit-packed": (
        "tif", lambda p: tifffile.imwrite(p, PLANE > 30_000, compression="packbits", rowsperstrip=8, metadata=None),
        "YX", (PLANE > 30_000).astype("u1") * np.uint8(255),
    ),
    "ome": ("ome.tif", lambda p: tifffile.imwrite(p, STACK, ome=True, metadata={"axes": "TZCYX"}), "TZCYX", STACK),
    "ome-other-order": (
        "ome.tif", lambda p: tifffile.imwrite(p, STACK, ome=True, metadata={"axes": "CTZYX"}, compression="zlib"),
        "CTZYX", STACK,
    ),
    "ome-pyramid": ("ome.tif", _ome_pyramid, "ZYX", FLOAT),
    "scattered-pages": (
        "tif", lambda p: [tifffile.imwrite(p, plane, append=True, metadata=None) for plane in FLOAT], "ZYX", FLOAT,
    ),
    "png": ("png", lambda p: p.write_bytes(imagecodecs.png_encode(COLOR[..., 0].copy())), "YX", COLOR[..., 0]),
    "png-16-bit": ("png", lambda p: p.write_bytes(imagecodecs.png_encode(PLANE.copy())), "YX", PLANE),
    "png-rgb": ("PNG", lambda p: p.write_bytes(imagecodecs.png_encode(COLOR)), "YXC", COLOR),
    "png-rgba": (
        "png", lambda p: Image.fromarray(np.dstack([COLOR, COLOR[..., :1]])).save(p), "YXC", COLOR,
    ),
    "png-grey-alpha": ("png", lambda p: Image.fromarray(COLOR[..., :2].copy(), "LA").save(p), "YX", COLOR[..., 0]),
    "png-one-bit": (
        "png", lambda p: Image.fromarray(PLANE > 30_000).save(p), "YX", (PLANE > 30_000).astype("u1") * np.uint8(255),
    ),
    "png-palette": ("png", _palette, "YXC", None),
    "jpeg": ("jpg", lambda p: p.write_bytes(imagecodecs.jpeg8_encode(COLOR, level=95)), "YXC", None),
    "jpeg-grey": ("jpeg", lambda p: p.write_bytes(imagecodecs.jpeg8_encode(COLOR[..., 0].copy())), "YX", None),
}  # fmt: skip


@pytest.fixture(scope="module", params=KINDS, ids=list(KINDS))
def kind(request, tmp_path_factory) -> tuple[Path, str, np.ndarray | None]:
    suffix, make, axes, expected = KINDS[request.param]
    path = tmp_path_factory.mktemp("kinds") / f"Zelle µ [{request.param}].{suffix}"
    make(path)
    return path, axes, expected


def test_every_kind_of_file_gives_its_pixels(kind):
    path, axes, expected = kind
    image = open_image(path)
    pixels = image.read()
    assert image.axes == axes
    assert pixels.shape == image.shape
    assert pixels.dtype == image.dtype == image.dtype.newbyteorder("=")
    assert pixels.flags.writeable
    if expected is None:
        shown = np.asarray(Image.open(path).convert("RGB" if image.rgb else "L"), int)
        assert np.abs(shown - pixels).max() <= (0 if path.suffix == ".png" else 2)
    else:
        assert pixels.dtype == expected.dtype
        assert np.array_equal(pixels, expected)


def test_regions_equal_the_same_part_of_the_whole(kind):
    path, _, _ = kind
    image = open_image(path)
    whole = image.read()
    rng = np.random.default_rng(7)
    for _ in range(12):
        parts: dict[str, slice | int] = {}
        for axis, size in zip(image.axes, image.shape, strict=True):
            first, last = sorted(rng.integers(0, size + 1, 2).tolist())
            choice = rng.integers(3)
            if choice == 0:
                parts[axis] = slice(first, last + (first == last < size) - 0) if first < size else slice(0, size)
            elif choice == 1:
                parts[axis] = int(rng.integers(-size, size))
        index = tuple(parts.get(axis, slice(None)) for axis in image.axes)
        assert np.array_equal(image.region(**parts), whole[index]), parts


def test_a_part_at_a_fixed_position_reads_like_an_image(kind):
    path, _, _ = kind
    image = open_image(path)
    for axis in set(image.axes) - {"Y", "X"}:
        last = image.sizes[axis] - 1
        part = image.at(**{axis: last})
        assert axis not in part.axes
        assert part.sizes[axis] == 1
        assert np.array_equal(part.read(), image.region(**{axis: last}))
        assert np.array_equal(part.region(X=slice(3, 9)), image.region(**{axis: last}, X=slice(3, 9)))


def test_regions_of_uncompressed_files_read_no_more_than_needed(tmp_path):
    path = tmp_path / "huge.tif"
    # A sparse file of 16 GiB: reading it whole would neither fit nor end in time.
    tifffile.memmap(path, shape=(32, 16384, 16384), dtype=np.uint16, bigtiff=True, metadata={"axes": "ZYX"}).flush()
    image = open_image(path)
    assert image.sizes["Z"] == 32
    assert image.region(Z=31, Y=slice(16000, 16384), X=slice(0, 100)).shape == (384, 100)


def test_axes_can_be_given(tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, FLOAT, metadata=None)
    told = open_image(path)
    assert told.axes == "ZYX"
    assert "does not tell its axes" in told.hints[0]
    assert open_image(path, "tyx").axes == "TYX"
    assert open_image(path, "TYX").hints == ()
    with pytest.raises(DataError, match=r"3 dimensions \(5×45×61\), but the axes TZYX name 4"):
        open_image(path, "TZYX")
    color = tmp_path / "c.png"
    color.write_bytes(imagecodecs.png_encode(COLOR))
    assert open_image(color, "YX").axes == open_image(color, "YXS").axes == "YXC"


def test_axes_that_cannot_be_guessed_are_asked_for(tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, STACK, metadata={})
    with pytest.raises(DataError, match=r"a\.tif .*3×4×2×45×61.* does not tell its axes: give them"):
        open_image(path)
    assert open_image(path, "TZCYX").sizes["T"] == 3


def test_grey_in_fact(tmp_path):
    grey = np.dstack([COLOR[..., 0]] * 3)
    path = tmp_path / "g.png"
    path.write_bytes(imagecodecs.png_encode(grey))
    image = open_image(path)
    assert image.is_grey()
    assert image.as_grey().axes == "YX"
    assert np.array_equal(image.as_grey().read(), COLOR[..., 0])
    path.write_bytes(imagecodecs.png_encode(COLOR))
    assert not open_image(path).is_grey()
    assert open_image(path).as_grey().axes == "YXC"


def test_a_file_written_anew_is_read_anew(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(imagecodecs.png_encode(COLOR[..., 0].copy()))
    first = open_image(path).read()
    path.write_bytes(imagecodecs.png_encode(255 - COLOR[..., 0]))
    assert np.array_equal(open_image(path).read(), 255 - first)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "no content"),
        (b"hello, I am a text", "not an image of a known kind"),
        (b"II*\0 and then a text", "damaged or cut off"),
        (b"\x89PNG\r\n\x1a\n", "damaged or cut off"),
        (b"\xff\xd8\xff\xe0rest\xff\xd9", "damaged or cut off"),
    ],
)
def test_what_is_no_image_is_named_with_a_remedy(tmp_path, content, words):
    path = tmp_path / "bild [1].tif"
    path.write_bytes(content)
    with pytest.raises(DataError, match=words) as caught:
        open_image(path)
    assert "bild [1].tif" in caught.value.message
    assert any(remedy in caught.value.message for remedy in ("save it", "copy"))


def test_missing_and_unreadable(tmp_path):
    with pytest.raises(DataError, match=r"There is no file .*none\.tif"):
        open_image(tmp_path / "none.tif")
    with pytest.raises(DataError, match="is a folder"):
        open_image(tmp_path)


def test_cut_off_files_are_found_by_the_header_alone(kind, tmp_path):
    path, _, _ = kind
    content = path.read_bytes()
    cut = tmp_path / path.name
    for share in (0.5, 0.9):
        cut.write_bytes(content[: int(len(content) * share)])
        with pytest.raises(DataError) as caught:
            open_image(cut)
        assert cut.name in caught.value.message


def test_a_file_that_vanishes_or_shrinks_is_named(tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, FLOAT)
    image = open_image(path)
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(DataError, match=r"a\.tif in .* is damaged"):
        image.read()
    path.unlink()
    with pytest.raises(DataError, match="not there any more"):
        image.read()


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_damaged_files_give_data_errors_only(tmp_path, data):
    name = data.draw(st.sampled_from(["imagej", "strips-lzw", "ome", "png", "jpeg", "rgb-separate"]))
    suffix, make, _, _ = KINDS[name]
    path = tmp_path / f"{name}.{suffix}"
    if not path.exists():
        make(path)
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 6))):
        content[data.draw(st.integers(0, min(len(content) - 1, 600)))] = data.draw(st.integers(0, 255))
    damaged = tmp_path / f"damaged.{suffix}"
    damaged.write_bytes(content)
    with contextlib.suppress(DataError):  # any other error fails
        image = open_image(damaged)
        if image.nbytes < 64 << 20:
            image.read()


def test_images_are_listed_in_natural_order(tmp_path):
    for name in ("b10.tif", "B2.TIF", "a.png", ".hidden.tif", "notes.txt", "ä1.jpg"):
        (tmp_path / name).touch()
    (tmp_path / "folder.tif").mkdir()
    assert [file.name for file in list_images(tmp_path)] == ["a.png", "B2.TIF", "b10.tif", "ä1.jpg"]


def test_folders_without_images(tmp_path):
    with pytest.raises(DataError, match="is empty"):
        list_images(tmp_path)
    (tmp_path / "a.czi").touch()
    with pytest.raises(DataError, match=r"1 other files \(\.czi\).*save images there from Fiji"):
        list_images(tmp_path)
    with pytest.raises(DataError, match="There is no folder"):
        list_images(tmp_path / "none")
    with pytest.raises(DataError, match="is a file"):
        list_images(tmp_path / "a.czi")


def test_the_real_hyperstack(shared_data):
    image: ImageSource = open_image(shared_data / "nucleus-widefield-confocal-3d" / "xyzc_16bit__dna_conf_wf.tif")
    assert (image.axes, image.shape, image.dtype) == ("ZCYX", (45, 2, 130, 133), np.uint16)
    metadata = image.metadata
    assert metadata.unit == "micron"
    assert metadata.pixel_size == pytest.approx({"X": 0.51188, "Y": 0.51188, "Z": 0.49941}, abs=1e-5)
    assert len(metadata.slice_labels) == 90
    assert metadata.slice_labels[1].startswith("c:2/2 z:1/45")
    assert len(metadata.luts) == len(metadata.display_ranges) == 2
    assert np.array_equal(image.region(C=1, Z=slice(3, 5)), tifffile.imread(image.path)[3:5, 1])


def test_all_real_images_can_be_read(shared_data):
    files = [file for file in sorted(shared_data.rglob("*")) if file.suffix.lower() in (".tif", ".png", ".jpg")]
    for file in files[:: max(1, len(files) // 60)]:
        image = open_image(file)
        assert image.read().shape == image.shape
