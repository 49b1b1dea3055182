"""The job engine: everything the API says to Temporal and hears from it.

Calls that the worker makes as well are in `autos.temporal_client`. This module adds what only the
API asks, and turns Temporal's absence into a problem document.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum
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
from temporalio.common import (
    QueryRejectCondition,
    WorkflowIDConflictPolicy,
    WorkflowIDReusePolicy,
)
from temporalio.exceptions import ApplicationError
from temporalio.service import RetryConfig, RPCError, RPCStatusCode

from api.problems import ENGINE_UNAVAILABLE, JOB_CLOSING, JOB_ENDED, Problem, unavailable
from autos import temporal_client
from autos.cnj import CaseNumber
from autos.contracts import names
from autos.contracts.download import Attach, AttachCheck, JobOptions, Progress, Steer
from autos.contracts.names import (
    JOBS_QUEUE,
    SEARCH_ATTRIBUTES,
    job_workflow_id,
    reconciliation_workflow_id,
)
from autos.contracts.reconciliation import Reconcile, ReconcileOptions, Report
from autos.temporal_client import RPC_TIMEOUT, Execution

log = structlog.get_logger(__name__)

PATIENCE_SECONDS: Final = 5.0
"""For one call with its retries. `rpc_timeout` bounds each try only."""
WAKING_AT_ONCE: Final = 20
"""Signals in flight when many jobs are told of a new credential."""
_POLLED: Final = timedelta(minutes=2)
"""Longer than a worker's poll lasts."""
_GLANCE_SECONDS: Final = 1.0
"""Enough for the result of what has ended, or for a question that need not be answered."""

_REFUSALS: Final = {names.JOB_ENDED: JOB_ENDED, names.JOB_CLOSING: JOB_CLOSING}
_NO_WORKER: Final = (
    "No worker took the request up in time. One may do so yet: look at the job before you repeat "
    "the request."
)
_TOO_MANY: Final = (
    "The running job has been sent all that it can take; it goes on once a worker runs. Repeat the "
    "request then."
)


class Unanswered(Enum):
    """Why there is no word from a job itself."""

    NOT_RUNNING = "no job of the process is running"
    NO_ANSWER = "a job may be running, but no worker answers, or Temporal is away"


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
    """The client, by Temporal's own variables; it connects on first use, so the API boots alone."""
    return await temporal_client.connect(
        lazy=True,
        retry_config=RetryConfig(max_elapsed_time_millis=3_000, max_retries=5),
    )


class TemporalClient:
    """Starts, asks and steers jobs."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._connected = False

    async def attach(
        self, case: CaseNumber, attach: Attach, job_options: JobOptions, fairness_key: str
    ) -> str:
        """Start the process's job or join the running one, in one atomic call; the job's id.

        Raises:
            Problem: Temporal cannot be reached; whether the job started is not known.
        """
        async with self._reaching():
            try:
                return await temporal_client.attach(
                    self._client, case, attach, job_options, fairness_key
                )
            except RPCError as error:
                if error.status is not RPCStatusCode.INVALID_ARGUMENT:
                    raise
                raise await self._refused(error.message) from error

    async def check_attach(self, digits: str, attach: Attach) -> AttachCheck | None:
        """Ask the running job whether attaching would change anything; None without an answer."""
        handle = self._client.get_workflow_handle(job_workflow_id(digits))
        try:
            async with asyncio.timeout(_GLANCE_SECONDS):
                await self._connect()
                check: AttachCheck = await handle.query(
                    "check_attach",
                    attach,
                    result_type=AttachCheck,
                    reject_condition=QueryRejectCondition.NOT_OPEN,
                    rpc_timeout=RPC_TIMEOUT,
                )
                return check
        except (WorkflowQueryRejectedError, WorkflowQueryFailedError, RPCError) as error:
            log.info("attach_unchecked", process=digits, error=type(error).__name__)
        except (TimeoutError, Problem) as error:
            log.warning("attach_unchecked", process=digits, error=type(error).__name__)
        return None

    async def progress(self, digits: str) -> Progress | Unanswered:
        """Ask the running job how far it is; how long that may take is for the caller to bound."""
        handle = self._client.get_workflow_handle(job_workflow_id(digits))
        try:
            await self._connect()
            progress: Progress = await handle.query(
                "progress",
                result_type=Progress,
                # An ended job would be answered by replaying all of it; the records know it.
                reject_condition=QueryRejectCondition.NOT_OPEN,
                rpc_timeout=RPC_TIMEOUT,
            )
        except WorkflowQueryRejectedError:
            return Unanswered.NOT_RUNNING
        except RPCError as error:
            if error.status is RPCStatusCode.NOT_FOUND:
                return Unanswered.NOT_RUNNING
            silent = error.status.name
        except (Problem, WorkflowQueryFailedError) as error:
            silent = type(error).__name__
        else:
            return progress
        log.warning("progress_unanswered", process=digits, error=silent)
        return Unanswered.NO_ANSWER

    async def execution(self, digits: str) -> Execution | None:
        """The newest job of the process; needs no worker. None when Temporal knows of none.

        Raises:
            Problem: Temporal cannot be reached.
        """
        async with self._reaching():
            return await temporal_client.newest(self._client, job_workflow_id(digits))

    async def redeliver(self, event_id: str) -> None:
        """Deliver an event again: now if its workflow runs, else in a new one.

        Raises:
            Problem: Temporal cannot be reached.
        """
        async with self._reaching():
            await temporal_client.deliver(
                self._client, event_id, summary="Redelivery requested through the API", now=True
            )

    async def wait_for_end(self, digits: str, job_id: str, seconds: float) -> None:
        """Come back when the job has ended or the time is up, whichever is first."""
        handle: Any = self._client.get_workflow_handle(job_workflow_id(digits), run_id=job_id)
        try:
            async with asyncio.timeout(seconds):
                await handle.result()
        except TimeoutError:
            return
        except (WorkflowFailureError, RPCError) as error:
            # The records say how it ended, or that it goes on; waiting was only a courtesy.
            log.info("wait_ended", job_id=job_id, error=type(error).__name__)

    async def cancel(self, digits: str, job_id: str) -> None:
        """Ask the job to stop; it writes its end and tells its subscribers."""
        await self._check_running(digits, job_id)
        handle = self._client.get_workflow_handle(
            job_workflow_id(digits), first_execution_run_id=job_id
        )
        async with self._steering():
            await handle.cancel(rpc_timeout=RPC_TIMEOUT, reason="Cancelled through the API")

    async def steer(self, digits: str, job_id: str, verb: str) -> Progress:
        """Have the job `pause`, `resume` or `retry_failed`; what it says of itself after that.

        Raises:
            Problem: the job has ended or is writing its end, no worker answers for it, or Temporal
                cannot be reached.
        """
        handle = self._client.get_workflow_handle(
            job_workflow_id(digits), first_execution_run_id=job_id
        )
        try:
            async with self._steering():
                progress: Progress = await handle.execute_update(
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
        """Tell the jobs of these processes of a new credential; how many of them run.

        Raises:
            Problem: Temporal cannot be reached.
        """
        at_once = asyncio.Semaphore(WAKING_AT_ONCE)

        async def wake_one(digits: str) -> bool:
            handle = self._client.get_workflow_handle(job_workflow_id(digits))
            async with at_once, self._reaching():
                try:
                    await handle.signal("credential_changed", rpc_timeout=RPC_TIMEOUT)
                except RPCError as error:
                    # One that has just ended needs no waking; the others must not miss it.
                    if error.status is not RPCStatusCode.NOT_FOUND:
                        raise
                    return False
                return True

        woken = await asyncio.gather(*map(wake_one, numbers), return_exceptions=True)
        for answer in woken:
            if isinstance(answer, BaseException):
                raise answer
        return sum(answer is True for answer in woken)

    async def reconcile(self, *, dry_run: bool) -> str:
        """Start a reconciliation or join the running one; its id.

        Raises:
            Problem: Temporal cannot be reached.
        """
        async with self._reaching():
            handle = await self._client.start_workflow(
                "ReconcileWorkflow",
                Reconcile(terms=ReconcileOptions(dry_run=dry_run)),
                id=reconciliation_workflow_id(dry_run=dry_run),
                task_queue=JOBS_QUEUE,
                id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
                id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
                static_summary="Asked for by the API",
                rpc_timeout=RPC_TIMEOUT,
            )
            joined = await temporal_client.newest(
                self._client, handle.id, run_id=handle.result_run_id
            )
        return joined.first_run_id if joined else str(handle.result_run_id)

    async def reconciliation(self, run_id: str, seconds: float) -> Reconciliation | None:
        """How far a reconciliation is, at its end or when the time is up; None for an unknown one.

        Raises:
            Problem: Temporal cannot be reached.
        """
        found = None
        async with self._reaching():
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
        except RPCError as error:
            raise unavailable(ENGINE_UNAVAILABLE) from error
        except TimeoutError:
            pass
        async with self._reaching():
            latest = await temporal_client.newest(self._client, found.workflow_id, run_id=run_id)
        return Reconciliation(begun=latest is None or latest.started)

    async def ready(self) -> None:
        """Ask Temporal one small question.

        Raises:
            Problem: it cannot be reached.
        """
        async with self._reaching():
            await self._client.workflow_service.get_system_info(
                GetSystemInfoRequest(), timeout=RPC_TIMEOUT
            )

    async def missing_search_attributes(self) -> list[str] | None:
        """Those of ours that the namespace does not know; None where Temporal does not say.

        Raises:
            Problem: Temporal cannot be reached.
        """
        request = ListSearchAttributesRequest(namespace=self._client.namespace)
        async with self._reaching():
            try:
                known = await self._client.operator_service.list_search_attributes(
                    request, timeout=RPC_TIMEOUT
                )
            except RPCError as error:
                if error.status in (RPCStatusCode.PERMISSION_DENIED, RPCStatusCode.UNIMPLEMENTED):
                    return None
                raise
        return [key.name for key in SEARCH_ATTRIBUTES if key.name not in known.custom_attributes]

    async def pollers(self, queue: str) -> int:
        """How many workers polled a task queue in the last two minutes.

        Raises:
            Problem: Temporal cannot be reached.
        """
        kinds = (TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW, TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY)
        recent = datetime.now(UTC) - _POLLED
        seen: set[str] = set()
        async with self._reaching():
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

    async def _check_running(self, digits: str, job_id: str) -> None:
        execution = await self.execution(digits)
        if execution is None or not execution.running or execution.first_run_id != job_id:
            raise Problem(JOB_ENDED)

    @asynccontextmanager
    async def _steering(self) -> AsyncIterator[None]:
        async with self._reaching():
            try:
                yield
            except RPCError as error:
                # It ended between the check and the message.
                if error.status is RPCStatusCode.NOT_FOUND:
                    raise Problem(JOB_ENDED) from error
                raise

    @asynccontextmanager
    async def _reaching(self) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                await self._connect()
                yield
        except (RPCError, TimeoutError) as error:
            status = error.status.name if isinstance(error, RPCError) else "TIMEOUT"
            log.warning("engine_unavailable", status=status)
            raise unavailable(ENGINE_UNAVAILABLE) from error

    async def _refused(self, answer: str) -> Problem:
        """Why Temporal calls the start of a job invalid: its error says so in words only."""
        missing = await self.missing_search_attributes()
        if missing != []:
            log.error(
                "engine_refused",
                missing=missing,
                advice="Register these search attributes in Temporal's namespace (see the README).",
            )
            return unavailable(ENGINE_UNAVAILABLE)
        log.error("engine_refused", answer=answer, advice="Let a worker run, or cancel the job.")
        return unavailable(ENGINE_UNAVAILABLE, _TOO_MANY)

    async def _connect(self) -> None:
        """Connect the lazy client; only this step raises the library's bare RuntimeError."""
        if self._connected:
            return
        try:
            await self._client.workflow_service.get_system_info(
                GetSystemInfoRequest(), timeout=RPC_TIMEOUT
            )
        except RuntimeError as error:
            log.warning("engine_unavailable", status="NOT_CONNECTED")
            raise unavailable(ENGINE_UNAVAILABLE) from error
        self._connected = True
