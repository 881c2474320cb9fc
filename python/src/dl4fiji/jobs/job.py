"""What a job is: its request, state and result. Vocabulary of appose-python."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class JobState(StrEnum):
    """Where a job stands."""

    QUEUED = "QUEUED"
    RUNNING = "RUNNING"
    COMPLETE = "COMPLETE"
    CANCELED = "CANCELED"
    FAILED = "FAILED"
    """It ended with an error that names its reason."""
    CRASHED = "CRASHED"
    """Its worker vanished: killed, out of memory, power failure."""

    @property
    def ended(self) -> bool:
        """Tell whether nothing more will happen unless the job is resumed."""
        return self not in (JobState.QUEUED, JobState.RUNNING)


class _Request(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class DataRequest(_Request):
    """Training images.

    ``source`` and ``target`` are folders or single files, absolute paths on this machine.
    """

    source: str
    target: str = ""
    validation_source: str = ""
    validation_target: str = ""
    axes: str = ""
    """Axes of the files, e.g. ``ZYX``; empty: read from their metadata."""


class TrainRequest(_Request):
    """Train a network and export it."""

    kind: Literal["train"] = "train"
    network: str
    """Name of the network, e.g. ``care-2d``."""
    name: str
    """Name of the model to make."""
    data: DataRequest
    options: dict[str, Any] = Field(default_factory=dict)
    start_from: str = ""
    """A model to start from: the name of one made here, or the path or address of a model folder, zip or package."""
    authors: list[str] = Field(default_factory=list)
    export: bool = True


class PredictRequest(_Request):
    """Run a model on images."""

    kind: Literal["predict"] = "predict"
    model: str
    """Name of a model made here."""
    source: str
    """An image or a folder of images."""
    output: str = ""
    """The folder to write to; empty: the job's own folder."""
    axes: str = ""
    weights: Literal["best", "last"] = "best"
    tile_size: int = Field(0, ge=0, le=65536)
    """Side of a tile in pixels along Y and X; 0 chooses by the memory at hand."""
    probability_threshold: float = Field(0.0, ge=0, lt=1)
    """Masks and objects: from this probability on a pixel counts; 0 takes the threshold stored with the model."""
    nms_threshold: float = Field(0.0, ge=0, lt=1)
    """Objects: one that shares more than this part of the smaller one with a more probable one is dropped; 0 takes the
    threshold stored with the model."""


class ExportRequest(_Request):
    """Export a trained model (again)."""

    kind: Literal["export"] = "export"
    model: str
    weights: Literal["best", "last"] = "best"


class SelfTestRequest(_Request):
    """Exercise scheduler, worker, progress and cancel without a network: what ``dl4fiji doctor`` runs."""

    kind: Literal["selftest"] = "selftest"
    seconds: float = Field(1.0, ge=0, le=86_400)
    """How long it shall take."""
    steps: int = Field(10, ge=1, le=1_000_000)
    """Batches that the time is divided into."""
    epochs: int = Field(0, ge=0, le=100_000)
    """Epochs to report, with the loss of a smooth curve."""
    as_training: bool = False
    """Take the place of a training job on a device."""
    fail: Literal["", "input", "unexpected", "memory", "disk", "kill"] = ""
    """How it shall end halfway: by an error of that kind, or killed."""
    deaf: bool = False
    """Do not listen to cancel, as a hanging job would not."""


Request = Annotated[TrainRequest | PredictRequest | ExportRequest | SelfTestRequest, Field(discriminator="kind")]


class Job(BaseModel):
    """A job as the store keeps it and the HTTP interface shows it."""

    id: str
    kind: str
    title: str
    """E.g. ``Train CARE 2D “nuclei”``."""
    state: JobState
    created: datetime
    started: datetime | None = None
    finished: datetime | None = None
    phase: str = ""
    """What it does at the moment, in words."""
    done: int = 0
    total: int = 0
    epoch: int = 0
    epochs: int = 0
    loss: float | None = None
    val_loss: float | None = None
    seconds_left: float | None = None
    device: str = ""
    error: str = ""
    """One sentence why it failed."""
    exit_code: int | None = None
    log_tail: list[str] = Field(default_factory=list)
    """Last lines of the log of a crashed or failed job."""
    warnings: list[str] = Field(default_factory=list)
    result: dict[str, Any] = Field(default_factory=dict)
    """Training: ``model``, ``folder``, ``package``, ``quality``, ``report``, ``certificate``; prediction: ``files``."""
    resumable: bool = False
    attempts: int = 0
    request: dict[str, Any] = Field(default_factory=dict)
