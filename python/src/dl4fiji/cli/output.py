"""How the command line shows things: tables, JSON, errors, a job's progress."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from dl4fiji.errors import DL4FijiError

if TYPE_CHECKING:
    from dl4fiji.client import ServiceClient
    from dl4fiji.jobs.job import Job

_out = Console(highlight=False)
_err = Console(stderr=True, highlight=False)


def print_error(error: DL4FijiError) -> None:
    """Print an error's sentence, or all its findings, to standard error."""
    for sentence in error.problems or [error.message]:
        _err.print(f"[bold red]Error:[/] {escape(sentence)}", soft_wrap=True)


def print_warning(text: str) -> None:
    """Print a warning to standard error."""
    _err.print(f"[bold yellow]Note:[/] {escape(text)}", soft_wrap=True)


def print_line(text: str) -> None:
    """Print one line, its rich markup obeyed."""
    _out.print(text, soft_wrap=True)


def print_plain(text: str) -> None:
    """Print text as it is."""
    _out.print(text, markup=False, soft_wrap=True)


def print_json(value: Any) -> None:
    """Print ``value`` as JSON, for other programs."""
    typer_safe = json.dumps(value, indent=2, ensure_ascii=False, default=str)
    _out.out(typer_safe, highlight=False)


def print_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Print a table; cells are shown as text."""
    table = Table(*columns, title=title, title_justify="left", title_style="bold")
    for row in rows:
        table.add_row(*(escape("" if cell is None else str(cell)) for cell in row))
    _out.print(table)


def follow(client: ServiceClient, job: Job) -> Job:
    """Show the progress of ``job`` until it ends; Ctrl-C cancels it, keeping the best weights.

    Raises
    ------
    DL4FijiError
        If the job failed or crashed.
    """
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f}%"),
        TimeElapsedColumn(),
        TextColumn("{task.fields[detail]}"),
        console=_err,
        transient=not _err.is_terminal,
    ) as bars:
        bar = bars.add_task(escape(job.title), total=None, detail="")
        try:
            _show_events(client, job.id, bars, bar)
        except KeyboardInterrupt:
            bars.update(bar, detail="stopping, the best weights are kept …")
            client.cancel(job.id)
            _show_events(client, job.id, bars, bar)
    ended = client.job(job.id)
    if ended.error:
        raise DL4FijiError(ended.error)
    return ended


def _show_events(client: ServiceClient, job_id: str, bars: Progress, bar: TaskID) -> None:
    for event in client.follow(job_id):
        data = event["data"]
        if event["type"] == "phase":
            bars.update(bar, detail=escape(str(data.get("text", ""))))
        elif event["type"] == "warning":
            print_warning(str(data.get("text", "")))
        elif event["type"] == "progress":
            bars.update(bar, completed=data.get("done", 0), total=data.get("total") or None, detail=_detail(data))


def _detail(data: dict[str, Any]) -> str:
    """Say epoch, loss and time left in a few words."""
    parts = []
    if data.get("epochs"):
        parts.append(f"epoch {data.get('epoch', 0)}/{data['epochs']}")
    if data.get("loss") is not None:
        parts.append(f"loss {data['loss']:.4g}")
    if data.get("seconds_left") is not None:
        parts.append(f"{duration(data['seconds_left'])} left")
    return ", ".join(parts)


def duration(seconds: float) -> str:
    """Write a duration as people do: ``45 s``, ``12 min``, ``3 h 20 min``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"


def absolute(path: Path | None) -> str:
    """Return a path as the service needs it: absolute, ``~`` resolved; empty for none."""
    return "" if path is None else str(path.expanduser().absolute())
