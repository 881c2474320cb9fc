"""The command line as a user types it, against a real service."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from dl4fiji.data.writer import write_image
from dl4fiji.home import Home
from dl4fiji.networks import NETWORKS

Run = Callable[..., subprocess.CompletedProcess[str]]
COMMAND = str(Path(sys.executable).with_name("dl4fiji"))


@pytest.fixture(scope="module")
def module_home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    return Home(tmp_path_factory.mktemp("cli") / "home").create()


@pytest.fixture(scope="module")
def run(module_home: Home) -> Iterator[Run]:
    """Return a function that runs ``dl4fiji`` with its own home; the service it starts is stopped at the end."""
    environment = {**os.environ, "DL4FIJI_HOME": str(module_home.root), "COLUMNS": "200", "TERM": "dumb"}

    def call(*arguments: object, code: int = 0) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [COMMAND, *map(str, arguments)], env=environment, capture_output=True, text=True, timeout=120
        )
        assert done.returncode == code, done.stdout + done.stderr
        assert "Traceback" not in done.stdout + done.stderr
        return done

    yield call
    call("service", "stop")


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pairs")
    rng = np.random.default_rng(1)
    for index in range(4):
        clean = rng.random((64, 64)).astype(np.float32)
        write_image(folder / "noisy" / f"{index}.tif", clean + rng.normal(0, 0.1, clean.shape).astype(np.float32), "YX")
        write_image(folder / "clean" / f"{index}.tif", clean, "YX")
    return folder


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys\n"
        "from dl4fiji.cli import main\n"
        "sys.argv = ['dl4fiji', '--help']\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "heavy = {'tensorflow', 'numpy', 'pydantic', 'fastapi', 'jpype', 'scyjava', 'matplotlib'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, timeout=60)


def test_every_command_of_the_promise_is_there(run: Run) -> None:
    text = run("--help").stdout
    for command in [
        "fiji",
        "install",
        "networks",
        "train",
        "predict",
        "jobs",
        "models",
        "export",
        "doctor",
        "demo",
        "service",
    ]:
        assert f"│ {command} " in text


def test_networks_as_json_has_all_options(run: Run) -> None:
    listed = json.loads(run("networks", "--json").stdout)
    assert [entry["name"] for entry in listed] == [network.name for network in NETWORKS]
    for entry, network in zip(listed, NETWORKS, strict=True):
        assert set(entry["options"]["properties"]) == set(network.Options.model_fields)


@pytest.mark.parametrize("network", NETWORKS, ids=lambda network: network.name)
def test_a_networks_help_shows_each_option_with_its_default(run: Run, network) -> None:
    text = run("train", network.name, "--help").stdout
    for name in network.Options.model_fields:
        assert "--" + name.replace("_", "-") in text
    assert f"[default: {network.Options().epochs} epochs]" in text or f"[default: {network.Options().epochs}]" in text


def test_check_says_what_would_happen(run: Run, pairs: Path) -> None:
    done = run("train", "care-2d", "--source", pairs / "noisy", "--target", pairs / "clean", "--name", "a",
               "--patch-size", "32", "--check")  # fmt: skip
    assert "4 pairs 64×64" in done.stdout


def test_a_model_to_start_from_may_be_named_by_a_relative_path(
    run: Run, pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bad.zip").write_bytes(b"no zip")
    for start_from, sentence in (
        ("bad.zip", f"{tmp_path / 'bad.zip'} is neither a model folder"),
        ("./bad.zip", f"{tmp_path / 'bad.zip'} is neither a model folder"),
        ("other/bad.zip", f"There is no model to start from at {tmp_path / 'other' / 'bad.zip'}"),
        ("bad", "There is no model 'bad' to start from"),
        ("ftp://host/bad.zip", "by http and https only"),
    ):
        done = run("train", "care-2d", "--source", pairs / "noisy", "--target", pairs / "clean", "--name", "a",
                   "--patch-size", "32", "--start-from", start_from, "--check", code=1)  # fmt: skip
        assert sentence in " ".join(done.stderr.split())


def test_patches_are_previewed(run: Run, pairs: Path, tmp_path: Path) -> None:
    file = tmp_path / "patches.png"
    done = run("train", "care-2d", "--source", pairs / "noisy", "--target", pairs / "clean", "--name", "a",
               "--patch-size", "32", "--preview", file)  # fmt: skip
    assert "9 training patches of 32×32 pixels with their targets, from 3 images. They are in" in done.stdout
    assert file.read_bytes().startswith(b"\x89PNG")
    assert json.loads(run("jobs", "list", "--json").stdout) == []


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("train", "care-2d", "--source", "/nowhere", "--target", "/nowhere", "--name", "x"), "/nowhere"),
        (("predict", "no-such-model", "/tmp"), "no-such-model"),
        (("predict", "m", "/tmp", "--weights", "worst"), "must be best or last"),
        (("predict", "m", "/tmp", "--tile-size", "-1"), "must be from 0 to 65536"),
        (("predict", "m", "/tmp", "--nms-threshold", "1"), "--nms-threshold is 1 but must be from 0 to below 1"),
        (("export", "no-such-model"), "no-such-model"),
        (("export", "no-such-model", "--check"), "no-such-model"),
        (("export", "../x", "--check"), "use up to 100 letters"),
        (("models", "show", "no-such-model"), "no-such-model"),
        (("models", "report", "no-such-model"), "no-such-model"),
        (("models", "report", "../x"), "use up to 100 letters"),
        (("jobs", "show", "0000"), "0000"),
        (("jobs", "cancel", "0000"), "0000"),
        (("jobs", "log", "../../etc/passwd"), "There is nothing at"),
    ],
    ids=lambda value: "-".join(value[:2]) if isinstance(value, tuple) else "",
)
def test_bad_input_gets_a_sentence_for_each_finding(run: Run, arguments: tuple[str, ...], sentence: str) -> None:
    done = run(*arguments, code=1)
    assert sentence in done.stderr
    assert all(line.startswith("Error: ") for line in done.stderr.splitlines())


def test_every_wrong_option_is_told(run: Run, pairs: Path) -> None:
    done = run("train", "care-2d", "--source", pairs / "noisy", "--target", pairs / "clean", "--name", "x",
               "--epochs", "0", "--learning-rate", "fast", code=1)  # fmt: skip
    assert "'epochs'" in done.stderr
    assert "'learning_rate'" in done.stderr


def test_lists_are_json_on_request(run: Run) -> None:
    assert json.loads(run("jobs", "list", "--json").stdout) == []
    assert json.loads(run("models", "list", "--json").stdout) == []
    status = json.loads(run("service", "status", "--json").stdout)
    assert status["running"] is True
    assert status["url"].startswith("http://127.0.0.1:")


def test_install_refuses_what_is_no_fiji(run: Run, tmp_path: Path) -> None:
    assert str(tmp_path) in run("install", "--app", tmp_path, code=1).stderr


def test_a_traceback_goes_to_the_log_and_not_to_the_user(module_home: Home) -> None:
    code = "import dl4fiji.networks, sys; dl4fiji.networks.NETWORKS = 3; sys.argv = ['dl4fiji', 'networks']\n"
    done = subprocess.run(
        [sys.executable, "-c", code + "from dl4fiji.cli import main; main()"],
        env={**os.environ, "DL4FIJI_HOME": str(module_home.root)}, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 70
    assert done.stderr.startswith("Error: the command failed unexpectedly (TypeError: ")
    assert "Traceback" not in done.stderr
    assert "Traceback" in (module_home.root / "command-line.log").read_text()


def test_fiji_refuses_a_missing_macro(run: Run, tmp_path: Path) -> None:
    done = run("fiji", "--headless", "--macro", tmp_path / "none.ijm", code=1)
    assert "none.ijm" in done.stderr


def test_the_demo_never_empties_a_foreign_folder(run: Run, tmp_path: Path) -> None:
    (tmp_path / "thesis.docx").touch()
    assert "holds other things" in run("demo", "--output", tmp_path, code=1).stderr
    assert (tmp_path / "thesis.docx").exists()


def test_doctor_speaks_of_everything(run: Run) -> None:
    done = subprocess.run([COMMAND, "doctor", "--json"], capture_output=True, text=True, timeout=240)
    findings = json.loads(done.stdout)
    subjects = {finding["subject"] for finding in findings}
    assert subjects == {"Python", "Packages", "GPU", "Java", "Memory", "Disk", "Engines", "Fiji", "Service"}
    assert all(finding["remedy"] for finding in findings if finding["verdict"] != "good")
    assert done.returncode == int(any(finding["verdict"] == "bad" for finding in findings))
