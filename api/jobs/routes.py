"""Routes of jobs: their history, and cancel, pause, resume and retry."""

import uuid
from typing import Annotated, Final

from fastapi import APIRouter, Query, Response

from api.downloads.start import start
from api.http import pagination
from api.http.auth import CallerDependency, authenticated
from api.http.parameters import Cursor, Limit, status_url
from api.jobs import schemas
from api.problems import (
    ENGINE_UNAVAILABLE,
    JOB_CLOSING,
    JOB_ENDED,
    JOB_RUNNING,
    JOB_UNKNOWN,
    Problem,
    responses,
)
from api.services import Services, ServicesDependency
from api.status.schemas import Status
from api.status.snapshots import StatusRequest
from autos.cnj import CaseNumber
from autos.contracts.reasons import Reason
from autos.contracts.states import JobStatus
from autos.records import jobs
from autos.records.documents import reopen_failed
from autos.records.models import Job, now

ANY_AGE_SECONDS: Final = 31_536_000
"""A year, the largest `max_age` of a request: no stored copy of the metadata is fetched again."""

router = APIRouter(tags=["jobs"], dependencies=[authenticated])

_STEERING = responses(JOB_UNKNOWN, JOB_ENDED, JOB_CLOSING, ENGINE_UNAVAILABLE)


@router.get("/jobs", operation_id="list_jobs", summary="List jobs, newest first")
async def list_jobs(
    services: ServicesDependency,
    process_number: Annotated[str | None, Query(description="Only jobs of this process")] = None,
    status: Annotated[JobStatus | None, Query(description="Only jobs in this status")] = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> schemas.JobPage:
    """Counters of running jobs come from the records, so they may be slightly behind the status."""
    case = CaseNumber.parse(process_number) if process_number is not None else None
    async with services.records.transaction() as session:
        rows = await jobs.page(
            session,
            process_number=case.digits if case else None,
            status=status,
            before=pagination.time_and_text(cursor),
            limit=limit + 1,
        )
        listed, following = pagination.cut(rows, limit, lambda job: (job.created_at, job.id))
        counted = await jobs.counted(session, listed)
    return schemas.JobPage(items=[_answer(job, counted[job.id]) for job in listed], next=following)


@router.get(
    "/jobs/{job_id}",
    operation_id="get_job",
    summary="Retrieve a job",
    responses=responses(JOB_UNKNOWN),
)
async def get_job(job_id: uuid.UUID, services: ServicesDependency) -> schemas.Job:
    """A running job has the same counters as the status of its process."""
    return await _live(services, await _find(services, job_id))


@router.post(
    "/jobs/{job_id}/cancel",
    operation_id="cancel_job",
    summary="Cancel a job; stored documents are kept",
    status_code=202,
    responses=_STEERING,
)
async def cancel_job(job_id: uuid.UUID, services: ServicesDependency) -> schemas.Job:
    """The job ends as `cancelled` and notifies its webhooks."""
    job = await _find_running(services, job_id)
    await services.temporal.cancel(job.process_number, job.id)
    services.statuses.forget(job.process_number)
    return await _live(services, job)


@router.post(
    "/jobs/{job_id}/pause",
    operation_id="pause_job",
    summary="Pause a job",
    status_code=202,
    responses=_STEERING,
)
async def pause_job(job_id: uuid.UUID, services: ServicesDependency) -> schemas.Job:
    """Running downloads are finished; no further ones start until the job is resumed."""
    return await _steer(services, job_id, "pause")


@router.post(
    "/jobs/{job_id}/resume",
    operation_id="resume_job",
    summary="Resume a paused job, or retry now what a job is waiting for",
    status_code=202,
    responses=_STEERING,
)
async def resume_job(job_id: uuid.UUID, services: ServicesDependency) -> schemas.Job:
    """Has no effect on a job that is not waiting."""
    return await _steer(services, job_id, "resume")


@router.post(
    "/jobs/{job_id}/retry-failed",
    operation_id="retry_failed",
    summary="Retry the failed documents of a job",
    status_code=202,
    responses=responses(JOB_UNKNOWN, JOB_ENDED, JOB_CLOSING, JOB_RUNNING, ENGINE_UNAVAILABLE),
)
async def retry_failed(
    job_id: uuid.UUID, services: ServicesDependency, caller: CallerDependency, response: Response
) -> schemas.JobStarted:
    """A running job retries them itself; for an ended one a new job is started.

    Documents with a `doubt` are retried, too, and replaced only by a better file. Other stored
    documents and the metadata are not requested again.
    """
    job = await _find(services, job_id)
    case = CaseNumber(job.process_number)
    execution = await services.temporal.execution(case.digits)
    if execution is None or not execution.running:
        started = await start(services, caller, case, max_age=ANY_AGE_SECONDS)
    elif execution.first_run_id == job.id and job.is_active:
        requested_at = now()
        await services.temporal.steer(case.digits, job.id, "retry_failed")
        async with services.records.transaction() as session:
            await reopen_failed(session, job.id, until=requested_at)
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
    """The job with the numbers of its process's status, if it is the running job."""
    answer = _answer(job, jobs.JobCounts.of(job))
    if not job.is_active:
        return answer
    snapshot = await services.statuses.of(StatusRequest(job.process_number, with_documents=False))
    if snapshot is None or snapshot.answer.job_id != job.id:
        return answer
    common = schemas.Job.model_fields.keys() & Status.model_fields.keys()
    return answer.model_copy(update={name: getattr(snapshot.answer, name) for name in common})


def _answer(job: Job, counts: jobs.JobCounts) -> schemas.Job:
    return schemas.Job.of(
        job,
        error_message=Reason(job.reason).text if job.reason else None,
        total_documents=counts.total_documents,
        completed_documents=counts.available_documents,
        doubtful_documents=counts.doubtful_documents,
        failed_documents=counts.failed_documents,
        bytes_stored=counts.bytes_stored,
        status_url=status_url(job.process_number),
    )
