"""Batches made ahead: order, bound, errors, end."""

from __future__ import annotations

import threading
import time

import pytest

from dl4fiji.training.prefetch import Prefetcher


def test_items_come_in_order_from_one_thread() -> None:
    threads = set()

    def make(step: int) -> int:
        threads.add(threading.get_ident())
        return step * step

    with Prefetcher(make, 50) as items:
        assert list(items) == [step * step for step in range(50)]
    assert len(threads) == 1
    assert threads != {threading.get_ident()}


def test_only_a_few_are_made_ahead() -> None:
    made: list[int] = []

    def make(step: int) -> int:
        made.append(step)
        return step

    with Prefetcher(make, 1000, ahead=3) as items:
        iterator = iter(items)
        next(iterator)
        time.sleep(0.3)
        assert len(made) <= 5  # taken, three waiting, one in the making
    time.sleep(0.2)
    assert len(made) <= 6


def test_error_arrives_where_its_item_would() -> None:
    def make(step: int) -> int:
        if step == 3:
            raise OSError("disk gone")
        return step

    got = []
    with Prefetcher(make, 10) as items, pytest.raises(OSError, match="disk gone"):
        for item in items:
            got.append(item)
    assert got == [0, 1, 2]


def test_thread_ends_when_the_user_of_the_items_fails() -> None:
    before = threading.active_count()
    with pytest.raises(KeyError), Prefetcher(lambda step: step, 1000, ahead=2) as items:
        for item in items:
            if item == 5:
                raise KeyError(item)
    assert threading.active_count() == before


def test_no_steps_no_items() -> None:
    with Prefetcher(lambda step: step, 0) as items:
        assert list(items) == []
