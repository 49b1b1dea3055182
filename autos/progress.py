"""Whether an activity makes progress: parts report it here, the activity's heartbeat reads it.

A part that waits or transfers calls `made` and `in_line` without knowing of activities; where none
is running they do nothing. Progress belongs to the task that began it and to the tasks it creates.
Not promised: that a step is the right one, only that there was one.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from time import monotonic
from typing import Final

LINE_SECONDS: Final = 3 * 3600.0
"""The longest wait for a job's slot, a court's turn or a permit. Who is ahead makes progress of its
own and is watched for it."""


class Progress:
    """The progress of one activity.

    Args:
        silence_seconds: the longest time without progress, unless something is in line.
    """

    def __init__(self, silence_seconds: float) -> None:
        self._silence = silence_seconds
        self._made_at = monotonic()
        self._in_line: list[float] = []

    def made(self) -> None:
        """A step is done, or bytes have come."""
        self._made_at = monotonic()

    @contextmanager
    def in_line(self) -> Iterator[None]:
        """Wait for others; `LINE_SECONDS` hold in place of the silence."""
        until = monotonic() + LINE_SECONDS
        self._in_line.append(until)
        try:
            yield
        finally:
            self._in_line.remove(until)
            self.made()

    @property
    def is_in_line(self) -> bool:
        """True while something waits for others."""
        return bool(self._in_line)

    @property
    def stalled(self) -> bool:
        """True once neither steps nor lines explain the silence."""
        return monotonic() >= max((self._made_at + self._silence, *self._in_line))


_current: ContextVar[Progress | None] = ContextVar("progress", default=None)


@contextmanager
def watched(silence_seconds: float) -> Iterator[Progress]:
    """Collect the progress of everything that is called in the block."""
    progress = Progress(silence_seconds)
    token = _current.set(progress)
    try:
        yield progress
    finally:
        _current.reset(token)


def made() -> None:
    """Report a finished step or received bytes."""
    if (progress := _current.get()) is not None:
        progress.made()


@contextmanager
def in_line() -> Iterator[None]:
    """Report a wait for others that may be long."""
    if (progress := _current.get()) is None:
        yield
        return
    with progress.in_line():
        yield
