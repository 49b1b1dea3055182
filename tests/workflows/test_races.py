"""Races between a job, its activities, and operators' requests."""

import asyncio
import contextlib

import pytest
from temporalio import activity
from temporalio.client import WorkflowFailureError, WorkflowUpdateFailedError
from temporalio.exceptions import ApplicationError
from temporalio.testing import WorkflowEnvironment

from autos.contracts import temporal_names
from autos.contracts.download import (
    Attach,
    AwaitSource,
    BatchDocument,
    BatchResult,
    ClosedJob,
    CloseJob,
    DocumentOutcome,
    DownloadBatch,
    FetchedProcess,
    FetchProcess,
    JobOptions,
    SourceCheck,
)
from autos.contracts.reasons import Reason, WaitReason
from autos.contracts.states import JobStatus
from autos.contracts.temporal_names import INTERNAL_ERROR, STORAGE, WAITING_FOR, WAITING_SINCE
from tests.workflows.fakes import FakeActivities, available, start, steer, workers
from tests.workflows.test_steering import NEVER, cancelled, details, until_waiting
from workflows import batches
from workflows.download_process import DownloadProcessWorkflow

BOUND = 180


async def heartbeat_until(until: asyncio.Event, cancelled: asyncio.Event | None = None) -> None:
    """Send heartbeats until the event; with `cancelled`, set it on cancellation and go on."""
    refused: asyncio.CancelledError | None = None
    while not until.is_set():
        activity.heartbeat()
        try:
            await asyncio.wait([asyncio.ensure_future(until.wait())], timeout=0.1)
        except asyncio.CancelledError as error:
            if cancelled is None:
                raise
            cancelled.set()
            refused = error
    if refused is not None:
        raise refused


class TwoSlowBatches(FakeActivities):
    """The first document needs two attempts; batches 3 and 4 last until the second one."""

    again: asyncio.Event

    @activity.defn
    async def download_batch(self, request: DownloadBatch) -> BatchResult:
        result = await super().download_batch(request)
        first = request.documents[0]
        if (first.position, first.attempt) == (0, 2):
            self.again.set()
        elif request.batch <= 2:
            # A little less than the time after which a batch is a straggler.
            await asyncio.sleep(0.6 * batches.STRAGGLER_AFTER.total_seconds())
        else:
            await heartbeat_until(self.again)
        return result


async def test_due_retry_starts_when_a_slow_batch_becomes_a_straggler(
    dev_server: WorkflowEnvironment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """(S4) All slots are taken when the retry becomes due."""
    monkeypatch.setattr(batches, "STRAGGLER_AFTER", batches.STRAGGLER_AFTER / 20)

    def answer(wanted: BatchDocument) -> DocumentOutcome:
        bad = wanted.position == 0 and wanted.attempt == 1
        return DocumentOutcome(
            position=wanted.position,
            size=None if bad else 1,
            reason=Reason.DOCUMENT_ERROR if bad else None,
        )

    fakes = TwoSlowBatches(total=20, answer=answer)
    fakes.again = asyncio.Event()
    async with workers(dev_server.client, fakes), asyncio.timeout(BOUND / 3):
        job = await start(dev_server.client, JobOptions(retry_unit_seconds=0.75))
        assert (await job.result()).available == 20


class SlowCheck(FakeActivities):
    """The check of the source ends only when the test allows it."""

    called: asyncio.Event
    allowed: asyncio.Event
    closed_during: bool = False

    @activity.defn
    async def await_source(self, request: AwaitSource) -> SourceCheck:
        self.called.set()
        await heartbeat_until(self.allowed, asyncio.Event())
        # The real activity writes the row before it ends.
        self.closed_during = bool(self.closed)
        return await super().await_source(request)


async def test_no_activity_runs_after_the_jobs_end(dev_server: WorkflowEnvironment) -> None:
    """(S23) A check of the source after the end would write `processing` into the row."""
    fakes = SlowCheck(
        answer=lambda wanted: DocumentOutcome(position=wanted.position, reason=Reason.STUB)
    )
    fakes.called, fakes.allowed = asyncio.Event(), asyncio.Event()
    async with workers(dev_server.client, fakes), asyncio.timeout(BOUND):
        job = await start(dev_server.client)
        await fakes.called.wait()
        await job.cancel()
        # Long enough for an end that does not wait for the check.
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(fakes.closes.wait(), 1.5)
        fakes.allowed.set()
        with pytest.raises(WorkflowFailureError):
            await job.result()
    assert not fakes.closed_during


class SlowSecondFetch(FakeActivities):
    """The second fetch waits for the test and returns the failed document as failed."""

    reads: asyncio.Event
    allowed: asyncio.Event

    @activity.defn
    async def fetch_process(self, request: FetchProcess) -> FetchedProcess:
        fetched = await super().fetch_process(request)
        if len(self.fetched) == 1:
            return fetched
        states = "pa" if request.again else "fa"
        self.reads.set()
        await heartbeat_until(self.allowed)
        return fetched.model_copy(update={"states": states})


def first_document_fails_once() -> SlowSecondFetch:
    """Two documents, of which the first fails for good at its first attempt."""

    def answer(wanted: BatchDocument) -> DocumentOutcome:
        bad = wanted.position == 0 and fakes.tries[0] == 1
        return DocumentOutcome(
            position=wanted.position,
            size=None if bad else 1,
            reason=Reason.NOT_FOUND if bad else None,
            final=bad,
        )

    fakes = SlowSecondFetch(total=2, answer=answer, gate=asyncio.Event())
    fakes.reads, fakes.allowed = asyncio.Event(), asyncio.Event()
    return fakes


async def test_retry_accepted_during_a_metadata_fetch_is_made(
    dev_server: WorkflowEnvironment,
) -> None:
    """(S23) The fetch returns the earlier failures; the accepted retry still happens."""
    fakes = first_document_fails_once()
    async with workers(dev_server.client, fakes), asyncio.timeout(BOUND):
        job = await start(dev_server.client)
        await fakes.started.wait()
        await job.signal("attach", Attach(max_age_seconds=0))
        assert fakes.gate is not None
        fakes.gate.set()
        await fakes.reads.wait()
        shown = await steer(job, "retry_failed")
        fakes.allowed.set()
        assert shown.pending == 1
        result = await job.result()
    assert (result.status, result.available) == (JobStatus.COMPLETED, 2)


async def test_retry_accepted_during_a_wait_for_metadata_is_made(
    dev_server: WorkflowEnvironment,
) -> None:
    """(S23) As above, but the source does not work when the metadata are fetched again."""
    fakes = first_document_fails_once()
    fakes.allowed.set()
    async with workers(dev_server.client, fakes), asyncio.timeout(BOUND):
        job = await start(dev_server.client, NEVER)
        await fakes.started.wait()
        fakes.fetches, fakes.probes = [], [Reason.UNAVAILABLE]
        await job.signal("attach", Attach(max_age_seconds=0))
        await steer(job, "pause")
        assert fakes.gate is not None
        fakes.gate.set()
        while (await job.query(DownloadProcessWorkflow.progress)).failed < 1:
            await asyncio.sleep(0.05)
        fakes.fetches = [FetchedProcess(reason=Reason.UNAVAILABLE)]
        await steer(job, "resume")
        await until_waiting(job, WaitReason.SOURCE)
        assert (await steer(job, "retry_failed")).pending == 1
        await steer(job, "resume")
        result = await job.result()
    assert (result.status, result.available) == (JobStatus.COMPLETED, 2)


class SlowCancellation(FakeActivities):
    """A cancelled batch stops only when the test allows it."""

    cancel_received: asyncio.Event
    stops: asyncio.Event

    @activity.defn
    async def download_batch(self, request: DownloadBatch) -> BatchResult:
        self.batches.append(request)
        self.started.set()
        await heartbeat_until(self.stops, self.cancel_received)
        return BatchResult(outcomes=[available(wanted) for wanted in request.documents])


@pytest.mark.parametrize("verb", ["pause", "resume", "retry_failed"])
async def test_job_that_is_being_cancelled_refuses_steering(
    dev_server: WorkflowEnvironment, verb: str
) -> None:
    """(S23) Nothing accepted while the batches stop could be carried out."""
    fakes = SlowCancellation()
    fakes.cancel_received, fakes.stops = asyncio.Event(), asyncio.Event()
    async with workers(dev_server.client, fakes), asyncio.timeout(BOUND):
        job = await start(dev_server.client)
        await fakes.started.wait()
        await job.cancel()
        await fakes.cancel_received.wait()
        try:
            with pytest.raises(WorkflowUpdateFailedError) as refused:
                await steer(job, verb)
        finally:
            fakes.stops.set()
        with pytest.raises(WorkflowFailureError):
            await job.result()
    assert isinstance(refused.value.cause, ApplicationError)
    assert refused.value.cause.type == temporal_names.JOB_CLOSING


async def test_wait_for_the_store_ends_although_it_cannot_be_recorded(
    skipping_server: WorkflowEnvironment,
) -> None:
    """(S16) The batch completes, and no wait is shown at the end."""
    fakes = FakeActivities(
        total=3,
        failures={"download_batch": [STORAGE] * 6, "record_job": [INTERNAL_ERROR] * 100},
    )
    async with workers(skipping_server.client, fakes), asyncio.timeout(BOUND):
        job = await start(skipping_server.client)
        result = await job.result()
        progress = await job.query(DownloadProcessWorkflow.progress)
    assert (result.status, result.available) == (JobStatus.COMPLETED, 3)
    assert progress.waiting_for is None


async def test_ended_job_shows_no_wait(dev_server: WorkflowEnvironment) -> None:
    """(S16) Cancelled during a wait: search attributes and Web UI show no wait."""
    fakes = FakeActivities(
        answer=lambda wanted: DocumentOutcome(position=wanted.position, reason=Reason.UNAVAILABLE),
        probes=[Reason.UNAVAILABLE] * 9,
    )
    async with workers(dev_server.client, fakes), asyncio.timeout(BOUND):
        job = await start(dev_server.client, NEVER)
        await until_waiting(job, WaitReason.SOURCE)
        await cancelled(job)
        attributes = (await job.describe()).typed_search_attributes
        shown = await details(job)
    assert attributes.get(WAITING_FOR) is None
    assert attributes.get(WAITING_SINCE) is None
    assert "Waiting" not in shown
    assert "cancelled" in shown


class StoreUnreachable(FakeActivities):
    """The store accepts no manifest."""

    @activity.defn
    async def close_job(self, request: CloseJob) -> ClosedJob:
        if not request.minimal:
            self.closed.append(request)
            raise ApplicationError("As scripted.", type=STORAGE)
        return await super().close_job(request)


async def test_long_outage_of_the_store_does_not_prevent_the_jobs_end(
    skipping_server: WorkflowEnvironment,
) -> None:
    """(S16) After the patience, row and events are written without the manifest."""
    fakes = StoreUnreachable(total=3)
    async with workers(skipping_server.client, fakes), asyncio.timeout(BOUND):
        job = await start(skipping_server.client, attach=Attach(subscription_id="one"))
        result = await job.result()
    assert result.status is JobStatus.COMPLETED
    assert (fakes.closed[-1].minimal, fakes.closed[-1].subscriptions) == (True, ["one"])
