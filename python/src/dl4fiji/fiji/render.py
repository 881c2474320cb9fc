"""Renders the menu scripts of the networks from their options: ``python -m dl4fiji.fiji.render [--check]``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, get_args

from pydantic.fields import FieldInfo

from dl4fiji.fiji.scripts import scripts_folder
from dl4fiji.files import write_text
from dl4fiji.network import Network
from dl4fiji.networks import NETWORKS
from dl4fiji.options import label as label_of

_FOLDER = Path("Plugins/DL4Fiji/Train")
_HEAD = """\
// Rendered from the options of {title} by `make scripts`; do not edit.
//
// The inputs are AtomicReferences because SciJava turns anything into one (text, numbers, truth values) and has no
// widget for it: so it shows no dialog of its own before ours, which proposes open images and says at once what will
// happen. In a macro: run("{title}", "source=[/data/{source}]{target} epochs=50 name=[my model]");
"""
_DATA = (
    ("source", "Source (noisy)", "image", "", "Noisy or blurred images: an open image, a file or a folder.", False),
    (
        "target",
        "Target (clean)",
        "image",
        "",
        "The same fields, clean: an open image, a file, or a folder with the same file names.",
        False,
    ),
    ("name", "Name of the model", "text", "", "Empty: made from the source's name.", False),
)
_MORE_DATA = (
    (
        "validation_source",
        "Validation source",
        "image",
        "",
        "Images to judge the training by; empty: some of the source are kept aside.",
        True,
    ),
    ("validation_target", "Validation target", "image", "", "The clean images for the validation source.", True),
    ("axes", "Axes of the files", "text", "", "E.g. ZYX or TYX; empty: as the files say.", True),
    (
        "start_from",
        "Start from",
        "path",
        "",
        "A model to go on from: its name here, or the path or web address (https://...#sha256=...) of a model folder, "
        "zip or package; also of csbdeep, n2v, stardist.",
        True,
    ),
    ("authors", "Authors", "text", "", "Names for the exported model, separated by semicolons.", True),
    (
        "preview",
        "Preview",
        "hidden",
        "",
        "In macros: a PNG file to write nine training patches with their targets to; nothing is trained then.",
        True,
    ),
)
_DRAWN = "the overlay of an open image, or the ROI Manager"
_TARGETS: dict[str, dict[str, tuple[str, str, str]]] = {
    "segmentation": {
        "source": ("Images", "image", "Images to be segmented: an open image, a file or a folder."),
        "target": (
            "Masks",
            "labels",
            f"The masks of the images: an open image, a file, a folder with the same file names, {_DRAWN}.",
        ),
        "validation_target": ("Validation masks", "labels", "The masks of the validation source."),
    },
    "instances": {
        "source": ("Images", "image", "Images with objects: an open image, a file or a folder."),
        "target": (
            "Labels",
            "labels",
            f"Labels of the objects: an open image, a file, a folder of label images or ROI sets, {_DRAWN}.",
        ),
        "validation_target": ("Validation labels", "labels", "The labels of the validation source."),
    },
}
"""Label, kind and help of inputs of networks that learn from masks or labels, by their task."""
_WAIT = (
    "wait",
    "Wait until the end",
    "boolean",
    "true",
    "Off: the command ends at once and the training goes on; Jobs > Monitor Job shows it.",
    False,
)
_TAKEN_COMMANDS = frozenset({"StarDist 2D", "StarDist 3D"})
"""Titles that are commands of other plugins, or may be beside one: of two with a name, a macro gets but one."""
_OUTPUTS = ("job", "state", "model", "folder", "error")
_CALL = """
def library = System.getProperty('dl4fiji.library') ?: "${{ij.IJ.getDirectory('imagej')}}dl4fiji"
new GroovyShell(getClass().classLoader).evaluate(new File(library, 'load.groovy'))
    .train(this, {name}, {title}, {description})
"""


def command(network: Network) -> str:
    """Return the network's command in Fiji, as menu and macros name it: its title unless another plugin has that."""
    return f"DL4Fiji {network.title}" if network.title in _TAKEN_COMMANDS else network.title


def render_network(network: Network) -> str:
    """Return the menu script of ``network``.

    Raises
    ------
    ValueError
        If one of its options has the name of an input that all networks have.
    """
    common = {row[0] for row in (*_DATA, *_MORE_DATA, _WAIT)}
    taken = sorted(common & set(network.Options.model_fields))
    if taken:
        raise ValueError(f"{network.name} has options that are inputs of every network: {', '.join(taken)}")
    usual, advanced = [], []
    for name, field in network.Options.model_fields.items():
        (advanced if _extra(field).get("advanced") else usual).append(_option(name, field))
    paired = network.data_form == "paired"
    data, more = (
        [_input(*_told(row, network)) for row in rows if paired or not row[0].endswith("target")]
        for rows in (_DATA, _MORE_DATA)
    )
    lines = [*data, *usual, _input(*_WAIT), *advanced, *more]
    lines += [f"#@output String {name}" for name in _OUTPUTS]
    texts = {"name": network.name, "title": command(network), "description": network.description}
    texts = {key: _groovy(text) for key, text in texts.items()}
    source, target = (
        ("images", _TARGETS[network.task]["target"][0].lower()) if network.task in _TARGETS else ("noisy", "clean")
    )
    head = _HEAD.format(title=command(network), source=source, target=f" target=[/data/{target}]" if paired else "")
    return head + "\n".join(lines) + "\n" + _CALL.format(**texts)


def render() -> dict[Path, str]:
    """Return the text of each rendered script by its path below ``fiji-scripts``."""
    return {_FOLDER / f"{command(network).replace(' ', '_')}.groovy": render_network(network) for network in NETWORKS}


def _told(row: tuple[str, str, str, str, str, bool], network: Network) -> tuple[str, str, str, str, str, bool]:
    """Return the row of an input as it is called where networks learn from masks or labels."""
    name, label, kind, fallback, help, advanced = row
    label, kind, help = _TARGETS.get(network.task, {}).get(name, (label, kind, help))
    return name, label, kind, fallback, help, advanced


def _extra(field: FieldInfo) -> dict[str, Any]:
    return field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}


def _option(name: str, field: FieldInfo) -> str:
    default = field.get_default(call_default_factory=True)
    extra = _extra(field)
    choices = [str(choice) for choice in get_args(field.annotation)] if isinstance(default, str) else []
    kind = "choice" if choices else _kind(default)
    return _input(
        name,
        label_of(name),
        kind,
        _text(default),
        str(field.description),
        bool(extra.get("advanced")),
        unit=str(extra.get("unit", "")),
        choices=choices,
    )


def _kind(default: Any) -> str:
    """Return the kind of input for values like ``default``; a size is text such as 128x128."""
    if isinstance(default, bool):
        return "boolean"
    if isinstance(default, int):
        return "integer"
    return "number" if isinstance(default, float) else "text"


def _text(default: Any) -> str:
    """Return ``default`` as a macro would write it."""
    if isinstance(default, bool):
        return str(default).lower()
    if isinstance(default, tuple):
        return "x".join(map(str, default))
    return f"{default:g}" if isinstance(default, float) else str(default)


def _input(
    name: str,
    label: str,
    kind: str,
    fallback: str,
    help: str,
    advanced: bool,
    *,
    unit: str = "",
    choices: list[str] | None = None,
) -> str:
    """Return a script parameter."""
    attributes = {
        "label": label,
        "kind": kind,
        "fallback": fallback,
        "unit": unit,
        "options": "|".join(choices or ()),
        "description": help,
    }
    parts = [f"{key}={_scijava(value)}" for key, value in attributes.items() if value]
    parts += ["advanced=true"] if advanced else []
    parts += ["required=false", "persist=false"]
    return f"#@ java.util.concurrent.atomic.AtomicReference ({', '.join(parts)}) {name}"


def _scijava(text: str) -> str:
    """Quote ``text`` for a script parameter's attribute."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _groovy(text: str) -> str:
    """Quote ``text`` for Groovy, without its interpolation."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def main(arguments: list[str]) -> int:
    """Write the scripts, or with ``--check`` tell which are stale; 0 if all are up to date."""
    root = scripts_folder()
    stale = []
    for path, text in render().items():
        file = root / path
        if file.is_file() and file.read_text(encoding="utf-8") == text:
            continue
        if "--check" in arguments:
            stale.append(str(file))
        else:
            write_text(file, text)
    known = {root / path for path in render()}
    extra = sorted(str(file) for file in (root / _FOLDER).glob("*.groovy") if file not in known)
    for name in stale:
        sys.stderr.write(f"{name} is stale: run make scripts\n")
    for name in extra:
        sys.stderr.write(f"{name} belongs to no network: remove it\n")
    return 1 if stale or extra else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
