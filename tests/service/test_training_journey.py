"""A biologist's way through the pages: train, follow, stop, go on, read the report."""

from __future__ import annotations

from pathlib import Path

from browsing import Window
from dl4fiji.client import ServiceClient
from serving import ServiceProcess, wait_until
from tiny_trainings import TINY, write_images

EPOCHS = 40


def test_a_training_is_started_followed_canceled_resumed_and_its_report_read(
    window: Window, client: ServiceClient, service: ServiceProcess, tmp_path: Path
) -> None:
    data = write_images(tmp_path, "care-2d", count=4)
    page = window.open("/")
    page.click("text=Train a network")
    page.click("nav.tabs >> text=CARE 2D")
    for field, value in {"source": data.source, "target": data.target, "name": "from the page"}.items():
        page.fill(f"#{field}", value)
    page.click("text=More options")
    options = {**TINY["care-2d"], "epochs": EPOCHS, "steps_per_epoch": 4, "batch_size": 2, "augmentation": False}
    for name, value in options.items():
        field = page.locator(f"[name='option.{name}']")
        if isinstance(value, bool):
            field.set_checked(value)
        elif field.evaluate("field => field.tagName") == "SELECT":
            field.select_option(str(value))
        else:
            field.fill(str(value))
    page.click("text=Start training")
    page.wait_for_url("**/jobs/*")
    job = client.jobs()[0].id

    wait_until(lambda: int(page.get_attribute("#chart", "data-epochs") or 0) >= 2, 90, "two epochs in the chart")
    page.click("#cancel button")
    page.locator(".badge.canceled").wait_for(timeout=30_000)
    reached = client.job(job).epoch
    assert 2 <= reached < EPOCHS
    page.click("#resume button")
    page.locator(".badge.running").wait_for(timeout=30_000)
    wait_until(lambda: client.job(job).epoch > reached, 90, "an epoch after the resumption")
    page.locator(".badge.complete").wait_for(timeout=180_000)
    assert client.job(job).epoch == EPOCHS
    assert int(page.get_attribute("#chart", "data-epochs")) == EPOCHS
    window.picture("trained")

    page.click("text=Open report")
    page.wait_for_url("**/report")
    text = page.inner_text("main")
    assert "CARE 2D" in text
    assert f"{EPOCHS} epochs" in text
    assert (service.home.models / "from the page" / "report.pdf").is_file()
    window.picture("report")
