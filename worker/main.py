"""Runs the workers of all task queues in one process until SIGTERM or SIGINT.

On a signal, the workers stop polling at once. Running activities have `GRACE` to finish; then they
are cancelled, and Temporal retries them on another worker. For more throughput, run more processes.
"""

import asyncio
import contextlib
import signal
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import structlog
from temporalio.client import Client
from temporalio.common import MetricMeter
from temporalio.runtime import PrometheusConfig, Runtime, TelemetryConfig
from temporalio.worker import PollerBehaviorAutoscaling, Worker

from activities.documents import DocumentActivities
from activities.jobs import JobActivities
from activities.process import ProcessActivities
from activities.reconciliation.pages import ReconciliationActivities
from activities.webhooks import WebhookActivities
from autos import telemetry, temporal_client
from autos.contracts.temporal_names import JOBS_QUEUE, SOURCE_QUEUE, WEBHOOKS_QUEUE
from autos.records.credentials import DatabaseCredentialStore
from autos.records.database import Database
from autos.records.permits import DatabasePermits
from autos.settings import MissingSettings, Settings
from autos.source import Credentials, Limiter, SourceClient, open_http
from autos.source.spool import sweep
from autos.stall_watch import stall_seconds
from autos.store import Store
from autos.vault import Vault
from autos.webhooks.sender import Sender
from worker.interceptors import ActivityInterceptor
from worker.schedules import ensure_schedules
from workflows.deliver_webhook import DeliverWebhookWorkflow
from workflows.download_process import DownloadProcessWorkflow
from workflows.reconcile import ReconcileWorkflow

log = structlog.get_logger(__name__)

GRACE: Final = timedelta(seconds=20)
"""The time for all queues together. A container needs a few more seconds before it is killed."""
DELIVERY_SLOTS: Final = 200
"""First attempts, and as many later attempts, that one worker makes at the same time."""
SPOOL_LEFTOVER_SECONDS: Final = 60.0
"""A file in the spool that is older was left by a process that has ended."""
REQUIRED: Final = (
    "database_url",
    "secret_key",
    "s3_bucket",
    "pdpj_base_url",
    "api_url",
)


@dataclass(frozen=True)
class Parts:
    """The clients that activities use; opened once per process."""

    database: Database
    source: SourceClient
    store: Store
    sender: Sender
    spool_directory: Path


@contextlib.asynccontextmanager
async def open_parts(settings: Settings) -> AsyncIterator[Parts]:
    """Open the database, source, store and webhook sender; close them when the context ends."""
    spool_directory = settings.data_dir / "spool"
    await asyncio.to_thread(spool_directory.mkdir, parents=True, exist_ok=True)
    if swept := await asyncio.to_thread(sweep, spool_directory, SPOOL_LEFTOVER_SECONDS):
        log.warning("spool_swept", files=swept)
    database = Database.open(settings)
    permits = DatabasePermits(database, settings.source_max_in_flight)
    async with contextlib.AsyncExitStack() as opened:
        opened.push_async_callback(database.close)
        opened.push_async_callback(permits.close)
        http = await opened.enter_async_context(open_http(settings))
        # A separate pool: uploads must not wait for connections to the source, nor the reverse.
        store_http = await opened.enter_async_context(open_http(settings))
        credentials = Credentials(DatabaseCredentialStore(database, settings), http, settings)
        sender = Sender.open(settings)
        opened.push_async_callback(sender.close)
        limiter = Limiter(permits, settings.source_max_per_second)
        yield Parts(
            database=database,
            source=SourceClient(settings, http, credentials, limiter),
            store=Store(settings, store_http),
            sender=sender,
            spool_directory=spool_directory,
        )


class CourtMetrics:
    """Publishes the limit and the breaker of each court (`CourtObserver`) as metrics.

    The only label is the court's short name. No metric contains a case number.
    """

    def __init__(self, meter: MetricMeter) -> None:
        self._limit = meter.create_gauge(
            "autos_source_limit", "Concurrent requests that this worker may send to a court"
        )
        self._breaker_open = meter.create_gauge(
            "autos_source_breaker_open",
            "1 while the breaker is open: this worker sends the court only trial requests",
        )
        self._held_back = meter.create_counter(
            "autos_source_held_back",
            "Requests not sent because the court's breaker was open or the court did not respond",
        )

    def court_changed(self, court: str, limit: int, is_open: bool) -> None:
        """Set both gauges."""
        self._limit.set(limit, {"court": court})
        self._breaker_open.set(int(is_open), {"court": court})

    def request_rejected(self, court: str) -> None:
        """Count one request that was not sent."""
        self._held_back.add(1, {"court": court})


def open_runtime(settings: Settings) -> Runtime | None:
    """Temporal's runtime with a metrics page; None for the default runtime if no port is set."""
    if not settings.metrics_port:
        return None
    metrics = PrometheusConfig(
        bind_address=f"0.0.0.0:{settings.metrics_port}",
        durations_as_seconds=True,
    )
    return Runtime(telemetry=TelemetryConfig(metrics=metrics))


def build_workers(client: Client, parts: Parts, settings: Settings) -> list[Worker]:
    """One worker for each task queue."""
    process = ProcessActivities(parts.database, parts.source)
    documents = DocumentActivities(parts.database, parts.source, parts.store, parts.spool_directory)
    jobs = JobActivities(parts.database, parts.store, client)
    reconciliation = ReconciliationActivities(parts.database, parts.store, client, settings)
    webhooks = WebhookActivities(
        parts.database,
        parts.store,
        parts.sender,
        Vault(settings.secret_key),
        settings.api_url,
    )
    per_second = settings.source_max_per_second
    common: dict[str, Any] = {
        "interceptors": [ActivityInterceptor(stall_seconds(settings))],
        # A frozen worker takes a task with each of its open polls, and each such task delays its
        # job by a timeout. Autoscaling keeps the number of open polls as low as the load allows.
        "activity_task_poller_behavior": PollerBehaviorAutoscaling(initial=1, maximum=10),
        "workflow_task_poller_behavior": PollerBehaviorAutoscaling(initial=2, maximum=10),
        "sticky_queue_schedule_to_start_timeout": timedelta(seconds=5),
        "graceful_shutdown_timeout": GRACE,
    }
    return [
        Worker(
            client,
            task_queue=JOBS_QUEUE,
            workflows=[DownloadProcessWorkflow, ReconcileWorkflow],
            activities=[jobs.record_job, jobs.close_job, reconciliation.reconcile_page],
            max_concurrent_activities=20,
            **common,
        ),
        Worker(
            client,
            task_queue=SOURCE_QUEUE,
            activities=[process.fetch_process, process.await_source, documents.download_batch],
            # Each request needs a permit, so more batches than permits would only wait.
            max_concurrent_activities=settings.source_max_in_flight,
            # The rate over all workers; each worker also limits its requests.
            max_task_queue_activities_per_second=(
                per_second / settings.batch_size if per_second else None
            ),
            # Heartbeats deliver cancellations, so the SDK must not delay them for long.
            max_heartbeat_throttle_interval=timedelta(seconds=2),
            **common,
        ),
        Worker(
            client,
            task_queue=WEBHOOKS_QUEUE,
            workflows=[DeliverWebhookWorkflow],
            activities=[webhooks.attempt_delivery, webhooks.abandon_delivery],
            # A receiver that hangs occupies a slot for 15 s; the other slots keep delivering. The
            # first attempt runs within a workflow task, so it occupies a slot of each kind.
            max_concurrent_activities=DELIVERY_SLOTS,
            max_concurrent_local_activities=DELIVERY_SLOTS,
            max_concurrent_workflow_tasks=DELIVERY_SLOTS,
            max_heartbeat_throttle_interval=timedelta(seconds=2),
            **common,
        ),
    ]


async def run(settings: Settings) -> None:
    """Run until SIGTERM or SIGINT, then finish running activities and close all clients."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with open_parts(settings) as parts:
        await parts.store.ensure_bucket()
        runtime = open_runtime(settings)
        if runtime is not None:
            parts.source.observe(CourtMetrics(runtime.metric_meter))
        client = await temporal_client.connect(runtime=runtime)
        # Before the workers start: this can take seconds and must not delay a shutdown.
        await ensure_schedules(client, settings.reconcile_minutes)
        workers = build_workers(client, parts, settings)
        async with contextlib.AsyncExitStack() as running:
            for worker in workers:
                await running.enter_async_context(worker)
            log.info("worker_started")
            await stop.wait()
            log.info("worker_stopping", grace_seconds=GRACE.total_seconds())
            # All workers at once; otherwise the last one would keep polling until the others end.
            await asyncio.gather(*(worker.shutdown() for worker in workers))
    # A pending RPC must not end during interpreter exit (temporalio/sdk-python issue 300).
    await asyncio.sleep(0.1)


def main() -> None:
    """Entry point of `python -m worker` and `autos worker`."""
    settings = Settings()
    telemetry.configure(settings.log_format, "worker")
    try:
        settings.require(*REQUIRED)
    except MissingSettings as missing:
        log.error("cannot_start", reason=str(missing))  # noqa: TRY400 - a traceback would not help
        sys.exit(2)
    asyncio.run(run(settings))
