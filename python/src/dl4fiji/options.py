"""Options: one pydantic model per network feeds dialog, macro, command line, web form and reference."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, ValidationError

from dl4fiji.errors import OptionError


def option(
    default: Any, help: str, *, unit: str = "", advanced: bool = False, architecture: bool = False, **limits: Any
) -> Any:
    """Declare an option: its default, one line of help, unit and limits (``ge``, ``le``, …).

    ``advanced`` options come below the usual ones in dialogs and forms. Those of the ``architecture`` say which
    layers the network has: weights fit only a network in which they are the same.
    """
    extra: dict[str, Any] = {"unit": unit, "advanced": advanced}
    if architecture:
        extra["architecture"] = True
    return Field(default, description=help, json_schema_extra=extra, **limits)


def architecture_options(model: type[Options]) -> list[str]:
    """Return the names of the options that say which layers the network has."""
    return [
        name
        for name, field in model.model_fields.items()
        if isinstance(field.json_schema_extra, dict) and field.json_schema_extra.get("architecture")
    ]


_LABELS = {
    "validation_percent": "Kept aside for validation",
    "reduce_lr_patience": "Learning-rate patience",
    "percentile_low": "Lower percentile",
    "percentile_high": "Upper percentile",
}
"""Labels where the option's name alone would not do."""


def label(name: str) -> str:
    """Return what an option is called in dialogs and reports."""
    return _LABELS.get(name) or name.replace("_", " ").capitalize()


def parse_size(value: Any) -> Any:
    """Turn ``"128"``, ``"128x128"``, ``"16, 64, 64"``, a number or a list into a tuple of whole numbers."""
    if isinstance(value, str):
        parts = [part for part in re.split(r"[x×,;\s]+", value.strip()) if part]
        if not parts or not all(part.isdecimal() for part in parts):
            raise ValueError("write a size as whole numbers such as 128 or 16x64x64")
        return tuple(int(part) for part in parts)
    if isinstance(value, int) and not isinstance(value, bool):
        return (value,)
    return value


Size = Annotated[
    tuple[int, ...],
    BeforeValidator(parse_size, json_schema_input_type=str),
    PlainSerializer(lambda size: "x".join(map(str, size)), return_type=str),
]
"""Numbers of pixels along the spatial axes, in the network's order (ZYX or YX); written as ``16x64x64``."""


class Options(BaseModel):
    """Base of all option models: unknown names are refused, values are never changed after checking."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True, use_attribute_docstrings=False)


class TrainingOptions(Options):
    """Options that every network has. A network narrows defaults and limits and adds its own."""

    epochs: int = option(100, "How often the training goes through its patches.", ge=1, le=100_000)
    steps_per_epoch: int = option(
        0, "Batches per epoch; 0 takes as many as there are patches.", ge=0, le=1_000_000, advanced=True
    )
    batch_size: int = option(16, "Patches that the network sees at a time; less needs less memory.", ge=1, le=4096)
    patch_size: Size = option((128, 128), "Size of a training patch along Y and X (ZYX for volumes).", unit="pixels")
    patches_per_image: int = option(50, "Patches drawn from each image per epoch.", ge=1, le=1_000_000)
    learning_rate: float = option(4e-4, "Step width of the optimiser at the start.", gt=0, le=1)
    validation_percent: int = option(10, "Share of the images kept aside to judge the training.", unit="%", ge=1, le=90)
    seed: int = option(
        42, "The same seed, data and machine give the same split and patches.", ge=0, le=2**31 - 1, advanced=True
    )
    patience: int = option(
        0,
        "Stop after so many epochs without a better validation loss; 0 never stops early.",
        ge=0,
        le=100_000,
        unit="epochs",
        advanced=True,
    )
    augmentation: bool = option(False, "Vary the patches by flips, rotations, intensity and deformation.")


def check_options(model: type[Options], values: dict[str, Any], what: str) -> Options:
    """Check ``values`` against ``model``.

    Raises
    ------
    OptionError
        With one sentence per wrong option, naming it, what was given and what is allowed.
    """
    try:
        return model.model_validate(values)
    except ValidationError as error:
        problems = [_sentence(model, finding, what) for finding in error.errors()]
        raise OptionError(problems[0], problems) from None


def _sentence(model: type[Options], finding: Any, what: str) -> str:
    """Put one of pydantic's findings into a sentence with its remedy."""
    name = ".".join(str(part) for part in finding["loc"] if not isinstance(part, int)) or "options"
    given = finding.get("input")
    if finding["type"] == "extra_forbidden":
        known = ", ".join(model.model_fields)
        return f"{what} has no option {name!r}: the options are {known}."
    if finding["type"] == "missing":
        return f"{what} needs the option {name!r}: give it a value."
    reason = finding["msg"].removeprefix("Value error, ").rstrip(".")
    reason = reason.removeprefix("Input should be ")
    if not finding["loc"] and finding["type"] == "value_error":
        return f"The options of {what} do not fit together: {reason}."
    if finding["type"] == "value_error":
        return f"The option {name!r} of {what} cannot be {given!r}: {reason}."
    return f"The option {name!r} of {what} is {given!r} but must be {reason}."
