"""One job: bring a process up to date in the store, and tell every subscriber how it ended.

The order of things: metadata, batches of documents, a final row, one delivery per subscription. A
dead credential, a source or a part of ours that is out of order and an operator's pause are waits,
never failures. The workflow holds positions, counts and reasons only; a run that grows long
continues as new with everything it knows.

Not promised: that a document is asked for only once. An activity whose worker died is run again;
what it had stored is recognised by its hash.
"""

import asyncio
import contextlib
from dataclasses import dataclass
from datetime import timedelta

from temporalio import workflow
from temporalio.exceptions import ActivityError, ApplicationError, is_cancelled_exception

with workflow.unsafe.imports_passed_through():
    from autos.contracts import errors
    from autos.contracts.download import (
        AVAILABLE,
        DOUBTFUL,
        FAILED,
        Attach,
        AttachCheck,
        CloseJob,
        DownloadProcess,
        FetchProcess,
        JobResult,
        Progress,
        Steer,
    )
    from autos.contracts.job_state import JobState
    from autos.contracts.names import DOCUMENTS_FAILED, DOCUMENTS_TOTAL, JOB_STATUS
    from autos.contracts.retries import retry_rule
    from autos.contracts.states import JobStatus, Reason
    from workflows import activity_calls as calls
    from workflows import reports
    from workflows.downloads import Downloads
    from workflows.waits import ContinueAsNew, GaveUp, Waits, reason_of


@dataclass(frozen=True, slots=True)
class _Ending:
    """How a job ended; without a status the documents decide."""

    status: JobStatus | None = None
    reason: Reason | None = None
    gave_up: bool = False


@workflow.defn(name="DownloadProcessWorkflow")
class DownloadProcessWorkflow:
    """See the module. Query: progress; signals and updates are described where they are taken."""

    @workflow.init
    def __init__(self, request: DownloadProcess) -> None:
        self._request = request
        self._job_id = workflow.info().first_execution_run_id
        self._state = request.state or JobState(started_at=workflow.now())
        self._downloads = Downloads(request, self._state)
        self._queue = self._downloads.queue
        self._waits = Waits(self._state, request, lambda: self._downloads.must_leave)
        self._closing = False

    # ------------------------------------------------------------------ messages

    @workflow.signal(description="This process is wanted, perhaps with a webhook")
    def attach(self, request: Attach) -> None:
        """Take up a subscription and a request for fresh metadata."""
        subscription = request.subscription_id
        if subscription and subscription not in self._state.subscriptions:
            self._state.subscriptions.append(subscription)
        if not self._state.satisfies(request.max_age_seconds, workflow.now()):
            self._state.want_metadata(request.max_age_seconds)

    @workflow.signal(description="A new credential was set: try again now")
    def credential_changed(self) -> None:
        """Wake a job that waits for source or credential."""
        self._state.nudged = True

    @workflow.update(description="Start no further batch until `resume`")
    def pause(self, request: Steer) -> Progress:  # noqa: ARG002 - for the validator
        """What is in flight ends normally. A second pause changes nothing."""
        self._state.paused_since = self._state.paused_since or workflow.now()
        self._waits.show()
        return self.progress()

    @workflow.update(description="Go on after a pause, or try again now")
    def resume(self, request: Steer) -> Progress:  # noqa: ARG002 - for the validator
        """End a pause, and do not wait any longer before the next try."""
        self._state.paused_since = None
        self._state.nudged = True
        self._queue.make_all_ready()
        self._waits.show()
        return self.progress()

    @workflow.update(description="Ask once more for what has failed so far, and for nothing else")
    def retry_failed(self, request: Steer) -> Progress:  # noqa: ARG002 - for the validator
        """Documents that failed or are in doubt are pending again."""
        self._queue.retry_failed()
        # A reading of the metadata that is due or on its way does not take this back.
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
            raise ApplicationError("The job has ended.", type=errors.JOB_ENDED)
        ends = self._closing or self._downloads.given_up
        if ends or workflow.cancellation_reason() is not None:
            raise ApplicationError("The job is writing its end.", type=errors.JOB_CLOSING)

    @workflow.query(description="Would this `attach` change anything?")
    def check_attach(self, request: Attach) -> AttachCheck:
        """Asked before the signal is sent: a signal costs events, a query none."""
        changes = self._closing or self._state.changed_by(
            request.subscription_id, request.max_age_seconds, workflow.now()
        )
        return AttachCheck(job_id=self._job_id, changes=changes)

    @workflow.query(description="Counters, the state of every document, waits and estimates")
    def progress(self) -> Progress:
        """One consistent moment of the job."""
        return reports.progress(
            self._job_id,
            self._request.process_number,
            self._state,
            self._waits.shown,
            workflow.now(),
        )

    # ------------------------------------------------------------------ the run

    @workflow.run
    async def run(self, request: DownloadProcess) -> JobResult:
        """Do the job to its end; Temporal's own cancellation cancels it."""
        state, cancelled = self._state, False
        while True:
            ending = _Ending(JobStatus.CANCELLED) if cancelled else await self._work()
            cancelled = await self._close(ending) or ending.status is JobStatus.CANCELLED
            # Who attached while the job was closing gets a round of their own; a cancelled job
            # only says that it will not look again.
            if not state.subscriptions and (cancelled or state.max_age_seconds is None):
                break
            if cancelled:
                state.max_age_seconds = None
        # A purge ends a job as cancelled, too, but nobody asked the workflow to be.
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
        """Do all there is to do, and say how it ended."""
        state, self._closing = self._state, False
        try:
            if state.status.ended:
                await self._open_again()
            while True:
                if state.fetched_at is None or state.max_age_seconds is not None:
                    await self._fetch()
                await self._downloads.run(self._waits)
                # Everything that was to be tried again has been.
                state.again = False
                if state.max_age_seconds is None:
                    return _Ending()
        except ContinueAsNew:
            workflow.continue_as_new(self._request.model_copy(update={"state": state}))
        except GaveUp as gave_up:
            # The request for metadata is answered: this is the answer.
            state.max_age_seconds = None
            status = None if gave_up.of_patience else JobStatus.FAILED
            return _Ending(status, gave_up.reason, gave_up=True)
        except (calls.Defect, calls.OutOfPatience) as error:
            state.max_age_seconds = None
            return _Ending(None, reason_of(error), gave_up=True)
        except (asyncio.CancelledError, ActivityError) as error:
            if isinstance(error, ActivityError) and not is_cancelled_exception(error):
                raise
            return _Ending(JobStatus.CANCELLED)

    async def _open_again(self) -> None:
        """The job is asked for once more after its end: it is a running job in every respect."""
        self._state.status, self._state.reason = JobStatus.PROCESSING, None
        self._state.again = True
        workflow.upsert_search_attributes([JOB_STATUS.value_set(self._state.status)])
        await self._waits.record(reopens=True)

    # ------------------------------------------------------------------ metadata

    async def _fetch(self) -> None:
        """Read the metadata; a source that is out of order is waited out, a broken case is not."""
        state, rule = self._state, retry_rule(Reason.UNREADABLE_LISTING)
        if state.wait is not None:
            # The run before this one left in the middle of a wait.
            await self._waits.until_source_works()
        await self._waits.hold()
        while (refused := await self._read()) is not None:
            reason, retry_after = refused
            if await self._waits.until_source_works():
                state.listing_attempts += 1
                if state.listing_attempts >= rule.attempts:
                    raise GaveUp(reason)
                state.reason = reason
                delay = (
                    rule.delay_after(state.listing_attempts)
                    * self._request.wishes.retry_unit_seconds
                )
                await self._wait_to_read(max(delay, retry_after))
            await self._waits.hold()
        state.listing_attempts, state.reason, state.status = 0, None, JobStatus.PROCESSING
        workflow.upsert_search_attributes(
            [JOB_STATUS.value_set(state.status), DOCUMENTS_TOTAL.value_set(len(state.states))]
        )

    async def _read(self) -> tuple[Reason, float] | None:
        """None when the metadata are as fresh as wanted; else why not, and seconds to wait."""
        state = self._state
        # Requests that come while the source is being read are gathered anew.
        wanted, state.max_age_seconds = state.max_age_seconds, None
        again, state.again = state.again, False
        read_well = False
        try:
            fetched = await calls.run(
                calls.fetch_process(
                    FetchProcess(
                        job_id=self._job_id,
                        process_number=self._request.process_number,
                        max_age_seconds=wanted or 0,
                        again=again,
                    )
                ),
                self._waits.outage,
            )
            read_well = fetched.reason is None
        except calls.Defect as error:
            raise GaveUp(Reason.INTERNAL_ERROR) from error
        finally:
            if not read_well:
                state.again = state.again or again
                if wanted is not None:
                    state.want_metadata(wanted)
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

    async def _wait_to_read(self, seconds: float) -> None:
        delay = timedelta(seconds=seconds)
        self._state.next_reading_at = workflow.now() + delay
        with contextlib.suppress(TimeoutError):
            await workflow.wait_condition(
                lambda: self._state.nudged or self._state.paused_since is not None,
                timeout=delay,
                timeout_summary="the metadata again",
            )
        self._state.next_reading_at, self._state.nudged = None, False

    # ------------------------------------------------------------------ the end

    async def _close(self, ending: _Ending) -> bool:
        """Write the end, whatever comes in between; True if a cancellation did."""
        self._closing = True
        task = asyncio.create_task(self._write_the_end(ending))
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            await task
            return True
        return False

    async def _write_the_end(self, ending: _Ending) -> None:
        """Write the end into the records and start what tells the subscribers."""
        state = self._state
        if ending.gave_up:
            self._queue.fail_the_rest()
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
            closed = await calls.run(calls.close_job(request), self._waits.outage)
        except (calls.Defect, calls.OutOfPatience):
            request.minimal = True
            closed = await calls.run(calls.close_job(request), self._waits.outage)
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
        await calls.start_deliveries(closed.deliveries)
