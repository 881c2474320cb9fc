"""Readers of image files that fetch a region and no more, where the file's form allows it."""

from __future__ import annotations

import atexit
import struct
import threading
from collections import OrderedDict
from pathlib import Path
from typing import Any, Protocol

import imagecodecs
import numpy as np
import tifffile

Window = tuple[slice, ...]
"""One slice with start and stop for each dimension of the file."""


class Reader(Protocol):
    """Reads pixels in the file's own dimensions."""

    def read(self, window: Window) -> np.ndarray:
        """Return a new array of native byte order with the pixels of ``window``."""
        ...


class _Cache:
    """Keeps the most recently used values; what falls out is closed where it can be."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._values: OrderedDict[Any, Any] = OrderedDict()
        self.lock = threading.RLock()

    def get(self, key: Any, make: Any) -> Any:
        """Return the value of ``key``, made by ``make()`` if it is not there. Hold the lock while using it."""
        with self.lock:
            if key not in self._values:
                self._values[key] = make()
            self._values.move_to_end(key)
            while len(self._values) > self._size:
                _, old = self._values.popitem(last=False)
                _close(old)
            return self._values[key]

    def clear(self) -> None:
        """Forget all values and close their files."""
        with self.lock:
            for value in self._values.values():
                _close(value)
            self._values.clear()


def _close(value: Any) -> None:
    if isinstance(value, tifffile.TiffFile):
        value.close()


_open_tiffs = _Cache(16)
_decoded_pictures = _Cache(2)
atexit.register(_open_tiffs.clear)


def _key(path: Path) -> tuple[str, int, int]:
    """Name a file's present content, so that a file written anew is read anew."""
    status = path.stat()
    return str(path), status.st_mtime_ns, status.st_size


_VALUE_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
"""Bytes per value of a TIFF type."""

_NEEDED_TAGS = {258, 270, 273, 279, 282, 283, 320, 324, 325, 339, 347, 50838, 50839}
"""Description, calibration, colors, and where the pixels are; other tags may be broken without harm."""


def open_tiff(path: Path) -> tifffile.TiffFile:
    """Open a TIFF alone, without the other files of a multi-file OME-TIFF."""
    return tifffile.TiffFile(path, _multifile=False)


def directory_end(tiff: tifffile.TiffFile, offset: int) -> tuple[int, int]:
    """Return where the values of the page directory at ``offset`` end, and where the next one begins (0: nowhere).

    Only values that count are looked at. In a file that was cut off tifffile leaves out entries without values.
    """
    form, file = tiff.tiff, tiff.filehandle
    file.seek(offset)
    count = struct.unpack(form.tagnoformat, file.read(form.tagnosize))[0]
    entries = file.read(count * form.tagsize)
    following = struct.unpack(form.offsetformat, file.read(form.offsetsize))[0]
    end = offset
    for at in range(0, len(entries), form.tagsize):
        code, kind, number, place = struct.unpack(
            form.byteorder + ("HHQQ" if form.offsetsize == 8 else "HHII"), entries[at : at + form.tagsize]
        )
        length = number * _VALUE_SIZES.get(kind, 0)
        if code in _NEEDED_TAGS and length > form.offsetsize:
            end = max(end, place + length)
    return end, following


class MappedReader:
    """Uncompressed pixels that lie in the file one after the other, of any byte order.

    The file is mapped anew for each region, so that only the pages of that region count as memory.
    """

    def __init__(self, path: Path, dtype: np.dtype, offset: int, shape: tuple[int, ...]) -> None:
        self._path, self._dtype, self._offset, self._shape = path, dtype, offset, shape

    def read(self, window: Window) -> np.ndarray:
        """Return the pixels of ``window``."""
        pixels = np.memmap(self._path, self._dtype, "r", self._offset, self._shape)
        return np.array(pixels[window], self._dtype.newbyteorder("="), order="C")


class SegmentReader:
    """Compressed, tiled or scattered pages: only the strips and tiles that a region touches are decoded."""

    def __init__(self, path: Path, dtype: np.dtype, shape: tuple[int, ...]) -> None:
        self._path, self._dtype, self._shape = path, dtype, shape

    def read(self, window: Window) -> np.ndarray:
        """Return the pixels of ``window``."""
        if all(part == slice(0, size) for part, size in zip(window, self._shape, strict=True)):
            with open_tiff(self._path) as tiff:
                return np.array(_as_bytes(tiff.series[0].asarray()), order="C", copy=False)
        with _open_tiffs.lock:
            series = _open_tiffs.get(_key(self._path), lambda: open_tiff(self._path)).series[0]
            page_ndim = len(series.keyframe.shape)
            outer = self._shape[: len(self._shape) - page_ndim]
            if self._shape[len(outer) :] != series.keyframe.shape or int(np.prod(outer)) != len(series):
                return np.array(_as_bytes(series.asarray())[window], order="C")
            result = np.zeros([part.stop - part.start for part in window], self._dtype)
            numbers = np.arange(int(np.prod(outer))).reshape(outer)[window[: len(outer)]]
            for position in np.ndindex(*numbers.shape):
                page = series[int(numbers[position])]
                if page is not None:
                    _read_page(page, series.keyframe, window[len(outer) :], result[position])
            return result


def _as_bytes(array: np.ndarray) -> np.ndarray:
    """Show 1-bit images as ImageJ does: 0 and 255."""
    if array.dtype == np.bool_:
        return array.astype(np.uint8) * np.uint8(255)
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def _read_page(page: Any, keyframe: Any, window: Window, out: np.ndarray) -> None:
    """Decode the segments of ``page`` that meet ``window`` (the page's dimensions) into ``out``."""
    plane = _normalized(keyframe, window)
    target = out.reshape([part.stop - part.start for part in plane])
    jpeg: dict[str, Any] = {}
    if keyframe.compression in {6, 7, 34892, 33007}:
        jpeg = {"jpegtables": page.jpegtables, "jpegheader": keyframe.jpegheader}
    file = page.parent.filehandle
    for index in _segments(keyframe, plane):
        if index >= len(page.dataoffsets) or not page.databytecounts[index]:
            continue
        decode = keyframe.decode  # its making moves the file's position
        file.seek(page.dataoffsets[index])
        encoded = file.read(page.databytecounts[index])
        data, (sample, depth, row, column, _), shape = decode(encoded, index, **jpeg)
        if data is None:
            continue
        origin = (sample, depth, row, column, 0)
        block = _as_bytes(data).reshape((1, *data.shape))
        inside = [
            (max(part.start, start), min(part.stop, start + size))
            for part, start, size in zip(plane, origin, (1, *shape), strict=True)
        ]
        if any(first >= last for first, last in inside):
            continue
        to = tuple(slice(a - part.start, b - part.start) for (a, b), part in zip(inside, plane, strict=True))
        of = tuple(slice(a - start, b - start) for (a, b), start in zip(inside, origin, strict=True))
        target[to] = block[of]


def _normalized(keyframe: Any, window: Window) -> Window:
    """Turn a window over a page's squeezed dimensions into one over (sample, depth, row, column, sample)."""
    shape = keyframe.shaped
    axes = keyframe.axes
    parts = dict(zip(axes, window, strict=True))
    separate, contiguous = shape[0] > 1, shape[4] > 1
    whole = slice(0, 1)
    return (
        parts.get("S", whole) if separate else whole,
        parts.get("Z", whole),
        parts["Y"],
        parts["X"],
        parts.get("S", whole) if contiguous else whole,
    )


def _segments(keyframe: Any, plane: Window) -> list[int]:
    """Return the numbers of the strips or tiles of a page that meet ``plane``."""
    samples, depth, length, width, _ = keyframe.shaped
    if keyframe.is_tiled:
        tile = (keyframe.tiledepth, keyframe.tilelength, keyframe.tilewidth)
    else:
        tile = (1, min(keyframe.rowsperstrip, length), width)
    counts = [-(-size // step) for size, step in zip((depth, length, width), tile, strict=True)]
    ranges = [range(plane[0].start, plane[0].stop)]
    for part, step in zip(plane[1:4], tile, strict=True):
        ranges.append(range(part.start // step, -(-part.stop // step)))
    grid = np.meshgrid(*ranges, indexing="ij")
    return np.ravel_multi_index(grid, (samples, *counts)).ravel().tolist()


class PictureReader:
    """PNG and JPEG, which can only be decoded as a whole; the last two pictures are kept."""

    def __init__(self, path: Path, keep: int) -> None:
        self._path = path
        self._keep = keep
        """Channels to keep: alpha is dropped."""

    def read(self, window: Window) -> np.ndarray:
        """Return the pixels of ``window``."""
        with _decoded_pictures.lock:
            picture = _decoded_pictures.get(_key(self._path), lambda: decode_picture(self._path))
        if picture.ndim == 3:
            picture = picture[..., : self._keep] if self._keep > 1 else picture[..., 0]
        return np.array(picture[window], order="C")


def decode_picture(path: Path) -> np.ndarray:
    """Decode a PNG (palettes as colors) or JPEG file to YX or YXC."""
    content = path.read_bytes()
    if content[:8] == PNG_START:
        return imagecodecs.png_decode(content)
    return imagecodecs.jpeg8_decode(content)


_TAIL = 64 << 10

PNG_START = b"\x89PNG\r\n\x1a\n"
JPEG_START = b"\xff\xd8\xff"


def picture_header(path: Path) -> tuple[tuple[int, int], int, np.dtype]:
    """Read size (rows, columns), number of channels without alpha, and type of a PNG or JPEG file.

    The end is looked at, too, since decoders fill what is missing with grey.

    Raises
    ------
    ValueError
        If the header is cut off or makes no sense.
    """
    with path.open("rb") as stream:
        start = stream.read(33)
        stream.seek(max(0, path.stat().st_size - _TAIL))
        if (b"IEND" if start[:8] == PNG_START else b"\xff\xd9") not in stream.read():
            raise ValueError("its end is missing")
        if start[:8] == PNG_START:
            if len(start) < 33 or start[12:16] != b"IHDR":
                raise ValueError("its header is cut off")
            width, height = (int.from_bytes(start[at : at + 4], "big") for at in (16, 20))
            depth, color = start[24], start[25]
            return (height, width), 3 if color in (2, 3, 6) else 1, np.dtype(np.uint16 if depth == 16 else np.uint8)
        stream.seek(2)
        return _jpeg_header(stream)


def _jpeg_header(stream: Any) -> tuple[tuple[int, int], int, np.dtype]:
    """Find the start-of-frame segment (T.81, B.2.2), which holds the size."""
    while True:
        marker = stream.read(2)
        if len(marker) < 2 or marker[0] != 0xFF:
            raise ValueError("its header is cut off")
        if marker[1] == 0xFF:
            stream.seek(-1, 1)
            continue
        length = int.from_bytes(stream.read(2), "big")
        if 0xC0 <= marker[1] <= 0xCF and marker[1] not in (0xC4, 0xC8, 0xCC):
            frame = stream.read(6)
            if len(frame) < 6:
                raise ValueError("its header is cut off")
            height, width = int.from_bytes(frame[1:3], "big"), int.from_bytes(frame[3:5], "big")
            if frame[5] not in (1, 3):
                raise ValueError("its colors are neither grey nor RGB")
            return (height, width), frame[5], np.dtype(np.uint8)
        if length < 2:
            raise ValueError("its header is damaged")
        stream.seek(length - 2, 1)
