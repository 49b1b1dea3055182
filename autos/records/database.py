"""The records' connections: one pool per process, opened at start and closed at the end.

Nothing here waits without a bound. A connection that the server closed while it was idle (a
restart) is replaced before it is handed out; one that is lost in use is for the caller to bear.
"""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Final, Protocol, Self

import asyncpg
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker

from autos.records.connections import NAME, Server
from autos.settings import Settings

_PROMPT: Final = 5.0
"""Seconds in which the small questions of a lasting connection are answered."""


class Transactions(Protocol):
    """What opens sessions: a `Database`, or something that adds to it what its caller needs."""

    def transaction(self) -> AbstractAsyncContextManager[AsyncSession]:
        """A session in a transaction."""
        ...


class Database:
    """A pool of connections to PostgreSQL."""

    def __init__(self, server: Server, engine: AsyncEngine) -> None:
        self._server = server
        self.engine = engine
        self._sessions = async_sessionmaker(engine, expire_on_commit=False)

    @classmethod
    def open(cls, settings: Settings) -> Self:
        """Open the pool of `AUTOS_DATABASE_URL`; connects on first use.

        Raises:
            InvalidAddress: the setting is not an address.
        """
        server = Server.of(settings)
        return cls(
            server,
            server.engine(
                pool_size=settings.database_pool_size,
                max_overflow=0,
                pool_timeout=settings.database_pool_timeout,
                pool_recycle=1800,
            ),
        )

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncSession]:
        """A session in a transaction: committed at the end, rolled back on any exception.

        Raises what SQLAlchemy raises, and `DatabaseUnreachable`; `autos.records.errors.is_outage`
        tells the two kinds of errors apart.
        """
        async with self._sessions.begin() as session:
            yield session

    async def connect(self, purpose: str) -> asyncpg.Connection:
        """A connection beside the pool, for what has to last: locks, notifications.

        Its `purpose` is shown in the server's list of sessions.

        Raises:
            DatabaseUnreachable: there is no server, or it does not answer.
            asyncpg.PostgresError: the server does not let us in.
        """
        return await self._server.connect(name=f"{NAME} {purpose}", command_timeout=_PROMPT)

    async def ready(self) -> None:
        """Ask the server one small question; raises what the driver raises when it is away."""
        async with self.engine.connect() as connection:
            await connection.execute(text("SELECT 1"))

    async def close(self) -> None:
        """Close every connection."""
        await self.engine.dispose()
