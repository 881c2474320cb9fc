"""Renders ``docs/reference.md`` from the networks' options: ``python -m dl4fiji.reference [--check] FILE``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from pydantic.fields import FieldInfo

from dl4fiji.files import write_text
from dl4fiji.network import Network
from dl4fiji.networks import NETWORKS

_HEAD = """# Reference

Rendered from the networks' `Options` by `make scripts`; do not edit.

Each network is a command in *Plugins ▸ DL4Fiji ▸ Train*, a macro command `run("TITLE", "…")`, and
`dl4fiji train NAME`. The options below have the same names, defaults and limits everywhere.
"""


def render() -> str:
    """Return the reference page as Markdown."""
    return "\n".join([_HEAD, *(_section(network) for network in NETWORKS)])


def _section(network: Network) -> str:
    rows = ["| Option | Default | Allowed | Meaning |", "|---|---|---|---|"]
    fields = sorted(network.Options.model_fields.items(), key=lambda item: _extra(item[1]).get("advanced", False))
    rows += [_row(name, field) for name, field in fields]
    cited = [f"- {citation.text}" + (f" doi:{citation.doi}" if citation.doi else "") for citation in network.citations]
    head = [f"## {network.title} (`{network.name}`)", "", network.description, ""]
    return "\n".join([*head, *rows, "", "To cite:", "", *cited, ""])


def _extra(field: FieldInfo) -> dict[str, Any]:
    return field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}


def _row(name: str, field: FieldInfo) -> str:
    default = field.get_default(call_default_factory=True)
    shown = "x".join(map(str, default)) if isinstance(default, tuple) else str(default).lower()
    shown = default if isinstance(default, str) else shown
    unit = _extra(field).get("unit", "")
    return f"| `{name}` | {shown}{' ' + unit if unit else ''} | {_allowed(field, default)} | {field.description} |"


def _allowed(field: FieldInfo, default: Any) -> str:
    """Say the limits in a few signs."""
    if isinstance(default, bool):
        return "true, false"
    signs = {"Ge": ("ge", "≥"), "Gt": ("gt", ">"), "Le": ("le", "≤"), "Lt": ("lt", "<")}
    limits = []
    for constraint in field.metadata:
        attribute, sign = signs.get(type(constraint).__name__, ("", ""))
        if attribute:
            limits.append(f"{sign} {getattr(constraint, attribute):g}")
    choices = getattr(field.annotation, "__args__", ())
    if not limits and choices and all(isinstance(choice, str) for choice in choices):
        return ", ".join(choices)
    return ", ".join(limits)


def main(arguments: list[str]) -> int:
    """Write the page, or with ``--check`` tell whether it is up to date."""
    target = Path(arguments[-1])
    fresh = render()
    if "--check" not in arguments:
        write_text(target, fresh)
        return 0
    if target.is_file() and target.read_text(encoding="utf-8") == fresh:
        return 0
    sys.stderr.write(f"{target} is stale: run make scripts\n")
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
