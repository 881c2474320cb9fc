"""Noise2Void: denoising learned from noisy images alone, on n2v's own network and losses.

Krull et al. 2019, CVPR, arXiv:1811.10980. The network is `n2v.nets.unet.build_unet` and its losses are those of
`n2v.internals.n2v_losses`; the hidden pixels are chosen by `dl4fiji.data.blind_spots`, all patches at once.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
from pydantic import model_validator

from dl4fiji.data.blind_spots import Manipulator, box_sides, mask_patches
from dl4fiji.data.normalization import FixedNormalization
from dl4fiji.data.statistics import fixed_normalization
from dl4fiji.network import Batch, Citation, DataForm, Footprint, Output, Task
from dl4fiji.networks.csbdeep_unet import CsbdeepUNet, OddSide, PlaneSize, VolumeSize, check_multiples, footprint
from dl4fiji.options import TrainingOptions, option

if TYPE_CHECKING:
    from dl4fiji.data.dataset import Dataset
    from dl4fiji.data.patches import PatchSource

NOISE2VOID_CITATION = Citation(
    "Krull A, Buchholz T-O, Jug F. Noise2Void - Learning Denoising From Single Noisy Images. IEEE/CVF Conference on "
    "Computer Vision and Pattern Recognition, 2129-2137 (2019).",
    "10.1109/CVPR.2019.00223",
)

MOMENTUM = 0.9
"""What the running statistics of batch normalization keep of themselves at each step."""

JUDGED = 2000
"""Hidden pixels that the validation loss is taken from at least: of fewer it tells chance more than the weights."""

_TRAINING_MASKS, _VALIDATION_MASKS = 4, 5
"""Tell the random numbers of the masks from those of the patches, which have the same seed."""

_ERRORS = {"mae": "absolute", "mse": "squared"}


class Noise2VoidOptions(TrainingOptions):
    """Options that Noise2Void 2D and 3D share; limits keep the network buildable."""

    patches_per_image: int = option(128, "Patches drawn from each image per epoch.", ge=1, le=1_000_000)
    batch_size: int = option(128, "Patches that the network sees at a time; less needs less memory.", ge=1, le=4096)
    masked_pixels_percent: float = option(
        0.198, "Share of the pixels of a patch that are hidden, so that the network learns to tell them.",
        gt=0, le=10, unit="%", advanced=True,
    )  # fmt: skip
    neighborhood_radius: int = option(
        5, "A hidden pixel takes the value of a neighbor up to so far away.", ge=1, le=64, unit="pixels", advanced=True
    )
    manipulator: Manipulator = option(
        "uniform_withCP",
        "What a hidden pixel becomes: a random neighbor with or without the pixel itself (CP), a value drawn from the "
        "neighborhood's distribution, or the neighbors' mean or median.",
        advanced=True,
    )
    reduce_lr_patience: int = option(
        10, "Halve the learning rate after so many epochs without a better validation loss; 0 never does.",
        ge=0, le=100_000, unit="epochs", advanced=True,
    )  # fmt: skip
    depth: int = option(
        2, "Resolution levels of the U-Net; more see larger structures.", ge=1, le=5, advanced=True, architecture=True
    )
    kernel_size: OddSide = option(
        3,
        "Side of the convolution kernels, an odd number.",
        ge=3,
        le=11,
        unit="pixels",
        advanced=True,
        architecture=True,
    )
    first_filters: int = option(
        32,
        "Convolution filters of the first level, doubled at each further level.",
        ge=1,
        le=512,
        advanced=True,
        architecture=True,
    )
    batch_normalization: bool = option(
        True,
        "Normalize within the network after each convolution, which makes training steadier.",
        advanced=True,
        architecture=True,
    )
    channels: Literal["jointly", "separately"] = option(
        "jointly",
        "Whether one network restores all channels of an image, or each channel has its own.",
        advanced=True,
        architecture=True,
    )
    loss: Literal["mse", "mae"] = option(
        "mse", "What the training minimizes at the hidden pixels: mean squared or absolute error.", advanced=True
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        check_multiples(self.patch_size, self.depth)
        pixels = math.prod(self.patch_size)
        if pixels * self.masked_pixels_percent < 100:
            size = "x".join(map(str, self.patch_size))
            raise ValueError(
                f"masked_pixels_percent {self.masked_pixels_percent:g} hides not even one pixel of a patch of {size}, "
                f"so take at least {math.ceil(1e5 / pixels) / 1e3:g} or a larger patch_size"
            )
        return self


class Noise2Void2DOptions(Noise2VoidOptions):
    """Options of Noise2Void 2D."""

    patch_size: PlaneSize = option((64, 64), "Size of a training patch along Y and X.", unit="pixels")


class Noise2Void3DOptions(Noise2VoidOptions):
    """Options of Noise2Void 3D."""

    patch_size: VolumeSize = option((16, 64, 64), "Size of a training patch along Z, Y and X.", unit="pixels")
    batch_size: int = option(16, "Patches that the network sees at a time; less needs less memory.", ge=1, le=4096)


class _Noise2Void(CsbdeepUNet):
    """What Noise2Void 2D and 3D have in common; see `dl4fiji.network.Network` for the methods' contracts."""

    task: Task = "restoration"
    data_form: DataForm = "single"
    citations: Sequence[Citation] = (NOISE2VOID_CITATION,)

    @property
    def _spatial(self) -> str:
        return self.axes.removesuffix("C")

    def settle(self, options: Noise2VoidOptions, dataset: Dataset) -> tuple[Noise2VoidOptions, list[str]]:
        """Return the options as they are: they leave nothing to the data."""
        del dataset
        return options, []

    def normalization(self, options: Noise2VoidOptions, dataset: Dataset) -> FixedNormalization:
        """Return mean and standard deviation of each channel of the training images."""
        del options
        return fixed_normalization(dataset)

    def build(self, options: Noise2VoidOptions, channels_in: int, channels_out: int) -> Any:
        """Return n2v's U-Net; with ``channels="separately"`` one per channel, none of which sees the others."""
        del channels_out
        from dl4fiji.keras_setup import import_tensorflow

        tf = import_tensorflow()
        from n2v.nets.unet import build_unet
        from n2v.nets.unet_blocks import unet_block

        dimensions = len(self._spatial)
        shape = {"kernel_size": (options.kernel_size,) * dimensions, "n_filter_base": options.first_filters}
        shape |= {"n_depth": options.depth, "batch_norm": options.batch_normalization}
        size, halves = (None,) * dimensions + (channels_in,), (2,) * dimensions
        if options.channels == "jointly" or channels_in == 1:
            return _quick_statistics(build_unet(size, last_activation="linear", pool_size=halves, **shape))
        # n2v's own build_single_unet_per_channel is not used: its slices all take the last channel as soon as the
        # model is called again, since they are lambdas over the loop's variable.
        convolution = tf.keras.layers.Conv2D if dimensions == 2 else tf.keras.layers.Conv3D
        image, restored = tf.keras.Input(size, name="input"), []
        for channel in range(channels_in):
            inner = unet_block(pool=halves, prefix=f"channel_{channel}", **shape)(image[..., channel : channel + 1])
            restored.append(convolution(1, 1)(inner))
        return _quick_statistics(tf.keras.Model(image, tf.keras.layers.Concatenate()(restored)))

    def compile(self, model: Any, options: Noise2VoidOptions) -> Any:
        """Give the model n2v's loss over the hidden pixels, both of its losses as metrics, and Adam."""
        from dl4fiji.keras_setup import import_tensorflow

        tf = import_tensorflow()
        from n2v.internals.n2v_losses import loss_mae, loss_mse

        losses = {"mse": loss_mse(), "mae": loss_mae()}
        metrics = [tf.keras.metrics.MeanMetricWrapper(loss, f"masked_{name}") for name, loss in losses.items()]
        optimizer = tf.keras.optimizers.Adam(learning_rate=options.learning_rate)
        model.compile(optimizer=optimizer, loss=losses[options.loss], metrics=metrics)
        return model

    def loss_text(self, options: Noise2VoidOptions) -> str:
        """Return n2v's loss in words."""
        return f"the mean {_ERRORS[options.loss]} error at the hidden pixels"

    def footprint(self, options: Noise2VoidOptions, channels_in: int, channels_out: int) -> Footprint:
        """Return parameters and activations of n2v's U-Net, once or once per channel."""
        del channels_out
        number = channels_in if options.channels == "separately" else 1
        each = channels_in // number
        one = footprint(
            len(self._spatial), options.depth, options.kernel_size, options.first_filters, each, each,
            batch_normalization=options.batch_normalization, narrow_way_up=True,
        )  # fmt: skip
        return Footprint(one.parameters * number, one.activations * number, one.largest)

    def batch(self, patches: PatchSource, options: Noise2VoidOptions, epoch: int, step: int) -> Batch:
        """Return patches with hidden pixels, and what was hidden with its mask."""
        source, _ = patches.draw(epoch, step)
        return self._mask(source, options, np.random.default_rng([options.seed, _TRAINING_MASKS, epoch, step]))

    def validation_batches(self, patches: PatchSource, options: Noise2VoidOptions) -> list[Batch]:
        """Return the validation patches with hidden pixels, the same each time, cut into batches.

        Few patches come several times, each time with other pixels hidden, so that a small validation image tells the
        best weights, too; no more often than a quarter of the training patches, as `PatchSource.validation` has it.
        """
        source, _ = patches.validation()
        hidden = len(source) * math.prod(
            -(-size // box) for size, box in zip(source.shape[1:-1], self._boxes(options, source), strict=True)
        )
        most = max(options.batch_size, patches.patches_per_epoch // 4) // len(source)
        source = np.concatenate([source] * max(1, min(math.ceil(JUDGED / hidden), most)))
        rng = np.random.default_rng([options.seed, _VALIDATION_MASKS])
        size = options.batch_size
        return [self._mask(source[i : i + size].copy(), options, rng) for i in range(0, len(source), size)]

    def _mask(self, source: np.ndarray, options: Noise2VoidOptions, rng: np.random.Generator) -> Batch:
        boxes = self._boxes(options, source)
        return mask_patches(source, boxes, options.neighborhood_radius, options.manipulator, rng)

    def _boxes(self, options: Noise2VoidOptions, source: np.ndarray) -> tuple[int, ...]:
        return box_sides(options.masked_pixels_percent, source.shape[1:-1])

    def outputs(self, options: Noise2VoidOptions, channels_out: int) -> Sequence[Output]:
        """Return the restored image."""
        del options
        return (Output("output", "denoised image", (0, channels_out)),)


def _quick_statistics(model: Any) -> Any:
    """Let the mean and variance that prediction normalizes by follow those of the batches within some ten steps.

    Keras' momentum of 0.99, which n2v keeps, still holds 13 % of the initial values after 200 steps: the network then
    predicts other intensities than it has learnt, and the best weights are chosen by a loss that is off as well.
    """
    for layer in model.layers:
        if type(layer).__name__.startswith("BatchNormalization"):
            layer.momentum = MOMENTUM
    return model


class Noise2Void2D(_Noise2Void):
    """Noise2Void for single planes."""

    name = "noise2void-2d"
    title = "Noise2Void 2D"
    description = "Removes noise from planes, trained on noisy images alone."
    axes = "YXC"
    Options = Noise2Void2DOptions


class Noise2Void3D(_Noise2Void):
    """Noise2Void for volumes."""

    name = "noise2void-3d"
    title = "Noise2Void 3D"
    description = "Removes noise from volumes, trained on noisy stacks alone."
    axes = "ZYXC"
    Options = Noise2Void3DOptions
