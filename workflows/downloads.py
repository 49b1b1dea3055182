"""The documents of a job: batches until every document has ended.

When refusals suggest an outage, the source is checked. Other documents continue as long as they
succeed. If the source works, the attempts count. If it does not, the job waits and requests the
same documents again, with no attempt counted.
"""

import asyncio
from datetime import datetime, timedelta

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from autos.contracts.download import (
        BatchDocument,
        DocumentOutcome,
        DownloadBatch,
        DownloadProcess,
        SourceCheck,
    )
    from autos.contracts.job_state import JobState
    from autos.contracts.reasons import Reason
    from workflows import activity_calls as calls
    from workflows.batches import Batches, Timer
    from workflows.document_queue import DocumentQueue, looks_like_outage, unconfirmed
    from workflows.waits import ContinueAsNew, GaveUp, Waits


class Downloads:
    """Downloads a job's documents; changes the job's state in place."""

    def __init__(self, request: DownloadProcess, state: JobState) -> None:
        self._job_id = workflow.info().first_execution_run_id
        self._number = request.process_number
        self._options = options = request.job_options
        self._state = state
        self.queue = DocumentQueue(state, timedelta(seconds=options.retry_unit_seconds))
        self._batches = Batches(options.parallel_batches + options.lookahead)
        self._timer = Timer()
        self._unconfirmed: list[DocumentOutcome] = []
        """Outcomes whose attempts count only if the source works, which is not checked yet."""
        self.given_up = False
        """True while batches are stopped because the job ends."""
        self._held = False
        """True while no batch may start, because it would meet the same outage."""
        self._succeeded_at: datetime | None = None
        self._last_of_outage = 0
        """Number of the last batch that started before the source worked again."""

    @property
    def must_continue_as_new(self) -> bool:
        """True when this run should continue as new and no batch may finish soon."""
        return self._history_is_long() and self._batches.only_stragglers

    async def run(self, waits: Waits) -> None:
        """Keep batches in flight until every document has ended.

        Raises:
            GaveUp, ContinueAsNew: as the waits do.
        """
        if self._state.wait is not None:
            # The previous run left in the middle of a wait.
            await waits.until_source_works()
        check: asyncio.Task[SourceCheck] | None = None
        checked: list[DocumentOutcome] = []
        try:
            while True:
                self._batches.remove_finished()
                await waits.while_paused()
                if check is not None and check.done():
                    await self._confirm(checked, check.result(), waits)
                    check = None
                if check is None and self._unconfirmed:
                    checked, self._unconfirmed = self._unconfirmed, []
                    check = asyncio.create_task(waits.check_source())
                self.queue.make_due_ready(workflow.now())
                while self._can_start():
                    self._start_batch(waits)
                if not (self._batches or check or self.queue.ready or self.queue.next_due):
                    self._timer.cancel()
                    return
                await self._wait_for_change(check)
        except (Exception, asyncio.CancelledError) as error:
            # Not in a `finally`: a run that is evicted from a worker's cache cannot await.
            self.given_up = isinstance(error, GaveUp | calls.CallFailed)
            self._timer.cancel()
            if check is not None:
                check.cancel()
            # The check writes the job's row, which must not happen after the job's end.
            await asyncio.gather(
                self._batches.stop(), *filter(None, [check]), return_exceptions=True
            )
            raise

    async def _wait_for_change(self, check: asyncio.Task[SourceCheck] | None) -> None:
        """Wait until there is something to do.

        Raises:
            ContinueAsNew: the history has grown long.
        """
        if self.must_continue_as_new:
            raise ContinueAsNew
        if not self._batches:
            self._state.pace.rest()
        if self.queue.ready or (self.queue.next_due and not self._batches.room):
            self._timer.set(self._batches.next_straggler, "until the batch counts as slow")
        else:
            self._timer.set(self.queue.next_due, "until the next retry")
        await workflow.wait_condition(
            lambda: (
                self._batches.any_done
                or (check is not None and check.done())
                or self._timer.fired
                or self._can_start()
                # A pause is recorded at once, although batches in flight may take hours.
                or self._state.paused_since is not None
                or self.must_continue_as_new
            )
        )

    def _can_start(self) -> bool:
        return (
            self.queue.ready > 0
            and self._batches.room
            and not self._held
            and self._state.paused_since is None
            and not self._history_is_long()
        )

    def _start_batch(self, waits: Waits) -> None:
        self._state.batches += 1
        self._state.pace.work(workflow.now())
        documents = self.queue.take(self._options.batch_size)
        self._batches.add(self._download_batch(self._state.batches, documents, waits))

    async def _download_batch(
        self, batch: int, documents: list[BatchDocument], waits: Waits
    ) -> None:
        started = workflow.now()
        request = DownloadBatch(
            job_id=self._job_id,
            process_number=self._number,
            batch=batch,
            at_once=self._options.batch_size * self._options.parallel_batches,
            documents=documents,
        )
        try:
            result = await calls.call(
                calls.DOWNLOAD_BATCH, request, _summary(batch, documents), waits.during_outage
            )
            outcomes = result.outcomes
        except calls.CallFailed as error:
            outcomes = [
                DocumentOutcome(position=document.position, reason=error.reason, final=True)
                for document in documents
            ]
        self._apply(batch, started, outcomes)
        waits.show()

    def _apply(self, batch: int, started: datetime, outcomes: list[DocumentOutcome]) -> None:
        """Settle the certain outcomes of a batch; keep the others until the source is checked."""
        uncertain = unconfirmed(outcomes)
        self.queue.release(uncertain)
        self._settle([outcome for outcome in outcomes if outcome not in uncertain])
        if batch <= self._last_of_outage:
            # It started during an outage that is over.
            self.queue.requeue(uncertain)
            return
        self._unconfirmed += uncertain
        # While other documents succeed, a refused credential concerns these documents alone.
        only_these = (
            all(outcome.reason is Reason.CREDENTIAL for outcome in uncertain)
            and self._succeeded_at is not None
            and self._succeeded_at >= started
        )
        self._held = self._held or (looks_like_outage(outcomes) and not only_these)

    def _settle(self, outcomes: list[DocumentOutcome]) -> None:
        now, ended = workflow.now(), self.queue.ended
        for outcome in outcomes:
            self.queue.settle(outcome, now)
            if outcome.reason is None:
                self._state.bytes_stored += outcome.size or 0
                self._succeeded_at = now
        self._state.pace.count(self.queue.ended - ended, now)

    async def _confirm(
        self, outcomes: list[DocumentOutcome], check: SourceCheck, waits: Waits
    ) -> None:
        """Count the attempts if the source works; otherwise wait and request them again."""
        if check.waiting_for is None:
            self._settle(outcomes)
        else:
            self._state.pace.rest()
            await waits.until_source_works(check)
            if check.held_back:
                # A `Retry-After` of these documents opened the breaker; the source never refused.
                self._settle(outcomes)
                outcomes = []
            # Outcomes that arrived during the wait met the same outage.
            self.queue.requeue(outcomes + self._unconfirmed)
            self._unconfirmed = []
            self._last_of_outage = self._state.batches
        self._held = bool(self._unconfirmed) and self._held

    def _history_is_long(self) -> bool:
        return calls.history_is_long(self._options.continue_as_new_after)


def _summary(batch: int, documents: list[BatchDocument]) -> str:
    numbers = sorted(document.position + 1 for document in documents)
    first, last = numbers[0], numbers[-1]
    if last - first == len(numbers) - 1:
        return f"batch {batch}: documents {first}-{last}"
    return f"batch {batch}: documents {', '.join(map(str, numbers))}"
