"""Writes a job's row: its state while it runs and how it ended; then starts the deliveries."""

import asyncio

import structlog
from temporalio import activity
from temporalio.client import Client
from temporalio.service import RPCError

from activities.manifest import Manifest
from autos import temporal_client
from autos.contracts.download import ClosedJob, CloseJob, RecordJob
from autos.contracts.reasons import Reason
from autos.contracts.states import DocumentState, JobStatus
from autos.records import documents as document_rows
from autos.records import jobs, movements, processes, subscriptions
from autos.records.database import Database
from autos.records.models import Document
from autos.store import Store
from autos.store.object_keys import manifest_key

log = structlog.get_logger(__name__)


class JobActivities:
    """Activities about a job's row."""

    def __init__(self, database: Database, store: Store, client: Client) -> None:
        self._database = database
        self._store = store
        self._client = client

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
        """Write the documents' final states, the manifest, the job's row and the events.

        The deliveries of the events start last. Running again starts none of them twice.
        """
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
            process = await processes.get(session, case.digits)
            moved = await movements.of(session, case.digits, documents)
        status, reason = _ending(request, documents)
        if not request.minimal:
            manifest = Manifest(case, process, request.job_id, status, documents, moved)
            await self._store.put_json(manifest_key(case.digits), manifest)
        async with self._database.transaction() as session:
            await jobs.end_job(session, request.job_id, status, reason, documents)
            events = await subscriptions.claim(
                session, request.job_id, status, request.subscriptions
            )
        not_started = await asyncio.gather(*map(self._deliver, events, events.values()))
        return ClosedJob(
            status=status,
            reason=reason,
            states=document_rows.state_string(documents),
            bytes_stored=sum(row.size or 0 for row in documents if row.is_available),
            deliveries=list(filter(None, not_started)),
        )

    async def _deliver(self, event_id: str, api_key_id: str) -> str | None:
        """Start a delivery; returns the event if Temporal does not accept it now."""
        try:
            await temporal_client.deliver(
                self._client,
                event_id,
                summary="Delivery of a job's end",
                once=True,
                fairness_key=api_key_id,
            )
        except RPCError as error:
            log.warning("delivery_not_started", event_id=event_id, status=error.status.name)
            return event_id
        return None


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
