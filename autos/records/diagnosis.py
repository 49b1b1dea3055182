"""What a diagnosis asks the records: their schema, and their clock."""

from datetime import datetime
from pathlib import Path

from alembic.script import ScriptDirectory
from sqlalchemy import func, select, text
from sqlalchemy.exc import ProgrammingError
from sqlalchemy.ext.asyncio import AsyncSession

from autos.records.migrate import configuration


async def schema(session: AsyncSession) -> str | None:
    """The revision of the database's schema; None where none was ever made."""
    try:
        found = await session.scalar(text("SELECT version_num FROM alembic_version"))
    except ProgrammingError:
        return None
    return str(found) if found else None


def newest_schema() -> str | None:
    """The revision that this release needs. Reads files."""
    config = configuration()
    config.set_main_option("script_location", str(Path(__file__).parents[2] / "migrations"))
    return ScriptDirectory.from_config(config).get_current_head()


async def clock(session: AsyncSession) -> datetime:
    """The database server's time."""
    moment: datetime = (await session.execute(select(func.clock_timestamp()))).scalar_one()
    return moment
