"""Events: in order, none lost, none twice, however one listens."""

from __future__ import annotations

import threading
import time

import pytest

from dl4fiji.client import ServiceClient
from dl4fiji.errors import ServiceError
from dl4fiji.home import Home
from dl4fiji.jobs.job import SelfTestRequest
from serving import ServiceProcess, end_workers, wait_for_end, wait_until


def _epochs(events: list[dict]) -> list[int]:
    return [event["data"]["epoch"] for event in events if event["type"] == "epoch"]


def test_following_to_the_end(client: ServiceClient) -> None:
    job = client.submit(SelfTestRequest(seconds=1, steps=20, epochs=5))
    events = list(client.follow(job.id))
    assert _epochs(events) == [1, 2, 3, 4, 5]
    assert [event["data"]["state"] for event in events if event["type"] == "state"] == ["QUEUED", "RUNNING", "COMPLETE"]
    assert events[-1]["type"] == "state"
    numbers = [event["id"] for event in events]
    assert numbers == sorted(set(numbers))
    assert list(client.follow(job.id, after=numbers[-1])) == []
    assert _epochs(list(client.follow(job.id))) == [1, 2, 3, 4, 5], "later listeners are told the same"


def test_events_come_when_they_happen(client: ServiceClient) -> None:
    job = client.submit(SelfTestRequest(seconds=2, steps=10, epochs=10))
    arrivals = [time.monotonic() for event in client.follow(job.id) if event["type"] == "epoch"]
    assert len(arrivals) == 10
    assert arrivals[-1] - arrivals[0] > 1.0, "they must not come all at the end"


def test_polling_with_and_without_patience(client: ServiceClient) -> None:
    job = client.submit(SelfTestRequest(seconds=1, steps=10, epochs=2))
    seen, last = [], 0
    while True:
        events = client.events(job.id, after=last, wait=10)
        if not events:
            break
        seen += events
        last = events[-1]["id"]
    assert _epochs(seen) == [1, 2]
    assert seen[-1]["data"]["state"] == "COMPLETE"
    began = time.monotonic()
    assert client.events(job.id, after=last, wait=10) == [], "after the end nothing is waited for"
    assert client.events(job.id, after=last) == []
    assert time.monotonic() - began < 2


def test_last_event_id_goes_on(service: ServiceProcess, client: ServiceClient) -> None:
    job = wait_for_end(client, client.submit(SelfTestRequest(seconds=0.2, epochs=3)).id)
    status, headers, body = service.authorized("GET", f"/api/v1/jobs/{job.id}/events", **{"Last-Event-ID": "3"})
    assert status == 200
    assert headers["content-type"].startswith("text/event-stream")
    first = next(line for line in body.decode().splitlines() if line.startswith("id: "))
    assert int(first[4:]) > 3


def test_following_survives_a_restart_of_the_service(service: ServiceProcess) -> None:
    events: list[dict] = []
    with service.client() as client:
        job = client.submit(SelfTestRequest(seconds=6, steps=60, epochs=12))

        def follow() -> None:
            with service.client() as follower:
                events.extend(follower.follow(job.id))

        thread = threading.Thread(target=follow)
        thread.start()
        wait_until(lambda: len(_epochs(events)) >= 0 and client.job(job.id).epoch >= 3, 30, "three epochs")
    service.kill()
    again = ServiceProcess(service.home).start()
    try:
        thread.join(timeout=60)
        assert not thread.is_alive()
        assert _epochs(events) == list(range(1, 13))
        assert events[-1]["data"]["state"] == "COMPLETE"
    finally:
        again.stop()
        end_workers(service.home)


def test_many_listeners_hear_the_same(service: ServiceProcess, client: ServiceClient) -> None:
    job = client.submit(SelfTestRequest(seconds=1.5, steps=15, epochs=5))
    heard: list[list[int]] = []

    def listen() -> None:
        with service.client() as listener:
            heard.append(_epochs(list(listener.follow(job.id))))

    threads = [threading.Thread(target=listen) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert heard == [[1, 2, 3, 4, 5]] * 12


def test_stopping_the_service_lets_listeners_go(service: ServiceProcess, client: ServiceClient) -> None:
    job = client.submit(SelfTestRequest(seconds=20, steps=200))
    stream = client.follow(job.id)
    next(stream)
    with service.client() as other:
        began = time.monotonic()
        other.stop()
        assert time.monotonic() - began < 6
    stream.close()


def test_no_service_is_told(home: Home) -> None:
    with pytest.raises(ServiceError, match="dl4fiji service start"):
        ServiceClient.connect(home, start=False)
    gone = ServiceClient(home, "http://127.0.0.1:9", "x")
    with pytest.raises(ServiceError, match="does not answer"):
        gone.health()
