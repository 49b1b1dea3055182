"""Webhook URLs attached to jobs, and how the telling went; a URL belongs to its giver's key."""

import uuid
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, or_, select
from sqlalchemy.dialects.postgresql import distinct_on, insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.sql.elements import ColumnElement

from autos.records.idempotency import LIFETIME
from autos.records.models import Delivery, Document, Job, Subscription, now


@dataclass(frozen=True, slots=True)
class SubscriptionStatus:
    """One caller's webhook of a job and what became of it so far."""

    url: str
    delivered_at: datetime | None
    attempts: int
    last_error: str | None


async def add(
    session: AsyncSession,
    *,
    request_id: uuid.UUID | None = None,
    process_number: str,
    api_key_id: uuid.UUID,
    url: str,
    payload: str,
) -> Subscription:
    """Keep a webhook URL; the workflow takes it up when the signal with the row's id arrives.

    A request that is repeated within a day finds its own row again. One with a `job_id` has been
    taken up already: that job tells it, and no other.

    Args:
        request_id: the same for every repetition of a request; None for one that is not repeated.
    """
    earlier = await session.get(Subscription, request_id) if request_id else None
    if earlier is not None and earlier.created_at > now() - LIFETIME:
        return earlier
    subscription_id = request_id if request_id and earlier is None else uuid.uuid4()
    given = Subscription(
        id=subscription_id,
        process_number=process_number,
        api_key_id=api_key_id,
        url=url,
        payload=payload,
    )
    # The request and its repetition may come at the same moment.
    await put_back(session, given)
    return await session.get_one(Subscription, subscription_id)


async def put_back(session: AsyncSession, subscription: Subscription) -> None:
    """Write a subscription unless it is there; a purge may have taken it a moment ago."""
    await session.execute(
        insert(Subscription)
        .values(
            id=subscription.id,
            process_number=subscription.process_number,
            api_key_id=subscription.api_key_id,
            url=subscription.url,
            payload=subscription.payload,
        )
        .on_conflict_do_nothing(index_elements=[Subscription.id])
    )


async def waiting(
    session: AsyncSession, process_number: str, api_key_id: uuid.UUID, url: str, payload: str
) -> uuid.UUID | None:
    """The caller's newest subscription with this address that no job has announced to yet."""
    return await session.scalar(
        select(Subscription.id)
        .where(*_of(process_number, api_key_id, url, payload), Subscription.job_id.is_(None))
        .order_by(Subscription.created_at.desc())
        .limit(1)
    )


async def is_notified(
    session: AsyncSession,
    process_number: str,
    api_key_id: uuid.UUID,
    url: str,
    payload: str = "full",
) -> bool:
    """True if no document of the process has changed since this address had its last event."""
    told_at = await session.scalar(
        select(func.max(Job.completed_at))
        .join(Delivery, Delivery.job_id == Job.id)
        .join(Subscription, Subscription.id == Delivery.subscription_id)
        .where(*_of(process_number, api_key_id, url, payload))
    )
    if told_at is None:
        return False
    changed_at = func.greatest(Document.first_seen_at, Document.completed_at, Document.vanished_at)
    changed = select(Document.id).where(
        Document.process_number == process_number, changed_at > told_at
    )
    return not await session.scalar(select(changed.exists()))


def _of(
    process_number: str, api_key_id: uuid.UUID, url: str, payload: str
) -> list[ColumnElement[bool]]:
    return [
        Subscription.process_number == process_number,
        Subscription.api_key_id == api_key_id,
        Subscription.url == url,
        Subscription.payload == payload,
    ]


async def subscription_statuses(
    session: AsyncSession, process_number: str, job_id: str | None
) -> dict[uuid.UUID, SubscriptionStatus]:
    """The newest webhook of each caller: of this job, or not yet taken up by any."""
    rows = await session.execute(
        select(
            Subscription.api_key_id,
            Subscription.url,
            Delivery.delivered_at,
            Delivery.attempts,
            Delivery.last_error,
        )
        .ext(distinct_on(Subscription.api_key_id))
        .outerjoin(Delivery, Delivery.subscription_id == Subscription.id)
        .where(
            Subscription.process_number == process_number,
            or_(Subscription.job_id == job_id, Subscription.job_id.is_(None)),
        )
        .order_by(Subscription.api_key_id, Subscription.created_at.desc())
    )
    return {
        row.api_key_id: SubscriptionStatus(
            row.url, row.delivered_at, row.attempts or 0, row.last_error
        )
        for row in rows
    }
