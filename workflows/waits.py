"""What a job waits for: shown in the query, the search attributes, the Web UI and the job's row.

A job waits for the source or for a credential. An operator's pause and outages of records or store
can overlap that wait. A pause changes neither the start nor the limit of the wait for the source.
The server does the waiting, so a wait of any length costs a handful of history events.
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
    from autos.contracts.reasons import Reason, WaitReason
    from autos.contracts.retries import PATIENCE, UNTIL_SOURCE_WORKS
    from autos.contracts.temporal_names import WAITING_FOR, WAITING_SINCE
    from workflows import activity_calls as calls
    from workflows.progress import details


class ContinueAsNew(Exception):
    """Raised to leave a wait because the history is long; the next run resumes the wait."""


class GaveUp(Exception):
    """Raised when the job cannot download its documents or the remaining ones."""

    def __init__(self, reason: Reason, *, waited_too_long: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.waited_too_long = waited_too_long


class Waits:
    """All waits of one job."""

    def __init__(
        self, state: JobState, request: DownloadProcess, must_continue_as_new: Callable[[], bool]
    ) -> None:
        self._state = state
        self._job_id = workflow.info().first_execution_run_id
        self._number = request.process_number
        self._retry_unit_seconds = request.job_options.retry_unit_seconds
        self._must_leave = must_continue_as_new
        self._outages: dict[WaitReason, Wait] = {}
        self._waiting_calls: Counter[WaitReason] = Counter()
        self._attributes = self.shown
        """The wait in the search attributes, which a run inherits from the previous one."""

    @property
    def shown(self) -> Wait | None:
        """The one wait that is shown; a pause hides all others."""
        if self._state.paused_since:
            return Wait(waiting_for=WaitReason.OPERATOR, since=self._state.paused_since)
        return next(iter(self._outages.values()), self._state.wait)

    def show(self) -> None:
        """Bring the Web UI and the search attributes up to date."""
        wait = self.shown
        workflow.set_current_details(details(self._state, wait))
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
        """Bring the job's row up to date; an ended job's row only when the job reopens."""
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
        waiting = f", waiting for {request.waiting_for}" if wait else ""
        # A row that is out of date must not end the job. The error is in the worker's log.
        with suppress(calls.ActivityDefect):
            await calls.call(
                calls.RECORD_JOB, request, f"{request.status}{waiting}", self.during_outage
            )

    def end(self) -> None:
        """Clear every wait, because the job has ended and its end is recorded."""
        self._state.wait = self._state.paused_since = None
        self.show()

    # ------------------------------------------------------------------ an operator's pause

    async def while_paused(self) -> None:
        """Return once the job is not paused.

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
            # Otherwise the check of the source, which follows, writes the row.
            await self.record()

    # ------------------------------------------------------------------ records and store

    @asynccontextmanager
    async def during_outage(self, waiting_for: WaitReason, until: datetime) -> AsyncIterator[None]:
        """Show an outage of records or store while any call of the job waits for it."""
        self._waiting_calls[waiting_for] += 1
        try:
            if waiting_for not in self._outages:
                since = workflow.now()
                self._outages[waiting_for] = Wait(waiting_for=waiting_for, since=since, until=until)
                self.show()
                if waiting_for is not WaitReason.RECORDS:
                    await self.record()
            yield
        finally:
            self._waiting_calls[waiting_for] -= 1
            if not self._waiting_calls[waiting_for]:
                self._outages.pop(waiting_for, None)
                self.show()
        if waiting_for is not WaitReason.RECORDS and waiting_for not in self._outages:
            await self.record()

    # ------------------------------------------------------------------ source and credential

    async def check_source(self, *, urgent: bool = False) -> SourceCheck:
        """Check once whether the source works and accepts the credential."""
        # This check serves earlier nudges. A nudge that arrives during it needs another check.
        self._state.nudged = False
        request = self._await_source(urgent=urgent)
        return await calls.call(calls.AWAIT_SOURCE, request, "check the source", self.during_outage)

    async def until_source_works(self, check: SourceCheck | None = None) -> bool:
        """Return once the source works; True if it worked at the first check.

        Args:
            check: the result of a check that was just made; None makes one.

        Raises:
            GaveUp: the wait has lasted longer than a job's patience.
            ContinueAsNew: the history has grown long.
        """
        waited = self._state.wait is not None
        check = check or await self.check_source(urgent=waited and self._state.nudged)
        while check.waiting_for is not None:
            waited = True
            request = self._await_source(check)
            self._state.reason = check.reason
            self._state.wait = Wait(
                waiting_for=check.waiting_for, since=request.since, until=request.until
            )
            self.show()
            check = await self._wait(request) or await self.check_source(urgent=self._state.nudged)
        self._state.wait = self._state.reason = None
        self.show()
        return not waited

    def _await_source(
        self, check: SourceCheck | None = None, *, urgent: bool = False
    ) -> AwaitSource:
        wait = self._state.wait
        since = wait.since if wait else workflow.now()
        return AwaitSource(
            job_id=self._job_id,
            process_number=self._number,
            status=self._state.status,
            waiting_for=check.waiting_for if check else None,
            since=since,
            until=since + PATIENCE,
            delay_seconds=check.delay_seconds if check else 0.0,
            retry_unit_seconds=self._retry_unit_seconds,
            urgent=urgent,
        )

    async def _wait(self, request: AwaitSource) -> SourceCheck | None:
        """Have the server check until the result changes; None if the job should check itself."""
        left = request.until - workflow.now()
        if left <= timedelta(0):
            raise self._gave_up()
        if not self._interrupted():
            waiting = calls.schedule(
                calls.AWAIT_SOURCE,
                request,
                f"waiting for {request.waiting_for}",
                UNTIL_SOURCE_WORKS,
                left,
            )
            try:
                await workflow.wait_condition(lambda: waiting.done() or self._interrupted())
            except asyncio.CancelledError:
                # Not in a `finally`: a run that is evicted from a worker's cache cannot await.
                await _stop(waiting)
                raise
            ended_itself = waiting.done()
            result = await _stop(waiting)
            if isinstance(result, SourceCheck):
                return result
            if ended_itself and calls.out_of_time(result, UNTIL_SOURCE_WORKS):
                raise self._gave_up()
        await self.while_paused()
        if self._must_leave():
            raise ContinueAsNew
        return None

    def _interrupted(self) -> bool:
        state = self._state
        return state.nudged or state.paused_since is not None or self._must_leave()

    def _gave_up(self) -> GaveUp:
        return GaveUp(self._state.reason or Reason.UNAVAILABLE, waited_too_long=True)


async def _stop(waiting: asyncio.Task[SourceCheck]) -> SourceCheck | BaseException:
    """Cancel an activity and return its result or error."""
    waiting.cancel()
    (result,) = await asyncio.gather(waiting, return_exceptions=True)
    return result
