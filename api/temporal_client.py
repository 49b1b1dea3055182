"""Temporal, as the API calls it: start, query and steer jobs; deliveries; reconciliations.

Calls that the worker makes as well are in `autos.temporal_client`. Every call is bounded in time,
and raises `RPCError` when Temporal does not answer, which `api.problems` turns into a 503.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import structlog
from temporalio.api.enums.v1 import TaskQueueType
from temporalio.api.operatorservice.v1 import ListSearchAttributesRequest
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest, GetSystemInfoRequest
from temporalio.client import (
    Client,
    WorkflowFailureError,
    WorkflowHandle,
    WorkflowQueryFailedError,
    WorkflowQueryRejectedError,
    WorkflowUpdateFailedError,
    WorkflowUpdateRPCTimeoutOrCancelledError,
)
from temporalio.common import QueryRejectCondition, WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.exceptions import ApplicationError
from temporalio.service import RetryConfig, RPCError, RPCStatusCode

from api.problems import ENGINE_UNAVAILABLE, JOB_CLOSING, JOB_ENDED, Problem, unavailable
from autos import temporal_client
from autos.cnj import CaseNumber
from autos.contracts import temporal_names
from autos.contracts.download import Attach, AttachCheck, JobOptions, Progress, Steer
from autos.contracts.reconciliation import Reconcile, ReconcileOptions, Report
from autos.contracts.temporal_names import (
    JOBS_QUEUE,
    SEARCH_ATTRIBUTES,
    job_workflow_id,
    reconciliation_workflow_id,
)
from autos.temporal_client import RPC_TIMEOUT, Execution

log = structlog.get_logger(__name__)

PATIENCE_SECONDS: Final = 5.0
"""For one call with its retries; `rpc_timeout` bounds each try only."""
SIGNALS_AT_ONCE: Final = 20
"""Signals in flight when many jobs are notified of a new credential."""
_POLLED: Final = timedelta(minutes=2)
"""Longer than a worker's poll lasts."""
_GLANCE_SECONDS: Final = 1.0
"""For the result of a workflow that has ended, and for answers that a caller can do without."""

_REFUSALS: Final = {temporal_names.JOB_ENDED: JOB_ENDED, temporal_names.JOB_CLOSING: JOB_CLOSING}
_NO_WORKER: Final = (
    "No worker took the request up in time. One may do so yet: look at the job before you repeat "
    "the request."
)
_TOO_MANY: Final = (
    "The running job has been sent as many signals as it can take; it continues once a worker "
    "runs. Repeat the request then."
)


@dataclass(frozen=True, slots=True)
class JobReport:
    """What Temporal and its workers know of a process's newest job."""

    progress: Progress | None = None
    """Of a running job, when a worker answers for it."""
    execution: Execution | None = None
    """None if Temporal knows of no job, or does not answer."""
    answered: bool = True
    """False if a job may be running, but no worker or no Temporal answers."""


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """How far a reconciliation is."""

    begun: bool
    """False while no worker has taken it up."""
    failed: bool = False
    """It was cancelled or terminated."""
    report: Report | None = None
    """Once it has ended."""


async def connect() -> Client:
    """The client, by Temporal's own variables; it connects on first use."""
    return await temporal_client.connect(
        lazy=True,
        retry_config=RetryConfig(max_elapsed_time_millis=3_000, max_retries=5),
    )


class TemporalClient:
    """The API's calls to Temporal; see the module for what they raise."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._connected = False

    # ------------------------------------------------------------------ jobs

    async def attach(
        self, case: CaseNumber, attach: Attach, job_options: JobOptions, fairness_key: str
    ) -> str:
        """Start the process's job or join the running one, in one atomic call; the job's id.

        After an `RPCError` it is not known whether the job started.

        Raises:
            Problem: Temporal refuses the call.
        """
        async with self._call():
            try:
                return await temporal_client.attach(
                    self._client, case, attach, job_options, fairness_key
                )
            except RPCError as error:
                if error.status is not RPCStatusCode.INVALID_ARGUMENT:
                    raise
                raise await self._refused(error.message) from error

    async def check_attach(self, digits: str, attach: Attach) -> AttachCheck | None:
        """Query the running job whether attaching would change anything; None without an answer."""
        try:
            async with self._call(_GLANCE_SECONDS):
                check: AttachCheck = await self._job(digits).query(
                    "check_attach",
                    attach,
                    result_type=AttachCheck,
                    reject_condition=QueryRejectCondition.NOT_OPEN,
                    rpc_timeout=RPC_TIMEOUT,
                )
                return check
        except (WorkflowQueryRejectedError, WorkflowQueryFailedError, RPCError) as error:
            log.info("attach_unchecked", process=digits, error=type(error).__name__)
            return None

    async def report(self, digits: str) -> JobReport:
        """What is known of the process's newest job; raises nothing.

        A worker has a second to answer, and so has Temporal where no worker did.
        """
        try:
            async with self._call(_GLANCE_SECONDS):
                progress: Progress = await self._job(digits).query(
                    "progress",
                    result_type=Progress,
                    # An ended job would be replayed as a whole to answer; the records know it.
                    reject_condition=QueryRejectCondition.NOT_OPEN,
                    rpc_timeout=RPC_TIMEOUT,
                )
                return JobReport(progress)
        except WorkflowQueryRejectedError:
            answered = True
        except (WorkflowQueryFailedError, RPCError) as error:
            answered = isinstance(error, RPCError) and error.status is RPCStatusCode.NOT_FOUND
            if not answered:
                log.warning("progress_unanswered", process=digits, error=type(error).__name__)
        try:
            async with self._call(_GLANCE_SECONDS):
                execution = await self.execution(digits)
        except RPCError:
            return JobReport(answered=False)
        # A job that has ended has no progress to wait for.
        return JobReport(None, execution, answered or (execution is None or not execution.running))

    async def execution(self, digits: str) -> Execution | None:
        """The newest job of the process; needs no worker. None when Temporal knows of none."""
        async with self._call():
            return await temporal_client.newest(self._client, job_workflow_id(digits))

    async def wait_for_end(self, digits: str, job_id: str, seconds: float) -> None:
        """Return when the job has ended or the time is up, whichever is first."""
        handle = self._client.get_workflow_handle(job_workflow_id(digits), run_id=job_id)
        try:
            async with asyncio.timeout(seconds):
                await handle.result()
        except TimeoutError:
            return
        except (WorkflowFailureError, RPCError) as error:
            # The records say whether and how it ended.
            log.info("wait_ended", job_id=job_id, error=type(error).__name__)

    async def cancel(self, digits: str, job_id: str) -> None:
        """Request the job to stop; it writes its end and notifies its subscribers.

        Raises:
            Problem: the job has ended.
        """
        execution = await self.execution(digits)
        if execution is None or not execution.running or execution.first_run_id != job_id:
            raise Problem(JOB_ENDED)
        async with self._steering(digits, job_id) as job:
            await job.cancel(rpc_timeout=RPC_TIMEOUT, reason="Requested through the API")

    async def steer(self, digits: str, job_id: str, verb: str) -> Progress:
        """Have the job `pause`, `resume` or `retry_failed`; its progress after that.

        Raises:
            Problem: the job has ended or is ending, or no worker answers for it.
        """
        try:
            async with self._steering(digits, job_id) as job:
                progress: Progress = await job.execute_update(
                    verb, Steer(job_id=job_id), result_type=Progress
                )
                return progress
        except WorkflowUpdateFailedError as error:
            kind = error.cause.type if isinstance(error.cause, ApplicationError) else None
            if kind in _REFUSALS:
                raise Problem(_REFUSALS[kind]) from error
            raise
        except WorkflowUpdateRPCTimeoutOrCancelledError as error:
            log.warning("steering_unanswered", job_id=job_id, verb=verb)
            raise unavailable(ENGINE_UNAVAILABLE, _NO_WORKER) from error

    async def wake(self, numbers: Iterable[str]) -> int:
        """Signal the jobs of these processes that there is a new credential; how many of them run.

        A failed signal is raised only after all others were sent.
        """
        slots = asyncio.Semaphore(SIGNALS_AT_ONCE)
        woken = await asyncio.gather(
            *(self._wake(digits, slots) for digits in numbers), return_exceptions=True
        )
        for result in woken:
            if isinstance(result, BaseException):
                raise result
        return woken.count(True)

    async def _wake(self, digits: str, slots: asyncio.Semaphore) -> bool:
        """False if no job of the process runs."""
        try:
            async with slots, self._call():
                await self._job(digits).signal("credential_changed", rpc_timeout=RPC_TIMEOUT)
        except RPCError as error:
            if error.status is not RPCStatusCode.NOT_FOUND:
                raise
            return False
        return True

    def _job(self, digits: str, job_id: str | None = None) -> WorkflowHandle[Any, Any]:
        """The process's job: the newest, or the one with this id."""
        return self._client.get_workflow_handle(
            job_workflow_id(digits), first_execution_run_id=job_id
        )

    @asynccontextmanager
    async def _steering(self, digits: str, job_id: str) -> AsyncIterator[WorkflowHandle[Any, Any]]:
        async with self._call():
            try:
                yield self._job(digits, job_id)
            except RPCError as error:
                if error.status is RPCStatusCode.NOT_FOUND:
                    raise Problem(JOB_ENDED) from error
                raise

    async def _refused(self, message: str) -> Problem:
        """Why Temporal refuses to start or signal a job as INVALID_ARGUMENT."""
        missing = await self.missing_search_attributes()
        if missing != []:
            log.error(
                "engine_refused",
                missing=missing,
                advice="Register these search attributes in Temporal's namespace (see the README).",
            )
            return unavailable(ENGINE_UNAVAILABLE)
        log.error("engine_refused", answer=message, advice="Let a worker run, or cancel the job.")
        return unavailable(ENGINE_UNAVAILABLE, _TOO_MANY)

    # ------------------------------------------------------------------ deliveries, reconciliations

    async def redeliver(self, event_id: str) -> None:
        """Deliver an event again: now if its workflow runs, else in a new one."""
        async with self._call():
            await temporal_client.deliver(
                self._client, event_id, summary="Delivered again by request", now=True
            )

    async def reconcile(self, *, dry_run: bool) -> str:
        """Start a reconciliation or join the running one; its id."""
        async with self._call():
            handle = await self._client.start_workflow(
                "ReconcileWorkflow",
                Reconcile(terms=ReconcileOptions(dry_run=dry_run)),
                id=reconciliation_workflow_id(dry_run=dry_run),
                task_queue=JOBS_QUEUE,
                id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
                id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
                static_summary="Requested through the API",
                rpc_timeout=RPC_TIMEOUT,
            )
            joined = await temporal_client.newest(
                self._client, handle.id, run_id=handle.result_run_id
            )
        return joined.first_run_id if joined else str(handle.result_run_id)

    async def reconciliation(self, run_id: str, seconds: float) -> Reconciliation | None:
        """How far a reconciliation is, at its end or after this time; None for an unknown one."""
        found = None
        async with self._call():
            for dry_run in (False, True):
                workflow_id = reconciliation_workflow_id(dry_run=dry_run)
                found = found or await temporal_client.newest(
                    self._client, workflow_id, run_id=run_id
                )
        if found is None:
            return None
        if found.running and not seconds:
            return Reconciliation(begun=found.started)
        handle: WorkflowHandle[Any, Report] = self._client.get_workflow_handle(
            found.workflow_id, run_id=run_id, result_type=Report
        )
        try:
            async with asyncio.timeout(max(seconds, _GLANCE_SECONDS)):
                return Reconciliation(begun=True, report=await handle.result())
        except WorkflowFailureError:
            return Reconciliation(begun=True, failed=True)
        except TimeoutError:
            pass
        async with self._call():
            latest = await temporal_client.newest(self._client, found.workflow_id, run_id=run_id)
        return Reconciliation(begun=latest is None or latest.started)

    # ------------------------------------------------------------------ the server itself

    async def ready(self) -> None:
        """Raise `RPCError` unless Temporal answers."""
        async with self._call():
            await self._client.workflow_service.get_system_info(
                GetSystemInfoRequest(), timeout=RPC_TIMEOUT
            )

    async def missing_search_attributes(self) -> list[str] | None:
        """Those of ours that the namespace does not know; None where Temporal does not say."""
        request = ListSearchAttributesRequest(namespace=self._client.namespace)
        try:
            async with self._call():
                known = await self._client.operator_service.list_search_attributes(
                    request, timeout=RPC_TIMEOUT
                )
        except RPCError as error:
            if error.status in (RPCStatusCode.PERMISSION_DENIED, RPCStatusCode.UNIMPLEMENTED):
                return None
            raise
        return [key.name for key in SEARCH_ATTRIBUTES if key.name not in known.custom_attributes]

    async def pollers(self, queue: str) -> int:
        """How many workers polled a task queue in the last two minutes."""
        kinds = (TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW, TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY)
        recent = datetime.now(UTC) - _POLLED
        seen: set[str] = set()
        async with self._call():
            for kind in kinds:
                answer = await self._client.workflow_service.describe_task_queue(
                    DescribeTaskQueueRequest(
                        namespace=self._client.namespace,
                        task_queue=TaskQueue(name=queue),
                        task_queue_type=kind,
                    ),
                    timeout=RPC_TIMEOUT,
                )
                seen |= {
                    poller.identity
                    for poller in answer.pollers
                    if poller.last_access_time.ToDatetime(UTC) > recent
                }
        return len(seen)

    @asynccontextmanager
    async def _call(self, seconds: float | None = None) -> AsyncIterator[None]:
        """Connect, and bound the block in time; raises `RPCError` if Temporal does not answer."""
        try:
            async with asyncio.timeout(PATIENCE_SECONDS if seconds is None else seconds):
                await self._connect()
                yield
        except TimeoutError:
            raise RPCError("No answer in time", RPCStatusCode.DEADLINE_EXCEEDED, b"") from None

    async def _connect(self) -> None:
        """Connect the lazy client; only this step raises the library's bare RuntimeError."""
        if self._connected:
            return
        try:
            await self._client.workflow_service.get_system_info(
                GetSystemInfoRequest(), timeout=RPC_TIMEOUT
            )
        except RuntimeError as error:
            raise RPCError(str(error), RPCStatusCode.UNAVAILABLE, b"") from error
        self._connected = True
