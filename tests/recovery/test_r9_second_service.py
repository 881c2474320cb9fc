"""R9: a second service on the same home, and a stale lock."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time

from dl4fiji.client import ServiceClient
from dl4fiji.files import read_json, write_json
from dl4fiji.home import Home
from serving import ServiceProcess, figure

REFUSED_SECONDS = 1.0


def _start_second(home: Home) -> tuple[float, subprocess.CompletedProcess[str]]:
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "dl4fiji.service", "--home", str(home.root)],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    return time.monotonic() - began, done


def test_r9_second_service_is_refused(service: ServiceProcess, record_property) -> None:
    attempts = [_start_second(service.home) for _ in range(3)]
    for _, done in attempts:
        assert done.returncode == 3
        assert f"http://127.0.0.1:{service.port}" in done.stderr
        assert str(service.pid) in done.stderr
        assert len(done.stderr.strip().splitlines()) == 1
        assert "Traceback" not in done.stderr
    with service.client() as client:
        assert client.health()["pid"] == service.pid
    quickest = min(seconds for seconds, _ in attempts)
    assert quickest <= REFUSED_SECONDS
    figure(record_property, "R9", f"refused in {quickest:.2f} s, naming {service.port}")


def test_r9_stale_lock_is_recovered(service: ServiceProcess, record_property) -> None:
    home = service.home
    old = read_json(home.service_file)
    service.kill()
    assert home.service_lock.exists()
    assert home.service_file.exists()
    began = time.monotonic()
    with ServiceClient.connect(home) as client:
        seconds = time.monotonic() - began
        assert client.health()["pid"] != old["pid"]
        client.stop()
    figure(record_property, "R9 stale", f"a new service answers after {seconds:.2f} s")


def test_r9_lock_file_of_a_living_stranger_is_no_lock(home: Home) -> None:
    """A process id in a file proves nothing: ids are used again."""
    home.service_lock.write_text(str(os.getpid()), encoding="ascii")
    write_json(home.service_file, {"url": "http://127.0.0.1:9", "port": 9, "pid": os.getpid(), "version": "0"})
    with ServiceClient.connect(home) as client:
        assert client.health()["pid"] != os.getpid()
        client.stop()
    assert not home.service_file.exists()


def test_r9_many_starters_end_up_with_one_service(home: Home) -> None:
    pids, errors = [], []

    def connect() -> None:
        try:
            with ServiceClient.connect(home, timeout=60) as client:
                pids.append(client.health()["pid"])
        except Exception as error:  # noqa: BLE001 – told by the test's own thread
            errors.append(error)

    threads = [threading.Thread(target=connect) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with ServiceClient.connect(home, start=False) as client:
        client.stop()
    assert errors == []
    assert len(set(pids)) == 1
