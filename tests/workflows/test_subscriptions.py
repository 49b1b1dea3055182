"""Every subscription gets one event: of a running, an ended and an empty job."""

import asyncio
import uuid

from temporalio import activity
from temporalio.testing import WorkflowEnvironment

from autos.contracts.download import Attach, ClosedJob, CloseJob, FetchedProcess
from autos.contracts.temporal_names import delivery_workflow_id
from tests.workflows.fakes import FakeActivities, start, workers
from tests.workflows.webhook_fakes import FakeReceiver, deliver, webhook_worker


class WithDeliveries(FakeActivities):
    """Closing a job creates one delivery per subscription, as the records do."""

    @activity.defn
    async def close_job(self, request: CloseJob) -> ClosedJob:
        closed = await super().close_job(request)
        events = [f"evt_{subscription}" for subscription in request.subscriptions]
        return closed.model_copy(update={"deliveries": events})


async def assert_notified(
    environment: WorkflowEnvironment, receiver: FakeReceiver, *names: str
) -> None:
    """Wait for the deliveries of these subscriptions; each was attempted once."""
    async with asyncio.timeout(20):
        for name in names:
            await environment.client.get_workflow_handle(
                delivery_workflow_id(f"evt_{name}")
            ).result()
    seen = [request.event_id for request, _ in receiver.seen]
    assert sorted(seen) == sorted(f"evt_{name}" for name in names)


async def test_every_attached_subscription_is_notified(dev_server: WorkflowEnvironment) -> None:
    receiver, fakes = FakeReceiver(), WithDeliveries(gate=asyncio.Event())
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
        await assert_notified(dev_server, receiver, "first", "while-it-runs", "after-it")


async def test_job_with_nothing_to_download_notifies(dev_server: WorkflowEnvironment) -> None:
    receiver, fakes = FakeReceiver(), WithDeliveries(fetches=[FetchedProcess(states="aaa")])
    async with workers(dev_server.client, fakes), webhook_worker(dev_server.client, receiver):
        job = await start(dev_server.client, attach=Attach(subscription_id="of-nothing"))
        await job.result()
        await assert_notified(dev_server, receiver, "of-nothing")
    assert fakes.batches == []


async def test_all_deliveries_are_started_in_one_step(dev_server: WorkflowEnvironment) -> None:
    """No subscription waits for the others, however many there are."""
    names = [f"subscriber-{number}" for number in range(10)]
    receiver, fakes = FakeReceiver(), WithDeliveries(gate=asyncio.Event())
    async with workers(dev_server.client, fakes), webhook_worker(dev_server.client, receiver):
        job = await start(dev_server.client, attach=Attach(subscription_id=names[0]))
        await fakes.started.wait()
        for name in names[1:]:
            await job.signal("attach", Attach(subscription_id=name))
        assert fakes.gate is not None
        fakes.gate.set()
        await job.result()
        await assert_notified(dev_server, receiver, *names)
    begun = [
        event.start_child_workflow_execution_initiated_event_attributes
        for event in (await job.fetch_history()).events
        if event.HasField("start_child_workflow_execution_initiated_event_attributes")
    ]
    assert len(begun) == 10
    assert len({each.workflow_task_completed_event_id for each in begun}) == 1


async def test_hanging_receiver_does_not_delay_the_jobs_end(
    dev_server: WorkflowEnvironment,
) -> None:
    hanging = asyncio.Event()
    receiver = FakeReceiver(meanwhile=lambda _: hanging.wait())
    fakes = WithDeliveries(total=3)
    async with workers(dev_server.client, fakes), webhook_worker(dev_server.client, receiver):
        job = await start(dev_server.client, attach=Attach(subscription_id="hanging"))
        async with asyncio.timeout(30):
            assert (await job.result()).available == 3
        await asyncio.wait_for(receiver.arrived.wait(), 30)
        hanging.set()
        await assert_notified(dev_server, receiver, "hanging")


async def test_ended_delivery_is_not_started_by_the_workflow(
    dev_server: WorkflowEnvironment,
) -> None:
    """Temporal accepted it from `close_job`, but the response was lost."""
    name = uuid.uuid4().hex
    receiver, fakes = FakeReceiver(), WithDeliveries(total=1)
    async with workers(dev_server.client, fakes), webhook_worker(dev_server.client, receiver):
        delivery = await deliver(dev_server.client, f"evt_{name}")
        await delivery.result()
        job = await start(dev_server.client, attach=Attach(subscription_id=name))
        async with asyncio.timeout(30):
            await job.result()
        await assert_notified(dev_server, receiver, name)
