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
    """F2: without a webhook."""
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


async def test_failed_document_is_requested_again(dev_server: WorkflowEnvironment) -> None:
    """F3: the allowed attempts are made."""

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


async def test_final_failures_end_the_job_as_completed_with_failures(
    dev_server: WorkflowEnvironment,
) -> None:
    """F15: with 2 stored and 2 failed documents the job has ended; it does not stay pending."""

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


async def test_process_without_documents_completes(dev_server: WorkflowEnvironment) -> None:
    fakes = FakeActivities(total=0)
    async with workers(dev_server.client, fakes):
        handle = await start(dev_server.client)
        result = await asyncio.wait_for(handle.result(), BOUND)
        progress = await handle.query(DownloadProcessWorkflow.progress)
    assert (result.status, result.total, progress.percentage) == (JobStatus.COMPLETED, 0, 100)


@pytest.mark.parametrize("reason", [Reason.NOT_FOUND, Reason.NO_ACCESS])
async def test_refused_metadata_fail_the_job_with_the_reason(
    dev_server: WorkflowEnvironment, reason: Reason
) -> None:
    fakes = FakeActivities(fetches=[FetchedProcess(reason=reason, final=True)])
    async with workers(dev_server.client, fakes):
        handle = await start(dev_server.client)
        result = await asyncio.wait_for(handle.result(), BOUND)
    assert (result.status, result.reason) == (JobStatus.FAILED, reason)
    assert fakes.closed[0].reason is reason


async def test_outage_uses_no_attempts(skipping_server: WorkflowEnvironment) -> None:
    """The source is down for hours, at the listing and again between documents."""
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
    # Requested during the outage and once after it: no third attempt is counted.
    attempts = [wanted.attempt for batch in fakes.batches for wanted in batch.documents]
    assert max(attempts) <= 2
    assert {request.waiting_for for request in fakes.probed} == {WaitReason.SOURCE, None}
    assert not fakes.probes


@pytest.mark.parametrize("every", [1, 3])
async def test_requests_held_back_by_the_breaker_use_no_attempts(
    skipping_server: WorkflowEnvironment, every: int
) -> None:
    """They are held back more often than a document may fail."""
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


async def test_document_that_always_returns_retry_after_uses_its_attempts(
    skipping_server: WorkflowEnvironment,
) -> None:
    """(S16) Its `Retry-After` holds back the check, which is no sign of an outage."""

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


async def test_batch_with_a_success_causes_no_check_of_the_source(
    dev_server: WorkflowEnvironment,
) -> None:
    """Decision 0002: the source works, so the retry follows the schedule without a check."""

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
    """The second batch meets the outage as well, and ends when the test allows it."""

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
async def test_batch_that_ends_late_in_an_outage_uses_no_attempts(
    dev_server: WorkflowEnvironment, after_it: bool
) -> None:
    """The prefetched batch ends while the job waits, or after the job has continued."""
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
async def test_only_a_requested_check_is_urgent(
    dev_server: WorkflowEnvironment, in_listing: bool
) -> None:
    """`resume` passes an open breaker at once; a job's own checks wait for it."""
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


async def test_endless_outage_ends_the_job_with_its_reason(
    skipping_server: WorkflowEnvironment,
) -> None:
    fakes = FakeActivities(fetches=[FetchedProcess(reason=Reason.UNAVAILABLE)] * 100_000)
    async with workers(skipping_server.client, fakes):
        handle = await start(skipping_server.client, JobOptions(retry_unit_seconds=200))
        result = await asyncio.wait_for(handle.result(), BOUND)
    assert (result.status, result.reason) == (JobStatus.FAILED, Reason.UNAVAILABLE)


async def test_job_that_gives_up_keeps_its_stored_documents(
    skipping_server: WorkflowEnvironment,
) -> None:
    """A job is `failed` only if no document is stored."""

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


async def test_refused_credential_pauses_the_job_until_it_changes(
    dev_server: WorkflowEnvironment,
) -> None:
    """F16: no document fails."""
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


async def test_credential_refused_for_one_document_fails_only_that_document(
    dev_server: WorkflowEnvironment,
) -> None:
    """The check shows that the credential works, so the attempts count."""

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
    """The check of the source ends only when the test allows it."""

    answered: asyncio.Event

    @activity.defn
    async def await_source(self, request: AwaitSource) -> SourceCheck:
        self.probed.append(request)
        waiting = asyncio.ensure_future(self.answered.wait())
        while not waiting.done():
            activity.heartbeat()
            await asyncio.wait([waiting], timeout=0.1)
        return SourceCheck()


async def test_other_documents_continue_during_the_check_of_a_refusal(
    dev_server: WorkflowEnvironment,
) -> None:
    """(S1) A 401 concerns one document; the job's other batches do not wait for the check."""

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


async def test_no_batch_starts_while_every_document_is_refused(
    dev_server: WorkflowEnvironment,
) -> None:
    """(S1) If no document succeeds, the credential is checked first."""
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


async def test_doubtful_document_counts_as_available_and_is_retried(
    dev_server: WorkflowEnvironment,
) -> None:
    """(S2) `retry_failed` requests doubtful and failed documents, and no others."""
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


async def test_counters_sum_to_the_total_and_percentage_never_falls(
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


async def test_long_job_continues_as_new_with_the_same_result(
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


async def test_cancelled_job_ends_after_its_requests_stopped(
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
async def test_job_is_cancelled_even_if_its_activity_is_not(
    dev_server: WorkflowEnvironment, dies: bool
) -> None:
    """F11: the activity succeeds, or its worker dies; the job ends in both cases."""
    gate = asyncio.Event()

    async def without_heartbeat() -> None:
        await gate.wait()
        if dies:
            # The workflow handles a failure and a missed heartbeat alike.
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


async def test_pause_stops_new_batches_and_resume_continues(
    dev_server: WorkflowEnvironment,
) -> None:
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


async def test_second_caller_joins_the_running_job(dev_server: WorkflowEnvironment) -> None:
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


async def test_request_for_fresh_metadata_during_a_job_is_served(
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


async def test_job_whose_documents_all_fail_is_failed(dev_server: WorkflowEnvironment) -> None:
    fakes = FakeActivities(answer=refused(Reason.SHELL))
    async with workers(dev_server.client, fakes):
        handle = await start(dev_server.client, FAST)
        result = await asyncio.wait_for(handle.result(), BOUND)
    assert (result.status, result.failed) == (JobStatus.FAILED, 12)


async def test_document_costs_at_most_1_3_history_events(dev_server: WorkflowEnvironment) -> None:
    """A short history makes continue-as-new rare."""
    lengths = {}
    for total in (50, 250):
        async with workers(dev_server.client, FakeActivities(total=total)):
            handle = await start(dev_server.client)
            await asyncio.wait_for(handle.result(), BOUND)
        lengths[total] = len((await handle.fetch_history()).events)
    # The difference excludes the fixed costs of a job.
    assert (lengths[250] - lengths[50]) / 200 <= 1.3


async def test_late_subscriber_of_a_cancelled_job_is_notified(
    dev_server: WorkflowEnvironment,
) -> None:
    """F11: it is attached while the job closes."""
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


async def test_stored_metadata_do_not_serve_a_stricter_max_age(
    dev_server: WorkflowEnvironment,
) -> None:
    """F24: the job began with metadata that were an hour old; a fresh copy is fetched."""
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


async def test_request_for_fresh_metadata_while_closing_reopens_the_job(
    dev_server: WorkflowEnvironment,
) -> None:
    """Row and status show it, and failed documents are retried."""
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


async def test_cancellation_while_closing_drops_the_open_request(
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


async def test_resume_makes_a_waiting_retry_at_once(dev_server: WorkflowEnvironment) -> None:
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


async def test_wait_ends_after_continue_as_new(dev_server: WorkflowEnvironment) -> None:
    """The new run checks what the previous one waited for, and the wait is not left over."""
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


async def test_every_activity_has_a_heartbeat_timeout(
    dev_server: WorkflowEnvironment,
) -> None:
    """F5: without it, the activity of a dead worker would be missed only after minutes."""

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
