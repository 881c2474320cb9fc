"""The demo's course: hand over, train, predict, judge, show."""

from __future__ import annotations

import os
import shutil
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from dl4fiji.data.image import open_image
from dl4fiji.demo.figure import draw
from dl4fiji.demo.images import DemoImages, make_images
from dl4fiji.errors import DL4FijiError, InputError, SetupError
from dl4fiji.export.engines import ENGINES, engines_folder, install
from dl4fiji.fiji.session import Session, start_session
from dl4fiji.files import write_json
from dl4fiji.home import Home
from dl4fiji.model import ModelFolder
from dl4fiji.progress import SilentProgress
from dl4fiji.quality_control.metrics import compare

MODEL = "demo-nuclei"
_MARK = "made-by-dl4fiji-demo"


def run_demo(output: Path, epochs: int = 12) -> dict[str, Any]:
    """Run the demo and return what ``summary.json`` holds.

    Parameters
    ----------
    output
        Folder for data, picture and summary. What an earlier demo left in it is replaced; any other folder is
        refused.
    epochs
        Epochs of the training.

    Raises
    ------
    InputError
        If ``output`` holds something else than an earlier demo.
    DL4FijiError
        If a step fails.
    """
    from dl4fiji.client import ServiceClient

    output = output.expanduser().absolute()
    _prepare(output)
    # The demo's jobs and models are its own, but engines are fetched once for all that this user does.
    os.environ["DL4FIJI_ENGINES"] = str(engines_folder(Home.default()))
    home = Home(output / "home").create()
    os.environ["DL4FIJI_HOME"] = str(home.root)
    begin = time.perf_counter()
    session = _start(home)
    ready = time.perf_counter()
    images = make_images(output / "data")
    try:
        result = _train_and_predict(session, images, output, epochs, home)
    finally:
        with ServiceClient.connect(home) as client:
            client.stop()
    summary = _judge(images, output, ModelFolder(home.model(MODEL)), result)
    summary["seconds"] = round(time.perf_counter() - ready, 1)
    summary["seconds_start_and_downloads"] = round(ready - begin, 1)
    write_json(output / "summary.json", summary)
    _show(summary, output)
    return summary


def _prepare(output: Path) -> None:
    """Empty what an earlier demo left; refuse a folder that is not a demo's."""
    if output.exists() and any(output.iterdir()):
        if not (output / _MARK).exists():
            raise InputError(f"{output} holds other things: give the demo a folder of its own by --output.")
        shutil.rmtree(output)
    output.mkdir(parents=True, exist_ok=True)
    (output / _MARK).touch()


class _Announcement(SilentProgress):
    """Prints what is fetched."""

    def phase(self, text: str) -> None:
        sys.stdout.write(text + "\n")


def _start(home: Home) -> Session:
    """Start the embedded ImageJ and fetch the engines; without a network the engines are left out."""
    session = start_session(headless=True, home=home)
    for engine in ENGINES:
        try:
            install(engine, home, _Announcement())
        except SetupError as error:
            sys.stdout.write(error.message + "\n")
    return session


def _train_and_predict(session: Session, images: DemoImages, output: Path, epochs: int, home: Home) -> dict[str, Any]:
    """Run the menu scripts, as a click in Fiji's menu would, and return the training's result."""
    from dl4fiji.client import ServiceClient

    session.run_script(
        "Train/CARE_2D",
        source=str(images.source),
        target=str(images.target),
        name=MODEL,
        epochs=epochs,
        patch_size="64x64",
        batch_size=8,
        first_filters=16,
        depth=2,
        kernel_size=3,
        patches_per_image=40,
        augmentation=True,
        wait=True,
    )
    session.run_script("Predict", model=MODEL, source=str(images.noisy), output=str(output / "prediction"), wait=True)
    with ServiceClient.connect(home, start=False) as client:
        jobs = [job for job in client.jobs() if job.kind == "train"]
    if not jobs or jobs[0].error:
        raise DL4FijiError(jobs[0].error if jobs else "The menu script started no training: see the service's log.")
    return jobs[0].result


def _judge(images: DemoImages, output: Path, model: ModelFolder, job: dict[str, Any]) -> dict[str, Any]:
    """Compare the prediction of the held-out part with the truth, draw the picture, return the figures."""
    truth, noisy = open_image(images.truth).read(), open_image(images.noisy).read()
    prediction = open_image(next((output / "prediction").glob("*.tif"))).read()
    before, after = compare(truth, noisy), compare(truth, prediction)
    draw(
        output / "demo.png",
        {"input": noisy, "prediction": _fit(prediction, truth), "truth": truth},
        {
            "input": f"PSNR {before['psnr']:.1f} dB, SSIM {before['ssim']:.2f}",
            "prediction": f"PSNR {after['psnr']:.1f} dB, SSIM {after['ssim']:.2f}",
            "truth": "noise-free",
        },
    )
    certificate = job["certificate"]
    return {
        "psnr_input": before["psnr"],
        "psnr_prediction": after["psnr"],
        "ssim_input": before["ssim"],
        "ssim_prediction": after["ssim"],
        "engines": {
            engine.version: {key: certificate[engine.name].get(key) for key in ("loaded", "max_difference", "reason")}
            for engine in ENGINES
        },
        "onnx_runtime": certificate["ONNX Runtime"],
        "package": str(model.package),
        "package_zip": str(model.package_zip),
        "picture": str(output / "demo.png"),
    }


def _fit(image: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Bring ``image`` to the truth's units by least squares, as the metrics do, so that the greys compare."""
    slope, intercept = np.polyfit(image.ravel().astype(np.float64), truth.ravel().astype(np.float64), 1)
    return slope * image + intercept


def _show(summary: dict[str, Any], output: Path) -> None:
    """Print the table of what came out."""
    from rich.console import Console
    from rich.table import Table

    table = Table("", "input", "prediction", title="Held-out part against the truth", title_justify="left")
    table.add_row("PSNR (dB)", f"{summary['psnr_input']:.2f}", f"{summary['psnr_prediction']:.2f}")
    table.add_row("SSIM", f"{summary['ssim_input']:.3f}", f"{summary['ssim_prediction']:.3f}")
    engines = Table("engine", "loaded", "largest difference from Python", title="Exported model", title_justify="left")
    tried = {f"TensorFlow Java {version}": entry for version, entry in summary["engines"].items()}
    for name, entry in {**tried, "ONNX Runtime": summary["onnx_runtime"]}.items():
        difference = entry.get("max_difference")
        engines.add_row(name, "yes" if entry["loaded"] else "no", "" if difference is None else f"{difference:.1e}")
    console = Console(highlight=False)
    console.print(table, engines)
    console.print(f"Picture: {output / 'demo.png'}", soft_wrap=True)
    console.print(f"Package: {summary['package']}", soft_wrap=True)
    start = summary["seconds_start_and_downloads"]
    console.print(f"{summary['seconds']:.0f} s, and {start:.0f} s to start ImageJ and fetch what was missing")
