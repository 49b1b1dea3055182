"""Routes of webhook deliveries: the log, and delivering again under the original event id.

A key sees its own deliveries only, an administrator's key sees all. The router includes the tools
(`testing.py`) and the signing secret (`secret.py`).
"""

import asyncio
import uuid
from typing import Annotated, Final

from fastapi import APIRouter, Path, Query

from api.http import pagination
from api.http.auth import Caller, CallerDependency, authenticated
from api.http.parameters import Cursor, Limit
from api.problems import ENGINE_UNAVAILABLE, INVALID_CURSOR, Problem, ProblemType, responses
from api.services import ServicesDependency
from api.webhooks import schemas, secret, testing
from api.webhooks.redeliveries import MOST_PER_HOUR
from autos.cnj import CaseNumber
from autos.records import deliveries
from autos.records.models import Attempt
from autos.webhooks.sender import Failure

DELIVERY_UNKNOWN: Final = ProblemType(
    "delivery-unknown",
    404,
    "There is no such delivery",
    "Take an id from GET /api/v1/webhooks/deliveries.",
)
REDELIVERED_TOO_OFTEN: Final = ProblemType(
    "redelivered-too-often",
    429,
    "The event was redelivered too often",
    f"An event can be redelivered {MOST_PER_HOUR} times an hour; retry after `Retry-After` "
    "seconds.",
)

router = APIRouter(prefix="/webhooks", tags=["webhooks"])
router.include_router(testing.router)
router.include_router(testing.signed_router)
router.include_router(secret.router)
_deliveries = APIRouter(dependencies=[authenticated])

EventId = Annotated[str, Path(pattern="^evt_[0-9a-f]{32}$", examples=[schemas.EVENT_ID])]
_RECOVERED_PER_CALL: Final = 1_000
_PARALLEL_CALLS: Final = 20


@_deliveries.get(
    "/deliveries",
    operation_id="list_deliveries",
    summary="List deliveries, newest first",
)
async def list_deliveries(
    services: ServicesDependency,
    caller: CallerDependency,
    status: Annotated[
        schemas.DeliveryStatus | None, Query(description="Only deliveries in this status")
    ] = None,
    process_number: Annotated[
        str | None, Query(description="Only deliveries of this process")
    ] = None,
    attempts: Annotated[bool, Query(description="Include every attempt")] = False,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> schemas.DeliveryPage:
    """Of a receiver's response, only the status and the length are returned."""
    async with services.records.transaction() as session:
        rows = await deliveries.page(
            session,
            owner=_owner(caller),
            status=status,
            process_number=CaseNumber.parse(process_number).digits if process_number else None,
            before=pagination.time_and_text(cursor),
            limit=limit + 1,
            with_attempts=attempts,
        )
    listed, following = pagination.cut(
        rows, limit, lambda row: (row.delivery.created_at, row.delivery.id)
    )
    return schemas.DeliveryPage(items=[_answer(row) for row in listed], next=following)


@_deliveries.post(
    "/deliveries/{event_id}/redeliver",
    operation_id="redeliver",
    summary="Redeliver one event, under its original id",
    status_code=202,
    responses=responses(DELIVERY_UNKNOWN, REDELIVERED_TOO_OFTEN, ENGINE_UNAVAILABLE),
)
async def redeliver(
    event_id: EventId, services: ServicesDependency, caller: CallerDependency
) -> schemas.Redelivery:
    """Sends the event now and, if that fails, on the usual schedule. Also for delivered events."""
    async with services.records.transaction() as session:
        known = await deliveries.exists(session, event_id, owner=_owner(caller))
    if not known:
        raise Problem(DELIVERY_UNKNOWN)
    if wait := await services.redeliveries.seconds_to_wait(event_id):
        raise Problem(REDELIVERED_TOO_OFTEN, headers={"Retry-After": str(wait)})
    await services.temporal.redeliver(event_id)
    return schemas.Redelivery(id=event_id)


@_deliveries.post(
    "/recover",
    operation_id="recover_deliveries",
    summary="Redeliver all events since a point in time that never got a 2xx",
    status_code=202,
    responses=responses(INVALID_CURSOR, ENGINE_UNAVAILABLE),
)
async def recover(
    body: schemas.Recovery, services: ServicesDependency, caller: CallerDependency
) -> schemas.Recovered:
    """Oldest first, 1,000 per call. Delivered events are not sent again. Safe to repeat.

    Events that were redelivered too often within the hour are left out.
    """
    async with services.records.transaction() as session:
        rows = await deliveries.never_delivered(
            session,
            owner=_owner(caller),
            since=body.since,
            after=pagination.time_and_text(body.cursor),
            limit=_RECOVERED_PER_CALL + 1,
        )
    listed, following = pagination.cut(rows, _RECOVERED_PER_CALL, lambda row: row)
    wait = services.redeliveries.seconds_to_wait
    ids = [event_id for _, event_id in listed if not await wait(event_id)]
    for start in range(0, len(ids), _PARALLEL_CALLS):
        batch = ids[start : start + _PARALLEL_CALLS]
        await asyncio.gather(*(services.temporal.redeliver(event_id) for event_id in batch))
    return schemas.Recovered(ids=ids, next=following)


router.include_router(_deliveries)


def _owner(caller: Caller) -> uuid.UUID | None:
    return None if caller.is_admin else caller.id


def _answer(row: deliveries.DeliveryRow) -> schemas.Delivery:
    return schemas.Delivery.of(
        row.delivery,
        process_number=row.subscription.process_number,
        api_key_id=row.subscription.api_key_id,
        payload=row.subscription.payload,
        attempt_count=row.delivery.attempts,
        attempts=None if row.attempts is None else [_attempt(attempt) for attempt in row.attempts],
    )


def _attempt(row: Attempt) -> schemas.Attempt:
    detail = Failure(row.error).text if row.error else None
    return schemas.Attempt.of(row, accepted=row.error is None, detail=detail)
