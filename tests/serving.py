"""Real services for tests: a process on a socket, killed and started again as the tests need."""

from __future__ import annotations

import contextlib
import http.client
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import psutil
import pytest
from fastapi.routing import APIRoute

from dl4fiji.client import ServiceClient
from dl4fiji.files import read_json
from dl4fiji.home import Home
from dl4fiji.jobs import lock
from dl4fiji.jobs.job import Job


class ServiceProcess:
    """The service of a home, as a process of its own.

    Parameters
    ----------
    home
        Whose service.
    """

    def __init__(self, home: Home) -> None:
        self.home = home
        self.process: subprocess.Popen[bytes] | None = None
        self.seconds_to_ready = 0.0

    def start(self) -> ServiceProcess:
        """Start it and wait until it answers."""
        began = time.monotonic()
        with self.home.service_log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "dl4fiji.service", "--home", str(self.home.root)], stdout=log, stderr=log
            )
        while not self._announced():
            assert self.process.poll() is None, self.home.service_log.read_text(encoding="utf-8")
            assert time.monotonic() - began < 60, "the service does not start"
            time.sleep(0.005)
        with self.client() as client:
            client.health()
        self.seconds_to_ready = time.monotonic() - began
        return self

    def _announced(self) -> bool:
        assert self.process is not None
        with contextlib.suppress(OSError, ValueError):
            return read_json(self.home.service_file)["pid"] == self.process.pid
        return False

    @property
    def pid(self) -> int:
        """Its process id."""
        assert self.process is not None
        return self.process.pid

    @property
    def port(self) -> int:
        """Its port."""
        return read_json(self.home.service_file)["port"]

    @property
    def token(self) -> str:
        """The user's token."""
        return self.home.token_file.read_text(encoding="ascii")

    def client(self) -> ServiceClient:
        """Return a client of it."""
        return ServiceClient(self.home, f"http://127.0.0.1:{self.port}", self.token)

    def kill(self) -> None:
        """SIGKILL it."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        """End it in good order."""
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            self.process.wait(timeout=20)

    def request(
        self, method: str, path: str, headers: dict[str, str] | None = None, body: bytes | None = None
    ) -> tuple[int, dict[str, str], bytes]:
        """Send a request exactly as given; return status, headers (lower case) and body."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
            given = {"Host": f"127.0.0.1:{self.port}", **(headers or {})}
            if body is not None:
                given.setdefault("Content-Length", str(len(body)))
            for name, value in given.items():
                connection.putheader(name, value)
            connection.endheaders(body)
            response = connection.getresponse()
            return response.status, {name.lower(): value for name, value in response.getheaders()}, response.read()
        finally:
            connection.close()

    def authorized(self, method: str, path: str, body: bytes | None = None, **headers: str) -> tuple[int, dict, bytes]:
        """Send a request with the token."""
        given = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json", **headers}
        return self.request(method, path, given, body)


def end_workers(home: Home) -> None:
    """Kill what still works on jobs of ``home``; only processes of this home, by their ids."""
    for folder in home.jobs.iterdir():
        worker = folder / "worker.json"
        if not worker.is_file() or not lock.held(folder / "worker.lock"):
            continue
        told = read_json(worker)
        with contextlib.suppress(psutil.NoSuchProcess, ProcessLookupError):
            if abs(psutil.Process(told["pid"]).create_time() - told["created"]) < 1:
                os.killpg(told["pid"], 9)


def wait_until(condition: Callable[[], Any], seconds: float, what: str) -> float:
    """Wait until ``condition`` holds and return how long that took; fail after ``seconds``."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < seconds, f"not within {seconds} s: {what}"
        time.sleep(0.01)
    return time.monotonic() - began


def wait_for_end(client: ServiceClient, job_id: str, seconds: float = 60) -> Job:
    """Wait until a job has ended and return it."""
    wait_until(lambda: client.job(job_id).state.ended, seconds, f"the end of job {job_id}")
    return client.job(job_id)


def figure(record: Callable[[str, Any], None], row: str, text: str) -> None:
    """Tell a row's measured figure, on the screen and in the test's record."""
    record(row, text)
    print(f"\n{row}: {text}")


METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


def all_routes(job: str = "20260101-000000-abcdef", model: str = "nuclei") -> list[tuple[str, str]]:
    """Return method and path of every route of the service, with a job's id and a model's name filled in."""
    from dl4fiji.service import api, pages

    found = [("GET", "/api/v1/openapi.json")]
    for router in (api.router, pages.router):
        for route in router.routes:
            assert isinstance(route, APIRoute)
            path = route.path.replace("{job_id}", job)
            path = path.replace("/static/{name}", "/static/style.css").replace("{name}", model)
            found += [(method, path) for method in sorted(route.methods)]
    return found


@pytest.fixture
def service(home: Home) -> Iterator[ServiceProcess]:
    """A running service of a fresh home."""
    running = ServiceProcess(home).start()
    yield running
    running.stop()
    end_workers(home)


@pytest.fixture
def client(service: ServiceProcess) -> Iterator[ServiceClient]:
    """A client of the running service."""
    with service.client() as connected:
        yield connected
