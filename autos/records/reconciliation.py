"""What a reconciliation reads of the records: rows that claim something, a page at a time.

Pages go by primary key, so that a row that is mended meanwhile neither hides another nor comes
twice. Every question is asked again right before something is done about the answer.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import case, func, select, tuple_, update
from sqlalchemy.ext.asyncio import AsyncSession

from autos.contracts.states import DocumentState, Reason
from autos.records.changes import announce
from autos.records.jobs import ACTIVE
from autos.records.models import Delivery, Document, Job, Process, Subscription


class Stored(NamedTuple):
    """One object that documents of a process refer to; ordered as its key is."""

    process_number: str
    sha256: str


async def active_jobs(
    session: AsyncSession, *, until: datetime, after: str | None, limit: int
) -> Sequence[Job]:
    """Jobs whose rows say that they run, made until a moment, by id."""
    query = select(Job).where(Job.status.in_(ACTIVE), Job.created_at <= until)
    if after is not None:
        query = query.where(Job.id > after)
    return (await session.scalars(query.order_by(Job.id).limit(limit))).all()


async def without_active_job(session: AsyncSession, numbers: Iterable[str]) -> set[str]:
    """Which of these processes have no job whose row says that it runs."""
    numbers = set(numbers)
    query = select(Job.process_number).where(
        Job.process_number.in_(numbers), Job.status.in_(ACTIVE)
    )
    return numbers - set(await session.scalars(query))


async def open_subscriptions(
    session: AsyncSession, number: str, *, until: datetime
) -> Sequence[Subscription]:
    """Subscriptions of a process that no job has taken up, made until a moment, oldest first."""
    query = (
        select(Subscription)
        .where(
            Subscription.process_number == number,
            Subscription.job_id.is_(None),
            Subscription.created_at <= until,
        )
        .order_by(Subscription.created_at)
    )
    return (await session.scalars(query)).all()


async def processes_with_open_subscriptions(
    session: AsyncSession, *, until: datetime, after: str | None, limit: int
) -> Sequence[str]:
    """Processes with a subscription as above and no job whose row says that it runs, by number."""
    running = select(Job.id).where(
        Job.process_number == Subscription.process_number, Job.status.in_(ACTIVE)
    )
    query = select(Subscription.process_number).where(
        Subscription.job_id.is_(None), Subscription.created_at <= until, ~running.exists()
    )
    if after is not None:
        query = query.where(Subscription.process_number > after)
    query = query.distinct().order_by(Subscription.process_number).limit(limit)
    return (await session.scalars(query)).all()


async def overdue_deliveries(
    session: AsyncSession, *, until: datetime, after: str | None, limit: int
) -> Sequence[str]:
    """Events that are not delivered and whose next attempt was due until a moment, by id."""
    query = select(Delivery.id).where(
        Delivery.status == "pending",
        func.coalesce(Delivery.next_attempt_at, Delivery.created_at) <= until,
    )
    if after is not None:
        query = query.where(Delivery.id > after)
    return (await session.scalars(query.order_by(Delivery.id).limit(limit))).all()


async def is_pending(session: AsyncSession, event_id: str) -> bool:
    """True while the event is neither delivered nor given up."""
    status = await session.scalar(select(Delivery.status).where(Delivery.id == event_id))
    return status == "pending"


async def existing_processes(session: AsyncSession, numbers: Iterable[str]) -> set[str]:
    """Which of these processes have a row."""
    query = select(Process.number).where(Process.number.in_(set(numbers)))
    return set(await session.scalars(query))


async def stored_objects(session: AsyncSession, *, after: Stored, limit: int) -> Sequence[Stored]:
    """What documents refer to, in the order of the objects' keys."""
    query = (
        select(Document.process_number, Document.sha256)
        .where(
            Document.sha256.is_not(None),
            tuple_(Document.process_number, Document.sha256) > after,
        )
        .distinct()
        .order_by(Document.process_number, Document.sha256)
        .limit(limit)
    )
    return [Stored(number, sha256 or "") for number, sha256 in await session.execute(query)]


async def referred(session: AsyncSession, objects: Iterable[Stored]) -> set[Stored]:
    """Which of these objects a document refers to, whatever its state."""
    place = tuple_(Document.process_number, Document.sha256)
    query = select(Document.process_number, Document.sha256).where(place.in_(list(objects)))
    return {Stored(number, sha256 or "") for number, sha256 in await session.execute(query)}


async def fail_missing(session: AsyncSession, stored: Stored, *, dry_run: bool) -> list[str]:
    """Let the documents that call a missing object theirs hold nothing any more; their ids.

    One that counted as available is failed. The next job of the process asks the source for it
    again. One whose newer version could not be had loses the link to the version before.
    """
    missing = (Document.process_number == stored.process_number) & (
        Document.sha256 == stored.sha256
    )
    if dry_run:
        ids = await session.scalars(select(Document.id).where(missing))
    else:
        available = Document.state == DocumentState.AVAILABLE
        ids = await session.scalars(
            update(Document)
            .where(missing)
            .values(
                state=case((available, DocumentState.FAILED), else_=Document.state),
                reason=case((available, Reason.STORAGE), else_=Document.reason),
                sha256=None,
                size=None,
                content_type=None,
                doubt=None,
            )
            .returning(Document.id)
        )
        await announce(session, stored.process_number)
    return [str(document_id) for document_id in ids]
