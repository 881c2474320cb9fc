"""Downloads from a server on this machine: what a good one sends, and all that a bad one may do."""

from __future__ import annotations

import hashlib
import itertools
import logging
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from dl4fiji.errors import Canceled, DownloadError, InputError, ResourceError
from dl4fiji.progress import SilentProgress
from dl4fiji.training import download
from dl4fiji.training.download import Address, fetch, is_address, public
from web import Site, in_pieces, redirect, serve

CONTENT = bytes(range(256)) * 1200
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def site() -> Iterator[Site]:
    with serve() as served:
        served.files["/model.zip"] = CONTENT
        yield served


class Told(SilentProgress):
    """Keeps what it is told; cancels after so many bytes, and looks at what lies in a folder meanwhile."""

    def __init__(self, folder: Path | None = None, cancel_at: int | None = None) -> None:
        super().__init__()
        self.folder, self.cancel_at = folder, cancel_at
        self.phases: list[str] = []
        self.bytes: list[tuple[int, int]] = []
        self.seen: set[str] = set()

    def phase(self, text: str) -> None:
        self.phases.append(text)

    def update(self, done: int, total: int, **values: object) -> None:
        assert values == {"unit": "bytes"}
        self.bytes.append((done, total))
        if self.folder is not None:
            self.seen |= set(_visible(self.folder))

    def canceled(self) -> bool:
        return self.cancel_at is not None and bool(self.bytes) and self.bytes[-1][0] >= self.cancel_at


def _visible(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir() if not entry.name.startswith("."))


def _leftovers(folder: Path) -> list[str]:
    return [entry.name for entry in folder.iterdir() if not entry.name.endswith((".lock", ".json"))]


def _fetch(text: str, folder: Path, progress: SilentProgress | None = None, limit: int = 2**30) -> Path:
    return fetch(Address.parse(text), folder, progress or SilentProgress(), limit)


def test_a_file_comes_with_progress_and_is_seen_only_when_whole(site: Site, tmp_path: Path) -> None:
    told = Told(tmp_path)
    path = _fetch(f"{site.url}/model.zip#sha256={SHA256}", tmp_path, told)
    assert path.read_bytes() == CONTENT
    assert path.name.endswith("-model.zip")
    assert told.bytes[-1] == (len(CONTENT), len(CONTENT))
    assert len(told.bytes) > 2
    assert told.seen == set(), "nothing was visible before the end"
    assert told.phases == [f"Downloading 0.3 MiB from {site.url.removeprefix('http://')}"]


def test_with_a_checksum_it_is_fetched_once(site: Site, tmp_path: Path) -> None:
    first = _fetch(f"{site.url}/model.zip#sha256={SHA256.upper()}", tmp_path)
    assert _fetch(f"{site.url}/model.zip#sha256={SHA256}", tmp_path) == first
    assert len(site.asked) == 1
    first.write_bytes(b"damaged on the disk")
    assert _fetch(f"{site.url}/model.zip#sha256={SHA256}", tmp_path).read_bytes() == CONTENT
    assert len(site.asked) == 2


def test_without_a_checksum_it_is_sent_again_only_if_it_changed(site: Site, tmp_path: Path) -> None:
    address, told = f"{site.url}/model.zip", Told()
    first = _fetch(address, tmp_path)
    assert _fetch(address, tmp_path, told) == first
    assert told.phases == [], "answered by 304"
    site.files["/model.zip"] = b"a newer one"
    assert _fetch(address, tmp_path, told).read_bytes() == b"a newer one"


def test_when_the_server_is_gone_the_former_file_is_taken(tmp_path: Path) -> None:
    with serve() as site:
        site.files["/m.h5"] = CONTENT
        first = _fetch(f"{site.url}/m.h5", tmp_path)
    told = Told()
    assert _fetch(f"{site.url}/m.h5", tmp_path, told) == first
    assert "cannot be reached" in told.warnings[0]
    assert "is taken" in told.warnings[0]
    with pytest.raises(DownloadError, match="cannot be reached"):
        _fetch(f"{site.url}/other.h5", tmp_path)


def test_wrong_checksum(site: Site, tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match=rf"model\.zip is not the file .* \(it has sha256 {SHA256}\)"):
        _fetch(f"{site.url}/model.zip#sha256={'0' * 64}", tmp_path)
    assert _leftovers(tmp_path) == []


def test_too_large_by_its_length_is_refused_before_a_byte_comes(site: Site, tmp_path: Path) -> None:
    sent = iter([b"x"] * 10)
    site.answers["/huge"] = in_pieces(sent, length=5 * 2**30)
    with pytest.raises(DownloadError, match=r"has 5120 MiB, but the limit is 4096 MiB.*download_limit_gib"):
        _fetch(f"{site.url}/huge", tmp_path, limit=4 * 2**30)
    assert _leftovers(tmp_path) == []


def test_too_large_without_a_length_ends_at_the_limit(site: Site, tmp_path: Path) -> None:
    count = itertools.count()
    site.answers["/endless"] = in_pieces(bytes(2**16) for _ in count)
    with pytest.raises(DownloadError, match="is larger, but the limit is 2 MiB"):
        _fetch(f"{site.url}/endless", tmp_path, limit=2 * 2**20)
    assert next(count) < 2000, "it was not read to the end"
    assert _leftovers(tmp_path) == []


def test_a_length_that_lies_is_noticed(site: Site, tmp_path: Path) -> None:
    site.answers["/short"] = in_pieces(iter([CONTENT[:1000]]), length=len(CONTENT))
    with pytest.raises(DownloadError, match=r"/short did not come whole"):
        _fetch(f"{site.url}/short", tmp_path)
    assert _leftovers(tmp_path) == []


def test_a_silent_server(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "READ_SECONDS", 0.3)

    def pieces() -> Iterator[bytes]:
        yield b"x" * 1000
        time.sleep(1.5)

    site.answers["/silent"] = in_pieces(pieces(), length=2000)
    with pytest.raises(DownloadError, match=r"sent nothing for 0\.3 s"):
        _fetch(f"{site.url}/silent", tmp_path)
    assert _leftovers(tmp_path) == []


def test_a_server_that_trickles(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "SLOW_SECONDS", 0.3)

    def pieces() -> Iterator[bytes]:
        for _ in range(100):
            yield b"x"
            time.sleep(0.05)

    site.answers["/trickle"] = in_pieces(pieces(), length=100_000)
    began = time.monotonic()
    with pytest.raises(DownloadError, match="too slowly"):
        _fetch(f"{site.url}/trickle", tmp_path)
    assert time.monotonic() - began < 4


def test_redirects_are_followed_a_few_times(site: Site, tmp_path: Path) -> None:
    for number in range(5):
        site.answers[f"/{number}"] = redirect(f"/{number + 1}")
    site.files["/5"] = CONTENT
    assert _fetch(f"{site.url}/0", tmp_path).read_bytes() == CONTENT
    site.answers["/loop"] = redirect("/loop", 301)
    with pytest.raises(DownloadError, match="leads from one address to the next"):
        _fetch(f"{site.url}/loop", tmp_path)
    assert site.paths().count("/loop") == 6


@pytest.mark.parametrize("location", ["file:///etc/passwd", "ftp://127.0.0.1/x", "gopher://127.0.0.1:1/x"])
def test_redirects_lead_to_no_other_protocol(site: Site, tmp_path: Path, location: str) -> None:
    site.answers["/trap"] = redirect(location)
    with pytest.raises(DownloadError, match=rf"by '{location.partition(':')[0]}', which is not followed"):
        _fetch(f"{site.url}/trap", tmp_path)
    assert _leftovers(tmp_path) == []


@pytest.mark.parametrize(
    ("status", "words"),
    [(404, "nothing at this address"), (403, "does not allow"), (503, "has a problem"), (418, "418")],
)
def test_refusals_are_told_in_words(site: Site, tmp_path: Path, status: int, words: str) -> None:
    site.answers["/no"] = lambda handler: handler.send_error(status)
    with pytest.raises(DownloadError, match=words) as caught:
        _fetch(f"{site.url}/no", tmp_path)
    assert "\n" not in caught.value.message


def test_cancel_in_the_middle_leaves_nothing(site: Site, tmp_path: Path) -> None:
    told = Told(tmp_path, cancel_at=100_000)
    with pytest.raises(Canceled):
        _fetch(f"{site.url}/model.zip", tmp_path, told)
    assert told.bytes[-1][0] < len(CONTENT)
    assert _leftovers(tmp_path) == []


def test_half_a_file_of_a_killed_worker_is_cleared_away(site: Site, tmp_path: Path) -> None:
    path = _fetch(f"{site.url}/model.zip", tmp_path)
    half = path.with_name(f".{path.stem}.abc123.zip")
    half.write_bytes(b"half")
    _fetch(f"{site.url}/model.zip", tmp_path)
    assert not half.exists()
    assert path.exists()


def test_no_room_on_the_disk(site: Site, tmp_path: Path) -> None:
    site.answers["/vast"] = in_pieces(iter([b"x"]), length=2**60)
    with pytest.raises(ResourceError, match="the model to start from needs"):
        _fetch(f"{site.url}/vast", tmp_path, limit=2**61)


def test_what_an_address_hides_is_shown_nowhere(
    site: Site, tmp_path: Path, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    told = Told()
    secret = site.url.replace("//", "//anna:geheim@")
    path = _fetch(f"{secret}/model.zip?token=abc987", tmp_path, told)
    assert site.asked[0][0] == "/model.zip?token=abc987"
    assert site.asked[0][1]["Authorization"].startswith("Basic ")
    texts = [*told.phases, *told.warnings, str(path), "".join(capsys.readouterr()), path.read_bytes().hex()]
    texts += [entry.read_text() for entry in tmp_path.glob(".*.json")]
    for missing in ("/none", "/loop"):
        site.answers["/loop"] = redirect("/loop")
        with pytest.raises(DownloadError) as caught:
            _fetch(f"{secret}{missing}?token=abc987", tmp_path)
        texts.append(caught.value.message)
    texts.append("\n".join(record.getMessage() for record in caplog.records if record.name.startswith("dl4fiji")))
    texts.append("\n".join(record.getMessage() for record in caplog.records if record.levelno >= logging.INFO))
    for text in texts:
        assert "geheim" not in text
        assert "abc987" not in text


def test_passwords_do_not_follow_to_another_server(site: Site, tmp_path: Path) -> None:
    with serve() as other:
        other.files["/model.zip"] = CONTENT
        site.answers["/there"] = redirect(f"{other.url}/model.zip")
        _fetch(f"{site.url.replace('//', '//anna:geheim@')}/there", tmp_path)
        assert "Authorization" in site.asked[0][1]
        assert "Authorization" not in other.asked[0][1]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("ftp://host/m.zip", "by http and https only, not by ftp"),
        ("file:///etc/passwd", "not by file"),
        ("file://host/etc/passwd", "by http and https only, not by file"),
        ("https://", "not valid"),
        ("https://host:99999999/x", "not valid"),
        ("https://ho st/x", "not valid"),
        ("https://host/x\r\nX-Evil: 1", "not valid"),
        ("https://[broken/x", "not valid"),
        ("https://host/m.zip#sha256=abc", "64 digits"),
        ("https://host/m.zip#sha256=" + "g" * 64, "64 digits"),
    ],
)
def test_addresses_that_cannot_be_fetched(text: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        Address.parse(text)


def test_names_and_paths_are_no_addresses() -> None:
    assert not any(map(is_address, ["my model", "/a/b.zip", r"C:\models\a", "a:b", ""]))
    assert public("my model") == "my model"
    assert public("https://u:p@host:8080/a b?x=1#y") == "https://host:8080/a b?…"


def test_no_answer_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as listener:  # takes connections, says nothing
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        monkeypatch.setattr(download, "READ_SECONDS", 0.3)
        with pytest.raises(DownloadError, match="sent nothing"):
            _fetch(f"http://127.0.0.1:{listener.getsockname()[1]}/m.zip", tmp_path)
