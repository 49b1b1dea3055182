"""Documents that take long do not hold up the others of their job."""

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


class Trickling(FakeActivities):
    """Some documents come only when they are let; their batches come back with them."""

    slow: frozenset[int] = frozenset()
    let: asyncio.Event

    @activity.defn
    async def download_batch(self, request: DownloadBatch) -> BatchResult:
        result = await super().download_batch(request)
        if self.slow & {wanted.position for wanted in request.documents}:
            waiting = asyncio.ensure_future(self.let.wait())
            while not waiting.done():
                activity.heartbeat()
                await asyncio.wait([waiting], timeout=0.1)
        return result


@pytest.fixture
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch is a straggler after a moment; workflows see this module as it is."""
    monkeypatch.setattr(batches, "STRAGGLER_AFTER", batches.STRAGGLER_AFTER / 100)


@pytest.mark.usefixtures("_short")
async def test_a_job_does_not_wait_for_two_documents_that_trickle(
    dev_server: WorkflowEnvironment,
) -> None:
    """(S4) Both batches in flight have one; all the others of 40 arrive meanwhile."""
    fakes = Trickling(total=40)
    fakes.slow, fakes.let = frozenset({0, 7}), asyncio.Event()
    async with workers(dev_server.client, fakes), asyncio.timeout(BOUND):
        job = await start(dev_server.client)
        while (await job.query(DownloadProcessWorkflow.progress)).available < 30:
            await asyncio.sleep(0.05)
        progress = await job.query(DownloadProcessWorkflow.progress)
        assert (progress.processing, progress.pending) == (10, 0)
        fakes.let.set()
        result = await job.result()
    assert (result.status, result.available) == (JobStatus.COMPLETED, 40)
    assert set(fakes.tries.values()) == {1}


@pytest.mark.usefixtures("_short")
async def test_the_stragglers_are_bounded(dev_server: WorkflowEnvironment) -> None:
    """(S4) A source that is slow throughout does not get ever more batches."""
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


@pytest.mark.usefixtures("_short")
async def test_a_retry_does_not_wait_for_a_straggler(dev_server: WorkflowEnvironment) -> None:
    """(S4) It is made when it is due, though a batch is on its way."""

    def answer(wanted: BatchDocument) -> DocumentOutcome:
        if wanted.position == 5 and wanted.attempt == 1:
            return DocumentOutcome(position=5, reason=Reason.EMPTY)
        return available(wanted)

    fakes = Trickling(total=10, answer=answer)
    fakes.slow, fakes.let = frozenset({0}), asyncio.Event()
    async with workers(dev_server.client, fakes), asyncio.timeout(BOUND):
        job = await start(dev_server.client, JobOptions(retry_unit_seconds=0.05))
        while (await job.query(DownloadProcessWorkflow.progress)).available < 5:
            await asyncio.sleep(0.05)
        fakes.let.set()
        result = await job.result()
    assert (result.available, fakes.tries[5]) == (10, 2)


@pytest.mark.usefixtures("_short")
async def test_a_straggler_does_not_keep_a_long_job_from_continuing(
    dev_server: WorkflowEnvironment,
) -> None:
    """(S4, S24) The run ends without it, and the next one asks for its documents again."""
    fakes = Trickling(total=100)
    fakes.slow, fakes.let = frozenset({0}), asyncio.Event()
    async with workers(dev_server.client, fakes), asyncio.timeout(BOUND):
        job = await start(dev_server.client, JobOptions(continue_as_new_after=40))
        last = dev_server.client.get_workflow_handle_for(DownloadProcessWorkflow.run, job.id)
        while (await last.query(DownloadProcessWorkflow.progress)).available < 95:
            await asyncio.sleep(0.05)
        fakes.let.set()
        result = await last.result()
    assert result.available == 100
    assert fakes.tries[0] > 1
