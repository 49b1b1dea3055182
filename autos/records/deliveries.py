"""Deliveries of events with their attempts, and the webhooks of the test receiver.

A function with an `owner` sees only that API key's deliveries; None sees all.
"""

import uuid
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import delete, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.sql.elements import ColumnElement

from autos.records.database import keyset
from autos.records.models import Attempt, Delivery, Document, Job, Receipt, Subscription, now


class DeliveryContext(NamedTuple):
    """One delivery with all data of its event."""

    delivery: Delivery
    subscription: Subscription
    job: Job
    documents: Sequence[Document]


class DeliveryRow(NamedTuple):
    """One delivery in the log of deliveries."""

    delivery: Delivery
    subscription: Subscription
    attempts: Sequence[Attempt] | None
    """None if they were not requested."""


async def context(
    session: AsyncSession, event_id: str, *, most_documents: int
) -> DeliveryContext | None:
    """A delivery with the data of its event; None if its process was purged.

    A thin payload has no documents. At most `most_documents + 1` are read; the extra one shows the
    caller that there are too many.
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
    return DeliveryContext(delivery, subscription, job, documents)


async def record_attempt(
    session: AsyncSession, attempt: Attempt, *, delivered: bool, retry_in: timedelta | None
) -> None:
    """Write an attempt and the delivery's new status; the same attempt twice changes nothing.

    A delivered event stays delivered, even if a later redelivery fails.

    Args:
        session: in a transaction.
        attempt: a new row without `number`, which is set here.
        delivered: the receiver accepted it.
        retry_in: time to the next attempt; None if there is none.
    """
    delivery = await session.get(Delivery, attempt.delivery_id, with_for_update=True)
    if delivery is None:
        return
    identity = ("delivery_id", "origin")
    values = {
        name: getattr(attempt, name)
        for name in Attempt.__table__.columns.keys()  # noqa: SIM118 - iterating gives columns
        if name not in ("id", "number", *identity)
    }
    await session.execute(
        insert(Attempt)
        .values(
            delivery_id=attempt.delivery_id,
            origin=attempt.origin,
            number=delivery.attempts + 1,
            **values,
        )
        .on_conflict_do_update(index_elements=identity, set_=values)
    )
    counted = select(func.count()).where(Attempt.delivery_id == delivery.id)
    delivery.attempts = (await session.execute(counted)).scalar_one()
    delivery.last_error = attempt.error
    delivery.next_attempt_at = None if retry_in is None else now() + retry_in
    if delivered and delivery.delivered_at is None:
        delivery.delivered_at = now()
    undelivered = "failed" if retry_in is None else "pending"
    delivery.status = undelivered if delivery.delivered_at is None else "delivered"


async def abandon(session: AsyncSession, delivery_id: str, error: str) -> None:
    """Mark a delivery that cannot be attempted as failed, unless it was delivered."""
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
) -> list[DeliveryRow]:
    """Deliveries, newest first, before the given one."""
    query = (
        select(Delivery, Subscription)
        .join(Subscription, Subscription.id == Delivery.subscription_id)
        .where(*_owned_by(owner))
    )
    query = keyset(query, (Delivery.created_at, Delivery.id), before, limit, newest_first=True)
    if status is not None:
        query = query.where(Delivery.status == status)
    if process_number is not None:
        query = query.where(Subscription.process_number == process_number)
    found = (await session.execute(query)).all()
    attempts: dict[str, list[Attempt]] = {delivery.id: [] for delivery, _ in found}
    if with_attempts:
        rows = select(Attempt).where(Attempt.delivery_id.in_(attempts)).order_by(Attempt.number)
        for attempt in await session.scalars(rows):
            attempts[attempt.delivery_id].append(attempt)
    return [
        DeliveryRow(delivery, subscription, attempts[delivery.id] if with_attempts else None)
        for delivery, subscription in found
    ]


async def exists(session: AsyncSession, event_id: str, *, owner: uuid.UUID | None) -> bool:
    """True if the owner has such a delivery."""
    query = (
        select(Delivery.id)
        .join(Subscription, Subscription.id == Delivery.subscription_id)
        .where(Delivery.id == event_id, *_owned_by(owner))
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
    """Times and ids of the events since `since` that never got a 2xx, oldest first."""
    query = (
        select(Delivery.created_at, Delivery.id)
        .join(Subscription, Subscription.id == Delivery.subscription_id)
        .where(Delivery.delivered_at.is_(None), Delivery.created_at >= since, *_owned_by(owner))
    )
    query = keyset(query, (Delivery.created_at, Delivery.id), after, limit)
    return [(created_at, event_id) for created_at, event_id in await session.execute(query)]


def _owned_by(owner: uuid.UUID | None) -> list[ColumnElement[bool]]:
    return [] if owner is None else [Subscription.api_key_id == owner]


async def keep_receipt(session: AsyncSession, receipt: Receipt, *, most: int) -> None:
    """Insert a received webhook; keep only the newest `most` of its API key."""
    session.add(receipt)
    await session.flush()
    kept = (
        select(Receipt.id)
        .where(Receipt.api_key_id == receipt.api_key_id)
        .order_by(Receipt.received_at.desc(), Receipt.id)
        .limit(most)
    )
    await session.execute(
        delete(Receipt).where(
            Receipt.api_key_id == receipt.api_key_id, Receipt.id.not_in(kept.scalar_subquery())
        )
    )


async def receipts(session: AsyncSession, api_key_id: uuid.UUID) -> Sequence[Receipt]:
    """The webhooks that the test receiver keeps for an API key, newest first."""
    query = (
        select(Receipt)
        .where(Receipt.api_key_id == api_key_id)
        .order_by(Receipt.received_at.desc(), Receipt.id)
    )
    return (await session.scalars(query)).all()
