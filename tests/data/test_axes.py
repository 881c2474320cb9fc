from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dl4fiji.data.axes import check_axes, move_axes
from dl4fiji.errors import DataError


@pytest.mark.parametrize(("axes", "expected"), [("yx", "YX"), (" ZYX ", "ZYX"), ("YXS", "YXC"), ("TZCYX", "TZCYX")])
def test_axes_are_read_leniently(axes, expected):
    assert check_axes(axes, len(expected)) == expected


@pytest.mark.parametrize(
    ("axes", "ndim", "words"),
    [
        ("QYX", 3, "not understood"),
        ("YYX", 3, "twice"),
        ("ZX", 2, "lack Y or X"),
        ("ZYX", 2, "3 dimensions"),
        ("", 0, "lack"),
    ],
)
def test_wrong_axes_are_explained(axes, ndim, words):
    with pytest.raises(DataError, match=words) as caught:
        check_axes(axes, ndim)
    assert "such as ZYX" in caught.value.message


@given(st.permutations("TZCYX"), st.permutations("TZCYX"))
def test_moving_forth_and_back_is_exact(first, second):
    array = np.arange(2 * 3 * 4 * 5 * 6).reshape(2, 3, 4, 5, 6)
    there = move_axes(array, "".join(first), "".join(second))
    assert there.shape == tuple(array.shape[first.index(axis)] for axis in second)
    assert np.array_equal(move_axes(there, "".join(second), "".join(first)), array)


def test_axes_of_length_one_come_and_go():
    array = np.zeros((1, 4, 5))
    assert move_axes(array, "ZYX", "YXC").shape == (4, 5, 1)
    assert move_axes(array, "ZYX", "TZCYX").shape == (1, 1, 1, 4, 5)


def test_pixels_are_never_lost():
    with pytest.raises(DataError, match=r"3 slices \(Z\)"):
        move_axes(np.zeros((3, 4, 5)), "ZYX", "YXC")
