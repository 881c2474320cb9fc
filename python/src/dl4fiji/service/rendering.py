"""Pages from templates; everything that users, files or networks name is escaped."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import jinja2
    import markupsafe

_FOLDER = Path(__file__).parent
STATIC = {
    "style.css": "text/css; charset=utf-8",
    "jobs.js": "text/javascript; charset=utf-8",
    "job.js": "text/javascript; charset=utf-8",
    "train.js": "text/javascript; charset=utf-8",
    "icon.svg": "image/svg+xml",
}
"""The files that pages load, by name; there are no others."""


@cache
def static_file(name: str) -> bytes:
    """Return the content of one of `STATIC`."""
    return (_FOLDER / "static" / name).read_bytes()


@cache
def _environment() -> jinja2.Environment:
    import jinja2  # at the first page: the service starts sooner without

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_FOLDER / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(when=when, duration=duration, figure=figure, pretty=pretty, code=code)
    return environment


def render(template: str, **values: Any) -> str:
    """Return a page."""
    from dl4fiji import __version__

    return _environment().get_template(template).render(version=__version__, **values)


def when(moment: datetime | None) -> str:
    """Write a moment in this computer's time: ``2026-03-04 15:06``."""
    return moment.astimezone().strftime("%Y-%m-%d %H:%M") if moment else ""


def duration(seconds: float | None) -> str:
    """Write a duration as people do: ``45 s``, ``12 min``, ``3 h 20 min``."""
    if seconds is None:
        return ""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"


def figure(value: Any) -> str:
    """Write a number with four significant digits, yes or no for a truth; other things as they are."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}"
    return "" if value is None else str(value)


def markup(text: str) -> markupsafe.Markup:
    """Mark a text of our own as HTML that needs no escaping; never for what comes from outside."""
    import markupsafe

    return markupsafe.Markup(text)  # noqa: S704 – a constant of this package


def code(sentence: str) -> markupsafe.Markup:
    """Show what stands in backticks as code; everything is escaped."""
    import markupsafe

    parts = [markupsafe.escape(part) for part in sentence.split("`")]
    return markupsafe.Markup("").join(
        markupsafe.Markup("<code>{}</code>").format(part) if index % 2 else part for index, part in enumerate(parts)
    )


def pretty(value: Any) -> str:
    """Write ``value`` as readable JSON."""
    return json.dumps(value, indent=2, ensure_ascii=False)


def elapsed(started: datetime | None, finished: datetime | None) -> str:
    """Write how long a job has run."""
    if started is None:
        return ""
    return duration(((finished or datetime.now(UTC)) - started).total_seconds())
