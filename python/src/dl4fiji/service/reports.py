"""Reports of models: read for the page, and made again in a process of their own, which gives its memory back."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from starlette.responses import Response

from dl4fiji.errors import InputError, NotFoundError, ResourceError
from dl4fiji.home import Home

if TYPE_CHECKING:
    from dl4fiji.model import ModelFolder

_log = logging.getLogger(__name__)

SECONDS = 50.0
"""A report that takes longer is given up: before those who asked give up, after 60 s."""

_CHILD = [sys.executable, "-m", "dl4fiji.service.report_child"]


def page(home: Home, name: str) -> Response:
    """Return a model's report with its own policy: style and pictures of the page itself, no script, nothing else.

    Raises
    ------
    NotFoundError
        If there is no such model, or it has no report.
    """
    from dl4fiji.quality_control.report.html import policy_of

    content = _read(_folder(home, name).report_html, name)
    headers = {"Content-Security-Policy": policy_of(content.decode("utf-8", "replace"))}
    return Response(content, media_type="text/html; charset=utf-8", headers=headers)


def document(home: Home, name: str) -> Response:
    """Return a model's report as PDF, see `page`."""
    return Response(_read(_folder(home, name).report_pdf, name), media_type="application/pdf")


def make(home: Home, name: str) -> tuple[Path, Path]:
    """Write a model's report again; return the page and the PDF.

    Raises
    ------
    NotFoundError
        If there is no such model.
    InputError
        If it is damaged.
    ResourceError
        If it takes too long or fails.
    """
    folder = _folder(home, name)
    try:
        done = subprocess.run([*_CHILD, str(folder.path)], capture_output=True, timeout=SECONDS, check=False)
    except subprocess.TimeoutExpired:
        raise ResourceError(f"The report was given up after {SECONDS:.0f} s: try `dl4fiji models report`.") from None
    if done.returncode != 0:
        _log.error("a report ended with %d: %s", done.returncode, done.stderr.decode("utf-8", "replace")[-4000:])
        raise ResourceError("The report could not be made: the service's log tells why.")
    answer = json.loads(done.stdout)
    if "error" in answer:
        raise InputError(answer["error"])
    return folder.report_html, folder.report_pdf


def _folder(home: Home, name: str) -> ModelFolder:
    from dl4fiji.model import ModelFolder

    folder = ModelFolder(home.model(name))
    folder.read()
    return folder


def _read(file: Path, name: str) -> bytes:
    if not file.is_file():
        raise NotFoundError(
            f"The model {name!r} has no report yet: `dl4fiji models report` makes it, or its page does."
        )
    return file.read_bytes()
