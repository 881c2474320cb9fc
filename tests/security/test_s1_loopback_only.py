"""S1: the service and all workers listen on 127.0.0.1 only."""

from __future__ import annotations

import socket

import psutil
import pytest

from dl4fiji.client import ServiceClient
from dl4fiji.files import read_json
from dl4fiji.home import Home
from dl4fiji.jobs.job import SelfTestRequest
from serving import ServiceProcess, figure, wait_until


def _listening(pid: int) -> list[tuple[str, int]]:
    """Return the addresses that a process and its children listen on."""
    process = psutil.Process(pid)
    found = []
    for member in [process, *process.children(recursive=True)]:
        found += [c.laddr for c in member.net_connections(kind="inet") if c.status == psutil.CONN_LISTEN or not c.raddr]
    return [(address.ip, address.port) for address in found]


def test_s1_listening_sockets(service: ServiceProcess, client: ServiceClient, record_property) -> None:
    jobs = [client.submit(SelfTestRequest(seconds=30, steps=300, as_training=flag)).id for flag in (True, False)]
    wait_until(lambda: all(client.job(job).done > 0 for job in jobs), 30, "two workers at work")
    assert _listening(service.pid) == [("127.0.0.1", service.port)]
    workers = [read_json(service.home.job(job) / "worker.json")["pid"] for job in jobs]
    for pid in workers:
        assert _listening(pid) == []
    figure(record_property, "S1", f"one listening socket, 127.0.0.1:{service.port}; none in {len(workers)} workers")


def test_s1_nothing_is_sent_anywhere(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """The web framework can export telemetry when the environment asks for it; ours never does."""
    with socket.create_server(("127.0.0.1", 0)) as collector:
        collector.settimeout(1)
        monkeypatch.setenv("FASTAPI_OTEL_AUTO_CONFIGURE", "true")
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{collector.getsockname()[1]}")
        monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "100")
        service = ServiceProcess(home).start()
        assert service.authorized("GET", "/api/v1/jobs")[0] == 200
        assert service.authorized("POST", "/api/v1/jobs", b"{}")[0] == 400
        service.stop()  # what was gathered would be sent now at the latest
        with pytest.raises(TimeoutError):
            collector.accept()


def test_s1_other_addresses_of_this_computer_are_refused(service: ServiceProcess) -> None:
    addresses = {
        address.address
        for interface in psutil.net_if_addrs().values()
        for address in interface
        if address.family == socket.AF_INET and not address.address.startswith("127.")
    }
    if not addresses:
        pytest.skip("this computer has no address but the loopback")
    for address in addresses:
        with pytest.raises(OSError):
            socket.create_connection((address, service.port), timeout=3)
