"""Trainers side by side: each in a process of its own, working in turns, so that a busy machine meets both alike."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import psutil


class Turns:
    """Tells at the end of each epoch how long it took, and stands still until it is this trainer's turn again.

    Parameters
    ----------
    steps
        Steps of an epoch.
    """

    def __init__(self, steps: int) -> None:
        self._steps = steps
        self.seconds: list[float] = []
        self.cpu_seconds: list[float] = []
        self._begin()

    def _begin(self) -> None:
        self._began, self._cpu_began = time.perf_counter(), time.process_time()

    def epoch_ended(self) -> None:
        """Note the time of the epoch and give the turn to the other trainer."""
        self.seconds.append(time.perf_counter() - self._began)
        self.cpu_seconds.append(time.process_time() - self._cpu_began)
        os.kill(os.getpid(), signal.SIGSTOP)
        self._begin()

    def figures(self) -> dict[str, Any]:
        """Return steps per second and processor time per step of the epochs after the first."""
        steps = self._steps * (len(self.seconds) - 1)
        return {
            "steps_per_second": steps / sum(self.seconds[1:]),
            "cpu_ms_per_step": 1000 * sum(self.cpu_seconds[1:]) / steps,
            "epoch_seconds": self.seconds,
        }


class Child:
    """The process of one trainer, which stops itself at the end of each epoch."""

    def __init__(self, script: str, trainer: str, seed: int, data: Path, work: Path) -> None:
        self.trainer, self.seed = trainer, seed
        self._result, self.log = work / f"{trainer}-{seed}.json", work / f"{trainer}-{seed}.log"
        self.seconds, self.ended, self._usage = 0.0, False, None
        command = [sys.executable, script, "--trainer", trainer, "--seed", str(seed), "--data", str(data)]
        with self.log.open("w", encoding="utf-8") as stream:
            self._process = subprocess.Popen(
                [*command, "--result", str(self._result)], stdout=stream, stderr=subprocess.STDOUT
            )
        self._wait()

    def go_on(self) -> None:
        """Let it work until the end of an epoch, or to its end."""
        os.kill(self._process.pid, signal.SIGCONT)
        self._wait()

    def end(self) -> None:
        """End it if it stands still, so that none is left behind."""
        if not self.ended:
            os.kill(self._process.pid, signal.SIGKILL)

    def _wait(self) -> None:
        began = time.monotonic()
        _, status, self._usage = os.wait4(self._process.pid, os.WUNTRACED)
        self.seconds += time.monotonic() - began
        self.ended = not os.WIFSTOPPED(status)
        if self.ended and status:
            code = os.waitstatus_to_exitcode(status)
            raise SystemExit(f"{self.trainer} failed with exit code {code}, see {self.log}")

    @property
    def cpu_seconds(self) -> float:
        """Processor time that it used, once it has ended."""
        assert self._usage is not None
        return self._usage.ru_utime + self._usage.ru_stime

    def figures(self) -> dict[str, Any]:
        """Return what it measured, and its time and memory."""
        assert self._usage is not None
        return json.loads(self._result.read_text(encoding="utf-8")) | {
            "trainer": self.trainer, "seed": self.seed, "seconds": self.seconds,
            "peak_mib": self._usage.ru_maxrss / 1024,
        }  # fmt: skip


def run_seed(script: str, trainers: Sequence[str], seed: int, data: Path, work: Path) -> list[dict[str, Any]]:
    """Train and predict with both in turns; besides their figures, say how busy others kept the machine."""
    busy, began = _busy(), time.monotonic()
    order = trainers if seed % 2 == 0 else reversed(trainers)
    children: list[Child] = []
    try:
        for trainer in order:
            children.append(Child(script, trainer, seed, data, work))
        while not all(child.ended for child in children):
            for child in children:
                if not child.ended:
                    child.go_on()
    finally:
        for child in children:
            child.end()
    own = sum(child.cpu_seconds for child in children)
    others = max(0.0, _busy() - busy - own) / ((time.monotonic() - began) * (psutil.cpu_count() or 1))
    return [child.figures() | {"others_cpu": others} for child in children]


def run_child(trainer: str, seed: int, data: Path, work: Path, script: str) -> dict[str, Any]:
    """Train and predict without taking turns; besides its figures, say how busy others kept the machine."""
    busy, child = _busy(), Child(script, trainer, seed, data, work)
    others = max(0.0, _busy() - busy - child.cpu_seconds) / (child.seconds * (psutil.cpu_count() or 1))
    return child.figures() | {"others_cpu": others}


def speed_ratio(runs: list[dict[str, Any]], trainers: Sequence[str]) -> float:
    """Return the second trainer's speed as a multiple of the first's: the median over epochs trained in turns."""
    ratios = []
    for seed in {run["seed"] for run in runs}:
        theirs, ours = (
            next(run["epoch_seconds"] for run in runs if (run["trainer"], run["seed"]) == (trainer, seed))
            for trainer in trainers
        )
        ratios += [their / our for their, our in zip(theirs[1:], ours[1:], strict=True)]
    return float(np.median(ratios))


def _busy() -> float:
    """Return the seconds that all cores together have worked so far."""
    times = psutil.cpu_times()
    return sum(times) - times.idle - getattr(times, "iowait", 0.0)
