"""Response model of the status route."""

from datetime import datetime
from typing import Final

from pydantic import Field

from api.documents.schemas import FAILED_DOCUMENT, STORED_DOCUMENT, DocumentStatus
from api.jobs.schemas import COUNTERS, Counters
from api.schemas import JOB_ID, NUMBER, Example, MaskedNumber, shown
from autos.contracts.reasons import Reason, WaitReason
from autos.contracts.states import JobStatus

STATUS: Final[Example] = COUNTERS | {
    "process_number": NUMBER,
    "status": "processing",
    "waiting_for": None,
    "waiting_since": None,
    "waiting_until": None,
    "next_try_at": None,
    "reason": None,
    "error_message": None,
    "live": True,
    "bytes_stored": 7863180,
    "eta_seconds": 2,
    "jobs_ahead": None,
    "job_id": JOB_ID,
    "webhook_url": "https://example.org/hooks/autos",
    "webhook_sent": False,
    "webhook_sent_at": None,
    "webhook_attempts": 0,
    "webhook_last_error": None,
    "created_at": "2026-01-15T13:00:00Z",
    "started_at": "2026-01-15T13:00:00.050000Z",
    "completed_at": None,
    "documents": [STORED_DOCUMENT, FAILED_DOCUMENT],
    "documents_next": None,
}


class Status(Counters):
    """The progress of a process's newest job."""

    model_config = shown(STATUS)

    process_number: MaskedNumber
    status: JobStatus
    waiting_for: WaitReason | None = None
    waiting_since: datetime | None = None
    waiting_until: datetime | None = Field(
        None, description="When the job gives up waiting; null if it waits until someone intervenes"
    )
    next_try_at: datetime | None = None
    reason: Reason | None = Field(None, description="Why it failed, or what it is waiting out")
    error_message: str | None = None
    live: bool = Field(
        description="False if a job is running but no worker answers: the numbers are older"
    )
    bytes_stored: int
    eta_seconds: int | None = Field(
        None,
        description="Estimated seconds until the job ends; null while it waits for something",
    )
    jobs_ahead: int | None = Field(
        None, description="Before the job starts: how many jobs are queued ahead of it"
    )
    job_id: str | None = Field(None, examples=[JOB_ID])
    webhook_url: str | None = Field(None, description="Returned only to the API key that set it")
    webhook_sent: bool = False
    webhook_sent_at: datetime | None = None
    webhook_attempts: int = 0
    webhook_last_error: str | None = None
    created_at: datetime | None = None
    started_at: datetime | None = None
    completed_at: datetime | None = None
    documents: list[DocumentStatus] | None = Field(
        None, description="By position, 1,000 per page; null with `documents=none`"
    )
    documents_next: str | None = Field(None, description="`cursor` of the next page, if any")
