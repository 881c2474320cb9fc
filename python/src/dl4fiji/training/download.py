"""Fetching a model from the web: bounded, checked, and whole under its final name or not there at all."""

from __future__ import annotations

import hashlib
import logging
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urljoin, urlsplit, urlunsplit

from filelock import FileLock, Timeout

from dl4fiji import __version__
from dl4fiji.errors import DownloadError, InputError
from dl4fiji.files import atomic_path, read_json, require_space, write_json
from dl4fiji.progress import Progress, stop_if_canceled

GIB = 2**30
CONNECT_SECONDS = 15.0
READ_SECONDS = 30.0
"""How long a server may keep silent."""
SLOW_SECONDS = 60.0
SLOW_BYTES = 60 * 1024
"""What must come within `SLOW_SECONDS`; a server that trickles would hold a training for days."""
MAX_REDIRECTS = 5

_SHA256 = re.compile(r"[0-9a-f]{64}")
_SPACE_EVERY = 64 * 2**20


def is_address(text: str) -> bool:
    """Tell an address on the web from a name or path."""
    return re.match(r"[A-Za-z][A-Za-z0-9+.-]+://", text.strip()) is not None


@dataclass(frozen=True)
class Address:
    """Where something is on the web, and what it must be."""

    url: str
    """Without fragment; may hold a password or token, so messages take ``public``."""
    sha256: str = ""

    @classmethod
    def parse(cls, text: str, sha256: str = "") -> Address:
        """Read ``https://…``, to which ``#sha256=…`` may be appended.

        Raises
        ------
        InputError
            If it is none that can be fetched.
        """
        text = text.strip()
        try:
            parts = urlsplit(text)
            host, _ = parts.hostname, parts.port
        except ValueError:
            parts, host = urlsplit(""), None
        if parts.scheme and parts.scheme not in ("http", "https"):
            raise InputError(
                f"Models are fetched by http and https only, not by {parts.scheme}: give another address, or fetch the "
                "file yourself and give its path."
            )
        if not host or any(ord(letter) <= 32 for letter in text):
            raise InputError("The address of the model to start from is not valid: give it as https://host/path.")
        given = parts.fragment.lower().removeprefix("sha256=") if "sha256=" in parts.fragment.lower() else ""
        expected = (given or sha256).lower()
        if expected and not _SHA256.fullmatch(expected):
            raise InputError(
                f"The checksum of {public(text)} is not valid: append #sha256= and 64 digits from 0 to 9 and a to f."
            )
        return cls(urlunsplit(parts._replace(fragment="")), expected)

    @property
    def public(self) -> str:
        """The address as it may be shown."""
        return public(self.url)

    def beside(self, source: str, sha256: str = "") -> Address:
        """Return the address of ``source``, which may be relative to this one."""
        escaped = quote(source, safe="!#$%&'()*+,/:;=?@[]~")  # file names in descriptions may have spaces
        return Address.parse(urljoin(self.url, escaped), sha256)


def public(text: str) -> str:
    """Return an address without user, password, query and fragment; any other text as it is."""
    if not is_address(text):
        return text
    try:
        parts = urlsplit(text.strip())
        host = parts.netloc.rpartition("@")[2]
    except ValueError:
        return "the address given"
    return urlunsplit((parts.scheme, host, parts.path, "", "")) + ("?…" if parts.query else "")


def fetch(address: Address, folder: Path, progress: Progress, limit: int) -> Path:
    """Fetch a file, or find it among those fetched before.

    A file with a checksum is fetched once. One without is asked for again, and sent again only if it has changed; if
    the server cannot be reached, the former one is taken.

    Parameters
    ----------
    address
        Where it is.
    folder
        Where fetched files are kept; it is made.
    progress
        Told how many bytes have come; a cancel is noticed within a block.
    limit
        The most bytes that it may have.

    Raises
    ------
    DownloadError
        If it cannot be fetched, is too large, or is not what the checksum says.
    ResourceError
        If the disk does not suffice.
    Canceled
        If the user canceled.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    key = hashlib.sha256(f"{address.url} {address.sha256}".encode()).hexdigest()[:20]
    name = re.sub(r"[^\w.-]", "_", urlsplit(address.url).path.rpartition("/")[2])[-60:].lstrip(".")
    path = folder / "-".join(filter(None, (key, name)))
    with _alone(path.with_name(f".{key}.lock"), progress):
        known = _known(path)
        for left in folder.glob(f".{key}-*"):  # half a file of a worker that was killed
            if left != _notes(path):
                left.unlink(missing_ok=True)
        if known and address.sha256:
            return path
        try:
            _Transfer(address, path, progress, limit, known).run()
        except DownloadError as error:
            if not known or not isinstance(error, UnreachableError):
                raise
            progress.warning(f"{error.message.rstrip('.')}; the file fetched {known['fetched']} is taken.")
        return path


class UnreachableError(DownloadError):
    """The server did not answer at all."""


@contextmanager
def _alone(lock: Path, progress: Progress) -> Iterator[None]:
    """Let one training at a time fetch a file."""
    held = FileLock(lock)
    while True:
        stop_if_canceled(progress)
        try:
            held.acquire(timeout=0.5)
            break
        except Timeout:
            continue
    try:
        yield
    finally:
        held.release()


def _notes(path: Path) -> Path:
    """Return the file that says what `path` was when it was fetched."""
    return path.with_name(f".{path.name}.json")


def _known(path: Path) -> dict[str, Any]:
    """Return what is noted of a file fetched before; nothing unless it is still the same."""
    try:
        notes = read_json(_notes(path))
        with path.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
        return notes if notes["sha256"] == digest else {}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


class _Transfer:
    """One download."""

    def __init__(self, address: Address, path: Path, progress: Progress, limit: int, known: dict[str, Any]) -> None:
        self._address, self._path, self._progress = address, path, progress
        self._limit, self._known = limit, known
        self._host = urlsplit(address.public).netloc

    def run(self) -> None:
        """Fetch the file; errors of the network become one sentence, without what the address may hide."""
        import httpx

        logging.getLogger("httpx").setLevel(logging.WARNING)  # it would log addresses with all that they hide
        where = self._address.public
        try:
            self._ask()
        except httpx.ConnectTimeout:
            raise UnreachableError(f"{self._host} does not answer: check the address and the network.") from None
        except httpx.ConnectError as error:
            reason = " ".join(str(error).split())
            raise UnreachableError(
                f"{self._host} cannot be reached ({reason}): check the address and the network."
            ) from None
        except httpx.TimeoutException:
            raise DownloadError(f"{where} sent nothing for {READ_SECONDS:g} s: try again later.") from None
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError) as error:
            raise DownloadError(
                f"{where} did not come whole ({type(error).__name__}): try again, or fetch it yourself and "
                "give its path."
            ) from None

    def _ask(self) -> None:
        """Follow redirects to the file and take it."""
        import httpx

        headers = {"User-Agent": f"dl4fiji/{__version__}", "Accept-Encoding": "identity"}
        for name, header in (("etag", "If-None-Match"), ("modified", "If-Modified-Since")):
            if self._known.get(name):
                headers[header] = str(self._known[name])
        timeout = httpx.Timeout(READ_SECONDS, connect=CONNECT_SECONDS)
        with httpx.Client(timeout=timeout, follow_redirects=False, headers=headers) as client:
            request = client.build_request("GET", self._address.url)
            for _ in range(MAX_REDIRECTS + 1):
                response = client.send(request, stream=True)
                try:
                    if not response.has_redirect_location:
                        self._take(response)
                        return
                    request = self._next(response)
                finally:
                    response.close()
        raise DownloadError(f"{self._address.public} leads from one address to the next: give the file's own address.")

    def _next(self, response: Any) -> Any:
        """Return the request that a redirect asks for, if it may be followed."""
        following = response.next_request
        scheme = following.url.scheme
        if scheme not in ("http", "https"):
            raise DownloadError(f"{self._address.public} leads to an address by {scheme!r}, which is not followed.")
        if response.request.url.scheme == "https" and scheme == "http" and not self._address.sha256:
            raise DownloadError(
                f"{self._address.public} leads to an address that is not encrypted: append #sha256=… to follow it."
            )
        return following

    def _take(self, response: Any) -> None:
        """Write the body of the final answer, or keep the known file if it has not changed."""
        if response.status_code == 304 and self._known:
            return
        if response.status_code != 200:
            raise DownloadError(f"{self._address.public} cannot be fetched: {_reason(response.status_code)}.")
        length = response.headers.get("Content-Length", "")
        total = int(length) if length.isdecimal() and "Content-Encoding" not in response.headers else 0
        if total > self._limit:
            raise self._too_large(f"has {total / 2**20:.0f} MiB")
        require_space(self._path.parent, total + 2**24, "the model to start from")
        size = f" {total / 2**20:.1f} MiB" if total else ""
        self._progress.phase(f"Downloading{size} from {self._host}")
        with atomic_path(self._path) as partial:
            digest = self._write(response, partial, total)
            if self._address.sha256 and digest != self._address.sha256:
                raise DownloadError(
                    f"{self._address.public} is not the file that its checksum stands for (it has sha256 {digest}): "
                    "check the address and the checksum."
                )
        write_json(
            _notes(self._path),
            {
                "address": self._address.public, "sha256": digest, "etag": response.headers.get("ETag", ""),
                "modified": response.headers.get("Last-Modified", ""), "fetched": time.strftime("%Y-%m-%d %H:%M"),
            },
        )  # fmt: skip

    def _write(self, response: Any, partial: Path, total: int) -> str:
        """Write the body as it comes and return its checksum."""
        digest, done, checked = hashlib.sha256(), 0, 0
        since, mark = time.monotonic(), 0
        with partial.open("wb") as stream:
            for block in response.iter_bytes():
                stop_if_canceled(self._progress)
                done += len(block)
                if done > self._limit:
                    raise self._too_large("is larger")
                if done - checked >= _SPACE_EVERY:
                    require_space(self._path.parent, 2**24, "the model to start from")
                    checked = done
                stream.write(block)
                digest.update(block)
                if total:
                    self._progress.update(done, total, unit="bytes")
                if time.monotonic() - since > SLOW_SECONDS:
                    if done - mark < SLOW_BYTES:
                        raise DownloadError(f"{self._address.public} comes too slowly: try again later.")
                    since, mark = time.monotonic(), done
        return digest.hexdigest()

    def _too_large(self, fact: str) -> DownloadError:
        return DownloadError(
            f"{self._address.public} {fact}, but the limit is {self._limit / 2**20:.0f} MiB: raise download_limit_gib "
            "in settings.json, or fetch it yourself and give its path."
        )


def _reason(status: int) -> str:
    """Say in words why a server refuses."""
    if status in (404, 410):
        return "there is nothing at this address, so check it"
    if status in (401, 403):
        return "the server does not allow it, so sign in there, fetch it yourself and give its path"
    if status == 429:
        return "the server has had too many requests, so try again later"
    if status >= 500:
        return f"the server has a problem (status {status}), so try again later"
    return f"the server answers with status {status}, so check the address"
