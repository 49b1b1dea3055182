"""Route of a process's status."""

from typing import Annotated, Literal

from fastapi import APIRouter, Header, Query, Response

from api.http import pagination
from api.http.auth import CallerDependency, authenticated
from api.http.parameters import Case, Cursor, Wait, matches
from api.problems import PROCESS_UNKNOWN, Problem, responses
from api.services import ServicesDependency
from api.status.schemas import Status
from api.status.snapshots import StatusRequest

router = APIRouter(tags=["processes"], dependencies=[authenticated])


@router.get(
    "/processes/{number}/status",
    operation_id="get_status",
    summary="How far the process is",
    response_model=Status,
    responses={
        304: {"description": "Nothing has changed since the version in If-None-Match"},
        **responses(PROCESS_UNKNOWN),
    },
)
async def get_status(
    case: Case,
    services: ServicesDependency,
    caller: CallerDependency,
    wait: Wait,
    documents: Annotated[
        Literal["full", "none"], Query(description="`none` leaves the list of documents out")
    ] = "full",
    cursor: Cursor = None,
    if_none_match: Annotated[str | None, Header(description="ETag of the version held")] = None,
) -> Response:
    """Counters and documents of one moment; the counters sum to the total at every read.

    Cheap to poll: `If-None-Match` answers 304, and `Prefer: wait=N` holds the answer back until
    something changes or the job ends. `Retry-After` says when to poll next.
    """
    request = StatusRequest(case.digits, documents == "full", pagination.position(cursor))
    if wait:
        snapshot = await services.statuses.change(request, caller.id, if_none_match, wait)
    else:
        snapshot = await services.statuses.of(request)
    if snapshot is None:
        raise Problem(PROCESS_UNKNOWN)
    answer, etag = snapshot.answer, snapshot.etag(caller.id)
    headers = {"ETag": etag, "Cache-Control": "private, no-cache"}
    if wait:
        headers["Preference-Applied"] = f"wait={wait}"
    if not answer.status.ended:
        headers["Retry-After"] = _retry_after(answer)
    if matches(if_none_match, etag):
        return Response(status_code=304, headers=headers)
    return Response(snapshot.body_for(caller.id), media_type="application/json", headers=headers)


def _retry_after(answer: Status) -> str:
    """Seconds to the next poll: few while documents are being downloaded, more during a wait."""
    if answer.waiting_for is not None or not answer.live:
        return "5"
    return "1" if (answer.eta_seconds or 0) < 60 else "2"
