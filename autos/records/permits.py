"""A bound on the concurrent requests to the source, over all worker processes.

Permit *i* of *N* is PostgreSQL's advisory lock number *i*. A worker takes locks as its demand grows
and releases those that it has not needed for a while, so in the steady state a request costs no
query. A worker's locks belong to one connection: when the worker dies, even by kill -9, the server
frees them at once.

A permit is not a particular lock: a worker runs as many requests as it holds locks. If it loses its
connection, and so all locks, its requests in flight continue, and the first locks it regains count
for them; no new request starts before each of them has one. For `GRACE_SECONDS` it takes no other
locks, so that workers that lost theirs at the same moment can take them back.

A worker that waits for permits holds a shared lock; workers that hold more than their share then
release the rest, so a busy worker cannot starve another. A remainder is assigned in turns.

Does not guarantee equal shares. If one worker alone loses its connection, others may take its locks
first; then the bound is exceeded by no more than the requests it had in flight, while these last.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import asyncpg
import structlog

from autos.records.database import Database, DatabaseUnreachable

log = structlog.get_logger(__name__)

GRACE_SECONDS: Final = 3.0
"""After a lost connection, only requests in flight get locks for this long."""
OUTAGE_SECONDS: Final = 30.0
"""Without a connection, a wait for a permit fails after this long."""
LOCK_SPACE: Final = 7_239_002
_WAITING_SPACE: Final = 7_239_003
_RETRY_SECONDS: Final = 0.1
"""Between two attempts to take a lock that another worker holds."""
_LONGEST_PAUSE: Final = 1.0
"""Seconds between two attempts to connect; well below `GRACE_SECONDS`."""
_IDLE_SECONDS: Final = 1.0
"""A lock that was not needed for this long is released."""
_TURN_SECONDS: Final = 5
"""How long a worker keeps the remainder that cannot be shared out evenly."""

# The caller excludes locks that it holds, instead of a second condition: the planner may evaluate
# that one last, and a lock that is taken twice is not freed by one unlock.
_TAKE: Final = (
    f"SELECT number FROM unnest($1::int[]) AS number "  # noqa: S608 - our own constants
    f"WHERE pg_try_advisory_lock({LOCK_SPACE}, number) LIMIT $2"
)
_RELEASE: Final = (
    f"SELECT pg_advisory_unlock({LOCK_SPACE}, number) FROM unnest($1::int[]) AS number"  # noqa: S608 - our own constants
)
_ANNOUNCE_WAITING: Final = f"SELECT pg_try_advisory_lock_shared({_WAITING_SPACE}, 0)"
_WITHDRAW_WAITING: Final = f"SELECT pg_advisory_unlock_shared({_WAITING_SPACE}, 0)"
_OTHERS_WAITING: Final = (
    "SELECT count(*) AS others, "  # noqa: S608 - our own constants
    "count(*) FILTER (WHERE pid < pg_backend_pid()) AS before, "
    f"floor(extract(epoch FROM now()) / {_TURN_SECONDS})::bigint AS turn "
    "FROM pg_locks WHERE locktype = 'advisory' AND granted "
    f"AND classid = {_WAITING_SPACE} AND pid <> pg_backend_pid()"
)


class DatabasePermits:
    """At most `most` concurrent requests over all processes that share the database."""

    def __init__(self, database: Database, most: int) -> None:
        self._database = database
        self._most = most
        self._share = most
        self._connection: asyncpg.Connection | None = None
        self._locked: set[int] = set()
        self._in_flight = 0
        self._least_spare = 0
        self._waiters: deque[asyncio.Future[None]] = deque()
        self._announced = False
        self._no_growth_until = 0.0
        self._next_review = 0.0
        self._wake_up = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @asynccontextmanager
    async def permit(self) -> AsyncIterator[None]:
        """Wait for a permit and hold it.

        Raises:
            DatabaseUnreachable: the database has been unreachable for `OUTAGE_SECONDS`.
        """
        await self._acquire()
        try:
            yield
        finally:
            self._release()

    async def close(self) -> None:
        """Release every lock."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        self._lose_connection()

    # ---------------------------------------------------------------------------------- requests

    @property
    def _spare(self) -> int:
        """Locks that no request uses; negative while requests run whose locks were lost."""
        return len(self._locked) - self._in_flight

    async def _acquire(self) -> None:
        if self._task is None:
            self._task = asyncio.create_task(self._maintain())
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        self._serve()
        if not waiter.done():
            self._wake_up.set()
        try:
            await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled():
                # The permit was granted before the cancellation arrived.
                self._release()
            raise

    def _release(self) -> None:
        self._in_flight -= 1
        self._serve()
        if len(self._locked) > self._share:
            # The task releases it to a worker that has less than its share.
            self._wake_up.set()

    def _serve(self) -> None:
        """Grant permits, the longest wait first, as far as there are locks."""
        while self._waiters and self._in_flight < min(len(self._locked), self._share):
            waiter = self._waiters.popleft()
            if not waiter.done():
                self._in_flight += 1
                waiter.set_result(None)
        self._least_spare = min(self._least_spare, self._spare)

    def _fail_waiters(self) -> None:
        """Fail every wait for a permit: the database stays unreachable."""
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_exception(DatabaseUnreachable("There is no connection for permits"))
        self._waiters.clear()

    # ------------------------------------------------------------------------------ the database

    @property
    def _lacking(self) -> int:
        """Number of locks to be taken now."""
        wanted = self._in_flight
        if asyncio.get_running_loop().time() >= self._no_growth_until:
            wanted = max(wanted, min(wanted + self._waiting, self._share))
        return wanted - len(self._locked)

    @property
    def _waiting(self) -> int:
        return sum(not waiter.done() for waiter in self._waiters)

    async def _maintain(self) -> None:
        """Hold as many locks as are needed; the only user of the connection, restores it."""
        pause = _RETRY_SECONDS
        away_since: float | None = None
        while True:
            self._wake_up.clear()
            try:
                if self._connection is None and (self._in_flight or self._waiting):
                    await self._connect()
                if self._connection is not None:
                    await self._adjust(self._connection)
                    away_since = None
                pause = _RETRY_SECONDS
            except Exception as error:  # noqa: BLE001 - waits must be served once it is over
                log.warning("permits_lost", error=type(error).__name__, in_flight=self._in_flight)
                self._lose_connection()
                present = asyncio.get_running_loop().time()
                away_since = away_since or present
                if present >= away_since + OUTAGE_SECONDS:
                    self._fail_waiters()
                await asyncio.sleep(pause)
                pause = min(2 * pause, _LONGEST_PAUSE)
                continue
            short = self._lacking > 0 or self._waiting > 0
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_RETRY_SECONDS if short else _IDLE_SECONDS):
                    await self._wake_up.wait()

    async def _adjust(self, connection: asyncpg.Connection) -> None:
        await self._unlock(connection, len(self._locked) - self._share)
        if (lacking := self._lacking) > 0:
            candidates = [number for number in range(self._most) if number not in self._locked]
            rows = await connection.fetch(_TAKE, candidates, lacking)
            self._locked.update(row["number"] for row in rows)
        self._serve()
        await self._announce_waiting(connection)
        if asyncio.get_running_loop().time() >= self._next_review:
            await self._review_share(connection)

    async def _unlock(self, connection: asyncpg.Connection, most: int) -> None:
        numbers = sorted(self._locked, reverse=True)[: max(0, min(most, self._spare))]
        if numbers:
            # Removed first: no request may be granted a lock that is being released.
            self._locked.difference_update(numbers)
            await connection.execute(_RELEASE, numbers)

    async def _announce_waiting(self, connection: asyncpg.Connection) -> None:
        waiting = self._lacking > 0 or self._waiting > 0
        if waiting != self._announced:
            await connection.execute(_ANNOUNCE_WAITING if waiting else _WITHDRAW_WAITING)
            self._announced = waiting

    async def _review_share(self, connection: asyncpg.Connection) -> None:
        """Release idle locks, and compute this worker's share from the other waiting workers."""
        await self._unlock(connection, self._least_spare)
        self._least_spare = self._spare
        row = await connection.fetchrow(_OTHERS_WAITING)
        workers = row["others"] + 1
        place = (row["before"] + row["turn"]) % workers
        self._share = self._most * (place + 1) // workers - self._most * place // workers
        self._next_review = asyncio.get_running_loop().time() + _IDLE_SECONDS

    async def _connect(self) -> None:
        connection = await self._database.connect("permits")
        connection.add_termination_listener(self._on_termination)
        self._connection = connection

    def _on_termination(self, connection: Any) -> None:
        if connection is self._connection:
            self._lose_connection()
            self._wake_up.set()

    def _lose_connection(self) -> None:
        connection, self._connection = self._connection, None
        self._locked.clear()
        self._announced = False
        if connection is not None:
            self._no_growth_until = asyncio.get_running_loop().time() + GRACE_SECONDS
            connection.terminate()
