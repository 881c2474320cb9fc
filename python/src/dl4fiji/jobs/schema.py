"""The tables of the job store, what goes in and comes out of them, and how a row becomes a `Job`."""

from __future__ import annotations

import json
import math
import sqlite3
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from dl4fiji.jobs.job import Job, JobState

VERSION = 1
"""Of the tables; a store of a later version is refused rather than damaged."""

TABLES = """
CREATE TABLE jobs (
    id TEXT PRIMARY KEY,
    position INTEGER NOT NULL UNIQUE,          -- order in the queue and in lists
    kind TEXT NOT NULL,
    lane TEXT NOT NULL,                        -- 'training' or 'other'
    title TEXT NOT NULL,
    model TEXT NOT NULL DEFAULT '' COLLATE NOCASE,  -- name of the model it will make
    state TEXT NOT NULL,
    created REAL NOT NULL,
    started REAL,
    finished REAL,
    attempts INTEGER NOT NULL DEFAULT 0,
    device TEXT NOT NULL DEFAULT '',
    pid INTEGER,                               -- of the worker
    cancel_requested REAL,
    phase TEXT NOT NULL DEFAULT '',
    done INTEGER NOT NULL DEFAULT 0,
    total INTEGER NOT NULL DEFAULT 0,
    epoch INTEGER NOT NULL DEFAULT 0,
    epochs INTEGER NOT NULL DEFAULT 0,
    loss REAL,
    val_loss REAL,
    seconds_left REAL,
    error TEXT NOT NULL DEFAULT '',
    exit_code INTEGER,
    log_tail TEXT NOT NULL DEFAULT '[]',
    warnings TEXT NOT NULL DEFAULT '[]',
    result TEXT NOT NULL DEFAULT '{}',
    request TEXT NOT NULL,
    last_event INTEGER NOT NULL DEFAULT 0,     -- number of the newest event ever, also of those dropped since
    offset INTEGER NOT NULL DEFAULT 0          -- bytes of the worker's events.jsonl that were taken over
);
CREATE INDEX jobs_by_state ON jobs (state, lane, position);
-- What must never happen is forbidden by the database itself:
CREATE UNIQUE INDEX one_training_per_device ON jobs (device) WHERE state = 'RUNNING' AND lane = 'training';
CREATE UNIQUE INDEX one_active_job_per_model ON jobs (model) WHERE state IN ('QUEUED', 'RUNNING') AND model <> '';
CREATE TABLE events (
    job TEXT NOT NULL REFERENCES jobs (id),
    number INTEGER NOT NULL,
    type TEXT NOT NULL,
    data TEXT NOT NULL,
    PRIMARY KEY (job, number)
) WITHOUT ROWID;
CREATE INDEX newest_progress ON events (job) WHERE type = 'progress';
"""


def lane(request: Any) -> str:
    """Return where a request waits: ``training`` takes a device, ``other`` runs beside."""
    training = request.kind == "train" or (request.kind == "selftest" and request.as_training)
    return "training" if training else "other"


def dump(value: Any) -> str:
    """Write ``value`` as compact JSON; numbers that JSON lacks (NaN, infinity) become null."""
    return json.dumps(finite(value), ensure_ascii=False, separators=(",", ":"), allow_nan=False, default=str)


def finite(value: Any) -> Any:
    """Return ``value`` as JSON can hold it: NaN and infinity become None, NumPy's numbers and arrays Python's."""
    if type(value).__module__ == "numpy":
        value = value.tolist()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {str(key): finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    return value


def _time(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)


def to_job(row: sqlite3.Row) -> Job:
    """Turn a row of ``jobs`` into a `Job`."""
    state = JobState(row["state"])
    return Job.model_construct(
        id=row["id"],
        kind=row["kind"],
        title=row["title"],
        state=state,
        created=_time(row["created"]),
        started=_time(row["started"]),
        finished=_time(row["finished"]),
        phase=row["phase"],
        done=row["done"],
        total=row["total"],
        epoch=row["epoch"],
        epochs=row["epochs"],
        loss=row["loss"],
        val_loss=row["val_loss"],
        seconds_left=row["seconds_left"],
        device=row["device"],
        error=row["error"],
        exit_code=row["exit_code"],
        log_tail=json.loads(row["log_tail"]),
        warnings=json.loads(row["warnings"]),
        result=json.loads(row["result"]),
        resumable=state in (JobState.CANCELED, JobState.FAILED, JobState.CRASHED),
        attempts=row["attempts"],
        request=json.loads(row["request"]),
    )


@dataclass(frozen=True)
class Event:
    """Something that happened to a job; ``number`` counts from 1 for each job, with gaps."""

    number: int
    type: str
    data: dict[str, Any]

    def as_dict(self) -> dict[str, Any]:
        """Return the event as the HTTP interface shows it."""
        return {"id": self.number, "type": self.type, "data": self.data}


@dataclass(frozen=True)
class Running:
    """What the scheduler must know of a running job to take it up again."""

    id: str
    lane: str
    device: str
    attempts: int
    pid: int | None
    offset: int
    cancel_requested: float | None


@dataclass(frozen=True)
class Submission:
    """A request to queue, with its title and the name of the model that it will make, if any."""

    request: Any
    title: str
    model: str = ""
