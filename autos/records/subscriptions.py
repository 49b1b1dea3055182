"""Webhook subscriptions of jobs, and the events made of them when a job ends.

The event id is derived from job and subscription, so an activity that runs twice, or a second
attach of the same subscription, never makes a second event.
"""

import uuid
from collections.abc import Sequence
from datetime import datetime
from typing import Final, NamedTuple

from sqlalchemy import func, or_, select
from sqlalchemy.dialects.postgresql import distinct_on, insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.sql.elements import ColumnElement

from autos.contracts.states import JobStatus
from autos.records.idempotency import KEY_LIFETIME
from autos.records.models import Delivery, Document, Job, Subscription, now

_EVENTS: Final = uuid.UUID("3d0f2b1c-7c0a-5a55-9d2e-5b1f5d5e0a01")
"""Namespace of the event ids (UUID version 5)."""


class SubscriptionStatus(NamedTuple):
    """One caller's webhook of a job, and the state of its delivery."""

    url: str
    delivered_at: datetime | None
    attempts: int
    last_error: str | None


def event_id(job_id: str, subscription_id: uuid.UUID) -> str:
    """The id of the event that reports this job's end to this subscription."""
    return f"evt_{uuid.uuid5(_EVENTS, f'{job_id}/{subscription_id}').hex}"


async def add(
    session: AsyncSession,
    *,
    request_id: uuid.UUID | None = None,
    process_number: str,
    api_key_id: uuid.UUID,
    url: str,
    payload: str,
) -> Subscription:
    """Insert a webhook URL; a job claims it when its workflow is signalled the row's id.

    A request that is repeated within a day gets its row again. If that has a `job_id`, it has been
    claimed, and only that job notifies it.

    Args:
        request_id: the same for every repetition of a request; None if it is not repeated.
    """
    earlier = await session.get(Subscription, request_id) if request_id else None
    if earlier is not None and earlier.created_at > now() - KEY_LIFETIME:
        return earlier
    subscription_id = request_id if request_id and earlier is None else uuid.uuid4()
    # The request and its repetition may arrive concurrently.
    await restore(
        session,
        Subscription(
            id=subscription_id,
            process_number=process_number,
            api_key_id=api_key_id,
            url=url,
            payload=payload,
        ),
    )
    return await session.get_one(Subscription, subscription_id)


async def restore(session: AsyncSession, subscription: Subscription) -> None:
    """Insert a subscription unless it exists; a purge may have deleted it a moment ago."""
    columns = ("id", "process_number", "api_key_id", "url", "payload")
    await session.execute(
        insert(Subscription)
        .values({name: getattr(subscription, name) for name in columns})
        .on_conflict_do_nothing(index_elements=[Subscription.id])
    )


async def waiting(
    session: AsyncSession, process_number: str, api_key_id: uuid.UUID, url: str, payload: str
) -> uuid.UUID | None:
    """The caller's newest subscription with this URL and payload that no job has claimed."""
    return await session.scalar(
        select(Subscription.id)
        .where(*_equal(process_number, api_key_id, url, payload), Subscription.job_id.is_(None))
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
    """True if no document of the process has changed since the last event for this URL."""
    notified_at = await session.scalar(
        select(func.max(Job.completed_at))
        .join(Delivery, Delivery.job_id == Job.id)
        .join(Subscription, Subscription.id == Delivery.subscription_id)
        .where(*_equal(process_number, api_key_id, url, payload))
    )
    if notified_at is None:
        return False
    changed_at = func.greatest(Document.first_seen_at, Document.completed_at, Document.vanished_at)
    changed = select(Document.id).where(
        Document.process_number == process_number, changed_at > notified_at
    )
    return not await session.scalar(select(changed.exists()))


def _equal(
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
    """The newest webhook of each caller, by API key: of this job, or not yet claimed."""
    rows = await session.execute(
        select(
            Subscription.api_key_id,
            Subscription.url,
            Delivery.delivered_at,
            func.coalesce(Delivery.attempts, 0),
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
    return {row[0]: SubscriptionStatus(row[1], row[2], row[3], row[4]) for row in rows}


async def claim(
    session: AsyncSession, job_id: str, status: JobStatus, subscriptions: Sequence[str]
) -> dict[str, str]:
    """Bind the subscriptions to the job that has ended and make their events.

    Returns the API key's id of each event id.

    Subscriptions of another job are left out, and those whose process was purged. Of several with
    the same API key, URL and payload only the newest gets an event: they are one receiver.
    """
    wanted = Subscription.id.in_([uuid.UUID(subscription) for subscription in subscriptions])
    rows = await session.scalars(
        select(Subscription)
        .where(wanted, or_(Subscription.job_id.is_(None), Subscription.job_id == job_id))
        .order_by(Subscription.created_at.desc(), Subscription.id)
        # Reconciliation may attach the same ones to another job if this one seemed lost.
        .with_for_update()
    )
    newest: dict[tuple[uuid.UUID, str, str], uuid.UUID] = {}
    for row in rows:
        row.job_id = job_id
        newest.setdefault((row.api_key_id, row.url, row.payload), row.id)
    if not newest:
        return {}
    # The events refer to the rows.
    await session.flush()
    events = [
        {
            "id": event_id(job_id, subscription_id),
            "subscription_id": subscription_id,
            "job_id": job_id,
            "type": f"process.download.{status}",
        }
        for subscription_id in newest.values()
    ]
    await session.execute(insert(Delivery).values(events).on_conflict_do_nothing())
    return {event_id(job_id, row): str(api_key_id) for (api_key_id, _, _), row in newest.items()}
