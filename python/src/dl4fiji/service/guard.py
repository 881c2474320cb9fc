"""The guard before every route: right host, no foreign page, known user, body of bearable size, safe headers."""

from __future__ import annotations

import logging
from http.cookies import CookieError, SimpleCookie
from typing import Any

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dl4fiji.errors import DL4FijiError, ForbiddenError, InputError, UnauthorizedError
from dl4fiji.service.credentials import Credentials
from dl4fiji.service.problems import TooLargeError, respond, wants_page

_log = logging.getLogger(__name__)

MAX_BODY = 1024 * 1024
"""Bytes; images are handed over as files, so that no request is large."""
_TOO_LARGE = f"A request may have up to {MAX_BODY // 1024} KiB: hand images over as files, and name them."
_OPEN = {"/api/v1/health": {"GET", "HEAD"}, "/login": {"GET"}}
"""What needs no token; ``/login`` looks at its code instead."""
_SAFE_METHODS = {"GET", "HEAD"}

SAFE_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",  # with no-referrer browsers send our own forms with "Origin: null"
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
    "Cache-Control": "no-store",
}


class Guard:
    """ASGI middleware that lets only the user of this computer in.

    Parameters
    ----------
    app
        What is guarded.
    credentials
        Who may enter.
    port
        Where the service listens: part of the hosts and origins that are our own.
    """

    def __init__(self, app: ASGIApp, credentials: Credentials, port: int) -> None:
        self._app = app
        self._credentials = credentials
        self._hosts = {f"127.0.0.1:{port}", f"localhost:{port}"}
        self._origins = {f"http://{host}" for host in self._hosts}
        self.cookie = cookie_name(port)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse, or pass on with a limit for the body and safe headers for the answer."""
        if scope["type"] != "http":
            return
        try:
            self._check(scope)
        except DL4FijiError as error:
            _log.warning("refused %s %r: %s", scope["method"], scope["path"][:200], error.message)
            accept = _header(scope, "accept")
            response = respond(error, SAFE_HEADERS, page=wants_page(scope["path"], accept))
            await response(scope, receive, send)
            return
        started = False

        async def send_safely(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                message = {**message, "headers": _with_safe_headers(message["headers"])}
            await send(message)

        try:
            await self._app(scope, _limited(receive), send_safely)
        except Exception:
            _log.exception("%s %r failed", scope["method"], scope["path"][:200])
            if not started:
                raise

    def _check(self, scope: Scope) -> None:
        """Raise the error for which a request is refused."""
        hosts = [value for name, value in scope["headers"] if name == b"host"]
        if len(hosts) != 1 or hosts[0].decode("latin-1") not in self._hosts:
            raise ForbiddenError("The service answers under 127.0.0.1 and localhost only: use the address it told.")
        origin = _header(scope, "origin")
        if origin and origin not in self._origins:
            raise ForbiddenError("A page of another origin may not use the service.")
        site = _header(scope, "sec-fetch-site")
        if site not in ("", "same-origin", "none"):
            raise ForbiddenError("A page of another site may not use the service.")
        length = _header(scope, "content-length")
        if length and (not length.isdecimal() or int(length) > MAX_BODY):
            raise TooLargeError(_TOO_LARGE)
        if scope["method"] not in _OPEN.get(scope["path"], ()):
            self._check_user(scope, bool(origin) or site == "same-origin")

    def _check_user(self, scope: Scope, from_our_page: bool) -> None:
        authorization = _header(scope, "authorization")
        if authorization:
            if not self._credentials.accepts_header(authorization):
                raise UnauthorizedError("The token is wrong: read it again from the file token in DL4Fiji's folder.")
            return
        if not self._credentials.accepts_session(_cookie(scope, self.cookie)):
            raise UnauthorizedError(
                "Please sign in: programs send the token, browsers are opened by `dl4fiji service open` or from Fiji."
            )
        if scope["method"] not in _SAFE_METHODS and not from_our_page:
            raise ForbiddenError("With a cookie, changes can be asked for by our own pages only.")


def cookie_name(port: int) -> str:
    """Return the name of our cookie; browsers share cookies between the ports of a host."""
    return f"dl4fiji_{port}"


def _header(scope: Scope, name: str) -> str:
    """Return a header's value; InputError if it is there twice."""
    values = [value for key, value in scope["headers"] if key == name.encode()]
    if len(values) > 1 and name != "accept":
        raise InputError(f"The header {name} is given twice.")
    return values[0].decode("latin-1") if values else ""


def _cookie(scope: Scope, name: str) -> str:
    try:
        cookies = SimpleCookie(_header(scope, "cookie"))
    except CookieError:
        return ""
    return cookies[name].value if name in cookies else ""


def _with_safe_headers(headers: Any) -> list[tuple[bytes, bytes]]:
    kept = [(name, value) for name, value in headers]
    present = {name.lower() for name, _ in kept}
    for name, value in SAFE_HEADERS.items():
        if name.lower().encode() not in present:
            kept.append((name.lower().encode(), value.encode()))
    return kept


def _limited(receive: Receive) -> Receive:
    """Return ``receive`` with a limit on the sum of what it gives, for bodies of undeclared length."""
    taken = 0

    async def limited() -> Message:
        nonlocal taken
        message = await receive()
        taken += len(message.get("body", b""))
        if taken > MAX_BODY:
            raise HTTPException(413, _TOO_LARGE)
        return message

    return limited
