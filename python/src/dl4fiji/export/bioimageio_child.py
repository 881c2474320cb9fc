"""bioimageio.spec's validation and bioimageio.core's model test, in a process of their own.

bioimageio.core runs SavedModels by Keras 3, which cannot be had beside the Keras 2 that csbdeep needs.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Literal

TIMEOUT = 600.0
_RESULT = "result: "

Found = tuple[str, Literal["good", "warning", "error"], str]
"""Title, status, sentence."""


def run_check(folder: Path, thorough: bool) -> list[Found]:
    """Validate the package in ``folder``; ``thorough`` also runs the model test."""
    command = [sys.executable, "-m", __name__, str(folder.resolve()), *(["--test"] if thorough else [])]
    environment = {**os.environ, "TF_USE_LEGACY_KERAS": "0", "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""}
    title = "valid by bioimageio.spec"
    try:
        with tempfile.TemporaryDirectory(prefix="dl4fiji-check-") as scratch:  # bioimageio.core unpacks where it is
            done = subprocess.run(
                command,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=TIMEOUT,
                check=False,
                env=environment,
                cwd=scratch,
            )
    except subprocess.TimeoutExpired:
        return [(title, "warning", f"bioimageio did not finish within {TIMEOUT:.0f} s")]
    answers = [line.removeprefix(_RESULT) for line in done.stdout.splitlines() if line.startswith(_RESULT)]
    if not answers:
        tail = " / ".join(done.stderr.strip().splitlines()[-3:])
        return [(title, "warning", f"bioimageio could not be run (exit code {done.returncode}): {tail}")]
    return [(found[0], found[1], found[2]) for found in json.loads(answers[-1])]


def _validate(folder: Path) -> tuple[list[Found], Any]:
    """Return the findings of bioimageio.spec, with its checks of all files, and the description."""
    from bioimageio.spec import InvalidDescr, ValidationContext, load_description

    with ValidationContext(perform_io_checks=True):
        description = load_description(folder / "rdf.yaml")
    title = f"valid by bioimageio.spec, format {description.format_version}"
    summary = description.validation_summary
    problems: list[Found] = [(title, "error", f"{_where(entry)}: {entry.msg}") for entry in summary.errors]
    if isinstance(description, InvalidDescr) and not problems:
        problems = [(title, "error", "it is no valid description")]
    return problems or [(title, "good", "")], description


def _test(description: Any) -> list[Found]:
    """Return the findings of bioimageio.core's model test, per format of weights."""
    from bioimageio.core import test_model

    findings: list[Found] = []
    for weights in ("onnx", "tensorflow_saved_model_bundle"):
        if getattr(description.weights, weights) is None:
            continue
        summary = test_model(description, weight_format=weights)
        title = f"passes bioimageio.core's model test: {weights}"
        problems: list[Found] = [(title, "error", f"{_where(entry)}: {entry.msg}") for entry in summary.errors]
        if summary.status in ("failed", "valid-format") and not problems:
            problems = [(title, "error", f"the test ends as {summary.status}")]
        ran = sum(detail.status == "passed" for detail in summary.details)
        findings += problems or [(title, "good", f"{ran} checks passed")]
    return findings


def _where(entry: Any) -> str:
    return ".".join(str(part) for part in entry.loc)


def main(arguments: list[str]) -> int:
    """Check the package named first and print the findings as JSON."""
    from loguru import logger

    logger.remove()
    findings, description = _validate(Path(arguments[0]))
    if "--test" in arguments and all(status == "good" for _, status, _ in findings):
        findings += _test(description)
    print(_RESULT + json.dumps(findings), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
