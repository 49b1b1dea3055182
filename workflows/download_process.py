"""One job: stores all documents of a process, and notifies every subscriber of its end.

The steps are: metadata, batches of documents, the final row, one delivery per subscription. The job
waits during a refused credential, an outage of the source or of a part of Autos, and an operator's
pause; none of them fails it. A run that grows long continues as new with its whole state.

Does not promise that a document is requested only once: an activity whose worker died is run again
and recognises stored documents by their hash.
"""

import asyncio
import contextlib
from dataclasses import dataclass
from datetime import timedelta

from temporalio import workflow
from temporalio.common import WorkflowIDReusePolicy
from temporalio.exceptions import (
    ActivityError,
    ApplicationError,
    WorkflowAlreadyStartedError,
    is_cancelled_exception,
)

with workflow.unsafe.imports_passed_through():
    from autos.contracts.deliveries import DeliverWebhook
    from autos.contracts.download import (
        AVAILABLE,
        DOUBTFUL,
        FAILED,
        Attach,
        AttachCheck,
        ClosedJob,
        CloseJob,
        DownloadProcess,
        FetchProcess,
        JobResult,
        Progress,
        Steer,
    )
    from autos.contracts.job_state import JobState
    from autos.contracts.reasons import Reason
    from autos.contracts.retries import retry_rule
    from autos.contracts.states import JobStatus
    from autos.contracts.temporal_names import (
        DELIVERY_WORKFLOW,
        DOCUMENTS_FAILED,
        DOCUMENTS_TOTAL,
        JOB_CLOSING,
        JOB_ENDED,
        JOB_STATUS,
        JOB_WORKFLOW,
        WEBHOOKS_QUEUE,
        delivery_workflow_id,
    )
    from workflows import activity_calls as calls
    from workflows.downloads import Downloads
    from workflows.progress import progress_of
    from workflows.waits import ContinueAsNew, GaveUp, Waits


@dataclass(frozen=True, slots=True)
class _Ending:
    """How a job ended; without a status, it is derived from the documents."""

    status: JobStatus | None = None
    reason: Reason | None = None
    gave_up: bool = False


@workflow.defn(name=JOB_WORKFLOW)
class DownloadProcessWorkflow:
    """See the module."""

    @workflow.init
    def __init__(self, request: DownloadProcess) -> None:
        self._request = request
        self._job_id = workflow.info().first_execution_run_id
        self._state = request.state or JobState(started_at=workflow.now())
        self._downloads = Downloads(request, self._state)
        self._queue = self._downloads.queue
        self._waits = Waits(self._state, request, lambda: self._downloads.must_continue_as_new)
        self._closing = False

    # ------------------------------------------------------------------ messages

    @workflow.signal(description="Request this process, optionally with a webhook")
    def attach(self, request: Attach) -> None:
        """Add a subscription and a request for fresh metadata."""
        subscription = request.subscription_id
        if subscription and subscription not in self._state.subscriptions:
            self._state.subscriptions.append(subscription)
        if not self._state.satisfies(request.max_age_seconds, workflow.now()):
            self._state.request_metadata(request.max_age_seconds)

    @workflow.signal(description="A new credential was set: retry now")
    def credential_changed(self) -> None:
        """Wake a job that waits for the source or a credential."""
        self._state.nudged = True

    @workflow.update(description="Start no further batch until `resume`")
    def pause(self, request: Steer) -> Progress:  # noqa: ARG002 - for the validator
        """Batches in flight end normally. A second pause changes nothing."""
        self._state.paused_since = self._state.paused_since or workflow.now()
        self._waits.show()
        return self.progress()

    @workflow.update(description="Continue after a pause, or retry now")
    def resume(self, request: Steer) -> Progress:  # noqa: ARG002 - for the validator
        """End a pause, and make every retry due."""
        self._state.paused_since = None
        self._state.nudged = True
        self._queue.make_all_ready()
        self._waits.show()
        return self.progress()

    @workflow.update(description="Retry the documents that have failed so far, and no others")
    def retry_failed(self, request: Steer) -> Progress:  # noqa: ARG002 - for the validator
        """Set failed and doubtful documents to pending."""
        self._queue.retry_failed()
        # A pending or running fetch of the metadata must not undo this.
        self._state.again = True
        return self.progress()

    @pause.validator
    def _can_pause(self, request: Steer) -> None:
        self._check_steerable(request)

    @resume.validator
    def _can_resume(self, request: Steer) -> None:
        self._check_steerable(request)

    @retry_failed.validator
    def _can_retry(self, request: Steer) -> None:
        self._check_steerable(request)

    def _check_steerable(self, request: Steer) -> None:
        if request.job_id not in (None, self._job_id):
            raise ApplicationError("The job has ended.", type=JOB_ENDED)
        ending = self._closing or self._downloads.given_up
        if ending or workflow.cancellation_reason() is not None:
            raise ApplicationError("The job is recording how it ended.", type=JOB_CLOSING)

    @workflow.query(description="Whether this `attach` would change anything")
    def check_attach(self, request: Attach) -> AttachCheck:
        """The API skips useless signals: a signal costs history events, a query does not."""
        changes = self._closing or self._state.changed_by(
            request.subscription_id, request.max_age_seconds, workflow.now()
        )
        return AttachCheck(job_id=self._job_id, changes=changes)

    @workflow.query(description="Counters, the state of every document, waits and estimates")
    def progress(self) -> Progress:
        """A consistent snapshot of the job."""
        return progress_of(
            self._job_id,
            self._request.process_number,
            self._state,
            self._waits.shown,
            workflow.now(),
        )

    # ------------------------------------------------------------------ the run

    @workflow.run
    async def run(self, request: DownloadProcess) -> JobResult:
        """Run the job to its end; Temporal's cancellation cancels it."""
        state, cancelled = self._state, False
        while True:
            ending = _Ending(JobStatus.CANCELLED) if cancelled else await self._work()
            cancelled = await self._close(ending) or ending.status is JobStatus.CANCELLED
            # A request that was attached while the job was closing gets another round. A cancelled
            # job only notifies its subscribers.
            if not state.subscriptions and (cancelled or state.max_age_seconds is None):
                break
            if cancelled:
                state.max_age_seconds = None
        # A purge also ends the job as cancelled, without a cancellation of the workflow.
        if cancelled and state.status is JobStatus.CANCELLED:
            raise asyncio.CancelledError
        return JobResult(
            job_id=self._job_id,
            process_number=request.process_number,
            status=state.status,
            reason=state.reason,
            total=len(state.states),
            available=self._queue.count(AVAILABLE) + self._queue.count(DOUBTFUL),
            doubtful=self._queue.count(DOUBTFUL),
            failed=self._queue.count(FAILED),
        )

    async def _work(self) -> _Ending:
        """Download everything and return how the job ended."""
        state, self._closing = self._state, False
        try:
            if state.status.ended:
                await self._reopen()
            while True:
                if state.fetched_at is None or state.max_age_seconds is not None:
                    await self._fetch()
                await self._downloads.run(self._waits)
                # All requested retries have been made.
                state.again = False
                if state.max_age_seconds is None:
                    return _Ending()
        except ContinueAsNew:
            workflow.continue_as_new(self._request.model_copy(update={"state": state}))
        except GaveUp as gave_up:
            # The job's end also settles the request for fresh metadata.
            state.max_age_seconds = None
            status = None if gave_up.waited_too_long else JobStatus.FAILED
            return _Ending(status, gave_up.reason, gave_up=True)
        except calls.CallFailed as error:
            state.max_age_seconds = None
            return _Ending(None, error.reason, gave_up=True)
        except (asyncio.CancelledError, ActivityError) as error:
            if isinstance(error, ActivityError) and not is_cancelled_exception(error):
                raise
            return _Ending(JobStatus.CANCELLED)

    async def _reopen(self) -> None:
        """Set an ended job to processing, because it was requested again."""
        self._state.status, self._state.reason = JobStatus.PROCESSING, None
        self._state.again = True
        workflow.upsert_search_attributes([JOB_STATUS.value_set(self._state.status)])
        await self._waits.record(reopens=True)

    # ------------------------------------------------------------------ metadata

    async def _fetch(self) -> None:
        """Fetch the metadata; wait out an outage of the source, but not an unreadable case."""
        state, rule = self._state, retry_rule(Reason.UNREADABLE_LISTING)
        if state.wait is not None:
            # The previous run left in the middle of a wait.
            await self._waits.until_source_works()
        await self._waits.while_paused()
        while (refused := await self._fetch_once()) is not None:
            reason, retry_after = refused
            if await self._waits.until_source_works():
                state.listing_attempts += 1
                if state.listing_attempts >= rule.attempts:
                    raise GaveUp(reason)
                state.reason = reason
                unit = self._request.job_options.retry_unit_seconds
                delay = rule.delay_after(state.listing_attempts) * unit
                await self._wait_to_fetch(max(delay, retry_after))
            await self._waits.while_paused()
        state.listing_attempts, state.reason, state.status = 0, None, JobStatus.PROCESSING
        workflow.upsert_search_attributes(
            [JOB_STATUS.value_set(state.status), DOCUMENTS_TOTAL.value_set(len(state.states))]
        )

    async def _fetch_once(self) -> tuple[Reason, float] | None:
        """Fetch the metadata: None on success, otherwise the reason and the seconds to wait."""
        state = self._state
        # Requests that arrive during the fetch set these fields again.
        max_age, state.max_age_seconds = state.max_age_seconds, None
        again, state.again = state.again, False
        succeeded = False
        try:
            fetched = await calls.call(
                calls.FETCH_PROCESS,
                FetchProcess(
                    job_id=self._job_id,
                    process_number=self._request.process_number,
                    max_age_seconds=max_age or 0,
                    again=again,
                ),
                "fetch the metadata",
                self._waits.during_outage,
            )
            succeeded = fetched.reason is None
        except calls.ActivityDefect as error:
            raise GaveUp(error.reason) from error
        finally:
            if not succeeded:
                state.again = state.again or again
                if max_age is not None:
                    state.request_metadata(max_age)
        if fetched.reason is not None and fetched.final:
            raise GaveUp(fetched.reason)
        if fetched.reason is not None:
            return fetched.reason, fetched.retry_after_seconds or 0.0
        state.fetched_at = fetched.fetched_at
        if state.max_age_seconds is not None and state.satisfies(
            state.max_age_seconds, workflow.now()
        ):
            state.max_age_seconds = None
        self._queue.reset(fetched.states)
        if state.again:
            self._queue.retry_failed()
        state.bytes_stored = fetched.bytes_stored
        return None

    async def _wait_to_fetch(self, seconds: float) -> None:
        delay = timedelta(seconds=seconds)
        self._state.next_reading_at = workflow.now() + delay
        with contextlib.suppress(TimeoutError):
            await workflow.wait_condition(
                lambda: self._state.nudged or self._state.paused_since is not None,
                timeout=delay,
                timeout_summary="until the metadata are fetched again",
            )
        self._state.next_reading_at, self._state.nudged = None, False

    # ------------------------------------------------------------------ the end

    async def _close(self, ending: _Ending) -> bool:
        """Record how the job ended, even during a cancellation; True if it was cancelled."""
        self._closing = True
        task = asyncio.create_task(self._record_end(ending))
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            await task
            return True
        return False

    async def _record_end(self, ending: _Ending) -> None:
        """Write the end into the records and start the deliveries to the subscribers."""
        state = self._state
        if ending.gave_up:
            self._queue.fail_unfinished()
        subscriptions, state.subscriptions = state.subscriptions, []
        request = CloseJob(
            job_id=self._job_id,
            process_number=self._request.process_number,
            states=state.states,
            status=ending.status,
            gave_up=ending.gave_up,
            reason=ending.reason,
            subscriptions=subscriptions,
        )
        try:
            closed = await self._call_close(request, "close the job")
        except calls.CallFailed:
            request.minimal = True
            closed = await self._call_close(request, "close the job, without a manifest")
        state.status, state.reason = closed.status, closed.reason
        state.bytes_stored = closed.bytes_stored
        self._queue.reset(closed.states)
        self._waits.end()
        workflow.upsert_search_attributes(
            [
                JOB_STATUS.value_set(state.status),
                DOCUMENTS_FAILED.value_set(self._queue.count(FAILED)),
            ]
        )
        # All at once; the job does not wait for receivers.
        await asyncio.gather(*map(_start_delivery, closed.deliveries))

    async def _call_close(self, request: CloseJob, summary: str) -> ClosedJob:
        return await calls.call(calls.CLOSE_JOB, request, summary, self._waits.during_outage)


async def _start_delivery(event_id: str) -> None:
    # `close_job` may have started it although the response was lost, or the API for a redelivery.
    # It may have ended since.
    with contextlib.suppress(WorkflowAlreadyStartedError):
        await workflow.start_child_workflow(
            DELIVERY_WORKFLOW,
            DeliverWebhook(event_id=event_id),
            id=delivery_workflow_id(event_id),
            task_queue=WEBHOOKS_QUEUE,
            id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
            parent_close_policy=workflow.ParentClosePolicy.ABANDON,
        )
