"""The service's client in Python, used by the command line, the Fiji launcher and tests.

Only the standard library is imported here: the command line must start fast.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode, urlsplit

from dl4fiji.errors import (
    ConflictError,
    DataError,
    DL4FijiError,
    ForbiddenError,
    InputError,
    NotFoundError,
    OptionError,
    ResourceError,
    ServiceError,
    SetupError,
    UnauthorizedError,
)

if TYPE_CHECKING:
    from dl4fiji.home import Home
    from dl4fiji.jobs.job import Job

START_SECONDS = 30.0
"""How long a starting service is waited for; it takes about one second."""
_ANSWER_SECONDS = 60.0
_RECONNECT_SECONDS = 30.0
_ERRORS: dict[str, type[DL4FijiError]] = {
    error.code: error
    for error in (
        ConflictError, DataError, ForbiddenError, InputError, NotFoundError, OptionError, ResourceError, SetupError,
        ServiceError, UnauthorizedError,
    )
}  # fmt: skip


class ServiceClient:
    """Talks to a running service. Use as a context manager, and from one thread at a time.

    Parameters
    ----------
    home
        Whose service.
    url
        Its address.
    token
        The user's token.
    """

    def __init__(self, home: Home, url: str, token: str) -> None:
        self.home = home
        self.url = url
        self._token = token
        self._connection: http.client.HTTPConnection | None = None

    @classmethod
    def connect(cls, home: Home, start: bool = True, timeout: float = START_SECONDS) -> ServiceClient:
        """Return a client of the service of ``home``.

        Parameters
        ----------
        start
            Start a service, detached from this process, when none runs.
        timeout
            Seconds to wait until it answers.

        Raises
        ------
        ServiceError
            If none runs and none shall or can be started.
        """
        found = cls._find(home)
        if found is None and not start:
            raise ServiceError("No service is running: start it by `dl4fiji service start`.")
        deadline, process = time.monotonic() + timeout, None
        while found is None:
            # One that just ends, or one that another program starts, holds the lock; so try more than once.
            if process is None or process.poll() is not None:
                process = _start(home)
            time.sleep(0.05)
            found = cls._find(home)
            if found is None and time.monotonic() > deadline:
                raise ServiceError(
                    f"The service did not start within {timeout:.0f} s: {home.service_log} tells why"
                    f"{_last_line(home.service_log)}"
                )
        return found

    @classmethod
    def _find(cls, home: Home) -> ServiceClient | None:
        """Return a client of the service that answers at the address it left; None if there is none."""
        try:
            told = json.loads(home.service_file.read_text(encoding="utf-8"))
            client = cls(home, told["url"], home.token_file.read_text(encoding="ascii").strip())
            alive = client.health()["pid"] == told["pid"]
        except (OSError, ValueError, KeyError, TypeError, DL4FijiError):
            return None
        if not alive:
            client.close()
        return client if alive else None

    def __enter__(self) -> ServiceClient:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection; the service goes on."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    # ---------------------------------------------------------------- routes

    def health(self) -> dict[str, Any]:
        """Return ``status``, ``version`` and ``pid``."""
        return self._call("GET", "/health")

    def networks(self) -> list[dict[str, Any]]:
        """Return the networks with the JSON schemas of their options."""
        return self._call("GET", "/networks")

    def check(self, request: Any) -> dict[str, Any]:
        """Return what a training would do: ``problems``, ``warnings``, ``summary``, ``forecast``."""
        return self._call("POST", "/check", request)

    def preview(self, request: Any) -> tuple[dict[str, Any], bytes]:
        """Return the patches that a training would see first (``text``, ``patches``, ``warnings``), and their picture.

        The picture is the content of a PNG file.
        """
        told = self._call("POST", "/preview", request)
        path = f"/api/v1/previews/{_quoted(told['id'])}"
        response, content = self._exchange("GET", path, None, self._headers({"Accept": "image/png"}))
        if response.status >= 400:
            raise _error(response.status, content)
        return told, content

    def submit(self, request: Any) -> Job:
        """Queue a request, one of the models of `dl4fiji.jobs.job` or a dict, and return its job."""
        return _job(self._call("POST", "/jobs", request))

    def jobs(self, state: str = "", limit: int = 200) -> list[Job]:
        """Return the newest jobs, only those in ``state`` if one is given."""
        query = {"limit": str(limit), **({"state": state.upper()} if state else {})}
        return [_job(entry) for entry in self._call("GET", f"/jobs?{urlencode(query)}")]

    def job(self, job_id: str) -> Job:
        """Return a job as it stands."""
        return _job(self._call("GET", f"/jobs/{_quoted(job_id)}"))

    def cancel(self, job_id: str) -> Job:
        """Stop a job; its best weights are kept."""
        return _job(self._call("POST", f"/jobs/{_quoted(job_id)}/cancel"))

    def resume(self, job_id: str) -> Job:
        """Queue a canceled, failed or crashed job again."""
        return _job(self._call("POST", f"/jobs/{_quoted(job_id)}/resume"))

    def events(self, job_id: str, after: int = 0, wait: float = 0) -> list[dict[str, Any]]:
        """Return the events after number ``after``; without any, wait for one, at most ``wait`` seconds (60)."""
        query = urlencode({"after": after, "wait": wait})
        return self._call("GET", f"/jobs/{_quoted(job_id)}/events?{query}")

    def history(self, job_id: str, points: int = 0) -> dict[str, list[Any]]:
        """Return the columns of a training's history, thinned to ``points`` epochs unless 0."""
        return self._call("GET", f"/jobs/{_quoted(job_id)}/history?points={points}")

    def log(self, job_id: str) -> str:
        """Return the end of a job's log, up to 1 MiB."""
        return self._call("GET", f"/jobs/{_quoted(job_id)}/log")

    def models(self) -> list[dict[str, Any]]:
        """Return the trained models, newest first."""
        return self._call("GET", "/models")

    def model(self, name: str) -> dict[str, Any]:
        """Return all about a model."""
        return self._call("GET", f"/models/{_quoted(name)}")

    def install_model(self, name: str, fiji: str | Path) -> dict[str, Any]:
        """Put a model where DeepImageJ in the Fiji at the folder ``fiji`` finds it; return its ``folder``."""
        return self._call("POST", f"/models/{_quoted(name)}/install", {"fiji": str(fiji)})

    def make_report(self, name: str) -> dict[str, Any]:
        """Make a model's report again; return its files, ``html`` and ``pdf``."""
        return self._call("POST", f"/models/{_quoted(name)}/report")

    def inbox(self) -> Path:
        """Return a fresh folder for images to hand over."""
        return Path(self._call("POST", "/inbox")["folder"])

    def settings(self) -> dict[str, Any]:
        """Return the settings."""
        return self._call("GET", "/settings")

    def change_settings(self, settings: dict[str, Any]) -> dict[str, Any]:
        """Keep settings; they are used from the next start on."""
        return self._call("PUT", "/settings", settings)

    def login_url(self) -> str:
        """Return an address that signs a browser in, once and within a minute."""
        return self._call("POST", "/login-codes")["url"]

    def stop(self, timeout: float = 15.0) -> list[str]:
        """Stop the service, wait until it has ended, and return the ids of the jobs that go on."""
        from dl4fiji.jobs import lock

        running = self._call("POST", "/service/stop")["running"]
        self.close()
        deadline = time.monotonic() + timeout
        while lock.held(self.home.service_lock):
            if time.monotonic() > deadline:
                raise ServiceError(f"The service at {self.url} did not end within {timeout:.0f} s: see its log.")
            time.sleep(0.05)
        return running

    # ---------------------------------------------------------------- following

    def follow(self, job_id: str, after: int = 0) -> Iterator[dict[str, Any]]:
        """Yield a job's events (``id``, ``type``, ``data``) as they happen, until it has ended.

        Survives a restart of the service, which may have another address then.

        Raises
        ------
        ServiceError
            If the service has been away for half a minute.
        """
        lost_since: float | None = None
        while True:
            try:
                for event in self._stream(job_id, after):
                    lost_since = None
                    after = event["id"]
                    yield event
                if self.job(job_id).state.ended and not self.events(job_id, after):
                    return
            except (OSError, http.client.HTTPException, ServiceError) as error:
                lost_since = lost_since or time.monotonic()
                if time.monotonic() - lost_since > _RECONNECT_SECONDS:
                    raise ServiceError(
                        f"The service has been away for {_RECONNECT_SECONDS:.0f} s; job {job_id} may go on: "
                        "start it by `dl4fiji service start`, then follow the job again."
                    ) from error
                time.sleep(0.3)
                self._find_again()

    def _find_again(self) -> None:
        self.close()
        found = self._find(self.home)
        if found is not None:
            self.url, self._token = found.url, found._token
            found.close()

    def _stream(self, job_id: str, after: int) -> Iterator[dict[str, Any]]:
        """Yield the events of one connection of server-sent events."""
        connection = self._open()
        try:
            path = f"/api/v1/jobs/{_quoted(job_id)}/events?after={after}"
            connection.request("GET", path, headers=self._headers({"Accept": "text/event-stream"}))
            response = connection.getresponse()
            if response.status != 200:
                raise _error(response.status, response.read())
            for line in response:
                if line.startswith(b"data:"):
                    yield json.loads(line[5:])
        finally:
            connection.close()

    # ---------------------------------------------------------------- requests

    def _open(self) -> http.client.HTTPConnection:
        parts = urlsplit(self.url)
        return http.client.HTTPConnection(parts.hostname or "127.0.0.1", parts.port, timeout=_ANSWER_SECONDS)

    def _headers(self, more: dict[str, str]) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._token}", **more}

    def _call(self, method: str, path: str, body: Any = None) -> Any:
        """Send a request and return its answer: JSON, or text."""
        headers, content = {}, None
        if body is not None:
            value = body.model_dump(mode="json") if hasattr(body, "model_dump") else body
            content = json.dumps(value).encode("utf-8")
            headers["Content-Type"] = "application/json"
        response, answer = self._exchange(method, f"/api/v1{path}", content, self._headers(headers))
        if response.status >= 400:
            raise _error(response.status, answer)
        if response.headers.get_content_type() == "application/json":
            return json.loads(answer)
        return answer.decode("utf-8", "replace")

    def _exchange(
        self, method: str, path: str, content: bytes | None, headers: dict[str, str]
    ) -> tuple[http.client.HTTPResponse, bytes]:
        """Send a request over the kept connection; a connection that the service closed meanwhile is renewed."""
        for fresh in (self._connection is None, True):
            if fresh:
                self.close()
                self._connection = self._open()
            connection = self._connection
            assert connection is not None
            try:
                connection.request(method, path, content, headers)
                response = connection.getresponse()
                return response, response.read()
            except (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError) as error:
                self.close()
                # Closed before any answer: safe to repeat on a fresh connection, if this was a kept one.
                if fresh:
                    raise self._away(error) from error
            except (OSError, http.client.HTTPException) as error:
                self.close()
                raise self._away(error) from error
        raise AssertionError("unreachable")

    def _away(self, error: Exception) -> ServiceError:
        return ServiceError(
            f"The service at {self.url} does not answer ({error}): start it again by `dl4fiji service start`."
        )


def _job(entry: Any) -> Job:
    from dl4fiji.jobs.job import Job

    return Job.model_validate(entry)


def _quoted(name: str) -> str:
    return quote(name, safe="")


def _error(status: int, answer: bytes) -> DL4FijiError:
    """Return the error that the problem details in ``answer`` stand for."""
    try:
        details = json.loads(answer)
        code = details["type"].rpartition(":")[2]
        return _ERRORS.get(code, DL4FijiError)(details["detail"], details.get("problems", ()))
    except (ValueError, KeyError, AttributeError, TypeError):
        return ServiceError(
            f"The service answered with status {status} and nothing that can be understood: see its log."
        )


def _start(home: Home) -> subprocess.Popen[Any]:
    """Start a service that outlives this process."""
    home.create()
    options: dict[str, Any] = {"start_new_session": True}
    if sys.platform == "win32":
        options = {"creationflags": subprocess.DETACHED_PROCESS | subprocess.CREATE_NEW_PROCESS_GROUP}
    with home.service_log.open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "dl4fiji.service", "--home", str(home.root)],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=home.root,
            env={**os.environ, "DL4FIJI_HOME": str(home.root)}, **options,
        )  # fmt: skip


def _last_line(path: Path) -> str:
    with contextlib.suppress(OSError):
        lines = path.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        if lines:
            return f" ({lines[-1]})"
    return "."
