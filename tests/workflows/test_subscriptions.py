"""Whoever gives a webhook is told one event: while the job runs, after it, and of an empty one."""

import asyncio

from temporalio import activity
from temporalio.testing import WorkflowEnvironment

from autos.contracts.download import Attach, ClosedJob, CloseJob, FetchedProcess
from autos.contracts.temporal_names import delivery_workflow_id
from tests.workflows.fakes import FakeActivities, start, workers
from tests.workflows.webhook_fakes import FakeReceiver, webhook_worker


class Announcing(FakeActivities):
    """Makes an event for each subscription, as the records do."""

    @activity.defn
    async def close_job(self, request: CloseJob) -> ClosedJob:
        closed = await super().close_job(request)
        events = [f"evt_{subscription}" for subscription in request.subscriptions]
        return closed.model_copy(update={"deliveries": events})


async def told(environment: WorkflowEnvironment, receiver: FakeReceiver, *names: str) -> None:
    """Wait until these subscribers' deliveries have ended; each was told once."""
    async with asyncio.timeout(20):
        for name in names:
            await environment.client.get_workflow_handle(
                delivery_workflow_id(f"evt_{name}")
            ).result()
    seen = [request.event_id for request, _ in receiver.seen]
    assert sorted(seen) == sorted(f"evt_{name}" for name in names)


async def test_everybody_who_attached_is_told(dev_server: WorkflowEnvironment) -> None:
    receiver, fakes = FakeReceiver(), Announcing(gate=asyncio.Event())
    async with workers(dev_server.client, fakes), webhook_worker(dev_server.client, receiver):
        job = await start(dev_server.client, attach=Attach(subscription_id="first"))
        await fakes.started.wait()
        await job.signal("attach", Attach(subscription_id="while-it-runs"))
        assert fakes.gate is not None
        fakes.gate.set()
        await job.result()
        number = job.id.removeprefix("download-process/")
        after = await start(
            dev_server.client, attach=Attach(subscription_id="after-it"), number=number
        )
        await after.result()
        await told(dev_server, receiver, "first", "while-it-runs", "after-it")


async def test_a_job_with_nothing_to_download_tells_too(dev_server: WorkflowEnvironment) -> None:
    receiver, fakes = FakeReceiver(), Announcing(fetches=[FetchedProcess(states="aaa")])
    async with workers(dev_server.client, fakes), webhook_worker(dev_server.client, receiver):
        job = await start(dev_server.client, attach=Attach(subscription_id="of-nothing"))
        await job.result()
        await told(dev_server, receiver, "of-nothing")
    assert fakes.batches == []


async def test_all_deliveries_are_started_in_one_step(dev_server: WorkflowEnvironment) -> None:
    """However many subscribers there are, the last one waits for none of the others."""
    names = [f"subscriber-{number}" for number in range(10)]
    receiver, fakes = FakeReceiver(), Announcing(gate=asyncio.Event())
    async with workers(dev_server.client, fakes), webhook_worker(dev_server.client, receiver):
        job = await start(dev_server.client, attach=Attach(subscription_id=names[0]))
        await fakes.started.wait()
        for name in names[1:]:
            await job.signal("attach", Attach(subscription_id=name))
        assert fakes.gate is not None
        fakes.gate.set()
        await job.result()
        await told(dev_server, receiver, *names)
    begun = [
        event.start_child_workflow_execution_initiated_event_attributes
        for event in (await job.fetch_history()).events
        if event.HasField("start_child_workflow_execution_initiated_event_attributes")
    ]
    assert len(begun) == 10
    assert len({each.workflow_task_completed_event_id for each in begun}) == 1


async def test_a_job_that_ends_while_a_receiver_hangs(dev_server: WorkflowEnvironment) -> None:
    hanging = asyncio.Event()
    receiver = FakeReceiver(meanwhile=lambda _: hanging.wait())
    fakes = Announcing(total=3)
    async with workers(dev_server.client, fakes), webhook_worker(dev_server.client, receiver):
        job = await start(dev_server.client, attach=Attach(subscription_id="hanging"))
        async with asyncio.timeout(30):
            assert (await job.result()).available == 3
        await asyncio.wait_for(receiver.arrived.wait(), 30)
        hanging.set()
        await told(dev_server, receiver, "hanging")
