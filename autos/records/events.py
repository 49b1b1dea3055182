"""Events: one per ended job and subscription, made once whatever is repeated.

The event id is derived from job and subscription, so an activity that runs twice, or a second
attach of the same subscription, can never make a second event.
"""

import uuid
from collections.abc import Sequence
from typing import Final

from sqlalchemy import select, update
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

    A subscription whose row is gone (its process was purged) has nobody to tell and is left out,
    and so is one that another job has told.
    """
    wanted = [uuid.UUID(subscription) for subscription in subscriptions]
    found = (
        await session.scalars(
            select(Subscription.id).where(
                Subscription.id.in_(wanted),
                # A request that was repeated may have attached it to the next job, too.
                Subscription.job_id.is_(None) | (Subscription.job_id == job_id),
            )
        )
    ).all()
    if not found:
        return []
    await session.execute(
        update(Subscription).where(Subscription.id.in_(found)).values(job_id=job_id)
    )
    events = [
        {
            "id": event_id(job_id, subscription_id),
            "subscription_id": subscription_id,
            "job_id": job_id,
            "type": f"process.download.{status}",
        }
        for subscription_id in found
    ]
    await session.execute(insert(Delivery).values(events).on_conflict_do_nothing())
    return [str(event["id"]) for event in events]
