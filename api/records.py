"""The records as the routes use them: sessions that turn a database's absence into a problem."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import structlog
from sqlalchemy.ext.asyncio import AsyncSession

from api.problems import RECORDS_UNAVAILABLE, unavailable
from autos.records import api_keys
from autos.records.database import Database, is_outage
from autos.records.models import ApiKey

log = structlog.get_logger(__name__)


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
        with _away_as_a_problem():
            async with self._database.transaction() as session:
                yield session

    async def find_key(self, sha256: str) -> ApiKey | None:
        """The caller whose key has this hash."""
        async with self.transaction() as session:
            return await api_keys.by_hash(session, sha256)

    async def ready(self) -> None:
        """Ask the database one small question; a problem when it is away."""
        with _away_as_a_problem():
            await self._database.ready()


@contextmanager
def _away_as_a_problem() -> Iterator[None]:
    try:
        yield
    except Exception as error:
        if not is_outage(error):
            raise
        log.warning("records_unavailable", error=type(error).__name__)
        raise unavailable(RECORDS_UNAVAILABLE) from error
