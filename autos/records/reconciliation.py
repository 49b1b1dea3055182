"""What a reconciliation checks in the records, a page at a time, and rows past their lifetime.

Pages go by primary key, so a row that is repaired meanwhile neither hides another nor appears
twice. The caller repeats each check right before a repair. Expired rows are deleted only here,
never by a request, and a page of them costs the same however many there are.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from sqlalchemy import and_, case, delete, func, select, tuple_, update
from sqlalchemy.ext.asyncio import AsyncSession

from autos.contracts.reasons import Reason
from autos.contracts.reconciliation import Kind
from autos.contracts.states import DocumentState
from autos.records.changes import announce
from autos.records.database import Column, keyset
from autos.records.idempotency import KEY_LIFETIME
from autos.records.models import (
    Attempt,
    Delivery,
    Document,
    IdempotencyKey,
    Job,
    Process,
    Receipt,
    Subscription,
    now,
)
from autos.settings import Settings


class Stored(NamedTuple):
    """A stored object that documents of a process refer to; sorts as the object's key does."""

    process_number: str
    sha256: str


async def active_jobs(
    session: AsyncSession, *, until: datetime, after: str | None, limit: int
) -> Sequence[Job]:
    """Jobs with an active row, created at `until` or earlier, by id."""
    query = select(Job).where(Job.is_active, Job.created_at <= until)
    return (
        await session.scalars(keyset(query, [Job.id], (after,) if after else None, limit))
    ).all()


async def without_active_job(session: AsyncSession, numbers: Iterable[str]) -> set[str]:
    """Which of these processes have no job with an active row."""
    numbers = set(numbers)
    query = select(Job.process_number).where(Job.process_number.in_(numbers), Job.is_active)
    return numbers - set(await session.scalars(query))


async def open_subscriptions(
    session: AsyncSession, number: str, *, until: datetime
) -> Sequence[Subscription]:
    """A process's subscriptions without a job, created at `until` or earlier, oldest first."""
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
    """Processes with open subscriptions and without a job with an active row, by number."""
    active = select(Job.id).where(Job.process_number == Subscription.process_number, Job.is_active)
    query = select(Subscription.process_number).where(
        Subscription.job_id.is_(None), Subscription.created_at <= until, ~active.exists()
    )
    query = keyset(
        query.distinct(), [Subscription.process_number], (after,) if after else None, limit
    )
    return (await session.scalars(query)).all()


async def overdue_deliveries(
    session: AsyncSession, *, until: datetime, after: str | None, limit: int
) -> Sequence[str]:
    """Pending events whose next attempt was due at `until` or earlier, by id."""
    query = select(Delivery.id).where(
        Delivery.status == "pending",
        func.coalesce(Delivery.next_attempt_at, Delivery.created_at) <= until,
    )
    return (
        await session.scalars(keyset(query, [Delivery.id], (after,) if after else None, limit))
    ).all()


async def is_pending(session: AsyncSession, event_id: str) -> bool:
    """True if the event is neither delivered nor given up."""
    status = await session.scalar(select(Delivery.status).where(Delivery.id == event_id))
    return status == "pending"


async def existing_processes(session: AsyncSession, numbers: Iterable[str]) -> set[str]:
    """Which of these processes have a row."""
    query = select(Process.number).where(Process.number.in_(set(numbers)))
    return set(await session.scalars(query))


async def stored_objects(session: AsyncSession, *, after: Stored, limit: int) -> Sequence[Stored]:
    """The objects that documents refer to, in the order of their keys."""
    key = (Document.process_number, Document.sha256)
    query = select(*key).where(Document.sha256.is_not(None)).distinct()
    query = keyset(query, key, after, limit)
    return [Stored(number, sha256 or "") for number, sha256 in await session.execute(query)]


async def referred(session: AsyncSession, objects: Iterable[Stored]) -> set[Stored]:
    """Which of these objects a document refers to, whatever its state."""
    place = tuple_(Document.process_number, Document.sha256)
    query = select(Document.process_number, Document.sha256).where(place.in_(list(objects)))
    return {Stored(number, sha256 or "") for number, sha256 in await session.execute(query)}


async def fail_missing(session: AsyncSession, stored: Stored, *, dry_run: bool) -> list[str]:
    """Clear the documents that refer to a missing object; their ids.

    An available one fails, and the next job of the process downloads it again. A failed one that
    kept an earlier version loses that version.
    """
    missing = and_(
        Document.process_number == stored.process_number, Document.sha256 == stored.sha256
    )
    if dry_run:
        ids = await session.scalars(select(Document.id).where(missing))
    else:
        ids = await session.scalars(
            update(Document)
            .where(missing)
            .values(
                state=case((Document.is_available, DocumentState.FAILED), else_=Document.state),
                reason=case((Document.is_available, Reason.STORAGE), else_=Document.reason),
                sha256=None,
                size=None,
                content_type=None,
                doubt=None,
            )
            .returning(Document.id)
        )
        await announce(session, stored.process_number)
    return [str(document_id) for document_id in ids]


class _Expiring(NamedTuple):
    key: tuple[Column, ...]
    created_at: Column
    order: Column
    """An indexed column in the order of `created_at`, which finds the oldest without a scan."""


_EXPIRING: Final[Mapping[Kind, _Expiring]] = {
    Kind.IDEMPOTENCY_KEY_EXPIRED: _Expiring(
        (IdempotencyKey.api_key_id, IdempotencyKey.key),
        IdempotencyKey.created_at,
        IdempotencyKey.created_at,
    ),
    Kind.ATTEMPT_EXPIRED: _Expiring((Attempt.id,), Attempt.started_at, Attempt.id),
    # Not indexed, but there are few.
    Kind.RECEIPT_EXPIRED: _Expiring((Receipt.id,), Receipt.received_at, Receipt.received_at),
}


def lifetimes(settings: Settings) -> dict[Kind, timedelta]:
    """How long rows of each kind are kept; a kind that never expires is left out."""
    days = {
        Kind.ATTEMPT_EXPIRED: settings.attempts_days,
        Kind.RECEIPT_EXPIRED: settings.receipts_days,
    }
    return {
        Kind.IDEMPOTENCY_KEY_EXPIRED: KEY_LIFETIME,
        **{kind: timedelta(days=number) for kind, number in days.items() if number},
    }


async def count_expired(session: AsyncSession, kind: Kind, lifetime: timedelta) -> int:
    """The number of rows older than the lifetime."""
    query = select(func.count()).where(_EXPIRING[kind].created_at < now() - lifetime)
    return await session.scalar(query) or 0


async def delete_expired(
    session: AsyncSession, kind: Kind, lifetime: timedelta, *, limit: int
) -> int:
    """Delete the oldest rows, `limit` at most, if they are older than the lifetime; how many."""
    key, created_at, order = _EXPIRING[kind]
    oldest = select(*key, created_at.label("created_at")).order_by(order).limit(limit).subquery()
    expired = select(*(oldest.c[column.key] for column in key)).where(
        oldest.c.created_at < now() - lifetime
    )
    deleted = await session.scalars(
        delete(created_at.class_).where(tuple_(*key).in_(expired)).returning(created_at)
    )
    return len(deleted.all())
