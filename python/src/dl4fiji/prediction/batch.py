"""Run a model on an image or a folder of images."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from dl4fiji.data.image import list_images
from dl4fiji.errors import ConflictError, DataError, DL4FijiError, NotFoundError
from dl4fiji.model import ModelFolder
from dl4fiji.prediction.instances import open_predictor
from dl4fiji.prediction.predictor import STORED, Predictor, Thresholds
from dl4fiji.progress import Progress


def predict_files(
    model: ModelFolder,
    which: str,
    source: Path,
    output: Path,
    axes: str,
    tile_size: int,
    progress: Progress,
    thresholds: Thresholds = STORED,
) -> dict[str, Any]:
    """Run a model on a file or on all images of a folder; results bear the names of the images.

    A file that cannot be read or does not fit is listed and does not stop the others. Existing results are kept
    and their images passed over, so that a batch that was stopped goes on where it was.

    Parameters
    ----------
    model, which
        The model and its weights, ``best`` or ``last``.
    source
        An image or a folder.
    output
        The folder for the results; made if it is not there.
    axes
        Axes of the files; empty: read from them.
    tile_size
        Side of a tile along Y and X in pixels; 0 chooses.
    progress
        Told file by file and tile by tile.
    thresholds
        Those to use in place of the stored ones; images that come out of restoration have none.

    Returns
    -------
    dict
        ``files`` (written), ``folder``, ``skipped`` (results that exist), ``failed`` (``file`` and ``error`` each), and
        ``objects``: their number by the file of the label image, of networks that find objects.

    Raises
    ------
    NotFoundError
        If there is no such source.
    DataError
        If no image could be run.
    ConflictError
        If all results exist already.
    """
    images = _images(source)
    if output.resolve() == images[0].parent.resolve():
        raise ConflictError(f"The results would lie among the images in {output}: choose another folder for them.")
    progress.phase("Loading the model")
    predictor = open_predictor(model, which, thresholds=thresholds)
    targets = _targets(images, output)
    counts, failed = _count(predictor, images, axes, tile_size)
    total, done = sum(counts.values()), 0
    written: list[str] = []
    skipped: list[str] = []
    for number, image in enumerate(images, start=1):
        if image not in counts:
            continue
        progress.phase(f"Predicting {image.name} ({number} of {len(images)}), {predictor.runner.title}")
        try:
            files = predictor.predict_file(image, targets[image], tile_size, axes, progress, (done, total))
            written += [str(file) for file in files]
        except ConflictError:
            skipped.append(str(targets[image]))
            progress.warning(f"{targets[image]} exists already and was kept.")
        except DataError as error:
            failed.append({"file": str(image), "error": error.message})
        done += counts[image]
    for failure in failed:
        progress.warning(failure["error"])
    _raise_if_nothing(written, skipped, failed)
    counted = {"objects": predictor.counts} if predictor.counts else {}
    return {"files": written, "folder": str(output), "skipped": skipped, "failed": failed, **counted}


def _images(source: Path) -> list[Path]:
    if not source.exists():
        raise NotFoundError(f"There is no {source}: give an image or a folder of images.")
    return [source] if source.is_file() else list_images(source)


def _targets(images: list[Path], output: Path) -> dict[Path, Path]:
    """Return the result's file per image; images that differ in their ending alone keep it in the name."""
    stems = Counter(image.stem for image in images)
    return {
        image: output / (f"{image.stem}.tif" if stems[image.stem] == 1 else f"{image.name}.tif") for image in images
    }


def _count(
    predictor: Predictor, images: list[Path], axes: str, tile_size: int
) -> tuple[dict[Path, int], list[dict[str, str]]]:
    """Return the number of tiles per image that can be run, and what is wrong with the others."""
    counts: dict[Path, int] = {}
    failed: list[dict[str, str]] = []
    for image in images:
        try:
            counts[image] = predictor.count_tiles(image, tile_size, axes)
        except DataError as error:
            failed.append({"file": str(image), "error": error.message})
    return counts, failed


def _raise_if_nothing(written: list[str], skipped: list[str], failed: list[dict[str, str]]) -> None:
    """Raise the error that explains why nothing was written."""
    if written:
        return
    if skipped and not failed:
        raise ConflictError(f"All results exist already, such as {skipped[0]}: choose another folder for them.")
    if failed:
        problems = [failure["error"] for failure in failed]
        error: type[DL4FijiError] = DataError
        raise error(problems[0], problems)
