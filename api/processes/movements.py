"""Movements of a process: what happened in the case, as the source tells it."""

from fastapi import APIRouter

from api import schemas
from api.http import pagination
from api.http.auth import authenticated
from api.paths import Case, Cursor, Limit
from api.problems import (
    INVALID_CASE_NUMBER,
    INVALID_CURSOR,
    INVALID_REQUEST,
    PROCESS_UNKNOWN,
    RECORDS_UNAVAILABLE,
    UNAUTHORIZED,
    Problem,
    responses,
)
from api.services import ServicesDependency
from autos.records import movements, processes

router = APIRouter(tags=["movements"], dependencies=[authenticated])


@router.get(
    "/processes/{number}/movements",
    operation_id="list_movements",
    summary="Movements as the source lists them: the present instance first, the newest first",
    responses=responses(
        INVALID_CASE_NUMBER,
        INVALID_CURSOR,
        INVALID_REQUEST,
        UNAUTHORIZED,
        PROCESS_UNKNOWN,
        RECORDS_UNAVAILABLE,
    ),
)
async def list_movements(
    case: Case, services: ServicesDependency, limit: Limit = 100, cursor: Cursor = None
) -> schemas.MovementPage:
    """As they were when the metadata was last read."""
    async with services.records.transaction() as session:
        known = await processes.existing(session, case.digits)
        found = await movements.page(
            session,
            case.digits,
            before=None if cursor is None else pagination.position(cursor),
            limit=limit + 1,
        )
    if not known:
        raise Problem(PROCESS_UNKNOWN)
    listed, more = pagination.page(found, limit)
    return schemas.MovementPage(
        items=[schemas.Movement.model_validate(row) for row in listed],
        next=pagination.encode(listed[-1]["position"]) if more else None,
    )
