"""Waits: their history events, their end, and their state across pauses and runs."""

import asyncio
from dataclasses import dataclass
from datetime import datetime, timedelta

import pytest
from temporalio import activity
from temporalio.client import WorkflowUpdateFailedError
from temporalio.exceptions import ApplicationError
from temporalio.testing import WorkflowEnvironment

from autos.contracts.download import Attach, FetchedProcess, JobOptions, Steer
from autos.contracts.reasons import Reason, WaitReason
from autos.contracts.retries import PATIENCE, retry_rule
from autos.contracts.states import JobStatus
from autos.contracts.temporal_names import JOB_CLOSING, JOB_ENDED
from tests.workflows.fakes import FakeActivities, refused, start, steer, workers
from tests.workflows.test_steering import NEVER, Job, until_waiting
from workflows.download_process import DownloadProcessWorkflow

BOUND = 180
DAY = timedelta(days=1)


@dataclass
class DownFor(FakeActivities):
    """The source is down for this time from the first check on."""

    outage: timedelta = DAY
    reason: Reason = Reason.UNAVAILABLE
    since: datetime | None = None

    def refusal(self) -> Reason | None:
        self.since = self.since or activity.info().started_time
        return self.reason if activity.info().started_time - self.since < self.outage else None


async def events_of(environment: WorkflowEnvironment, job: Job) -> int:
    """The number of history events of the job, which has one run."""
    history = await environment.client.get_workflow_handle(job.id).fetch_history()
    assert history.run_id == job.result_run_id
    return len(history.events)


@pytest.mark.parametrize("where", ["listing", "documents"])
async def test_wait_of_a_day_costs_a_handful_of_events(
    skipping_server: WorkflowEnvironment, where: str
) -> None:
    """(S25) As many as a wait of a minute, at most 20."""
    lengths = []
    for outage in (timedelta(0), timedelta(minutes=1), DAY):
        fakes = DownFor(total=5, outage=outage)
        if outage and where == "listing":
            fakes.fetches = [FetchedProcess(reason=Reason.UNAVAILABLE)]
        elif outage:
            fakes.answer = lambda wanted, fakes=fakes: (  # type: ignore[misc]
                refused(Reason.UNAVAILABLE)(wanted)
                if len(fakes.batches) == 1
                else FakeActivities().answer(wanted)
            )
        async with workers(skipping_server.client, fakes):
            job = await start(skipping_server.client)
            result = await asyncio.wait_for(job.result(), BOUND)
        assert (result.status, result.available) == (JobStatus.COMPLETED, 5)
        lengths.append(await events_of(skipping_server, job))
    without, short, long = lengths
    assert short == long
    assert long - without <= 20


async def test_pause_during_a_wait_costs_a_handful_of_events(
    dev_server: WorkflowEnvironment,
) -> None:
    """(S25) Two updates, their changes of search attributes and row, and one check."""
    fakes = FakeActivities(
        fetches=[FetchedProcess(reason=Reason.UNAVAILABLE)], probes=[Reason.UNAVAILABLE] * 2
    )
    async with workers(dev_server.client, fakes), asyncio.timeout(BOUND):
        job = await start(dev_server.client, NEVER)
        await until_waiting(job, WaitReason.SOURCE)
        before = await events_of(dev_server, job)
        await steer(job, "pause")
        while not fakes.recorded:
            await asyncio.sleep(0.01)
        await steer(job, "resume")
        while fakes.probes:
            await asyncio.sleep(0.01)
        await until_waiting(job, WaitReason.SOURCE)
        assert await events_of(dev_server, job) - before <= 32
        await steer(job, "resume")
        assert (await job.result()).status is JobStatus.COMPLETED
    assert [request.urgent for request in fakes.probed] == [False, True, True]
    assert [record.waiting_for for record in fakes.recorded] == [WaitReason.OPERATOR]


async def test_pause_does_not_extend_the_patience(
    skipping_server: WorkflowEnvironment,
) -> None:
    """(S37) The job gives up seven days after the wait began, although paused for three."""
    fakes = DownFor(outage=timedelta(days=60), fetches=[FetchedProcess(reason=Reason.UNAVAILABLE)])
    client = skipping_server.client
    async with workers(client, fakes), asyncio.timeout(BOUND):
        with skipping_server.auto_time_skipping_disabled():
            job = await start(client)
            waiting = await until_waiting(job, WaitReason.SOURCE)
            await steer(job, "pause")
            assert (await until_waiting(job, WaitReason.OPERATOR)).waiting_until is None
        await skipping_server.sleep(timedelta(days=3))
        with skipping_server.auto_time_skipping_disabled():
            await steer(job, "resume")
            again = await until_waiting(job, WaitReason.SOURCE)
        result = await job.result()
        events = (await job.fetch_history()).events
    assert again.waiting_since == waiting.waiting_since
    assert again.waiting_until == waiting.waiting_until
    assert (result.status, result.reason) == (JobStatus.FAILED, Reason.UNAVAILABLE)
    lasted = events[-1].event_time.ToDatetime() - events[0].event_time.ToDatetime()
    assert PATIENCE - timedelta(minutes=10) < lasted < PATIENCE + timedelta(minutes=10)


async def test_paused_job_continues_as_new_and_stays_paused(
    dev_server: WorkflowEnvironment,
) -> None:
    """(S24) Attached subscriptions add events, and the history stays bounded."""
    fakes = FakeActivities(total=12, gate=asyncio.Event())
    client = dev_server.client
    async with workers(client, fakes), asyncio.timeout(BOUND):
        job = await start(client, JobOptions(continue_as_new_after=60))
        last = client.get_workflow_handle_for(DownloadProcessWorkflow.run, job.id)
        await fakes.started.wait()
        await steer(last, "pause")
        assert fakes.gate is not None
        fakes.gate.set()
        names = [f"subscriber-{number}" for number in range(60)]
        for name in names:
            await last.signal("attach", Attach(subscription_id=name))
        while (described := await last.describe()).run_id == job.first_execution_run_id:
            await asyncio.sleep(0.05)
        assert described.history_length < 200
        progress = await last.query(DownloadProcessWorkflow.progress)
        assert (progress.waiting_for, progress.available) == (WaitReason.OPERATOR, 10)
        await steer(last, "resume")
        assert (await last.result()).available == 12
    assert fakes.closed[0].subscriptions == names


async def test_waiting_job_continues_as_new_and_keeps_waiting(
    dev_server: WorkflowEnvironment,
) -> None:
    """(S24, S37) The wait's start and limit are the same in the next run."""
    down = [Reason.CREDENTIAL] * 10_000
    fakes = FakeActivities(fetches=[FetchedProcess(reason=Reason.CREDENTIAL)], probes=down)
    client = dev_server.client
    job_options = JobOptions(retry_unit_seconds=NEVER.retry_unit_seconds, continue_as_new_after=60)
    async with workers(client, fakes), asyncio.timeout(BOUND):
        job = await start(client, job_options)
        last = client.get_workflow_handle_for(DownloadProcessWorkflow.run, job.id)
        before = await until_waiting(last, WaitReason.CREDENTIAL)
        for number in range(40):
            await last.signal("attach", Attach(subscription_id=f"subscriber-{number}"))
        while (described := await last.describe()).run_id == job.first_execution_run_id:
            await last.signal("attach", Attach(max_age_seconds=1))
        assert described.history_length < 200
        after = await until_waiting(last, WaitReason.CREDENTIAL)
        assert (after.waiting_since, after.waiting_until) == (
            before.waiting_since,
            before.waiting_until,
        )
        fakes.probes = ()
        await last.signal("credential_changed")
        assert (await last.result()).status is JobStatus.COMPLETED


async def test_credential_change_between_two_runs_is_not_lost(
    dev_server: WorkflowEnvironment,
) -> None:
    """(S37) If the run is about to continue as new, the next one makes an urgent check."""
    fakes = FakeActivities(
        fetches=[FetchedProcess(reason=Reason.CREDENTIAL)], probes=[Reason.CREDENTIAL]
    )
    client = dev_server.client
    job_options = JobOptions(retry_unit_seconds=NEVER.retry_unit_seconds, continue_as_new_after=25)
    job = await start(client, job_options)
    async with asyncio.timeout(BOUND):
        async with workers(client, fakes):
            await until_waiting(job, WaitReason.CREDENTIAL)
        # Handled in one workflow task with the signals that make the history too long.
        await job.signal("credential_changed")
        for number in range(30):
            await job.signal("attach", Attach(subscription_id=f"subscriber-{number}"))
        last = client.get_workflow_handle_for(DownloadProcessWorkflow.run, job.id)
        async with workers(client, fakes):
            assert (await last.result()).status is JobStatus.COMPLETED
            assert (await last.describe()).run_id != job.first_execution_run_id
    assert [request.urgent for request in fakes.probed] == [False, True]


@pytest.mark.parametrize("reason", [Reason.UNREADABLE_LISTING, Reason.UNAVAILABLE])
async def test_unreadable_listing_fails_the_job_after_bounded_attempts(
    skipping_server: WorkflowEnvironment, reason: Reason
) -> None:
    """(S13) The source works, so no wait is shown."""
    fakes = FakeActivities(fetches=[FetchedProcess(reason=reason)] * 100)
    async with workers(skipping_server.client, fakes):
        job = await start(skipping_server.client)
        result = await asyncio.wait_for(job.result(), BOUND)
    assert (result.status, result.reason) == (JobStatus.FAILED, reason)
    assert len(fakes.fetched) == retry_rule(Reason.UNREADABLE_LISTING).attempts
    assert set(fakes.waits) == {None}


async def test_outage_uses_no_attempts_of_an_unreadable_listing(
    skipping_server: WorkflowEnvironment,
) -> None:
    """(S13) Only fetches that failed while the source worked count."""
    attempts = retry_rule(Reason.UNREADABLE_LISTING).attempts
    probes: list[Reason | None] = [None] * (attempts - 1)
    fakes = FakeActivities(
        fetches=[FetchedProcess(reason=Reason.UNREADABLE_LISTING)] * (attempts + 3),
        probes=[*probes, *[Reason.TIMEOUT, None] * 4],
    )
    async with workers(skipping_server.client, fakes):
        job = await start(skipping_server.client)
        result = await asyncio.wait_for(job.result(), BOUND)
    assert result.status is JobStatus.COMPLETED
    assert len(fakes.fetched) == attempts + 4


async def test_retry_of_a_listing_is_shown_with_its_time(dev_server: WorkflowEnvironment) -> None:
    """(S13) The reason and the next attempt are shown; `resume` makes it at once."""
    fakes = FakeActivities(fetches=[FetchedProcess(reason=Reason.UNREADABLE_LISTING)])
    async with workers(dev_server.client, fakes), asyncio.timeout(BOUND):
        job = await start(dev_server.client, NEVER)
        while (progress := await job.query(DownloadProcessWorkflow.progress)).next_try_at is None:
            await asyncio.sleep(0.05)
        assert (progress.reason, progress.waiting_for) == (Reason.UNREADABLE_LISTING, None)
        await steer(job, "resume")
        assert (await job.result()).status is JobStatus.COMPLETED


@pytest.mark.parametrize("verb", ["pause", "resume", "retry_failed"])
async def test_steering_without_effect_is_refused(
    dev_server: WorkflowEnvironment, verb: str
) -> None:
    """(S23, S37) While the job closes, and when it addresses another job."""
    fakes = FakeActivities(closing=asyncio.Event())
    async with workers(dev_server.client, fakes), asyncio.timeout(BOUND):
        job = await start(dev_server.client)
        await fakes.closes.wait()
        for meant, kind in ((job.first_execution_run_id, JOB_CLOSING), ("another", JOB_ENDED)):
            with pytest.raises(WorkflowUpdateFailedError) as refusal:
                await job.execute_update(verb, Steer(job_id=meant))
            assert isinstance(refusal.value.cause, ApplicationError)
            assert refusal.value.cause.type == kind
        assert fakes.closing is not None
        fakes.closing.set()
        assert (await job.result()).status is JobStatus.COMPLETED
    history = (await job.fetch_history()).events
    assert not any(
        event.HasField("workflow_execution_update_accepted_event_attributes") for event in history
    )


async def test_steering_returns_the_changed_progress(dev_server: WorkflowEnvironment) -> None:
    """(S23) The result of the update and every later query show the effect."""
    fakes = FakeActivities(answer=refused(Reason.SECRET), gate=asyncio.Event(), total=10)
    async with workers(dev_server.client, fakes), asyncio.timeout(BOUND):
        job = await start(dev_server.client, JobOptions(parallel_batches=1, lookahead=0))
        await fakes.started.wait()
        paused = await steer(job, "pause")
        assert paused.waiting_for is WaitReason.OPERATOR
        assert fakes.gate is not None
        fakes.gate.set()
        while (await job.query(DownloadProcessWorkflow.progress)).failed < 5:
            await asyncio.sleep(0.05)
        retried = await steer(job, "retry_failed")
        assert (retried.failed, retried.pending) == (0, 10)
        fakes.answer = FakeActivities().answer
        assert (await steer(job, "resume")).waiting_for is None
        assert (await job.result()).available == 10
