"""Every registered activity raises an unexpected exception, on a real Temporal server."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, NoReturn, cast

import pytest
import structlog
from pydantic import BaseModel, SecretStr
from temporalio import workflow
from temporalio.client import Client, WorkflowFailureError
from temporalio.common import RetryPolicy
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.exceptions import ActivityError, ApplicationError
from temporalio.runtime import MetricBuffer, Runtime, TelemetryConfig
from temporalio.worker import Worker

from activities.failures import MESSAGES, METRIC
from autos.cnj import CaseNumber
from autos.contracts.deliveries import AbandonDelivery, AttemptDelivery
from autos.contracts.download import (
    AwaitSource,
    BatchDocument,
    CloseJob,
    DownloadBatch,
    FetchProcess,
    RecordJob,
)
from autos.contracts.reconciliation import ReconcileOptions, ReconcilePage, Step
from autos.contracts.states import JobStatus
from autos.contracts.temporal_names import INTERNAL_ERROR, WEBHOOKS_QUEUE
from autos.settings import Settings
from worker.main import DELIVERY_SLOTS, Parts, build_workers

FOREIGN: Final = "https://bucket.example/9990001?X-Amz-Signature=secret"
ATTEMPTS: Final = 2
NUMBER: Final = CaseNumber.build(9_994_990, 2024, 8, 26, 100).digits

INPUTS: Final[dict[str, BaseModel]] = {
    "fetch_process": FetchProcess(job_id="j", process_number=NUMBER, max_age_seconds=0),
    "await_source": AwaitSource(
        job_id="j",
        process_number=NUMBER,
        status=JobStatus.PROCESSING,
        since=datetime.now(UTC),
        until=datetime.now(UTC),
        retry_unit_seconds=1,
    ),
    "download_batch": DownloadBatch(
        job_id="j", process_number=NUMBER, batch=1, documents=[BatchDocument(position=0)]
    ),
    "record_job": RecordJob(job_id="j", process_number=NUMBER, status=JobStatus.PROCESSING),
    "close_job": CloseJob(job_id="j", process_number=NUMBER, states=""),
    "reconcile_page": ReconcilePage(step=Step.JOBS, terms=ReconcileOptions()),
    "attempt_delivery": AttemptDelivery(event_id="e", number=1),
    "abandon_delivery": AbandonDelivery(event_id="e", number=1),
}
"""One input for each activity."""


class Unexpected(Exception):
    """An exception that no code of Autos handles."""


class Broken:
    """A dependency whose every call raises."""

    def __getattr__(self, name: str) -> Callable[..., NoReturn]:
        def fail(*_: object, **__: object) -> NoReturn:
            raise Unexpected(FOREIGN)

        return fail


class Call(BaseModel):
    """Which activity to call."""

    activity: str
    queue: str
    argument: dict[str, Any]


@workflow.defn(sandboxed=False)
class CallActivity:
    """Calls one activity, with at most `ATTEMPTS` attempts."""

    @workflow.run
    async def run(self, call: Call) -> None:
        await workflow.execute_activity(
            call.activity,
            call.argument,
            task_queue=call.queue,
            start_to_close_timeout=timedelta(seconds=60),
            heartbeat_timeout=timedelta(seconds=60),
            retry_policy=RetryPolicy(
                initial_interval=timedelta(milliseconds=10), maximum_attempts=ATTEMPTS
            ),
        )


def broken_workers(client: Client) -> list[Worker]:
    part = cast(Any, Broken())
    parts = Parts(
        database=part, source=part, store=part, sender=part, spool_directory=Path("/nowhere")
    )
    return build_workers(client, parts, Settings(secret_key=SecretStr("k" * 32)))


def registered(workers: list[Worker]) -> dict[str, str]:
    """Every activity by name, with its queue."""
    return {
        function.__name__: worker.task_queue
        for worker in workers
        for function in worker.config()["activities"]
    }


@pytest.fixture
async def metrics() -> MetricBuffer:
    return MetricBuffer(10_000)


@pytest.fixture
async def client(temporal: Client, metrics: MetricBuffer) -> Client:
    """A client of the session's server whose metrics are readable."""
    return await Client.connect(
        temporal.service_client.config.target_host,
        data_converter=pydantic_data_converter,
        runtime=Runtime(telemetry=TelemetryConfig(metrics=metrics)),
    )


@pytest.fixture
async def queues(client: Client) -> AsyncIterator[dict[str, str]]:
    async with AsyncExitStack() as running:
        workers = broken_workers(client)
        for worker in workers:
            await running.enter_async_context(worker)
        caller = Worker(client, task_queue="callers", workflows=[CallActivity])
        await running.enter_async_context(caller)
        yield registered(workers)


async def test_first_attempts_have_as_many_slots_as_later_ones(client: Client) -> None:
    """A first attempt occupies a slot of a workflow task and one of a local activity."""
    (webhooks,) = (
        worker for worker in broken_workers(client) if worker.task_queue == WEBHOOKS_QUEUE
    )
    config = webhooks.config()
    slots = (
        config["max_concurrent_activities"],
        config["max_concurrent_local_activities"],
        config["max_concurrent_workflow_tasks"],
    )
    assert slots == (DELIVERY_SLOTS,) * 3


async def test_unexpected_exception_in_any_activity_is_an_internal_error(
    client: Client, queues: dict[str, str], metrics: MetricBuffer
) -> None:
    """(S16) Bounded attempts, no text of the exception in Temporal, a log line and a metric."""
    assert queues.keys() == INPUTS.keys()
    for name, queue in queues.items():
        with structlog.testing.capture_logs() as logged:
            handle = await client.start_workflow(
                CallActivity.run,
                Call(activity=name, queue=queue, argument=INPUTS[name].model_dump(mode="json")),
                id=f"failing-{name}",
                task_queue="callers",
                execution_timeout=timedelta(seconds=180),
            )
            with pytest.raises(WorkflowFailureError) as failed:
                await handle.result()
        activity_error = failed.value.cause
        assert isinstance(activity_error, ActivityError), name
        error = activity_error.cause
        assert isinstance(error, ApplicationError), name
        assert error.type == INTERNAL_ERROR
        assert error.message == MESSAGES[INTERNAL_ERROR]
        assert error.cause is None
        assert "secret" not in (await handle.fetch_history()).to_json()
        lines = [line for line in logged if line["event"] == "activity_failed"]
        assert [line["attempt"] for line in lines] == [1, ATTEMPTS], name
        for line in lines:
            assert (line["activity"], line["kind"]) == (name, "internal_error")
            assert isinstance(line["exc_info"], Unexpected)
            assert line["exc_info"].__traceback__ is not None
    counted = dict.fromkeys(queues, 0)
    for update in metrics.retrieve_updates():
        if update.metric.name == METRIC and update.attributes["kind"] == "internal_error":
            counted[str(update.attributes["activity_type"])] += int(update.value)
    assert counted == dict.fromkeys(queues, ATTEMPTS)
