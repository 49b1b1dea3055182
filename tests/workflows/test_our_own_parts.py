"""Activities that fail for our own parts' sake: outages are waited out and shown, defects end."""

import asyncio
from datetime import timedelta

import pytest
from temporalio import activity
from temporalio.client import WorkflowFailureError
from temporalio.exceptions import ApplicationError
from temporalio.testing import WorkflowEnvironment

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
from autos.contracts.webhooks import DeliveryOutcome
from tests.workflows.fakes import FakeActivities, available, start, steer, workers
from tests.workflows.test_steering import details, until_waiting
from tests.workflows.webhook_fakes import FakeReceiver, deliver, webhook_worker
from workflows.download_process import DownloadProcessWorkflow

BOUND = 180
QUICK = 4
"""Attempts of an activity before anything is said of it."""


@pytest.mark.parametrize("trouble", [RECORDS, STORAGE])
@pytest.mark.parametrize("name", ["fetch_process", "download_batch", "await_source", "close_job"])
async def test_an_outage_of_ours_is_waited_out_wherever_it_strikes(
    skipping_server: WorkflowEnvironment, name: str, trouble: str
) -> None:
    """(S16) For hours; no document and no attempt is lost to it."""
    fakes = FakeActivities(
        fetches=[FetchedProcess(reason=Reason.UNAVAILABLE)],
        probes=[Reason.UNAVAILABLE] * 3,
        troubles={name: [trouble] * 200},
    )
    client = skipping_server.client
    async with workers(client, fakes), asyncio.timeout(BOUND):
        job = await start(client, JobOptions(parallel_batches=1, lookahead=0))
        result = await job.result()
        history = await client.get_workflow_handle(job.id).fetch_history()
    assert (result.status, result.available) == (JobStatus.COMPLETED, 12)
    assert {wanted.attempt for batch in fakes.batches for wanted in batch.documents} == {1}
    assert not fakes.troubles[name]
    # The server does the waiting.
    assert len(history.events) < 150


async def test_a_pause_that_cannot_be_written_is_a_pause_all_the_same(
    dev_server: WorkflowEnvironment,
) -> None:
    """(S16) It is shown, it holds, and `resume` ends it."""
    fakes = FakeActivities(gate=asyncio.Event(), troubles={"record_job": [RECORDS] * 3})
    async with workers(dev_server.client, fakes), asyncio.timeout(BOUND):
        job = await start(dev_server.client)
        await fakes.started.wait()
        assert (await steer(job, "pause")).waiting_for is WaitReason.OPERATOR
        assert fakes.gate is not None
        fakes.gate.set()
        while (await job.query(DownloadProcessWorkflow.progress)).available < 10:
            pass
        await steer(job, "resume")
        assert (await job.result()).available == 12


async def test_a_row_that_cannot_be_written_ends_no_job(dev_server: WorkflowEnvironment) -> None:
    """(S16) A defect in writing down a pause leaves the row behind, and the job goes on."""
    fakes = FakeActivities(gate=asyncio.Event(), troubles={"record_job": [INTERNAL_ERROR] * 100})
    async with workers(dev_server.client, fakes), asyncio.timeout(BOUND):
        job = await start(dev_server.client)
        await fakes.started.wait()
        await steer(job, "pause")
        while len(fakes.troubles["record_job"]) > 100 - QUICK:
            await asyncio.sleep(0.01)
        await steer(job, "resume")
        assert fakes.gate is not None
        fakes.gate.set()
        assert (await job.result()).available == 12


async def test_an_outage_of_ours_is_shown_while_it_lasts(dev_server: WorkflowEnvironment) -> None:
    """(S16) In the query, the search attributes and the Web UI, with its beginning and its end."""
    fakes = FakeActivities(troubles={"fetch_process": [RECORDS] * (QUICK + 1)})
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
    # There is nowhere to write it.
    assert fakes.recorded == []


async def test_a_wait_for_the_store_is_written_into_the_row(
    dev_server: WorkflowEnvironment,
) -> None:
    """(S16) The records are well; who reads them alone sees it, too."""
    fakes = FakeActivities(total=3, troubles={"close_job": [STORAGE] * (QUICK + 1)})
    async with workers(dev_server.client, fakes), asyncio.timeout(BOUND):
        job = await start(dev_server.client)
        result = await job.result()
    assert result.status is JobStatus.COMPLETED
    shown = [(record.waiting_for, bool(record.waiting_until)) for record in fakes.recorded]
    assert shown == [(WaitReason.STORAGE, True), (None, False)]


class OneBadBatch(FakeActivities):
    """The second batch fails on a defect whatever is done."""

    def fail(self, name: str) -> None:
        if name == "download_batch" and self.batches[-1].batch == 2:
            raise ApplicationError("A defect.", type=INTERNAL_ERROR)


async def test_a_defect_in_a_batch_ends_its_documents_and_no_others(
    skipping_server: WorkflowEnvironment,
) -> None:
    """(S16) After a few tries, as `internal_error`; the job goes on."""
    fakes = OneBadBatch()
    async with workers(skipping_server.client, fakes), asyncio.timeout(BOUND):
        job = await start(skipping_server.client, JobOptions(parallel_batches=1, lookahead=0))
        result = await job.result()
    assert (result.status, result.available, result.failed) == (
        JobStatus.COMPLETED_WITH_FAILURES,
        7,
        5,
    )
    assert [batch.batch for batch in fakes.batches].count(2) == QUICK


async def test_a_defect_at_the_listing_ends_the_job(skipping_server: WorkflowEnvironment) -> None:
    """(S16, S5) Bounded for the source, and it says why."""
    fakes = FakeActivities(troubles={"fetch_process": [INTERNAL_ERROR] * 100})
    async with workers(skipping_server.client, fakes), asyncio.timeout(BOUND):
        job = await start(skipping_server.client, attach=Attach(subscription_id="one"))
        result = await job.result()
    assert (result.status, result.reason) == (JobStatus.FAILED, Reason.INTERNAL_ERROR)
    assert len(fakes.fetched) == QUICK
    assert fakes.closed[0].subscriptions == ["one"]


async def test_a_defect_in_closing_leaves_the_manifest_out(
    skipping_server: WorkflowEnvironment,
) -> None:
    """(S16) Row and events are worth more."""
    fakes = FakeActivities(total=3, troubles={"close_job": [INTERNAL_ERROR] * QUICK})
    async with workers(skipping_server.client, fakes), asyncio.timeout(BOUND):
        job = await start(skipping_server.client)
        assert (await job.result()).status is JobStatus.COMPLETED
    assert [closed.minimal for closed in fakes.closed] == [False] * QUICK + [True]


async def test_a_job_that_cannot_write_its_end_fails_visibly(
    skipping_server: WorkflowEnvironment,
) -> None:
    """(S16) The workflow fails, which a reconciliation finds; it is not repeated for ever."""
    fakes = FakeActivities(total=3, troubles={"close_job": [INTERNAL_ERROR] * 100})
    async with workers(skipping_server.client, fakes), asyncio.timeout(BOUND):
        job = await start(skipping_server.client)
        with pytest.raises(WorkflowFailureError) as failure:
            await job.result()
    assert isinstance(failure.value.cause, ApplicationError)
    assert failure.value.cause.type == INTERNAL_ERROR
    assert len(fakes.closed) == 2 * QUICK


async def test_records_that_stay_away_end_the_job(skipping_server: WorkflowEnvironment) -> None:
    """(S16) After the patience that every wait has; nothing waits for ever."""
    fakes = FakeActivities(total=3, troubles={"download_batch": [STORAGE] * 100_000})
    async with workers(skipping_server.client, fakes), asyncio.timeout(BOUND):
        job = await start(skipping_server.client)
        result = await job.result()
    assert (result.status, result.failed) == (JobStatus.FAILED, 3)


class Dying(FakeActivities):
    """A batch's worker dies of its first few attempts; the activity is just not heard of."""

    deaths: int = 0

    @activity.defn
    async def download_batch(self, request: DownloadBatch) -> BatchResult:
        self.deaths += 1
        if self.deaths <= 6:
            # As a worker says that shuts down in the middle of it: an error without a type.
            raise ApplicationError("Worker is shutting down", type="")
        return await super().download_batch(request)


async def test_workers_that_die_are_no_defect(skipping_server: WorkflowEnvironment) -> None:
    """(S16) More often than a defect is tried; another worker does the work."""
    fakes = Dying(total=3, answer=available)
    async with workers(skipping_server.client, fakes), asyncio.timeout(BOUND):
        job = await start(skipping_server.client)
        result = await job.result()
    assert (result.status, result.available) == (JobStatus.COMPLETED, 3)


async def test_a_cancel_ends_a_wait_for_records(dev_server: WorkflowEnvironment) -> None:
    """(S16) The job ends, and what it waited for is shown no longer."""
    fakes = FakeActivities(troubles={"fetch_process": [RECORDS] * 1000})
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


async def test_a_delivery_waits_for_the_records(skipping_server: WorkflowEnvironment) -> None:
    """(S16) For as long as they are away; the attempt is then made once."""
    receiver = FakeReceiver(troubles=[RECORDS] * 100)
    async with (
        webhook_worker(skipping_server.client, receiver, skipping_server.get_current_time),
        asyncio.timeout(BOUND),
    ):
        delivery = await deliver(skipping_server.client)
        result = await delivery.result()
    assert (result.outcome, result.attempts) == (DeliveryOutcome.DELIVERED, 1)


async def test_a_defect_ends_a_delivery_with_a_reason(skipping_server: WorkflowEnvironment) -> None:
    """(S16) Its row says so; nothing is repeated for ever."""
    receiver = FakeReceiver(troubles=[INTERNAL_ERROR] * 100)
    async with (
        webhook_worker(skipping_server.client, receiver, skipping_server.get_current_time),
        asyncio.timeout(BOUND),
    ):
        delivery = await deliver(skipping_server.client)
        result = await delivery.result()
    assert result.outcome is DeliveryOutcome.FAILED
    assert [abandoned.event_id for abandoned in receiver.abandoned] == [result.event_id]
    assert len(receiver.troubles) == 100 - QUICK


async def test_a_delivery_of_which_nothing_can_be_written_fails(
    skipping_server: WorkflowEnvironment,
) -> None:
    """(S16) Its workflow is over, so that a reconciliation sees that nobody tries."""
    receiver = FakeReceiver(troubles=[INTERNAL_ERROR] * 100, writes=False)
    async with (
        webhook_worker(skipping_server.client, receiver, skipping_server.get_current_time),
        asyncio.timeout(BOUND),
    ):
        delivery = await deliver(skipping_server.client)
        with pytest.raises(WorkflowFailureError):
            await delivery.result()
