"""S9, the service's half: quotes, brackets, newlines and non-ASCII arrive unchanged."""

from __future__ import annotations

import random
from pathlib import Path

from dl4fiji.client import ServiceClient
from dl4fiji.files import read_json
from dl4fiji.jobs.job import DataRequest, SelfTestRequest, TrainRequest
from serving import ServiceProcess, figure, wait_for_end, wait_until

CASES = 500
_PIECES = (
    *"abc019 []{}()<>\"'`$&|;,=+-_~!@#%^*?:\\\t\n\r", "é", "ß", "細胞", "核", "🔬", "Ω", "\u202e", "\u00a0", "e\u0301",
    "a]b", "run(", "//", "%20", "&amp;", "</script>", "\\n", "µm", "..", " ",
)  # fmt: skip


def _odd_names(count: int) -> list[str]:
    """Return texts of all kinds of characters, none empty, none twice."""
    chance = random.Random(9)
    names: dict[str, None] = {}
    while len(names) < count:
        names["".join(chance.choice(_PIECES) for _ in range(chance.randint(1, 14))).strip("/")] = None
    return [name for name in names if name]


def test_s9_odd_names_arrive_unchanged(
    service: ServiceProcess, client: ServiceClient, tmp_path: Path, record_property
) -> None:
    blocker = client.submit(SelfTestRequest(seconds=600, steps=6000, as_training=True))
    checked = 0
    for number, name in enumerate(_odd_names(CASES)):
        source = tmp_path / "images" / name.replace("/", "∕").replace("..", ".x") / "noisy"
        source.mkdir(parents=True, exist_ok=True)
        request = TrainRequest(
            network="care-2d", name=f"model {number}", data=DataRequest(source=str(source), target=str(source)),
            authors=[name, "plain"],
        )  # fmt: skip
        job = client.submit(request)
        assert job.request == request.model_dump(mode="json")
        if number % 25 == 0:
            assert client.job(job.id).request["data"]["source"] == str(source)
            page = service.authorized("GET", f"/jobs/{job.id}")
            assert page[0] == 200
        checked += 1
    stored = {job.request["name"]: job for job in client.jobs(limit=1000) if job.kind == "train"}
    for number, name in enumerate(_odd_names(CASES)):
        assert stored[f"model {number}"].request["authors"] == [name, "plain"]
        assert Path(stored[f"model {number}"].request["data"]["source"]).is_dir()
    client.cancel(blocker.id)
    figure(record_property, "S9", f"{checked} odd names and paths through the HTTP interface unchanged")


def test_s9_a_worker_reads_what_was_sent(service: ServiceProcess, client: ServiceClient, tmp_path: Path) -> None:
    """All the way to the worker, which finds the folder and says with its name that it is empty."""
    for number, name in enumerate(("a]b \"c\" 'd'", "細胞 核", "line\nbreak", "100% [µm] é")):
        folder = tmp_path / name
        folder.mkdir()
        request = TrainRequest(
            network="care-2d", name=f"m{number}", data=DataRequest(source=str(folder), target=str(folder))
        )
        job = client.submit(request)
        wait_until((service.home.job(job.id) / "request.json").exists, 60, "the worker's request")
        assert read_json(service.home.job(job.id) / "request.json") == request.model_dump(mode="json")
        client.cancel(job.id)
        wait_for_end(client, job.id)
