"""The place of a job that has not begun, and how long that may take (U1).

A guess from the jobs that ended lately, as one line of people is guessed at: who is before me, how
many are served at once, how long each took. Not promised: that jobs begin in this order. API keys
take turns, so a key with few jobs is served before its place says so.
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from autos.contracts.states import JobStatus
from autos.records.models import Job

LATELY: Final = 50
"""Ended jobs from which it is guessed how long one takes."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a job stands in line."""

    jobs_ahead: int
    """Asked for earlier, and not begun either."""
    eta_seconds: int | None
    """Until this job has ended; None while no job runs, or none has ended yet."""


async def place(session: AsyncSession, job: Job) -> Place | None:
    """Where the job stands in line; None if it has begun or ended."""
    if job.status != JobStatus.PENDING or job.started_at is not None:
        return None
    earlier = Job.created_at < job.created_at
    ahead, running = (
        await session.execute(
            select(
                func.count().filter(Job.started_at.is_(None), earlier),
                func.count().filter(Job.started_at.is_not(None), Job.waiting_for.is_(None)),
            ).where(Job.status.in_([JobStatus.PENDING, JobStatus.PROCESSING]))
        )
    ).one()
    ended = (
        select((Job.completed_at - Job.started_at).label("lasted"))
        .where(Job.completed_at.is_not(None), Job.started_at.is_not(None), earlier)
        .order_by(Job.created_at.desc())
        .limit(LATELY)
        .subquery()
    )
    lasted: timedelta | None = await session.scalar(select(func.avg(ended.c.lasted)))
    if lasted is None or not running:
        return Place(ahead, None)
    return Place(ahead, round((ahead / running + 1) * lasted.total_seconds()))
