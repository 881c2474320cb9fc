"""Writes images as ImageJ hyperstacks, region by region, so that no whole image need be in memory."""

from __future__ import annotations

import errno
import math
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

import numpy as np
import tifffile

from dl4fiji.data.axes import check_axes
from dl4fiji.data.metadata import Metadata
from dl4fiji.errors import DataError, ResourceError
from dl4fiji.files import atomic_path, require_space

_ORDER = "TZCYX"


def stored_dtype(dtype: np.dtype) -> np.dtype:
    """Return the type in which pixels are stored: what ImageJ knows, without loss where there is such a type.

    uint8, uint16 and float32 stay; bool becomes uint8 with 0 and 255; other integers up to 16 bits and float16
    become float32, as do those that ImageJ itself opens as 32-bit (int32, uint32, float64, rounded).
    """
    if dtype in (np.uint8, np.uint16, np.float32):
        return np.dtype(dtype).newbyteorder("=")
    if dtype == np.bool_:
        return np.dtype(np.uint8)
    if dtype.kind in "iuf":
        return np.dtype(np.float32)
    raise DataError(f"Pixels of the type {dtype} cannot be saved for Fiji.")


class ImageWriter:
    """Writes one image; use it as a context manager. The file appears when all went well, never in part.

    Parameters
    ----------
    path
        The file to write, ending in ``.tif``; an existing one is replaced at the end.
    axes
        Axes of what will be written, in any order of letters of ``TZCYX``.
    shape
        Numbers of pixels along ``axes``.
    dtype
        Type of the pixels, see `stored_dtype`.
    metadata
        Calibration, labels and display; parts that do not fit ``shape`` are left out.
    rgb
        Store three uint8 channels as a color image.
    """

    def __init__(
        self,
        path: str | Path,
        axes: str,
        shape: tuple[int, ...],
        dtype: Any,
        metadata: Metadata | None = None,
        rgb: bool = False,
    ) -> None:
        self.path = Path(path)
        self.axes = check_axes(axes, len(shape))
        self.shape = tuple(int(size) for size in shape)
        self._given = np.dtype(dtype)
        self.dtype = stored_dtype(self._given)
        self.metadata = metadata or Metadata()
        sizes = dict(zip(self.axes, self.shape, strict=True))
        self.rgb = rgb and sizes.get("C") == 3 and self.dtype == np.uint8
        self._file_axes = "TZYXC" if self.rgb else _ORDER
        self._file_shape = tuple(sizes.get(axis, 1) for axis in self._file_axes)
        self._stack = ExitStack()
        self._stream: BinaryIO | None = None
        self._offset = 0

    def __enter__(self) -> Self:
        nbytes = math.prod(self._file_shape) * self.dtype.itemsize
        require_space(self.path.parent, nbytes, f"saving {self.path.name}")
        with ExitStack() as stack, self._explained():
            partial = stack.enter_context(atomic_path(self.path))
            self._offset = self._write_header(partial)
            stream = stack.enter_context(partial.open("r+b", buffering=0))
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(stream.fileno(), 0, self._offset + nbytes)
            self._stream = stream
            self._stack = stack.pop_all()
        return self

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Put errors of the file system into sentences with their remedies."""
        try:
            yield
        except OSError as error:
            what = f"{self.path} cannot be written ({error.strerror or error})"
            if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
                raise ResourceError(f"{what}: free some space or choose another disk.") from error
            raise DataError(f"{what}: choose another folder, or one where you may write.") from error

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stream = None
        self._stack.__exit__(kind, error, trace)

    def write(self, pixels: np.ndarray, **parts: slice | int) -> None:
        """Write a region; ``parts`` as in `ImageSource.region`. Regions may come in any order.

        Parameters
        ----------
        pixels
            Axes as ``axes`` without those given as an index.
        parts
            Per axis an index or a slice without step; axes not named are written whole.
        """
        if self._stream is None:
            raise ValueError("write within the context of the writer")
        starts, counts = self._place(parts)
        expected = [counts[axis] for axis in self.axes if not isinstance(parts.get(axis), int | np.integer)]
        if list(pixels.shape) != expected:
            raise ValueError(f"pixels have the shape {pixels.shape}, the region {expected}")
        block = self._convert(pixels).reshape([counts[axis] for axis in self.axes])
        missing = [axis for axis in self._file_axes if axis not in self.axes]
        block = block.reshape([*block.shape, *[1] * len(missing)])
        letters = self.axes + "".join(missing)
        block = block.transpose([letters.index(axis) for axis in self._file_axes])
        for at, run in _runs(block, [starts.get(axis, 0) for axis in self._file_axes], self._file_shape):
            self._stream.seek(self._offset + at * self.dtype.itemsize)
            data = memoryview(np.ascontiguousarray(run, self.dtype.newbyteorder(">")).tobytes())
            with self._explained():
                while data:
                    data = data[self._stream.write(data) :]

    def _place(self, parts: dict[str, slice | int]) -> tuple[dict[str, int], dict[str, int]]:
        """Return first index and count per axis of a region."""
        unknown = set(parts) - set(self.axes)
        if unknown:
            raise IndexError(f"{self.path.name} has no axis {unknown.pop()}")
        starts, counts = {}, {}
        for axis, size in zip(self.axes, self.shape, strict=True):
            part = parts.get(axis, slice(None))
            if not isinstance(part, slice):
                part = slice(int(part), int(part) + 1)
            start, stop, step = part.indices(size)
            if step != 1 or stop < start or (part.stop is not None and part.stop > size):
                raise IndexError(f"{part} is no region along {axis} of {size} pixels")
            starts[axis], counts[axis] = start, stop - start
        return starts, counts

    def _convert(self, pixels: np.ndarray) -> np.ndarray:
        if pixels.dtype == np.bool_:
            return pixels.astype(self.dtype) * self.dtype.type(255)
        return pixels

    def _write_header(self, partial: Path) -> int:
        """Write header, empty pixels and page directories; return where the pixels begin."""
        sizes = dict(zip(self._file_axes, self._file_shape, strict=True))
        options: dict[str, Any] = {}
        table = self.metadata.luts[0] if len(self.metadata.luts) == 1 else b""
        if len(table) == 768 and self.dtype == np.uint8 and sizes["C"] == 1:
            colors = np.frombuffer(table, np.uint8).reshape(3, 256)
            options["colormap"] = colors.astype(np.uint16) * 257
        spatial = self.metadata.pixel_size
        if "X" in spatial or "Y" in spatial:
            options["resolution"] = (_per_unit(spatial.get("X", 1.0)), _per_unit(spatial.get("Y", 1.0)))
        nbytes = math.prod(self._file_shape) * self.dtype.itemsize
        # Offsets in a classic TIFF have 32 bits; ImageJ then takes one page and counts on.
        long = nbytes > 2**32 - 2**25
        with tifffile.TiffWriter(partial, imagej=True, byteorder=">") as tiff:
            shape = self._file_shape if self.rgb else (*self._file_shape, 1)
            tiff.write(
                None,
                shape=shape,
                dtype=self.dtype.newbyteorder(">"),
                photometric="rgb" if self.rgb else "palette" if "colormap" in options else "minisblack",
                metadata=_imagej_entries(self.metadata, sizes, self.rgb),
                truncate=long,
                software=False,  # ImageJ would add it to the image's info
                **options,
            )
        with partial.open("r+b") as stream:
            with tifffile.TiffFile(stream) as tiff:
                offset = tiff.pages.first.dataoffsets[0]
            stream.seek(0, os.SEEK_END)
            if stream.tell() < offset + nbytes:
                stream.truncate(offset + nbytes)
        return int(offset)


def _runs(block: np.ndarray, starts: list[int], shape: tuple[int, ...]) -> Iterator[tuple[int, np.ndarray]]:
    """Cut a block into parts that lie in one piece in a C-ordered array of ``shape``; with their positions."""
    inner = block.ndim
    while inner > 0 and all(block.shape[axis] == shape[axis] for axis in range(inner, block.ndim)):
        inner -= 1
    strides = [math.prod(shape[axis + 1 :]) for axis in range(block.ndim)]
    base = sum(start * stride for start, stride in zip(starts, strides, strict=True))
    for position in np.ndindex(*block.shape[:inner]):
        yield base + sum(p * s for p, s in zip(position, strides[:inner], strict=True)), block[position]


def _per_unit(size: float) -> tuple[int, int]:
    """Return pixels per unit as a fraction of 32-bit numbers from which ImageJ computes exactly ``size``.

    ImageJ computes ``1.0 / (numerator / denominator)``, which reaches all sizes that come from a file, and any other
    size to 9 digits at least.
    """
    if not (math.isfinite(size) and 2**-32 < size < 2**32):
        return 1, 1
    near = 1.0 / size
    best, error = Fraction(1), math.inf
    for limit in (10**6, 2**24, 2**32 - 1):
        for wanted in (1 / Fraction(size), Fraction(math.nextafter(near, 0)), Fraction(math.nextafter(near, math.inf))):
            bound = min(limit, int((2**32 - 1) / max(wanted, 1)))
            fraction = wanted.limit_denominator(max(1, bound))
            if not 0 < fraction.numerator < 2**32:
                continue
            found = abs(1.0 / (fraction.numerator / fraction.denominator) - size)
            if found < error:
                best, error = fraction, found
            if not error:
                return best.numerator, best.denominator
    return best.numerator, best.denominator


def _escaped(text: str) -> str:
    """Write text as ImageJ does in its header: characters beyond printable ASCII escaped as in Java."""
    return "".join(
        char if " " <= char < "\x7f" and char != "\\" else "".join(f"\\u{unit:04X}" for unit in _utf16(char))
        for char in text
    )


def _utf16(char: str) -> list[int]:
    data = char.encode("utf-16-be", "surrogatepass")
    return [int.from_bytes(data[at : at + 2], "big") for at in range(0, len(data), 2)]


def _imagej_entries(metadata: Metadata, sizes: dict[str, int], rgb: bool) -> dict[str, Any]:
    """Return header entries and private tags in tifffile's terms; what does not fit ``sizes`` is left out."""
    channels = 1 if rgb else sizes["C"]
    planes = sizes["T"] * sizes["Z"] * channels
    several = [axis for axis in "TZC" if sizes[axis] > 1 and not (rgb and axis == "C")]
    entries: dict[str, Any] = {"ImageJ": "1.54f", "axes": "TZYXS" if rgb else "TZCYXS"}
    entries["hyperstack"] = len(several) > 1 or "T" in several or "C" in several
    extra = dict(metadata.extra)
    mode = extra.pop("mode", "")
    if channels > 1:
        entries["mode"] = mode or "composite"
    entries["loop"] = extra.pop("loop", "false") == "true"
    if metadata.unit:
        entries["unit"] = _escaped(metadata.unit)
    if "Z" in metadata.pixel_size:
        entries["spacing"] = repr(float(metadata.pixel_size["Z"]))
    if metadata.frame_interval:
        entries["finterval"] = repr(float(metadata.frame_interval))
    if metadata.time_unit:
        entries["tunit"] = _escaped(metadata.time_unit)
    ranges = metadata.display_ranges
    if len(ranges) == channels and not rgb:
        if channels > 1:
            entries["Ranges"] = tuple(value for pair in ranges for value in pair)
        else:
            entries["min"], entries["max"] = (repr(float(value)) for value in ranges[0])
    entries.update({key: _escaped(value) for key, value in extra.items()})
    if len(metadata.luts) == channels > 1:
        entries["LUTs"] = [np.frombuffer(table, np.uint8).reshape(3, 256) for table in metadata.luts]
    labels = _labels(metadata, channels, planes)
    if labels:
        entries["Labels"] = labels
    if metadata.info:
        entries["Info"] = metadata.info
    if metadata.properties:
        entries["Properties"] = dict(metadata.properties)
    return entries


def _labels(metadata: Metadata, channels: int, planes: int) -> list[str]:
    """Return one label per plane: those of the image, else the names of its channels."""
    if len(metadata.slice_labels) == planes:
        return list(metadata.slice_labels)
    if len(metadata.channel_names) == channels and any(metadata.channel_names) and channels > 1:
        return list(metadata.channel_names) * (planes // channels)
    return []


def write_image(
    path: str | Path, array: np.ndarray, axes: str, metadata: Metadata | None = None, rgb: bool = False
) -> None:
    """Write ``array`` (axes ``axes``) as an ImageJ TIFF, whole or not at all."""
    with ImageWriter(path, axes, array.shape, array.dtype, metadata, rgb) as writer:
        writer.write(array)
