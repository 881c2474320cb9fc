"""Who may talk to the service: a token for programs, a cookie for the browser that was opened with a one-time code."""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import stat
import threading
import time
from pathlib import Path

from dl4fiji.home import Home

CODE_SECONDS = 60
"""How long a login code can be used, once."""
SESSION_SECONDS = 12 * 3600
"""How long a browser stays signed in."""
_LIMIT = 1000


def load_token(home: Home) -> str:
    """Return the user's token, 256 random bits; made at the first start, in a file that only the user can read.

    A file that others could read, or that holds less than a token, is replaced by a new one.
    """
    path = home.token_file
    token = _read_private(path)
    if len(token) >= 43:
        return token
    path.unlink(missing_ok=True)
    token = secrets.token_urlsafe(32)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as stream:
        stream.write(token)
        stream.flush()
        os.fsync(stream.fileno())
    return token


def _read_private(path: Path) -> str:
    """Return the content of ``path`` if it is a plain file that nobody else may read, else nothing."""
    try:
        status = path.lstat()
    except FileNotFoundError:
        return ""
    if not stat.S_ISREG(status.st_mode) or (os.name == "posix" and status.st_mode & 0o077):
        return ""
    return path.read_text(encoding="ascii", errors="replace").strip()


def same(given: str, secret: str) -> bool:
    """Compare in a time that tells nothing about ``secret``."""
    return hmac.compare_digest(given.encode("utf-8", "surrogateescape"), secret.encode("utf-8"))


class _Secrets:
    """Random strings that are good for a time; only their hashes are kept."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._until: dict[bytes, float] = {}
        self._lock = threading.Lock()

    def issue(self) -> str:
        """Return a new one."""
        value = secrets.token_urlsafe(32)
        now = time.monotonic()
        with self._lock:
            self._until = {key: until for key, until in self._until.items() if until > now}
            while len(self._until) >= _LIMIT:
                del self._until[next(iter(self._until))]
            self._until[_hash(value)] = now + self._seconds
        return value

    def holds(self, value: str) -> bool:
        """Tell whether ``value`` was issued and is still good."""
        with self._lock:
            return self._until.get(_hash(value), 0.0) > time.monotonic()

    def redeem(self, value: str) -> bool:
        """The same, and make it good no longer."""
        with self._lock:
            return self._until.pop(_hash(value), 0.0) > time.monotonic()


def _hash(value: str) -> bytes:
    # Looking up a hash tells an observer of times nothing about the values that are there.
    return hashlib.sha256(value.encode("utf-8", "surrogateescape")).digest()


class Credentials:
    """All that lets somebody in.

    Parameters
    ----------
    token
        For programs of this user, which can read the token's file.
    """

    def __init__(self, token: str) -> None:
        self.token = token
        self._codes = _Secrets(CODE_SECONDS)
        self._sessions = _Secrets(SESSION_SECONDS)

    def accepts_header(self, authorization: str) -> bool:
        """Tell whether the value of an ``Authorization`` header is ``Bearer`` and the token."""
        scheme, _, given = authorization.partition(" ")
        return same(given.strip(), self.token) and scheme.lower() == "bearer"

    def accepts_session(self, cookie: str) -> bool:
        """Tell whether the value of our cookie is that of a browser that signed in."""
        return bool(cookie) and self._sessions.holds(cookie)

    def issue_code(self) -> str:
        """Return a code by which one browser can sign in once, within a minute."""
        return self._codes.issue()

    def sign_in(self, code: str) -> str | None:
        """Return the cookie for the browser that shows ``code``; None if the code is wrong, used or too old."""
        return self._sessions.issue() if self._codes.redeem(code) else None
