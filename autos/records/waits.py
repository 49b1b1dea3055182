"""What running jobs wait for, counted over all of them: one look at the health of what is outside.

By the jobs' rows, so it costs one query and needs neither a worker nor Temporal.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from autos.contracts.states import Reason, WaitReason
from autos.records.jobs import ACTIVE
from autos.records.models import Job


@dataclass(frozen=True, slots=True)
class Waits:
    """Jobs that wait for the same thing for the same reason."""

    waiting_for: WaitReason
    reason: Reason | None
    """What the source said, where it was asked."""
    jobs: int
    since: datetime | None
    """UTC; the longest wait of them."""


async def waits(session: AsyncSession) -> Sequence[Waits]:
    """All waits of running jobs, the one with the most jobs first."""
    jobs = func.count()
    rows = await session.execute(
        select(Job.waiting_for, Job.reason, jobs, func.min(Job.waiting_since))
        .where(Job.status.in_(ACTIVE), Job.waiting_for.is_not(None))
        .group_by(Job.waiting_for, Job.reason)
        .order_by(jobs.desc(), Job.waiting_for, Job.reason)
    )
    return [
        Waits(WaitReason(waiting_for), Reason(reason) if reason else None, count, since)
        for waiting_for, reason, count, since in rows
        if waiting_for is not None
    ]
