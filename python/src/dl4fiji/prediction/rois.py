"""Objects as ImageJ ROIs in a zip, as the ROI Manager opens and Fiji's StarDist plugin makes them.

Objects in planes are polygons with corners between pixels: ImageJ's coordinates are those of the upper left corner of
a pixel, so half a pixel is added. Objects in volumes have an outline per slice. Names tell class, label and score:
``object-00012-0.934``, with ``t003-`` before them in a time-lapse and ``-z007`` after them for a slice.
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from roifile import ROI_TYPE, ImagejRoi

from dl4fiji.files import atomic_path
from dl4fiji.prediction.detection import Candidates
from dl4fiji.prediction.shapes import Polygons
from dl4fiji.prediction.tiling import Window

CLASS = "object"

MOST = 100_000
"""ROIs in a zip at most: more would make ImageJ very slow; label image and table hold all objects."""


class RoiZip:
    """Writes ``<name>_rois.zip``; use it as a context manager.

    Parameters
    ----------
    path
        The file; it appears when all went well.
    sizes
        Numbers of frames, slices and channels (``T``, ``Z``, ``C``) of the image that the ROIs lie on.
    """

    def __init__(self, path: Path, sizes: Mapping[str, int]) -> None:
        self._sizes = {axis: sizes.get(axis, 1) for axis in "TZC"}
        self._atomic = atomic_path(path)
        self.left_out = 0
        """ROIs beyond `MOST`."""
        self._count = 0

    def __enter__(self) -> RoiZip:
        self._zip = zipfile.ZipFile(self._atomic.__enter__(), "w", zipfile.ZIP_DEFLATED)
        return self

    def __exit__(self, *error: object) -> None:
        self._zip.close()
        self._atomic.__exit__(*error)  # pyright: ignore[reportArgumentType]

    def add_polygons(
        self, position: Mapping[str, int], shapes: Polygons, objects: Candidates, seen: np.ndarray
    ) -> None:
        """Write objects of a plane, the most probable first.

        Parameters
        ----------
        position
            Of the plane along the looped axes.
        shapes, objects
            What was found.
        seen
            Which objects are seen in the label image, bool (n,).
        """
        for index in np.flatnonzero(seen):
            (corners,) = shapes.corners(objects.points[index : index + 1], objects.dist[index : index + 1])
            self._write(self._name(position, index, objects.prob), corners[::-1].T, position)

    def add_slices(self, position: Mapping[str, int], window: Window, labels: np.ndarray, prob: np.ndarray) -> None:
        """Write the outlines of the objects of a volume in the slices of a block.

        Parameters
        ----------
        position
            Of the volume along the looped axes.
        window
            Where the block lies in the volume: Z, Y, X.
        labels
            1 to the number of objects, 0 is no object.
        prob
            Object probability of all objects of the volume.
        """
        from scipy.ndimage import find_objects
        from skimage.measure import find_contours

        offset = np.array([window[2].start, window[1].start])
        for z, plane in enumerate(labels, start=window[0].start):
            indices, ranks = np.unique(plane, return_inverse=True)
            boxes = find_objects(ranks.reshape(plane.shape) + int(indices[0] > 0))
            for index, where in zip(indices[indices > 0], boxes, strict=True):
                outlines = find_contours(np.pad(plane[where] == index, 1), 0.5)
                corner = np.array([where[1].start, where[0].start]) - 1 + offset
                outline = max(outlines, key=len)[:-1, ::-1] + corner
                name = f"{self._name(position, index - 1, prob)}-z{z + 1:03d}"
                self._write(name, outline, {**position, "Z": z})

    @staticmethod
    def _name(position: Mapping[str, int], index: int, prob: np.ndarray) -> str:
        before = "".join(f"{axis.lower()}{position[axis] + 1:03d}-" for axis in "TZC" if axis in position)
        return f"{before}{CLASS}-{index + 1:05d}-{prob[index]:.3f}"

    def _write(self, name: str, outline: np.ndarray, position: Mapping[str, int]) -> None:
        if self._count == MOST:
            self.left_out += 1
            return
        self._count += 1
        roi = ImagejRoi.frompoints((outline + 0.5).astype(np.float32), name=name)
        roi.roitype = ROI_TYPE.POLYGON
        several = [axis for axis, size in self._sizes.items() if size > 1]
        if several in (["T"], ["Z"]):
            roi.position = position.get(several[0], 0) + 1
        elif several:
            roi.t_position, roi.z_position, roi.c_position = (
                position[axis] + 1 if axis in position and self._sizes[axis] > 1 else 0 for axis in "TZC"
            )
        self._zip.writestr(f"{name}.roi", roi.tobytes())
