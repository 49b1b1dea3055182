"""Jobs as the API reads them, and two things that are written from outside: that one began, that
one was lost."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import select, tuple_, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from autos.contracts.states import JobStatus, Reason, WaitReason
from autos.records.models import Job, now

ACTIVE = (JobStatus.PENDING, JobStatus.PROCESSING)


async def add_pending(session: AsyncSession, *, job_id: str, process_number: str) -> None:
    """Record a job that Temporal accepted, unless its worker was quicker to do so."""
    await session.execute(
        insert(Job)
        .values(
            id=job_id,
            process_number=process_number,
            status=JobStatus.PENDING,
            details={},
            created_at=now(),
        )
        .on_conflict_do_nothing(index_elements=[Job.id])
    )


async def get(session: AsyncSession, job_id: str) -> Job | None:
    """One job."""
    return await session.get(Job, job_id)


async def latest(session: AsyncSession, process_number: str) -> Job | None:
    """The process's newest job."""
    return await session.scalar(
        select(Job)
        .where(Job.process_number == process_number)
        .order_by(Job.created_at.desc(), Job.id.desc())
        .limit(1)
    )


async def page(
    session: AsyncSession,
    *,
    process_number: str | None,
    status: JobStatus | None,
    before: tuple[datetime, str] | None,
    limit: int,
) -> Sequence[Job]:
    """Jobs, newest first, before the given one."""
    query = select(Job).order_by(Job.created_at.desc(), Job.id.desc()).limit(limit)
    if process_number is not None:
        query = query.where(Job.process_number == process_number)
    if status is not None:
        query = query.where(Job.status == status)
    if before is not None:
        query = query.where(tuple_(Job.created_at, Job.id) < before)
    return (await session.scalars(query)).all()


async def waiting(session: AsyncSession, reason: WaitReason) -> Sequence[str]:
    """The processes whose running job waits for this."""
    return (
        await session.scalars(
            select(Job.process_number)
            .where(Job.status.in_(ACTIVE), Job.waiting_for == reason)
            .distinct()
        )
    ).all()


async def close_lost(
    session: AsyncSession, job_id: str, status: JobStatus, reason: Reason | None
) -> None:
    """End the row of a job of which nothing more will come; its documents stay as they are."""
    await session.execute(
        update(Job)
        .where(Job.id == job_id, Job.status.in_(ACTIVE))
        .values(
            status=status,
            reason=reason,
            waiting_for=None,
            waiting_since=None,
            completed_at=now(),
        )
    )
