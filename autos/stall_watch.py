"""Detects stalled activities: code reports its progress here, and the heartbeat reads it.

Code that transfers or waits calls `progressed` and `queued`; outside of an activity they do
nothing. A watch covers the task that starts it and the tasks created in it. It detects steps, not
whether they were useful.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from time import monotonic
from typing import Final

from autos.settings import Settings

MAX_QUEUED_SECONDS: Final = 3 * 3600.0
"""Maximum wait for a job's slot, a court's turn or a permit. Requests ahead in the queue are
watched, too."""
_STORE_TRIES_SECONDS: Final = 210.0
"""Three tries of a small object: 10 s to connect and 60 s to answer, each."""


def stall_seconds(settings: Settings) -> float:
    """After how long without progress an activity is ended: more than any single step may take."""
    source = max(settings.source_metadata_timeout, settings.source_idle_timeout)
    return source + _STORE_TRIES_SECONDS


class StallWatch:
    """The progress of one activity.

    Args:
        stall_seconds: the longest time without progress, unless something is queued.
    """

    def __init__(self, stall_seconds: float) -> None:
        self._stall_seconds = stall_seconds
        self._progressed_at = monotonic()
        self._queued_until: list[float] = []

    def progressed(self) -> None:
        """Record a finished step or received bytes."""
        self._progressed_at = monotonic()

    @contextmanager
    def queued(self) -> Iterator[None]:
        """Record a wait in a queue, for which `MAX_QUEUED_SECONDS` is the limit."""
        until = monotonic() + MAX_QUEUED_SECONDS
        self._queued_until.append(until)
        try:
            yield
        finally:
            self._queued_until.remove(until)
            self.progressed()

    @property
    def is_queued(self) -> bool:
        """True while something waits in a queue."""
        return bool(self._queued_until)

    @property
    def stalled(self) -> bool:
        """True once the limits have passed without progress."""
        return monotonic() >= max((self._progressed_at + self._stall_seconds, *self._queued_until))


_current: ContextVar[StallWatch | None] = ContextVar("stall_watch", default=None)


@contextmanager
def watched(stall_seconds: float) -> Iterator[StallWatch]:
    """Watch everything that is called in the block."""
    watch = StallWatch(stall_seconds)
    token = _current.set(watch)
    try:
        yield watch
    finally:
        _current.reset(token)


def progressed() -> None:
    """Report a finished step or received bytes."""
    if (watch := _current.get()) is not None:
        watch.progressed()


@contextmanager
def queued() -> Iterator[None]:
    """Report a wait in a queue, which may be long."""
    if (watch := _current.get()) is None:
        yield
        return
    with watch.queued():
        yield
