"""Errors as the HTTP interface shows them: problem details (RFC 9457), one sentence each; a page for browsers."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from starlette.responses import Response

from dl4fiji.errors import (
    ConflictError,
    DL4FijiError,
    ForbiddenError,
    InputError,
    NotFoundError,
    UnauthorizedError,
)
from dl4fiji.service.rendering import markup, render

# The style sheet is for those who are signed in; these pages carry their own, allowed by its hash.
_STYLE = (
    "body{margin:0;font:16px/1.5 system-ui,'DejaVu Sans',sans-serif}"
    "main{max-width:38rem;margin:12vh auto;padding:0 1.5rem}"
    "strong{color:#0d9488}h1{font-size:1.5rem;margin:.5rem 0 1rem}code{font-family:ui-monospace,'DejaVu Sans Mono',"
    "monospace;font-size:.9em;background:#8883;padding:.1em .35em;border-radius:4px}a{color:#0d9488}"
)
_STYLE_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
_PAGE_POLICY = f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; base-uri 'none'; frame-ancestors 'none'"

_BY_STATUS: dict[int, type[DL4FijiError]] = {
    400: InputError,
    401: UnauthorizedError,
    403: ForbiddenError,
    404: NotFoundError,
    409: ConflictError,
}


class TooLargeError(InputError):
    """The body of a request is larger than any request needs."""

    status = 413
    code = "too-large"


class MethodError(InputError):
    """The address does not take this method."""

    status = 405
    code = "method-not-allowed"


def respond(error: DL4FijiError, headers: Mapping[str, str], *, page: bool) -> Response:
    """Return the response that tells ``error``, as a page for people or as problem details for programs."""
    given = dict(headers)
    if error.status == 401:
        given["WWW-Authenticate"] = "Bearer"
    if page:
        given["Content-Security-Policy"] = _PAGE_POLICY
        title = "Not possible" if error.status != 401 else "Not signed in"
        html = render("error.html", title=title, error=error, style=markup(_STYLE))
        return Response(html, error.status, given, "text/html; charset=utf-8")
    body = json.dumps(error.problem(), ensure_ascii=False).encode("utf-8")
    return Response(body, error.status, given, "application/problem+json")


def wants_page(path: str, accept: str) -> bool:
    """Tell whether a browser asked, for itself and not by a script."""
    return "text/html" in accept and not path.startswith("/api/")


def from_status(status: int, method: str, path: str, detail: str) -> DL4FijiError:
    """Return the error of a status that the web framework chose."""
    if status == 404:
        return NotFoundError(f"There is nothing at {path[:200]}: see the address book at /api/v1/openapi.json.")
    if status == 405:
        return MethodError(f"{path[:200]} does not take {method}.")
    if status == 413:
        return TooLargeError(detail)
    return _BY_STATUS.get(status, InputError)(detail)


def from_validation(findings: Sequence[Any]) -> InputError:
    """Put the findings about a request into sentences that name field, value and remedy."""
    problems = [_sentence(finding) for finding in findings]
    return InputError(problems[0], problems)


def _sentence(finding: Any) -> str:
    place, *path = (str(part) for part in finding["loc"])
    kinds = {"train", "predict", "export", "selftest"}
    field = ".".join(part for part in path if part not in kinds and not part.isdecimal()) or "the body"
    kind, message = finding["type"], finding["msg"].rstrip(".")
    if kind == "json_invalid":
        return f"The request is not valid JSON ({finding.get('ctx', {}).get('error', message)}): correct it."
    if kind == "missing":
        return f"The request lacks {field}: give it a value."
    if kind == "extra_forbidden":
        return f"The request has a field {field} that is not known here: leave it out or correct its name."
    if kind in ("union_tag_invalid", "union_tag_not_found"):
        return "The request's kind must be train, predict, export or selftest."
    given = finding.get("input")
    shown = repr(given) if isinstance(given, str | int | float | bool | None) else type(given).__name__
    if len(shown) > 80:
        shown = f"{shown[:80]}…"
    where = "" if place == "body" else f" in the {place}"
    reason = message.removeprefix("Value error, ")
    if reason.startswith("Input should be "):
        return f"{field}{where} is {shown} but must be {reason.removeprefix('Input should be ')}."
    return f"{field}{where} cannot be {shown}: {reason}."
