"""Jobs as the API reads them, and two things that are written from outside: that one began, that
one was lost."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select, tuple_, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from autos.contracts.states import DocumentState, JobStatus, Reason, WaitReason
from autos.records.changes import announce, announce_jobs
from autos.records.models import Document, Job, now

ACTIVE = (JobStatus.PENDING, JobStatus.PROCESSING)


@dataclass(frozen=True, slots=True)
class Counted:
    """What a job has of its process's documents."""

    total: int = 0
    available: int = 0
    doubtful: int = 0
    """Of the available ones."""
    failed: int = 0
    bytes_stored: int = 0


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
    await announce(session, process_number)


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


def recorded(job: Job) -> Counted:
    """The counters in a job's row, which are written at its end."""
    return Counted(
        job.total_documents,
        job.available_documents,
        job.doubtful_documents,
        job.failed_documents,
        job.bytes_stored,
    )


async def counted(session: AsyncSession, jobs: Sequence[Job]) -> Mapping[str, Counted]:
    """The counters of jobs by their ids, in at most one question.

    An ended job has them in its row. While it runs, its documents' rows are counted: what an
    earlier job has failed at is not this one's failure.
    """
    found = {job.id: recorded(job) for job in jobs}
    running = [job.id for job in jobs if job.is_active]
    return {**found, **(await _count(session, running) if running else {})}


async def close_lost(
    session: AsyncSession, job_id: str, status: JobStatus, reason: Reason | None
) -> None:
    """End the row of a job of which nothing more will come; its documents stay as they are."""
    counted = (await _count(session, [job_id])).get(job_id, Counted())
    await session.execute(
        update(Job)
        .where(Job.id == job_id, Job.status.in_(ACTIVE))
        .values(
            status=status,
            reason=reason,
            waiting_for=None,
            waiting_since=None,
            waiting_until=None,
            next_try_at=None,
            total_documents=counted.total,
            available_documents=counted.available,
            doubtful_documents=counted.doubtful,
            failed_documents=counted.failed,
            bytes_stored=counted.bytes_stored,
            completed_at=now(),
        )
    )
    await announce_jobs(session, [job_id])


async def _count(session: AsyncSession, job_ids: Sequence[str]) -> dict[str, Counted]:
    available = Document.state == DocumentState.AVAILABLE
    failed = (Document.state == DocumentState.FAILED) & (Document.job_id == Job.id)
    rows = await session.execute(
        select(
            Job.id,
            func.count(),
            func.count().filter(available),
            func.count().filter(available, Document.doubt.is_not(None)),
            func.count().filter(failed),
            func.coalesce(func.sum(Document.size).filter(available), 0),
        )
        .join(Document, Document.process_number == Job.process_number)
        .where(Job.id.in_(job_ids))
        .group_by(Job.id)
    )
    return {
        job_id: Counted(total, stored, doubtful, lost, int(size or 0))
        for job_id, total, stored, doubtful, lost, size in rows
    }
