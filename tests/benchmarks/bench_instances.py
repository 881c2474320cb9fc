"""Objects in an image of 20 000 × 20 000 pixels: our prediction beside stardist's ``predict_instances_big``.

One network for both: StarDist 2D with its usual options, trained for 300 steps on stardist's own picture of nuclei. The
image is made of that picture's quarters, turned, flipped and varied in brightness, row by row on disk. Each predictor
runs in a process of its own, on the CPU. ours is `InstancePredictor.predict_file`: label image, ROIs and table;
stardist gets the percentiles of the whole image, blocks of 2048 pixels that overlap by 128 with a context of 96, and
writes labels alone, to a file mapped into memory. Peaks are resident memory beyond what the process had when idle.

Equality: the network's output for a part of 2048 × 2048 pixels as a whole goes through stardist's
``non_maximum_suppression``; its objects away from the part's border must be those of our label image there.

``python tests/benchmarks/bench_instances.py --side 6000`` runs it smaller.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import tifffile

SIDE = 20_000
STEPS = 300
PART, MARGIN = 2048, 192
BLOCK, OVERLAP, CONTEXT = 2048, 128, 96
PREDICTORS = ("dl4fiji", "stardist")
LARGEST = 2 * 2**30
"""Bytes that our prediction may take beyond its idle state."""


def run(shared: Path, work: Path, seeds: int, side: int = SIDE) -> dict[str, Any]:
    """Run both predictors on one image, and compare a part with the whole prediction of that part."""
    del shared, seeds
    model = train(work)
    write_nuclei(work / "nuclei.tif", side)
    results = {name: _measure(name, model, work) for name in PREDICTORS}
    results["dl4fiji"] |= compare(model, work)
    ours, theirs = results["dl4fiji"], results["stardist"]
    summary = {
        "seconds_ratio": theirs["seconds"] / ours["seconds"],
        "passed": ours["f1"] == 1.0 and ours["peak"] <= LARGEST,
    }
    return {"side": side, "predictors": results, "summary": summary}


def train(work: Path) -> Any:
    """Return the exported model."""
    from dl4fiji.data.normalization import PercentileNormalization, fit
    from dl4fiji.export import export_model
    from dl4fiji.keras_setup import import_tensorflow
    from dl4fiji.model import ModelFolder, ModelInfo
    from dl4fiji.networks import get

    tf = import_tensorflow()
    from stardist.data import test_image_nuclei_2d

    image, labels = test_image_nuclei_2d(return_mask=True)
    network, normalization = get("stardist-2d"), PercentileNormalization(low=1, high=99.8)
    options: Any = network.Options.model_validate({"grid": (2, 2), "patch_size": (128, 128)})
    tf.keras.utils.set_random_seed(1)
    model = network.build(options, 1, 1)
    trained = network.compile(model, options)
    x = fit(normalization, image, "YX").apply(image[..., np.newaxis].astype(np.float32))
    rng = np.random.default_rng(0)
    for _ in range(STEPS):
        places = rng.integers(0, 512 - 128, (options.batch_size, 2))
        windows = [(slice(y, y + 128), slice(x, x + 128)) for y, x in places]
        targets = network._targets(np.stack([labels[window] for window in windows]), options)  # type: ignore[attr-defined]
        trained.train_on_batch(np.stack([x[window] for window in windows]), targets)
    folder = ModelFolder(work / "nuclei")
    folder.weights().parent.mkdir(parents=True)
    for which in ("best", "last"):
        model.save_weights(str(folder.weights(which)))
    np.savez(folder.samples_file, input=image[:256, :256, np.newaxis].astype(np.float32))
    folder.write(
        ModelInfo(
            name="nuclei", network=network.name, options=options.model_dump(mode="json"), axes=network.axes,
            channels_in=1, channels_out=1, normalization=normalization, created=datetime.now(UTC),
            thresholds={"probability": 0.5, "nms": 0.4},
        )
    )  # fmt: skip
    export_model(folder, certify=False)
    return folder


def write_nuclei(path: Path, side: int) -> None:
    """Write an image of ``side`` × ``side`` pixels, 16-bit, strip by strip."""
    from stardist.data import test_image_nuclei_2d

    from dl4fiji.data.writer import ImageWriter

    picture = np.asarray(test_image_nuclei_2d(), np.float32)
    rng = np.random.default_rng(0)
    with ImageWriter(path, "YX", (side, side), np.uint16) as writer:
        for top in range(0, side, 256):
            tiles = []
            for _ in range(-(-side // 256)):
                y, x = rng.integers(0, 256, 2)
                tile = np.rot90(picture[y : y + 256, x : x + 256], rng.integers(4))
                tiles.append(tile[:: rng.choice([-1, 1])] * rng.uniform(0.7, 1.4))
            strip = np.hstack(tiles)[: side - top, :side].clip(0, 65535)
            writer.write(strip.astype(np.uint16), Y=slice(top, top + len(strip)))


def compare(model: Any, work: Path) -> dict[str, Any]:
    """Return how our labels agree with stardist's suppression of a part's whole output."""
    from stardist import polygons_to_label
    from stardist.matching import matching
    from stardist.nms import non_maximum_suppression

    from dl4fiji.data.image import open_image
    from dl4fiji.data.normalization import fit
    from dl4fiji.prediction.instances import InstancePredictor

    predictor = InstancePredictor(model)
    source = open_image(work / "nuclei.tif")
    start = max(0, (source.shape[0] - PART) // 2 // 16 * 16)
    part = {axis: slice(start, min(start + PART, source.shape[0])) for axis in "YX"}
    x = fit(predictor.info.normalization, source).apply(source.region(**part)[..., np.newaxis])
    output = predictor.predict_normalized(x)
    prob, dist = output[::2, ::2, 0], np.maximum(output[::2, ::2, 1:], 1e-3)
    points, prob, dist = non_maximum_suppression(dist, prob, grid=(2, 2), prob_thresh=0.5, nms_thresh=0.4)
    whole = _inner(polygons_to_label(dist, points, x.shape[:-1], prob))
    ours = _inner(open_image(work / "dl4fiji" / "nuclei.tif").region(**part).astype(np.int32))
    # Smallest IoU of a pair beyond doubt: the two are drawn from the same numbers.
    found = matching(whole, ours, thresh=0.95)
    return {"f1": found.f1, "compared": found.n_true, "mean_iou": found.mean_matched_score}


def _inner(labels: np.ndarray) -> np.ndarray:
    """Return the inner part of a label image without the objects that its border cuts, numbered anew."""
    from skimage.segmentation import clear_border, relabel_sequential

    inner = labels[MARGIN:-MARGIN, MARGIN:-MARGIN]
    return relabel_sequential(clear_border(inner))[0]


def _measure(name: str, model: Any, work: Path) -> dict[str, Any]:
    """Run a predictor in a process of its own and return its figures."""
    command = [sys.executable, __file__, "--predictor", name, "--model", str(model.path), "--work", str(work)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr[-3000:])
    return json.loads(done.stdout.strip().splitlines()[-1])


def ours(model: Path, work: Path) -> Callable[[], int]:
    """Return our prediction, ready to run."""
    from dl4fiji.model import ModelFolder
    from dl4fiji.prediction.instances import InstancePredictor

    predictor = InstancePredictor(ModelFolder(model), backend="onnx")
    predictor.predict_array(np.random.default_rng(0).integers(0, 999, (128, 128), np.uint16), "YX")

    def predict() -> int:
        predictor.predict_file(work / "nuclei.tif", work / "dl4fiji" / "nuclei.tif")
        return sum(predictor.counts.values())

    return predict


def stardists(model: Path, work: Path) -> Callable[[], int]:
    """Return stardist's prediction with the same weights, ready to run."""
    from csbdeep.data import NoNormalizer

    from dl4fiji.data.image import open_image
    from dl4fiji.data.normalization import fit
    from dl4fiji.keras_setup import import_tensorflow
    from dl4fiji.model import ModelFolder
    from dl4fiji.networks import get
    from dl4fiji.prediction.keras_model import load_keras_model

    tf = import_tensorflow()
    folder = ModelFolder(model)
    info = folder.read()
    network: Any = get(info.network)
    keras = load_keras_model(folder)
    peer = network._peer(network.Options.model_validate(info.options), 1)
    peer.keras_model = tf.keras.Model(keras.input, [keras.get_layer(layer).output for layer in ("prob", "dist")])
    scale = fit(info.normalization, open_image(work / "nuclei.tif"))
    image = tifffile.memmap(work / "nuclei.tif", mode="r")

    class Normalizer(NoNormalizer):
        """The percentiles of the whole image, known before."""

        def before(self, x: np.ndarray, axes: str) -> np.ndarray:
            del axes
            return scale.apply(x[..., np.newaxis])[..., 0].astype(np.float32)

    thresholds: dict[str, Any] = {"prob_thresh": 0.5, "nms_thresh": 0.4, "normalizer": Normalizer()}
    peer.predict_instances(np.zeros((128, 128), np.float32), **thresholds)

    def predict() -> int:
        labels = np.memmap(work / "stardist.raw", np.int32, "w+", shape=image.shape)
        side = min(BLOCK, *image.shape)
        _, found = peer.predict_instances_big(
            image, "YX", side, OVERLAP, CONTEXT, labels_out=labels, show_progress=False, **thresholds
        )
        return len(found["prob"])

    return predict


def child(name: str, model: Path, work: Path) -> None:
    """Run a predictor and print its figures as the last line."""
    predict = {"dl4fiji": ours, "stardist": stardists}[name](model, work)
    process = psutil.Process()
    idle = peak = _own(process)
    ended = threading.Event()

    def watch() -> None:
        nonlocal peak
        while not ended.wait(0.05):
            peak = max(peak, _own(process))

    watcher = threading.Thread(target=watch)
    watcher.start()
    start, cpu = time.perf_counter(), time.process_time()
    count = predict()
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    ended.set()
    watcher.join()
    print(json.dumps({"objects": count, "seconds": seconds, "cpu_seconds": cpu, "idle": idle, "peak": peak - idle}))


def _own(process: psutil.Process) -> int:
    """Return resident memory without pages of mapped files, which the system takes back at will."""
    memory = process.memory_info()
    return memory.rss - getattr(memory, "shared", 0)


def main() -> None:
    """Run the benchmark, or one predictor of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--side", type=int, default=SIDE)
    parser.add_argument("--predictor", choices=PREDICTORS)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--work", type=Path)
    arguments = parser.parse_args()
    if arguments.predictor:
        child(arguments.predictor, arguments.model, arguments.work)
        return
    with tempfile.TemporaryDirectory(prefix="dl4fiji-bench-") as folder:
        print(json.dumps(run(Path(), arguments.work or Path(folder), 1, arguments.side), indent=2))


if __name__ == "__main__":
    main()
