"""What a diagnosis asks the records: their schema, their clock, and what jobs wait for."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from alembic.script import ScriptDirectory
from sqlalchemy import func, select, text
from sqlalchemy.exc import ProgrammingError
from sqlalchemy.ext.asyncio import AsyncSession

from autos.contracts.states import Reason, WaitReason
from autos.records.jobs import ACTIVE
from autos.records.migrate import configuration
from autos.records.models import Job


@dataclass(frozen=True, slots=True)
class Wait:
    """Jobs that wait for the same thing."""

    waiting_for: WaitReason
    reason: Reason | None
    jobs: int
    since: datetime | None
    """The longest wait."""


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


async def waits(session: AsyncSession) -> Sequence[Wait]:
    """What running jobs wait for, the most jobs first."""
    rows = await session.execute(
        select(Job.waiting_for, Job.reason, func.count(), func.min(Job.waiting_since))
        .where(Job.status.in_(ACTIVE), Job.waiting_for.is_not(None))
        .group_by(Job.waiting_for, Job.reason)
        .order_by(func.count().desc())
    )
    return [
        Wait(WaitReason(waiting_for), Reason(reason) if reason else None, jobs, since)
        for waiting_for, reason, jobs, since in rows
        if waiting_for
    ]
