"""StarDist: objects as star-convex polygons and polyhedra, on stardist's own networks and losses.

2D after Schmidt et al. 2018 (arXiv:1806.03535), 3D after Weigert et al. 2020 (arXiv:1908.03636). Each place of a grid
has a probability to lie within an object, and its distances to that object's edge along rays. stardist's network has
these as two outputs at the size of the grid, and so it is trained; `build` joins them at the size of the image, as
stardist's ``export_TF`` does for Fiji.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from dl4fiji.data.normalization import PercentileNormalization
from dl4fiji.network import Batch, Citation, DataForm, Footprint, Output, Task
from dl4fiji.networks.stardist_options import (
    StarDist2DOptions,
    StarDist3DOptions,
    StarDistOptions,
    anisotropy_of,
    grid_of,
    settle,
    shape_of,
    too_large,
)
from dl4fiji.schedule import Plateau, Schedule

if TYPE_CHECKING:
    from dl4fiji.data.dataset import Dataset
    from dl4fiji.data.patches import PatchSource

SCHMIDT = Citation(
    "Schmidt U, Weigert M, Broaddus C, Myers G. Cell Detection with Star-Convex Polygons. MICCAI 2018, LNCS 11071, "
    "265-273 (2018).",
    "10.1007/978-3-030-00934-2_30",
)
WEIGERT = Citation(
    "Weigert M, Schmidt U, Haase R, Sugawara K, Myers G. Star-convex Polyhedra for 3D Object Detection and "
    "Segmentation in Microscopy. IEEE Winter Conference on Applications of Computer Vision, 3655-3662 (2020).",
    "10.1109/WACV45572.2020.9093435",
)


class _StarDist:
    """What StarDist 2D and 3D have in common; see `dl4fiji.network.Network` for the methods' contracts."""

    task: Task = "instances"
    data_form: DataForm = "paired"
    citations: Sequence[Citation]
    axes: str

    @property
    def _spatial(self) -> str:
        return self.axes.removesuffix("C")

    def _peer(self, options: Any, channels_in: int) -> Any:
        """Return stardist's own model object, without its network and its folder."""
        raise NotImplementedError

    def _targets(self, labels: np.ndarray, options: Any) -> tuple[np.ndarray, np.ndarray]:
        """Return probabilities, and distances with their mask, of labels (N, spatial axes)."""
        raise NotImplementedError

    def settle(self, options: Any, dataset: Dataset) -> tuple[Any, list[str]]:
        """Take grid and anisotropy that are left to the data from the objects' size; tell of objects too large."""
        size = dataset.objects
        if size is None:  # there are no objects, which the checks of the data have told
            return options, []
        options = settle(options, size.grid, size.anisotropy)
        return options, too_large(options, self._spatial, size.extents)

    def normalization(self, options: StarDistOptions, dataset: Dataset) -> PercentileNormalization:
        """Return percentiles of each image and channel; labels are never normalized."""
        del dataset
        return PercentileNormalization(low=options.percentile_low, high=options.percentile_high)

    def build(self, options: Any, channels_in: int, channels_out: int) -> Any:
        """Return stardist's network with one output as large as the image: the probability, then the distances.

        Distances are those of the place of the grid that a pixel belongs to; the probability is 0 but at the places
        themselves, so that each remains one candidate.
        """
        del channels_out
        from dl4fiji.keras_setup import import_tensorflow

        tf = import_tensorflow()
        model, grid = self._peer(options, channels_in)._build(), grid_of(options)
        probability, distances = model.outputs
        if any(side > 1 for side in grid):
            enlarge = tf.keras.layers.UpSampling2D if len(grid) == 2 else tf.keras.layers.UpSampling3D
            probability = _spread(tf, grid)(probability)
            distances = enlarge(grid, name="distances")(distances)
        joined = tf.keras.layers.Concatenate(name="joined")([probability, distances])
        return tf.keras.Model(model.input, joined)

    def compile(self, model: Any, options: Any) -> Any:
        """Return stardist's network with two outputs, which shares the layers, with its losses, metrics and Adam."""
        from dl4fiji.keras_setup import import_tensorflow

        tf = import_tensorflow()
        peer = self._peer(options, model.input_shape[-1])
        peer.keras_model = at_grid(model)
        peer.prepare_for_training(tf.keras.optimizers.Adam(learning_rate=options.learning_rate))
        return peer.keras_model

    def loss_text(self, options: StarDistOptions) -> str:
        """Return stardist's losses in words."""
        distance = {"mae": "mean absolute error", "mse": "mean squared error", "iou": "overlap (IoU)"}
        return (
            f"the sum of the binary cross-entropy of the object probabilities (weight {options.probability_weight:g}) "
            f"and the {distance[options.distance_loss]} of the distances (weight {options.distance_weight:g})"
        )

    def schedule(self, options: StarDistOptions) -> Schedule:
        """Halve the learning rate when the validation loss stays."""
        return Plateau(options.learning_rate, options.reduce_lr_patience, factor=0.5)

    def footprint(self, options: Any, channels_in: int, channels_out: int) -> Footprint:
        """Return parameters and activations of stardist's network."""
        del channels_out
        return shape_of(options).footprint(channels_in)

    def batch(self, patches: PatchSource, options: Any, epoch: int, step: int) -> Batch:
        """Return patches, and the probabilities and distances that follow from their labels."""
        source, labels = patches.draw(epoch, step)
        return source, self._targets(labels[..., 0], options)

    def validation_batches(self, patches: PatchSource, options: Any) -> list[Batch]:
        """Return the validation patches with their probabilities and distances, cut into batches."""
        source, labels = patches.validation()
        size = options.batch_size
        return [
            (source[i : i + size], self._targets(labels[i : i + size, ..., 0], options))
            for i in range(0, len(source), size)
        ]

    def divisor(self, options: Any) -> dict[str, int]:
        """Return per axis the grid times 2 to the number of poolings."""
        return dict(zip(self._spatial, shape_of(options).divisor, strict=True))

    def halo(self, options: Any) -> dict[str, int]:
        """Return the radius of the receptive field, rounded up to the divisor."""
        return dict(zip(self._spatial, shape_of(options).halo(), strict=True))

    def outputs(self, options: Any, channels_out: int) -> Sequence[Output]:
        """Return the probability and the distances, which belong together pixel by pixel."""
        del channels_out
        grid = "×".join(map(str, grid_of(options)))
        return (
            Output("probability", f"probability to lie in an object, 0 but at every {grid} pixels", (0, 1)),
            Output("distances", "distance to the edge of the object along each ray, in pixels", (1, 1 + options.rays)),
        )


def at_grid(model: Any) -> Any:
    """Return the part of a built model that ends with probability and distances, two outputs as large as the grid."""
    from dl4fiji.keras_setup import import_tensorflow

    outputs = [model.get_layer(name).output for name in ("prob", "dist")]
    return import_tensorflow().keras.Model(model.input, outputs)


def _spread(tf: Any, grid: tuple[int, ...]) -> Any:
    """Return a layer without weights that puts pixels ``grid`` apart, with zeros between them.

    It is the transposed convolution of stardist's ``export_TF``, its kernel of one pixel a constant.
    """
    convolve = tf.nn.conv2d_transpose if len(grid) == 2 else tf.nn.conv3d_transpose

    def spread(places: Any) -> Any:
        shape = tf.shape(places)
        sides = tf.constant([1, *grid, 1], tf.int32)
        kernel = tf.ones((1,) * len(grid) + (1, 1), places.dtype)
        return convolve(places, kernel, shape * sides, strides=[1, *grid, 1], padding="SAME")

    def size(shape: Any) -> Any:
        sides = [None if side is None else side * step for side, step in zip(shape[1:-1], grid, strict=True)]
        return (shape[0], *sides, shape[-1])

    return tf.keras.layers.Lambda(spread, output_shape=size, name="probability")


def _settings(options: Any, channels_in: int) -> dict[str, Any]:
    """Return what stardist's configurations of 2D and 3D have in common."""
    shape = shape_of(options)
    dimensions, kernel = len(shape.grid), (options.kernel_size,) * len(shape.grid)
    backbone: dict[str, Any] = {
        "unet_n_depth": options.depth, "unet_kernel_size": kernel, "unet_n_filter_base": options.first_filters,
        "unet_pool": (2,) * dimensions, "net_conv_after_unet": options.feature_filters,
    }  # fmt: skip
    if shape.residual:
        backbone = {
            "resnet_n_blocks": options.blocks, "resnet_kernel_size": kernel,
            "resnet_n_filter_base": options.first_filters, "net_conv_after_resnet": options.feature_filters,
        }  # fmt: skip
    return backbone | {
        "n_channel_in": channels_in, "grid": shape.grid, "train_patch_size": options.patch_size,
        "train_background_reg": options.background_regularization, "train_dist_loss": options.distance_loss,
        "train_loss_weights": (options.probability_weight, options.distance_weight),
        "train_learning_rate": options.learning_rate, "train_batch_size": options.batch_size,
        "train_reduce_lr": None, "train_tensorboard": False,
    }  # fmt: skip


def _bare(kind: Any, config: Any) -> Any:
    """Return a model object of stardist that has neither folder nor network; its constructor would print and build."""
    peer = kind.__new__(kind)
    peer.config, peer.basedir = config, None
    return peer


class StarDist2D(_StarDist):
    """StarDist for single planes."""

    name = "stardist-2d"
    title = "StarDist 2D"
    description = "Finds round objects such as nuclei in planes, trained on images with labeled objects."
    axes = "YXC"
    citations: Sequence[Citation] = (SCHMIDT,)
    Options = StarDist2DOptions

    def _peer(self, options: StarDist2DOptions, channels_in: int) -> Any:
        from dl4fiji.keras_setup import import_tensorflow

        import_tensorflow()
        from stardist import models

        config = models.Config2D(axes="YXC", n_rays=options.rays, **_settings(options, channels_in))
        return _bare(models.StarDist2D, config)

    def _targets(self, labels: np.ndarray, options: StarDist2DOptions) -> tuple[np.ndarray, np.ndarray]:
        from dl4fiji.data.star_distances import planes_targets

        return planes_targets(labels, options.rays, grid_of(options))


class StarDist3D(_StarDist):
    """StarDist for volumes."""

    name = "stardist-3d"
    title = "StarDist 3D"
    description = "Finds round objects such as nuclei in volumes, trained on stacks with labeled objects."
    axes = "ZYXC"
    citations: Sequence[Citation] = (WEIGERT, SCHMIDT)
    Options = StarDist3DOptions

    def _peer(self, options: StarDist3DOptions, channels_in: int) -> Any:
        from dl4fiji.keras_setup import import_tensorflow

        import_tensorflow()
        from stardist import models

        config = models.Config3D(
            axes="ZYXC", rays=rays_of(options), anisotropy=anisotropy_of(options), backbone=options.backbone,
            **_settings(options, channels_in),
        )  # fmt: skip
        return _bare(models.StarDist3D, config)

    def _targets(self, labels: np.ndarray, options: StarDist3DOptions) -> tuple[np.ndarray, np.ndarray]:
        from dl4fiji.data.star_distances import volumes_targets

        return volumes_targets(labels, rays_of(options).vertices, grid_of(options), anisotropy_of(options))


def rays_of(options: StarDist3DOptions) -> Any:
    """Return the rays of StarDist 3D, a `stardist.rays3d.Rays_GoldenSpiral`."""
    return _golden_spiral(options.rays, anisotropy_of(options))


@lru_cache(maxsize=8)
def _golden_spiral(number: int, anisotropy: tuple[float, ...]) -> Any:
    from dl4fiji.keras_setup import prepare

    prepare()  # stardist imports csbdeep, and that the version of Keras
    from stardist.rays3d import Rays_GoldenSpiral

    return Rays_GoldenSpiral(number, anisotropy=anisotropy)
