"""What ``dl4fiji fiji`` does, each time in a Python of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from dl4fiji.client import ServiceClient
from dl4fiji.errors import SetupError
from dl4fiji.fiji.embedded import explain
from dl4fiji.home import Home

_PROGRAM = """
import json, sys
from pathlib import Path
from dl4fiji.errors import DL4FijiError
from dl4fiji.fiji.launcher import run
given = json.loads(sys.argv[1])
try:
    print("returned", run(given.get("app", ""), given.get("headless", True), given.get("macro"), given.get("args", "")))
except DL4FijiError as error:
    print(type(error).__name__, error.message)
"""


def launch(home: Home, environment: dict[str, str] | None = None, **given: object) -> tuple[str, str]:
    """Run the launcher; return its last line and what it told on stderr."""
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM, json.dumps(given)], capture_output=True, text=True, encoding="utf-8",
        timeout=200, check=False, env={**os.environ, "DL4FIJI_HOME": str(home.root), **(environment or {})},
    )  # fmt: skip
    lines = done.stdout.strip().splitlines()
    assert lines, done.stderr
    assert "Traceback" not in done.stderr
    return lines[-1], done.stderr


@pytest.mark.jvm
def test_a_macro_runs_without_windows_beside_a_service_that_goes_on(home: Home, tmp_path: Path) -> None:
    macro = tmp_path / "m é.ijm"
    macro.write_text('run("Start DL4Fiji Service"); return getArgument() + getInfo("dl4fiji.url");', encoding="utf-8")
    last, told = launch(home, macro=str(macro), args="a b ")
    with ServiceClient.connect(home, start=False) as client:
        assert last == f"returned a b {client.url}"
        assert f"The DL4Fiji service runs at {client.url}." in told
        assert "embedded ImageJ" in told
        client.stop()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"macro": "/none.ijm"}, "InputError There is no macro /none.ijm"),
        ({}, "InputError Without windows (--headless) there is nothing to do without a macro"),
        ({"macro": "MACRO", "app": "/none/Fiji.app"}, "SetupError There is no folder /none/Fiji.app"),
        ({"macro": "MACRO", "app": "HOME"}, "is not the folder of a Fiji"),
        ({"macro": "MACRO", "app": "no-endpoint"}, "SetupError There is no folder no-endpoint"),
    ],
)
def test_what_cannot_be_started_is_said_in_a_sentence(home: Home, tmp_path: Path, given: dict, said: str) -> None:
    macro = tmp_path / "m.ijm"
    macro.write_text("return 1;", encoding="utf-8")
    names = {"MACRO": str(macro), "HOME": str(home.root)}
    try:
        assert said in launch(home, **{key: names.get(value, value) for key, value in given.items()})[0]
    finally:
        stop(home)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="other systems always have a display")
def test_windows_without_a_display_are_refused(home: Home) -> None:
    try:
        last, _ = launch(home, {"DISPLAY": ""}, headless=False)
    finally:
        stop(home)
    assert last == "SetupError There is no display to show ImageJ on (DISPLAY is not set): use --headless."


@pytest.mark.jvm
def test_the_embedded_imagej_stands_in_for_a_fiji_that_cannot_be_fetched(home: Home, tmp_path: Path) -> None:
    (tmp_path / "m.ijm").write_text('run("Start DL4Fiji Service"); return "ran";', encoding="utf-8")
    try:
        last, told = launch(home, macro=str(tmp_path / "m.ijm"), app="org.example.dl4fiji:nothing:1.0")
    finally:
        stop(home)
    assert last == "returned ran"
    assert "org.example.dl4fiji:nothing:1.0 could not be fetched (" in told
    assert "so this is the embedded ImageJ" in told


@pytest.mark.jvm
def test_parts_that_cannot_be_fetched_are_told(home: Home, tmp_path: Path) -> None:
    """No cache, and a proxy that nobody answers at: no network."""
    (tmp_path / "m.ijm").write_text("return 1;", encoding="utf-8")
    nowhere = "http://127.0.0.1:9"
    proxies = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy", "ALL_PROXY"), nowhere)
    try:
        last, _ = launch(
            home, {"HOME": str(tmp_path), "NO_PROXY": "", "no_proxy": "", **proxies}, macro=str(tmp_path / "m.ijm")
        )
    finally:
        stop(home)
    assert last.startswith("SetupError ImageJ's parts could not be fetched from Maven Central (")
    assert last.endswith("connect to the internet once, or give the folder of a Fiji by --app.")


def test_missing_java_is_told_with_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("JAVA_HOME", raising=False)
    sentence = explain(RuntimeError("first\nno JVM found"))
    for part in ("needs Java", "(no JVM found)", "conda install openjdk"):
        assert part in sentence


@pytest.mark.jvm
def test_one_python_has_one_session() -> None:
    program = """
from dl4fiji.fiji.session import start_session
start_session()
try:
    start_session()
except Exception as error:
    print(type(error).__name__, error)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=200, check=False)
    assert done.stdout.strip().startswith(f"{SetupError.__name__} A JVM already runs in this Python")


def stop(home: Home) -> None:
    """End the service that the launcher may have started."""
    if home.service_file.exists():
        with ServiceClient.connect(home, start=True) as client:
            client.stop()
