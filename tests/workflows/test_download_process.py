"""The job's workflow on a real Temporal server, with scripted activities."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from temporalio import activity
from temporalio.api.enums.v1 import PendingActivityState
from temporalio.client import WorkflowFailureError, WorkflowHandle
from temporalio.exceptions import ApplicationError, CancelledError
from temporalio.testing import WorkflowEnvironment

from autos.contracts.download import (
    Attach,
    AwaitSource,
    BatchDocument,
    BatchResult,
    DocumentOutcome,
    DownloadBatch,
    FetchedProcess,
    JobOptions,
    JobResult,
    SourceCheck,
)
from autos.contracts.reasons import Doubt, Reason, WaitReason
from autos.contracts.retries import retry_rule
from autos.contracts.states import JobStatus
from autos.contracts.temporal_names import WAITING_FOR
from tests.workflows.fakes import FakeActivities, available, refused, start, steer, workers
from workflows.download_process import DownloadProcessWorkflow

BOUND = 180
FAST = JobOptions(retry_unit_seconds=0.01)


async def test_every_document_is_downloaded_in_batches_of_five(
    dev_server: WorkflowEnvironment,
) -> None:
    """F2: without any webhook, too."""
    fakes = FakeActivities(total=12)
    async with workers(dev_server.client, fakes):
        handle = await start(dev_server.client)
        result = await asyncio.wait_for(handle.result(), BOUND)
        progress = await handle.query(DownloadProcessWorkflow.progress)
    assert (result.status, result.available, result.total) == (JobStatus.COMPLETED, 12, 12)
    assert [len(batch.documents) for batch in fakes.batches] == [5, 5, 2]
    assert set(fakes.tries.values()) == {1}
    assert progress.percentage == 100
    assert result.job_id == handle.first_execution_run_id


async def test_one_failure_then_success_is_two_requests(dev_server: WorkflowEnvironment) -> None:
    """F3: "3 attempts" are really made."""

    def answer(wanted: BatchDocument) -> DocumentOutcome:
        if wanted.position == 3 and wanted.attempt == 1:
            return DocumentOutcome(position=3, reason=Reason.STUB)
        return available(wanted)

    fakes = FakeActivities(answer=answer)
    async with workers(dev_server.client, fakes):
        handle = await start(dev_server.client, FAST)
        result = await asyncio.wait_for(handle.result(), BOUND)
    assert result.status is JobStatus.COMPLETED
    assert fakes.tries[3] == 2
    assert sum(fakes.tries.values()) == 13


async def test_two_that_fail_for_good_end_the_job_with_failures(
    dev_server: WorkflowEnvironment,
) -> None:
    """F15: 2 good and 2 failed documents are an end, not `pending, 50 %` for ever."""

    def answer(wanted: BatchDocument) -> DocumentOutcome:
        if wanted.position < 2:
            return DocumentOutcome(position=wanted.position, reason=Reason.SECRET, final=True)
        return available(wanted)

    fakes = FakeActivities(total=4, answer=answer)
    async with workers(dev_server.client, fakes):
        handle = await start(dev_server.client)
        result = await asyncio.wait_for(handle.result(), BOUND)
    assert result.status is JobStatus.COMPLETED_WITH_FAILURES
    assert (result.available, result.failed) == (2, 2)


async def test_a_process_without_documents_completes(dev_server: WorkflowEnvironment) -> None:
    fakes = FakeActivities(total=0)
    async with workers(dev_server.client, fakes):
        handle = await start(dev_server.client)
        result = await asyncio.wait_for(handle.result(), BOUND)
        progress = await handle.query(DownloadProcessWorkflow.progress)
    assert (result.status, result.total, progress.percentage) == (JobStatus.COMPLETED, 0, 100)


@pytest.mark.parametrize("reason", [Reason.NOT_FOUND, Reason.NO_ACCESS])
async def test_no_metadata_is_an_honest_failure(
    dev_server: WorkflowEnvironment, reason: Reason
) -> None:
    fakes = FakeActivities(fetches=[FetchedProcess(reason=reason, final=True)])
    async with workers(dev_server.client, fakes):
        handle = await start(dev_server.client)
        result = await asyncio.wait_for(handle.result(), BOUND)
    assert (result.status, result.reason) == (JobStatus.FAILED, reason)
    assert fakes.closed[0].reason is reason


async def test_an_outage_uses_time_and_no_attempts(skipping_server: WorkflowEnvironment) -> None:
    """The source is down for hours, in the listing and again in the middle of the documents."""
    down = {"tries": 8}

    def answer(wanted: BatchDocument) -> DocumentOutcome:
        if wanted.position >= 5 and down["tries"] > 0:
            down["tries"] -= 1
            return DocumentOutcome(position=wanted.position, reason=Reason.UNAVAILABLE)
        return available(wanted)

    fakes = FakeActivities(
        answer=answer,
        fetches=[FetchedProcess(reason=Reason.UNAVAILABLE)] * 2,
        probes=[*([Reason.TIMEOUT] * 40), None] * 3,
    )
    async with workers(skipping_server.client, fakes):
        handle = await start(skipping_server.client)
        result = await asyncio.wait_for(handle.result(), BOUND)
    assert (result.status, result.available) == (JobStatus.COMPLETED, 12)
    # Tried in the outage and once after it: no third attempt was ever counted.
    attempts = [wanted.attempt for batch in fakes.batches for wanted in batch.documents]
    assert max(attempts) <= 2
    assert {request.waiting_for for request in fakes.probed} == {WaitReason.SOURCE, None}
    assert not fakes.probes


@pytest.mark.parametrize("every", [1, 3])
async def test_what_our_own_breaker_holds_back_uses_no_attempts(
    skipping_server: WorkflowEnvironment, every: int
) -> None:
    """Held back far more often than a document may fail, alone or beside others that arrive."""
    left = dict.fromkeys(range(0, 12, every), 30)

    def answer(wanted: BatchDocument) -> DocumentOutcome:
        if left.get(wanted.position, 0):
            left[wanted.position] -= 1
            return DocumentOutcome(
                position=wanted.position,
                reason=Reason.UNAVAILABLE,
                retry_after_seconds=5,
                unsent=True,
            )
        return available(wanted)

    fakes = FakeActivities(answer=answer, probes=[Reason.UNAVAILABLE] * 5)
    async with workers(skipping_server.client, fakes):
        handle = await start(skipping_server.client)
        result = await asyncio.wait_for(handle.result(), BOUND)
    assert (result.status, result.available) == (JobStatus.COMPLETED, 12)
    assert {wanted.attempt for batch in fakes.batches for wanted in batch.documents} == {1}
    assert fakes.probed


async def test_a_document_that_always_answers_with_retry_after_uses_its_attempts(
    skipping_server: WorkflowEnvironment,
) -> None:
    """(S16) Its own `Retry-After` holds the probe back, which shows no outage."""

    def answer(wanted: BatchDocument) -> DocumentOutcome:
        if wanted.position == 3:
            return DocumentOutcome(position=3, reason=Reason.RATE_LIMITED, retry_after_seconds=5)
        return available(wanted)

    fakes = FakeActivities(
        total=5, answer=answer, probes=[Reason.RATE_LIMITED, None] * 20, held_back=True
    )
    async with workers(skipping_server.client, fakes):
        handle = await start(skipping_server.client)
        result = await asyncio.wait_for(handle.result(), BOUND)
    assert (result.status, result.failed) == (JobStatus.COMPLETED_WITH_FAILURES, 1)
    assert fakes.tries[3] <= retry_rule(Reason.RATE_LIMITED).attempts


async def test_a_batch_in_which_one_came_through_puts_no_source_in_doubt(
    dev_server: WorkflowEnvironment,
) -> None:
    """Decision 0002: the source answers, so it is asked again on the schedule, without a probe."""

    def answer(wanted: BatchDocument) -> DocumentOutcome:
        if wanted.position == 3 and wanted.attempt == 1:
            return DocumentOutcome(position=3, reason=Reason.TIMEOUT)
        return available(wanted)

    fakes = FakeActivities(total=5, answer=answer)
    async with workers(dev_server.client, fakes):
        handle = await start(dev_server.client, FAST)
        result = await asyncio.wait_for(handle.result(), BOUND)
    assert (result.status, result.available) == (JobStatus.COMPLETED, 5)
    assert fakes.tries[3] == 2
    assert fakes.probed == []


class LateBatch(FakeActivities):
    """The second batch is asked in an outage, too, and comes back when it is told to."""

    late: asyncio.Event

    @activity.defn
    async def download_batch(self, request: DownloadBatch) -> BatchResult:
        result = await super().download_batch(request)
        if request.batch != 2:
            return result
        waiting = asyncio.ensure_future(self.late.wait())
        while not waiting.done():
            activity.heartbeat()
            await asyncio.wait([waiting], timeout=0.1)
        return BatchResult(
            outcomes=[
                DocumentOutcome(position=wanted.position, reason=Reason.TIMEOUT)
                for wanted in request.documents
            ]
        )


@pytest.mark.parametrize("after_it", [True, False])
async def test_a_batch_that_comes_back_late_from_an_outage_uses_no_attempts(
    dev_server: WorkflowEnvironment, after_it: bool
) -> None:
    """The batch handed over ahead ends while the job waits, or when it is at work again."""
    down, late = asyncio.Event(), asyncio.Event()
    down.set()
    fakes = LateBatch(
        answer=lambda wanted: (
            DocumentOutcome(position=wanted.position, reason=Reason.TIMEOUT)
            if down.is_set()
            else available(wanted)
        ),
        probes=[Reason.UNAVAILABLE],
    )
    fakes.late = late
    async with workers(dev_server.client, fakes), asyncio.timeout(BOUND):
        handle = await start(dev_server.client, JobOptions(retry_unit_seconds=10_000))
        while (await handle.query(DownloadProcessWorkflow.progress)).waiting_for is None:
            await asyncio.sleep(0.05)
        if not after_it:
            late.set()
            while (await handle.query(DownloadProcessWorkflow.progress)).processing:
                await asyncio.sleep(0.05)
        down.clear()
        await steer(handle, "resume")
        while after_it and (await handle.query(DownloadProcessWorkflow.progress)).available < 7:
            await asyncio.sleep(0.05)
        late.set()
        result = await handle.result()
    assert (result.status, result.available) == (JobStatus.COMPLETED, 12)
    assert {wanted.attempt for batch in fakes.batches for wanted in batch.documents} == {1}
    assert len(fakes.probed) == 2


@pytest.mark.parametrize("in_listing", [True, False])
async def test_only_the_try_that_somebody_asked_for_is_urgent(
    dev_server: WorkflowEnvironment, in_listing: bool
) -> None:
    """`resume` gets through an open breaker at once; a job's own tries await its time."""
    down = asyncio.Event()
    down.set()
    fakes = FakeActivities(
        answer=lambda wanted: (
            DocumentOutcome(position=wanted.position, reason=Reason.TIMEOUT)
            if down.is_set()
            else available(wanted)
        ),
        fetches=[FetchedProcess(reason=Reason.UNAVAILABLE)] if in_listing else [],
        probes=[Reason.UNAVAILABLE],
    )
    if in_listing:
        down.clear()
    async with workers(dev_server.client, fakes):
        handle = await start(dev_server.client, JobOptions(retry_unit_seconds=10_000))
        progress = await handle.query(DownloadProcessWorkflow.progress)
        async with asyncio.timeout(BOUND):
            while progress.waiting_for is not WaitReason.SOURCE:
                progress = await handle.query(DownloadProcessWorkflow.progress)
        down.clear()
        await steer(handle, "resume")
        result = await asyncio.wait_for(handle.result(), BOUND)
    assert result.status is JobStatus.COMPLETED
    assert [request.urgent for request in fakes.probed] == [False, True]


async def test_a_source_that_never_comes_back_ends_the_job_with_its_reason(
    skipping_server: WorkflowEnvironment,
) -> None:
    fakes = FakeActivities(fetches=[FetchedProcess(reason=Reason.UNAVAILABLE)] * 100_000)
    async with workers(skipping_server.client, fakes):
        handle = await start(skipping_server.client, JobOptions(retry_unit_seconds=200))
        result = await asyncio.wait_for(handle.result(), BOUND)
    assert (result.status, result.reason) == (JobStatus.FAILED, Reason.UNAVAILABLE)


async def test_a_job_that_gives_up_keeps_what_it_has(skipping_server: WorkflowEnvironment) -> None:
    """`failed` is said only where there is not one document."""

    def answer(wanted: BatchDocument) -> DocumentOutcome:
        if wanted.position < 5:
            return available(wanted)
        return DocumentOutcome(position=wanted.position, reason=Reason.UNAVAILABLE)

    probes = [Reason.UNAVAILABLE] * 10_000
    fakes = FakeActivities(answer=answer, probes=probes)
    async with workers(skipping_server.client, fakes):
        handle = await start(skipping_server.client, JobOptions(retry_unit_seconds=200))
        result = await asyncio.wait_for(handle.result(), BOUND)
    assert result.status is JobStatus.COMPLETED_WITH_FAILURES
    assert (result.reason, result.available, result.failed) == (Reason.UNAVAILABLE, 5, 7)


async def test_a_dead_credential_is_a_wait_that_a_signal_ends(
    dev_server: WorkflowEnvironment,
) -> None:
    """F16: a dead token pauses the job; it fails no document."""
    alive = asyncio.Event()

    def answer(wanted: BatchDocument) -> DocumentOutcome:
        if wanted.position >= 5 and not alive.is_set():
            return DocumentOutcome(position=wanted.position, reason=Reason.CREDENTIAL)
        return available(wanted)

    fakes = FakeActivities(answer=answer, probes=[Reason.CREDENTIAL])
    async with workers(dev_server.client, fakes):
        handle = await start(dev_server.client, JobOptions(retry_unit_seconds=10_000))
        progress = await handle.query(DownloadProcessWorkflow.progress)
        async with asyncio.timeout(BOUND):
            while progress.waiting_for is not WaitReason.CREDENTIAL or progress.processing:
                progress = await handle.query(DownloadProcessWorkflow.progress)
        assert progress.status is JobStatus.PROCESSING
        assert (progress.available, progress.failed, progress.pending) == (5, 0, 7)
        alive.set()
        await handle.signal(DownloadProcessWorkflow.credential_changed)
        result = await asyncio.wait_for(handle.result(), BOUND)
    assert (result.status, result.available) == (JobStatus.COMPLETED, 12)
    assert max(wanted.attempt for batch in fakes.batches for wanted in batch.documents) == 1


async def test_a_refusal_of_one_document_alone_does_not_wait_for_ever(
    dev_server: WorkflowEnvironment,
) -> None:
    """The credential works for everything else: the probe says so, and the attempts count."""

    def answer(wanted: BatchDocument) -> DocumentOutcome:
        if wanted.position == 7:
            return DocumentOutcome(position=7, reason=Reason.CREDENTIAL)
        return available(wanted)

    fakes = FakeActivities(answer=answer)
    async with workers(dev_server.client, fakes):
        handle = await start(dev_server.client, FAST)
        result = await asyncio.wait_for(handle.result(), BOUND)
    assert (result.status, result.failed) == (JobStatus.COMPLETED_WITH_FAILURES, 1)
    assert fakes.tries[7] == len(fakes.probed) == 3


class SlowProbe(FakeActivities):
    """Whether the source works is answered only when the test says so."""

    answered: asyncio.Event

    @activity.defn
    async def await_source(self, request: AwaitSource) -> SourceCheck:
        self.probed.append(request)
        waiting = asyncio.ensure_future(self.answered.wait())
        while not waiting.done():
            activity.heartbeat()
            await asyncio.wait([waiting], timeout=0.1)
        return SourceCheck()


async def test_the_others_go_on_while_one_refusal_is_looked_into(
    dev_server: WorkflowEnvironment,
) -> None:
    """(S1) A 401 puts one document in doubt; the job's other batches do not wait for the answer."""

    def answer(wanted: BatchDocument) -> DocumentOutcome:
        if wanted.position == 2:
            return DocumentOutcome(position=2, reason=Reason.CREDENTIAL)
        return available(wanted)

    fakes = SlowProbe(total=40, answer=answer)
    fakes.answered = asyncio.Event()
    async with workers(dev_server.client, fakes), asyncio.timeout(BOUND):
        handle = await start(dev_server.client, FAST)
        while (await handle.query(DownloadProcessWorkflow.progress)).available < 39:
            await asyncio.sleep(0.05)
        assert (len(fakes.probed), fakes.tries[2]) == (1, 1)
        fakes.answered.set()
        result = await handle.result()
    assert (result.status, result.failed) == (JobStatus.COMPLETED_WITH_FAILURES, 1)
    assert fakes.tries[2] == len(fakes.probed) == 3


async def test_nothing_more_is_asked_while_all_are_refused(dev_server: WorkflowEnvironment) -> None:
    """(S1) Where no document comes through, the credential is looked at first."""
    fakes = SlowProbe(total=40, answer=refused(Reason.CREDENTIAL))
    fakes.answered = asyncio.Event()
    async with workers(dev_server.client, fakes), asyncio.timeout(BOUND):
        handle = await start(dev_server.client, FAST)
        while (await handle.query(DownloadProcessWorkflow.progress)).pending < 40:
            await asyncio.sleep(0.05)
        assert len(fakes.batches) == 2
        fakes.answer = available
        fakes.answered.set()
        assert (await handle.result()).available == 40


async def test_a_document_in_doubt_counts_as_available_and_is_asked_for_again(
    dev_server: WorkflowEnvironment,
) -> None:
    """(S2) `retry_failed` asks for those in doubt and those that failed, and for no others."""
    opened = asyncio.Event()

    def answer(wanted: BatchDocument) -> DocumentOutcome:
        if wanted.position == 1 and not opened.is_set():
            return DocumentOutcome(position=1, size=9, doubt=Doubt.SIZE_MISMATCH)
        if wanted.position == 3 and not opened.is_set():
            return DocumentOutcome(position=3, reason=Reason.SECRET, final=True)
        if wanted.position == 5 and wanted.attempt == 1:
            return DocumentOutcome(position=5, reason=Reason.EMPTY)
        return available(wanted)

    fakes = FakeActivities(total=6, answer=answer)
    async with workers(dev_server.client, fakes), asyncio.timeout(BOUND):
        handle = await start(dev_server.client, JobOptions(retry_unit_seconds=100_000))
        while (progress := await handle.query(DownloadProcessWorkflow.progress)).available < 4:
            await asyncio.sleep(0.05)
        assert (progress.states[1], progress.doubtful, progress.failed) == ("q", 1, 1)
        opened.set()
        again = await steer(handle, "retry_failed")
        assert (again.available, again.doubtful, again.failed, again.pending) == (3, 0, 0, 3)
        await steer(handle, "resume")
        result = await handle.result()
    assert (result.status, result.available, result.doubtful) == (JobStatus.COMPLETED, 6, 0)
    assert {position for position, tries in fakes.tries.items() if tries == 2} == {1, 3, 5}


async def test_counters_always_sum_and_the_percentage_never_falls(
    dev_server: WorkflowEnvironment,
) -> None:
    def answer(wanted: BatchDocument) -> DocumentOutcome:
        if wanted.position % 7 == 0 and wanted.attempt < 3:
            return DocumentOutcome(position=wanted.position, reason=Reason.EMPTY)
        return available(wanted)

    fakes = FakeActivities(total=150, answer=answer)
    async with workers(dev_server.client, fakes):
        handle = await start(dev_server.client, FAST)
        last, polls = 0.0, 0
        async with asyncio.timeout(BOUND):
            while last < 100:
                progress = await handle.query(DownloadProcessWorkflow.progress)
                counters = (
                    progress.pending,
                    progress.processing,
                    progress.available,
                    progress.failed,
                )
                assert sum(counters) == progress.total == len(progress.states)
                assert progress.percentage >= last
                last, polls = progress.percentage, polls + 1
        await asyncio.wait_for(handle.result(), BOUND)
    assert polls > 5


async def test_a_long_job_continues_as_new_with_the_same_answer(
    dev_server: WorkflowEnvironment,
) -> None:
    def answer(wanted: BatchDocument) -> DocumentOutcome:
        if wanted.position == 4:
            return DocumentOutcome(position=4, reason=Reason.NOT_FOUND, final=True)
        if wanted.position % 10 == 0 and wanted.attempt == 1:
            return DocumentOutcome(position=wanted.position, reason=Reason.TRUNCATED)
        return available(wanted)

    fakes = FakeActivities(total=120, answer=answer)
    job_options = JobOptions(retry_unit_seconds=0.01, continue_as_new_after=40)
    async with workers(dev_server.client, fakes):
        handle = await start(dev_server.client, job_options)
        result = await asyncio.wait_for(handle.result(), BOUND)
        final = dev_server.client.get_workflow_handle(handle.id)
        description = await final.describe()
        progress = await final.query(DownloadProcessWorkflow.progress)
    assert description.run_id != handle.first_execution_run_id
    assert (result.job_id, result.total) == (handle.first_execution_run_id, 120)
    assert (result.available, result.failed) == (119, 1)
    assert progress.states == "aaaaf" + "a" * 115
    assert len(fakes.fetched) == len(fakes.closed) == 1
    assert all(tries == (2 if position % 10 == 0 else 1) for position, tries in fakes.tries.items())


async def test_a_cancelled_job_ends_cancelled_after_its_requests_stopped(
    dev_server: WorkflowEnvironment,
) -> None:
    fakes = FakeActivities(gate=asyncio.Event())
    async with workers(dev_server.client, fakes):
        handle = await start(dev_server.client)
        await asyncio.wait_for(fakes.started.wait(), BOUND)
        await handle.cancel()
        with pytest.raises(WorkflowFailureError):
            await asyncio.wait_for(handle.result(), BOUND)
        progress = await handle.query(DownloadProcessWorkflow.progress)
    assert fakes.cancelled_batches == 2
    assert [closed.status for closed in fakes.closed] == [JobStatus.CANCELLED]
    assert progress.status is JobStatus.CANCELLED


@pytest.mark.parametrize("dies", [False, True])
async def test_a_cancel_that_does_not_reach_the_activity_cancels_the_job(
    dev_server: WorkflowEnvironment, dies: bool
) -> None:
    """F11: the activity ends well all the same, or its worker dies; there is an end either way."""
    gate = asyncio.Event()

    async def without_heartbeat() -> None:
        await gate.wait()
        if dies:
            # To the workflow it is all one whether it failed or was missed.
            raise ApplicationError("The worker died")

    fakes = FakeActivities(listing=without_heartbeat)
    async with workers(dev_server.client, fakes):
        handle = await start(dev_server.client, attach=Attach(subscription_id="one"))
        async with asyncio.timeout(BOUND):
            while not fakes.fetched:
                await asyncio.sleep(0.01)
            await handle.cancel()
            while await pending_state(handle) != "CANCEL_REQUESTED":
                await asyncio.sleep(0.01)
        gate.set()
        with pytest.raises(WorkflowFailureError) as failure:
            await asyncio.wait_for(handle.result(), BOUND)
    assert isinstance(failure.value.cause, CancelledError)
    assert not fakes.batches
    (closed,) = fakes.closed
    assert (closed.status, closed.subscriptions) == (JobStatus.CANCELLED, ["one"])


async def pending_state(handle: WorkflowHandle[DownloadProcessWorkflow, JobResult]) -> str:
    """The state of the activity that the workflow waits for."""
    description = (await handle.describe()).raw_description
    state = description.pending_activities[0].state
    return PendingActivityState.Name(state).removeprefix("PENDING_ACTIVITY_STATE_")


async def test_pause_stops_new_batches_and_resume_goes_on(dev_server: WorkflowEnvironment) -> None:
    fakes = FakeActivities(gate=asyncio.Event())
    async with workers(dev_server.client, fakes):
        handle = await start(dev_server.client)
        await asyncio.wait_for(fakes.started.wait(), BOUND)
        await steer(handle, "pause")
        assert fakes.gate is not None
        fakes.gate.set()
        progress = await handle.query(DownloadProcessWorkflow.progress)
        async with asyncio.timeout(BOUND):
            while progress.waiting_for is not WaitReason.OPERATOR or progress.processing:
                progress = await handle.query(DownloadProcessWorkflow.progress)
        assert len(fakes.batches) == 2
        await steer(handle, "resume")
        result = await asyncio.wait_for(handle.result(), BOUND)
    assert result.available == 12


async def test_a_second_caller_joins_the_running_job(dev_server: WorkflowEnvironment) -> None:
    """F6, F11: one job, and the second caller's webhook is not lost."""
    fakes = FakeActivities(gate=asyncio.Event())
    number = "99900012120244036100"
    async with workers(dev_server.client, fakes):
        first = await start(dev_server.client, attach=Attach(subscription_id="one"), number=number)
        second = await start(dev_server.client, attach=Attach(subscription_id="two"), number=number)
        assert fakes.gate is not None
        fakes.gate.set()
        await asyncio.wait_for(first.result(), BOUND)
    assert second.id == first.id
    assert [closed.subscriptions for closed in fakes.closed] == [["one", "two"]]
    assert set(fakes.tries.values()) == {1}


async def test_a_wish_for_fresh_metadata_while_the_job_runs_is_kept(
    dev_server: WorkflowEnvironment,
) -> None:
    """F24: `force_refresh` refreshes, also when a job is running already."""
    fakes = FakeActivities(gate=asyncio.Event())
    number = "99900028620248260100"
    async with workers(dev_server.client, fakes):
        handle = await start(dev_server.client, number=number)
        await asyncio.wait_for(fakes.started.wait(), BOUND)
        fakes.fetches = [FetchedProcess(states="a" * 12 + "p", fetched_at=datetime.now(UTC))]
        await start(dev_server.client, attach=Attach(max_age_seconds=0), number=number)
        assert fakes.gate is not None
        fakes.gate.set()
        result = await asyncio.wait_for(handle.result(), BOUND)
    assert result.available == 13
    assert [request.max_age_seconds for request in fakes.fetched] == [86_400, 0]
    assert len(fakes.closed) == 1


async def test_all_documents_failing_is_a_failed_job(dev_server: WorkflowEnvironment) -> None:
    fakes = FakeActivities(answer=refused(Reason.SHELL))
    async with workers(dev_server.client, fakes):
        handle = await start(dev_server.client, FAST)
        result = await asyncio.wait_for(handle.result(), BOUND)
    assert (result.status, result.failed) == (JobStatus.FAILED, 12)


async def test_a_document_costs_at_most_1_3_events(dev_server: WorkflowEnvironment) -> None:
    """The history stays short, so that a job rarely has to continue as new."""
    lengths = {}
    for total in (50, 250):
        async with workers(dev_server.client, FakeActivities(total=total)):
            handle = await start(dev_server.client)
            await asyncio.wait_for(handle.result(), BOUND)
        lengths[total] = len((await handle.fetch_history()).events)
    # The difference leaves out what a job costs whatever its size.
    assert (lengths[250] - lengths[50]) / 200 <= 1.3


async def test_a_late_subscriber_of_a_cancelled_job_is_told(
    dev_server: WorkflowEnvironment,
) -> None:
    """F11: attached while the job was closing, whatever the ending."""
    fakes = FakeActivities(gate=asyncio.Event(), closing=asyncio.Event())
    async with workers(dev_server.client, fakes):
        handle = await start(dev_server.client)
        await asyncio.wait_for(fakes.started.wait(), BOUND)
        await handle.cancel()
        async with asyncio.timeout(BOUND):
            await fakes.closes.wait()
            await handle.signal(DownloadProcessWorkflow.attach, Attach(subscription_id="late"))
            assert fakes.closing is not None
            fakes.closing.set()
            with pytest.raises(WorkflowFailureError):
                await handle.result()
    assert [closed.subscriptions for closed in fakes.closed] == [[], ["late"]]


async def test_a_held_copy_does_not_answer_a_stricter_wish(dev_server: WorkflowEnvironment) -> None:
    """F24: the copy the job began with was an hour old; who asks for a fresh one gets it."""
    held = datetime.now(UTC) - timedelta(hours=1)
    fakes = FakeActivities(
        gate=asyncio.Event(), fetches=[FetchedProcess(states="p" * 12, fetched_at=held)]
    )
    number = "99900028620248260100"
    async with workers(dev_server.client, fakes):
        handle = await start(dev_server.client, number=number)
        await asyncio.wait_for(fakes.started.wait(), BOUND)
        await start(dev_server.client, attach=Attach(max_age_seconds=60), number=number)
        assert fakes.gate is not None
        fakes.gate.set()
        await asyncio.wait_for(handle.result(), BOUND)
    assert [request.max_age_seconds for request in fakes.fetched] == [86_400, 60]


async def test_a_fresh_wish_while_closing_makes_it_a_running_job_again(
    dev_server: WorkflowEnvironment,
) -> None:
    """The row and the status say so, and what had failed is tried once more."""
    fakes = FakeActivities(total=3, closing=asyncio.Event())
    async with workers(dev_server.client, fakes):
        handle = await start(dev_server.client)
        async with asyncio.timeout(BOUND):
            await fakes.closes.wait()
            late = Attach(subscription_id="late", max_age_seconds=0)
            await handle.signal(DownloadProcessWorkflow.attach, late)
            assert fakes.closing is not None
            fakes.closing.set()
            result = await handle.result()
    assert result.status is JobStatus.COMPLETED
    assert [request.again for request in fakes.fetched] == [False, True]
    assert [record.status for record in fakes.recorded] == [JobStatus.PROCESSING]
    assert [closed.subscriptions for closed in fakes.closed] == [[], ["late"]]


async def test_a_cancel_while_closing_stops_what_was_still_wished(
    dev_server: WorkflowEnvironment,
) -> None:
    fakes = FakeActivities(total=3, closing=asyncio.Event())
    async with workers(dev_server.client, fakes):
        handle = await start(dev_server.client)
        async with asyncio.timeout(BOUND):
            await fakes.closes.wait()
            late = Attach(subscription_id="late", max_age_seconds=0)
            await handle.signal(DownloadProcessWorkflow.attach, late)
            await handle.cancel()
            assert fakes.closing is not None
            fakes.closing.set()
            with pytest.raises(WorkflowFailureError):
                await handle.result()
    assert len(fakes.fetched) == 1
    assert [closed.status for closed in fakes.closed] == [None, JobStatus.CANCELLED]


async def test_resume_ends_the_wait_for_a_retry(dev_server: WorkflowEnvironment) -> None:
    def answer(wanted: BatchDocument) -> DocumentOutcome:
        if wanted.position == 2 and wanted.attempt == 1:
            return DocumentOutcome(position=2, reason=Reason.EMPTY)
        return available(wanted)

    fakes = FakeActivities(total=3, answer=answer)
    async with workers(dev_server.client, fakes):
        handle = await start(dev_server.client, JobOptions(retry_unit_seconds=10_000))
        async with asyncio.timeout(BOUND):
            while not (await handle.query(DownloadProcessWorkflow.progress)).retries:
                await asyncio.sleep(0.05)
            await steer(handle, "resume")
            result = await handle.result()
    assert result.available == 3
    assert fakes.tries[2] == 2


async def test_a_wait_is_over_after_continuing_as_new(dev_server: WorkflowEnvironment) -> None:
    """What the run before waited for is asked about; the wait does not stay in the status."""
    down = {"tries": 5}

    def answer(wanted: BatchDocument) -> DocumentOutcome:
        if down["tries"] > 0:
            down["tries"] -= 1
            return DocumentOutcome(position=wanted.position, reason=Reason.UNAVAILABLE)
        return available(wanted)

    probes = [Reason.TIMEOUT] * 3
    fakes = FakeActivities(total=5, answer=answer, probes=probes)
    job_options = JobOptions(retry_unit_seconds=0.01, continue_as_new_after=30)
    async with workers(dev_server.client, fakes):
        handle = await start(dev_server.client, job_options)
        result = await asyncio.wait_for(handle.result(), BOUND)
        final = await dev_server.client.get_workflow_handle(handle.id).describe()
    assert (result.status, result.available) == (JobStatus.COMPLETED, 5)
    assert final.run_id != handle.first_execution_run_id
    assert final.typed_search_attributes.get(WAITING_FOR) is None


async def test_every_activity_is_missed_within_seconds_when_its_worker_dies(
    dev_server: WorkflowEnvironment,
) -> None:
    """F5: the one that ends the job, too, which else would be waited for for minutes."""

    def answer(wanted: BatchDocument) -> DocumentOutcome:
        if wanted.position == 3 and len(fakes.batches) == 1:
            return DocumentOutcome(position=3, reason=Reason.CREDENTIAL)
        return available(wanted)

    fakes = FakeActivities(total=5, answer=answer, probes=[Reason.CREDENTIAL])
    async with workers(dev_server.client, fakes):
        handle = await start(dev_server.client, FAST)
        await steer(handle, "pause")
        async with asyncio.timeout(BOUND):
            while not fakes.recorded:
                await asyncio.sleep(0.01)
        await steer(handle, "resume")
        await asyncio.wait_for(handle.result(), BOUND)
    history = await handle.fetch_history()
    timeouts = {
        event.activity_task_scheduled_event_attributes.activity_type.name: (
            event.activity_task_scheduled_event_attributes.heartbeat_timeout.ToTimedelta()
        )
        for event in history.events
        if event.HasField("activity_task_scheduled_event_attributes")
    }
    assert timeouts == dict.fromkeys(
        ("fetch_process", "download_batch", "await_source", "record_job", "close_job"),
        timedelta(seconds=15),
    )
