"""What an image file tells beside its pixels, read from ImageJ and OME-TIFF; carried over to results."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from xml.etree import ElementTree

import tifffile

_KEPT_KEYS = ("xorigin", "yorigin", "zorigin", "yunit", "zunit", "fps", "loop", "inverty", "mode")
"""Keys of ImageJ's description that are carried over as they are."""

_LENGTHS = {"pm": 1e-6, "nm": 1e-3, "µm": 1.0, "um": 1.0, "micron": 1.0, "mm": 1e3, "cm": 1e4, "m": 1e6}
_INCH, _CENTIMETER = 2, 3


@dataclass(frozen=True)
class Metadata:
    """Calibration, display and labels of an image.

    Parameters
    ----------
    pixel_size
        Size of a pixel per axis ``X``, ``Y``, ``Z``, in ``unit``; axes without calibration are missing.
    frame_interval
        Time between frames in ``time_unit`` (empty: seconds); 0 if unknown.
    display_ranges
        Lowest and highest displayed value per channel.
    luts
        Colors per channel: 768 bytes, 256 reds, 256 greens, 256 blues.
    slice_labels
        One label per plane; channels run fastest, then slices, then frames.
    info
        ImageJ's *Image ▸ Show Info* text.
    properties
        ImageJ's image properties.
    extra
        Further entries of ImageJ's header (origin, units of Y and Z, display mode, …).
    """

    pixel_size: Mapping[str, float] = field(default_factory=dict)
    unit: str = ""
    frame_interval: float = 0.0
    time_unit: str = ""
    channel_names: tuple[str, ...] = ()
    display_ranges: tuple[tuple[float, float], ...] = ()
    luts: tuple[bytes, ...] = ()
    slice_labels: tuple[str, ...] = ()
    info: str = ""
    properties: Mapping[str, str] = field(default_factory=dict)
    extra: Mapping[str, str] = field(default_factory=dict)


def read_metadata(tiff: tifffile.TiffFile, channels: int) -> Metadata:
    """Read the metadata of a TIFF with so many ``channels``; what is damaged is left out."""
    if tiff.is_ome and tiff.ome_metadata:
        return _from_ome(tiff.ome_metadata)
    description = tiff.pages.first.imagej_description
    if tiff.is_imagej and description:
        return _from_imagej(tiff, _parse_description(description), channels)
    return _from_baseline(tiff)


def _parse_description(description: str) -> dict[str, str]:
    """Return the ``key=value`` lines of ImageJ's header, whose characters beyond ASCII are escaped as in Java."""
    entries: dict[str, str] = {}
    for line in description.split("\0")[0].splitlines():
        key, separator, value = line.partition("=")
        if separator:
            entries[key.strip()] = re.sub(r"\\u([0-9a-fA-F]{4})", lambda code: chr(int(code[1], 16)), value)
    return entries


def _number(text: str | None, default: float = 0.0) -> float:
    try:
        return float(text) if text else default
    except ValueError:
        return default


def _resolution(tiff: tifffile.TiffFile, tag: int) -> float:
    """Return the size of a pixel as ImageJ computes it, 0 if the tag is missing."""
    value: Any = tiff.pages.first.tags.valueof(tag)
    if not isinstance(value, tuple) or len(value) != 2 or 0 in value:
        return 0.0
    return 1.0 / (value[0] / value[1])


def _from_baseline(tiff: tifffile.TiffFile) -> Metadata:
    """Resolution tags per inch or centimeter, as ImageJ takes them; 72 per inch means no calibration."""
    unit = {_INCH: "inch", _CENTIMETER: "cm"}.get(int(tiff.pages.first.tags.valueof(296) or 1), "")
    sizes = {"X": _resolution(tiff, 282), "Y": _resolution(tiff, 283)}
    luts = _colormap(tiff)
    if not unit or not all(sizes.values()) or (unit == "inch" and sizes["X"] == 1.0 / 72.0):
        return Metadata(luts=luts)
    return Metadata(pixel_size=sizes, unit=unit, luts=luts)


def _colormap(tiff: tifffile.TiffFile) -> tuple[bytes, ...]:
    """Return the lookup table of a single-channel image with 256 colors."""
    colors = tiff.pages.first.colormap
    if colors is None or colors.shape != (3, 256):
        return ()
    return ((colors >> 8).astype("uint8").tobytes(),)


def _from_imagej(tiff: tifffile.TiffFile, entries: dict[str, str], channels: int) -> Metadata:
    """ImageJ's header and its two private tags."""
    block: Any = tiff.pages.first.tags.valueof(50839)
    block = block if isinstance(block, dict) else {}
    sizes = {"X": _resolution(tiff, 282), "Y": _resolution(tiff, 283), "Z": _number(entries.get("spacing"))}
    unit = entries.get("unit", "").strip()
    if "unit" not in entries:
        baseline = _from_baseline(tiff)
        unit, sizes = baseline.unit, {**dict(baseline.pixel_size), "Z": sizes["Z"]}
    labels = block.get("Labels", ())
    labels = tuple(labels) if isinstance(labels, list | tuple) else (str(labels),)
    return Metadata(
        pixel_size={axis: size for axis, size in sizes.items() if size},
        unit=unit,
        frame_interval=_number(entries.get("finterval")),
        time_unit=entries.get("tunit", "").strip(),
        channel_names=_channel_names(labels, channels),
        display_ranges=_ranges(block.get("Ranges"), entries),
        luts=_luts(block.get("LUTs")) or _colormap(tiff),
        slice_labels=labels,
        info=str(block.get("Info", "")),
        properties=_properties(block.get("Properties")),
        extra={key: entries[key] for key in _KEPT_KEYS if key in entries},
    )


def _channel_names(labels: tuple[str, ...], channels: int) -> tuple[str, ...]:
    """Return the labels of the channels where all planes of a channel are labelled alike."""
    if channels < 2 or len(labels) < channels or len(labels) % channels:
        return ()
    alike = all(label == labels[index % channels] for index, label in enumerate(labels))
    return labels[:channels] if alike and any(labels[:channels]) else ()


def _ranges(values: Any, entries: dict[str, str]) -> tuple[tuple[float, float], ...]:
    if isinstance(values, tuple | list) and len(values) % 2 == 0 and values:
        return tuple((float(low), float(high)) for low, high in zip(values[::2], values[1::2], strict=True))
    if "min" in entries and "max" in entries:
        return ((_number(entries["min"]), _number(entries["max"])),)
    return ()


def _luts(tables: Any) -> tuple[bytes, ...]:
    tables = tables if isinstance(tables, list) else [] if tables is None else [tables]
    return tuple(table.tobytes() for table in tables if getattr(table, "size", 0) == 768)


def _properties(values: Any) -> dict[str, str]:
    return {str(key): str(value) for key, value in values.items()} if isinstance(values, dict) else {}


def _from_ome(xml: str) -> Metadata:
    """Physical sizes, frame interval and channel names of the first image of an OME description."""
    try:
        root = ElementTree.fromstring(xml)  # noqa: S314 - expat bounds the growth of entities
    except ElementTree.ParseError:
        return Metadata()
    pixels = next((element for element in root.iter() if element.tag.endswith("}Pixels")), None)
    if pixels is None:
        return Metadata()
    unit = pixels.get("PhysicalSizeXUnit", "µm")
    sizes: dict[str, float] = {}
    for axis in "XYZ":
        size = _number(pixels.get(f"PhysicalSize{axis}"))
        own = pixels.get(f"PhysicalSize{axis}Unit", "µm")
        if size > 0 and own != unit and own in _LENGTHS and unit in _LENGTHS:
            size *= _LENGTHS[own] / _LENGTHS[unit]
        if size > 0:
            sizes[axis] = size
    interval = _number(pixels.get("TimeIncrement"))
    time_unit = pixels.get("TimeIncrementUnit", "s")
    names = tuple(element.get("Name", "") for element in pixels if element.tag.endswith("}Channel"))
    return Metadata(
        pixel_size=sizes,
        unit=unit if sizes else "",
        frame_interval=interval,
        time_unit="" if time_unit == "s" else time_unit,
        channel_names=names if any(names) else (),
    )
