"""A Progress that keeps the warnings, for the model's description."""

from __future__ import annotations

from typing import Any

from dl4fiji.progress import Progress


class RecordingProgress:
    """Passes everything on to another Progress, each warning once, and keeps the warnings."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self.warnings: list[str] = []

    def phase(self, text: str) -> None:
        """Pass on what begins now."""
        self._progress.phase(text)

    def update(self, done: int, total: int, **values: Any) -> None:
        """Pass on how far it is."""
        self._progress.update(done, total, **values)

    def epoch(self, row: dict[str, float]) -> None:
        """Pass on a finished epoch."""
        self._progress.epoch(row)

    def warning(self, text: str) -> None:
        """Keep a warning and pass it on, unless it was given before."""
        if text not in self.warnings:
            self.warnings.append(text)
            self._progress.warning(text)

    def canceled(self) -> bool:
        """Tell whether the user asked to stop."""
        return self._progress.canceled()
