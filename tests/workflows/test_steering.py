"""Cancel, pause, resume and retry in every phase of a job."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from temporalio.api.sdk.v1 import WorkflowMetadata
from temporalio.client import WorkflowFailureError, WorkflowHandle
from temporalio.testing import WorkflowEnvironment

from autos.contracts.download import (
    Attach,
    BatchDocument,
    DocumentOutcome,
    FetchedProcess,
    JobOptions,
    JobResult,
    Progress,
)
from autos.contracts.reasons import Reason, WaitReason
from autos.contracts.states import JobStatus
from autos.contracts.temporal_names import WAITING_FOR, WAITING_SINCE
from tests.workflows.fakes import FakeActivities, available, refused, start, steer, workers
from workflows.download_process import DownloadProcessWorkflow

BOUND = 180
NEVER = JobOptions(retry_unit_seconds=100_000)
"""With these options no wait of the job ends by itself within a test."""

Job = WorkflowHandle[DownloadProcessWorkflow, JobResult]


async def until_waiting(job: Job, reason: WaitReason | None) -> Progress:
    """Wait until the job's progress has this `waiting_for`, and return it."""
    async with asyncio.timeout(BOUND):
        while True:
            progress = await job.query(DownloadProcessWorkflow.progress)
            if progress.waiting_for is reason:
                return progress
            await asyncio.sleep(0.05)


async def details(job: Job) -> str:
    """The job's current details, as shown in the Web UI."""
    metadata = await job.query("__temporal_workflow_metadata", result_type=WorkflowMetadata)
    return str(metadata.current_details)


async def cancelled(job: Job) -> None:
    """Cancel the job and wait for its end."""
    await job.cancel()
    with pytest.raises(WorkflowFailureError):
        await asyncio.wait_for(job.result(), BOUND)


def assert_closed_as_cancelled(fakes: FakeActivities, *subscriptions: str) -> None:
    """The job was closed once, as `cancelled`, with these subscriptions."""
    ends = [(closed.status, closed.subscriptions) for closed in fakes.closed]
    assert ends == [(JobStatus.CANCELLED, list(subscriptions))]


async def test_job_cancelled_before_it_started_notifies_its_subscriber(
    dev_server: WorkflowEnvironment,
) -> None:
    """F11: the cancellation is the first event that the workflow handles."""
    fakes = FakeActivities()
    job = await start(dev_server.client, attach=Attach(subscription_id="one"))
    await job.cancel()
    async with workers(dev_server.client, fakes):
        with pytest.raises(WorkflowFailureError):
            await asyncio.wait_for(job.result(), BOUND)
    assert_closed_as_cancelled(fakes, "one")
    assert not fakes.fetched
    assert not fakes.batches


@pytest.mark.parametrize("reason", [Reason.UNAVAILABLE, Reason.CREDENTIAL])
async def test_waiting_job_can_be_cancelled(
    dev_server: WorkflowEnvironment, reason: Reason
) -> None:
    fakes = FakeActivities(fetches=[FetchedProcess(reason=reason)], probes=[reason])
    async with workers(dev_server.client, fakes):
        job = await start(dev_server.client, NEVER, Attach(subscription_id="one"))
        wait = WaitReason.CREDENTIAL if reason is Reason.CREDENTIAL else WaitReason.SOURCE
        await until_waiting(job, wait)
        await cancelled(job)
        assert (await job.query(DownloadProcessWorkflow.progress)).waiting_for is None
    assert_closed_as_cancelled(fakes, "one")
    assert len(fakes.fetched) == 1


async def test_paused_job_can_be_cancelled(dev_server: WorkflowEnvironment) -> None:
    fakes = FakeActivities(gate=asyncio.Event())
    async with workers(dev_server.client, fakes):
        job = await start(dev_server.client, attach=Attach(subscription_id="one"))
        await asyncio.wait_for(fakes.started.wait(), BOUND)
        await steer(job, "pause")
        await until_waiting(job, WaitReason.OPERATOR)
        await cancelled(job)
    assert_closed_as_cancelled(fakes, "one")
    assert fakes.cancelled_batches == 2


async def test_pause_is_shown_in_query_search_attributes_and_record(
    dev_server: WorkflowEnvironment,
) -> None:
    """With the time at which it started."""
    fakes = FakeActivities(gate=asyncio.Event())
    async with workers(dev_server.client, fakes):
        job = await start(dev_server.client)
        await asyncio.wait_for(fakes.started.wait(), BOUND)
        before = datetime.now(UTC)
        await steer(job, "pause")
        paused = await until_waiting(job, WaitReason.OPERATOR)
        assert paused.processing
        assert paused.waiting_since is not None
        assert abs((paused.waiting_since - before).total_seconds()) < BOUND
        attributes = (await job.describe()).typed_search_attributes
        assert attributes[WAITING_FOR] == "operator"
        # The server keeps milliseconds.
        assert abs(attributes[WAITING_SINCE] - paused.waiting_since) < timedelta(seconds=0.01)
        assert await details(job) == (
            "**processing**: 0 of 12 documents available, 0 failed.\n\n"
            f"Waiting for **operator** since {paused.waiting_since:%Y-%m-%d %H:%M:%S} UTC."
        )
        async with asyncio.timeout(BOUND):
            while not fakes.recorded:
                await asyncio.sleep(0.01)
        (record,) = fakes.recorded
        assert record.waiting_for is WaitReason.OPERATOR
        assert record.waiting_since == paused.waiting_since
        assert fakes.gate is not None
        fakes.gate.set()
        await steer(job, "resume")
        result = await asyncio.wait_for(job.result(), BOUND)
        attributes = (await job.describe()).typed_search_attributes
        assert (attributes.get(WAITING_FOR), attributes.get(WAITING_SINCE)) == (None, None)
    assert result.available == 12
    assert (fakes.recorded[-1].waiting_for, fakes.recorded[-1].waiting_since) == (None, None)


async def test_paused_job_requests_nothing_while_it_waits_for_the_source(
    dev_server: WorkflowEnvironment,
) -> None:
    fakes = FakeActivities(
        fetches=[FetchedProcess(reason=Reason.UNAVAILABLE)], probes=[Reason.UNAVAILABLE]
    )
    async with workers(dev_server.client, fakes):
        job = await start(dev_server.client, NEVER)
        await until_waiting(job, WaitReason.SOURCE)
        await steer(job, "pause")
        await until_waiting(job, WaitReason.OPERATOR)
        assert len(fakes.fetched) == 1
        await steer(job, "resume")
        result = await asyncio.wait_for(job.result(), BOUND)
    assert result.available == 12
    assert [request.urgent for request in fakes.probed] == [False, True]


async def test_retry_failed_of_a_running_job_requests_only_failed_documents(
    dev_server: WorkflowEnvironment,
) -> None:
    """A retry of another document keeps the job running."""
    opened = asyncio.Event()

    def answer(wanted: BatchDocument) -> DocumentOutcome:
        if wanted.position in (1, 8) and not opened.is_set():
            return DocumentOutcome(position=wanted.position, reason=Reason.SECRET, final=True)
        if wanted.position == 5 and wanted.attempt == 1:
            return DocumentOutcome(position=5, reason=Reason.EMPTY)
        return available(wanted)

    fakes = FakeActivities(answer=answer)
    async with workers(dev_server.client, fakes):
        job = await start(dev_server.client, NEVER)
        async with asyncio.timeout(BOUND):
            while (await job.query(DownloadProcessWorkflow.progress)).available < 9:
                await asyncio.sleep(0.05)
            opened.set()
            await steer(job, "retry_failed")
            while (await job.query(DownloadProcessWorkflow.progress)).available < 11:
                await asyncio.sleep(0.05)
            assert fakes.tries[5] == 1
            await steer(job, "resume")
            result = await job.result()
    assert (result.status, result.available) == (JobStatus.COMPLETED, 12)
    assert {position for position, tries in fakes.tries.items() if tries == 2} == {1, 5, 8}


async def test_new_credential_wakes_a_waiting_job(
    dev_server: WorkflowEnvironment,
) -> None:
    """At the listing and between documents, at once and not at the next scheduled check."""
    at_listing = FakeActivities(
        fetches=[FetchedProcess(reason=Reason.CREDENTIAL)], probes=[Reason.CREDENTIAL]
    )
    async with workers(dev_server.client, at_listing):
        job = await start(dev_server.client, NEVER)
        await until_waiting(job, WaitReason.CREDENTIAL)
        await job.signal("credential_changed")
        await asyncio.wait_for(job.result(), BOUND)
    alive = asyncio.Event()
    among_documents = FakeActivities(
        answer=lambda wanted: (
            available(wanted) if alive.is_set() else refused(Reason.CREDENTIAL)(wanted)
        ),
        probes=[Reason.CREDENTIAL],
    )
    async with workers(dev_server.client, among_documents):
        job = await start(dev_server.client, NEVER)
        await until_waiting(job, WaitReason.CREDENTIAL)
        alive.set()
        await job.signal("credential_changed")
        result = await asyncio.wait_for(job.result(), BOUND)
    assert result.available == 12
    # Two batches met the refused credential; no attempt of their documents was counted.
    assert set(among_documents.tries.values()) == {1, 2}
    attempts = [w.attempt for batch in among_documents.batches for w in batch.documents]
    assert set(attempts) == {1}
