"""The files of a job's folder, by which scheduler and worker talk; they outlive both."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dl4fiji.files import read_json, write_json

TAIL_LINES = 50
"""Lines of the log that are kept with a failed or crashed job."""
_TAIL_BYTES = 64 * 1024
_CHUNK_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True)
class JobFiles:
    """The folder of one job.

    Parameters
    ----------
    folder
        ``jobs/<id>`` of the home.
    """

    folder: Path

    @property
    def request(self) -> Path:
        """The request as JSON; can be submitted again as it stands."""
        return self.folder / "request.json"

    @property
    def log(self) -> Path:
        """Everything that the worker and its libraries print, all attempts."""
        return self.folder / "log.txt"

    @property
    def events(self) -> Path:
        """What the worker tells, one JSON object per line, all attempts."""
        return self.folder / "events.jsonl"

    @property
    def result(self) -> Path:
        """How the newest attempt ended; missing while it runs and when it crashed."""
        return self.folder / "result.json"

    @property
    def worker(self) -> Path:
        """Process and attempt of the newest worker; its first deed is to write it."""
        return self.folder / "worker.json"

    @property
    def lock(self) -> Path:
        """Held by the worker as long as it lives."""
        return self.folder / "worker.lock"

    @property
    def cancel(self) -> Path:
        """Present when the job shall stop."""
        return self.folder / "cancel"

    def prepare(self, request: dict[str, Any]) -> None:
        """Make the folder ready for an attempt."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.result.unlink(missing_ok=True)
        self.cancel.unlink(missing_ok=True)
        write_json(self.request, request)

    def began(self, attempt: int) -> bool:
        """Tell whether the worker of ``attempt`` got as far as to say so."""
        return self._of_attempt(self.worker, attempt) is not None

    def worker_pid(self, attempt: int) -> int | None:
        """Return the process id that the worker of ``attempt`` wrote down."""
        written = self._of_attempt(self.worker, attempt)
        return written["pid"] if written else None

    def outcome(self, attempt: int) -> dict[str, Any] | None:
        """Return what ``result.json`` says of ``attempt``; None if that attempt left none."""
        return self._of_attempt(self.result, attempt)

    @staticmethod
    def _of_attempt(path: Path, attempt: int) -> dict[str, Any] | None:
        try:
            value = read_json(path)
        except (OSError, ValueError):
            return None
        return value if isinstance(value, dict) and value.get("attempt") == attempt else None

    def new_events(self, offset: int) -> tuple[list[tuple[str, dict[str, Any]]], int]:
        """Return the events written after byte ``offset``, and the offset up to which they reach.

        A line that is still being written is left for the next time; one that a killed worker left unfinished,
        and over which the next attempt wrote on, is passed over.
        """
        try:
            with self.events.open("rb") as stream:
                stream.seek(offset)
                chunk = stream.read(_CHUNK_BYTES)
        except FileNotFoundError:
            return [], offset
        whole = chunk[: chunk.rfind(b"\n") + 1]
        return list(_parse(whole)), offset + len(whole)

    def log_tail(self, lines: int = TAIL_LINES) -> list[str]:
        """Return the last lines of the log."""
        try:
            with self.log.open("rb") as stream:
                stream.seek(0, 2)
                stream.seek(max(0, stream.tell() - _TAIL_BYTES))
                text = stream.read().decode("utf-8", "replace")
        except FileNotFoundError:
            return []
        return text.splitlines()[-lines:]


def _parse(lines: bytes) -> Iterator[tuple[str, dict[str, Any]]]:
    for line in lines.splitlines():
        try:
            event = json.loads(line)
        except ValueError:
            continue
        if isinstance(event, dict) and isinstance(event.get("type"), str) and isinstance(event.get("data"), dict):
            yield event["type"], event["data"]
