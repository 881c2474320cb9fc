"""A trained model on disk: ``models/<name>/``."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from dl4fiji.data.normalization import Normalization
from dl4fiji.errors import InputError, NotFoundError
from dl4fiji.files import read_json, write_json


class ModelInfo(BaseModel):
    """What ``model.json`` holds: all that rebuilding, predicting with and describing a model need."""

    model_config = ConfigDict(extra="forbid")

    name: str
    network: str
    """Name of the network, e.g. ``care-2d``."""
    options: dict[str, Any]
    """All options it was trained with, defaults included."""
    axes: str
    """Axes of one sample of the network, channels last."""
    channels_in: int
    channels_out: int
    normalization: Normalization = Field(discriminator="kind")
    pixel_size: dict[str, float] = Field(default_factory=dict)
    """Physical size of a training pixel per spatial axis, where the images told it."""
    pixel_unit: str = ""
    created: datetime
    training: dict[str, Any] = Field(default_factory=dict)
    """Summary for README and report: images, split, epochs, best_epoch, val_loss, seconds, device, versions."""
    quality: dict[str, Any] = Field(default_factory=dict)
    """Figures on the validation images, e.g. ``{"psnr": {"input": 29.3, "prediction": 34.2}}``."""
    classes: list[int] = Field(default_factory=list)
    """Segmentation: the value of each class in masks, background first."""
    thresholds: dict[str, float] = Field(default_factory=dict)
    """Thresholds found on the validation images, by the name of the output that they belong to."""
    warnings: list[str] = Field(default_factory=list)
    authors: list[str] = Field(default_factory=list)
    license: str = "CC-BY-4.0"


@dataclass(frozen=True)
class ModelFolder:
    """The files of a trained model.

    Parameters
    ----------
    path
        The folder ``models/<name>``.
    """

    path: Path

    @property
    def name(self) -> str:
        """The model's name."""
        return self.path.name

    @property
    def info_file(self) -> Path:
        """`ModelInfo` as JSON; the last file written, so a folder that has it is whole."""
        return self.path / "model.json"

    @property
    def history_file(self) -> Path:
        """One row per epoch."""
        return self.path / "history.csv"

    @property
    def request_file(self) -> Path:
        """The request that trained the model."""
        return self.path / "request.json"

    @property
    def samples_file(self) -> Path:
        """A validation crop as ``input`` and, where there is one, ``truth`` in an npz.

        Raw units, network axes, no batch axis.
        """
        return self.path / "samples.npz"

    @property
    def package(self) -> Path:
        """The exported bioimage.io package, unpacked: a folder that DeepImageJ reads."""
        return self.path / "package"

    @property
    def package_zip(self) -> Path:
        """The same as one file to pass on."""
        return self.path / f"{self.name}.bioimage.io.zip"

    @property
    def csbdeep_zip(self) -> Path:
        """The zip for Fiji's CSBDeep plugin."""
        return self.path / f"{self.name}.csbdeep.zip"

    @property
    def stardist_zip(self) -> Path:
        """The zip for Fiji's StarDist plugin, which networks have that find objects in planes."""
        return self.path / f"{self.name}.stardist.zip"

    @property
    def certificate_file(self) -> Path:
        """Which engines ran the export, and how far they differ from Python."""
        return self.path / "certificate.json"

    @property
    def record_file(self) -> Path:
        """What the training kept for the report, see `dl4fiji.quality_control.record`."""
        return self.path / "record.json"

    @property
    def examples_file(self) -> Path:
        """Panels of example images in an npz, described in `record_file`."""
        return self.path / "examples.npz"

    @property
    def report_html(self) -> Path:
        """The report as one HTML page that needs nothing else."""
        return self.path / "report.html"

    @property
    def report_pdf(self) -> Path:
        """The same as PDF."""
        return self.path / "report.pdf"

    def weights(self, which: str = "best") -> Path:
        """Return the Keras weights file, ``best`` or ``last``."""
        if which not in ("best", "last"):
            raise InputError(f"{which!r} names no weights: choose best or last.")
        return self.path / "weights" / f"{which}.h5"

    def onnx(self, which: str = "best") -> Path:
        """Return the bare network of `weights` as ONNX: normalized in and out, for prediction in tiles."""
        return self.weights(which).with_suffix(".onnx")

    def exists(self) -> bool:
        """Tell whether a whole model is here."""
        return self.info_file.is_file()

    def read(self) -> ModelInfo:
        """Return the model's description.

        Raises
        ------
        NotFoundError
            If there is no such model.
        InputError
            If its ``model.json`` is damaged.
        """
        if not self.exists():
            raise NotFoundError(f"There is no model {self.name!r}: `dl4fiji models list` shows the models there are.")
        try:
            return ModelInfo.model_validate(read_json(self.info_file))
        except (ValidationError, ValueError) as error:
            raise InputError(f"{self.info_file} is damaged ({error}): restore it or train the model again.") from error

    def write(self, info: ModelInfo) -> None:
        """Write the model's description."""
        write_json(self.info_file, info.model_dump(mode="json"))
