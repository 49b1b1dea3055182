"""One job: bring a process up to date in the store, and tell every subscriber how it ended.

The order of things (DESIGN §5): metadata, batches of documents, a final row, one delivery per
subscription. A dead credential, a source that is out of order and an operator's pause are waits,
never failures. The workflow holds positions, counts and reasons only; a run that grows long
continues as new with everything it knows.

Not promised: that a document is asked for only once. An activity whose worker died is run again;
what it had stored is recognised by its hash.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeAlias

from temporalio import workflow
from temporalio.exceptions import ActivityError, is_cancelled_exception

with workflow.unsafe.imports_passed_through():
    from autos.contracts.download import (
        AVAILABLE,
        FAILED,
        PENDING,
        PROCESSING,
        Attach,
        Carried,
        CloseJob,
        DownloadBatch,
        DownloadProcess,
        FetchProcess,
        JobResult,
        Outcome,
        ProbeSource,
        Progress,
        RecordJob,
        Wanted,
        percentage,
    )
    from autos.contracts.names import (
        DOCUMENTS_FAILED,
        DOCUMENTS_TOTAL,
        JOB_STATUS,
        WAITING_FOR,
        WAITING_SINCE,
    )
    from autos.contracts.retries import OUTAGE_DELAYS, OUTAGES, PATIENCE_DAYS
    from autos.contracts.states import JobStatus, Reason, WaitReason
    from workflows import calls
    from workflows.document_queue import DocumentQueue

Verdict: TypeAlias = tuple[Reason | None, float | None]
"""Why source or credential do not work, None when they do; and the seconds they ask us to wait."""

Question: TypeAlias = Callable[[bool], Awaitable[Verdict]]
"""Asks the source; urgently when somebody says that it works again."""


class ContinueAsNew(Exception):
    """Raised inside to leave whatever is being waited for; the next run takes it up again."""


class GaveUp(Exception):
    """Raised inside when the job cannot come to its documents, or to the rest of them."""

    def __init__(self, reason: Reason, *, of_patience: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.of_patience = of_patience


@dataclass(frozen=True, slots=True)
class _Ending:
    """How a job ended; without a status the documents decide."""

    status: JobStatus | None = None
    reason: Reason | None = None
    gave_up: bool = False


@workflow.defn(name="DownloadProcessWorkflow")
class DownloadProcessWorkflow:
    """See the module. Query: progress; the signals are described where they are taken."""

    @workflow.init
    def __init__(self, request: DownloadProcess) -> None:
        carried = request.carried or Carried()
        self._number = request.process_number
        self._wishes = request.wishes
        self._job_id = workflow.info().first_execution_run_id
        self._retry_unit = timedelta(seconds=request.wishes.retry_unit_seconds)
        self._status = JobStatus.PROCESSING if carried.fetched_at else JobStatus.PENDING
        self._reason: Reason | None = None
        self._queue = DocumentQueue(
            carried.states, carried.attempts, carried.retries, self._retry_unit
        )
        self._subscriptions = list(carried.subscriptions)
        self._max_age = carried.max_age_seconds
        self._fetched_at = carried.fetched_at
        self._paused = carried.paused
        self._waiting_for = carried.waiting_for
        self._waiting_since = carried.waiting_since
        self._next_try_at: datetime | None = None
        self._probes = carried.probes
        self._nudged = False
        self._hurried = False
        self._again = carried.again
        self._batches = carried.batches
        self._last_of_outage = 0
        self._bytes_stored = carried.bytes_stored
        self._downloaded = carried.downloaded
        self._started_at = carried.started_at or workflow.now()
        self._in_flight: list[asyncio.Task[None]] = []
        self._in_doubt: list[Outcome] = []

    # ------------------------------------------------------------------ messages

    @workflow.signal(description="Somebody wants this process, perhaps with a webhook")
    def attach(self, request: Attach) -> None:
        """Take up a subscription and a wish for fresh metadata."""
        if request.subscription_id and request.subscription_id not in self._subscriptions:
            self._subscriptions.append(request.subscription_id)
        if not self._satisfies(request.max_age_seconds):
            self._wish_for(request.max_age_seconds)

    @workflow.signal(description="Start no further batch until `resume`")
    def pause(self) -> None:
        """An operator's pause; what is in flight ends normally."""
        self._paused = True

    @workflow.signal(description="Go on after a pause, or try again now")
    def resume(self) -> None:
        """End a pause, and do not wait any longer before the next try."""
        self._paused = False
        self._nudged = self._hurried = True

    @workflow.signal(description="Ask once more for what has failed so far, and for nothing else")
    def retry_failed(self) -> None:
        """Failed documents are pending again; a job that is closing is not held up by it."""
        self._queue.retry_failed()

    @workflow.signal(description="A new credential was set: try again now")
    def credential_changed(self) -> None:
        """Wake a job that waits for a credential."""
        self._nudged = True

    @workflow.query(description="Counters, the state of every document, waits and estimates")
    def progress(self) -> Progress:
        """One consistent moment of the job."""
        queue = self._queue
        states = queue.states
        available, failed = queue.count(AVAILABLE), queue.count(FAILED)
        total, ended = len(states), available + failed
        rate = self._rate()
        return Progress(
            job_id=self._job_id,
            process_number=self._number,
            status=self._status,
            waiting_for=self._waiting_for,
            waiting_since=self._waiting_since,
            next_try_at=self._next_try_at or queue.next_due,
            reason=self._reason,
            states=states,
            total=total,
            pending=queue.count(PENDING),
            processing=queue.count(PROCESSING),
            available=available,
            failed=failed,
            percentage=percentage(ended, total, self._status),
            bytes_stored=self._bytes_stored,
            retries=queue.retries[:100],
            started_at=self._started_at,
            documents_per_second=rate,
            eta_seconds=round((total - ended) / rate) if rate and not self._waiting_for else None,
        )

    # ------------------------------------------------------------------ the run

    @workflow.run
    async def run(self, request: DownloadProcess) -> JobResult:
        """Do the job to its end; Temporal's own cancellation cancels it."""
        while True:
            ending = await self._work(request)
            cancelled = await self._to_the_end(self._close(ending))
            cancelled = cancelled or ending.status is JobStatus.CANCELLED
            # Whoever attached while the job was closing gets the same end announced, and fresh
            # metadata if they asked for it; a cancelled job says that it will not look again.
            while self._subscriptions and (cancelled or self._max_age is None):
                again = _Ending(JobStatus.CANCELLED)
                if self._max_age is None:
                    again = _Ending(self._status, self._reason)
                self._max_age = None
                cancelled = await self._to_the_end(self._close(again)) or cancelled
            if cancelled or self._max_age is None:
                break
        # A purge ends a job as cancelled, too, but nobody asked the workflow to be.
        if cancelled and self._status is JobStatus.CANCELLED:
            raise asyncio.CancelledError
        return JobResult(
            job_id=self._job_id,
            process_number=self._number,
            status=self._status,
            reason=self._reason,
            total=len(self._queue.states),
            available=self._queue.count(AVAILABLE),
            failed=self._queue.count(FAILED),
        )

    async def _work(self, request: DownloadProcess) -> _Ending:
        """Do all there is to do, and say how it ended."""
        try:
            if self._status.ended:
                await self._open_again()
            await self._bring_up_to_date()
        except ContinueAsNew:
            await workflow.wait_condition(workflow.all_handlers_finished)
            workflow.continue_as_new(request.model_copy(update={"carried": self._carry()}))
        except GaveUp as gave_up:
            # The wish for metadata is answered: this is the answer.
            self._max_age = None
            status = None if gave_up.of_patience else JobStatus.FAILED
            return _Ending(status, gave_up.reason, gave_up=True)
        except (asyncio.CancelledError, ActivityError) as error:
            # An activity whose worker died is not cancelled but missed, and then not tried again.
            if not is_cancelled_exception(error) and workflow.cancellation_reason() is None:
                raise
            return _Ending(JobStatus.CANCELLED)
        return _Ending()

    async def _open_again(self) -> None:
        """The job is asked for once more after its end: it is a running job in every respect."""
        self._status, self._reason, self._again = JobStatus.PROCESSING, None, True
        workflow.upsert_search_attributes([JOB_STATUS.value_set(self._status)])
        await self._record()

    async def _to_the_end(self, ending: Coroutine[Any, Any, None]) -> bool:
        """Finish what ends a job, even when a cancellation comes in between; True if one came."""
        task = asyncio.create_task(ending)
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            await task
            return True
        return False

    async def _bring_up_to_date(self) -> None:
        while True:
            if self._fetched_at is None or self._max_age is not None:
                await self._fetch()
            await self._download()
            if self._max_age is None:
                return

    async def _fetch(self) -> None:
        """Read the metadata, waiting for source and credential as long as it takes."""

        async def read(urgent: bool) -> Verdict:
            # Wishes that come while the source is being read are gathered anew.
            wish, self._max_age = self._max_age, None
            read_well = False
            try:
                fetched = await calls.fetch_process(
                    FetchProcess(
                        job_id=self._job_id,
                        process_number=self._number,
                        max_age_seconds=wish or 0,
                        again=self._again,
                        urgent=urgent,
                    )
                )
                read_well = fetched.reason is None
            finally:
                if not read_well and wish is not None:
                    self._wish_for(wish)
            if fetched.reason is not None and fetched.final:
                raise GaveUp(fetched.reason)
            if read_well:
                self._fetched_at, self._again = fetched.fetched_at, False
                if self._max_age is not None and self._satisfies(self._max_age):
                    self._max_age = None
                self._queue = DocumentQueue(fetched.states, {}, [], self._retry_unit)
                self._bytes_stored = fetched.bytes_stored
            return fetched.reason, fetched.retry_after_seconds

        await self._hold_while_paused()
        await self._wait_out(await self._ask(read), read)
        self._status = JobStatus.PROCESSING
        workflow.upsert_search_attributes(
            [
                JOB_STATUS.value_set(self._status),
                DOCUMENTS_TOTAL.value_set(len(self._queue.states)),
            ]
        )

    def _satisfies(self, max_age_seconds: int) -> bool:
        """True when the metadata as last read is young enough."""
        oldest = workflow.now() - timedelta(seconds=max_age_seconds)
        return self._fetched_at is not None and self._fetched_at >= oldest

    def _wish_for(self, max_age_seconds: int) -> None:
        """Keep a wish until a reading satisfies it; the strictest stands for all."""
        wishes = (max_age_seconds, self._max_age)
        self._max_age = min(wish for wish in wishes if wish is not None)

    async def _download(self) -> None:
        """Keep batches in flight until every document has ended."""
        try:
            if self._waiting_for in (WaitReason.SOURCE, WaitReason.CREDENTIAL):
                # The run before this one left in the middle of a wait.
                await self._wait_out(await self._ask(self._probe), self._probe)
            while True:
                self._take_out_finished()
                await self._hold_while_paused()
                await self._settle_doubts()
                self._make_ready()
                self._start_batches()
                if self._in_flight:
                    await self._one_batch_done()
                elif self._should_continue_as_new():
                    raise ContinueAsNew
                elif self._queue.ready or self._in_doubt:
                    continue
                elif (due := self._queue.next_due) is not None:
                    await self._sleep(
                        due - workflow.now(),
                        "next retry",
                        lambda: self._paused or self._hurried or self._queue.ready > 0,
                    )
                else:
                    return
        finally:
            await self._stop_batches()

    def _make_ready(self) -> None:
        if self._hurried:
            self._hurried = False
            self._queue.make_all_ready()
        self._queue.make_due_ready(workflow.now())

    def _start_batches(self) -> None:
        while (
            len(self._in_flight) < self._wishes.parallel_batches + self._wishes.lookahead
            and self._queue.ready
            and not self._in_doubt
            and not self._paused
            and not self._should_continue_as_new()
        ):
            self._batches += 1
            documents = self._queue.take(self._wishes.batch_size)
            task = asyncio.create_task(self._download_batch(self._batches, documents))
            self._in_flight.append(task)

    async def _one_batch_done(self) -> None:
        await workflow.wait_condition(
            # A pause is told at once, though what is in flight may go on for hours.
            lambda: self._paused or any(task.done() for task in self._in_flight)
        )

    def _take_out_finished(self) -> None:
        finished = [task for task in self._in_flight if task.done()]
        self._in_flight = [task for task in self._in_flight if not task.done()]
        for task in finished:
            # A defect in a batch must not pass for the end of the job.
            task.result()

    async def _stop_batches(self) -> None:
        in_flight, self._in_flight = self._in_flight, []
        for task in in_flight:
            task.cancel()
        await asyncio.gather(*in_flight, return_exceptions=True)

    async def _download_batch(self, batch: int, documents: list[Wanted]) -> None:
        result = await calls.download_batch(
            DownloadBatch(
                job_id=self._job_id,
                process_number=self._number,
                batch=batch,
                at_once=self._wishes.batch_size * self._wishes.parallel_batches,
                documents=documents,
            ),
            _summary(batch, documents),
        )
        self._take_in(batch, result.outcomes)
        workflow.set_current_details(self._details())

    def _take_in(self, batch: int, outcomes: list[Outcome]) -> None:
        reasons = {outcome.reason for outcome in outcomes}
        # Nothing but signs of an outage puts the source in doubt; one refusal of the credential
        # does so for the credential.
        doubtful = reasons & {Reason.CREDENTIAL} or (
            OUTAGES & reasons if reasons <= OUTAGES else ()
        )
        in_doubt = [outcome for outcome in outcomes if outcome.reason in doubtful]
        for outcome in outcomes:
            if outcome.reason in doubtful:
                self._queue.release(outcome.position)
            else:
                self._settle(outcome)
        if batch <= self._last_of_outage:
            # Handed over before the outage was over, and back only now.
            self._put_back(in_doubt)
        else:
            self._in_doubt += in_doubt

    def _settle(self, outcome: Outcome) -> None:
        self._queue.settle(outcome, workflow.now())
        if outcome.reason is None:
            self._downloaded += 1
            self._bytes_stored += outcome.size or 0

    # ------------------------------------------------------------------ waits

    async def _settle_doubts(self) -> None:
        """Ask the source itself: if it works, the attempts count; if not, wait and repeat them."""
        if not self._in_doubt:
            return
        doubts, self._in_doubt = self._in_doubt, []
        verdict = await self._ask(self._probe)
        if verdict[0] is None:
            for outcome in doubts:
                self._settle(outcome)
            return
        await self._wait_out(verdict, self._probe)
        # What came into doubt during the wait was asked in the same outage.
        meanwhile, self._in_doubt = self._in_doubt, []
        self._put_back(doubts + meanwhile)

    def _put_back(self, doubts: list[Outcome]) -> None:
        self._queue.put_back([outcome.position for outcome in doubts])

    async def _probe(self, urgent: bool) -> Verdict:
        probed = await calls.probe_source(ProbeSource(process_number=self._number, urgent=urgent))
        return probed.reason, probed.retry_after_seconds

    async def _ask(self, question: Question, *, urgent: bool = False) -> Verdict:
        # A signal from before the question is answered by it; one that comes meanwhile is not.
        self._nudged = False
        verdict = await question(urgent)
        if workflow.cancellation_reason() is not None:
            # The activity ended before the cancellation reached it, and its result hides that.
            raise asyncio.CancelledError
        return verdict

    async def _wait_out(self, verdict: Verdict, again: Question) -> None:
        """Wait and try again until source and credential work; a signal shortens the wait.

        Raises:
            GaveUp: the wait has lasted longer than a job's patience.
        """
        while (reason := verdict[0]) is not None:
            await self._enter_wait(
                WaitReason.CREDENTIAL if reason is Reason.CREDENTIAL else WaitReason.SOURCE
            )
            self._reason = reason
            since = self._waiting_since or workflow.now()
            if workflow.now() - since > timedelta(days=PATIENCE_DAYS):
                raise GaveUp(reason, of_patience=True)
            if self._should_continue_as_new():
                raise ContinueAsNew
            self._probes += 1
            # Jobs that fell into the same outage must not all come back in the same moment.
            delay = OUTAGE_DELAYS.delay_after(self._probes) * workflow.random().uniform(0.8, 1.2)
            await self._sleep(
                max(delay * self._retry_unit, timedelta(seconds=verdict[1] or 0)),
                f"waiting for {self._waiting_for}",
                lambda: self._nudged or self._paused,
            )
            await self._hold_while_paused()
            verdict = await self._ask(again, urgent=self._nudged)
        self._probes, self._reason = 0, None
        self._last_of_outage = self._batches
        await self._leave_wait()

    async def _hold_while_paused(self) -> None:
        if self._paused:
            await self._enter_wait(WaitReason.OPERATOR)
            await workflow.wait_condition(lambda: not self._paused)
            await self._leave_wait()

    async def _enter_wait(self, waiting_for: WaitReason) -> None:
        if self._waiting_for is not waiting_for:
            self._waiting_for, self._waiting_since = waiting_for, workflow.now()
            await self._show_wait()

    async def _leave_wait(self) -> None:
        if self._waiting_for is not None:
            self._waiting_for = self._waiting_since = None
            await self._show_wait()

    async def _show_wait(self) -> None:
        waiting_for = self._waiting_for
        workflow.set_current_details(self._details())
        since = self._waiting_since
        workflow.upsert_search_attributes(
            [
                WAITING_FOR.value_set(waiting_for) if waiting_for else WAITING_FOR.value_unset(),
                WAITING_SINCE.value_set(since) if since else WAITING_SINCE.value_unset(),
            ]
        )
        await self._record()

    async def _record(self) -> None:
        await calls.record_job(
            RecordJob(
                job_id=self._job_id,
                process_number=self._number,
                status=self._status,
                waiting_for=self._waiting_for,
                waiting_since=self._waiting_since,
            )
        )

    async def _sleep(self, delay: timedelta, summary: str, until: Callable[[], bool]) -> None:
        self._next_try_at = workflow.now() + delay
        with contextlib.suppress(TimeoutError):
            await workflow.wait_condition(until, timeout=delay, timeout_summary=summary)
        self._next_try_at = None

    # ------------------------------------------------------------------ the end

    async def _close(self, ending: _Ending) -> None:
        """Write the end into the records and start what tells the subscribers."""
        if ending.gave_up:
            self._queue.fail_the_rest()
        subscriptions, self._subscriptions = self._subscriptions, []
        closed = await calls.close_job(
            CloseJob(
                job_id=self._job_id,
                process_number=self._number,
                states=self._queue.states,
                status=ending.status,
                gave_up=ending.gave_up,
                reason=ending.reason,
                subscriptions=subscriptions,
            )
        )
        self._status, self._reason = closed.status, closed.reason
        self._waiting_for = self._waiting_since = None
        self._bytes_stored = closed.bytes_stored
        self._queue = DocumentQueue(closed.states, {}, [], self._retry_unit)
        workflow.upsert_search_attributes(
            [
                JOB_STATUS.value_set(self._status),
                DOCUMENTS_FAILED.value_set(self._queue.count(FAILED)),
                WAITING_FOR.value_unset(),
                WAITING_SINCE.value_unset(),
            ]
        )
        workflow.set_current_details(self._details())
        await calls.start_deliveries(closed.deliveries)
        await workflow.wait_condition(workflow.all_handlers_finished)

    def _should_continue_as_new(self) -> bool:
        limit = self._wishes.continue_as_new_after
        info = workflow.info()
        return info.is_continue_as_new_suggested() or (
            limit is not None and info.get_current_history_length() >= limit
        )

    def _carry(self) -> Carried:
        return Carried(
            states=self._queue.states,
            attempts=self._queue.attempts,
            retries=self._queue.retries,
            subscriptions=self._subscriptions,
            max_age_seconds=self._max_age,
            fetched_at=self._fetched_at,
            again=self._again,
            paused=self._paused,
            waiting_for=self._waiting_for,
            waiting_since=self._waiting_since,
            probes=self._probes,
            batches=self._batches,
            bytes_stored=self._bytes_stored,
            downloaded=self._downloaded,
            started_at=self._started_at,
        )

    def _rate(self) -> float | None:
        """Documents a second over the whole job so far; None while nothing can be said."""
        seconds = (workflow.now() - self._started_at).total_seconds()
        if self._status.ended or not self._downloaded or seconds <= 0:
            return None
        return self._downloaded / seconds

    def _details(self) -> str:
        queue = self._queue
        waiting = ""
        if self._waiting_for and self._waiting_since:
            since = self._waiting_since.strftime("%Y-%m-%d %H:%M:%S UTC")
            waiting = f"\n\nWaiting for **{self._waiting_for}** since {since}."
        return (
            f"**{self._status}**: {queue.count(AVAILABLE)} of {len(queue.states)} documents "
            f"available, {queue.count(FAILED)} failed.{waiting}"
        )


def _summary(batch: int, documents: list[Wanted]) -> str:
    numbers = sorted(document.position + 1 for document in documents)
    first, last = numbers[0], numbers[-1]
    if last - first == len(numbers) - 1:
        return f"batch {batch}: documents {first}-{last}"
    return f"batch {batch}: documents {', '.join(map(str, numbers))}"
