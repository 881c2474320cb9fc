"""``dl4fiji fiji`` and ``dl4fiji install``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def add_to(app: typer.Typer) -> None:
    """Add ``fiji`` and ``install``."""
    app.command("fiji")(_fiji)
    app.command("install")(_install)


def _fiji(
    app: Annotated[
        str, typer.Option(help="Folder of Fiji, or an endpoint such as sc.fiji:fiji; empty: an embedded ImageJ.")
    ] = "",
    headless: Annotated[bool, typer.Option("--headless", help="Without windows.")] = False,
    macro: Annotated[Path | None, typer.Option(help="Macro (.ijm) to run.", exists=False)] = None,
    args: Annotated[str, typer.Option(help="What getArgument() gives in the macro.")] = "",
) -> None:
    """Start Fiji with our menu in this Python, and the service if none runs."""
    from dl4fiji.cli.output import print_plain
    from dl4fiji.fiji.launcher import run

    result = run(app, headless=headless, macro=macro, args=args)
    if result:
        print_plain(str(result))


def _install(
    app: Annotated[Path, typer.Option("--app", help="Folder of Fiji, e.g. ~/Fiji.app.")],
) -> None:
    """Put our menu into a Fiji that you start by yourself."""
    from dl4fiji.cli.output import print_line, print_plain
    from dl4fiji.fiji.scripts import install

    files = install(app.expanduser().absolute())
    print_plain(f"{len(files)} files installed in {app}.")
    print_line("Start this Fiji (again): the commands are in [bold]Plugins ▸ DL4Fiji[/].")
