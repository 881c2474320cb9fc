"""Predict an image in a process of its own and tell what memory it took beyond what it had when idle.

``python memory_child.py MODEL_FOLDER IMAGE RESULT``; the last line is JSON with ``idle``, ``peak`` (bytes, resident),
``seconds`` and ``tiles``.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from pathlib import Path

import numpy as np
import psutil

from dl4fiji.model import ModelFolder
from dl4fiji.prediction.predictor import Predictor


def main(model: str, image: str, result: str) -> None:
    """Load the model, run it once on a small image, then measure."""
    predictor = Predictor(ModelFolder(Path(model)))
    predictor.predict_array(np.zeros((64,) * len(predictor.recipe.spatial), np.uint16), predictor.recipe.spatial)
    process = psutil.Process()
    idle = peak = process.memory_info().rss
    ended = threading.Event()

    def watch() -> None:
        nonlocal peak
        while not ended.wait(0.01):
            peak = max(peak, process.memory_info().rss)

    watcher = threading.Thread(target=watch)
    watcher.start()
    start = time.perf_counter()
    predictor.predict_file(Path(image), Path(result))
    seconds = time.perf_counter() - start
    ended.set()
    watcher.join()
    tiles = predictor.count_tiles(Path(image))
    print(json.dumps({"idle": idle, "peak": peak, "seconds": seconds, "tiles": tiles, "by": predictor.runner.title}))


if __name__ == "__main__":
    main(*sys.argv[1:])
