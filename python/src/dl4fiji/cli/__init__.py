"""The command line ``dl4fiji``.

Only typer is imported here: what a command needs is imported when it runs, so that ``--help`` is quick.
"""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from dl4fiji.cli import fiji, jobs, models, predict, service, setup, train

app = typer.Typer(
    name="dl4fiji",
    help="Train microscopy networks from Fiji, check them, and run them natively in Fiji.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
fiji.add_to(app)
setup.add_to(app)
train.add_to(app)
predict.add_to(app)
jobs.add_to(app)
models.add_to(app)
service.add_to(app)


def _show_version(value: bool) -> None:
    if value:
        from dl4fiji import __version__

        typer.echo(f"dl4fiji {__version__}")
        raise typer.Exit


@app.callback()
def _common(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and end.")
    ] = False,
) -> None:
    pass


def main() -> None:
    """Run the command line; errors for users become one sentence and exit code 1."""
    from dl4fiji.errors import DL4FijiError

    try:
        app()
    except DL4FijiError as error:
        from dl4fiji.cli.output import print_error

        print_error(error)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:  # noqa: BLE001 - a user gets a sentence, the log the traceback
        typer.echo(f"Error: {_unexpected(error)}", err=True)
        sys.exit(70)


def _unexpected(error: Exception) -> str:
    """Keep the traceback in a log and return the sentence for the user."""
    import traceback
    from datetime import datetime

    from dl4fiji.home import Home

    said = f"{type(error).__name__}: {error}".splitlines()[0]
    log = Home.default().root / "command-line.log"
    try:
        log.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with log.open("a", encoding="utf-8") as stream:
            stream.write(f"{datetime.now().astimezone().isoformat()} {sys.argv[1:]}\n{traceback.format_exc()}\n")
    except OSError:
        return f"the command failed unexpectedly ({said}), and {log} cannot be written: see whether the disk is full."
    return f"the command failed unexpectedly ({said}): please report it with the traceback at the end of {log}."
