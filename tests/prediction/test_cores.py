"""Tiles are as small as the memory wants, and as large as a network that looks far needs."""

from __future__ import annotations

import math

from hypothesis import given, settings
from hypothesis import strategies as st

from dl4fiji.prediction.cores import WASTE, choose_core
from dl4fiji.prediction.tiling import overread, plan, reads


@given(
    shape=st.lists(st.integers(1, 3000), min_size=2, max_size=3),
    budget=st.integers(20_000, 10**7),
    halo=st.sampled_from([0, 8, 24]),
)
@settings(max_examples=200, deadline=None)
def test_cores_respect_the_budget(shape: list[int], budget: int, halo: int) -> None:
    divisor, halos = [4] * len(shape), [halo] * len(shape)
    core = choose_core(shape, divisor, halos, budget)
    spans = [reads(size, length, 4, halo) for size, length in zip(shape, core, strict=True)]
    largest = math.prod(int((stops - starts).max()) for starts, stops in spans)
    smallest = math.prod(min(4 + 2 * halo, -(-size // 4) * 4) for size in shape)
    assert largest <= max(budget, smallest)
    assert all(length % 4 == 0 for length in core)


def test_a_network_that_looks_far_is_given_larger_tiles() -> None:
    """StarDist 3D sees 56 pixels far: the smallest tiles that fit would show each pixel of a volume 1 578 times."""
    shape, divisor, halo, budget = (100, 100, 100), (4, 8, 8), (28, 56, 56), 652_809
    tight = plan(shape, choose_core(shape, divisor, halo, budget), divisor, halo)
    assert overread(shape, tight) < 20  # the best of those that fit
    roomy = plan(shape, choose_core(shape, divisor, halo, budget, most=4_000_000), divisor, halo)
    assert overread(shape, roomy) <= WASTE * (104 * 104) / (100 * 100)


@given(
    shape=st.lists(st.integers(16, 600), min_size=2, max_size=3),
    halo=st.sampled_from([0, 8, 24, 56]),
    budget=st.integers(20_000, 10**6),
)
@settings(max_examples=100, deadline=None)
def test_no_more_memory_is_taken_than_it_is_worth(shape: list[int], halo: int, budget: int) -> None:
    divisor, halos, most = [8] * len(shape), [halo] * len(shape), 4 * budget
    usual = plan(shape, choose_core(shape, divisor, halos, budget), divisor, halos)
    chosen = plan(shape, choose_core(shape, divisor, halos, budget, most=most), divisor, halos)
    assert overread(shape, chosen) <= overread(shape, usual)
    ends = math.prod(-(-size // 8) * 8 for size in shape) / math.prod(shape)
    if overread(shape, usual) <= WASTE * ends:
        assert chosen == usual


def test_the_smallest_tile_is_taken_where_none_fits() -> None:
    assert choose_core([17, 17, 57], [4] * 3, [24] * 3, 1000)[2] == 4


def test_the_size_is_found_soon_in_a_large_volume() -> None:
    """The tiles themselves would be half a million here, too many to make only to count them."""
    shape, divisor, halo = (2048, 2048, 2048), (4, 8, 8), (28, 56, 56)
    core = choose_core(shape, divisor, halo, 652_809, most=10**7)
    assert 1 < overread(shape, plan(shape, core, divisor, halo)) <= 5  # the usual tiles: more than 1 000


def test_a_size_that_was_asked_for_is_taken() -> None:
    assert choose_core([40, 1000, 1000], [4, 4, 4], [8, 8, 8], 10**9, (0, 130, 130)) == (40, 132, 132)
