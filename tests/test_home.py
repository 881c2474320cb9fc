"""Names that become folders, and the home itself."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dl4fiji.errors import InputError
from dl4fiji.home import Home, check_name


@pytest.mark.parametrize("name", ["nuclei", "CARE 2D (new)", "日本語", "Müller+v1.2", "a" * 100, "3"])
def test_good_names_pass(name: str) -> None:
    assert check_name(name) == name


@pytest.mark.parametrize(
    "name",
    [
        "",
        " ",
        ".",
        "..",
        "../x",
        "a/b",
        "a\\b",
        "/abs",
        "C:",
        "con",
        "NUL.txt",
        "lpt1",
        "a..b",
        "a.",
        "-a",
        "a\nb",
        "a\0b",
        "a" * 101,
        "a:b",
        'a"b',
        "a]b",
        "~",
    ],
)
def test_bad_names_get_the_remedy(name: str) -> None:
    with pytest.raises(InputError, match="use up to 100 letters"):
        check_name(name)


@given(st.text(max_size=40))
def test_whatever_passes_stays_in_its_folder(name: str) -> None:
    home = Home(Path("/home-of-test"))
    try:
        folder = home.model(name)
    except InputError:
        return
    assert folder.parent == home.models
    assert folder.resolve().parent == home.models.resolve()


@given(st.text(max_size=40))
def test_job_ids_stay_in_their_folder(job_id: str) -> None:
    home = Home(Path("/home-of-test"))
    try:
        folder = home.job(job_id)
    except InputError:
        return
    assert folder.resolve().parent == home.jobs.resolve()


def test_the_home_is_readable_by_its_user_alone(home: Home) -> None:
    assert stat.S_IMODE(home.root.stat().st_mode) == 0o700
    assert stat.S_IMODE(home.jobs.stat().st_mode) == 0o700
