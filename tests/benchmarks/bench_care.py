"""CARE 2D beside csbdeep's own training and prediction, on real pairs and at an equal budget.

Data: FMD denoising, 12 fields of view with two noisy frames each (`data/README.md` of the shared images). Split by
field: 8 fields train, 1 validates, 3 are held out, one of each microscope. Budget: 8 epochs of 50 steps of 16
patches of 64×64; network of depth 2, kernel 3, 32 filters; as many validation patches for both.

Both normalize noisy images by their percentiles 2 and 99.8, and return predictions to the image's units by these.
Otherwise each works in its own way: csbdeep cuts 100 patches per image beforehand and normalizes the clean image by
its own percentiles, we draw patches as we go and, since these pairs have the same units, normalize the clean image as
its noisy partner. Both keep the best weights and predict with them; predictions are compared with the truth on the
scale of 8 bits (range 255): as they are, and after a linear fit to the truth as the quality control has it. Neither
may be lower than csbdeep's by more than 0.1 dB. The row "perfect" is what a network that errs nowhere would reach in
csbdeep's way: the noisy image's percentiles lie wider than the clean one's, so the truth itself, normalized and
returned, is no longer the truth. Whoever wants to compare the networks alone looks at the fitted figures.

Each trainer runs in a process of its own with TensorFlow's own choice of threads. The two train in turns, epoch by
epoch, one standing still while the other works, so that whatever else the machine does meets both alike. Steps per
second are those of the epochs after the first: validation and saving are in it, TensorFlow's start and tracing are
not. The ratio is the median of the ratios of neighboring epochs.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import imageio.v3 as iio
import numpy as np
from skimage.metrics import structural_similarity
from trainers import (
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

HELD_OUT = ("Confocal_BPAE_B", "TwoPhoton_BPAE_R", "WideField_BPAE_B")
VALIDATION = ("Confocal_MICE",)
EPOCHS, STEPS, BATCH, PATCH, PATCHES_PER_IMAGE = 8, 50, 16, 64, 100
DEPTH, KERNEL, FILTERS, LEARNING_RATE = 2, 3, 32, 4e-4
PERCENTILES = (2, 99.8)
TRAINERS = ("csbdeep", "dl4fiji")

Pairs = list[tuple[np.ndarray, np.ndarray]]


def prepare(shared: Path, folder: Path) -> None:
    """Sort the pairs into ``train``, ``validation`` and ``test`` by field of view."""
    data = shared / "data" / "fmd-denoising"
    for source in sorted((data / "source").glob("*.png")):
        field = source.stem.rpartition("_")[0]
        part = "test" if field in HELD_OUT else "validation" if field in VALIDATION else "train"
        for role in ("source", "target"):
            place = folder / part / role / source.name
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes((data / role / source.name).read_bytes())


def read_pairs(folder: Path) -> Pairs:
    """Return source and target of each pair, uint8 YX."""
    names = sorted(path.name for path in (folder / "source").iterdir())
    return [(iio.imread(folder / "source" / name), iio.imread(folder / "target" / name)) for name in names]


def psnr(truth: np.ndarray, image: np.ndarray) -> float:
    """Return the peak signal-to-noise ratio in dB on the scale of 8 bits, at most 100."""
    return float(min(100, 10 * np.log10(255**2 / max(1e-9, np.mean((truth.astype(np.float64) - image) ** 2)))))


def ssim(truth: np.ndarray, image: np.ndarray) -> float:
    """Return the structural similarity on the scale of 8 bits, Gaussian window."""
    return float(
        structural_similarity(
            truth.astype(np.float64), image.astype(np.float64), data_range=255, gaussian_weights=True,
            use_sample_covariance=False,
        )
    )  # fmt: skip


def fitted(truth: np.ndarray, image: np.ndarray) -> np.ndarray:
    """Return ``a · image + b`` nearest to the truth."""
    slope, offset = np.polyfit(image.ravel().astype(np.float64), truth.ravel().astype(np.float64), 1)
    return slope * image + offset


def accuracy(truths_and_images: list[tuple[np.ndarray, np.ndarray]]) -> dict[str, float]:
    """Return mean PSNR, PSNR after a linear fit, and SSIM."""
    return {
        "psnr": float(np.mean([psnr(truth, image) for truth, image in truths_and_images])),
        "psnr_fitted": float(np.mean([psnr(truth, fitted(truth, image)) for truth, image in truths_and_images])),
        "ssim": float(np.mean([ssim(truth, image) for truth, image in truths_and_images])),
    }


def returned(truth: np.ndarray, source: np.ndarray) -> np.ndarray:
    """Return what a network that errs nowhere gives: the truth, normalized, returned to the units of the source."""
    low, high = np.percentile(truth, PERCENTILES)
    source_low, source_high = np.percentile(source, PERCENTILES)
    return (truth - low) / (high - low) * (source_high - source_low) + source_low


def judge(predict: Any, pairs: Pairs) -> dict[str, float]:
    """Predict the held-out images and return their accuracy, and pixels per second once warm."""
    predictions = [predict(source) for source, _ in pairs]
    speed = pixels_per_second(predict, [source for source, _ in pairs])
    figures = accuracy([(truth, image) for (_, truth), image in zip(pairs, predictions, strict=True)])
    return figures | {"pixels_per_second": speed}


def train_csbdeep(data: Path, work: Path, seed: int) -> dict[str, Any]:
    """Train and predict as csbdeep's examples do."""
    from dl4fiji.keras_setup import import_tensorflow

    tf = import_tensorflow()
    from csbdeep.data import PercentileNormalizer, RawData, create_patches, norm_percentiles
    from csbdeep.models import CARE, Config

    tf.keras.utils.set_random_seed(seed)

    def patches(part: str, per_image: int) -> tuple[np.ndarray, np.ndarray]:
        raw = RawData.from_arrays(*map(list, zip(*read_pairs(data / part), strict=True)), axes="YX")
        made = create_patches(
            raw,
            patch_size=(PATCH, PATCH),
            n_patches_per_image=per_image,
            normalization=norm_percentiles(percentiles=PERCENTILES),
            verbose=False,
        )
        return np.moveaxis(made[0], 1, -1), np.moveaxis(made[1], 1, -1)

    source, target = patches("train", PATCHES_PER_IMAGE)
    validation = patches("validation", validation_patches(data) // 2)
    config = Config(
        "YX", unet_n_depth=DEPTH, unet_kern_size=KERNEL, unet_n_first=FILTERS, train_batch_size=BATCH,
        train_epochs=EPOCHS, train_steps_per_epoch=STEPS, train_learning_rate=LEARNING_RATE, train_tensorboard=False,
    )  # fmt: skip
    model = CARE(config, f"csbdeep-{seed}", basedir=str(work))
    model.prepare_for_training()
    turns = Turns(STEPS)
    model.callbacks.append(keras_stopwatch(turns))
    model.train(source, target, validation_data=validation)
    normalizer = PercentileNormalizer(*PERCENTILES)
    figures = judge(lambda image: model.predict(image.astype(np.float32), "YX", normalizer), read_pairs(data / "test"))
    return figures | turns.figures() | {"validation_patches": len(validation[0])}


def train_dl4fiji(data: Path, work: Path, seed: int) -> dict[str, Any]:
    """Train by `dl4fiji.training.run.train` and predict with the model folder that it makes."""
    from dl4fiji.prediction.predictor import Predictor

    turns = Turns(STEPS)
    folder, _ = train_ours("care-2d", our_fields(data), our_options(seed), work, seed, turns)
    predictor = Predictor(folder, "best")
    figures = judge(lambda image: predictor.predict_array(image, "YX"), read_pairs(data / "test"))
    return figures | turns.figures() | {"validation_patches": validation_patches(data)}


def our_fields(data: Path) -> Any:
    """Return where our training finds its images."""
    return fields(data / "train", data / "validation", axes="YX")


def our_options(seed: int) -> Any:
    """Return our options for the budget."""
    from dl4fiji import networks

    return networks.get("care-2d").Options.model_validate(
        {
            "epochs": EPOCHS, "steps_per_epoch": STEPS, "batch_size": BATCH, "patch_size": f"{PATCH}x{PATCH}",
            "patches_per_image": PATCHES_PER_IMAGE, "depth": DEPTH, "kernel_size": KERNEL, "first_filters": FILTERS,
            "learning_rate": LEARNING_RATE, "seed": seed,
        }
    )  # fmt: skip


def validation_patches(data: Path) -> int:
    """Return how many validation patches we draw, so that csbdeep is given as many (an even number)."""
    _, patches = open_patches("care-2d", our_fields(data), our_options(0))
    return len(patches.validation()[0])


def run(shared: Path, build: Path, seeds: int) -> dict[str, Any]:
    """Run both trainers for each seed, in turns, and return all figures."""
    data = build / "data"
    prepare(shared, data)
    runs = run_seeds(__file__, TRAINERS, data, build / "work", seeds)
    pairs = read_pairs(data / "test")
    inputs = accuracy([(truth, source) for source, truth in pairs])
    perfect = accuracy([(truth, returned(truth, source)) for source, truth in pairs])
    return {"input": inputs, "perfect": perfect, "runs": runs, "summary": summarize(runs)}


def summarize(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Return mean and spread (largest minus smallest) per trainer, and how we compare."""
    summary = compare(runs, TRAINERS, ("psnr", "psnr_fitted", "ssim"))
    no_worse = min(summary["psnr_difference"], summary["psnr_fitted_difference"]) >= -0.1
    summary["passed"] = no_worse and summary["steps_per_second_ratio"] >= 0.95
    return summary


if __name__ == "__main__":
    main("Be the process of one trainer.", {"csbdeep": train_csbdeep, "dl4fiji": train_dl4fiji})
