"""The job store: transitions, order, what it forbids, and that it stays small."""

from __future__ import annotations

import sqlite3
import threading
from pathlib import Path

import pytest

from dl4fiji.errors import ConflictError, NotFoundError, SetupError
from dl4fiji.home import Home
from dl4fiji.jobs.job import DataRequest, JobState, SelfTestRequest, TrainRequest
from dl4fiji.jobs.schema import VERSION, Submission
from dl4fiji.jobs.store import JobStore


@pytest.fixture
def store(home: Home):
    """An empty store."""
    opened = JobStore(home.database)
    yield opened
    assert opened.integrity() == []
    opened.close()


def _train(name: str) -> TrainRequest:
    return TrainRequest(network="care-2d", name=name, data=DataRequest(source="/a", target="/b"))


def _started(store: JobStore) -> str:
    store.submit(SelfTestRequest(as_training=True), "test")
    job = store.take_next("training", "cpu")
    assert job is not None
    return job.id


def test_a_job_goes_through_its_states(store: JobStore) -> None:
    job = store.submit(SelfTestRequest(), "Self-test")
    assert (job.state, job.attempts, job.started, job.resumable) == (JobState.QUEUED, 0, None, False)
    taken = store.take_next("other", "cpu")
    assert taken is not None
    assert (taken.id, taken.state, taken.attempts, taken.device) == (job.id, JobState.RUNNING, 1, "cpu")
    assert taken.started is not None
    assert taken.started >= taken.created
    store.conclude(job.id, JobState.COMPLETE, exit_code=0, result={"steps": 3})
    done = store.get(job.id)
    assert (done.state, done.result, done.phase, done.resumable) == (JobState.COMPLETE, {"steps": 3}, "", False)
    states = [event.data["state"] for event in store.events(job.id) if event.type == "state"]
    assert states == ["QUEUED", "RUNNING", "COMPLETE"]


def test_lanes_have_queues_of_their_own(store: JobStore) -> None:
    first = store.submit(SelfTestRequest(as_training=True), "a")
    second = store.submit(SelfTestRequest(), "b")
    other, training = store.take_next("other", "cpu"), store.take_next("training", "cpu")
    assert other is not None
    assert training is not None
    assert (other.id, training.id) == (second.id, first.id)
    assert store.take_next("other", "cpu") is None


def test_oldest_first_and_newest_listed_first(store: JobStore) -> None:
    ids = [store.submit(SelfTestRequest(), str(number)).id for number in range(5)]
    assert [job.id for job in store.jobs()] == ids[::-1]
    assert [job.id for job in store.jobs(limit=2)] == ids[:2:-1]
    taken = store.take_next("other", "cpu")
    assert taken is not None
    assert taken.id == ids[0]
    assert [job.id for job in store.jobs([JobState.RUNNING])] == ids[:1]


def test_the_database_forbids_two_trainings_on_a_device(store: JobStore) -> None:
    _started(store)
    store.submit(SelfTestRequest(as_training=True), "second")
    with pytest.raises(sqlite3.IntegrityError):
        store.take_next("training", "cpu")
    assert len(store.running()) == 1
    assert store.take_next("training", "gpu:0") is not None


def test_one_active_job_per_model_name(store: JobStore) -> None:
    first = store.submit(_train("Nuclei"), "a", "Nuclei")
    with pytest.raises(ConflictError, match=first.id):
        store.submit(_train("nuclei"), "b", "nuclei")  # a file system may not tell them apart
    store.request_cancel(first.id)
    second = store.submit(_train("nuclei"), "b", "nuclei")
    with pytest.raises(ConflictError, match=second.id):
        store.resume(first.id)
    assert store.get(first.id).state is JobState.CANCELED


def test_a_conflict_in_a_batch_leaves_the_others(store: JobStore) -> None:
    submissions = [Submission(_train(name), name, name) for name in ("a", "b", "a", "c")]
    answers = store.submit_all(submissions)
    assert isinstance(answers[2], ConflictError)
    assert [job.title for job in reversed(store.jobs())] == ["a", "b", "c"]


def test_progress_is_kept_once(store: JobStore) -> None:
    job_id = _started(store)
    for step in range(1, 501):
        events = [("progress", {"done": step, "total": 500, "epoch": 1, "epochs": 2, "loss": 1 / step})]
        if step % 250 == 0:
            events.append(("epoch", {"epoch": step // 250, "loss": 0.5, "val_loss": 0.25}))
        store.record(job_id, events, offset=step * 10)
    job = store.get(job_id)
    assert (job.done, job.total, job.epoch, job.epochs, job.val_loss) == (500, 500, 2, 2, 0.25)
    kinds = [event.type for event in store.events(job_id)]
    assert kinds == ["state", "state", "epoch", "progress", "epoch"]
    assert store.running()[0].offset == 5000
    numbers = [event.number for event in store.events(job_id)]
    assert numbers[-1] == store.last_event(job_id) == 504
    assert [event.number for event in store.events(job_id, after=numbers[2])] == numbers[3:]


def test_numbers_that_json_lacks(store: JobStore) -> None:
    job_id = _started(store)
    nan, infinite = float("nan"), float("inf")
    store.record(job_id, [("epoch", {"epoch": 1, "loss": nan, "val_loss": infinite}), ("progress", {"loss": nan})], 1)
    job = store.get(job_id)
    assert (job.loss, job.val_loss) == (None, None)
    assert store.history(job_id) == {"epoch": [1], "loss": [None], "val_loss": [None]}
    assert job.model_dump_json()


def test_history_counts_a_repeated_epoch_once(store: JobStore) -> None:
    job_id = _started(store)
    rows = [{"epoch": 1, "loss": 3.0}, {"epoch": 2, "loss": 2.0}, {"epoch": 2, "loss": 1.5}, {"epoch": 3, "loss": 1.0}]
    store.record(job_id, [("epoch", row) for row in rows], 1)
    assert store.history(job_id) == {"epoch": [1, 2, 3], "loss": [3.0, 1.5, 1.0]}
    with pytest.raises(NotFoundError):
        store.history("none")


def test_what_the_worker_told_outlives_its_crash(store: JobStore) -> None:
    job_id = _started(store)
    store.record(
        job_id, [("result", {"model": "nuclei"}), ("warning", {"text": "few"}), ("warning", {"text": "few"})], 9
    )
    store.conclude(job_id, JobState.CRASHED, error="gone", exit_code=-9, log_tail=["a", "b"])
    job = store.get(job_id)
    assert (job.result, job.warnings, job.log_tail, job.exit_code) == ({"model": "nuclei"}, ["few"], ["a", "b"], -9)
    store.conclude(job_id, JobState.COMPLETE)  # comes too late and changes nothing
    assert store.get(job_id).state is JobState.CRASHED


def test_resume_goes_to_the_end_of_the_queue(store: JobStore) -> None:
    job_id = _started(store)
    later = store.submit(SelfTestRequest(as_training=True), "later")
    with pytest.raises(ConflictError, match="RUNNING"):
        store.resume(job_id)
    store.conclude(job_id, JobState.CRASHED, error="gone", exit_code=-9)
    resumed = store.resume(job_id)
    assert (resumed.state, resumed.error, resumed.exit_code, resumed.attempts) == (JobState.QUEUED, "", None, 1)
    first, second = store.take_next("training", "cpu"), store.take_next("training", "gpu:0")
    assert first is not None
    assert second is not None
    assert (first.id, second.id, second.attempts) == (later.id, job_id, 2)


def test_a_job_that_never_began_keeps_its_place(store: JobStore) -> None:
    job_id = _started(store)
    store.submit(SelfTestRequest(as_training=True), "later")
    store.requeue(job_id)
    job = store.take_next("training", "cpu")
    assert job is not None
    assert (job.id, job.attempts) == (job_id, 1)


def test_cancel_of_what_has_ended(store: JobStore) -> None:
    job = store.submit(SelfTestRequest(), "x")
    assert store.request_cancel(job.id).state is JobState.CANCELED
    with pytest.raises(ConflictError, match="CANCELED already"):
        store.request_cancel(job.id)
    with pytest.raises(NotFoundError):
        store.request_cancel("none")


def test_all_is_there_after_reopening(home: Home) -> None:
    store = JobStore(home.database)
    job = store.submit(_train("nuclei"), "Train", "nuclei")
    store.close()
    again = JobStore(home.database)
    assert again.get(job.id) == job
    active = again.active_model("NUCLEI")
    assert active is not None
    assert active.id == job.id
    again.close()


def test_durable_settings(store: JobStore, home: Home) -> None:
    other = sqlite3.connect(home.database)
    assert other.execute("PRAGMA journal_mode").fetchone()[0] == "wal"
    assert store._db.execute("PRAGMA synchronous").fetchone()[0] == 2
    other.close()


def test_threads_share_a_store(store: JobStore) -> None:
    taken: list[str] = []

    def submit() -> None:
        for _ in range(25):
            store.submit(SelfTestRequest(), "x")

    def take() -> None:
        while len(taken) < 100:
            job = store.take_next("other", "cpu")
            if job is not None:
                taken.append(job.id)

    threads = [threading.Thread(target=submit) for _ in range(4)] + [threading.Thread(target=take) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(taken)) == len(taken) == 100


def test_listeners_hear_of_committed_changes_only(home: Home) -> None:
    heard: list[str] = []
    store = JobStore(home.database, heard.append)
    job = store.submit(_train("a"), "a", "a")
    assert heard == [job.id]
    with pytest.raises(ConflictError):
        store.submit(_train("a"), "a", "a")
    assert heard == [job.id]
    store.close()


def test_a_damaged_store_is_told(home: Home) -> None:
    home.database.write_bytes(b"this is no database, but long enough to be looked at" * 50)
    with pytest.raises(SetupError, match=r"move it away"):
        JobStore(home.database)


def test_a_store_of_a_later_version_is_left_alone(home: Home) -> None:
    database = sqlite3.connect(home.database)
    database.execute(f"PRAGMA user_version = {VERSION + 1}")
    database.close()
    before = home.database.read_bytes()
    with pytest.raises(SetupError, match="later version"):
        JobStore(home.database)
    assert Path(home.database).read_bytes() == before
