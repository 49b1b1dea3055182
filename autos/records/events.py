"""Events: one per ended job and subscription, made once whatever is repeated.

The event id is derived from job and subscription, so an activity that runs twice, or a second
attach of the same subscription, can never make a second event.
"""

import uuid
from collections.abc import Sequence
from typing import Final

from sqlalchemy import or_, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from autos.contracts.states import JobStatus
from autos.records.models import Delivery, Subscription

_EVENTS: Final = uuid.UUID("3d0f2b1c-7c0a-5a55-9d2e-5b1f5d5e0a01")


def event_id(job_id: str, subscription_id: uuid.UUID) -> str:
    """The id of the event that tells this subscription of this job's end."""
    return f"evt_{uuid.uuid5(_EVENTS, f'{job_id}/{subscription_id}').hex}"


async def take_up_subscriptions(
    session: AsyncSession, job_id: str, status: JobStatus, subscriptions: Sequence[str]
) -> list[str]:
    """Bind the subscriptions to the job and make their events; the ids of the events.

    Left out are those that another job has told already, and those whose row is gone: their process
    was purged. Of several that one caller gave for the same address the newest stands for all: it
    is one receiver, and is told once.
    """
    wanted = Subscription.id.in_([uuid.UUID(subscription) for subscription in subscriptions])
    rows = await session.scalars(
        select(Subscription)
        .where(wanted, or_(Subscription.job_id.is_(None), Subscription.job_id == job_id))
        .order_by(Subscription.created_at.desc(), Subscription.id)
        # Another job may be told of the same ones, when this one seemed lost.
        .with_for_update()
    )
    newest: dict[tuple[uuid.UUID, str, str], uuid.UUID] = {}
    for row in rows:
        row.job_id = job_id
        newest.setdefault((row.api_key_id, row.url, row.payload), row.id)
    if not newest:
        return []
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
    return [str(event["id"]) for event in events]
