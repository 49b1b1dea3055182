"""`autos download`: start jobs or join running ones, follow them to their end, save the files.

If one process is refused or fails, the others go on; the exit code reports the worst result.
"""

import asyncio
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Final

import httpx2
import typer
from rich.console import Console

from api.status.schemas import Status
from autos.cnj import CaseNumber
from autos.contracts.states import JobStatus
from cli.client import ApiClient, Json
from cli.command import AsJson, call_api, parse_number
from cli.connection import DEFAULT_DATA_DIR, DataDir, Key, Url, find_connection
from cli.progress import Board, progress, summary, watch
from cli.save import Saved, Saver
from cli.terminal import (
    FAILED,
    INTERRUPTED,
    USAGE,
    WITH_FAILURES,
    CommandError,
    console,
    errors,
    errors_reported,
    print_json,
    print_line,
)

app = typer.Typer()

EXIT_CODES: Final = {
    JobStatus.COMPLETED: 0,
    JobStatus.COMPLETED_WITH_FAILURES: WITH_FAILURES,
    JobStatus.FAILED: FAILED,
    JobStatus.CANCELLED: FAILED,
}
_SEVERITY: Final = [0, WITH_FAILURES, FAILED]
_MAX_SHOWN: Final = 5
"""Files of a process that are listed if they could not be saved."""
_STORE_TIMEOUT: Final = httpx2.Timeout(60.0, connect=10.0)


@dataclass(frozen=True, slots=True)
class DownloadOptions:
    """What to download, and what to do with it."""

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
    """The result for one process."""

    exit_code: int
    line: str
    answer: Json
    """For `--json`."""


@app.command("download")
def download_command(
    numbers: Annotated[list[str] | None, typer.Argument(help="Case numbers.")] = None,
    file: Annotated[
        Path | None,
        typer.Option("--file", help="A file of case numbers, one per line; - for stdin."),
    ] = None,
    folder: Annotated[
        Path | None, typer.Option("--save", help="Save the files here, in a folder per process.")
    ] = None,
    parallel: Annotated[int, typer.Option(min=1, max=32, help="Processes at once.")] = 4,
    follow: Annotated[
        bool, typer.Option("--watch/--no-watch", help="Show the progress until the end.")
    ] = True,
    webhook_url: Annotated[str | None, typer.Option(help="Called when the job ends.")] = None,
    force_refresh: Annotated[
        bool, typer.Option("--force-refresh", help="Read the metadata again, even if it is fresh.")
    ] = False,
    as_json: AsJson = False,
    url: Url = None,
    key: Key = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Download processes, and optionally save their files to a folder.

    Exit code 0: all completed; 3: some documents failed or are doubtful; 1: a process failed, was
    cancelled or refused, or a file could not be saved.
    """
    with errors_reported():
        if folder is not None and not follow:
            raise CommandError("--save needs the end of the job: leave out --no-watch.", USAGE)
        cases = read_numbers(numbers or [], file)
        options = DownloadOptions(cases, webhook_url, force_refresh, follow, folder, parallel)
        connection = find_connection(url, key, data_dir)
        raise typer.Exit(call_api(connection, download, options=options, as_json=as_json))


def read_numbers(arguments: Iterable[str], file: Path | None) -> list[CaseNumber]:
    """The case numbers of the arguments, then those of the file, without duplicates.

    A line of the file holds one number; `#` begins a comment. `-` is standard input.

    Raises:
        CommandError: there is no number, or some are invalid; the message lists all of these.
    """
    found: dict[CaseNumber, None] = {}
    invalid: list[str] = []
    for place, text in [("", text) for text in arguments] + list(_lines(file)):
        try:
            found[parse_number(text)] = None
        except CommandError as error:
            invalid.append(f"{place}{error}")
    if invalid:
        raise CommandError("\n".join(invalid), USAGE)
    if not found:
        raise CommandError("Give a case number, or a file of case numbers with --file.", USAGE)
    return list(found)


def _lines(file: Path | None) -> Iterator[tuple[str, str]]:
    if file is None:
        return
    try:
        content = sys.stdin.read() if str(file) == "-" else file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as unreadable:
        raise CommandError(f"{file} cannot be read: {unreadable}", USAGE) from unreadable
    for line, text in enumerate(content.splitlines(), start=1):
        number = text.partition("#")[0].strip()
        if number:
            yield f"{file}, line {line}: ", number


async def download(client: ApiClient, options: DownloadOptions, *, as_json: bool) -> int:
    """Download all processes; returns the exit code."""
    async with httpx2.AsyncClient(timeout=_STORE_TIMEOUT) as http:
        saver = Saver(client, http, options.folder) if options.folder is not None else None
        downloads = _Downloads(client, saver, options)
        try:
            # With --json standard output holds the JSON and nothing else.
            results = await downloads.run(errors if as_json else console)
        except asyncio.CancelledError:
            first = options.numbers[0]
            print_line(
                f"Stopped watching; the job continues. See its status with `autos status {first}`, "
                f"or watch it again with `autos download {first}`."
                if len(options.numbers) == 1
                else "Stopped watching; the started jobs go on. Run the same command again to "
                "watch them."
            )
            return INTERRUPTED
    if as_json:
        print_json([result.answer for result in results])
    elif len(results) > 1:
        counted = Counter(result.answer["status"] for result in results)
        parts = ", ".join(f"{n} {name.replace('_', ' ')}" for name, n in counted.items())
        print_line(f"{len(results)} processes: {parts}.")
    return max((result.exit_code for result in results), key=_SEVERITY.index)


class _Downloads:
    """The downloads of one command, some of them at a time."""

    def __init__(self, client: ApiClient, saver: Saver | None, options: DownloadOptions) -> None:
        self._client = client
        self._saver = saver
        self._options = options
        self._slots = asyncio.Semaphore(options.parallel)
        self._many = len(options.numbers) > 1

    async def run(self, out: Console) -> list[Result]:
        numbers = self._options.numbers
        with progress(out, len(numbers)) as board:
            results = await asyncio.gather(*(self._one(board, number) for number in numbers))
        if not self._many:
            out.print(results[0].line, markup=False, soft_wrap=True)
        return results

    async def _one(self, board: Board, number: CaseNumber) -> Result:
        async with self._slots:
            try:
                result = await self._download(board, number)
            except (CommandError, httpx2.TransportError) as failed:
                if not self._many:
                    raise
                line = str(failed) or f"The connection broke ({type(failed).__name__})."
                answer = {"process_number": number.masked, "status": "refused", "error": line}
                result = Result(FAILED, line, answer)
            # Further lines of a process are indented below its first one.
            board.finish(number.masked, f"{number}  {result.line}".replace("\n", "\n  "))
        return result

    async def _download(self, board: Board, number: CaseNumber) -> Result:
        options = self._options
        started, sent = await self._client.start_download(
            number, webhook_url=options.webhook_url, force_refresh=options.force_refresh
        )
        if not options.follow:
            line = f"Job {started.job_id} is {started.status}. See `autos status {number}`."
            return Result(0, line, sent)
        last: Status | None = None
        async for status, answer in watch(self._client, number):
            board.show(number.masked, status)
            last, sent = status, answer
        if last is None:
            raise CommandError(f"The service sent no status of {number}.")
        code, line = EXIT_CODES[last.status], summary(last)
        if self._saver is not None:
            saved = await self._saver.save(number, partial(board.saving, number.masked))
            line = f"{line}\n{_describe(saved)}"
            files = {"folder": str(saved.folder), "files": saved.files, "wrong": saved.wrong}
            sent = sent | {"saved": files}
            if saved.wrong:
                code = FAILED
        return Result(code, line, sent)


def _describe(saved: Saved) -> str:
    lines = [f"Saved {saved.files} files in {saved.folder}."]
    if saved.wrong:
        lines.append(f"{len(saved.wrong)} could not be saved; run the same command again:")
        lines += [f"  {sentence}" for sentence in saved.wrong[:_MAX_SHOWN]]
        if len(saved.wrong) > _MAX_SHOWN:
            lines.append(f"  and {len(saved.wrong) - _MAX_SHOWN} more")
    return "\n".join(lines)
