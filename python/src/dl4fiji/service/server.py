"""The HTTP server of the service: announces itself when it listens, and ends in good order."""

from __future__ import annotations

import gc
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import anyio.to_thread
import uvicorn

from dl4fiji import __version__
from dl4fiji.files import write_json
from dl4fiji.service.app import create_app
from dl4fiji.service.context import Context

_log = logging.getLogger(__name__)
_THREADS = 16
"""At most so many requests are worked on at a time; each thread costs memory."""


class Server(uvicorn.Server):
    """Serves one home on a socket.

    Parameters
    ----------
    make_context
        Returns the service's parts, given what ends the service.
    listener
        The bound socket.
    """

    def __init__(self, make_context: Callable[[Callable[[], None]], Context], listener: socket.socket) -> None:
        self._context = make_context(self._stop)
        self._listener = listener
        config = uvicorn.Config(
            create_app(self._context),
            log_config=None,
            access_log=False,
            lifespan="off",
            ws="none",
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=30,
            timeout_graceful_shutdown=3,
        )
        super().__init__(config)

    def run_until_stopped(self) -> None:
        """Serve until a signal or a request ends it."""
        self.run(sockets=[self._listener])

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """End in good order at a signal; unlike uvicorn, which raises it again and so skips what comes after."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self.handle_exit)
        yield

    def _stop(self) -> None:
        self.should_exit = True

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, then tell the world where."""
        await super().startup(sockets)
        anyio.to_thread.current_default_thread_limiter().total_tokens = _THREADS
        context = self._context
        context.hub.open()
        context.scheduler.start()
        write_json(
            context.home.service_file,
            {
                "url": context.url,
                "port": context.port,
                "pid": os.getpid(),
                "version": __version__,
                "started": datetime.now(UTC).isoformat(),
            },
        )
        _log.info("listening at %s", context.url)
        if sys.stderr.isatty():
            print(f"The service runs at {context.url}; Ctrl-C ends it.", file=sys.stderr)
        gc.freeze()
        gc.enable()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Let go those who wait for events, then end."""
        self._context.hub.close()
        self._context.home.service_file.unlink(missing_ok=True)
        await super().shutdown(sockets)
