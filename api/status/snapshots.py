"""Status snapshots of a process: its rows joined with the progress of its running job.

A string with one character per document holds the states of a snapshot. The counters are counted
from it and every document's state is read from it, so they always agree. A document that its row
calls ended has ended, because an activity writes the row before the job knows of it. All else is
the job's, from its `progress` query; if no worker answers within a second, the rows stand alone
(`live: false`). The percentage does not fall when one takes the place of the other.

Nothing is written here: a job that is lost, or ended without writing so, is repaired by
reconciliation. Two API processes may answer differently within the same half second.
"""

import hashlib
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from api.documents.responses import document_status
from api.http import pagination, parameters
from api.status.schemas import Status
from api.status.single_flight import SingleFlight
from api.temporal_client import JobReport, TemporalClient
from autos.contracts.download import (
    AVAILABLE,
    DOUBTFUL,
    FAILED,
    PENDING,
    PROCESSING,
    STATES,
    Progress,
    percentage,
)
from autos.contracts.reasons import Reason, WaitReason
from autos.contracts.states import DocumentState, JobStatus
from autos.records import documents as document_rows
from autos.records import jobs, processes, subscriptions
from autos.records.changes import Changes
from autos.records.database import Database
from autos.records.documents import DocumentStates
from autos.records.models import Document, Job
from autos.records.subscriptions import SubscriptionStatus
from autos.store import Store
from autos.temporal_client import Execution

PAGE: Final = 1000
SHARED_SECONDS: Final = 0.2
"""How long a snapshot is fresh (see `single_flight`)."""
REPORT_SECONDS: Final = 0.05
"""How long a job's report is fresh, from which all pages of an answer are made. So no answer is
older than half a second."""
UNANSWERED_SECONDS: Final = 3.0
"""How long no further report is requested of a job that did not answer."""
STORED: Final = AVAILABLE + DOUBTFUL


class StatusRequest(NamedTuple):
    """The parameters of a snapshot."""

    digits: str
    with_documents: bool
    start: int = 0


@dataclass(frozen=True, slots=True)
class StatusSnapshot:
    """The part of an answer that is the same for every caller, and what is added for each."""

    answer: Status
    body: str
    """The answer as JSON, written once for all callers that share it."""
    digest: str
    subscription_statuses: Mapping[uuid.UUID, SubscriptionStatus]

    def etag(self, key_id: uuid.UUID) -> str:
        """The version of this caller's answer."""
        subscription = self.subscription_statuses.get(key_id)
        if subscription is None:
            return f'W/"{self.digest}"'
        own = hashlib.sha256(repr(subscription).encode()).hexdigest()[:8]
        return f'W/"{self.digest}-{own}"'

    def body_for(self, key_id: uuid.UUID) -> str:
        """The answer as JSON, with the caller's own webhook and no other's."""
        subscription = self.subscription_statuses.get(key_id)
        if subscription is None:
            return self.body
        answer = self.answer.model_copy(
            update={
                "webhook_url": subscription.url,
                "webhook_sent": subscription.delivered_at is not None,
                "webhook_sent_at": subscription.delivered_at,
                "webhook_attempts": subscription.attempts,
                "webhook_last_error": subscription.last_error,
            }
        )
        return answer.model_dump_json()


class Statuses:
    """Makes snapshots; many pollers of one process share one."""

    def __init__(
        self,
        database: Database,
        temporal: TemporalClient,
        store: Store,
        changes: Changes,
        link_ttl: int,
    ) -> None:
        self._database = database
        self._store = store
        self._changes = changes
        self._link_ttl = link_ttl
        self._reports = SingleFlight(temporal.report, _report_seconds)
        self._snapshots = SingleFlight(self._look, _snapshot_seconds)

    async def of(self, request: StatusRequest) -> StatusSnapshot | None:
        """The current status; None for an unknown process."""
        return await self._snapshots.get(request)

    async def change(
        self, request: StatusRequest, key_id: uuid.UUID, known_etag: str | None, seconds: float
    ) -> StatusSnapshot | None:
        """As `of`, once the answer differs from the known one, the job ended, or time is up."""
        deadline = time.monotonic() + seconds
        with self._changes.watching(request.digits) as watch:
            while True:
                snapshot = await self._snapshots.get(request, watch.changed_at)
                if snapshot is None or snapshot.answer.status.ended:
                    return snapshot
                etag = snapshot.etag(key_id)
                known_etag = known_etag or etag
                left = deadline - time.monotonic()
                if not parameters.matches(known_etag, etag) or left <= 0:
                    return snapshot
                await watch.change(left)

    def forget(self, digits: str) -> None:
        """Share nothing that was read before now: this API process has changed the process."""
        self._reports.forget(lambda key: key == digits)
        self._snapshots.forget(lambda request: request.digits == digits)
        self._changes.changed(digits)

    async def _look(self, request: StatusRequest) -> StatusSnapshot | None:
        digits = request.digits
        async with self._database.transaction() as session:
            if not await processes.existing(session, digits):
                return None
            job = await jobs.latest(session, digits)
        job_id, report, lost = job.id if job else None, JobReport(), None
        if job is None or job.is_active:
            report = await self._reports.get(digits)
            if report.progress is not None:
                job_id = report.progress.job_id
            elif report.execution is None:
                # Reconciliation takes up what Temporal has lost, so an active job has not ended.
                report = JobReport(answered=report.answered and job is None)
            elif report.execution.running:
                job_id = report.execution.first_run_id
            elif job is not None:
                lost = report.execution
        # Read after the query, the rows hold every document that the job calls available.
        async with self._database.transaction() as session:
            job = await jobs.get(session, job_id) if job_id else None
            active = job_id if job is None or (job.is_active and lost is None) else None
            held = await document_rows.held(session, digits, active)
            rows: Sequence[Document] = ()
            if request.with_documents:
                rows = await document_rows.page(session, digits, start=request.start, limit=PAGE)
            subscription_statuses = await subscriptions.subscription_statuses(
                session, digits, job_id
            )
            place = await jobs.queue_place(session, job) if job else None
        if report.progress is not None:
            held = held._replace(states=merged(held.states, report.progress.states))
        answer = assemble(digits, held, report, job, job_id, lost)
        more: dict[str, object] = {}
        if place and answer.status is JobStatus.PENDING and not answer.waiting_for:
            more |= {"jobs_ahead": place.jobs_ahead, "eta_seconds": place.eta_seconds}
        if request.with_documents:
            more |= self._listing(request, held.states, rows, report.progress)
        answer = answer.model_copy(update=more)
        return StatusSnapshot(
            answer, answer.model_dump_json(), self._digest(answer), subscription_statuses
        )

    def _listing(
        self,
        request: StatusRequest,
        states: str,
        rows: Sequence[Document],
        progress: Progress | None,
    ) -> dict[str, object]:
        retries = {retry.position: retry.reason for retry in progress.retries} if progress else {}
        end = request.start + PAGE
        return {
            "documents": [
                document_status(
                    row,
                    STATES[states[row.position]],
                    self._store,
                    retries.get(row.position, _retry_reason(row)),
                )
                for row in rows
                if row.position < len(states)
            ],
            "documents_next": pagination.encode(end) if end < len(states) else None,
        }

    def _digest(self, answer: Status) -> str:
        content = answer.model_dump_json(
            exclude={"eta_seconds": True, "documents": {"__all__": {"download_url"}}}
        )
        # Links are not content, but a client that gets 304 for hours would keep expired links.
        era = int(time.time() / (self._link_ttl / 2)) if answer.documents else 0
        return hashlib.sha256(f"{era}{content}".encode()).hexdigest()[:32]


def merged(rows: str, job: str) -> str:
    """The states of the documents, from those of the rows and those of the running job.

    A document that is stored by its row is stored, and one that failed by its row has failed while
    the job still has it in a batch; if the job has it pending, it is about to be retried. The job
    says which documents there are, once it knows.
    """
    if not job or rows == job:
        return rows
    return "".join(
        row if row in STORED or (row == FAILED and own == PROCESSING) else own
        for row, own in zip(rows.ljust(len(job), PENDING), job, strict=False)
    )


def counters(states: str, status: JobStatus) -> dict[str, Any]:
    """The counters and the percentage."""
    total, failed, doubtful = len(states), states.count(FAILED), states.count(DOUBTFUL)
    completed = states.count(AVAILABLE) + doubtful
    return {
        "total_documents": total,
        "completed_documents": completed,
        "doubtful_documents": doubtful,
        "failed_documents": failed,
        "pending_documents": states.count(PENDING),
        "processing_documents": states.count(PROCESSING),
        "progress_percentage": percentage(completed + failed, total, status),
    }


def assemble(
    digits: str,
    held: DocumentStates,
    report: JobReport,
    job: Job | None,
    job_id: str | None,
    lost: Execution | None = None,
) -> Status:
    """A status answer without documents and webhook; the job's report comes before its row.

    `lost` is the ended run of a job that did not write its end into its row.
    """
    progress = report.progress
    source = progress or job
    status = JobStatus(source.status) if source else JobStatus.PENDING
    if lost is not None and job is not None and not status.ended:
        status = lost.ending(some_stored=any(letter in STORED for letter in held.states))
    reason = Reason(source.reason) if source and source.reason else None
    waiting_for = WaitReason(source.waiting_for) if source and source.waiting_for else None
    # An activity that waits writes these two into the row; the job itself does not know them.
    row = job if job and waiting_for and job.waiting_for == waiting_for else None
    started_at = (job.started_at if job else None) or (progress.started_at if progress else None)
    if started_at is not None and job is not None:
        # The row of a job is written after it was started.
        started_at = max(started_at, job.created_at)
    return Status(
        **counters(held.states, status),
        process_number=digits,
        status=status,
        waiting_for=waiting_for,
        waiting_since=source.waiting_since if source else None,
        waiting_until=(progress.waiting_until if progress else None)
        or (row.waiting_until if row else None),
        next_try_at=(progress.next_try_at if progress else None)
        or (row.next_try_at if row else None),
        reason=reason,
        error_message=reason.text if reason else None,
        live=report.answered,
        bytes_stored=held.bytes_stored,
        eta_seconds=progress.eta_seconds if progress else None,
        job_id=job_id,
        created_at=job.created_at if job else None,
        started_at=started_at,
        completed_at=job.completed_at if job else None,
    )


def _retry_reason(row: Document) -> Reason | None:
    """Why the last attempt at a document that is still open did not succeed."""
    return Reason(row.reason) if row.state == DocumentState.PENDING and row.reason else None


def _report_seconds(report: JobReport) -> float:
    if not report.answered:
        return UNANSWERED_SECONDS
    return REPORT_SECONDS if report.progress else 0.0


def _snapshot_seconds(snapshot: StatusSnapshot | None) -> float:
    return SHARED_SECONDS if snapshot and not snapshot.answer.status.ended else 0.0
