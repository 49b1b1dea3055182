"""How workflows call activities: names, queues, timeouts and retries in one place.

Workflow code may not import `activities` (their libraries do not belong into the sandbox), so the
activities are named here; a test holds these names against the real ones.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Iterable
from datetime import timedelta
from typing import Final, TypeVar

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import WorkflowAlreadyStartedError

with workflow.unsafe.imports_passed_through():
    from autos.contracts.download import (
        BatchResult,
        ClosedJob,
        CloseJob,
        DownloadBatch,
        FetchedProcess,
        FetchProcess,
        ProbedSource,
        ProbeSource,
        RecordJob,
    )
    from autos.contracts.names import (
        JOBS_QUEUE,
        SOURCE_QUEUE,
        WEBHOOKS_QUEUE,
        delivery_workflow_id,
    )
    from autos.contracts.reconciliation import ReconciledPage, ReconcilePage
    from autos.contracts.webhooks import DeliverWebhook

Result = TypeVar("Result")

_FOREVER: Final = RetryPolicy(
    initial_interval=timedelta(seconds=1),
    backoff_coefficient=2.0,
    maximum_interval=timedelta(seconds=30),
)
"""Our own parts (records, store, workers) come back; nothing accepted is dropped meanwhile."""

_A_FEW_TIMES: Final = RetryPolicy(
    initial_interval=timedelta(seconds=1), backoff_coefficient=2.0, maximum_attempts=4
)
"""What is not done now will be looked at again by the next reconciliation."""

_HEARTBEAT: Final = timedelta(seconds=15)
_LONGEST_BATCH: Final = timedelta(hours=12)


def _ask_source(
    name: str, argument: object, result: type[Result], summary: str, longest: timedelta
) -> Awaitable[Result]:
    return workflow.execute_activity(
        name,
        argument,
        result_type=result,
        task_queue=SOURCE_QUEUE,
        start_to_close_timeout=longest,
        heartbeat_timeout=_HEARTBEAT,
        retry_policy=_FOREVER,
        # The job says that it is cancelled only after its requests have really stopped.
        cancellation_type=workflow.ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
        summary=summary,
    )


def _keep_records(
    name: str, argument: object, result: type[Result], summary: str
) -> Awaitable[Result]:
    return workflow.execute_activity(
        name,
        argument,
        result_type=result,
        task_queue=JOBS_QUEUE,
        start_to_close_timeout=timedelta(minutes=5),
        # Else a worker that dies at this very moment would hold up the job for these minutes.
        heartbeat_timeout=_HEARTBEAT,
        retry_policy=_FOREVER,
        summary=summary,
    )


def fetch_process(request: FetchProcess) -> Awaitable[FetchedProcess]:
    """Read the metadata and number the documents."""
    return _ask_source("fetch_process", request, FetchedProcess, "metadata", timedelta(minutes=30))


def download_batch(request: DownloadBatch, summary: str) -> Awaitable[BatchResult]:
    """Download a few documents side by side."""
    return _ask_source("download_batch", request, BatchResult, summary, _LONGEST_BATCH)


def probe_source(request: ProbeSource) -> Awaitable[ProbedSource]:
    """Find out whether the source answers and takes the credential."""
    return _ask_source(
        "probe_source", request, ProbedSource, "does the source answer?", timedelta(minutes=10)
    )


def record_job(request: RecordJob) -> Awaitable[None]:
    """Write a running job's state into the records."""
    waiting = f", waiting for {request.waiting_for}" if request.waiting_for else ""
    return _keep_records("record_job", request, type(None), f"{request.status}{waiting}")


def close_job(request: CloseJob) -> Awaitable[ClosedJob]:
    """Write the final row, the manifest and the events."""
    return _keep_records("close_job", request, ClosedJob, "the end")


def reconcile_page(request: ReconcilePage, summary: str) -> Awaitable[ReconciledPage]:
    """Compare a bounded part of what there is, and mend it."""
    return workflow.execute_activity(
        "reconcile_page",
        request,
        result_type=ReconciledPage,
        task_queue=JOBS_QUEUE,
        start_to_close_timeout=timedelta(minutes=15),
        heartbeat_timeout=_HEARTBEAT,
        retry_policy=_A_FEW_TIMES,
        summary=summary,
    )


async def start_deliveries(event_ids: Iterable[str]) -> None:
    """Start telling the subscribers, all at once; the job does not wait for receivers."""
    await asyncio.gather(*map(_start_delivery, event_ids))


async def _start_delivery(event_id: str) -> None:
    # Somebody may have had the event delivered again before this job came to it.
    with contextlib.suppress(WorkflowAlreadyStartedError):
        await workflow.start_child_workflow(
            "DeliverWebhookWorkflow",
            DeliverWebhook(event_id=event_id),
            id=delivery_workflow_id(event_id),
            task_queue=WEBHOOKS_QUEUE,
            parent_close_policy=workflow.ParentClosePolicy.ABANDON,
        )
