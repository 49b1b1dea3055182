"""Reconciliation of jobs whose rows and workflows disagree, and of their subscriptions.

Each test creates a difference, repairs it and checks that a second run finds nothing.
"""

import asyncio
import uuid
from datetime import timedelta

import pytest
from sqlalchemy import update
from temporalio.client import Client, WorkflowFailureError

from activities.reconciliation import jobs as reconcile_jobs
from activities.reconciliation import pages as reconcile_pages
from autos import temporal_client
from autos.cnj import CaseNumber
from autos.contracts.download import DownloadProcess
from autos.contracts.reconciliation import Kind
from autos.contracts.states import JobStatus
from autos.contracts.temporal_names import JOB_WORKFLOW, delivery_workflow_id, job_workflow_id
from autos.records import jobs, subscriptions
from autos.records.models import Delivery, Document
from tests.integration.reconciliation.world import World


async def test_healthy_jobs_are_not_changed(world: World, case: CaseNumber) -> None:
    """Including a running job."""
    ended = CaseNumber.build(int(case.digits[:7]), case.year + 1, 8, 26, 100)
    await world.process(ended, "app")
    job_id, _ = await world.accept(ended)
    await world.ended(ended)
    world.metadata_available.clear()
    running, _ = await world.accept(case)
    await world.listed(case)
    assert await world.reconcile() == {}
    world.metadata_available.set()
    await world.ended(case)
    assert await world.reconcile() == {}
    assert await world.job_ids(case) == {running}
    assert await world.job_ids(ended) == {job_id}
    assert len(await world.events(ended)) == await world.running_deliveries(ended) == 1


async def test_terminated_job_is_closed_and_its_subscribers_notified(
    world: World, case: CaseNumber
) -> None:
    """F11, F15."""
    world.metadata_available.clear()
    await world.process(case, "ap")
    job_id, subscription = await world.accept(case)
    await world.job(case).terminate()
    assert await world.reconcile(dry_run=True) == {Kind.JOB_CLOSED: (1, 0)}
    assert await world.events(case) == []
    assert await world.reconcile(grace=300) == {}
    assert await world.reconcile() == {Kind.JOB_CLOSED: (1, 1)}
    row = await world.job_row(job_id)
    assert row is not None
    assert (row.status, row.reason, row.available_documents) == ("cancelled", None, 1)
    assert row.completed_at is not None
    assert await world.events(case) == [(subscription, job_id, "cancelled")]
    assert await world.running_deliveries(case) == 1
    assert await world.reconcile() == {}


async def test_timed_out_job_keeps_its_stored_documents(world: World, case: CaseNumber) -> None:
    """The other documents fail as `interrupted`."""
    await world.process(case, "ap")
    subscription = await world.subscribe(case)
    handle = await world.client.start_workflow(
        JOB_WORKFLOW,
        DownloadProcess(process_number=case.digits, court=case.court),
        id=job_workflow_id(case.digits),
        task_queue="without-worker",
        run_timeout=timedelta(milliseconds=100),
    )
    job_id = await world.row(case, handle.first_execution_run_id)
    with pytest.raises(WorkflowFailureError):
        await asyncio.wait_for(handle.result(), 20)
    assert await world.reconcile() == {Kind.JOB_CLOSED: (1, 1)}
    row = await world.job_row(job_id)
    assert row is not None
    assert (row.status, row.reason) == ("completed_with_failures", "interrupted")
    assert [(one.state, one.reason) for one in await world.documents(case)] == [
        ("available", None),
        ("failed", "interrupted"),
    ]
    assert await world.events(case) == [(subscription, job_id, "completed_with_failures")]


async def test_overwritten_row_of_a_completed_job_is_repaired(
    world: World, case: CaseNumber
) -> None:
    """A late activity wrote `processing` after the job's end."""
    await world.process(case, "ap")
    job_id, subscription = await world.accept(case)
    await world.ended(case)
    async with world.database.transaction() as session:
        row = await jobs.get(session, job_id)
        assert row is not None
        row.status = JobStatus.PROCESSING
    assert await world.reconcile() == {Kind.JOB_CLOSED: (1, 1)}
    row = await world.job_row(job_id)
    assert row is not None
    assert (row.status, row.reason) == ("completed", None)
    assert await world.events(case) == [(subscription, job_id, "completed")]


async def test_job_lost_by_temporal_is_started_again(world: World, case: CaseNumber) -> None:
    """Its documents are downloaded and its subscribers notified once each."""
    await world.process(case, "app")
    lost = await world.row(case)
    waiting = {await world.subscribe(case) for _ in range(3)}
    assert await world.reconcile(dry_run=True) == {Kind.JOB_UNKNOWN: (1, 0)}
    assert await world.job_ids(case) == {lost}
    world.metadata_available.clear()
    assert await world.reconcile() == {Kind.JOB_UNKNOWN: (1, 1)}
    world.metadata_available.set()
    await world.ended(case)
    row = await world.job_row(lost)
    assert row is not None
    assert (row.status, row.reason) == ("failed", "interrupted")
    (started,) = await world.job_ids(case) - {lost}
    assert [one.state for one in await world.documents(case)] == ["available"] * 3
    events = await world.events(case)
    assert {subscription for subscription, _, _ in events} == waiting
    assert {(job_id, ending) for _, job_id, ending in events} == {(started, "completed")}
    assert len(events) == await world.running_deliveries(case) == 3
    assert await world.reconcile() == {}


async def test_lost_job_with_all_documents_is_only_closed(world: World, case: CaseNumber) -> None:
    await world.process(case, "aa")
    lost = await world.row(case)
    subscription = await world.subscribe(case)
    assert await world.reconcile() == {Kind.JOB_UNKNOWN: (1, 1)}
    assert await world.job_ids(case) == {lost}
    assert await world.events(case) == [(subscription, lost, "completed")]
    assert await world.running_deliveries(case) == 1
    assert await world.reconcile() == {}


async def test_active_row_of_an_older_job_is_closed(world: World, case: CaseNumber) -> None:
    """The newer job is not changed and notifies its own subscriber."""
    world.metadata_available.clear()
    await world.process(case, "p")
    old = await world.row(case)
    new, subscription = await world.accept(case)
    assert await world.reconcile() == {Kind.JOB_SUPERSEDED: (1, 1)}
    row = await world.job_row(old)
    assert row is not None
    assert (row.status, row.reason) == ("failed", "interrupted")
    assert await world.events(case) == []
    world.metadata_available.set()
    await world.ended(case)
    assert await world.events(case) == [(subscription, new, "completed")]
    assert await world.reconcile() == {}


async def test_terminated_job_with_a_successor_is_cancelled(world: World, case: CaseNumber) -> None:
    """Its subscription is unknown to the successor and served by the next job."""
    world.metadata_available.clear()
    await world.process(case, "p")
    old, subscription = await world.accept(case)
    await world.job(case).terminate()
    world.metadata_available.set()
    new = await world.row(case, await world.start(case))
    await world.ended(case)
    world.metadata_available.clear()
    assert await world.reconcile() == {
        Kind.JOB_SUPERSEDED: (1, 1),
        Kind.SUBSCRIPTION_OPEN: (1, 1),
    }
    world.metadata_available.set()
    row = await world.job_row(old)
    assert row is not None
    assert row.status == "cancelled"
    await world.ended(case)
    (third,) = await world.job_ids(case) - {old, new}
    assert await world.events(case) == [(subscription, third, "completed")]
    assert await world.reconcile() == {}


async def test_running_job_without_a_row_gets_one(world: World, case: CaseNumber) -> None:
    """Also if the process has no row, as after a restore of an older backup."""
    world.metadata_available.clear()
    job_id = await world.start(case)
    await world.listed(case)
    assert await world.reconcile(dry_run=True) == {Kind.JOB_UNRECORDED: (1, 0)}
    assert await world.job_row(job_id) is None
    assert await world.reconcile(grace=300) == {}
    assert await world.reconcile() == {Kind.JOB_UNRECORDED: (1, 1)}
    row = await world.job_row(job_id)
    assert row is not None
    assert row.status == "pending"
    assert await world.reconcile() == {}


async def test_subscription_without_a_job_is_served_by_a_new_one(
    world: World, case: CaseNumber
) -> None:
    """F11: the API died between writing the row and starting the workflow."""
    await world.process(case, "a")
    subscription = await world.subscribe(case)
    assert await world.reconcile(dry_run=True) == {Kind.SUBSCRIPTION_OPEN: (1, 0)}
    assert await world.reconcile(grace=300) == {}
    world.metadata_available.clear()
    assert await world.reconcile() == {Kind.SUBSCRIPTION_OPEN: (1, 1)}
    world.metadata_available.set()
    await world.ended(case)
    (job_id,) = await world.job_ids(case)
    assert await world.events(case) == [(subscription, job_id, "completed")]
    assert await world.reconcile() == {}


async def test_notified_subscription_gets_no_second_event(world: World, case: CaseNumber) -> None:
    """Even if it is attached to two jobs."""
    await world.process(case, "a")
    first, subscription = await world.accept(case)
    await world.ended(case)
    await world.row(case, await world.start(case, subscription))
    await world.ended(case)
    assert await world.events(case) == [(subscription, first, "completed")]
    async with world.database.transaction() as session:
        again = await subscriptions.claim(
            session, first, JobStatus.COMPLETED, [str(subscription), str(uuid.uuid4())]
        )
    assert list(again) == [subscriptions.event_id(first, subscription)]


async def test_stopped_delivery_is_started_again(world: World, case: CaseNumber) -> None:
    """Under its original id; a delivery that waits for its next attempt is not changed."""
    await world.process(case, "a")
    job_id, subscription = await world.accept(case)
    await world.ended(case)
    event_id = subscriptions.event_id(job_id, subscription)
    handle = world.client.get_workflow_handle(delivery_workflow_id(event_id))
    assert await world.reconcile() == {}
    await handle.terminate()
    assert await world.reconcile(grace=300) == {}
    assert await world.reconcile(dry_run=True) == {Kind.DELIVERY_STOPPED: (1, 0)}
    assert await world.running_deliveries(case) == 0
    assert await world.reconcile() == {Kind.DELIVERY_STOPPED: (1, 1)}
    assert await world.running_deliveries(case) == 1
    assert await world.reconcile() == {}
    await handle.terminate()
    async with world.database.transaction() as session:
        delivery = await session.get_one(Delivery, event_id)
        delivery.status = "failed"
    assert await world.reconcile() == {}


async def test_job_that_ends_during_the_check_is_not_lost(
    world: World, case: CaseNumber, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The row is read again after the query to Temporal, and has the end."""
    await world.process(case, "a")
    job_id, subscription = await world.accept(case)
    await world.ended(case)
    event_id = subscriptions.event_id(job_id, subscription)
    await world.client.get_workflow_handle(delivery_workflow_id(event_id)).terminate()
    other = CaseNumber.build(int(case.digits[:7]), case.year + 1, 8, 26, 100)
    await world.process(other, "p")
    lost = await world.row(other)
    newest = temporal_client.newest

    async def slow_newest(
        client: Client, workflow_id: str, run_id: str | None = None
    ) -> temporal_client.Execution | None:
        execution = await newest(client, workflow_id, run_id)
        async with world.database.transaction() as session:
            await jobs.close_lost(session, lost, JobStatus.COMPLETED, None)
            (await session.get_one(Delivery, event_id)).status = "delivered"
        return execution

    monkeypatch.setattr(temporal_client, "newest", slow_newest)
    assert await world.reconcile() == {}
    assert await world.job_ids(other) == {lost}
    assert await world.running_deliveries(case) == 0


async def test_all_pages_are_checked(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also after earlier pages were repaired."""
    monkeypatch.setattr(reconcile_jobs, "PAGE", 2)
    monkeypatch.setattr(reconcile_pages, "PAGE", 2)
    unknown, unnotified, undelivered, unrecorded = (
        [CaseNumber.build(number, year, 8, 26, 100) for number in range(5)]
        for year in range(2010, 2014)
    )
    for case in undelivered:
        await world.process(case, "a")
        job_id, subscription = await world.accept(case)
        await world.ended(case)
        event_id = subscriptions.event_id(job_id, subscription)
        await world.client.get_workflow_handle(delivery_workflow_id(event_id)).terminate()
    world.metadata_available.clear()
    for case in unknown:
        await world.process(case, "p")
        await world.row(case)
    for case in unnotified:
        await world.process(case, "p")
        await world.subscribe(case)
    for case in unrecorded:
        await world.start(case)
        await world.listed(case)
    kinds = (
        Kind.JOB_UNKNOWN,
        Kind.JOB_UNRECORDED,
        Kind.SUBSCRIPTION_OPEN,
        Kind.DELIVERY_STOPPED,
    )
    assert await world.reconcile() == dict.fromkeys(kinds, (5, 5))
    assert await world.reconcile() == {}


async def test_job_that_cannot_be_closed_does_not_block_others(
    world: World, case: CaseNumber
) -> None:
    """(S16) Its manifest cannot be written, so it is closed without one."""
    other = CaseNumber.build(int(case.digits[:7]), case.year + 1, 8, 26, 100)
    world.metadata_available.clear()
    poisoned = []
    for number in (case, other):
        await world.process(number, "ap")
        poisoned.append(await world.accept(number))
        await world.job(number).terminate()
    async with world.database.transaction() as session:
        await session.execute(
            update(Document)
            .where(Document.process_number == case.digits, Document.position == 1)
            # A newer release that was rolled back may have written such a value.
            .values(reason="of a newer release")
        )
    assert await world.reconcile() == {Kind.JOB_CLOSED: (2, 2)}
    for number, (job_id, subscription) in zip((case, other), poisoned, strict=True):
        assert await world.events(number) == [(subscription, job_id, "cancelled")]
