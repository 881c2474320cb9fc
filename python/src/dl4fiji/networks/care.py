"""CARE: content-aware image restoration, on csbdeep's own network and losses.

Weigert et al. 2018, Nature Methods 15:1090. The network is `csbdeep.internals.nets.common_unet`, a U-Net that
learns the difference between input and target; loss and metrics are those of
`csbdeep.internals.train.prepare_model`.

csbdeep normalizes the clean image by its own percentiles, and returns a prediction by those of the noisy one, which
lie wider: intensities are then not those of a clean image. Where the pairs have the same units, clean images are
normalized here as their noisy partners, so that the way back is the right one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import model_validator

from dl4fiji.data.normalization import PercentileNormalization
from dl4fiji.data.units import same_units
from dl4fiji.errors import OptionError
from dl4fiji.network import Batch, Citation, DataForm, Footprint, Output, Task
from dl4fiji.networks.csbdeep_unet import (
    CsbdeepUNet,
    OddSide,
    PlaneSize,
    VolumeSize,
    check_multiples,
    check_percentiles,
    footprint,
)
from dl4fiji.options import TrainingOptions, option

if TYPE_CHECKING:
    from dl4fiji.data.dataset import Dataset
    from dl4fiji.data.patches import PatchSource

CARE_CITATION = Citation(
    "Weigert M, Schmidt U, Boothe T, et al. Content-aware image restoration: pushing the limits of fluorescence "
    "microscopy. Nature Methods 15, 1090-1097 (2018).",
    "10.1038/s41592-018-0216-7",
)

_ERRORS = {"mae": "absolute", "mse": "squared"}


class CareOptions(TrainingOptions):
    """Options that CARE 2D and 3D share; limits keep the network buildable."""

    reduce_lr_patience: int = option(
        10,
        "Halve the learning rate after so many epochs without a better validation loss; 0 never does.",
        ge=0,
        le=100_000,
        unit="epochs",
        advanced=True,
    )
    depth: int = option(
        3, "Resolution levels of the U-Net; more see larger structures.", ge=1, le=5, advanced=True, architecture=True
    )
    kernel_size: OddSide = option(
        5,
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
    probabilistic: bool = option(
        False,
        "Predict a Laplace distribution per pixel: a second output tells how sure the network is.",
        architecture=True,
    )
    loss: Literal["mae", "mse"] = option(
        "mae",
        "What the training minimizes: mean absolute or squared error; probabilistic has its own.",
        advanced=True,
    )
    percentile_low: float = option(
        2.0, "This percentile of an image becomes 0 for the network.", ge=0, le=100, unit="%", advanced=True
    )
    percentile_high: float = option(
        99.8, "This percentile of an image becomes 1 for the network.", ge=0, le=100, unit="%", advanced=True
    )
    target_normalization: Literal["auto", "source", "own"] = option(
        "auto",
        "Percentiles that normalize the clean images: those of their noisy partners (source), so that restored images "
        "keep the true intensities; their own, for pairs taken at another exposure; auto compares the pairs.",
        advanced=True,
    )
    background_rejection: bool = option(True, "Leave out patches whose target shows mostly background.")
    background_threshold: float = option(
        0.4,
        "A patch is background if its bright pixels stay below this share of the image's bright pixels.",
        ge=0,
        le=1,
        advanced=True,
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        check_percentiles(self.percentile_low, self.percentile_high)
        check_multiples(self.patch_size, self.depth)
        return self


class Care2DOptions(CareOptions):
    """Options of CARE 2D."""

    patch_size: PlaneSize = option((128, 128), "Size of a training patch along Y and X.", unit="pixels")


class Care3DOptions(CareOptions):
    """Options of CARE 3D."""

    patch_size: VolumeSize = option((16, 64, 64), "Size of a training patch along Z, Y and X.", unit="pixels")
    patches_per_image: int = option(200, "Patches drawn from each image per epoch.", ge=1, le=1_000_000)
    batch_size: int = option(4, "Patches that the network sees at a time; less needs less memory.", ge=1, le=4096)
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


class _Care(CsbdeepUNet):
    """What CARE 2D and 3D have in common; see `dl4fiji.network.Network` for the methods' contracts."""

    task: Task = "restoration"
    data_form: DataForm = "paired"
    citations: Sequence[Citation] = (CARE_CITATION,)

    @property
    def _spatial(self) -> str:
        return self.axes.removesuffix("C")

    def settle(self, options: CareOptions, dataset: Dataset) -> tuple[CareOptions, list[str]]:
        """Decide by the pairs how clean images are normalized, where that is left to them."""
        alike = dataset.channels_in == dataset.channels_out
        if options.target_normalization == "source" and not alike:
            raise OptionError(
                f"The option 'target_normalization' is 'source', but the noisy images have {dataset.channels_in} "
                f"channel(s) and the clean ones {dataset.channels_out}: set it to own."
            )
        if options.target_normalization != "auto":
            return options, []
        low, high = options.percentile_low, options.percentile_high
        alike = alike and same_units(dataset.train, dataset.network_axes, low, high)
        return options.model_copy(update={"target_normalization": "source" if alike else "own"}), []

    def normalization(self, options: CareOptions, dataset: Dataset) -> PercentileNormalization:
        """Return percentiles of each image and channel."""
        del dataset
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

    def loss_text(self, options: CareOptions) -> str:
        """Return csbdeep's loss in words."""
        if options.probabilistic:
            return "the negative log-likelihood of a Laplace distribution per pixel"
        return f"the mean {_ERRORS[options.loss]} error"

    def footprint(self, options: CareOptions, channels_in: int, channels_out: int) -> Footprint:
        """Return parameters and activations of csbdeep's U-Net."""
        return footprint(
            len(self._spatial), options.depth, options.kernel_size, options.first_filters, channels_in, channels_out,
            heads=2 if options.probabilistic else 1,
        )  # fmt: skip

    def batch(self, patches: PatchSource, options: CareOptions, epoch: int, step: int) -> Batch:
        """Return noisy and clean patches."""
        del options
        return patches.draw(epoch, step)

    def validation_batches(self, patches: PatchSource, options: CareOptions) -> list[Batch]:
        """Return the validation patches, cut into batches."""
        source, target = patches.validation()
        size = options.batch_size
        return [(source[i : i + size], target[i : i + size]) for i in range(0, len(source), size)]

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
