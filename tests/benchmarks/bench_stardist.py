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

import argparse
import json
import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import imageio.v3 as iio
import numpy as np
import tifffile
from bench_care import mean_and_spread
from turns import Turns, run_seed, speed_ratio

TRAINERS = ("stardist", "dl4fiji")
PERCENTILES = (1, 99.8)
ROUNDS = 9
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


SETS = {
    "dsb2018-nuclei": Budget("stardist-2d", (128, 128), (2, 2), 6, 125, 4, 32, 3),
    "t98g-phase-contrast": Budget("stardist-2d", (256, 256), (4, 4), 6, 50, 4, 32, 3),
    "nuclei-3d": Budget("stardist-3d", (32, 64, 64), (1, 2, 2), 5, 40, 2, 96, 2, (2.2, 1.0, 1.0)),
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
    began = time.perf_counter()
    for image, _ in pairs:
        predict(image)
    seconds = time.perf_counter() - began
    score = matching_dataset([labels.astype(int) for _, labels in pairs], found, thresh=0.5, show_progress=False)
    return {
        "f1": float(score.f1), "panoptic_quality": float(score.panoptic_quality),
        "mean_matched_score": float(score.mean_matched_score),
        "pixels_per_second": sum(image.size for image, _ in pairs) / seconds,
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
        "train_tensorboard": False,
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

    class Stopwatch(tf.keras.callbacks.Callback):
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            turns.epoch_ended()

    model.callbacks.append(Stopwatch())
    model.train(*parts["train"], validation_data=parts["validation"], augmenter=augment, seed=seed)
    thresholds = model.optimize_thresholds(*parts["validation"])
    figures = judge(lambda image: model.predict_instances(normalized(image))[0], data / "test")
    return figures | turns.figures() | {"probability": float(thresholds["prob"]), "nms": float(thresholds["nms"])}


def train_dl4fiji(data: Path, work: Path, seed: int) -> dict[str, Any]:
    """Train by `dl4fiji.training.run.train` and predict with the model folder that it makes."""
    from dl4fiji import networks
    from dl4fiji.model import ModelFolder
    from dl4fiji.prediction.instances import open_predictor
    from dl4fiji.progress import SilentProgress
    from dl4fiji.training.run import train

    budget = SETS[data.name]
    turns = Turns(budget.steps)

    class Stopwatch(SilentProgress):
        def epoch(self, row: dict[str, float]) -> None:
            super().epoch(row)
            turns.epoch_ended()

    folder = ModelFolder(work / f"dl4fiji-{seed}")
    info = train(
        networks.get(budget.network), our_fields(data), our_options(budget, seed), work / f"job-{seed}", folder,
        Stopwatch(),
    )  # fmt: skip
    predictor, axes = open_predictor(folder), "ZYX"[-len(budget.patch) :]
    figures = judge(lambda image: predictor.predict_array(image, axes).astype(int), data / "test")
    return figures | turns.figures() | info.thresholds


def our_fields(data: Path) -> SimpleNamespace:
    """Return where our training finds its images."""
    return SimpleNamespace(
        source=str(data / "train" / "images"), target=str(data / "train" / "labels"),
        validation_source=str(data / "validation" / "images"), validation_target=str(data / "validation" / "labels"),
        axes="",
    )  # fmt: skip


def our_options(budget: Budget, seed: int) -> Any:
    """Return our options for the budget."""
    from dl4fiji import networks

    values = asdict(budget)
    given = {name: values[name] for name in ("grid", "epochs", "rays", "depth")}
    given |= {"patch_size": budget.patch, "batch_size": budget.batch, "steps_per_epoch": budget.steps, "seed": seed}
    if budget.anisotropy:
        given["anisotropy"] = budget.anisotropy
    return networks.get(budget.network).Options.model_validate(given)


def measure_targets(data: Path) -> dict[str, dict[str, float]]:
    """Return patches per second of both, of the targets alone and of whole batches, per kind of network."""
    return {name: _compare(data / name, SETS[name]) for name in ("dsb2018-nuclei", "nuclei-3d")}


def _compare(data: Path, budget: Budget) -> dict[str, float]:
    from dl4fiji import networks
    from dl4fiji.data.pairs import open_pairs
    from dl4fiji.data.patches import PatchSource
    from dl4fiji.keras_setup import prepare as prepare_keras
    from dl4fiji.network import target_form

    prepare_keras()
    from stardist.models.model2d import StarDistData2D
    from stardist.models.model3d import StarDistData3D

    network: Any = networks.get(budget.network)
    options = our_options(budget, 0)
    dataset = open_pairs(our_fields(data), network.axes, form=target_form(network, options))
    dataset = dataset.split(options.validation_percent, options.seed, options.patch_size)
    source = PatchSource(dataset, network.normalization(options, dataset), options, network.axes)
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
    theirs, ours = _alternate(lambda i: same[i][0], lambda i: network._targets(patches[i], options), budget.batch)
    pairs = [(normalized(image), labels) for image, labels in read_pairs(data / "train")]
    whole = generator(*map(list, zip(*pairs, strict=True)), ROUNDS + 1, augment)
    whole_theirs, whole_ours = _alternate(
        lambda i: whole[i], lambda i: network.batch(source, options, 0, i), budget.batch
    )
    return {
        "stardist": theirs, "dl4fiji": ours, "ratio": ours / theirs, "stardist_draw": whole_theirs,
        "dl4fiji_draw": whole_ours, "draw_ratio": whole_ours / whole_theirs,
    }  # fmt: skip


def _alternate(theirs: Callable[[int], Any], ours: Callable[[int], Any], count: int) -> tuple[float, float]:
    """Return patches per second of both, working by turns: of the median of the rounds after the first."""
    seconds: tuple[list[float], list[float]] = ([], [])
    for index in range(ROUNDS + 1):
        for work, found in zip((theirs, ours), seconds, strict=True):
            began = time.perf_counter()
            work(index)
            found.append(time.perf_counter() - began)
            time.sleep(0.05)  # OpenMP's threads go on for some time after their work
    return count / float(np.median(seconds[0][1:])), count / float(np.median(seconds[1][1:]))


def run(shared: Path, build: Path, seeds: int) -> dict[str, Any]:
    """Measure the targets, run both trainers on each set for each seed, in turns, and return all figures."""
    data = build / "data"
    prepare(shared, data)
    targets = measure_targets(data)
    runs: dict[str, list[dict[str, Any]]] = {}
    for name in SETS:
        work = build / name
        work.mkdir(parents=True, exist_ok=True)
        runs[name] = []
        for seed in range(seeds):
            for figures in run_seed(__file__, TRAINERS, seed, data / name, work):
                runs[name].append(figures)
                told = {key: round(value, 3) for key, value in figures.items() if isinstance(value, float)}
                print(f"{name}, {figures['trainer']} seed {seed}: {json.dumps(told)}", flush=True)
    sets = {name: summarize(of_set) for name, of_set in runs.items()}
    fast = all(row["ratio"] >= FASTER for row in targets.values())
    summary = {"sets": sets, "passed": fast and all(row["passed"] for row in sets.values())}
    return {"targets": targets, "runs": runs, "summary": summary}


def summarize(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Return mean and spread (largest minus smallest) per trainer, and how we compare."""
    names = (
        "f1", "panoptic_quality", "mean_matched_score", "steps_per_second", "cpu_ms_per_step", "pixels_per_second",
        "seconds", "peak_mib", "others_cpu",
    )  # fmt: skip
    summary: dict[str, Any] = {}
    for trainer in TRAINERS:
        rows = [run for run in runs if run["trainer"] == trainer]
        summary[trainer] = {name: mean_and_spread([row[name] for row in rows]) for name in names}
    theirs, ours = (summary[trainer] for trainer in TRAINERS)
    summary["f1_difference"] = ours["f1"]["mean"] - theirs["f1"]["mean"]
    summary["pixels_per_second_ratio"] = ours["pixels_per_second"]["mean"] / theirs["pixels_per_second"]["mean"]
    summary["steps_per_second_ratio"] = speed_ratio(runs, TRAINERS)
    summary["passed"] = summary["f1_difference"] >= -MARGIN and summary["steps_per_second_ratio"] >= 0.95
    return summary


def main() -> None:
    """Be the process of one trainer, or measure the targets alone."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("what", nargs="?", choices=("targets",))
    parser.add_argument("--trainer", choices=TRAINERS)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--data", type=Path, help="prepared folder of one set; with targets, of all")
    parser.add_argument("--result", type=Path)
    default = os.environ.get("DL4FIJI_SHARED", str(Path(__file__).resolve().parents[3] / "shared"))
    parser.add_argument("--shared", type=Path, default=Path(default), help="folder that holds data/")
    arguments = parser.parse_args()
    if arguments.what == "targets":
        prepare(arguments.shared, arguments.data)
        print(json.dumps(measure_targets(arguments.data), indent=2))
        return
    trainer = {"stardist": train_stardist, "dl4fiji": train_dl4fiji}[arguments.trainer]
    figures = trainer(arguments.data, arguments.result.parent, arguments.seed)
    arguments.result.write_text(json.dumps(figures), encoding="utf-8")


if __name__ == "__main__":
    main()
