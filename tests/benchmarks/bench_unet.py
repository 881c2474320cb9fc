"""U-Net 2D and 3D beside the way of ZeroCostDL4Mic's notebooks, on real masks and at an equal budget.

Three data sets, of which `data/README.md` of the shared images tells: `axon-sem` with three classes (background, axon,
myelin), split by rat; `dsb2018-nuclei`, labels as masks, every fifth image held out and each seventh of the others for
validation; `nuclei-3d`, labels as masks, of one volume the left part trains and the right part validates, the other
volume is held out. Budgets are in `SETS`; both train the very same Keras network by Adam with the same step width.

The peer works as the notebooks do. In planes: images are cut beforehand into patches side by side, stored with 8 bits
from their least to their largest value, left out where less than 2 % is foreground; each patch is normalized by its own
percentiles 1 and 99.8 in training, the whole image by its percentiles in prediction. In volumes: random crops, each
slice normalized from its least to its largest value. Cross-entropy weighted by class frequency, for several classes
unweighted; no augmentation, the notebooks' default; Keras' ``fit`` with a generator keeps the weights with the lowest
validation loss; tiles of the patch's size side by side in prediction. The notebooks leave the choice of the threshold
to the user; here the peer is given our search on the validation images, and is also judged at 0.5.

Both are judged on the held-out images by the mean IoU of the classes without background, mean over images, at the
threshold found in training and at 0.5. The two train in turns, epoch by epoch, as `bench_care` explains. ``input``
compares whole batches: what a step of the training asks for, in patches per second on the clock; ours are augmented,
``plain`` are not. No speed is demanded in training, since ours computes the augmentation on the same cores.

``python tests/benchmarks/bench_unet.py input`` measures the input pipelines alone.
"""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import imageio.v3 as iio
import numpy as np
import tifffile
from trainers import (
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

TRAINERS = ("notebook", "dl4fiji")
PERCENTILES = (1, 99.8)
LEAST_FOREGROUND = 0.02
LEARNING_RATE = 3e-4
MARGIN = 0.01
"""IoU that we may lie below the notebook's way."""


@dataclass(frozen=True)
class Budget:
    """What both trainers are given for a data set."""

    network: str
    patch: tuple[int, ...]
    epochs: int
    steps: int
    batch: int
    depth: int
    first_filters: int
    classes: int = 2


SETS = {
    "axon-sem": Budget("unet-2d", (128, 128), 6, 50, 4, 3, 16, 3),
    "dsb2018-nuclei": Budget("unet-2d", (128, 128), 6, 50, 4, 3, 16),
    "nuclei-3d": Budget("unet-3d", (32, 32, 32), 8, 100, 2, 2, 8),
}
RATS = {"rat6": "validation", "rat4": "test", "rat8": "test"}
"""Parts of the split of `axon-sem`; all other rats train."""

Pairs = list[tuple[np.ndarray, np.ndarray]]
Predict = Callable[[np.ndarray], np.ndarray]
"""From an image to probabilities (spatial, C)."""


def prepare(shared: Path, folder: Path) -> None:
    """Sort the images of all sets into ``train``, ``validation`` and ``test``, with masks of classes, as TIFF."""
    for name in SETS:
        data = shared / "data" / name
        for number, image in enumerate(sorted((data / "images").iterdir())):
            for part, source, target in _parts(name, number, image.stem, _grey(image), _classes(data, image)):
                for role, pixels in (("source", source), ("target", target)):
                    place = folder / name / part / role / f"{image.stem}.tif"
                    place.parent.mkdir(parents=True, exist_ok=True)
                    tifffile.imwrite(place, pixels, imagej=True, metadata={"axes": "ZYX"[-pixels.ndim :]})


def _grey(path: Path) -> np.ndarray:
    """Return an image; of one in colors, or with transparency, that is grey in fact the first channel."""
    pixels = tifffile.imread(path) if path.suffix == ".tif" else iio.imread(path)
    return pixels[..., 0] if path.suffix != ".tif" and pixels.ndim == 3 else pixels


def _classes(data: Path, image: Path) -> np.ndarray:
    """Return the number of the class of each pixel, uint8: 1 for axons or nuclei, 2 for myelin."""
    if data.name == "axon-sem":
        axon, myelin = (_grey(data / kind / image.name) > 127 for kind in ("axon", "myelin"))
        return np.where(myelin, 2, axon).astype(np.uint8)
    return (tifffile.imread(data / "labels" / f"{image.stem}.tif") > 0).astype(np.uint8)


def _parts(
    name: str, number: int, stem: str, image: np.ndarray, classes: np.ndarray
) -> list[tuple[str, np.ndarray, np.ndarray]]:
    """Return which part of the split an image, or each part of it, belongs to."""
    if name == "nuclei-3d":
        if number == 1:
            return [("test", image, classes)]
        # Cut in X, not in Z: the deepest planes of a volume are the blurred ones and would tell little of the others.
        return [("train", image[..., :68], classes[..., :68]), ("validation", image[..., 68:], classes[..., 68:])]
    if name == "axon-sem":
        part = next((part for rat, part in RATS.items() if f"-{rat}_" in stem), "train")
    else:
        part = "test" if number % 5 == 0 else "validation" if number % 7 == 1 else "train"
    return [(part, image, classes)]


def read_pairs(folder: Path) -> Pairs:
    """Return images and classes of all pairs in a part of the split."""
    names = sorted(path.name for path in (folder / "source").iterdir())
    return [(tifffile.imread(folder / "source" / name), tifffile.imread(folder / "target" / name)) for name in names]


def judge(predict: Predict, threshold: float, folder: Path) -> dict[str, float]:
    """Segment the held-out images; return their mean IoU at the threshold and at 0.5, and pixels per second."""
    pairs = read_pairs(folder)
    tallies = tally(predict, pairs)
    speed = pixels_per_second(predict, [image for image, _ in pairs])
    return {
        "iou": mean_iou(tallies, threshold), "iou_at_half": mean_iou(tallies, 0.5), "threshold": threshold,
        "pixels_per_second": speed,
    }  # fmt: skip


def tally(predict: Predict, pairs: Pairs) -> list[Any]:
    """Return for each pair how often each class was found where."""
    from dl4fiji.quality_control.segmentation import Tally

    return [Tally.of(classes, predict(image)) for image, classes in pairs]


def mean_iou(tallies: list[Any], threshold: float) -> float:
    """Return the mean over images of the mean IoU of the classes without background."""
    from dl4fiji.quality_control.segmentation import figures

    return float(np.mean([figures(one, threshold)["iou"] for one in tallies]))


def between(image: np.ndarray, low: Any, high: Any) -> np.ndarray:
    """Return the image with ``low`` at 0 and ``high`` at 1, float32."""
    return ((image.astype(np.float32) - low) / (high - low + 1e-20)).astype(np.float32)


def by_percentiles(image: np.ndarray) -> np.ndarray:
    """Normalize as the notebook for planes does."""
    return between(image, *np.percentile(image, PERCENTILES))


def by_slices(volume: np.ndarray) -> np.ndarray:
    """Normalize as the notebook for volumes does: each slice from its least to its largest value."""
    return between(volume, volume.min((1, 2), keepdims=True), volume.max((1, 2), keepdims=True))


def stored_patches(pairs: Pairs, patch: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Return the patches that the notebook for planes stores, uint8, and their classes; N, Y, X, 1."""
    images, targets = [], []
    for image, classes in pairs:
        for corner in itertools.product(*map(range, [0] * 2, np.subtract(image.shape, patch) + 1, patch)):
            window = tuple(slice(start, start + side) for start, side in zip(corner, patch, strict=True))
            if np.mean(classes[window] > 0) > LEAST_FOREGROUND:
                images.append(np.round(255 * between(image[window], image[window].min(), image[window].max())))
                targets.append(classes[window])
    return np.stack(images).astype(np.uint8)[..., np.newaxis], np.stack(targets)[..., np.newaxis]


def crops(pairs: Pairs, patch: tuple[int, ...], batch: int, seed: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield batches as the notebook for volumes does: slices of a random place are normalized, then cropped."""
    rng = np.random.default_rng(seed)
    while True:
        source = np.empty((batch, *patch, 1), np.float32)
        target = np.empty((batch, *patch, 1), np.float32)
        for number in range(batch):
            volume, classes = pairs[rng.integers(len(pairs))]
            corner = [rng.integers(size - side + 1) for size, side in zip(volume.shape, patch, strict=True)]
            depth, *window = (slice(start, start + side) for start, side in zip(corner, patch, strict=True))
            source[number, ..., 0] = by_slices(volume[depth])[:, *window]
            target[number, ..., 0] = classes[depth][:, *window]
        yield source, target


def flow(patches: tuple[np.ndarray, np.ndarray], batch: int, seed: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield batches as the notebook for planes does: two of Keras' generators, of one seed, side by side."""
    from dl4fiji.keras_setup import import_tensorflow

    generator = import_tensorflow().keras.preprocessing.image.ImageDataGenerator
    images = generator(preprocessing_function=by_percentiles).flow(patches[0], batch_size=batch, seed=seed)
    targets = generator().flow(patches[1], batch_size=batch, seed=seed)
    return zip(images, targets, strict=False)


def their_batches(data: Path, part: str, seed: int) -> tuple[Iterator[tuple[np.ndarray, np.ndarray]], int]:
    """Return the notebook's batches of a part of the split, for ever, and how many see all of it."""
    budget, pairs = SETS[data.name], read_pairs(data / part)
    if len(budget.patch) == 3:
        every = sum(classes.size for _, classes in pairs) // np.prod(budget.patch)
        return crops(pairs, budget.patch, budget.batch, seed), max(1, int(every) // budget.batch)
    patches = stored_patches(pairs, budget.patch)
    return flow(patches, budget.batch, seed), max(1, len(patches[0]) // budget.batch)


def their_loss(data: Path) -> Any:
    """Return the notebook's loss: weighted by class frequency, or for several classes Keras' own."""
    from dl4fiji.data.masks import class_weights
    from dl4fiji.keras_setup import import_tensorflow

    tf = import_tensorflow()
    budget = SETS[data.name]
    if budget.classes > 2:
        return "sparse_categorical_crossentropy"
    counts = sum(np.bincount(classes.ravel(), minlength=2) for _, classes in read_pairs(data / "train"))
    background, foreground = class_weights([int(count) for count in counts])

    def weighted(target: Any, found: Any) -> Any:
        weight = target * foreground + (1 - target) * background
        return tf.reduce_mean(weight * tf.keras.backend.binary_crossentropy(target, found))

    return weighted


def in_tiles(model: Any, image: np.ndarray, patch: tuple[int, ...]) -> np.ndarray:
    """Predict as the notebooks do: tiles of the patch's size side by side, the last ones shifted back."""
    shape = image.shape
    image = np.pad(image, [(0, max(0, side - size)) for size, side in zip(shape, patch, strict=True)])
    result = np.empty((*image.shape, model.output_shape[-1]), np.float32)
    starts = [
        [min(at, size - side) for at in range(0, size, side)] for size, side in zip(image.shape, patch, strict=True)
    ]
    for corner in itertools.product(*starts):
        window = tuple(slice(start, start + side) for start, side in zip(corner, patch, strict=True))
        result[window] = model.predict_on_batch(image[window][np.newaxis, ..., np.newaxis])[0]
    return result[tuple(map(slice, shape))]


def train_notebook(data: Path, work: Path, seed: int) -> dict[str, Any]:
    """Train and predict as the notebooks do."""
    from dl4fiji import networks
    from dl4fiji.keras_setup import import_tensorflow
    from dl4fiji.quality_control.segmentation import best_threshold

    tf = import_tensorflow()
    tf.keras.utils.set_random_seed(seed)
    budget = SETS[data.name]
    network = networks.get(budget.network)
    model = network.build(our_options(budget, seed), 1, 1 if budget.classes == 2 else budget.classes)
    model.compile(tf.keras.optimizers.Adam(LEARNING_RATE), loss=their_loss(data))
    training, _ = their_batches(data, "train", seed)
    validation, steps = their_batches(data, "validation", seed)
    best, turns = work / f"notebook-{seed}.h5", Turns(budget.steps)
    keep = tf.keras.callbacks.ModelCheckpoint(str(best), save_best_only=True, save_weights_only=True)
    model.fit(
        training, epochs=budget.epochs, steps_per_epoch=budget.steps, validation_data=validation,
        validation_steps=steps, callbacks=[keep, keras_stopwatch(turns)], verbose=2,
    )  # fmt: skip
    model.load_weights(str(best))
    normalize = by_percentiles if len(budget.patch) == 2 else by_slices

    def predict(image: np.ndarray) -> np.ndarray:
        return in_tiles(model, normalize(image), budget.patch)

    threshold, _ = best_threshold(tally(predict, read_pairs(data / "validation")))
    return judge(predict, threshold, data / "test") | turns.figures()


def train_dl4fiji(data: Path, work: Path, seed: int) -> dict[str, Any]:
    """Train by `dl4fiji.training.run.train` and predict with the model folder that it makes."""
    from dl4fiji.prediction.predictor import Predictor

    budget = SETS[data.name]
    turns = Turns(budget.steps)
    folder, info = train_ours(budget.network, our_fields(data), our_options(budget, seed), work, seed, turns)
    predictor, axes = Predictor(folder), "ZYX"[-len(budget.patch) :]

    def predict(image: np.ndarray) -> np.ndarray:
        found = predictor.predict_arrays(image, axes)["probability"]
        return found[..., np.newaxis] if budget.classes == 2 else np.moveaxis(found, axes.index("Y"), -1)

    return judge(predict, info.thresholds["probability"], data / "test") | turns.figures()


def our_fields(data: Path) -> Any:
    """Return where our training finds its images."""
    return fields(data / "train", data / "validation")


def our_options(budget: Budget, seed: int) -> Any:
    """Return our options for the budget."""
    from dl4fiji import networks

    return networks.get(budget.network).Options.model_validate(
        {
            "epochs": budget.epochs, "steps_per_epoch": budget.steps, "batch_size": budget.batch,
            "patch_size": budget.patch, "depth": budget.depth, "first_filters": budget.first_filters,
            "learning_rate": LEARNING_RATE, "seed": seed,
            "mask_values": "classes" if budget.classes > 2 else "foreground",
        }
    )  # fmt: skip


def measure_input(data: Path) -> dict[str, dict[str, float]]:
    """Return patches per second of both input pipelines alone, per data set; of ours without augmentation, too."""
    rates = {}
    for name, budget in SETS.items():
        options = our_options(budget, 0)
        batches, _ = their_batches(data / name, "train", 0)
        found: dict[str, float] = {}
        for key, augmented in (("dl4fiji", True), ("dl4fiji_plain", False)):
            drawn = options.model_copy(update={"augmentation": augmented})
            network, patches = open_patches(budget.network, our_fields(data / name), drawn)
            found["notebook"], found[key] = alternate(
                lambda _, batches=batches: next(batches),
                lambda step, network=network, given=(patches, drawn): network.batch(*given, 0, step),
                budget.batch,
            )
        rates[name] = found
    return rates


def input_alone(shared: Path) -> dict[str, dict[str, float]]:
    """Prepare the data and measure the input pipelines."""
    with tempfile.TemporaryDirectory() as folder:
        prepare(shared, Path(folder))
        return measure_input(Path(folder))


def run(shared: Path, build: Path, seeds: int) -> dict[str, Any]:
    """Measure the input, run both trainers on each set for each seed, in turns, and return all figures."""
    data = build / "data"
    prepare(shared, data)
    rates = measure_input(data)
    runs = {name: run_seeds(__file__, TRAINERS, data / name, build / name, seeds) for name in SETS}
    sets = {name: summarize(of_set) for name, of_set in runs.items()}
    summary = {"sets": sets, "passed": all(row["passed"] for row in sets.values())}
    return {"input": rates, "runs": runs, "summary": summary}


def summarize(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Return mean and spread (largest minus smallest) per trainer, and how we compare."""
    summary = compare(runs, TRAINERS, ("iou", "iou_at_half", "threshold"))
    summary["passed"] = summary["iou_difference"] >= -MARGIN
    return summary


if __name__ == "__main__":
    main(
        "Be the process of one trainer, or measure the input pipelines alone.",
        {"notebook": train_notebook, "dl4fiji": train_dl4fiji},
        {"input": input_alone},
    )
