"""The documents of a job: batches until every document has ended.

When refusals put the source itself in doubt, it is asked, while the other documents go on as long
as they succeed: if it works, the attempts count; if not, the job waits and asks for the same
documents again, with no attempt counted.
"""

import asyncio
from datetime import datetime, timedelta

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from autos.contracts.download import (
        DownloadBatch,
        DownloadProcess,
        Outcome,
        SourceCheck,
        Wanted,
    )
    from autos.contracts.job_state import JobState
    from autos.contracts.states import Reason
    from workflows import activity_calls as calls
    from workflows.batches import Alarm, Batches
    from workflows.document_queue import DocumentQueue, in_doubt, speaks_for_all
    from workflows.waits import ContinueAsNew, GaveUp, Waits, reason_of


class Downloads:
    """Works on the job's state in place."""

    def __init__(self, request: DownloadProcess, state: JobState) -> None:
        self._job_id = workflow.info().first_execution_run_id
        self._number = request.process_number
        self._wishes = request.wishes
        self._state = state
        self.queue = DocumentQueue(state, timedelta(seconds=request.wishes.retry_unit_seconds))
        self._batches = Batches(request.wishes.parallel_batches + request.wishes.lookahead)
        self._alarm = Alarm()
        self._doubts: list[Outcome] = []
        """Attempts that count only if the source works, which is yet to be asked."""
        self.given_up = False
        """True while batches are stopped because the job ends: nothing can be done any more."""
        self._held = False
        """No batch starts before that is known: the next one would meet the same."""
        self._succeeded_at: datetime | None = None
        self._last_of_outage = 0
        """The batch that was handed over last when the source worked again."""

    @property
    def must_leave(self) -> bool:
        """True when this run is to end: nothing is on its way that may soon be back."""
        return self._should_continue_as_new() and self._batches.only_stragglers

    async def run(self, waits: Waits) -> None:
        """Keep batches on their way until every document has ended.

        Raises:
            GaveUp, ContinueAsNew: as the waits do.
        """
        if self._state.wait is not None:
            # The run before this one left in the middle of a wait.
            await waits.until_source_works()
        check: asyncio.Task[SourceCheck] | None = None
        checked: list[Outcome] = []
        try:
            while True:
                self._batches.take_out_finished()
                await waits.hold()
                if check is not None and check.done():
                    await self._settle_doubts(checked, check.result(), waits)
                    check = None
                if check is None and self._doubts:
                    checked, self._doubts = self._doubts, []
                    check = asyncio.create_task(waits.ask())
                self.queue.make_due_ready(workflow.now())
                while self._can_start():
                    self._start_batch(waits)
                if not (self._batches or check or self.queue.ready or self.queue.next_due):
                    self._alarm.cancel()
                    return
                await self._something_happens(check)
        except (Exception, asyncio.CancelledError) as error:
            # Not in a `finally`: a run that is only put out of a worker's memory cannot await.
            self.given_up = isinstance(error, GaveUp | calls.Defect | calls.OutOfPatience)
            self._alarm.cancel()
            if check is not None:
                check.cancel()
            # The question writes the job's row, too: it must not do so after the end.
            await asyncio.gather(
                self._batches.stop(), *filter(None, [check]), return_exceptions=True
            )
            raise

    async def _something_happens(self, check: asyncio.Task[SourceCheck] | None) -> None:
        """Wait until there is something to do; a timer costs events, so there is one for all.

        Raises:
            ContinueAsNew: the history has grown long.
        """
        if self.must_leave:
            raise ContinueAsNew
        if not self._batches:
            self._state.pace.rest()
        if self.queue.ready or (self.queue.next_due and not self._batches.room):
            self._alarm.set(self._batches.next_straggler, "a batch takes long")
        else:
            self._alarm.set(self.queue.next_due, "next retry")
        await workflow.wait_condition(
            lambda: (
                self._batches.any_done
                or (check is not None and check.done())
                or self._alarm.rings
                or self._can_start()
                # A pause is recorded at once, though what is in flight may go on for hours.
                or self._state.paused_since is not None
                or self.must_leave
            )
        )

    def _can_start(self) -> bool:
        return (
            self.queue.ready > 0
            and self._batches.room
            and not self._held
            and self._state.paused_since is None
            and not self._should_continue_as_new()
        )

    def _start_batch(self, waits: Waits) -> None:
        self._state.batches += 1
        self._state.pace.work(workflow.now())
        documents = self.queue.take(self._wishes.batch_size)
        self._batches.add(self._download_batch(self._state.batches, documents, waits))

    async def _download_batch(self, batch: int, documents: list[Wanted], waits: Waits) -> None:
        begun = workflow.now()
        request = DownloadBatch(
            job_id=self._job_id,
            process_number=self._number,
            batch=batch,
            at_once=self._wishes.batch_size * self._wishes.parallel_batches,
            documents=documents,
        )
        try:
            result = await calls.run(
                calls.download_batch(request, _summary(batch, documents)), waits.outage
            )
            outcomes = result.outcomes
        except (calls.Defect, calls.OutOfPatience) as error:
            outcomes = [
                Outcome(position=document.position, reason=reason_of(error), final=True)
                for document in documents
            ]
        self._take_in(batch, begun, outcomes)
        waits.show()

    def _take_in(self, batch: int, begun: datetime, outcomes: list[Outcome]) -> None:
        doubts = in_doubt(outcomes)
        self.queue.release(doubts)
        self._settle([outcome for outcome in outcomes if outcome not in doubts])
        if batch <= self._last_of_outage:
            # Handed over before the outage was over, and back only now.
            self.queue.put_back(doubts)
            return
        self._doubts += doubts
        # While others succeed a refused credential concerns these documents alone.
        refused_alone = (
            all(outcome.reason is Reason.CREDENTIAL for outcome in doubts)
            and self._succeeded_at is not None
            and self._succeeded_at >= begun
        )
        self._held = self._held or (speaks_for_all(outcomes) and not refused_alone)

    def _settle(self, outcomes: list[Outcome]) -> None:
        now, ended = workflow.now(), self.queue.ended
        for outcome in outcomes:
            self.queue.settle(outcome, now)
            if outcome.reason is None:
                self._state.bytes_stored += outcome.size or 0
                self._succeeded_at = now
        self._state.pace.count(self.queue.ended - ended, now)

    async def _settle_doubts(self, doubts: list[Outcome], check: SourceCheck, waits: Waits) -> None:
        """If the source works, the attempts count; if not, wait, and repeat them."""
        if check.waiting_for is None:
            self._settle(doubts)
        else:
            self._state.pace.rest()
            await waits.until_source_works(check)
            if check.held_back:
                # A `Retry-After` of these documents opened the breaker; the source never refused.
                self._settle(doubts)
                doubts = []
            # What came into doubt during the wait was asked in the same outage.
            self.queue.put_back(doubts + self._doubts)
            self._doubts = []
            self._last_of_outage = self._state.batches
        self._held = bool(self._doubts) and self._held

    def _should_continue_as_new(self) -> bool:
        limit = self._wishes.continue_as_new_after
        info = workflow.info()
        return info.is_continue_as_new_suggested() or (
            limit is not None and info.get_current_history_length() >= limit
        )


def _summary(batch: int, documents: list[Wanted]) -> str:
    numbers = sorted(document.position + 1 for document in documents)
    first, last = numbers[0], numbers[-1]
    if last - first == len(numbers) - 1:
        return f"batch {batch}: documents {first}-{last}"
    return f"batch {batch}: documents {', '.join(map(str, numbers))}"
