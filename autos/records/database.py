"""The engine and its sessions: one engine per process, opened at start and closed at the end."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Protocol, Self

from sqlalchemy import event, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.ext.asyncio import (
    AsyncEngine,
    AsyncSession,
    async_sessionmaker,
    create_async_engine,
)

from autos.settings import Settings


class Transactions(Protocol):
    """What opens sessions: a `Database`, or something that adds to it what its caller needs."""

    def transaction(self) -> AbstractAsyncContextManager[AsyncSession]:
        """A session in a transaction."""
        ...


class Database:
    """A pool of connections to PostgreSQL."""

    def __init__(self, engine: AsyncEngine) -> None:
        self.engine = engine
        event.listen(engine.sync_engine, "checkout", _refuse_closed)
        self._sessions = async_sessionmaker(engine, expire_on_commit=False)

    @classmethod
    def open(cls, settings: Settings) -> Self:
        """Open the pool of `AUTOS_DATABASE_URL`; connects on first use."""
        return cls(
            create_async_engine(
                async_url(settings.database_url),
                pool_size=settings.database_pool_size,
                max_overflow=0,
                pool_recycle=1800,
                # Webhook addresses and names are parameters; no error may carry them into a log.
                hide_parameters=True,
            )
        )

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncSession]:
        """A session in a transaction: committed at the end, rolled back on any exception."""
        async with self._sessions.begin() as session:
            yield session

    async def ready(self) -> None:
        """Ask the server one small question; raises what the driver raises when it is away."""
        async with self.engine.connect() as connection:
            await connection.execute(text("SELECT 1"))

    async def close(self) -> None:
        """Close every connection."""
        await self.engine.dispose()


def _refuse_closed(connection: Any, _record: object, _proxy: object) -> None:
    """Have the pool replace a connection that the server has closed, by a restart for instance.

    The driver knows that already, so nothing is asked, unlike with a ping at every checkout.
    """
    if connection.driver_connection.is_closed():
        raise DisconnectionError


def async_url(url: str) -> str:
    """The same address with the driver Autos uses; a plain `postgresql://` is what users know."""
    return make_url(url).set(drivername="postgresql+asyncpg").render_as_string(hide_password=False)
