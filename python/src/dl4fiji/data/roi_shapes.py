"""ImageJ's outlines as pixels, by ImageJ's own rules.

A pixel belongs to an outline if its center does (ij/process/PolygonFiller.java, ij/gui/OvalRoi.java and the classes of
the other shapes, ImageJ 1.54p): what ``ImageProcessor.fill(Roi)`` fills is what `rasterize` returns.
"""

from __future__ import annotations

import itertools
import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from roifile import ImagejRoi

_POLYGON, _RECTANGLE, _OVAL, _FREEHAND, _TRACED = 0, 1, 2, 7, 8
_TEXT, _ARROW, _ELLIPSE, _IMAGE, _ROTATED = 1, 2, 3, 4, 5
_ELLIPSE_VERTICES = 72
_MOVE, _LINE, _QUADRATIC, _CUBIC, _CLOSE = range(5)
_COORDINATES = {_MOVE: 2, _LINE: 2, _QUADRATIC: 4, _CUBIC: 6, _CLOSE: 0}
_ARC = 0.5522847498307933
"""Distance of the control points of a cubic curve that stands for a quarter of a unit circle."""

_FLATNESS, _DEEPEST = 0.01, 10
"""Curves are halved up to 10 times, until they are flat to this fraction of a pixel."""

_BIAS = 1e-8
"""Crossings are shifted so far to the right, so that rounding errors do not matter."""


@dataclass(frozen=True)
class Area:
    """Pixels of an outline: a mask, and the column and row of its upper left pixel."""

    x: int
    y: int
    mask: np.ndarray


def rasterize(roi: ImagejRoi) -> Area | None:
    """Return the pixels that ImageJ fills for an outline; None for lines, points, texts and pictures."""
    if roi.subtype in (_TEXT, _ARROW, _IMAGE):
        return None
    if roi.composite:
        return _fill_paths(_paths(np.asarray(roi.multi_coordinates).tolist()))
    if roi.roitype in (_RECTANGLE, _OVAL):
        return _box(roi)
    if roi.roitype == _FREEHAND and roi.subtype in (_ELLIPSE, _ROTATED):
        vertices = _ellipse(roi) if roi.subtype == _ELLIPSE else _rotated_rectangle(roi)
        return _fill_paths([vertices])
    if roi.roitype not in (_POLYGON, _FREEHAND, _TRACED) or roi.integer_coordinates is None:
        return None
    if roi.subpixelresolution and roi.subpixel_coordinates is not None:
        return _fill_subpixel(roi.subpixel_coordinates)
    points = roi.integer_coordinates + np.array([roi.left, roi.top])
    (left, top), (right, bottom) = points.min(axis=0).tolist(), points.max(axis=0).tolist()
    edges = _edges(points.astype(np.float64) - [left, top])
    return Area(left, top, _fill(edges, right - left, bottom - top))


def _box(roi: ImagejRoi) -> Area | None:
    """Return a rectangle, perhaps with rounded corners, or an oval; with fractions of pixels they are rounded."""
    if roi.subpixelrect:
        x, y, width, height = int(roi.xd), int(roi.yd), math.ceil(roi.widthd), math.ceil(roi.heightd)
    else:
        x, y, width, height = roi.left, roi.top, roi.right - roi.left, roi.bottom - roi.top
    width, height = max(1, width), max(1, height)
    if roi.roitype == _OVAL:
        rows = (np.arange(height) - (height / 2 - 0.5))[:, None]
        columns = (np.arange(width) - (width / 2 - 0.5))[None, :]
        return Area(x, y, columns**2 / (width / 2) ** 2 + rows**2 / (height / 2) ** 2 <= 1)
    if roi.rounded_rect_arc_size > 0:
        return _fill_paths([_rounded(x, y, width, height, roi.rounded_rect_arc_size)])
    return Area(x, y, np.ones((height, width), bool))


def _rounded(x: int, y: int, width: int, height: int, diameter: int) -> np.ndarray:
    """Return the vertices of a rectangle with rounded corners, as java.awt.geom.RoundRectangle2D draws them."""
    rx, ry = min(width, diameter) / 2, min(height, diameter) / 2
    right, bottom = x + width, y + height
    near_x, near_y = rx * (1 - _ARC), ry * (1 - _ARC)
    corners = [
        ((x, bottom - ry), (x, bottom - near_y), (x + near_x, bottom), (x + rx, bottom)),
        ((right - rx, bottom), (right - near_x, bottom), (right, bottom - near_y), (right, bottom - ry)),
        ((right, y + ry), (right, y + near_y), (right - near_x, y), (right - rx, y)),
        ((x + rx, y), (x + near_x, y), (x, y + near_y), (x, y + ry)),
    ]
    return np.asarray([place for corner in corners for place in [corner[0], *_curve(corner)]])


def _curve(points: Sequence[Sequence[float]], level: int = 0) -> list[tuple[float, float]]:
    """Return places on a Bézier curve of degree 2 or 3 but its start, as java.awt.geom.FlatteningPathIterator does.

    The curve is halved until its control points lie within `_FLATNESS` of the chord.
    """
    start, *controls, end = points
    if level == _DEEPEST or max(_from_chord(start, end, point) for point in controls) < _FLATNESS:
        return [(end[0], end[1])]
    left, right, row = [start], [end], list(points)
    while len(row) > 1:
        row = [((a[0] + b[0]) / 2, (a[1] + b[1]) / 2) for a, b in itertools.pairwise(row)]
        left.append(row[0])
        right.insert(0, row[-1])
    return _curve(left, level + 1) + _curve(right, level + 1)


def _from_chord(start: Sequence[float], end: Sequence[float], point: Sequence[float]) -> float:
    """Return the distance of a point from the line between two others."""
    dx, dy, px, py = end[0] - start[0], end[1] - start[1], point[0] - start[0], point[1] - start[1]
    length = dx * dx + dy * dy
    along = min(max((px * dx + py * dy) / length, 0.0), 1.0) if length else 0.0
    return math.hypot(px - along * dx, py - along * dy)


def _parameter(roi: ImagejRoi) -> float:
    """Return the number that ellipses and rotated rectangles have where arrows have their style."""
    parts = roi.arrow_style_or_aspect_ratio, roi.arrow_head_size, roi.rounded_rect_arc_size
    return struct.unpack(">f", struct.pack(">BBh", *parts))[0]


def _ellipse(roi: ImagejRoi) -> np.ndarray:
    """Return the vertices of an ellipse, as ij.gui.EllipseRoi makes them."""
    dx, dy = roi.x2 - roi.x1, roi.y2 - roi.y1
    major = math.hypot(dx, dy)
    minor = major * min(max(_parameter(roi), 0.0), 1.0)
    angle = math.atan2(dy, dx)
    turn = np.arange(_ELLIPSE_VERTICES) * (2 * math.pi / _ELLIPSE_VERTICES)
    along, across = np.cos(turn) * major / 2, np.sin(turn) * minor / 2
    direction, radius = np.arctan2(across, along) + angle, np.hypot(along, across)
    center = np.array([(roi.x1 + roi.x2) / 2, (roi.y1 + roi.y2) / 2])
    return (np.stack([np.cos(direction), np.sin(direction)], -1) * radius[:, None] + center).astype(np.float32)


def _rotated_rectangle(roi: ImagejRoi) -> np.ndarray:
    """Return the vertices of a rotated rectangle, as ij.gui.RotatedRectRoi makes them."""
    x1, y1, x2, y2 = roi.x1, roi.y1, roi.x2, roi.y2
    length = math.hypot(x2 - x1, y2 - y1)
    side = np.array([y2 - y1, x1 - x2]) * (0.5 * _parameter(roi) / length)
    start, end = np.array([x1, y1]), np.array([x2, y2])
    return np.stack([start + side, end + side, end - side, start - side]).astype(np.float32)


def _paths(numbers: Sequence[float]) -> list[np.ndarray]:
    """Return the closed paths of a composite outline, whose curves become many short lines."""
    paths: list[list[Sequence[float]]] = []
    at = 0
    while at < len(numbers):
        kind = int(numbers[at])
        if kind not in _COORDINATES:
            raise ValueError(f"a path has no segment {kind}")
        given = numbers[at + 1 : at + 1 + _COORDINATES[kind]]
        points = [(given[i], given[i + 1]) for i in range(0, len(given) - 1, 2)]
        at += 1 + _COORDINATES[kind]
        if kind == _MOVE:
            paths.append([*points])
        elif not paths:
            raise ValueError("a path begins without a place")
        elif kind in (_QUADRATIC, _CUBIC):
            paths[-1] += _curve([paths[-1][-1], *points])
        else:
            paths[-1] += points
    return [np.asarray(path, np.float32) for path in paths if len(path) > 2]


def _fill_paths(paths: Sequence[np.ndarray]) -> Area | None:
    """Fill paths by the even-odd rule; the corner of the area is a whole pixel."""
    if not paths:
        return None
    points = np.concatenate(paths)
    left, top = np.floor(points.min(axis=0)).astype(int).tolist()
    right, bottom = np.ceil(points.max(axis=0)).astype(int).tolist()
    edges = np.concatenate(
        [_rounded_edges((path - np.array([left, top], np.float32)).astype(np.float64)) for path in paths]
    )
    return Area(left, top, _fill(edges, right - left, bottom - top))


def _fill_subpixel(points: np.ndarray) -> Area:
    """Fill a polygon with fractions of pixels; as in ImageJ its own corner is taken off, in 32-bit numbers."""
    points = points.astype(np.float32)
    corner, far = points.min(axis=0), points.max(axis=0)
    base = corner.astype(np.float64)
    first = np.floor(base).astype(int)
    last = np.ceil(base + (far.astype(np.float64) - base)).astype(int)
    edges = _rounded_edges((points - corner).astype(np.float64) + (base - first))
    left, top = first.tolist()
    right, bottom = last.tolist()
    return Area(left, top, _fill(edges, right - left, bottom - top))


def _edges(points: np.ndarray) -> np.ndarray:
    """Return the edges of a polygon with whole coordinates: first row, last row (exclusive), crossing, slope."""
    start, end = _downwards(points)
    rows = end[:, 1] - start[:, 1]
    slope = (end[:, 0] - start[:, 0]) / rows
    return np.stack([start[:, 1], end[:, 1], start[:, 0] + 0.5 * slope + _BIAS, slope], -1)


def _rounded_edges(points: np.ndarray) -> np.ndarray:
    """Return the edges of a polygon with fractions of pixels; rows are rounded as Java does, half up."""
    start, end = _downwards(points)
    first, last = np.floor(start[:, 1] + 0.5), np.floor(end[:, 1] + 0.5)
    slope = (end[:, 0] - start[:, 0]) / (end[:, 1] - start[:, 1])
    crossing = start[:, 0] + (first - start[:, 1] + 0.5) * slope + _BIAS
    return np.stack([first, last, crossing, slope], -1)[first < last]


def _downwards(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return upper and lower ends of the edges of a polygon that are not horizontal."""
    following = np.roll(points, -1, axis=0)
    slanted = points[:, 1] != following[:, 1]
    points, following = points[slanted], following[slanted]
    swapped = (points[:, 1] > following[:, 1])[:, None]
    return np.where(swapped, following, points), np.where(swapped, points, following)


def _fill(edges: np.ndarray, width: int, height: int) -> np.ndarray:
    """Return the pixels between the first and second, third and fourth … crossing of each row."""
    first, last = edges[:, 0].astype(int), edges[:, 1].astype(int)
    counts = last - first
    number = np.repeat(np.arange(len(edges)), counts)
    below = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    rows = first[number] + below
    crossings = (edges[number, 2] + edges[number, 3] * below + 0.5).astype(int).clip(0, width)
    inside = (rows >= 0) & (rows < height)
    turns = np.bincount(rows[inside] * (width + 1) + crossings[inside], minlength=height * (width + 1))
    return np.cumsum(turns.reshape(height, width + 1), axis=1)[:, :width] % 2 == 1
