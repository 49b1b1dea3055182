"""Jobs: their rows from start to end, what running jobs wait for, and places in the queue.

Functions that write may run twice with the same arguments and leave the same row: Temporal runs an
activity again if its worker died.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final, NamedTuple, Self

from sqlalchemy import func, select, true, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.sql.elements import SQLCoreOperations

from autos.cnj import CaseNumber
from autos.contracts.reasons import Reason, WaitReason
from autos.contracts.states import DocumentState, JobStatus
from autos.records import processes
from autos.records.changes import announce, announce_jobs
from autos.records.database import keyset
from autos.records.models import Document, Job, now

QUEUE_SAMPLE: Final = 50
"""Number of ended jobs from whose durations a queued job's time is estimated."""


class JobCounts(NamedTuple):
    """A job's counters, named as the columns of its row."""

    total_documents: int = 0
    available_documents: int = 0
    doubtful_documents: int = 0
    """Of the available ones."""
    failed_documents: int = 0
    bytes_stored: int = 0

    @classmethod
    def of(cls, job: Job) -> Self:
        """The counters in a job's row, which are written when it ends."""
        return cls(*(getattr(job, name) for name in cls._fields))


class Wait(NamedTuple):
    """Running jobs that wait for the same thing for the same reason."""

    waiting_for: WaitReason
    reason: Reason | None
    """The source's reply, if a request was sent."""
    jobs: int
    since: datetime | None
    """UTC; start of the longest of these waits."""


class QueuePlace(NamedTuple):
    """The place in the queue of a job that has not started."""

    jobs_ahead: int
    """Number of jobs requested earlier that have not started either."""
    eta_seconds: int | None
    """Seconds until this job has ended; None while no job runs, or none has ended yet."""


# --------------------------------------------------------------------------------------- reading


async def get(session: AsyncSession, job_id: str) -> Job | None:
    """One job."""
    return await session.get(Job, job_id)


async def latest(session: AsyncSession, digits: str) -> Job | None:
    """The process's newest job."""
    return await session.scalar(
        select(Job)
        .where(Job.process_number == digits)
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
    query = keyset(select(Job), (Job.created_at, Job.id), before, limit, newest_first=True)
    if process_number is not None:
        query = query.where(Job.process_number == process_number)
    if status is not None:
        query = query.where(Job.status == status)
    return (await session.scalars(query)).all()


async def counted(session: AsyncSession, jobs: Sequence[Job]) -> Mapping[str, JobCounts]:
    """The counters of jobs, by job id.

    An ended job has them in its row. For running jobs the documents are counted, in one query; what
    failed in an earlier job does not count.
    """
    running = [job.id for job in jobs if job.is_active]
    counts = await _count(session, running) if running else {}
    return {job.id: JobCounts.of(job) for job in jobs} | counts


async def waiting(session: AsyncSession, reason: WaitReason) -> Sequence[str]:
    """The processes whose running job waits for this."""
    return (
        await session.scalars(
            select(Job.process_number).where(Job.is_active, Job.waiting_for == reason).distinct()
        )
    ).all()


async def waits(session: AsyncSession) -> Sequence[Wait]:
    """All waits of running jobs, the one with the most jobs first."""
    jobs = func.count()
    rows = await session.execute(
        select(Job.waiting_for, Job.reason, jobs, func.min(Job.waiting_since))
        .where(Job.is_active, Job.waiting_for.is_not(None))
        .group_by(Job.waiting_for, Job.reason)
        .order_by(jobs.desc(), Job.waiting_for, Job.reason)
    )
    return [
        Wait(WaitReason(waiting_for), Reason(reason) if reason else None, count, since)
        for waiting_for, reason, count, since in rows
        if waiting_for is not None
    ]


async def queue_place(session: AsyncSession, job: Job) -> QueuePlace | None:
    """The job's place in the queue; None if it has started or ended.

    An estimate. Does not predict the order of jobs: API keys take turns, so a key with few jobs is
    served earlier.
    """
    if job.status != JobStatus.PENDING or job.started_at is not None:
        return None
    earlier = Job.created_at < job.created_at
    ahead, running = (
        await session.execute(
            select(
                func.count().filter(Job.started_at.is_(None), earlier),
                func.count().filter(Job.started_at.is_not(None), Job.waiting_for.is_(None)),
            ).where(Job.is_active)
        )
    ).one()
    ended = (
        select((Job.completed_at - Job.started_at).label("lasted"))
        .where(Job.completed_at.is_not(None), Job.started_at.is_not(None), earlier)
        .order_by(Job.created_at.desc())
        .limit(QUEUE_SAMPLE)
        .subquery()
    )
    lasted: timedelta | None = await session.scalar(select(func.avg(ended.c.lasted)))
    if lasted is None or not running:
        return QueuePlace(ahead, None)
    return QueuePlace(ahead, round((ahead / running + 1) * lasted.total_seconds()))


# --------------------------------------------------------------------------------------- writing


async def add_pending(session: AsyncSession, *, job_id: str, process_number: str) -> None:
    """Insert a job that Temporal accepted, unless the worker has already inserted it."""
    await session.execute(
        insert(Job)
        .values(id=job_id, process_number=process_number)
        .on_conflict_do_nothing(index_elements=[Job.id])
    )
    await announce(session, process_number)


async def open_job(session: AsyncSession, job_id: str, case: CaseNumber) -> None:
    """Make sure that process and job have rows, and that the job counts as started."""
    await processes.ensure(session, case)
    started = now()
    await session.execute(
        insert(Job)
        .values(id=job_id, process_number=case.digits, created_at=started, started_at=started)
        .on_conflict_do_update(
            index_elements=[Job.id],
            # The row may come from a machine whose clock is ahead.
            set_={
                Job.started_at: func.coalesce(
                    Job.started_at, func.greatest(started, Job.created_at)
                )
            },
        )
    )
    await announce(session, case.digits)


async def record_status(
    session: AsyncSession,
    job_id: str,
    status: JobStatus,
    waiting_for: WaitReason | None,
    waiting_since: datetime | None,
    *,
    waiting_until: datetime | None = None,
    next_try_at: datetime | None = None,
    reason: Reason | None = None,
    reopens: bool = False,
) -> None:
    """Write a running job's status; a job that has ended keeps its row, unless it `reopens`.

    Args:
        session: in a transaction.
        job_id: of the job.
        status: of the job.
        waiting_for: None for a job that does not wait; then no argument about a wait is given.
        waiting_since: when the wait began.
        waiting_until: when the job gives up; None if it waits until someone intervenes.
        next_try_at: when the job next checks whether the wait is over.
        reason: why the job waits, in detail.
        reopens: the job had ended and runs again.
    """
    await session.execute(
        update(Job)
        # A worker that was frozen may write after the job has ended.
        .where(Job.id == job_id, true() if reopens else Job.completed_at.is_(None))
        .values(
            status=status,
            waiting_for=waiting_for,
            waiting_since=waiting_since,
            waiting_until=waiting_until,
            next_try_at=next_try_at,
            reason=reason,
            completed_at=None,
        )
    )
    await announce_jobs(session, [job_id])


async def end_job(
    session: AsyncSession,
    job_id: str,
    status: JobStatus,
    reason: Reason | None,
    documents: Sequence[Document],
) -> None:
    """Write a job's final row; its counters are those of all the process's `documents`."""
    available = [document for document in documents if document.is_available]
    counts = JobCounts(
        total_documents=len(documents),
        available_documents=len(available),
        doubtful_documents=sum(document.doubt is not None for document in available),
        failed_documents=sum(document.state == DocumentState.FAILED for document in documents),
        bytes_stored=sum(document.size or 0 for document in available),
    )
    await _write_end(session, job_id, status, reason, counts)


async def close_lost(
    session: AsyncSession, job_id: str, status: JobStatus, reason: Reason | None
) -> None:
    """End the row of a job whose workflow no longer exists; its documents stay as they are."""
    counts = (await _count(session, [job_id])).get(job_id, JobCounts())
    await _write_end(session, job_id, status, reason, counts, Job.is_active)


async def _write_end(
    session: AsyncSession,
    job_id: str,
    status: JobStatus,
    reason: Reason | None,
    counts: JobCounts,
    *conditions: SQLCoreOperations[bool],
) -> None:
    await session.execute(
        update(Job)
        .where(Job.id == job_id, *conditions)
        .values(
            status=status,
            reason=reason,
            waiting_for=None,
            waiting_since=None,
            waiting_until=None,
            next_try_at=None,
            completed_at=func.coalesce(Job.completed_at, now()),
            **counts._asdict(),
        )
    )
    await announce_jobs(session, [job_id])


async def _count(session: AsyncSession, job_ids: Sequence[str]) -> dict[str, JobCounts]:
    failed = (Document.state == DocumentState.FAILED) & (Document.job_id == Job.id)
    rows = await session.execute(
        select(
            Job.id,
            func.count(),
            func.count().filter(Document.is_available),
            func.count().filter(Document.is_available, Document.doubt.is_not(None)),
            func.count().filter(failed),
            func.sum(Document.size).filter(Document.is_available),
        )
        .join(Document, Document.process_number == Job.process_number)
        .where(Job.id.in_(job_ids))
        .group_by(Job.id)
    )
    return {
        job_id: JobCounts(total, stored, doubtful, lost, int(size or 0))
        for job_id, total, stored, doubtful, lost, size in rows
    }
