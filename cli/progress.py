"""Follows a job until it ends, and shows its progress: bars at a terminal, lines in a pipe."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from time import monotonic
from typing import Final, Protocol

import httpx2
from rich.console import Console
from rich.filesize import decimal
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TaskID,
    TextColumn,
)
from rich.text import Text

from api.status.schemas import Status
from autos.cnj import CaseNumber
from autos.contracts.reasons import WaitReason
from autos.contracts.states import JobStatus
from autos.retry_after import parse_retry_after
from cli.client import ApiClient, ApiError, Json, json_object, parse

_POLL_SECONDS: Final = 0.5
_RETRY_SECONDS: Final = 60.0
_MAX_PAUSE_SECONDS: Final = 30.0
_LINE_SECONDS: Final = 2.0
_MIN_BAR_WIDTH: Final = 8
_MAX_BAR_WIDTH: Final = 40
_WAIT_TEXTS: Final = {
    WaitReason.CREDENTIAL: "waiting for a new credential (`autos credentials set`)",
    WaitReason.SOURCE: "waiting for the source, which is unavailable",
    WaitReason.OPERATOR: "paused by an operator (`autos jobs resume`)",
    WaitReason.RECORDS: "waiting for the database",
    WaitReason.STORAGE: "waiting for space in the object store or on a worker's disk",
}


async def watch(
    client: ApiClient,
    number: CaseNumber,
    *,
    interval: float = _POLL_SECONDS,
    retry_seconds: float = _RETRY_SECONDS,
) -> AsyncIterator[tuple[Status, Json]]:
    """Poll the status of a process until its job has ended; yields each change.

    Each change is yielded as a model and as the JSON that was received.

    Args:
        client: the client of the API.
        number: the case number.
        interval: seconds between two requests, unless the API sends `Retry-After`.
        retry_seconds: how long failed requests are retried, because a job continues while the API
            restarts.

    Raises:
        ApiError: the API returned an error that a retry cannot solve, or returned errors for
            longer than `retry_seconds`.
        httpx2.TransportError: the API was unreachable for longer than `retry_seconds`.
    """
    path, tag, last_response = f"/processes/{number.digits}/status", "", monotonic()
    while True:
        pause: float | None = None
        try:
            headers = {"If-None-Match": tag} if tag else {}
            response = await client.send("GET", path, params={"documents": "none"}, headers=headers)
        except httpx2.TransportError:
            if monotonic() - last_response > retry_seconds:
                raise
        except ApiError as error:
            if not error.temporary or monotonic() - last_response > retry_seconds:
                raise
            pause = error.retry_after
        else:
            last_response = monotonic()
            pause = parse_retry_after(response.headers.get("Retry-After"))
            if response.status_code != HTTPStatus.NOT_MODIFIED:
                tag, payload = response.headers.get("ETag", ""), json_object(response)
                status = parse(Status, payload)
                yield status, payload
                if status.status.ended:
                    return
        await asyncio.sleep(min(interval if pause is None else pause, _MAX_PAUSE_SECONDS))


class ProgressDisplay(Protocol):
    """Shows the progress of one or more processes."""

    def show(self, number: str, status: Status) -> None:
        """Show the status of a process."""
        ...

    def saving(self, number: str, done: int, total: int) -> None:
        """Show how many files of a process are saved."""
        ...

    def finish(self, number: str, line: str) -> None:
        """Show the result of a process."""
        ...


@contextmanager
def progress_display(console: Console, processes: int = 1) -> Iterator[ProgressDisplay]:
    """A display for the given number of processes, shown until the context ends."""
    if not console.is_terminal:
        yield _Lines(console, processes)
        return
    bars = Progress(
        SpinnerColumn(finished_text=" "),
        BarColumn(max(_MIN_BAR_WIDTH, min(_MAX_BAR_WIDTH, console.width // 4))),
        TextColumn("{task.percentage:>3.0f} %"),
        _Description(),
        console=console,
    )
    with bars:
        yield _Bars(bars, processes)


def describe(status: Status) -> str:
    """The status of a process in one line."""
    if not status.total_documents and not status.status.ended:
        return ", ".join(["reading the list of documents", *_remaining(status)])
    parts = [f"{_ended_documents(status)} of {status.total_documents} documents"]
    parts += [decimal(status.bytes_stored), *_failure_counts(status), *_remaining(status)]
    return f"{_name(status)}: {', '.join(parts)}"


def summary(status: Status) -> str:
    """The result of a job that has ended, in one line."""
    text = (
        f"{_name(status)}: {status.completed_documents} of "
        f"{status.total_documents} documents stored ({decimal(status.bytes_stored)})"
    )
    if status.started_at and status.completed_at:
        text += f" in {(status.completed_at - status.started_at).total_seconds():.1f} s"
    if counts := _failure_counts(status):
        text += f"; {', '.join(counts)} (see `autos documents {status.process_number}`)"
    cause = status.error_message or status.reason
    if status.status in (JobStatus.FAILED, JobStatus.CANCELLED) and cause:
        text += f". {cause}"
    return text


def describe_wait(status: Status) -> str | None:
    """What a job waits for, since when and how long; None if it does not wait."""
    if not status.waiting_for:
        return None
    text = _WAIT_TEXTS.get(status.waiting_for, f"waiting for {status.waiting_for}")
    if status.waiting_since:
        text += f" since {status.waiting_since.astimezone():%d %b %H:%M}"
    if status.waiting_until:
        text += f", gives up {status.waiting_until.astimezone():%d %b %H:%M}"
    return text


def _name(status: Status) -> str:
    return status.status.value.replace("_", " ")


def _ended_documents(status: Status) -> int:
    return status.completed_documents + status.failed_documents


def _failure_counts(status: Status) -> list[str]:
    counts = {"failed": status.failed_documents, "doubtful": status.doubtful_documents}
    return [f"{count} {name}" for name, count in counts.items() if count]


def _remaining(status: Status) -> list[str]:
    """The remaining time, or the reason why it is unknown."""
    if wait := describe_wait(status):
        return [wait]
    if status.status.ended:
        return []
    if not status.live:
        return ["no worker responds at the moment"]
    return [] if status.eta_seconds is None else [f"{status.eta_seconds} s left"]


class _Description(ProgressColumn):
    """A text column that shrinks on a narrow terminal; a fixed width would hide the bar."""

    def render(self, task: Task) -> Text:
        return Text(task.description, no_wrap=True, overflow="ellipsis")


class _Bars:
    """A bar for each active process. With several processes, the first bar counts all of them."""

    def __init__(self, bars: Progress, processes: int) -> None:
        self._bars = bars
        self._processes = processes
        self._tasks: dict[str, TaskID] = {}
        self._total: TaskID | None = None
        if processes > 1:
            self._total = bars.add_task("", total=processes)
            self._update_total()
        else:
            self._bars.add_task("waiting for the metadata of the process", total=None)

    def show(self, number: str, status: Status) -> None:
        known = bool(status.total_documents) or status.status.ended
        total = max(status.total_documents, 1) if known else None
        # A job without documents is complete when it ends.
        done = _ended_documents(status) if status.total_documents else int(status.status.ended)
        self._update(number, done, total, describe(status))

    def saving(self, number: str, done: int, total: int) -> None:
        self._update(number, done, max(total, 1), f"saved {done} of {total} files")

    def finish(self, number: str, line: str) -> None:
        if self._total is None:
            return
        if number in self._tasks:
            self._bars.remove_task(self._tasks.pop(number))
        self._bars.console.print(line, markup=False, soft_wrap=True)
        self._bars.advance(self._total)
        self._update_total()

    def _update(self, number: str, done: int, total: int | None, text: str) -> None:
        if self._total is None:
            self._bars.update(self._bars.task_ids[0], completed=done, total=total, description=text)
            return
        if number not in self._tasks:
            self._tasks[number] = self._bars.add_task("", total=None)
        self._bars.update(
            self._tasks[number], completed=done, total=total, description=f"{number}  {text}"
        )

    def _update_total(self) -> None:
        if self._total is not None:
            done = round(self._bars.tasks[0].completed)
            self._bars.update(self._total, description=f"{done} of {self._processes} processes")


class _Lines:
    """A line for each process every few seconds, and one when it ends."""

    def __init__(self, console: Console, processes: int) -> None:
        self._console = console
        self._many = processes > 1
        self._written: dict[str, float] = {}

    def show(self, number: str, status: Status) -> None:
        # With several processes, `finish` writes the last line.
        self._write(number, describe(status), immediately=status.status.ended and not self._many)

    def saving(self, number: str, done: int, total: int) -> None:
        self._write(number, f"saved {done} of {total} files", immediately=False)

    def finish(self, number: str, line: str) -> None:
        self._written.pop(number, None)
        if self._many:
            self._console.print(line, markup=False, soft_wrap=True)

    def _write(self, number: str, text: str, *, immediately: bool) -> None:
        if immediately or monotonic() - self._written.get(number, float("-inf")) >= _LINE_SECONDS:
            self._written[number] = monotonic()
            line = f"{number}  {text}" if self._many else text
            self._console.print(line, markup=False, soft_wrap=True)
