"""Brings the database to the newest schema. Safe to run twice and from several machines at once."""

from pathlib import Path
from typing import Final

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from autos.records.connections import InvalidAddress, Server
from autos.records.errors import DatabaseUnreachable
from autos.settings import DatabaseAway

_LOCK: Final = 7_239_001
"""Advisory lock that makes a second migrating process wait for the first."""


def configuration() -> Config:
    """Alembic's configuration, found beside the installed packages."""
    return Config(str(Path(__file__).parents[2] / "alembic.ini"))


async def migrate(database_url: str) -> None:
    """Run every migration that has not run yet, in one transaction.

    Raises:
        DatabaseAway: the address is malformed, or nobody answers there, or refuses us.
    """
    try:
        engine = Server.at(database_url).engine(poolclass=NullPool)
    except InvalidAddress as error:
        raise DatabaseAway(
            "AUTOS_DATABASE_URL is not an address like postgresql://user:password@host/name."
        ) from error
    try:
        async with engine.connect():
            pass
    except (DBAPIError, DatabaseUnreachable) as error:
        await engine.dispose()
        cause = error.__cause__ or error
        raise DatabaseAway(
            f"The database of AUTOS_DATABASE_URL does not let us in ({type(cause).__name__}). "
            "Is it up, and are user, password and database name right?"
        ) from error
    try:
        async with engine.begin() as connection:
            await connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
            await connection.run_sync(_upgrade)
    finally:
        await engine.dispose()


def _upgrade(connection: Connection) -> None:
    config = configuration()
    config.set_main_option("script_location", str(Path(__file__).parents[2] / "migrations"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
