"""Noise2Void 2D beside n2v's own training and prediction, and the hiding of pixels beside n2v's data wrapper.

Training data: the noisy images of FMD denoising (`data/README.md` of the shared images), no truth. The two images
of one field validate, the others train; the denoised images of all fields are compared with the averages of 50 frames
on the scale of 8 bits (range 255), as they are. Budget: 4 epochs of 50 steps of 64 patches of 64×64, 0.198 % of the
pixels hidden; network of depth 2, kernel 3, 32 filters, batch normalization, mean squared error.

Both work in their own way: n2v cuts the images into patches beforehand, with its 8 flips and rotations, and keeps its
hidden pixels in Python loops; we draw patches as we go, without flips and rotations. Both normalize by mean and
standard deviation of the training data, keep the best weights and predict with them.

Masks: both hide pixels in the same patches, with boxes of the same size, on the same core; ``draw`` is our whole
input pipeline beside n2v's, which has its patches cut beforehand.

``python tests/benchmarks/bench_noise2void.py masks`` measures the masks alone.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import imageio.v3 as iio
import numpy as np
from bench_care import accuracy, judge, mean_and_spread, read_pairs
from turns import run_child

VALIDATION = "Confocal_MICE"
EPOCHS, STEPS, BATCH, PATCH, PATCHES_PER_IMAGE = 4, 50, 64, 64, 64
DEPTH, KERNEL, FILTERS, LEARNING_RATE, PERCENT, RADIUS = 2, 3, 32, 4e-4, 0.198, 5
TRAINERS = ("n2v", "dl4fiji")
MASK_ROUNDS = 7
FASTER = 5.0
"""Our masks are to be made at least so many times as fast as n2v's."""


def prepare(shared: Path, folder: Path) -> None:
    """Sort the noisy images into ``train`` and ``validation`` by field of view; all pairs go to ``test``."""
    data = shared / "data" / "fmd-denoising"
    for source in sorted((data / "source").glob("*.png")):
        part = "validation" if source.stem.startswith(VALIDATION) else "train"
        places = [folder / part / source.name, folder / "test" / "source" / source.name]
        for place in places:
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(source.read_bytes())
        truth = folder / "test" / "target" / source.name
        truth.parent.mkdir(parents=True, exist_ok=True)
        truth.write_bytes((data / "target" / source.name).read_bytes())


def speed(epoch_ends: list[float]) -> float:
    """Return steps per second of the epochs after the first."""
    return (len(epoch_ends) - 1) * STEPS / (epoch_ends[-1] - epoch_ends[0])


def train_n2v(data: Path, work: Path, seed: int) -> dict[str, float]:
    """Train and predict as n2v's examples do."""
    from dl4fiji.keras_setup import import_tensorflow

    tf = import_tensorflow()
    from n2v.internals.N2V_DataGenerator import N2V_DataGenerator
    from n2v.models import N2V, N2VConfig

    tf.keras.utils.set_random_seed(seed)
    generator = N2V_DataGenerator()

    def patches(part: str, augment: bool) -> np.ndarray:
        images = [iio.imread(path).astype(np.float32) for path in sorted((data / part).iterdir())]
        given = [image[np.newaxis, ..., np.newaxis] for image in images]
        return generator.generate_patches_from_list(given, shape=(PATCH, PATCH), augment=augment, shuffle=augment)

    training, validation = patches("train", True), patches("validation", False)
    config = N2VConfig(
        training, unet_n_depth=DEPTH, unet_kern_size=KERNEL, unet_n_first=FILTERS, train_loss="mse", batch_norm=True,
        train_epochs=EPOCHS, train_steps_per_epoch=STEPS, train_batch_size=BATCH, train_learning_rate=LEARNING_RATE,
        train_tensorboard=False, n2v_perc_pix=PERCENT, n2v_patch_shape=(PATCH, PATCH),
        n2v_manipulator="uniform_withCP", n2v_neighborhood_radius=RADIUS, single_net_per_channel=False,
    )  # fmt: skip
    model = N2V(config, f"n2v-{seed}", basedir=str(work))
    model.prepare_for_training()
    ends: list[float] = []

    class Stopwatch(tf.keras.callbacks.Callback):
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            ends.append(time.perf_counter())

    model.callbacks.append(Stopwatch())
    model.train(training, validation)
    figures = judge(lambda image: model.predict(image.astype(np.float32), "YX"), read_pairs(data / "test"))
    return figures | {"steps_per_second": speed(ends), "validation_patches": len(validation)}


def train_dl4fiji(data: Path, work: Path, seed: int) -> dict[str, float]:
    """Train by `dl4fiji.training.run.train` and predict with the model folder that it makes."""
    from dl4fiji import networks
    from dl4fiji.model import ModelFolder
    from dl4fiji.prediction.predictor import Predictor
    from dl4fiji.progress import SilentProgress
    from dl4fiji.training.run import train

    ends: list[float] = []

    class Stopwatch(SilentProgress):
        def epoch(self, row: dict[str, float]) -> None:
            super().epoch(row)
            ends.append(time.perf_counter())

    network = networks.get("noise2void-2d")
    options = network.Options.model_validate(
        {
            "epochs": EPOCHS, "steps_per_epoch": STEPS, "batch_size": BATCH, "patch_size": f"{PATCH}x{PATCH}",
            "patches_per_image": PATCHES_PER_IMAGE, "depth": DEPTH, "kernel_size": KERNEL, "first_filters": FILTERS,
            "learning_rate": LEARNING_RATE, "masked_pixels_percent": PERCENT, "neighborhood_radius": RADIUS,
            "seed": seed,
        }
    )  # fmt: skip
    fields = SimpleNamespace(
        source=str(data / "train"), target="", validation_source=str(data / "validation"), validation_target="",
        axes="YX",
    )  # fmt: skip
    folder = ModelFolder(work / f"dl4fiji-{seed}")
    train(network, fields, options, work / f"job-{seed}", folder, Stopwatch())
    predictor = Predictor(folder, "best")
    figures = judge(lambda image: predictor.predict_array(image, "YX"), read_pairs(data / "test"))
    return figures | {"steps_per_second": speed(ends)}


def run(shared: Path, build: Path, seeds: int) -> dict[str, Any]:
    """Measure the masks, run both trainers for each seed, in turns, and return all figures."""
    masks = measure_masks(shared)
    data, work = build / "data", build / "work"
    prepare(shared, data)
    work.mkdir(parents=True, exist_ok=True)
    runs = []
    for seed in range(seeds):
        for trainer in TRAINERS if seed % 2 == 0 else reversed(TRAINERS):
            runs.append(run_child(trainer, seed, data, work, __file__))
            shown = {key: round(value, 3) for key, value in runs[-1].items() if key != "trainer"}
            print(f"{trainer} seed {seed}: " + json.dumps(shown))
    inputs = accuracy([(truth, source) for source, truth in read_pairs(data / "test")])
    return {"masks": masks, "input": inputs, "runs": runs, "summary": summarize(runs, masks)}


def summarize(runs: list[dict[str, Any]], masks: dict[str, Any]) -> dict[str, Any]:
    """Return mean and spread (largest minus smallest) per trainer, and how we compare."""
    names = ("psnr", "ssim", "steps_per_second", "pixels_per_second", "seconds", "peak_mib", "others_cpu")
    summary: dict[str, Any] = {}
    for trainer in TRAINERS:
        rows = [run for run in runs if run["trainer"] == trainer]
        summary[trainer] = {name: mean_and_spread([row[name] for row in rows]) for name in names}
    theirs, ours = (summary[trainer] for trainer in TRAINERS)
    summary["psnr_difference"] = ours["psnr"]["mean"] - theirs["psnr"]["mean"]
    for name in ("steps_per_second", "pixels_per_second"):
        summary[f"{name}_ratio"] = ours[name]["mean"] / theirs[name]["mean"]
    fast = all(row["ratio"] >= FASTER and row["draw_ratio"] >= FASTER for row in masks.values())
    summary["passed"] = summary["psnr_difference"] >= -0.1 and summary["steps_per_second_ratio"] >= 0.95 and fast
    return summary


def measure_masks(shared: Path) -> dict[str, dict[str, float]]:
    """Return patches per second of n2v's data wrapper, of our masks, and of our whole input pipeline."""
    return {
        "noise2void-2d": _compare("noise2void-2d", shared / "data" / "fmd-denoising" / "source", (64, 64), 128),
        "noise2void-3d": _compare("noise2void-3d", shared / "data" / "nuclei-3d" / "images", (16, 64, 64), 16),
    }


def _compare(name: str, images: Path, shape: tuple[int, ...], count: int) -> dict[str, float]:
    from dl4fiji import networks
    from dl4fiji.data.blind_spots import box_sides, mask_patches
    from dl4fiji.data.pairs import open_pairs
    from dl4fiji.data.patches import PatchSource
    from dl4fiji.keras_setup import prepare as prepare_keras

    prepare_keras()
    from n2v.internals.N2V_DataWrapper import N2V_DataWrapper
    from n2v.utils.n2v_utils import pm_uniform_withCP

    network = networks.get(name)
    options = network.Options.model_validate({"batch_size": count, "patch_size": "x".join(map(str, shape))})
    fields = SimpleNamespace(source=str(images), target="", validation_source="", validation_target="", axes="")
    dataset = open_pairs(fields, network.axes, patch_size=options.patch_size, paired=False)
    dataset = dataset.split(options.validation_percent, options.seed, options.patch_size)
    source = PatchSource(dataset, network.normalization(options, dataset), options, network.axes)
    patches, boxes = source.draw(0, 0)[0], box_sides(options.masked_pixels_percent, shape)
    # n2v takes the square root for volumes, too: this percentage gives it boxes of the same size.
    wrapper = N2V_DataWrapper(
        patches, patches, count, MASK_ROUNDS + 1, perc_pix=100 / boxes[0] ** 2, shape=shape,
        value_manipulation=pm_uniform_withCP(RADIUS),
    )  # fmt: skip
    rng = np.random.default_rng(0)
    theirs = _rate(lambda _: wrapper[0], count)
    ours = _rate(lambda _: mask_patches(patches.copy(), boxes, RADIUS, "uniform_withCP", rng), count)
    drawn = _rate(lambda index: network.batch(source, options, 0, index), count)
    hidden = {
        "n2v": float(wrapper[0][1][..., 1].sum() / count),
        "dl4fiji": float(mask_patches(patches.copy(), boxes, RADIUS, "uniform_withCP", rng)[1][..., 1].sum() / count),
    }
    return {
        "n2v": theirs, "dl4fiji": ours, "dl4fiji_draw": drawn, "ratio": ours / theirs, "draw_ratio": drawn / theirs,
        "hidden_n2v": hidden["n2v"], "hidden_dl4fiji": hidden["dl4fiji"],
    }  # fmt: skip


def _rate(work: Callable[[int], Any], count: int) -> float:
    """Return patches per second of processor time, of the median of several rounds after a first one."""
    work(0)
    seconds = []
    for index in range(MASK_ROUNDS):
        began = time.process_time()
        work(index)
        seconds.append(time.process_time() - began)
    return count / float(np.median(seconds))


def main() -> None:
    """Be the process of one trainer, or measure the masks alone."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("what", nargs="?", choices=("masks",))
    parser.add_argument("--trainer", choices=TRAINERS)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--result", type=Path)
    default = os.environ.get("DL4FIJI_SHARED", str(Path(__file__).resolve().parents[3] / "shared"))
    parser.add_argument("--shared", type=Path, default=Path(default), help="folder that holds data/")
    arguments = parser.parse_args()
    if arguments.what == "masks":
        print(json.dumps(measure_masks(arguments.shared), indent=2))
        return
    trainer = {"n2v": train_n2v, "dl4fiji": train_dl4fiji}[arguments.trainer]
    figures = trainer(arguments.data, arguments.result.parent, arguments.seed)
    arguments.result.write_text(json.dumps(figures), encoding="utf-8")


if __name__ == "__main__":
    main()
