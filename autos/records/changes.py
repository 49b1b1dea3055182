"""Tells who waits for a process that something of it has changed, by LISTEN/NOTIFY.

A transaction announces the process it writes about; one connection in each API process listens.
While that connection is down, everybody who waits is woken every few seconds to look for
themselves. A wake-up says that something may be new, not what, and not that it is much.
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
"""Between two questions that find out whether the server is still there."""
_LONGEST_PAUSE: Final = 5.0
"""Between two tries to connect, and so between two wake-ups while there is no connection."""
_REMEMBERED: Final = 10_000
"""Processes of which it is known when they changed last."""


async def announce(session: AsyncSession, digits: str) -> None:
    """Say at the end of the transaction that it changes something of this process."""
    await session.execute(select(func.pg_notify(CHANNEL, digits)))


async def announce_jobs(session: AsyncSession, job_ids: Iterable[str]) -> None:
    """The same of the processes of these jobs."""
    numbers = select(Job.process_number).where(Job.id.in_(set(job_ids))).distinct().subquery()
    await session.execute(select(func.pg_notify(CHANNEL, numbers.c.process_number)))


class Watch:
    """One who waits for changes of one process."""

    def __init__(self, changes: "Changes", digits: str) -> None:
        self._changes = changes
        self._digits = digits
        self._changed = asyncio.Event()

    def wake(self) -> None:
        """Something may have changed."""
        self._changed.set()

    async def change(self, seconds: float) -> None:
        """Return at the next change, or after this time."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._changed.wait()
        self._changed.clear()

    @property
    def changed_at(self) -> float:
        """An answer that was begun after this moment of the loop's clock is not out of date."""
        return self._changes.changed_at(self._digits)


class Changes:
    """The listening end: one per API process."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._watches: dict[str, set[Watch]] = {}
        self._changed: OrderedDict[str, float] = OrderedDict()
        self._all_changed = 0.0

    @contextlib.asynccontextmanager
    async def following(self) -> AsyncIterator[None]:
        """Listen while the block lasts."""
        task = asyncio.create_task(self._follow())
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    @contextlib.contextmanager
    def watching(self, digits: str) -> Iterator[Watch]:
        """Be woken by changes of this process while the block lasts."""
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
        """Wake who waits for this process."""
        self._changed[digits] = asyncio.get_running_loop().time()
        self._changed.move_to_end(digits)
        if len(self._changed) > _REMEMBERED:
            self._changed.popitem(last=False)
        for watch in self._watches.get(digits, ()):
            watch.wake()

    def changed_at(self, digits: str) -> float:
        """When the process changed last, as far as it is known here."""
        return max(self._changed.get(digits, 0.0), self._all_changed)

    def _all_may_have_changed(self) -> None:
        self._all_changed = asyncio.get_running_loop().time()
        for watches in self._watches.values():
            for watch in watches:
                watch.wake()

    async def _follow(self) -> None:
        pause = 0.1
        while True:
            try:
                connection = await self._database.connect("changes")
                try:
                    await connection.add_listener(CHANNEL, self._on_notification)
                    # What changed while nothing was heard.
                    self._all_may_have_changed()
                    pause = 0.1
                    await _until_lost(connection)
                finally:
                    connection.terminate()
            except Exception as error:  # noqa: BLE001 - whatever it is, listening must go on
                log.warning("changes_not_followed", error=type(error).__name__)
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
