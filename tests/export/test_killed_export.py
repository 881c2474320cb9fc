"""Row R4 for the export: killed at any moment, what was there before is whole, and the next export works."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from dl4fiji.archive import check_archive
from dl4fiji.export import export_model
from dl4fiji.export.package_check import check_package
from dl4fiji.model import ModelFolder
from dl4fiji.prediction.predictor import Predictor
from tiny_models import make_model

_CHILD = """
import sys
from pathlib import Path
from dl4fiji.keras_setup import import_tensorflow
from dl4fiji.model import ModelFolder
from dl4fiji.export import export_model
import_tensorflow()
print("ready", flush=True)
while True:
    export_model(ModelFolder(Path(sys.argv[1])), sys.argv[2], certify=False)
"""


def _kill_within_an_export(model: ModelFolder, which: str, seconds: float) -> None:
    command = [sys.executable, "-c", _CHILD, str(model.path), which]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True) as child:
        assert child.stdout
        assert child.stdout.readline() == b"ready\n"
        time.sleep(seconds)
        os.killpg(child.pid, signal.SIGKILL)


def _check(model: ModelFolder) -> None:
    findings = check_package(model.package, thorough=False)
    assert {finding.status for finding in findings} == {"good"}, findings
    check_archive(model.package_zip)
    check_archive(model.csbdeep_zip)
    import numpy as np

    assert np.isfinite(Predictor(model).predict_array(np.arange(400.0).reshape(20, 20), "YX")).all()


@pytest.mark.parametrize("rounds", [2, pytest.param(20, marks=pytest.mark.nightly)])
@pytest.mark.timeout(1200)
def test_r4_killed_export(tmp_path: Path, rounds: int) -> None:
    model = make_model(tmp_path)
    export_model(model, certify=False)
    times = random.Random(rounds)
    for number in range(rounds):
        _kill_within_an_export(model, ("best", "last")[number % 2], times.uniform(0.2, 8))
        _check(model)
    export_model(model, certify=False)
    _check(model)
    left = [entry.name for entry in model.path.rglob(".*")]
    assert left == [".export.lock"], "the next export clears what a killed one left"
