"""The records as the routes use them: sessions that turn a database's absence into a problem."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import structlog
from sqlalchemy.exc import DBAPIError, InterfaceError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncSession

from api.problems import RECORDS_UNAVAILABLE, unavailable
from autos.records import api_keys
from autos.records.database import Database
from autos.records.models import ApiKey

log = structlog.get_logger(__name__)

_AWAY: Final = ("08", "53", "57")
"""Classes of SQLSTATE: no connection, no resources, an operator's intervention."""


def is_away(error: Exception) -> bool:
    """True if the database could not be reached, False if it refused what it was asked.

    While connecting, the driver's OSError comes through as it is; no other network is touched
    while a session is open.
    """
    if isinstance(error, DBAPIError):
        sqlstate = getattr(error.orig, "sqlstate", None) or ""
        return (
            error.connection_invalidated
            or isinstance(error, InterfaceError)
            or sqlstate.startswith(_AWAY)
        )
    return isinstance(error, OSError | PoolTimeout)


class Records:
    """Sessions on the records, for one request's reads and writes each."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncSession]:
        """A session in a transaction: committed at the end, rolled back on any exception.

        Raises:
            Problem: the database cannot be reached.
        """
        try:
            async with self._database.transaction() as session:
                yield session
        except (DBAPIError, OSError, PoolTimeout) as error:
            if not is_away(error):
                raise
            log.warning("records_unavailable", error=type(error).__name__)
            raise unavailable(RECORDS_UNAVAILABLE) from error

    async def find_key(self, sha256: str) -> ApiKey | None:
        """The caller whose key has this hash."""
        async with self.transaction() as session:
            return await api_keys.by_hash(session, sha256)

    async def ready(self) -> None:
        """Ask the database one small question; a problem when it is away."""
        try:
            await self._database.ready()
        except (DBAPIError, OSError, PoolTimeout) as error:
            raise unavailable(RECORDS_UNAVAILABLE) from error
