"""What the benchmarks of all networks share: training by us with a stopwatch, rounds over seeds, and their summary."""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from turns import Turns, run_seed, speed_ratio

OURS = "dl4fiji"
"""The name of our trainer; it comes second among trainers."""

MEASURED = ("steps_per_second", "cpu_ms_per_step", "pixels_per_second", "seconds", "peak_mib", "others_cpu")
"""Figures that every run has."""

ROUNDS = 9
PREDICTION_ROUNDS = 3

Train = Callable[[Path, Path, int], dict[str, Any]]
"""Trains on a prepared folder (first) with a folder for its work and a seed, predicts, and returns figures."""


def fields(train: Path, validation: Path, target: str = "target", source: str = "source", axes: str = "") -> Any:
    """Return where our training finds its images; with ``target`` empty there is none and the folders hold images."""
    return SimpleNamespace(
        source=str(train / source), target=str(train / target) if target else "",
        validation_source=str(validation / source), validation_target=str(validation / target) if target else "",
        axes=axes,
    )  # fmt: skip


def train_ours(network: str, data: Any, options: Any, work: Path, seed: int, turns: Turns) -> tuple[Any, Any]:
    """Train by `dl4fiji.training.run.train`; return the model's folder and what is known of the model."""
    from dl4fiji import networks
    from dl4fiji.model import ModelFolder
    from dl4fiji.progress import SilentProgress
    from dl4fiji.training.run import train

    class Stopwatch(SilentProgress):
        def epoch(self, row: dict[str, float]) -> None:
            super().epoch(row)
            turns.epoch_ended()

    folder = ModelFolder(work / f"{OURS}-{seed}")
    return folder, train(networks.get(network), data, options, work / f"job-{seed}", folder, Stopwatch())


def keras_stopwatch(turns: Turns) -> Any:
    """Return the callback by which Keras tells of the end of each epoch."""
    from dl4fiji.keras_setup import import_tensorflow

    class Stopwatch(import_tensorflow().keras.callbacks.Callback):  # type: ignore[misc]
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            turns.epoch_ended()

    return Stopwatch()


def open_patches(name: str, data: Any, options: Any) -> tuple[Any, Any]:
    """Return the network called ``name`` and the patches that it would be trained on."""
    from dl4fiji import networks
    from dl4fiji.data.pairs import open_pairs
    from dl4fiji.data.patches import PatchSource
    from dl4fiji.network import target_form

    network = networks.get(name)
    form = target_form(network, options)
    paired = network.data_form == "paired"
    dataset = open_pairs(data, network.axes, patch_size=options.patch_size, paired=paired, form=form)
    dataset = dataset.split(options.validation_percent, options.seed, options.patch_size)
    return network, PatchSource(dataset, network.normalization(options, dataset), options, network.axes)


def alternate(theirs: Callable[[int], Any], ours: Callable[[int], Any], count: int) -> tuple[float, float]:
    """Return patches per second on the clock, of ``count`` at a time, working by turns: the median of the rounds."""
    seconds: tuple[list[float], list[float]] = ([], [])
    for index in range(ROUNDS + 1):
        for work, found in zip((theirs, ours), seconds, strict=True):
            began = time.perf_counter()
            work(index)
            found.append(time.perf_counter() - began)
            time.sleep(0.05)  # OpenMP's threads go on for some time after their work
    return count / float(np.median(seconds[0][1:])), count / float(np.median(seconds[1][1:]))


def pixels_per_second(
    predict: Callable[[np.ndarray], Any], images: Sequence[np.ndarray], rounds: int = PREDICTION_ROUNDS
) -> float:
    """Return the speed of prediction once it has run; call it after a first prediction of all images."""
    began = time.perf_counter()
    for _ in range(rounds):
        for image in images:
            predict(image)
    return rounds * sum(image.size for image in images) / (time.perf_counter() - began)


def run_seeds(script: str, trainers: Sequence[str], data: Path, work: Path, seeds: int) -> list[dict[str, Any]]:
    """Train and predict with both for each seed, in turns; tell and return the figures."""
    work.mkdir(parents=True, exist_ok=True)
    runs = []
    for seed in range(seeds):
        for figures in run_seed(script, trainers, seed, data, work):
            runs.append(figures)
            told = {name: round(value, 3) for name, value in figures.items() if isinstance(value, float)}
            print(f"{data.name}, {figures['trainer']} seed {seed}: {json.dumps(told)}", flush=True)
    return runs


def mean_and_spread(values: list[float]) -> dict[str, float]:
    """Return the mean and the difference of the largest and the smallest."""
    return {"mean": float(np.mean(values)), "spread": float(np.ptp(values))}


def compare(runs: list[dict[str, Any]], trainers: Sequence[str], names: Sequence[str]) -> dict[str, Any]:
    """Return mean and spread per trainer of ``names`` and of `MEASURED`, and how the second compares with the first.

    ``<name>_difference`` for each of ``names``; ``steps_per_second_ratio`` is that of neighboring epochs.
    """
    summary: dict[str, Any] = {}
    for trainer in trainers:
        rows = [run for run in runs if run["trainer"] == trainer]
        summary[trainer] = {name: mean_and_spread([row[name] for row in rows]) for name in (*names, *MEASURED)}
    theirs, ours = (summary[trainer] for trainer in trainers)
    for name in names:
        summary[f"{name}_difference"] = ours[name]["mean"] - theirs[name]["mean"]
    summary["pixels_per_second_ratio"] = ours["pixels_per_second"]["mean"] / theirs["pixels_per_second"]["mean"]
    summary["steps_per_second_ratio"] = speed_ratio(runs, trainers)
    summary["cpu_per_step_ratio"] = ours["cpu_ms_per_step"]["mean"] / theirs["cpu_ms_per_step"]["mean"]
    return summary


def main(description: str, trainers: dict[str, Train], alone: dict[str, Callable[[Path], Any]] | None = None) -> None:
    """Be the process of one trainer, or, named first, measure one thing alone."""
    parser = argparse.ArgumentParser(description=description)
    if alone:
        parser.add_argument("what", nargs="?", choices=sorted(alone))
    parser.add_argument("--trainer", choices=sorted(trainers))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--result", type=Path)
    default = os.environ.get("DL4FIJI_SHARED", str(Path(__file__).resolve().parents[3] / "shared"))
    parser.add_argument("--shared", type=Path, default=Path(default), help="folder that holds data/")
    arguments = parser.parse_args()
    if alone and arguments.what:
        print(json.dumps(alone[arguments.what](arguments.shared), indent=2))
        return
    figures = trainers[arguments.trainer](arguments.data, arguments.result.parent, arguments.seed)
    arguments.result.write_text(json.dumps(figures), encoding="utf-8")
