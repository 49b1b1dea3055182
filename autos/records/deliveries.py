"""Deliveries of events: what one tells about, how its attempts went, and which never arrived.

A function that takes an `owner` sees that API key's deliveries only; None sees all.
"""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import case, func, select, tuple_, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.sql.elements import ColumnElement

from autos.records.models import Attempt, Delivery, Document, Job, Subscription, now


@dataclass(frozen=True, slots=True)
class Order:
    """One delivery with everything it tells about."""

    delivery: Delivery
    subscription: Subscription
    job: Job
    documents: Sequence[Document]


@dataclass(frozen=True, slots=True)
class Listed:
    """One delivery as its owner's log shows it."""

    delivery: Delivery
    process_number: str
    api_key_id: uuid.UUID
    payload: str
    attempts: Sequence[Attempt] | None
    """None when they were not asked for."""


@dataclass(frozen=True, slots=True)
class AttemptRecord:
    """What came of one attempt, ready to be written."""

    delivery_id: str
    origin: str
    """Which try of which workflow run it was; a repeated activity writes the same row."""
    host: str
    started_at: datetime
    milliseconds: int
    status_code: int | None
    error: str | None
    response_length: int | None
    response_excerpt: bytes | None
    delivered: bool
    retry_in: timedelta | None
    """Time to the next attempt; None when there will be none."""


async def order(session: AsyncSession, event_id: str, *, most_documents: int) -> Order | None:
    """A delivery with what it tells; None when its process was purged.

    Documents come by position, and only one more than `most_documents`: who reads that many knows
    that there are too many. A thin payload has none.
    """
    found = (
        await session.execute(
            select(Delivery, Subscription, Job)
            .join(Subscription, Subscription.id == Delivery.subscription_id)
            .join(Job, Job.id == Delivery.job_id)
            .where(Delivery.id == event_id)
        )
    ).one_or_none()
    if found is None:
        return None
    delivery, subscription, job = found
    documents: Sequence[Document] = ()
    if subscription.payload == "full":
        query = (
            select(Document)
            .where(Document.process_number == job.process_number)
            .order_by(Document.position)
            .limit(most_documents + 1)
        )
        documents = (await session.scalars(query)).all()
    return Order(delivery, subscription, job, documents)


async def record_attempt(session: AsyncSession, record: AttemptRecord) -> None:
    """Write an attempt and what it means for its delivery; the same record twice changes nothing.

    What was delivered once stays delivered: a replay that fails does not undo it.
    """
    delivery = await session.get(Delivery, record.delivery_id, with_for_update=True)
    if delivery is None:
        return
    values = {
        "host": record.host,
        "started_at": record.started_at,
        "milliseconds": record.milliseconds,
        "status_code": record.status_code,
        "error": record.error,
        "response_length": record.response_length,
        "response_excerpt": record.response_excerpt,
    }
    await session.execute(
        insert(Attempt)
        .values(
            delivery_id=record.delivery_id,
            origin=record.origin,
            number=delivery.attempts + 1,
            **values,
        )
        .on_conflict_do_update(index_elements=["delivery_id", "origin"], set_=values)
    )
    counted = select(func.count()).where(Attempt.delivery_id == record.delivery_id)
    ended = record.retry_in is None
    await session.execute(
        update(Delivery)
        .where(Delivery.id == record.delivery_id)
        .values(
            attempts=counted.scalar_subquery(),
            status=_status(delivered=record.delivered, ended=ended),
            last_error=record.error,
            next_attempt_at=None if record.retry_in is None else now() + record.retry_in,
            delivered_at=func.coalesce(Delivery.delivered_at, now() if record.delivered else None),
        )
    )


async def abandon(session: AsyncSession, delivery_id: str, error: str) -> None:
    """End a delivery of which no attempt can be made, unless it had arrived before."""
    await session.execute(
        update(Delivery)
        .where(Delivery.id == delivery_id, Delivery.delivered_at.is_(None))
        .values(status="failed", last_error=error, next_attempt_at=None)
    )


async def page(
    session: AsyncSession,
    *,
    owner: uuid.UUID | None,
    status: str | None = None,
    process_number: str | None = None,
    before: tuple[datetime, str] | None = None,
    limit: int,
    with_attempts: bool = False,
) -> list[Listed]:
    """Deliveries, newest first, before the given one."""
    query = (
        select(Delivery, Subscription)
        .join(Subscription, Subscription.id == Delivery.subscription_id)
        .where(*_of(owner))
        .order_by(Delivery.created_at.desc(), Delivery.id.desc())
        .limit(limit)
    )
    if status is not None:
        query = query.where(Delivery.status == status)
    if process_number is not None:
        query = query.where(Subscription.process_number == process_number)
    if before is not None:
        query = query.where(tuple_(Delivery.created_at, Delivery.id) < before)
    found = (await session.execute(query)).all()
    attempts: dict[str, list[Attempt]] = {delivery.id: [] for delivery, _ in found}
    if with_attempts:
        rows = select(Attempt).where(Attempt.delivery_id.in_(attempts)).order_by(Attempt.number)
        for attempt in await session.scalars(rows):
            attempts[attempt.delivery_id].append(attempt)
    return [
        Listed(
            delivery,
            subscription.process_number,
            subscription.api_key_id,
            subscription.payload,
            attempts[delivery.id] if with_attempts else None,
        )
        for delivery, subscription in found
    ]


async def exists(session: AsyncSession, event_id: str, *, owner: uuid.UUID | None) -> bool:
    """True if there is such a delivery for this owner to see."""
    query = (
        select(Delivery.id)
        .join(Subscription, Subscription.id == Delivery.subscription_id)
        .where(Delivery.id == event_id, *_of(owner))
    )
    return await session.scalar(query) is not None


async def never_delivered(
    session: AsyncSession,
    *,
    owner: uuid.UUID | None,
    since: datetime,
    after: tuple[datetime, str] | None,
    limit: int,
) -> list[tuple[datetime, str]]:
    """Times and ids of the events since a moment that never got a 2xx, oldest first."""
    query = (
        select(Delivery.created_at, Delivery.id)
        .join(Subscription, Subscription.id == Delivery.subscription_id)
        .where(Delivery.delivered_at.is_(None), Delivery.created_at >= since, *_of(owner))
        .order_by(Delivery.created_at, Delivery.id)
        .limit(limit)
    )
    if after is not None:
        query = query.where(tuple_(Delivery.created_at, Delivery.id) > after)
    return [(created_at, event_id) for created_at, event_id in await session.execute(query)]


def _of(owner: uuid.UUID | None) -> list[ColumnElement[bool]]:
    return [] if owner is None else [Subscription.api_key_id == owner]


def _status(*, delivered: bool, ended: bool) -> str | ColumnElement[str]:
    if delivered:
        return "delivered"
    undelivered = "failed" if ended else "pending"
    return case((Delivery.delivered_at.is_not(None), "delivered"), else_=undelivered)
