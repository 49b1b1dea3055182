"""Deliveries with the real workflow, activity, records and receivers."""

import asyncio
import contextlib
import logging
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast

import pytest
from temporalio.client import Client, WorkflowExecutionStatus, WorkflowHandle
from temporalio.service import RPCError, RPCStatusCode
from temporalio.testing import ActivityEnvironment

from activities.jobs import JobActivities
from autos.cnj import CaseNumber
from autos.contracts.deliveries import DeliverWebhook, DeliveryOutcome, DeliveryResult
from autos.contracts.download import ClosedJob, CloseJob
from autos.contracts.temporal_names import WEBHOOKS_QUEUE, delivery_workflow_id
from autos.records import models as rows
from autos.records.database import Database
from autos.store import Store
from tests.integration.api_parts import FakeStore
from tests.integration.webhooks.parts import (
    Owner,
    activities,
    attempts_of,
    delivery_of,
    new_event,
    secrets_of_owner,
    verify,
    webhook_worker,
)
from tests.unit.webhooks.receiver import hang, receiver, status
from workflows.deliver_webhook import DeliverWebhookWorkflow

Delivery = WorkflowHandle[DeliverWebhookWorkflow, DeliveryResult]


async def deliver(client: Client, event_id: str) -> Delivery:
    return await client.start_workflow(
        DeliverWebhookWorkflow.run,
        DeliverWebhook(event_id=event_id),
        id=delivery_workflow_id(event_id),
        task_queue=WEBHOOKS_QUEUE,
    )


async def result(delivery: Delivery) -> DeliveryResult:
    async with asyncio.timeout(120):
        return await delivery.result()


async def test_hanging_receiver_does_not_delay_others(
    temporal: Client, database: Database, store: FakeStore, case: CaseNumber, owner: Owner
) -> None:
    async with (
        receiver(hang) as hanging,
        receiver() as good,
        webhook_worker(temporal, activities(database, store, timeout=50)),
    ):
        stuck = await new_event(database, case, owner, hanging.url)
        others = [await new_event(database, case, owner, good.url) for _ in range(9)]
        handle = await deliver(temporal, stuck)
        await hanging.wait_for(1)
        deliveries = await asyncio.gather(*(deliver(temporal, event) for event in others))
        outcomes = await asyncio.gather(*(result(delivery) for delivery in deliveries))
        # The attempt of the hanging receiver is still in flight.
        assert (await delivery_of(database, stuck)).attempts == 0
        await handle.terminate()
    assert {ended.outcome for ended in outcomes} == {DeliveryOutcome.DELIVERED}
    assert {request.headers["webhook-id"] for request in good.requests} == set(others)


@asynccontextmanager
async def worker_process(
    temporal: Client, database_url: str
) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.integration.webhooks.worker_process",
        temporal.service_client.config.target_host,
        database_url,
    )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def test_attempt_of_a_killed_worker_is_repeated_under_its_id(
    temporal: Client,
    database: Database,
    database_url: str,
    store: FakeStore,
    case: CaseNumber,
    owner: Owner,
) -> None:
    async with receiver() as up:
        event_id = await new_event(database, case, owner, up.url)
        async with worker_process(temporal, database_url) as killed:

            async def kill(writer: asyncio.StreamWriter) -> None:
                killed.kill()
                writer.transport.abort()

            up.script = [kill]
            delivery = await deliver(temporal, event_id)
            await up.wait_for(1)
            await killed.wait()
        assert await attempts_of(database, event_id) == []
        async with webhook_worker(temporal, activities(database, store)):
            ended = await result(delivery)
    assert ended == DeliveryResult(event_id=event_id, outcome=DeliveryOutcome.DELIVERED, attempts=1)
    # The receiver gets it twice, because the first result is unknown: one id and one row.
    assert [request.headers["webhook-id"] for request in up.requests] == [event_id, event_id]
    assert [row.status_code for row in await attempts_of(database, event_id)] == [204]


async def test_history_and_logs_have_no_secret(
    temporal: Client,
    database: Database,
    store: FakeStore,
    case: CaseNumber,
    owner: Owner,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    caplog.set_level(logging.INFO)
    async with (
        receiver() as up,
        webhook_worker(temporal, activities(database, store)),
    ):
        up.script = [status(500, b"https://store.example/a?X-Amz-Signature=9")]
        event_id = await new_event(database, case, owner, up.url)
        delivery = await deliver(temporal, event_id)
        await up.wait_for(1)
        await delivery.signal(DeliverWebhookWorkflow.redeliver)
        await result(delivery)
    (secret,) = await secrets_of_owner(database, owner)
    verify(secret, up.requests[-1])
    history = (await delivery.fetch_history()).to_json()
    written = caplog.text + capsys.readouterr().out
    assert event_id in history
    assert event_id in written
    signature = up.requests[-1].headers["webhook-signature"]
    for hidden in ("in-the-query", "X-Amz", "store.example", "whsec_", secret, signature, "/hook"):
        assert hidden not in history
        assert hidden not in written
    assert "127.0.0.1" not in history.replace("@", "")


class Refusing:
    """A Temporal client whose server accepts no workflow."""

    async def start_workflow(self, *_: object, **__: object) -> None:
        raise RPCError("As scripted.", RPCStatusCode.DEADLINE_EXCEEDED, b"")


async def test_closing_again_starts_no_ended_delivery_again(
    temporal: Client, database: Database, store: FakeStore, case: CaseNumber, owner: Owner
) -> None:
    """The activity's worker may die after the receiver was notified, and before the result."""
    async with receiver() as up, webhook_worker(temporal, activities(database, store)):
        event_id = await new_event(database, case, owner, up.url)
        closed = await close_job_of(database, store, temporal, event_id)
        assert closed.deliveries == []
        delivery: Delivery = temporal.get_workflow_handle(
            delivery_workflow_id(event_id), result_type=DeliveryResult
        )
        assert (await result(delivery)).outcome is DeliveryOutcome.DELIVERED
        again = await close_job_of(database, store, temporal, event_id)
        assert again.deliveries == []
        description = await delivery.describe()
        assert description.status is not WorkflowExecutionStatus.RUNNING
        started = description.raw_description.workflow_execution_info
        assert started.priority.fairness_key == str(owner.id)
    assert len(up.requests) == 1


async def test_delivery_that_temporal_does_not_accept_is_left_to_the_workflow(
    database: Database, store: FakeStore, case: CaseNumber, owner: Owner
) -> None:
    event_id = await new_event(database, case, owner, "https://receiver.example/")
    closed = await close_job_of(database, store, cast(Client, Refusing()), event_id)
    assert closed.deliveries == [event_id]


async def close_job_of(
    database: Database, store: FakeStore, temporal: Client, event_id: str
) -> ClosedJob:
    """Run the activity that ends the job of this event."""
    async with database.transaction() as session:
        delivery = await session.get_one(rows.Delivery, event_id)
        job = await session.get_one(rows.Job, delivery.job_id)
    request = CloseJob(
        job_id=job.id,
        process_number=job.process_number,
        states="",
        subscriptions=[str(delivery.subscription_id)],
        minimal=True,
    )
    close = JobActivities(database, cast(Store, store), temporal).close_job
    return await ActivityEnvironment().run(close, request)
