"""Options are checked in one place, and each finding is a sentence."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dl4fiji.errors import OptionError
from dl4fiji.options import TrainingOptions, check_options


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"epochs": 0}, "'epochs' of CARE 2D is 0 but must be"),
        ({"epochs": "many"}, "'epochs' of CARE 2D is 'many' but must be"),
        ({"epoch": 3}, "CARE 2D has no option 'epoch': the options are epochs,"),
        ({"patch_size": "big"}, "write a size as whole numbers such as 128 or 16x64x64"),
        ({"learning_rate": -1}, "'learning_rate' of CARE 2D is -1 but must be"),
        ({"augmentation": "perhaps"}, "'augmentation' of CARE 2D is 'perhaps' but must be"),
    ],
)
def test_a_wrong_option_is_named_with_what_is_allowed(values: dict[str, Any], sentence: str) -> None:
    with pytest.raises(OptionError) as caught:
        check_options(TrainingOptions, values, "CARE 2D")
    assert sentence in caught.value.message
    assert "\n" not in caught.value.message


def test_all_findings_are_told() -> None:
    with pytest.raises(OptionError) as caught:
        check_options(TrainingOptions, {"epochs": 0, "batch_size": 0, "colour": "red"}, "CARE 2D")
    assert len(caught.value.problems) == 3


@pytest.mark.parametrize("text", ["16x64x64", "16, 64, 64", "16;64;64", "16×64×64", [16, 64, 64], (16, 64, 64)])
def test_sizes_are_read_as_people_write_them(text: Any) -> None:
    assert check_options(TrainingOptions, {"patch_size": text}, "x").patch_size == (16, 64, 64)


@given(st.lists(st.integers(1, 4096), min_size=1, max_size=3))
def test_sizes_survive_writing_and_reading(size: list[int]) -> None:
    options = TrainingOptions(patch_size=tuple(size))
    assert TrainingOptions.model_validate(options.model_dump(mode="json")) == options
