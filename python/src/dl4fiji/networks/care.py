"""CARE: content-aware image restoration, on csbdeep's own network and losses.

Weigert et al. 2018, Nature Methods 15:1090. The network is `csbdeep.internals.nets.common_unet`, a U-Net that
learns the difference between input and target; loss and metrics are those of
`csbdeep.internals.train.prepare_model`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import field_validator, model_validator

from dl4fiji.data.normalization import PercentileNormalization
from dl4fiji.network import Batch, Citation, DataForm, Footprint, Output, Task
from dl4fiji.options import Size, TrainingOptions, option
from dl4fiji.schedule import Plateau, Schedule

if TYPE_CHECKING:
    from dl4fiji.data.patches import PatchSource

CARE_CITATION = Citation(
    "Weigert M, Schmidt U, Boothe T, et al. Content-aware image restoration: pushing the limits of fluorescence "
    "microscopy. Nature Methods 15, 1090-1097 (2018).",
    "10.1038/s41592-018-0216-7",
)


class CareOptions(TrainingOptions):
    """Options that CARE 2D and 3D share; limits keep the network buildable."""

    reduce_lr_patience: int = option(
        10, "Halve the learning rate after so many epochs without a better validation loss; 0 never does.",
        ge=0, le=100_000, unit="epochs", advanced=True,
    )
    depth: int = option(3, "Resolution levels of the U-Net; more see larger structures.", ge=1, le=5, advanced=True)
    kernel_size: int = option(5, "Side of the convolution kernels, an odd number.", ge=3, le=11, unit="pixels",
                              advanced=True)
    first_filters: int = option(
        32, "Convolution filters of the first level, doubled at each further level.", ge=1, le=512, advanced=True
    )
    probabilistic: bool = option(
        False, "Predict a Laplace distribution per pixel: a second output tells how sure the network is."
    )
    loss: Literal["mae", "mse"] = option(
        "mae", "What the training minimizes: mean absolute or squared error; probabilistic has its own.",
        advanced=True,
    )
    percentile_low: float = option(
        2.0, "This percentile of an image becomes 0 for the network.", ge=0, le=100, unit="%", advanced=True
    )
    percentile_high: float = option(
        99.8, "This percentile of an image becomes 1 for the network.", ge=0, le=100, unit="%", advanced=True
    )
    background_rejection: bool = option(True, "Leave out patches whose target shows mostly background.")
    background_threshold: float = option(
        0.4, "A patch is background if its bright pixels stay below this share of the image's bright pixels.",
        ge=0, le=1, advanced=True,
    )

    @field_validator("kernel_size")
    @classmethod
    def _odd(cls, value: int) -> int:
        if value % 2 == 0:
            raise ValueError(f"kernels have an odd side, such as {value - 1} or {value + 1}")
        return value

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.percentile_low >= self.percentile_high:
            raise ValueError(
                f"percentile_low ({self.percentile_low:g}) must lie below percentile_high ({self.percentile_high:g})"
            )
        step = 2**self.depth
        if any(size % step or size == 0 for size in self.patch_size):
            fitting = "x".join(str(max(step, round(size / step) * step)) for size in self.patch_size)
            given = "x".join(map(str, self.patch_size))
            raise ValueError(
                f"with depth {self.depth} the sides of patch_size must be multiples of {step}, "
                f"so take {fitting} in place of {given}"
            )
        return self


def _check_dimensions(size: tuple[int, ...], axes: str, example: str) -> tuple[int, ...]:
    """Return ``size`` (pixels along ``axes``), one number meaning all axes of a plane; ValueError otherwise."""
    if len(size) == 1 and axes == "YX":
        return size * 2
    if len(size) != len(axes):
        raise ValueError(f"it needs {len(axes)} numbers, for {', '.join(axes)}, such as {example}")
    return size


class Care2DOptions(CareOptions):
    """Options of CARE 2D."""

    patch_size: Size = option((128, 128), "Size of a training patch along Y and X.", unit="pixels")

    @field_validator("patch_size")
    @classmethod
    def _two_numbers(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        return _check_dimensions(value, "YX", "128x128")


class Care3DOptions(CareOptions):
    """Options of CARE 3D."""

    patch_size: Size = option((16, 64, 64), "Size of a training patch along Z, Y and X.", unit="pixels")
    patches_per_image: int = option(200, "Patches drawn from each image per epoch.", ge=1, le=1_000_000)
    batch_size: int = option(
        4, "Patches that the network sees at a time; less needs less memory.", ge=1, le=4096
    )
    depth: int = option(2, "Resolution levels of the U-Net; more see larger structures.", ge=1, le=5, advanced=True)
    kernel_size: int = option(3, "Side of the convolution kernels, an odd number.", ge=3, le=11, unit="pixels",
                              advanced=True)

    @field_validator("patch_size")
    @classmethod
    def _three_numbers(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        return _check_dimensions(value, "ZYX", "16x64x64")


class _Care:
    """What CARE 2D and 3D have in common; see `dl4fiji.network.Network` for the methods' contracts."""

    task: Task = "restoration"
    data_form: DataForm = "paired"
    citations: Sequence[Citation] = (CARE_CITATION,)
    axes: str

    @property
    def _spatial(self) -> str:
        return self.axes.removesuffix("C")

    def normalization(self, options: CareOptions) -> PercentileNormalization:
        """Return percentiles of each image and channel, the same for source and target."""
        return PercentileNormalization(low=options.percentile_low, high=options.percentile_high)

    def build(self, options: CareOptions, channels_in: int, channels_out: int) -> Any:
        """Return csbdeep's U-Net; it learns a residual where the numbers of channels allow it."""
        from dl4fiji.keras_setup import import_tensorflow

        import_tensorflow()
        from csbdeep.internals.nets import common_unet

        dimensions = len(self._spatial)
        construct = common_unet(
            n_dim=dimensions,
            n_depth=options.depth,
            kern_size=options.kernel_size,
            n_first=options.first_filters,
            n_channel_out=channels_out,
            residual=channels_in == channels_out,
            prob_out=options.probabilistic,
        )
        return construct((None,) * dimensions + (channels_in,))

    def compile(self, model: Any, options: CareOptions) -> Any:
        """Give the model csbdeep's loss (mae, mse or Laplace likelihood), its metrics and Adam."""
        from dl4fiji.keras_setup import import_tensorflow

        tf = import_tensorflow()
        from csbdeep.internals.train import prepare_model

        loss = "laplace" if options.probabilistic else options.loss
        prepare_model(model, tf.keras.optimizers.Adam(learning_rate=options.learning_rate), loss)
        return model

    def schedule(self, options: CareOptions) -> Schedule:
        """Halve the learning rate when the validation loss stays."""
        return Plateau(options.learning_rate, options.reduce_lr_patience, factor=0.5)

    def footprint(self, options: CareOptions, channels_in: int, channels_out: int) -> Footprint:
        """Return parameters and activations of csbdeep's `unet_block`, summed layer by layer."""
        dimensions, kernel = len(self._spatial), options.kernel_size ** len(self._spatial)
        parameters, activations, largest = 0, 0.0, 0.0

        def convolution(before: int, after: int, level: int, size: int = kernel) -> int:
            nonlocal parameters, activations, largest
            parameters += (size * before + 1) * after
            activations += after / 2 ** (dimensions * level)
            largest = max(largest, (before + after) / 2 ** (dimensions * level))
            return after

        filters, first, depth = channels_in, options.first_filters, options.depth
        for level in range(depth):
            for _ in range(2):
                filters = convolution(filters, first * 2**level, level)
            activations += filters / 2 ** (dimensions * (level + 1))  # pooling
        filters = convolution(filters, first * 2**depth, depth)
        filters = convolution(filters, first * 2 ** max(0, depth - 1), depth)
        for level in reversed(range(depth)):
            joined = filters + first * 2**level
            activations += (filters + joined) / 2 ** (dimensions * level)  # upsampling, concatenation
            filters = convolution(joined, first * 2**level, level)
            filters = convolution(filters, first * 2 ** max(0, level - 1), level)
        for _ in range(2 if options.probabilistic else 1):
            convolution(filters, channels_out, 0, size=1)
        return Footprint(parameters, activations, largest)

    def batch(self, patches: PatchSource, options: CareOptions, epoch: int, step: int) -> Batch:
        """Return noisy and clean patches."""
        del options
        return patches.draw(epoch, step)

    def validation_batches(self, patches: PatchSource, options: CareOptions) -> list[Batch]:
        """Return the validation patches, cut into batches."""
        source, target = patches.validation()
        size = options.batch_size
        return [(source[i : i + size], target[i : i + size]) for i in range(0, len(source), size)]

    def divisor(self, options: CareOptions) -> dict[str, int]:
        """Return 2 to the number of poolings, for each spatial axis."""
        step: int = 2**options.depth
        return dict.fromkeys(self._spatial, step)

    def halo(self, options: CareOptions) -> dict[str, int]:
        """Return the receptive field's radius, rounded up to the divisor so that tiles keep the pooling grid.

        On level n, of scale 2^n, there are two convolutions on the way down and two on the way up, and two
        at the bottom; a pooling and the upsampling that undoes it shift by up to 2^(n+1) - 1 pixels in all.
        """
        radius = options.kernel_size // 2
        step: int = 2**options.depth
        reach = 2 * radius * step + sum(4 * radius * 2**level for level in range(options.depth)) + step - 1
        return dict.fromkeys(self._spatial, -(-reach // step) * step)

    def outputs(self, options: CareOptions, channels_out: int) -> Sequence[Output]:
        """Return the restored image and, when probabilistic, the scale of the Laplace distribution."""
        restored = Output("output", "restored image", (0, channels_out))
        if not options.probabilistic:
            return (restored,)
        scale = "scale of the Laplace distribution of each pixel: how unsure the network is"
        return restored, Output("scale", scale, (channels_out, 2 * channels_out), spread=True)


class Care2D(_Care):
    """CARE for single planes."""

    name = "care-2d"
    title = "CARE 2D"
    description = "Restores noisy or blurred planes, trained on pairs of low and high quality images."
    axes = "YXC"
    Options = Care2DOptions


class Care3D(_Care):
    """CARE for volumes."""

    name = "care-3d"
    title = "CARE 3D"
    description = "Restores noisy or blurred volumes, trained on pairs of low and high quality stacks."
    axes = "ZYXC"
    Options = Care3DOptions
