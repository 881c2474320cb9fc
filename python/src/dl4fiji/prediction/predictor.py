"""Run a trained model on arrays and files, in memory that depends on the tile and not on the image."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from dl4fiji.data.image import ImageSource, open_image
from dl4fiji.data.metadata import Metadata
from dl4fiji.data.normalization import Scale, fit
from dl4fiji.data.writer import ImageWriter
from dl4fiji.errors import ConflictError, InputError, ResourceError
from dl4fiji.model import ModelFolder, ModelInfo
from dl4fiji.network import Output
from dl4fiji.networks import get
from dl4fiji.options import check_options
from dl4fiji.prediction.cores import choose_core
from dl4fiji.prediction.recipe import Recipe
from dl4fiji.prediction.runners import Backend, open_runner
from dl4fiji.prediction.samples import ArrayImage, Image, Layout, from_network, to_network
from dl4fiji.prediction.tiling import Tile, Window, overread, plan, predict_tiles
from dl4fiji.progress import Progress, SilentProgress

_MIB = 2**20
BUDGET = 1280 * _MIB
"""Memory that a tile may take in the network, unless smaller tiles would be mostly halo."""

WASTEFUL = 16
"""How often each pixel may be seen before that is worth a warning."""

BYTES_PER_FILTER = 40
"""Memory per pixel and filter of the first level; measured with ONNX Runtime: 20 to 39 for CARE 2D and 3D."""

BYTES_PER_CHANNEL = 13
"""The same per channel that the network's largest layer takes in and puts out; 96 of them for CARE with 32 filters."""

MASK = "mask"
"""Name of the result of segmentation beside the probability."""

RETRIES = 4
"""How often tiles are made four times smaller when memory does not suffice."""


@dataclass(frozen=True)
class Thresholds:
    """Thresholds given for a prediction; 0 takes the one stored with the model.

    Parameters
    ----------
    probability
        Of masks: from this probability on a pixel is foreground; of objects: candidates are more probable than this.
    overlap
        Of objects: one is dropped if it shares more than this part of the smaller one with a more probable one.
    """

    probability: float = 0.0
    overlap: float = 0.0


STORED = Thresholds()


def check_thresholds(info: ModelInfo, thresholds: Thresholds) -> None:
    """Raise InputError if a model has no use for a threshold that is given."""
    task = get(info.network).task
    given = {"probability_threshold": thresholds.probability, "nms_threshold": thresholds.overlap}
    useful = {"segmentation": ["probability_threshold"], "instances": list(given)}.get(task, [])
    for name, value in given.items():
        if value and name not in useful:
            what = "masks, not objects" if task == "segmentation" else "images, neither masks nor objects"
            raise InputError(f"The model {info.name!r} makes {what}: leave {name} out.")


SampleRun = Callable[[Image, dict[str, int], Scale, list[Tile], Progress, tuple[int, int]], None]
"""Runs one plane or volume: it, its position along the looped axes, its normalization, tiles, whom to tell."""


class Predictor:
    """A trained model, ready to run.

    Parameters
    ----------
    folder
        The model.
    which
        ``best`` or ``last`` weights.
    backend
        ``onnx``, ``tensorflow``, or ``auto``, see `open_runner`.
    thresholds
        Thresholds to use in place of those stored with the model.

    Raises
    ------
    NotFoundError
        If there is no such model.
    InputError
        If a threshold is given that the model has no use for.
    """

    def __init__(
        self,
        folder: ModelFolder,
        which: str = "best",
        backend: Backend = "auto",
        thresholds: Thresholds = STORED,
    ) -> None:
        self.info = folder.read()
        check_thresholds(self.info, thresholds)
        self.recipe = Recipe.of(self.info)
        if thresholds.probability:
            self.recipe = replace(self.recipe, threshold=thresholds.probability)
        self.runner = open_runner(folder, which, backend)
        self._bytes_per_pixel = bytes_per_pixel(self.info)
        self.counts: dict[str, int] = {}
        """Objects found, by the file of their label image; only networks that find objects fill it."""

    @property
    def outputs(self) -> tuple[Output, ...]:
        """The outputs, the main one first."""
        return self.recipe.outputs

    def predict_array(self, image: np.ndarray, axes: str, tile_size: int = 0) -> np.ndarray:
        """Return the main output for ``image`` (axes ``axes``), in the units of the image.

        Axes as those of ``image`` where the numbers of channels agree.
        """
        return self.predict_arrays(image, axes, tile_size)[self.outputs[0].name]

    def predict_arrays(self, image: np.ndarray, axes: str, tile_size: int = 0) -> dict[str, np.ndarray]:
        """Return all outputs for ``image`` (axes ``axes``), in the units of the image where they have such.

        Of segmentation ``mask``, too, in the values that masks had in training.
        """
        source = ArrayImage(image, axes)
        layout = Layout.of(source, self.recipe, "The image")
        results, sinks = {}, {}
        for output in self.outputs:
            own, shape = layout.result_axes(axes, output.channels[1] - output.channels[0])
            results[output.name] = np.empty(shape, np.float32)
            sinks[output.name] = (own, _array_writer(results[output.name], own))
        if self.recipe.classes:
            own, shape = layout.result_axes(axes, 1)
            results[MASK] = np.empty(shape, self.recipe.mask_type)
            sinks[MASK] = (own, _array_writer(results[MASK], own))
        self._predict(source, layout, self._into(layout, sinks), tile_size, SilentProgress(), (0, 0))
        return results

    def predict_normalized(self, x: np.ndarray) -> np.ndarray:
        """Return all channels of the bare network for ``x`` (spatial, C), normalized, as a whole and of any size."""
        shape = x.shape[:-1]
        whole = tuple(-(-size // step) * step for size, step in zip(shape, self.recipe.divisor, strict=True))
        result: list[np.ndarray] = []
        predict_tiles(
            self.runner,
            lambda window: x[window],
            lambda _, pixels: result.append(pixels),
            shape,
            plan(shape, whole, self.recipe.divisor, self.recipe.halo),
            SilentProgress(),
        )
        return result[0]

    def output_paths(self, path: Path) -> list[Path]:
        """Return the files that `predict_file` writes for ``path``: one per output, and the mask of segmentation."""
        names = [output.name for output in self.outputs[1:]] + ([MASK] if self.recipe.classes else [])
        return [path, *(path.with_name(f"{path.stem}_{name}{path.suffix}") for name in names)]

    def open(self, path: Path, axes: str = "") -> ImageSource:
        """Open an image as this model takes it: color images that are grey in fact as one channel."""
        source = open_image(path, axes)
        return source.as_grey() if self.recipe.channels_in == 1 else source

    def count_tiles(self, path: Path, tile_size: int = 0, axes: str = "") -> int:
        """Return how many tiles an image has; DataError if it cannot be read or does not fit the model."""
        source = self.open(path, axes)
        layout = Layout.of(source, self.recipe, f"{path.name} in {path.parent}")
        return layout.count * len(self._tiles(layout.shape, tile_size, *self._budget()))

    def predict_file(
        self,
        path: Path,
        out_path: Path,
        tile_size: int = 0,
        axes: str = "",
        progress: Progress | None = None,
        told: tuple[int, int] = (0, 0),
    ) -> list[Path]:
        """Run the model on a file; results keep its axes, calibration and channel names.

        Parameters
        ----------
        path
            The image.
        out_path
            The TIFF to write the main output to; further outputs are written beside it.
        tile_size
            Side of a tile along Y and X in pixels; 0 chooses by the memory at hand.
        axes
            Axes of the file; empty: read from it.
        progress
            Told after each tile; a cancel is noticed there.
        told
            Tiles done before this file and tiles of the whole job.

        Returns
        -------
        list
            The files written.

        Raises
        ------
        DataError
            If the file cannot be read or does not fit the model.
        ConflictError
            If a result exists already; nothing is ever written over.
        ResourceError
            If memory or disk do not suffice.
        """
        source = self.open(path, axes)
        paths = self.output_paths(out_path)
        for existing in paths:
            if existing.exists():
                raise ConflictError(f"{existing} exists already: move it or choose another folder for the results.")
        layout = Layout.of(source, self.recipe, f"{path.name} in {path.parent}")
        with ExitStack() as stack:
            sinks = {}
            for output, target in zip(self.outputs, paths, strict=False):
                own, shape = layout.result_axes(source.axes, output.channels[1] - output.channels[0])
                metadata = _carried(source.metadata, output, self.recipe)
                writer = stack.enter_context(ImageWriter(target, own, shape, np.float32, metadata))
                sinks[output.name] = (own, writer.write)
            if self.recipe.classes:
                own, shape = layout.result_axes(source.axes, 1)
                metadata = replace(source.metadata, display_ranges=())
                writer = stack.enter_context(ImageWriter(paths[-1], own, shape, self.recipe.mask_type, metadata))
                sinks[MASK] = (own, writer.write)
            run = self._into(layout, sinks)
            self._predict(source, layout, run, tile_size, progress or SilentProgress(), told)
        return paths

    def _budget(self) -> tuple[int, int]:
        """Return how many pixels the network may see at a time, and how many where that wastes too much."""
        import psutil

        free = psutil.virtual_memory().available
        usual, most = int(min(BUDGET, 0.4 * free)), int(0.4 * free)
        return usual // self._bytes_per_pixel, most // self._bytes_per_pixel

    def _tiles(self, shape: tuple[int, ...], tile_size: int, budget: int, most: int) -> list[Tile]:
        recipe = self.recipe
        fixed = tuple(tile_size if axis in "YX" else 0 for axis in recipe.spatial)
        core = choose_core(shape, recipe.divisor, recipe.halo, budget, fixed, most)
        return plan(shape, core, recipe.divisor, recipe.halo)

    def _predict(
        self,
        source: Image,
        layout: Layout,
        run: SampleRun,
        tile_size: int,
        progress: Progress,
        told: tuple[int, int],
    ) -> None:
        """Run all samples of an image; on lack of memory go on with smaller tiles."""
        budget, most = self._budget()
        tiles = self._tiles(layout.shape, tile_size, budget, most)
        self._warn_of_waste(layout.shape, tiles, progress)
        total = told[1] or layout.count * len(tiles)
        for number, position in enumerate(layout.positions()):
            sample: Any = source.at(**position)
            scale = fit(self.info.normalization, sample)
            for attempt in range(RETRIES + 1):
                done = min(told[0] + number * len(tiles), total)
                try:
                    run(sample, position, scale, tiles, progress, (done, total))
                    break
                except MemoryError as error:
                    if attempt == RETRIES:
                        raise ResourceError(
                            "There is not enough memory for this model even in small tiles: close other programs, "
                            "or run it on a machine with more memory."
                        ) from error
                    pixels = max(int(np.prod([part.stop - part.start for part in tile.read])) for tile in tiles)
                    budget = min(budget, pixels // 4)
                    tiles = self._tiles(layout.shape, 0, budget, pixels // 4)
                    progress.warning("Memory did not suffice for a tile, so the tiles were made smaller.")
                    self._warn_of_waste(layout.shape, tiles, progress)

    def _warn_of_waste(self, shape: tuple[int, ...], tiles: list[Tile], progress: Progress) -> None:
        """Tell why it will take long, where tiles are mostly halo."""
        waste = overread(shape, tiles)
        if waste > WASTEFUL:
            far = max(self.recipe.halo)
            progress.warning(
                f"This network looks {far} pixels far and the memory allows small tiles only, so each pixel is seen "
                f"{waste:.0f} times and the prediction takes as many times as long: close other programs, or use a "
                "machine with more memory."
            )

    def _into(self, layout: Layout, sinks: dict[str, tuple[str, Callable[..., None]]]) -> SampleRun:
        """Return what runs one plane or volume and writes all outputs into ``sinks`` (axes, writer)."""

        def write(window: Window, pixels: np.ndarray, position: dict[str, int], scale: Scale) -> None:
            results = {
                output.name: self._in_units(pixels[..., slice(*output.channels)], scale, output)
                for output in self.outputs
            }
            if self.recipe.classes:
                results[MASK] = self.recipe.mask(pixels[..., slice(*self.outputs[0].channels)])
            for name, values in results.items():
                axes, sink = sinks[name]
                left = "".join(axis for axis in axes if axis not in position)
                sink(from_network(values, layout.spatial, left), **position, **_parts(layout.spatial, window))

        def run(
            sample: Image,
            position: dict[str, int],
            scale: Scale,
            tiles: list[Tile],
            progress: Progress,
            told: tuple[int, int],
        ) -> None:
            keep = partial(write, position=position, scale=scale)
            predict_tiles(self.runner, self._reader(sample, scale), keep, layout.shape, tiles, progress, told)

        return run

    def _reader(self, sample: Image, scale: Scale) -> Callable[[Window], np.ndarray]:
        """Return what reads the normalized pixels (spatial, C) of a window."""
        spatial = self.recipe.spatial

        def read(window: Window) -> np.ndarray:
            return scale.apply(to_network(sample.region(**_parts(spatial, window)), sample.axes, spatial))

        return read

    def _in_units(self, values: np.ndarray, scale: Scale, output: Output) -> np.ndarray:
        """Return an output (…, C) in the units of the image, where it has such."""
        if not self.recipe.image_units:
            return values
        return values * np.asarray(scale.scale, np.float32) if output.spread else scale.undo(values)


def bytes_per_pixel(info: ModelInfo) -> int:
    """Return the memory that a network takes per pixel of a tile."""
    network = get(info.network)
    options = check_options(network.Options, info.options, network.title)
    largest = network.footprint(options, info.channels_in, info.channels_out).largest
    filters = int(info.options.get("first_filters", 32))
    return int(max(BYTES_PER_FILTER * filters, BYTES_PER_CHANNEL * largest))


def _parts(spatial: str, window: Window) -> dict[str, slice]:
    return dict(zip(spatial, window, strict=True))


def _array_writer(result: np.ndarray, axes: str) -> Callable[..., None]:
    """Return a function that writes into an array as `ImageWriter.write` writes into a file."""

    def write(pixels: np.ndarray, **parts: slice | int) -> None:
        result[tuple(parts.get(axis, slice(None)) for axis in axes)] = pixels

    return write


def _carried(metadata: Metadata, output: Output, recipe: Recipe) -> Metadata:
    """Return what a result carries over; display limits only where it has the units of the image."""
    return metadata if recipe.image_units and not output.spread else replace(metadata, display_ranges=())
