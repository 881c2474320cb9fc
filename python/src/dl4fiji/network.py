"""The protocol that every network fulfils. Nothing here imports TensorFlow: the service reads it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np

from dl4fiji.data.masks import TargetForm
from dl4fiji.data.normalization import Normalization
from dl4fiji.options import TrainingOptions
from dl4fiji.schedule import Schedule

if TYPE_CHECKING:
    from dl4fiji.data.dataset import Dataset
    from dl4fiji.data.patches import PatchSource

Task = Literal["restoration", "segmentation", "instances", "localization", "translation", "detection"]
DataForm = Literal["paired", "single", "unpaired"]
Arrays = np.ndarray | tuple[np.ndarray, ...]
Batch = tuple[Arrays, Arrays]
"""Input and target of one training step, float32, axes ``N`` followed by the network's axes.

A network with several inputs or outputs has a tuple of arrays there.
"""


@dataclass(frozen=True)
class Citation:
    """A publication to cite."""

    text: str
    doi: str = ""


@dataclass(frozen=True)
class Output:
    """One output tensor of the exported network.

    ``channels`` selects channels of the Keras model's output: (first, last exclusive).
    """

    name: str
    description: str
    channels: tuple[int, int]
    spread: bool = False
    """It tells how uncertain another output is: on the way back to image units it is scaled, not shifted."""


@dataclass(frozen=True)
class Footprint:
    """How large a network is, known without building it."""

    parameters: int
    """Numbers among the weights."""
    activations: float
    """Float32 numbers per input pixel that the layers put out, all of which the training keeps."""
    largest: float
    """Float32 numbers per input pixel that the largest layer takes in and puts out."""


class Network(Protocol):
    """A network that can be trained, judged, exported and run in Fiji.

    Implementations are stateless; all that a trained model needs beyond its weights is in its options,
    its numbers of channels and its normalisation (`dl4fiji.model.ModelInfo`).
    """

    @property
    def name(self) -> str:
        """Its name in requests, on the command line and in folders, e.g. ``care-2d``."""
        ...

    @property
    def title(self) -> str:
        """Its name in menus and macros, e.g. ``CARE 2D``."""
        ...

    @property
    def description(self) -> str:
        """One sentence for people who choose a network."""
        ...

    @property
    def task(self) -> Task:
        """What comes out, hence how it is judged."""
        ...

    @property
    def data_form(self) -> DataForm:
        """What training data it takes."""
        ...

    @property
    def axes(self) -> str:
        """Axes of one sample, channels last: ``YXC`` or ``ZYXC``."""
        ...

    @property
    def citations(self) -> Sequence[Citation]:
        """Publications to cite, the network's own first."""
        ...

    @property
    def Options(self) -> type[TrainingOptions]:
        """The options, with defaults and limits."""
        ...

    def settle(self, options: Any, dataset: Dataset) -> tuple[Any, list[str]]:
        """Return the options with what they leave to the data filled in, and what the user should know about them.

        ``dataset`` is split. The training and the model have these options; the same data give the same ones.
        """
        ...

    def normalization(self, options: Any, dataset: Dataset) -> Normalization:
        """Return the one normalisation used in training, prediction and export.

        ``dataset`` is split; networks whose normalisation is that of the training data measure it there. The same
        data give the same numbers, so that a resumed training goes on with them.
        """
        ...

    def build(self, options: Any, channels_in: int, channels_out: int) -> Any:
        """Return the Keras model, input and output free in batch and spatial size."""
        ...

    def compile(self, model: Any, options: Any) -> Any:
        """Give ``model`` its loss, metrics and optimiser, and return what is to be trained.

        That is ``model`` itself, or a Keras model that contains it and has its own ``train_step`` and
        ``test_step`` (a GAN with its discriminator, say). Its ``test_step`` returns the ``loss`` by which the
        best weights are chosen; all its variables and optimisers are kept in checkpoints.
        """
        ...

    def loss_text(self, options: Any) -> str:
        """Return what the training minimizes, in words for a methods section, e.g. ``the mean absolute error``."""
        ...

    def schedule(self, options: Any) -> Schedule:
        """Return how the learning rate changes from epoch to epoch."""
        ...

    def footprint(self, options: Any, channels_in: int, channels_out: int) -> Footprint:
        """Return the network's size, for the memory forecast; needs no TensorFlow."""
        ...

    def batch(self, patches: PatchSource, options: Any, epoch: int, step: int) -> Batch:
        """Return the training batch of a step; the same arguments give the same batch."""
        ...

    def validation_batches(self, patches: PatchSource, options: Any) -> list[Batch]:
        """Return the fixed validation batches."""
        ...

    def divisor(self, options: Any) -> dict[str, int]:
        """Return per spatial axis what an input's size must be a multiple of."""
        ...

    def halo(self, options: Any) -> dict[str, int]:
        """Return per spatial axis how many pixels at a tile's border are not to be trusted."""
        ...

    def outputs(self, options: Any, channels_out: int) -> Sequence[Output]:
        """Return what the exported network puts out, the main output first."""
        ...


def target_form(network: Network, options: Any) -> TargetForm | None:
    """Return what the pixels of the training targets mean; None if these are images."""
    if network.task == "instances":
        return "labels"
    return options.mask_values if network.task == "segmentation" else None
