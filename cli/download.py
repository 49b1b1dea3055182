"""`autos download`: start jobs or join those that run, watch them to their end, save the files.

One process that is refused or fails does not keep the others from going on; the exit code tells.
"""

import asyncio
from collections import Counter
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx2
from rich.console import Console

from autos.cnj import CaseNumber
from autos.contracts.states import JobStatus
from cli.answers import Status
from cli.client import ApiClient, open_client
from cli.connection import Connection
from cli.errors import FAILED, INTERRUPTED, WITH_FAILURES, CommandError
from cli.files import Saved, Saver
from cli.progress import Board, progress, summary
from cli.terminal import console, errors, print_json, say
from cli.watch import watch

EXIT_CODES: Final = {
    JobStatus.COMPLETED: 0,
    JobStatus.COMPLETED_WITH_FAILURES: WITH_FAILURES,
    JobStatus.FAILED: FAILED,
    JobStatus.CANCELLED: FAILED,
}
_SEVERITY: Final = [0, WITH_FAILURES, FAILED]
_SHOWN: Final = 5
"""Files that could not be saved, of each process."""
_STORE_TIMEOUT: Final = httpx2.Timeout(60.0, connect=10.0)


@dataclass(frozen=True, slots=True)
class Order:
    """What is asked of the service, and what is done with the answer."""

    numbers: Sequence[CaseNumber]
    webhook_url: str | None = None
    force_refresh: bool = False
    follow: bool = True
    folder: Path | None = None
    """Where the files are saved; None to save none."""
    parallel: int = 4
    """Processes at once."""


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one process."""

    number: CaseNumber
    exit_code: int
    line: str
    answer: dict[str, Any]
    """For a program."""


async def download(connection: Connection, order: Order, *, as_json: bool = False) -> int:
    """Run the command; returns its exit code."""
    async with AsyncExitStack() as opened:
        client = await opened.enter_async_context(open_client(connection))
        http = await opened.enter_async_context(httpx2.AsyncClient(timeout=_STORE_TIMEOUT))
        saver = Saver(client, http, order.folder) if order.folder is not None else None
        try:
            # A program that reads the answer gets nothing else on standard output.
            results = await _all(client, saver, order, errors if as_json else console)
        except asyncio.CancelledError:
            first = order.numbers[0]
            say(
                f"Stopped watching; the job goes on. See it with `autos status {first}`, "
                f"watch it again with `autos download {first}`."
                if len(order.numbers) == 1
                else "Stopped watching; the jobs that were started go on. The same command again "
                "joins them and goes on."
            )
            return INTERRUPTED
    if as_json:
        print_json([result.answer for result in results])
    elif len(results) > 1:
        counted = Counter(result.answer["status"] for result in results)
        parts = ", ".join(f"{n} {name.replace('_', ' ')}" for name, n in counted.items())
        say(f"{len(results)} processes: {parts}.")
    return max((result.exit_code for result in results), key=_SEVERITY.index)


async def _all(client: ApiClient, saver: Saver | None, order: Order, out: Console) -> list[Result]:
    places = asyncio.Semaphore(order.parallel)
    many = len(order.numbers) > 1

    async def one(board: Board, number: CaseNumber) -> Result:
        async with places:
            try:
                result = await _one(client, saver, order, board, number)
            except (CommandError, httpx2.TransportError) as failed:
                if not many:
                    raise
                line = str(failed) or f"The connection broke ({type(failed).__name__})."
                answer = {"process_number": number.masked, "status": "refused", "error": line}
                result = Result(number, FAILED, line, answer)
            # What belongs to a process is told apart from the next one's.
            board.finish(number.masked, f"{number}  {result.line}".replace("\n", "\n  "))
        return result

    with progress(out, len(order.numbers)) as board:
        results = await asyncio.gather(*(one(board, number) for number in order.numbers))
    if not many:
        out.print(results[0].line, markup=False, soft_wrap=True)
    return results


async def _one(
    client: ApiClient, saver: Saver | None, order: Order, board: Board, number: CaseNumber
) -> Result:
    started = await client.start_download(
        number, webhook_url=order.webhook_url, force_refresh=order.force_refresh
    )
    if not order.follow:
        line = (
            f"Job {started.job_id} is {started.status.value}. "
            f"See how it goes with `autos status {number}`."
        )
        return Result(number, 0, line, started.as_sent())
    last = await follow_to_end(client, number, board)
    code, line, answer = EXIT_CODES[last.status], summary(last), last.as_sent()
    if saver is not None:
        saved = await saver.save(
            number, lambda done, total: board.saving(number.masked, done, total)
        )
        line = f"{line}\n{_sentence(saved)}"
        answer["saved"] = {
            "folder": str(saved.folder),
            "files": saved.files,
            "wrong": saved.wrong,
        }
        if saved.wrong:
            code = FAILED
    return Result(number, code, line, answer)


def _sentence(saved: Saved) -> str:
    lines = [f"Saved {saved.files} files in {saved.folder}."]
    if saved.wrong:
        lines.append(f"{len(saved.wrong)} could not be saved; the same command again goes on:")
        lines += [f"  {sentence}" for sentence in saved.wrong[:_SHOWN]]
        if len(saved.wrong) > _SHOWN:
            lines.append(f"  and {len(saved.wrong) - _SHOWN} more")
    return "\n".join(lines)


async def follow_to_end(client: ApiClient, number: CaseNumber, board: Board) -> Status:
    """Show the progress of a job until it has ended; returns the last status."""
    last: Status | None = None
    async for status in watch(client, number):
        board.show(number.masked, status)
        last = status
    if last is None:
        raise CommandError(f"The service answered nothing about {number}.")
    return last
