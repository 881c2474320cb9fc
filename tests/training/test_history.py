"""The history file: exact numbers, torn lines, best rows."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dl4fiji.errors import InputError
from dl4fiji.training.history import History, best_row, read_history


def _row(epoch: int, val_loss: float = 1.0, **more: float) -> dict[str, float]:
    return {"epoch": epoch, "loss": 2.0, "val_loss": val_loss, "learning_rate": 4e-4, "seconds": 1.5, **more}


@given(st.lists(st.floats(allow_infinity=False, allow_nan=False), min_size=1, max_size=20))
@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_numbers_are_read_as_they_were(tmp_path: Path, losses: list[float]) -> None:
    history = History(tmp_path / "history.csv")
    history.restart([])
    for epoch, loss in enumerate(losses, start=1):
        history.append(_row(epoch, loss, val_mae=loss / 3))
    assert read_history(history.path) == history.rows
    assert history.val_losses == losses


def test_header_and_epochs_are_plain(tmp_path: Path) -> None:
    history = History(tmp_path / "history.csv")
    history.append(_row(1, mae=0.5))
    history.append(_row(2, 0.25, mae=0.5))
    assert history.path.read_text().splitlines() == [
        "epoch,loss,val_loss,learning_rate,seconds,mae",
        "1,2.0,1.0,0.0004,1.5,0.5",
        "2,2.0,0.25,0.0004,1.5,0.5",
    ]


def test_restart_cuts_back_to_the_checkpoint(tmp_path: Path) -> None:
    history = History(tmp_path / "history.csv")
    for epoch in range(1, 6):
        history.append(_row(epoch))
    again = History(tmp_path / "history.csv")
    again.restart(history.rows[:3])
    again.append(_row(4, 0.5))
    assert [row["val_loss"] for row in read_history(again.path)] == [1, 1, 1, 0.5]


def test_line_torn_by_a_kill_is_left_out(tmp_path: Path) -> None:
    history = History(tmp_path / "history.csv")
    for epoch in range(1, 4):
        history.append(_row(epoch))
    content = history.path.read_bytes()
    for cut in range(1, 20):
        history.path.write_bytes(content[:-cut])
        assert read_history(history.path) == history.rows[:2]


@pytest.mark.parametrize("text", ["", "a,b\n1,2\n", "epoch,loss,val_loss,learning_rate,seconds\n1,2,x,3,4\n"])
def test_damaged_history_is_told(tmp_path: Path, text: str) -> None:
    (tmp_path / "history.csv").write_text(text)
    with pytest.raises(InputError, match=r"history\.csv is"):
        read_history(tmp_path / "history.csv")


def test_best_row_is_the_first_of_the_lowest() -> None:
    assert best_row([]) is None
    rows = [_row(1, 3), _row(2, 1), _row(3, 1), _row(4, math.inf)]
    assert best_row(rows) is rows[1]
