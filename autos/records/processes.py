"""Processes as the API reads them. Their metadata is written by the activities."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Text, cast, delete, select, true, tuple_, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from autos.cnj import CaseNumber
from autos.contracts.states import JobStatus
from autos.records.changes import announce
from autos.records.jobs import ACTIVE
from autos.records.models import Document, Job, Process, Subscription, now


@dataclass(frozen=True, slots=True)
class ListedProcess:
    """One line of the list: no metadata beyond what a list needs (F47)."""

    number: str
    court: str
    class_name: str | None
    total_documents: int
    status: str | None
    fetched_at: datetime | None
    created_at: datetime


async def ensure(session: AsyncSession, case: CaseNumber) -> None:
    """Make sure the process has a row."""
    await session.execute(
        insert(Process)
        .values(
            number=case.digits,
            court=case.court,
            segment=case.segment,
            subjects=[],
            details={},
            total_documents=0,
            created_at=now(),
        )
        .on_conflict_do_nothing(index_elements=[Process.number])
    )


async def get(session: AsyncSession, number: str) -> Process | None:
    """One process with all its metadata."""
    return await session.get(Process, number)


async def page(
    session: AsyncSession,
    *,
    court: str | None,
    status: JobStatus | None,
    before: tuple[datetime, str] | None,
    limit: int,
) -> list[ListedProcess]:
    """Processes with the status of their newest job, newest first, before the given one."""
    newest = (
        select(Job.status)
        .where(Job.process_number == Process.number)
        .order_by(Job.created_at.desc(), Job.id.desc())
        .limit(1)
        .lateral("newest")
    )
    query = (
        select(
            Process.number,
            Process.court,
            Process.class_name,
            Process.total_documents,
            newest.c.status,
            Process.fetched_at,
            Process.created_at,
        )
        .outerjoin(newest, true())
        .order_by(Process.created_at.desc(), Process.number.desc())
        .limit(limit)
    )
    if court is not None:
        query = query.where(Process.court == court)
    if status is not None:
        query = query.where(newest.c.status == status)
    if before is not None:
        query = query.where(tuple_(Process.created_at, Process.number) < before)
    return [ListedProcess(*row) for row in await session.execute(query)]


async def existing(session: AsyncSession, number: str) -> bool:
    """True when somebody asked for the process before."""
    found = await session.scalar(select(Process.number).where(Process.number == number))
    return found is not None


async def claims(session: AsyncSession, number: str) -> set[str]:
    """The ids of what is still owed an end: active jobs, and subscriptions no job has taken up."""
    active = select(Job.id).where(Job.process_number == number, Job.status.in_(ACTIVE))
    untold = select(cast(Subscription.id, Text)).where(
        Subscription.process_number == number, Subscription.job_id.is_(None)
    )
    return set(await session.scalars(active.union_all(untold)))


async def purge(session: AsyncSession, number: str, known: set[str]) -> bool:
    """Delete the process with its documents, jobs, subscriptions and deliveries.

    False, and only the documents are deleted, if there are claims beyond those that were known
    before the purge began: somebody was promised a job meanwhile, and it must be able to tell them
    its end.
    """
    # Whoever adds a job or a subscription waits for this, and this for them.
    await session.execute(select(Process.number).filter_by(number=number).with_for_update())
    await announce(session, number)
    if await claims(session, number) <= known:
        await session.execute(delete(Process).where(Process.number == number))
        return True
    await session.execute(delete(Document).where(Document.process_number == number))
    await session.execute(
        update(Process).where(Process.number == number).values(total_documents=0, fetched_at=None)
    )
    return False
