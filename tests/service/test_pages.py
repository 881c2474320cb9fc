"""The pages in a real browser: live, safe, usable by keyboard, in the dark and in the light."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from browsing import NASTY, Window, make_model
from dl4fiji.client import ServiceClient
from dl4fiji.data.writer import write_image
from dl4fiji.jobs.job import DataRequest, JobState, SelfTestRequest, TrainRequest
from dl4fiji.jobs.store import JobStore
from serving import ServiceProcess, figure, wait_for_end, wait_until


def test_a_stranger_is_told_how_to_sign_in(browser: Any, service: ServiceProcess) -> None:
    context = browser.new_context()
    page = context.new_page()
    answer = page.goto(f"http://127.0.0.1:{service.port}/jobs/20260101-000000-abcdef")
    assert answer.status == 401
    assert "dl4fiji service open" in page.inner_text("main")
    size = page.eval_on_selector("h1", "heading => getComputedStyle(heading).fontSize")
    assert size == "24px", "its own style is allowed by its hash"
    context.close()


def test_the_list_of_jobs_is_live(window: Window, client: ServiceClient) -> None:
    page = window.open("/")
    assert page.is_visible("#empty")
    job = client.submit(SelfTestRequest(seconds=3, steps=30, epochs=6, as_training=True))
    waiting = client.submit(SelfTestRequest(seconds=0.1, as_training=True))
    row = page.locator(f'tr[data-job="{job.id}"]')
    row.locator("text=running").wait_for()
    window.until(f"document.querySelector('tr[data-job=\"{job.id}\"] progress').value > 3")
    window.picture("jobs")
    assert page.is_hidden("#empty")
    page.locator(f'tr[data-job="{waiting.id}"] .badge.complete').wait_for()
    row.locator(".badge.complete").wait_for()
    first = page.locator("tbody tr").first
    assert first.get_attribute("data-job") == waiting.id, "newest first"
    row.locator("a").click()
    page.wait_for_url(f"**/jobs/{job.id}")


def test_a_thousand_jobs_are_listed_quickly_a_hundred_at_a_time(
    window: Window, service: ServiceProcess, record_property: Any
) -> None:
    store = JobStore(service.home.database)
    request = TrainRequest(network="care-2d", name="x", data=DataRequest(source="/noisy", target="/clean"))
    done = [store.submit(request, f"Number {number}").id for number in range(1000)]
    for job in done:
        store.request_cancel(job)
    store.close()
    seconds = []
    for _ in range(7):
        began = time.perf_counter()
        status, _, body = service.authorized("GET", "/")
        seconds.append(time.perf_counter() - began)
        assert (status, body.count(b"<tr data-job=")) == (200, 100)
    told = f"list of 1 000 jobs: first {seconds[0] * 1000:.0f} ms, then {min(seconds[1:]) * 1000:.0f} ms"
    figure(record_property, "1 000 jobs", told)
    assert min(seconds) <= 0.2
    page = window.open("/")
    seen = []
    for _ in range(10):
        seen += page.eval_on_selector_all("tbody tr", "rows => rows.map(row => row.dataset.job)")
        window.picture("pager")
        if page.locator("a[rel=next]").count():
            page.click("a[rel=next]")
            page.wait_for_load_state()
    assert seen == done[::-1]
    assert "901 to 1000 of 1000" in page.inner_text(".pager")
    page.click("a[rel=prev]")
    window.until("document.querySelector('.pager').textContent.includes('801 to 900')")


def test_a_job_is_followed_canceled_and_resumed(window: Window, client: ServiceClient) -> None:
    job = client.submit(SelfTestRequest(seconds=30, steps=300, epochs=100, as_training=True))
    page = window.open(f"/jobs/{job.id}")
    window.until("Number(document.getElementById('chart').dataset.epochs) >= 3")
    seen = int(page.get_attribute("#chart", "data-epochs"))
    window.until(f"Number(document.getElementById('chart').dataset.epochs) >= {seen + 3}")
    assert len(page.get_attribute("#chart polyline.train", "points").split()) >= seen + 3
    assert page.locator("#warnings li").all_inner_texts() == ["This is a test without a network."]
    window.until("document.getElementById('log').textContent.includes('Testing the service')")
    assert "/ 100" in page.inner_text("#epoch")
    window.picture("job")

    page.focus("#chart")
    page.keyboard.press("ArrowLeft")
    page.wait_for_selector("#chart .cross", state="attached")
    assert page.inner_text("#readout").startswith("epoch ")
    page.click("#scale")
    assert page.get_attribute("#scale", "aria-pressed") == "true"

    page.click("#cancel button")
    page.locator(".badge.canceled").wait_for()
    wait_for_end(client, job.id)
    page.locator("#resume button").wait_for()
    assert page.is_hidden("#cancel")
    page.focus("#resume button")
    page.keyboard.press("Enter")
    page.locator(".badge.running").wait_for()
    wait_until(lambda: client.job(job.id).attempts == 2, 20, "the second attempt")
    client.cancel(job.id)
    page.locator(".badge.canceled").wait_for()


NOTE_CHANGES = """
new MutationObserver((changes) => {
  for (const { target } of changes) if (target.id === "resume") sessionStorage.changed = "yes";
}).observe(document, { attributes: true, subtree: true });
"""


def test_resume_is_offered_only_by_the_page_that_stays(window: Window, client: ServiceClient) -> None:
    """A job's end loads the page anew; what is pressed on the one that goes would be lost."""
    job = client.submit(SelfTestRequest(seconds=30, steps=300))
    page = window.open(f"/jobs/{job.id}")
    page.locator(".badge.running").wait_for()
    page.evaluate(NOTE_CHANGES)
    client.cancel(job.id)
    page.locator("#resume button").wait_for()
    assert page.locator(".badge.canceled").is_visible()
    assert page.is_hidden("#cancel")
    assert page.evaluate("sessionStorage.changed") is None


def test_a_failure_is_told_on_the_page_at_once(window: Window, client: ServiceClient) -> None:
    job = client.submit(SelfTestRequest(seconds=3, steps=30, fail="memory"))
    page = window.open(f"/jobs/{job.id}")
    page.locator("#error:visible").wait_for()
    assert "smaller batch size" in page.inner_text("#error")
    assert "Traceback" not in page.inner_text("#error")
    window.picture("failed")


def test_nothing_that_users_name_is_run(window: Window, client: ServiceClient, service: ServiceProcess) -> None:
    """What S8 asks of the dashboard: file names, authors, warnings with HTML in them."""
    folder = service.home.root.parent / NASTY.replace("/", "∕")
    folder.mkdir()
    blocker = client.submit(SelfTestRequest(seconds=60, steps=600, as_training=True))
    request = TrainRequest(
        network="care-2d", name="harmless", data=DataRequest(source=str(folder), target=str(folder)), authors=[NASTY]
    )
    job = client.submit(request)
    make_model(service.home, "model", warnings=[NASTY], authors=[NASTY])
    (service.home.models / f"{NASTY.replace('/', '')[:60]}").mkdir()
    for path in ("/", f"/jobs/{job.id}", "/models", "/models/model", f"/jobs/{blocker.id}", "/train"):
        page = window.open(path)
        page.wait_for_load_state()
        page.wait_for_timeout(300)
        assert page.evaluate("document.querySelectorAll('img[onerror], main script').length") == 0
        assert page.evaluate("window.harmed === undefined")
    page = window.open(f"/jobs/{job.id}")
    page.click("summary")
    assert NASTY in page.inner_text("details pre").replace('\\"', '"')
    with service.home.job(blocker.id).joinpath("log.txt").open("a", encoding="utf-8") as log:
        log.write(NASTY)
    page = window.open(f"/jobs/{blocker.id}")
    window.until("document.getElementById('log').textContent.includes('onerror')")
    assert page.evaluate("window.harmed === undefined")
    for running in (job, blocker):
        client.cancel(running.id)
        wait_for_end(client, running.id)
    page.locator(".badge.canceled").wait_for()


def test_models_show_quality_and_engines(window: Window, service: ServiceProcess) -> None:
    make_model(service.home, "nuclei (2)")
    page = window.open("/models")
    assert "24.20 → 30.40" in page.inner_text("tbody")
    page.click("text=nuclei (2)")
    text = page.inner_text("main")
    for part in ("30.40", "0.675", "TensorFlow Java 1.15.0", "8.5e-07", "not tried", "No Java here.", "8 pairs"):
        assert part in text
    window.picture("model")


def test_the_form_tells_all_that_is_wrong_then_queues(
    window: Window, client: ServiceClient, service: ServiceProcess
) -> None:
    blocker = client.submit(SelfTestRequest(seconds=60, steps=600, as_training=True))
    images = service.home.root.parent / "images"
    images.mkdir()
    page = window.open("/train?network=care-3d")
    assert page.input_value("#option-patch_size") == "16x64x64"
    page.fill("#source", "relative")
    page.fill("#target", str(images))
    page.fill("#name", "from the page")
    page.fill("#option-patch_size", "7 apples")
    page.check("text=Augmentation")
    page.click("text=Start training")
    page.locator(".note.bad").wait_for()
    problems = page.locator(".note.bad li").all_inner_texts()
    assert any("'patch_size'" in problem for problem in problems)
    assert any("absolute path" in problem for problem in problems)
    assert page.input_value("#name") == "from the page", "nothing typed is lost"
    assert page.is_checked("text=Augmentation")
    window.picture("form")
    page.fill("#source", str(images))
    page.fill("#option-patch_size", "16x32x32")
    page.click("text=Start training")
    page.wait_for_url("**/jobs/*")
    job = client.jobs()[0]
    assert job.state is JobState.QUEUED
    assert (job.request["network"], job.request["name"]) == ("care-3d", "from the page")
    assert job.request["options"] == {"patch_size": "16x32x32", "augmentation": True}, (
        "what was left alone is not given"
    )
    for running in (job, blocker):
        client.cancel(running.id)
    window.complaints = [text for text in window.complaints if "400 (Bad Request)" not in text]


def test_patches_are_previewed_before_a_training(window: Window, service: ServiceProcess) -> None:
    folder = service.home.root.parent / "preview"
    for role in ("images", "labels"):
        (folder / role).mkdir(parents=True)
    for number in range(3):
        labels = np.zeros((96, 96), np.uint16)
        for index, (y, x) in enumerate(np.ndindex(5, 5), 1):
            labels[4 + 18 * y :, 4 + 18 * x :][:11, :11] = index + 100 * number
        noise = np.random.default_rng(number).integers(0, 200, labels.shape)
        write_image(folder / "images" / f"{number}.tif", (400 * (labels > 0) + noise).astype(np.uint16), "YX")
        write_image(folder / "labels" / f"{number}.tif", labels, "YX")
    page = window.open("/train?network=stardist-2d")
    page.fill("#source", str(folder / "images"))
    page.fill("#target", str(folder / "nowhere"))
    page.fill("#option-patch_size", "64x64")
    page.click("#preview")
    page.locator("#preview-status.bad").wait_for()
    assert "does not exist" in page.inner_text("#preview-status")
    assert page.is_hidden("#preview-figure")
    page.fill("#target", str(folder / "labels"))
    page.focus("#preview")
    page.keyboard.press("Enter")
    page.locator("#preview-figure:visible").wait_for()
    alt = page.get_attribute("#preview-figure img", "alt")
    assert alt.startswith("9 training patches of 64×64 pixels with their labels, from 2 images: ")
    assert page.inner_text("figcaption") == alt
    assert page.evaluate("document.querySelector('#preview-figure img').naturalWidth") > 900
    assert not page.get_attribute("#preview", "aria-busy")
    window.picture("preview")
    window.complaints = [text for text in window.complaints if "400 (Bad Request)" not in text]


def test_dark_and_light(browser: Any, service: ServiceProcess) -> None:
    grounds = {}
    for scheme in ("light", "dark"):
        window = Window(browser, service, color_scheme=scheme)
        page = window.open("/")
        grounds[scheme] = page.eval_on_selector("body", "body => getComputedStyle(body).backgroundColor")
        window.close()
    assert grounds == {"light": "rgb(246, 247, 248)", "dark": "rgb(16, 22, 27)"}


def test_everything_is_reached_by_keyboard(window: Window, client: ServiceClient) -> None:
    wait_for_end(client, client.submit(SelfTestRequest(seconds=0.1)).id)
    page = window.open("/")
    reached = []
    for _ in range(8):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.textContent.trim()"))
    assert reached[0] == "To the content"
    assert {"Jobs", "Models", "Train", "Train a network", "Self-test of 0.1 s"} <= set(reached)


def test_r11_a_long_history_is_drawn_quickly(
    window: Window, client: ServiceClient, service: ServiceProcess, record_property
) -> None:
    job = wait_for_end(client, client.submit(SelfTestRequest(seconds=1, steps=10_000, epochs=10_000)).id, 120)
    seconds = []
    for _ in range(5):
        began = time.perf_counter()
        status, _, body = service.authorized("GET", f"/api/v1/jobs/{job.id}/history?points=2000")
        seconds.append(time.perf_counter() - began)
        assert status == 200
    assert len(body) <= 2**20
    page = window.open(f"/jobs/{job.id}")
    window.until("Number(document.getElementById('chart').dataset.epochs) === 2000")
    figure(
        record_property, "R11", f"10 000 epochs: page data {len(body) / 1024:.0f} KiB in {min(seconds) * 1000:.0f} ms"
    )
    assert min(seconds) <= 0.2
    assert "10000" in page.inner_text("#readout")
