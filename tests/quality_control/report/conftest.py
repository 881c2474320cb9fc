"""A trained model of each kind, with the files that its training left."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import pytest

from dl4fiji.model import ModelFolder
from dl4fiji.networks import get
from dl4fiji.progress import SilentProgress
from dl4fiji.training.run import train
from tiny_trainings import TINY, write_images


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], ModelFolder]:
    """Return the model of a kind, trained for a moment once per session; tests must not change it."""

    @cache
    def make(name: str) -> ModelFolder:
        folder, network = tmp_path_factory.mktemp(name), get(name)
        given = {"epochs": 2, "steps_per_epoch": 4, "batch_size": 2, "validation_percent": 40, **TINY[name]}
        options = network.Options.model_validate(given)
        model = ModelFolder(folder / "models" / "tiny é (1)")
        data = write_images(folder / "data", name)
        train(network, data, options, folder / "job", model, SilentProgress(), authors=["<b>Ada</b>"])
        return model

    return make
