"""Small data and options for each network."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import tifffile
from scipy import ndimage

from conformance import Case
from dl4fiji.data.dataset import Dataset
from dl4fiji.data.pairs import open_pairs
from dl4fiji.data.patches import PatchSource
from dl4fiji.network import Network, target_form

SMALL = {
    "epochs": 2, "batch_size": 2, "patches_per_image": 4, "depth": 1, "kernel_size": 3, "first_filters": 4,
    "masked_pixels_percent": 1.0,
}  # fmt: skip


@pytest.fixture
def small_options() -> Callable[..., Any]:
    """Return options of a network that train in no time; further ones, as far as it has them, override."""

    def make(network: Network, **values: Any) -> Any:
        patch = "4x16x16" if "Z" in network.axes else "16x16"
        known = {name: value for name, value in (SMALL | values).items() if name in network.Options.model_fields}
        return network.Options.model_validate({"patch_size": patch, **known})

    return make


@pytest.fixture
def small_dataset(tmp_path: Path) -> Callable[[Network], Dataset]:
    """Return three noisy images for a network, with the clean ones, or masks, if it learns from pairs."""

    def make(network: Network) -> Dataset:
        shape = (6, 40, 40) if "Z" in network.axes else (40, 40)
        rng = np.random.default_rng(0)
        for number in range(3):
            clean = ndimage.gaussian_filter(rng.random(shape), 1.5) * 1000
            noisy = clean + rng.normal(0, 20, shape)
            target = clean
            if network.task in ("segmentation", "instances"):
                areas = clean > np.median(clean)
                target = 255.0 * areas if network.task == "segmentation" else ndimage.label(areas)[0]
            for role, image in (("source", noisy), ("target", target)):
                (tmp_path / role).mkdir(exist_ok=True)
                axes = network.axes.removesuffix("C")
                tifffile.imwrite(
                    tmp_path / role / f"{number}.tif", image.astype(np.float32), imagej=True, metadata={"axes": axes}
                )
        fields = SimpleNamespace(
            source=str(tmp_path / "source"), target=str(tmp_path / "target"), validation_source="",
            validation_target="", axes="",
        )  # fmt: skip
        form = target_form(network, network.Options())
        return open_pairs(fields, network.axes, paired=network.data_form == "paired", form=form)

    return make


@pytest.fixture
def small_patches(
    small_options: Callable[..., Any], small_dataset: Callable[[Network], Dataset]
) -> Callable[[Network], PatchSource]:
    """Return the patches of a network's small data."""

    def make(network: Network) -> PatchSource:
        options = small_options(network)
        dataset = small_dataset(network).split(options.validation_percent, options.seed, options.patch_size)
        return PatchSource(dataset, network.normalization(options, dataset), options, network.axes)

    return make


@pytest.fixture
def case(
    small_options: Callable[..., Any],
    small_dataset: Callable[[Network], Dataset],
    small_patches: Callable[[Network], PatchSource],
) -> Callable[[Network], Case]:
    """Return a network with what the rules of conformance need to try it out."""

    def make(network: Network) -> Case:
        return Case(
            network,
            partial(small_options, network),
            partial(small_dataset, network),
            partial(small_patches, network),
        )

    return make
