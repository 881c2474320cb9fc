"""S5: no name, id or path in a request leads out of where it belongs."""

from __future__ import annotations

import json
import random
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

import pytest

from dl4fiji.data.normalization import PercentileNormalization
from dl4fiji.errors import InputError
from dl4fiji.home import Home, check_name
from dl4fiji.model import ModelFolder, ModelInfo
from serving import ServiceProcess, figure

CANARY = "canary-7f3a91"
GENERATED = 2000

_TEMPLATES = (
    ("GET", "/api/v1/jobs/{}"), ("GET", "/api/v1/jobs/{}/events?wait=0"), ("GET", "/api/v1/jobs/{}/history"),
    ("GET", "/api/v1/jobs/{}/log"), ("POST", "/api/v1/jobs/{}/cancel"), ("POST", "/api/v1/jobs/{}/resume"),
    ("GET", "/api/v1/models/{}"), ("POST", "/api/v1/models/{}/install"),
    ("POST", "/api/v1/models/{}/report"), ("GET", "/models/{}/report"), ("GET", "/models/{}/report.pdf"),
    ("POST", "/models/{}/report"), ("GET", "/jobs/{}"),
    ("POST", "/jobs/{}/cancel"), ("POST", "/jobs/{}/resume"), ("GET", "/models/{}"), ("GET", "/static/{}"),
)  # fmt: skip

_UPS = ("..", "../..", "../../..", "../../../../../../..", "....//....//..", "..\\..", "..\\/..", "..;/..", ".../...")
_TARGETS = ("etc/passwd", "token", "jobs.sqlite", "canary.txt", "service.json", "")


def _payloads(outside: Path) -> list[str]:
    """Return path traversal payloads, as they stand and encoded in the usual ways."""
    plain = [f"{up}/{target}" for up in _UPS for target in _TARGETS]
    plain += [
        "..", ".", "...", "~", "~root", "/etc/passwd", "//etc/passwd", "\\\\host\\share", "C:\\Windows\\win.ini", "C:",
        "file:///etc/passwd", str(outside), f"/{outside}", "nuclei/../../token", "nuclei/..", "./nuclei/../../token",
        "x\0", "../token\0.json", "\0", "nul", "con", "aux.txt", "com1", "a" * 5000, "..%2ftoken", "%2e%2e", "..%c0%af",
        "․․/token", "．．/token", "..∕token", " ..", ".. ", "-", "--help", "*", "?", "[a-z]*", "$HOME", "`id`", "$(id)",
        ";id", "|id", "\n", "\r\nX-Injected: 1", "nuclei\n", "<script>", "{{7*7}}", "' OR 1=1 --", "%", "%%", "%zz",
    ]  # fmt: skip
    return plain


def _encodings(payload: str) -> set[str]:
    once = quote(payload, safe="")
    raw = quote(payload, safe="/\\.~:;*'()[]{}$|`<>=,@!&+^")
    return {once, quote(once, safe=""), once.replace("%2F", "%252F"), once.replace(".", "%2E"), raw}


def _generated(chance: random.Random, count: int) -> list[str]:
    pieces = [
        "..", ".", "/", "\\", "%2e", "%2f", "%5c", "%00", "%252e", "%c0%ae", "%u002e", "//", "token", "jobs", "models",
        "etc", "passwd", "nuclei", "~", ":", ";", "%0a", "%0d", "%20", "é", "canary.txt", "static", "api", "?", "#",
    ]  # fmt: skip
    texts = ("".join(chance.choice(pieces) for _ in range(chance.randint(1, 9))) for _ in range(count))
    return [quote(text, safe="%/\\.:;~?#") for text in texts]


class _Watch:
    """Sees whether a request brought something out, or put something where it does not belong."""

    def __init__(self, service: ServiceProcess) -> None:
        self.service = service
        self.outside = service.home.root.parent
        (self.outside / "canary.txt").write_text(CANARY, encoding="utf-8")
        (self.outside / "token").write_text(CANARY, encoding="utf-8")
        (self.outside / "model.json").write_text(f'"{CANARY}"', encoding="utf-8")
        self.secrets = [CANARY.encode(), service.token.encode(), b"root:x:0", b"SQLite format"]
        self.before = self._files()

    def _files(self) -> set[str]:
        return {str(path) for path in self.outside.rglob("*") if "jobs.sqlite" not in path.name}

    def ask(self, method: str, path: str, body: bytes | None = None) -> int:
        status, headers, answer = self.service.authorized(method, path, body)
        assert not any(secret in answer for secret in self.secrets), (method, path)
        assert "x-injected" not in headers
        assert status < 500, (method, path, status, answer)
        return status

    def check_files(self) -> None:
        assert self._files() == self.before


@pytest.mark.timeout(300)
def test_s5_known_payloads(service: ServiceProcess, record_property) -> None:
    watch = _Watch(service)
    payloads = _payloads(watch.outside)
    assert len(payloads) >= 60
    asked = 0
    for method, template in _TEMPLATES:
        for payload in payloads:
            for encoded in _encodings(payload):
                status = watch.ask(method, template.format(encoded), b'{"fiji": "/"}' if method == "POST" else None)
                # What the server folds to another route (such as the list of jobs) is that route's own answer.
                assert status in (303, 400, 404, 405, 409) or _is_other_route(encoded), (template, encoded, status)
                asked += 1
    watch.check_files()
    figure(record_property, "S5", f"{len(payloads)} payloads × {len(_TEMPLATES)} routes, {asked} requests: no escape")


def _is_other_route(encoded: str) -> bool:
    """A payload that is empty or begins a query leaves the route's own path: ``/jobs/`` or ``/jobs/?``."""
    return encoded.startswith(("?", "#")) or encoded in ("", ".")


@pytest.mark.timeout(300)
def test_s5_generated_payloads(service: ServiceProcess, record_property) -> None:
    watch = _Watch(service)
    chance = random.Random(5)
    for text in _generated(chance, GENERATED):
        method, template = chance.choice(_TEMPLATES)
        watch.ask(method, template.format(text), b'{"fiji": "/"}' if method == "POST" else None)
    watch.check_files()
    figure(record_property, "S5 generated", f"{GENERATED} requests: no escape")


def test_s5_names_in_requests(service: ServiceProcess) -> None:
    watch = _Watch(service)
    data = {"source": str(watch.outside), "target": str(watch.outside)}
    for name in _payloads(watch.outside):
        if name.strip() == "nuclei":
            continue  # harmless: blanks around a name are dropped
        requests = [
            {"kind": "train", "network": "care-2d", "name": name, "data": data},
            {"kind": "predict", "model": name, "source": str(watch.outside)},
            {"kind": "export", "model": name},
            {"kind": "train", "network": name, "name": "x", "data": data},
            {"kind": "train", "network": "care-2d", "name": "x", "data": data, "start_from": name or "x"},
        ]
        for request in requests[:-1]:
            status = watch.ask("POST", "/api/v1/jobs", json.dumps(request).encode())
            assert status in (400, 404), request
        assert watch.ask("POST", "/api/v1/check", json.dumps(requests[-1]).encode()) == 200
    assert json.loads(service.authorized("GET", "/api/v1/jobs")[2]) == []
    watch.check_files()


def test_s5_install_only_into_a_fiji(service: ServiceProcess) -> None:
    folder = ModelFolder(service.home.models / "nuclei")
    folder.package.mkdir(parents=True)
    (folder.package / "rdf.yaml").write_text("id: nuclei\n", encoding="utf-8")
    folder.write(
        ModelInfo(
            name="nuclei", network="care-2d", options={}, axes="YXC", channels_in=1, channels_out=1,
            normalization=PercentileNormalization(), created=datetime.now(UTC),
        )
    )  # fmt: skip
    watch = _Watch(service)
    for fiji in ("", ".", "..", "relative/Fiji.app", "~/Fiji.app", "/\0", "/etc", "/nowhere", "/etc/passwd"):
        body = json.dumps({"fiji": fiji}).encode()
        assert watch.ask("POST", "/api/v1/models/nuclei/install", body) in (400, 404), fiji
    watch.check_files()
    fiji_folder = watch.outside / "Fiji.app"
    (fiji_folder / "plugins").mkdir(parents=True)
    body = json.dumps({"fiji": str(fiji_folder)}).encode()
    assert watch.ask("POST", "/api/v1/models/nuclei/install", body) == 200
    assert (fiji_folder / "models" / "nuclei" / "rdf.yaml").is_file()


def test_s5_links_in_the_models_folder_are_not_followed_by_name(home: Home, tmp_path: Path) -> None:
    """Whatever a name is made of, its folder lies directly in ``models``."""
    chance = random.Random(7)
    letters = "ab.. /\\~:\0\n%é"
    for _ in range(2000):
        name = "".join(chance.choice(letters) for _ in range(chance.randint(0, 8)))
        try:
            folder = home.model(name)
        except InputError:
            continue
        assert folder.parent == home.models
        assert folder.resolve().parent == home.models.resolve()
        assert check_name(name) == folder.name
