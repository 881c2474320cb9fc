"""``dl4fiji models`` and ``dl4fiji export``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

_NAME = Annotated[str, typer.Argument(help="Name of the model.")]
_JSON = Annotated[bool, typer.Option("--json", help="Print JSON.")]

app = typer.Typer(help="See trained models and install them in Fiji.", no_args_is_help=True)


def add_to(parent: typer.Typer) -> None:
    """Add ``models`` and ``export``."""
    parent.add_typer(app, name="models")
    parent.command("export")(_export)


@app.command("list")
def list_models(json: _JSON = False) -> None:
    """List the trained models."""
    from dl4fiji.cli.output import print_json, print_table
    from dl4fiji.client import ServiceClient
    from dl4fiji.home import Home

    with ServiceClient.connect(Home.default()) as client:
        models = client.models()
    if json:
        print_json(models)
        return
    rows = []
    for model in models:
        gain = _gain(model.get("quality", {}))
        rows.append(
            (
                model["name"],
                model["network"],
                str(model["created"])[:16].replace("T", " "),
                gain,
                "yes" if model.get("package") else "no",
            )
        )
    print_table("Models", ("name", "network", "made", "quality", "exported"), rows)


def _gain(quality: dict[str, Any]) -> str:
    """Return the figure by which models of a kind are compared."""
    psnr, iou, f1 = (quality.get(name, {}) for name in ("psnr", "iou", "f1"))
    if psnr:
        before = f"{psnr['input']:.1f} → " if "input" in psnr else ""
        return f"PSNR {before}{psnr['prediction']:.1f} dB"
    if f1:
        return f"F1 {f1['prediction']:.2f}"
    return f"IoU {iou['prediction']:.2f}" if iou else ""


@app.command("show")
def show(name: _NAME) -> None:
    """Show all about a model, as JSON."""
    from dl4fiji.cli.output import print_json
    from dl4fiji.client import ServiceClient
    from dl4fiji.home import Home

    with ServiceClient.connect(Home.default()) as client:
        print_json(client.model(name))


@app.command("install")
def install(
    name: _NAME,
    app_folder: Annotated[Path, typer.Option("--app", help="Folder of Fiji, e.g. ~/Fiji.app.")],
) -> None:
    """Put a model where DeepImageJ in this Fiji finds it."""
    from dl4fiji.cli.output import absolute, print_plain
    from dl4fiji.client import ServiceClient
    from dl4fiji.home import Home

    with ServiceClient.connect(Home.default()) as client:
        print_plain(str(client.install_model(name, absolute(app_folder))["folder"]))


@app.command("report")
def report(
    name: _NAME,
    output: Annotated[
        Path | None, typer.Option(help="Folder to write report.html and report.pdf to; the model's by default.")
    ] = None,
    json: _JSON = False,
) -> None:
    """Make a model's report again: one HTML page and a PDF."""
    from dl4fiji.cli.output import print_json, print_plain
    from dl4fiji.home import Home
    from dl4fiji.model import ModelFolder
    from dl4fiji.quality_control.report import write_report

    html, pdf = write_report(ModelFolder(Home.default().model(name)), output and output.expanduser().absolute())
    if json:
        print_json({"html": str(html), "pdf": str(pdf)})
    else:
        print_plain(f"{html}\n{pdf}")


def _export(
    name: _NAME,
    weights: Annotated[str, typer.Option(help="Weights to use: best or last.")] = "best",
    check: Annotated[bool, typer.Option("--check", help="Only check the package that is there.")] = False,
    json: _JSON = False,
) -> None:
    """Export a model again: package, zip for the CSBDeep plugin, engine certificate."""
    from dl4fiji.cli.output import follow, print_json, print_plain, print_table
    from dl4fiji.client import ServiceClient
    from dl4fiji.errors import InputError
    from dl4fiji.home import Home
    from dl4fiji.jobs.job import ExportRequest

    if check:
        _check_package(name, json)
        return
    if weights not in ("best", "last"):
        raise InputError(f"--weights is {weights!r} but must be best or last.")
    with ServiceClient.connect(Home.default()) as client:
        request = ExportRequest(model=name, weights="best" if weights == "best" else "last")
        job = follow(client, client.submit(request))
    if json:
        print_json(job.result)
        return
    engines = job.result.get("certificate", {})
    rows = [(engine, entry.get("loaded"), entry.get("max_difference")) for engine, entry in engines.items()]
    print_table("Engines", ("engine", "loaded", "largest difference"), rows)
    print_plain(str(job.result.get("package", "")))


def _check_package(name: str, json: bool) -> None:
    """Check an exported package and print what was found."""
    from dl4fiji.cli.output import print_json, print_table
    from dl4fiji.export.package_check import check_package
    from dl4fiji.home import Home
    from dl4fiji.model import ModelFolder

    folder = ModelFolder(Home.default().model(name))
    folder.read()
    findings = check_package(folder.package)
    if json:
        print_json([vars(finding) for finding in findings])
    else:
        rows = [tuple(vars(finding).values()) for finding in findings]
        print_table(f"Package of {name}", tuple(vars(findings[0])) if findings else ("no findings",), rows)
