"""The job store: SQLite, every change of state one durable transaction, so that no job is lost or run twice."""

from __future__ import annotations

import json
import secrets
import sqlite3
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from dl4fiji.errors import ConflictError, NotFoundError, ResourceError, SetupError
from dl4fiji.jobs.job import Job, JobState
from dl4fiji.jobs.schema import (
    TABLES,
    VERSION,
    Event,
    Running,
    Submission,
    dump,
    finite,
    lane,
    to_job,
)

_ALPHABET = "0123456789abcdefghijklmnopqrstuvwxyz"
_STATUS = ("done", "total", "epoch", "epochs", "loss", "val_loss", "seconds_left")
"""What a job shows of its newest progress."""


class JobStore:
    """Keeps jobs and their events. All methods may be called from any thread.

    Parameters
    ----------
    path
        The database file; made when missing.
    on_change
        Called with a job's id after each committed change, outside of all locks.

    Raises
    ------
    SetupError
        If the file is damaged, of a later version, or cannot be written.
    """

    def __init__(self, path: Path, on_change: Callable[[str], None] = lambda job_id: None) -> None:
        self._path = path
        self._lock = threading.RLock()
        self._changed: set[str] = set()
        self.on_change = on_change
        try:
            self._db = sqlite3.connect(path, timeout=10, isolation_level=None, check_same_thread=False)
            self._db.row_factory = sqlite3.Row
            version = self._db.execute("PRAGMA user_version").fetchone()[0]
            self._refuse_later(version)
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = FULL")
            self._db.execute("PRAGMA foreign_keys = ON")
            if version == 0:
                self._db.executescript(f"BEGIN IMMEDIATE;{TABLES}PRAGMA user_version = {VERSION};COMMIT;")
        except sqlite3.Error as error:
            raise SetupError(
                f"The job store {path} cannot be used ({error}): move it away to begin with an empty one; "
                "models and the jobs' folders stay."
            ) from error

    def _refuse_later(self, version: int) -> None:
        """Raise SetupError, before anything is changed, if the tables are of a later version."""
        if version > VERSION:
            self._db.close()
            raise SetupError(
                f"The job store {self._path} was made by a later version of DL4Fiji: install that version, "
                "or set DL4FIJI_HOME to another folder."
            )

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """Run a block as one durable transaction, then tell which jobs changed."""
        changed: set[str] = set()
        with self._lock:
            try:
                self._db.execute("BEGIN IMMEDIATE")
                self._changed = changed
                yield self._db
                self._db.execute("COMMIT")
            except BaseException as error:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                if isinstance(error, sqlite3.OperationalError) and "full" in str(error):
                    raise ResourceError(
                        f"The disk of {self._path} is full: free some space, then try again."
                    ) from error
                raise
        for job_id in changed:
            self.on_change(job_id)

    # ---------------------------------------------------------------- asking

    def get(self, job_id: str) -> Job:
        """Return a job; NotFoundError if there is none of this id."""
        return to_job(self._row(job_id))

    def jobs(self, states: Collection[JobState] = (), limit: int = 200, skip: int = 0) -> list[Job]:
        """Return the newest ``limit`` jobs after ``skip`` newer ones, newest first; if given, those in ``states``."""
        marks = ",".join("?" * len(states))
        where = f"WHERE state IN ({marks})" if states else ""
        with self._lock:
            rows = self._db.execute(
                f"SELECT * FROM jobs {where} ORDER BY position DESC LIMIT ? OFFSET ?",  # noqa: S608 – question marks only
                (*states, limit, skip),
            ).fetchall()
        return [to_job(row) for row in rows]

    def count(self) -> int:
        """Return how many jobs there are."""
        with self._lock:
            return self._db.execute("SELECT COUNT(*) FROM jobs").fetchone()[0]

    def running(self) -> list[Running]:
        """Return what is running, oldest first."""
        with self._lock:
            rows = self._db.execute("SELECT * FROM jobs WHERE state = 'RUNNING' ORDER BY position").fetchall()
        return [Running(**{name: row[name] for name in Running.__dataclass_fields__}) for row in rows]

    def events(self, job_id: str, after: int = 0, limit: int = 1000) -> list[Event]:
        """Return up to ``limit`` events of a job after number ``after``, in order."""
        with self._lock:
            rows = self._db.execute(
                "SELECT number, type, data FROM events WHERE job = ? AND number > ? ORDER BY number LIMIT ?",
                (job_id, after, limit),
            ).fetchall()
        return [Event(row["number"], row["type"], json.loads(row["data"])) for row in rows]

    def last_event(self, job_id: str) -> int:
        """Return the number of a job's newest event."""
        return self._row(job_id)["last_event"]

    def history(self, job_id: str) -> dict[str, list[Any]]:
        """Return the columns of a training's history; an epoch that was repeated by a resume counts once."""
        self._row(job_id)
        with self._lock:
            rows = self._db.execute(
                "SELECT data FROM events WHERE job = ? AND type = 'epoch' ORDER BY number", (job_id,)
            ).fetchall()
        by_epoch = {row["epoch"]: row for row in (json.loads(text) for (text,) in rows)}
        ordered = [by_epoch[epoch] for epoch in sorted(by_epoch)]
        columns = dict.fromkeys(name for row in ordered for name in row)
        return {name: [row.get(name) for row in ordered] for name in columns or ("epoch", "loss", "val_loss")}

    def active_model(self, name: str) -> Job | None:
        """Return the queued or running job that will make the model ``name``."""
        with self._lock:
            row = self._db.execute(
                "SELECT * FROM jobs WHERE model = ? AND model <> '' AND state IN ('QUEUED', 'RUNNING')", (name,)
            ).fetchone()
        return to_job(row) if row else None

    def integrity(self) -> list[str]:
        """Return what SQLite's integrity check finds; nothing is well."""
        with self._lock:
            rows = [row[0] for row in self._db.execute("PRAGMA integrity_check").fetchall()]
        return [] if rows == ["ok"] else rows

    # ---------------------------------------------------------------- changing

    def submit(self, request: Any, title: str, model: str = "") -> Job:
        """Queue a request.

        Parameters
        ----------
        request
            One of the request models of `dl4fiji.jobs.job`.
        title
            What people read in lists.
        model
            Name of the model that the job will make, if any.

        Raises
        ------
        ConflictError
            If a queued or running job already makes a model of this name.
        """
        submitted = self.submit_all([Submission(request, title, model)])[0]
        if isinstance(submitted, ConflictError):
            raise submitted
        return submitted

    def submit_all(self, submissions: Sequence[Submission]) -> list[Job | ConflictError]:
        """Queue several requests in their order, in one transaction; a conflict of one does not keep the others."""
        ids: list[str | ConflictError] = []
        with self._transaction() as db:
            position = db.execute("SELECT COALESCE(MAX(position), 0) FROM jobs").fetchone()[0]
            for submission in submissions:
                if submission.model and self.active_model(submission.model):
                    ids.append(self._model_conflict(submission.model))
                    continue
                position += 1
                ids.append(self._insert(submission, position))
        return [self.get(entry) if isinstance(entry, str) else entry for entry in ids]

    def _insert(self, submission: Submission, position: int) -> str:
        now, request = time.time(), submission.request
        tail = "".join(secrets.choice(_ALPHABET) for _ in range(6))
        job_id = f"{datetime.fromtimestamp(now, UTC):%Y%m%d-%H%M%S}-{tail}"
        self._db.execute(
            "INSERT INTO jobs (id, position, kind, lane, title, model, state, created, request, phase) "
            "VALUES (?, ?, ?, ?, ?, ?, 'QUEUED', ?, ?, 'Waiting')",
            (
                job_id, position, request.kind, lane(request), submission.title, submission.model, now,
                dump(request.model_dump(mode="json")),
            ),
        )  # fmt: skip
        self._state_event(job_id)
        return job_id

    def take_next(self, queue: str, device: str) -> Job | None:
        """Turn the oldest queued job of the lane ``queue`` into RUNNING on ``device``, and return it."""
        oldest = "SELECT id FROM jobs WHERE state = 'QUEUED' AND lane = ? ORDER BY position LIMIT 1"
        with self._lock:
            if self._db.execute(oldest, (queue,)).fetchone() is None:
                return None
        with self._transaction() as db:
            row = db.execute(oldest, (queue,)).fetchone()
            if row is None:
                return None
            db.execute(
                "UPDATE jobs SET state = 'RUNNING', attempts = attempts + 1, device = ?, started = ?, finished = NULL, "
                "pid = NULL, cancel_requested = NULL, phase = 'Starting' WHERE id = ?",
                (device, time.time(), row["id"]),
            )
            self._state_event(row["id"])
        return self.get(row["id"])

    def worker_started(self, job_id: str, pid: int) -> None:
        """Note the process of a job's worker."""
        with self._transaction() as db:
            db.execute("UPDATE jobs SET pid = ? WHERE id = ?", (pid, job_id))

    def requeue(self, job_id: str) -> None:
        """Put a RUNNING job whose worker never began back in its place in the queue; not counted as an attempt."""
        with self._transaction() as db:
            db.execute(
                "UPDATE jobs SET state = 'QUEUED', attempts = attempts - 1, device = '', started = NULL, pid = NULL, "
                "phase = 'Waiting' WHERE id = ? AND state = 'RUNNING'",
                (job_id,),
            )
            self._state_event(job_id)

    def record(self, job_id: str, events: Sequence[tuple[str, dict[str, Any]]], offset: int) -> None:
        """Take over a worker's events, and with them, in one transaction, how far its file was read.

        Of progress only the newest is kept, in the job and among the events.
        """
        events = [(kind, finite(data)) for kind, data in events]
        newest = max((index for index, (kind, _) in enumerate(events) if kind == "progress"), default=-1)
        with self._transaction() as db:
            if newest >= 0:
                db.execute("DELETE FROM events WHERE job = ? AND type = 'progress'", (job_id,))
            for index, (kind, data) in enumerate(events):
                self._apply(job_id, kind, data)
                if kind != "progress" or index == newest:
                    self._add_event(job_id, kind, data)
            db.execute("UPDATE jobs SET offset = ? WHERE id = ?", (offset, job_id))

    def request_cancel(self, job_id: str) -> Job:
        """Cancel a queued job at once; note for a running one that it shall stop.

        Raises
        ------
        ConflictError
            If the job has ended.
        """
        now = time.time()
        with self._transaction() as db:
            state = JobState(self._row(job_id)["state"])
            if state.ended:
                raise ConflictError(f"Job {job_id} is {state} already: there is nothing to cancel.")
            if state is JobState.QUEUED:
                db.execute("UPDATE jobs SET state = 'CANCELED', finished = ?, phase = '' WHERE id = ?", (now, job_id))
                self._state_event(job_id)
            else:
                db.execute(
                    "UPDATE jobs SET cancel_requested = COALESCE(cancel_requested, ?), phase = 'Stopping' WHERE id = ?",
                    (now, job_id),
                )
                self._add_event(job_id, "phase", {"text": "Stopping"})
        return self.get(job_id)

    def conclude(
        self,
        job_id: str,
        state: JobState,
        *,
        error: str = "",
        exit_code: int | None = None,
        log_tail: Iterable[str] = (),
        result: dict[str, Any] | None = None,
    ) -> None:
        """Write down how a running job ended. ``result`` is merged into what the worker told before."""
        with self._transaction() as db:
            row = self._row(job_id)
            if row["state"] != JobState.RUNNING:
                return
            merged = {**json.loads(row["result"]), **(result or {})}
            db.execute(
                "UPDATE jobs SET state = ?, finished = ?, error = ?, exit_code = ?, log_tail = ?, result = ?, "
                "phase = '', pid = NULL, seconds_left = NULL WHERE id = ?",
                (state, time.time(), error, exit_code, dump(list(log_tail)), dump(merged), job_id),
            )
            if result:
                self._add_event(job_id, "result", merged)
            self._state_event(job_id)

    def resume(self, job_id: str) -> Job:
        """Queue a canceled, failed or crashed job again, at the end of the queue.

        Raises
        ------
        ConflictError
            If the job runs, waits or is complete, or another job makes a model of the same name meanwhile.
        """
        row = self._row(job_id)
        try:
            with self._transaction() as db:
                row = self._row(job_id)
                if row["state"] not in (JobState.CANCELED, JobState.FAILED, JobState.CRASHED):
                    raise ConflictError(
                        f"Job {job_id} is {row['state']}: only a canceled, failed or crashed job can be resumed."
                    )
                db.execute(
                    "UPDATE jobs SET state = 'QUEUED', position = (SELECT MAX(position) + 1 FROM jobs), error = '', "
                    "exit_code = NULL, log_tail = '[]', warnings = '[]', result = '{}', started = NULL, "
                    "finished = NULL, cancel_requested = NULL, phase = 'Waiting to go on' WHERE id = ?",
                    (job_id,),
                )
                self._state_event(job_id)
        except sqlite3.IntegrityError as error:
            raise self._model_conflict(row["model"]) from error
        return self.get(job_id)

    def close(self) -> None:
        """Close the database; further calls fail."""
        with self._lock:
            self._db.close()

    # ---------------------------------------------------------------- inside a transaction

    def _row(self, job_id: str) -> sqlite3.Row:
        with self._lock:
            row = self._db.execute("SELECT * FROM jobs WHERE id = ?", (job_id,)).fetchone()
        if row is None:
            raise NotFoundError(f"There is no job {job_id!r}: `dl4fiji jobs list` shows the jobs there are.")
        return row

    def _add_event(self, job_id: str, kind: str, data: dict[str, Any]) -> None:
        self._changed.add(job_id)
        number = self._db.execute(
            "UPDATE jobs SET last_event = last_event + 1 WHERE id = ? RETURNING last_event", (job_id,)
        ).fetchone()[0]
        self._db.execute("INSERT INTO events VALUES (?, ?, ?, ?)", (job_id, number, kind, dump(data)))

    def _state_event(self, job_id: str) -> None:
        row = self._row(job_id)
        data = {name: row[name] for name in ("state", "error", "exit_code", "device", "attempts")}
        self._add_event(job_id, "state", data)

    def _apply(self, job_id: str, kind: str, data: dict[str, Any]) -> None:
        """Show a worker's event in the job itself."""
        values: dict[str, Any] = {}
        if kind in ("progress", "epoch"):
            values = {name: data[name] for name in _STATUS if name in data}
        elif kind == "phase":
            values = {"phase": str(data.get("text", ""))}
        elif kind == "result":
            values = {"result": dump({**json.loads(self._row(job_id)["result"]), **data})}
        elif kind == "warning":
            known = json.loads(self._row(job_id)["warnings"])
            text = str(data.get("text", ""))
            values = {"warnings": dump(known if text in known else [*known, text])}
        if values:
            assignments = ", ".join(f"{name} = ?" for name in values)
            statement = f"UPDATE jobs SET {assignments} WHERE id = ?"  # noqa: S608 – names of our columns
            self._db.execute(statement, (*values.values(), job_id))

    def _model_conflict(self, name: str) -> ConflictError:
        other = self.active_model(name)
        return ConflictError(
            f"Job {other.id if other else '?'} is already making a model named {name!r}: "
            "choose another name or cancel that job."
        )
