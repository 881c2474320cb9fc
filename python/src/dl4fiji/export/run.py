"""Export a trained model: package, zips and certificate."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout

from dl4fiji import networks
from dl4fiji.data.metadata import Metadata
from dl4fiji.data.normalization import FixedNormalization, fit
from dl4fiji.data.writer import write_image
from dl4fiji.errors import ConflictError, DL4FijiError, NotFoundError, ResourceError
from dl4fiji.export import bioimageio as names
from dl4fiji.export import readme
from dl4fiji.export.archive import write_zip, zip_folder
from dl4fiji.export.certificate import TOLERANCE, Probe, certify
from dl4fiji.export.cover import write_cover
from dl4fiji.export.fiji_plugins import plugin_zip, write_plugin_zip
from dl4fiji.export.frozen_graph import OUTPUT, FrozenGraph, freeze, write_saved_model
from dl4fiji.export.onnx import check_onnx, to_onnx
from dl4fiji.export.package_check import Finding, check_package
from dl4fiji.export.replace import replace_folder, restore_folder
from dl4fiji.export.serving import image_function, network_function, tile_function
from dl4fiji.files import require_space, write_bytes, write_json, write_text
from dl4fiji.home import Home
from dl4fiji.keras_setup import import_tensorflow
from dl4fiji.model import ModelFolder, ModelInfo
from dl4fiji.network import Network
from dl4fiji.prediction.instances import labels_of
from dl4fiji.prediction.keras_model import load_keras_model
from dl4fiji.prediction.recipe import Recipe
from dl4fiji.progress import Progress, SilentProgress, stop_if_canceled, try_or_warn
from dl4fiji.quality_control.report import write_report

_LOCK = ".export.lock"
_PROBE_PLANE = 256
_PROBE_VOLUME = {"Z": 24, "Y": 96, "X": 96}


@dataclass(frozen=True)
class _Model:
    """A trained model, ready to be exported."""

    info: ModelInfo
    network: Network
    recipe: Recipe
    keras: Any


def export_model(
    folder: ModelFolder,
    which: str = "best",
    progress: Progress | None = None,
    certify: bool = True,
    home: Home | None = None,
) -> dict[str, Any]:
    """Export a trained model for Fiji: ``package/``, its zip, the zip for a plugin of Fiji, the certificate.

    What a former export left is replaced only when the new one is whole and passes our own check.

    Parameters
    ----------
    folder
        The model's folder; it gets the files named in `ModelFolder`, and ``weights/<which>.onnx``.
    which
        ``best`` or ``last`` weights.
    progress
        Told what happens; a cancel is noticed between steps.
    certify
        Run the export in Fiji's engines; they are fetched once.
    home
        Where the engines are kept; by default the user's.

    Returns
    -------
    dict
        ``package``, ``package_zip``, ``csbdeep_zip`` or ``stardist_zip`` (paths), ``certificate`` (engine to
        ``loaded``, ``max_difference``, …) and ``findings`` of the check that are not good.

    Raises
    ------
    NotFoundError
        If the model or its weights are not there.
    ConflictError
        If it is being exported already.
    ResourceError
        If its folder cannot be written.
    DL4FijiError
        If the export does not compute what the network computes.
    """
    progress = progress or SilentProgress()
    home = home or Home.default()
    info = folder.read()
    weights, samples = folder.weights(which), folder.samples_file
    for file in (weights, samples):
        if not file.is_file():
            raise NotFoundError(f"The model {info.name!r} lacks {file}: train it again.")
    require_space(folder.path, 12 * weights.stat().st_size + (64 << 20), "exporting the model")
    with _alone(folder):
        progress.phase("Loading the trained network")
        network = networks.get(info.network)
        model = _Model(info, network, Recipe.of(info), load_keras_model(folder, which))
        return _export(model, folder, which, progress, certify, home)


@contextmanager
def _alone(folder: ModelFolder) -> Iterator[None]:
    """Hold the model's folder for one export, and clear what an export that was killed has left."""
    try:
        with FileLock(folder.path / _LOCK, timeout=0):
            restore_folder(folder.package)
            for left in [*folder.path.glob(".*"), *folder.weights().parent.glob(".*")]:
                if left.is_dir():
                    shutil.rmtree(left, ignore_errors=True)
                elif left.name != _LOCK:
                    left.unlink(missing_ok=True)
            yield
    except Timeout as error:
        raise ConflictError(f"The model {folder.name!r} is being exported already: wait until that ends.") from error
    except PermissionError as error:
        raise ResourceError(
            f"The folder {folder.path} cannot be written: allow it, or copy the model elsewhere and export it there."
        ) from error


def _export(
    model: _Model, folder: ModelFolder, which: str, progress: Progress, certified: bool, home: Home
) -> dict[str, Any]:
    """Write everything, the package last."""
    probe = _probe(model, folder.samples_file)
    with tempfile.TemporaryDirectory(prefix="dl4fiji-export-") as scratch:
        staged = Path(tempfile.mkdtemp(prefix=".package.", dir=folder.path))
        try:
            certificate = _fill(model, folder, which, probe, staged, Path(scratch), progress, certified, home)
            findings = _checked(staged, progress)
            stop_if_canceled(progress)
            replace_folder(staged, folder.package)
        finally:
            shutil.rmtree(staged, ignore_errors=True)
    progress.phase("Packing")
    if certificate:
        write_json(folder.certificate_file, certificate)
    zip_folder(folder.package, folder.package_zip)
    zipped = plugin_zip(folder, model.network)
    progress.phase("Writing the report")  # once more: it tells of the certificate
    try_or_warn(lambda: write_report(folder), "The report could not be written", progress)
    return {
        "package": str(folder.package),
        "package_zip": str(folder.package_zip),
        ("stardist_zip" if zipped == folder.stardist_zip else "csbdeep_zip"): str(zipped),
        "certificate": (certificate or {}).get("engines", {}),
        "findings": [vars(finding) for finding in findings if finding.status != "good"],
    }


def _probe(model: _Model, samples: Path) -> Probe:
    """Return the middle of the validation sample and what the network makes of it, on the CPU.

    A GPU may round convolutions to 10 bits; what Fiji gives is compared with the exact values.
    """
    with np.load(samples, allow_pickle=False) as stored:
        image = np.asarray(stored["input"], np.float32)
    limits = _PROBE_VOLUME if "Z" in model.recipe.spatial else dict.fromkeys("YX", _PROBE_PLANE)
    crop = []
    for axis, size in zip(model.recipe.spatial, image.shape[:-1], strict=True):
        count = min(size, limits[axis])
        crop.append(slice((size - count) // 2, (size - count) // 2 + count))
    x = image[tuple(crop)][np.newaxis]
    tf = import_tensorflow()
    with tf.device("/CPU:0"):
        expected = image_function(tf, model.keras, model.recipe)(tf.constant(x))
    expected = {name: value.numpy() for name, value in expected.items()}
    scale = min(fit(model.info.normalization, x[0], model.recipe.axes).scale) if model.recipe.image_units else 1.0
    return Probe(x, expected, scale)


def _fill(
    model: _Model,
    folder: ModelFolder,
    which: str,
    probe: Probe,
    staged: Path,
    scratch: Path,
    progress: Progress,
    certified: bool,
    home: Home,
) -> dict[str, Any] | None:
    """Write all files of the package into ``staged``, and the zip for a plugin and the bare ONNX beside it."""
    _write_graphs(model, folder, which, probe, staged, scratch, progress)
    stop_if_canceled(progress)
    _write_companions(model, folder, which, probe, staged)
    certificate = None
    if certified:
        certificate = certify(scratch / "saved_model", staged / names.ONNX, probe, home, progress)
        write_json(staged / names.CERTIFICATE, certificate)
        for name, entry in certificate["engines"].items():
            if entry["tried"] and not entry["agrees"]:
                progress.warning(f"The exported model does not agree with Python in {name}: {entry['reason']}")
            elif not entry["tried"]:
                progress.warning(f"{name} was {entry['reason']}")
    write_text(staged / names.README, readme.render(model.info, model.network, model.recipe, certificate))
    largest = max(float(np.max(value)) for value in probe.expected.values())
    tolerance = float(min(TOLERANCE * probe.scale, 0.005 * largest)) if largest > 0 else 0.0
    content = names.describe(model.info, model.network, model.recipe, staged, max(tolerance, 0.0))
    names.write_rdf(content, staged)
    return certificate


def _write_graphs(
    model: _Model, folder: ModelFolder, which: str, probe: Probe, staged: Path, scratch: Path, progress: Progress
) -> None:
    """Write the network in all its exported forms; ONNX is compared with Keras at once."""
    tf = import_tensorflow()
    shape = [None] * len(model.recipe.axes) + [model.recipe.channels_in]
    progress.phase("Freezing the network for Fiji")
    frozen: FrozenGraph = freeze(image_function(tf, model.keras, model.recipe), shape, [OUTPUT], model.keras)
    saved_model = scratch / "saved_model"
    write_saved_model(frozen, saved_model)
    files = [(file.relative_to(saved_model).as_posix(), file) for file in saved_model.rglob("*") if file.is_file()]
    write_zip(staged / names.SAVED_MODEL, files, folders=["variables"])
    bare = freeze(network_function(tf, model.keras), shape, [OUTPUT], model.keras)
    tiles = bare
    if isinstance(model.recipe.normalization, FixedNormalization):
        tiles = freeze(tile_function(tf, model.keras, model.recipe), shape, [OUTPUT], model.keras)
    write_plugin_zip(tiles, model.info, model.network, model.recipe, plugin_zip(folder, model.network))

    stop_if_canceled(progress)
    progress.phase("Converting the network to ONNX")
    onnx = to_onnx(frozen, model.info.name)
    check_onnx(onnx, probe.x, probe.expected, TOLERANCE * probe.scale)
    (staged / names.ONNX).write_bytes(onnx)
    bare_onnx = to_onnx(bare, model.info.name)
    normalized = _whole_divisors(model, probe.x)
    with tf.device("/CPU:0"):
        expected = {OUTPUT: model.keras(tf.constant(normalized), training=False).numpy()}
    check_onnx(bare_onnx, normalized, expected, TOLERANCE)
    write_bytes(folder.onnx(which), bare_onnx)


def _whole_divisors(model: _Model, x: np.ndarray) -> np.ndarray:
    """Return the first sample of ``x`` normalized and mirrored to a size that the bare network takes."""
    normalized = fit(model.info.normalization, x[0], model.recipe.axes).apply(x[0])
    extra = [(0, -size % step) for size, step in zip(normalized.shape[:-1], model.recipe.divisor, strict=True)]
    return np.pad(normalized, [*extra, (0, 0)], mode="symmetric")[np.newaxis].astype(np.float32)


def _write_companions(model: _Model, folder: ModelFolder, which: str, probe: Probe, staged: Path) -> None:
    """Write test tensors, sample images, cover, description and Keras weights."""
    info = model.info
    metadata = Metadata(pixel_size=info.pixel_size, unit=info.pixel_unit)
    np.save(staged / names.TEST_INPUT, probe.x)
    write_image(staged / names.SAMPLE_INPUT, probe.x[0], model.recipe.axes, metadata)
    result = probe.expected[OUTPUT]
    np.save(staged / names.TEST_OUTPUT, result)
    write_image(staged / names.SAMPLE_OUTPUT, result[0], model.recipe.axes, metadata)
    if model.network.task == "instances":
        write_cover(staged / names.COVER, probe.x[0], labels_of(info, result[0])[..., np.newaxis], labels=True)
    else:
        write_cover(staged / names.COVER, probe.x[0], result[0])
    shutil.copyfile(folder.weights(which), staged / names.KERAS_WEIGHTS)
    write_json(staged / names.MODEL_INFO, info.model_dump(mode="json"))


def _checked(staged: Path, progress: Progress) -> list[Finding]:
    """Check the staged package; raise DL4FijiError if it has errors."""
    progress.phase("Checking the package")
    findings = check_package(staged, thorough=False)
    errors = [f"{finding.line}: {finding.text}" for finding in findings if finding.status == "error"]
    if errors:
        raise DL4FijiError(f"The exported package is not as Fiji needs it ({errors[0]}): please report this.", errors)
    for finding in findings:
        if finding.status == "warning":
            progress.warning(finding.text)
    return findings
