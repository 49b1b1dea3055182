"""Many jobs of one API key do not delay the only job of another key."""

import asyncio
import uuid

from temporalio.testing import WorkflowEnvironment

from autos import temporal_client
from autos.contracts.download import JobOptions
from autos.contracts.temporal_names import delivery_workflow_id
from tests.workflows.fakes import FakeActivities, start, workers
from tests.workflows.webhook_fakes import FakeReceiver, webhook_worker

BOUND = 180


async def test_job_of_a_second_key_does_not_wait_for_ten_jobs_of_the_first(
    dev_server: WorkflowEnvironment,
) -> None:
    """U3: with one slot, the late job gets about every other batch."""
    fakes = FakeActivities(total=20)
    many = [await start(dev_server.client, fairness_key="many") for _ in range(10)]
    single = await start(dev_server.client, fairness_key="single")
    async with workers(dev_server.client, fakes, places=1), asyncio.timeout(BOUND):
        await asyncio.gather(*(job.result() for job in (*many, single)))
    order = [batch.job_id for batch in fakes.batches]
    assert len(order) == 44
    last = max(place for place, job in enumerate(order) if job == single.first_execution_run_id)
    assert last < len(order) // 2


async def test_every_batch_has_the_fairness_key_in_later_runs(
    dev_server: WorkflowEnvironment,
) -> None:
    """Activities inherit it from their workflow, and a run from the previous one."""
    fakes = FakeActivities(total=40)
    async with workers(dev_server.client, fakes), asyncio.timeout(BOUND):
        job = await start(
            dev_server.client, JobOptions(continue_as_new_after=30), fairness_key="single"
        )
        await job.result()
        last = await dev_server.client.get_workflow_handle(job.id).describe()
    assert len(fakes.keys) == 8
    assert set(fakes.keys) == {"single"}
    assert last.run_id != job.first_execution_run_id


async def test_delivery_of_a_second_key_does_not_wait_for_the_deliveries_of_the_first(
    dev_server: WorkflowEnvironment,
) -> None:
    client, receiver = dev_server.client, FakeReceiver()
    keys = ["many"] * 20 + ["single"]
    events = [f"evt_{uuid.uuid4().hex}" for _ in keys]
    for event_id, key in zip(events, keys, strict=True):
        await temporal_client.deliver(
            client, event_id, summary="of a test", once=True, fairness_key=key
        )
    async with webhook_worker(client, receiver, places=2), asyncio.timeout(BOUND):
        for event_id in events:
            await client.get_workflow_handle(delivery_workflow_id(event_id)).result()
    order = [request.event_id for request, _ in receiver.seen]
    assert sorted(order) == sorted(events)
    assert order.index(events[-1]) < len(order) // 2
