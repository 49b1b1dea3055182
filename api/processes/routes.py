"""The process itself: one with its metadata, the list, the purge."""

from typing import Annotated

from fastapi import APIRouter, Query, Response
from fastapi.responses import JSONResponse

from api import schemas
from api.downloads import start as downloads
from api.http import pagination
from api.http.auth import CallerDependency, authenticated, require_admin
from api.paths import Case, Cursor, Limit, status_url
from api.problems import (
    ENGINE_UNAVAILABLE,
    FORBIDDEN,
    INVALID_CASE_NUMBER,
    INVALID_CURSOR,
    INVALID_REQUEST,
    JOB_RUNNING,
    NO_ACCESS,
    PROCESS_NOT_FOUND,
    PROCESS_UNKNOWN,
    RECORDS_UNAVAILABLE,
    STORE_UNAVAILABLE,
    UNAUTHORIZED,
    Problem,
    responses,
)
from api.services import ServicesDependency
from api.status.snapshots import StatusRequest
from autos.cnj import CaseNumber
from autos.contracts.states import JobStatus
from autos.records import processes

router = APIRouter(tags=["processes"], dependencies=[authenticated])


@router.get(
    "/processes/{number}",
    operation_id="get_process",
    summary="The process; its documents are downloaded unless they are held and fresh",
    response_model=schemas.Process,
    responses={
        202: {
            "model": schemas.JobStarted,
            "description": "A job runs, but the metadata has not arrived yet",
        },
        **responses(
            INVALID_CASE_NUMBER,
            INVALID_REQUEST,
            UNAUTHORIZED,
            NO_ACCESS,
            PROCESS_NOT_FOUND,
            PROCESS_UNKNOWN,
            ENGINE_UNAVAILABLE,
            RECORDS_UNAVAILABLE,
        ),
    },
)
async def get_process(
    case: Case,
    services: ServicesDependency,
    caller: CallerDependency,
    auto_download: Annotated[
        bool, Query(description="False only reads what is held, and starts nothing")
    ] = True,
    webhook_url: Annotated[
        schemas.WebhookUrl | None,
        Query(
            description="Gets one event when the job has ended; none while nothing has changed "
            "since the last one"
        ),
    ] = None,
    force_refresh: Annotated[
        bool, Query(description="Read the metadata again, however fresh")
    ] = False,
) -> Response:
    """Waits up to three seconds for the metadata of a new process, then answers 202."""
    if auto_download and force_refresh:
        await downloads.start(services, caller, case, max_age=0, webhook_url=webhook_url)
    elif auto_download:
        await downloads.start_if_needed(services, caller, case, webhook_url)
    process, job = await downloads.metadata(services, case.digits)
    if process is None:
        raise Problem(PROCESS_UNKNOWN)
    if process.fetched_at is None:
        downloads.check_refused(job)
        if job is not None and job.is_active:
            started = schemas.JobStarted(
                process_number=case.masked,
                job_id=job.id,
                status=JobStatus(job.status),
                status_url=status_url(case.digits),
            )
            headers = {"Location": status_url(case.digits), "Retry-After": "2"}
            return JSONResponse(started.model_dump(mode="json"), 202, headers)
    moment = await services.statuses.of(StatusRequest(case.digits, with_documents=False))
    if moment is None:
        raise Problem(PROCESS_UNKNOWN)
    status = moment.answer
    answer = schemas.Process(
        process_number=case.masked,
        court=process.court,
        segment=process.segment,
        class_name=process.class_name,
        subjects=process.subjects,
        judging_body=process.judging_body,
        secrecy_level=process.secrecy_level,
        filed_at=process.filed_at,
        details=process.details,
        fetched_at=process.fetched_at,
        job_id=status.job_id,
        status=status.status,
        documents=schemas.Counters.model_validate(status, from_attributes=True),
        status_url=status_url(case.digits),
        documents_url=f"/api/v1/processes/{case.digits}/documents",
        movements_url=f"/api/v1/processes/{case.digits}/movements",
    )
    return Response(answer.model_dump_json(), media_type="application/json")


@router.get(
    "/processes",
    operation_id="list_processes",
    summary="Processes, newest first, without their metadata",
    responses=responses(INVALID_CURSOR, INVALID_REQUEST, UNAUTHORIZED, RECORDS_UNAVAILABLE),
)
async def list_processes(
    services: ServicesDependency,
    court: Annotated[
        str | None, Query(pattern="^[A-Z0-9-]{2,8}$", description="Such as `TJSP`")
    ] = None,
    status: Annotated[JobStatus | None, Query(description="Of the newest job")] = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> schemas.ProcessPage:
    """A process that has no job yet counts as `pending`, but no filter finds it."""
    async with services.records.transaction() as session:
        rows = await processes.page(
            session,
            court=court,
            status=status,
            before=pagination.time_and_text(cursor),
            limit=limit + 1,
        )
    listed, more = pagination.page(rows, limit)
    edge = listed[-1][0] if more else None
    return schemas.ProcessPage(
        items=[
            schemas.ListedProcess(
                process_number=CaseNumber(row.number).masked,
                court=row.court,
                class_name=row.class_name,
                total_documents=row.total_documents,
                status=JobStatus(newest or JobStatus.PENDING),
                fetched_at=row.fetched_at,
                created_at=row.created_at,
            )
            for row, newest in listed
        ],
        next=pagination.encode(edge.created_at, edge.number) if edge else None,
    )


@router.delete(
    "/processes/{number}",
    operation_id="purge_process",
    summary="Delete the process: its objects, then its records (admin)",
    status_code=204,
    dependencies=[require_admin],
    responses=responses(
        INVALID_CASE_NUMBER,
        INVALID_REQUEST,
        UNAUTHORIZED,
        FORBIDDEN,
        PROCESS_UNKNOWN,
        JOB_RUNNING,
        ENGINE_UNAVAILABLE,
        RECORDS_UNAVAILABLE,
        STORE_UNAVAILABLE,
    ),
)
async def purge_process(case: Case, services: ServicesDependency) -> None:
    """Safe to repeat: if it fails half-way, the records still say what is left to delete.

    Where a job was asked for in the very moment of the purge it ends, and tells its subscribers so.
    """
    async with services.records.transaction() as session:
        if not await processes.existing(session, case.digits):
            raise Problem(PROCESS_UNKNOWN)
        known = await processes.unfinished(session, case.digits)
    execution = await services.temporal.execution(case.digits)
    if execution is not None and execution.running:
        raise Problem(JOB_RUNNING)
    await services.store.delete_all(case.digits)
    async with services.records.transaction() as session:
        purged = await processes.purge(session, case.digits, known)
    services.statuses.forget(case.digits)
    if not purged:
        raise Problem(JOB_RUNNING)
