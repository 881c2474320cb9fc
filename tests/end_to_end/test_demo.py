"""The main job, from the menu script to Fiji's engines, as a user starts it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from dl4fiji.export.package_check import check_package


@pytest.mark.jvm
@pytest.mark.timeout(600)
def test_the_demo_denoises_and_its_model_runs_in_every_engine(tmp_path: Path) -> None:
    command = [
        str(Path(sys.executable).with_name("dl4fiji")),
        "demo",
        "--output",
        str(tmp_path / "demo"),
        "--epochs",
        "4",
    ]
    done = subprocess.run(command, env={**os.environ, "COLUMNS": "120"}, capture_output=True, text=True, timeout=580)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    summary = json.loads((tmp_path / "demo" / "summary.json").read_text())
    assert summary["psnr_prediction"] - summary["psnr_input"] >= 3
    assert set(summary["engines"]) == {"1.15.0", "2.7.4", "2.10.1"}
    for version, engine in summary["engines"].items():
        assert engine["loaded"], (version, engine["reason"])
        assert engine["max_difference"] <= 1e-4
    assert Path(summary["package_zip"]).is_file()
    assert not [finding for finding in check_package(Path(summary["package"])) if finding.status == "error"]
    with Image.open(summary["picture"]) as picture:
        assert picture.width > 1000
