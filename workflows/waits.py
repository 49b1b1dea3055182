"""What a job waits for: shown in the query, the search attributes, the Web UI and the job's row.

A job waits for source or credential, beneath that perhaps for an operator who paused it, and
besides for our own records or store. The outer wait goes on beneath a pause: neither its beginning
nor the patience for it starts anew. The server does the waiting, so a wait costs a handful of
events, however long it lasts.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from datetime import datetime, timedelta

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from autos.contracts.download import AwaitSource, DownloadProcess, RecordJob, SourceCheck
    from autos.contracts.job_state import JobState, Wait
    from autos.contracts.names import WAITING_FOR, WAITING_SINCE
    from autos.contracts.states import Reason, WaitReason
    from workflows import activity_calls as calls
    from workflows import reports


class ContinueAsNew(Exception):
    """Raised inside to leave whatever is being waited for; the next run takes it up again."""


class GaveUp(Exception):
    """Raised inside when the job cannot come to its documents, or to the rest of them."""

    def __init__(self, reason: Reason, *, of_patience: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.of_patience = of_patience


def reason_of(error: calls.Defect | calls.OutOfPatience) -> Reason:
    """What a document or a job says that ended for this."""
    if isinstance(error, calls.OutOfPatience) and error.waited_for is WaitReason.STORAGE:
        return Reason.STORAGE
    return Reason.INTERNAL_ERROR


class Waits:
    """All waits of one job."""

    def __init__(
        self,
        state: JobState,
        request: DownloadProcess,
        must_leave: Callable[[], bool],
    ) -> None:
        self._state = state
        self._job_id = workflow.info().first_execution_run_id
        self._number = request.process_number
        self._retry_unit_seconds = request.wishes.retry_unit_seconds
        self._must_leave = must_leave
        self._outages: dict[WaitReason, Wait] = {}
        self._waiting_for_us: Counter[WaitReason] = Counter()
        self._attributes = self.shown
        """What the search attributes say; a run inherits them from the one before."""

    @property
    def shown(self) -> Wait | None:
        """What the job is said to wait for; a pause hides all else."""
        if self._state.paused_since:
            return Wait(waiting_for=WaitReason.OPERATOR, since=self._state.paused_since)
        return next(iter(self._outages.values()), self._state.wait)

    def show(self) -> None:
        """Bring the Web UI and the search attributes up to date."""
        wait = self.shown
        workflow.set_current_details(reports.details(self._state, wait))
        if wait == self._attributes:
            return
        self._attributes = wait
        workflow.upsert_search_attributes(
            [
                WAITING_FOR.value_set(wait.waiting_for) if wait else WAITING_FOR.value_unset(),
                WAITING_SINCE.value_set(wait.since) if wait else WAITING_SINCE.value_unset(),
            ]
        )

    async def record(self, *, reopens: bool = False) -> None:
        """Bring the job's row up to date; that of an ended job only where it is opened again."""
        wait = self.shown
        request = RecordJob(
            job_id=self._job_id,
            process_number=self._number,
            status=self._state.status,
            waiting_for=wait.waiting_for if wait else None,
            waiting_since=wait.since if wait else None,
            waiting_until=wait.until if wait else None,
            reason=self._state.reason if wait else None,
            reopens=reopens,
        )
        # A row that is behind is no reason to end a job; the worker's log tells of the defect.
        with suppress(calls.Defect):
            await calls.run(calls.record_job(request), self.outage)

    def end(self) -> None:
        """Nothing is waited for any more: the job has ended, and its row says so."""
        self._state.wait = self._state.paused_since = None
        self.show()

    # ------------------------------------------------------------------ an operator's pause

    async def hold(self) -> None:
        """Stay here as long as the job is paused.

        Raises:
            ContinueAsNew: the history has grown long.
        """
        if self._state.paused_since is None:
            return
        self.show()
        await self.record()
        await workflow.wait_condition(
            lambda: self._state.paused_since is None or self._must_leave()
        )
        if self._state.paused_since is not None:
            raise ContinueAsNew
        self.show()
        if self._state.wait is None:
            # Otherwise the source is asked next, which writes the row.
            await self.record()

    # ------------------------------------------------------------------ our own parts

    @asynccontextmanager
    async def outage(self, waiting_for: WaitReason, until: datetime) -> AsyncIterator[None]:
        """Show that records or store are waited for, as long as anything in the job does so."""
        self._waiting_for_us[waiting_for] += 1
        try:
            if waiting_for not in self._outages:
                since = workflow.now()
                self._outages[waiting_for] = Wait(waiting_for=waiting_for, since=since, until=until)
                self.show()
                if waiting_for is not WaitReason.RECORDS:
                    await self.record()
            yield
        finally:
            self._waiting_for_us[waiting_for] -= 1
            if not self._waiting_for_us[waiting_for]:
                self._outages.pop(waiting_for, None)
                self.show()
        if waiting_for is not WaitReason.RECORDS and waiting_for not in self._outages:
            await self.record()

    # ------------------------------------------------------------------ source and credential

    async def ask(self, *, urgent: bool = False) -> SourceCheck:
        """Ask the source once whether it works and takes the credential."""
        # A nudge from before the question is answered by it; one that comes meanwhile is not.
        self._state.nudged = False
        return await calls.run(calls.await_source(self._question(urgent=urgent)), self.outage)

    async def until_source_works(self, check: SourceCheck | None = None) -> bool:
        """Wait as long as the source does not work; True if it did at once.

        Args:
            check: what the source was found to be like just now; None asks it.

        Raises:
            GaveUp: the wait has lasted longer than a job's patience.
            ContinueAsNew: the history has grown long.
        """
        waited = self._state.wait is not None
        check = check or await self.ask(urgent=waited and self._state.nudged)
        while check.waiting_for is not None:
            waited = True
            question = self._question(check)
            self._state.reason = check.reason
            self._state.wait = Wait(
                waiting_for=check.waiting_for, since=question.since, until=question.until
            )
            self.show()
            check = await self._wait(question) or await self.ask(urgent=self._state.nudged)
        self._state.wait = self._state.reason = None
        self.show()
        return not waited

    def _question(self, check: SourceCheck | None = None, *, urgent: bool = False) -> AwaitSource:
        wait = self._state.wait
        since = wait.since if wait else workflow.now()
        return AwaitSource(
            job_id=self._job_id,
            process_number=self._number,
            status=self._state.status,
            waiting_for=check.waiting_for if check else None,
            since=since,
            until=since + calls.PATIENCE,
            delay_seconds=check.delay_seconds if check else 0.0,
            retry_unit_seconds=self._retry_unit_seconds,
            urgent=urgent,
        )

    async def _wait(self, question: AwaitSource) -> SourceCheck | None:
        """Have the server ask until something changes; None when the job should ask by itself."""
        state = self._state
        left = question.until - workflow.now()
        if left <= timedelta(0):
            raise GaveUp(state.reason or Reason.UNAVAILABLE, of_patience=True)

        def disturbed() -> bool:
            return state.nudged or state.paused_since is not None or self._must_leave()

        if not disturbed():
            waiting = calls.start_wait(calls.await_source(question), left)
            try:
                await workflow.wait_condition(lambda: waiting.done() or disturbed())
            except asyncio.CancelledError:
                # Not in a `finally`: a run that is only put out of a worker's memory cannot await.
                await _stopped(waiting)
                raise
            undisturbed = waiting.done()
            found = await _stopped(waiting)
            if isinstance(found, SourceCheck):
                return found
            if undisturbed and calls.out_of_time(found, final=calls.OURS):
                raise GaveUp(state.reason or Reason.UNAVAILABLE, of_patience=True)
        await self.hold()
        if self._must_leave():
            raise ContinueAsNew
        return None


async def _stopped(waiting: asyncio.Task[SourceCheck]) -> SourceCheck | BaseException:
    """What an activity came to that is not waited for any longer."""
    waiting.cancel()
    (found,) = await asyncio.gather(waiting, return_exceptions=True)
    return found
