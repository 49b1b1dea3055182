"""Route of a process's movements: what happened in the case, in the source's words."""

from fastapi import APIRouter

from api.http import pagination
from api.http.auth import authenticated
from api.http.parameters import Case, Cursor, Limit
from api.problems import PROCESS_UNKNOWN, Problem, responses
from api.processes import schemas
from api.services import ServicesDependency
from autos.records import movements, processes

router = APIRouter(tags=["movements"], dependencies=[authenticated])


@router.get(
    "/processes/{number}/movements",
    operation_id="list_movements",
    summary="List movements in the source's order: current instance first, newest first",
    responses=responses(PROCESS_UNKNOWN),
)
async def list_movements(
    case: Case, services: ServicesDependency, limit: Limit = 100, cursor: Cursor = None
) -> schemas.MovementPage:
    """As of the last time the metadata was fetched."""
    before = None if cursor is None else pagination.position(cursor)
    async with services.records.transaction() as session:
        if not await processes.existing(session, case.digits):
            raise Problem(PROCESS_UNKNOWN)
        rows = await movements.page(session, case.digits, before=before, limit=limit + 1)
    listed, following = pagination.cut(rows, limit, lambda row: (row["position"],))
    items = [schemas.Movement.model_validate(row) for row in listed]
    return schemas.MovementPage(items=items, next=following)
