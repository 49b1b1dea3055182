"""`autos download`: starts jobs or joins running ones, follows them, and saves the files.

If one process is rejected or fails, the others continue. The exit code reports the worst result.
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
from cli.progress import ProgressDisplay, progress_display, summary, watch
from cli.save import Saver, SaveResult
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
"""Files of a process that are named if they could not be saved."""
_STORE_TIMEOUT: Final = httpx2.Timeout(60.0, connect=10.0)


@dataclass(frozen=True, slots=True)
class DownloadOptions:
    """What to download, and what to do with it."""

    numbers: Sequence[CaseNumber]
    webhook_url: str | None = None
    force_refresh: bool = False
    follow: bool = True
    folder: Path | None = None
    """The folder to save the files in; None saves no files."""
    parallel: int = 4
    """Processes that are downloaded concurrently."""


@dataclass(frozen=True, slots=True)
class Result:
    """The result for one process."""

    exit_code: int
    line: str
    payload: Json
    """The output of `--json`."""


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
    parallel: Annotated[
        int, typer.Option(min=1, max=32, help="Processes to download concurrently.")
    ] = 4,
    follow: Annotated[
        bool, typer.Option("--watch/--no-watch", help="Show the progress until the job ends.")
    ] = True,
    webhook_url: Annotated[
        str | None, typer.Option(help="A URL to call when the job ends.")
    ] = None,
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
    cancelled or rejected, or a file could not be saved.
    """
    with errors_reported():
        if folder is not None and not follow:
            raise CommandError("--save waits until the job ends. Remove --no-watch.", USAGE)
        cases = read_numbers(numbers or [], file)
        options = DownloadOptions(cases, webhook_url, force_refresh, follow, folder, parallel)
        connection = find_connection(url, key, data_dir)
        raise typer.Exit(call_api(connection, download, options=options, as_json=as_json))


def read_numbers(arguments: Iterable[str], file: Path | None) -> list[CaseNumber]:
    """The case numbers of the arguments, then those of the file, without duplicates.

    Each line of the file holds one number; `#` starts a comment. The file `-` is standard input.

    Raises:
        CommandError: there is no number, or numbers are invalid; the message lists all of them.
    """
    found: dict[CaseNumber, None] = {}
    invalid: list[str] = []
    for location, text in [("", text) for text in arguments] + list(_lines(file)):
        try:
            found[parse_number(text)] = None
        except CommandError as error:
            invalid.append(f"{location}{error}")
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
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(f"{file} cannot be read: {error}", USAGE) from error
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
            # With --json, standard output holds only the JSON.
            results = await downloads.run(errors if as_json else console)
        except asyncio.CancelledError:
            first = options.numbers[0]
            print_line(
                f"Stopped watching; the job continues. See its status with `autos status {first}`, "
                f"or watch it again with `autos download {first}`."
                if len(options.numbers) == 1
                else "Stopped watching; the started jobs continue. Run the same command again to "
                "watch them."
            )
            return INTERRUPTED
    if as_json:
        print_json([result.payload for result in results])
    elif len(results) > 1:
        counted = Counter(result.payload["status"] for result in results)
        parts = ", ".join(f"{n} {name.replace('_', ' ')}" for name, n in counted.items())
        print_line(f"{len(results)} processes: {parts}.")
    return max((result.exit_code for result in results), key=_SEVERITY.index)


class _Downloads:
    """The downloads of one command; a semaphore bounds how many run concurrently."""

    def __init__(self, client: ApiClient, saver: Saver | None, options: DownloadOptions) -> None:
        self._client = client
        self._saver = saver
        self._options = options
        self._slots = asyncio.Semaphore(options.parallel)
        self._many = len(options.numbers) > 1

    async def run(self, out: Console) -> list[Result]:
        numbers = self._options.numbers
        with progress_display(out, len(numbers)) as display:
            results = await asyncio.gather(*(self._run_one(display, number) for number in numbers))
        if not self._many:
            out.print(results[0].line, markup=False, soft_wrap=True)
        return results

    async def _run_one(self, display: ProgressDisplay, number: CaseNumber) -> Result:
        async with self._slots:
            try:
                result = await self._download(display, number)
            except (CommandError, httpx2.TransportError) as error:
                if not self._many:
                    raise
                line = str(error) or f"The connection broke ({type(error).__name__})."
                payload = {"process_number": number.masked, "status": "refused", "error": line}
                result = Result(FAILED, line, payload)
            # Further lines of a process are indented below its first line.
            display.finish(number.masked, f"{number}  {result.line}".replace("\n", "\n  "))
        return result

    async def _download(self, display: ProgressDisplay, number: CaseNumber) -> Result:
        options = self._options
        started, payload = await self._client.start_download(
            number, webhook_url=options.webhook_url, force_refresh=options.force_refresh
        )
        if not options.follow:
            line = f"Job {started.job_id} is {started.status}. See `autos status {number}`."
            return Result(0, line, payload)
        last: Status | None = None
        async for status, received in watch(self._client, number):
            display.show(number.masked, status)
            last, payload = status, received
        if last is None:
            raise CommandError(f"The service sent no status of {number}.")
        code, line = EXIT_CODES[last.status], summary(last)
        if self._saver is not None:
            saved = await self._saver.save(number, partial(display.saving, number.masked))
            line = f"{line}\n{_describe(saved)}"
            files = {"folder": str(saved.folder), "files": saved.files, "wrong": saved.errors}
            payload = payload | {"saved": files}
            if saved.errors:
                code = FAILED
        return Result(code, line, payload)


def _describe(saved: SaveResult) -> str:
    lines = [f"Saved {saved.files} files in {saved.folder}."]
    if saved.errors:
        lines.append(f"{len(saved.errors)} could not be saved; run the same command again:")
        lines += [f"  {error}" for error in saved.errors[:_MAX_SHOWN]]
        if len(saved.errors) > _MAX_SHOWN:
            lines.append(f"  and {len(saved.errors) - _MAX_SHOWN} more")
    return "\n".join(lines)
