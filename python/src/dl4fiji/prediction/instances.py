"""Run a network that finds objects: a label image, ROIs, and a table of objects."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from dl4fiji.data.image import ImageSource
from dl4fiji.data.normalization import Scale
from dl4fiji.data.writer import ImageWriter
from dl4fiji.errors import ConflictError
from dl4fiji.model import ModelFolder, ModelInfo
from dl4fiji.networks import get
from dl4fiji.networks.stardist import rays_of
from dl4fiji.networks.stardist_options import grid_of
from dl4fiji.options import check_options
from dl4fiji.prediction.detection import Candidates, Detector, ReachError
from dl4fiji.prediction.objects import Measurements, ObjectTable, draw
from dl4fiji.prediction.predictor import STORED, Predictor, Thresholds
from dl4fiji.prediction.rois import MOST, RoiZip
from dl4fiji.prediction.runners import Backend
from dl4fiji.prediction.samples import ArrayImage, Image, Layout, from_network, to_network
from dl4fiji.prediction.shapes import Polygons, Polyhedra, Shapes
from dl4fiji.prediction.tiling import Tile, Window, predict_tiles
from dl4fiji.progress import Progress, SilentProgress, stop_if_canceled

PROBABILITY, OVERLAP = 0.5, 0.4
"""Thresholds of a model that stores none, those of stardist."""

LABELS = "labels"
"""Name of the main result."""

ROIS, TABLE = "_rois.zip", "_objects.csv"
"""Endings of the files beside the label image."""

Found = list[tuple[dict[str, int], Candidates]]
"""Objects of each plane or volume and its position along the looped axes."""


class InstancePredictor(Predictor):
    """A trained model whose task is ``instances``; see `Predictor` for what they have in common.

    Label images are 16-bit; with more than 65 535 objects in a plane or volume they are 32-bit floating point, the
    only type of ImageJ that holds such numbers. Labels are unique per plane or volume, 1 being the most probable one.
    """

    def __init__(
        self,
        folder: ModelFolder,
        which: str = "best",
        backend: Backend = "auto",
        thresholds: Thresholds = STORED,
    ) -> None:
        super().__init__(folder, which, backend, thresholds)
        self.shapes, self.grid = shapes_and_grid(self.info)
        stored = stored_thresholds(self.info)
        self.thresholds = Thresholds(thresholds.probability or stored.probability, thresholds.overlap or stored.overlap)
        # Beside what the layers take there is the output, at the size of the image and once more in our hands.
        self._bytes_per_pixel += 8 * (1 + self.shapes.rays)

    def predict_arrays(self, image: np.ndarray, axes: str, tile_size: int = 0) -> dict[str, np.ndarray]:
        """Return ``labels`` for ``image`` (axes ``axes``): integers, 0 where there is no object, without channels."""
        source = ArrayImage(image, axes)
        layout = Layout.of(source, self.recipe, "The image")
        found = self._find(source, layout, tile_size, SilentProgress(), (0, 0))
        own, shape = layout.result_axes(axes, 1)
        labels = np.zeros(shape, _label_type(found))
        for position, objects in found:
            for window, block in draw(self.shapes, objects, layout.shape):
                parts: dict[str, Any] = {**position, **dict(zip(layout.spatial, window, strict=True))}
                left = "".join(axis for axis in own if axis not in position)
                labels[tuple(parts.get(axis, slice(None)) for axis in own)] = from_network(
                    block[..., np.newaxis], layout.spatial, left
                )
        return {LABELS: labels}

    def predict_array(self, image: np.ndarray, axes: str, tile_size: int = 0) -> np.ndarray:
        """Return the label image, see `predict_arrays`."""
        return self.predict_arrays(image, axes, tile_size)[LABELS]

    def find(self, x: np.ndarray) -> Candidates:
        """Return the objects in ``x`` (spatial, C), normalized, the most probable first."""
        tiles = self._tiles(x.shape[:-1], 0, *self._budget())
        return self._detect(lambda window: x[window], x.shape[:-1], tiles, SilentProgress(), (0, 0))

    def output_paths(self, path: Path) -> list[Path]:
        """Return the files that `predict_file` writes for ``path``: label image, ROIs, table."""
        return [path, path.with_name(path.stem + ROIS), path.with_name(path.stem + TABLE)]

    def predict_file(
        self,
        path: Path,
        out_path: Path,
        tile_size: int = 0,
        axes: str = "",
        progress: Progress | None = None,
        told: tuple[int, int] = (0, 0),
    ) -> list[Path]:
        """Find the objects in a file, see `Predictor.predict_file`; their number is in `counts`."""
        progress = progress or SilentProgress()
        source = self.open(path, axes)
        paths = self.output_paths(out_path)
        for existing in paths:
            if existing.exists():
                raise ConflictError(f"{existing} exists already: move it or choose another folder for the results.")
        layout = Layout.of(source, self.recipe, f"{path.name} in {path.parent}")
        found = self._find(source, layout, tile_size, progress, told)
        self.counts[str(out_path)] = self._write(source, layout, found, paths, progress)
        return paths

    def _find(self, source: Image, layout: Layout, tile_size: int, progress: Progress, told: tuple[int, int]) -> Found:
        """Return the objects of all planes or volumes of an image."""
        found: dict[tuple[int, ...], tuple[dict[str, int], Candidates]] = {}

        def run(
            sample: Image,
            position: dict[str, int],
            scale: Scale,
            tiles: list[Tile],
            progress: Progress,
            told: tuple[int, int],
        ) -> None:
            read = self._reader(sample, scale)
            found[tuple(position.values())] = position, self._detect(read, layout.shape, tiles, progress, told)

        self._predict(source, layout, run, tile_size, progress, told)
        return list(found.values())

    def _detect(
        self,
        read: Callable[[Window], np.ndarray],
        shape: tuple[int, ...],
        tiles: list[Tile],
        progress: Progress,
        told: tuple[int, int],
    ) -> Candidates:
        """Return the objects of a plane or volume."""
        reach: np.ndarray | None = None
        start = partial(
            Detector, self.shapes, shape, self.grid, self.thresholds.probability, self.thresholds.overlap,
            progress=progress,
        )  # fmt: skip
        while True:
            detector = start(reach=reach)
            try:
                predict_tiles(self.runner, read, detector.add, shape, tiles, progress, told)
                return detector.objects()
            except ReachError as error:
                # Objects are so unlike in size that the small ones were settled too early.
                reach = 2 * error.reach if reach is None else np.maximum(2 * reach, 2 * error.reach)

    def _write(self, source: ImageSource, layout: Layout, found: Found, paths: list[Path], progress: Progress) -> int:
        """Write label image, ROIs and table of an image; return the number of objects."""
        own, shape = layout.result_axes(source.axes, 1)
        most = max(1, *(len(objects) for _, objects in found)) if found else 1
        ranges = ((0.0, float(most)),) * dict(zip(own, shape, strict=True)).get("C", 1)
        metadata = replace(source.metadata, display_ranges=ranges, luts=(), channel_names=())
        channels = self.recipe.channels_in
        total = 0
        with ExitStack() as stack:
            # The label image appears last: where it is, the others are.
            writer = stack.enter_context(ImageWriter(paths[0], own, shape, _label_type(found), metadata))
            rois = stack.enter_context(RoiZip(paths[1], layout.sizes))
            table = stack.enter_context(
                ObjectTable(paths[2], layout.looped, len(layout.spatial), channels, source.metadata)
            )
            for position, objects in found:
                measured = Measurements(len(objects), len(layout.spatial), channels)
                sample = source.at(**position)
                for window, labels in draw(self.shapes, objects, layout.shape):
                    stop_if_canceled(progress)
                    parts = dict(zip(layout.spatial, window, strict=True))
                    left = "".join(axis for axis in own if axis not in position)
                    block = from_network(labels[..., np.newaxis], layout.spatial, left)
                    writer.write(block.astype(writer.dtype), **position, **parts)
                    measured.add(window, labels, to_network(sample.region(**parts), sample.axes, layout.spatial))
                    if isinstance(self.shapes, Polyhedra):
                        rois.add_slices(position, window, labels, objects.prob)
                if isinstance(self.shapes, Polygons):
                    rois.add_polygons(position, self.shapes, objects, measured.pixels > 0)
                total += table.add(position, objects.prob, measured)
        if rois.left_out:
            progress.warning(
                f"{paths[1].name} holds the first {MOST} outlines; {rois.left_out} more would slow ImageJ down and "
                "are in the label image and the table alone."
            )
        return total


def shapes_and_grid(info: ModelInfo) -> tuple[Shapes, tuple[int, ...]]:
    """Return what objects of a model look like, and pixels per place of its grid."""
    network = get(info.network)
    options: Any = check_options(network.Options, info.options, network.title)
    if network.axes == "YXC":
        return Polygons(options.rays), grid_of(options)
    return Polyhedra(rays_of(options)), grid_of(options)


def labels_of(info: ModelInfo, output: np.ndarray) -> np.ndarray:
    """Return the label image (spatial, int32) of a network's whole output (spatial, 1 + rays)."""
    shapes, grid = shapes_and_grid(info)
    shape = output.shape[:-1]
    thresholds = stored_thresholds(info)
    detector = Detector(shapes, shape, grid, thresholds.probability, thresholds.overlap)
    detector.add(tuple(slice(0, size) for size in shape), output)
    objects = detector.objects()
    return shapes.render(objects.points, objects.dist, (0,) * len(shape), shape)


def stored_thresholds(info: ModelInfo) -> Thresholds:
    """Return the thresholds that were found in the training, or stardist's where none were."""
    return Thresholds(info.thresholds.get("probability", PROBABILITY), info.thresholds.get("nms", OVERLAP))


def open_predictor(
    folder: ModelFolder, which: str = "best", backend: Backend = "auto", thresholds: Thresholds = STORED
) -> Predictor:
    """Return a model ready to run, of the kind that its task asks for; parameters and errors as of `Predictor`."""
    kind = InstancePredictor if get(folder.read().network).task == "instances" else Predictor
    return kind(folder, which, backend, thresholds)


def _label_type(found: Found) -> np.dtype:
    """Return the type of label images."""
    most = max((len(objects) for _, objects in found), default=0)
    return np.dtype(np.uint16 if most <= np.iinfo(np.uint16).max else np.uint32)
