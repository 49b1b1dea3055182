"""A bound that holds over all worker processes: so many requests towards the source at once.

Permit *i* of *N* is PostgreSQL's advisory lock number *i*. A worker takes permits as its own demand
grows and gives back what it has not needed for a while, so in the steady state a request costs no
question to the database. The locks belong to one connection: when a worker dies, even by kill -9,
the server frees them at once.

Not promised: fairness between workers to the millisecond; and while the database itself restarts,
requests already in flight end without their permit.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from autos.records.database import Database

_LOCK_SPACE: Final = 7_239_002
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


class DatabasePermits:
    """At most `most` requests in flight over all processes that share the database."""

    def __init__(self, database: Database, most: int) -> None:
        self._database = database
        self._most = most
        self._connection: AsyncConnection | None = None
        self._talking = asyncio.Lock()
        self._held: set[int] = set()
        self._free: list[int] = []
        self._least_free = 0
        self._waiters: deque[asyncio.Future[int]] = deque()
        self._asking: asyncio.Task[None] | None = None
        self._trimming: asyncio.Task[None] | None = None

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
        for task in (self._asking, self._trimming):
            if task is not None:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task
        await self._drop_connection()

    async def _acquire(self) -> int:
        if self._trimming is None:
            self._trimming = asyncio.create_task(self._trim_for_ever())
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
        while self._waiters and len(self._held) < self._most:
            numbers = await self._take(len(self._waiters))
            for number in numbers:
                self._release(number)
            if not numbers:
                await asyncio.sleep(_RETRY_SECONDS)

    async def _take(self, wanted: int) -> list[int]:
        async with self._talking:
            try:
                connection = await self._connected()
                rows = await connection.execute(
                    _TAKE,
                    {
                        "most": self._most,
                        "held": list(self._held),
                        "space": _LOCK_SPACE,
                        "wanted": wanted,
                    },
                )
            except (DBAPIError, OSError):
                await self._drop_connection()
                return []
            numbers = [int(row.number) for row in rows]
            self._held.update(numbers)
            return numbers

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

    async def _trim_for_ever(self) -> None:
        while True:
            self._least_free = len(self._free)
            await asyncio.sleep(_IDLE_SECONDS)
            if idle := min(self._least_free, len(self._free)):
                await self._give_back(idle)

    async def _give_back(self, idle: int) -> None:
        numbers, self._free = self._free[:idle], self._free[idle:]
        async with self._talking:
            try:
                connection = await self._connected()
                await connection.execute(_GIVE_BACK, {"space": _LOCK_SPACE, "numbers": numbers})
            except (DBAPIError, OSError):
                await self._drop_connection()
            self._held.difference_update(numbers)
