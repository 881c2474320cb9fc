"""``dl4fiji jobs``: list, show, follow, cancel, resume, log."""

from __future__ import annotations

from typing import Annotated

import typer

_ID = Annotated[str, typer.Argument(help="Id of the job, as `dl4fiji jobs list` shows it.")]
_JSON = Annotated[bool, typer.Option("--json", help="Print JSON.")]

app = typer.Typer(help="See, cancel and resume jobs.", no_args_is_help=True)


def add_to(parent: typer.Typer) -> None:
    """Add ``jobs``."""
    parent.add_typer(app, name="jobs")


@app.command("list")
def list_jobs(
    state: Annotated[str, typer.Option(help="Only jobs in this state, e.g. RUNNING.")] = "",
    limit: Annotated[int, typer.Option(help="At most so many, newest first.", min=1)] = 50,
    json: _JSON = False,
) -> None:
    """List the jobs, newest first."""
    from dl4fiji.cli.output import print_json, print_table
    from dl4fiji.client import ServiceClient
    from dl4fiji.home import Home

    with ServiceClient.connect(Home.default()) as client:
        jobs = client.jobs(state=state, limit=limit)
    if json:
        print_json([job.model_dump(mode="json") for job in jobs])
        return
    rows = [
        (job.id, job.title, job.state, f"{job.done}/{job.total}" if job.total else "", job.error or job.phase)
        for job in jobs
    ]
    print_table("Jobs", ("id", "what", "state", "done", ""), rows)


@app.command("show")
def show(job_id: _ID) -> None:
    """Show all about a job, as JSON."""
    from dl4fiji.cli.output import print_json
    from dl4fiji.client import ServiceClient
    from dl4fiji.home import Home

    with ServiceClient.connect(Home.default()) as client:
        print_json(client.job(job_id).model_dump(mode="json"))


@app.command("follow")
def follow_job(job_id: _ID) -> None:
    """Show how a job goes until it ends; Ctrl-C cancels it."""
    from dl4fiji.cli.output import follow
    from dl4fiji.cli.train import print_result
    from dl4fiji.client import ServiceClient
    from dl4fiji.home import Home

    with ServiceClient.connect(Home.default()) as client:
        print_result(follow(client, client.job(job_id)))


@app.command("log")
def log(job_id: _ID) -> None:
    """Print a job's log."""
    from dl4fiji.cli.output import print_plain
    from dl4fiji.client import ServiceClient
    from dl4fiji.home import Home

    with ServiceClient.connect(Home.default()) as client:
        print_plain(client.log(job_id))


@app.command("cancel")
def cancel(job_id: _ID) -> None:
    """Stop a job; the best weights so far are kept."""
    from dl4fiji.cli.output import print_line
    from dl4fiji.client import ServiceClient
    from dl4fiji.home import Home

    with ServiceClient.connect(Home.default()) as client:
        client.cancel(job_id)
    print_line(f"Job {job_id} stops; its best weights are kept.")


@app.command("resume")
def resume(job_id: _ID, wait: Annotated[bool, typer.Option(help="Stay until it ends.")] = False) -> None:
    """Go on with a job that was canceled, failed or crashed."""
    from dl4fiji.cli.output import follow, print_line
    from dl4fiji.cli.train import print_result
    from dl4fiji.client import ServiceClient
    from dl4fiji.home import Home

    with ServiceClient.connect(Home.default()) as client:
        job = client.resume(job_id)
        if wait:
            print_result(follow(client, job))
            return
    print_line(f"Job {job_id} is queued again.")
