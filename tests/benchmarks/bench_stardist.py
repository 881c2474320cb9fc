"""StarDist 2D and 3D beside stardist's own training and prediction, and the targets beside stardist's generators.

Three data sets, of which `data/README.md` of the shared images tells: `dsb2018-nuclei`, every fifth image held out,
each seventh of the others for validation; `t98g-phase-contrast`, two images train, one validates, one is held out;
`nuclei-3d`, of one volume the upper part trains and the lower part validates, the other volume is held out. Budgets
are in `SETS`; network, grid, rays and anisotropy are the same for both, the rest is each one's own.

stardist works as its examples do: normalized by the percentiles 1 and 99.8, flips and quarter turns in the plane,
intensities times 0.6 to 2 plus up to ±0.2, noise in planes; weights with the lowest validation loss, thresholds
optimized on the validation images. Both are judged on the held-out images by `stardist.matching`, all objects together.

The two train in turns, epoch by epoch, as `bench_care` explains. Before that the targets of the same label patches
are computed by both, alternately, and whole batches are drawn: ``stardist`` by its generator with its examples'
augmentation, ``dl4fiji`` by all that a step of the training asks for. Speeds are in patches per second on the clock,
since both work on all cores.

``python tests/benchmarks/bench_stardist.py targets`` measures the targets alone.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import imageio.v3 as iio
import numpy as np
import tifffile
from trainers import (
    ROUNDS,
    alternate,
    compare,
    fields,
    keras_stopwatch,
    main,
    open_patches,
    pixels_per_second,
    run_seeds,
    train_ours,
)
from turns import Turns

TRAINERS = ("stardist", "dl4fiji")
PERCENTILES = (1, 99.8)
FASTER = 3.0
"""Our targets are to be made at least so many times as fast as stardist's."""
MARGIN = 0.01
"""F1 that we may lie below stardist, which differs more than that from seed to seed."""


@dataclass(frozen=True)
class Budget:
    """What both trainers are given for a data set."""

    network: str
    patch: tuple[int, ...]
    grid: tuple[int, ...]
    epochs: int
    steps: int
    batch: int
    rays: int
    depth: int
    anisotropy: tuple[float, ...] = ()
    learning_rate: float = 3e-4


SETS = {
    "dsb2018-nuclei": Budget("stardist-2d", (128, 128), (2, 2), 6, 125, 4, 32, 3),
    "t98g-phase-contrast": Budget("stardist-2d", (256, 256), (4, 4), 6, 50, 4, 32, 3),
    "nuclei-3d": Budget("stardist-3d", (32, 64, 64), (2, 4, 4), 4, 100, 2, 64, 2, (2.2, 1.0, 1.0), 1e-3),
}


def prepare(shared: Path, folder: Path) -> None:
    """Sort the images of all sets into ``train``, ``validation`` and ``test``, as TIFF of one channel."""
    for name in SETS:
        data = shared / "data" / name
        images = sorted((data / "images").iterdir())
        labels = sorted((data / "labels").iterdir())
        for number, (image, label) in enumerate(zip(images, labels, strict=True)):
            for part, pixels in _parts(name, number, _read(image), _read(label)):
                for role, array in zip(("images", "labels"), pixels, strict=True):
                    place = folder / name / part / role / f"{image.stem}.tif"
                    place.parent.mkdir(parents=True, exist_ok=True)
                    axes = "ZYX" if array.ndim == 3 else "YX"
                    tifffile.imwrite(place, array, imagej=True, metadata={"axes": axes})


def _parts(name: str, number: int, image: np.ndarray, labels: np.ndarray) -> list[tuple[str, tuple[np.ndarray, ...]]]:
    """Return which part of the split an image, or each part of it, belongs to."""
    if name == "nuclei-3d":
        if number == 1:
            return [("test", (image, labels))]
        return [("train", (image[:64], labels[:64])), ("validation", (image[64:], labels[64:]))]
    if name == "t98g-phase-contrast":
        part = ("train", "train", "validation", "test")[number]
    else:
        part = "test" if number % 5 == 0 else "validation" if number % 7 == 1 else "train"
    return [(part, (image, labels))]


def _read(path: Path) -> np.ndarray:
    """Return an image; of a grey one in colors the first channel."""
    pixels = tifffile.imread(path) if path.suffix in (".tif", ".tiff") else iio.imread(path)
    return pixels[..., 0] if pixels.ndim == 3 and pixels.shape[-1] in (3, 4) else pixels


def read_pairs(folder: Path) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return image and labels of all pairs in a part of the split."""
    names = sorted(path.name for path in (folder / "images").iterdir())
    return [(tifffile.imread(folder / "images" / name), tifffile.imread(folder / "labels" / name)) for name in names]


def judge(predict: Callable[[np.ndarray], np.ndarray], folder: Path) -> dict[str, float]:
    """Find the objects of the held-out images and return figures at an IoU of 0.5, and pixels per second once warm."""
    from stardist.matching import matching_dataset

    pairs = read_pairs(folder)
    found = [predict(image) for image, _ in pairs]
    speed = pixels_per_second(predict, [image for image, _ in pairs], rounds=1)
    score = matching_dataset([labels.astype(int) for _, labels in pairs], found, thresh=0.5, show_progress=False)
    return {
        "f1": float(score.f1), "panoptic_quality": float(score.panoptic_quality),
        "mean_matched_score": float(score.mean_matched_score),
        "pixels_per_second": speed,
    }  # fmt: skip


def augment(image: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Vary a patch as stardist's examples do: flips and turns in the plane, intensity, and in planes noise."""
    axes = (labels.ndim - 2, labels.ndim - 1)
    turns = np.random.randint(4)
    image, labels = np.rot90(image, turns, axes), np.rot90(labels, turns, axes)
    for axis in axes:
        if np.random.rand() > 0.5:
            image, labels = np.flip(image, axis), np.flip(labels, axis)
    image = image * np.random.uniform(0.6, 2) + np.random.uniform(-0.2, 0.2)
    if labels.ndim == 2:
        image = image + 0.02 * np.random.uniform(0, 1) * np.random.normal(0, 1, image.shape)
    return image, labels


def their_config(budget: Budget) -> Any:
    """Return stardist's configuration for the budget."""
    from stardist.models import Config2D, Config3D
    from stardist.rays3d import Rays_GoldenSpiral

    common = {
        "grid": budget.grid, "train_patch_size": budget.patch, "train_batch_size": budget.batch,
        "train_epochs": budget.epochs, "train_steps_per_epoch": budget.steps, "unet_n_depth": budget.depth,
        "train_tensorboard": False, "train_learning_rate": budget.learning_rate,
    }  # fmt: skip
    if len(budget.patch) == 2:
        return Config2D(n_rays=budget.rays, **common)
    rays = Rays_GoldenSpiral(budget.rays, anisotropy=budget.anisotropy)
    return Config3D(rays=rays, anisotropy=budget.anisotropy, **common)


def normalized(image: np.ndarray) -> np.ndarray:
    """Normalize as stardist's examples do."""
    from csbdeep.utils import normalize

    return normalize(image, *PERCENTILES)


def train_stardist(data: Path, work: Path, seed: int) -> dict[str, Any]:
    """Train and predict as stardist's examples do."""
    from dl4fiji.keras_setup import import_tensorflow

    tf = import_tensorflow()
    from stardist.models import StarDist2D, StarDist3D

    tf.keras.utils.set_random_seed(seed)
    budget = SETS[data.name]
    kind = StarDist2D if len(budget.patch) == 2 else StarDist3D
    model = kind(their_config(budget), f"stardist-{seed}", basedir=str(work))
    parts = {
        part: tuple(map(list, zip(*[(normalized(x), y) for x, y in read_pairs(data / part)], strict=True)))
        for part in ("train", "validation")
    }
    model.prepare_for_training()
    turns = Turns(budget.steps)
    model.callbacks.append(keras_stopwatch(turns))
    model.train(*parts["train"], validation_data=parts["validation"], augmenter=augment, seed=seed)
    thresholds = model.optimize_thresholds(*parts["validation"])
    figures = judge(lambda image: model.predict_instances(normalized(image))[0], data / "test")
    return figures | turns.figures() | {"probability": float(thresholds["prob"]), "nms": float(thresholds["nms"])}


def train_dl4fiji(data: Path, work: Path, seed: int) -> dict[str, Any]:
    """Train by `dl4fiji.training.run.train` and predict with the model folder that it makes."""
    from dl4fiji.prediction.instances import open_predictor

    budget = SETS[data.name]
    turns = Turns(budget.steps)
    folder, info = train_ours(budget.network, our_fields(data), our_options(budget, seed), work, seed, turns)
    predictor, axes = open_predictor(folder), "ZYX"[-len(budget.patch) :]
    figures = judge(lambda image: predictor.predict_array(image, axes).astype(int), data / "test")
    return figures | turns.figures() | info.thresholds


def our_fields(data: Path) -> Any:
    """Return where our training finds its images."""
    return fields(data / "train", data / "validation", source="images", target="labels")


def our_options(budget: Budget, seed: int) -> Any:
    """Return our options for the budget."""
    from dl4fiji import networks

    values = asdict(budget)
    given = {name: values[name] for name in ("grid", "epochs", "rays", "depth", "learning_rate")}
    given |= {"patch_size": budget.patch, "batch_size": budget.batch, "steps_per_epoch": budget.steps, "seed": seed}
    if budget.anisotropy:
        given["anisotropy"] = budget.anisotropy
    return networks.get(budget.network).Options.model_validate(given)


def measure_targets(data: Path) -> dict[str, dict[str, float]]:
    """Return patches per second of both, of the targets alone and of whole batches, per kind of network."""
    return {name: _compare(data / name, SETS[name]) for name in ("dsb2018-nuclei", "nuclei-3d") if name in SETS}


def targets_alone(shared: Path) -> dict[str, dict[str, float]]:
    """Prepare the data and measure the targets."""
    with tempfile.TemporaryDirectory() as folder:
        prepare(shared, Path(folder))
        return measure_targets(Path(folder))


def _compare(data: Path, budget: Budget) -> dict[str, float]:
    from dl4fiji.keras_setup import prepare as prepare_keras

    prepare_keras()
    from stardist.models.model2d import StarDistData2D
    from stardist.models.model3d import StarDistData3D

    options = our_options(budget, 0)
    network, source = open_patches(budget.network, our_fields(data), options)
    config = their_config(budget)

    def generator(images: list[np.ndarray], labels: list[np.ndarray], length: int, augmenter: Any = None) -> Any:
        common: dict[str, Any] = {"patch_size": budget.patch, "grid": budget.grid, "augmenter": augmenter}
        common |= {"foreground_prob": 0.9 if augmenter else 0}
        if len(budget.patch) == 2:
            return StarDistData2D(images, labels, budget.batch, budget.rays, length, **common)
        from stardist.rays3d import rays_from_json

        rays = rays_from_json(config.rays_json)
        return StarDistData3D(images, labels, budget.batch, rays, length, anisotropy=budget.anisotropy, **common)

    patches = [source.draw(0, step)[1][..., 0] for step in range(ROUNDS + 1)]
    same = [generator([one.astype(np.float32) for one in batch], list(batch), 1) for batch in patches]
    theirs, ours = alternate(lambda i: same[i][0], lambda i: network._targets(patches[i], options), budget.batch)
    pairs = [(normalized(image), labels) for image, labels in read_pairs(data / "train")]
    whole = generator(*map(list, zip(*pairs, strict=True)), ROUNDS + 1, augment)
    whole_theirs, whole_ours = alternate(
        lambda i: whole[i], lambda i: network.batch(source, options, 0, i), budget.batch
    )
    return {
        "stardist": theirs, "dl4fiji": ours, "ratio": ours / theirs, "stardist_draw": whole_theirs,
        "dl4fiji_draw": whole_ours, "draw_ratio": whole_ours / whole_theirs,
    }  # fmt: skip


def run(shared: Path, build: Path, seeds: int) -> dict[str, Any]:
    """Measure the targets, run both trainers on each set for each seed, in turns, and return all figures."""
    data = build / "data"
    prepare(shared, data)
    targets = measure_targets(data)
    runs = {name: run_seeds(__file__, TRAINERS, data / name, build / name, seeds) for name in SETS}
    sets = {name: summarize(of_set) for name, of_set in runs.items()}
    fast = all(row["ratio"] >= FASTER for row in targets.values())
    summary = {"sets": sets, "passed": fast and all(row["passed"] for row in sets.values())}
    return {"targets": targets, "runs": runs, "summary": summary}


def summarize(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Return mean and spread (largest minus smallest) per trainer, and how we compare."""
    summary = compare(runs, TRAINERS, ("f1", "panoptic_quality", "mean_matched_score"))
    summary["passed"] = summary["f1_difference"] >= -MARGIN and summary["steps_per_second_ratio"] >= 0.95
    return summary


if __name__ == "__main__":
    main(
        "Be the process of one trainer, or measure the targets alone.",
        {"stardist": train_stardist, "dl4fiji": train_dl4fiji},
        {"targets": targets_alone},
    )
