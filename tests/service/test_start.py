"""Starting a service: what can be wrong is told in one sentence."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from dl4fiji.client import ServiceClient
from dl4fiji.home import Home
from serving import ServiceProcess


def _refusal(home: Home, *more: str) -> str:
    command = [sys.executable, "-m", "dl4fiji.service", "--home", str(home.root), *more]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 3
    assert len(done.stderr.strip().splitlines()) == 1
    return done.stderr


def test_a_port_that_is_taken(home: Home) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        assert "cannot be used" in _refusal(home, "--port", str(other.getsockname()[1]))


def test_damaged_settings(home: Home) -> None:
    home.settings_file.write_text('{"port": "many"}', encoding="utf-8")
    assert "settings.json" in _refusal(home)


def test_a_damaged_store(home: Home) -> None:
    home.database.write_bytes(b"x" * 5000)
    assert "move it away" in _refusal(home)


def test_a_home_that_cannot_be_made(home: Home, tmp_path) -> None:
    (tmp_path / "file").write_text("x", encoding="utf-8")
    assert "cannot be made" in _refusal(Home(tmp_path / "file" / "home"))


def test_the_port_of_the_settings_is_used(home: Home) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    home.settings_file.write_text(f'{{"port": {port}}}', encoding="utf-8")
    service = ServiceProcess(home).start()
    try:
        assert service.port == port
    finally:
        service.stop()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_in_good_order(home: Home, number: signal.Signals) -> None:
    service = ServiceProcess(home).start()
    assert service.process is not None
    service.process.send_signal(number)
    assert service.process.wait(timeout=20) == 0
    assert "the service has stopped" in home.service_log.read_text(encoding="utf-8")
    assert not home.service_file.exists()
    assert not Path(f"{home.database}-wal").exists(), "the store was closed"


def test_an_odd_home(tmp_path, monkeypatch) -> None:
    home = Home(tmp_path / "hôme with 'quotes' [and] spaces")
    monkeypatch.setenv("DL4FIJI_HOME", str(home.root))
    with ServiceClient.connect(home) as client:
        assert client.jobs() == []
        client.stop()
    assert not home.service_file.exists()


def test_importing_the_client_is_quick() -> None:
    """The command line imports it, and must answer ``--help`` in half a second."""
    program = "import sys, dl4fiji.client; print(*(name for name in sys.modules if '.' not in name))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert set(done.stdout.split()).isdisjoint({"fastapi", "pydantic", "numpy", "httpx", "uvicorn", "psutil"})
