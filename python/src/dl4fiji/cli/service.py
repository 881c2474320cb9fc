"""``dl4fiji service``."""

from __future__ import annotations

from typing import Annotated

import typer

app = typer.Typer(help="Start, stop and see the service that keeps the jobs.", no_args_is_help=True)


def add_to(parent: typer.Typer) -> None:
    """Add ``service``."""
    parent.add_typer(app, name="service")


@app.command("start")
def start(
    foreground: Annotated[bool, typer.Option("--foreground", help="Stay in this terminal.")] = False,
) -> None:
    """Start the service, or say where it runs already."""
    if foreground:
        from dl4fiji.service.__main__ import main

        main()
        return
    from dl4fiji.cli.output import print_line
    from dl4fiji.client import ServiceClient
    from dl4fiji.home import Home

    with ServiceClient.connect(Home.default()) as client:
        print_line(f"The service runs at {client.url}.")


@app.command("stop")
def stop() -> None:
    """Stop the service; running jobs go on and are taken up again at the next start."""
    from dl4fiji.cli.output import print_line
    from dl4fiji.client import ServiceClient
    from dl4fiji.errors import ServiceError
    from dl4fiji.home import Home

    try:
        client = ServiceClient.connect(Home.default(), start=False)
    except ServiceError:
        print_line("No service is running.")
        return
    with client:
        client.stop()
    print_line("The service has stopped.")


@app.command("status")
def status(json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Say whether the service runs, and where."""
    from dl4fiji.cli.output import print_json, print_line
    from dl4fiji.client import ServiceClient
    from dl4fiji.errors import ServiceError
    from dl4fiji.home import Home

    try:
        client = ServiceClient.connect(Home.default(), start=False)
    except ServiceError:
        if json:
            print_json({"running": False})
        else:
            print_line("No service is running: `dl4fiji service start` starts it.")
        return
    with client:
        health = client.health()
        if json:
            print_json({"running": True, "url": client.url, **health})
        else:
            print_line(f"The service runs at {client.url} (process {health['pid']}, version {health['version']}).")


@app.command("open")
def open_page() -> None:
    """Open the service's page in the browser, already signed in."""
    import webbrowser

    from dl4fiji.cli.output import print_line
    from dl4fiji.client import ServiceClient
    from dl4fiji.home import Home

    with ServiceClient.connect(Home.default()) as client:
        url = client.login_url()
    if not webbrowser.open(url):
        print_line(f"Open this address within a minute: {url}")
