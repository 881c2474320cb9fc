"""What axe-core finds on the pages and in the report, in the light and in the dark: nothing that hinders anybody."""

from __future__ import annotations

from typing import Any

import pytest

from browsing import Window, make_model
from dl4fiji import networks
from dl4fiji.client import ServiceClient
from dl4fiji.jobs.job import SelfTestRequest
from report_models import make_reported
from serving import ServiceProcess, wait_for_end

axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed")

HINDERS = ("serious", "critical")


def found(page: Any) -> list[str]:
    """Return what hinders people on the page as it is shown."""
    page.wait_for_load_state()
    problems = axe.Axe().run(page).response["violations"]
    return [
        f"{problem['id']}: {problem['help']}: {node['html'][:200]}"
        for problem in problems
        if problem["impact"] in HINDERS
        for node in problem["nodes"]
    ]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_page_hinders_anybody(browser: Any, service: ServiceProcess, client: ServiceClient, scheme: str) -> None:
    done = wait_for_end(client, client.submit(SelfTestRequest(seconds=1, steps=30, epochs=6)).id)
    failed = wait_for_end(client, client.submit(SelfTestRequest(seconds=0.1, fail="memory")).id)
    running = client.submit(SelfTestRequest(seconds=60, steps=600, epochs=100))
    make_model(service.home, "nuclei (2)")
    window = Window(browser, service, color_scheme=scheme)
    pages = ["/", "/models", "/models/nuclei (2)", *(f"/jobs/{job.id}" for job in (done, failed, running))]
    pages += [f"/train?network={network.name}" for network in networks.NETWORKS]
    problems = {}
    for path in pages:
        page = window.open(path)
        if path.endswith(running.id):
            window.until("document.querySelectorAll('#chart polyline').length > 0")
        for folded in page.locator("details:not([open]) > summary").all():
            folded.click()
        if path.startswith("/train"):
            page.click("text=Start training")
        problems[path] = found(page)
    client.cancel(running.id)
    assert {path: told for path, told in problems.items() if told} == {}
    window.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_report_hinders_anybody(browser: Any, service: ServiceProcess, client: ServiceClient, scheme: str) -> None:
    folder = make_reported(service.home)
    client.make_report(folder.path.name)
    context = browser.new_context(color_scheme=scheme)
    page = context.new_page()
    page.goto(folder.report_html.as_uri())
    assert found(page) == []
    context.close()


def test_what_hinders_is_found(browser: Any) -> None:
    context = browser.new_context()
    page = context.new_page()
    page.set_content("<html lang=en><title>x</title><body><main><h1>x</h1><img src=x><input></main>")
    assert [problem.split(":")[0] for problem in found(page)] == ["image-alt", "label"]
    context.close()
