"""R3: a training killed anywhere and resumed ends as one that was never disturbed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import tifffile
from scipy import ndimage

from dl4fiji.model import ModelFolder
from dl4fiji.networks import get
from dl4fiji.networks.weights import read_weights
from dl4fiji.training.history import read_history

EPOCHS = 12

WORKER = """
import sys
from pathlib import Path
from types import SimpleNamespace
from dl4fiji.model import ModelFolder
from dl4fiji.networks import get
from dl4fiji.progress import SilentProgress
from dl4fiji.training.run import train

data, job, model, epochs = sys.argv[1:5]

class Log(SilentProgress):
    def epoch(self, row):
        with open(Path(job) / "epochs.txt", "a") as file:
            file.write(f"{row['epoch']:.0f}\\n")

fields = SimpleNamespace(source=data + "/source", target=data + "/target", validation_source="",
                         validation_target="", axes="")
network = get("care-2d")
options = network.Options(epochs=int(epochs), steps_per_epoch=8, batch_size=4, patches_per_image=8, depth=1,
                          kernel_size=3, first_filters=4, patch_size="32x32", learning_rate=5e-3,
                          reduce_lr_patience=1, augmentation=True, target_normalization="own")
Path(job).mkdir(exist_ok=True)
train(network, fields, options, Path(job), ModelFolder(Path(model)), Log())
"""


def _start(data: Path, job: Path, model: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", WORKER, str(data), str(job), str(model), str(EPOCHS)]
    with (job.parent / f"{job.name}.log").open("ab") as log:
        return subprocess.Popen(command, stdout=log, stderr=log)


def _finish(process: subprocess.Popen[bytes], log: Path) -> None:
    assert process.wait(timeout=240) == 0, log.read_text(errors="replace")[-3000:]


def _kill_after(process: subprocess.Popen[bytes], job: Path, checkpoints: int, delay: float) -> bool:
    """Kill the worker ``delay`` seconds after the checkpoint of that epoch; False if it ended before."""
    folder = job / "checkpoints"
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        epochs = [int(path.name[6:]) for path in folder.glob("epoch-*")] if folder.is_dir() else []
        if epochs and max(epochs) >= checkpoints:
            time.sleep(delay)
            break
        time.sleep(0.005)
    if process.poll() is not None:
        return False
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    return True


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Four noisy and clean images."""
    rng = np.random.default_rng(0)
    for role in ("source", "target"):
        (tmp_path / "data" / role).mkdir(parents=True)
    for number in range(4):
        clean = ndimage.gaussian_filter(rng.random((64, 64)), 2) * 2000
        noisy = clean + rng.normal(0, 60, clean.shape)
        for role, image in (("source", noisy), ("target", clean)):
            tifffile.imwrite(tmp_path / "data" / role / f"{number}.tif", image.astype(np.float32))
    return tmp_path / "data"


def _rounds(data: Path, tmp_path: Path, kills: list[tuple[int, float]]) -> None:
    undisturbed, killed = ModelFolder(tmp_path / "models" / "undisturbed"), ModelFolder(tmp_path / "models" / "killed")
    _finish(_start(data, tmp_path / "job a", undisturbed.path), tmp_path / "job a.log")
    job = tmp_path / "job b"
    done = 0
    for checkpoints, delay in kills:
        done += _kill_after(_start(data, job, killed.path), job, checkpoints, delay)
        assert not killed.path.exists() or killed.exists(), "never half a model"
    assert done >= 1, "the training ended before it could be killed"
    if not killed.exists():
        _finish(_start(data, job, killed.path), tmp_path / "job b.log")
    told = [int(line) for line in (job / "epochs.txt").read_text().split()]
    # Each kill repeats at most the epoch it fell into, or falls between keeping an epoch and telling of it.
    assert len(told) <= EPOCHS + done
    assert len(set(told)) >= EPOCHS - done
    for which in ("best", "last"):
        layers = zip(read_weights(undisturbed.weights(which)), read_weights(killed.weights(which)), strict=True)
        for one, two in layers:
            for expected, got in zip(one.arrays, two.arrays, strict=True):
                np.testing.assert_allclose(got, expected, atol=1e-6, rtol=0)
    rows = read_history(undisturbed.history_file), read_history(killed.history_file)
    for name in ("epoch", "loss", "val_loss", "learning_rate"):
        assert [row[name] for row in rows[1]] == pytest.approx([row[name] for row in rows[0]], abs=1e-6)
    assert len({row["learning_rate"] for row in rows[0]}) > 1, "the learning rate has been halved on the way"
    assert get(killed.read().network).name == "care-2d"


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGKILL")
def test_killed_training_ends_as_an_undisturbed_one(data: Path, tmp_path: Path) -> None:
    _rounds(data, tmp_path, [(2, 0.0), (5, 0.03), (9, 0.01)])


@pytest.mark.nightly
@pytest.mark.timeout(1800)
@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGKILL")
def test_killed_at_random_moments(data: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng()
    kills = sorted((int(epoch), float(rng.uniform(0, 0.1))) for epoch in rng.integers(1, EPOCHS, 20))
    _rounds(data, tmp_path, kills)
