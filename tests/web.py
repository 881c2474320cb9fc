"""A web server on this machine for tests of downloads: what it sends is written down per path."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

Answer = Callable[[BaseHTTPRequestHandler], None]


@dataclass
class Site:
    """Files and answers by path, and what was asked for."""

    url: str
    files: dict[str, bytes] = field(default_factory=dict)
    """Sent with their length and an ETag; asked for again with it, answered by 304."""
    answers: dict[str, Answer] = field(default_factory=dict)
    """Whatever else a server may do."""
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)

    def paths(self) -> list[str]:
        """Return the paths asked for, without queries."""
        return [path.partition("?")[0] for path, _ in self.asked]


@contextmanager
def serve() -> Iterator[Site]:
    """Run a server on a free port of 127.0.0.1."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            site.asked.append((self.path, dict(self.headers.items())))
            path = self.path.partition("?")[0]
            if path in site.answers:
                site.answers[path](self)
            elif path in site.files:
                send(self, site.files[path])
            else:
                self.send_error(404)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    site = Site(f"http://127.0.0.1:{server.server_address[1]}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield site
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def send(handler: BaseHTTPRequestHandler, content: bytes) -> None:
    """Send a file as a good server does."""
    tag = f'"{hash(content)}"'
    if handler.headers.get("If-None-Match") == tag:
        handler.send_response(304)
        handler.end_headers()
        return
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(content)))
    handler.send_header("ETag", tag)
    handler.end_headers()
    handler.wfile.write(content)


def redirect(location: str, status: int = 302) -> Answer:
    """Return an answer that leads elsewhere."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        handler.send_header("Location", location)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    return answer


def in_pieces(pieces: Iterator[bytes], length: int | None = None) -> Answer:
    """Return an answer that sends what the iterator gives, with the length said or none, then hangs up."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        if length is not None:
            handler.send_header("Content-Length", str(length))
        handler.end_headers()
        try:
            for piece in pieces:
                handler.wfile.write(piece)
                handler.wfile.flush()
        except OSError:  # whoever asked has gone
            pass
        handler.close_connection = True

    return answer
