"""Temporal calls that API and worker share: connect, start a job or delivery, look it up.

Workflows are called by name, so their code is not imported. Every call raises what
Temporal's client raises (`RPCError`); errors are distinguished by status code, never by text.
"""

import contextlib
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from temporalio.client import Client, WorkflowExecutionStatus
from temporalio.common import (
    Priority,
    SearchAttributePair,
    TypedSearchAttributes,
    WorkflowIDConflictPolicy,
    WorkflowIDReusePolicy,
)
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.envconfig import ClientConfig
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.service import RPCError, RPCStatusCode

from autos.cnj import CaseNumber
from autos.contracts.deliveries import DeliverWebhook
from autos.contracts.download import Attach, DownloadProcess, JobOptions
from autos.contracts.states import JobStatus
from autos.contracts.temporal_names import (
    COURT,
    DELIVERY_WORKFLOW,
    JOB_STATUS,
    JOB_WORKFLOW,
    JOBS_QUEUE,
    PROCESS_NUMBER,
    WEBHOOKS_QUEUE,
    delivery_workflow_id,
    job_workflow_id,
)
from autos.settings import Settings

RPC_TIMEOUT: Final = timedelta(seconds=2)
"""Time-out of one attempt; the client retries automatically."""

_STOPPED: Final = (WorkflowExecutionStatus.CANCELED, WorkflowExecutionStatus.TERMINATED)


@dataclass(frozen=True, slots=True)
class Execution:
    """A run of a workflow id, as Temporal describes it."""

    workflow_id: str
    first_run_id: str
    """Of a job: the job's id."""
    run_id: str
    status: WorkflowExecutionStatus
    closed_at: datetime | None = None
    started: bool = True
    """False while no worker has run its first step."""

    @property
    def running(self) -> bool:
        """True while the workflow has not ended."""
        return self.status is WorkflowExecutionStatus.RUNNING

    @property
    def stopped(self) -> bool:
        """True if it was cancelled or terminated."""
        return self.status in _STOPPED

    def ending(self, *, some_stored: bool) -> JobStatus:
        """The final status of a job that did not record its end: `failed` only if no document is
        stored."""
        if self.stopped:
            return JobStatus.CANCELLED
        return JobStatus.COMPLETED_WITH_FAILURES if some_stored else JobStatus.FAILED


async def connect(**options: Any) -> Client:
    """Connect with Temporal's own `TEMPORAL_*` variables; `options` as for `Client.connect`."""
    config = ClientConfig.load_client_connect_config()
    config.setdefault("target_host", "localhost:7233")
    return await Client.connect(**config, data_converter=pydantic_data_converter, **options)


def job_options(settings: Settings) -> JobOptions:
    """The job options in the settings."""
    return JobOptions(
        batch_size=settings.batch_size,
        parallel_batches=settings.parallel_batches,
        lookahead=settings.batch_lookahead,
        retry_unit_seconds=settings.retry_unit_seconds,
    )


async def attach(
    client: Client, case: CaseNumber, attach: Attach, job_options: JobOptions, fairness_key: str
) -> str:
    """Start the process's job or join the running one, in one atomic call; the job's id."""
    handle = await client.start_workflow(
        JOB_WORKFLOW,
        DownloadProcess(process_number=case.digits, court=case.court, job_options=job_options),
        id=job_workflow_id(case.digits),
        task_queue=JOBS_QUEUE,
        id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
        id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
        start_signal="attach",
        start_signal_args=[attach],
        search_attributes=TypedSearchAttributes(
            [
                SearchAttributePair(PROCESS_NUMBER, case.digits),
                SearchAttributePair(COURT, case.court),
                SearchAttributePair(JOB_STATUS, JobStatus.PENDING),
            ]
        ),
        static_summary=f"Documents of {case.masked} ({case.court})",
        priority=Priority(fairness_key=fairness_key),
        rpc_timeout=RPC_TIMEOUT,
    )
    # Servers before 1.32 leave it out when the call joined a running job.
    if handle.first_execution_run_id is not None:
        return handle.first_execution_run_id
    joined = client.get_workflow_handle(handle.id, run_id=handle.result_run_id)
    description = await joined.describe(rpc_timeout=RPC_TIMEOUT)
    return description.raw_description.workflow_execution_info.first_run_id


async def deliver(
    client: Client,
    event_id: str,
    *,
    summary: str,
    now: bool = False,
    once: bool = False,
    fairness_key: str | None = None,
) -> None:
    """Start the delivery of an event; when this returns, the delivery is durable.

    Args:
        client: of Temporal.
        event_id: the id of the event, the same for every redelivery.
        summary: the cause, shown in the Web UI.
        now: a running delivery makes its next attempt immediately.
        once: an ended delivery is not started again.
        fairness_key: deliveries of different keys take turns while they wait for a worker.
    """
    policies = WorkflowIDReusePolicy
    with contextlib.suppress(WorkflowAlreadyStartedError):
        await client.start_workflow(
            DELIVERY_WORKFLOW,
            DeliverWebhook(event_id=event_id),
            id=delivery_workflow_id(event_id),
            task_queue=WEBHOOKS_QUEUE,
            id_reuse_policy=policies.REJECT_DUPLICATE if once else policies.ALLOW_DUPLICATE,
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            start_signal="redeliver" if now else None,
            static_summary=summary,
            priority=Priority(fairness_key=fairness_key),
            rpc_timeout=RPC_TIMEOUT,
        )


async def newest(client: Client, workflow_id: str, run_id: str | None = None) -> Execution | None:
    """The newest run of a workflow id, or the given one; None if there is none.

    Needs no worker and is always up to date, unlike a list.
    """
    handle = client.get_workflow_handle(workflow_id, run_id=run_id)
    try:
        description = await handle.describe(rpc_timeout=RPC_TIMEOUT)
    except RPCError as error:
        if error.status is RPCStatusCode.NOT_FOUND:
            return None
        raise
    info = description.raw_description.workflow_execution_info
    return Execution(
        workflow_id=workflow_id,
        first_run_id=info.first_run_id or info.execution.run_id,
        run_id=info.execution.run_id,
        status=description.status or WorkflowExecutionStatus.RUNNING,
        closed_at=description.close_time,
        # The first two events are the server's: started, and first workflow task scheduled.
        started=description.history_length > 2,
    )


async def is_running(client: Client, workflow_id: str) -> bool:
    """True if the workflow id has a run that has not ended."""
    execution = await newest(client, workflow_id)
    return execution is not None and execution.running
