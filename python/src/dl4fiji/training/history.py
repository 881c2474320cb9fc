"""``history.csv``: one row per epoch, appended durably."""

from __future__ import annotations

import csv
import io
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from dl4fiji.files import write_text
from dl4fiji.history import COLUMNS, Row, best_row, read_history, read_rows

__all__ = ["COLUMNS", "History", "Row", "best_row", "read_history", "read_rows"]


def _line(values: Iterable[object]) -> str:
    """Return one line of CSV, ended by a newline."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(values)
    return text.getvalue()


def _format(name: str, value: float) -> str:
    """Write a number so that reading it gives the very same number back."""
    return str(int(value)) if name == "epoch" else repr(float(value))


class History:
    """The rows of a training, in memory and in a file.

    Parameters
    ----------
    path
        The file; a history found there is not read, see `read_history`.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rows: list[Row] = []

    @property
    def val_losses(self) -> list[float]:
        """The validation loss of each epoch, in order."""
        return [row["val_loss"] for row in self.rows]

    def restart(self, rows: Sequence[Row]) -> None:
        """Make the file hold exactly ``rows``."""
        self.rows = [dict(row) for row in rows]
        if not rows:
            self.path.unlink(missing_ok=True)
            return
        columns = self._columns()
        lines = [_line(columns), *(self._row(columns, row) for row in self.rows)]
        write_text(self.path, "".join(lines))

    def append(self, row: Mapping[str, float]) -> None:
        """Add a row to the end of the file and wait until it is on the disk."""
        self.rows.append(dict(row))
        if len(self.rows) == 1:
            self.restart(self.rows)
            return
        with self.path.open("a", encoding="utf-8", newline="") as stream:
            stream.write(self._row(self._columns(), row))
            stream.flush()
            os.fsync(stream.fileno())

    def _columns(self) -> list[str]:
        """Return the columns, set by the first row."""
        return [*COLUMNS, *(name for name in self.rows[0] if name not in COLUMNS)]

    @staticmethod
    def _row(columns: Sequence[str], row: Mapping[str, float]) -> str:
        return _line(_format(name, row.get(name, math.nan)) for name in columns)
