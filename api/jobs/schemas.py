"""Response models of the job routes, and the counters that all progress responses share."""

from datetime import datetime
from typing import Final

from pydantic import Field

from api.schemas import CASE_PATH, JOB_ID, NUMBER, Answer, Example, MaskedNumber, Page, shown
from autos.contracts.reasons import Reason, WaitReason
from autos.contracts.states import JobStatus

COUNTERS: Final[Example] = {
    "total_documents": 173,
    "completed_documents": 120,
    "doubtful_documents": 0,
    "failed_documents": 1,
    "pending_documents": 47,
    "processing_documents": 5,
    "progress_percentage": 69.94,
}


JOB_STARTED: Final[Example] = {
    "process_number": NUMBER,
    "job_id": JOB_ID,
    "status": "pending",
    "status_url": f"{CASE_PATH}/status",
}


class JobStarted(Answer):
    """A job that is running, or that ended while the request waited for it."""

    model_config = shown(JOB_STARTED)

    process_number: MaskedNumber
    job_id: str = Field(examples=[JOB_ID])
    status: JobStatus
    status_url: str = Field(examples=["/api/v1/processes/99900028620248260100/status"])


class Counters(Answer):
    """Documents by state: completed, failed, pending and processing sum to the total."""

    total_documents: int
    completed_documents: int
    doubtful_documents: int = Field(0, description="Completed documents with a `doubt`")
    failed_documents: int
    pending_documents: int
    processing_documents: int
    progress_percentage: float = Field(
        description="(completed + failed) / total; 100 only once the job has ended"
    )


JOB: Final[Example] = {
    "id": JOB_ID,
    "process_number": NUMBER,
    "status": "completed_with_failures",
    "waiting_for": None,
    "waiting_since": None,
    "waiting_until": None,
    "next_try_at": None,
    "reason": None,
    "error_message": None,
    "total_documents": 173,
    "completed_documents": 172,
    "doubtful_documents": 0,
    "failed_documents": 1,
    "bytes_stored": 11274289,
    "created_at": "2026-01-15T13:00:00Z",
    "started_at": "2026-01-15T13:00:00.050000Z",
    "completed_at": "2026-01-15T13:00:05.650000Z",
    "duration_seconds": 5.6,
    "status_url": f"{CASE_PATH}/status",
}


class Job(Answer):
    """A job and its outcome."""

    model_config = shown(JOB)

    id: str = Field(examples=[JOB_ID])
    process_number: MaskedNumber
    status: JobStatus
    waiting_for: WaitReason | None
    waiting_since: datetime | None
    waiting_until: datetime | None = None
    next_try_at: datetime | None = None
    reason: Reason | None
    error_message: str | None
    total_documents: int
    completed_documents: int
    doubtful_documents: int = 0
    failed_documents: int
    bytes_stored: int
    created_at: datetime
    started_at: datetime | None
    completed_at: datetime | None
    duration_seconds: float | None
    status_url: str


class JobPage(Page):
    """A page of jobs."""

    items: list[Job]
