"""What gets lost or left behind between a job, its activities and who steers it."""

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


async def held_up(until: asyncio.Event, cancelled: asyncio.Event | None = None) -> None:
    """Work on until then; with `cancelled`, which is set, even after a cancellation."""
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


class TwoSlow(FakeActivities):
    """The first document has to be tried twice; the third and fourth batch last until it is."""

    again: asyncio.Event

    @activity.defn
    async def download_batch(self, request: DownloadBatch) -> BatchResult:
        result = await super().download_batch(request)
        first = request.documents[0]
        if (first.position, first.attempt) == (0, 2):
            self.again.set()
        elif request.batch <= 2:
            # Within the time in which a batch is no straggler yet, but not much.
            await asyncio.sleep(0.6 * batches.STRAGGLER_AFTER.total_seconds())
        else:
            await held_up(self.again)
        return result


async def test_a_retry_waits_for_no_two_slow_batches(
    dev_server: WorkflowEnvironment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """(S4) All places are taken when it becomes due; it is made as soon as one is a straggler's."""
    monkeypatch.setattr(batches, "STRAGGLER_AFTER", batches.STRAGGLER_AFTER / 20)

    def answer(wanted: BatchDocument) -> DocumentOutcome:
        bad = wanted.position == 0 and wanted.attempt == 1
        return DocumentOutcome(
            position=wanted.position,
            size=None if bad else 1,
            reason=Reason.DOCUMENT_ERROR if bad else None,
        )

    fakes = TwoSlow(total=20, answer=answer)
    fakes.again = asyncio.Event()
    async with workers(dev_server.client, fakes), asyncio.timeout(BOUND / 3):
        job = await start(dev_server.client, JobOptions(retry_unit_seconds=0.75))
        assert (await job.result()).available == 20


class SlowToAnswer(FakeActivities):
    """The question whether the source works takes its time to end, and so does a batch."""

    asked: asyncio.Event
    answers: asyncio.Event
    closed_during: bool = False

    @activity.defn
    async def await_source(self, request: AwaitSource) -> SourceCheck:
        self.asked.set()
        await held_up(self.answers, asyncio.Event())
        # The real one writes the row before it ends.
        self.closed_during = bool(self.closed)
        return await super().await_source(request)


async def test_no_activity_of_a_job_outlives_its_end(dev_server: WorkflowEnvironment) -> None:
    """(S23) A question to the source writes the row: after the end, an ended job would run."""
    fakes = SlowToAnswer(
        answer=lambda wanted: DocumentOutcome(position=wanted.position, reason=Reason.STUB)
    )
    fakes.asked, fakes.answers = asyncio.Event(), asyncio.Event()
    async with workers(dev_server.client, fakes), asyncio.timeout(BOUND):
        job = await start(dev_server.client)
        await fakes.asked.wait()
        await job.cancel()
        # Time enough for an end that does not wait.
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(fakes.closes.wait(), 1.5)
        fakes.answers.set()
        with pytest.raises(WorkflowFailureError):
            await job.result()
    assert not fakes.closed_during


class ReadAgain(FakeActivities):
    """The second reading of the metadata waits, and finds what the rows say of the failures."""

    reads: asyncio.Event
    let: asyncio.Event

    @activity.defn
    async def fetch_process(self, request: FetchProcess) -> FetchedProcess:
        fetched = await super().fetch_process(request)
        if len(self.fetched) == 1:
            return fetched
        states = "pa" if request.again else "fa"
        self.reads.set()
        await held_up(self.let)
        return fetched.model_copy(update={"states": states})


async def test_a_retry_that_is_accepted_while_metadata_are_read_is_done(
    dev_server: WorkflowEnvironment,
) -> None:
    """(S23) The reading finds the failures of before; what was promised holds all the same."""

    def answer(wanted: BatchDocument) -> DocumentOutcome:
        bad = wanted.position == 0 and fakes.tries[0] == 1
        return DocumentOutcome(
            position=wanted.position,
            size=None if bad else 1,
            reason=Reason.NOT_FOUND if bad else None,
            final=bad,
        )

    fakes = ReadAgain(total=2, answer=answer, gate=asyncio.Event())
    fakes.reads, fakes.let = asyncio.Event(), asyncio.Event()
    async with workers(dev_server.client, fakes), asyncio.timeout(BOUND):
        job = await start(dev_server.client)
        await fakes.started.wait()
        await job.signal("attach", Attach(max_age_seconds=0))
        assert fakes.gate is not None
        fakes.gate.set()
        await fakes.reads.wait()
        shown = await steer(job, "retry_failed")
        fakes.let.set()
        assert shown.pending == 1
        result = await job.result()
    assert (result.status, result.available) == (JobStatus.COMPLETED, 2)


async def test_a_retry_that_is_accepted_while_metadata_are_waited_for_is_done(
    dev_server: WorkflowEnvironment,
) -> None:
    """(S23) As above, but the source is out of order when the metadata are to be read again."""

    def answer(wanted: BatchDocument) -> DocumentOutcome:
        bad = wanted.position == 0 and fakes.tries[0] == 1
        return DocumentOutcome(
            position=wanted.position,
            size=None if bad else 1,
            reason=Reason.NOT_FOUND if bad else None,
            final=bad,
        )

    fakes = ReadAgain(total=2, answer=answer, gate=asyncio.Event())
    fakes.reads, fakes.let = asyncio.Event(), asyncio.Event()
    fakes.let.set()
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


class SlowToStop(FakeActivities):
    """A batch that is cancelled takes its time."""

    told: asyncio.Event
    stops: asyncio.Event

    @activity.defn
    async def download_batch(self, request: DownloadBatch) -> BatchResult:
        self.batches.append(request)
        self.started.set()
        await held_up(self.stops, self.told)
        return BatchResult(outcomes=[available(wanted) for wanted in request.documents])


@pytest.mark.parametrize("verb", ["pause", "resume", "retry_failed"])
async def test_a_job_that_is_being_cancelled_refuses_steering(
    dev_server: WorkflowEnvironment, verb: str
) -> None:
    """(S23) Its batches stop for seconds; nothing that is accepted meanwhile could be done."""
    fakes = SlowToStop()
    fakes.told, fakes.stops = asyncio.Event(), asyncio.Event()
    async with workers(dev_server.client, fakes), asyncio.timeout(BOUND):
        job = await start(dev_server.client)
        await fakes.started.wait()
        await job.cancel()
        await fakes.told.wait()
        try:
            with pytest.raises(WorkflowUpdateFailedError) as refused:
                await steer(job, verb)
        finally:
            fakes.stops.set()
        with pytest.raises(WorkflowFailureError):
            await job.result()
    assert isinstance(refused.value.cause, ApplicationError)
    assert refused.value.cause.type == temporal_names.JOB_CLOSING


async def test_a_row_that_cannot_be_written_costs_no_document(
    dev_server: WorkflowEnvironment,
) -> None:
    """(S16) A defect in showing a pause ends neither the pause nor the job."""
    fakes = FakeActivities(gate=asyncio.Event(), troubles={"record_job": [INTERNAL_ERROR] * 100})
    async with workers(dev_server.client, fakes), asyncio.timeout(BOUND):
        job = await start(dev_server.client)
        await fakes.started.wait()
        await steer(job, "pause")
        assert fakes.gate is not None
        fakes.gate.set()
        while len(fakes.troubles["record_job"]) > 96:
            await asyncio.sleep(0.05)
        await steer(job, "resume")
        result = await job.result()
    assert (result.status, result.available) == (JobStatus.COMPLETED, 12)


async def test_a_wait_for_the_store_that_cannot_be_written_ends_all_the_same(
    skipping_server: WorkflowEnvironment,
) -> None:
    """(S16) The batch is done, and nothing is shown as waited for at the end."""
    fakes = FakeActivities(
        total=3,
        troubles={"download_batch": [STORAGE] * 6, "record_job": [INTERNAL_ERROR] * 100},
    )
    async with workers(skipping_server.client, fakes), asyncio.timeout(BOUND):
        job = await start(skipping_server.client)
        result = await job.result()
        progress = await job.query(DownloadProcessWorkflow.progress)
    assert (result.status, result.available) == (JobStatus.COMPLETED, 3)
    assert progress.waiting_for is None


async def test_an_ended_job_waits_for_nothing_anywhere(dev_server: WorkflowEnvironment) -> None:
    """(S16) Cancelled in a wait for the source: search attributes and Web UI say so, too."""
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


class StoreIsGone(FakeActivities):
    """No manifest can be put away any more."""

    @activity.defn
    async def close_job(self, request: CloseJob) -> ClosedJob:
        if not request.minimal:
            self.closed.append(request)
            raise ApplicationError("As scripted.", type=STORAGE)
        return await super().close_job(request)


async def test_a_store_that_stays_away_does_not_keep_the_end_from_the_records(
    skipping_server: WorkflowEnvironment,
) -> None:
    """(S16) The manifest is waited for as long as anything; then row and events come without it."""
    fakes = StoreIsGone(total=3)
    async with workers(skipping_server.client, fakes), asyncio.timeout(BOUND):
        job = await start(skipping_server.client, attach=Attach(subscription_id="one"))
        result = await job.result()
    assert result.status is JobStatus.COMPLETED
    assert (fakes.closed[-1].minimal, fakes.closed[-1].subscriptions) == (True, ["one"])
