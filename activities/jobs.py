"""Writes a job's row: its state while it runs, and how it ended."""

from temporalio import activity

from activities.manifest import Manifest
from autos.cnj import CaseNumber
from autos.contracts.download import ClosedJob, CloseJob, RecordJob
from autos.contracts.reasons import Reason
from autos.contracts.states import DocumentState, JobStatus
from autos.records import documents as document_rows
from autos.records import jobs, movements, processes, subscriptions
from autos.records.database import Database
from autos.records.models import Document
from autos.store import Store
from autos.store.object_keys import manifest_key


class JobActivities:
    """Activities about a job's row."""

    def __init__(self, database: Database, store: Store) -> None:
        self._database = database
        self._store = store

    @activity.defn
    async def record_job(self, request: RecordJob) -> None:
        """Write the job's state, which is read while no worker answers queries."""
        async with self._database.transaction() as session:
            await jobs.open_job(session, request.job_id, request.case)
            await jobs.record_status(
                session,
                request.job_id,
                request.status,
                request.waiting_for,
                request.waiting_since,
                waiting_until=request.waiting_until,
                reason=request.reason,
                reopens=request.reopens,
            )

    @activity.defn
    async def close_job(self, request: CloseJob) -> ClosedJob:
        """Write the documents' final states, the manifest, the job's row and the events."""
        case = request.case
        async with self._database.transaction() as session:
            await jobs.open_job(session, request.job_id, case)
            documents = await document_rows.settle_documents(
                session,
                request.job_id,
                case.digits,
                request.states,
                request.reason,
                all_of_them=request.status is not JobStatus.CANCELLED,
            )
        status, reason = _ending(request, documents)
        if not request.minimal:
            await self._write_manifest(case, request.job_id, status, documents)
        async with self._database.transaction() as session:
            await jobs.end_job(session, request.job_id, status, reason, documents)
            deliveries = await subscriptions.claim(
                session, request.job_id, status, request.subscriptions
            )
        return ClosedJob(
            status=status,
            reason=reason,
            states=document_rows.state_string(documents),
            bytes_stored=sum(row.size or 0 for row in documents if row.is_available),
            deliveries=deliveries,
        )

    async def _write_manifest(
        self, case: CaseNumber, job_id: str, status: JobStatus, documents: list[Document]
    ) -> None:
        async with self._database.transaction() as session:
            process = await processes.get(session, case.digits)
            moved = await movements.of(session, case.digits, documents)
        manifest = Manifest(case, process, job_id, status, documents, moved)
        await self._store.put_json(manifest_key(case.digits), manifest)


def _ending(request: CloseJob, documents: list[Document]) -> tuple[JobStatus, Reason | None]:
    """The final status: as requested by the workflow, otherwise derived from the documents."""
    if request.status is not None:
        return request.status, request.reason
    if request.states and not documents:
        # The process was purged during the job, so no document is kept.
        return JobStatus.CANCELLED, None
    failed = [document for document in documents if document.state == DocumentState.FAILED]
    if request.gave_up and len(failed) == len(documents):
        return JobStatus.FAILED, request.reason
    if request.gave_up:
        return JobStatus.COMPLETED_WITH_FAILURES, request.reason
    if not failed and not any(document.doubt for document in documents):
        return JobStatus.COMPLETED, None
    if len(failed) < len(documents):
        return JobStatus.COMPLETED_WITH_FAILURES, None
    return JobStatus.FAILED, next(Reason(row.reason) for row in failed if row.reason)
