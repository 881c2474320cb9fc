"""U-Net for segmentation, built in Keras.

2D after Ronneberger et al. 2015 (arXiv:1505.04597): two 3×3 convolutions per level, filters doubled from level to
level, dropout in the two deepest, nearest upsampling followed by a 2×2 convolution. 3D after Çiçek et al. 2016
(arXiv:1606.06650): the second convolution of each level has twice as many filters as the first, before the pooling,
and a transposed convolution leads up. Convolutions are padded, so that the result has the size of the image.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
from pydantic import model_validator

from dl4fiji.data.masks import MaskValues
from dl4fiji.data.normalization import PercentileNormalization
from dl4fiji.network import Batch, Citation, DataForm, Footprint, Output, Task
from dl4fiji.networks.csbdeep_unet import PlaneSize, VolumeSize, check_multiples, check_percentiles
from dl4fiji.options import TrainingOptions, option
from dl4fiji.schedule import Plateau, Schedule

if TYPE_CHECKING:
    from dl4fiji.data.dataset import Dataset
    from dl4fiji.data.patches import PatchSource

RONNEBERGER = Citation(
    "Ronneberger O, Fischer P, Brox T. U-Net: Convolutional Networks for Biomedical Image Segmentation. MICCAI 2015, "
    "LNCS 9351, 234-241 (2015).",
    "10.1007/978-3-319-24574-4_28",
)
CICEK = Citation(
    "Çiçek Ö, Abdulkadir A, Lienkamp SS, Brox T, Ronneberger O. 3D U-Net: Learning Dense Volumetric Segmentation from "
    "Sparse Annotation. MICCAI 2016, LNCS 9901, 424-432 (2016).",
    "10.1007/978-3-319-46723-8_49",
)

Loss = Literal["cross_entropy", "dice", "focal", "sum"]
_LOSS_TEXTS: dict[Loss, str] = {
    "cross_entropy": "the {}cross-entropy",
    "dice": "the soft Dice loss",
    "focal": "the {}focal loss",
    "sum": "the sum of {}cross-entropy, soft Dice loss and focal loss",
}


class UNetOptions(TrainingOptions):
    """Options that U-Net 2D and 3D share; limits keep the network buildable."""

    mask_values: MaskValues = option(
        "foreground",
        "What masks hold: foreground takes all but 0 as one class (labels of objects, too), classes takes each value "
        "as a class of its own, 0 the background.",
    )
    learning_rate: float = option(3e-4, "Step width of the optimiser at the start.", gt=0, le=1)
    augmentation: bool = option(True, "Vary the patches by flips, rotations, intensity and deformation.")
    patches_per_image: int = option(16, "Patches drawn from each image per epoch.", ge=1, le=1_000_000)
    reduce_lr_patience: int = option(
        10, "Halve the learning rate after so many epochs without a better validation loss; 0 never does.",
        ge=0, le=100_000, unit="epochs", advanced=True,
    )  # fmt: skip
    loss: Loss = option(
        "cross_entropy", "What the training minimizes: cross-entropy, Dice loss, focal loss, or the sum of these."
    )
    class_weighting: bool = option(
        True, "Let rare classes count as much as frequent ones in cross-entropy and focal loss.", advanced=True
    )
    foreground_percent: int = option(
        50, "At least this share of the patches shows foreground near its center.",
        ge=0, le=100, unit="%", advanced=True,
    )  # fmt: skip
    percentile_low: float = option(
        1.0, "This percentile of an image becomes 0 for the network.", ge=0, le=100, unit="%", advanced=True
    )
    percentile_high: float = option(
        99.8, "This percentile of an image becomes 1 for the network.", ge=0, le=100, unit="%", advanced=True
    )
    depth: int = option(
        4, "Poolings of the U-Net; more see larger structures.", ge=1, le=4, advanced=True, architecture=True
    )
    first_filters: int = option(
        64,
        "Convolution filters of the first level, doubled at each further level.",
        ge=1,
        le=512,
        advanced=True,
        architecture=True,
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        check_percentiles(self.percentile_low, self.percentile_high)
        check_multiples(self.patch_size, self.depth)
        return self


class UNet2DOptions(UNetOptions):
    """Options of U-Net 2D."""

    patch_size: PlaneSize = option((256, 256), "Size of a training patch along Y and X.", unit="pixels")
    batch_size: int = option(4, "Patches that the network sees at a time; less needs less memory.", ge=1, le=4096)
    dropout: float = option(
        0.5, "Share of the values in the two deepest levels that each step of the training leaves out.",
        ge=0, le=0.9, advanced=True,
    )  # fmt: skip


class UNet3DOptions(UNetOptions):
    """Options of U-Net 3D."""

    patch_size: VolumeSize = option((16, 128, 128), "Size of a training patch along Z, Y and X.", unit="pixels")
    batch_size: int = option(2, "Patches that the network sees at a time; less needs less memory.", ge=1, le=4096)
    depth: int = option(
        3, "Poolings of the U-Net; more see larger structures.", ge=1, le=4, advanced=True, architecture=True
    )
    first_filters: int = option(
        32,
        "Convolution filters of the first level, doubled at each further level.",
        ge=1,
        le=512,
        advanced=True,
        architecture=True,
    )


class _UNet:
    """What U-Net 2D and 3D have in common; see `dl4fiji.network.Network` for the methods' contracts."""

    task: Task = "segmentation"
    data_form: DataForm = "paired"
    citations: Sequence[Citation]
    axes: str

    @property
    def _spatial(self) -> str:
        return self.axes.removesuffix("C")

    def settle(self, options: UNetOptions, dataset: Dataset) -> tuple[UNetOptions, list[str]]:
        """Return the options as they are: they leave nothing to the data."""
        del dataset
        return options, []

    def normalization(self, options: UNetOptions, dataset: Dataset) -> PercentileNormalization:
        """Return percentiles of each image and channel; masks are never normalized."""
        del dataset
        return PercentileNormalization(low=options.percentile_low, high=options.percentile_high)

    def compile(self, model: Any, options: UNetOptions) -> Any:
        """Give the model its loss, IoU and Dice of the foreground as metrics, and Adam."""
        from dl4fiji.keras_setup import import_tensorflow
        from dl4fiji.networks import unet_losses

        tf = import_tensorflow()
        metrics = [
            tf.keras.metrics.MeanMetricWrapper(unet_losses.iou_metric, "iou"),
            tf.keras.metrics.MeanMetricWrapper(unet_losses.dice_metric, "dice"),
        ]
        optimizer = tf.keras.optimizers.Adam(learning_rate=options.learning_rate)
        model.compile(optimizer=optimizer, loss=unet_losses.LOSSES[options.loss], metrics=metrics)
        return model

    def loss_text(self, options: UNetOptions) -> str:
        """Return the loss in words."""
        return _LOSS_TEXTS[options.loss].format("class-weighted " if options.class_weighting else "")

    def schedule(self, options: UNetOptions) -> Schedule:
        """Halve the learning rate when the validation loss stays."""
        return Plateau(options.learning_rate, options.reduce_lr_patience, factor=0.5)

    def batch(self, patches: PatchSource, options: UNetOptions, epoch: int, step: int) -> Batch:
        """Return patches, and their classes with the weight of each pixel as a second channel."""
        source, classes = patches.draw(epoch, step)
        return source, _with_weights(classes, patches, options)

    def validation_batches(self, patches: PatchSource, options: UNetOptions) -> list[Batch]:
        """Return the validation patches with their classes and weights, cut into batches."""
        source, classes = patches.validation()
        target, size = _with_weights(classes, patches, options), options.batch_size
        return [(source[i : i + size], target[i : i + size]) for i in range(0, len(source), size)]

    def divisor(self, options: UNetOptions) -> dict[str, int]:
        """Return 2 to the number of poolings, for each spatial axis."""
        step: int = 2**options.depth
        return dict.fromkeys(self._spatial, step)

    def halo(self, options: UNetOptions) -> dict[str, int]:
        """Return the radius of the receptive field, rounded up to the divisor so that tiles keep the pooling grid.

        On level n, of scale 2^n, there are two convolutions of radius 1 on the way down and two on the way up, and
        two at the bottom; in 2D a 2×2 convolution per level sees one pixel more. Poolings and upsamplings shift by
        up to 2^depth - 1 pixels in all.
        """
        step, each = 2**options.depth, 5 if self._spatial == "YX" else 4
        reach = 2 * step + sum(each * 2**level for level in range(options.depth)) + step - 1
        rounded: int = -(-reach // step) * step
        return dict.fromkeys(self._spatial, rounded)

    def outputs(self, options: UNetOptions, channels_out: int) -> Sequence[Output]:
        """Return the probability of the foreground, or of each class, background first."""
        del options
        what = "probability of the foreground"
        if channels_out > 1:
            what = "probability of each class, the background's first"
        return (Output("probability", what, (0, channels_out)),)


def _with_weights(classes: np.ndarray, patches: PatchSource, options: UNetOptions) -> np.ndarray:
    """Return the numbers of the classes and, as second channel, the weight of each pixel."""
    if not options.class_weighting:
        return np.concatenate([classes, np.ones_like(classes)], axis=-1)
    weights = np.asarray(patches.class_weights, np.float32)
    return np.concatenate([classes, weights[classes.astype(np.intp)]], axis=-1)


def _probabilities(tf: Any, features: Any, convolution: Any, channels_out: int) -> Any:
    """Return the last layers: sigmoid for one class beside the background, else softmax over all classes."""
    logits = convolution(channels_out, 1, padding="same", kernel_initializer="he_normal", name="logits")(features)
    return tf.keras.layers.Activation("sigmoid" if channels_out == 1 else "softmax", name="probability")(logits)


class UNet2D(_UNet):
    """U-Net for single planes."""

    name = "unet-2d"
    title = "U-Net 2D"
    description = "Segments planes into foreground or several classes, trained on images with masks."
    axes = "YXC"
    citations: Sequence[Citation] = (RONNEBERGER,)
    Options = UNet2DOptions

    def build(self, options: UNet2DOptions, channels_in: int, channels_out: int) -> Any:
        """Return the U-Net; its output are probabilities."""
        from dl4fiji.keras_setup import import_tensorflow

        tf = import_tensorflow()
        layers = tf.keras.layers

        def convolve(features: Any, filters: int, size: int = 3) -> Any:
            return layers.Conv2D(filters, size, padding="same", activation="relu", kernel_initializer="he_normal")(
                features
            )

        image = tf.keras.Input((None, None, channels_in), name="input")
        features, skips = image, []
        for level in range(options.depth + 1):
            filters = options.first_filters * 2**level
            features = convolve(convolve(features, filters), filters)
            if level >= options.depth - 1 and options.dropout:
                features = layers.Dropout(options.dropout)(features)
            if level < options.depth:
                skips.append(features)
                features = layers.MaxPooling2D(2)(features)
        for level in reversed(range(options.depth)):
            filters = options.first_filters * 2**level
            upward = convolve(layers.UpSampling2D(2, interpolation="nearest")(features), filters, 2)
            features = layers.Concatenate()([skips[level], upward])
            features = convolve(convolve(features, filters), filters)
        return tf.keras.Model(image, _probabilities(tf, features, layers.Conv2D, channels_out))

    def footprint(self, options: UNet2DOptions, channels_in: int, channels_out: int) -> Footprint:
        """Return parameters and activations, summed layer by layer."""
        count, first, before = _Count(2), options.first_filters, channels_in
        for level in range(options.depth + 1):
            filters = first * 2**level
            before = count.convolution(count.convolution(before, filters, level), filters, level)
            if level >= options.depth - 1 and options.dropout:
                count.keep(2 * filters, level)
            if level < options.depth:
                count.keep(filters, level + 1)
        for level in reversed(range(options.depth)):
            filters = first * 2**level
            count.keep(before, level)
            upward = count.convolution(before, filters, level, 2)
            count.keep(filters + upward, level)
            before = count.convolution(count.convolution(filters + upward, filters, level), filters, level)
        count.convolution(before, channels_out, 0, 1)
        count.keep(channels_out, 0)
        return count.footprint()


class UNet3D(_UNet):
    """U-Net for volumes."""

    name = "unet-3d"
    title = "U-Net 3D"
    description = "Segments volumes into foreground or several classes, trained on stacks with masks."
    axes = "ZYXC"
    citations: Sequence[Citation] = (CICEK, RONNEBERGER)
    Options = UNet3DOptions

    def build(self, options: UNet3DOptions, channels_in: int, channels_out: int) -> Any:
        """Return the U-Net; its output are probabilities."""
        from dl4fiji.keras_setup import import_tensorflow

        tf = import_tensorflow()
        layers = tf.keras.layers

        def convolve(features: Any, filters: int) -> Any:
            return layers.Conv3D(filters, 3, padding="same", activation="relu", kernel_initializer="he_normal")(
                features
            )

        image = tf.keras.Input((None, None, None, channels_in), name="input")
        features, skips = image, []
        for level in range(options.depth + 1):
            filters = options.first_filters * 2**level
            features = convolve(convolve(features, filters), 2 * filters)
            if level < options.depth:
                skips.append(features)
                features = layers.MaxPooling3D(2)(features)
        for level in reversed(range(options.depth)):
            filters = 2 * options.first_filters * 2**level
            upward = layers.Conv3DTranspose(2 * filters, 2, strides=2, kernel_initializer="he_normal")(features)
            features = layers.Concatenate()([skips[level], upward])
            features = convolve(convolve(features, filters), filters)
        return tf.keras.Model(image, _probabilities(tf, features, layers.Conv3D, channels_out))

    def footprint(self, options: UNet3DOptions, channels_in: int, channels_out: int) -> Footprint:
        """Return parameters and activations, summed layer by layer."""
        count, first, before = _Count(3), options.first_filters, channels_in
        for level in range(options.depth + 1):
            filters = first * 2**level
            before = count.convolution(count.convolution(before, filters, level), 2 * filters, level)
            if level < options.depth:
                count.keep(before, level + 1)
        for level in reversed(range(options.depth)):
            filters = 2 * first * 2**level
            upward = count.convolution(before, 2 * filters, level, 2)
            count.keep(filters + upward, level)
            before = count.convolution(count.convolution(filters + upward, filters, level), filters, level)
        count.convolution(before, channels_out, 0, 1)
        count.keep(channels_out, 0)
        return count.footprint()


class _Count:
    """Adds up parameters and activations of a network."""

    def __init__(self, dimensions: int) -> None:
        self._dimensions = dimensions
        self._parameters, self._activations, self._largest = 0, 0.0, 0.0

    def convolution(self, before: int, after: int, level: int, side: int = 3) -> int:
        """Count a convolution from ``before`` to ``after`` channels whose result is on ``level``; return ``after``."""
        self._parameters += (side**self._dimensions * before + 1) * after
        self._largest = max(self._largest, (before + after) / 2 ** (self._dimensions * level))
        self.keep(after, level)
        return after

    def keep(self, channels: int, level: int) -> None:
        """Count what a layer without weights puts out."""
        self._activations += channels / 2 ** (self._dimensions * level)

    def footprint(self) -> Footprint:
        """Return the sums."""
        return Footprint(self._parameters, self._activations, self._largest)
