"""The database schema: upgrades it, and reads its version.

Migrating is safe to repeat and from several machines at once.
"""

from pathlib import Path
from typing import Final

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError, ProgrammingError
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.pool import NullPool

from autos.records.database import DatabaseUnreachable, InvalidAddress, Server
from autos.settings import DatabaseUnavailable

_ROOT: Final = Path(__file__).parents[2]
_LOCK: Final = 7_239_001
"""Advisory lock that makes a second migrating process wait for the first."""


def configuration() -> Config:
    """Alembic's configuration, found beside the installed packages."""
    config = Config(str(_ROOT / "alembic.ini"))
    config.set_main_option("script_location", str(_ROOT / "migrations"))
    return config


async def migrate(database_url: str) -> None:
    """Run every migration that has not run yet, in one transaction.

    Raises:
        DatabaseUnavailable: the address is malformed, no server answers there, or it rejects us.
    """
    try:
        engine = Server.at(database_url).engine(poolclass=NullPool)
    except InvalidAddress as error:
        raise DatabaseUnavailable(
            "AUTOS_DATABASE_URL is not an address like postgresql://user:password@host/name."
        ) from error
    try:
        async with engine.connect():
            pass
    except (DBAPIError, DatabaseUnreachable) as error:
        await engine.dispose()
        cause = error.__cause__ or error
        raise DatabaseUnavailable(
            "No connection to the database of AUTOS_DATABASE_URL could be made "
            f"({type(cause).__name__}). Is it up, and are user, password and database name right?"
        ) from error
    try:
        async with engine.begin() as connection:
            await connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
            await connection.run_sync(_upgrade)
    finally:
        await engine.dispose()


def _upgrade(connection: Connection) -> None:
    config = configuration()
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


async def schema(session: AsyncSession) -> str | None:
    """The revision of the database's schema; None if it has none."""
    try:
        found = await session.scalar(text("SELECT version_num FROM alembic_version"))
    except ProgrammingError:
        return None
    return str(found) if found else None


def newest_schema() -> str | None:
    """The revision that this release needs. Reads files."""
    return ScriptDirectory.from_config(configuration()).get_current_head()
