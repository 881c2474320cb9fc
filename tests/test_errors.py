"""The errors' tree and their form on the wire."""

from __future__ import annotations

import inspect

from dl4fiji import errors


def test_the_tree_in_the_docstring_is_the_real_one() -> None:
    classes = [c for _, c in inspect.getmembers(errors, inspect.isclass) if issubclass(c, errors.DL4FijiError)]
    assert len(classes) > 8
    for error in classes:
        line = next(
            line for line in (errors.__doc__ or "").splitlines() if f" {error.__name__}" in f" {line.strip('│├└─ ')}"
        )
        if error is not errors.DL4FijiError:
            assert str(error.status) in line, f"{error.__name__} has status {error.status}"


def test_problem_details_follow_the_rfc() -> None:
    problem = errors.DataError("b.tif has no partner: add it.", ["b.tif has no partner: add it.", "c"]).problem()
    assert problem == {
        "type": "urn:dl4fiji:problem:invalid-data",
        "title": "invalid data",
        "status": 400,
        "detail": "b.tif has no partner: add it.",
        "problems": ["b.tif has no partner: add it.", "c"],
    }


def test_a_crash_carries_exit_code_and_log() -> None:
    error = errors.WorkerError("The worker was killed.", -9, ["last line"])
    assert (error.exit_code, error.log_tail) == (-9, ["last line"])
