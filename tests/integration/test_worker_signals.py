"""`autos worker` under load, when it is stopped or frozen."""

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator
from datetime import timedelta
from time import monotonic
from typing import Any, Final

import httpx2
import psutil  # type: ignore[import-untyped]
from temporalio.client import Client
from temporalio.service import RPCError

from cli.stack import Stack
from tests.e2e.clients import Api, Sandbox
from tests.integration.test_entry_points import (
    answer,
    environment,
    outcome,
    output_of,
    running,
    stack,
)
from tests.unit.deploy import compose
from worker.main import GRACE

__all__ = ["stack"]

HANDED_OVER: Final = 10
"""Documents of a job on a worker: a batch of five and the prefetched one."""
KILLED_AFTER: Final = timedelta(seconds=30)
"""The stop grace period of a container; a test compares it with docker-compose.yml."""
FROZEN_JOB_BOUND: Final = timedelta(minutes=8)
"""Ends the test if the job hangs: four times the sum of the timeouts."""


@contextlib.asynccontextmanager
async def hanging_receiver() -> AsyncIterator[tuple[str, asyncio.Event]]:
    """A webhook receiver that never responds; the event is set by its first request."""
    taken, over = asyncio.Event(), asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        taken.set()
        await over.wait()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    try:
        yield f"http://{host}:{port}/", taken
    finally:
        over.set()
        server.close()


async def migrated(stack: Stack) -> None:
    code, output = await outcome("migrate", environment(stack, "migrate"))
    assert code == 0, output


async def document_requests(sandbox: Sandbox, number: str) -> list[dict[str, Any]]:
    log: list[dict[str, Any]] = await sandbox.control("GET", "/requests")
    return [one for one in log if one["process"] == number and one["document"]]


async def until_requested(sandbox: Sandbox, number: str, documents: int) -> None:
    while len(await document_requests(sandbox, number)) < documents:
        # The sandbox is another process and sets no event here.
        await asyncio.sleep(0.05)


async def leave_no_work(stack: Stack, sandbox: Sandbox, *numbers: str) -> None:
    """End these jobs and the faults, so the next test's worker does not continue them."""
    await sandbox.reset()
    client = await Client.connect(stack.settings_environment()["TEMPORAL_ADDRESS"])
    for number in numbers:
        # The job may have ended.
        with contextlib.suppress(RPCError):
            await client.get_workflow_handle(f"download-process/{number}").terminate()


async def test_sigterm_stops_all_queues_within_one_grace_period(stack: Stack) -> None:
    """(S21) A webhook receiver and the documents of a case hang; another case has work left."""
    await migrated(stack)
    for_api, for_worker = environment(stack, "api"), environment(stack, "worker")
    url = f"http://127.0.0.1:{for_api['AUTOS_API_PORT']}"
    async with (
        running("worker", for_worker) as worker_process,
        running("api", for_api) as api_process,
        hanging_receiver() as (receiver, delivering),
        httpx2.AsyncClient(trust_env=False, timeout=40) as http,
        asyncio.timeout(480),
    ):
        await answer(f"{url}/health/ready", api_process)
        api = Api(http, url, for_api["AUTOS_ADMIN_KEY"])
        sandbox = Sandbox(http, for_worker["AUTOS_PDPJ_BASE_URL"])
        notified, hanging, busy = [
            (await sandbox.new_case(documents))["number"] for documents in (1, 5, 300)
        ]
        await sandbox.control("POST", "/switches", json={"latency_ms": 300})
        hang = {"fault": "hang", "process": hanging, "route": "document"}
        await sandbox.control("POST", "/faults", json=hang)
        for number, body in ((notified, {"webhook_url": receiver}), (hanging, {}), (busy, {})):
            await api.start(number, **body)
        await delivering.wait()
        await until_requested(sandbox, hanging, 5)
        await until_requested(sandbox, busy, 1)
        begun = len(await document_requests(sandbox, busy))
        signalled = monotonic()
        worker_process.send_signal(signal.SIGTERM)
        assert await worker_process.wait() == 0, await output_of(worker_process)
        lasted = monotonic() - signalled
        assert len(await document_requests(sandbox, busy)) - begun <= HANDED_OVER
        assert lasted < KILLED_AFTER.total_seconds()
        await leave_no_work(stack, sandbox, notified, hanging, busy)


async def test_frozen_worker_does_not_block_its_job(stack: Stack) -> None:
    """(S43) Another worker completes the job while the first one is still frozen.

    The tasks of the frozen worker are released by timeouts: its activities miss their heartbeats
    (15 s), workflow tasks leave its sticky queue (5 s), and tasks that its open polls receive
    within 60 s time out once more (15 s for an activity, 10 s for a workflow task). They add up to
    two minutes at worst. The test does not measure the duration of the job.
    """
    await migrated(stack)
    # A frozen worker's open transaction keeps its locks for this time.
    given = environment(stack, "worker") | {"AUTOS_DATABASE_IDLE_TIMEOUT": "5"}
    other = given | {"AUTOS_METRICS_PORT": "0"}
    for_api = environment(stack, "api")
    url = f"http://127.0.0.1:{for_api['AUTOS_API_PORT']}"
    async with (
        asyncio.timeout(FROZEN_JOB_BOUND.total_seconds()),
        running("worker", given) as frozen,
        running("api", for_api) as api_process,
        httpx2.AsyncClient(trust_env=False, timeout=40) as http,
    ):
        await answer(f"{url}/health/ready", api_process)
        api = Api(http, url, for_api["AUTOS_ADMIN_KEY"])
        sandbox = Sandbox(http, given["AUTOS_PDPJ_BASE_URL"])
        await sandbox.control("POST", "/switches", json={"latency_ms": 300})
        number = (await sandbox.new_case(20))["number"]
        await api.start(number)
        # This is the only worker, so it has the workflow and its first batches.
        await until_requested(sandbox, number, 1)
        frozen.send_signal(signal.SIGSTOP)
        async with running("worker", other):
            ended = await api.ended(number, bound=FROZEN_JOB_BOUND.total_seconds())
        assert psutil.Process(frozen.pid).status() == psutil.STATUS_STOPPED
    assert (ended["status"], ended["completed_documents"]) == ("completed", 20)


def test_stop_grace_period_is_longer_than_the_workers_grace() -> None:
    """(S21)"""
    given = compose.service("worker")["stop_grace_period"]
    assert given == f"{KILLED_AFTER.total_seconds():.0f}s"
    assert timedelta(seconds=5) <= KILLED_AFTER - GRACE
