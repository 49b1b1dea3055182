"""A bound that holds over all worker processes: so many requests towards the source at once.

Permit *i* of *N* is PostgreSQL's advisory lock number *i*. A worker takes permits as its own demand
grows and gives back what it has not needed for a while, so in the steady state a request costs no
question to the database. The locks belong to one connection: when a worker dies, even by kill -9,
the server frees them at once.

A worker that waits for permits says so by a shared lock; who holds more than its share then lets
the rest go, so a busy worker cannot starve another. Not promised: that shares are always equal; and
while the database itself restarts, requests already in flight end without their permit.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

from sqlalchemy import Row, TextClause, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from autos.records.database import Database

LOCK_SPACE: Final = 7_239_002
_WAITING_SPACE: Final = 7_239_003
_RETRY_SECONDS: Final = 0.1
"""Between two looks for a permit that another worker holds."""
_IDLE_SECONDS: Final = 1.0
"""A permit that was not needed for this long goes back."""

_TAKE: Final = text(
    "SELECT number FROM generate_series(0, :most - 1) AS number "
    "WHERE number <> ALL(:held) AND pg_try_advisory_lock(:space, number) LIMIT :wanted"
)
_GIVE_BACK: Final = text(
    "SELECT pg_advisory_unlock(:space, number) FROM unnest(CAST(:numbers AS int[])) AS number"
)
_SAY_WAITING: Final = text("SELECT pg_try_advisory_lock_shared(:waiting, 0)")
_SAY_SERVED: Final = text("SELECT pg_advisory_unlock_shared(:waiting, 0)")
_OTHERS_WAITING: Final = text(
    "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted "
    "AND classid = CAST(:waiting AS int) AND pid <> pg_backend_pid()"
)


class DatabasePermits:
    """At most `most` requests in flight over all processes that share the database."""

    def __init__(self, database: Database, most: int) -> None:
        self._database = database
        self._most = most
        self._share = most
        self._connection: AsyncConnection | None = None
        self._talking = asyncio.Lock()
        self._held: set[int] = set()
        self._free: list[int] = []
        self._letting_go: set[asyncio.Task[None]] = set()
        self._least_free = 0
        self._waiters: deque[asyncio.Future[int]] = deque()
        self._asking: asyncio.Task[None] | None = None
        self._balancing: asyncio.Task[None] | None = None

    @asynccontextmanager
    async def permit(self, key: str) -> AsyncIterator[None]:  # noqa: ARG002 - one bound for all
        """Wait for a permit and hold it."""
        number = await self._acquire()
        try:
            yield
        finally:
            self._release(number)

    async def close(self) -> None:
        """Give everything back."""
        for task in (self._asking, self._balancing, *self._letting_go):
            if task is not None:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task
        await self._drop_connection()

    async def _acquire(self) -> int:
        if self._balancing is None:
            self._balancing = asyncio.create_task(self._balance_for_ever())
        if self._free:
            number = self._free.pop()
            self._least_free = min(self._least_free, len(self._free))
            return number
        waiter: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        self._ask()
        try:
            return await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled():
                # The permit and the cancellation came in the same moment.
                self._release(waiter.result())
            raise

    def _release(self, number: int) -> None:
        if number not in self._held:
            # From a connection that is gone, and so no longer ours.
            self._ask()
            return
        if len(self._held) > self._share:
            self._held.discard(number)
            task = asyncio.create_task(self._give_back([number]))
            self._letting_go.add(task)
            task.add_done_callback(self._letting_go.discard)
            return
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(number)
                return
        self._free.append(number)

    def _ask(self) -> None:
        """Have somebody ask the database for permits as long as somebody waits for one."""
        if self._waiters and (self._asking is None or self._asking.done()):
            self._asking = asyncio.create_task(self._ask_while_wanted())

    async def _ask_while_wanted(self) -> None:
        said = False
        while self._waiters and len(self._held) < self._share:
            numbers = await self._take(min(len(self._waiters), self._share - len(self._held)))
            for number in numbers:
                self._release(number)
            if not numbers:
                said = said or bool(await self._query(_SAY_WAITING))
                await asyncio.sleep(_RETRY_SECONDS)
        if said:
            await self._query(_SAY_SERVED)

    async def _take(self, wanted: int) -> list[int]:
        rows = await self._query(
            _TAKE,
            most=self._most,
            held=list(self._held),
            space=LOCK_SPACE,
            wanted=wanted,
        )
        numbers = [int(row.number) for row in rows]
        self._held.update(numbers)
        return numbers

    async def _give_back(self, numbers: list[int]) -> None:
        await self._query(_GIVE_BACK, space=LOCK_SPACE, numbers=numbers)

    async def _query(self, statement: TextClause, **values: object) -> Sequence[Row[Any]]:
        """The rows, or none when the database is away; then all permits are gone, too."""
        if ":waiting" in statement.text:
            values["waiting"] = _WAITING_SPACE
        async with self._talking:
            try:
                connection = await self._connected()
                return (await connection.execute(statement, values)).all()
            except (DBAPIError, OSError):
                await self._drop_connection()
                return []

    async def _connected(self) -> AsyncConnection:
        if self._connection is None:
            connection = await self._database.engine.connect()
            self._connection = await connection.execution_options(isolation_level="AUTOCOMMIT")
        return self._connection

    async def _drop_connection(self) -> None:
        connection, self._connection = self._connection, None
        self._held.clear()
        self._free.clear()
        if connection is not None:
            # The locks go with the server's session, so the connection must not return to the pool.
            with contextlib.suppress(DBAPIError, OSError):
                await connection.invalidate()
            await connection.close()

    async def _balance_for_ever(self) -> None:
        while True:
            self._least_free = len(self._free)
            await asyncio.sleep(_IDLE_SECONDS)
            if idle := min(self._least_free, len(self._free)):
                numbers, self._free = self._free[:idle], self._free[idle:]
                self._held.difference_update(numbers)
                await self._give_back(numbers)
            elif self._held:
                rows = await self._query(_OTHERS_WAITING)
                others = rows[0][0] if rows else 0
                self._share = max(1, self._most // (others + 1))
                self._ask()
