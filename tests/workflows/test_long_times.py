"""Outages and jobs that last hours, on a time-skipping server."""

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import groupby

import pytest
from temporalio import activity
from temporalio.client import WorkflowHandle
from temporalio.testing import WorkflowEnvironment

from autos.contracts.download import (
    BatchDocument,
    BatchResult,
    DocumentOutcome,
    DownloadBatch,
    FetchedProcess,
    FetchProcess,
    JobOptions,
    JobResult,
)
from autos.contracts.reasons import Reason, WaitReason
from autos.contracts.states import JobStatus
from tests.workflows.fakes import FakeActivities, available, start, workers
from workflows.download_process import DownloadProcessWorkflow

BOUND = 180
OUTAGE = timedelta(hours=6)
IN_FLIGHT = 10
"""Documents of two batches, one of them prefetched."""
MOST_PROBES = 105
"""Six hours with delays of 4, 10, 30, 60 and 120 s and then 5 min, each up to a fifth less."""


def server_time() -> datetime:
    """The time by the server's clock, when this attempt started."""
    return activity.info().started_time


async def span(
    job: WorkflowHandle[DownloadProcessWorkflow, JobResult],
) -> tuple[datetime, datetime]:
    """When the job started and ended, by the same clock."""
    events = (await job.fetch_history()).events
    return events[0].event_time.ToDatetime(UTC), events[-1].event_time.ToDatetime(UTC)


@dataclass
class SourceWithOutage(FakeActivities):
    """Works until `good_batches` batches were requested, is down for six hours, and works again."""

    good_batches: int | None = None
    """None: the list of documents cannot be fetched either."""
    down_since: datetime | None = None
    requests_while_down: int = 0

    def refusal(self) -> Reason | None:
        """The reason for which a request is refused now; None while the source works."""
        if self.down_since is None and len(self.batches) >= (self.good_batches or 0):
            self.down_since = server_time()
        if self.down_since is None or server_time() - self.down_since >= OUTAGE:
            return None
        self.requests_while_down += 1
        return Reason.UNAVAILABLE

    @activity.defn
    async def fetch_process(self, request: FetchProcess) -> FetchedProcess:
        reason = self.refusal() if self.good_batches is None else None
        return FetchedProcess(reason=reason) if reason else await super().fetch_process(request)

    @activity.defn
    async def download_batch(self, request: DownloadBatch) -> BatchResult:
        reason = self.refusal()
        result = await super().download_batch(request)
        if reason is None:
            return result
        return BatchResult(
            outcomes=[
                DocumentOutcome(position=outcome.position, reason=reason)
                for outcome in result.outcomes
            ]
        )


@pytest.mark.parametrize("good_batches", [None, 0, 1, 3])
async def test_six_hours_of_outage_cost_a_bounded_number_of_requests(
    skipping_server: WorkflowEnvironment, good_batches: int | None
) -> None:
    """The job completes afterwards, wherever it was when the source went down.

    One job per server: the clock does not wait for the steps of other jobs.
    """
    client = skipping_server.client
    source = SourceWithOutage(total=20, good_batches=good_batches)
    async with workers(client, source):
        job = await start(client)
        result = await asyncio.wait_for(job.result(), BOUND)
        _, end = await span(job)
    assert (result.status, result.available) == (JobStatus.COMPLETED, 20)
    assert source.down_since is not None
    # The job ends within the longest delay between two checks.
    late = end - source.down_since - OUTAGE
    assert timedelta(0) <= late < timedelta(minutes=7)
    # For the source: the requests in flight when it went down, then single checks.
    assert 60 <= source.requests_while_down <= MOST_PROBES
    # For documents: one uncounted request during the outage and one after it.
    attempts = [wanted.attempt for batch in source.batches for wanted in batch.documents]
    assert set(attempts) == {1}
    assert len(source.tries) == 20
    assert max(source.tries.values()) <= 2
    assert len(attempts) <= 20 + IN_FLIGHT
    assert [wait for wait, _ in groupby(source.waits)] == [WaitReason.SOURCE, None]


async def test_job_of_two_hours_completes(skipping_server: WorkflowEnvironment) -> None:
    """F20: no time limit ends a job; each document takes two hours."""

    def slow(wanted: BatchDocument) -> DocumentOutcome:
        if wanted.attempt < 4:
            return DocumentOutcome(
                position=wanted.position, reason=Reason.EMPTY, retry_after_seconds=2_500
            )
        return available(wanted)

    client = skipping_server.client
    fakes = FakeActivities(total=7, answer=slow)
    async with workers(client, fakes):
        job = await start(client, JobOptions())
        result = await asyncio.wait_for(job.result(), BOUND)
        began, ended = await span(job)
    assert (result.status, result.available) == (JobStatus.COMPLETED, 7)
    assert ended - began > timedelta(hours=2)
    assert set(fakes.tries.values()) == {4}
