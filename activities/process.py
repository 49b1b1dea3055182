"""Fetches a process's metadata from the source, and waits while the source does not work."""

import random
from datetime import timedelta

from temporalio import activity
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory

from autos.contracts.download import AwaitSource, FetchedProcess, FetchProcess, SourceCheck
from autos.contracts.reasons import Reason
from autos.contracts.retries import OUTAGE_DELAYS
from autos.contracts.temporal_names import SOURCE_REFUSED
from autos.records import documents, jobs, listings, processes
from autos.records.database import Database
from autos.records.models import now
from autos.source import SourceClient, SourceRefused


class ProcessActivities:
    """Activities about a process as a whole."""

    def __init__(self, database: Database, source: SourceClient) -> None:
        self._database = database
        self._source = source

    @activity.defn
    async def fetch_process(self, request: FetchProcess) -> FetchedProcess:
        """Update the list of documents, unless the stored copy is fresh enough."""
        case = request.case
        max_age = timedelta(seconds=request.max_age_seconds)
        async with self._database.transaction() as session:
            await jobs.open_job(session, request.job_id, case)
            read_at = await processes.fetched_at(session, case.digits)
        listed = None
        if not processes.is_fresh(read_at, max_age):
            try:
                listed = await self._source.process(case)
            except SourceRefused as refused:
                return FetchedProcess(
                    reason=refused.reason,
                    final=refused.final,
                    retry_after_seconds=refused.retry_after,
                )
        async with self._database.transaction() as session:
            if listed is not None:
                await listings.save_listing(session, listed)
            started = await documents.start_documents(
                session, request.job_id, case.digits, again=request.again
            )
            fetched_at = await processes.fetched_at(session, case.digits)
        return FetchedProcess(
            states=started.states, bytes_stored=started.bytes_stored, fetched_at=fetched_at
        )

    @activity.defn
    async def await_source(self, request: AwaitSource) -> SourceCheck:
        """Check the source with a cheap request: once, or until the result changes.

        Raises:
            ApplicationError: the source still does not work; the server runs the activity again
                after the delay in the error.
        """
        tries = activity.info().attempt
        if request.waiting_for is not None and tries == 1 and request.delay_seconds:
            # The row already has the time of the next check.
            raise _still_waiting(request.delay_seconds)
        refused = await self._source.probe(request.case, urgent=request.urgent)
        check = SourceCheck()
        if refused is not None:
            delay = OUTAGE_DELAYS.delay_after(tries) * request.retry_unit_seconds
            # Jobs in the same outage must not all check at the same time.
            delay = max(delay * random.uniform(0.8, 1.2), refused.retry_after or 0.0)  # noqa: S311 - no secret
            check = SourceCheck(
                reason=refused.reason,
                delay_seconds=delay,
                held_back=refused.unsent and refused.reason is not Reason.CREDENTIAL,
            )
        await self._record(request, check)
        if check.waiting_for is not None and check.waiting_for is request.waiting_for:
            raise _still_waiting(check.delay_seconds)
        return check

    async def _record(self, request: AwaitSource, check: SourceCheck) -> None:
        waits = check.waiting_for is not None
        async with self._database.transaction() as session:
            await jobs.open_job(session, request.job_id, request.case)
            await jobs.record_status(
                session,
                request.job_id,
                request.status,
                check.waiting_for,
                request.since if waits else None,
                waiting_until=request.until if waits else None,
                next_try_at=now() + timedelta(seconds=check.delay_seconds) if waits else None,
                reason=check.reason,
            )


def _still_waiting(seconds: float) -> ApplicationError:
    return ApplicationError(
        "The source does not work yet.",
        type=SOURCE_REFUSED,
        next_retry_delay=timedelta(seconds=seconds),
        category=ApplicationErrorCategory.BENIGN,
    )
