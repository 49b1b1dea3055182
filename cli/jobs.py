"""`autos jobs`: the list of jobs, and the steering of one or of many.

Many are named by their ids, or chosen by `--status` and `--process`. A job that has moved on in the
meantime (ended, say, before it could be paused) is named and left as it is; the others are steered
all the same.
"""

from enum import StrEnum
from http import HTTPStatus
from typing import Annotated

import typer

from autos.contracts.states import JobStatus
from cli.answers import Job
from cli.client import ApiClient, Refused, open_client
from cli.connection import Connection, find_connection
from cli.errors import FAILED, USAGE, CommandError
from cli.numbers import read_number
from cli.options import DEFAULT_DATA_DIR, AsJson, DataDir, Key, Url
from cli.tables import jobs_table
from cli.terminal import complain, console, print_json, run, say, sentences

app = typer.Typer(help="Jobs: list them, and steer one or many.", no_args_is_help=True)


class Verb(StrEnum):
    """What can be asked of a job; the value is the last part of the route."""

    CANCEL = "cancel"
    PAUSE = "pause"
    RESUME = "resume"
    RETRY_FAILED = "retry-failed"


_DONE = {
    Verb.CANCEL: "is being cancelled",
    Verb.PAUSE: "starts no further batch",
    Verb.RESUME: "goes on",
    Verb.RETRY_FAILED: "has a successor for what it could not get",
}

Ids = Annotated[list[str] | None, typer.Argument(help="Job ids; none with --status or --process.")]
Statuses = Annotated[
    list[JobStatus] | None, typer.Option("--status", help="All jobs in it; may be repeated.")
]
Process = Annotated[str | None, typer.Option("--process", help="Only jobs of this case number.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask before steering what was chosen.")]


@app.command("list")
def list_command(
    status: Statuses = None,
    process: Process = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="Newest so many of each.")] = 50,
    as_json: AsJson = False,
    url: Url = None,
    key: Key = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """List the newest jobs."""
    with sentences():
        connection = find_connection(url, key, data_dir)
        raise typer.Exit(run(listing(connection, status or [], process, limit, as_json=as_json)))


@app.command("show")
def show_command(
    job_id: Annotated[str, typer.Argument(help="The id that the list shows.")],
    as_json: AsJson = False,
    url: Url = None,
    key: Key = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Show one job."""
    with sentences():
        raise typer.Exit(run(show(find_connection(url, key, data_dir), job_id, as_json=as_json)))


def _steering_command(verb: Verb, explanation: str) -> None:
    @app.command(verb.value, help=explanation)
    def command(
        job_ids: Ids = None,
        status: Statuses = None,
        process: Process = None,
        yes: Yes = False,
        url: Url = None,
        key: Key = None,
        data_dir: DataDir = DEFAULT_DATA_DIR,
    ) -> None:
        with sentences():
            if bool(job_ids) == bool(status or process):
                raise CommandError(
                    "Name jobs by their ids, or choose them by --status or --process.", USAGE
                )
            connection = find_connection(url, key, data_dir)
            if not job_ids:
                job_ids = run(choose(connection, status or [], process))
                say(f"{len(job_ids)} jobs.")
                if job_ids and not yes and not typer.confirm(f"{verb.value} all of them?"):
                    raise typer.Exit(FAILED)
            raise typer.Exit(run(steer(connection, verb, job_ids)))


_steering_command(Verb.CANCEL, "Stop jobs; what is stored stays stored.")
_steering_command(Verb.PAUSE, "Let jobs start no further batch until they are resumed.")
_steering_command(Verb.RESUME, "Let paused jobs go on, and waiting ones try again now.")
_steering_command(Verb.RETRY_FAILED, "Start new jobs for what these could not get.")


async def listing(
    connection: Connection,
    statuses: list[JobStatus],
    process: str | None,
    limit: int,
    *,
    as_json: bool,
) -> int:
    """Print the newest jobs."""
    async with open_client(connection) as client:
        found = await _chosen(client, statuses, process, limit)
    if as_json:
        print_json([job.as_sent() for job in found])
    else:
        console.print(jobs_table(found))
    return 0


async def show(connection: Connection, job_id: str, *, as_json: bool) -> int:
    """Print one job."""
    async with open_client(connection) as client:
        found = await client.job(job_id)
    if as_json:
        print_json(found.as_sent())
    else:
        console.print(jobs_table([found]))
    return 0


async def choose(
    connection: Connection, statuses: list[JobStatus], process: str | None
) -> list[str]:
    """The ids of all jobs of these statuses or of this process."""
    async with open_client(connection) as client:
        return [job.id for job in await _chosen(client, statuses, process, None)]


async def steer(connection: Connection, verb: Verb, job_ids: list[str]) -> int:
    """Ask `verb` of every job; returns 1 where one was refused."""
    async with open_client(connection) as client:
        # One refusal must not keep the others from being steered.
        codes = [await _steer_one(client, verb, job_id) for job_id in job_ids]
    return max(codes, default=0)


async def _steer_one(client: ApiClient, verb: Verb, job_id: str) -> int:
    try:
        await client.steer(job_id, verb.value)
    except Refused as refused:
        if refused.status == HTTPStatus.CONFLICT:
            say(f"{job_id} is left as it is. {refused}")
            return 0
        return complain(f"{job_id}: {refused}", FAILED)
    say(f"{job_id} {_DONE[verb]}.")
    return 0


async def _chosen(
    client: ApiClient, statuses: list[JobStatus], process: str | None, limit: int | None
) -> list[Job]:
    """Read them all before anything is steered: steering moves jobs between the pages."""
    number = read_number(process).digits if process else None
    found: list[Job] = []
    wanted: list[JobStatus | None] = [*dict.fromkeys(statuses)] or [None]
    for status in wanted:
        count = 0
        async for job in client.jobs(status=status, process_number=number):
            if count == limit:
                break
            found.append(job)
            count += 1
    return found
