"""An ImageJ for tests: one embedded ImageJ in a process of its own, driven over pipes, with a home and a service."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dl4fiji.client import ServiceClient
from dl4fiji.errors import ServiceError
from dl4fiji.home import Home
from serving import end_workers

_ANSWER = "\x1eanswer "
START_SECONDS = 120
CALL_SECONDS = 280


class FijiError(Exception):
    """What a call in the other process raised: the name of the class and its message."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


class FijiProcess:
    """A session in another process, since a process has one JVM at most.

    Parameters
    ----------
    home
        Its models, jobs and service.
    app
        A Fiji's folder, or empty for the embedded ImageJ. It is the current folder, too: there DeepImageJ looks for
        its engines.
    """

    def __init__(self, home: Home, app: str = "") -> None:
        self.home = home
        self.printed: list[str] = []
        environment = {**os.environ, "DL4FIJI_HOME": str(home.root), "PYTHONIOENCODING": "utf-8"}
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("fiji_child.py")), app],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment, cwd=app or None,
        )  # fmt: skip
        self.notes: list[str] = self._answer(START_SECONDS)

    def __getattr__(self, name: str) -> Any:
        """Return a function that calls `name` of `fiji_child.Calls` in the other process."""

        def call(*arguments: Any, **keywords: Any) -> Any:
            assert self._process.stdin is not None
            line = json.dumps([name, arguments, keywords]) + "\n"
            self._process.stdin.write(line.encode("ascii"))
            self._process.stdin.flush()
            return self._answer(CALL_SECONDS)

        return call

    def _answer(self, seconds: float) -> Any:
        """Return what the other process answers; what it prints before is kept in ``printed``."""
        assert self._process.stdout is not None
        self.printed = []
        watch = threading.Timer(seconds, self._process.kill)
        watch.start()
        try:
            for raw in self._process.stdout:
                line = raw.decode("utf-8").rstrip("\n")
                if line.startswith(_ANSWER):
                    kind, value = json.loads(line.removeprefix(_ANSWER))
                    if kind:
                        raise FijiError(kind, value)
                    return value
                self.printed.append(line)
        finally:
            watch.cancel()
        raise AssertionError("the ImageJ process ended or hung:\n" + "\n".join(self.printed[-60:]))

    def close(self) -> None:
        """End the process and the service."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        try:
            with ServiceClient.connect(self.home, start=False) as client:
                client.stop()
        except ServiceError:
            return
        finally:
            end_workers(self.home)


@pytest.fixture(scope="session")
def fiji() -> Iterator[FijiProcess]:
    """The embedded ImageJ, one for all tests of a folder; each test makes jobs and models of its own names."""
    yield from fiji_of()


def fiji_of() -> Iterator[FijiProcess]:
    """Yield an embedded ImageJ with a home of its own, and end it."""
    with tempfile.TemporaryDirectory(prefix="dl4fiji-test-", ignore_cleanup_errors=True) as folder:
        process = FijiProcess(Home(Path(folder) / "home").create())
        yield process
        process.close()
