"""Failures of Autos' own parts: jobs wait out and show outages; defects end the work."""

import asyncio
from datetime import timedelta

import pytest
from temporalio import activity
from temporalio.client import WorkflowFailureError
from temporalio.exceptions import ApplicationError
from temporalio.testing import WorkflowEnvironment

from autos.contracts.deliveries import DeliveryOutcome
from autos.contracts.download import Attach, BatchResult, DownloadBatch, FetchedProcess, JobOptions
from autos.contracts.reasons import Reason, WaitReason
from autos.contracts.retries import PATIENCE
from autos.contracts.states import JobStatus
from autos.contracts.temporal_names import (
    INTERNAL_ERROR,
    RECORDS,
    STORAGE,
    WAITING_FOR,
    WAITING_SINCE,
)
from tests.workflows.fakes import FakeActivities, available, duration, start, steer, workers
from tests.workflows.test_steering import details, until_waiting
from tests.workflows.webhook_fakes import FakeReceiver, deliver, webhook_worker
from workflows.download_process import DownloadProcessWorkflow

BOUND = 180
QUICK = 4
"""Attempts of an activity before the job shows a wait."""


@pytest.mark.parametrize("trouble", [RECORDS, STORAGE])
@pytest.mark.parametrize("name", ["fetch_process", "download_batch", "await_source", "close_job"])
async def test_outage_of_records_or_store_is_waited_out_in_every_activity(
    skipping_server: WorkflowEnvironment, name: str, trouble: str
) -> None:
    """(S16) It lasts hours; no document fails and no attempt is counted."""
    fakes = FakeActivities(
        fetches=[FetchedProcess(reason=Reason.UNAVAILABLE)],
        probes=[Reason.UNAVAILABLE] * 3,
        failures={name: [trouble] * 200},
    )
    client = skipping_server.client
    async with workers(client, fakes), asyncio.timeout(BOUND):
        job = await start(client, JobOptions(parallel_batches=1, lookahead=0))
        result = await job.result()
        history = await client.get_workflow_handle(job.id).fetch_history()
    assert (result.status, result.available) == (JobStatus.COMPLETED, 12)
    assert {wanted.attempt for batch in fakes.batches for wanted in batch.documents} == {1}
    assert not fakes.failures[name]
    # The server does the waiting.
    assert len(history.events) < 150


async def test_pause_that_cannot_be_recorded_still_pauses(
    dev_server: WorkflowEnvironment,
) -> None:
    """(S16) It is shown until `resume` ends it."""
    fakes = FakeActivities(gate=asyncio.Event(), failures={"record_job": [RECORDS] * 3})
    async with workers(dev_server.client, fakes), asyncio.timeout(BOUND):
        job = await start(dev_server.client)
        await fakes.started.wait()
        assert (await steer(job, "pause")).waiting_for is WaitReason.OPERATOR
        assert fakes.gate is not None
        fakes.gate.set()
        while (await job.query(DownloadProcessWorkflow.progress)).available < 10:
            await asyncio.sleep(0.05)
        await steer(job, "resume")
        assert (await job.result()).available == 12


async def test_job_continues_when_its_row_cannot_be_written(
    dev_server: WorkflowEnvironment,
) -> None:
    """(S16) After a defect in recording a pause, the row is out of date and the job continues."""
    fakes = FakeActivities(gate=asyncio.Event(), failures={"record_job": [INTERNAL_ERROR] * 100})
    async with workers(dev_server.client, fakes), asyncio.timeout(BOUND):
        job = await start(dev_server.client)
        await fakes.started.wait()
        await steer(job, "pause")
        while len(fakes.failures["record_job"]) > 100 - QUICK:
            await asyncio.sleep(0.01)
        await steer(job, "resume")
        assert fakes.gate is not None
        fakes.gate.set()
        result = await job.result()
    assert (result.status, result.available) == (JobStatus.COMPLETED, 12)


async def test_outage_of_the_records_is_shown_while_it_lasts(
    dev_server: WorkflowEnvironment,
) -> None:
    """(S16) In the query, the search attributes and the Web UI, with its start and limit."""
    fakes = FakeActivities(failures={"fetch_process": [RECORDS] * (QUICK + 1)})
    async with workers(dev_server.client, fakes), asyncio.timeout(BOUND):
        job = await start(dev_server.client)
        waiting = await until_waiting(job, WaitReason.RECORDS)
        assert waiting.waiting_since is not None
        assert waiting.waiting_until is not None
        lasts = waiting.waiting_until - waiting.waiting_since
        assert abs(lasts - PATIENCE) < timedelta(minutes=1)
        assert "Waiting for **records** since" in await details(job)
        attributes = (await job.describe()).typed_search_attributes
        assert attributes[WAITING_FOR] == "records"
        assert attributes.get(WAITING_SINCE) is not None
        result = await job.result()
        attributes = (await job.describe()).typed_search_attributes
    assert (result.status, attributes.get(WAITING_FOR)) == (JobStatus.COMPLETED, None)
    # The records themselves are unavailable.
    assert fakes.recorded == []


async def test_wait_for_the_store_is_recorded(
    dev_server: WorkflowEnvironment,
) -> None:
    """(S16) The records work, so the row shows the wait."""
    fakes = FakeActivities(total=3, failures={"close_job": [STORAGE] * (QUICK + 1)})
    async with workers(dev_server.client, fakes), asyncio.timeout(BOUND):
        job = await start(dev_server.client)
        result = await job.result()
    assert result.status is JobStatus.COMPLETED
    shown = [(record.waiting_for, bool(record.waiting_until)) for record in fakes.recorded]
    assert shown == [(WaitReason.STORAGE, True), (None, False)]


class BatchWithDefect(FakeActivities):
    """The second batch always fails with a defect."""

    def fail(self, name: str) -> None:
        if name == "download_batch" and self.batches[-1].batch == 2:
            raise ApplicationError("A defect.", type=INTERNAL_ERROR)


async def test_defect_in_a_batch_fails_only_its_documents(
    skipping_server: WorkflowEnvironment,
) -> None:
    """(S16) After a few attempts, with `internal_error`; the job continues."""
    fakes = BatchWithDefect()
    async with workers(skipping_server.client, fakes), asyncio.timeout(BOUND):
        job = await start(skipping_server.client, JobOptions(parallel_batches=1, lookahead=0))
        result = await job.result()
    assert (result.status, result.available, result.failed) == (
        JobStatus.COMPLETED_WITH_FAILURES,
        7,
        5,
    )
    assert [batch.batch for batch in fakes.batches].count(2) == QUICK


async def test_defect_at_the_listing_fails_the_job(skipping_server: WorkflowEnvironment) -> None:
    """(S16, S5) After a bounded number of attempts, with the reason."""
    fakes = FakeActivities(failures={"fetch_process": [INTERNAL_ERROR] * 100})
    async with workers(skipping_server.client, fakes), asyncio.timeout(BOUND):
        job = await start(skipping_server.client, attach=Attach(subscription_id="one"))
        result = await job.result()
    assert (result.status, result.reason) == (JobStatus.FAILED, Reason.INTERNAL_ERROR)
    assert len(fakes.fetched) == QUICK
    assert fakes.closed[0].subscriptions == ["one"]


async def test_defect_in_closing_skips_the_manifest(
    skipping_server: WorkflowEnvironment,
) -> None:
    """(S16) Row and events are written without it."""
    fakes = FakeActivities(total=3, failures={"close_job": [INTERNAL_ERROR] * QUICK})
    async with workers(skipping_server.client, fakes), asyncio.timeout(BOUND):
        job = await start(skipping_server.client)
        assert (await job.result()).status is JobStatus.COMPLETED
    assert [closed.minimal for closed in fakes.closed] == [False] * QUICK + [True]


async def test_job_that_cannot_record_its_end_fails(
    skipping_server: WorkflowEnvironment,
) -> None:
    """(S16) Reconciliation finds the failed workflow; the attempts are bounded."""
    fakes = FakeActivities(total=3, failures={"close_job": [INTERNAL_ERROR] * 100})
    async with workers(skipping_server.client, fakes), asyncio.timeout(BOUND):
        job = await start(skipping_server.client)
        with pytest.raises(WorkflowFailureError) as failure:
            await job.result()
    assert isinstance(failure.value.cause, ApplicationError)
    assert failure.value.cause.type == INTERNAL_ERROR
    assert len(fakes.closed) == 2 * QUICK


async def test_endless_outage_of_the_store_ends_the_job(
    skipping_server: WorkflowEnvironment, short_patience: timedelta
) -> None:
    """(S16) After the patience that limits every wait."""
    fakes = FakeActivities(total=3, failures={"download_batch": [STORAGE] * 100_000})
    async with workers(skipping_server.client, fakes), asyncio.timeout(BOUND):
        job = await start(skipping_server.client)
        result = await job.result()
        lasted = await duration(job)
    assert (result.status, result.failed) == (JobStatus.FAILED, 3)
    assert abs(lasted - short_patience) < timedelta(minutes=10)


class DyingWorkers(FakeActivities):
    """The worker dies during the first attempts of a batch."""

    deaths: int = 0

    @activity.defn
    async def download_batch(self, request: DownloadBatch) -> BatchResult:
        self.deaths += 1
        if self.deaths <= 6:
            # A worker that shuts down reports an error without a type.
            raise ApplicationError("Worker is shutting down", type="")
        return await super().download_batch(request)


async def test_dying_workers_are_no_defect(skipping_server: WorkflowEnvironment) -> None:
    """(S16) They die more often than a defect is retried; the job still completes."""
    fakes = DyingWorkers(total=3, answer=available)
    async with workers(skipping_server.client, fakes), asyncio.timeout(BOUND):
        job = await start(skipping_server.client)
        result = await job.result()
    assert (result.status, result.available) == (JobStatus.COMPLETED, 3)


async def test_cancellation_ends_a_wait_for_records(dev_server: WorkflowEnvironment) -> None:
    """(S16) The job ends and shows no wait."""
    fakes = FakeActivities(failures={"fetch_process": [RECORDS] * 1000})
    async with workers(dev_server.client, fakes), asyncio.timeout(BOUND):
        job = await start(dev_server.client)
        await until_waiting(job, WaitReason.RECORDS)
        await job.cancel()
        with pytest.raises(WorkflowFailureError):
            await job.result()
        progress = await job.query(DownloadProcessWorkflow.progress)
        attributes = (await job.describe()).typed_search_attributes
    assert (progress.status, progress.waiting_for) == (JobStatus.CANCELLED, None)
    assert attributes.get(WAITING_FOR) is None


async def test_delivery_waits_for_the_records(skipping_server: WorkflowEnvironment) -> None:
    """(S16) After the outage, the attempt is made once."""
    receiver = FakeReceiver(failures=[RECORDS] * 100)
    async with (
        webhook_worker(skipping_server.client, receiver, skipping_server.get_current_time),
        asyncio.timeout(BOUND),
    ):
        delivery = await deliver(skipping_server.client)
        result = await delivery.result()
    assert (result.outcome, result.attempts) == (DeliveryOutcome.DELIVERED, 1)


async def test_defect_ends_a_delivery_with_its_reason(skipping_server: WorkflowEnvironment) -> None:
    """(S16) The row has the reason; the attempts are bounded."""
    receiver = FakeReceiver(failures=[INTERNAL_ERROR] * 100)
    async with (
        webhook_worker(skipping_server.client, receiver, skipping_server.get_current_time),
        asyncio.timeout(BOUND),
    ):
        delivery = await deliver(skipping_server.client)
        result = await delivery.result()
    assert result.outcome is DeliveryOutcome.FAILED
    assert [abandoned.event_id for abandoned in receiver.abandoned] == [result.event_id]
    # The local attempt, and the quick ones through the server.
    assert len(receiver.failures) == 100 - 1 - QUICK


async def test_delivery_that_cannot_be_recorded_fails(
    skipping_server: WorkflowEnvironment,
) -> None:
    """(S16) The workflow ends, so reconciliation finds a delivery without one."""
    receiver = FakeReceiver(failures=[INTERNAL_ERROR] * 100, writes=False)
    async with (
        webhook_worker(skipping_server.client, receiver, skipping_server.get_current_time),
        asyncio.timeout(BOUND),
    ):
        delivery = await deliver(skipping_server.client)
        with pytest.raises(WorkflowFailureError):
            await delivery.result()
