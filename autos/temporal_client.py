"""What the API and the worker both say to Temporal: start a job, start a delivery, look at one.

Workflows are called by their names, not by their classes: nobody here needs their code. Every call
raises what Temporal's client raises (`RPCError`); errors are told apart by their status code,
never by their text (facts/temporal.md §6).
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from temporalio.client import Client, WorkflowExecutionStatus
from temporalio.common import (
    Priority,
    SearchAttributePair,
    TypedSearchAttributes,
    WorkflowIDConflictPolicy,
    WorkflowIDReusePolicy,
)
from temporalio.service import RPCError, RPCStatusCode

from autos.cnj import CaseNumber
from autos.contracts.download import Attach, DownloadProcess, JobOptions
from autos.contracts.names import (
    COURT,
    JOB_STATUS,
    JOBS_QUEUE,
    PROCESS_NUMBER,
    WEBHOOKS_QUEUE,
    delivery_workflow_id,
    job_workflow_id,
)
from autos.contracts.states import JobStatus
from autos.contracts.webhooks import DeliverWebhook
from autos.settings import Settings

JOB_WORKFLOW: Final = "DownloadProcessWorkflow"
RPC_TIMEOUT: Final = timedelta(seconds=2)
"""For one try; the client tries again by itself."""

_STOPPED: Final = (WorkflowExecutionStatus.CANCELED, WorkflowExecutionStatus.TERMINATED)


@dataclass(frozen=True, slots=True)
class Execution:
    """The newest run of a workflow id as Temporal has it."""

    workflow_id: str
    first_run_id: str
    """For a job, its id."""
    run_id: str
    status: WorkflowExecutionStatus
    closed_at: datetime | None = None
    begun: bool = True
    """False while no worker has taken its first step."""

    @property
    def running(self) -> bool:
        """True while it has not ended."""
        return self.status is WorkflowExecutionStatus.RUNNING

    @property
    def stopped(self) -> bool:
        """True if somebody ended it: cancelled or terminated."""
        return self.status in _STOPPED

    def ending(self, *, some_stored: bool) -> JobStatus:
        """How to call the end of a job that did not write its end itself.

        Failed is only what has not one document (DESIGN §8).
        """
        if self.stopped:
            return JobStatus.CANCELLED
        return JobStatus.COMPLETED_WITH_FAILURES if some_stored else JobStatus.FAILED


def job_options(settings: Settings) -> JobOptions:
    """How this process's settings want a job to be run."""
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
    # Servers before 1.32 do not say it when the call joined a running job.
    if handle.first_execution_run_id is not None:
        return handle.first_execution_run_id
    joined = client.get_workflow_handle(handle.id, run_id=handle.result_run_id)
    description = await joined.describe(rpc_timeout=RPC_TIMEOUT)
    return description.raw_description.workflow_execution_info.first_run_id


async def deliver(client: Client, event_id: str, *, summary: str, now: bool = False) -> None:
    """Have an event delivered; when it returns, the wish is durable.

    Args:
        client: of Temporal.
        event_id: stays the same however often it is delivered.
        summary: why, for whoever looks at the Web UI.
        now: a delivery that runs already makes its next attempt at once.
    """
    await client.start_workflow(
        "DeliverWebhookWorkflow",
        DeliverWebhook(event_id=event_id),
        id=delivery_workflow_id(event_id),
        task_queue=WEBHOOKS_QUEUE,
        id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
        id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
        start_signal="redeliver" if now else None,
        static_summary=summary,
        rpc_timeout=RPC_TIMEOUT,
    )


async def newest(client: Client, workflow_id: str, run_id: str | None = None) -> Execution | None:
    """The newest run under a workflow id, or the one asked for; None when Temporal knows of none.

    It needs no worker and is never behind, unlike a list.
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
        # The start and the wish for a first step; what follows is a worker's doing.
        begun=description.history_length > 2,
    )
