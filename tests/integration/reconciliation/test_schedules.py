"""The schedules that a worker creates at its start."""

import asyncio
from datetime import timedelta

import pytest
from structlog.testing import capture_logs
from temporalio.client import Client, ScheduleActionStartWorkflow, ScheduleDescription
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.service import RPCError

from autos.contracts.reconciliation import DAILY_STEPS, FREQUENT_STEPS, Step
from autos.contracts.temporal_names import RECONCILIATION, RECONCILIATION_OF_OBJECTS
from tests.integration.reconciliation.world import World
from worker.schedules import ensure_schedules


async def described(client: Client, schedule_id: str = RECONCILIATION) -> ScheduleDescription:
    return await client.get_schedule_handle(schedule_id).describe()


def test_schedules_include_every_step() -> None:
    assert {*FREQUENT_STEPS, *DAILY_STEPS} == set(Step)
    assert not {*FREQUENT_STEPS} & {*DAILY_STEPS}


async def test_concurrent_workers_create_each_schedule_once(own_temporal: Client) -> None:
    """And an operator's pause is kept when the setting changes."""
    await asyncio.gather(*(ensure_schedules(own_temporal, 15) for _ in range(5)))
    listed = [entry.id async for entry in await own_temporal.list_schedules()]
    assert sorted(set(listed)) == sorted(listed)
    first = await described(own_temporal)
    assert [one.every for one in first.schedule.spec.intervals] == [timedelta(minutes=15)]
    daily = await described(own_temporal, RECONCILIATION_OF_OBJECTS)
    assert [one.every for one in daily.schedule.spec.intervals] == [timedelta(days=1)]
    await own_temporal.get_schedule_handle(RECONCILIATION).pause(note="an operator's")
    await ensure_schedules(own_temporal, 7)
    second = await described(own_temporal)
    assert [one.every for one in second.schedule.spec.intervals] == [timedelta(minutes=7)]
    assert (second.schedule.state.paused, second.schedule.state.note) == (True, "an operator's")
    assert isinstance(second.schedule.action, ScheduleActionStartWorkflow)


async def test_zero_minutes_removes_the_schedules(own_temporal: Client) -> None:
    await ensure_schedules(own_temporal, 15)
    with capture_logs() as logs:
        for _ in range(2):
            await ensure_schedules(own_temporal, 0)
    assert logs == []
    for schedule_id in (RECONCILIATION, RECONCILIATION_OF_OBJECTS):
        with pytest.raises(RPCError):
            await described(own_temporal, schedule_id)


async def test_scheduled_reconciliation_runs(world: World) -> None:
    await ensure_schedules(world.client, 15)
    handle = world.client.get_schedule_handle(RECONCILIATION)
    before = (await handle.describe()).info.num_actions
    await handle.trigger()
    async with asyncio.timeout(120):
        while not [
            True
            async for run in world.client.list_workflows(
                "WorkflowType='ReconcileWorkflow' AND ExecutionStatus='Completed' "
                f"AND WorkflowId STARTS_WITH '{RECONCILIATION}-'"
            )
        ]:
            await asyncio.sleep(0.05)
    assert (await handle.describe()).info.num_actions > before
    await ensure_schedules(world.client, 0)


async def test_worker_starts_although_temporal_refuses_schedules(own_temporal: Client) -> None:
    address = own_temporal.service_client.config.target_host
    refusing = await Client.connect(
        address, namespace="does-not-exist", data_converter=pydantic_data_converter
    )
    with capture_logs() as logs:
        await asyncio.wait_for(ensure_schedules(refusing, 15), 20)
    assert [(entry["event"], entry["status"]) for entry in logs] == [
        ("schedules_not_ensured", "NOT_FOUND")
    ]
