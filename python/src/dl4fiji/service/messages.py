"""What the HTTP interface answers, as models; requests and jobs are in `dl4fiji.jobs.job`."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field


class Health(BaseModel):
    """That the service runs."""

    status: str = "ok"
    version: str
    pid: int


class Problem(BaseModel):
    """Problem details (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str = Field(description="One sentence for the user: what, where, and how to mend it.")
    problems: list[str] = Field(default_factory=list, description="All findings, where there are several.")


class NetworkEntry(BaseModel):
    """A network that can be trained."""

    name: str
    title: str
    description: str
    task: str
    data_form: str
    axes: str = Field(description="Axes of one sample, channels last.")
    citations: list[dict[str, str]]
    options: dict[str, Any] = Field(description="JSON schema of the options, with defaults, limits and help.")


class CheckReport(BaseModel):
    """What a training would do."""

    problems: list[str] = Field(description="What must be mended first, a sentence each.")
    warnings: list[str] = Field(description="What to think about, a sentence each.")
    summary: str = Field(description="What will happen, in one line.")
    forecast: dict[str, Any] = Field(description="Expected memory and time, where known.")
    objects: dict[str, Any] = Field(
        default_factory=dict,
        description="Where targets are labels: sizes of the objects in pixels, and the grid, patch_size, rays and "
        "anisotropy that suit them.",
    )


class PatchPreview(BaseModel):
    """The patches that a training would see first."""

    id: str = Field(description="Names the picture: GET previews/{id}.")
    text: str = Field(description="What the picture shows, in a sentence.")
    patches: list[dict[str, Any]] = Field(
        description="Per patch: image, window (axis to first and last pixel), objects (labels) or foreground (masks)."
    )
    warnings: list[str] = Field(description="What to think about, a sentence each.")


class EventEntry(BaseModel):
    """Something that happened to a job."""

    id: int = Field(description="Counts up, with gaps: of progress only the newest is kept.")
    type: str = Field(description="state, progress, epoch, phase, warning or result.")
    data: dict[str, Any]


class Folder(BaseModel):
    """A folder on this computer."""

    folder: str


class InstallRequest(BaseModel):
    """Where to install a model."""

    fiji: str = Field(description="Absolute path of Fiji's folder.")


class ReportFiles(BaseModel):
    """Where a report was written to."""

    html: str
    pdf: str


class LoginCode(BaseModel):
    """An address that signs a browser in, once."""

    url: str
    seconds: int = Field(description="How long it can be used.")


class Stopping(BaseModel):
    """That the service ends; running jobs go on and are taken up again at the next start."""

    status: str = "stopping"
    running: list[str] = Field(description="Ids of the jobs that go on.")
