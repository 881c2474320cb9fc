"""``history.csv`` as it is read: one row per epoch."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from dl4fiji.errors import InputError

COLUMNS = ("epoch", "loss", "val_loss", "learning_rate", "seconds")
"""What every history has, in this order; the network's metrics follow."""

Row = dict[str, float]


def read_history(path: Path) -> list[Row]:
    """Read ``history.csv``; a last line torn by a kill is left out.

    Raises
    ------
    InputError
        If the file is no history.
    """
    return read_rows(path.read_text(encoding="utf-8"), str(path))


def read_rows(text: str, title: str) -> list[Row]:
    """Read the text of a history, see `read_history`; ``title`` is what errors call it."""
    whole = text[: text.rfind("\n") + 1]
    lines = list(csv.reader(io.StringIO(whole)))
    if not lines or lines[0][: len(COLUMNS)] != list(COLUMNS):
        raise InputError(f"{title} is no training history: its first line must begin with {','.join(COLUMNS)}.")
    columns = lines[0]
    try:
        return [dict(zip(columns, map(float, line), strict=True)) for line in lines[1:]]
    except ValueError as error:
        raise InputError(f"{title} is damaged ({error}): delete the damaged line.") from error


def best_row(rows: Sequence[Row]) -> Row | None:
    """Return the row with the lowest validation loss, the first of equals; None if there is no row."""
    return min(rows, key=lambda row: row["val_loss"]) if rows else None
