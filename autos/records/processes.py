"""Processes: their rows, the list of them, and how one is purged."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import Text, cast, delete, select, true, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import load_only

from autos.cnj import CaseNumber
from autos.contracts.states import JobStatus
from autos.records.changes import announce
from autos.records.database import keyset
from autos.records.models import Document, Job, Process, Subscription, now


async def ensure(session: AsyncSession, case: CaseNumber) -> None:
    """Insert the process unless it exists."""
    await session.execute(
        insert(Process)
        .values(number=case.digits, court=case.court, segment=case.segment)
        .on_conflict_do_nothing(index_elements=[Process.number])
    )


async def get(session: AsyncSession, digits: str) -> Process | None:
    """One process with all its metadata."""
    return await session.get(Process, digits)


async def existing(session: AsyncSession, digits: str) -> bool:
    """True if the process has a row."""
    found = await session.scalar(select(Process.number).where(Process.number == digits))
    return found is not None


async def fetched_at(session: AsyncSession, digits: str) -> datetime | None:
    """When the metadata was last read from the source; None if never, or if there is no row."""
    return await session.scalar(select(Process.fetched_at).where(Process.number == digits))


def is_fresh(read_at: datetime | None, max_age: timedelta) -> bool:
    """True if metadata that was read at this time, or never, is younger than `max_age`."""
    return read_at is not None and now() - read_at < max_age


async def page(
    session: AsyncSession,
    *,
    court: str | None,
    status: JobStatus | None,
    before: tuple[datetime, str] | None,
    limit: int,
) -> Sequence[tuple[Process, str | None]]:
    """Processes with the status of their newest job, newest first, before the given one.

    Only the columns that a list shows are loaded.
    """
    newest = (
        select(Job.status)
        .where(Job.process_number == Process.number)
        .order_by(Job.created_at.desc(), Job.id.desc())
        .limit(1)
        .lateral("newest")
    )
    query = (
        select(Process, newest.c.status)
        .options(
            load_only(
                Process.court,
                Process.class_name,
                Process.total_documents,
                Process.fetched_at,
                Process.created_at,
            )
        )
        .outerjoin(newest, true())
    )
    key = (Process.created_at, Process.number)
    query = keyset(query, key, before, limit, newest_first=True)
    if court is not None:
        query = query.where(Process.court == court)
    if status is not None:
        query = query.where(newest.c.status == status)
    return [(process, newest) for process, newest in await session.execute(query)]


async def unfinished(session: AsyncSession, digits: str) -> set[str]:
    """The ids of the process's active jobs and of its subscriptions that no job has claimed."""
    active = select(Job.id).where(Job.process_number == digits, Job.is_active)
    unclaimed = select(cast(Subscription.id, Text)).where(
        Subscription.process_number == digits, Subscription.job_id.is_(None)
    )
    return set(await session.scalars(active.union_all(unclaimed)))


async def purge(session: AsyncSession, digits: str, known: set[str]) -> bool:
    """Delete the process with its documents, jobs, subscriptions and deliveries.

    Args:
        session: in a transaction.
        digits: the case number's 20 digits.
        known: what was `unfinished` before the purge began.

    Returns:
        False if more is unfinished than `known`: a job was accepted meanwhile. Then only the
        documents and the time of the last reading are deleted.
    """
    # Serializes the purge with the insert of a job or a subscription.
    await session.execute(select(Process.number).filter_by(number=digits).with_for_update())
    await announce(session, digits)
    if await unfinished(session, digits) <= known:
        await session.execute(delete(Process).where(Process.number == digits))
        return True
    await session.execute(delete(Document).where(Document.process_number == digits))
    await session.execute(
        update(Process).where(Process.number == digits).values(total_documents=0, fetched_at=None)
    )
    return False
