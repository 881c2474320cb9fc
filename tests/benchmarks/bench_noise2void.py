"""Noise2Void 2D and 3D beside n2v's own training and prediction, and the hiding of pixels beside n2v's data wrapper.

Two data sets, of which `data/README.md` of the shared images tells. `fmd-denoising`: the noisy images, no truth; the
two images of one field validate, the others train; the denoised images of all fields are compared with the averages of
50 frames on the scale of 8 bits (range 255), as they are. `nuclei-3d`: its two volumes, binned two by two in the plane
(voxels become cubes, and their own noise, which no denoising could tell from the image, is halved), are taken for clean
and made noisy, by photons as if a grey value were a tenth of one (Poisson) and by the camera (Gaussian, deviation 8
grey values), with fixed random numbers; of one volume the upper part trains and the lower part validates, the other
one is denoised and compared with itself before the noise. Budgets are in `SETS`; 0.198 % of the pixels hidden, network
of kernel 3, batch normalization, mean squared error.

Both work in their own way: n2v cuts the images into patches beforehand, with its flips and rotations, and keeps its
hidden pixels in Python loops; we draw patches as we go, without flips and rotations. Both normalize by mean and
standard deviation of the training data, keep the best weights and predict with them. In volumes n2v would hide fewer
pixels than it is told, see `their_percent`; here it hides as many as we do. The two train in turns, epoch by epoch, as
`bench_care` explains.

Masks: both hide pixels in the same patches, with boxes of the same size, on the same core; ``draw`` is our whole
input pipeline beside n2v's, which has its patches cut beforehand.

``python tests/benchmarks/bench_noise2void.py masks`` measures the masks alone.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import imageio.v3 as iio
import numpy as np
import tifffile
from bench_care import Pairs, accuracy, judge
from trainers import compare, fields, keras_stopwatch, main, open_patches, run_seeds, train_ours
from turns import Turns

VALIDATION = "Confocal_MICE"
KERNEL, LEARNING_RATE, PERCENT, RADIUS = 3, 4e-4, 0.198, 5
PHOTONS_PER_VALUE, CAMERA_NOISE = 0.1, 8.0
TRAINERS = ("n2v", "dl4fiji")
MASK_ROUNDS = 7
FASTER = 5.0
"""Our masks are to be made at least so many times as fast as n2v's."""


@dataclass(frozen=True)
class Budget:
    """What both trainers are given for a data set."""

    network: str
    patch: tuple[int, ...]
    epochs: int
    steps: int
    batch: int
    patches_per_image: int
    depth: int
    first_filters: int

    @property
    def axes(self) -> str:
        """Axes of an image."""
        return "ZYX"[-len(self.patch) :]


SETS = {
    "fmd-denoising": Budget("noise2void-2d", (64, 64), 4, 50, 64, 64, 2, 32),
    "nuclei-3d": Budget("noise2void-3d", (16, 32, 32), 4, 50, 8, 200, 2, 16),
}


def prepare(shared: Path, folder: Path) -> None:
    """Write the noisy images of both sets to ``train`` and ``validation``, and pairs with the truth to ``test``."""
    for name, read in (("fmd-denoising", _fields_of_view), ("nuclei-3d", _volumes)):
        pairs = read(shared) if name in SETS else []
        for part, stem, source, target in pairs:
            roles = {"source": source, "target": target} if part == "test" else {"source": source}
            for role, pixels in roles.items():
                place = folder / name / part / role / f"{stem}.tif"
                place.parent.mkdir(parents=True, exist_ok=True)
                tifffile.imwrite(place, pixels, imagej=True, metadata={"axes": SETS[name].axes})


def _fields_of_view(shared: Path) -> list[tuple[str, str, np.ndarray, np.ndarray]]:
    """Return part of the split, name, noisy and clean image of each single frame."""
    found, data = [], shared / "data" / "fmd-denoising"
    for path in sorted((data / "source").glob("*.png")):
        pair = iio.imread(path), iio.imread(data / "target" / path.name)
        part = "validation" if path.stem.startswith(VALIDATION) else "train"
        found += [(part, path.stem, *pair), ("test", path.stem, *pair)]
    return found


def _volumes(shared: Path) -> list[tuple[str, str, np.ndarray, np.ndarray]]:
    """Return the same for the two volumes, made noisy."""
    paths = sorted((shared / "data" / "nuclei-3d" / "images").iterdir())
    first, second = (binned(tifffile.imread(path)) for path in paths)
    noisy, held_out = with_noise(first, 1), with_noise(second, 2)
    return [
        ("train", "upper", noisy[:80], first[:80]),
        ("validation", "lower", noisy[80:], first[80:]),
        ("test", "other", held_out, second),
    ]


def binned(volume: np.ndarray) -> np.ndarray:
    """Return the means of two by two pixels of each plane, float32; sizes must be even."""
    planes, rows, columns = volume.shape
    return volume.reshape(planes, rows // 2, 2, columns // 2, 2).mean((2, 4), dtype=np.float32)


def with_noise(clean: np.ndarray, seed: int) -> np.ndarray:
    """Return an image as a camera would see it that gets few photons, float32, in the same units."""
    rng = np.random.default_rng(seed)
    photons = rng.poisson(clean.astype(np.float64) * PHOTONS_PER_VALUE) / PHOTONS_PER_VALUE
    return (photons + rng.normal(0, CAMERA_NOISE, clean.shape)).astype(np.float32)


def read_pairs(folder: Path) -> Pairs:
    """Return noisy and clean image of each pair."""
    names = sorted(path.name for path in (folder / "source").iterdir())
    return [(tifffile.imread(folder / "source" / name), tifffile.imread(folder / "target" / name)) for name in names]


def their_percent(boxes: Sequence[int]) -> float:
    """Return the share in percent that makes n2v hide a pixel in each box of ``boxes``.

    It takes the square root of the pixels per hidden pixel as side of its boxes, of cubes, too.
    """
    return 100 / boxes[0] ** 2


def train_n2v(data: Path, work: Path, seed: int) -> dict[str, Any]:
    """Train and predict as n2v's examples do."""
    from dl4fiji.keras_setup import import_tensorflow

    tf = import_tensorflow()
    from n2v.internals.N2V_DataGenerator import N2V_DataGenerator
    from n2v.models import N2V, N2VConfig

    from dl4fiji.data.blind_spots import box_sides

    tf.keras.utils.set_random_seed(seed)
    budget, generator = SETS[data.name], N2V_DataGenerator()

    def patches(part: str, augment: bool) -> np.ndarray:
        images = [tifffile.imread(path).astype(np.float32) for path in sorted((data / part / "source").iterdir())]
        given = [image[np.newaxis, ..., np.newaxis] for image in images]
        return generator.generate_patches_from_list(given, shape=budget.patch, augment=augment, shuffle=augment)

    training, validation = patches("train", True), patches("validation", False)
    config = N2VConfig(
        training, unet_n_depth=budget.depth, unet_kern_size=KERNEL, unet_n_first=budget.first_filters,
        train_loss="mse", batch_norm=True, train_epochs=budget.epochs, train_steps_per_epoch=budget.steps,
        train_batch_size=budget.batch, train_learning_rate=LEARNING_RATE, train_tensorboard=False,
        n2v_perc_pix=their_percent(box_sides(PERCENT, budget.patch)), n2v_patch_shape=budget.patch,
        n2v_manipulator="uniform_withCP", n2v_neighborhood_radius=RADIUS, single_net_per_channel=False,
    )  # fmt: skip
    model = N2V(config, f"n2v-{seed}", basedir=str(work))
    model.prepare_for_training()
    turns = Turns(budget.steps)
    model.callbacks.append(keras_stopwatch(turns))
    model.train(training, validation)
    figures = judge(lambda image: model.predict(image.astype(np.float32), budget.axes), read_pairs(data / "test"))
    return figures | turns.figures() | {"validation_patches": len(validation)}


def train_dl4fiji(data: Path, work: Path, seed: int) -> dict[str, Any]:
    """Train by `dl4fiji.training.run.train` and predict with the model folder that it makes."""
    from dl4fiji import networks
    from dl4fiji.prediction.predictor import Predictor

    budget = SETS[data.name]
    options = networks.get(budget.network).Options.model_validate(
        {
            "epochs": budget.epochs, "steps_per_epoch": budget.steps, "batch_size": budget.batch,
            "patch_size": budget.patch, "patches_per_image": budget.patches_per_image, "depth": budget.depth,
            "kernel_size": KERNEL, "first_filters": budget.first_filters, "learning_rate": LEARNING_RATE,
            "masked_pixels_percent": PERCENT, "neighborhood_radius": RADIUS, "seed": seed,
        }
    )  # fmt: skip
    turns = Turns(budget.steps)
    folder, _ = train_ours(
        budget.network, fields(data / "train", data / "validation", target=""), options, work, seed, turns
    )
    predictor = Predictor(folder, "best")
    return judge(lambda image: predictor.predict_array(image, budget.axes), read_pairs(data / "test")) | turns.figures()


def run(shared: Path, build: Path, seeds: int) -> dict[str, Any]:
    """Measure the masks, run both trainers on each set for each seed, in turns, and return all figures."""
    masks = measure_masks(shared)
    data = build / "data"
    prepare(shared, data)
    runs = {name: run_seeds(__file__, TRAINERS, data / name, build / name, seeds) for name in SETS}
    inputs = {name: accuracy([(truth, source) for source, truth in read_pairs(data / name / "test")]) for name in SETS}
    sets = {name: summarize(of_set) for name, of_set in runs.items()}
    fast = all(row["ratio"] >= FASTER and row["draw_ratio"] >= FASTER for row in masks.values())
    summary = {"sets": sets, "passed": fast and all(row["passed"] for row in sets.values())}
    return {"masks": masks, "input": inputs, "runs": runs, "summary": summary}


def summarize(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Return mean and spread (largest minus smallest) per trainer, and how we compare."""
    summary = compare(runs, TRAINERS, ("psnr", "psnr_fitted", "ssim"))
    summary["passed"] = summary["psnr_difference"] >= -0.1 and summary["steps_per_second_ratio"] >= 0.95
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
    from dl4fiji.keras_setup import prepare as prepare_keras

    prepare_keras()
    from n2v.internals.N2V_DataWrapper import N2V_DataWrapper
    from n2v.utils.n2v_utils import pm_uniform_withCP

    options = networks.get(name).Options.model_validate({"batch_size": count, "patch_size": shape})
    given = SimpleNamespace(source=str(images), target="", validation_source="", validation_target="", axes="")
    network, source = open_patches(name, given, options)
    patches, boxes = source.draw(0, 0)[0], box_sides(options.masked_pixels_percent, shape)
    wrapper = N2V_DataWrapper(
        patches, patches, count, MASK_ROUNDS + 1, perc_pix=their_percent(boxes), shape=shape,
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


if __name__ == "__main__":
    main(
        "Be the process of one trainer, or measure the masks alone.",
        {"n2v": train_n2v, "dl4fiji": train_dl4fiji},
        {"masks": measure_masks},
    )
