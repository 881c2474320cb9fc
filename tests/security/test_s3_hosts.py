"""S3: names that a foreign page could point at this computer (DNS rebinding) are not answered."""

from __future__ import annotations

import socket

from serving import ServiceProcess, figure

_FORGED = (
    "evil.example", "evil.example:{port}", "127.0.0.1", "localhost", "127.0.0.1:{other}", "localhost:{other}",
    "127.0.0.1.nip.io:{port}", "localhost.evil.example:{port}", "127.0.0.1:{port}.evil.example",
    "evil.example#127.0.0.1:{port}", "127.0.0.1:{port}@evil.example", "evil@127.0.0.1:{port}", "0.0.0.0:{port}",
    "127.1:{port}", "127.0.0.2:{port}", "2130706433:{port}", "0x7f.0.0.1:{port}", "0177.0.0.1:{port}", "[::1]:{port}",
    "[::ffff:127.0.0.1]:{port}", "LOCALHOST:{port}", "localhost.:{port}", "127.0.0.1.:{port}", " 127.0.0.1:{port}x",
    "127.0.0.1:{port}, evil.example", "http://127.0.0.1:{port}", "127.0.0.1:0{port}", "127.0.0.1:{port}/", "",
    "localhost:{port}:{port}", "ｌocalhost:{port}", "127。0。0。1:{port}", "host.docker.internal:{port}",
)  # fmt: skip


def _hosts(port: int) -> list[str]:
    return [host.format(port=port, other=port - 1) for host in _FORGED]


def _ask(service: ServiceProcess, host: str, path: str) -> int:
    """Send a request with exactly this Host value, in UTF-8, and return the status."""
    lines = [f"GET {path} HTTP/1.1", f"Host: {host}", f"Authorization: Bearer {service.token}", "Connection: close"]
    with socket.create_connection(("127.0.0.1", service.port), timeout=10) as connection:
        connection.sendall("\r\n".join([*lines, "", ""]).encode())
        answer = b""
        while part := connection.recv(65536):
            answer += part
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"nuclei" not in body
    return int(head.split()[1])


def test_s3_forged_hosts_are_refused(service: ServiceProcess, record_property) -> None:
    hosts = _hosts(service.port)
    assert len(hosts) >= 20
    for host in hosts:
        for path in ("/", "/api/v1/health", "/api/v1/jobs"):
            assert _ask(service, host, path) in (400, 403), (host, path)
    for host in (f"127.0.0.1:{service.port}", f"localhost:{service.port}"):
        assert _ask(service, host, "/api/v1/health") == 200
        assert _ask(service, host, "/api/v1/jobs") == 200
    figure(record_property, "S3", f"{len(hosts)} forged hosts × 3 paths refused, two own hosts answered")


def test_s3_none_or_two_hosts(service: ServiceProcess) -> None:
    own = f"127.0.0.1:{service.port}"
    for hosts in ([], [own, "evil.example"], ["evil.example", own], [own, own]):
        lines = [f"Host: {host}" for host in hosts]
        request = "\r\n".join(["GET /api/v1/health HTTP/1.1", *lines, "Connection: close", "", ""])
        with socket.create_connection(("127.0.0.1", service.port), timeout=10) as connection:
            connection.sendall(request.encode())
            assert connection.recv(4096).split()[1] in (b"400", b"403"), hosts


def test_s3_address_in_the_request_line_changes_nothing(service: ServiceProcess) -> None:
    """A proxy's form of request, whose address would outrank the Host header elsewhere."""
    request = (
        f"GET http://evil.example/api/v1/jobs HTTP/1.1\r\nHost: 127.0.0.1:{service.port}\r\nConnection: close\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", service.port), timeout=10) as connection:
        connection.sendall(request.encode())
        assert connection.recv(4096).split()[1] in (b"400", b"401", b"403", b"404")
