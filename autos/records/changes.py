"""Notifies waiting requests that a process has changed, by LISTEN/NOTIFY.

A transaction announces the process whose rows it writes; one connection in each API process
listens. While that connection is down, every waiter is woken every few seconds to check the rows. A
wake-up carries no details, and may be spurious.
"""

import asyncio
import contextlib
from collections import OrderedDict
from collections.abc import AsyncIterator, Iterable, Iterator
from typing import Any, Final

import asyncpg
import structlog
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from autos.records.database import Database
from autos.records.models import Job

log = structlog.get_logger(__name__)

CHANNEL: Final = "autos_process"
_CHECK_SECONDS: Final = 10.0
"""Between two checks that the server still answers."""
_FIRST_PAUSE: Final = 0.1
_LONGEST_PAUSE: Final = 5.0
"""Seconds between two attempts to connect, and so between wake-ups while disconnected."""
_MAX_REMEMBERED: Final = 10_000
"""Number of processes whose last change is remembered."""


async def announce(session: AsyncSession, digits: str) -> None:
    """Notify on commit that rows of this process have changed."""
    await session.execute(select(func.pg_notify(CHANNEL, digits)))


async def announce_jobs(session: AsyncSession, job_ids: Iterable[str]) -> None:
    """Notify on commit that rows of the processes of these jobs have changed."""
    numbers = select(Job.process_number).where(Job.id.in_(set(job_ids))).distinct().subquery()
    await session.execute(select(func.pg_notify(CHANNEL, numbers.c.process_number)))


class Watch:
    """Waits for changes of one process."""

    def __init__(self, changes: "Changes", digits: str) -> None:
        self._changes = changes
        self._digits = digits
        self._changed = asyncio.Event()

    def wake(self) -> None:
        """Report a possible change."""
        self._changed.set()

    async def change(self, seconds: float) -> None:
        """Return at the next change, or after this many seconds."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._changed.wait()
        self._changed.clear()

    @property
    def changed_at(self) -> float:
        """Event loop time of the last change; an answer started after it is up to date."""
        return self._changes.changed_at(self._digits)


class Changes:
    """Listens for changes; one per API process."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._watches: dict[str, set[Watch]] = {}
        self._changed: OrderedDict[str, float] = OrderedDict()
        self._all_changed = 0.0

    @contextlib.asynccontextmanager
    async def following(self) -> AsyncIterator[None]:
        """Listen for the duration of the block."""
        task = asyncio.create_task(self._follow())
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    @contextlib.contextmanager
    def watching(self, digits: str) -> Iterator[Watch]:
        """Watch a process for the duration of the block."""
        watch = Watch(self, digits)
        self._watches.setdefault(digits, set()).add(watch)
        try:
            yield watch
        finally:
            watches = self._watches[digits]
            watches.discard(watch)
            if not watches:
                del self._watches[digits]

    def changed(self, digits: str) -> None:
        """Wake the watches of this process."""
        self._changed[digits] = asyncio.get_running_loop().time()
        self._changed.move_to_end(digits)
        if len(self._changed) > _MAX_REMEMBERED:
            self._changed.popitem(last=False)
        for watch in self._watches.get(digits, ()):
            watch.wake()

    def changed_at(self, digits: str) -> float:
        """Event loop time of the process's last known change; 0 if none is known."""
        return max(self._changed.get(digits, 0.0), self._all_changed)

    def _all_may_have_changed(self) -> None:
        self._all_changed = asyncio.get_running_loop().time()
        for watches in self._watches.values():
            for watch in watches:
                watch.wake()

    async def _follow(self) -> None:
        pause = _FIRST_PAUSE
        while True:
            try:
                connection = await self._database.connect("changes")
                try:
                    await connection.add_listener(CHANNEL, self._on_notification)
                    # Notifications were missed while disconnected.
                    self._all_may_have_changed()
                    pause = _FIRST_PAUSE
                    await _until_lost(connection)
                finally:
                    connection.terminate()
            except Exception as error:  # noqa: BLE001 - listening must continue after any error
                log.warning("changes_listener_failed", error=type(error).__name__)
            self._all_may_have_changed()
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)

    def _on_notification(self, _connection: Any, _pid: int, _channel: str, digits: object) -> None:
        self.changed(str(digits))


async def _until_lost(connection: asyncpg.Connection) -> None:
    lost = asyncio.Event()
    connection.add_termination_listener(lambda _: lost.set())
    while not connection.is_closed():
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_CHECK_SECONDS):
                await lost.wait()
                return
        # Raises if the server does not answer.
        await connection.execute("SELECT 1")
