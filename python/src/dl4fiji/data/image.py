"""Images on disk, read lazily: header first, then only the regions that are asked for."""

from __future__ import annotations

import re
import struct
import unicodedata
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

from dl4fiji.data.axes import LETTERS, check_axes
from dl4fiji.data.metadata import Metadata, read_metadata
from dl4fiji.data.readers import (
    JPEG_START,
    PNG_START,
    MappedReader,
    PictureReader,
    Reader,
    SegmentReader,
    directory_end,
    open_tiff,
    picture_header,
)
from dl4fiji.errors import DataError

__all__ = ["SUFFIXES", "ImageSource", "Metadata", "list_images", "natural_key", "open_image"]

SUFFIXES = (".tif", ".tiff", ".btf", ".png", ".jpg", ".jpeg")
"""Endings of file names that are taken for images, in small letters."""

_RGB, _YCBCR = 2, 6
_ALPHA = (1, 2)

DAMAGED = (
    OSError, ValueError, RuntimeError, struct.error, LookupError, TypeError, AttributeError, ArithmeticError,
    AssertionError, MemoryError,
)  # fmt: skip
"""What the decoders raise on damaged files."""


@dataclass(frozen=True)
class ImageSource:
    """An image, or a part of it, whose pixels are read when asked for.

    Parameters
    ----------
    path
        The file.
    axes
        Letters of ``TZCYX`` in the order of the file; RGB samples are ``C``.
    shape
        Numbers of pixels along ``axes``.
    dtype
        Type of the pixels, native byte order; 1-bit images are uint8 with 0 and 255.
    metadata
        What results carry over.
    rgb
        Whether ``C`` holds the red, green and blue samples of a color image.
    hints
        Sentences about what was assumed while opening.
    """

    path: Path
    axes: str
    shape: tuple[int, ...]
    dtype: np.dtype
    metadata: Metadata = field(repr=False)
    reader: Reader = field(repr=False)
    rgb: bool = False
    hints: tuple[str, ...] = ()
    layout: str = ""
    """Axes of the reader; those missing in ``axes`` are fixed."""
    fixed: tuple[tuple[str, int], ...] = ()

    @property
    def sizes(self) -> dict[str, int]:
        """Numbers of pixels per axis, for all five axes; 1 for those that the image lacks."""
        own = dict(zip(self.axes, self.shape, strict=True))
        return {axis: own.get(axis, 1) for axis in LETTERS}

    @property
    def nbytes(self) -> int:
        """Bytes that the pixels take in memory."""
        return int(np.prod(self.shape, dtype=np.int64)) * self.dtype.itemsize

    def read(self) -> np.ndarray:
        """Return all pixels, axes `axes`."""
        return self.region()

    def region(self, **parts: slice | int) -> np.ndarray:
        """Return the pixels of a part, e.g. ``region(T=3, Y=slice(0, 64))``, as a new array.

        Parameters
        ----------
        parts
            Per axis an index, which drops the axis, or a slice without step; axes not named are taken whole.
            Naming an axis of length 1 that the image lacks is allowed.

        Raises
        ------
        DataError
            If the file cannot be read any more or is damaged.
        """
        fixed = dict(self.fixed)
        for axis, part in parts.items():
            if axis not in self.axes and part not in (0, -1, slice(None), slice(0, 1)):
                raise IndexError(f"{self.path.name} has no axis {axis}")
        window: list[slice] = []
        dropped: list[int] = []
        for axis in self.layout:
            part = fixed[axis] if axis in fixed else parts.get(axis, slice(None))
            size = self._layout_size(axis)
            if isinstance(part, slice):
                start, stop, step = part.indices(size)
                if step != 1:
                    raise IndexError("a region has no step")
                window.append(slice(start, max(start, stop)))
            else:
                index = int(part) + size if part < 0 else int(part)
                if not 0 <= index < size:
                    raise IndexError(f"{self.path.name} has no index {part} along {axis}")
                dropped.append(len(window))
                window.append(slice(index, index + 1))
        try:
            pixels = self.reader.read(tuple(window))
        except FileNotFoundError:
            raise DataError(f"{self.path} is not there any more: put it back and start again.") from None
        except DAMAGED as error:
            raise DataError(
                f"{self.path.name} in {self.path.parent} is damaged ({_short(error)}): "
                "open it in Fiji and save it again as TIFF."
            ) from error
        return pixels.reshape([size for index, size in enumerate(pixels.shape) if index not in dropped])

    def at(self, **index: int) -> ImageSource:
        """Return the part at fixed positions along some axes, e.g. one frame: ``at(T=3)``."""
        index = {axis: position for axis, position in index.items() if axis in self.axes}
        for axis, position in index.items():
            if not 0 <= position < self.sizes[axis]:
                raise IndexError(f"{self.path.name} has no index {position} along {axis}")
        axes = "".join(axis for axis in self.axes if axis not in index)
        return replace(
            self,
            axes=axes,
            shape=tuple(self.sizes[axis] for axis in axes),
            fixed=(*self.fixed, *index.items()),
            rgb=self.rgb and "C" in axes,
        )

    def is_grey(self) -> bool:
        """Tell whether this is a color image whose three channels are equal everywhere."""
        if not self.rgb:
            return False
        rows = max(1, (16 << 20) // max(1, self.nbytes // self.sizes["Y"]))
        for start in range(0, self.sizes["Y"], rows):
            block = np.moveaxis(self.region(Y=slice(start, start + rows)), self.axes.index("C"), 0)
            if not all(np.array_equal(block[0], other) for other in block[1:]):
                return False
        return True

    def as_grey(self) -> ImageSource:
        """Return a color image that is grey in fact as an image without channels, any other image as it is."""
        return self.at(C=0) if self.is_grey() else self

    def _layout_size(self, axis: str) -> int:
        """Length of an axis of the reader; for a fixed axis whatever admits its index."""
        fixed = dict(self.fixed)
        return fixed[axis] + 1 if axis in fixed else self.sizes[axis]


def open_image(path: str | Path, axes: str = "") -> ImageSource:
    """Read the header of an image file.

    Parameters
    ----------
    path
        TIFF (ImageJ, OME, BigTIFF, compressed), PNG or JPEG.
    axes
        Axes of the file such as ``ZYX``; empty: those that the file tells.

    Raises
    ------
    DataError
        One sentence if the file is missing, empty, no image, truncated, or does not fit ``axes``.
    """
    path = Path(path)
    where = f"{path.name} in {path.parent}"
    try:
        with path.open("rb") as stream:
            start = stream.read(8)
    except FileNotFoundError:
        raise DataError(f"There is no file {path}: check its name and folder.") from None
    except IsADirectoryError:
        raise DataError(f"{path} is a folder: name an image file.") from None
    except OSError as error:
        raise DataError(f"{where} cannot be read ({error.strerror}): check the permissions of the file.") from None
    if not start:
        raise DataError(f"{where} has no content (0 bytes): copy or save it again.")
    try:
        if start == PNG_START or start[:3] == JPEG_START:
            return _open_picture(path, axes)
        if start[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
            return _open_tiff(path, axes)
    except DataError:
        raise
    except DAMAGED as error:
        raise DataError(
            f"{where} is damaged or cut off ({_short(error)}): copy it again, or open it in Fiji and save it as TIFF."
        ) from error
    raise DataError(f"{where} is not an image of a known kind: open it in Fiji and save it as TIFF.")


def _short(error: BaseException) -> str:
    """Return the reason of a decoder in a few words."""
    text = re.sub(r"<tifffile[^>]*>\s*", "", str(error)).split("\n")[0].strip(" .:")
    return text[:100] or type(error).__name__


def _open_picture(path: Path, axes: str) -> ImageSource:
    (height, width), channels, dtype = picture_header(path)
    if height < 1 or width < 1:
        raise ValueError("its size is 0")
    shape = (height, width) if channels == 1 else (height, width, channels)
    letters = _user_axes(path, axes, "YX" if channels == 1 else "YXS", shape)
    return ImageSource(
        path, letters, shape, dtype, Metadata(), PictureReader(path, channels), channels == 3, (), letters
    )


def _open_tiff(path: Path, axes: str) -> ImageSource:
    with open_tiff(path) as tiff:
        if not tiff.series:
            raise ValueError("no image in it")
        series: Any = tiff.series[0]
        if series.dtype is None or 0 in series.shape or series.dtype.kind not in "buif":
            raise ValueError("pixels of a type that Fiji does not know")
        _check_whole(tiff, series)
        letters, hints = _tiff_axes(path, axes, series)
        stored = np.dtype(tiff.byteorder + series.dtype.char)
        native = np.dtype(np.uint8) if series.dtype == np.bool_ else stored.newbyteorder("=")
        reader: Reader
        if series.dataoffset is not None and series.dtype != np.bool_:
            reader = MappedReader(path, stored, int(series.dataoffset), tuple(series.shape))
        else:
            reader = SegmentReader(path, native, tuple(series.shape))
        if sum(len(other) for other in tiff.series[1:]) and not tiff.is_ome:
            hints += (f"{path.name} holds images of different sizes: only the first is used.",)
        rgb, samples = _samples(tiff, series)
        shape = [int(size) for size in series.shape]
        if samples:
            # Windows never reach the alpha that the reader would give.
            shape[series.axes.index("S")] = samples
        metadata = read_metadata(tiff, shape[letters.index("C")] if "C" in letters else 1)
        source = ImageSource(path, letters, tuple(shape), native, metadata, reader, rgb, hints, letters)
        return source.at(C=0) if samples == 1 else source


def _samples(tiff: tifffile.TiffFile, series: Any) -> tuple[bool, int]:
    """Tell whether an image is a color image, and how many samples per pixel count besides alpha."""
    if "S" not in series.axes:
        return False, 0
    page: Any = tiff.pages.first
    count = int(series.shape[series.axes.index("S")])
    if page.photometric in (_RGB, _YCBCR) and count >= 3:
        return True, 3
    alpha = sum(1 for kind in page.extrasamples or () if kind in _ALPHA)
    return False, count - alpha


def _check_whole(tiff: tifffile.TiffFile, series: Any) -> None:
    """Raise ValueError if the file ends before the pixels or pages that its header announces."""
    size = tiff.filehandle.size
    # A damaged ImageJ stack would otherwise pass for its first plane.
    images = re.search(r"^images=(\d+)", tiff.pages.first.imagej_description or "", re.MULTILINE)
    if images and series.kind != "imagej" and len(tiff.pages) < int(images[1]):
        raise ValueError(f"it holds fewer than the {images[1]} planes that its header announces")
    if series.dataoffset is not None and series.dtype != np.bool_:
        if series.dataoffset + series.nbytes > size:
            raise ValueError(f"it has {size} bytes where {series.dataoffset + series.nbytes} are expected")
        if series.kind == "imagej":
            return
    # Exporters such as Bio-Formats write descriptions at the end.
    if directory_end(tiff, tiff.pages.first.offset)[0] > size:
        raise ValueError("a part of its header is missing")
    last = tiff.pages[len(tiff.pages) - 1]
    if directory_end(tiff, last.offset)[1]:
        raise ValueError("pages are missing at its end")
    ends = [start + count for start, count in zip(last.dataoffsets, last.databytecounts, strict=False)] or [0]
    if max(ends) > size:
        raise ValueError(f"it has {size} bytes where {max(ends)} are expected")


def _tiff_axes(path: Path, axes: str, series: Any) -> tuple[str, tuple[str, ...]]:
    """Return the axes of a TIFF series in letters of ``TZCYX`` and what was assumed."""
    told: str = series.axes
    if axes:
        return _user_axes(path, axes, told, series.shape), ()
    letters = told.replace("S", "C") if "C" not in told or "S" not in told else told
    unknown = [letter for letter in letters if letter not in LETTERS]
    hints: tuple[str, ...] = ()
    if len(unknown) == 1 and "Z" not in letters:
        letters = letters.replace(unknown[0], "Z")
        count = series.shape[letters.index("Z")]
        hint = (
            f"{path.name} does not tell its axes: its {count} planes are taken for slices (Z), as Fiji does; "
            "give the axes, for instance TYX, if they are frames."
        )
        hints = (hint,)
    elif unknown:
        sizes = "×".join(map(str, series.shape))
        raise DataError(
            f"{path.name} in {path.parent} ({sizes}) does not tell its axes: give them, for instance TZYX, "
            "or set them in Fiji by Image ▸ Properties and save it again."
        )
    return check_axes(letters, len(series.shape)), hints


def _user_axes(path: Path, axes: str, told: str, shape: tuple[int, ...]) -> str:
    """Return the axes that the user gave; RGB samples need not be named."""
    if not axes:
        return told.replace("S", "C")
    letters = check_axes(axes)
    if "S" in told and len(letters) == len(shape) - 1 and "C" not in letters:
        at = told.index("S")
        letters = letters[:at] + "C" + letters[at:]
    if len(letters) != len(shape):
        sizes = "×".join(map(str, shape))
        raise DataError(
            f"{path.name} in {path.parent} has {len(shape)} dimensions ({sizes}), but the axes {axes} name "
            f"{len(letters)}: correct the axes or leave them empty."
        )
    return letters


def natural_key(name: str) -> list[tuple[int, int | str]]:
    """Return a sort key that puts ``a2`` before ``a10`` and does not depend on case."""
    folded = unicodedata.normalize("NFC", name).casefold()
    return [(0, int(part)) if part.isdecimal() else (1, part) for part in re.split(r"(\d+)", folded) if part]


def list_images(folder: str | Path) -> list[Path]:
    """Return the image files of a folder in natural order; hidden files are left out.

    Raises
    ------
    DataError
        If there is no such folder, it cannot be read, or it holds no images.
    """
    folder = Path(folder)
    try:
        files = [file for file in folder.iterdir() if file.is_file() and not file.name.startswith(".")]
    except FileNotFoundError:
        raise DataError(f"There is no folder {folder}: check its name.") from None
    except NotADirectoryError:
        raise DataError(f"{folder} is a file: name the folder that holds the images.") from None
    except OSError as error:
        raise DataError(f"The folder {folder} cannot be read ({error.strerror}): check its permissions.") from None
    images = [file for file in files if file.suffix.lower() in SUFFIXES]
    if not images:
        others = sorted({file.suffix.lower() for file in files if file.suffix})
        found = f"{len(files)} other files ({', '.join(others[:5])})" if others else "is empty"
        found = f"holds {found}" if others else found if not files else f"holds {len(files)} other files"
        raise DataError(f"The folder {folder} {found} but no TIFF, PNG or JPEG images: save images there from Fiji.")
    return sorted(images, key=lambda file: (natural_key(file.name), file.name))
