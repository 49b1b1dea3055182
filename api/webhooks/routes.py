"""The log of deliveries, and delivering again; includes the tools and the secret.

A key sees its own deliveries only, an administrator's sees all. Original event ids are kept,
whatever is delivered again.
"""

import asyncio
import uuid
from typing import Annotated, Final

from fastapi import APIRouter, Query

from api.http import pagination
from api.http.api_keys import Caller
from api.http.auth import CallerDependency, authenticated
from api.paths import Cursor, Limit, parse
from api.problems import (
    ENGINE_UNAVAILABLE,
    INVALID_CASE_NUMBER,
    INVALID_CURSOR,
    INVALID_REQUEST,
    RECORDS_UNAVAILABLE,
    UNAUTHORIZED,
    UNREADABLE_BODY,
    Problem,
    responses,
)
from api.services import ServicesDependency
from api.webhooks import schemas as webhook_schemas
from api.webhooks import secret as webhook_secret
from api.webhooks import tools as webhook_tools
from api.webhooks.answers import DELIVERY_UNKNOWN, REDELIVERED_TOO_OFTEN, EventId
from autos.cnj import CaseNumber
from autos.records import deliveries
from autos.records.models import Attempt
from autos.webhooks.sender import Failure

router = APIRouter(prefix="/webhooks", tags=["webhooks"])
router.include_router(webhook_tools.router)
router.include_router(webhook_tools.signed_router)
router.include_router(webhook_secret.router)
_log = APIRouter(dependencies=[authenticated])

_RECOVERED_A_CALL: Final = 1_000
_AT_ONCE: Final = 20


@_log.get(
    "/deliveries",
    operation_id="list_deliveries",
    summary="Deliveries of events, newest first",
    responses=responses(
        INVALID_CASE_NUMBER, INVALID_CURSOR, INVALID_REQUEST, UNAUTHORIZED, RECORDS_UNAVAILABLE
    ),
)
async def list_deliveries(
    services: ServicesDependency,
    caller: CallerDependency,
    status: Annotated[
        webhook_schemas.DeliveryStatus | None, Query(description="Only those")
    ] = None,
    process_number: Annotated[str | None, Query(description="Only of this process")] = None,
    attempts: Annotated[bool, Query(description="With every attempt")] = False,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> webhook_schemas.DeliveryPage:
    """What a receiver answered is told by status and length only."""
    async with services.records.transaction() as session:
        found = await deliveries.page(
            session,
            owner=_owner(caller),
            status=status,
            process_number=parse(process_number).digits if process_number else None,
            before=pagination.time_and_text(cursor),
            limit=limit + 1,
            with_attempts=attempts,
        )
    listed, more = pagination.page(found, limit)
    edge = listed[-1].delivery if more else None
    return webhook_schemas.DeliveryPage(
        items=[_shown(row) for row in listed],
        next=pagination.encode(edge.created_at, edge.id) if edge else None,
    )


@_log.post(
    "/deliveries/{event_id}/redeliver",
    operation_id="redeliver",
    summary="Deliver one event again, under its original id",
    status_code=202,
    responses=responses(
        INVALID_REQUEST,
        UNAUTHORIZED,
        DELIVERY_UNKNOWN,
        REDELIVERED_TOO_OFTEN,
        ENGINE_UNAVAILABLE,
        RECORDS_UNAVAILABLE,
    ),
)
async def redeliver_one(
    event_id: EventId, services: ServicesDependency, caller: CallerDependency
) -> webhook_schemas.Redelivery:
    """Now, and if that fails by the usual schedule anew. Delivered ones are sent again, too."""
    async with services.records.transaction() as session:
        known = await deliveries.exists(session, event_id, owner=_owner(caller))
    if not known:
        raise Problem(DELIVERY_UNKNOWN)
    if wait := await services.redeliveries.seconds_to_wait(event_id):
        raise Problem(REDELIVERED_TOO_OFTEN, headers={"Retry-After": str(wait)})
    await services.temporal.redeliver(event_id)
    return webhook_schemas.Redelivery(id=event_id)


@_log.post(
    "/recover",
    operation_id="recover_deliveries",
    summary="Deliver everything again that never got a 2xx since a moment",
    status_code=202,
    responses=responses(
        UNREADABLE_BODY,
        INVALID_CURSOR,
        INVALID_REQUEST,
        UNAUTHORIZED,
        ENGINE_UNAVAILABLE,
        RECORDS_UNAVAILABLE,
    ),
)
async def recover(
    wish: webhook_schemas.Recovery, services: ServicesDependency, caller: CallerDependency
) -> webhook_schemas.Recovered:
    """Oldest first, 1,000 a call; what is delivered already is left alone. Safe to repeat.

    An event that was asked for too often within the hour is left out.
    """
    async with services.records.transaction() as session:
        found = await deliveries.never_delivered(
            session,
            owner=_owner(caller),
            since=wish.since,
            after=pagination.time_and_text(wish.cursor),
            limit=_RECOVERED_A_CALL + 1,
        )
    listed, more = pagination.page(found, _RECOVERED_A_CALL)
    waits = [await services.redeliveries.seconds_to_wait(event_id) for _, event_id in listed]
    ids = [event_id for (_, event_id), wait in zip(listed, waits, strict=True) if not wait]
    for start in range(0, len(ids), _AT_ONCE):
        batch = ids[start : start + _AT_ONCE]
        await asyncio.gather(*(services.temporal.redeliver(event_id) for event_id in batch))
    return webhook_schemas.Recovered(ids=ids, next=pagination.encode(*listed[-1]) if more else None)


router.include_router(_log)


def _owner(caller: Caller) -> uuid.UUID | None:
    return None if caller.is_admin else caller.id


def _shown(row: deliveries.DeliveryRow) -> webhook_schemas.Delivery:
    delivery = row.delivery
    return webhook_schemas.Delivery.model_validate(
        {
            "id": delivery.id,
            "type": delivery.type,
            "process_number": CaseNumber(row.subscription.process_number).masked,
            "job_id": delivery.job_id,
            "api_key_id": row.subscription.api_key_id,
            "payload": row.subscription.payload,
            "status": delivery.status,
            "attempt_count": delivery.attempts,
            "last_error": delivery.last_error,
            "next_attempt_at": delivery.next_attempt_at,
            "created_at": delivery.created_at,
            "delivered_at": delivery.delivered_at,
            "attempts": None if row.attempts is None else [_attempt(one) for one in row.attempts],
        }
    )


def _attempt(row: Attempt) -> webhook_schemas.Attempt:
    return webhook_schemas.Attempt(
        number=row.number,
        host=row.host,
        started_at=row.started_at,
        accepted=row.error is None,
        status_code=row.status_code,
        milliseconds=row.milliseconds,
        response_length=row.response_length,
        error=row.error,
        detail=Failure(row.error).text if row.error else None,
    )
