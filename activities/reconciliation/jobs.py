"""Jobs and subscriptions of which the records say one thing and Temporal another.

Temporal is asked first and the row is read again after that: a job writes its end before it
closes, so a row that is still active then has really lost it. Everything may run twice: a job is
started by its process's workflow id, an event's id is derived from job and subscription, and a
subscription that has its event gets no other (autos/records/events.py).
"""

import base64
from collections.abc import Sequence
from datetime import timedelta
from typing import Final

from sqlalchemy.ext.asyncio import AsyncSession
from temporalio.client import Client, WorkflowExecution, WorkflowExecutionStatus

from activities.failures import failure_type, report
from activities.jobs import JobActivities
from activities.reconciliation.findings import PAGE, Findings, each
from autos import temporal_client
from autos.cnj import CaseNumber
from autos.contracts.download import Attach, CloseJob, JobResult
from autos.contracts.names import INTERNAL_ERROR, job_workflow_id, process_number_of
from autos.contracts.reconciliation import Kind, ReconciledPage, ReconcilePage
from autos.contracts.states import JobStatus, Reason
from autos.records import documents, jobs, listings, processes, reconciliation
from autos.records.database import Database
from autos.records.models import Job, Subscription
from autos.settings import Settings
from autos.temporal_client import Execution

_RUNNING: Final = f'WorkflowType="{temporal_client.JOB_WORKFLOW}" AND ExecutionStatus="Running"'
_NOBODY: Final = "reconciliation"
"""The fairness key of a job that is started for no API key."""


class LostJobs:
    """The steps `jobs`, `running` and `subscriptions`."""

    def __init__(
        self, database: Database, client: Client, job_activities: JobActivities, settings: Settings
    ) -> None:
        self._database = database
        self._client = client
        self._jobs = job_activities
        self._settings = settings

    # ------------------------------------------------------------------ rows that say: it runs

    async def active(self, request: ReconcilePage) -> ReconciledPage:
        """Ask Temporal about each job whose row says that it runs."""
        findings = Findings(request)
        async with self._database.transaction() as session:
            rows = await reconciliation.active_jobs(
                session, until=findings.until, after=request.cursor, limit=PAGE
            )

        async def look_at(job: Job) -> None:
            execution = await temporal_client.newest(
                self._client, job_workflow_id(job.process_number)
            )
            if execution is None:
                await self._take_up_again(job, findings)
            elif execution.first_run_id != job.id:
                await self._close_superseded(job, findings)
            elif execution.closed_at is not None and execution.closed_at <= findings.until:
                await self._write_the_end(job, execution, findings)

        await each(rows, look_at)
        return findings.page(rows[-1].id if len(rows) == PAGE else None)

    async def _write_the_end(self, job: Job, execution: Execution, findings: Findings) -> None:
        """Do for a job what it did not come to do: its documents' ends, its row, its events."""
        async with self._database.transaction() as session:
            if not await _still_active(session, job):
                return
            untold = await reconciliation.open_subscriptions(
                session, job.process_number, until=execution.closed_at or findings.until
            )
        if not findings.dry_run:
            await self._close(await self._ending(job, execution), untold)
        findings.note(Kind.JOB_CLOSED, job.id, job.process_number, mended=not findings.dry_run)

    async def _ending(self, job: Job, execution: Execution) -> CloseJob:
        ending = CloseJob(job_id=job.id, process_number=job.process_number, states="")
        if execution.stopped:
            ending.status = JobStatus.CANCELLED
        elif execution.status is WorkflowExecutionStatus.COMPLETED:
            # It had written its end, and something wrote over it: its own word holds.
            handle = self._client.get_workflow_handle(
                job_workflow_id(job.process_number),
                run_id=execution.run_id,
                result_type=JobResult,
            )
            result: JobResult = await handle.result()
            ending.status, ending.reason = result.status, result.reason
        else:
            ending.gave_up, ending.reason = True, Reason.INTERRUPTED
            # One that failed could not be closed with its manifest.
            ending.minimal = execution.status is WorkflowExecutionStatus.FAILED
        return ending

    async def _take_up_again(self, job: Job, findings: Findings) -> None:
        """Temporal has lost a job that was accepted: another one does its work and tells of it."""
        digits = job.process_number
        max_age = timedelta(seconds=self._settings.max_age)
        async with self._database.transaction() as session:
            if not await _still_active(session, job):
                return
            untold = await reconciliation.open_subscriptions(session, digits, until=findings.until)
            held = await documents.held(session, digits, None)
            fresh = await listings.metadata_is_fresh(session, digits, max_age)
        if findings.dry_run:
            findings.note(Kind.JOB_UNKNOWN, job.id, digits, mended=False)
            return
        if fresh and held.settled:
            # There is nothing left to do but to say so.
            await self._close(
                CloseJob(job_id=job.id, process_number=digits, states=held.states), untold
            )
        else:
            await self._start(digits, untold)
            async with self._database.transaction() as session:
                await jobs.close_lost(session, job.id, JobStatus.FAILED, Reason.INTERRUPTED)
        findings.note(Kind.JOB_UNKNOWN, job.id, digits, mended=True)

    async def _close_superseded(self, job: Job, findings: Findings) -> None:
        """The process has a newer job; of this one only the row's end is still to be written."""
        own = await temporal_client.newest(
            self._client, job_workflow_id(job.process_number), run_id=job.id
        )
        stopped = own is not None and own.stopped
        async with self._database.transaction() as session:
            if not await _still_active(session, job):
                return
            if not findings.dry_run:
                await jobs.close_lost(
                    session,
                    job.id,
                    JobStatus.CANCELLED if stopped else JobStatus.FAILED,
                    None if stopped else Reason.INTERRUPTED,
                )
        findings.note(Kind.JOB_SUPERSEDED, job.id, job.process_number, mended=not findings.dry_run)

    # ------------------------------------------------------------------ jobs without a row

    async def running(self, request: ReconcilePage) -> ReconciledPage:
        """Look for the row of each job that runs. A list may be a second behind; a row is not."""
        findings = Findings(request)
        listing = self._client.list_workflows(
            _RUNNING,
            page_size=PAGE,
            next_page_token=base64.b64decode(request.cursor) if request.cursor else None,
        )
        await listing.fetch_next_page()
        listed = [
            execution
            for execution in listing.current_page or ()
            if execution.start_time <= findings.until
        ]
        numbers = {process_number_of(execution.id) for execution in listed}
        async with self._database.transaction() as session:
            doubtful = await reconciliation.without_active_job(session, numbers)

        async def look_at(execution: WorkflowExecution) -> None:
            await self._write_a_row(process_number_of(execution.id), findings)

        await each([one for one in listed if process_number_of(one.id) in doubtful], look_at)
        token = listing.next_page_token
        return findings.page(base64.b64encode(token).decode() if token else None)

    async def _write_a_row(self, digits: str, findings: Findings) -> None:
        execution = await temporal_client.newest(self._client, job_workflow_id(digits))
        if execution is None or not execution.running:
            return
        job_id = execution.first_run_id
        async with self._database.transaction() as session:
            # A row that says that the job has ended is its own: it is about to close.
            if await jobs.get(session, job_id) is not None:
                return
            if not findings.dry_run:
                await processes.ensure(session, CaseNumber(digits))
                await jobs.add_pending(session, job_id=job_id, process_number=digits)
        findings.note(Kind.JOB_UNRECORDED, job_id, digits, mended=not findings.dry_run)

    # ------------------------------------------------------------------ nobody will tell them

    async def subscriptions(self, request: ReconcilePage) -> ReconciledPage:
        """Attach again what no job has taken up; the job that follows tells it."""
        findings = Findings(request)
        async with self._database.transaction() as session:
            numbers = await reconciliation.processes_with_open_subscriptions(
                session, until=findings.until, after=request.cursor, limit=PAGE
            )

        async def look_at(digits: str) -> None:
            execution = await temporal_client.newest(self._client, job_workflow_id(digits))
            if execution is not None and execution.running:
                return
            async with self._database.transaction() as session:
                untold = await reconciliation.open_subscriptions(
                    session, digits, until=findings.until
                )
            if untold and not findings.dry_run:
                await self._start(digits, untold)
            for subscription in untold:
                findings.note(
                    Kind.SUBSCRIPTION_OPEN,
                    str(subscription.id),
                    digits,
                    mended=not findings.dry_run,
                )

        await each(numbers, look_at)
        return findings.page(numbers[-1] if len(numbers) == PAGE else None)

    # ------------------------------------------------------------------ what all of them do

    async def _start(self, digits: str, untold: Sequence[Subscription]) -> None:
        """Start the process's job, or join the one that runs, with these subscriptions."""
        case = CaseNumber(digits)
        wanted: list[tuple[str | None, str]] = [
            (str(one.id), str(one.api_key_id)) for one in untold
        ]
        for subscription_id, fairness_key in wanted or [(None, _NOBODY)]:
            job_id = await temporal_client.attach(
                self._client,
                case,
                Attach(subscription_id=subscription_id, max_age_seconds=self._settings.max_age),
                temporal_client.job_options(self._settings),
                fairness_key,
            )
            async with self._database.transaction() as session:
                await jobs.add_pending(session, job_id=job_id, process_number=digits)

    async def _close(self, ending: CloseJob, untold: Sequence[Subscription]) -> None:
        ending.subscriptions = [str(subscription.id) for subscription in untold]
        try:
            closed = await self._jobs.close_job(ending)
        except Exception as error:
            if failure_type(error) != INTERNAL_ERROR:
                raise
            # As the job itself does: row and events are worth more than a manifest.
            report(error)
            closed = await self._jobs.close_job(ending.model_copy(update={"minimal": True}))
        for event_id in closed.deliveries:
            await temporal_client.deliver(self._client, event_id, summary="Told by reconciliation")


async def _still_active(session: AsyncSession, job: Job) -> bool:
    row = await session.get(Job, job.id)
    return row is not None and row.is_active
