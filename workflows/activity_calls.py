"""Every activity with its task queue and time limits, and `call`, which calls one and retries it.

The outcome of a document or a webhook delivery is an activity's result, never its failure. An
activity fails only when a part of Autos fails. `call` then makes a few quick attempts. During an
outage of records or store the server retries while the job shows the wait. An internal error ends
the call in bounded time. The retry policies are in `autos.contracts.retries`.

Workflow code must not import `activities`, whose libraries cannot be loaded in the workflow
sandbox. The activities are therefore declared by name, and a test compares the names with the
registered ones.
"""

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final, Generic, TypeAlias, TypeVar

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import (
    ActivityError,
    ApplicationError,
    FailureError,
    RetryState,
    is_cancelled_exception,
)

with workflow.unsafe.imports_passed_through():
    from autos.contracts.deliveries import AbandonDelivery, AttemptDelivery, AttemptedDelivery
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
    from autos.contracts.reasons import Reason, WaitReason
    from autos.contracts.reconciliation import ReconciledPage, ReconcilePage
    from autos.contracts.retries import DURING_OUTAGE, PATIENCE, QUICK, QUICK_ROUNDS
    from autos.contracts.temporal_names import (
        INTERNAL_ERROR,
        JOBS_QUEUE,
        RECORDS,
        SOURCE_QUEUE,
        STORAGE,
        WEBHOOKS_QUEUE,
    )

Request = TypeVar("Request")
Result = TypeVar("Result")

_HEARTBEAT_TIMEOUT: Final = timedelta(seconds=15)
"""An activity without a heartbeat for this long is run again on another worker."""


@dataclass(frozen=True)
class Activity(Generic[Request, Result]):
    """An activity's name and options.

    Args:
        name: as the worker registers it.
        result: the type of its result.
        queue: the task queue.
        timeout: of one attempt.
        local: the workflow's own worker makes the first attempt, within the workflow task, which
            costs one event in place of six. A lost task repeats the attempt, perhaps with another
            request, so this is not for an activity that ends something.
        stops_first: on cancellation, wait until the activity has stopped, because it must not
            write after the job's end.
    """

    name: str
    result: type[Result]
    queue: str
    timeout: timedelta
    local: bool = False
    stops_first: bool = True


FETCH_PROCESS: Final = Activity[FetchProcess, FetchedProcess](
    "fetch_process", FetchedProcess, SOURCE_QUEUE, timedelta(minutes=30)
)
DOWNLOAD_BATCH: Final = Activity[DownloadBatch, BatchResult](
    "download_batch", BatchResult, SOURCE_QUEUE, timedelta(hours=12)
)
AWAIT_SOURCE: Final = Activity[AwaitSource, SourceCheck](
    "await_source", SourceCheck, SOURCE_QUEUE, timedelta(minutes=10)
)
RECORD_JOB: Final = Activity[RecordJob, None](
    "record_job", type(None), JOBS_QUEUE, timedelta(minutes=5)
)
CLOSE_JOB: Final = Activity[CloseJob, ClosedJob](
    "close_job", ClosedJob, JOBS_QUEUE, timedelta(minutes=5)
)
RECONCILE_PAGE: Final = Activity[ReconcilePage, ReconciledPage](
    "reconcile_page",
    ReconciledPage,
    JOBS_QUEUE,
    timedelta(minutes=15),
    stops_first=False,
)
# The request takes up to 15 s; the records before and after it take the rest.
ATTEMPT_DELIVERY: Final = Activity[AttemptDelivery, AttemptedDelivery](
    "attempt_delivery",
    AttemptedDelivery,
    WEBHOOKS_QUEUE,
    timedelta(seconds=60),
    stops_first=False,
)
FIRST_ATTEMPT: Final = replace(ATTEMPT_DELIVERY, local=True)
ABANDON_DELIVERY: Final = Activity[AbandonDelivery, None](
    "abandon_delivery", type(None), WEBHOOKS_QUEUE, timedelta(seconds=60), stops_first=False
)


class CallFailed(ApplicationError):
    """An activity returned no result; a workflow that needs the result fails with this error."""

    reason = Reason.INTERNAL_ERROR
    """Recorded for the documents or the job that end because of this error."""


class ActivityDefect(CallFailed):
    """The activity failed on every allowed attempt, and waiting does not help."""

    def __init__(self, activity: str) -> None:
        super().__init__(
            f"{activity} failed with an internal error; see the worker's log.",
            type=INTERNAL_ERROR,
            non_retryable=True,
        )


class OutageTooLong(CallFailed):
    """Records or store have been unavailable for longer than the call waits."""

    def __init__(self, activity: str, waiting_for: WaitReason) -> None:
        super().__init__(
            f"{activity} has waited too long for {waiting_for}.",
            type=waiting_for,
            non_retryable=True,
        )
        if waiting_for is WaitReason.STORAGE:
            self.reason = Reason.STORAGE


Outage: TypeAlias = Callable[[WaitReason, datetime], AbstractAsyncContextManager[None]]
"""While entered, shows what the workflow waits for and when it gives up."""


async def call(
    activity: Activity[Request, Result],
    request: Request,
    summary: str,
    outage: Outage | None,
) -> Result:
    """Call an activity until it has a result.

    Args:
        activity: one of this module.
        request: its input.
        summary: shown in the Web UI.
        outage: entered during a wait for records or store; None means no such wait.

    Raises:
        ActivityDefect: the activity failed on every attempt.
        OutageTooLong: records or store stayed unavailable.
        asyncio.CancelledError, ActivityError: the workflow or the calling task was cancelled.
    """
    if activity.local:
        try:
            result = await _run_locally(activity, request, summary)
        except FailureError as error:
            if is_cancelled_exception(error):
                raise asyncio.CancelledError from error
            # Whatever it was, the attempts through the server decide.
            _check_not_cancelled()
        else:
            _check_not_cancelled()
            return result
    until: datetime | None = None
    for _ in range(QUICK_ROUNDS):
        try:
            result = await schedule(activity, request, summary, QUICK)
        except ActivityError as error:
            waiting_for = _outage_of(activity.name, error)
        else:
            _check_not_cancelled()
            return result
        if waiting_for is None:
            continue
        until = until or workflow.now() + PATIENCE
        left = until - workflow.now()
        if outage is None or left <= timedelta(0):
            raise OutageTooLong(activity.name, waiting_for)
        try:
            async with outage(waiting_for, until):
                result = await schedule(activity, request, summary, DURING_OUTAGE, left)
        except ActivityError as error:
            _check_not_cancelled(error)
            if out_of_time(error, DURING_OUTAGE):
                raise OutageTooLong(activity.name, waiting_for) from error
        else:
            _check_not_cancelled()
            return result
    raise ActivityDefect(activity.name)


def schedule(
    activity: Activity[Request, Result],
    request: Request,
    summary: str,
    policy: RetryPolicy,
    limit: timedelta | None = None,
) -> workflow.ActivityHandle[Result]:
    """Schedule an activity; the server retries it by the policy, for at most `limit`."""
    return workflow.start_activity(
        activity.name,
        request,
        result_type=activity.result,
        task_queue=activity.queue,
        start_to_close_timeout=activity.timeout,
        schedule_to_close_timeout=limit,
        heartbeat_timeout=_HEARTBEAT_TIMEOUT,
        retry_policy=policy,
        cancellation_type=_cancellation(activity),
        summary=summary,
    )


def _run_locally(
    activity: Activity[Request, Result], request: Request, summary: str
) -> workflow.ActivityHandle[Result]:
    """Run an activity once on this workflow's worker, within the workflow task."""
    return workflow.start_local_activity(
        activity.name,
        request,
        result_type=activity.result,
        start_to_close_timeout=activity.timeout,
        retry_policy=RetryPolicy(maximum_attempts=1),
        cancellation_type=_cancellation(activity),
        summary=summary,
    )


def _cancellation(
    activity: Activity[Request, Result],
) -> workflow.ActivityCancellationType:
    if activity.stops_first:
        return workflow.ActivityCancellationType.WAIT_CANCELLATION_COMPLETED
    return workflow.ActivityCancellationType.TRY_CANCEL


def out_of_time(error: BaseException, policy: RetryPolicy) -> bool:
    """True when an activity, retried by a policy without a bound on attempts, ran out of time."""
    return (
        isinstance(error, ActivityError)
        and not is_cancelled_exception(error)
        and _error_type(error) not in (policy.non_retryable_error_types or ())
    )


def history_is_long(limit: int | None) -> bool:
    """True when the run should continue as new: at `limit` events or as the server suggests."""
    info = workflow.info()
    return info.is_continue_as_new_suggested() or bool(
        limit and info.get_current_history_length() >= limit
    )


def _error_type(error: ActivityError) -> str | None:
    return error.cause.type if isinstance(error.cause, ApplicationError) else None


def _outage_of(name: str, error: ActivityError) -> WaitReason | None:
    """What to wait for after the quick attempts; None when another round of them may succeed."""
    _check_not_cancelled(error)
    error_type = _error_type(error)
    if error_type in (RECORDS, STORAGE):
        return WaitReason(error_type)
    if error_type == INTERNAL_ERROR or error.retry_state is RetryState.NON_RETRYABLE_FAILURE:
        raise ActivityDefect(name) from error
    # The workers died or were stopped. Only repeated failures count as a defect of the activity.
    return None


def _check_not_cancelled(error: ActivityError | None = None) -> None:
    """Raise the cancellation that an activity's result or failure may hide.

    A result can arrive before the cancellation reaches the activity, and an activity whose worker
    died times out in place of being cancelled.
    """
    if error is not None and is_cancelled_exception(error):
        raise error
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError
