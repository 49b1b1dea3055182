"""`autos jobs`: lists jobs; cancels, pauses, resumes or retries one or many.

Jobs are given by their ids, or selected with `--status` and `--process`. A job whose state does not
allow the action, for example because it has ended, is reported and left unchanged.
"""

from collections.abc import Iterable
from enum import StrEnum
from functools import partial
from http import HTTPStatus
from typing import Annotated, Final

import typer
from rich.table import Table

from api.jobs.schemas import Job
from autos.cnj import CaseNumber
from autos.contracts.states import JobStatus
from cli.client import ApiClient, ApiError, Json, parse
from cli.command import AsJson, ProcessOption, api_command, call_api
from cli.connection import DEFAULT_DATA_DIR, DataDir, Key, Url, find_connection
from cli.terminal import (
    FAILED,
    USAGE,
    CommandError,
    console,
    errors_reported,
    new_table,
    print_error,
    print_json,
    print_line,
)

app = typer.Typer(help="List jobs; cancel, pause, resume or retry them.", no_args_is_help=True)

_NUMBER_WIDTH: Final = 25


class Action(StrEnum):
    """An action on a job; the value is the last part of its route."""

    CANCEL = "cancel"
    PAUSE = "pause"
    RESUME = "resume"
    RETRY_FAILED = "retry-failed"


_RESULTS: Final = {
    Action.CANCEL: "is being cancelled",
    Action.PAUSE: "is paused: it starts no new batches",
    Action.RESUME: "is resumed",
    Action.RETRY_FAILED: "has a new job for its failed and doubtful documents",
}

Ids = Annotated[list[str] | None, typer.Argument(help="Job ids; none with --status or --process.")]
Statuses = Annotated[
    list[JobStatus] | None, typer.Option("--status", help="Jobs with this status; repeatable.")
]
Yes = Annotated[bool, typer.Option("--yes", help="Skip the confirmation.")]


@partial(api_command, app, "list")
async def list_jobs(
    client: ApiClient,
    status: Statuses = None,
    process: ProcessOption = None,
    limit: Annotated[
        int, typer.Option(min=1, max=10_000, help="Newest jobs to list, for each status.")
    ] = 50,
    as_json: AsJson = False,
) -> None:
    """List the newest jobs."""
    found = await find_jobs(client, status or [], process, limit)
    if as_json:
        print_json(found)
    else:
        console.print(jobs_table(parse(Job, job) for job in found))


@partial(api_command, app, "show")
async def show_job(
    client: ApiClient,
    job_id: Annotated[str, typer.Argument(help="The id in the list.")],
    as_json: AsJson = False,
) -> None:
    """Show one job."""
    payload = await client.request("GET", f"/jobs/{job_id}")
    if as_json:
        print_json(payload)
    else:
        console.print(jobs_table([parse(Job, payload)]))


def _action_command(action: Action, explanation: str) -> None:
    @app.command(action.value, help=explanation)
    def command(
        job_ids: Ids = None,
        status: Statuses = None,
        process: ProcessOption = None,
        yes: Yes = False,
        url: Url = None,
        key: Key = None,
        data_dir: DataDir = DEFAULT_DATA_DIR,
    ) -> None:
        with errors_reported():
            if bool(job_ids) == bool(status or process):
                raise CommandError(
                    "Give job ids, or select jobs with --status or --process.", USAGE
                )
            connection = find_connection(url, key, data_dir)
            if not job_ids:
                found = call_api(
                    connection, find_jobs, statuses=status or [], process=process, limit=None
                )
                job_ids = [job["id"] for job in found]
                print_line(f"{len(job_ids)} jobs.")
                if job_ids and not yes and not typer.confirm(f"{action.value} all of them?"):
                    raise typer.Exit(FAILED)
            raise typer.Exit(call_api(connection, apply_action, action=action, job_ids=job_ids))


_action_command(Action.CANCEL, "Cancel jobs. Stored documents are kept.")
_action_command(Action.PAUSE, "Pause jobs: they start no new batches until they are resumed.")
_action_command(Action.RESUME, "Resume paused jobs, and make waiting jobs retry at once.")
_action_command(Action.RETRY_FAILED, "Start new jobs for failed and doubtful documents.")


async def find_jobs(
    client: ApiClient, statuses: list[JobStatus], process: CaseNumber | None, limit: int | None
) -> list[Json]:
    """The JSON of the newest jobs of each status, at most `limit` of each status.

    The list is complete before an action starts, because actions move jobs between the pages.
    """
    selection = {"process_number": process.digits} if process else {}
    found: list[Json] = []
    for status in dict.fromkeys(statuses) or (None,):
        count = 0
        query = selection | ({"status": status.value} if status else {})
        async for job in client.items("/jobs", query):
            if count == limit:
                break
            found.append(job)
            count += 1
    return found


async def apply_action(client: ApiClient, action: Action, job_ids: list[str]) -> int:
    """Apply `action` to the jobs one by one; returns 1 if the API rejected one of them."""
    codes = [await _apply_to_one(client, action, job_id) for job_id in job_ids]
    return max(codes, default=0)


async def _apply_to_one(client: ApiClient, action: Action, job_id: str) -> int:
    try:
        await client.send("POST", f"/jobs/{job_id}/{action.value}")
    except ApiError as error:
        if error.status == HTTPStatus.CONFLICT:
            print_line(f"{job_id} is unchanged. {error}")
            return 0
        return print_error(f"{job_id}: {error}")
    print_line(f"{job_id} {_RESULTS[action]}.")
    return 0


def jobs_table(jobs: Iterable[Job]) -> Table:
    """A table with a row for each job."""
    table = new_table("job")
    table.add_column("process", no_wrap=True, min_width=_NUMBER_WIDTH)
    for column in ("status", "waiting for", "documents", "reason", "created"):
        table.add_column(column)
    for job in jobs:
        counted = f"{job.completed_documents}+{job.failed_documents}/{job.total_documents}"
        if job.doubtful_documents:
            counted += f" ({job.doubtful_documents} doubtful)"
        table.add_row(
            job.id,
            job.process_number,
            job.status,
            job.waiting_for or "",
            counted,
            job.reason or "",
            f"{job.created_at:%d %b %H:%M}",
        )
    return table
