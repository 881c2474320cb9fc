"""A real browser for tests of the pages, and models for it to show."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from dl4fiji.data.normalization import PercentileNormalization
from dl4fiji.files import write_json
from dl4fiji.home import Home
from dl4fiji.model import ModelFolder, ModelInfo
from serving import ServiceProcess, end_workers, wait_until

_CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)

_FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip
NASTY = '<img src=x onerror="window.harmed=1"><script>window.harmed=1</script>\'"]'


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A browser without a window."""
    playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    if _CHROMIUM is None:
        pytest.skip("no Chromium on this computer (apt-get install chromium)")
    with playwright.sync_playwright() as running:
        started = running.chromium.launch(executable_path=_CHROMIUM, args=_FLAGS)
        yield started
        started.close()


class Window:
    """A page of a signed-in browser that notes all that should not happen."""

    def __init__(self, browser: Any, service: ServiceProcess, **settings: Any) -> None:
        self.url = f"http://127.0.0.1:{service.port}"
        self.context = browser.new_context(viewport={"width": 1200, "height": 850}, **settings)
        self.page = self.context.new_page()
        self.page.set_default_timeout(20_000)
        self.complaints: list[str] = []
        self.foreign: list[str] = []
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("dialog", lambda dialog: self.complaints.append(dialog.message))
        self.page.on("request", lambda request: self._note(request.url))
        with service.client() as client:
            self.page.goto(client.login_url())

    def _note(self, url: str) -> None:
        if not url.startswith(self.url):
            self.foreign.append(url)

    def open(self, path: str) -> Any:
        """Go to a page of the service."""
        self.page.goto(self.url + path)
        return self.page

    def until(self, condition: str) -> None:
        """Wait until a JavaScript expression is true; asked from outside, for the pages' policy forbids eval."""
        wait_until(lambda: self.page.evaluate(condition), 20, condition)

    def close(self) -> None:
        """Close it; nothing may have been loaded from elsewhere, and no script may have failed or been stopped."""
        self.page.wait_for_load_state()
        self.context.close()
        assert self.foreign == []
        assert self.complaints == []

    def picture(self, name: str) -> None:
        """Keep a picture for people to look at, where ``DL4FIJI_SHOTS`` names a folder."""
        folder = os.environ.get("DL4FIJI_SHOTS")
        if folder:
            self.page.screenshot(path=str(Path(folder) / f"{name}.png"), full_page=True)


@pytest.fixture
def window(browser: Any, service: ServiceProcess) -> Iterator[Window]:
    """A signed-in window."""
    opened = Window(browser, service)
    yield opened
    opened.close()
    end_workers(service.home)


def make_model(home: Home, name: str, **more: Any) -> ModelFolder:
    """Put a model with results on the disk."""
    folder = ModelFolder(home.models / name)
    folder.package.mkdir(parents=True)
    (folder.package / "rdf.yaml").write_text("id: x\n", encoding="utf-8")
    engines = {
        "TensorFlow Java 1.15.0": {"tried": True, "loaded": True, "max_difference": 8.5e-7, "reason": ""},
        "TensorFlow Java 2.7.4": {"tried": False, "loaded": False, "max_difference": None, "reason": "No Java here."},
    }
    write_json(folder.certificate_file, engines)
    quality = {"psnr": {"input": 24.2, "prediction": 30.4}, "ssim": {"input": 0.47, "prediction": 0.675}}
    folder.write(
        ModelInfo(
            name=name, network="care-2d", options={"epochs": 5}, axes="YXC", channels_in=1, channels_out=1,
            normalization=PercentileNormalization(), created=datetime.now(UTC), quality=quality,
            training={"images": "8 pairs", "canceled": False}, **more,
        )
    )  # fmt: skip
    return folder
