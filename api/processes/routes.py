"""Routes of processes: one with its metadata, the list, the purge."""

from typing import Annotated

from fastapi import APIRouter, Query, Response
from fastapi.responses import JSONResponse

from api.downloads.schemas import WebhookUrl
from api.downloads.start import check_refused, metadata, start, start_if_needed
from api.http import pagination
from api.http.auth import CallerDependency, authenticated, require_admin
from api.http.parameters import Case, Cursor, Limit, status_url
from api.jobs.schemas import Counters, JobStarted
from api.problems import (
    ENGINE_UNAVAILABLE,
    FORBIDDEN,
    JOB_RUNNING,
    NO_ACCESS,
    PROCESS_NOT_FOUND,
    PROCESS_UNKNOWN,
    STORE_UNAVAILABLE,
    Problem,
    responses,
)
from api.processes import schemas
from api.services import ServicesDependency
from api.status.snapshots import StatusRequest
from autos.contracts.states import JobStatus
from autos.records import processes

router = APIRouter(tags=["processes"], dependencies=[authenticated])


@router.get(
    "/processes/{number}",
    operation_id="get_process",
    summary="Retrieve a process; downloads its documents unless they are stored and fresh",
    response_model=schemas.Process,
    responses={
        202: {
            "model": JobStarted,
            "description": "A job is running, but the metadata has not been fetched yet",
        },
        **responses(NO_ACCESS, PROCESS_NOT_FOUND, PROCESS_UNKNOWN, ENGINE_UNAVAILABLE),
    },
)
async def get_process(
    case: Case,
    services: ServicesDependency,
    caller: CallerDependency,
    auto_download: Annotated[
        bool, Query(description="If false, only reads what is stored and starts no job")
    ] = True,
    webhook_url: Annotated[
        WebhookUrl | None,
        Query(
            description="Receives one event when the job has ended, unless nothing has changed "
            "since its last event"
        ),
    ] = None,
    force_refresh: Annotated[
        bool, Query(description="Fetch the metadata again, even if the stored copy is fresh")
    ] = False,
) -> Response:
    """Waits up to three seconds for the metadata of a new process, then returns 202."""
    if auto_download and force_refresh:
        await start(services, caller, case, max_age=0, webhook_url=webhook_url)
    elif auto_download:
        await start_if_needed(services, caller, case, webhook_url)
    process, job = await metadata(services, case.digits)
    if process is None:
        raise Problem(PROCESS_UNKNOWN)
    if process.fetched_at is None:
        check_refused(job)
        if job is not None and job.is_active:
            started = JobStarted(
                process_number=case.masked,
                job_id=job.id,
                status=JobStatus(job.status),
                status_url=status_url(case.digits),
            )
            headers = {"Location": status_url(case.digits), "Retry-After": "2"}
            return JSONResponse(started.model_dump(mode="json"), 202, headers)
    snapshot = await services.statuses.of(StatusRequest(case.digits, with_documents=False))
    if snapshot is None:
        raise Problem(PROCESS_UNKNOWN)
    status = snapshot.answer
    answer = schemas.Process.of(
        process,
        process_number=case.masked,
        job_id=status.job_id,
        status=status.status,
        documents=Counters.of(status),
        status_url=status_url(case.digits),
        documents_url=f"/api/v1/processes/{case.digits}/documents",
        movements_url=f"/api/v1/processes/{case.digits}/movements",
    )
    return Response(answer.model_dump_json(), media_type="application/json")


@router.get(
    "/processes",
    operation_id="list_processes",
    summary="List processes, newest first, without their metadata",
)
async def list_processes(
    services: ServicesDependency,
    court: Annotated[
        str | None, Query(pattern="^[A-Z0-9-]{2,8}$", description="Such as `TJSP`")
    ] = None,
    status: Annotated[JobStatus | None, Query(description="Status of the newest job")] = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> schemas.ProcessPage:
    """A process without a job is shown as `pending`, but no `status` filter matches it."""
    async with services.records.transaction() as session:
        rows = await processes.page(
            session,
            court=court,
            status=status,
            before=pagination.time_and_text(cursor),
            limit=limit + 1,
        )
    listed, following = pagination.cut(rows, limit, lambda row: (row[0].created_at, row[0].number))
    items = [
        schemas.ListedProcess.of(
            process, process_number=process.number, status=status or JobStatus.PENDING
        )
        for process, status in listed
    ]
    return schemas.ProcessPage(items=items, next=following)


@router.delete(
    "/processes/{number}",
    operation_id="purge_process",
    summary="Delete a process: its objects, then its records (admin)",
    status_code=204,
    dependencies=[require_admin],
    responses=responses(
        FORBIDDEN, PROCESS_UNKNOWN, JOB_RUNNING, ENGINE_UNAVAILABLE, STORE_UNAVAILABLE
    ),
)
async def purge_process(case: Case, services: ServicesDependency) -> None:
    """Safe to repeat: if it fails part-way, the records still say what is left to delete.

    A job that is requested during the purge still ends and notifies its webhooks.
    """
    async with services.records.transaction() as session:
        if not await processes.existing(session, case.digits):
            raise Problem(PROCESS_UNKNOWN)
        known = await processes.unfinished(session, case.digits)
    execution = await services.temporal.execution(case.digits)
    if execution is not None and execution.running:
        raise Problem(JOB_RUNNING)
    await services.store.delete_prefix(case.digits)
    async with services.records.transaction() as session:
        purged = await processes.purge(session, case.digits, known)
    services.statuses.forget(case.digits)
    if not purged:
        raise Problem(JOB_RUNNING)
