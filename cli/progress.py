"""Shows how a job goes on: a live bar at a terminal, a line now and then in a pipe."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic
from typing import Final

from rich.console import Console
from rich.filesize import decimal
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn

from autos.contracts.states import JobStatus
from cli.answers import Status

Show = Callable[[Status], None]

_LINE_SECONDS: Final = 2.0
_WAITS: Final = {
    "credential": "waits for a new credential (PUT /api/v1/credentials/pdpj)",
    "source": "waits for the source, which is out of order",
    "operator": "paused by an operator (POST /api/v1/jobs/{id}/resume)",
}


@contextmanager
def progress(console: Console) -> Iterator[Show]:
    """Yield a function to hand every new status to."""
    if console.is_terminal:
        with _bar(console) as show:
            yield show
    else:
        yield _lines(console)


def describe(status: Status) -> str:
    """One line on where a job stands."""
    if not status.total_documents and not status.status.ended:
        return ", ".join(["reading the list of documents", *_outlook(status)])
    words = [f"{status.done} of {status.total_documents} documents", decimal(status.bytes_stored)]
    if status.failed_documents:
        words.append(f"{status.failed_documents} failed")
    words += _outlook(status)
    return f"{status.status.value.replace('_', ' ')}: {', '.join(words)}"


def summary(status: Status) -> str:
    """The last line of a job: what was stored, in what time, and what was not."""
    text = (
        f"{status.status.value.replace('_', ' ')}: {status.completed_documents} of "
        f"{status.total_documents} documents stored ({decimal(status.bytes_stored)})"
    )
    if status.started_at and status.completed_at:
        text += f" in {(status.completed_at - status.started_at).total_seconds():.1f} s"
    if status.failed_documents:
        text += f"; {status.failed_documents} failed (see `autos status NUMBER --documents`)"
    because = status.error_message or status.reason
    if status.status in (JobStatus.FAILED, JobStatus.CANCELLED) and because:
        text += f". {because}"
    return text


def _outlook(status: Status) -> list[str]:
    """Speed and remaining time, or what the job waits for."""
    if status.waiting_for:
        return [_WAITS.get(status.waiting_for, f"waits for {status.waiting_for}")]
    if not status.live and not status.status.ended:
        return ["no worker answers at the moment"]
    words = []
    if status.documents_per_second:
        words.append(f"{status.documents_per_second:.1f} per second")
    if status.eta_seconds is not None and not status.status.ended:
        words.append(f"{status.eta_seconds:.0f} s to go")
    return words


@contextmanager
def _bar(console: Console) -> Iterator[Show]:
    bar = Progress(
        SpinnerColumn(finished_text=" "),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TextColumn("{task.description}", markup=False),
        console=console,
    )
    with bar:
        task = bar.add_task("asking the source for the process", total=None)

        def show(status: Status) -> None:
            known = bool(status.total_documents) or status.status.ended
            bar.update(
                task,
                total=max(status.total_documents, 1) if known else None,
                completed=status.done,
                description=describe(status),
            )

        yield show


def _lines(console: Console) -> Show:
    written = float("-inf")

    def show(status: Status) -> None:
        nonlocal written
        if status.status.ended or monotonic() - written >= _LINE_SECONDS:
            written = monotonic()
            console.print(describe(status), markup=False, soft_wrap=True)

    return show
