"""Small networks with weights as initialized, exported once for all tests that need an export."""

from __future__ import annotations

import tempfile
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

import numpy as np

from dl4fiji.data.normalization import FixedNormalization, Normalization, PercentileNormalization
from dl4fiji.keras_setup import import_tensorflow
from dl4fiji.model import ModelFolder, ModelInfo
from dl4fiji.networks import get

CREATED = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)

VARIANTS = {
    "plane": ("care-2d", False, 1),
    "volume": ("care-3d", False, 1),
    "probabilistic": ("care-2d", True, 2),
}
"""Network, probabilistic, channels."""


def smooth(*shape: int, seed: int = 0) -> np.ndarray:
    """Return a noisy uint16 image with structure along all axes."""
    rng = np.random.default_rng(seed)
    grids = np.meshgrid(*[np.linspace(0, 7, size) for size in shape], indexing="ij")
    return rng.poisson(300 + 2000 * np.prod([np.sin(grid + seed) ** 2 for grid in grids], axis=0)).astype(np.uint16)


def make_model(
    folder: Path,
    network: str = "care-2d",
    probabilistic: bool = False,
    channels: int = 1,
    name: str = "",
    normalization: Normalization | None = None,
    **options: object,
) -> ModelFolder:
    """Make a model folder as a training leaves it, with a network of few filters as initialized."""
    tf = import_tensorflow()
    own = get(network)
    small: dict[str, object] = {"depth": 2, "kernel_size": 3, "first_filters": 4, "probabilistic": probabilistic}
    small |= {"rays": 16, "feature_filters": 8, "grid": (1, 2, 2)[-len(own.axes) + 1 :]}
    small = {option: value for option, value in small.items() if option in own.Options.model_fields}
    chosen = own.Options(**{**small, **options})
    tf.keras.utils.set_random_seed(7)
    model = ModelFolder(folder / (name or f"{network} {channels}"))
    (model.path / "weights").mkdir(parents=True)
    for which in ("best", "last"):
        built = own.build(chosen, channels, channels)
        if own.task == "segmentation":  # as initialized all probabilities are nearly the same
            kernel, bias = built.get_layer("logits").get_weights()
            built.get_layer("logits").set_weights([100 * kernel, bias])
        if own.task == "instances":  # neither are there distances as long as those of objects
            kernel, bias = built.get_layer("prob").get_weights()
            built.get_layer("prob").set_weights([40 * kernel, bias - 0.1 * len(kernel.shape) + 0.3])
            kernel, bias = built.get_layer("dist").get_weights()
            built.get_layer("dist").set_weights([4 * kernel, bias + 5])
        built.save_weights(str(model.weights(which)))
    shape = (9, 70, 77)[-len(own.axes) + 1 :]
    image = np.stack([smooth(*shape, seed=channel) for channel in range(channels)], axis=-1)
    np.savez(model.samples_file, input=image.astype(np.float32), truth=image.astype(np.float32))
    model.write(
        ModelInfo(
            name=model.name,
            network=network,
            options=chosen.model_dump(mode="json"),
            axes=own.axes,
            channels_in=channels,
            channels_out=channels,
            normalization=normalization or PercentileNormalization(),
            created=CREATED,
            pixel_size={"Y": 0.25, "X": 0.25},
            pixel_unit="µm",
            training={"images": 3, "best_epoch": 2, "versions": {"tensorflow": tf.__version__}},
            thresholds={"probability": 0.5, "nms": 0.4} if own.task == "instances" else {},
            quality={"psnr": {"input": 20.25, "prediction": 25.5}},
            authors=["Ada L.", "Grace H."],
        )
    )
    return model


@cache
def exported(variant: str) -> ModelFolder:
    """Return an exported model of `VARIANTS`; tests must not change it. Lives as long as the session."""
    from dl4fiji.export import export_model

    network, probabilistic, channels = VARIANTS[variant]
    model = make_model(Path(_folder().name), network, probabilistic, channels, name=variant)
    export_model(model, certify=False)
    return model


@cache
def exported_network(network: str) -> ModelFolder:
    """Return an exported model of any network, with one channel; as `exported`."""
    from dl4fiji.export import export_model

    for variant, (name, probabilistic, channels) in VARIANTS.items():
        if (name, probabilistic, channels) == (network, False, 1):
            return exported(variant)
    fixed = FixedNormalization(mean=(800.0,), std=(600.0,)) if network.startswith("noise2void") else None
    model = make_model(Path(_folder().name), network, name=network, normalization=fixed)
    export_model(model, certify=False)
    return model


@cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="dl4fiji-tiny-models-")
