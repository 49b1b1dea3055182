"""A bound that holds over all worker processes: so many requests towards the source at once.

Permit *i* of *N* is PostgreSQL's advisory lock number *i*. A worker takes locks as its own demand
grows and gives back what it has not needed for a while, so in the steady state a request costs no
question to the database. The locks belong to one connection of the worker's own: when a worker
dies, even by kill -9, the server frees them at once.

A permit is not a certain lock: a worker lets as many requests run as it holds locks. When it loses
its connection, and so all locks, its requests in flight go on, and the first locks that it gets
again stand for them. Until all of them have one, nothing new is let through; and for
`GRACE_SECONDS` no other lock is taken, so that workers that lost theirs at the same moment find
their places free.

A worker that waits for permits says so by a shared lock; who holds more than its share then lets
the rest go, so a busy worker cannot starve another. What cannot be shared out evenly goes round.

Not promised: that shares are always equal. And when one worker alone loses its connection, others
may take its locks before it does; then the bound is exceeded by no more than the requests it had
in flight at that moment, and for no longer than these last.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import asyncpg
import structlog

from autos.records.database import Database
from autos.records.errors import DatabaseUnreachable

log = structlog.get_logger(__name__)

GRACE_SECONDS: Final = 3.0
"""After a lost connection, only requests in flight get locks for so long."""
OUTAGE_SECONDS: Final = 30.0
"""Who waits for a permit while there is no connection learns after so long that there is none."""
LOCK_SPACE: Final = 7_239_002
_WAITING_SPACE: Final = 7_239_003
_RETRY_SECONDS: Final = 0.1
"""Between two looks for a permit that another worker holds."""
_LONGEST_PAUSE: Final = 1.0
"""Between two tries to connect; well within the grace."""
_IDLE_SECONDS: Final = 1.0
"""A permit that was not needed for this long goes back."""
_TURN_SECONDS: Final = 5
"""After this time another worker gets what cannot be shared out evenly."""

# The candidates are chosen here, not by a second condition: the planner may evaluate that one last,
# and a lock that is taken twice is not freed by one unlock.
_TAKE: Final = (
    f"SELECT number FROM unnest($1::int[]) AS number "  # noqa: S608 - our own constants
    f"WHERE pg_try_advisory_lock({LOCK_SPACE}, number) LIMIT $2"
)
_GIVE_BACK: Final = (
    f"SELECT pg_advisory_unlock({LOCK_SPACE}, number) FROM unnest($1::int[]) AS number"  # noqa: S608 - our own constants
)
_SAY_WAITING: Final = f"SELECT pg_try_advisory_lock_shared({_WAITING_SPACE}, 0)"
_SAY_SERVED: Final = f"SELECT pg_advisory_unlock_shared({_WAITING_SPACE}, 0)"
_OTHERS_WAITING: Final = (
    "SELECT count(*) AS others, "  # noqa: S608 - our own constants
    "count(*) FILTER (WHERE pid < pg_backend_pid()) AS before, "
    f"floor(extract(epoch FROM now()) / {_TURN_SECONDS})::bigint AS turn "
    "FROM pg_locks WHERE locktype = 'advisory' AND granted "
    f"AND classid = {_WAITING_SPACE} AND pid <> pg_backend_pid()"
)


class DatabasePermits:
    """At most `most` requests in flight over all processes that share the database."""

    def __init__(self, database: Database, most: int) -> None:
        self._database = database
        self._most = most
        self._share = most
        self._connection: asyncpg.Connection | None = None
        self._locked: set[int] = set()
        self._in_flight = 0
        self._least_spare = 0
        self._waiters: deque[asyncio.Future[None]] = deque()
        self._said_waiting = False
        self._no_growth_until = 0.0
        self._look_around_at = 0.0
        self._something_to_do = asyncio.Event()
        self._keeper: asyncio.Task[None] | None = None

    @asynccontextmanager
    async def permit(self) -> AsyncIterator[None]:
        """Wait for a permit and hold it.

        Raises:
            DatabaseUnreachable: the records have been away for `OUTAGE_SECONDS`.
        """
        await self._acquire()
        try:
            yield
        finally:
            self._release()

    async def close(self) -> None:
        """Give everything back."""
        if self._keeper is not None:
            self._keeper.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._keeper
        self._lose_connection()

    # ------------------------------------------------------------------ the requests' side

    @property
    def _spare(self) -> int:
        """Locks that no request uses; negative while requests go on whose locks were lost."""
        return len(self._locked) - self._in_flight

    async def _acquire(self) -> None:
        if self._keeper is None:
            self._keeper = asyncio.create_task(self._keep())
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        self._serve()
        if not waiter.done():
            self._something_to_do.set()
        try:
            await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled():
                # The permit and the cancellation came in the same moment.
                self._release()
            raise

    def _release(self) -> None:
        self._in_flight -= 1
        self._serve()
        if len(self._locked) > self._share:
            # The keeper gives it back, so that a worker with less than its share gets it.
            self._something_to_do.set()

    def _serve(self) -> None:
        """Let requests through, the oldest first, as far as there are locks for them."""
        while self._waiters and self._in_flight < min(len(self._locked), self._share):
            waiter = self._waiters.popleft()
            if not waiter.done():
                self._in_flight += 1
                waiter.set_result(None)
        self._least_spare = min(self._least_spare, self._spare)

    def _refuse(self) -> None:
        """Let nobody wait in silence for records that stay away."""
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_exception(DatabaseUnreachable("There is no connection for permits"))
        self._waiters.clear()

    # ------------------------------------------------------------------ the database's side

    @property
    def _lacking(self) -> int:
        """Locks to be taken now."""
        wanted = self._in_flight
        if asyncio.get_running_loop().time() >= self._no_growth_until:
            wanted = max(wanted, min(wanted + self._waiting, self._share))
        return wanted - len(self._locked)

    @property
    def _waiting(self) -> int:
        return sum(not waiter.done() for waiter in self._waiters)

    async def _keep(self) -> None:
        """Keep as many locks as are needed; alone uses the connection, and outlives its loss."""
        pause = _RETRY_SECONDS
        away_since: float | None = None
        while True:
            self._something_to_do.clear()
            try:
                if self._connection is None and (self._in_flight or self._waiting):
                    await self._connect()
                if self._connection is not None:
                    await self._keep_up(self._connection)
                    away_since = None
                pause = _RETRY_SECONDS
            except Exception as error:  # noqa: BLE001 - whoever waits must be served when it is over
                log.warning("permits_lost", error=type(error).__name__, in_flight=self._in_flight)
                self._lose_connection()
                moment = asyncio.get_running_loop().time()
                away_since = away_since or moment
                if moment >= away_since + OUTAGE_SECONDS:
                    self._refuse()
                await asyncio.sleep(pause)
                pause = min(2 * pause, _LONGEST_PAUSE)
                continue
            short = self._lacking > 0 or self._waiting > 0
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_RETRY_SECONDS if short else _IDLE_SECONDS):
                    await self._something_to_do.wait()

    async def _keep_up(self, connection: asyncpg.Connection) -> None:
        await self._give_back(connection, len(self._locked) - self._share)
        if (lacking := self._lacking) > 0:
            candidates = [number for number in range(self._most) if number not in self._locked]
            rows = await connection.fetch(_TAKE, candidates, lacking)
            self._locked.update(row["number"] for row in rows)
        self._serve()
        await self._say_whether_waiting(connection)
        if asyncio.get_running_loop().time() >= self._look_around_at:
            await self._look_around(connection)

    async def _give_back(self, connection: asyncpg.Connection, most: int) -> None:
        numbers = sorted(self._locked, reverse=True)[: max(0, min(most, self._spare))]
        if numbers:
            # Counted out first: a request must not be let through on a lock that is on its way.
            self._locked.difference_update(numbers)
            await connection.execute(_GIVE_BACK, numbers)

    async def _say_whether_waiting(self, connection: asyncpg.Connection) -> None:
        waiting = self._lacking > 0 or self._waiting > 0
        if waiting != self._said_waiting:
            await connection.execute(_SAY_WAITING if waiting else _SAY_SERVED)
            self._said_waiting = waiting

    async def _look_around(self, connection: asyncpg.Connection) -> None:
        """Once in a while: give back what was idle, and learn who else waits."""
        await self._give_back(connection, self._least_spare)
        self._least_spare = self._spare
        row = await connection.fetchrow(_OTHERS_WAITING)
        workers = row["others"] + 1
        place = (row["before"] + row["turn"]) % workers
        self._share = self._most * (place + 1) // workers - self._most * place // workers
        self._look_around_at = asyncio.get_running_loop().time() + _IDLE_SECONDS

    async def _connect(self) -> None:
        connection = await self._database.connect("permits")
        connection.add_termination_listener(self._on_termination)
        self._connection = connection

    def _on_termination(self, connection: Any) -> None:
        if connection is self._connection:
            self._lose_connection()
            self._something_to_do.set()

    def _lose_connection(self) -> None:
        connection, self._connection = self._connection, None
        self._locked.clear()
        self._said_waiting = False
        if connection is not None:
            self._no_growth_until = asyncio.get_running_loop().time() + GRACE_SECONDS
            connection.terminate()
