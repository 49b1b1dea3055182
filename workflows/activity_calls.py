"""How workflows call activities: names, queues, timeouts, and what is done when one fails.

An activity fails only for our own parts' sake (what becomes of a document or a webhook is a
result, not a failure). `run` is the one way to call it: a few quick attempts; an outage of records
or store is waited out, visibly, by the server; a defect ends in bounded time.

Workflow code may not import `activities` (their libraries do not belong into the sandbox), so the
activities are named here; a test holds these names against the real ones.
"""

import asyncio
import contextlib
from collections.abc import Callable, Iterable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final, Generic, TypeAlias, TypeVar

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import (
    ActivityError,
    ApplicationError,
    RetryState,
    WorkflowAlreadyStartedError,
    is_cancelled_exception,
)

with workflow.unsafe.imports_passed_through():
    from autos.contracts import errors
    from autos.contracts.download import (
        AwaitSource,
        BatchResult,
        ClosedJob,
        CloseJob,
        DownloadBatch,
        FetchedProcess,
        FetchProcess,
        RecordJob,
        SourceCheck,
    )
    from autos.contracts.names import (
        JOBS_QUEUE,
        SOURCE_QUEUE,
        WEBHOOKS_QUEUE,
        delivery_workflow_id,
    )
    from autos.contracts.reconciliation import ReconciledPage, ReconcilePage
    from autos.contracts.retries import PATIENCE_DAYS
    from autos.contracts.states import WaitReason
    from autos.contracts.webhooks import (
        AbandonDelivery,
        AttemptDelivery,
        AttemptedDelivery,
        DeliverWebhook,
    )

Result = TypeVar("Result")

PATIENCE: Final = timedelta(days=PATIENCE_DAYS)
ROUNDS: Final = 5
"""So often are the quick attempts begun anew: after an outage, or when workers died of them all."""

_DEFECTS: Final = [errors.INTERNAL_ERROR]
OURS: Final = [errors.RECORDS, errors.STORAGE, errors.INTERNAL_ERROR]

_QUICK: Final = RetryPolicy(
    initial_interval=timedelta(seconds=1), backoff_coefficient=2.0, maximum_attempts=4
)
_PATIENT: Final = RetryPolicy(
    initial_interval=timedelta(seconds=5),
    backoff_coefficient=2.0,
    maximum_interval=timedelta(minutes=2),
    # The quick attempts decide whether a defect is one.
    non_retryable_error_types=_DEFECTS,
)
_UNTIL_THE_SOURCE_WORKS: Final = RetryPolicy(
    maximum_interval=timedelta(minutes=5),
    # These are waited out, or given up, as everywhere else.
    non_retryable_error_types=OURS,
)

_HEARTBEAT: Final = timedelta(seconds=15)
"""A worker that died is missed by then, and the activity made again elsewhere."""


class Defect(ApplicationError):
    """An activity has failed as often as it may, and waiting does not help.

    A workflow that has nothing left to do about it fails with this.
    """

    def __init__(self, activity: str) -> None:
        super().__init__(
            f"{activity} failed on a defect; see the worker's log.",
            type=errors.INTERNAL_ERROR,
            non_retryable=True,
        )


class OutOfPatience(ApplicationError):
    """Records or store have been away for longer than anything waits."""

    def __init__(self, activity: str, waited_for: WaitReason) -> None:
        super().__init__(
            f"{activity} has waited too long for {waited_for}.",
            type=waited_for,
            non_retryable=True,
        )
        self.waited_for = waited_for


Outage: TypeAlias = Callable[[WaitReason, datetime], AbstractAsyncContextManager[None]]
"""Shows, as long as it lasts, what is waited for and until when at the most."""


@dataclass(frozen=True, slots=True)
class Call(Generic[Result]):
    """One activity to be called, with all that does not depend on what happens to it."""

    name: str
    request: object
    result: type[Result]
    queue: str
    summary: str
    longest: timedelta
    """For one attempt."""
    patience: timedelta = PATIENCE
    """How long an outage is waited out; zero does not wait."""
    cancellation: workflow.ActivityCancellationType = field(
        default=workflow.ActivityCancellationType.TRY_CANCEL
    )

    def start(
        self, policy: RetryPolicy, patience: timedelta | None = None
    ) -> workflow.ActivityHandle[Result]:
        """Schedule it."""
        return workflow.start_activity(
            self.name,
            self.request,
            result_type=self.result,
            task_queue=self.queue,
            start_to_close_timeout=self.longest,
            schedule_to_close_timeout=patience,
            heartbeat_timeout=_HEARTBEAT,
            retry_policy=policy,
            cancellation_type=self.cancellation,
            summary=self.summary,
        )


async def run(call: Call[Result], outage: Outage) -> Result:
    """Call an activity until it has a result.

    Raises:
        Defect: it fails whatever is done.
        OutOfPatience: records or store stay away.
        asyncio.CancelledError, ActivityError: the workflow, or this task of it, is cancelled.
    """
    until: datetime | None = None
    for _ in range(ROUNDS):
        try:
            result = await call.start(_QUICK)
        except ActivityError as error:
            waiting_for = _worth_waiting_for(call, error)
        else:
            _check_uncancelled()
            return result
        if waiting_for is None:
            continue
        until = until or workflow.now() + call.patience
        left = until - workflow.now()
        if left <= timedelta(0):
            raise OutOfPatience(call.name, waiting_for)
        try:
            async with outage(waiting_for, until):
                result = await call.start(_PATIENT, left)
        except ActivityError as error:
            _check_cancelled(error)
            if out_of_time(error, final=_DEFECTS):
                raise OutOfPatience(call.name, waiting_for) from error
        else:
            _check_uncancelled()
            return result
    raise Defect(call.name)


def start_wait(call: Call[SourceCheck], left: timedelta) -> workflow.ActivityHandle[SourceCheck]:
    """Let the server ask the source again and again, at the delays that the activity says."""
    return call.start(_UNTIL_THE_SOURCE_WORKS, left)


def out_of_time(error: BaseException, *, final: Iterable[str]) -> bool:
    """True when an activity without a bound on its attempts ended for want of time.

    Args:
        error: of the activity.
        final: the types of errors that its retry policy does not try again.
    """
    return (
        isinstance(error, ActivityError)
        and not is_cancelled_exception(error)
        and _kind(error) not in set(final)
    )


def _kind(error: ActivityError) -> str | None:
    return error.cause.type if isinstance(error.cause, ApplicationError) else None


def _worth_waiting_for(call: Call[Result], error: ActivityError) -> WaitReason | None:
    """The part of ours that is away; None when another round of attempts may do."""
    _check_cancelled(error)
    kind = _kind(error)
    if kind in (errors.RECORDS, errors.STORAGE):
        return WaitReason(kind)
    if kind == errors.INTERNAL_ERROR or error.retry_state is RetryState.NON_RETRYABLE_FAILURE:
        raise Defect(call.name) from error
    # Its workers died or were stopped: no fault of the activity's, unless it goes on.
    return None


def _check_cancelled(error: ActivityError) -> None:
    """An activity whose worker died is not cancelled but missed, and then not tried again."""
    if is_cancelled_exception(error):
        raise error
    _check_uncancelled()


def _check_uncancelled() -> None:
    """A result that came before the cancellation reached the activity hides that it came."""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


def _ask_source(
    name: str, request: object, result: type[Result], summary: str, longest: timedelta
) -> Call[Result]:
    return Call(
        name,
        request,
        result,
        SOURCE_QUEUE,
        summary,
        longest,
        # The job says that it is cancelled only after its requests have really stopped.
        cancellation=workflow.ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
    )


def _keep_records(name: str, request: object, result: type[Result], summary: str) -> Call[Result]:
    return Call(
        name,
        request,
        result,
        JOBS_QUEUE,
        summary,
        timedelta(minutes=5),
        # What is still being written when the job ends would be written over its end.
        cancellation=workflow.ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
    )


def _deliver(name: str, request: object, result: type[Result], summary: str) -> Call[Result]:
    # The request's 15 s, and the records before and after it.
    return Call(name, request, result, WEBHOOKS_QUEUE, summary, timedelta(seconds=60))


def fetch_process(request: FetchProcess) -> Call[FetchedProcess]:
    """Read the metadata and number the documents."""
    return _ask_source("fetch_process", request, FetchedProcess, "metadata", timedelta(minutes=30))


def download_batch(request: DownloadBatch, summary: str) -> Call[BatchResult]:
    """Download a few documents side by side."""
    return _ask_source("download_batch", request, BatchResult, summary, timedelta(hours=12))


def await_source(request: AwaitSource) -> Call[SourceCheck]:
    """Find out whether the source answers and takes the credential, or wait until it does."""
    waiting = request.waiting_for
    summary = f"waiting for {waiting}" if waiting else "does the source answer?"
    return _ask_source("await_source", request, SourceCheck, summary, timedelta(minutes=10))


def record_job(request: RecordJob) -> Call[None]:
    """Write a running job's state into the records."""
    waiting = f", waiting for {request.waiting_for}" if request.waiting_for else ""
    return _keep_records("record_job", request, type(None), f"{request.status}{waiting}")


def close_job(request: CloseJob) -> Call[ClosedJob]:
    """Write the final row, the manifest and the events."""
    summary = "the end, without a manifest" if request.minimal else "the end"
    return _keep_records("close_job", request, ClosedJob, summary)


def attempt_delivery(request: AttemptDelivery) -> Call[AttemptedDelivery]:
    """Send a webhook once."""
    summary = f"attempt {request.number}"
    return _deliver("attempt_delivery", request, AttemptedDelivery, summary)


def abandon_delivery(request: AbandonDelivery) -> Call[None]:
    """Write that a webhook is not sent, for a defect of ours."""
    return _deliver("abandon_delivery", request, type(None), "given up on a defect")


def reconcile_page(request: ReconcilePage, summary: str) -> Call[ReconciledPage]:
    """Compare a bounded part of what there is, and mend it."""
    return Call(
        "reconcile_page",
        request,
        ReconciledPage,
        JOBS_QUEUE,
        summary,
        timedelta(minutes=15),
        # What is not done now is looked at again by the next reconciliation.
        patience=timedelta(0),
    )


async def start_deliveries(event_ids: Iterable[str]) -> None:
    """Start telling the subscribers, all at once; the job does not wait for receivers."""
    await asyncio.gather(*map(_start_delivery, event_ids))


async def _start_delivery(event_id: str) -> None:
    # The event may have been delivered again by request before this job came to it.
    with contextlib.suppress(WorkflowAlreadyStartedError):
        await workflow.start_child_workflow(
            "DeliverWebhookWorkflow",
            DeliverWebhook(event_id=event_id),
            id=delivery_workflow_id(event_id),
            task_queue=WEBHOOKS_QUEUE,
            parent_close_policy=workflow.ParentClosePolicy.ABANDON,
        )
