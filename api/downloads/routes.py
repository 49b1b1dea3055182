"""Route of downloads: start or join the job of a process."""

from functools import partial
from uuid import UUID

from fastapi import APIRouter, Body
from fastapi.responses import JSONResponse

from api.downloads import start as downloads
from api.downloads.schemas import DownloadRequest
from api.http import idempotency
from api.http.auth import Caller, CallerDependency, authenticated
from api.http.parameters import Case, Wait, status_url
from api.jobs.schemas import JobStarted
from api.problems import (
    ENGINE_UNAVAILABLE,
    IDEMPOTENCY_KEY_IN_USE,
    IDEMPOTENCY_KEY_REUSED,
    INVALID_IDEMPOTENCY_KEY,
    NO_ACCESS,
    PROCESS_NOT_FOUND,
    responses,
)
from api.services import Services, ServicesDependency
from autos.cnj import CaseNumber
from autos.contracts.states import JobStatus
from autos.records import jobs

router = APIRouter(tags=["processes"], dependencies=[authenticated])


@router.post(
    "/processes/{number}/downloads",
    operation_id="start_download",
    summary="Start the process's job, or join the running one",
    status_code=202,
    response_model=JobStarted,
    responses={
        200: {"model": JobStarted, "description": "The job ended while the request waited"},
        **responses(
            INVALID_IDEMPOTENCY_KEY,
            NO_ACCESS,
            PROCESS_NOT_FOUND,
            IDEMPOTENCY_KEY_IN_USE,
            IDEMPOTENCY_KEY_REUSED,
            ENGINE_UNAVAILABLE,
        ),
    },
)
async def start_download(
    case: Case,
    services: ServicesDependency,
    caller: CallerDependency,
    wait: Wait,
    idempotency_key: idempotency.Key = None,
    body: DownloadRequest = Body(default_factory=DownloadRequest),  # noqa: B008
) -> JSONResponse:
    """At most one job of a process runs at a time; further requests join it.

    Every webhook URL that was accepted gets one event, whichever job it joined. It may arrive more
    than once, always under the same id.
    """
    content = ("download", case.digits, body.model_dump(mode="json"))
    run = partial(_start, services, caller, case, body, wait)
    return await idempotency.once(services.records, caller, idempotency_key, content, run)


async def _start(
    services: Services,
    caller: Caller,
    case: CaseNumber,
    body: DownloadRequest,
    wait: int | None,
    request_id: UUID | None,
) -> JSONResponse:
    max_age = services.settings.max_age if body.max_age is None else body.max_age
    job_id = await downloads.start(
        services,
        caller,
        case,
        max_age=0 if body.force_refresh else max_age,
        webhook_url=body.webhook_url,
        payload=body.payload,
        request_id=request_id,
    )
    headers = {"Location": status_url(case.digits)}
    if wait:
        headers["Preference-Applied"] = f"wait={wait}"
        await services.temporal.wait_for_end(case.digits, job_id, wait)
    async with services.records.transaction() as session:
        job = await jobs.get(session, job_id)
    downloads.check_refused(job)
    status = JobStatus(job.status) if job else JobStatus.PENDING
    started = JobStarted(
        process_number=case.masked,
        job_id=job_id,
        status=status,
        status_url=status_url(case.digits),
    )
    if not status.ended:
        headers["Retry-After"] = "1"
    return JSONResponse(started.model_dump(mode="json"), 200 if status.ended else 202, headers)
