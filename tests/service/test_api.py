"""The HTTP interface: what it answers, and how it says no."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import numpy as np
import pytest

from dl4fiji.client import ServiceClient
from dl4fiji.data.writer import write_image
from dl4fiji.errors import ConflictError, InputError, NotFoundError, UnauthorizedError
from dl4fiji.jobs.job import SelfTestRequest
from serving import ServiceProcess, wait_for_end, wait_until


def _problem(answer: tuple[int, dict[str, str], bytes]) -> dict:
    status, headers, body = answer
    assert headers["content-type"] == "application/problem+json"
    problem = json.loads(body)
    assert problem["status"] == status
    assert problem["type"].startswith("urn:dl4fiji:problem:")
    assert "\n" not in problem["detail"]
    return problem


def test_networks_come_with_their_options(client: ServiceClient) -> None:
    networks = {network["name"]: network for network in client.networks()}
    care = networks["care-2d"]
    assert care["title"] == "CARE 2D"
    epochs = care["options"]["properties"]["epochs"]
    assert (epochs["default"], epochs["minimum"]) == (100, 1)
    assert epochs["description"]


def test_patches_are_previewed(client: ServiceClient, service: ServiceProcess, tmp_path: Path) -> None:
    for number in range(2):
        for role in ("noisy", "clean"):
            (tmp_path / role).mkdir(exist_ok=True)
            picture = np.random.default_rng(number).integers(0, 4000, (80, 80)).astype(np.uint16)
            write_image(tmp_path / role / f"{number}.tif", picture // (1 + (role == "clean")), "YX")
    data = {"source": str(tmp_path / "noisy"), "target": str(tmp_path / "clean")}
    asked = {"kind": "train", "network": "care-2d", "name": "", "data": data, "options": {"patch_size": "32x32"}}
    told, picture = client.preview(asked)
    assert told["text"] == "9 training patches of 32×32 pixels with their targets, from 1 image."
    assert told["patches"][0]["image"] in ("0.tif", "1.tif")
    assert picture.startswith(b"\x89PNG")
    status, headers, body = service.authorized("GET", f"/api/v1/previews/{told['id']}")
    assert (status, headers["content-type"], body) == (200, "image/png", picture)
    assert client.jobs() == []
    with pytest.raises(NotFoundError, match="is not kept any more"):
        client._call("GET", "/previews/none")
    with pytest.raises(InputError, match="less than a patch of 128×128") as error:
        client.preview({**asked, "options": {}})
    assert len(error.value.problems) == 2
    with pytest.raises(InputError, match="must be an absolute path"):
        client.preview({**asked, "data": {**data, "source": "here"}})


def test_states_filter_the_list(client: ServiceClient) -> None:
    good = wait_for_end(client, client.submit(SelfTestRequest(seconds=0.1)).id)
    bad = wait_for_end(client, client.submit(SelfTestRequest(seconds=0.1, fail="input")).id)
    assert [job.id for job in client.jobs()] == [bad.id, good.id]
    assert [job.id for job in client.jobs(state="failed")] == [bad.id]
    assert [job.id for job in client.jobs(limit=1)] == [bad.id]
    with pytest.raises(InputError, match="state in the query is 'UNHEARD'"):
        client.jobs(state="unheard")


def test_unknown_things(client: ServiceClient) -> None:
    for ask in (client.job, client.log, client.history, client.cancel, client.resume, client.events):
        with pytest.raises(NotFoundError, match="There is no job '20260101-000000-abcdef'"):
            ask("20260101-000000-abcdef")
    with pytest.raises(NotFoundError, match="There is no model 'none'"):
        client.model("none")
    with pytest.raises(InputError, match="is not the id of a job"):
        client.job("..X")


def test_what_the_state_forbids(client: ServiceClient) -> None:
    job = wait_for_end(client, client.submit(SelfTestRequest(seconds=0.1)).id)
    with pytest.raises(ConflictError, match="COMPLETE already"):
        client.cancel(job.id)
    with pytest.raises(ConflictError, match="only a canceled, failed or crashed"):
        client.resume(job.id)


def test_requests_that_are_wrong_get_one_sentence_each(service: ServiceProcess) -> None:
    data = {"source": "/", "target": "/"}
    cases = [
        (b"", "lacks the body"),
        (b"{", "not valid JSON"),
        (b'"text"', "the body is 'text' but must be"),
        (b"{}", "kind must be train, predict, export or selftest"),
        (json.dumps({"kind": "dance"}).encode(), "kind must be"),
        (json.dumps({"kind": "train", "data": data, "name": "x"}).encode(), "lacks network"),
        (
            json.dumps({"kind": "selftest", "seconds": -1}).encode(),
            "seconds is -1 but must be greater than or equal to 0",
        ),
        (json.dumps({"kind": "selftest", "second": 1}).encode(), "second that is not known"),
        (
            json.dumps({"kind": "train", "network": "care-2d", "name": 5, "data": data}).encode(),
            "name is 5 but must be",
        ),
        (
            json.dumps({"kind": "predict", "model": "m", "source": "/", "tile_size": "x"}).encode(),
            "tile_size is 'x' but must be",
        ),
        (b"\xff\xfe", "not valid JSON"),
        (b"[" * 5000, ""),
    ]
    for body, words in cases:
        answer = service.authorized("POST", "/api/v1/jobs", body)
        assert answer[0] == 400, body[:60]
        assert words in _problem(answer)["detail"], body[:60]


def test_bodies_have_a_limit(service: ServiceProcess) -> None:
    large = b'{"kind": "selftest", "x": "' + b"x" * 2**20 + b'"}'
    assert "hand images over" in _problem(service.authorized("POST", "/api/v1/jobs", large))["detail"]
    # Undeclared length, in chunks:
    headers = {"Authorization": f"Bearer {service.token}", "Transfer-Encoding": "chunked"}
    chunk = b"%x\r\n%s\r\n" % (2**16, b"x" * 2**16)
    assert _status_of_raw(service, headers, chunk * 17 + b"0\r\n\r\n") == 413


def _status_of_raw(service: ServiceProcess, headers: dict[str, str], body: bytes) -> int:
    """Send a submission exactly as given and return the status of the answer."""
    lines = ["POST /api/v1/jobs HTTP/1.1", f"Host: 127.0.0.1:{service.port}", "Connection: close"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    with socket.create_connection(("127.0.0.1", service.port), timeout=20) as connection:
        connection.sendall("\r\n".join([*lines, "", ""]).encode() + body)
        return int(connection.recv(65536).split()[1])


def test_methods_that_a_route_does_not_take(service: ServiceProcess) -> None:
    assert "does not take DELETE" in _problem(service.authorized("DELETE", "/api/v1/jobs"))["detail"]
    assert _problem(service.authorized("GET", "/api/v1/jobs/"))["status"] == 404


def test_inbox_is_fresh_and_private(client: ServiceClient, service: ServiceProcess) -> None:
    first, second = client.inbox(), client.inbox()
    assert first != second
    assert first.parent == second.parent == service.home.inbox
    assert first.stat().st_mode & 0o777 == 0o700
    assert list(first.iterdir()) == []


def test_log_in_pieces(client: ServiceClient, service: ServiceProcess) -> None:
    job = wait_for_end(client, client.submit(SelfTestRequest(seconds=0.1)).id)
    whole = (service.home.job(job.id) / "log.txt").read_bytes()
    assert client.log(job.id).encode() == whole
    status, headers, body = service.authorized("GET", f"/api/v1/jobs/{job.id}/log?after=10")
    assert (status, body) == (200, whole[10:])
    assert int(headers["x-next"]) == len(whole)
    end = service.authorized("GET", f"/api/v1/jobs/{job.id}/log?after={len(whole)}")
    assert (end[2], int(end[1]["x-next"])) == (b"", len(whole))


def test_history_can_be_thinned(client: ServiceClient) -> None:
    job = wait_for_end(client, client.submit(SelfTestRequest(seconds=0.2, steps=100, epochs=100)).id)
    whole = client.history(job.id)
    assert whole["epoch"] == list(range(1, 101))
    thin = client.history(job.id, points=10)
    assert len(thin["epoch"]) == 10
    assert (thin["epoch"][0], thin["epoch"][-1]) == (1, 100)
    assert thin["loss"] == [whole["loss"][epoch - 1] for epoch in thin["epoch"]]


def test_settings_are_kept_and_checked(client: ServiceClient, service: ServiceProcess) -> None:
    assert client.settings() == {"port": 0, "download_limit_gib": 4.0}
    changed = {"port": 50505, "download_limit_gib": 0.5}
    assert client.change_settings(changed) == changed
    assert client.settings() == changed
    with pytest.raises(InputError, match="download_limit_gib"):
        client.change_settings({"download_limit_gib": 0})
    with pytest.raises(InputError, match="port"):
        client.change_settings({"port": 70000})
    with pytest.raises(InputError, match="colour"):
        client.change_settings({"colour": "red"})


def test_a_damaged_model_is_listed_with_its_error(client: ServiceClient, service: ServiceProcess) -> None:
    folder = service.home.models / "broken"
    folder.mkdir()
    (folder / "model.json").write_text("{", encoding="utf-8")
    (listed,) = client.models()
    assert listed["name"] == "broken"
    assert "damaged" in listed["error"]
    assert service.authorized("GET", "/models")[0] == 200
    with pytest.raises(InputError, match="damaged"):
        client.model("broken")


def test_openapi_is_complete(service: ServiceProcess) -> None:
    document = json.loads(service.authorized("GET", "/api/v1/openapi.json")[2])
    assert document["info"]["title"] == "DL4Fiji"
    assert document["security"] == [{"token": []}]
    operations = [
        (path, method, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]
    assert len(operations) >= 19
    for path, method, operation in operations:
        assert path.startswith("/api/v1/"), "pages are no part of the interface"
        assert len(operation["summary"]) >= 10, (path, method)
        assert operation["description"], (path, method)
        assert operation["tags"], (path, method)
        assert "4XX" in operation["responses"], (path, method)
        answers = operation["responses"].get("200") or operation["responses"]["201"]
        assert answers["content"], (path, method)
    assert {"TrainRequest", "PredictRequest", "ExportRequest", "Job", "Problem"} <= set(
        document["components"]["schemas"]
    )


def test_a_wrong_token_is_told(service: ServiceProcess) -> None:
    stranger = ServiceClient(service.home, f"http://127.0.0.1:{service.port}", "wrong")
    with pytest.raises(UnauthorizedError, match="read it again"):
        stranger.jobs()
    stranger.close()


def test_stop_lets_jobs_go_on(service: ServiceProcess, client: ServiceClient) -> None:
    job = client.submit(SelfTestRequest(seconds=3, steps=30))
    wait_until(lambda: client.job(job.id).done > 0, 30, "progress")
    assert client.stop() == [job.id]
    assert not service.home.service_file.exists()
    with ServiceClient.connect(service.home) as again:
        assert wait_for_end(again, job.id).attempts == 1
        again.stop()


def test_a_job_with_a_missing_folder_is_shown(client: ServiceClient, service: ServiceProcess, tmp_path: Path) -> None:
    job = wait_for_end(client, client.submit(SelfTestRequest(seconds=0.1)).id)
    service.home.job(job.id).rename(tmp_path / "moved")
    assert client.log(job.id) == ""
    assert client.job(job.id).state == "COMPLETE"
    assert service.authorized("GET", f"/jobs/{job.id}")[0] == 200
