"""The report as one HTML page: pictures and style in it, no script, nothing from elsewhere."""

from __future__ import annotations

import base64
import hashlib
import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from dl4fiji.quality_control.report.document import Report

if TYPE_CHECKING:
    import jinja2

_TEMPLATES = Path(__file__).parent / "templates"
_STYLE = re.compile(r"<style>(.*?)</style>", re.DOTALL)


def to_html(report: Report) -> str:
    """Return the page; all texts are escaped, and its policy lets nothing run or load, wherever it is opened."""
    import markupsafe

    style = (_TEMPLATES / "report.css").read_text(encoding="utf-8")
    template = _environment().get_template("report.html")
    return template.render(
        report=report,
        style=markupsafe.Markup(style),  # noqa: S704 – our own style sheet
        policy=_policy(style),
        kind=lambda one: type(one).__name__,
    )


def policy_of(page: str) -> str:
    """Return the Content-Security-Policy to serve a report with; the page is not trusted, whoever made it.

    ``sandbox`` keeps it from scripts, forms and from sending the browser elsewhere by itself.
    """
    style = _STYLE.search(page)
    return f"{_policy(style.group(1) if style else '')}; frame-ancestors 'none'; sandbox allow-popups"


def _policy(style: str) -> str:
    digest = base64.b64encode(hashlib.sha256(style.encode("utf-8")).digest()).decode("ascii")
    return f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; base-uri 'none'; form-action 'none'"


@cache
def _environment() -> jinja2.Environment:
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES), autoescape=True, undefined=jinja2.StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    environment.filters["base64"] = lambda content: base64.b64encode(content).decode("ascii")
    return environment
