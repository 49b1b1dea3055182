"""Jobs: their history, and the steering of those that run."""

import uuid
from typing import Annotated, Final

from fastapi import APIRouter, Query, Response

from api import schemas
from api.downloads import start as downloads
from api.http import pagination
from api.http.auth import CallerDependency, authenticated
from api.paths import Cursor, Limit, parse, status_url
from api.problems import (
    ENGINE_UNAVAILABLE,
    INVALID_CASE_NUMBER,
    INVALID_CURSOR,
    INVALID_REQUEST,
    JOB_CLOSING,
    JOB_ENDED,
    JOB_RUNNING,
    JOB_UNKNOWN,
    RECORDS_UNAVAILABLE,
    UNAUTHORIZED,
    Problem,
    responses,
)
from api.services import Services, ServicesDependency
from api.status.snapshots import StatusRequest
from autos.cnj import CaseNumber
from autos.contracts.states import JobStatus, Reason, WaitReason
from autos.records import jobs
from autos.records.documents import reopen_failed
from autos.records.models import Job, now

HOWEVER_OLD: Final = 31_536_000
"""Seconds, a year: the oldest copy of the metadata that a request may ask for."""

router = APIRouter(tags=["jobs"], dependencies=[authenticated])

_STEERING = responses(
    INVALID_REQUEST,
    UNAUTHORIZED,
    JOB_UNKNOWN,
    JOB_ENDED,
    JOB_CLOSING,
    ENGINE_UNAVAILABLE,
    RECORDS_UNAVAILABLE,
)


@router.get(
    "/jobs",
    operation_id="list_jobs",
    summary="Jobs, newest first",
    responses=responses(
        INVALID_CASE_NUMBER, INVALID_CURSOR, INVALID_REQUEST, UNAUTHORIZED, RECORDS_UNAVAILABLE
    ),
)
async def list_jobs(
    services: ServicesDependency,
    process_number: Annotated[str | None, Query(description="Only jobs of this process")] = None,
    status: Annotated[JobStatus | None, Query(description="Only jobs in this status")] = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> schemas.JobPage:
    """The counters of a running job are those of the records; its status is newer by a moment."""
    case = parse(process_number) if process_number is not None else None
    async with services.records.transaction() as session:
        found = await jobs.page(
            session,
            process_number=case.digits if case else None,
            status=status,
            before=pagination.time_and_text(cursor),
            limit=limit + 1,
        )
        listed, more = pagination.page(found, limit)
        counted = await jobs.counted(session, listed)
    return schemas.JobPage(
        items=[_shown(job, counted[job.id]) for job in listed],
        next=pagination.encode(listed[-1].created_at, listed[-1].id) if more else None,
    )


@router.get(
    "/jobs/{job_id}",
    operation_id="get_job",
    summary="One job",
    responses=responses(INVALID_REQUEST, UNAUTHORIZED, JOB_UNKNOWN, RECORDS_UNAVAILABLE),
)
async def get_job(job_id: uuid.UUID, services: ServicesDependency) -> schemas.Job:
    """Of a running job the same numbers as in its process's status."""
    return await _live(services, await _find(services, job_id))


@router.post(
    "/jobs/{job_id}/cancel",
    operation_id="cancel_job",
    summary="Stop the job; what is stored stays stored",
    status_code=202,
    responses=_STEERING,
)
async def cancel_job(job_id: uuid.UUID, services: ServicesDependency) -> schemas.Job:
    """The job ends as `cancelled` and tells its subscribers so."""
    job = await _find_running(services, job_id)
    await services.temporal.cancel(job.process_number, job.id)
    services.statuses.forget(job.process_number)
    return await _live(services, job)


@router.post(
    "/jobs/{job_id}/pause",
    operation_id="pause_job",
    summary="Start no further batch until it is resumed",
    status_code=202,
    responses=_STEERING,
)
async def pause_job(job_id: uuid.UUID, services: ServicesDependency) -> schemas.Job:
    """What is being downloaded ends normally; the job then waits for the operator."""
    return await _steer(services, job_id, "pause")


@router.post(
    "/jobs/{job_id}/resume",
    operation_id="resume_job",
    summary="Go on after a pause, or try again now instead of at the next time due",
    status_code=202,
    responses=_STEERING,
)
async def resume_job(job_id: uuid.UUID, services: ServicesDependency) -> schemas.Job:
    """Harmless for a job that waits for nothing."""
    return await _steer(services, job_id, "resume")


@router.post(
    "/jobs/{job_id}/retry-failed",
    operation_id="retry_failed",
    summary="Ask once more for what this job could not get, and for nothing else",
    status_code=202,
    responses=responses(
        INVALID_REQUEST,
        UNAUTHORIZED,
        JOB_UNKNOWN,
        JOB_ENDED,
        JOB_CLOSING,
        JOB_RUNNING,
        ENGINE_UNAVAILABLE,
        RECORDS_UNAVAILABLE,
    ),
)
async def retry_failed(
    job_id: uuid.UUID, services: ServicesDependency, caller: CallerDependency, response: Response
) -> schemas.JobStarted:
    """A running job does so itself; an ended one gets a successor.

    Documents in doubt are asked for again, too, and stay as they are held unless something better
    comes. What is stored is not asked for again, nor are the metadata, however old.
    """
    job = await _find(services, job_id)
    case = CaseNumber(job.process_number)
    execution = await services.temporal.execution(case.digits)
    if execution is None or not execution.running:
        started = await downloads.start(services, caller, case, max_age=HOWEVER_OLD)
    elif execution.first_run_id == job.id and job.is_active:
        asked_at = now()
        await services.temporal.steer(case.digits, job.id, "retry_failed")
        async with services.records.transaction() as session:
            await reopen_failed(session, job.id, until=asked_at)
        services.statuses.forget(case.digits)
        started = job.id
    else:
        raise Problem(JOB_RUNNING)
    response.headers["Location"] = status_url(case.digits)
    response.headers["Retry-After"] = "1"
    return schemas.JobStarted(
        process_number=case.masked,
        job_id=started,
        status=JobStatus.PENDING if started != job.id else JobStatus(job.status),
        status_url=status_url(case.digits),
    )


async def _find(services: Services, job_id: uuid.UUID) -> Job:
    async with services.records.transaction() as session:
        job = await jobs.get(session, str(job_id))
    if job is None:
        raise Problem(JOB_UNKNOWN)
    return job


async def _find_running(services: Services, job_id: uuid.UUID) -> Job:
    job = await _find(services, job_id)
    if not job.is_active:
        raise Problem(JOB_ENDED)
    return job


async def _steer(services: Services, job_id: uuid.UUID, verb: str) -> schemas.Job:
    job = await _find_running(services, job_id)
    await services.temporal.steer(job.process_number, job.id, verb)
    services.statuses.forget(job.process_number)
    return await _live(services, job)


async def _live(services: Services, job: Job) -> schemas.Job:
    """The job with what its process's status says, as long as it is the one that runs."""
    shown = _shown(job, jobs.JobCounts.of(job))
    moment = None
    if job.is_active:
        moment = await services.statuses.of(StatusRequest(job.process_number, with_documents=False))
    if moment is None or moment.answer.job_id != job.id:
        return shown
    same = schemas.Job.model_fields.keys() & schemas.Status.model_fields.keys()
    return shown.model_copy(update={name: getattr(moment.answer, name) for name in same})


def _shown(job: Job, counted: jobs.JobCounts) -> schemas.Job:
    reason = Reason(job.reason) if job.reason else None
    return schemas.Job(
        id=job.id,
        process_number=CaseNumber(job.process_number).masked,
        status=JobStatus(job.status),
        waiting_for=WaitReason(job.waiting_for) if job.waiting_for else None,
        waiting_since=job.waiting_since,
        waiting_until=job.waiting_until,
        next_try_at=job.next_try_at,
        reason=reason,
        error_message=reason.text if reason else None,
        total_documents=counted.total_documents,
        completed_documents=counted.available_documents,
        doubtful_documents=counted.doubtful_documents,
        failed_documents=counted.failed_documents,
        bytes_stored=counted.bytes_stored,
        created_at=job.created_at,
        started_at=job.started_at,
        completed_at=job.completed_at,
        duration_seconds=job.duration_seconds,
        status_url=status_url(job.process_number),
    )
