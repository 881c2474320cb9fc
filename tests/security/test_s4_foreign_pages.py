"""S4: a page of another origin can change nothing and read nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from dl4fiji.client import ServiceClient
from dl4fiji.jobs.job import SelfTestRequest
from serving import METHODS, ServiceProcess, all_routes, end_workers, figure, wait_for_end

_BODY = json.dumps({"kind": "selftest", "seconds": 0.1}).encode()


def _foreign(port: int) -> list[dict[str, str]]:
    origins = [
        "https://evil.example", "http://evil.example", "null", f"http://127.0.0.1:{port - 1}",
        f"http://localhost:{port + 1}", f"https://127.0.0.1:{port}", f"http://127.0.0.1:{port}.evil.example",
        f"http://evil.example:{port}", f"http://[::1]:{port}", "file://", "chrome-extension://abc",
        f"http://LOCALHOST:{port}", f"http://127.0.0.1:{port}/",
    ]  # fmt: skip
    headers = [{"Origin": origin} for origin in origins]
    headers += [{"Sec-Fetch-Site": site} for site in ("cross-site", "same-site", "anything")]
    headers.append({"Origin": f"http://127.0.0.1:{port}", "Sec-Fetch-Site": "cross-site"})
    return headers


def _snapshot(service: ServiceProcess, client: ServiceClient) -> tuple:
    """Return all that a request could have changed."""
    jobs = [job.model_dump_json() for job in client.jobs(limit=10_000)]
    files = sorted(str(path) for path in service.home.root.rglob("*") if "sqlite" not in path.name)
    return jobs, files, client.settings(), client.health()["pid"]


@pytest.fixture
def cookie(service: ServiceProcess, client: ServiceClient) -> Iterator[str]:
    """The cookie of a browser that has signed in."""
    path = client.login_url().partition(str(service.port))[2]
    yield service.request("GET", path)[1]["set-cookie"].partition(";")[0]
    end_workers(service.home)


def test_s4_foreign_pages_change_nothing(
    service: ServiceProcess, client: ServiceClient, cookie: str, record_property
) -> None:
    failed = wait_for_end(client, client.submit(SelfTestRequest(seconds=0.1, fail="input")).id)
    before = _snapshot(service, client)
    routes = sorted({path for _, path in all_routes(failed.id)})
    asked = 0
    for path in routes:
        for method in METHODS:
            for foreign in _foreign(service.port):
                for identity in ({"Authorization": f"Bearer {service.token}"}, {"Cookie": cookie}):
                    headers = {**identity, **foreign, "Content-Type": "application/json"}
                    body = _BODY if method in ("POST", "PUT", "PATCH") else None
                    status, answer, _ = service.request(method, path, headers, body)
                    assert status == 403, (method, path, foreign, status)
                    assert not any(name.startswith("access-control") for name in answer)
                    asked += 1
    assert _snapshot(service, client) == before
    figure(record_property, "S4", f"{asked} requests ({len(routes)} paths × {len(METHODS)} methods) refused")


def test_s4_no_route_allows_other_origins_even_to_friends(service: ServiceProcess, client: ServiceClient) -> None:
    own = f"http://127.0.0.1:{service.port}"
    for method in METHODS:
        for path in ("/", "/api/v1/jobs", "/api/v1/health"):
            asked = {"Origin": own, "Access-Control-Request-Method": "POST"} if method == "OPTIONS" else {"Origin": own}
            _, answer, _ = service.authorized(method, path, **asked)
            assert not any(name.startswith("access-control") for name in answer), (method, path)


def test_s4_cookie_alone_changes_nothing(service: ServiceProcess, client: ServiceClient, cookie: str) -> None:
    """An old browser that sends neither Origin nor Sec-Fetch-Site gets to read, not to change."""
    before = _snapshot(service, client)
    for path in ("/api/v1/jobs", "/api/v1/inbox", "/api/v1/login-codes", "/api/v1/service/stop", "/train"):
        assert service.request("POST", path, {"Cookie": cookie, "Content-Type": "application/json"}, _BODY)[0] == 403
    assert _snapshot(service, client) == before
    assert service.request("GET", "/api/v1/jobs", {"Cookie": cookie})[0] == 200


def test_s4_our_own_page_may(service: ServiceProcess, client: ServiceClient, cookie: str) -> None:
    own = {"Cookie": cookie, "Content-Type": "application/json"}
    for proof in ({"Origin": f"http://127.0.0.1:{service.port}"}, {"Sec-Fetch-Site": "same-origin"}):
        status, _, body = service.request("POST", "/api/v1/jobs", {**own, **proof}, _BODY)
        assert status == 201
        wait_for_end(client, json.loads(body)["id"])


def test_s4_simple_requests_of_forms_are_no_way_in(service: ServiceProcess, client: ServiceClient) -> None:
    """What a foreign form can send without asking first: three content types, no headers of its own."""
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"):
        headers = {"Content-Type": kind, "Origin": "https://evil.example"}
        assert service.request("POST", "/api/v1/jobs", headers, _BODY)[0] == 403
        assert service.request("POST", "/api/v1/jobs", {"Content-Type": kind}, _BODY)[0] == 401
    assert client.jobs() == []


def test_s4_every_answer_bears_safe_headers(service: ServiceProcess) -> None:
    answers = [
        service.request("GET", "/api/v1/health"), service.request("GET", "/"), service.authorized("GET", "/"),
        service.authorized("GET", "/static/job.js"), service.authorized("GET", "/nothing"),
        service.authorized("GET", "/api/v1/jobs"), service.request("GET", "/", {"Host": "evil.example"}),
    ]  # fmt: skip
    for _, headers, _ in answers:
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "http:" not in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"
        assert headers["referrer-policy"] == "same-origin"
        assert headers["cross-origin-resource-policy"] == "same-origin"
        assert headers["cache-control"] == "no-store"
