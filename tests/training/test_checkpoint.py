"""Checkpoints: whole, few, and usable after damage."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dl4fiji.errors import ResourceError, WorkerError
from dl4fiji.networks import get
from dl4fiji.training.checkpoint import Checkpoint, Checkpoints
from dl4fiji.training.loop import build_optimizers

ROW = {"epoch": 1.0, "loss": 1.0, "val_loss": 1.0, "learning_rate": 1e-3, "seconds": 1.0}


def _trainee(options: Any) -> Any:
    network = get("care-2d")
    trainee = network.compile(network.build(options, 1, 1), options)
    build_optimizers(trainee)
    return trainee


def _train(trainee: Any, steps: int = 3) -> None:
    rng = np.random.default_rng(0)
    for _ in range(steps):
        trainee.train_on_batch(rng.random((2, 8, 8, 1), np.float32), rng.random((2, 8, 8, 1), np.float32))


def _state(trainee: Any) -> list[np.ndarray]:
    return [variable.numpy() for variable in (*trainee.variables, *trainee.optimizer.variables)]


def _save(checkpoints: Checkpoints, trainee: Any, epoch: int, best: bool = True) -> None:
    best_epoch = epoch if best else 1
    if best:
        checkpoints.save_best(trainee, epoch)
    rows = [{**ROW, "epoch": float(number)} for number in range(1, epoch + 1)]
    checkpoints.save(trainee, Checkpoint(epoch, best_epoch, 4, rows))


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_all_variables_and_optimizer_slots_return(tmp_path: Path, tiny: Callable[..., Any]) -> None:
    first, second = _trainee(tiny()), _trainee(tiny())
    _train(first)
    checkpoints = Checkpoints(tmp_path / "checkpoints")
    _save(checkpoints, first, 2)
    told = checkpoints.restore(second)
    assert told is not None
    assert (told.epoch, told.best_epoch, told.batch_size, len(told.rows)) == (2, 2, 4, 2)
    assert int(second.optimizer.iterations.numpy()) == 3
    for one, two in zip(_state(first), _state(second), strict=True):
        np.testing.assert_array_equal(one, two)
    _train(first)
    _train(second)
    for one, two in zip(_state(first), _state(second), strict=True):
        np.testing.assert_array_equal(one, two)


def test_nothing_to_restore(tmp_path: Path, tiny: Callable[..., Any]) -> None:
    checkpoints = Checkpoints(tmp_path / "checkpoints")
    assert checkpoints.restore(_trainee(tiny())) is None
    assert checkpoints.newest() is None


def test_two_are_kept_with_the_best_weights_they_name(tmp_path: Path, tiny: Callable[..., Any]) -> None:
    trainee, checkpoints = _trainee(tiny()), Checkpoints(tmp_path / "c")
    _save(checkpoints, trainee, 1)
    for epoch in (2, 3, 4):
        _save(checkpoints, trainee, epoch, best=False)
    assert _names(tmp_path / "c") == ["best-000001.h5", "epoch-000003", "epoch-000004"]
    _save(checkpoints, trainee, 5)
    assert _names(tmp_path / "c") == ["best-000001.h5", "best-000005.h5", "epoch-000004", "epoch-000005"]
    _save(checkpoints, trainee, 6)
    assert _names(tmp_path / "c") == ["best-000005.h5", "best-000006.h5", "epoch-000005", "epoch-000006"]


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: (folder / "state.json").write_text("{"),
        lambda folder: (folder / "state.index").unlink(),
        lambda folder: [file.write_bytes(file.read_bytes()[:100]) for file in folder.glob("state.data*")],
    ],
    ids=["state", "index", "data"],
)
def test_damaged_newest_gives_way_to_the_one_before(
    tmp_path: Path, tiny: Callable[..., Any], damage: Callable[[Path], Any]
) -> None:
    trainee, checkpoints = _trainee(tiny()), Checkpoints(tmp_path / "c")
    _train(trainee)
    _save(checkpoints, trainee, 1)
    expected = _state(trainee)
    _train(trainee)
    _save(checkpoints, trainee, 2)
    damage(tmp_path / "c" / "epoch-000002")
    told = checkpoints.restore(trainee)
    assert told is not None
    assert told.epoch == 1
    for one, two in zip(expected, _state(trainee), strict=True):
        np.testing.assert_array_equal(one, two)
    _save(checkpoints, trainee, 2)  # takes the place of the damaged one
    told = checkpoints.restore(trainee)
    assert told is not None
    assert told.epoch == 2


def test_missing_best_weights_make_a_checkpoint_unusable(tmp_path: Path, tiny: Callable[..., Any]) -> None:
    trainee, checkpoints = _trainee(tiny()), Checkpoints(tmp_path / "c")
    _save(checkpoints, trainee, 1)
    _save(checkpoints, trainee, 2)
    checkpoints.best_weights(2).unlink()
    newest = checkpoints.newest()
    assert newest is not None
    assert newest.epoch == 1


def test_all_damaged_is_told_and_nothing_removed(tmp_path: Path, tiny: Callable[..., Any]) -> None:
    trainee, checkpoints = _trainee(tiny()), Checkpoints(tmp_path / "c")
    _save(checkpoints, trainee, 1)
    (tmp_path / "c" / "epoch-000001" / "state.json").write_text("[]")
    with pytest.raises(WorkerError, match=r"damaged or of another network.*: start it anew\."):
        checkpoints.restore(trainee)
    assert _names(tmp_path / "c") == ["best-000001.h5", "epoch-000001"]


def test_checkpoint_of_another_network_is_refused(tmp_path: Path, tiny: Callable[..., Any]) -> None:
    checkpoints = Checkpoints(tmp_path / "c")
    _save(checkpoints, _trainee(tiny(first_filters=8)), 1)
    with pytest.raises(WorkerError, match="of another network"):
        checkpoints.restore(_trainee(tiny()))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 4 MiB."""
    folder = tmp_path / "small disk"
    folder.mkdir()
    mount = shutil.which("mount")
    done = mount and subprocess.run([mount, "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)], check=False)
    if not done or done.returncode:
        pytest.skip("this user may not mount a small disk")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize("free", [0, 30_000, 150_000, 250_000, 400_000])
def test_full_disk_is_told_and_the_last_checkpoint_stays(small_disk: Path, tiny: Callable[..., Any], free: int) -> None:
    trainee, checkpoints = _trainee(tiny(first_filters=16)), Checkpoints(small_disk / "c")
    _train(trainee)
    _save(checkpoints, trainee, 1)
    expected = _state(trainee)
    _train(trainee)
    left = shutil.disk_usage(small_disk).free
    (small_disk / "something large").write_bytes(bytes(left - free))
    with pytest.raises(ResourceError, match=r"needs [\d.]+ MiB.*free some space"):
        for epoch in (2, 3, 4, 5):
            _save(checkpoints, trainee, epoch)
    told = checkpoints.restore(trainee)
    assert told is not None
    if told.epoch == 1:
        for one, two in zip(expected, _state(trainee), strict=True):
            np.testing.assert_array_equal(one, two)
    (small_disk / "something large").unlink()
    _save(checkpoints, trainee, 6)
    assert checkpoints.epochs()[-1] == 6


def test_what_a_kill_left_half_written_is_removed(tmp_path: Path, tiny: Callable[..., Any]) -> None:
    trainee, checkpoints = _trainee(tiny()), Checkpoints(tmp_path / "c")
    _save(checkpoints, trainee, 1)
    (tmp_path / "c" / ".epoch-000002.x1").mkdir()
    (tmp_path / "c" / ".epoch-000002.x1" / "state.index").write_bytes(b"half")
    (tmp_path / "c" / ".best-000002.y2.h5").write_bytes(b"half")
    checkpoints.restore(trainee)
    assert _names(tmp_path / "c") == ["best-000001.h5", "epoch-000001"]
