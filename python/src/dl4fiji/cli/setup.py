"""``dl4fiji doctor`` and ``dl4fiji demo``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def add_to(app: typer.Typer) -> None:
    """Add ``doctor`` and ``demo``."""
    app.command("doctor")(_doctor)
    app.command("demo")(_demo)


def _doctor(
    app: Annotated[str, typer.Option(help="Folder of the Fiji to look at.")] = "",
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Look at GPU, Java, Fiji, engines, disk and service, and say what to do about each."""
    from dl4fiji.cli.output import print_json, print_line
    from dl4fiji.doctor import examine

    findings = examine(Path(app).expanduser() if app else None)
    if json:
        print_json([finding.as_dict() for finding in findings])
    else:
        from rich.markup import escape

        marks = {"good": "[green]✔[/]", "advice": "[yellow]![/]", "bad": "[red]✘[/]"}
        for finding in findings:
            print_line(f"{marks[finding.verdict]} [bold]{escape(finding.subject):<12}[/] {escape(finding.text)}")
            if finding.remedy:
                print_line(f"  {'':<12} → {escape(finding.remedy)}")
    if any(finding.verdict == "bad" for finding in findings):
        raise typer.Exit(1)


def _demo(
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for picture, table and summary.")] = Path(
        "build/demo"
    ),
    epochs: Annotated[int, typer.Option(help="Epochs of the training.", min=1)] = 12,
) -> None:
    """Train on a real micrograph through the menu script, and run the model as Fiji does."""
    from dl4fiji.demo import run_demo

    run_demo(output, epochs=epochs)
