"""``dl4fiji networks`` and ``dl4fiji train NETWORK``: one command per network, rendered from its options."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

    from dl4fiji.client import ServiceClient
    from dl4fiji.jobs.job import TrainRequest
    from dl4fiji.network import Network

_SOURCE = Annotated[Path, typer.Option(help="Folder or file of the images that the network will see.")]
_TARGET = Annotated[Path | None, typer.Option(help="Folder or file of what it shall make of them (same names).")]
_VALIDATION_SOURCE = Annotated[Path | None, typer.Option(help="Images kept aside for validation.")]
_VALIDATION_TARGET = Annotated[Path | None, typer.Option(help="Their targets.")]
_NAME = Annotated[str, typer.Option(help="Name of the model to make.")]
_AXES = Annotated[str, typer.Option(help="Axes of the files, such as ZYX; read from the files when not given.")]
_START = Annotated[
    str,
    typer.Option(
        help="Model to start from: its name here, or path or web address (perhaps with #sha256=…) of a model folder, "
        "its zip, or a bioimage.io package; also of csbdeep, n2v, stardist and ZeroCostDL4Mic."
    ),
]
_AUTHOR = Annotated[list[str] | None, typer.Option("--author", help="Author of the model; may be repeated.")]
_EXPORT = Annotated[bool, typer.Option(help="Export the model for Fiji at the end.")]
_WAIT = Annotated[bool, typer.Option(help="Stay until the training ends; the job goes on without.")]
_DRY = Annotated[bool, typer.Option("--check", help="Only check data and options and say what would happen.")]
_PREVIEW = Annotated[
    Path | None, typer.Option(help="Only write nine training patches with their targets to this PNG file.")
]
_JSON = Annotated[bool, typer.Option("--json", help="Print JSON.")]


class _NetworkCommands(TyperGroup):
    """Makes the commands of the networks when they are asked for: reading the networks takes time."""

    def list_commands(self, ctx: Any) -> list[str]:
        from dl4fiji.networks import NETWORKS

        return [network.name for network in NETWORKS]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        from dl4fiji.networks import NETWORKS

        for network in NETWORKS:
            if network.name == cmd_name:
                return _command(network)
        return None


def add_to(app: typer.Typer) -> None:
    """Add ``networks`` and ``train``."""
    app.command("networks")(_networks)
    app.add_typer(
        typer.Typer(cls=_NetworkCommands, no_args_is_help=True),
        name="train",
        help="Train a network on image pairs and export it for Fiji.",
    )


def _networks(json: _JSON = False) -> None:
    """List the networks that can be trained."""
    from dl4fiji.cli.output import print_json, print_table
    from dl4fiji.networks import NETWORKS

    if json:
        print_json(
            [
                {
                    "name": network.name,
                    "title": network.title,
                    "description": network.description,
                    "task": network.task,
                    "data_form": network.data_form,
                    "axes": network.axes,
                    "options": network.Options.model_json_schema(),
                }
                for network in NETWORKS
            ]
        )
        return
    rows = [(network.name, network.title, network.task, network.data_form, network.description) for network in NETWORKS]
    print_table("Networks", ("name", "title", "task", "data", "what it does"), rows)


def _command(network: Network) -> Any:
    """Return the command ``dl4fiji train <network>``."""
    paired = network.data_form != "single"
    common: list[tuple[str, Any, Any]] = [("source", _SOURCE, inspect.Parameter.empty)]
    if paired:
        common.append(("target", _TARGET, inspect.Parameter.empty))
    common += [
        ("name", _NAME, inspect.Parameter.empty),
        ("axes", _AXES, ""),
        ("validation_source", _VALIDATION_SOURCE, None),
    ]
    if paired:
        common.append(("validation_target", _VALIDATION_TARGET, None))
    common += [
        ("start_from", _START, ""),
        ("author", _AUTHOR, None),
        ("export", _EXPORT, True),
        ("wait", _WAIT, True),
        ("check", _DRY, False),
        ("preview", _PREVIEW, None),
        ("json", _JSON, False),
    ]
    options = [(name, _option_type(field), None) for name, field in network.Options.model_fields.items()]

    def run(**values: Any) -> None:
        given = {name: values.pop(name) for name, _, _ in options}
        _train(network, values, {name: value for name, value in given.items() if value is not None})

    keyword = inspect.Parameter.KEYWORD_ONLY
    run.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [inspect.Parameter(name, keyword, default=default, annotation=kind) for name, kind, default in common + options]
    )
    run.__annotations__ = {name: kind for name, kind, _ in common + options}
    run.__doc__ = f"Train {network.title}: {network.description}"
    single = typer.Typer(add_completion=False)
    single.command(network.name)(run)
    return typer.main.get_command(single)


def _option_type(field: FieldInfo) -> Any:
    """Return the annotation of a command line option; None stands for the default of the model."""
    default = field.get_default(call_default_factory=True)
    extra = field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}
    shown = "x".join(map(str, default)) if isinstance(default, tuple) else str(default)
    unit = f" {extra['unit']}" if extra.get("unit") else ""
    panel = "More options of the network" if extra.get("advanced") else "Options of the network"
    kind: Any = bool if isinstance(default, bool) else str
    names = {"tuple": "SIZE", "str": "TEXT", "int": "INT", "float": "NUMBER"}
    return Annotated[
        kind | None,
        typer.Option(
            # The backslash keeps rich from reading the brackets as markup.
            help=f"{field.description} \\[default: {shown.lower() if kind is bool else shown}{unit}]",
            show_default=False,
            rich_help_panel=panel,
            metavar=None if kind is bool else names.get(type(default).__name__, "TEXT"),
        ),
    ]


def _start_from(given: str) -> str:
    """Return the path of a file or folder in full, as the service needs it; names and addresses as they are."""
    from dl4fiji.cli.output import absolute

    path = Path(given).expanduser()
    if "://" in given or (len(path.parts) < 2 and not path.exists()):
        return given
    return absolute(path) if len(path.parts) > 1 or path.is_file() else given


def _train(network: Network, values: dict[str, Any], options: dict[str, Any]) -> None:
    """Check, submit and follow a training."""
    from dl4fiji.cli.output import absolute, follow, print_json, print_line, print_plain, print_warning
    from dl4fiji.client import ServiceClient
    from dl4fiji.errors import InputError
    from dl4fiji.home import Home
    from dl4fiji.jobs.job import DataRequest, TrainRequest

    request = TrainRequest(
        network=network.name,
        name=values["name"],
        data=DataRequest(
            source=absolute(values["source"]),
            target=absolute(values.get("target")),
            validation_source=absolute(values["validation_source"]),
            validation_target=absolute(values.get("validation_target")),
            axes=values["axes"],
        ),
        options=options,
        start_from=_start_from(values["start_from"]),
        authors=values["author"] or [],
        export=values["export"],
    )
    with ServiceClient.connect(Home.default()) as client:
        if values["preview"] is not None:
            _preview(client, request, values["preview"], json=values["json"])
            return
        report = client.check(request)
        if values["check"] and values["json"]:
            print_json(report)
            return
        if report["problems"]:
            raise InputError(report["problems"][0], report["problems"])
        for warning in report["warnings"]:
            print_warning(warning)
        if not values["json"]:
            print_plain(report["summary"])
        if values["check"]:
            return
        job = client.submit(request)
        if values["wait"]:
            job = follow(client, job)
    if values["json"]:
        print_json(job.model_dump(mode="json"))
    elif values["wait"]:
        print_result(job)
    else:
        print_line(f"Job {job.id} is queued: `dl4fiji jobs follow {job.id}` shows how it goes.")


def _preview(client: ServiceClient, request: TrainRequest, file: Path, *, json: bool) -> None:
    """Write a picture of the first training patches, and say what it shows."""
    from dl4fiji.cli.output import print_json, print_plain, print_warning
    from dl4fiji.files import write_bytes

    told, picture = client.preview(request)
    write_bytes(file, picture)
    if json:
        print_json(told)
        return
    for warning in told["warnings"]:
        print_warning(warning)
    print_plain(f"{told['text']} They are in {file}.")


def print_result(job: Any) -> None:
    """Print what a training gave."""
    from dl4fiji.cli.output import print_line, print_plain, print_table

    quality = job.result.get("quality", {})
    tables = {metric: figures for metric, figures in quality.items() if isinstance(figures, dict)}
    if tables:
        columns = list(dict.fromkeys(kind for figures in tables.values() for kind in figures if kind != "prediction"))
        columns = [*(columns or ["input"]), "prediction"]
        rows = [
            (metric.replace("_", " ").upper(), *(_figure(figures.get(column)) for column in columns))
            for metric, figures in tables.items()
        ]
        against = "the truth" if {"psnr", "iou", "f1"} & set(quality) else "what was hidden from the network"
        print_table(f"Validation images against {against}", ("", *columns), rows)
    print_line(f"Job {job.id} is [bold]{job.state}[/].")
    if job.result.get("folder"):
        print_plain(f"Model: {job.result['folder']}")


def _figure(value: Any) -> str:
    return f"{value:.3f}" if isinstance(value, int | float) else ""
