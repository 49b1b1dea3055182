"""Shows how jobs go on: live bars at a terminal, a line now and then in a pipe."""

from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic
from typing import Final, Protocol

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

from autos.contracts.states import JobStatus
from cli.answers import Status

_LINE_SECONDS: Final = 2.0
_SHORTEST_BAR: Final = 8
_LONGEST_BAR: Final = 40
_WAITS: Final = {
    "credential": "waits for a new credential (`autos credentials set`)",
    "source": "waits for the source, which is out of order",
    "operator": "paused by an operator (`autos jobs resume`)",
    "records": "waits for the database",
    "storage": "waits for room in the object store or on a worker's disk",
}


class Board(Protocol):
    """Where the progress of one or many processes is shown."""

    def show(self, number: str, status: Status) -> None:
        """A new status of a process."""
        ...

    def saving(self, number: str, done: int, total: int) -> None:
        """So many of its files are in the folder."""
        ...

    def finish(self, number: str, line: str) -> None:
        """The last word on a process."""
        ...


@contextmanager
def progress(console: Console, processes: int = 1) -> Iterator[Board]:
    """A board for so many processes, shown until the context ends."""
    if not console.is_terminal:
        yield _Lines(console, processes)
        return
    bars = Progress(
        SpinnerColumn(finished_text=" "),
        BarColumn(max(_SHORTEST_BAR, min(_LONGEST_BAR, console.width // 4))),
        TextColumn("{task.percentage:>3.0f} %"),
        _Description(),
        console=console,
    )
    with bars:
        yield _Bars(bars, processes)


def describe(status: Status) -> str:
    """One line on where a job stands."""
    if not status.total_documents and not status.status.ended:
        return ", ".join(["reading the list of documents", *_outlook(status)])
    words = [f"{status.done} of {status.total_documents} documents", decimal(status.bytes_stored)]
    words += _shortcomings(status)
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
    if shortcomings := _shortcomings(status):
        text += f"; {', '.join(shortcomings)} (see `autos documents {status.process_number}`)"
    because = status.error_message or status.reason
    if status.status in (JobStatus.FAILED, JobStatus.CANCELLED) and because:
        text += f". {because}"
    return text


def waiting(status: Status) -> str | None:
    """What a job waits for, and until when, if it waits."""
    if not status.waiting_for:
        return None
    text = _WAITS.get(status.waiting_for, f"waits for {status.waiting_for}")
    if status.waiting_since:
        text += f", since {status.waiting_since.astimezone():%d %b %H:%M}"
    if status.waiting_until:
        text += f", gives up {status.waiting_until.astimezone():%d %b %H:%M}"
    return text


def _shortcomings(status: Status) -> list[str]:
    counted = {"failed": status.failed_documents, "doubtful": status.doubtful_documents}
    return [f"{count} {name}" for name, count in counted.items() if count]


def _outlook(status: Status) -> list[str]:
    """Speed and remaining time, or what the job waits for."""
    if waits := waiting(status):
        return [waits]
    if not status.live and not status.status.ended:
        return ["no worker answers at the moment"]
    words = []
    if status.documents_per_second:
        words.append(f"{status.documents_per_second:.1f} per second")
    if status.eta_seconds is not None and not status.status.ended:
        words.append(f"{status.eta_seconds:.0f} s to go")
    return words


class _Description(ProgressColumn):
    """Gives way on a narrow terminal, where a column of fixed text would push the bar out."""

    def render(self, task: Task) -> Text:
        return Text(task.description, no_wrap=True, overflow="ellipsis")


class _Bars:
    """A bar for each process under way; of many, one for all of them above."""

    def __init__(self, bars: Progress, processes: int) -> None:
        self._bars = bars
        self._processes = processes
        self._tasks: dict[str, TaskID] = {}
        self._all: TaskID | None = None
        if processes > 1:
            self._all = bars.add_task("", total=processes)
            self._count()
        else:
            self._bars.add_task("asking the source for the process", total=None)

    def show(self, number: str, status: Status) -> None:
        known = bool(status.total_documents) or status.status.ended
        total = max(status.total_documents, 1) if known else None
        # A job without documents has done all there was.
        done = status.done if status.total_documents else int(status.status.ended)
        self._update(number, done, total, describe(status))

    def saving(self, number: str, done: int, total: int) -> None:
        self._update(number, done, max(total, 1), f"saved {done} of {total} files")

    def finish(self, number: str, line: str) -> None:
        if self._all is None:
            return
        if number in self._tasks:
            self._bars.remove_task(self._tasks.pop(number))
        self._bars.console.print(line, markup=False, soft_wrap=True)
        self._bars.advance(self._all)
        self._count()

    def _update(self, number: str, done: int, total: int | None, text: str) -> None:
        if self._all is None:
            self._bars.update(self._bars.task_ids[0], completed=done, total=total, description=text)
            return
        if number not in self._tasks:
            self._tasks[number] = self._bars.add_task("", total=None)
        self._bars.update(
            self._tasks[number], completed=done, total=total, description=f"{number}  {text}"
        )

    def _count(self) -> None:
        if self._all is not None:
            done = round(self._bars.tasks[0].completed)
            self._bars.update(self._all, description=f"{done} of {self._processes} processes")


class _Lines:
    """A line for each process every few seconds, and one at its end."""

    def __init__(self, console: Console, processes: int) -> None:
        self._console = console
        self._many = processes > 1
        self._written: dict[str, float] = {}

    def show(self, number: str, status: Status) -> None:
        # Of many the last line is the one that `finish` gets.
        self._write(number, describe(status), at_once=status.status.ended and not self._many)

    def saving(self, number: str, done: int, total: int) -> None:
        self._write(number, f"saved {done} of {total} files", at_once=False)

    def finish(self, number: str, line: str) -> None:
        self._written.pop(number, None)
        if self._many:
            self._console.print(line, markup=False, soft_wrap=True)

    def _write(self, number: str, text: str, *, at_once: bool) -> None:
        if at_once or monotonic() - self._written.get(number, float("-inf")) >= _LINE_SECONDS:
            self._written[number] = monotonic()
            line = f"{number}  {text}" if self._many else text
            self._console.print(line, markup=False, soft_wrap=True)
