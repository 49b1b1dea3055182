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
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, InterfaceError
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
        self._free: list[int] = []
        self._held: set[int] = set()
        self._waiting = 0
        self._least_free = 0
        self._asking = asyncio.Lock()
        self._trimming: asyncio.Task[None] | None = None

    @asynccontextmanager
    async def permit(self, key: str) -> AsyncIterator[None]:  # noqa: ARG002 - one bound for all
        """Wait for a permit and hold it."""
        number = await self._acquire()
        try:
            yield
        finally:
            # One from a connection that is gone is no longer ours.
            if number in self._held:
                self._free.append(number)

    async def _acquire(self) -> int:
        if self._trimming is None:
            self._trimming = asyncio.create_task(self._trim_for_ever())
        self._waiting += 1
        try:
            while not self._free:
                async with self._asking:
                    # Somebody else may have got one for us while we waited for our turn.
                    if not self._free and not await self._take():
                        await asyncio.sleep(_RETRY_SECONDS)
            permit = self._free.pop()
            self._least_free = min(self._least_free, len(self._free))
            return permit
        finally:
            self._waiting -= 1

    async def close(self) -> None:
        """Give everything back."""
        if self._trimming is not None:
            self._trimming.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._trimming
        await self._drop_connection()

    async def _take(self) -> bool:
        try:
            connection = await self._connected()
            rows = await connection.execute(
                _TAKE,
                {
                    "most": self._most,
                    "held": list(self._held),
                    "space": _LOCK_SPACE,
                    "wanted": max(1, self._waiting),
                },
            )
        except (DBAPIError, InterfaceError, OSError):
            await self._drop_connection()
            return False
        numbers = [int(row.number) for row in rows]
        self._held.update(numbers)
        self._free.extend(numbers)
        return bool(numbers)

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
            with contextlib.suppress(DBAPIError, InterfaceError, OSError):
                await connection.invalidate()
            await connection.close()

    async def _trim_for_ever(self) -> None:
        while True:
            self._least_free = len(self._free)
            await asyncio.sleep(_IDLE_SECONDS)
            idle = min(self._least_free, len(self._free))
            if idle:
                async with self._asking:
                    await self._give_back(idle)

    async def _give_back(self, idle: int) -> None:
        numbers = [self._free.pop(0) for _ in range(min(idle, len(self._free)))]
        self._held.difference_update(numbers)
        try:
            connection = await self._connected()
            await connection.execute(_GIVE_BACK, {"space": _LOCK_SPACE, "numbers": numbers})
        except (DBAPIError, InterfaceError, OSError):
            await self._drop_connection()
