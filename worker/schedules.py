"""The schedules of reconciliations, which a worker creates or updates when it starts.

One schedule compares the records with Temporal every few minutes. The other compares them with the
bucket once a day, because it lists all objects. A schedule that an operator paused stays paused. If
workers have different settings, the settings of the last worker to start apply.
"""

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Final

import structlog
from temporalio.client import (
    Client,
    Schedule,
    ScheduleActionStartWorkflow,
    ScheduleAlreadyRunningError,
    ScheduleIntervalSpec,
    ScheduleOverlapPolicy,
    SchedulePolicy,
    ScheduleSpec,
    ScheduleUpdate,
    ScheduleUpdateInput,
)
from temporalio.service import RPCError, RPCStatusCode

from autos.contracts.reconciliation import DAILY_STEPS, FREQUENT_STEPS, Reconcile
from autos.contracts.temporal_names import JOBS_QUEUE, RECONCILIATION, RECONCILIATION_OF_OBJECTS
from workflows.reconcile import ReconcileWorkflow

log = structlog.get_logger(__name__)

_TIMEOUT_SECONDS: Final = 15.0
_RPC_TIMEOUT: Final = timedelta(seconds=5)


async def ensure_schedules(client: Client, minutes: int) -> None:
    """Schedule a reconciliation every `minutes`; 0 removes both schedules.

    A failure is only logged, because a worker does not need the schedules.
    """
    schedules = {
        RECONCILIATION: _schedule(
            RECONCILIATION, Reconcile(steps=list(FREQUENT_STEPS)), timedelta(minutes=minutes)
        ),
        RECONCILIATION_OF_OBJECTS: _schedule(
            RECONCILIATION_OF_OBJECTS, Reconcile(steps=list(DAILY_STEPS)), timedelta(days=1)
        ),
    }
    try:
        async with asyncio.timeout(_TIMEOUT_SECONDS):
            for schedule_id, schedule in schedules.items():
                if minutes:
                    await _ensure(client, schedule_id, schedule)
                else:
                    await _remove(client, schedule_id)
    except (RPCError, TimeoutError) as error:
        status = error.status.name if isinstance(error, RPCError) else "TIMEOUT"
        log.warning("schedules_not_ensured", status=status)


def _schedule(schedule_id: str, request: Reconcile, interval: timedelta) -> Schedule:
    return Schedule(
        action=ScheduleActionStartWorkflow(
            ReconcileWorkflow.run, request, id=schedule_id, task_queue=JOBS_QUEUE
        ),
        spec=ScheduleSpec(
            intervals=[ScheduleIntervalSpec(interval)] if interval else [], jitter=interval / 20
        ),
        policy=SchedulePolicy(
            overlap=ScheduleOverlapPolicy.SKIP,
            # Runs missed while Temporal was down are skipped, because the next run covers them.
            catchup_window=timedelta(minutes=1),
        ),
    )


async def _ensure(client: Client, schedule_id: str, schedule: Schedule) -> None:
    def update(current: ScheduleUpdateInput) -> ScheduleUpdate:
        return ScheduleUpdate(replace(schedule, state=current.description.schedule.state))

    try:
        await client.create_schedule(schedule_id, schedule, rpc_timeout=_RPC_TIMEOUT)
    except ScheduleAlreadyRunningError:
        handle = client.get_schedule_handle(schedule_id)
        await handle.update(update, rpc_timeout=_RPC_TIMEOUT)


async def _remove(client: Client, schedule_id: str) -> None:
    try:
        await client.get_schedule_handle(schedule_id).delete(rpc_timeout=_RPC_TIMEOUT)
    except RPCError as error:
        if error.status is not RPCStatusCode.NOT_FOUND:
            raise
