"""The worker, as a real process on a real folder."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time

import pytest

from dl4fiji.errors import InputError
from dl4fiji.files import read_json
from dl4fiji.home import Home
from dl4fiji.jobs import failures, lock
from dl4fiji.jobs.files import JobFiles
from dl4fiji.jobs.job import PredictRequest, SelfTestRequest
from dl4fiji.jobs.reporting import StampedStream, WorkerProgress


@pytest.fixture
def files(home: Home) -> JobFiles:
    """The folder of a job."""
    return JobFiles(home.job("20260101-000000-aaaaaa"))


def _work(files: JobFiles, request, attempt: int = 1) -> int:
    files.prepare(request.model_dump(mode="json"))
    with files.log.open("ab") as log:
        command = [sys.executable, "-m", "dl4fiji.jobs.worker", str(files.folder), "--attempt", str(attempt)]
        return subprocess.run(command, stdout=log, stderr=log, timeout=60, check=False).returncode


def test_a_job_leaves_its_result(files: JobFiles) -> None:
    assert _work(files, SelfTestRequest(seconds=0.1, epochs=2)) == 0
    outcome = files.outcome(1)
    assert outcome is not None
    assert (outcome["state"], outcome["error"]) == ("COMPLETE", "")
    assert files.outcome(2) is None, "the result of another attempt is no result"
    events, offset = files.new_events(0)
    assert offset == files.events.stat().st_size
    assert [data["epoch"] for kind, data in events if kind == "epoch"] == [1, 2]
    assert not lock.held(files.lock)
    assert read_json(files.request)["kind"] == "selftest"
    lines = files.log.read_text(encoding="utf-8").splitlines()
    assert all(re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d ", line) for line in lines)


@pytest.mark.parametrize(
    ("fail", "sentence"),
    [
        ("input", "asked to fail"),
        ("unexpected", "failed unexpectedly (ValueError: the self-test was asked to fail): see its log, "),
        ("memory", "smaller batch size"),
        ("disk", "is full"),
    ],
)
def test_failures_become_one_sentence(files: JobFiles, fail: str, sentence: str) -> None:
    assert _work(files, SelfTestRequest(seconds=0.1, fail=fail)) == 0
    outcome = files.outcome(1)
    assert outcome is not None
    assert outcome["state"] == "FAILED"
    assert sentence in outcome["error"]
    assert "\n" not in outcome["error"]
    assert "Traceback" not in outcome["error"]
    assert "Traceback" in files.log.read_text(encoding="utf-8")


def test_a_missing_model_is_told(files: JobFiles) -> None:
    assert _work(files, PredictRequest(model="none", source="/")) == 0
    outcome = files.outcome(1)
    assert outcome is not None
    assert outcome["error"].startswith("There is no model 'none'")


def test_two_workers_never_share_a_job(files: JobFiles) -> None:
    files.prepare(SelfTestRequest(seconds=20, steps=200).model_dump(mode="json"))
    command = [sys.executable, "-m", "dl4fiji.jobs.worker", str(files.folder), "--attempt", "1"]
    with files.log.open("ab") as log:
        first = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            while not lock.held(files.lock):
                time.sleep(0.02)
            assert subprocess.run(command, stdout=log, stderr=log, check=False).returncode == failures.EXIT_LOCKED
        finally:
            first.kill()
            first.wait()
    assert not lock.held(files.lock), "the system drops the lock with its process"


def test_what_a_worker_starts_does_not_keep_its_lock(home: Home, files: JobFiles) -> None:
    """An engine that outlives a killed worker must not look like a living worker."""
    files.folder.mkdir(parents=True)
    program = (
        "import os, subprocess, sys, time\n"
        "from dl4fiji.jobs import lock\n"
        f"descriptor = lock.take(__import__('pathlib').Path({str(files.lock)!r}))\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(30)'],\n"
        "    close_fds=False, stdin=-3, stdout=-3, stderr=-3)\n"
        "print(child.pid, flush=True)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, check=True)
    child = int(done.stdout)
    try:
        assert not lock.held(files.lock)
    finally:
        os.kill(child, 9)


def test_half_a_line_is_left_for_later_or_passed_over(files: JobFiles) -> None:
    files.folder.mkdir(parents=True)
    files.events.write_bytes(b'{"type": "phase", "data": {"text": "a"}}\n{"type": "pro')
    events, offset = files.new_events(0)
    assert [kind for kind, _ in events] == ["phase"]
    assert files.new_events(offset) == ([], offset)
    WorkerProgress(files).phase("b")  # the next attempt writes on
    later, end = files.new_events(offset)
    assert later == [("phase", {"text": "b"})]
    assert end == files.events.stat().st_size


def test_progress_is_told_a_few_times_per_second(files: JobFiles) -> None:
    files.folder.mkdir(parents=True)
    progress = WorkerProgress(files)
    for step in range(1, 20_001):
        progress.update(step, 20_000, loss=float("nan"))
    events, _ = files.new_events(0)
    assert len(events) <= 10
    assert events[-1] == ("progress", {"done": 20_000, "total": 20_000, "loss": None, "seconds_left": 0.0})
    assert all(json.loads(line) for line in files.events.read_text(encoding="utf-8").splitlines())


def test_log_lines_that_are_redrawn(tmp_path) -> None:
    path = tmp_path / "log.txt"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT)
    stream = StampedStream(descriptor)
    stream.write("10%\r50%\r100%\nbroken \udcff name\nno end")
    stream.close_line()
    os.close(descriptor)
    lines = [line[20:] for line in path.read_text(encoding="utf-8").splitlines()]
    assert lines == ["100%", "broken \\udcff name", "no end"]


def test_sentences_of_failures(tmp_path) -> None:
    log = tmp_path / "log.txt"
    assert failures.sentence(InputError("Mend it."), log) == "Mend it."
    assert "smaller" in failures.sentence(MemoryError(), log)
    assert "smaller" in failures.sentence(RuntimeError("CUDA: out of memory"), log)
    exhausted = type("ResourceExhaustedError", (Exception,), {})
    assert "smaller" in failures.sentence(exhausted("OOM"), log)
    assert "MiB free" in failures.sentence(OSError(28, "No space left on device"), log)
    assert "MiB free" in failures.sentence(RuntimeError("write: No space left on device"), log)
    assert "/x/y" in failures.sentence(PermissionError(13, "denied", "/x/y"), log)
    long = failures.sentence(ValueError("a\nb" * 500), log)
    assert "\n" not in long
    assert len(long) < 400
    assert str(log) in long
    assert "SIGKILL" in failures.crash(-9)
    assert "SIGSEGV" in failures.crash(-11)
    assert "exit code 1" in failures.crash(1)
    assert "gone" in failures.crash(None)
