"""How a worker tells what it does: lines of ``events.jsonl``, and a log with the time on each line."""

from __future__ import annotations

import io
import os
import sys
import threading
import time
from collections.abc import Callable
from typing import Any, TextIO

from dl4fiji.jobs.files import JobFiles
from dl4fiji.jobs.schema import dump

_QUICK_SECONDS = 0.25
_SLOW_SECONDS = 1.0
_QUICK_FOR_SECONDS = 120.0
_WATCH_SECONDS = 0.1


class EventFile:
    """Appends events to a job's ``events.jsonl``, each line in one write."""

    def __init__(self, files: JobFiles) -> None:
        self._stream = files.events.open("ab", buffering=0)
        self._lock = threading.Lock()
        if files.events.stat().st_size:  # a killed attempt may have left half a line
            self._stream.write(b"\n")

    def write(self, kind: str, data: dict[str, Any]) -> None:
        """Append an event."""
        line = dump({"type": kind, "time": round(time.time(), 3), "data": data}) + "\n"
        with self._lock:
            self._stream.write(line.encode("utf-8"))


class WorkerProgress:
    """The `dl4fiji.progress.Progress` of a worker.

    Parameters
    ----------
    files
        The job's folder.
    on_early_cancel
        Called from another thread when the user cancels before the first batch is done: while libraries are being
        loaded or data is read nobody asks `canceled`, and there is nothing yet that could be kept.
    """

    def __init__(self, files: JobFiles, on_early_cancel: Callable[[], None] | None = None) -> None:
        self._files = files
        self._events = EventFile(files)
        self._begun = False
        self._lock = threading.Lock()
        self._first: tuple[float, int] | None = None
        self._last_time = 0.0
        if on_early_cancel is not None:
            threading.Thread(target=self._watch, args=(on_early_cancel,), name="cancel", daemon=True).start()

    def phase(self, text: str) -> None:
        """Say what begins now."""
        print(text, flush=True)
        self._events.write("phase", {"text": text})

    def update(self, done: int, total: int, **values: Any) -> None:
        """Say that ``done`` of ``total`` steps are done; told to the service a few times per second at most.

        Bytes that are fetched are no batch: a cancel still ends the job at once.
        """
        now = time.monotonic()
        if not self._begun and values.get("unit") != "bytes":
            with self._lock:
                self._begun = True
        if self._first is None or done < self._first[1]:
            self._first = (now, done)
        since, first = self._first
        pause = _QUICK_SECONDS if now - since < _QUICK_FOR_SECONDS else _SLOW_SECONDS
        if now - self._last_time < pause and done < total:
            return
        self._last_time = now
        if "seconds_left" not in values and done > first:
            values["seconds_left"] = round((now - since) / (done - first) * (total - done), 1)
        self._events.write("progress", {"done": done, "total": total, **values})

    def epoch(self, row: dict[str, float]) -> None:
        """Report a finished epoch."""
        self._events.write("epoch", dict(row))

    def warning(self, text: str) -> None:
        """Tell the user something to think about."""
        print(f"Warning: {text}", flush=True)
        self._events.write("warning", {"text": text})

    def result(self, **values: Any) -> None:
        """Tell a part of the result already; it is kept even if the job is killed later."""
        self._events.write("result", values)

    def canceled(self) -> bool:
        """Tell whether the user asked to stop."""
        return self._files.cancel.exists()

    def _watch(self, on_early_cancel: Callable[[], None]) -> None:
        while not self._begun:
            if self.canceled():
                with self._lock:
                    if not self._begun:
                        on_early_cancel()
                return
            time.sleep(_WATCH_SECONDS)


class StampedStream(io.TextIOBase):
    """Writes whole lines to a file descriptor, each with the time; of a line redrawn in place only the last state."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._rest = ""
        self._lock = threading.RLock()

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """Always UTF-8."""
        return "utf-8"

    def fileno(self) -> int:
        """Return the descriptor that is written to."""
        return self._descriptor

    def writable(self) -> bool:
        """Return True."""
        return True

    def write(self, text: str, /) -> int:
        """Write the lines that ``text`` completes; keep the rest for later."""
        with self._lock:
            *lines, self._rest = (self._rest + text).split("\n")
            if lines:
                self._emit(lines)
        return len(text)

    def close_line(self) -> None:
        """Write what waits for the end of its line."""
        with self._lock:
            if self._rest:
                self._emit([self._rest])
                self._rest = ""

    def _emit(self, lines: list[str]) -> None:
        stamp = time.strftime("%Y-%m-%d %H:%M:%S")
        text = "".join(f"{stamp} {line.rstrip(chr(13)).rpartition(chr(13))[2]}\n" for line in lines)
        data = text.encode("utf-8", "backslashreplace")
        while data:
            data = data[os.write(self._descriptor, data) :]


def stamp_output() -> tuple[TextIO, TextIO]:
    """Put the time before each line that Python code prints; native code goes on writing as it does."""
    out, err = StampedStream(1), StampedStream(2)
    sys.stdout, sys.stderr = out, err  # type: ignore[assignment]
    return out, err  # type: ignore[return-value]
