"""Slow documents do not delay the other documents of their job."""

import asyncio

import pytest
from temporalio import activity
from temporalio.testing import WorkflowEnvironment

from autos.contracts.download import (
    BatchDocument,
    BatchResult,
    DocumentOutcome,
    DownloadBatch,
    JobOptions,
)
from autos.contracts.reasons import Reason
from autos.contracts.states import JobStatus
from tests.workflows.fakes import FakeActivities, available, start, workers
from workflows import batches
from workflows.download_process import DownloadProcessWorkflow

BOUND = 180


class SlowDocuments(FakeActivities):
    """Batches with a slow document end only when the test releases them."""

    slow: frozenset[int] = frozenset()
    released: asyncio.Event

    @activity.defn
    async def download_batch(self, request: DownloadBatch) -> BatchResult:
        result = await super().download_batch(request)
        if self.slow & {wanted.position for wanted in request.documents}:
            waiting = asyncio.ensure_future(self.released.wait())
            while not waiting.done():
                activity.heartbeat()
                await asyncio.wait([waiting], timeout=0.1)
        return result


@pytest.fixture
def _short_straggler_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Batches become stragglers after 0.3 s; workflows see the patched module."""
    monkeypatch.setattr(batches, "STRAGGLER_AFTER", batches.STRAGGLER_AFTER / 100)


@pytest.mark.usefixtures("_short_straggler_limit")
async def test_two_slow_documents_do_not_delay_the_others(
    dev_server: WorkflowEnvironment,
) -> None:
    """(S4) Both batches in flight have a slow document; 30 others complete meanwhile."""
    fakes = SlowDocuments(total=40)
    fakes.slow, fakes.released = frozenset({0, 7}), asyncio.Event()
    async with workers(dev_server.client, fakes), asyncio.timeout(BOUND):
        job = await start(dev_server.client)
        while (await job.query(DownloadProcessWorkflow.progress)).available < 30:
            await asyncio.sleep(0.05)
        progress = await job.query(DownloadProcessWorkflow.progress)
        assert (progress.processing, progress.pending) == (10, 0)
        fakes.released.set()
        result = await job.result()
    assert (result.status, result.available) == (JobStatus.COMPLETED, 40)
    assert set(fakes.tries.values()) == {1}


@pytest.mark.usefixtures("_short_straggler_limit")
async def test_number_of_stragglers_is_bounded(dev_server: WorkflowEnvironment) -> None:
    """(S4) A slow source does not get more and more batches."""
    most = batches.MAX_STRAGGLERS + 2
    fakes = FakeActivities(total=200, gate=asyncio.Event())
    async with workers(dev_server.client, fakes, places=50), asyncio.timeout(BOUND):
        job = await start(dev_server.client)
        while len(fakes.batches) < most:
            await asyncio.sleep(0.01)
        await asyncio.sleep(5 * batches.STRAGGLER_AFTER.total_seconds())
        assert len(fakes.batches) == most
        assert fakes.gate is not None
        fakes.gate.set()
        assert (await job.result()).available == 200


@pytest.mark.usefixtures("_short_straggler_limit")
async def test_retry_does_not_wait_for_a_straggler(dev_server: WorkflowEnvironment) -> None:
    """(S4) It is made when it is due, although a batch is in flight."""

    def answer(wanted: BatchDocument) -> DocumentOutcome:
        if wanted.position == 5 and wanted.attempt == 1:
            return DocumentOutcome(position=5, reason=Reason.EMPTY)
        return available(wanted)

    fakes = SlowDocuments(total=10, answer=answer)
    fakes.slow, fakes.released = frozenset({0}), asyncio.Event()
    async with workers(dev_server.client, fakes), asyncio.timeout(BOUND):
        job = await start(dev_server.client, JobOptions(retry_unit_seconds=0.05))
        while (await job.query(DownloadProcessWorkflow.progress)).available < 5:
            await asyncio.sleep(0.05)
        fakes.released.set()
        result = await job.result()
    assert (result.available, fakes.tries[5]) == (10, 2)


@pytest.mark.usefixtures("_short_straggler_limit")
async def test_straggler_does_not_prevent_continue_as_new(
    dev_server: WorkflowEnvironment,
) -> None:
    """(S4, S24) The run ends without it, and the next run requests its documents again."""
    fakes = SlowDocuments(total=100)
    fakes.slow, fakes.released = frozenset({0}), asyncio.Event()
    async with workers(dev_server.client, fakes), asyncio.timeout(BOUND):
        job = await start(dev_server.client, JobOptions(continue_as_new_after=40))
        last = dev_server.client.get_workflow_handle_for(DownloadProcessWorkflow.run, job.id)
        while (await last.query(DownloadProcessWorkflow.progress)).available < 95:
            await asyncio.sleep(0.05)
        fakes.released.set()
        result = await last.result()
    assert result.available == 100
    assert fakes.tries[0] > 1
