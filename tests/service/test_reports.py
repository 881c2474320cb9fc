"""Reports over HTTP and in a real browser: shown, made again, and nothing in them runs (S8)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from dl4fiji.client import ServiceClient
from dl4fiji.errors import NotFoundError
from dl4fiji.files import write_text
from report_models import NAME, NASTY, make_reported
from serving import ServiceProcess


def test_a_report_is_made_and_served(service: ServiceProcess, client: ServiceClient) -> None:
    folder = make_reported(service.home)
    status, _, body = service.authorized("GET", "/models/my%20cells%20%282%29/report")
    assert status == 404
    assert b"has no report yet" in body
    made = client.make_report(NAME)
    assert made == {"html": str(folder.report_html), "pdf": str(folder.report_pdf)}
    assert client.model(NAME)["report"] == str(folder.report_html)

    status, headers, body = service.authorized("GET", "/models/my%20cells%20%282%29/report")
    assert (status, headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert body == folder.report_html.read_bytes()
    policy = headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "frame-ancestors 'none'" in policy
    assert "sandbox" in policy
    assert "script-src" not in policy
    assert headers["x-content-type-options"] == "nosniff"

    status, headers, body = service.authorized("GET", "/models/my%20cells%20%282%29/report.pdf")
    assert (status, headers["content-type"], body[:5]) == (200, "application/pdf", b"%PDF-")


def test_models_that_are_none_or_damaged_are_said(service: ServiceProcess, client: ServiceClient) -> None:
    with pytest.raises(NotFoundError, match="There is no model 'none'"):
        client.make_report("none")
    folder = make_reported(service.home)
    write_text(folder.record_file, "{")
    status, _, body = service.authorized("POST", "/api/v1/models/my%20cells%20%282%29/report", b"")
    assert status == 400
    assert "is damaged" in json.loads(body)["detail"]


def _check(page: Any, told: list[str]) -> None:
    """Nothing ran, all pictures are there, the style is on."""
    page.wait_for_load_state()
    assert page.locator("text=/Materials and methods/").count() >= 1
    assert page.eval_on_selector("main", "main => getComputedStyle(main).maxWidth") == "928px", "styled"
    assert page.eval_on_selector("h1", "h => getComputedStyle(h).color") != "rgb(255, 0, 0)", (
        "the file's name is no style"
    )
    assert page.evaluate("window.harmed === undefined")
    assert page.evaluate("[...document.images].every(image => image.complete && image.naturalWidth > 300)")
    assert page.evaluate("document.images.length") >= 2
    assert page.evaluate("document.querySelectorAll('script, img[onerror], form').length") == 0
    assert NASTY in page.inner_text("main")
    assert told == []


def test_s8_nothing_in_a_report_runs(
    browser: Any, service: ServiceProcess, client: ServiceClient, tmp_path: Path
) -> None:
    folder = make_reported(service.home)
    context = browser.new_context(color_scheme="dark")
    page, told = context.new_page(), []
    page.on("console", lambda message: told.append(message.text))
    page.on("dialog", lambda dialog: told.append(dialog.message))
    page.on("pageerror", lambda error: told.append(str(error)))
    page.goto(client.login_url())
    page.goto(f"http://127.0.0.1:{service.port}/models/{NAME}")
    page.click("text=Make the report")
    page.wait_for_url("**/report")
    _check(page, told)
    assert page.eval_on_selector("body", "body => getComputedStyle(body).backgroundColor") == "rgb(16, 22, 27)"
    page.goto(f"http://127.0.0.1:{service.port}/models/{NAME}")
    page.click("text=Open report")
    page.wait_for_url("**/report")

    # The same file, opened from the disk, without any server and without the net.
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(folder.report_html.as_uri())
    _check(page, told)
    assert [url for url in asked if not url.startswith("data:")] == [folder.report_html.as_uri()]

    # A report that somebody else made may hold anything: its scripts do not run when we serve it.
    text = folder.report_html.read_text(encoding="utf-8")
    foreign = text.replace(
        "<main>", "<main><script>window.harmed=1</script><img src=/nowhere onerror='window.harmed=1'>"
    )
    foreign = foreign.replace('http-equiv="Content-Security-Policy"', 'name="none"')
    write_text(folder.report_html, foreign)
    page.goto(f"http://127.0.0.1:{service.port}/models/{NAME}/report")
    page.wait_for_load_state()
    assert page.evaluate("window.harmed === undefined")
    assert page.evaluate("document.querySelectorAll('main script').length") == 1
    context.close()
