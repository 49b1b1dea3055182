"""Jobs and subscriptions on which the records and Temporal disagree.

Temporal is queried first, and the row is read again after that. A job records its end before its
workflow closes, so a row that is still active then has lost its workflow. Every repair may run
twice: a job is started under its process's workflow id, an event's id is derived from job and
subscription, and a subscription gets only one event (autos/records/subscriptions.py).
"""

import base64
from collections.abc import Sequence
from datetime import timedelta
from typing import Final

from sqlalchemy.ext.asyncio import AsyncSession
from temporalio.client import Client, WorkflowExecutionStatus

from activities.failures import failure_type, report
from activities.jobs import JobActivities
from activities.reconciliation.findings import PAGE, Findings, for_each
from autos import temporal_client
from autos.cnj import CaseNumber
from autos.contracts.download import Attach, CloseJob, JobResult
from autos.contracts.reasons import Reason
from autos.contracts.reconciliation import Kind, ReconciledPage, ReconcilePage
from autos.contracts.states import JobStatus
from autos.contracts.temporal_names import (
    INTERNAL_ERROR,
    JOB_WORKFLOW,
    job_workflow_id,
    process_number_of,
)
from autos.records import documents, jobs, processes, reconciliation
from autos.records.database import Database
from autos.records.models import Job, Subscription
from autos.settings import Settings
from autos.temporal_client import Execution

_RUNNING: Final = f'WorkflowType="{JOB_WORKFLOW}" AND ExecutionStatus="Running"'
_FAIRNESS_KEY: Final = "reconciliation"
"""The key of a job that is started without an API key's subscription."""


class ReconcileJobs:
    """The steps `jobs`, `running` and `subscriptions`."""

    def __init__(
        self, database: Database, client: Client, job_activities: JobActivities, settings: Settings
    ) -> None:
        self._database = database
        self._client = client
        self._jobs = job_activities
        self._settings = settings

    # ------------------------------------------------------------------ active rows

    async def active(self, request: ReconcilePage) -> ReconciledPage:
        """Compare each active row with its workflow."""
        findings = Findings(request)
        async with self._database.transaction() as session:
            rows = await reconciliation.active_jobs(
                session, until=findings.until, after=request.cursor, limit=PAGE
            )

        async def check(job: Job) -> None:
            execution = await self._newest(job.process_number)
            if execution is None:
                await self._replace_unknown(job, findings)
            elif execution.first_run_id != job.id:
                await self._close_superseded(job, findings)
            elif execution.closed_at is not None and execution.closed_at <= findings.until:
                await self._close_ended(job, execution, findings)

        await for_each(rows, check)
        return findings.page(rows[-1].id if len(rows) == PAGE else None)

    async def _close_ended(self, job: Job, execution: Execution, findings: Findings) -> None:
        """Record the end of a job whose workflow did not record it: documents, row and events."""
        async with self._database.transaction() as session:
            if not await _still_active(session, job):
                return
            waiting = await reconciliation.open_subscriptions(
                session, job.process_number, until=execution.closed_at or findings.until
            )
        if findings.repairs:
            await self._close(await self._ending(job, execution), waiting)
        findings.note(Kind.JOB_CLOSED, job.id, job.process_number)

    async def _ending(self, job: Job, execution: Execution) -> CloseJob:
        ending = CloseJob(job_id=job.id, process_number=job.process_number, states="")
        if execution.stopped:
            ending.status = JobStatus.CANCELLED
        elif execution.status is WorkflowExecutionStatus.COMPLETED:
            # The row was overwritten after completion; trust the workflow's result.
            handle = self._client.get_workflow_handle(
                job_workflow_id(job.process_number),
                run_id=execution.run_id,
                result_type=JobResult,
            )
            result: JobResult = await handle.result()
            ending.status, ending.reason = result.status, result.reason
        else:
            ending.gave_up, ending.reason = True, Reason.INTERRUPTED
            # A failed workflow could not close the job with its manifest.
            ending.minimal = execution.status is WorkflowExecutionStatus.FAILED
        return ending

    async def _replace_unknown(self, job: Job, findings: Findings) -> None:
        """Start another job in place of an accepted one that Temporal does not know."""
        digits = job.process_number
        max_age = timedelta(seconds=self._settings.max_age)
        async with self._database.transaction() as session:
            if not await _still_active(session, job):
                return
            waiting = await reconciliation.open_subscriptions(session, digits, until=findings.until)
            held = await documents.held(session, digits, None)
            read_at = await processes.fetched_at(session, digits)
        fresh = processes.is_fresh(read_at, max_age)
        if findings.repairs and fresh and held.settled:
            # All documents are settled; only the job's end is missing.
            await self._close(
                CloseJob(job_id=job.id, process_number=digits, states=held.states), waiting
            )
        elif findings.repairs:
            await self._start(digits, waiting)
            async with self._database.transaction() as session:
                await jobs.close_lost(session, job.id, JobStatus.FAILED, Reason.INTERRUPTED)
        findings.note(Kind.JOB_UNKNOWN, job.id, digits)

    async def _close_superseded(self, job: Job, findings: Findings) -> None:
        """Close the row of a job whose process has a newer job."""
        own = await self._newest(job.process_number, run_id=job.id)
        stopped = own is not None and own.stopped
        async with self._database.transaction() as session:
            if not await _still_active(session, job):
                return
            if findings.repairs:
                await jobs.close_lost(
                    session,
                    job.id,
                    JobStatus.CANCELLED if stopped else JobStatus.FAILED,
                    None if stopped else Reason.INTERRUPTED,
                )
        findings.note(Kind.JOB_SUPERSEDED, job.id, job.process_number)

    # ------------------------------------------------------------------ jobs without a row

    async def running(self, request: ReconcilePage) -> ReconciledPage:
        """Add the missing row of each running job, such as after a restore of older records.

        Temporal's list may be a second behind, so each job without a row is looked up again.
        """
        findings = Findings(request)
        listing = self._client.list_workflows(
            _RUNNING,
            page_size=PAGE,
            next_page_token=base64.b64decode(request.cursor) if request.cursor else None,
        )
        await listing.fetch_next_page()
        numbers = {
            process_number_of(execution.id)
            for execution in listing.current_page or ()
            if execution.start_time <= findings.until
        }
        async with self._database.transaction() as session:
            numbers = await reconciliation.without_active_job(session, numbers)

        async def check(digits: str) -> None:
            execution = await self._newest(digits)
            if execution is None or not execution.running:
                return
            job_id = execution.first_run_id
            async with self._database.transaction() as session:
                # An ended row means that the job's workflow is about to close.
                if await jobs.get(session, job_id) is not None:
                    return
                if findings.repairs:
                    await processes.ensure(session, CaseNumber(digits))
                    await jobs.add_pending(session, job_id=job_id, process_number=digits)
            findings.note(Kind.JOB_UNRECORDED, job_id, digits)

        await for_each(sorted(numbers), check)
        token = listing.next_page_token
        return findings.page(base64.b64encode(token).decode() if token else None)

    # ------------------------------------------------------------------ subscriptions

    async def subscriptions(self, request: ReconcilePage) -> ReconciledPage:
        """Start a job for subscriptions that no job has taken up; it will notify them."""
        findings = Findings(request)
        async with self._database.transaction() as session:
            numbers = await reconciliation.processes_with_open_subscriptions(
                session, until=findings.until, after=request.cursor, limit=PAGE
            )

        async def check(digits: str) -> None:
            if await temporal_client.is_running(self._client, job_workflow_id(digits)):
                return
            async with self._database.transaction() as session:
                waiting = await reconciliation.open_subscriptions(
                    session, digits, until=findings.until
                )
            if waiting and findings.repairs:
                await self._start(digits, waiting)
            for subscription in waiting:
                findings.note(Kind.SUBSCRIPTION_OPEN, str(subscription.id), digits)

        await for_each(numbers, check)
        return findings.page(numbers[-1] if len(numbers) == PAGE else None)

    # ------------------------------------------------------------------ repairs

    async def _newest(self, digits: str, run_id: str | None = None) -> Execution | None:
        return await temporal_client.newest(self._client, job_workflow_id(digits), run_id=run_id)

    async def _start(self, digits: str, waiting: Sequence[Subscription]) -> None:
        """Start the process's job, or join the one that runs, with these subscriptions."""
        attached: list[tuple[str | None, str]] = [
            (str(subscription.id), str(subscription.api_key_id)) for subscription in waiting
        ]
        for subscription_id, fairness_key in attached or [(None, _FAIRNESS_KEY)]:
            job_id = await temporal_client.attach(
                self._client,
                CaseNumber(digits),
                Attach(subscription_id=subscription_id, max_age_seconds=self._settings.max_age),
                temporal_client.job_options(self._settings),
                fairness_key,
            )
            async with self._database.transaction() as session:
                await jobs.add_pending(session, job_id=job_id, process_number=digits)

    async def _close(self, ending: CloseJob, waiting: Sequence[Subscription]) -> None:
        """Close a job as its workflow would: without a manifest if writing it fails."""
        ending.subscriptions = [str(subscription.id) for subscription in waiting]
        try:
            closed = await self._jobs.close_job(ending)
        except Exception as error:
            if failure_type(error) != INTERNAL_ERROR:
                raise
            report(error)
            closed = await self._jobs.close_job(ending.model_copy(update={"minimal": True}))
        for event_id in closed.deliveries:
            await temporal_client.deliver(
                self._client, event_id, summary="Delivery started by reconciliation", once=True
            )


async def _still_active(session: AsyncSession, job: Job) -> bool:
    row = await session.get(Job, job.id)
    return row is not None and row.is_active
