"""S2: without the token nobody gets anything but health; the token is long, private, and in no log."""

from __future__ import annotations

import base64
import hmac
import json
import sqlite3
import stat

import pytest

from dl4fiji.home import Home
from dl4fiji.service import credentials
from serving import ServiceProcess, all_routes, figure


def _wrong_headers(token: str, port: int) -> list[dict[str, str]]:
    """Return headers that must not let anybody in."""
    return [
        {},
        {"Authorization": ""},
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer "},
        {"Authorization": "Bearer wrong"},
        {"Authorization": f"Bearer {token[:-1]}"},
        {"Authorization": f"Bearer {token}x"},
        {"Authorization": f"Bearer {token.swapcase()}"},
        {"Authorization": f"Bearer {token[::-1]}"},
        {"Authorization": f"Bearer {token} {token}"},
        {"Authorization": token},
        {"Authorization": f"Token {token}"},
        {"Authorization": "Basic " + base64.b64encode(f"user:{token}".encode()).decode()},
        {"Cookie": f"dl4fiji_{port}={token}"},
        {"Cookie": f"dl4fiji_{port}="},
        {"Cookie": f"dl4fiji_{port}=x; token={token}"},
        {"X-Token": token},
    ]


def test_s2_every_route_needs_the_token(service: ServiceProcess, record_property) -> None:
    before = service.home.database.stat().st_size
    refused = 0
    for method, path in all_routes():
        if path == "/api/v1/health":
            continue
        for headers in _wrong_headers(service.token, service.port):
            status, answer, body = service.request(method, path, headers, b"" if method in ("POST", "PUT") else None)
            assert status == 401, (method, path, headers, status)
            assert answer["www-authenticate"] == "Bearer"
            assert service.token.encode() not in body
            refused += 1
        status, _, _ = service.request(method, f"{path}?token={service.token}&access_token={service.token}")
        assert status == 401
    with service.client() as client:
        assert client.health()["status"] == "ok"
        assert client.jobs() == []
    assert service.home.database.stat().st_size == before
    figure(record_property, "S2", f"{refused} requests to {len(all_routes())} routes refused with 401")


def test_s2_what_does_not_exist_is_not_told_to_strangers(service: ServiceProcess) -> None:
    for path in ("/nothing", "/api/v1/nothing", "/static/nothing.css", "/docs", "/redoc", "/openapi.json", "/%00"):
        assert service.request("GET", path)[0] == 401
        assert service.authorized("GET", path)[0] in (404, 400)


def test_s2_health_tells_no_more_than_it_must(service: ServiceProcess) -> None:
    status, _, body = service.request("GET", "/api/v1/health")
    assert status == 200
    assert set(json.loads(body)) == {"status", "version", "pid"}


def test_s2_token_is_long_and_private(service: ServiceProcess) -> None:
    assert len(base64.urlsafe_b64decode(service.token + "=")) == 32
    mode = stat.S_IMODE(service.home.token_file.stat().st_mode)
    assert mode == 0o600
    assert stat.S_IMODE(service.home.root.stat().st_mode) == 0o700
    assert service.token not in service.home.service_file.read_text(encoding="utf-8")


def test_s2_token_that_others_could_read_is_replaced(home: Home) -> None:
    first = credentials.load_token(home)
    assert credentials.load_token(home) == first
    home.token_file.chmod(0o644)
    second = credentials.load_token(home)
    assert second != first
    assert stat.S_IMODE(home.token_file.stat().st_mode) == 0o600
    home.token_file.write_text("short", encoding="ascii")
    assert len(credentials.load_token(home)) == 43


def test_s2_token_file_that_is_a_link_is_replaced(home: Home, tmp_path) -> None:
    theirs = tmp_path / "theirs"
    theirs.write_text("A" * 43, encoding="ascii")
    theirs.chmod(0o600)
    home.token_file.symlink_to(theirs)
    assert credentials.load_token(home) != "A" * 43
    assert theirs.read_text(encoding="ascii") == "A" * 43
    assert not home.token_file.is_symlink()


def test_s2_comparison_takes_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every token that is shown goes, as a whole, through the standard library's constant-time comparison."""
    compared = []
    real = hmac.compare_digest

    def watch(first: bytes, second: bytes) -> bool:
        compared.append((first, second))
        return real(first, second)

    monkeypatch.setattr(hmac, "compare_digest", watch)
    secret = "s" * 43
    known = credentials.Credentials(secret)
    for shown in ("", "s", "s" * 42, "x" * 43, secret, "ü\udcff"):
        assert known.accepts_header(f"Bearer {shown}") is (shown == secret)
        assert compared[-1] == (shown.encode("utf-8", "surrogateescape"), secret.encode())
    assert len(compared) == 6


def test_s2_token_is_in_no_log_not_even_after_a_failure(service: ServiceProcess, record_property) -> None:
    token = service.token
    database = sqlite3.connect(service.home.database)
    database.execute("ALTER TABLE jobs RENAME TO hidden")  # the service now fails in a way that nobody foresaw
    database.commit()
    statuses = []
    for method, path in [("GET", "/api/v1/jobs"), ("GET", "/"), ("GET", f"/api/v1/jobs/{token.lower()[:40]}")]:
        status, headers, body = service.authorized(method, path, Accept="text/html")
        statuses.append(status)
        assert token.encode() not in body
        assert b"Traceback" not in body
        assert headers["content-security-policy"]
    service.authorized("GET", f"/api/v1/models/{token}")
    service.request("GET", f"/api/v1/jobs?token={token}", {"Authorization": f"Bearer {token}x"})
    assert 500 in statuses
    database.execute("ALTER TABLE hidden RENAME TO jobs")
    database.commit()
    database.close()
    assert service.authorized("GET", "/api/v1/jobs")[0] == 200, "the service lives on"
    logs = [path for path in service.home.root.rglob("*") if path.is_file() and path.suffix in (".log", ".txt")]
    assert service.home.service_log in logs
    content = service.home.service_log.read_text(encoding="utf-8")
    assert "Traceback" in content, "the failure must be in the log"
    assert all(token not in path.read_text(encoding="utf-8") for path in logs)
    figure(record_property, "S2 log", f"no token in {len(logs)} logs after a 500")


def test_s2_login_code_works_once_and_for_one_browser(service: ServiceProcess) -> None:
    with service.client() as client:
        url = client.login_url()
    path = url.partition(str(service.port))[2]
    status, headers, _ = service.request("GET", path)
    assert status == 303
    cookie = headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert service.token not in cookie
    assert service.request("GET", path)[0] == 401
    assert service.request("GET", "/login?code=guess")[0] == 401
    assert service.request("GET", "/login")[0] == 401
    assert service.request("GET", "/", {"Cookie": cookie.partition(";")[0]})[0] == 200
    log = service.home.service_log.read_text(encoding="utf-8")
    assert path.rpartition("=")[2] not in log


def test_s2_codes_and_sessions_end(monkeypatch: pytest.MonkeyPatch) -> None:
    known = credentials.Credentials("t" * 43)
    code = known.issue_code()
    cookie = known.sign_in(known.issue_code())
    assert cookie
    assert known.accepts_session(cookie)
    now = credentials.time.monotonic()
    monkeypatch.setattr(credentials.time, "monotonic", lambda: now + credentials.CODE_SECONDS + 1)
    assert known.sign_in(code) is None
    assert known.accepts_session(cookie)
    monkeypatch.setattr(credentials.time, "monotonic", lambda: now + credentials.SESSION_SECONDS + 1)
    assert not known.accepts_session(cookie)
