"""`autos migrate`, `autos api` and `autos worker` as processes on real servers.

They run with the environment variables of docker-compose.yml, but not in its containers.
"""

import asyncio
import contextlib
import os
import re
import signal
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import httpx2
import pytest
import pytest_asyncio

import api.__main__
import worker.main
from cli.stack import Stack
from sandbox.cases.known import KnownCases
from tests.unit.deploy import compose

AUTOS: Final = str(Path(sys.executable).with_name("autos"))
START_SECONDS: Final = 120.0
STOP_SECONDS: Final = 30.0
SMALL: Final = KnownCases().names()["small"].digits
OURS: Final = ("AUTOS_API_HOST", "AUTOS_API_PORT", "AUTOS_METRICS_PORT", "AUTOS_API_URL")


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def stack() -> AsyncIterator[Stack]:
    with TemporaryDirectory(prefix="autos-") as data_dir:
        parts = ("postgres", "temporal", "s3", "sandbox")
        async with Stack(Path(data_dir), parts=parts, ports="free") as running:
            yield running


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def environment(stack: Stack, service: str) -> dict[str, str]:
    """Exactly the variables that compose sets for this service, with the stack's values."""
    values = stack.settings_environment()
    given = {}
    for name, written in compose.environment(service).items():
        variable = compose.VARIABLE.fullmatch(written)
        default = variable["text"] if variable and variable["how"] == ":-" else ""
        if name == "TEMPORAL_NAMESPACE":
            given[name] = written
        elif name == "AUTOS_API_HOST":
            given[name] = "127.0.0.1"
        elif name in OURS and written.isdigit():
            given[name] = str(free_port())
        elif name == "AUTOS_S3_PUBLIC_ENDPOINT":
            given[name] = values["AUTOS_S3_ENDPOINT"]
        else:
            given[name] = values.get(name, default)
    return given


@contextlib.asynccontextmanager
async def running(verb: str, given: dict[str, str]) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run the process in a temporary folder; it is killed at the end if it still runs."""
    with TemporaryDirectory(prefix="autos-") as folder:
        path = {"PATH": os.environ["PATH"], "AUTOS_DATA_DIR": f"{folder}/data"}
        process = await asyncio.create_subprocess_exec(
            *(AUTOS, verb),
            env={**path, **given},
            cwd=folder,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        try:
            yield process
        finally:
            if process.returncode is None:
                process.kill()
            await process.communicate()


async def outcome(verb: str, given: dict[str, str]) -> tuple[int | None, str]:
    """Exit code and output of a process that ends by itself."""
    async with running(verb, given) as process, asyncio.timeout(START_SECONDS):
        output, _ = await process.communicate()
    return process.returncode, output.decode()


async def answer(
    url: str, process: asyncio.subprocess.Process, text: str = "", **options: Any
) -> httpx2.Response:
    """Wait for a 200 response with this text; fails at once if the process has ended."""
    async with asyncio.timeout(START_SECONDS), httpx2.AsyncClient(trust_env=False) as client:
        while True:
            assert process.returncode is None, (await process.communicate())[0]
            with contextlib.suppress(httpx2.TransportError):
                reply = await client.get(url, **options)
                if reply.status_code == 200 and text in reply.text:
                    return reply
            # The server is another process and sets no event here.
            await asyncio.sleep(0.05)


async def stop(process: asyncio.subprocess.Process) -> int:
    process.send_signal(signal.SIGTERM)
    async with asyncio.timeout(STOP_SECONDS):
        return await process.wait()


async def output_of(process: asyncio.subprocess.Process) -> str:
    """The output of an ended process."""
    output, _ = await process.communicate()
    return output.decode()


async def test_migrate_creates_the_schema_and_can_be_repeated(
    stack: Stack,
) -> None:
    given = environment(stack, "migrate")
    for _ in range(2):
        code, output = await outcome("migrate", given)
        assert code == 0, output


async def test_api_and_worker_complete_a_job_and_stop_cleanly(stack: Stack) -> None:
    code, output = await outcome("migrate", environment(stack, "migrate"))
    assert code == 0, output
    for_api, for_worker = environment(stack, "api"), environment(stack, "worker")
    url = f"http://127.0.0.1:{for_api['AUTOS_API_PORT']}"
    headers = {"Authorization": f"Bearer {for_api['AUTOS_ADMIN_KEY']}"}
    async with (
        running("worker", for_worker) as worker_process,
        running("api", for_api) as api_process,
    ):
        # The requests of the containers' health checks.
        metrics = f"http://127.0.0.1:{for_worker['AUTOS_METRICS_PORT']}/metrics"
        # The page is served before the client of Temporal has measured anything.
        await answer(metrics, worker_process, "temporal_")
        ready = await answer(f"{url}/health/ready", api_process)
        assert ready.json()["parts"].keys() == {"records", "engine", "store"}
        async with httpx2.AsyncClient(trust_env=False, headers=headers, timeout=40) as client:
            address = f"{url}/api/v1/processes/{SMALL}"
            started = await client.post(f"{address}/downloads", headers={"Prefer": "wait=30"})
            assert started.json()["status"] == "completed", started.text
            document = (await client.get(f"{address}/documents?limit=1")).json()["items"][0]
        page = (await answer(metrics, worker_process)).text
        assert re.search(r'^autos_source_breaker_open\{court="TJMT".*\} 0$', page, re.MULTILINE)
        assert re.search(r'^autos_source_limit\{court="TJMT".*\} 18$', page, re.MULTILINE)
        async with httpx2.AsyncClient(trust_env=False) as anonymous:
            assert (await anonymous.get(document["download_url"])).status_code == 200
        # The server ends the requests in flight, closes, and exits by the signal.
        assert await stop(api_process) in (0, -signal.SIGTERM)
        assert "api_stopped" in await output_of(api_process)
        assert await stop(worker_process) == 0


@pytest.mark.parametrize(
    ("verb", "required"),
    [
        ("api", api.__main__.REQUIRED),
        ("worker", worker.main.REQUIRED),
        ("migrate", ("database_url",)),
    ],
)
async def test_missing_settings_are_listed(verb: str, required: tuple[str, ...]) -> None:
    """With the documented exit code."""
    code, output = await outcome(verb, {})
    assert code == 2
    assert set(re.findall(r"AUTOS_\w+", output)) == {f"AUTOS_{name.upper()}" for name in required}
    assert "Traceback" not in output
