"""Checkpoints: all that an interrupted training needs to go on as if nothing had happened.

::

    checkpoints/
      epoch-000007/     state.json, state.index, state.data-…   (two of these are kept)
      epoch-000008/
      best-000006.h5    weights with the lowest validation loss among the epochs of a kept checkpoint

A checkpoint holds the variables of the model (and of a GAN's discriminator), all slots of its optimisers and
the history. Learning rate and early stop follow from the history (`dl4fiji.schedule`). A folder gets its final
name only when it is whole, and names the best weights that belong to it, which were written before it.
"""

from __future__ import annotations

import errno
import re
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dl4fiji.errors import ResourceError, WorkerError
from dl4fiji.files import atomic_folder, atomic_path, read_json, require_space, write_json
from dl4fiji.training.history import Row

KEPT = 2
"""Checkpoints kept: the newest and, should the disk have damaged it, the one before."""

_STATE = "state"
_EPOCH = re.compile(r"epoch-(\d{6,})")
_BEST = re.compile(r"best-(\d{6,})\.h5")


@dataclass(frozen=True)
class Checkpoint:
    """What a checkpoint tells beside the variables."""

    epoch: int
    """Epochs done."""
    best_epoch: int
    """The epoch, counted from 1, whose weights are the best so far."""
    batch_size: int
    """The batch size in use: less than asked for if memory did not suffice."""
    rows: list[Row]
    """The history so far."""


class Checkpoints:
    """The checkpoints of one training.

    Parameters
    ----------
    folder
        Where they lie; belongs to this training alone.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def best_weights(self, epoch: int) -> Path:
        """Return the file of the best weights, made in ``epoch`` (counted from 1)."""
        return self.folder / f"best-{epoch:06d}.h5"

    def save_best(self, model: Any, epoch: int) -> None:
        """Keep the weights of ``model`` as the best, made in ``epoch``."""
        with _room(self.folder, _bytes(model.weights)), atomic_path(self.best_weights(epoch)) as partial:
            model.save_weights(str(partial), save_format="h5")

    def save(self, trainee: Any, checkpoint: Checkpoint) -> None:
        """Write a checkpoint, then remove those no longer needed."""
        folder = self._folder(checkpoint.epoch)
        if folder.exists():  # damaged, since training resumed before it
            shutil.rmtree(folder)
        optimizers = getattr(trainee, "optimizers", None) or [trainee.optimizer]
        variables = [*trainee.weights, *(variable for optimizer in optimizers for variable in optimizer.variables)]
        with _room(self.folder, _bytes(variables)), atomic_folder(folder) as partial:
            _tracked(trainee).write(str(partial / _STATE))
            state = {
                "epoch": checkpoint.epoch,
                "best_epoch": checkpoint.best_epoch,
                "batch_size": checkpoint.batch_size,
                "history": checkpoint.rows,
            }
            write_json(partial / "state.json", state)
        self._remove_old()

    def restore(self, trainee: Any) -> Checkpoint | None:
        """Bring ``trainee`` to the newest usable checkpoint and return what it tells; None if there is none.

        Raises
        ------
        WorkerError
            If there are checkpoints, but all are damaged or belong to another network.
        """
        self._remove_partial()
        epochs = self.epochs()
        failures: list[str] = []
        for epoch in reversed(epochs):
            try:
                return self._restore(trainee, epoch)
            except _UnusableError as error:
                failures.append(str(error))
        if failures:
            raise WorkerError(
                f"The training cannot be resumed, its checkpoints in {self.folder} are damaged or of another network "
                f"({failures[0]}): start it anew."
            )
        return None

    def newest(self) -> Checkpoint | None:
        """Return what the newest readable checkpoint tells, without touching any variable."""
        for epoch in reversed(self.epochs()):
            try:
                return self._read(epoch)
            except _UnusableError:
                continue
        return None

    def epochs(self) -> list[int]:
        """Return the epochs that have a whole checkpoint, in order."""
        if not self.folder.is_dir():
            return []
        matches = (_EPOCH.fullmatch(path.name) for path in self.folder.iterdir())
        return sorted(int(match[1]) for match in matches if match)

    def remove(self) -> None:
        """Remove all checkpoints, when the model is made."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _folder(self, epoch: int) -> Path:
        return self.folder / f"epoch-{epoch:06d}"

    def _read(self, epoch: int) -> Checkpoint:
        """Return the state of one checkpoint, whose best weights exist."""
        try:
            state = read_json(self._folder(epoch) / "state.json")
            checkpoint = Checkpoint(state["epoch"], state["best_epoch"], state["batch_size"], state["history"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise _UnusableError(f"epoch {epoch}: {error}") from error
        if not self.best_weights(checkpoint.best_epoch).is_file():
            raise _UnusableError(f"epoch {epoch}: its best weights are missing")
        return checkpoint

    def _restore(self, trainee: Any, epoch: int) -> Checkpoint:
        from dl4fiji.keras_setup import import_tensorflow

        tf = import_tensorflow()
        checkpoint = self._read(epoch)
        try:
            _tracked(trainee).read(str(self._folder(epoch) / _STATE)).assert_existing_objects_matched()
        except (tf.errors.OpError, ValueError, AssertionError, LookupError, RuntimeError) as error:
            first_line = next(iter(str(error).splitlines()), type(error).__name__)
            raise _UnusableError(f"epoch {epoch}: {first_line}") from error
        return checkpoint

    def _remove_old(self) -> None:
        """Keep the newest checkpoints and the best weights that these name."""
        epochs = self.epochs()
        for epoch in epochs[:-KEPT]:
            shutil.rmtree(self._folder(epoch))
        needed = set()
        for epoch in epochs[-KEPT:]:
            try:
                needed.add(self._read(epoch).best_epoch)
            except _UnusableError:
                continue
        for path in self.folder.iterdir():
            match = _BEST.fullmatch(path.name)
            if match and int(match[1]) not in needed:
                path.unlink()

    def _remove_partial(self) -> None:
        """Remove what a killed worker left half-written; its names begin with a dot."""
        if not self.folder.is_dir():
            return
        for path in self.folder.iterdir():
            if path.name.startswith("."):
                if path.is_dir():
                    shutil.rmtree(path)
                else:
                    path.unlink()


def _bytes(variables: Iterable[Any]) -> int:
    """Return the bytes that a file of these variables takes, and a little more."""
    return sum(int(variable.shape.num_elements()) * variable.dtype.size for variable in variables) * 11 // 10 + 2**16


@contextmanager
def _room(folder: Path, needed: int) -> Iterator[None]:
    """Write something of ``needed`` bytes; ResourceError naming what is needed and free if the disk is full.

    TensorFlow tells a full disk as it tells a lack of memory, so this must not leave here as it is.
    """
    require_space(folder, needed, "the next checkpoint of the training")
    try:
        yield
    except Exception as error:
        full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
        if not full and "no space left on device" not in str(error).lower():
            raise
        free = shutil.disk_usage(folder).free
        raise ResourceError(
            f"The disk of {folder} is full: the next checkpoint of the training needs {needed / 2**20:.1f} MiB and "
            f"{free / 2**20:.1f} MiB are free, so free some space, then resume the job."
        ) from error


def _tracked(trainee: Any) -> Any:
    """Return TensorFlow's view of all variables: weights, optimisers, and the states of random layers.

    Keras leaves the last out of a model's checkpoint, so they are named one by one.
    """
    from dl4fiji.keras_setup import import_tensorflow

    tf = import_tensorflow()
    makers = [getattr(part, "_random_generator", None) for part in trainee.submodules]
    found = [getattr(maker, "_generator", None) for maker in makers]
    generators = [generator for generator in found if generator is not None]
    return tf.train.Checkpoint(trainee=trainee, random=generators)


class _UnusableError(Exception):
    """A checkpoint that cannot be used, and why."""
