"""`autos download`: start a job, or join the one that runs, and watch it to its end."""

import asyncio
from dataclasses import dataclass

from autos.cnj import CaseNumber
from autos.contracts.states import JobStatus
from cli.answers import Status
from cli.client import ApiClient, open_client
from cli.connection import Connection
from cli.errors import FAILED, INTERRUPTED, WITH_FAILURES, CommandError
from cli.progress import progress, summary
from cli.terminal import console
from cli.watch import watch

EXIT_CODES = {
    JobStatus.COMPLETED: 0,
    JobStatus.COMPLETED_WITH_FAILURES: WITH_FAILURES,
    JobStatus.FAILED: FAILED,
    JobStatus.CANCELLED: FAILED,
}


@dataclass(frozen=True, slots=True)
class Wish:
    """What is asked of the service."""

    number: CaseNumber
    webhook_url: str | None = None
    force_refresh: bool = False


async def download(connection: Connection, wish: Wish, *, follow: bool) -> int:
    """Run the command; returns its exit code."""
    number = wish.number
    async with open_client(connection) as client:
        started = await client.start_download(
            number, webhook_url=wish.webhook_url, force_refresh=wish.force_refresh
        )
        if not follow:
            console.print(
                f"Job {started.job_id} is {started.status.value}. "
                f"See how it goes with `autos status {number}`.",
                soft_wrap=True,
            )
            return 0
        try:
            last = await follow_to_end(client, number)
        except asyncio.CancelledError:
            console.print(
                f"Stopped watching; the job goes on. See it with `autos status {number}`, "
                f"watch it again with `autos download {number}`.",
                soft_wrap=True,
            )
            return INTERRUPTED
    console.print(summary(last), markup=False, soft_wrap=True)
    return EXIT_CODES[last.status]


async def follow_to_end(client: ApiClient, number: CaseNumber) -> Status:
    """Show the progress of a job until it has ended; returns the last status."""
    last: Status | None = None
    with progress(console) as show:
        async for status in watch(client, number):
            show(status)
            last = status
    if last is None:
        raise CommandError(f"The service told nothing about {number}.")
    return last
