"""The measured servers, and turns of jobs on them.

A turn starts jobs, and ends when the callback of each has arrived and no workflow runs any more.
Autos and its rivals take turns on the same sandbox, store and PostgreSQL.
"""

import asyncio
import os
import sys
import time
import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx2
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter

from benchmarks.cpu import CpuMeter
from benchmarks.wire import HOST, Callback, Connection, Message, Receiver
from cli.stack import Stack
from cli.stack.environment import part_environment
from cli.stack.ports import choose
from cli.stack.runner import Runner, RunnerContext
from cli.stack.servers import Part, Process
from cli.stack.state import ProcessList

SOURCE_MS: Final = 80
STORE_MS: Final = 40
SOURCE_IN_FLIGHT: Final = 100
DOCUMENT_BYTES: Final = 200_000

AUTOS: Final = "autos"
SCRIPT: Final = "script"
DBOS: Final = "dbos"
AUTOS_PARTS: Final = ("worker", "api", "temporal", "postgres")
PARTS_OF: Final = {AUTOS: AUTOS_PARTS, SCRIPT: ("script",), DBOS: ("dbos", "postgres")}
"""The processes that work for each rival. Sandbox and store are the same for all."""

_MODULE_OF: Final = {SCRIPT: "benchmarks.bare_script", DBOS: "benchmarks.dbos_job"}
_PAUSE_SECONDS: Final = 0.1
_TURN_SECONDS: Final = 1800
_READY_SECONDS: Final = 60
_COMPLETED: Final = "process.download.completed"


@dataclass(frozen=True, slots=True)
class Turn:
    """What one turn took."""

    seconds: float
    """From the start of the jobs to the last callback; in a series, the sum of these."""
    latencies: tuple[float, ...]
    """Seconds from the start of the jobs to the callback of each."""
    cpu: dict[str, float]
    """Milliseconds by part."""
    jobs: dict[str, str]
    """The job ids of Autos by case number; empty for the others."""


@dataclass(frozen=True)
class Bench:
    """The running servers."""

    stack: Stack
    control: httpx2.AsyncClient
    """For the sandbox."""
    receiver: Receiver
    temporal: Client
    meter: CpuMeter
    peers: dict[str, str]
    """Addresses by name."""

    def api(self) -> Connection:
        """A new connection to the API, with the administrator's key."""
        settings = self.stack.settings_environment()
        return Connection(int(settings["AUTOS_API_PORT"]), settings["AUTOS_ADMIN_KEY"])

    async def make_cases(self, count: int, documents: int, size: int = DOCUMENT_BYTES) -> list[str]:
        """Make cases in the sandbox; their numbers."""
        numbers = []
        for seed in range(count):
            body = {"documents": documents, "size_bytes": size, "seed": seed}
            reply = await self.control.post("/control/cases", json=body)
            numbers.append(str(reply.raise_for_status().json()["number"]))
        return numbers

    async def set_source_latency(self, milliseconds: float) -> None:
        """Set how long the sandbox takes to answer."""
        body = {"latency_ms": milliseconds}
        (await self.control.post("/control/switches", json=body)).raise_for_status()

    async def turn(self, rival: str, *series: Sequence[str]) -> Turn:
        """Let the rival download cases.

        Args:
            rival: who downloads.
            series: groups of case numbers. The jobs of a group start at once, the groups one after
                the other.

        Raises:
            TimeoutError: a callback is missing after half an hour.
            RuntimeError: a job of Autos did not store every document.
        """
        seconds = 0.0
        latencies: list[float] = []
        jobs: dict[str, str] = {}
        before = self.meter.read(*PARTS_OF[rival])
        for numbers in series:
            expected = self.receiver.expect(numbers)
            began = time.perf_counter()
            jobs |= await self._start(rival, numbers)
            taken = [callback.at - began for callback in await self.await_callbacks(expected)]
            seconds += max(taken)
            latencies += taken
            # The last steps of a job, after its webhook, are not to delay the next one.
            await asyncio.sleep(_PAUSE_SECONDS)
        if rival == AUTOS:
            await self.settled()
        return Turn(seconds, tuple(latencies), self.meter.since(before), jobs)

    async def await_callbacks(
        self, expected: dict[str, asyncio.Future[Callback]]
    ) -> list[Callback]:
        """Wait for all callbacks, and check those of Autos.

        Raises:
            TimeoutError: one is missing after half an hour.
            RuntimeError: a job of Autos did not store every document.
        """
        async with asyncio.timeout(_TURN_SECONDS):
            callbacks = await asyncio.gather(*expected.values())
        for callback in callbacks:
            if b'"type"' in callback.body and _COMPLETED.encode() + b'"' not in callback.body:
                raise RuntimeError(f"A job did not store every document: {callback.body[:300]!r}")
        return callbacks

    async def settled(self) -> None:
        """Wait until no workflow runs, so that the CPU of a job's last steps is counted."""
        async with asyncio.timeout(_TURN_SECONDS):
            while await self.running_workflows():
                await asyncio.sleep(0.1)

    async def running_workflows(self) -> int:
        """How many workflows run, as far as Temporal's visibility store knows."""
        counted = await self.temporal.count_workflows('ExecutionStatus = "Running"')
        return counted.count

    async def post(self, number: str) -> Message:
        """POST a download on a new connection, once."""
        async with self.api() as connection:
            return await connection.request(
                "POST",
                f"/api/v1/processes/{number}/downloads",
                {"webhook_url": self.receiver.url(number)},
                {"idempotency-key": str(uuid.uuid4())},
            )

    async def _start(self, rival: str, numbers: Sequence[str]) -> dict[str, str]:
        """Start the jobs; those of Autos by number."""
        if rival == AUTOS:
            started = await asyncio.gather(*(self._accepted(number) for number in numbers))
            return dict(zip(numbers, started, strict=True))
        body = {number: self.receiver.url(number) for number in numbers}
        (await self.control.post(self.peers[rival], json=body)).raise_for_status()
        return {}

    async def _accepted(self, number: str) -> str:
        """POST a download, again while the API answers that it is overloaded; the job's id."""
        while True:
            answer = await self.post(number)
            if answer.status in (200, 202):
                return str(answer.json()["job_id"])
            if answer.status not in (429, 503):
                raise RuntimeError(f"The API answered {answer.first_line}: {answer.body[:300]!r}")
            await asyncio.sleep(float(answer.headers.get("retry-after", "1")))


@asynccontextmanager
async def open_bench(
    folder: Path, peers: Sequence[str], announce: Callable[[str], None]
) -> AsyncIterator[Bench]:
    """Start every server; stop all of them at the end, also after Ctrl-C.

    Args:
        folder: where they keep data and logs.
        peers: the rivals of Autos to start.
        announce: called with a sentence about each step.
    """
    async with AsyncExitStack() as opened:
        control = await opened.enter_async_context(httpx2.AsyncClient(timeout=600, trust_env=False))
        ports = choose(["store", *peers], {}, "free", announce)
        helpers = folder / "helpers"
        helpers.mkdir(parents=True)
        context = RunnerContext(helpers, ProcessList(helpers), control, announce)
        store = ("benchmarks.slow_store", str(ports["store"]), str(STORE_MS))
        await _run(opened, context, _part("store", ports["store"], store, os.environ))
        stack = Stack(
            folder / "stack",
            ports="free",
            parts=("postgres", "temporal", "sandbox", "migrations", "worker", "api"),
            sandbox_latency_ms=SOURCE_MS,
            extra_environment={
                "AUTOS_S3_ENDPOINT": f"http://{HOST}:{ports['store']}",
                "AUTOS_S3_BUCKET": "bench",
                "AUTOS_S3_ACCESS_KEY_ID": "synthetic-access-key",
                "AUTOS_S3_SECRET_ACCESS_KEY": "synthetic-secret-key",
                "AUTOS_SOURCE_MAX_IN_FLIGHT": str(SOURCE_IN_FLIGHT),
                "AUTOS_RECONCILE_MINUTES": "0",
            },
            announce=announce,
        )
        await opened.enter_async_context(stack)
        settings = stack.settings_environment()
        environment = part_environment("worker", os.environ, settings)
        pids = {}
        for name in peers:
            part = _part(name, ports[name], (_MODULE_OF[name], str(ports[name])), environment)
            pids[name] = await _run(opened, context, part)
        control.base_url = httpx2.URL(settings["AUTOS_PDPJ_BASE_URL"])
        for part_name in AUTOS_PARTS:
            pid = stack.pid(part_name)
            if pid is not None:
                pids[part_name] = pid
        yield Bench(
            stack=stack,
            control=control,
            receiver=await opened.enter_async_context(Receiver()),
            temporal=await Client.connect(
                settings["TEMPORAL_ADDRESS"], data_converter=pydantic_data_converter
            ),
            meter=CpuMeter(pids),
            peers={name: f"http://{HOST}:{ports[name]}/" for name in peers},
        )
    # The last RPC and the end of the interpreter must not meet (temporalio/sdk-python issue 300).
    await asyncio.sleep(0.1)


def _part(
    name: str, port: int, module: Sequence[str], environment: "os._Environ[str] | dict[str, str]"
) -> Part:
    async def ready(_: Process, client: httpx2.AsyncClient) -> bool:
        return (await client.get(f"http://{HOST}:{port}/")).is_success

    return Part(
        name=name,
        title=f"The {name}",
        stage=1,
        command=(sys.executable, "-m", *module),
        ready=ready,
        environment=dict(environment),
        ports=frozenset({port}),
    )


async def _run(opened: AsyncExitStack, context: RunnerContext, part: Part) -> int:
    """Start a process that stops with the bench; its pid."""
    runner = Runner(part, context)
    opened.push_async_callback(runner.stop)
    runner.start()
    await runner.wait_ready(_READY_SECONDS)
    pid = runner.pid
    if pid is None:
        raise RuntimeError(f"{part.title} ended right after its start; see {runner.log}.")
    return pid
