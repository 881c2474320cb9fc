"""``python -m dl4fiji.service``: run the service of a home until it is stopped."""

from __future__ import annotations

import argparse
import gc
import json
import logging
import logging.handlers
import os
import socket
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dl4fiji.errors import DL4FijiError, ServiceError
from dl4fiji.home import Home
from dl4fiji.jobs import lock

if TYPE_CHECKING:
    from dl4fiji.settings import Settings

_log = logging.getLogger("dl4fiji.service")
_REFUSED = 3
"""Exit code when the service could not start."""


def main(arguments: Sequence[str] = ()) -> None:
    """Run the service until it is stopped.

    Raises
    ------
    ServiceError
        If one runs already for this home; it names that one's address.
    """
    parser = argparse.ArgumentParser(prog="python -m dl4fiji.service", description="Run DL4Fiji's service.")
    parser.add_argument("--home", type=Path, help="DL4Fiji's folder; default: DL4FIJI_HOME or the usual one")
    parser.add_argument("--port", type=int, help="port to listen on; default: as set, or a free one")
    given = parser.parse_args(arguments)
    home = Home(given.home.absolute()) if given.home else Home.default()
    try:
        home.create()
    except OSError as error:
        raise ServiceError(f"The folder {home.root} cannot be made ({error.strerror}): set DL4FIJI_HOME.") from error
    # The lock is dropped by the system with its process: one that was left behind is no obstacle.
    if lock.take(home.service_lock) is None:
        raise ServiceError(_occupied(home))
    from dl4fiji.settings import Settings

    gc.disable()  # importing makes much and drops nothing
    settings = Settings.read(home)
    listener = _listen(settings.port if given.port is None else given.port)
    with listener:
        _serve(home, listener, settings)


def _occupied(home: Home) -> str:
    try:
        other: dict[str, Any] = json.loads(home.service_file.read_text(encoding="utf-8"))
        where = f"at {other['url']} (process {other['pid']})"
    except (OSError, ValueError, KeyError):
        where = "and is just starting"
    return f"The service of {home.root} runs already {where}: use that one, or stop it by `dl4fiji service stop`."


def _listen(port: int) -> socket.socket:
    """Return a socket on this computer's loopback only."""
    # With the protocol named, asyncio sets TCP_NODELAY; without, answers would wait 40 ms for acknowledgements.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    if os.name == "posix":
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(("127.0.0.1", port))
    except OSError as error:
        listener.close()
        raise ServiceError(
            f"Port {port} cannot be used ({error.strerror}): choose another in the settings, or 0 for a free one."
        ) from error
    return listener


def _serve(home: Home, listener: socket.socket, settings: Settings) -> None:
    from dl4fiji.jobs.scheduler import Scheduler
    from dl4fiji.jobs.store import JobStore
    from dl4fiji.service.context import Context
    from dl4fiji.service.credentials import Credentials, load_token
    from dl4fiji.service.hub import Hub
    from dl4fiji.service.server import Server
    from dl4fiji.service.submission import Intake

    token = load_token(home)
    _start_log(home, token)
    hub = Hub()
    store = JobStore(home.database, hub.notify)
    scheduler = Scheduler(home, store)
    port = listener.getsockname()[1]
    server = Server(
        lambda stop: Context(home, store, scheduler, hub, Intake(home, store), Credentials(token), port, stop), listener
    )
    try:
        server.run_until_stopped()
    finally:
        scheduler.stop()
        store.close()
        _log.info("the service has stopped")


class _Formatter(logging.Formatter):
    """Never writes the token, whatever was asked to be logged."""

    converter = time.gmtime

    def __init__(self, token: str) -> None:
        super().__init__("%(asctime)sZ %(levelname)s %(name)s: %(message)s", "%Y-%m-%dT%H:%M:%S")
        self._token = token

    def format(self, record: logging.LogRecord) -> str:
        return super().format(record).replace(self._token, "[token]")


def _start_log(home: Home, token: str) -> None:
    """Log to ``service.log``, up to 5 MiB and one older file."""
    handler = logging.handlers.RotatingFileHandler(
        home.service_log, maxBytes=5 * 2**20, backupCount=1, encoding="utf-8"
    )
    handler.setFormatter(_Formatter(token))
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except DL4FijiError as error:
        print(error.message, file=sys.stderr)
        sys.exit(_REFUSED)
