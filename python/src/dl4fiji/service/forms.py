"""The form of a training, made from a network's options as dialogs and command line are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dl4fiji.network import Network


@dataclass(frozen=True)
class OptionField:
    """One input of the form."""

    name: str
    label: str
    help: str
    kind: str
    """``number``, ``text``, ``checkbox`` or ``select``."""
    value: str
    default: str
    unit: str
    choices: tuple[str, ...]
    attributes: dict[str, str]


@dataclass(frozen=True)
class Form:
    """What a browser sent: plain fields, and the options without those left as they were."""

    fields: dict[str, str]
    options: dict[str, str | bool]

    @classmethod
    def read(cls, given: dict[str, str]) -> Form:
        """Take a form's values apart; an unticked box sends nothing but its companion ``box.<name>``."""
        fields = {name: value.strip() for name, value in given.items() if "." not in name}
        options: dict[str, str | bool] = {
            name.removeprefix("option."): value.strip()
            for name, value in given.items()
            if name.startswith("option.") and value.strip()
        }
        for name in given:
            if name.startswith("box."):
                option = name.removeprefix("box.")
                options[option] = f"option.{option}" in given
        return cls(fields, options)


def changed(network: Network, options: dict[str, str | bool]) -> dict[str, str | bool]:
    """Return the options that are not as the form offered them: only those count as given by the user."""
    fields = {field.name: field for part in option_fields(network, {}) for field in part}

    def as_offered(name: str, value: str | bool) -> bool:
        if isinstance(value, bool):
            return value == bool(fields[name].value)
        return value == fields[name].value

    return {name: value for name, value in options.items() if name not in fields or not as_offered(name, value)}


def option_fields(network: Network, given: dict[str, str]) -> tuple[list[OptionField], list[OptionField]]:
    """Return the inputs for the usual and for the advanced options, filled with what was given before."""
    schema = network.Options.model_json_schema(mode="serialization")
    fields: tuple[list[OptionField], list[OptionField]] = ([], [])
    for name, entry in schema["properties"].items():
        fields[bool(entry.get("advanced"))].append(_field(name, entry, given))
    return fields


def _field(name: str, entry: dict[str, Any], given: dict[str, str]) -> OptionField:
    default, choices = entry.get("default"), tuple(map(str, entry.get("enum", ())))
    if entry.get("type") == "boolean":
        kind = "checkbox"
        ticked = f"option.{name}" in given if f"box.{name}" in given else bool(default)
        value = "true" if ticked else ""
    else:
        kind = "select" if choices else "number" if entry.get("type") in ("integer", "number") else "text"
        value = given.get(f"option.{name}", "" if default is None else str(default))
    return OptionField(
        name, name.replace("_", " ").capitalize(), entry.get("description", ""), kind, value,
        "" if default is None else str(default), entry.get("unit", ""), choices, _limits(entry),
    )  # fmt: skip


def _limits(entry: dict[str, Any]) -> dict[str, str]:
    """Return the attributes by which a browser checks a number."""
    limits = {"min": entry.get("minimum"), "max": entry.get("maximum")}
    attributes = {name: str(value) for name, value in limits.items() if value is not None}
    if entry.get("type") == "integer":
        attributes["step"] = "1"
    elif entry.get("type") == "number":
        attributes["step"] = "any"
    return attributes
